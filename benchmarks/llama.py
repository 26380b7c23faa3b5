"""The models of the benchmarks: Llamas of a size with random weights, made where they are used, and slates for them.

It imports none of our packages: benchmarks/flash_preference.py runs it beside an older transformers.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

LENGTHS = Path(__file__).with_name("dpo_lengths.json")
"""256 slates: tokens of the prompt, and of four answers. Log-normal around 60 and 180 tokens, as drafts are."""

END = 1
"""The token that ends an answer; 0 fills."""

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 512},
    "small": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6,
              "num_key_value_heads": 2, "vocab_size": 8192},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 32768},
    "8b wide, 4 layers": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 4,
                          "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768},
}  # fmt: skip

SCALE = {"tiny": 0.1, "small": 0.5}
"""Of all lengths: on a CPU a part of them, so that a run ends."""


def config_of(shape: str) -> dict[str, Any]:
    """Arguments of LlamaConfig."""
    tokens = {"eos_token_id": END, "pad_token_id": 0, "bos_token_id": None}
    # Weights small enough that bfloat16's rounding does not add up over 32 random layers.
    return {**SHAPES[shape], **tokens, "max_position_embeddings": 8192, "initializer_range": 0.005}


def weights_of(shape: str) -> int:
    """Weights that every token is multiplied by: all but the embedding."""
    sizes = SHAPES[shape]
    hidden, mlp = sizes["hidden_size"], sizes["intermediate_size"]
    narrow = hidden * sizes["num_key_value_heads"] // sizes["num_attention_heads"]
    return sizes["num_hidden_layers"] * hidden * (2 * hidden + 2 * narrow + 3 * mlp) + hidden * sizes["vocab_size"]


def token_slates(shape: str, answers: int, count: int) -> list[dict[str, Any]]:
    """Slates of random tokens with the lengths of the file: {"prompt": tokens, "answers": their tokens, END last}."""
    chance, words, scale = random.Random(0), SHAPES[shape]["vocab_size"], SCALE.get(shape, 1.0)
    lengths = json.loads(LENGTHS.read_text(encoding="utf-8"))

    def text(tokens: int) -> list[int]:
        return [chance.randrange(2, words) for _ in range(max(4, int(tokens * scale)))]

    lines = (lengths[number % len(lengths)] for number in range(count))
    return [
        {"prompt": text(line["prompt"]), "answers": [[*text(tokens), END] for tokens in line["answers"][:answers]]}
        for line in lines
    ]


def make_llama(config: dict[str, Any], device: str, dtype: Any, *, nf4: bool = False, attention: str = "sdpa") -> Any:
    """A Llama with random weights, made on the device; with nf4, its linear layers but the head in 4 bits."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # the same numbers for every type; and no more than they take at once
    try:
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(LlamaConfig(**config), attn_implementation=attention)
    finally:
        torch.set_default_dtype(before)
    model = model.to(dtype)
    if nf4:
        quantise(model, dtype)
    return model


def quantise(model: Any, dtype: Any) -> None:
    """Make each linear layer but the head one of 4 bits where it is, and let its weights go before the next."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            sizes = (layer.in_features, layer.out_features)
            small = Linear4bit(*sizes, bias=False, compute_dtype=dtype, quant_type="nf4", device="meta")
            small.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=small).to(
                layer.weight.device
            )
            small.support_avx512bf16_for_cpu = False  # its kernel has no gradient
            del layer.weight
            model.set_submodule(name, small)
    model.is_loaded_in_4bit = True  # PEFT looks at it
    model.config._pre_quantization_dtype = dtype  # and so does the attention of transformers
    torch.cuda.empty_cache()
