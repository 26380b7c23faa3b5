"""The commands of `annot`: each opens the project, calls one function and reports. Only the command line is above."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from annotation.project import Project

app = typer.Typer(
    name="annot",
    epilog="First time here: annot init . --country MX --language es, then annot status says what comes next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prompts_app = typer.Typer(help="Read prompts into the project and look at them.", no_args_is_help=True)
team_app = typer.Typer(
    help="Who ranks: accounts, workspaces and roles. An annotator answers; an admin may also read, change and "
    "delete all that is in the workspace of their country.",
    no_args_is_help=True,
)
server_app = typer.Typer(help="Look after the embedded Argilla.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")
app.add_typer(team_app, name="team")
app.add_typer(server_app, name="server")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"annot {version('annot')}")
        raise typer.Exit


@app.callback()
def annot(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Turn a community's judgement into an aligned language model."""


Folder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def open_project(folder: Path) -> Project:
    """Open the project of a command."""
    from annotation.project import Project

    return Project.open(folder)
