"""Krippendorff's alpha against published and hand-counted answers, and against its definition."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import permutations, product
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.errors import NotEnoughOverlap
from annotation.quality import alpha as coefficients
from annotation.quality.agreement import Agreement, measure_agreement, pattern
from annotation.quality.alpha import alpha
from annotation.tasks.base import Scale
from annotation.tasks.ranking.task import middle_ranks

Value = float | str
Unit = Sequence[Value]
"""What people said of one unit, whoever they are."""


def alpha_of(units: Sequence[Unit], scale: Scale) -> float:
    values = sorted({value for unit in units for value in unit}, key=lambda value: (str(type(value)), value))
    return alpha([[unit.count(value) for value in values] for unit in units], values, scale)


def alpha_by_definition(units: Sequence[Unit], scale: Scale) -> float:
    """One minus observed by expected disagreement, both as means over pairs of values, in fractions."""
    pairable = [unit for unit in units if len(unit) >= 2]
    counts = Counter(value for unit in pairable for value in unit)
    total = sum(counts.values())

    def distance(one: Value, other: Value) -> Fraction:
        if scale == "nominal":
            return Fraction(one != other)
        if scale == "interval":
            return (Fraction(one) - Fraction(other)) ** 2
        between = sum(n for value, n in counts.items() if min(one, other) <= value <= max(one, other))  # type: ignore[type-var, operator]
        return (between - Fraction(counts[one] + counts[other], 2)) ** 2

    def sum_over_pairs(values: Unit) -> Fraction:
        return sum((distance(one, other) for one, other in permutations(values, 2)), Fraction(0))

    expected = sum_over_pairs([value for unit in pairable for value in unit])
    if expected == 0:
        return float("nan")
    observed = sum((sum_over_pairs(unit) / (len(unit) - 1) for unit in pairable), Fraction(0))
    return float(1 - (total - 1) * observed / expected)


def measured(votes: Iterable[tuple[str, str, Mapping[str, Value]]], scale: Scale, **options: Any) -> Agreement:
    """Agreement on what each person said of each item; what one says later replaces what they said before."""
    items: dict[str, dict[str, Mapping[str, Value]]] = {}
    for item, annotator, values in votes:
        items.setdefault(item, {})[annotator] = values
    shared = {item: given for item, people in items.items() if (given := pattern(people.values()))}
    annotators = {annotator for item in shared for annotator in items[item]}
    return measure_agreement(Counter(shared.values()), scale, annotators=len(annotators), **options)


def ranked(item: str, annotator: str, *tiers: str) -> tuple[str, str, Mapping[str, float]]:
    return item, annotator, middle_ranks([tuple(tier) for tier in tiers])


# --- the coefficient ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observers", "scale", "published"),
    [
        (("0100000010", "1110010000"), "nominal", 0.095),
        (("aabbdcccedda", "babbbccceddd"), "nominal", 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), "nominal", 0.743),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), "ordinal", 0.815),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), "interval", 0.849),
    ],
)
def test_krippendorffs_own_examples_come_out_as_published(
    observers: Sequence[str], scale: Scale, published: float
) -> None:
    # K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A to D; a dot is a missing value.
    units = [
        [value if scale == "nominal" else float(value) for value in unit if value != "."]
        for unit in zip(*observers, strict=True)
    ]
    assert alpha_of(units, scale) == pytest.approx(published, abs=5e-4)
    assert alpha_by_definition(units, scale) == pytest.approx(published, abs=5e-4)


numbers = st.sampled_from([-3.0, 0.0, 1.0, 1.5, 2.0, 1000.0])


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
@given(units=st.lists(st.lists(numbers, max_size=5), max_size=6))
def test_alpha_is_its_definition(scale: Scale, units: list[list[float]]) -> None:
    assert alpha_of(units, scale) == pytest.approx(alpha_by_definition(units, scale), abs=1e-11, nan_ok=True)


@given(units=st.lists(st.lists(st.sampled_from(["sí", "no", "a veces"]), max_size=4), max_size=6))
def test_alpha_of_words_is_its_definition(units: list[list[str]]) -> None:
    assert alpha_of(units, "nominal") == pytest.approx(alpha_by_definition(units, "nominal"), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("units", [[], [[1.0], [2.0]], [[2.0, 2.0], [2.0, 2.0, 2.0]]], ids=["empty", "alone", "equal"])
def test_where_nothing_varies_there_is_no_alpha(units: list[list[float]], scale: Scale) -> None:
    assert isnan(alpha_of(units, scale))


# --- with items and people ----------------------------------------------------------------------------


def test_perfect_agreement_is_one() -> None:
    votes = [ranked(s, a, "A", "BC", "D") for s in "xyz" for a in ("p1", "p2", "p3")]
    assert measured(votes, "ordinal") == Agreement(1.0, None, None, items=3, annotators=3)


def test_two_people_with_opposite_rankings_get_what_the_formula_gives_by_hand() -> None:
    # One slate, ranks 1 2 3 4 against 4 3 2 1. Every rank occurs twice; the ordinal distance of ranks i places
    # apart is (2 i)^2. Observed: (36 + 4 + 4 + 36) / 4 = 20; expected over the 56 ordered pairs of 8 values:
    # 2 * (4 * (3 * 4 + 2 * 16 + 1 * 36)) / 56 = 640 / 56.
    found = measured([ranked("x", "p1", "A", "B", "C", "D"), ranked("x", "p2", "D", "C", "B", "A")], "ordinal")
    assert found.alpha == pytest.approx(1 - 20 / (640 / 56))
    assert found.low is None
    assert found.high is None


def test_no_overlap_is_a_result_and_not_zero() -> None:
    with pytest.raises(NotEnoughOverlap, match="judged by two people"):
        measured([ranked("x", "p1", "A", "B"), ranked("y", "p2", "A", "B")], "ordinal")
    with pytest.raises(NotEnoughOverlap, match="judged by two people"):
        measured([("x", "p1", {"a": 1.0}), ("x", "p2", {"b": 1.0})], "ordinal")
    with pytest.raises(NotEnoughOverlap):
        measured([], "nominal")


def test_all_ties_are_nothing_to_agree_on() -> None:
    with pytest.raises(NotEnoughOverlap, match="the same value"):
        measured([ranked("x", "p1", "AB"), ranked("x", "p2", "AB")], "ordinal")


def test_what_one_person_says_later_of_an_item_replaces_what_they_said() -> None:
    with pytest.raises(NotEnoughOverlap):
        measured([ranked("x", "p1", "A", "B"), ranked("x", "p1", "B", "A")], "ordinal")
    votes = [ranked("x", "p1", "B", "A"), ranked("x", "p2", "A", "B"), ranked("x", "p1", "A", "B")]
    assert measured(votes, "ordinal").alpha == 1


votes = st.lists(
    st.tuples(
        st.sampled_from("xyz"), st.sampled_from(["p1", "p2", "p3"]), st.dictionaries(st.sampled_from("ab"), numbers)
    ),
    max_size=9,
    unique_by=lambda vote: vote[:2],
)


@given(votes)
def test_units_are_told_apart_by_their_item_and_people_count_where_they_overlap(
    judged: list[tuple[str, str, dict[str, float]]],
) -> None:
    units = {
        (item, unit): [values[unit] for name, _, values in judged if name == item and unit in values]
        for item, unit in product("xyz", "ab")
    }
    shared = {item for (item, _), given in units.items() if len(given) >= 2}
    expected = alpha_by_definition(list(units.values()), "ordinal")
    if isnan(expected):
        with pytest.raises(NotEnoughOverlap):
            measured(judged, "ordinal")
        return
    found = measured(judged, "ordinal", resamples=50)
    assert found.alpha == pytest.approx(expected, abs=1e-12)
    assert (found.items, found.annotators) == (len(shared), len({who for item, who, _ in judged if item in shared}))


def test_where_all_agree_and_where_few_judged_there_is_no_interval_to_trust() -> None:
    same = [(f"i{n}", who, {"a": "sí" if n % 2 else "no"}) for n in range(14) for who in ("p1", "p2")]
    assert measured(same, "nominal") == Agreement(1.0, None, None, items=14, annotators=2)
    other = [("other", "p1", {"a": "sí"}), ("other", "p2", {"a": "no"})]
    assert measured([*same[:6], *other], "nominal").low is None
    assert measured([*same[:8], *other], "nominal").low is not None


def test_the_interval_is_over_whole_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.quality.agreement.FEWEST_ITEMS", 2)
    # Of two items only three draws are possible: each of them twice, and both.
    first = {"p1": {"a": "sí", "b": "no", "c": "no"}, "p2": {"a": "sí", "b": "no", "c": "sí"}}
    second = {"p1": {"a": "no", "b": "sí"}, "p2": {"a": "no", "b": "sí"}}
    votes = [(item, who, said[who]) for item, said in (("x", first), ("y", second)) for who in said]
    of_first, of_second = ([[said["p1"][unit], said["p2"][unit]] for unit in said["p1"]] for said in (first, second))
    possible = [alpha_of(drawn, "nominal") for drawn in (2 * of_first, 2 * of_second, of_first + of_second)]
    found = measured(votes, "nominal")
    assert found.alpha == pytest.approx(possible[2])
    assert (found.low, found.high) == pytest.approx((min(possible), max(possible)))


def test_random_rankings_agree_at_about_zero_and_the_interval_covers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    votes = [
        ranked(f"s{number}", who, *(str(seat) for seat in rng.permutation(list("ABCD"))))
        for number in range(200)
        for who in ("p1", "p2", "p3")
    ]
    found = measured(votes, "ordinal", resamples=200)
    assert abs(found.alpha) < 0.08
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.alpha < found.high
    assert found.high - found.low < 0.25
    monkeypatch.setattr(coefficients, "AT_ONCE", 1000)
    in_parts = measured(votes, "ordinal", resamples=200)
    assert (in_parts.low, in_parts.high) == pytest.approx((found.low, found.high))
