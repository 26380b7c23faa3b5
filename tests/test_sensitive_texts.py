"""Texts that may hurt leave a project by no general command, and stand in none of its outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from projects import annot, frozen
from released_data import finished, judged_project, texts_in
from story_projects import story, write_stories

from annotation.ledger import Response
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.form import Question
from annotation.tasks.page import TeamPage
from annotation.types import Item
from sync.cycle import Synced
from sync.pull import Pulled
from sync.reporting.status import report
from train.release.dataset import make_dataset
from train.release.given import keep_given

MARK = "zorzalito"
"""Part of every text of a sensitive task in the project, and of nothing else."""

SAID = {"identity": "chilenos", "attribute": f"cantan {MARK}", "target": "CL", "source": MARK, "licence": ""}
CONTENTS: Mapping[str, Mapping[str, Any]] = {
    "stereotype": {"id": "a1", "frame": "", **SAID},
    "share": {"target": "CL"},
    "pair_check": {
        "association": "a1",
        "template": "es-verbo",
        "start": "Los ",
        "end": "",
        "after": ".",
        "known": 4.0,
        "raters": 3,
        **SAID,
        "controls": [{"id": "p1", "control": "PE", "control_identity": "peruanos"}],
    },
    "story": {
        "identity": "un chileno",
        "text": f"Canta {MARK}.",
        "prompt": MARK,
        "side": "base",
        "story": "s1",
        "run": "first",
        "adapter": "a" * 64,
    },
}
"""Of an item of each sensitive task, as it stands in the ledger."""

SENSITIVE = [name for name, task in TASKS.items() if task.sensitive]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Judged as any other, with sensitive items that three people answered: fitting, unfitting, and no more of it."""
    project = judged_project(tmp_path_factory.mktemp("judged") / "p")
    for name in SENSITIVE:
        item = Item(f"{name}-1", name, 0, "MX", "es", "CL", CONTENTS[name])
        project.ledger.add_items([item])
        form = TASKS[name].form(TeamPage("es", "MX"), project.settings)
        assert form.guard is not None
        fitting = {question.name: {"value": _fitting(question)} for question in form.questions}
        unfit = {question.name: {"value": MARK} for question in form.questions}
        stop = {form.guard.question: {"value": form.guard.stop}}
        for who, values in (("ana.lopez", fitting), ("beto_77", unfit), ("carla.m", stop)):
            raw = {"id": f"{item.id}-{who}", "status": "submitted", "values": values, "updated_at": "2026-01-03T00:00"}
            about = (raw["id"], item.id, who, "MX", "submitted", raw["updated_at"], json.dumps(raw))
            project.ledger.add_responses("test", [Response(*about)])  # type: ignore[arg-type]
    return project


def _fitting(question: Question) -> Any:
    if question.kind == "rating":
        return question.numbers[0]
    option = next(iter(question.options), MARK)
    return [option] if question.kind == "multi_label_selection" else option


def leaking(folder: Path) -> list[str]:
    found = dict(texts_in(folder))
    assert found
    return [name for name, text in found.items() if MARK in text.lower()]


def test_every_sensitive_task_is_looked_at() -> None:
    assert SENSITIVE
    assert set(SENSITIVE) <= CONTENTS.keys()


def test_the_texts_are_there_for_those_who_ask(project: Project) -> None:
    """Or the other tests would find nothing because nothing is there."""
    assert all(MARK in str(project.ledger.responses_of(None, [f"{name}-1"])) for name in SENSITIVE)
    assert all(MARK in str(CONTENTS[name]) or name == "share" for name in SENSITIVE)


def test_an_export_holds_nothing_of_them(project: Project, tmp_path: Path) -> None:
    told = annot(project, "export", "--to", str(tmp_path / "one")) + annot(
        project, "export", "--to", str(tmp_path / "two"), "--json"
    )
    assert MARK not in told.lower()
    assert leaking(tmp_path) == []


def test_a_snapshot_holds_nothing_of_them(project: Project) -> None:
    frozen(project)
    assert leaking(project.folder / "snapshots") == []


def test_status_and_sync_tell_nothing_of_them_and_an_answer_that_fits_not_is_told_without_what_it_holds(
    project: Project,
) -> None:
    synced = Synced(Pulled(), report(project), ())
    told = [
        annot(project, "status"),
        annot(project, "status", "--json"),
        synced.sentence(),
        json.dumps(synced.as_json()),
    ]
    assert MARK not in "".join(told).lower()
    for said in (told[0], told[3]):
        assert "unknown verdict" in said


def test_a_trace_tells_nothing_of_them(project: Project) -> None:
    for name in SENSITIVE:
        for more in ([], ["--json"]):
            told = annot(project, "trace", f"{name}-1", *more)
            assert f"{name}-1" in told
            assert MARK not in told.lower()


def test_the_filter_of_the_projects_own_set_reads_nothing_of_them(project: Project, tmp_path: Path) -> None:
    told = annot(project, "filter", "--no-meaning", "--out", str(tmp_path / "out"), "--report")
    assert MARK not in told.lower()
    assert leaking(tmp_path) == []


def test_a_release_holds_nothing_of_them_nor_of_what_models_wrote(project: Project, tmp_path: Path) -> None:
    run = finished(project)
    write_stories(run, [story("base", 1, text=f"Canta {MARK}.")])
    given = keep_given(run, project.settings, repository="", with_data=True)
    make_dataset(project, run, tmp_path / "dataset", given)
    assert leaking(tmp_path) == []
