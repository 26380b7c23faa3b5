"""Samples of a model: its own answers, drawn from its own distribution, or each as somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.models.seen import seen_with
from train.models.vision import picture_tokens


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer that a model wrote.

    Attributes:
        tokens: Ids, an end-of-text token included where it came to one.
        ended: It ended by itself within the limit.
    """

    tokens: tuple[int, ...]
    ended: bool


def sample_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    ends: frozenset[int],
    pad: int,
    limit: int,
    seed: int,
    pictures: Sequence[Mapping[str, Any]] = (),
    top_p: float = 1.0,
) -> list[Sample]:
    """Answer one batch of prompts by ancestral sampling: temperature 1, the whole vocabulary, no penalties.

    That draws from the model's own distribution, so lengths, endings and divergences are the model's and not those of
    a decoding trick. The tokens that stand for a picture are never drawn: an answer that held one would be read as if
    it showed another picture. The same batch and seed give the same answers; another batch may not.

    Args:
        model: A causal language model; its adapters count as they are switched.
        prompts: In tokens, none empty.
        ends: Tokens at which an answer is over.
        pad: Token id that fills short prompts on the left; it is masked.
        limit: Most tokens of an answer.
        seed: Of the sampling; torch's own random state is left as it was.
        pictures: Pixels of each prompt's picture, as `Pictures.pixels` gives them; none for prompts of text alone.
        top_p: Share of the distribution that is drawn from, the likeliest tokens; 1: all of it.
    """
    wanted = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": top_p, "max_new_tokens": limit}
    written = _written(model, prompts, wanted, ends=ends, pad=pad, pictures=pictures, seed=seed)
    return [_cut(line, ends) for line in written]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one answer is drawn.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: Share of the distribution that is drawn from, the likeliest tokens.
        limit: Most tokens.
        seed: Of the answer alone.
    """

    temperature: float
    top_p: float
    limit: int
    seed: int


def draw_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sequence[Sampling],
    *,
    ends: frozenset[int],
    pad: int,
    pictures: Sequence[Mapping[str, Any]] = (),
) -> list[Sample]:
    """Answer one batch of prompts, each by a sampling of its own.

    Each row draws with a generator of its own, so that its answer does not depend on what else is in the batch, but for
    the rounding of sums. The other arguments are those of `sample_answers`.
    """
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList

    temperatures = torch.tensor([[one.temperature] for one in sampling])
    shares = torch.tensor([[one.top_p] for one in sampling])
    limits = torch.tensor([[one.limit] for one in sampling])
    chances = [torch.Generator().manual_seed(one.seed) for one in sampling]
    width, end = max(len(prompt) for prompt in prompts), min(ends)

    class Draw(LogitsProcessor):  # type: ignore[misc]
        """Leaves one token of each row."""

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            likely, order = (scores.float() / temperatures.to(scores).clamp(min=1e-4)).softmax(-1).sort(-1, True)
            left = likely.masked_fill(likely.cumsum(-1) - likely >= shares.to(likely), 0)
            drawn_from = left.cumsum(-1)
            chance = torch.cat([torch.rand(1, 1, generator=one) for one in chances]).to(likely)
            place = (drawn_from <= chance * drawn_from[:, -1:]).sum(-1, keepdim=True)
            place = place.minimum((left > 0).sum(-1, keepdim=True) - 1)  # sums are rounded: never one that was left out
            token = order.gather(1, place.masked_fill(temperatures.to(likely) == 0, 0))
            token = token.masked_fill(limits.to(token) <= input_ids.shape[1] - width, end)
            return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)

    wanted = {"do_sample": False, "max_new_tokens": max(one.limit for one in sampling)}
    drawn = LogitsProcessorList([Draw()])  # the last of all: what may not be drawn is taken out before
    written = _written(model, prompts, wanted, ends=ends, pad=pad, pictures=pictures, logits_processor=drawn)
    return [_cut(line[: one.limit], ends) for line, one in zip(written, sampling, strict=True)]


def _written(
    model: Any,
    prompts: Sequence[Sequence[int]],
    wanted: Mapping[str, Any],
    *,
    ends: frozenset[int],
    pad: int,
    pictures: Sequence[Mapping[str, Any]],
    seed: int = 0,
    **more: Any,
) -> list[list[int]]:
    """Tokens that the model writes after each prompt of a batch."""
    import torch
    from transformers import GenerationConfig

    model.eval()
    device = next(model.parameters()).device
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for line, prompt in enumerate(prompts):
        ids[line, width - len(prompt) :] = torch.tensor(prompt)
        mask[line, width - len(prompt) :] = 1
    plain = GenerationConfig(
        **wanted,
        eos_token_id=sorted(ends),
        suppress_tokens=picture_tokens(model.config) or None,
        pad_token_id=pad,
        use_cache=True,
    )
    # Whatever the model's own file asks for (a top-p, a penalty) would be merged into ours, so it is set aside.
    kept, model.generation_config = model.generation_config, plain
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            ids = ids.to(device)
            seen = seen_with(model, ids, pictures)
            written = model.generate(
                input_ids=ids, attention_mask=mask.to(device), generation_config=plain, **seen, **more
            )
    finally:
        model.generation_config = kept
    found: list[list[int]] = written[:, width:].tolist()
    return found


def _cut(tokens: Sequence[int], ends: frozenset[int]) -> Sample:
    for place, token in enumerate(tokens):
        if token in ends:
            return Sample(tuple(tokens[: place + 1]), True)
    return Sample(tuple(tokens), False)
