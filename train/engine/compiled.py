"""What PyTorch compiles of a model: FlexAttention on a card, and whole layers where the settings ask for it.

Packs have many lengths. Compiled for each, a kernel would be made for minutes; compiled for any (`dynamic=True`), it is
made once, and once more for packs of a single block.
"""

from __future__ import annotations

import os
import shlex
import shutil
from functools import cache
from typing import Any

import torch

from annotation.errors import TrainError

GRAPHS = 64
"""Most graphs of a layer. PyTorch's own limit is 8, and what comes ninth it runs as it stands, without a word: a layer
has one for the reference, one for learning and one for measuring, and others where it is the first, is checkpointed,
attends through a window, or has one row and not several."""


def check_compiler(device: str) -> None:
    """Check that there is a compiler, which PyTorch's own calls: of C++ for a CPU, of C for a card.

    Raises:
        TrainError: There is none.
    """
    variable, names = ("CXX", ["g++"]) if device == "cpu" else ("CC", ["gcc", "clang"])
    named = shlex.split(os.environ.get(variable, ""))[:1] or names
    if not any(shutil.which(name) for name in named):
        raise TrainError(
            f"engine.compile and FlexAttention need a compiler, and there is none here ({' or '.join(named)}): install "
            'one, or set engine.compile = false and base.attention = "sdpa".'
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
    """Compile every layer of a language model, and say how many: norms, rotations and the adapter's sums are fused.

    Layers that are alike share what is compiled; the head and what stands around the layers stay as they are.

    Args:
        model: With its adapter.
        backend: Of torch.compile.
    """
    import torch._dynamo
    from transformers.modeling_layers import GradientCheckpointingLayer

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    layers = [module for module in model.get_decoder().modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.compile(dynamic=True, backend=backend)
    return len(layers)
