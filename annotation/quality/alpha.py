"""Krippendorff's alpha of tables of counted values, and its bootstrap; pure functions of numbers.

Source: K. Krippendorff, Content Analysis (4th ed., 2018), ch. 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from annotation.tasks.base import Scale

AT_ONCE = 2**21
"""Weights that the bootstrap holds at once: 16 MB."""

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


def alpha(counts: npt.ArrayLike, values: Sequence[float | str], scale: Scale) -> float:
    """Krippendorff's alpha of a table; NaN where no unit has two values, or all values are the same.

    Args:
        counts: (units, values): how many people gave a unit a value. Units with fewer than two values do not count.
        values: What the columns stand for, in ascending order; for a nominal scale in any order.
        scale: Nominal: values are the same or not. Ordinal: only their order counts. Interval: their differences do.
    """
    table = np.asarray(counts, np.int64)
    table = table.reshape(len(table), len(values))
    coincidences = Coincidences(table, np.zeros(len(table), np.int64), 1, values, scale)
    return float(coincidences.alphas(np.ones((1, 1)))[0])


class Coincidences:
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
