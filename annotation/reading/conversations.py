"""Conversations in a cell: chat messages, JSON of them, or "Human: ... Assistant: ..." text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotation.reading.cells import as_text, unpacked
from annotation.text.locales import fold

HUMAN, ASSISTANT, SYSTEM = "user", "assistant", "system"
ROLES = {
    **dict.fromkeys(("human", "user", "prompter", "usuario", "usuaria", "humano", "persona", "pessoa"), HUMAN),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatbot", "ai", "ia", "asistente", "assistente"), ASSISTANT),
    **dict.fromkeys(("modelo", "chatgpt", "agent", "agente"), ASSISTANT),
    **dict.fromkeys(("system", "sistema", "developer", "systemprompt"), SYSTEM),
}
"""Names of the roles, folded."""

ROLE_KEYS = ("role", "from", "speaker", "sender", "rol")
CONTENT_KEYS = ("content", "value", "text", "message", "contenido", "mensaje", "conteudo", "mensagem")

_LABELS = "Human|User|Usuario|Usuário|Assistant|Asistente|Assistente"
_APART = re.compile(rf"(?:\A|\n\n)({_LABELS}):[ ]?")
_BY_LINE = re.compile(rf"(?:\A|\n)({_LABELS}):[ ]?")


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
        answers: One text per cell, "" where it is blank.
        output: The assistant's last turn where the prompt ends with one and there are no other answers, or "".
    """

    turns: tuple[Turn, ...]
    answers: tuple[str, ...] = ()
    output: str = ""


def read_turns(cell: object) -> tuple[Turn, ...] | None:
    """Read a conversation.

    Args:
        cell: A list of {"role", "content"} (or ShareGPT's {"from", "value"}) as TRL has them, JSON or Python text of
            one, an object with such a list, or a transcript as hh-rlhf has them: blank line, "Human:" or "Assistant:",
            text. One message alone is a conversation of one turn.

    Returns:
        The turns, without a last empty one; None when the cell is plain text.
    """
    if isinstance(cell, str):
        if re.match(r"\s*(?:\[\s*)?\{", cell):
            found = unpacked(cell)
            return None if isinstance(found, str) else read_turns(found)  # Text may begin like JSON.
        turns = _transcript(cell.strip())
        if turns is None:
            return None
    elif isinstance(cell, dict):
        inner = next((cell[key] for key in ("messages", "conversation", "conversations") if key in cell), None)
        if inner is not None:
            return read_turns(inner)
        return read_turns([cell]) if _role(cell) is not None else None
    elif isinstance(cell, list) and cell and all(isinstance(one, dict) and _role(one) is not None for one in cell):
        turns = [_turn(message) for message in cell]
    else:
        return None
    if turns and turns[-1].role == ASSISTANT and not turns[-1].text:
        turns.pop()
    return tuple(turns)


def _transcript(text: str) -> list[Turn] | None:
    if not re.match(rf"(?:{_LABELS}):", text):
        return None
    for pattern in (_APART, _BY_LINE):
        pieces = pattern.split(text)
        roles = [ROLES[fold(label)] for label in pieces[1::2]]
        if roles[:1] == [HUMAN] and ASSISTANT in roles:
            return [Turn(role, said.strip()) for role, said in zip(roles, pieces[2::2], strict=True)]
    return None


def _role(message: dict[str, Any]) -> object:
    said = message.keys() & set(CONTENT_KEYS)
    return next((message[key] for key in ROLE_KEYS if said and message.get(key) is not None), None)


def _turn(message: dict[str, Any]) -> Turn:
    role = as_text(_role(message)).strip()
    content = next((message[key] for key in CONTENT_KEYS if message.get(key) is not None), None)
    if isinstance(content, list):
        content = "\n".join(as_text(part.get("text")) if isinstance(part, dict) else as_text(part) for part in content)
    elif isinstance(content, dict):
        content = content.get("text", content.get("content"))
    return Turn(ROLES.get(fold(role), role.casefold()), as_text(content).strip())


def read_exchange(prompt: object, answers: Sequence[object] = ()) -> Exchange:
    """Read the prompt and the answers of a row.

    Args:
        prompt: Its cell: text, a conversation, or nothing where the answers hold the whole conversation.
        answers: Cells, each an answer alone or at the end of a conversation.

    Raises:
        Unclear: The conversations differ before the last answer, or end with a question.
    """
    texts: list[str] = []
    before: set[tuple[Turn, ...]] = set()
    for cell in answers:
        turns = read_turns(cell)
        if turns is None:
            texts.append(as_text(cell))
            continue
        if not turns or turns[-1].role != ASSISTANT:
            raise Unclear("conversation without a last answer")
        before.add(turns[:-1])
        texts.append(turns[-1].text)
    if len(before) > 1:
        raise Unclear("conversations differ before the last answer")
    leading = next(iter(before), ())
    own = read_turns(prompt)
    if own is None and (text := as_text(prompt)).strip():
        own = (Turn(HUMAN, text),)
    turns = leading if own is None else _joined(own, leading)
    if {turn.role for turn in turns} - {HUMAN, ASSISTANT, SYSTEM}:
        raise Unclear("a role that is none of system, user and assistant")  # Not named: it may be somebody's name.
    output = ""
    if (spoken := _spoken(turns)) and spoken[-1].role != HUMAN:
        last = spoken.pop()
        if not any(text.strip() for text in texts):
            output = last.text
        elif last.text not in [text.strip() for text in texts]:
            raise Unclear("conversation without a last question")
        if not spoken or spoken[-1].role != HUMAN:
            raise Unclear("conversation without a last question")
        turns = (*(turn for turn in turns if turn.role == SYSTEM), *spoken)
    return Exchange(turns, tuple(texts), output)


def _joined(own: tuple[Turn, ...], leading: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """A prompt and what stands before the answers: the same, the beginning or the end of it, or what follows it."""
    told, more = _spoken(own), _spoken(leading)
    systems = [turn for turn in own if turn.role == SYSTEM] or [turn for turn in leading if turn.role == SYSTEM]
    if more and more[0].role == ASSISTANT:
        return (*systems, *told, *more)
    if len(more) > len(told) and told in (more[: len(told)], more[len(more) - len(told) :]):
        return (*systems, *more)
    return (*systems, *(told or more))


def _spoken(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.role != SYSTEM]


def system_of(turns: Sequence[Turn]) -> str:
    """The system texts of a conversation, or ""."""
    return "\n\n".join(turn.text for turn in turns if turn.role == SYSTEM)


def prompt_of(turns: Sequence[Turn]) -> str:
    """The question that turns end with; several turns are written out with "Human:" and "Assistant:"."""
    spoken = _spoken(turns)
    if len(spoken) == 1:
        return spoken[0].text
    labels = {HUMAN: "Human", ASSISTANT: "Assistant"}
    return "\n\n".join(f"{labels.get(turn.role, turn.role)}: {turn.text}" for turn in spoken)
