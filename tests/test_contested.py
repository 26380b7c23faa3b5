"""What people of one country do not see alike is contested there; what two countries see differently is data."""

from __future__ import annotations

import tomllib
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.config import Settings, check_settings
from annotation.quality.contested import CONTESTED, HUNG, PROBLEM, UNACCEPTABLE, Found, find_contested
from annotation.tasks import TASKS
from annotation.tasks.exam.check import Check
from annotation.tasks.prompt_check.task import Verdict
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Answer, Item, Judgement

SEATED = ("w", "x", "y", "z")
SLATE = Item("s", "ranking", 0, "MX", "es", "comida", {"seats": list(SEATED)}, "p")


def settings(overlap: int = 3) -> Settings:
    text = f'[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\noverlap = {overlap}\n'
    text += f"[task.prompt_check]\noverlap = {overlap}\naccepts = 1\n"
    return check_settings(tomllib.loads(text), place="test")


def ranked(order: str, country: str = "MX", **more: Any) -> tuple[str, Judgement]:
    """What "wx=yz" says: x and y share a place."""
    tiers: list[list[str]] = []
    for sign, answer in zip(f" {order}", order, strict=False):
        if answer != "=":
            tiers[-1].append(answer) if sign == "=" else tiers.append([answer])
    return country, Judgement(tuple(map(tuple, tiers)), **more)


def found(item: Item, said: list[tuple[str, Any]], overlap: int = 3) -> list[tuple[str, Found]]:
    answers = [
        Answer(f"r{number}", item.id, f"p{number}", country, "2026-01-01", value)
        for number, (country, value) in enumerate(said)
    ]
    return list(find_contested(TASKS[item.task], item, answers, settings(overlap)))


def test_a_slate_is_contested_when_half_of_its_pairs_are_split() -> None:
    split = found(SLATE, [ranked("wxyz"), ranked("zyxw"), ranked("w=x=y=z")])
    assert split == [("MX", (CONTESTED, "6 of 6", 1, 2))]
    # Two of three prefer the same everywhere: that is two thirds.
    assert found(SLATE, [ranked("wxyz"), ranked("zyxw"), ranked("wxyz")]) == []
    # Two of six pairs are split among four people: that happens by chance.
    assert found(SLATE, [ranked("wxyz"), ranked("wxyz"), ranked("xwzy"), ranked("xwzy")], overlap=4) == []
    five = [ranked("wxyz"), ranked("wxyz"), ranked("wxyz"), ranked("zyxw"), ranked("zyxw")]
    assert found(SLATE, five, overlap=5) == [("MX", (CONTESTED, "6 of 6", 3, 5))]


def test_who_finds_two_answers_equal_agrees_with_those_who_do() -> None:
    assert found(SLATE, [ranked("w=x=y=z"), ranked("w=x=y=z"), ranked("wxyz")]) == []
    assert found(SLATE, [ranked("w=x=y=z")] * 4 + [ranked("wxyz"), ranked("zyxw")], overlap=6) == []


def test_two_votes_contest_nothing_and_nothing_is_contested_while_people_are_asked() -> None:
    assert found(SLATE, [ranked("wxyz"), ranked("zyxw")], overlap=2) == []
    assert found(SLATE, [ranked("wxyz"), ranked("zyxw"), ranked("w=x=y=z")], overlap=5) == []


def test_two_countries_that_disagree_contest_nothing() -> None:
    here = [ranked("wxyz")] * 3
    there = [ranked("zyxw", "AR")] * 3
    assert found(SLATE, here + there) == []
    inside = [ranked("wxyz", "AR"), ranked("zyxw", "AR"), ranked("w=x=y=z", "AR")]
    assert found(SLATE, here + inside) == [("AR", (CONTESTED, "6 of 6", 1, 2))]


def test_half_of_a_country_finds_nothing_acceptable() -> None:
    none = ranked("wxyz", none_acceptable=True)
    assert found(SLATE, [none, none, ranked("zyxw")]) == [("MX", (UNACCEPTABLE, "", 2, 3))]
    assert found(SLATE, [none, ranked("wxyz"), ranked("wxyz")]) == []


def test_one_word_of_something_offensive_is_enough_and_other_problems_need_half() -> None:
    one = ranked("wxyz", problems={"y": ("offensive",)})
    assert found(SLATE, [one], overlap=5) == [("MX", (PROBLEM, "C:offensive", 1, 1))]
    odd = ranked("wxyz", problems={"y": ("wrong_register",)})
    assert found(SLATE, [odd, ranked("wxyz"), ranked("wxyz")]) == []
    assert found(SLATE, [odd, odd, ranked("wxyz")]) == [("MX", (PROBLEM, "C:wrong_register", 2, 3))]
    whole = ranked("wxyz", problems={"": ("factual_error",)})  # of the slate, as older datasets ask
    assert found(SLATE, [whole, whole, whole]) == [("MX", (PROBLEM, ":factual_error", 3, 3))]


def test_a_prompt_is_contested_by_whether_it_is_accepted_and_not_by_why() -> None:
    item = Item("c", "prompt_check", 0, "MX", "es", "comida", {}, "p")
    assert found(item, [("MX", Verdict("knowledge")), ("MX", Verdict("preference")), ("MX", Verdict("dynamics"))]) == []
    said = [("MX", Verdict(kind)) for kind in ("knowledge", "knowledge", "trivial", "unrelated")]
    assert found(item, said, overlap=4) == [("MX", (CONTESTED, "", 2, 4))]


def test_an_exam_question_that_hangs_is_to_be_decided_by_two_people_already() -> None:
    content = {"question": "¿Qué?", "options": ["a", "b", "c", "d"], "answer": 0, "exam": "E"}
    item = Item("q", "exam", 0, "MX", "es", "E", content)
    said = [("MX", Check("right")), ("MX", Check("unclear"))]
    assert found(item, said) == [("MX", (HUNG, "disputed", 0, 2))]
    assert found(item, [("MX", Check("right"))] * 2) == []


def test_what_is_asked_to_learn_how_opinions_are_spread_is_never_to_be_decided() -> None:
    rated = Item("a", "stereotype", 0, "MX", "es", "AR", {"id": "a", "target": "AR"})
    assert found(rated, [("MX", Rating(1)), ("MX", Rating(3)), ("MX", Rating(5))] * 2) == []
    duel = Item("d", "duel", 0, "MX", "es", "", {"a": "a", "b": "b", "adapted": "A"})
    assert found(duel, [("MX", "A"), ("MX", "B"), ("MX", "tie")]) == []


ORDERS = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=9)


def judgement_of(ranks: list[int]) -> Judgement:
    tiers = {rank: tuple(c for c, r in zip(SEATED, ranks, strict=True) if r == rank) for rank in sorted(set(ranks))}
    return Judgement(tuple(tiers.values()))


@given(ORDERS, st.randoms(use_true_random=False))
def test_counting_by_hand_says_the_same_in_any_order(orders: list[list[int]], chance: Any) -> None:
    compared = split = 0
    for one, other in combinations(range(4), 2):
        first = sum(ranks[one] < ranks[other] for ranks in orders)
        second = sum(ranks[one] > ranks[other] for ranks in orders)
        same = len(orders) - first - second
        if len(orders) >= 3:
            compared += 1
            split += same / len(orders) < 2 / 3 and max(first, second) / max(first + second, 1) < 2 / 3
    said = [("MX", judgement_of(ranks)) for ranks in orders]
    by_us = found(SLATE, said, overlap=1)
    assert bool(by_us) == (split > 0 and 2 * split >= compared)
    chance.shuffle(said)
    assert found(SLATE, said, overlap=1) == by_us


@given(ORDERS)
def test_what_one_country_says_changes_nothing_for_another(orders: list[list[int]]) -> None:
    here = [("MX", judgement_of(ranks)) for ranks in orders]
    there = [ranked("zyxw", "AR"), ranked("zyxw", "AR"), ranked("zyxw", "AR")]
    assert found(SLATE, here + there, overlap=1) == found(SLATE, here, overlap=1)


@pytest.mark.parametrize("task", ["consent", "share", "story", "stereotype", "duel"])
def test_no_other_task_has_anything_to_decide(task: str) -> None:
    from annotation.quality.contested import DECIDED

    assert task not in DECIDED
