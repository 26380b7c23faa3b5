"""What a full or read-only disk does, in words."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

TIGHT_BYTES = 64_000_000
"""With less room, databases and Redis still write, but not for long."""


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
