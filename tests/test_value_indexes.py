"""Filters that an index answers find what reading every record would find."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from search_client import Client, Json, answered, between, make_dataset, make_workspace, metadata, suggested, terms
from test_faster import run_in_server

from annotation.hosting.embedded import Owner

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Both kinds of database."""
    return argilla_on_each


@pytest.fixture(scope="module")
def owner(argilla_server: tuple[str, Owner]) -> Client:
    url, account = argilla_server
    return Client(url, account.api_key)


@pytest.fixture(scope="module")
def shelf(owner: Client) -> Json:
    """Records whose metadata is one value, several, odd or none, with suggestions and answers."""
    dataset = make_dataset(owner, make_workspace(owner, f"indexes-{time.monotonic_ns()}"))
    questions = {
        item["name"]: item["id"] for item in owner.call("GET", f"/datasets/{dataset['id']}/questions")["items"]
    }
    rows: dict[str, tuple[Any, Any, Any, float | None, int | None]] = {
        # external id: country, words, verdict suggested, its score, own rating
        "one": ("MX", 3, "fact", 0.2, 5),
        "list": (["MX", "PE"], 5, "register", 0.5, 4),
        "like-a-list": ('["MX"]', -8, "fact", 0.9, 1),
        "odd": ("x'5B'", 0, None, None, None),
        "null": (None, None, "stereotype", 1.0, 5),
        "none": ([], 13, None, None, None),
    }
    items = []
    for name, (country, words, verdict, score, _) in rows.items():
        suggestions = []
        if verdict:
            suggestions = [
                {"question_id": questions["verdict"], "value": verdict, "score": score, "agent": "m"},
                {"question_id": questions["problems"], "value": [verdict, "register"][: 1 + (verdict == "fact")]},
            ]
        described = {"country": country, "words": words, "weight": None if words is None else words / 2}
        items.append(
            {"external_id": name, "fields": {"prompt": name}, "metadata": described, "suggestions": suggestions}
        )
    logged = owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": items})["items"]
    ranks = [{"value": "A", "rank": 1}, {"value": "B", "rank": 1}]
    for record in logged:
        rating = rows[record["external_id"]][-1]
        if rating:
            owner.answer(record, "submitted", ranking=ranks, score=rating, verdict="fact" if rating > 4 else "register")
    return dataset


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        (terms(metadata("country"), "MX"), ["one", "list"]),
        (terms(metadata("country"), "PE", "BR"), ["list"]),
        (terms(metadata("country"), '["MX"]'), ["like-a-list"]),
        (terms(metadata("country"), '["MX","PE"]'), []),
        (terms(metadata("country"), "x'5B'"), ["odd"]),
        (terms(metadata("country"), "["), []),
        (between(metadata("words"), 0, 5), ["one", "list", "odd"]),
        (between(metadata("words"), ge=4), ["list", "none"]),
        (between(metadata("words"), le=0), ["like-a-list", "odd"]),
        (between(metadata("weight"), 1.5, 2.5), ["one", "list"]),
        (terms(suggested("verdict"), "fact"), ["one", "like-a-list"]),
        (terms(suggested("problems"), "register"), ["one", "list", "like-a-list"]),
        (terms(suggested("verdict", "agent"), "m"), ["one", "list", "like-a-list", "null"]),
        (between(suggested("verdict", "score"), 0.5, 0.9), ["list", "like-a-list"]),
        (between(suggested("verdict", "score"), ge=0.9), ["like-a-list", "null"]),
        (between(answered("score"), 4, 5), ["one", "list", "null"]),
        (terms(answered("score"), "1"), ["like-a-list"]),
        (terms(answered("verdict"), "fact"), ["one", "null"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_filter_finds_one_value_and_one_of_several(
    owner: Client, shelf: Json, filter_: Json, found: list[str]
) -> None:
    assert sorted(owner.ids(shelf, filter_)) == sorted(found)


def test_what_is_no_json_for_the_database_is_stored_all_the_same(owner: Client) -> None:
    """Python's NaN and Infinity; SQLite would refuse the record if its index insisted on JSON."""
    dataset = make_dataset(owner, make_workspace(owner, f"indexes-{time.monotonic_ns()}"))
    body = b'{"items": [{"fields": {"prompt": "p"}, "metadata": {"country": "MX", "deep": [NaN, Infinity]}}]}'
    place = f"/datasets/{dataset['id']}"
    is_postgresql = owner.call("GET", "/status")["search_engine"]["database"] == "postgresql"
    if not is_postgresql:  # its own type refuses them, whatever annot does
        headers = {"content-type": "application/json"}
        owner.call("POST", f"{place}/records/bulk", expect=201, content=body, headers=headers)
        owner.call("GET", f"{place}/progress")
    assert owner.call("GET", f"{place}/progress")["total"] == (0 if is_postgresql else 1)


def test_an_index_is_used_where_there_is_one(argilla_on_sqlite: tuple[str, Owner], argilla_home: Path) -> None:
    """Every metadata property and question that a filter can name has one, and SQLite takes it."""
    url, account = argilla_on_sqlite
    client = Client(url, account.api_key)
    make_dataset(client, make_workspace(client, f"indexes-{time.monotonic_ns()}"))
    with sqlite3.connect(argilla_home / "argilla.db", timeout=30) as database:
        made = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE 'annot_ix_value_%'"
        indexes = dict(database.execute(made))
        for name in ("country", "words", "weight"):
            (written,) = [sql for sql in indexes.values() if f"""'$."{name}"'""" in sql and " records " in sql]
            value = written.partition("(dataset_id, ")[2].partition(", status, inserted_at")[0]
            query = f"SELECT id FROM records WHERE dataset_id = '' AND status = 'pending' AND {value} IN (?, x'5B')"
            (step,) = database.execute(f"EXPLAIN QUERY PLAN {query}", ("MX",))
            assert "annot_ix_value_" in step[3]


def test_our_indexes_and_triggers_make_way_for_a_newer_argilla_and_come_back(tmp_path: Path) -> None:
    """Argilla's newest migration is undone and done again: it changes columns, and SQLite drops no indexed one."""
    code = f"""
import sqlite3
from pathlib import Path
from alembic import command
from annotation.server import schema, triggers
from annotation.server.search import indexes
from argilla_server.database import sync_engine
home = Path({str(tmp_path)!r})
def ours():
    with sqlite3.connect(home / "argilla.db") as db:
        ours = "name like 'annot_ix_%' or (type = 'trigger' and name like 'annot_%')"
        return db.execute(f"select count(*) from sqlite_master where {{ours}}").fetchone()[0]
def feed_id():
    with sqlite3.connect(home / "argilla.db") as db:
        return db.execute("select id from annot_feed").fetchone()[0]
schema.migrate(home)
schema.make_side_tables()
at_first, feed = ours(), feed_id()
schema.migrate(home)
unchanged = ours()
with sync_engine.connect() as connection:
    indexes.drop(connection)
    triggers.drop(connection)
    connection.commit()
command.downgrade(schema.alembic_settings(), "-1")
with sync_engine.connect() as connection:
    connection.exec_driver_sql("create index annot_ix_in_the_way on records (inserted_at, status, updated_at)")
    connection.commit()
schema.migrate(home)
cleared = ours()
schema.make_side_tables()
assert feed_id() != feed  # what was answered meanwhile is unknown
print(at_first, unchanged, cleared, ours())
"""
    at_first, unchanged, cleared, at_last = map(int, run_in_server(code, tmp_path).split())
    assert at_first > 12
    assert (unchanged, cleared, at_last) == (at_first, 0, at_first)
