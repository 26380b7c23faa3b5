"""Every public form of a preference set becomes examples: a prompt, its answers, and what the file says of them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import AnnotError, SourceError
from annotation.reading.examples import Examples, read_examples

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "trials").exists(), reason=f"{DATA} is not here: public trial data is not in the repository"
)

Q1, Q2 = "¿Qué se lleva a una posada?", "¿Cómo se saluda a una vecina?"
A, B, C = "Un ponche casero.", "Cualquier cosa sirve.", "Fruta de temporada."
FIRST, SECOND, TIE = ((0,), (1,)), ((1,), (0,)), ((0, 1),)
BAD = "all are bad"
BRIEF = "Sé breve."
EVA, LEO = "eva@example.org", "leo@example.org"

Seen = tuple[str, str, list[str], list[object]]
Source = Callable[[Path], str]


def saw(question: str = Q1, answers: Sequence[str] = (A, B), *said: object, system: str = "", who: str = "") -> Seen:
    """What is expected of a row: judgements are tiers, or BAD, by one person."""
    return question, system, list(answers), [(tiers, who) for tiers in said]


def seen(found: Examples) -> list[Seen]:
    return [
        (
            one.prompt,
            one.system,
            [answer.text for answer in one.answers],
            [(BAD if said.none_acceptable else said.tiers, said.annotator) for said in one.judgements],
        )
        for one in found.kept
    ]


def lines(*rows: Mapping[str, Any], name: str = "a.jsonl") -> Source:
    """JSON lines."""
    return file("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), name)


def document(content: object, name: str = "a.json") -> Source:
    return file(json.dumps(content, ensure_ascii=False, indent=1), name)


def file(text: str, name: str, encoding: str = "utf-8") -> Source:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(text.encode(encoding))
        return str(folder / name)

    return write


def sheet(*rows: Sequence[object], delimiter: str = ",", name: str = "a.csv", encoding: str = "utf-8") -> Source:
    def write(folder: Path) -> str:
        with (folder / name).open("w", encoding=encoding, newline="") as opened:
            csv.writer(opened, delimiter=delimiter).writerows(rows)
        return str(folder / name)

    return write


def workbook(*sheets: Sequence[Sequence[object]]) -> Source:
    def write(folder: Path) -> str:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for number, rows in enumerate(sheets):
            own = book.create_sheet(f"Hoja {number}")
            for row in rows:
                own.append(list(row))
        book.save(folder / "a.xlsx")
        return str(folder / "a.xlsx")

    return write


def asked(text: str, **more: str) -> dict[str, str]:
    return {"role": "user", "content": text, **more}


def told(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def talk(answer: str) -> list[dict[str, str]]:
    return [asked(Q1), told(answer)]


def task(*annotations: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": {"prompt": Q1, "answer1": A, "answer2": B}, "annotations": list(annotations)}


def chose(side: str, who: object, **more: object) -> dict[str, Any]:
    result = {"type": "pairwise", "from_name": "c", "to_name": "answer1,answer2", "value": {"selected": side}}
    return {"completed_by": who, "result": [result], **more}


PAIR = {"prompt": Q1, "chosen": A, "rejected": B}
RATED = [
    {"response": A, "overall_score": 8.5},
    {"response": B, "overall_score": 6},
    {"response": C, "overall_score": 8.5},
]
FORMS: dict[str, tuple[Source, list[Seen]]] = {
    "v0 with its flags": (
        lines(
            {"username": EVA, "system_prompt": BRIEF, "question": Q1, "chosen": A, "rejected": B, "tie": False},
            {"username": EVA, "question": Q2, "chosen": A, "rejected": B, "tie": True, "both_bad": False},
            {"username": LEO, "question": Q2, "chosen": A, "rejected": B, "tie": False, "both_bad": True},
        ),
        [
            saw(Q1, (A, B), FIRST, system=BRIEF, who=EVA),
            saw(Q2, (A, B), TIE, who=EVA),
            saw(Q2, (A, B), BAD, who=LEO),
        ],
    ),
    "v0 with flags in words": (
        sheet(
            ["país", "question", "chosen", "rejected", "tie"],
            ["Perú", Q1, A, B, "FALSO"],
            ["Perú", Q2, A, B, "VERDADERO"],
            delimiter=";",
            encoding="utf-8-sig",
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (A, B), TIE)],
    ),
    "UltraFeedback": (lines({"instruction": Q1, "completions": RATED}), [saw(Q1, (A, B, C), ((0, 2), (1,)))]),
    "UltraFeedback as Python text": (
        sheet(
            ["instruction", "completions"], [Q1, repr([{"response": A, "rating": 1.0}, {"response": B, "rating": 2}])]
        ),
        [saw(Q1, (A, B), SECOND)],
    ),
    "UltraFeedback in two": (
        lines({**PAIR, "prompt_id": "x", "chosen": talk(A), "rejected": talk(B), "messages": talk(A)}),
        [saw(Q1, (A, B), FIRST)],
    ),
    "TRL, explicit and conversational, keys in another order": (
        lines(
            {"rejected": [told(B)], "chosen": [told(A)], "prompt": [{"content": BRIEF, "role": "system"}, asked(Q1)]}
        ),
        [saw(Q1, (A, B), FIRST, system=BRIEF)],
    ),
    "TRL, implicit": (lines({"chosen": talk(A), "rejected": talk(B)}), [saw(Q1, (A, B), FIRST)]),
    "TRL, implicit and plain": (
        lines({"chosen": f"{Q1} {A}", "rejected": f"{Q1} {B}"}),
        [saw(Q1, (A, B), FIRST)],
    ),
    "TRL, one answer and a label": (
        lines(
            {"prompt": Q1, "completion": A, "label": True},
            {"prompt": Q2, "completion": C, "label": False},
            {"prompt": Q1, "completion": B, "label": False},
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (C,))],
    ),
    "ShareGPT with a null": (
        document(
            [
                {
                    "conversations": [{"from": "human", "value": Q1}],
                    "chosen": {"from": "gpt", "value": A},
                    "rejected": None,
                }
            ]
        ),
        [saw(Q1, (A, ""))],
    ),
    "Alpaca with two outputs": (
        document(
            [
                {"instruction": Q1, "input": "En Puebla", "output_1": A, "output_2": B, "preference": 2},
                {"instruction": Q2, "input": "", "output_1": A, "output_2": B, "preference": 1},
            ]
        ),
        [saw(f"{Q1}\n\nEn Puebla", (A, B), SECOND), saw(Q2, (A, B), FIRST)],
    ),
    "instructions with a context": (
        document([{"instruction": Q1, "context": "", "response": A}]),
        [saw(Q1, (A,))],
    ),
    "roles in Spanish": (
        lines(
            {
                "mensajes": [{"rol": "sistema", "contenido": BRIEF}, {"rol": "usuario", "contenido": Q1}],
                "elegida": A,
                "rechazada": B,
            }
        ),
        [saw(Q1, (A, B), FIRST, system=BRIEF)],
    ),
    "SFT messages": (
        lines({"messages": [*talk(A), asked(Q2), told(B)]}),
        [saw(f"Human: {Q1}\n\nAssistant: {A}\n\nHuman: {Q2}", (B,))],
    ),
    "messages as numpy writes them": (
        sheet(
            ["chosen", "rejected"],
            [repr([asked(Q1)])[:-1] + f"\n {told(A)!r}]", repr([asked(Q1)])[:-1] + f" {told(B)!r}]"],
        ),
        [saw(Q1, (A, B), FIRST)],
    ),
    "an arena's conversations": (
        lines(
            {
                "model_a": "x",
                "model_b": "y",
                "winner": "model_b",
                "judge": "j1",
                "conversation_a": talk(A),
                "conversation_b": talk(B),
            },
            {
                "model_a": "x",
                "model_b": "y",
                "winner": "tie",
                "judge": "j1",
                "conversation_a": talk(A),
                "conversation_b": talk(B),
            },
            {
                "model_a": "x",
                "model_b": "y",
                "winner": "tie (bothbad)",
                "judge": "j2",
                "conversation_a": talk(A),
                "conversation_b": talk(B),
            },
        ),
        [saw(Q1, (A, B), SECOND, who="j1"), saw(Q1, (A, B), TIE, who="j1"), saw(Q1, (A, B), BAD, who="j2")],
    ),
    "an arena's lists in text and three columns": (
        sheet(
            ["prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"],
            [json.dumps([Q1]), json.dumps([A]), json.dumps([B]), 0, 1, 0],
            [repr([Q2]), repr([A]), repr([B]), 0, 0, 1],
            [json.dumps([Q1, Q2]), json.dumps(["Hola", A]), json.dumps(["Hola", B]), 1, 0, 0],
        ),
        [
            saw(Q1, (A, B), SECOND),
            saw(Q2, (A, B), TIE),
            saw(f"Human: {Q1}\n\nAssistant: Hola\n\nHuman: {Q2}", (A, B), FIRST),
        ],
    ),
    "a winner by the name of its model": (
        sheet(
            ["question", "response_a", "response_b", "model_a", "model_b", "winner"],
            [Q1, A, B, "gpt-4", "aya-8b", "aya-8b"],
        ),
        [saw(Q1, (A, B), SECOND)],
    ),
    "a questionnaire": (
        sheet(
            ["Pregunta", "Respuesta A", "Respuesta B", "¿Con cuál te quedas?", "Correo electrónico"],
            [Q1, A, B, "La respuesta de la izquierda", EVA],
            [Q1, A, B, "Prefiero la segunda", ""],
            [Q1, A, B, "Las dos están mal", LEO],
            [Q1, A, B, "Ambas son buenas", LEO],
            [Q1, A, B, "Ninguna de las dos", LEO],
            [Q1, A, B, "Me da igual", LEO],
            [Q1, A, B, "", LEO],
            delimiter=";",
        ),
        [
            saw(Q1, (A, B), FIRST, who=EVA),
            saw(Q1, (A, B), SECOND),
            saw(Q1, (A, B), BAD, who=LEO),
            saw(Q1, (A, B), TIE, who=LEO),
            saw(Q1, (A, B), BAD, who=LEO),
            saw(Q1, (A, B), TIE, who=LEO),
            saw(Q1, (A, B)),
        ],
    ),
    "answers 0 and 1": (
        lines({"prompt": Q1, "response_0": A, "response_1": B, "better_response_id": 1}),
        [saw(Q1, (A, B), SECOND)],
    ),
    "0 and 1 of answers 1 and 2": (
        sheet(["prompt", "response_1", "response_2", "winner"], [Q1, A, B, "1"], [Q2, A, B, "0"]),
        [saw(Q1, (A, B)), saw(Q2, (A, B))],
    ),
    "a scale from one side to the other": (
        lines(
            {"context": [asked(Q1)], "response1": A, "response2": B, "overall_preference": -2},
            {"context": [asked(Q2)], "response1": A, "response2": B, "overall_preference": 3},
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (A, B), SECOND)],
    ),
    "one answer and its score a row": (
        lines(
            {"prompt": Q1, "response": A, "helpfulness": 4, "verbosity": 1},
            {"prompt": Q1, "response": B, "helpfulness": 2, "verbosity": 1},
        ),
        [saw(Q1, (A, B), FIRST)],
    ),
    "scores with a decimal comma": (
        sheet(["pregunta", "respuesta", "puntuacion"], [Q1, A, "3,5"], [Q1, B, "4,5"], delimiter=";"),
        [saw(Q1, (A, B), SECOND)],
    ),
    "ranks in columns of their own": (
        sheet(
            ["prompt", "answer_1", "answer_2", "answer_3", "rank_answer_1", "rank_answer_2", "rank_answer_3"],
            [Q1, A, B, C, "2º", "1º", "2º"],
        ),
        [saw(Q1, (A, B, C), ((1,), (0, 2)))],
    ),
    "ranks from zero, and one missing": (
        lines({"prompt": Q1, "candidates": [A, B, C], "ranks": [0, None, 2]}),
        [saw(Q1, (A, B, C), ((0,), (2,)))],
    ),
    "an order in words": (
        lines({"prompt": Q1, "responses": [A, B, C], "ranking": "B > A = C"}),
        [saw(Q1, (A, B, C), ((1,), (0, 2)))],
    ),
    "an order or ranks": (lines({"prompt": Q1, "responses": [A, B, C], "ranking": [2, 3, 1]}), [saw(Q1, (A, B, C))]),
    "the place of the best": (
        lines({"question": Q1, "responses": [A, B], "choice": 1}, {"question": Q2, "responses": [A, B], "choice": 0}),
        [saw(Q1, (A, B), SECOND), saw(Q2, (A, B), FIRST)],
    ),
    "answers by the names of models": (
        lines({"prompt": Q1, "responses": {"gpt": A, "aya": B}, "scores": {"aya": 2, "gpt": 1}}),
        [saw(Q1, (A, B), SECOND)],
    ),
    "an OASST tree": (
        lines(
            {
                "message_tree_id": "t",
                "prompt": {
                    "text": Q1,
                    "role": "prompter",
                    "replies": [
                        {
                            "text": A,
                            "role": "assistant",
                            "rank": 1,
                            "replies": [{"text": Q2, "role": "prompter", "replies": []}],
                        },
                        {"text": B, "role": "assistant", "rank": 0, "replies": []},
                    ],
                },
            }
        ),
        [saw(Q1, (A, B), SECOND), saw(f"Human: {Q1}\n\nAssistant: {A}\n\nHuman: {Q2}", ())],
    ),
    "Label Studio": (
        document(
            [
                task(chose("left", 3), chose("right", {"id": 4, "email": EVA})),
                task(chose("left", 3, was_cancelled=True)),
            ]
        ),
        [(Q1, "", [A, B], [(FIRST, "3"), (SECOND, EVA)]), saw(Q1, (A, B))],
    ),
    "Label Studio, JSON-MIN": (
        document(
            [{"id": 1, "prompt": Q1, "answer1": A, "answer2": B, "cmp": "right", "annotator": 7, "lead_time": 3.2}]
        ),
        [saw(Q1, (A, B), SECOND, who="7")],
    ),
    "Label Studio, csv by two people": (
        sheet(
            ["annotation_id", "annotator", "answer1", "answer2", "cmp", "prompt"],
            [3, EVA, A, B, json.dumps({"selected": "left"}), Q1],
            [4, LEO, A, B, "right", Q1],
        ),
        [saw(Q1, (A, B), FIRST, who=EVA), saw(Q1, (A, B), SECOND, who=LEO)],
    ),
    "Label Studio, a ranking": (
        document(
            [
                {
                    "data": {"prompt": Q1, "answers": [{"id": "a1", "body": A}, {"id": "a2", "body": B}]},
                    "annotations": [
                        {"completed_by": 2, "result": [{"type": "ranker", "value": {"ranker": {"rank": ["a2", "a1"]}}}]}
                    ],
                }
            ]
        ),
        [saw(Q1, (A, B), SECOND, who="2")],
    ),
    "Argilla's server": (
        document(
            {
                "items": [
                    {
                        "fields": {"prompt": Q1, "response-0": A, "response-1": B},
                        "metadata": {"country": "CL"},
                        "responses": [
                            {
                                "status": "submitted",
                                "user_id": "u1",
                                "values": {
                                    "ranking": {
                                        "value": [
                                            {"value": "response-0", "rank": 2},
                                            {"value": "response-1", "rank": 1},
                                        ]
                                    }
                                },
                            },
                            {"status": "discarded", "user_id": "u2", "values": {}},
                        ],
                    }
                ]
            }
        ),
        [saw(Q1, (A, B), SECOND, who="u1")],
    ),
    "Argilla's library": (
        document(
            [
                {
                    "fields": {"prompt": Q1, "A": A, "B": B},
                    "metadata": {},
                    "suggestions": {},
                    "responses": {"choice": [{"value": "B", "user_id": "u1"}, {"value": "tie", "user_id": "u2"}]},
                }
            ]
        ),
        [(Q1, "", [A, B], [(SECOND, "u1"), (TIE, "u2")])],
    ),
    "Argilla in columns": (
        lines(
            {
                "prompt": Q1,
                "response_a": A,
                "response_b": B,
                "choice.responses": ["response_b"],
                "choice.responses.users": ["u1"],
                "choice.responses.status": ["submitted"],
                "choice.suggestion": None,
            }
        ),
        [saw(Q1, (A, B), SECOND, who="u1")],
    ),
    "Argilla in columns, ranks lost": (
        lines({"prompt": Q1, "A": A, "B": B, "ranking.responses": [["A", "B"]], "ranking.responses.users": ["u1"]}),
        [saw(Q1, (A, B))],
    ),
    "Argilla's older datasets": (
        lines(
            {
                "prompt": Q1,
                "response-1": A,
                "response-2": B,
                "ranking-suggestion": None,
                "metadata": '{"country": "CL"}',
                "ranking": [
                    {
                        "user_id": "u1",
                        "status": "submitted",
                        "value": [{"rank": 1, "value": "response-2"}, {"rank": 2, "value": "response-1"}],
                    }
                ],
            }
        ),
        [saw(Q1, (A, B), SECOND, who="u1")],
    ),
    "Argilla's suggested texts": (
        lines({"prompt": Q1, "chosen.suggestion": A, "rejected.suggestion": B, "chosen.responses": None}),
        [saw(Q1, (A, B), FIRST)],
    ),
    "our rankings": (
        lines(
            {
                "slate_id": "s",
                "system": BRIEF,
                "prompt": Q1,
                "annotator": "annotator-0123456789",
                "candidates": [A, B],
                "ranks": [2, 1],
            },
            {
                "slate_id": "s",
                "prompt": Q2,
                "annotator": "annotator-0123456789",
                "candidates": [A, B],
                "ranks": [],
                "none_acceptable": True,
            },
        ),
        [
            saw(Q1, (A, B), SECOND, system=BRIEF, who="annotator-0123456789"),
            saw(Q2, (A, B), BAD, who="annotator-0123456789"),
        ],
    ),
    "our preferences": (
        lines({**PAIR, "votes_for": 2, "votes_against": 1, "ties": 1, "annotators": ["x", "y"]}),
        [saw(Q1, (A, B), FIRST, FIRST, SECOND, TIE)],
    ),
    "our duels": (
        lines(
            {
                "duel_id": "d",
                "prompt": Q1,
                "typed_prompt": "",
                "answer_a": A,
                "answer_b": B,
                "choice": "both_bad",
                "annotator": "",
            }
        ),
        [saw(Q1, (A, B), BAD)],
    ),
    "pandas, split": (
        document({"columns": ["prompt", "chosen", "rejected"], "index": [0], "data": [[Q1, A, B]]}),
        [saw(Q1, (A, B), FIRST)],
    ),
    "pandas, table": (document({"schema": {"fields": []}, "data": [{"index": 0, **PAIR}]}), [saw(Q1, (A, B), FIRST)]),
    "columns of lists": (document({"prompt": [Q1], "chosen": [A], "rejected": [B]}), [saw(Q1, (A, B), FIRST)]),
    "splits": (document({"train": [PAIR], "test": [PAIR]}), [saw(Q1, (A, B), FIRST)] * 2),
    "the Hub's server": (document({"rows": [{"row_idx": 0, "row": PAIR}]}), [saw(Q1, (A, B), FIRST)]),
    "a list under the name of lines": (document([PAIR], "a.jsonl"), [saw(Q1, (A, B), FIRST)]),
    "a mark before JSON": (file(json.dumps(PAIR), "a.jsonl", "utf-8-sig"), [saw(Q1, (A, B), FIRST)]),
    "pipes, and commas in the cells": (
        file(f"question|chosen|rejected\n{Q1}|Uno, dos, tres, cuatro.|{B}\n", "a.csv"),
        [saw(Q1, ("Uno, dos, tres, cuatro.", B), FIRST)],
    ),
    "semicolons, and commas in the head": (
        file(f"question;chosen;rejected;notas, dudas, y, otras, cosas\n{Q1};{A};{B};x\n", "a.csv"),
        [saw(Q1, (A, B), FIRST)],
    ),
    "semicolons under the name of tabs": (
        file(f"question;chosen;rejected\n{Q1};{A};{B}\n", "a.tsv"),
        [saw(Q1, (A, B), FIRST)],
    ),
    "a title above a csv": (
        file(f"Encuesta,,\n,,\nquestion,chosen,rejected\n{Q1},{A},{B}\n", "a.csv"),
        [saw(Q1, (A, B), FIRST)],
    ),
    "titles and two heads": (
        workbook(
            [
                ["Proyecto"],
                ["hecho en mayo"],
                [],
                ["Pregunta", "Respuestas", None, "Gana"],
                [None, "A", "B", None],
                [Q1, A, B, "A"],
                [Q2, A, B, "Empate"],
            ]
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (A, B), TIE)],
    ),
    "groups above whole heads": (
        workbook(
            [
                ["Datos", None, "Respuestas", None],
                ["país", "pregunta", "chosen", "rejected"],
                ["Chile", Q1, A, B],
                ["Chile", Q2, A, B],
            ]
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (A, B), FIRST)],
    ),
    "a cover of two columns": (
        workbook(
            [["Proyecto", "Posada"], ["Fecha", "mayo"]], [["pregunta", "elegida", "rechazada"], [Q1, A, B], [Q2, A, B]]
        ),
        [saw(Q1, (A, B), FIRST), saw(Q2, (A, B), FIRST)],
    ),
    "nothing in cells": (
        file(f'[{{"prompt": "{Q1}", "chosen": "{A}", "rejected": NaN}}]', "a.json"),
        [saw(Q1, (A, ""))],
    ),
    "answers as objects": (
        lines({"prompt": Q1, "chosen": {"text": A, "model": "x"}, "rejected": {"content": B}}),
        [saw(Q1, (A, B), FIRST)],
    ),
    "an exam is no comparison": (
        sheet(["question", "A", "B", "C", "D", "answer"], [Q1, "uno", "dos", "tres", "cuatro", "B"]),
        [saw(Q1, ())],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_with_all_that_it_says(tmp_path: Path, name: str) -> None:
    source, expected = FORMS[name]
    assert seen(read_examples(source(tmp_path), languages=["es"])) == expected


def test_a_packed_file_is_read_as_it_would_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(PAIR).encode()))
    assert seen(read_examples(str(tmp_path / "a.jsonl.gz"))) == [saw(Q1, (A, B), FIRST)]


def test_what_is_not_read_is_named_and_counted(tmp_path: Path) -> None:
    found = read_examples(lines({**PAIR, "margin": 2.5, "nota": ""}, {**PAIR, "margin": None, "nota": "x"})(tmp_path))
    assert found.notices == (
        'Not read (cells with something in them): "margin" (1), "nota" (1); --column topic=NAME, for example, says '
        "what one means.",
    )
    document = {"train": [PAIR], "otros": [{"a": 1}]}
    (notice,) = read_examples(lines(document, name="b.json")(tmp_path)).notices
    assert 'only the rows under "train" were read, not those under "otros" (1)' in notice


def test_numbers_that_can_be_read_in_two_ways_are_no_judgement_and_said(tmp_path: Path) -> None:
    rows = [["prompt", "response_1", "response_2", "winner"], [Q1, A, B, "1"], [Q2, A, B, "0"]]
    found = read_examples(sheet(*rows)(tmp_path))
    assert (
        'Column "winner" holds numbers that can be read in two ways, so its 2 judgements were not read'
        in found.notices[0]
    )


def test_a_judgement_in_unknown_words_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [
        ["prompt", "response_1", "response_2", "winner"],
        [Q1, A, B, "response_1"],
        [Q2, A, B, "llama a ana@example.org"],
    ]
    found = read_examples(sheet(*rows)(tmp_path))
    assert [len(one.judgements) for one in found.kept] == [1, 0]
    (dropped,) = found.dropped
    assert (dropped.id, dropped.reason) == ("a.csv:3 judgement", "judgement not understood")
    assert "[email]" in dropped.because_of


def test_conversations_that_differ_and_roles_of_nobody_are_dropped_with_their_row(tmp_path: Path) -> None:
    found = read_examples(
        lines(
            {"chosen": talk(A), "rejected": [asked(Q2), told(B)]},
            {"prompt": [asked(Q1)], "chosen": [told(A)], "rejected": [asked(B)]},
            {"prompt": [{"role": "nube_92", "content": Q1}], "chosen": A, "rejected": B},
        )(tmp_path)
    )
    assert [(drop.id, drop.because_of) for drop in found.dropped] == [
        ("a.jsonl:1", "conversations differ before the last answer"),
        ("a.jsonl:2", "conversation without a last answer"),
        ("a.jsonl:3", "a role that is none of system, user and assistant"),
    ]


def test_a_table_without_a_prompt_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r'no column that annot knows as the prompt; its columns are "frase", "color"'
    ):
        read_examples(sheet(["frase", "color"], [Q1, "rojo"])(tmp_path))


CELLS = st.recursive(
    st.sampled_from(["", Q1, A, "model_a", "tie", "[", "{'a': 1", "['x' 'y']", "B > A", "1", "nan"])
    | st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-3, 3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "value", "rank", "user_id", "result", "selected", "replies"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
COLUMNS = (
    *("prompt", "chosen", "rejected", "response_a", "response_b", "winner", "candidates", "ranks", "scores", "ranking"),
    *("data", "annotations", "fields", "responses", "choice.responses", "message_id", "parent_id", "role", "text"),
    *(
        "instruction",
        "input",
        "output",
        "label",
        "answer",
        "score",
        "metadata",
        "tie",
        "both_bad",
        "messages",
        "choice",
    ),
)


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS, max_size=6), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_the_cells_it_is_examples_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps(rows))
    try:
        found = read_examples(str(path))
    except AnnotError:
        return
    for one in found.kept:
        for said in one.judgements:
            places = [place for tier in said.tiers for place in tier]
            assert len(places) == len(set(places))
            assert all(one.answers[place].text.strip() for place in places)


TRIALS = {
    "t01_sharegpt_pairs.json": (2, 4, 2),
    "t02_alpaca_input.json": (4, 4, 0),
    "t04_messages_and_texts.jsonl": (2, 4, 2),
    "t05_pandas_columns.json": (2, 0, 0),
    "t07_oasst_messages.jsonl": (1, 2, 1),
    "t11_excel_unicode.csv": (2, 0, 0),
    "t14_implicit_prompt.jsonl": (2, 4, 2),
    "t16_v0_form.jsonl": (2, 4, 2),
    "t17_pairs_names.jsonl": (8, 16, 8),
    "t20_two_row_head.xlsx": (1, 2, 0),
    "t21_cover_sheet.xlsx": (1, 0, 0),
    "t22_long_answers.csv": (4, 4, 0),
    "t23_error_banner.jsonl": (10, 20, 10),
    "t24_margin_scores.jsonl": (10, 20, 10),
    "t25_null_answer.jsonl": (10, 20, 9),
    "t26_roles_human_gpt.jsonl": (10, 20, 10),
    "t27_wrong_role_names.jsonl": (10, 20, 10),
    "t28_rejected_from_user.jsonl": (0, 0, 0),
    "t30_ranks_from_zero.jsonl": (10, 30, 10),
}
"""File of the trials -> examples, answers and judgements that it gives."""


@needs_data
@pytest.mark.parametrize("name", TRIALS)
def test_the_trials_give_what_they_must(name: str) -> None:
    found = read_examples(str(DATA / "trials" / name), languages=["es"])
    counts = (len(found.kept), sum(len(e.answers) for e in found.kept), sum(len(e.judgements) for e in found.kept))
    assert counts == TRIALS[name]
    assert len(found.kept) + len(found.dropped) == found.rows or name.startswith("t07")


@needs_data
def test_transcripts_of_a_public_set_give_a_judgement_each() -> None:
    found = read_examples(str(DATA / "preferences" / "hh_rlhf_harmless_base_test.jsonl.gz"))
    assert found.rows == len(found.kept) + len(found.dropped) == 2312
    assert {drop.because_of for drop in found.dropped} <= {
        "conversations differ before the last answer",
        "conversation without a last answer",
        "conversation without a last question",
    }
    assert all(one.judgements or not all(a.text for a in one.answers) for one in found.kept)
    assert len(found.kept) > 2250


def test_an_answer_that_is_json_stays_as_it_is(tmp_path: Path) -> None:
    (row,) = read_examples(lines({"prompt": Q1, "chosen": '{"plato": "mole"}', "rejected": B})(tmp_path)).kept
    assert [answer.text for answer in row.answers] == ['{"plato": "mole"}', B]


def test_a_pair_whose_count_of_votes_is_blank_says_what_its_columns_say(tmp_path: Path) -> None:
    source = lines(
        {"prompt": Q1, "chosen": A, "rejected": B, "votes_for": None},
        {"prompt": Q2, "chosen": A, "rejected": B, "votes_for": 2},
    )
    assert [len(one.judgements) for one in read_examples(source(tmp_path)).kept] == [1, 2]


def test_ranks_and_ratings_of_one_annotation_are_not_mixed(tmp_path: Path) -> None:
    ranking = [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 2}]
    values = {"ranking": {"value": ranking}, "rating-response-2": {"value": 5}}
    response = {"user_id": "u", "status": "submitted", "values": values}
    fields = {"prompt": Q1, "response-1": A, "response-2": B}
    source = document([{"fields": fields, "responses": [response]}])
    assert seen(read_examples(source(tmp_path))) == [saw(Q1, (A, B), FIRST, who="u")]


def test_a_remark_beside_a_choice_is_no_choice(tmp_path: Path) -> None:
    values = {"choice": {"value": "response-2"}, "remark": {"value": "muy bueno"}}
    response = {"user_id": "u", "status": "submitted", "values": values}
    fields = {"prompt": Q1, "response-1": A, "response-2": B}
    source = document([{"fields": fields, "responses": [response]}])
    assert seen(read_examples(source(tmp_path))) == [saw(Q1, (A, B), SECOND, who="u")]


def test_a_label_beside_a_pairwise_choice_is_no_choice(tmp_path: Path) -> None:
    result = [
        {"type": "pairwise", "from_name": "best", "value": {"selected": "left"}},
        {"type": "choices", "from_name": "register", "value": {"choices": ["formal"]}},
    ]
    source = document([{"data": {"prompt": Q1, "answer1": A, "answer2": B}, "annotations": [{"result": result}]}])
    assert seen(read_examples(source(tmp_path))) == [saw(Q1, (A, B), FIRST)]


def test_a_number_that_is_none_does_not_end_the_reading(tmp_path: Path) -> None:
    source = lines({"prompt": Q1, "answer_1": A, "answer_2": B, "score_1": 10**400, "score_2": 1})
    assert seen(read_examples(source(tmp_path))) == [saw(Q1, (A, B))]
