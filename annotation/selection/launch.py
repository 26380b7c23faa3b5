"""Launch of the work on shards: in processes of this machine, or on a Ray cluster.

The shard of a worker that is killed is done again, and no other. Every worker computes with one thread, so that its
vectors are the same to the last bit wherever it runs.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from annotation.errors import AnnotError, ProjectError
from annotation.screen import Progress
from annotation.selection.shards import Work, select_shard

TRIES = 3
"""Workers that may die over one shard."""

WORKER_BYTES = 3 * 2**29
"""Memory of one worker: the encoder, and a shard."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def default_processes() -> int:
    """As many as this machine has cores for, and memory."""
    import psutil

    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else psutil.cpu_count()
    return int(max(1, min(cores, psutil.virtual_memory().available // WORKER_BYTES)))


def run_processes(work: Work, shards: Sequence[str], processes: int, progress: Progress) -> None:
    """Work on shards in processes of their own; another takes over the shard of one that dies.

    Raises:
        AnnotError: As a worker met it.
        ProjectError: So many workers died over a shard that another would die too.
    """
    waiting, tries, done = deque(shards), Counter[str](), 0
    workers: dict[Connection, tuple[SpawnProcess, str]] = {}
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                connection, process = _start(work)
                workers[connection] = process, waiting.popleft()
                _send(connection, workers[connection][1])
            progress(done, len(shards), f"shards, in {len(workers)} processes")
            for connection in [one for one in wait(list(workers)) if isinstance(one, Connection)]:
                process, shard = workers.pop(connection)
                try:
                    found = connection.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    tries[shard] += 1
                    if tries[shard] == TRIES:
                        raise ProjectError(
                            f"{TRIES} processes ended over the shard {shard} (the last with {process.exitcode}); with "
                            "too little memory give fewer: `annot select --processes 1`. What is done is kept."
                        ) from None
                    waiting.appendleft(shard)
                    continue
                if isinstance(found, AnnotError):
                    raise found
                done += 1
                if waiting:
                    workers[connection] = process, waiting.popleft()
                    _send(connection, workers[connection][1])
                else:
                    connection.close()
                    process.join()
    finally:
        for process, _ in workers.values():
            process.kill()


def _send(connection: Connection, shard: str) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # It has died meanwhile: reading from it says so.
        connection.send(shard)


def _start(work: Work) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, there), daemon=True)
    with _environment(ONE_THREAD):
        process.start()
    there.close()  # Its end is the worker's alone: when that is killed, this one says so.
    return here, process


def _serve(work: Work, connection: Connection) -> None:
    work = _kept(work)
    try:
        while True:
            shard = connection.recv()
            try:
                select_shard(work, shard)
            except AnnotError as error:
                connection.send(error)
                return
            connection.send(shard)
    except (EOFError, BrokenPipeError):  # Nothing is left to do, or the command that gave it is gone.
        return


def _kept(work: Work) -> Work:
    """Load the model once for all shards of a worker."""
    return replace(work, encoder=replace(work.encoder, load=cache(work.encoder.load)))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _OnRay:
    """A worker of Ray Data: one row names one shard."""

    def __init__(self, work: Work) -> None:
        self._work = _kept(work)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        select_shard(self._work, row["shard"])
        return row


def run_on_ray(work: Work, shards: Sequence[str], workers: int, progress: Progress) -> None:
    """Work on shards with Ray Data: on the cluster that RAY_ADDRESS names, else on a Ray of this machine's own.

    Raises:
        AnnotError: Ray is not installed, or as a worker met it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for patience in ("RAY_raylet_start_wait_time_s", "RAY_agent_register_timeout_ms"):  # of a busy machine
        os.environ.setdefault(patience, "300" if patience.endswith("_s") else "300000")
    try:
        import ray
    except ImportError:
        raise ProjectError("Ray is not installed here; run `pip install 'annot[scale]'`.") from None
    environment = {"env_vars": ONE_THREAD}
    own = None if os.environ.get("RAY_ADDRESS") else tempfile.mkdtemp(prefix="ray-")
    if own:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            _temp_dir=own,
            runtime_env=environment,
            log_to_driver=False,
        )
    else:
        ray.init(runtime_env=environment, log_to_driver=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards)).map(
            _OnRay,
            fn_constructor_args=(work,),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for done, _ in enumerate(rows.iter_rows()):
            progress(done, len(shards), f"shards, on Ray with {workers} workers")
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AnnotError):
            raise error.cause from None
        raise
    finally:
        ray.shutdown()
        if own:
            shutil.rmtree(own, ignore_errors=True)
