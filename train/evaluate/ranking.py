"""Ranking accuracy on held-out slates: how well the implicit reward orders answers as people do, group by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from train.data.slates import RankedSlate
from train.evaluate.measure import Material
from train.evaluate.model import METHOD, AdaptedModel, Batches, hash_of
from train.evaluate.ranking_summary import Group, RankingSummary, SlateScore, summarise
from train.evaluate.scores import AnswerScore, EncodedAnswer, batches
from train.run_folder import write_rows
from train.statistics import Estimate, Floats, places, read_estimates, signs, tau_b

SLATES = "evaluation_slates.jsonl"
"""One line per held-out slate."""


def score_slate(slate: RankedSlate, answers: Sequence[AnswerScore], beta: float) -> SlateScore:
    """Compare people's rankings with three orders of the answers: by reward, and by likelihood before and after."""
    rewards = beta * np.array([answer.adapted - answer.base for answer in answers])
    before = np.array([answer.base / answer.tokens for answer in answers])
    after = np.array([answer.adapted / answer.tokens for answer in answers])
    size = len(answers)
    right = dict.fromkeys(("rewards", "before", "after"), 0.0)
    count = tau_sum = 0.0
    people: float = 0
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
        tau_sum / (people or 1),
        people,
        sum(answer.kl for answer in answers),
        sum(answer.tokens for answer in answers),
    )


def _agreement(votes: Floats, order: Floats) -> float:
    return float(((votes != 0) * ((votes == order) + 0.5 * (order == 0))).sum())


class HeldOutRanking:
    """The ranking of held-out slates by a run's model: every answer is scored without and with the adapter."""

    def __init__(
        self,
        model: AdaptedModel,
        slates: Sequence[RankedSlate],
        adapter_sha256: str,
        beside: Mapping[str, str] | None = None,
    ) -> None:
        """Lay the answers out in batches; nothing is computed yet.

        Args:
            model: Of the run.
            slates: Held out.
            adapter_sha256: Of its adapter.
            beside: Picture -> another one, which is shown in its place; None: each slate stands beside its own.
        """
        self.model, self.slates, self.beside, recipe = model, slates, beside or {}, model.recipe
        rows = [model.encode(slate, limit=recipe.data.max_length) for slate in slates]
        if beside:  # a larger picture takes more tokens: an answer that was cut is cut at the same place
            shown = [model.encode(replace(slate, image=beside[slate.image])) for slate in slates]
            rows = [
                replace(one, answers=tuple(a[: len(b)] for a, b in zip(one.answers, own.answers, strict=True)))
                for one, own in zip(shown, rows, strict=True)
            ]
        self.answers = [
            EncodedAnswer((*row.prompt, *answer), len(row.prompt), row.image) for row in rows for answer in row.answers
        ]
        self.batches = batches(self.answers, 2 * recipe.run.eval_batch)
        # Without the settings of the evaluation: the scores of a training run are used again.
        others = [self.beside] if beside else []
        self.key = hash_of([METHOD, adapter_sha256, model.base.version, [slate.row() for slate in slates], *others])

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The slates."""
        return [slate.row() for slate in material.slates]

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Lay the answers out in batches."""
        return cls(model, material.slates, material.adapter)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> RankingSummary:
        """What `as_json` wrote."""
        groups = tuple(Group(**read_estimates(group)) for group in facts["groups"])
        return RankingSummary(groups, Estimate(**facts["kl_per_token"]))

    @property
    def line(self) -> str:
        """For the log."""
        return f"{len(self.answers)} answers of {len(self.slates)} held-out slates are scored, without and with it"

    @property
    def count(self) -> int:
        """How many batches."""
        return len(self.batches)

    def score(self, kept: Batches) -> tuple[SlateScore, ...]:
        """Score what is not kept from an earlier process, and compare it with people's rankings."""

        def score(number: int) -> list[Any]:
            return [astuple(one) for one in self.model.score([self.answers[i] for i in self.batches[number]])]

        found = kept("scores_beside_others" if self.beside else "scores", self.key, len(self.batches), score)
        by_answer = {
            i: AnswerScore(*one)
            for chosen, row in zip(self.batches, found, strict=True)
            for i, one in zip(chosen, row, strict=True)
        }
        scores, first = [], 0
        for slate in self.slates:
            own = [by_answer[first + i] for i in range(len(slate.answers))]
            scores.append(score_slate(slate, own, self.model.recipe.dpo.beta))
            first += len(slate.answers)
        return tuple(scores)

    def summary(self, scores: Sequence[SlateScore]) -> RankingSummary:
        """Estimates by group, and the verdicts of the gate."""
        return summarise(scores, self.model.recipe.evaluation, seed=self.model.recipe.run.seed)

    def write(self, folder: Path, scores: Sequence[SlateScore], found: RankingSummary) -> None:
        """A line per slate, and the plot."""
        write_rows(folder / SLATES, [asdict(score) for score in scores])
        found.draw(folder, self.model.recipe.evaluation)
