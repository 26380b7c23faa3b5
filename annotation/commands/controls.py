"""Commands of control items: `annot controls add`, `mark`, `list` and `remove`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, controls_app, named_values, open_project


@controls_app.command("add", epilog="Example: annot controls add 20 --country BO")
def controls_add(
    number: Annotated[int, typer.Argument(min=1, help="How many each task and country shall have.")],
    folder: Folder = Path(),
    task: Annotated[str, typer.Option(help="ranking, description or prompt_check.", show_default="all")] = "",
    country: Annotated[str, typer.Option(help="Code of one country.", show_default="all")] = "",
    entry: Annotated[bool, typer.Option("--entry", help="For a test that opens the queue, in whole tries.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Make control items, whose answer is known: each takes the place of an item that nobody has answered."""
    from annotation.controls.add import add_controls
    from annotation.screen import print_json, progress, table

    with progress("controls") as report:
        added = add_controls(
            open_project(folder),
            number,
            task=task,
            country=country,
            entry=entry,
            dry_run=dry_run,
            progress=report,
        )
    if json:
        print_json(added.as_json())
        return
    print(added.sentence())
    rows = (
        (
            p.task,
            p.country,
            p.there,
            p.made,
            ", ".join(f"{k} {n}" for k, n in sorted(p.kinds.items())),
            p.missing,
            p.left,
        )
        for p in added.places
    )
    table("", ("task", "country", "there", "new", "kinds", "missing", "work left"), rows)
    if any(place.missing for place in added.places):
        print("Missing: too few items are left that nobody has answered; add prompts, or ask for fewer.")
    for note in added.notes:
        print(f"Note: {note}")
    if dry_run:
        print("Nothing was written: leave out --dry-run to make them.")
    else:
        print("Next: annot controls list --show, then annot push")


@controls_app.command("mark", epilog='Example: annot controls mark 3f9c2a --worst B --reason "B is cut off"')
def controls_mark(
    item: Annotated[str, typer.Argument(help="Id of an item of the work, or its beginning.")],
    folder: Folder = Path(),
    worst: Annotated[str, typer.Option(metavar="LETTER", help="The answer that is certainly the worst.")] = "",
    tie: Annotated[str, typer.Option(metavar="LETTERS", help="Answers that are alike, for example A,C.")] = "",
    expected: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of other tasks, for example accepted=no. Repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is certain; it is kept.")] = "",
    json: Json = False,
) -> None:
    """Make an item of the work a control item, since you know its answer: it counts for no quota any more."""
    from annotation.controls.mark import mark_control
    from annotation.lineage.subject import Home, find_subject
    from annotation.screen import print_json

    project = open_project(folder)
    marked = mark_control(
        project,
        find_subject(Home(project.folder, project), item, ["item"]).id,
        worst=worst.upper(),
        tied=[letter.strip().upper() for letter in tie.split(",") if letter.strip()],
        expected=named_values(expected, "--expected", "NAME=VALUE, for example accepted=no"),
        reason=reason,
    )
    print_json(asdict(marked)) if json else print(marked.sentence(), "Next: annot push", sep="\n")


@controls_app.command("list", epilog="Example: annot controls list --show")
def controls_list(
    folder: Folder = Path(),
    each: Annotated[bool, typer.Option("--each", help="Every item, with its id.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Every item with its texts and what is expected.")] = False,
    json: Json = False,
) -> None:
    """Count the control items by kind, and how often people answer them right."""
    from annotation.controls.overview import COLUMNS, count_controls, list_controls, share_sentence, shown_texts
    from annotation.screen import print_json, table

    ledger = open_project(folder).ledger
    found = list_controls(ledger)
    if json:
        every = [
            {
                **{
                    name: getattr(known.item, name)
                    for name in ("id", "task", "country", "purpose", "parent", "expected")
                },
                "kind": known.kind,
                "answers": known.answers,
                "right": known.right,
                **({"texts": list(shown_texts(ledger, known.item))} if show else {}),
            }
            for known in found
        ]
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in count_controls(found)]
        print_json({"controls": rows, **({"each": every} if each or show else {})})
    elif not found:
        print("There are no control items yet. Next: annot controls add 20")
    elif show:
        for known in found:
            about = (known.item.id, known.item.task, known.item.country, known.item.purpose, known.kind)
            print(", ".join(about) + f": {share_sentence(known)}")
            for name, text in shown_texts(ledger, known.item):
                print(f"  {name}: " + text.replace("\n", "\n    "))
    elif each:
        columns = ("id", *COLUMNS[:4], *COLUMNS[5:])
        table("", columns, ((known.item.id, *row[:4], *row[5:]) for known in found for row in count_controls([known])))
    else:
        table("", COLUMNS, count_controls(found))


@controls_app.command("remove", epilog="Example: annot controls remove 5ad1f0c2b7e94d10")
def controls_remove(
    ids: Annotated[list[str], typer.Argument(help="Ids, as `annot controls list --each` shows them.")],
    folder: Folder = Path(),
    json: Json = False,
) -> None:
    """Take control items out, for example those that careful people get wrong: no answer to them counts any more."""
    from annotation.controls.mark import remove_controls
    from annotation.screen import print_json

    removed = remove_controls(open_project(folder), ids)
    print_json(asdict(removed)) if json else print(removed.sentence())
