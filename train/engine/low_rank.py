"""The adapter's part of a linear layer, fused: y + s B A drop(x), added into the base's output.

PEFT's own way writes three tensors as wide as the output, and with dropout keeps a copy of the input for every layer.
Here the last matrix product adds into the output, and what was dropped is dropped again in the backward pass, from the
same hashes. What is kept for it is the input, which query, key and value share as gate and up do, and one tensor of
`rank` columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer, LoraVariant
from torch import nn
from torch.nn.functional import linear

from train.engine.dropout import TokenDropout, Tokens


def fuse_adapter(model: Any, tokens: Tokens) -> int:
    """Let every layer of an adapter add its part fused, with dropout by token, and say how many layers there are."""
    layers = 0
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            for adapter, dropout in list(module.lora_dropout.items()):
                share = dropout.p if isinstance(dropout, nn.Dropout) else 0.0
                weight = module.lora_A[adapter].weight
                module.lora_variant[adapter] = FusedLora(TokenDropout(share, f"{name}.{adapter}", tokens, weight))
                module.lora_dropout[adapter] = nn.Identity()  # PEFT's own is not called any more
                layers += 1
    return layers


class FusedLora(LoraVariant):  # type: ignore[misc]
    """How PEFT's layers ask for their adapter's part."""

    def __init__(self, dropout: TokenDropout) -> None:
        """Of one layer, with its dropout."""
        self.dropout = dropout

    def forward(
        self, module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        """The layer's output: `result` is the base's, which is overwritten where it can be."""
        a, b = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        dropping = self.dropout.share if module.training else 0.0
        kept = self.dropout.now(x) if dropping else None
        scale = module.scaling[active_adapter] / (1 - dropping)
        if torch.compiler.is_compiling():
            # The compiler fuses sums, and drops once more in the backward pass, by itself.
            dropped = torch.where(kept(), x, 0.0) if kept else x
            whole: torch.Tensor = (result + linear(linear(dropped, a), b) * scale).to(result.dtype)
            return whole
        # Under autocast PEFT leaves x as it is; without it x has the adapter's number type by now.
        kind = result.dtype if torch.is_autocast_enabled(x.device.type) else x.dtype
        added: torch.Tensor = AddLowRank.apply(result, x, a, b, scale, kind, kept)  # type: ignore[no-untyped-call]
        return added


class AddLowRank(torch.autograd.Function):
    """result + scale * (drop(x) Aᵀ) Bᵀ, for x of shape (..., in), A (rank, in), B (out, rank), result (..., out)."""

    @staticmethod
    def forward(
        ctx: Any,
        result: torch.Tensor,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
        kind: torch.dtype,
        kept: Callable[[], torch.Tensor] | None,
    ) -> torch.Tensor:
        """Add, in place where the output is nobody else's, in numbers of the type `kind`."""
        ctx.scale, ctx.kind, ctx.kept = scale, kind, kept
        dropped = torch.where(kept(), x, 0.0) if kept else x
        low = dropped.to(kind).flatten(0, -2) @ a.to(kind).T
        ctx.save_for_backward(x, a, b, low)
        if result.dtype == kind and result.is_contiguous() and not result._is_view():
            ctx.mark_dirty(result)
            result.view(-1, len(b)).addmm_(low, b.to(kind).T, alpha=scale)
            return result
        return (result + (low @ b.to(kind).T * scale).view(result.shape)).to(result.dtype)

    @staticmethod
    def backward(ctx: Any, above: torch.Tensor) -> tuple[Any, ...]:
        """Gradients of the output, as it is, of x, A and B."""
        x, a, b, low = ctx.saved_tensors
        slope = above.to(ctx.kind).flatten(0, -2)
        of_low = slope @ b.to(ctx.kind) * ctx.scale
        of_b = (slope.T @ low * ctx.scale).to(b.dtype)
        of_x = (of_low @ a.to(ctx.kind)).view(x.shape).to(x.dtype) if ctx.needs_input_grad[1] else None
        if ctx.kept:
            kept = ctx.kept()
            x, of_x = torch.where(kept, x, 0.0), None if of_x is None else torch.where(kept, of_x, 0.0)
        of_a = (of_low.T @ x.to(ctx.kind).flatten(0, -2)).to(a.dtype)
        return above, of_x, of_a, of_b, None, None, None
