"""Log-probs of the answers of a pack, without ever holding scores for the whole vocabulary.

On a GPU the head is TRL's (`trl.kernels.ChunkedLogProbFunction`): it projects hidden states in tiles of tokens x
vocabulary, keeps two numbers per token, and computes the tiles again in the backward pass. A CPU does not have its
kernels and would spend most of its time on the second computation: `FrozenHead` has the gradient from the first. Both
are given the hidden states from which an answer's tokens are predicted, and no others.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from annotation.errors import TrainError
from train.engine.packing import Pack, attention_masks
from train.engine.sight import picture_blocks, positions, with_pictures
from train.models.vision import kinds_of_tokens

TILE = {"cpu": 2**19, "cuda": 2**27}
"""Scores that are computed at once: on a CPU 2 MB in float32, which its caches hold; on a card 0.5 GB."""

FROZEN_HEAD_ON = {"cpu"}
"""Kinds of device whose head is ours if it is not trained. On a card that was never timed (benchmarks/gpu.py does)."""

FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What architectures raise that are not made for being called as a plain causal language model."""


def score_answers(model: Any, vocabulary_chunk: int) -> None:
    """Let `model(packed=...)` return the log-prob of each answer token of a pack; any other call is as before.

    It is a call of the whole model so that what wraps it (PEFT, autocast, FSDP) is in place, as with TRL's fused head.

    Args:
        model: A causal language model, before PEFT wraps it.
        vocabulary_chunk: Words of the vocabulary that TRL's head scores at once.

    Raises:
        TrainError: The model has no output head, or one whose scores are not those that we compute.
    """
    plain = model.forward
    config = model.config.get_text_config()
    check_head(model, config)
    scale, softcap = logit_scale(config), getattr(config, "final_logit_softcapping", None)

    def forward(self: Any, *args: Any, packed: Pack | None = None, **kwargs: Any) -> Any:
        if packed is None:
            return plain(*args, **kwargs)
        from trl.kernels import ChunkedLogProbFunction

        placed: dict[str, Any] = {"input_ids": packed.ids}
        if packed.pictures:
            placed = {"inputs_embeds": with_pictures(self, packed)}
        if not packed.alone:
            dtype = activation_dtype(self, packed.ids.device.type)
            placed["position_ids"] = positions(self, packed)
            placed["attention_mask"] = attention_masks(packed, config, dtype, picture_blocks(self, packed))
        elif packed.pictures:
            placed |= kinds_of_tokens(self, packed.ids) | {"position_ids": positions(self, packed)}
        hidden = self.base_model(**placed, use_cache=False).last_hidden_state
        head = self.get_output_embeddings()
        weight, bias = whole(head.weight), whole(getattr(head, "bias", None))
        predicting = hidden.flatten(0, 1).index_select(0, packed.scored)
        if weight.device.type in FROZEN_HEAD_ON and not weight.requires_grad:
            return FrozenHead.apply(predicting, weight, bias, packed.targets, softcap, scale)  # type: ignore[no-untyped-call]
        return ChunkedLogProbFunction.apply(
            predicting,
            weight,
            bias,
            packed.targets,
            1.0,  # temperature
            vocabulary_chunk,
            softcap,
            scale,
            (),  # no entropy, no other statistics
        )[0]

    model.forward = types.MethodType(forward, model)


class FrozenHead(torch.autograd.Function):
    """Log-probs of tokens under a head that is not trained, tile by tile, each computed once.

    The gradient of a token's log-prob is onehot - softmax, times the weights; what comes from above only scales it. So
    it is made while the tile's scores are there, as in Liger's fused cross-entropy (Hsu et al. 2024, arXiv:2410.10989).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        softcap: float | None,
        scale: float,
    ) -> torch.Tensor:
        """Score.

        Args:
            ctx: PyTorch's.
            hidden: Shape (N, H).
            weight: Of the head, shape (V, H); only `hidden` gets a gradient.
            bias: Of the head, shape (V,), or None.
            targets: The tokens, shape (N,).
            softcap: Scores are squeezed to ± this by a tanh, as Gemma 2 does; None: they are not.
            scale: Of the scores.

        Returns:
            Log-probs in float32, shape (N,).
        """
        found = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        rows = max(1, TILE[hidden.device.type] // len(weight))
        for at in range(0, len(targets), rows):
            part, wanted = hidden[at : at + rows], targets[at : at + rows, None]
            scores = torch.nn.functional.linear(part, weight, bias).float()
            if scale != 1.0:
                scores *= scale
            slope = None
            if softcap:
                squeezed = torch.tanh(scores / softcap)
                scores, slope = softcap * squeezed, 1 - squeezed * squeezed
            highest, chosen = scores.amax(-1, keepdim=True), scores.gather(1, wanted)
            likely = scores.sub_(highest).exp_()
            total = likely.sum(-1, keepdim=True)
            found[at : at + rows] = (chosen - highest - total.log())[:, 0]
            if gradient is not None:
                own = weight[wanted[:, 0]].float()
                if slope is not None:
                    likely, own = likely * slope, own * slope.gather(1, wanted)
                gradient[at : at + rows] = (own - (likely.to(weight.dtype) @ weight) / total) * scale
        ctx.number_type = hidden.dtype
        ctx.save_for_backward(gradient)
        return found

    @staticmethod
    def backward(ctx: Any, above: torch.Tensor) -> tuple[Any, ...]:
        """Scale what the forward pass left, shape (N, H)."""
        (gradient,) = ctx.saved_tensors
        return (above[:, None] * gradient).to(ctx.number_type), None, None, None, None, None


def answer_log_probs(model: Any, packed: Pack) -> torch.Tensor:
    """Log-prob of each answer of a pack given its prompt, summed over its tokens, in float32, shape (A,)."""
    per_token = model(packed=packed)
    return torch.segment_reduce(per_token.float(), "sum", lengths=packed.lengths, unsafe=True)


def logit_scale(config: Any) -> float:
    """Factor of the base's scores: Cohere's logit_scale, the inverse of Granite's logits_scaling, or 1."""
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
    head, kind = model.get_output_embeddings(), model.config.model_type
    if head is None:
        raise TrainError("the base has no output head, so no answer has a log-prob; choose a causal language model.")
    ids = torch.arange(4, device=head.weight.device)[None]
    other = ids.clone()
    other[0, -1] = 0  # as many tokens: a card computes another number of them by other kernels, and rounds otherwise
    training = model.training
    model.eval()
    with torch.no_grad(), computed(kind), uncompiled():
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        ours = head(hidden).float() * logit_scale(config)
        if softcap := getattr(config, "final_logit_softcapping", None):
            ours = softcap * torch.tanh(ours / softcap)
        theirs, changed = (model(input_ids=some, use_cache=False).logits.float() for some in (ids, other))
    model.train(training)
    if not bool(theirs.isfinite().all()):
        raise TrainError("the base gives no finite scores; it is damaged, or needs base.dtype = float32.")
    near = 1e-2 * float(theirs.abs().max())
    if not torch.allclose(changed[:, :-1], theirs[:, :-1], rtol=1e-2, atol=near):
        raise TrainError(f"the base ({kind}) looks at words that it is to predict; choose a causal language model.")
    if not torch.allclose(ours, theirs, rtol=1e-2, atol=near):
        raise TrainError(
            f"the base ({kind}) scores words in a way that the engine does not know; choose another base, or set "
            'dpo.objective = "trl".'
        )


@contextmanager
def computed(kind: str) -> Iterator[None]:
    """Put into one sentence what an architecture raises when it is called as a plain causal language model."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except FAULTS as error:
        raise TrainError(
            f"the base ({kind}) cannot be computed as a causal language model ({reason(error)}); choose another base."
        ) from error


def uncompiled() -> AbstractContextManager[None]:
    """Run what is tried once on a few tokens as it stands: a kernel for them alone would be compiled for seconds."""
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def reason(error: Exception) -> str:
    """An error of a library in a few words."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def activation_dtype(model: Any, device: str) -> torch.dtype:
    """The number type in which attention is computed."""
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype


def whole(weight: Any) -> Any:
    """A weight that FSDP2 may have sharded, gathered."""
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight
