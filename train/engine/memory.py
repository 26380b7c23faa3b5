"""Memory of the device: whether it is enough, and how many tokens and how many checkpointed layers fit into it.

Memory of one update, in bytes, for a pack of T tokens and c of L layers checkpointed:

    T * (layer * (max(L - c, 1) + 1/2) + kept * c + head) + tile

- `layer`, what a layer keeps for its backward pass per token: b * (12 h + 4 i) of activations in b bytes, and 4 bytes
  for each of the adapter's 6 h + i inputs where they are turned to float32 (a bfloat16 base without autocast); h and i
  are the widths of hidden state and MLP. What a layer's backward pass itself needs is less than half of what it kept.
  The first c layers are checkpointed, and one of them at a time is computed again, when all later ones have let go of
  what they kept.
- `kept` = b * h, what a checkpointed layer keeps; `head` = 12 h, hidden states and their gradient in float32.
- An adapted vision tower keeps in each of its layers, for each patch of a picture, as much as that by its own widths,
  with 2 i where its MLP has no gate; that is laid on the tokens of the picture's slate. A frozen one keeps nothing, and
  what it needs is gone before the language model begins.
- `tile` = 4096 * chunk * (b + 8), TRL's tile of scores and its float32 copies.

On a CPU, where every allocation can be counted, it is up to 25 % above the peak (tests/test_train_engine.py). Eager
attention, which keeps squares of the row, is not in it. What proves it wrong is an out-of-memory error, and then the
budget is halved and the batch is done again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotation.errors import TrainError
from train.data.tokens import EncodedSlate
from train.engine.packing import Shape, tokens_of
from train.models.pictures import patches_of
from train.settings import Recipe

if TYPE_CHECKING:
    from train.models.pictures import Pictures

SHARE = 0.85
"""Of free memory that is planned for: allocators waste some."""

CPU_SHARE = 0.25
"""On a CPU, other programs need memory too."""

ENOUGH = {"cuda": 4096, "cpu": 512}
"""Tokens that keep a device busy: fewer are slower per token, more are not faster. Checkpointing a layer costs half a
forward pass of it, so it is done only to reach this many. On a CPU more are slower: they fall out of the caches."""

IN_ONE_ROW = 16384
"""Tokens of a pack that is one row, on a card. Packs of several rows stop at ENOUGH: all of them are as long as the
longest slate, and the more there are the more of a pack are fillers (benchmarks/gpu.py counts them)."""

TILE = 4096
GIB = 2**30
FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Schedule:
    """Schedule of an update: tokens of a pack, and layers that are checkpointed.

    Attributes:
        token_budget: Tokens of a pack.
        checkpoint_layers: Layers whose activations are computed again in the backward pass, from the first.
        layers: How many there are.
        free: Bytes that were free, without what the optimiser will take.
        needed: Bytes that the formula gives for the choice.
    """

    token_budget: int
    checkpoint_layers: int
    layers: int
    free: int
    needed: int

    def line(self) -> str:
        """For the log."""
        return (
            f"packs of up to {self.token_budget} tokens, {self.checkpoint_layers} of {self.layers} layers checkpointed"
            f" (about {self.needed / GIB:.2f} of {self.free / GIB:.1f} GiB)"
        )


@dataclass(frozen=True, slots=True)
class Widths:
    """Sizes of a model for the formula.

    `copied` is 4 where adapter inputs are turned to float32, else 0; `sight` is bytes of the vision tower per token.
    """

    layers: int
    hidden: int
    mlp: int
    bytes: int
    copied: int
    chunk: int
    sight: int = 0

    def needed(self, tokens: int, checkpointed: int) -> int:
        """Bytes for a pack, by the formula of this module."""
        return tokens * self.per_token(checkpointed) + self.tile

    def per_token(self, checkpointed: int) -> int:
        """Bytes per token of a pack."""
        layer = self.bytes * (12 * self.hidden + 4 * self.mlp) + self.copied * (6 * self.hidden + self.mlp)
        halves = 2 * max(self.layers - checkpointed, 1) + 1
        return layer * halves // 2 + self.bytes * self.hidden * checkpointed + 12 * self.hidden + self.sight

    @property
    def tile(self) -> int:
        """Bytes of the head's tile."""
        return TILE * self.chunk * (self.bytes + 8)


def plan_memory(
    model: Widths,
    free: int,
    *,
    longest: int,
    update: int,
    device: str,
    shape: Shape = "rows",
    budget: int = 0,
    checkpointed: int = -1,
) -> Schedule:
    """Choose the fewest checkpointed layers with which enough tokens fit, and then as many tokens as are of use.

    Args:
        model: Its sizes.
        free: Bytes that are free for activations.
        longest: Tokens of the longest slate: less will not do, whatever the formula says.
        update: Tokens of the largest update: more are never there.
        device: "cuda" or "cpu".
        shape: How the packs lie.
        budget: Tokens as the settings fix them; 0 leaves them to the planner.
        checkpointed: Layers as the settings fix them; -1 leaves them to the planner.
    """
    usable = int(free * (CPU_SHARE if device == "cpu" else SHARE)) - model.tile
    enough = budget or max(longest, min(update, ENOUGH[device]))
    if checkpointed < 0:
        fits = (c for c in range(model.layers + 1) if enough * model.per_token(c) <= usable)
        checkpointed = next(fits, model.layers)
    checkpointed = min(checkpointed, model.layers)
    most = IN_ONE_ROW if shape == "row" and device == "cuda" else ENOUGH[device]
    tokens = budget or max(longest, min(usable // model.per_token(checkpointed), update, most))
    return Schedule(tokens, checkpointed, model.layers, free, model.needed(tokens, checkpointed))


def widths_of(config: Any, recipe: Recipe, sight: int = 0) -> Widths:
    """Read a model's sizes from its configuration; `sight` as `sight_per_token` has it."""
    short, autocast = recipe.base.dtype == "bfloat16", recipe.optimiser.autocast == "bfloat16"
    return Widths(
        getattr(config, "num_hidden_layers", None) or config.depth,
        config.hidden_size,
        getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        2 if autocast or short else FLOAT32,
        FLOAT32 if short and not autocast else 0,
        min(recipe.engine.logits_chunk, getattr(config, "vocab_size", 0)),
        sight,
    )


def sight_per_token(
    config: Any, recipe: Recipe, slates: Iterable[EncodedSlate], pictures: Pictures | None, shape: Shape
) -> int:
    """Bytes that an adapted vision tower keeps, per token of the slate that is the most picture of all.

    Args:
        config: Of the whole model.
        recipe: Settings.
        slates: All of the run.
        pictures: Where theirs are.
        shape: How the packs lie.
    """
    seen = [slate for slate in slates if slate.image]
    if recipe.base.vision != "adapted" or not seen or not pictures:
        return 0
    slate = max(seen, key=lambda slate: slate.prompt.count(config.image_token_id) / tokens_of(slate, shape))
    tower, own = config.vision_config, widths_of(config.vision_config, recipe)
    gated = 4 if tower.hidden_act == "silu" else 2
    layer = own.bytes * (12 * own.hidden + gated * own.mlp) + own.copied * (6 * own.hidden + own.mlp)
    shown = patches_of(pictures.pixels(slate.image), tower)
    return int(shown * layer * own.layers / tokens_of(slate, shape))


def check_device(recipe: Recipe, preset: str) -> str:
    """Check that a recipe can run on this machine, and name the device.

    Args:
        recipe: Settings.
        preset: What they are called.

    Raises:
        TrainError: There is no GPU, too little of its memory is free, or no compiler where something is to be compiled.
    """
    import torch

    from train.engine.compiled import check_compiler

    device = recipe.device
    if recipe.engine.compile or recipe.base.attention == "flex_attention":
        check_compiler(device.kind)
    if device.kind == "cpu":
        threads = device.threads or os.cpu_count()
        return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}"
    if not torch.cuda.is_available():
        small, key = ("cpu-smoke", "preset") if recipe.base.vision == "none" else ("cpu-smoke-vlm", "picture_preset")
        raise TrainError(
            f"the preset {preset} needs a CUDA GPU with {device.min_free_gib:.0f} GiB free, and this machine has none; "
            f"run it on one that has, or try the way with --preset {small} (train.{key} in annot.toml)."
        )
    free, total = (number / GIB for number in torch.cuda.mem_get_info(0))
    name = torch.cuda.get_device_name(0)
    if free < device.min_free_gib:
        raise TrainError(
            f"the preset {preset} needs {device.min_free_gib:.0f} GiB of GPU memory and {name} has {free:.1f} of "
            f"{total:.1f} GiB free; end what uses it, or choose a smaller preset."
        )
    return f"{name}, {free:.0f} of {total:.0f} GiB free"


def free_memory(device: str) -> int:
    """Bytes that are free on the device just now."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().available)
    import torch

    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info()[0])


def checkpoint_layers(model: Any, count: int) -> None:
    """Compute the first `count` layers of the language model again in the backward pass instead of keeping them."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    if not count:
        return
    model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    mine = [module for module in model.get_decoder().modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in (module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)):
        layer.gradient_checkpointing = layer in mine[:count]
