"""Rows and tables that every reader returns, and the limits that every reader keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.errors import SourceError

CHUNK = 2**20
"""Bytes that a reader takes at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of a source, in bytes.

    Attributes:
        line: Longest line of a text file, and longest cell.
        total: Largest file, unpacked.
    """

    line: int = 4 * 2**20
    total: int = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        place: Where a person finds it: line of a text file, row of a sheet, key of a JSON object, "train:12" of a
            dataset.
        values: Column to cell: text, number, bool, None, or what JSON and parquet nest.
    """

    place: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a source.

    Attributes:
        name: File name without its folder, or the dataset's name.
        columns: In the order of the source; columns without a name are left out.
        rows: In the order of the source; blank lines are left out.
        notices: What a person should know about how it was read.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notices: tuple[str, ...] = ()


def too_much_text(source: str, limits: Limits) -> SourceError:
    """The error of a source that holds more than `limits.total`."""
    return SourceError(f"{source} holds more than {size(limits.total)} of text; split it and add the parts.")


def size(count: int) -> str:
    """A number of bytes for a sentence."""
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count} bytes"


def read_grid(
    records: Iterable[tuple[int, Sequence[object]]], source: str, delimiter: str = ""
) -> tuple[tuple[str, ...], tuple[Row, ...], tuple[str, ...]]:
    """Columns, rows and notices of lines of cells.

    The first line that is not blank names the columns; with a delimiter all must be as long.
    """
    names: list[str] = []
    rows: list[Row] = []
    nameless = set[int]()
    for line, record in records:
        if not any(cell is not None and str(cell).strip() for cell in record):
            continue
        if not names:
            names = _column_names(record, source)
            continue
        if delimiter and (any(str(cell).strip() for cell in record[len(names) :]) or len(record) < len(names)):
            raise SourceError(
                f"{source}, line {line} does not fit the header (cells: {len(record)}, columns: {len(names)}); "
                f'put cells that hold "{delimiter}" or a line break in quotation marks, or save the file again '
                "from a spreadsheet."
            )
        rows.append(Row(str(line), {name: cell for name, cell in zip(names, record, strict=False) if name}))
        texts = {place for place, cell in enumerate(record) if isinstance(cell, str) and re.search(r"[^\W\d_]", cell)}
        nameless |= {place for place in texts if place >= len(names) or not names[place]}
    places = ", ".join(str(place + 1) for place in sorted(nameless))
    notice = f"Column {places} of {source} has text and no name in the first row, so it was not read: name it there."
    return tuple(name for name in names if name), tuple(rows), (notice,) if nameless else ()


def _column_names(record: Sequence[object], source: str) -> list[str]:
    names = ["" if cell is None else str(cell).strip().lstrip("\ufeff") for cell in record]
    while names and not names[-1]:  # Spreadsheets write separators for cells that were once in use.
        names.pop()
    for name in names:
        if name and names.count(name) > 1:
            raise SourceError(f'{source} has two columns called "{name[:40]}"; rename one of them.')
    return names


def all_columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """Names of all columns that any row has, in the order in which they come."""
    return tuple(dict.fromkeys(name for row in rows for name in row.values))
