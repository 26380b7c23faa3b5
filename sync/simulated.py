"""Simulated annotators: programs that rank through Argilla's API with their own log-ins. For the demo and for tests.

They are named as simulated wherever a name is shown, and know how good an answer is from notes that came with the
bundled demo; they say nothing about any real culture.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from annotation.tasks import TASKS
from annotation.types import Item, Judgement, Slate
from sync.argilla.annotator import AnnotatorClient


@dataclass(frozen=True, slots=True)
class Taste:
    """What the demo's author noted about an answer.

    Attributes:
        fit: 1 (poor) to 6 (as people there would say it).
        problem: One of PROBLEMS, or "".
    """

    fit: float
    problem: str


def simulate_judgement(slate: Slate, annotator: str, tastes: Mapping[str, Taste], seed: int) -> Judgement:
    """Rank a slate by noted fit plus one's own noise; answers that feel alike are tied.

    The noise is Gumbel distributed, so that rankings follow a Plackett–Luce model (R. D. Luce, Individual Choice
    Behavior, 1959; R. L. Plackett, The Analysis of Permutations, 1975) with log-strength 1.5 × fit.

    Args:
        slate: What is ranked.
        annotator: Whose noise; the same person judges the same slate the same way.
        tastes: Candidate id -> what was noted about it.
        seed: Of the project.
    """
    draw = random.Random(f"{seed}:{annotator}:{slate.id}")
    felt = {seat: 1.5 * tastes[seat].fit + _gumbel(draw) for seat in slate.seats}
    tiers: list[list[str]] = []
    for seat in sorted(slate.seats, key=lambda seat: -felt[seat]):
        if tiers and felt[tiers[-1][-1]] - felt[seat] < 0.4:
            tiers[-1].append(seat)
        else:
            tiers.append([seat])
    best = max(tastes[seat].fit for seat in slate.seats)
    return Judgement(
        tuple(tuple(tier) for tier in tiers),
        problems={seat: (tastes[seat].problem,) for seat in slate.seats if tastes[seat].problem},
        none_acceptable=best <= 2 and draw.random() < 0.8,
    )


def _gumbel(draw: random.Random) -> float:
    return -log(-log(max(draw.random(), 1e-12)))


def answer_queue(
    client: AnnotatorClient, dataset_id: str, items: Mapping[str, Item], judge: Callable[[Item], Any]
) -> Iterator[str]:
    """Empty a simulated annotator's queue, one answer at a time; yields the id of every item answered.

    Args:
        client: The annotator's log-in.
        dataset_id: Where.
        items: Item id -> item, of one task.
        judge: What the annotator says of an item: a value of its task.
    """
    while records := client.queue(dataset_id, limit=50):
        for record in records:
            item = items[record["external_id"]]
            client.answer(record["id"], TASKS[item.task].values(item, judge(item)))
            yield item.id
