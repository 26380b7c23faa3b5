"""Cells of a source: what a cell may hold, checked strictly, with its place where it is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.text.locales import country_code

LONGEST_LABEL = 200
"""Characters of a name: of a country, a slate, a person, a topic."""

MOST_VOTES = 1_000_000_000
"""More than that is no count of people."""

MOST = 1000
"""Of a row's weight or margin: beyond that one row would be all that is learnt."""

FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}
"""What a table without types writes for no and yes."""


def is_gap(value: Any) -> bool:
    """Whether a cell is empty: null, or the NaN that some tables write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def whole_number(value: Any) -> int | None:
    """A whole number, also one that a table wrote as 3.0 because of gaps between such; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def label(row: Mapping[str, Any], name: str, place: str) -> str:
    """A cell that names something, as text; "" where it is empty, or where there is no such column.

    Raises:
        TrainError: It is no short text on one line, and no whole number.
    """
    value = row.get(name)
    if is_gap(value):
        return ""
    number = whole_number(value)
    text = value if isinstance(value, str) else "" if number is None else str(number)
    if (not text and value != "") or len(text) > LONGEST_LABEL or not text.isprintable():
        raise TrainError(
            f"{place}, {name} = {short(value)}: it must be a text of at most {LONGEST_LABEL} characters on one line; "
            "mend that row."
        )
    return text


def country_of(row: Mapping[str, Any], place: str) -> str:
    """The cell `country` as an ISO code where it is a country's name or code, else as it stands."""
    named = label(row, "country", place)
    return country_code(named) or named


def system_text(row: Mapping[str, Any], place: str) -> str:
    """The cell `system`; "" where it is empty, or where there is no such column.

    Raises:
        TrainError: It is no text.
    """
    value = row.get("system")
    if is_gap(value):
        return ""
    if not isinstance(value, str):
        raise TrainError(f"{place}, system = {short(value)}: it is a text, or empty; mend that row.")
    return value


def picture_id(row: Mapping[str, Any], place: str) -> str:
    """The cell `image` as the id of a picture; "" where it is empty, or where there is no such column.

    Raises:
        TrainError: It is no id.
    """
    value = row.get("image")
    if is_gap(value) or value == "":
        return ""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise TrainError(f"{place}, image = {short(value)}: it is the id of a picture, or empty; mend that row.")
    return value


def votes(row: Mapping[str, Any], name: str, usual: int, place: str) -> int:
    """A count of people; `usual` where the cell is empty.

    Raises:
        TrainError: It is no whole number from 0 on.
    """
    value = _number(row.get(name))
    if value is None:
        return usual
    whole = whole_number(value)
    if whole is None or not 0 <= whole <= MOST_VOTES:
        raise TrainError(f"{place}, {name} = {short(value)}: votes are whole numbers from 0 on; mend that row.")
    return whole


def share(row: Mapping[str, Any], name: str, usual: float, place: str) -> float:
    """A weight or a margin; `usual` where the cell is empty.

    Raises:
        TrainError: It is no number from 0 to MOST.
    """
    value = _number(row.get(name))
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise TrainError(f"{place}, {name} = {short(value)}: it must be a number from 0 to {MOST}; mend that row.")
    return float(value)


def flag(row: Mapping[str, Any], name: str, place: str) -> bool:
    """Yes or no; no where the cell is empty.

    Raises:
        TrainError: It is neither.
    """
    value = row.get(name)
    known = FLAGS.get(value.strip().casefold()) if isinstance(value, str) else value
    if is_gap(value) or known in (0, 1):
        return not is_gap(value) and bool(known)
    raise TrainError(f"{place}, {name} = {short(value)}: write true or false; mend that row.")


def _number(value: Any) -> Any:
    """A cell, read as a number where a table without numbers wrote it as text; None where it is empty."""
    if isinstance(value, str):
        try:
            return json.loads(value.strip() or "null")
        except (ValueError, RecursionError):
            return value
    return value
