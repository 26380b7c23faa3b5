"""Judgements come home: all of them, ties and edits included, whatever is deleted or cut off."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_board import (
    Annotator,
    FakeWorld,
    RealWorld,
    World,
    killed_at,
    person,
    ranking_of,
    seconds_of,
    some_project,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.ledger import Ledger, Response
from annotation.project import Project
from annotation.types import Person
from sync.board import ArgillaBoard, Dataset
from sync.pull import Pulled, Reader, judged, judgements, pull
from sync.push import push
from sync.team import add_team


class Stage:
    """A project whose slates are pushed, with people at their desks."""

    def __init__(self, world: World, folder: Path, *, slates: int = 6, people: int = 2) -> None:
        self.world = world
        self.project = some_project(folder, slates=slates, name=f"set {uuid4().hex[:8]}")
        tail = uuid4().hex[:6]
        self.people = [person(f"p{n}-{tail}", ("MX", "BR")[n % 2]) for n in range(people)]
        add_team(self.project, world.board, self.people)
        self.slates = {slate.id: slate for slate in self.project.ledger.slates()}
        vectors = {slate_id: [0.6, 0.8, 0.0] for slate_id in self.slates}
        push(world.board, self.project.ledger, self.project.settings, vectors=vectors)

    @property
    def ledger(self) -> Ledger:
        return self.project.ledger

    def pull(self) -> Pulled:
        return pull(self.world.board, self.ledger)

    def desk(self, who: Person) -> Annotator:
        return self.world.desk(who.username, self.project.secrets()["passwords"][who.username])

    def dataset(self, country: str = "MX") -> Dataset:
        name = self.project.settings.argilla.dataset
        return next(d for d in self.world.board.datasets() if (d.name, d.workspace) == (name, country.lower()))

    def records(self, country: str = "MX") -> list[str]:
        """Record ids, first position first."""
        known = self.ledger.pushed(self.world.board.server, self.dataset(country).id)
        return [known[slate_id] for slate_id in self.slates if slate_id in known]


@pytest.fixture
def stage(world: World, tmp_path: Path) -> Stage:
    return Stage(world, tmp_path / "p")


@pytest.fixture
def memory(tmp_path: Path) -> Stage:
    """For what the real server cannot be made to do, or would do no differently."""
    return Stage(FakeWorld(), tmp_path / "p")


# -- every version of every response --------------------------------------------------------------------


def test_a_judgement_arrives_exactly_as_it_was_given(stage: Stage) -> None:
    mexican, brazilian = stage.people
    first, second, third = stage.records()
    desk = stage.desk(mexican)
    desk.answer(first, ranking_of("1143", problems=["offensive", "stereotype"], acceptable="none", rewrite="Pan"))
    desk.answer(second, {"ranking": {"value": [{"value": "A", "rank": 1}]}}, status="draft")
    desk.answer(third, {}, status="discarded")
    stage.desk(brazilian).answer(stage.records("BR")[0], ranking_of("4321"))
    pulled = stage.pull()
    assert (pulled.records, pulled.new, pulled.edited, pulled.deleted) == (6, 4, 0, 0)
    assert pulled.statuses == {"submitted": 2, "draft": 1, "discarded": 1}
    assert pulled.dropped == ()
    by_country = {j.country: j for j in judgements(stage.ledger)}
    slate = next(s for s in stage.slates.values() if s.position == 0)
    a, b, c, d = slate.seats
    given = by_country["MX"]
    assert (given.slate_id, given.annotator, given.tiers) == (slate.id, mexican.username, ((a, b), (d,), (c,)))
    assert (given.problems, given.none_acceptable, given.rewrite) == (("stereotype", "offensive"), True, "Pan")
    assert given.submitted_at.endswith("+00:00")
    assert by_country["BR"].annotator == brazilian.username
    assert by_country["BR"].tiers == tuple((c,) for c in reversed(stage.slates[by_country["BR"].slate_id].seats))


def test_reading_only_what_was_answered_comes_to_the_same_as_reading_everything(stage: Stage, tmp_path: Path) -> None:
    shutil.copytree(stage.project.folder, tmp_path / "other")
    other = Project(tmp_path / "other", stage.project.settings).ledger
    reader = Reader(stage.world.board, other)
    mexican, brazilian = stage.people
    records, desk = stage.records(), stage.desk(mexican)
    given = [desk.answer(record, ranking_of("1234")) for record in records[:3]]
    stage.desk(brazilian).answer(stage.records("BR")[0], ranking_of("4321"))
    reader.read([*records[:3], *records[:1], stage.records("BR")[0]])
    assert +reader.counts() == {"there": 4, "records": 4, "new": 4}
    assert stage.pull().new == 4
    desk.answer(records[0], ranking_of("4312"))
    desk.withdraw(given[1]["id"])
    stage.world.delete_record(records[2])
    reader.read([str(uuid4()), *reversed(records[:3])])
    assert reader.changed()
    assert +reader.counts() == {"there": 2, "records": 2, "edited": 1, "deleted": 1}
    assert not reader.changed()
    assert stage.pull().changed
    by_id = {response.response_id: response for response in stage.ledger.responses()}
    assert {response.response_id: response for response in other.responses()} == by_id
    assert Counter(response.status for response in by_id.values()) == {"submitted": 3, "deleted": 1}


def test_what_was_read_between_two_pages_is_not_overtaken_by_the_page_before(memory: Stage) -> None:
    records, desk = memory.records(), memory.desk(memory.people[0])
    given = desk.answer(records[0], ranking_of("1234"))
    reader = Reader(memory.world.board, memory.ledger)

    def withdraw() -> None:
        if memory.ledger.responses():  # the page with the answer is read, and the dataset will be read to its end
            desk.withdraw(given["id"])
            reader.read([records[0]])

    reader.read_all(between=withdraw)
    (kept,) = memory.ledger.responses()
    assert kept.status == "deleted"


def test_pulling_again_finds_nothing_new_and_writes_nothing(memory: Stage) -> None:
    memory.desk(memory.people[0]).answer(memory.records()[0], ranking_of("1234"))
    assert memory.pull().changed
    before = memory.ledger.rows("select * from responses")
    again = memory.pull()
    assert not again.changed
    assert again.statuses == {"submitted": 1}
    assert memory.ledger.rows("select * from responses") == before


def test_an_edit_replaces_the_judgement_and_the_old_version_stays(memory: Stage) -> None:
    desk, record = memory.desk(memory.people[0]), memory.records()[0]
    desk.answer(record, ranking_of("1234"))
    memory.pull()
    desk.answer(record, ranking_of("4321"))
    pulled = memory.pull()
    assert (pulled.new, pulled.edited, pulled.deleted) == (0, 1, 0)
    (judgement,) = judgements(memory.ledger)
    assert judgement.tiers[0] == (memory.slates[judgement.slate_id].seats[3],)
    assert len(memory.ledger.rows("select * from responses")) == 2


def test_what_is_discarded_later_counts_no_more(memory: Stage) -> None:
    desk, record = memory.desk(memory.people[0]), memory.records()[0]
    desk.answer(record, ranking_of("1234"))
    memory.pull()
    desk.answer(record, ranking_of("1234"), status="discarded")
    assert memory.pull().statuses == {"discarded": 1}
    assert judgements(memory.ledger) == []


def test_what_is_taken_back_counts_no_more_and_may_be_given_anew(stage: Stage) -> None:
    desk, record = stage.desk(stage.people[0]), stage.records()[0]
    response = desk.answer(record, ranking_of("1234"))
    stage.pull()
    desk.withdraw(response["id"])
    pulled = stage.pull()
    assert (pulled.new, pulled.edited, pulled.deleted) == (0, 0, 1)
    assert pulled.statuses == {"deleted": 1}
    assert judgements(stage.ledger) == []
    assert not stage.pull().changed
    desk.answer(record, ranking_of("4321"))
    assert stage.pull().new == 1
    assert len(judgements(stage.ledger)) == 1


def test_a_judgement_outlives_its_author_and_its_record(stage: Stage) -> None:
    mexican, brazilian = stage.people
    stage.desk(mexican).answer(stage.records()[0], ranking_of("1234"))
    stage.desk(brazilian).answer(stage.records("BR")[0], ranking_of("1234"))
    assert stage.pull().missing == 0
    before = judgements(stage.ledger)
    account = next(a for a in stage.world.board.accounts() if a.username == mexican.username)
    stage.world.delete_account(account.id)
    stage.world.delete_record(stage.records("BR")[0])
    pulled = stage.pull()
    assert not pulled.changed
    assert (pulled.missing, pulled.as_json()["missing"]) == (1, 1)
    assert "1 pushed slate is not on the server any more" in pulled.sentence()
    assert judgements(stage.ledger) == before
    assert len(before) == 2


def test_a_judgement_keeps_the_country_of_the_team_it_was_given_for(memory: Stage) -> None:
    mover = memory.people[0]
    memory.desk(mover).answer(memory.records()[0], ranking_of("1234"))
    moved = Person(mover.username, mover.name, mover.role, "BR", ("pt",))
    add_team(memory.project, memory.world.board, [moved])
    memory.pull()
    assert [j.country for j in judgements(memory.ledger)] == ["MX"]


def test_a_server_that_was_made_anew_does_not_count_people_twice(tmp_path: Path) -> None:
    stage = Stage(FakeWorld(), tmp_path / "p")
    stage.desk(stage.people[0]).answer(stage.records()[0], ranking_of("1234"))
    stage.pull()
    fresh = FakeWorld()
    fresh.board.ticks = itertools.count(1000)  # later than everything that the first one saw
    add_team(stage.project, fresh.board, stage.people)
    push(fresh.board, stage.ledger, stage.project.settings)
    stage.world = fresh
    stage.desk(stage.people[0]).answer(stage.records()[0], ranking_of("4321"))
    pulled = stage.pull()
    (judgement,) = judgements(stage.ledger)
    assert judgement.tiers[0] == (stage.slates[judgement.slate_id].seats[3],)
    assert [d.reason for d in pulled.dropped] == ["answered again later"]


# -- what must not mislead a pull -----------------------------------------------------------------------


def test_values_that_fit_no_slate_are_kept_raw_and_reported(memory: Stage) -> None:
    desk = memory.desk(memory.people[0])
    desk.answer(memory.records()[0], ranking_of("12345"))
    desk.answer(memory.records()[1], ranking_of("1234"))
    pulled = memory.pull()
    assert [d.reason for d in pulled.dropped] == ["other seats than the slate's were ranked"]
    assert "1 submitted ones give no judgement" in pulled.sentence()
    assert pulled.as_json()["dropped"] == {"other seats than the slate's were ranked": 1}
    assert len(memory.ledger.responses()) == 2
    assert len(judged(memory.ledger).kept) == 1


def test_records_that_somebody_else_put_there_are_not_ours(memory: Stage) -> None:
    board, dataset = memory.world.board, memory.dataset()
    fields = dict.fromkeys(("prompt", "A", "B", "C", "D"), "x")
    made = board.add_records(dataset.id, [{"external_id": "theirs", "fields": fields}])
    memory.desk(memory.people[0]).answer(made["theirs"], ranking_of("1234"))
    pulled = memory.pull()
    assert (pulled.foreign, pulled.new) == (1, 0)
    assert "1 records are not of this project" in pulled.sentence()


def test_other_datasets_on_the_server_are_not_read(memory: Stage, tmp_path: Path) -> None:
    other = Stage(memory.world, tmp_path / "other")
    other.desk(other.people[0]).answer(other.records()[0], ranking_of("1234"))
    assert memory.pull().new == 0
    assert other.pull().new == 1


def test_a_record_that_a_page_misses_is_not_taken_for_a_deletion(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.desk(memory.people[0]).answer(memory.records()[2], ranking_of("1234"))
    memory.pull()
    board = memory.world.board
    real = board.records

    def without_responses(dataset_id: str, offset: int, limit: int, **_: bool) -> Any:
        return real(dataset_id, offset, limit, responses=False)

    monkeypatch.setattr(board, "records", without_responses)
    assert memory.pull().deleted == 0
    assert len(judgements(memory.ledger)) == 1


def test_an_older_reader_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    old = Response("r", "s", "ana", "MX", "submitted", "2026-01-01T00:00:00.000000+00:00", "{}")
    new = Response("r", "s", "ana", "MX", "discarded", "2026-01-02T00:00:00.000000+00:00", "{}")
    gone = Response("r", "s", "ana", "MX", "deleted", "2026-01-02T00:00:00.000000+00:00", "{}")
    assert ledger.add_responses("x", [new]) == 1
    assert ledger.add_responses("x", [old]) == 0
    assert ledger.add_responses("x", [gone, gone]) == 1
    assert ledger.add_responses("x", [new]) == 1  # it is there again: a backup came back
    assert ledger.responses() == [new]


Moves = st.lists(
    st.tuples(
        st.sampled_from(["submitted", "submitted", "draft", "discarded", "withdraw", "pull"]),
        st.integers(0, 1),
        st.integers(0, 2),
        st.text(alphabet="1234", min_size=4, max_size=4),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(Moves)
def test_after_any_history_the_ledger_holds_what_the_people_last_said(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, int, str]]
) -> None:
    stage = Stage(FakeWorld(), tmp_path_factory.mktemp("history") / "p", slates=3, people=1)
    twin = person(f"twin-{uuid4().hex[:6]}")
    add_team(stage.project, stage.world.board, [twin])
    desks = [stage.desk(stage.people[0]), stage.desk(twin)]
    records = stage.records()
    standing: dict[tuple[int, int], dict[str, Any]] = {}
    for move, who, which, ranks in moves:
        which %= len(records)
        if move == "pull":
            stage.pull()
        elif move != "withdraw":
            standing[who, which] = desks[who].answer(records[which], ranking_of(ranks), status=move)
        elif (who, which) in standing:
            desks[who].withdraw(standing.pop((who, which))["id"])
    stage.pull()
    told = {j.response_id: j.tiers for j in judgements(stage.ledger)}
    expected = {r["id"]: r for r in standing.values() if r["status"] == "submitted"}
    assert set(told) == set(expected)
    for response_id, tiers in told.items():
        given_ranks = Counter(v["rank"] for v in expected[response_id]["values"]["ranking"]["value"])
        assert [len(tier) for tier in tiers] == [given_ranks[rank] for rank in sorted(given_ranks)]
    assert not stage.pull().changed


# -- how much, and what a cut leaves --------------------------------------------------------------------


def test_ten_thousand_responses_are_pulled_in_seconds(tmp_path: Path) -> None:
    world = FakeWorld()
    stage = Stage(world, tmp_path / "p", slates=2000, people=1)
    dataset = stage.dataset()
    people = [world.board.add_account(f"a{n}", "A", "annotator", "a long password") for n in range(10)]
    for row in world.board.rows[dataset.id]:
        for account in people:
            row["responses"].append(
                {
                    "id": str(uuid4()),
                    "record_id": row["id"],
                    "user_id": account.id,
                    "status": "submitted",
                    "updated_at": world.board.now(),
                    "values": ranking_of("1223"),
                }
            )
    began = time.perf_counter()
    assert stage.pull().new == 10_000
    first = time.perf_counter() - began
    began = time.perf_counter()
    assert not stage.pull().changed
    assert len(judgements(stage.ledger)) == 10_000
    assert first + time.perf_counter() - began < 20  # about 2 s on an idle machine


@pytest.mark.server
def test_killed_at_any_moment_no_judgement_is_lost_and_none_is_kept_twice(
    real_world: RealWorld, argilla_server: tuple[str, object], tmp_path: Path
) -> None:
    stage = Stage(real_world, tmp_path / "p", slates=40)
    url, key = argilla_server[0], real_world.board._key
    desk, records = stage.desk(stage.people[0]), stage.records()
    for record in records:
        desk.answer(record, ranking_of("1123"))
    stage.ledger.close()

    def work() -> None:
        mine = Project.open(stage.project.folder)
        pull(ArgillaBoard(url, key, server="embedded"), mine.ledger)

    whole = seconds_of(work)
    chance, kills, attempts = random.Random(1), 0, 0
    while kills < 22 and attempts < 100:
        attempts += 1
        desk.answer(chance.choice(records), ranking_of("".join(chance.choices("1234", k=4))))
        kills += killed_at(chance.uniform(0.0, whole), work)
        if attempts % 8 == 0:  # the cut one goes on
            pull(real_world.board, Project.open(stage.project.folder).ledger)
    assert kills >= 20
    ledger = Project.open(stage.project.folder).ledger
    pull(real_world.board, ledger)
    assert not pull(real_world.board, ledger).changed
    told = {j.response_id: j for j in judgements(ledger)}
    real = {
        response["id"]: response
        for record in real_world.board.records(stage.dataset().id, 0, 1000, responses=True).records
        for response in record["responses"]
    }
    assert len(real) == len(records) == 20
    assert set(told) == set(real)
    slates = {slate.id: slate for slate in ledger.slates()}
    for response_id, response in real.items():
        judgement = told[response_id]
        ranks = {v["value"]: v["rank"] for v in response["values"]["ranking"]["value"]}
        seats = dict(zip("ABCD", slates[judgement.slate_id].seats, strict=True))
        places = sorted(set(ranks.values()))
        assert judgement.tiers == tuple(
            tuple(seats[seat] for seat in "ABCD" if ranks[seat] == place) for place in places
        )
    # Every version is there once: the ledger is append-only, and a repeated pull adds nothing.
    versions = Counter((r["response_id"], r["updated_at"]) for r in ledger.rows("select * from responses"))
    assert set(versions.values()) == {1}
