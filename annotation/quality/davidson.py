"""Davidson model with ties and a discrimination for each annotator, fitted to the rankings of one region.

Of two answers a person prefers the first, neither, or the second as exp(a·u/2) : tie : exp(-a·u/2), where u is how much
stronger the first is and a how finely the person tells answers apart (R. R. Davidson, On extending the Bradley-Terry
model to accommodate ties in paired comparison experiments, 1970, where a is 1 for all; a person's own a as in the
two-parameter logistic model, A. Birnbaum, 1968). Somebody who answers by chance has a = 0; below it they say the
contrary. A ranking of k answers holds k(k-1)/2 comparisons that hang together; each counts 2/k, so that it says as much
as k-1 would alone. What is estimated is drawn towards answers of equal strength and people who are alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from annotation.ledger import Ledger
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.answers import answered_items

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Ranking: TypeAlias = tuple[str, Mapping[str, float]]

SPREAD_OF_STRENGTH, SPREAD_OF_DISCRIMINATION = 2.0, 0.5
"""Standard deviations of the priors: of strengths about 0, of discriminations about 1."""

MOST_ROUNDS = 500
TOLERANCE = 1e-6
"""Of the gradient's largest part, for each comparison."""


@dataclass(frozen=True, slots=True)
class Discrimination:
    """How finely one person tells answers apart.

    Attributes:
        value: The typical person of the region has 1; 0 is chance, below it they say the contrary.
        low: Lower end of its 90 % interval, the strengths taken as known.
        high: Its upper end.
        comparisons: What it stands on.
    """

    value: float
    low: float
    high: float
    comparisons: int


@dataclass(frozen=True, slots=True)
class Davidson:
    """A fitted model.

    Attributes:
        strengths: Answer -> log-strength; those of answers that were never compared with each other do not compare.
        discriminations: Annotator -> discrimination.
        tie: Davidson's nu: at equal strength a tie is so many times as likely as a preference for the first.
        loss: Negative log-posterior, priors included.
        rounds: That it took.
        converged: Whether the gradient vanished; else the estimates are as far as MOST_ROUNDS got.
    """

    strengths: Mapping[str, float]
    discriminations: Mapping[str, Discrimination]
    tie: float
    loss: float
    rounds: int
    converged: bool


def fit_davidson(
    rankings: Iterable[Ranking],
    *,
    spread: float = SPREAD_OF_STRENGTH,
    spread_of_discrimination: float = SPREAD_OF_DISCRIMINATION,
) -> Davidson:
    """Fit the model by L-BFGS.

    Args:
        rankings: Annotator, and answer -> rank, of people of one region; lower is better, equal ranks are a tie. As
            `Task.units` gives them.
        spread: Standard deviation of the prior of strengths.
        spread_of_discrimination: The same of discriminations; 0 gives everybody 1, as Davidson did.

    Raises:
        ValueError: There is no comparison.
    """
    from scipy.optimize import minimize

    seen = _Comparisons.of(rankings)
    if not len(seen.first):
        raise ValueError("no ranking has two answers")
    start = np.zeros(len(seen.answers) + len(seen.people) + 1)
    start[len(seen.answers) : -1] = 1.0
    # The prior of log(tie) is so wide that it only keeps it finite where nobody ties anything, or everybody all.
    precision = np.full(len(start), 1 / spread**2)
    precision[len(seen.answers) : -1] = 1 / spread_of_discrimination**2 if spread_of_discrimination else 0.0
    precision[-1] = 0.001
    free = bool(spread_of_discrimination)
    found = minimize(
        lambda x: seen.loss(x, start, precision, free=free),
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_ROUNDS, "maxfun": 2 * MOST_ROUNDS, "ftol": 1e-12, "gtol": TOLERANCE * len(seen.first)},
    )
    # Only the product of strength and discrimination is known: the typical person sets the scale of both.
    own = found.x[len(seen.answers) : -1]
    scale = median if (median := float(np.median(own))) > 0 else 1.0
    curvature = seen.curvature(found.x) + precision[len(seen.answers) : -1]
    half = NormalDist().inv_cdf(0.95) / np.sqrt(curvature) / scale if free else np.zeros(len(own))
    made = np.bincount(seen.who, minlength=len(seen.people))
    discriminations = {
        who: Discrimination(float(value), float(value - wide), float(value + wide), int(n))
        for who, value, wide, n in zip(seen.people, own / scale, half, made, strict=True)
    }
    strengths = dict(zip(seen.answers, map(float, found.x * scale), strict=False))
    return Davidson(
        strengths, discriminations, float(np.exp(found.x[-1])), float(found.fun), int(found.nit), bool(found.success)
    )


def fit_countries(ledger: Ledger, task: str, *, progress: Progress = silent) -> dict[str, Davidson]:
    """Country -> the model of what its people ranked in a task; without those who ranked nothing.

    Args:
        ledger: The project's.
        task: Name of a task in which things are put in order.
        progress: Told how many items are read.
    """
    rankings: dict[str, list[Ranking]] = defaultdict(list)
    for items, answers in answered_items(ledger, task, progress=progress):
        for answer in answers:
            ranks = TASKS[task].units(items[answer.item_id], answer.value)
            if len(ranks) > 1:
                rankings[answer.country].append((answer.annotator, {of: float(rank) for of, rank in ranks.items()}))
    return {country: fit_davidson(given) for country, given in sorted(rankings.items())}


@dataclass(frozen=True, slots=True)
class _Comparisons:
    """Comparisons as arrays, one row each.

    Attributes:
        answers: Names.
        people: Names.
        first: (comparisons,) number of an answer.
        second: (comparisons,) the other one's.
        who: (comparisons,) number of a person.
        preferred: (comparisons,) 1 for the first, 0 for a tie, -1 for the second.
        counts: (comparisons,) what each counts.
    """

    answers: tuple[str, ...]
    people: tuple[str, ...]
    first: Ints
    second: Ints
    who: Ints
    preferred: Floats
    counts: Floats

    @classmethod
    def of(cls, rankings: Iterable[Ranking]) -> _Comparisons:
        """Rankings of as many answers are taken apart at once."""
        answers: dict[str, int] = {}
        people: dict[str, int] = {}
        by_size: dict[int, tuple[list[int], list[list[int]], list[list[float]]]] = {}
        for annotator, ranks in rankings:
            who, numbers, places = by_size.setdefault(len(ranks), ([], [], []))
            who.append(people.setdefault(annotator, len(people)))
            numbers.append([answers.setdefault(answer, len(answers)) for answer in ranks])
            places.append(list(ranks.values()))
        parts: list[tuple[npt.NDArray[Any], ...]] = []
        for size, (who, numbers, places) in by_size.items():
            if size < 2:
                continue
            one, other = np.triu_indices(size, 1)
            of, at = np.array(numbers), np.array(places, np.float64)
            parts.append(
                (
                    of[:, one].ravel(),
                    of[:, other].ravel(),
                    np.repeat(who, len(one)),
                    np.sign(at[:, other] - at[:, one]).ravel(),
                    np.full(len(who) * len(one), 2 / size),
                )
            )
        columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.zeros(0, int)] * 5
        return cls(tuple(answers), tuple(people), *columns)

    def loss(self, x: Floats, prior: Floats, precision: Floats, *, free: bool) -> tuple[float, Floats]:
        """Negative log-posterior and its gradient, at strengths, discriminations and log(tie)."""
        n, own = len(self.answers), x[len(self.answers) : -1][self.who]
        apart = x[self.first] - x[self.second]
        half = own * apart / 2
        # Logarithms of the three outcomes before they are made probabilities.
        most = np.maximum(np.abs(half), x[-1])
        up, down, tie = np.exp(half - most), np.exp(-half - most), np.exp(x[-1] - most)
        total = up + down + tie
        tied = self.preferred == 0
        said = np.where(tied, x[-1], self.preferred * half)
        beside = x - prior
        value = self.counts @ (most + np.log(total) - said) + 0.5 * precision @ beside**2
        slope = self.counts * ((up - down) / total - self.preferred)  # of the loss, by `half`
        by_strength = slope * own / 2
        gradient = precision * beside
        gradient[:n] += np.bincount(self.first, by_strength, n) - np.bincount(self.second, by_strength, n)
        if free:
            gradient[n:-1] += np.bincount(self.who, slope * apart / 2, len(self.people))
        gradient[-1] += self.counts @ (tie / total - tied)
        return float(value), gradient

    def curvature(self, x: Floats) -> Floats:
        """Expected information on each person's discrimination."""
        own = x[len(self.answers) : -1][self.who]
        apart = x[self.first] - x[self.second]
        half = own * apart / 2
        most = np.maximum(np.abs(half), x[-1])
        up, down, tie = np.exp(half - most), np.exp(-half - most), np.exp(x[-1] - most)
        total = up + down + tie
        variance = (up + down) / total - ((up - down) / total) ** 2
        return np.bincount(self.who, self.counts * variance * apart**2 / 4, len(self.people)).astype(np.float64)
