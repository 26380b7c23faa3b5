"""Known forms of instruction data: Alpaca's rows and OASST's trees become rows with a prompt and its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annotation.reading.columns import ANSWERS
from annotation.reading.conversations import ASSISTANT, ROLES, as_text
from annotation.reading.rows import Row, Table, all_columns
from annotation.text.locales import fold

ALPACA = ("instruction", "input", "output")
OASST = ("text", "role", "rank", "message id", "parent id", "message tree id")
"""Columns whose cells become a prompt with its answers, folded."""


def unfold(table: Table) -> Table:
    """The table with one row per prompt where its columns say that it is of a known form; else as it is."""
    names: dict[str, str] = {}
    for column in table.columns:
        names.setdefault(fold(column), column)
    if names.keys() >= {"message id", "parent id", "role", "text"}:
        return _unfold_trees(table, names)
    if names.keys() >= {"instruction", "input"} and "prompt" not in names:
        return _unfold_instructions(table, names)
    return table


def _unfold_instructions(table: Table, names: Mapping[str, str]) -> Table:
    """Alpaca: what an instruction is about stands in "input", and the answer in "output"."""
    rows = []
    for row in table.rows:
        parts = (as_text(row.values.get(names[name])).strip() for name in ("instruction", "input"))
        answer = as_text(row.values.get(names.get("output", ""))).strip()
        own = {column: cell for column, cell in row.values.items() if fold(column) not in ALPACA}
        made = {"prompt": "\n\n".join(filter(None, parts)), **own}
        rows.append(Row(row.place, {**made, ANSWERS: ({"text": answer, "stood": "output"},)} if answer else made))
    return replace(table, columns=("prompt", *all_columns(rows)[1:]), rows=tuple(rows))


def _unfold_trees(table: Table, names: Mapping[str, str]) -> Table:
    """OASST: every message of a person is a prompt, with what was said before; the replies to it are its answers."""

    def cell(row: Row, name: str) -> Any:
        return row.values.get(names[name]) if name in names else None

    def role(row: Row) -> str:
        said = as_text(cell(row, "role")).casefold()
        return ROLES.get(said, said)

    messages = {as_text(cell(row, "message id")): row for row in table.rows}
    replies: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if role(row) == ASSISTANT:
            replies[as_text(cell(row, "parent id"))].append(row)
    rows = []
    for name, row in messages.items():
        if role(row) == ASSISTANT:
            continue
        turns, at, seen = list[dict[str, str]](), row, set[str]()
        while as_text(cell(at, "message id")) not in seen:
            seen.add(as_text(cell(at, "message id")))
            turns.insert(0, {"role": role(at), "content": as_text(cell(at, "text"))})
            at = messages.get(as_text(cell(at, "parent id")), at)
        answers = tuple(
            {"text": as_text(cell(reply, "text")), "stood": f"rank {as_text(cell(reply, 'rank'))}".strip()}
            for reply in replies.get(name, ())
        )
        own = {column: value for column, value in row.values.items() if fold(column) not in OASST}
        prompt = turns if len(turns) > 1 else turns[0]["content"]
        rows.append(Row(row.place, {"prompt": prompt, **own, ANSWERS: answers}))
    lost = sum(len(found) for parent, found in replies.items() if parent not in messages)
    notices = (f"{lost} answers in {table.name} were left out: the message that they answer is not there.",)
    return replace(
        table, columns=all_columns(rows), rows=tuple(rows), notices=(*table.notices, *(notices if lost else ()))
    )
