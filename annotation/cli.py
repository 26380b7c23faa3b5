"""The `annot` command. A command opens the project, calls one function and reports; nothing imports this module."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.errors import AnnotError, SettingsError

if TYPE_CHECKING:
    from annotation.project import Project

app = typer.Typer(
    name="annot",
    help="Turn a community's judgement into an aligned language model.",
    epilog="First time here: annot init . --country MX --language es, then annot status says what comes next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prompts_app = typer.Typer(help="Read prompts into the project and look at them.", no_args_is_help=True)
team_app = typer.Typer(help="Who ranks: accounts, workspaces and roles.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")
app.add_typer(team_app, name="team")

Folder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def open_project(folder: Path) -> Project:
    """Open the project of a command."""
    from annotation.project import Project

    return Project.open(folder)


# -- project ------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot init mexico --country MX --language es")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the project in.")] = Path(),
    country: Annotated[list[str] | None, typer.Option(help="ISO 3166 code; repeat for more than one.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="ISO 639-1 code; repeat for more than one.")] = None,
    name: Annotated[str, typer.Option(help="What annotators see as the project's name.")] = "cultural fit",
    json: Json = False,
) -> None:
    """Make a project folder with a commented annot.toml."""
    from annotation.project import init_project
    from annotation.screen import print_json

    if not country or not language:
        raise SettingsError("annot init needs --country and --language, for example --country MX --language es.")
    project = init_project(folder, name=name, countries=country, languages=language)
    if json:
        print_json({"project": str(project.folder), "settings": project.settings.model_dump()})
    else:
        print(f"{project.folder / 'annot.toml'} is ready. Next: annot prompts add FILE")


# -- prompts ------------------------------------------------------------------------------------------------

# -- draft --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot draft --dry-run, then annot draft --limit 5, then annot draft")
def draft(
    folder: Folder = Path(),
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take answers written elsewhere from a file; nothing is paid."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens, dollars and minutes; no key.")] = False,
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

# -- the embedded Argilla -----------------------------------------------------------------------------------

# -- team and push ------------------------------------------------------------------------------------------

# -- sync, status and export --------------------------------------------------------------------------------


@app.command(epilog="Example: annot sync --watch")
def sync(
    folder: Folder = Path(),
    watch: Annotated[bool, typer.Option("--watch", help="Keep going until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Longest pause of --watch, in seconds.")] = 30,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Start a failed or lost run again.")] = False,
    json: Json = False,
) -> None:
    """Bring the judgements home, show how far the quotas are, and start the run when all are met."""
    from sync.board import connect

    from annotation.screen import print_json, progress
    from sync.cycle import doorbell, sync_once
    from sync.cycle import watch as keep_going
    from sync.report import show

    project = open_project(folder)
    board = connect(project)
    first = True

    def once() -> None:
        nonlocal first
        with progress("pulling") as bar:
            synced = sync_once(project, board, relaunch=relaunch and first, progress=bar)
        if json:
            print_json({"pulled": synced.pulled.as_json(), **synced.report.as_json()})
        elif first or synced.changed:
            print(synced.pulled.sentence())
            show(synced.report)
        first = False

    if not watch:
        once()
        return
    with doorbell(board, str(project.folder)) as rung:
        print("annot: watching; Ctrl-C ends it and loses nothing.", file=sys.stderr)
        keep_going(once, rung, every_s=every)


@app.command(epilog="Example: annot status --json")
def status(folder: Folder = Path(), json: Json = False) -> None:
    """Say how the project stands and what comes next. Reads only what is on this machine."""
    from annotation import embedded
    from annotation.screen import print_json, table
    from sync.report import next_step, report, show, stock

    project = open_project(folder)
    server = embedded.state(project.argilla_home)
    counts, found = stock(project), report(project)
    if json:
        print_json({**counts, "server": asdict(server), **found.as_json(), "next": next_step(project)})
        return
    table("", ("prompts", "candidates", "slates", "pushed", "spent ($)"), [tuple(counts.values())])
    embedded_state = f"{server.url} {'' if server.running else 'not running'} {server.detail}".strip()
    print(f"Argilla: {project.settings.argilla.url or embedded_state}")
    show(found)
    print(f"Next: {next_step(project)}")


@app.command(epilog="Example: annot export --to exports")
def export(
    folder: Folder = Path(),
    to: Annotated[Path | None, typer.Option(help="Folder to write into; default: exports in the project.")] = None,
    json: Json = False,
) -> None:
    """Write preferences and rankings as parquet, and in TRL's conversational form, under pseudonyms."""
    from annotation.screen import print_json
    from sync.snapshot import export as write

    project = open_project(folder)
    done = write(project, to or project.folder / "exports")
    if json:
        print_json(asdict(done))
        return
    print(f"{done.preferences} preferences and {done.rankings} rankings; {done.aside} pairs or slates set aside.")
    for file in done.files:
        print(f"  {file}")


# -- train --------------------------------------------------------------------------------------------------

# -- quickstart ---------------------------------------------------------------------------------------------


def main() -> None:
    """Run the command line: a person's mistake is one sentence and exit code 2, ours a traceback."""
    # Libraries that call home at import are told not to, before any of them is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except AnnotError as error:
        print(f"annot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("annot: stopped; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
