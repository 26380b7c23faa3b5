"""Pace of people: items a day of each, shrunk to their team's, with what chance makes of it.

A gamma-Poisson model by empirical Bayes: what a person does a day has a mean of their own, and the means of a team are
gamma distributed. Both are estimated by moments, with weights of few days shrunk to the team's: H. Bühlmann and
E. Straub (1970), "Glaubwürdigkeit für Schadensätze", Mitteilungen der VSVM 70. Days differ more than Poisson's do:
the variance of a person's is a multiple of their mean, weekends have a mean of their own, and all people's days have
something in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from annotation.item_counts import Counts

WINDOW = 28
"""Days that are looked at, the last: four weeks, so that every weekday weighs the same."""

Floats = NDArray[np.float64]

_DAYS_ASSUMED = 2.0
"""Weight, in days, of the first guess of how much days differ: that their standard deviation is about their mean."""
_PEOPLE_ASSUMED = 2.0
"""Weight, in people, of the first guess of how much people differ: a standard deviation of half their mean."""
_COMMON_ASSUMED = 0.1
"""The first guess of `Pace.common`."""


@dataclass(frozen=True, slots=True)
class Diary:
    """What one person submitted.

    Attributes:
        first: The day of their first item, as an ordinal of `datetime.date`.
        days: Day -> items, the days with work alone.
    """

    first: int
    days: dict[int, int]


def diaries(counts: Counts, person: Callable[[str], str]) -> dict[str, Diary]:
    """What everybody submitted, by person.

    Args:
        counts: From `annotation.tally.count`.
        person: Gives the one name of somebody who has several.
    """
    found: dict[str, dict[int, int]] = {}
    for key, number in counts.items():
        if key[0] == "day":
            own, day = found.setdefault(person(str(key[1])), {}), date.fromisoformat(str(key[2])).toordinal()
            own[day] = own.get(day, 0) + number
    return {name: Diary(min(days), days) for name, days in found.items()}


def daily(people: Sequence[Diary], last: int) -> Floats:
    """Items of each person (row) on each day up to `last` (column), within WINDOW.

    NaN up to the day on which a person began, which is left out too: nobody begins with a day without work, so that
    it says too much of the others.
    """
    table = np.full((len(people), WINDOW), np.nan)
    for row, diary in zip(table, people, strict=True):
        begin = last - WINDOW + 1
        row[max(diary.first + 1 - begin, 0) :] = 0
        for day, number in diary.days.items():
            if max(begin, diary.first + 1) <= day <= last:
                row[day - begin] = number
    return table


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of a team, in items per person and day.

    Attributes:
        mean: Of people.
        error: Its standard error.
        spread: Variance between people.
        days: Variance of a person's days divided by their mean.
        freedom: Degrees of freedom that it stands on.
        weekend: What is done on a Saturday or Sunday, by what is done on a mean day.
        common: Squared coefficient of variation that the days of all have in common beside that.
        dates: Days that it was observed on.
    """

    mean: float
    error: float
    spread: float
    days: float
    freedom: float
    weekend: float
    common: float
    dates: int

    @classmethod
    def of(cls, table: Floats, last: int) -> Pace:
        """Estimate it from `daily`; of at least one person and day, and at least one item."""
        table = table[~np.isnan(table).all(axis=1)]
        seen = ~np.isnan(table)
        mean = np.nansum(table) / seen.sum()
        expected, observed = mean * seen.sum(axis=0), np.nansum(table, axis=0)
        ends, usual = _weekends(last - WINDOW + 1, WINDOW), expected[expected > 0].mean()
        # One usual day is added to each side: of few days it is not known how they differ.
        side = [(observed[on].sum() + usual) / (expected[on].sum() + usual) for on in (ends, ~ends)]
        weekend = min(max(7 * side[0] / (2 * side[0] + 5 * side[1]), 0.02), 3.0)
        weights = _weights(weekend, ends) * seen
        n, sums = weights.sum(axis=1), np.nansum(table, axis=1)
        total = n.sum()
        mean, own = sums.sum() / total, sums / n
        within = np.nansum(((table - own[:, None] * weights) ** 2)[seen] / weights[seen]) / mean
        freedom = _DAYS_ASSUMED + (seen.sum(axis=1) - 1).sum()
        days = max((_DAYS_ASSUMED * (1 + mean) + within) / freedom, 0.1)
        people = float(len(n))
        spread, apart = 0.0, total - (n**2).sum() / total
        if people > 1 and apart > 0:
            spread = max(((n * (own - mean) ** 2).sum() - (people - 1) * days * mean) / apart, 0.0)
        spread = (_PEOPLE_ASSUMED * (mean / 2) ** 2 + (people - 1) * spread) / (_PEOPLE_ASSUMED + people - 1)
        error = float(np.sqrt(days * mean / total + spread / people))
        pace = cls(mean, error, max(spread, (mean / 100) ** 2), days, freedom, weekend, 0.0, 0)
        expected = (weights * pace.shrunk(sums, n)[:, None]).sum(axis=0)
        on = expected > 0
        excess = max(((observed - expected)[on] ** 2 - days * expected[on]).sum() / (expected[on] ** 2).sum(), 0.0)
        dates = int(on.sum())
        common = (_DAYS_ASSUMED * _COMMON_ASSUMED + dates * excess) / (_DAYS_ASSUMED + dates)
        return replace(pace, common=float(common), dates=dates)

    def together(self, over: Floats | float, times: int, random: np.random.Generator) -> Floats:
        """What the days that all have in common make of all paces (times, 1), over some mean days.

        Those that were observed were such days too.
        """
        variance = self.common / over + self.common / self.dates
        found: Floats = random.gamma(1 / variance, variance, (times, 1))
        return found

    def exposed(self, table: Floats, last: int) -> Floats:
        """Days of each person in `daily`, in mean days: one of a weekend is less, or more."""
        found: Floats = (_weights(self.weekend, _weekends(last - WINDOW + 1, WINDOW)) * ~np.isnan(table)).sum(axis=1)
        return found

    def dated(self, times: Floats, last: int, most: int) -> Floats:
        """Days from the end of `last` on, of some numbers of mean days; `most` at most."""
        done = np.cumsum(_weights(self.weekend, _weekends(last + 1, most)))
        found: Floats = np.interp(times, [0, *done], np.arange(most + 1.0))
        return found

    def shrunk(self, sums: Floats, n: Floats) -> Floats:
        """Mean of each person: their own, shrunk to the team's.

        Args:
            sums: Items of each.
            n: Days of each, from `exposed`; 0 where nothing is known, so that the team's mean comes back.
        """
        rate = self.mean / self.spread
        found: Floats = (rate * self.mean + sums / self.days) / (rate + n / self.days)
        return found

    def draw(self, sums: Floats, n: Floats, times: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Means that may be each person's (times, people), and with each the days' variance by their mean (times, 1).

        What is estimated of the team is drawn too: of few people and days it is not known well.
        """
        days = self.days * self.freedom / random.chisquare(self.freedom, (times, 1))
        days = np.clip(days, 0.1, 50 * self.days)
        mean = random.gamma((self.mean / self.error) ** 2, self.error**2 / self.mean, (times, 1))
        rate = self.mean / self.spread
        means: Floats = random.gamma(rate * mean + sums / days) / (rate + n / days)
        return means, days


def _weekends(first: int, days: int) -> NDArray[np.bool_]:
    return (np.arange(first, first + days) + 6) % 7 >= 5  # the first ordinal is a Monday


def _weights(weekend: float, ends: NDArray[np.bool_]) -> Floats:
    return np.where(ends, weekend, (7 - 2 * weekend) / 5)


def time_until(needed: float, rates: Floats, most: Floats) -> Floats:
    """Days until enough answers are there: T with sum(min(rate * T, most)) = needed, for each draw.

    Each item needs different people, so nobody gives more answers than there are items for them.

    Args:
        needed: Answers.
        rates: Answers a day, (draws, people).
        most: Answers that each person can give, (people,).

    Returns:
        (draws,); infinite where it never comes to that.
    """
    if most.sum() < needed * (1 - 1e-9):
        return np.full(len(rates), np.inf)
    rates = np.maximum(rates, 1e-12)
    time: Floats = needed / rates.sum(axis=1)
    while True:  # the sum is concave in T, so Newton's steps come from below and end at the answer
        free = rates * time[:, None] < most
        pace, fixed = (rates * free).sum(axis=1), (most * ~free).sum(axis=1)
        after = np.maximum(time, np.where(pace > 0, (needed - fixed) / np.maximum(pace, 1e-12), time))
        if np.allclose(after, time, rtol=1e-9, atol=0):
            return after
        time = after
