"""Judgements come home: all of them, ties and edits included, whatever is deleted or cut off."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from campaigns import kills
from fake_argilla import (
    Annotator,
    FakeArgilla,
    FakeWorld,
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
from annotation.tasks.answers import OTHER_TEXT, answers
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Person
from sync.argilla.client import ArgillaClient
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Change, Dataset
from sync.cycle import Synced
from sync.pull import WHOLE_EVERY, Pulled, Reader, pull
from sync.push import push
from sync.reporting.status import Report, report
from sync.taking_back import put_texts_back
from sync.team import add_team


class Stage:
    """A project whose slates are pushed, and the people who answer."""

    def __init__(self, world: World, folder: Path, *, slates: int = 6, people: int = 2) -> None:
        self.world = world
        self.project = some_project(folder, slates=slates, name=f"set {uuid4().hex[:8]}")
        tail = uuid4().hex[:6]
        reads = ("es", "pt")
        self.people = [person(f"p{n}-{tail}", ("MX", "BR")[n % 2], languages=reads) for n in range(people)]
        add_team(self.project, world.api, self.people)
        self.slates = {slate.id: slate for slate in read_slates(self.project.ledger)}
        vectors = {slate_id: [0.6, 0.8, 0.0] for slate_id in self.slates}
        push(world.api, self.project.ledger, self.project.settings, vectors=vectors)

    @property
    def ledger(self) -> Ledger:
        return self.project.ledger

    def pull(self, *, whole: bool = False) -> Pulled:
        return pull(self.world.api, self.ledger, whole=whole)

    def report(self) -> Report:
        return report(self.project)

    def sentence(self, pulled: Pulled) -> str:
        return Synced(pulled, self.report(), ()).sentence()

    def annotator_client(self, who: Person) -> Annotator:
        return self.world.annotator_client(who.username, self.project.secrets()["passwords"][who.username])

    def dataset(self, country: str = "MX") -> Dataset:
        name = self.project.settings.task.ranking.dataset
        return next(d for d in self.world.api.datasets() if (d.name, d.workspace) == (name, country.lower()))

    def records(self, country: str = "MX") -> list[str]:
        """Record ids, first position first."""
        known = self.ledger.pushed(self.world.api.server, self.dataset(country).id)
        return [known[slate_id] for slate_id in self.slates if slate_id in known]

    @property
    def argilla(self) -> FakeArgilla:
        """The Argilla in memory, with its switches."""
        assert isinstance(self.world, FakeWorld)
        return self.world.api


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
    client = stage.annotator_client(mexican)
    marks = ["C:offensive", "A:other", "C:stereotype"]
    client.answer(first, ranking_of("1143", problems=marks, acceptable="none", rewrite="Pan"))
    client.answer(second, {"ranking": {"value": [{"value": "A", "rank": 1}]}}, status="draft")
    client.answer(third, {}, status="discarded")
    stage.annotator_client(brazilian).answer(stage.records("BR")[0], ranking_of("4321"))
    pulled = stage.pull()
    assert (pulled.records, pulled.new, pulled.edited, pulled.deleted) == (6, 4, 0, 0)
    assert stage.report().statuses == {"submitted": 2, "draft": 1, "discarded": 1}
    assert stage.report().unfit == {}
    by_country = {j.country: j for j in answers(stage.ledger, "ranking")}
    slate = next(s for s in stage.slates.values() if s.position == 0)
    a, b, c, d = slate.seats
    given = by_country["MX"]
    assert (given.item_id, given.annotator, given.value.tiers) == (slate.id, mexican.username, ((a, b), (d,), (c,)))
    said = given.value
    assert (said.none_acceptable, said.rewrite) == (True, "Pan")
    assert said.problems == {a: ("other",), c: ("stereotype", "offensive")}
    assert given.submitted_at.endswith("+00:00")
    assert by_country["BR"].annotator == brazilian.username
    brazil = by_country["BR"]
    assert brazil.value.tiers == tuple((c,) for c in reversed(stage.slates[brazil.item_id].seats))


@pytest.mark.parametrize("feed", [True, False])
def test_answers_to_a_text_that_was_changed_on_the_server_wait_until_it_is_put_back(stage: Stage, feed: bool) -> None:
    mexican, other = stage.people[0], person(f"q-{uuid4().hex[:6]}", "MX")
    add_team(stage.project, stage.world.api, [other])
    first, second, _ = stage.records()
    item = next(iter(stage.slates))
    stage.annotator_client(mexican).answer(first, ranking_of("1234"))
    stage.annotator_client(mexican).answer(second, ranking_of("1234"))
    assert stage.pull(whole=True).texts == 0
    (record,) = stage.world.api.records_of(stage.dataset().id, "slate", [item])
    stage.world.api.set_texts(first, {**record["fields"], "A": record["fields"]["B"], "B": record["fields"]["A"]})
    changed = stage.pull(whole=not feed)
    assert (changed.texts, changed.new) == (1, 0)
    assert (changed.whole, changed.records) == ((False, 1) if feed else (True, 7))
    assert item in stage.report().other_texts
    assert "0 answers came since" in stage.report().other_texts
    stage.annotator_client(other).answer(first, ranking_of("4321"))
    assert stage.pull(whole=not feed).new == 1
    counted = [(a.item_id, a.annotator) for a in answers(stage.ledger, "ranking")]
    assert counted[0] == (item, mexican.username)
    assert (item, other.username) not in counted
    assert stage.report().unfit == {OTHER_TEXT: 1}
    assert "1 answer came since" in stage.report().other_texts
    assert put_texts_back(stage.world.api, stage.ledger) == 1
    assert stage.pull(whole=not feed).texts == 1
    assert (item, other.username) in [(a.item_id, a.annotator) for a in answers(stage.ledger, "ranking")]
    assert (stage.report().unfit, stage.report().other_texts) == ({}, "")
    (record_again,) = stage.world.api.records_of(stage.dataset().id, "slate", [item])
    assert {**record["fields"]} == record_again["fields"]
    assert put_texts_back(stage.world.api, stage.ledger) == 0


def test_an_answer_to_a_record_whose_metadata_name_another_slate_comes_home_to_its_own(memory: Stage) -> None:
    memory.pull()
    first = memory.records()[0]
    row = memory.argilla.record(first)
    assert row is not None
    row["metadata"]["slate"] = "another"
    memory.annotator_client(memory.people[0]).answer(first, ranking_of("1234"))
    assert memory.pull().new == 1
    assert [answer.item_id for answer in answers(memory.ledger, "ranking")] == [row["external_id"]]


def test_reading_only_what_was_answered_comes_to_the_same_as_reading_everything(stage: Stage, tmp_path: Path) -> None:
    shutil.copytree(stage.project.folder, tmp_path / "other")
    other = Project(tmp_path / "other", stage.project.settings).ledger
    mexican, brazilian = stage.people
    records, client = stage.records(), stage.annotator_client(mexican)
    mx, br = stage.dataset().id, stage.dataset("BR").id
    items = {record: item for item, record in stage.ledger.pushed(stage.world.api.server, mx).items()}
    own = [(mx, items[record]) for record in records]

    def read(*named: tuple[str, str]) -> Pulled:
        reader = Reader(stage.world.api, other)
        reader.read(named)
        return reader.pulled

    given = [client.answer(record, ranking_of("1234")) for record in records[:3]]
    stage.annotator_client(brazilian).answer(stage.records("BR")[0], ranking_of("4321"))
    first = next(slate.id for slate in stage.slates.values() if slate.position == 1)
    assert read(*own, own[0], (br, first), (str(uuid4()), first), (mx, first)) == Pulled(records=4, new=4)
    assert stage.pull(whole=True).new == 4
    client.answer(records[0], ranking_of("4312"))
    client.withdraw(given[1]["id"])
    stage.world.delete_record(records[2])
    again = read((mx, "of another project"), *reversed(own))
    assert (again.changed, again) == (True, Pulled(records=2, edited=1, deleted=1))
    assert not read(*own).changed
    assert stage.pull(whole=True).changed
    by_id = {response.response_id: response for response in stage.ledger.responses()}
    assert {response.response_id: response for response in other.responses()} == by_id
    assert Counter(response.status for response in by_id.values()) == {"submitted": 3, "deleted": 1}


def test_what_was_read_between_two_pages_is_not_overtaken_by_the_page_before(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.argilla.paging.PAGE", 1)
    records, client = memory.records(), memory.annotator_client(memory.people[0])
    given = client.answer(records[0], ranking_of("1234"))
    reader = Reader(memory.world.api, memory.ledger)

    def withdraw() -> None:
        if memory.ledger.responses():  # the page with the answer is kept, others are to come
            client.withdraw(given["id"])
            reader.read((memory.dataset().id, item) for item in memory.slates)

    memory.argilla.between_pages = withdraw
    reader.read_all()
    (kept,) = memory.ledger.responses()
    assert kept.status == "deleted"


def test_pulling_again_finds_nothing_new_and_writes_nothing(memory: Stage) -> None:
    memory.annotator_client(memory.people[0]).answer(memory.records()[0], ranking_of("1234"))
    assert memory.pull().changed
    before = memory.ledger.rows("select * from responses")
    assert not memory.pull().changed
    assert not memory.pull(whole=True).changed
    assert memory.report().statuses == {"submitted": 1}
    assert memory.ledger.rows("select * from responses") == before


def test_an_edit_replaces_the_judgement_and_the_old_version_stays(memory: Stage) -> None:
    client, record = memory.annotator_client(memory.people[0]), memory.records()[0]
    client.answer(record, ranking_of("1234"))
    memory.pull()
    client.answer(record, ranking_of("4321"))
    pulled = memory.pull()
    assert (pulled.new, pulled.edited, pulled.deleted) == (0, 1, 0)
    (judgement,) = answers(memory.ledger, "ranking")
    assert judgement.value.tiers[0] == (memory.slates[judgement.item_id].seats[3],)
    assert len(memory.ledger.rows("select * from responses")) == 2


def test_what_is_discarded_later_counts_no_more(memory: Stage) -> None:
    client, record = memory.annotator_client(memory.people[0]), memory.records()[0]
    client.answer(record, ranking_of("1234"))
    memory.pull()
    client.answer(record, ranking_of("1234"), status="discarded")
    assert memory.pull().changed
    assert memory.report().statuses == {"discarded": 1}
    assert answers(memory.ledger, "ranking") == []


def test_what_is_taken_back_counts_no_more_and_may_be_given_anew(stage: Stage) -> None:
    client, record = stage.annotator_client(stage.people[0]), stage.records()[0]
    response = client.answer(record, ranking_of("1234"))
    stage.pull()
    client.withdraw(response["id"])
    pulled = stage.pull()
    assert (pulled.new, pulled.edited, pulled.deleted) == (0, 0, 1)
    assert stage.report().statuses == {"deleted": 1}
    assert answers(stage.ledger, "ranking") == []
    assert not stage.pull().changed
    client.answer(record, ranking_of("4321"))
    assert stage.pull().new == 1
    assert len(answers(stage.ledger, "ranking")) == 1


def test_a_judgement_outlives_its_author_and_its_record(stage: Stage) -> None:
    mexican, brazilian = stage.people
    stage.annotator_client(mexican).answer(stage.records()[0], ranking_of("1234"))
    stage.annotator_client(brazilian).answer(stage.records("BR")[0], ranking_of("1234"))
    assert stage.pull().missing == 0
    before = answers(stage.ledger, "ranking")
    account = next(a for a in stage.world.api.accounts() if a.username == mexican.username)
    stage.world.delete_account(account.id)
    stage.world.delete_record(stage.records("BR")[0])
    assert not stage.pull().changed
    pulled = stage.pull(whole=True)
    assert not pulled.changed
    assert (pulled.missing, pulled.as_json()["missing"]) == (1, 1)
    assert "1 pushed item is not on the server any more" in stage.sentence(pulled)
    assert answers(stage.ledger, "ranking") == before
    assert len(before) == 2


def test_a_judgement_keeps_the_country_of_the_team_it_was_given_for(memory: Stage) -> None:
    mover = memory.people[0]
    memory.annotator_client(mover).answer(memory.records()[0], ranking_of("1234"))
    moved = Person(mover.username, mover.name, mover.role, "BR", ("pt",))
    add_team(memory.project, memory.world.api, [moved])
    memory.pull()
    assert [j.country for j in answers(memory.ledger, "ranking")] == ["MX"]


def test_a_server_that_was_made_anew_does_not_count_people_twice(tmp_path: Path) -> None:
    stage = Stage(FakeWorld(), tmp_path / "p")
    stage.annotator_client(stage.people[0]).answer(stage.records()[0], ranking_of("1234"))
    stage.pull()
    fresh = FakeWorld()
    fresh.api.ticks = itertools.count(1000)  # later than everything that the first one saw
    add_team(stage.project, fresh.api, stage.people)
    push(fresh.api, stage.ledger, stage.project.settings)
    stage.world = fresh
    stage.annotator_client(stage.people[0]).answer(stage.records()[0], ranking_of("4321"))
    pulled = stage.pull()
    (judgement,) = answers(stage.ledger, "ranking")
    assert judgement.value.tiers[0] == (stage.slates[judgement.item_id].seats[3],)
    assert pulled.whole
    assert stage.report().unfit == {"answered again later": 1}


# -- what must not mislead a pull -----------------------------------------------------------------------


def test_values_that_fit_no_slate_are_kept_raw_and_reported(memory: Stage) -> None:
    client = memory.annotator_client(memory.people[0])
    client.answer(memory.records()[0], ranking_of("12345"))
    client.answer(memory.records()[1], ranking_of("1234"))
    pulled = memory.pull()
    assert memory.report().unfit == {"other seats than the slate's were ranked": 1}
    assert "1 submitted ones give no judgement" in memory.sentence(pulled)
    told = Synced(pulled, memory.report(), ()).as_json()["pulled"]
    assert told["dropped"] == {"other seats than the slate's were ranked": 1}
    assert told["responses"] == {"submitted": 2}
    assert len(memory.ledger.responses()) == 2
    assert len(answers(memory.ledger, "ranking")) == 1


def test_records_that_somebody_else_put_there_are_not_ours(memory: Stage) -> None:
    api, dataset = memory.world.api, memory.dataset()
    fields = dict.fromkeys(("prompt", "A", "B", "C", "D"), "x")
    made = api.add_records(dataset.id, [{"external_id": "theirs", "fields": fields}])
    memory.annotator_client(memory.people[0]).answer(made["theirs"], ranking_of("1234"))
    pulled = memory.pull()
    assert (pulled.foreign, pulled.new) == (1, 0)
    assert "1 record is not of this project" in memory.sentence(pulled)


def test_other_datasets_on_the_server_are_not_read(memory: Stage, tmp_path: Path) -> None:
    other = Stage(memory.world, tmp_path / "other")
    other.annotator_client(other.people[0]).answer(other.records()[0], ranking_of("1234"))
    assert memory.pull().new == 0
    assert other.pull().new == 1


def test_a_record_that_a_page_misses_is_not_taken_for_a_deletion(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.annotator_client(memory.people[0]).answer(memory.records()[2], ranking_of("1234"))
    memory.pull()
    api = memory.world.api
    real = api.records

    def without_responses(dataset_id: str, offset: int, limit: int, **_: bool) -> Any:
        return real(dataset_id, offset, limit, responses=False)

    monkeypatch.setattr(api, "records", without_responses)
    assert memory.pull(whole=True).deleted == 0
    assert len(answers(memory.ledger, "ranking")) == 1


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


def test_a_server_whose_clock_went_back_is_named_and_replaces_nothing(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, record = memory.annotator_client(memory.people[0]), memory.records()[0]
    client.answer(record, ranking_of("1234"))
    memory.pull()
    kept = memory.ledger.responses()
    monkeypatch.setattr(memory.world.api, "now", lambda: "2020-01-01T00:00:00.000000")
    client.answer(record, ranking_of("4321"))
    for whole in (False, True):
        pulled = memory.pull(whole=whole)
        assert (pulled.edited, pulled.untold, pulled.older) == (0, 0, 1)
        assert "1 are older on the server than here" in pulled.sentence({}, 0)
    assert memory.ledger.responses() == kept


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
    add_team(stage.project, stage.world.api, [twin])
    clients = [stage.annotator_client(stage.people[0]), stage.annotator_client(twin)]
    records = stage.records()
    standing: dict[tuple[int, int], dict[str, Any]] = {}
    for move, who, which, ranks in moves:
        which %= len(records)
        if move == "pull":
            stage.pull()
        elif move != "withdraw":
            standing[who, which] = clients[who].answer(records[which], ranking_of(ranks), status=move)
        elif (who, which) in standing:
            clients[who].withdraw(standing.pop((who, which))["id"])
    stage.pull()
    told = {j.response_id: j.value.tiers for j in answers(stage.ledger, "ranking")}
    expected = {r["id"]: r for r in standing.values() if r["status"] == "submitted"}
    assert set(told) == set(expected)
    for response_id, tiers in told.items():
        given_ranks = Counter(v["rank"] for v in expected[response_id]["values"]["ranking"]["value"])
        assert [len(tier) for tier in tiers] == [given_ranks[rank] for rank in sorted(given_ranks)]
    assert not stage.pull().changed


# -- the change feed ------------------------------------------------------------------------------------


class Counting:
    """An Argilla that counts what is asked of it."""

    def __init__(self, api: ArgillaApi) -> None:
        self._api, self.asked = api, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._api, name)


def test_after_everything_was_read_once_only_what_was_answered_is_read(stage: Stage) -> None:
    client, records = stage.annotator_client(stage.people[0]), stage.records()
    assert stage.pull().whole
    answered = client.answer(records[0], ranking_of("1234"))
    client.answer(records[1], ranking_of("4321"), status="draft")
    api = Counting(stage.world.api)
    assert pull(api, stage.ledger) == Pulled(records=2, new=2)  # type: ignore[arg-type]
    assert (api.asked["records"], api.asked["records_of"]) == (0, 1)
    client.withdraw(answered["id"])
    client.answer(records[1], ranking_of("4321"))
    assert stage.pull() == Pulled(records=2, edited=1, deleted=1)
    assert stage.pull() == Pulled()
    api = Counting(stage.world.api)
    assert pull(api, stage.ledger) == Pulled()  # type: ignore[arg-type]
    assert +api.asked == {"server": api.asked["server"], "changes": 1}
    assert Counter(r.status for r in stage.ledger.responses()) == {"submitted": 1, "deleted": 1}


def test_a_judgement_outlives_what_the_feed_tells_of_its_author_and_its_record(stage: Stage) -> None:
    stage.pull()
    mexican, brazilian = stage.people
    stage.annotator_client(mexican).answer(stage.records()[0], ranking_of("1234"))
    stage.annotator_client(brazilian).answer(stage.records("BR")[0], ranking_of("1234"))
    assert stage.pull().new == 2
    before = answers(stage.ledger, "ranking")
    account = next(a for a in stage.world.api.accounts() if a.username == mexican.username)
    stage.world.delete_account(account.id)
    stage.world.delete_record(stage.records("BR")[0])
    assert not stage.pull().changed
    assert answers(stage.ledger, "ranking") == before


def test_who_is_deleted_while_everything_is_read_has_taken_nothing_back(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mexican = memory.people[0]
    memory.annotator_client(mexican).answer(memory.records()[0], ranking_of("1234"))
    memory.pull()
    account = next(a for a in memory.argilla.accounts() if a.username == mexican.username)
    datasets = memory.argilla.datasets

    def delete_then() -> list[Dataset]:
        if account.id in memory.argilla.users:
            memory.world.delete_account(account.id)
        return datasets()

    users = list(memory.argilla.accounts())
    monkeypatch.setattr(memory.argilla, "datasets", delete_then)
    stale = iter([users])
    monkeypatch.setattr(memory.argilla, "accounts", lambda: next(stale, [u for u in users if u != account]))
    assert memory.pull(whole=True).deleted == 0
    assert len(answers(memory.ledger, "ranking")) == 1


def test_a_long_feed_is_read_to_its_end_and_says_how_far_it_is(memory: Stage) -> None:
    memory.pull()
    memory.argilla.most_changes = 1
    client = memory.annotator_client(memory.people[0])
    for record in memory.records():
        client.answer(record, ranking_of("1234"))
    read: list[int] = []
    pulled = pull(memory.argilla, memory.ledger, progress=lambda done, *_: read.append(done))
    assert (pulled, read) == (Pulled(records=3, new=3), [0, 1, 2])
    assert not memory.pull(whole=True).changed


def test_a_stock_server_is_read_as_a_whole_every_time(memory: Stage) -> None:
    memory.argilla.feed = None
    for ranks in ("1234", "4321"):
        memory.annotator_client(memory.people[0]).answer(memory.records()[0], ranking_of(ranks))
        pulled = memory.pull()
        assert (pulled.whole, pulled.records, pulled.changed, pulled.untold) == (True, 6, True, 0)
    assert memory.ledger.feed(memory.argilla.server) == ("", 0, "")


def test_what_the_feed_did_not_tell_is_found_by_a_whole_reading_and_said(memory: Stage) -> None:
    memory.pull()
    first, second, _ = memory.records()
    client = memory.annotator_client(memory.people[0])
    memory.argilla.telling = lambda told: [change for change in told if change.record_id != first]
    client.answer(first, ranking_of("1234"))
    client.answer(second, ranking_of("1234"))
    assert memory.pull().new == 1
    assert [answer.item_id for answer in answers(memory.ledger, "ranking")] == list(memory.slates)[2:3]
    pulled = memory.pull(whole=True)
    assert (pulled.new, pulled.untold, pulled.as_json()["untold"]) == (1, 1, 1)
    assert "1 new, 0 changed, 0 deleted" in memory.sentence(pulled)
    assert "; 1 of them were missing in the server's change feed" in memory.sentence(pulled)
    assert len(answers(memory.ledger, "ranking")) == 2
    again = memory.pull(whole=True)
    assert (again.changed, again.untold) == (False, 0)
    assert "change feed" not in memory.sentence(again)


def test_what_comes_while_everything_is_read_was_not_missing_in_the_feed(memory: Stage) -> None:
    memory.pull()
    client, records = memory.annotator_client(memory.people[0]), memory.records()
    ask = memory.argilla.changes

    def answer_then(after: int | None, *, wait_s: float = 0.0) -> Any:
        if after is None:  # the feed was followed to its end, and everything is about to be read
            client.answer(records[0], ranking_of("1234"))
        return ask(after, wait_s=wait_s)

    memory.argilla.changes = answer_then  # type: ignore[method-assign]
    memory.argilla.most_changes = 1
    memory.argilla.between_pages = lambda: client.answer(records[1], ranking_of("4321")) and None
    pulled = memory.pull(whole=True)
    assert (pulled.changed, pulled.untold) == (True, 0)
    memory.pull()
    assert len(answers(memory.ledger, "ranking")) == 2


def test_everything_is_read_once_a_day_although_there_is_a_feed(memory: Stage) -> None:
    memory.pull()
    assert not memory.pull().whole
    feed, last, whole_at = memory.ledger.feed(memory.argilla.server)
    yesterday = datetime.fromisoformat(whole_at) - WHOLE_EVERY
    memory.ledger.set_feed(memory.argilla.server, feed, last, yesterday.isoformat())
    assert memory.pull().whole
    assert not memory.pull().whole


@pytest.mark.parametrize("restored", ["another feed", "an earlier end"])
def test_another_feed_or_one_that_was_put_back_makes_a_pull_read_everything(memory: Stage, restored: str) -> None:
    client, record = memory.annotator_client(memory.people[0]), memory.records()[0]
    memory.pull()
    client.answer(record, ranking_of("1234"))
    client.answer(record, ranking_of("4321"))
    memory.pull()
    client.answer(record, ranking_of("2143"))
    if restored == "another feed":
        memory.argilla.feed = str(uuid4())
    memory.argilla.noted.clear()
    pulled = memory.pull()
    assert (pulled.whole, pulled.edited, pulled.untold) == (True, 1, 0)
    assert memory.ledger.feed(memory.argilla.server)[:2] == (memory.argilla.feed, 0)
    client.answer(record, ranking_of("4321"))
    assert memory.pull() == Pulled(records=1, edited=1)


def test_a_feed_that_comes_to_a_stock_server_or_goes_is_noticed(memory: Stage) -> None:
    client, record = memory.annotator_client(memory.people[0]), memory.records()[0]
    feed, memory.argilla.feed = memory.argilla.feed, None
    memory.pull()
    memory.argilla.feed = feed
    assert memory.pull().whole
    assert not memory.pull().whole
    memory.argilla.feed = None
    client.answer(record, ranking_of("1234"))
    assert memory.pull().new == 1


def test_answers_to_a_dataset_that_nobody_knew_to_be_ours_come_when_it_is_known(memory: Stage) -> None:
    """A push was cut off after Argilla had taken its records, and people answered at once."""
    memory.pull()
    dataset = memory.dataset()
    pushed = memory.ledger.pushed(memory.argilla.server, dataset.id)
    with memory.ledger.transaction() as db:
        db.execute("delete from pushes where dataset = ?", (dataset.id,))
    memory.annotator_client(memory.people[0]).answer(next(iter(pushed.values())), ranking_of("1234"))
    assert memory.pull().new == 0
    push(memory.argilla, memory.ledger, memory.project.settings)
    assert memory.ledger.pushed(memory.argilla.server, dataset.id) == pushed
    assert (memory.pull().new, len(answers(memory.ledger, "ranking"))) == (1, 1)


Lie = st.sampled_from(["true", "misses", "doubles", "reorders"])


@settings(max_examples=30, deadline=None)
@given(Moves, st.lists(Lie, min_size=25, max_size=25), st.integers(1, 3))
def test_a_feed_that_misses_doubles_or_reorders_changes_nothing_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, int, str]], lies: list[str], most: int
) -> None:
    stage = Stage(FakeWorld(), tmp_path_factory.mktemp("lies") / "p", slates=3, people=1)
    twin = person(f"twin-{uuid4().hex[:6]}")
    add_team(stage.project, stage.world.api, [twin])
    clients = [stage.annotator_client(stage.people[0]), stage.annotator_client(twin)]
    stage.argilla.most_changes = most
    lying = iter(lies)

    def tell(told: list[Change]) -> list[Change]:
        match next(lying, "true"):
            case "misses":
                return told[1:]
            case "doubles":
                return [*told, *told]
            case "reorders":
                return told[::-1]
        return told

    stage.argilla.telling = tell
    records, given = stage.records(), dict[tuple[int, int], str]()
    stage.pull()
    for move, who, which, ranks in moves:
        which %= len(records)
        if move == "pull":
            stage.pull()
        elif move != "withdraw":
            given[who, which] = clients[who].answer(records[which], ranking_of(ranks), status=move)["id"]
        elif (who, which) in given:
            clients[who].withdraw(given.pop((who, which)))
    stage.pull()
    pulled = stage.pull(whole=True)
    if "misses" not in lies:
        assert (pulled.changed, pulled.untold) == (False, 0)
    assert pulled.untold <= pulled.new + pulled.edited + pulled.deleted
    there = {r["id"]: r for rows in stage.argilla.rows.values() for row in rows for r in row["responses"]}
    kept = {r.response_id: json.loads(r.raw) for r in stage.ledger.responses() if r.status != "deleted"}
    assert kept == there


# -- how much, and what a cut leaves --------------------------------------------------------------------


def test_ten_thousand_responses_come_home_once(tmp_path: Path) -> None:
    world = FakeWorld()
    stage = Stage(world, tmp_path / "p", slates=2000, people=1)
    dataset = stage.dataset()
    people = [world.api.add_account(f"a{n}", "A", "annotator", "a long password") for n in range(10)]
    stage.ledger.add_people([person(account.username) for account in people])
    for row in world.api.rows[dataset.id]:
        for account in people:
            row["responses"].append(
                {
                    "id": str(uuid4()),
                    "record_id": row["id"],
                    "user_id": account.id,
                    "status": "submitted",
                    "updated_at": world.api.now(),
                    "values": ranking_of("1223"),
                }
            )
    assert stage.pull().new == 10_000
    assert not stage.pull(whole=True).changed
    assert len(answers(stage.ledger, "ranking")) == 10_000


def said_after(api: ArgillaApi, last: int) -> set[str | None]:
    """The items that the feed tells of after a place."""
    named, more = set[str | None](), True
    while more:
        told = api.changes(last)
        assert told is not None
        named |= {change.item_id for change in told.changes}
        last, more = told.last, told.more
    return named


@pytest.mark.timeout(600)
def test_killed_at_any_moment_no_judgement_is_lost_and_none_is_kept_twice(
    world: World, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small pages, so that a pull is cut off between any two of them.
    monkeypatch.setattr("sync.argilla.paging.PAGE", 4)
    monkeypatch.setattr("sync.pull.ITEMS_AT_ONCE", 2)
    stage = Stage(world, tmp_path / "p", slates=40)
    if isinstance(world, FakeWorld):
        world.api.most_changes = 3
    client, records, dataset = stage.annotator_client(stage.people[0]), stage.records(), stage.dataset()
    for record in records:
        client.answer(record, ranking_of("1123"))
    stage.pull()
    stage.ledger.close()

    def connected() -> ArgillaApi:
        if isinstance(world, FakeWorld):
            return world.api
        url, owner = request.getfixturevalue("argilla_server")
        return ArgillaClient(url, owner.api_key, server="embedded")

    def there() -> dict[str, Any]:
        pages = walk(world.api, dataset.id, responses=True)
        return {response["id"]: response for record in pages for response in record["responses"]}

    def work(whole: bool) -> None:
        pull(connected(), Project.open(stage.project.folder).ledger, whole=whole)

    lasts = {whole: seconds_of(partial(work, whole)) for whole in (True, False)}
    chance, killed, attempts, wanted = random.Random(1), 0, 0, kills(8, 30)
    while killed < wanted and attempts < 200:
        attempts += 1
        for record in chance.sample(records, 5):
            client.answer(record, ranking_of("".join(chance.choices("1234", k=4))))
        whole = attempts % 2 == 0
        killed += killed_at(chance.uniform(0.0, lasts[whole]), partial(work, whole))
        ledger = Project.open(stage.project.folder).ledger
        # What was told before the place up to which the feed was read is kept.
        still_told = said_after(world.api, ledger.feed(world.api.server)[1])
        kept = {r.response_id: json.loads(r.raw) for r in ledger.responses()}
        items = {record: item for item, record in ledger.pushed(world.api.server, dataset.id).items()}
        for name, response in there().items():
            assert items[response["record_id"]] in still_told or kept[name] == response
        if attempts % 8 == 0:  # the cut one goes on
            pull(world.api, ledger)
        ledger.close()
    assert killed >= 2 * wanted // 3
    ledger = Project.open(stage.project.folder).ledger
    pull(world.api, ledger)
    whole_reading = pull(world.api, ledger, whole=True)
    assert (whole_reading.changed, whole_reading.untold) == (False, 0)
    told = {answer.response_id: answer for answer in answers(ledger, "ranking")}
    real = there()
    assert len(real) == len(records) == 20
    assert set(told) == set(real)
    slates = {slate.id: slate for slate in read_slates(ledger)}
    for response_id, response in real.items():
        answer = told[response_id]
        ranks = {v["value"]: v["rank"] for v in response["values"]["ranking"]["value"]}
        seats = dict(zip("ABCD", slates[answer.item_id].seats, strict=True))
        places = sorted(set(ranks.values()))
        assert answer.value.tiers == tuple(
            tuple(seats[seat] for seat in "ABCD" if ranks[seat] == place) for place in places
        )
    # Every version is there once: the ledger is append-only, and a repeated pull adds nothing.
    versions = Counter((r["response_id"], r["updated_at"]) for r in ledger.rows("select * from responses"))
    assert set(versions.values()) == {1}


def test_two_pulls_that_are_told_as_one_add_up() -> None:
    whole = Pulled(records=9, foreign=1, new=2, edited=3, deleted=4, missing=5, untold=2, whole=True)
    followed = Pulled(records=2, new=1, edited=1)
    assert whole.and_then(followed) == Pulled(2, 1, 3, 4, 4, 5, 2, whole=True)
    assert Pulled().and_then(followed).and_then(whole) == Pulled(9, 1, 3, 4, 4, 5, 2, whole=True)
    assert whole.and_then(Pulled(whole=True)) == Pulled(new=2, edited=3, deleted=4, untold=2, whole=True)
