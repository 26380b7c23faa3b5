"""Files of a source: which there are, their rows, and what a cell may hold."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.tasks.ranking.tables import MARKED
from annotation.text.locales import country_code

OTHER_NAMES = {"system_prompt": "system", "system_message": "system", "question": "prompt"}
"""Names under which other people's files hold a column -> ours."""

LONGEST_LABEL = 200
"""Characters of a name: of a country, a slate, a person, a topic."""


def newest_snapshot(project: Path) -> Path:
    """Folder of the newest whole snapshot of a project.

    Raises:
        TrainError: There is none.
    """
    markers = sorted(
        (project / "snapshots").glob("*/snapshot.json"),
        key=lambda path: (json.loads(path.read_text(encoding="utf-8"))["made_at"], path.parent.name),
    )
    if not markers:
        raise TrainError(
            f"{project} has no snapshot yet: `annot sync` makes one when every quota is met; "
            "or train on a file with --data FILE."
        )
    return markers[-1].parent


def source_digest(source: Path) -> str:
    """SHA-256 of a source: of a file, or of a snapshot's preferences and rankings, one after the other.

    Raises:
        TrainError: There is nothing to read.
    """
    names = ("preferences.parquet", "rankings.parquet", "snapshot.json")
    missing = [name for name in names if not (source / name).exists()] if source.is_dir() else []
    if missing:
        raise TrainError(f"{source} is no whole snapshot: {missing[0]} is missing; run `annot sync` again.")
    paths = [source / name for name in names[:2]] if source.is_dir() else [source]
    if not paths[0].exists():
        raise TrainError(f"{source} does not exist; name a snapshot of the project, or a parquet or jsonl file.")
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


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
            held = {key: value for key, value in row.items() if value is not None or key not in MARKED}
            digest.update(b", " if place else b"")
            digest.update(json.dumps(held, sort_keys=True, ensure_ascii=False).encode())
    digest.update(b"]]")
    if digest.hexdigest()[:16] != folder.name:
        raise TrainError(
            f"{folder} no longer holds the judgements that its name stands for; put its files back "
            "(a backup has them), or train on what it holds now with --data, which is no snapshot."
        )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a parquet or jsonl file.

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
        raise TrainError(f"{path}: preferences are read from .parquet and .jsonl; convert the file first.")
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
                if "\\ud" in line.lower():
                    json.dumps(row, ensure_ascii=False).encode()  # half a pair of surrogates is no character
                rows.append(row)
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except UnicodeEncodeError:
        raise TrainError(f"{path}, line {number} holds half a character (\\ud800 or so); mend that row.") from None
    except RecursionError:
        raise TrainError(f"{path}, line {number} is nested far too deep; mend that row.") from None
    except ValueError as error:  # not only json.JSONDecodeError: a number may have too many digits
        reason = getattr(error, "msg", error)
        raise TrainError(f"{path}, line {number} is no JSON ({reason}); write one object per line.") from None
    return rows


def with_our_names(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of somebody's file whose columns have our names, where it has none of that name itself."""
    there = {name for row in rows for name in row}
    ours = {name: known for name, known in OTHER_NAMES.items() if known not in there}
    return [{ours.get(name, name): value for name, value in row.items()} for row in rows]


def country_of(row: Mapping[str, Any], place: str) -> str:
    """The cell `country` as an ISO code where it is a country's name or code, else as it stands."""
    named = label(row, "country", place)
    return country_code(named) or named


def is_gap(value: Any) -> bool:
    """Whether a cell is empty: null, or the NaN that some tables write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def whole_number(value: Any) -> int | None:
    """A whole number, also one that a table wrote as 3.0 because of gaps between such; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def label(row: Mapping[str, Any], name: str, place: str) -> str:
    """A cell that names something, as text; "" where it is empty, or where there is no such column.

    Raises:
        TrainError: It is no short text on one line, and no whole number.
    """
    value = row.get(name)
    if is_gap(value):
        return ""
    number = whole_number(value)
    text = value if isinstance(value, str) else "" if number is None else str(number)
    if (not text and value != "") or len(text) > LONGEST_LABEL or not text.isprintable():
        raise TrainError(
            f"{place}, {name} = {short(value)}: it must be a text of at most {LONGEST_LABEL} characters on one line; "
            "mend that row."
        )
    return text


def system_text(row: Mapping[str, Any], place: str) -> str:
    """The cell `system`; "" where it is empty, or where there is no such column.

    Raises:
        TrainError: It is no text.
    """
    value = row.get("system")
    if is_gap(value):
        return ""
    if not isinstance(value, str):
        raise TrainError(f"{place}, system = {short(value)}: it is a text, or empty; mend that row.")
    return value
