"""Accuracy on exam questions by group: estimates, verdicts, tables and the plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.screen import counted
from train.evaluate.gate import EXAMS, Gate, GroupResult, judge
from train.evaluate.harness import PLAIN
from train.evaluate.measure import GREY, MARKS, Table, save_figure
from train.settings import EvaluationSettings
from train.statistics import Estimate, chance_of_as_many, fewest_for, mean_over_prompts, paired_difference

GROUPS = ("country", "language", "exam", "category", "regional_feature")


OPTIONS = 4
"""INCLUDE's questions have as many options."""


LEVEL = 0.05
"""Of the binomial test whether the base knows more than guessing."""


AT_CHANCE = "base at chance"


FRESH = "country, not in training"
"""Kind of group: questions of a country that the run was not trained on, where it was trained on others of it."""


@dataclass(frozen=True, slots=True)
class ExamScore:
    """Answers of both models to a question, asked in one way.

    Attributes:
        id: Of the question.
        way: PLAIN or CHAT.
        country: ISO 3166-1 alpha-2.
        language: ISO 639-1.
        exam: Name of the exam.
        category: Subject, in English.
        regional_feature: INCLUDE's kind of regional knowledge, or "".
        seen: It stands in the run's training texts.
        answer: Place of the right option, 0 first.
        base: Log-probs of the letters under the base.
        adapted: The same with the adapter.
        right_before: 1.0 where the base's likeliest letter is right, else 0.0: as the harness says.
        right_after: The same with the adapter.
    """

    id: str
    way: str
    country: str
    language: str
    exam: str
    category: str
    regional_feature: str
    seen: bool
    answer: int
    base: tuple[float, ...]
    adapted: tuple[float, ...]
    right_before: float
    right_after: float


@dataclass(frozen=True, slots=True)
class ExamGroup:
    """Accuracy on the questions of a group, asked in one way.

    Attributes:
        way: PLAIN or CHAT.
        by: "all", "not in training" where some questions are, FRESH, or one of GROUPS.
        name: Which.
        questions: How many.
        base: Accuracy without the adapter.
        adapted: With it.
        change: Adapter - base, question by question.
        p_chance: Probability that guessing gives the base's accuracy or more.
        verdict: "passed" or "failed" where the gate judges it, AT_CHANCE or "too few to tell" where it would.
        seen: How many of the questions stand in the run's training texts.
    """

    way: str
    by: str
    name: str
    questions: int
    base: Estimate
    adapted: Estimate
    change: Estimate
    p_chance: float
    verdict: str = ""
    seen: int = 0

    @property
    def judged(self) -> bool:
        """Whether the gate looks at it: at a country's questions that were not trained on."""
        return self.by == FRESH or (self.by == "country" and self.seen in (0, self.questions))

    @property
    def fresh(self) -> int:
        """How many questions were not trained on."""
        return self.questions - self.seen

    @property
    def label(self) -> str:
        """For people."""
        if self.by == FRESH:
            return f"country {self.name}, not in training"
        return f"{self.by.replace('_', ' ')} {self.name}".strip()


COLUMNS = ("group", "questions", "chance", "base", "adapter", "adapter − base", "gate")


@dataclass(frozen=True)
class ExamSummary:
    """Accuracy by group and way of asking.

    Attributes:
        groups: Of each way all questions first; then per kind of group, the largest fall first.
        seen: Questions that stand in the run's training texts.
        harness: Version of lm-evaluation-harness.
    """

    groups: tuple[ExamGroup, ...]
    seen: int
    harness: str

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        groups = [asdict(group) for group in self.groups]
        return {"chance": 1 / OPTIONS, "seen": self.seen, "harness": self.harness, "groups": groups}

    def judged(self, wanted: EvaluationSettings) -> Self:
        """The same numbers with the verdicts that these settings ask for."""
        return replace(self, groups=with_verdicts(self.groups, wanted))

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """Draw accuracy by country anew."""
        draw_exams(folder / self.plots()[0], self, wanted)

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:
        """No country's accuracy may fall by `gate_exam_drop` or more, however it is asked."""
        if wanted.gate_exam_drop == "off":
            return []
        if not (judged := [group for group in self.groups if group.judged and group.verdict != AT_CHANCE]):
            return [
                Gate(
                    "undecided",
                    "on the exams of no country the base is above chance, so nothing "
                    'can be lost there; evaluation.gate_exam_drop = "off" leaves them out',
                    EXAMS,
                )
            ]
        gate = judge(
            [GroupResult(f"{EXAMS} of {g.label} ({g.way})", g.change.low, g.fresh) for g in judged],
            least=-wanted.gate_exam_drop,
            least_items=fewest_questions(wanted.gate_exam_drop, wanted),
            what="change of accuracy",
            items="exam questions that were not trained on" if self.seen else "exam questions",
            setting=f"evaluation.gate_exam_drop = {wanted.gate_exam_drop:g}",
        )
        return [replace(gate, worst=gate.worst or EXAMS)]

    def warnings(self, wanted: EvaluationSettings) -> list[str]:  # noqa: ARG002
        """Where the base knows no more than guessing; questions that were trained on."""
        sentences = []
        for way in dict.fromkeys(group.way for group in self.groups):
            weak = [
                f"{group.label} ({group.base.value:.1%} of {group.questions}, p = {group.p_chance:.2f})"
                for group in self.groups
                if group.way == way and group.by in ("all", "country") and group.p_chance > LEVEL
            ]
            if weak:
                sentences.append(
                    f"exams, {way}: the base is not above chance ({1 / OPTIONS:.0%}) for {', '.join(weak)}: "
                    "differences there mean nothing."
                )
        if self.seen:
            without = 'the line "not in training" is without, and only such questions are judged'
            if all(group.by != "not in training" for group in self.groups):
                without = "there are no others, so the numbers say what it was shown, and nothing is judged"
            sentences.append(
                f"{counted(self.seen, 'question')} of the exams {'stands' if self.seen == 1 else 'stand'} in the texts "
                f"that the run was trained on; {without}."
            )
        return sentences

    def tables(self) -> list[Table]:
        """One per way of asking."""
        ways = list(dict.fromkeys(group.way for group in self.groups))
        note = (
            "Share of right answers, the largest fall of each kind first; in brackets 95 % bootstrap intervals, those "
            "of adapter − base paired by question. Scored by lm-evaluation-harness "
            f"{self.harness} with INCLUDE's prompt; in the chat template the space before the letter is gone."
        )
        rows = {way: [_row(group) for group in self.groups if group.way == way] for way in ways}
        return [
            Table(f"exams, asked {asked_in(way)}", COLUMNS, rows[way], note if way == ways[-1] else "") for way in ways
        ]

    def plots(self) -> list[str]:
        """Accuracy by country."""
        return ["evaluation_exams.png"]


def asked_in(way: str) -> str:
    return "plainly" if way == PLAIN else f"in the {way}"


def _row(group: ExamGroup) -> tuple[str, ...]:
    before, after = (f"{one.value:.1%} {one.interval('.1f', 100)}" for one in (group.base, group.adapted))
    gate = group.verdict or "–"
    return group.label, str(group.questions), f"{1 / OPTIONS:.0%}", before, after, group.change.points, gate


def exam_groups(scores: Sequence[ExamScore], wanted: EvaluationSettings, *, seed: int) -> tuple[ExamGroup, ...]:
    """Estimates for all questions and by group, of each way of asking; one question at least."""
    groups: list[ExamGroup] = []
    for way in dict.fromkeys(score.way for score in scores):
        asked = [score for score in scores if score.way == way]
        groups.append(_group(way, "all", "", asked, seed))
        fresh = [score for score in asked if not score.seen]
        if 0 < len(fresh) < len(asked):
            groups.append(_group(way, "not in training", "", fresh, seed))
        for by in GROUPS:
            named: dict[str, list[ExamScore]] = defaultdict(list)
            for score in asked:
                if name := getattr(score, by):
                    named[name].append(score)
            found = [_group(way, by, name, theirs, seed) for name, theirs in named.items()]
            groups += sorted(found, key=lambda group: (group.change.value, group.name))
            if by == "country":
                partly = [group.name for group in found if not group.judged]
                found = [_group(way, FRESH, name, [s for s in named[name] if not s.seen], seed) for name in partly]
                groups += sorted(found, key=lambda group: (group.change.value, group.name))
    return with_verdicts(groups, wanted)


def with_verdicts(groups: Sequence[ExamGroup], wanted: EvaluationSettings) -> tuple[ExamGroup, ...]:
    """The groups with the verdicts that the settings ask for, whatever they had before."""
    drop, tests = wanted.gate_exam_drop, sum(group.judged for group in groups)
    return tuple(
        replace(group, verdict="" if drop == "off" or not group.judged else _verdict(group, drop, wanted, tests))
        for group in groups
    )


def fewest_questions(drop: float, wanted: EvaluationSettings) -> int:
    """Fewest questions of a country that is judged: with fewer, one that changes no answer at all would fail."""
    return max(wanted.gate_prompts, fewest_for(drop))


def _verdict(group: ExamGroup, drop: float, wanted: EvaluationSettings, tests: int) -> str:
    """Verdict on a country, one of so many that are tested.

    The level is shared among all of them (Bonferroni): of twenty bases that guess, one would be above chance by luck,
    and its adapter would be failed for losing what was never there.
    """
    if group.fresh < fewest_questions(drop, wanted):
        return "too few to tell"
    if group.p_chance > LEVEL / tests:
        return AT_CHANCE
    return "passed" if group.change.low > -drop else "failed"


def _group(way: str, by: str, name: str, scores: Sequence[ExamScore], seed: int) -> ExamGroup:
    ids = [score.id for score in scores]
    before, after = (np.array([getattr(s, which) for s in scores]) for which in ("right_before", "right_after"))
    return ExamGroup(
        way,
        by,
        name,
        len(scores),
        mean_over_prompts(before, ids, seed=seed, within=(0, 1)),
        mean_over_prompts(after, ids, seed=seed, within=(0, 1)),
        paired_difference(before, after, ids, seed=seed),
        chance_of_as_many(int(before.sum()), len(scores), 1 / OPTIONS),
        seen=sum(score.seen for score in scores),
    )


def draw_exams(path: Path, found: ExamSummary, wanted: EvaluationSettings) -> Path:
    """Accuracy of base and adapter by country, and how much it changed, with intervals and the chance line."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    ways = list(dict.fromkeys(group.way for group in found.groups))
    shown = {way: [g for g in found.groups if g.way == way and g.by in ("all", "country", FRESH)] for way in ways}
    names = [(group.by, group.name) for group in shown[ways[0]]]
    figure = Figure(figsize=(9.0, (1.0 + 0.45 * len(names)) * len(ways) + 0.5), layout="constrained")
    for row, (way, (left, right)) in enumerate(
        zip(
            ways,
            figure.subplots(len(ways), 2, sharey=True, sharex="col", squeeze=False, width_ratios=(3, 2)),
            strict=True,
        )
    ):
        left.axvline(1 / OPTIONS, color=GREY, linewidth=1, linestyle=":")
        right.axvline(0, color=GREY, linewidth=1)
        if wanted.gate_exam_drop != "off":
            right.axvline(-100 * wanted.gate_exam_drop, color=MARKS["failed"], linewidth=1, linestyle="--")
        for group in shown[way]:
            place = names.index((group.by, group.name))
            for estimate, colour, shift in ((group.base, GREY, -0.13), (group.adapted, MARKS[""], 0.13)):
                left.plot([estimate.low, estimate.high], [place + shift] * 2, color=colour, linewidth=2)
                left.plot(estimate.value, place + shift, "o", color=colour, markersize=5)
            colour, change = MARKS.get(group.verdict, GREY), group.change
            right.plot([100 * change.low, 100 * change.high], [place] * 2, color=colour, linewidth=2)
            right.plot(100 * change.value, place, "o", color=colour, markersize=5)
        labels = {(g.by, g.name): f"{g.label.removeprefix('country ')} ({g.questions})" for g in shown[way]}
        left.set_yticks(range(len(names)), [labels[name] for name in names])
        left.set(title=f"asked {asked_in(way)}", xlim=(0, 1))
        if row == 0:
            left.invert_yaxis()
        for axes in (left, right):
            axes.grid(axis="x", alpha=0.3)
    left.set(xlabel="share of right answers")
    right.set(xlabel="adapter − base, points")
    keys = [
        Line2D([], [], color=GREY, marker="o", label="base"),
        Line2D([], [], color=MARKS[""], marker="o", label="adapter"),
        Line2D([], [], color=GREY, linestyle=":", label="guessing"),
    ]
    if wanted.gate_exam_drop != "off":
        keys.append(Line2D([], [], color=MARKS["failed"], linestyle="--", label="gate"))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8, frameon=False)
    return save_figure(path, figure)
