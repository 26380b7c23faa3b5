"""Texts of prompts and answers: plain, or messages of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Message = Mapping[str, str]
Text = str | tuple[Message, ...]
"""Plain text, or messages of a conversation ({"role", "content"})."""


def as_question(prompt: str, system: str = "") -> tuple[Message, ...]:
    """A prompt as messages; without a system text there is none."""
    question: Message = {"role": "user", "content": prompt}
    return ({"role": "system", "content": system}, question) if system else (question,)


def as_answer(text: str) -> tuple[Message, ...]:
    """An answer as messages."""
    return ({"role": "assistant", "content": text},)


def question_of(prompt: Text) -> str:
    """The words of a prompt, without the system text."""
    if isinstance(prompt, str):
        return prompt.strip()
    return "\n".join(message["content"].strip() for message in prompt if message["role"] != "system").strip()


def words_of(answer: Text) -> str:
    """The words of an answer."""
    return (answer if isinstance(answer, str) else "".join(message["content"] for message in answer)).strip()


def to_json(text: Any) -> Any:
    """A text as JSON holds it; other values stay as they are."""
    return [dict(message) for message in text] if isinstance(text, tuple) else text


def from_json(value: Any) -> Text:
    """A text that `to_json` wrote."""
    return value if isinstance(value, str) else tuple(dict(message) for message in value)
