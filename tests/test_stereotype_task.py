"""Stereotypes are rated and shared on pages of Argilla: the two tasks, and what leaves the project of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_argilla import World, person
from hypothesis import given
from hypothesis import strategies as st
from projects import annot, make_project
from stereotype_projects import ask, people_of, rate, said_of, share, sheet, stereotype_project

from annotation.agreement_by_country import agreement_by_country
from annotation.config import check_settings
from annotation.files import read_parquet
from annotation.project import Project
from annotation.stereotypes.ratings import rated
from annotation.stereotypes.sheets import add_sheets
from annotation.tables import export
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import YES
from annotation.tasks.page import AUTHOR, LANGUAGES, TeamPage
from annotation.tasks.share import texts as share_texts
from annotation.tasks.share.sheet import KINDS, NOTHING, SHARE, Written, sheet_of
from annotation.tasks.share.sheet import NAME as SHEETS
from annotation.tasks.stereotype import texts as rating_texts
from annotation.tasks.stereotype.item import NAME, item_of
from annotation.tasks.stereotype.rating import HERE, KNOWN, OTHERS, SCALE, Rating
from annotation.types import Item
from sync.cycle import sync_once
from sync.push import push
from sync.reporting.status import report
from sync.team import add_team

RATE, WRITE = TASKS[NAME], TASKS[SHEETS]
SETTINGS = check_settings({}, place="test")
MATE = item_of(said_of("Argentina", "toman <b>mate</b>", target="AR"), "UY", 3)
FRAMED = item_of(said_of("porteños", "", frame="Los * llegan tarde.", target="AR"), "UY", 4)
OF_AR, OF_ANY = sheet_of("UY", "es", "AR", 1, 0), sheet_of("UY", "es", "", 1, 1)


# -- the tasks themselves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("task", "texts"), [(RATE, rating_texts.TEXTS), (WRITE, share_texts.TEXTS)])
def test_the_page_warns_and_has_a_way_out_in_the_teams_language(language: str, task: Any, texts: Any) -> None:
    form = task.form(TeamPage(language), SETTINGS)
    assert set(texts[language]) == set(texts["en"])
    first = form.questions[0]
    assert first.required
    assert [*first.options][-2:] == ["skip", "stop"]
    assert (form.guard.question, form.guard.stop, form.guard.most_a_day) == (first.name, "stop", 40)
    assert task.sensitive
    assert form.vector is None
    assert 500 < len(form.guidelines) < 3_500
    assert texts[language]["stop"].rstrip(".") in form.guidelines  # said there as it stands on the page
    assert not any(question.required for question in form.questions[1:])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_record_says_that_knowing_is_not_believing(language: str) -> None:
    item = item_of(replace(said_of("Argentina", "toman mate"), language=language), "BR", 0)
    note = RATE.record(item, Texts({}, {}), None)["fields"]["note"]
    assert {"es": "verdad", "pt": "verdade", "en": "true"}[language] in note
    assert ("Brazil" if language == "en" else "Brasil") in note


def test_a_record_shows_group_and_association_or_the_sentence_as_typed() -> None:
    fields = RATE.record(MATE, Texts({}, {}), None)["fields"]
    assert {name: fields[name] for name in fields if name != "note"} == {
        "group": "Argentina",
        "association": "toman &lt;b&gt;mate&lt;/b&gt;",
    }
    made = RATE.record(FRAMED, Texts({}, {}), None)
    assert made["fields"]["sentence"] == "Los porteños llegan tarde."
    assert set(made["fields"]) == {"note", "sentence"}
    assert made["metadata"]["topic"] == "AR"
    shared = item_of(said_of("Argentina", "cantan bien", author="eva_05"), "UY", 0)
    assert RATE.record(shared, Texts({}, {}), None)["metadata"]["author"] == "eva_05"
    assert "author" in {one.name for one in RATE.form(TeamPage("es"), SETTINGS).metadata}


def test_a_sheet_names_the_country_or_leaves_the_group_to_the_person() -> None:
    assert WRITE.record(OF_AR, Texts({}, {}), None)["fields"] == {"group": "Personas de Argentina"}
    assert WRITE.record(OF_ANY, Texts({}, {}), None)["fields"]["group"].startswith("Un grupo")
    assert "author" not in WRITE.record(OF_AR, Texts({}, {}), None)["metadata"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "nothing was chosen"),
        ({"known": "6"}, "unknown rating: 6"),
        ({"known": 3}, "unknown rating: 3"),
        ({"known": "3", "offensive": 0}, "unknown rating: 0"),
        ({"known": "3", "offensive": True}, "unknown rating: True"),
        ({"known": "3", "about": "us"}, "unknown group: us"),
    ],
)
def test_ratings_that_the_page_does_not_offer_are_unfit(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=f"^{reason}$"):
        RATE.read(MATE, values)


def test_a_skip_is_no_rating_and_stop_says_nothing() -> None:
    assert RATE.read(MATE, {"known": "skip", "offensive": 5, "about": HERE}) == Rating(about=HERE)
    assert RATE.read(MATE, {"known": "stop", "offensive": 5, "about": HERE}) == Rating(stop=True)
    assert RATE.read(MATE, {"known": "1", "offensive": None, "about": None}) == Rating(1)
    assert RATE.units(MATE, Rating(1)) == {"known": 1}
    assert RATE.units(MATE, Rating()) == RATE.units(MATE, Rating(stop=True)) == {}
    control = replace(MATE, expected={"known": 1})
    assert [RATE.score(control, rating) for rating in (Rating(1), Rating(3), Rating(5), Rating())] == [1, 0.5, 0, 0]


ratings = st.one_of(
    st.builds(Rating, st.sampled_from(SCALE), st.none() | st.sampled_from(SCALE), st.sampled_from(["", HERE, OTHERS])),
    st.builds(Rating, about=st.sampled_from(["", HERE, OTHERS])),
    st.just(Rating(stop=True)),
)


@given(ratings)
def test_what_is_rated_is_read_back(rating: Rating) -> None:
    told = json.loads(json.dumps(RATE.values(MATE, rating)))
    assert told["known"]["value"] in KNOWN
    assert RATE.read(MATE, {name: one["value"] for name, one in told.items()}) == rating


line = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="&<>⟨⟩"), min_size=1, max_size=9)


@given(st.sampled_from([OF_AR, OF_ANY]), st.sampled_from(KINDS), line, st.lists(line, min_size=1, max_size=12))
def test_what_is_shared_is_read_back(item: Item, kind: str, identity: str, lines: list[str]) -> None:
    identity = "" if item is OF_AR else identity
    written = Written(SHARE, identity, tuple(lines)) if kind == SHARE else Written(kind)
    told = WRITE.values(item, written)
    assert WRITE.read(item, {name: one["value"] for name, one in told.items()}) == written


def test_a_sheet_without_lines_or_without_its_group_is_unfit_and_nothing_is_an_answer() -> None:
    with pytest.raises(Unfit, match="nothing was written"):
        WRITE.read(OF_AR, {"share": SHARE, "associations": " \n "})
    with pytest.raises(Unfit, match="no group was named"):
        WRITE.read(OF_ANY, {"share": SHARE, "associations": "toman mate"})
    assert WRITE.read(OF_ANY, {"share": NOTHING, "associations": "toman mate"}) == Written(NOTHING)
    assert WRITE.read(OF_AR, {"share": SHARE, "identity": "otros", "associations": "toman mate"}).identity == "otros"


# -- making sheets ------------------------------------------------------------------------------------------


def test_sheets_are_made_once_for_each_country_and_group_and_more_asks_again(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    assert add_sheets(project, dry_run=True).made == 6
    assert project.ledger.items(SHEETS) == []
    assert add_sheets(project).made == 6  # AR, UY and any group, in AR and in UY
    again = add_sheets(project)
    assert (again.made, again.there) == (0, 6)
    assert (add_sheets(project, more=True).made, add_sheets(project).made) == (6, 0)
    assert add_sheets(project, ["Brasil"], ["BR"]).made == 1
    (own,) = (item for item in project.ledger.items(SHEETS) if item.country == "BR")
    assert (own.language, own.topic, own.content) == ("pt", "BR", {"target": "BR", "time": 1})
    assert [item.position for item in project.ledger.items(SHEETS)] == list(range(13))


def test_the_command_makes_sheets_and_says_what_comes_next(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    said = annot(project, "stereotypes", "share", "--about", "AR", "--about", "any", "--for", "UY")
    assert said.startswith("2 sheets made for people of UY.\nNext: annot push")
    assert (
        json.loads(annot(project, "stereotypes", "share", "--json"))["made"] == 4
    )  # AR about AR, UY and any; UY about UY
    assert "6 there already" in annot(project, "stereotypes", "share", "--dry-run")


# -- the whole way ------------------------------------------------------------------------------------------


def renamed(project: Project, name: str) -> Project:
    """The project with datasets of its own on a server that several tests share."""
    tables = {
        task: getattr(project.settings.task, task).model_copy(update={"dataset": f"{task} {name}"})
        for task in (NAME, SHEETS, CONSENT)
    }
    task = project.settings.task.model_copy(update=tables)
    return Project(project.folder, project.settings.model_copy(update={"task": task}))


def test_people_who_consented_rate_what_is_not_their_own(world: World, tmp_path: Path) -> None:
    names = [f"{name}-{tmp_path.name[-8:]}".replace("_", "") for name in ("ana", "ben", "eva", "leo")]
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    add_team(project, world.api, [person(name) for name in names])
    own = said_of("Argentina", "cantan bien", target="AR", author=names[0], source="shared 00:1")
    ask(project, (said_of("Argentina", "toman mate", target="AR"), "MX"), (own, "MX"))
    add_sheets(project, ["AR"])
    project = renamed(project, tmp_path.name)
    tasks = [CONSENT, SHEETS, NAME]
    assert push(world.api, project.ledger, project.settings, tasks=tasks).sent == {"mx": 4}
    assert push(world.api, project.ledger, project.settings, tasks=tasks).sent == {}
    for name in names:
        say(world, project, name, {CONSENT: YES, SHEETS: Written(SHARE, "", ("toman mate", "llegan tarde"))})
        say(world, project, name, {NAME: Rating(4, 1) if name != names[3] else Rating()})
    synced = sync_once(project, world.api, whole=True)
    assert synced.report.made[NAME] == {"ratings": 5, "skips": 2}
    assert synced.report.made[SHEETS] == {"shared lines": 8}
    assert synced.report.shared == 2
    assert project.ledger.changed_texts() == {}
    (one,) = rated(project.ledger, project.settings)
    assert (one.association.attribute, one.known, one.in_group) == ("toman mate", (0, 0, 0, 3, 0), False)

    # Taken out: shown to nobody any more, although somebody has answered.
    (item,) = (item for item in project.ledger.items(NAME) if item.content["attribute"] == "toman mate")
    project.ledger.remove_items([item.id])
    assert push(world.api, project.ledger, project.settings, tasks=tasks).taken == 1
    found = sync_once(project, world.api, whole=True)
    assert found.report.made[NAME] == {"ratings": 2, "skips": 1}
    assert found.report.unfit["it was removed"] == 4
    assert (found.pulled.deleted, found.pulled.missing) == (0, 0)
    # Put back: asked again, and what was said counts.
    assert project.ledger.remove_items([item.id], removed=False) == 1
    assert push(world.api, project.ledger, project.settings, tasks=tasks).sent == {"mx": 1}
    assert sync_once(project, world.api, whole=True).report.made[NAME] == {"ratings": 5, "skips": 2}


def say(world: World, project: Project, name: str, said: dict[str, Any]) -> None:
    """Somebody says the same of every item of a task."""
    client = world.annotator_client(name, project.secrets()["passwords"][name])
    for task, value in said.items():
        items = {item.id: item for item in project.ledger.items(task)}
        wanted = getattr(project.settings.task, task).dataset
        (dataset,) = [one for one in world.api.datasets() if one.name == wanted]
        for record in world.api.records_of(dataset.id, TASKS[task].label, list(items)):
            if items[record["external_id"]].content.get(AUTHOR) == name:
                continue  # nobody is asked about their own
            client.answer(record["id"], TASKS[task].values(items[record["external_id"]], value))


# -- what leaves the project --------------------------------------------------------------------------------


def test_an_export_leaves_out_what_may_hurt_and_names_the_command(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    (item,) = ask(project, (said_of("Argentina", "toman mate", target="AR"), "AR"))
    rate(project, item, dict.fromkeys(people_of("AR", 3), Rating(4, 1)))
    share(project, "eva_05", "AR", "llegan tarde")
    done = export(project, tmp_path / "out")
    assert done.left_out == {NAME: 3, SHEETS: 1}
    for path in sorted((tmp_path / "out").iterdir()):
        told = json.dumps(read_parquet(path)) if path.suffix == ".parquet" else path.read_text()
        assert "mate" not in told
        assert "tarde" not in told
    said = annot(project, "export", "--to", str(tmp_path / "again"))
    assert "Left out: answers about texts that may hurt (share stereotypes 1, rate stereotypes 3)" in said
    assert "annot stereotypes export" in said


def test_status_measures_no_agreement_where_own_group_and_others_would_mix(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    one = said_of("Argentina", "toman mate", target="AR")
    here, there = ask(project, (one, "AR"), (one, "UY"))
    rate(project, here, dict.fromkeys(people_of("AR", 3), Rating(4)))
    rate(project, there, dict.fromkeys(people_of("UY", 3), Rating(2)))
    share(project, "eva_05", "AR", "llegan tarde")
    counts = count(project.ledger, project.settings)
    assert set(agreement_by_country(project, counts)) == {"ranking"}


def test_who_skips_often_is_not_called_careless(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    items = ask(project, *((said_of("Argentina", f"toman mate {n}", target="AR"), "AR") for n in range(12)))
    for number, item in enumerate(items):
        rate(project, item, {"ana_01": Rating(), "beto_02": Rating(), "caro_03": Rating(1 + number % 5)})
    assert report(project).doubts == ()


def test_status_of_a_project_of_stereotypes_alone_asks_for_no_prompts(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p")
    sheet(project, "AR", "UY")
    assert "annot prompts add" not in annot(project, "status").rpartition("Next:")[2]
