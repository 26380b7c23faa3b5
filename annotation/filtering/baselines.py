"""Baselines that never read an answer: how often length, style or a model's name alone tells which one is chosen.

A reward model that is trained on such a set may learn the shortcut instead of what people like (Singhal et al. 2023, "A
long way to go: investigating length correlations in RLHF"; Gururangan et al. 2018, "Annotation artifacts in natural
language inference data", for baselines that see only a part of the input).
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from annotation.filtering.rule import Finding, Flag, Found

FOLDS = 5
"""Parts of a set, by group of near duplicates, of which each is foretold by what the others teach."""

FEW = 30
"""A share of fewer rows than this raises nothing."""

Z95 = 1.959964

Floats = NDArray[np.float64]


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many rows (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    middle = share + Z95**2 / (2 * count)
    around = Z95 * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    low, high = ((middle + sign * around) / (1 + Z95**2 / count) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def share_flag(of: str, right: Floats, threshold: float, guess: str, opposite: str = "", note: str = "") -> Flag:
    """How often a guess is right; or its opposite, where there is one that is right more often.

    Args:
        of: What it is of.
        right: Shape (n,), per row: 1 where the guess is right, 0 where it is wrong, ½ where it says nothing.
        threshold: Raised above it, where the interval does not hold ½ and there are FEW rows.
        guess: What it says, in words.
        opposite: What its opposite says; "" for a guess that was learnt, whose opposite nobody would make.
        note: Stands behind it.
    """
    share = float(right.mean()) if len(right) else 0.5
    turned = bool(opposite) and share < 0.5
    value = 1 - share if turned else share
    low, high = interval(value, len(right))
    raised = value > threshold and low > 0.5 and len(right) >= FEW
    return Flag(
        of, value, low, high, len(right), raised, "; ".join(filter(None, [opposite if turned else guess, note]))
    )


def surplus(right: Floats, rows: Sequence[int], weights: Floats, threshold: float, because_of: str) -> list[Finding]:
    """The rows to leave out so that a guess is right no more often than the threshold: the plainest ones first.

    Args:
        right: Shape (n,), as in `share_flag`.
        rows: Places of the n rows.
        weights: Shape (n,): how plain the shortcut is in each.
        threshold: Share that is left.
        because_of: For each of them.
    """
    toward = right if right.mean() >= 0.5 else 1 - right
    threshold = max(threshold, 0.5)  # below it the opposite guess would be right
    carriers = np.flatnonzero(toward == 1)
    count = min(len(carriers), max(0, math.ceil((toward.sum() - threshold * len(toward)) / (1 - threshold) - 1e-9)))
    chosen = carriers[np.argsort(-np.abs(weights[carriers]), kind="stable")[:count]]
    return [Finding(rows[at], because_of, value=float(weights[at])) for at in sorted(chosen.tolist())]


def folds(groups: Sequence[str]) -> NDArray[np.int64]:
    """The part, below FOLDS, of each row: rows of one group are in one part, in every process the same."""
    return np.array([zlib.crc32(group.encode()) % FOLDS for group in groups], dtype=np.int64)


def foretold_by_features(differences: Floats, groups: Sequence[str]) -> Floats:
    """Score each row by a logistic regression that the other folds teach: above 0, the better answer is foretold.

    Args:
        differences: Shape (n, f): features of the better answer less those of the worse one. There is no intercept:
            whichever answer stands first makes no difference.
        groups: Of the n rows.

    Returns:
        Shape (n,).
    """
    part, scores = folds(groups), np.zeros(len(differences))
    for fold in range(FOLDS):
        scores[part == fold] = differences[part == fold] @ _logistic(differences[part != fold])
    return scores


def _logistic(x: Floats) -> Floats:
    """Weights of a logistic regression in which every row is a 1, with a ridge of 1, by Newton's method."""
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        likely = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        step = np.linalg.solve(
            (x * (likely * (1 - likely))[:, None]).T @ x + np.eye(len(weights)), x.T @ (1 - likely) - weights
        )
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def foretold_by_words(
    better: Sequence[frozenset[str]], worse: Sequence[frozenset[str]], groups: Sequence[str]
) -> tuple[Floats, Mapping[str, tuple[int, int]]]:
    """Score each row by words that stand on one side alone: the sum of their log odds in the other folds.

    Args:
        better: Of each row, the words that only the better answer has.
        worse: Those that only the worse one has.
        groups: Of the rows.

    Returns:
        Shape (n,); and for each word how often it stood on the better and on the worse side.
    """
    part = folds(groups)
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros((FOLDS, 2), np.int64))
    for place, both in enumerate(zip(better, worse, strict=True)):
        for side, words in enumerate(both):
            for word in words:
                counts[word][part[place], side] += 1
    scores = np.zeros(len(better))
    odds: list[dict[str, float]] = []
    for fold in range(FOLDS):
        rest = {word: of.sum(axis=0) - of[fold] for word, of in counts.items()}
        odds.append({word: math.log((n[0] + 1) / (n[1] + 1)) for word, n in rest.items() if n.sum() >= FOLDS})
    for place, (mine, theirs) in enumerate(zip(better, worse, strict=True)):
        known = odds[part[place]]
        scores[place] = sum(known.get(word, 0.0) for word in mine) - sum(known.get(word, 0.0) for word in theirs)
    return scores, {word: (int(of[:, 0].sum()), int(of[:, 1].sum())) for word, of in counts.items()}


def told(scores: Floats) -> Floats:
    """What a score comes to: 1 where it foretells the better answer, 0 where the worse one, ½ where it says nothing."""
    right: Floats = (np.sign(scores) + 1) / 2
    return right


def nothing_to_measure() -> Found:
    """What a baseline finds in a set without pairs."""
    return Found(note="no row says which answer is better")
