"""Control items: made so that their answer is certain, marked by a lead, taken out, forgotten; killed on the way."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from control_projects import careless, controllable, ideal, respond
from fake_argilla import killed_at, seconds_of
from hypothesis import given
from hypothesis import strategies as st
from picture_projects import describe
from projects import annot, make_project

from annotation.backups.make import back_up
from annotation.backups.restore import restore
from annotation.controls.add import add_controls
from annotation.controls.make import KINDS
from annotation.controls.mark import EXPECTED, mark_control, remove_controls
from annotation.controls.overview import count_controls, list_controls
from annotation.controls.sentences import SENTENCES
from annotation.controls.spoil import (
    ALIKE,
    GARBLED,
    MARKED,
    OFF_TOPIC,
    PROMPT_KEEPS,
    garbled,
    in_other_language,
    truncated,
)
from annotation.errors import ProjectError, SettingsError
from annotation.ledger import BORROWED
from annotation.lineage.forget import find_forgettable, forget
from annotation.lineage.subject import Home, find_subject
from annotation.lineage.trace import trace
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.rounds import start_round
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.base import Texts
from annotation.tasks.page import CONTROL, PICTURE, TEXTS_OF
from annotation.tasks.prompt_check.task import Verdict
from annotation.types import Item, Judgement, Prompt

OUR_LANGUAGES = ("es", "pt", "en", "qu")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return controllable(tmp_path / "p")


def side(project: Project) -> list[Item]:
    return [item for item in project.ledger.items(side=True) if not item.removed]


def standing(project: Project) -> list[Item]:
    return [item for item in project.ledger.items() if not item.removed]


# -- spoiling ---------------------------------------------------------------------------------------------


words = st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=12)
texts = st.lists(words, min_size=1, max_size=60).map(" ".join)


@given(texts, st.text(max_size=5))
def test_a_spoiled_text_differs_and_is_still_a_text_or_is_none(text: str, seed: str) -> None:
    spoiled = (garbled(text, seed), truncated(text), truncated(text, PROMPT_KEEPS))
    for one in (*spoiled, in_other_language(text, OUR_LANGUAGES, seed)):
        assert one != text
        one.encode()
        assert "\0" not in one
    assert sorted(garbled(text, seed)) in ([], sorted(text))
    assert garbled(text, seed) == garbled(text, seed)
    for one in filter(None, spoiled[1:]):
        assert text.split()[: len(one.split()) - 1] == one.split()[:-1]
        assert len(one.split()) <= 9


def test_of_a_garbled_text_no_long_word_can_be_read() -> None:
    text = "El preste paga la banda entera, invita a sus vecinos y baila hasta que amanece el lunes siguiente."
    kept = set(garbled(text, "7").replace(",", "").split()) & {word for word in text.split() if len(word) > 4}
    assert not kept


def test_no_language_that_people_here_read_is_another_language() -> None:
    for left in SENTENCES:
        said = in_other_language("x" * 100, [language for language in SENTENCES if language != left], "1")
        assert all(sentence in " ".join(SENTENCES[left]) for sentence in said.split(". "))
    assert in_other_language("x" * 100, SENTENCES, "1") == ""


# -- making -----------------------------------------------------------------------------------------------


def test_every_kind_of_control_item_is_right_for_who_reads_and_wrong_for_who_does_not(project: Project) -> None:
    add_controls(project, 12, task="ranking")
    made = side(project)
    assert {item.content[CONTROL] for item in made} == set(KINDS["ranking"])
    for item in made:
        task = TASKS["ranking"]
        assert task.score(item, ideal(item)) == 1
        assert task.score(item, careless(item)) == 0
        assert task.score(item, Judgement((tuple(item.content["seats"]),))) == float(item.content[CONTROL] == ALIKE)


def test_a_control_item_looks_like_the_slate_whose_place_it_takes(project: Project) -> None:
    work = {item.id: item for item in project.ledger.items()}
    add_controls(project, 6, task="ranking")
    for item in side(project):
        base, task = work[item.parent], TASKS["ranking"]
        before, after = (task.record(one, Texts.of(project.ledger, task, [one]), None) for one in (base, item))
        differing = {name for name in before["fields"] if before["fields"][name] != after["fields"][name]}
        assert len(differing) == 1
        assert differing <= {"A", "B", "C", "D"}
        names = {"topic", "country", "language", "position"}
        assert {n: before["metadata"][n] for n in names} == {n: after["metadata"][n] for n in names}
        assert set(after["metadata"]) - set(before["metadata"]) == {"purpose"}
        assert len(item.id) == len(base.id)
        assert item.content[CONTROL] not in json.dumps(after)


def test_an_answer_that_is_off_topic_comes_from_another_topic(project: Project) -> None:
    add_controls(project, 12, task="ranking")
    borrowed = [item for item in side(project) if item.content[CONTROL] == OFF_TOPIC]
    assert borrowed
    for item in borrowed:
        (other,) = project.ledger.prompts([item.content[BORROWED]])
        assert other.topic != item.topic
        (text,) = item.content[TEXTS_OF].values()
        assert text in {candidate.text for candidate in project.ledger.candidates(other.id)}


def test_nobody_is_asked_about_a_prompt_twice_in_a_task(project: Project) -> None:
    add_controls(project, 6, task="ranking")
    add_controls(project, 4, task="ranking", entry=True)
    made, work = side(project), standing(project)
    assert len(made) == 2 * (6 + 4)
    assert len({item.prompt_id for item in made}) == len(made)
    assert not {item.prompt_id for item in made} & {item.prompt_id for item in work}
    assert len(made) + len(work) == 40


def test_the_last_items_that_nobody_was_sent_give_their_places_first(project: Project) -> None:
    work = [item for item in project.ledger.items("ranking") if item.country == "BO"]
    project.ledger.add_pushes("test", "d", {item.id: f"r-{item.id}" for item in (*work[:10], work[-1])})
    respond(project, work[-2], "bo_1", Judgement(tuple((seat,) for seat in work[-2].content["seats"])))
    added = add_controls(project, 9, country="BO")
    assert {item.parent for item in side(project)} == {item.id for item in (*work[10:-2], work[-1])}
    assert [(place.made, place.missing, place.left) for place in added.places] == [(9, 0, 11)]


def test_a_new_round_closes_no_control_item_and_makes_none_of_what_it_closed(project: Project) -> None:
    add_controls(project, 2, task="ranking")
    add_controls(project, 4, task="ranking", entry=True)
    slate = next(item for item in standing(project) if item.task == "ranking")
    mark_control(project, slate.id, worst="B", reason="one answer is empty")
    there = side(project)
    assert there
    start_round(project.ledger, {}, {})
    assert {item.task for item in standing(project) if item.closed} == {"ranking"}
    assert side(project) == there
    assert not any(item.closed or item.round for item in there)
    with pytest.raises(ProjectError, match="run `annot select`"):
        add_controls(project, 9, task="ranking")


def test_adding_again_adds_what_is_missing(project: Project) -> None:
    first = add_controls(project, 4)
    assert [place.made for place in first.places] == [4, 4]
    before = side(project)
    assert [place.made for place in add_controls(project, 4).places] == [0, 0]
    assert side(project) == before
    assert [(place.there, place.made) for place in add_controls(project, 5).places] == [(4, 1), (4, 1)]


def test_a_projects_seed_decides_what_is_made(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        project = controllable(tmp_path / name)
        add_controls(project, 6)
        made.append([(item.id, item.content, item.expected) for item in side(project)])
    assert made[0] == made[1]


def test_a_dry_run_says_the_same_and_writes_nothing(project: Project) -> None:
    would = add_controls(project, 6, dry_run=True)
    assert not side(project)
    assert len(standing(project)) == 40
    assert would.places == add_controls(project, 6).places


def test_too_few_items_are_said_and_so_is_a_quota_that_cannot_be_met_any_more(tmp_path: Path) -> None:
    project = controllable(tmp_path / "p", 8, target=3)
    added = add_controls(project, 3, country="MX")
    assert [(place.made, place.missing, place.left) for place in added.places] == [(3, 0, 1)]
    (note,) = added.notes
    assert note.startswith("MX: 1 slate of 4 left for the work, and the quota asks for 3; add prompts")
    assert [place.missing for place in add_controls(project, 9, country="MX").places] == [5]


@pytest.mark.parametrize("target", [4, 30])
@pytest.mark.parametrize("dry_run", [True, False])
def test_it_is_said_where_little_is_left_for_the_work_whatever_the_target_was(
    tmp_path: Path, target: int, dry_run: bool
) -> None:
    project = controllable(tmp_path / "p", 40, target=target)
    few = add_controls(project, 4, country="BO", dry_run=dry_run)
    assert bool(few.notes) == (target == 30)
    many = add_controls(project, 16, country="MX", dry_run=dry_run, entry=True)
    assert [note.startswith("MX: 4 slates of 20 left for the work") for note in many.notes] == [True]


def test_a_spoiled_prompt_must_not_be_accepted(tmp_path: Path) -> None:
    project = controllable(tmp_path / "p", checks=True)
    add_controls(project, 4, task="prompt_check")
    made = side(project)
    assert len(made) == 8
    task = TASKS["prompt_check"]
    for item in made:
        shown = task.record(item, Texts.of(project.ledger, task, [item]), None)["fields"]["prompt"]
        (prompt,) = project.ledger.prompts([item.prompt_id])
        assert shown != prompt.text
        assert task.score(item, Verdict("unrelated")) == 1
        assert task.score(item, Verdict("knowledge")) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "duel"}, "Nobody knows"),
        ({"entry": True}, "whole tries of 4"),
        ({"country": "PE"}, "none of the project's; it has BO, MX"),
    ],
)
def test_what_cannot_be_made_is_refused(project: Project, given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        add_controls(project, 3, **given)


def test_without_items_there_is_nothing_to_make_one_of(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="annot select"):
        add_controls(controllable(tmp_path / "p", 0), 3)


# -- marking and taking out -------------------------------------------------------------------------------


def test_a_lead_marks_a_slate_by_its_letters(project: Project) -> None:
    item = project.ledger.items("ranking")[0]
    a, b, c, d = item.content["seats"]
    marked = mark_control(project, item.id, worst="B", tied=["A", "C"], reason="B is a shopping list")
    (control,) = side(project)
    assert (control.id, control.parent, control.content[CONTROL]) == (marked.id, item.id, MARKED)
    score = TASKS["ranking"].score
    assert score(control, Judgement(((d,), (a, c), (b,)))) == 1
    assert score(control, Judgement(((a, c), (b, d)))) == 3 / 4
    assert item.id not in {one.id for one in standing(project)}
    for name, said in ((control.id, "already"), (item.id, f"already, {control.id}")):
        with pytest.raises(SettingsError, match=rf"{name} is a control item {said}\."):
            mark_control(project, name, worst="B", reason="again")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "letters are A, B, C, D"),
        ({"worst": "E"}, "letters are A, B, C, D"),
        ({"worst": "A", "tied": ["A", "B"]}, "each once"),
        ({"tied": ["A"]}, "names one answer"),
        ({"worst": "A", "reason": " "}, "--reason"),
        ({"expected": {"accepted": "no"}}, "letters are A, B, C, D"),
    ],
)
def test_what_is_no_certain_answer_is_refused(project: Project, given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        mark_control(project, project.ledger.items("ranking")[0].id, **{"reason": "sure", **given})
    assert not side(project)


def test_nothing_that_people_answered_this_week_is_marked(project: Project) -> None:
    old, new = project.ledger.items("ranking")[:2]
    for item, days in ((old, 8), (new, 6)):
        value = Judgement(tuple((seat,) for seat in item.content["seats"]))
        respond(project, item, "bo_1", value, (datetime.now(UTC) - timedelta(days=days)).isoformat())
    with pytest.raises(SettingsError, match="1 person has answered it in the last 7 days"):
        mark_control(project, new.id, worst="B", reason="sure")
    assert mark_control(project, old.id, worst="B", reason="sure").answers == 1


@pytest.mark.parametrize("task", EXPECTED)
def test_of_other_tasks_what_is_known_is_named_and_scored(project: Project, task: str) -> None:
    name, options = next(iter(EXPECTED[task].items()))
    item = Item("x1", task, 0, "BO", "es", "", {"question": "", "options": []})
    project.ledger.add_items([item])
    with pytest.raises(SettingsError, match=f"{name}="):
        mark_control(project, "x1", expected={name: "perhaps"}, reason="sure")
    mark_control(project, "x1", expected={name: next(iter(options))}, reason="sure")
    assert side(project)[0].expected == {name: next(iter(options.values()))}


def test_of_a_stereotype_nobody_knows_the_answer(project: Project) -> None:
    project.ledger.add_items([Item("s1", "stereotype", 0, "BO", "es", "", {"id": "a1"})])
    with pytest.raises(SettingsError, match="nobody knows"):
        mark_control(project, "s1", expected={"known": "5"}, reason="sure")


def test_a_control_item_that_is_taken_out_gives_its_place_back_unless_somebody_answered_it(project: Project) -> None:
    add_controls(project, 2, country="BO")
    kept, answered = side(project)
    respond(project, answered, "bo_1", ideal(answered))
    assert [key[-1] for key in count(project.ledger, project.settings) if key[0] == "control"] == [1]
    found = remove_controls(project, [kept.id, answered.id])
    assert (found.removed, found.back) == (2, 1)
    assert not side(project)
    assert {item.id for item in project.ledger.items() if item.removed} == {answered.parent}
    assert not [key for key in count(project.ledger, project.settings) if key[0] == "control"]
    with pytest.raises(SettingsError, match="no control item"):
        remove_controls(project, [kept.id])
    add_controls(project, 2, country="BO")
    assert not {item.prompt_id for item in side(project)} & {kept.prompt_id, answered.prompt_id}


def test_the_list_says_first_what_most_people_get_wrong(project: Project) -> None:
    add_controls(project, 12, country="BO")
    bad = next(item for item in reversed(side(project)) if item.content[CONTROL] == GARBLED)
    for who in ("bo_1", "bo_2"):
        for item in side(project):
            respond(project, item, who, careless(item) if item == bad else ideal(item))
    found = list_controls(project.ledger)
    of_kind = [known for known in found if known.kind == GARBLED]
    assert (of_kind[0].item, of_kind[0].right, of_kind[0].answers) == (bad, 0, 2)
    (row,) = [row for row in count_controls(found) if row[3] == GARBLED]
    assert row == ("ranking", "BO", "control", GARBLED, len(of_kind), 2 * len(of_kind), row[-1])
    assert row[-1] == f"{1 - 1 / len(of_kind):.0%}"


# -- lineage ----------------------------------------------------------------------------------------------


def test_a_removed_prompt_takes_its_control_item_along(project: Project) -> None:
    add_controls(project, 2, country="BO")
    item = side(project)[0]
    respond(project, item, "bo_1", ideal(item))
    assert [key for key in count(project.ledger, project.settings) if key[0] == "control"]
    change_prompts(project, Which(ids=(item.prompt_id,)), {"removed": True})
    assert item.id not in {one.id for one in side(project)}
    assert not [key for key in count(project.ledger, project.settings) if key[0] == "control"]


def home_of(project: Project) -> Home:
    return Home.open(project.folder)


def bytes_of(project: Project) -> bytes:
    with closing(sqlite3.connect(project.folder / "ledger.sqlite")) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return b"".join(path.read_bytes() for path in sorted(project.folder.rglob("*")) if path.is_file())


def test_with_a_forgotten_prompt_go_the_texts_of_its_control_item_and_its_answer_on_anothers(project: Project) -> None:
    add_controls(project, 12, country="BO", task="ranking")
    off_topic = next(item for item in side(project) if item.content[CONTROL] == OFF_TOPIC)
    own = next(item for item in side(project) if item.content[CONTROL] == GARBLED)
    own_words = Judgement(ideal(off_topic).tiers, rewrite="Mi propia respuesta tuya")
    respond(project, off_topic, "bo_1", own_words)
    for item, prompt in ((own, own.prompt_id), (off_topic, off_topic.content[BORROWED])):
        (text,) = item.content[TEXTS_OF].values()
        assert text.encode() in bytes_of(project)
        home = home_of(project)
        forget(home, find_forgettable(home, f"prompt:{prompt}"))
        assert text.encode() not in bytes_of(project)
        assert item.id not in {one.id for one in side(project)}
    respond(project, off_topic, "bo_1", own_words)  # the server, where the record still stands, tells it again
    assert b"Mi propia respuesta tuya" not in bytes_of(project)
    (host,) = project.ledger.prompts([off_topic.prompt_id])
    assert host.text
    assert not host.removed


def test_of_a_forgotten_person_no_answer_to_a_control_item_is_kept(project: Project) -> None:
    add_controls(project, 2, country="BO")
    item = side(project)[0]
    respond(project, item, "bo_1", Judgement(ideal(item).tiers, rewrite="Mi propia respuesta tuya"))
    project.ledger.add_people([person for person in project.ledger.people() if person.username != "bo_1"])
    with project.ledger.transaction() as db:
        db.execute("update people set active = 0 where username = 'bo_1'")
    home = home_of(project)
    forget(home, find_forgettable(home, "bo_1"))
    assert b"Mi propia respuesta tuya" not in bytes_of(project)
    assert not [key for key in count(project.ledger, project.settings) if key[0] == "control"]


def test_a_trace_names_control_items(project: Project) -> None:
    add_controls(project, 2, country="BO")
    item = side(project)[0]
    respond(project, item, "bo_1", ideal(item))
    home = home_of(project)

    def told(what: str) -> str:
        return json.dumps(trace(home, find_subject(home, what)).as_json(), ensure_ascii=False)

    assert f"asked for control ({item.content[CONTROL]})" in told(item.id)
    assert "made for this item" in told(item.id)
    assert f"the control item {item.id} was made of it" in told(item.parent)
    assert item.id in told(item.prompt_id)
    assert "control, which is no work" in told("bo_1")


# -- kill -9, and the commands ----------------------------------------------------------------------------


def state(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        queries = (
            "select id, task, prompt_id, content, purpose, expected, parent from side_items order by id",
            "select item_id, removed from item_changes order by item_id",
        )
        return [repr(row) for query in queries for row in db.execute(query)]


@pytest.mark.timeout(600)
def test_killed_anywhere_and_run_again_it_is_whole(tmp_path: Path) -> None:
    fresh, undisturbed, disturbed = tmp_path / "fresh", tmp_path / "undisturbed", tmp_path / "disturbed"
    controllable(fresh, 200).ledger.close()

    def work(folder: Path) -> None:
        add_controls(Project.open(folder), 40)

    shutil.copytree(fresh, undisturbed)
    lasts = seconds_of(lambda: work(undisturbed))
    expected = state(undisturbed)
    assert len(expected) == 2 * 80
    chance, killed, wanted = random.Random(5), 0, kills(6, 60)
    for _ in range(20 * wanted):
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(fresh, disturbed)
        killed += killed_at(chance.uniform(0, lasts), lambda: work(disturbed))
        assert state(disturbed) in ([], expected)
        work(disturbed)
        assert state(disturbed) == expected
        if killed >= wanted:
            break
    assert killed >= wanted


def test_the_commands_make_mark_list_and_take_out(project: Project) -> None:
    assert "6 control items would be made" in annot(project, "controls", "add", "3", "--dry-run")
    added = json.loads(annot(project, "controls", "add", "3", "--country", "bo", "--json"))
    assert [(place["country"], place["made"]) for place in added["places"]] == [("BO", 3)]
    item = next(item for item in project.ledger.items("ranking") if item.country == "MX")
    told = annot(project, "controls", "mark", f"item:{item.id}", "--worst", "b", "--reason", "B is cut off")
    assert f"{item.id} is the control item" in told
    listed = json.loads(annot(project, "controls", "list", "--show", "--json"))
    assert sum(row["items"] for row in listed["controls"]) == len(listed["each"]) == 4
    assert ["reason", "B is cut off"] in listed["each"][-1]["texts"]
    shown = annot(project, "controls", "list", "--show")
    assert "expected: B below the others" in shown
    assert ": no answer yet\n" in shown
    first = listed["each"][0]["id"]
    assert "1 control item taken out; 1 item is work again" in annot(project, "controls", "remove", first)
    assert first not in annot(project, "controls", "list", "--each")


def test_a_prompt_that_is_forgotten_gets_no_control_item(project: Project) -> None:
    prompt = Prompt.make("¿Qué se olvida para siempre?", country="BO", language="es", topic="comida")
    project.ledger.add_prompts([prompt])
    home = home_of(project)
    forget(home, find_forgettable(home, f"prompt:{prompt.id}"))
    item = Item("c1", "ranking", 0, "BO", "es", "comida", {"seats": []}, prompt.id, "control")
    assert project.ledger.add_items([item]) == 0


def test_a_backup_brings_control_items_back_with_their_answers(project: Project, tmp_path: Path) -> None:
    add_controls(project, 4, country="BO")
    add_controls(project, 4, country="BO", entry=True)
    for item in side(project):
        respond(project, item, "bo_1", ideal(item))
    archive = Path(back_up(project, tmp_path / "copy.annot").path)
    restore(archive, tmp_path / "again")
    again = Project.open(tmp_path / "again")
    assert side(again) == side(project)
    assert count(again.ledger, again.settings) == count(project.ledger, project.settings)


def test_of_a_picture_one_description_is_spoiled_and_the_picture_stays(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    describe(project, 6, ())
    place, *_ = add_controls(project, 6, task="description").places
    assert place.made == len(side(project)) > 0
    for item in side(project):
        task, base = TASKS["description"], project.ledger.items(ids=[item.parent])[0]
        before, after = (
            task.record(one, Texts.of(project.ledger, task, [one]), None)["fields"] for one in (base, item)
        )
        assert before[PICTURE] == after[PICTURE]
        assert len([name for name in before if before[name] != after[name]]) == 1
        assert task.score(item, ideal(item)) == 1
        assert task.score(item, careless(item)) == 0
