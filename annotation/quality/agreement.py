"""Agreement of annotators: Krippendorff's alpha, with what it stands on and a bootstrap interval."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.errors import NotEnoughOverlap
from annotation.tasks.base import Scale

RESAMPLES = 500

FEWEST_ITEMS = 5
"""A bootstrap over fewer items is far too narrow."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient and what it stands on.

    Attributes:
        alpha: 1 is perfect agreement, 0 what chance would give, below 0 systematic disagreement.
        low: 2.5th percentile of the bootstrap over items; None where it would say more than is known: with fewer than
            FEWEST_ITEMS items, or where every resample agrees perfectly.
        high: 97.5th percentile; None where `low` is.
        items: What was judged by two people or more: of rankings, slates.
        annotators: People who judged one of them.
    """

    alpha: float
    low: float | None
    high: float | None
    items: int
    annotators: int


def pattern(answers: Iterable[Mapping[str, float | str]]) -> str:
    """What people said of one item, without who said what: all that alpha depends on; "" where nothing overlaps.

    Args:
        answers: What each person said: unit -> value. A unit that is not there was not judged.
    """
    values: dict[str, list[Any]] = {}
    for answer in answers:
        for unit, value in answer.items():
            values.setdefault(unit, []).append(value)
    shared = sorted(sorted(given) for given in values.values() if len(given) >= 2)
    return json.dumps(shared, ensure_ascii=False) if shared else ""


def measure_agreement(
    patterns: Mapping[str, int],
    scale: Scale,
    *,
    annotators: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Alpha over all units of all items; the interval resamples whole items, since the units of one hang together.

    Items of which people said the same are one pattern: however many items there are, there are few patterns.

    Args:
        patterns: From `pattern` -> how many items have it.
        scale: Of the values, as for `alpha`; a nominal scale takes words too.
        annotators: People who judged one of the items.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.

    Raises:
        NotEnoughOverlap: No unit was judged by two people, or they gave all units the same value.
    """
    found = {given: number for given, number in sorted(patterns.items()) if given and number}
    if not found:
        raise NotEnoughOverlap("nothing was judged by two people yet.")
    units: list[list[Any]] = []
    item_of_unit: list[int] = []
    for number, given in enumerate(found):
        own = json.loads(given)
        units += own
        item_of_unit += [number] * len(own)
    domain: list[Any] = sorted(set[Any]().union(*units))
    if len(domain) == 1:
        raise NotEnoughOverlap("whatever two people judged, all of them gave it the same value.")

    import numpy as np

    from annotation.quality.alpha import Coincidences

    column = {value: number for number, value in enumerate(domain)}
    cells = [number * len(domain) + column[value] for number, votes in enumerate(units) for value in votes]
    table = np.bincount(cells, minlength=len(units) * len(domain)).reshape(len(units), len(domain))
    coincidences = Coincidences(table, np.array(item_of_unit), len(found), domain, scale)
    weights = np.array(list(found.values()), np.float64)

    low = high = None
    items = int(weights.sum())
    if items >= FEWEST_ITEMS:
        drawn = coincidences.resampled(weights, resamples, np.random.default_rng(seed))
        ends = [float(x) for x in np.nanpercentile(drawn, [2.5, 97.5])]
        low, high = ends if ends[1] - ends[0] > 1e-12 else (None, None)
    overall = float(coincidences.alphas(weights[None, :])[0])
    return Agreement(overall, low, high, items=items, annotators=annotators)
