"""The objective on a slate: whether it learns anything from it, and its settings put onto it.

- For the listwise objective (`plackett_luce`) every person's ranking is one, weighted so that all rankings of a slate
  sum to 1: a slate counts once per country, however many people saw it, and what they disagree about is heard. A
  person whose votes weigh half as much as another's has half the share.
- For the pairwise objective the votes are counted first, each by its weight, as in preferences.parquet: a pair is a
  comparison where more votes are for than against and the thresholds of `[preferences]` are met; its smoothing is the
  share of votes against.
- Who ranked fewer than two answers compared nothing and does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from annotation.errors import TrainError
from annotation.types import Dropped
from train.data.slates import RankedSlate
from train.settings import DpoSettings

Objective = Literal["plackett_luce", "pairwise", "trl"]

# Why an objective learns nothing from a slate.
ALONE = "fewer than two answers"
NOT_RANKED = "nobody ranked two answers"
ALL_TIED = "all answers tied"
UNCLEAR = "no pair is clear enough"
WEIGHTLESS = "its weight is 0"


def is_informative(slate: RankedSlate, objective: Objective) -> bool:
    """Whether an objective learns anything from a slate."""
    if not slate.weight:
        return False
    return slate.stages > 0 if objective == "plackett_luce" else bool(slate.comparisons)


def why_uninformative(slate: RankedSlate) -> str:
    """Why an objective learns nothing from a slate that is not informative."""
    if len(slate.answers) < 2:
        return ALONE
    if not any(sum(map(len, ranking.tiers)) > 1 for ranking in slate.rankings):
        return NOT_RANKED
    if not slate.stages:
        return ALL_TIED
    return UNCLEAR if slate.weight else WEIGHTLESS


def apply_objective(
    slates: Iterable[RankedSlate], settings: DpoSettings
) -> tuple[tuple[RankedSlate, ...], tuple[Dropped, ...]]:
    """Put the settings of the objective onto the slates: smoothing, margin, weight and target.

    Returns:
        Slates from which the objective learns, and the uninformative ones with the reason.

    Raises:
        TrainError: The objective is TRL's, and a slate has a weight or a margin of its own.
    """
    every = tuple(slates)
    if settings.objective == "trl":
        for slate in every:
            if slate.weight != 1 or any(pair.weight != 1 or pair.margin for pair in slate.comparisons):
                raise TrainError(f'{slate.id} has a weight or a margin, which TRL\'s losses ignore; choose "pairwise".')
    informative = [slate for slate in every if is_informative(slate, settings.objective)]
    uninformative = tuple(
        Dropped(slate.id, why_uninformative(slate)) for slate in every if not is_informative(slate, settings.objective)
    )
    people = sum(slate.people for slate in informative) / max(len(informative), 1)
    fixed = settings.label_smoothing
    applied = (
        replace(
            slate,
            comparisons=tuple(
                replace(
                    pair,
                    smoothing=pair.smoothing if fixed == "votes" else fixed,
                    margin=pair.margin + settings.margin * pair.lead,
                )
                for pair in slate.comparisons
            ),
            weight=slate.weight * (slate.people / people if settings.weight == "people" else 1.0),
            target=slate.target if settings.sft_weight else None,
        )
        for slate in informative
    )
    return tuple(applied), uninformative
