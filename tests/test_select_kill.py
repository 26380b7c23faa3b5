"""kill -9 at random moments of `annot select`: the next run comes to the state of an undisturbed one."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from select_project import make_project

SCRIPT = Path(__file__).with_name("select_project.py")
KILLS = 24


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, SCRIPT, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(folder: Path) -> float:
    """Run to the end; returns how long that took from "ready"."""
    process = start(folder)
    began = time.monotonic()
    assert process.wait(timeout=120) == 0
    return time.monotonic() - began


def state(folder: Path) -> tuple[list[tuple[object, ...]], dict[str, bytes]]:
    """Slates as stored, and every file of vectors, tables and plots."""
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        slates = db.execute("select id, prompt_id, seats, position from slates order by position").fetchall()
    files = [path for part in ("selection", "embeddings") for path in (folder / part).rglob("*") if path.is_file()]
    return slates, {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_killed_anywhere_select_ends_as_if_undisturbed(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    make_project(fresh, 24).ledger.close()
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(fresh, undisturbed)
    seconds = finish(undisturbed)
    expected = state(undisturbed)
    assert len(expected[0]) == 24
    assert len(expected[1]) > 12

    moments = random.Random(7)
    killed, reached, disturbed = 0, set[str](), tmp_path / "disturbed"
    while killed < KILLS:
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(fresh, disturbed)
        for _ in range(3):  # A run may be killed more than once before it gets through.
            process = start(disturbed)
            time.sleep(moments.uniform(0, seconds))
            if process.poll() is None:
                killed += 1
            process.kill()
            process.wait()
            slates, files = state(disturbed) if (disturbed / "ledger.sqlite").exists() else ([], {})
            reached.add("slates" if slates else "vectors" if files else "nothing")
        finish(disturbed)
        assert state(disturbed) == expected
    assert "vectors" in reached or "slates" in reached, "no kill came after the first thing was stored"
