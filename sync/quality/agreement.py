"""How far annotators agree: Krippendorff's alpha, with what it stands on and a bootstrap interval.

Source: K. Krippendorff, Content Analysis (4th ed., 2018), ch. 12.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from annotation.errors import NotEnoughOverlap
from annotation.tasks.base import Scale

RESAMPLES = 500

AT_ONCE = 2**21
"""Weights that the bootstrap holds at once: 16 MB."""

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient and what it stands on.

    Attributes:
        alpha: 1 is perfect agreement, 0 what chance would give, below 0 systematic disagreement.
        low: 2.5th percentile of the bootstrap over items; None with a single item.
        high: 97.5th percentile; None with a single item.
        items: What was judged by two people or more: of rankings, slates.
        annotators: People who judged one of them.
    """

    alpha: float
    low: float | None
    high: float | None
    items: int
    annotators: int


def alpha(counts: npt.ArrayLike, values: Sequence[float | str], scale: Scale) -> float:
    """Krippendorff's alpha of a table; NaN where no unit has two values, or all values are the same.

    Args:
        counts: (units, values): how many people gave a unit a value. Units with fewer than two values do not count.
        values: What the columns stand for, in ascending order; for a nominal scale in any order.
        scale: Nominal: values are the same or not. Ordinal: only their order counts. Interval: their differences do.
    """
    table = np.asarray(counts, np.int64)
    table = table.reshape(len(table), len(values))
    coincidences = _Coincidences(table, np.zeros(len(table), np.int64), 1, values, scale)
    return float(coincidences.alphas(np.ones((1, 1)))[0])


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

    column = {value: number for number, value in enumerate(domain)}
    cells = [number * len(domain) + column[value] for number, votes in enumerate(units) for value in votes]
    table = np.bincount(cells, minlength=len(units) * len(domain)).reshape(len(units), len(domain))
    coincidences = _Coincidences(table, np.array(item_of_unit), len(found), domain, scale)
    weights = np.array(list(found.values()), np.float64)

    low = high = None
    items = int(weights.sum())
    if items > 1:
        drawn = coincidences.resampled(weights, resamples, np.random.default_rng(seed))
        low, high = (float(x) for x in np.nanpercentile(drawn, [2.5, 97.5]))
    overall = float(coincidences.alphas(weights[None, :])[0])
    return Agreement(overall, low, high, items=items, annotators=annotators)


class _Coincidences:
    """What each item adds to the coincidence matrix: alpha of weighted items is then a product of matrices.

    Values have places on a line, and their distance is the squared difference of their places. On an interval scale
    the place is the value itself; on an ordinal one it is the middle rank among all values that are counted, and so
    depends on the weights. On a nominal scale all distances are 1.
    """

    def __init__(
        self, table: Ints, item_of_unit: Ints, items: int, values: Sequence[float | str], scale: Scale
    ) -> None:
        """Take how many people gave each unit each value, (units, values), and to which of `items` it belongs."""
        people = table.sum(axis=1)
        table, item_of_unit, people = table[people >= 2], item_of_unit[people >= 2], people[people >= 2]
        self.scale = scale
        self.places = np.asarray(values, np.float64) if scale == "interval" else np.zeros(len(values))
        self.margins = np.zeros((items, len(values)))
        np.add.at(self.margins, item_of_unit, table)

        unit, value = table.nonzero()
        count = table[unit, value]
        most = np.count_nonzero(table, axis=1).max(initial=1)
        # Two different values of one unit: a row and another one, 1, 2 ... rows below it.
        apart = [(at, at + step) for step in range(1, most) for at in [np.flatnonzero(unit[step:] == unit[:-step])]]
        one, other = np.hstack([np.empty((2, 0), np.int64), *apart])
        added = 2 * count[one] * count[other] / (people[unit[one]] - 1)
        if scale == "ordinal":
            cells, column = np.unique(value[one] * len(values) + value[other], return_inverse=True)
            self.first, self.second = np.divmod(cells, len(values))
            self.pairs = np.zeros((items, len(cells)))
        else:  # distances are known already, and one sum holds all pairs
            if scale == "interval":
                added *= (self.places[value[one]] - self.places[value[other]]) ** 2
            column = np.zeros(len(one), np.int64)
            self.pairs = np.zeros((items, 1))
        np.add.at(self.pairs, (item_of_unit[unit[one]], column), added)

    def alphas(self, weights: Floats) -> Floats:
        """(draws, items) -> (draws): alpha where an item counts as often as its weight says; NaN without two values."""
        margins, pairs = weights @ self.margins, weights @ self.pairs
        total = margins.sum(axis=1)
        if self.scale == "nominal":
            expected = total**2 - (margins**2).sum(axis=1)
        else:
            places = self.places
            if self.scale == "ordinal":
                places = margins.cumsum(axis=1) - margins / 2
                pairs = pairs * (places[:, self.first] - places[:, self.second]) ** 2
            middle = (margins * places).sum(axis=1) / np.maximum(total, 1)
            expected = 2 * total * (margins * (places - middle[:, None]) ** 2).sum(axis=1)
        varied = np.count_nonzero(margins, axis=1) > 1
        observed = (total - 1) * pairs.sum(axis=1)
        ratio: Floats = np.divide(observed, expected, out=np.full(len(total), np.nan), where=varied)
        return 1 - ratio

    def resampled(self, weights: Floats, draws: int, rng: np.random.Generator) -> Floats:
        """(draws): alpha of as many items as the weights count, drawn with replacement."""
        items = int(weights.sum())
        step = max(1, AT_ONCE // len(weights))
        sizes = [min(step, draws - done) for done in range(0, draws, step)]
        return np.concatenate(
            [self.alphas(rng.multinomial(items, weights / items, size=size).astype(np.float64)) for size in sizes]
        )
