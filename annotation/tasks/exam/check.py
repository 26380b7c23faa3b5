"""What one person said of an exam question, read from the page strictly and written back without loss."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotation.tasks.base import Unfit
from annotation.tasks.page import as_written
from annotation.types import REGIONAL_FEATURES, ExamQuestion

LETTERS = "ABCDE"
"""Names of the options on the page, in their order."""

RIGHT, TYPO, WRONG_KEY = "right", "typo", "wrong_key"
FITS = (RIGHT, TYPO, WRONG_KEY)
"""Verdicts of those who keep the question."""
REJECT = ("unclear", "foreign")
"""Verdicts of those who do not."""

ALIKE = 0.6
"""Least likeness to the question of a line that begins like an option, for it to be the question perhaps."""

KEPT = 4
"""Options of a checked question: INCLUDE takes no other number."""

_OPTION = re.compile(r"([A-Ea-e])(?:[.)]\s*|[:–-]\s+)(.*)")


@dataclass(frozen=True, slots=True)
class Check:
    """What one person said of one exam question; of those who reject it, nothing about texts and options.

    Attributes:
        verdict: One of FITS or REJECT.
        question: Its text, corrected; "" as it stands.
        options: Place and corrected text of those options that are not as they stand, in order.
        key: Place of the right option, where the person named it.
        removed: Place of the option that goes where there are five.
        feature: One of REGIONAL_FEATURES, or "".
        category: A better subject, or "".
        comment: Free text, or "".
    """

    verdict: str
    question: str = ""
    options: tuple[tuple[int, str], ...] = ()
    key: int | None = None
    removed: int | None = None
    feature: str = ""
    category: str = ""
    comment: str = ""

    @property
    def fits(self) -> bool:
        """Whether the person keeps the question."""
        return self.verdict in FITS

    def applied_to(self, question: ExamQuestion) -> ExamQuestion:
        """The question as this person would have it: its texts, its key, and without the option that goes."""
        options = [dict(self.options).get(place, text) for place, text in enumerate(question.options)]
        answer = question.answer if self.key is None else self.key
        if self.removed is not None:
            del options[self.removed]
            answer = None if answer is None else answer - (answer > self.removed)
        return replace(question, question=self.question or question.question, options=tuple(options), answer=answer)


def read_check(question: ExamQuestion, values: Mapping[str, Any]) -> Check:
    """A response's values as a check.

    Raises:
        Unfit: They contradict each other, or name what the question does not have.
    """
    verdict, feature = values.get("verdict"), values.get("feature") or ""
    if verdict not in (*FITS, *REJECT):
        raise Unfit("nothing was chosen" if verdict is None else f"unknown verdict: {verdict}")
    if feature not in ("", *REGIONAL_FEATURES):
        raise Unfit(f"unknown regional feature: {feature}")
    category, comment = (as_written(values.get(name) or "").strip() for name in ("category", "comment"))
    check = Check(verdict, feature=feature, category=" ".join(category.split()), comment=comment)
    if not check.fits:
        return check
    text, options = read_correction(question, as_written(values.get("correction") or ""))
    key, removed = (_place(question, values.get(name)) for name in ("answer", "removed"))
    check = replace(check, question=text, options=options, key=key, removed=removed)
    if fault := _contradiction(question, check):
        raise Unfit(fault)
    return check


def _contradiction(question: ExamQuestion, check: Check) -> str:
    """What in an answer contradicts itself or the question; "" for nothing."""
    corrected, other_key = bool(check.question or check.options), check.key not in (None, question.answer)
    answer = question.answer if check.key is None else check.key
    faults = {
        "right as it stands, and a correction": check.verdict == RIGHT and corrected,
        "right as it stands, and another key": check.verdict == RIGHT and other_key and question.answer is not None,
        "a typo without a correction": check.verdict == TYPO and not corrected,
        "a wrong key without the right one": check.verdict == WRONG_KEY and not other_key,
        "the right option is to go": check.removed is not None and check.removed == answer,
        "an option is to go where there are only four": check.removed is not None and len(question.options) <= KEPT,
    }
    return next((fault for fault, found in faults.items() if found), "")


def _place(question: ExamQuestion, letter: str | None) -> int | None:
    if letter is None:
        return None
    if letter not in LETTERS[: len(question.options)]:
        raise Unfit("an option was chosen that the question does not have")
    return LETTERS.index(letter)


def read_correction(question: ExamQuestion, text: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """The corrected text of a question ("" as it stands) and of its options, from lines; only what differs.

    A line that begins with an option's letter, as in "B. Quito", is that option; what comes before is the question.

    Raises:
        Unfit: The lines cannot be read without a guess.
    """
    asked, options = list[str](), dict[int, str]()
    for line in unicodedata.normalize("NFC", text).strip().splitlines():
        if found := _OPTION.fullmatch(line.strip()):
            place = _place(question, found[1].upper())
            if place in options:
                raise Unfit("a correction has an option twice")
            if place is None or not found[2].strip():
                raise Unfit("a correction has an empty option")
            likeness = _likeness(line, question.question)
            if not asked and likeness > max(ALIKE, _likeness(found[2], question.options[place])):
                raise Unfit("a correction that may be the question or an option")  # "A. Machado wrote …"
            options[place] = _plain(found[2])
        elif not options:
            asked.append(_plain(line))
        elif line.strip():
            raise Unfit("a correction goes on after its options")
    own = "\n".join(asked).strip()
    after = [options.get(place, text) for place, text in enumerate(question.options)]
    if options and len({_plain(option) for option in after}) < len(after):
        raise Unfit("a correction makes two options alike")
    differing = [(place, text) for place, text in sorted(options.items()) if text != _plain(question.options[place])]
    return own if own and _plain(own) != _plain(question.question) else "", tuple(differing)


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, _plain(one), _plain(other)).ratio()


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def write_check(check: Check) -> dict[str, Any]:
    """The inverse of `read_check`."""
    lines = [check.question] if check.question else []
    lines += [f"{LETTERS[place]}. {text}" for place, text in check.options]
    values = {
        "verdict": check.verdict,
        "answer": "" if check.key is None else LETTERS[check.key],
        "correction": "\n".join(lines),
        "removed": "" if check.removed is None else LETTERS[check.removed],
        "feature": check.feature,
        "category": check.category,
        "comment": check.comment,
    }
    return {name: {"value": value} for name, value in values.items() if value}
