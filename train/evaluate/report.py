"""The evaluation for people: tables, plots, a section of report.md; evaluation.json is the last file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from annotation.files import write_whole
from annotation.types import picture_file
from train.data.rows import read_rows
from train.evaluate.evaluation import Evaluation
from train.evaluate.gate import EVALUATION, remedy
from train.evaluate.measure import Table, markdown_table
from train.evaluate.ranking_summary import GROUP_COLUMNS, HOW_TO_READ, Group, group_rows
from train.evaluate.writing import SAMPLES

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
"""Around the section of report.md, which is written anew when the run is measured otherwise."""

SHOWN, LONGEST = 3, 300
"""Pictures whose descriptions the report shows, and characters of each description."""


def write_evaluation(folder: Path, found: Evaluation) -> None:
    """Write the section of report.md, and then evaluation.json; rows and plots are there already."""
    report = folder / "report.md"
    text = report.read_text(encoding="utf-8") if report.exists() else f"# Run {found.run}\n"
    described = "\n".join(_descriptions(folder)) if (folder / SAMPLES).exists() else ""
    write_whole(report, put_section(text, section(found) + described).encode())
    write_whole(folder / EVALUATION, json.dumps(found.as_json(), ensure_ascii=False, indent=2).encode())


def _descriptions(folder: Path) -> list[str]:
    """What both models wrote about a few of the pictures; nothing of texts."""
    rows = islice((row for row in read_rows(folder / SAMPLES) if "picture" in row), SHOWN)
    cells = [
        (
            f"[{row['picture'][:8]}]({picture_file(row['picture'])})",
            *(" ".join(row[who].replace("<", "&lt;").split())[:LONGEST] or "–" for who in ("base", "adapted")),
        )
        for row in rows
    ]
    table = Table("", ("picture", "the base wrote", "the adapted model wrote"), cells)
    return ["### Some descriptions", "", *table.markdown()] if cells else []


def warnings(found: Evaluation) -> list[str]:
    """Sentences that a person should read before trusting the run, beside the gate."""
    return [sentence for summary in found.summaries.values() for sentence in summary.warnings(found.settings)]


def lines(found: Evaluation) -> list[str]:
    """The verdict and what to look at, for a terminal."""
    return [
        *(f"warning: {sentence}" for sentence in warnings(found)),
        f"gate: {found.gate.verdict}: {_reason(found)}.",
    ]


def _reason(found: Evaluation) -> str:
    """Reason of the gate's verdict, and a remedy where the run did not pass."""
    settings = found.settings
    told = remedy(found.gate, found.run, settings.gate_exam_drop, settings.gate_votes, settings.gate_bias_rise)
    return "; ".join(filter(None, (found.gate.reason, told)))


def section(found: Evaluation) -> str:
    """The section of report.md."""
    settings, reason, more = found.settings, _reason(found), ""
    reason = reason if reason.startswith("evaluation.") else reason[:1].upper() + reason[1:]
    if settings.gate_exam_drop != "off":
        more = f", and no country's accuracy in exams may fall by {100 * settings.gate_exam_drop:.3g} points or more"
    if settings.gate_votes != "off":
        more += (
            f", and every country with at least {settings.gate_vote_count} visitors' votes that compare the answers "
            f"needs an interval of its win rate that begins above {100 * settings.gate_votes:.3g}%"
        )
    if settings.gate_bias_rise != "off":
        more += (
            f", and no group's share of preferred stereotypes may move {100 * settings.gate_bias_rise:.3g} points or "
            "more further from a half"
        )
    released = "may be released" if found.gate.open else "is not released unless somebody says so (--ungated)"
    text = [
        "## Evaluation",
        "",
        f"**Gate: {found.gate.verdict}.** {reason}. The run {released}.",
        "",
        f"**What the gate asks**: every {' and every '.join(settings.gate_by) or 'group'} with at least "
        f"{settings.gate_prompts} held-out prompts needs an interval of its ranking accuracy that begins above "
        f"{settings.gate_accuracy:.0%}{more}.",
        "",
        *(f"- Warning: {sentence}" for sentence in warnings(found)),
        "",
    ]
    for summary in found.summaries.values():
        for table in summary.tables():
            text += [
                *([f"### {table.title[:1].upper()}{table.title[1:]}", ""] if table.title else []),
                *table.markdown(),
            ]
        text += [f"![{plot.rpartition('.')[0]}]({plot})" for plot in summary.plots()] + [""]
    return "\n".join(text)


def ranking_section(groups: Sequence[Group]) -> str:
    """The section of report.md as a training run leaves it; that of the evaluation takes its place."""
    columns, rows = GROUP_COLUMNS[:-1], [row[:-1] for row in group_rows(groups)]  # the gate has not judged yet
    how = "Prompts that were not trained on; the adapter was read back from disk onto a fresh base. "
    text = ["## Held-out ranking accuracy", "", *markdown_table(columns, rows), "", how + HOW_TO_READ, ""]
    return "\n".join([BEGIN, *text, END, ""])


def put_section(report: str, text: str) -> str:
    """Put the section before the preflight's, in place of an earlier one."""
    before, begin, rest = report.partition(BEGIN)
    if begin:
        report = before + rest.partition(END)[2].lstrip("\n")
    first, mark, last = report.partition("## Preflight")
    return f"{first.rstrip()}\n\n{BEGIN}\n{text}\n{END}\n\n{mark}{last}".rstrip() + "\n"
