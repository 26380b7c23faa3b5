"""Files of a source: which there are, what they hold now, and the rows of those that annot wrote."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.reading.hub import HUB_NAME
from annotation.reading.rows import Limits
from annotation.reading.table import FORMATS, read_table
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.tasks.ranking.tables import SPARSE

LIMITS = Limits(total=16 * 2**30)
"""A run's judgements stand in one file, which may be larger than what people add to a project."""


def newest_snapshot(project: Path, *, pictures: bool | None = None) -> Path:
    """Folder of the newest whole snapshot of a project.

    Args:
        project: Its folder.
        pictures: Whether it must be about pictures, or about texts; None takes either.

    Raises:
        TrainError: There is none.
    """
    markers = sorted(
        (
            path
            for path in (project / "snapshots").glob("*/snapshot.json")
            if pictures is None or is_about_pictures(path.parent) == pictures
        ),
        key=lambda path: (json.loads(path.read_text(encoding="utf-8"))["made_at"], path.parent.name),
    )
    if not markers:
        of = "" if pictures is None else " of descriptions of pictures" if pictures else " of answers to texts"
        if not pictures and any((project / "snapshots").glob("*/snapshot.json")):
            raise TrainError(
                f"{project} has no snapshot{of} yet, and this preset trains on these; it has one of descriptions of "
                "pictures, for which a preset for pictures is needed: --preset l40s-vlm-lora, or cpu-smoke-vlm to try."
            )
        raise TrainError(
            f"{project} has no snapshot{of} yet: `annot sync` makes one when every quota is met; "
            "or train on a file with --data FILE."
        )
    return markers[-1].parent


def is_about_pictures(snapshot: Path) -> bool:
    """Whether the answers of a snapshot are descriptions of pictures.

    Raises:
        TrainError: Its snapshot.json is gone or damaged.
    """
    return task_of(snapshot) == DESCRIPTION


def task_of(snapshot: Path) -> str:
    """Key of the task whose answers a snapshot holds.

    Raises:
        TrainError: Its snapshot.json is gone or damaged.
    """
    path = snapshot / "snapshot.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("task", RANKING))
    except OSError:
        raise TrainError(
            f"{snapshot} is no whole snapshot: snapshot.json is missing; run `annot sync` again."
        ) from None
    except (ValueError, AttributeError):
        raise TrainError(f"{path} is damaged; a backup has it, or run `annot sync` again.") from None


def source_digest(source: Path) -> str:
    """SHA-256 of a source: of a file, of a snapshot's preferences and rankings, one after the other, or of Hub rows.

    Raises:
        TrainError: There is nothing to read.
        SourceError: A dataset of the Hub cannot be read.
    """
    names = ("preferences.parquet", "rankings.parquet", "snapshot.json")
    missing = [name for name in names if not (source / name).exists()] if source.is_dir() else []
    if missing:
        raise TrainError(f"{source} is no whole snapshot: {missing[0]} is missing; run `annot sync` again.")
    digest = hashlib.sha256()
    if is_on_hub(source):
        for row in read_table(str(source), limits=LIMITS).rows:
            digest.update(json.dumps(row.values, sort_keys=True, default=str).encode())
        return digest.hexdigest()
    file_alone = source.with_name(source.name.partition("#")[0])  # FILE.xlsx#SHEET
    paths = [source / name for name in names[:2]] if source.is_dir() else [source if source.exists() else file_alone]
    if not paths[0].exists():
        raise TrainError(
            f"{source} does not exist; name a snapshot of the project, a file with judgements, or OWNER/NAME of a "
            "dataset on the Hub."
        )
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def is_on_hub(source: Path) -> bool:
    """Whether a source is no file here and has the name of a dataset on the Hub: owner/name."""
    known = tuple(f"{suffix}{packed}" for suffix in FORMATS for packed in ("", ".gz"))
    return not source.exists() and bool(HUB_NAME.fullmatch(str(source))) and not source.name.lower().endswith(known)


def check_snapshot(folder: Path, tables: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Make sure that a snapshot holds what its name says: its name is the hash of its rows, as `annot sync` made it.

    Args:
        folder: Of the snapshot; one whose name is no such hash was made by hand, and says nothing of its content.
        tables: Its preferences and its rankings.

    Raises:
        TrainError: Somebody has changed a row.
    """
    if not re.fullmatch("[0-9a-f]{16}", folder.name):
        return
    digest = hashlib.sha256()
    for number, table in enumerate(tables):
        digest.update(b"], [" if number else b"[[")
        for place, row in enumerate(table):
            held = {key: value for key, value in row.items() if value is not None or key not in SPARSE}
            digest.update(b", " if place else b"")
            digest.update(json.dumps(held, sort_keys=True, ensure_ascii=False).encode())
    digest.update(b"]]")
    if digest.hexdigest()[:16] != folder.name:
        raise TrainError(
            f"{folder} no longer holds the judgements that its name stands for; put its files back "
            "(a backup has them), or train on what it holds now with --data, which is no snapshot."
        )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a parquet or jsonl file that annot wrote, or of a file of a benchmark's rows.

    Raises:
        TrainError: It is damaged, or of another kind; the sentence names the line.
    """
    if path.suffix == ".parquet":
        import pyarrow as pa

        from annotation.files import read_parquet

        try:
            return read_parquet(path)
        except (pa.ArrowException, OSError) as error:
            raise TrainError(f"{path} is no whole parquet file ({error}); make it again.") from None
    if path.suffix not in (".jsonl", ".json"):
        raise TrainError(f"{path}: rows are read from .parquet and .jsonl; convert the file first.")
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors put a byte order mark first
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TrainError(f"{path}, line {number} is no JSON object; write one object per line.")
                rows.append(row)
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # not only json.JSONDecodeError: a number may have too many digits
        reason = getattr(error, "msg", error)
        raise TrainError(f"{path}, line {number} is no JSON ({reason}); write one object per line.") from None
    return rows
