"""Stored selection: candidates.parquet, prompts.parquet and, last, selection.json; read again where nothing changed.

All of it can be computed again from the ledger and the vectors; cut off anywhere, the next run comes to the same state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.config import SelectSettings
from annotation.files import write_whole
from annotation.project import SELECTION, Project
from annotation.selection.diversity import Floats
from annotation.selection.outcome import CandidateOutcome, PromptOutcome, Selection
from annotation.types import Candidate, Prompt, Slate

if TYPE_CHECKING:
    import pyarrow as pa


LAYOUT = 3
"""Counted up when the stored files change, or what decides: what an older annot wrote is made again."""


def selection_folder(project: Project) -> Path:
    """Where a project keeps its selection."""
    return project.folder / SELECTION


def write_selection(project: Project, selection: Selection, of_prompt: Mapping[str, Floats], mark: str) -> None:
    """Store a selection, with the vector of each prompt and the mark of what it depends on."""
    import numpy as np
    import pyarrow as pa

    folder = selection_folder(project)
    for left in folder.glob(".*"):  # A run was killed while it wrote this one.
        left.unlink()
    text, flag, whole, number = pa.string(), pa.bool_(), pa.int64(), pa.float64()
    _write(
        folder / "candidates.parquet",
        _columns(selection.candidates, (text, text, text, flag, text, text, number, number)),
    )
    prompts = _columns(selection.prompts, (text, text, text, whole, whole, text, whole, text))
    vectors = np.stack([of_prompt[outcome.prompt_id] for outcome in selection.prompts])
    flat = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    _write(folder / "prompts.parquet", {**prompts, "vector": flat})
    facts = {
        "mark": mark,
        "encoder": selection.encoder,
        "thresholds": selection.thresholds.model_dump(),
        "standing": selection.standing,
        "waiting": selection.waiting,
        "swapped": selection.swapped,
        "targets": dict(selection.targets),
    }
    write_whole(folder / "selection.json", json.dumps(facts, ensure_ascii=False, indent=1).encode())


def read_selection(project: Project, mark: str) -> Selection | None:
    """The stored selection, where it has the same mark and left nothing for another run."""
    folder = selection_folder(project)
    if not (folder / "selection.json").exists():
        return None
    facts = json.loads((folder / "selection.json").read_text(encoding="utf-8"))
    if facts.pop("mark") != mark or facts["waiting"]:
        return None
    candidates = tuple(CandidateOutcome(**row) for row in _read(folder / "candidates.parquet", CandidateOutcome))
    prompts = tuple(PromptOutcome(**row) for row in _read(folder / "prompts.parquet", PromptOutcome))
    if not candidates or not prompts:
        return None
    facts["thresholds"] = SelectSettings(**facts["thresholds"])
    return Selection(slates=(), candidates=candidates, prompts=prompts, **facts)


def prompt_vectors(project: Project) -> dict[str, Floats]:
    """Slate id to the embedding of its prompt, as the last `select` stored them; empty before the first."""
    path = selection_folder(project) / "prompts.parquet"
    if not path.exists():
        return {}
    import pyarrow.parquet as pq

    stored = pq.read_table(path, columns=["slate_id", "vector"])
    # Not as lists: a Python number takes eight times the room.
    vectors = stored["vector"].combine_chunks().flatten().to_numpy().reshape(len(stored), -1)
    return {slate: vector for slate, vector in zip(stored["slate_id"].to_pylist(), vectors, strict=True) if slate}


def mark_of(
    project: Project,
    prompts: Mapping[str, Prompt],
    answers: Mapping[str, Sequence[Candidate]],
    slates: Sequence[Slate],
    encoder: str,
) -> str:
    """Hash of everything that a selection depends on."""
    settings = project.settings
    facts = [
        LAYOUT,
        [(prompt.id, prompt.topic, prompt.country, prompt.language) for prompt in prompts.values()],
        sorted(candidate.id for some in answers.values() for candidate in some),
        [slate.id for slate in slates],
        settings.project.model_dump(),
        settings.select.model_dump(),
        settings.task.ranking.model_dump(include={"target", "overlap", "by", "group"}),
        encoder,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read(path: Path, kind: type) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    columns = [one.name for one in fields(kind)]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist() if path.exists() else []
    return rows


def _columns(outcomes: Sequence[Any], types: Sequence[pa.DataType]) -> dict[str, Any]:
    """Columns of a table of outcomes; one list per field, because a dictionary per outcome takes ten times as long."""
    import pyarrow as pa

    names = [one.name for one in fields(outcomes[0])]
    return {
        name: pa.array([getattr(outcome, name) for outcome in outcomes], type=kind)
        for name, kind in zip(names, types, strict=True)
    }


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    write_whole(path, lambda beside: pq.write_table(table, beside))
