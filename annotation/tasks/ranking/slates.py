"""Slates: the ranking's own view of items, in the ledger and out of it."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.ledger import Ledger
from annotation.types import Item, Prompt, Slate

RANKING = "ranking"


def slate_of(item: Item) -> Slate:
    """The slate that an item of the ranking is."""
    return Slate(item.id, item.prompt_id, tuple(item.content["seats"]), item.position)


def item_of(slate: Slate, prompt: Prompt) -> Item:
    """A slate as an item: seats are stored with it, so they never change."""
    group = (prompt.country, prompt.language, prompt.topic)
    return Item(slate.id, RANKING, slate.position, *group, {"seats": list(slate.seats)}, slate.prompt_id)


def read_slates(ledger: Ledger) -> list[Slate]:
    """All slates in the order of annotation."""
    return [slate_of(item) for item in ledger.items(RANKING)]


def add_slates(ledger: Ledger, slates: Iterable[Slate]) -> int:
    """Keep slates. A prompt that has one keeps it. Returns how many were new."""
    slates = list(slates)
    prompts = {prompt.id: prompt for prompt in ledger.prompts({slate.prompt_id for slate in slates})}
    return ledger.add_items(item_of(slate, prompts[slate.prompt_id]) for slate in slates)
