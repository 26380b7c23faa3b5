"""Writing of base and adapted model on the same held-out prompts: length, endings, repetition, divergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from train.evaluate.scores import AnswerScore
from train.models.generation import Sample
from train.statistics import Estimate, Floats, distinct_share, mean_over_prompts, repeated_share


@dataclass(frozen=True, slots=True)
class PromptSamples:
    """Samples of base and adapted model to one prompt.

    Attributes:
        prompt: Its key.
        country: Of the slate, or "".
        base: What the base wrote.
        adapted: What the adapted model wrote.
        base_text: The same as text.
        adapted_text: The same as text.
        score: Of the adapted model's answer under both models.
    """

    prompt: str
    country: str
    base: Sample
    adapted: Sample
    base_text: str
    adapted_text: str
    score: AnswerScore


@dataclass(frozen=True, slots=True)
class Writing:
    """Estimates from what base and adapted model wrote to the same prompts.

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


def compare_writing(samples: Sequence[PromptSamples], *, limit: int, seed: int) -> Writing:
    """Estimates over all prompts, one at least; `limit` is the most tokens of an answer."""
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
        limit,
        both(lambda sample: len(sample.tokens)),
        both(lambda sample: float(sample.ended)),
        both(lambda sample: repeated_share(sample.tokens)),
        {who: distinct_share(getattr(sample, who).tokens for sample in samples) for who in ("base", "adapted")},
        mean(list(kl / tokens), tokens),
        mean(list(kl)),
    )
