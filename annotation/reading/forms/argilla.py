"""Argilla: records with fields and responses, as its server, its library and its older datasets write them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from annotation.reading.cells import as_number, as_text, is_missing, unpacked
from annotation.reading.forms.said import SAID, Said
from annotation.reading.rows import Row, Table, all_columns
from annotation.screen import counted
from annotation.text.locales import fold

_COLUMN = re.compile(r"(.+?)(?:\.responses(?:\.(users|status))?|[.-]suggestion(?:[.-](\w+))?)")
_ABOUT = frozenset(("_server_id", "status", "vectors", "inserted_at", "updated_at", "external_id"))
_REWRITES = frozenset(("rewrite", "correction", "reescritura", "improved response", "corrected response"))

Answers = dict[str, dict[str, object]]
"""User name -> question -> what they said."""


def argilla(table: Table) -> Table | None:
    """The table with the fields and metadata of each record in columns; None where it holds no records of Argilla."""
    if {"fields", "responses"} <= set(table.columns):
        read = _from_record
    elif any(_COLUMN.fullmatch(column) for column in table.columns) or _older(table):
        read = _from_columns
    else:
        return None
    found = [read(row) for row in table.rows]
    lost = _orders_without_ranks(found)
    unheard = Counter[str]()
    rows = []
    for row, (fields, answers, agent) in zip(table.rows, found, strict=True):
        said = []
        for user, values in answers.items():
            heard = {name: value for name, value in values.items() if name not in lost}
            if one := _said(user or agent, heard, fields, unheard):
                said.append(one)
        rows.append(Row(row.place, {**fields, SAID: tuple(said)}))
    notices = [
        f'The rankings in "{name}" were not read ({counted(times, "answer")}): they name the answers in the same order '
        "everywhere and hold no ranks, which Argilla's library loses; read them from the server, or with `annot sync`."
        for name, times in lost.items()
    ]
    if unheard:
        kinds = ", ".join(f'"{kind}" ({count})' for kind, count in unheard.most_common(8))
        notices.append(f"Answers in {table.name} to questions that compare no answers were not read: {kinds}.")
    return replace(table, columns=all_columns(rows), rows=tuple(rows), notices=(*table.notices, *notices))


def _from_record(row: Row) -> tuple[dict[str, object], Answers, str]:
    """A record of the server, a response per person, or of the library, a list of values per question."""
    fields = _flat(row.values.get("fields"), row.values.get("metadata"))
    fields.setdefault("id", row.values.get("external_id") or row.values.get("id"))
    answers: Answers = defaultdict(dict)
    told = unpacked(row.values.get("responses"))
    if isinstance(told, list):
        for one in told:
            if isinstance(one, dict) and _counts(one):
                user = as_text(one.get("user_id") or one.get("username"))
                for name, value in (one.get("values") or {}).items():
                    answers[user][name] = value.get("value") if isinstance(value, dict) else value
    elif isinstance(told, dict):
        for name, each in told.items():
            for one in each if isinstance(each, list) else ():
                if isinstance(one, dict) and _counts(one):
                    answers[as_text(one.get("user_id"))][name] = one.get("value")
    agent = ""
    if not answers:
        for name, value, who in _suggestions(unpacked(row.values.get("suggestions"))):
            answers[""][name] = value
            agent = who or agent
            if isinstance(value, str):
                fields.setdefault(name, value)
    return fields, answers, agent


def _suggestions(told: object) -> Iterator[tuple[str, object, str]]:
    if isinstance(told, dict):
        told = [{"question_name": name, **one} for name, one in told.items() if isinstance(one, dict)]
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict) and (name := as_text(one.get("question_name"))):
            yield name, one.get("value"), as_text(one.get("agent"))


def _from_columns(row: Row) -> tuple[dict[str, object], Answers, str]:
    """`ranking.responses` beside `ranking.responses.users`; older: `ranking` with [{"user_id", "value", "status"}]."""
    fields = _flat(None, row.values.get("metadata"))
    answers: Answers = defaultdict(dict)
    suggested: dict[str, object] = {}
    agent = ""
    for column, cell in row.values.items():
        match = _COLUMN.fullmatch(column)
        if match is None:
            each = unpacked(cell)
            if _is_answered(each):
                for one in each if isinstance(each, list) else ():
                    if _counts(one):
                        answers[as_text(one.get("user_id"))][column] = unpacked(one.get("value"))
            elif column not in _ABOUT and column != "metadata":
                fields.setdefault(column, cell)
            continue
        name, kind, more = match[1], match[2], match[3]
        if ".responses" in column and not kind:
            users = unpacked(row.values.get(f"{column}.users")) or []
            status = unpacked(row.values.get(f"{column}.status")) or []
            for place, value in enumerate(_list(unpacked(cell))):
                if _at(status, place) in ("", "submitted"):
                    answers[_at(users, place)][name] = unpacked(value)
        elif "suggestion" in column and not more and not is_missing(cell):
            suggested[name] = unpacked(cell)
            agent = as_text(row.values.get(f"{column}.agent"))
    if not answers and suggested:
        answers[""] = suggested
        for name, value in suggested.items():
            if isinstance(value, str):
                fields.setdefault(name, value)
    return fields, answers, agent


def _said(user: str, values: Mapping[str, object], fields: Mapping[str, object], unheard: Counter[str]) -> Said | None:
    """What one person said in a record."""
    choice, rewrite, places, ratings = "", "", dict[str, float](), dict[str, float]()
    known = {fold(field) for field in fields}
    for name, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, dict) and "rank" in one for one in value):
            ranks = {as_text(one.get("value")): as_number(one["rank"]) for one in value}
            places = {answer: rank for answer, rank in ranks.items() if rank is not None}
        elif isinstance(value, list) and len(value) > 1 and _name_fields(value, fields):
            places = {as_text(one): float(rank) for rank, one in enumerate(value)}
        elif fold(name) in _REWRITES:
            rewrite = as_text(value)
        elif (number := as_number(value)) is not None and (field := _rated(name, fields)):
            ratings[field] = -number
        elif isinstance(value, str) and value.strip() and name not in fields and len(value) <= 80:
            # A remark may be as short: what names a field is the choice, else what was said first.
            choice = value if not choice or (fold(value) in known and fold(choice) not in known) else choice
        elif not is_missing(value) and name not in fields:
            unheard[name] += 1
    places = next((found for found in (places, ratings) if len(found) > 1), {})
    return Said(user, choice=choice, places=places, rewrite=rewrite) if choice or places or rewrite else None


def _rated(question: str, fields: Mapping[str, object]) -> str:
    """The field whose name stands in a question's: "rating-response-1"."""
    words = f" {fold(question)} "
    return next((name for name in fields if len(name) > 1 and f" {fold(name)} " in words), "")


def _name_fields(names: list[Any], fields: Mapping[str, object]) -> bool:
    known = {fold(name) for name in fields}
    return all(isinstance(name, str) and (fold(name) in known or len(name) == 1) for name in names)


def _orders_without_ranks(found: list[tuple[dict[str, object], Answers, str]]) -> Counter[str]:
    """Question -> answers, where every answer names the same things in the same order, that of their names."""
    orders: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    times = Counter[str]()
    for fields, answers, _ in found:
        for values in answers.values():
            for name, value in values.items():
                if isinstance(value, list) and len(value) > 1 and _name_fields(value, fields):
                    orders[name].add(tuple(value))
                    times[name] += 1
    return Counter({name: times[name] for name, seen in orders.items() if all(list(o) == sorted(o) for o in seen)})


def _older(table: Table) -> bool:
    """Whether any column of the first rows holds answers of people, as datasets of Argilla 1 do."""
    return any(_is_answered(unpacked(cell)) for row in table.rows[:100] for cell in row.values.values())


def _is_answered(cell: object) -> bool:
    return (
        isinstance(cell, list)
        and bool(cell)
        and all(isinstance(one, dict) and "user_id" in one and "value" in one for one in cell)
    )


def _flat(*parts: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for part in map(unpacked, parts):
        found |= (
            {str(name): value for name, value in part.items() if name not in found} if isinstance(part, dict) else {}
        )
    return found


def _counts(response: Mapping[str, Any]) -> bool:
    return as_text(response.get("status")) in ("", "submitted")


def _list(cell: object) -> list[object]:
    return cell if isinstance(cell, list) else [] if is_missing(cell) else [cell]


def _at(values: object, place: int) -> str:
    return as_text(values[place]) if isinstance(values, list) and place < len(values) else ""
