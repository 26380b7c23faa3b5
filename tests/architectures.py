"""Every architecture of transformers that has a causal language model, made tiny: random weights, a few thousand."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embed_dim", "emb_dim", "dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "d_inner", "d_ff", "n_inner"), 48),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 512),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "v_head_dim", "state_size", "head_dim"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim"), 4),
    **dict.fromkeys(("encoder_layers", "num_key_value_heads", "num_experts_per_tok"), 2),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    "vocab_size": 97,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "is_decoder": True,
}
"""Names that configurations have for a size -> the size."""

SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
    "codegen": {"rotary_dim": 4},
    "ctrl": {"dff": 48},
    "falcon": {"head_dim": None},
    "falcon-alibi": {"head_dim": None, "alibi": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 7},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "mistral": {"sliding_window": 7},
    "xlstm": {"v_head_dim": None},
}
"""What an architecture needs beside SIZES, or shows more with; None: not this size."""

LARGEST = 2_000_000
"""Weights of a model that is still tiny."""


def tiny(kind: str, **more: Any) -> Any:
    """A tiny model of an architecture, or None where transformers cannot make one so small."""
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    own = SPECIAL.get(kind, {}) | more
    kind = kind.removesuffix("-alibi")
    settings = getattr(transformers, CONFIG_MAPPING_NAMES[kind])
    known = {name for base in settings.__mro__ for name in getattr(base, "__annotations__", {})}
    known |= set(dir(settings)) | set(settings.attribute_map)
    sizes = {name: size for name, size in SIZES.items() if name in known} | own
    make = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind])
    try:
        config = settings(**{name: size for name, size in sizes.items() if size is not None})
        with torch.device("meta"):
            if sum(weights.numel() for weights in make(config).parameters()) > LARGEST:
                return None
        torch.manual_seed(0)
        model = make(config).eval()
        with torch.no_grad():
            for weights in model.parameters():
                if weights.dim() > 1:
                    weights.normal_(0.0, 0.25)
            model(input_ids=torch.tensor([[3, 4, 5]]), use_cache=False)
    except Exception as error:  # noqa: BLE001  a configuration that does not take these sizes raises anything
        print(f"{kind}: {type(error).__name__}: {str(error)[:100]}")
        return None
    return model


def kinds() -> list[str]:
    """All architectures with a causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *SPECIAL})
