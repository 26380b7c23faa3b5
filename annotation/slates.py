"""Who sits in which seat."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from annotation.types import SEATS, Slate, content_id


def make_slate(prompt_id: str, candidate_ids: Collection[str], *, position: int, seed: int) -> Slate:
    """Seat the answers that a person will rank side by side.

    The order on the screen sways people, so it is drawn anew for every slate: by a hash of seed, slate and candidate,
    which is the same in every process and every version of Python.

    Args:
        prompt_id: What they answer.
        candidate_ids: Two or more, at most one per seat, in any order.
        position: Place in the order of annotation.
        seed: The project's.
    """
    if len(set(candidate_ids)) != len(candidate_ids) or not 2 <= len(candidate_ids) <= len(SEATS):
        raise ValueError(f"{len(candidate_ids)} answers cannot be seated: {sorted(candidate_ids)}")
    slate_id = content_id(prompt_id, *sorted(candidate_ids))
    return Slate(slate_id, prompt_id, shuffle(candidate_ids, f"{seed} {slate_id}"), position)


def shuffle(ids: Collection[str], seed: str) -> tuple[str, ...]:
    """An order of distinct ids that depends on the seed and on nothing else, not even on the order in which they come."""
    return tuple(sorted(ids, key=lambda one: hashlib.sha256(f"{seed}\0{one}".encode()).digest()))
