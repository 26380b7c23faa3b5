"""What the embedded Argilla keeps in a project's `.argilla`, mode 0700: its secrets, its last start, its logs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from annotation import disk
from annotation.errors import ServerError
from annotation.server_address import HOST
from annotation.server_environment import lock_file

ROLES = ("redis", "worker", "server")
"""The processes, each with a log of its own."""

_LOG_BYTES = 10_000_000  # a longer log is set aside at the next start


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What secrets.json holds."""

    username: str
    password: str
    api_key: str
    session_key: str
    redis_password: str
    database: str = ""


@dataclass(frozen=True, slots=True)
class LastStart:
    """What server.json remembers."""

    port: int
    version: str
    host: str = HOST
    database: str = ""
    answered: bool = False
    """Whether a server ever did, here: then there is a database."""

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{HOST}:{self.port}"


def prepare_home(home: Path) -> Path:
    """Make the folder where it is missing, closed to others; its real path."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    (home / "logs").mkdir(mode=0o700, exist_ok=True)
    return home.resolve()


def close_to_others(home: Path) -> None:
    """Take from others what an earlier version, or a person, left open; nothing runs that makes or removes files."""
    for path in home.rglob("*"):
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700 if path.is_dir() else 0o600)


def last_start(home: Path) -> LastStart | None:
    """The last start; a damaged file counts as none, the next start mends it."""
    try:
        written = json.loads((home / "server.json").read_text())
        return LastStart(
            int(written["port"]),
            str(written["version"]),
            str(written.get("host", HOST)),
            str(written.get("database", "")),
            written.get("answered") is True,
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def remember_start(home: Path, begun: LastStart) -> None:
    """Write server.json."""
    write_private(home / "server.json", json.dumps(asdict(begun)))


def read_secrets(home: Path) -> Secrets | None:
    """The secrets; None before the first start.

    Raises:
        ServerError: the file is damaged. It is never replaced in silence.
    """
    path = home / "secrets.json"
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as problem:
        raise ServerError(
            f"{path} is damaged: delete it and run `annot up`, which makes a new password and API key for the owner."
        ) from problem


def new_secrets() -> Secrets:
    """Secrets that nobody can guess."""
    return Secrets(
        username="owner",
        password=secrets.token_urlsafe(18),
        api_key=secrets.token_urlsafe(48),
        session_key=secrets.token_hex(32),
        redis_password=secrets.token_hex(32),
    )


def told_owner(kept: Secrets) -> Secrets:
    """The secrets with the owner's password and API key from the environment: a container may have no shell to ask."""
    told = {
        name: value
        for name, variable in (("password", "ANNOT_OWNER_PASSWORD"), ("api_key", "ANNOT_OWNER_API_KEY"))
        if (value := os.environ.get(variable, ""))
    }
    for name, value in told.items():
        # Argilla's own limits: nobody could log in with another.
        if not 8 <= len(value) <= 100 or not value.isascii() or not value.isprintable():
            raise ServerError(f"ANNOT_OWNER_{name.upper()} must be 8 to 100 letters, digits and signs; choose another.")
    return replace(kept, **told)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read: whole or not at all, and never readable in between."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def empty(folder: Path) -> None:
    """Make a folder anew."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


@contextlib.contextmanager
def lock(home: Path) -> Iterator[None]:
    """Let one command at a time start or stop it."""
    if disk.is_read_only(home):  # nothing can be begun there, only stopped
        yield
        return
    with lock_file(home / "lock", lambda _line: None, ""):
        yield


# --- logs -------------------------------------------------------------------------------------------


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
    said = [line.strip() for line in _last_lines(_log_path(home, role), 20) if line.strip()]
    while said and "Application startup failed" in said[-1]:  # uvicorn says that after the reason
        said.pop()
    last = said[-1] if said else "it said nothing"
    return last if last.endswith(".") else f"{last}."
