"""Samples of a model: its own answers, drawn from its own distribution."""

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
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=top_p,
        max_new_tokens=limit,
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
            written = model.generate(input_ids=ids, attention_mask=mask.to(device), generation_config=plain, **seen)
    finally:
        model.generation_config = kept
    return [_cut(line, ends) for line in written[:, width:].tolist()]


def _cut(tokens: Sequence[int], ends: frozenset[int]) -> Sample:
    for place, token in enumerate(tokens):
        if token in ends:
            return Sample(tuple(tokens[: place + 1]), True)
    return Sample(tuple(tokens), False)
