"""Visitors: what the server remembers of a session while it lasts, and nothing of who that is."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

_LOCK = threading.Lock()


@dataclass(slots=True)
class Duel:
    """A blind comparison.

    Attributes:
        id: In the vote file.
        file: Vote file in which it was begun.
        adapted: Side of the aligned model, "A" or "B".
        typed: The question where the visitor wrote it, or "".
        may_use: The visitor lets the team have what they wrote.
        answers: Of A and B, once both are written.
        closed: It was voted on.
    """

    id: str
    file: Path
    adapted: str
    typed: str
    may_use: bool
    answers: tuple[str, str] | None = None
    closed: bool = False


@dataclass(slots=True)
class Visitor:
    """A session: lives in memory.

    Attributes:
        asked: When questions were put, in the clock's seconds.
        duel: The newest, if any: only this one can be voted on.
        messages: The conversation with the aligned model.
    """

    asked: deque[float] = field(default_factory=deque)
    duel: Duel | None = None
    messages: list[dict[str, str]] = field(default_factory=list)

    def may_ask(self, per_minute: int) -> bool:
        """Whether another question is within the limit; it is counted then."""
        now = time.monotonic()
        with _LOCK:
            while self.asked and now - self.asked[0] > 60:
                self.asked.popleft()
            if len(self.asked) >= per_minute:
                return False
            self.asked.append(now)
            return True

    def take_back(self) -> None:
        """Count the newest question no more: the model failed."""
        with _LOCK:
            if self.asked:
                self.asked.pop()

    def close_duel(self) -> Duel | None:
        """The newest duel, if it is written and nobody voted on it; from now on it is closed."""
        with _LOCK:
            duel = self.duel
            if duel is None or duel.closed or duel.answers is None:
                return None
            duel.closed = True
            return duel
