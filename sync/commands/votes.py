"""Commands of the votes of a demo's visitors: `annot votes pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, open_project, votes_app


@votes_app.command("pull", epilog="Example: annot votes pull OWNER/NAME-votes; annot votes pull runs/RUN/demo/votes")
def votes_pull(
    source: Annotated[
        str, typer.Argument(help="A folder of vote files, or OWNER/NAME of a dataset on the Hub (token: HF_TOKEN).")
    ],
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Bring the votes of a demo's visitors home, once each, with the prompts that they gave away."""
    from annotation.screen import print_json, progress, show_dropped
    from sync.votes.pull import REMEDIES, pull_votes

    with progress("reading votes") as bar:
        found = pull_votes(open_project(folder), source, dry_run=dry_run, progress=bar)
    if json:
        print_json(found.as_json())
        return
    for sentence in found.sentences():
        print(sentence)
    show_dropped("lines", found.read.left_out.rows(), {})
    show_dropped("prompts", found.refused.rows(), REMEDIES)
