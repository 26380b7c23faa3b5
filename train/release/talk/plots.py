"""Plots of a talk: the run's own numbers, drawn to be read from the last row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from annotation.files import write_whole
from annotation.text.locales import name_of_country
from train.data.rows import read_rows
from train.release.talk.language import Words
from train.statistics import FEWEST_PROMPTS

INK, GREY, BLUE, AMBER = "#1c2733", "#8a94a0", "#1f5fa8", "#b85c00"

BIG: dict[Any, Any] = {
    "font.size": 21,
    "axes.linewidth": 1.4,
    "axes.edgecolor": GREY,
    "text.color": INK,
    "axes.labelcolor": INK,
}
"""Type that stays legible where a plot fills half a slide."""

LONGEST = 24
"""Characters of a name beside a plot."""


def draw_results(path: Path, groups: Sequence[Mapping[str, Any]], words: Words, line: float) -> None:
    """Ranking accuracy of all and of countries, the lowest on top, with intervals where there are enough prompts.

    Args:
        path: Of the PNG.
        groups: As evaluation.json has them: "all" first, then countries.
        words: Of the talk.
        line: What the gate asks for.
    """
    with _drawn(path, 11.6, 4.9) as axes:
        for row, group in enumerate(groups):
            accuracy, colour = group["accuracy"], BLUE if group["name"] else INK
            if accuracy["prompts"] >= FEWEST_PROMPTS:
                axes.plot([accuracy["low"], accuracy["high"]], [row, row], color=colour, linewidth=7, alpha=0.35)
            axes.plot(group["most"], row, "|", color=INK, markersize=24, markeredgewidth=3)
            axes.plot(accuracy["value"], row, "o", color=colour, markersize=15)
            shown = f"{accuracy['value']:.0%}".replace("%", words.marks[2])
            beside = ("axes fraction", "data")
            axes.annotate(shown, (1.02, row), xycoords=beside, va="center", color=colour, weight="bold")
        axes.axvline(line, color=GREY, linestyle="--", linewidth=2, label=words("plot_line"))
        axes.plot([], [], "|", color=INK, markersize=24, markeredgewidth=3, label=words("plot_most"))
        axes.figure.legend(loc="outside lower center", ncols=2, frameon=False)
        names = [name_of_country(group["name"], words.language) if group["name"] else "" for group in groups]
        axes.set_yticks(range(len(groups)), [_label(name) or words("plot_all") for name in names])
        axes.set(xlim=(0, 1.02), ylim=(len(groups) - 0.4, -0.6), xlabel=words("plot_accuracy"))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], [f"{share}{words.marks[2]}" for share in (0, 25, 50, 75, 100)])


def draw_learning(path: Path, run: Path, words: Words) -> list[str]:
    """Loss of a training step by step; returns the metrics that are drawn, none where the run has none."""
    rows = read_rows(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else []
    curves: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("loss", "plot_train", {"color": BLUE, "alpha": 0.8}),
        ("eval_loss", "plot_held_out", {"color": AMBER, "marker": "o", "markersize": 9}),
        ("untrained_loss", "plot_untrained", {"color": GREY, "linestyle": "--"}),
    )
    points = {metric: [(row["step"], row[metric]) for row in rows if metric in row] for metric, _, _ in curves}
    drawn = [metric for metric, found in points.items() if found]
    if not drawn:
        return []
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with _drawn(path, 7.4, 6.2) as axes:
        for metric, name, style in curves:
            if points[metric]:
                axes.plot(*zip(*points[metric], strict=True), linewidth=3.5, label=words(name), **style)
        axes.set(xlabel=words("plot_step"), ylabel=words("plot_loss"))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace(".", words.marks[1])))
        axes.figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return drawn


@contextmanager
def _drawn(path: Path, width: float, height: float) -> Iterator[Any]:
    """The axes of a plot with big type, which is written when the block ends; sizes in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(BIG):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        yield axes
        write_whole(path, lambda beside: figure.savefig(beside, dpi=110))


def _label(name: str) -> str:
    """A name beside a plot: not too long, and without what matplotlib would set as mathematics."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
