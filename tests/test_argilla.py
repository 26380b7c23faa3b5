"""One contract for the Argilla in memory and the real one, and what only the real one can show.

With ANNOT_TEST_STACK=1, ARGILLA_API_URL and ARGILLA_API_KEY (an owner's) it runs against a server that is up, for
example docker/compose.yaml. Accounts and datasets stay behind there: never name one that people work on.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import free_port
from fake_argilla import FakeArgilla, RealWorld, World, ranking_of, some_project
from projects import ranking_record

from annotation.config import check_settings
from annotation.errors import ArgillaError
from annotation.hosting.embedded import Owner
from annotation.tasks import TASKS
from annotation.tasks.form import Field, Form, Property, Question, Vector
from annotation.tasks.page import TeamPage
from annotation.tasks.ranking import task
from annotation.types import Prompt, Slate
from sync.argilla.client import ArgillaClient, connect
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Change, Changes, Dataset

PROMPT = Prompt.make("¿Qué llevo a una posada?", country="MX", language="es", topic="fiestas", system="Sé breve.")
TEXTS = {"a": "Ponche", "b": "Nada", "c": "Pan", "d": "<img src=x onerror=alert(1)> & más"}


@pytest.fixture(scope="module")
def argilla_server(request: pytest.FixtureRequest) -> tuple[str, Owner]:
    """The embedded server, or the one that is named."""
    if os.environ.get("ANNOT_TEST_STACK"):
        return os.environ["ARGILLA_API_URL"].rstrip("/"), Owner("", "", os.environ["ARGILLA_API_KEY"])
    found: tuple[str, Owner] = request.getfixturevalue("argilla_on_sqlite")
    return found


def slate_of(number: int) -> Slate:
    return Slate(f"slate-{number:04}", PROMPT.id, ("c", "a", "d", "b"), number)


def dataset_of(world: World, *, dimensions: int | None = None, overlap: int = 2) -> Dataset:
    name = f"w{uuid4().hex[:8]}"
    workspace = world.api.add_workspace(name)
    return world.api.add_dataset("cultural fit", workspace, task.form(TeamPage("es"), 4, overlap, dimensions))


def member(world: World, dataset: Dataset) -> tuple[str, str]:
    """Log-in of someone in the dataset's workspace."""
    username = f"u{uuid4().hex[:8]}"
    account = world.api.add_account(username, "Ana", "annotator", "a long password")
    world.api.add_member(world.api.workspaces()[dataset.workspace], account.id)
    return username, "a long password"


EVERYTHING = Form(
    names=("everything",),
    guidelines="Lee y responde.",
    fields=(
        Field("text", "Texto"),
        Field("picture", "Foto", "image", required=False),
        Field("talk", "Conversación", "chat", required=False),
    ),
    questions=(
        Question("order", "ranking", "Ordena", required=True, options={"a": "A", "b": "B"}),
        Question("stars", "rating", "¿Cuánto?", numbers=(1, 2, 3, 4, 5)),
        Question("one", "label_selection", "¿Cuál?", options={"x": "Equis", "y": "Ye"}),
        Question("several", "multi_label_selection", "¿Cuáles?", options={"x": "Equis", "y": "Ye"}),
        Question("why", "text", "¿Por qué?"),
        Question("where", "span", "¿Dónde?", options={"here": "Aquí", "there": "Allí"}, field="text"),
    ),
    metadata=(Property("slate", "terms", "Ficha", visible=False),),
    vector=None,
    overlap=1,
)
"""Every kind of field and of question that a task may have."""

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_a_form_may_have_every_kind_of_field_and_question(world: World) -> None:
    dataset = world.api.add_dataset("everything", world.api.add_workspace(f"w{uuid4().hex[:8]}"), EVERYTHING)
    assert world.api.shape(dataset.id) == EVERYTHING.shape
    fields = {"text": "Buenos días", "picture": PIXEL, "talk": [{"role": "user", "content": "Hola"}]}
    world.api.add_records(dataset.id, [{"external_id": "i1", "fields": fields, "metadata": {"slate": "i1"}}])
    client = world.annotator_client(*member(world, dataset))
    (record,) = client.queue(dataset.id)
    values = {
        "order": {"value": [{"value": "a", "rank": 1}, {"value": "b", "rank": 1}]},
        "stars": {"value": 4},
        "one": {"value": "x"},
        "several": {"value": ["x", "y"]},
        "why": {"value": "Porque sí"},
        "where": {"value": [{"label": "here", "start": 0, "end": 6}]},
    }
    client.answer(record["id"], values)
    (told,) = world.api.records_of(dataset.id, "slate", ["i1"])
    assert told["fields"] == fields
    (given,) = told["responses"]
    assert {name: answer["value"] for name, answer in given["values"].items()} == {
        name: answer["value"] for name, answer in values.items()
    }


def test_descriptions_of_a_picture_are_taken_with_the_picture_and_not_without(world: World) -> None:
    form = TASKS["description"].form(TeamPage("pt"), check_settings({}, place="test"))
    dataset = world.api.add_dataset("descriptions", world.api.add_workspace(f"w{uuid4().hex[:8]}"), form)
    assert world.api.shape(dataset.id) == form.shape
    fields = {"picture": PIXEL, **{seat: f"Descrição {seat}" for seat in "ABCD"}}
    blind = {name: text for name, text in fields.items() if name != "picture"}
    with pytest.raises(ArgillaError):
        world.api.add_records(dataset.id, [{"external_id": "i0", "fields": blind, "metadata": {"slate": "i0"}}])
    world.api.add_records(dataset.id, [{"external_id": "i1", "fields": fields, "metadata": {"slate": "i1"}}])
    client = world.annotator_client(*member(world, dataset))
    (record,) = client.queue(dataset.id)
    assert record["fields"] == fields
    client.answer(record["id"], ranking_of("1223", problems=["A:generic", "D:identifies_person"]))
    (told,) = world.api.records_of(dataset.id, "slate", ["i1"])
    assert told["responses"][0]["values"]["problems"] == {"value": ["A:generic", "D:identifies_person"]}


def test_accounts_and_memberships_come_back_as_they_were_made(world: World) -> None:
    api = world.api
    username, room = f"u{uuid4().hex[:8]}", api.add_workspace(f"w{uuid4().hex[:8]}")
    account = api.add_account(username, "Ana", "annotator", "a long password")
    assert account in api.accounts()
    assert api.members(room) == set()
    api.add_member(room, account.id)
    assert api.members(room) == {account.id}
    api.change_account(account.id, "Ana María", "admin")
    changed = next(a for a in api.accounts() if a.id == account.id)
    assert (changed.first_name, changed.role) == ("Ana María", "admin")
    api.remove_member(room, account.id)
    assert api.members(room) == set()
    assert changed in api.accounts()


def test_what_exists_is_not_made_twice(world: World) -> None:
    dataset = dataset_of(world)
    with pytest.raises(ArgillaError):
        world.api.add_workspace(dataset.workspace)
    username, _ = member(world, dataset)
    with pytest.raises(ArgillaError):
        world.api.add_account(username, "Ana", "annotator", "a long password")
    with pytest.raises(ArgillaError):
        world.api.add_dataset(
            dataset.name, world.api.workspaces()[dataset.workspace], task.form(TeamPage("es"), 4, 2, None)
        )


def test_a_dataset_has_the_shape_of_its_form(world: World) -> None:
    dataset = dataset_of(world, dimensions=3, overlap=2)
    assert dataset in world.api.datasets()
    assert (dataset.ready, dataset.overlap) == (True, 2)
    assert world.api.shape(dataset.id) == task.form(TeamPage("pt"), 4, 9, None).shape
    assert world.api.shape(dataset.id).seats == 4
    assert world.api.vectors(dataset.id) == {"embedding": 3}
    world.api.add_vector(dataset.id, Vector("other", "Other", 5))
    assert world.api.vectors(dataset.id) == {"embedding": 3, "other": 5}
    world.api.set_overlap(dataset.id, 4)
    assert next(d for d in world.api.datasets() if d.id == dataset.id).overlap == 4


def test_records_are_added_once_and_stand_in_the_order_of_adding(world: World) -> None:
    api, dataset = world.api, dataset_of(world, dimensions=3)
    records = [ranking_record(slate_of(n), PROMPT, TEXTS, [0.6, 0.8, 0.0] if n % 2 else None) for n in range(300)]
    made = {**api.add_records(dataset.id, records[:256]), **api.add_records(dataset.id, records[256:])}
    assert list(made) == [r["external_id"] for r in records]
    with pytest.raises(ArgillaError):
        api.add_records(dataset.id, [{**records[0], "fields": {**records[0]["fields"], "prompt": "overwritten"}}])
    with pytest.raises(ArgillaError):
        api.add_records(dataset.id, [{**records[0], "external_id": "new", "fields": {"prompt": "no answers"}}])
    pages = [api.records(dataset.id, offset, 100, responses=True) for offset in (0, 100, 200, 300)]
    assert [page.total for page in pages] == [300] * 4
    told = [record for page in pages for record in page.records]
    assert [(r["external_id"], r["id"]) for r in told] == list(made.items())
    assert told[7]["fields"] == records[7]["fields"]
    assert [r["id"] for r in walk(api, dataset.id)] == list(made.values())


def test_a_refused_batch_adds_nothing(world: World) -> None:
    api, dataset = world.api, dataset_of(world)
    good = [ranking_record(slate_of(n), PROMPT, TEXTS, None) for n in range(3)]
    with pytest.raises(ArgillaError):
        api.add_records(dataset.id, [*good, {**good[0], "external_id": "x", "fields": {"nonsense": "1"}}])
    assert api.records(dataset.id, 0, 10, responses=False).total == 0


def record_of(api: ArgillaApi, dataset: Dataset, record_id: str) -> dict[str, Any]:
    """A record with its responses, as pull reads it."""
    return next(r for r in walk(api, dataset.id, responses=True) if r["id"] == record_id)


def test_the_first_positions_are_the_first_in_everyones_queue(world: World) -> None:
    if isinstance(world, RealWorld) and not engine_is_ours(world):
        pytest.skip("Elasticsearch shuffles the whole queue for every person")
    dataset = dataset_of(world)
    records = [ranking_record(slate_of(n), PROMPT, TEXTS, None) for n in range(40)]
    for start in (0, 20):
        world.api.add_records(dataset.id, records[start:][:20])
    for _ in range(2):
        queue = world.annotator_client(*member(world, dataset)).queue(dataset.id, 40)
        # Blocks of ten in the order of adding; within a block, every person has an order of their own.
        positions = [int(record["external_id"].removeprefix("slate-")) for record in queue]
        assert sorted(positions) == list(range(40))
        assert [position // 10 for position in positions] == sorted(position // 10 for position in range(40))


def engine_is_ours(world: RealWorld) -> bool:
    """Whether the search engine is annot's."""
    return world.api.ask("GET", "/status", "the status")["search_engine"].get("name") == "annot"


def test_answers_come_back_with_ranks_edits_and_statuses(world: World) -> None:
    api, dataset = world.api, dataset_of(world)
    api.add_records(dataset.id, [ranking_record(slate_of(n), PROMPT, TEXTS, None) for n in range(3)])
    client = world.annotator_client(*member(world, dataset))
    first, second, third = client.queue(dataset.id)
    given = client.answer(first["id"], ranking_of("1134", problems=["B:stereotype"], acceptable="none", rewrite="Pan"))
    client.answer(second["id"], {"ranking": {"value": [{"value": "A", "rank": 1}]}}, status="draft")
    client.answer(third["id"], {}, status="discarded")
    edited = client.answer(first["id"], ranking_of("4411"))
    assert edited["id"] == given["id"]
    assert edited["updated_at"] > given["updated_at"]
    told = {r["id"]: r["responses"] for r in api.records(dataset.id, 0, 10, responses=True).records}
    assert [r["status"] for r in (*told[first["id"]], *told[second["id"]], *told[third["id"]])] == [
        "submitted",
        "draft",
        "discarded",
    ]
    assert [(v["value"], v["rank"]) for v in told[first["id"]][0]["values"]["ranking"]["value"]] == [
        ("A", 4),
        ("B", 4),
        ("C", 1),
        ("D", 1),
    ]
    client.withdraw(given["id"])
    assert record_of(api, dataset, first["id"])["responses"] == []


def test_deleting_a_person_deletes_the_answers_so_annot_never_does(world: World) -> None:
    api, dataset = world.api, dataset_of(world)
    made = api.add_records(dataset.id, [ranking_record(slate_of(0), PROMPT, TEXTS, None)])
    username, password = member(world, dataset)
    record_id = made[slate_of(0).id]
    world.annotator_client(username, password).answer(record_id, ranking_of("1234"))
    account = next(a for a in api.accounts() if a.username == username)
    api.remove_member(api.workspaces()[dataset.workspace], account.id)
    assert len(record_of(api, dataset, record_id)["responses"]) == 1
    world.delete_account(account.id)
    assert record_of(api, dataset, record_id)["responses"] == []


def test_a_wrong_password_is_a_sentence(world: World) -> None:
    username, _ = member(world, dataset_of(world))
    with pytest.raises(ArgillaError, match="password"):
        world.annotator_client(username, "not this one")


# -- the change feed ------------------------------------------------------------------------------------


def test_the_feed_names_every_record_whose_answers_changed_since_and_each_once(world: World) -> None:
    api, dataset = with_feed(world), dataset_of(world)
    made = api.add_records(dataset.id, [ranking_record(slate_of(n), PROMPT, TEXTS, None) for n in range(5)])
    username, password = member(world, dataset)
    client = world.annotator_client(username, password)
    first, second, third, fourth, fifth = made.items()
    begin = told(api, None)
    assert (begin.changes, begin.more) == ((), False)
    assert told(api, begin.last) == begin  # records that are added are no answers

    submitted = client.answer(first[1], ranking_of("1234"))
    client.answer(second[1], {"ranking": {"value": [{"value": "A", "rank": 1}]}}, status="draft")
    client.answer(third[1], {}, status="discarded")
    client.answer(first[1], ranking_of("4321"))
    client.answer(fifth[1], ranking_of("1234"))
    after = told(api, begin.last)
    assert (after.feed, after.more) == (begin.feed, False)
    assert after.last > begin.last
    changed = [Change(record_id, dataset.id, item_id) for item_id, record_id in (second, third, first, fifth)]
    assert list(after.changes) == changed  # in the order of the last change of each
    assert told(api, begin.last) == after
    assert told(api, after.last) == Changes(begin.feed, after.last)

    client.withdraw(submitted["id"])
    world.delete_record(fifth[1])
    world.delete_record(fourth[1])  # nobody had answered it
    gone = told(api, after.last)
    assert {c.record_id: c.item_id for c in gone.changes} == {first[1]: first[0], fifth[1]: None, fourth[1]: None}

    account = next(a for a in api.accounts() if a.username == username)
    world.delete_account(account.id)
    assert {c.item_id for c in told(api, gone.last).changes} == {second[0], third[0]}
    assert told(api, None) == told(api, told(api, gone.last).last)
    # Numbers that it never gave out: what came since is unknown.
    ahead = told(api, told(api, None).last + 1)
    assert ahead == replace(told(api, None), reset=True)


def test_who_waits_at_the_feed_is_told_as_soon_as_somebody_answers(world: World) -> None:
    api, dataset = with_feed(world), dataset_of(world)
    made = api.add_records(dataset.id, [ranking_record(slate_of(0), PROMPT, TEXTS, None)])
    client = world.annotator_client(*member(world, dataset))
    begin = told(api, None)
    assert api.changes(begin.last, wait_s=0.1) == begin
    answering = threading.Timer(0.5, lambda: client.answer(made[slate_of(0).id], ranking_of("1234")))
    answering.start()
    waited = api.changes(begin.last, wait_s=50.0)
    answering.join()
    assert waited is not None
    assert [change.item_id for change in waited.changes] == [slate_of(0).id]


def with_feed(world: World) -> ArgillaApi:
    """An Argilla that keeps a change feed: the one in memory, and annot's own server."""
    if isinstance(world, RealWorld) and not engine_is_ours(world):
        pytest.skip("a stock server keeps no change feed")
    return world.api


def told(api: ArgillaApi, after: int | None) -> Changes:
    """What the feed tells; that there is one is asked for."""
    found = api.changes(after)
    assert found is not None
    return found


def test_a_stock_server_tells_that_it_keeps_no_feed(nothing_here: str) -> None:
    client = ArgillaClient(nothing_here, "key")
    assert client.changes(None) is None
    assert client.changes(7, wait_s=30.0) is None
    client.close()


# -- walking a dataset that changes ---------------------------------------------------------------------


def crowd(count: int, page: int, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeArgilla, str]:
    monkeypatch.setattr("sync.argilla.paging.PAGE", page)
    api = FakeArgilla()
    dataset = api.add_dataset("d", api.add_workspace("mx"), task.form(TeamPage("es"), 4, 1))
    api.add_records(dataset.id, [ranking_record(slate_of(n), PROMPT, TEXTS, None) for n in range(count)])
    return api, dataset.id


def test_no_record_is_missed_when_one_is_deleted_between_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    api, dataset_id = crowd(10, 3, monkeypatch)
    pages = iter(range(100))

    def delete_one() -> None:
        if next(pages) == 1:
            del api.rows[dataset_id][0]

    api.between_pages = delete_one
    told = [record["external_id"] for record in walk(api, dataset_id)]
    assert set(told) >= {slate_of(n).id for n in range(1, 10)}
    assert len(told) == len(set(told))


def test_no_record_is_missed_when_records_of_one_instant_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    api, dataset_id = crowd(10, 3, monkeypatch)
    pages = iter(range(100))

    def swap() -> None:
        if next(pages) == 0:
            rows = api.rows[dataset_id]
            rows[2], rows[3] = rows[3], rows[2]

    api.between_pages = swap
    assert {record["external_id"] for record in walk(api, dataset_id)} == {slate_of(n).id for n in range(10)}


def test_records_that_are_added_meanwhile_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    api, dataset_id = crowd(10, 3, monkeypatch)
    more = iter(range(10, 14))

    def add_one() -> None:
        for number in (n for n in [next(more, None)] if n is not None):
            api.add_records(dataset_id, [ranking_record(slate_of(number), PROMPT, TEXTS, None)])

    api.between_pages = add_one
    told = [record["external_id"] for record in walk(api, dataset_id)]
    assert told == [slate_of(n).id for n in range(14)]


def test_a_dataset_that_never_stands_still_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    api, dataset_id = crowd(90, 3, monkeypatch)

    def delete_one() -> None:
        del api.rows[dataset_id][0]

    api.between_pages = delete_one
    with pytest.raises(ArgillaError, match="kept changing"):
        list(walk(api, dataset_id))


# -- what goes wrong on the wire ------------------------------------------------------------------------


@pytest.fixture
def not_argilla() -> Iterator[str]:
    """A web server that answers everything with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    yield from serving(Page)


def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a web server that answers like this."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def nothing_here() -> Iterator[str]:
    """A server that knows its owner, and no other address."""

    class Owner(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/api/v1/me"
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(b'{"role": "owner"}' if known else b'{"detail": "Not Found"}')

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    yield from serving(Owner)


def test_what_is_not_there_or_no_argilla_is_a_sentence(not_argilla: str) -> None:
    with pytest.raises(ArgillaError, match="is no Argilla"):
        ArgillaClient(not_argilla, "key")
    with pytest.raises(ArgillaError, match="cannot be reached"):
        ArgillaClient(f"http://127.0.0.1:{free_port()}", "key")
    with pytest.raises(ArgillaError, match="no address"):
        ArgillaClient("argilla.example.org", "key")


def test_a_project_without_a_running_argilla_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ArgillaError, match="annot up"):
        connect(some_project(tmp_path / "p"))


def test_a_server_of_ones_own_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGILLA_API_KEY", raising=False)
    project = some_project(tmp_path / "p")
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace('# url = ""', f'url = "http://127.0.0.1:{free_port()}"'))
    project = type(project).open(project.folder)
    with pytest.raises(ArgillaError, match="ARGILLA_API_KEY"):
        connect(project)
    project.keep_secrets({"argilla_api_key": "from the file"})
    with pytest.raises(ArgillaError, match="cannot be reached"):
        connect(project)


@pytest.mark.server
def test_a_key_that_is_no_owners_is_refused(real_world: RealWorld) -> None:
    with pytest.raises(ArgillaError, match="does not know this key"):
        ArgillaClient(real_world.api.url, "wrong")
    api = real_world.api
    username = f"u{uuid4().hex[:8]}"
    account = api.add_account(username, "Ana", "annotator", "a long password")
    key = next(u["api_key"] for u in api._get("/users", "users")["items"] if u["id"] == account.id)
    with pytest.raises(ArgillaError, match="needs the key of an owner"):
        ArgillaClient(api.url, key)


@pytest.mark.server
def test_a_refusal_never_repeats_the_password(real_world: RealWorld) -> None:
    with pytest.raises(ArgillaError) as caught:
        real_world.api.add_account("ana", "Ana", "annotator", "x7short")
    assert "x7short" not in str(caught.value)
    assert "password" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.server
def test_annotators_see_the_form_in_their_language_and_no_model(real_world: RealWorld) -> None:
    api, dataset = real_world.api, dataset_of(real_world)
    api.add_records(dataset.id, [ranking_record(slate_of(0), PROMPT, TEXTS, None)])
    client = real_world.annotator_client(*member(real_world, dataset))
    record = client.queue(dataset.id)[0]
    assert record["fields"]["B"] == "Ponche"
    assert record["fields"]["C"] == "&lt;img src=x onerror=alert(1)&gt; &amp; más"
    assert set(record["metadata"]) == {"country", "topic", "language"}
    told = api._get(f"/datasets/{dataset.id}", "dataset")
    assert told["guidelines"] == task.form(TeamPage("es"), 4, 1).guidelines
    fields = api._get(f"/datasets/{dataset.id}/fields", "fields")["items"]
    assert [(f["name"], f["title"]) for f in fields][:3] == [
        ("system", "Contexto"),
        ("prompt", "Pregunta"),
        ("A", "Respuesta A"),
    ]
    assert not any(f["settings"]["use_markdown"] for f in fields)
    questions = api._get(f"/datasets/{dataset.id}/questions", "questions")["items"]
    assert [(q["name"], q["required"]) for q in questions] == [
        ("ranking", True),
        ("acceptable", False),
        ("problems", False),
        ("rewrite", False),
    ]
    assert "model" not in json.dumps([record, told, fields, questions])
