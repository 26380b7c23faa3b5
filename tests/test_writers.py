"""Services that answer prompts: Cohere and OpenAI-compatible servers fail in the same ways, and tell the same of it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import pytest
from cohere_server import KEY, VISION, Answer, CohereStandIn, say
from openai_server import MODEL, OpenAIStandIn, chat
from PIL import Image

from annotation.drafting.cohere import Cohere
from annotation.drafting.openai_server import OpenAIServer
from annotation.drafting.personas import Persona
from annotation.drafting.pictures import Shown
from annotation.drafting.plan import Slot
from annotation.drafting.verdict import verdict
from annotation.drafting.writer import Fault, Reply, Writer
from annotation.types import Prompt

QUESTION = "¿Qué se come en la fiesta del barrio?"
SETTINGS = {"temperature": 0.7, "seed": 7, "max_tokens": 200}
FINISH = {
    "cohere": {"whole": "COMPLETE", "cut": "MAX_TOKENS", "stopped": "ERROR_TOXIC", "tool": "TOOL_CALL"},
    "openai": {"whole": "stop", "cut": "length", "stopped": "content_filter", "tool": "tool_calls"},
}


@dataclass(frozen=True)
class Service:
    """A service that is told how to behave, and the client that annot has for it."""

    kind: str
    server: CohereStandIn
    connect: Callable[[float], Writer]

    def says(self, text: str | None = None, finish: str = "whole") -> Callable[[dict[str, Any]], dict[str, Any]]:
        how = FINISH[self.kind][finish]
        return lambda body: (say if self.kind == "cohere" else chat)(body, text, finish=how)

    def ask(self, behaviour: Callable[[dict[str, Any]], Answer | None], *, timeout_s: float = 20.0) -> Reply | Fault:
        self.server.behaviour = lambda body, _seen: behaviour(body)
        return self.once(timeout_s=timeout_s)

    def once(self, slot: Slot | None = None, picture: bytes = b"", *, timeout_s: float = 20.0) -> Reply | Fault:
        async def call() -> Reply | Fault:
            writer = self.connect(timeout_s)
            try:
                return await writer.answer(slot or self.slot(), picture)
            finally:
                await writer.close()

        return asyncio.run(call())

    def slot(self, system: str = "Contesta en español.", shown: Shown | None = None) -> Slot:
        model = (VISION if shown else "command-r7b-12-2024") if self.kind == "cohere" else MODEL
        return Slot("slot", "prompt", 0, model, Persona("", system), QUESTION, SETTINGS, shown)


@pytest.fixture(params=["cohere", "openai"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    server = CohereStandIn(key=KEY) if request.param == "cohere" else OpenAIStandIn(key=KEY, sees=True)
    with server:
        monkeypatch.setenv("CO_API_URL", server.url)

        def connect(timeout_s: float) -> Writer:
            if request.param == "cohere":
                return Cohere(KEY, timeout_s=timeout_s, connections=2)
            return OpenAIServer(f"{server.url}/v1/", KEY, timeout_s=timeout_s, connections=2)

        yield Service(request.param, server, connect)


def test_an_answer_comes_with_its_text_and_what_it_is_billed(service: Service) -> None:
    reply = service.ask(lambda body: Answer(service.says("  Se comen tamales y mole. ")(body)))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish) == ("Se comen tamales y mole.", "COMPLETE")
    [request] = service.server.requests
    assert (reply.input_tokens, reply.output_tokens) == request.billed != (0, 0)
    assert "tamales y mole" in reply.raw
    assert request.body["messages"][0] == {"role": "system", "content": "Contesta en español."}
    assert {name: request.body[name] for name in SETTINGS} == SETTINGS


@pytest.mark.parametrize(
    ("finish", "text", "kind"),
    [
        ("whole", "Se come mole con toda la familia y los vecinos del barrio.", "answer"),
        ("cut", "Se come mole con toda la familia y los", "cut"),
        ("cut", "", "cut"),
        ("whole", " \n", "empty"),
        ("stopped", "Se come", "refused"),
        ("tool", "", "broken"),
        ("whole", "Lo siento, no puedo ayudarte con esa petición.", "refused"),
    ],
)
def test_how_an_answer_ended_means_the_same_whoever_says_it(
    service: Service, finish: str, text: str, kind: str
) -> None:
    reply = service.ask(lambda body: Answer(service.says(text, finish)(body)))
    assert isinstance(reply, Reply)
    prompt = Prompt.make(QUESTION, country="MX", language="es")
    assert verdict(reply.text, reply.finish, prompt, ()) == kind


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        ("rate limited", Answer({"message": "slow down"}, 429)),
        ("server error", Answer({"error": {"message": "oops"}}, 500)),
        ("server error", Answer(b"<html>bad gateway</html>", 502)),
        ("server error", Answer({"error": "loading", "error_type": "overloaded"}, 503)),
        ("server error", Answer({"message": "timed out"}, 408)),
        ("rejected", Answer({"error": {"message": "no"}}, 400)),
        ("rejected", Answer({"detail": "Not Found"}, 404)),
        ("rejected", Answer({"message": "no"}, 422)),
        ("rejected", Answer({"message": "elsewhere"}, 307, {"Location": "http://127.0.0.1:9/"})),
        ("rejected", Answer({"message": "who?"}, 401)),
        ("rejected", Answer({"message": "pay"}, 402)),
        ("broken", Answer(b'{"id": "x", "choi')),
        ("broken", Answer(b"\xff\xfe\x00")),
        ("broken", Answer(b"null")),
        ("broken", Answer([1, 2, 3])),
        ("broken", Answer({"id": "x"})),
        ("broken", Answer({"choices": [], "message": {"content": 5}})),
        ("broken", Answer({"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]})),
        ("broken", Answer(b"[" * 100_000)),
        ("lost", Answer(hang_up=True)),
    ],
)
def test_every_fault_is_a_value_with_the_ledgers_word_for_it(service: Service, outcome: str, trouble: Answer) -> None:
    fault = service.ask(lambda _body: trouble)
    assert isinstance(fault, Fault)
    assert fault.outcome == outcome
    assert "\n" not in fault.detail
    assert len(service.server.requests) == 1, "nothing is tried again at this place"
    if outcome in ("rate limited", "server error", "rejected"):
        assert fault.status == trouble.status
        assert str(trouble.status) in fault.detail


@pytest.mark.parametrize("how", [{"delay_s": 4.0}, {"dribble_s": 0.4}])
def test_an_answer_that_takes_too_long_is_a_timeout(
    service: Service, how: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("cohere", "openai_server"):
        monkeypatch.setattr(f"annotation.drafting.{place}.CONNECT_S", 0.5)
    began = time.monotonic()
    fault = service.ask(lambda body: Answer(service.says()(body), **how), timeout_s=1.0)
    assert isinstance(fault, Fault)
    assert fault.outcome == "timeout"
    assert time.monotonic() - began < 4


def test_a_server_that_is_not_there_is_unreachable(service: Service) -> None:
    service.server.__exit__()
    fault = service.once()
    assert isinstance(fault, Fault)
    assert (fault.outcome, fault.status) == ("unreachable", None)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_read_in_both_forms(service: Service, form: str) -> None:
    after = "40" if form == "seconds" else formatdate(time.time() + 40, usegmt=True)
    fault = service.ask(lambda _body: Answer({"message": "slow down"}, 429, {"Retry-After": after}))
    assert isinstance(fault, Fault)
    assert fault.retry_after_s == pytest.approx(40, abs=5)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 404, 429, 500])
def test_no_piece_of_the_key_comes_back(service: Service, status: int) -> None:
    echo = f"you sent {KEY} ({KEY[4:20]}...), that is 'Bearer {KEY}'"
    told = service.ask(
        lambda body: Answer(
            {**service.says()(body), "note": echo} if status == 200 else {"error": {"message": echo}}, status
        )
    )
    assert all(KEY[start : start + 9] not in repr(told) for start in range(len(KEY) - 8))
    assert "Bearer" in repr(told) or status in (401, 402)


def test_a_picture_is_shown_as_it_is_and_leaves_no_trace(service: Service) -> None:
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, "JPEG")
    shown = Shown("0" * 64, "high", 512)
    service.server.behaviour = lambda body, _seen: (
        Answer({"message": f"cannot read {body['messages']}"}, 400) if body["temperature"] == 0.7 else None
    )
    fault = service.once(service.slot(shown=shown), file.getvalue())
    [request] = service.server.requests
    parts = {part["type"]: part for part in request.body["messages"][-1]["content"]}
    assert parts["text"]["text"] == QUESTION
    assert parts["image_url"]["image_url"]["detail"] == "high"
    assert isinstance(fault, Fault)
    assert "[picture]" in fault.detail
    assert "/9j/" not in fault.detail


@pytest.mark.parametrize("open_end", [False, True])
def test_what_a_server_of_open_models_thinks_aloud_is_no_part_of_the_answer(open_end: bool) -> None:
    thought = "<think>Hmm, a secret.\n" + ("" if open_end else "</think>\n\nSe come mole.")
    with OpenAIStandIn(lambda body, _seen: Answer(chat(body, thought, reasoning_content="more of it"))) as server:
        service = Service(
            "openai", server, lambda timeout_s: OpenAIServer(server.url, timeout_s=timeout_s, connections=1)
        )
        reply = service.once()
    assert isinstance(reply, Reply)
    assert reply.text == ("" if open_end else "Se come mole.")


def test_without_a_system_text_none_is_sent() -> None:
    with OpenAIStandIn() as server:
        service = Service("openai", server, lambda t: OpenAIServer(server.url, timeout_s=t, connections=1))
        assert isinstance(service.once(service.slot(system="")), Reply)
        assert [message["role"] for message in server.requests[0].body["messages"]] == ["user"]
        assert server.requests[0].key == ""
