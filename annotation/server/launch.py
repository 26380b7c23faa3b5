"""One process of the embedded Argilla: `launch.py serve HOME`, `launch.py work HOME` or `launch.py reindex HOME`.

`serve` brings the database up to date, makes sure of the owner, and answers HTTP on the loopback interface
(`serving.py`). `work` does what the server puts off: jobs on whole datasets, and webhooks (`jobs.py`). `reindex` makes
again what search and the change feed need beside Argilla's tables, and ends (`schema.py`).

Started by `annotation.hosting.embedded`, with HOME as working directory, Argilla's settings in the environment
and `HOME/secrets.json` written. Messages go to standard error, which is a log file.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import logging
import os
import shutil
import socket
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

PORT_IN_USE = 98  # exit status; `annotation.hosting.embedded` knows it
EVERY = ("0.0.0.0", "::")

UNUSED = {
    "argilla_server.search_engine.elasticsearch": "ElasticSearchEngine",
    "argilla_server.search_engine.opensearch": "OpenSearchEngine",
}
"""Modules of Argilla's that are not loaded, and what others import from them: ours is the engine that is asked."""

APP = {"argilla_server._app": "app"}
"""The web server's app, which the other roles do not need."""

log = logging.getLogger("annot")

_held: IO[str] | None = None  # open as long as the process lives

# Started by its path, in an environment where annot is not installed: of the folders around, only ours is to be seen.
if "annotation" not in sys.modules:
    package = types.ModuleType("annotation")
    package.__path__ = [str(Path(__file__).parent.parent)]
    sys.modules["annotation"] = package


def main(arguments: list[str]) -> int:
    """Run one role until it is told to stop."""
    role, home = arguments[0], Path(arguments[1])
    limit_arenas()
    if rounds := os.environ.get("ANNOT_PASSWORD_ROUNDS"):
        cheapen_passwords(int(rounds))
    # Before argilla_server, which else sets up handlers of its own that fold lines at 80 columns.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("annot", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        return {"serve": serve, "work": work, "reindex": reindex}[role](home)
    except Exception as problem:
        log.exception("The traceback, for whoever mends this:")
        # Last, and in one line: `annot up` repeats it.
        log.critical("%s: %s", type(problem).__name__, str(problem).partition("\n")[0])
        return 1


# --- roles: each imports for seconds what it needs ----------------------------------------------------


def serve(home: Path) -> int:
    """Answer HTTP on 127.0.0.1, and where ANNOT_HOST says besides, until SIGTERM."""
    # Before the seconds of importing: two servers never race for a port. Who connects meanwhile waits.
    host, port = os.environ.get("ANNOT_HOST", "127.0.0.1"), int(os.environ["ANNOT_PORT"])
    try:
        # 0.0.0.0 and :: include the loopback address.
        listeners = [bind(name, port) for name in dict.fromkeys((host,) if host in EVERY else ("127.0.0.1", host))]
    except OSError as problem:
        log.error("Port %d of %s cannot be used: %s", port, host, problem.strerror)
        return PORT_IN_USE
    if not hold(home):
        log.error(
            "Another Argilla, in another container perhaps, is at work on the database in %s; stop that one.", home
        )
        return 1
    with frugal_import():
        from annotation.server import serving
    return 0 if serving.serve(home, listeners) else 1


def hold(home: Path) -> bool:
    """Keep a project's database for this process until it ends, however it ends; False where another has it."""
    global _held
    _held = (home / "server.lock").open("w")
    try:
        fcntl.flock(_held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def work(_home: Path) -> int:
    """Do the jobs until SIGTERM."""
    with frugal_import(APP):
        from annotation.server import jobs
    jobs.work()
    return 0


def reindex(_home: Path) -> int:
    """Make the tables beside Argilla's again."""
    with frugal_import(APP):
        from annotation.server import schema
    schema.reindex()
    return 0


def bind(host: str, port: int) -> socket.socket:
    """A socket on an address of this machine; `::` takes IPv4 as well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
    listener.bind((host, port))
    listener.listen()  # two sockets may be bound to one port as long as neither listens
    return listener


# --- time and memory ----------------------------------------------------------------------------------


def limit_arenas() -> None:
    """Two heaps for all threads: glibc gives each thread its own, and each keeps what was once its peak."""
    if sys.platform == "linux":
        arena_max = -8
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(arena_max, 2)


def cheapen_passwords(rounds: int) -> None:
    """Hash the passwords of new accounts in 2 ** rounds rounds, and not in bcrypt's 4,096.

    Those take a quarter of a second: too long for tests that make hundreds of people, whose passwords nobody guesses.
    """
    import bcrypt

    bcrypt.gensalt = functools.partial(bcrypt.gensalt, rounds)


@contextmanager
def frugal_import(also: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Imports of Argilla without what is not used, and without garbage collection.

    Importing makes a million objects that stay: looking for garbage among them costs a second.

    Args:
        also: more modules that are not loaded, as in UNUSED.
    """
    import bcrypt

    lazy_hub_import()
    for name, what in {**UNUSED, **also}.items():
        sys.modules[name] = types.ModuleType(name)
        setattr(sys.modules[name], what, None)
    hashpw, copytree = bcrypt.hashpw, shutil.copytree
    # Where no account has the name, Argilla compares the password with a hash that it makes here. This one takes as
    # long to compare, and no time to make.
    bcrypt.hashpw = lambda *_: b"$2b$12$" + b"." * 53
    # It copies its page, to write an address into it, and with it compressed files, which it never serves.
    packed = shutil.ignore_patterns("*.br", "*.gz")
    shutil.copytree = lambda source, target, links=False, ignore=packed, *rest: copytree(
        source, target, links, ignore, *rest
    )
    gc.disable()
    try:
        yield
    finally:
        bcrypt.hashpw, shutil.copytree = hashpw, copytree
        gc.enable()
        gc.freeze()


def lazy_hub_import() -> None:
    """A stand-in for Argilla's exchange with the Hugging Face Hub, which is loaded when it is first used.

    That module alone brings pandas, pyarrow and datasets: 100 MB in each process and a third of the time
    that a start takes. Its two classes are only ever called, by jobs; calling them loads it.
    """
    name = "argilla_server.contexts.hub"
    stand_in = types.ModuleType(name)

    def load(class_name: str) -> Callable[..., Any]:
        def make(*arguments: Any) -> Any:
            if sys.modules[name] is stand_in:
                del sys.modules[name]
            return getattr(importlib.import_module(name), class_name)(*arguments)

        return make

    for class_name in ("HubDataset", "HubDatasetExporter"):
        setattr(stand_in, class_name, load(class_name))
    sys.modules[name] = stand_in


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
