"""The worker: one process per queue that does Argilla's jobs, and the clock of the rolling backup."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
import traceback
from types import FrameType
from typing import cast

from argilla_server.jobs import dataset_jobs, hub_jobs, webhook_jobs  # noqa: F401  the forks below share them
from argilla_server.jobs.queues import REDIS_CONNECTION
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.scheduler import RQScheduler

from annotation.server import faster
from annotation.server.rolling import RollingBackup
from annotation.server.search import engine  # noqa: F401  jobs look the engine up by its name

# Each queue has a worker of its own, so that an import of an hour never holds up a webhook of the team's.
QUEUES = ("high", "default")

REDIS = cast(Redis, REDIS_CONNECTION)  # ours is no cluster

log = logging.getLogger("annot")


def work() -> None:
    """Keep one worker process per queue alive until SIGTERM, and queue what is to be tried again later."""
    faster.apply(None)
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
    scheduler = RQScheduler(QUEUES, connection=REDIS, logging_level="WARNING")
    scheduler.prepare_registries(QUEUES)  # type: ignore[arg-type]  # rq says str, and goes through several
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


def wait_for_redis() -> None:
    """Redis is started together with us, and reads what it kept before it answers."""
    for _ in range(300):
        try:
            REDIS.ping()
            return
        except RedisError:
            time.sleep(0.1)
    REDIS.ping()


def fork_worker(queue: str) -> int:
    """Start a worker of one queue; returns its process id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent(parent)
    done = 1
    try:
        Worker([queue], connection=REDIS).work(logging_level="WARNING")
        done = 0
    finally:
        if done:  # whatever ended it stands in the log: `_exit` would swallow it
            log.error("The worker of queue %s failed:\n%s", queue, traceback.format_exc())
        os._exit(done)  # a fork must not run what its parent left to do at exit


def die_with_parent(parent: int) -> None:
    """Have this process end when its parent does, by kill -9 as well (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def revive_abandoned_jobs() -> None:
    """Queue again what a killed worker had begun. No worker runs now, so whatever is begun is abandoned."""
    for name in QUEUES:
        queue = Queue(name, connection=REDIS)
        begun = StartedJobRegistry(queue=queue)
        for job_id in cast(list[bytes], REDIS.zrange(begun.key, 0, -1)):
            try:
                job = Job.fetch(job_id.decode(), connection=REDIS)
            except NoSuchJobError:
                log.warning("Job %s was begun but is gone.", job_id)
            else:
                queue.enqueue_job(job, at_front=True)
                log.info("Job %s was begun by a worker that is gone; queued again.", job.id)
            REDIS.zrem(begun.key, job_id)
