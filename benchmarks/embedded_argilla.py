"""How fast is the embedded Argilla, how fast does it start, and what does it hold in memory?

    .venv/bin/python benchmarks/embedded_argilla.py all        everything below, in a row
    .venv/bin/python benchmarks/embedded_argilla.py logging    records/s over HTTP, against the server as released
    .venv/bin/python benchmarks/embedded_argilla.py load       p50, p95 and worst of what people ask while four answer
    .venv/bin/python benchmarks/embedded_argilla.py start      seconds until `annot up` is done
    .venv/bin/python benchmarks/embedded_argilla.py memory     resident memory of all processes, and what holds it
    .venv/bin/python benchmarks/embedded_argilla.py growth     `load` at 10k, 100k and 500k records, as a plot
    .venv/bin/python benchmarks/embedded_argilla.py load --postgres    on SQLite, and then on a PostgreSQL of its own
    .venv/bin/python benchmarks/embedded_argilla.py load --assign      fifty people, with records assigned and without
    .venv/bin/python benchmarks/embedded_argilla.py load --pictures --records 10000    of descriptions of pictures

Each prints a table and writes JSON into --out (and `growth` a plot). Prepared databases are kept in --keep, where it is
given, for the next run. All measures are taken over HTTP; only the rows of a prepared database are written into it
directly, since logging 500,000 records takes minutes that measure nothing new.

What is measured in `load`: the same requests that Argilla's page sends, one after the other, from one more annotator,
while four annotators work in a process of their own, first at a bounded pace (each asks for the queue, answers a record
and looks at the progress every PACE_S seconds, which is faster than people read), then each as fast as the server lets.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import functools
import io
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from annotation import types
from annotation.hosting import embedded
from annotation.hosting.environment import ensure_environment
from annotation.tasks import TASKS
from annotation.tasks.page import PICTURE, VECTOR, TeamPage
from annotation.tasks.ranking import task
from sync.argilla.client import ArgillaClient

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from postgres import Postgres, running

DIMENSIONS = 384
MOST_VIEW = 26_000
"""Bytes of a picture's file for the page, at most."""
SEATS = 4
OVERLAP = 3
CALL = 256
"""Records in one call: the SDK's own number."""
ANNOTATORS = 4
PACE_S = 2.0
PAGE = 10
"""Records that the page asks for at a time."""

TARGETS_MS = {"queue": 100, "filter": 100, "text": 100, "similar": 100, "similar, filtered": 100}
TARGETS_MS |= {"progress": 30, "submit": 60}
PICTURES_QUEUE_MS, PICTURES_PAGE = 150, 400_000
"""With --pictures: what is wanted of a page of the queue, in milliseconds (p95) and bytes (the most)."""
START_S, MEMORY_MB, RATIO = 6.0, 600.0, 4.0

COUNTRIES = ("MX", "PE", "BR", "CO")
TOPICS = tuple(f"topic-{number:02d}" for number in range(40))

Json = dict[str, Any]


# --- what is logged -----------------------------------------------------------------------------------


class Texts:
    """Made-up text whose words are as unequal as in a language: the commonest is in every text, most are rare."""

    def __init__(self, seed: int, sentences: int = 30_000) -> None:
        self._random = np.random.default_rng(seed)
        syllables = [c + v for c in ("b", "c", "ch", *"dfgjlmnñprstv") for v in "aeioá"]
        lengths = self._random.integers(2, 5, 20_000)
        self.words = ["".join(self._random.choice(syllables, length)) for length in lengths]
        share = 1 / np.arange(3, len(self.words) + 3)
        drawn = self._random.choice(len(self.words), size=(sentences, 15), p=share / share.sum())
        self._sentences = [" ".join(self.words[word] for word in row).capitalize() + "." for row in drawn]

    def text(self, sentences: int) -> str:
        """Some sentences of 15 words."""
        drawn = self._random.integers(0, len(self._sentences), sentences)
        return " ".join(self._sentences[number] for number in drawn)


@functools.cache
def views() -> list[str]:
    """Pictures as `annot push` sends them, each as large as `annot images add` lets one be."""
    from PIL import Image

    random, made = np.random.default_rng(5), []
    for _ in range(20):
        noise = Image.fromarray(random.integers(0, 256, (180, 240, 3), dtype=np.uint8)).resize((480, 360))
        for quality in range(40, 0, -5):
            noise.save(file := io.BytesIO(), "WEBP", quality=quality)
            if len(content := file.getvalue()) <= MOST_VIEW:
                break
        made.append(f"data:image/webp;base64,{base64.b64encode(content.ljust(MOST_VIEW, bytes(1))).decode()}")
    return made


def record(number: int, texts: Texts, vector: Sequence[float] | None, *, pictures: bool = False) -> Json:
    """A slate as `annot push` sends it: a prompt or a picture, four answers, metadata, the prompt's vector."""
    about = {PICTURE: views()[number % len(views())]} if pictures else {"prompt": texts.text(1)}
    made: Json = {
        "external_id": f"slate-{number:07d}",
        "fields": {**about, **{seat: texts.text(3) for seat in types.SEATS[:SEATS]}},
        "metadata": {
            "topic": TOPICS[number * 7 % len(TOPICS)],
            "country": COUNTRIES[number % len(COUNTRIES)],
            "language": "es",
            "slate": f"slate-{number:07d}",
            "position": number,
        },
    }
    if vector is not None:
        made["vectors"] = {VECTOR: [float(value) for value in vector]}
    return made


def unit_vectors(count: int, random: np.random.Generator) -> np.ndarray:
    """Unit vectors, float32 [count, DIMENSIONS], around a hundred topics, as sentence encoders give them."""
    topics = np.random.default_rng(7).normal(size=(100, DIMENSIONS)).astype(np.float32)
    rows = topics[random.integers(0, 100, count)] + random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


# --- a server -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A running embedded Argilla."""

    home: Path
    url: str
    key: str

    def client(self, key: str = "") -> httpx.Client:
        """A person's HTTP, the owner's unless a key is given."""
        return client(self.url, key or self.key)


def client(url: str, key: str) -> httpx.Client:
    """A person's HTTP."""
    return httpx.Client(base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": key}, timeout=120, trust_env=False)


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(home: Path, *, as_released: bool = False, database: str = "") -> Iterator[Server]:
    """Start an embedded Argilla and stop it in the end.

    Args:
        home: its folder.
        as_released: with Argilla's own code throughout, and our search engine.
        database: address of a PostgreSQL; empty for SQLite.
    """
    os.environ.pop("ANNOT_AS_RELEASED", None)
    if as_released:
        os.environ["ANNOT_AS_RELEASED"] = "1"
    state = embedded.start(home, port=free_port(), database=database)
    try:
        yield Server(home, state.url, embedded.owner(home).api_key)
    finally:
        os.environ.pop("ANNOT_AS_RELEASED", None)
        embedded.stop(home)


def ok(response: httpx.Response) -> Any:
    """The body of an answer that must be a success."""
    if not response.is_success:
        raise RuntimeError(f"{response.request.url} answered {response.status_code}: {response.text[:500]}")
    return response.json() if response.content else None


def make_dataset(at: Server, name: str, *, pictures: bool = False) -> str:
    """An empty dataset as `annot push` makes it; returns its id."""
    api = ArgillaClient(at.url, at.key)
    workspace = api.workspaces().get("bench") or api.add_workspace("bench")
    me = next(account for account in api.accounts() if account.role == "owner")
    if me.id not in api.members(workspace):
        api.add_member(workspace, me.id)
    of = TASKS["description" if pictures else "ranking"]
    made = api.add_dataset(name, workspace, task.form(TeamPage("es"), SEATS, OVERLAP, DIMENSIONS, of=of))
    api.close()
    return made.id


# --- logging ------------------------------------------------------------------------------------------


def calls_of_records(calls: int) -> list[bytes]:
    """What the SDK sends in bulk upserts, ready to be sent: the client's own work is not measured."""
    texts = Texts(1)
    rows = unit_vectors(CALL * calls, np.random.default_rng(1))
    made = []
    for call in range(calls):
        numbers = range(CALL * call, CALL * (call + 1))
        items = [{"id": None, "responses": [], "suggestions": [], **record(n, texts, rows[n])} for n in numbers]
        made.append(json.dumps({"items": items}).encode())
    return made


def log_records(at: Server, calls: Sequence[bytes], name: str) -> float:
    """Records per second of one client that logs into a fresh dataset, one call after the other."""
    path = f"/datasets/{make_dataset(at, name)}/records/bulk"
    with at.client() as http:
        began = time.perf_counter()
        for body in calls:
            ok(http.put(path, content=body, headers={"content-type": "application/json"}))
        return CALL * len(calls) / (time.perf_counter() - began)


def measure_logging(folder: Path, calls: int) -> Json:
    """Ours and as released, in the order A B B A, each after a call that does not count."""
    sent = calls_of_records(calls)
    speeds: dict[str, list[float]] = {"ours": [], "as released": []}
    for turn, which in enumerate(("ours", "as released", "as released", "ours")):
        with server(folder / which.replace(" ", "-"), as_released=which == "as released") as at:
            log_records(at, sent[:1], f"warm-{turn}")
            speeds[which].append(log_records(at, sent, f"logged-{turn}"))
    mean = {which: statistics.harmonic_mean(found) for which, found in speeds.items()}
    result = {"records": CALL * calls, "records_per_s": speeds, "ratio": mean["ours"] / mean["as released"]}
    print(f"\nLogging {CALL * calls} records with {DIMENSIONS} numbers each, {CALL} a call, over HTTP (order A B B A)")
    for which, found in speeds.items():
        print(f"  {which:12} {' '.join(f'{speed:7.0f}' for speed in found)} records/s")
    print(f"  ratio        {result['ratio']:7.1f}   (wanted: {RATIO:g})")
    return result


# --- a prepared database ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A stopped Argilla that holds a campaign in its middle."""

    home: Path
    dataset: str
    keys: list[str]
    """API keys of the annotators; the last is the one who measures."""


def prepare(folder: Path, records: int, postgres: Postgres | None = None, *, pictures: bool = False) -> Prepared:
    """A database with records, vectors and responses: made once in a folder, found there again later.

    The first half is complete: three of the annotators have answered. A third of the rest has one answer. A
    third of all records has a suggestion.
    """
    home, notes = folder / ".argilla", folder / "prepared.json"
    if notes.exists():
        told = json.loads(notes.read_text())
        return Prepared(home, told["dataset"], told["keys"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = postgres.database() if postgres else ""
    with server(home, database=database) as at:
        dataset = make_dataset(at, "load", pictures=pictures)
        with at.client() as http:
            workspace = ok(http.get("/me/workspaces"))["items"][0]["id"]
            people = []
            for number in range(ANNOTATORS + 1):
                account = {"first_name": "x", "username": f"annotator-{number}", "password": "a-long-password"}
                people.append(ok(http.post("/users", json={**account, "role": "annotator"})))
                ok(http.post(f"/workspaces/{workspace}/users", json={"user_id": people[-1]["id"]}))
            questions = ok(http.get(f"/datasets/{dataset}/questions"))["items"]
            vectors = ok(http.get(f"/datasets/{dataset}/vectors-settings"))["items"]
            settings = vectors[0]["id"] if vectors else ""  # of pictures there are none
            question = next(q["id"] for q in questions if q["name"] == "acceptable")
    made = rows(dataset, settings, question, [person["id"] for person in people], records, pictures=pictures)
    copy_rows(postgres, database, made) if postgres else write_rows(home, made)
    with server(home) as at, at.client() as http:  # makes the side tables that the rows lack; a search fills them
        vector = {"name": VECTOR, "value": [1.0] * DIMENSIONS}
        for query in ({"text": {"q": "word"}}, *([] if pictures else [{"vector": vector}])):
            ok(http.post(f"/datasets/{dataset}/records/search", json={"query": query}, timeout=None))
    keys = [person["api_key"] for person in people]
    notes.write_text(json.dumps({"dataset": dataset, "keys": keys}))
    return Prepared(home, dataset, keys)


Rows = dict[str, list[tuple[Any, ...]]]
"""Table -> rows, with the columns of COLUMNS."""


def rows(
    dataset: str, settings: str, question: str, people: Sequence[str], records: int, *, pictures: bool = False
) -> Iterator[Rows]:
    """Records, vectors, suggestions and responses as Argilla would write them, some thousands at a time."""
    texts, random = Texts(2), np.random.default_rng(2)
    began = datetime(2026, 1, 1)
    start = began.isoformat(" ", "microseconds")

    def hexed(id_: str) -> str:
        return uuid.UUID(id_).hex

    for first in range(0, records, 5_000):
        count = min(5_000, records - first)
        unit = unit_vectors(count, random)
        made: Rows = {table: [] for table in ("records", "vectors", "suggestions", "responses")}
        for number in range(first, first + count):
            item = record(number, texts, None, pictures=pictures)
            id_ = uuid.UUID(bytes=random.bytes(16), version=4).hex
            at = began + timedelta(milliseconds=number // CALL * 1000 + number % CALL)
            when = at.isoformat(" ", "microseconds")
            answered = OVERLAP if number < records // 2 else int(number % 3 == 0)
            status = "completed" if answered == OVERLAP else "pending"
            fields, metadata = json.dumps(item["fields"]), json.dumps(item["metadata"])
            made["records"].append((id_, fields, metadata, item["external_id"], hexed(dataset), status, when, when))
            if settings:
                vector = json.dumps([float(value) for value in unit[number - first]])
                made["vectors"].append((uuid.uuid4().hex, vector, id_, hexed(settings), when, when))
            if number % 3 == 1:
                agent = ("small-model", "large-model")[number % 2]
                value = json.dumps(("some", "none")[number % 7 == 0])
                suggested = (uuid.uuid4().hex, value, "0.5", agent, "model", id_, hexed(question), when, when)
                made["suggestions"].append(suggested)
            for person in people[:answered]:
                answer = json.dumps(judgement(number))
                made["responses"].append((uuid.uuid4().hex, answer, "submitted", id_, hexed(person), when, when))
        yield made
    yield {"datasets_users": [(hexed(dataset), hexed(person), start, start) for person in people[:OVERLAP]]}


def write_rows(home: Path, made: Iterable[Rows]) -> None:
    """Write rows into SQLite, a thousand times as fast as over HTTP."""
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        # What annot keeps beside Argilla's tables is made anew by the next start. Tables of full text go first, and
        # take the tables below them along.
        for kind, like in (("trigger", "%"), ("index", "%"), ("table", "CREATE VIRTUAL%"), ("table", "%")):
            names = "SELECT name FROM sqlite_master WHERE type = ? AND name LIKE 'annot%' AND sql LIKE ?"
            for (name,) in database.execute(names, (kind, like)).fetchall():
                database.execute(f'DROP {kind} IF EXISTS "{name}"')
        database.execute("PRAGMA synchronous = OFF")
        for part in made:
            for table, found in part.items():
                columns, marks = ", ".join(COLUMNS[table]), ", ".join("?" * len(COLUMNS[table]))
                database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", found)
            database.commit()


def copy_rows(postgres: Postgres, database: str, made: Iterable[Rows]) -> None:
    """Write rows into PostgreSQL; annot's triggers note them as they note everything."""
    with tempfile.TemporaryDirectory() as folder:
        for part in made:
            for table, found in part.items():
                with (Path(folder) / "rows.csv").open("w", newline="") as file:
                    csv.writer(file).writerows(found)
                copied = f"\\copy {table} ({', '.join(COLUMNS[table])}) FROM '{file.name}' WITH (FORMAT csv)"
                postgres.execute(copied, database)
    postgres.execute("ANALYZE", database)


_TIMES = ("inserted_at", "updated_at")
COLUMNS = {
    "records": ("id", "fields", "metadata", "external_id", "dataset_id", "status", *_TIMES),
    "vectors": ("id", "value", "record_id", "vector_settings_id", *_TIMES),
    "suggestions": ("id", "value", "score", "agent", "type", "record_id", "question_id", *_TIMES),
    "responses": ("id", '"values"', "status", "record_id", "user_id", *_TIMES),
    "datasets_users": ("dataset_id", "user_id", *_TIMES),
}


def judgement(number: int) -> Json:
    """The values of a response."""
    ranks = [{"value": seat, "rank": (place + number) % SEATS + 1} for place, seat in enumerate(types.SEATS[:SEATS])]
    return {"ranking": {"value": ranks}, "acceptable": {"value": ("some", "none")[number % 5 == 0]}}


# --- requests -----------------------------------------------------------------------------------------

INCLUDE = [("include", "responses"), ("include", "suggestions"), ("offset", "0"), ("limit", str(PAGE))]


def terms(scope: Json, *values: str) -> Json:
    """A filter by words."""
    return {"type": "terms", "scope": scope, "values": list(values)}


STATUS = {"entity": "response", "property": "status"}
PENDING = [terms(STATUS, "pending"), terms({"entity": "record", "property": "status"}, "pending")]


@dataclass
class Person:
    """Somebody at the page: what they ask, how long each answer took, and what went wrong."""

    http: httpx.Client
    dataset: str
    took_ms: dict[str, list[float]]
    wrong: Counter[str]
    bytes: dict[str, int] = field(default_factory=dict)
    """Of the largest answer to each."""

    def ask(self, what: str, method: str, path: str, **options: Any) -> Any:
        """One request; its time is kept under `what`."""
        began = time.perf_counter()
        try:
            response = self.http.request(method, path, **options)
        except httpx.TransportError as problem:
            self.wrong[f"{what}: {type(problem).__name__}"] += 1
            return None
        self.took_ms.setdefault(what, []).append(1000 * (time.perf_counter() - began))
        self.bytes[what] = max(self.bytes.get(what, 0), len(response.content))
        if not response.is_success:
            self.wrong[f"{what}: {response.status_code}"] += 1
            return None
        return response.json()

    def search(self, what: str, *filters: Json, query: Json | None = None, sort: Json | None = None) -> list[Json]:
        """The records of a page."""
        body: Json = {"query": query or {}, "filters": {"and": list(filters) or PENDING}}
        if sort:
            body["sort"] = [sort]
        found = self.ask(what, "POST", f"/me/datasets/{self.dataset}/records/search", params=INCLUDE, json=body)
        return [item["record"] for item in found["items"]] if found else []

    def queue(self) -> list[Json]:
        """The next records that this person has not answered."""
        return self.search("queue")

    def answer(self, record_id: str, number: int) -> None:
        """Submit a judgement."""
        body = {"status": "submitted", "values": judgement(number)}
        self.ask("submit", "POST", f"/records/{record_id}/responses", json=body)

    def progress(self) -> None:
        """What the page shows after an answer."""
        self.ask("progress", "GET", f"/me/datasets/{self.dataset}/metrics")
        self.ask("progress", "GET", f"/datasets/{self.dataset}/progress")


def annotate(url: str, dataset: str, key: str, pace_s: float, until: threading.Event, seed: int) -> Person:
    """Work through the queue as the page does: a page of records, one answer after the other."""
    person = Person(client(url, key), dataset, {}, Counter())
    random = np.random.default_rng(seed)
    until.wait(pace_s * seed / ANNOTATORS)
    page: list[Json] = []
    while not until.is_set():
        began = time.perf_counter()
        if not page:
            page = person.queue()
        if page:
            person.answer(page.pop(0)["id"], int(random.integers(1000)))
        person.progress()
        until.wait(max(0.0, pace_s - (time.perf_counter() - began)) if pace_s else 0.0)
    person.http.close()
    return person


def run_annotators(told: Json) -> None:
    """Four annotators in this process until standard input ends; then what they saw, as JSON."""
    until = threading.Event()
    people: list[Person] = []

    def work(number: int) -> None:
        people.append(annotate(told["url"], told["dataset"], told["keys"][number], told["pace_s"], until, number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(ANNOTATORS)]
    for thread in threads:
        thread.start()
    print("working", flush=True)
    sys.stdin.read()
    until.set()
    for thread in threads:
        thread.join()
    took: dict[str, list[float]] = {}
    for person in people:
        for what, times in person.took_ms.items():
            took.setdefault(what, []).extend(times)
    print(json.dumps({"took_ms": took, "wrong": dict(sum((person.wrong for person in people), Counter()))}))


def measures(
    person: Person, texts: Texts, random: np.random.Generator, somewhere: Sequence[str], records: int
) -> dict[str, Any]:
    """What is measured, by name; each is one request of the page."""

    def word(low: int, high: int) -> str:
        return texts.words[int(random.integers(low, high))]

    def filtered() -> None:
        country = terms({"entity": "metadata", "metadata_property": "country"}, str(random.choice(COUNTRIES)))
        topic = terms({"entity": "metadata", "metadata_property": "topic"}, str(random.choice(TOPICS)))
        said = terms({"entity": "suggestion", "question": "acceptable", "property": "value"}, "none")
        agent = terms({"entity": "suggestion", "question": "acceptable", "property": "agent"}, "small-model")
        low = int(random.integers(0, records))
        place = {"entity": "metadata", "metadata_property": "position"}
        kinds: list[Callable[[], Any]] = [
            lambda: person.search("filter", *PENDING, country),
            lambda: person.search("filter", *PENDING, country, topic),
            lambda: person.search("filter", *PENDING, said),
            lambda: person.search("filter", *PENDING, agent),
            lambda: person.search("filter", {"type": "range", "scope": place, "ge": low, "le": low + 2_000}, *PENDING),
            lambda: person.search("filter", terms(STATUS, "submitted"), country),
        ]
        kinds[int(random.integers(len(kinds)))]()

    def text() -> None:
        asked = [
            word(20, 2_000),
            f"{word(5, 200)} {word(5, 200)}",
            f'"{word(0, 50)} {word(0, 50)}"',
            word(50, 900)[:4] + "*",
        ]
        person.search("text", query={"text": {"q": str(asked[int(random.integers(len(asked)))])}})

    def similar(*filters: Json) -> None:
        vector = {"name": VECTOR, "record_id": str(random.choice(somewhere)), "max_results": 50}
        vector["order"] = "most_similar"
        person.search("similar, filtered" if filters else "similar", *(filters or ANY), query={"vector": vector})

    def similar_in_country() -> None:
        country = terms({"entity": "metadata", "metadata_property": "country"}, str(random.choice(COUNTRIES)))
        similar(*PENDING, country)

    def submit() -> None:
        page = person.queue()
        if page:
            person.answer(page[int(random.integers(len(page)))]["id"], int(random.integers(1000)))

    return {
        "queue and submit": submit,
        "filter": filtered,
        "text": text,
        "similar": similar,
        "similar, filtered": similar_in_country,
        "progress": person.progress,
    }


ANY = [terms(STATUS, "pending", "draft", "submitted", "discarded")]


def percentiles(times: Sequence[float]) -> Json:
    """p50, p95 and worst, in milliseconds."""
    return {
        "requests": len(times),
        "p50": float(np.percentile(times, 50)),
        "p95": float(np.percentile(times, 95)),
        "max": float(max(times)),
    }


# --- load ---------------------------------------------------------------------------------------------


def measure_databases(folder: Path, records: int, requests: int) -> Json:
    """`load` on SQLite, and on a PostgreSQL that keeps what it was told as safely."""
    found = {"sqlite": measure_load(folder / "sqlite", records, requests)}
    safe = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}
    # Not in a folder that only its owner may enter: PostgreSQL never runs as root.
    with (
        tempfile.TemporaryDirectory(prefix="annot-postgres-") as place,
        running(Path(place) / "data", free_port(), **safe) as postgres,
    ):
        print("\nOn PostgreSQL:", end="")
        found["postgresql"] = measure_load(folder / "postgresql", records, requests, postgres)
    return found


def measure_load(
    folder: Path, records: int, requests: int, postgres: Postgres | None = None, *, pictures: bool = False
) -> Json:
    """Latencies at a bounded pace and at full speed."""
    prepared = prepare(folder, records, postgres, pictures=pictures)
    texts = Texts(2)
    result: Json = {"records": records, "requests": requests, "pictures": pictures}
    with server(prepared.home) as at:
        with at.client() as http:
            page = ok(http.get(f"/datasets/{prepared.dataset}/records", params={"limit": 200, "offset": records // 3}))
            somewhere = [item["id"] for item in page["items"]]
        told = {"url": at.url, "dataset": prepared.dataset, "keys": prepared.keys}
        log = prepared.home / "logs" / "server.log"
        for name, pace_s, share in (("bounded pace", PACE_S, 1.0), ("full speed", 0.0, 0.25)):
            logged = log.stat().st_size
            person = Person(client(at.url, prepared.keys[-1]), prepared.dataset, {}, Counter())
            asked = measures(person, texts, np.random.default_rng(3), somewhere, records)
            if pictures:  # which have no vectors
                asked = {name: ask for name, ask in asked.items() if not name.startswith("similar")}
            for ask in asked.values():  # what is read into memory once is read here
                ask()
            first, person.took_ms = person.took_ms, {}
            crew = subprocess.Popen(
                [sys.executable, __file__, "annotate", json.dumps({**told, "pace_s": pace_s})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert crew.stdout is not None
            assert crew.stdout.readline() == "working\n"
            time.sleep(PACE_S)
            for _ in range(max(1, round(share * requests))):
                for ask in asked.values():
                    ask()
            theirs = json.loads(crew.communicate("")[0].splitlines()[-1])
            person.http.close()
            with log.open() as lines:
                lines.seek(logged)
                locked = sum("database is locked" in line for line in lines)
            result[name] = {
                "first": {what: times[0] for what, times in first.items()},
                "asked": {what: percentiles(times) for what, times in person.took_ms.items()},
                "annotators": {what: percentiles(times) for what, times in theirs["took_ms"].items()},
                "bytes": person.bytes,
                "wrong": dict(person.wrong + Counter(theirs["wrong"])),
                "locked": locked,
            }
        result["memory"] = memory_of(prepared.home)
    show_load(result)
    show_memory(result["memory"])
    return result


def show_load(result: Json) -> None:
    """Print the tables of one size."""
    for name in ("bounded pace", "full speed"):
        found = result[name]
        answers = found["annotators"].get("submit", {"requests": 0, "p95": float("nan")})
        print(f"\n{result['records']:,} records; four annotators at {name} ({answers['requests']} answers, ", end="")
        print(f"their submit p95 {answers['p95']:.0f} ms); milliseconds")
        print(f"  {'':18}{'requests':>9}{'first':>8}{'p50':>8}{'p95':>8}{'max':>8}{'wanted':>8}")
        pictures = result["pictures"]
        for what, target in ({**TARGETS_MS, "queue": PICTURES_QUEUE_MS} if pictures else TARGETS_MS).items():
            if pictures and what.startswith("similar"):
                continue
            if what not in found["asked"]:
                print(f"  {what:18} never answered")
                continue
            row = found["asked"][what]
            verdict = "" if row["p95"] <= target else "  missed"
            print(f"  {what:18}{row['requests']:9d}{found['first'].get(what, float('nan')):8.0f}", end="")
            print(f"{row['p50']:8.1f}{row['p95']:8.1f}{row['max']:8.0f}{target:8d}{verdict}")
        wanted = f"; wanted: {PICTURES_PAGE:,}" if pictures else ""
        print(f"  the largest page of the queue: {found['bytes']['queue']:,} bytes{wanted}")
        print(f"  answers that were no success: {found['wrong'] or 'none'}; ", end="")
        print(f"'database is locked' in the log: {found['locked']}")


# --- memory -------------------------------------------------------------------------------------------


def memory_of(home: Path) -> Json:
    """MB of every process of an Argilla: resident, its proportional share, and what holds it."""
    found: Json = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if not any(part.startswith(str(home)) for part in command):
                continue
            role = "redis" if command[0].endswith("redis-server") else {"serve": "server", "work": "worker"}[command[2]]
            held = Counter[str]()
            for mapped in process.memory_maps(grouped=True):
                path = mapped.path
                what = "own memory" if path.startswith("[") else "libraries and Python's files"
                if path.startswith(str(home)):
                    what = "vectors" if "vectors" in path else "database"
                held[what] += mapped.pss
            full = process.memory_full_info()
            found[f"{role} {process.pid}"] = {
                "rss": full.rss / 1e6,
                "pss": full.pss / 1e6,
                "pss by what holds it": {what: size / 1e6 for what, size in held.items()},
            }
    return found


def show_memory(found: Json) -> None:
    """Print it."""
    print("\nMemory in MB (resident counts what processes share once for each of them, the share counts it once)")
    for name, row in found.items():
        held = ", ".join(f"{what} {size:.0f}" for what, size in sorted(row["pss by what holds it"].items()))
        print(f"  {name:16}resident {row['rss']:6.0f}   share {row['pss']:6.0f}   {held}")
    total = {kind: sum(row[kind] for row in found.values()) for kind in ("rss", "pss")}
    print(f"  {'all':16}resident {total['rss']:6.0f}   share {total['pss']:6.0f}   (wanted: {MEMORY_MB:g})")


def measure_memory(folder: Path, records: int) -> Json:
    """After every kind of request was made some times."""
    prepared = prepare(folder, records)
    with server(prepared.home) as at:
        before = memory_of(prepared.home)
        with at.client() as http:
            page = ok(http.get(f"/datasets/{prepared.dataset}/records", params={"limit": 200}))
            somewhere = [item["id"] for item in page["items"]]
        person = Person(client(at.url, prepared.keys[-1]), prepared.dataset, {}, Counter())
        asked = measures(person, Texts(2), np.random.default_rng(4), somewhere, records)
        for _ in range(20):
            for ask in asked.values():
                ask()
        person.http.close()
        after = memory_of(prepared.home)
    print(f"\nAt {records:,} records with vectors, after the start:", end="")
    show_memory(before)
    print("after twenty requests of each kind:", end="")
    show_memory(after)
    return {"records": records, "after the start": before, "after requests": after}


# --- start --------------------------------------------------------------------------------------------


def measure_start(folder: Path, records: int, runs: int = 5) -> Json:
    """Seconds of `annot up`, with an empty database (its first start included) and with a full one."""
    annot = [sys.executable, "-m", "annotation.cli"]
    project = folder / "project"
    subprocess.run(
        [*annot, "init", str(project), "--country", "MX", "--language", "es"], check=True, capture_output=True
    )
    subprocess.run([*annot, "up", "--help"], check=True, capture_output=True)
    ensure_environment(print)
    settings = project / "annot.toml"
    settings.write_text(settings.read_text().replace(f"port = {embedded.DEFAULT_PORT}", f"port = {free_port()}"))
    found: dict[str, list[float]] = {}

    def up(kind: str) -> None:
        began = time.perf_counter()
        subprocess.run([*annot, "up", "--project", str(project)], check=True, capture_output=True)
        found.setdefault(kind, []).append(time.perf_counter() - began)
        subprocess.run([*annot, "down", "--project", str(project)], check=True, capture_output=True)

    up("first, empty")
    for _ in range(runs):
        up("empty")
    shutil.rmtree(project / ".argilla")
    prepared = prepare(folder / f"prepared-{records}", records)
    prepared.home.rename(project / ".argilla")
    try:
        for _ in range(runs):
            up(f"{records:,} records")
    finally:
        (project / ".argilla").rename(prepared.home)
    print("\nSeconds of `annot up`")
    for kind, times in found.items():
        print(f"  {kind:18} median {statistics.median(times):.2f}   max {max(times):.2f}   (wanted: {START_S:g})")
    return {"seconds": found}


# --- growth -------------------------------------------------------------------------------------------


def measure_growth(folder: Path, sizes: Sequence[int], requests: int) -> Json:
    """`load` at several sizes."""
    return {str(size): measure_load(folder / f"prepared-{size}", size, requests) for size in sizes}


def draw_growth(result: Json, path: Path) -> None:
    """p95 by number of records, at a bounded pace."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 5.5), layout="constrained")
    sizes = [int(size) for size in result]
    for what, target in TARGETS_MS.items():
        p95 = [result[str(size)]["bounded pace"]["asked"][what]["p95"] for size in sizes]
        axes.plot(sizes, p95, marker="o", label=f"{what} (wanted: {target} ms at 100,000)")
    axes.set(xscale="log", yscale="log", xlabel="records with vectors", ylabel="p95 over HTTP, ms")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ticks = [5, 10, 20, 30, 60, 100, 200, 500, 1_000, 2_000, 5_000]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    axes.set_title("Latency while four annotators work")
    figure.savefig(path, dpi=120)
    plt.close(figure)


# --- the command --------------------------------------------------------------------------------------


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["all", "logging", "load", "start", "memory", "growth", "annotate"])
    parser.add_argument("told", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 500_000])
    parser.add_argument("--postgres", action="store_true", help="`load` on a PostgreSQL too")
    parser.add_argument("--pictures", action="store_true", help="`load` of descriptions of pictures")
    parser.add_argument("--assign", action="store_true", help="`load` of fifty people whom records are assigned to")
    parser.add_argument("--seconds", type=float, default=240.0, help="that these work")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--calls", type=int, default=16, help=f"calls of {CALL} records in `logging`")
    parser.add_argument("--keep", type=Path, help="folder for prepared databases")
    parser.add_argument("--out", type=Path, default=Path("benchmark-argilla"), help="folder for JSON and plots")
    asked = parser.parse_args()
    if asked.what == "annotate":
        run_annotators(json.loads(asked.told))
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    from assignment import measure_assignment  # which imports this file

    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.keep or Path(scratch)).resolve()
        one = folder / f"prepared-{asked.records}{'-pictures' if asked.pictures else ''}"
        ways: dict[str, Callable[[], Json]] = {
            "logging": lambda: measure_logging(Path(scratch) / "logging", asked.calls),
            "start": lambda: measure_start(folder, asked.records),
            "memory": lambda: measure_memory(one, asked.records),
            "load": lambda: (
                measure_assignment(folder, asked.records, asked.seconds)
                if asked.assign
                else measure_databases(one, asked.records, asked.requests)
                if asked.postgres
                else measure_load(one, asked.records, asked.requests, pictures=asked.pictures)
            ),
            "growth": lambda: measure_growth(folder, asked.sizes, asked.requests),
        }
        for what in [name for name in ways if name != "load"] if asked.what == "all" else [asked.what]:
            result = ways[what]()
            named = "assign" if what == "load" and asked.assign else what
            (asked.out / f"{named}.json").write_text(json.dumps(result, indent=1) + "\n")
            if what == "growth":
                draw_growth(result, asked.out / "growth.png")


if __name__ == "__main__":
    main()
