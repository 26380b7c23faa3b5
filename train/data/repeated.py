"""Rejected answers that repeat across many prompts: most often a program's message of an error, and no answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from annotation.prompts.rows import REPEATED, REPEATED_REASON, REPEATED_SHARE
from annotation.screen import counted
from annotation.text.error_messages import is_error_message
from annotation.text.privacy import excerpt
from annotation.types import Dropped
from train.data.slates import RankedSlate, seat_name
from train.data.texts import words_of

NAMED = 3
"""Repeated answers that a notice names."""


@dataclass(frozen=True)
class Sifted:
    """Slates without the answers that repeat.

    Attributes:
        slates: With what is left of them.
        dropped: Slates of which fewer than two answers are left.
        dropped_answers: Answers taken off the other slates.
        notices: The answers, and under how many prompts they stand.
    """

    slates: tuple[RankedSlate, ...]
    dropped: tuple[Dropped, ...] = ()
    dropped_answers: tuple[Dropped, ...] = ()
    notices: tuple[str, ...] = ()


def without_repeated(slates: tuple[RankedSlate, ...]) -> Sifted:
    """Take off answers that lose under REPEATED prompts and more, and under REPEATED_SHARE of them, and win nowhere.

    A text that is the rejected answer of every slate may be what somebody compares all with: it stays where it does not
    read like a program's message, since nothing else would be left.
    """
    losing = [_losing(slate) for slate in slates]
    times = Counter(
        words_of(slate.answers[seat]) for slate, seats in zip(slates, losing, strict=True) for seat in seats
    )
    many = max(REPEATED, REPEATED_SHARE * times.total())
    prompts: dict[str, set[str]] = defaultdict(set)
    for slate, seats in zip(slates, losing, strict=True):
        for text in (words_of(slate.answers[seat]) for seat in seats):
            if text and times[text] >= many:
                prompts[text].add(slate.prompt_key)
    repeated = Counter({text: len(keys) for text, keys in prompts.items() if len(keys) >= many})
    if not repeated:
        return Sifted(slates)
    if not any(len(_left(slate, seats, repeated)) > 1 for slate, seats in zip(slates, losing, strict=True)):
        repeated = Counter({text: count for text, count in repeated.items() if is_error_message(text)})
    shown = {text: excerpt(text) for text in repeated}
    kept: list[RankedSlate] = []
    dropped: list[Dropped] = []
    dropped_answers: list[Dropped] = []
    for slate, seats in zip(slates, losing, strict=True):
        gone = [seat for seat in seats if words_of(slate.answers[seat]) in repeated]
        found = [Dropped(seat_name(slate, s), REPEATED_REASON, shown[words_of(slate.answers[s])]) for s in gone]
        if found and len(_left(slate, seats, repeated)) < 2:
            dropped.append(replace(found[0], id=slate.id))
        else:
            dropped_answers += found
            kept.append(slate.without(gone) if gone else slate)
    notices = tuple(
        f'"{shown[text]}" is the rejected answer of {counted(count, "prompt")}: left out; --repeated takes it.'
        for text, count in repeated.most_common(NAMED)
    )
    return Sifted(tuple(kept), tuple(dropped), tuple(dropped_answers), notices)


def _left(slate: RankedSlate, losing: Sequence[int], repeated: Collection[str]) -> set[str]:
    """The different answers of a slate without those that repeat."""
    texts = [words_of(answer) for answer in slate.answers]
    return {text for seat, text in enumerate(texts) if seat not in losing or text not in repeated}


def _losing(slate: RankedSlate) -> list[int]:
    """Answers that lose a comparison and win none."""
    return sorted({pair.worse for pair in slate.comparisons} - {pair.better for pair in slate.comparisons})
