"""Prompts are checked by people: a second task, whole, on the way of the first."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_argilla import FakeWorld, World, person
from hypothesis import given
from hypothesis import strategies as st
from projects import annot, make_project

from annotation.config import check_settings
from annotation.drafting.draft import _plan
from annotation.drafting.from_file import draft_from_file
from annotation.errors import DraftError, SettingsError
from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.review import accepted_prompts, add_checks
from annotation.tables import export
from annotation.tasks import TASKS
from annotation.tasks.answers import answers
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.page import LANGUAGES, TeamPage, read_guidelines
from annotation.tasks.prompt_check.task import ACCEPT, ACCEPTED, NAME, REJECT, REJECTED, UNDECIDED, Verdict, status_of
from annotation.tasks.prompt_check.texts import TEXTS
from annotation.types import Answer, Item, Prompt
from sync.commands.team import prompts_review
from sync.cycle import sync_once
from sync.push import push
from sync.team import add_team

CHECK = TASKS[NAME]
SETTINGS = (
    '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[prompts]\nreviewed_only = true\n'
    "[task.prompt_check]\ntarget = 3\noverlap = 3\naccepts = 3\n[task.ranking]\ntarget = 1\n[train]\nauto = true\n"
)


def prompts(author: str = "") -> list[Prompt]:
    return [
        Prompt.make(
            f"¿Qué se come en la fiesta {number}?", country="MX", language="es", author=author if number == 2 else ""
        )
        for number in range(3)
    ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


def item(prompt: Prompt) -> Item:
    return Item("check", NAME, 0, prompt.country, prompt.language, prompt.topic, {}, prompt.id)


# -- the task itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_teams_language(language: str) -> None:
    form = CHECK.form(TeamPage(language), check_settings({}, place="test"))
    assert set(TEXTS[language]) == set(TEXTS["en"])
    assert list(form.questions[0].options) == [*ACCEPT, *REJECT]
    guidelines = read_guidelines("annotation.tasks.prompt_check", language)
    assert form.guidelines == guidelines
    assert 500 < len(guidelines) < 10_000
    assert len({read_guidelines("annotation.tasks.prompt_check", other) for other in LANGUAGES}) == len(LANGUAGES)


@given(st.sampled_from([*ACCEPT, *REJECT]), st.text(st.characters(blacklist_categories=["C", "Z"])))
def test_what_is_written_is_read_back(kind: str, comment: str) -> None:
    verdict = Verdict(kind, comment)
    values = {name: told["value"] for name, told in CHECK.values(item(prompts()[0]), verdict).items()}
    read = CHECK.read(item(prompts()[0]), values)
    assert read.kind == kind
    assert read.accepts is (kind in ACCEPT)
    if not set("&<>⟨⟩") & set(comment):
        assert read.comment == comment


def test_values_of_another_form_are_unfit() -> None:
    with pytest.raises(Unfit, match="nothing was chosen"):
        CHECK.read(item(prompts()[0]), {})
    with pytest.raises(Unfit, match="unknown verdict: fine"):
        CHECK.read(item(prompts()[0]), {"verdict": "fine"})


def test_a_record_shows_the_prompt_as_it_was_typed_and_annotators_not_its_author() -> None:
    prompt = Prompt.make("¿<b>Pan</b>?", country="MX", language="es", system="Sé breve.", author="ana")
    made = CHECK.record(item(prompt), Texts({prompt.id: prompt}, {}), None)
    assert made["fields"] == {"prompt": "¿&lt;b&gt;Pan&lt;/b&gt;?", "system": "Sé breve."}
    assert made["metadata"]["check"] == "check"
    assert "author" not in made["metadata"]
    own = replace(item(prompt), content={"author": "ana"})
    assert CHECK.record(own, Texts({prompt.id: prompt}, {}), None)["metadata"]["author"] == "ana"
    (hidden,) = [p for p in CHECK.form(TeamPage("es"), check_settings({}, place="test")).metadata if p.name == "author"]
    assert not hidden.visible


def verdicts(*kinds: str) -> list[Answer[Verdict]]:
    return [Answer(str(n), "check", f"p{n}", "MX", "t", Verdict(kind)) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (("knowledge",) * 3, ACCEPTED),
        (("knowledge", "dynamics", "bias_probe"), ACCEPTED),
        (("knowledge", "preference"), UNDECIDED),
        (("trivial",), UNDECIDED),
        (("knowledge", "preference", "trivial"), REJECTED),
        (("trivial", "knowledge", "preference", "dynamics"), ACCEPTED),
    ],
)
def test_three_accepts_make_a_prompt_accepted(kinds: tuple[str, ...], status: str) -> None:
    settings = check_settings({}, place="test").task.prompt_check
    assert status_of(verdicts(*kinds), settings) == status


def test_a_score_is_whether_the_decision_is_the_expected_one() -> None:
    expected = Item("c", NAME, 0, "MX", "es", "general", purpose="control", expected={"accepted": False})
    assert CHECK.score(expected, Verdict("stereotype")) == 1
    assert CHECK.score(expected, Verdict("knowledge")) == 0


def test_more_accepts_than_people_asked_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"accepts = 4 is above overlap = 3"):
        check_settings({"task": {"prompt_check": {"accepts": 4}}}, place="annot.toml")
    with pytest.raises(SettingsError, match=r'two tasks have the dataset "one"'):
        check_settings(
            {"task": {"prompt_check": {"dataset": "one"}, "ranking": {"dataset": "one"}}}, place="annot.toml"
        )


# -- the whole way ----------------------------------------------------------------------------------------


def test_prompts_go_out_once_and_those_that_come_later_behind_them(project: Project) -> None:
    first, second, third = prompts()
    project.ledger.add_prompts([first, second])
    assert add_checks(project.ledger) == 2
    assert add_checks(project.ledger) == 0
    project.ledger.add_prompts([third])
    assert add_checks(project.ledger) == 1
    assert [(i.prompt_id, i.position) for i in project.ledger.items(NAME)] == [
        (first.id, 0),
        (second.id, 1),
        (third.id, 2),
    ]


def test_from_the_command_to_accepted_prompts(world: World, project: Project, tmp_path: Path) -> None:
    names = [f"{name}-{tmp_path.name[-8:]}".replace("_", "") for name in ("ana", "ben", "eva", "oto")]
    team = [person(name) for name in names]
    add_team(project, world.api, team)
    project.ledger.add_prompts(prompts(author=names[0]))
    add_checks(project.ledger)
    settings = project.settings
    unique = settings.task.prompt_check.model_copy(update={"dataset": f"prompts {tmp_path.name}"})
    project = Project(
        project.folder,
        settings.model_copy(update={"task": settings.task.model_copy(update={"prompt_check": unique})}),
    )
    pushed = push(world.api, project.ledger, project.settings, tasks=[NAME])
    assert (pushed.sent, pushed.dropped) == ({"mx": 3}, ())
    assert push(world.api, project.ledger, project.settings, tasks=[NAME]).sent == {}
    (dataset,) = [d for d in world.api.datasets() if d.name == unique.dataset]

    said: dict[str, dict[int, str]] = {
        names[0]: {0: "knowledge", 1: "trivial"},  # the third is their own, which they are not asked about
        names[1]: {0: "preference", 1: "knowledge", 2: "knowledge"},
        names[2]: {0: "dynamics", 1: "knowledge", 2: "knowledge"},
    }
    items = {i.id: i for i in project.ledger.items(NAME)}
    for name, kinds in said.items():
        client = world.annotator_client(name, project.secrets()["passwords"][name])
        for record in world.api.records_of(dataset.id, CHECK.label, list(items)):
            found = items[record["external_id"]]
            if kind := kinds.get(found.position):
                client.answer(record["id"], CHECK.values(found, Verdict(kind, "llama al 55 1234 5678")))

    synced = sync_once(project, world.api)
    assert synced.pulled.new == 8
    # Three accepted the first; one rejected the second; the third waits for another person.
    by_position = {i.prompt_id: i.position for i in items.values()}
    assert {by_position[prompt] for prompt in accepted_prompts(project.ledger, project.settings)} == {0}
    assert synced.report.made[NAME] == {ACCEPTED: 1, REJECTED: 1, UNDECIDED: 1}
    assert len(answers(project.ledger, NAME)) == 8
    (quota,) = [state for state in synced.report.quotas if state.quota.task == NAME]
    assert (quota.items, quota.completed, quota.answers, quota.people, quota.met) == (3, 2, 8, 3, False)
    agreement: Any = synced.report.agreement[NAME]["MX"]
    assert agreement.items == 3
    assert agreement.annotators == 3

    done = export(project, tmp_path / "exports")
    assert done.rows["prompt_checks.parquet"] == 8
    checked = pq.read_table(tmp_path / "exports" / "checked_prompts.parquet").to_pylist()
    counted = {(row["status"], row["accepts"], row["rejects"]) for row in checked}
    assert counted == {(ACCEPTED, 3, 0), (REJECTED, 2, 1), (UNDECIDED, 2, 0)}
    assert len(checked) == 3
    exported = (tmp_path / "exports" / "prompt_checks.parquet").read_bytes()
    assert "1234" not in str(pq.read_table(tmp_path / "exports" / "prompt_checks.parquet").to_pylist())
    assert not any(name.encode() in exported for name in names)


def test_checked_prompts_start_no_run_and_hold_none_up(project: Project) -> None:
    """Only tasks that train count for the trigger."""
    from sync.quotas import all_met
    from sync.reporting.status import report

    project.ledger.add_prompts(prompts())
    add_checks(project.ledger)
    quotas = report(project).quotas
    assert {state.quota.task for state in quotas} == {"ranking", NAME}
    met = [state for state in quotas if state.quota.task == NAME]
    assert not all_met(met)


def test_a_prompt_stands_in_both_tasks_and_status_shows_both(project: Project) -> None:
    from annotation.tasks.ranking.slates import add_slates
    from annotation.types import Candidate, Slate

    (prompt, *_) = prompts()
    seated = [Candidate.make(prompt.id, f"Respuesta {n}", model="m") for n in range(4)]
    project.ledger.add_prompts([prompt])
    project.ledger.add_candidates(seated)
    add_slates(project.ledger, [Slate("s", prompt.id, tuple(c.id for c in seated), 0)])
    add_checks(project.ledger)
    shown = annot(project, "status")
    assert "Quotas: check prompts" in shown
    told = json.loads(annot(project, "status", "--json"))
    assert [(q["quota"]["task"], q["items"]) for q in told["quotas"]] == [("ranking", 1), (NAME, 1)]


# -- only accepted prompts are drafted ----------------------------------------------------------------------


def accept(project: Project, *positions: int) -> None:
    """Three accepts for each of these prompts, as the server would have told them."""
    moment = "2026-01-01T00:00:00.000000"
    project.ledger.add_people([person(who) for who in ("p1", "p2", "p3")])
    responses = []
    for found in project.ledger.items(NAME):
        for who in ("p1", "p2", "p3") if found.position in positions else ():
            raw = {
                "id": f"{found.id}-{who}",
                "status": "submitted",
                "values": CHECK.values(found, Verdict("knowledge")),
            }
            responses.append(Response(raw["id"], found.id, who, "MX", "submitted", moment, json.dumps(raw)))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)


def test_only_accepted_prompts_are_drafted_for(project: Project, tmp_path: Path) -> None:
    project.ledger.add_prompts(prompts())
    add_checks(project.ledger)
    with pytest.raises(DraftError, match="annot prompts review"):
        _plan(project)
    accept(project, 1)
    todo, _ = _plan(project)
    assert [one.prompt.text for one in todo] == ["¿Qué se come en la fiesta 1?"]
    file = tmp_path / "answers.jsonl"
    rows = [{"prompt": prompt.text, "response": f"Respuesta a {prompt.text}"} for prompt in prompts()]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    drafted = draft_from_file(project, file)
    assert [dropped.reason for dropped in drafted.dropped] == ["prompt not accepted"] * 2
    assert len(project.ledger.candidates()) == 1


def test_the_author_of_a_file_of_prompts_is_on_the_team(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("prompt\n¿Qué se come en la fiesta del pueblo?\n", encoding="utf-8")
    with pytest.raises(SettingsError, match='Nobody called "ana" is on the team'):
        add_prompts(project, str(file), author="ana")
    assert project.ledger.prompts() == []
    project.ledger.add_people([person("ana")])
    add_prompts(project, str(file), author="ana")
    assert [prompt.author for prompt in project.ledger.prompts()] == ["ana"]
    add_checks(project.ledger)
    assert [dict(i.content) for i in project.ledger.items(NAME)] == [{"author": "ana"}]


def test_an_author_who_was_forgotten_is_named_by_reading_the_file_again(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("prompt\n¿Qué se come en la fiesta del pueblo?\n", encoding="utf-8")
    project.ledger.add_people([person("ana"), person("eva")])
    add_prompts(project, str(file))
    assert add_prompts(project, str(file), author="ana", dry_run=True).credited == 1
    added = add_prompts(project, str(file), author="ana")
    assert "already there: 1; now with their author: 1" in added.sentence()
    assert not add_prompts(project, str(file), author="eva").changed
    assert [prompt.author for prompt in project.ledger.prompts()] == ["ana"]


def test_a_dry_run_of_the_review_asks_nobody_and_keeps_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = FakeWorld()
    project.ledger.add_prompts(prompts())
    add_team(project, world.api, [person("ana")])
    monkeypatch.setattr("sync.argilla.client.connect", lambda _project: world.api)
    monkeypatch.setattr("sync.commands.team.open_project", lambda _folder: project)
    prompts_review(project.folder, dry_run=True)
    assert "would have sent 3 to mx" in capsys.readouterr().out
    assert project.ledger.items() == []
    assert world.api.datasets() == []


def test_checking_without_prompts_is_a_sentence(project: Project) -> None:
    command = [sys.executable, "-m", "annotation.cli", "prompts", "review", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run `annot prompts add FILE` first" in done.stderr
