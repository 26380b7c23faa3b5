"""The PostgreSQL that an embedded Argilla may work on instead of its SQLite file.

annot has no driver of its own: questions are asked by `annotation/server/database.py` in the server's
environment, copies are made by PostgreSQL's own `pg_dump` and `pg_restore`. All of them are told the
address by libpq's variables (PGHOST, PGPASSWORD, ...): other users of the machine see command lines,
not environments.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.database_address import Database
from annotation.errors import ServerError
from annotation.hosting.environment import SERVER_FOLDER

OLDEST = 14
"""The first major version that we test the like of; older ones get no repairs from their makers either."""

_INSPECT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Facts:
    """What a database says of itself."""

    major: int
    """PostgreSQL's major version."""
    encoding: str
    read_only: bool
    may_create: bool
    """Whether the user may make tables."""
    counts: Mapping[str, int]
    """Rows by table."""
    snapshot: str
    """Name of the moment that the facts are of, while it is held; see `held`."""


def examine(python: Path, database: Database) -> Facts:
    """Ask a database whether Argilla can work on it.

    Args:
        python: the one of Argilla's environment.
        database: where it is.

    Raises:
        ServerError: nobody answers, the user is not let in, there is no such database, it is too old, read-only,
            or of another encoding.
    """
    with held(python, database) as facts:
        pass
    where = f"PostgreSQL at {database.shown}"
    if facts.major < OLDEST:
        raise ServerError(f"{where} is version {facts.major}; Argilla needs {OLDEST} or newer: upgrade it.")
    if facts.encoding != "UTF8":
        raise ServerError(
            f"{where} keeps text as {facts.encoding}; make the database with `createdb -E UTF8 -T template0`."
        )
    if facts.read_only:
        raise ServerError(f"{where} is read-only (a standby?); name the one that takes writes.")
    if not facts.may_create:
        raise ServerError(
            f"{database.user} may not make tables in {where}; run `ALTER DATABASE ... OWNER TO ...` there."
        )
    return facts


@contextlib.contextmanager
def held(python: Path, database: Database) -> Iterator[Facts]:
    """The facts of one moment of a database, and that moment held for `dump` until the block ends."""
    asking = subprocess.Popen(
        [str(python), "-I", str(SERVER_FOLDER / "database.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(database),
        text=True,
    )
    assert asking.stdin is not None
    assert asking.stdout is not None
    assert asking.stderr is not None
    try:
        answer = asking.stdout.readline()
        if not answer:
            raise RuntimeError(f"annotation/server/database.py ended: {asking.stderr.read()}")
        found: dict[str, Any] = json.loads(answer)
        if problem := found.get("problem"):
            raise ServerError(_refusal(database, str(problem)))
        yield Facts(**found)
    finally:
        asking.stdin.close()  # which ends it
        try:
            asking.wait(_INSPECT_SECONDS)
        except subprocess.TimeoutExpired:
            asking.kill()
            asking.wait()
        asking.stdout.close()
        asking.stderr.close()


def _refusal(database: Database, output: str) -> str:
    """One sentence for what PostgreSQL says when it does not let us in."""
    where = f"PostgreSQL at {database.shown}"
    lines = [line.strip().rstrip(".") for line in output.splitlines() if line.strip()]
    reason = lines[-1].partition("FATAL: ")[2].strip() or lines[-1] if lines else "no reason given"
    if "does not exist" in output and "database" in output:
        return f"{where}: there is no such database; make it with `createdb {database.name}` and run the same again."
    if any(word in output for word in ("authentication failed", "no password supplied", "does not exist")):
        return f"{where} does not let {database.user} in ({reason}); check the user, the password and pg_hba.conf."
    if any(word in output for word in ("refused", "timeout", "translate host name", "No such file", "unreachable")):
        return f"{where} does not answer ({reason}); start it, or check its address."
    return f"{where} cannot be used ({reason}); mend that and run the same again."


# --- copies -------------------------------------------------------------------------------------------


def dump(database: Database, facts: Facts, file: Path) -> None:
    """Write the database, as it was at the moment that is held, with `pg_dump`.

    Raises:
        ServerError: pg_dump is missing, is older than the server, or could not go on.
    """
    program = _program("pg_dump", facts.major)
    arguments = ["--format=custom", "--compress=0", f"--snapshot={facts.snapshot}", "--no-owner", "--no-privileges"]
    _run([program, *arguments, f"--file={file}"], database, "be copied")


def load(database: Database, file: Path, *, major: int) -> None:
    """Fill an empty database from what `dump` wrote: whole or not at all.

    Args:
        database: an empty one.
        file: the dump.
        major: the version of pg_dump's server; no older pg_restore reads it.

    Raises:
        ServerError: pg_restore is missing, is too old, or could not go on; the database is as empty as before.
    """
    program = _program("pg_restore", major)
    arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    _run([program, *arguments, f"--dbname={database.name}", str(file)], database, "be filled")


def _program(name: str, major: int) -> str:
    """The first one on PATH that is new enough for a server."""
    found: list[int] = []
    for folder in os.get_exec_path():
        program = shutil.which(name, path=folder)
        if program is None:
            continue
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        if version := re.search(r"\) (\d+)", output):
            found.append(int(version[1]))
            if found[-1] >= major:
                return program
    if found:
        raise ServerError(
            f"{name} on PATH is version {max(found)}, the server is {major}: "
            f"install PostgreSQL's client programs of version {major} or newer."
        )
    raise ServerError(
        f"{name} is not on PATH: install PostgreSQL's client programs (postgresql-client) of version {major} or newer."
    )


def _run(command: Sequence[str], database: Database, what: str) -> None:
    done = subprocess.run(
        command, env=_environment(database), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        reason = lines[0].strip() if lines else f"status {done.returncode}"
        raise ServerError(f"PostgreSQL at {database.shown} could not {what} ({reason}); mend that and run it again.")


def _environment(database: Database) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHON"))}
    return {**others, **database.environment(), "LC_MESSAGES": "C", "LC_ALL": "C.UTF-8"}
