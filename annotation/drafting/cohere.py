"""Client of Cohere, the one seam to it: one call of the v2 chat API, one answer or one fault.

Errors of the SDK carry headers and bodies, and a body may echo the key: they are read here, cleaned of the key and
dropped; none of them leaves this module.
"""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
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

STOPS = {
    401: "Cohere does not accept the key (401); check CO_API_KEY, or make a new key in Cohere's dashboard.",
    402: "Cohere wants payment (402: the account's billing limit is reached, or it has no payment method); "
    "mend that in Cohere's dashboard, then run the same command again.",
    498: "Cohere does not accept the key (498); check CO_API_KEY, or make a new key in Cohere's dashboard.",
}
"""Answers after which no other call can succeed, in one sentence each: without the body, which may echo the key."""

_arrived: ContextVar[list[httpx.Response]] = ContextVar("arrived")
_shown: ContextVar[str] = ContextVar("shown", default="")
"""The address that holds the picture of the call under way."""


class Cohere:
    """The real SDK. Retries are ours to make (each costs a reservation), so its own are off."""

    name, chosen_with = "Cohere", "draft.models"

    def __init__(self, key: str, *, timeout_s: float, connections: int) -> None:
        """Make a client; CO_API_URL in the environment names another address than Cohere's.

        Raises:
            DraftError: The key cannot be a key, or CO_API_URL is no address.
        """
        import cohere
        import httpx

        self._key = key.strip()
        if not is_key(self._key):
            raise DraftError("CO_API_KEY is no key: it holds blanks or characters that no key has; copy it again.")
        url = os.environ.get("CO_API_URL") or None
        if url is not None and not is_address(url):
            raise DraftError(f"CO_API_URL = {url!r} is no address; unset it, or write one that starts with https://.")

        async def note(response: httpx.Response) -> None:
            _arrived.get().append(response)

        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            event_hooks={"response": [note]},
        )
        self._client = cohere.AsyncClientV2(
            self._key, base_url=url, client_name="annot", max_retries=0, httpx_client=self._http
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def answer(self, slot: Slot, picture: bytes = b"") -> Reply | Fault:
        """Call once. Whatever happens comes back as a value; only our own bugs raise."""
        import cohere
        import httpx
        from cohere.core.api_error import ApiError
        from cohere.core.parse_error import ParsingError

        responses: list[httpx.Response] = []
        _arrived.set(responses)
        _shown.set(data_uri(picture) if slot.shown else "")
        told: str | list[cohere.Content] = slot.text
        if slot.shown:
            image = cohere.ImageUrl(url=_shown.get(), detail=slot.shown.detail)
            told = [cohere.TextContent(text=slot.text), cohere.ImageUrlContent(image_url=image)]
        try:
            # httpx counts the time between two bytes; a server that dribbles would hold us for ever.
            async with asyncio.timeout(self._timeout_s + CONNECT_S):
                response = await self._client.chat(
                    model=slot.model,
                    messages=[
                        cohere.SystemChatMessageV2(content=slot.persona.system),
                        cohere.UserChatMessageV2(content=told),
                    ],
                    **slot.settings,
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            return Fault("unreachable", self._clean(f"no connection ({type(error).__name__}: {error})"))
        except (httpx.TimeoutException, TimeoutError):
            return Fault("timeout", f"no answer within {self._timeout_s:g} s")
        except httpx.RequestError as error:
            return Fault("lost", self._clean(f"the connection broke ({type(error).__name__}: {error})"))
        except (ApiError, ParsingError) as error:
            return self._refusal(error.status_code or 0, error.body, error.headers or {}, responses)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            # The SDK builds its objects without checks: JSON of another shape breaks it in these ways.
            if not responses or not responses[-1].is_success:
                raise
            detail = f"JSON of an unknown shape ({type(error).__name__})"
            return Fault("broken", detail, responses[-1].status_code, raw=self._clean(text_of(responses[-1].content)))
        return self._read(response, self._clean(text_of(responses[-1].content)))

    def _read(self, response: Any, raw: str) -> Reply | Fault:
        content = getattr(getattr(response, "message", None), "content", None)
        finish = getattr(response, "finish_reason", None)
        if not isinstance(finish, str) or not (content is None or isinstance(content, list)):
            return Fault("broken", "JSON of an unknown shape", 200, raw=raw)
        texts = [item.text for item in content or () if getattr(item, "type", None) == "text"]
        if not all(isinstance(text, str) for text in texts):
            return Fault("broken", "JSON of an unknown shape", 200, raw=raw)
        billed = getattr(getattr(response, "usage", None), "billed_units", None)
        tokens_in, tokens_out = getattr(billed, "input_tokens", None), getattr(billed, "output_tokens", None)
        return Reply(self._clean("".join(texts).strip()), finish, count_of(tokens_in), count_of(tokens_out), raw)

    def _refusal(self, status: int, body: object, headers: dict[str, str], responses: list[httpx.Response]) -> Fault:
        if 200 <= status < 300:
            return Fault("broken", "no valid JSON", status, raw=self._clean(text_of(responses[-1].content)))
        if status in STOPS:
            return Fault("rejected", STOPS[status], status)
        message = body.get("message", body) if isinstance(body, dict) else body
        return refusal(status, self._clean(" ".join(str(message).split())), headers)

    def _clean(self, text: str) -> str:
        return without_secrets(text, self._key, _shown.get())
