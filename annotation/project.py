"""The project folder: annot.toml, ledger.sqlite, secrets.toml, parquet files, snapshots and runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import tomlkit

from annotation.config import Settings, read_settings
from annotation.errors import ProjectError, SettingsError
from annotation.files import write_whole
from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.settings_file import write_template

IGNORED = ".gitignore"
_SHARED = """# Passwords, keys and what people said: none of it belongs into git. Only what is named here is kept there.
*
!.gitignore
!annot.toml
!guidelines/
!guidelines/**
"""
_BEFORE = "# Passwords, keys and what people said: none of it belongs into git."
"""How the file began when it named what is private, and forgot some of it."""

CACHE = ".cache"
"""Folder in a project of what can be computed again at any time."""

SELECTION = "selection"
"""Folder in a project of what `annot select` found."""

MOVING = ".moving"
"""File in a project that `annot move` has begun to copy and has not finished: the address that it goes to."""

HOLDS_FORGOTTEN = "forgotten.json"
"""File in a snapshot that holds something that `annot forget` took out since: nothing is trained on it any more."""

LOCK_WAIT_S = 600.0
"""How long a second command waits for the first."""

BRING_BACK = "bring the project back with `annot restore` from a backup (`annot backup --list` shows them)"
"""What to do where a database is gone or damaged, within a sentence."""


@dataclass(frozen=True)
class Project:
    """A folder with an annot.toml in it."""

    folder: Path
    settings: Settings

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Read the settings of a project.

        Raises:
            SettingsError: There is no annot.toml, or it is wrong.
        """
        folder = folder.expanduser().resolve()
        settings = read_settings(folder / "annot.toml")
        _keep_private(folder)
        return cls(folder, settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The project's memory, opened on first use.

        Raises:
            ProjectError: It is gone or empty although people have worked here, damaged, or made by a newer annot.
        """
        self.require_ledger()
        return Ledger(self.folder / "ledger.sqlite", lambda: str(self.secrets().get("pseudonym_key", "")))

    def require_ledger(self) -> None:
        """Make sure that no ledger is begun anew where there was one.

        Raises:
            ProjectError: It is gone or empty although people have worked here.
        """
        path = self.folder / "ledger.sqlite"
        if path.exists() and not path.stat().st_size and (self.argilla_home / "server.json").exists():
            raise ProjectError(f"{path} is empty, and this project has an Argilla already: {BRING_BACK}.")
        if not path.exists() and (
            later := [name for name in ("selection", "snapshots") if (self.folder / name).exists()]
        ):
            raise ProjectError(
                f"{path} is gone, and {later[0]} was made from it: {BRING_BACK}, or begin another with `annot init`."
            )

    @property
    def argilla_home(self) -> Path:
        """Where the embedded Argilla keeps its database, logs and keys."""
        return self.folder / ".argilla"

    @property
    def vector_cache(self) -> Path:
        """Where embeddings are kept, by content."""
        return self.folder / "embeddings"

    def known_country(self, named: str) -> str:
        """Code of one of the project's countries, in capitals; "" where none is named.

        Raises:
            SettingsError: It is none of them.
        """
        code, countries = named.upper(), self.settings.project.countries
        if code and code not in countries:
            raise SettingsError(f"--country {named} is none of the project's; it has {', '.join(countries) or 'none'}.")
        return code

    def run_folder(self, run: str) -> Path:
        """Folder of a training run."""
        return self.folder / "runs" / run

    def snapshot_folder(self, snapshot_id: str) -> Path:
        """Folder of a snapshot: rankings.parquet, preferences.parquet, snapshot.json (written last)."""
        return self.folder / "snapshots" / snapshot_id

    @contextlib.contextmanager
    def lock(self, step: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Let one command at a time do a step; a second waits and says for whom.

        The lock is the operating system's: it is gone when its process is, however that ends.

        Raises:
            ProjectError: The other command is still at it after wait_s seconds.
        """
        from filelock import FileLock, Timeout

        place = self.folder / ".locks"
        place.mkdir(exist_ok=True)
        holder, lock = place / f"{step}.json", FileLock(place / f"{step}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = _holder(holder)
            print(f"annot: waiting for {who} to finish its {step} ...", file=sys.stderr)
            try:
                lock.acquire(timeout=wait_s)
            except Timeout:
                raise ProjectError(
                    f"{self.folder} is in use: {who} holds its {step} lock; wait for it, or end it."
                ) from None
        # The address of a database may hold a password.
        command = [re.sub(r"//[^/\s]*@", "//", word) for word in sys.argv[1:]]
        try:
            with contextlib.suppress(OSError):  # a full disk takes no note, and the lock holds all the same
                write_whole(holder, json.dumps({"pid": os.getpid(), "command": command, "since": now()}).encode())
            yield
        finally:
            with contextlib.suppress(OSError):  # a command may name a person, and is nobody's business afterwards
                holder.unlink(missing_ok=True)
            lock.release()

    def secret(self, name: str) -> str | None:
        """A secret from the environment (upper case) or from secrets.toml; None where neither has it.

        Raises:
            ProjectError: secrets.toml can be read by others, or is no TOML.
        """
        if value := os.environ.get(name.upper()):
            return value
        found = self.secrets().get(name.lower())
        return found if isinstance(found, str) else None

    def secrets(self) -> dict[str, Any]:
        """All of secrets.toml."""
        path = self.folder / "secrets.toml"
        if not path.exists():
            return {}
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ProjectError(f"{path} can be read by others on this machine; run `chmod 600 {path}`.")
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            raise ProjectError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
        except tomllib.TOMLDecodeError as error:
            raise ProjectError(f"{path} is no valid TOML: {error}; mend that line.") from None
        if not isinstance(found.get("passwords", {}), dict):
            raise ProjectError(f"{path}: passwords must be a table, [passwords]; mend that line.")
        if wrong := [k for k, v in found.items() if k != "passwords" and not isinstance(v, str)]:
            raise ProjectError(f"{path}: {wrong[0]} must be text in quotes; mend that line.")
        return found

    def keep_secrets(self, values: Mapping[str, Any]) -> None:
        """Add to secrets.toml; a table ("passwords") is merged key by key, and None takes a key out of it.

        Mode 0600, whole or not at all.
        """
        with self.lock("secrets"):
            merged = self.secrets()
            for key, value in values.items():
                if isinstance(value, Mapping):
                    table = {**merged.get(key, {}), **value}
                    merged[key] = {name: kept for name, kept in table.items() if kept is not None}
                else:
                    merged[key] = value
            write_whole(self.folder / "secrets.toml", tomlkit.dumps(merged).encode(), mode=0o600)

    @cached_property
    def _pseudonym_key(self) -> str:
        if key := self.secrets().get("pseudonym_key"):
            return str(key)
        with self.lock("pseudonyms"):  # Two first exports at once must not make two keys.
            if key := self.secrets().get("pseudonym_key"):
                return str(key)
            made = secrets.token_hex(16)
            self.keep_secrets({"pseudonym_key": made})
            return made

    @cached_property
    def pseudonym(self) -> Callable[[str], str]:
        """The name under which an annotator's votes leave the project: a keyed hash, stable in this project."""
        key = self._pseudonym_key.encode()
        return cache(
            lambda annotator: "annotator-" + hashlib.blake2b(annotator.encode(), key=key, digest_size=5).hexdigest()
        )


def init_project(
    folder: Path,
    *,
    name: str,
    countries: Sequence[str],
    languages: Sequence[str],
    **choices: Any,
) -> Project:
    """Make a project folder, which nobody else may enter: annot.toml with comments, and a .gitignore.

    Args:
        folder: Made when missing.
        name: What annotators see.
        countries: ISO 3166 codes, any case.
        languages: ISO 639 codes, any case.
        choices: Other settings that the template takes (encoder, target, overlap, preset).

    Raises:
        SettingsError: There is a project already, or a code is unknown.
    """
    folder = folder.expanduser().resolve()
    settings = write_template(folder / "annot.toml", name=name, countries=countries, languages=languages, **choices)
    if not (folder / IGNORED).exists():
        write_whole(folder / IGNORED, _SHARED.encode())
    _keep_private(folder)
    return Project(folder, settings)


def _keep_private(folder: Path) -> None:
    """Let nobody else on this machine, and no commit, have what people said, who they are and their keys."""
    with contextlib.suppress(OSError):  # a read-only disk, or somebody else's folder: what cannot be done is not
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077 and not mode & stat.S_ISVTX:  # not /tmp
            folder.chmod(mode & 0o700)
        if (ignored := folder / IGNORED).exists():
            lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines()
            if lines[:1] == [_BEFORE] and not any(line.startswith("!") for line in lines):
                write_whole(ignored, _SHARED.encode())


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError):
        facts = json.loads(path.read_text())
        return f"`annot {' '.join(facts['command'])}` (process {facts['pid']}, since {facts['since'][:19]})"
    return "another annot command"
