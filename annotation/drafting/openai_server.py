"""Client of servers that speak OpenAI's chat completions (vLLM, llama.cpp, TGI, Ollama, `annot serve`)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from annotation.drafting.pictures import data_uri
from annotation.drafting.writer import (
    CONNECT_S,
    Fault,
    Reply,
    count_of,
    is_address,
    is_key,
    refusal,
    text_of,
    without_secrets,
)
from annotation.errors import DraftError

if TYPE_CHECKING:
    import httpx

    from annotation.drafting.plan import Slot

KEY = "ANNOT_SOURCE_KEY"
"""Name of the secret that such a server may ask for."""

LISTING_S = 30.0
"""How long a server may take to say which models it has."""

ENDS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "content_filter": "ERROR_TOXIC", "tool_calls": "TOOL_CALL"}
"""finish_reason -> the same in Cohere's words, which `verdict` knows."""

MOST_BYTES = 16 * 2**20
"""Of a body, unpacked: a long answer takes some thousands. What is longer is not read to its end."""

MOST_NAMED, MOST_CHARS = 8, 300
"""Models that a sentence names, and letters of a model's name."""

_THOUGHT = re.compile(r"\A(?:\s*<think>.*?(?:</think>|\Z)|.*?</think>)", re.DOTALL)
"""What a model thinks before it answers, where its server does not keep it apart; its template may have begun it."""


class OpenAIServer:
    """A server of chat completions. As with Cohere, nothing is tried again here."""

    chosen_with = "--model"

    def __init__(self, url: str, key: str = "", *, timeout_s: float, connections: int, name: str = "") -> None:
        """Make a client.

        Args:
            url: Address of the API, such as http://127.0.0.1:8000/v1; without a path /v1 is meant.
            key: That the server asks for, or "".
            timeout_s: Longest wait for an answer.
            connections: Most at once.
            name: For people; "" is the server's host and port.

        Raises:
            DraftError: The key cannot be a key, or the address is none.
        """
        import httpx

        self._key = checked_key(key)
        self._url = address_of(url)
        self.name = name or self._url.netloc.decode()
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers=_headers(self._key),
            trust_env=not _is_here(self._url),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def answer(self, slot: Slot, picture: bytes = b"") -> Reply | Fault:
        """Call once. Whatever happens comes back as a value; only our own bugs raise."""
        import httpx

        shown = data_uri(picture) if slot.shown else ""
        told: Any = slot.text
        if slot.shown:
            seen = {"url": shown, "detail": slot.shown.detail}
            told = [{"type": "image_url", "image_url": seen}, {"type": "text", "text": slot.text}]
        system = [{"role": "system", "content": slot.persona.system}] if slot.persona.system else []
        body = {"model": slot.model, "messages": [*system, {"role": "user", "content": told}], **slot.settings}
        try:
            # httpx counts the time between two bytes; a server that dribbles would hold us for ever.
            async with asyncio.timeout(self._timeout_s + CONNECT_S):
                async with self._http.stream("POST", f"{self._url}/chat/completions", json=body) as response:
                    content = b""
                    async for piece in response.aiter_bytes():
                        content += piece
                        if len(content) > MOST_BYTES:
                            break
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            return Fault("unreachable", self._clean(f"no connection ({type(error).__name__}: {error})", shown))
        except (httpx.TimeoutException, TimeoutError):
            return Fault("timeout", f"no answer within {self._timeout_s:g} s")
        except httpx.RequestError as error:
            return Fault("lost", self._clean(f"the connection broke ({type(error).__name__}: {error})", shown))
        if len(content) > MOST_BYTES and response.is_success:
            return Fault("broken", f"a body of more than {MOST_BYTES} bytes", response.status_code)
        raw = self._clean(text_of(content[:MOST_BYTES]), shown)
        if not response.is_success:
            return self._refusal(response, raw)
        try:
            reply = _read(json.loads(content), raw)
        except (ValueError, RecursionError):
            return Fault("broken", "no valid JSON", response.status_code, raw=raw)
        if isinstance(reply, Fault):
            return reply
        return replace(reply, text=self._clean(reply.text, ""), finish=self._clean(reply.finish, ""))

    def _refusal(self, response: httpx.Response, raw: str) -> Fault:
        status = response.status_code
        if status in (401, 402, 498):
            return Fault("rejected", _told(status, self.name), status)
        return refusal(status, _message(raw), response.headers)

    def _clean(self, text: str, shown: str) -> str:
        return without_secrets(text, self._key, shown)


def served_model(url: str, key: str = "") -> str:
    """The one model that a server has.

    Raises:
        DraftError: It cannot be reached, refuses, or has none or several.
    """
    import httpx

    key, address = checked_key(key), address_of(url)
    place, which = address.netloc.decode(), "name one with --model"
    listing, content, until = f"{address}/models", b"", time.monotonic() + LISTING_S
    try:
        with httpx.stream(
            "GET", listing, headers=_headers(key), timeout=LISTING_S, trust_env=not _is_here(address)
        ) as response:
            for piece in response.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES or time.monotonic() > until:
                    raise DraftError(f"{listing} has no end; end --source with the path of the API, or {which}.")
    except httpx.RequestError as error:
        why = without_secrets(f"{type(error).__name__}: {error}", key)
        raise DraftError(
            f"{place} cannot be reached ({why}); start the server, or name another one with --source."
        ) from None
    said = without_secrets(text_of(content), key)
    if response.status_code in (401, 402, 498):
        raise DraftError(_told(response.status_code, place))
    if not response.is_success:
        raise DraftError(
            f"{place} does not say which models it has ({response.status_code}: {_message(said)}); {which}."
        )
    try:
        names = list(dict.fromkeys(_name(one["id"]) for one in json.loads(said)["data"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DraftError(
            f"{address}/models is no list of models; end --source with the path of the API, such as /v1, or {which}."
        ) from None
    if len(names) != 1:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        there = f"several models ({', '.join(names[:MOST_NAMED])}{more})" if names else "no model"
        raise DraftError(f"{place} has {there}; {which}.")
    return names[0]


def address_of(url: str) -> httpx.URL:
    """Address of an API, without a slash at its end.

    Raises:
        DraftError: It is none.
    """
    import httpx

    if not is_address(url):
        raise DraftError(f"--source {url!r} is no address; write one such as http://127.0.0.1:8000/v1.")
    address = httpx.URL(url)
    if address.userinfo or address.query or address.fragment:
        raise DraftError(f"--source takes an address alone; what opens {address.netloc.decode()} goes into {KEY}.")
    return address.copy_with(path=address.path.rstrip("/") or "/v1")


def checked_key(key: str) -> str:
    """A key without blanks around it.

    Raises:
        DraftError: It cannot be one.
    """
    key = key.strip()
    if key and not is_key(key):
        raise DraftError(f"{KEY} is no key: it holds blanks or characters that no key has; copy it again.")
    return key


def _name(found: Any) -> str:
    """A model's name as a server says it.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(found, str) or not found.isprintable() or not 0 < len(found) <= MOST_CHARS:
        raise ValueError("no name")
    return found


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _is_here(address: httpx.URL) -> bool:
    """Whether a server is on this machine: no proxy stands between."""
    return address.host in ("127.0.0.1", "localhost", "::1")


def _told(status: int, place: str) -> str:
    """Sentence about a status after which no other call can succeed, without the body, which may echo the key."""
    if status == 402:
        return f"{place} wants payment (402); mend that with its owner, then run the same command again."
    return f"{place} does not accept the key ({status}); set {KEY} in the environment, or in secrets.toml."


def _read(body: Any, raw: str) -> Reply | Fault:
    try:
        choice = body["choices"][0]
        message, finish, used = choice["message"], choice["finish_reason"], body.get("usage") or {}
        text, declined = message.get("content"), message.get("refusal")
        tokens = count_of(used.get("prompt_tokens")), count_of(used.get("completion_tokens"))
    except (TypeError, LookupError, AttributeError):
        return Fault("broken", "JSON of an unknown shape", 200, raw=raw)
    if not isinstance(finish, str) or not isinstance(text, str | None):
        return Fault("broken", "JSON of an unknown shape", 200, raw=raw)
    finish = "ERROR_TOXIC" if declined else ENDS.get(finish, finish)
    return Reply(_THOUGHT.sub("", text or "", count=1).strip(), finish, *tokens, raw)


def _message(raw: str) -> str:
    """What a body says of a refusal: servers differ in where."""
    said: Any = raw
    try:
        said = json.loads(raw)
        for key in ("error", "message"):
            said = said.get(key, said) if isinstance(said, dict) else said
    except (ValueError, RecursionError):
        pass
    return " ".join(str(said).split())
