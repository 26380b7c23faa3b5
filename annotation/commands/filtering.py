"""The command `annot filter`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app, named_values, open_project
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.filtering.filter import Filtered
    from annotation.filtering.hint import Hints
    from annotation.project import Project

RULES_HELP = "duplicate, near-duplicate, leak, error, refusal, repeated, turns, marks, language, variety, contrast, "
RULES_HELP += "copied, exam, off-topic, same-meaning, length, style, tell, model, country, pii"


@app.command("filter", epilog="Example: annot filter pairs.jsonl, then annot filter pairs.jsonl --out filtered")
def filter_set(
    source: Annotated[
        str, typer.Argument(help="A file or a dataset on the Hub; without one, the project's own set.")
    ] = "",
    folder: Folder = Path(),
    out: Annotated[Path | None, typer.Option(help="Folder for kept.parquet, dropped.parquet and the report.")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.md and report.html only; into --out or exports/filter.")
    ] = False,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Drop what this rule only shows by default; repeatable.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Only show what this rule drops by default; repeatable.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE=VALUE",
            help=f"Set a rule's threshold, for example repeated=5; repeatable. The rules: {RULES_HELP}.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="File or dataset of a benchmark: its questions are looked for; repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="Say what a column means; repeatable.")
    ] = None,
    hint: Annotated[
        bool,
        typer.Option(
            "--hint",
            help="Have Cohere compare the kept pairs, within draft.budget_usd: only the order of "
            "looking follows from it.",
        ),
    ] = False,
    hint_limit: Annotated[int | None, typer.Option(min=1, help="Ask about so many pairs at most.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    no_meaning: Annotated[
        bool, typer.Option("--no-meaning", help="Leave out the rules that need the encoder.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, as without --out and --report.")] = False,
    json: Json = False,
) -> None:
    """Look at a preference set with every rule: what each would leave out, by which threshold and because of what."""
    from annotation.filtering.filter import filter_source
    from annotation.filtering.report import (
        as_json,
        flag_table,
        hint_table,
        remedies,
        rule_table,
        sentence,
        write_report,
    )
    from annotation.filtering.write import KEPT, write_filtered
    from annotation.screen import print_json, progress, table

    project = open_project(folder)
    if source and out and Path(source).resolve() == (out / KEPT).resolve():
        raise SettingsError(f"{source} is what --out {out} would replace; name another folder.")
    values = {}
    for name, value in named_values(threshold, "--threshold", "RULE=VALUE, for example length=0.6").items():
        try:
            values[name] = float(value)
        except ValueError:
            raise SettingsError(f"--threshold {name}={value}: write a number, for example length=0.6.") from None
    with progress("filter") as bar:
        found = filter_source(
            project,
            source,
            columns=named_values(column),
            drop=drop or (),
            keep=keep or (),
            thresholds=values,
            against=against or (),
            meaning=not no_meaning,
            progress=bar,
        )
    hints = _hints(project, found, hint_limit, dry_run=dry_run, ask_first=not yes, json=json) if hint else None
    to = None if dry_run else out or (project.folder / "exports" / "filter" if report else None)
    if to and not report:
        write_filtered(found, to, project.pseudonym, hints.first if hints else None)
    if to:
        write_report(found, to, [hint_table(found, hints)] if hints else ())
    if json:
        more = {"hint": hints.as_json()} if hints else {}
        print_json({**as_json(found), **more, "written_to": str(to) if to else None})
        return
    print(sentence(found))
    for one in (rule_table(found), flag_table(found), *([hint_table(found, hints)] if hints else ())):
        table(one.title, one.columns, one.rows)
    for line in remedies(found):
        print(line)
    for notice in found.notices:
        print(f"Note: {notice}")
    if to:
        print(f"{'The report is' if report else 'kept.parquet, dropped.parquet and the report are'} in {to}.")
        if not report:
            add = f", or annot prompts add {to / KEPT}" if source else ""
            print(f"Next: annot train --data {to / KEPT} --dry-run{add}")
    else:
        print("Nothing was written: --out FOLDER writes what is kept and what is dropped, --report the report alone.")


def _hints(
    project: Project, found: Filtered, limit: int | None, *, dry_run: bool, ask_first: bool, json: bool
) -> Hints:
    """What a judge says of the pairs, after its price was shown; a dry run shows the price alone."""
    from annotation.filtering.hint import Hints, hint_outlook, hint_questions, judge
    from annotation.screen import progress

    questions = hint_questions(found, project.settings.draft.models[0], limit)
    seen = hint_outlook(project, questions)
    cost = (
        f"Hint: {sum(line.calls for line in seen.models)} calls about {len(questions)} pairs, about ${seen.usd:.2f}, "
        f"at most ${seen.most_usd:.2f}; ${seen.left_usd:.2f} of the budget is left; {seen.minutes:.0f} min or more."
    )
    if dry_run:
        print(cost, file=sys.stderr)
        return Hints.none(found, seen)
    if seen.models:
        print(cost, file=sys.stderr)
        # Without a key the run ends with its sentence: nobody has to agree to that.
        if ask_first and not json and sys.stdin.isatty() and project.secret("CO_API_KEY") is not None:
            typer.confirm("Ask now?", default=True, abort=True, err=True)
    with progress("judging") as bar:
        return judge(project, found, questions, bar)
