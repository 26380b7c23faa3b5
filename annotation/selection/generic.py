"""Descriptions that would fit any picture: nearer to what is said of other pictures than to what is said of their own.

The space is that of words, not of the encoder: in 24 pictures with labelled descriptions and 24 with planted ones, in
Spanish and Portuguese, words part generic from good descriptions better (benchmarks/generic_descriptions.py says how
much). A word counts by its first letters and weighs the more, the fewer pictures it is said of (TF-IDF: Salton and
Buckley, "Term-weighting approaches in automatic text retrieval", 1988).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotation.ledger import Ledger
from annotation.selection.outcome import FEWEST

LIMIT = 0.03
"""A description whose margin is above it would fit any picture."""

LETTERS = 5
"""Of a word that count: "tradicional" and "tradicionales" are one. Shorter words than 4 are grammar."""

Floats = NDArray[np.float64]

_WORD = re.compile(r"\w{4,}")


def read_margins(ledger: Ledger) -> tuple[dict[str, tuple[float, ...]], dict[str, int]]:
    """Margins of all descriptions of a project.

    Returns:
        Prompt id -> margins of its descriptions in the order of their ids; and language -> pictures, of the languages
        that have too few of them to tell.
    """
    described: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    query = """select p.language, c.prompt_id, c.text from current_prompts p join candidates c on c.prompt_id = p.id
               where p.image != '' and not p.removed order by c.prompt_id, c.id"""
    for row in ledger.rows(query):
        described[row["language"]][row["prompt_id"]].append(row["text"])
    found, few = dict[str, tuple[float, ...]](), dict[str, int]()
    for language, pictures in sorted(described.items()):
        if len(pictures) < FEWEST:
            few[language] = len(pictures)
            continue
        margins = find_margins([*pictures.values()])
        found |= {id_: tuple(own.tolist()) for id_, own in zip(pictures, margins, strict=True)}
    return found, few


def find_margins(pictures: Sequence[Sequence[str]]) -> list[Floats]:
    """How much nearer each description is to those of other pictures than to its own picture's others.

    Linear in the words: with T the sum of all descriptions as unit vectors, s that of a picture and x one of them, the
    margin is cos(x, T - s) - cos(x, s - x).

    Args:
        pictures: The descriptions of each picture, in one language.

    Returns:
        One array per picture; from -1, as good as no other picture could be meant, to 1.
    """
    flat = [text for own in pictures for text in own]
    sizes = np.array([len(own) for own in pictures])
    of_row = np.repeat(np.arange(len(pictures)), sizes)
    ids: dict[str, int] = {}
    sets = [sorted({ids.setdefault(word[:LETTERS], len(ids)) for word in _WORD.findall(t.casefold())}) for t in flat]
    row = np.repeat(np.arange(len(flat)), [len(one) for one in sets])
    word = np.array([w for one in sets for w in one], np.int64)
    pairs, pair = np.unique(of_row[row] * len(ids) + word, return_inverse=True)  # words of a picture
    pair_picture, pair_word = np.divmod(pairs, max(1, len(ids)))
    weight = np.log((len(pictures) + 1) / np.bincount(pair_word, minlength=len(ids)))[word]
    length = np.sqrt(_sums(row, weight**2, len(flat)))
    value = weight / length[row]
    total = _sums(word, value, len(ids))
    own = _sums(pair, value, len(pairs))
    own_squared = _sums(pair_picture, own**2, len(pictures))[of_row]
    common = _sums(pair_picture, total[pair_word] * own, len(pictures))[of_row]
    said = (length > 0).astype(np.float64)  # |x|, which is 0 for a text without a word
    to_own = _sums(row, value * own[pair], len(flat))
    to_total = _sums(row, value * total[word], len(flat))
    outside = _cosine(to_total - to_own, total @ total - 2 * common + own_squared)
    inside = _cosine(to_own - said, own_squared - 2 * to_own + said)
    return np.split(np.round(outside - inside, 6), np.cumsum(sizes)[:-1])


def _sums(of: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Sum of the values of each of so many things."""
    return np.bincount(of, values, count).astype(np.float64)


def _cosine(product: Floats, squared: Floats) -> Floats:
    """Cosines, out of a unit vector's products with others and the squared lengths of these; 0 where one has none."""
    known = squared > 1e-9
    return np.where(known, product / np.sqrt(np.where(known, squared, 1)), 0.0)


def most_generic(margins: Sequence[float], usable: Sequence[int], least: int) -> list[int]:
    """Which of a picture's usable descriptions go: the most generic first, and no more than leave a slate.

    Args:
        margins: Of all its descriptions.
        usable: Places of those that may be chosen.
        least: Descriptions on a slate: people see a generic one rather than none, and say that it is.
    """
    generic = sorted((place for place in usable if margins[place] > LIMIT), key=lambda place: (-margins[place], place))
    return generic[: max(0, len(usable) - least)]
