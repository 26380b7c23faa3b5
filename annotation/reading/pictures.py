"""Picture cells of a file or a Hub dataset: what its columns of bytes hold, which no other reader takes, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.reading.hub import load_splits
from annotation.reading.parquet import text_columns
from annotation.reading.rows import Row
from annotation.text.locales import fold

PICTURE_COLUMNS = frozenset(
    (
        *("image", "images", "picture", "pictures", "photo", "photos"),
        *("imagen", "imagenes", "imagem", "imagens", "foto", "fotos"),
    )
)
"""Names of a column with the picture that a prompt is about, folded."""

_AT_ONCE = 4
"""Rows with pictures that stand in memory together."""


def picture_cells(source: str) -> Iterator[tuple[str, Any]]:
    """Place of a row (see Row) and its picture, for every column of pictures that is no text.

    Args:
        source: A file, or owner/name of a dataset; it was read as a table before.
    """
    import pyarrow.parquet as pq

    path = Path(source).expanduser()
    rows: Iterator[Row] = iter(())
    if path.suffix.lower() == ".parquet":
        file = pq.ParquetFile(path)
        rows = parquet_rows(file, _of_bytes(file.schema_arrow))
    elif not path.is_file() and ".xlsx#" not in source:
        parts = load_splits(source)
        rows = dataset_rows(parts, _of_bytes(next(iter(parts.values())).data.schema))
    yield from ((row.place, cell) for row in rows for cell in row.values.values() if cell)


def parquet_rows(file: Any, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of an open parquet file with some of its columns, pictures too; none where no column is named."""
    yield from _rows(file.iter_batches(_AT_ONCE, columns=columns) if columns else ())


def dataset_rows(parts: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Row]:
    """The same of the splits of a dataset (see load_splits)."""
    for split, part in parts.items() if columns else ():
        yield from _rows(part.select_columns(columns).with_format("arrow").iter(_AT_ONCE), f"{split}:")


def _rows(batches: Iterable[Any], before: str = "") -> Iterator[Row]:
    every = (values for batch in batches for values in batch.to_pylist())
    yield from (Row(f"{before}{number}", values) for number, values in enumerate(every, 1))


def _of_bytes(schema: Any) -> list[str]:
    """Columns of pictures that are no text, and so in no table."""
    return [name for name in schema.names if fold(name) in PICTURE_COLUMNS and name not in text_columns(schema)]
