"""Layout of a run's packs: answers side by side behind one prompt, or each alone, by what the base does with them.

Packing asks much of a base: that it takes a mask and positions as they are given, and that nothing else tells a token
what stands before it. ALiBi's distances, absolute positions that are counted, local attention of its own, recurrent
states: all of these give packed answers other log-probs than answers alone, and most of them without an error. So one
slate is computed both ways before anything is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from annotation.errors import TrainError
from train.data.tokens import EncodedSlate
from train.engine.log_probs import FAULTS, computed, reason, uncompiled
from train.engine.packing import Shape, lay_out
from train.models.vision import kinds_of_tokens

if TYPE_CHECKING:
    from train.models.pictures import Pictures

TOLERANCE = {True: 1e-3, False: 0.05}
"""Nats per token, mean over a slate, that packed log-probs may be away from those alone, in float32 and in anything
shorter. Rounding alone takes right ones 2e-6 and 0.01 away; of the architectures of transformers that get it wrong, the
nearest is 0.1 away (tests/test_train_architectures.py has them all)."""


def choose_shape(model: Any, slates: Sequence[EncodedSlate], pictures: Pictures | None = None) -> tuple[Shape, str]:
    """Find out by one slate, the longest, whether the base gives packed answers the log-probs that they have alone.

    Args:
        model: A causal language model that was given to `score_answers`, without an adapter.
        slates: All of the run; where some have pictures, it is the longest of these.
        pictures: Where theirs are.

    Returns:
        How its packs lie, and a sentence for the log.

    Raises:
        TrainError: Not even answers in rows of their own come out right, or the base cannot be computed at all.
    """
    slate = max(slates, key=lambda slate: (bool(slate.image), slate.tokens))
    kind, device = model.config.model_type, model.get_input_embeddings().weight.device
    tolerance = TOLERANCE[all(p.dtype == torch.float32 for p in model.parameters())]
    shape: Shape = "row" if model.config.get_text_config()._attn_implementation == "flex_attention" else "rows"
    training = model.training
    model.eval()

    def away(shape: Shape) -> float:
        packed = lay_out([slate], [[0]], shape).to(device, pictures)
        return float((model(packed=packed).float() - truth).abs().mean())

    with torch.no_grad():
        with computed(kind), uncompiled():
            pixels = lay_out([slate], [[0]]).to(device, pictures).pixels.get(slate.image, {})
            truth = torch.cat([_by_definition(model, slate, answer, pixels) for answer in slate.answers])
        try:
            found = away(shape)
            why = f"packed, they come out {found:.2g} nats a token otherwise"
        except torch.OutOfMemoryError:
            raise
        except FAULTS as error:
            found, why = float("inf"), f"packed, it fails with {reason(error)}"
        if found <= tolerance:
            line = f"answers share their prompt; their log-probs are {found:.1g} nats a token from those of each alone"
        else:
            with computed(kind):
                found, shape = away("alone"), "alone"
            line = f"each answer is computed alone, which takes longer; this base ({kind}) needs it: {why}"
    model.train(training)
    if not found <= tolerance:
        raise TrainError(
            f"the engine gives answers log-probs that are {found:.2g} nats a token away from the base's own ({kind}); "
            'choose another base, or set dpo.objective = "trl".'
        )
    return shape, line


def _by_definition(
    model: Any, slate: EncodedSlate, answer: Sequence[int], pixels: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Log-prob of each token of an answer by the base's own scores, nothing beside it but its picture."""
    ids = torch.tensor([[*slate.prompt, *answer]], device=model.get_input_embeddings().weight.device)
    seen = {**pixels, **kinds_of_tokens(model, ids)} if pixels else {}
    begin = len(slate.prompt)
    scores = model(input_ids=ids, use_cache=False, **seen).logits[0, begin - 1 : -1].float()
    found: torch.Tensor = scores.gather(1, ids[0, begin:, None])[:, 0] - scores.logsumexp(-1)
    return found
