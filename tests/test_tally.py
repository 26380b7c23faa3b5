"""What was counted item by item is what the definitions say, whatever happened before and to the file it is kept in."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from fake_argilla import killed_at, seconds_of
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import ranking_values

from annotation import item_counts
from annotation.config import Settings, check_settings
from annotation.item_counts import Counts
from annotation.ledger import Ledger, MovedResponse, Response
from annotation.rounds import SOURCE, start_round
from annotation.tally import count
from annotation.tasks.answers import answers, newest_responses, roster
from annotation.tasks.ranking.preferences import build_preferences
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.types import Candidate, Item, Judgement, Person, Prompt, Slate
from sync.quotas import count_quotas

COUNTRIES, PEOPLE = ("MX", "BR"), ("ana", "leo", "rui")
SLATES = 4
SEATS = ("a", "b", "c")
ROUND = 1000
"""What a slate's number grows by from round to round."""


def settings_of(**ranking: object) -> Settings:
    raw = {"project": {"countries": COUNTRIES}, "task": {"ranking": {"target": 2, "overlap": 2, **ranking}}}
    return check_settings(raw, place="test")


PLAIN, STRICT = settings_of(), settings_of(min_votes=2, min_margin=0.4)


class Story:
    """A ledger, and what happens to it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.times = itertools.count()
        self.settings = PLAIN

    def join(self, *people: str) -> None:
        """Put people on the roster: from now on all that they ever answered counts."""
        self.ledger.add_people(
            [Person(who, "", "annotator", COUNTRIES[PEOPLE.index(who) % 2], ("es",)) for who in people]
        )

    def now(self) -> str:
        """A time that only grows."""
        number = next(self.times)
        return f"2026-01-{1 + number // 24:02}T{number % 24:02}:00:00.000000+00:00"

    def add_item(self, number: int) -> None:
        """A slate, or a prompt to be checked, of the country that is next."""
        country = COUNTRIES[number % 2]
        prompt = Prompt.make(f"¿Qué se dice {number}?", country=country, language="es", topic=f"t{number % 3}")
        self.ledger.add_prompts([prompt])
        self.ledger.add_candidates([Candidate(f"{number}{seat}", prompt.id, seat, "m") for seat in SEATS])
        if number % 4 == 3:
            item = Item(f"s{number}", "prompt_check", number, country, "es", prompt.topic, {"author": "rui"}, prompt.id)
            self.ledger.add_items([item])
            return
        add_slates(self.ledger, [Slate(f"s{number}", prompt.id, tuple(f"{number}{seat}" for seat in SEATS), number)])

    def start_round(self, numbers: Sequence[int]) -> None:
        """Choose some rankings' prompts for another round, and seat other answers to the first of them, one its own."""
        chosen = {n: self.ledger.items(ids=[f"s{n}"])[0].prompt_id for n in numbers if n % 4 != 3}
        begun = start_round(self.ledger, dict.fromkeys(chosen.values(), "contested"), {})
        for n, prompt_id in list(chosen.items())[:1]:
            number = n + ROUND * (begun.number - 1)
            how = {SOURCE: "m"}
            made = [
                Candidate(f"{number}{seat}", prompt_id, seat, "m", settings=how if seat == "a" else {})
                for seat in SEATS
            ]
            self.ledger.add_candidates(made)
            if not self.ledger.prompts([prompt_id])[0].removed:
                add_slates(self.ledger, [Slate(f"s{number}", prompt_id, tuple(one.id for one in made), number)])

    def newest(self, number: int) -> int:
        """The number of the newest slate of what is asked under a number."""
        later = (number + ROUND * n for n in range(9, 0, -1))
        return next((n for n in later if self.ledger.items(ids=[f"s{n}"])), number)

    def respond(
        self, number: int, who: str, ranks: Sequence[int], status: str = "submitted", *, server: str = "old"
    ) -> None:
        """A new or edited response; one that does not fit its item where there are too few ranks."""
        seats = tuple(f"{number}{seat}" for seat in SEATS)
        tiers = tuple(tuple(s for s, r in zip(seats, ranks, strict=False) if r == rank) for rank in sorted(set(ranks)))
        if number % 4 == 3:
            values: dict[str, Any] = {"verdict": {"value": ("knowledge", "trivial", "nonsense")[sum(ranks) % 3]}}
        else:
            said = Judgement(tiers, none_acceptable=ranks[0] == 3)
            values = ranking_values(said, Slate("", "", seats, 0))
        moment = self.now()
        name = f"{server}-s{number}-{who}"
        raw = json.dumps({"id": name, "status": status, "values": values, "updated_at": moment})
        country = COUNTRIES[PEOPLE.index(who) % 2]
        self.ledger.add_responses(server, [Response(name, f"s{number}", who, country, status, moment, raw)])

    def withdraw(self, number: int, who: str) -> None:
        """Take a response back, on whichever server it is."""
        for server in ("old", "new"):
            for response in self.ledger.responses_of(server, [f"s{number}"]):
                if response.annotator == who:
                    self.ledger.add_responses(server, [replace(response, status="deleted")])

    def move(self, number: int, who: str, pulled: str) -> None:
        """Copy a response to another server; the copy is pulled "before" the move is noted, "after" it, or "never"."""
        for response in self.ledger.responses_of("old", [f"s{number}"]):
            if response.annotator != who:
                continue
            moment, name = self.now(), response.response_id.replace("old-", "new-")
            copy = replace(response, response_id=name, updated_at=moment)
            if pulled == "before":
                self.ledger.add_responses("new", [copy])
                self.count()
            self.ledger.add_moved("new", [MovedResponse(name, moment, response.response_id, response.updated_at)])
            if pulled == "after":
                self.ledger.add_responses("new", [copy])

    def count(self) -> Counts:
        return count(self.ledger, self.settings)

    def fresh(self) -> Counts:
        """Counted without anything that was kept."""
        with tempfile.TemporaryDirectory() as folder:
            aside = Ledger(Path(folder) / "ledger.sqlite")
            self.ledger._db.backup(aside._db)
            return count(aside, self.settings)


Numbers = st.integers(0, SLATES - 1)
Who = st.sampled_from(PEOPLE)
Ranks = st.lists(st.integers(1, 3), min_size=2, max_size=3)
Step = st.one_of(
    st.tuples(
        st.just("respond"), Numbers, Who, Ranks, st.sampled_from(["submitted", "submitted", "draft", "discarded"])
    ),
    st.tuples(st.just("elsewhere"), Numbers, Who, Ranks),
    st.tuples(st.just("again"), Numbers, Who, Ranks),
    st.tuples(st.just("round"), st.lists(Numbers, max_size=3, unique=True)),
    st.tuples(st.just("withdraw"), st.integers(0, 99)),
    st.tuples(st.just("move"), st.integers(0, 99), st.sampled_from(["before", "after", "never"])),
    st.tuples(st.just("join")),
    st.tuples(st.just("item")),
    st.tuples(st.just("change"), Numbers, st.booleans(), st.sampled_from(COUNTRIES), st.sampled_from(["t0", "t1"])),
    st.tuples(st.just("settings")),
    st.tuples(st.just("count")),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(Step, max_size=25))
def test_after_any_history_the_counts_are_those_of_a_fresh_start(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    story = Story(tmp_path_factory.mktemp("story"))
    story.join(*PEOPLE[:-1])
    items = itertools.count(SLATES)
    for number in range(SLATES):
        story.add_item(number)
    for step in steps:
        match step:
            case ("respond", number, who, ranks, status):
                story.respond(number, who, ranks, status)
            case ("elsewhere", number, who, ranks):
                story.respond(number, who, ranks, server="new")
            case ("again", number, who, ranks):
                story.respond(story.newest(number), who, ranks)
            case ("round", numbers):
                story.start_round(numbers)
            case ("withdraw" | "move", which, *how) if given := story.ledger.responses("old"):
                number, who = int(given[which % len(given)].item_id[1:]), given[which % len(given)].annotator
                story.move(number, who, *how) if how else story.withdraw(number, who)
            case ("join",):
                story.join(PEOPLE[-1])
            case ("item",):
                story.add_item(next(items))
            case ("change", number, removed, country, topic):
                (item,) = story.ledger.items(ids=[f"s{number}"])
                (prompt,) = story.ledger.prompts([item.prompt_id])
                story.ledger.change_prompts([replace(prompt, removed=removed, country=country, topic=topic)])
            case ("settings",):
                story.settings = STRICT if story.settings is PLAIN else PLAIN
            case ("count",):
                story.count()
    counts = story.count()
    assert counts == story.fresh()
    assert all(number > 0 for number in counts.values())
    assert_plain(story, counts)


def assert_plain(story: Story, counts: Counts) -> None:
    """What is counted of rankings, from the tables of all answers at once."""
    ranked, slates = answers(story.ledger, "ranking"), read_slates(story.ledger)
    asked = story.settings.task.ranking
    found = build_preferences(slates, ranked, pseudonym=str, min_margin=asked.min_margin, min_votes=asked.min_votes)
    assert counts["made", "ranking", "preferences"] == len(found.kept)
    excluded = Counter(dropped.reason for dropped in found.excluded)
    assert {key[2]: n for key, n in counts.items() if key[:2] == ("excluded", "ranking")} == excluded
    statuses = Counter(response.status for response in newest_responses(story.ledger))
    assert {key[1]: n for key, n in counts.items() if key[0] == "status"} == statuses
    last: dict[tuple[str, str, str], str] = {}
    for response in newest_responses(story.ledger):
        if response.status == "submitted" and response.annotator in roster(story.ledger):
            who = (response.annotator, response.country, response.item_id)
            last[who] = max(response.updated_at, last.get(who, ""))
    times = Counter(moment[:15] for moment in last.values())
    assert {key[1]: n for key, n in counts.items() if key[0] == "time"} == times
    items = {item.id: item for item in story.ledger.items("ranking")}
    for state in count_quotas(story.settings, counts):
        if state.quota.task == "ranking":
            asked_now = [item for item in items.values() if not (item.removed or item.closed)]
            own = [item.id for item in asked_now if item.country == state.quota.country]
            people = {slate: {a.annotator for a in ranked if a.item_id == slate} for slate in own}
            assert (state.items, state.answers) == (len(own), sum(map(len, people.values())))
            assert state.completed == sum(len(who) >= asked.overlap for who in people.values())
            assert state.people == len(set().union(*people.values()))


def test_only_people_of_the_roster_count_and_others_are_named(story: Story) -> None:
    before, moment = story.count(), story.now()
    raw = json.dumps(
        {"values": ranking_values(Judgement((("0a",), ("0b",), ("0c",))), Slate("", "", ("0a", "0b", "0c"), 0))}
    )
    said = [Response(f"try-{n}", f"s{n}", "owner", "MX", "submitted", moment, raw) for n in (0, 1)]
    story.ledger.add_responses("old", said[:1])
    after = story.count()
    assert after.pop(("unfit", 'by "owner", who is not on the team')) == 1
    assert after.pop(("status", "submitted")) == before["status", "submitted"] + 1
    assert after == Counter({key: n for key, n in before.items() if key != ("status", "submitted")})


@pytest.fixture
def story(tmp_path: Path) -> Story:
    made = Story(tmp_path / "p")
    made.join(*PEOPLE)
    for number in range(SLATES):
        made.add_item(number)
        for who in PEOPLE:
            made.respond(number, who, (1, 2, 2))
    return made


def cache_of(story: Story) -> Path:
    return story.ledger.path.parent / ".cache" / "tally.sqlite"


def test_only_items_that_somebody_answered_since_are_counted_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    real = item_counts.count_item

    def noting(item: Item, *rest: Any) -> Counts:
        counted.append(item.id)
        return real(item, *rest)

    monkeypatch.setattr("annotation.tally.count_item", noting)

    def counted_now() -> list[str]:
        counted.clear()
        story.count()
        return sorted(counted)

    everything = [f"s{number}" for number in range(SLATES)]
    assert counted_now() == everything
    assert counted_now() == []
    story.respond(2, "ana", (3, 2, 1))
    assert counted_now() == ["s2"]
    story.add_item(SLATES)
    story.withdraw(0, "rui")
    assert counted_now() == ["s0", f"s{SLATES}"]
    story.move(1, "leo", "never")
    assert counted_now() == []
    story.move(1, "ana", "after")
    assert counted_now() == ["s1"]
    story.move(1, "rui", "before")
    assert counted_now() == ["s1"]
    story.ledger.change_prompts([replace(story.ledger.prompts()[4], removed=True)])
    assert counted_now() == ["s4"]
    story.settings = STRICT
    assert counted_now() == [*everything, f"s{SLATES}"]


def test_a_file_that_is_gone_or_damaged_is_made_anew(story: Story) -> None:
    expected, path = story.count(), cache_of(story)
    whole = path.read_bytes()
    assert story.count() == expected

    def without_page(start: int) -> object:
        return path.write_bytes(whole[:start] + b"\0" * 4096 + whole[start + 4096 :])

    damage: list[Callable[[], object]] = [
        path.unlink,
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"this is no database, it is a letter to a friend" * 50),
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: edit(path, "update total set counts = '[['"),
        lambda: edit(path, "update total set upto = 'gone'"),
        *(partial(edit, path, f"update total set counts = '{counts}'") for counts in ("null", "[1]", "{}", "[]")),
        *(partial(edit, path, f"update total set upto = '{upto}'") for upto in ("null", "[]", "{}")),
        lambda: edit(path, "update total set counts = cast(x'ff' as text)"),
        lambda: edit(path, "drop table total; create table total (other text)"),
        *(partial(without_page, start) for start in range(0, len(whole), 4096)),
    ]
    for number, harm in enumerate(damage):
        path.write_bytes(whole)
        harm()
        story.respond(number % SLATES, "ana", (1 + number % 3, 2, 3))
        expected = story.fresh()
        assert story.count() == expected, number
        assert story.count() == expected, number
        story.respond(number % SLATES, "leo", (3, 1 + number % 3, 2))
        assert story.count() == story.fresh(), number


def edit(path: Path, script: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(script)
    db.close()


def test_where_nothing_can_be_kept_it_is_counted_all_the_same(story: Story) -> None:
    (story.ledger.path.parent / ".cache").write_text("a file where the folder should be")
    assert story.count() == story.fresh()
    story.respond(0, "ana", (3, 2, 1))
    assert story.count() == story.fresh()


def test_an_older_ledger_that_was_put_back_is_counted_anew(story: Story, tmp_path: Path) -> None:
    older = Ledger(tmp_path / "older.sqlite")
    story.ledger._db.backup(older._db)
    story.respond(0, "ana", (3, 2, 1))
    story.respond(1, "leo", (3, 2, 1), "draft")
    story.count()
    older._db.backup(story.ledger._db)
    assert story.count() == story.fresh()
    # The numbers of the rows that are gone are given again.
    story.count()
    older._db.backup(story.ledger._db)
    story.respond(3, "rui", (2, 2, 1))
    story.respond(2, "rui", (2, 2, 1), "discarded")
    assert story.count() == story.fresh()


def test_killed_while_it_counts_nothing_is_counted_twice_or_forgotten(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.tally.AT_ONCE", 2)
    for number in range(SLATES, 60):
        story.add_item(number)
    chance, folder = random.Random(4), story.ledger.path.parent

    def work() -> None:
        count(Ledger(folder / "ledger.sqlite"), PLAIN)

    def disturb() -> None:
        for number in chance.sample(range(60), 30):
            story.respond(number, chance.choice(PEOPLE), chance.choices((1, 2, 3), k=3))

    disturb()
    lasts, killed, attempts, wanted = seconds_of(work), 0, 0, kills(8, 25)
    while killed < wanted and attempts < 150:
        attempts += 1
        disturb()
        killed += killed_at(chance.uniform(0, lasts), work)
        if attempts % 4 == 0:
            assert story.count() == story.fresh()
    assert killed >= wanted // 2
    assert story.count() == story.fresh()


def test_two_that_count_at_once_come_to_the_same(story: Story) -> None:
    for number in range(SLATES, 40):
        story.add_item(number)
        story.respond(number, "ana", (1, 2, 3))
    folder, out = story.ledger.path.parent, story.ledger.path.parent / "out"
    out.mkdir()

    def work(name: str) -> None:
        counts = count(Ledger(folder / "ledger.sqlite"), PLAIN)
        (out / name).write_text(json.dumps(sorted([*map(str, key), number] for key, number in counts.items())))

    processes = [get_context("fork").Process(target=partial(work, str(n))) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len({(out / str(n)).read_text() for n in range(4)}) == 1
    assert story.count() == story.fresh()
