"""Commands of pictures: `annot images add`, `list` and `remove`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, images_app, named_values, open_project
from annotation.commands.collect import DryRun, OfCountry, OfLanguage, OfTopic, change_and_show
from annotation.errors import SettingsError


@images_app.command(
    "add", epilog='Example: annot images add fotos --country MX --licence "CC BY 4.0" --author "our team" --people none'
)
def images_add(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of pictures, one picture, a table that names files below its own folder (csv, tsv, json, "
            "jsonl, parquet, xlsx), or owner/name of a dataset on the Hub that holds pictures."
        ),
    ],
    folder: Folder = Path(),
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Say what a column means, for example picture=Foto; repeatable."),
    ] = None,
    country: Annotated[str, typer.Option(help="Of pictures for which the source names none.")] = "",
    language: Annotated[str, typer.Option(help="Of the question about them.", show_default="the country's")] = "",
    topic: Annotated[
        str, typer.Option(help="Of pictures for which the source names none.", show_default="general")
    ] = "",
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="Of pictures for which the source names none.")
    ] = "",
    author: Annotated[str, typer.Option(help="Who made them, where the source does not say.")] = "",
    people: Annotated[
        str,
        typer.Option(
            metavar="none|agreed",
            help="Nobody can be recognised in any of the pictures, or all who can agreed to their use.",
            show_default="asked",
        ),
    ] = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Read pictures into the project, for people to rank descriptions of. Only pixels are kept: no place, no name."""
    from annotation.images.add import add_images
    from annotation.images.added import REMEDIES
    from annotation.screen import print_json, progress, show_dropped, table

    project = open_project(folder)
    if not people and not dry_run and not json and sys.stdin.isatty():
        people = _ask_about_people()
    with progress("pictures") as report:
        added = add_images(
            project,
            source,
            country=country,
            language=language,
            topic=topic,
            licence=licence,
            creator=author,
            people=people,
            columns=named_values(column, form="FIELD=COLUMN, for example picture=Foto"),
            dry_run=dry_run,
            progress=report,
        )
    if json:
        print_json(added.as_json())
        return
    print(added.sentence())
    table("", ("country", "language", "topic", "prompts"), added.groups())
    show_dropped("pictures", added.reasons(), REMEDIES)
    for notice in added.notices:
        print(f"Note: {notice}")
    if dry_run:
        print("Nothing was written: leave out --dry-run to add them.")
    elif added.kept:
        print("Next: annot images list, then annot draft")


def _ask_about_people() -> str:
    if not typer.confirm("Can anybody be recognised in these pictures, by a face or a name?", err=True):
        return "none"
    if typer.confirm("Did everybody who can be recognised agree that the pictures are used?", err=True):
        return "agreed"
    raise SettingsError("Pictures of people who did not agree are not taken: take them out of the source first.")


@images_app.command("list", epilog="Example: annot images list --each")
def images_list(
    folder: Folder = Path(),
    each: Annotated[bool, typer.Option("--each", help="Every picture with its prompt, removed ones too.")] = False,
    json: Json = False,
) -> None:
    """Count the project's pictures by country, topic and licence, or list them."""
    from annotation.images.overview import list_pictures
    from annotation.screen import print_json, table

    found = list_pictures(open_project(folder))
    if json:
        print_json({**found.as_json(), **({"each": found.each()} if each else {})})
    elif not found.prompts:
        print("There are no pictures yet. Next: annot images add FOLDER")
    elif each:
        shown = ("country", "topic", "licence", "creator", "people", "source")
        rows = (
            (row["prompt"], row["id"][:12], *(row[name] for name in shown), "removed" if row["removed"] else "")
            for row in found.each()
        )
        table("", ("prompt", "picture", *shown, ""), rows)
    else:
        table("", ("country", "topic", "pictures"), found.groups())
        table("", ("licence", "pictures"), found.licences())
        if found.removed:
            print(f"{found.removed} removed; `annot images list --each` shows which.")


@images_app.command("remove", epilog="Example: annot images remove --source fotos --dry-run")
def images_remove(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of pictures or prompts (`annot images list --each`), or beginnings.")
    ] = None,
    folder: Folder = Path(),
    source: Annotated[str, typer.Option("--source", help="Those that came from this folder, table or dataset.")] = "",
    country: OfCountry = "",
    language: OfLanguage = "",
    topic: OfTopic = "",
    undo: Annotated[bool, typer.Option("--undo", help="Put them back into the project.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take pictures out of the project: nobody is asked about them, nothing of them counts. Deletes nothing."""
    from annotation.prompts.change import Which

    which = Which(tuple(ids or ()), source, country, language, topic, pictures=True)
    change_and_show(folder, which, {"removed": not undo}, dry_run=dry_run, json=json)
