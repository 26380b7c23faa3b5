"""Writer: a service that answers prompts, what comes of a call to it, and its texts without the key of the call."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from annotation.drafting.plan import Slot

CONNECT_S = 10.0
"""How long a connection may take to open; a call that never reached the service costs nothing."""

DETAIL_CHARS = 300

PIECE = 8
"""Letters of the key in a row from which a text gives it away."""

LONG = 64
"""Letters of base64 in a row that are no word of an answer, whatever picture they are of."""

_RUN = re.compile(r"(?:data:image/jpeg;base64,)?[A-Za-z0-9+/=]{16,}")

TRANSIENT = (408, 409, 425, 499)
"""Refusals that say nothing about the request; so does every 5xx."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with what the service bills for it.

    Attributes:
        text: The model's answer; its thinking is left out.
        finish: Why it ended, in Cohere's words: for example "COMPLETE" or "MAX_TOKENS".
        input_tokens: Billed units; None when the service did not say.
        output_tokens: Billed units; None when the service did not say.
        raw: The body as it came.
    """

    text: str
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    raw: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed call.

    Attributes:
        outcome: One of the ledger's words. "rate limited", "server error", "rejected" and "unreachable" cost nothing;
            after "broken", "timeout" and "lost" nobody can know.
        detail: One line for a person, without the key.
        status: HTTP status, or None when there was no response.
        retry_after_s: How long the service asks to wait, or None.
        raw: The body as it came, when the call may have been billed.
    """

    outcome: str
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
    raw: str = ""


class Writer(Protocol):
    """Service that answers prompts: all that drafting needs of it."""

    @property
    def name(self) -> str:
        """What people call it, at the beginning of a sentence."""

    @property
    def chosen_with(self) -> str:
        """Where a person says which of its models are called."""

    async def answer(self, slot: Slot, picture: bytes = b"") -> Reply | Fault:
        """Call once, without any retry; `picture` is the JPEG that the slot shows."""

    async def close(self) -> None:
        """Let go of the connections."""


def refusal(status: int, detail: str, headers: Mapping[str, str]) -> Fault:
    """The fault of a call that was answered with an HTTP status of 300 or more.

    Args:
        status: The status.
        detail: What the service says of it, cleaned.
        headers: For Retry-After.
    """
    detail = f"{status}: {detail}"[:DETAIL_CHARS]
    if status == 429:
        return Fault("rate limited", detail, status, wait_s(headers))
    if status >= 500 or status in TRANSIENT:
        return Fault("server error", detail, status, wait_s(headers))
    return Fault("rejected", detail, status)


def without_secrets(text: str, key: str, picture: str = "") -> str:
    """A text without the key, and every piece of it or of the picture that a server may show as a reminder.

    Args:
        text: Of a service.
        key: Which it was called with, or "".
        picture: The address that holds the picture of the call, or "".
    """
    if picture:
        text = _RUN.sub(lambda run: "[picture]" if len(run[0]) >= LONG or run[0] in picture else run[0], text)
    if not key:
        return text
    size = min(PIECE, len(key))
    shown = bytearray(len(text))
    for start in range(len(key) - size + 1):
        at = text.find(key[start : start + size])
        while at >= 0:
            shown[at : at + size] = b"x" * size
            at = text.find(key[start : start + size], at + 1)
    runs = itertools.groupby(zip(text, shown, strict=True), key=lambda pair: bool(pair[1]))
    return "".join("[key]" if hidden else "".join(letter for letter, _ in run) for hidden, run in runs)


def text_of(content: bytes) -> str:
    """A body as text: JSON is UTF-8, whatever its headers say, and what is not is shown as such."""
    return content.decode("utf-8", "replace")


def writable(text: str) -> str:
    """A text that a database takes: without halves of characters that JSON may name, and without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def is_key(key: str) -> bool:
    """Whether a text can be a key: a header holds it."""
    return re.fullmatch(r"[!-~]+", key) is not None


def is_address(url: str) -> bool:
    """Whether a text is the address of a service."""
    import httpx

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def count_of(tokens: object) -> int | None:
    """A number of tokens; None where it makes no sense."""
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 0 <= tokens < 1e9:
        return None
    return round(tokens)


def wait_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, given as a number or as a date; None when it is absent or makes no sense."""
    import email.utils
    import time

    header = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
