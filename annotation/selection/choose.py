"""Choice of the answers on each slate: those of many prompts are filtered, deduplicated and clustered at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from annotation.config import SelectSettings
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
from annotation.selection.embedding import Encoder, embed_counted
from annotation.selection.filters import filter_texts, filter_vectors
from annotation.selection.generic import most_generic
from annotation.selection.outcome import GENERIC, CandidateOutcome
from annotation.types import Dropped

CHUNK_BYTES = 2**26
"""Memory for one stack of prompts while their answers are compared."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt with its answers, as far as the choice among them depends on it.

    Attributes:
        ids: Of the candidates, sorted.
        texts: Of the candidates.
        seats: Ids on the slate that stands, () where there is none.
        picture: It is about a picture, which its text says nothing of.
        margins: Of the candidates (`annotation.selection.generic`); () where they are not told.
        own: Ids of those that the aligned model wrote.
    """

    prompt_id: str
    language: str
    text: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    seats: tuple[str, ...] = ()
    picture: bool = False
    margins: tuple[float, ...] = ()
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The answers chosen for one prompt.

    Attributes:
        seats: Candidate ids on the slate, sorted; () where too few are usable.
        usable: Answers that were not dropped.
        swapped: Medoids are the best under swaps, not of all subsets.
        candidates: Outcome of every candidate, by id.
    """

    prompt_id: str
    seats: tuple[str, ...]
    usable: int
    swapped: bool
    candidates: tuple[CandidateOutcome, ...]


def choose(
    prompts: Sequence[Answered],
    encoder: Encoder,
    cache_folder: Path,
    thresholds: SelectSettings,
    progress: Progress = silent,
    shard: str = "",
) -> Any:
    """Choose the answers on the slate of each prompt.

    Args:
        prompts: By id.
        encoder: Of the texts.
        cache_folder: Of the vectors.
        thresholds: [select] of annot.toml.
        progress: Gets how many texts are encoded.
        shard: What the ids of all the prompts begin with.

    Returns:
        A pyarrow table with one row per prompt, in their order: the fields of `Choice`, `vector` (of the prompt, or of
        what is said of its picture, of length 1) and `long`: how many of its answers are longer than the encoder reads
        at once.
    """
    import pyarrow as pa

    texts = [prompt.text for prompt in prompts] + [text for prompt in prompts for text in prompt.texts]
    vectors, windows = embed_counted(texts, encoder, cache_folder, progress, shard)
    starts = np.cumsum([len(prompts), *(len(prompt.ids) for prompt in prompts)])
    choices = list(_choose(prompts, vectors, starts, thresholds, progress))
    dimensions = vectors.shape[1]
    for index, (prompt, choice) in enumerate(zip(prompts, choices, strict=True)):
        if prompt.picture and choice.usable:
            rows = [starts[index] + n for n, outcome in enumerate(choice.candidates) if not outcome.dropped]
            centre = vectors[rows].astype(np.float64).sum(axis=0)
            vectors[index] = centre / (np.linalg.norm(centre) or 1)
    return pa.table(
        {
            "prompt_id": [choice.prompt_id for choice in choices],
            "seats": pa.array([choice.seats for choice in choices], pa.list_(pa.string())),
            "usable": pa.array([choice.usable for choice in choices], pa.int64()),
            "swapped": pa.array([choice.swapped for choice in choices], pa.bool_()),
            "long": np.add.reduceat(windows > 1, starts[:-1], dtype=np.int64),
            "vector": pa.FixedSizeListArray.from_arrays(vectors[: len(prompts)].ravel(), dimensions),
            "candidates": _as_lists([choice.candidates for choice in choices]),
        }
    )


def _as_lists(outcomes: Sequence[Sequence[CandidateOutcome]]) -> Any:
    """Outcomes of each prompt's candidates as a column; one list per field: dictionaries take ten times as long."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    types = (text, text, text, pa.bool_(), text, text, number, number)
    names = [one.name for one in fields(CandidateOutcome)]
    flat = [outcome for some in outcomes for outcome in some]
    columns = [pa.array([getattr(one, name) for one in flat], kind) for name, kind in zip(names, types, strict=True)]
    offsets = pa.array(np.cumsum([0, *map(len, outcomes)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, names))


def _choose(
    prompts: Sequence[Answered], vectors: Floats, starts: Ints, thresholds: SelectSettings, progress: Progress
) -> Iterable[Choice]:
    """Prompts with the same number of answers at once, then in the order of the prompts.

    `vectors` holds those of the prompts, then those of their answers, which begin at `starts`.
    """
    by_text = filter_texts(
        [(p.language, id_, text) for p in prompts for id_, text in zip(p.ids, p.texts, strict=True)],
        thresholds.min_chars,
        progress,
    )
    by_count: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_count[len(prompt.ids)].append(index)
    choices: dict[int, Choice] = {}
    for count, members in by_count.items():
        size = max(1, CHUNK_BYTES // (8 * count * max(count, vectors.shape[1])))
        for begin in range(0, len(members), size):
            part = members[begin : begin + size]
            rows = starts[part][:, None] + np.arange(count)
            reasons = [[by_text[row - len(prompts)] for row in line] for line in rows.tolist()]
            stack = _choose_stack([prompts[i] for i in part], reasons, vectors[part], vectors[rows], thresholds)
            choices.update(zip(part, stack, strict=True))
    return (choices[index] for index in range(len(prompts)))


def _choose_stack(
    prompts: Sequence[Answered],
    reasons: Sequence[list[Dropped | None]],
    of_prompts: Floats,
    of_answers: Floats,
    thresholds: SelectSettings,
) -> Iterator[Choice]:
    """Choose for p prompts with n answers each: `of_prompts` has shape (p, d), `of_answers` (p, n, d)."""
    pairs = similarities(of_answers)
    ids, texts = [prompt.ids for prompt in prompts], [prompt.texts for prompt in prompts]
    alive, centroid = filter_vectors(ids, reasons, of_prompts, of_answers, pairs, texts, thresholds)
    for p, prompt in enumerate(prompts):
        if prompt.margins:
            for index in most_generic(prompt.margins, np.flatnonzero(alive[p]).tolist(), thresholds.slate):
                alive[p, index] = False
                reasons[p][index] = Dropped(prompt.ids[index], GENERIC, f"{prompt.margins[index]:.3f}")
    chosen: list[tuple[int, ...]] = [()] * len(prompts)
    for p, prompt in enumerate(prompts):
        if prompt.seats:  # What people may have ranked already stays, whatever the thresholds say now.
            chosen[p] = tuple(sorted(prompt.ids.index(candidate_id) for candidate_id in prompt.seats))
            alive[p, chosen[p]] = True
            for index in chosen[p]:
                reasons[p][index] = None
    distances: Whole = UNIT - pairs
    open_ones = [p for p, prompt in enumerate(prompts) if not prompt.seats]
    shared, seats = _shared(prompts, open_ones, alive, thresholds)
    for p, medoids in _medoids(distances, alive, [p for p in open_ones if p not in shared], thresholds.slate):
        chosen[p] = medoids
    # Each side has its own medoids: neither is chosen for how it differs from the other.
    for mine, k in ((True, seats), (False, thresholds.slate - seats)) if shared else ():
        sides = np.array([[(id_ in prompt.own) == mine for id_ in prompt.ids] for prompt in prompts]) & alive
        for p, medoids in _medoids(distances, sides, sorted(shared), k):
            chosen[p] = tuple(sorted((*chosen[p], *medoids)))
    usable = alive.sum(axis=1).tolist()
    for p, prompt in enumerate(prompts):
        yield Choice(
            prompt.prompt_id,
            tuple(prompt.ids[index] for index in chosen[p]),
            usable[p],
            bool(chosen[p]) and math.comb(usable[p], len(chosen[p])) > EXACT_SUBSETS,
            tuple(_candidate_outcomes(prompt, reasons[p], centroid[p], distances[p], chosen[p])),
        )


def _shared(
    prompts: Sequence[Answered], open_ones: Sequence[int], alive: Flags, thresholds: SelectSettings
) -> tuple[set[int], int]:
    """Prompts of whose slates the aligned model's answers have seats of their own, and how many these are.

    Enough answers have to be usable on both sides; the slates of all other prompts are chosen from all answers alike.
    """
    seats, shared = min(thresholds.own_seats, thresholds.slate - 1), set[int]()
    for p in (p for p in open_ones if prompts[p].own and seats):
        own = sum(alive[p, index] for index, id_ in enumerate(prompts[p].ids) if id_ in prompts[p].own)
        if own >= seats and alive[p].sum() - own >= thresholds.slate - seats:
            shared.add(p)
    return shared, seats


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
    prompt: Answered,
    reasons: Sequence[Dropped | None],
    centroid: Sequence[float | None],
    distances: Whole,
    chosen: Sequence[int],
) -> Iterator[CandidateOutcome]:
    nearest = assign(distances, np.array(chosen)).tolist() if chosen else []
    for index, (candidate_id, reason) in enumerate(zip(prompt.ids, reasons, strict=True)):
        if reason or not nearest:
            drop = (reason.reason, reason.because_of) if reason else ("", "")
            yield CandidateOutcome(prompt.prompt_id, candidate_id, "", False, *drop, centroid[index])
        else:
            medoid = nearest[index]
            yield CandidateOutcome(
                prompt.prompt_id,
                candidate_id,
                cluster=prompt.ids[medoid],
                medoid=index in chosen,
                centroid_similarity=centroid[index],
                distance=int(distances[index, medoid]) / UNIT,
            )
