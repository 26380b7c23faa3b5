"""The evaluation for people: tables, plots, a section of report.md; evaluation.json is the last file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from annotation.files import write_whole
from train.evaluate.evaluation import Evaluation
from train.evaluate.gate import EVALUATION, remedy
from train.evaluate.ranking import Group, SlateScore
from train.evaluate.writing import PromptSamples
from train.run_folder import write_rows
from train.statistics import FEWEST_PROMPTS, Estimate

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
"""Around the section of report.md, which is written anew when the run is measured otherwise."""

SLATES, SAMPLES = "evaluation_slates.jsonl", "evaluation_samples.jsonl"
"""One line per held-out slate; one line per prompt with what both models wrote."""

MARKS = {"passed": "#2a7f4f", "failed": "#c0392b", "too few to tell": "#b0b0b0", "": "#4a6fa5"}
"""Verdict -> colour of its mark in the plot."""

ROWS_OF_PLOT = 40
"""Most groups in the plot; the table has them all."""


def write_evaluation(
    folder: Path, found: Evaluation, scores: Sequence[SlateScore], samples: Sequence[PromptSamples]
) -> None:
    """Write everything into the run's folder; evaluation.json last."""
    write_rows(folder / SLATES, [asdict(score) for score in scores])
    write_rows(
        folder / SAMPLES,
        [
            {
                "prompt": sample.prompt,
                "country": sample.country,
                "base": sample.base_text,
                "base_tokens": len(sample.base.tokens),
                "base_ended": sample.base.ended,
                "adapted": sample.adapted_text,
                "adapted_tokens": len(sample.adapted.tokens),
                "adapted_ended": sample.adapted.ended,
                "kl": sample.score.kl,
            }
            for sample in samples
        ],
    )
    plots = [draw_groups(folder / "evaluation_groups.png", found)]
    if samples:
        plots.append(draw_writing(folder / "evaluation_writing.png", found, samples))
    report = folder / "report.md"
    text = report.read_text(encoding="utf-8") if report.exists() else f"# Run {found.run}\n"
    write_whole(report, put_section(text, section(found, plots)).encode())
    write_whole(folder / EVALUATION, json.dumps(found.as_json(), ensure_ascii=False, indent=2).encode())


GROUP_COLUMNS = (
    "group",
    "prompts",
    "ranking accuracy",
    "at most",
    "tau-b",
    "likelier",
    "gate",
)


HOW_TO_READ = (
    "Held-out slates, worst group first; in brackets 95 % bootstrap intervals over prompts, – where there are fewer "
    f"than {FEWEST_PROMPTS}. **Ranking accuracy**: share of people's votes about two answers that the implicit reward "
    "agrees with; **at most**: the share that agrees with the majority, which no order exceeds. **tau-b**: Kendall's, "
    "with each person's ranking. **Likelier**: the same accuracy by the model's own mean log-prob per token, without → "
    "with the adapter."
)
"""What stands under the table of groups."""


def group_rows(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """A line per group, the worst of its kind first."""
    return [
        (
            _name(group),
            str(group.prompts),
            f"{group.accuracy.value:.1%} {group.accuracy.interval('.1f', 100)}",
            f"{group.most:.1%}",
            f"{group.tau.value:.2f} {group.tau.interval('.2f')}",
            f"{group.likelier_before.value:.1%} → {group.likelier_after.value:.1%}",
            group.verdict or "–",
        )
        for group in groups
    ]


WRITING_COLUMNS = ("what both wrote", "base", "adapted", "change")


def writing_rows(found: Evaluation) -> list[tuple[str, ...]]:
    """A line per measure of what both models wrote, and how far apart the models are."""
    rows: list[tuple[str, ...]] = [("KL to the base, nats a token, held-out answers", "0", _nats(found.kl), "")]
    if not (writing := found.writing):
        return rows
    tokens, change = writing.tokens, writing.tokens["change"]
    base = tokens["base"].value
    return [
        ("KL to the base, nats a token, own answers", "0", _nats(writing.kl), ""),
        ("KL to the base, nats an answer, own answers", "0", f"{writing.kl_answer.value:.2f}", ""),
        *rows,
        (
            f"length, tokens (cut off at {writing.limit})",
            f"{base:.1f}",
            f"{tokens['adapted'].value:.1f}",
            f"{change.value:+.1f} {change.interval('+.1f')} ({change.value / base:+.0%})",
        ),
        ("answers that ended by themselves", *_shares(writing.ended)),
        ("repeated 4-grams in an answer (seq-rep-4)", *_shares(writing.repeated)),
        (
            "different bigrams of all answers (distinct-2)",
            f"{writing.distinct['base']:.3f}",
            f"{writing.distinct['adapted']:.3f}",
            f"{writing.distinct['adapted'] - writing.distinct['base']:+.3f}",
        ),
    ]


def _nats(kl: Estimate) -> str:
    return f"{kl.value:.4f} {kl.interval('.4f')}"


def _shares(values: Any) -> tuple[str, str, str]:
    change: Estimate = values["change"]
    return (
        f"{values['base'].value:.1%}",
        f"{values['adapted'].value:.1%}",
        change.points,
    )


def warnings(found: Evaluation) -> list[str]:
    """Sentences that a person should read before trusting the run, beside the gate."""
    sentences = []
    if small := [group for group in found.groups if group.verdict == "too few to tell"]:
        sentences.append(
            f"{', '.join(_name(group) for group in small)}: fewer than {found.settings.gate_prompts} held-out prompts, "
            "too few to tell; such a group neither passes nor fails."
        )
    if (writing := found.writing) and writing.kl.prompts > 1:
        length, ended, repeated = (values["change"] for values in (writing.tokens, writing.ended, writing.repeated))
        base = writing.tokens["base"].value
        if abs(length.value) > 0.2 * base and not length.low <= 0 <= length.high:
            longer = "longer" if length.value > 0 else "shorter"
            sentences.append(f"answers became {abs(length.value) / base:.0%} {longer}: look whether length was learnt.")
        if ended.high < 0:
            share = f"{writing.ended['base'].value:.1%} → {writing.ended['adapted'].value:.1%}"
            sentences.append(f"fewer answers end by themselves ({share}): look whether endings were lost.")
        if repeated.low > 0.01:
            share = f"{writing.repeated['base'].value:.1%} → {writing.repeated['adapted'].value:.1%}"
            sentences.append(f"answers repeat themselves more ({share} of 4-grams): read {SAMPLES}.")
    return sentences


def lines(found: Evaluation) -> list[str]:
    """The verdict and what to look at, for a terminal."""
    return [
        *(f"warning: {sentence}" for sentence in warnings(found)),
        f"gate: {found.gate.verdict}: {_reason(found)}.",
    ]


def _reason(found: Evaluation) -> str:
    """Reason of the gate's verdict, and a remedy where the run did not pass."""
    return "; ".join(filter(None, (found.gate.reason, remedy(found.gate, found.run))))


def section(found: Evaluation, plots: Sequence[Path]) -> str:
    """The section of report.md."""
    settings = found.settings
    released = "may be released" if found.gate.open else "is not released unless somebody says so (--ungated)"
    reason = _reason(found)
    text = [
        "## Evaluation",
        "",
        f"**Gate: {found.gate.verdict}.** {reason[:1].upper()}{reason[1:]}. The run {released}.",
        "",
        *markdown_table(GROUP_COLUMNS, group_rows(found.groups)),
        "",
        f"{HOW_TO_READ} "
        f"**Gate**: every {' and every '.join(settings.gate_by) or 'group'} with at least {settings.gate_prompts} "
        f"held-out prompts needs an interval that begins above {settings.gate_accuracy:.0%}.",
        "",
        *markdown_table(WRITING_COLUMNS, writing_rows(found)),
        "",
        "KL(adapted || base) is exact at each position, over the whole vocabulary; on the model's own answers it is "
        "the Rao–Blackwellised Monte Carlo estimate. "
        + (
            f"Both models answered the same {found.writing.answers} prompts with the same seeds, sampled at "
            "temperature 1 without any cut of the vocabulary."
            if found.writing
            else "No answers were written (evaluation.prompts = 0)."
        ),
        "",
        *(f"- Warning: {sentence}" for sentence in warnings(found)),
        "",
        *(f"![{path.stem}]({path.name})" for path in plots),
        "",
    ]
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


def draw_groups(path: Path, found: Evaluation) -> Path:
    """Ranking accuracy and tau-b of every group with their intervals, the worst on top."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    groups = found.groups[:ROWS_OF_PLOT]
    figure = Figure(figsize=(9.0, 1.6 + 0.32 * len(groups)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for axes, chance in ((left, found.settings.gate_accuracy), (right, 0.0)):
        axes.axvline(chance, color="#888888", linewidth=1, linestyle="--")
        axes.grid(axis="x", alpha=0.3)
    for line, group in enumerate(groups):
        colour = MARKS[group.verdict]
        for axes, estimate in ((left, group.accuracy), (right, group.tau)):
            axes.plot([estimate.low, estimate.high], [line, line], color=colour, linewidth=2)
            axes.plot(estimate.value, line, "o", color=colour, markersize=5)
        left.plot(group.most, line, "|", color="#222222", markersize=9)
    left.set_yticks(range(len(groups)), [f"{_name(group)} ({group.prompts})" for group in groups])
    left.invert_yaxis()
    figure.suptitle(f"{found.run}: gate {found.gate.verdict}")
    left.set(xlabel="ranking accuracy on held-out votes")
    right.set(xlabel="Kendall's tau-b")
    used = [verdict for verdict in MARKS if any(group.verdict == verdict for group in groups)]
    keys = [Line2D([], [], color=MARKS[verdict], marker="o", label=verdict or "not judged") for verdict in used]
    keys += [
        Line2D([], [], color="#222222", marker="|", linestyle="", label="at most (people differ)"),
        Line2D([], [], color="#888888", linestyle="--", label="gate; no agreement"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8, frameon=False)
    return save_figure(path, figure)


def draw_writing(path: Path, found: Evaluation, samples: Sequence[PromptSamples]) -> Path:
    """Lengths of both models' answers, prompt by prompt, and how far apart the models are along their own answers."""
    from matplotlib.figure import Figure

    assert found.writing
    limit = found.writing.limit
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = [limit * step / 20 for step in range(21)]
    for who, colour in (("base", "#888888"), ("adapted", "#4a6fa5")):
        lengths = [len(getattr(sample, who).tokens) for sample in samples]
        mean = sum(lengths) / len(lengths)
        left.hist(lengths, bins=bins, alpha=0.55, color=colour, label=f"{who}, mean {mean:.0f}")
        left.axvline(mean, color=colour, linewidth=1.5)
    left.set(
        xlabel=f"tokens of an answer (cut off at {limit})", ylabel="answers", title="Length, same prompts and seeds"
    )
    left.legend()
    per_token = sorted(sample.score.kl / sample.score.tokens for sample in samples)
    right.plot(
        per_token, [(i + 1) / len(per_token) for i in range(len(per_token))], color="#4a6fa5", drawstyle="steps-post"
    )
    right.axvline(found.writing.kl.value, color="#4a6fa5", linestyle="--", label=f"mean {found.writing.kl.value:.3f}")
    right.set(
        xlabel="KL(adapted || base), nats per token", ylabel="share of its own answers", title="Distance from the base"
    )
    right.set(ylim=(0, 1), xlim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return save_figure(path, figure)


def _name(group: Group) -> str:
    return "all" if group.by == "all" else f"{group.by} {group.name}"


def save_figure(path: Path, figure: Any) -> Path:
    """Write a figure of matplotlib's as PNG, whole or not at all."""
    write_whole(path, lambda beside: figure.savefig(beside, dpi=120))
    return path


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
