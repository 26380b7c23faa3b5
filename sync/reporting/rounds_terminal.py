"""Rounds on the terminal: a table of what was asked and said, one of what runs learnt, and what is sure."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.rounds import REASONS
from annotation.screen import table
from sync.reporting.rounds import Interval, RoundState, sentences


def show_rounds(states: Sequence[RoundState]) -> None:
    """Print every round."""
    table(
        "Rounds",
        ("round", "started", *REASONS, "slates", "complete", "answers", "people", "preferences"),
        [
            (
                one.number,
                one.started_at[:10] or None,
                *(one.reasons.get(reason, 0) if one.started_at else None for reason in REASONS),
                *(one.slates, one.complete, one.answers, one.people, one.preferences),
            )
            for one in states
        ],
    )
    table(
        "Runs, on slates held out of training (95 % interval)",
        ("round", "run", "slates", "accuracy", "", "tau-b", ""),
        [
            (one.number, run.run, run.slates or None, *_cells(run.accuracy), *_cells(run.tau))
            for one in states
            for run in one.runs
        ],
    )
    for sentence in sentences(states):
        print(sentence)


def _cells(found: Interval | None) -> tuple[str | None, str | None]:
    if found is None:
        return None, None
    ends = None if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}"
    return f"{found.value:.2f}", ends
