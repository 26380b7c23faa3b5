"""Answers in columns beside each other, and which one won: arenas, comparisons, exports of annotation tools, sheets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from annotation.reading.cells import as_number, as_text, as_truth, is_missing, unpacked
from annotation.reading.conversations import ASSISTANT, HUMAN, Unclear
from annotation.reading.forms.lists import ordered
from annotation.reading.forms.pairs import model_in, text_in
from annotation.reading.forms.said import NotUnderstood, Said, choice_in, judged, names_of, numbered
from annotation.reading.forms.sheet import (
    NONE_ACCEPTABLE,
    PEOPLE,
    REWRITES,
    TIED,
    Found,
    Reader,
    Sheet,
    all_judged,
)
from annotation.reading.found import FoundAnswer, FoundJudgement
from annotation.reading.names import ONE_RANK, ONE_SCORE, ORDERS
from annotation.reading.rows import Row
from annotation.text.locales import fold

_BASES = (
    r"(?:response|answer|completion|output|candidate|generation|reply|conversation|assistant|text|human ref|chat|"
    r"respuesta|resposta|candidato|candidata|salida|saida|texto|model response|model output|model answer|conversacion)"
)
_KEYS = (
    r"(?:model |modelo |assistant )?(?P<key>[a-h]|\d{1,2}|left|right|izquierda|derecha|esquerda|direita|one|two|uno|"
    r"dos|first|second|primera|segunda)"
)
_SIDE = re.compile(rf"(?P<base>{_BASES})s? ?{_KEYS}")
_SIDE_ELSE = re.compile(
    rf"(?P<base>model|modelo|option|opcion|opcao|summary|resumen|sample|version|translation) ?{_KEYS}"
)
"""Other names of columns with answers: where their cells are sentences."""

_SIDE_FIRST = re.compile(rf"{_KEYS} (?P<base>{_BASES})")
_ORDER = ("left", "izquierda", "esquerda", "one", "uno", "first", "primera")

WINNERS = (
    *("winner", "ganador", "ganadora", "vencedor", "vencedora", "preference", "preferred", "preferencia", "preferida"),
    *("preferido", "choice", "eleccion", "escolha", "better", "better response", "better response id", "better answer"),
    *("best", "best response", "best answer", "mejor", "mejor respuesta", "melhor", "melhor resposta", "verdict"),
    *("veredicto", "judgment", "judgement", "juicio", "vote", "voto", "overall preference", "selected", "selection"),
    *("chosen", "comparison", "result", "resultado", "human preference", "pick", "preferred response"),
    *("preferred output", "winning model", "label", "labels"),
)
_VAGUE = frozenset(("label", "labels", "result", "resultado", "comparison", "selected", "selection", "chosen", "vote"))
"""Names of columns that hold something else as often: they are a winner's where every cell names an answer."""
_EXAM = frozenset(
    ("answer", "correct answer", "answer key", "respuesta correcta", "resposta correta", "clave", "gabarito")
)
"""Columns beside A, B, C and D of an exam."""


def sides_of(sheet: Sheet) -> list[tuple[str, str]]:
    """(key, column) of the answers, in order; [] where there are not two."""
    found: dict[str, dict[str, str]] = {}
    for folded, column in sheet.names.items():
        if column in (sheet.of("prompt"), sheet.of("system")):
            continue
        if match := _SIDE.fullmatch(folded) or _SIDE_FIRST.fullmatch(folded):
            found.setdefault(match["base"], {}).setdefault(match["key"], column)
        elif re.fullmatch("[a-h]", folded) and not _EXAM & sheet.names.keys():
            found.setdefault("", {}).setdefault(folded, column)
    if not any(len(one) > 1 for one in found.values()) and not _EXAM & sheet.names.keys():
        for folded, column in sheet.names.items():
            if (match := _SIDE_ELSE.fullmatch(folded)) and _sentences(sheet, column):
                found.setdefault(match["base"], {}).setdefault(match["key"], column)
    best = max(found.values(), key=len, default={})
    if len(best) < 2 or (best is found.get("") and not (sheet.of("prompt") and {"a", "b"} <= best.keys())):
        return []

    def order(key: str) -> tuple[int, str]:
        return (int(key), "") if key.isdecimal() else (0 if key in _ORDER else 1, key)

    return sorted(best.items(), key=lambda side: order(side[0]))


def _sentences(sheet: Sheet, column: str) -> bool:
    """Whether most of the first cells of a column have several words."""
    cells = [text for row in sheet.rows[:200] if (text := as_text(row.values.get(column)).strip())]
    return sum(len(text.split()) > 2 for text in cells) > len(cells) / 2


def sides(sheet: Sheet) -> Reader | None:
    """Two answers or more in columns of their own."""
    keyed = sides_of(sheet)
    keys, columns = [key for key, _ in keyed], [column for _, column in keyed]
    pair = [column for kind in ("chosen", "rejected") if (column := sheet.of(kind))]
    called = names_of(keys, columns, [FoundAnswer("", "")] * len(keys))
    if not keyed or (len(pair) > 1 and not all(_all_choices(sheet, column, called) for column in pair)):
        return None
    sheet.used.update(columns)
    models = _beside(sheet, ("model", "modelo", "model name"), keyed)
    scores, ranks = _beside(sheet, ONE_SCORE, keyed), _beside(sheet, ONE_RANK, keyed)
    order = "" if any(ranks) else sheet.find(ORDERS)
    rewrite = sheet.find(REWRITES)
    bad, tied = sheet.find(NONE_ACCEPTABLE), sheet.find(TIED)
    verdict = _verdict(sheet, keys, columns, models)

    def read(row: Row) -> Found:
        raw = [row.values.get(column) for column in columns]
        about = tuple(
            FoundAnswer("", f"response {key}", as_text(row.values.get(model)).strip() or model_in(cell), id=key)
            for key, model, cell in zip(keys, models, raw, strict=True)
        )
        prompt, cells = _turn_by_turn(row.values.get(sheet.of("prompt")), [_blank(cell) for cell in raw])
        told = list(sheet.told(row))
        if not told:
            what: dict[str, object] = {}
            said = as_text(row.values.get(rewrite)) if rewrite else ""
            try:
                none, both = sheet.flag(row, bad), sheet.flag(row, tied)
            except NotUnderstood as trouble:
                return Found(prompt, tuple(cells), about, (), (str(trouble),))
            if none:
                what = {"bad": True}
            elif both:
                what = {"choice": "tie"}
            elif verdict and (choice := verdict(row)):
                what = {"choice": next((key for key, cell in zip(keys, cells, strict=True) if cell == choice), choice)}
            elif any(ranks) and (found := numbered([row.values.get(column) for column in ranks])):
                what = {"places": {keys[place]: rank for place, rank in found.items()}}
            elif any(scores) and (found := numbered([row.values.get(column) for column in scores])):
                what = {"places": {keys[place]: -score for place, score in found.items()}}
            elif words := next((word for column in (*ranks, *scores) if (word := as_text(row.values.get(column)))), ""):
                what = {"choice": f"{words} as a rank or score"}
            told = [sheet.said(row, rewrite=said, **what)]
        judgements, unread = all_judged(told, names_of(keys, columns, about))
        if order and not judgements and not is_missing(row.values.get(order)):
            tiers, unread = ordered(row.values.get(order), names_of(keys, columns, about))
            who = sheet.said(row)
            judgements = (FoundJudgement(tiers, False, who.annotator, who.country, who.rewrite),) if tiers else ()
        if len(judgements) == 1 and len(judgements[0].tiers) == 2 and len(about) == 2:
            best = judgements[0].tiers[0][0]
            kinds = ("chosen", "rejected") if best == 0 else ("rejected", "chosen")
            about = tuple(
                FoundAnswer("", kind, one.model, one.voice, one.id) for kind, one in zip(kinds, about, strict=True)
            )
        return Found(prompt, tuple(cells), about, judgements, unread)

    return read


def _blank(cell: object) -> object:
    return None if is_missing(cell) else text_in(cell)


def _beside(sheet: Sheet, bases: Sequence[str], keyed: Sequence[tuple[str, str]]) -> list[str]:
    """Columns of the same keys with other names before or after them ("model_a", "a_score"), "" where there is none."""
    shapes = ("{0} {1}", "{0}{1}", "{1} {0}", "{0} model {1}", "{0} {2}", "{2} {0}")
    answers = {column for _, column in keyed}
    names = [[shape.format(base, key, fold(column)) for base in bases for shape in shapes] for key, column in keyed]
    return [sheet.find([name for name in own if sheet.names.get(name) not in answers]) for own in names]


def _turn_by_turn(prompt: object, cells: list[object]) -> tuple[object, list[object]]:
    """Lists of texts become conversations: what the person said in each turn, and what each model answered."""
    asked = _texts(prompt)
    answered = [_texts(cell) for cell in cells]
    if asked is None:
        # One text in a list, as an arena writes its answers.
        alone = [texts[0] if texts and len(texts) == 1 else cell for texts, cell in zip(answered, cells, strict=True)]
        return prompt, list(alone)
    if len(asked) == 1:
        return asked[0], [
            cell if texts is None else " ".join(texts) for texts, cell in zip(answered, cells, strict=True)
        ]
    if any(texts is None or len(texts) != len(asked) for texts in answered):
        raise Unclear("as many answers as questions are needed in a conversation")
    before = {tuple(texts[:-1]) for texts in answered if texts}
    if len(before) != 1:
        raise Unclear("conversations differ before the last answer")
    turns = list[dict[str, str]]()
    for question, answer in zip(asked, (*before.pop(), ""), strict=True):
        turns += [{"role": HUMAN, "content": question}, {"role": ASSISTANT, "content": answer}]
    return turns[:-1], [texts[-1] for texts in answered if texts]


def _texts(cell: object) -> list[str] | None:
    found = unpacked(cell)
    if isinstance(found, list) and found and all(item is None or isinstance(item, str) for item in found):
        return [item or "" for item in found]
    return None


def _verdict(
    sheet: Sheet, keys: Sequence[str], columns: Sequence[str], models: Sequence[str]
) -> Callable[[Row], str] | None:
    """What reads the winner of a row: columns of 0 and 1 for each outcome, or one column with words or numbers."""
    if flags := _flags(sheet, keys):
        # Two outcomes at once are none.
        return lambda row: " and ".join(name for name, column in flags.items() if as_truth(row.values.get(column)))
    known = [column for name in WINNERS if (column := sheet.names.get(name)) and column not in sheet.columns.personal]
    mapped = {sheet.of(kind) for kind in ("prompt", "country", "language", "topic", "system", "licence", "id")}
    taken = {*columns, *models, *mapped}
    names = names_of(keys, columns, [FoundAnswer("", "")] * len(keys))
    for column in known:
        if column in taken or (
            fold(column) in _VAGUE
            and not (_all_choices(sheet, column, names, digits=True) or _are_answers(sheet, column, columns))
        ):
            continue
        cells = [choice_in(unpacked(row.values.get(column))) for row in sheet.rows]
        cells = [cell for cell in cells if not is_missing(cell)]
        if not cells:
            continue
        sheet.used.add(column)
        if all(as_number(cell) is not None for cell in cells):
            meaning = _meaning(fold(column), {as_number(cell) for cell in cells}, keys)
            if meaning is None:
                sheet.notices.append(
                    f'Column "{column}" holds numbers that can be read in two ways, so its {len(cells)} judgements '
                    "were not read: write the names of the answers, or tie."
                )
                return None
            return lambda row, column=column: meaning(as_number(choice_in(unpacked(row.values.get(column)))))  # type: ignore[misc]
        return lambda row, column=column: choice_in(unpacked(row.values.get(column)))  # type: ignore[misc]
    for column in sheet.table.columns:
        if column not in sheet.used and fold(column) not in PEOPLE and _all_choices(sheet, column, names):
            sheet.used.add(column)
            return lambda row, column=column: choice_in(unpacked(row.values.get(column)))  # type: ignore[misc]
    return None


def _flags(sheet: Sheet, keys: Sequence[str]) -> dict[str, str]:
    """Outcome -> its column of 0 and 1: winner_model_a, winner_model_b, winner_tie."""
    shapes = ("winner {}", "winner model {}", "winner response {}", "{} wins", "gana {}")
    outcomes = {key: [shape.format(key) for shape in shapes] for key in keys}
    outcomes["tie"] = ["winner tie", "winner empate"]
    outcomes["both bad"] = ["winner both bad", "winner bothbad", "winner tie bothbad"]
    found = {outcome: sheet.find(names) for outcome, names in outcomes.items()}
    return {outcome: column for outcome, column in found.items() if column} if all(found[key] for key in keys) else {}


def _meaning(column: str, values: set[float | None], keys: Sequence[str]) -> Callable[[float | None], str] | None:
    """What numbers of a winner mean; None where they may count from 0 or from 1, or say how sure somebody is."""
    if "overall preference" in column and any(value is not None and value < 0 for value in values):
        # HelpSteer3: below 0 the first is better.
        return lambda value: "" if value is None else "tie" if value == 0 else keys[0] if value < 0 else keys[1]
    numbers = {float(key) for key in keys if key.isdecimal()}
    if values <= numbers:  # They are the names of the answers.
        return lambda value: "" if value is None else str(int(value))
    if values <= {1.0, 1.5, 2.0} and 2.0 in values and not numbers and len(keys) == 2:
        return lambda value: "" if value is None else "tie" if value == 1.5 else keys[int(value) - 1]
    if values <= {1.0, 1.5, 2.0} and numbers == {1.0, 2.0}:
        return lambda value: "" if value is None else "tie" if value == 1.5 else str(int(value))
    return None


def _are_answers(sheet: Sheet, column: str, answers: Sequence[str]) -> bool:
    """Whether every cell of a column repeats one of the answers beside it."""
    rows = [row.values for row in sheet.rows if not is_missing(row.values.get(column))]
    return bool(rows) and all(row[column] in [row.get(answer) for answer in answers] for row in rows)


def _all_choices(sheet: Sheet, column: str, names: list[set[str]], digits: bool = False) -> bool:
    """Whether every cell of a column says which answer is better; digits are no words for it unless asked."""
    cells = {choice_in(unpacked(row.values.get(column))) for row in sheet.rows[:10_000]}
    cells = {cell for cell in cells if not is_missing(cell)}
    if not cells or len(cells) > 50:
        return False
    if all(as_number(cell) is not None for cell in cells):
        return digits
    try:
        return all(judged(Said(choice=cell), names) for cell in cells)
    except NotUnderstood:
        return False
