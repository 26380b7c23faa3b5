"""Answers in a list, with ranks or scores: UltraFeedback, candidates and ranks, our own exports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.reading.cells import as_number, as_text, as_truth, first_of, is_missing, unpacked
from annotation.reading.conversations import read_turns
from annotation.reading.forms.pairs import TEXTS, text_in
from annotation.reading.forms.said import NotUnderstood, Said, numbered, order_in, place_of, tiers_of
from annotation.reading.forms.sheet import (
    MODELS,
    NONE_ACCEPTABLE,
    REWRITES,
    VOICES,
    Found,
    Reader,
    Sheet,
    all_judged,
    listed,
)
from annotation.reading.forms.single import one_a_row
from annotation.reading.found import FoundAnswer, FoundJudgement
from annotation.reading.names import ONE_RANK, ONE_SCORE, ORDERS, RANKS, SCORES
from annotation.reading.rows import Row
from annotation.text.locales import fold

BEST = (
    *("choice", "chosen index", "chosen idx", "best index", "preferred index", "winner index", "winner", "mejor"),
    "best",
)
LISTS = (
    *("candidates", "responses", "answers", "completions", "outputs", "generations", "replies"),
    *("all generated responses", "respuestas", "respostas", "candidatos", "candidatas", "salidas"),
    *("generated responses", "model responses"),
)
IDS = ("id", "candidate id", "response id")
_KNOWN = frozenset((*TEXTS, *ONE_RANK, *ONE_SCORE, *IDS, *MODELS, *VOICES, "annotations"))
"""Keys of an answer that is an object; others are named as not read."""


def lists(sheet: Sheet) -> Reader | None:
    """A list of answers in one cell: texts, objects with a text, or an object that names each."""
    names = [name for name in LISTS if name in sheet.names and sheet.names[name] != sheet.of("prompt")]
    column = next((sheet.names[name] for name in names if _holds_lists(sheet, sheet.names[name])), "")
    if not column:
        return None
    sheet.used.add(column)
    ranks, scores = sheet.find(RANKS), sheet.find(SCORES)
    orders = sheet.find(ORDERS)
    best = sheet.find(BEST)
    counts_from = _first_number(sheet, best, column)
    ids, models = sheet.find(("candidate ids", "response ids")), sheet.find(("models", "modelos", "model names"))
    one_model, one_voice = sheet.find(MODELS), sheet.find(VOICES)
    rewrite, bad = sheet.find(REWRITES), sheet.find(NONE_ACCEPTABLE)

    alone = one_a_row(sheet, but=column)

    def read(row: Row) -> Found:
        if alone and is_missing(row.values.get(column)):
            return alone(row)
        items, keys = _items(row.values.get(column))
        of_models, of_ids = (listed(row.values.get(c)) or [] if c else [] for c in (models, ids))
        voice = as_text(row.values.get(one_voice)) if one_voice else ""
        model = as_text(row.values.get(one_model)) if one_model else ""
        cells, about = list[object](), list[FoundAnswer]()
        inner_ranks, inner_scores = list[object](), list[object]()
        for place, item in enumerate(items):
            own: Mapping[str, Any] = item if isinstance(item, dict) and read_turns(item) is None else {}
            cells.append(text_in(item) if own else item if isinstance(item, str | list | dict) else None)
            sheet.inside.update(f"{column}.{key}" for key in own if fold(str(key)) not in _KNOWN)
            rank, score = first_of(own, ONE_RANK), _score(own)
            inner_ranks.append(rank)
            inner_scores.append(score)
            about.append(
                FoundAnswer(
                    "",
                    f"rank {as_text(rank)}" if rank is not None else "output",
                    as_text(first_of(own, MODELS)) or _at(of_models, place) or model,
                    as_text(first_of(own, VOICES)) or voice,
                    as_text(first_of(own, IDS)) or _at(of_ids, place) or (keys[place] if keys else ""),
                )
            )
        named = [{fold(one.id)} if one.id else set[str]() for one in about]
        if told := sheet.told(row):
            judgements, unread = all_judged(told, named)
            return Found(row.values.get(sheet.of("prompt")), tuple(cells), tuple(about), judgements, unread)
        tiers: tuple[tuple[int, ...], ...] = ()
        unread = ()
        beside, beside_scores = (_aligned(row.values.get(c), keys) if c else None for c in (ranks, scores))
        if orders and not is_missing(row.values.get(orders)):
            tiers, unread = ordered(row.values.get(orders), named)
        elif best and not is_missing(row.values.get(best)):
            tiers, unread = _best(row.values.get(best), named, counts_from)
        elif beside and len(beside) == len(items):
            tiers = tiers_of(numbered(beside))
        elif beside_scores and len(beside_scores) == len(items):
            tiers = tiers_of({place: -score for place, score in numbered(beside_scores).items()})
        elif beside or beside_scores:
            unread = (f"{len(beside or beside_scores or ())} ranks or scores for {len(items)} answers",)
        elif words := _words([row.values.get(c) for c in (ranks, scores) if c] or inner_ranks):
            unread = (f'"{words}"',)
        elif found := numbered(inner_ranks):
            tiers = tiers_of(found)
        elif found := numbered(inner_scores):
            tiers = tiers_of({place: -score for place, score in found.items()})
        tiers = tiers if sum(map(len, tiers)) > 1 else ()
        said = sheet.said(row, rewrite=as_text(row.values.get(rewrite)).strip() if rewrite else "")
        none = bool(bad and as_truth(row.values.get(bad)))
        judgements = (
            (FoundJudgement(tiers, none, said.annotator, said.country, said.rewrite),)
            if tiers or none or said.rewrite
            else ()
        )
        return Found(row.values.get(sheet.of("prompt")), tuple(cells), tuple(about), judgements, unread)

    return read


def _words(cells: Sequence[object]) -> str:
    """The first cell that should be a number, or a list of them, and is other words; "" without any."""
    words = (as_text(cell).strip() for cell in cells if not is_missing(cell) and as_number(cell) is None)
    return next((word[:40] for word in words if word), "")


def _holds_lists(sheet: Sheet, column: str) -> bool:
    """Whether a column has a list, or an object, in its first cell that is not blank."""
    cells = (row.values.get(column) for row in sheet.rows)
    first = unpacked(next((cell for cell in cells if not is_missing(cell)), None))
    return isinstance(first, list | tuple | dict) and read_turns(first) is None


def _items(cell: object) -> tuple[list[object], list[str]]:
    """The answers in a cell, and their names where it is an object that names each."""
    found = unpacked(cell)
    if isinstance(found, dict) and read_turns(found) is None:
        if first_of(found, TEXTS) is not None:
            return [found], []
        return list(found.values()), [str(key) for key in found]
    if isinstance(found, list | tuple):
        return list(found), []
    return [] if is_missing(found) else [found], []


def _aligned(cell: object, keys: Sequence[str]) -> list[object] | None:
    """Numbers of the answers, one each, also by their names."""
    found = unpacked(cell)
    if isinstance(found, str) and len(parts := re.split(r"[,;|\s]+", found.strip())) > 1:
        found = parts if all(as_number(part) is not None for part in parts) else found
    return [found.get(key) for key in keys] if isinstance(found, dict) and keys else listed(found)


def _first_number(sheet: Sheet, best: str, column: str) -> int | None:
    """Whether the places of best answers count from 0 or from 1; None where nobody can tell."""
    if not best:
        return None
    numbers = [(as_number(row.values.get(best)), row) for row in sheet.rows]
    if any(number == 0 for number, _ in numbers):
        return 0
    last = any(number is not None and number == len(_items(row.values.get(column))[0]) for number, row in numbers)
    return 1 if last else None


def _best(
    cell: object, names: Sequence[set[str]], counts_from: int | None
) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Tiers of the best answer and the others."""
    number = as_number(cell)
    if number is None:
        found, unread = all_judged([Said(choice=as_text(cell))], _lettered(names))
        return (found[0].tiers if found else ()), unread
    if counts_from is None or not number.is_integer() or not 0 <= number - counts_from < len(names):
        return (), (f"{as_text(cell)} may count from 0 or from 1",)
    place = int(number) - counts_from
    return ((place,), tuple(other for other in range(len(names)) if other != place)), ()


def _at(values: Sequence[object], place: int) -> str:
    return as_text(values[place]).strip() if place < len(values) else ""


def _score(own: Mapping[str, Any]) -> float | None:
    """An answer's score; of UltraFeedback's ratings without one, their mean."""
    if (score := as_number(first_of(own, ONE_SCORE))) is not None:
        return score
    told = unpacked(own.get("annotations"))
    rated = (
        [as_number(first_of(one, ("rating",))) for one in told.values() if isinstance(one, dict)]
        if isinstance(told, dict)
        else []
    )
    known = [rating for rating in rated if rating is not None]
    return sum(known) / len(known) if known else None


def ordered(cell: object, names: list[set[str]]) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Tiers of an order in words ("A > B = C"), of names the best first, or of {"value", "rank"}."""
    found = unpacked(cell)
    if isinstance(found, str) and re.search("[<>=]", found):
        found = order_in(found)
    elif isinstance(found, str) and len(parts := re.split(r"\s*[,;]\s*", found)) > 1:
        found = parts
    letters = _lettered(names)
    try:
        if isinstance(found, list) and found and all(isinstance(one, dict) and "rank" in one for one in found):
            ranks = {place_of(as_text(one.get("value")), letters): as_number(one["rank"]) for one in found}
            return tiers_of({place: rank for place, rank in ranks.items() if rank is not None}), ()
        if isinstance(found, list) and len(found) > 1 and all(as_number(one) is not None for one in found):
            numbers = [as_number(one) or 0.0 for one in found]
            low = min(numbers)
            places = [int(number - low) for number in numbers]
            if sorted(places) == list(range(len(names))) and all(places[places[n]] == n for n in range(len(places))):
                return tiers_of(dict(enumerate(numbers))), ()  # The same whether it is read as ranks or as an order.
            return (), ("numbers that may be ranks or an order",)
        if isinstance(found, list) and (len(found) > 1 or isinstance(found[0], list)):
            tiers = [one if isinstance(one, list) else [one] for one in found]
            return tuple(tuple(place_of(as_text(name), letters) for name in tier) for tier in tiers), ()
    except NotUnderstood as trouble:
        return (), (str(trouble),)
    return (), (as_text(cell)[:40] or "an order of another kind",)


def _lettered(names: Sequence[set[str]]) -> list[set[str]]:
    """The names of answers with the letters of their places: A, B, …"""
    return [own | set("abcdefgh"[place : place + 1]) for place, own in enumerate(names)]
