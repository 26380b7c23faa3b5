"""Commands of lineage: `annot trace`, where things came from and went, and `annot forget`, what goes for good."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.lineage.forgetting import Forgetting


@app.command(epilog="Example: annot trace 2026-11-29-3fa94c12, then annot trace with any id that it shows")
def trace(
    what: Annotated[
        str,
        typer.Argument(
            help="A run, a snapshot, a release's folder or its card; a paper or slides; a user name or pseudonym; or "
            "the id of a pair, slate, item, response, prompt, candidate or association."
        ),
    ],
    claim: Annotated[str, typer.Argument(help='After a card: the figure as it stands there, "61 %".')] = "",
    folder: Folder = Path(),
    everything: Annotated[bool, typer.Option("--all", help="Every row of every list, not the first few.")] = False,
    json: Json = False,
) -> None:
    """Show where something came from and where it went: from a model back to people's judgements, and forward."""
    from annotation.lineage.claims import trace_claim
    from annotation.lineage.subject import Home, find_subject
    from annotation.lineage.trace import trace as trace_subject
    from annotation.screen import print_json

    home = Home.open(folder)
    if claim or Path(what).suffix in (".md", ".tex"):
        tree = trace_claim(home, Path(what), claim, everything=everything)
    else:
        tree = trace_subject(home, find_subject(home, what), everything=everything)
    if json:
        print_json(tree.as_json())
    else:
        for line in tree.lines():
            print(line)


@app.command(epilog="Example: annot forget ana --dry-run, then annot forget ana")
def forget(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PERSON|PROMPT|ASSOCIATION",
            help="User name, pseudonym, or id of a prompt, of its picture, or of an association.",
        ),
    ],
    folder: Folder = Path(),
    reason: Annotated[str, typer.Option(help="Why; it is kept, so write no name into it.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and what holds it; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    json: Json = False,
) -> None:
    """Take a person, a prompt or an association out of the project for good: nothing new holds it."""
    from annotation.lineage.forget import find_forgettable, plan
    from annotation.lineage.forget import forget as forget_subject
    from annotation.lineage.subject import Home
    from annotation.screen import print_json

    home = Home.open(folder)
    subject = find_forgettable(home, what)
    if not (dry_run or yes):
        if json or not sys.stdin.isatty():
            raise SettingsError("annot forget cannot be undone: look with --dry-run, then say --yes.")
        _show(plan(home, subject), done=False)
        if not typer.confirm("Forget it for good?"):
            print("Nothing was changed.")
            return
    meant = plan(home, subject) if dry_run else forget_subject(home, subject, reason)
    if json:
        print_json({**meant.as_json(), "dry_run": dry_run})
    elif dry_run or yes:
        _show(meant, done=not dry_run)
    else:
        print("Forgotten.")


def _show(meant: Forgetting, *, done: bool) -> None:
    from annotation.screen import table

    print(f"{'Forgotten' if done else 'To be forgotten'}: {meant.kind} {meant.id}")
    for line in meant.goes():
        print(f"  {line}")
    table("Trained on it", ("run", "what it did"), meant.runs.items())
    lists = {
        "Snapshots that hold it": meant.snapshots,
        "Releases of these runs": meant.releases,
        "Files on this machine that hold it": meant.files,
        "Backups": meant.archives,
        "Cannot be read, and may hold it": meant.unknown,
    }
    for title, rows in lists.items():
        if rows:
            print("\n".join([f"{title}:", *(f"  {row}" for row in rows)]))
    print("\n".join(["Cannot be undone:", *(f"  {line}" for line in meant.left())]))
    if remedies := meant.remedies():
        print("\n".join(["What you can do:", *(f"  {line}" for line in remedies)]))
