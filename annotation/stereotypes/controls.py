"""Control groups of a people: others of the same gender and number, of about the same length, drawn by chance."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Collection

from annotation.stereotypes.identities import identity_of, written

WELL_KNOWN = frozenset(
    (
        *("AR", "BO", "BR", "CL", "CO", "CR", "CU", "DO", "EC", "ES", "GT", "HN", "MX", "NI", "PA", "PE", "PR", "PT"),
        *("PY", "SV", "UY", "VE", "AO", "CV", "MZ", "HT", "JM", "US", "CA", "FR", "IT", "DE", "GB", "IE", "NL", "BE"),
        *("CH", "AT", "SE", "NO", "DK", "FI", "PL", "GR", "TR", "RU", "UA", "CN", "JP", "KR", "IN", "PK", "IL", "EG"),
        *("MA", "NG", "KE", "ZA", "AU", "NZ", "PH", "VN", "TH"),
    )
)
"""Countries whose people most readers of Spanish and Portuguese have heard of: a control group is no rare word."""

ENOUGH = 6
"""A country with so many known parts gives the controls of a part; of one with fewer, whole countries do."""

_NEAREST = 3
"""Controls are drawn from so many times as many groups, those whose names are nearest in length."""


def draw_controls(
    place: str,
    language: str,
    count: int,
    *,
    length: int,
    said: Callable[[str], str],
    besides: Collection[str],
    seed: str,
) -> list[tuple[str, str]]:
    """Control groups of a people: their places and names.

    A country's controls are well-known countries, a part's are other parts of the same country. No name that two places
    share is a control.

    Args:
        place: Of the people.
        language: Of the names.
        count: At most so many.
        length: Characters of the people's own name.
        said: What a place's people are called in the sentence; "" where they cannot stand there.
        besides: Places that are not drawn.
        seed: The same seed draws the same groups.
    """
    names = _places(language)
    siblings = [other for other in names if len(other) > 2 and other[:2] == place[:2]] if len(place) > 2 else []
    pool = siblings if len(siblings) > ENOUGH else sorted(WELL_KNOWN.intersection(names) - {place[:2]})
    rng = random.Random(seed)
    found = [(other, said(other)) for other in pool if other not in {place, *besides}]
    found = [pair for pair in found if pair[1]]
    rng.shuffle(found)
    nearest = sorted(found, key=lambda pair: abs(len(pair[1]) - length))[: _NEAREST * count]
    return rng.sample(nearest, min(count, len(nearest)))


@functools.cache
def _places(language: str) -> tuple[str, ...]:
    """Places whose people have a name of their own."""
    return tuple(sorted(place for place, forms in written(language).items() if identity_of(forms[0], language)))
