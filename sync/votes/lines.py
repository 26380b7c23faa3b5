"""Lines of a vote file, read strictly: they come from the internet, and what is not as it must be is named.

A demo writes a line before the two answers to a prompt are made ("begun"), and one when its visitor chose ("voted").
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from annotation.sections import known_country, known_language
from annotation.tasks.duel.task import CHOICES, SIDES

FORMAT = 1

MOST_LINE, MOST_TEXT = 500_000, 20_000
"""Bytes of a line, characters of a text; a page that lets people type more than that is not ours."""

MOST_OPEN = 200_000
"""Duels of one file that were begun and not voted on: memory does not grow with a file that somebody made up."""

EARLIEST, CLOCK = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=1)
"""No demo of ours is older; and so far a clock may be wrong."""


class Misread(ValueError):
    """A line that is not what it should be; the message says why, in a few words that can be counted."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a demo wrote down before it made two answers; the fields are those of the line."""

    at: datetime
    run: str
    adapter_sha256: str
    base: str
    base_version: str
    country: str
    language: str
    prompt_id: str
    adapted: str


@dataclass(frozen=True, slots=True)
class Vote:
    """A choice with what it was about; the fields are those of the line.

    Attributes:
        place: Where its line stands: "FILE:LINE".
        at: UTC, to the minute, as written.
    """

    place: str
    id: str
    begun: Begun
    at: str
    choice: str
    may_use: bool
    prompt: str
    a: str
    b: str


@dataclass
class LeftOut:
    """What was left out: reason -> how many, and where the first one stands. Nothing of it is repeated."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, place: str) -> None:
        """Count something more."""
        self.counts[reason] += 1
        self.examples.setdefault(reason, place)

    def rows(self) -> list[tuple[str, int, str]]:
        """Reason, count and one example; the most frequent first."""
        return [(reason, count, self.examples[reason]) for reason, count in self.counts.most_common()]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {reason: {"count": count, "example": example} for reason, count, example in self.rows()}


@dataclass
class Tally:
    """What was read so far.

    Attributes:
        lines: Lines.
        unfinished: Duels that were begun and that nobody voted on.
        left_out: Lines and files that were not read.
        seen: Ids of the votes.
    """

    lines: int = 0
    unfinished: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    seen: set[str] = field(default_factory=set)


def read_votes(path: Path, name: str, tally: Tally) -> Iterator[Vote]:
    """The votes of a file, in its order; every id once, whatever else was read with the same tally.

    Args:
        path: The file.
        name: What it is called in places.
        tally: Told what is read, and what is not.
    """
    latest, begun = datetime.now(UTC) + CLOCK, dict[str, Begun]()
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            tally.lines += 1
            place = f"{name}:{number}"
            try:
                told = _object(line)
                if told["kind"] == "begun":
                    if told["id"] in begun:
                        raise Misread("begun twice")
                    if len(begun) >= MOST_OPEN:
                        raise Misread("too many that were begun and not voted on")
                    begun[told["id"]] = _begun(told, latest)
                    continue
                if told["id"] in tally.seen:
                    begun.pop(told["id"], None)
                    raise Misread("voted twice")
                vote = _vote(told, begun.get(told["id"]), place, latest)
            except Misread as reason:
                tally.left_out.add(str(reason), place)
                continue
            tally.seen.add(vote.id)
            del begun[vote.id]
            yield vote
    tally.unfinished += len(begun)


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines of a file; None in the place of one that is too long, of which no more is held than may be."""
    while line := file.readline(MOST_LINE):
        too_long = len(line) == MOST_LINE and not line.endswith(b"\n")
        while too_long and line and not line.endswith(b"\n"):
            line = file.readline(MOST_LINE)
        yield None if too_long else line


def _object(line: bytes | None) -> dict[str, Any]:
    """A line as an object that has the fields of its kind, and no others."""
    if line is None:
        raise Misread("a line that is too long")
    cut = not line.endswith(b"\n")
    try:
        told = json.loads(line.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise Misread("half a line at the end" if cut else "not UTF-8") from None
    except (ValueError, RecursionError):
        raise Misread("half a line at the end" if cut else "no JSON") from None
    if not isinstance(told, dict):
        raise Misread("no JSON object")
    if type(told.get("format")) is not int or told["format"] != FORMAT:
        raise Misread("another format")
    if not isinstance(told.get("kind"), str) or told["kind"] not in _FIELDS:
        raise Misread("unknown kind")
    if told.keys() != _FIELDS[told["kind"]].keys():
        raise Misread("other fields than its kind has")
    for name, fits in _FIELDS[told["kind"]].items():
        if not fits(told[name]):
            raise Misread(f"impossible {name}")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _begun(told: Mapping[str, Any], latest: datetime) -> Begun:
    return Begun(_time(told["at"], latest), **{name: told[name] for name in Begun.__slots__ if name != "at"})


def _vote(told: Mapping[str, Any], begun: Begun | None, place: str, latest: datetime) -> Vote:
    if begun is None:
        raise Misread("voted without begun")
    if _time(told["at"], latest) < begun.at:
        raise Misread("voted before it was begun")
    return Vote(place, begun=begun, **{name: told[name] for name in Vote.__slots__ if name not in ("place", "begun")})


def _time(text: str, latest: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Misread("impossible at") from None
    if not EARLIEST <= found <= latest:
        raise Misread("impossible at")
    return found


def _like(pattern: str) -> Callable[[Any], bool]:
    """Whether a value is text of a form; digits and letters are those of ASCII."""
    form = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _is_name(value: Any) -> bool:
    """Whether a value is text that can be shown: no controls, and nothing that turns the order of letters around."""
    return isinstance(value, str) and len(value) <= 300 and value.isprintable()


def _is_text(value: Any) -> bool:
    """Whether a value is a text that can be kept; what nobody sees in it is taken out later."""
    return isinstance(value, str) and len(value) <= MOST_TEXT and not re.search("[\ud800-\udfff]", value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


@lru_cache(maxsize=4096)
def _is_code(value: str, known: Callable[[str], str]) -> bool:
    try:
        return known(value) == value
    except ValueError:
        return False


_HEAD: Mapping[str, Callable[[Any], bool]] = {
    "format": _is_count,
    "kind": _is_name,
    "id": _like("[0-9a-f]{32}"),
    "at": _like(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ"),
}
_COUNTRY, _LANGUAGE = _like("[A-Z]{2}"), _like("[a-z]{2,3}")
_FIELDS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "begun": {
        **_HEAD,
        "run": _like(r"\w[\w.-]{0,199}"),
        "adapter_sha256": _like("[0-9a-f]{64}"),
        "base": _is_name,
        "base_version": _is_name,
        "country": lambda value: _COUNTRY(value) and _is_code(value, known_country),
        "language": lambda value: _LANGUAGE(value) and _is_code(value, known_language),
        "prompt_id": _like(r"[\w-]{0,64}"),
        "adapted": lambda value: isinstance(value, str) and value in SIDES,
        "seed": _is_count,
        "max_new_tokens": _is_count,
    },
    "voted": {
        **_HEAD,
        "choice": lambda value: isinstance(value, str) and value in CHOICES,
        "may_use": lambda value: isinstance(value, bool),
        "prompt": _is_text,
        "a": _is_text,
        "b": _is_text,
    },
}
"""Kind of a line -> its fields, and what each may be."""
