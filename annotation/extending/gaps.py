"""Gaps of a set: groups of prompts (country, topic, register) that are thin against the quotas of the ranking.

A quota that names a topic is what that topic owes. A quota for a whole country is spread evenly over the topics that
prompts in its language have (in any, where there are none) and that have no quota of their own there; what does not
divide goes to the topics with the most prompts. Within a topic, `prompts.register_share` of what it owes must address
whom they ask formally, and as many colloquially, where the words of a question can tell (`annotation.text.register`);
the rest may be anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from annotation.config import Settings
from annotation.project import Project
from annotation.prompts.review import checked_prompts, untried_prompts
from annotation.quota_groups import in_project, plan_quotas
from annotation.selection.waiting import prompts_waiting
from annotation.tasks.prompt_check.task import ACCEPTED, REJECTED
from annotation.text.locales import common_language, fits
from annotation.text.register import REGISTERS, can_tell_register, register_of
from annotation.types import Prompt

SLATE, READY, TO_CHECK, STUCK = "slate", "ready", "to check", "stuck"
"""What a prompt is for a quota, beside REJECTED: on a slate; on its way to one; not accepted yet; without enough usable
answers, and no call left that could bring more."""

Kind = tuple[str, str, str]
"""Language, register and state of prompts of a topic."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A group of prompts, and how far it is from what it owes.

    Attributes:
        country: ISO 3166-1 alpha-2.
        language: ISO 639-1: the quota's, or the one that most of the country's prompts are in.
        topic: Free label.
        register: One of REGISTERS, or "" for all prompts of the topic, whatever they say.
        owed: Slates that it owes.
        slates: Prompts that have one.
        ready: Prompts that may still get one.
        to_check: Prompts that people have not accepted yet.
        rejected: Prompts that people did not accept; they count for nothing.
        stuck: Prompts that can get none; they count for nothing either.
    """

    country: str
    language: str
    topic: str
    register: str
    owed: int
    slates: int = 0
    ready: int = 0
    to_check: int = 0
    rejected: int = 0
    stuck: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """Country, language and topic: the cells of a topic's registers have that of the topic."""
        return self.country, self.language, self.topic

    @property
    def missing(self) -> int:
        """Prompts that are missing."""
        return max(0, self.owed - self.slates - self.ready - self.to_check)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Groups of prompts, those that miss the most first.

    Attributes:
        cells: A topic's registers are part of its cell for all prompts, not in addition to it.
        untold: Prompts of the quotas' countries of which no register is told.
        prompts: Those prompts, all in all.
        blind: Languages of cells in which registers cannot be told.
    """

    cells: tuple[Cell, ...]
    untold: int
    prompts: int
    blind: tuple[str, ...]

    def wanted(self) -> list[tuple[Cell, int]]:
        """What to draft: for registers what they miss, for a topic what these leave open of what it misses."""
        registers = Counter[tuple[str, str, str]]()
        for cell in self.cells:
            registers[cell.key] += cell.missing if cell.register else 0
        open_ = ((cell, cell.missing - (0 if cell.register else registers[cell.key])) for cell in self.cells)
        return [(cell, number) for cell, number in open_ if number > 0]

    @property
    def missing(self) -> int:
        """Prompts that are missing, each counted once."""
        return sum(number for _, number in self.wanted())

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "missing": self.missing,
            "cells": [{**asdict(cell), "missing": cell.missing} for cell in self.cells],
            "register_not_told": self.untold,
            "prompts": self.prompts,
            "no_register_in": list(self.blind),
        }


def find_gaps(project: Project) -> Gaps:
    """Compare the prompts that there are with what the quotas of the ranking owe."""
    settings = project.settings
    prompts = [prompt for prompt in project.ledger.prompts() if not prompt.image and in_project(prompt, settings)]
    states = prompt_states(project, prompts)
    usable = [prompt for prompt in prompts if states[prompt.id] in (SLATE, READY)]
    found: dict[tuple[str, str], Counter[Kind]] = defaultdict(Counter)
    for p in prompts:
        found[p.country, p.topic][p.language, register_of(p.text, p.language, p.country), states[p.id]] += 1
    topics = dict[tuple[str, str, str], tuple[Cell, bool]]()
    for cell, whole in _topics(settings, usable):
        if cell.key not in topics or cell.owed > topics[cell.key][0].owed:
            topics[cell.key] = cell, whole
    cells = [
        _counted(replace(cell, register=register, owed=owed), found[cell.country, cell.topic], everything=whole)
        for cell, whole in topics.values()
        for register, owed in _registers(cell, settings.prompts.register_share)
        if owed
    ]
    ordered = sorted(cells, key=lambda cell: (-cell.missing, *cell.key, cell.register))
    told = sum(number for kinds in found.values() for (_, register, _), number in kinds.items() if register)
    blind = sorted({cell.language for cell in cells if not can_tell_register(cell.language)})
    return Gaps(tuple(ordered), len(prompts) - told, len(prompts), tuple(blind))


def prompt_states(project: Project, prompts: Iterable[Prompt]) -> dict[str, str]:
    """Prompt id -> what it is for a quota."""
    ledger, settings = project.ledger, project.settings
    checked, untried = checked_prompts(ledger, settings), untried_prompts(ledger)
    slated = {row["id"] for row in ledger.rows("select prompt_id as id from items where task = 'ranking'")}
    stuck = {prompt.id for prompt in prompts_waiting(project).stuck}

    def state(prompt: str) -> str:
        if prompt in slated:
            return SLATE
        if checked.get(prompt) == REJECTED:
            return REJECTED
        if (prompt in untried or settings.prompts.reviewed_only) and checked.get(prompt) != ACCEPTED:
            return TO_CHECK
        return STUCK if prompt in stuck else READY

    return {prompt.id: state(prompt.id) for prompt in prompts}


def _topics(settings: Settings, usable: Sequence[Prompt]) -> Iterable[tuple[Cell, bool]]:
    """What every topic owes, and whether prompts in any language of the country count for it."""
    quotas = plan_quotas(settings, usable)
    main = {quota.country: _language_of(quota.country, settings, usable) for quota in quotas}
    named = {(q.country, q.language or main[q.country], q.topic): q.target for q in quotas if q.topic}
    for quota in quotas:
        language = quota.language or main[quota.country]
        cell = Cell(quota.country, language, quota.topic, "", quota.target)
        if quota.topic:
            yield cell, not quota.language
            continue
        own = {topic: target for (*place, topic), target in named.items() if place == [quota.country, language]}
        alike = [prompt for prompt in usable if prompt.language == language] or usable
        sizes = Counter(prompt.topic for prompt in alike if prompt.topic not in own)
        topics = sorted(sizes, key=lambda topic: (-sizes[topic], topic)) or ["general"] * (not own)
        rest = max(0, quota.target - sum(own.values()))
        for place, topic in enumerate(topics):
            share = rest // len(topics) + (place < rest % len(topics))
            yield replace(cell, topic=topic, owed=share), not quota.language


def _language_of(country: str, settings: Settings, usable: Sequence[Prompt]) -> str:
    spoken = Counter(prompt.language for prompt in usable if prompt.country == country)
    languages = settings.project.languages
    fitting = [language for language in languages if fits(language, country)] or [common_language(country)]
    return spoken.most_common(1)[0][0] if spoken else fitting[0]


def _registers(cell: Cell, share: float) -> Iterable[tuple[str, int]]:
    yield "", cell.owed
    if can_tell_register(cell.language):
        for register in REGISTERS:
            yield register, round(share * cell.owed)


def _counted(cell: Cell, kinds: Counter[Kind], *, everything: bool) -> Cell:
    counts = Counter[str]()
    for (language, register, state), number in kinds.items():
        if cell.register in ("", register) and (everything or language == cell.language):
            counts[state] += number
    return replace(
        cell,
        slates=counts[SLATE],
        ready=counts[READY],
        to_check=counts[TO_CHECK],
        rejected=counts[REJECTED],
        stuck=counts[STUCK],
    )
