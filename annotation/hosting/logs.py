"""Logs of the embedded Argilla's processes, one each: shown and followed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from annotation.hosting.home import ROLES

_LOG_BYTES = 10_000_000  # a longer log is set aside at the next start


def tail(home: Path, lines: int = 50) -> str:
    """The last lines that each process wrote, under a heading."""
    parts = []
    for role in reversed(ROLES):
        written = _last_lines(_log_path(home, role), lines)
        if written:
            parts.append("\n".join([f"== {role} ==", *written]))
    return "\n\n".join(parts)


def follow(home: Path) -> Iterator[str]:
    """What the processes write from now on, as `server: line`; without an end."""
    places = {role: _size(_log_path(home, role)) for role in ROLES}
    unfinished = dict.fromkeys(ROLES, b"")
    while True:
        for role in ROLES:
            path = _log_path(home, role)
            size = _size(path)
            if size < places[role]:  # set aside by a new start
                places[role], unfinished[role] = 0, b""
            if size == places[role]:
                continue
            with path.open("rb") as log:
                log.seek(places[role])
                written = log.read(size - places[role])
            places[role] += len(written)
            *complete, unfinished[role] = (unfinished[role] + written).split(b"\n")
            for line in complete:
                yield f"{role}: {line.decode(errors='replace')}"
        time.sleep(0.3)


def _log_path(home: Path, role: str) -> Path:
    return home / "logs" / f"{role}.log"


def open_log(home: Path, role: str) -> IO[bytes]:
    """Open a log to write at its end; a long one is set aside first."""
    path = _log_path(home, role)
    if _size(path) > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_lines(path: Path, lines: int) -> list[str]:
    size = _size(path)
    if not size or lines < 1:
        return []
    with path.open("rb") as log:
        log.seek(max(0, size - 1000 * lines))
        return log.read().decode(errors="replace").splitlines()[-lines:]


def last_words(home: Path, role: str) -> str:
    """The last line that says something, as a sentence."""
    lines = [line.strip() for line in _last_lines(_log_path(home, role), 20) if line.strip()]
    while lines and "Application startup failed" in lines[-1]:  # uvicorn says that after the reason
        lines.pop()
    last = lines[-1] if lines else "it said nothing"
    return last if last.endswith(".") else f"{last}."
