"""One process of the embedded Argilla: `launch.py serve HOME` or `launch.py work HOME`.

`serve` brings the database up to date, makes sure of the owner, and answers HTTP on the loopback
interface. `work` does what the server puts off: webhooks, and jobs on whole datasets.

Started by `annotation.embedded`, with HOME as working directory, Argilla's settings in the environment
and `HOME/secrets.json` written. Messages go to standard error, which is a log file.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PORT_IN_USE = 3  # exit status; `annotation.embedded` knows it
DATABASE = "argilla.db"

# Each queue has a worker of its own, so that an import of an hour never holds up a webhook.
QUEUES = ("high", "default")

log = logging.getLogger("annot")


def main(arguments: list[str]) -> int:
    """Run one role until it is told to stop."""
    role, home = arguments[0], Path(arguments[1])
    # Before argilla_server, which else sets up handlers of its own that fold lines at 80 columns.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("annot", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    if role == "serve":
        return serve(home, int(os.environ["ANNOT_PORT"]))
    if role == "work":
        return work()
    raise ValueError(f"unknown role {role!r}")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Importing makes a million objects that stay: looking for garbage among them costs a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


# --- serve --------------------------------------------------------------------------------------------


def serve(home: Path, port: int) -> int:
    """Answer HTTP on 127.0.0.1 until SIGTERM."""
    # Bound before the seconds of importing: two servers never race for a port, and nobody is answered
    # before uvicorn listens.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as problem:
        log.error("Port %d of 127.0.0.1 cannot be used: %s", port, problem.strerror)
        return PORT_IN_USE

    with without_garbage_collection():
        import table_search  # registers itself as the search engine that ARGILLA_SEARCH_ENGINE names
        import uvicorn
        from argilla_server import app

    migrate(home)
    set_owner(json.loads((home / "secrets.json").read_text()))
    log.info("Search is answered by %s from %s.", table_search.NAME, DATABASE)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def migrate(home: Path) -> None:
    """Bring the database to the schema of this Argilla.

    SQLite commits every step of a migration on its own. A new database is therefore made beside its
    place and renamed: one that exists is never half made.
    """
    from alembic import command
    from alembic.config import Config
    from argilla_server.database import ALEMBIC_CONFIG_FILE
    from argilla_server.settings import settings

    # Not Config(file): its logging section would silence every logger that exists.
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(ALEMBIC_CONFIG_FILE).parent / "alembic").replace("%", "%%"))
    if (home / DATABASE).exists():
        command.upgrade(alembic, "head")
        return
    fresh = home / f"{DATABASE}.new"
    for leftover in home.glob(f"{DATABASE}.new*"):
        leftover.unlink()
    address = settings.database_url
    settings.database_url = f"sqlite+aiosqlite:///{fresh.name}"
    try:
        command.upgrade(alembic, "head")
    finally:
        settings.database_url = address
    fresh.rename(home / DATABASE)


def set_owner(owner: dict[str, str]) -> None:
    """Make the owner's account what the file of secrets says."""
    from argilla_server.contexts import accounts
    from argilla_server.database import SyncSessionLocal
    from argilla_server.models import User, UserRole
    from sqlalchemy import select

    with SyncSessionLocal() as session:
        user = session.scalar(select(User).where(User.username == owner["username"]))
        if user is None:
            user = User(first_name="Owner", username=owner["username"], password_hash="")
            session.add(user)
        if not user.password_hash or not accounts.verify_password(owner["password"], user.password_hash):
            user.password_hash = accounts.hash_password(owner["password"])
        user.role, user.api_key = UserRole.owner, owner["api_key"]
        session.commit()


# --- work ---------------------------------------------------------------------------------------------


def work() -> int:
    """Keep one worker process per queue alive until SIGTERM."""
    with without_garbage_collection():
        import table_search  # noqa: F401  jobs look the engine up by its name

        # Imported once here; the processes that do the jobs are forked and share it.
        from argilla_server.jobs import dataset_jobs, hub_jobs, webhook_jobs  # noqa: F401

    revive_abandoned_jobs()
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in workers:
            os.kill(child, signal.SIGTERM)

    workers: dict[int, str] = {}
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for queue in QUEUES:
        workers[fork_worker(queue)] = queue
    log.info("Jobs are done: %s.", ", ".join(QUEUES))
    while workers:
        child, status = os.wait()
        queue = workers.pop(child, None)
        if queue is not None and not stopping:
            log.error("The worker of queue %s ended (%s); starting another.", queue, status)
            time.sleep(1)
            if not stopping:
                workers[fork_worker(queue)] = queue
    return 0


def fork_worker(queue: str) -> int:
    """Start a worker of one queue; returns its process id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with(parent)

    from argilla_server.jobs.queues import REDIS_CONNECTION
    from rq import Worker

    done = 1
    try:
        # The scheduler brings back the webhooks that are to be tried again later.
        Worker([queue], connection=REDIS_CONNECTION).work(with_scheduler=True, logging_level="WARNING")
        done = 0
    except Exception:
        log.exception("The worker of queue %s failed.", queue)
    finally:
        os._exit(done)  # a fork must not run what its parent left to do at exit


def end_with(parent: int) -> None:
    """Have this process end when its parent does, by kill -9 as well (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def revive_abandoned_jobs() -> None:
    """Queue again what a killed worker had begun. No worker runs now, so whatever is begun is abandoned."""
    from argilla_server.jobs.queues import REDIS_CONNECTION
    from rq import Queue
    from rq.exceptions import NoSuchJobError
    from rq.job import Job
    from rq.registry import StartedJobRegistry

    for name in QUEUES:
        queue = Queue(name, connection=REDIS_CONNECTION)
        begun = StartedJobRegistry(queue=queue)
        for job_id in REDIS_CONNECTION.zrange(begun.key, 0, -1):
            try:
                job = Job.fetch(job_id.decode(), connection=REDIS_CONNECTION)
            except NoSuchJobError:
                log.warning("Job %s was begun but is gone.", job_id)
            else:
                queue.enqueue_job(job, at_front=True)
                log.info("Job %s was begun by a worker that is gone; queued again.", job.id)
            REDIS_CONNECTION.zrem(begun.key, job_id)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
