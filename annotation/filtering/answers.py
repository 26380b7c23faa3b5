"""Answers that are none: refusals, messages of an error, and texts that stand beside many prompts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from annotation.drafting.verdict import normal_form
from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look, shown
from annotation.text.error_messages import is_error_message
from annotation.text.refusals import is_refusal

LEAST_WORDS = 4
"""Shorter answers ("Sí, claro") may be right for many prompts."""

_ABOUT_ERRORS = re.compile(r"\b(?:error\w*|erros?|excep\w+|exceç\w+|http\w*|traceback|json|api)\b", re.IGNORECASE)
"""A prompt with such a word may well be answered by what looks like a message of an error."""

_NUMBERED = re.compile(r"[^\W_]*\d\w*(?:[-.:/]\w+)*")
"""A word with a digit, and what is joined to it: codes, times, ids."""


def refusals(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Answers that decline to answer, in Spanish, Portuguese and English (`annotation/text/refusals.py`)."""
    return Found(
        [
            Finding(place, shown(answer.text), number)
            for place, row in _seen(rows, look, "refusals")
            for number, answer in enumerate(row.answers)
            if is_refusal(answer.text, row.language)
        ]
    )


def errors(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Answers that are a message of an error, where nobody asks about errors (`annotation/text/error_messages.py`)."""
    return Found(
        [
            Finding(place, shown(answer.text), number)
            for place, row in _seen(rows, look, "error messages")
            if not _ABOUT_ERRORS.search(row.prompt)
            for number, answer in enumerate(row.answers)
            if is_error_message(answer.text)
        ]
    )


def repeated(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Answers beside `threshold` or more prompts that differ; numbers, codes and the prompt's own words aside.

    Prompts of one group of near duplicates count as one: the same answer to them may well be right.
    """
    beside: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, row in _seen(rows, look, "repeated answers"):
        prompt = normal_form(row.prompt)
        for number, answer in enumerate(row.answers):
            form = _NUMBERED.sub("0", normal_form(answer.text).replace(prompt, "…"))
            if len(re.findall(r"[^\W\d_]+", form)) >= LEAST_WORDS:
                beside[form].append((place, number))
    findings = []
    for places in beside.values():
        prompts = len({look.group(rows[place]) for place, _ in places}) if len(places) >= threshold else 0
        if prompts >= threshold:
            findings += [
                Finding(place, f"beside {prompts} prompts: {shown(rows[place].answers[number].text)}", number, prompts)
                for place, number in places
            ]
    return Found(sorted(findings, key=lambda one: (one.row, one.answer or 0)))


def _seen(rows: Sequence[Row], look: Look, note: str) -> Sequence[tuple[int, Row]]:
    look.progress(0, len(rows), note)
    return list(enumerate(rows))
