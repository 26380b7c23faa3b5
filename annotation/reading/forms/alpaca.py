"""Alpaca and its kin: an instruction, what it is about, and an output; also two outputs and a preference."""

from __future__ import annotations

from dataclasses import replace

from annotation.reading.cells import as_text
from annotation.reading.rows import Row, Table
from annotation.text.locales import fold

INSTRUCTIONS = ("instruction", "instruccion", "instrucao")
ABOUT = ("input", "context", "entrada", "contexto")


def alpaca(table: Table) -> Table | None:
    """The table with instruction and input as one prompt; None where it has no such columns."""
    names = {fold(column): column for column in reversed(table.columns)}
    instruction = next((names[name] for name in INSTRUCTIONS if name in names), "")
    about = next((names[name] for name in ABOUT if name in names), "")
    if not (instruction and about) or "prompt" in names:
        return None
    rows = []
    for row in table.rows:
        own = {column: cell for column, cell in row.values.items() if column not in (instruction, about)}
        parts = (as_text(row.values.get(column)).strip() for column in (instruction, about))
        rows.append(Row(row.place, {"prompt": "\n\n".join(filter(None, parts)), **own}))
    columns = ("prompt", *(column for column in table.columns if column not in (instruction, about)))
    return replace(table, columns=columns, rows=tuple(rows))
