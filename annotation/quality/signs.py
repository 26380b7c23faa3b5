"""Signs of careless answers, for a lead to look at: a program warns, and people decide whose answers count.

Each sign is a measure of one person with what it stands on, a 90 % interval (E. B. Wilson, Probable inference, the law
of succession, and statistical inference, 1927), and what is usual. It is a sign where the measure is surely beyond a
limit that lies well away from what is usual: people differ, and that alone is no sign. "Surely": of honest people at
the very limit FALSE_ALARMS would get a sign of any kind; this share is divided among the kinds of which a person is
measured, and within a kind among its measures (Bonferroni). What is usual is that of a person's own country, for speed
that of the task; what somebody knows hears other countries a little (`annotation.quality.reliability`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from math import sqrt
from statistics import NormalDist, median
from typing import Literal

from annotation.ledger import Ledger
from annotation.quality.controls import failing
from annotation.quality.habits import ALL_TIED
from annotation.quality.pairs_of_people import has_company, shared_items
from annotation.quality.reliability import Reliability, reliability
from annotation.tasks import TASKS
from annotation.tasks.answers import roster
from annotation.types import Person

Counts = Counter[tuple[str | int, ...]]
Kind = Literal["position", "speed", "copying", "length", "agreement", "control"]

FALSE_ALARMS = 0.05
"""Of honest people, at most."""

FEWEST = 10
"""Answers of a person, or items that two people share, from which on anything is measured."""

FEWEST_ALIKE = 8
"""Items with the very same answer, from which on two people are looked at."""

OFTEN = 1.25
"""Times as many of them as with others on average, from which on."""

FAR = 1 / 3
"""Limit of a share: so far on the way from what is usual to always."""

FARTHER = 1 / 2
"""The same where honest people differ more: how often they tie everything, or say what another one says."""

RARELY = 1 / 2
"""Who knows less than this part of what the typical person of their country knows agrees too rarely."""

COMPANY = 3 / 4
"""Who agrees with one other person, beyond chance, in this part of what two typical people do is not alone."""

OTHERS = 5
"""People who might be company, without whom nobody can tell; who surely says the contrary needs none to be seen."""

KNOWN = 0.2
"""What the typical person must know: where nobody agrees, nobody stands apart."""

LOOKED_AT = 50
"""People whose answers are read for company, those that agree least first; others wait until these are decided on."""

RECENT, PAUSE_S, QUICK_S = 100_000, 600.0, 5.0
"""Responses that are looked at for their pace; longer gaps are pauses; so quickly nobody reads four answers."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Something about one person's answers that a lead should look at.

    Attributes:
        annotator: User name.
        task: Name.
        kind: What of.
        value: Measured: a share, the seconds for an answer, or what part of their answers a person knows.
        low: Lower end of its 90 % interval.
        high: Its upper end.
        n: Answers or items that it stands on.
        usual: The same of the others, or what chance gives.
        sentence: All of it in a line for the lead.
    """

    annotator: str
    task: str
    kind: Kind
    value: float
    low: float
    high: float
    n: int
    usual: float
    sentence: str


@dataclass(frozen=True, slots=True)
class _Measure:
    """One measure of a person.

    Attributes:
        sign: What it would say.
        beyond: How many standard errors it takes to be sure -> whether the measure is beyond its limit.
        cleared: Looks into the ledger for what clears the person; None where nothing can.
        tests: Of how many measures this is the most striking one.
    """

    sign: Sign
    beyond: Callable[[float], bool]
    cleared: Callable[[], bool] | None = None
    tests: int = 1


def signs(counts: Counts, ledger: Ledger) -> tuple[Sign, ...]:
    """Everything that a lead should look at, by user name; nothing of people whose answers are left out.

    Args:
        counts: From `annotation.tally.count`.
        ledger: The project's.
    """
    team = roster(ledger)
    measures = [
        *_by_place(counts),
        *_by_length(counts),
        *_by_copies(counts, ledger),
        *_by_pace(ledger),
        *_by_agreement(reliability(counts, ledger), ledger, team),
    ]
    tests: dict[str, Counter[Kind]] = defaultdict(Counter)
    for measure in measures:
        tests[measure.sign.annotator][measure.sign.kind] += measure.tests
    found, looked_at = [], 0
    for measure in measures:
        who = measure.sign.annotator
        if (who in team and team[who].excluded) or not measure.beyond(
            _z(len(tests[who]) * tests[who][measure.sign.kind])
        ):
            continue
        looked_at += measure.cleared is not None
        if measure.cleared is None or (looked_at <= LOOKED_AT and not measure.cleared()):
            found.append(measure.sign)
    for who, task, result in failing(counts):
        n, said = result.right + result.wrong, result.sentence(who)
        found.append(Sign(who, task, "control", result.wrong / n, result.low, result.high, n, 0.1, said))
    return tuple(sorted(found, key=lambda sign: (sign.annotator, sign.task, sign.kind)))


@cache
def _z(tests: int) -> float:
    """Standard errors that make one of so many measures of an honest person a sign no more often than may be."""
    return NormalDist().inv_cdf(1 - FALSE_ALARMS / tests)


def _wilson(hits: int, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a share."""
    middle, half = hits + z * z / 2, z * sqrt(hits * (n - hits) / n + z * z / 4)
    return max((middle - half) / (n + z * z), 0.0), 1.0 if hits == n else (middle + half) / (n + z * z)


def _beyond(usual: float, part: float) -> float:
    return usual + part * (1 - usual)


def _share(
    who: tuple[str, str], kind: Kind, hits: int, n: int, usual: float, limit: float, sentence: str, tests: int = 1
) -> _Measure:
    """A share that should not be above a limit."""
    task, annotator = who
    sign = Sign(annotator, task, kind, hits / n, *_wilson(hits, n, _z(1)), n, usual, sentence)
    return _Measure(sign, lambda z: _wilson(hits, n, z)[0] > limit, tests=tests)


def _by_place(counts: Counts) -> Iterator[_Measure]:
    """Where people put what they put first: seats were shuffled, so each should come as often as the others."""
    places: dict[tuple[str, str], dict[str, Counter[tuple[str, int]]]] = defaultdict(lambda: defaultdict(Counter))
    for key, number in counts.items():
        match key:
            case ("first", str(task), str(country), str(annotator), str(seat), int(seats)):
                places[task, country][annotator][seat, seats] += number
            case ("rated", str(task), str(country), str(annotator), str(value)):
                places[task, country][annotator][value, 0] += number
    for (task, _), people in places.items():
        together = sum(people.values(), Counter[tuple[str, int]]())
        tied, all_of = sum(n for (seat, _), n in together.items() if seat == ALL_TIED), together.total()
        for annotator, own in people.items():
            n, who, many = own.total(), (task, annotator), TASKS[task].many
            compares = all_of - n >= FEWEST
            if n < FEWEST:
                continue
            given = Counter[str]()
            for (seat, _), number in own.items():
                given[seat] += number
            level = given.pop(ALL_TIED, 0)
            if level:
                usual = (tied - level + 1) / (all_of - n + 2)
                said = f"{annotator} put nothing before anything else on {level} of {n} {many}"
                said += f"; usual are {usual:.0%}." if compares else "."
                yield _share(who, "position", level, n, usual, _beyond(usual, FARTHER), said)
            if n - level < FEWEST:
                continue
            seat, most = max(given.items(), key=lambda one: (one[1], one[0]))
            n -= level
            if (rated := own.get((seat, 0))) and not compares:
                continue
            if rated:
                usual = (together[seat, 0] - rated + 1) / (all_of - n + 2)
                said = f"{annotator} gave the value {seat} to {most} of {n} {many}; the others give it to {usual:.0%}."
                yield _share(who, "position", most, n, usual, max(0.75, _beyond(usual, FARTHER)), said, len(together))
            else:
                usual = sum(number / of for (_, of), number in own.items()) / own.total()
                said = f"{annotator} put the answer in place {seat} first on {most} of {n} {many}; chance would be"
                limit = _beyond(usual, FAR)
                seats = max(of for _, of in own)
                yield _share(who, "position", most, n, usual, limit, f"{said} {usual:.0%}.", seats)


def _by_length(counts: Counts) -> Iterator[_Measure]:
    """Whether people put the longer answer above, or the shorter one, much more often than their country's others."""
    teams: dict[tuple[str, str], dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for key, number in counts.items():
        match key:
            case ("longer", str(task), str(country), str(annotator), int(longer)):
                teams[task, country][annotator][longer] += number
    for (task, _), people in teams.items():
        together = sum(people.values(), Counter[int]())
        for annotator, own in people.items():
            n, who = own.total(), (task, annotator)
            if n < FEWEST or together.total() - n < FEWEST:
                continue
            for longer, word in ((1, "longer"), (0, "shorter")):
                usual = (together[longer] - own[longer] + 1) / (together.total() - n + 2)
                said = (
                    f"{annotator} put the {word} answer above on {own[longer]} of {n} {TASKS[task].many}; "
                    f"the others do so on {usual:.0%}."
                )
                yield _share(who, "length", own[longer], n, usual, _beyond(usual, FAR), said)


def _by_copies(counts: Counts, ledger: Ledger) -> Iterator[_Measure]:
    """Pairs of people who gave the very same order far more often than a country's people do.

    Both agree with it as much as with others, so agreement alone makes nobody a copyist. Who answered later more often
    is the one that is named.
    """
    same: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    alike, twins, partners = Counter[tuple[str | int, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for key, number in counts.items():
        match key:
            case ("same", str(task), str(country), str(later), str(earlier)):
                same[task, country][later, earlier] += number
            case ("alike", str(task), str(country), int(so)):
                alike[task, country, so] += number
            case ("twins", str(task), str(country), str(annotator)):
                twins[task, country, annotator] += number
    for of, pairs in same.items():
        for one, other in {(min(pair), max(pair)) for pair in pairs}:
            partners.update([(*of, one), (*of, other)])
    for of, pairs in same.items():
        chosen: dict[tuple[str, str], int] = {}
        several = [pair for pair, number in pairs.items() if number + pairs.get(pair[::-1], 0) >= FEWEST_ALIKE]
        for later, earlier in sorted(several):
            number, back = pairs[later, earlier], pairs[earlier, later]
            both, leads = number + back, (number, later) >= (back, earlier)
            mean = min(twins[*of, who] / partners[*of, who] for who in (later, earlier))
            if leads and (both > OFTEN * mean or partners[*of, later] == 1):
                chosen[later, earlier] = both
        shared = shared_items(ledger, of[0], chosen)
        for (later, earlier), both in chosen.items():
            n = max(shared[later, earlier], both)
            rest = alike[*of, 0] + alike[*of, 1] - n
            if n < FEWEST or rest < FEWEST:
                continue
            usual = max(alike[*of, 1] - both, 0) / rest
            said = (
                f"{later} gave the very same order as {earlier} to {both} of the {n} {TASKS[of[0]].many} that both "
                f"judged, after {earlier} on {pairs[later, earlier]}; usual are {usual:.0%}."
            )
            yield _share((of[0], later), "copying", both, n, usual, _beyond(usual, FARTHER), said, partners[*of, later])


def _by_pace(ledger: Ledger) -> Iterator[_Measure]:
    """Seconds between two answers of a person, by the server's clock, among the newest of all.

    What `annot move` copied has the time of the move, and is left out.
    """
    rows = ledger.rows(
        """select r.annotator, r.updated_at, i.task from
             (select * from responses where status = 'submitted' order by seq desc limit ?) r
           join items i on i.id = r.item_id where not exists (select 1 from moved_responses m
             where m.response_id = r.response_id and m.updated_at = r.updated_at)""",
        RECENT,
    )
    times: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    same = ledger.aliases()
    for row in rows:
        times[same.get(row["annotator"], row["annotator"])].append(
            (datetime.fromisoformat(row["updated_at"]), row["task"])
        )
    gaps: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for annotator, answered in times.items():
        for (before, _), (after, task) in pairwise(sorted(answered)):
            if (seconds := (after - before).total_seconds()) < PAUSE_S:
                gaps[task][annotator].append(seconds)
    for task, people in gaps.items():
        medians = {who: median(own) for who, own in people.items() if len(own) >= FEWEST}
        ordered = sorted(medians.values())
        for annotator, seconds in medians.items():
            own, n = sorted(people[annotator]), len(people[annotator])
            usual = _median_of_others(ordered, seconds) if len(medians) > 1 else 3 * QUICK_S
            limit = min(QUICK_S, usual / 3)
            quick = sum(gap < limit for gap in own)
            low, high = (own[min(int(share * n), n - 1)] for share in _wilson(n // 2, n, _z(1)))
            said = f"{annotator} takes {seconds:.0f} s for an answer, half of the time or more"
            said += f"; usual are {usual:.0f} s." if len(medians) > 1 else "."
            sign = Sign(annotator, task, "speed", seconds, low, high, n, usual, said)
            yield _Measure(sign, lambda z, quick=quick, n=n: _wilson(quick, n, z)[0] > 0.5)  # type: ignore[misc]


def _median_of_others(ordered: Sequence[float], own: float) -> float:
    """Median of ordered numbers without one of them."""
    left_out, rest = bisect_left(ordered, own), len(ordered) - 1
    middle = ((rest - 1) // 2, rest // 2)
    return sum(ordered[place + (place >= left_out)] for place in middle) / 2


def _by_agreement(
    trusted: Mapping[tuple[str, str], Mapping[str, Reliability]], ledger: Ledger, team: Mapping[str, Person]
) -> Iterator[_Measure]:
    """Who agrees with the people of their country hardly more than chance would, and with none of them in particular.

    Some people of one opinion among many of another agree with each other, and so have company: that is no sign.
    """
    for (task, _), people in trusted.items():
        measured = {who: one for who, one in people.items() if one.agreement is not None and one.items >= FEWEST}
        knows = sorted(one.knows for one in measured.values())
        shares = sorted(one.agreement for one in measured.values() if one.agreement is not None)
        for annotator, own in sorted(measured.items(), key=lambda one: one[1].knows):
            if len(measured) < 2 or own.agreement is None:
                continue
            typical, usual = _median_of_others(knows, own.knows), _median_of_others(shares, own.agreement)
            if typical < KNOWN:
                continue
            contrary = own.knows + _z(1) * own.error < 0
            asked = "Do they put the worst first?" if contrary else "Careless, or alone with an opinion?"
            said = (
                f"{annotator} agrees with the others of the country in {own.agreement:.0%} of {own.comparisons} "
                f"comparisons, and with none of them in particular; the others agree in {usual:.0%}, chance would be "
                f"{own.chance:.0%}. {asked}"
            )
            together = own.chance + (1 - own.chance) * COMPANY * typical**2
            spread = _z(1) * own.error
            ends = own.knows - spread, own.knows + spread
            yield _Measure(
                Sign(annotator, task, "agreement", own.knows, *ends, own.items, typical, said),
                lambda z, own=own, typical=typical: own.knows + z * own.error < RARELY * typical,  # type: ignore[misc]
                lambda task=task, who=annotator, share=together, others=0 if contrary else OTHERS: has_company(
                    ledger, team, task, who, share, others=others
                ),  # type: ignore[misc]
            )
