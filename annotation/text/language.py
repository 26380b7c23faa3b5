"""Language of a text: the declared one, unless the text is clearly in another."""

from __future__ import annotations

import functools
from collections.abc import Sequence

CLEAR = 15.0
"""Log likelihood ratio from which a text is in another language than the declared one.

On real lines in 13 varieties of es, pt, gl, ca, eu, qu, gn and en none was taken for another language that was not
really in that; of lines of 5 to 9 words in another language 45 % (Spanish for Galician) to 100 % were found, of longer
ones 91 % to 100 %.
"""
CLOSE = 2.0
"""The same ratio between two declared languages, below which it is the one that was declared first."""

NEIGHBOURS = ("es", "pt", "en", "fr", "it", "ca", "gl", "eu", "qu", "gn", "de")
"""Languages that texts are likely to be in when they are in none of the declared ones."""

CHARS = 1000
"""Characters of a text from which its language is told."""

_LABELS = {"gn": "gug"}


def tell(text: str, declared: Sequence[str]) -> str:
    """Tell which language a text is in.

    py3langid weighs sequences of bytes with a naive Bayes classifier, so that the evidence grows with the text: a few
    words leave a doubt, in which the declared language is taken. It needs no network and takes 0.5 ms for 1,000
    characters.

    Args:
        text: Any text.
        declared: ISO 639-1 codes that it should be in, the likeliest first; () for any.

    Returns:
        One of the declared languages, or one of NEIGHBOURS that is clearly likelier. Where a declared language cannot
        be told (see `can_tell`), a text that is clearly in none of the others is in that one.
    """
    untold = [code for code in declared if not can_tell(code)]
    known = [code for code in declared if code not in untold]
    if untold and not known:
        return untold[0]
    import py3langid

    likely = dict(py3langid.rank(text[:CHARS]))
    other = max((code for code in NEIGHBOURS if code not in known), key=lambda code: likely[_label(code)], default="")
    best = max(known, key=lambda code: likely[_label(code)], default="")
    if not best or (other and likely[_label(other)] - likely[_label(best)] >= CLEAR):
        return untold[0] if untold else other
    return best if likely[_label(best)] - likely[_label(known[0])] >= CLOSE else known[0]


def can_tell(code: str) -> bool:
    """Whether a language can be told from others; Nahuatl, Aymara and Asturian, for example, cannot."""
    return _label(code) in _labels()


def _label(code: str) -> str:
    return _LABELS.get(code, code)


@functools.cache
def _labels() -> frozenset[str]:
    import py3langid

    return frozenset(label for label, _ in py3langid.rank(""))
