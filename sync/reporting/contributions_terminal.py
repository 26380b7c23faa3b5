"""Tables of the contributions, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.screen import counted, table
from sync.reporting.contributions import Contributions, Done, Earned

DONE = ("person", "team", "task", "submitted", "accepted", "first try", "hours")
"""Columns of what was done."""

POINTS = ("person", "team", "kind", "validated", "points")
"""Columns of what it earns."""


def done_row(one: Done) -> tuple[str | int | float | None, ...]:
    """A line of the table of DONE."""
    hours = None if one.hours is None else round(one.hours, 1)
    return one.person, one.country, one.title, one.submitted, one.accepted, one.first_try, hours


def points_row(one: Earned) -> tuple[str | float, ...]:
    """A line of the table of POINTS."""
    return one.person, one.country, one.kind, one.validated, round(one.points, 2)


def shown(row: Iterable[str | float | None]) -> tuple[str, ...]:
    """A line as a person reads it."""
    return tuple("–" if value is None else str(value) for value in row)


def show_contributions(found: Contributions) -> None:
    """Print who did what, and the points."""
    if not found.done:
        print("Nobody has done anything yet; `annot sync` brings what people answered.")
        return
    table("Who did what", DONE, [shown(done_row(one)) for one in found.done])
    table("Points, each one's part", POINTS, [shown(points_row(one)) for one in found.earned])
    table("Points, the team", POINTS[2:], [shown(points_row(one)[2:]) for one in found.team])
    print(f"{found.points:g} points of the challenge in all: whole steps alone count, by [points] in annot.toml.")
    if found.twice:
        print(twice_sentence(found.twice))


def twice_sentence(twice: int) -> str:
    """What a lead should look at where somebody answered one item under two names."""
    return (
        f"{counted(twice, 'answer does', 'answers do')} not count: whoever gave them answered the same item under "
        "another user name too."
    )
