"""Report of benchmarks/learning.py for people: intervals over seeds, tables in Markdown, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ARMS = {"stock TRL": "trl", "pairwise": "pairwise", "plackett_luce": "plackett_luce"}
COLOURS = {"stock TRL": "#888888", "pairwise": "#d08a2e", "plackett_luce": "#2f6f9f"}
MEASURES = {
    "accuracy": "ranking accuracy, known order",
    "tau": "Kendall's tau-b, known order",
    "votes": "ranking accuracy, held-out votes",
}
KINDS = {"equal_steps": "Equal steps", "equal_time": "Equal processor time"}
RESAMPLES = 4000


@dataclass(frozen=True)
class Learnt:
    """One adapter, measured slate by slate.

    Attributes:
        arm: Name.
        seed: Of data, adapter and order.
        steps: Updates.
        rate: Learning rate at its highest.
        seconds: Processor time of tokenising, reference and training.
        scores: Measure -> one number per test slate; NaN where a slate says nothing.
        margin: Mean implicit reward of the better answer minus that of the worse one, over known pairs.
    """

    arm: str
    seed: int
    steps: int
    rate: float
    seconds: float
    scores: dict[str, list[float]]
    margin: float


def interval(by_seed: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean of the seeds' means with a 95 % percentile interval: seeds are drawn, then slates within each.

    Two stages, since both the data of a seed and the slates that it is measured on are chance (Davison & Hinkley 1997,
    "Bootstrap methods and their application", section 3.8).
    """
    rows = [np.array(row)[~np.isnan(row)] for row in by_seed]
    chance = np.random.default_rng(seed)
    drawn = np.empty(RESAMPLES)
    for sample in range(RESAMPLES):
        chosen = [rows[i] for i in chance.integers(0, len(rows), len(rows))]
        drawn[sample] = np.mean([row[chance.integers(0, len(row), len(row))].mean() for row in chosen])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean([row.mean() for row in rows])), float(low), float(high)


def difference(ours: Sequence[Learnt], theirs: Sequence[Learnt], what: str) -> tuple[float, float, float]:
    """One arm minus another, on the same slates of the same seeds."""
    return interval(
        [
            list(np.array(one.scores[what]) - np.array(other.scores[what]))
            for one, other in zip(ours, theirs, strict=True)
        ]
    )


def table_of(learnt: dict[str, list[Learnt]]) -> dict[str, Any]:
    """Per arm: estimates, each seed's value, and the differences that the question is about."""
    arms = {
        arm: {
            "steps": [one.steps for one in runs],
            "rate": runs[0].rate,
            "seconds": [round(one.seconds, 2) for one in runs],
            "margin": [one.margin for one in runs],
            **{
                what: {
                    "estimate": interval([one.scores[what] for one in runs]),
                    "seeds": [float(np.nanmean(one.scores[what])) for one in runs],
                }
                for what in MEASURES
            },
        }
        for arm, runs in learnt.items()
    }
    against = (("plackett_luce", "pairwise"), ("pairwise", "stock TRL"), ("plackett_luce", "stock TRL"))
    differences = {
        f"{one} - {other}": {what: difference(learnt[one], learnt[other], what) for what in MEASURES}
        for one, other in against
    }
    return {"arms": arms, "differences": differences}


def show(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# Does it learn?",
        "",
        f"{found['size']['seeds']} seeds, {found['size']['train']} slates of four to train on, each ranked by "
        f"{found['people']} people with noise, {found['size']['test']} to measure on. By its own likelihood the base "
        f"orders {found['base_accuracy_by_likelihood']:.1%} of the known pairs rightly; tau-b cannot exceed "
        f"{found['tau_at_most']:.3f}, since answers may be equally good. In brackets: 95 % intervals.",
    ]
    for kind, title in KINDS.items():
        table = found[kind]
        lines += [
            "",
            f"## {title}",
            "",
            f"| arm | steps | rate | seconds | {' | '.join(MEASURES.values())} |",
            "|---" * 7 + "|",
        ]
        for arm, values in table["arms"].items():
            steps, seconds = np.median(values["steps"]), np.median(values["seconds"])
            cells = " | ".join(_form(values[what]["estimate"]) for what in MEASURES)
            lines.append(f"| {arm} | {steps:.0f} | {values['rate']:g} | {seconds:.1f} | {cells} |")
        lines += ["", f"| difference | {' | '.join(MEASURES.values())} | holds |", "|---" * 5 + "|"]
        for name, values in table["differences"].items():
            lines.append(
                f"| {name} | {' | '.join(_form(values[what], '+') for what in MEASURES)} | {_verdict(values)} |"
            )
    lines += [
        "",
        f"## The adapter on a 4-bit base ({found['size']['qlora_steps']} steps with the settings of l40s-8b-qlora)",
        "",
        "| recipe | adapter | lora_A entries that ever changed | lora_A moved by | margin | ranking accuracy |",
        "|---" * 6 + "|",
    ]
    for one in found["qlora"]:
        share = one["changed"] / one["entries"]
        lines.append(
            f"| {one['recipe']} | {one['dtype']} | {one['changed']:,} of {one['entries']:,} ({share:.1%}) | "
            f"{one['distance']:.2%} | {one['margin']:.4f} | {one['accuracy']:.1%} |"
        )
    lines += ["", f"{found['wall_seconds']:.0f} s, {found['processor_seconds']:.0f} s of processor time."]
    return "\n".join(lines) + "\n"


def _form(estimate: Sequence[float], sign: str = "") -> str:
    value, low, high = estimate
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _verdict(values: dict[str, Sequence[float]]) -> str:
    value, low, high = values["tau"]
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "no worse than chance can tell" if value >= 0 else "behind, within chance"


def draw(found: dict[str, Any], path: Path) -> None:
    """Accuracy and tau of each arm, at equal steps and at equal time; dots are seeds."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex="col")
    for row, (kind, title) in enumerate(KINDS.items()):
        for column, what in enumerate(("accuracy", "tau")):
            axes = panels[row][column]
            for line, arm in enumerate(ARMS):
                values = found[kind]["arms"][arm][what]
                value, low, high = values["estimate"]
                axes.plot([low, high], [line, line], color=COLOURS[arm], linewidth=3, solid_capstyle="butt")
                axes.plot(value, line, "o", color=COLOURS[arm], markersize=8)
                axes.plot(values["seeds"], [line + 0.22] * len(values["seeds"]), ".", color=COLOURS[arm], alpha=0.6)
            names = [f"{arm}\n{np.median(found[kind]['arms'][arm]['steps']):.0f} steps" for arm in ARMS]
            axes.set_yticks(range(len(ARMS)), names if column == 0 else [""] * len(ARMS))
            axes.set_ylim(-0.5, len(ARMS) - 0.3)
            axes.set_title(f"{title}: {MEASURES[what]}", fontsize=10)
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)
