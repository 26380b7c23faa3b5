"""How long until an answer is in the ledger of `annot sync --watch`? One run: `python benchmarks/webhooks.py`.

A project of RECORDS slates is pushed to an embedded Argilla; four annotators answer over HTTP in a process of their own
first at a bounded pace (faster than people read), then each as fast as the server lets. Meanwhile `annot sync --watch`
runs as a lead leaves it running. Measured is the time from the moment at which an annotator has the server's 2xx to the
moment at which the ledger noted the answer (`pulled_at`).

    python benchmarks/webhooks.py                       10,000 records, a minute and a half
    python benchmarks/webhooks.py --records 100000      as promised in docs/architecture.md; some minutes to push
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from annotation import embedded
from annotation.project import Project
from annotation.types import Candidate, Judgement, Person, Prompt, Slate

ANNOTATORS = 4
DIMENSIONS = 384
PACE_S = 2.0
"""Seconds that an annotator takes per answer in the first half."""


def main() -> None:
    """Push, watch, answer, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=40.0, help="of answering, per half")
    parser.add_argument(
        "--folder", type=Path, help="a project of an earlier run with --folder: nothing is pushed again"
    )
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = embedded.start(folder / ".argilla", port=free_port(), say=print)
        stack.callback(embedded.stop, folder / ".argilla")
        project = prepared(folder, options.records)
        with watching(folder) as watch:
            for name, pace_s in (("paced", PACE_S), ("as fast as they can", 0.0)):
                answered = work(project, server.url, options.seconds, pace_s)
                if watch.poll() is not None:
                    sys.exit(f"The watch ended by itself; see {folder / 'watch.log'}")
                print(json.dumps(summary(name, answered, seen(folder, set(answered)), options.seconds)))


def prepared(folder: Path, records: int) -> Project:
    """A project with so many pushed slates and four annotators."""
    from sync.board import connect
    from sync.push import push
    from sync.team import add_team

    settings = (
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[quota]\ntarget = 1\noverlap = 4\n[train]\nauto = false\n'
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annot.toml").write_text(settings, encoding="utf-8")
    project = Project.open(folder)
    began = time.monotonic()
    prompts = [
        Prompt.make(f"¿Qué se dice en la situación {n}?", country="MX", language="es", topic="comida")
        for n in range(records)
    ]
    answers = [
        [Candidate.make(p.id, f"Respuesta {seat} a {p.text}", model="a file") for seat in range(4)] for p in prompts
    ]
    project.ledger.add_prompts(prompts)
    project.ledger.add_candidates([answer for four in answers for answer in four])
    project.ledger.add_slates(
        [
            Slate(f"slate{n}", p.id, tuple(a.id for a in four), n)
            for n, (p, four) in enumerate(zip(prompts, answers, strict=True))
        ]
    )
    board = connect(project)
    add_team(project, board, [Person(f"mx_{n}", "", "annotator", "MX", ("es",)) for n in range(ANNOTATORS)])
    random = np.random.default_rng(0)
    vectors = {slate.id: random.normal(size=DIMENSIONS).tolist() for slate in project.ledger.slates()}
    sent = push(board, project.ledger, project.settings, vectors=vectors, batch=500).sentence()
    print(f"{sent}; {time.monotonic() - began:.0f} s", flush=True)
    return project


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`annot sync --watch`, after its first look at everything."""
    command = [sys.executable, "-m", "annotation.cli", "sync", "--watch", "--project", str(folder), "--json"]
    with (folder / "watch.log").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        print(f"the first look took {time.monotonic() - began:.0f} s", flush=True)
        drain = multiprocessing.get_context("fork").Process(
            target=swallow, args=(process.stdout.fileno(),), daemon=True
        )
        drain.start()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)
            drain.join()


def swallow(descriptor: int) -> None:
    """Read what the watch prints, so that it never waits for a reader."""
    while os.read(descriptor, 1 << 16):
        pass


def work(project: Project, url: str, seconds: float, pace_s: float) -> dict[str, float]:
    """Have the annotators answer; response id -> the moment at which the server had confirmed it (time.time)."""
    passwords = project.secrets()["passwords"]
    receiver, sender = multiprocessing.Pipe(duplex=False)
    slates = {slate.id: slate.seats for slate in project.ledger.slates()}
    arguments = (url, passwords, slates, seconds, pace_s, sender)
    team = multiprocessing.get_context("spawn").Process(target=annotate, args=arguments)
    team.start()
    answered: dict[str, float] = receiver.recv()
    team.join()
    return answered


def annotate(
    url: str,
    passwords: dict[str, str],
    slates: dict[str, tuple[str, ...]],
    seconds: float,
    pace_s: float,
    sender: Connection,
) -> None:
    """Four annotators, a thread each."""
    from concurrent.futures import ThreadPoolExecutor

    from annotation.tasks.ranking import answer_values
    from sync.board import Desk

    ends = time.time() + seconds
    answered: dict[str, float] = {}

    def one(username: str) -> None:
        desk = Desk(url, username, passwords[username])
        (dataset_id,) = desk.datasets().values()
        while time.time() < ends:
            for record in desk.queue(dataset_id, limit=10):
                began = time.time()
                slate = Slate(record["external_id"], "", slates[record["external_id"]], 0)
                given = Judgement("", slate.id, username, "", tuple((seat,) for seat in slate.seats))
                response = desk.answer(record["id"], answer_values(given, slate))
                answered[response["id"]] = time.time()
                time.sleep(max(0.0, pace_s - (time.time() - began)))
                if time.time() > ends:
                    return

    with ThreadPoolExecutor(ANNOTATORS) as pool:
        for done in [pool.submit(one, username) for username in sorted(passwords)]:
            done.result()
    sender.send(answered)


def seen(folder: Path, wanted: set[str], patience_s: float = 120.0) -> dict[str, float]:
    """Response id -> the moment at which the ledger had it."""
    found: dict[str, float] = {}
    ends = time.time() + patience_s
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        while wanted - set(found) and time.time() < ends:
            rows = ledger.execute("select response_id, min(pulled_at) from responses group by response_id").fetchall()
            found = {name: datetime.fromisoformat(moment).timestamp() for name, moment in rows}
            time.sleep(0.2)
    return found


def summary(name: str, answered: dict[str, float], home: dict[str, float], seconds: float) -> dict[str, object]:
    """The figures of one half."""
    waited = sorted(home[response] - moment for response, moment in answered.items() if response in home)
    return {
        "annotators": name,
        "answers": len(answered),
        "per_s": round(len(answered) / seconds, 1),
        "never_came": len(answered) - len(waited),
        "p50_s": round(statistics.median(waited), 3),
        "p95_s": round(waited[int(0.95 * len(waited))], 3),
        "worst_s": round(waited[-1], 3),
    }


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
