"""Losses on the implicit rewards of a slate: listwise, or pair by pair.

The implicit reward of an answer is beta * (log-prob under the policy - log-prob under the reference), summed over the
answer's tokens (Rafailov et al. 2023, "Direct Preference Optimization"). Two objectives on the rewards of a slate:

- `pairwise`: conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences & relationship to IPO") on every
  comparison: z = reward(better) - reward(worse) - margin; (1 - s) * -log sigmoid(z) + s * -log sigmoid(-z), with the
  smoothing s = share of votes against. A margin is DPO with an offset (Amini et al. 2024).
- `plackett_luce`: the listwise form (appendix A.3 there): -log P(ranking), where the best is drawn first with
  probability softmax(rewards), then the next from what is left. Tied answers have an order too, which is only not
  known: the likelihood is the exact sum over all orders that agree with the ranking (Kalbfleisch & Prentice 1973 for
  tied times; Allison & Christakis 1994, "Logit models for sets of ranked items"). It is computed by a recursion over
  the subsets of a tier, 2^m instead of m! terms for m tied answers. The last tier, which is all that is left, says
  nothing, and neither does a slate whose answers are all tied.

With two answers both are DPO's sigmoid loss. No I/O here, and nothing that a setting decides: `apply_objective` wrote
weights, margins and smoothing onto the slates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from train.data.slates import RankedSlate

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Kind = Literal["plackett_luce", "pairwise"]


@dataclass(frozen=True)
class Stages:
    """Tiers of one size, each followed by at least one worse answer. Indices go into the flat vector of answers.

    Attributes:
        tier: The answers that are tied, shape (stages, size).
        rest: All worse answers, padded with 0, shape (stages, longest rest).
        padding: True where `rest` holds no answer, same shape.
        weight: Of each stage, float64, shape (stages,).
    """

    tier: Tensor
    rest: Tensor
    padding: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Targets:
    """Rankings and comparisons of a batch of slates, as indices into the flat vector of all their answers.

    Attributes:
        kind: Which objective.
        count: What the objective is a mean over: comparisons by weight, or ranked stages by the share of people; the
            weights of the slates are left out, so that a slate with weight 0.2 really pulls a fifth.
        better: Of each comparison, shape (comparisons,).
        worse: The same.
        smoothing: Probability of a wrong label, float64, same shape.
        margin: In reward units, float64, same shape.
        weight: Of slate and comparison, float64, same shape.
        stages: The ranked stages, tiers of one size together; empty for `pairwise`.
        imitated: Answers of the SFT term, shape (slates with one,).
        imitated_weight: Of their slates, float64, same shape.
    """

    kind: Kind
    count: float
    better: Tensor
    worse: Tensor
    smoothing: Tensor
    margin: Tensor
    weight: Tensor
    stages: tuple[Stages, ...]
    imitated: Tensor
    imitated_weight: Tensor

    @property
    def weighted_count(self) -> float:
        """`count` with the weights of the slates: divided by it, slates that all weigh alike have the usual loss."""
        return float(self.weight.sum() if self.kind == "pairwise" else sum(float(s.weight.sum()) for s in self.stages))

    @property
    def sft_count(self) -> int:
        """What the SFT term is a mean over: slates with a target."""
        return len(self.imitated)


def targets(slates: Sequence[RankedSlate], kind: Kind, device: str | torch.device = "cpu") -> Targets:
    """Lay the slates' rankings and comparisons out for `objective`, `sft_term` and `comparison_stats`.

    Args:
        slates: In the order in which their answers stand in the flat vector: all answers of the first, then the next.
        kind: Which objective.
        device: Where the rewards are.
    """
    import torch

    pairs: list[tuple[int, int, float, float, float]] = []
    tiers: dict[int, list[tuple[tuple[int, ...], tuple[int, ...], float]]] = defaultdict(list)
    imitated: list[tuple[int, float]] = []
    count, offset = 0.0, 0
    for slate in slates:
        for pair in slate.comparisons:
            weight = slate.weight * pair.weight
            pairs.append((offset + pair.better, offset + pair.worse, pair.smoothing, pair.margin, weight))
            count += pair.weight if kind == "pairwise" else 0.0
        for ranking in slate.rankings if kind == "plackett_luce" else ():
            count += ranking.weight * ranking.stages
            for place, tier in enumerate(ranking.tiers[:-1]):
                rest = tuple(offset + answer for lower in ranking.tiers[place + 1 :] for answer in lower)
                here = tuple(offset + answer for answer in tier)
                tiers[len(tier)].append((here, rest, slate.weight * ranking.weight))
        if slate.target is not None:
            imitated.append((offset + slate.target, slate.weight))
        offset += len(slate.answers)

    def whole(numbers: Sequence[object]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=device)

    def real(numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=device)

    stages: list[Stages] = []
    for _, found in sorted(tiers.items()):
        width = max(len(rest) for _, rest, _ in found)
        fill = [(*rest, *[0] * (width - len(rest))) for _, rest, _ in found]
        padding = [[place >= len(rest) for place in range(width)] for _, rest, _ in found]
        stages.append(
            Stages(
                whole([tier for tier, _, _ in found]),
                whole(fill),
                torch.tensor(padding, dtype=torch.bool, device=device),
                real([weight for _, _, weight in found]),
            )
        )
    return Targets(
        kind,
        count,
        whole([pair[0] for pair in pairs]),
        whole([pair[1] for pair in pairs]),
        real([pair[2] for pair in pairs]),
        real([pair[3] for pair in pairs]),
        real([pair[4] for pair in pairs]),
        tuple(stages),
        whole([answer for answer, _ in imitated]),
        real([weight for _, weight in imitated]),
    )


def objective(rewards: Tensor, targets: Targets) -> Tensor:
    """The weighted sum of the losses; divide by `targets.count` over all devices and micro-batches of an update.

    Args:
        rewards: Implicit rewards, beta * (policy - reference), shape (answers,).
        targets: Of the slates that the answers belong to.

    Returns:
        A scalar in float64: there are a few numbers per slate, and sums over a batch stay exact.
    """
    from torch.nn.functional import logsigmoid

    rewards = rewards.double()
    if targets.kind == "pairwise":
        ahead = rewards[targets.better] - rewards[targets.worse] - targets.margin
        losses = (targets.smoothing - 1) * logsigmoid(ahead) - targets.smoothing * logsigmoid(-ahead)
        return (targets.weight * losses).sum()
    total = rewards.sum() * 0.0  # without any stage there is a gradient still, of zero
    for stages in targets.stages:
        total = total - (stages.weight * _log_probability(rewards, stages)).sum()
    return total


def _log_probability(rewards: Tensor, stages: Stages) -> Tensor:
    """Log of the probability that the tier's answers are drawn before the rest, in whatever order.

    taken[S] is the log-probability that the first |S| draws are the answers S of the tier: the last of them was drawn
    from the rest and what S leaves of the tier, plus itself.
    """
    import torch

    tier = rewards[stages.tier]
    size = tier.shape[1]
    rest = rewards[stages.rest].masked_fill(stages.padding, -torch.inf).logsumexp(dim=1)
    members = range(size)
    taken: dict[tuple[int, ...], Tensor] = {(): torch.zeros_like(rest)}
    for drawn in range(1, size + 1):
        for subset in combinations(members, drawn):
            ways = []
            for last in subset:
                before = tuple(member for member in subset if member != last)
                there = [tier[:, member] for member in members if member not in before]
                pool = torch.stack([rest, *there]).logsumexp(dim=0)
                ways.append(taken[before] + tier[:, last] - pool)
            taken[subset] = ways[0] if drawn == 1 else torch.stack(ways).logsumexp(dim=0)
    return taken[tuple(members)]


def sft_term(log_probs: Tensor, lengths: Tensor, targets: Targets) -> Tensor:
    """The weighted sum of log-losses per token of the imitated answers (Pang et al. 2024, "Iterative Reasoning
    Preference Optimization"); divide by `targets.sft_count` over all devices and micro-batches of an update.

    Args:
        log_probs: Under the policy, summed over the answer's tokens, shape (answers,).
        lengths: Tokens summed over, same shape.
        targets: Of the slates that the answers belong to.
    """
    per_token = log_probs[targets.imitated].double() / lengths[targets.imitated].double()
    return -(targets.imitated_weight * per_token).sum()


def comparison_stats(rewards: Tensor, targets: Targets, rounding: Tensor | None = None) -> tuple[float, float, int]:
    """Comparisons whose better answer is ahead (a draw counts half), their summed lead, and how many: for the log.

    Args:
        rewards: As for `objective`.
        targets: Of the slates that the answers belong to.
        rounding: How far off each reward may be by rounding alone, shape (answers,): a lead within that of both is a
            draw. Before anything is learnt every reward is such. None: none is off.
    """
    ahead = (rewards.detach()[targets.better] - rewards.detach()[targets.worse]).double()
    noise = 0.0 if rounding is None else (rounding[targets.better] + rounding[targets.worse]).double()
    right = (ahead > noise).double().sum() + 0.5 * (ahead.abs() <= noise).double().sum()
    return float(right), float(ahead.sum()), len(ahead)
