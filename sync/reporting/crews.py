"""Crews: the people of a country who are counted on, at which pace, and how long work takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from annotation.item_counts import Counts
from annotation.project import Project
from annotation.quality.entry import ENTRY, entry_results
from annotation.tasks.adjudication import ADJUDICATOR
from sync.reporting.work_left import Work, one_name

if TYPE_CHECKING:
    from sync.reporting.pace import Floats, Pace

LONGEST = 3650.0
"""Days beyond which no number says anything."""

FEWEST_DAYS = 2
"""Days after somebody's first that must have passed before their pace is one."""

_DRAWS, _CELLS = 2000, 2_000_000
"""Draws of the simulation, and the most numbers that one of its tables holds: large teams have fewer draws."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The people of a country who are counted on.

    Attributes:
        names: Of those who work.
        languages: Of each.
        sums: What each submitted in the days that are looked at.
        n: How many days these are.
        counting: Share of what each submits that counts.
        pace: Of the team; None: nothing is observed, and `assumed` holds.
        begun: They work; otherwise nobody has begun, and who is on the roster is counted on.
        idle: People on the roster who have not begun, where others have.
        since: Where nobody has answered for weeks, the day of the last answer.
        everywhere: Share of what people of any country submit that counts.
        shut_out: Task and user name of those who failed its entry test in the last try.
    """

    country: str
    names: tuple[str, ...]
    languages: tuple[tuple[str, ...], ...]
    sums: Floats
    n: Floats
    counting: Floats
    pace: Pace | None
    assumed: float
    yesterday: int
    seed: int
    begun: bool
    idle: int = 0
    since: str = ""
    everywhere: float = 1.0
    shut_out: Collection[tuple[str, str]] = ()

    def at_work(self, task: str) -> int:
        """How many are counted on in a task."""
        return sum((task, name) not in self.shut_out for name in self.names)

    def most(self, work: Work, added: int) -> Floats:
        """Answers that each of them can still give, and each of those added."""
        import numpy as np

        quota = work.state.quota
        may = [
            (not quota.language or quota.language in spoken) and (quota.task, name) not in self.shut_out
            for name, spoken in zip(self.names, self.languages, strict=True)
        ]
        found: Floats = work.most(self.names, added) * np.array([*may, *[True] * added])
        return found

    def times(self, work: Work, share: float, added: int) -> tuple[float, float, float, float]:
        """Lower end, middle and upper end of the days that it takes, and answers a day."""
        import numpy as np

        from sync.reporting.pace import time_until

        most = self.most(work, added)
        sums, n, counting = (
            np.concatenate([values, np.full(added, fill)])
            for values, fill in ((self.sums, 0.0), (self.n, 0.0), (self.counting, self.everywhere))
        )
        counts = counting * share * (most > 0)
        if most.sum() < work.needed * (1 - 1e-9) or not len(most):
            return math.inf, math.inf, math.inf, 0.0
        if self.pace is None:
            rates = self.assumed * counts * np.array([[2.0], [1.0], [0.5]])
            low, middle, high = (min(float(time), LONGEST) for time in time_until(work.needed, rates, most))
            return low, middle, high, float(rates[1].sum())
        random = np.random.default_rng([self.seed, *self.country.encode(), *work.state.quota.task.encode()])
        expected = self.pace.shrunk(sums, n) * counts
        over = max(float(time_until(work.needed, expected[None], most)[0]), 1.0)
        times = max(min(_DRAWS, _CELLS // len(most)), 100)
        means, days = self.pace.draw(sums, n, times, random)
        given = random.gamma(means * over / days) * days / over
        given *= self.pace.together(over, times, random)
        found = self.pace.dated(time_until(work.needed, given * counts, most), self.yesterday, int(LONGEST))
        low, middle, high = (float(value) for value in np.quantile(found, (0.05, 0.5, 0.95)))
        return low, middle, high, float(expected.sum())


def crews(project: Project, counts: Counts, moment: datetime, assumed: float) -> Callable[[str], Crew]:
    """Gives the team of a country."""
    import numpy as np

    from sync.reporting.pace import WINDOW, Pace, daily, diaries

    roster = project.ledger.people()
    person = one_name(roster)
    written, last = diaries(counts, person), _last_day(project, counts, moment)
    works = {p.username: p for p in roster if p.active and not p.excluded and not p.same_as and p.role != ADJUDICATOR}
    results = entry_results(project.ledger, project.settings, moment)
    shut_out = {place for place, result in results.items() if result.state == "failed"}
    submitted, right = dict[str, int](), dict[str, int]()
    for key, number in counts.items():
        of = {"day": submitted, "person": right}.get(str(key[0]))
        if of is not None:
            name = person(str(key[1] if key[0] == "day" else key[5]))
            of[name] = of.get(name, 0) + number
        elif key[0] == "control" and key[2] == ENTRY:  # done once: it says nothing of what counts later
            name = person(str(key[3]))
            submitted[name] = submitted.get(name, 0) - number
    known = [name for name in works if name in written]
    table = daily([written[name] for name in known], last)
    rows = dict(zip(known, table, strict=True))
    whole = (sum(right.get(name, 0) for name in known) + 1) / (sum(submitted[name] for name in known) + 1)
    early = not any(written[name].first + FEWEST_DAYS <= last for name in known)
    everybody = None if early or not np.nansum(table) else Pace.of(table, last)

    def team(country: str) -> Crew:
        own = [p for p in works.values() if p.country == country]
        begun = [p.username for p in own if p.username in rows]
        waiting = [p for p in own if p.username not in rows and p.role == "annotator"]
        seen = np.array([rows[name] for name in begun]).reshape(-1, WINDOW)
        exposed = ~np.isnan(seen)
        pace, since = everybody, ""
        if begun and not early and not np.nansum(seen) and exposed.any(axis=1).all():
            latest = max(max(written[name].days) for name in begun)
            since = date.fromordinal(latest).isoformat() if latest <= last else ""
        elif not early and exposed.any(axis=1).sum() >= 3 and exposed.sum() >= 3 * FEWEST_DAYS and np.nansum(seen):
            pace = Pace.of(seen, last)
        counted_on = [works[name] for name in begun] or waiting
        table = np.array([rows.get(p.username, np.full(WINDOW, np.nan)) for p in counted_on]).reshape(-1, WINDOW)
        counting = [(right.get(p.username, 0) + 10 * whole) / (submitted.get(p.username, 0) + 10) for p in counted_on]
        return Crew(
            country,
            tuple(p.username for p in counted_on),
            tuple(p.languages for p in counted_on),
            np.nansum(table, axis=1),
            pace.exposed(table, last) if pace else np.zeros(len(table)),
            np.minimum(np.array(counting), 1.0) * (not since),
            pace,
            assumed,
            moment.date().toordinal() - 1,
            project.settings.project.seed,
            bool(begun),
            len(waiting) if begun else 0,
            since,
            everywhere=min(whole, 1.0),
            shut_out=shut_out,
        )

    return team


def _last_day(project: Project, counts: Counts, moment: datetime) -> int:
    """The last day, as an ordinal, of which all is known: it is over, and answers were fetched after it."""
    known = [str(key[2]) for key in counts if key[0] == "day"]
    known += [str(row["whole_at"])[:10] for row in project.ledger.rows("select whole_at from feeds")]
    latest = max((day for day in known if day), default=moment.date().isoformat())
    return min(date.fromisoformat(latest).toordinal(), moment.date().toordinal() - 1)
