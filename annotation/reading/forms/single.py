"""One answer a row: outputs of instruction data, and rows with a label, a rank or a score that belong together."""

from __future__ import annotations

from dataclasses import replace

from annotation.reading.cells import as_number, as_text, as_truth, is_missing
from annotation.reading.forms.pairs import model_in, text_in
from annotation.reading.forms.said import tiers_of
from annotation.reading.forms.sheet import MODELS, VOICES, Found, Reader, Sheet
from annotation.reading.found import FoundAnswer, FoundJudgement
from annotation.reading.names import ONE_RANK, ONE_SCORE
from annotation.reading.rows import Row
from annotation.screen import counted
from annotation.text.locales import fold

ANSWERS = (
    *("candidate", "response", "answer", "completion", "output", "assistant", "generation", "reply", "model response"),
    *("model output", "model answer", "respuesta", "resposta", "candidato", "candidata", "salida", "saida"),
    *("completions", "responses", "answers", "outputs", "respuestas", "respostas", "text", "texto"),
)
"""What the column of one answer may be called, folded; the first that is there, and is not the prompt, is taken."""

DESCRIPTIONS = ("description", "descripcion", "descricao", "caption", "leyenda", "legenda")
"""The same where no column is the prompt: of a picture, which another column names."""

_OPTIONS = frozenset(("options", "option a", "opcion a", "opcao a", "a", "choices", "opciones", "alternativas"))

LABELS = (
    *("label", "labels", "is preferred", "thumbs up", "liked", "accepted", "acceptable", "good", "is good", "etiqueta"),
    *("aprobada", "aceptada", "gusta", "feedback", "thumbs", "aprovada", "boa", "buena"),
)
_GOOD = frozenset(("chosen", "good", "preferred", "desirable", "accepted", "elegida", "buena", "escolhida", "boa"))
_POOR = frozenset(("rejected", "bad", "undesirable", "rechazada", "mala", "rejeitada", "ruim"))
"""Labels in words other than yes and no."""


def single(sheet: Sheet) -> Reader | None:
    """A column with one answer; several rows with the same prompt, and a label, rank or score each, are one example."""
    if not (column := _column(sheet)):
        return None
    read = _reader(sheet, column)
    if (groups := _groups(sheet, column)) is not None:
        return lambda row: _grouped(sheet, groups[row.place], read)
    return read


def one_a_row(sheet: Sheet, but: str) -> Reader | None:
    """A column with one answer, beside another one whose cells are blank then."""
    column = _column(sheet, but)
    return _reader(sheet, column) if column else None


def _column(sheet: Sheet, but: str = "") -> str:
    if sheet.names.keys() & _OPTIONS:
        return ""  # Of an exam, the answer is a letter.
    taken = {sheet.of("prompt"), but}
    names = (*ANSWERS, *(() if sheet.of("prompt") else DESCRIPTIONS))
    column = next((sheet.names[name] for name in names if name in sheet.names and sheet.names[name] not in taken), "")
    if column:
        sheet.used.add(column)
    return column


def _reader(sheet: Sheet, column: str) -> Reader:
    model, voice = sheet.find(MODELS), sheet.find(VOICES)

    def read(row: Row) -> Found:
        cell = row.values.get(column)
        wrote, spoke = (as_text(row.values.get(c)).strip() if c else "" for c in (model, voice))
        about = FoundAnswer("", "output", wrote or model_in(cell), spoke)
        return Found(row.values.get(sheet.of("prompt")), (None if is_missing(cell) else text_in(cell),), (about,))

    return read


Group = list[tuple[Row, float, str]]


def _groups(sheet: Sheet, column: str) -> dict[str, Group] | None:
    """Place of the first row -> rows of one prompt and person with their ranks; the sheet keeps the first rows."""
    if not sheet.of("prompt"):
        return None
    kind, by = next(
        (
            (kind, by)
            for kind, names in (("rank", ONE_RANK), ("label", LABELS), ("score", ONE_SCORE))
            for name in names
            if (by := sheet.names.get(name, "")) and by not in (column, *sheet.columns.of.values())
            if _all_are(sheet, kind, by)
        ),
        ("", ""),
    )
    if not by:
        return None
    sheet.used.add(by)
    found: dict[tuple[str, ...], Group] = {}
    about = [sheet.of(name) for name in ("prompt", "system", "country", "language")]
    for row in sheet.rows:
        key = (*(_key(row.values.get(name)) for name in about if name), sheet.people(row))
        cell = row.values.get(by)
        if kind == "label":
            good = _is_good(cell)
            rank, stood = float("nan") if good is None else float(not good), "output"
        else:
            number = as_number(cell)
            rank = float("nan") if number is None else number if kind == "rank" else -number
            stood = f"{kind} {as_text(cell).strip()}"
        found.setdefault(key, []).append((row, rank, stood))
    groups = {group[0][0].place: group for group in found.values()}
    sheet.rows = [group[0][0] for group in found.values()]
    lone = sum(sum(rank == rank for _, rank, _ in group) < 2 for group in groups.values())
    if lone:
        sheet.notices.append(
            f'{counted(lone, "prompt has", "prompts have")} at most one answer with a {kind} in column "{by}": there '
            "is nothing to compare it with, so it is no judgement."
        )
    return groups


def _is_good(cell: object) -> bool | None:
    """What a label says of one answer; None where it is no label."""
    word = fold(as_text(cell))
    return True if word in _GOOD else False if word in _POOR else as_truth(cell)


def _key(cell: object) -> str:
    return " ".join(cell.split()) if isinstance(cell, str) else repr(cell)


def _all_are(sheet: Sheet, kind: str, by: str) -> bool:
    """Whether a column holds labels, or numbers, and nothing else."""
    cells = [cell for row in sheet.rows if not is_missing(cell := row.values.get(by))]
    return bool(cells) and all((_is_good if kind == "label" else as_number)(cell) is not None for cell in cells)


def _grouped(sheet: Sheet, group: Group, read: Reader) -> Found:
    found = [read(row) for row, _, _ in group]
    ranks = {place: rank for place, (_, rank, _) in enumerate(group) if rank == rank}
    judgements: tuple[FoundJudgement, ...] = ()
    if len(ranks) > 1:
        said = sheet.said(group[0][0])
        judgements = (FoundJudgement(tiers_of(ranks), False, said.annotator, said.country),)
    about = tuple(replace(one.about[0], stood=stood) for one, (_, _, stood) in zip(found, group, strict=True))
    return Found(found[0].prompt, tuple(one.cells[0] for one in found), about, judgements)
