"""Folded words: which spellings count as the same word.

Case and accents do not count, `ç` is a `c` (Portuguese is typed without its marks on many keyboards),
except that `ñ` stays a letter of its own, as Spanish dictionaries and the Unicode collation for Spanish
have it: `año` and `ano` are different words.
"""

from __future__ import annotations

import re
import unicodedata

# The rest of a longer word does not count.
MAX_WORD = 200

_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Combining marks, and characters that print nothing.
_UNSEEN = re.compile("[\u0300-\u036f\u00ad\u200b-\u200f\u2060\ufeff]")


class _Letters(dict[str, str]):
    """How a character outside ASCII is compared; worked out once for each that is met."""

    def __missing__(self, letter: str) -> str:
        bare = letter if letter == "ñ" else _UNSEEN.sub("", unicodedata.normalize("NFKD", letter))
        self[letter] = unicodedata.normalize("NFC", bare.casefold())
        return self[letter]


_LETTERS = _Letters()


def fold(text: str) -> str:
    """The text as it is compared: lower case, without accents, `ñ` kept."""
    if text.isascii():
        return text.lower()
    # Letter by letter: few letters of a text have accents, and normalising all of it is six times slower.
    composed = unicodedata.normalize("NFC", text).lower()
    return _NOT_ASCII.sub(lambda found: _LETTERS[found[0]], composed)


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    return [word[:MAX_WORD] for word in _WORD.findall(fold(text))]
