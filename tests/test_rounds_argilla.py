"""At a real Argilla nobody is asked about slates of an earlier round, also where somebody has begun one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_argilla import RealWorld, ranking_of, some_project
from test_push import dataset_name, datasets, send, with_team

from annotation.rounds import CONTESTED, start_round
from annotation.selection.select import make_slate
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.types import Candidate, Slate
from sync.pull import pull
from sync.team import workspace_of


@pytest.mark.server
def test_a_slate_that_somebody_began_before_the_round_is_shown_to_nobody_else_and_its_answer_stays(
    real_world: RealWorld, tmp_path: Path
) -> None:
    project = some_project(tmp_path / "p", name=dataset_name())
    with_team(real_world, project, "MX", "MX")
    send(real_world, project)
    slates = [slate for slate in read_slates(project.ledger) if slate.position % 2 == 0]
    dataset = datasets(real_world.api, project)[workspace_of("MX")]
    names = [person.username for person in project.ledger.people() if person.country == "MX"]
    one, other = (real_world.annotator_client(name, project.secrets()["passwords"][name]) for name in names)
    (begun,) = real_world.api.records_of(dataset.id, "slate", [slates[0].id])
    one.answer(begun["id"], ranking_of("1234"))
    pull(real_world.api, project.ledger)

    start_round(project.ledger, {slates[0].prompt_id: CONTESTED}, {})
    fresh = [Candidate.make(slates[0].prompt_id, f"Se come otra cosa, la número {n}.", model="m") for n in range(4)]
    project.ledger.add_candidates(fresh)
    made = make_slate(slates[0].prompt_id, [candidate.id for candidate in fresh], position=99, seed=0)
    add_slates(project.ledger, [Slate(made.id, made.prompt_id, made.seats, made.position, 2)])
    send(real_world, project)

    for person in (one, other):
        assert {record["external_id"] for record in person.queue(dataset.id)} == {made.id}
    (kept,) = real_world.api.records_of(dataset.id, "slate", [slates[0].id])
    assert [response["status"] for response in kept["responses"]] == ["submitted"]
