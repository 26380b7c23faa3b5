"""The one next step that helps, and what `annot status` says, for projects that have come to a stand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_argilla import FakeWorld, person
from projects import annot, fill, make_project
from select_project import word_encoder

from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.selection.select import select
from annotation.selection.waiting import prompts_waiting
from annotation.tasks.exam.item import item_of
from annotation.types import Candidate, ExamQuestion, Prompt
from sync.pull import pull
from sync.push import push
from sync.reporting.next_step import next_step
from sync.reporting.status import report
from sync.team import add_team

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 5\noverlap = 2\n'
USABLE = ("Se baila el son jarocho.", "Nadie baila en la sala.", "Todos comen tamales.", "Hay cohetes de noche.")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, SETTINGS)


def step(project: Project, *, runs: bool = True) -> str:
    return next_step(project, report(project), argilla_runs=runs)


def ask(project: Project, number: int, texts: Sequence[str], country: str = "MX") -> Prompt:
    prompt = Prompt.make(f"¿Qué pasa en la fiesta número {number}?", country=country, language="es")
    project.ledger.add_prompts([prompt])
    project.ledger.add_candidates([Candidate.make(prompt.id, text, model="a file") for text in texts])
    return prompt


def pushed_to(world: FakeWorld, project: Project) -> None:
    add_team(project, world.api, [person("ana"), person("eva")])
    push(world.api, project.ledger, project.settings)


def test_from_prompts_to_slates(project: Project) -> None:
    assert step(project) == "annot prompts add FILE, or annot images add FOLDER"
    ask(project, 0, ())
    assert step(project).startswith("annot draft --dry-run")
    ask(project, 0, USABLE)
    assert step(project) == "annot select"


def test_a_project_of_exams_alone_needs_no_prompts(project: Project) -> None:
    question = ExamQuestion("q", "¿Qué río?", ("Uno", "Dos", "Tres", "Cuatro"), 0, "MX", "es", "Examen")
    project.ledger.add_items([item_of(question, 0)])
    assert step(project, runs=False) == "annot up"
    assert step(project) == "annot team add roster.csv"
    world = FakeWorld()
    add_team(project, world.api, [person("ana"), person("eva")])
    assert step(project) == "annot push"
    push(world.api, project.ledger, project.settings)
    assert step(project).startswith("annot sync --watch; ")
    assert "exam questions to complete: MX" in step(project)


def test_select_is_not_advised_again_where_it_found_too_few_answers(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS + "[draft]\ncandidates = 4\n")
    prompt = ask(project, 0, ("Sí.", "No.", "Tal vez.", "Quizás."))
    assert prompts_waiting(project).to_select == (prompt,)
    select(project, encoder=word_encoder())
    assert prompts_waiting(project).stuck == (prompt,)
    assert step(project).startswith("annot draft --from FILE, or annot prompts add FILE: of 1 prompt too few answers")
    wider = make_project(tmp_path, SETTINGS + "[draft]\ncandidates = 8\n")
    assert step(wider) == "annot draft: 1 prompt without a slate can get more answers"
    ask(wider, 0, USABLE)
    assert step(wider) == "annot select"


def test_push_is_not_advised_where_no_team_is(project: Project) -> None:
    slates = fill(project, 5, ())
    project.ledger.add_people([person("rui", "BR")])
    assert step(project) == (
        "annot team add roster.csv with people of every country: nobody is asked about these slates (MX 5)"
    )
    project.ledger.add_people([person("ana"), person("eva")])
    assert step(project) == "annot push"
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    assert step(project) == "annot sync --watch; slates to complete: MX 5"


def test_a_slate_of_a_country_that_the_project_does_not_name_holds_nothing_up(project: Project) -> None:
    fill(project, 5, ())
    pushed_to(FakeWorld(), project)
    ask(project, 99, USABLE, country="CL")
    assert step(project) == "annot sync --watch; slates to complete: MX 5"


def test_answers_that_wait_to_be_selected_are_told_and_lift_a_cap(project: Project) -> None:
    slates = fill(project, 2)
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    said = annot(project, "status")
    assert "only those are owed (MX 2 of 5)" in said
    assert "met with all 2 slates there are" in said
    ask(project, 0, USABLE)
    said = annot(project, "status")
    assert "only those are owed" not in said
    assert "2 slates so far, 1 more can come" in said
    change_prompts(project, Which(topic="general"), {"removed": True})
    assert "only those are owed (MX 2 of 5)" in annot(project, "status")


def test_who_left_without_an_answer_is_not_shown_and_a_reason_is_said_once(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS.replace('["MX"]', '["MX", "BR"]'))
    fill(project, 1, ("ana",))
    project.ledger.add_people([person("eva", active=False), person("rui", "BR"), person("ana", active=False)])
    assert [work.annotator for work in report(project).people] == ["rui", "ana"]
    assert annot(project, "status").count("not enough overlap") == 1


def test_a_dataset_that_was_deleted_and_pushed_again_leaves_nothing_missing(project: Project) -> None:
    world = FakeWorld()
    fill(project, 3, ())
    pushed_to(world, project)
    (dataset,) = world.api.datasets()
    world.api.remove_dataset(dataset.id)
    assert pull(world.api, project.ledger, whole=True).missing == 3
    assert push(world.api, project.ledger, project.settings).sent == {"mx": 3}
    assert pull(world.api, project.ledger, whole=True).missing == 0


def test_a_prompt_that_was_moved_or_removed_after_the_push_asks_for_another(tmp_path: Path) -> None:
    world, project = FakeWorld(), make_project(tmp_path, SETTINGS.replace('["MX"]', '["MX", "BR"]'))
    fill(project, 3, ())
    add_team(project, world.api, [person("ana"), person("eva"), person("rui", "BR"), person("lu", "BR")])
    push(world.api, project.ledger, project.settings)
    first, second, _ = (prompt.id for prompt in project.ledger.prompts())
    for which, change in ((first, {"country": "BR"}), (second, {"removed": True})):
        assert step(project) != "annot push"
        change_prompts(project, Which(ids=(which,)), change)
        assert step(project) == "annot push"
        push(world.api, project.ledger, project.settings)
    assert step(project) != "annot push"


def test_a_slate_that_was_discarded_by_too_many_is_told(project: Project) -> None:
    slates = fill(project, 2, ())
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    project.ledger.add_people([person("ana"), person("eva")])
    assert report(project).short_teams == ()
    project.ledger.add_responses("test", [Response("r", slates[0].id, "ana", "MX", "discarded", "2026", "{}")])
    assert report(project).short_teams[0].startswith("MX: 1 slate was discarded by so many that nobody is left")
    assert step(project).startswith("annot team add roster.csv")
    project.ledger.add_people([person("ines")])
    assert report(project).short_teams == ()
