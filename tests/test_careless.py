"""Careless answers show: the same order always, copies, answers at odds with everybody, answers without reading."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from projects import annot, fill, make_project, ranking_values

from annotation.ledger import Response
from annotation.project import Project
from annotation.types import Judgement, Person, Slate
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\noverlap = 5\n'
SLATES = 30
Order = Callable[[Slate, random.Random], tuple[tuple[str, ...], ...]]


def usual(slate: Slate, chance: random.Random) -> tuple[tuple[str, ...], ...]:
    """The order of the candidates' ids, which everybody shares, with two neighbours swapped now and then."""
    order = sorted(slate.seats)
    if chance.random() < 0.5:
        place = chance.randrange(3)
        order[place], order[place + 1] = order[place + 1], order[place]
    return tuple((candidate,) for candidate in order)


def by_seats(slate: Slate, _: random.Random) -> tuple[tuple[str, ...], ...]:
    return tuple((candidate,) for candidate in slate.seats)


def at_random(slate: Slate, chance: random.Random) -> tuple[tuple[str, ...], ...]:
    return tuple((candidate,) for candidate in chance.sample(slate.seats, 4))


def judged(folder: Path, **people: tuple[Order, int, float]) -> Project:
    """A project that people judged: each in their way, with a seed of their own, and so many seconds an answer."""
    project = make_project(folder, SETTINGS)
    slates = fill(project, SLATES, ())
    project.ledger.add_people([Person(who, "", "annotator", "MX", ("es",)) for who in people])
    responses = []
    for who, (order, seed, seconds) in people.items():
        chance = random.Random(seed)
        for number, slate in enumerate(slates):
            moment = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds * number)).isoformat(
                timespec="microseconds"
            )
            raw = {"id": f"{slate.id}-{who}", "values": ranking_values(Judgement(order(slate, chance)), slate)}
            responses.append(Response(raw["id"], slate.id, who, "MX", "submitted", moment, json.dumps(raw)))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)
    return project


def test_honest_people_raise_no_doubt(tmp_path: Path) -> None:
    project = judged(tmp_path, **{f"mx_{n}": (usual, n, 40.0) for n in range(5)})
    assert report(project).doubts == ()


@pytest.mark.parametrize(
    ("suspect", "said"),
    [
        ({"mx_8": (by_seats, 8, 40.0)}, [r"mx_8 gave the order A1 B2 C3 D4 to 30 of 30 slates."]),
        (
            {"mx_8": (usual, 2, 40.0)},
            ["mx_2 and mx_8 gave the very same order to 30 of the 30 slates that both judged."],
        ),
        ({"mx_8": (at_random, 8, 40.0)}, ["mx_8 agrees with the rest of the team in "]),
        ({"mx_8": (usual, 8, 2.0)}, ["mx_8 takes 2 s for an answer"]),
    ],
    ids=["the same order always", "a copy", "at random", "without reading"],
)
def test_who_is_careless_is_named_and_nobody_else(
    tmp_path: Path, suspect: dict[str, tuple[Order, int, float]], said: list[str]
) -> None:
    project = judged(tmp_path, **{f"mx_{n}": (usual, n, 40.0) for n in range(5)}, **suspect)
    doubts = report(project).doubts
    assert [sentence for sentence in doubts if "mx_8" not in sentence] == []
    assert any(sentence.startswith(said[0]) for sentence in doubts), doubts
    shown = annot(project, "status")
    assert "annot team exclude NAME" in shown
    assert doubts[0] in shown
    annot(project, "team", "exclude", "mx_8", "--reason", "careless")
    assert report(project).doubts == ()
