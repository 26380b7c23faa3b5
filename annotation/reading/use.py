"""Rows that measure models and never train one: marked by `use`, in a column or in an object of the row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from annotation.reading.cells import unpacked
from annotation.text.locales import fold
from annotation.types import EVALUATION_ONLY

FOR_EVALUATION = "for evaluation only"
"""Reason against such a row wherever examples are read."""

WHY = (
    f'marked use = "{EVALUATION_ONLY}": they measure what models say of people, and a model that has seen them can no '
    "longer be measured with them"
)
"""Middle of a sentence that refuses such rows."""

_SPELLINGS = frozenset(("evaluationonly", "evalonly"))
_PACKED = re.compile(r"""\s*[\[{].*?["']use\\*["']\s*:""", re.IGNORECASE | re.DOTALL)


def is_for_evaluation(values: Mapping[str, object]) -> bool:
    """Whether a row says that it is for evaluation only, in any spelling of it and at any depth."""
    waiting: list[object] = [values]
    while waiting:
        told = waiting.pop()
        if isinstance(told, Mapping):
            if any(str(key).strip().casefold() == "use" and _is_named(value) for key, value in told.items()):
                return True
            waiting += told.values()
        elif isinstance(told, list | tuple):
            waiting += told
        elif isinstance(told, str):
            waiting.append(_unpacked(told))
    return False


def _unpacked(cell: str) -> object:
    found = unpacked(cell) if _PACKED.match(cell) else None
    return None if isinstance(found, str) else found


def _is_named(value: object) -> bool:
    values: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(one, str) and fold(one[:40]).replace(" ", "") in _SPELLINGS for one in values)
