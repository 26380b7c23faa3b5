"""Verdict on a model's answer: whether it can be a candidate."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from annotation.text.language import tell
from annotation.text.refusals import is_refusal
from annotation.types import Prompt


def verdict(text: str, finish: str, prompt: Prompt, earlier: Collection[str]) -> str:
    """Classify an answer: "answer" when it can be a candidate, else what is wrong with it.

    Args:
        text: The model's answer, thinking left out.
        finish: Cohere's finish_reason.
        prompt: What is answered.
        earlier: `normal_form` of the answers that the prompt has already.
    """
    if finish.startswith("ERROR_"):  # ERROR_TOXIC: the service stopped its own answer.
        return "refused"
    if finish in ("ERROR", "TIMEOUT", "TOOL_CALL"):
        return "broken"
    if not text.strip():
        return "cut" if finish == "MAX_TOKENS" else "empty"
    if is_refusal(text, prompt.language):
        return "refused"
    if finish == "MAX_TOKENS":
        return "cut"
    if normal_form(text) in earlier:
        return "duplicate"
    return "answer" if tell(text, [prompt.language]) == prompt.language else "wrong language"


def normal_form(text: str) -> str:
    """Normal form of an answer, equal for two that nobody would tell apart: NFC, case and blanks do not count."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
