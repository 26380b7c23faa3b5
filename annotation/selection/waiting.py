"""Prompts that have no slate yet in this round, by what could still give them one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from annotation.drafting.draft import what_to_draft
from annotation.project import SELECTION, Project
from annotation.prompts.review import only_accepted, rejected_prompts, untried_prompts
from annotation.quota_groups import in_project
from annotation.rounds import current_round
from annotation.selection.outcome import TOO_FEW
from annotation.types import Prompt


@dataclass(frozen=True, slots=True)
class Waiting:
    """Prompts without a slate.

    Attributes:
        to_check: Nobody has accepted or rejected them yet, and only accepted ones are drafted for.
        to_draft: `annot draft` would ask for more answers.
        to_select: They have enough answers for a slate, and `annot select` has not looked at these.
        stuck: Too few of their answers are usable, and `annot draft` has no more calls for them.
    """

    to_check: tuple[Prompt, ...] = ()
    to_draft: tuple[Prompt, ...] = ()
    to_select: tuple[Prompt, ...] = ()
    stuck: tuple[Prompt, ...] = ()

    @property
    def coming(self) -> tuple[Prompt, ...]:
        """Those that may still get a slate."""
        return (*self.to_check, *self.to_draft, *self.to_select)


def prompts_waiting(project: Project) -> Waiting:
    """Look at every prompt of the project that has no slate in this round, and should have one."""
    ledger, settings = project.ledger, project.settings
    rows = ledger.rows(
        """select id from current_prompts p where not removed
           and id in (select id from open_prompts)
           and not exists (select 1 from items where prompt_id = p.id and round = ?)""",
        current_round(ledger),
    )
    prompts = [prompt for prompt in ledger.prompts([row["id"] for row in rows]) if in_project(prompt, settings)]
    if not prompts:
        return Waiting()
    to_check: list[Prompt] = []
    if (accepted := only_accepted(ledger, settings)) is not None:
        # What a demo's visitors typed or a model proposed holds nothing up: it comes when people accept it.
        rejected = rejected_prompts(ledger, settings) | untried_prompts(ledger)
        to_check = [prompt for prompt in prompts if prompt.id not in accepted and prompt.id not in rejected]
        prompts = [prompt for prompt in prompts if prompt.id in accepted]
    answers = ledger.count_candidates((prompt.id for prompt in prompts), fresh=True)
    few = _had_too_few(project) if answers else {}
    to_select = [
        prompt
        for prompt in prompts
        if (has := answers.get(prompt.id, 0)) >= settings.select.slate and few.get(prompt.id) != has
    ]
    ready = {prompt.id for prompt in to_select}
    others = [prompt for prompt in prompts if prompt.id not in ready]
    # Where nobody was asked yet every call is open: no need to plan thousands of them.
    asked = {row["prompt_id"] for row in ledger.rows("select distinct prompt_id from calls")}
    open_ones = {work.prompt.id for work in what_to_draft(project, [p for p in others if p.id in asked])[0]}
    open_ones |= {p.id for p in others if p.id not in asked and answers.get(p.id, 0) < settings.draft.candidates}
    return Waiting(
        tuple(to_check),
        tuple(prompt for prompt in others if prompt.id in open_ones),
        tuple(to_select),
        tuple(prompt for prompt in others if prompt.id not in open_ones),
    )


def _had_too_few(project: Project) -> Mapping[str, int]:
    """Prompt id -> answers that it had when the last `annot select` found too few of them usable."""
    folder = project.folder / SELECTION
    if not (folder / "selection.json").exists():
        return {}
    facts = json.loads((folder / "selection.json").read_text(encoding="utf-8"))
    if facts["thresholds"] != project.settings.select.model_dump():
        return {}  # with these thresholds it might find enough
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / "prompts.parquet", columns=["prompt_id", "answers", "dropped"]).to_pylist()
    return {row["prompt_id"]: row["answers"] for row in rows if row["dropped"] == TOO_FEW}
