"""Query language of Argilla's search box.

The language is Elasticsearch's `simple_query_string` with AND as the default operator, because that is
what Argilla's page and SDK promise:

    mole poblano        both words, in whichever fields
    "mole poblano"      the words in this order, in one field
    "mole poblano"~3    the words in one field, in any order, with at most three others among them
    pobl*               words that begin so
    poblana~            words at most two letters away (added, left out or exchanged); `~1`: one letter
    mole | pipián       either
    mole -dulce         without
    ( )                 grouping
    *                   every record

A malformed query never fails: an operator that has nothing to work on is read as a blank. As in
Lucene's parser there is no precedence: `a b | c` means `(a b) | c`, and `a | b c` means `(a | b) c`.

One parser, two readers: `fts5.py` and `tsvector.py` turn a query into the language of their database,
`Query.matches` reads the texts themselves. They agree on every record; tests hold them to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Literal, Protocol, TypeVar

from annotation.server.words.folding import words

# Nobody types a longer query by hand; beyond it a query is only a way to keep the server busy.
MAX_LENGTH = 2_000
# Deeper parentheses are read as blanks, and after as many changes between AND and OR no more are made:
# the parser of FTS5 has a stack of 100 places.
MAX_DEPTH = 12
# As in Lucene: words farther away than this have nothing to do with each other.
MAX_DISTANCE = 2
MAX_SLOP = 1_000

_BLANKS = frozenset(" \t\n\r\u00a0")
_ENDS_A_WORD = _BLANKS | frozenset('"|+()')
_CLOSENESS = re.compile(r"~(\d*)$")

Operator = Literal["and", "or", "not"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Word:
    """A word that some field must hold."""

    word: str
    prefix: bool = False  # it is only the beginning of one
    distance: int = 0  # so many letters may differ

    def is_in(self, text: list[str]) -> bool:
        """Whether one of the words of a field is meant."""
        if self.prefix:
            return any(word.startswith(self.word) for word in text)
        if self.distance:
            return any(is_near(self.word, word, self.distance) for word in text)
        return self.word in text


@dataclass(frozen=True, slots=True)
class Phrase:
    """Several words that one field must hold together."""

    words: tuple[str, ...]
    slop: int = 0  # 0: one after the other; else distinct, in any order, with so many others among them

    @property
    def window(self) -> int:
        """How many words in a row may hold them all, when there is slop."""
        return len(self.words) + self.slop

    def is_in(self, text: list[str]) -> bool:
        """Whether the words of a field hold it."""
        if not self.slop:
            return any(tuple(text[start : start + len(self.words)]) == self.words for start in range(len(text)))
        wanted = set(self.words)
        return any(wanted <= set(text[start : start + self.window]) for start in range(len(text)))


@dataclass(frozen=True, slots=True)
class Everything:
    """A star alone: every record."""


Step = Word | Phrase | Everything | Operator


def is_near(one: str, other: str, distance: int) -> bool:
    """Whether so many letters added, left out or exchanged make one word of the other (Levenshtein 1966)."""
    if abs(len(one) - len(other)) > distance:
        return False
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row[0] = row[0], number
        for place, against in enumerate(other, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (letter != against))
    return row[-1] <= distance


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query in postfix order: `a | b -c` is a, b, or, c, not, and.

    Postfix, so that a query of many nested parentheses needs no recursion to read or to run.
    """

    program: tuple[Step, ...]

    @property
    def leaves(self) -> list[Word | Phrase]:
        """The words and phrases in it, also those that must not be there."""
        return [step for step in self.program if isinstance(step, Word | Phrase)]

    def matches(self, texts: Iterable[str]) -> bool:
        """Whether the texts of a record answer the query, by reading them; without a single word nothing does."""
        if not self.program:
            return False
        fields = [words(text) for text in texts]
        stack: list[bool] = []
        for step in self.program:
            if step == "not":
                stack.append(not stack.pop())
            elif step == "and" or step == "or":
                right, left = stack.pop(), stack.pop()
                stack.append((left and right) if step == "and" else (left or right))
            elif isinstance(step, Everything):
                stack.append(True)
            else:
                stack.append(any(step.is_in(field) for field in fields))
        return stack.pop()

    def write(self, language: Language[T]) -> T:
        """Say the query in another language; as flat as can be, for parsers that do not like to go deep.

        Raises:
            ValueError: the query is empty; it matches nothing.
        """
        if not self.program:
            raise ValueError("an empty query matches nothing")
        stack: list[tuple[_Clause[T], bool]] = []  # a clause, and whether its opposite is meant
        for step in self.program:
            if step == "not":
                clause, negated = stack.pop()
                stack.append((clause, not negated))
            elif step == "and" or step == "or":
                (right, no_right), (left, no_left) = stack.pop(), stack.pop()
                if step == "or":  # De Morgan: the opposite of both opposites
                    no_left, no_right = not no_left, not no_right
                if no_left and no_right:
                    clause = _Clause(some=[*left.alternatives(language), *right.alternatives(language)])
                elif no_left:
                    clause = right.and_not(left, language)
                elif no_right:
                    clause = left.and_not(right, language)
                else:
                    clause = _Clause(
                        every=[*left.parts(language), *right.parts(language)], none=[*left.none, *right.none]
                    )
                stack.append((clause, (step == "or") != (no_left and no_right)))
            elif isinstance(step, Everything):
                stack.append((_Clause(some=[language.everything()]), False))
            else:
                stack.append((_Clause(some=[language.leaf(step)]), False))
        clause, negated = stack.pop()
        whole = clause.close(language)
        return language.without(language.everything(), whole) if negated else whole


class Language(Protocol[T]):
    """What a query can be said in. It knows no negation but `without`, as most do."""

    def leaf(self, step: Word | Phrase) -> T:
        """A word or a phrase."""

    def every(self, parts: Sequence[T]) -> T:
        """All of several."""

    def some(self, parts: Sequence[T]) -> T:
        """At least one of several."""

    def without(self, kept: T, removed: T) -> T:
        """This and not that."""

    def everything(self) -> T:
        """What every record has."""


@dataclass
class _Clause(Generic[T]):
    """Either some of several, or every one of several and none of others."""

    some: Sequence[T] = ()
    every: Sequence[T] = ()
    none: Sequence[T] = ()

    def alternatives(self, language: Language[T]) -> Sequence[T]:
        return self.some or [self.close(language)]

    def parts(self, language: Language[T]) -> Sequence[T]:
        """What must be there; `none` must not be besides."""
        return self.every or [language.some(self.some) if len(self.some) > 1 else self.some[0]]

    def and_not(self, other: _Clause[T], language: Language[T]) -> _Clause[T]:
        return _Clause(every=self.parts(language), none=[*self.none, *other.alternatives(language)])

    def close(self, language: Language[T]) -> T:
        parts = _once(self.parts(language))
        whole = language.every(parts) if len(parts) > 1 else parts[0]
        if not self.none:
            return whole
        removed = _once(self.none)
        return language.without(whole, language.some(removed) if len(removed) > 1 else removed[0])


def _once(parts: Sequence[T]) -> list[T]:
    return list(dict.fromkeys(parts))


@dataclass(slots=True)
class _Level:
    """What has been read between two parentheses so far."""

    negated: bool = False  # the whole group, by a minus before its parenthesis
    filled: bool = False  # something stands on its left already
    joint: Literal["and", "or"] | None = None  # the operator that waits for its right side
    last: Literal["and", "or"] | None = None  # the operator before it
    changes: int = 0  # between `and` and `or`


@lru_cache(maxsize=64)
def parse(query: str) -> Query:
    """Read a query; whatever was typed, this returns. Without a single word it matches nothing."""
    return _Parser(query[:MAX_LENGTH]).parse()


class _Parser:
    """Reads a query from left to right, into postfix order."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._pairs = _matching_parentheses(query)
        self._closings = frozenset(self._pairs.values())
        self._program: list[Step] = []
        self._levels = [_Level()]

    def parse(self) -> Query:
        place, negated = 0, False
        while place < len(self._query):
            if self._query[place] == "-":
                negated = not negated
                place += 1
            else:  # a minus counts only if what it negates follows at once
                place, negated = self._read(place, negated), False
        return Query(tuple(self._program))

    def _read(self, place: int, negated: bool) -> int:
        """Read what begins at a place; where the next begins."""
        query, character, level = self._query, self._query[place], self._levels[-1]
        if character == "(" and place in self._pairs:
            self._levels.append(_Level(negated=negated))
        elif character == ")" and place in self._closings:
            group = self._levels.pop()
            if group.filled:  # an empty pair of parentheses is a blank
                self._add([], negate=group.negated)
        elif character in "|+":
            if level.filled and level.joint is None:
                level.joint = "or" if character == "|" else "and"
        elif character == '"' and (end := _closing_quote(query, place)) is not None:
            return self._phrase(place, end, negated)
        elif character not in _ENDS_A_WORD:
            end = _end_of_word(query, place)
            if typed := _word(query[place:end]):
                self._add(typed, negate=negated)
            return end
        return place + 1

    def _phrase(self, start: int, end: int, negated: bool) -> int:
        phrase, place, slop = tuple(words(_unescape(self._query[start + 1 : end]))), end + 1, 0
        if closeness := re.match(r"~(\d*)", self._query[place:]):
            slop = _clip(closeness[1], MAX_SLOP)
            place += closeness.end()
        if phrase:
            self._add([_together(phrase, slop)], negate=negated)
        return place

    def _add(self, steps: Sequence[Step], *, negate: bool) -> None:
        """Add what was read, joined to what stands on its left between the same parentheses."""
        level = self._levels[-1]
        self._program.extend(steps)
        if negate:
            self._program.append("not")
        if level.filled:
            joint = level.joint or "and"
            if level.last not in (None, joint):
                level.changes += 1
            if level.changes <= MAX_DEPTH or level.last is None:
                level.last = joint
            self._program.append(level.last)
        level.filled, level.joint = True, None


def _word(typed: str) -> list[Step]:
    """What stands between two blanks; punctuation may make several words of it, which all must be there."""
    if typed == "*":
        return [Everything()]
    prefix = typed.endswith("*") and not typed.endswith("\\*")
    closeness = _CLOSENESS.search(typed)
    distance = _clip(closeness[1], MAX_DISTANCE) if closeness else 0
    found = words(_unescape(_CLOSENESS.sub("", typed)))
    steps: list[Step] = []
    for place, word in enumerate(found):
        steps.append(Word(word, prefix=prefix and place == len(found) - 1, distance=distance))
        if place:
            steps.append("and")
    return steps


def _together(found: tuple[str, ...], slop: int) -> Word | Phrase:
    if slop:
        found = tuple(dict.fromkeys(found))  # in any order, so that a word said twice is the same word
    return Phrase(found, slop) if len(found) > 1 else Word(found[0])


def _clip(digits: str, most: int) -> int:
    """The number after a tilde; without one it is 2, as in Lucene's parser."""
    return min(int(digits[:9]), most) if digits.isdigit() else 2


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
