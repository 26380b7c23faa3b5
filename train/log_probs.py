"""Log-probs of the answers of a pack, without ever holding scores for the whole vocabulary.

The head is TRL's (`trl.kernels.ChunkedLogProbFunction`): it projects hidden states in tiles of tokens x vocabulary,
keeps two numbers per token, and computes the tiles again in the backward pass. Here it is given the hidden states from
which an answer's tokens are predicted, and no others.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from annotation.errors import TrainError
from train.packing import Pack, attention_masks, attention_windows

if TYPE_CHECKING:
    import torch


def score_answers(model: Any, vocabulary_chunk: int) -> None:
    """Let `model(packed=...)` return the log-prob of each answer token of a pack; any other call is as before.

    It is a call of the whole model so that what wraps it (PEFT, autocast, FSDP) is in place, as with TRL's fused head.

    Args:
        model: A causal language model, before PEFT wraps it.
        vocabulary_chunk: Width of a tile: words of the vocabulary that are scored at once.

    Raises:
        TrainError: The model has no output head, or one whose scores are not those that we compute.
    """
    plain = model.forward
    config = model.config.get_text_config()
    attention_windows(config)
    check_head(model, config)
    scale, softcap = logit_scale(config), getattr(config, "final_logit_softcapping", None)

    def forward(self: Any, *args: Any, packed: Pack | None = None, **kwargs: Any) -> Any:
        if packed is None:
            return plain(*args, **kwargs)
        from trl.kernels import ChunkedLogProbFunction

        hidden = self.base_model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            attention_mask=attention_masks(packed, config, activation_dtype(self, packed.ids.device.type)),
            use_cache=False,
        ).last_hidden_state
        head = self.get_output_embeddings()
        return ChunkedLogProbFunction.apply(
            hidden.flatten(0, 1).index_select(0, packed.scored),
            whole(head.weight),
            whole(getattr(head, "bias", None)),
            packed.targets,
            1.0,  # temperature
            vocabulary_chunk,
            softcap,
            scale,
            (),  # no entropy, no other statistics
        )[0]

    model.forward = types.MethodType(forward, model)


def answer_log_probs(model: Any, packed: Pack) -> torch.Tensor:
    """Log-prob of each answer of a pack given its prompt, summed over its tokens, in float32, shape (A,)."""
    import torch

    per_token = model(packed=packed)
    return torch.segment_reduce(per_token.float(), "sum", lengths=packed.lengths, unsafe=True)


def logit_scale(config: Any) -> float:
    """What the base multiplies its scores by: Cohere's logit_scale, the inverse of Granite's logits_scaling, or 1."""
    if getattr(config, "logit_scale", None) is not None:
        return float(config.logit_scale)
    divisor = getattr(config, "logits_scaling", None)
    return 1.0 if divisor is None else 1.0 / float(divisor)


def check_head(model: Any, config: Any) -> None:
    """Compare the base's own scores of a few tokens with those that its head and configuration give us.

    Raises:
        TrainError: There is no head, it gives no finite scores, or something that we know nothing of stands between it
            and the scores.
    """
    import torch

    head = model.get_output_embeddings()
    if head is None:
        raise TrainError("the base has no output head, so no answer has a log-prob; choose a causal language model.")
    ids = torch.arange(4, device=head.weight.device)[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        ours = head(hidden).float() * logit_scale(config)
        if softcap := getattr(config, "final_logit_softcapping", None):
            ours = softcap * torch.tanh(ours / softcap)
        theirs = model(input_ids=ids, use_cache=False).logits.float()
    model.train(training)
    if not bool(theirs.isfinite().all()):
        raise TrainError("the base gives no finite scores; it is damaged, or needs base.dtype = float32.")
    if not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(theirs.abs().max())):
        raise TrainError(
            f"the base ({model.config.model_type}) scores words in a way that the engine does not know; choose another "
            'base, or set dpo.objective = "trl".'
        )


def activation_dtype(model: Any, device: str) -> torch.dtype:
    """The number type in which attention is computed."""
    import torch

    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype


def whole(weight: Any) -> Any:
    """A weight that FSDP2 may have sharded, gathered."""
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight
