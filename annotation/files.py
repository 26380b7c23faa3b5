"""Atomic writes, locks that the system gives back, and sentences about full disks."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TIGHT_BYTES = 64_000_000
"""With less room, databases and Redis still write, but not for long."""


def user_cache() -> Path:
    """Folder of what annot keeps for all projects of this user: in XDG_CACHE_HOME, or else in ~/.cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "annot"


def is_read_only(folder: Path) -> bool:
    """Whether the disk of a folder takes no writes; tried, because a disk that failed does not always say so."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return False
    except OSError as problem:
        return problem.errno == errno.EROFS


def trouble(folder: Path) -> str:
    """A sentence when the disk of a folder is full or read-only; empty otherwise."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if is_read_only(folder):
        return f"The disk of {folder} is read-only: make it writable and run the same again; what was kept is kept."
    if (free := disk.f_bavail * disk.f_frsize) < TIGHT_BYTES:
        return (
            f"The disk of {folder} is full ({free / 1e6:.0f} MB free, {TIGHT_BYTES / 1e6:.0f} are needed): "
            "make room and run the same again; what was kept is kept."
        )
    return ""


@contextlib.contextmanager
def lock_file(path: Path, say: Callable[[str], None], waiting: str) -> Iterator[None]:
    """Hold a lock that the system gives back when its holder dies."""
    import filelock

    lock = filelock.FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting:
            say(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """A file beside its place, renamed at the end of the block: it is there whole, or not at all.

    Args:
        path: Where it goes; its folder is made.
        mode: Permissions, set before anything is written.

    Raises:
        OSError: It cannot be written; `filename` says which, also where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    beside = Path(name)
    try:
        try:
            os.fchmod(handle, mode)
        finally:
            os.close(handle)
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as problem:
        if problem.errno and not problem.filename:
            problem.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | Callable[[Path], object], *, mode: int = 0o644) -> None:
    """Write a `whole_file` with these bytes, or with a function that writes the file at the path it is given."""
    with whole_file(path, mode=mode) as beside:
        beside.write_bytes(content) if isinstance(content, bytes) else content(beside)


@contextlib.contextmanager
def whole_folder(to: Path, may_go: Callable[[Path], None], *, mode: int = 0o755) -> Iterator[Path]:
    """A folder beside the target that takes its place when the block ends well, and is gone when it does not.

    Args:
        to: The target.
        may_go: Raises what a person should read where this file, or folder with something in it, may not be replaced.
        mode: Permissions of the folder.
    """
    to = to.resolve()
    old, beside = to.with_name(f".{to.name}.old"), to.with_name(f".{to.name}.part")
    if old.exists() and not to.exists():  # of a process that was killed between the two
        old.rename(to)
    for left in (old, beside):  # of a process that was killed
        if left.is_symlink() or left.is_file():
            left.unlink()
        shutil.rmtree(left, ignore_errors=True)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        may_go(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    beside.mkdir(mode=mode)
    try:
        yield beside
        if to.exists():
            to.rename(old)
        beside.rename(to)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a file, one more than `most` at most; of a pipe or a device nobody waits for any.

    Raises:
        OSError: It cannot be read, is no regular file, or no file can have such a name.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:
        raise OSError(errno.EINVAL, "no file can have such a name") from None
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(most + 1)


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder when all links are followed; one that leads in a circle stays where it is.

    Raises:
        ValueError: No file can have such a name.
    """
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], schema: Any = None) -> None:
    """Write rows as parquet, whole or not at all. An empty list needs a pyarrow schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows), schema=schema)
    write_whole(path, lambda beside: pq.write_table(table, beside))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Read a parquet file of ours as rows; an absent one is empty."""
    import pyarrow.parquet as pq

    if not path.exists():
        return []
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
