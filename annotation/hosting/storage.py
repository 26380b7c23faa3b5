"""Storage of an embedded Argilla: its own SQLite file or a PostgreSQL, never begun anew in silence."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

from annotation.database_address import Database
from annotation.errors import ServerError
from annotation.hosting.environment import pinned_version
from annotation.hosting.home import Secrets, last_start, new_secrets, read_secrets
from annotation.hosting.postgres import examine
from annotation.project import BRING_BACK

SQLITE = "argilla.db"
_SQLITE_BEGINS = b"SQLite format 3\0"


def require_sound(home: Path) -> None:
    """Look at what `embedded.start` would work on, without starting or changing anything.

    Raises:
        ServerError: A file is damaged or gone, or a newer Argilla has had it.
    """
    require_version(home)
    if not choose_database(home, read_secrets(home), None).database:
        require_sqlite(home)


def require_version(home: Path) -> None:
    """Refuse, before anything is touched, what a newer Argilla has had."""
    last = last_start(home)
    if last and numbers(last.version) > numbers(pinned_version()):
        raise ServerError(
            f"{home} was last served by Argilla {last.version}, this annot brings {pinned_version()}: upgrade annot."
        )


def numbers(version: str) -> tuple[int, ...]:
    """A version, so that newer ones are greater."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def choose_database(home: Path, kept: Secrets | None, named: Database | None) -> Secrets:
    """The secrets with the database to work on.

    Raises:
        ServerError: the project has another one already, or its address is lost.
    """
    last = last_start(home)
    kept = kept or new_secrets()
    address = kept.database or (last.database if last else "")
    used = Database.parse(address) if address else None
    if named is None:
        if used and not kept.database:
            raise ServerError(
                f"{home / 'secrets.json'} is lost, and with it how to enter {used.shown}: "
                "name the database again, with its password, in ANNOT_DATABASE_URL."
            )
        return kept
    if used is None and (home / SQLITE).exists():
        raise ServerError(
            f"This project's people work in {home / SQLITE}, so it cannot go on with {named.shown}: "
            "`annot backup` keeps what there is, `annot move` takes it to another server."
        )
    if used and used.place != named.place:
        raise ServerError(
            f"This project's people work in {used.shown}, so it cannot go on with {named.shown}, which --database, "
            "ANNOT_DATABASE_URL or argilla.database names: `annot backup` and `annot restore` bring it there, "
            "`annot move` takes it to another server."
        )
    if not named.password and used:
        named = replace(named, password=used.password)
    return replace(kept, database=named.address)


def require_sqlite(home: Path) -> None:
    """Refuse to begin anew, with nobody's work in it, where there was a database."""
    last, path = last_start(home), home / SQLITE
    if path.exists() and path.stat().st_size:
        try:
            with path.open("rb") as file:
                if file.read(len(_SQLITE_BEGINS)) != _SQLITE_BEGINS:
                    raise sqlite3.DatabaseError("file is not a database")
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("select count(*) from sqlite_master")
        except sqlite3.DatabaseError as problem:
            raise ServerError(f"{path} is damaged ({problem}): {BRING_BACK}.") from None
    elif last and last.answered and not last.database:
        raise ServerError(
            f"{path} is gone or empty, and with it what people did: {BRING_BACK}, or delete "
            f"{home / 'server.json'} to begin with an empty Argilla."
        )


def require_database(home: Path, python: Path, database: Database, *, known: bool) -> None:
    """Refuse a database that Argilla cannot work on, or that is somebody else's."""
    facts = examine(python, database)
    last = last_start(home)
    before = Database.parse(last.database) if last and last.database else None
    if facts.counts and not known and (before is None or before.place != database.place):
        raise ServerError(
            f"The database at {database.shown} holds something already ({', '.join(list(facts.counts)[:3])} ...) and "
            f"this project never worked there; make an empty one with `createdb` and name that."
        )
