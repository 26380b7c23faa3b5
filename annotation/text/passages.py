"""Passages that several texts share: what is left of each text without them, and whether that tells two apart."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

PASSAGE = 32
"""Words in a row that two texts share only where one passage stands in both; a power of two."""
CONTEXT = 4
"""Words of a passage that stay beside a text's own: it weighs as if it were no longer than that."""

SHINGLE = 5

_WORD = re.compile(r"\w+")
_FACTOR = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio, odd: sums of its powers collide as seldom as random numbers."""


def shingles(text: str) -> set[str]:
    """All runs of SHINGLE characters of a text without case and punctuation; a shorter text is one shingle."""
    plain = " ".join(_WORD.findall(text.casefold()))
    return {plain[start : start + SHINGLE] for start in range(max(1, len(plain) - SHINGLE + 1))}


def told_apart(one: str, other: str, threshold: float) -> bool:
    """Whether two texts share a passage and what stands beside it differs.

    Args:
        one: Any text.
        other: Another.
        threshold: Least Jaccard similarity of the shingles of what stands beside the passage, for it to be the same.
    """
    left = own_words((one, other))
    if left == [one, other]:
        return False
    mine, theirs = map(shingles, left)
    return len(mine & theirs) < threshold * len(mine | theirs)


def own_words(texts: Sequence[str], most: int = 1) -> list[str]:
    """Take passages that several texts share out of each of them.

    Of a question about a passage that other questions are about this leaves the question, of an answer that ends in
    another way than others its ending, each with CONTEXT words of the passage. Case and punctuation do not count. It
    takes time in proportion to the number of words.

    Args:
        texts: Any texts.
        most: A passage that no more texts than this have is left where it is.

    Returns:
        What is left of each; the text itself where it shares no passage, or is nothing but passages.
    """
    names = {"": 0}  # Stands before and after each text: where one ends and another goes on, they differ.
    words = [
        array("i", [0, *(names.setdefault(word.casefold(), len(names)) for word in _WORD.findall(text)), 0])
        for text in texts
    ]
    numbers: dict[bytes, int] = {}
    for number, own in enumerate(words):
        if len(own) > PASSAGE:  # Those of the same words share everything, and count as one.
            numbers.setdefault(own.tobytes(), number)
    left = list(texts)
    if len(numbers) > 1:
        taken = dict(zip(numbers, _taken([words[number] for number in numbers.values()], most), strict=True))
        for number, own in enumerate(words):
            if (places := taken.get(own.tobytes())) is not None and not places.all():
                left[number] = _without(texts[number], places[1:-1])
    return left


def _taken(texts: Sequence[array[int]], most: int) -> list[npt.NDArray[np.bool_]]:
    """Which words of each text stand in a passage of more than `most`, CONTEXT and more from a word that does not."""
    lengths = np.array([len(words) for words in texts])
    ends = np.cumsum(lengths)
    owners = np.repeat(np.arange(len(texts)), lengths)
    # A hash of the PASSAGE words from each place on, by doubling.
    runs = np.concatenate([np.frombuffer(words, np.int32) for words in texts]).astype(np.uint64)
    size, factor = 1, _FACTOR
    while size < PASSAGE:
        runs = runs[:-size] * np.uint64(factor) + runs[size:]
        size, factor = 2 * size, factor**2 % 2**64
    places = np.flatnonzero(owners[: len(runs)] == owners[PASSAGE - 1 :])
    places = places[np.argsort(runs[places], kind="stable")]
    firsts = np.flatnonzero(np.diff(runs[places], prepend=~runs[places[0]]))
    counts = np.diff(firsts, append=len(places))
    whose = np.diff(owners[places], prepend=-1) != 0  # In a stable order the places of one text are neighbours.
    whose[firsts] = True
    shared = places[np.repeat(np.add.reduceat(whose, firsts, dtype=np.int64) > most, counts)]
    edges = np.zeros(ends[-1] + 1, np.int64)
    edges[shared] += 1
    edges[shared + PASSAGE] -= 1
    own = np.concatenate(([0], np.cumsum(np.cumsum(edges[:-1]) == 0)))  # Words before each place that are its own.
    every = np.arange(ends[-1])
    first, last = np.maximum(every - CONTEXT, (ends - lengths)[owners]), np.minimum(every + CONTEXT + 1, ends[owners])
    return np.split(own[last] == own[first], ends[:-1])


def _without(text: str, taken: npt.NDArray[np.bool_]) -> str:
    starts = [word.start() for word in _WORD.finditer(text)]
    starts = [0, *starts[1:], len(text)]
    pieces, begin = [], 0
    for gone, run in groupby(taken.tolist()):
        end = begin + len(list(run))
        if not gone:
            pieces.append(text[starts[begin] : starts[end]].strip())
        begin = end
    return " ".join(pieces)
