"""The rule of assignment in a dataset's metadata: how many people answer a record, who, how much, and the controls.

`annot push` and `annot sync` write it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from argilla_server.models import Dataset
from pydantic import BaseModel, Field, ValidationError

ASSIGN = "annot_assign"


class Group(BaseModel):
    """Records of a topic and a language, "" for any, of which so many are to be finished."""

    topic: str = ""
    language: str = ""
    target: int = 0


class Turns(BaseModel):
    """A person at turn t is shown the records t * size .. (t + 1) * size - 1, in the order of adding; at -1 none."""

    size: int = Field(ge=1)
    of: dict[str, int] = {}
    told: dict[str, tuple[str, str]] = {}
    """How those at -1 stand ("passed", "waits", "failed"), and until when they wait, for the page."""
    work: UUID | None = None
    """The dataset that the test opens."""


class Rule(BaseModel):
    """What a dataset's metadata says of who is asked what."""

    overlap: int | None = Field(None, ge=1)
    """People who may answer a record; None: everybody may."""
    hold_minutes: int = Field(45, ge=1)
    most: int = 0
    """Answers of a person; 0: no limit. So with `most_a_day`, in 24 hours."""
    most_a_day: int = 0
    controls: tuple[int, int, int] | tuple[()] = ()
    """(first, first_every, every): one control record in `first_every` of a person's first `first`, then in `every`."""
    groups: tuple[Group, ...] = ()
    open_to: frozenset[str] | None = None
    languages: dict[str, frozenset[str]] = {}
    """By the ids of those who do not read everything."""
    uncounted: frozenset[UUID] = frozenset()
    """People whose answers do not count: they take no seat from others."""
    gone: frozenset[UUID] = frozenset()
    """Records that nobody else is asked about: what they ask was removed or moved, and somebody had answered."""
    same: dict[str, tuple[UUID, ...]] = {}
    """User id -> the other ids of one person, who is asked once."""
    turns: Turns | None = None
    entry: UUID | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Rule | None:
        """That of a dataset; nobody is let in by one that cannot be read, None where there is none."""
        metadata: Mapping[str, Any] = dataset.metadata_ or {}
        try:
            return cls.model_validate(metadata[ASSIGN]) if ASSIGN in metadata else None
        except ValidationError:
            return cls(open_to=frozenset())

    def leaves_out(self, user_id: UUID) -> bool:
        """Whether the records are for others alone."""
        return self.open_to is not None and str(user_id) not in self.open_to

    def controls_due(self, seed: str, number: int) -> int:
        """How many control records have their place among a person's first `number` + 1."""
        if not self.controls:
            return 0
        first, first_every, every = self.controls
        blocks = [(begin, first_every, first) for begin in range(0, first, first_every)]
        later = max(0, number - first) // every  # whole ones, each with one
        blocks.append((first + later * every, every, number + 1))
        return later + sum(_place(seed, begin, size) <= min(number, last - 1) for begin, size, last in blocks)


def _place(seed: str, begin: int, size: int) -> int:
    return begin + int.from_bytes(hashlib.blake2b(f"{seed}{begin}".encode(), digest_size=8).digest()) % size
