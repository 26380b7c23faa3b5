"""Commands of what is left to do and what was done: `annot plan`, `annot contributions` and `annot people same`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, app, open_project, people_app
from annotation.errors import SettingsError

MOST_A_DAY = 10_000
"""Items of a person in a day: whatever is more was mistyped."""


@app.command(epilog='Example: annot plan; annot plan --add 3 --country BO asks "what if"; annot plan --by 2027-03-31')
def plan(
    folder: Folder = Path(),
    add: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10_000, metavar="N", help="If so many people more came. Repeatable."),
    ] = None,
    country: Annotated[
        list[str] | None, typer.Option(help="Where they would come, one for each --add, in the same order.")
    ] = None,
    by: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="How many people more are needed to be done by then.")
    ] = None,
    pace: Annotated[float, typer.Option(help="Items per person and day, where nothing can be observed yet.")] = 20.0,
    json: Json = False,
) -> None:
    """Say how long each quota needs at the pace of the last weeks, and what is out of reach with this team."""
    from annotation.rounds import current_round
    from annotation.screen import print_json, progress
    from annotation.selection.waiting import prompts_waiting
    from annotation.tally import count
    from sync.quotas import count_quotas, what_is_coming
    from sync.reporting.forecast import added_people, check_deadline, forecast
    from sync.reporting.plan_terminal import show_plan

    if not 0.1 <= pace <= MOST_A_DAY:
        raise SettingsError(f"--pace {pace:g}: write items per person and day, from 0.1 to {MOST_A_DAY}.")
    project = open_project(folder)
    project.require_ledger()
    until = check_deadline(by.date()) if by else None
    with progress("counting") as bar:
        counts = count(project.ledger, project.settings, progress=bar)
    now = current_round(project.ledger)
    quotas = count_quotas(project.settings, counts, what_is_coming(project, prompts_waiting(project)), now)
    added = added_people(add or (), country or (), quotas)
    found = forecast(project, counts, quotas, add=added, pace=pace, by=until)
    if json:
        print_json(
            {
                "quotas": [one.as_json() for one in found],
                "added": added,
                "by": until and until.isoformat(),
                "pace": pace,
            }
        )
        return
    show_plan(found, met=sum(state.met for state in quotas), pace=pace, by=until)


@app.command(epilog="Example: annot contributions --out contributions.csv; --out contributions.html for a page.")
def contributions(
    folder: Folder = Path(),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it: a .csv for a spreadsheet, or a .html page.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="User names in the file; otherwise pseudonyms, those of `annot export`.")
    ] = False,
    by_country: Annotated[
        bool, typer.Option("--by-country", help="A line for each country, not for each person.")
    ] = False,
    json: Json = False,
) -> None:
    """Say who did what: submitted, accepted, at first try, hours; and the challenge's points. Nothing is stored."""
    from annotation.screen import print_json, progress
    from sync.reporting.contributions import contributions as count
    from sync.reporting.contributions_terminal import show_contributions
    from sync.reporting.page.contributions import check_file, write_contributions

    project = open_project(folder)
    project.require_ledger()
    if out is not None:
        check_file(out)
    with progress("counting") as bar:
        found = count(project, progress=bar)
    if by_country:
        found = found.by_country()
    elif not names and (json or out is not None):
        found = found.under(project.pseudonym)
    if out is not None:
        write_contributions(found, out, title=project.settings.project.name)
    if json:
        print_json(found.as_json())
        return
    if out is None:
        show_contributions(found)
        return
    print(f"Written: {out}, {'by country' if by_country else 'with user names' if names else 'under pseudonyms'}.")
    if names and not by_country:
        print("annot: the file holds user names: it is for the team, not for the public.", file=sys.stderr)


@people_app.command(
    "same", epilog="Example: annot people same ana_02 ana_01 joins them under ana_01; --undo takes it back."
)
def people_same(
    name: Annotated[str, typer.Argument(help="A user name.")],
    other: Annotated[str, typer.Argument(help="Another of the same person: what both did counts under this one.")],
    folder: Folder = Path(),
    undo: Annotated[bool, typer.Option("--undo", help="They are two people after all.")] = False,
    json: Json = False,
) -> None:
    """Say that two user names are one person's: on one item they count once, and everywhere as one."""
    from annotation.screen import counted, print_json
    from sync.same_people import answered_by_both, join_names, part_names
    from sync.team import known_person

    project = open_project(folder)
    if undo:
        apart = part_names(project.ledger, name, other)
        print_json({"apart": apart}) if json else print(f'"{apart}" counts for itself again.')
        return
    joined, stays = join_names(project.ledger, name, other)
    both = answered_by_both(project.ledger, stays)
    if json:
        print_json({"joined": joined, "under": stays, "answered_by_both": both})
        return
    print(f'"{joined}" is "{stays}" from now on; nothing was deleted, and --undo takes it back.')
    countries = [known_person(project.ledger, one).country for one in (joined, stays)]
    if countries[0] != countries[1]:
        print(f'"{joined}" is of {countries[0]} and "{stays}" of {countries[1]}: look whether it is one person.')
    if both:
        print(
            f"{counted(both, 'item was', 'items were')} answered under more than one of these names: the last answer "
            "counts. Look at them: it may be a mistake, or somebody who votes twice."
        )
