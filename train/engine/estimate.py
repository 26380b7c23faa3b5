"""Estimate of a run before it starts: memory, hours, dollars.

An update costs 4 N operations a token where the base is frozen (forward, and backward without gradients of its N
weights), and 2 N more in layers that are computed twice; the reference and each look at held-out slates cost 2 N.
Operations a second are measured on a CPU (benchmarks/dpo.py, the small model on one thread) and for no card: there it
is the data sheet's peak times a share that such models usually reach.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from train.data.plan import Plan
from train.data.slates import RankedSlate
from train.engine.adapter import adapted_layers, linear_layers
from train.engine.build import OPTIMISER_BYTES, encoded
from train.engine.memory import GIB, free_memory, plan_memory, sight_per_token, widths_of
from train.engine.packing import Shape, tokens_of
from train.models.base import load_shape
from train.models.pictures import patches_of, pictures_of
from train.models.vision import vision_modules

CPU_OPERATIONS = 46e9
"""A second and thread, measured: 8.5 slates of 430 tokens a second under 3.1M weights."""

CARDS = {"H200": (989e12, 139), "H100": (989e12, 78), "L40S": (362e12, 44), "A100": (312e12, 78)}
"""Dense bfloat16 operations a second and GiB of memory, from data sheets."""

USUAL_CARD = "L40S"

SHARE = 0.3
"""Of a card's peak; a guess, never measured with this engine."""

SAMPLE = 1000
"""Slates by which the lengths of all are estimated."""

PICTURES = 8
"""Slates by whose pictures the work of the vision tower is estimated."""

BYTES = {"none": 2.0, "nf4": 0.55, "int8": 1.0}
"""Of a weight in a linear layer, by quantisation; everything else has 2, or 4 in float32, a vision tower too."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of what a run needs.

    Attributes:
        weights_gib: Of the frozen base.
        adapter_gib: Of the adapter with its optimiser.
        pack_gib: Of the activations of one pack.
        pack_tokens: How many tokens that is.
        hours: Of training and measuring on `card`.
        card: Which one, and where its speed is from.
        dollars: For so many hours; None on a CPU.
        per_hour: Dollars.
    """

    weights_gib: float
    adapter_gib: float
    pack_gib: float
    pack_tokens: int
    hours: float
    card: str
    dollars: float | None
    per_hour: float

    def lines(self) -> list[tuple[str, str]]:
        """Label and value for a person."""
        total = self.weights_gib + self.adapter_gib + self.pack_gib
        minutes = self.hours * 60
        time = "under a minute" if minutes < 1 else f"{minutes:.0f} minutes" if minutes < 90 else f"{self.hours:.1f} h"
        cost = "" if self.dollars is None else f", {self.dollars:.2f} dollars at {self.per_hour:.2f} an hour"
        return [
            (
                "memory, estimated",
                f"{total:.1f} GiB: {self.weights_gib:.1f} weights, {self.adapter_gib:.1f} adapter and optimiser, "
                f"{self.pack_gib:.1f} packs of {self.pack_tokens} tokens",
            ),
            ("time, estimated", f"{time}{cost}, on {self.card}"),
        ]


def estimate(plan: Plan, dollars_per_hour: float) -> Estimate:
    """Estimate memory, time and cost of a planned run from the shape of its base; no weight is loaded.

    Raises:
        TrainError: transformers does not know the base's architecture.
    """
    recipe = plan.recipe
    sight = recipe.base.vision != "none"
    model = load_shape(plan.base, sight=sight)
    seeing = vision_modules(model) if sight else ()
    eyes = sum(weights.numel() for name in seeing for weights in model.get_submodule(name).parameters())
    names = [name for name in linear_layers(model) if not name.startswith(seeing)]
    every = sum(weights.numel() for weights in model.parameters())
    wide = sum(model.get_submodule(name).weight.numel() for name in names)
    other = 4.0 if recipe.base.dtype == "float32" else 2.0
    weights = wide * (other if recipe.base.quantisation == "none" else BYTES[recipe.base.quantisation])
    weights += (every - wide) * other
    layers = (model.get_submodule(name) for name in adapted_layers(model, recipe))
    adapter = OPTIMISER_BYTES * recipe.lora.rank * sum(sum(layer.weight.shape) for layer in layers)

    train, held_out = (encoded(_sample(slates), plan).encoded for slates in (plan.slates.train, plan.slates.held_out))
    shape: Shape = "row" if recipe.base.attention == "flex_attention" else "rows"
    lengths = sorted((tokens_of(slate, shape) for slate in (*train, *held_out)), reverse=True)
    kind, card, speed, room = recipe.device.kind, "", 0.0, 0
    if kind == "cpu":
        threads = recipe.device.threads or os.cpu_count() or 1
        card = f"a CPU ({threads} threads), by the measured speed of a small model"
        speed, room = CPU_OPERATIONS * threads, free_memory("cpu")
    else:
        card = next((name for name in CARDS if name in _card_here()), USUAL_CARD)
        speed, room = CARDS[card][0] * SHARE, CARDS[card][1] * GIB
        card = f"one {card}, by {SHARE:.0%} of its data sheet's peak, which was never measured"
    update = recipe.optimiser.batch * recipe.optimiser.accumulate
    pictures = pictures_of(plan.vocabulary.processor, plan.pictures) if plan.pictures else None
    beside = sight_per_token(model.config, recipe, (*train, *held_out), pictures, shape)
    schedule = plan_memory(
        widths_of(model.config.get_text_config(), recipe, beside),
        int(room - weights - adapter),
        longest=lengths[0],
        update=sum(lengths[:update]),
        device=kind,
        shape=shape,
        budget=recipe.engine.token_budget,
        checkpointed=recipe.engine.checkpoint_layers,
    )
    counted = every - eyes
    counted -= 0 if model.config.get_text_config().tie_word_embeddings else model.get_input_embeddings().weight.numel()
    seen = plan.steps * update * sum(slate.tokens for slate in train) / len(train)
    if plan.by_trl:  # two sequences a pair, each with its prompt
        answers = sum(len(slate.answers) for slate in train)
        seen = plan.steps * update * 2 * sum(len(s.answers) * s.longest for s in train) / answers
    looks = 2 + (plan.steps // recipe.run.eval_every if recipe.run.eval_every else 0)
    train_tokens, held_out_tokens = (
        len(every) * sum(slate.tokens for slate in some) / max(1, len(some))
        for every, some in ((plan.slates.train, train), (plan.slates.held_out, held_out))
    )
    looked_at = train_tokens + (1 + looks) * held_out_tokens
    operations = counted * ((4 + 2 * schedule.checkpoint_layers / schedule.layers) * seen + 2 * looked_at)
    if pictures:  # each is seen once for a slate, or for a pair
        slates = plan.steps * update + len(plan.slates.train) + (1 + looks) * len(plan.slates.held_out)
        some = [pictures.pixels(slate.image) for slate in plan.slates.train[:PICTURES]]
        patches = sum(patches_of(pixels, model.config.vision_config) for pixels in some) / len(some)
        operations += 2 * eyes * slates * patches
    hours = operations / speed / 3600
    dollars = hours * dollars_per_hour if kind == "cuda" else None
    needed = schedule.needed / GIB
    gib = (weights / GIB, adapter / GIB, needed)
    return Estimate(*gib, schedule.token_budget, hours, card, dollars, dollars_per_hour)


def _sample(slates: Sequence[RankedSlate]) -> Sequence[RankedSlate]:
    """Slates from all places, enough for an estimate: the preflight has read them all as tokens before."""
    return slates[:: max(1, len(slates) // SAMPLE)]


def _card_here() -> str:
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""
