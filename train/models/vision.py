"""Parts of a model that sees pictures: its language model, and everything that only a picture goes through."""

from __future__ import annotations

import re
from inspect import signature
from typing import TYPE_CHECKING, Any

from annotation.errors import TrainError

if TYPE_CHECKING:
    import torch

KINDS_OF_TOKENS = ("token_type_ids", "mm_token_type_ids")
"""Names of the argument by which a base is told which tokens are a picture's: 1 there, else 0. Gemma 3 lets these see
each other, Qwen-VL gives them places in two dimensions."""

PLACES = re.compile(r"(image|video|vision|audio|boi|eoi)(_\w+)?_token_(id|index)")
"""Names that configurations have for the tokens of pictures and films: their parts, their beginning and their end."""


def picture_tokens(config: Any) -> list[int]:
    """Ids of the tokens that stand for a picture or a film, by a base's configuration; none of a text one's."""
    return [token for name, token in config.to_dict().items() if PLACES.fullmatch(name) and isinstance(token, int)]


def language_model_of(model: Any) -> tuple[str, Any]:
    """The language model inside a model that sees pictures, with its name there: "model.language_model" in LLaVA.

    Args:
        model: Of transformers, without an adapter; its shape on the meta device will do.

    Raises:
        TrainError: The model has no language model of its own inside: it reads text alone.
    """
    found = model.get_decoder()
    name = next((name for name, module in model.named_modules() if module is found), "")
    if not name or found is model.base_model:
        raise TrainError(f"the base ({model.config.model_type}) has no vision tower beside a language model.")
    return name, found


def vision_modules(model: Any) -> tuple[str, ...]:
    """Names of the modules that only a picture goes through, as in "model.vision_tower", "model.multi_modal_projector".

    Args:
        model: As for `language_model_of`.

    Raises:
        TrainError: The model reads text alone.
    """
    way, _ = language_model_of(model)
    head = model.get_output_embeddings()
    parts, at, names = way.split("."), model, []
    for depth, part in enumerate(parts):
        above = ".".join(parts[:depth])
        names += [
            f"{above}.{name}" if above else name
            for name, module in at.named_children()
            if name != part and module is not head and any(True for _ in module.parameters())
        ]
        at = getattr(at, part)
    return tuple(names)


def kinds_of_tokens(model: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What tells a base which of these tokens, of shape (rows, tokens), are a picture's; empty where nothing does."""
    takes = signature(model.base_model.forward).parameters
    return {name: (ids == model.config.image_token_id).long() for name in KINDS_OF_TOKENS if name in takes}
