"""Contributions as files: a .csv that spreadsheet programs open safely, or a .html page that needs no other file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from annotation.errors import SettingsError
from annotation.files import write_whole
from sync.reporting.contributions import Contributions
from sync.reporting.contributions_terminal import DONE, POINTS, done_row, points_row, shown, twice_sentence
from sync.reporting.page.charts import table
from sync.reporting.page.html import tag
from sync.reporting.page.whole import check_place, document
from sync.reporting.page.words import Words

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""How a cell begins, blanks aside, that spreadsheet programs would run (OWASP, "CSV Injection")."""


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is counted.

    Raises:
        SettingsError: Its name ends in neither .csv nor .html, or its folder is not there.
    """
    if path.suffix.lower() not in (".csv", ".html"):
        raise SettingsError(f'--out "{path}": write a name that ends in .csv or .html.')
    check_place(path)


def write_contributions(found: Contributions, path: Path, *, title: str) -> None:
    """Write the file, whole or not at all; nobody else on the machine can read it."""
    csv_ = path.suffix.lower() == ".csv"
    write_whole(path, as_csv(found).encode("utf-8-sig") if csv_ else as_html(found, title), mode=0o600)


def as_csv(found: Contributions) -> str:
    """One table: what was done, and then the points; a column says which."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("what", *(name.replace(" ", "_") for name in DONE), "validated", "points"))
    for one in found.done:
        writer.writerow(map(_cell, ("work", *done_row(one), None, None)))
    for part in found.earned:
        writer.writerow(map(_cell, ("points", *points_row(part)[:3], *[None] * 4, *points_row(part)[3:])))
    for part in found.team:
        writer.writerow(map(_cell, ("points of the team", *points_row(part)[:3], *[None] * 4, *points_row(part)[3:])))
    writer.writerow(map(_cell, ("points of the team", "", "", "all", *[None] * 5, found.points)))
    return out.getvalue()


def _cell(value: str | float | None) -> str | float:
    if isinstance(value, str) and value.lstrip().startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def as_html(found: Contributions, title: str) -> bytes:
    """A page like that of `annot report`: it opens from disk and asks nobody for anything."""
    head = f"{title}: contributions"
    body = (
        tag("h1", head),
        table("Who did what", DONE, [shown(done_row(one)) for one in found.done], numbers=range(3, 7)),
        table("Points, each one's part", POINTS, [shown(points_row(one)) for one in found.earned], numbers=(3, 4)),
        table("Points, the team", POINTS[2:], [shown(points_row(one)[2:]) for one in found.team], numbers=(1, 2)),
        tag("p", f"{found.points:g} points of the challenge in all."),
        tag("p", twice_sentence(found.twice)) if found.twice else None,
    )
    return document(head, body, Words("en"))
