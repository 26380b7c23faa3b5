"""Scores of answers under base and adapted model, by plain forward passes: log-probs, and the divergence of both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.models.seen import seen_with

POSITIONS_AT_ONCE = 256
"""Positions whose whole vocabulary stands in float32 at a time: 256 MiB per copy with 256,000 entries."""


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """An answer in tokens, behind its prompt.

    Attributes:
        ids: Both.
        start: Where the answer begins.
        image: Id of the picture whose places the prompt holds, or "".
    """

    ids: Sequence[int]
    start: int
    image: str = ""


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """Scores of an answer under the base and under the adapted model.

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


def batches(answers: Sequence[EncodedAnswer], size: int) -> list[list[int]]:
    """Indices of the answers, long ones together: less padding. The same answers give the same batches."""
    order = sorted(range(len(answers)), key=lambda i: (len(answers[i].ids), i))
    return [order[first : first + size] for first in range(0, len(order), size)]


Pixels = Callable[[str], Mapping[str, Any]]
"""Id of a picture -> its pixels, as `train.models.pictures.Pictures` gives them."""


def compare_with_base(
    model: Any, answers: Sequence[EncodedAnswer], *, pad: int, pixels: Pixels | None = None
) -> list[AnswerScore]:
    """Score one batch of answers without and with the adapter, in evaluation mode.

    Args:
        model: A PeftModel with one adapter.
        answers: At least one token each.
        pad: Token id that fills short rows; it is masked.
        pixels: Of the answers' pictures; None where they have none.
    """
    import torch

    found = []
    with torch.inference_mode():
        with model.disable_adapter():
            before = list(logits_of(model, answers, pad, pixels))
        for (base_logits, targets), (logits, _) in zip(before, logits_of(model, answers, pad, pixels), strict=True):
            base = adapted = kl = 0.0
            for first in range(0, len(targets), POSITIONS_AT_ONCE):
                here = slice(first, first + POSITIONS_AT_ONCE)
                q, p = (scores[here].float().log_softmax(dim=1) for scores in (base_logits, logits))
                base += float(_gathered(q, targets[here]).double().sum())
                adapted += float(_gathered(p, targets[here]).double().sum())
                kl += float((p.exp() * (p - q)).sum(dtype=torch.float64))
            found.append(AnswerScore(base, adapted, len(targets), kl))
    return found


def token_log_probs(
    model: Any, answers: Sequence[EncodedAnswer], *, pad: int, pixels: Pixels | None = None
) -> list[list[float]]:
    """Log-prob of every token of an answer under one model, natural logarithm, batch by batch in evaluation mode.

    Args:
        model: With an adapter or without.
        answers: At least one token each.
        pad: Token id that fills short rows; it is masked.
        pixels: Of the answers' pictures; None where they have none.
    """
    import torch

    with torch.inference_mode():
        return [
            _gathered(logits.float().log_softmax(dim=1), targets).double().tolist()
            for logits, targets in logits_of(model, answers, pad, pixels)
        ]


def choice_log_probs(model: Any, prompts: Sequence[Sequence[int]], choices: Sequence[int], *, pad: int) -> Any:
    """Log-prob of each of some tokens as the next one after a prompt: a list of lists, shape (prompts, choices)."""
    import torch

    asked = [EncodedAnswer([*prompt, choices[0]], len(prompt)) for prompt in prompts]
    with torch.inference_mode():
        return [
            logits.float().log_softmax(dim=1)[0, list(choices)].tolist() for logits, _ in logits_of(model, asked, pad)
        ]


def logits_of(
    model: Any, answers: Sequence[EncodedAnswer], pad: int, pixels: Pixels | None = None
) -> Iterator[tuple[Any, Any]]:
    """Per answer, logits of shape (tokens, vocabulary) and the tokens that they predict.

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
    # The logits at a position are those of the next token.
    first = max(min(answer.start for answer in answers) - 1, 0)
    # Some architectures do not know how to leave logits out.
    keep = {"logits_to_keep": width - first}
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    keep = keep if keep.keys() <= inspect.signature(plain.forward).parameters.keys() else {}
    seen = seen_with(model, ids, [pixels(one.image) for one in answers if one.image] if pixels else ())
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **seen, **keep).logits[:, first - width :]
    for line, answer in enumerate(answers):
        begin, end = max(answer.start, 1), len(answer.ids)
        yield logits[line, begin - 1 - first : end - 1 - first], ids[line, begin:end]


def _gathered(scores: Any, targets: Any) -> Any:
    return scores.gather(1, targets[:, None]).squeeze(1)
