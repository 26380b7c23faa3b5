"""Weights of people's votes: those that follow what is measured are brought up to date before anything is counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.reliability import reliability
from annotation.screen import Progress, silent
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.types import Person

STEPS = 20
"""Weights stand on a grid of so many steps from 0 to 1."""

LEAST, MOST = 0.05, 2.0
"""Of a weight that follows what is measured: to leave somebody out is a lead's decision, and nobody counts as three."""


def measured(counts: Counts, ledger: Ledger) -> dict[str, float]:
    """User name -> weight by what is measured now, on no grid; nothing of those of whom nothing is known.

    It is the mean over the tasks whose votes become preferences, by the comparisons that each stands on.

    Args:
        counts: From `annotation.tally.count`.
        ledger: The project's.
    """
    weights: dict[str, float] = defaultdict(float)
    comparisons = Counter[str]()
    for (task, _), people in reliability(counts, ledger).items():
        if TASKS[task].trains:
            for annotator, found in people.items():
                weights[annotator] += found.weight * found.comparisons
                comparisons[annotator] += found.comparisons
    return {who: weights[who] / number for who, number in comparisons.items() if number}


def refresh(project: Project, *, progress: Progress = silent) -> tuple[Person, ...]:
    """Write down the weights that a lead lets follow what is measured, where they moved by a step or more.

    A weight moves to the step that is nearest to what is measured, and only when that is a whole step away from it: one
    between two steps stays where it is, however often it is looked at.

    Args:
        project: The project.
        progress: Told how many items are counted.

    Returns:
        Those whose weight moved, as they are now.
    """
    ledger = project.ledger
    if not any(_follows(person) for person in ledger.people()):
        return ()
    now = measured(count(ledger, project.settings, progress=progress), ledger)
    with ledger.transaction():
        moved = {p.username: step(p.weight, now.get(p.username, 1.0)) for p in ledger.people() if _follows(p)}
        changed: Mapping[str, Mapping[str, Any]] = {who: {"weight": to} for who, to in moved.items() if to is not None}
        return tuple(ledger.decide_all(changed)) if changed else ()


def _follows(person: Person) -> bool:
    return person.auto and not person.excluded


def step(weight: float, target: float) -> float | None:
    """Where a weight goes as what is measured is `target`; None where it stays."""
    target = min(max(target, LEAST), MOST)
    return round(target * STEPS) / STEPS if round(abs(target - weight) * STEPS, 9) >= 1 else None
