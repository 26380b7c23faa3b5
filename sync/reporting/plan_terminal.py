"""The forecast on the terminal: a table, what is out of reach, and what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from annotation.screen import counted, table
from annotation.tasks import TASKS
from sync.reporting.crews import LONGEST
from sync.reporting.forecast import Forecast


def show_plan(found: Sequence[Forecast], *, met: int, pace: float, by: date | None) -> None:
    """Print it.

    Args:
        found: Of the quotas that are not met.
        met: How many are.
        pace: Items per person and day that were assumed where nothing is observed.
        by: The day for which people were counted.
    """
    if not found:
        print("Every quota is met." if met else "No quota owes anything yet: `annot status` says what comes next.")
        return
    table(
        "How long it will take",
        ("task", "group", "to go", "people", "a day", "days", "90 % interval"),
        [
            (
                *(TASKS[one.task].title, one.group, one.to_go, one.people, f"{one.per_day:.1f}"),
                in_days(one.days) if one.within_reach else "–",
                f"{in_days(one.days_low)} to {in_days(one.days_high)}" if one.days_high is not None else "out of reach",
            )
            for one in found
        ],
    )
    assumed = sorted({one.country for one in found if one.assumed})
    if assumed:
        print(
            f"Too early to tell the pace of {', '.join(assumed)}: {pace:g} items per person and day are assumed "
            "(--pace), and the interval is from twice to half of that. After three days of work it is measured."
        )
    for line in dict.fromkeys(one.reach for one in found if one.reach):
        print(line)
    if by is not None:
        for country in dict.fromkeys(one.country for one in found):
            print(_needed(country, next(one.more for one in found if one.country == country), by))


def _needed(country: str, more: int | None, by: date) -> str:
    if more is None:
        return f"{country}: no number of people is enough by {by}; make what is missing, or choose a later day."
    if not more:
        return f"{country}: nobody more is needed to be done by {by}."
    return f"{country}: {counted(more, 'person', 'people')} more, from today on, to be done by {by} (95 of 100)."


def in_days(days: float) -> str:
    """A number of days as a table shows it."""
    if days >= LONGEST:
        return "over 10 years"
    return f"{days:.1f}" if days < 10 else f"{days:.0f}"
