"""Order in which stereotypes are asked about: the groups take turns, so that nobody meets many about one in a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from annotation.text.locales import fold
from annotation.types import Association


def in_turns(associations: Iterable[Association], seed: int) -> list[Association]:
    """One of each group, then a second of each, and so on: any beginning of the list is spread evenly over the groups.

    A group is a target country, or where that is not known what the group is called. Inside a group chance decides, by
    the ids: where an association stands in its file changes nothing.
    """
    key = str(seed).encode()
    drawn = sorted(
        ((blake2b(one.id.encode(), key=key, digest_size=8).digest(), one) for one in associations),
        key=lambda pair: pair[0],
    )
    turns = list[tuple[int, bytes, Association]]()
    taken = defaultdict[str, int](int)
    for chance, one in drawn:
        group = _group(one)
        turns.append((taken[group], chance, one))
        taken[group] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def without_runs(ordered: Sequence[Association]) -> list[Association]:
    """The same order, but that what is left of the largest group at the end is put evenly between all others."""
    if not ordered:
        return []
    last = _group(ordered[-1])
    end = next((place for place in range(len(ordered), 0, -1) if _group(ordered[place - 1]) != last), 0)
    body, tail = ordered[:end], ordered[end:]
    places = [(number * len(tail), 0) for number in range(len(body))] + [
        (number * len(body) + len(body) // 2, 1) for number in range(len(tail))
    ]
    return [one for _, one in sorted(zip(places, [*body, *tail], strict=True), key=lambda pair: pair[0])]


def _group(association: Association) -> str:
    return association.target or fold(association.identity)
