"""The language of the search box, without a server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.server.words import text_query

MOLE = ["¿Cómo se prepara el mole poblano?", "Con chile ancho, y PACIENCIA de niño."]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("mole", True),
        ("MOLE poblano", True),
        ("mole tamal", False),
        ("como", True),  # typed without its accent
        ("préparà", True),  # typed with accents that are not there
        ("paciencia", True),
        ("niño", True),
        ("nino", False),  # ñ is a letter of its own
        ('"mole poblano"', True),
        ('"poblano mole"', False),
        ('"poblano con chile"', False),  # not across fields
        ('"mole poblano"~2 chile', True),
        ('"poblano prepara"~2', True),  # two others among them, in any order
        ('"poblano prepara"~1', False),
        ('"poblano mole"~', True),
        ('"chile poblano"~9', False),  # not across fields
        ('"mole mole"~', True),
        ("pobl*", True),
        ("pob*l", False),
        ("poblani~", True),
        ("poblani~1", True),
        ("pablani~1", False),
        ("pablani~", True),
        ("poblano~0", True),
        ("poblani~0", False),
        ("-poblani~", False),
        ("*", True),
        ("mole | tamal", True),
        ("tamal | atole", False),
        ("mole -tamal", True),
        ("mole -chile", False),
        ("-tamal", True),
        ("- tamal", False),  # a minus counts only if it touches the word
        ("--mole", True),
        ("-(tamal | atole)", True),
        ("-(mole | atole)", False),
        ("tamal | mole chile", True),  # left to right, as in Lucene: (tamal | mole) chile
        ("mole chile | tamal", True),
        ("tamal mole | atole", False),
        ("mole + chile", True),
        ("mole + | chile", True),
        ("(mole) (chile)", True),
        ("mole ()", True),
        ("chile-ancho", True),  # two words
        ("mole-ancho", True),
        ("mole-tamal", False),
        ("cómo~1", True),
        (r"\"mole", True),
        ("", False),
        ("¿?", False),
        ('mole "', True),
        ("mole (", True),
        ("mole )) chile", True),
    ],
)
def test_a_query_finds_what_its_reader_expects(query: str, found: bool) -> None:
    assert text_query.parse(query).matches(MOLE) is found


def test_portuguese_words_are_found_without_their_marks() -> None:
    text = ["A AÇÃO não espera: água, coração, três."]
    for typed in ("acao", "nao", "agua", "coracao", "tres", "ação"):
        assert text_query.parse(typed).matches(text), typed


def test_the_tilde_of_the_letter_enye_counts_however_it_is_encoded() -> None:
    composed, decomposed = "año", "an\u0303o"
    assert composed != decomposed
    assert text_query.parse(decomposed).matches([composed])
    assert text_query.parse(composed).matches([decomposed])
    assert not text_query.parse("ano").matches([composed])


def test_characters_that_print_nothing_do_not_split_words() -> None:
    assert text_query.parse("cooperar").matches(["co\u00adope\u200brar"])


WORDS = ["mole", "chile", "tamal", "atole"]
Tree = Any  # a word, ("not", tree), or ("and" | "or", tree, tree)
trees = st.recursive(
    st.sampled_from(WORDS),
    lambda inner: st.one_of(st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner)),
    max_leaves=12,
)


def written(tree: Tree) -> str:
    """The query that says the tree, every operation in parentheses."""
    if isinstance(tree, str):
        return tree
    if tree[0] == "not":
        return f"-({written(tree[1])})"
    return f"({written(tree[1])}) {'+' if tree[0] == 'and' else '|'} ({written(tree[2])})"


def holds(tree: Tree, words: list[str]) -> bool:
    """What the tree means, read naively."""
    if isinstance(tree, str):
        return tree in words
    if tree[0] == "not":
        return not holds(tree[1], words)
    return (all if tree[0] == "and" else any)(holds(part, words) for part in tree[1:])


@given(trees, st.lists(st.sampled_from(WORDS)))
def test_any_nesting_means_what_it_says(tree: Tree, words: list[str]) -> None:
    query = text_query.parse(written(tree))
    assert query.matches([" ".join(words)]) is holds(tree, words)
    assert query.write(Said(words)) is holds(tree, words)


@dataclass
class Said:
    """A language without negation, in which a query is true or not; see `text_query.Language`."""

    words: list[str]

    def leaf(self, step: text_query.Word | text_query.Phrase) -> bool:
        return step.is_in(self.words)

    def every(self, parts: Sequence[bool]) -> bool:
        return all(parts)

    def some(self, parts: Sequence[bool]) -> bool:
        return any(parts)

    def without(self, kept: bool, removed: bool) -> bool:
        return kept and not removed

    def everything(self) -> bool:
        return True


@given(st.text(alphabet=st.sampled_from('ab *"()+|-~\\\n\0%ñ´'), max_size=60), st.lists(st.text(max_size=20)))
def test_no_query_fails(query: str, texts: list[str]) -> None:
    text_query.parse(query).matches([*texts, "a b"])


@pytest.mark.parametrize(
    "query", ["(" * 10_000, "(a" * 5_000 + ")" * 5_000, "a | b " * 3_000, "-" * 9_999 + "a", '"' * 9_999]
)
def test_queries_of_any_length_and_depth_are_harmless(query: str) -> None:
    text_query.parse(query).matches(["a b"])


@given(st.text(min_size=1, max_size=30))
def test_every_word_of_a_text_finds_it(text: str) -> None:
    for word in text_query.words(text):
        assert text_query.parse(word).matches([text])


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_letters_apart_are_counted_as_levenshtein_did(one: str, other: str) -> None:
    def apart(one: str, other: str) -> int:
        if not one or not other:
            return len(one) + len(other)
        return min(
            apart(one[1:], other) + 1, apart(one, other[1:]) + 1, apart(one[1:], other[1:]) + (one[0] != other[0])
        )

    for distance in (0, 1, 2):
        assert text_query.is_near(one, other, distance) is (apart(one, other) <= distance)
