"""Habits of people, counted item by item: all that says how far a person can be trusted, as sums over items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from annotation.tasks.base import Task
from annotation.types import SEATS, Answer, Item

Counts = Counter[tuple[str | int, ...]]

ALL_TIED = "="
"""In the place of a seat: a person put no answer before another."""

RICH = 3
"""Things put in order, from which on two people seldom give the very same answer by chance."""

FINE = 1000
"""Shares are counted in thousandths: the tally holds whole numbers."""

Told = tuple[Answer[Any], Mapping[str, Any]]


def count_habits(
    task: Task[Any],
    item: Item,
    answers: Sequence[Answer[Any]],
    units: Mapping[str, Mapping[str, Any]],
    lengths: Mapping[str, int],
) -> Counts:
    """What the answers to one item say about those who gave them.

    Keys, COUNTRY is that of a person's team. Who skips an item gives nothing to count.

        agrees, TASK, COUNTRY, ANNOTATOR, PART    a person against the others of their country. PART is "items" that
            they share, "comparisons" made on these, "share" of each item's comparisons in which both say the same, in
            thousandths, "square" of that share; of other countries' people "items abroad" and "share abroad". On an
            ordinal scale a comparison is two things that both people put in an order; on a
            nominal one, a thing of which both said something
        first, TASK, COUNTRY, ANNOTATOR, SEAT, SEATS    items of so many seats on which a person put one answer first,
            by its seat, or nothing (ALL_TIED)
        rated, TASK, COUNTRY, ANNOTATOR, VALUE    items that ask for one value, by what it was
        longer, TASK, COUNTRY, ANNOTATOR, 1|0    whether what a person put first is longer than what they put last
        alike, TASK, COUNTRY, 1|0    pairs of a country's people on an item, by whether they gave the very same order
        same, TASK, COUNTRY, LATER, EARLIER    items on which two people did, who answered later named first
        twins, TASK, COUNTRY, ANNOTATOR    pairs of that kind that a person is in

    There are a few keys for each person. Of pairs of people only those have one who gave the same answer: at most one
    for every two answers to an item, however many people there are.

    Args:
        task: The item's.
        item: What was answered.
        answers: One of each person.
        units: User name -> the `Task.units` of that answer.
        lengths: Candidate id -> characters, of those that the item shows.
    """
    found, nominal = Counts(), task.scale == "nominal"
    told = [(answer, units[answer.annotator]) for answer in answers if units[answer.annotator]]
    shares: dict[tuple[int, bool], list[tuple[int, int]]] = defaultdict(list)
    for (one, (mine, said)), (other, (theirs, said_too)) in combinations(enumerate(told), 2):
        agree, made = agreeing(said, said_too, nominal=nominal)
        if made:
            for number in (one, other):
                shares[number, mine.country != theirs.country].append((agree, made))
    for (number, abroad), compared_with in shares.items():
        _count_agreement(task.name, told[number][0], compared_with, found, abroad=abroad)
    if nominal:
        return found
    seats = item.content.get("seats", ())
    for answer, said in told:
        who = (task.name, answer.country, answer.annotator)
        if len(said) == 1:
            found["rated", *who, str(next(iter(said.values())))] += 1
        if seats and len(said) > 1:
            _count_places(who, dict(zip(seats, SEATS, strict=False)), said, lengths, found)
    for later, earlier in _same_country(told):
        if len(later[1]) >= RICH:
            _count_pair(task.name, later, earlier, found)
    return found


def agreeing(one: Mapping[str, Any], other: Mapping[str, Any], *, nominal: bool) -> tuple[int, int]:
    """Comparisons of what two people said in which they agree, and how many there are.

    Args:
        one: What one person said: unit -> value.
        other: What the other said.
        nominal: Values are the same or not; else two units are compared that both people put in an order.
    """
    both = one.keys() & other.keys()
    if nominal:
        return sum(one[unit] == other[unit] for unit in both), len(both)
    found = [(one[a] - one[b]) * (other[a] - other[b]) for a, b in combinations(both, 2)]
    return sum(product > 0 for product in found), sum(product != 0 for product in found)


def _count_agreement(
    task: str, answer: Answer[Any], compared: Sequence[tuple[int, int]], found: Counts, *, abroad: bool
) -> None:
    """A person on one item against all others of one kind."""
    agree, made = (sum(column) for column in zip(*compared, strict=True))
    share, key = round(FINE * agree / made), ("agrees", task, answer.country, answer.annotator)
    if abroad:
        found.update({(*key, "items abroad"): 1, (*key, "share abroad"): share})
    else:
        parts = {"items": 1, "comparisons": made, "share": share, "square": share * share}
        found.update({(*key, part): number for part, number in parts.items()})


def _count_places(
    who: tuple[str, str, str],
    seat_of: Mapping[str, str],
    said: Mapping[str, Any],
    lengths: Mapping[str, int],
    found: Counts,
) -> None:
    """Which seat a person put first, and whether the first are longer than the last."""
    first, last = ([unit for unit in said if said[unit] == end] for end in (min(said.values()), max(said.values())))
    if len(first) == len(said):
        found["first", *who, ALL_TIED, len(seat_of)] += 1
        return
    if len(first) == 1 and first[0] in seat_of:
        found["first", *who, seat_of[first[0]], len(seat_of)] += 1
    if all(unit in lengths for unit in said):
        # Means of tiers, compared without dividing.
        above, below = sum(lengths[u] for u in first) * len(last), sum(lengths[u] for u in last) * len(first)
        if above != below:
            found["longer", *who, int(above > below)] += 1


def _same_country(told: Sequence[Told]) -> Iterator[tuple[Told, Told]]:
    """Pairs of one country's people, who answered later first."""
    later = sorted(told, key=lambda one: (one[0].submitted_at, one[0].annotator), reverse=True)
    return ((one, other) for one, other in combinations(later, 2) if one[0].country == other[0].country)


def _count_pair(task: str, one: Told, other: Told, found: Counts) -> None:
    (later, said), (earlier, said_too) = one, other
    alike = said == said_too
    found["alike", task, later.country, int(alike)] += 1
    if alike:
        found["same", task, later.country, later.annotator, earlier.annotator] += 1
        found.update(("twins", task, later.country, answer.annotator) for answer in (later, earlier))
