"""Control items and what people say of them stay in the ledger: no other file of a project, and nothing given away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from control_projects import careless, controllable, ideal, respond
from projects import annot, frozen, quotas
from released_data import finished, texts_in

from annotation.controls.add import add_controls
from annotation.controls.mark import mark_control
from annotation.controls.spoil import GARBLED, LANGUAGE
from annotation.project import Project
from annotation.tally import count
from annotation.tasks.page import CONTROL, TEXTS_OF
from annotation.tasks.prompt_check.task import Verdict
from annotation.types import Judgement
from train.data.read import read_slates
from train.release.dataset import make_dataset
from train.release.given import keep_given

TYPED = "Yo pondría quirquincho zumbón"
"""What somebody typed into a control item."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Work that two people of each country did, control items that they answered, an entry test, and a marked slate."""
    project = controllable(tmp_path_factory.mktemp("controls") / "p", 40, target=6, checks=True)
    marked = project.ledger.items("ranking")[0]
    respond(project, marked, "bo_1", Judgement(tuple((s,) for s in marked.content["seats"]), rewrite=TYPED))
    mark_control(project, marked.id, worst="B", reason="sure")
    add_controls(project, 6)
    add_controls(project, 4, task="ranking", entry=True)
    work = [item for task in ("ranking", "prompt_check") for item in project.ledger.items(task)[:20]]
    for item in (*work, *project.ledger.items(side=True)):
        for number in (1, 2):
            who = f"{item.country.lower()}_{number}"
            if item.task != "ranking":
                respond(project, item, who, Verdict("preference", TYPED if item.purpose != "work" else ""))
            elif item.purpose == "work":
                respond(project, item, who, Judgement(tuple((seat,) for seat in item.content["seats"])))
            else:
                said = (ideal if number == 1 else careless)(item)
                respond(project, item, who, Judgement(said.tiers, rewrite=TYPED))
    return project


def marks(project: Project) -> set[str]:
    """Ids of control items and of their texts, of the items that they were, and texts that nothing else has."""
    found = {TYPED}
    for item in project.ledger.items(side=True):
        texts = item.content.get(TEXTS_OF, {})
        found |= {item.id, item.parent, *(name for name in texts if item.task == "ranking")}
        if item.content[CONTROL] in (GARBLED, LANGUAGE):  # one that is cut off stands in the whole one
            found |= set(texts.values())
    assert len(found) > 60
    return found


def holding(project: Project, folder: Path) -> list[str]:
    """Files with a mark in them, but for the ledger and what is counted of it."""
    found = dict(texts_in(folder))
    wanted = marks(project)
    assert found
    private = ("ledger.sqlite", "tally.sqlite")
    return [name for name, text in found.items() if not name.startswith(private) and any(m in text for m in wanted)]


def test_the_texts_are_in_the_ledger(project: Project) -> None:
    """Or the other tests would find nothing because nothing is there."""
    content = (project.folder / "ledger.sqlite").read_bytes() + (project.folder / "ledger.sqlite-wal").read_bytes()
    assert all(mark.encode() in content or json.dumps(mark)[1:-1].encode() in content for mark in marks(project))


def test_no_quota_counts_them(project: Project) -> None:
    counts = count(project.ledger, project.settings)
    work = [item for item in project.ledger.items() if not item.removed]
    assert sum(number for key, number in counts.items() if key[0] == "item") == len(work)
    assert sum(state.items for state in quotas(project)) == len(work)
    answered = sum(key[5] * number for key, number in counts.items() if key[0] == "item")
    given = sum(number for key, number in counts.items() if key[0] == "person")
    assert answered == given > 0
    side = len(project.ledger.items(side=True))
    assert sum(number for key, number in counts.items() if key[0] == "control") == 2 * side


def test_an_export_holds_none_of_it(project: Project, tmp_path: Path) -> None:
    annot(project, "export", "--to", str(tmp_path / "one"))
    assert len(dict(texts_in(tmp_path))) > 3
    assert holding(project, tmp_path) == []


def test_a_snapshot_a_run_and_a_release_hold_none_of_it_and_no_other_file_of_the_project(
    project: Project, tmp_path: Path
) -> None:
    snapshot = frozen(project)
    folder = project.folder / "snapshots" / snapshot.id
    assert holding(project, folder) == []
    trained_on = repr(read_slates(folder))
    assert "casa número" in trained_on
    assert not [mark for mark in marks(project) if mark in trained_on]
    run = finished(project)
    make_dataset(project, run, tmp_path / "dataset", keep_given(run, project.settings, repository="", with_data=True))
    assert holding(project, tmp_path) == []
    annot(project, "filter", "--no-meaning", "--out", str(tmp_path / "out"))
    assert holding(project, tmp_path / "out") == []
    assert holding(project, project.folder) == []
    told = annot(project, "status", "--json")
    assert not [mark for mark in marks(project) if mark in told]
