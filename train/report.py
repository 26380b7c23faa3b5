"""The report of a training run: report.md and the plots in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.files import write_whole
from train.data.counts import Preflight
from train.data.rows import read_rows
from train.evaluate.measure import markdown_table, save_figure
from train.evaluate.ranking_summary import Group, accuracy_sentence
from train.evaluate.report import ranking_section
from train.footprint import footprint
from train.run_folder import read_facts
from train.statistics import FEWEST_PROMPTS, Estimate

COUNTRIES = "countries.json"
"""In the folder of everybody's run --by country: which countries there are, and why one has no adapter of its own."""


PICTURES = (
    "The pictures are in images/, by their ids: `image` in slates.jsonl, and in held_out_slates.jsonl those that the "
    "accuracy is measured on."
)
"""Where a person finds the pictures of a run."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training.

    Attributes:
        groups: Estimates on held-out slates: of all, then of countries, languages and topics.
        diverged: Why the training counts as diverged, or "".
        resumed: Step from which the last process went on; 0 from the start.
        seconds: Wall time of the last process.
    """

    groups: Sequence[Group]
    diverged: str
    resumed: int
    seconds: float

    @property
    def summary(self) -> str:
        """One line: the held-out ranking accuracy before and after."""
        return accuracy_sentence(self.groups)


def write_report(folder: Path, checks: Preflight, outcome: Outcome) -> Path:
    """Write report.md from what the run's folder holds, what the preflight counted, and the outcome."""
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    by_country = {group.name: group.accuracy.value for group in outcome.groups if group.by == "country"}
    lines = [
        f"# Run {facts['run']}",
        "",
        *([f"> The base is {facts['base_note']}.", ""] if facts["base_note"] != facts["base"] else []),
        *([f"> **Warning: {outcome.diverged}**", ""] if outcome.diverged else []),
        f"Trained on {facts['source']} with the preset {facts['preset']}: {outcome.summary}.",
        "",
        ranking_section(outcome.groups),
        *adapters_side_by_side(folder, by_country),
        "## Preflight",
        "",
        *markdown_table(["what", "count"], checks.lines()),
        "",
        *(f"- Warning: {sentence}" for sentence in checks.warnings()),
        "",
        "## Training",
        "",
        *(f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.png"))),
        *(["", PICTURES] if checks.pictures else []),
        "",
        "## Time and machine",
        "",
        *_time_and_machine(folder, facts, outcome),
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(facts["recipe"], indent=2, ensure_ascii=False),
        "```",
        "",
    ]
    path = folder / "report.md"
    write_whole(path, "\n".join(lines).encode())
    return path


def _time_and_machine(folder: Path, facts: Mapping[str, Any], outcome: Outcome) -> list[str]:
    went_on = f"; the last process went on from step {outcome.resumed}" if outcome.resumed else ""
    used = footprint(folder)
    return [
        f"- {facts['device']}",
        f"- {facts['steps']} steps over {_learnt_from(facts)}; {outcome.seconds:.0f} s in the last process{went_on}; "
        f"begun {facts['begun_at'][:19]} UTC",
        f"- energy: {used.line() if used else 'not measured (footprint.measure = false)'}",
        f"- base: {facts['base_note']} (version {facts['base_version']})",
        "- " + ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
    ]


def _learnt_from(facts: Mapping[str, Any]) -> str:
    """How much was trained on, in the unit that a step takes."""
    dpo = facts["recipe"]["dpo"]
    if dpo["objective"] != "trl":
        return f"{facts['train_slates']} slates"
    return f"{facts['train_rows']} {'votes' if dpo['label_smoothing'] == 'votes' else 'pairs'}"


def adapters_side_by_side(folder: Path, everybody: Mapping[str, float]) -> list[str]:
    """Section of the report of a run --by country: every country's own adapter beside everybody's, worst first.

    Args:
        folder: Of everybody's run.
        everybody: Country -> its held-out ranking accuracy with everybody's adapter.

    Returns:
        Lines of Markdown; none for any other run.
    """
    if not (folder / COUNTRIES).exists():
        return []
    remedy = f"remove it and run the same `annot train --run {folder.name} --by country` again"
    found = read_facts(folder / COUNTRIES, {}, remedy)
    rows: list[tuple[float, Sequence[str]]] = []
    skipped = []
    for country, region in sorted(found.items()):
        if region["skipped"]:
            skipped.append(f"- {country or 'No country named'}: no adapter of its own: {region['skipped']}.")
            continue
        run = folder.with_name(f"{folder.name}-{country}")
        done = read_facts(run / "DONE", {"accuracy": dict}, remedy)
        own, shared = done["accuracy"]["implicit_reward"]["after"], everybody.get(country, math.nan)
        if "pairs" in own:  # an earlier version measured on pairs with a majority, and not on votes
            best = "measured otherwise"
        elif own["prompts"] < FEWEST_PROMPTS or own["low"] <= shared <= own["high"]:
            best = "too few to tell"
        else:
            best = f"runs/{run.name}" if own["value"] > shared else "everybody's"
        accuracy = Estimate(own["value"], own["low"], own["high"], 0, own["prompts"])
        cells = (country, str(region["held_out"]), f"{shared:.1%}", str(accuracy), best)
        rows.append((max(own["value"], shared), cells))
    columns = ("country", "held-out prompts", "everybody's adapter", "its own adapter", "use")
    return [
        "## Adapters by country, worst first",
        "",
        "Ranking accuracy on the same held-out slates of the country, with the 95 % interval of its own: "
        "while that holds everybody's, there are too few to tell.",
        "",
        *(markdown_table(columns, [cells for _, cells in sorted(rows)]) if rows else []),
        "",
        *skipped,
        "",
    ]


PLOTS: Mapping[str, tuple[str, str, Sequence[tuple[str, str]]]] = {
    "loss": (
        "Loss: {objective}",
        "mean loss",
        (("loss", "train"), ("eval_loss", "held out"), ("untrained_loss", "an untrained adapter")),
    ),
    "reward_margin": (
        "Implicit reward: better minus worse answer",
        "mean difference of rewards",
        (("rewards/margins", "train"), ("eval_rewards/margins", "held out")),
    ),
    "accuracy": (
        "Pairs whose better answer has the higher reward",
        "share of pairs",
        (("rewards/accuracies", "train"), ("eval_rewards/accuracies", "held out")),
    ),
    "rewards": (
        "Implicit rewards of held-out answers",
        "mean reward",
        (("eval_rewards/chosen", "better answers"), ("eval_rewards/rejected", "worse answers")),
    ),
}
"""File name → title, what the y axis shows, and the metrics drawn with their labels."""

OBJECTIVES = {
    "plackett_luce": "Plackett–Luce, per ranked stage",
    "pairwise": "conservative DPO, per pair",
    "trl": "TRL's {loss}, per pair",
}
"""Objective → what its loss is called in a plot."""


def draw_plots(folder: Path, to: Path | None = None, suffix: str = ".png") -> tuple[Path, ...]:
    """Draw metrics.jsonl of a run, a file per plot; a plot without any point is left out.

    Args:
        folder: Of the run.
        to: Where the files go; default: the run's folder.
        suffix: Of the files: what they are.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = read_rows(folder / "metrics.jsonl")
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    dpo = facts["recipe"]["dpo"]
    objective = OBJECTIVES[dpo["objective"]].format(loss=dpo["loss"])
    drawn = []
    for name, (title, unit, curves) in PLOTS.items():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for metric, label in curves:
            points = [(row["step"], row[metric]) for row in rows if metric in row]
            if points:
                line: dict[str, Any] = {"marker": "o"}
                if metric == "untrained_loss":
                    line = {"color": "#888888", "linestyle": "--"}
                axes.plot(*zip(*points, strict=True), markersize=3, label=label, **line)
        if not axes.lines:
            continue
        axes.set(title=title.format(objective=objective), xlabel="step", ylabel=unit, xlim=(0, facts["steps"] * 1.02))
        if name == "accuracy":
            axes.set(ylim=(-0.02, 1.02))
            axes.axhline(0.5, color="#888888", linestyle="--", linewidth=1, label="a coin")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        drawn.append(save_figure((to or folder) / f"{name}{suffix}", figure))
    return tuple(drawn)
