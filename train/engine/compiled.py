"""What PyTorch compiles of a model: FlexAttention on a card, and whole layers where the settings ask for it.

Packs have many lengths. Compiled for each, a kernel would be made for minutes; compiled for any (`dynamic=True`), it is
made once, and once more for packs of a single block.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from typing import Any

import torch

from annotation.errors import TrainError


def check_compiler() -> None:
    """Check that there is a C compiler, which PyTorch's own compiler needs.

    Raises:
        TrainError: There is none.
    """
    if not os.environ.get("CC") and not any(shutil.which(name) for name in ("gcc", "clang")):
        raise TrainError(
            "engine.compile and FlexAttention need a C compiler, and there is none here (gcc or clang): install one, "
            'or set engine.compile = false and base.attention = "sdpa".'
        )


def compile_flex_attention(backend: Any = "inductor") -> None:
    """Let transformers' FlexAttention run one kernel for all lengths; by itself it begins with one for a length."""
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations import flex_attention as integration

    compiled = torch.compile(flex_attention, dynamic=True, backend=backend)

    def for_any_length(*tensors: Any, training: bool = False, **named: Any) -> Any:  # noqa: ARG001
        return compiled(*tensors, **named)

    integration.compile_friendly_flex_attention = for_any_length


@cache
def block_mask_maker(device: str) -> Any:
    """PyTorch's create_block_mask; on a card compiled, so that it does not write the square of the row out."""
    from torch.nn.attention.flex_attention import create_block_mask

    return torch.compile(create_block_mask, dynamic=True) if device == "cuda" else create_block_mask


def compile_layers(model: Any, backend: Any = "inductor") -> int:
    """Compile every layer of a model, and say how many: norms, rotations and the adapter's sums are fused.

    One layer is compiled, and all use it; the head and what stands around the layers stay as they are.

    Args:
        model: With its adapter.
        backend: Of torch.compile.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
    return len(layers)
