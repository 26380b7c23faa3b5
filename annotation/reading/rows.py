"""Rows and tables that every reader returns, and the limits that every reader keeps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.errors import SourceError
from annotation.reading.names import names_a_field

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


HEAD = 20
"""First lines of a table, among which its head is looked for."""


def read_grid(
    records: Iterable[tuple[int, Sequence[object]]], source: str, delimiter: str = ""
) -> tuple[tuple[str, ...], tuple[Row, ...], tuple[str, ...]]:
    """Columns, rows and notices of lines of cells.

    The first line that is not blank names the columns, but for titles above it: lines with one cell where the next have
    more. Names may stand in two lines, where the first has gaps (merged cells) that the second fills. With a delimiter
    all lines must be as long.
    """
    lines = ((line, record) for line, record in records if any(map(_filled, record)))
    first = list(itertools.islice(lines, HEAD))
    skip = _titles([record for _, record in first])
    notices = []
    if skip:
        said = " ".join(str(cell).strip() for _, record in first[:skip] for cell in record if _filled(cell))
        notices.append(f'Above the head of {source} stands "{said[:60]}"; it was not read.')
    if not first:
        return (), (), ()
    head, body = first[skip][1], first[skip + 1 :]
    if (merged := _merged(head, [record for _, record in body])) is not None:
        head, body = merged, body[1:]
    names = _column_names(head, source)
    rows: list[Row] = []
    nameless = set[int]()
    for line, record in itertools.chain(body, lines):
        if delimiter and (any(str(cell).strip() for cell in record[len(names) :]) or len(record) < len(names)):
            raise SourceError(
                f"{source}, line {line} does not fit the header (cells: {len(record)}, columns: {len(names)}); "
                f'put cells that hold "{delimiter}" or a line break in quotation marks, or save the file again '
                "from a spreadsheet."
            )
        rows.append(Row(str(line), {name: cell for name, cell in zip(names, record, strict=False) if name}))
        texts = {place for place, cell in enumerate(record) if isinstance(cell, str) and re.search(r"[^\W\d_]", cell)}
        nameless |= {place for place in texts if place >= len(names) or not names[place]}
    if nameless:
        places = ", ".join(str(place + 1) for place in sorted(nameless))
        notices.append(
            f"Column {places} of {source} has text and no name in the head, so it was not read: name it there."
        )
    return tuple(name for name in names if name), tuple(rows), tuple(notices)


def _filled(cell: object) -> bool:
    return cell is not None and bool(str(cell).strip())


def _titles(records: Sequence[Sequence[object]]) -> int:
    """How many lines stand above the head: those with fewer cells than the line that names a prompt or an answer; where
    none does, those with one cell, if the line after them has two or more.
    """
    widths = [sum(map(_filled, record)) for record in records]
    named = next((place for place, record in enumerate(records) if names_a_field(record)), None)
    if named is not None and max(widths[:named], default=0) < widths[named]:
        return named
    above = next((place for place, width in enumerate(widths) if width > 1), 0)
    # A head of one name above a wider table is a head; a title is followed by a head and by rows that are as wide.
    if not above or len(widths) < above + 2 or max(widths[above + 1 :]) < 2:
        return 0
    head = records[above]
    return above if all(isinstance(cell, str) and len(cell) <= 200 for cell in head if _filled(cell)) else 0


def _merged(head: Sequence[object], body: Sequence[Sequence[object]]) -> list[object] | None:
    """Names in two lines: gaps of the first that the second fills; where that has gaps, the first has names."""
    if len(body) < 2:
        return None
    below = list(body[0])
    wide = max(len(head), len(below))
    upper, lower = ([*record, *[None] * (wide - len(record))] for record in (head, below))
    gaps = [place for place in range(1, wide) if not _filled(upper[place]) and _filled(lower[place])]
    whole = [place for place in range(wide) if _filled(upper[place]) and not _filled(lower[place])]
    short = all(isinstance(cell, str) and len(cell) <= 60 for cell in lower if _filled(cell))
    if not gaps or not short or not (whole or _filled(upper[0])):
        return None
    if not whole and any(len(str(cell)) > 25 for cell in lower if _filled(cell)):
        return None  # A row of the table, whose column has no name.
    if not whole and len({str(cell).strip() for cell in lower}) == wide:
        return [str(cell).strip() for cell in lower]  # Every column has a name of its own; above are only groups.
    names: list[object] = []
    group = ""
    for place in range(wide):
        if _filled(upper[place]):
            group = str(upper[place]).strip()
        own = str(lower[place]).strip() if _filled(lower[place]) else ""
        begins_group = place + 1 in gaps or place in gaps
        names.append(f"{group} {own}" if own and begins_group else own or (group if _filled(upper[place]) else ""))
    return names


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
