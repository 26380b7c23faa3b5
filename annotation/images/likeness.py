"""Likeness of pictures: a perceptual hash of each, and those among many that look nearly the same.

The hash is that of Zauner (2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"), known as pHash:
the signs of the 64 lowest frequencies of a picture of 32 x 32 greys, about their median.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

ALIKE = 6
"""Bits of 64 in which two pictures of one thing differ at most. Measured on seven photographs and 28 parts of them: the
same one smaller, brighter, greyer, saved again with quality 30, or without 1 % at each edge differs in 0 to 6 bits
(nine in ten of the last, all others), and two different ones in 18 or more."""

_SIDE, _BANDS = 32, ALIKE + 1


def likeness(picture: Image) -> str:
    """Perceptual hash of a picture, 16 hex digits."""
    import numpy as np
    from PIL import Image as Images

    small = picture.convert("L").resize((_SIDE, _SIDE), Images.Resampling.LANCZOS, reducing_gap=3)
    greys = np.asarray(small, dtype=float)
    steps = np.outer(np.arange(1, 9), 2 * np.arange(_SIDE) + 1)
    cosines = np.cos(steps * math.pi / (2 * _SIDE))
    # Rounded, so that a last bit of a sum, which differs between machines, decides nothing.
    waves = np.round(cosines @ greys @ cosines.T, 3).ravel()
    return np.packbits(waves > np.median(waves)).tobytes().hex()


class Likenesses:
    """Pictures by their perceptual hashes, so that what looks alike is found without comparing every pair.

    Hashes that differ in at most ALIKE bits are the same in at least one of ALIKE + 1 bands of bits.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._bands: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)

    def add(self, picture: str, hashed: str) -> None:
        """Keep a picture, by its name and perceptual hash."""
        bits = int(hashed, 16)
        for band in _bands(bits):
            self._bands[band].append((bits, picture))

    def twin(self, hashed: str) -> tuple[str, int] | None:
        """The kept picture that looks most like another, and in how many bits they differ; None where none does."""
        bits = int(hashed, 16)
        near = [((bits ^ other).bit_count(), picture) for band in _bands(bits) for other, picture in self._bands[band]]
        differing, picture = min(near, default=(ALIKE + 1, ""))
        return (picture, differing) if differing <= ALIKE else None


def _bands(bits: int) -> list[tuple[int, int]]:
    edges = [64 * band // _BANDS for band in range(_BANDS + 1)]
    return [(start, bits >> start & (1 << end - start) - 1) for start, end in pairwise(edges)]
