"""On a server that sends everybody the same, a large team works in cohorts: each has people and items of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import free_port
from fake_argilla import FakeWorld, RealWorld, World, person, ranking_of, some_project
from hypothesis import given
from hypothesis import strategies as st
from test_push import dataset_name, send
from test_rooms import with_side_items

from annotation.errors import ArgillaError
from annotation.hosting import embedded
from annotation.project import Project
from annotation.tally import count
from annotation.types import Item, Person
from sync.argilla.paging import walk
from sync.argilla.protocol import Dataset
from sync.assignment import keep_rules
from sync.cohorts import Cohort, annotators, divide, plan_cohorts
from sync.pull import pull
from sync.push import CANNOT
from sync.quotas import count_quotas
from sync.team import add_team, country_of, remove_member, workspace_of

OVERLAP = 2


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Twelve slates of Mexico and twelve of Brazil, two people each."""
    return some_project(tmp_path / "p", slates=24, name=dataset_name())


def stock() -> FakeWorld:
    world = FakeWorld()
    world.api.assigning, world.api.feed = False, None
    return world


def join(world: World, project: Project, number: int, country: str = "MX") -> list[str]:
    """User names of so many more people."""
    people = [person(f"{country.lower()}{n}-{uuid4().hex[:6]}", country) for n in range(number)]
    add_team(project, world.api, people)
    return [one.username for one in people]


def cohorts(world: World, project: Project) -> dict[str, set[str]]:
    """Workspace -> user names in it, of Mexico's cohorts."""
    names = {account.id: account.username for account in world.api.accounts()}
    ours = {person.username for person in project.ledger.people()}
    return {
        name: {names[account] for account in world.api.members(room)} & ours
        for name, room in sorted(world.api.workspaces().items())
        if name.startswith("mx-") and {names[account] for account in world.api.members(room)} & ours
    }


def datasets(world: World, project: Project) -> dict[str, Dataset]:
    name = project.settings.task.ranking.dataset
    return {d.workspace: d for d in world.api.datasets() if d.name == name}


def held(world: World, dataset: Dataset) -> list[str]:
    return [record["external_id"] for record in walk(world.api, dataset.id)]


# -- a push -------------------------------------------------------------------------------------------------


def test_a_large_team_is_split_and_every_item_goes_to_one_part(project: Project) -> None:
    world = stock()
    people = join(world, project, 7)
    join(world, project, 3, "BR")  # too few to be split
    pushed = send(world, project)
    inside = cohorts(world, project)
    assert sorted(len(names) for names in inside.values()) == [2, 2, 3]
    assert sorted(name for names in inside.values() for name in names) == sorted(people)
    found = datasets(world, project)
    assert found.keys() == {"mx-ranking-1", "mx-ranking-2", "mx-ranking-3", "br"}
    own = {name: held(world, dataset) for name, dataset in found.items() if name != "br"}
    slates = [item.id for item in project.ledger.items("ranking") if item.country == "MX"]
    assert Counter(chain(*own.values())) == Counter(slates)
    assert [len(items) for items in own.values()] == [4, 4, 4]
    assert len(held(world, found["br"])) == 12
    assert pushed.notes[0] == CANNOT
    assert "MX: 7 people in 3 cohorts, each with slates of its own that nobody else sees" in pushed.notes
    again = send(world, project)
    assert (again.sent, again.standing, CANNOT in again.notes) == ({}, 24, False)
    assert cohorts(world, project) == inside


def test_a_dry_run_makes_no_cohort_and_says_what_it_would_send(project: Project) -> None:
    world = stock()
    join(world, project, 4)
    would = send(world, project, dry_run=True)
    assert would.sent == {"mx-ranking-1": 6, "mx-ranking-2": 6}
    assert not any("-" in name for name in world.api.workspaces())
    assert send(world, project).sent == would.sent


def test_a_dataset_that_stands_stays_as_it_is(project: Project) -> None:
    world = stock()
    join(world, project, 2)
    assert send(world, project, limit=6).sent.keys() == {"mx"}
    join(world, project, 6)
    assert send(world, project).sent.keys() == {"mx"}
    assert cohorts(world, project) == {}


def test_a_server_that_assigns_has_no_cohorts(project: Project) -> None:
    world = FakeWorld()
    join(world, project, 8)
    pushed = send(world, project)
    assert pushed.sent.keys() == {"mx"}
    assert CANNOT not in pushed.notes


def test_where_the_project_moved_to_a_server_that_assigns_the_cohorts_items_are_not_sent_again(
    project: Project,
) -> None:
    world = stock()
    join(world, project, 4)
    send(world, project, limit=6)
    world.api.assigning = True
    pushed = send(world, project)
    assert (pushed.sent, pushed.standing) == ({"mx": 6}, 6)


def test_every_cohort_has_all_control_items_and_the_test_stays_one(project: Project) -> None:
    world = stock()
    join(world, project, 4)
    made = with_side_items(project)
    pushed = send(world, project)
    assert pushed.sent == {"mx-ranking-1": 6 + 3, "mx-ranking-2": 6 + 3, "mx": 4 + 1}
    for workspace, dataset in datasets(world, project).items():
        assert {item.id for item in made["control"]} <= {*held(world, dataset)}, workspace
    assert send(world, project).sent == {}


def test_killed_while_cohorts_are_made_everybody_ends_in_one_and_nothing_is_sent_twice(project: Project) -> None:
    """The call after which the process is gone is every call that makes something, one after the other."""
    world = stock()
    people = join(world, project, 6)
    calls = 0

    class Killed(BaseException):
        pass

    for name in ("add_workspace", "add_member", "add_dataset", "add_records"):
        made = getattr(world.api, name)

        def die_after(*given: object, made=made) -> None:  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            made(*given)
            raise Killed

        setattr(world.api, name, die_after)
    for _ in range(100):
        try:
            send(world, project)
        except Killed:
            continue
        break
    assert calls == 3 + 6 + 3 + 3
    inside = cohorts(world, project)
    assert sorted(name for names in inside.values() for name in names) == sorted(people)
    assert [len(names) for names in inside.values()] == [2, 2, 2]
    own = [held(world, dataset) for dataset in datasets(world, project).values()]
    slates = [item.id for item in project.ledger.items("ranking") if item.country == "MX"]
    assert Counter(chain(*own)) == Counter(slates)


# -- people come and go ---------------------------------------------------------------------------------------


def test_who_joins_comes_into_the_smallest_cohort_by_a_push_or_a_sync(project: Project) -> None:
    world = stock()
    first = join(world, project, 5)
    send(world, project)
    assert [len(names) for names in cohorts(world, project).values()] == [3, 2]
    (late,) = join(world, project, 1)
    assert keep_rules(world.api, project.ledger, project.settings) == 1
    assert late in cohorts(world, project)["mx-ranking-2"]
    assert keep_rules(world.api, project.ledger, project.settings) == 0
    more = join(world, project, 3)
    send(world, project)
    inside = cohorts(world, project)
    assert [len(names) for names in inside.values()] == [3, 3, 3]
    assert sorted(name for names in inside.values() for name in names) == sorted([*first, late, *more])


def test_who_leaves_leaves_a_gap_that_is_said_and_the_next_to_join_fills_it(project: Project) -> None:
    world = stock()
    join(world, project, 4)
    send(world, project, limit=6)
    gone = min(cohorts(world, project)["mx-ranking-1"])
    remove_member(world.api, project.ledger, gone)
    pushed = send(world, project)
    (said,) = [note for note in pushed.notes if "people are left" in note]
    assert said.startswith("mx-ranking-1: 1 of 2 people are left")
    assert pushed.sent == {"mx-ranking-2": 6}  # who cannot finish gets nothing new
    (late,) = join(world, project, 1)
    assert not [note for note in send(world, project).notes if "people are left" in note]
    assert late in cohorts(world, project)["mx-ranking-1"]


def test_who_moves_to_another_country_leaves_the_cohort(project: Project) -> None:
    world = stock()
    names = join(world, project, 4)
    send(world, project)
    add_team(project, world.api, [person(names[0], "BR")])
    assert not any(names[0] in inside for inside in cohorts(world, project).values())


def test_leads_see_every_cohort_of_their_country_and_work_in_none(project: Project) -> None:
    world = stock()
    join(world, project, 4)
    add_team(project, world.api, [person("lead", role="admin"), person("juez", role="adjudicator")])
    send(world, project)
    inside = cohorts(world, project)
    assert all("lead" in names for names in inside.values())
    assert not any("juez" in names for names in inside.values())
    assert [len(names) for names in inside.values()] == [3, 3]


# -- answers --------------------------------------------------------------------------------------------------


def test_answers_of_cohorts_come_home_as_their_countrys_and_everything_is_finished_without_overshoot(
    project: Project,
) -> None:
    world = stock()
    join(world, project, 4)
    send(world, project)
    work(world, project)
    pull(world.api, project.ledger)
    responses = project.ledger.responses()
    assert {response.country for response in responses} == {"MX"}
    (mx,) = [
        state
        for state in count_quotas(project.settings, count(project.ledger, project.settings))
        if state.quota.country == "MX"
    ]
    assert (mx.items, mx.completed, mx.answers) == (12, 12, 24)


def work(world: World, project: Project) -> None:
    """Everybody answers all that they are shown, in turn."""
    people = {}
    passwords = project.secrets()["passwords"]
    for workspace, names in cohorts(world, project).items():
        for name in names:
            people[name] = (world.annotator_client(name, passwords[name]), datasets(world, project)[workspace].id)
    while any([answer_one(annotator, dataset) for annotator, dataset in people.values()]):  # noqa: C419 each in turn
        pass


def answer_one(annotator: object, dataset: str) -> bool:
    records = annotator.queue(dataset, 1)  # type: ignore[attr-defined]
    for record in records:
        annotator.answer(record["id"], ranking_of("1234"))  # type: ignore[attr-defined]
    return bool(records)


# -- how a team is split, and how items are divided -------------------------------------------------------------


@given(st.integers(1, 5), st.lists(st.integers(-4, 9), min_size=1, max_size=8))
def test_whoever_comes_and_goes_everybody_is_in_one_cohort_and_stays_there(overlap: int, moves: list[int]) -> None:
    team, standing, born = list[Person](), list[Cohort](), 0
    for move in moves:
        team = team[-move:] if move < 0 else [*team, *(person(f"p{born + n:03}") for n in range(move))]
        born += max(0, move)
        there = {one.username for one in team}
        standing = [Cohort(c.country, c.task, c.number, tuple(n for n in c.people if n in there)) for c in standing]
        before = {name: cohort.number for cohort in standing for name in cohort.people}
        planned = plan_cohorts(standing, "MX", "ranking", team, overlap)
        now = {name: cohort.number for cohort in planned for name in cohort.people}
        assert sum(len(cohort.people) for cohort in planned) == len(now)
        if not planned:
            assert len(team) < 2 * overlap
            continue
        assert now.keys() == there
        assert all(now[name] == number for name, number in before.items() if name in now)
        assert [cohort.number for cohort in planned] == list(range(1, len(planned) + 1))
        if not standing:
            assert all(overlap <= len(cohort.people) <= 2 * overlap - 1 for cohort in planned)
        standing = [Cohort(c.country, c.task, c.number, c.people) for c in planned]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["es", "qu"])), max_size=40),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
)
def test_items_are_divided_by_group_among_those_who_can_finish_them(
    groups: list[tuple[str, str]], sizes: list[int]
) -> None:
    parts = [Cohort("MX", "ranking", n, tuple(f"p{n}-{m}" for m in range(size))) for n, size in enumerate(sizes, 1)]
    items = [Item(str(n), "ranking", n, "MX", language, topic) for n, (topic, language) in enumerate(groups)]
    given_ = divide(items[10:], {1: items[:10]}, parts, 2)
    assert given_.keys() == {item.id for item in items[10:]}
    able = {part.number for part in parts if len(part.people) >= 2} or {part.number for part in parts}
    assert set(given_.values()) <= able
    fresh = divide(items, {}, parts, 2)
    for group in set(groups):
        got = Counter(fresh[item.id] for item in items if (item.topic, item.language) == group)
        assert max(got.values()) - min(got.get(number, 0) for number in able) <= 1


def test_the_country_of_a_workspace_is_read_from_its_name() -> None:
    assert [workspace_of("MX"), workspace_of("MX", "prompt_check", 12)] == ["mx", "mx-prompt_check-12"]
    assert [country_of(name) for name in ("mx", "mx-prompt_check-12")] == ["MX", "MX"]
    team = [person("a"), person("b", active=False), person("c", role="admin"), person("d", role="adjudicator")]
    assert [one.username for one in annotators(team)] == ["a"]


@pytest.fixture(scope="module")
def as_released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    """A real Argilla, whose datasets get no rules: annot is told that it does not assign."""
    home = tmp_path_factory.mktemp("stock") / ".argilla"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ANNOT_AS_RELEASED", "1")
        started = embedded.start(home, port=free_port(), say=print)
    with RealWorld(started.url, embedded.owner(home).api_key) as world:
        yield world
    embedded.stop(home)


@pytest.mark.server
def test_on_a_real_argilla_without_rules_cohorts_finish_everything_and_nobody_overshoots(
    as_released: RealWorld, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_released.api, "assigns", lambda: False)
    join(as_released, project, 5)
    pushed = send(as_released, project)
    assert pushed.sent == {"mx-ranking-1": 6, "mx-ranking-2": 6}
    assert CANNOT in pushed.notes
    mine, other = (min(names) for names in cohorts(as_released, project).values())
    annotator = as_released.annotator_client(mine, project.secrets()["passwords"][mine])
    found = datasets(as_released, project)
    with pytest.raises(ArgillaError):
        annotator.queue(found["mx-ranking-2"].id)
    assert other != mine
    work(as_released, project)
    pull(as_released.api, project.ledger)
    quotas = count_quotas(project.settings, count(project.ledger, project.settings))
    (mx,) = [state for state in quotas if state.quota.country == "MX"]
    assert (mx.items, mx.completed, mx.answers) == (12, 12, 24)
    assert {response.country for response in project.ledger.responses()} == {"MX"}
    (late,) = join(as_released, project, 1)
    assert keep_rules(as_released.api, project.ledger, project.settings) == 1
    assert late in cohorts(as_released, project)["mx-ranking-2"]
    assert send(as_released, project).sent == {}
