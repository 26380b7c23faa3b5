"""Writing of base and adapted model on the same held-out prompts: length, endings, repetition, divergence."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np

from train.data.encoding import token_ids
from train.data.slates import RankedSlate
from train.evaluate.gate import Gate
from train.evaluate.measure import Material, Table, nats, save_figure
from train.evaluate.model import AdaptedModel, Batches, seed_of
from train.evaluate.scores import AnswerScore, EncodedAnswer
from train.models.generation import Sample
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import (
    Estimate,
    Floats,
    distinct_share,
    mean_over_prompts,
    read_estimates,
    repeated_share,
)

SAMPLES = "evaluation_samples.jsonl"
"""One line per prompt with what both models wrote."""


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

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return asdict(self)

    def judged(self, wanted: EvaluationSettings) -> Self:  # noqa: ARG002
        """It has no verdicts."""
        return self

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """No plot shows a verdict."""

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:  # noqa: ARG002
        """It has no say: what is written is for people to look at."""
        return []

    def warnings(self, wanted: EvaluationSettings) -> list[str]:  # noqa: ARG002
        """Signs that length, endings or repetition were learnt."""
        sentences: list[str] = []
        if self.kl.prompts < 2:
            return sentences
        length, ended, repeated = (values["change"] for values in (self.tokens, self.ended, self.repeated))
        base = self.tokens["base"].value
        if abs(length.value) > 0.2 * base and not length.low <= 0 <= length.high:
            longer = "longer" if length.value > 0 else "shorter"
            sentences.append(f"answers became {abs(length.value) / base:.0%} {longer}: look whether length was learnt.")
        if ended.high < 0:
            share = f"{self.ended['base'].value:.1%} → {self.ended['adapted'].value:.1%}"
            sentences.append(f"fewer answers end by themselves ({share}): look whether endings were lost.")
        if repeated.low > 0.01:
            share = f"{self.repeated['base'].value:.1%} → {self.repeated['adapted'].value:.1%}"
            sentences.append(f"answers repeat themselves more ({share} of 4-grams): read {SAMPLES}.")
        return sentences

    def tables(self) -> list[Table]:
        """What both wrote, and how far apart they are."""
        note = (
            "On the model's own answers the divergence is the Rao–Blackwellised Monte Carlo estimate. Both models "
            f"answered the same {self.answers} prompts with the same seeds, sampled at temperature 1 without any cut "
            "of the vocabulary."
        )
        return [Table("", WRITING_COLUMNS, writing_rows(self), note)]

    def plots(self) -> list[str]:
        """Lengths and divergence."""
        return ["evaluation_writing.png"]


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


class HeldOutWriting:
    """Answers of base and adapted model to held-out prompts, and how far apart the models are on the latter's own."""

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The slates whose prompts are answered."""
        return [slate.row() for slate in material.slates]

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Choose prompts and lay them out in batches."""
        return cls(model, material.slates, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Writing:
        """What `as_json` wrote."""
        return Writing(**read_estimates(facts))

    def __init__(self, model: AdaptedModel, slates: Sequence[RankedSlate], key: str) -> None:
        """Choose prompts and lay them out in batches; nothing is computed yet."""
        self.model, self.key, recipe = model, key, model.recipe
        self.prompts = prompts_to_answer(slates, recipe.evaluation.prompts, recipe.run.seed)
        tokenizer = model.vocabulary.tokenizer
        self.encoded = [token_ids(slate.prompt, tokenizer, prompt=True) for slate in self.prompts]
        # Short prompts together; what a prompt is answered depends on its batch, so batches are always the same.
        order = sorted(range(len(self.encoded)), key=lambda i: (len(self.encoded[i]), i))
        size = recipe.evaluation.batch
        self.batches = [order[first : first + size] for first in range(0, len(order), size)]

    @property
    def line(self) -> str:
        """For the log."""
        limit = self.model.recipe.evaluation.max_new_tokens
        return f"{len(self.prompts)} prompts are answered by both, with at most {limit} tokens each"

    @property
    def count(self) -> int:
        """How many batches: of the base, of the adapted model, and of scores."""
        return 3 * len(self.batches)

    def score(self, kept: Batches) -> tuple[PromptSamples, ...]:
        """Sample and score what is not kept from an earlier process."""

        def sample(number: int, *, adapted: bool) -> list[Any]:
            prompts, seed = [self.encoded[i] for i in self.batches[number]], self.model.recipe.run.seed
            return [astuple(one) for one in self.model.sample(prompts, seed=seed_of(seed, number), adapted=adapted)]

        count = len(self.batches)
        of_base = kept("base", self.key, count, lambda number: sample(number, adapted=False))
        of_adapted = kept("adapted", self.key, count, lambda number: sample(number, adapted=True))

        def divergence(number: int) -> list[Any]:
            prompts = (self.encoded[i] for i in self.batches[number])
            written = zip(prompts, of_adapted[number], strict=True)
            answers = [EncodedAnswer([*prompt, *tokens], len(prompt)) for prompt, (tokens, _) in written]
            return [astuple(one) for one in self.model.score(answers)]

        of_own = kept("own", self.key, count, divergence)
        samples = [
            self._samples(i, base, adapted, own)
            for chosen, *rows in zip(self.batches, of_base, of_adapted, of_own, strict=True)
            for i, base, adapted, own in zip(chosen, *rows, strict=True)
        ]
        return tuple(sorted(samples, key=lambda one: (one.country, one.prompt)))

    def summary(self, samples: Sequence[PromptSamples]) -> Writing:
        """Estimates over all prompts."""
        recipe = self.model.recipe
        return compare_writing(samples, limit=recipe.evaluation.max_new_tokens, seed=recipe.run.seed)

    def write(self, folder: Path, samples: Sequence[PromptSamples], found: Writing) -> None:
        """A line per prompt with what both wrote, and the plot."""
        rows = [
            {
                "prompt": sample.prompt,
                "country": sample.country,
                "base": sample.base_text,
                "base_tokens": len(sample.base.tokens),
                "base_ended": sample.base.ended,
                "adapted": sample.adapted_text,
                "adapted_tokens": len(sample.adapted.tokens),
                "adapted_ended": sample.adapted.ended,
                "kl": sample.score.kl,
            }
            for sample in samples
        ]
        write_rows(folder / SAMPLES, rows)
        draw_writing(folder / found.plots()[0], found, samples)

    def _samples(self, number: int, base: Any, adapted: Any, own: Any) -> PromptSamples:
        before, after = (Sample(tuple(tokens), ended) for tokens, ended in (base, adapted))
        decode, slate = self.model.vocabulary.tokenizer.decode, self.prompts[number]
        text, adapted_text = (decode(sample.tokens, skip_special_tokens=True) for sample in (before, after))
        return PromptSamples(slate.prompt_key, slate.country, before, after, text, adapted_text, AnswerScore(*own))


def prompts_to_answer(slates: Sequence[RankedSlate], count: int, seed: int) -> list[RankedSlate]:
    """Slates whose prompts are answered: as many, each prompt once per country, the countries taking turns."""
    by_country: dict[str, dict[str, RankedSlate]] = defaultdict(dict)
    for slate in slates:
        by_country[slate.country].setdefault(repr(slate.prompt), slate)
    queues = [
        sorted(theirs.values(), key=lambda slate: hashlib.sha256(f"{seed}:{slate.prompt!r}".encode()).digest())
        for _, theirs in sorted(by_country.items())
    ]
    turns = (slate for turn in zip_longest(*queues) for slate in turn if slate is not None)
    return list(islice(turns, count))


WRITING_COLUMNS = ("what both wrote", "base", "adapted", "change")


def writing_rows(writing: Writing) -> list[tuple[str, ...]]:
    """A line per measure of what both models wrote, and how far apart the models are."""
    tokens, change = writing.tokens, writing.tokens["change"]
    base = tokens["base"].value
    return [
        ("KL to the base, nats a token, own answers", "0", nats(writing.kl), ""),
        ("KL to the base, nats an answer, own answers", "0", f"{writing.kl_answer.value:.2f}", ""),
        (
            f"length, tokens (cut off at {writing.limit})",
            f"{base:.1f}",
            f"{tokens['adapted'].value:.1f}",
            f"{change.value:+.1f} {change.interval('+.1f')} ({change.value / base:+.0%})",
        ),
        ("answers that ended by themselves", *_shares(writing.ended)),
        ("repeated 4-grams in an answer (seq-rep-4)", *_shares(writing.repeated)),
        (
            "different bigrams of all answers (distinct-2)",
            f"{writing.distinct['base']:.3f}",
            f"{writing.distinct['adapted']:.3f}",
            f"{writing.distinct['adapted'] - writing.distinct['base']:+.3f}",
        ),
    ]


def _shares(values: Any) -> tuple[str, str, str]:
    change: Estimate = values["change"]
    return (
        f"{values['base'].value:.1%}",
        f"{values['adapted'].value:.1%}",
        change.points,
    )


def draw_writing(path: Path, found: Writing, samples: Sequence[PromptSamples]) -> Path:
    """Lengths of both models' answers, prompt by prompt, and how far apart the models are along their own answers."""
    from matplotlib.figure import Figure

    limit = found.limit
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = [limit * step / 20 for step in range(21)]
    for who, colour in (("base", "#888888"), ("adapted", "#4a6fa5")):
        lengths = [len(getattr(sample, who).tokens) for sample in samples]
        mean = sum(lengths) / len(lengths)
        left.hist(lengths, bins=bins, alpha=0.55, color=colour, label=f"{who}, mean {mean:.0f}")
        left.axvline(mean, color=colour, linewidth=1.5)
    left.set(
        xlabel=f"tokens of an answer (cut off at {limit})", ylabel="answers", title="Length, same prompts and seeds"
    )
    left.legend()
    per_token = sorted(sample.score.kl / sample.score.tokens for sample in samples)
    right.plot(
        per_token, [(i + 1) / len(per_token) for i in range(len(per_token))], color="#4a6fa5", drawstyle="steps-post"
    )
    right.axvline(found.kl.value, color="#4a6fa5", linestyle="--", label=f"mean {found.kl.value:.3f}")
    right.set(
        xlabel="KL(adapted || base), nats per token", ylabel="share of its own answers", title="Distance from the base"
    )
    right.set(ylim=(0, 1), xlim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return save_figure(path, figure)
