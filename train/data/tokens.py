"""Encoded slates: the prompt's tokens once, and each answer's from where it leaves the prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedSlate:
    """A slate in tokens.

    Attributes:
        prompt: Ids that all answers share.
        answers: Ids of each answer from where it leaves the prompt, its end-of-sequence token included.
        image: Id of the picture whose places the prompt holds, or "".
    """

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    image: str = ""

    @property
    def tokens(self) -> int:
        """Tokens to compute: the prompt once, and each answer."""
        return len(self.prompt) + sum(len(answer) for answer in self.answers)

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest answer."""
        return len(self.prompt) + max(len(answer) for answer in self.answers)
