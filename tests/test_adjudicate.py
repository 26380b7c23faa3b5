"""What people do not see alike goes to an adjudicator once, without names; the decision is one more answer."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from campaigns import kills
from fake_argilla import RealWorld, World, killed_at, person, ranking_of, some_project
from projects import fill, make_project
from typer.testing import CliRunner

from annotation.adjudicate import adjudication_sentences, cases, contested, queue
from annotation.cli import app
from annotation.errors import SettingsError
from annotation.ledger import Response
from annotation.project import Project
from annotation.tables import export, read_tables
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.adjudication import SAID, adjudicators
from annotation.tasks.answers import answered_items
from annotation.tasks.page import as_typed
from annotation.types import Item, Person, Prompt
from sync.argilla.client import ArgillaClient
from sync.argilla.paging import walk
from sync.argilla.protocol import Dataset
from sync.pull import pull
from sync.push import push
from sync.team import add_team

MEXICO = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 2\noverlap = 3\n'
SPLIT = ("1234", "4321", "1111")
"""Three people who do not see any two answers alike."""


def say(
    project: Project, item_id: str, who: str, values: Mapping[str, Any], *, at: int = 1, country: str = "MX"
) -> None:
    """A submitted response as a pull keeps it."""
    moment = f"2026-01-01T00:00:{at:02}.000000+00:00"
    raw = {"id": f"{item_id}-{who}", "record_id": item_id, "user_id": who, "values": dict(values)}
    response = Response(f"{item_id}-{who}", item_id, who, country, "submitted", moment, json.dumps(raw))
    project.ledger.add_responses("test", [response])


def split_project(folder: Path, orders: tuple[str, ...] = SPLIT, slates: int = 2, settings: str = MEXICO) -> Project:
    """Slates that ana, beto and caro rank so; dora adjudicates."""
    project = make_project(folder, settings)
    fill(project, slates, ())
    project.ledger.add_people(
        [
            *(Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "beto", "caro")),
            Person("dora", "Dora Robledo", "adjudicator", "MX", ("es",)),
        ]
    )
    for item in project.ledger.items("ranking"):
        for name, order in zip(("ana", "beto", "caro"), orders, strict=False):
            say(project, item.id, name, ranking_of(order))
    return project


def side(project: Project) -> dict[str, Item]:
    """Item id -> the item by which it is decided."""
    return {item.parent: item for item in project.ledger.items(side=True)}


def preferences(project: Project) -> list[Mapping[str, Any]]:
    (tables,) = read_tables(project, "ranking")
    return list(tables["preferences.parquet"].rows)


# -- what is queued -------------------------------------------------------------------------------------


def test_what_is_contested_is_queued_once_and_never_again(tmp_path: Path) -> None:
    project = split_project(tmp_path)
    assert [one.why for one in contested(project.ledger, project.settings)] == ["contested"] * 2
    assert queue(project).fresh == {("ranking", "MX"): 2}
    before = project.ledger.items(side=True)
    again = queue(project)
    assert (again.fresh, again.standing) == ({}, 2)
    say(project, side(project)["slate0"].id, "dora", ranking_of("1234"), at=2)
    for name in ("ana", "beto", "caro"):  # they contradict each other in another way now
        say(project, "slate0", name, ranking_of({"ana": "2143", "beto": "3412", "caro": "2222"}[name]), at=3)
    assert queue(project).fresh == {}
    assert project.ledger.items(side=True) == before
    # Of those who agree now the one that was queued stays.
    for name in ("ana", "beto", "caro"):
        say(project, "slate1", name, ranking_of("1234"), at=4)
    (gone,) = [case for case in cases(project) if case.item_id == "slate1"]
    assert (gone.state, gone.reasons) == ("waiting", ())


def test_no_work_and_no_quota_hears_of_what_is_queued(tmp_path: Path) -> None:
    project = split_project(tmp_path)
    words = ("item", "person", "team")
    before = {key: n for key, n in count(project.ledger, project.settings).items() if key[0] in words}
    queue(project)
    say(project, side(project)["slate0"].id, "dora", ranking_of("1234"))
    after = count(project.ledger, project.settings)
    assert {key: n for key, n in after.items() if key[0] in words} == before
    assert after["adjudication", "ranking", "MX", "decided"] == after["adjudication", "ranking", "MX", "waiting"] == 1
    assert not any(key[0] == "units" and "dora" in str(key) for key in after)


def test_nothing_of_what_people_said_tells_who_did(tmp_path: Path) -> None:
    project = split_project(tmp_path, ())
    typed = "Zeta: <img src=x onerror=alert(1)>\nBeto Robles dijo; ana@example.org"
    own = {
        "ana": ranking_of("1234", rewrite=typed, acceptable="none"),
        "beto": ranking_of("4321", rewrite="Alfa", acceptable="none"),
        "caro": ranking_of("1111", problems=["B:stereotype"]),
    }
    project.ledger.add_people([Person("beto", "Beto Robles", "annotator", "MX", ("es",))])
    for name, values in own.items():
        say(project, "slate0", name, values)
    queue(project)
    item = side(project)["slate0"]
    said = item.content[SAID]
    assert "Respondieron: 3" in said
    assert "· A mejor que B: 1 · B mejor que A: 1 · iguales: 1" in said
    assert "· B: estereotipo: 1" in said
    assert "· Ninguna es aceptable: 2" in said
    assert said.index("«Alfa»") < said.index("«Zeta")  # as the alphabet has them
    assert not any(secret in said for secret in ("ana", "beto", "Beto", "Robles", "caro", "example.org"))
    from annotation.tasks.adjudication import adjudication_record
    from annotation.tasks.base import Texts

    task = TASKS["ranking"]
    record = adjudication_record(task, item, Texts.of(project.ledger, task, [item]))
    assert record["fields"][SAID] == as_typed(said)
    assert "<img" not in record["fields"][SAID]
    assert record["metadata"]["purpose"] == "adjudication"
    assert not any(name in json.dumps(record) for name in own)


def test_the_order_in_which_people_answered_changes_nothing_that_is_shown(tmp_path: Path) -> None:
    texts = []
    for number, order in enumerate((("ana", "beto", "caro"), ("caro", "ana", "beto"))):
        project = split_project(tmp_path / str(number), (), slates=1)
        for at, name in enumerate(order):
            values = ranking_of(SPLIT[("ana", "beto", "caro").index(name)], rewrite=f"así {len(name)} {name[-1]}")
            say(project, "slate0", name, values, at=at)
        queue(project)
        texts.append(side(project)["slate0"].content[SAID])
    assert texts[0] == texts[1]


def test_the_most_pressing_comes_first_and_a_limit_leaves_the_rest(tmp_path: Path) -> None:
    project = split_project(tmp_path, slates=3)
    say(project, "slate2", "ana", ranking_of("1234", problems=["A:offensive"]), at=2)
    found = queue(project, limit=1)
    assert (found.fresh, found.later) == ({("ranking", "MX"): 1}, 2)
    assert list(side(project)) == ["slate2"]
    assert queue(project).fresh == {("ranking", "MX"): 2}
    assert queue(project, country="AR").fresh == queue(project, tasks=["exam"]).fresh == {}


# -- who decides ----------------------------------------------------------------------------------------


def test_who_has_the_role_decides_and_where_nobody_has_it_an_admin_does() -> None:
    people = [
        Person("dora", "", "adjudicator", "MX", ("es",)),
        Person("lena", "", "admin", "MX", ("es",)),
        Person("otto", "", "admin", "AR", ("es",)),
        Person("gone", "", "adjudicator", "AR", ("es",), active=False),
        Person("ana", "", "annotator", "MX", ("es",)),
    ]
    assert adjudicators(people, "MX") == ["dora"]
    assert adjudicators(people, "AR") == ["otto"]
    assert adjudicators(people, "BO") == []


def test_an_item_that_its_only_adjudicator_answered_waits_for_another(tmp_path: Path) -> None:
    project = split_project(tmp_path, slates=1)
    project.ledger.add_people(
        [Person("dora", "", "adjudicator", "MX", ("es",), active=False), Person("ana", "", "admin", "MX", ("es",))]
    )
    found = queue(project)
    assert (found.fresh, found.nobody) == ({}, {"MX": 1})
    assert 'role "adjudicator"' in found.sentences()[-1]
    project.ledger.add_people([Person("lena", "", "admin", "MX", ("es",))])
    assert queue(project).fresh == {("ranking", "MX"): 1}
    item = side(project)["slate0"]
    assert item.content["author"] == "ana"  # by which the page keeps it from her
    say(project, item.id, "ana", ranking_of("1234"))
    assert not [case for case in cases(project) if case.by]
    say(project, item.id, "lena", ranking_of("4321"), at=2)
    assert [case.by for case in cases(project)] == ["lena"]


def test_the_decision_that_came_home_first_stands_and_may_be_mended_by_its_author(tmp_path: Path) -> None:
    project = split_project(tmp_path, slates=1)
    project.ledger.add_people([Person("eva", "", "adjudicator", "MX", ("es",))])
    queue(project)
    item = side(project)["slate0"].id
    say(project, item, "dora", ranking_of("1234"), at=5)
    say(project, item, "eva", ranking_of("4321"), at=2)
    assert [case.by for case in cases(project)] == ["dora"]
    say(project, item, "dora", ranking_of("4321"), at=9)
    assert [case.by for case in cases(project)] == ["dora"]
    seats = project.ledger.items("ranking")[0].content["seats"]
    assert {row["chosen_id"] for row in preferences(project)} == set(seats[1:])


# -- what a decision changes ----------------------------------------------------------------------------


def test_a_decision_on_a_slate_is_one_more_vote_and_tables_say_so(tmp_path: Path) -> None:
    project = split_project(tmp_path, slates=2)
    assert preferences(project) == []
    plain = read_tables(project, "ranking")
    assert not any("adjudicated" in row for tables in plain for row in tables["rankings.parquet"].rows)
    queue(project)
    say(project, side(project)["slate0"].id, "dora", ranking_of("1234"))
    rows = preferences(project)
    assert len(rows) == 6
    assert all(row["adjudicated"] for row in rows)
    assert {(row["votes_for"], row["votes_against"], row["ties"]) for row in rows} == {(2, 1, 1)}
    (tables,) = read_tables(project, "ranking")
    rankings = tables["rankings.parquet"].rows
    assert [row.get("adjudicated") for row in rankings if row["slate_id"] == "slate1"] == [None] * 3
    assert sum(bool(row.get("adjudicated")) for row in rankings if row["slate_id"] == "slate0") == 1
    counts = count(project.ledger, project.settings)
    assert counts["made", "ranking", "preferences"] == 6
    exported = export(project, tmp_path / "out")
    assert exported.rows["preferences.parquet"] == 6
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "out" / "preferences.parquet")["adjudicated"].to_pylist() == [True] * 6


def test_a_vote_of_an_adjudicator_weighs_one_whatever_is_thought_of_them(tmp_path: Path) -> None:
    project = split_project(tmp_path, slates=1)
    queue(project)
    say(project, side(project)["slate0"].id, "dora", ranking_of("1234"))
    project.ledger.decide("dora", weight=0.2)
    ((_, answers),) = answered_items(project.ledger, "ranking")
    assert [answer.weight for answer in answers if answer.adjudicated] == [1.0]
    project.ledger.decide("dora", excluded="not asked")
    ((_, answers),) = answered_items(project.ledger, "ranking")
    assert not [answer for answer in answers if answer.adjudicated]


def test_a_prompt_is_what_the_adjudicator_says_of_it(tmp_path: Path) -> None:
    from annotation.prompts.review import add_checks, checked_prompts

    settings = MEXICO.replace("overlap = 3", "overlap = 4") + "[task.prompt_check]\noverlap = 4\naccepts = 2\n"
    project = split_project(tmp_path, (), slates=2, settings=settings)
    project.ledger.add_people([Person("ciro", "", "annotator", "MX", ("es",))])
    add_checks(project.ledger)
    kinds = {"ana": "knowledge", "beto": "preference", "caro": "trivial", "ciro": "unrelated"}
    items = project.ledger.items("prompt_check")
    for item in items:
        for name, kind in kinds.items():
            say(project, item.id, name, {"verdict": {"value": kind}})
    assert set(checked_prompts(project.ledger, project.settings).values()) == {"accepted"}
    assert queue(project).fresh == {("prompt_check", "MX"): 2}
    for item, kind in zip(items, ("trivial", "dynamics"), strict=True):
        say(project, side(project)[item.id].id, "dora", {"verdict": {"value": kind}})
    found = checked_prompts(project.ledger, project.settings)
    assert [found[item.prompt_id] for item in items] == ["rejected", "accepted"]
    (tables,) = read_tables(project, "prompt_check")
    assert [row["adjudicated"] for row in tables["checked_prompts.parquet"].rows] == [True, True]
    assert sum(bool(row.get("adjudicated")) for row in tables["prompt_checks.parquet"].rows) == 2


def exam_project(folder: Path) -> tuple[Project, Item]:
    from annotation.tasks.exam.item import item_of
    from annotation.types import ExamQuestion

    project = split_project(folder, (), slates=1)
    options = ("Lima", "Quito", "La Paz", "Sucre")
    question = ExamQuestion("q1", "¿Cuál es la capital del Perú?", options, 1, "MX", "es", "Examen")
    project.ledger.add_items([item_of(question, 0)])
    return project, project.ledger.items("exam")[0]


def test_an_exam_question_that_hangs_is_settled_by_the_decision(tmp_path: Path) -> None:
    from annotation.exams.checked import settled_questions

    project, item = exam_project(tmp_path)
    say(project, item.id, "ana", {"verdict": {"value": "right"}})
    say(project, item.id, "beto", {"verdict": {"value": "wrong_key"}, "answer": {"value": "A"}})
    (found,) = settled_questions(project.ledger, project.settings)
    assert found.status == "disputed"
    assert queue(project, tasks=["exam"]).fresh == {("exam", "MX"): 1}
    decision = {"verdict": {"value": "wrong_key"}, "answer": {"value": "C"}, "gap": {"value": "yes"}}
    say(project, side(project)[item.id].id, "dora", decision)
    (found,) = settled_questions(project.ledger, project.settings)
    # Three people said three things: the decision is what comes of it, and they are counted all the same.
    assert (found.status, found.question.answer, found.answers, found.agreeing) == ("checked", 2, 3, 1)
    (tables,) = read_tables(project, "exam")
    assert [row["adjudicated"] for row in tables["exam_questions.parquet"].rows] == [True]
    assert count(project.ledger, project.settings)["made", "exam", "checked"] == 1


def test_a_decision_never_overturns_what_most_people_said(tmp_path: Path) -> None:
    from annotation.exams.checked import settled_questions

    project, item = exam_project(tmp_path)
    say(project, item.id, "ana", {"verdict": {"value": "right"}})
    say(project, item.id, "beto", {"verdict": {"value": "unclear"}})
    queue(project, tasks=["exam"])
    say(project, side(project)[item.id].id, "dora", {"verdict": {"value": "right"}})
    (found,) = settled_questions(project.ledger, project.settings)
    assert (found.status, found.agreeing) == ("checked", 2)  # two of three, as if three had been asked
    say(project, item.id, "caro", {"verdict": {"value": "unclear"}}, at=3)
    project.ledger.add_people([Person("ciro", "", "annotator", "MX", ("es",))])
    say(project, item.id, "ciro", {"verdict": {"value": "unclear"}}, at=4)
    (found,) = settled_questions(project.ledger, project.settings)
    assert (found.status, found.answers) == ("rejected", 5)


def test_what_needs_a_clearer_rule_is_listed_with_its_texts(tmp_path: Path) -> None:
    project = split_project(tmp_path)
    queue(project)
    command = ["adjudicate", "list", "--gaps", "--project", str(project.folder)]
    assert "No adjudicator has marked" in CliRunner().invoke(app, command).output
    gap = {"gap": {"value": "yes"}, "rule": {"value": "Decir si vale el voseo. Dora Robledo, dora@example.org"}}
    say(project, side(project)["slate0"].id, "dora", {**ranking_of("1234"), **gap})
    say(project, side(project)["slate1"].id, "dora", {**ranking_of("1234"), "gap": {"value": "no"}})
    (case,) = cases(project, gaps=True)
    assert (case.item_id, case.by, case.gap) == ("slate0", "dora", True)
    assert case.rule.startswith("Decir si vale el voseo.")
    assert "Robledo" not in case.rule
    assert "example.org" not in case.rule
    assert case.texts["prompt"] == "¿Qué se dice en la situación 0?"
    assert "· A mejor que B: 1 · B mejor que A: 0 · iguales: 0" in case.decision
    said = adjudication_sentences(count(project.ledger, project.settings))
    assert said == (
        "MX: to be decided: 0 with an adjudicator, 2 decided.",
        "This 1 item needs a clearer rule in the guidelines: `annot adjudicate list --gaps`.",
    )
    shown = CliRunner().invoke(app, command)
    assert "situación 0" in shown.output
    assert "situación 1" not in shown.output
    told = json.loads(
        CliRunner().invoke(app, ["adjudicate", "list", "--json", "--project", str(project.folder)]).output
    )
    assert [one["by"] for one in told["cases"]] == ["dora", "dora"]


def test_a_removed_prompt_takes_what_is_to_be_decided_with_it(tmp_path: Path) -> None:
    project = split_project(tmp_path)
    queue(project)
    prompts: dict[str, Prompt] = {prompt.id: prompt for prompt in project.ledger.prompts()}
    from dataclasses import replace

    slate = project.ledger.items(ids=["slate0"])[0]
    project.ledger.change_prompts([replace(prompts[slate.prompt_id], removed=True)])
    assert side(project)["slate0"].removed
    assert [case.item_id for case in cases(project)] == ["slate1"]
    exams, item = exam_project(tmp_path / "exam")
    say(exams, item.id, "ana", {"verdict": {"value": "right"}})
    say(exams, item.id, "beto", {"verdict": {"value": "unclear"}})
    queue(exams)
    exams.ledger.remove_items([item.id])
    queue(exams)
    assert side(exams)[item.id].removed
    exams.ledger.remove_items([item.id], removed=False)
    queue(exams)
    assert not side(exams)[item.id].removed


def test_who_is_forgotten_is_quoted_to_no_adjudicator(tmp_path: Path) -> None:
    from annotation.lineage.erase import erase_person, erase_prompt

    project = split_project(tmp_path, ())
    for item in ("slate0", "slate1"):
        for name, order in zip(("ana", "beto", "caro"), SPLIT, strict=True):
            say(project, item, name, ranking_of(order, **({"rewrite": "un texto"} if name == "ana" else {})))
    queue(project)
    assert "«un texto»" in side(project)["slate0"].content[SAID]
    erase_person(project.ledger, "ana", "annotator-1", "asked")
    said = side(project)["slate0"].content[SAID]
    assert "un texto" not in said
    assert "A mejor que B: 1" in said
    erase_prompt(project.ledger, project.ledger.items(ids=["slate0"])[0].prompt_id, "asked")
    assert side(project)["slate0"].content[SAID] == ""
    assert queue(project).fresh == {}


def test_a_trace_tells_what_was_decided(tmp_path: Path) -> None:
    from projects import annot

    project = split_project(tmp_path, slates=1)
    queue(project)
    say(project, side(project)["slate0"].id, "dora", ranking_of("1234"))
    told = annot(project, "trace", "slate0")
    (line,) = (line for line in told.splitlines() if line.strip().startswith("decision"))
    assert line.endswith(f": {project.pseudonym('dora')}, MX, 2026-01-01 00:00: A > B > C > D")


def test_options_stand_behind_the_word_list(tmp_path: Path) -> None:
    project = split_project(tmp_path)
    refused = CliRunner().invoke(app, ["adjudicate", "--project", str(project.folder), "list"])
    assert isinstance(refused.exception, SettingsError)


# -- the whole way --------------------------------------------------------------------------------------


def room_of(world: World, project: Project) -> Dataset:
    """Where adjudicators of Mexico decide on its slates."""
    name = f"Decidir: {project.settings.task.ranking.dataset}"
    (room,) = (d for d in world.api.datasets() if (d.name, d.workspace) == (name, "mx"))
    return room


def on_the_way(world: World, folder: Path, slates: int = 3) -> tuple[Project, dict[str, str]]:
    """Slates that three people of Mexico have ranked on the server, all pulled; user names by part."""
    some_project(folder, slates=slates, name=f"set {uuid4().hex[:8]}")
    text = (folder / "annot.toml").read_text(encoding="utf-8")
    assert "overlap = 2" in text
    (folder / "annot.toml").write_text(text.replace("overlap = 2", "overlap = 3", 1), encoding="utf-8")
    project = Project.open(folder)
    tail = uuid4().hex[:6]
    names = {part: f"{part}-{tail}" for part in ("ana", "beto", "caro", "dora")}
    roles = {"dora": "adjudicator"}
    add_team(project, world.api, [person(name, role=roles.get(part, "annotator")) for part, name in names.items()])
    push(world.api, project.ledger, project.settings)
    (dataset,) = [d for d in world.api.datasets() if d.name == project.settings.task.ranking.dataset]
    passwords = project.secrets()["passwords"]
    for part, order in zip(("ana", "beto", "caro"), SPLIT, strict=True):
        at_work = world.annotator_client(names[part], passwords[names[part]])
        for record in walk(world.api, dataset.id):
            at_work.answer(record["id"], ranking_of(order))
    pull(world.api, project.ledger)
    return project, names


def test_from_what_is_contested_to_a_preference(world: World, tmp_path: Path) -> None:
    project, names = on_the_way(world, tmp_path / "p")
    assert preferences(project) == []
    assert queue(project).fresh == {("ranking", "MX"): 2}
    pushed = push(world.api, project.ledger, project.settings, limit=0)
    assert pushed.sent == {"mx": 2}
    room = room_of(world, project)
    at_work = world.annotator_client(names["dora"], project.secrets()["passwords"][names["dora"]])
    waiting = at_work.queue(room.id)
    assert len(waiting) == 2
    assert "A mejor que B: 1 · B mejor que A: 1" in waiting[0]["fields"][SAID]
    at_work.answer(waiting[0]["id"], {**ranking_of("1234"), "gap": {"value": "yes"}, "rule": {"value": "¿voseo?"}})
    pull(world.api, project.ledger)
    assert len(preferences(project)) == 6
    assert [(case.state, case.by, case.rule) for case in cases(project)] == [
        ("waiting", "", ""),
        ("decided", names["dora"], "¿voseo?"),
    ]
    assert push(world.api, project.ledger, project.settings, limit=0).sent == {}


@pytest.mark.server
def test_killed_at_any_moment_nothing_is_queued_or_sent_twice(
    real_world: RealWorld, argilla_server: tuple[str, object], tmp_path: Path
) -> None:
    import argilla  # noqa: F401  in the parent once, so that a child spends its life at work

    url, key = argilla_server[0], real_world.api._key
    project, _ = on_the_way(real_world, tmp_path / "p", slates=30)
    chance, killed = random.Random(0), 0

    def work() -> None:
        mine = Project.open(project.folder)
        queue(mine)
        push(ArgillaClient(url, key, server="embedded"), mine.ledger, mine.settings, limit=0, batch=2)

    project.ledger.close()
    while killed < kills(6, 20) and killed_at(chance.uniform(0.01, 0.4), work):
        killed += 1
    assert killed
    project = Project.open(project.folder)
    queue(project)
    items = [item for item in project.ledger.items(side=True) if item.purpose == "adjudication"]
    assert len(items) == len({item.parent for item in items}) == 15
    push(real_world.api, project.ledger, project.settings, limit=0)
    held = [record["external_id"] for record in walk(real_world.api, room_of(real_world, project).id)]
    assert sorted(held) == sorted(item.id for item in items)
    assert push(real_world.api, project.ledger, project.settings, limit=0).sent == {}
