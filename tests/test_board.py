"""One contract for the board in memory and the real one, and what only the real one can show.

With ANNOT_TEST_STACK=1, ARGILLA_API_URL and ARGILLA_API_KEY (an owner's) it runs against a server that is up, for
example docker/compose.yaml. Accounts and datasets stay behind there: never name one that people work on.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_board import FakeBoard, RealWorld, World, ranking_of, some_project

from annotation.embedded import Owner
from annotation.errors import BoardError
from annotation.tasks import ranking
from annotation.tasks.form import Vector
from annotation.types import Prompt, Slate
from sync.board import ArgillaBoard, Board, Dataset, connect, walk

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
    workspace = world.board.add_workspace(name)
    return world.board.add_dataset("cultural fit", workspace, ranking.form("es", 4, overlap, dimensions))


def member(world: World, dataset: Dataset) -> tuple[str, str]:
    """Log-in of someone in the dataset's workspace."""
    username = f"u{uuid4().hex[:8]}"
    account = world.board.add_account(username, "Ana", "annotator", "a long password")
    world.board.add_member(world.board.workspaces()[dataset.workspace], account.id)
    return username, "a long password"


def test_accounts_and_memberships_come_back_as_they_were_made(world: World) -> None:
    board = world.board
    username, room = f"u{uuid4().hex[:8]}", board.add_workspace(f"w{uuid4().hex[:8]}")
    account = board.add_account(username, "Ana", "annotator", "a long password")
    assert account in board.accounts()
    assert board.members(room) == set()
    board.add_member(room, account.id)
    assert board.members(room) == {account.id}
    board.change_account(account.id, "Ana María", "admin")
    changed = next(a for a in board.accounts() if a.id == account.id)
    assert (changed.first_name, changed.role) == ("Ana María", "admin")
    board.remove_member(room, account.id)
    assert board.members(room) == set()
    assert changed in board.accounts()


def test_what_exists_is_not_made_twice(world: World) -> None:
    dataset = dataset_of(world)
    with pytest.raises(BoardError):
        world.board.add_workspace(dataset.workspace)
    username, _ = member(world, dataset)
    with pytest.raises(BoardError):
        world.board.add_account(username, "Ana", "annotator", "a long password")
    with pytest.raises(BoardError):
        world.board.add_dataset(
            dataset.name, world.board.workspaces()[dataset.workspace], ranking.form("es", 4, 2, None)
        )


def test_a_dataset_has_the_shape_of_its_form(world: World) -> None:
    dataset = dataset_of(world, dimensions=3, overlap=2)
    assert dataset in world.board.datasets()
    assert (dataset.ready, dataset.overlap) == (True, 2)
    assert world.board.shape(dataset.id) == ranking.form("pt", 4, 9, None).shape
    assert world.board.shape(dataset.id).seats == 4
    assert world.board.vectors(dataset.id) == {"embedding": 3}
    world.board.add_vector(dataset.id, Vector("other", "Other", 5))
    assert world.board.vectors(dataset.id) == {"embedding": 3, "other": 5}
    world.board.set_overlap(dataset.id, 4)
    assert next(d for d in world.board.datasets() if d.id == dataset.id).overlap == 4


def test_records_are_added_once_and_stand_in_the_order_of_adding(world: World) -> None:
    board, dataset = world.board, dataset_of(world, dimensions=3)
    records = [ranking.record(slate_of(n), PROMPT, TEXTS, [0.6, 0.8, 0.0] if n % 2 else None) for n in range(300)]
    made = {**board.add_records(dataset.id, records[:256]), **board.add_records(dataset.id, records[256:])}
    assert list(made) == [r["external_id"] for r in records]
    with pytest.raises(BoardError):
        board.add_records(dataset.id, [{**records[0], "fields": {**records[0]["fields"], "prompt": "overwritten"}}])
    with pytest.raises(BoardError):
        board.add_records(dataset.id, [{**records[0], "external_id": "new", "fields": {"prompt": "no answers"}}])
    pages = [board.records(dataset.id, offset, 100, responses=True) for offset in (0, 100, 200, 300)]
    assert [page.total for page in pages] == [300] * 4
    told = [record for page in pages for record in page.records]
    assert [(r["external_id"], r["id"]) for r in told] == list(made.items())
    assert told[7]["fields"] == records[7]["fields"]
    assert [r["id"] for r in walk(board, dataset.id)] == list(made.values())


def test_a_refused_batch_adds_nothing(world: World) -> None:
    board, dataset = world.board, dataset_of(world)
    good = [ranking.record(slate_of(n), PROMPT, TEXTS, None) for n in range(3)]
    with pytest.raises(BoardError):
        board.add_records(dataset.id, [*good, {**good[0], "external_id": "x", "fields": {"nonsense": "1"}}])
    assert board.records(dataset.id, 0, 10, responses=False).total == 0


def record_of(board: Board, dataset: Dataset, record_id: str) -> dict[str, Any]:
    """A record with its responses, as pull reads it."""
    return next(r for r in walk(board, dataset.id, responses=True) if r["id"] == record_id)


def test_the_first_positions_are_the_first_in_everyones_queue(world: World) -> None:
    if isinstance(world, RealWorld) and not engine_is_ours(world):
        pytest.skip("Elasticsearch shuffles the whole queue for every person")
    dataset = dataset_of(world)
    records = [ranking.record(slate_of(n), PROMPT, TEXTS, None) for n in range(40)]
    for start in (0, 20):
        world.board.add_records(dataset.id, records[start:][:20])
    for _ in range(2):
        queue = world.desk(*member(world, dataset)).queue(dataset.id, 40)
        # Blocks of ten in the order of adding; within a block, every person has an order of their own.
        positions = [int(record["external_id"].removeprefix("slate-")) for record in queue]
        assert sorted(positions) == list(range(40))
        assert [position // 10 for position in positions] == sorted(position // 10 for position in range(40))


def engine_is_ours(world: RealWorld) -> bool:
    """Whether the search engine is annot's."""
    return world.board.ask("GET", "/status", "the status")["search_engine"].get("name") == "annot"


def test_answers_come_back_with_ranks_edits_and_statuses(world: World) -> None:
    board, dataset = world.board, dataset_of(world)
    board.add_records(dataset.id, [ranking.record(slate_of(n), PROMPT, TEXTS, None) for n in range(3)])
    desk = world.desk(*member(world, dataset))
    first, second, third = desk.queue(dataset.id)
    given = desk.answer(first["id"], ranking_of("1134", problems=["stereotype"], acceptable="none", rewrite="Pan"))
    desk.answer(second["id"], {"ranking": {"value": [{"value": "A", "rank": 1}]}}, status="draft")
    desk.answer(third["id"], {}, status="discarded")
    edited = desk.answer(first["id"], ranking_of("4411"))
    assert edited["id"] == given["id"]
    assert edited["updated_at"] > given["updated_at"]
    told = {r["id"]: r["responses"] for r in board.records(dataset.id, 0, 10, responses=True).records}
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
    desk.withdraw(given["id"])
    assert record_of(board, dataset, first["id"])["responses"] == []


def test_deleting_a_person_deletes_the_answers_so_annot_never_does(world: World) -> None:
    board, dataset = world.board, dataset_of(world)
    made = board.add_records(dataset.id, [ranking.record(slate_of(0), PROMPT, TEXTS, None)])
    username, password = member(world, dataset)
    record_id = made[slate_of(0).id]
    world.desk(username, password).answer(record_id, ranking_of("1234"))
    account = next(a for a in board.accounts() if a.username == username)
    board.remove_member(board.workspaces()[dataset.workspace], account.id)
    assert len(record_of(board, dataset, record_id)["responses"]) == 1
    world.delete_account(account.id)
    assert record_of(board, dataset, record_id)["responses"] == []


def test_a_wrong_password_is_a_sentence(world: World) -> None:
    username, _ = member(world, dataset_of(world))
    with pytest.raises(BoardError, match="password"):
        world.desk(username, "not this one")


def test_webhooks_are_known_by_their_description(world: World) -> None:
    board = world.board
    _, secret = board.add_webhook("http://127.0.0.1:9/bell", ("response.created",), "annot test")
    assert secret
    board.remove_webhooks("annot test")
    board.remove_webhooks("annot test")


# -- walking a dataset that changes ---------------------------------------------------------------------


def crowd(count: int, page: int, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeBoard, str]:
    monkeypatch.setattr("sync.board.PAGE", page)
    board = FakeBoard()
    dataset = board.add_dataset("d", board.add_workspace("mx"), ranking.form("es", 4, 1))
    board.add_records(dataset.id, [ranking.record(slate_of(n), PROMPT, TEXTS, None) for n in range(count)])
    return board, dataset.id


def test_no_record_is_missed_when_one_is_deleted_between_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    board, dataset_id = crowd(10, 3, monkeypatch)
    pages = iter(range(100))

    def delete_one() -> None:
        if next(pages) == 1:
            del board.rows[dataset_id][0]

    board.between_pages = delete_one
    told = [record["external_id"] for record in walk(board, dataset_id)]
    assert set(told) >= {slate_of(n).id for n in range(1, 10)}
    assert len(told) == len(set(told))


def test_no_record_is_missed_when_records_of_one_instant_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    board, dataset_id = crowd(10, 3, monkeypatch)
    pages = iter(range(100))

    def swap() -> None:
        if next(pages) == 0:
            rows = board.rows[dataset_id]
            rows[2], rows[3] = rows[3], rows[2]

    board.between_pages = swap
    assert {record["external_id"] for record in walk(board, dataset_id)} == {slate_of(n).id for n in range(10)}


def test_records_that_are_added_meanwhile_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    board, dataset_id = crowd(10, 3, monkeypatch)
    more = iter(range(10, 14))

    def add_one() -> None:
        for number in (n for n in [next(more, None)] if n is not None):
            board.add_records(dataset_id, [ranking.record(slate_of(number), PROMPT, TEXTS, None)])

    board.between_pages = add_one
    told = [record["external_id"] for record in walk(board, dataset_id)]
    assert told == [slate_of(n).id for n in range(14)]


def test_a_dataset_that_never_stands_still_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    board, dataset_id = crowd(90, 3, monkeypatch)

    def delete_one() -> None:
        del board.rows[dataset_id][0]

    board.between_pages = delete_one
    with pytest.raises(BoardError, match="kept changing"):
        list(walk(board, dataset_id))


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

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_not_there_or_no_argilla_is_a_sentence(not_argilla: str) -> None:
    with pytest.raises(BoardError, match="is no Argilla"):
        ArgillaBoard(not_argilla, "key")
    with pytest.raises(BoardError, match="cannot be reached"):
        ArgillaBoard("http://127.0.0.1:9", "key")
    with pytest.raises(BoardError, match="no address"):
        ArgillaBoard("argilla.example.org", "key")


def test_a_project_without_a_running_argilla_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="annot up"):
        connect(some_project(tmp_path / "p"))


def test_a_server_of_ones_own_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGILLA_API_KEY", raising=False)
    project = some_project(tmp_path / "p")
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace('# url = ""', 'url = "http://127.0.0.1:9"'))
    project = type(project).open(project.folder)
    with pytest.raises(BoardError, match="ARGILLA_API_KEY"):
        connect(project)
    project.keep_secrets({"argilla_api_key": "from the file"})
    with pytest.raises(BoardError, match="cannot be reached"):
        connect(project)


@pytest.mark.server
def test_a_key_that_is_no_owners_is_refused(real_world: RealWorld) -> None:
    with pytest.raises(BoardError, match="does not know this key"):
        ArgillaBoard(real_world.board.url, "wrong")
    board = real_world.board
    username = f"u{uuid4().hex[:8]}"
    account = board.add_account(username, "Ana", "annotator", "a long password")
    key = next(u["api_key"] for u in board._get("/users", "users")["items"] if u["id"] == account.id)
    with pytest.raises(BoardError, match="needs the key of an owner"):
        ArgillaBoard(board.url, key)


@pytest.mark.server
def test_a_refusal_never_repeats_the_password(real_world: RealWorld) -> None:
    with pytest.raises(BoardError) as caught:
        real_world.board.add_account("ana", "Ana", "annotator", "x7short")
    assert "x7short" not in str(caught.value)
    assert "password" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.server
def test_annotators_see_the_form_in_their_language_and_no_model(real_world: RealWorld) -> None:
    board, dataset = real_world.board, dataset_of(real_world)
    board.add_records(dataset.id, [ranking.record(slate_of(0), PROMPT, TEXTS, None)])
    desk = real_world.desk(*member(real_world, dataset))
    record = desk.queue(dataset.id)[0]
    assert record["fields"]["B"] == "Ponche"
    assert record["fields"]["C"] == "&lt;img src=x onerror=alert(1)&gt; &amp; más"
    assert set(record["metadata"]) == {"country", "topic", "language"}
    told = board._get(f"/datasets/{dataset.id}", "dataset")
    assert told["guidelines"] == ranking.guidelines("es")
    fields = board._get(f"/datasets/{dataset.id}/fields", "fields")["items"]
    assert [(f["name"], f["title"]) for f in fields][:3] == [
        ("system", "Contexto"),
        ("prompt", "Pregunta"),
        ("A", "Respuesta A"),
    ]
    assert not any(f["settings"]["use_markdown"] for f in fields)
    questions = board._get(f"/datasets/{dataset.id}/questions", "questions")["items"]
    assert [(q["name"], q["required"]) for q in questions] == [
        ("ranking", True),
        ("problems", False),
        ("acceptable", False),
        ("rewrite", False),
    ]
    assert "model" not in json.dumps([record, told, fields, questions])
