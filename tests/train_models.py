"""Small random models of the shapes that people train, and slates in tokens."""

from __future__ import annotations

import random
from typing import Any

from train.data.tokens import EncodedSlate

WORDS = 97

SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}

WINDOW = 7
"""Shorter than the slates below: a window that counted places in the pack would show."""

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "cohere": ("Cohere", {"logit_scale": 0.3}),
    "cohere2": (
        "Cohere2",
        {
            "logit_scale": 0.3,
            "sliding_window": WINDOW,
            # Its full layers have no rotary positions.
            "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
        },
    ),
    "mistral": ("Mistral", {"sliding_window": WINDOW}),
}


def tiny_model(shape: str, *, seed: int = 0, dtype: str = "float32", attention: str = "sdpa", **more: Any) -> Any:
    """A random model of one of SHAPES."""
    import torch
    import transformers

    name, special = SHAPES[shape]
    config = getattr(transformers, f"{name}Config")(**{**SIZES, "initializer_range": 0.3, **special, **more})
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    return model.to(getattr(torch, dtype)).eval()


def random_slates(
    count: int, *, seed: int = 0, answers: tuple[int, int] = (2, 4), longest: int = 24
) -> list[EncodedSlate]:
    """Slates of random tokens and lengths."""
    chance = random.Random(seed)

    def tokens(least: int) -> tuple[int, ...]:
        return tuple(chance.randrange(2, WORDS) for _ in range(chance.randint(least, longest)))

    return [EncodedSlate(tokens(1), tuple(tokens(1) for _ in range(chance.randint(*answers)))) for _ in range(count)]


def one_by_one(model: Any, slate: EncodedSlate) -> list[Any]:
    """Log-prob of each answer by the definition: a plain forward pass of prompt and answer alone."""
    import torch

    sums = []
    for answer in slate.answers:
        ids = torch.tensor([[*slate.prompt, *answer]])
        scores = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        sums.append(scores.gather(1, ids[0, 1:, None])[len(slate.prompt) - 1 :].sum())
    return sums
