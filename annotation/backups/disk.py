"""A full or read-only disk in words, and names that survive a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from annotation.errors import ProjectError

TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
"""Errors that are the disk's."""


@contextlib.contextmanager
def disk_sentence(place: Path) -> Iterator[None]:
    """Turn what a full or read-only disk does to a copy into one sentence; nothing was changed by then."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in TROUBLE:
            raise
        reason = problem.strerror
    except sqlite3.OperationalError as problem:
        if not any(word in str(problem) for word in ("full", "readonly", "disk I/O", "unable to open")):
            raise
        reason = str(problem)
    else:
        return
    raise ProjectError(
        f"{place} could not be made ({reason}): make room, or name a place on another disk, and run the same again. "
        "Nothing was changed."
    )


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
