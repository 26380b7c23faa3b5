"""Signs of careless answers, for a lead to look at: a program warns, and people decide who is left out.

What is counted per item adds up, as everything in `annotation/tally.py` does: the order that a person gave, by seats,
which were shuffled; how often two people of one team gave the very same order; how often a person's comparisons agree
with those of the others of their team.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations, pairwise
from statistics import median
from typing import Any

from annotation.ledger import Ledger
from annotation.tasks import TASKS
from annotation.tasks.base import Task
from annotation.types import Answer, Item

FEWEST = 10
"""Answers of a person, or items that two people share, from which on a habit shows."""

SAME_ORDER, SAME_ANSWERS = 0.9, 0.95
"""Share of a person's answers in one order of the seats; share of shared items on which two people say the same."""

FEWEST_COMPARISONS = 60
AT_ODDS, AT_ONE = 0.55, 0.65
"""A person whose comparisons agree with the team's less often than this, in a team that agrees more often than that."""

RECENT, PAUSE_S, QUICK_S = 20_000, 600.0, 5.0
"""Responses that are looked at for their pace; longer gaps are pauses; so quickly nobody reads four answers."""

Counts = Counter[tuple[str | int, ...]]


def count_habits(
    task: Task[Any], item: Item, answers: Sequence[Answer[Any]], units: Mapping[str, Mapping[str, Any]]
) -> Counts:
    """What the answers to one item say about those who gave them; nothing of tasks without an order.

    Args:
        task: The item's.
        item: What was answered.
        answers: One of each person.
        units: User name -> the `Task.units` of that answer.
    """
    found: Counts = Counter()
    if task.scale == "nominal":
        return found
    answers = [answer for answer in answers if units[answer.annotator]]  # who skips puts nothing in order
    orders = {answer.annotator: _order(task, item, answer) for answer in answers}
    for annotator, order in orders.items():
        found["order", task.name, annotator, order] += 1
    for one, other in combinations(sorted(answers, key=lambda answer: answer.annotator), 2):
        if one.country != other.country:
            continue
        same = int(orders[one.annotator] == orders[other.annotator])
        found["both", task.name, one.annotator, other.annotator, same] += 1
        compared = _comparisons(units[one.annotator], units[other.annotator])
        for agrees, number in compared.items():
            found["agrees", task.name, one.annotator, agrees] += number
            found["agrees", task.name, other.annotator, agrees] += number
    return found


def _order(task: Task[Any], item: Item, answer: Answer[Any]) -> str:
    """What a person set in the question that the task is about, as the page shows it: "A1 B2 C3 D3"."""
    given = next(iter(task.values(item, answer.value).values()))["value"]
    if isinstance(given, list) and all(isinstance(part, dict) for part in given):
        return " ".join(f"{part['value']}{part['rank']}" for part in given)
    return json.dumps(given, ensure_ascii=False)


def _comparisons(one: Mapping[str, Any], other: Mapping[str, Any]) -> Counter[int]:
    """Pairs of units that both put in order: 1 where alike, 0 where the other way round."""
    found = Counter[int]()
    for first, second in combinations(sorted(one.keys() & other.keys()), 2):
        product = (one[first] - one[second]) * (other[first] - other[second])
        if product:
            found[int(product > 0)] += 1
    return found


def doubts(counts: Mapping[tuple[str | int, ...], int], ledger: Ledger) -> tuple[str, ...]:
    """A sentence for everything that a lead should look at, by user name."""
    found = [*_same_order(counts), *_same_answers(counts), *_at_odds(counts), *_too_quick(ledger)]
    return tuple(sentence for _, sentence in sorted(found))


def _same_order(counts: Mapping[tuple[str | int, ...], int]) -> Iterator[tuple[str, str]]:
    orders: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, number in counts.items():
        match key:
            case ("order", str(task), str(annotator), str(order)):
                orders[task, annotator][order] += number
    for (task, annotator), given in orders.items():
        total, (order, most) = given.total(), given.most_common(1)[0]
        if total >= FEWEST and most >= SAME_ORDER * total:
            yield annotator, f"{annotator} gave the order {order} to {most} of {total} {TASKS[task].many}."


def _same_answers(counts: Mapping[tuple[str | int, ...], int]) -> Iterator[tuple[str, str]]:
    pairs: dict[tuple[str, str, str], Counter[int]] = defaultdict(Counter)
    for key, number in counts.items():
        match key:
            case ("both", str(task), str(one), str(other), int(same)):
                pairs[task, one, other][same] += number
    for (task, one, other), said in pairs.items():
        if said.total() >= FEWEST and said[1] >= SAME_ANSWERS * said.total():
            of = f"{said[1]} of the {said.total()} {TASKS[task].many} that both judged"
            yield one, f"{one} and {other} gave the very same order to {of}."


def _at_odds(counts: Mapping[tuple[str | int, ...], int]) -> Iterator[tuple[str, str]]:
    people: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for key, number in counts.items():
        match key:
            case ("agrees", str(task), str(annotator), int(agrees)):
                people[task][annotator][agrees] += number
    for own in people.values():
        for annotator, given in own.items():
            # Every comparison counts for both; the others' own is what is left without this person's.
            everybody = sum((Counter(of) for of in own.values()), Counter[int]())
            others = Counter({agrees: everybody[agrees] - 2 * given[agrees] for agrees in (0, 1)})
            if given.total() < FEWEST_COMPARISONS or others.total() < FEWEST_COMPARISONS:
                continue
            share, usual = given[1] / given.total(), others[1] / others.total()
            if share < AT_ODDS and usual > AT_ONE:
                yield (
                    annotator,
                    f"{annotator} agrees with the rest of the team in {share:.0%} of {given.total()} comparisons; "
                    f"the others agree in {usual:.0%}.",
                )


def _too_quick(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Medians of the seconds between two answers of a person, among the newest of all."""
    rows = ledger.rows(
        f"select annotator, updated_at from responses where status = 'submitted' order by seq desc limit {RECENT}"
    )
    given: dict[str, list[datetime]] = defaultdict(list)
    for row in rows:
        given[row["annotator"]].append(datetime.fromisoformat(row["updated_at"]))
    left_out = {person.username for person in ledger.people() if person.excluded}
    for annotator, times in given.items():
        gaps = [seconds for seconds in _gaps(times) if seconds < PAUSE_S]
        if annotator not in left_out and len(gaps) >= FEWEST and median(gaps) < QUICK_S:
            yield annotator, f"{annotator} takes {median(gaps):.0f} s for an answer, half of the time or more."


def _gaps(times: Iterable[datetime]) -> Iterator[float]:
    for before, after in pairwise(sorted(times)):
        yield (after - before).total_seconds()
