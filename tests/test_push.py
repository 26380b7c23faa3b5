"""Slates go out once, whole, in order, to the right team; and a push that was killed goes on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from campaigns import kills
from fake_argilla import FakeArgilla, FakeWorld, RealWorld, World, killed_at, person, some_project
from projects import ranking_record

from annotation.config import Settings
from annotation.errors import ArgillaError
from annotation.project import Project
from annotation.tasks.page import VECTOR, TeamPage, as_written
from annotation.tasks.ranking import task
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.tasks.ranking.task import OTHER_SIZE
from annotation.tasks.team_pages import team_language
from annotation.types import PROBLEMS, Candidate, Prompt, Slate
from sync.argilla.client import ArgillaClient
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.outgoing import NO_TEAM, REMOVED
from sync.push import Pushed, count_dropped, push
from sync.team import add_team


def dataset_name() -> str:
    return f"set {uuid4().hex[:8]}"


def with_team(world: World, project: Project, *countries: str) -> None:
    tail = uuid4().hex[:6]
    people = [
        person(f"p{n}-{tail}", country, languages=("pt",) if country == "BR" else ("es",))
        for n, country in enumerate(countries)
    ]
    add_team(project, world.api, people)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return some_project(tmp_path / "p", name=dataset_name())


def send(world: World, project: Project, **choices: object) -> Pushed:
    return push(world.api, project.ledger, project.settings, **choices)  # type: ignore[arg-type]


def datasets(api: ArgillaApi, project: Project) -> dict[str, Dataset]:
    return {d.workspace: d for d in api.datasets() if d.name == project.settings.task.ranking.dataset}


def held(api: ArgillaApi, project: Project) -> dict[str, list[str]]:
    """Workspace -> slates of its dataset, in order."""
    return {w: [r["external_id"] for r in walk(api, d.id)] for w, d in datasets(api, project).items()}


def wanted(project: Project) -> dict[str, list[str]]:
    ids = [slate.id for slate in read_slates(project.ledger)]
    return {"mx": ids[::2], "br": ids[1::2]}


def settings_with(project: Project, **changes: object) -> Settings:
    ranking = project.settings.task.ranking.model_copy(update=changes)
    return project.settings.model_copy(update={"task": project.settings.task.model_copy(update={"ranking": ranking})})


# -- what arrives ---------------------------------------------------------------------------------------


def test_every_slate_goes_to_the_team_of_its_country_in_order(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    pushed = send(world, project, batch=2)
    assert (pushed.sent, pushed.standing, pushed.dropped) == ({"mx": 3, "br": 3}, 0, ())
    assert held(world.api, project) == wanted(project)
    for dataset in datasets(world.api, project).values():
        assert dataset.ready
        assert dataset.overlap == project.settings.task.ranking.overlap == 2
        known = project.ledger.pushed(world.api.server, dataset.id)
        assert known == {r["external_id"]: r["id"] for r in walk(world.api, dataset.id)}


def test_seats_show_the_answers_of_the_slate_and_nothing_tells_the_model(world: World, project: Project) -> None:
    with_team(world, project, "MX")
    send(world, project)
    slates = {slate.id: slate for slate in read_slates(project.ledger)}
    texts = {c.id: c.text for c in project.ledger.candidates()}
    found = list(walk(world.api, datasets(world.api, project)["mx"].id))
    assert len(found) == 3
    for record in found:
        slate = slates[record["external_id"]]
        shown = [as_written(record["fields"][seat]) for seat in "ABCD"]
        assert shown == [texts[candidate] for candidate in slate.seats]
        assert not any(secret in str(record) for secret in ("model-", "voice-"))
        assert record["metadata"]["slate"] == slate.id
        assert record["metadata"]["position"] == slate.position
    assert ["system" in record["fields"] for record in found] == [True, False, False]


def test_pushing_twice_sends_once(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    send(world, project)
    before = held(world.api, project)
    again = send(world, project)
    assert (again.sent, again.standing) == ({}, 6)
    assert held(world.api, project) == before


def test_a_limit_takes_the_first_positions_of_all_countries(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    pushed = send(world, project, limit=3)
    assert (pushed.sent, pushed.later) == ({"mx": 2, "br": 1}, 3)
    assert held(world.api, project) == {"mx": wanted(project)["mx"][:2], "br": wanted(project)["br"][:1]}
    pushed = send(world, project)
    assert (pushed.sent, pushed.standing, pushed.later) == ({"mx": 1, "br": 2}, 3, 0)
    assert held(world.api, project) == wanted(project)


def test_a_dry_run_changes_nothing_here_or_there(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    assert send(world, project, dry_run=True).sent == {"mx": 3, "br": 3}
    assert datasets(world.api, project) == {}
    send(world, project, limit=2)
    before = held(world.api, project)
    assert send(world, project, dry_run=True).sent == {"mx": 2, "br": 2}
    assert held(world.api, project) == before


def test_a_country_without_a_team_is_named_and_goes_out_when_it_has_one(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX")
    pushed = send(world, project)
    assert count_dropped(pushed.dropped) == [(NO_TEAM, "BR", 3)]
    assert pushed.sent == {"mx": 3}
    with_team(world, project, "BR")
    assert send(world, project).sent == {"br": 3}


def test_a_person_who_left_is_no_team(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX")
    project.ledger.add_people([replace(p, active=False) for p in project.ledger.people()])
    with pytest.raises(ArgillaError, match="annot team add"):
        send(world, project)


def test_vectors_go_along_and_may_come_later(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    ids = [slate.id for slate in read_slates(project.ledger)]
    send(world, project, limit=2)
    pushed = send(world, project, vectors={slate_id: [0.6, 0.8] for slate_id in ids[:4]})
    assert pushed.sent == {"mx": 2, "br": 2}
    assert [note for note in pushed.notes if "(task.ranking.overlap)" not in note] == []
    assert world.api.vectors(datasets(world.api, project)["mx"].id) == {VECTOR: 2}


def test_vectors_of_another_encoder_are_left_out_and_it_is_said(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX")
    ids = [slate.id for slate in read_slates(project.ledger)]
    send(world, project, limit=1, vectors={ids[0]: [0.6, 0.8]})
    pushed = send(world, project, vectors={slate_id: [1.0, 0.0, 0.0] for slate_id in ids})
    assert pushed.sent == {"mx": 2}
    assert "3 numbers and the dataset has 2" in pushed.notes[0]
    assert held(world.api, project)["mx"] == wanted(project)["mx"]


def test_a_changed_overlap_reaches_the_dataset(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX")
    send(world, project)
    pushed = push(world.api, project.ledger, settings_with(project, overlap=5))
    assert pushed.notes[0] == "mx: 5 people per slate now, 2 before"
    assert "BR has only 0, MX has only 1" in pushed.notes[1]
    assert len(pushed.notes) == 2
    assert datasets(world.api, project)["mx"].overlap == 5


def named(project: Project, dataset: str = "") -> Settings:
    return settings_with(project, dataset=dataset)


def test_a_dataset_is_called_in_the_language_of_its_team(tmp_path: Path) -> None:
    world, project = FakeWorld(), some_project(tmp_path / "p")
    with_team(world, project, "MX", "BR")
    push(world.api, project.ledger, named(project))
    assert {d.workspace: d.name for d in world.api.datasets()} == {"mx": "Encaje cultural", "br": "Adequação cultural"}
    own = {"es.toml": '[ranking]\ndataset = "Otro"\n'}
    assert push(world.api, project.ledger, named(project), texts=own).standing == 6
    assert len(world.api.datasets()) == 2


@pytest.mark.parametrize("before", ["cultural fit", "un nombre de antes"])
def test_a_project_whose_dataset_stands_under_another_name_goes_on_there(tmp_path: Path, before: str) -> None:
    world, project = FakeWorld(), some_project(tmp_path / "p")
    with_team(world, project, "MX")
    push(world.api, project.ledger, named(project, before), limit=1)
    pushed = push(world.api, project.ledger, named(project))
    assert (pushed.sent, pushed.standing) == ({"mx": 2}, 1)
    assert [d.name for d in world.api.datasets()] == [before]


def test_guidelines_of_a_project_come_to_its_team_now_and_later(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    told = [note for note in send(world, project, texts={"MX.md": "Uno"}).notes if "guidelines" in note]
    assert (datasets(world.api, project)["mx"].guidelines, told) == ("Uno", [])
    told = [note for note in send(world, project, texts={"MX.md": "Dos", "br.md": "x"}).notes if "guidelines" in note]
    assert told == [
        "guidelines/br.md is read for no team; guidelines/BR.md would be: a country is in capitals, a language in "
        "small letters",
        "mx: the guidelines are those of guidelines/MX.md now",
    ]
    assert datasets(world.api, project)["mx"].guidelines == "Dos"
    assert "Agradecemos" in datasets(world.api, project)["br"].guidelines
    assert not [note for note in send(world, project, texts={"MX.md": "Dos"}).notes if "guidelines" in note]


def test_a_push_says_which_language_stands_for_one_that_has_no_texts(tmp_path: Path) -> None:
    world, project = FakeWorld(), some_project(tmp_path / "p")
    add_team(project, world.api, [person("ana", languages=("nah", "es"))])
    said = (
        "mx: annot has no texts in Nahuatl, so Spanish stands in their place; to change that, put texts into "
        "guidelines/nah.md and guidelines/nah.toml"
    )
    assert said in send(world, project, dry_run=True).notes
    assert said in send(world, project).notes
    assert said not in send(world, project).notes


def test_the_team_reads_its_own_language() -> None:
    spanish, portuguese = person("a"), person("b", languages=("pt", "es"))
    assert team_language([spanish, portuguese]) == "es"
    assert team_language([spanish, portuguese, portuguese]) == "pt"
    assert team_language([person("c", languages=("gn",))]) == "gn"
    assert team_language([person("c", languages=("gn",)), spanish]) == "es"


# -- what is refused ------------------------------------------------------------------------------------


def test_nothing_to_push_or_nobody_to_push_to_is_a_sentence(tmp_path: Path) -> None:
    api = FakeArgilla()
    with pytest.raises(ArgillaError, match="annot select"):
        push(api, some_project(tmp_path / "a", slates=0).ledger, Settings())
    with pytest.raises(ArgillaError, match="annot team add"):
        push(api, some_project(tmp_path / "b").ledger, Settings())


def test_a_team_without_its_workspace_is_a_sentence(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX")
    with pytest.raises(ArgillaError, match="no workspace mx"):
        push(FakeArgilla(), project.ledger, project.settings)


def test_a_dataset_with_other_seats_is_refused_and_left_alone(tmp_path: Path) -> None:
    world = FakeWorld()
    name = dataset_name()
    three = some_project(tmp_path / "three", seats=3, name=name)
    with_team(world, three, "MX")
    send(world, three)
    four = some_project(tmp_path / "four", seats=4, name=name)
    with_team(world, four, "MX")
    with pytest.raises(ArgillaError, match=r"has 3 answers to rank and select\.slate is 4.*task\.ranking\.dataset"):
        send(world, four)
    assert len(held(world.api, three)["mx"]) == 3


def test_under_a_new_name_only_new_slates_are_sent(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    send(world, project, limit=2)
    renamed = settings_with(project, dataset=dataset_name())
    pushed = push(world.api, project.ledger, renamed)
    assert (pushed.sent, pushed.standing) == ({"mx": 2, "br": 2}, 2)
    world.api.made = {d.id: d for d in world.api.made.values() if d.name == renamed.task.ranking.dataset}
    assert push(world.api, project.ledger, renamed).sent == {"mx": 1, "br": 1}  # the old ones were deleted


@pytest.mark.server
def test_a_dataset_that_asks_something_else_is_refused(real_world: RealWorld, project: Project) -> None:
    with_team(real_world, project, "MX")
    api = real_world.api
    form = task.form(TeamPage("es"), 4, 2)
    other = replace(form, questions=form.questions[:1])
    api.add_dataset(project.settings.task.ranking.dataset, api.workspaces()["mx"], other)
    with pytest.raises(ArgillaError, match="differs from what annot asks in acceptable, problems, rewrite"):
        send(real_world, project)


def test_an_older_dataset_keeps_its_form_and_takes_new_slates(world: World, project: Project) -> None:
    with_team(world, project, "MX", "BR")
    form = task.form(TeamPage("es"), 4, 2)
    of_the_slate = replace(form.questions[2], options=dict(zip(PROBLEMS, PROBLEMS, strict=True)))
    older = replace(form, questions=(*form.questions[:2], of_the_slate, *form.questions[3:]))
    made = world.api.add_dataset(form.names[0], world.api.workspaces()["mx"], older)
    assert send(world, project).sent == {"mx": 3, "br": 3}
    assert world.api.shape(made.id) == older.shape


def test_a_slate_of_another_size_is_named(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    prompt = Prompt.make("¿Y de postre, qué se sirve?", country="MX", language="es")
    candidates = [Candidate.make(prompt.id, text, model="m") for text in ("Flan", "Nieve", "Cajeta")]
    project.ledger.add_prompts([prompt])
    project.ledger.add_candidates(candidates)
    add_slates(project.ledger, [Slate("short", prompt.id, tuple(c.id for c in candidates), 99)])
    pushed = send(world, project)
    assert [(d.id, d.reason) for d in pushed.dropped] == [("short", OTHER_SIZE)]
    assert pushed.sent == {"mx": 3, "br": 3}


def test_a_record_that_a_lead_deleted_is_not_sent_again(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    send(world, project)
    first = next(iter(walk(world.api, datasets(world.api, project)["mx"].id)))
    world.delete_record(first["id"])
    pushed = send(world, project)
    assert (pushed.sent, pushed.standing) == ({}, 5)
    assert [(d.id, d.reason) for d in pushed.dropped] == [(first["external_id"], REMOVED)]


def test_two_pushes_at_once_never_send_a_slate_twice(project: Project) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    send(world, project, limit=1)

    def another() -> None:
        world.api.before_adding = lambda: None
        send(world, project)

    world.api.before_adding = another
    with pytest.raises(ArgillaError, match="same external ids"):
        send(world, project)
    assert send(world, project).sent == {}
    assert {w: sorted(ids) for w, ids in held(world.api, project).items()} == {
        w: sorted(ids) for w, ids in wanted(project).items()
    }


# -- what a cut leaves ----------------------------------------------------------------------------------


@pytest.mark.server
def test_a_dataset_that_was_left_half_made_is_made_whole(real_world: RealWorld, project: Project) -> None:
    with_team(real_world, project, "MX", "BR")
    api, name = real_world.api, project.settings.task.ranking.dataset
    room = api.workspaces()["mx"]
    told = {"name": name, "workspace_id": room, "guidelines": "…"}
    half = api._send("POST", "/datasets", "half a dataset", told)
    field = {"name": "prompt", "title": "Pregunta", "required": True, "settings": {"type": "text"}}
    api._send("POST", f"/datasets/{half['id']}/fields", "a field", field)
    send(real_world, project)
    assert held(api, project) == wanted(project)
    assert api.shape(datasets(api, project)["mx"].id) == task.form(TeamPage("es"), 4, 2).shape


@pytest.mark.server
def test_an_unpublished_dataset_of_somebody_else_is_left_alone(real_world: RealWorld, project: Project) -> None:
    with_team(real_world, project, "MX", "BR")
    api = real_world.api
    told = {"name": project.settings.task.ranking.dataset, "workspace_id": api.workspaces()["mx"]}
    theirs = api._send("POST", "/datasets", "a dataset", told)
    field = {"name": "novel", "title": "Novela", "required": True, "settings": {"type": "text"}}
    api._send("POST", f"/datasets/{theirs['id']}/fields", "a field", field)
    with pytest.raises(ArgillaError, match="has 0 answers to rank"):
        send(real_world, project)
    assert theirs["id"] in {d.id for d in api.datasets()}


@pytest.mark.server
def test_killed_at_any_moment_no_slate_is_sent_twice_and_none_is_missing(
    real_world: RealWorld, argilla_server: tuple[str, object], tmp_path: Path
) -> None:
    import argilla  # noqa: F401  in the parent once, so that a child spends its life pushing

    url, key = argilla_server[0], real_world.api._key
    chance = random.Random(0)
    killed, rounds, enough = 0, 0, kills(8, 24)
    while killed < enough and rounds < 12:
        rounds += 1
        project = some_project(tmp_path / f"p{rounds}", slates=48, name=dataset_name())
        with_team(real_world, project, "MX", "BR")
        project.ledger.close()

        def work(folder: Path = project.folder) -> None:
            mine = Project.open(folder)
            api = ArgillaClient(url, key, server="embedded")
            push(api, mine.ledger, mine.settings, batch=3)

        alive = 0
        while alive < 8 and killed_at(chance.uniform(0.01, 0.5), work):
            alive += 1
        killed += alive
        project = Project.open(project.folder)
        pushed = send(real_world, project)
        assert held(real_world.api, project).keys() == {"mx", "br"}
        for workspace, ids in held(real_world.api, project).items():
            assert Counter(ids) == Counter(wanted(project)[workspace])
            assert ids == wanted(project)[workspace]  # in order, too
        assert pushed.standing + sum(pushed.sent.values()) == 48
        for workspace, dataset in datasets(real_world.api, project).items():
            assert set(project.ledger.pushed("embedded", dataset.id)) == set(wanted(project)[workspace])
        assert send(real_world, project).sent == {}
    assert killed >= enough


@pytest.mark.parametrize(("task", "command"), [("ranking", "annot select"), ("prompt_check", "annot prompts review")])
def test_with_nothing_to_push_the_command_that_makes_it_is_named(project: Project, task: str, command: str) -> None:
    with project.ledger.transaction() as db:
        db.execute("delete from items")
    with pytest.raises(ArgillaError, match=f"run `{command}` first"):
        push(FakeWorld().api, project.ledger, project.settings, tasks=[task])


def test_long_answers_are_sent_in_calls_that_a_server_takes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeWorld()
    with_team(world, project, "MX", "BR")
    sizes: list[int] = []
    add_records = world.api.add_records

    def add(dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        sizes.append(sum(len(text) for record in records for text in record["fields"].values()))
        return add_records(dataset_id, records)

    monkeypatch.setattr(world.api, "add_records", add)
    monkeypatch.setattr(
        "sync.push.CALL_CHARACTERS", 1 + max(_length(project, slate) for slate in read_slates(project.ledger))
    )
    send(world, project)
    assert held(world.api, project) == wanted(project)
    assert len(sizes) == len(read_slates(project.ledger))


def _length(project: Project, slate: Slate) -> int:
    """Characters of a slate's record."""
    texts = {c.id: c.text for c in project.ledger.candidates()}
    prompt = next(p for p in project.ledger.prompts() if p.id == slate.prompt_id)
    return sum(len(text) for text in ranking_record(slate, prompt, texts, None)["fields"].values())
