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
        prompt: The question; a conversation of several turns is written out with "Human:" and "Assistant:".
        system: Its system text, or "".
        answers: ("chosen" or "rejected", text), blank ones left out.
    """

    prompt: str
    system: str
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
    text, system = as_text(prompt), ""
    turns = read_turns(prompt)
    leading = turns if turns is not None else () if text.strip() else next(iter(before), ())
    if leading:
        text, system = _as_prompt(leading)
    elif before:
        system = _as_prompt(next(iter(before)))[1]
    return Exchange(text, system, tuple((kind, answer) for kind, answer in answers if answer.strip()))


def _as_prompt(turns: Sequence[Turn]) -> tuple[str, str]:
    """Prompt text and system text of the turns before an answer."""
    system = "\n\n".join(turn.text for turn in turns if turn.role == SYSTEM)
    spoken = [turn for turn in turns if turn.role != SYSTEM]
    if not spoken:
        return "", system
    if spoken[-1].role != HUMAN:
        raise Unclear("conversation without a last question")
    if len(spoken) == 1:
        return spoken[0].text, system
    labels = {HUMAN: "Human", ASSISTANT: "Assistant"}
    return "\n\n".join(f"{labels.get(turn.role, turn.role)}: {turn.text}" for turn in spoken), system
