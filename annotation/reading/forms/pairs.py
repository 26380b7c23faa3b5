"""Pairs: a chosen and a rejected answer, as v0, TRL, UltraFeedback (binarized), ShareGPT and exports have them."""

from __future__ import annotations

from annotation.reading.cells import as_number, as_text, first_of, is_missing, unpacked
from annotation.reading.conversations import read_turns
from annotation.reading.forms.said import NotUnderstood
from annotation.reading.forms.sheet import NONE_ACCEPTABLE, TIED, Found, Reader, Sheet
from annotation.reading.found import FoundAnswer, FoundJudgement
from annotation.reading.rows import Row
from annotation.text.locales import fold

TEXTS = (
    *("text", "content", "response", "answer", "completion", "output", "value", "body", "texto", "respuesta", "html"),
    "full text",
)
"""Keys of an answer's text where a cell holds an object."""

VOTES = ("votes for", "votes against", "ties")
WEIGHT = "weight_for"
"""Column of an export with what the votes for the chosen answer weigh."""

MOST_VOTES = 1000
"""More than that is no count of people."""


def text_in(cell: object) -> object:
    """An answer's text where a cell holds an object with it; a conversation, and text (JSON too), as they are."""
    found = unpacked(cell) if isinstance(cell, str) and cell.lstrip().startswith("{") else cell
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        return text_in(found[0])
    if isinstance(found, dict) and read_turns(found) is None and any(fold(str(key)) in TEXTS for key in found):
        inner = first_of(found, TEXTS)
        return cell if inner is None and isinstance(cell, str) else inner
    return cell


def model_in(cell: object) -> str:
    """Who wrote an answer, where a cell holds an object that says so."""
    return as_text(first_of(cell, ("model", "modelo", "model name"))) if isinstance(cell, dict) else ""


def pairs(sheet: Sheet) -> Reader | None:
    """A chosen answer, a rejected one, or both. Flags for ties and bad ones, and counts of votes, are heard."""
    kinds = [kind for kind in ("chosen", "rejected") if sheet.of(kind)]
    if not kinds:
        return None
    columns = [sheet.of(kind) for kind in kinds]
    models = [sheet.find((f"{kind} model", f"model {kind}", f"{kind} model name")) for kind in kinds]
    tied, bad = sheet.find(TIED), sheet.find(NONE_ACCEPTABLE)
    votes = [sheet.find((name,)) for name in VOTES]
    sheet.find(("annotators",))  # who voted, not how

    def weighed(row: Row) -> bool:
        """Whether votes weigh more or less than 1: how many people said so does not tell then which answer won."""
        return not is_missing(row.values.get(WEIGHT))

    def read(row: Row) -> Found:
        cells = [row.values.get(column) for column in columns]
        about = tuple(
            FoundAnswer("", kind, model_in(cell) or as_text(row.values.get(model)) if model else model_in(cell))
            for kind, cell, model in zip(kinds, cells, models, strict=True)
        )
        texts = [None if is_missing(cell) else text_in(cell) for cell in cells]
        prompt = row.values.get(sheet.of("prompt"))
        if is_missing(prompt) and len(texts) == 2 and all(isinstance(text, str) for text in texts):
            prompt, texts = _common_beginning(str(texts[0]), str(texts[1]))
        judgements: list[FoundJudgement] = []
        try:
            none, both = sheet.flag(row, bad), sheet.flag(row, tied)
        except NotUnderstood as trouble:
            return Found(prompt, tuple(texts), about, (), (str(trouble),))
        if len(kinds) == 2:
            said = sheet.said(row)
            who = (said.annotator, said.country)
            if none:
                judgements = [FoundJudgement((), True, *who)]
            elif both:
                judgements = [FoundJudgement(((0, 1),), False, *who)]
            elif votes[0] and (counts := _counts([row.values.get(column) for column in votes])) and not weighed(row):
                ways = (((0,), (1,)), ((1,), (0,)), ((0, 1),))
                judgements = [
                    FoundJudgement(way, country=said.country)
                    for way, times in zip(ways, counts, strict=True)
                    for _ in range(times)
                ]
            else:
                judgements = [FoundJudgement(((0,), (1,)), False, *who)]
        return Found(prompt, tuple(texts), about, tuple(judgements))

    return read


def _counts(cells: list[object]) -> list[int]:
    """Votes for, against and tied; none where the cells are blank, or no counts of people."""
    if all(map(is_missing, cells)):
        return []
    numbers = [as_number(cell) or 0.0 for cell in cells]
    fit = all(0 <= number <= MOST_VOTES and number.is_integer() for number in numbers)
    return [int(number) for number in numbers] if fit else []


def _common_beginning(one: str, other: str) -> tuple[object, list[object]]:
    """The prompt that two texts begin with, and what is left of them: whole words, or up to a question's end."""
    if read_turns(one) is not None or read_turns(other) is not None:
        return None, [one, other]
    end = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    shared = one[:end]
    cut = max(shared.rfind("?"), shared.rfind("\n")) + 1 or shared.rfind(" ") + 1
    return one[:cut].strip() or None, [one[cut:].strip(), other[cut:].strip()]
