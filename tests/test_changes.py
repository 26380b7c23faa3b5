"""The change feed: who reads it hears of every change of an answer, whoever makes it, and of nothing else."""

import contextlib
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from campaigns import cases
from conftest import free_port
from feed_client import Mirror, Reader, Sql, answers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kill_argilla import Site, at_work, kill
from postgres import Postgres
from search_client import Client, Json, item, make_dataset, make_workspace
from test_faster import run_in_server

from annotation.backups.copies import copy_sqlite
from annotation.hosting import embedded

pytestmark = pytest.mark.server

VALUES: dict[str, Any] = {"ranking": [{"value": "A", "rank": 1}, {"value": "B", "rank": 2}]}
BODY = {"status": "submitted", "values": {name: {"value": value} for name, value in VALUES.items()}}
PEOPLE = 3


@dataclass
class World:
    """A running Argilla with a dataset and people in it."""

    owner: Client
    workspace: Json
    dataset: Json
    people: list[Client]
    ids: list[str]
    """Of the people."""
    sql: Callable[[], Sql]

    def person(self, name: str) -> tuple[Client, str]:
        """A new annotator of the workspace, with the id."""
        account = {"first_name": name, "username": name, "password": "a-long-password", "role": "annotator"}
        made = self.owner.call("POST", "/users", json=account)
        self.owner.call("POST", f"/workspaces/{self.workspace['id']}/users", json={"user_id": made["id"]})
        return Client(str(self.owner.http.base_url).removesuffix("/api/v1/"), made["api_key"]), made["id"]

    def records(self, number: int, dataset: Json | None = None) -> list[Json]:
        """New records."""
        place = f"/datasets/{(dataset or self.dataset)['id']}/records/bulk"
        items = [item(f"{time.monotonic_ns()}-{n}", None, 1, 1.0, "p", "a", None) for n in range(number)]
        return list(self.owner.call("POST", place, json={"items": items})["items"])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    """The Argilla of all tests, on each database."""
    url, account = request.getfixturevalue(f"argilla_on_{request.param}")
    home = request.getfixturevalue("argilla_home" if request.param == "sqlite" else "argilla_postgresql_home")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    owner = Client(url, account.api_key)
    workspace = make_workspace(owner, f"changes-{time.monotonic_ns()}")
    dataset = make_dataset(owner, workspace)
    found = World(owner, workspace, dataset, [], [], lambda: Sql(home, embedded.database_of(home), server))
    for number in range(PEOPLE):
        client, id_ = found.person(f"changes-{time.monotonic_ns()}-{number}")
        found.people.append(client)
        found.ids.append(id_)
    return found


@pytest.fixture
def sql(world: World) -> Iterator[Sql]:
    opened = world.sql()
    yield opened
    opened.close()


# --- what is told -------------------------------------------------------------------------------------


def submit(world: World, record: Json) -> Json:
    return world.people[0].answer(record, "submitted", **VALUES)


def log_again(world: World, record: Json) -> None:
    """As the SDK logs records that people have answered elsewhere."""
    response = {**BODY, "user_id": world.ids[1]}
    items = [{"external_id": record["external_id"], "fields": record["fields"], "responses": [response]}]
    world.owner.call("PUT", f"/datasets/{world.dataset['id']}/records/bulk", json={"items": items})


def bulk(world: World, record: Json) -> None:
    answered = world.people[0].call("POST", "/me/responses/bulk", json={"items": [{**BODY, "record_id": record["id"]}]})
    assert answered["items"][0]["error"] is None


def delete_person(world: World, record: Json) -> None:
    client, id_ = world.person(f"changes-{time.monotonic_ns()}")
    client.answer(record, "submitted", **VALUES)
    assert Reader(world.owner).told() == set()
    world.owner.call("DELETE", f"/users/{id_}")


def put(status: str) -> Callable[[World, Json], Any]:
    return lambda world, record: world.people[0].call(
        "PUT", f"/responses/{submit(world, record)['id']}", json={**BODY, "status": status}
    )


WAYS: dict[str, Callable[[World, Json], Any]] = {
    "an answer": submit,
    "a draft": lambda world, record: world.people[0].answer(record, "draft"),
    "an answer that is changed": put("submitted"),
    "an answer that is discarded": put("discarded"),
    "an answer that is deleted": lambda world, record: world.people[0].call(
        "DELETE", f"/responses/{submit(world, record)['id']}"
    ),
    "a record that is deleted": lambda world, record: world.owner.call("DELETE", f"/records/{record['id']}"),
    "several records that are deleted": lambda world, record: world.owner.call(
        "DELETE", f"/datasets/{world.dataset['id']}/records", params={"ids": record["id"]}
    ),
    "an answered record that is deleted": lambda world, record: (
        submit(world, record),
        world.owner.call("DELETE", f"/records/{record['id']}"),
    ),
    "answers in bulk": bulk,
    "a record that is logged with an answer": log_again,
    "a person who is deleted": delete_person,
    "a text that is changed": lambda world, record: world.owner.call(
        "PATCH", f"/records/{record['id']}", json={"fields": {**record["fields"], "prompt": "otro"}}
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_told_whoever_makes_it(world: World, way: str) -> None:
    record, _ = world.records(2)
    reader = Reader(world.owner)
    WAYS[way](world, record)
    assert reader.told() == {record["id"]}
    assert reader.told() == set()


def test_the_last_of_two_changes_is_told(world: World) -> None:
    """Each of them alone: what comes after an answer of the feed is in the next."""
    (record,) = world.records(1)
    reader = Reader(world.owner)
    answer = submit(world, record)
    assert reader.told() == {record["id"]}
    for body in ({**BODY, "status": "discarded"}, BODY):
        world.people[0].call("PUT", f"/responses/{answer['id']}", json=body)
        assert reader.told() == {record["id"]}
    world.people[0].call("DELETE", f"/responses/{answer['id']}")
    assert reader.told() == {record["id"]}


def test_a_dataset_that_is_deleted_takes_all_its_records_along(world: World) -> None:
    dataset = make_dataset(world.owner, world.workspace)
    records = world.records(5, dataset)
    submit(world, records[0])
    reader = Reader(world.owner)
    world.owner.call("DELETE", f"/datasets/{dataset['id']}")
    answer = reader.ask(feed=reader.feed, after=reader.last)
    assert {change["dataset_id"] for change in answer["changes"]} == {dataset["id"]}
    assert reader.told() == {record["id"] for record in records}


def test_what_is_no_answer_is_not_told(world: World) -> None:
    (record,) = world.records(1)
    reader = Reader(world.owner)
    world.owner.call("PATCH", f"/records/{record['id']}", json={"metadata": {"country": "MX"}})
    question = world.owner.call("GET", f"/datasets/{world.dataset['id']}/questions")["items"][3]
    suggestion = {"question_id": question["id"], "value": 3}
    world.owner.call("PUT", f"/records/{record['id']}/suggestions", json=suggestion)
    assert reader.told() == set()


def test_plain_sql_is_told_and_what_is_rolled_back_is_not(world: World, sql: Sql) -> None:
    one, other = (record["id"] for record in world.records(2))
    reader = Reader(world.owner)
    sql.answer(one, world.ids[0])
    assert reader.told() == {one}
    sql.run(f"UPDATE responses SET record_id = '{sql.id(other)}' WHERE record_id = '{sql.id(one)}'")
    assert reader.told() == {one, other}

    sql.begin()
    sql.answer(one, world.ids[0])
    sql.run(f"DELETE FROM records WHERE id = '{sql.id(other)}'", "ROLLBACK")
    assert reader.told() == set()

    sql.withdraw(other, world.ids[0])
    assert reader.told() == {other}


def test_many_changes_come_in_pages_and_each_record_once(world: World, sql: Sql) -> None:
    (pattern,) = world.records(1)
    number = 4_500
    make = "gen_random_uuid()" if sql.id(pattern["id"]) == pattern["id"] else "lower(hex(randomblob(16)))"
    # Joined with itself until there are enough: both databases can do that.
    digits = "(SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)"
    many = ", ".join(f"{digits} AS d{place}" for place in range(6))
    columns = "fields, status, dataset_id, inserted_at, updated_at"
    copied = f"SELECT {make}, {columns} FROM records, {many} WHERE records.id = '{sql.id(pattern['id'])}'"
    sql.run(f"INSERT INTO records (id, {columns}) {copied} LIMIT {number}")
    reader = Reader(world.owner)
    dataset = sql.id(world.dataset["id"])
    sql.run(
        'INSERT INTO responses (id, "values", status, record_id, user_id, inserted_at, updated_at) '
        f"SELECT {make}, '{{}}', 'draft', id, '{sql.id(world.ids[0])}', inserted_at, updated_at "
        f"FROM records WHERE dataset_id = '{dataset}' AND external_id IS NULL"
    )
    pages = []
    while not pages or pages[-1]["more"]:
        pages.append(reader.next())
    told = [change["record_id"] for page in pages for change in page["changes"]]
    assert len(pages) == 3
    assert len(told) == len(set(told)) == number
    gone = f"dataset_id = '{dataset}' AND external_id IS NULL"
    sql.run(f"DELETE FROM records WHERE {gone}")
    assert reader.told() == set(told)


# --- transactions that end in any order ---------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["answer", "withdraw", "commit", "rollback", "read"]), st.integers(0, 2), st.integers(0, 3)
    ),
    min_size=12,  # so that many of them are long
    max_size=60,
)
LATE = [("answer", 0, 0), ("answer", 1, 1), ("commit", 1, 0), ("read", 0, 0), ("commit", 0, 0)]


class Desk:
    """People who write past the API, each in a transaction of their own, and a reader."""

    def __init__(self, world: World, sessions: int) -> None:
        self.sessions = [world.sql() for _ in range(sessions)]
        self.records = [record["id"] for record in world.records(4)]
        self.reader, self._people = Reader(world.owner), world.ids
        self._changed: list[set[str] | None] = [None for _ in self.sessions]
        self.clear()

    def clear(self) -> None:
        """Begin with no answers, and nothing that was not read."""
        for person in range(len(self.sessions)):
            if self._changed[person] is not None:
                self.sessions[person].run("ROLLBACK")
        listed = ", ".join(f"'{self.sessions[0].id(record)}'" for record in self.records)
        self.sessions[0].run(f"DELETE FROM responses WHERE record_id IN ({listed})")
        self.reader.told()
        self._kept: list[set[int]] = [set() for _ in self.sessions]
        self._now: list[set[int]] = [set() for _ in self.sessions]
        self._changed = [None for _ in self.sessions]

    def write(self, person: int, kind: str, record: int) -> None:
        """Answer or withdraw, in a transaction that stays open."""
        session, changed = self.sessions[person], self._changed[person]
        if changed is None:
            session.begin()
            changed = self._changed[person] = set()
        if kind == "answer":
            session.answer(self.records[record], self._people[person])
            self._now[person].add(record)
            changed.add(self.records[record])
        else:
            session.withdraw(self.records[record], self._people[person])
            if record in self._now[person]:
                self._now[person].remove(record)
                changed.add(self.records[record])

    def end(self, person: int, kind: str) -> set[str]:
        """End the transaction; what has been changed for good."""
        changed = self._changed[person]
        if changed is None:
            return set()
        self.sessions[person].run(kind.upper())
        self._changed[person] = None
        if kind == "commit":
            self._kept[person] = set(self._now[person])
            return changed
        self._now[person] = set(self._kept[person])
        return set()


@pytest.fixture(scope="module")
def desk(world: World) -> Iterator[Desk]:
    found = Desk(world, PEOPLE if "postgresql" in str(world.owner.call("GET", "/status")) else 1)
    yield found
    for session in found.sessions:
        session.close()


@given(steps=STEPS)
@example(steps=LATE)
@settings(max_examples=30, deadline=None)
def test_a_reader_hears_exactly_of_what_is_committed(desk: Desk, steps: list[Any]) -> None:
    """Several transactions are open at once and end in any order; in SQLite, where one may write, only one."""
    desk.clear()
    committed: set[str] = set()
    for kind, person, record in steps:
        person %= len(desk.sessions)
        if kind == "read":
            assert desk.reader.told() == committed
            committed.clear()
        elif kind in ("commit", "rollback"):
            committed |= desk.end(person, kind)
        else:
            desk.write(person, kind, record)
    for person in range(len(desk.sessions)):
        committed |= desk.end(person, "commit")
    assert desk.reader.told() == committed


# --- waiting ------------------------------------------------------------------------------------------


def test_a_request_that_waits_is_answered_by_a_change(world: World) -> None:
    (record,) = world.records(1)
    reader = Reader(world.owner)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.next, wait=60)
        time.sleep(0.3)
        assert not waiting.done()
        submit(world, record)
        assert [change["record_id"] for change in waiting.result(30)["changes"]] == [record["id"]]


def test_a_request_that_waits_in_vain_ends_with_nothing(world: World) -> None:
    reader = Reader(world.owner)
    assert reader.ask(after=reader.last, wait=0.2) == {
        "feed": reader.feed,
        "last": reader.last,
        "changes": [],
        "more": False,
        "reset": False,
        "guards": True,
        "assigns": True,
    }


def test_those_who_wait_hold_no_connection_to_the_database(world: World) -> None:
    """More wait than there are connections; whoever works goes on, and all of them hear of it."""
    (record,) = world.records(1)
    readers = [Reader(world.owner) for _ in range(30)]
    with ThreadPoolExecutor(len(readers)) as pool:
        waiting = [pool.submit(reader.next, wait=60) for reader in readers]
        time.sleep(1)
        submit(world, record)
        told = [asked.result(30)["changes"] for asked in waiting]
    assert [[change["record_id"] for change in changes] for changes in told] == [[record["id"]]] * len(readers)


# --- who may ask, and what --------------------------------------------------------------------------------


def test_only_owners_may_ask(world: World) -> None:
    assert world.owner.http.get("/annot/changes", headers={"X-Argilla-Api-Key": "nobody's"}).status_code == 401
    world.people[0].call("GET", "/annot/changes", expect=403)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1&wait=61", "wait=-1", "wait=nan", "after=1.5"])
def test_what_makes_no_sense_is_refused(world: World, query: str) -> None:
    world.owner.call("GET", f"/annot/changes?{query}", expect=422)


def test_what_is_unknown_is_said_at_once(world: World) -> None:
    reader = Reader(world.owner)
    submit(world, world.records(1)[0])
    answer = {**reader.ask(), "changes": [], "more": False, "reset": True}
    assert reader.ask(after=answer["last"] + 1, wait=60) == answer
    assert reader.ask(after=10**30, wait=60) == answer
    assert reader.ask(feed="another", after=reader.last, wait=60) == answer
    assert reader.ask(feed="another", after=answer["last"], wait=60) == answer
    assert reader.ask(feed=answer["feed"], wait=60) == answer
    assert reader.told()


# --- another feed ---------------------------------------------------------------------------------------


def test_the_index_made_again_is_another_feed(world: World, request: pytest.FixtureRequest) -> None:
    """Whoever waits hears of it."""
    name = "argilla_postgresql_home" if "postgresql" in str(world.owner.call("GET", "/status")) else "argilla_home"
    reader = Reader(world.owner)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.ask, feed=reader.feed, after=reader.last, wait=60)
        embedded.reindex(request.getfixturevalue(name), lambda *_: None)
        answer = waiting.result(30)
    assert answer["reset"]
    assert answer["feed"] != reader.feed
    (record,) = world.records(1)
    again = Reader(world.owner)
    assert again.feed == answer["feed"]
    submit(world, record)
    assert again.told() == {record["id"]}


def test_numbers_that_went_back_are_another_feed(world: World, sql: Sql) -> None:
    submit(world, world.records(1)[0])
    reader = Reader(world.owner)
    sql.run(f"DELETE FROM annot_changes WHERE number = {reader.last}")
    answer = reader.ask(feed=reader.feed, after=reader.last, wait=60)
    assert answer["reset"]
    assert answer["feed"] != reader.feed
    assert Reader(world.owner).feed == answer["feed"]


def test_answers_that_postgresql_truncates_are_another_feed(
    argilla_on_postgresql: tuple[str, embedded.Owner], argilla_postgresql_home: Path, postgres: Postgres
) -> None:
    """And so is a PostgreSQL that was started again: it may have been set back to an earlier moment."""
    url, account = argilla_on_postgresql
    reader = Reader(Client(url, account.api_key))
    address = embedded.database_of(argilla_postgresql_home)
    began = postgres.execute("SELECT extract(epoch FROM pg_postmaster_start_time())", address).strip()
    assert f"-{began}-" in reader.feed
    postgres.execute("BEGIN; TRUNCATE responses; ROLLBACK", address)
    assert reader.ask()["feed"] == reader.feed
    postgres.execute("TRUNCATE responses", address)
    assert reader.ask()["feed"] != reader.feed


def test_a_feed_goes_on_unless_a_trigger_was_missing_or_most_of_it_is_gone(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from annotation.server import changes, schema
from argilla_server.database import sync_engine
schema.migrate(Path({str(tmp_path)!r}))
def feed(*statements):
    with sync_engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        changes.set_up(connection)
        connection.commit()
        return connection.exec_driver_sql("SELECT id FROM annot_feed").scalar_one()
gone = "INSERT INTO annot_changes (record_id, dataset_id, number) VALUES ('r', 'd', 1)"
one = feed()
assert feed() == one
two = feed("DROP TRIGGER annot_answer_removed")
assert two != one
assert feed(gone) == two
changes.MOST_GONE = 0
assert feed() != two
print("done")
"""
    assert run_in_server(code, tmp_path) == "done\n"


# --- people at work, and a server that dies ---------------------------------------------------------------


@pytest.mark.parametrize("kind", cases("sqlite", "postgresql"))
def test_a_reader_misses_nothing_although_the_server_is_killed(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Four people work, others write past the API in transactions that end in any order; a copy is kept of all."""
    server: Postgres | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
    home, port, database = tmp_path / ".argilla", free_port(), server.database() if server else ""
    embedded.start(home, port=port, database=database)
    try:
        site = Site(home)
        client = Client(embedded.state(home).url, embedded.owner(home).api_key)
        mirror = Mirror(client, site.records)
        mirror.start()
        with at_work(site) as people, past_the_api(site, lambda: Sql(home, database, server), 2 if server else 1):
            while min(len(person.answered) for person in people) < 5:
                time.sleep(0.01)
            if kind == "sqlite":
                copy_sqlite(home / "argilla.db", tmp_path / "older.db")
            kill(psutil.Process(embedded.state(home).processes["server"]))
            embedded.start(home, port=port)
            enough = [len(person.answered) + 5 for person in people]
            while any(len(person.answered) < number for person, number in zip(people, enough, strict=True)):
                time.sleep(0.01)
        mirror.over.set()
        mirror.join(60)
        while mirror.read():
            pass
        held = {record["id"]: answers(record) for record in site.records()}
        assert {id_: mirror.copy.get(id_, []) for id_ in held} == held
        assert len(held) > 40

        # A stop does not wait for those who wait, nor does it cut them off.
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(mirror.reader.next, wait=60)
            time.sleep(0.3)
            embedded.stop(home)
            assert waiting.result(30)["changes"] == []
        assert "graceful shutdown exceeded" not in (home / "logs" / "server.log").read_text()

        # An older copy of the database has smaller numbers than a reader was told.
        if server:
            server.execute("DELETE FROM annot_changes WHERE number > 9", database)
        else:
            for path in home.glob("argilla.db*"):  # its log too
                path.unlink()
            shutil.move(tmp_path / "older.db", home / "argilla.db")
        embedded.start(home, port=port)
        assert mirror.reader.ask()["feed"] != mirror.reader.feed
    finally:
        embedded.stop(home)


@contextlib.contextmanager
def past_the_api(site: Site, connect: Callable[[], Sql], writers: int) -> Iterator[None]:
    """Write in transactions that stay open for a while and end well or not."""
    over = threading.Event()
    names = [response.json()["id"] for response in (person.get("/me") for person in site.people)]
    place = f"/datasets/{site.dataset}/records/bulk"
    items = [{"external_id": f"past-{number}", "fields": {"text": "una pregunta"}} for number in range(6)]
    records = [record["id"] for record in site.call("POST", place, json={"items": items})["items"]]

    def write(number: int) -> None:
        chance, session = random.Random(number), connect()
        while not over.is_set():
            session.begin()
            for record in sorted(chance.sample(records, 2)):
                chance.choice((session.answer, session.answer, session.withdraw))(record, names[number])
            over.wait(chance.uniform(0, 0.2 if writers > 1 else 0.02))
            session.run(chance.choice(("COMMIT", "COMMIT", "ROLLBACK")))
            over.wait(chance.uniform(0, 0.05))
        session.close()

    with ThreadPoolExecutor(writers) as pool:
        try:
            running = [pool.submit(write, number) for number in range(writers)]
            yield
        finally:
            over.set()
        for each in running:
            each.result(60)
