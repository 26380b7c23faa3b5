"""Rounds of a project in one training set: what people said of earlier drafts may weigh less than what they say now.

The newest answers stand closest to what the model writes itself: preferences on them tell most about it. Earlier rounds
keep what was learnt from being forgotten (iterated DPO: Xu et al. 2023, "Some things are more CRINGE than others").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from train.data.slates import RankedSlate
from train.data.split import Split


def by_round(split: Split[RankedSlate], earlier: float) -> Split[RankedSlate]:
    """Slates of earlier rounds at a lower weight; all that were held out stay, so that every round is measured.

    Args:
        split: Of all rounds.
        earlier: Weight of a slate for each round by which it is older than the newest; 0 leaves it out.
    """
    newest = max((slate.round for slate in split.train), default=1)
    weighed = ((slate, earlier ** (newest - slate.round)) for slate in split.train)
    train = (replace(slate, weight=slate.weight * weight) for slate, weight in weighed if weight)
    return Split(tuple(train), split.held_out)


def count_rounds(slates: Iterable[RankedSlate]) -> dict[int, int]:
    """Round -> how many slates are of it, in order."""
    return dict(sorted(Counter(slate.round for slate in slates).items()))
