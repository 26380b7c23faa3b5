"""What a run is worth, for people: report.md and its plots."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.project import write_whole
from train.dataset import Pair
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
            f"per token), {reward.value:.1%} by implicit reward, over {reward.count} pairs of {reward.prompts} prompts"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""

        def plain(measures: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
            return {name: {when: _plain(value) for when, value in times.items()} for name, times in measures.items()}

        return {**plain(self.overall), "by_country": {name: plain(m) for name, m in self.by_country.items()}}


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


def write_report(folder: Path, flight: Preflight, outcome: Outcome, *, resumed: int, seconds: float) -> Path:
    """Write report.md from what the run's folder holds and what was measured.

    Args:
        folder: The run's.
        flight: What the preflight counted.
        outcome: What was measured.
        resumed: Step from which the last process went on; 0 from the start.
        seconds: Wall time of the last process.
    """
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [f"# Run {facts['run']}", ""]
    if facts["base_is_tiny_and_random"]:
        lines += [f"> The base is {facts['base_note']}.", ""]
    went_on = f"; the last process went on from step {resumed}" if resumed else ""
    lines += [
        f"Trained on {facts['source']} with the preset {facts['preset']}: {outcome.summary}.",
        "",
        "## Held-out pair accuracy",
        "",
        "Pairs of prompts that were not trained on; the adapter was read back from disk onto a fresh base. "
        "In brackets: 95 % bootstrap interval over prompts.",
        "",
        *_table(
            ["measure", "before", "after", "change"],
            [
                [name.replace("_", " "), *(str(times[when]) for when in ("before", "after", "change"))]
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
        f"- {facts['steps']} steps over {facts['train_rows']} rows; {seconds:.0f} s in the last process{went_on}; "
        f"begun {facts['begun_at'][:19]} UTC",
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


PLOTS: Mapping[str, tuple[str, str, Sequence[tuple[str, str]]]] = {
    "loss": ("DPO loss", "loss", (("loss", "train"), ("eval_loss", "held out"))),
    "reward_margin": (
        "Implicit reward: chosen - rejected",
        "margin",
        (("rewards/margins", "train"), ("eval_rewards/margins", "held out")),
    ),
    "accuracy": (
        "Pairs with a positive margin",
        "share",
        (("rewards/accuracies", "train"), ("eval_rewards/accuracies", "held out")),
    ),
    "rewards": (
        "Implicit rewards on held-out pairs",
        "reward",
        (("eval_rewards/chosen", "chosen"), ("eval_rewards/rejected", "rejected")),
    ),
}
"""File name → title, unit of the y axis, and the metrics drawn with their labels."""


def draw_plots(folder: Path) -> tuple[Path, ...]:
    """Draw metrics.jsonl as one PNG per plot; a plot without any point is left out."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with (folder / "metrics.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    drawn = []
    for name, (title, unit, curves) in PLOTS.items():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for metric, label in curves:
            points = [(row["step"], row[metric]) for row in rows if metric in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        if not axes.lines:
            continue
        axes.set(title=title, xlabel="step", ylabel=unit, xlim=(0, None))
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
