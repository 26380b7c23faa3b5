"""Folders that are released: made beside their place and whole or absent, with release.json on what is in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from annotation.errors import TrainError
from annotation.files import write_whole
from annotation.ledger import now
from train.evaluate.gate import gate_of
from train.run_folder import file_digest, finished_run

RELEASE = "release.json"
"""What a released folder is, written last."""

UNLISTED = (RELEASE, "README.md")
"""Files that release.json does not list: itself, and what people may put into their own words."""


@contextmanager
def made_whole(to: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place when the block ends well, and is gone when it does not.

    Raises:
        TrainError: The target is there, and is not an empty folder.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise TrainError(f"{to} is there already: nothing is overwritten; name another folder with --to.")
    to.parent.mkdir(parents=True, exist_ok=True)
    beside = to.with_name(f".{to.name}.part")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    beside.mkdir()
    try:
        yield beside
        if to.exists():
            to.rmdir()
        beside.rename(to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_release(
    folder: Path, kind: Literal["model", "dataset", "space"], run: Path, *, project: str = ""
) -> dict[str, Any]:
    """Write release.json beside all other files of a folder, and return what it says.

    Args:
        folder: All else is in it.
        kind: Of the repository that it becomes on the Hub.
        run: Folder of the finished run that is released.
        project: Id of the project's ledger; "" where there is none.

    Raises:
        TrainError: The run is not finished, or is damaged.
    """
    facts, digest = finished_run(run)
    release = {
        "kind": kind,
        "run": facts["run"],
        "snapshot": facts.get("snapshot"),
        "base": facts["base"],
        "base_version": facts["base_version"],
        "adapter_sha256": digest,
        "gate": gate_of(run).verdict,
        "project": project,
        "annot": version("annot"),
        "made_at": now(),
        "files": digests_in(folder),
    }
    write_whole(folder / RELEASE, json.dumps(release, ensure_ascii=False, indent=2).encode())
    return release


def digests_in(folder: Path) -> dict[str, str]:
    """Path in a released folder -> SHA-256, of every file but the UNLISTED ones at its top."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: file_digest(path) for name, path in files.items() if name not in UNLISTED}
