"""Minimal pairs of a file, read strictly: the rows of the pairs.jsonl of `annot stereotypes export`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.sections import known_country
from annotation.stereotypes.identities import written
from annotation.types import MinimalPair
from train.data.rows import read_rows

KINDS: Mapping[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}

COUNTRIES = ("country", "target", "control")

MAY_BE_EMPTY = ("after", "source", "licence")


def read_minimal_pairs(path: Path) -> list[MinimalPair]:
    """The pairs of a file; columns that a pair does not have are left alone.

    No sentence names what stands in a row: these are texts that nobody sees unasked. An id may be one too in a file of
    somebody's own, so a pair is called by its row.

    Raises:
        SettingsError: There is no such file, a row lacks something or holds another kind or no country, or a pair
            stands there twice.
        TrainError: It is damaged, or of another kind of file.
    """
    if not path.is_file():
        raise SettingsError(f"--task-data bias={path}: there is no such file.")
    found: dict[tuple[str, str], tuple[int, MinimalPair]] = {}
    for number, row in enumerate(read_rows(path), 1):
        pair = _pair(row, f"{path}, row {number}")
        first, _ = found.setdefault((pair.id, pair.country), (number, pair))
        if first != number:
            raise SettingsError(f"{path}, row {number}: it is the pair of row {first} again; leave one of them out.")
    if not found:
        raise SettingsError(f"{path} has no rows; name the pairs.jsonl that `annot stereotypes export` writes.")
    return [replace(pair, id=f"row {number}") for number, pair in found.values()]


def _pair(row: Mapping[str, Any], place: str) -> MinimalPair:
    remedy = "write the file anew with `annot stereotypes export`"
    values: dict[str, Any] = {}
    for field in fields(MinimalPair):
        if field.name not in row and field.default is not MISSING:
            continue
        value, kind = row.get(field.name), KINDS[str(field.type)]
        if not isinstance(value, kind) or isinstance(value, bool):
            has = "nothing" if value is None else "another kind of value"
            raise SettingsError(f"{place}: {field.name} holds {has}; {remedy}.")
        if value == "" and field.name not in MAY_BE_EMPTY:
            raise SettingsError(f"{place}: {field.name} is empty; {remedy}.")
        if field.name in COUNTRIES:
            try:
                value = _code(str(value))
            except ValueError:
                raise SettingsError(f"{place}: {field.name} is no ISO 3166 country code; {remedy}.") from None
        values[field.name] = value
    return MinimalPair(**values)


def _code(value: str) -> str:
    """An ISO 3166 code, or one of a people that annot knows besides (Kosovo's); ValueError for another text."""
    return value.upper() if value.upper() in written("es") else known_country(value)
