"""What a file says of answers is read in the right direction, or counted; nothing is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from annotation.errors import SourceError
from annotation.reading.examples import Examples, read_examples

Q, OTHER = "¿Qué se lleva a una posada?", "¿Cómo se saluda a una vecina?"
A, B, C = "Un ponche casero.", "Cualquier cosa sirve.", "Fruta de temporada."
PAIR = {"prompt": Q, "chosen": A, "rejected": B}
SIDES = {"prompt": Q, "response_a": A, "response_b": B}
FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)


def read(folder: Path, *rows: Any, name: str = "a.jsonl") -> Examples:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_examples(str(path))


def tiers(found: Examples) -> list[object]:
    return [judgement.tiers for one in found.kept for judgement in one.judgements]


def counted(found: Examples) -> list[str]:
    return [dropped.because_of for dropped in found.dropped]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("A > B", FIRST),
        ("[[A>>B]]", FIRST),
        ("model_a > model_b", FIRST),
        ("Respuesta A > Respuesta B", FIRST),
        ("A es mejor que B", FIRST),
        ("B es mejor que A", SECOND),
        ("A is slightly better than B", FIRST),
        ("A gana a B", FIRST),
        ("A < B", SECOND),
        ("A = B", TIE),
        ("A resposta B é melhor", SECOND),
        ("La respuesta A", FIRST),
    ],
)
def test_words_with_the_names_of_both_answers_say_which_one_is_better(
    words: str, expected: object, tmp_path: Path
) -> None:
    assert tiers(read(tmp_path, {**SIDES, "winner": words})) == [expected]


@pytest.mark.parametrize("words", ["A, B", "prefiero A que B", "A no es mejor que B", "B, no A", "A > A", "A > Z"])
def test_words_that_do_not_say_which_answer_is_better_are_counted(words: str, tmp_path: Path) -> None:
    found = read(tmp_path, {**SIDES, "winner": words})
    assert not tiers(found)
    assert counted(found) == [f'"{words}"']


def test_chosen_and_rejected_may_name_the_answers_beside_them(tmp_path: Path) -> None:
    found = read(tmp_path, {**SIDES, "chosen": "response_b", "rejected": "response_a"})
    assert [answer.text for answer in found.kept[0].answers] == [A, B]
    assert tiers(found) == [SECOND]


@pytest.mark.parametrize("column", ["chosen", "preferred", "best"])
def test_a_winner_may_be_the_text_of_an_answer(column: str, tmp_path: Path) -> None:
    assert tiers(read(tmp_path, {**SIDES, column: B})) == [SECOND]


def test_a_tie_in_words_is_one_and_other_words_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, {**PAIR, "tie": "empate"}, {**PAIR, "prompt": OTHER, "tie": "quizás"})
    assert tiers(found) == [TIE]
    assert counted(found) == ['tie "quizás"']


def test_two_winners_at_once_are_none(tmp_path: Path) -> None:
    found = read(tmp_path, {**SIDES, "winner_model_a": 1, "winner_model_b": 1, "winner_tie": 0})
    assert not tiers(found)
    assert counted(found) == ['"a and b"']


@pytest.mark.parametrize(
    ("ranks", "expected"), [("1,3,2", [((0,), (2,), (1,))]), ("2 1 3", [((1,), (0,), (2,))]), ("first", [])]
)
def test_ranks_in_a_text_are_read_or_counted(ranks: str, expected: list[object], tmp_path: Path) -> None:
    found = read(tmp_path, {"prompt": Q, "responses": [A, B, C], "ranks": ranks})
    assert tiers(found) == expected
    assert len(found.dropped) == (not expected)


def test_a_rank_beside_an_answer_that_is_no_number_is_counted(tmp_path: Path) -> None:
    assert len(read(tmp_path, {**SIDES, "rank_a": "alto", "rank_b": "bajo"}).dropped) == 1
    assert tiers(read(tmp_path, {**SIDES, "rank_a": "2nd", "rank_b": "1st"})) == [SECOND]


def test_labels_may_be_called_chosen_and_rejected(tmp_path: Path) -> None:
    rows = [{"prompt": Q, "response": text, "label": label} for text, label in ((A, "rejected"), (B, "chosen"))]
    assert tiers(read(tmp_path, *rows)) == [SECOND]


def test_a_system_text_in_an_object_is_used_and_another_one_is_refused(tmp_path: Path) -> None:
    system = [{"role": "system", "content": "Sé breve."}]
    found = read(tmp_path, {**PAIR, "system": system}, {**PAIR, "prompt": OTHER, "system": ["uno", "dos"]})
    assert [one.system for one in found.kept] == ["Sé breve."]
    assert counted(found) == ["a system text that is a list or an object"]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": Q, "output": [A, B]},
        {"instruction": Q, "output": {"first": A, "second": B}},
        {"prompt": Q, "chosen": A, "rejected": [B, C]},
    ],
)
def test_an_answer_that_is_no_text_is_counted(row: dict[str, Any], tmp_path: Path) -> None:
    assert [dropped.reason for dropped in read(tmp_path, row).dropped] == ["an answer that is no text"]


def test_keys_of_answers_and_lists_in_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, {"prompt": Q, "country": ["MX", "PE"], "answers": [{"text": A, "votes": 3}, {"text": B}]})
    assert '"answers.votes" (1), "country" (1)' in found.notices[-1]


def test_a_prompt_in_an_object_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, {**PAIR, "prompt": {"text": Q, "lang": "es"}}).kept[0].prompt == Q


def test_cells_that_the_server_cut_short_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        {"row_idx": 0, "row": PAIR, "truncated_cells": ["chosen"]},
        {"row_idx": 1, "row": {**PAIR, "prompt": OTHER}},
    ]
    found = read(tmp_path, {"features": [], "rows": rows}, name="a.json")
    assert [[answer.text for answer in one.answers if answer.text] for one in found.kept] == [[B], [A, B]]
    assert "cut short, and that were not read: 1" in " ".join(found.notices)


def test_a_table_of_pandas_may_have_names_for_its_rows(tmp_path: Path) -> None:
    by_column = {name: {"fila uno": cell, "fila dos": cell} for name, cell in PAIR.items()}
    assert tiers(read(tmp_path, by_column, name="a.json")) == [FIRST, FIRST]


def test_a_name_of_a_column_may_have_a_hint_in_brackets(tmp_path: Path) -> None:
    row = {"Pregunta (obligatoria)": Q, "respuesta 1": A, "respuesta 2": B, "preferida (1 o 2)": 2}
    assert tiers(read(tmp_path, row)) == [SECOND]


def test_answers_whose_question_is_not_there_are_a_sentence_with_their_number(tmp_path: Path) -> None:
    rows = [{"message_id": n, "parent_id": "gone", "role": "assistant", "text": n} for n in "ab"]
    with pytest.raises(SourceError, match=r"holds no prompt\. 2 answers .* the message that they answer is not there"):
        read(tmp_path, *rows)


@pytest.mark.parametrize(
    "cover",
    [
        [["Instrucciones"], ["Llene todo."], ["Gracias."]],
        [["Instrucciones", "Llene la hoja Datos"], ["prompt", "su pregunta"]],
        [["Proyecto", "Encuesta"], ["Autora", "Eva"], ["Fecha", "2024"]],
    ],
)
def test_a_sheet_of_instructions_is_passed_over(cover: list[list[str]], tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for title, rows in (("Portada", cover), ("Datos", [["pregunta", "elegida", "rechazada"], [Q, A, B]])):
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.remove(book.worksheets[0])
    book.save(tmp_path / "a.xlsx")
    assert tiers(read_examples(str(tmp_path / "a.xlsx"))) == [FIRST]


def test_the_ranker_of_label_studio_calls_its_answers_items(tmp_path: Path) -> None:
    items = [{"id": "x", "body": A}, {"id": "y", "body": B}]
    ranker = {"type": "ranker", "to_name": "items", "value": {"ranker": {"rank": ["y", "x"]}}}
    task = {"id": 1, "data": {"prompt": Q, "items": items}, "annotations": [{"completed_by": 1, "result": [ranker]}]}
    assert tiers(read(tmp_path, [task], name="a.json")) == [SECOND]


@pytest.mark.parametrize("text", ['{"persona": "una vecina"}', "[Sé breve.]", "{{usuario}}"])
def test_a_system_text_that_looks_like_json_stays_as_it_is(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, {**PAIR, "system": text}).kept[0].system == text
