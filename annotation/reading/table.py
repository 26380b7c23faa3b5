"""Tables: the rows of a file or a Hub dataset are read as written; nothing is interpreted, nothing is executed.

A damaged file raises SourceError with its name, the place, the reason and the remedy. No file, however made, takes more
memory than its format needs for `Limits.total` bytes: sizes are checked while reading, before anything is unpacked.
"""

from __future__ import annotations

import contextlib
import difflib
from pathlib import Path

from annotation.errors import SourceError
from annotation.reading.excel import read_workbook
from annotation.reading.hub import HUB_NAME, read_dataset
from annotation.reading.parquet import read_parquet_file
from annotation.reading.rows import Limits, Table
from annotation.reading.text import read_text_file
from annotation.screen import Progress, silent

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")
"""What a file name may end in; the text formats also with .gz behind it."""


def read_table(source: str, *, limits: Limits | None = None, progress: Progress = silent) -> Table:
    """Read a file, or a dataset of the Hub when there is no such file and the name looks like owner/name.

    `FILE.xlsx#SHEET` names a sheet of a workbook.

    Raises:
        SourceError: It is not there, is in no known format, is damaged, too large, or holds no rows.
    """
    limits = limits or Limits()
    path, sheet = Path(source).expanduser(), ""
    if not path.exists() and ".xlsx#" in source:
        source, _, sheet = source.rpartition("#")
        path = Path(source).expanduser()
    if not path.exists():
        if HUB_NAME.fullmatch(source) and not _format(Path(source.partition(":")[0])):
            return read_dataset(source, limits=limits, progress=progress)
        raise SourceError(f"There is no file {source}; {_nearest(path)}")
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
            table = read_parquet_file(path, source, limits)
        elif suffix == ".xlsx":
            table = read_workbook(path, source, limits, progress, sheet)
        else:
            table = read_text_file(path, source, suffix, limits)
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
            return f'did you mean "{near[0]}"?'
    return "check the name and the folder."
