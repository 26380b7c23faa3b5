"""Prompts that people check before anything is drafted: which are asked about, and which were accepted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.prompts.proposed import proposed_prompts
from annotation.tasks.answers import judged, roster
from annotation.tasks.page import AUTHOR
from annotation.tasks.prompt_check.task import ACCEPTED, NAME, REJECTED, status_of
from annotation.types import Answer, Item, Prompt, content_id

_VISITORS = "demo "
"""How the source of a prompt that a demo's visitor typed begins. Those of files hold a colon: "file:row"."""


def visitors_source(votes: str) -> str:
    """The source of prompts that visitors typed, by that of their votes."""
    return _VISITORS + votes.replace(":", "-")


def visitors_prompts(ledger: Ledger) -> set[str]:
    """Ids of the prompts that a demo's visitors typed."""
    rows = ledger.rows("select id from prompts where source like ? and instr(source, ':') = 0", f"{_VISITORS}%")
    return {row["id"] for row in rows}


def untried_prompts(ledger: Ledger) -> set[str]:
    """Ids of the prompts that visitors typed or a model proposed: they count for nothing before people accept them."""
    return visitors_prompts(ledger) | proposed_prompts(ledger).keys()


def waiting_prompts(ledger: Ledger, settings: Settings) -> set[str]:
    """Ids of the untried prompts that people have not accepted: nothing about them leaves the project."""
    return untried_prompts(ledger) - accepted_prompts(ledger, settings)


def add_checks(ledger: Ledger, among: Collection[str] | None = None) -> int:
    """Put prompts that nobody is asked about yet at the end of the prompt check's queue; returns how many.

    Args:
        ledger: The project's.
        among: Ids of those to look at; None for all.
    """
    with ledger.transaction():
        known = ledger.items(NAME)
        there, start = {item.prompt_id for item in known}, max((item.position for item in known), default=-1) + 1
        every = (prompt for prompt in ledger.prompts(among) if not prompt.removed and not prompt.image)
        fresh = [prompt for prompt in every if prompt.id not in there]
        return ledger.add_items(_item_of(prompt, start + number) for number, prompt in enumerate(fresh))


def _item_of(prompt: Prompt, position: int) -> Item:
    """A prompt as an item to check; who wrote it has no say in it."""
    group = (prompt.country, prompt.language, prompt.topic)
    content = {AUTHOR: prompt.author} if prompt.author else {}
    return Item(content_id(NAME, prompt.id), NAME, position, *group, content, prompt.id)


def only_accepted(ledger: Ledger, settings: Settings) -> set[str] | None:
    """Ids of the prompts that may be drafted for; None for all.

    What a demo's visitors typed or a model proposed is never drafted for before people accepted it, everything else
    only then where `prompts.reviewed_only` is set. Pictures are checked by whoever adds them: their prompts ask all the
    same.
    """
    if settings.prompts.reviewed_only:
        pictures = ledger.rows("select id from prompts where image != ''")
        return accepted_prompts(ledger, settings) | {row["id"] for row in pictures}
    if not (untried := untried_prompts(ledger)):
        return None
    return {row["id"] for row in ledger.rows("select id from prompts")} - untried | accepted_prompts(ledger, settings)


def accepted_prompts(ledger: Ledger, settings: Settings) -> set[str]:
    """Ids of the prompts that enough people accepted."""
    return {prompt for prompt, status in checked_prompts(ledger, settings).items() if status == ACCEPTED}


def rejected_prompts(ledger: Ledger, settings: Settings) -> set[str]:
    """Ids of the prompts that as many people as are asked have not accepted."""
    return {prompt for prompt, status in checked_prompts(ledger, settings).items() if status == REJECTED}


def checked_prompts(ledger: Ledger, settings: Settings) -> dict[str, str]:
    """Prompt id -> what people's checks of it come to (`status_of`), of those that somebody checked."""
    items = {item.id: item for item in ledger.items(NAME)}
    of_item: dict[str, list[Answer[Any]]] = defaultdict(list)
    for answer in judged(ledger, items, roster(ledger)):
        of_item[answer.item_id].append(answer)
    owed = settings.task.prompt_check
    return {items[item_id].prompt_id: status_of(own, owed) for item_id, own in of_item.items()}
