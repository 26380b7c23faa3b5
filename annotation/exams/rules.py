"""Rules of INCLUDE: what it asks to know of a question, and which it takes, whatever people say of them."""

from __future__ import annotations

import re

from annotation.text.locales import fold
from annotation.types import ExamQuestion

FLAGS = {
    "country": "--country",
    "language": "--language",
    "exam": "--exam",
    "level": "--level",
    "category": "--category",
    "source": "--source-url",
    "licence": "--licence",
}
"""What INCLUDE asks to know of every question, and the flag that says it of those that do not say it themselves."""

OPTIONS = 4
"""INCLUDE's questions have as many options, of which one is right."""

EXACT = re.compile(
    r"\b(?:matem(?:atic|atiqu)\w*|mathemati\w+|maths?|matematika|algebra|calculus|calculo|(?:geo|trigono)metr\w+|"
    r"arith?metic\w*|e?stad?t?isti\w+|(?:bio)?quimic\w*|kimika|(?:bio)?chemistry|fisika|physics|biologia|biology|"
    r"geologia|geology|astronom\w+|ciencias? (?:exactas|exatas|naturales|naturais|biologicas)|"
    r"ciencias? d[ae](?: la)? natur(?:al)?eza|ciencies naturals|natur zientziak|(?:exact|natural) sciences?)\b|"
    r"(?:^|ciencias? |y |e )fisica\b|^(?:ciencias?|sciences?)$"
)
"""Categories that INCLUDE does not take: exact and natural sciences, the same in every country. "Educación física" and
"geografía física" are none, nor is the history of one."""


def misfit(question: ExamQuestion, *, annulled: bool = False) -> tuple[str, str] | None:
    """Why INCLUDE cannot take a question, whatever people say of it: a reason and what decided; None where it can.

    Five options are no misfit: people say which one goes.
    """
    if annulled:
        return "annulled by the official key", ""
    if not question.question:
        return "no question", ""
    if not OPTIONS <= len(question.options) <= OPTIONS + 1:
        return f"{len(question.options)} options instead of {OPTIONS}", ""
    if not all(question.options):
        return "an option is empty", ""
    if twice := next((option for option in question.options if question.options.count(option) > 1), ""):
        return "two options are the same", twice
    if question.answer is not None and not 0 <= question.answer < len(question.options):
        return "the key names no option", str(question.answer + 1)
    for category in (question.category, question.category_original):
        if EXACT.search(fold(category)) and not fold(category).startswith("histor"):
            return "exact or natural science", category
    return None
