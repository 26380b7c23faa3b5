"""Krippendorff's alpha against published and hand-counted answers."""

import math
from itertools import pairwise

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import NotEnoughOverlap
from annotation.types import Judgement
from sync.agreement import measure_agreement, middle_ranks


def vote(slate: str, annotator: str, *tiers: str) -> Judgement:
    return Judgement(f"{slate}-{annotator}", slate, annotator, "MX", tuple(tuple(tier) for tier in tiers))


def test_krippendorffs_own_ordinal_example_is_0_815() -> None:
    # K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: the library that we rely on.
    blank = np.nan
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, blank, blank, blank],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, blank, 3],
        [blank, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, blank],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, blank],
    ]
    assert krippendorff.alpha(reliability_data=data, level_of_measurement="ordinal") == pytest.approx(0.815, abs=5e-4)


def test_perfect_agreement_is_one() -> None:
    votes = [vote(s, a, "A", "BC", "D") for s in "xyz" for a in ("p1", "p2", "p3")]
    found = measure_agreement(votes)
    assert (found.alpha, found.low, found.high) == (1.0, 1.0, 1.0)
    assert (found.slates, found.annotators) == (3, 3)


def test_two_people_with_opposite_rankings_get_what_the_formula_gives_by_hand() -> None:
    # One slate, ranks 1 2 3 4 against 4 3 2 1. Every rank occurs twice; the ordinal distance of ranks i places
    # apart is (2 i)^2. Observed: (36 + 4 + 4 + 36) / 4 = 20; expected over the 56 ordered pairs of 8 values:
    # 2 * (4 * (3 * 4 + 2 * 16 + 1 * 36)) / 56 = 640 / 56.
    found = measure_agreement([vote("x", "p1", "A", "B", "C", "D"), vote("x", "p2", "D", "C", "B", "A")])
    assert found.alpha == pytest.approx(1 - 20 / (640 / 56))
    assert found.low is None
    assert found.high is None


def test_no_overlap_is_a_result_and_not_zero() -> None:
    with pytest.raises(NotEnoughOverlap, match="ranked by two people"):
        measure_agreement([vote("x", "p1", "A", "B"), vote("y", "p2", "A", "B")])
    with pytest.raises(NotEnoughOverlap):
        measure_agreement([])


def test_all_ties_are_nothing_to_agree_on() -> None:
    with pytest.raises(NotEnoughOverlap, match="one tie"):
        measure_agreement([vote("x", "p1", "AB"), vote("x", "p2", "AB")])


def test_the_same_person_twice_on_a_slate_is_no_overlap() -> None:
    with pytest.raises(NotEnoughOverlap):
        measure_agreement([vote("x", "p1", "A", "B"), vote("x", "p1", "B", "A")])


def test_random_rankings_agree_at_about_zero_and_the_interval_covers_it() -> None:
    rng = np.random.default_rng(3)
    votes = [
        vote(f"s{number}", who, *(str(seat) for seat in rng.permutation(list("ABCD"))))
        for number in range(200)
        for who in ("p1", "p2", "p3")
    ]
    found = measure_agreement(votes, resamples=200)
    assert abs(found.alpha) < 0.08
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.alpha < found.high
    assert found.high - found.low < 0.25


tiers = st.permutations("ABCD").flatmap(
    lambda seats: st.lists(st.integers(1, 3), max_size=3, unique=True).map(
        lambda cuts: [tuple(seats[a:b]) for a, b in pairwise([0, *sorted(cuts), 4])]
    )
)


@given(tiers)
def test_middle_ranks_always_add_up_to_the_same(ranked: list[tuple[str, ...]]) -> None:
    ranks = middle_ranks(ranked)
    assert sum(ranks.values()) == 10
    places = [ranks[seat] for tier in ranked for seat in tier]
    assert places == sorted(places)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(tiers, tiers), min_size=2, max_size=6))
def test_alpha_equals_the_library_on_the_plain_table_of_ranks(pairs: list[tuple[list[tuple[str, ...]], ...]]) -> None:
    votes = [
        Judgement(f"{n}{who}", str(n), who, "MX", tuple(ranked))
        for n, pair in enumerate(pairs)
        for who, ranked in zip(("p1", "p2"), pair, strict=True)
    ]
    table = np.array([[middle_ranks(pair[person])[seat] for pair in pairs for seat in "ABCD"] for person in (0, 1)])
    if len(np.unique(table)) == 1:
        with pytest.raises(NotEnoughOverlap):
            measure_agreement(votes, resamples=2)
        return
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="ordinal")
    found = measure_agreement(votes, resamples=2).alpha
    assert found == pytest.approx(expected) or (math.isnan(found) and math.isnan(expected))
