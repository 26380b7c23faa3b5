"""Order of prompts by coverage and turns between groups: against brute force and the definition."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_diversity import unit, unit_rows

from annotation.selection import coverage
from annotation.selection.diversity import UNIT

# -- the order of prompts -------------------------------------------------------------------------------------


def worth(rows: NDArray[np.float32], chosen: list[int]) -> int:
    gram = np.maximum(np.rint(np.clip(rows.astype(float) @ rows.astype(float).T, 0, 1) * UNIT), 0).astype(np.int64)
    return int(gram[chosen].max(axis=0).sum()) if chosen else 0


def naive_greedy(rows: NDArray[np.float32], placed: list[int]) -> tuple[list[int], list[int]]:
    order: list[int] = []
    gains: list[int] = []
    while len(order) + len(set(placed)) < len(rows):
        before = worth(rows, placed + order)
        left = [n for n in range(len(rows)) if n not in placed and n not in order]
        best = max(left, key=lambda n: (worth(rows, [*placed, *order, n]) - before, -n))
        gains.append(worth(rows, [*placed, *order, best]) - before)
        order.append(best)
    return order, gains


@given(unit_rows(), st.data())
def test_lazy_greedy_equals_naive_greedy(rows: NDArray[np.float32], data: st.DataObject) -> None:
    placed = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=3, unique=True))
    assert coverage.order_by_coverage(rows, placed) == naive_greedy(rows, placed)


@given(unit_rows(least=2), st.data())
def test_every_prefix_goes_on_as_the_whole(rows: NDArray[np.float32], data: st.DataObject) -> None:
    order, gains = coverage.order_by_coverage(rows)
    assert sorted(order) == list(range(len(rows)))
    assert all(gain >= 0 for gain in gains), "facility location is monotone"
    assert gains == sorted(gains, reverse=True), "and its gains shrink"
    cut = data.draw(st.integers(0, len(rows)))
    assert coverage.order_by_coverage(rows, order[:cut]) == (order[cut:], gains[cut:])


@given(unit_rows(most=7))
@settings(max_examples=50)
def test_every_prefix_is_near_the_best_set_of_its_size(rows: NDArray[np.float32]) -> None:
    order, _ = coverage.order_by_coverage(rows)
    for size in range(1, len(rows) + 1):
        best = max(worth(rows, list(subset)) for subset in itertools.combinations(range(len(rows)), size))
        assert worth(rows, order[:size]) >= (1 - 1 / math.e) * best


@given(unit_rows(most=30), st.data())
def test_an_order_in_cells_goes_on_where_it_stopped(rows: NDArray[np.float32], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "LARGEST_CELL", 6)
        patch.setattr(coverage, "CELL", 3)
        order, gains = coverage.order_by_coverage(rows)
        assert sorted(order) == list(range(len(rows)))
        assert gains == sorted(gains, reverse=True)
        cut = data.draw(st.integers(0, len(rows)))
        assert coverage.order_by_coverage(rows, order[:cut]) == (order[cut:], gains[cut:])
        assert coverage.order_by_coverage(rows, limit=cut) == (order[:cut], gains[:cut])


def test_an_order_in_cells_covers_nearly_as_well_as_one_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = unit(np.repeat(random.normal(size=(40, 32)), 15, axis=0) + 0.6 * random.normal(size=(600, 32)))
    whole, _ = coverage.order_by_coverage(rows)
    monkeypatch.setattr(coverage, "LARGEST_CELL", 200)
    monkeypatch.setattr(coverage, "CELL", 100)
    cells, _ = coverage.order_by_coverage(rows)
    for size in (10, 40, 100, 300):
        chance = np.mean([worth(rows, random.permutation(600)[:size].tolist()) for _ in range(10)])
        assert worth(rows, cells[:size]) - chance > 0.8 * (worth(rows, whole[:size]) - chance)


groups = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=6)


@given(groups)
def test_turns_keep_the_groups_in_proportion(drawn: list[tuple[int, int, int]]) -> None:
    lengths, weights, before = (list(column) for column in zip(*drawn, strict=True))
    turns = coverage.interleave(lengths, weights, before)
    assert Counter(turns) == Counter({group: length for group, length in enumerate(lengths) if length})
    # Webster's inequality characterises the method: no turn that was given could better have gone to another group.
    had = list(before)
    for done, group in enumerate(turns):
        left = Counter(turns[done:])
        for other in left:
            assert (2 * had[group] + 1) * weights[other] <= (2 * had[other] + 1) * weights[group]
        had[group] += 1


@given(groups, st.data())
def test_turns_go_on_where_they_stopped(drawn: list[tuple[int, int, int]], data: st.DataObject) -> None:
    lengths, weights, before = (list(column) for column in zip(*drawn, strict=True))
    turns = coverage.interleave(lengths, weights, before)
    cut = data.draw(st.integers(0, len(turns)))
    given_out = Counter(turns[:cut])
    left = [length - given_out[group] for group, length in enumerate(lengths)]
    had = [taken + given_out[group] for group, taken in enumerate(before)]
    assert coverage.interleave(left, weights, had) == turns[cut:]


def test_groups_that_owe_nothing_come_last() -> None:
    assert coverage.interleave([2, 2, 1], [0, 3, 0], [0, 0, 0]) == [1, 1, 0, 2, 0]


def test_a_prefix_holds_the_quotas_shares() -> None:
    turns = coverage.interleave([200, 100, 50], [40, 20, 10], [0, 0, 0])
    for size in range(1, len(turns) + 1):
        shares = Counter(turns[:size])
        for group, share in enumerate((4 / 7, 2 / 7, 1 / 7)):
            assert abs(shares[group] - share * size) <= 1
