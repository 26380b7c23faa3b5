"""Contrast of a pair: nothing is learnt from two answers that are nearly the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annotation.drafting.verdict import normal_form
from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look, shown
from annotation.prompts.duplicates import BESIDE
from annotation.text.passages import shingles, told_apart

_SIGNS = re.compile(r"[<>=≤≥≠±×÷+%]|(?<!\w)[-−](?=\d)")
"""Signs that change what is said."""

_WORD = re.compile(r"\w")


def same_words(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Rows of which every pair is nearly the same text: Jaccard similarity of 5-character shingles.

    Two long answers that share a passage are compared by what stands beside it: an ending that says the opposite is
    contrast enough.
    """
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "contrast")
        least = 1.0
        for one, two in row.pairs:
            least = min(least, _likeness(row.answers[one].text, row.answers[two].text, threshold))
            if least < threshold:  # one pair that differs is enough
                break
        else:
            if row.pairs:
                findings.append(Finding(place, shown(row.answers[row.pairs[0][0]].text), value=least))
    return Found(findings)


def _likeness(one: str, two: str, threshold: float) -> float:
    if normal_form(one) == normal_form(two):
        return 1.0
    if _SIGNS.findall(one) != _SIGNS.findall(two) or not _WORD.search(one + two):
        return 0.0  # shingles know words alone: "x < 3" and "x > 3" differ, and so do a thumb up and one down
    mine, theirs = shingles(one), shingles(two)
    if min(len(mine), len(theirs)) < threshold * max(len(mine), len(theirs)):
        return 0.0  # sets of so different sizes cannot be so similar
    similarity = len(mine & theirs) / len(mine | theirs)
    return 0.0 if similarity >= threshold and told_apart(one, two, BESIDE) else similarity
