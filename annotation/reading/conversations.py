"""Conversations in a cell: chat messages, JSON of them, or "Human: ... Assistant: ..." text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

HUMAN, ASSISTANT, SYSTEM = "user", "assistant", "system"
ROLES = {"human": HUMAN, "user": HUMAN, "prompter": HUMAN, "assistant": ASSISTANT, "gpt": ASSISTANT, "model": ASSISTANT}

_LABEL = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")


class Unclear(ValueError):
    """A row whose conversations give no prompt with answers; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: role is "user", "assistant" or "system"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt with its answers, as the cells of a row hold them.

    Attributes:
        turns: What was said before the answers: system texts, then the person and the assistant in turns, a question
            last; () where there is no prompt.
        answers: ("chosen" or "rejected", text), blank ones left out.
    """

    turns: tuple[Turn, ...]
    answers: tuple[tuple[str, str], ...]


def as_text(cell: object) -> str:
    """Write a cell as text: numbers as they look, a list of one as its item, nothing and NaN as ""."""
    if isinstance(cell, str):
        return cell
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, list):
        return as_text(cell[0]) if len(cell) == 1 else ""
    return "" if isinstance(cell, dict) else str(cell)


def read_turns(cell: object) -> tuple[Turn, ...] | None:
    """Read a conversation.

    Args:
        cell: A list of {"role", "content"} (or ShareGPT's {"from", "value"}) as TRL has them, JSON text of one, or a
            transcript as hh-rlhf has them: blank line, "Human:" or "Assistant:", text.

        One message alone is a conversation of one turn.

    Returns:
        The turns, without a last empty one; None when the cell is plain text.
    """
    if isinstance(cell, dict) and (cell.keys() & {"role", "from"}):
        return read_turns([cell])
    if isinstance(cell, str):
        if cell.lstrip().startswith(("[{", '{"role"', '{"from"')):
            try:
                return read_turns(json.loads(cell))
            except ValueError:
                return None  # Text that begins like JSON.
        pieces = _LABEL.split(cell.strip())
        if pieces[0] or len(pieces) < 3 or pieces[1] != "Human" or "Assistant" not in pieces:
            return None
        turns = [Turn(ROLES[who.lower()], text.strip()) for who, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    elif isinstance(cell, list) and cell and all(isinstance(message, dict) for message in cell):
        turns = [_turn(message) for message in cell]
    else:
        return None
    if turns and turns[-1].role == ASSISTANT and not turns[-1].text:
        turns.pop()
    return tuple(turns)


def _turn(message: dict[str, object]) -> Turn:
    role = as_text(message.get("role") or message.get("from")).casefold()
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        content = "\n".join(as_text(part.get("text")) for part in content if isinstance(part, dict))
    return Turn(ROLES.get(role, role), as_text(content).strip())


def read_exchange(prompt: object, chosen: object = None, rejected: object = None) -> Exchange:
    """Read the prompt and the answers of a row.

    Args:
        prompt: Its cell: text, a conversation, or nothing where chosen and rejected hold the whole conversation.
        chosen: The better answer, alone or at the end of a conversation.
        rejected: The worse one.

    Raises:
        Unclear: The conversations differ before the last answer, or end with a question.
    """
    answers: list[tuple[str, str]] = []
    before: set[tuple[Turn, ...]] = set()
    for kind, cell in (("chosen", chosen), ("rejected", rejected)):
        turns = read_turns(cell)
        if turns is None:
            answers.append((kind, as_text(cell)))
            continue
        if not turns or turns[-1].role != ASSISTANT:
            raise Unclear("conversation without a last answer")
        before.add(turns[:-1])
        answers.append((kind, turns[-1].text))
    if len(before) > 1:
        raise Unclear("conversations differ before the last answer")
    leading = next(iter(before), ())
    own = read_turns(prompt)
    if own is None and (text := as_text(prompt)).strip():
        own = (*(turn for turn in leading if turn.role == SYSTEM), Turn(HUMAN, text))
    found = tuple(own if own is not None else leading)
    if (spoken := [turn for turn in found if turn.role != SYSTEM]) and spoken[-1].role != HUMAN:
        raise Unclear("conversation without a last question")
    return Exchange(found, tuple((kind, answer) for kind, answer in answers if answer.strip()))


def system_of(turns: Sequence[Turn]) -> str:
    """The system texts of a conversation, or ""."""
    return "\n\n".join(turn.text for turn in turns if turn.role == SYSTEM)


def prompt_of(turns: Sequence[Turn]) -> str:
    """The question that turns end with; several turns are written out with "Human:" and "Assistant:"."""
    spoken = [turn for turn in turns if turn.role != SYSTEM]
    if len(spoken) == 1:
        return spoken[0].text
    labels = {HUMAN: "Human", ASSISTANT: "Assistant"}
    return "\n\n".join(f"{labels.get(turn.role, turn.role)}: {turn.text}" for turn in spoken)
