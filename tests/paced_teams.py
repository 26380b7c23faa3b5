"""Simulated teams at work: what is observed of them, and when they were really done."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from projects import make_project

from annotation.item_counts import Counts
from annotation.project import Project
from annotation.types import Person
from sync.quotas import count_quotas
from sync.reporting.forecast import Forecast, forecast

TODAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
OVERLAP = 3


@dataclass(frozen=True)
class Simulated:
    """A team whose future is known.

    Attributes:
        counts: As the tally would have them.
        items: That are owed.
        took: Days until they were complete.
    """

    counts: Counts
    items: int
    took: float


def simulate(random: np.random.Generator, *, weekends: bool) -> Simulated:
    """People of different paces, on some days at work and on others not, who joined one by one."""
    people, watched = int(random.integers(OVERLAP, 25)), int(random.integers(4, 35))
    typical, spread = random.uniform(3, 40), random.uniform(0.3, 1.0)
    paces = random.gamma(1 / spread**2, typical * spread**2, people)
    at_work = random.uniform(0.3, 1.0)
    began = random.integers(0, max(watched - 3, 1), people)
    began[0] = 0
    last = TODAY.date() - timedelta(days=1)

    def day(number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        rests = weekends and (last + timedelta(days=number - watched + 1)).weekday() >= 5 and random.random() < 0.8
        there = (random.random(people) < at_work * (0.1 if rests else 1)) & (number >= began)
        if number < watched:
            there |= number == began  # whoever begins does something
        given = random.poisson(random.gamma(4, paces / 4))
        return np.where(there, np.maximum(given, 1), 0)

    counts: Counts = Counter()
    done = np.zeros(people, dtype=np.int64)
    for past in range(watched):
        given = day(past)
        done = done + given
        for who, number in enumerate(given.tolist()):
            if number:
                counts["day", f"p{who}", (last - timedelta(days=watched - 1 - past)).isoformat()] += number
    to_go = int(max(done.sum() / watched * random.uniform(3, 40), 10))
    items = to_go // OVERLAP + 1
    nothing, whole = ("item", "ranking", "MX", "", "es", 0), ("item", "ranking", "MX", "", "es", OVERLAP)
    counts[nothing], counts[whole] = items, int(done.sum()) // OVERLAP
    for who, number in enumerate(done.tolist()):
        counts["person", "ranking", "MX", "", "es", f"p{who}"] = number
    left, needed, number = np.full(people, items, dtype=np.int64), items * OVERLAP, watched
    while needed > 0 and number < watched + 3000:
        given = np.minimum(day(number), left)
        left = left - given
        today = int(given.sum())
        if today >= needed:
            return Simulated(counts, items, number - watched + needed / today)
        needed, number = needed - today, number + 1
    return Simulated(counts, items, 3000)


def project_of(folder: Path, people: int, *, target: int = 50, country: str = "MX") -> Project:
    """A project with a roster, p0, p1, …"""
    project = make_project(
        folder,
        f'[project]\ncountries = ["{country}"]\nlanguages = ["es"]\n'
        f"[task.ranking]\ntarget = {target}\noverlap = {OVERLAP}\n",
    )
    project.ledger.add_people([Person(f"p{n}", "", "annotator", country, ("es",)) for n in range(people)])
    return project


def forecast_of(project: Project, counts: Counts, **options: object) -> tuple[Forecast, ...]:
    """The forecast as of TODAY."""
    quotas = count_quotas(project.settings, counts, {"ranking": []})
    return forecast(project, counts, quotas, now=TODAY, **options)  # type: ignore[arg-type]


def coverage(folder: Path, teams: int, seed: int, *, weekends: bool) -> tuple[float, float, list[float]]:
    """How often the 90 % interval held the day, how often it was late of the middle, and how wide intervals were."""
    random, inside, later, widths = np.random.default_rng(seed), 0, 0, []
    project = project_of(folder, 25, target=1_000_000)
    for _ in range(teams):
        team = simulate(random, weekends=weekends)
        (found,) = forecast_of(project, team.counts)
        assert found.days_high is not None, found
        inside += found.days_low <= team.took <= found.days_high
        later += team.took > found.days
        widths.append(found.days_high / max(found.days_low, 0.1))
    return inside / teams, later / teams, widths


def day_before(days: int) -> str:
    """A day before TODAY, as the tally writes it."""
    return (TODAY.date() - timedelta(days=days)).isoformat()
