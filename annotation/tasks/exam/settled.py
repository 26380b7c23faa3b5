"""What people's checks of an exam question come to: it is checked, rejected, disputed, or waits for more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from annotation.task_tables import ExamTaskSettings
from annotation.tasks.exam.check import KEPT, RIGHT, Check
from annotation.tasks.exam.item import question_of
from annotation.types import Answer, ExamQuestion, Item

CHECKED, REJECTED, DISPUTED, INCOMPLETE, WAITING = "checked", "rejected", "disputed", "incomplete", "waiting"
STATUSES = (CHECKED, REJECTED, DISPUTED, INCOMPLETE, WAITING)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question.

    Attributes:
        status: One of STATUSES.
        question: As people made it, where it is checked; as it was extracted otherwise.
        answers: People who answered.
        agreeing: Those of them who said what decided; 0 where nothing is decided.
    """

    status: str
    question: ExamQuestion
    answers: int = 0
    agreeing: int = 0

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Where it is counted: country, exam, category and status."""
        return (self.question.country, self.question.exam, self.question.category, self.status)


def settle(item: Item, answers: Sequence[Answer[Check]], settings: ExamTaskSettings) -> Outcome:
    """What the answers to one question come to.

    CHECKED: enough people, and more than half of all, say the same of its texts and its key, and what they say is
    whole: four options and a key. Of five options that one goes which most of them name; on a tie, the one that was
    named first: each of them is a person's choice. REJECTED: as many find that it does not fit. INCOMPLETE: as many
    agree, and nobody said which of five options goes, or which one is right. DISPUTED: as many people as are asked
    answered without any of this; one more can settle it. WAITING: not so many yet.

    An adjudicator's decision is one more answer; where nothing comes of all of them, it is what comes of them.
    """
    found = _settle(item, answers, settings)
    decision = next((answer for answer in answers if answer.adjudicated), None)
    if decision is None or found.status in (CHECKED, REJECTED):
        return found
    alone = _settle(item, [decision], settings.model_copy(update={"agree": 1}))
    return replace(alone, answers=found.answers)


def _settle(item: Item, answers: Sequence[Answer[Check]], settings: ExamTaskSettings) -> Outcome:
    question = question_of(item)
    checks = [answer.value for answer in sorted(answers, key=lambda one: (one.submitted_at, one.response_id))]

    def decide(said: Sequence[Check]) -> bool:
        return len(said) >= settings.agree and 2 * len(said) > len(checks)

    rejecting = [check for check in checks if not check.fits]
    if decide(rejecting):
        return Outcome(REJECTED, question, len(checks), len(rejecting))
    made = Counter(replace(check, removed=None).applied_to(question) for check in checks if check.fits)
    for wanted, _ in made.most_common(1):
        agreeing = [c for c in checks if c.fits and replace(c, removed=None).applied_to(question) == wanted]
        removed = Counter(check.removed for check in agreeing if check.removed is not None).most_common(1)
        if removed and len(wanted.options) > KEPT:
            wanted = Check(RIGHT, removed=removed[0][0]).applied_to(wanted)
        if decide(agreeing):
            if len(wanted.options) != KEPT or wanted.answer is None:
                return Outcome(INCOMPLETE, question, len(checks), len(agreeing))
            features = [check.feature for check in agreeing if check.feature]
            categories = Counter(check.category or question.category for check in agreeing)
            category, most = categories.most_common(1)[0]
            whole = replace(
                wanted,
                regional_feature=_most_said(features) if features else question.regional_feature,
                category=category if 2 * most > len(agreeing) else question.category,
            )
            return Outcome(CHECKED, whole, len(checks), len(agreeing))
    return Outcome(DISPUTED if len(checks) >= settings.overlap else WAITING, question, len(checks))


def _most_said(words: Iterable[str]) -> str:
    """What more people said than anything else; "" on a tie."""
    (first, most), *others = Counter(words).most_common(2)
    return "" if others and others[0][1] == most else first
