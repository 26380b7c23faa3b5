"""Filters on the answers of a prompt: by text length, refusal and language, by vector topic and near duplicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from annotation.config import SelectSettings
from annotation.screen import Progress
from annotation.selection.diversity import UNIT, Flags, Floats, Whole, repeated_answers, similarity_to_others
from annotation.selection.outcome import BROKEN, NEAR_DUPLICATE, OFF_TOPIC, REFUSED, TOO_SHORT, WRONG_LANGUAGE
from annotation.text.hidden import count_broken
from annotation.text.language import tell
from annotation.text.passages import told_apart
from annotation.text.refusals import is_refusal
from annotation.types import Dropped

BESIDE = 0.6
"""Least similarity of what two answers hold beside a passage that they share (`told_apart`), for them to be one: words
exchanged here and there leave about 0.7, another sentence at the end less than 0.4."""

MOST_BROKEN = 0.02
"""Largest share of an answer's characters that can be none: a letter that was lost is a slip, more is no text."""


def filter_texts(answers: Sequence[tuple[str, str, str]], least: int, progress: Progress) -> list[Dropped | None]:
    """Reason against each candidate that its text alone gives, or None.

    Args:
        answers: Language of the prompt, id and text of the candidate.
        least: Characters that an answer has.
        progress: Gets how many are through.
    """
    reasons: list[Dropped | None] = []
    for done, (language, candidate_id, text) in enumerate(answers):
        progress(done, len(answers), "languages")
        length = len(text.strip())
        if length < least:
            reasons.append(Dropped(candidate_id, TOO_SHORT, f"{length} characters"))
        elif (broken := count_broken(text)) > MOST_BROKEN * length:
            reasons.append(Dropped(candidate_id, BROKEN, f"{broken} of {length} characters"))
        elif is_refusal(text, language):
            reasons.append(Dropped(candidate_id, REFUSED))
        elif (found := tell(text, [language])) != language:
            reasons.append(Dropped(candidate_id, WRONG_LANGUAGE, f"{found} instead of {language}"))
        else:
            reasons.append(None)
    return reasons


def filter_vectors(
    ids: Sequence[Sequence[str]],
    reasons: Sequence[list[Dropped | None]],
    of_prompts: Floats,
    of_answers: Floats,
    pairs: Whole,
    texts: Sequence[Sequence[str]],
    thresholds: SelectSettings,
) -> tuple[Flags, list[list[float | None]]]:
    """Drop answers that are off topic, then those that repeat another; their reasons are written into `reasons`.

    Args:
        ids: Candidate ids, of p prompts with n answers each.
        reasons: Those that the texts gave.
        of_prompts: Shape (p, d), unit rows.
        of_answers: Shape (p, n, d), unit rows.
        pairs: Shape (p, n, n): `similarities` of the answers.
        texts: Those of the answers: two that share a passage are no duplicates where what stands beside it differs.
        thresholds: [select] of annot.toml.

    Returns:
        Shape (p, n): which answers are usable; and for each the cosine with the centroid of the prompt's others, None
        where none is left or the text had decided.
    """
    alive: Flags = np.array([[reason is None for reason in line] for line in reasons])
    # An answer is on topic when it is near the prompt's other answers, or near the prompt: with few answers, or
    # most of them astray, the others are no witness.
    to_others = similarity_to_others(pairs, alive)
    to_prompt = np.rint(np.einsum("pnd,pd->pn", of_answers, of_prompts, dtype=np.float64) * UNIT)
    centroid = [
        [value / UNIT if seen and value > -UNIT else None for value, seen in zip(values, judged, strict=True)]
        for values, judged in zip(to_others.tolist(), alive.tolist(), strict=True)
    ]
    off_topic = alive & (np.maximum(to_others, to_prompt) < thresholds.off_topic * UNIT)
    alive &= ~off_topic
    apart, limit = pairs.copy(), math.ceil(thresholds.near_duplicate * UNIT)
    both = alive[:, :, None] & alive[:, None, :]
    for p, n, m in np.argwhere(np.triu(both & (pairs >= limit), 1)).tolist():
        if told_apart(texts[p][n], texts[p][m], BESIDE):
            apart[p, n, m] = apart[p, m, n] = limit - 1
    repeats = repeated_answers(apart, alive, thresholds.near_duplicate)
    for p, n in zip(*np.nonzero(off_topic), strict=True):
        reasons[p][n] = Dropped(ids[p][n], OFF_TOPIC, f"{max(to_others[p, n], to_prompt[p, n]) / UNIT:.3f}")
    for p, n in zip(*np.nonzero(repeats >= 0), strict=True):
        reasons[p][n] = Dropped(ids[p][n], NEAR_DUPLICATE, ids[p][repeats[p, n]])
    alive &= repeats < 0
    return alive, centroid
