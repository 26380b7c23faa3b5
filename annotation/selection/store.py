"""Stored selection: candidates.parquet, prompts.parquet and, last, selection.json; read again where nothing changed.

All of it can be computed again from the ledger and the vectors; cut off anywhere, the next run comes to the same state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from annotation.config import SelectSettings
from annotation.files import write_whole
from annotation.project import SELECTION, Project
from annotation.selection.diversity import Floats
from annotation.selection.outcome import PromptOutcome, Selection
from annotation.types import Prompt, Slate

LAYOUT = 5
"""Counted up when the stored files change, or what decides: what an older annot wrote is made again."""


def selection_folder(project: Project) -> Path:
    """Where a project keeps its selection."""
    return project.folder / SELECTION


def write_selection(project: Project, selection: Selection, vectors: Floats, mark: str) -> None:
    """Store a selection, with the vector of each of its prompts and the mark of what it depends on."""
    import pyarrow as pa

    folder = selection_folder(project)
    for left in folder.glob(".*"):  # A run was killed while it wrote this one.
        left.unlink()
    _write(folder / "candidates.parquet", selection.table)
    text, whole = pa.string(), pa.int64()
    kinds = (text, text, text, whole, whole, text, whole, text, text)
    columns = {
        one.name: pa.array([getattr(outcome, one.name) for outcome in selection.prompts], kind)
        for one, kind in zip(fields(PromptOutcome), kinds, strict=True)
    }
    flat = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    _write(folder / "prompts.parquet", pa.table({**columns, "vector": flat}))
    facts = {
        "mark": mark,
        "encoder": selection.encoder,
        "thresholds": selection.thresholds.model_dump(),
        "standing": selection.standing,
        "waiting": selection.waiting,
        "swapped": selection.swapped,
        "long": selection.long,
        "targets": dict(selection.targets),
        "few_pictures": dict(selection.few_pictures),
        "round": selection.round,
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
    if not (folder / "candidates.parquet").exists() or not (folder / "prompts.parquet").exists():
        return None
    import pyarrow.parquet as pq

    path = folder / "prompts.parquet"
    there = pq.read_schema(path).names  # An older annot wrote fewer.
    columns = [one.name for one in fields(PromptOutcome) if one.name in there]
    rows = pq.read_table(path, columns=columns).to_pylist()
    facts["thresholds"] = SelectSettings(**facts["thresholds"])
    return Selection(
        slates=(),
        table=pq.read_table(folder / "candidates.parquet"),
        prompts=tuple(PromptOutcome(**row) for row in rows),
        **facts,
    )


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
    contents: Sequence[str],
    slates: Sequence[Slate],
    encoder: str,
) -> str:
    """Hash of everything that a selection depends on; `contents` are those of its shards."""
    settings, owed = project.settings, {"target", "overlap", "by", "group"}
    facts = [
        LAYOUT,
        [(prompt.id, prompt.topic, prompt.country, prompt.language) for prompt in prompts.values()],
        contents,
        [slate.id for slate in slates],
        settings.project.model_dump(),
        settings.select.model_dump(),
        settings.task.ranking.model_dump(include=owed),
        encoder,
    ]
    if any(prompt.image for prompt in prompts.values()):
        facts.append(settings.task.description.model_dump(include=owed))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    write_whole(path, lambda beside: pq.write_table(table, beside))
