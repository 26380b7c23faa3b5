"""The Davidson model gives published and closed answers, finds planted people, and knows no names."""

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import annot, fill, make_project

from annotation.quality.davidson import Davidson, fit_davidson
from annotation.types import Person

PUDDINGS = """1 2 19 22 16, 1 3 16 19 12, 2 3 19 19 10, 1 4 18 23 13, 2 4 23 19 9, 3 4 19 20 15, 1 5 13 19 18,
2 5 16 20 12, 3 5 16 15 17, 4 5 17 14 16, 1 6 18 21 12, 2 6 22 20 12, 3 6 13 18 10, 4 6 14 19 18, 5 6 11 21 12"""
"""Davidson (1970), table 2: two brands, preferences for either, ties."""


def compared(one: str, other: str, first: int, second: int, ties: int) -> list[tuple[str, dict[str, float]]]:
    wins, losses = ("p", {one: 1.0, other: 2.0}), ("p", {one: 2.0, other: 1.0})
    return [wins] * first + [losses] * second + [("p", {one: 1.5, other: 1.5})] * ties


def as_davidson(rankings: list[tuple[str, dict[str, float]]]) -> Davidson:
    """As he fitted it: everybody tells answers apart alike, and nothing is drawn anywhere."""
    return fit_davidson(rankings, spread=1e3, spread_of_discrimination=0)


def test_it_gives_the_estimates_that_davidson_published() -> None:
    rankings = []
    for row in PUDDINGS.split(","):
        one, other, *numbers = row.split()
        rankings += compared(one, other, *map(int, numbers))
    fitted = as_davidson(rankings)
    worth = [math.exp(fitted.strengths[brand]) for brand in "123456"]
    # He stopped before the last digit had settled.
    published = [0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855]
    assert [w / sum(worth) for w in worth] == pytest.approx(published, abs=5e-5)
    assert fitted.tie == pytest.approx(0.7468147, abs=1e-4)
    assert fitted.converged


@pytest.mark.parametrize(("first", "second", "ties"), [(30, 10, 12), (7, 7, 2), (3, 40, 25)])
def test_of_two_answers_the_estimate_is_known(first: int, second: int, ties: int) -> None:
    fitted = as_davidson(compared("x", "y", first, second, ties))
    assert fitted.strengths["x"] - fitted.strengths["y"] == pytest.approx(math.log(first / second), abs=1e-3)
    assert fitted.tie == pytest.approx(ties / math.sqrt(first * second), rel=2e-3)


def planted(seed: int, slates: int = 150) -> tuple[dict[str, float], list[tuple[str, dict[str, float]]]]:
    """Ten people, one of whom answers by chance and one the other way round, and what they rank."""
    draw = random.Random(seed)
    finely = {f"p{n}": draw.uniform(0.7, 1.5) for n in range(8)} | {"chance": 0.0, "contrary": -1.0}
    rankings = []
    for slate in range(slates):
        strength = [draw.gauss(0, 1.5) for _ in range(4)]
        for who in draw.sample(sorted(finely), 5):
            felt = [finely[who] * s - math.log(-math.log(draw.random())) for s in strength]
            places = sorted(range(4), key=lambda n: -felt[n])
            rankings.append((who, {f"{slate}{'abcd'[n]}": float(place) for place, n in enumerate(places)}))
    return finely, rankings


def test_people_who_answer_by_chance_or_the_other_way_round_are_found() -> None:
    finely, rankings = planted(3)
    fitted = fit_davidson(rankings)
    found = {who: one.value for who, one in fitted.discriminations.items()}
    assert found.keys() == finely.keys()
    assert found["contrary"] < -0.3
    assert abs(found["chance"]) < 0.35
    assert min(value for who, value in found.items() if who.startswith("p")) > 0.4
    assert all(one.low < one.value < one.high for one in fitted.discriminations.values())
    assert sum(one.comparisons for one in fitted.discriminations.values()) == 6 * len(rankings)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_other_names_and_another_order_change_nothing(seed: int) -> None:
    _, rankings = planted(seed, slates=20)
    before, draw = fit_davidson(rankings), random.Random(seed)
    people = dict(zip(before.discriminations, draw.sample([f"n{n}" for n in range(99)], 99), strict=False))
    renamed = [
        (people[who], {f"other {answer}": rank for answer, rank in draw.sample(sorted(ranks.items()), 4)})
        for who, ranks in draw.sample(rankings, len(rankings))
    ]
    after = fit_davidson(renamed)
    for who, one in before.discriminations.items():
        assert after.discriminations[people[who]].value == pytest.approx(one.value, abs=5e-3)
    assert after.tie == pytest.approx(before.tie, abs=5e-3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.permutations((1.0, 2.0, 2.0))), min_size=1, max_size=6))
def test_few_and_one_sided_rankings_give_finite_numbers(said: list[tuple[str, list[float]]]) -> None:
    fitted = fit_davidson([(who, dict(zip("xyz", ranks, strict=True))) for who, ranks in said])
    numbers = [*fitted.strengths.values(), fitted.tie, *(d.high for d in fitted.discriminations.values())]
    assert all(map(math.isfinite, numbers))


def test_people_list_shows_it_by_country(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX", "BO"]\nlanguages = ["es"]\n')
    project.ledger.add_people([Person(f"mx_{n}", "", "annotator", "MX", ("es",)) for n in (1, 2)])
    fill(project, 8)
    shown = annot(project, "people", "list", "--careful")
    assert "Told apart, by the Davidson model" in shown
    told = json.loads(annot(project, "people", "list", "--careful", "--json"))["careful"]
    assert [(one["username"], one["country"], one["comparisons"]) for one in told] == [
        ("mx_1", "MX", 48),
        ("mx_2", "MX", 48),
    ]
    assert [one["value"] for one in told] == pytest.approx([1.0, 1.0])
    assert all(one["low"] < 1 < one["high"] for one in told)
    assert json.loads(annot(project, "people", "list", "--careful", "--country", "BO", "--json"))["careful"] == []


def test_without_a_comparison_it_says_so() -> None:
    with pytest.raises(ValueError, match="two answers"):
        fit_davidson([("a", {"x": 1.0}), ("b", {})])
