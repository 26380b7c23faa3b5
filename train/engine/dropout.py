"""Dropout of the adapter that depends on the token and not on where it lies.

PyTorch's dropout draws its mask in the order in which numbers lie in memory: another packing, another number of
processes or a resumed run drop other inputs. Here each decision is a hash of (seed, step, slate, answer, position,
module, feature), as with counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3"). So what is dropped is the same on every machine, nothing has to be restored after a crash, and an activation that
is computed again in the backward pass is dropped alike.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

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


class TokenDropout(nn.Module):
    """Dropout of a share of the features of each token, the others scaled up (Srivastava et al. 2014)."""

    def __init__(self, share: float, name: str, tokens: Tokens) -> None:
        """Args are the share, a name that no other module has, and where to look for the tokens."""
        super().__init__()
        self.share, self.tokens = share, tokens
        self.name = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        self.features: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop in training; x has the pack's shape, or that of all its tokens in one row, and then its features."""
        if not self.training:
            return x
        hashes = self.tokens.hashes
        if hashes is not None and x.dim() == 2 and len(x) == hashes.numel():
            hashes = hashes.flatten()  # some layers take all rows as one
        if hashes is None or hashes.shape != x.shape[:-1]:
            raise TrainError(
                "the base hands its adapter other tokens than it was given (a mixture of experts does), so dropout "
                "cannot tell them apart; set lora.dropout = 0.0."
            )
        if self.features is None or self.features.shape[0] != x.shape[-1] or self.features.device != x.device:
            places = torch.arange(x.shape[-1], device=x.device)
            self.features = _narrow(splitmix(places ^ self.name)) | 1  # odd: a product with it is a bijection
        mixed = hashes[..., None] * self.features
        kept = mixed >= int(self.share * 2 * HALF) - HALF
        dropped: torch.Tensor = torch.where(kept, x, 0.0) * (1 / (1 - self.share))
        return dropped

    def extra_repr(self) -> str:
        """As nn.Dropout shows itself."""
        return f"p={self.share}"


def drop_by_token(model: Any, tokens: Tokens) -> int:
    """Put TokenDropout in the place of the adapter's own dropout, and say in how many places."""
    from peft.tuners.lora import LoraLayer

    places = 0
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            for adapter, dropout in list(module.lora_dropout.items()):
                if isinstance(dropout, nn.Dropout) and dropout.p:
                    module.lora_dropout[adapter] = TokenDropout(dropout.p, f"{name}.{adapter}", tokens)
                    places += 1
    return places


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
