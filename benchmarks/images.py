"""How long `annot images add` takes with 10,000 photographs of 4 megapixels, and how much memory its processes take.

    .venv/bin/python benchmarks/images.py
    .venv/bin/python benchmarks/images.py --pictures 1000 --keep /tmp/photographs

Draws pictures that weigh and blur as photographs do (soft patches of colour, and the noise of a sensor), as JPEG files
that differ in every pixel, in a process of its own; then runs the whole command on them, twice, and prints seconds,
pictures a second, and the most memory that the command and its workers held at one moment (RSS, added up: what they
share is counted for each). Ten thousand take 15 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from annotation.project import init_project

HERE = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 2464, 1648
PARTS = 25
"""Pictures that are shifted out of one."""


def draw(folder: Path, pictures: int) -> None:
    """Write so many photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((HEIGHT, WIDTH, 3))
    for number in range(pictures):
        dice = np.random.default_rng(number)
        if number % PARTS == 0:
            pixels = 128 + dice.normal(size=(HEIGHT, WIDTH, 1)) * 6
            for patches, strength in ((8, 60), (40, 40), (200, 25)):
                soft = dice.normal(size=(patches, patches * 3 // 2, 3)).clip(-2, 2) * 63 + 128
                large = Image.fromarray(soft.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
                pixels = pixels + (np.asarray(large, dtype=float) - 128) / 63 * strength
            pixels = pixels.clip(0, 255).astype(np.uint8)
        shift = (int(dice.integers(HEIGHT)), int(dice.integers(WIDTH)))
        Image.fromarray(np.roll(pixels, shift, axis=(0, 1))).save(folder / f"{number:05}.jpg", quality=90)


def measure(words: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds, and peak memory in MB, of a command with the processes that it starts."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    began, peak, cpu = time.perf_counter(), 0, 0.0
    command = subprocess.Popen(words, cwd=HERE, env=environment, stdout=subprocess.DEVNULL)
    root = psutil.Process(command.pid)
    while command.poll() is None:
        held, used = 0, 0.0
        for process in (root, *root.children(recursive=True)):
            try:
                held += process.memory_info().rss
                used += sum(process.cpu_times()[:2])
            except psutil.Error:  # it has ended meanwhile
                continue
        peak, cpu = max(peak, held), max(cpu, used)
        time.sleep(0.1)
    if command.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {command.returncode}")
    return time.perf_counter() - began, cpu, peak / 1e6


def main() -> None:
    """Draw the pictures where they are not there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder of the pictures, for the next run")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annot-images-") as scratch:
        folder = told.keep or Path(scratch) / "photographs"
        if not folder.exists():
            maker = Process(target=draw, args=(folder, told.pictures))
            maker.start()
            maker.join()
        weight = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"{told.pictures} pictures of {WIDTH * HEIGHT / 1e6:.1f} megapixels, {weight:.0f} MB", flush=True)
        project = init_project(Path(scratch) / "project", name="trial", countries=["MX"], languages=["es"])
        words = [sys.executable, "-m", "annotation.cli", "images", "add", str(folder), "-p", str(project.folder)]
        words += ["--licence", "CC0", "--author", "nobody", "--people", "none"]
        for name in ("add", "add again"):
            seconds, cpu, memory = measure(words)
            pace = told.pictures / seconds
            print(f"{name:10} {seconds:7.1f} s {cpu:7.1f} s of CPU {pace:6.1f} a second {memory:6.0f} MB", flush=True)
        files = [path.stat().st_size for path in (project.folder / "images").glob("*/*")]
        print(f"{len(files)} files, {sum(files) / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
