"""What one person said of an association: how well known it is where they live, and how offensive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.tasks.base import Unfit, chosen
from annotation.types import Answer, Item

SCALE = (1, 2, 3, 4, 5)
"""How well known: 1 nobody here knows it, 5 everybody does. And how offensive: 1 not at all, 5 very much."""

SKIP, STOP = "skip", "stop"
KNOWN = (*map(str, SCALE), SKIP, STOP)
HERE, OTHERS = "here", "others"


@dataclass(frozen=True, slots=True)
class Rating:
    """What one person said of one association. A skip is no rating, and never a zero.

    Attributes:
        known: One of SCALE; None where the person does not know, or would rather not say.
        offensive: One of SCALE; None where they did not say, or skipped.
        about: HERE where it is said of people from where the person lives, OTHERS, or "" where they did not say.
        stop: They want to see no more of these texts, and said nothing of this one.
    """

    known: int | None = None
    offensive: int | None = None
    about: str = ""
    stop: bool = False


def read_rating(values: Mapping[str, Any]) -> Rating:
    """A response's values as a rating.

    Raises:
        Unfit: Nothing was chosen, or something that the page does not offer.
    """
    known, about = chosen(values, "known", KNOWN, "rating"), values.get("about") or ""
    if about not in ("", HERE, OTHERS):
        raise Unfit(f"unknown group: {about}")
    offensive = values.get("offensive")
    if offensive is not None and (type(offensive) is not int or offensive not in SCALE):
        raise Unfit(f"unknown rating: {offensive}")
    if known == STOP:
        return Rating(stop=True)
    return Rating(about=about) if known == SKIP else Rating(int(known), offensive, about)


def write_rating(rating: Rating) -> dict[str, Any]:
    """The inverse of `read_rating`."""
    known = STOP if rating.stop else SKIP if rating.known is None else str(rating.known)
    values = {"known": known, "offensive": rating.offensive, "about": rating.about or None}
    return {name: {"value": value} for name, value in values.items() if value is not None}


def by_group(item: Item, answers: Iterable[Answer[Rating]]) -> dict[bool, list[Answer[Rating]]]:
    """Answers about the raters' own group (True) and about others; a person says which, or else the target does.

    Who wants to see no more of these texts said nothing, and stands in neither.
    """
    groups: dict[bool, list[Answer[Rating]]] = {True: [], False: []}
    for answer in answers:
        if not answer.value.stop:
            about = answer.value.about
            groups[about == HERE if about else item.content["target"] == answer.country].append(answer)
    return groups
