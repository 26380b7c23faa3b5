"""The task "check pairs": its page, what a response says, and what the answers to a sentence come to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import make_project
from rated_projects import SETTINGS, answer

from annotation.config import check_settings
from annotation.stereotypes.pairs import settled_items
from annotation.tasks import TASKS
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.form import Guard
from annotation.tasks.page import LANGUAGES, TeamPage, read_guidelines
from annotation.tasks.pair_check.check import LETTERS, RIGHT, UNFIT, VERDICTS, Check
from annotation.tasks.pair_check.item import NAME, item_of, pair_id, pairs_of
from annotation.tasks.pair_check.settled import CHECKED, DISPUTED, REJECTED, WAITING, settle
from annotation.tasks.pair_check.texts import TEXTS
from annotation.types import Answer, Item, MinimalPair

TASK = TASKS[NAME]
DEFAULT = check_settings({"task": {"pair_check": {"overlap": 2}}}, place="test")
OWED = DEFAULT.task.pair_check


def pair(other: str, **changes: Any) -> MinimalPair:
    """Mild, and the same in all but the control."""
    made = MinimalPair(
        id=pair_id("es-son", "a1", "MX", other),
        association="a1",
        template="es-son",
        language="es",
        country="MX",
        target="UY",
        control="CL",
        identity="uruguayos",
        control_identity=other,
        before="Los uruguayos son",
        control_before=f"Los {other} son",
        attribute="puntuales",
        after=".",
        known=4.0,
        raters=3,
        source="mild.csv:2",
        licence="CC-BY-4.0",
    )
    return replace(made, **changes)


PAIRS = [pair("chilenos"), pair("bolivianos", control="BO"), pair("paraguayos", control="PY")]
ITEM = item_of(PAIRS, 4, author="ana")


def read(item: Item = ITEM, **values: Any) -> Check:
    found: Check = TASK.read(item, values)
    return found


def said(*checks: Check) -> list[Answer[Check]]:
    return [Answer(f"r{n}", ITEM.id, f"mx_{n}", "MX", f"2026-01-0{n + 1}", check) for n, check in enumerate(checks)]


# -- the page ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_teams_language_and_has_a_way_out(language: str) -> None:
    settings = check_settings({"stereotypes": {"most_a_day": 7}}, place="test")
    form = TASK.form(TeamPage(language), settings, dimensions=384)
    assert set(TEXTS[language]) == set(TEXTS["en"])
    verdict, correction, controls = form.questions
    assert verdict.required
    assert list(verdict.options) == list(VERDICTS)
    assert list(verdict.options)[-2:] == ["skip", "stop"]
    assert [question.required for question in (correction, controls)] == [False, False]
    assert "".join(controls.options) == LETTERS
    assert len({one.name for one in (*form.fields, *form.questions)}) == 6  # Argilla takes no name twice
    assert form.guard == Guard("verdict", "stop", 7)
    assert (form.vector, form.overlap) == (None, 3)
    assert form.guidelines == read_guidelines("annotation.tasks.pair_check", language)
    assert 1_000 < len(form.guidelines) < 4_000
    assert all(TEXTS[language][verdict] in form.guidelines for verdict in VERDICTS)


def test_no_two_datasets_of_a_team_have_the_same_name() -> None:
    for language in LANGUAGES:
        names = [task.form(TeamPage(language), DEFAULT).names[0] for task in TASKS.values()]
        assert len(names) == len(set(names))


def test_a_record_shows_the_sentence_and_its_controls_by_letter() -> None:
    made = TASK.record(ITEM, Texts({}, {}), None)
    assert made["fields"] == {
        "sentence": "Los uruguayos son puntuales.",
        "words": "puntuales",
        "others": "\n".join(f"{letter}. {one.control_sentence}" for letter, one in zip("ABC", PAIRS, strict=True)),
    }
    assert made["metadata"]["author"] == "ana"
    assert made["metadata"]["topic"] == "UY"
    hostile = item_of([replace(one, attribute="<img onerror=x>‮") for one in PAIRS], 0)
    shown = TASK.record(hostile, Texts({}, {}), None)["fields"]
    assert "<img" not in json.dumps(shown)
    assert "‮" not in json.dumps(shown, ensure_ascii=False)


# -- items ------------------------------------------------------------------------------------------------


def test_an_item_holds_its_pairs_whole() -> None:
    assert pairs_of(ITEM) == PAIRS
    assert pairs_of(replace(ITEM, content=json.loads(json.dumps(ITEM.content)))) == PAIRS
    assert (ITEM.country, ITEM.language, ITEM.topic, ITEM.position) == ("MX", "es", "UY", 4)
    assert "author" not in item_of(PAIRS, 0).content
    assert item_of([replace(one, target="") for one in PAIRS], 0).topic == "other"
    assert item_of(PAIRS[:2], 0).id == ITEM.id != item_of([replace(one, country="AR") for one in PAIRS], 0).id


def test_sentences_that_differ_in_more_than_the_group_are_no_item() -> None:
    with pytest.raises(ValueError, match="differ in more than the group"):
        item_of([replace(PAIRS[0], control_before="Las chilenos son")], 0)
    twice = pair("chilenos", before="A los uruguayos, uruguayos son", control_before="A los uruguayos, chilenos son")
    assert pairs_of(item_of([twice], 0)) == [twice]


# -- what a person says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "nothing was chosen"),
        ({"verdict": "fine"}, "unknown verdict: fine"),
        ({"verdict": "wording"}, "another wording, and no correction"),
        ({"verdict": "wording", "correction": " puntuales. "}, "another wording, and no correction"),
        ({"verdict": "right", "correction": "muy puntuales"}, "right as it stands, and a correction"),
    ],
)
def test_an_answer_that_contradicts_itself_or_the_item_does_not_count(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        read(**values)


def test_a_letter_without_a_sentence_says_nothing() -> None:
    assert read(verdict="right", controls=["D", "B"]) == Check("right", controls=(1,))


def test_the_whole_sentence_as_a_correction_is_cut_to_the_words_after_the_group() -> None:
    assert read(verdict="wording", correction="Los uruguayos son muy  puntuales.") == Check("wording", "muy puntuales")
    assert read(verdict="right", correction="Los uruguayos son puntuales.") == Check("right")
    assert read(verdict="wording", correction="a &amp; b").correction == "a & b"


def test_who_does_not_keep_the_sentence_says_nothing_else() -> None:
    for verdict in ("unfit", "skip", "stop"):
        assert read(verdict=verdict, correction="x", controls=["A"]) == Check(verdict)
        assert Check(verdict).judges == (verdict == "unfit")


@given(
    st.sampled_from(["right", "unfit", "skip", "stop"]).flatmap(
        lambda verdict: st.builds(
            Check,
            st.just(verdict),
            st.just(""),
            st.sets(st.sampled_from([0, 1, 2]) if verdict == "right" else st.nothing()).map(lambda s: tuple(sorted(s))),
        )
    )
    | st.builds(
        Check, st.just("wording"), st.sampled_from(["muy puntuales", "Puntuales", "llegan a tiempo"]), st.just((1,))
    )
)
def test_what_is_read_is_what_was_written(check: Check) -> None:
    values = {name: value["value"] for name, value in TASK.values(ITEM, check).items()}
    assert read(**values) == check


def test_agreement_is_measured_on_whether_it_fits_and_on_its_words() -> None:
    assert TASK.units(ITEM, Check("right")) == {"fit": "fits", "words": ""}
    assert TASK.units(ITEM, Check("wording", "Muy puntuales")) == {"fit": "fits", "words": "muy puntuales"}
    assert TASK.units(ITEM, Check("unfit")) == {"fit": "unfit"}
    assert TASK.units(ITEM, Check("skip")) == TASK.units(ITEM, Check("stop")) == {}
    control = replace(ITEM, expected={"fit": "fits", "words": ""})
    assert [TASK.score(control, Check(v)) for v in ("right", "unfit", "skip")] == [1, 0, 0]


# -- what it comes to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "status", "words", "left"),
    [
        ([], WAITING, "", 0),
        ([Check(RIGHT)], WAITING, "", 0),
        ([Check(RIGHT), Check(RIGHT)], CHECKED, "puntuales", 3),
        ([Check(RIGHT), Check(RIGHT, controls=(0, 2))], CHECKED, "puntuales", 1),
        ([Check(RIGHT, controls=(0,)), Check(RIGHT, controls=(1, 2))], REJECTED, "", 0),
        ([Check("wording", "muy puntuales"), Check("wording", "Muy puntuales")], CHECKED, "muy puntuales", 3),
        ([Check(RIGHT), Check("wording", "muy puntuales")], DISPUTED, "", 0),
        ([Check(RIGHT), Check("wording", "muy puntuales"), Check(RIGHT)], CHECKED, "puntuales", 3),
        ([Check(UNFIT), Check(UNFIT)], REJECTED, "", 0),
        ([Check(RIGHT), Check(UNFIT)], DISPUTED, "", 0),
        ([Check(RIGHT), Check(UNFIT), Check(UNFIT), Check(RIGHT)], DISPUTED, "", 0),
        ([Check(RIGHT), Check("skip")], DISPUTED, "", 0),
        ([Check(RIGHT), Check("skip"), Check("stop"), Check(RIGHT)], CHECKED, "puntuales", 3),
        ([Check("skip"), Check("stop")], DISPUTED, "", 0),
    ],
)
def test_a_sentence_is_settled_by_people_who_say_the_same(
    checks: list[Check], status: str, words: str, left: int
) -> None:
    found = settle(ITEM, said(*checks), OWED)
    assert (found.status, len(found.pairs)) == (status, left)
    assert {one.attribute for one in found.pairs} == ({words} if left else set())
    assert found.answers == sum(check.judges for check in checks)
    outcome = TASK.outcome(ITEM, said(*checks), DEFAULT)
    assert dict(outcome.made) == ({} if status == WAITING else {status: 1})
    assert set(outcome.made) <= set(TASK.counted)


def test_more_people_can_be_needed() -> None:
    owed = OWED.model_copy(update={"agree": 3, "overlap": 3})
    assert settle(ITEM, said(Check(RIGHT), Check(RIGHT)), owed).status == WAITING
    found = settle(ITEM, said(Check(RIGHT), Check(RIGHT), Check(RIGHT, controls=(1,))), owed)
    assert (found.status, found.agreeing, [one.control for one in found.pairs]) == (CHECKED, 3, ["CL", "PY"])


# -- who has a say ----------------------------------------------------------------------------------------


def test_who_shared_an_association_has_no_say_in_its_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    project.ledger.add_items([ITEM])
    answer(project, ITEM, {"ana": Check(RIGHT), "mx_2": Check(RIGHT)})
    ((_, outcome),) = settled_items(project.ledger, project.settings)
    assert (outcome.status, outcome.answers) == (WAITING, 1)


def test_a_sentence_that_hangs_is_what_the_adjudicator_says() -> None:
    hung = said(Check(RIGHT), Check(UNFIT))
    assert settle(ITEM, hung, OWED).status == DISPUTED
    (decision,) = (replace(one, adjudicated=True) for one in said(Check("wording", "muy puntuales", (2,))))
    found = settle(ITEM, [*hung, decision], OWED)
    # Three people said three things.
    assert (found.status, found.answers, found.agreeing, found.corrected) == (CHECKED, 3, 1, True)
    assert [pair.attribute for pair in found.pairs] == ["muy puntuales"] * 2
    skipped = replace(decision, value=Check("skip"))
    assert settle(ITEM, [*hung, skipped], OWED).status == DISPUTED
    # It is one more answer, and no more: most people's stands.
    assert settle(ITEM, [*said(Check(UNFIT), Check(UNFIT)), decision], OWED).status == REJECTED
