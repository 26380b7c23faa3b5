"""The model as lm-evaluation-harness asks it: its own HFLM around the model that is loaded, with kept batches.

The harness's cache of answers is not used: after a kill it batches what is left otherwise, with another padding, so the
last bits differ. Here batches are always the same, whoever computed the first of them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any

from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM

from train.evaluate.harness_pictures import as_text, score_options, shows_picture
from train.evaluate.model import AdaptedModel, Batches, seed_of


class KeptModel(LM):  # type: ignore[misc]
    """One of the sides of a model for the harness's evaluator; requests of one context stay in one batch."""

    def __init__(self, model: AdaptedModel, kept: Batches | None, file: str, key: str, side: str) -> None:
        """Nothing is loaded yet.

        Args:
            model: The run's.
            kept: Where finished batches are kept; None only counts them.
            file: Name of their file.
            key: Hash of all that decides them.
            side: One of `model.SIDES`.
        """
        super().__init__()
        self.model, self.kept, self.file, self.key, self.side = model, kept, file, key, side
        self.MULTIMODAL = model.vocabulary.processor is not None  # the harness's own name for it
        self.hflm: Any = None
        self.tokenizer = copy.deepcopy(model.vocabulary.tokenizer)  # HFLM gives it a token to pad with

    def _hflm(self, asked: Any) -> Any:
        """The harness's own model, which computes. In bfloat16, log-probs of the options would often be the same."""
        if self.hflm is None or self.hflm.model is not asked:
            size = self.model.recipe.evaluation.batch
            self.hflm = HFLM(asked, tokenizer=self.tokenizer, batch_size=size, softmax_dtype="float32")
        return self.hflm

    @property
    def tokenizer_name(self) -> str:
        """For the harness's cache of prompts, which is not used."""
        return str(self.tokenizer.name_or_path)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """As HFLM does, which needs no weights for it."""
        words = SimpleNamespace(tokenizer=self.tokenizer, chat_template_args={})
        return str(HFLM.apply_chat_template(words, chat_history, add_generation_prompt))

    def batches(self, requests: Sequence[Any]) -> list[list[int]]:
        """Indices of the requests: `evaluation.batch` contexts a batch, long ones together."""
        contexts: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            shown = f"{request.doc_id}" if shows_picture(request) else ""  # the same question of other pictures
            contexts.setdefault(request.args[0] + shown, []).append(index)
        groups = sorted(contexts.values(), key=lambda group: -len(requests[group[0]].args[0]))
        size = self.model.recipe.evaluation.batch
        return [list(chain(*groups[first : first + size])) for first in range(0, len(groups), size)]

    def loglikelihood(self, requests: list[Any]) -> list[Any]:
        """Log-probs of continuations, and whether greedy decoding would give them."""
        return self._answered("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: list[Any]) -> list[Any]:
        """Log-probs of whole texts."""
        return self._answered("loglikelihood_rolling", requests)

    def generate_until(self, requests: list[Any]) -> list[Any]:
        """Texts up to a stop."""
        return self._answered("generate_until", requests)

    def _answered(self, kind: str, requests: list[Any]) -> list[Any]:
        import torch

        assert self.kept is not None
        batches = self.batches(requests)

        def work(number: int) -> Any:
            torch.manual_seed(seed_of(self.model.recipe.run.seed, number))
            own = [requests[i] for i in batches[number]]
            seen = [request for request in own if shows_picture(request)]
            read = [as_text(request) for request in own if not shows_picture(request)]
            with self.model.side(self.side) as asked:
                scored = iter(score_options(asked, self.model.vocabulary, seen) if seen else ())
                told = iter(getattr(self._hflm(asked), kind)(read, disable_tqdm=True) if read else ())
                return [next(scored if shows_picture(request) else told) for request in own]

        answers: list[Any] = [None] * len(requests)
        for chosen, found in zip(batches, self.kept(f"{self.file}_{kind}", self.key, len(batches), work), strict=True):
            for i, answer in zip(chosen, found, strict=True):
                answers[i] = tuple(answer) if isinstance(answer, list) else answer
        return answers
