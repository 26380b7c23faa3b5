"""`annot forget` of what a person shared, and of one association: no byte of it is left, and nothing brings it back."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from fake_argilla import FakeWorld, killed_at, person, seconds_of
from projects import annot, make_project
from stereotype_projects import TEAM, ask, rate, said_of, share, stereotype_project
from test_forget import holding, home_of, state

from annotation.errors import SourceError
from annotation.lineage.forget import find_forgettable, forget, plan
from annotation.lineage.subject import Home
from annotation.project import Project
from annotation.stereotypes.ratings import rated
from annotation.stereotypes.shared import Shared, shared_waiting, take_shared
from annotation.stereotypes.sheets import add_sheets
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import YES
from annotation.tasks.share.sheet import NAME as SHEETS
from annotation.tasks.share.sheet import Written
from annotation.tasks.stereotype.item import NAME, association_of, item_of
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Association, Item, Person
from sync.pull import pull
from sync.push import push
from sync.reporting.status import report
from sync.team import add_team

OWN, COMMON, OTHERS = "madrugan mucho siempre", "toman mate amargo", "cantan bien de noche"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Eva shared two lines, Fede one of them too and another; people rated all; one association is a file's."""
    project = stereotype_project(tmp_path / "p")
    ask(project, (said_of("Uruguay", "comen temprano", target="UY"), "AR"))
    share(project, "eva_05", "UY", OWN, COMMON)
    share(project, "fede_06", "UY", COMMON, OTHERS)
    take_shared(project)
    for item in project.ledger.items(NAME):
        rate(project, item, dict.fromkeys(TEAM[item.country], Rating(4, 1)))
    count(project.ledger, project.settings)
    return project


def of(project: Project, attribute: str) -> Association:
    return next(found for found in map(association_of, project.ledger.items(NAME)) if found.attribute == attribute)


def forgotten(project: Project, what: str) -> None:
    home = home_of(project)
    forget(home, find_forgettable(home, what))


def known(project: Project) -> set[str]:
    return {one.association.attribute for one in rated(project.ledger, project.settings)}


def test_what_a_person_shared_alone_goes_with_them_and_what_others_share_too_stays(project: Project) -> None:
    own, common = of(project, OWN), of(project, COMMON)
    assert common.author == "eva_05"
    assert holding(project.folder, OWN)
    home = home_of(project)
    meant = plan(home, find_forgettable(home, "eva_05"))
    assert meant.associations == 1
    assert any("1 association that they shared" in line for line in meant.goes())
    assert any("annot push" in line for line in meant.remedies())
    forgotten(project, "eva_05")
    assert holding(project.folder, "eva_05", "Eva Prueba05", OWN) == []
    assert known(project) == {COMMON, OTHERS, "comen temprano"}
    # Who shares it still is its author now: they are not asked about it.
    assert of(project, COMMON) == replace(common, author="fede_06")
    items = [item for item in project.ledger.items(NAME) if item.content["id"] == own.id]
    assert {item.removed for item in items} == {True}
    assert {association_of(item) for item in items} == {
        Association(own.id, "", "", "es", target="UY", source=own.source)
    }
    assert shared_waiting(project) == 0


def test_what_others_took_back_goes_with_who_shares_it_still_and_what_was_read_from_a_file_stays(
    project: Project,
) -> None:
    ask(project, (said_of("chilenos", "toman onces", author="fede_06"), "UY"))
    share(project, "eva_05", "UY")  # fede_06 alone shares COMMON now
    take_shared(project)
    forgotten(project, "fede_06")
    assert holding(project.folder, "fede_06", COMMON) == []
    (stays,) = [item for item in project.ledger.items(NAME) if item.content["attribute"] == "toman onces"]
    assert (stays.removed, "author" in stays.content) == (False, False)


def test_an_association_goes_at_somebodys_word_from_every_place_and_stays_away(project: Project) -> None:
    own, common = of(project, OWN), of(project, COMMON)
    # Somebody wrote it otherwise first: every version of the sheet loses it.
    share(project, "gabi_07", "UY", f"- {COMMON.upper()}.", "duermen la siesta")
    share(project, "gabi_07", "UY", "duermen la siesta")
    content = {"association": common.id, "before": f"Los * {COMMON}", "known": 4.0}
    pair = Item("pair1", "pair_check", 99, "UY", "es", "UY", content)  # of a task that makes something of it
    project.ledger.add_items([pair])
    meant = plan(home_of(project), find_forgettable(home_of(project), common.id))
    assert len(project.ledger.items_about(common.id)) == 3
    assert (meant.kind, meant.items, meant.answers) == ("association", 2, 7)
    forgotten(project, common.id)
    assert holding(project.folder, COMMON, COMMON.upper()) == []
    assert known(project) == {OWN, OTHERS, "comen temprano"}
    (left,) = project.ledger.items(ids=["pair1"])
    assert (left.content, left.removed) == ({"association": common.id, "before": "", "known": 4.0}, True)
    lines = {row["raw"] for row in project.ledger.rows("select raw from responses") if "associations" in row["raw"]}
    assert OWN in str(lines)
    # Neither who shares it again nor a file brings it back.
    share(project, "gabi_07", "UY", COMMON)
    found = take_shared(project)
    assert (found.new, found.items, found.as_json()["left_out"]) == (0, 0, {"forgotten": 1})
    assert project.ledger.add_items([item_of(replace(common, author=""), "BR", 500)]) == 0
    assert own.id in {item.content["id"] for item in project.ledger.items(NAME)}


def test_the_group_that_somebody_named_goes_with_all_that_was_said_of_it(project: Project) -> None:
    share(project, "gabi_07", "", "llegan en tren", "cenan tarde", identity="los de Villa Remota")
    take_shared(project)
    forgotten(project, of(project, "cenan tarde").id)
    assert holding(project.folder, "cenan tarde") == []
    assert holding(project.folder, "Villa Remota") != []  # something is said of them still
    forgotten(project, of(project, "llegan en tren").id)
    assert holding(project.folder, "llegan en tren", "Villa Remota") == []


def test_a_line_goes_that_names_somebody_who_joined_the_team_later(project: Project) -> None:
    share(project, "gabi_07", "UY", "bailan como Luna Quispe y Eva_05")
    take_shared(project)
    named = next(item.content for item in project.ledger.items(NAME) if "bailan" in item.content["attribute"])
    project.ledger.add_people([Person("luna_q_9", "Luna Quispe", "annotator", "UY", ("es",))])
    forgotten(project, named["id"])
    assert holding(project.folder, "bailan como") == []
    assert take_shared(project).new == 0


def test_doing_it_again_changes_nothing(project: Project) -> None:
    common = of(project, COMMON).id
    forgotten(project, common)
    before = [tuple(row) for row in project.ledger.rows("select * from items order by id")]
    said = annot(project, "forget", common, "--yes")
    assert "was forgotten before" in said
    assert [tuple(row) for row in project.ledger.rows("select * from items order by id")] == before
    assert len(project.ledger.rows("select * from forgotten")) == 1


def test_trace_says_where_an_association_came_from_and_who_was_asked_and_not_what_it_says(project: Project) -> None:
    own = of(project, OWN)
    said = annot(project, "trace", own.id)
    assert said.startswith(f"association {own.id}: about UY, es; shared by ")
    assert f"source: {own.source}" in said
    assert said.count("item ") == 2
    assert said.count("judgement ") == 7
    assert OWN not in said + annot(project, "trace", own.id, "--json", "--all")
    assert "eva_05" not in said
    assert annot(project, "trace", own.id[:8]).startswith(f"association {own.id}")
    forgotten(project, own.id)
    assert "forgotten" in annot(project, "trace", own.id).splitlines()[0]


def test_the_command_says_what_it_does_without_the_text(project: Project) -> None:
    common = of(project, COMMON).id
    for words in (("--dry-run",), ("--yes",)):
        said = annot(project, "forget", common, *words)
        assert common in said
        assert COMMON not in said
    assert json.loads(annot(project, "forget", common, "--yes", "--json"))["already"]
    with pytest.raises(SourceError, match="the id of an association"):
        find_forgettable(home_of(project), "nothing")


def test_a_sync_and_a_push_after_it_leave_nothing_on_the_server_but_the_sheet_and_bring_nothing_back(
    tmp_path: Path,
) -> None:
    world, names = FakeWorld(), ["ana", "ben", "eva", "leo"]
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    add_team(project, world.api, [person(name) for name in names])
    add_sheets(project, ["AR"])
    push(world.api, project.ledger, project.settings)
    say(world, project, "ana", CONSENT, YES)
    say(world, project, "ana", SHEETS, Written("share", "", (OWN, COMMON)))
    pull(world.api, project.ledger)
    take_shared(project)
    push(world.api, project.ledger, project.settings)
    for name in names[1:]:
        say(world, project, name, NAME, Rating(4))
    pull(world.api, project.ledger)
    own = of(project, OWN)
    forgotten(project, own.id)
    pulled = pull(world.api, project.ledger, whole=True)
    assert (pulled.new, pulled.edited, pulled.deleted, pulled.texts) == (0, 0, 0, 0)
    assert push(world.api, project.ledger, project.settings).taken == 1
    assert OWN not in json.dumps([row["fields"] for rows in world.api.rows.values() for row in rows])
    # Ana changes her sheet there: what else she writes comes, and the forgotten line does not.
    say(world, project, "ana", SHEETS, Written("share", "", (OWN, COMMON, OTHERS)))
    assert pull(world.api, project.ledger, whole=True).edited == 1
    assert take_shared(project).new == 1
    assert holding(project.folder, OWN) == []
    assert pull(world.api, project.ledger, whole=True).edited == 0
    assert report(project).made[SHEETS] == {"shared lines": 2}
    assert take_shared(project) == Shared(again=2)


def say(world: Any, project: Project, name: str, task: str, value: Any) -> None:
    client = world.annotator_client(name, project.secrets()["passwords"][name])
    items = {item.id: item for item in project.ledger.items(task)}
    for dataset in world.api.datasets():
        for record in world.api.records_of(dataset.id, TASKS[task].label, list(items)):
            client.answer(record["id"], TASKS[task].values(items[record["external_id"]], value))


@pytest.mark.parametrize("what", ["eva_05", OWN])
@pytest.mark.timeout(600)
def test_killed_anywhere_and_run_again_it_is_whole(what: str, project: Project, tmp_path: Path) -> None:
    named = of(project, OWN).id if what == OWN else what
    project.pseudonym("eva_05")  # its key is drawn once, before
    project.ledger.close()
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"

    def work(folder: Path) -> None:
        home = Home.open(folder)
        forget(home, find_forgettable(home, named))

    shutil.copytree(project.folder, undisturbed)
    lasts = seconds_of(lambda: work(undisturbed))
    expected, chance, killed, wanted = state(undisturbed), random.Random(5), 0, kills(4, 60)
    for _ in range(20 * wanted):
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(project.folder, disturbed)
        killed += killed_at(chance.uniform(0, lasts), lambda: work(disturbed))
        work(disturbed)
        assert state(disturbed) == expected
        assert holding(disturbed, OWN) == []
        if killed >= wanted:
            break
    assert killed >= wanted
