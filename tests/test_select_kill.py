"""kill -9 at random moments of `annot select`: the next run comes to the state of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sqlite3
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from campaigns import kills
from select_project import make_project, select_in

KILLS = kills(4, 24)


def start(folder: Path) -> BaseProcess:
    """A process of its own that selects, forked from one that has loaded the libraries already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["select_project"])
    process = context.Process(target=select_in, args=(folder,))
    process.start()
    return process


def finish(folder: Path) -> float:
    """Run to the end; returns how long that took."""
    began = time.monotonic()
    process = start(folder)
    process.join(120)
    assert process.exitcode == 0
    return time.monotonic() - began


def state(folder: Path) -> tuple[list[tuple[object, ...]], dict[str, bytes]]:
    """Slates as stored, and every file of vectors and tables."""
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        slates = db.execute("select id, prompt_id, content, position from items order by position").fetchall()
    files = [path for part in ("selection", "embeddings") for path in (folder / part).rglob("*") if path.is_file()]
    return slates, {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.timeout(600)
def test_killed_anywhere_select_ends_as_if_undisturbed(tmp_path: Path) -> None:
    fresh, undisturbed, disturbed = tmp_path / "fresh", tmp_path / "undisturbed", tmp_path / "disturbed"
    make_project(fresh, 24).ledger.close()
    shutil.copytree(fresh, tmp_path / "warm")
    finish(tmp_path / "warm")
    shutil.copytree(fresh, undisturbed)
    seconds = finish(undisturbed)
    expected = state(undisturbed)
    assert len(expected[0]) == 24
    assert len([name for name in expected[1] if name.endswith(".npz")]) > 5

    moments = random.Random(7)
    killed, reached = 0, set[str]()
    while killed < KILLS or not reached & {"vectors", "slates"}:  # On a busy machine all of them may come too early.
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(fresh, disturbed)
        for _ in range(4):  # A run may be killed more than once before it gets through.
            process = start(disturbed)
            time.sleep(moments.uniform(0, seconds))
            killed += process.is_alive()
            process.kill()
            process.join()
            slates, files = state(disturbed)
            reached.add("slates" if slates else "vectors" if files else "nothing")
        seconds = max(seconds, finish(disturbed))
        assert state(disturbed) == expected
