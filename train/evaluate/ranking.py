"""Ranking accuracy on held-out slates: how well the implicit reward orders answers as people do, group by group."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from train.data.slates import RankedSlate
from train.evaluate.scores import AnswerScore
from train.statistics import Estimate, Floats, mean_over_prompts, places, signs, tau_b

GROUPS = ("country", "language", "topic")


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
        people: How many prefer any.
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


def score_slate(slate: RankedSlate, answers: Sequence[AnswerScore], beta: float) -> SlateScore:
    """Compare people's rankings with three orders of the answers: by reward, and by likelihood before and after."""
    rewards = beta * np.array([answer.adapted - answer.base for answer in answers])
    before = np.array([answer.base / answer.tokens for answer in answers])
    after = np.array([answer.adapted / answer.tokens for answer in answers])
    size = len(answers)
    right = dict.fromkeys(("rewards", "before", "after"), 0.0)
    count = tau_sum = 0.0
    people = 0
    ahead = np.zeros((size, size))  # votes for row over column
    for ranking in slate.rankings:
        place = places(ranking.tiers, size)
        ranked = np.flatnonzero(~np.isnan(place))
        votes = signs(place[ranked])
        for name, order in (("rewards", rewards), ("before", before), ("after", after)):
            right[name] += ranking.people * _agreement(votes, signs(order[ranked]))
        count += ranking.people * float(np.abs(votes).sum())
        if votes.any():
            tau = tau_b(rewards[ranked], place[ranked])
            # Rewards that are all the same order nothing: no agreement, rather than nothing to say.
            tau_sum, people = tau_sum + ranking.people * (0.0 if math.isnan(tau) else tau), people + ranking.people
        ahead += ranking.people * (place[:, None] > place[None, :])
    return SlateScore(
        slate.id,
        slate.prompt_key,
        slate.country,
        slate.language,
        slate.topic,
        tuple(float(reward) for reward in rewards),
        count,
        right["rewards"],
        right["before"],
        right["after"],
        float(np.triu(np.maximum(ahead, ahead.T), 1).sum()),
        tau_sum / max(people, 1),
        people,
        sum(answer.kl for answer in answers),
        sum(answer.tokens for answer in answers),
    )


def _agreement(votes: Floats, order: Floats) -> float:
    return float(((votes != 0) * ((votes == order) + 0.5 * (order == 0))).sum())


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
        f"{_counted(everything.slates, 'slate')} of {_counted(everything.prompts, 'prompt')}"
    )


def accuracy_json(groups: Sequence[Group]) -> dict[str, Any]:
    """As in DONE: by mean log-prob per token before and after, by implicit reward after; of all, and per country."""

    def of(group: Group) -> dict[str, Any]:
        likelier = {"before": asdict(group.likelier_before), "after": asdict(group.likelier_after)}
        return {"per_token": likelier, "implicit_reward": {"after": asdict(group.accuracy)}}

    return {**of(groups[0]), "by_country": {group.name: of(group) for group in groups if group.by == "country"}}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
