"""The rows of a file or of a Hub dataset, as they stand there: nothing is interpreted, nothing is executed.

A damaged file raises SourceError with its name, the place, the reason and the remedy. No file, however made, takes more
memory than its format needs for `Limits.total` bytes: sizes are checked while reading, before anything is unpacked.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import gzip
import io
import itertools
import json
import logging
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from annotation.errors import SourceError
from annotation.screen import Progress, silent

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")
"""What a file name may end in; the text formats also with .gz behind it."""

CHUNK = 2**20
HUB_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*/[\w-]+(?:\.[\w-]+)*(?::[\w.-]+)?")
ROWS_UNDER = ("data", "rows", "prompts", "questions", "examples", "items", "records", "train")
"""Keys under which a JSON document keeps its list of rows."""

MAGIC = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Excel file",
    b"%PDF": "a PDF",
    b"SQLite f": "a database",
}

# What Windows-1252 text in Spanish, Portuguese, French, Catalan or English holds beyond ASCII.
WESTERN = frozenset("áéíóúüñàâãêôõçèìòùëïîûœÁÉÍÓÚÜÑÀÂÃÊÔÕÇÈÌÒÙËÏÎÛŒ¿¡ªº°«»“”‘’–—…•·´¨€£§©®½¼¾²³×\xa0\xad")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a source may weigh, in bytes.

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


def read_table(source: str, *, limits: Limits | None = None, progress: Progress = silent) -> Table:
    """Read a file, or a dataset of the Hub when there is no such file and the name looks like owner/name.

    Raises:
        SourceError: It is not there, is in no known format, is damaged, too large, or holds no rows.
    """
    limits = limits or Limits()
    path = Path(source).expanduser()
    if not path.exists():
        if HUB_NAME.fullmatch(source) and not _format(Path(source.partition(":")[0])):
            return read_dataset(source, limits=limits, progress=progress)
        raise SourceError(f"There is no file {source}; {_nearest(path)}.")
    if path.is_dir():
        raise SourceError(f"{source} is a folder; name a file in it ({', '.join(FORMATS)}).")
    if not path.is_file():
        raise SourceError(f"{source} is no regular file; copy what it holds into one.")
    suffix = _format(path)
    if suffix is None:
        raise SourceError(
            f"{source} has a format that annot does not read; save it as one of {', '.join(FORMATS)} (text also .gz)."
        )
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{source} is empty; save it again with a header and at least one row.")
        if suffix == ".parquet":
            table = _read_parquet(path, source, limits)
        elif suffix == ".xlsx":
            table = _read_xlsx(path, source, limits, progress)
        else:
            table = _read_text(path, source, suffix, limits)
    except PermissionError:
        raise SourceError(f"{source} may not be read by you; ask its owner, or run `chmod u+r` on it.") from None
    except OSError as error:
        raise SourceError(
            f"{source} cannot be read ({error.strerror or error}); check the disk or copy it again."
        ) from error
    if not table.rows:
        raise SourceError(f"{source} holds no rows below its header; save it again with at least one.")
    return table


def _format(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
        if suffixes and suffixes[-1] in (".parquet", ".xlsx"):
            return None
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else None


def _nearest(path: Path) -> str:
    with contextlib.suppress(OSError):
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
        if near := difflib.get_close_matches(path.name, names, n=1):
            return f'did you mean "{near[0]}"'
    return "check the name and the folder"


# -- text ---------------------------------------------------------------------------------------------------


def _read_text(path: Path, source: str, suffix: str, limits: Limits) -> Table:
    opened: IO[bytes]
    with path.open("rb") if path.suffix.lower() != ".gz" else gzip.open(path) as opened:  # type: ignore[assignment]
        try:
            encoding, notices = _scan(opened, source, suffix, limits)
            opened.seek(0)
            with io.TextIOWrapper(opened, encoding=encoding, newline="") as text:
                if suffix in (".csv", ".tsv"):
                    columns, rows = _read_delimited(text, source, suffix, limits)
                elif suffix == ".json":
                    columns, rows = _read_json(text, source)
                else:
                    columns, rows = _read_json_lines(text, source)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"{source} is cut off or no gzip file ({error}); copy or download it again.") from error
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{source} is not whole {encoding.upper()} text ({error.reason}); save it again as UTF-8."
            ) from error
    return Table(path.name, columns, rows, notices)


def _scan(file: IO[bytes], source: str, suffix: str, limits: Limits) -> tuple[str, tuple[str, ...]]:
    """Go through the bytes once: sizes, encoding, and signs that this is no text. Holds one chunk at a time."""
    first = file.read(CHUNK)
    if not first:
        raise SourceError(f"{source} is empty; save it again with a header and at least one row.")
    for magic, kind in MAGIC.items():
        if first.startswith(magic):
            raise SourceError(
                f"{source} is named {suffix} but is {kind}; export it as {suffix}, or rename it to what it is."
            )
    wide = _wide_encoding(first)
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, line, run, broken = 0, 1, 0, 0
    for chunk in itertools.chain([first], iter(lambda: file.read(CHUNK), b"")):
        pieces = chunk.splitlines()
        # A JSON document may stand in one line; the limit on the whole file holds for it.
        if suffix != ".json" and max(run + len(pieces[0]), max(map(len, pieces[1:]), default=0)) > limits.line:
            over = next(n for n, piece in enumerate(pieces) if len(piece) + (0 if n else run) > limits.line)
            raise SourceError(
                f"{source}, line {line + over} is longer than {_size(limits.line)}, as no prompt is; check that this "
                "is the file you mean, and that its lines end."
            )
        total += len(chunk)
        if total > limits.total:
            raise SourceError(f"{source} holds more than {_size(limits.total)} of text; split it and add the parts.")
        if wide is None:
            if (at := chunk.find(0)) >= 0:
                raise SourceError(
                    f"{source}, line {line + chunk.count(10, 0, at)} holds a NUL byte: it is damaged or no text; "
                    "save it again as UTF-8 text."
                )
            if not broken:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    broken = line + error.object[: error.start].count(10)
        run = 0 if chunk[-1] in b"\r\n" else len(pieces[-1]) + (run if len(pieces) == 1 else 0)
        line += chunk.count(10)
    if wide is not None:
        return wide, ()
    if not broken:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            broken = line
    return _western_encoding(file, source, broken) if broken else ("utf-8-sig", ())


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 and UTF-32 by their mark, UTF-16 also by the zeros between ASCII letters; None for anything else."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0:4096:2], head[1:4096:2]
    if len(odd) >= 8:
        if odd.count(0) > 0.6 * len(odd) and even.count(0) < 0.1 * len(even):
            return "utf-16-le"
        if even.count(0) > 0.6 * len(even) and odd.count(0) < 0.1 * len(odd):
            return "utf-16-be"
    return None


def _western_encoding(file: IO[bytes], source: str, line: int) -> tuple[str, tuple[str, ...]]:
    """Accept Windows-1252, what a Western European spreadsheet writes; refuse what only might be it.

    A guess that is wrong would put wrong letters into every prompt, so two things must hold: the file is not mostly
    UTF-8 (then it is damaged), and nine of ten of its letters beyond ASCII are ones that Spanish, Portuguese or English
    use.
    """
    file.seek(0)
    whole = other = expected = 0
    for chunk in iter(lambda: file.read(CHUNK), b""):
        whole += len(re.findall(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", chunk))
        letters = re.sub(rb"[\x00-\x7f]+", b"", chunk).decode("cp1252", errors="replace")
        other += len(letters)
        expected += sum(letter in WESTERN for letter in letters)
    if 4 * whole > other:
        raise SourceError(
            f"{source}, line {line} is damaged: it is not UTF-8 although most of the file is; mend that line, or save "
            "the file again as UTF-8."
        )
    if expected < 0.9 * other:
        raise SourceError(
            f"{source}, line {line} is neither UTF-8 nor Windows-1252; open the file with the program that wrote it "
            'and save it as UTF-8 (in a spreadsheet: "CSV UTF-8").'
        )
    notice = (
        f"{source} is not UTF-8 (line {line}); it was read as Windows-1252. If accents look wrong, save it as UTF-8."
    )
    return "cp1252", (notice,)


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count} bytes"


# -- csv and tsv --------------------------------------------------------------------------------------------


def _read_delimited(
    text: Iterable[str], source: str, suffix: str, limits: Limits
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    lines = iter(text)
    first, skipped = next(lines, ""), 0
    if named := re.fullmatch(r"sep=(.)\s*", first):  # What Excel writes where a comma is no separator.
        first, skipped = next(lines, ""), 1
    delimiter = "\t" if suffix == ".tsv" else named[1] if named else _delimiter(first)
    csv.field_size_limit(limits.line)
    # Strict: a quotation mark that is not closed is an error, not the rest of the file in one cell.
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    header: list[str] = []
    rows: list[Row] = []
    before = 0
    try:
        for record in reader:
            line, before = before + skipped + 1, reader.line_num
            if not any(cell.strip() for cell in record):
                continue
            if not header:
                header = _header(record, source)
                continue
            if any(cell.strip() for cell in record[len(header) :]) or len(record) < len(header):
                raise SourceError(
                    f"{source}, line {line} does not fit the header (cells: {len(record)}, columns: {len(header)}); "
                    f'put cells that hold "{delimiter}" or a line break in quotation marks, or save the file again '
                    "from a spreadsheet."
                )
            rows.append(Row(str(line), {name: cell for name, cell in zip(header, record, strict=False) if name}))
    except csv.Error as error:
        raise SourceError(
            f"{source}, line {before + skipped + 1} opens a quotation mark that is not closed as it should be "
            f"({error}); double the quotation marks inside a cell, or save the file again from a spreadsheet."
        ) from None
    return tuple(name for name in header if name), tuple(rows)


def _delimiter(header: str) -> str:
    """Take the separator that a header line has most of, outside quotation marks."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)


def _header(record: Sequence[object], source: str) -> list[str]:
    names = ["" if cell is None else str(cell).strip().lstrip("\ufeff") for cell in record]
    while names and not names[-1]:  # Spreadsheets write separators for cells that were once in use.
        names.pop()
    for name in names:
        if name and names.count(name) > 1:
            raise SourceError(f'{source} has two columns called "{name[:40]}"; rename one of them.')
    return names


# -- json ---------------------------------------------------------------------------------------------------


def _read_json_lines(text: Iterable[str], source: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    rows = []
    for number, line in enumerate(text, 1):
        if line.strip():
            rows.append(_json_row(str(number), _parse(line, source, number), f"{source}, line {number}"))
    return _union(rows), tuple(rows)


def _read_json(text: IO[str], source: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    content = text.read()
    lines = content.split("\n", 2)
    if len(lines) > 1 and lines[1].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
        return _read_json_lines(content.split("\n"), source)  # JSON lines under the name of JSON.
    document = _parse(content, source)
    if isinstance(document, dict):
        under = next((key for key in ROWS_UNDER if isinstance(document.get(key), list)), None)
        if under is not None:
            document = document[under]
    items: Iterable[tuple[object, Any]]
    if isinstance(document, list):
        items = enumerate(document, 1)
    elif isinstance(document, dict) and all(isinstance(value, dict) for value in document.values()):
        items = document.items()
    else:
        raise SourceError(
            f"{source} holds no rows that annot knows; write a list of objects, an object of objects, or "
            '{"data": [...]}.'
        )
    rows = [_json_row(str(key), value, f"{source}, item {key}") for key, value in items]
    return _union(rows), tuple(rows)


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


def _union(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row.values))


# -- xlsx ---------------------------------------------------------------------------------------------------


def _read_xlsx(path: Path, source: str, limits: Limits, progress: Progress) -> Table:
    import warnings
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    with path.open("rb") as file:
        if file.read(4) == b"\xd0\xcf\x11\xe0":
            raise SourceError(f"{source} is an old Excel file or has a password; save it as .xlsx without one.")
    try:
        with zipfile.ZipFile(path) as parts:
            if sum(part.file_size for part in parts.infolist()) > limits.total:
                raise SourceError(f"{source} unpacks to more than {_size(limits.total)}; split it and add the parts.")
            formulas = any(
                _holds(parts, part.filename, b"<f") for part in parts.infolist() if "worksheets/" in part.filename
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About styles and validations, which are not read.
            shown = openpyxl.load_workbook(path, read_only=True, data_only=True)
            # The formulas themselves are read as text beside the values last shown, to tell one from the other.
            written = openpyxl.load_workbook(path, read_only=True) if formulas else None
            try:
                return _read_sheet(path, source, shown, written, progress)
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


def _read_sheet(path: Path, source: str, shown: Any, written: Any, progress: Progress) -> Table:
    notices: list[str] = []
    header: list[str] = []
    rows: list[Row] = []
    computed = 0
    sheets = shown.worksheets
    title = ""
    for number, sheet in enumerate(sheets):
        title = sheet.title
        sheet.reset_dimensions()  # Some programs write wrong ones.
        values: Iterator[tuple[object, ...]] = sheet.iter_rows(values_only=True)
        texts: Iterator[tuple[object, ...]] = itertools.repeat(())
        if written is not None:
            written.worksheets[number].reset_dimensions()
            texts = written.worksheets[number].iter_rows(values_only=True)
        for line, (cells, formulas) in enumerate(zip(values, texts, strict=False), 1):
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
                    computed += 1
            if not any(cell is not None and str(cell).strip() for cell in record):
                continue
            if not header:
                header = _header(record, source)
                continue
            rows.append(Row(str(line), {name: cell for name, cell in zip(header, record, strict=False) if name}))
            progress(line, note="reading")
        if header:
            break
    if len(sheets) > 1:
        notices.append(f'Of {len(sheets)} sheets in {source}, only "{title}" was read.')
    if computed:
        notices.append(f"Cells of {source} with a formula: {computed}; the values that they last showed were read.")
    return Table(path.name, tuple(name for name in header if name), tuple(rows), tuple(notices))


# -- parquet and the Hub ------------------------------------------------------------------------------------


def _read_parquet(path: Path, source: str, limits: Limits) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _readable(file.schema_arrow)
            _check_parquet_size(file.metadata, columns, source, limits)
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1024, columns=columns))
            rows = tuple(Row(str(n), values) for n, values in enumerate(itertools.chain.from_iterable(batches), 1))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise SourceError(
            f"{source} is cut off, damaged or no parquet file ({str(error)[:80]}); copy or download it again."
        ) from error
    return Table(path.name, tuple(columns), rows)


def _check_parquet_size(metadata: Any, columns: Sequence[str], source: str, limits: Limits) -> None:
    wanted = set(columns)
    total = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.path_in_schema.partition(".")[0] in wanted:
                total += chunk.total_uncompressed_size
    if total > limits.total:
        raise SourceError(f"{source} holds more than {_size(limits.total)} of text; split it and add the parts.")


def _readable(schema: Any) -> list[str]:
    """Names of the columns that can hold words: no images, no vectors."""
    import pyarrow as pa

    def words(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return words(kind.value_type) and not pa.types.is_primitive(kind.value_type)
        if pa.types.is_struct(kind):
            return all(words(kind.field(number).type) for number in range(kind.num_fields))
        return not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))

    return [field.name for field in schema if words(field.type)]


def read_dataset(name: str, *, limits: Limits | None = None, progress: Progress = silent) -> Table:
    """Read all splits of a dataset through `datasets`.

    Args:
        name: "owner/name" or "owner/name:configuration" on the Hub; whatever else `datasets.load_dataset` takes.
        limits: What it may weigh.
        progress: Told the rows.

    Raises:
        SourceError: It is not there, the Hub cannot be reached, or it cannot be read.
    """
    limits = limits or Limits()
    import datasets
    import pyarrow as pa
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # HTTPError of the client in use, whose package changes between versions.
    transport: type[BaseException] = HfHubHTTPError.__bases__[0]
    repository, _, configuration = name.partition(":")
    talkative = [logging.getLogger(library) for library in ("huggingface_hub", "datasets")]
    levels = [logger.level for logger in talkative]
    bars = datasets.are_progress_bars_disabled()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    for logger in talkative:
        logger.setLevel(logging.CRITICAL)  # Every retry would be a line; the sentence below says it once.
    try:
        if not Path(repository).exists():
            # Asked once first: `datasets` alone needs half a minute of retries to find out that nobody answers. Told to
            # be offline, it looks into its cache.
            with contextlib.suppress(OfflineModeIsEnabled):
                HfApi().dataset_info(repository, timeout=20)
        loaded = datasets.load_dataset(repository, configuration or None)
    except (datasets.exceptions.DatasetsError, transport, OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, (ConnectionError, transport)) and not isinstance(error, HfHubHTTPError):
            raise SourceError(
                f"{name} is no file here, and the Hub cannot be reached ({reason}); check the name and your "
                "connection, or download the dataset and name its file."
            ) from error
        raise SourceError(
            f"The dataset {name} cannot be loaded ({reason}); check its name (owner/name:configuration), or set "
            "HF_TOKEN if it is private."
        ) from error
    finally:
        for logger, level in zip(talkative, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for split, part in loaded.items():
        readable = _readable(part.data.schema)
        columns.update(dict.fromkeys(readable))
        part = part.select_columns(readable)
        if part.data.nbytes > limits.total:
            raise SourceError(
                f"The dataset {name} holds more than {_size(limits.total)} of text; download and split it."
            )
        number = 0
        for batch in part.with_format("arrow").iter(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                rows.append(Row(f"{split}:{number}", values))
            progress(len(rows), note="reading")
    if not rows:
        raise SourceError(f"The dataset {name} holds no rows; choose another one.")
    return Table(name, tuple(columns), tuple(rows))
