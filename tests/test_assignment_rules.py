"""Who is asked what: the rule that a push writes into each dataset, and that a sync keeps true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_argilla import FakeWorld, World, person, ranking_of, some_project
from test_push import dataset_name, send
from test_rooms import rooms, with_side_items

from annotation.ledger import Response
from annotation.project import Project
from annotation.quality.entry import entry_results
from annotation.rounds import start_round
from annotation.tasks.consent.task import add_consents
from annotation.tasks.consent.texts import TEXTS
from annotation.tasks.form import ASSIGN
from annotation.types import Person
from sync.argilla.paging import walk
from sync.argilla.protocol import Dataset
from sync.assignment import keep_rules
from sync.cycle import sync_once
from sync.pull import pull
from sync.same_people import join_names
from sync.team import add_team, remove_member

SET = {
    "[assign]": "hold_minutes = 20\nmost = 40\nmost_a_day = 15\ncontrol_first = 12\ncontrol_first_every = 4\n"
    "control_every = 9",
    "[entry]": "items = 2\nneeded = 1.0\ntries = 2\nwait_hours = 8760",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = some_project(tmp_path / "p", slates=12, name=dataset_name())
    text = (project.folder / "annot.toml").read_text(encoding="utf-8")
    for table, lines in SET.items():
        text = text.replace(f"\n{table}", f"\n{table}\n{lines}\n#", 1)
    (project.folder / "annot.toml").write_text(text, encoding="utf-8")
    return Project.open(project.folder)


def join(world: World, project: Project, *people: Person) -> None:
    add_team(project, world.api, people)


def rule_of(world: World, dataset: Dataset) -> dict[str, Any]:
    (now,) = [d for d in world.api.datasets() if d.id == dataset.id]
    rule: dict[str, Any] = now.rules[ASSIGN]
    return rule


def ids(world: World) -> dict[str, str]:
    return {account.username: account.id for account in world.api.accounts()}


def keep(world: World, project: Project) -> int:
    return keep_rules(world.api, project.ledger, project.settings)


def test_a_push_writes_who_is_asked_what_before_the_first_record(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("rui", "BR", languages=("pt",)))
    before: list[Mapping[str, Any]] = []
    world.api.before_adding = lambda: before.extend(d.rules for d in world.api.datasets())
    send(world, project)
    assert before
    assert all(ASSIGN in rules for rules in before)
    (dataset,) = rooms(world.api, project).values()
    assert rule_of(world, dataset) == {
        "overlap": 2,
        "hold_minutes": 20,
        "most": 40,
        "most_a_day": 15,
        "controls": [],
        "groups": [{"topic": "", "language": "", "target": 50}],
        "open_to": None,
        "languages": {},
        "uncounted": [],
        "same": {},
        "gone": [],
        "turns": None,
        "entry": None,
    }


def test_the_rule_survives_the_way_to_a_server_and_is_sent_only_when_it_changed(world: World, project: Project) -> None:
    join(world, project, person(f"ana_{project.settings.task.ranking.dataset[-4:]}"))
    send(world, project)
    keep(world, project)
    assert keep(world, project) == 0
    changed = project.settings.model_copy(update={"assign": project.settings.assign.model_copy(update={"most": 7})})
    assert keep_rules(world.api, project.ledger, changed) >= 1
    (dataset,) = rooms(world.api, project).values()
    assert rule_of(world, dataset)["most"] == 7
    assert keep_rules(world.api, project.ledger, changed) == 0


def test_quota_groups_are_told_as_they_are_owed(project: Project) -> None:
    world = FakeWorld()
    text = (project.folder / "annot.toml").read_text()
    group = '\n[[task.ranking.group]]\ncountry = "MX"\ntopic = "comida"\nlanguage = "es"\ntarget = 3\n'
    (project.folder / "annot.toml").write_text(text + group)
    project = Project.open(project.folder)
    join(world, project, person("ana"), person("rui", "BR"))
    send(world, project)
    told = {w: rule_of(world, d)["groups"] for w in ("mx", "br") for d in rooms(world.api, project, w).values()}
    assert told == {
        "mx": [{"topic": "", "language": "", "target": 50}, {"topic": "comida", "language": "es", "target": 3}],
        "br": [{"topic": "", "language": "", "target": 50}],
    }


def test_control_items_come_as_often_as_the_settings_say_where_there_are_any(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("rui", "BR"))
    with_side_items(project, tests=0, decisions=0)
    send(world, project)
    told = {w: rule_of(world, d)["controls"] for w in ("mx", "br") for d in rooms(world.api, project, w).values()}
    assert told == {"mx": [12, 4, 9], "br": []}
    project.ledger.remove_items(item.id for item in project.ledger.items(side=True))
    assert keep(world, project) == 1
    (dataset,) = rooms(world.api, project).values()
    assert rule_of(world, dataset)["controls"] == []


def test_people_are_named_with_their_languages_where_they_do_not_read_everything(project: Project) -> None:
    world = FakeWorld()
    slate = project.ledger.items("ranking")[0]
    quechua = replace(slate, id="quechua", language="qu", position=99, prompt_id="")
    project.ledger.add_items([quechua])
    join(world, project, person("ana"), person("inti", languages=("es", "qu")), person("quilla", languages=("qu",)))
    assert send(world, replace_content(project)).sent["mx"] == 6
    keep(world, project)
    (dataset,) = rooms(world.api, project).values()
    known = ids(world)
    assert rule_of(world, dataset)["languages"] == {known["ana"]: ["es"], known["quilla"]: ["qu"]}
    for name in ("inti", "quilla"):
        remove_member(world.api, project.ledger, name)
    (said,) = [note for note in send(world, project).notes if "nobody reads" in note]
    assert said.startswith("MX: nobody reads Quechua, so nobody is asked about the slates in it")
    join(world, project, person("quilla", languages=("qu",)))
    join(world, project, person("leo", languages=("pt",)), person("ana", languages=("es", "qu")))
    assert keep(world, project) == 1
    known = ids(world)
    assert rule_of(world, dataset)["languages"] == {known["leo"]: ["pt"], known["quilla"]: ["qu"]}


def replace_content(project: Project) -> Project:
    """The project without the item that has no prompt: it only lends its language."""
    with project.ledger.transaction() as db:
        db.execute("update items set content = '{\"seats\": [\"a\"]}' where id = 'quechua'")
    return project


# -- the entry test -----------------------------------------------------------------------------------------


def test_the_server_hears_whose_answers_do_not_count_and_which_names_are_one_persons(project: Project) -> None:
    world = FakeWorld()
    join(world, project, *map(person, ("ana", "anita", "leo", "eva")))
    send(world, project)
    (dataset,) = rooms(world.api, project).values()
    join_names(project.ledger, "anita", "ana")
    project.ledger.decide("ana", weight=0.0, excluded="the same order")
    assert keep(world, project) == 1
    of, rule = ids(world), rule_of(world, dataset)
    assert rule["uncounted"] == sorted([of["ana"], of["anita"]])
    assert rule["same"] == {of["ana"]: [of["anita"]], of["anita"]: [of["ana"]]}
    remove_member(world.api, project.ledger, "ana")  # what they answered still does not count
    keep(world, project)
    assert of["ana"] in rule_of(world, dataset)["uncounted"]
    project.ledger.decide("ana", weight=1.0, excluded="")
    assert keep(world, project) == 1
    assert rule_of(world, dataset)["uncounted"] == []


def test_nobody_else_is_asked_about_what_was_removed_after_somebody_had_answered(
    world: World, project: Project
) -> None:
    name = f"ana-{project.settings.task.ranking.dataset[-4:]}"
    join(world, project, person(name))
    send(world, project)
    (dataset,) = rooms(world.api, project).values()
    records = list(walk(world.api, dataset.id))
    client = world.annotator_client(name, project.secrets()["passwords"][name])
    client.answer(records[0]["id"], ranking_of("1234"))
    sync_once(project, world.api)
    assert rule_of(world, dataset)["gone"] == []
    project.ledger.remove_items([records[0]["external_id"], records[1]["external_id"]])
    assert send(world, project).taken == 1
    assert rule_of(world, dataset)["gone"] == [records[0]["id"]]
    project.ledger.remove_items([records[0]["external_id"]], removed=False)
    keep(world, project)
    assert rule_of(world, dataset)["gone"] == []


@pytest.mark.parametrize("last", ["discarded", "draft"])
def test_nobody_else_is_asked_about_a_slate_of_an_earlier_round_that_too_few_have_answered(
    project: Project, last: str
) -> None:
    world, overlap = FakeWorld(), project.settings.task.ranking.overlap
    names = [f"ana{n}" for n in range(overlap)]
    join(world, project, *map(person, names))
    send(world, project)
    (dataset,) = rooms(world.api, project).values()
    begun, whole, *_ = walk(world.api, dataset.id)
    values = ranking_of("1234")
    project.ledger.add_responses(
        world.api.server,
        [
            Response(
                f"{record['id']}-{who}",
                record["external_id"],
                who,
                "MX",
                last if record is begun and who == names[-1] else "submitted",
                "2026-01-01T00:00:00.000000+00:00",
                json.dumps({"id": f"{record['id']}-{who}", "record_id": record["id"], "values": values}),
            )
            for record in (begun, whole)
            for who in names
        ],
    )
    keep(world, project)
    assert rule_of(world, dataset)["gone"] == []
    start_round(project.ledger, {}, {})
    keep(world, project)
    assert rule_of(world, dataset)["gone"] == [begun["id"]]


def test_the_work_opens_to_whoever_passed_the_entry_test(world: World, project: Project) -> None:
    tail = project.settings.task.ranking.dataset[-6:]
    ana, leo, eva = (f"{name}_{tail}" for name in ("ana", "leo", "eva"))
    join(world, project, *(person(name) for name in (ana, leo, eva)))
    with_side_items(project, controls=0, tests=4, decisions=0)
    send(world, project)
    known, found = ids(world), rooms(world.api, project)
    work, test = found["…"], found["… – prueba de entrada"]
    assert (rule_of(world, work)["open_to"], rule_of(world, work)["entry"]) == ([], test.id)
    assert rule_of(world, test)["turns"] == {"size": 2, "of": {}, "told": {}, "work": None}
    assert (rule_of(world, test)["overlap"], rule_of(world, test)["most"], rule_of(world, test)["open_to"]) == (
        None,
        0,
        None,
    )
    for name, ranks in ((ana, "1234"), (leo, "4321")):
        annotator = world.annotator_client(name, project.secrets()["passwords"][name])
        for record in list(walk(world.api, test.id))[:2]:
            annotator.answer(record["id"], ranking_of(ranks))
    sync_once(project, world.api)
    assert rule_of(world, work)["open_to"] == [known[ana]]
    assert rule_of(world, test)["turns"]["of"] == {known[ana]: -1, known[leo]: -1}  # passed; waits for the next try
    told = rule_of(world, test)["turns"]
    assert (told["told"][known[ana]], told["told"][known[leo]][0], told["work"]) == (["passed", ""], "waits", work.id)
    soon = project.settings.model_copy(update={"entry": project.settings.entry.model_copy(update={"wait_hours": 0.0})})
    keep_rules(world.api, project.ledger, soon)
    assert rule_of(world, test)["turns"]["of"] == {known[ana]: -1, known[leo]: 1}


def test_a_test_that_is_not_on_the_server_yet_closes_nothing(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("rui", "BR"))
    send(world, project)
    with_side_items(project, controls=0, decisions=0)
    assert keep(world, project) == 0
    send(world, project)
    work = rooms(world.api, project)["…"]
    assert rule_of(world, work)["open_to"] == []
    assert rule_of(world, next(iter(rooms(world.api, project, "br").values())))["open_to"] is None


def test_whoever_worked_before_there_was_a_test_works_on(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("leo"))
    send(world, project)
    (work,) = rooms(world.api, project).values()
    annotator = world.annotator_client("ana", project.secrets()["passwords"]["ana"])
    annotator.answer(annotator.queue(work.id)[0]["id"], ranking_of("1234"))
    pull(world.api, project.ledger)
    with_side_items(project, controls=0, decisions=0)
    send(world, project)
    assert rule_of(world, work)["open_to"] == [ids(world)["ana"]]


# -- who decides --------------------------------------------------------------------------------------------


def test_adjudicators_decide_and_do_no_work(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("lead", role="admin"), person("rui", "BR"))
    with_side_items(project, controls=0, tests=0)
    send(world, project)
    known, found = ids(world), rooms(world.api, project)
    assert rule_of(world, found["Decidir: …"])["open_to"] == [known["lead"]]
    assert rule_of(world, found["…"])["open_to"] is None
    join(world, project, person("juez", role="adjudicator"))
    assert keep(world, project) == 2
    known = ids(world)
    assert rule_of(world, found["Decidir: …"])["open_to"] == [known["juez"]]
    assert rule_of(world, found["…"])["open_to"] == sorted((known["ana"], known["lead"]))
    remove_member(world.api, project.ledger, "juez")
    assert keep(world, project) == 2
    assert rule_of(world, found["…"])["open_to"] is None


def test_adjudicators_have_no_entry_test_to_do(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("juez", role="adjudicator"))
    with_side_items(project, controls=0, decisions=0)
    send(world, project)
    (test,) = [room for name, room in rooms(world.api, project).items() if name != "…"]
    assert rule_of(world, test)["open_to"] == [ids(world)["ana"]]
    assert {who for _, who in entry_results(project.ledger, project.settings, datetime.now(UTC))} == {"ana"}


def test_consents_are_everybodys_to_give_and_have_no_rule(project: Project) -> None:
    world = FakeWorld()
    join(world, project, person("ana"), person("rui", "BR"))
    add_consents(project.ledger, ["MX"], 40)
    send(world, project)
    keep(world, project)
    (consent,) = [d for d in world.api.datasets() if d.name == TEXTS["es"]["dataset"]]
    assert ASSIGN not in consent.rules


def test_a_server_that_does_not_assign_is_sent_no_rule(project: Project) -> None:
    world = FakeWorld()
    world.api.assigning = False
    join(world, project, person("ana"), person("rui", "BR"))
    send(world, project)
    assert keep(world, project) == 0
    assert not any(ASSIGN in dataset.rules for dataset in world.api.datasets())
