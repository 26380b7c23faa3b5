"""Plot of what base and adapted model wrote: lengths, and how far apart the models are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.evaluate.measure import save_figure


def draw_writing(path: Path, found: Any, samples: Sequence[Any]) -> Path:
    """Lengths of both models' answers, prompt by prompt, and how far apart the models are along their own answers.

    Args:
        path: Of the PNG.
        found: A `writing.Writing`.
        samples: `writing.PromptSamples`, of which it is made.
    """
    from matplotlib.figure import Figure

    limit = found.limit
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = [limit * step / 20 for step in range(21)]
    for who, colour in (("base", "#888888"), ("adapted", "#4a6fa5")):
        lengths = [len(getattr(sample, who).tokens) for sample in samples]
        mean = sum(lengths) / len(lengths)
        left.hist(lengths, bins=bins, alpha=0.55, color=colour, label=f"{who}, mean {mean:.0f}")
        left.axvline(mean, color=colour, linewidth=1.5)
    left.set(
        xlabel=f"tokens of an answer (cut off at {limit})", ylabel="answers", title="Length, same prompts and seeds"
    )
    left.legend()
    per_token = sorted(sample.score.kl / sample.score.tokens for sample in samples)
    right.plot(
        per_token, [(i + 1) / len(per_token) for i in range(len(per_token))], color="#4a6fa5", drawstyle="steps-post"
    )
    right.axvline(found.kl.value, color="#4a6fa5", linestyle="--", label=f"mean {found.kl.value:.3f}")
    right.set(
        xlabel="KL(adapted || base), nats per token", ylabel="share of its own answers", title="Distance from the base"
    )
    right.set(ylim=(0, 1), xlim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return save_figure(path, figure)
