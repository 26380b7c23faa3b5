"""A stand-in for Cohere: a local HTTP server that speaks its v2 chat protocol, bills, and can be told to misbehave.

It is no model: its answers are sentences drawn by a hash of the request, so that the same request always gets the same
answer. Tests reach it with the real SDK through CO_API_URL.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

KEY = "stand-in-key-0123456789abcdefghijklmnop"

VISION = "command-a-vision-07-2025"
MOST_PICTURES, MOST_BYTES = 20, 20_000_000

_SENTENCES = {
    "es": (
        "En mi casa eso se cocina despacio, con fuego bajo y mucha conversación alrededor de la mesa",
        "La gente del barrio lo celebra en la plaza, y cada familia lleva algo para compartir",
        "Mi madre decía que lo importante no es la receta sino quién se sienta a comer contigo",
        "Hoy los jóvenes lo hacen de otra manera, pero la costumbre sigue viva en los pueblos",
        "Depende mucho de la región, porque en la costa y en la sierra nunca se hace igual",
        "Cuando llega la fiesta se cierran las calles y la banda toca hasta la madrugada",
        "Si vienes de visita, lo mejor es preguntar primero y aceptar lo que te ofrezcan",
        "Antes se usaba más, ahora solo los mayores recuerdan por qué se hacía de esa forma",
        "Yo te diría que vayas al mercado temprano y hables con las señoras que venden hierbas",
        "Nadie lo explica en la escuela, se aprende mirando a los abuelos y ayudando un poco",
        "Hay quien lo discute todavía, pero en el fondo todos estamos bastante de acuerdo",
        "No hace falta gastar mucho dinero, basta con tener tiempo y ganas de hacerlo bien",
    ),
    "pt": (
        "Na minha casa isso se cozinha devagar, em fogo baixo e com muita conversa em volta da mesa",
        "As pessoas do bairro celebram na praça, e cada família leva alguma coisa para dividir",
        "Minha mãe dizia que o importante não é a receita, mas quem se senta para comer com você",
        "Hoje os jovens fazem de outro jeito, mas o costume continua vivo no interior",
        "Depende muito da região, porque no litoral e no sertão nunca se faz igual",
        "Quando chega a festa, as ruas são fechadas e a banda toca até de madrugada",
        "Se você vier de visita, o melhor é perguntar primeiro e aceitar o que lhe oferecerem",
        "Antigamente se usava mais, agora só os mais velhos lembram por que se fazia assim",
        "Eu diria para ir cedo à feira e conversar com as senhoras que vendem ervas",
        "Ninguém explica na escola, a gente aprende olhando os avós e ajudando um pouco",
        "Ainda há quem discuta, mas no fundo todos nós estamos bastante de acordo",
        "Não é preciso gastar muito dinheiro, basta ter tempo e vontade de fazer bem feito",
    ),
}


@dataclass(frozen=True)
class Answer:
    """What the server does with one request.

    Attributes:
        body: JSON-able body, or bytes sent as they are.
        status: HTTP status.
        headers: Beside Content-Type and Content-Length.
        delay_s: Before anything is sent.
        hang_up: Close the connection without an answer.
        dribble_s: Send the body byte by byte with this pause.
        charset: What Content-Type says of the body; "" is nothing.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False
    dribble_s: float = 0.0
    charset: str = ""


@dataclass(frozen=True)
class Request:
    """What the server was asked, and what it billed: tokens in and out, (0, 0) where it gave no answer."""

    body: dict[str, Any]
    key: str
    status: int
    billed: tuple[int, int]
    at: float

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def name(self) -> str:
        """The whole request in one string: two equal ones asked for the same candidate."""
        return json.dumps(self.body, sort_keys=True)


def say(body: dict[str, Any], text: str | None = None, *, finish: str = "COMPLETE", **changes: Any) -> dict[str, Any]:
    """A chat response. `changes` replace parts of it: content, usage, message."""
    spoken = invent(body) if text is None else text
    parts = [part for message in body["messages"] for part in parts_of(message)]
    tokens_in = sum(len(part["text"]) for part in parts if part["type"] == "text") // 4
    tokens_in += sum(picture_tokens(part["image_url"]) for part in parts if part["type"] == "image_url")
    response: dict[str, Any] = {
        "id": hashlib.sha256(json.dumps(body).encode()).hexdigest()[:12],
        "finish_reason": finish,
        "message": {"role": "assistant", "content": changes.pop("content", [{"type": "text", "text": spoken}])},
        "usage": {
            "billed_units": {"input_tokens": float(tokens_in), "output_tokens": float(len(spoken) // 4)},
            "tokens": {"input_tokens": float(tokens_in + 400), "output_tokens": float(len(spoken) // 4 + 2)},
        },
    }
    return {**response, **changes}


def invent(body: dict[str, Any]) -> str:
    """Some sentences in the language that the system text asks for, the same for the same request."""
    dice = random.Random(json.dumps(body, sort_keys=True))
    portuguese = "em português" in body["messages"][0]["content"]
    return ". ".join(dice.sample(_SENTENCES["pt" if portuguese else "es"], 5)) + f". Son {dice.randrange(10**6)}."


def parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Content of a message as blocks, also where it is one text."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def pixels(address: dict[str, Any]) -> Image.Image:
    """The picture in an image block."""
    return Image.open(io.BytesIO(base64.b64decode(address["url"].partition(",")[2], validate=True)))


def picture_tokens(address: dict[str, Any]) -> int:
    """256 for a picture seen small; with high detail as many for each tile of 512 x 512 pixels, and for a preview."""
    width, height = pixels(address).size
    detail = address.get("detail", "auto")
    if detail == "low" or (detail == "auto" and width <= 768 and height <= 768):
        return 256
    return 256 * (-(-width // 512) * -(-height // 512)) + 256


def unfit(body: dict[str, Any]) -> str:
    """What the service finds wrong with the content blocks of a request; "" for nothing."""
    pictures = 0
    for message in body["messages"]:
        if isinstance(message["content"], str):
            continue
        if message["role"] != "user":
            return f"content of a {message['role']} message must be a string"
        for part in message["content"]:
            if part["type"] == "text" and part.keys() == {"type", "text"} and isinstance(part["text"], str):
                continue
            if part["type"] != "image_url" or part.keys() != {"type", "image_url"}:
                return f"invalid content block: {sorted(part)} of type {part['type']}"
            address, pictures = part["image_url"], pictures + 1
            if not address.keys() <= {"url", "detail"} or address.get("detail", "auto") not in ("auto", "low", "high"):
                return f"invalid image_url: {sorted(address)}, detail {address.get('detail')}"
            if not address["url"].startswith("data:image/jpeg;base64,"):
                return "image_url.url must be a data URI of a JPEG"
            try:
                found = pixels(address)
                found.load()
            except (ValueError, OSError) as error:
                return f"image cannot be decoded: {error}"
            if found.format != "JPEG" or found.getexif() or "icc_profile" in found.info:
                return "image is no JPEG without metadata"
    if pictures and body["model"] != VISION:
        return f"model '{body['model']}' does not support image input"
    if pictures > MOST_PICTURES or len(json.dumps(body)) > MOST_BYTES:
        return f"at most {MOST_PICTURES} images and {MOST_BYTES} bytes per request"
    return ""


Behaviour = Callable[[dict[str, Any], int], Answer | None]
"""Body and how often this very body came before -> what to do; None is a proper answer."""


class CohereStandIn:
    """A server on a free port of the loopback interface, in a thread of this process."""

    path = "/v2/chat"

    def __init__(self, behaviour: Behaviour | None = None, *, delay_s: float = 0.0, key: str = KEY) -> None:
        self.behaviour: Behaviour = behaviour or (lambda _body, _seen: None)
        self.delay_s = delay_s
        self.key = key
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                stand_in._send(self, stand_in.shown(self.path, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                stand_in._handle(self)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed while it waited is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> CohereStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def answered(self) -> list[Request]:
        """Requests that got an answer that is paid for."""
        return [request for request in self.requests if request.status == 200]

    def shown(self, path: str, authorization: str) -> Answer:  # noqa: ARG002
        """What GET says."""
        return Answer({"message": "404 page not found"}, 404)

    def said(self, body: dict[str, Any]) -> dict[str, Any]:
        """A proper answer."""
        return say(body)

    def unfit(self, body: dict[str, Any]) -> str:
        """What is wrong with a request."""
        return unfit(body)

    def billed(self, body: Any) -> tuple[int, int]:
        """Tokens that an answer bills."""
        usage = body.get("usage") if isinstance(body, dict) else None
        units = (usage or {}).get("billed_units") or {}
        return int(units.get("input_tokens", 0)), int(units.get("output_tokens", 0))

    def forget(self) -> None:
        """Start anew: nothing was asked, nothing was billed."""
        with self._lock:
            self.requests.clear()
            self._seen.clear()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        key = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        name = json.dumps(body, sort_keys=True)
        with self._lock:
            seen = self._seen.get(name, 0)
            self._seen[name] = seen + 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._respond(handler, body, key, seen)
        finally:
            with self._lock:
                self._at_once -= 1

    def _respond(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], key: str, seen: int) -> None:
        answer = self.behaviour(body, seen)
        if handler.path != self.path:
            answer = Answer({"message": "404 page not found"}, 404)
        elif key != self.key:
            answer = Answer({"message": f"invalid api token: {key}"}, 401)
        elif wrong := self.unfit(body):
            answer = Answer({"message": wrong}, 400)
        elif answer is None:
            answer = Answer(self.said(body), delay_s=self.delay_s)
        billed = self.billed(answer.body) if answer.status == 200 and not answer.hang_up else (0, 0)
        # Billed when the work is begun: that the asker is gone when it is done helps nobody.
        with self._lock:
            self.requests.append(Request(body, key, answer.status, billed, time.monotonic()))
        self._send(handler, answer)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        time.sleep(answer.delay_s)
        if answer.hang_up:
            handler.close_connection = True
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
            return
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "application/json" + (answer.charset and f"; charset={answer.charset}"))
        handler.send_header("Content-Length", str(len(content)))
        for header, value in answer.headers.items():
            handler.send_header(header, value)
        handler.end_headers()
        if not answer.dribble_s:
            handler.wfile.write(content)
            return
        for byte in content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(answer.dribble_s)


@contextlib.contextmanager
def standing_in(behaviour: Behaviour | None = None, *, delay_s: float = 0.0) -> Iterator[CohereStandIn]:
    """Run a stand-in while a block lasts."""
    with CohereStandIn(behaviour, delay_s=delay_s) as server:
        yield server
