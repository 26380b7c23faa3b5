"""Pictures of a source, as they stand there: a folder, a table that names files, or a dataset that holds pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from annotation.errors import SourceError
from annotation.files import is_within
from annotation.images.columns import PictureColumns, picture_columns
from annotation.images.refine import Refusal
from annotation.reading.cells import as_text, unpacked
from annotation.reading.hub import HUB_NAME, load_splits
from annotation.reading.parquet import text_columns
from annotation.reading.pictures import dataset_rows, parquet_rows
from annotation.reading.rows import Row
from annotation.reading.table import FORMATS as TABLES
from annotation.reading.table import read_table
from annotation.reading.use import FOR_EVALUATION, is_for_evaluation
from annotation.screen import Progress, silent
from annotation.text.clean import clean_label

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Of names of pictures in a folder; what is in them is looked at."""

REMOTE = "an address on the network"
OUTSIDE = "outside of the folder"
LINKED = "a link to a folder"

_LARGEST_GROUP = 2**30


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture as its source has it, and what that says of it, field by field, as written.

    Attributes:
        place: Where a person finds it: row or number, and the name of the file.
        content: The file, what is in it, or why there is none.
        said: "country" -> its values; so "language", "topic", "licence", "creator", "title" and "source".
    """

    place: str
    content: Path | bytes | Refusal
    said: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a source.

    Attributes:
        name: Of the folder, file or dataset.
        rows: How many files or rows it has.
        found: Its pictures, in its order; read while they are asked for.
        notices: What a person should know about how it is read.
    """

    name: str
    rows: int
    found: Iterator[FoundPicture]
    notices: tuple[str, ...] = ()


def find_pictures(source: str, columns: Mapping[str, str], progress: Progress = silent) -> Pictures:
    """Find the pictures of a source.

    Args:
        source: A folder, a picture, a table, or owner/name of a dataset on the Hub.
        columns: Field -> column of a table, where a person named it.
        progress: Gets how far the reading of a table has come.

    Raises:
        SourceError: It is not there, cannot be read, or names no pictures.
        SettingsError: `columns` names a field that does not exist.
    """
    path = Path(source).expanduser()
    if is_files(path):
        if columns:
            raise SourceError(f"{source} has no columns: --column is for tables and datasets.")
        files = list(_walk(path)) if path.is_dir() else [(path.name, path)]
        if not files:
            raise SourceError(f"{source} is empty; name a folder with pictures ({', '.join(SUFFIXES)}).")
        found = (FoundPicture(f"{n} {name}", content, {}) for n, (name, content) in enumerate(files, 1))
        return Pictures(clean_label(_told(path.resolve().name)), len(files), found)
    if path.is_file() and path.suffix.lower() == ".parquet":
        return _parquet(path, columns)
    if not path.exists() and HUB_NAME.fullmatch(source) and not source.lower().endswith((*TABLES, ".gz")):
        return _dataset(source, columns)
    table = read_table(source, progress=progress)
    slots = picture_columns(table.name, table.columns, columns)
    base = path.parent.resolve()
    return Pictures(table.name, len(table.rows), _of_rows(iter(table.rows), slots, base), table.notices)


def is_files(path: Path) -> bool:
    """Whether a source is a folder or one picture, which have no columns."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() in SUFFIXES)


def _walk(folder: Path) -> Iterator[tuple[str, Path | Refusal]]:
    """Every file below a folder by its name there, in the order of the names; hidden ones are passed over."""
    base = folder.resolve()
    closed: list[OSError] = []
    files = list[tuple[str, Path | Refusal]]()
    for place, folders, names in os.walk(base, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        links = (Path(place, name) for name in folders if os.path.islink(os.path.join(place, name)))
        files += ((str(link.relative_to(base)), Refusal(LINKED)) for link in links)
        for name in (name for name in names if not name.startswith(".")):
            path = Path(place, name)
            files.append((str(path.relative_to(base)), _in_folder(path, base)))
    files += ((os.path.relpath(p.filename, base), Refusal("cannot be read", str(p.strerror))) for p in closed)
    yield from ((clean_label(_told(name)), content) for name, content in sorted(files, key=lambda file: file[0]))


def _in_folder(path: Path, base: Path) -> Path | Refusal:
    if path.suffix.lower() not in SUFFIXES:
        return Refusal("no picture by its name", path.suffix.lower()[:10])
    if path.is_symlink() and not is_within(path, base):
        return Refusal(OUTSIDE, "a link that leads there")
    return path


def _told(name: str) -> str:
    """A name of the file system as text: bytes that are none become question marks."""
    return os.fsencode(name).decode(errors="replace")


def _of_rows(rows: Iterator[Row], slots: Sequence[PictureColumns], base: Path | None) -> Iterator[FoundPicture]:
    """The pictures of rows; one that names files, below a folder."""
    for row in rows:
        for slot in slots:
            place = f"{row.place} {slot.label}".strip()
            said = {field: _values(row.values.get(column)) for field, column in slot.of.items() if field != "picture"}
            cell = row.values.get(slot.of["picture"])
            name, content = _content(cell, base)
            if is_for_evaluation(row.values):
                content = Refusal(FOR_EVALUATION)
            if name or not isinstance(content, Refusal) or not slot.label:
                yield FoundPicture(f"{place} {name}".strip(), content, said)


def _values(cell: object) -> list[str]:
    """What a cell says: one value, or those of a list in it."""
    cell = unpacked(cell)
    values = cell if isinstance(cell, list | tuple) else [cell]
    return [text for value in values if (text := clean_label(as_text(value)[:400]))]


def _content(cell: object, base: Path | None) -> tuple[str, Path | bytes | Refusal]:
    """Name of the picture that a cell holds or names, and its content."""
    if isinstance(cell, dict):
        name, held = as_text(cell.get("path")), cell.get("bytes")
        if isinstance(held, bytes) and held:
            return clean_label(name[:200]), held
        cell = name
    if isinstance(cell, bytes):
        return "", cell or Refusal("names no picture")
    name = as_text(cell).strip()
    shown = clean_label(name[:400])
    if not name:
        return "", Refusal("names no picture")
    if base is None:
        return shown, Refusal("names a file that the dataset does not hold")
    remote = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", name) is not None
    try:
        # An address whose file lies beside the table, under the name that it has there, was downloaded.
        named = base / (unquote(urlsplit(name).path.rpartition("/")[2]) if remote else name.replace("\\", "/"))
        if not is_within(named, base):
            return shown, Refusal(OUTSIDE)
        if named.is_file():
            return shown, named.resolve()
    except (OSError, ValueError):  # no file can have such a name
        pass
    return shown, Refusal(REMOTE if remote else "no such file")


def _parquet(path: Path, columns: Mapping[str, str]) -> Pictures:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path} is cut off, damaged or no parquet file ({str(error)[:80]}); copy or download it again."
        ) from error
    groups = range(file.metadata.num_row_groups)
    if any(file.metadata.row_group(n).total_byte_size > _LARGEST_GROUP for n in groups):
        raise SourceError(f"{path} has row groups of more than 1 GB; write it again with 100 rows in each.")
    readable, slots = _held(path.name, file.schema_arrow, columns)

    def rows() -> Iterator[Row]:
        last = "0"
        try:
            for row in parquet_rows(file, readable):
                last = row.place
                yield row
        except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{path} is cut off or damaged behind row {last} ({str(error)[:80]}); copy or download it again."
            ) from error

    return Pictures(path.name, file.metadata.num_rows, _of_rows(rows(), slots, path.parent.resolve()))


def _dataset(name: str, columns: Mapping[str, str]) -> Pictures:
    parts = load_splits(name)
    readable, slots = _held(name, next(iter(parts.values())).data.schema, columns)
    rows = dataset_rows(parts, readable)
    return Pictures(name, sum(len(part) for part in parts.values()), _of_rows(rows, slots, None))


def _held(name: str, schema: Any, columns: Mapping[str, str]) -> tuple[list[str], list[PictureColumns]]:
    """Columns of an Arrow table that are read, and what they mean: texts, and those that hold pictures."""
    import pyarrow as pa

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return {"bytes", "path"} <= {kind.field(number).name for number in range(kind.num_fields)}
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    images = [field.name for field in schema if holds(field.type)]
    texts = [column for column in text_columns(schema) if column not in images]
    slots = picture_columns(name, [*texts, *images], columns, images)
    return [*texts, *dict.fromkeys(slot.of["picture"] for slot in slots if slot.of["picture"] in images)], slots
