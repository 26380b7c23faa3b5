"""Rows of text files: csv, tsv, JSON and JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from annotation.errors import SourceError
from annotation.reading.encoding import find_encoding
from annotation.reading.names import names_a_field
from annotation.reading.rows import Limits, Row, Table, all_columns, read_grid

SPLITS = frozenset(("train", "test", "validation", "valid", "val", "dev", "eval", "train_prefs", "test_prefs"))
"""Keys of a document with all splits of a dataset: all are read."""

SAMPLE = 200
"""Lines of a table by which its separator is found."""

ROWS_UNDER = ("data", "rows", "prompts", "questions", "examples", "items", "records", "train")
"""Keys under which a JSON document keeps its list of rows."""


Read = tuple[tuple[str, ...], tuple[Row, ...], tuple[str, ...]]
"""Columns, rows and notices."""


def read_text_file(path: Path, source: str, suffix: str, limits: Limits) -> Table:
    """Read a text file, packed with gzip or not; `source` is its name in sentences."""
    opened: IO[bytes]
    with path.open("rb") if path.suffix.lower() != ".gz" else gzip.open(path) as opened:  # type: ignore[assignment]
        try:
            encoding, notices = find_encoding(opened, source, suffix, limits)
            opened.seek(0)
            with io.TextIOWrapper(opened, encoding=encoding, newline="") as text:
                if suffix in (".csv", ".tsv"):
                    columns, rows, more = _read_delimited(text, source, suffix, limits)
                    notices = (*notices, *more)
                else:
                    read = _read_json if suffix == ".json" else _read_json_lines
                    columns, rows, more = read(text, source)
                    notices = (*notices, *more)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"{source} is cut off or no gzip file ({error}); copy or download it again.") from error
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{source} is not whole {encoding.upper()} text ({error.reason}); save it again as UTF-8."
            ) from error
    return Table(path.name, columns, rows, notices)


def _read_delimited(text: Iterable[str], source: str, suffix: str, limits: Limits) -> Read:
    lines = iter(text)
    head = list(itertools.islice(lines, SAMPLE))
    skipped = 0
    if named := re.fullmatch(
        r"sep=(.)\s*", head[0] if head else ""
    ):  # What Excel writes where a comma is no separator.
        del head[0]
        skipped = 1
    delimiter = named[1] if named else _delimiter(head, "\t" if suffix == ".tsv" else "")
    csv.field_size_limit(limits.line)
    # Strict: a quotation mark that is not closed is an error, not the rest of the file in one cell.
    reader = csv.reader(itertools.chain(head, lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    before = skipped

    def records() -> Iterator[tuple[int, list[str]]]:
        nonlocal before
        for record in reader:
            line, before = before + 1, reader.line_num + skipped
            yield line, record

    try:
        return read_grid(records(), source, delimiter)
    except csv.Error as error:
        raise SourceError(
            f"{source}, line {before + 1} opens a quotation mark that is not closed as it should be "
            f"({error}); double the quotation marks inside a cell, or save the file again from a spreadsheet."
        ) from None


def _delimiter(lines: Sequence[str], usual: str) -> str:
    """The separator by which most of the first lines have as many cells as the widest, and two at least.

    None that any text has where the head is the name of a prompt's column alone.
    """
    if lines and names_a_field([lines[0].strip().strip('"')]):
        return "\x1f"

    def fits(delimiter: str) -> tuple[float, bool, int]:
        try:
            records = [record for record in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if record]
        except csv.Error:
            return 0.0, False, 0
        widths = Counter(len(record) for record in records[: max(1, len(records) - (len(lines) == SAMPLE))])
        width, times = max(widths.items(), key=lambda one: (one[0] > 1, one[1], one[0]), default=(0, 0))
        return (times / widths.total() if width > 1 else 0.0), delimiter == usual, width

    return max(",;\t|", key=fits)


def _read_json_lines(text: Iterable[str], source: str) -> Read:
    rows = list[Row]()
    lines = enumerate(text, 1)
    for number, line in lines:
        if not rows and line.strip().startswith("[") and not line.strip().endswith("]"):
            rest = "".join([line, *(more for _, more in lines)])  # JSON under the name of JSON lines.
            return _read_json(io.StringIO(rest), source)
        if line.strip():
            if not rows and line.strip().startswith("[") and isinstance(_parse(line, source, number), list):
                return _read_json(io.StringIO(line), source)
            rows.append(_json_row(str(number), _parse(line, source, number), f"{source}, line {number}"))
    return all_columns(rows), tuple(rows), ()


def _read_json(text: IO[str], source: str) -> Read:
    content = text.read()
    lines = content.split("\n", 2)
    if len(lines) > 1 and lines[1].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
        return _read_json_lines(content.split("\n"), source)  # JSON lines under the name of JSON.
    document, notices = _rows_in(_parse(content, source), source)
    items: Iterable[tuple[object, Any]]
    if isinstance(document, list):
        items = enumerate(document, 1)
    elif isinstance(document, dict) and _is_by_column(document):
        numbers = list(next(iter(document.values())))
        items = [(number, {column: cells[number] for column, cells in document.items()}) for number in numbers]
    elif isinstance(document, dict) and all(isinstance(value, dict) for value in document.values()):
        items = document.items()
    else:
        raise SourceError(
            f"{source} holds no rows that annot knows; write a list of objects, an object of objects, or "
            '{"data": [...]}.'
        )
    rows = [_json_row(str(key), value, f"{source}, item {key}") for key, value in items]
    return all_columns(rows), tuple(rows), notices


def _rows_in(document: Any, source: str) -> tuple[Any, tuple[str, ...]]:
    """The rows of a document, under a key, by split, or as pandas and the Hub's server write tables; and a notice."""
    if not isinstance(document, dict):
        return document, ()
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, columns), row, strict=False)) for row in data], ()  # pandas, orient="split"
    lists = {key: cells for key, cells in document.items() if isinstance(cells, list)}
    tables = {key: rows for key, rows in lists.items() if rows and all(isinstance(row, dict) for row in rows)}
    alike = len({len(cells) for cells in lists.values()}) == 1
    if len(tables) > 1 and tables.keys() <= SPLITS:
        return [row for rows in tables.values() for row in rows], ()
    by_column = lists and len(lists) == len(document) and alike
    if by_column and not (tables.keys() == lists.keys() and tables.keys() & {*ROWS_UNDER}):
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)], ()  # column -> cells
    under = next((key for key in ROWS_UNDER if key in lists), None)
    if under is None:
        return document, ()
    rows, notices = lists[under], list[str]()
    if all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows):
        cut = [row.get("truncated_cells") or () for row in rows]
        rows = [
            {name: cell for name, cell in row["row"].items() if name not in gone}
            for row, gone in zip(rows, cut, strict=True)
        ]
        if any(cut):
            notices.append(
                f"Cells of {source} that the server cut short, and that were not read: {sum(map(len, cut))}; the "
                "dataset itself (owner/name) has them whole."
            )
    others = ", ".join(f'"{key}" ({len(table)})' for key, table in tables.items() if key != under)
    if others:
        notices.append(f'Of {source} only the rows under "{under}" were read, not those under {others}.')
    return rows, tuple(notices)


def _is_by_column(document: dict[str, Any]) -> bool:
    """Whether it is column -> {row: value}, as pandas writes a table unless it is told otherwise."""
    tables = list(document.values())
    return (
        all(isinstance(cells, dict) and cells for cells in tables)
        and (all(key.isdecimal() for cells in tables for key in cells) or names_a_field(document))
        and all(cells.keys() == tables[0].keys() for cells in tables)
        and not all(column.isdecimal() for column in document)
    )


def _parse(text: str, source: str, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{source}, line {line or error.lineno}, column {error.colno} is no valid JSON ({error.msg}); mend that "
            "place, or export the file again."
        ) from None
    except (RecursionError, ValueError) as error:
        place = source if line is None else f"{source}, line {line}"
        raise SourceError(f"{place} holds JSON that nobody means ({error}); export the file again.") from None


def _json_row(place: str, value: object, where: str) -> Row:
    if isinstance(value, str):
        return Row(place, {"prompt": value})
    if not isinstance(value, dict):
        raise SourceError(f'{where} is no object with columns; write it as {{"prompt": ...}}.')
    return Row(place, value)
