"""Divergence: whether the loss of a training ends above that of an adapter that was never trained. Pure.

An untrained adapter gives every answer the implicit reward 0, so that its loss is known for every update, from the same
slates: nothing has to be guessed from the first steps, and neither the size of a slate nor its ties disturb. What was
trained on it should be below. A rate that is too high ends far above it while every gradient is finite, or in a model
whose layers are saturated, where every gradient is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.settings import Recipe

CLEARLY = 1.2
"""Times the untrained loss. On new slates of people who disagree a healthy run may be a little above it, not so far."""

FEWEST = 10
"""Steps that are looked at, or half of them where a run has fewer than twice as many: one update may be bad luck."""


def why_diverged(lines: Sequence[Mapping[str, Any]], recipe: Recipe) -> str:
    """Sentence where the last tenth of the steps is clearly worse than no training, with a remedy; "" elsewhere.

    Args:
        lines: Of metrics.jsonl, from the first step to the last one so far. A line's loss is the mean since the line
            before; `untrained_loss` is that of an adapter that was never trained, on the same slates. Where lines lack
            it (TRL's own losses, on pairs, where it is the same for each), the first step is as good.
        recipe: Settings of the run.
    """
    train = [line for line in lines if "loss" in line]
    if not train:
        return ""
    last = int(train[-1]["step"])
    first = last - max(last / 10, min(FEWEST, last / 2))
    loss = untrained = steps = gradient = 0.0
    for before, line in zip([{"step": 0}, *train], train, strict=False):
        if line["step"] <= first:
            continue
        taken = line["step"] - before["step"]
        steps += taken
        loss += taken * line["loss"]
        untrained += taken * line.get("untrained_loss", train[0]["loss"])
        gradient += line.get("grad_norm", 1.0)
    if loss > CLEARLY * untrained:
        what = "diverged"
    elif not gradient and loss > untrained / 2:  # below, there may be nothing left to learn
        what = "collapsed (every gradient is 0)"
    else:
        return ""
    return (
        f"training has {what}: over the last {steps:.0f} steps the loss is {loss / steps:.3g}, where an adapter that "
        f"was never trained has {untrained / steps:.3g}; lower optimiser.learning_rate "
        f"({recipe.optimiser.learning_rate:g}), or give it more optimiser.warmup, in a new --run."
    )
