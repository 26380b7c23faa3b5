"""Commands from nothing to slates: `annot init`, `prompts`, `draft` and `select`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app, open_project, prompts_app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project

# -- project ------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot init mexico --country MX --language es")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the project in.")] = Path(),
    country: Annotated[list[str] | None, typer.Option(help="ISO 3166 code; repeat for more than one.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="ISO 639 code; repeat for more than one.")] = None,
    name: Annotated[str, typer.Option(help="What annotators see as the project's name.")] = "cultural fit",
    json: Json = False,
) -> None:
    """Make a project folder with a commented annot.toml."""
    from annotation.project import init_project
    from annotation.screen import print_json

    if not country or not language:
        raise SettingsError("annot init needs --country and --language, for example --country MX --language es.")
    project = init_project(folder, name=name, countries=country, languages=language)
    notes = begin_texts(project)
    if json:
        print_json({"project": str(project.folder), "settings": project.settings.model_dump(), "notes": notes})
    else:
        enter = "" if project.folder == Path.cwd() else f"cd {shlex.quote(str(folder))}, then "
        print(f"{project.folder / 'annot.toml'} is ready. Next: {enter}annot prompts add FILE")
        for note in notes:
            print(f"Note: {note}.")


def begin_texts(project: Project) -> list[str]:
    """Write a file of texts to be translated for every language that annot has none in; a note for each."""
    import tomlkit

    from annotation.drafting.personas import templates
    from annotation.files import write_whole
    from annotation.tasks.page import LANGUAGES, TEXTS, TeamPage
    from annotation.tasks.prompt_check.texts import TEXTS as PROMPT_CHECK
    from annotation.tasks.ranking.texts import TEXTS as RANKING

    who, notes = project.settings.project, list[str]()
    for page in (TeamPage(language, country) for language in who.languages for country in who.countries):
        if page.language in LANGUAGES or page.fallback() in notes:
            continue
        notes.append(page.fallback())
        lines = ["# Translate a line and take its # away; what stays is read as it is. Words in braces are filled in."]
        tables = {"page": TEXTS, "ranking": RANKING, "prompt_check": PROMPT_CHECK, "personas": templates(page)}
        for table, ours in tables.items():
            lines += ["", f"[{table}]"]
            for key, text in ours[page.base].items():
                item = tomlkit.string(text, multiline="\n" in text).as_string()
                lines += [f"# {line}" for line in f'"{key}" = {item}'.splitlines()]
        if not (path := project.folder / page.toml).exists():
            path.parent.mkdir(exist_ok=True)
            write_whole(path, "\n".join([*lines, ""]).encode())
    return notes


# -- prompts ------------------------------------------------------------------------------------------------


@prompts_app.command("add", epilog="Example: annot prompts add questions.csv --column prompt=Question --country MX")
def prompts_add(
    source: Annotated[
        str,
        typer.Argument(help="A csv, tsv, json, jsonl, parquet or xlsx file, or owner/name of a dataset on the Hub."),
    ],
    folder: Folder = Path(),
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Say what a column means, for example prompt=Question; repeatable."),
    ] = None,
    country: Annotated[str, typer.Option(help="Of rows that name none.", show_default="the project's first")] = "",
    language: Annotated[str, typer.Option(help="Of rows that name none.", show_default="detected")] = "",
    topic: Annotated[str, typer.Option(help="Of rows that name none.", show_default="general")] = "",
    licence: Annotated[str, typer.Option(help="Of rows that name none.", show_default="not stated")] = "",
    author: Annotated[
        str, typer.Option(metavar="USERNAME", help="Who on the team wrote them: not asked to check them.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Read prompts into the project: cleaned, masked, without duplicates."""
    from annotation.prompts.add import REMEDIES, add_prompts
    from annotation.screen import print_json, progress, show_dropped, table

    columns = {}
    for pair in column or ():
        wanted, sign, name = pair.partition("=")
        if not (sign and wanted.strip() and name.strip()):
            raise SettingsError(f'--column "{pair}" says too little; write FIELD=COLUMN, for example prompt=Question.')
        columns[wanted.strip()] = name.strip()
    given = {"country": country, "language": language, "topic": topic, "licence": licence}
    defaults = {name: value for name, value in given.items() if value}
    with progress("prompts") as report:
        added = add_prompts(
            open_project(folder),
            source,
            columns=columns,
            defaults=defaults,
            author=author,
            dry_run=dry_run,
            progress=report,
        )
    if json:
        print_json(added.as_json())
        return
    print(added.sentence())
    if not added.changed:
        return
    if dry_run:
        table("", ("country", "language", "topic", "prompts"), added.groups())
        table("", ("the first of them",), ((prompt.text[:100],) for prompt in added.kept[:5]))
    show_dropped("rows", added.reasons(), REMEDIES)
    for notice in added.notices:
        print(f"Note: {notice}")


@prompts_app.command("list", epilog="Example: annot prompts list --json")
def prompts_list(folder: Folder = Path(), json: Json = False) -> None:
    """Count the project's prompts by country, language and topic."""
    from annotation.prompts.add import count_prompts
    from annotation.screen import print_json, table

    groups = count_prompts(open_project(folder))
    if json:
        total = sum(group.prompts for group in groups)
        print_json({"prompts": total, "groups": [asdict(group) for group in groups]})
    elif groups:
        table("", ("country", "language", "topic", "prompts", "answers"), (tuple(asdict(g).values()) for g in groups))
    else:
        print("There are no prompts yet. Next: annot prompts add FILE")


# -- draft --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot draft --dry-run, then annot draft --limit 5, then annot draft")
def draft(
    folder: Folder = Path(),
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take answers written elsewhere from a file; nothing is paid."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens, dollars and minutes; no key.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Work on so many prompts that lack answers.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Write prices.toml into the project, to be edited.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json: Json = False,
) -> None:
    """Draft candidate answers with Cohere, or take them from a file."""
    from annotation.drafting import report

    if sum((source is not None, dry_run, prices)) > 1:
        raise SettingsError("annot draft takes one of --from, --dry-run and --prices at a time.")
    project = open_project(folder)
    if prices:
        report.write_prices(project, json=json)
    elif source is not None:
        report.take_from_file(project, source, json=json)
    elif dry_run:
        report.show_outlook(project, limit, json=json)
    else:
        report.draft_and_show(project, limit, ask_first=not yes and sys.stdin.isatty(), json=json)


# -- select -------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot select --dry-run, then annot select")
def select(
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be chosen; store only vectors.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Add no more slates than this.")] = None,
    json: Json = False,
) -> None:
    """Choose the answers that really differ, seat them on slates and put the slates in order."""
    from annotation.screen import print_json, progress
    from annotation.selection import report
    from annotation.selection.select import select as select_answers
    from annotation.selection.store import selection_folder

    project = open_project(folder)
    with progress("selecting") as bar:
        chosen = select_answers(project, limit=limit, dry_run=dry_run, progress=bar)
    plot = selection_folder(project) / "prompts.png"
    if not dry_run:
        report.draw_prompts(chosen, plot)
    if json:
        print_json(report.as_json(chosen, dry_run=dry_run))
    elif chosen.slates or not chosen.standing:
        report.show(chosen)
        following = "annot push" if chosen.slates else "annot draft"
        print("Nothing was stored." if dry_run else f"Plot: {plot}. Next: {following}")
    else:
        print(report.nothing_new(chosen))
