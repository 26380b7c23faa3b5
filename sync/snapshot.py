"""Snapshots that runs are trained on: the rankings of the ledger at one moment, as files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from annotation.data_facts import data_facts
from annotation.files import write_whole
from annotation.images.store import link_pictures
from annotation.ledger_file import now
from annotation.project import Project
from annotation.rounds import current_round
from annotation.tables import Tables, read_tables
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import RANKING
from annotation.tasks.ranking.tables import IMAGE
from annotation.types import Snapshot
from sync.quotas import QuotaState


def freeze(project: Project, quotas: Sequence[QuotaState], task: str = RANKING) -> Snapshot | None:
    """Write a snapshot folder of one task, named by its content: freezing the same judgements twice changes nothing.

    The pictures that its rows name are linked into it, so it holds all that a run needs.

    Args:
        project: The project.
        quotas: How far they have come.
        task: A task that starts runs.

    Returns:
        None when there is nothing to train on: the first table that the task freezes has no row.

    Raises:
        LostPicture: The file of a picture is not there.
    """
    beside = project.snapshot_folder(".unfinished")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    beside.mkdir(parents=True)
    frozen, pictures = TASKS[task].frozen, set[str]()
    with project.ledger.moment(), ExitStack() as files:
        contents = {name: _Content(files.enter_context(TemporaryFile(dir=beside))) for name in frozen.values()}
        written = Tables(beside, files)
        for tables in read_tables(project, task):
            for file, name in frozen.items():
                written.add(name, tables[file])
                contents[name].add(tables[file].rows)
                pictures.update(row[IMAGE] for row in tables[file].rows if IMAGE in row)
        snapshot_id = _digest(contents.values())
        marker = project.snapshot_folder(snapshot_id) / "snapshot.json"
        data = {} if marker.exists() else data_facts(project)
    counts = written.counts
    if not counts.get(next(iter(contents))):
        shutil.rmtree(beside)
        return None
    folder = marker.parent
    if marker.exists():
        shutil.rmtree(beside)
    else:
        link_pictures(sorted(pictures), project.folder, beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
        facts = {
            "id": snapshot_id,
            "task": task,
            "made_at": now(),
            **({"round": number} if (number := current_round(project.ledger)) > 1 else {}),
            **{Path(file).stem: counts[file] for file in reversed(counts)},
            "quotas": [
                {**asdict(state.quota), "completed": state.completed, "people": state.people} for state in quotas
            ],
            "removed_prompts": project.ledger.count_prompts()[1],
            "settings": project.settings.model_dump(mode="json", exclude={"train": {"launcher"}}),  # it may name a key
            "data": data,
        }
        write_whole(marker, json.dumps(facts, indent=2, ensure_ascii=False).encode())
    facts = json.loads(marker.read_text(encoding="utf-8"))
    return Snapshot(snapshot_id, facts["rankings"], facts["preferences"], facts["made_at"])


class _Content:
    """The rows of a table as JSON, kept on the disk until those before it are known."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.rows = file, 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.file.write(b", " if self.rows else b"")
            self.file.write(json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
            self.rows += 1


def _digest(contents: Iterable[_Content]) -> str:
    """Of `json.dumps` of a list of the tables, each a list of rows."""
    digest, joint = hashlib.sha256(), b"[["
    for content in contents:
        digest.update(joint)
        joint = b"], ["
        content.file.seek(0)
        while block := content.file.read(2**20):
            digest.update(block)
    digest.update(b"]]")
    return digest.hexdigest()[:16]
