"""Conversations in a cell become a prompt and its answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.reading.cells import as_text
from annotation.reading.conversations import (
    Turn,
    Unclear,
    prompt_of,
    read_exchange,
    read_turns,
    system_of,
)

HH = "\n\nHuman: Hola\n\nAssistant: ¿Qué tal?\n\nHuman: ¿Qué es el mole?\n\nAssistant: {}"
CHAT = [{"role": "system", "content": "Eres de Puebla."}, {"role": "user", "content": "¿Qué es el mole?"}]


def exchange(*cells: object) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Prompt, system text and answers."""
    found = read_exchange(cells[0], cells[1:])
    answers = zip(("chosen", "rejected"), found.answers, strict=False)
    return prompt_of(found.turns), system_of(found.turns), tuple(answers)


def said(answer: str) -> dict[str, str]:
    return {"role": "assistant", "content": answer}


def test_plain_answers_stay_as_they_are() -> None:
    assert exchange("¿Qué es?", "Una salsa.", "No sé.") == (
        "¿Qué es?",
        "",
        (("chosen", "Una salsa."), ("rejected", "No sé.")),
    )


def test_what_two_transcripts_share_is_the_prompt() -> None:
    assert exchange(None, HH.format("Una salsa."), HH.format("Un baile.")) == (
        "Human: Hola\n\nAssistant: ¿Qué tal?\n\nHuman: ¿Qué es el mole?",
        "",
        (("chosen", "Una salsa."), ("rejected", "Un baile.")),
    )


def test_a_transcript_with_one_question_is_that_question() -> None:
    one = "\n\nHuman: ¿Qué es el mole?\n\nAssistant: {}"
    found = exchange("", one.format("Una salsa.\n\nDe Puebla."), one.format("No."))
    assert found == ("¿Qué es el mole?", "", (("chosen", "Una salsa.\n\nDe Puebla."), ("rejected", "No.")))


@pytest.mark.parametrize("as_json", [False, True])
def test_conversations_of_trl_are_taken_apart(as_json: bool) -> None:
    def cell(messages: list[dict[str, str]]) -> object:
        return json.dumps(messages) if as_json else messages

    expected = ("¿Qué es el mole?", "Eres de Puebla.", (("chosen", "Una salsa."), ("rejected", "No.")))
    assert exchange(None, cell([*CHAT, said("Una salsa.")]), cell([*CHAT, said("No.")])) == expected
    assert exchange(cell(CHAT), cell([said("Una salsa.")]), cell([said("No.")])) == expected
    assert exchange("¿Qué es el mole?", cell([*CHAT, said("Una salsa.")]), cell([*CHAT, said("No.")])) == expected


def test_a_message_may_hold_parts_and_other_names() -> None:
    assert read_turns([{"from": "human", "value": "¿Qué?"}, {"from": "gpt", "value": "Eso."}]) == (
        Turn("user", "¿Qué?"),
        Turn("assistant", "Eso."),
    )
    parts = [{"type": "text", "text": "uno"}, {"type": "image"}, {"type": "text", "text": "dos"}]
    assert read_turns([{"role": "user", "content": parts}]) == (Turn("user", "uno\n\ndos"),)


def test_a_prompt_that_waits_for_its_answer_is_a_prompt() -> None:
    assert exchange("\n\nHuman: ¿Qué es?\n\nAssistant:")[0] == "¿Qué es?"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((None, HH.format("a"), HH.replace("mole", "pozole").format("b")), "differ before the last answer"),
        ((None, HH.format("a"), HH.format("")), "without a last answer"),
        (([*CHAT, said("Una salsa.")], "Un baile."), "without a last question"),
        (([{"role": "juez", "content": "¿Qué?"}],), "a role that is none of"),
        ((None, [said("a")], [*CHAT, said("b")]), "differ before the last answer"),
    ],
)
def test_unclear_conversations_say_why(cells: tuple[object, ...], reason: str) -> None:
    with pytest.raises(Unclear, match=reason):
        read_exchange(cells[0], cells[1:])


def test_the_last_word_of_a_conversation_without_other_answers_is_its_output() -> None:
    found = read_exchange([*CHAT, said("Una salsa.")])
    assert (prompt_of(found.turns), found.answers, found.output) == ("¿Qué es el mole?", (), "Una salsa.")


def test_a_blank_answer_keeps_its_place() -> None:
    assert read_exchange("¿Qué?", ("Una salsa.", " ")).answers == ("Una salsa.", " ")
    assert read_exchange("¿Qué?", (None, "No.")).answers == ("", "No.")


@given(st.text())
def test_text_is_no_conversation_unless_it_says_who_speaks(text: str) -> None:
    if ":" not in text and not text.lstrip().startswith(("[", "{")):
        assert exchange(text, text, "no")[2] == (("chosen", text), ("rejected", "no"))
        assert not text.strip() or exchange(text, text, "no")[:2] == (text, "")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (3.0, "3"),
        (2.5, "2.5"),
        (7, "7"),
        (["Spain"], "Spain"),
        (["a", "b"], ""),
        ({}, ""),
    ],
)
def test_a_cell_as_text(cell: object, text: str) -> None:
    assert as_text(cell) == text
