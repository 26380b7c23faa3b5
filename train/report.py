"""What a run is worth, for people: report.md and its plots."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.project import write_whole
from train.dataset import Pair, read_rows
from train.footprint import footprint
from train.preflight import Preflight
from train.regions import adapters_side_by_side
from train.scores import MEASURES, LogProbs, accuracy_change, margins, pair_accuracy
from train.statistics import Estimate


@dataclass(frozen=True)
class Outcome:
    """Held-out accuracies. Keys of the inner mappings are "before", "after" and "change".

    Attributes:
        overall: Per measure (see scores.MEASURES).
        by_country: Per country ("" where none is named), then per measure; the worst implicit reward first.
    """

    overall: Mapping[str, Mapping[str, Estimate]]
    by_country: Mapping[str, Mapping[str, Mapping[str, Estimate]]]

    @property
    def summary(self) -> str:
        """One line: the same measure before and after, and what DPO itself goes by."""
        likelier, reward = self.overall["per_token"], self.overall["implicit_reward"]["after"]
        return (
            f"pair accuracy {likelier['before'].value:.1%} before, {likelier['after'].value:.1%} after (mean log-prob "
            f"per token), {reward.value:.1%} by implicit reward, over {_counted(reward.count, 'pair')} of "
            f"{_counted(reward.prompts, 'prompt')}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""

        def plain(measures: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
            return {name: {when: _plain(value) for when, value in times.items()} for name, times in measures.items()}

        return {**plain(self.overall), "by_country": {name: plain(m) for name, m in self.by_country.items()}}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _plain(value: Estimate) -> dict[str, float]:
    return {"value": value.value, "low": value.low, "high": value.high, "pairs": value.count, "prompts": value.prompts}


def measure_outcome(pairs: Sequence[Pair], before: LogProbs, after: LogProbs, *, beta: float, seed: int = 0) -> Outcome:
    """Turn log-probs into accuracies, over all pairs and per country."""
    ahead = margins(before, after, beta)
    prompts = [pair.prompt_key for pair in pairs]
    countries: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        countries[pair.country].append(index)

    def accuracies(chosen: list[int]) -> dict[str, dict[str, Estimate]]:
        theirs = [prompts[i] for i in chosen]
        measured = {}
        for name, times in ahead.items():
            first, last = times["before"][chosen], times["after"][chosen]
            measured[name] = {
                "before": pair_accuracy(first, theirs, seed=seed),
                "after": pair_accuracy(last, theirs, seed=seed),
                "change": accuracy_change(first, last, theirs, seed=seed),
            }
        return measured

    groups = {name: accuracies(chosen) for name, chosen in countries.items()}
    worst_first = sorted(groups, key=lambda name: (groups[name]["implicit_reward"]["after"].value, name))
    return Outcome(accuracies(list(range(len(pairs)))), {name: groups[name] for name in worst_first})


def write_report(
    folder: Path, flight: Preflight, outcome: Outcome, diverged: str = "", *, resumed: int, seconds: float
) -> Path:
    """Write report.md from what the run's folder holds and what was measured.

    Args:
        folder: The run's.
        flight: What the preflight counted.
        outcome: What was measured.
        diverged: What `why_diverged` says.
        resumed: Step from which the last process went on; 0 from the start.
        seconds: Wall time of the last process.
    """
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [f"# Run {facts['run']}", ""]
    if facts["base_is_tiny_and_random"]:
        lines += [f"> The base is {facts['base_note']}.", ""]
    if diverged:
        lines += [f"> **Warning: {diverged}**", ""]
    went_on = f"; the last process went on from step {resumed}" if resumed else ""
    used = footprint(folder)
    lines += [
        f"Trained on {facts['source']} with the preset {facts['preset']}: {outcome.summary}.",
        "",
        "## Held-out pair accuracy",
        "",
        "Pairs of prompts that were not trained on; the adapter was read back from disk onto a fresh base. "
        "In brackets: 95 % bootstrap interval over prompts, – where there is only one.",
        "",
        *_table(
            ["measure", "before", "after", "change"],
            [
                [name.replace("_", " "), str(times["before"]), str(times["after"]), times["change"].points]
                for name, times in outcome.overall.items()
            ],
        ),
        "",
        "An answer pair counts as right when, by",
        "",
        *(f"- **{name.replace('_', ' ')}**: {meaning}." for name, meaning in MEASURES.items()),
        "",
        "## By country, worst first",
        "",
        *_table(
            ["country", "pairs", "prompts", "implicit reward, after", "per token, before", "per token, after"],
            [
                [
                    name or "none named",
                    str(measures["per_token"]["after"].count),
                    str(measures["per_token"]["after"].prompts),
                    str(measures["implicit_reward"]["after"]),
                    str(measures["per_token"]["before"]),
                    str(measures["per_token"]["after"]),
                ]
                for name, measures in outcome.by_country.items()
            ],
        ),
        "",
        *adapters_side_by_side(
            folder, {name: measures["implicit_reward"]["after"].value for name, measures in outcome.by_country.items()}
        ),
        "## Preflight",
        "",
        *_table(["what", "count"], [list(line) for line in flight.lines()]),
        "",
        *(f"- Warning: {sentence}" for sentence in flight.warnings()),
        "",
        "## Training",
        "",
        *(f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.png"))),
        "",
        "## Time and machine",
        "",
        f"- {facts['device']}",
        f"- {facts['steps']} steps over {_learnt_from(facts)}; {seconds:.0f} s in the last process{went_on}; "
        f"begun {facts['begun_at'][:19]} UTC",
        f"- energy: {used.line() if used else 'not measured (footprint.measure = false)'}",
        f"- base: {facts['base_note']} (version {facts['base_version']})",
        "- " + ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
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


def _learnt_from(facts: Mapping[str, Any]) -> str:
    """How much was trained on, in the unit that a step takes."""
    dpo = facts["recipe"]["dpo"]
    if dpo["objective"] != "trl":
        return f"{facts['train_slates']} slates"
    return f"{facts['train_rows']} {'votes' if dpo['label_smoothing'] == 'votes' else 'pairs'}"


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


def draw_plots(folder: Path) -> tuple[Path, ...]:
    """Draw metrics.jsonl as one PNG per plot; a plot without any point is left out."""
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
        write_whole(folder / f"{name}.png", _painter(figure))
        drawn.append(folder / f"{name}.png")
    return tuple(drawn)


def _painter(figure: Any) -> Callable[[Path], None]:
    return lambda path: figure.savefig(path, dpi=120)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
