"""Spoiling of a text: what is certainly no answer any more, whatever somebody's culture.

Every function gives "" where the text cannot be spoiled so that nobody could take it for sound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from annotation.controls.sentences import SENTENCES

LANGUAGE, COPIED, GARBLED, TRUNCATED, OFF_TOPIC, ALIKE, MARKED = (
    *("another language", "copied question", "garbled", "truncated", "off topic", "two alike"),
    "marked by a lead",
)
"""Kinds of control items, by what was done to a text. Two answers that are alike are not spoiled: they must tie."""

FEWEST_LETTERS, FEWEST_OTHER = 40, 8
"""Letters of a text, and different ones among them, with which no order by chance can be read."""

ANSWER_KEEPS, PROMPT_KEEPS = (4, 15), (2, 8)
"""Words that are left of a truncated answer or prompt before the one that is cut, and the fewest of the whole."""


def in_other_language(text: str, avoid: Collection[str], seed: str) -> str:
    """About as much text in a language that nobody here reads.

    Args:
        text: What it takes the place of.
        avoid: ISO 639-1 codes of the languages that people here read.
        seed: What it depends on.
    """
    free = [language for language in SENTENCES if language not in avoid]
    if not free:
        return ""
    sentences = SENTENCES[free[_draw(seed, len(free))]]
    begin = _draw(f"{seed} begin", len(sentences))
    said = [*sentences[begin:], *sentences[:begin]]
    enough = next((n for n in range(2, len(said)) if len(" ".join(said[:n])) >= len(text)), len(said))
    return " ".join(said[:enough])


def garbled(text: str, seed: str) -> str:
    """The letters of the whole text in an order by chance; blanks, digits and marks stay where they are."""
    places = [place for place, sign in enumerate(text) if sign.isalpha()]
    if len(places) < FEWEST_LETTERS or len({text[place].casefold() for place in places}) < FEWEST_OTHER:
        return ""
    drawn = sorted(places, key=lambda place: hashlib.sha256(f"{seed}\0{place}".encode()).digest())
    signs = list(text)
    for place, other in zip(places, drawn, strict=True):
        signs[place] = text[other]
    return found if (found := "".join(signs)) != text else ""


def truncated(text: str, keeps: tuple[int, int] = ANSWER_KEEPS) -> str:
    """A few words and half of one, of a text that has many more."""
    words, (left, fewest) = text.split(), keeps
    cut = next((place for place in range(left, left + 5) if place < len(words) and len(words[place]) >= 4), None)
    if len(words) < fewest or cut is None:
        return ""
    return " ".join([*words[:cut], words[cut][: len(words[cut]) // 2]])


def shares_words(text: str, other: str) -> bool:
    """Whether two texts may be about the same: they have a word of five letters or more in common."""

    def words(of: str) -> set[str]:
        return {word for word in "".join(s if s.isalpha() else " " for s in of.casefold()).split() if len(word) >= 5}

    return bool(words(text) & words(other))


def _draw(seed: str, among: int) -> int:
    """A number below `among`, the same in every process and every version of Python."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) % among


def in_order_of(seed: str, options: Sequence[str]) -> list[str]:
    """Options in an order by chance."""
    return sorted(options, key=lambda option: hashlib.sha256(f"{seed}\0{option}".encode()).digest())
