"""The commands of `annot`: each opens the project, calls one function and reports. Only the command line is above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project

ORDER = (
    *(
        "init",
        "prompts",
        "images",
        "exams",
        "stereotypes",
        "filter",
        "draft",
        "describe",
        "select",
        "up",
        "team",
        "push",
        "sync",
        "status",
        "people",
        "controls",
        "adjudicate",
        "plan",
        "report",
        "contributions",
        "export",
    ),
    *("train", "evaluate", "release", "paper", "talk", "demo", "serve", "votes", "round", "trace", "forget"),
    *("doctor", "logs", "down", "backup", "restore", "move", "server", "quickstart"),
)
"""Commands in the order of work: that of `annot --help`."""


class InOrder(TyperGroup):
    """Commands in the order of work, each with its whole first sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See click; what has no place in ORDER comes last, as it was added, and so do the parts of a command."""
        names = super().list_commands(ctx)
        if ctx.parent is not None:  # `annot exams export` is another than `annot export`
            return names
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """See click, which cuts sentences off."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, command.get_short_help_str(1000)) for name, command in found if command and not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    name="annot",
    cls=InOrder,
    epilog="First time here: annot init . --country MX --language es, then annot status says what comes next.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prompts_app = typer.Typer(cls=InOrder, help="Read prompts into the project and look at them.", no_args_is_help=True)
exams_app = typer.Typer(
    cls=InOrder,
    help="Multiple-choice exams of a country: read, checked by people, given away, and used to judge models.",
    no_args_is_help=True,
)
images_app = typer.Typer(
    cls=InOrder, help="Pictures that people describe and rank descriptions of.", no_args_is_help=True
)
stereotypes_app = typer.Typer(
    cls=InOrder,
    help="Stereotypes that people know: shared, rated, turned into pairs, and used to measure models; never to train.",
    no_args_is_help=True,
)
team_app = typer.Typer(
    cls=InOrder,
    help="Who ranks: accounts, workspaces and roles. An annotator answers; an admin may also read, change and "
    "delete all that is in the workspace of their country.",
    no_args_is_help=True,
)
people_app = typer.Typer(
    cls=InOrder,
    help="How far the answers of each person can be trusted, and what you decide about them.",
    no_args_is_help=True,
)
controls_app = typer.Typer(
    cls=InOrder, help="Control items, of which the answer is known, and entry tests made of them.", no_args_is_help=True
)
adjudicate_app = typer.Typer(cls=InOrder, invoke_without_command=True)
server_app = typer.Typer(cls=InOrder, help="Look after the embedded Argilla.", no_args_is_help=True)
votes_app = typer.Typer(cls=InOrder, help="Votes of a demo's visitors.", no_args_is_help=True)
round_app = typer.Typer(
    cls=InOrder, help="Rounds: prompts that people are asked about anew, with other answers.", no_args_is_help=True
)
app.add_typer(prompts_app, name="prompts")
app.add_typer(exams_app, name="exams")
app.add_typer(stereotypes_app, name="stereotypes")
app.add_typer(images_app, name="images")
app.add_typer(team_app, name="team")
app.add_typer(people_app, name="people")
app.add_typer(controls_app, name="controls")
app.add_typer(adjudicate_app, name="adjudicate")
app.add_typer(server_app, name="server")
app.add_typer(votes_app, name="votes")
app.add_typer(round_app, name="round")


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


def named_values(
    given: Sequence[str] | None, option: str = "--column", form: str = "FIELD=COLUMN, for example prompt=Question"
) -> dict[str, str]:
    """Name -> value, from NAME=VALUE each.

    Args:
        given: As the option got them.
        option: For the sentence about one that says too little.
        form: What to write.

    Raises:
        SettingsError: One says too little.
    """
    values = {}
    for pair in given or ():
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not (sign and name and value):
            raise SettingsError(f'{option} "{pair}" says too little; write {form}.')
        values[name] = value
    return values
