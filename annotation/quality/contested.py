"""Contested items: those that people of one country do not see alike, and others that one person should decide.

What people of two countries see differently is data, and contested in neither: every country is looked at by itself.
So is what is asked to learn how opinions are spread (duels, stories, ratings of stereotypes): nothing is decided there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from annotation.config import Settings
from annotation.tasks.base import Task
from annotation.tasks.exam.settled import DISPUTED, INCOMPLETE
from annotation.tasks.ranking.preferences import count_pair, places_of, voters
from annotation.types import SEATS, Answer, Item, Judgement

DECIDED = ("ranking", "description", "prompt_check", "exam", "pair_check")
"""Tasks whose answers come to something, which an adjudicator may decide."""

FEWEST_VOTES = 3
"""People who must have said something before it can be contested."""

CLEAR = (2, 3)
"""Share of one answer from which on it is not contested, as a fraction."""

CONTESTED, UNACCEPTABLE, PROBLEM, HUNG = "contested", "unacceptable", "problem", "hung"
WHYS = (PROBLEM, UNACCEPTABLE, HUNG, CONTESTED)
"""Why an item is to be decided, the most pressing first."""

ONE_IS_ENOUGH = ("offensive", "identifies_person")
"""Problems that one person's word brings before an adjudicator; of every other kind, two and half of those who answered
must see it in the same answer."""

Found = tuple[str, str, int, int]
"""Why, about what, the people of the largest camp, and the people who said something of it."""


@dataclass(frozen=True, slots=True)
class Contested:
    """One reason why an item is to be decided for a country.

    Attributes:
        item_id: The item.
        task: Its task.
        country: Whose people answered, ISO 3166-1 alpha-2.
        why: One of WHYS.
        about: CONTESTED: the unit of the task, or how many pairs of a slate, as "4 of 6"; PROBLEM: seat and kind, as
            "B:stereotype"; HUNG: what came of the answers.
        most: People in the largest camp: of the pair that is most divided, or who report the problem.
        votes: People who said something of it.
    """

    item_id: str
    task: str
    country: str
    why: str
    about: str
    most: int
    votes: int

    @property
    def majority(self) -> float:
        """Share of the largest camp."""
        return self.most / self.votes


def find_contested(
    task: Task[Any], item: Item, answers: Sequence[Answer[Any]], settings: Settings
) -> Iterator[tuple[str, Found]]:
    """Why an item is to be decided, country by country; nothing while there are people to be asked yet.

    A value is contested when fewer than two thirds of at least FEWEST_VOTES people gave the one that most gave. Two
    answers of a slate are, when at least so many compared them, fewer than two thirds of these find them equal, and
    fewer than two thirds of those who prefer one prefer the same: training learns from the direction of a pair. A slate
    is, when half of its pairs or more are: with five people one pair or two of six are split 3 : 2 by chance nearly
    always. One problem is not waited with.

    Args:
        task: The item's.
        item: What was asked.
        answers: Of people, without what was decided.
        settings: Of the project: how many people are asked.
    """
    if task.name not in DECIDED or item.removed:
        return
    by_country: dict[str, list[Answer[Any]]] = {}
    for answer in answers:
        by_country.setdefault(answer.country, []).append(answer)
    for country, own in sorted(by_country.items()):
        whole = len(own) >= task.settings(settings).overlap
        if isinstance(own[0].value, Judgement):
            found = _of_slate(item, [answer.value for answer in own], whole=whole)
        else:
            found = _of_values(task, item, own, settings) if whole else iter(())
        for one in found:
            yield country, one


def _of_slate(item: Item, said: Sequence[Judgement], *, whole: bool) -> Iterator[Found]:
    seats: Sequence[str] = item.content["seats"]
    marks = Counter(
        f"{SEATS[seats.index(of)] if of else ''}:{kind}"
        for judgement in said
        for of, kinds in judgement.problems.items()
        for kind in kinds
    )
    for mark, people in sorted(marks.items()):
        alone = mark.partition(":")[2] in ONE_IS_ENOUGH
        if alone or (whole and people >= 2 and 2 * people >= len(said)):
            yield PROBLEM, mark, people, len(said)
    if not whole:
        return
    unacceptable = sum(judgement.none_acceptable for judgement in said)
    if unacceptable >= 2 and voters("", said)[1]:
        yield UNACCEPTABLE, "", unacceptable, len(said)
        return
    rankings = [(places_of(judgement.tiers), 1) for judgement in said if not judgement.none_acceptable]
    compared, split = 0, list[tuple[int, int]]()
    for one, other in combinations(seats, 2):
        votes = count_pair(one, other, rankings)
        prefer = int(votes.votes_for + votes.votes_against)
        people = prefer + int(votes.ties)
        compared += people >= FEWEST_VOTES
        if people >= FEWEST_VOTES and not _clear(int(votes.ties), people) and not _clear(int(votes.votes_for), prefer):
            split.append((int(votes.votes_for), prefer))
    if split and 2 * len(split) >= compared:
        most, prefer = min(split, key=lambda votes: votes[0] / votes[1])
        yield CONTESTED, f"{len(split)} of {compared}", most, prefer


def _of_values(task: Task[Any], item: Item, answers: Sequence[Answer[Any]], settings: Settings) -> Iterator[Found]:
    came = task.outcome(item, answers, settings).made
    if hung := next((status for status in (DISPUTED, INCOMPLETE) if came.get(status)), ""):
        yield HUNG, hung, 0, len(answers)
    units: dict[str, Counter[Any]] = {}
    for answer in answers:
        for unit, value in task.units(item, answer.value).items():
            units.setdefault(unit, Counter())[value] += 1
    for unit, given in sorted(units.items()):
        people, most = given.total(), max(given.values())
        if people >= FEWEST_VOTES and not _clear(most, people):
            yield CONTESTED, unit, most, people


def _clear(most: int, people: int) -> bool:
    return CLEAR[1] * most >= CLEAR[0] * people


def contested_of(item_id: str, counts: Mapping[tuple[str | int, ...], int]) -> list[Contested]:
    """What the tally's counts of one item say of it; see `annotation.item_counts.Counts`."""
    found = [
        Contested(item_id, str(task), str(country), str(why), str(about), int(most), int(votes))
        for word, task, country, why, about, most, votes in (key for key in counts if key[0] == CONTESTED)
    ]
    return sorted(found, key=lambda one: (one.country, WHYS.index(one.why), one.about))
