"""Exam questions as people settled them, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.tasks.answers import judged, roster
from annotation.tasks.exam.item import NAME
from annotation.tasks.exam.settled import CHECKED, DISPUTED, WAITING, Outcome, settle
from annotation.types import Answer, ExamQuestion


def exam_questions(ledger: Ledger, settings: Settings, *, only_checked: bool = True) -> list[ExamQuestion]:
    """Questions as people made them, in the order of annotation.

    Args:
        ledger: The project's.
        settings: The project's: how many people must say the same.
        only_checked: Leave out those that are not settled; otherwise they come as they were extracted. Rejected ones
            never come.
    """
    wanted = {CHECKED} if only_checked else {CHECKED, DISPUTED, WAITING}
    return [found.question for found in settled_questions(ledger, settings) if found.status in wanted]


def settled_questions(ledger: Ledger, settings: Settings) -> list[Outcome]:
    """What became of every question, in the order of annotation."""
    items = {item.id: item for item in ledger.items(NAME)}
    of_item: dict[str, list[Answer[Any]]] = defaultdict(list)
    for answer in judged(ledger, items, roster(ledger)):
        of_item[answer.item_id].append(answer)
    return [settle(item, of_item[item.id], settings.task.exam) for item in items.values()]


def count_questions(found: Iterable[Outcome]) -> Counter[tuple[str, str, str, str]]:
    """How many questions of a country, exam and category have a status."""
    return Counter(outcome.place for outcome in found)
