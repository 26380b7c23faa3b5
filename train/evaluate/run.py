"""The evaluation of a finished run on held-out prompts: how well it ranks, for whom, how far it is from its base.

`evaluate` is the whole of it; a training run ends with its first half, `HeldOutRanking`. The expensive part (forward
passes and sampling) goes batch by batch into files of the run's `.evaluation/`, so that a process that was killed is
gone on with, and the scores of a training run are not computed again; what is computed from them is cheap and is
computed anew. On a CPU the same run gives the same bytes, cut off or not.

- Ranking: the implicit reward beta * (log-prob with the adapter - without) orders the answers of a slate. Ranking
  accuracy is the share of people's votes about two answers ("this one before that one") that it agrees with; Kendall's
  tau-b compares it with each person's whole ranking, ties included.
- Divergence: KL(adapted || base) of the next token over the whole vocabulary, exact at each position. Averaged over
  people's held-out answers it says how far the adapter moved on their text; averaged over the adapted model's own
  samples it is the Rao–Blackwellised Monte Carlo estimate of the KL between the two models (Amini, Vieira & Cotterell
  2025, "Better estimation of the KL divergence between language models").
- Writing: base and adapted model answer the same prompts with the same seeds: length, endings, repetition.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError, TrainError
from annotation.screen import Progress, silent
from train.data.encoding import encode_slate, token_ids
from train.data.pairs import read_pairs
from train.data.rows import read_rows
from train.data.slates import RankedSlate, slate_of_pair
from train.evaluate.evaluation import METHOD, Evaluation, summarise
from train.evaluate.gate import EVALUATION, remeasure
from train.evaluate.model import WORKINGS, AdaptedModel, Batches, hash_of
from train.evaluate.ranking import SlateScore, score_slate
from train.evaluate.report import write_evaluation
from train.evaluate.scores import AnswerScore, EncodedAnswer, batches
from train.evaluate.writing import PromptSamples
from train.models.base import base_of_run
from train.models.generation import Sample
from train.models.tokenizer import load_vocabulary
from train.run_folder import claimed, finished_run, read_facts
from train.settings import Recipe


def evaluate(
    folder: Path, *, overrides: Sequence[str] = (), say: Callable[[str], None] = print, progress: Progress = silent
) -> Evaluation:
    """Measure a finished run on its held-out slates; what another process began is gone on with.

    Args:
        folder: The run's.
        overrides: "evaluation.key=value" in place of the run's own settings.
        say: Told what begins, a line each.
        progress: Told the batches done.

    Raises:
        SettingsError: There is no such setting, or a value is impossible.
        TrainError: The run is not finished, is of an older annot, has lost a file, or its base is another one now.
        TrainLater: Another process is at it, or the base is on the Hub and cannot be reached.
    """
    from train.libraries import deterministic, quiet_libraries, work_offline

    facts, digest = finished_run(folder)
    recipe = recipe_of(facts, overrides)
    slates = held_out_slates(folder)
    rows = [slate.row() for slate in slates]
    settings = recipe.evaluation.model_dump(mode="json")
    key = hash_of([METHOD, digest, facts["base_version"], rows, settings, recipe.run.seed])
    if (known := read_evaluation(folder)) and known.key == key:
        return known
    with claimed(folder, "evaluated"), quiet_libraries(folder / "libraries.log"), deterministic(recipe):
        base = base_of_run(folder, recipe.base, facts)
        work_offline()
        model = AdaptedModel(folder, recipe, base, load_vocabulary(base, recipe.base))
        ranking, writing = HeldOutRanking(model, slates, digest), HeldOutWriting(model, slates, key)
        say(f"{folder.name}: {ranking.line}")
        if writing.prompts:
            say(writing.line)
        kept = Batches(folder, progress, len(ranking.batches) + 3 * len(writing.batches))
        scores, samples = ranking.measure(kept), writing.measure(kept)
        found = summarise(folder.name, key, recipe, scores, samples)
        write_evaluation(folder, found, scores, samples)
        shutil.rmtree(folder / WORKINGS, ignore_errors=True)
    return found


class HeldOutRanking:
    """The ranking of held-out slates by a run's model: every answer is scored without and with the adapter."""

    def __init__(self, model: AdaptedModel, slates: Sequence[RankedSlate], adapter_sha256: str) -> None:
        """Lay the answers out in batches; nothing is computed yet."""
        self.model, self.slates, recipe = model, slates, model.recipe
        limit, tokenizer = recipe.data.max_length, model.vocabulary.tokenizer
        rows = [encode_slate(slate, tokenizer, limit=limit) for slate in slates]
        self.answers = [
            EncodedAnswer((*row.prompt, *answer), len(row.prompt)) for row in rows for answer in row.answers
        ]
        self.batches = batches(self.answers, 2 * recipe.run.eval_batch)
        self.key = hash_of([METHOD, adapter_sha256, model.base.version, [slate.row() for slate in slates]])

    @property
    def line(self) -> str:
        """For the log."""
        return f"{len(self.answers)} answers of {len(self.slates)} held-out slates are scored, without and with it"

    def measure(self, kept: Batches) -> tuple[SlateScore, ...]:
        """Score what is not kept from an earlier process, and compare it with people's rankings."""

        def score(number: int) -> list[Any]:
            return [astuple(one) for one in self.model.score([self.answers[i] for i in self.batches[number]])]

        found = kept("scores", self.key, len(self.batches), score)
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


class HeldOutWriting:
    """Answers of base and adapted model to held-out prompts, and how far apart the models are on the latter's own."""

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

    def measure(self, kept: Batches) -> tuple[PromptSamples, ...]:
        """Sample and score what is not kept from an earlier process."""

        def sample(number: int, *, adapted: bool) -> list[Any]:
            prompts, seed = [self.encoded[i] for i in self.batches[number]], self.model.recipe.run.seed
            return [astuple(one) for one in self.model.sample(prompts, seed=_seed(seed, number), adapted=adapted)]

        count = len(self.batches)
        of_base = kept("base", self.key, count, lambda number: sample(number, adapted=False))
        of_adapted = kept("adapted", self.key, count, lambda number: sample(number, adapted=True))

        def score(number: int) -> list[Any]:
            prompts = (self.encoded[i] for i in self.batches[number])
            written = zip(prompts, of_adapted[number], strict=True)
            answers = [EncodedAnswer([*prompt, *tokens], len(prompt)) for prompt, (tokens, _) in written]
            return [astuple(one) for one in self.model.score(answers)]

        of_own = kept("own", self.key, count, score)
        samples = [
            self._samples(i, base, adapted, own)
            for chosen, *rows in zip(self.batches, of_base, of_adapted, of_own, strict=True)
            for i, base, adapted, own in zip(chosen, *rows, strict=True)
        ]
        return tuple(sorted(samples, key=lambda one: (one.country, one.prompt)))

    def _samples(self, number: int, base: Any, adapted: Any, own: Any) -> PromptSamples:
        before, after = (Sample(tuple(tokens), ended) for tokens, ended in (base, adapted))
        decode, slate = self.model.vocabulary.tokenizer.decode, self.prompts[number]
        text, adapted_text = (decode(sample.tokens, skip_special_tokens=True) for sample in (before, after))
        return PromptSamples(slate.prompt_key, slate.country, before, after, text, adapted_text, AnswerScore(*own))


def recipe_of(facts: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The settings of a run, with others for its evaluation.

    Raises:
        SettingsError: An override is of another section, or says something impossible.
        TrainError: The run was made by an annot that knew other settings.
    """
    from pydantic import ValidationError

    from train.settings import with_overrides

    if other := [override for override in overrides if not override.strip().startswith("evaluation.")]:
        raise SettingsError(
            f"--set {other[0]}: the run is finished, so only its evaluation can be changed, for example "
            "--set evaluation.prompts=50."
        )
    raw = facts["recipe"]
    try:
        Recipe.model_validate(raw)
    except ValidationError:
        raise TrainError(
            f"{facts['run']} was trained by another version of annot, whose settings this one does not know; train it "
            "again under another --run."
        ) from None
    return with_overrides(raw, overrides, f"the run {facts['run']}")


def held_out_slates(folder: Path) -> tuple[RankedSlate, ...]:
    """Slates that a run kept out of training, or its pairs as slates of two.

    Raises:
        TrainError: The file is gone or damaged.
    """
    path = folder / "held_out_slates.jsonl"
    if path.exists():
        try:
            return tuple(RankedSlate.from_row(row) for row in read_rows(path))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise TrainError(
                f"{path} is damaged: not every line is a slate; remove {folder.name}'s DONE and run its `annot train` "
                "command again, which writes it anew."
            ) from None
    if not (folder / "held_out.jsonl").exists():
        raise TrainError(f"{folder.name} has lost its held_out.jsonl, so there is nothing to measure it on.")
    return tuple(slate_of_pair(pair) for pair in read_pairs(folder / "held_out.jsonl"))


def read_evaluation(folder: Path) -> Evaluation | None:
    """The evaluation in a run's folder; None where there is none, or where it was measured otherwise than today.

    Raises:
        TrainError: The file is damaged.
    """
    path = folder / EVALUATION
    if not path.exists():
        return None
    facts = read_facts(path, {"method": type(METHOD)}, remeasure(folder))
    if facts["method"] != METHOD:
        return None
    try:
        return Evaluation.from_json(facts)
    except (AttributeError, KeyError, TypeError, ValueError):  # the shape is not what `as_json` gives
        raise TrainError(f"{path} is damaged: it is no whole evaluation; {remeasure(folder)}.") from None


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


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
