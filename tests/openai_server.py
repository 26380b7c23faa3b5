"""A stand-in for a server that speaks OpenAI's chat completions: real HTTP on a free port, and told to misbehave.

It is no model: it says what the stand-in for Cohere says, in the form of this protocol.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from cohere_server import Answer, Behaviour, CohereStandIn, invent, parts_of, pixels

MODEL = "aligned-8b"

FIELDS = {"model", "messages", "temperature", "top_p", "seed", "max_tokens", "stop", "stream", "n"}


def chat(body: dict[str, Any], text: str | None = None, *, finish: str = "stop", **changes: Any) -> dict[str, Any]:
    """A chat completion. `changes` replace parts of its message."""
    # Nobody tells a model that answers as itself in which language: it is that of the question.
    language = "em português" if "O que" in json.dumps(body, ensure_ascii=False) else "en español"
    asked = {**body, "messages": [{"content": language}, *body["messages"]]}
    spoken = invent(asked) if text is None else text
    tokens_in, tokens_out = len(json.dumps(body["messages"])) // 4, len(spoken) // 4
    message = {"role": "assistant", "content": spoken, **changes}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        },
    }


class OpenAIStandIn(CohereStandIn):
    """A server of some models; `key` "" asks for none."""

    path = "/v1/chat/completions"

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        models: Sequence[str] = (MODEL,),
        sees: bool = False,
        key: str = "",
        delay_s: float = 0.0,
    ) -> None:
        super().__init__(behaviour, delay_s=delay_s, key=key)
        self.models, self.sees = models, sees
        self.listing: Answer | None = None

    def shown(self, path: str, authorization: str) -> Answer:
        if authorization.removeprefix("Bearer ") != self.key:
            return Answer({"error": {"message": f"wrong key {authorization}"}}, 401)
        if path != "/v1/models":
            return Answer({"detail": "Not Found"}, 404)
        return self.listing or Answer({"object": "list", "data": [{"id": name} for name in self.models]})

    def said(self, body: dict[str, Any]) -> dict[str, Any]:
        return chat(body)

    def unfit(self, body: dict[str, Any]) -> str:
        if body["model"] not in self.models:
            return f"model {body['model']} does not exist"
        if body.keys() - FIELDS:
            return f"unknown fields {sorted(body.keys() - FIELDS)}"
        roles = [message["role"] for message in body["messages"]]
        if roles not in (["user"], ["system", "user"]) or not all(message["content"] for message in body["messages"]):
            return f"roles {roles}, or an empty text"
        pictures = [part for part in parts_of(body["messages"][-1]) if part["type"] == "image_url"]
        if pictures and not self.sees:
            return "this model takes text alone"
        for part in pictures:
            pixels(part["image_url"]).load()
        return ""

    def billed(self, body: Any) -> tuple[int, int]:
        usage = body.get("usage") if isinstance(body, dict) else None
        return int((usage or {}).get("prompt_tokens", 0)), int((usage or {}).get("completion_tokens", 0))


@contextlib.contextmanager
def serving(behaviour: Behaviour | None = None, **settings: Any) -> Iterator[OpenAIStandIn]:
    """Run a stand-in while a block lasts."""
    with OpenAIStandIn(behaviour, **settings) as server:
        assert isinstance(server, OpenAIStandIn)
        yield server
