"""Length bias: how far people's choice of an answer goes with its length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.data.slates import RankedSlate
from train.statistics import Floats, places, tau_b


@dataclass(frozen=True)
class LengthBias:
    """Length bias: how far people's choice goes with the tokens of an answer.

    Attributes:
        longer: Share of votes between two answers that go to the longer one, equal ones half.
        tau: Kendall's tau-b of length and rank in a slate, mean over people's rankings: 1 if longer is always better;
            None where all answers of a slate are equally long.
        r: Point-biserial correlation of length and being the chosen one of two (Tate 1954, Annals of Mathematical
            Statistics 25), over all votes between two answers; None where all are equally long.
    """

    longer: float
    tau: float | None
    r: float | None


def length_bias(slates: Sequence[RankedSlate], lengths: Sequence[Sequence[int]]) -> LengthBias:
    """Measure how far people's choice goes with length.

    Args:
        slates: With people's rankings, each of which counts by its share of the slate.
        lengths: Tokens per answer, one list per slate.
    """
    votes: list[tuple[int, int, float]] = []  # tokens of the better and of the worse answer, weight
    taus: list[tuple[float, float]] = []
    for slate, tokens in zip(slates, lengths, strict=True):
        for ranking in slate.rankings:
            for place, tier in enumerate(ranking.tiers):
                lower_ones = [answer for lower in ranking.tiers[place + 1 :] for answer in lower]
                votes += [(tokens[one], tokens[other], ranking.weight) for one in tier for other in lower_ones]
            ranked = [answer for tier in ranking.tiers for answer in tier]
            agreement = tau_b(np.array([tokens[a] for a in ranked], float), places(ranking.tiers, len(tokens))[ranked])
            if not math.isnan(agreement):
                taus.append((agreement, ranking.weight))
    if not votes:
        return LengthBias(0.5, None, None)
    better, worse, weight = (np.array(column, float) for column in zip(*votes, strict=True))
    longer = float((weight * ((better > worse) + 0.5 * (better == worse))).sum() / weight.sum())
    tau = sum(t * w for t, w in taus) / sum(w for _, w in taus) if taus else None
    return LengthBias(longer, tau, point_biserial(better, worse, weight))


def point_biserial(ones: Floats, zeros: Floats, weight: Floats) -> float | None:
    """Weighted correlation of a number with a yes or no: Pearson's, with 1 for `ones` and 0 for `zeros`.

    Args:
        ones: The number where the answer is yes, shape (n,).
        zeros: Where it is no, shape (n,).
        weight: Of both, shape (n,).

    Returns:
        In [-1, 1]; None where all numbers are the same.
    """
    numbers, both = np.concatenate([ones, zeros]), np.concatenate([weight, weight])
    mean = np.average(numbers, weights=both)
    spread = math.sqrt(np.average((numbers - mean) ** 2, weights=both))
    if not spread:
        return None
    # As many yes as no: the standard deviation of yes and no is 1/2.
    return float((np.average(ones, weights=weight) - np.average(zeros, weights=weight)) / 2 / spread)
