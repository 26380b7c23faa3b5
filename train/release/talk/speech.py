"""Speech of a talk: how long its words take to say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

RATE = 130
"""Words a minute of a calm talk: an assumption, which every script names."""

TURN_S = 2
"""Seconds for the change to another slide."""

LIMIT_S = 300
"""Five minutes."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d|[%,.](?=\d)|(?<=\d)[\s\u202f]*%")


@dataclass(frozen=True, slots=True)
class Timed:
    """A slide and how long it takes.

    Attributes:
        title: Of the slide.
        said: The words that are spoken, a paragraph a line.
        words: How many they are.
        seconds: What they take, with the change to the slide, rounded up.
        own: The words are the team's.
    """

    title: str
    said: str
    words: int
    seconds: int
    own: bool


def count_words(text: str) -> int:
    """Words that are spoken; each digit of a number and each sign in it is one, as it is read aloud."""
    return len(_WORD.findall(text))


def seconds_of(words: int, rate: int) -> int:
    """What a slide with so many words takes, in whole seconds."""
    return math.ceil(60 * words / rate + TURN_S)


def total(slides: Sequence[Timed]) -> int:
    """Seconds of all slides."""
    return sum(slide.seconds for slide in slides)


def minutes(seconds: int) -> str:
    """Seconds as minutes and seconds: "4:05"."""
    return f"{seconds // 60}:{seconds % 60:02}"
