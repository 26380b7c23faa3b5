"""What training and selecting need, as findings of the doctor: libraries, a card, the encoder, the base."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from pathlib import Path
from typing import Literal

from packaging.version import Version

from annotation.config import OPEN_BASE, is_closed
from annotation.errors import EncoderError, TrainError
from annotation.packages import PACKAGE, gguf_in
from annotation.project import Project
from annotation.selection.embedding import encoder_here

Level = Literal["ok", "warn", "fail"]

LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
"""CUDA -> the oldest driver that runs it, by NVIDIA's table of minor version compatibility."""

MAIN = (
    *("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets"),
    *("argilla", "cohere", "sentence-transformers", "pyarrow", "pydantic"),
)
"""Libraries whose new versions have broken things before."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: In a word or two.
        level: "ok"; "warn": it works, but not as it should; "fail": something will not work.
        said: What was found.
        remedy: What to do; empty where nothing is to be done.
    """

    what: str
    level: Level
    said: str
    remedy: str = ""


def examine_training(*wanted: str) -> Iterator[Finding]:
    missing = [name for name in ("torch", "trl", "peft", "transformers", "accelerate") if not version_of(name)]
    if missing:
        said = f"not installed: {', '.join(missing)}"
        yield Finding("training", "warn", said, "`pip install 'annot[train]'` on the machine that trains")
    else:
        told = ", ".join(f"{name} {version_of(name)}" for name in ("torch", "trl", "peft"))
        yield Finding("training", "ok", told)
    yield from _untested()
    presets = [path.name.removesuffix(".toml") for path in (files("train") / "presets").iterdir()]
    for preset in (preset for preset in wanted if preset not in presets):
        near = get_close_matches(preset, presets, n=1)
        remedy = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(sorted(presets))}"
        yield Finding("preset", "fail", f"there is no preset {preset}", remedy)
    known = [preset for preset in wanted if preset in presets]
    on_cards = [preset for preset in known if not preset.startswith("cpu")]
    cards = _cards()
    if cards:
        yield Finding("GPU", "ok", "; ".join(cards))
        yield from _driver(cards)
    elif known and not on_cards:
        yield Finding("GPU", "ok", f"none, and the preset {known[0]} needs none")
    else:
        said = f"none here, and the preset {on_cards[0]} needs one" if on_cards else "none here"
        yield Finding("GPU", "warn", said, "train on another machine (train.launcher, or docker/trainer)")


def examine_encoder(project: Project) -> Iterator[Finding]:
    """The sentence encoder that `annot select` would load, as far as it is on this machine."""
    name = project.settings.select.encoder
    try:
        found = encoder_here(name, project.folder)
    except EncoderError as error:
        yield Finding("encoder", "fail", f"{name} cannot be used", str(error))
    else:
        yield Finding("encoder", "ok", name if found else f"{name}, which `annot select` fetches from the Hub")


def examine_base(project: Project, preset: str, base: str) -> Iterator[Finding]:
    """The model that training would start from: its folder, or what is known of its licence; others are looked up on
    the Hub by the trainer.
    """
    from huggingface_hub import get_token

    path = files("train") / "presets" / f"{preset}.toml"
    if not base and path.is_file():
        base = tomllib.loads(path.read_text(encoding="utf-8"))["base"]["name"]
    if is_closed(base):
        said = f"{base} is CC-BY-NC-4.0 (no commercial use), and the Hub gives it out only to who accepted that"
        remedy = f'accept it on its page and set HF_TOKEN, or set train.base = "{OPEN_BASE}", which is Apache-2.0'
        yield Finding("base", "ok" if get_token() else "warn", said, remedy)
    if base.startswith(PACKAGE):
        try:
            yield Finding("base", "ok", f"{gguf_in(base).name} from the package {base.removeprefix(PACKAGE)}")
        except TrainError as error:
            yield Finding("base", "fail", f"{base} cannot be used", str(error))
    elif base.startswith((".", "/", "~")) or base.count("/") > 1:
        folder = (project.folder / Path(base).expanduser()).resolve()
        if (folder / "config.json").exists():
            yield Finding("base", "ok", str(folder))
        else:
            yield Finding("base", "fail", f"{folder} holds no model (config.json)", "correct train.base in annot.toml")


def _cards() -> list[str]:
    """Names, memory and drivers of NVIDIA's cards; empty where there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _driver(cards: list[str]) -> Iterator[Finding]:
    """The driver, where it is too old for the CUDA that torch is built with."""
    try:
        facts = (Path(str(distribution("torch").locate_file("torch"))) / "version.py").read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError):
        return
    built = re.search(r"^cuda\b.*'(\d+)\.[\d.]+'", facts, re.MULTILINE)
    driver = re.search(r"(\d+)\.[\d.]+$", cards[0])
    least = LEAST_DRIVER.get(int(built[1]), 0) if built else 0
    if built and driver and int(driver[1]) < least:
        said = f"{driver[0]} is too old for torch {version_of('torch')}, which is built with CUDA {built[1]}"
        yield Finding("driver", "fail", said, f"a driver from {least} on, or a torch that is built with an older CUDA")


def _untested() -> Iterator[Finding]:
    """Main libraries that are newer than those that annot is tested with; where annot is a package nobody knows."""
    path = Path(__file__).parents[1] / "constraints.txt"
    if not path.exists():
        return
    tested = dict(line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line)
    newer = [
        f"{name} {here} (tested: {tested[name]})"
        for name in MAIN
        if name in tested and (here := version_of(name)) and Version(Version(here).public) > Version(tested[name])
    ]
    if newer:
        remedy = f"if something fails, install the tested ones with `pip install --constraint {path} NAME`"
        yield Finding("libraries", "warn", f"newer than annot is tested with: {', '.join(newer)}", remedy)


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
