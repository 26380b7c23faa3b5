"""Reliability of people: how well each agrees with the others of their country, as the weight of their votes.

A person either knows what the people of their country would say, or says something by chance: two people then agree
beyond chance as often as both know (x · y; W. A. Scott, Reliability of content analysis, 1955, for chance; N. Dalvi et
al., Aggregating crowdsourced binary ratings, 2013, for reading each person's x off who agrees with whom). Votes of
people who are right with probability p are weighed best by the log-odds of p (S. Nitzan and J. Paroush, Optimal
decision rules in uncertain dichotomous choice situations, 1982). Whom little is known of is drawn towards the typical
person of the country (empirical Bayes: C. N. Morris, Parametric empirical Bayes inference, 1983).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist, median

from annotation.ledger import Ledger
from annotation.quality.habits import FINE
from annotation.tasks import TASKS

Counts = Mapping[tuple[str | int, ...], int]

ABROAD = 0.2
"""How much a comparison with another country's people counts beside one with those of one's own."""

SPREAD = 0.25
"""Standard deviation that the knowledge of a country's people is thought to have, unless they show a greater one."""

PRIOR_ITEMS = 20
"""Items that a country's own scatter counts for beside that of one person's."""

LEAST = 0.05
"""Knowledge of the others below which one cannot be compared with them."""

SURE = 0.97
"""More than this nobody is thought to know: log-odds have no end."""

Z = NormalDist().inv_cdf(0.95)
"""Of a 90 % interval."""

UNKNOWN = 1e6
"""Variance of what somebody knows, of whom nothing is known."""

ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far one person's answers to one task can be trusted.

    Attributes:
        weight: Of each of their votes; that of their country's typical person is 1. Never below 0.
        low: Lower end of the weight's 90 % interval.
        high: Its upper end.
        agreement: Share of their comparisons in which they say what the others of their country say, the mean over
            items; None where there are none.
        comparisons: How many these are.
        items: On how many items they were made.
        knows: Share of what they say that they know and do not guess, as measured, before it is drawn towards the
            typical person's: 0 is chance, below it they say the contrary.
        error: Standard error of `knows`.
        chance: Agreement that guessing gives.
    """

    weight: float
    low: float
    high: float
    agreement: float | None
    comparisons: int
    items: int
    knows: float
    error: float
    chance: float


@dataclass(slots=True)
class _Person:
    """What is known of one person while a country's people are compared; agreement is beyond chance.

    Attributes:
        items: Shared with others of the country.
        beyond: Mean agreement with them.
        scatter: Sum of squares of the items' agreements about their mean.
        abroad: Items shared with people of other countries.
        beyond_abroad: Mean agreement with them.
        knows: Estimate.
        variance: Of the estimate.
    """

    items: int
    beyond: float
    scatter: float
    abroad: int
    beyond_abroad: float
    knows: float = 0.0
    variance: float = 0.0


def reliability(counts: Counts, ledger: Ledger) -> dict[tuple[str, str], dict[str, Reliability]]:
    """(task, country) -> annotator -> how far their answers can be trusted, of all who shared an item with somebody.

    People are compared with those of their own country, and where items were answered in several countries, a little
    with the others too, as far as the two countries agree: a country of another opinion is no less reliable.

    Args:
        counts: From `annotation.tally.count`.
        ledger: The project's: whose answers are left out has no weight of this kind.
    """
    left_out = {person.username for person in ledger.people() if person.excluded}
    people: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    given: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for key, number in counts.items():
        match key:
            case ("agrees", str(task), str(country), str(annotator), str(part)) if annotator not in left_out:
                people[task, country][annotator][part] += number
            case ("units", str(task), str(group), str(pattern)) if TASKS[task].scale == "nominal":
                given[task, group.partition(" · ")[0]].append((pattern, number))
    return {of: _weigh(own, _chance(given.get(of, ()))) for of, own in sorted(people.items())}


def _chance(patterns: Iterable[tuple[str, int]]) -> float:
    """How often two people say the same by chance: as often as what a country's people say of a thing is the same.

    Half of the time where things are put in order.
    """
    same, pairs = 0.0, 0
    by_unit: list[Counter[str]] = []
    for pattern, number in patterns:
        for place, values in enumerate(json.loads(pattern)):
            while len(by_unit) <= place:
                by_unit.append(Counter())
            for value in values:
                by_unit[place][value] += number
    for values in by_unit:
        total = values.total()
        same += sum(n * n for n in values.values()) / total
        pairs += total
    return min(same / pairs, 0.99) if pairs else 0.5


def _weigh(own: Mapping[str, Counter[str]], chance: float) -> dict[str, Reliability]:
    """Weights of a country's people for one task."""
    people = {who: _beyond_chance(seen, chance) for who, seen in sorted(own.items())}
    met = [person for person in people.values() if person.items]
    typical = _estimate(met)
    spread = SPREAD**2
    if len(met) > 2:
        known = [person.knows for person in met]
        mean = sum(known) / len(known)
        scatter = sum((x - mean) ** 2 - person.variance for x, person in zip(known, met, strict=True))
        spread = max(spread, scatter / (len(met) - 1))
    for person in people.values():
        if not person.items:
            person.knows, person.variance = typical, spread
    drawn = {who: _drawn(person, typical, spread) for who, person in people.items()}
    usual = median(_log_odds(knows) for knows, _ in drawn.values())

    def weight(knows: float) -> float:
        return _log_odds(knows) / usual if usual > 0 else 1.0

    found = {}
    for who, person in people.items():
        (knows, error), seen = drawn[who], own[who]
        low, high = weight(knows - Z * error), weight(knows + Z * error)
        agreement = seen["share"] / FINE / seen["items"] if seen["items"] else None
        found[who] = Reliability(
            weight(knows),
            low,
            high,
            agreement,
            seen["comparisons"],
            seen["items"],
            person.knows,
            sqrt(person.variance),
            chance,
        )
    return found


def _drawn(person: _Person, typical: float, spread: float) -> tuple[float, float]:
    """What somebody knows, drawn towards what the typical person knows, and how sure that is."""
    trust = spread / (spread + person.variance)
    return typical + trust * (person.knows - typical), sqrt(trust * person.variance)


def _beyond_chance(seen: Counter[str], chance: float) -> _Person:
    items, abroad = seen["items"], seen["items abroad"]
    share, share_abroad = (seen["share"] / FINE / items if items else 0.0), seen["share abroad"] / FINE / max(abroad, 1)
    scatter = max(seen["square"] / FINE**2 - items * share**2, 0.0) / (1 - chance) ** 2
    # What chance gives with people of another country is not known; where things are put in order it is the same.
    return _Person(items, (share - chance) / (1 - chance), scatter, abroad, (share_abroad - chance) / (1 - chance))


def _estimate(met: list[_Person]) -> float:
    """Fill in what people know and how sure that is; returns what the typical one of them knows.

    Everybody's agreement is what they know, times what the others know on average. Solved by going round, half a step
    at a time, since everybody's estimate depends on that of the others.
    """
    shared = sum(person.items for person in met)
    overall = sum(person.items * person.beyond for person in met) / shared if shared else 0.0
    if overall <= LEAST**2:
        for person in met:  # nobody agrees with anybody: of nobody is anything known
            person.variance = UNKNOWN
        return 0.0
    for person in met:
        person.knows = sqrt(overall)
    others: dict[int, float] = {}
    for _ in range(ROUNDS):
        total = sum(person.items * person.knows for person in met)
        moved = 0.0
        for place, person in enumerate(met):
            rest = shared - person.items
            others[place] = max((total - person.items * person.knows) / rest, LEAST) if rest else sqrt(overall)
        for place, person in enumerate(met):
            fresh = min(max(person.beyond / others[place], -1.0), 1.0)
            moved = max(moved, abs(fresh - person.knows))
            person.knows += (fresh - person.knows) / 2
        if moved < 1e-6:
            break
    freedom = sum(person.items - 1 for person in met)
    common = sum(person.scatter for person in met) / freedom if freedom else 1.0
    common = max(common, 1e-3)
    alike = _likeness(met)
    for place, person in enumerate(met):
        scatter = (person.scatter + PRIOR_ITEMS * common) / (person.items - 1 + PRIOR_ITEMS)
        own, abroad = person.items * others[place] ** 2, ABROAD * person.abroad * alike**2
        heard = person.items * others[place] * person.beyond + ABROAD * person.abroad * alike * person.beyond_abroad
        person.knows = min(max(heard / (own + abroad), -1.0), 1.0)
        person.variance = scatter / (own + abroad)
    return median(person.knows for person in met)


def _likeness(met: list[_Person]) -> float:
    """How far people of other countries say what somebody says who knows all that this country's people know."""
    known = sum(person.abroad * person.knows**2 for person in met)
    return sum(person.abroad * person.knows * person.beyond_abroad for person in met) / known if known else 0.0


def _log_odds(knows: float) -> float:
    """Log-odds that somebody is right who knows so much and guesses the rest between two; never below 0."""
    known = min(max(knows, 0.0), SURE)
    return log((1 + known) / (1 - known))
