"""Answers of a model become prompts that people check: cleaned, masked, compared with those that there are.

What a call brought is taken in once, whenever that was paid for: a run that was killed before it came so far leaves it
to the next one. Every proposal becomes a prompt, or something dropped with its reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from annotation.drafting.ask import object_of
from annotation.extending.questions import Purpose, calls_for_prompts
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.prompts.duplicates import compare
from annotation.prompts.languages import assign_languages
from annotation.prompts.proposed import Proposal, proposed_prompts
from annotation.prompts.review import add_checks
from annotation.prompts.rows import Entry, clean_entries
from annotation.screen import Progress, silent
from annotation.selection.embedding import Encoder, embed
from annotation.text.privacy import excerpt
from annotation.text.register import register_of
from annotation.types import Dropped, Prompt

STEP = "prompts draft"
"""Name in the ledger of what is dropped here; ids are "call:number", and "call" where it brought nothing at all."""

NOTHING = "nothing that can be read"


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What was made of answers: prompts that wait for people, and what was dropped."""

    kept: tuple[Prompt, ...] = ()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Proposed:
    """A proposal: what the model wrote, and for whom."""

    entry: Entry
    purpose: Purpose
    source: str


def open_answers(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Calls for prompts that are answered and not taken in."""
    taken = {proposal.call for proposal in proposed_prompts(ledger).values()}
    taken |= {drop.id.partition(":")[0] for drop in ledger.dropped(STEP)}
    return [c for c in calls_for_prompts(ledger) if c["outcome"] == "answer" and c["slot_id"] not in taken]


def take_in(project: Project, encoder: Encoder, progress: Progress = silent) -> TakenIn:
    """Take in what was answered and is not taken in yet. Doing it again adds nothing.

    Args:
        project: The project.
        encoder: Tells questions that ask the same in other words.
        progress: Gets how many texts are encoded.

    Raises:
        EncoderError: The encoder cannot be loaded.
    """
    with project.lock("prompts"), project.lock("select"):
        ledger, settings = project.ledger, project.settings.prompts
        proposed, dropped = list[_Proposed](), list[Dropped]()
        for call in open_answers(ledger):
            for one in _read(call):
                if isinstance(one, Dropped):
                    dropped.append(one)
                else:
                    proposed.append(one)
        if not proposed and not dropped:
            return TakenIn()
        of = {one.entry.where: one for one in proposed}
        cleaned = clean_entries([one.entry for one in proposed], settings, {})
        entries, drops = _in_their_language(cleaned.kept, of)
        dropped += [*cleaned.dropped, *drops]
        named = []
        for entry in entries:
            made = replace(entry.prompt(), source=of[entry.where].source)
            register = of[entry.where].purpose.register
            if register and register_of(made.text, made.language, made.country) != register:
                dropped.append(Dropped(entry.where, "another address", f"not {register}: {excerpt(made.text)}"))
            else:
                named.append((entry.where, made))
        everyone = ledger.prompts(removed=True)
        compared = compare(named, everyone, settings.near_duplicate)
        known, left = {prompt.id for prompt in everyone}, {drop.id for drop in compared.dropped}
        dropped += compared.dropped
        dropped += [
            Dropped(where, "already there", prompt.id)
            for where, prompt in named
            if prompt.id in known and where not in left
        ]
        there = [prompt for prompt in everyone if not (prompt.removed or prompt.image)]
        kept, twins = _told_apart(project, compared.kept, there, encoder, progress)
        where_of = {prompt.id: where for where, prompt in reversed(named)}
        dropped += [Dropped(where_of[p.id], "asks the same", f"{twin} ({cosine:.2f})") for p, twin, cosine in twins]
        with ledger.transaction():
            ledger.add_prompts(kept)
            if kept:
                add_checks(ledger, [prompt.id for prompt in kept])
            ledger.add_dropped(STEP, dropped)
    return TakenIn(tuple(kept), tuple(dropped))


def _read(call: Mapping[str, Any]) -> Iterator[_Proposed | Dropped]:
    """The proposals in an answer, no more than were asked for."""
    purpose, slot = Purpose.of(call["voice"]), call["slot_id"]
    found = object_of(call["raw"], purpose.schema)
    if not found or not found["prompts"]:
        yield Dropped(slot, NOTHING)
        return
    for place, one in enumerate(found["prompts"], 1):
        where = f"{slot}:{place}"
        number = one.get("number", 1)
        if place > purpose.number or not 1 <= number <= max(1, len(purpose.parents)):
            yield Dropped(where, "not asked for")
        elif one["presumes"]:
            yield Dropped(where, "the model says that it generalises about people")
        else:
            parent = purpose.parents[number - 1] if purpose.parents else ""
            entry = Entry(where, one["text"], country=purpose.country, topic=purpose.topic)
            yield _Proposed(entry, purpose, Proposal(call["model"], slot, parent).source)


def _in_their_language(
    entries: Sequence[Entry], of: Mapping[str, _Proposed]
) -> tuple[list[Entry], tuple[Dropped, ...]]:
    by_language: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_language[of[entry.where].purpose.language].append(entry)
    steps = [assign_languages(own, (language,)) for language, own in by_language.items()]
    return [entry for step in steps for entry in step.kept], tuple(drop for step in steps for drop in step.dropped)


def _told_apart(
    project: Project, fresh: Sequence[Prompt], there: Sequence[Prompt], encoder: Encoder, progress: Progress
) -> tuple[list[Prompt], list[tuple[Prompt, str, float]]]:
    """Those of the fresh prompts whose vector is near no other of their country; and the others with their twin."""
    threshold, kept, twins = project.settings.select.near_duplicate, list[Prompt](), list[tuple[Prompt, str, float]]()
    for country in sorted({prompt.country for prompt in fresh}):
        old = [prompt for prompt in there if prompt.country == country]
        own = [prompt for prompt in fresh if prompt.country == country]
        vectors = embed([prompt.text for prompt in (*old, *own)], encoder, project.vector_cache, progress)
        cosines, stands = vectors @ vectors[len(old) :].T, np.arange(len(vectors)) < len(old)
        for place, prompt in enumerate(own):
            near = np.where(stands, cosines[:, place], -1.0)
            twin = int(near.argmax())
            if near[twin] >= threshold:
                twins.append((prompt, (*old, *own)[twin].id, float(near[twin])))
            else:
                kept.append(prompt)
                stands[len(old) + place] = True
    return kept, twins
