"""The little language of Argilla's search box: parsed once, matched against the texts of a record.

The language is Elasticsearch's `simple_query_string` with AND as the default operator, because that is
what Argilla's page and SDK promise:

    mole poblano      both words, in whichever fields
    "mole poblano"    the words in this order, in one field
    pobl*             words that begin so
    mole | pipián     either
    mole -dulce       without
    ( )               grouping

A malformed query never fails: an operator that has nothing to work on is read as a blank. As in
Lucene's parser there is no precedence: `a b | c` means `(a b) | c`, and `a | b c` means `(a | b) c`.

Case and accents do not count, except that `ñ` stays a letter of its own, as Spanish dictionaries and
the Unicode collation for Spanish have it: `año` and `ano` are different words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

# Nobody types a longer query by hand; beyond it a query is only a way to keep the server busy.
MAX_LENGTH = 2_000
# Deeper parentheses are read as blanks.
MAX_DEPTH = 32

_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Combining marks, and characters that print nothing.
_UNSEEN = re.compile("[\u0300-\u036f\u00ad\u200b-\u200f\u2060\ufeff]")
_BLANKS = frozenset(" \t\n\r\u00a0")
_ENDS_A_WORD = _BLANKS | frozenset('"|+()')
_CLOSENESS = re.compile(r"~\d*$")

# How quickly another occurrence of a word stops mattering, how much a long text counts against it, and
# the number of words of a usual text: BM25's k1 and b (Robertson and Zaragoza 2009, section 3.4)
# without its inverse document frequency, which would need a second copy of the texts.
_SATURATION, _LENGTH_WEIGHT, _USUAL_LENGTH = 1.2, 0.75, 100.0

Operator = Literal["and", "or", "not"]


class _Letters(dict[str, str]):
    """How a character outside ASCII is compared; worked out once for each that is met."""

    def __missing__(self, letter: str) -> str:
        bare = letter if letter == "ñ" else _UNSEEN.sub("", unicodedata.normalize("NFKD", letter))
        self[letter] = unicodedata.normalize("NFC", bare.casefold())
        return self[letter]


_LETTERS = _Letters()


def fold(text: str) -> str:
    """The text as it is compared: lower case, without accents, `ñ` kept."""
    if text.isascii():
        return text.lower()
    # Letter by letter: few letters of a text have accents, and normalising all of it is six times slower.
    composed = unicodedata.normalize("NFC", text).lower()
    return _NOT_ASCII.sub(lambda found: _LETTERS[found[0]], composed)


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    return _WORD.findall(fold(text))


@dataclass(frozen=True, slots=True)
class Term:
    """Words that one field must hold: all of them, in order if it is a phrase."""

    words: tuple[str, ...]
    phrase: bool = False
    prefix: bool = False  # the last word is only the beginning of one

    def count(self, field: Field) -> int:
        """How often the field holds it."""
        # Every word is a piece of the folded text: most fields are ruled out without splitting them.
        if any(word not in field.text for word in self.words):
            return 0
        if self.phrase:
            first, span = self.words[0], len(self.words)
            return sum(
                word == first and tuple(field.words[place : place + span]) == self.words
                for place, word in enumerate(field.words)
            )
        *whole, last = self.words
        counts = [field.words.count(word) for word in whole]
        if self.prefix:
            counts.append(sum(word.startswith(last) for word in field.words))
        else:
            counts.append(field.words.count(last))
        return min(counts)


class Field:
    """One text of a record, folded; split into words only when a term could be in it."""

    def __init__(self, text: str) -> None:
        self.text = fold(text)

    @cached_property
    def words(self) -> list[str]:
        """The words in order."""
        return _WORD.findall(self.text)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query in postfix order: `a | b -c` is a, b, or, c, not, and.

    Postfix, so that a query of a thousand nested parentheses needs no recursion to read or to run.
    """

    program: tuple[Term | Operator, ...]

    def score(self, texts: Iterable[str]) -> float:
        """How well the texts of a record answer the query; 0.0 where they do not, else more than 0."""
        if not self.program:
            return 0.0
        fields = [Field(text) for text in texts]
        stack: list[tuple[bool, float]] = []
        for step in self.program:
            if isinstance(step, Term):
                relevance = max((_relevance(step, field) for field in fields), default=0.0)
                stack.append((relevance > 0.0, relevance))
            elif step == "not":
                matched, _ = stack.pop()
                stack.append((not matched, 0.0))
            else:
                right, left = stack.pop(), stack.pop()
                matched = (left[0] and right[0]) if step == "and" else (left[0] or right[0])
                stack.append((matched, left[1] + right[1]))
        matched, relevance = stack.pop()
        # What only says what must be absent is answered equally well by everything that is left.
        return (relevance or 1.0) if matched else 0.0


def _relevance(term: Term, field: Field) -> float:
    count = term.count(field)
    if not count:
        return 0.0
    length = 1.0 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(field.words) / _USUAL_LENGTH
    return count * (_SATURATION + 1.0) / (count + _SATURATION * length)


@dataclass(slots=True)
class _Level:
    """What has been read between two parentheses so far."""

    negated: bool = False  # the whole group, by a minus before its parenthesis
    filled: bool = False  # something stands on its left already
    joint: Literal["and", "or"] | None = None  # the operator that waits for its right side


@lru_cache(maxsize=64)
def parse(query: str) -> Query:
    """Read a query; whatever was typed, this returns. Without a single word it matches nothing."""
    query = query[:MAX_LENGTH]
    pairs = _matching_parentheses(query)
    closings = frozenset(pairs.values())
    program: list[Term | Operator] = []
    levels = [_Level()]
    negated = False

    def add(*steps: Term | Operator, negate: bool) -> None:
        level = levels[-1]
        program.extend(steps)
        if negate:
            program.append("not")
        if level.filled:
            program.append(level.joint or "and")
        level.filled, level.joint = True, None

    place = 0
    while place < len(query):
        character = query[place]
        if character == "-":
            negated = not negated
            place += 1
            continue  # the minus counts only if what it negates follows at once
        if character == "(" and place in pairs:
            levels.append(_Level(negated=negated))
            place += 1
        elif character == ")" and place in closings:
            group = levels.pop()
            if group.filled:  # an empty pair of parentheses is a blank
                add(negate=group.negated)
            place += 1
        elif character in "|+":
            level = levels[-1]
            if level.filled and level.joint is None:
                level.joint = "or" if character == "|" else "and"
            place += 1
        elif character == '"' and (end := _closing_quote(query, place)) is not None:
            phrase = tuple(words(_unescape(query[place + 1 : end])))
            if phrase:
                add(Term(phrase, phrase=len(phrase) > 1), negate=negated)
            place = end + 1
            if closeness := re.match(r"~\d*", query[place:]):
                place += closeness.end()
        elif character in _ENDS_A_WORD:
            place += 1
        else:
            end = _end_of_word(query, place)
            if term := _term(query[place:end]):
                add(term, negate=negated)
            place = end
        negated = False
    return Query(tuple(program))


def _term(typed: str) -> Term | None:
    prefix = typed.endswith("*") and not typed.endswith("\\*")
    found = tuple(words(_CLOSENESS.sub("", _unescape(typed))))
    if not found and prefix:
        found = ("",)  # a star alone: any word
    return Term(found, prefix=prefix) if found else None


def _unescape(typed: str) -> str:
    return re.sub(r"\\(.)", r"\1", typed, flags=re.DOTALL)


def _end_of_word(query: str, start: int) -> int:
    place = start
    while place < len(query) and query[place] not in _ENDS_A_WORD:
        place += 2 if query[place] == "\\" else 1
    return min(place, len(query))


def _closing_quote(query: str, opening: int) -> int | None:
    place = opening + 1
    while place < len(query):
        if query[place] == '"':
            return place
        place += 2 if query[place] == "\\" else 1
    return None


def _matching_parentheses(query: str) -> dict[int, int]:
    """Where each parenthesis closes; those without a partner, quoted or too deep are left out."""
    pairs: dict[int, int] = {}
    open_: list[int] = []
    for place, character in _outside_quotes(query):
        if character == "(":
            open_.append(place)
        elif character == ")" and open_:
            opening = open_.pop()
            if len(open_) < MAX_DEPTH:
                pairs[opening] = place
    return pairs


def _outside_quotes(query: str) -> Iterator[tuple[int, str]]:
    place = 0
    while place < len(query):
        if query[place] == '"' and (end := _closing_quote(query, place)) is not None:
            place = end + 1
        else:
            yield place, query[place]
            place += 2 if query[place] == "\\" else 1
