"""Put the files of a Hugging Face Space into a folder: `python docker/argilla/make_space.py FOLDER`.

A Space builds the Dockerfile at the top of its repository, and reads its settings from the README.md beside it.
Everything else stands where the Dockerfile copies it from.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = Path("docker/argilla/Dockerfile")


def sources(dockerfile: Path) -> list[str]:
    """What a Dockerfile copies out of its context."""
    found = []
    for line in re.findall(r"^COPY (.+)$", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--")]
        found += words[:-1]
    return found


def make_space(folder: Path) -> list[Path]:
    """Write the Space's files; returns their paths, which is everything that the folder then holds.

    Raises:
        FileExistsError: the folder is there already.
    """
    folder.mkdir(parents=True)
    for name in sources(ROOT / DOCKERFILE):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / DOCKERFILE, folder / "Dockerfile")
    # The Dockerfile copies a README.md for the package too: any will do.
    shutil.copy(ROOT / DOCKERFILE.parent / "README.md", folder / "README.md")
    return sorted(path for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{len(make_space(Path(sys.argv[1])))} files are in {sys.argv[1]}; upload them as they are.")
