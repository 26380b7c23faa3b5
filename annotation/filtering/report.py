"""Report of a filter: the same tables as Markdown and as one HTML file with its plots inside."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from annotation.files import write_whole
from annotation.filtering.filter import Filtered, Outcome
from annotation.filtering.hint import WITH, Hints
from annotation.filtering.rule import Flag
from annotation.screen import counted

SIDES = ("#0072B2", "#D55E00")
"""Colours of what is as it should be, and of what is beyond a threshold."""

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1a1a1a }}
table {{ border-collapse: collapse; margin: 1rem 0; font-size: .9rem }}
th, td {{ border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: left; vertical-align: top }}
th {{ white-space: nowrap }} td {{ overflow-wrap: break-word; max-width: 32rem }} td:last-child {{ min-width: 12rem }}
td.number {{ text-align: right; white-space: nowrap }} img {{ max-width: 100% }} .wide {{ overflow-x: auto }}
</style></head><body>"""


class Table(NamedTuple):
    """A table of the report: its title, a sentence above it, columns and rows of texts and numbers."""

    title: str
    says: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def sentence(filtered: Filtered) -> str:
    """The result in a sentence or two."""
    dropped = len({one.place for one in filtered.left if one.whole})
    answers = sum(not one.whole for one in filtered.left)
    more = f", and {counted(answers, 'answer')} of kept ones" if answers else ""
    shown = len([row for row in filtered.kept if filtered.raised.get(row.number)])
    return (
        f"{counted(filtered.rows, 'row')} of {filtered.name}: {len(filtered.kept)} kept, {dropped} left out"
        f"{more}; {shown} of the kept ones are flagged or mended."
    )


def rule_table(filtered: Filtered) -> Table:
    """Every rule with its threshold, what it did, and one example."""
    named = {one.rule.name for one in filtered.outcomes}
    unread = {left.rule: left for left in reversed(filtered.left) if left.rule not in named}
    rows: list[Sequence[object]] = []
    for reason, left in sorted(unread.items()):
        count = sum(one.rule == reason and one.whole for one in filtered.left)
        rows.append((reason, "drop", "", filtered.rows - count, count, 0, f"{left.place}: {left.because_of}"))
    for one in filtered.outcomes:
        rule, dropped = one.rule, one.rule.does == "drop"
        numbers = (one.seen - one.rows * dropped, one.rows if dropped else 0, 0 if dropped else one.rows)
        example = f"not looked at: {one.skipped}" if one.skipped and one.seen else one.example
        rows.append((rule.name, rule.does, threshold_of(one), *(numbers if one.seen else ("–",) * 3), example))
    return Table(
        "Rules",
        "In the order in which they were asked; what one left out the next ones did not see. Numbers are rows.",
        ("rule", "does", "threshold", "kept", "dropped", "flagged", "for example"),
        rows,
    )


def threshold_of(one: Outcome) -> str:
    """The threshold as a person reads it."""
    return "" if one.rule.threshold is None else f"{one.rule.threshold:g}"


def flag_table(filtered: Filtered) -> Table:
    """Measures of the set: those of the whole, and those beyond a threshold."""
    flags = [(one, flag) for one in filtered.outcomes for flag in one.found.flags]
    return Table(
        "Measures of the set",
        "Shares with their 95 % interval (from, to); 0.5 is a coin. A raised one is above its threshold, on 30 rows or "
        "more, by more than chance. A country is raised below its threshold times an equal share.",
        ("rule", "of", "share", "from", "to", "rows", "threshold", "raised", "what"),
        [
            (one.rule.name, *_cells(flag), threshold_of(one), "yes" if flag.raised else "", flag.note)
            for one, flag in flags
        ],
    )


def _cells(flag: Flag) -> tuple[object, ...]:
    ends = ("" if end is None else f"{end:.3f}" for end in (flag.low, flag.high))
    return (flag.of, f"{flag.value:.3f}", *ends, flag.count)


def remedies(filtered: Filtered) -> list[str]:
    """What helps against what was found."""
    return [
        f"{one.rule.name}: {one.rule.remedy}."
        for one in filtered.outcomes
        if one.rule.remedy and one.rule.does != "drop" and (one.rows or one.raised)
    ]


def tables(filtered: Filtered) -> list[Table]:
    """All tables of the report."""
    kept = Counter((row.country or "–", row.language or "–", row.topic) for row in filtered.kept)
    looked = [(one.rule.name, one.rule.looks_for, one.rule.source, f"{one.seconds:.1f}") for one in filtered.outcomes]
    first = [row for row in filtered.kept if filtered.raised.get(row.number)]
    first.sort(key=lambda row: (-len(filtered.raised[row.number]), row.number))
    return [
        rule_table(filtered),
        flag_table(filtered),
        Table(
            "Look at these first",
            "Kept rows in which most rules found something; the column first of kept.parquet has the whole order.",
            ("place", "rules", "prompt"),
            [(row.place, ", ".join(filtered.raised[row.number]), row.prompt[:120]) for row in first[:20]],
        ),
        Table(
            "What is kept",
            "Rows by country, language and topic; at most 40 lines.",
            ("country", "language", "topic", "rows"),
            [(*key, n) for key, n in kept.most_common(40)],
        ),
        Table(
            "What the rules look for",
            "In the same order; seconds are of this run.",
            ("rule", "what", "threshold from", "seconds"),
            looked,
        ),
    ]


def hint_table(filtered: Filtered, hints: Hints) -> Table:
    """The pairs that a judge puts first: against the people in both orders, then undecided."""
    said = ", ".join(f"{what} {count}" for what, count in hints.counts.items())
    rows = sorted((row for row in filtered.kept if row.number in hints.said), key=lambda row: hints.first[row.number])
    return Table(
        "Look at these first: a judge",
        f"A model compared each pair in both orders ({said}). It decides nothing: people do.",
        ("place", "judge", "prompt", "chosen by people", "rejected by people"),
        [
            (row.place, hints.said[row.number], row.prompt[:100], *(row.answers[at].text[:100] for at in row.pairs[0]))
            for row in rows[:20]
            if hints.said[row.number] != WITH
        ],
    )


def as_json(filtered: Filtered) -> dict[str, Any]:
    """The result for a script."""
    return {
        "source": filtered.name,
        "rows": filtered.rows,
        "kept": len(filtered.kept),
        "dropped": len({one.place for one in filtered.left if one.whole}),
        "answers_dropped": sum(bool(one.answer) for one in filtered.left),
        "encoder": filtered.encoder,
        "rules": [
            {
                "rule": one.rule.name,
                "does": one.rule.does,
                "threshold": one.rule.threshold,
                "threshold_from": one.rule.source,
                "rows": one.rows,
                "answers": one.answers,
                "example": one.example,
                "not_looked_at": one.skipped,
                "flags": [asdict(flag) for flag in one.found.flags],
                "seconds": round(one.seconds, 2),
            }
            for one in filtered.outcomes
        ],
        "notices": list(filtered.notices),
    }


def write_report(filtered: Filtered, folder: Path, more: Sequence[Table] = ()) -> None:
    """Write report.md and report.html with these tables, each whole or not at all."""
    every = [*more, *tables(filtered)]
    write_whole(folder / "report.md", "\n".join(_markdown(filtered, every)).encode())
    write_whole(folder / "report.html", "\n".join(_html(filtered, every)).encode())


def _markdown(filtered: Filtered, every: Iterable[Table]) -> Iterable[str]:
    yield f"# Filter of {_plain(filtered.name)}\n\n{_plain(sentence(filtered))}\n"
    yield from (f"- {_plain(line)}" for line in (*remedies(filtered), *filtered.notices))
    for table in every:
        if table.rows:
            yield f"\n## {table.title}\n\n{table.says}\n"
            yield f"| {' | '.join(table.columns)} |\n|{'---|' * len(table.columns)}"
            yield from (f"| {' | '.join(_plain(cell) for cell in row)} |" for row in table.rows)
    yield ""


def _plain(cell: object) -> str:
    """A cell in which nothing is Markdown or HTML."""
    text = html.escape(" ".join(str(cell).split()), quote=False)
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+!|~" else sign for sign in text)


def _html(filtered: Filtered, every: Iterable[Table]) -> Iterable[str]:
    yield _HEAD.format(title=html.escape(f"Filter of {filtered.name}"))
    yield f"<h1>Filter of {html.escape(filtered.name)}</h1><p>{html.escape(sentence(filtered))}</p><ul>"
    yield from (f"<li>{html.escape(line)}</li>" for line in (*remedies(filtered), *filtered.notices))
    yield "</ul>"
    for title, figure in _plots(filtered):
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        data = base64.b64encode(picture.getvalue()).decode()
        yield f'<figure><img alt="{html.escape(title)}" src="data:image/png;base64,{data}"></figure>'
    for table in every:
        if table.rows:
            yield f'<h2>{table.title}</h2><p>{table.says}</p><div class="wide"><table><tr>'
            yield "".join(f"<th>{column}</th>" for column in table.columns) + "</tr>"
            yield from (f"<tr>{''.join(map(_td, row))}</tr>" for row in table.rows)
            yield "</table></div>"
    yield "</body></html>"


def _td(cell: object) -> str:
    text = str(cell)
    number = text.replace(".", "", 1).isdigit()
    return f'<td class="number">{text}</td>' if number else f"<td>{html.escape(text)}</td>"


def _plots(filtered: Filtered) -> Iterable[tuple[str, Any]]:
    """What rules did, lengths, and the measures beside their thresholds. Names of a source stand in tables alone."""
    from matplotlib.figure import Figure

    acted = [one for one in filtered.outcomes if one.rows]
    if acted:
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(acted)), dpi=110, layout="constrained")
        axes = figure.subplots()
        axes.barh(
            [one.rule.name for one in acted],
            [one.rows for one in acted],
            color=[SIDES[one.rule.does == "drop"] for one in acted],
        )
        axes.invert_yaxis()
        axes.set(title="Rows by rule (orange: dropped, blue: flagged or mended)", xlabel="rows")
        axes.spines[["top", "right"]].set_visible(False)
        yield "Rows by rule", figure
    ratios = [
        (len(row.answers[one].text) + 1) / (len(row.answers[two].text) + 1)
        for row in filtered.kept
        for one, two in row.pairs[:1]
    ]
    if ratios:
        import numpy as np

        figure = Figure(figsize=(9, 3), dpi=110, layout="constrained")
        axes = figure.subplots()
        edges = np.linspace(-3, 3, 49)
        axes.hist(np.clip(np.log2(ratios), -3, 3), bins=edges.tolist(), color=SIDES[0])
        axes.axvline(0, color="black", lw=1)
        axes.set(title="Length of the chosen answer against the rejected one", ylabel="rows")
        axes.set_xticks(range(-3, 4), ["⅛ or less", "¼", "½", "the same", "twice", "4 times", "8 or more"])
        axes.spines[["top", "right"]].set_visible(False)
        yield "Length of chosen against rejected", figure
    measured = [
        (one.rule.name if flag.of == "all" else f"{one.rule.name}: {flag.of}", flag, one.rule.threshold)
        for one in filtered.outcomes
        for flag in one.found.flags[: 1 if one.rule.name == "model" else None]
        if flag.low is not None
    ]
    if measured:
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(measured)), dpi=110, layout="constrained")
        axes = figure.subplots()
        for place, (_, flag, threshold) in enumerate(measured):
            colour = SIDES[flag.raised]
            axes.plot([flag.low or 0, flag.high or 0], [place, place], color=colour)
            axes.plot([flag.value], [place], "o", color=colour)
            axes.plot([threshold or 0] * 2, [place - 0.4, place + 0.4], color="black", lw=1)
        axes.axvline(0.5, color="black", lw=0.7, ls=":")
        axes.set_yticks(range(len(measured)), [name for name, _, _ in measured])
        axes.invert_yaxis()
        axes.set(
            title="How often a shortcut tells the chosen answer (bar: threshold, dotted: a coin, orange: raised)",
            xlabel="share, with its 95 % interval",
            xlim=(-0.02, 1.02),
        )
        axes.spines[["top", "right"]].set_visible(False)
        yield "Shortcuts", figure
