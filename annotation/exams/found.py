"""Questions as they stand in a source, before anything is decided about them, and the lines that they are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from annotation.types import Dropped


class Box(NamedTuple):
    """A region of a page, in points from its upper left corner; pages count from 1."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


class Mark(NamedTuple):
    """A colour behind or of a part of a line's text, or "bold": characters `start` to `end`."""

    start: int
    end: int
    colour: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page.

    Attributes:
        text: Its words; a tab stands where a wide gap does.
        box: Where it stands.
        extractor: "text layer" or "OCR spa".
        marks: In the order of the text.
    """

    text: str
    box: Box
    extractor: str = "text layer"
    marks: tuple[Mark, ...] = ()


@dataclass(slots=True)
class Draft:
    """A question that is being read: its exam (from 0), number and lines, and what was seen around it."""

    exam: int
    number: int
    lines: list[Line]
    category: str = ""
    doubts: list[str] = field(default_factory=list)
    stem: str = ""
    options: list[str] = field(default_factory=list)
    colours: list[set[str]] = field(default_factory=list)
    answer: str = ""
    said: str = ""  # What a line with its answer says beside the letter.
    swallowed: int = 0  # The number of a question that stands inside it.


@dataclass(frozen=True, slots=True)
class FoundQuestion:
    """A question as it stands in a source.

    Attributes:
        place: Where a person finds it: "page 3", "row 12".
        number: As printed, or ""; "2-14" where it is the 14th of the second exam in one document.
        question: Its text.
        options: As printed, in order, without their letters.
        answer: From 0, None without a key.
        annulled: The official key says that it does not count.
        category: Heading that it stands under, or "".
        extractor: "text layer", "OCR spa", "csv", …
        page: From 1; 0 without pages.
        boxes: Regions of the pages that it covers, in order of reading.
        unsure: Why the rules are unsure, or "".
        given: Provenance that the source itself states: country, language, ….
    """

    place: str
    number: str
    question: str
    options: tuple[str, ...]
    answer: int | None = None
    annulled: bool = False
    category: str = ""
    extractor: str = ""
    page: int = 0
    boxes: tuple[Box, ...] = ()
    unsure: str = ""
    given: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundExam:
    """What was found in a source.

    Attributes:
        name: Of the file, without its folder.
        sha256: Of the file's bytes.
        questions: In order of reading.
        dropped: Questions that were begun, or counted, and could not be made whole.
        notices: What a person should know about how it was read.
        doubtful: Page -> its text, where the rules are unsure of a question on it or lost one.
    """

    name: str
    sha256: str
    questions: tuple[FoundQuestion, ...]
    dropped: tuple[Dropped, ...] = ()
    notices: tuple[str, ...] = ()
    doubtful: Mapping[int, str] = field(default_factory=dict)
