"""Diversity: k-medoid representatives of a prompt's answers. Numpy only.

Similarities are cosines of unit vectors, counted in whole millionths: sums are exact whatever their order, so a tie
is a tie, and it always goes to the lower index. Callers sort by id.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT = 1_000_000
"""A similarity or distance of 1."""

EXACT_SUBSETS = 60_000
"""With more subsets than this (4 of 36, 8 of 18), medoids are improved by swaps instead of tried one and all."""

WORKING_SET = 2**20
"""Bytes that the innermost loop of `find_medoids` touches: what fits into a core's cache goes fastest."""

Ints = NDArray[np.int64]
Whole = NDArray[np.int32]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def similarities(vectors: Floats) -> Whole:
    """Cosines of all pairs, in millionths.

    Args:
        vectors: Shape (..., n, d), unit rows. Multiplied in double precision: the last bits of single precision depend
            on the shape of the product, and would move ties.

    Returns:
        Shape (..., n, n), symmetric.
    """
    exact = vectors.astype(np.float64)
    cosines = np.clip(exact @ np.swapaxes(exact, -1, -2), -1.0, 1.0)
    whole: Whole = np.rint(cosines * UNIT).astype(np.int32)
    # A vector in single precision is of length 1 only nearly.
    every = np.arange(vectors.shape[-2])
    whole[..., every, every] = UNIT
    return whole


def similarity_to_others(pairs: Whole, alive: Flags) -> Whole:
    """Cosine of every answer with the centroid of the prompt's other answers, in millionths.

    Its own vector is left out: among few answers it would vouch for itself.

    Args:
        pairs: Shape (p, n, n): `similarities` of the answers to p prompts.
        alive: Shape (p, n): which answers count.

    Returns:
        Shape (p, n). -UNIT where there is no other answer.
    """
    cosines, counts = pairs / UNIT, alive.astype(np.float64)
    towards = np.einsum("pij,pj->pi", cosines, counts)
    # |sum of the others|^2, out of the matrix alone.
    whole = np.einsum("pi,pi->p", towards, counts)[:, None]
    own = counts * np.einsum("pii->pi", cosines)
    length = np.sqrt(np.maximum(whole - 2 * counts * towards + counts * own, 0))
    others = alive.sum(axis=1, keepdims=True) - alive
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (towards - own) / length
    known = (others > 0) & (length > 1e-9)
    result: Whole = np.rint(np.where(known, np.clip(cosine, -1, 1), -1.0) * UNIT).astype(np.int32)
    return result


def repeated_answers(pairs: Whole, alive: Flags, threshold: float) -> Ints:
    """Near duplicates among the answers of each prompt: those that repeat a more central one.

    The answers of a prompt are gone through from the most central (largest sum of similarities) to the least; one that
    is as similar as the threshold to an answer kept before it is a duplicate of that answer.

    Args:
        pairs: Shape (p, n, n): `similarities`.
        alive: Shape (p, n): which answers count.
        threshold: Cosine from which two answers are one.

    Returns:
        Shape (p, n): index of the kept answer that this one repeats, -1 where it is kept (or was not alive).
    """
    prompts, count = alive.shape
    limit = math.ceil(threshold * UNIT)
    central = np.where(
        alive, np.einsum("pij,pj->pi", pairs.astype(np.int64), alive.astype(np.int64)), np.iinfo(np.int64).min
    )
    order = np.argsort(-central, axis=1, kind="stable")
    kept = np.zeros_like(alive)
    repeats = np.full((prompts, count), -1, np.int64)
    every = np.arange(prompts)
    for place in range(count):
        answer = order[:, place]
        close = np.where(kept, pairs[every, answer], -2 * UNIT)
        nearest = close.argmax(axis=1)
        again = alive[every, answer] & (close[every, nearest] >= limit)
        repeats[every[again], answer[again]] = nearest[again]
        kept[every, answer] = alive[every, answer] & ~again
    return repeats


@dataclass(frozen=True, slots=True)
class Medoids:
    """k-medoid representatives of each prompt's answers.

    Attributes:
        chosen: Shape (p, k), indices in ascending order.
        cost: Shape (p,): sum of the distances of all answers to their nearest medoid, in millionths.
        exact: No other subset is better; otherwise no single swap is.
    """

    chosen: Ints
    cost: Ints
    exact: bool


def find_medoids(distances: Whole, k: int) -> Medoids:
    """Find k-medoid representatives of each prompt's answers: the sum of distances to the nearest of them is least.

    (Kaufman and Rousseeuw 1990, "Partitioning around medoids".) Up to EXACT_SUBSETS subsets it is solved exactly:
    subsets are walked in lexicographic order, and each step (one more member) is one minimum over all prompts of a
    slice at once; the last member is tried for all values together. Beyond, BUILD and then the best swap until none
    helps.

    Args:
        distances: Shape (p, n, n), whole and symmetric, zero on the diagonal.
        k: 1 to n.
    """
    prompts, n, _ = distances.shape
    if not 1 <= k <= n:
        raise ValueError(f"{k} of {n} answers")
    if math.comb(n, k) > EXACT_SUBSETS:
        found = [_swap_medoids(one.astype(np.int64), k) for one in distances]
        chosen = np.array([medoids for medoids, _ in found], np.int64).reshape(prompts, k)
        return Medoids(chosen, np.array([cost for _, cost in found], np.int64), exact=False)
    chosen, costs = np.zeros((prompts, k), np.int64), np.zeros(prompts, np.int64)
    slice_size = max(1, WORKING_SET // (n * n * 4))
    for start in range(0, prompts, slice_size):
        part = slice(start, start + slice_size)
        # (medoid, point, prompt): the innermost axis runs over prompts, so that every minimum is one long stripe.
        chosen[part], costs[part] = _exact_medoids(np.ascontiguousarray(distances[part].transpose(1, 2, 0)), k)
    return Medoids(chosen, costs, exact=True)


def _exact_medoids(distances: Whole, k: int) -> tuple[Ints, Ints]:
    n, _, prompts = distances.shape
    total = np.int32 if 2 * UNIT * n < 2**31 else np.int64
    best = np.full(prompts, np.iinfo(np.int64).max)
    chosen = np.zeros((prompts, k), np.int64)
    for prefix, reached in _prefixes(distances, k - 1):
        first = prefix[-1] + 1 if prefix else 0
        last = distances[first:] if reached is None else np.minimum(distances[first:], reached)
        costs = last.sum(axis=1, dtype=total)
        pick = costs.argmin(axis=0)
        cost = costs[pick, np.arange(prompts)]
        better = cost < best
        best[better] = cost[better]
        chosen[better, : k - 1] = prefix
        chosen[better, k - 1] = first + pick[better]
    return chosen, best


def _prefixes(
    distances: Whole, size: int, prefix: tuple[int, ...] = (), reached: Whole | None = None
) -> Iterator[tuple[tuple[int, ...], Whole | None]]:
    """All ascending tuples of `size` medoids that leave room for one more, with every point's distance to them."""
    if len(prefix) == size:
        yield prefix, reached
        return
    first = prefix[-1] + 1 if prefix else 0
    for medoid in range(first, len(distances) - (size - len(prefix))):
        nearer = distances[medoid] if reached is None else np.minimum(reached, distances[medoid])
        yield from _prefixes(distances, size, (*prefix, medoid), nearer)


def _swap_medoids(distances: Ints, k: int) -> tuple[list[int], int]:
    medoids: list[int] = []
    reached = np.full(len(distances), np.iinfo(np.int32).max, np.int64)
    for _ in range(k):
        costs = np.minimum(distances, reached).sum(axis=1)
        costs[medoids] = np.iinfo(np.int64).max
        medoids.append(int(costs.argmin()))
        reached = np.minimum(reached, distances[medoids[-1]])
    cost = int(reached.sum())
    while True:
        options = []
        for place in range(k):
            rest = [medoid for at, medoid in enumerate(medoids) if at != place]
            without = distances[rest].min(axis=0) if rest else np.full(len(distances), np.iinfo(np.int32).max, np.int64)
            costs = np.minimum(distances, without).sum(axis=1)
            options.append((int(costs.min()), place, int(costs.argmin())))
        swapped, place, answer = min(options)
        if swapped >= cost:
            return sorted(medoids), cost
        cost, medoids[place] = swapped, answer


def assign(distances: Whole, chosen: Ints) -> Ints:
    """Nearest chosen answer of every answer; a chosen one belongs to itself, other ties to the lower index.

    Args:
        distances: Shape (n, n).
        chosen: Shape (k,), indices.

    Returns:
        Shape (n,), each value one of `chosen`.
    """
    ordered = np.sort(chosen)
    nearest: Ints = ordered[distances[:, ordered].argmin(axis=1)]
    nearest[ordered] = ordered
    return nearest
