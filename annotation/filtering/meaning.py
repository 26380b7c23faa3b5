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
    assert look.vectors is not None
    answered = [(place, row) for place, row in enumerate(rows) if row.answers]
    if not answered:
        return Found()
    counts = [len(row.answers) for _, row in answered]
    asked: Floats = look.vectors([row.prompt for _, row in answered])
    said: Floats = look.vectors([answer.text for _, row in answered for answer in row.answers])
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    others = np.add.reduceat(said, starts)[owner] - said
    lengths = np.linalg.norm(others, axis=1)
    to_others = np.einsum("nd,nd->n", said, others) / np.where(lengths > 1e-6, lengths, np.inf)
    best = np.maximum(np.where(lengths > 1e-6, to_others, -1.0), np.einsum("nd,nd->n", said, asked[owner]))
    findings = []
    for at in np.flatnonzero(best < threshold).tolist():
        place, row = answered[owner[at]]
        number = at - int(starts[owner[at]])
        why = f"{row.prompt[:40]} → {shown(row.answers[number].text)}"
        findings.append(Finding(place, why, number, float(best[at])))
    return Found(findings)


def same_meaning(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Rows of which the two answers of every pair have a cosine of `threshold` or more."""
    assert look.vectors is not None
    paired = [(place, pair) for place, row in enumerate(rows) for pair in row.pairs]
    better, worse = (look.vectors([rows[p].answers[pair[side]].text for p, pair in paired]) for side in (0, 1))
    least: dict[int, float] = {}
    for (place, _), cosine in zip(paired, np.einsum("nd,nd->n", better, worse).tolist(), strict=True):
        least[place] = min(cosine, least.get(place, 1.0))
    close = ((place, cosine) for place, cosine in least.items() if cosine >= threshold)
    return Found([Finding(p, shown(rows[p].answers[rows[p].pairs[0][0]].text), value=cosine) for p, cosine in close])


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
