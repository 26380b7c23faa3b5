"""Rows of an Excel workbook (.xlsx): one sheet, formulas by the values that they last showed."""

from __future__ import annotations

import itertools
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.reading.names import names_a_field
from annotation.reading.rows import CHUNK, Limits, Row, Table, read_grid, size
from annotation.screen import Progress
from annotation.text.locales import fold

COVERS = frozenset(("instrucciones", "instructions", "instrucoes", "text", "texto", "context", "history"))
"""Names of a prompt's column that are the title of a cover as often."""

LINES = 2**20
"""What a sheet of Excel can have; a file may say that it has a thousand million."""


def read_workbook(path: Path, source: str, limits: Limits, progress: Progress, sheet: str = "") -> Table:
    """Read an .xlsx file; `source` is its name in sentences, `sheet` the one to read where somebody named it."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    with path.open("rb") as file:
        if file.read(4) == b"\xd0\xcf\x11\xe0":
            raise SourceError(f"{source} is an old Excel file or has a password; save it as .xlsx without one.")
    try:
        with zipfile.ZipFile(path) as parts:
            if sum(part.file_size for part in parts.infolist()) > limits.total:
                raise SourceError(f"{source} unpacks to more than {size(limits.total)}; split it and add the parts.")
            formulas = any(
                _holds(parts, part.filename, b"<f") for part in parts.infolist() if "worksheets/" in part.filename
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About styles and validations, which are not read.
            shown = openpyxl.load_workbook(path, read_only=True, data_only=True)
            # The formulas themselves are read as text beside the values last shown, to tell one from the other.
            written = openpyxl.load_workbook(path, read_only=True) if formulas else None
            try:
                return _read_sheets(path, source, shown, written, progress, sheet)
            finally:
                shown.close()
                if written is not None:
                    written.close()
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        NotImplementedError,
        RuntimeError,  # A part that is encrypted.
        SyntaxError,  # Both XML parsers of openpyxl raise a kind of it.
        InvalidFileException,
    ) as error:
        raise SourceError(
            f"{source} is cut off or no .xlsx file ({str(error)[:80]}); copy it again, or open and save it in a "
            "spreadsheet."
        ) from error


def _holds(parts: Any, name: str, needle: bytes) -> bool:
    with parts.open(name) as part:
        tail = b""
        for chunk in iter(lambda: part.read(CHUNK), b""):
            if needle in tail + chunk:
                return True
            tail = chunk[-len(needle) :]
    return False


def _read_sheets(path: Path, source: str, shown: Any, written: Any, progress: Progress, named: str) -> Table:
    """A sheet of a workbook that was opened once for its values and once for its formulas.

    The one that is named, else the first that has rows; but one with a single column, or two of which none is a prompt,
    is a cover where a later one has more columns and no fewer rows, or as many and names a prompt or an answer.
    """
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    computed: list[int] = []
    notices: list[str] = []
    titles = [sheet.title for sheet in shown.worksheets]
    if named and named not in titles:
        raise SourceError(f'{source} has no sheet "{named}"; it has {", ".join(titles)}.')
    title = titles[0] if titles else ""
    for number, sheet in enumerate(shown.worksheets):
        if named and sheet.title != named:
            continue
        formulas = list[int]()
        records = _records(
            sheet, written.worksheets[number] if written is not None else None, source, formulas, progress
        )
        found, own, said = read_grid(records, source)
        more = len(found) > len(columns) and len(own) >= len(rows)
        clear, clearer = _names_prompts(columns), _names_prompts(found)
        if not columns or (more and clearer >= clear) or (clearer > clear and len(found) >= len(columns)):
            title, columns, rows, notices, computed = sheet.title, found, own, list(said), formulas
        if len(columns) > 2 or (len(columns) > 1 and _names_prompts(columns)):
            break
    if len(titles) > 1 and not named:
        others = ", ".join(f'"{other}"' for other in titles if other != title)
        notices.append(
            f'Of {len(titles)} sheets in {source}, only "{title}" was read, not {others}; FILE#SHEET names one.'
        )
    if computed:
        notices.append(
            f"Cells of {source} with a formula: {len(computed)}; the values that they last showed were read."
        )
    return Table(path.name, columns, rows, tuple(notices))


def _names_prompts(columns: Sequence[str]) -> bool:
    """Whether a head names a prompt or an answer; "Instrucciones" and "Texto" may be the title of a cover."""
    return names_a_field(name for name in columns if fold(name) not in COVERS)


def _records(
    shown: Any, written: Any, source: str, computed: list[int], progress: Progress
) -> Iterator[tuple[int, list[object]]]:
    """Line and cells of a sheet; `computed` gets the line of each cell that a formula filled."""
    shown.reset_dimensions()  # Some programs write wrong ones.
    values: Iterator[tuple[object, ...]] = shown.iter_rows(values_only=True)
    texts: Iterator[tuple[object, ...]] = itertools.repeat(())
    if written is not None:
        written.reset_dimensions()
        texts = written.iter_rows(values_only=True)
    for line, (cells, formulas) in enumerate(zip(values, texts, strict=False), 1):
        if line > LINES:
            raise SourceError(
                f"{source} has a line {LINES + 1:,}, which no spreadsheet writes; save it again from one."
            )
        record = list(cells)
        for column, formula in enumerate(formulas):
            if formula == record[column] or isinstance(formula, (int, float, bool)) or formula is None:
                continue
            text = getattr(formula, "text", formula)
            if not (isinstance(text, str) and text.startswith("=")):
                continue
            if record[column] is None:
                record[column] = text  # Never computed: the formula shows what was meant, and is dropped later.
            else:
                computed.append(line)
        yield line, record
        progress(line, note="reading")
