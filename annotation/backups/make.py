"""A backup of a whole project, made while people work and checked.

An archive is a zip file that only its owner may read: it holds passwords and keys, because a server that
comes back without its accounts is of no use. `manifest.json` says what is in it, with a checksum for
every file and the number of rows of every table.

Every database in it is one moment: SQLite's online backup under one read transaction, and `pg_dump` in a
snapshot that PostgreSQL exports. The ledger's moment comes first: what it knows of the server, the copy
of the server holds. What can be computed again is left out, and named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from annotation.backups.archive import (
    DUMP,
    FOLDERS,
    FORMAT,
    LEDGER,
    PICTURES,
    SERVER,
    SINGLE,
    Backup,
    opened,
    pack,
    readable_size,
)
from annotation.backups.copies import copy_sqlite
from annotation.backups.disk import TROUBLE, disk_sentence, sync_folder
from annotation.config import RESTORING
from annotation.database_address import Database
from annotation.errors import ProjectError
from annotation.files import write_whole
from annotation.hosting import embedded, storage
from annotation.hosting.environment import ensure_environment
from annotation.hosting.postgres import dump, held
from annotation.ledger_file import now
from annotation.project import CACHE, IGNORED, MOVING, Project
from annotation.screen import Progress, silent

_ELSEWHERE = ".last-backup.json"
"""File in a project: its last archive that was made outside of its own folders."""
_NOT_WORTH_A_WORD = {".argilla", ".locks", "backups", CACHE, _ELSEWHERE, IGNORED, MOVING, RESTORING}
_STAGING = ".annot-backup-"
"""How the folder's name begins in which an archive is made, beside where it will be."""
_STALE_S = 86_400.0
"""Nothing was written in a folder for so long: whatever began there is over."""
AHEAD_S = 600.0
"""An archive that is dated further ahead was made with a wrong clock."""
_SPARE_BYTES = 64_000_000  # a backup leaves so much to those who work on the same disk
_ENDS_BYTES = 500_000  # what is left of a page, a cluster, a table of contents


# --- what others call ---------------------------------------------------------------------------------


def back_up(project: Project, file: Path | None = None, *, progress: Progress = silent) -> Backup:
    """Copy the project into an archive while people work: whole and checked, or not at all.

    Args:
        project: the project.
        file: the archive to make, or a folder for it (a name without an ending); default: `backups` in the
            project, by name and time.
        progress: told of bytes.

    Raises:
        ProjectError: the file exists, the disk is full or read-only, or a database is damaged.
        ServerError: PostgreSQL, or its pg_dump, cannot be reached, or Argilla's database is gone.
    """
    project.require_ledger()
    place = _place(project, file)
    with disk_sentence(place), _only_one(project):
        folder = file is None or place.is_dir() or not place.suffix
        for own in {place, place.parent} & set(_own_folders(project)):
            own.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder:
            place.mkdir(mode=0o700, exist_ok=True)
        made = _write(project, _new_file(project, place) if folder else place, progress)
    if Path(made.path).parent not in _own_folders(project):
        with contextlib.suppress(OSError):  # a project on a full disk can still be copied to another one
            write_whole(project.folder / _ELSEWHERE, json.dumps(asdict(made)).encode(), mode=0o600)
    return made


def archives(project: Project) -> list[Backup]:
    """The archives in the project's folder, rolling ones too, and the last one made elsewhere; newest first.

    Those dated in the future come last.

    An archive that cannot be read is listed with nothing in it; one elsewhere as it was made, for its disk may be away.
    """
    found = []
    with contextlib.suppress(OSError, ValueError, TypeError):
        elsewhere = Backup(**json.loads((project.folder / _ELSEWHERE).read_bytes()))
        datetime.fromisoformat(elsewhere.made_at)
        facts = (elsewhere.path, elsewhere.made_at, elsewhere.bytes, elsewhere.counts)
        if all(isinstance(value, kind) for value, kind in zip(facts, (str, str, int, dict), strict=True)):
            found.append(elsewhere)
    for folder in _own_folders(project):
        for path in folder.glob("*.zip"):
            try:
                with opened(path) as archive:
                    found.append(archive.backup)
            except ProjectError:
                moment = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
                found.append(Backup(str(path), moment, "", "", "damaged", path.stat().st_size, {}, {}, 0, 0))
    return sorted(found, key=lambda backup: (not is_ahead(backup), backup.made_at), reverse=True)


def is_ahead(backup: Backup) -> bool:
    """Whether an archive is dated in the future: a clock was wrong, so it counts as the newest for nobody."""
    moments = [datetime.fromisoformat(backup.made_at).timestamp()]
    with contextlib.suppress(OSError):
        moments.append(Path(backup.path).stat().st_mtime)
    return max(moments) > time.time() + AHEAD_S


def say_ahead(found: Iterable[Backup]) -> str:
    """A sentence about the archives that are dated in the future; empty without any."""
    paths = [backup.path for backup in found if is_ahead(backup)]
    return f"dated in the future, so never taken for the newest: {', '.join(paths)}" if paths else ""


def _own_folders(project: Project) -> tuple[Path, Path]:
    return rolling_folder(project), project.folder / "backups"


def rolling_folder(project: Project) -> Path:
    """Where the rolling backup keeps its archives."""
    return project.argilla_home / "backups"


# --- making -------------------------------------------------------------------------------------------


def _place(project: Project, file: Path | None) -> Path:
    """The file to make, or the folder for it."""
    path = (file or project.folder / "backups").expanduser().absolute()
    if any(ord(character) < 32 or ord(character) == 127 for character in str(path)):
        raise ProjectError(f"{str(path)!r} holds characters that nobody can type or see; name another file.")
    if path.exists() and not path.is_dir():
        raise ProjectError(f"{path} exists already; name another file.")
    if not {path, path.parent} & set(_own_folders(project)) and not path.parent.is_dir():
        # Perhaps of a disk that is not in: made here, it would be on this one.
        raise ProjectError(f"There is no folder {path.parent}: make it, or put in the disk that it is on.")
    return path


def _new_file(project: Project, folder: Path) -> Path:
    """A name that nothing in a folder has: the time tells archives apart, by the second."""
    while (path := folder / archive_name(project)).exists():
        time.sleep(0.1)
    return path


def archive_name(project: Project) -> str:
    base = re.sub(r"[^\w-]+", "-", project.folder.name) or "project"
    return f"{base}-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"


def _write(project: Project, target: Path, progress: Progress) -> Backup:
    _sweep(project, target.parent)
    _require_room(project, target)
    staging = target.parent / _own_staging(project)
    staging.mkdir(mode=0o700)
    try:
        began = now()
        counts: dict[str, int] = {}
        sources: dict[str, Path] = {}
        if (project.folder / LEDGER).exists():
            sources[LEDGER] = staging / "ledger"
            counts |= _named("ledger", copy_sqlite(project.folder / LEDGER, sources[LEDGER], progress))
        kind, major = _copy_server(project, staging, sources, counts, progress)
        # After the databases: whoever is in them has a password in here.
        sources |= _plain_files(project, target)
        part = staging / target.name
        manifest = {
            "format": FORMAT,
            "made_at": began,
            "annot": version("annot"),
            "argilla": embedded.state(project.argilla_home).version if kind else "",
            "database": kind,
            "postgresql": major,
            "ledger": counts.get("ledger.migrations", 0),
            "counts": dict(sorted(counts.items())),
            "left_out": _left_out(project, target),
        }
        pack(part, sources, manifest, progress)
        with opened(part) as archive:
            archive.check(progress)
            backup = archive.backup
        with part.open("rb") as written:
            os.fsync(written.fileno())
        try:
            os.link(part, target)  # fails where a file has come meanwhile; a rename would replace it
        except FileExistsError:
            raise ProjectError(f"{target} exists already; name another file.") from None
        except OSError:  # a file system without links
            part.rename(target)
        sync_folder(target.parent)
        return replace(backup, path=str(target))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _own_staging(project: Project) -> str:
    """A name that no other project uses, on this machine or on another that shares the disk."""
    place = f"{socket.gethostname()}:{project.folder}"
    return _STAGING + hashlib.sha256(os.fsencode(place)).hexdigest()[:8]


def _sweep(project: Project, folder: Path) -> None:
    """Remove what backups that were killed left; one backup of a project runs at a time, so its own is none at work.

    In the project's own folders also what it left when it was somewhere else, or on another machine.
    """
    own = _own_staging(project)
    shutil.rmtree(folder / own, ignore_errors=True)
    for place in (project.folder, *_own_folders(project)):
        for leftover in place.glob(f"{_STAGING}*"):
            if leftover.name == own or time.time() - _last_written(leftover) > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _last_written(folder: Path) -> float:
    """When something in a folder was last written; another backup may be removing it meanwhile."""
    moments = [time.time()]
    with contextlib.suppress(FileNotFoundError):
        moments = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
    return max(moments)


def _copy_server(
    project: Project, staging: Path, sources: dict[str, Path], counts: dict[str, int], progress: Progress
) -> tuple[str, int]:
    """Copy Argilla's database; its kind, and PostgreSQL's major version."""
    home = project.argilla_home
    if project.settings.argilla.url:
        return "", 0  # people are elsewhere; what an embedded one holds here is from before a move
    address = embedded.database_of(home)
    if address:
        sources[DUMP] = staging / "dump"
        with held(ensure_environment(lambda _line: None), Database.parse(address)) as facts:
            dump(Database.parse(address), facts, sources[DUMP])
        counts |= _named("argilla", facts.counts)
        return "postgresql", facts.major
    storage.require_sound(home)
    if (home / storage.SQLITE).exists():
        sources[SERVER] = staging / "server"
        counts |= _named("argilla", copy_sqlite(home / storage.SQLITE, sources[SERVER], progress))
        return "sqlite", 0
    return "", 0


def _named(kind: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {f"{kind}.{name}": rows for name, rows in counts.items()}


def _folders(project: Project, target: Path) -> list[str]:
    """Folders whose files go into an archive."""
    return [name for name in FOLDERS if name != PICTURES or target.parent != rolling_folder(project)]


def _plain_files(project: Project, target: Path) -> dict[str, Path]:
    names = ["annot.toml", "prices.toml", "secrets.toml"]
    if not project.settings.argilla.url:
        names.append(".argilla/secrets.json")
    found = {name: project.folder / name for name in names if (project.folder / name).is_file()}
    for folder in _folders(project, target):
        for path in sorted((project.folder / folder).rglob("*")):
            name = path.relative_to(project.folder)
            if folder == "snapshots" and PICTURES in name.parts:
                continue  # links to the project's
            # What begins with a dot is being written, or was when somebody was killed.
            if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts):
                found[name.as_posix()] = path
    return found


def _left_out(project: Project, target: Path) -> dict[str, int]:
    taken = {*SINGLE, *_folders(project, target), *_NOT_WORTH_A_WORD, f"{LEDGER}-wal", f"{LEDGER}-shm"}
    if project.settings.argilla.url:
        taken.remove(project.argilla_home.name)
    return {
        path.name: _size(path)
        for path in sorted(project.folder.iterdir())
        if path.name not in taken and not path.name.startswith(_STAGING)
    }


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file())


def _require_room(project: Project, target: Path) -> None:
    """Refuse before the disk is full: those who work need it more."""
    databases = [project.folder / LEDGER, project.argilla_home / storage.SQLITE]
    size = sum(_size(path) + _size(path.with_name(f"{path.name}-wal")) for path in databases if path.exists())
    size += sum(_size(path) for path in _plain_files(project, target).values())
    needed = 2 * size + _ENDS_BYTES  # the copy, and the archive of it
    if target.parent.stat().st_dev == project.folder.stat().st_dev:
        needed += _SPARE_BYTES
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise ProjectError(
            f"The disk of {target.parent} has {readable_size(free)} free, a backup needs {readable_size(needed)}: "
            "make room, or name a file on another disk. Nothing was changed."
        )


@contextlib.contextmanager
def _only_one(project: Project) -> Iterator[None]:
    """One backup of a project at a time. A disk that takes no lock must not keep a copy from going elsewhere."""
    with contextlib.ExitStack() as held_until_the_end:
        try:
            held_until_the_end.enter_context(project.lock("backup"))
        except OSError as problem:
            if problem.errno not in TROUBLE:
                raise
        yield
