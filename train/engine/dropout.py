"""Dropout of the adapter that depends on the token and not on where it lies.

PyTorch's dropout draws its mask in the order in which numbers lie in memory: another packing, another number of
processes or a resumed run drop other inputs. Here each decision is a hash of (seed, step, slate, answer, position,
module, feature), as with counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3"). So what is dropped is the same on every machine, nothing has to be restored after a crash, and an activation that
is computed again in the backward pass is dropped alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from annotation.errors import TrainError

if TYPE_CHECKING:
    from train.engine.packing import Pack

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed number: the step of SplitMix64
MIX = (-4658895280553007687, -7723592293110705685)
HALF = 2**31


class Tokens:
    """Tokens that are in the model just now, as one random 32-bit number each; all dropout modules look here."""

    def __init__(self, seed: int) -> None:
        """Begin with no token in the model."""
        self.seed = seed
        self.hashes: torch.Tensor | None = None

    def enter(self, packed: Pack, numbers: torch.Tensor, step: int) -> None:
        """Note the pack that goes into the model.

        Args:
            packed: The pack.
            numbers: What each of its members is called in the whole run: its number in the training rows, by member's
                index, shape (largest index + 1,).
            step: The update, so that another epoch drops something else.
        """
        slate = torch.where(packed.slates < 0, packed.slates, numbers[packed.slates.clamp(min=0)])
        place = (slate << 40) ^ (packed.branches << 24) ^ packed.positions
        self.hashes = _narrow(splitmix(place ^ splitmix(torch.tensor(self.seed * 2**32 + step, device=place.device))))


class TokenDropout:
    """Dropout of a share of a layer's input, by token (Srivastava et al. 2014); what is left is not scaled up."""

    def __init__(self, share: float, name: str, tokens: Tokens, like: torch.Tensor) -> None:
        """Args are the share, a name that no other layer has, where to look for the tokens, and the layer's weight."""
        self.share, self.tokens = share, tokens
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        places = torch.arange(like.shape[-1], device=like.device)
        self.features = _narrow(splitmix(places ^ number)) | 1  # odd: a product with it is a bijection

    def now(self, x: torch.Tensor) -> Callable[[], torch.Tensor]:
        """A function that says, whenever it is called, what of the tokens that are in the model now is kept.

        Args:
            x: The layer's input: the pack's shape, or that of all its tokens in one row, and then features.

        Returns:
            The function; what it gives is True where a feature is kept, in the shape of x.

        Raises:
            TrainError: These are not the tokens that are in the model.
        """
        hashes = self.tokens.hashes
        if hashes is not None and x.dim() == 2 and len(x) == hashes.numel():
            hashes = hashes.flatten()  # some layers take all rows as one
        if hashes is None or hashes.shape != x.shape[:-1]:
            raise TrainError(
                "the base hands its adapter other tokens than it was given (a mixture of experts does), so dropout "
                "cannot tell them apart; set lora.dropout = 0.0."
            )
        by_token, by_feature, least = hashes[..., None], self.features, int(self.share * 2 * HALF) - HALF
        return lambda: by_token * by_feature >= least


def splitmix(numbers: torch.Tensor) -> torch.Tensor:
    """SplitMix64 (Steele, Lea & Flood 2014) of each number; int64 wraps around."""
    mixed = numbers + GOLDEN
    mixed = (mixed ^ _shifted(mixed, 30)) * MIX[0]
    mixed = (mixed ^ _shifted(mixed, 27)) * MIX[1]
    return mixed ^ _shifted(mixed, 31)


def _shifted(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    # A shift that fills with zeros; PyTorch's fills with the sign.
    shifted: torch.Tensor = (numbers >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _narrow(numbers: torch.Tensor) -> torch.Tensor:
    return (numbers >> 32).to(torch.int32)
