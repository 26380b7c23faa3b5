"""Control items and an entry test on a real Argilla: made, pushed, answered, brought home, counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from control_projects import careless, controllable, ideal
from fake_argilla import RealWorld, person

from annotation.controls.add import add_controls
from annotation.project import Project
from annotation.quality.controls import control_results, failing
from annotation.quality.entry import entry_results
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.cycle import sync_once
from sync.push import push
from sync.team import add_team

TASK = TASKS["ranking"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = controllable(tmp_path / "p", 60, target=100)
    path = project.folder / "annot.toml"
    text = path.read_text().replace("wait_hours = 24", "wait_hours = 0\n[assign]\ncontrol_first_every = 2")
    path.write_text(text.replace("overlap = 2", f'overlap = 2\ndataset = "set {uuid4().hex[:8]}"'))
    with project.ledger.transaction() as db:
        db.execute("delete from people")
    return Project.open(project.folder)


def states(project: Project) -> dict[str, str]:
    found = entry_results(project.ledger, project.settings, datetime.now(UTC))
    return {name: result.state for (_, name), result in found.items()}


def answer(project: Project, client: AnnotatorClient, dataset: str, *, reads: bool, most: int) -> list[str]:
    """Answer what the queue brings, up to so many; returns what each item was asked for."""
    items: dict[str, Any] = {item.id: item for item in (*project.ledger.items(), *project.ledger.items(side=True))}
    asked: list[str] = []
    while len(asked) < most and (queue := client.queue(dataset, limit=1)):
        item = items[queue[0]["external_id"]]
        apart = Judgement(tuple((seat,) for seat in item.content["seats"]))
        value = apart if item.purpose == "work" else ideal(item) if reads else careless(item)
        client.answer(queue[0]["id"], TASK.values(item, value))
        asked.append(item.purpose)
    return asked


@pytest.mark.server
def test_who_passes_works_and_is_asked_control_items_and_who_does_not_is_not(
    real_world: RealWorld, project: Project
) -> None:
    names = [f"p{uuid4().hex[:8]}" for _ in range(2)]
    add_team(project, real_world.api, [person(name, "BO") for name in names])
    add_controls(project, 6, task="ranking", country="BO")
    add_controls(project, 8, task="ranking", country="BO", entry=True)
    push(real_world.api, project.ledger, project.settings)
    passwords = project.secrets()["passwords"]
    careful, guessing = (real_world.annotator_client(name, passwords[name]) for name in names)
    rooms = careful.datasets()
    work = rooms.pop(project.settings.task.ranking.dataset)
    (entry,) = rooms.values()
    for client in (careful, guessing):
        assert client.queue(work) == []
        assert answer(project, client, entry, reads=client is careful, most=99) == ["entry"] * 4
    sync_once(project, real_world.api)
    assert states(project) == dict(zip(names, ("passed", "at it"), strict=True))
    assert careful.queue(entry) == guessing.queue(work) == []

    asked = answer(project, careful, work, reads=True, most=8)
    assert set(asked) == {"work", "control"}
    assert answer(project, guessing, entry, reads=False, most=99) == ["entry"] * 4
    sync_once(project, real_world.api)
    assert states(project) == dict(zip(names, ("passed", "failed"), strict=True))
    assert guessing.queue(entry) == guessing.queue(work) == []
    counts = count(project.ledger, project.settings)
    found = control_results(counts)
    assert (found[names[0]].right, found[names[0]].wrong) == (asked.count("control"), 0)
    assert names[1] not in found
    assert list(failing(counts)) == []
    assert sum(number for key, number in counts.items() if key[0] == "person") == asked.count("work")
