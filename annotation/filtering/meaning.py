"""Meaning of texts by an encoder: answers beside the point, pairs that say the same, questions of exams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotation.exams.contamination import BLOCK, CopiedWords
from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look, shown

Floats = NDArray[np.float32]


def off_topic(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Answers whose cosine both with the prompt and with the centroid of the prompt's other answers is below it.

    As `annot select` judges its candidates (`annotation/selection/filters.py`).
    """
    findings = []
    answered = [place for place, row in enumerate(rows) if row.answers]
    for first in range(0, len(answered), BLOCK):  # memory does not grow with the set
        places = answered[first : first + BLOCK]
        look.progress(first, len(answered), "off topic")
        nearest = _nearest([rows[place] for place in places], look).tolist()
        seats = [(place, number) for place in places for number in range(len(rows[place].answers))]
        for (place, number), cosine in zip(seats, nearest, strict=True):
            if cosine < threshold:
                why = f"{shown(rows[place].prompt)} → {shown(rows[place].answers[number].text)}"
                findings.append(Finding(place, why, number, cosine))
    return Found(findings)


def _nearest(rows: Sequence[Row], look: Look) -> Floats:
    """For each answer of rows, one after the other, the larger of its two cosines."""
    assert look.vectors is not None
    counts = [len(row.answers) for row in rows]
    asked: Floats = look.vectors([row.prompt for row in rows])
    said: Floats = look.vectors([answer.text for row in rows for answer in row.answers])
    owner = np.repeat(np.arange(len(counts)), counts)
    others = np.add.reduceat(said, np.concatenate(([0], np.cumsum(counts)[:-1])))[owner] - said
    lengths = np.linalg.norm(others, axis=1)
    to_others = np.einsum("nd,nd->n", said, others) / np.where(lengths > 1e-6, lengths, np.inf)
    nearest: Floats = np.maximum(np.where(lengths > 1e-6, to_others, -1.0), np.einsum("nd,nd->n", said, asked[owner]))
    return nearest


def same_meaning(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Rows of which the two answers of every pair have a cosine of `threshold` or more."""
    assert look.vectors is not None
    findings = list[Finding]()
    paired = [place for place, row in enumerate(rows) if row.pairs]
    for first in range(0, len(paired), BLOCK):
        look.progress(first, len(paired), "pairs that say the same")
        pairs = [(place, pair) for place in paired[first : first + BLOCK] for pair in rows[place].pairs]
        better, worse = (look.vectors([rows[p].answers[pair[side]].text for p, pair in pairs]) for side in (0, 1))
        least: dict[int, float] = {}
        for (place, _), cosine in zip(pairs, np.einsum("nd,nd->n", better, worse).tolist(), strict=True):
            least[place] = min(cosine, least.get(place, 1.0))
        findings += (
            Finding(place, shown(rows[place].answers[rows[place].pairs[0][0]].text), value=cosine)
            for place, cosine in least.items()
            if cosine >= threshold
        )
    return Found(findings)


def copied(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Rows of which `threshold` words in a row stand in a question of an exam or a benchmark (Brown et al. 2020, C)."""
    if not look.questions:
        return Found(note="there is no exam and no --against file to compare with")
    looked_for = CopiedWords(look.questions, int(threshold))
    names = {question.id: question for question in look.questions}
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "contamination")
        for text in (*(turn.text for turn in row.turns), *(answer.text for answer in row.answers)):
            if seen := sorted(looked_for.within(text)):
                question = names[seen[0]]
                findings.append(Finding(place, f"{question.exam}: {shown(question.question)}", value=threshold))
                break
    return Found(findings)


def asked_in_an_exam(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Prompts whose cosine with a question of an exam or a benchmark is `threshold` or more."""
    assert look.vectors is not None
    if not look.questions or not rows:
        return Found(note="" if look.questions else "there is no exam and no --against file to compare with")
    theirs: Floats = look.vectors([question.question for question in look.questions])
    own: Floats = look.vectors([row.prompt for row in rows])
    findings = []
    for first in range(0, len(own), BLOCK):
        cosines = own[first : first + BLOCK] @ theirs.T
        for at, best in enumerate(np.argmax(cosines, axis=1).tolist()):
            if (cosine := float(cosines[at, best])) >= threshold:
                question = look.questions[best]
                findings.append(Finding(first + at, f"{question.exam}: {shown(question.question)}", value=cosine))
    return Found(findings)
