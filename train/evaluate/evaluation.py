"""The evaluation of a run: what was measured, the verdict of its gate, and evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from annotation.errors import TrainError
from train.evaluate.gate import Gate, GroupResult, judge
from train.evaluate.ranking import Group, SlateScore, rank_groups
from train.evaluate.writing import PromptSamples, Writing, compare_writing
from train.settings import EvaluationSettings, Recipe
from train.statistics import Estimate, mean_over_prompts

METHOD = 1
"""Raised when the same run would be measured otherwise: what was measured before is then measured again."""


@dataclass(frozen=True)
class Evaluation:
    """Measurements of a run, and what they mean for a release.

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
    def from_json(cls, facts: Mapping[str, Any]) -> Evaluation:
        """Read what `as_json` wrote, as something that was measured before."""

        def estimates(values: Mapping[str, Any]) -> dict[str, Any]:
            """A mapping whose inner mappings are estimates, or again such mappings."""
            return {key: _estimate(value) if isinstance(value, dict) else value for key, value in values.items()}

        return cls(
            facts["run"],
            facts["key"],
            EvaluationSettings.model_validate(facts["settings"]),
            tuple(Group(**estimates(group)) for group in facts["groups"]),
            Estimate(**facts["kl_per_token"]),
            Writing(**estimates(facts["writing"])) if facts["writing"] else None,
            Gate(facts["gate"], facts["gate_reason"], facts["gate_worst"]),
            already=True,
        )


def _estimate(value: dict[str, Any]) -> Any:
    if "low" in value:
        return Estimate(**value)
    return {key: _estimate(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}


def summarise(
    run: str, key: str, recipe: Recipe, scores: Sequence[SlateScore], samples: Sequence[PromptSamples]
) -> Evaluation:
    """Estimates from the scores of all held-out slates, and the verdict of the gate.

    Raises:
        TrainError: On no slate anybody prefers one answer to another.
    """
    wanted, seed = recipe.evaluation, recipe.run.seed
    if not any(score.votes for score in scores):
        raise TrainError(f"{run}: nobody told any two held-out answers apart, so no ranking can be measured.")
    groups = rank_groups(scores, seed=seed)
    judged = [group for group in groups if group.by in wanted.gate_by] or groups[:1]
    gate = judge(
        (GroupResult(f"{group.by} {group.name}".strip(), group.accuracy.low, group.prompts) for group in judged),
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
        compare_writing(samples, limit=wanted.max_new_tokens, seed=seed) if samples else None,
        gate,
    )


def _verdict(group: Group, wanted: EvaluationSettings) -> str:
    if group.prompts < wanted.gate_prompts:
        return "too few to tell"
    return "passed" if group.accuracy.low > wanted.gate_accuracy else "failed"
