"""What the ledger says at one moment, as files: snapshots that runs are trained on, and exports for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotation.files import write_parquet, write_whole
from annotation.ledger import now
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.answers import newest_responses, read_answers
from annotation.tasks.base import Kind, Rows, Texts
from annotation.types import Snapshot
from sync.quotas import QuotaState


def read_tables(project: Project, names: Sequence[str]) -> dict[str, dict[str, Rows]]:
    """Task -> file name -> rows, of those tasks that have an item."""
    ledger = project.ledger
    items = {item.id: item for name in names for item in ledger.items(name)}
    found = read_answers(newest_responses(ledger), items).kept
    tables = {}
    for name in names:
        own = {item.id: item for item in items.values() if item.task == name}
        if own or TASKS[name].trains:
            answers = [answer for answer in found if answer.item_id in own]
            texts = Texts.of(ledger, TASKS[name], [own[item_id] for item_id in {a.item_id for a in answers}])
            tables[name] = TASKS[name].tables(own, answers, texts, project.settings, project.pseudonym)
    return tables


def freeze(project: Project, quotas: Sequence[QuotaState]) -> Snapshot | None:
    """Write a snapshot folder, named by its content: freezing the same judgements twice changes nothing.

    None when there is nothing to train on: the first table that a task freezes has no row.
    """
    tables = read_tables(project, [name for name, task in TASKS.items() if task.trains])
    frozen = {file: tables[name][file] for name in tables for file in TASKS[name].frozen}
    rows = {file: list(table.rows) for file, table in frozen.items()}
    if not any(rows[TASKS[name].frozen[0]] for name in tables):
        return None
    content = json.dumps(list(rows.values()), sort_keys=True, ensure_ascii=False).encode()
    snapshot_id = hashlib.sha256(content).hexdigest()[:16]
    folder = project.snapshot_folder(snapshot_id)
    marker = folder / "snapshot.json"
    if not marker.exists():
        for file, table in frozen.items():
            write_parquet(folder / file, rows[file], _schema(table.columns))
        facts = {
            "id": snapshot_id,
            "made_at": now(),
            **{Path(file).stem: len(rows[file]) for file in reversed(rows)},
            "quotas": [
                {**asdict(state.quota), "completed": state.completed, "people": state.people} for state in quotas
            ],
            "settings": project.settings.model_dump(mode="json"),
        }
        write_whole(marker, json.dumps(facts, indent=2, ensure_ascii=False).encode())
    facts = json.loads(marker.read_text(encoding="utf-8"))
    return Snapshot(snapshot_id, facts["rankings"], facts["preferences"], facts["made_at"])


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written by `annot export`, and how many rows each holds."""

    rows: Mapping[str, int]
    files: tuple[Path, ...]


def export(project: Project, folder: Path) -> Exported:
    """Write what the ledger says now for people and for other trainers: the tables of every task that has items."""
    counts, files = {}, []
    for tables in read_tables(project, list(TASKS)).values():
        for name, table in tables.items():
            rows, path = list(table.rows), folder / name
            if path.suffix == ".jsonl":
                write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
            else:
                write_parquet(path, rows, _schema(table.columns))
            counts[name] = len(rows)
            files.append(path)
    return Exported(counts, tuple(files))


def _schema(columns: Mapping[str, Kind]) -> Any:
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "int": pa.int64(),
        "ints": pa.list_(pa.int64()),
        "float": pa.float64(),
        "bool": pa.bool_(),
    }
    return pa.schema({name: kinds[kind] for name, kind in columns.items()})
