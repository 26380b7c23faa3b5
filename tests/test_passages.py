"""Passages that several texts share: what is left of each text is its own."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from annotation.text.passages import CONTEXT, PASSAGE, own_words

WORDS = [f"palabra{number}" for number in range(200)]


def sentence(numbers: Sequence[int]) -> str:
    return " ".join(WORDS[number] for number in numbers)


@given(st.integers(0, 80), st.integers(0, 8), st.integers(0, 8), st.sampled_from(["a", "", "z"]))
def test_what_is_left_is_the_own_words_with_their_context(shared: int, before: int, after: int, other: str) -> None:
    passage, head, tail = sentence(range(shared)), sentence(range(100, 100 + before)), sentence(range(150, 150 + after))
    text = " ".join(part for part in (head, passage, tail) if part)
    (left, _) = own_words([text, f"{other} {passage} {other}"])
    words = text.split()
    # Beginnings and ends count as words: where one text ends and the other goes on, they differ as well.
    first = before + CONTEXT if before or other else 0
    last = after + CONTEXT if after or other else 0
    run = shared + (first == 0) + (last == 0)
    kept = [word for place, word in enumerate(words) if place < first or place >= len(words) - last]
    assert left == (" ".join(kept) if run >= PASSAGE and kept else text)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_texts_without_passages_are_left_as_they_are(texts: list[str]) -> None:
    assert own_words(texts) == texts


@given(st.lists(st.lists(st.integers(0, 2), max_size=90).map(sentence), max_size=6))
def test_what_is_left_are_words_of_the_text_in_their_order(texts: list[str]) -> None:
    for text, left in zip(texts, own_words(texts), strict=True):
        words = iter(text.split())
        assert all(word in words for word in left.split())
        assert bool(left) == bool(text)


def test_texts_that_differ_in_case_and_punctuation_alone_share_nothing_with_each_other() -> None:
    text = sentence(range(90))
    assert own_words([text, f"¡{text.upper()}!"]) == [text, f"¡{text.upper()}!"]
