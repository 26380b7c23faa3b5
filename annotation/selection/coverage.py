"""Coverage: an order of prompts of which every prefix covers all of them well, and turns between groups. Numpy only."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from annotation.selection.diversity import UNIT, Floats, Ints, Whole

LARGEST_CELL = 8192
"""So many prompts are ordered by the similarities of all pairs (256 MiB); more are divided into cells first."""

CELL = 1024
"""Prompts in a cell, about; none has more than four times as many."""

SAMPLE = 100
"""Prompts for each cell that k-means looks at; all others go to the cell whose centre is nearest."""

ROUNDS = 8
"""Rounds of k-means that divide prompts into cells."""


def order_by_coverage(
    vectors: Floats, placed: Collection[int] = (), limit: int | None = None
) -> tuple[list[int], list[int]]:
    """Put prompts into an order of which every prefix covers all of them well.

    Facility location: the worth of a set is the sum, over all prompts, of the similarity (not below 0) to the nearest
    of the set. Greedy choice is within 1 - 1/e of the best set of every size (Nemhauser, Wolsey and Fisher 1978); gains
    only shrink, so that most need not be computed again (lazy greedy, Minoux 1978). More than LARGEST_CELL prompts are
    divided into cells of similar ones: each cell is ordered by itself, and the orders are merged by gain. There
    similarities are in single precision: the order is the same on every run of one machine, but two prompts that add
    the same may change places between machines.

    Args:
        vectors: Shape (n, d), unit rows.
        placed: Indices that stand already; they cover, and are not ordered again.
        limit: Only the first of the order are needed: the same ones, sooner.

    Returns:
        The other indices, best first, and what each added (in cells: to its cell), in millionths.
    """
    stands = set(placed)
    most = len(vectors) - len(stands) if limit is None else min(limit, len(vectors) - len(stands))
    if most <= 0:
        return [], []
    if len(vectors) > LARGEST_CELL:
        lines = list(_cell_lines(vectors, stands, most))
    else:
        lines = [[(-gain, index) for index, gain in _greedy(_whole_pairs(vectors), stands, most)]]
    merged = list(heapq.merge(*lines))[:most] if len(lines) > 1 else lines[0]
    return [index for _, index in merged], [-gain for gain, _ in merged]


def _whole_pairs(vectors: Floats) -> Whole:
    """Cosines of all pairs, 0 and more, in millionths."""
    exact = vectors.astype(np.float64)
    pairs = np.empty((len(exact), len(exact)), np.int32)
    for start in range(0, len(exact), 256):
        cosines = np.clip(exact[start : start + 256] @ exact.T, 0.0, 1.0)
        pairs[start : start + 256] = np.rint(cosines * UNIT)
    return pairs


def _greedy(pairs: Whole | Floats, placed: Collection[int], most: int) -> Iterator[tuple[int, int]]:
    """Indices that are not placed, best first, each with what it adds in millionths.

    `pairs` has shape (n, n): cosines of 0 and more, whole millionths or single precision.
    """
    kind, unit = (np.int64, 1) if pairs.dtype == np.int32 else (np.float32, UNIT)
    covered, room = np.zeros(len(pairs), pairs.dtype), np.empty(len(pairs), pairs.dtype)
    for index in placed:
        np.maximum(covered, pairs[index], out=covered)

    def gain(index: int) -> int:
        np.subtract(pairs[index], covered, out=room)
        np.maximum(room, 0, out=room)
        return round(float(room.sum(dtype=kind)) * unit)

    gains: list[Any] = []
    for start in range(0, len(pairs), 256):
        added = np.maximum(pairs[start : start + 256] - covered, 0) if placed else pairs[start : start + 256]
        gains += added.sum(axis=1, dtype=kind).tolist()
    # (-upper bound, index, size of the set for which it was computed)
    heap = [(-round(one * unit), index, 0) for index, one in enumerate(gains) if index not in placed]
    heapq.heapify(heap)
    had = 0
    while heap and had < most:
        bound, index, at = heap[0]
        if at < had:
            heapq.heapreplace(heap, (-gain(index), index, had))
            continue
        heapq.heappop(heap)
        had += 1
        yield index, -bound
        np.maximum(covered, pairs[index], out=covered)


def _cell_lines(vectors: Floats, placed: set[int], most: int) -> Iterator[list[tuple[int, int]]]:
    """Order of each cell: (-gain, index), as far as it can be among the best `most` of all cells."""
    best: list[int] = []  # The largest gains so far, the least of them first.
    for cell in _cells(vectors):
        members, own = cell.tolist(), vectors[cell]
        pairs: Any = own @ own.T
        np.maximum(pairs, 0, out=pairs)
        line = []
        for place, gain in _greedy(pairs, {at for at, index in enumerate(members) if index in placed}, most):
            if len(best) < most:
                heapq.heappush(best, gain)
            elif gain < best[0]:
                break
            else:
                heapq.heapreplace(best, gain)
            line.append((-gain, members[place]))
        yield line


def _cells(vectors: Floats) -> list[Ints]:
    """Divide rows by spherical k-means into cells of about CELL, each in ascending order."""
    count = math.ceil(len(vectors) / CELL)
    sample = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), count * SAMPLE)).astype(np.int64)]
    centres = sample[np.linspace(0, len(sample) - 1, count).astype(np.int64)]
    for _ in range(ROUNDS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        used, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres[used] = np.divide(sums, lengths, where=lengths > 0, out=centres[used])
    nearest = _nearest(vectors, centres)
    order = np.argsort(nearest, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(nearest[order])) + 1)
    # Where nearly all are alike, k-means cannot divide them.
    return [part for cell in cells for part in np.array_split(cell, math.ceil(len(cell) / (4 * CELL)))]


def _nearest(vectors: Floats, centres: Floats) -> Ints:
    """The centre nearest to each row."""
    return np.concatenate(
        [(vectors[start : start + 2**14] @ centres.T).argmax(axis=1) for start in range(0, len(vectors), 2**14)]
    )


def interleave(lengths: Sequence[int], weights: Sequence[int], taken: Sequence[int]) -> list[int]:
    """Take turns between groups, so that every prefix holds them in the proportion of their weights.

    The next turn is that of the group with the least (2 x turns had + 1) / weight: Webster's method, which gives the
    fairest whole-number shares. Ties go to the earlier group. Groups of weight 0 come when all others are through.

    Args:
        lengths: How many turns each group can use.
        weights: What each group is owed.
        taken: How many turns each had before.

    Returns:
        The groups' indices, one for each turn; as many as the lengths' sum.
    """
    heap = [(_turn(taken[group], weights[group]), group, 0) for group in range(len(lengths)) if lengths[group]]
    heapq.heapify(heap)
    turns: list[int] = []
    while heap:
        _, group, had = heapq.heappop(heap)
        turns.append(group)
        if had + 1 < lengths[group]:
            heapq.heappush(heap, (_turn(taken[group] + had + 1, weights[group]), group, had + 1))
    return turns


def _turn(had: int, weight: int) -> tuple[bool, Fraction]:
    return weight == 0, Fraction(2 * had + 1, weight or 1)
