"""One process of the embedded Argilla: `launch.py serve HOME`, `launch.py work HOME` or `launch.py reindex HOME`.

`serve` brings the database up to date, makes sure of the owner, and answers HTTP on the loopback
interface. `work` does what the server puts off: webhooks, and jobs on whole datasets. `reindex` makes
again what search needs beside Argilla's tables, and ends.

Started by `annotation.embedded`, with HOME as working directory, Argilla's settings in the environment
and `HOME/secrets.json` written. Messages go to standard error, which is a log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic.config import Config
    from fastapi import FastAPI

PORT_IN_USE = 98  # exit status; `annotation.embedded` knows it
EVERY = ("0.0.0.0", "::")
DATABASE = "argilla.db"

# Each queue has a worker of its own, so that an import of an hour never holds up a webhook.
QUEUES = ("high", "default")
WEBHOOKS = "high"

log = logging.getLogger("annot")


def main(arguments: list[str]) -> int:
    """Run one role until it is told to stop."""
    role, home = arguments[0], Path(arguments[1])
    share_heap()
    # Before argilla_server, which else sets up handlers of its own that fold lines at 80 columns.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("annot", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        if role == "reindex":
            return reindex()
        return serve(home, int(os.environ["ANNOT_PORT"])) if role == "serve" else work()
    except Exception as problem:
        log.exception("The traceback, for whoever mends this:")
        # Last, and in one line: `annot up` repeats it.
        log.critical("%s: %s", type(problem).__name__, str(problem).partition("\n")[0])
        return 1


def share_heap() -> None:
    """Have all threads take memory from two heaps: glibc gives each its own, and each keeps what was once its peak."""
    if sys.platform == "linux":
        arena_max = -8
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(arena_max, 2)


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
    """Answer HTTP on 127.0.0.1, and where ANNOT_HOST says besides, until SIGTERM."""
    # Bound before the seconds of importing: two servers never race for a port, and nobody is answered
    # before uvicorn listens.
    host = os.environ.get("ANNOT_HOST", "127.0.0.1")
    try:
        # 0.0.0.0 and :: include the loopback address.
        listeners = [bind(name, port) for name in dict.fromkeys((host,) if host in EVERY else ("127.0.0.1", host))]
    except OSError as problem:
        log.error("Port %d of %s cannot be used: %s", port, host, problem.strerror)
        return PORT_IN_USE

    put_off_hub()
    with without_garbage_collection():
        import guard
        import table_search  # registers itself as the search engine that ARGILLA_SEARCH_ENGINE names
        import uvicorn
        from argilla_server import app

        make_faster(app)

    migrate(home)
    make_side_tables()
    set_owner(json.loads((home / "secrets.json").read_text()))
    mend_record_status()
    log.info("Search is answered by %s from %s.", table_search.NAME, DATABASE)
    config = uvicorn.Config(
        guard.around(app),
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=5,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            # What a crash, a restore or another layout left to be indexed, before somebody searches.
            table_search.TableSearchEngine.instance().catch_up_soon()

    server = Server(config)
    server.run(sockets=listeners)
    return 0 if server.started else 1


def bind(host: str, port: int) -> socket.socket:
    """A socket on an address of this machine; `::` takes IPv4 as well."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
    listener.bind((host, port))
    return listener


def make_faster(app: FastAPI | None) -> None:
    """Replace what is slow in Argilla, unless ANNOT_AS_RELEASED asks for its own code: to compare, or to rule out."""
    if os.environ.get("ANNOT_AS_RELEASED"):
        log.warning("ANNOT_AS_RELEASED is set: Argilla's own code, and slower.")
        return
    import faster
    from argilla_server.database import async_engine

    faster.install(app, async_engine)


def migrate(home: Path) -> None:
    """Bring the database to the schema of this Argilla.

    PostgreSQL takes all steps of a migration or none. SQLite commits every step on its own: a new
    database is therefore made beside its place and renamed, so that one that exists is never half made.
    """
    from alembic import command
    from argilla_server.settings import settings

    alembic = alembic_settings()
    if settings.database_is_postgresql or (home / DATABASE).exists():
        make_way(alembic)
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


def alembic_settings() -> Config:
    """Argilla's migrations, for alembic's commands."""
    from alembic.config import Config
    from argilla_server.database import ALEMBIC_CONFIG_FILE

    # Not Config(file): its logging section would silence every logger that exists.
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(ALEMBIC_CONFIG_FILE).parent / "alembic").replace("%", "%%"))
    return alembic


def make_way(alembic: Config) -> None:
    """Drop our indexes and triggers before Argilla's tables change: what they name cannot be dropped."""
    import indexes
    import text_index
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from argilla_server.database import sync_engine

    with sync_engine.connect() as connection:
        now = MigrationContext.configure(connection).get_current_revision()
        if now != ScriptDirectory.from_config(alembic).get_current_head():
            indexes.drop(connection)
            indexes.drop_triggers(connection)
            text_index.forget_layout(connection)
            connection.commit()


def make_side_tables() -> None:
    """Make the tables beside Argilla's that search needs, where they are missing."""
    from argilla_server.database import sync_engine
    from table_search import TableSearchEngine

    with sync_engine.connect() as connection:
        TableSearchEngine.instance().set_up(connection)
        connection.commit()


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


def mend_record_status() -> None:
    """Bring every record's status in line with its answers.

    Argilla stores an answer in one transaction and what it means for its record in the next. A server
    that was killed between the two leaves a record in the queue that has all its answers already.
    """
    from argilla_server.database import SyncSessionLocal
    from argilla_server.enums import RecordStatus, ResponseStatus
    from argilla_server.models import Dataset, Record, Response
    from sqlalchemy import func, select, update

    answers = (
        select(func.count())
        .where(Response.record_id == Record.id, Response.status == ResponseStatus.submitted)
        .scalar_subquery()
    )
    with SyncSessionLocal() as session:
        # Dataset by dataset: an index holds its records by status, another a record's answers by theirs.
        for dataset_id, distribution in session.execute(select(Dataset.id, Dataset.distribution)).all():
            needed = distribution["min_submitted"]
            for was, now, wrong in (
                (RecordStatus.pending, RecordStatus.completed, answers >= needed),
                (RecordStatus.completed, RecordStatus.pending, answers < needed),
            ):
                records = update(Record).where(Record.dataset_id == dataset_id, Record.status == was, wrong)
                mended = session.execute(records.values(status=now), execution_options={"synchronize_session": False})
                if mended.rowcount:
                    log.info("%d records are %s, which a crash had kept from being noted.", mended.rowcount, now)
        session.commit()


# --- reindex ------------------------------------------------------------------------------------------


def reindex() -> int:
    """Make the tables beside Argilla's again, whether a server runs or not.

    Standard output gets a number per line: how many records there are, then how many of them are done.
    Whoever searches meanwhile waits for the dataset in question to be done.
    """
    put_off_hub()
    with without_garbage_collection():
        from argilla_server.database import sync_engine
        from table_search import TableSearchEngine

    engine = TableSearchEngine.instance()
    with sync_engine.connect() as connection:
        print(engine.reindex(connection))
        connection.commit()
    asyncio.run(engine.text.catch_up(tell=print))
    return 0


# --- work ---------------------------------------------------------------------------------------------


def work() -> int:
    """Keep one worker process per queue alive until SIGTERM, and queue what is to be tried again later."""
    put_off_hub()
    with without_garbage_collection():
        import table_search  # noqa: F401  jobs look the engine up by its name
        from argilla_server.jobs import dataset_jobs, hub_jobs, webhook_jobs  # noqa: F401
        from argilla_server.jobs.queues import REDIS_CONNECTION
        from redis.exceptions import RedisError
        from rolling import RollingBackup
        from rq.scheduler import RQScheduler

        make_faster(None)

    # The modules of the jobs were imported once: the processes that do the jobs are forked and share them.
    wait_for_redis()
    revive_abandoned_jobs()
    stopping = False
    workers: dict[int, str] = {}

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in workers:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for queue in QUEUES:
        workers[fork_worker(queue)] = queue
    log.info("Jobs are done: %s.", ", ".join(QUEUES))

    # Webhooks that failed are tried again later. rq would fork a scheduler for every worker, and have it wait
    # ten minutes for the lock of one that was killed; there is only one of us, so none is needed.
    scheduler = RQScheduler(QUEUES, connection=REDIS_CONNECTION, logging_level="WARNING")
    scheduler.prepare_registries(QUEUES)
    backup = RollingBackup.from_environment()
    while workers:
        child, status = os.waitpid(-1, os.WNOHANG)
        if queue := workers.pop(child, ""):
            if not stopping:
                log.error("The worker of queue %s ended (%s); starting another.", queue, status)
                time.sleep(1)
            if not stopping:
                workers[fork_worker(queue)] = queue
            continue
        if backup and not stopping:
            backup.begin_if_due()
        try:
            scheduler.enqueue_scheduled_jobs()
        except RedisError as problem:
            log.error("Redis does not answer: %s", problem)
            time.sleep(2)
        time.sleep(0.5)
    return 0


def put_off_hub() -> None:
    """Have Argilla load its exchange with the Hugging Face Hub when it is first used.

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


def wait_for_redis() -> None:
    """Redis is started together with us, and reads what it kept before it answers."""
    from argilla_server.jobs.queues import REDIS_CONNECTION
    from redis.exceptions import RedisError

    for _ in range(300):
        try:
            REDIS_CONNECTION.ping()
            return
        except RedisError:
            time.sleep(0.1)
    REDIS_CONNECTION.ping()


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
    from rq import SimpleWorker, Worker

    done = 1
    try:
        kind = Worker
        if queue == WEBHOOKS:
            deliver_in_this_process()
            kind = SimpleWorker
        kind([queue], connection=REDIS_CONNECTION).work(logging_level="WARNING")
        done = 0
    finally:
        if done:  # whatever ended it stands in the log: `_exit` would swallow it
            log.error("The worker of queue %s failed:\n%s", queue, traceback.format_exc())
        os._exit(done)  # a fork must not run what its parent left to do at exit


def deliver_in_this_process() -> None:
    """Let webhooks be delivered without a process for each: that takes longer than the call, and they would pile up.

    Each job has an event loop of its own, which no connection to the database may outlive.
    """
    import httpx
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.settings import settings
    from argilla_server.webhooks.v1 import commons
    from sqlalchemy import NullPool
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        settings.database_url,
        poolclass=NullPool,
        connect_args=settings.database_engine_args.get("connect_args", {}),
    )
    AsyncSessionLocal.configure(bind=engine)
    # One client, for what it reads at its making: `httpx.post` reads all certificates of the world for each call.
    client = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
    commons.httpx = types.SimpleNamespace(post=client.post)


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
