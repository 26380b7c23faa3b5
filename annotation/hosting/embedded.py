"""The embedded Argilla: started, stopped and asked how it is.

Argilla's server lives in an environment of its own (`environment.py`) and is reached over HTTP only. Three processes
serve a project and outlive the command that started them (`processes.py`): the web server, the worker of its
background jobs, and Redis, which holds the jobs. Whether they run is read from the list of processes of this machine,
not from a file that a crash could leave behind.

What a project keeps in HOME (`PROJECT/.argilla`, mode 0700):

    argilla.db      everything people did: the only file whose loss would hurt; absent on PostgreSQL
    secrets.json    the owner's password and API key, the key that signs sessions, the passwords of Redis
                    and of PostgreSQL (0600)
    server.json     port, address, database (no password) and version of the last start
    feed.json       half of the change feed's id; see `annotation/server/changes.py`
    vectors/        vectors as files that are mapped into memory
    backups/        the rolling backup; see `annotation/backups/rolling.py`
    redis/          jobs that wait, and Redis's settings
    logs/           what each process said
    tmp/            emptied at every start and stop
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotation import files
from annotation.database_address import Database
from annotation.errors import ServerError
from annotation.hosting.address import (
    HOST,
    ask_version,
    free_port,
    listening_address,
    listens,
    port_sentence,
    reach,
    require_free,
)
from annotation.hosting.environment import ensure_environment, pinned_version
from annotation.hosting.home import (
    ROLES,
    LastStart,
    Secrets,
    close_to_others,
    empty,
    given_owner,
    last_start,
    lock,
    prepare_home,
    read_secrets,
    remember_secrets,
    remember_start,
)
from annotation.hosting.logs import last_words, open_log
from annotation.hosting.processes import (
    Launch,
    RollingBackup,
    all_processes,
    launch_command,
    leaders,
    server_environment,
    spawn_all,
    stop_all,
)
from annotation.hosting.storage import SQLITE, choose_database, require_database, require_sqlite, require_version
from annotation.project import BRING_BACK

if TYPE_CHECKING:
    from annotation.screen import Progress

DEFAULT_PORT = 6900

_PORT_IN_USE = 98  # launch.py's exit status
_START_SECONDS = 120.0  # a slow disk with nothing of the environment in memory yet


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known about a project's Argilla."""

    running: bool
    """All processes are alive and the server answers."""
    url: str
    """Where it is, or was last; empty when it was never started."""
    version: str
    """Argilla's version, empty when it was never started."""
    processes: Mapping[str, int]
    """The process ids of those of server, redis and worker that are alive."""
    detail: str
    """What is wrong and what to do, in a sentence; empty when all is well."""
    host: str = HOST
    """Where else it listens, or listened last, than on the loopback address; that address when nowhere else."""
    database: str = ""
    """The PostgreSQL that it works on, without a password; empty for its own SQLite file."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that may do everything."""

    username: str
    password: str
    api_key: str


# --- what others call ---------------------------------------------------------------------------------


def start(
    home: Path,
    *,
    port: int = DEFAULT_PORT,
    host: str = HOST,
    database: str = "",
    backup: RollingBackup | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> ServerState:
    """Start Argilla for a project and wait until it answers; if it runs already, nothing happens.

    A server that runs on another port than the one asked for is left alone: its people are at work.

    Args:
        home: the project's folder for Argilla; made when missing.
        port: where to listen.
        host: an address of this machine to listen on besides the loopback one; `0.0.0.0` or `::` for all.
            It is not remembered: the next start is for this machine alone unless it is named again.
        database: the address of a PostgreSQL, for a project that has not been started yet; it is remembered.
            Empty: what it worked on before, or its own SQLite file.
        backup: what the worker runs from time to time.
        say: is told what takes long, line by line.

    Raises:
        ServerError: the port is taken, the address or the database cannot be used, the environment cannot be built,
            Argilla was made by a newer annot, or a process ended at once.
    """
    named = Database.parse(database) if database else None
    address = listening_address(host)
    if home.parent.is_dir() and files.is_read_only(home.parent):
        raise ServerError(files.trouble(home.parent))
    home = prepare_home(home)
    with lock(home):
        current = state(home)
        if current.running:
            if address not in (HOST, current.host):
                raise ServerError(
                    f"Argilla runs already, {reach(current.host)}: run `annot down`, then the same command again."
                )
            if named:
                choose_database(home, read_secrets(home), named)  # refuses another one
            return current
        if trouble := files.trouble(home):
            raise ServerError(trouble)
        if all_processes(home):
            say("Parts of Argilla are still running from before; stopping them first.")
            stop_all(home)
        require_version(home)
        for each in dict.fromkeys((HOST, address)):
            require_free(each, port)
        kept = _require_usable(home, named, say)
        shown = Database.parse(kept.database).shown if kept.database else ""
        before = last_start(home)
        begun = LastStart(port, pinned_version(), address, shown, answered=before is not None and before.answered)
        say("Starting Argilla ...")
        return _start(Launch(home, ensure_environment(say), begun, kept, free_port(), backup))


def stop(home: Path) -> bool:
    """Stop all processes of a project; False when there were none.

    The server finishes the requests that it has begun, the worker its job, for ten seconds.
    """
    if not home.is_dir():
        return False
    home = home.resolve()
    with lock(home):
        return stop_all(home)


def state(home: Path) -> ServerState:
    """What runs now."""
    home = home.resolve()
    last = last_start(home)
    processes = {role: process.pid for role, process in leaders(home).items()}
    if not last:
        return ServerState(False, "", "", processes, "Argilla was never started here; run `annot up`.")
    missing = [role for role in ROLES if role not in processes]
    # Who answers there gets the owner's key: nobody but our own process.
    ours = "server" in processes and listens(processes["server"], last.port)
    answered = ask_version(last.port) if ours else None
    if not processes:
        detail = "Argilla is not running; run `annot up`."
    elif missing:
        names = " and ".join(missing)
        detail = f"Argilla's {names} stopped working; run `annot up` to start again. Nothing is lost."
    elif answered is None:
        detail = f"Argilla's server at {last.url} does not answer; see `annot logs`, or run `annot down`, `annot up`."
    else:
        detail = ""
    if trouble := files.trouble(home):
        detail = f"{trouble} {detail}".rstrip()
    running = bool(processes) and not missing and answered is not None
    return ServerState(running, last.url, answered or last.version, processes, detail, last.host, last.database)


def owner(home: Path) -> Owner:
    """The owner's account.

    Raises:
        ServerError: Argilla was never started here.
    """
    found = read_secrets(home)
    if found is None:
        raise ServerError(f"Argilla was never started in {home.parent}, so it has no owner; run `annot up` first.")
    return Owner(found.username, found.password, found.api_key)


def database_of(home: Path) -> str:
    """The address of the PostgreSQL that a project works on, password included; empty for SQLite.

    Raises:
        ServerError: it works on one, but the address is lost.
    """
    return choose_database(home, read_secrets(home), None).database


def adopt(home: Path, *, version: str, database: Database | None = None) -> None:
    """Have a folder that was filled from a backup remember what its server was and works on."""
    kept = read_secrets(home)
    if kept and database:
        remember_secrets(home, replace(kept, database=database.address))
    remember_start(home, LastStart(DEFAULT_PORT, version, database=database.shown if database else "", answered=True))


def reindex(home: Path, report: Progress) -> int:
    """Make again what search needs beside Argilla's own tables, whether Argilla runs or not; how many records it read.

    Raises:
        ServerError: Argilla was never started here, or the database cannot be used.
    """
    home = home.resolve()
    begun, kept = last_start(home), read_secrets(home)
    if begun is None or kept is None:
        raise ServerError(f"Argilla was never started in {home.parent}; run `annot up` first.")
    launch = Launch(home, ensure_environment(lambda _line: None), begun, kept)
    total = 0
    with open_log(home, "reindex") as log:
        process = subprocess.Popen(
            launch_command(launch, "reindex"),
            cwd=home,
            env=server_environment(launch),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number:
                report(int(line), total)
            else:
                total = int(line)
        process.wait()
    finally:
        if process.poll() is None:  # Ctrl-C: what is left is done by the next search
            process.terminate()
            process.wait()
    if process.returncode:
        raise ServerError(f"The index could not be made again: {last_words(home, 'reindex')}")
    return total


# --- a start ------------------------------------------------------------------------------------------


def _require_usable(home: Path, named: Database | None, say: Callable[[str], None]) -> Secrets:
    """The secrets with the database to work on, which was looked at, and kept."""
    found = read_secrets(home)
    kept = given_owner(choose_database(home, found, named))
    if kept.database:
        known = found is not None and found.database != ""  # kept once it was looked at, as below
        require_database(home, ensure_environment(say), Database.parse(kept.database), known=known)
    else:
        require_sqlite(home)
    if kept != found:
        remember_secrets(home, kept)
    return kept


def _start(launch: Launch) -> ServerState:
    """Start the processes and wait until the server answers."""
    home, begun = launch.home, launch.begun
    close_to_others(home)
    empty(home / "tmp")
    remember_start(home, begun)
    launched = spawn_all(launch)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for role, process in launched.items():
            if process.poll() is not None:
                stop_all(home)
                raise ServerError(_why_it_ended(home, role, begun.port, process.returncode))
        if listens(launched["server"].pid, begun.port) and (version := ask_version(begun.port)):
            remember_start(home, replace(begun, version=version, answered=True))
            return state(home)
        time.sleep(0.05)
    stop_all(home)
    last = last_words(home, "server")
    raise ServerError(f"Argilla did not answer within {_START_SECONDS:.0f} s and was stopped: {last}")


def _why_it_ended(home: Path, role: str, port: int, status: int) -> str:
    if role == "server" and status == _PORT_IN_USE:
        return port_sentence(port)
    last_line = last_words(home, role)
    if "Can't locate revision" in last_line:
        return f"The database in {home} was made by a newer Argilla than {pinned_version()}; upgrade annot."
    if "malformed" in last_line or "not a database" in last_line:
        return f"{home / SQLITE} is damaged ({last_line.rpartition(') ')[2].rstrip('.')}): {BRING_BACK}."
    return f"Argilla's {role} ended as soon as it was started (status {status}): {last_line} See `annot logs`."
