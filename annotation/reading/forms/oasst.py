"""OASST: flat messages and nested trees. A person's message is a prompt, and the replies to it are its answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotation.reading.cells import as_number, as_text, as_truth, is_missing, unpacked
from annotation.reading.conversations import ASSISTANT, HUMAN, ROLES
from annotation.reading.forms.said import SAID, Said
from annotation.reading.rows import Row, Table, all_columns
from annotation.text.locales import fold

MADE = "answers"
"""Column of the table that this form makes: the answers to a message."""

_OWN = frozenset(
    ("text", "role", "rank", "message id", "parent id", "message tree id", "prompt", "replies", "tree state", "deleted")
)
_RENAMED = {"lang": "language"}


@dataclass(frozen=True, slots=True)
class _Message:
    place: str
    id: str
    parent: str
    role: str
    text: str
    rank: float | None
    own: Mapping[str, Any]


def oasst(table: Table) -> Table | None:
    """The table with one row per message of a person; None where it holds no such messages."""
    names: dict[str, str] = {}
    for column in table.columns:
        names.setdefault(fold(column), column)
    if names.keys() >= {"message id", "parent id", "role", "text"}:
        messages = [message for row in table.rows if (message := _flat(row, names))]
    elif "prompt" in names and any(_is_tree(row.values.get(names["prompt"])) for row in table.rows[:100]):
        messages = [message for row in table.rows for message in _tree(row, names["prompt"])]
    else:
        return None
    by_id = {message.id: message for message in messages}
    replies: dict[str, list[_Message]] = defaultdict(list)
    for message in messages:
        if message.role == ASSISTANT:
            replies[message.parent].append(message)
    rows = [_row(message, by_id, replies.get(message.id, [])) for message in messages if message.role == HUMAN]
    lost = sum(len(found) for parent, found in replies.items() if parent not in by_id)
    notices = (f"{lost} answers in {table.name} were left out: the message that they answer is not there.",)
    return replace(
        table, columns=all_columns(rows), rows=tuple(rows), notices=(*table.notices, *(notices if lost else ()))
    )


def _row(message: _Message, by_id: Mapping[str, _Message], replies: list[_Message]) -> Row:
    turns, at, seen = list[dict[str, str]](), message, set[str]()
    while at.id not in seen:
        seen.add(at.id)
        turns.insert(0, {"role": at.role, "content": at.text})
        at = by_id.get(at.parent, at)
    answers = [
        {
            "id": reply.id,
            "text": reply.text,
            **({"rank": reply.rank} if reply.rank is not None else {}),
            **({"model": model} if (model := as_text(reply.own.get("model_name"))) else {}),
        }
        for reply in replies
    ]
    own = {
        _RENAMED.get(fold(column), column): value for column, value in message.own.items() if fold(column) not in _OWN
    }
    ranks = {reply.id: reply.rank for reply in replies if reply.rank is not None}
    said = (Said(places=ranks),) if len(ranks) > 1 else ()
    return Row(message.place, {"prompt": turns, **own, MADE: answers, SAID: said})


def _flat(row: Row, names: Mapping[str, str]) -> _Message | None:
    cells = {name: row.values.get(column) for name, column in names.items()}
    return _message(row.place, cells, as_text(cells["message id"]), as_text(cells["parent id"]), row.values)


def _message(place: str, cells: Mapping[str, Any], id_: str, parent: str, own: Mapping[str, Any]) -> _Message | None:
    role = fold(as_text(cells.get("role")))
    if as_truth(cells.get("deleted")):
        return None
    return _Message(
        place, id_, parent, ROLES.get(role, role), as_text(cells.get("text")), as_number(cells.get("rank")), own
    )


def _is_tree(cell: object) -> bool:
    found = unpacked(cell)
    return isinstance(found, dict) and isinstance(found.get("replies"), list)


def _tree(row: Row, column: str) -> Iterator[_Message]:
    """The messages of a nested tree, however deep; the first has the row's place, the others theirs in the tree."""
    around = {name: value for name, value in row.values.items() if name != column}
    waiting: list[tuple[object, str, str]] = [(unpacked(row.values.get(column)), "", "")]
    number = 0
    while waiting:
        node, parent, role = waiting.pop()
        if not isinstance(node, dict):
            continue
        number += 1
        id_ = f"{row.place}#{number}"
        told = {fold(str(key)): value for key, value in node.items()}
        if is_missing(told.get("role")):
            told["role"] = ASSISTANT if role == HUMAN else HUMAN
        place = row.place if number == 1 else id_
        if message := _message(place, told, id_, parent, {**around, **node}):
            yield message
            below = told.get("replies") or told.get("children") or []
            waiting += [(reply, id_, message.role) for reply in reversed(below if isinstance(below, list) else [])]
