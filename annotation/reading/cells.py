"""Values of cells: text, numbers, yes or no, and lists that a table holds as text."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from collections.abc import Mapping

from annotation.text.locales import fold

LONGEST_REPR = 2**20
"""Characters of a list as Python writes it that are still taken apart."""

LARGEST = 1e15
"""No number in a table of answers comes near; beyond it whole numbers are no floats."""

_TRUE = frozenset(
    ("true", "yes", "si", "sim", "verdadero", "verdadeiro", "t", "y", "s", "x", "1", "👍", "✓", "✔", "✅")
)
_FALSE = frozenset(("false", "no", "nao", "falso", "f", "n", "0", "👎", "✗", "✘", "❌"))
_MISSING = frozenset(("", "nan", "none", "null", "n/a", "na", "nat", "<na>", "-"))
_CONSTANTS = {"nan": "None", "null": "None", "NaN": "None", "true": "True", "false": "False"}


def as_text(cell: object) -> str:
    """Write a cell as text: numbers as they look, a list of one as its item, nothing and NaN as ""."""
    if isinstance(cell, str):
        return cell
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, list):
        return as_text(cell[0]) if len(cell) == 1 else ""
    return "" if isinstance(cell, dict) else str(cell)


def is_missing(cell: object) -> bool:
    """Whether a cell holds nothing: blank, NaN, an empty list, or a word that programs write for nothing."""
    if isinstance(cell, str):
        return cell.strip().casefold() in _MISSING
    return cell is None or cell != cell or (isinstance(cell, list | dict | tuple) and not cell)


def as_number(cell: object) -> float | None:
    """A number, also as text, with a decimal comma, as an ordinal ("1º", "#1") or out of something ("4/5")."""
    if isinstance(cell, bool) or cell is None or cell != cell:
        return None
    if isinstance(cell, int | float):
        return float(cell) if abs(cell) < LARGEST else None
    found = re.fullmatch(
        r"\s*#?([-+]?\d{1,9}(?:[.,]\d{1,20})?)\.?(?:[ºª°]|st|nd|rd|th)?(?:\s*(?:/|of|de)\s*\d+)?\s*", as_text(cell)
    )
    return float(found[1].replace(",", ".")) if found else None


def as_truth(cell: object) -> bool | None:
    """Yes or no, in words or as 1 and 0; None for anything else."""
    text = as_text(cell).strip()
    word = fold(text) or text
    return True if word in _TRUE else False if word in _FALSE else None


def unpacked(cell: object) -> object:
    """A list or an object that a cell holds as text, as JSON or as Python or numpy write it; else the cell."""
    if not isinstance(cell, str) or not re.match(r"\s*[\[{]", cell) or cell.rstrip()[-1] not in "]}":
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return _from_repr(cell) if len(cell) <= LONGEST_REPR else cell


def _from_repr(text: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes
            return ast.literal_eval(_with_commas(text.strip()))
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, MemoryError, RecursionError):
        return text


def _with_commas(text: str) -> str:
    """Python's way of writing: numpy has no commas between the items of a list, and other words for nothing."""
    pieces, before = [], ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            continue
        begins = token.type in (tokenize.STRING, tokenize.NUMBER, tokenize.NAME) or token.string in ("{", "[")
        if begins and before and before not in ",:([{-+":
            pieces.append(",")
        pieces.append(_CONSTANTS.get(token.string, token.string))
        before = token.string[-1:]
    return " ".join(pieces)


def first_of(values: Mapping[str, object], names: tuple[str, ...]) -> object:
    """The first of some keys, folded, under which an object has something; None without any."""
    folded = {fold(str(key)): value for key, value in values.items()}
    return next((folded[name] for name in names if not is_missing(folded.get(name))), None)
