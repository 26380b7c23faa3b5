"""A source → ranked slates: a snapshot, or any file or Hub dataset that says which answers are better."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.project import HOLDS_FORGOTTEN
from annotation.reading.examples import read_examples
from annotation.reading.use import FOR_EVALUATION, WHY, is_for_evaluation
from annotation.screen import Progress, counted, silent
from annotation.types import Dropped
from train.data.examples import ALSO, judged_slates
from train.data.held_back import MEASURED_BY, SEEN, slates_that_hold
from train.data.pictures import check_kind, keep_pictures, pictures_in
from train.data.rankings import ranking_from_row, slates_of_rankings
from train.data.repeated import Sifted, without_repeated
from train.data.rows import LIMITS, check_snapshot, read_rows, source_digest, task_of
from train.data.slates import RankedSlate

NEEDED = (
    "a row needs a prompt with a chosen and a rejected answer, or with candidates and their ranks (docs/training.md "
    "names every form)."
)
"""What a file must hold."""


@dataclass(frozen=True)
class Slates:
    """All slates of a source.

    Attributes:
        source: "snapshot ID", the name of a file, or of a dataset.
        slates: In the order of the source.
        excluded: Slates from which nothing is learnt: "none is acceptable", "too few votes", "all answers tied" and the
            like.
        unused: Single answers that are left out: rewrites beyond the first of a slate, rejected ones that repeat.
        repeated: Rankings that the same person gave twice for one slate; they count once.
        groups: (prompt key, group) of prompts that a file puts into groups, which stay on one side of the split.
        notices: What a person should know about how it was read.
        needed: What to do where nothing is left; a sentence's end.
    """

    source: str
    slates: tuple[RankedSlate, ...]
    excluded: tuple[Dropped, ...] = ()
    unused: tuple[Dropped, ...] = ()
    repeated: tuple[Dropped, ...] = ()
    groups: frozenset[tuple[str, str]] = frozenset()
    notices: tuple[str, ...] = ()
    needed: str = "collect judgements first."


def read_slates(
    source: Path,
    *,
    rewrites: bool = False,
    repeated: bool = False,
    columns: Mapping[str, str] | None = None,
    sentences: Collection[str] = (),
    vision: str = "none",
    home: Path = Path(),
    progress: Progress = silent,
) -> Slates:
    """Read a snapshot folder, or a file or Hub dataset in any form that annotation/reading/examples.py knows.

    Args:
        source: A folder, a file, or owner/name of a dataset.
        rewrites: Put the first rewrite of a slate behind its answers, as the target of the SFT term.
        repeated: Take also an answer of a file that is the rejected one of many prompts.
        columns: Field to column of a file, where its name says too little.
        sentences: What no text of a slate may be, folded: see held_back.py.
        vision: `base.vision`: whether slates are to be about pictures.
        home: Folder below which pictures of a file are written.
        progress: Gets the number of rows.

    Raises:
        TrainError: It cannot be read, a row is not as described, it is about pictures and should not be or the reverse,
            it holds what was forgotten since, a row for evaluation only, or one of the sentences; no text is told.
        SourceError: A file cannot be read, or holds nothing that annot knows.
    """
    if not source.is_dir():
        return _of_file(
            source,
            rewrites=rewrites,
            repeated=repeated,
            columns=columns,
            sentences=sentences,
            vision=vision,
            home=home,
            progress=progress,
        )
    source_digest(source)  # says what is missing
    if (source / HOLDS_FORGOTTEN).exists():
        raise TrainError(
            f"{source} holds what `annot forget` took out of the project: nothing is trained on it any more. "
            "`annot sync` makes a snapshot without it when the quotas are met; or train with --data on the "
            "rankings.parquet that `annot export` writes now."
        )
    task = task_of(source)
    written = json.loads((source / "snapshot.json").read_text(encoding="utf-8")).get("settings", {})
    min_votes = written.get("task", {}).get(task, written.get("preferences", {})).get("min_votes", 1)
    preferences: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    votes, ranked = (read_rows(source / f"{name}.parquet") for name in ("preferences", "rankings"))
    check_snapshot(source, (votes, ranked))
    barred = (
        f"{name}.parquet:{n}"
        for name, table in (("preferences", votes), ("rankings", ranked))
        for n, row in enumerate(table, 1)
        if is_for_evaluation(row)
    )
    _refuse(source.name, barred)
    for row in votes:
        preferences[row["slate_id"], row["country"]].append(row)
    rows = (ranking_from_row(row, f"rankings.parquet:{number}") for number, row in enumerate(ranked, 1))
    found = slates_of_rankings(rows, preferences, min_votes, rewrites=rewrites)
    if held := {slate.slate_id for slate in slates_that_hold(sentences, found.slates)}:
        prompts = sorted({row.get("prompt_id") or row["slate_id"] for row in ranked if row["slate_id"] in held})
        raise TrainError(
            f"snapshot {source.name} holds {counted(len(prompts), 'prompt')} with {MEASURED_BY}, asked or answered, "
            f"{SEEN}; take {'it' if len(prompts) == 1 else 'them'} out of the project with `annot prompts remove "
            f"{' '.join(prompts)}`, and train with --data on the rankings.parquet that `annot export` writes then."
        )
    check_kind(f"snapshot {source.name}", sum(bool(slate.image) for slate in found.slates), len(found.slates), vision)
    return Slates(f"snapshot {source.name}", found.slates, found.excluded, found.unused, found.repeated)


def _of_file(
    source: Path,
    *,
    rewrites: bool,
    repeated: bool,
    columns: Mapping[str, str] | None,
    sentences: Collection[str],
    vision: str,
    home: Path,
    progress: Progress,
) -> Slates:
    found = read_examples(str(source), columns=columns, also=ALSO, limits=LIMITS, progress=progress)
    _refuse(found.name, (dropped.id for dropped in found.dropped if dropped.reason == FOR_EVALUATION))
    pictures: Mapping[str, str] = {}
    if vision != "none":
        pictures = keep_pictures(source, found, home, progress)
    elif any(pictures_in(source, found)):
        check_kind(found.name, 1, 1, vision)
    judged = judged_slates(found, pictures, rewrites=rewrites)
    check_kind(found.name, sum(bool(slate.image) for slate in judged.slates), len(judged.slates), vision)
    sifted = Sifted(judged.slates) if repeated else without_repeated(judged.slates)
    if held := slates_that_hold(sentences, sifted.slates):
        raise TrainError(
            f"{found.name} holds {counted(len(held), 'example')} with {MEASURED_BY} (the first is "
            f"{judged.places.get(held[0].id, held[0].id)}), {SEEN}; take {'it' if len(held) == 1 else 'them'} out of "
            "the file, and train on the rest."
        )
    return Slates(
        found.name,
        sifted.slates,
        (*judged.excluded, *sifted.dropped),
        (*judged.unused, *sifted.dropped_answers),
        judged.repeated,
        judged.groups,
        (*found.notices, *sifted.notices),
        sifted.notices[0] if sifted.dropped else NEEDED,
    )


def _refuse(name: str, barred: Iterable[str]) -> None:
    """Refuse a source with rows for evaluation only, at these places: whoever put them there should know."""
    if places := list(barred):
        raise TrainError(
            f"{name} holds {counted(len(places), 'row')} {WHY} (the first is {places[0]}); take them out of the file, "
            "and train on the rest."
        )
