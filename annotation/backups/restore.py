"""Bringing a project back from an archive of `annot backup`."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from annotation.backups.archive import (
    DUMP,
    FOLDERS,
    LEDGER,
    PICTURES,
    SERVER,
    SETTINGS,
    SINGLE,
    Archive,
    Backup,
    opened,
    readable_size,
)
from annotation.backups.copies import count_rows, require_sound
from annotation.backups.disk import disk_sentence, sync_folder
from annotation.config import RESTORING
from annotation.database_address import Database
from annotation.errors import ProjectError, ServerError
from annotation.files import write_whole
from annotation.hosting import embedded
from annotation.hosting.environment import ensure_environment, pinned_version
from annotation.hosting.postgres import examine, load
from annotation.hosting.storage import numbers
from annotation.images.store import has_picture, link_or_copy, link_pictures
from annotation.migrations import MIGRATIONS
from annotation.screen import Progress, silent

_OURS = {RESTORING, *(name.partition("/")[0] for name in SINGLE), *FOLDERS}
"""What a restore that was cut off may have left in the folder."""
_FILLING = "filling"
"""File beside what is staged, from before a PostgreSQL is filled until the end: which one, and with what."""


def restore(
    file: Path, folder: Path, *, database: str = "", dry_run: bool = False, progress: Progress = silent
) -> Backup:
    """Bring a project back from an archive into an empty place: whole, or not at all.

    Args:
        file: the archive.
        folder: missing or empty; one that an interrupted restore left is begun again.
        database: an empty PostgreSQL database for an archive of one; default: the one it was copied from.
        dry_run: check the whole archive, write nothing; the folder does not matter then.
        progress: told of bytes.

    Raises:
        ProjectError: the archive is damaged, cut off, foreign or newer than this annot, or the place is not empty.
        ServerError: the PostgreSQL cannot be reached, or is not empty.
    """
    folder = folder.expanduser().resolve()
    with opened(file) as archive:
        backup = archive.backup
        _require_known(file, backup)
        if database and backup.database != "postgresql":
            raise ProjectError(
                f"{file} holds an Argilla on SQLite; restore it without --database and ANNOT_DATABASE_URL, then "
                "`annot move` takes it to another server."
            )
        if dry_run:
            archive.check(progress)
            return backup
        _require_empty(folder)
        with disk_sentence(folder), _alone(folder), _nothing_left(folder):
            _fill(folder, archive, database, progress)
    return backup


def _require_known(file: Path, backup: Backup) -> None:
    """Refuse what a newer annot, or a newer Argilla, has written."""
    newer = backup.ledger > len(MIGRATIONS) or numbers(backup.argilla) > numbers(pinned_version())
    if newer:
        raise ProjectError(
            f"{file} was made by annot {backup.annot} with Argilla {backup.argilla or 'not started'}, which are newer "
            "than these; upgrade annot, and run the same again."
        )


def _require_empty(folder: Path) -> None:
    """A place is empty, or holds what an interrupted restore left."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ProjectError(f"{folder} is a file; name an empty folder with --project.")
    there = {path.name for path in folder.iterdir()}
    own = _OURS - {SETTINGS} if RESTORING in there else set()
    if foreign := sorted(there - own - {RESTORING}):
        raise ProjectError(
            f"{folder} is not empty ({foreign[0]} is there), and a restore overwrites nothing; "
            "name an empty folder with --project."
        )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, and let no second restore into it; folders that were made go again where this one fails."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ProjectError(f"{folder} cannot be made ({problem.strerror}); name another folder.") from None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProjectError(f"Another command is restoring into {folder}; wait for it.") from None
        except OSError as problem:  # a file system without locks
            if problem.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise
        _require_empty(folder)  # the one before may have finished meanwhile
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in made:
                place.rmdir()
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Take everything away when a restore fails; once a PostgreSQL is being filled, the next one goes on from there."""
    staging = folder / RESTORING
    try:
        yield
    except BaseException:
        if staging.exists() and not (staging / _FILLING).exists() and not (folder / SETTINGS).exists():
            # What a broken disk keeps, the next restore begins with, as after a kill.
            with contextlib.suppress(OSError):
                for path in sorted(folder.iterdir(), key=lambda path: path == staging):
                    _remove(path)
        raise


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fill(folder: Path, archive: Archive, database: str, progress: Progress) -> None:
    """Fill a folder from an archive; what makes it a project comes last."""
    staging, backup = folder / RESTORING, archive.backup
    filling = staging / _FILLING
    staging.mkdir(exist_ok=True)  # before anything is cleared away: until the end it says that all of this is ours
    for leftover in [*folder.iterdir(), *staging.iterdir()]:
        if leftover not in (staging, filling):
            _remove(leftover)
    _unpack(archive, staging, progress)
    for name, kind in ((LEDGER, "ledger"), (SERVER, "argilla")):
        if (staging / name).exists():
            _compare(archive.file, staging / name, kind, backup)
    if backup.database == "postgresql":
        _fill_postgresql(staging, archive, database)
    elif backup.database:
        embedded.adopt(staging / ".argilla", version=backup.argilla)
    _bring_pictures(archive, staging)
    settings = staging / SETTINGS
    _disarm(settings)
    settings.chmod(0o644)
    for part in sorted(staging.iterdir(), key=lambda path: path == settings):
        if part != filling:
            part.rename(folder / part.name)
    filling.unlink(missing_ok=True)
    staging.rmdir()
    sync_folder(folder)


def _bring_pictures(archive: Archive, staging: Path) -> None:
    """Pictures that an archive of the rolling backup lacks, from the project around it; and those of snapshots."""
    place = archive.file.resolve().parent
    if PICTURES in archive.backup.left_out:
        pictures = place.parent.parent / PICTURES
        # Beside an archive that was taken elsewhere, a folder of that name holds anything.
        if place.match(".argilla/backups") and pictures.is_dir():
            shutil.copytree(pictures, staging / PICTURES, copy_function=link_or_copy)
        else:
            print(
                f"annot: the archive holds no pictures, as it is one of the rolling backup: copy the folder {PICTURES} "
                "of its project here.",
                file=sys.stderr,
            )
    for rankings in staging.glob("snapshots/*/rankings.parquet"):
        import pyarrow.parquet as pq

        if "image" in pq.read_schema(rankings).names:
            named = set(pq.read_table(rankings, columns=["image"])["image"].to_pylist())
            # What is not there, as what was forgotten since, whoever trains on the snapshot is told of.
            there = [picture for picture in sorted(filter(None, named)) if has_picture(staging, picture)]
            link_pictures(there, staging, rankings.parent)


def _disarm(settings: Path) -> None:
    """Take out the launcher that stands in an archive, and name its server: nobody here has looked at either.

    The one would run at a sync, and the other be sent a key.
    """
    with contextlib.suppress(tomlkit.exceptions.ParseError, UnicodeDecodeError):  # no command runs on such settings
        found: dict[str, Any] = tomlkit.parse(settings.read_text(encoding="utf-8-sig"))
        train, argilla = found.get("train"), found.get("argilla")
        if isinstance(argilla, Mapping) and argilla.get("url"):
            print(f"annot: its Argilla is {argilla['url']}: every sync sends ARGILLA_API_KEY there.", file=sys.stderr)
        launcher = train.get("launcher", "local") if isinstance(train, Mapping) else "local"
        if launcher != "local":
            found["train"]["launcher"] = tomlkit.string("local").comment(f"it was {launcher!r}")
            write_whole(settings, tomlkit.dumps(found).encode(), mode=0o600)
            print(
                f"annot: the archive's launcher, {launcher!r}, is taken out of {SETTINGS}: put it back if you know it.",
                file=sys.stderr,
            )


def _unpack(archive: Archive, staging: Path, progress: Progress) -> None:
    """Write every member below a folder, and have it on the disk."""
    needed, free = sum(member.bytes for member in archive.members), shutil.disk_usage(staging).free
    if free < needed:
        raise ProjectError(
            f"The disk of {staging.parent} has {readable_size(free)} free, the archive holds {readable_size(needed)}: "
            "make room, or name a folder on another disk."
        )
    for member in archive.members:
        target = staging / member.name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as content:
            archive.extract(member, content, progress)
            content.flush()
            os.fsync(content.fileno())


def _compare(file: Path, path: Path, kind: str, backup: Backup) -> None:
    """Compare a database with what the manifest says of it."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            require_sound(database, path)
            counts = count_rows(database)
    except sqlite3.DatabaseError as problem:
        raise ProjectError(f"{file} holds a damaged database ({problem}); take another archive.") from None
    _require_counts(file, kind, counts, backup)


def _require_counts(file: Path, kind: str, found: Mapping[str, int], backup: Backup) -> None:
    promised = {key.partition(".")[2]: rows for key, rows in backup.counts.items() if key.partition(".")[0] == kind}
    if dict(found) != promised:
        raise ProjectError(f"{file} holds other numbers of rows than it says; take another archive.")


def _fill_postgresql(staging: Path, archive: Archive, database: str) -> None:
    """Fill an empty PostgreSQL in one transaction, and have the project remember it.

    One that a restore of the same content has filled before it was cut off is taken as it is.
    """
    home, filling, backup = staging / ".argilla", staging / _FILLING, archive.backup
    (dumped,) = (member.sha256 for member in archive.members if member.name == DUMP)
    target = Database.parse(database or embedded.database_of(home))
    python = ensure_environment(lambda _line: None)
    note = f"{target.shown} {dumped}"
    if there := examine(python, target).counts:
        if not (filling.exists() and filling.read_text(encoding="utf-8") == note):
            raise ServerError(
                f"The database at {target.shown} is not empty ({sorted(there)[0]} is there), and a restore overwrites "
                "nothing; make an empty one with `createdb` and name it with --database."
            )
    else:
        write_whole(filling, note.encode(), mode=0o600)
        load(target, staging / DUMP, major=backup.postgresql)
    _require_counts(archive.file, "argilla", examine(python, target).counts, backup)
    embedded.adopt(home, version=backup.argilla, database=target)
    (staging / DUMP).unlink()
