"""`annot select`: which answers of a prompt go on its slate, in which seats, and which slate comes when.

Stored in this order: vectors (embeddings/), the new slates (ledger, one transaction), then what can be computed again
from those (selection/). Cut off anywhere, the next run comes to the same state.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotation.config import SelectSettings, Settings
from annotation.errors import ProjectError
from annotation.project import Project
from annotation.quota_groups import plan_quotas
from annotation.screen import Progress, silent
from annotation.selection.diversity import (
    EXACT_SUBSETS,
    UNIT,
    Flags,
    Floats,
    Ints,
    Whole,
    assign,
    find_medoids,
    similarities,
)
from annotation.selection.embedding import Encoder, embed, open_encoder
from annotation.selection.filters import filter_texts, filter_vectors
from annotation.selection.order import group_name, order_prompts
from annotation.selection.outcome import TOO_FEW, CandidateOutcome, PromptOutcome, Selection
from annotation.selection.store import mark_of, read_selection, write_selection
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.types import SEATS, Candidate, Dropped, Prompt, Slate, content_id

CHUNK_BYTES = 2**26
"""Memory for one stack of prompts while their answers are compared."""


def select(
    project: Project,
    *,
    encoder: Encoder | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Selection:
    """Give every prompt with enough usable answers a slate and a place in the order of annotation.

    A prompt that has a slate keeps it, with its seats and its place; new ones come after all that stand. With nothing
    new this returns what the last run found, and loads no model.

    Args:
        project: Its prompts, candidates and slates are in the ledger.
        encoder: Instead of the one that annot.toml names.
        limit: Add no more slates than this; a later run goes on in the same order.
        dry_run: Store nothing but the vectors.
        progress: Gets how many texts are encoded.

    Raises:
        ProjectError: There are no prompts or no candidates.
        EncoderError: The encoder cannot be loaded.
    """
    with project.lock("select"):
        prompts, answers = _read(project)
        every = read_slates(project.ledger)
        slates = [slate for slate in every if slate.prompt_id in prompts]
        named = encoder.identity if encoder else project.settings.select.encoder
        if not dry_run and (last := read_selection(project, mark_of(project, prompts, answers, slates, named))):
            return last

        encoder = encoder or open_encoder(project.settings.select.encoder, project.folder)
        answered = [prompts[prompt_id] for prompt_id in prompts if prompt_id in answers]
        texts = [prompt.text for prompt in answered] + [c.text for p in answered for c in answers[p.id]]
        vectors = embed(texts, encoder, project.vector_cache, progress)
        of_prompt = dict(zip((p.id for p in answered), vectors[: len(answered)], strict=True))

        seats = {slate.prompt_id: slate.seats for slate in slates}
        choices = _choose(answered, answers, vectors, seats, project.settings, progress)
        ready = [choice.prompt.id for choice in choices if choice.seats and choice.prompt.id not in seats]
        order = order_prompts(prompts, ready, slates, of_prompt, project.settings)
        chosen = {choice.prompt.id: choice.seats for choice in choices}
        first = every[-1].position + 1 if every else 0
        new = tuple(
            make_slate(prompt_id, chosen[prompt_id], position=position, seed=project.settings.project.seed)
            for position, prompt_id in enumerate(order[:limit], first)
        )
        everyone = [*slates, *new]
        selection = Selection(
            slates=new,
            standing=len(everyone),
            waiting=len(order) - len(new),
            candidates=tuple(outcome for choice in choices for outcome in choice.outcomes),
            prompts=_prompt_outcomes(choices, everyone),
            thresholds=project.settings.select,
            encoder=encoder.identity,
            swapped=sum(choice.swapped for choice in choices),
            targets={group_name(quota): quota.target for quota in plan_quotas(project.settings, prompts.values())},
        )
        if not dry_run:
            add_slates(project.ledger, new)
            write_selection(project, selection, of_prompt, mark_of(project, prompts, answers, everyone, named))
        return selection


def _read(project: Project) -> tuple[dict[str, Prompt], dict[str, list[Candidate]]]:
    """Prompts by id and candidates by prompt, both in the order of their ids."""
    prompts = {prompt.id: prompt for prompt in sorted(project.ledger.prompts(), key=lambda prompt: prompt.id)}
    if not prompts:
        raise ProjectError(f"{project.folder} has no prompts yet; run `annot prompts add FILE`.")
    answers: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(project.ledger.candidates(), key=lambda candidate: candidate.id):
        answers[candidate.prompt_id].append(candidate)
    if not answers:
        raise ProjectError(f"{project.folder} has no candidates yet; run `annot draft`.")
    return prompts, answers


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


# -- the answers of a prompt --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """The answers chosen for one prompt.

    Attributes:
        seats: Candidate ids on the slate, sorted; () where too few are usable.
        outcomes: Of every candidate, by id.
        usable: Answers that were not dropped.
        swapped: Medoids are the best under swaps, not of all subsets.
    """

    prompt: Prompt
    seats: tuple[str, ...]
    outcomes: tuple[CandidateOutcome, ...]
    usable: int
    swapped: bool


def _choose(
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[Candidate]],
    vectors: Floats,
    seats: Mapping[str, Sequence[str]],
    settings: Settings,
    progress: Progress,
) -> list[_Choice]:
    """Filter, deduplicate and cluster; prompts with the same number of answers at once. By prompt id.

    `vectors` holds those of the prompts, then those of their answers, prompt after prompt; `seats` what stands, prompt
    id to candidate ids.
    """
    by_text = filter_texts([(p, c) for p in prompts for c in answers[p.id]], settings, progress)
    starts = np.cumsum([len(prompts), *(len(answers[p.id]) for p in prompts)])
    by_count: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_count[len(answers[prompt.id])].append(index)
    choices: list[_Choice] = []
    for count, members in by_count.items():
        size = max(1, CHUNK_BYTES // (8 * count * max(count, vectors.shape[1])))
        for begin in range(0, len(members), size):
            part = members[begin : begin + size]
            rows = starts[part][:, None] + np.arange(count)
            choices += _choose_stack(
                [prompts[index] for index in part],
                [answers[prompts[index].id] for index in part],
                [[by_text[row - len(prompts)] for row in line] for line in rows.tolist()],
                vectors[part],
                vectors[rows],
                seats,
                settings.select,
            )
    return sorted(choices, key=lambda choice: choice.prompt.id)


def _choose_stack(
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[Candidate]],
    reasons: Sequence[list[Dropped | None]],
    of_prompts: Floats,
    of_answers: Floats,
    seats: Mapping[str, Sequence[str]],
    thresholds: SelectSettings,
) -> Iterator[_Choice]:
    """Choose for p prompts with n answers each: `of_prompts` has shape (p, d), `of_answers` (p, n, d)."""
    pairs = similarities(of_answers)
    ids = [tuple(candidate.id for candidate in line) for line in answers]
    texts = [[candidate.text for candidate in line] for line in answers]
    alive, centroid = filter_vectors(ids, reasons, of_prompts, of_answers, pairs, texts, thresholds)
    chosen: list[tuple[int, ...]] = [()] * len(prompts)
    for p, prompt in enumerate(prompts):
        if prompt.id in seats:  # What people may have ranked already stays, whatever the thresholds say now.
            chosen[p] = tuple(sorted(ids[p].index(candidate_id) for candidate_id in seats[prompt.id]))
            alive[p, chosen[p]] = True
            for index in chosen[p]:
                reasons[p][index] = None
    distances: Whole = UNIT - pairs
    open_ones = [p for p, prompt in enumerate(prompts) if prompt.id not in seats]
    for p, medoids in _medoids(distances, alive, open_ones, thresholds.slate):
        chosen[p] = medoids
    usable = alive.sum(axis=1).tolist()
    for p, prompt in enumerate(prompts):
        yield _Choice(
            prompt,
            tuple(ids[p][index] for index in chosen[p]),
            tuple(_candidate_outcomes(prompt.id, ids[p], reasons[p], centroid[p], distances[p], chosen[p])),
            usable[p],
            swapped=bool(chosen[p]) and math.comb(usable[p], len(chosen[p])) > EXACT_SUBSETS,
        )


def _medoids(distances: Whole, alive: Flags, open_ones: Sequence[int], k: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Medoids of those of some prompts that have enough usable answers; prompts with as many of them at once."""
    by_usable: dict[int, list[int]] = defaultdict(list)
    for p, usable in zip(open_ones, alive[open_ones].sum(axis=1).tolist(), strict=True):
        by_usable[usable].append(p)
    for usable, members in by_usable.items():
        if usable >= k:
            points: Ints = np.nonzero(alive[members])[1].reshape(len(members), usable)
            stack = np.array(members)[:, None, None], points[:, :, None], points[:, None, :]
            found = find_medoids(distances[stack], k).chosen
            yield from zip(members, map(tuple, np.take_along_axis(points, found, axis=1).tolist()), strict=True)


def _candidate_outcomes(
    prompt_id: str,
    ids: Sequence[str],
    reasons: Sequence[Dropped | None],
    centroid: Sequence[float | None],
    distances: Whole,
    chosen: Sequence[int],
) -> Iterator[CandidateOutcome]:
    nearest = assign(distances, np.array(chosen)).tolist() if chosen else []
    for index, (candidate_id, reason) in enumerate(zip(ids, reasons, strict=True)):
        if reason or not nearest:
            drop = (reason.reason, reason.because_of) if reason else ("", "")
            yield CandidateOutcome(prompt_id, candidate_id, "", False, *drop, centroid[index])
        else:
            medoid = nearest[index]
            yield CandidateOutcome(
                prompt_id,
                candidate_id,
                cluster=ids[medoid],
                medoid=index in chosen,
                centroid_similarity=centroid[index],
                distance=int(distances[index, medoid]) / UNIT,
            )


def _prompt_outcomes(choices: Iterable[_Choice], slates: Iterable[Slate]) -> tuple[PromptOutcome, ...]:
    of_prompt = {slate.prompt_id: slate for slate in slates}
    outcomes = []
    for choice in choices:
        slate = of_prompt.get(choice.prompt.id)
        outcomes.append(
            PromptOutcome(
                choice.prompt.id,
                choice.prompt.country,
                choice.prompt.topic,
                len(choice.outcomes),
                choice.usable,
                slate.id if slate else "",
                slate.position if slate else None,
                "" if choice.seats else TOO_FEW,
            )
        )
    return tuple(outcomes)
