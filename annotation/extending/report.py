"""Output of `annot prompts gaps` and `annot prompts draft`: what is missing, what it costs, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from annotation.drafting.draft import Tally, last_outcome, outcomes_since
from annotation.drafting.report import outcomes_table, outlook_as_json, outlook_sentence, outlook_table
from annotation.errors import AnnotError
from annotation.extending.draft import DraftPlan, Wish, draft_prompts, plan_draft
from annotation.extending.gaps import find_gaps
from annotation.extending.take_in import TakenIn, open_answers, take_in
from annotation.extending.worth import Worth, worth
from annotation.money import committed_usd
from annotation.project import Project
from annotation.screen import count_reasons, counted, print_json, progress, show_dropped, table
from annotation.selection.embedding import Encoder, open_encoder
from annotation.text.locales import name_of_language

REMEDIES = {
    "near duplicate": "if they ask different things, raise prompts.near_duplicate in annot.toml, for those to come.",
    "asks the same": "if they ask different things, raise select.near_duplicate in annot.toml, for those to come.",
}
"""What helps against a reason for leaving out a proposal."""


def show_gaps(project: Project, *, json: bool = False) -> None:
    """Show which groups of prompts are thin, and what new prompts cost so far."""
    gaps, brought = find_gaps(project), worth(project)
    if json:
        print_json({**gaps.as_json(), "worth": [one.as_json() for one in brought]})
        return
    if not gaps.cells:
        print("No quota owes anything: set a target under [task.ranking] in annot.toml.")
        return
    table(
        "Prompts by country, topic and address",
        (
            *("country", "language", "topic", "address", "owed", "slates", "ready", "to check", "rejected", "stuck"),
            "missing",
        ),
        (
            (
                *(c.country, c.language, c.topic, c.register or "any", c.owed, c.slates, c.ready, c.to_check),
                *(c.rejected, c.stuck, c.missing),
            )
            for c in gaps.cells
        ),
    )
    print(
        f"{counted(gaps.missing, 'prompt is', 'prompts are')} missing. The rows of one address are part of the row "
        f'"any" of their topic. {gaps.untold} of {counted(gaps.prompts, "prompt")} address nobody, as far as their '
        "words tell."
    )
    if gaps.blind:
        print(f"Address cannot be told in {', '.join(map(name_of_language, gaps.blind))}: nothing is owed of it there.")
    show_worth(brought)
    if gaps.missing:
        print("Next: annot prompts draft --dry-run")


def show_worth(brought: Sequence[Worth]) -> None:
    """Print what every dollar brought."""
    table(
        "What new prompts cost",
        ("model", "calls", "dollars", "proposed", "kept", "accepted", "rejected", "accepted per dollar"),
        (
            (
                *(w.model, w.calls, f"{w.usd:.4f}", w.proposed, w.kept, w.accepted, w.rejected),
                "–" if w.per_dollar is None else f"{w.per_dollar:.1f}",
            )
            for w in brought
        ),
    )


def draft_and_show(project: Project, wish: Wish, *, dry_run: bool, ask_first: bool, json: bool) -> None:
    """Draft prompts, and show what came of it, also when the run ends early."""
    # One at a time: what another run is paying for is not missing any more.
    with nullcontext() if dry_run else project.lock("prompt drafts"):
        encoder = open_encoder(project.settings.select.encoder, project.folder)
        with progress("looking at prompts") as bar:
            before = TakenIn() if dry_run else take_in(project, encoder, bar)
            plan = plan_draft(project, wish, encoder, bar)
        if dry_run:
            _show_plan(project, plan, wish, json=json)
        else:
            _draft_and_show(project, plan, wish, encoder, before, ask_first=ask_first, json=json)


def _draft_and_show(
    project: Project, plan: DraftPlan, wish: Wish, encoder: Encoder, before: TakenIn, *, ask_first: bool, json: bool
) -> None:
    mark = last_outcome(project)
    if not json:
        _say(plan, wish)
        if plan.questions:
            print(outlook_sentence(project, plan.outlook, counted(plan.prompts, "new prompt")))
    if plan.questions and ask_first and project.secret("CO_API_KEY") is not None:
        import typer

        typer.confirm("Draft now?", default=True, abort=True)
    error: AnnotError | KeyboardInterrupt | None = None
    found = TakenIn()
    try:
        with progress("drafting prompts") as bar:
            found = draft_prompts(project, plan, encoder, progress=bar) if plan.questions else found
    except (AnnotError, KeyboardInterrupt) as stop:
        error, found = stop, take_in(project, encoder)
    found = TakenIn((*before.kept, *found.kept), (*before.dropped, *found.dropped))
    outcomes = outcomes_since(project, mark)
    if not json:
        _show(project, found, outcomes)
    elif isinstance(error, AnnotError):  # one object on stdout, not two
        print_json({**_as_json(project, found, outcomes), "error": str(error)})
        print(f"annot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    else:
        print_json(_as_json(project, found, outcomes))
    if error is not None:
        raise error


def _say(plan: DraftPlan, wish: Wish) -> None:
    if plan.without:
        named = ", ".join(dict.fromkeys(f"{cell.country} {cell.topic}" for cell in plan.without))
        if wish.perspective:
            print(f"No other country has more prompts to rewrite for {named}; ask without --perspective.")
        else:
            print(
                f"There is no prompt of the country to start from for {named}, accepted by people or read from a file: "
                "add a few with `annot prompts add`, or rewrite those of other countries with --perspective."
            )
    elif not plan.questions:
        print("No prompt is missing; `annot prompts gaps` shows what is there.")


def _show_plan(project: Project, plan: DraftPlan, wish: Wish, *, json: bool) -> None:
    waiting = len(open_answers(project.ledger))
    if json:
        cells = [
            {**dict(zip(("country", "language", "topic", "register"), key, strict=True)), "prompts": number}
            for key, number in plan.cells.items()
        ]
        without = [{"country": cell.country, "topic": cell.topic} for cell in plan.without]
        outlook = {**outlook_as_json(plan.outlook), "prompts": plan.prompts}
        print_json({**outlook, "cells": cells, "without": without, "answers_to_take_in": waiting})
        return
    _say(plan, wish)
    if waiting:
        print(f"{counted(waiting, 'answer')} of an earlier run will be taken in first, and may leave less to ask.")
    table(
        "What would be asked for",
        ("country", "language", "topic", "address", "prompts"),
        ((*place, register or "any", number) for (*place, register), number in plan.cells.items()),
    )
    if plan.questions:
        outlook_table(project, plan.outlook, counted(plan.prompts, "new prompt"))
        print(outlook_sentence(project, plan.outlook, counted(plan.prompts, "new prompt")))
        print(f"People then check each of them: {plan.prompts * plan.checks} checks.")


def _as_json(project: Project, found: TakenIn, outcomes: dict[str, Tally]) -> dict[str, Any]:
    return {
        "kept": [asdict(prompt) for prompt in found.kept],
        "dropped": [asdict(drop) for drop in found.dropped],
        "outcomes": {outcome: asdict(tally) for outcome, tally in outcomes.items()},
        "committed_usd": committed_usd(project.ledger),
        "missing": find_gaps(project).missing,
        "worth": [one.as_json() for one in worth(project)],
    }


def _show(project: Project, found: TakenIn, outcomes: dict[str, Tally]) -> None:
    if not outcomes and not found.kept and not found.dropped:
        return
    outcomes_table(outcomes)
    show_dropped("proposals", count_reasons(found.dropped), REMEDIES)
    usd = sum(tally.usd for tally in outcomes.values())
    print(
        f"{counted(len(found.kept), 'new prompt')} for ${usd:.4f}; ${committed_usd(project.ledger):.4f} of "
        f"${project.settings.draft.budget_usd:.2f} are spent."
    )
    if missing := find_gaps(project).missing:
        print(f"{counted(missing, 'prompt is', 'prompts are')} still missing; run it again to go on.")
    if found.kept:
        print("None counts before people accept it. Next: annot push, and annot sync when they have answered.")
    sys.stdout.flush()
