"""Passwords that can be read out over a telephone: words of two syllables, without letters that look or sound alike."""

from __future__ import annotations

import itertools
import secrets

CONSONANTS, VOWELS = "dfmnprt", "aeiou"
"""Neither l, 1, I, O and 0, which look alike, nor b and v, c, s and z, g and j, h, k and q, which sound alike."""

RUDE = {
    *("foda", "fode", "fodo", "mamo", "memo", "mono", "moro", "mudo", "pedo", "peda", "pene", "pepa", "peta", "pito"),
    *("puta", "puto", "rape", "rata", "tara", "teta"),
}
"""Not to be handed out to anybody."""

WORDS = tuple(sorted({"".join(word) for word in itertools.product(CONSONANTS, VOWELS, CONSONANTS, VOWELS)} - RUDE))

WORDS_PER_PASSWORD = 5
"""51 bits: 5 times the logarithm of the number of words. Whoever guesses has to wait at the server."""


def make_password() -> str:
    """A new one, for example "fado-reni-tupe-dimo-nura"."""
    return "-".join(secrets.choice(WORDS) for _ in range(WORDS_PER_PASSWORD))
