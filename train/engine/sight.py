"""Pictures of a pack inside the model: each encoded once, put at its places, and where its tokens stand and look.

What a base does with a picture is its own: `get_image_features` encodes it, `get_rope_index` says where its parts stand
in two dimensions (Qwen-VL), and a base that takes `token_type_ids` lets the tokens of one picture see each other both
ways (Gemma 3). train/engine/layout.py compares the outcome with the base's own before anything is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import torch

from train.engine.packing import NOWHERE, Pack
from train.models.vision import vision_modules


def with_pictures(model: Any, packed: Pack) -> torch.Tensor:
    """Embeddings of a pack's tokens, with those of its pictures at their places, shape (R, L, H).

    Args:
        model: Of transformers, without PEFT around it.
        packed: With the pixels of its pictures.
    """
    places = packed.ids == model.config.image_token_id
    # The token of a place may be none that the embedding knows.
    words = model.get_input_embeddings()(packed.ids.masked_fill(places, 0))
    features = encoded_pictures(model, packed)
    seen = torch.cat([features[picture] for _, _, picture in packed.pictures]).to(words)
    if int(places.sum()) != len(seen):
        raise RuntimeError(f"{int(places.sum())} places for {len(seen)} parts of pictures")
    filled: torch.Tensor = words.masked_scatter(places[..., None], seen)
    return filled


def encoded_pictures(model: Any, packed: Pack) -> dict[str, torch.Tensor]:
    """What the language model gets of each picture of a pack, shape (places, H), computed once a picture.

    There is a gradient only where something of the vision tower or the projector is trained.
    """
    trained = any(p.requires_grad for name in vision_modules(model) for p in model.get_submodule(name).parameters())
    found: dict[str, torch.Tensor] = {}
    with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
        for names in _of_one_form(packed.pixels):
            several = [packed.pixels[name] for name in names]
            pixels = {kind: torch.cat([one[kind] for one in several]) for kind in several[0]}
            parts = model.base_model.get_image_features(**pixels, return_dict=True).pooler_output
            if isinstance(parts, torch.Tensor):  # an image each, and a picture may be cut into several
                parts = torch.split(parts, [len(one["pixel_values"]) for one in several])
            found |= {name: part.flatten(0, -2) for name, part in zip(names, parts, strict=True)}
    return found


def _of_one_form(pixels: Mapping[str, Mapping[str, torch.Tensor]]) -> Iterator[Sequence[str]]:
    """Names of pictures that can go through the tower together: their tensors differ in the first dimension alone."""
    forms: dict[object, list[str]] = {}
    for name, tensors in pixels.items():
        forms.setdefault(tuple(tensor.shape[1:] for tensor in tensors.values()), []).append(name)
    yield from forms.values()


def positions(model: Any, packed: Pack) -> torch.Tensor:
    """Place of each token in its answer alone, shape (R, L), or (3, R, L) where the base counts in three dimensions.

    An answer's tokens follow the prompt's last, wherever its pictures put that.
    """
    find = getattr(model.base_model, "get_rope_index", None)
    if find is None or not packed.pictures:
        return packed.positions
    where = packed.positions.expand(3, *packed.positions.shape).clone()
    takes = signature(find).parameters
    for row, slate, picture in packed.pictures:
        own = packed.slates[row] == slate
        asked = own & (packed.branches[row] == 0)
        ids = packed.ids[row, asked][None]
        pixels = {name: value for name, value in packed.pixels[picture].items() if name in takes}
        found, shift = find(ids, mm_token_type_ids=(ids == model.config.image_token_id).int(), **pixels)
        where[:, row, asked] = found[:, 0]
        where[:, row, own & ~asked] += shift
    return where


def picture_blocks(model: Any, packed: Pack) -> torch.Tensor | None:
    """Which picture of its row a token is of, or NOWHERE, shape (R, L); None where that is nothing to the mask."""
    if not packed.pictures or "token_type_ids" not in signature(model.base_model.forward).parameters:
        return None
    seen = packed.ids == model.config.image_token_id
    first = seen & ~torch.nn.functional.pad(seen, (1, 0))[:, :-1]
    return torch.where(seen, first.cumsum(1), NOWHERE)
