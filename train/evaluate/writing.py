"""Writing of base and adapted model on the same held-out prompts: length, endings, repetition, divergence."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.text.language import tell
from train.data.slates import RankedSlate
from train.evaluate.gate import Gate
from train.evaluate.measure import Material, Table, nats
from train.evaluate.model import AdaptedModel, Batches, seed_of
from train.evaluate.scores import AnswerScore, EncodedAnswer
from train.evaluate.terms import Terms, recall_of_terms
from train.evaluate.writing_plot import draw_writing
from train.models.generation import Sample
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import (
    Estimate,
    Floats,
    distinct_share,
    mean_over_prompts,
    paired_difference,
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
        image: Id of the picture that they describe, or "".
    """

    prompt: str
    country: str
    base: Sample
    adapted: Sample
    base_text: str
    adapted_text: str
    score: AnswerScore
    image: str = ""


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
        spoken: Of descriptions of pictures: share in the language of their prompt; as `tokens`, None for texts.
        terms: Of the same: how much of people's terms they name; None for texts, and where no picture has any.
    """

    answers: int
    limit: int
    tokens: Mapping[str, Estimate]
    ended: Mapping[str, Estimate]
    repeated: Mapping[str, Estimate]
    distinct: Mapping[str, float]
    kl: Estimate
    kl_answer: Estimate
    spoken: Mapping[str, Estimate] | None = None
    terms: Terms | None = None

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {name: value for name, value in asdict(self).items() if value is not None}

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
            f"of the vocabulary{', but for the tokens of a picture' if self.spoken else ''}."
        )
        return [Table("", WRITING_COLUMNS, writing_rows(self), note), *(self.terms.tables() if self.terms else [])]

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


def share_spoken(
    samples: Sequence[PromptSamples], languages: Sequence[str], *, seed: int
) -> dict[str, Estimate] | None:
    """Share of what both wrote that is in the language of its prompt; an empty text is in none.

    Args:
        samples: What both wrote.
        languages: Of their prompts, ISO 639-1; "" where it is not known.
        seed: Of the bootstrap.
    """
    known = [(sample, code) for sample, code in zip(samples, languages, strict=True) if code]
    if not known:
        return None
    prompts = [sample.prompt for sample, _ in known]
    base, adapted = (
        np.array([float(bool(text.strip()) and tell(text, (code,)) == code) for text, code in said])
        for said in ([(s.base_text, c) for s, c in known], [(s.adapted_text, c) for s, c in known])
    )
    mean = partial(mean_over_prompts, prompts=prompts, seed=seed, within=(0, 1))
    change = paired_difference(base, adapted, prompts, seed=seed)
    return {"base": mean(base), "adapted": mean(adapted), "change": change}


class HeldOutWriting:
    """Answers of base and adapted model to held-out prompts, and how far apart the models are on the latter's own."""

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The slates whose prompts are answered; what was sampled about pictures once held their tokens."""
        rows = [slate.row() for slate in material.slates]
        return [rows, "without tokens of pictures"] if any(slate.image for slate in material.slates) else rows

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Choose prompts and lay them out in batches."""
        return cls(model, material.slates, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Writing:
        """What `as_json` wrote."""
        terms = Terms.read(facts["terms"]) if "terms" in facts else None
        return Writing(**{**read_estimates({name: facts[name] for name in facts if name != "terms"}), "terms": terms})

    def __init__(self, model: AdaptedModel, slates: Sequence[RankedSlate], key: str) -> None:
        """Choose prompts and lay them out in batches; nothing is computed yet."""
        self.model, self.key, recipe = model, key, model.recipe
        self.slates = [slate for slate in slates if slate.image]
        self.prompts = prompts_to_answer(slates, recipe.evaluation.prompts, recipe.run.seed)
        self.encoded = [model.encode_prompt(slate) for slate in self.prompts]
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
            shown = [image for i in self.batches[number] if (image := self.prompts[i].image)]
            drawn = self.model.sample(prompts, seed=seed_of(seed, number), adapted=adapted, shown=shown)
            return [astuple(one) for one in drawn]

        count = len(self.batches)
        of_base = kept("base", self.key, count, lambda number: sample(number, adapted=False))
        of_adapted = kept("adapted", self.key, count, lambda number: sample(number, adapted=True))

        def divergence(number: int) -> list[Any]:
            written = zip(self.batches[number], of_adapted[number], strict=True)
            answers = [
                EncodedAnswer([*self.encoded[i], *tokens], len(self.encoded[i]), self.prompts[i].image)
                for i, (tokens, _) in written
            ]
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
        found = compare_writing(samples, limit=recipe.evaluation.max_new_tokens, seed=recipe.run.seed)
        if not self.slates:
            return found
        seed, asked = recipe.run.seed, {(slate.prompt_key, slate.country): slate.language for slate in self.slates}
        about = [sample for sample in samples if (sample.prompt, sample.country) in asked]
        languages = [asked[sample.prompt, sample.country] for sample in about]
        terms = recall_of_terms(about, self.slates, seed=seed)
        return replace(found, spoken=share_spoken(about, languages, seed=seed), terms=terms)

    def write(self, folder: Path, samples: Sequence[PromptSamples], found: Writing) -> None:
        """A line per prompt with what both wrote, and the plot."""
        rows = [
            {
                "prompt": sample.prompt,
                "country": sample.country,
                **({"picture": sample.image} if sample.image else {}),
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
        own = AnswerScore(*own)
        return PromptSamples(slate.prompt_key, slate.country, before, after, text, adapted_text, own, slate.image)


def prompts_to_answer(slates: Sequence[RankedSlate], count: int, seed: int) -> list[RankedSlate]:
    """Slates whose prompts are answered: as many, each prompt once per country, the countries taking turns."""
    by_country: dict[str, dict[str, RankedSlate]] = defaultdict(dict)
    for slate in slates:
        by_country[slate.country].setdefault(f"{slate.prompt!r}{slate.image}", slate)
    queues = [
        [theirs[what] for what in sorted(theirs, key=lambda what: hashlib.sha256(f"{seed}:{what}".encode()).digest())]
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
        *(
            [("in the prompt's language, or not clearly in another", *_shares(writing.spoken))]
            if writing.spoken
            else []
        ),
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
