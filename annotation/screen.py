"""Output of commands: tables, progress, or one JSON object for a script."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from annotation.types import Dropped

SHOW_AFTER_S = 2.0
"""Work that takes longer than this gets a progress bar."""


class Progress(Protocol):
    """Receiver of progress reports."""

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show that `done` of `total` units are done; `note` stands beside the bar."""


def silent(done: int, total: int | None = None, note: str = "") -> None:
    """Progress for callers that do not show any."""


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar on stderr once the work takes longer than SHOW_AFTER_S; where stderr is a file, a line every 30 s.

    Both show the time left, from the pace since the present step of the work began.
    """
    began = last = time.monotonic()
    bar: Any = None
    task: Any = None
    step: int | None = None
    first = before = 0
    since = began

    def report(done: int, total: int | None = None, note: str = "") -> None:
        nonlocal bar, task, last, step, first, before, since
        present = time.monotonic()
        if total != step or done < before:
            step, first, since = total, done, present
        before = done
        left = time_left(done - first, total - done, present - since) if total else ""
        if present - began < SHOW_AFTER_S:
            return
        if not sys.stderr.isatty():
            if present - last >= 30:
                last = present
                far = f"{done}{f' of {total}' if total else ''} {note}".rstrip()
                print(f"annot: {label}: {far}{left and f', {left}'}", file=sys.stderr)
            return
        if bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            bar.start()
            task = bar.add_task(label, total=total, note=note, left=left)
        bar.update(task, completed=done, total=total, note=note, left=left)

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()


def time_left(done: int, left: int, seconds: float) -> str:
    """How long the rest of a work will take, in words; "" while nobody can know."""
    if done <= 0 or left <= 0:
        return ""
    minutes = seconds * left / done / 60
    if minutes < 1:
        return "less than a minute left"
    return f"about {minutes:.0f} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; numbers stand to the right. Nothing is printed for no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(_is_number(row[index]) for row in cells)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(value) for value in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 110).print(drawn)


def show_dropped(what: str, counted: Sequence[tuple[str, int, str]], remedies: Mapping[str, str]) -> None:
    """Print what a step left out, as `count_reasons` counts it, and what helps where something does."""
    table("Left out", ("reason", what, "for example"), counted)
    show_remedies((reason for reason, _, _ in counted), remedies)


def show_remedies(reasons: Iterable[str], remedies: Mapping[str, str]) -> None:
    """Print what helps against each of these reasons that something helps against."""
    for reason in reasons:
        if reason in remedies:
            print(f"{reason}: {remedies[reason]}")


def counted(number: int, noun: str, more: str = "") -> str:
    """A number with its noun: "1 prompt", "2 prompts"; `more` is a plural that does not end in s."""
    return f"{number} {noun if number == 1 else more or f'{noun}s'}"


def count_reasons(dropped: Sequence[Dropped]) -> list[tuple[str, int, str]]:
    """Reason, count and one example of what a step dropped; the most frequent first."""
    counts = Counter(drop.reason for drop in dropped)
    first = {drop.reason: drop for drop in reversed(dropped)}
    examples = {reason: f"{drop.id}: {drop.because_of}".removesuffix(": ") for reason, drop in first.items()}
    return [(reason, count, examples[reason]) for reason, count in counts.most_common()]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("–", "").lstrip("-$").rstrip("%").isdigit() or text == "–"


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(values, ensure_ascii=False, indent=2, default=str))
