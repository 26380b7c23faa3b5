"""Slates: the ranking's own view of items, in the ledger and out of it."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.ledger import Ledger
from annotation.tasks.page import PICTURE
from annotation.types import Item, Prompt, Slate, picture_file

RANKING = "ranking"

DESCRIPTION = "description"
"""The task in which what is ranked describes a picture."""


def slate_of(item: Item) -> Slate:
    """The slate that an item of the ranking is."""
    return Slate(item.id, item.prompt_id, tuple(item.content["seats"]), item.position, item.round, item.closed)


def item_of(slate: Slate, prompt: Prompt) -> Item:
    """A slate as an item: seats are stored with it, so they never change."""
    picture = {PICTURE: picture_file(prompt.image, view=True)} if prompt.image else {}
    group, content = (prompt.country, prompt.language, prompt.topic), {"seats": list(slate.seats), **picture}
    task = slate_task(prompt)
    return Item(slate.id, task, slate.position, *group, content, slate.prompt_id, round=slate.round)


def slate_task(prompt: Prompt) -> str:
    """The task in which the answers to a prompt are ranked."""
    return DESCRIPTION if prompt.image else RANKING


def ranked_kinds(ledger: Ledger) -> tuple[str, ...]:
    """The tasks in which answers to a project's prompts are ranked, as far as it has any prompts."""
    kinds = {RANKING: "image = ''", DESCRIPTION: "image <> ''"}
    there = "select 1 from current_prompts where not removed and"
    return tuple(task for task, kind in kinds.items() if ledger.rows(f"{there} {kind} limit 1"))


def read_slates(ledger: Ledger) -> list[Slate]:
    """All slates, of texts and of pictures, in the order of annotation."""
    items = (*ledger.items(RANKING), *ledger.items(DESCRIPTION))
    return sorted(map(slate_of, items), key=lambda slate: slate.position)


def add_slates(ledger: Ledger, slates: Iterable[Slate]) -> int:
    """Keep slates. A prompt that has one of the same round keeps it. Returns how many were new."""
    slates = list(slates)
    prompts = {prompt.id: prompt for prompt in ledger.prompts({slate.prompt_id for slate in slates})}
    return ledger.add_items(item_of(slate, prompts[slate.prompt_id]) for slate in slates)
