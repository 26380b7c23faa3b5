"""Estimates with intervals, rank correlation and repetition: pure functions of numbers, each tested on a known answer.

Intervals come from a percentile bootstrap over prompts, not over rows (a cluster bootstrap: Field & Welsh 2007,
"Bootstrapping clustered data"): the six pairs of a slate, or two slates that ask the same, are far from independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.errors import NotEnoughOverlap

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples behind every interval."""

FEWEST_PROMPTS = 5
"""Groups of fewer prompts show no interval: a bootstrap over a handful is far too narrow."""

Z = 1.959964
"""97.5 % quantile of the normal distribution."""

DRAWN_AT_ONCE = 4_000_000
"""Most cluster numbers in memory at a time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over observations, and how it was obtained.

    Attributes:
        value: Weighted mean.
        low: 2.5 % quantile of the bootstrap.
        high: 97.5 % quantile.
        count: Observations (pairs, slates, answers).
        prompts: How many prompts they belong to; whole prompts are drawn.
    """

    value: float
    low: float
    high: float
    count: int
    prompts: int

    def __str__(self) -> str:
        """As a percentage with its interval."""
        return f"{self.value:.1%} {self.interval('.1%')}"

    @property
    def points(self) -> str:
        """A difference of two shares in percentage points, with its interval."""
        return f"{100 * self.value:+.1f} points {self.interval('+.1f', 100)}"

    def interval(self, form: str, scale: float = 1.0) -> str:
        """The interval in brackets, its ends as `form` writes a number; [–] where too few prompts are behind it."""
        if self.prompts < FEWEST_PROMPTS:
            return "[–]"
        return f"[{scale * self.low:{form}}, {scale * self.high:{form}}]"


def mean_over_prompts(
    values: Floats,
    prompts: Sequence[str],
    weights: Floats | None = None,
    *,
    seed: int = 0,
    within: tuple[float, float] | None = None,
) -> Estimate:
    """Weighted mean with a 95 % interval; the sizes of the prompts are drawn along with their values.

    A bootstrap of equal values has no width. Where the values have bounds, a Wilson interval takes its place (E. B.
    Wilson 1927, "Probable inference", JASA 22), of as many values as there are prompts of equal weight (L. Kish 1965,
    "Survey sampling"): 14 right of 14 is 78 % to 100 %.

    Args:
        values: One per observation, shape (observations,).
        prompts: What each belongs to, same length.
        weights: Not negative, same length; all 1 when None.
        seed: Of the resampling.
        within: Smallest and largest value that there can be; None where there is none.

    Raises:
        NotEnoughOverlap: There is no observation, or all weigh nothing.
    """
    weights = np.ones(len(values)) if weights is None else weights
    if not weights.sum() > 0:
        raise NotEnoughOverlap("Nothing was held out that could be measured; raise data.held_out.")
    names, group = np.unique(np.asarray(prompts), return_inverse=True)
    sums = np.bincount(group, weights=values * weights, minlength=len(names))
    sizes = np.bincount(group, weights=weights, minlength=len(names))
    chance = np.random.default_rng(seed)
    rows = max(1, DRAWN_AT_ONCE // len(names))
    means: list[Floats] = []
    for first in range(0, RESAMPLES, rows):
        drawn = chance.integers(0, len(names), size=(min(rows, RESAMPLES - first), len(names)))
        total = sizes[drawn].sum(axis=1)
        # A draw of prompts that all weigh nothing says nothing; it is left out.
        means.append((sums[drawn].sum(axis=1)[total > 0]) / total[total > 0])
    low, high = (float(end) for end in np.quantile(np.concatenate(means), [0.025, 0.975]))
    mean = float(sums.sum() / sizes.sum())
    if within and high - low < 1e-12:
        low, high = _wilson(mean, sizes.sum() ** 2 / (sizes**2).sum(), *within)
    return Estimate(mean, low, high, len(values), len(names))


def paired_difference(
    base: Floats, adapted: Floats, items: Sequence[str], weights: Floats | None = None, *, seed: int = 0
) -> Estimate:
    """Mean of adapted - base, item by item, with a paired bootstrap interval.

    Whole items are drawn with both of their values (B. Efron & R. Tibshirani 1993, "An introduction to the bootstrap"):
    what is hard for both models cancels out. Where all differences are equal the bootstrap has no width; then the
    interval is as wide as the Wilson bound on the share of items that could have differed otherwise.

    Args:
        base: Values from 0 to 1, one per item.
        adapted: The same, in the same order.
        items: Their names.
        weights: Not negative, same length; all 1 when None.
        seed: Of the resampling.
    """
    found = mean_over_prompts(adapted - base, items, weights, seed=seed)
    if found.high - found.low > 1e-12:
        return found
    most = _wilson(0.0, found.prompts, 0, 1)[1]
    return replace(found, low=max(-1.0, found.value - most), high=min(1.0, found.value + most))


def rise_from_half(base: Floats, adapted: Floats, items: Sequence[str], *, seed: int = 0) -> Estimate:
    """How much further from a half a share is with the adapter: |mean(adapted) - 0.5| - |mean(base) - 0.5|.

    A distance has a kink at a half, and there a bootstrap of it is too narrow. So the ends are taken of the four
    differences without one, each share on either side of a half, and the distances are put together of these: they are
    the largest over the sides of the one and the smallest over those of the other. The bootstrap is paired: whole items
    are drawn, and both means are taken of the same draw. Where every draw gives the same, the interval is as wide as
    Wilson's bound on the share of values that could have differed otherwise.

    Args:
        base: Values from 0 to 1, one or more per item.
        adapted: The same, in the same order.
        items: What each belongs to; whole items are drawn.
        seed: Of the resampling.
    """
    names, group = np.unique(np.asarray(items), return_inverse=True)
    sizes = np.bincount(group)
    sums = np.stack([np.bincount(group, weights=values) for values in (base, adapted)])
    chance, count = np.random.default_rng(seed), len(names)
    rows, means = max(1, DRAWN_AT_ONCE // count), list[Floats]()
    for first in range(0, RESAMPLES, rows):
        drawn = chance.integers(0, count, size=(min(rows, RESAMPLES - first), count))
        means.append(sums[:, drawn].sum(axis=2) / sizes[drawn].sum(axis=1) - 0.5)
    before, after = np.concatenate(means, axis=1)
    sides = [[np.quantile(one * after - other * before, [0.025, 0.975]) for other in (1, -1)] for one in (1, -1)]
    ends = np.array(sides)
    low, high = float(ends[:, :, 0].max(axis=0).min()), float(ends[:, :, 1].min(axis=1).max())
    value = float(abs(adapted.mean() - 0.5) - abs(base.mean() - 0.5))
    if high - low < 1e-12:
        most = _wilson(0.0, len(items), 0, 1)[1]
        low, high = max(-0.5, value - most), min(0.5, value + most)
    return Estimate(value, low, high, len(items), count)


def fewest_for(change: float) -> int:
    """Fewest items with which a mean that does not change at all is known to change by less than so much.

    Wilson's bound on 0 changes of n, z² / (n + z²), is below it from there on.
    """
    return math.ceil(Z**2 * (1 / change - 1)) + 1


def chance_of_as_many(right: int, count: int, chance: float) -> float:
    """Probability of at least so many right answers by guessing: the exact one-sided binomial test.

    Args:
        right: Right answers.
        count: Of how many.
        chance: Of a right answer by guessing, between 0 and 1.
    """
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(k + 1)
        - math.lgamma(count - k + 1)
        + k * math.log(chance)
        + (count - k) * math.log1p(-chance)
        for k in range(right, count + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def binomial_share(right: int, count: int) -> Estimate:
    """Share of independent yes-or-no answers, one at least, with its Wilson interval."""
    return Estimate(right / count, *_wilson(right / count, count, 0, 1), count, count)


def win_rate(wins: int, ties: int, losses: int) -> Estimate:
    """Wins and half of the ties, over independent comparisons, one at least: 0.5 where neither side is better.

    It is (1 + d) / 2 for the difference d between the shares of wins and of losses, and so is its interval, the score
    interval of d (T. Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17). Without ties that is Wilson's; it has a width where all
    comparisons end alike; and it lies above 0.5 exactly where McNemar's test says that wins outnumber losses.
    """
    count = wins + ties + losses
    low, high = _lowest_difference(wins, losses, count), -_lowest_difference(losses, wins, count)
    return Estimate((1 + (wins - losses) / count) / 2, (1 + low) / 2, (1 + high) / 2, count, count)


def _lowest_difference(wins: int, losses: int, count: int) -> float:
    """Lowest difference between the shares of wins and of losses that the score test does not reject."""

    def rejected(d: float) -> bool:
        # The share of losses that is likeliest where the difference is d.
        b = (2 * count - wins + losses) * d - wins - losses
        share = (math.sqrt(max(0.0, b * b + 8 * count * losses * d * (1 - d))) - b) / (4 * count)
        return (wins - losses - count * d) ** 2 > Z**2 * count * (2 * share + d * (1 - d))

    inside, outside = (wins - losses) / count, -1.0
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
    return inside


def mean_of_two(one: Estimate, other: Estimate) -> Estimate:
    """Mean of two independent estimates; the distances to the ends of their intervals are squared and added (R. G.
    Newcombe 1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17).
    """
    value = (one.value + other.value) / 2
    below = math.hypot(one.value - one.low, other.value - other.low) / 2
    above = math.hypot(one.high - one.value, other.high - other.value) / 2
    return Estimate(value, value - below, value + above, one.count + other.count, one.prompts + other.prompts)


def davidson_nu(wins: int, ties: int, losses: int) -> float | None:
    """How readily two items are called equal: nu of Davidson's model, estimated by maximum likelihood.

    R. R. Davidson 1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments",
    JASA 65: P(first better), P(tie), P(second better) are as p : nu sqrt(p q) : q. Two items leave nothing to fit: the
    likeliest probabilities are the shares, p / q = wins / losses and nu = ties / sqrt(wins losses).

    Returns:
        None where it is infinite: there are ties, and one side never won.
    """
    return None if ties and not wins * losses else ties / math.sqrt(wins * losses or 1)


def read_estimates(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as `asdict` and JSON left it, in which estimates are estimates again."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return Estimate(**value) if "low" in value else read_estimates(value)

    return {key: read(value) for key, value in values.items()}


def _wilson(mean: float, count: float, least: float, most: float) -> tuple[float, float]:
    """The Wilson interval of a mean of `count` values between two bounds."""
    share = (mean - least) / (most - least)
    middle, scale = share + Z**2 / (2 * count), 1 + Z**2 / count
    half = Z * np.sqrt(max(0.0, share * (1 - share)) / count + Z**2 / (4 * count**2))
    low, high = ((middle - half) / scale, (middle + half) / scale)
    return float(least + max(0.0, low) * (most - least)), float(least + min(1.0, high) * (most - least))


def places(tiers: Iterable[Iterable[int]], size: int) -> Floats:
    """Tiers (best first) as one number per item, higher is better, equal within a tier; NaN for items in no tier."""
    found = np.full(size, np.nan)
    for depth, tier in enumerate(tiers):
        found[list(tier)] = -depth
    return found


def signs(values: Floats) -> Floats:
    """Signs of all differences: sign(values[i] - values[j]) for all i < j, in the order of numpy.triu_indices."""
    first, second = np.triu_indices(len(values), 1)
    return np.sign(values[first] - values[second])


def tau_b(one: Floats, other: Floats) -> float:
    """Kendall's tau-b, the rank correlation that allows for ties on both sides (M. G. Kendall 1945, Biometrika 33).

    NaN where either side ties everything: there is no order to agree with.
    """
    a, b = signs(one), signs(other)
    scale = np.sqrt(np.abs(a).sum() * np.abs(b).sum())
    return float((a * b).sum() / scale) if scale else float("nan")


def repeated_share(tokens: Sequence[int], n: int = 4) -> float:
    """Share of an answer's n-grams that were in it before: seq-rep-n of Welleck et al. 2020, "Neural text generation
    with unlikelihood training". 0 for answers shorter than n.
    """
    grams = _grams(tokens, n)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def distinct_share(answers: Iterable[Sequence[int]], n: int = 2) -> float:
    """Different n-grams over all n-grams of all answers: distinct-n of Li et al. 2016, "A diversity-promoting objective
    function for neural conversation models". It falls as more text is read: compare only equally many answers.
    """
    grams = [gram for tokens in answers for gram in _grams(tokens, n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def _grams(tokens: Sequence[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
