"""What was measured of a run, and how scores of single answers become estimates, groups and a verdict. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from annotation.errors import TrainError
from train.gate import Gate, Judged, judge
from train.generation import Sample
from train.rankings import RankedSlate
from train.scores import AnswerScore
from train.settings import EvaluationSettings, Recipe
from train.statistics import Estimate, Floats, distinct_share, mean_over_prompts, places, repeated_share, signs, tau_b

METHOD = 1
"""Raised when the same run would be measured otherwise: what was measured before is then measured again."""

GROUPS = ("country", "language", "topic")


@dataclass(frozen=True, slots=True)
class SlateScore:
    """A held-out slate, measured. Votes are pairs of answers that one person told apart.

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
        tau: Kendall's tau-b of the rewards, mean over the people who told anything apart; 0 without any.
        people: How many told anything apart.
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
    people: int
    kl: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Group:
    """Held-out slates that have something in common.

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


@dataclass(frozen=True, slots=True)
class Writing:
    """What base and adapted model wrote to the same prompts.

    Attributes:
        answers: Per model.
        limit: Tokens after which an answer was cut off.
        tokens: Mean length in tokens: "base", "adapted", and "change", prompt by prompt.
        ended: Share of answers that ended within the limit; the same keys.
        repeated: Share of 4-grams of an answer that were in it before (seq-rep-4); the same keys.
        distinct: Different bigrams over all bigrams (distinct-2): "base" and "adapted".
        kl: KL(adapted || base) per token of the adapted model's own answers, in nats.
        kl_answer: The same per answer.
    """

    answers: int
    limit: int
    tokens: Mapping[str, Estimate]
    ended: Mapping[str, Estimate]
    repeated: Mapping[str, Estimate]
    distinct: Mapping[str, float]
    kl: Estimate
    kl_answer: Estimate


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and what it means for a release.

    Attributes:
        run: Name of the run.
        key: Hash of all that decides the result: the adapter, the base, the held-out slates, the settings.
        settings: How it was measured.
        groups: All slates first; then per kind of group, the worst first.
        kl: KL(adapted || base) per token of people's held-out answers, in nats.
        writing: What both models wrote; None where the settings ask for no answers.
        gate: Whether the run may be released.
        already: It was measured before, and nothing was done now.
    """

    run: str
    key: str
    settings: EvaluationSettings
    groups: tuple[Group, ...]
    kl: Estimate
    writing: Writing | None
    gate: Gate
    already: bool = False

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {
            "run": self.run,
            "gate": self.gate.verdict,
            "gate_reason": self.gate.reason,
            "gate_worst": self.gate.worst,
            "groups": [asdict(group) for group in self.groups],
            "kl_per_token": asdict(self.kl),
            "writing": asdict(self.writing) if self.writing else None,
            "settings": self.settings.model_dump(mode="json"),
            "method": METHOD,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Evaluation:
        """Read what `as_json` wrote, as something that was measured before."""

        def estimates(values: Mapping[str, Any]) -> dict[str, Any]:
            """A mapping whose inner mappings are estimates, or again such mappings."""
            return {key: _estimate(value) if isinstance(value, dict) else value for key, value in values.items()}

        return cls(
            told["run"],
            told["key"],
            EvaluationSettings.model_validate(told["settings"]),
            tuple(Group(**estimates(group)) for group in told["groups"]),
            Estimate(**told["kl_per_token"]),
            Writing(**estimates(told["writing"])) if told["writing"] else None,
            Gate(told["gate"], told["gate_reason"], told["gate_worst"]),
            already=True,
        )


def _estimate(value: dict[str, Any]) -> Any:
    if "low" in value:
        return Estimate(**value)
    return {key: _estimate(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt, and what both models wrote to it.

    Attributes:
        prompt: Its key.
        country: Of the slate, or "".
        base: What the base wrote.
        adapted: What the adapted model wrote.
        base_text: The same as text.
        adapted_text: The same as text.
        score: What both models think of the adapted model's answer.
    """

    prompt: str
    country: str
    base: Sample
    adapted: Sample
    base_text: str
    adapted_text: str
    score: AnswerScore


def score_slate(slate: RankedSlate, answers: Sequence[AnswerScore], beta: float) -> SlateScore:
    """Compare what people said with three orders of the answers: by reward, and by likelihood before and after."""
    rewards = beta * np.array([answer.adapted - answer.base for answer in answers])
    before = np.array([answer.base / answer.tokens for answer in answers])
    after = np.array([answer.adapted / answer.tokens for answer in answers])
    size = len(answers)
    right = dict.fromkeys(("rewards", "before", "after"), 0.0)
    votes = tau_sum = 0.0
    people = 0
    ahead = np.zeros((size, size))  # votes for row over column
    for ranking in slate.rankings:
        said = places(ranking.tiers, size)
        ranked = np.flatnonzero(~np.isnan(said))
        told = signs(said[ranked])
        for name, order in (("rewards", rewards), ("before", before), ("after", after)):
            right[name] += ranking.people * _agreed(told, signs(order[ranked]))
        votes += ranking.people * float(np.abs(told).sum())
        if told.any():
            tau = tau_b(rewards[ranked], said[ranked])
            # Rewards that are all the same order nothing: no agreement, rather than nothing to say.
            tau_sum, people = tau_sum + ranking.people * (0.0 if math.isnan(tau) else tau), people + ranking.people
        ahead += ranking.people * (said[:, None] > said[None, :])
    return SlateScore(
        slate.id,
        slate.prompt_key,
        slate.country,
        slate.language,
        slate.topic,
        tuple(float(reward) for reward in rewards),
        votes,
        right["rewards"],
        right["before"],
        right["after"],
        float(np.triu(np.maximum(ahead, ahead.T), 1).sum()),
        tau_sum / max(people, 1),
        people,
        sum(answer.kl for answer in answers),
        sum(answer.tokens for answer in answers),
    )


def _agreed(told: Floats, found: Floats) -> float:
    return float(((told != 0) * ((told == found) + 0.5 * (found == 0))).sum())


def summarise(
    run: str, key: str, recipe: Recipe, scores: Sequence[SlateScore], samples: Sequence[Answered]
) -> Evaluation:
    """Estimates, groups and the gate."""
    wanted, seed = recipe.evaluation, recipe.run.seed
    voted = [score for score in scores if score.votes]
    if not voted:
        raise TrainError(f"{run}: nobody told any two held-out answers apart, so no ranking can be measured.")
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
    judged = [group for group in groups if group.by in wanted.gate_by] or groups[:1]
    gate = judge(
        (Judged(f"{group.by} {group.name}".strip(), group.accuracy.low, group.prompts) for group in judged),
        least_accuracy=wanted.gate_accuracy,
        least_prompts=wanted.gate_prompts,
    )
    kl = np.array([score.kl / score.tokens for score in scores])
    tokens = np.array([score.tokens for score in scores], dtype=float)
    return Evaluation(
        run,
        key,
        wanted,
        tuple(replace(group, verdict=_verdict(group, wanted)) if group in judged else group for group in groups),
        mean_over_prompts(kl, [score.prompt for score in scores], tokens, seed=seed),
        _writing(samples, wanted, seed) if samples else None,
        gate,
    )


def _group(by: str, name: str, scores: Sequence[SlateScore], seed: int) -> Group:
    """Estimates of slates that were voted on, one at least."""
    prompts = [score.prompt for score in scores]
    votes = np.array([score.votes for score in scores])

    def accuracy(rights: Iterable[float]) -> Estimate:
        return mean_over_prompts(np.array(list(rights)) / votes, prompts, votes, seed=seed)

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
        ),
        accuracy(score.right_before for score in scores),
        accuracy(score.right_after for score in scores),
        "",
    )


def _verdict(group: Group, wanted: EvaluationSettings) -> str:
    if group.prompts < wanted.gate_prompts:
        return "too few to tell"
    return "passed" if group.accuracy.low > wanted.gate_accuracy else "failed"


def _writing(samples: Sequence[Answered], wanted: EvaluationSettings, seed: int) -> Writing:
    prompts = [sample.prompt for sample in samples]

    def mean(values: Sequence[float], weights: Floats | None = None) -> Estimate:
        return mean_over_prompts(np.array(values, dtype=float), prompts, weights, seed=seed)

    def both(measure: Callable[[Sample], float]) -> dict[str, Estimate]:
        base, adapted = ([measure(getattr(sample, who)) for sample in samples] for who in ("base", "adapted"))
        change = [after - before for before, after in zip(base, adapted, strict=True)]
        return {"base": mean(base), "adapted": mean(adapted), "change": mean(change)}

    tokens = np.array([sample.score.tokens for sample in samples], dtype=float)
    kl = np.array([sample.score.kl for sample in samples])
    return Writing(
        len(samples),
        wanted.max_new_tokens,
        both(lambda sample: len(sample.tokens)),
        both(lambda sample: float(sample.ended)),
        both(lambda sample: repeated_share(sample.tokens)),
        {who: distinct_share(getattr(sample, who).tokens for sample in samples) for who in ("base", "adapted")},
        mean(list(kl / tokens), tokens),
        mean(list(kl)),
    )


@dataclass(frozen=True, slots=True)
class Versus:
    """One run minus another on the slates that both kept out of training, slate by slate.

    Attributes:
        group: "all" or for example "country MX".
        slates: How many.
        accuracy: Difference of the ranking accuracies.
        tau: Difference of Kendall's tau-b.
    """

    group: str
    slates: int
    accuracy: Estimate
    tau: Estimate


def versus(ours: Sequence[SlateScore], theirs: Sequence[SlateScore], *, seed: int = 0) -> tuple[Versus, ...]:
    """Compare two runs slate by slate (a paired bootstrap over prompts); the same slates in the same order."""
    names: dict[str, list[int]] = {"all": list(range(len(ours)))}
    for by in ("country", "language"):
        for index, score in enumerate(ours):
            if name := getattr(score, by):
                names.setdefault(f"{by} {name}", []).append(index)
    found = []
    for group, chosen in names.items():
        prompts = [ours[i].prompt for i in chosen]
        votes, people = (np.array([getattr(ours[i], what) for i in chosen], float) for what in ("votes", "people"))
        right, tau = (
            np.array([getattr(ours[i], what) - getattr(theirs[i], what) for i in chosen]) for what in ("right", "tau")
        )
        found.append(
            Versus(
                group,
                len(chosen),
                mean_over_prompts(right / votes, prompts, votes, seed=seed),
                mean_over_prompts(tau, prompts, people, seed=seed),
            )
        )
    return (found[0], *sorted(found[1:], key=lambda one: (one.group.split()[0], one.accuracy.value)))
