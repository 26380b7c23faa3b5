"""Questions as they are compared: options in another order make no other question, and a key may be another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotation.text.locales import fold
from annotation.types import Dropped, ExamQuestion


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
