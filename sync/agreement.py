"""How far annotators agree: Krippendorff's alpha for ordinal data, with its overlap and a bootstrap interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from annotation.errors import NotEnoughOverlap
from annotation.types import Judgement

RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient and what it stands on.

    Attributes:
        alpha: 1 is perfect agreement, 0 what chance would give, below 0 systematic disagreement.
        low: 2.5th percentile of the bootstrap over slates; None with a single slate.
        high: 97.5th percentile; None with a single slate.
        slates: Slates ranked by two people or more.
        annotators: People who ranked one of them.
    """

    alpha: float
    low: float | None
    high: float | None
    slates: int
    annotators: int


def middle_ranks(tiers: Sequence[Sequence[str]]) -> dict[str, float]:
    """Candidate -> mean of the places its tier takes: [[a], [b, c]] is a: 1, b: 2.5, c: 2.5.

    So a tie reads the same whichever numbers the page stored for it (1, 2, 2 or 1, 3, 3).
    """
    ranks: dict[str, float] = {}
    for tier in tiers:
        middle = len(ranks) + (len(tier) + 1) / 2
        ranks |= dict.fromkeys(tier, middle)
    return ranks


def measure_agreement(judgements: Iterable[Judgement], *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Ordinal alpha over candidates, where every annotator gives a candidate its middle rank on the slate.

    Source: K. Krippendorff, Content Analysis (4th ed., 2018), ch. 12; the interval resamples whole slates,
    since the ranks of one slate depend on each other.

    Raises:
        NotEnoughOverlap: No slate was ranked by two people, or all ranks are one and the same tie.
    """
    import krippendorff

    by_slate: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.tiers:
            by_slate[judgement.slate_id][judgement.annotator] = judgement
    shared = {slate: votes for slate, votes in by_slate.items() if len(votes) >= 2}
    if not shared:
        raise NotEnoughOverlap("no slate was ranked by two people yet.")

    ranks = [[middle_ranks(vote.tiers) for vote in votes.values()] for votes in shared.values()]
    values = sorted({rank for votes in ranks for vote in votes for rank in vote.values()})
    if len(values) == 1:
        raise NotEnoughOverlap("every shared slate was ranked as one tie.")
    column = {value: index for index, value in enumerate(values)}
    # (units, values): how many annotators gave a candidate each middle rank; the units of a slate stand together.
    units, slate_of_unit = [], []
    for number, votes in enumerate(ranks):
        for candidate in sorted(set().union(*votes)):
            counts = np.zeros(len(values))
            for vote in votes:
                if candidate in vote:
                    counts[column[vote[candidate]]] += 1
            units.append(counts)
            slate_of_unit.append(number)
    value_counts = np.array(units)

    def alpha(rows: np.ndarray) -> float:
        used = rows.sum(axis=0) > 0
        if used.sum() < 2:
            return float("nan")
        domain = [value for value, present in zip(values, used, strict=True) if present]
        return float(
            krippendorff.alpha(value_counts=rows[:, used], value_domain=domain, level_of_measurement="ordinal")
        )

    low = high = None
    if len(shared) > 1:
        places = [np.flatnonzero(np.array(slate_of_unit) == number) for number in range(len(ranks))]
        rng = np.random.default_rng(seed)
        drawn = [
            alpha(value_counts[np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))])])
            for _ in range(resamples)
        ]
        low, high = (float(x) for x in np.nanpercentile(drawn, [2.5, 97.5]))
    return Agreement(alpha(value_counts), low, high, slates=len(shared), annotators=len(set().union(*shared.values())))
