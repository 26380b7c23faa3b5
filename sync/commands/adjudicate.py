"""Command of what is to be decided: `annot adjudicate`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, adjudicate_app, open_project
from annotation.errors import SettingsError
from sync.commands.team import known_tasks, push_tasks, show_pushed

Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only items of this task; repeat for more.")]
Country = Annotated[str, typer.Option(metavar="CODE", help="Only what people of this country answered.")]


@adjudicate_app.callback(epilog="Example: annot adjudicate --limit 20, then annot sync when they have answered")
def adjudicate(
    context: typer.Context,
    folder: Folder = Path(),
    task: Tasks = None,
    country: Country = "",
    limit: Annotated[int | None, typer.Option(min=0, help="Queue no more, the most pressing first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be queued and sent; do neither.")] = False,
    json: Json = False,
) -> None:
    """Put before adjudicators what people of a country do not see alike, once each and without names."""
    if context.invoked_subcommand:
        if folder != Path() or task or country or json or dry_run or limit is not None:
            raise SettingsError("Write the options behind the word: annot adjudicate list --country MX.")
        return
    from annotation.adjudicate import queue
    from annotation.screen import print_json, progress
    from annotation.tasks.adjudication import NAME

    project = open_project(folder)
    country = project.known_country(country)
    with project.ledger.undone() if dry_run else nullcontext():
        with progress("counting") as bar:
            found = queue(project, tasks=known_tasks(task), country=country, limit=limit, progress=bar)
        asked = sorted({item.task for item in project.ledger.items(side=True) if item.purpose == NAME})
        pushed = push_tasks(project, asked, limit=0, dry_run=dry_run) if asked else None
    if json:
        print_json({**found.as_json(), "pushed": pushed.as_json() if pushed else None})
        return
    for sentence in found.sentences():
        print(sentence)
    if pushed:
        show_pushed(pushed, dry_run=dry_run)


@adjudicate_app.command("list", epilog="Example: annot adjudicate list --country MX; annot adjudicate list --gaps")
def adjudicate_list(
    folder: Folder = Path(),
    task: Tasks = None,
    country: Country = "",
    gaps: Annotated[bool, typer.Option("--gaps", help="Only those that need a clearer rule, with the rule.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Show so many.")] = 50,
    json: Json = False,
) -> None:
    """Show what is to be decided and what was: why, what people said, who decided what, and which rule is missing."""
    from annotation.adjudicate import adjudication_sentences, cases
    from annotation.screen import print_json, progress, table
    from annotation.tally import count

    project = open_project(folder)
    country = project.known_country(country)
    with progress("counting") as bar:
        found = cases(project, tasks=known_tasks(task), country=country, gaps=gaps, most=most, progress=bar)
    if json:
        print_json({"cases": [case.as_json() for case in found]})
        return
    for sentence in adjudication_sentences(count(project.ledger, project.settings)) or ("Nothing is to be decided.",):
        print(sentence)
    if gaps and not found:
        print("No adjudicator has marked that the guidelines lack a rule.")
    columns = ("item", "task", "country", "state", "why", "what people saw", *(("rule",) if gaps else ("decided by",)))
    table(
        "",
        columns,
        [
            (
                *(case.item_id, case.task, case.country, case.state, case.why()),
                *(case.beginning(), case.rule or "(not said)" if gaps else case.by or "–"),
            )
            for case in found
        ],
    )
    if found:
        print("All texts, what people said and what was decided: annot adjudicate list --json")
