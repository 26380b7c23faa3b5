"""Forms of preference sets, one a file: each recognises its table, or does not.

First a table whose rows are no examples yet is put together (TABLES: a function that returns another table, or None);
then the columns with answers are looked for (ANSWERS: a function that returns what reads a row, or None).
"""

from __future__ import annotations

from collections.abc import Callable

from annotation.reading.forms.alpaca import alpaca
from annotation.reading.forms.argilla import argilla
from annotation.reading.forms.label_studio import label_studio
from annotation.reading.forms.lists import lists
from annotation.reading.forms.oasst import oasst
from annotation.reading.forms.pairs import pairs, text_in
from annotation.reading.forms.sheet import Found, Reader, Sheet
from annotation.reading.forms.sides import sides
from annotation.reading.forms.single import single
from annotation.reading.rows import Row, Table

__all__ = ["ANSWERS", "TABLES", "Found", "Reader", "Sheet", "find_reader", "put_together", "text_in"]

TABLES: tuple[Callable[[Table], Table | None], ...] = (label_studio, argilla, oasst, alpaca)
ANSWERS: tuple[Callable[[Sheet], Reader | None], ...] = (sides, pairs, lists, single)
"""The first that knows the table reads it."""


def put_together(table: Table) -> Table:
    """The table as a form makes it of one that is its own; else as it is."""
    return next((made for form in TABLES if (made := form(table)) is not None), table)


def find_reader(sheet: Sheet) -> Reader:
    """What reads the prompt, the answers and the judgements of a row; prompts alone where no form knows the table."""

    def prompts(row: Row) -> Found:
        return Found(row.values.get(sheet.of("prompt")))

    return next((reader for form in ANSWERS if (reader := form(sheet)) is not None), prompts)
