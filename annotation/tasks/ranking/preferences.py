"""Preferences of a country's people, counted from rankings: who votes, votes on every two answers, and thresholds.

Votes are counted by the weight of their author (`Person.weight`): which answer wins, by how much, and whether a slate
is set aside. How many people must have voted stays a count of people.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Generic, Protocol, TypeVar

from annotation.types import Answer, Dropped, Judgement, Preference, Slate, in_order


class Opinion(Protocol):
    """A person's judgement of a slate, as far as it decides whether the person votes."""

    @property
    def none_acceptable(self) -> bool:
        """The person found no answer fit to be chosen."""


Person = TypeVar("Person", bound=Opinion)
Seat = TypeVar("Seat", int, str)
"""A seat's number, or a candidate's id."""


def whole(votes: float) -> float:
    """Votes without what summing floats leaves behind, and as an int where they are whole: with weights of 1 always."""
    votes = votes if isinstance(votes, int) else round(votes, 9)
    return int(votes) if votes == int(votes) else votes


def voters(place: str, people: Sequence[Person], weights: Sequence[float] = ()) -> tuple[list[Person], Dropped | None]:
    """People of one country who vote on a slate, or why the slate is set aside for the country.

    A person who found no answer acceptable does not vote: being the best of four bad answers is no reason
    to be imitated. Where half of a country's people or more say so, the slate is set aside for that country.

    Args:
        place: What a person calls the slate.
        people: What each said.
        weights: Of their votes; none: 1 each.
    """
    weights = weights or [1] * len(people)
    unacceptable = whole(sum(weight for one, weight in zip(people, weights, strict=True) if one.none_acceptable))
    everybody = whole(sum(weights))
    if 2 * unacceptable >= everybody:
        return [], Dropped(place, "none is acceptable", f"{unacceptable} of {everybody}")
    return [person for person in people if not person.none_acceptable], None


def too_few_votes(place: str, votes: int, min_votes: int) -> Dropped | None:
    """Why a pair or a slate on which fewer than `min_votes` people voted is set aside; None where they are enough."""
    return Dropped(place, "too few votes", f"{votes} < {min_votes}") if votes < min_votes else None


@dataclass(frozen=True, slots=True)
class PairVotes(Generic[Seat]):
    """Votes on two answers, each by its weight: counts of people where all weigh 1.

    Attributes:
        better: The answer that more votes prefer; of two that are level, the first.
        worse: The other one.
        votes_for: Votes for `better`.
        votes_against: Votes for `worse`.
        ties: Votes for which both are equal.
    """

    better: Seat
    worse: Seat
    votes_for: float
    votes_against: float
    ties: float


def places_of(tiers: Sequence[Sequence[Seat]]) -> dict[Seat, int]:
    """Place of every answer that was ranked, 0 is best; answers of one tier share theirs."""
    return {answer: depth for depth, tier in enumerate(tiers) for answer in tier}


def count_pair(one: Seat, other: Seat, rankings: Iterable[tuple[Mapping[Seat, int], float]]) -> PairVotes[Seat]:
    """Count votes on two answers; who did not rank both does not vote on them.

    Args:
        one: The first answer.
        other: The second one.
        rankings: From `places_of`, and the votes that ranked so.
    """
    votes: list[float] = [0, 0, 0]  # ties, for the first, and at -1 for the other
    for place, weight in rankings:
        if one in place and other in place:
            votes[_order(place, one, other)] += weight
    votes = [whole(sum_of) for sum_of in votes]
    if votes[1] >= votes[-1]:
        return PairVotes(one, other, votes[1], votes[-1], votes[0])
    return PairVotes(other, one, votes[-1], votes[1], votes[0])


def _order(place: Mapping[Seat, int], one: Seat, other: Seat) -> int:
    """1 where the first is better, -1 where the other is, 0 for a tie."""
    return (place[one] < place[other]) - (place[one] > place[other])


@dataclass(frozen=True, slots=True)
class Preferences:
    """Preferences of all slates, and what became none.

    Attributes:
        kept: Clear preferences; no pair goes both ways within a country.
        excluded: Pairs ("slate:X/Y, country") and slates that were set aside: "tied" (nobody prefers one of
            the two), "contested" (as many prefer one as the other), "not compared", "below margin", "too few votes",
            "none is acceptable".
        min_margin: The threshold behind the decision.
        min_votes: The threshold behind the decision.
    """

    kept: tuple[Preference, ...]
    excluded: tuple[Dropped, ...]
    min_margin: float
    min_votes: int


def build_preferences(
    slates: Iterable[Slate],
    answers: Iterable[Answer[Judgement]],
    *,
    pseudonym: Callable[[str], str],
    min_margin: float = 0.0,
    min_votes: int = 1,
) -> Preferences:
    """Compare every two answers of a slate by the votes of one country's people; an adjudicator's is one more.

    Args:
        slates: All slates.
        answers: Submitted ones, one per person and slate.
        pseudonym: User name -> the name under which votes leave the project.
        min_margin: (for - against) / votes, each by its weight, must exceed this.
        min_votes: People who must have compared the two.
    """
    by_country: dict[tuple[str, str], list[Answer[Judgement]]] = defaultdict(list)
    for answer in answers:
        by_country[answer.item_id, answer.country].append(answer)
    kept: list[Preference] = []
    excluded: list[Dropped] = []
    seats = {slate.id: slate for slate in slates}
    for (slate_id, country), people in sorted(by_country.items()):
        weights = [whole(answer.weight) for answer in people]
        _, dropped = voters(f"{slate_id}, {country}", [answer.value for answer in people], weights)
        if dropped:
            excluded.append(dropped)
            continue
        named = (
            (pseudonym(answer.annotator), places_of(answer.value.tiers), weight)
            for answer, weight in zip(people, weights, strict=True)
            if not answer.value.none_acceptable
        )
        voting = sorted(named, key=lambda vote: vote[0])
        rankings = [(places, weight) for _, places, weight in voting]
        decided = any(answer.adjudicated for answer in people)
        marks = defaultdict[str, set[str]](set)
        for candidate, problems in (marked for answer in people for marked in answer.value.problems.items()):
            marks[candidate].update(problems)
        for one, other in combinations(sorted(seats[slate_id].seats), 2):
            votes = count_pair(one, other, rankings)
            pair = _compare(seats[slate_id], country, votes, voting, marks)
            if dropped := _why_unclear(pair, min_margin, min_votes):
                excluded.append(dropped)
            else:
                kept.append(replace(pair, adjudicated=True) if decided else pair)
    return Preferences(tuple(kept), tuple(excluded), min_margin, min_votes)


def _compare(
    slate: Slate,
    country: str,
    votes: PairVotes[str],
    voting: Sequence[tuple[str, Mapping[str, int], float]],
    marks: Mapping[str, set[str]],
) -> Preference:
    one, other = votes.better, votes.worse
    compared = [vote for vote in voting if one in vote[1] and other in vote[1]]
    people = Counter(_order(place, one, other) for _, place, _ in compared)
    weighted = any(weight != 1 for *_, weight in compared)
    return Preference(
        slate.id,
        slate.prompt_id,
        country,
        one,
        other,
        people[1],
        people[-1],
        people[0],
        tuple(name for name, *_ in compared),
        in_order(marks.get(one, ())),
        in_order(marks.get(other, ())),
        weights=(votes.votes_for, votes.votes_against, votes.ties) if weighted else None,
    )


def _why_unclear(pair: Preference, min_margin: float, min_votes: int) -> Dropped | None:
    """Why a pair becomes no preference; None for a clear one."""
    place = f"{pair.slate_id}:{pair.chosen}/{pair.rejected}, {pair.country}"
    votes_for, votes_against, ties = pair.votes
    if votes_for == votes_against:
        reason = "contested" if votes_for else "tied" if pair.annotators else "not compared"
        return Dropped(place, reason, f"{votes_for} : {votes_against}, {ties} tied")
    if dropped := too_few_votes(place, len(pair.annotators), min_votes):
        return dropped
    return (
        Dropped(place, "below margin", f"{pair.margin:.2f} <= {min_margin:.2f}") if pair.margin <= min_margin else None
    )
