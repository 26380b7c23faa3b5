"""Batches for the trainer: one is a whole update of slates; and the sums that an update adds to the log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from train.data.slates import RankedSlate
from train.data.tokens import EncodedSlate


@dataclass(frozen=True, eq=False)
class TrainingSet(Dataset[int]):
    """Slates to train on or to measure on, with their tokens.

    Attributes:
        slates: With people's rankings.
        encoded: The same slates in tokens, in the same order.
    """

    slates: Sequence[RankedSlate]
    encoded: Sequence[EncodedSlate]

    def __len__(self) -> int:
        """How many slates."""
        return len(self.slates)

    def __getitem__(self, number: int) -> int:
        """A slate goes by its number: what a batch is made of."""
        return number


class Updates(Sampler[list[int]]):
    """Sampler of updates: every slate once an epoch, in an order that seed and epoch decide."""

    def __init__(self, slates: int, size: int, seed: int) -> None:
        """`size` slates an update; the last one of an epoch has what is left."""
        self.slates, self.size, self.seed, self.epoch = slates, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Numbers of slates, an update at a time."""
        order = torch.randperm(self.slates, generator=torch.Generator().manual_seed(self.seed * 100003 + self.epoch))
        return ([int(number) for number in order[at : at + self.size]] for at in range(0, self.slates, self.size))

    def __len__(self) -> int:
        """Updates an epoch."""
        return math.ceil(self.slates / self.size)


class UpdateLoader(DataLoader[Any]):
    """Loader that hands each process the whole update: the processes divide it among themselves."""

    def set_epoch(self, epoch: int) -> None:
        """Which epoch begins: the Trainer calls it."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


@dataclass
class BatchStats:
    """Sums over the slates of updates, for the log; `weight` is the mean weight of what the loss is about."""

    loss: float = 0.0
    untrained: float = 0.0
    weight: float = 0.0
    right: float = 0.0
    lead: float = 0.0
    better: float = 0.0
    worse: float = 0.0
    compared: float = 0.0
    updates: float = 0.0

    def add(self, other: BatchStats) -> None:
        """Add another's sums."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def rewards(self, prefix: str = "") -> dict[str, float]:
        """Means over the comparisons, in the words of TRL's logs; empty where nothing was compared."""
        if not self.compared:
            return {}
        sums = {"accuracies": self.right, "margins": self.lead, "chosen": self.better, "rejected": self.worse}
        return {f"{prefix}rewards/{name}": total / self.compared for name, total in sums.items()}
