"""Processes in which pictures are read and refined: one that a damaged file ends costs that file alone."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar

from annotation.files import read_regular
from annotation.images.refine import MOST_BYTES, MOST_PIXELS_JPEG, Refined, Refusal, refine

T = TypeVar("T")

AHEAD = 3
"""Pictures for each process that are on their way at once: this bounds memory."""


def refine_all(pictures: Iterable[tuple[T, Path | bytes]], processes: int) -> Iterator[tuple[T, Refined | Refusal]]:
    """Read and refine pictures in processes of their own; what became of each, in their order.

    Args:
        pictures: What comes back with what became of it; and a file, or what is in it.
        processes: How many work at once.
    """
    pool, waiting = _pool(processes), deque[tuple[T, Path | bytes, Future[Refined | Refusal]]]()
    try:
        for about, picture in pictures:
            try:
                future = pool.submit(_refine, picture)
            except BrokenExecutor:
                pool = _pool(processes)
                future = pool.submit(_refine, picture)
            waiting.append((about, picture, future))
            if len(waiting) >= AHEAD * processes:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def default_processes() -> int:
    """As many as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, get_context("spawn"), _begin)


def _begin() -> None:
    """In each process: it leaves an interruption to the command, and ends when that does, however it ends."""
    from PIL import Image

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there what it thinks of a file
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS_JPEG // 2  # PIL warns there, and refuses twice as many


def _end_with(join: Callable[[], None]) -> None:
    join()
    os._exit(1)


def _refine(picture: Path | bytes) -> Refined | Refusal:
    if isinstance(picture, bytes):
        data = picture
    else:
        try:
            data = read_regular(picture, MOST_BYTES)
        except OSError as problem:
            return Refusal("cannot be read", str(problem.strerror))
    if len(data) > MOST_BYTES:
        return Refusal("too large", f"more than {MOST_BYTES // 10**6} MB")
    return refine(data)


def _outcome(about: T, picture: Path | bytes, future: Future[Refined | Refusal]) -> tuple[T, Refined | Refusal]:
    try:
        return about, future.result()
    except BrokenExecutor:  # this picture ended a process, or another one that was read at the same time
        with _pool(1) as alone:
            try:
                return about, alone.submit(_refine, picture).result()
            except BrokenExecutor:
                return about, Refusal("broken or cut off", "the process that read it was ended")
