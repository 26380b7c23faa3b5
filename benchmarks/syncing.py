"""How long a lead waits for `annot sync` and `annot status` in a large project, and how soon a watch has an answer.

    .venv/bin/python benchmarks/syncing.py --records 120000 --beside CHECKOUT
    .venv/bin/python benchmarks/syncing.py growth --sizes 15000 30000 60000 120000 --plot docs/waiting.png

Makes a project in its middle (120,000 records have 200,000 responses) on an embedded Argilla, and measures whole
commands: everything read for the first time, nothing new, 1,000 new answers, `annot status` and `annot export`; the
memory of each; then how long an answer takes to the ledger of `annot sync --watch` while four people answer. With
--beside an older checkout's code does the same on a copy of the same project, in the same run and in turn (A B B A).
`growth` asks how the waiting grows with the project, beside `annot status --help`.
Rows of the database are written directly; what is measured goes over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded_argilla import COUNTRIES, PACE_S, TOPICS, Person, client, free_port, judgement, prepare

from annotation.ledger_file import now
from annotation.migrations import MIGRATIONS
from annotation.tasks.page import as_written

HERE = Path(__file__).parent.parent
SETTINGS = """[project]
countries = ["MX", "PE", "BR", "CO"]
languages = ["es"]
[quota]
target = 1000000
overlap = 3
[argilla]
port = {port}
backup_every = "never"
[train]
auto = false
"""


def make_project(folder: Path, records: int, port: int) -> None:
    """A project of the previous version's tables: every version since opens it."""
    ready = prepare(folder, records)
    (folder / "annot.toml").write_text(SETTINGS.format(port=port), encoding="utf-8")
    with closing(sqlite3.connect(ready.home / "argilla.db")) as db:
        held = db.execute("select external_id, id, fields from records order by external_id").fetchall()
        people = db.execute("select username from users where role = 'annotator'").fetchall()
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.execute("pragma synchronous = off")
        db.execute("create table migrations (number integer primary key, name text, at text)")
        for number, migration in enumerate(MIGRATIONS[:3], 1):
            migration(db)
            db.execute("insert into migrations values (?, ?, ?)", (number, migration.__name__, now()))
        db.executemany(
            """insert into people (username, name, role, country, languages, active, at)
               values (?, '', 'annotator', 'MX', '["es"]', 1, 't')""",
            people,
        )
        for number, (slate, record, fields) in enumerate(held):
            country, topic = COUNTRIES[number % len(COUNTRIES)], TOPICS[number * 7 % len(TOPICS)]
            prompt, answers = f"p{number}", [f"c{number}{seat}" for seat in "ABCD"]
            shown = {name: as_written(text) for name, text in json.loads(fields).items()}
            db.execute(
                "insert into prompts values (?,?,?,?,?,?,?,?,?)",
                (prompt, shown["prompt"], "", country, "es", topic, "", "", "t"),
            )
            db.executemany(
                "insert into candidates values (?,?,?,?,?,?,?,?)",
                [(answer, prompt, shown[answer[-1]], "a model", "", "{}", 0.0, "t") for answer in answers],
            )
            db.execute("insert into slates values (?,?,?,?,?)", (slate, prompt, json.dumps(answers), number, "t"))
            pushed = ("embedded", str(uuid.UUID(ready.dataset)), slate, str(uuid.UUID(record)), "t")
            db.execute("insert into pushes values (?,?,?,?,?)", pushed)
        db.commit()


class Side:
    """One checkout's code on its own copy of the project."""

    def __init__(self, name: str, checkout: Path, folder: Path, port: int) -> None:
        self.name, self.checkout, self.folder = name, checkout, folder
        toml = (folder / "annot.toml").read_text(encoding="utf-8")
        port_was = next(line for line in toml.splitlines() if line.startswith("port = "))
        (folder / "annot.toml").write_text(toml.replace(port_was, f"port = {port}"), encoding="utf-8")
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {**os.environ, "PYTHONPATH": str(checkout)}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "annotation.cli", *words, "--project", str(self.folder)]

    def run(self, *words: str) -> dict[str, float]:
        """Wall seconds and peak memory in MB of one whole command."""
        began = time.perf_counter()
        process = subprocess.Popen(
            self.command(*words), cwd=self.checkout, env=self.environment, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{self.name}: annot {' '.join(words)} ended with {status}")
        return {"s": time.perf_counter() - began, "MB": usage.ru_maxrss / 1024}

    def answer_thousand(self, seed: int) -> None:
        """1,000 more answers, as Argilla would write them."""
        with closing(sqlite3.connect(self.folder / ".argilla" / "argilla.db", timeout=60)) as db:
            (person,) = db.execute(
                "select u.id from users u where u.role = 'annotator' order by u.username limit 1 offset 3"
            ).fetchone()
            waiting = db.execute(
                """select id from records where id not in (select record_id from responses where user_id = ?)
                   order by external_id limit 1000 offset ?""",
                (person, 1000 * seed),
            ).fetchall()
            moment = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
            rows = [
                (uuid.uuid4().hex, json.dumps(judgement(n)), "submitted", record, person, moment, moment)
                for n, (record,) in enumerate(waiting)
            ]
            db.executemany(
                """insert into responses (id, "values", status, record_id, user_id, inserted_at, updated_at)
                   values (?,?,?,?,?,?,?)""",
                rows,
            )
            db.commit()
        assert len(rows) == 1000

    def watch(self, answers: int, keys: Sequence[str], dataset: str) -> list[float]:
        """Seconds from the end of an answer's request to its row in the ledger, while four people answer."""
        with tempfile.TemporaryFile() as quiet:
            process = subprocess.Popen(
                self.command("sync", "--watch"), cwd=self.checkout, env=self.environment, stdout=quiet, stderr=quiet
            )
            try:
                time.sleep(20)  # it has read everything, and waits
                sent: dict[str, float] = {}
                people = [
                    threading.Thread(target=self._work, args=(key, dataset, answers // 4, sent)) for key in keys[:4]
                ]
                arrived: dict[str, float] = {}
                stop = threading.Event()
                reader = threading.Thread(target=self._look, args=(arrived, stop, answers))
                for thread in (reader, *people):
                    thread.start()
                for thread in people:
                    thread.join()
                reader.join(60)
                stop.set()
                return [arrived[name] - moment for name, moment in sent.items() if name in arrived]
            finally:
                process.terminate()
                process.wait(30)

    def _work(self, key: str, dataset: str, answers: int, sent: dict[str, float]) -> None:
        person = Person(client(self.url, key), dataset, {}, Counter())
        for number in range(answers):
            body = {"status": "submitted", "values": judgement(number)}
            told = person.ask("submit", "POST", f"/records/{person.queue()[0]['id']}/responses", json=body)
            sent[told["id"]] = time.perf_counter()
            time.sleep(PACE_S)
        person.http.close()

    def _look(self, arrived: dict[str, float], stop: threading.Event, answers: int) -> None:
        with closing(sqlite3.connect(self.folder / "ledger.sqlite", timeout=60)) as db:
            (seq,) = db.execute("select max(seq) from responses").fetchone()
            while not stop.is_set() and len(arrived) < answers:
                for row in db.execute("select seq, response_id from responses where seq > ?", (seq,)).fetchall():
                    seq = row[0]
                    arrived.setdefault(row[1], time.perf_counter())
                time.sleep(0.01)


def in_turn(sides: Sequence[Side], measure: Callable[[Side], dict[str, float]]) -> dict[str, list[dict[str, float]]]:
    """A, or A B B A."""
    found: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    for side in [*sides, *reversed(sides)]:
        found[side.name].append(measure(side))
    return found


def show(what: str, found: dict[str, list[dict[str, float]]]) -> None:
    """One line a side, and the ratio."""
    for name, runs in found.items():
        seconds, memory = sorted(run["s"] for run in runs), max(run["MB"] for run in runs)
        print(
            f"{what:24} {name:8} median {statistics.median(seconds):8.2f} s  max {seconds[-1]:8.2f}  {memory:6.0f} MB"
        )
    if len(found) == 2:
        one, other = (statistics.median(run["s"] for run in runs) for runs in found.values())
        print(f"{what:24} ratio    {other / one:8.1f}")


def measure_growth(sizes: Sequence[int], folder: Path) -> dict[int, dict[str, dict[str, float]]]:
    """What a lead waits for in projects of several sizes: the median of three runs each."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    for size in sizes:
        place = folder / f"project-{size}"
        if not (place / "ledger.sqlite").exists():
            make_project(place, size, 6999)
        side = Side(f"{size:,}", HERE, place, free_port())
        side.run("up")
        try:
            found[size] = {"everything, first time": side.run("sync")}
            for what, words in {"annot status --help": ("status", "--help"), **MEASURES}.items():
                runs = sorted((side.run(*words) for _ in range(3)), key=lambda run: run["s"])
                found[size][what] = {"s": runs[1]["s"], "MB": max(run["MB"] for run in runs)}
        finally:
            side.run("down")
        for what, run in found[size].items():
            print(f"{size:9,} records  {what:24} {run['s']:8.2f} s  {run['MB']:6.0f} MB", flush=True)
    return found


def draw_growth(found: dict[int, dict[str, dict[str, float]]], path: Path) -> None:
    """Seconds by number of responses, both axes logarithmic: a straight line of slope 1 is linear growth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    responses = [size * 5 // 3 for size in found]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for what in next(iter(found.values())):
        axes.plot(responses, [runs[what]["s"] for runs in found.values()], marker="o", label=what)
    slope = [count / responses[0] for count in responses]
    axes.plot(responses, slope, color="0.7", linestyle=":", label="linear growth")
    axes.set(xscale="log", yscale="log", xlabel="responses", ylabel="seconds, the whole command")
    axes.set_xticks(responses, [f"{count:,}" for count in responses])
    axes.set_yticks(ticks := [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    axes.set_title("What a lead waits for")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure both sides, or the growth of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["sides", "growth"], default="sides")
    parser.add_argument("--records", type=int, default=120_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[15_000, 30_000, 60_000, 120_000], help="of `growth`")
    parser.add_argument("--plot", type=Path, default=Path("waiting.png"), help="of `growth`")
    parser.add_argument("--beside", type=Path, help="an older checkout")
    parser.add_argument("--keep", type=Path, help="folder of the prepared project, for the next run")
    parser.add_argument("--answers", type=int, default=80, help="of the watch")
    parser.add_argument("--out", type=Path, help="JSON")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annot-sync-") as scratch:
        if told.what == "growth":
            draw_growth(measure_growth(told.sizes, told.keep or Path(scratch)), told.plot)
            return
        kept = told.keep or Path(scratch) / "kept"
        if not (kept / "ledger.sqlite").exists():
            make_project(kept, told.records, 6999)
        notes = json.loads((kept / "prepared.json").read_text(encoding="utf-8"))
        sides = []
        for name, checkout in [("now", HERE), ("before", told.beside)]:
            if checkout:
                folder = Path(scratch) / name
                shutil.copytree(kept, folder)
                sides.append(Side(name, checkout, folder, free_port()))
        found: dict[str, Any] = {"records": told.records}
        for side in sides:
            side.run("up")
        try:
            found["everything"] = {side.name: [side.run("sync")] for side in sides}
            show("everything, first time", found["everything"])
            for what, words in MEASURES.items():
                found[what] = in_turn(sides, lambda side, words=words: side.run(*words))
                show(what, found[what])
            turn = iter(range(100))
            found["1,000 new answers"] = in_turn(sides, lambda side: thousand(side, next(turn)))
            show("1,000 new answers", found["1,000 new answers"])
            for side in sides:
                times = sorted(side.watch(told.answers, notes["keys"], notes["dataset"]))
                found[f"watch {side.name}"] = times
                middle, last = statistics.median(times), times[int(0.95 * len(times))]
                print(f"to the watch {side.name:8} median {middle:.2f} s  p95 {last:.2f}  of {len(times)}")
        finally:
            for side in sides:
                side.run("down")
            if told.out:
                told.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


MEASURES = {
    "nothing new": ("sync",),
    "status": ("status",),
    "export": ("export",),
}


def thousand(side: Side, seed: int) -> dict[str, float]:
    """One sync after 1,000 new answers."""
    side.answer_thousand(seed)
    return side.run("sync")


if __name__ == "__main__":
    main()
