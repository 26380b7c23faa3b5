"""How good an adapter is on answers it has not seen: log-probs and divergence by a plain forward pass, accuracies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotation.screen import Progress, silent
from train.encoding import Encoded
from train.statistics import Estimate, Floats, mean_over_prompts

POSITIONS_AT_ONCE = 256
"""Positions whose whole vocabulary stands in float32 at a time: 256 MiB per copy with 256,000 entries."""

MEASURES: Mapping[str, str] = {
    "per_token": "mean log-prob per token of the chosen answer is higher: what the model itself finds likelier, "
    "whatever the lengths",
    "summed": "summed log-prob of the chosen answer is higher: the same without regard to length, so short answers "
    "have it easier",
    "implicit_reward": "beta * (log-prob after - log-prob before) is higher for the chosen answer: what DPO trains. "
    "Before training it is 0 for every answer, which is 50 % by definition",
}
"""What "right" means, per measure. A draw counts half."""


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


@dataclass(frozen=True, slots=True)
class Written:
    """A prompt and an answer in tokens.

    Attributes:
        ids: Both.
        start: Where the answer begins.
    """

    ids: Sequence[int]
    start: int


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """An answer in the eyes of the base and of the adapted model.

    Attributes:
        base: Log-prob of the answer without the adapter, summed over its tokens, natural logarithm.
        adapted: The same with it.
        tokens: How many.
        kl: KL(adapted || base) of the next token, over the whole vocabulary, summed over the positions of the answer.
    """

    base: float
    adapted: float
    tokens: int
    kl: float


def log_probs(
    model: Any, rows: Sequence[Encoded], *, pad: int, limit: int, batch: int, progress: Progress = silent
) -> LogProbs:
    """Score both answers of every row with the model in evaluation mode.

    Args:
        model: A causal language model; its adapters count as they are switched.
        rows: In tokens.
        pad: Token id that fills short rows; it is masked.
        limit: Longest sequence; longer ones are cut at the end, as in training.
        batch: Pairs per forward pass.
        progress: Told how far it is.
    """
    import torch

    answers = [
        Written((row.prompt + answer)[:limit], len(row.prompt)) for row in rows for answer in (row.chosen, row.rejected)
    ]
    sums, counts = np.zeros(len(answers)), np.zeros(len(answers))
    with torch.inference_mode():
        for number, chosen in enumerate(batches(answers, 2 * batch)):
            progress(number * batch, len(rows), "pairs measured")
            for i, (logits, targets) in zip(chosen, _logits(model, [answers[i] for i in chosen], pad), strict=True):
                sums[i], counts[i] = float(_picked(logits.float(), targets).double().sum()), len(targets)
    return LogProbs(sums[0::2], sums[1::2], counts[0::2], counts[1::2])


def batches(answers: Sequence[Written], size: int) -> list[list[int]]:
    """Indices of the answers, long ones together: less padding. The same answers give the same batches."""
    order = sorted(range(len(answers)), key=lambda i: (len(answers[i].ids), i))
    return [order[first : first + size] for first in range(0, len(order), size)]


def compare_with_base(model: Any, answers: Sequence[Written], *, pad: int) -> list[AnswerScore]:
    """Score one batch of answers without and with the adapter, in evaluation mode.

    Args:
        model: A PeftModel with one adapter.
        answers: At least one token each.
        pad: Token id that fills short rows; it is masked.
    """
    import torch

    found = []
    with torch.inference_mode():
        with model.disable_adapter():
            before = list(_logits(model, answers, pad))
        for (base_logits, targets), (logits, _) in zip(before, _logits(model, answers, pad), strict=True):
            base = adapted = kl = 0.0
            for first in range(0, len(targets), POSITIONS_AT_ONCE):
                here = slice(first, first + POSITIONS_AT_ONCE)
                q, p = (scores[here].float().log_softmax(dim=1) for scores in (base_logits, logits))
                base += float(_gathered(q, targets[here]).double().sum())
                adapted += float(_gathered(p, targets[here]).double().sum())
                kl += float((p.exp() * (p - q)).sum(dtype=torch.float64))
            found.append(AnswerScore(base, adapted, len(targets), kl))
    return found


def _logits(model: Any, answers: Sequence[Written], pad: int) -> Iterator[tuple[Any, Any]]:
    """Per answer, logits of shape (tokens, vocabulary) and the tokens that they should foretell.

    Logits are made from the first answer position of the batch on: the vocabulary is the widest thing here.
    """
    import torch

    model.eval()
    device = next(model.parameters()).device
    width = max(len(answer.ids) for answer in answers)
    ids = torch.full((len(answers), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, answer in enumerate(answers):
        ids[line, : len(answer.ids)] = torch.tensor(answer.ids)
        mask[line, : len(answer.ids)] = 1
    ids, mask = ids.to(device), mask.to(device)
    # The logits at a position speak of the next token.
    first = max(min(answer.start for answer in answers) - 1, 0)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=width - first).logits
    for line, answer in enumerate(answers):
        begin, end = max(answer.start, 1), len(answer.ids)
        yield logits[line, begin - 1 - first : end - 1 - first], ids[line, begin:end]


def _picked(scores: Any, targets: Any) -> Any:
    return _gathered(scores, targets) - scores.logsumexp(dim=1)


def _gathered(scores: Any, targets: Any) -> Any:
    return scores.gather(1, targets[:, None]).squeeze(1)


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


def pair_accuracy(ahead: Floats, prompts: Sequence[str], *, seed: int = 0) -> Estimate:
    """Share of pairs whose chosen answer is ahead, with a 95 % interval.

    Args:
        ahead: How far chosen is ahead, shape (pairs,); 0 is a draw.
        prompts: What each pair belongs to, same length.
        seed: Of the resampling.

    Raises:
        NotEnoughOverlap: There is no pair.
    """
    return mean_over_prompts(_right(ahead), prompts, seed=seed)


def accuracy_change(before: Floats, after: Floats, prompts: Sequence[str], *, seed: int = 0) -> Estimate:
    """How much the share of rightly ordered pairs grew, pair by pair, with a 95 % interval; in [-1, 1].

    Raises:
        NotEnoughOverlap: There is no pair.
    """
    return mean_over_prompts(_right(after) - _right(before), prompts, seed=seed)


def _right(ahead: Floats) -> Floats:
    return np.where(ahead > 0, 1.0, np.where(ahead == 0, 0.5, 0.0))
