"""Contamination of exams: questions that a model may have seen, since they stand in prompts or in training texts.

A question counts as seen when GRAM words of it in a row stand in a text (Brown et al. 2020, "Language models are
few-shot learners", appendix C), or a prompt means nearly the same by its embedding. The first is exact and misses a
question in other words; the second finds those and needs an encoder that knows the language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from annotation.errors import EncoderError
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.selection.embedding import Vectors, embed, encoder_here, open_encoder
from annotation.types import ExamQuestion, Prompt

GRAM = 13
"""Words in a row that a question and a text share only where one was copied."""

LEAST = 8
"""A question of fewer words is too short to tell; one of fewer than GRAM is looked for whole."""

NEAR = 0.9
"""Cosine similarity from which a prompt asks what a question asks."""

BLOCK = 1024
"""Questions that are compared with all prompts at once."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Contamination:
    """Questions that a project's own texts give away.

    Attributes:
        questions: How many were looked for.
        texts: In how many prompts and answers.
        copied: Ids of those that share GRAM words in a row with a text.
        short: How many are too short to be looked for.
        near: Id -> (prompt's id, cosine similarity) of those that a prompt nearly asks.
        encoder: What the similarity is by; "" where no encoder could be had, and nothing is known of it.
    """

    questions: int
    texts: int
    copied: frozenset[str]
    short: int
    near: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    encoder: str = ""

    def sentence(self) -> str:
        """For a person, and for every report."""
        if not self.texts:
            return "Contamination: the project has no prompts and no answers to look for questions in."
        short = f" ({self.short} are too short to be looked for)" if self.short else ""
        near = f"{len(self.near)} are nearly asked by a prompt (cosine ≥ {NEAR} by {self.encoder})"
        near = near if self.encoder else "other words were not looked at: the encoder of [select] is not here yet"
        return (
            f"Contamination: {len(self.copied)} of {self.questions} questions share {GRAM} words in a row with prompts "
            f"or answers{short}; {near}."
        )

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return {**asdict(self), "copied": sorted(self.copied)}


class CopiedWords:
    """Questions to look for in texts: n words in a row of one, options included, give it away; case and signs aside.

    A question of fewer than n words, and at least LEAST, is looked for whole. Takes time in proportion to the words of
    all texts, and memory to those of the questions.
    """

    def __init__(self, questions: Iterable[ExamQuestion], n: int = GRAM) -> None:
        self._owners: dict[tuple[str, ...], list[str]] = {}
        for question in questions:
            words = question_words(question)
            size = min(n, len(words))
            if size >= LEAST:
                for start in range(len(words) - size + 1):
                    self._owners.setdefault(tuple(words[start : start + size]), []).append(question.id)
        self._vocabulary = {word for gram in self._owners for word in gram}
        self._sizes = sorted({len(gram) for gram in self._owners})

    def within(self, text: str) -> set[str]:
        """Ids of the questions that a text gives away."""
        found: set[str] = set()
        # Only a run of words that questions use can hold one of their grams: most runs are shorter than that.
        for known, run in groupby(_WORD.findall(text.casefold()), self._vocabulary.__contains__):
            words = list(run) if known else []
            for size in self._sizes:
                for start in range(len(words) - size + 1):
                    found.update(self._owners.get(tuple(words[start : start + size]), ()))
        return found


def shared_ngrams(questions: Iterable[ExamQuestion], texts: Iterable[str], n: int = GRAM) -> set[str]:
    """Ids of the questions that some text gives away, as `CopiedWords` looks for them."""
    looked_for = CopiedWords(questions, n)
    return set().union(*map(looked_for.within, texts))


def question_words(question: ExamQuestion) -> list[str]:
    """Words of a question and its options, without case."""
    return _WORD.findall(" ".join((question.question, *question.options)).casefold())


def contamination(project: Project, questions: Sequence[ExamQuestion], progress: Progress = silent) -> Contamination:
    """Look for questions among a project's prompts and the answers to them: what its adapters are trained on."""
    prompts = [prompt for prompt in project.ledger.prompts() if not prompt.image]  # those are one question of annot's
    answers = project.ledger.candidate_texts()
    copied = shared_ngrams(questions, (*(prompt.text for prompt in prompts), *answers.values()))
    short = sum(len(question_words(question)) < LEAST for question in questions)
    name = project.settings.select.encoder
    try:
        measurable = bool(questions and prompts) and encoder_here(name, project.folder)
    except EncoderError:  # `annot select` says what is wrong with it; this is a look beside the way
        measurable = False
    near = _nearly_asked(project, questions, prompts, progress) if measurable else {}
    texts = len(prompts) + len(answers)
    return Contamination(len(questions), texts, frozenset(copied), short, near, name if measurable else "")


def _nearly_asked(
    project: Project, questions: Sequence[ExamQuestion], prompts: Sequence[Prompt], progress: Progress
) -> dict[str, tuple[str, float]]:
    encoder = open_encoder(project.settings.select.encoder, project.folder)
    with project.lock("select"):  # the cache of vectors has one writer at a time
        asked: Vectors = embed([prompt.text for prompt in prompts], encoder, project.vector_cache, progress)
        own: Vectors = embed([question.question for question in questions], encoder, project.vector_cache, progress)
    near = {}
    for first in range(0, len(own), BLOCK):
        cosines = own[first : first + BLOCK] @ asked.T
        for row, best in enumerate(np.argmax(cosines, axis=1).tolist()):
            if (cosine := float(cosines[row, best])) >= NEAR:
                near[questions[first + row].id] = (prompts[best].id, cosine)
    return near
