"""Files of the embedded Argilla in a project's `.argilla`, mode 0700: its secrets, its last start, its logs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from annotation.errors import ServerError
from annotation.files import is_read_only, lock_file, write_whole
from annotation.hosting.address import HOST
from annotation.passwords import make_password

ROLES = ("redis", "worker", "server")
"""The processes, each with a log of its own."""


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
    write_whole(home / "server.json", json.dumps(asdict(begun)).encode(), mode=0o600)


def read_secrets(home: Path) -> Secrets | None:
    """The secrets; None before the first start.

    Raises:
        ServerError: the file is damaged. It is never replaced in silence.
    """
    path = home / "secrets.json"
    try:
        kept = Secrets(**json.loads(path.read_text()))
        # They become lines of Redis's configuration and headers: a line of its own in one of them would be obeyed.
        if not all(isinstance(value, str) and value.isprintable() for value in asdict(kept).values()):
            raise ValueError("a value that annot never makes")
        if not all(re.fullmatch(r"[\w-]+", key) for key in (kept.redis_password, kept.session_key)):
            raise ValueError("a key that annot never makes")
        return kept
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as problem:
        raise ServerError(
            f"{path} is damaged: delete it and run `annot up`, which makes a new password and API key for the owner."
        ) from problem


def remember_secrets(home: Path, kept: Secrets) -> None:
    """Write secrets.json."""
    write_whole(home / "secrets.json", (json.dumps(asdict(kept), indent=2) + "\n").encode(), mode=0o600)


def new_secrets() -> Secrets:
    """Secrets that nobody can guess."""
    return Secrets(
        username="owner",
        password=make_password(),
        api_key=secrets.token_urlsafe(48),
        session_key=secrets.token_hex(32),
        redis_password=secrets.token_hex(32),
    )


def given_owner(kept: Secrets) -> Secrets:
    """The secrets with the owner's password and API key from the environment: a container may have no shell to ask."""
    given = {
        name: value
        for name, variable in (("password", "ANNOT_OWNER_PASSWORD"), ("api_key", "ANNOT_OWNER_API_KEY"))
        if (value := os.environ.get(variable, ""))
    }
    for name, value in given.items():
        # Argilla's own limits: nobody could log in with another.
        if not 8 <= len(value) <= 100 or not value.isascii() or not value.isprintable():
            raise ServerError(f"ANNOT_OWNER_{name.upper()} must be 8 to 100 letters, digits and signs; choose another.")
    return replace(kept, **given)


def empty(folder: Path) -> None:
    """Make a folder anew."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


@contextlib.contextmanager
def lock(home: Path) -> Iterator[None]:
    """Let one command at a time start or stop it."""
    if is_read_only(home):  # nothing can be begun there, only stopped
        yield
        return
    with lock_file(home / "lock", lambda _line: None, ""):
        yield
