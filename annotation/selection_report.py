"""What `annot select` did: tables for the terminal, plots for the team."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.project import write_whole
from annotation.screen import table

if TYPE_CHECKING:
    from annotation.slates import PromptOutcome, Selection

PLOTS = ("distances.png", "answers.png", "groups.png", "order.png")

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
BLUE, SKY, ORANGE, RED, GREY = "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#9A9A9A"

LONGEST_LIST = 14
"""Topics are free text: beyond so many, the smallest are drawn as one."""

ON_SLATE, BEHIND = "on a slate", "in the cluster of one on a slate"
WAITS, NO_SLATE = "usable, its prompt waits for another run", "usable, but too few beside it"


def show(selection: Selection) -> None:
    """Print what was decided and why."""
    asked = selection.thresholds
    parts = [f"{len(selection.slates)} new slates of {asked.slate} answers; {selection.standing} stand in all"]
    if selection.waiting:
        parts.append(f"{selection.waiting} more prompts are ready and wait for another run")
    print("; ".join(parts) + ".")
    answers = _answer_counts(selection)
    total = sum(answers.values())
    table(
        "Answers",
        ("what became of them", "answers", "share"),
        [(what, count, f"{count / total:.1%}") for what, count in answers.items() if count],
    )
    if spread := selection.spread:
        table(
            "Mean cosine distance between two answers of a prompt",
            ("among", "distance", "from a usable answer to the nearest of these"),
            [
                ("all answers", spread.every, None),
                ("usable answers", spread.usable, None),
                (f"{asked.slate} at random", spread.chance, spread.reach_chance),
                (f"the {asked.slate} on the slate", spread.slate, spread.reach_slate),
            ],
        )
    for title, of in _groupings(selection):
        counts = prompt_counts(selection.prompts, of)
        owed = any(name in selection.targets for name in counts)
        table(
            "",
            (title.lower(), "prompts", "with a slate", "waiting", "too few answers", *(["owed"] if owed else [])),
            [(name, sum(row), *row, *([selection.targets.get(name)] if owed else [])) for name, row in counts.items()],
        )
    if half := _half_way(selection):
        print(half)
    if selection.swapped:
        print(
            f"{selection.swapped} prompts have too many answers to try every subset; theirs were improved by swaps "
            "until none helped."
        )


def nothing_new(selection: Selection) -> str:
    """One line for a run that added no slate."""
    few = sum(bool(outcome.dropped) for outcome in selection.prompts)
    reason = f"; {few} prompts have too few usable answers, `annot draft` adds more" if few else ""
    return f"Nothing new to select: {selection.standing} slates stand{reason}."


def draw(selection: Selection, folder: Path) -> None:
    """Draw PLOTS into a folder, each whole or not at all. The same selection gives the same files."""
    for name, plot in zip(PLOTS, (_distances, _answers, _groups, _order), strict=True):
        figure = plot(selection)

        def save(beside: Path, figure: Any = figure) -> None:
            figure.savefig(beside, format="png", metadata={"Software": None})

        write_whole(folder / name, save)


def _answer_counts(selection: Selection) -> dict[str, int]:
    reasons = Counter(placement.dropped for placement in selection.placements if placement.dropped)
    kept = [placement for placement in selection.placements if not placement.dropped]
    stands = {outcome.prompt_id for outcome in selection.prompts if outcome.slate_id}
    few = {outcome.prompt_id for outcome in selection.prompts if outcome.dropped}
    done = stands | few
    return {
        ON_SLATE: sum(placement.medoid and placement.prompt_id in stands for placement in kept),
        BEHIND: sum(not placement.medoid and placement.prompt_id in stands for placement in kept),
        WAITS: sum(placement.prompt_id not in done for placement in kept),
        NO_SLATE: sum(placement.prompt_id in few for placement in kept),
        **dict(reasons.most_common()),
    }


def _groupings(selection: Selection) -> list[tuple[str, Callable[[PromptOutcome], str]]]:
    groupings: list[tuple[str, Callable[[PromptOutcome], str]]] = [("Country", lambda outcome: outcome.country)]
    if len({outcome.topic for outcome in selection.prompts}) > 1:
        groupings.append(("Topic", lambda outcome: outcome.topic))
    return groupings


def prompt_counts(
    outcomes: Sequence[PromptOutcome], of: Callable[[PromptOutcome], str]
) -> dict[str, tuple[int, int, int]]:
    """Prompts with a slate, waiting and dropped; the largest groups by name, the rest as one."""
    sizes = Counter(of(outcome) for outcome in outcomes)
    named = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(named) > LONGEST_LIST:
        named = named[: LONGEST_LIST - 1]
    rest = f"{len(sizes) - len(named)} others"
    counts = dict.fromkeys(named, (0, 0, 0))
    for outcome in outcomes:
        name = of(outcome) if of(outcome) in counts else rest
        slate, waiting, few = counts.get(name, (0, 0, 0))
        counts[name] = (
            slate + bool(outcome.slate_id),
            waiting + (not outcome.slate_id and not outcome.dropped),
            few + bool(outcome.dropped),
        )
    return counts


def _half_way(selection: Selection) -> str:
    curve = selection.coverage
    reached = [place for place, cover in enumerate(curve.order) if cover >= 0.9 * curve.order[-1]]
    by_chance = [place for place, cover in enumerate(curve.chance) if cover >= 0.9 * curve.order[-1]]
    if not reached or not by_chance:
        return ""
    return (
        f"Order: the first {curve.sizes[reached[0]]} slates cover nine tenths of what all cover; in a random order it "
        f"takes {curve.sizes[by_chance[0]]}."
    )


# -- plots ----------------------------------------------------------------------------------------------------


def _figure(columns: int, *, height: float, width: float = 11) -> tuple[Any, Any]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 12}):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)[0]
        for one in axes:
            one.set_axisbelow(True)
            one.title.set_fontweight("bold")
            one.title.set_horizontalalignment("left")
        return figure, axes


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontweight="bold", pad=12)


def _nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "no slates yet", ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_axis_off()


def _distances(selection: Selection) -> Any:
    figure, (left, right) = _figure(2, height=4.2, width=12)
    spreads = [outcome.spread for outcome in selection.prompts if outcome.spread]
    k = selection.thresholds.slate
    for axes, title, unit, lines in (
        (
            left,
            "How far apart the answers of a prompt are",
            "mean cosine distance between two answers (0 = the same)",
            (
                ("all answers", [one.every for one in spreads], GREY),
                ("usable answers", [one.usable for one in spreads], SKY),
                (f"{k} at random", [one.chance for one in spreads], ORANGE),
                (f"{k} on the slate", [one.slate for one in spreads], BLUE),
            ),
        ),
        (
            right,
            "How well the slate stands for all usable answers",
            "mean cosine distance to the nearest chosen answer",
            (
                (f"{k} at random", [one.reach_chance for one in spreads], ORANGE),
                (f"{k} on the slate", [one.reach_slate for one in spreads], BLUE),
            ),
        ),
    ):
        _title(axes, title)
        if not spreads:
            _nothing(axes)
            continue
        places = list(range(len(lines)))[::-1]
        boxes = axes.boxplot(
            [values for _, values, _ in lines],
            positions=places,
            orientation="horizontal",
            widths=0.55,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black", "linewidth": 1.6},
        )
        for box, (_, _, colour) in zip(boxes["boxes"], lines, strict=True):
            box.set(facecolor=colour, alpha=0.75, edgecolor="black", linewidth=0.8)
        for place, (_, values, _) in zip(places, lines, strict=True):
            mean = sum(values) / len(values)
            axes.plot(mean, place, "D", color="white", markeredgecolor="black", markersize=5, zorder=5)
            axes.text(mean, place + 0.31, f"{mean:.3f}", ha="center", va="bottom", fontsize=10)
        axes.set_yticks(places, [name for name, _, _ in lines])
        axes.set_ylim(-0.6, len(lines) - 0.3)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(unit)
        axes.grid(axis="x", color="#E4E4E4")
    figure.supxlabel(
        f"{len(spreads):,} prompts with a slate · box: middle half, line: median, whiskers: 5 % to 95 %, diamond: mean",
        fontsize=9,
        color="#555555",
    )
    return figure


def _answers(selection: Selection) -> Any:
    counts = {what: count for what, count in _answer_counts(selection).items() if count}
    figure, (axes,) = _figure(1, height=1.6 + 0.5 * len(counts))
    total = sum(counts.values())
    colours = {ON_SLATE: BLUE, BEHIND: SKY, WAITS: GREY, NO_SLATE: GREY}
    names = [what if what in colours else f"dropped: {what}" for what in counts]
    bars = axes.barh(names, list(counts.values()), color=[colours.get(what, RED) for what in counts], height=0.68)
    axes.bar_label(bars, [f"{count:,}  ({count / total:.1%})" for count in counts.values()], padding=5)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xlabel("answers")
    axes.grid(axis="x", color="#E4E4E4")
    asked = selection.thresholds
    _title(axes, f"What became of {total:,} answers")
    figure.supxlabel(
        f"shorter than {asked.min_chars} characters · cosine below {asked.off_topic:g}: off topic · "
        f"cosine from {asked.near_duplicate:g}: near duplicate",
        fontsize=9,
        color="#555555",
    )
    return figure


def _groups(selection: Selection) -> Any:
    groupings = [(title, prompt_counts(selection.prompts, of)) for title, of in _groupings(selection)]
    tallest = max(len(counts) for _, counts in groupings)
    figure, all_axes = _figure(len(groupings), height=1.9 + 0.38 * tallest, width=6.2 * len(groupings) + 0.5)
    kinds = (("with a slate", BLUE), ("ready, waiting", SKY), ("too few usable answers", RED))
    owed = False
    for axes, (title, counts) in zip(all_axes, groupings, strict=True):
        names = list(counts)
        left = [0] * len(names)
        for (kind, colour), values in zip(kinds, zip(*counts.values(), strict=True), strict=True):
            bars = axes.barh(names, values, left=left, color=colour, height=0.7, label=kind)
            ink = "black" if colour == SKY else "white"
            axes.bar_label(bars, [str(value) if value else "" for value in values], label_type="center", color=ink)
            left = [before + value for before, value in zip(left, values, strict=True)]
        for place, name in enumerate(names):
            if target := selection.targets.get(name):
                axes.plot(target, place - 0.45, "v", color="black", markersize=8, zorder=5, clip_on=False)
                owed = True
        axes.set_ylim(tallest - 0.4, -0.75)
        axes.set_xlabel("prompts")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0, 1.05 * max(axes.get_xlim()[1], 1))
        axes.grid(axis="x", color="#E4E4E4")
        _title(axes, f"Prompts by {title.lower()}")
    handles, labels = all_axes[0].get_legend_handles_labels()
    if owed:
        from matplotlib.lines import Line2D

        handles.append(Line2D([], [], color="black", marker="v", markersize=8, linestyle="none"))
        labels.append("slates owed (quota)")
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _order(selection: Selection) -> Any:
    figure, (axes,) = _figure(1, height=4.6, width=8.5)
    curve = selection.coverage
    _title(axes, "How well the first slates stand for all prompts")
    if not curve.sizes:
        _nothing(axes)
        return figure
    axes.fill_between(curve.sizes, curve.low, curve.high, color=ORANGE, alpha=0.3, linewidth=0)
    axes.plot(
        curve.sizes, curve.chance, color=ORANGE, linewidth=2, linestyle="--", label="random order, mean and range"
    )
    axes.plot(curve.sizes, curve.order, color=BLUE, linewidth=2.4, label="order of annotation")
    if selection.waiting:
        axes.axvline(selection.standing, color="black", linewidth=1, linestyle=":", label="slates that stand")
    axes.set_xlabel("slates, from the first")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("mean cosine of a prompt with\nthe nearest prompt that had its turn")
    axes.grid(color="#E4E4E4")
    axes.legend(loc="lower right", frameon=False)
    return figure


def as_json(selection: Selection, *, dry_run: bool) -> dict[str, Any]:
    """What `annot select --json` prints."""
    return {
        "dry_run": dry_run,
        "new": [asdict(slate) for slate in selection.slates],
        "standing": selection.standing,
        "waiting": selection.waiting,
        "answers": _answer_counts(selection),
        "prompts_dropped": [
            {"id": outcome.prompt_id, "reason": outcome.dropped, "usable": outcome.usable}
            for outcome in selection.prompts
            if outcome.dropped
        ],
        "distances": asdict(selection.spread) if selection.spread else None,
        "thresholds": selection.thresholds.model_dump(),
        "encoder": selection.encoder,
    }
