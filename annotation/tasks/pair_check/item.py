"""Minimal pairs of one sentence as an item of the task, and back: one item per association, region and template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from annotation.tasks.page import AUTHOR
from annotation.types import Item, MinimalPair, content_id

NAME = "pair_check"

OTHER = "other"
"""Topic of pairs whose target country is not known."""

_OF_ITEM = ("language", "country")
_OF_CONTROL = ("id", "control", "control_identity")
_MADE = ("before", "control_before")


def pair_id(template: str, association: str, country: str, control: str) -> str:
    """Name a pair by template, association, region and control group."""
    return content_id("pair", template, association, country, control)


def item_of(pairs: Sequence[MinimalPair], position: int, author: str = "") -> Item:
    """Pairs that differ in the control group alone, as an item; who shared the association has no say in it.

    Args:
        pairs: At least one.
        position: Place in the order of annotation.
        author: User name of whoever shared the association, or "".
    """
    first = pairs[0]
    content: dict[str, Any] = {"start": _start(first), "end": ""}
    for one in fields(first):
        if one.name not in (*_OF_ITEM, *_OF_CONTROL, *_MADE):
            content[one.name] = getattr(first, one.name)
    content["end"] = first.before[len(content["start"]) + len(first.identity) :]
    content["controls"] = [{name: getattr(pair, name) for name in _OF_CONTROL} for pair in pairs]
    if author:
        content[AUTHOR] = author
    named = content_id(NAME, first.association, first.country, first.template)
    return Item(named, NAME, position, first.country, first.language, first.target or OTHER, content)


def pairs_of(item: Item) -> list[MinimalPair]:
    """The inverse of `item_of`: a pair for each control group, in the order of their letters on the page."""
    shared = {name: value for name, value in item.content.items() if name not in ("start", "end", "controls", AUTHOR)}
    shared |= {"language": item.language, "country": item.country}
    start, end = item.content["start"], item.content["end"]
    return [
        MinimalPair(
            before=f"{start}{shared['identity']}{end}",
            control_before=f"{start}{control['control_identity']}{end}",
            **shared,
            **control,
        )
        for control in item.content["controls"]
    ]


def _start(pair: MinimalPair) -> str:
    """What stands before the group, the same in both sentences."""
    for found in re.finditer(re.escape(pair.identity), pair.before):
        start, end = pair.before[: found.start()], pair.before[found.end() :]
        if f"{start}{pair.control_identity}{end}" == pair.control_before:
            return start
    raise ValueError(f"the sentences of pair {pair.id} differ in more than the group")
