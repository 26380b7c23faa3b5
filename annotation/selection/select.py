"""`annot select`: which answers of a prompt go on its slate, in which seats, and which slate comes when.

Stored in this order: vectors (embeddings/), what was chosen in each shard where there are several (selection/shards/),
the new slates (ledger, one transaction), then what can be computed again from those (selection/). Cut off anywhere, the
next run comes to the same state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from annotation.errors import ProjectError, SettingsError
from annotation.project import Project
from annotation.quota_groups import in_project
from annotation.rounds import current_round, open_prompts
from annotation.screen import Progress, counted, silent
from annotation.selection.choose import choose
from annotation.selection.embedding import Encoder, open_encoder
from annotation.selection.generic import read_margins
from annotation.selection.launch import default_processes, run_processes
from annotation.selection.order import group_name, order_prompts, owed_quotas
from annotation.selection.outcome import TOO_FEW, PromptOutcome, Selection
from annotation.selection.shards import (
    Work,
    content_of,
    prepare_shards,
    read_answered,
    read_choices,
    shard_names,
)
from annotation.selection.store import mark_of, read_selection, selection_folder, write_selection
from annotation.tasks.ranking.slates import add_slates, read_slates, slate_task
from annotation.types import SEATS, Prompt, Slate, content_id

Launch = Callable[[Work, Sequence[str], int, Progress], None]
"""Work on shards with so many workers: `run_processes` or `run_on_ray`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a selection begins with.

    Attributes:
        prompts: Those that have a slate in this round or can get one, by id, in the order of the ids.
        every: All slates, of all rounds.
        slates: Those of the prompts, of this round.
        contents: Shard to `content_of` it.
        named: The encoder, without opening it.
    """

    prompts: Mapping[str, Prompt]
    every: Sequence[Slate]
    slates: Sequence[Slate]
    contents: Mapping[str, str]
    named: str

    @property
    def seats(self) -> dict[str, tuple[str, ...]]:
        """Prompt id to the sorted candidate ids on the slate that stands."""
        return {slate.prompt_id: tuple(sorted(slate.seats)) for slate in self.slates}


def select(
    project: Project,
    *,
    encoder: Encoder | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    processes: int | None = None,
    launch: Launch = run_processes,
    progress: Progress = silent,
) -> Selection:
    """Give every prompt with enough usable answers a slate and a place in the order of annotation.

    A prompt that has a slate keeps it, with its seats and its place; new ones come after all that stand. In a later
    round prompts that were chosen for it get another one, of answers that no earlier slate holds. With nothing new this
    returns what the last run found, and loads no model.

    Args:
        project: Its prompts, candidates and slates are in the ledger.
        encoder: Instead of the one that annot.toml names.
        limit: Add no more slates than this; a later run goes on in the same order.
        dry_run: Store nothing but what can be computed again.
        processes: Workers, where the answers are so many that there are several shards.
        launch: How those are started.
        progress: Gets how many texts are encoded, or shards done.

    Raises:
        ProjectError: There are no prompts or no candidates.
        EncoderError: The encoder cannot be loaded.
    """
    settings = project.settings
    with project.lock("select"):
        found = _find(project, encoder)
        if not dry_run and (last := read_selection(project, _mark(project, found, found.slates))):
            return last

        encoder = encoder or open_encoder(settings.select.encoder, project.folder)
        margins, few_pictures = read_margins(project.ledger)
        count = processes or default_processes()
        tables = _of(found.prompts, _choices(project, found, margins, encoder, count, launch, progress))
        if not tables:
            raise ProjectError(f"{project.folder} has no candidates yet; run `annot draft`.")
        chosen = {
            prompt_id: tuple(seats)
            for table in tables
            for prompt_id, seats in zip(table["prompt_id"].to_pylist(), table["seats"].to_pylist(), strict=True)
        }
        vectors = np.concatenate([_vectors(table) for table in tables])
        of_prompt = dict(zip(chosen, vectors, strict=True))
        tables = [table.drop_columns("vector") for table in tables]  # not held twice
        stands = {slate.prompt_id for slate in found.slates}
        ready = [prompt_id for prompt_id, seats in chosen.items() if seats and prompt_id not in stands]
        order = order_prompts(found.prompts, ready, found.slates, of_prompt, settings, limit)
        first, now = found.every[-1].position + 1 if found.every else 0, current_round(project.ledger)
        new = tuple(
            replace(make_slate(prompt_id, chosen[prompt_id], position=position, seed=settings.project.seed), round=now)
            for position, prompt_id in enumerate(order, first)
        )
        everyone = [*found.slates, *new]
        selection = Selection(
            slates=new,
            standing=len(everyone),
            waiting=len(ready) - len(new),
            table=_candidates(tables),
            prompts=tuple(_prompt_outcomes(tables, found.prompts, everyone)),
            thresholds=settings.select,
            encoder=encoder.identity,
            swapped=sum(sum(table["swapped"].to_pylist()) for table in tables),
            long=sum(sum(table["long"].to_pylist()) for table in tables),
            targets={group_name(quota): quota.target for quota in owed_quotas(settings, found.prompts.values())},
            few_pictures=few_pictures,
            round=now,
        )
        if not dry_run:
            add_slates(project.ledger, new)
            write_selection(project, selection, vectors, _mark(project, found, everyone))
        return selection


def prepare(project: Project, *, encoder: Encoder | None = None, progress: Progress = silent) -> list[str]:
    """Write what workers on other machines choose from, and return the shards that wait for them.

    Raises:
        ProjectError: There are no prompts or no candidates, or so few that one process does it all.
        EncoderError: The encoder cannot be found.
    """
    with project.lock("select"):
        found = _find(project, encoder)
        if len(found.contents) == 1:
            raise ProjectError("The answers are too few to be divided; run `annot select`: it does it all.")
        work = work_of(project, encoder)
        margins, _ = read_margins(project.ledger)
        settings = project.settings.select
        return prepare_shards(work, project.ledger, found.contents, found.seats, margins, settings, progress)


def share_of(work: Work, share: str) -> list[str]:
    """Shards that are left of a share, as "3/16": one of 16 equal ones, counted from 0.

    Raises:
        SettingsError: There is no such share.
        ProjectError: Nothing was prepared here.
    """
    number, _, of = share.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise SettingsError(f"--shard {share} is no share; write NUMBER/OF, from 0/16 to 15/16 for example.")
    if not any(work.folder.glob("[!.]*.parquet")):
        raise ProjectError(f"{work.folder} holds no shards; run `annot select --prepare` first, where the ledger is.")
    return [shard for shard in work.waiting() if int(shard, 16) % int(of) == int(number)]


def work_of(project: Project, encoder: Encoder | None = None) -> Work:
    """Where a project's shards are worked on, and with what."""
    encoder = encoder or open_encoder(project.settings.select.encoder, project.folder)
    return Work(selection_folder(project) / "shards", encoder, project.vector_cache)


def _find(project: Project, encoder: Encoder | None) -> _Found:
    everyone = sorted(project.ledger.prompts(), key=lambda prompt: prompt.id)
    if not everyone:
        raise ProjectError(f"{project.folder} has no prompts yet; run `annot prompts add FILE` (or images add FOLDER).")
    every = read_slates(project.ledger)
    stand, asked = {slate.prompt_id for slate in every if not slate.closed}, open_prompts(project.ledger)
    # Of a country that the project does not name nothing new is begun; what people may have ranked stays.
    prompts = {p.id: p for p in everyone if p.id in stand or in_project(p, project.settings)}
    if not prompts:
        raise ProjectError(
            "All prompts are of countries that annot.toml does not name; add those to project.countries."
        )
    if asked is not None:
        prompts = {name: prompt for name, prompt in prompts.items() if name in asked}
    if not prompts:
        raise ProjectError(
            "Every prompt that was chosen for this round is gone; add others with `annot prompts add FILE`, or start "
            "the next round with `annot round start`."
        )
    slates = [slate for slate in every if slate.prompt_id in prompts and not slate.closed]
    languages = {prompt.id: prompt.language for prompt in prompts.values()}
    shards = shard_names(project.ledger.rows("select count(*) from candidates")[0][0])
    contents = {shard: content_of(project.ledger, shard, languages) for shard in shards}
    if not any(contents.values()):
        raise ProjectError(f"{project.folder} has no candidates yet; run `annot draft`.")
    named = encoder.identity if encoder else project.settings.select.encoder
    return _Found(prompts, every, slates, contents, named)


def _mark(project: Project, found: _Found, slates: Sequence[Slate]) -> str:
    return mark_of(project, found.prompts, list(found.contents.values()), slates, found.named)


def _of(prompts: Collection[str], tables: Iterable[Any]) -> list[Any]:
    """The rows of some prompts: those of others stand in the same shards."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array(list(prompts), pa.string())
    return [own for table in tables if len(own := table.filter(pc.is_in(table["prompt_id"], ids)))]


def _choices(
    project: Project,
    found: _Found,
    margins: Mapping[str, tuple[float, ...]],
    encoder: Encoder,
    processes: int,
    launch: Launch,
    progress: Progress,
) -> Iterable[Any]:
    """Tables of `choose`, by prompt id."""
    thresholds, ledger = project.settings.select, project.ledger
    if len(found.contents) == 1:
        answered = read_answered(ledger, "", found.seats, margins)
        return [choose(answered, encoder, project.vector_cache, thresholds, progress)]
    work = work_of(project, encoder)
    if waiting := prepare_shards(work, ledger, found.contents, found.seats, margins, thresholds, progress):
        launch(work, waiting, min(processes, len(waiting)), progress)
        if left := prepare_shards(work, ledger, found.contents, found.seats, margins, thresholds):
            raise ProjectError(
                f"{counted(len(left), 'shard is', 'shards are')} not done in {work.folder}: another `annot select` "
                "works there, or the workers do not see this folder; end the other one, or put the project where all "
                "see it, and run the same command again. What is done is kept."
            )
    return read_choices(work, list(found.contents))


def make_slate(prompt_id: str, candidate_ids: Collection[str], *, position: int, seed: int) -> Slate:
    """Seat the answers that a person will rank side by side.

    The order on the screen sways people, so it is drawn anew for every slate: by a hash of seed, slate and candidate,
    which is the same in every process and every version of Python.

    Args:
        prompt_id: What they answer.
        candidate_ids: Two or more, at most one per seat, in any order.
        position: Place in the order of annotation.
        seed: The project's.
    """
    if len(set(candidate_ids)) != len(candidate_ids) or not 2 <= len(candidate_ids) <= len(SEATS):
        raise ValueError(f"{len(candidate_ids)} answers cannot be seated: {sorted(candidate_ids)}")
    slate_id = content_id(prompt_id, *sorted(candidate_ids))
    return Slate(slate_id, prompt_id, _shuffle(candidate_ids, f"{seed} {slate_id}"), position)


def _shuffle(ids: Collection[str], seed: str) -> tuple[str, ...]:
    return tuple(sorted(ids, key=lambda one: hashlib.sha256(f"{seed}\0{one}".encode()).digest()))


def _vectors(table: Any) -> Any:
    """Vectors of a table's prompts, shape (p, d). Not as lists: a Python number takes eight times the room."""
    return table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)


def _candidates(tables: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.concat_tables(
        pa.Table.from_struct_array(column.flatten()) for table in tables for column in table["candidates"].chunks
    )


def _prompt_outcomes(
    tables: Sequence[Any], prompts: Mapping[str, Prompt], slates: Iterable[Slate]
) -> Iterator[PromptOutcome]:
    import pyarrow.compute as pc

    of_prompt = {slate.prompt_id: slate for slate in slates}
    for table in tables:
        columns = (table["prompt_id"], pc.list_value_length(table["candidates"]), table["usable"], table["seats"])
        for prompt_id, answers, usable, seats in zip(*(column.to_pylist() for column in columns), strict=True):
            prompt, slate = prompts[prompt_id], of_prompt.get(prompt_id)
            yield PromptOutcome(
                prompt_id,
                prompt.country,
                prompt.topic,
                answers,
                usable,
                slate.id if slate else "",
                slate.position if slate else None,
                "" if seats else TOO_FEW,
                slate_task(prompt),
            )
