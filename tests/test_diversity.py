"""Choosing answers and ordering prompts: against brute force, published answers and the definition."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotation.selection import diversity
from annotation.selection.diversity import UNIT

# Ruspini, E. H. (1970): Numerical methods for fuzzy clustering. Information Sciences 2, 319-350. Points 1 to 75.
RUSPINI = """
4 53  5 63  10 59  9 77  13 49  13 69  12 88  15 75  18 61  19 65  22 74  27 72  28 76  24 58  27 55  28 60  30 52
31 60  32 61  36 72  28 147  32 149  35 153  33 154  38 151  41 150  38 145  38 143  32 143  34 141  44 156  44 149
44 143  46 142  47 149  49 152  50 142  53 144  52 152  55 155  54 124  60 136  63 139  86 132  85 115  85 96  78 94
74 96  97 122  98 116  98 124  99 119  99 128  101 115  108 111  110 111  108 116  111 126  115 117  117 115  70 4
77 12  83 21  61 15  69 15  78 16  66 18  58 13  64 20  69 21  66 23  61 25  76 27  72 31  64 30
"""

# What R's cluster::pam finds on them: medoids (counted from 1) and mean distance, from the package's own reference
# output (Maechler, Rousseeuw, Struyf, Hubert, Hornik: cluster, tests/pam.Rout.save).
PUBLISHED = {
    3: ((17, 32, 52), 21.59293),
    4: ((10, 32, 52, 70), 11.48637),
    5: ((10, 32, 47, 52, 70), 10.39579),
}


def ruspini() -> NDArray[np.int32]:
    points = np.array(RUSPINI.split(), float).reshape(-1, 2)
    assert len(points) == 75
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    whole: NDArray[np.int32] = np.rint(distances * 10_000).astype(np.int32)
    return whole


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    single: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return single


@st.composite
def distance_stacks(draw: st.DrawFn) -> tuple[NDArray[np.int32], int]:
    """Few different values, so that many subsets tie."""
    prompts, n = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    values = draw(st.lists(st.integers(0, 6), min_size=prompts * n * n, max_size=prompts * n * n))
    raw = np.array(values, np.int32).reshape(prompts, n, n)
    stack = np.minimum(raw, raw.transpose(0, 2, 1))
    stack[:, np.arange(n), np.arange(n)] = 0
    return stack, draw(st.integers(1, n))


@st.composite
def unit_rows(draw: st.DrawFn, least: int = 1, most: int = 9) -> NDArray[np.float32]:
    """Unit vectors on a coarse grid: equal ones and equal similarities happen often."""
    n, d = draw(st.integers(least, most)), draw(st.integers(1, 4))
    values = draw(st.lists(st.integers(-2, 2), min_size=n * d, max_size=n * d))
    rows = np.array(values, float).reshape(n, d)
    rows[np.linalg.norm(rows, axis=1) == 0, 0] = 1
    return unit(rows)


# -- medoids --------------------------------------------------------------------------------------------------


def brute_force(distances: NDArray[np.int32], k: int) -> tuple[tuple[int, ...], int]:
    costs = {
        subset: sum(min(int(distances[m, point]) for m in subset) for point in range(len(distances)))
        for subset in itertools.combinations(range(len(distances)), k)
    }
    best = min(costs, key=lambda subset: (costs[subset], subset))
    return best, costs[best]


@given(distance_stacks())
def test_exact_medoids_equal_brute_force_ties_included(drawn: tuple[NDArray[np.int32], int]) -> None:
    stack, k = drawn
    found = diversity.find_medoids(stack, k)
    assert found.exact
    expected = [brute_force(one, k) for one in stack]
    assert [tuple(row) for row in found.chosen] == [subset for subset, _ in expected]
    assert found.cost.tolist() == [cost for _, cost in expected]


@given(distance_stacks(), st.integers(1, 3))
def test_the_size_of_slices_changes_nothing(drawn: tuple[NDArray[np.int32], int], prompts_per_slice: int) -> None:
    stack, k = drawn
    whole = diversity.find_medoids(stack, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diversity, "WORKING_SET", prompts_per_slice * 4 * stack.shape[1] ** 2)
        sliced = diversity.find_medoids(stack, k)
    assert (whole.chosen == sliced.chosen).all()
    assert (whole.cost == sliced.cost).all()


@pytest.mark.parametrize("k", [3, 4, 5])
def test_swaps_find_the_published_medoids_of_ruspini(k: int) -> None:
    distances = ruspini()
    assert math.comb(75, k) > diversity.EXACT_SUBSETS
    found = diversity.find_medoids(distances[None], k)
    assert not found.exact
    medoids, mean = PUBLISHED[k]
    assert tuple(found.chosen[0] + 1) == medoids
    assert found.cost[0] / 10_000 / 75 == pytest.approx(mean, abs=1e-4)


def test_all_subsets_of_ruspini_give_the_published_medoids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "EXACT_SUBSETS", 100_000)
    found = diversity.find_medoids(ruspini()[None], 3)
    assert found.exact
    assert tuple(found.chosen[0] + 1) == PUBLISHED[3][0]
    assert found.cost[0] / 10_000 / 75 == pytest.approx(PUBLISHED[3][1], abs=1e-4)


@given(distance_stacks())
def test_no_single_swap_betters_what_swaps_found(drawn: tuple[NDArray[np.int32], int]) -> None:
    stack, k = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diversity, "EXACT_SUBSETS", 0)
        found = diversity.find_medoids(stack, k)
    assert not found.exact
    for distances, chosen, cost in zip(stack, found.chosen, found.cost, strict=True):
        assert len(set(chosen)) == k
        assert distances[chosen].min(axis=0).sum() == cost
        assert cost >= brute_force(distances, k)[1]
        for place, other in itertools.product(range(k), range(len(distances))):
            swapped = [*chosen[:place], other, *chosen[place + 1 :]]
            assert distances[swapped].min(axis=0).sum() >= cost


@pytest.mark.parametrize("count", [12, 60])
def test_planted_clusters_get_one_medoid_each_at_their_centre(count: int) -> None:
    random = np.random.default_rng(3)
    centres = unit(np.eye(4, 16))
    near = unit(centres[np.arange(count) % 4] + 0.15 * random.normal(size=(count, 16)))
    rows = np.concatenate([centres, near])
    found = diversity.find_medoids((UNIT - diversity.similarities(rows))[None].astype(np.int32), 4)
    assert sorted(found.chosen[0]) == [0, 1, 2, 3]
    clusters = diversity.assign((UNIT - diversity.similarities(rows)).astype(np.int32), found.chosen[0])
    assert clusters.tolist() == [0, 1, 2, 3] + [n % 4 for n in range(count)]


def test_a_medoid_belongs_to_itself_and_ties_go_to_the_lower_index() -> None:
    distances = np.array([[0, 0, 5], [0, 0, 5], [5, 5, 0]], np.int32)
    assert diversity.assign(distances, np.array([1, 0])).tolist() == [0, 1, 0]
    assert diversity.assign(distances, np.array([0, 2])).tolist() == [0, 0, 2]


def test_medoids_of_many_prompts_take_little_memory() -> None:
    random = np.random.default_rng(0)
    rows = unit(random.normal(size=(6000, 12, 8)))
    distances = (UNIT - diversity.similarities(rows)).astype(np.int32)
    tracemalloc.start()
    diversity.find_medoids(distances, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * diversity.WORKING_SET, f"{peak / 2**20:.1f} MiB beside the distances"


def test_more_medoids_than_answers_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="5 of 4"):
        diversity.find_medoids(np.zeros((1, 4, 4), np.int32), 5)


# -- filters --------------------------------------------------------------------------------------------------


@given(unit_rows(), st.data())
def test_similarity_to_others_is_the_cosine_with_their_centroid(rows: NDArray[np.float32], data: st.DataObject) -> None:
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    found = diversity.similarity_to_others(diversity.similarities(rows)[None], alive[None])[0]
    for index, row in enumerate(rows.astype(float)):
        others = [other for other in range(len(rows)) if alive[other] and other != index]
        centroid = rows[others].astype(float).sum(axis=0) if others else np.zeros(rows.shape[1])
        length = np.linalg.norm(centroid)
        if not others or length < 1e-2:
            # Others that cancel out have no direction: what little is left of them is rounding.
            continue
        assert found[index] / UNIT == pytest.approx(float(row @ centroid) / length, abs=1e-3)


def test_an_answer_alone_has_no_others() -> None:
    rows = unit(np.eye(2))
    pairs = diversity.similarities(rows)[None]
    assert diversity.similarity_to_others(pairs, np.array([[True, False]])).tolist() == [[-UNIT, 0]]


@given(unit_rows(), st.sampled_from([0.3, 0.7, 0.95, 1.0]), st.data())
def test_near_duplicates_point_at_a_kept_answer(
    rows: NDArray[np.float32], threshold: float, data: st.DataObject
) -> None:
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    pairs = diversity.similarities(rows)
    repeats = diversity.repeated_answers(pairs[None], alive[None], threshold)[0]
    kept = [n for n in range(len(rows)) if alive[n] and repeats[n] < 0]
    for one, other in itertools.combinations(kept, 2):
        assert pairs[one, other] < threshold * UNIT
    for n in range(len(rows)):
        if repeats[n] >= 0:
            assert alive[n]
            assert repeats[n] in kept
            assert pairs[n, repeats[n]] >= threshold * UNIT
        if not alive[n]:
            assert repeats[n] == -1
    assert bool(kept) == bool(alive.any())


def test_the_most_central_of_near_duplicates_is_kept() -> None:
    angles = np.radians([0, 10, 20, 190])
    rows = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    repeats = diversity.repeated_answers(diversity.similarities(rows)[None], np.ones((1, 4), bool), 0.97)
    assert repeats.tolist() == [[1, -1, 1, -1]]
