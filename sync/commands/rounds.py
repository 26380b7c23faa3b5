"""Commands of rounds: `annot round start` and `annot round list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, open_project, round_app


@round_app.command("start", epilog="Example: annot round start --dry-run; annot round start --most 40")
def round_start(
    folder: Folder = Path(),
    most: Annotated[
        int | None,
        typer.Option(min=1, help="Prompts of a country, of each task.", show_default="the targets of its quotas"),
    ] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option(
            help="contested: people disagreed; votes: visitors preferred the base; thin: the country has too little. "
            "Repeatable.",
            show_default="all",
        ),
    ] = None,
    country: Annotated[str, typer.Option(metavar="CODE", help="Only of this country.", show_default="all")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would start, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Start the next round: freeze what there is, close its slates, and choose which prompts are asked about anew."""
    from annotation.rounds import REASONS
    from annotation.screen import print_json, progress, table
    from sync.rounds import begin_round

    project = open_project(folder)
    with progress("choosing") as bar:
        found = begin_round(
            project,
            most=most,
            reasons=reason or REASONS,
            country=project.known_country(country),
            dry_run=dry_run,
            progress=bar,
        )
    if json:
        print_json(found.as_json())
        return
    table("", ("country", *REASONS, "in all", "slates closed"), found.table())
    print("\n".join(found.sentences()))
    if dry_run:
        print("Nothing was written: leave out --dry-run to start it.")
    else:
        print(f"Next: {found.next_steps()}")


@round_app.command("list", epilog="Example: annot round list")
def round_list(folder: Folder = Path(), json: Json = False) -> None:
    """Show round by round what people were asked, what they said, and what the runs learnt of it."""
    from annotation.screen import print_json, progress
    from sync.reporting.rounds import by_round
    from sync.reporting.rounds_terminal import show_rounds

    project = open_project(folder)
    with progress("counting") as bar:
        found = by_round(project, progress=bar)
    if json:
        print_json({"rounds": [one.as_json() for one in found]})
        return
    show_rounds(found)
