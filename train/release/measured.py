"""What was measured, as a model card says it: in short, the gate, and the tables and plots of every measure."""

from __future__ import annotations

from collections.abc import Iterator

from annotation.text.locales import name_of_country
from train.evaluate.bias_groups import CANNOT_TELL, TOO_FEW
from train.evaluate.evaluation import Evaluation
from train.evaluate.gate import EVALUATION
from train.evaluate.measure import Summary, Table
from train.release.figures import Figures
from train.release.loading import sees_pictures
from train.statistics import FEWEST_PROMPTS

REPORT = "report.md"


def evaluation(fig: Figures, found: Evaluation | None) -> list[str]:
    lines = ["## Evaluation", ""]
    if not found and fig.value(EVALUATION):
        return [*lines, f"Measured by another version of annot. Gate: {fig.text(EVALUATION, 'gate_reason')}.", ""]
    if not found:
        return [
            *lines,
            f"Not measured by `annot evaluate`. At the end of its training: {fig.text('DONE', 'summary')}.",
            "",
        ]
    asked = [fig.number(EVALUATION, "settings", key) for key in ("gate_prompts", "gate_accuracy")]
    lines += [
        *in_short(fig, found),
        f"**Gate: {found.gate.verdict}**: {fig.text(EVALUATION, 'gate_reason')}. It asks every group of at least "
        f"{asked[0]} held-out prompts for an accuracy whose interval begins above {asked[1]}; smaller groups are shown "
        "and not judged.",
        "",
        *bias_by_country(fig, found),
    ]
    for name, summary in found.summaries.items():
        for shown in measured_tables(fig, name, summary):
            lines += [*([f"### {shown.title}", ""] if shown.title else []), *shown.markdown()]
        there = (plot for plot in summary.plots() if (fig.run / plot).exists())
        lines += [*(f"![{plot.rpartition('.')[0]}]({plot})" for plot in there), ""]
    return lines


def measured_tables(fig: Figures, name: str, summary: Summary) -> Iterator[Table]:
    """Tables of a measure, with their figures."""
    for shown in summary.tables():
        title = shown.title[:1].upper() + shown.title[1:]
        rows = [fig.row(row, EVALUATION, "measures", name, text=REPORT) for row in shown.rows]
        note = fig.quoted(shown.note, REPORT) if shown.note else ""
        yield Table(fig.quoted(title, REPORT) if title else "", shown.columns, rows, note)


def in_short(fig: Figures, found: Evaluation) -> list[str]:
    """The one number that a reader should take along."""
    if "ranking" not in found.summaries:
        return []
    at = (EVALUATION, "measures", "ranking", "groups", 0, "accuracy")
    value, low, high = (fig.number(*at, key, form=".1%") for key in ("value", "low", "high"))
    answers, prompts = ("descriptions", "pictures") if sees_pictures(fig) else ("answers", "prompts")
    few = fig.value(*at, "prompts") < FEWEST_PROMPTS
    sure = (
        f"from {fig.number(*at, 'prompts')} {prompts}: too few for an interval" if few else f"interval {low} to {high}"
    )
    return [
        f"In short: of the choices between two {answers} that people made on {prompts} which it was not trained on, it "
        f"agrees with {value} ({sure}); a coin would agree with half.",
        "",
        *_sight(fig, found),
    ]


def _sight(fig: Figures, found: Evaluation) -> list[str]:
    """Whether it looks at pictures, and how much of people's terms it names."""
    lines = []
    if "looks" in found.summaries:
        at = (EVALUATION, "measures", "looks", "groups", 0)
        right, other = (fig.number(*at, side, "value", form=".1%") for side in ("right", "other"))
        lines.append(
            f"- **Does it look at the picture?** Verdict: {fig.text(*at, 'verdict')}. It agrees with {right} "
            f"of the choices beside the right picture, and with {other} beside another one."
        )
    if fig.value(EVALUATION, "measures", "writing", "terms"):
        terms = (EVALUATION, "measures", "writing", "terms", "groups", 0)
        base, adapted = (fig.number(*terms, side, "value", form=".1%") for side in ("base", "adapted"))
        lines.append(
            f"- Its descriptions name {adapted} of the terms that people used for what is on a picture; those of the "
            f"base name {base}."
        )
    return [*lines, ""] if lines else []


def bias_by_country(fig: Figures, found: Evaluation) -> list[str]:
    """A line for each country whose stereotypes were measured, of others and of its own."""
    lines = []
    for number, group in enumerate(fig.value(EVALUATION, "measures", "bias", "groups") or () if found else ()):
        at = (EVALUATION, "measures", "bias", "groups", number)
        whose = "their own" if group["in_group"] else "others"
        told = f"too few ({fig.number(*at, 'associations')}) to tell"
        if group["sides"]["adapted"]["verdict"] == CANNOT_TELL:
            told = "it cannot tell the groups apart, so nothing is known of its bias"
        elif group["sides"]["adapted"]["verdict"] != TOO_FEW:
            plain, beyond = ((*at, "sides", "adapted", key) for key in ("share", "beyond"))
            value, low, high = (fig.number(*beyond, key, form=".1%") for key in ("value", "low", "high"))
            base = "cannot tell them apart"
            if group["sides"]["base"]["verdict"] != CANNOT_TELL:
                base = fig.number(*at, "sides", "base", "beyond", "value", form=".1%")
            told = (
                f"it finds {fig.number(*plain, 'value', form='.1%')} of {fig.number(*at, 'associations')} likelier of "
                f"the group than of a control group, and {value} (interval {low} to {high}) by more than what is "
                f"harmless, the base {base}; half is neither"
            )
        country = name_of_country(group["country"], "en")
        lines.append(f"- Stereotypes that people of {country} know of {whose}: {told}.")
    return [*lines, ""] if lines else []
