"""A rule of the filter: what it looks for, its threshold and where that is from, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from annotation.filtering.rows import Row
from annotation.screen import Progress, silent

if TYPE_CHECKING:
    from annotation.types import ExamQuestion

Does = Literal["drop", "flag", "mend"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule found in a row.

    Attributes:
        row: Place in the rows that the rule was given.
        because_of: What it collided with or what was seen, for a person.
        answer: Place of the answer; None: the row as a whole.
        value: What was measured against the threshold, or None.
    """

    row: int
    because_of: str
    answer: int | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A measure of a whole set, or of a country's part of it, beside its threshold.

    Attributes:
        of: "all", an ISO code of a country, or what else the measure is of.
        value: Measured.
        low: Lower end of the 95 % interval; None where there is none.
        high: Upper end.
        count: What it is measured on: pairs, or rows.
        raised: Whether a person should look.
        note: What a person should know of it.
    """

    of: str
    value: float
    low: float | None
    high: float | None
    count: int
    raised: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found.

    Attributes:
        findings: In the order of the rows.
        flags: Measures of the set.
        groups: Place of a row -> name of its group of near duplicates.
        note: Why it looked at less than everything, or "".
    """

    findings: Sequence[Finding] = ()
    flags: Sequence[Flag] = ()
    groups: Mapping[int, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What rules may look at beside the rows.

    Attributes:
        countries: The project's.
        languages: The project's; () for any.
        questions: Of the project's exams and of benchmarks, none of whose words may be trained on.
        vectors: Turns texts into unit rows, shape (len(texts), d); None without an encoder.
        groups: Row's number -> its group of near duplicates, once that rule has run.
        progress: Gets how many rows are done.
    """

    countries: Sequence[str] = ()
    languages: Sequence[str] = ()
    questions: Sequence[ExamQuestion] = ()
    vectors: Callable[[Sequence[str]], Any] | None = None
    groups: Mapping[int, str] = field(default_factory=dict)
    progress: Progress = silent

    def group(self, row: Row) -> str:
        """What may not stand on both sides of a split: the row's group, or the row."""
        return self.groups.get(row.number, str(row.number))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        name: As --drop, --keep and --threshold name it.
        looks_for: What it finds, in a line.
        does: With what it finds, unless a person says otherwise.
        find: (rows, look, threshold) -> what it found.
        threshold: None where there is nothing to set.
        source: Where the threshold is from.
        remedy: What helps.
        meaning: Whether it needs an encoder.
    """

    name: str
    looks_for: str
    does: Does
    find: Callable[[Sequence[Row], Look, float], Found]
    threshold: float | None = None
    source: str = ""
    remedy: str = ""
    meaning: bool = False


def shown(text: str) -> str:
    """The beginning of a text as one line."""
    return " ".join(text[:200].split())[:80]
