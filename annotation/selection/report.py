"""Output of `annot select`: counts and reasons for the terminal, one plot for the team."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.files import write_whole
from annotation.screen import counted, show_remedies, table
from annotation.selection.outcome import BROKEN, FEWEST, NEAR_DUPLICATE, OFF_TOPIC, PICTURES, TOO_SHORT, WRONG_LANGUAGE
from annotation.tasks.ranking.slates import DESCRIPTION

if TYPE_CHECKING:
    from annotation.selection.outcome import PromptOutcome, Selection

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
BLUE, SKY, RED = "#0072B2", "#56B4E9", "#D55E00"

LONGEST_LIST = 14
"""Topics are free text: beyond so many, the smallest are shown as one."""

ON_SLATE, BEHIND = "on a slate", "in the cluster of one on a slate"
WAITS, NO_SLATE = "usable, its prompt waits for another run", "usable, but too few beside it"

REMEDIES = {
    TOO_SHORT: "lower select.min_chars in annot.toml if they are answers.",
    BROKEN: "save their file as UTF-8 and bring them in anew; what a model made of nonsense stays out.",
    WRONG_LANGUAGE: "if they are in the right one, their prompts are in the wrong one; bring these in anew with `annot "
    "prompts add FILE --language CODE` (pictures: `annot images add`, the same), and the answers with `annot draft "
    "--from FILE` and a column language.",
    OFF_TOPIC: "lower select.off_topic in annot.toml if they answer the prompt.",
    NEAR_DUPLICATE: "raise select.near_duplicate in annot.toml if they say different things.",
}
"""What helps against a reason for leaving out an answer."""


def show(selection: Selection) -> None:
    """Print what was decided and why."""
    size = selection.thresholds.slate
    parts = [
        f"{counted(len(selection.slates), 'new slate')} of {size} answers; {selection.standing} stand in "
        f"{f'round {selection.round}' if selection.round > 1 else 'all'}"
    ]
    if selection.waiting:
        parts.append(f"{counted(selection.waiting, 'more prompt is', 'more prompts are')} ready for another run")
    print("; ".join(parts) + ".")
    answers = _answer_counts(selection)
    total = sum(answers.values())
    table(
        "Answers",
        ("what became of them", "answers", "share"),
        [(what, count, f"{count / total:.1%}") for what, count in answers.items() if count],
    )
    show_remedies((what for what, count in answers.items() if count), REMEDIES)
    for title, of in _groupings(selection):
        counts = prompt_counts(selection.prompts, of)
        owed = any(name in selection.targets for name in counts)
        table(
            "",
            (title.lower(), "prompts", "with a slate", "waiting", "too few answers", *(["owed"] if owed else [])),
            [(name, sum(row), *row, *([selection.targets.get(name)] if owed else [])) for name, row in counts.items()],
        )
    for language, pictures in selection.few_pictures.items():
        print(
            f"Which descriptions would fit any picture is not told in {language}: {counted(pictures, 'picture')} with "
            f"descriptions, and it takes {FEWEST}."
        )
    if selection.long:
        print(
            f"{counted(selection.long, 'answer is', 'answers are')} longer than the encoder reads at once: read in "
            "parts, to the end."
        )
    if selection.swapped:
        print(
            f"{counted(selection.swapped, 'prompt has', 'prompts have')} too many answers to try every subset; "
            "theirs were improved by swaps "
            "until none helped."
        )


def nothing_new(selection: Selection) -> str:
    """One line for a run that added no slate."""
    few = sum(bool(outcome.dropped) for outcome in selection.prompts)
    reason = f"; {counted(few, 'prompt has', 'prompts have')} too few usable answers" if few else ""
    return f"Nothing new to select: {counted(selection.standing, 'slate stands', 'slates stand')}{reason}."


def _answer_counts(selection: Selection) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    reasons = {one["values"].as_py(): one["counts"].as_py() for one in pc.value_counts(selection.table["dropped"])}
    kept = selection.table.filter(pc.equal(selection.table["dropped"], ""))

    def count(prompts: Iterable[PromptOutcome], medoid: tuple[bool, ...] = (True, False)) -> int:
        of = kept.filter(pc.is_in(kept["prompt_id"], pa.array([outcome.prompt_id for outcome in prompts], pa.string())))
        return int(pc.sum(pc.is_in(of["medoid"], pa.array(medoid))).as_py() or 0)

    stands = [outcome for outcome in selection.prompts if outcome.slate_id]
    few = [outcome for outcome in selection.prompts if outcome.dropped]
    return {
        ON_SLATE: count(stands, (True,)),
        BEHIND: count(stands, (False,)),
        WAITS: count(outcome for outcome in selection.prompts if not outcome.slate_id and not outcome.dropped),
        NO_SLATE: count(few),
        **{reason: number for reason, number in sorted(reasons.items(), key=lambda one: -one[1]) if reason},
    }


def _groupings(selection: Selection) -> list[tuple[str, Callable[[PromptOutcome], str]]]:
    groupings: list[tuple[str, Callable[[PromptOutcome], str]]] = [("Country", _country)]
    if len({outcome.topic for outcome in selection.prompts}) > 1:
        groupings.append(("Topic", lambda outcome: outcome.topic))
    return groupings


def _country(outcome: PromptOutcome) -> str:
    return f"{outcome.country} · {PICTURES}" if outcome.task == DESCRIPTION else outcome.country


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


def draw_prompts(selection: Selection, path: Path) -> None:
    """Draw prompts with a slate, waiting and dropped, by country and topic, beside what the quotas ask for."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    groupings = [(title, prompt_counts(selection.prompts, of)) for title, of in _groupings(selection)]
    tallest = max(len(counts) for _, counts in groupings)
    kinds = (
        ("with a slate", BLUE, "white"),
        ("ready, waiting", SKY, "black"),
        ("too few usable answers", RED, "white"),
    )
    with rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        size = (6.2 * len(groupings) + 0.5, 1.9 + 0.38 * tallest)
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        for axes, (title, counts) in zip(figure.subplots(1, len(groupings), squeeze=False)[0], groupings, strict=True):
            names, left = list(counts), [0] * len(counts)
            for (kind, colour, ink), values in zip(kinds, zip(*counts.values(), strict=True), strict=True):
                bars = axes.barh(names, values, left=left, color=colour, height=0.7, label=kind)
                axes.bar_label(bars, [str(value or "") for value in values], label_type="center", color=ink)
                left = [before + value for before, value in zip(left, values, strict=True)]
            for place, name in enumerate(names):
                if target := selection.targets.get(name):
                    axes.plot(target, place - 0.45, "v", color="black", markersize=8, zorder=5, clip_on=False)
            axes.set_axisbelow(True)
            axes.set_ylim(tallest - 0.4, -0.75)
            axes.set_xlabel("prompts")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlim(0, 1.05 * max(axes.get_xlim()[1], 1))
            axes.grid(axis="x", color="#E4E4E4")
            axes.set_title(f"Prompts by {title.lower()}", loc="left", fontweight="bold", fontsize=12, pad=12)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        handles.append(Line2D([], [], color="black", marker="v", markersize=8, linestyle="none"))
        figure.legend(handles, [*labels, "slates owed (quota)"], loc="outside lower center", ncols=4, frameon=False)
        write_whole(path, lambda beside: figure.savefig(beside, format="png", metadata={"Software": None}))


def as_json(selection: Selection, *, dry_run: bool) -> dict[str, Any]:
    """What `annot select --json` prints."""
    return {
        "dry_run": dry_run,
        "new": [asdict(slate) for slate in selection.slates],
        "standing": selection.standing,
        "waiting": selection.waiting,
        "answers": _answer_counts(selection),
        "long_answers": selection.long,
        "few_pictures": dict(selection.few_pictures),
        "prompts_dropped": [
            {"id": outcome.prompt_id, "reason": outcome.dropped, "usable": outcome.usable}
            for outcome in selection.prompts
            if outcome.dropped
        ],
        "thresholds": selection.thresholds.model_dump(),
        "encoder": selection.encoder,
    }
