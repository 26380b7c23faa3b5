"""Fifty people at a person's pace where records are assigned, and where they are not: how long the queue takes, and how
many answers are one too many. `benchmarks/embedded_argilla.py load --assign` runs it.

A person works as at the page: asks for ten records, answers them one by one, and asks for ten more. Without the rule
the server hands out records as a stock Argilla does: whoever was sent one may answer it, however many have by then.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded_argilla import (
    COUNTRIES,
    OVERLAP,
    TOPICS,
    Json,
    Person,
    Server,
    client,
    make_dataset,
    ok,
    percentiles,
    rows,
    server,
    write_rows,
)

PEOPLE = 50
PACE_S = 20.0
QUEUE_MS = 100
CONTROLS_EVERY = 400
"""One record in so many is a control record."""


def prepare(folder: Path, records: int) -> Json:
    """A stopped Argilla with a campaign in its middle and fifty accounts, made once: its dataset and their keys."""
    home, notes = folder / ".argilla", folder / "prepared.json"
    if not notes.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with server(home) as at:
            dataset = make_dataset(at, "load", pictures=True)  # that has no vectors
            with at.client() as http:
                workspace = ok(http.get("/me/workspaces"))["items"][0]["id"]
                people = []
                for number in range(PEOPLE + OVERLAP):
                    account = {"first_name": "x", "username": f"annotator-{number}", "password": "a-long-password"}
                    people.append(ok(http.post("/users", json={**account, "role": "annotator"})))
                    ok(http.post(f"/workspaces/{workspace}/users", json={"user_id": people[-1]["id"]}))
                question = ok(http.get(f"/datasets/{dataset}/questions"))["items"][0]["id"]
        before = [person["id"] for person in people[:OVERLAP]]
        write_rows(home, rows(dataset, "", question, before, records))
        with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
            control = "UPDATE records SET metadata = json_set(metadata, '$.purpose', 'control') WHERE rowid % ? = 0"
            database.execute(control, (CONTROLS_EVERY,))
            database.commit()
        with server(home) as at, at.client() as http:  # fills the index of words: it is not measured
            query = {"query": {"text": {"q": "word"}}}
            ok(http.post(f"/datasets/{dataset}/records/search", json=query, timeout=None))
        notes.write_text(json.dumps({"dataset": dataset, "keys": [p["api_key"] for p in people[OVERLAP:]]}))
    told: Json = json.loads(notes.read_text())
    return told


def rule(records: int) -> Json:
    """What `annot push` would write."""
    target = records // len(TOPICS) // len(COUNTRIES)
    return {
        "overlap": OVERLAP,
        "hold_minutes": 45,
        "most": 0,
        "most_a_day": 0,
        "controls": [30, 10, 20],
        "groups": [{"topic": topic, "language": "es", "target": target} for topic in TOPICS],
    }


def work(at: Server, told: Json, number: int, seconds: float, *, assigned: bool) -> Person:
    """One person's work, an answer every PACE_S seconds."""
    person = Person(client(at.url, told["keys"][number]), told["dataset"], {}, Counter())
    until = threading.Event()
    ends = time.perf_counter() + seconds
    until.wait(PACE_S * number / PEOPLE)
    page: list[Json] = []
    while (began := time.perf_counter()) < ends:
        page = page or person.queue()
        if page:
            person.answer(page.pop(0)["id"], number)
        elif assigned:  # as the page does where nothing is left
            person.ask("how one stands", "GET", f"/annot/assignment/{person.dataset}")
        person.progress()
        until.wait(max(0.0, PACE_S - (time.perf_counter() - began)))
    person.http.close()
    return person


def overshoot(home: Path) -> tuple[int, int]:
    """Answers to work records, and how many of them are more than OVERLAP."""
    counted = (
        "SELECT count(*) FROM responses JOIN records ON records.id = record_id WHERE status = 'submitted' "
        "AND json_extract(records.metadata, '$.purpose') IS NULL GROUP BY record_id"
    ).replace("status =", "responses.status =")
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        answers = [count for (count,) in database.execute(counted)]
    return sum(answers), sum(max(0, count - OVERLAP) for count in answers)


def measure_assignment(folder: Path, records: int, seconds: float) -> Json:
    """All three ways, each on a copy of the same database."""
    told = prepare(folder / "assign", records)
    result: Json = {"records": records, "people": PEOPLE, "pace_s": PACE_S, "seconds": seconds}
    for way in ("assigned", "not assigned", "not assigned, as released"):
        home = folder / "assign" / way.replace(" ", "-").replace(",", "") / ".argilla"
        shutil.rmtree(home.parent, ignore_errors=True)
        shutil.copytree(folder / "assign" / ".argilla", home)
        assigned = way == "assigned"
        with server(home, as_released=way.endswith("released")) as at:
            if assigned:
                with at.client() as http:
                    ok(http.patch(f"/datasets/{told['dataset']}", json={"metadata": {"annot_assign": rule(records)}}))
            before, _ = overshoot(home)
            first = Person(client(at.url, told["keys"][0]), told["dataset"], {}, Counter())
            first.queue()
            with ThreadPoolExecutor(PEOPLE) as threads:
                doing = [threads.submit(work, at, told, n, seconds, assigned=assigned) for n in range(PEOPLE)]
                crew = [done.result() for done in doing]
            after, too_many = overshoot(home)
        took: dict[str, list[float]] = {}
        for person in crew:
            for what, times in person.took_ms.items():
                took.setdefault(what, []).extend(times)
        result[way] = {
            "first": first.took_ms["queue"][0],
            "asked": {what: percentiles(times) for what, times in took.items()},
            "answers": after - before,
            "overshoot": too_many,
            "wrong": dict(sum((person.wrong for person in crew), Counter())),
        }
        show(way, result[way], records)
    return result


def show(way: str, found: Json, records: int) -> None:
    """Print one way's table."""
    print(f"\n{records:,} records, {PEOPLE} people, an answer every {PACE_S:g} s of each; {way}")
    print(f"  answers: {found['answers']}; more than {OVERLAP} to a record: {found['overshoot']}")
    print(f"  the first page of the queue: {found['first']:.0f} ms; no success: {found['wrong'] or 'none'}")
    print(f"  {'':18}{'requests':>9}{'p50':>8}{'p95':>8}{'max':>8}   ms")
    for what, row in found["asked"].items():
        wanted = f"   (wanted: {QUEUE_MS})" if what == "queue" else ""
        print(f"  {what:18}{row['requests']:9d}{row['p50']:8.1f}{row['p95']:8.1f}{row['max']:8.0f}{wanted}")
