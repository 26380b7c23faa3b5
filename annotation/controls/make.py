"""Making a control item of an item of the work: one text in it is spoiled, or two are alike, and the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotation.controls.spoil import (
    ALIKE,
    COPIED,
    GARBLED,
    LANGUAGE,
    OFF_TOPIC,
    PROMPT_KEEPS,
    TRUNCATED,
    garbled,
    in_order_of,
    in_other_language,
    shares_words,
    truncated,
)
from annotation.ledger import BORROWED
from annotation.quality.controls import CONTROLS
from annotation.tasks.page import CONTROL, TEXTS_OF
from annotation.tasks.prompt_check.task import NAME as PROMPT_CHECK
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.types import Item, Prompt, content_id

RANKED_KINDS = (LANGUAGE, COPIED, GARBLED, TRUNCATED, OFF_TOPIC, ALIKE)

KINDS: Mapping[str, tuple[str, ...]] = {
    RANKING: RANKED_KINDS,
    DESCRIPTION: RANKED_KINDS,
    PROMPT_CHECK: (GARBLED, TRUNCATED),
}
"""Task -> kinds of control items that can be made for it. Of the other tasks nobody knows the answer."""

TRIED = 200
"""Slates that are looked at for an answer that is off topic."""


@dataclass(frozen=True, slots=True)
class Material:
    """What control items of a task are made of.

    Attributes:
        items: The task's, of all countries: an answer that is off topic is taken from one.
        prompts: By id.
        text: Gives the text of a candidate.
        avoid: Country -> languages that its people read.
        seed: The project's.
    """

    items: Sequence[Item]
    prompts: Mapping[str, Prompt]
    text: Callable[[str], str]
    avoid: Mapping[str, Collection[str]]
    seed: int


def make_control(base: Item, purpose: str, kinds: Sequence[str], material: Material) -> Item | None:
    """A control item that looks like its base; of the first kind that its texts allow, None where they allow none.

    Args:
        base: Of the work; it is asked no more.
        purpose: "control" or "entry".
        kinds: Those to try, in this order.
        material: What it is made of.
    """
    make = _spoiled_prompt if base.task == PROMPT_CHECK else _spoiled_slate
    for kind in kinds:
        if made := make(base, kind, material, f"{material.seed} {base.id} {kind}"):
            content, expected = made
            return replace(
                base,
                id=content_id(CONTROLS, base.task, base.id),
                content={**base.content, CONTROL: kind, **content},
                purpose="entry" if purpose == "entry" else "control",
                expected=expected,
                parent=base.id,
                round=0,  # a new one closes no control item, and no entry test
                closed=False,
            )
    return None


def _spoiled_prompt(
    base: Item, kind: str, material: Material, seed: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    prompt = material.prompts[base.prompt_id]
    text = garbled(prompt.text, seed) if kind == GARBLED else truncated(prompt.text, PROMPT_KEEPS)
    return ({TEXTS_OF: {prompt.id: text}}, {"accepted": False}) if text else None


def _spoiled_slate(
    base: Item, kind: str, material: Material, seed: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A slate with one seat in which another text stands. Nothing is asked of the order of those that are sound."""
    seats: list[str] = list(base.content["seats"])
    spoiled, other = in_order_of(seed, seats)[:2]
    about: dict[str, str] = {}
    match kind:
        case "two alike":
            text = material.text(other)
        case "another language":
            text = in_other_language(material.text(spoiled), material.avoid[base.country], seed)
        case "copied question":
            text = material.prompts[base.prompt_id].text
        case "garbled":
            text = garbled(material.text(spoiled), seed)
        case "truncated":
            text = truncated(material.text(spoiled))
        case _:
            text, about = next(_off_topic(base, material, seed), ("", {}))
    if not text.strip():
        return None
    # Named by what is done and not by what it says: two that are alike would have one name.
    named = content_id(CONTROLS, base.id, kind)
    content = {"seats": [named if seat == spoiled else seat for seat in seats], TEXTS_OF: {named: text}, **about}
    return content, {"tied": sorted((named, other))} if kind == ALIKE else {"worst": named}


def _off_topic(base: Item, material: Material, seed: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Answers to prompts of other topics in the same language, with nothing of this one in them."""
    asked, count = material.prompts[base.prompt_id], len(material.items)
    begin = int(content_id(seed), 16) % count
    for step in range(min(count, TRIED)):
        item = material.items[(begin + step) % count]
        other = material.prompts.get(item.prompt_id)
        if other is None or item.removed or item.language != base.language or "" in (item.topic, base.topic):
            continue
        if item.topic == base.topic or (not asked.image and shares_words(asked.text, other.text)):
            continue
        text = material.text(item.content["seats"][0])
        if text.strip() and not shares_words(asked.text if not asked.image else base.topic, text):
            yield text, {BORROWED: other.id}
