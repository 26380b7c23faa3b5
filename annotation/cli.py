"""The `annot` command. A command opens the project, calls one function and reports; nothing imports this module."""

from __future__ import annotations

import os
import sys
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

# -- select -------------------------------------------------------------------------------------------------

# -- the embedded Argilla -----------------------------------------------------------------------------------

# -- team and push ------------------------------------------------------------------------------------------

# -- sync, status and export --------------------------------------------------------------------------------

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
