"""Contents of a release's folder: the files that are given away, checked against its release.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from annotation.errors import TrainError
from annotation.screen import Progress, silent

KINDS = ("model", "dataset", "space")

CARD = "README.md"

YOURS = "<!-- What stands below this line is yours: annot keeps it. -->"
"""In a card: what people write below it stays."""

RELEASE = "release.json"
"""What a released folder is, written last."""

BESIDE = (CARD, RELEASE, "figures.json", ".gitattributes")
"""What is given away where it is there, whether release.json names it or not: people may better the card's words."""

HIDDEN_BUT_MEANT = (".gitattributes", ".argilla")
"""What the Hub and Argilla look for under a name that begins with a dot."""

NEVER = ("secrets.toml", "secrets.json", "ledger.sqlite")

CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """A file that is given away.

    Attributes:
        path: Where it is on this machine.
        size: Bytes.
        sha256: Of its content.
    """

    path: Path
    size: int
    sha256: str

    def git_blob(self) -> str:
        """Git's name of the content, by which the Hub knows small files."""
        content = self.path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a release's folder holds.

    Attributes:
        files: Path in the repository -> file.
        left: What lies in the folder and is not given away.
        record: release.json.
    """

    files: Mapping[str, File]
    left: tuple[str, ...]
    record: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def read_contents(kind: str, folder: Path, *, progress: Progress = silent) -> Contents:
    """Read the folder of a release; every file is hashed.

    Args:
        kind: "model", "dataset" or "space".
        folder: Where it was released to.
        progress: Gets megabytes.

    Raises:
        TrainError: It is no release of this kind, or not whole, or names a file that is never given away.
    """
    record = _record(kind, folder)
    named: Mapping[str, str] = record["files"]
    for name in named:
        _check_name(name, folder)
    names = [*named, *(name for name in BESIDE if name not in named and (folder / name).exists())]
    sizes = {name: _size(folder / name, folder) for name in names}
    files, done, total = {}, 0, sum(sizes.values())
    for name in sorted(names):
        whole = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                done += len(chunk)
                progress(done // 10**6, total // 10**6, note=f"MB of {folder.name} checked")
        if named.get(name, whole.hexdigest()) != whole.hexdigest():
            raise TrainError(
                f"{folder / name} is not the file that was released: its content differs from {RELEASE}; make the "
                "release again."
            )
        files[name] = File(folder / name, sizes[name], whole.hexdigest())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return Contents(files, tuple(sorted(there - files.keys())), record)


def split_card(card: str) -> tuple[str, str]:
    """What annot wrote of a card, and what people wrote below the line."""
    written, _, yours = f"{card}\n".partition(f"\n{YOURS}\n")
    return written, yours.strip("\n")


def card_digest(card: str) -> str:
    """SHA-256 of what annot wrote of a card."""
    return hashlib.sha256(split_card(card)[0].encode()).hexdigest()


def names_in(record: Mapping[str, Any]) -> set[str]:
    """The files that a release.json names; none where it is damaged."""
    files = record.get("files")
    return {name for name in files if isinstance(name, str)} if isinstance(files, dict) else set()


def _record(kind: str, folder: Path) -> dict[str, Any]:
    again = "make it with annot release"
    try:
        record = json.loads((folder / RELEASE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainError(f"{folder} is no finished release: there is no {RELEASE}; {again}.") from None
    except ValueError as error:
        raise TrainError(f"{folder / RELEASE} is damaged ({error}); {again} again.") from None
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict) or not record["files"]:
        raise TrainError(f"{folder / RELEASE} names no files; {again} again.")
    if record.get("kind") != kind:
        raise TrainError(f'{folder} is a release of kind "{record.get("kind")}", not "{kind}"; name another folder.')
    return record


def _check_name(name: str, folder: Path) -> None:
    place = PurePosixPath(name)
    hidden = any(part.startswith(".") and part not in HIDDEN_BUT_MEANT for part in place.parts)
    if place.is_absolute() or hidden or "\\" in name or name.endswith(".part") or place.name in NEVER:
        raise TrainError(f"{folder / RELEASE} names {name}, which is never given away; make the release again.")


def _size(path: Path, folder: Path) -> int:
    if not path.is_file():
        raise TrainError(f"{path} is missing, though {RELEASE} names it; make the release again.")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise TrainError(f"{path} is a link that leads out of the release; make the release again.")
    return path.stat().st_size
