"""What a model is given beside the tokens of a batch: the pixels of its pictures, and which tokens are a picture's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.models.vision import kinds_of_tokens


def seen_with(model: Any, ids: Any, pictures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Arguments for a batch of which every row holds one picture; nothing where there are none.

    Args:
        model: With an adapter or without.
        ids: Tokens, shape (rows, positions).
        pictures: Pixels of each row's picture, as `Pictures.pixels` gives them.
    """
    if not pictures:
        return {}
    import torch

    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    device, dtype = ids.device, plain.get_input_embeddings().weight.dtype
    found = {}
    for name in pictures[0]:
        rows = [picture[name].to(device) for picture in pictures]
        # Some processors cut a picture into as many tiles as it needs: what others lack is black, and is passed over.
        sizes = [row.shape[:0:-1] for row in rows]  # the last first, as `pad` counts
        most = [max(size) for size in zip(*sizes, strict=True)]
        gaps = ([end for full, has in zip(most, size, strict=True) for end in (0, full - has)] for size in sizes)
        whole = torch.cat([torch.nn.functional.pad(row, gap) for row, gap in zip(rows, gaps, strict=True)])
        found[name] = whole.to(dtype) if whole.is_floating_point() else whole
    return {**found, **kinds_of_tokens(plain, ids)}
