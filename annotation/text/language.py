"""Language detection among a few languages, with lingua."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua import LanguageDetector

CLEAR = 0.1
"""Least distance of the two likeliest languages (shares that add up to 1) at which the likeliest is taken."""

NEIGHBOURS = ("es", "pt", "en", "fr", "it", "ca", "de")
"""Languages that prompts are likely to be in when they are in none of the project's."""


def detect(texts: Sequence[str], among: Sequence[str]) -> list[str | None]:
    """Detect which of some languages each text is in.

    lingua compares n-grams of one to five letters; it needs no network and takes about 0.1 ms for 60 words.

    Args:
        texts: Any texts.
        among: ISO 639-1 codes to choose from. The fewer, the surer; those that cannot be detected (see `detectable`)
            are left out, and with one language left every text with a letter in it is that one.

    Returns:
        A code, or None where nobody can be sure: too short, no letters, or two languages too close to call.
    """
    known = tuple(sorted({code.lower() for code in among if detectable(code)}))
    if not known:
        return [None] * len(texts)
    if len(known) == 1:
        return [known[0] if any(map(str.isalpha, text)) else None for text in texts]
    found = _detector(known).detect_languages_in_parallel_of(list(texts))
    return [language.iso_code_639_1.name.lower() if language else None for language in found]


def shares(texts: Sequence[str], among: Sequence[str]) -> list[dict[str, float]]:
    """Estimate how likely each text is in each of some languages.

    Args:
        texts: Any texts.
        among: ISO 639-1 codes; those that cannot be detected (see `detectable`) are left out. At least two must remain.

    Returns:
        For each text: code to share, likeliest first; the shares add up to 1, or are all 0 for a text without letters.
    """
    known = tuple(sorted({code.lower() for code in among if detectable(code)}))
    found = _detector(known).compute_language_confidence_values_in_parallel(list(texts))
    return [{value.language.iso_code_639_1.name.lower(): value.value for value in values} for values in found]


def detectable(code: str) -> bool:
    """Whether a language can be detected at all; Galician, Quechua and Guaraní, for example, cannot."""
    return code.lower() in _codes()


@functools.cache
def _codes() -> frozenset[str]:
    from lingua import Language

    return frozenset(language.iso_code_639_1.name.lower() for language in Language.all())


@functools.cache
def _detector(codes: tuple[str, ...]) -> LanguageDetector:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    chosen = [getattr(IsoCode639_1, code.upper()) for code in codes]
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*chosen)
    return builder.with_minimum_relative_distance(CLEAR).build()
