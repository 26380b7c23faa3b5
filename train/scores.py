"""How good an adapter is on pairs it has not seen: log-probs by a plain forward pass, accuracies with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.errors import NotEnoughOverlap
from annotation.screen import Progress, silent
from train.preflight import Encoded

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples behind every interval."""

MEASURES: Mapping[str, str] = {
    "per_token": "mean log-prob per token of the chosen answer is higher: what the model itself finds likelier, "
    "whatever the lengths",
    "summed": "summed log-prob of the chosen answer is higher: the same without regard to length, so short answers "
    "have it easier",
    "implicit_reward": "beta * (log-prob after - log-prob before) is higher for the chosen answer: what DPO trains. "
    "Before training it is 0 for every answer, which is 50 % by definition",
}
"""What "right" means, per measure. A draw counts half."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A share of pairs that are told apart rightly, and how it was obtained.

    Attributes:
        value: In [0, 1]; a draw counts half.
        low: 2.5 % quantile of the bootstrap.
        high: 97.5 % quantile.
        pairs: How many pairs.
        prompts: How many prompts they belong to; whole prompts are drawn, since pairs of one prompt go together.
    """

    value: float
    low: float
    high: float
    pairs: int
    prompts: int

    def __str__(self) -> str:
        """As a percentage with its interval."""
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True)
class LogProbs:
    """Of both answers of each pair, given the prompt.

    Attributes:
        chosen: Summed over the answer's tokens, natural logarithm, shape (pairs,).
        rejected: The same for the rejected answer.
        chosen_tokens: Tokens summed over, shape (pairs,).
        rejected_tokens: The same for the rejected answer.
    """

    chosen: Floats
    rejected: Floats
    chosen_tokens: Floats
    rejected_tokens: Floats


def log_probs(
    model: Any, rows: Sequence[Encoded], *, pad: int, limit: int, batch: int, progress: Progress = silent
) -> LogProbs:
    """Score both answers of every row with the model in evaluation mode.

    Logits are made from the first answer position of a batch on, and turned to float32 one answer at a time: the
    vocabulary is the widest thing here.

    Args:
        model: A causal language model; its adapters count as they are switched.
        rows: In tokens.
        pad: Token id that fills short rows; it is masked.
        limit: Longest sequence; longer ones are cut at the end, as in training.
        batch: Pairs per forward pass.
        progress: Told how far it is.
    """
    import torch

    sequences = [(row.prompt + answer)[:limit] for row in rows for answer in (row.chosen, row.rejected)]
    starts = [len(row.prompt) for row in rows for _ in range(2)]
    # Long ones together: less padding. The order is undone at the end.
    order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i]), i))
    sums, counts = np.zeros(len(sequences)), np.zeros(len(sequences))
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        for first in range(0, len(order), 2 * batch):
            progress(first // 2, len(rows), "pairs measured")
            chosen = order[first : first + 2 * batch]
            width = max(len(sequences[i]) for i in chosen)
            ids = torch.full((len(chosen), width), pad, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for line, i in enumerate(chosen):
                ids[line, : len(sequences[i])] = torch.tensor(sequences[i])
                mask[line, : len(sequences[i])] = 1
            from_here = min(starts[i] for i in chosen) - 1  # the logits at a position speak of the next token
            ids, mask = ids.to(device), mask.to(device)
            logits = model(
                input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=width - max(from_here, 0)
            ).logits
            for line, i in enumerate(chosen):
                begin, end = max(starts[i], 1), len(sequences[i])
                scores = logits[line, begin - 1 - max(from_here, 0) : end - 1 - max(from_here, 0)].float()
                picked = scores.gather(1, ids[line, begin:end, None]).squeeze(1) - scores.logsumexp(dim=1)
                sums[i], counts[i] = float(picked.double().sum()), end - begin
    return LogProbs(sums[0::2], sums[1::2], counts[0::2], counts[1::2])


def margins(before: LogProbs, after: LogProbs, beta: float) -> dict[str, dict[str, Floats]]:
    """Per measure, how far the chosen answer is ahead of the rejected one, before and after, shape (pairs,)."""

    def summed(scores: LogProbs) -> Floats:
        return scores.chosen - scores.rejected

    def per_token(scores: LogProbs) -> Floats:
        return scores.chosen / scores.chosen_tokens - scores.rejected / scores.rejected_tokens

    reward = beta * (summed(after) - summed(before))
    return {
        "per_token": {"before": per_token(before), "after": per_token(after)},
        "summed": {"before": summed(before), "after": summed(after)},
        "implicit_reward": {"before": np.zeros_like(reward), "after": reward},
    }


def pair_accuracy(ahead: Floats, prompts: Sequence[str], *, seed: int = 0) -> Accuracy:
    """Share of pairs whose chosen answer is ahead, with a 95 % interval.

    Args:
        ahead: How far chosen is ahead, shape (pairs,); 0 is a draw.
        prompts: What each pair belongs to, same length.
        seed: Of the resampling.

    Raises:
        NotEnoughOverlap: There is no pair.
    """
    return _mean_over_prompts(_right(ahead), prompts, seed)


def accuracy_change(before: Floats, after: Floats, prompts: Sequence[str], *, seed: int = 0) -> Accuracy:
    """How much the share of rightly ordered pairs grew, pair by pair, with a 95 % interval; in [-1, 1].

    Raises:
        NotEnoughOverlap: There is no pair.
    """
    return _mean_over_prompts(_right(after) - _right(before), prompts, seed)


def _right(ahead: Floats) -> Floats:
    return np.where(ahead > 0, 1.0, np.where(ahead == 0, 0.5, 0.0))


def _mean_over_prompts(values: Floats, prompts: Sequence[str], seed: int) -> Accuracy:
    # A percentile bootstrap over prompts, not pairs (a cluster bootstrap: Field & Welsh 2007, "Bootstrapping clustered
    # data"): six pairs of one slate are far from six independent observations.
    if not len(values):
        raise NotEnoughOverlap("No pair was held out, so nothing can be measured; raise data.held_out.")
    names, group = np.unique(np.asarray(prompts), return_inverse=True)
    sums, sizes = np.bincount(group, weights=values), np.bincount(group).astype(float)
    drawn = np.random.default_rng(seed).integers(0, len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Accuracy(float(values.mean()), float(low), float(high), len(values), len(names))
