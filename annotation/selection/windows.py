"""Windows over texts of any length, and a model that reads them at the full speed of a CPU."""

from __future__ import annotations

import math
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

WORD = 32
"""Characters of a long word: windows over a text are cut before it."""

BATCH_CHARACTERS = 4096
"""Of the texts that go through the model at once, about 1,000 tokens: what lies between two layers then stays in the
CPU's cache, and the memory of one batch is used for the next."""


class Windows:
    """A sentence-transformers model that reads texts of any length: the mean of windows, weighted by their length.

    A text that fits into the model is its one window, and has the model's own vector. A CPU that multiplies bfloat16
    does so: its vectors have a cosine above 0.9999 with those of float32, so that both may stand in one cache. Of
    sets of 8 answers 1 to 2 % then get another slate, as good to within 0.001 % (benchmarks/selection.py).
    """

    def __init__(self, model: Any, *, bfloat16: bool | None = None) -> None:
        """Wrap a model, and pack its weights where it runs on a CPU.

        Args:
            model: A SentenceTransformer; its linear layers are replaced where they can be packed.
            bfloat16: Whether to multiply so; by default where the CPU can.
        """
        self._model = model
        if model.device.type == "cpu" and can_pack():
            _pack(model, torch.bfloat16 if (_has_bfloat16() if bfloat16 is None else bfloat16) else torch.float32)

    def encode(self, texts: list[str], /) -> NDArray[np.float64]:
        """Vectors of some texts, best of about the same length: shape (n, d)."""
        windows = [self.windows(text) for text in texts]
        flat = list(chain.from_iterable(windows))
        # A text without a character is one window too.
        weights = np.array([(len(w) or 1) / (sum(map(len, of_text)) or 1) for of_text in windows for w in of_text])
        batch = max(1, BATCH_CHARACTERS // max(1, *map(len, flat)))
        found = np.asarray(self._model.encode(flat, batch_size=batch), np.float64) * weights[:, None]
        means: NDArray[np.float64] = np.add.reduceat(found, np.cumsum([0, *map(len, windows[:-1])]))
        return means

    def windows(self, text: str) -> list[str]:
        """Parts of a text of about the same length, cut between words, each of which the model reads to its end."""
        tokenizer, most = self._model.tokenizer, self._model.max_seq_length
        if not most or not getattr(tokenizer, "is_fast", False):
            return [text]
        room = most - tokenizer.num_special_tokens_to_add()
        if len(text) <= room:
            return [text]
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        if len(places) <= room:
            return [text]
        count = math.ceil(8 * len(places) / (7 * room))  # The last word of a window may belong to the next one.
        cuts = [0]
        for number in range(1, count):
            place = places[number * len(places) // count][0]
            blank = text.rfind(" ", max(cuts[-1] + 1, place - WORD), place + 1)
            cuts.append(place if blank < 0 else blank)
        return [text[begin:end] for begin, end in pairwise([*cuts, len(text)])]


class _Packed(torch.nn.Module):
    """A linear layer whose weights lie as oneDNN multiplies them fastest: packed once, not in every call."""

    def __init__(self, layer: torch.nn.Linear, kind: torch.dtype) -> None:
        super().__init__()
        self.bias = None if layer.bias is None else layer.bias.detach().to(kind)
        # As torch.compile does with weights that are frozen.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().to(kind).contiguous(), None)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            rows.to(self.weight.dtype), self.weight, self.bias, "none", [], ""
        )
        return found


def can_pack() -> bool:
    """Whether this torch has oneDNN and both operators of packed layers, which are no part of its public interface."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def _pack(module: torch.nn.Module, kind: torch.dtype) -> None:
    for name, layer in list(module.named_children()):
        if type(layer) is torch.nn.Linear:  # Modules that use the weights of a kind of their own keep it.
            setattr(module, name, _Packed(layer, kind))
        else:
            _pack(layer, kind)


def _has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them torch would imitate it, slowly."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
