"""The model of a finished run, base and adapter, and what is computed with it: batch by batch, kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from annotation.files import write_whole
from annotation.screen import Progress
from train.data.encoding import encode_prompt, encode_slate
from train.data.slates import RankedSlate
from train.data.tokens import EncodedSlate
from train.evaluate.scores import AnswerScore, EncodedAnswer, compare_with_base
from train.models.base import Base, load_model
from train.models.generation import Sample, sample_answers
from train.models.pictures import pictures_of
from train.models.tiny_model import random_model
from train.models.tokenizer import Vocabulary
from train.settings import Recipe

METHOD = 2
"""Raised when the same run would be measured otherwise: what was measured before is then measured again."""

WORKINGS = ".evaluation"
"""Folder in the run's where finished batches lie until evaluation.json is written."""

READER_CACHE = "datasets"
"""Folder in that one, of the reader of local rows."""


SIDES = ("base", "adapted", "random")
"""The base alone, the base with the adapter, and a tiny model with random weights."""


class AdaptedModel:
    """The base with a run's adapter on it; loaded when it is first needed, since a batch that is kept needs none."""

    def __init__(self, run: Path, recipe: Recipe, find: Callable[[], tuple[Base, Vocabulary]]) -> None:
        """Nothing is looked for or loaded yet: a measure that computes nothing needs no base."""
        self.run, self.recipe, self.find = run, recipe, find

    @cached_property
    def _found(self) -> tuple[Base, Vocabulary]:
        return self.find()

    @property
    def base(self) -> Base:
        """The base on this machine."""
        return self._found[0]

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokenizer."""
        return self._found[1]

    def encode(self, slate: RankedSlate, *, limit: int = 0) -> EncodedSlate:
        """Write a slate in tokens, with the places of its picture, which lies in the run's folder."""
        return encode_slate(slate, self.vocabulary, limit=limit, pictures=self.run)

    def encode_prompt(self, slate: RankedSlate) -> list[int]:
        """Write its prompt alone in tokens: from there an answer is written."""
        return encode_prompt(slate, self.vocabulary, self.run)

    def pixels(self, picture: str) -> Mapping[str, Any]:
        """A picture of the run's folder, as the model takes it."""
        return pictures_of(self.vocabulary.processor, self.run).pixels(picture)

    @cached_property
    def plain(self) -> Any:
        """The base alone."""
        return load_model(self.base, self.recipe.base, self.recipe.device)

    @cached_property
    def model(self) -> Any:
        """The PEFT model around the base, its adapter read from disk."""
        from peft import PeftModel

        return PeftModel.from_pretrained(self.plain, str(self.run / "adapter"))

    @contextlib.contextmanager
    def asked(self, *, adapted: bool) -> Iterator[Any]:
        """The model with the adapter or without: the same bits, whether one was there before or not.

        Until an adapter is asked for, the base stands alone: PEFT takes seconds to import.
        """
        if not adapted and "model" not in self.__dict__:
            yield self.plain
            return
        with contextlib.nullcontext() if adapted else self.model.disable_adapter():
            yield self.model

    @cached_property
    def random(self) -> Any:
        """A tiny model with random weights and the base's tokenizer: what a model that knows nothing would measure."""
        device = next(self.plain.parameters()).device
        return random_model(self.vocabulary.size, seed=seed_of(self.recipe.run.seed, 0)).to(device)

    def side(self, side: str) -> contextlib.AbstractContextManager[Any]:
        """One of SIDES."""
        return contextlib.nullcontext(self.random) if side == "random" else self.asked(adapted=side == "adapted")

    def score(self, answers: Sequence[EncodedAnswer]) -> list[AnswerScore]:
        """Score one batch of answers without and with the adapter."""
        return compare_with_base(self.model, answers, pad=self.vocabulary.pad, pixels=self.pixels)

    def sample(
        self, prompts: Sequence[Sequence[int]], *, seed: int, adapted: bool, shown: Sequence[str] = ()
    ) -> list[Sample]:
        """Answer one batch of prompts with the adapter or without; `shown` has the picture of each, or nothing."""
        with self.asked(adapted=adapted) as model:
            return sample_answers(
                model,
                prompts,
                pictures=[self.pixels(picture) for picture in shown],
                ends=self.vocabulary.ends,
                pad=self.vocabulary.pad,
                limit=self.recipe.evaluation.max_new_tokens,
                seed=seed,
            )


class Batches:
    """Results of batches, kept in files of a run's folder: a process that was killed is gone on with."""

    def __init__(self, run: Path, progress: Progress, total: int) -> None:
        """Count all batches of a measurement on one bar."""
        self.folder, self.progress, self.total, self.done = run / WORKINGS, progress, total, 0
        self.files: set[Path] = set()

    def __call__(self, name: str, key: str, count: int, work: Callable[[int], Any]) -> list[Any]:
        """Results of `count` batches: those that lie in the file already, and the others, each added as it is done.

        A line is a batch. A line that a crash left half written is cut off; a file that belongs to another measurement
        is begun anew. Numbers come back from the file as they went in, so it makes no difference who computed them.
        """
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{name}.jsonl"
        self.files.add(path)
        whole = path.read_bytes() if path.exists() else b""
        whole = whole[: whole.rfind(b"\n") + 1]
        lines = whole.decode().splitlines()
        if not lines or lines[0] != key:
            lines, whole = [key], f"{key}\n".encode()
        write_whole(path, whole)
        found = [json.loads(line) for line in lines[1:]]
        self._tick(len(found))
        with path.open("ab") as file:
            for number in range(len(found), count):
                line = json.dumps(work(number))
                file.write(line.encode() + b"\n")
                file.flush()
                found.append(json.loads(line))
                self._tick(1)
        return found

    def remove(self) -> None:
        """Remove what was kept of these measures, which are finished; what others kept stays, a training run's too."""
        for path in self.files:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / READER_CACHE, ignore_errors=True)
        with contextlib.suppress(OSError):  # it is not empty
            self.folder.rmdir()

    def _tick(self, count: int) -> None:
        for _ in range(count):
            self.done += 1
            self.progress(self.done, self.total, "batches measured")


def hash_of(content: Any) -> str:
    """Hash of all that decides a measurement."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def seed_of(seed: int, number: int) -> int:
    """Seed of a batch: the same for whoever computes it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")
