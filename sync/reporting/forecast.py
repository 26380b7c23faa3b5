"""Forecast of the quotas: how many days the team needs at its pace, with an interval, and what is out of reach."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from annotation.errors import SettingsError
from annotation.item_counts import Counts
from annotation.project import Project
from annotation.screen import counted
from annotation.sections import named_country
from annotation.tasks import TASKS
from sync.quotas import QuotaState
from sync.reporting.crews import Crew, crews
from sync.reporting.work_left import Work, works_left

PACE = 20.0
"""Items that a person is assumed to do a day, where nothing can be observed yet."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a quota that is not met will be.

    Attributes:
        task: Name of the task.
        country: Whose people are asked.
        group: Name of the quota's group.
        to_go: Answers that are still needed.
        people: Who is counted on: those who work, and those who were added.
        per_day: Answers that they give to this quota a day, of those that will count.
        days_low: Days from now, the lower end of the 90 % interval.
        days: The middle of it: as likely later as earlier.
        days_high: The upper end; None where the quota is out of reach.
        reach: Why it is out of reach, or what must happen first, and what to do; or "".
        assumed: The pace is assumed, since too little was observed: the interval is half to double of it.
        more: People more who are needed to be done by the day that was asked for; None where nobody asked, or where
            no number of them is enough.
    """

    task: str
    country: str
    group: str
    to_go: int
    people: int
    per_day: float
    days_low: float
    days: float
    days_high: float | None
    reach: str = ""
    assumed: bool = False
    more: int | None = None

    @property
    def within_reach(self) -> bool:
        """Whether it comes to an end with this team."""
        return self.days_high is not None

    def as_json(self) -> dict[str, Any]:
        """For scripts; days that never come are null."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}


def forecast(
    project: Project,
    counts: Counts,
    quotas: Sequence[QuotaState],
    *,
    add: Mapping[str, int] | None = None,
    pace: float = PACE,
    by: date | None = None,
    now: datetime | None = None,
) -> tuple[Forecast, ...]:
    """When each quota that is not met will be, at the pace of the last four weeks.

    Each person's pace, and what it may be, are those of `sync.reporting.pace`. The open quotas of a country share its
    people's time in proportion to the answers that they still need. Each item needs different people. Answers that do
    not count (control items, unfit ones) take time as well: the pace is multiplied by the share that counts.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
        quotas: From `sync.quotas.count_quotas`.
        add: Country -> people who would come, from now on, and work as the others do.
        pace: Items per person and day, where none is observed.
        by: Say how many people more each country needs to be done by then, in 95 of 100 draws.
        now: The present, UTC.
    """
    moment = now or datetime.now(UTC)
    open_ = [state for state in quotas if not state.met]
    if not open_:
        return ()
    teams = crews(project, counts, moment, pace)
    works, found = works_left(project, counts, open_), list[Forecast]()
    for country in sorted({state.quota.country for state in open_}):
        own = [work for work in works if work.state.quota.country == country]
        shares, team = _shares(own), teams(country)
        added = (add or {}).get(country, 0)
        more = _more(team, own, shares, added, (by - moment.date()).days) if by else None
        found += (_forecast(team, work, share, added, more) for work, share in zip(own, shares, strict=True))
    order = {(state.quota.task, state.group): place for place, state in enumerate(open_)}
    return tuple(sorted(found, key=lambda one: order[one.task, one.group]))


def _shares(works: Sequence[Work]) -> list[float]:
    """Of a country's time, for each of its quotas; one that holds the topics of others is no more work than they."""
    whole = 0.0
    for task in {work.state.quota.task for work in works}:
        own = [work for work in works if work.state.quota.task == task]
        apart = sum(work.needed for work in own if work.state.quota.topic or work.state.quota.language)
        whole += max(apart, *(work.needed for work in own))
    return [work.needed / whole for work in works]


def _forecast(team: Crew, work: Work, share: float, added: int, more: int | None) -> Forecast:
    quota, many = work.state.quota, TASKS[work.state.quota.task].many
    head = (quota.task, quota.country, work.state.group, work.needed, team.at_work(quota.task) + added)
    assumed = team.pace is None and not team.since
    if not work.state.items and not work.state.coming:
        reach = f"{work.state.group} has no {many}: add some (`annot status` says how), or lower its target."
        return Forecast(*head, 0.0, math.inf, math.inf, None, reach, assumed)
    low, middle, high, per_day = team.times(work, share, added)
    if middle == math.inf:
        return Forecast(*head, 0.0, low, middle, None, _too_few(team, work, added), assumed, more)
    if team.since and not added:
        reach = (
            f"Nobody of {quota.country} has answered since {team.since}: ask them to go on, or add people with "
            "`annot team add`."
        )
        return Forecast(*head, 0.0, math.inf, math.inf, None, reach, assumed, more)
    reach = ""
    if work.missing:
        reach = (
            f"{counted(work.missing, TASKS[quota.task].one, many)} of {work.state.group} must be made first: "
            "`annot status` says what comes next."
        )
    elif not team.begun and not assumed:
        reach = (
            f"Nobody of {quota.country} has begun: {counted(head[-1], 'person is', 'people are')} counted on, at the "
            "pace of the other countries."
        )
    return Forecast(*head, per_day, low, middle, high, reach, assumed, more)


def _too_few(team: Crew, work: Work, added: int) -> str:
    quota, one = work.state.quota, TASKS[work.state.quota.task].one
    short = max(math.ceil((work.needed - team.most(work, added).sum()) / work.items), 1)
    having = counted(team.at_work(quota.task) + added, "person", "people")
    idle = f", and {team.idle} have not begun" if team.idle else ""
    ask = "ask them to begin, or " if team.idle else ""
    read = f" who read {quota.language}" if quota.language else ""
    return (
        f"Each {one} needs {quota.overlap} different people, and {quota.country} has {having} at work{read}{idle}: "
        f"{ask}add {short} or more with `annot team add`, or lower task.{quota.task}.overlap in annot.toml."
    )


def _more(team: Crew, works: Sequence[Work], shares: Sequence[float], added: int, days: int) -> int | None:
    """People more with whom all of a country's quotas are met within some days, in 95 of 100 draws."""
    there = [pair for pair in zip(works, shares, strict=True) if pair[0].state.items or pair[0].state.coming]

    def enough(more: int) -> bool:
        return all(team.times(work, share, added + more)[2] <= days for work, share in there)

    low, high = -1, 0
    while not enough(high):
        low, high = high, max(2 * high, 1)
        if high > 10_000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def added_people(add: Sequence[int], countries: Sequence[str], quotas: Sequence[QuotaState]) -> dict[str, int]:
    """Country -> people who would come, of pairs as they were typed.

    Raises:
        SettingsError: There are more of one than of the other, or a country that no quota asks.
    """
    asked, found = sorted({state.quota.country for state in quotas}), Counter[str]()
    if len(add) != len(countries):
        pair = f"--add {next(iter(add), 3)} --country {next(iter((*countries, *asked)), 'MX')}"
        raise SettingsError(
            f"Write each --add with its --country, for example annot plan {pair}; "
            f"quotas ask people of {', '.join(asked) or 'no country yet'}."
        )
    for number, name in zip(add, countries, strict=True):
        try:
            code = named_country(name)
        except ValueError as error:
            raise SettingsError(f"--country {name}: {error}.") from None
        if code not in asked:
            raise SettingsError(
                f"--country {name}: no quota asks people of {code}; there are {', '.join(asked) or 'none yet'}."
            )
        found[code] += number
    return dict(found)


def check_deadline(by: date, today: date | None = None) -> date:
    """A day that is still to come; SettingsError where it is not."""
    if by <= (today := today or datetime.now(UTC).date()):
        raise SettingsError(f"--by {by} is not in the future; write a later day, as in --by {today + timedelta(30)}.")
    return by
