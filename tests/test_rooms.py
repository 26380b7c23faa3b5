"""Control items go among the work, entry tests and what is to be decided into rooms of their own; answers come home."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from fake_argilla import FakeWorld, RealWorld, World, killed_at, ranking_of, some_project
from test_push import dataset_name, send, with_team

from annotation.project import Project
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.adjudication import SAID
from annotation.tasks.page import CONTROL, PURPOSE, VECTOR, TeamPage
from annotation.tasks.rooms import NEVER, form_in, room_of
from annotation.types import Item
from sync.argilla.client import ArgillaClient
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.assignment import keep_rules
from sync.pull import pull
from sync.push import push
from sync.quotas import count_quotas
from sync.reporting.next_step import _unpushed, stock

ENTRY = {"es": "prueba de entrada", "pt": "teste de entrada", "en": "entry test"}


def with_side_items(
    project: Project, *, controls: int = 3, tests: int = 4, decisions: int = 1
) -> dict[str, list[Item]]:
    """Side items of Mexico by purpose, made of its slates."""
    slates = [item for item in project.ledger.items("ranking") if item.country == "MX"]
    seats = {item.id: item.content["seats"] for item in slates}
    made: dict[str, list[Item]] = {"control": [], "entry": [], "adjudication": []}
    for purpose, number in (("control", controls), ("entry", tests), ("adjudication", decisions)):
        for n in range(number):
            one = slates[n % len(slates)]
            content = {
                **one.content,
                **({SAID: "A mejor que B: 2"} if purpose == "adjudication" else {CONTROL: "garbled"}),
            }
            expected = None if purpose == "adjudication" else {"tiers": [[candidate] for candidate in seats[one.id]]}
            made[purpose].append(
                replace(
                    one, id=f"{purpose}{n}-{one.id}", position=n, content=content, purpose=purpose, expected=expected
                )
            )
    project.ledger.add_items(item for items in made.values() for item in items)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return some_project(tmp_path / "p", slates=12, name=dataset_name())


def rooms(api: ArgillaApi, project: Project, workspace: str = "mx") -> dict[str, Dataset]:
    """What a team's datasets are called behind the name of its work -> them."""
    name = project.settings.task.ranking.dataset
    return {d.name.replace(name, "…"): d for d in api.datasets() if d.workspace == workspace and name in d.name}


def held(api: ArgillaApi, dataset: Dataset) -> list[str]:
    return [record["external_id"] for record in walk(api, dataset.id)]


# -- where items go ---------------------------------------------------------------------------------------


def test_each_item_goes_to_its_room_and_only_once(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    work = [item.id for item in project.ledger.items("ranking") if item.country == "MX"]
    made = with_side_items(project)
    pushed = send(world, project)
    assert (pushed.sent, pushed.dropped) == ({"mx": 6 + 3 + 4 + 1, "br": 6}, ())
    aside = "(3 control items, 4 items of an entry test, 1 item to decide)"
    assert pushed.sentence().startswith(f"sent 6 to br, 14 to mx {aside}; 0 were there")
    have = stock(project)
    assert (have["pushed"], have["pushed_aside"]) == (12, 8)
    found = rooms(world.api, project)
    assert list(found) == ["Decidir: …", "… – prueba de entrada", "…"] or len(found) == 3
    test, deciding = found["… – prueba de entrada"], found["Decidir: …"]
    there = held(world.api, found["…"])
    assert [name for name in there if name in work] == work  # in order, whatever stands between
    assert Counter(there) == Counter(work + [item.id for item in made["control"]])
    assert held(world.api, test) == [item.id for item in made["entry"]]
    assert held(world.api, deciding) == [item.id for item in made["adjudication"]]
    assert [found["…"].overlap, test.overlap, deciding.overlap] == [2, NEVER, 1]
    assert rooms(world.api, project, "br").keys() == {"…"}
    again = send(world, project)
    assert (again.sent, again.standing) == ({}, 6 + 3 + 4 + 1 + 6)


def test_what_is_no_work_is_told_apart_by_metadata_that_annotators_do_not_see(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    with_side_items(project)
    send(world, project)
    purposes = {
        name: Counter(record["metadata"].get(PURPOSE, "work") for record in walk(world.api, dataset.id))
        for name, dataset in rooms(world.api, project).items()
    }
    assert purposes == {
        "…": {"work": 6, "control": 3},
        "… – prueba de entrada": {"entry": 4},
        "Decidir: …": {"adjudication": 1},
    }
    for task in TASKS.values():
        for room in ("work", "entry", "adjudication"):
            (hidden,) = [p for p in form_in(room, task, TeamPage("es"), project.settings).metadata if p.name == PURPOSE]
            assert not hidden.visible


def test_control_items_have_the_vectors_of_the_items_whose_places_they_took(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    slates = [item for item in project.ledger.items("ranking") if item.country == "MX"]
    made = [replace(one, id=f"control-{one.id}", purpose="control", parent=one.id) for one in slates]
    project.ledger.add_items(made)
    send(world, project, vectors={item.id: [0.6, 0.8] for item in slates})
    (dataset,) = rooms(world.api, project).values()
    assert {tuple(row["vectors"]) for row in world.api.rows[dataset.id]} == {(VECTOR,)}
    assert len(world.api.rows[dataset.id]) == 2 * len(slates)


def test_control_items_are_spread_among_the_work_that_goes_with_them(tmp_path: Path) -> None:
    project, world = some_project(tmp_path / "p", slates=400), FakeWorld()
    with_team(world, project, "MX", "BR")
    controls = {item.id for item in with_side_items(project, controls=40)["control"]}
    send(world, project)
    there = held(world.api, rooms(world.api, project)["…"])
    places = [place for place, name in enumerate(there) if name in controls]
    assert len(places) == 40
    assert len(there) == 240
    assert [sum(start <= place < start + 80 for place in places) > 5 for start in (0, 80, 160)] == [True] * 3
    gaps = {after - before for before, after in pairwise(places)}
    assert len(gaps) > 5  # no rhythm


def test_a_limit_is_one_of_work_alone(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    with_side_items(project)
    pushed = send(world, project, limit=2)
    assert (pushed.sent, pushed.later) == ({"mx": 1 + 3 + 4 + 1, "br": 1}, 10)
    assert send(world, project, limit=0).sent == {}


def test_control_items_that_come_later_join_a_dataset_that_was_made_without_them(
    world: World, project: Project
) -> None:
    with_team(world, project, "MX", "BR")
    send(world, project)
    (dataset,) = rooms(world.api, project).values()
    assert PURPOSE in world.api.properties(dataset.id)
    made = with_side_items(project, tests=0, decisions=0)
    assert send(world, project).sent == {"mx": 3}
    assert {*held(world.api, dataset)[6:]} == {item.id for item in made["control"]}


def test_a_dataset_of_an_older_annot_learns_the_property(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    task, page = TASKS["ranking"], TeamPage("es", "MX")
    form = task.form(page, project.settings)
    older = replace(form, metadata=tuple(p for p in form.metadata if p.name != PURPOSE))
    dataset = world.api.add_dataset(form.names[0], world.api.workspaces()["mx"], older)
    assert PURPOSE not in world.api.properties(dataset.id)
    with_side_items(project, tests=0, decisions=0)
    assert send(world, project).sent == {"mx": 9, "br": 6}
    assert PURPOSE in world.api.properties(dataset.id)


def test_an_entry_test_has_a_name_in_the_language_of_the_team_and_is_found_under_any(project: Project) -> None:
    task = TASKS["ranking"]
    for language, word in ENTRY.items():
        names = form_in("entry", task, TeamPage(language), project.settings).names
        assert names[0] == f"{project.settings.task.ranking.dataset} – {word}"
        assert {name.rpartition(" – ")[2] for name in names} == set(ENTRY.values())


def test_what_is_taken_out_leaves_its_room(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    made = with_side_items(project)
    send(world, project)
    gone = [items[0].id for items in made.values()]
    assert project.ledger.remove_items(gone) == 3
    assert _unpushed(project, {"MX", "BR"})[0] == 3
    pushed = send(world, project)
    assert (pushed.taken, pushed.sent) == (3, {})
    assert _unpushed(project, {"MX", "BR"})[0] == 0
    left = {name for dataset in rooms(world.api, project).values() for name in held(world.api, dataset)}
    assert not left & set(gone)
    assert len(left) == 6 + 3 + 4 + 1 - 3


def test_an_answered_slate_that_became_a_control_item_stays_and_is_not_named_for_ever(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    send(world, project)
    name = next(p.username for p in project.ledger.people() if p.country == "MX")
    annotator = world.annotator_client(name, project.secrets()["passwords"][name])
    (dataset,) = rooms(world.api, project).values()
    record = annotator.queue(dataset.id)[0]
    annotator.answer(record["id"], ranking_of("1234"))
    pull(world.api, project.ledger)
    (slate,) = project.ledger.items(ids=[record["external_id"]])
    project.ledger.remove_items([slate.id])
    project.ledger.add_items([replace(slate, id="marked", purpose="control", parent=slate.id)])
    assert _unpushed(project, {"MX", "BR"})[0] == 1
    assert send(world, project).sent == {"mx": 1}
    assert slate.id in held(world.api, dataset)  # with its answer
    assert _unpushed(project, {"MX", "BR"})[0] == 0


# -- what comes home --------------------------------------------------------------------------------------


def test_answers_of_every_room_come_home_and_count_for_no_quota(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    made = with_side_items(project)
    send(world, project)
    name = next(p.username for p in project.ledger.people() if p.country == "MX")
    annotator = world.annotator_client(name, project.secrets()["passwords"][name])
    found = rooms(world.api, project)
    for room in ("… – prueba de entrada", "…"):  # the test opens the work
        for record in walk(world.api, found[room].id):
            annotator.answer(record["id"], ranking_of("1234"))
        pull(world.api, project.ledger)
        keep_rules(world.api, project.ledger, project.settings)
    assert pull(world.api, project.ledger).foreign == 0
    answered = {r.item_id for r in project.ledger.responses(world.api.server)}
    assert answered >= {item.id for item in (*made["control"], *made["entry"])}
    counts = count(project.ledger, project.settings)
    right = Counter[str]()
    for key, number in counts.items():
        if key[0] == "control":
            right[str(key[2])] += number
    assert right == {"control": 3, "entry": 4}
    (mx,) = [state for state in count_quotas(project.settings, counts) if state.quota.country == "MX"]
    assert (mx.items, mx.answers) == (6, 6)
    assert not project.ledger.changed_texts()  # every room shows what was pushed


def test_a_push_that_the_ledger_forgot_brings_answers_of_side_items_home_all_the_same(project: Project) -> None:
    """Killed between the server's taking and the ledger's writing: the next push finds them."""
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    made = with_side_items(project)
    send(world, project)
    (test,) = [d for d in rooms(world.api, project).values() if "prueba" in d.name]
    with project.ledger.transaction() as db:
        db.execute("delete from pushes where item_id like 'entry%'")
    name = next(p.username for p in project.ledger.people() if p.country == "MX")
    annotator = world.annotator_client(name, project.secrets()["passwords"][name])
    for record in walk(world.api, test.id):
        annotator.answer(record["id"], ranking_of("1234"))
    assert send(world, project).sent == {}
    pull(world.api, project.ledger)
    answered = {response.item_id for response in project.ledger.responses()}
    assert answered == {item.id for item in made["entry"]}


# -- kills ------------------------------------------------------------------------------------------------


def test_killed_between_a_call_and_the_ledger_nothing_goes_twice(project: Project) -> None:
    """The call after which the process is gone is every call of a push, one after the other."""
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    made = with_side_items(project)
    add, calls = world.api.add_records, 0

    class Killed(BaseException):
        pass

    def die_after(dataset_id: str, records: Sequence[Any]) -> dict[str, str]:
        nonlocal calls
        calls += 1
        add(dataset_id, records)
        raise Killed

    world.api.add_records = die_after  # type: ignore[method-assign]
    for _ in range(100):
        try:
            send(world, project, batch=3)
        except Killed:
            continue
        break
    assert calls == 2 + 1 + 3 + 2  # entry, adjudication, Mexico's work and controls, Brazil's work; each batch once
    side = sorted(item.id for items in made.values() for item in items)
    work = sorted(item.id for item in project.ledger.items("ranking"))
    there = [
        name
        for workspace in ("mx", "br")
        for d in rooms(world.api, project, workspace).values()
        for name in held(world.api, d)
    ]
    assert sorted(there) == sorted(side + work)


@pytest.mark.server
def test_killed_at_any_moment_no_room_holds_anything_twice(
    real_world: RealWorld, argilla_server: tuple[str, object], tmp_path: Path
) -> None:
    import argilla  # noqa: F401  in the parent once, so that a child spends its life pushing

    url, key = argilla_server[0], real_world.api._key
    chance, killed = random.Random(0), 0
    for number in range(8):
        project = some_project(tmp_path / f"p{number}", slates=24, name=dataset_name())
        with_team(real_world, project, "MX", "BR")
        made = with_side_items(project, controls=6, tests=12, decisions=3)
        project.ledger.close()

        def work(folder: Path = project.folder) -> None:
            mine = Project.open(folder)
            push(ArgillaClient(url, key, server="embedded"), mine.ledger, mine.settings, batch=3)

        alive = 0
        while alive < 6 and killed_at(chance.uniform(0.01, 0.6), work):
            alive += 1
        killed += alive
        project = Project.open(project.folder)
        send(real_world, project)
        for item in (item for items in made.values() for item in items):
            datasets = [d for d in rooms(real_world.api, project).values() if item.id in held(real_world.api, d)]
            assert len(datasets) == 1
        there = [name for d in rooms(real_world.api, project).values() for name in held(real_world.api, d)]
        assert Counter(there) == Counter({*there})
        assert len(there) == 12 + 6 + 12 + 3
        assert send(real_world, project).sent == {}
        if killed >= kills(6, 24):
            break
    assert killed >= kills(6, 24)


def test_the_room_of_every_purpose_is_known() -> None:
    item = Item("a", "ranking", 0, "MX", "es", "")
    purposes = ("work", "control", "entry", "adjudication")
    assert [room_of(replace(item, purpose=purpose)) for purpose in purposes] == [
        "work",
        "work",
        "entry",
        "adjudication",
    ]
