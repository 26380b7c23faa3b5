"""Repeated questions of exams: options in another order make no other question, and a key may be another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from annotation.exams.rules import FLAGS
from annotation.prompts.duplicates import near_duplicates
from annotation.screen import Progress, silent
from annotation.text.locales import fold
from annotation.types import Dropped, ExamQuestion, content_id


@dataclass(frozen=True, slots=True)
class Compared:
    """A question as it is compared: where it stands, its text with its options sorted, and which one is right."""

    where: str
    text: str
    right: str

    @classmethod
    def of(cls, where: str, question: str, options: Sequence[str], answer: int | None) -> Compared:
        """A question whose texts are clean already."""
        right = fold(options[answer]) if answer is not None and answer < len(options) else ""
        return cls(where, "\n".join([question, *sorted(options)]), right)

    def repeats(self, other: Compared, how: str) -> Dropped:
        """The reason to leave this one out for the other; where their keys differ it says so: a person should look."""
        # A table may cut the right option short: that is no other key.
        differ = not (self.right.startswith(other.right) or other.right.startswith(self.right))
        return Dropped(self.where, f"{how} duplicate{' with another key' if differ else ''}", other.where)


def compared_of(where: str, question: ExamQuestion) -> Compared:
    """A question as it is compared, and where it stands."""
    return Compared.of(where, question.question, question.options, question.answer)


def id_of(question: ExamQuestion) -> str:
    """Hash of question, options, country and language, as they are."""
    return content_id(question.question, *question.options, question.country, question.language)


@dataclass(frozen=True, slots=True)
class Repeats:
    """New questions among others.

    Attributes:
        kept: Places of those that are not repeated, in the order in which they were given.
        already_there: How many the project has.
        dropped: Those that repeat another one, and which.
    """

    kept: list[int]
    already_there: int
    dropped: list[Dropped]


def compare(
    new: Sequence[tuple[str, ExamQuestion]],
    known: Sequence[ExamQuestion],
    elsewhere: Sequence[Compared],
    threshold: float,
    progress: Progress = silent,
) -> Repeats:
    """Compare new questions with each other, with known ones and those elsewhere; of repeated ones the first stays.

    Args:
        new: Where each stands, and the question.
        known: Questions of the project.
        elsewhere: Questions that are somewhere already.
        threshold: Of similarity, as of `near_duplicates`: what is nearer is the same question.
        progress: Told how many were compared.
    """
    there: dict[str, list[ExamQuestion]] = defaultdict(list)
    for question in known:
        for id_ in {question.id, id_of(question)}:
            there[id_].append(question)
    first: dict[str, Compared] = {}
    fresh, dropped, already_there = list[tuple[int, Compared]](), list[Dropped](), 0
    for place, (where, question) in enumerate(new):
        id_, compared = question.id, compared_of(where, question)
        if id_ in first:
            dropped.append(compared.repeats(first[id_], "exact"))
            continue
        first[id_] = compared
        if id_ in there:
            # As it was extracted, or as people made it: either is what is there.
            reasons = [_difference(question, before) for before in there[id_]]
            if None in reasons:
                already_there += 1
            elif reason := reasons[0]:
                dropped.append(Dropped(where, *reason))
        else:
            fresh.append((place, compared))
    if not fresh:
        return Repeats([], already_there, dropped)
    there_already = [*(compared_of(f"{q.exam}, question {q.number or q.id}", q) for q in known), *elsewhere]
    settled = list({one.text: one for one in reversed(there_already)}.values())
    everything = [*settled, *(compared for _, compared in fresh)]
    kept = list[int]()
    texts = [compared.text for compared in everything]
    for index, twin, similarity in near_duplicates(texts, threshold, settled=len(settled)):
        progress(index + 1, len(texts), "comparing")
        if twin is None:
            kept.append(fresh[index - len(settled)][0])
        else:
            repeated = everything[index].repeats(everything[twin], "near")
            dropped.append(replace(repeated, because_of=f"{repeated.because_of} ({similarity:.2f})"))
    return Repeats(kept, already_there, dropped)


def _difference(new: ExamQuestion, before: ExamQuestion) -> tuple[str, str] | None:
    """In what a question that is there already says something else: a reason, and what stays; None for nothing."""
    right, known = compared_of("", new).right, compared_of("", before).right
    if right and right != known:
        return f"already there {'with another key' if known else 'without its key'}", before.exam
    other = [name for name in FLAGS if getattr(new, name) != getattr(before, name)]
    stays = ", ".join(f"{name} {getattr(before, name)}" for name in other)
    return ("already there with other provenance", stays) if other else None
