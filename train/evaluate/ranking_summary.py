"""Ranking accuracy on held-out slates by group: estimates, verdicts, tables and the plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.errors import TrainError
from annotation.screen import counted
from train.evaluate.gate import Gate, GroupResult, judge
from train.evaluate.measure import GREY, MARKS, Table, nats, save_figure
from train.settings import EvaluationSettings
from train.statistics import FEWEST_PROMPTS, Estimate, mean_over_prompts

GROUPS = ("country", "language", "topic")


ROWS_OF_PLOT = 40
"""Most groups in the plot; the table has them all."""


@dataclass(frozen=True, slots=True)
class SlateScore:
    """Measurements of a held-out slate. Votes are pairs of answers of which a person prefers one.

    Attributes:
        id: Of the slate.
        prompt: Key of what is asked; the bootstrap draws these.
        country: Of the people, or "".
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        rewards: Implicit reward per answer.
        votes: How many.
        right: Of them, those that the rewards agree with; a draw counts half.
        right_before: Of them, those that the base's mean log-prob per token agrees with.
        right_after: The same for the adapted model.
        most: Of them, those that agree with the majority on their pair: no order could reach more, since people differ.
        tau: Kendall's tau-b of the rewards, mean over the people who prefer any answer; 0 without any.
        people: How many prefer any, each by the weight of their votes.
        kl: KL(adapted || base) summed over the tokens of all answers, in nats.
        tokens: How many.
    """

    id: str
    prompt: str
    country: str
    language: str
    topic: str
    rewards: tuple[float, ...]
    votes: float
    right: float
    right_before: float
    right_after: float
    most: float
    tau: float
    people: float
    kl: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Group:
    """Estimates for held-out slates of one country, language or topic, or for all.

    Attributes:
        by: "all", "country", "language" or "topic".
        name: Which.
        slates: How many.
        prompts: Prompts behind them.
        accuracy: Ranking accuracy by implicit reward.
        most: The accuracy that the best possible order would have.
        tau: Kendall's tau-b with each person's ranking.
        likelier_before: Ranking accuracy by the base's mean log-prob per token.
        likelier_after: The same for the adapted model.
        verdict: "passed" or "failed" where the group is judged, "too few to tell" where it would be if it were larger.
    """

    by: str
    name: str
    slates: int
    prompts: int
    accuracy: Estimate
    most: float
    tau: Estimate
    likelier_before: Estimate
    likelier_after: Estimate
    verdict: str


def rank_groups(scores: Sequence[SlateScore], *, seed: int) -> tuple[Group, ...]:
    """Estimates for all slates, and then per kind of group, the worst group first; without verdicts.

    Args:
        scores: Of slates, on one of which somebody prefers an answer at least.
        seed: Of the bootstrap.
    """
    voted = [score for score in scores if score.votes]
    groups = [_group("all", "", voted, seed)]
    for by in GROUPS:
        named: dict[str, list[SlateScore]] = defaultdict(list)
        for score in voted:
            if name := getattr(score, by):
                named[name].append(score)
        groups += sorted(
            (_group(by, name, theirs, seed) for name, theirs in named.items()),
            key=lambda group: (group.accuracy.value, group.name),
        )
    return tuple(groups)


def _group(by: str, name: str, scores: Sequence[SlateScore], seed: int) -> Group:
    """Estimates of slates that were voted on, one at least."""
    prompts = [score.prompt for score in scores]
    votes = np.array([score.votes for score in scores])

    def accuracy(rights: Iterable[float]) -> Estimate:
        return mean_over_prompts(np.array(list(rights)) / votes, prompts, votes, seed=seed, within=(0, 1))

    return Group(
        by,
        name,
        len(scores),
        len(set(prompts)),
        accuracy(score.right for score in scores),
        sum(score.most for score in scores) / float(votes.sum()),
        mean_over_prompts(
            np.array([score.tau for score in scores]),
            prompts,
            np.array([score.people for score in scores], dtype=float),
            seed=seed,
            within=(-1, 1),
        ),
        accuracy(score.right_before for score in scores),
        accuracy(score.right_after for score in scores),
        "",
    )


def accuracy_sentence(groups: Sequence[Group]) -> str:
    """One line about all slates: the model's own likelihood before and after, and what DPO itself goes by."""
    everything = groups[0]
    before, after = everything.likelier_before, everything.likelier_after
    return (
        f"ranking accuracy {before.value:.1%} before, {after.value:.1%} after (mean log-prob per token), "
        f"{everything.accuracy.value:.1%} by implicit reward of at most {everything.most:.1%}, over "
        f"{counted(everything.slates, 'slate')} of {counted(everything.prompts, 'prompt')}"
    )


def accuracy_json(groups: Sequence[Group]) -> dict[str, Any]:
    """As in DONE: by mean log-prob per token before and after, by implicit reward after; of all, and per country."""

    def of(group: Group) -> dict[str, Any]:
        likelier = {"before": asdict(group.likelier_before), "after": asdict(group.likelier_after)}
        return {"per_token": likelier, "implicit_reward": {"after": asdict(group.accuracy)}}

    return {**of(groups[0]), "by_country": {group.name: of(group) for group in groups if group.by == "country"}}


@dataclass(frozen=True)
class RankingSummary:
    """Ranking of held-out slates, by group, and the distance from the base on their answers.

    Attributes:
        groups: All slates first; then per kind of group, the worst first.
        kl: KL(adapted || base) per token of people's held-out answers, in nats.
    """

    groups: tuple[Group, ...]
    kl: Estimate

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {"groups": [asdict(group) for group in self.groups], "kl_per_token": asdict(self.kl)}

    def judged(self, wanted: EvaluationSettings) -> Self:
        """The same numbers with the verdicts that these settings ask for."""
        judged = [group for group in self.groups if group.by in wanted.gate_by] or self.groups[:1]
        verdicts = (_verdict(group, wanted) if group in judged else "" for group in self.groups)
        groups = zip(self.groups, verdicts, strict=True)
        return replace(self, groups=tuple(replace(group, verdict=verdict) for group, verdict in groups))

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """Draw the groups anew."""
        draw_groups(folder / self.plots()[0], self, wanted.gate_accuracy)

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:
        """The worst group that is large enough decides."""
        judged = [group for group in self.groups if group.verdict]
        results = [GroupResult(_name(group), group.accuracy.low, group.prompts) for group in judged]
        return [judge(results, least=wanted.gate_accuracy, least_items=wanted.gate_prompts)]

    def warnings(self, wanted: EvaluationSettings) -> list[str]:
        """Groups that are too small."""
        small = ", ".join(_name(group) for group in self.groups if group.verdict == "too few to tell")
        about = f"fewer than {wanted.gate_prompts} held-out prompts, too few to tell; such a group neither passes nor "
        return [f"{small}: {about}fails."] if small else []

    def tables(self) -> list[Table]:
        """The groups, and the distance from the base."""
        kl = [("KL(adapted || base), exact over the whole vocabulary", nats(self.kl))]
        return [
            Table("on what it has not seen", GROUP_COLUMNS, group_rows(self.groups), HOW_TO_READ),
            Table("", ("on people's held-out answers", "nats a token"), kl),
        ]

    def plots(self) -> list[str]:
        """Ranking accuracy by group."""
        return ["evaluation_groups.png"]


def summarise(scores: Sequence[SlateScore], wanted: EvaluationSettings, *, seed: int) -> RankingSummary:
    """Estimates from the scores of all held-out slates, and which groups pass.

    Raises:
        TrainError: On no slate anybody prefers one answer to another.
    """
    if not any(score.votes for score in scores):
        raise TrainError("the held-out slates: nobody told any two answers apart, so no ranking can be measured.")
    groups = rank_groups(scores, seed=seed)
    tokens = np.array([score.tokens for score in scores], dtype=float)
    kl = np.array([score.kl for score in scores]) / tokens
    distance = mean_over_prompts(kl, [score.prompt for score in scores], tokens, seed=seed)
    return RankingSummary(groups, distance).judged(wanted)


def _verdict(group: Group, wanted: EvaluationSettings) -> str:
    if group.prompts < wanted.gate_prompts:
        return "too few to tell"
    return "passed" if group.accuracy.low > wanted.gate_accuracy else "failed"


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


def draw_groups(path: Path, found: RankingSummary, line: float) -> Path:
    """Ranking accuracy and tau-b of every group, the worst on top, with intervals where the tables have them."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    groups = found.groups[:ROWS_OF_PLOT]
    figure = Figure(figsize=(9.0, 1.6 + 0.32 * len(groups)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for axes, chance in ((left, line), (right, 0.0)):
        axes.axvline(chance, color="#888888", linewidth=1, linestyle="--")
        axes.grid(axis="x", alpha=0.3)
    for row, group in enumerate(groups):
        colour = MARKS.get(group.verdict, GREY)
        for axes, estimate in ((left, group.accuracy), (right, group.tau)):
            if estimate.prompts >= FEWEST_PROMPTS:
                axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2)
            axes.plot(estimate.value, row, "o", color=colour, markersize=5)
        left.plot(group.most, row, "|", color="#222222", markersize=9)
    left.set_yticks(range(len(groups)), [f"{_name(group)} ({group.prompts})" for group in groups])
    left.invert_yaxis()
    left.set(xlabel="ranking accuracy on held-out votes")
    right.set(xlabel="Kendall's tau-b")
    used = sorted({group.verdict for group in groups})
    keys = [Line2D([], [], color=MARKS.get(mark, GREY), marker="o", label=mark or "not judged") for mark in used]
    keys += [
        Line2D([], [], color="#222222", marker="|", linestyle="", label="at most (people differ)"),
        Line2D([], [], color="#888888", linestyle="--", label="gate; no agreement"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8, frameon=False)
    return save_figure(path, figure)


def _name(group: Group) -> str:
    return "all" if group.by == "all" else f"{group.by} {group.name}"
