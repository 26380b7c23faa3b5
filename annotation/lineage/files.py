"""Files on this machine that hold a person or a prompt: exports, releases, snapshots, runs and archives."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

from annotation.lineage.snapshots import AT_ONCE

PLACES = ("exports", "runs", "snapshots", "selection")
"""Folders of a project in which files are looked at."""

_NO_TEXT = {".safetensors", ".png", ".bin", ".pt", ".gguf", ".npz", ".npy"}


def files_holding(folders: Iterable[Path], needles: Iterable[str]) -> list[Path]:
    """Files in which one of some texts stands, wherever in them; each is read as it is, part by part."""
    wanted = [needle for needle in needles if needle]
    return [path for folder in folders for path in _files(folder) if _holds(path, wanted)]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix not in _NO_TEXT:
            yield path


def _holds(path: Path, needles: list[str]) -> bool:
    if path.suffix == ".parquet":
        return _table_holds(path, needles)
    # As it stands, and as JSON writes it.
    forms = {
        form.encode()
        for needle in needles
        for form in (needle, *(json.dumps(needle, ensure_ascii=a)[1:-1] for a in (False, True)))
    }
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(form) >= 0 for form in forms)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def _table_holds(path: Path, needles: list[str]) -> bool:
    """Whether a column of texts holds one of them; columns of numbers are not read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def texts(kind: pa.DataType) -> bool:
        return pa.types.is_string(kind) or (pa.types.is_list(kind) and texts(kind.value_type))

    try:
        with pq.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if texts(field.type)]
            for batch in file.iter_batches(AT_ONCE, columns=columns):
                for column in batch.columns:
                    while pa.types.is_list(column.type):
                        column = pc.list_flatten(column)
                    if any(pc.any(pc.match_substring(column, needle)).as_py() for needle in needles):
                        return True
    except (pa.ArrowException, OSError):
        return False
    return False
