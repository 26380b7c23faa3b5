"""Commands from nothing to slates: `annot init`, `prompts`, `draft` and `select`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotation.commands import Folder, Json, app, named_values, open_project, prompts_app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project
    from annotation.prompts.add import PromptsAdded
    from annotation.prompts.change import Which

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
    from annotation.text.locales import country_code, language_code

    if not country or not language:
        raise SettingsError("annot init needs --country and --language, for example --country MX --language es.")
    project = init_project(
        folder, name=name, countries=_codes(country, country_code), languages=_codes(language, language_code)
    )
    notes = begin_texts(project)
    if json:
        print_json({"project": str(project.folder), "settings": project.settings.model_dump(), "notes": notes})
    else:
        enter = "" if project.folder == Path.cwd() else f"cd {shlex.quote(str(folder))}, then "
        print(
            f"{project.folder / 'annot.toml'} is ready. Next: {enter}annot prompts add FILE, or annot images add FOLDER"
        )
        for note in notes:
            print(f"Note: {note}.")


def _codes(named: list[str], find: Callable[[str], str | None]) -> list[str]:
    """Codes of what was named, by code or by name, one by one or with commas; what has none stays, to be refused."""
    return [find(name) or name for given in named for name in (part.strip() for part in given.split(",")) if name]


def begin_texts(project: Project) -> list[str]:
    """Write a file of texts to be translated for every language that annot has none in; a note for each."""
    import tomlkit

    from annotation.drafting.personas import templates
    from annotation.files import write_whole
    from annotation.tasks.description.texts import TEXTS as DESCRIPTION
    from annotation.tasks.duel.texts import TEXTS as DUEL
    from annotation.tasks.exam.texts import TEXTS as EXAM
    from annotation.tasks.page import LANGUAGES, TEXTS, TeamPage
    from annotation.tasks.prompt_check.texts import TEXTS as PROMPT_CHECK
    from annotation.tasks.ranking.texts import TEXTS as RANKING

    who, notes = project.settings.project, list[str]()
    for page in (TeamPage(language, country) for language in who.languages for country in who.countries):
        if page.language in LANGUAGES or page.fallback() in notes:
            continue
        notes.append(page.fallback())
        lines = ["# Translate a line and take its # away; what stays is read as it is. Words in braces are filled in."]
        tables = {"page": TEXTS, "ranking": RANKING, "prompt_check": PROMPT_CHECK, "exam": EXAM, "duel": DUEL}
        tables |= {"description": DESCRIPTION, "personas": templates(page)}
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
    foreign_language: Annotated[
        bool, typer.Option("--foreign-language", help="They are meant to be in no language of their country.")
    ] = False,
    repeated: Annotated[
        bool, typer.Option("--repeated", help="Take also a rejected answer that stands beside many prompts.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Read prompts into the project: cleaned, masked, without duplicates."""
    from annotation.prompts.add import REMEDIES, ForeignLanguage, add_prompts
    from annotation.screen import print_json, progress, show_dropped, table

    columns = named_values(column)
    given = {"country": country, "language": language, "topic": topic, "licence": licence}
    defaults = {name: value for name, value in given.items() if value}

    def add(*, foreign_language: bool) -> PromptsAdded:
        with progress("prompts") as report:
            return add_prompts(
                open_project(folder),
                source,
                columns=columns,
                defaults=defaults,
                author=author,
                repeated=repeated,
                foreign_language=foreign_language,
                dry_run=dry_run,
                progress=report,
            )

    try:
        added = add(foreign_language=foreign_language)
    except ForeignLanguage as doubt:
        if json or not sys.stdin.isatty():
            raise
        typer.confirm(f"{doubt} Add them all the same?", default=False, abort=True, err=True)
        added = add(foreign_language=True)
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
    if dry_run and added.judgements:
        print(f"Before you add it: annot filter {source} shows refusals, errors and shortcuts in it.")


@prompts_app.command("list", epilog="Example: annot prompts list --each")
def prompts_list(
    folder: Folder = Path(),
    each: Annotated[bool, typer.Option("--each", help="Every prompt with its id, removed ones too.")] = False,
    json: Json = False,
) -> None:
    """Count the project's prompts by country, language and topic, or list them."""
    from annotation.prompts.add import count_prompts
    from annotation.prompts.change import told
    from annotation.screen import print_json, table

    project = open_project(folder)
    groups = count_prompts(project)
    there, removed = project.ledger.count_prompts()
    everyone = project.ledger.prompts(removed=True) if each else []
    if json:
        listed = {"each": [asdict(prompt) for prompt in everyone]} if each else {}
        print_json({"prompts": there, "removed": removed, "groups": [asdict(group) for group in groups], **listed})
    elif not there + removed:
        print("There are no prompts yet. Next: annot prompts add FILE, or annot images add FOLDER")
    elif each:
        rows = ((p.id, p.country, p.language, p.topic, "removed" if p.removed else "", told(p)) for p in everyone)
        table("", ("id", "country", "language", "topic", "", "prompt"), rows)
    else:
        table("", ("country", "language", "topic", "prompts", "answers"), (tuple(asdict(g).values()) for g in groups))
        if removed:
            print(f"{removed} removed; `annot prompts list --each` shows which.")


Ids = Annotated[list[str] | None, typer.Argument(help="Ids of prompts (`annot prompts list --each`), or beginnings.")]
File = Annotated[str, typer.Option("--file", help="Those that were read from this file or dataset.")]
OfCountry = Annotated[str, typer.Option("--country", help="Those of this country.")]
OfLanguage = Annotated[str, typer.Option("--language", help="Those in this language.")]
OfTopic = Annotated[str, typer.Option("--topic", help="Those of this topic.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")]


@prompts_app.command("remove", epilog="Example: annot prompts remove --file questions.csv --dry-run")
def prompts_remove(
    ids: Ids = None,
    folder: Folder = Path(),
    file: File = "",
    country: OfCountry = "",
    language: OfLanguage = "",
    topic: OfTopic = "",
    undo: Annotated[bool, typer.Option("--undo", help="Put them back into the project.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take prompts out of the project: nobody is asked about them, and no answer to them counts. Deletes nothing."""
    from annotation.prompts.change import Which

    which = Which(tuple(ids or ()), file, country, language, topic)
    change_and_show(folder, which, {"removed": not undo}, dry_run=dry_run, json=json)


@prompts_app.command("set", epilog="Example: annot prompts set --country MX --language pt --to-country BR")
def prompts_set(
    ids: Ids = None,
    folder: Folder = Path(),
    file: File = "",
    country: OfCountry = "",
    language: OfLanguage = "",
    topic: OfTopic = "",
    to_country: Annotated[str, typer.Option(help="The country that they belong to.")] = "",
    to_language: Annotated[str, typer.Option(help="The language that they are in.")] = "",
    to_topic: Annotated[str, typer.Option(help="The topic that they are about.")] = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Give prompts another country, language or topic. Their answers and slates follow; nothing is drafted again."""
    from annotation.prompts.change import Which, check_codes
    from annotation.text.clean import clean_label

    became = dict(zip(("country", "language"), check_codes(to_country, to_language), strict=True))
    changes = {name: value for name, value in {**became, "topic": clean_label(to_topic)}.items() if value}
    change_and_show(
        folder, Which(tuple(ids or ()), file, country, language, topic), changes, dry_run=dry_run, json=json
    )


def change_and_show(folder: Path, which: Which, changes: dict[str, Any], *, dry_run: bool, json: bool) -> None:
    """Change prompts, or say what would change, and report it."""
    from annotation.prompts.change import change_prompts, told
    from annotation.screen import count_reasons, print_json, table

    done = change_prompts(open_project(folder), which, changes, dry_run=dry_run)
    if json:
        print_json(done.as_json())
        return
    print("\n".join(done.sentences()))
    if dry_run:
        table("", ("country", "language", "topic", "prompts"), done.groups())
        table("", ("id", "the first of them"), ((prompt.id, told(prompt)[:100]) for prompt in done.changed[:5]))
    table("Left as they are", ("reason", "prompts", "for example"), count_reasons(done.dropped))


# -- draft --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot draft --dry-run, then annot draft --limit 5, then annot draft")
def draft(
    folder: Folder = Path(),
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take answers written elsewhere from a file; nothing is paid."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            metavar="RUN|URL",
            help="Ask another model than Cohere's for its own answers: that of a finished run, or of a server that "
            "speaks OpenAI's chat completions (vLLM, llama.cpp, TGI, Ollama), such as http://127.0.0.1:8000/v1.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="With --source URL: one of its models; default: the only one.")
    ] = "",
    answers: Annotated[
        int | None,
        typer.Option(
            min=1, max=32, help="With --source: its answers to each prompt; default: half of draft.candidates."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="With --source URL: it describes pictures; a run says it by itself.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens, dollars and minutes; no key.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Work on so many prompts that lack answers.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Write prices.toml into the project, to be edited.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json: Json = False,
) -> None:
    """Draft candidate answers with Cohere or another model, or take them from a file."""
    from annotation.drafting import report
    from annotation.drafting.source import find_source

    if sum((file is not None, dry_run, prices)) > 1:
        raise SettingsError("annot draft takes one of --from, --dry-run and --prices at a time.")
    if source and (file is not None or prices):
        raise SettingsError("annot draft --source asks a model; leave out --from and --prices.")
    if not source and (model or answers or pictures):
        raise SettingsError("--model, --answers and --pictures are about another model; add --source RUN or URL.")
    project = open_project(folder)
    if prices:
        report.write_prices(project, json=json)
    elif file is not None:
        report.take_from_file(project, file, json=json)
    else:
        other = find_source(project, source, model=model, answers=answers, pictures=pictures) if source else None
        if dry_run:
            report.show_outlook(project, limit, other, json=json)
        else:
            report.draft_and_show(project, limit, other, ask_first=not yes and sys.stdin.isatty(), json=json)


# -- select -------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot select --dry-run, then annot select")
def select(
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be chosen; add no slates.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Add no more slates than this.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Workers for many answers; as many as there are cores, if not given.")
    ] = None,
    on_ray: Annotated[bool, typer.Option("--ray", help="Let a Ray cluster do the work on many answers.")] = False,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only write what `--shard` works on, for many machines at once.")
    ] = False,
    shard: Annotated[
        str, typer.Option(metavar="NUMBER/OF", help="Only do one share of the work, from 0/16 to 15/16 for example.")
    ] = "",
    json: Json = False,
) -> None:
    """Choose the answers that really differ, seat them on slates and put the slates in order."""
    from annotation.screen import counted, print_json, progress
    from annotation.selection import launch, report
    from annotation.selection import select as selection
    from annotation.selection.store import selection_folder

    project = open_project(folder)
    if prepare or shard:
        with progress("selecting") as bar:
            if prepare:
                shards = selection.prepare(project, progress=bar)
            else:
                shards = selection.share_of(work := selection.work_of(project), shard)
                launch.run_processes(work, shards, processes or launch.default_processes(), bar)
        if json:
            print_json({"shards": shards})
        elif prepare:
            print(f"{counted(len(shards), 'shard waits', 'shards wait')} for `annot select --shard NUMBER/OF`.")
        else:
            print(f"{counted(len(shards), 'shard is', 'shards are')} done. When all are: annot select")
        return
    with progress("selecting") as bar:
        chosen = selection.select(
            project,
            limit=limit,
            dry_run=dry_run,
            processes=processes,
            launch=launch.run_on_ray if on_ray else launch.run_processes,
            progress=bar,
        )
    plot = selection_folder(project) / "prompts.png"
    if not dry_run:
        report.draw_prompts(chosen, plot)
    if json:
        print_json(report.as_json(chosen, dry_run=dry_run))
    elif chosen.slates or not chosen.standing:
        report.show(chosen)
        following = "annot status" if chosen.slates else "annot draft"
        print("Nothing was stored." if dry_run else f"Plot: {plot}. Next: {following}")
    else:
        print(report.nothing_new(chosen))
