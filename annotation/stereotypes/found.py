"""Associations as a source holds them: a group, what is said of it, and what the source says of that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.types import Dropped

LANGUAGES = ("es", "pt", "en")
"""Languages that annot knows words of groups in."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What holds for rows of a source that do not say it themselves.

    Attributes:
        language: ISO 639-1, or "".
        region: Where the people live whose ratings it holds, ISO 3166-1 alpha-2, or "".
        licence: As its authors state it, or "".
    """

    language: str = ""
    region: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class FoundAssociation:
    """An association as a row holds it; nothing is cleaned yet.

    Attributes:
        identity: The group.
        attribute: What is said of it; "" where the frame says it.
        language: ISO 639-1, or "" where nobody says.
        frame: A sentence with one "*" where the group stands, or "".
        target: The country that is meant, ISO 3166-1 alpha-2, where the row says so; else "".
        rating: What the row says of it, as `annotation.stereotypes.file_ratings.FileRating.value`; None for nothing.
        regions: Of whoever said that, ISO 3166-1 alpha-2, "" for one that is not known.
        licence: As the row states it, or "".
        source: The same.
    """

    identity: str
    attribute: str
    language: str
    frame: str = ""
    target: str = ""
    rating: Mapping[str, Any] | None = None
    regions: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


Found = FoundAssociation | Dropped
"""An association, or a part of a row that is none: id is the part ("word 2"), or ""."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a set of stereotypes.

    Attributes:
        name: For people.
        licence: That of the public set in this form, or "".
        fits: Whether a table with these columns has it.
        read: The associations of a row; raises ValueError with the reason where it is none.
    """

    name: str
    licence: str
    fits: Callable[[Collection[str]], bool]
    read: Callable[[Mapping[str, object], Usual], Iterator[Found]]
