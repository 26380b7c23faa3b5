"""`annot prompts draft`: a model proposes prompts for groups that are thin; people check every one before it counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from annotation.drafting.ask import Question, ask, outlook_of
from annotation.drafting.draft import Outlook
from annotation.drafting.workers import Patience
from annotation.drafting.writer import Writer
from annotation.errors import SettingsError
from annotation.extending.gaps import READY, SLATE, Cell, find_gaps, prompt_states
from annotation.extending.questions import (
    EXAMPLES,
    TOKENS_PER_PROMPT,
    Purpose,
    calls_for_prompts,
    plan_questions,
)
from annotation.extending.take_in import TakenIn, take_in
from annotation.project import Project
from annotation.prompts.change import check_codes
from annotation.quota_groups import in_project
from annotation.screen import Progress, silent
from annotation.selection.coverage import order_by_coverage
from annotation.selection.embedding import Encoder, Vectors, embed
from annotation.types import Prompt


@dataclass(frozen=True, slots=True)
class Wish:
    """What is drafted for.

    Attributes:
        country: ISO code or name; "" for all.
        topic: "" for all.
        model: Cohere's name; "" for those of draft.models in turn.
        limit: Propose no more prompts than this.
        perspective: Rewrite prompts of other countries of the project instead of asking for new ones.
    """

    country: str = ""
    topic: str = ""
    model: str = ""
    limit: int | None = None
    perspective: bool = False


@dataclass(frozen=True, slots=True)
class DraftPlan:
    """What a run would ask.

    Attributes:
        questions: One call each.
        cells: Country, language, topic, register -> prompts that are asked for.
        without: Cells that miss prompts, and for which there is nothing to start from.
        outlook: What it costs.
        checks: People who must say something of a prompt.
    """

    questions: tuple[Question, ...]
    cells: dict[tuple[str, str, str, str], int]
    without: tuple[Cell, ...]
    outlook: Outlook
    checks: int

    @property
    def prompts(self) -> int:
        """Prompts that are asked for."""
        return sum(self.cells.values())


def plan_draft(project: Project, wish: Wish, encoder: Encoder, progress: Progress = silent) -> DraftPlan:
    """Plan the calls for what is missing. Nothing is sent; vectors of prompts are stored.

    Args:
        project: The project.
        wish: What is drafted for.
        encoder: Finds examples that differ.
        progress: Gets how many texts are encoded.

    Raises:
        SettingsError: Nobody owes what is wished for, or a model has no price.
        EncoderError: The encoder cannot be loaded.
    """
    country, _ = check_codes(wish.country, "")
    cells = find_gaps(project)
    if not any(country in ("", cell.country) and wish.topic in ("", cell.topic) for cell in cells.cells):
        named = " and ".join(filter(None, (wish.country, wish.topic)))
        raise SettingsError(f"No quota asks for {named or 'anything'}; `annot prompts gaps` shows what is owed.")
    left, wanted = wish.limit, list[tuple[Cell, int]]()
    for cell, missing in cells.wanted():
        if country in ("", cell.country) and wish.topic in ("", cell.topic):
            number = missing if left is None else min(left, missing)
            left = None if left is None else left - number
            wanted += [(cell, number)] if number else []
    earlier = [Purpose.of(call["voice"]) for call in calls_for_prompts(project.ledger)]
    models = (wish.model,) if wish.model else project.settings.draft.models
    with project.lock("select"):
        seeds = _Seeds(project, [cell for cell, _ in wanted], encoder, progress)
        find = seeds.elsewhere if wish.perspective else seeds.at_home
        questions, without = plan_questions(wanted, models, earlier, find, perspective=wish.perspective)
    asked = dict[tuple[str, str, str, str], int]()
    for purpose in (Purpose.of(question.voice) for question in questions):
        key = purpose.country, purpose.language, purpose.topic, purpose.register
        asked[key] = asked.get(key, 0) + purpose.number
    per_call = round(TOKENS_PER_PROMPT * sum(asked.values()) / max(1, len(questions)))
    outlook = outlook_of(project, questions, answer_tokens=per_call)
    return DraftPlan(tuple(questions), asked, tuple(without), outlook, project.settings.task.prompt_check.overlap)


def draft_prompts(
    project: Project,
    plan: DraftPlan,
    encoder: Encoder,
    *,
    progress: Progress = silent,
    patience: Patience | None = None,
    writer: Callable[[str], Writer] | None = None,
) -> TakenIn:
    """Ask what was planned, and take in what comes. What was paid for is kept, whatever ends the run.

    Args:
        project: The project.
        plan: From `plan_draft`.
        encoder: Tells questions that ask the same in other words.
        progress: Gets calls, calls wanted and dollars.
        patience: How often a call that cost nothing is tried again.
        writer: Makes the service out of the key; None is Cohere.

    Raises:
        DraftError: See `annotation.drafting.ask.ask`; the next run takes in what was answered.
        BudgetExhausted: The same.
    """
    otherwise = "prompts that people wrote come in with `annot prompts add FILE`"
    ask(project, plan.questions, progress=progress, patience=patience, writer=writer, otherwise=otherwise)
    return take_in(project, encoder, progress)


class _Seeds:
    """Prompts that count, as examples: of a cell's own country, or of others; those that cover the most come first."""

    def __init__(self, project: Project, cells: Sequence[Cell], encoder: Encoder, progress: Progress) -> None:
        everyone = project.ledger.prompts()
        prompts = [prompt for prompt in everyone if in_project(prompt, project.settings) and not prompt.image]
        states = prompt_states(project, prompts)
        countries, topics = {cell.country for cell in cells}, {cell.topic for cell in cells}
        self._by_country: dict[tuple[str, str], list[Prompt]] = defaultdict(list)
        self._by_topic: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in prompts:
            if states[prompt.id] in (SLATE, READY):
                if prompt.country in countries:
                    self._by_country[prompt.country, prompt.language].append(prompt)
                if prompt.topic in topics:
                    self._by_topic[prompt.topic].append(prompt)
        self._vectors = _Vectors(project, encoder, progress)

    def at_home(self, cell: Cell) -> list[Prompt]:
        """Of the cell's country: of its topic, and of other topics only where there are too few."""
        own = self._by_country[cell.country, cell.language]
        found = self._vectors.ordered([p for p in own if p.topic == cell.topic], own)
        if len(found) < EXAMPLES:
            others = [p for p in self._vectors.ordered(own, own) if p.topic != cell.topic]
            found = [*found, *others[: EXAMPLES - len(found)]]
        return found

    def elsewhere(self, cell: Cell) -> list[Prompt]:
        """Of the cell's topic in other countries of the project."""
        alike = self._by_topic[cell.topic]
        return self._vectors.ordered([p for p in alike if p.country != cell.country], alike)


class _Vectors:
    """Vectors of prompts, and orders by them, each found once."""

    def __init__(self, project: Project, encoder: Encoder, progress: Progress) -> None:
        self._encode = partial(embed, encoder=encoder, cache_folder=project.vector_cache, progress=progress)
        self._of = dict[str, Vectors]()
        self._orders = dict[tuple[str, ...], list[Prompt]]()

    def ordered(self, prompts: Sequence[Prompt], among: Sequence[Prompt]) -> list[Prompt]:
        """Some of the prompts `among`, in their order by coverage; all of those get their vectors at once."""
        name = tuple(prompt.id for prompt in prompts)
        if prompts and name not in self._orders:
            if any(prompt.id not in self._of for prompt in prompts):
                vectors = self._encode([prompt.text for prompt in among])
                self._of |= dict(zip((prompt.id for prompt in among), vectors, strict=True))
            order, _ = order_by_coverage(np.stack([self._of[prompt.id] for prompt in prompts]))
            self._orders[name] = [prompts[index] for index in order]
        return self._orders.get(name, [])
