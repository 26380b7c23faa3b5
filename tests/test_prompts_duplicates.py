"""Exact and near duplicates: the fast join finds what comparing every pair finds."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.prompts.duplicates import MANY, compare, near_duplicates
from annotation.text.passages import shingles
from annotation.types import Dropped, Prompt

WORDS = ["mole", "pozole", "de", "la", "qué", "se", "come", "en", "México", "y", "Perú", "fiesta", "boda", "cuándo"]


def by_every_pair(texts: Sequence[str], threshold: float, settled: int) -> list[tuple[int, int | None, float]]:
    """The definition, written down: the earliest kept text that is near enough."""
    kept = list(range(settled))
    found: list[tuple[int, int | None, float]] = []
    for index in range(settled, len(texts)):
        mine = shingles(texts[index])
        twin, similarity = None, 0.0
        for other in kept:
            theirs = shingles(texts[other])
            jaccard = len(mine & theirs) / len(mine | theirs)
            if jaccard >= threshold:
                twin, similarity = other, jaccard
                break
        found.append((index, twin, similarity))
        if twin is None:
            kept.append(index)
    return found


phrases = st.lists(st.sampled_from(WORDS), min_size=0, max_size=25).map(" ".join)
families = st.lists(
    st.tuples(phrases, st.lists(st.text(alphabet="aeñ? ", max_size=6), max_size=4)).map(
        lambda family: [family[0], *(family[0] + ending for ending in family[1])]
    ),
    max_size=8,
).map(lambda found: [text for family in found for text in family])


@settings(max_examples=400, deadline=None)
@given(texts=families, threshold=st.floats(0.05, 1.0), data=st.data())
def test_the_join_finds_what_every_pair_finds(texts: list[str], threshold: float, data: st.DataObject) -> None:
    settled = data.draw(st.integers(0, len(texts)))
    assert list(near_duplicates(texts, threshold, settled=settled)) == by_every_pair(texts, threshold, settled)


@pytest.mark.parametrize("threshold", [0.5, 2 / 3, 0.85, 1.0])
def test_a_pair_right_at_the_threshold_is_one(threshold: float) -> None:
    """Jaccard of texts that share their first shingles is known: 20 of 20, 17 of 20, 20 of 30, 10 of 20."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pairs = {1.0: (24, 24), 0.85: (21, 24), 2 / 3: (24, 34), 0.5: (14, 24)}
    short, long = (letters[:size] for size in pairs[threshold])
    assert len(shingles(short) & shingles(long)) / len(shingles(short) | shingles(long)) == pytest.approx(threshold)
    assert list(near_duplicates([short, long], threshold)) == [(0, None, 0.0), (1, 0, pytest.approx(threshold))]


def test_case_punctuation_and_blanks_do_not_make_a_difference_but_accents_do() -> None:
    assert shingles("¿QUÉ  comes, hoy?") == shingles("qué comes hoy")
    assert shingles("¿Cuántos años tiene tu papá?") != shingles("¿Cuántos anos tiene tu papa?")
    assert shingles("") == shingles("¿?") == {""}
    assert shingles("sí") == {"sí"}


def prompt(text: str, country: str = "MX", language: str = "es", system: str = "") -> Prompt:
    return Prompt.make(text, country=country, language=language, system=system, source=f"old:{text[:4]}")


MOLE = "¿Qué platillo se prepara en tu familia para el día de muertos?"


def test_exact_near_and_known_prompts_are_told_apart() -> None:
    rows = [
        ("f:1", prompt("¿Cuál es la canción que todo el mundo sabe cantar?")),
        ("f:2", prompt(MOLE)),
        ("f:3", prompt("¿Cuál es la canción que todo el mundo sabe cantar?")),
        ("f:4", prompt(MOLE.replace("¿Qué", "Qué").rstrip("?"))),
        ("f:5", prompt(MOLE + " Dime.")),
        ("f:6", prompt("¿Cuál es la canción que todo el mundo sabe bailar?")),
    ]
    found = compare(rows, [prompt(MOLE)], 0.85)
    assert [p.text for p in found.kept] == [rows[0][1].text, rows[5][1].text]
    assert found.already_there == 1
    assert found.dropped == (
        Dropped("f:3", "exact duplicate", "f:1"),
        Dropped("f:4", "near duplicate", "old:¿Qué (1.00)"),
        Dropped("f:5", "near duplicate", "old:¿Qué (0.92)"),
    )


def test_prompts_of_another_country_language_or_system_text_are_not_duplicates() -> None:
    rows = [
        ("f:1", prompt(MOLE)),
        ("f:2", prompt(MOLE, country="PE")),
        ("f:3", prompt(MOLE, language="pt")),
        ("f:4", prompt(MOLE, system="Eres una abuela de Puebla.")),
    ]
    assert len(compare(rows, [], 0.85).kept) == 4


PASSAGE = (
    "La feria del pueblo empezó con la llegada de los músicos, que venían a pie desde el otro lado del río. Las "
    "mujeres habían molido el maíz toda la noche, los niños colgaban papel de colores entre los balcones, y en la "
    "plaza ya olía a pan de fiesta, a copal y a leña húmeda cuando sonó la primera campana del domingo."
)


def test_of_questions_about_one_passage_only_the_questions_are_compared() -> None:
    questions = (
        "¿Quién tocó en la feria?",
        "¿Qué se preparó de noche?",
        "¿Qué se preparó de noche??",
        "¿Qué sonó el domingo, y a qué olía la plaza en ese momento?",
        "¿Qué sonó el domingo, y a que olía la plaza en ese momento?",
    )
    texts = [f"{PASSAGE}\n{question}" for question in questions]
    prompts = [(str(n), Prompt.make(text, country="MX", language="es")) for n, text in enumerate(texts)]
    compared = compare(prompts, [], 0.85)
    assert [drop.id for drop in compared.dropped] == ["2", "4"]
    later = compare(prompts[1:], [prompts[0][1]], 0.85)
    assert later.dropped == compared.dropped


def test_an_introduction_that_stands_before_every_question_decides_nothing() -> None:
    chance = random.Random(0)
    questions = [f"¿{' '.join(chance.choices(WORDS, k=10))}?" for _ in range(2 * MANY)]
    texts = [f"{PASSAGE} {question}" for question in (*questions, *(one.replace("e", "ee", 1) for one in questions))]
    prompts = [(str(n), Prompt.make(text, country="MX", language="es")) for n, text in enumerate(texts)]
    dropped = [int(drop.id) for drop in compare(prompts, [], 0.8).dropped]
    assert dropped == list(range(len(questions), len(texts)))


def test_a_slip_in_a_long_prompt_still_makes_a_near_duplicate() -> None:
    slips = (("músicos", "musicos"), ("molido", "mólido"), ("campana", "campanas"))
    prompts = [(old, Prompt.make(PASSAGE.replace(old, new), country="MX", language="es")) for old, new in slips]
    whole = Prompt.make(PASSAGE, country="MX", language="es")
    assert [drop.id for drop in compare([("whole", whole), *prompts], [], 0.85).dropped] == [old for old, _ in slips]


def test_nothing_compared_is_nothing_found() -> None:
    found = compare([], [prompt(MOLE)], 0.85)
    assert (found.kept, found.already_there, found.dropped) == ((), 0, ())
