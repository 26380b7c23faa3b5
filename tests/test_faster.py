"""What annot replaces in Argilla's server: the same results as Argilla's own code, or nothing is replaced."""

import contextlib
import http.server
import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from search_client import Client, Json

from annotation.hosting import embedded, logs
from annotation.hosting.environment import ensure_environment

SERVER = Path(embedded.__file__).parent.parent / "server"


def run_in_server(code: str, home: Path, *, app: bool = False) -> str:
    """What a script prints that runs in the environment of the embedded server, with the web app or without."""
    settings = {
        "ARGILLA_HOME_PATH": str(home),
        "ARGILLA_DATABASE_URL": "sqlite+aiosqlite:///argilla.db",
        "ARGILLA_REDIS_URL": "redis://127.0.0.1:1/0",
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(home),
        "PYTHONPATH": str(SERVER),
    }
    beginning = f"import launch\nlaunch.frugal_import({{}} if {app} else launch.APP).__enter__()\n"
    python = ensure_environment(print)
    told = subprocess.run(
        [str(python), "-c", beginning + code], cwd=home, env=settings, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


# --- what is replaced ---------------------------------------------------------------------------------


def test_what_is_replaced_is_what_we_know_and_nothing_else(tmp_path: Path) -> None:
    code = """
import dataclasses, json, logging
from annotation.server import faster
from argilla_server.database import async_engine
from argilla_server.models import Question
stock = [replacement.place.__dict__[replacement.name] for replacement in faster.REPLACEMENTS]
all_replacements = faster.REPLACEMENTS
faster.REPLACEMENTS = [dataclasses.replace(found, known="another version") for found in all_replacements]
assert len(faster.install(None, async_engine)) == len(stock) > 5
assert [found.place.__dict__[found.name] for found in all_replacements] == stock
faster.REPLACEMENTS = all_replacements
print(faster.install(None, async_engine))
assert Question.__dict__["parsed_settings"] not in stock
"""
    assert run_in_server(code, tmp_path).splitlines()[-1] == "[]"


def test_json_is_read_and_written_as_the_standard_library_does(tmp_path: Path) -> None:
    code = r"""
import json, random, struct
from annotation.server import faster
random.seed(1)
special = [0.0, -0.0, 1e-4, 1e-5, 9.9e-5, 10.00001, 0.00001, 100.0000123, 1e15, 1e16, 5e-324, 1.7e308,
    float("inf"), float("-inf"), float("nan")]
for _ in range(20_000):
    numbers = [random.choice(special), random.gauss(0, 1), struct.unpack("d", random.randbytes(8))[0],
        random.gauss(0, 1) * 10 ** random.randint(-8, 20)]
    random.shuffle(numbers)
    written = json.dumps(numbers)
    assert faster.write_json(numbers) == written, numbers
    assert repr(faster.read_json(written)) == repr(json.loads(written)), written
for value in ([], [1, 2.5], ["á\ud800"], {"a": [None, True, {"b": "\u0000 ñ"}]}, [10**30], "x", None, [1.5, "1,5"]):
    written = json.dumps(value)
    assert faster.write_json(value) == written
    assert faster.read_json(written) == value
    assert faster.read_json(written.encode()) == value
deep = "[" * 900 + "]" * 900
assert faster.read_json(deep) == json.loads(deep)
try:
    faster.read_json('{"a": }')
except json.JSONDecodeError as problem:
    print(problem)
"""
    assert run_in_server(code, tmp_path).startswith("Expecting value")


def test_a_statement_that_failed_never_stops_the_event_loop(tmp_path: Path) -> None:
    """Collecting its cursor would wait for a writer, and the writer for the event loop."""
    code = """
import asyncio, gc
from annotation.server import faster
from annotation.server.search import dialects
from argilla_server.database import async_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
faster.install(None, async_engine)
async def main():
    engine = create_async_engine("sqlite+aiosqlite:///own.db", connect_args={"timeout": 2})
    async with engine.connect() as writer, engine.connect() as other:
        await writer.exec_driver_sql("CREATE TABLE t (x UNIQUE)")
        await writer.exec_driver_sql("INSERT INTO t VALUES (1)")
        await writer.commit()
        try:
            await other.exec_driver_sql("INSERT INTO t VALUES (1)")
        except IntegrityError:
            await other.rollback()
        await writer.exec_driver_sql("INSERT INTO t VALUES (2)")
        waiting = asyncio.create_task(other.exec_driver_sql("INSERT INTO t VALUES (3)"))
        await asyncio.sleep(0.3)
        gc.collect()
        await writer.commit()
        await waiting
        await other.commit()
        print((await other.exec_driver_sql("SELECT count(*) FROM t")).scalar())
    await engine.dispose()
asyncio.run(main())
"""
    assert run_in_server(code, tmp_path).strip() == "3"


# --- the same records, both ways ----------------------------------------------------------------------

OPTIONS = [{"value": "yes", "text": "yes"}, {"value": "no", "text": "no"}]
QUESTIONS = {
    "label": {"type": "label_selection", "options": OPTIONS, "visible_options": None},
    "labels": {"type": "multi_label_selection", "options": OPTIONS, "visible_options": None},
    "score": {"type": "rating", "options": [{"value": value} for value in range(5)]},
}


class Hooks(http.server.ThreadingHTTPServer):
    """Hears webhooks."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        super().__init__(("127.0.0.1", 0), _Hook)


class _Hook(http.server.BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["type"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    listener = Hooks()
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield listener
    listener.shutdown()
    listener.server_close()


def log_records(client: Client, name: str, hooks: Hooks) -> tuple[list[Any], list[str]]:
    """Make a dataset and log into it in every way; returns what the server answered, and the events that were heard."""
    names = {item["name"]: item["id"] for item in client.call("GET", "/me/workspaces")["items"]}
    workspace = names.get("both") or client.call("POST", "/workspaces", json={"name": "both"})["id"]
    dataset = client.call("POST", "/datasets", json={"name": name, "workspace_id": workspace})["id"]
    place = f"/datasets/{dataset}"
    settings = {"type": "text", "use_markdown": False}
    client.call("POST", f"{place}/fields", json={"name": "text", "title": "t", "required": True, "settings": settings})
    questions = {
        asked: client.call(
            "POST",
            f"{place}/questions",
            json={"name": asked, "title": asked, "settings": settings, "required": asked == "label"},
        )
        for asked, settings in QUESTIONS.items()
    }
    property_ = {"name": "words", "title": "w", "settings": {"type": "integer"}, "visible_for_annotators": True}
    client.call("POST", f"{place}/metadata-properties", json=property_)
    for vector in ("short", "empty"):
        client.call("POST", f"{place}/vectors-settings", json={"name": vector, "title": "v", "dimensions": 3})
    client.call("PUT", f"{place}/publish")
    user = client.call("GET", "/me")["id"]

    def record(number: int, **more: Any) -> Json:
        suggestions = [
            {
                "question_id": questions["label"]["id"],
                "value": "yes",
                "agent": "a-model",
                "score": 0.00001,
                "type": "model",
            },
            {"question_id": questions["labels"]["id"], "value": ["yes", "no"], "score": [0.5, 1.0]},
        ]
        answers = {"label": {"value": "no"}, "score": {"value": 3}, "labels": {"value": ["no"]}}
        response = {"user_id": user, "status": "submitted", "values": answers}
        return {
            "external_id": f"r{number}",
            "fields": {"text": f"número {number} \u0001 😀"},
            "metadata": {"words": number, "nested": {"a": [1.0, None]}},
            "vectors": {"short": [number, 1e-5 * number, -0.000012345]},
            "suggestions": suggestions[: number % 3],
            "responses": [response] * (number % 2),
            **more,
        }

    said = []
    hook = {"url": f"http://127.0.0.1:{hooks.server_port}/", "events": ["record.created", "record.updated"]}
    for heard in (False, True):
        if heard:
            made = client.call("POST", "/webhooks", json=hook)
            time.sleep(1.1)  # it is remembered for a second who listens
        first = 100 * heard
        bulk = f"{place}/records/bulk"
        said.append(client.call("POST", bulk, json={"items": [record(first + n) for n in range(4)]}, expect=201))
        upserts = [record(first + 2, vectors={"short": [9, 9, 9]}), record(first + 4), record(first + 5, vectors=None)]
        upserts += [{"external_id": f"r{first + 1}", "metadata": {"words": 77}, "suggestions": []}]
        said.append(client.call("PUT", bulk, json={"items": upserts}, expect=200))
        wrong = {"items": [record(first + 6), record(first + 7, vectors={"short": [1]})]}
        said.append(client.call("PUT", bulk, json=wrong, expect=422))
        said.append(client.call("POST", bulk, content=b'{"items": [}', expect=422))
    deadline = time.monotonic() + 20
    while len(hooks.heard) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    client.call("DELETE", f"/webhooks/{made['id']}")
    return said, sorted(hooks.heard)


STORED = {
    "records": """SELECT external_id, fields, metadata, status FROM records WHERE dataset_id = ?""",
    "vectors": """SELECT external_id, name, value FROM vectors JOIN records ON records.id = record_id
        JOIN vectors_settings ON vectors_settings.id = vector_settings_id WHERE records.dataset_id = ?""",
    "suggestions": """SELECT external_id, name, value, score, agent, type FROM suggestions
        JOIN records ON records.id = record_id JOIN questions ON questions.id = question_id
        WHERE records.dataset_id = ?""",
    "responses": """SELECT external_id, "values", responses.status, user_id FROM responses
        JOIN records ON records.id = record_id WHERE records.dataset_id = ?""",
    "times": """SELECT external_id, records.inserted_at = records.updated_at, vectors.inserted_at = vectors.updated_at
        FROM records LEFT JOIN vectors ON records.id = record_id WHERE records.dataset_id = ?""",
}


@pytest.mark.server
def test_records_logged_both_ways_are_stored_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hooks: Hooks
) -> None:
    home = tmp_path / ".argilla"
    said, heard = {}, {}
    for way in ("ours", "as released"):
        monkeypatch.setenv("ANNOT_AS_RELEASED", "" if way == "ours" else "1")
        state = embedded.start(home, port=free_port())
        try:
            client = Client(state.url, embedded.owner(home).api_key)
            hooks.heard.clear()
            said[way], heard[way] = log_records(client, way, hooks)
        finally:
            embedded.stop(home)
    assert ("ANNOT_AS_RELEASED is set" in logs.tail(home, 100)) is True
    assert heard["ours"] == heard["as released"] == ["record.created"] * 6 + ["record.updated"] * 2

    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        ids = dict(database.execute("SELECT name, id FROM datasets"))
        for what, query in STORED.items():
            ours, released = (sorted(database.execute(query, (ids[way],)), key=repr) for way in said)
            assert len(released) >= 4
            if what == "times":  # a multiple insert of Argilla's gives its rows one moment of change
                ours, released = [row[:2] for row in ours], [row[:2] for row in released]
            assert ours == released, what
    assert plain(said["ours"]) == plain(said["as released"])


def plain(said: Any) -> Any:
    """An answer without what differs from one time to the next: ids and moments."""
    if isinstance(said, list):
        return [plain(part) for part in said]
    if isinstance(said, dict):
        return {name: plain(part) for name, part in said.items() if "id" not in name.split("_") and name[-3:] != "_at"}
    return said
