"""Changes of a task's metrics from base to adapted model, with intervals; and whether the base is above guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.statistics import Estimate, mean_over_prompts, paired_difference

CLUSTER = "template_id"
"""In a row of such a task: the template that it was made from. Rows of one template hang together."""

RESAMPLES = 400
"""Draws of templates for a metric that only all rows together have."""

Values = Sequence[Any]
"""Of a metric, one per row, as the harness keeps them."""


def shares(values: Values) -> tuple[list[float], list[float]] | None:
    """Values and weights of a metric's rows where it is a mean over them: numbers, or pairs (value, weight)."""
    if all(map(is_number, values)):
        return [float(value) for value in values], [1.0] * len(values)
    if all(isinstance(value, Sequence) and len(value) == 2 and all(map(is_number, value)) for value in values):
        return [float(right) for right, _ in values], [float(weight) for _, weight in values]
    return None


def is_number(value: Any) -> bool:
    """Whether a value is one number."""
    return isinstance(value, int | float)


def clusters_of(samples: Sequence[Mapping[str, Any]], filtered: str) -> list[str]:
    """What each row of a filter belongs to: its template where it names one, else itself."""
    rows = [row["doc"] for row in samples if row["filter"] == filtered]
    named = all(isinstance(row, Mapping) and row.get(CLUSTER) is not None for row in rows)
    return [str(row[CLUSTER]) for row in rows] if named else [str(number) for number in range(len(rows))]


def change_of(
    base: Values, adapted: Values, before: float, after: float, clusters: Sequence[str], *, seed: int
) -> Estimate | None:
    """Paired difference of a metric, row by row; None where the harness's number is no mean over rows."""
    both = shares(base), shares(adapted)
    if not base or None in both:
        return None
    (rights, weights), (rights_after, _) = both  # type: ignore[misc]
    total = sum(weights)
    for own, said in ((rights, before), (rights_after, after)):
        if not total or not math.isclose(sum(own) / total, said, abs_tol=1e-9):
            return None
    heavy = np.array(weights)
    ones, others = (np.array(own) / np.where(heavy > 0, heavy, 1.0) for own in (rights, rights_after))
    counted = heavy > 0
    names = [name for name, counts in zip(clusters, counted, strict=True) if counts]
    return paired_difference(ones[counted], others[counted], names, heavy[counted], seed=seed)


def change_of_total(
    total: Any, base: Values, adapted: Values, before: float, after: float, clusters: Sequence[str], *, seed: int
) -> Estimate | None:
    """Paired difference of a metric that only all rows together have, by a bootstrap over clusters of rows.

    None where the task does not say how it comes of rows, or says another number than the harness, and where no draw
    differs from another.
    """
    if total is None or len(base) != len(clusters):
        return None
    places: dict[str, list[int]] = {}
    for place, name in enumerate(clusters):
        places.setdefault(name, []).append(place)
    groups, chance = list(places.values()), np.random.default_rng(seed)

    def both(rows: Sequence[int]) -> tuple[float, float]:
        one, other = (float(total([values[row] for row in rows])) for values in (base, adapted))
        return one, other

    try:
        if not np.allclose(both(range(len(base))), (before, after), atol=1e-9):
            return None
        drawn = (chance.integers(0, len(groups), len(groups)) for _ in range(RESAMPLES))
        found = [both([row for group in one for row in groups[group]]) for one in drawn]
    except (TypeError, ZeroDivisionError):  # a draw without any row that the metric is about
        return None
    changes = [two - one for one, two in found if math.isfinite(one) and math.isfinite(two)]
    if len(changes) < RESAMPLES:
        return None
    low, high = np.quantile(changes, [0.025, 0.975])
    if high - low < 1e-12:  # all draws are alike, as for a model that never answers: that is no certainty
        return None
    return Estimate(after - before, float(low), float(high), len(base), len(groups))


def above(base: Values, value: float, chance: float | None, clusters: Sequence[str], *, seed: int) -> bool | None:
    """Whether an accuracy of the base is above guessing: where it is a mean over rows, its interval over clusters of
    them must begin above it. None where guessing is not known; nothing is above a guess that is always right.
    """
    if chance is None or chance <= 0:
        return None
    if chance >= 1:
        return False
    if (found := shares(base)) and sum(found[1]) > 0:
        rights, weights = np.array(found[0]), np.array(found[1])
        means = rights / np.where(weights > 0, weights, 1.0)
        return bool(mean_over_prompts(means, clusters, weights, seed=seed, within=(0, 1)).low > chance)
    return bool(value > chance)
