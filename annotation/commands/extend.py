"""Commands that extend a set of prompts: `annot prompts gaps` and `annot prompts draft`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, open_project, prompts_app


@prompts_app.command("gaps", epilog="Example: annot prompts gaps")
def prompts_gaps(folder: Folder = Path(), json: Json = False) -> None:
    """Show which countries, topics and forms of address have too few prompts for the quotas."""
    from annotation.extending.report import show_gaps

    show_gaps(open_project(folder), json=json)


@prompts_app.command("draft", epilog="Example: annot prompts draft --dry-run, then annot prompts draft --limit 20")
def prompts_draft(
    folder: Folder = Path(),
    country: Annotated[str, typer.Option("--country", help="For this country only.")] = "",
    topic: Annotated[str, typer.Option("--topic", help="For this topic only.")] = "",
    perspective: Annotated[
        bool, typer.Option("--perspective", help="Rewrite prompts of the project's other countries for this one.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Propose no more prompts than this.")] = None,
    model: Annotated[
        str, typer.Option("--model", help="The model that is asked.", show_default="draft.models in turn")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens, dollars and minutes; no key.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json: Json = False,
) -> None:
    """Have Cohere propose prompts where they are missing. People check every one before it counts."""
    from annotation.extending.draft import Wish
    from annotation.extending.report import draft_and_show

    ask_first = not yes and not json and sys.stdin.isatty()
    wish = Wish(country, topic, model, limit, perspective)
    draft_and_show(open_project(folder), wish, dry_run=dry_run, ask_first=ask_first, json=json)
