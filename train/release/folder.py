"""Folders that are released: made beside their place and whole or absent, with release.json on what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from annotation.errors import TrainError
from annotation.files import whole_folder, write_whole
from annotation.ledger_file import now
from train.evaluate.gate import gate_of
from train.models.base import public_name
from train.release.figures import FIGURES, Figure, write_figures
from train.release.hub.contents import CARD, RELEASE, YOURS, card_digest, split_card
from train.run_folder import file_digest, finished_run, read_facts

KINDS = {"kind": str, "run": str, "adapter_sha256": str, "card": str, "files": dict}
"""What release.json must say, and as what."""

UNLISTED = (RELEASE, CARD)
"""Files that release.json does not list: itself, and what people may put into their own words."""


@contextmanager
def made_whole(to: Path, replaces: Mapping[str, str]) -> Iterator[Path]:
    """A folder beside the target that takes its place when the block ends well, and is gone when it does not.

    Args:
        to: The target: absent, empty, or an earlier release that may be replaced.
        replaces: What the release.json of such a release must say.

    Raises:
        TrainError: The target is there, and may not be replaced.
    """

    def may_go(there: Path) -> None:
        if not _may_go(there, replaces):
            raise TrainError(
                f"{there} is there already and holds something else: nothing is overwritten; name another folder."
            )

    with whole_folder(to, may_go) as beside:
        yield beside


def _may_go(to: Path, replaces: Mapping[str, str]) -> bool:
    if not (to / RELEASE).is_file():
        return False
    before, there = read_release(to), digests_in(to)
    if changed := [name for name, digest in there.items() if before["files"].get(name) != digest]:
        raise TrainError(f"{to / changed[0]} is not what annot wrote; take it out of the folder, which is made anew.")
    return all(before.get(key) == value for key, value in replaces.items())


def read_release(folder: Path) -> dict[str, Any]:
    """What release.json says.

    Raises:
        TrainError: It is gone or damaged.
    """
    return read_facts(folder / RELEASE, KINDS, f"remove the folder {folder} and run `annot release` again")


def write_card(folder: Path, card: str, figures: Sequence[Figure], yours: str) -> None:
    """Write README.md, people's own words below the line, and the figures beside it."""
    write_whole(folder / FIGURES, write_figures(figures))
    write_whole(folder / CARD, f"{card.rstrip()}\n\n{YOURS}\n{yours}".encode())


def own_words(folder: Path) -> str:
    """What people wrote below the line of a card; "" where there is no card yet.

    Raises:
        TrainError: They wrote above it, where it would be lost.
    """
    path = folder / CARD
    if not path.exists():
        return ""
    try:
        card = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not in UTF-8; save it so, then run this again.") from None
    if card_digest(card) != read_release(folder)["card"]:
        raise TrainError(
            f"{path} was changed above the line that begins with {YOURS[:34]!r}, and that part is made anew: move "
            "your words below the line, put the rest back, or remove the folder."
        )
    yours = split_card(card)[1]
    return f"{yours}\n" if yours else ""


def write_release(
    folder: Path, kind: Literal["model", "dataset", "space"], run: Path, *, project: str = ""
) -> dict[str, Any]:
    """Write release.json beside all other files of a folder, its card among them, and return what it says.

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
        "base": public_name(facts),
        "base_version": facts["base_version"],
        "adapter_sha256": digest,
        "gate": gate_of(run).verdict,
        "project": project,
        "annot": version("annot"),
        "made_at": now(),
        "card": card_digest((folder / CARD).read_text(encoding="utf-8")),
        "files": digests_in(folder),
    }
    write_whole(folder / RELEASE, json.dumps(release, ensure_ascii=False, indent=2).encode())
    return release


def digests_in(folder: Path) -> dict[str, str]:
    """Path in a released folder -> SHA-256, of every file but the UNLISTED ones at its top."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: file_digest(path) for name, path in files.items() if name not in UNLISTED}
