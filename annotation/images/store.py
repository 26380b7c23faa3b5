"""Pictures of a project: what is known of them in the ledger, and links to their files in other folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from annotation.errors import ProjectError
from annotation.files import read_regular, write_whole
from annotation.images.refine import MOST_BYTES
from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.project import Project
from annotation.types import Picture, Prompt, picture_file

IMAGES = "images"
"""Folder of pictures in a project, a snapshot, a run or an export."""

_COLUMNS = ("id", "likeness", "width", "height", "source", "licence", "creator", "people")


class LostPicture(ProjectError):
    """The file of a picture is gone, or is another one."""


def add_pictures(ledger: Ledger, pictures: Iterable[Picture]) -> None:
    """Keep what is known of pictures; what was known before stays below it, and counts no more."""
    with ledger.transaction() as db:
        db.executemany(
            f"insert into pictures ({', '.join(_COLUMNS)}, at) values (?,?,?,?,?,?,?,?,?)",
            ((*(getattr(picture, name) for name in _COLUMNS), now()) for picture in pictures),
        )


def read_pictures(ledger: Ledger, ids: Iterable[str] | None = None) -> dict[str, Picture]:
    """Id -> picture: of all, or of those named, in the order in which they came."""
    which, values = ("", ()) if ids is None else ("where id in (select value from json_each(?))", [json.dumps([*ids])])
    rows = ledger.rows(
        f"""select {", ".join(f"p.{name}" for name in _COLUMNS)} from pictures p
            join (select min(seq) as first, max(seq) as last from pictures {which} group by id) on p.seq = last
            order by first""",
        *values,
    )
    return {row["id"]: Picture(**dict(row)) for row in rows}


def write_picture(folder: Path, picture: str, jpeg: bytes, view: bytes) -> None:
    """Write the two files of a picture into a project, each whole or absent; what is there and damaged is mended."""
    for path, content in ((picture_file(picture), jpeg), (picture_file(picture, view=True), view)):
        new = folder / path
        if not (new.exists() and new.read_bytes() == content):
            new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(new, content, mode=0o600)


def drop_strangers(project: Project) -> None:
    """Delete the files of a project's pictures that the ledger does not know, as a kill leaves them.

    Whoever calls it holds the lock "images", so that nobody is writing one.
    """
    known = set(read_pictures(project.ledger))
    for path in (project.folder / IMAGES).glob("*/*"):
        if path.name.partition(".")[0] not in known:
            path.unlink(missing_ok=True)


def is_needed(ledger: Ledger, prompt: Prompt) -> bool:
    """Whether another prompt, which is not forgotten, is about the picture of this one."""
    about = {row["id"] for row in ledger.rows("select id from prompts where image = ?", prompt.image)}
    return bool(about - ledger.forgotten("prompt") - {prompt.id})


def files_of(folder: Path, picture: str) -> list[Path]:
    """The files of a picture in a project, in its snapshots and in its runs."""
    homes = [folder, *sorted(folder.glob("snapshots/*")), *sorted(folder.glob("runs/*"))]
    paths = [home / picture_file(picture, view=view) for home in homes for view in (False, True)]
    return [path for path in paths if path.exists()]


def read_picture(folder: Path, picture: str) -> bytes:
    """The JPEG of a picture, whose content is what its id says.

    One that a snapshot or a run lacks, or that was damaged there, is mended from the project around it.

    Args:
        folder: A project, a snapshot, a run or an export.
        picture: Id.

    Raises:
        LostPicture: It is nowhere.
    """
    path = folder / picture_file(picture)
    content, wrong = _checked(path, picture)
    if content is None:
        around = folder.resolve().parent.parent / picture_file(picture)
        content = _checked(around, picture)[0]
        if content is None:
            raise LostPicture(
                f"the picture {path} {wrong}; bring it back into the project with `annot images add` or from a backup, "
                "then run the same command again."
            )
        with contextlib.suppress(OSError):  # a folder that nobody may write into is read all the same
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(around, path)
    return content


def _checked(path: Path, picture: str) -> tuple[bytes | None, str]:
    """The file of a picture; or None, and what is wrong with it."""
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        return None, "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
    fits = hashlib.sha256(content).hexdigest() == picture
    return (content, "") if fits else (None, "was changed: its content is not what its name says")


def has_picture(folder: Path, picture: str) -> bool:
    """Whether the JPEG of a picture is there or in the project around, and is what its id says."""
    try:
        return bool(read_picture(folder, picture))
    except LostPicture:
        return False


def link_pictures(pictures: Iterable[str], source: Path, target: Path) -> None:
    """Give a folder the files of pictures, by id: hard links where both are on one disk, copies elsewhere.

    Args:
        pictures: Ids.
        source: A project, a snapshot or a run.
        target: A snapshot, a run or an export.

    Raises:
        LostPicture: `source` lacks one, or has a damaged one.
    """
    for picture in pictures:
        new = target / picture_file(picture)
        if _checked(new, picture)[0]:
            continue
        read_picture(source, picture)
        new.unlink(missing_ok=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source / picture_file(picture), new)


def link_or_copy(there: Path | str, new: Path | str) -> None:
    """Give a file a second place: a hard link, or a copy, whole or absent."""
    try:
        os.link(there, new)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        write_whole(Path(new), lambda beside: shutil.copyfile(there, beside), mode=0o600)
