"""Output of `annot draft`: the forecast before money is spent, and a table of what came back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from annotation.drafting.draft import Drafted, Outlook, Tally, draft, drafted, last_outcome, outlook
from annotation.drafting.from_file import NEARLY, SEVERAL_HAVE_IT, SEVERAL_PICTURES, SEVERAL_PROMPTS, draft_from_file
from annotation.drafting.prices import OURS, read_prices
from annotation.drafting.source import Source
from annotation.errors import AnnotError, SettingsError
from annotation.files import write_whole
from annotation.money import committed_usd
from annotation.project import Project
from annotation.screen import count_reasons, counted, print_json, progress, show_dropped, table

REMEDIES = {
    "unknown prompt": "bring in the prompts with `annot prompts add`, then run the same command again.",
    SEVERAL_HAVE_IT: "say which one in a column prompt_id, or in columns country and language.",
    SEVERAL_PICTURES: "say which picture in a column image: its id, or the name of the file that it came from.",
    SEVERAL_PROMPTS: "say which one in a column prompt_id, or in columns country and language.",
    NEARLY: "`annot images add` left it out and names the other one; write the name of that one if it is the same.",
    "unknown picture": "bring in the pictures with `annot images add`, then run the same command again.",
    "prompt not accepted": "people check prompts first; run `annot sync` when they have, then the same command again.",
    "too long": "raise prompts.max_chars in annot.toml, then run the same command again.",
}
"""What helps against a reason for leaving out an answer of a file."""


def write_prices(project: Project, *, json: bool = False) -> None:
    """Copy the price table into the project, where it can be edited and counts from then on."""
    path = project.folder / "prices.toml"
    if path.exists():
        raise SettingsError(f"{path} exists already; edit it, or move it away to get a fresh copy.")
    write_whole(path, OURS.read_bytes())
    if json:
        print_json({"prices": str(path)})
    else:
        print(f"{path} is written; edit the prices and limits there. Next: annot draft --dry-run")


def show_outlook(project: Project, limit: int | None, source: Source | None = None, *, json: bool = False) -> None:
    """Show what a run would do."""
    seen = outlook(project, limit=limit, source=source)
    if json:
        print_json(outlook_as_json(seen))
        return
    outlook_table(project, seen, f"{counted(seen.prompts, 'prompt lacks', 'prompts lack')} answers")
    if seen.models:
        print(outlook_sentence(project, seen, counted(seen.prompts, "prompt")))


def outlook_table(project: Project, seen: Outlook, title: str) -> None:
    """Print what a run would call, a line for each model."""
    table(
        title if seen.free else f"{title} (prices of {seen.prices_date}, {project.settings.draft.key} key)",
        ("model", "calls", "tokens in", "tokens out", "dollars", "at most", "minutes"),
        ((*astuple(line)[:-1], "–" if seen.free else f"{line.minutes:.1f}") for line in seen.models),
    )


def draft_and_show(
    project: Project, limit: int | None, source: Source | None = None, *, ask_first: bool, json: bool = False
) -> None:
    """Draft, and show what came of it, also when the run ends early."""
    seen = outlook(project, limit=limit, source=source)
    if seen.models and not json:
        print(outlook_sentence(project, seen, counted(seen.prompts, "prompt")))
    # Without a key the run ends with its sentence: nobody has to agree to that.
    if seen.models and not seen.free and ask_first and (source or project.secret("CO_API_KEY") is not None):
        import typer

        typer.confirm("Draft now?", default=True, abort=True)
    mark = last_outcome(project)
    try:
        with progress("drafting") as bar:
            done = draft(project, limit=limit, progress=bar, source=source)
    except (AnnotError, KeyboardInterrupt) as error:
        if json and isinstance(error, AnnotError):  # one object on stdout, not two
            print_json({**_drafted_as_json(project, drafted(project, mark, source)), "error": str(error)})
            print(f"annot: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        _show(project, drafted(project, mark, source), source, json=json)
        raise
    _show(project, done, source, json=json)


def take_from_file(project: Project, source: Path, *, json: bool = False) -> None:
    """Read answers written elsewhere into the project and show what was left out."""
    added = draft_from_file(project, source)
    if json:
        print_json({**asdict(added), "dropped": [asdict(dropped) for dropped in added.dropped]})
        return
    for notice in added.notices:
        print(notice)
    show_dropped("answers", count_reasons(added.dropped), REMEDIES)
    if added.new or added.dropped:
        masked = f", {added.masked} e-mail addresses, phone numbers or user names masked" if added.masked else ""
        print(f"{counted(added.new, 'candidate is', 'candidates are')} new, {added.known} were there already{masked}.")


def outlook_sentence(project: Project, seen: Outlook, what: str) -> str:
    """What a run costs, how long it takes, and what may end it early; `what` says what it brings."""
    calls = sum(line.calls for line in seen.models)
    if seen.free:
        return f"{counted(calls, 'call')} for {what}: they cost nothing. How long they take shows when it runs."
    key = project.settings.draft.key
    sentences = [
        f"{counted(calls, 'call')} for {what}: about ${seen.usd:.2f}, "
        f"at most ${seen.most_usd:.2f}; ${seen.left_usd:.2f} of the budget is left. "
        f"With a {key} key it takes {f'{seen.minutes:.0f} min' if seen.minutes >= 1 else 'some seconds'} or more."
    ]
    if key == "trial":
        sentences.append(
            "Cohere does not bill calls with a trial key; here they are counted at list prices all the same."
        )
    if seen.most_usd > seen.left_usd:
        sentences.append("The budget may end first: raise draft.budget_usd, or take fewer prompts with --limit.")
    if seen.monthly is not None:
        used, most, needed = seen.monthly
        some = f" to {_limited(project, seen)}" if needed < calls else ""
        sentences.append(
            f"{used:,} of the {most:,} calls a month{some} that a {key} key allows are used; this needs {needed:,}."
        )
        if seen.months > 1:
            prices = read_prices(project.folder).models
            lifts = key == "trial" and all(prices[line.model].production.per_month is None for line in seen.models)
            cure = ' With a production key of Cohere, draft.key = "production" in annot.toml lifts that.' * lifts
            sentences.append(
                f"This cannot end this month: {max(0, most - used):,} of the {most:,} calls are left, and it needs "
                f"{counted(seen.months, 'month')}, or fewer draft.candidates.{cure}"
            )
    return "\n".join(sentences)


def _limited(project: Project, seen: Outlook) -> str:
    prices, key = read_prices(project.folder).models, project.settings.draft.key
    return ", ".join(line.model for line in seen.models if prices[line.model].limit(key).per_month is not None)


def outlook_as_json(seen: Outlook) -> dict[str, Any]:
    """For scripts."""
    return {**asdict(seen), "usd": seen.usd, "most_usd": seen.most_usd, "minutes": seen.minutes, "months": seen.months}


def _drafted_as_json(project: Project, done: Drafted) -> dict[str, Any]:
    return {**asdict(done), "committed_usd": committed_usd(project.ledger)}


def outcomes_table(outcomes: Mapping[str, Tally]) -> None:
    """Print how calls ended."""
    rows = ((outcome, tally.calls, tally.usd) for outcome, tally in outcomes.items())
    table("what came back", ("outcome", "calls", "dollars"), rows)


def _show(project: Project, done: Drafted, source: Source | None, *, json: bool) -> None:
    if json:
        print_json(_drafted_as_json(project, done))
        return
    outcomes_table(done.outcomes)
    if done.outcomes:
        spent, budget = committed_usd(project.ledger), project.settings.draft.budget_usd
        price = f" for ${done.usd:.4f}; ${spent:.4f} of ${budget:.2f} are spent" if done.usd or not source else ""
        print(f"{counted(done.answers, 'new candidate')}{price}.")
        sys.stdout.flush()
    if done.outcomes and done.open:
        print(
            f"{counted(done.open, 'prompt still lacks', 'prompts still lack')} answers; "
            f"run {'the same command' if source else '`annot draft`'} again to go on."
        )
    if done.short:
        wanted = source.answers if source else project.settings.draft.candidates
        print(
            f"{counted(len(done.short), 'prompt has', 'prompts have')} fewer than {wanted} answers and no "
            "spare call left, for example "
            f"{done.short[0].id} ({done.short[0].because_of}); other models or temperatures make new calls possible."
        )
