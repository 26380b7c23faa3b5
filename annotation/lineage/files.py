"""Files of a project that hold a person or a prompt, by their content or by their own names: looked for everywhere."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from annotation.lineage.snapshots import AT_ONCE

_OWN = re.compile(r"\..*|backups|ledger\.sqlite.*|secrets\.toml")
"""In the project's folder: what is blanked, and the server's files and the archives, of which is told apart."""

_NO_TEXT = {".safetensors", ".png", ".bin", ".pt", ".gguf", ".npz", ".npy", ".zip", ".jpg", ".webp"}

_AROUND = 8
"""Bytes on each side of a name that tell whether it is one."""


def files_holding(folder: Path, names: Collection[str], texts: Collection[str]) -> list[Path]:
    """Files of a project in which a name or a text stands, wherever in them; each is read as it is, part by part.

    Args:
        folder: The project's; its ledger, its secrets and what is hidden in it are not looked at.
        names: User names, pseudonyms and ids: whole words, so that "ana" is not found in "semana".
        texts: Found wherever they stand.
    """
    names, texts = list(filter(None, names)), list(filter(None, texts))
    own = (place for place in sorted(folder.iterdir()) if not _OWN.fullmatch(place.name))
    found = (path for place in own for path in (sorted(place.rglob("*")) if place.is_dir() else [place]))
    return [
        path
        for path in found
        if path.is_file()
        and not path.is_symlink()
        and (_is_named(str(path.relative_to(folder)), names) or _holds(path, names, texts))
    ]


def _is_named(path: str, names: Collection[str]) -> bool:
    return any(re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", path) for name in names)


def _holds(path: Path, names: Collection[str], texts: Collection[str]) -> bool:
    if path.suffix in _NO_TEXT:
        return False
    if path.suffix == ".parquet":
        return _table_holds(path, names, texts)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(_stands(content, form) for text in texts for form in _forms(text)) or any(
                _stands(content, form, word=True) for name in names for form in _forms(name)
            )
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def _forms(text: str) -> set[bytes]:
    """As it stands, and as JSON writes it."""
    return {form.encode() for form in (text, *(json.dumps(text, ensure_ascii=a)[1:-1] for a in (False, True)))}


def _stands(content: mmap.mmap | bytes, form: bytes, *, word: bool = False) -> bool:
    at = content.find(form)
    while at >= 0:
        end = at + len(form)
        if not word or _is_word(content[max(0, at - _AROUND) : at], content[end : end + _AROUND]):
            return True
        at = content.find(form, at + 1)
    return False


def _is_word(before: bytes, after: bytes) -> bool:
    """Whether what stands between them is a whole name: "ana" is none in "semana", and none in "ana.torres"."""
    left, right = (re.sub(r"\\(u[0-9a-f]{4}|.)", _unescaped, part.decode(errors="ignore")) for part in (before, after))
    return not (re.search(r"\w[.-]?\Z", left) or re.match(r"[.-]?\w", right))


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1][1:], 16)) if len(escape[1]) > 1 else " "


def _table_holds(path: Path, names: Collection[str], texts: Collection[str]) -> bool:
    """Whether a column of texts holds one of them; columns of numbers are not read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def rows_with(column: Any, name: str) -> list[str]:
        rows: list[str] = column.filter(pc.match_substring(column, name)).to_pylist()
        return rows

    try:
        with pq.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if not pa.types.is_primitive(field.type)]
            for batch in file.iter_batches(AT_ONCE, columns=columns):
                for column in chain.from_iterable(map(_columns, batch.columns)):
                    if any(pc.any(pc.match_substring(column, text)).as_py() for text in texts):
                        return True
                    if any(_stands(row.encode(), n.encode(), word=True) for n in names for row in rows_with(column, n)):
                        return True
    except (pa.ArrowException, OSError):
        return False
    return False


def _columns(column: Any) -> Iterator[Any]:
    """The columns of texts in a column, which may be lists or records of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        yield column
    elif pa.types.is_list(column.type):
        yield from _columns(pc.list_flatten(column))
    elif pa.types.is_struct(column.type):
        for part in column.flatten():
            yield from _columns(part)
