"""`annot serve`: the model of a finished run behind OpenAI's chat completions, for this machine alone.

One thread writes answers; requests that come while it does wait, and are answered together. An answer depends on its
own seed, and not on the others of its batch.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import queue
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from annotation.drafting.source import model_of_run
from annotation.errors import ServerError, TrainError
from annotation.hosting.address import HOST, free_port, require_free
from annotation.images.store import write_picture
from train.data.encoding import encode_prompt
from train.data.slates import RankedSlate
from train.evaluate.model import AdaptedModel
from train.evaluate.run import recipe_of
from train.models.base import base_of_run
from train.models.generation import Sample, Sampling, draw_answers
from train.models.pictures import pictures_of
from train.models.tokenizer import load_vocabulary
from train.run_folder import finished_run

GATHER_S = 0.02
"""How long a first request waits for others to come."""

AT_ONCE = 16
"""Most answers that are written together."""

LIMIT = 512
"""Tokens of an answer where a request does not say how many it may have."""

MOST_BYTES = 20 * 2**20
"""Of a request: a picture of 1024 pixels takes less than one."""

MOST_PIXELS = 4096
"""Of a side of a picture."""

PICTURE = re.compile(r"data:image/(?:jpeg|png);base64,")


class ImageUrl(BaseModel):
    """A picture in a request: its content, in an address."""

    url: str


class Part(BaseModel):
    """A part of a message."""

    type: Literal["text", "image_url"]
    text: str = ""
    image_url: ImageUrl | None = None


class ChatMessage(BaseModel):
    """A message of a request."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Part]


class Chat(BaseModel):
    """A request, by the names of OpenAI's API; what else it holds is passed over, as other servers do."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(0, ge=0, le=100_000)
    max_completion_tokens: int = Field(0, ge=0, le=100_000)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] = []
    stream: bool = False
    n: int = 1


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers on this machine.

    Attributes:
        run: Name of the run.
        model: What clients call it.
        url: Address of the API.
    """

    run: str
    model: str
    url: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its answer.

    Attributes:
        prompt: In tokens.
        sampling: How its answer is drawn.
        picture: Id of the picture that it shows, or "".
        answer: What it waits for; None says that the device has no room for it.
    """

    prompt: Sequence[int]
    sampling: Sampling
    picture: str
    answer: Future[Sample | None]


class Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.status, self.code = status, code


class Server:
    """A run's model, and the requests that wait for it."""

    def __init__(self, run: Path, model: AdaptedModel, digest: str, pictures: Path) -> None:
        """Load the model.

        Args:
            run: Folder of a finished run.
            model: Its base and adapter.
            digest: SHA-256 of its adapter's weights.
            pictures: Folder for pictures of requests.
        """
        self.run, self.model, self.pictures = run, model, pictures
        self.name = model_of_run(run.name, digest)
        self.began = int(time.time())
        self._alone = threading.Lock()
        self.waiting: queue.Queue[Asked] = queue.Queue()
        config = model.model.config.get_text_config()
        self.room: int = getattr(config, "max_position_embeddings", None) or 10**9

    # -- requests: a thread each ----------------------------------------------------------------------------

    def models(self) -> dict[str, Any]:
        """What GET /v1/models says."""
        one = {"id": self.name, "object": "model", "created": self.began, "owned_by": "annot"}
        return {"object": "list", "data": [one]}

    def chat(self, body: bytes) -> dict[str, Any]:
        """What POST /v1/chat/completions says.

        Raises:
            Refused: The request cannot be answered.
        """
        request = self._read(body)
        messages, picture = self._messages(request)
        prompt = self._encode(messages, picture)
        wanted = request.max_completion_tokens or request.max_tokens or LIMIT
        if (left := self.room - len(prompt)) < 1:
            raise Refused(
                400,
                f"the messages have {len(prompt)} tokens, and the model holds {self.room} with its answer; cut them.",
                "context_length_exceeded",
            )
        seed = secrets.randbits(31) if request.seed is None else request.seed % 2**63
        sampling = Sampling(request.temperature, request.top_p, min(wanted, left), seed)
        asked = Asked(prompt, sampling, picture, Future())
        self.waiting.put(asked)
        if (sample := asked.answer.result()) is None:
            raise Refused(503, "the device has no room for this request; shorten it, or ask for fewer tokens.")
        text: str = self.model.vocabulary.tokenizer.decode(sample.tokens, skip_special_tokens=True).strip()
        stops = [request.stop] if isinstance(request.stop, str) else request.stop
        places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text[: min(places, default=None)]},
                    "finish_reason": "stop" if sample.ended or places else "length",
                }
            ],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(sample.tokens),
                "total_tokens": len(prompt) + len(sample.tokens),
            },
        }

    def _read(self, body: bytes) -> Chat:
        try:
            values = json.loads(body)
            json.dumps(values, ensure_ascii=False).encode()  # half of a character is nothing that a tokenizer takes
            if isinstance(values, dict):  # a client may write null for what it leaves open
                values = {name: value for name, value in values.items() if value is not None}
            request = Chat.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the request"
            raise Refused(400, f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None
        except UnicodeEncodeError:
            raise Refused(400, "the request holds half of a character (a lone surrogate); send whole ones.") from None
        except (ValueError, RecursionError):
            raise Refused(400, "the request is no JSON.") from None
        if request.stream:
            raise Refused(400, "stream = true: answers are sent whole here; leave it out.")
        if request.n != 1:
            raise Refused(400, f"n = {request.n}: one answer a request; send several, they are answered together.")
        if request.model not in (self.name, self.run.name):
            raise Refused(404, f"there is no model {request.model!r} here, only {self.name}.", "model_not_found")
        return request

    def _messages(self, request: Chat) -> tuple[list[dict[str, str]], str]:
        """Messages as training has them, and the picture that they show."""
        messages, shown, first = list[dict[str, str]](), list[str](), True
        for message in request.messages:
            parts = [Part(type="text", text=message.content)] if isinstance(message.content, str) else message.content
            seen = [part.image_url.url for part in parts if part.image_url]
            if seen and not (first and message.role == "user"):
                raise Refused(400, "a picture stands in the first message of the user.")
            first, shown = first and message.role != "user", shown + seen
            messages.append({"role": message.role, "content": "\n".join(part.text for part in parts if part.text)})
        if len(shown) > 1:
            raise Refused(400, f"{len(shown)} pictures: one a request.")
        return messages, self._keep(shown[0]) if shown else ""

    def _keep(self, url: str) -> str:
        """Id of a picture, kept in a file: the same one again is read once."""
        from PIL import Image

        if self.model.vocabulary.processor is None:
            raise Refused(400, f"{self.run.name} was trained on texts and sees no pictures.")
        if not (head := PICTURE.match(url)):
            raise Refused(400, "image_url.url holds the picture: data:image/jpeg;base64,… or data:image/png;base64,…")
        try:
            content = base64.b64decode(url[head.end() :], validate=True)
        except binascii.Error:
            raise Refused(400, "image_url.url is no base64.") from None
        try:
            with Image.open(io.BytesIO(content)) as file:
                if max(file.size) > MOST_PIXELS:
                    raise Refused(400, f"a picture has at most {MOST_PIXELS} pixels a side; make it smaller.")
                file.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise Refused(400, "image_url.url is no picture that can be read.") from None
        picture = hashlib.sha256(content).hexdigest()
        write_picture(self.pictures, picture, content, b"")
        return picture

    def _encode(self, messages: Sequence[Mapping[str, str]], picture: str) -> list[int]:
        import jinja2

        vocabulary = self.model.vocabulary
        plain = "\n\n".join(message["content"] for message in messages)
        prompt = tuple(messages) if vocabulary.tokenizer.chat_template else plain
        slate = RankedSlate("messages", prompt, (), (), (), image=picture)
        try:
            with self._alone:  # a tokenizer is used by one thread at a time
                ids = encode_prompt(slate, vocabulary, self.pictures)
        except jinja2.TemplateError as error:
            raise Refused(400, f"the model's chat template refuses the messages ({error}).") from None
        except (TrainError, OSError) as error:  # no place for a picture, or no picture
            raise Refused(400, str(error)) from None
        if not ids:
            raise Refused(400, "the messages are empty.")
        return ids

    # -- answers: one thread --------------------------------------------------------------------------------

    def write_answers(self) -> None:
        """Answer what waits, batch by batch, for ever."""
        later: list[Asked] = []
        while True:
            batch = [later.pop() if later else self.waiting.get()]
            until = time.monotonic() + GATHER_S
            while len(batch) < AT_ONCE and not later:
                try:
                    one = self.waiting.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                # A batch shows a picture in each row, or in none.
                (batch if bool(one.picture) == bool(batch[0].picture) else later).append(one)
            for asked, sample in zip(batch, self._drawn(batch), strict=True):
                asked.answer.set_result(sample)

    def _drawn(self, batch: Sequence[Asked]) -> list[Sample | None]:
        import torch

        vocabulary = self.model.vocabulary
        seen = pictures_of(vocabulary.processor, self.pictures)
        try:
            return list(
                draw_answers(
                    self.model.model,
                    [asked.prompt for asked in batch],
                    [asked.sampling for asked in batch],
                    ends=vocabulary.ends,
                    pad=vocabulary.pad,
                    pictures=[seen.pixels(asked.picture) for asked in batch if asked.picture],
                )
            )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            half = len(batch) // 2
            return [*self._drawn(batch[:half]), *self._drawn(batch[half:])] if half else [None]


def serve(run: Path, ready: Callable[[Served], None], *, port: int) -> None:
    """Serve the model of a finished run to this machine, until somebody ends this process.

    Args:
        run: Its folder.
        ready: Told once the model answers.
        port: Of this machine; 0 takes one that is free.

    Raises:
        ServerError: The port is taken.
        TrainError: The run is not finished, or its base is another one now.
        TrainLater: The base is on the Hub and cannot be reached.
    """
    from train.libraries import deterministic, quiet_libraries, work_offline

    facts, digest = finished_run(run)
    recipe = recipe_of(facts)
    try:
        if port:
            require_free(HOST, port)
    except ServerError as busy:  # its remedy is about Argilla
        taken = str(busy).partition(";")[0].rstrip(".")
        raise ServerError(f"{taken}; take another with `annot serve {run.name} --port {free_port()}`.") from None
    with quiet_libraries(None), deterministic(recipe), tempfile.TemporaryDirectory() as pictures:
        base = base_of_run(run, recipe.base, facts)
        model = AdaptedModel(run, recipe, lambda: (base, load_vocabulary(base, recipe.base)))
        server = Server(run, model, digest, Path(pictures))
        work_offline()
        with _listening(server, port) as listening:
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            ready(Served(run.name, server.name, f"http://{HOST}:{listening.server_address[1]}/v1"))
            try:
                server.write_answers()
            except KeyboardInterrupt:
                pass
            finally:
                listening.shutdown()


def _listening(server: Server, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._say(lambda: server.models() if self._path == "/v1/models" else self._nothing())

        def do_POST(self) -> None:
            self._say(lambda: server.chat(self._body()) if self._path == "/v1/chat/completions" else self._nothing())

        @property
        def _path(self) -> str:
            return self.path.partition("?")[0].rstrip("/")

        def _nothing(self) -> dict[str, Any]:
            self.close_connection = True  # its body was not read
            raise Refused(404, f"there is no {self._path}; /v1/chat/completions and /v1/models are here.")

        def _body(self) -> bytes:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
                self.close_connection = True
                raise Refused(413, f"a request says its length, of at most {MOST_BYTES} bytes.")
            body = self.rfile.read(int(length))
            if self.headers.get_content_type() != "application/json":  # what a page of another site may send unasked
                raise Refused(415, "a request is application/json.")
            return body

        def _say(self, find: Callable[[], dict[str, Any]]) -> None:
            status, refused = 200, None
            try:
                host = self.headers.get("Host", "").rpartition(":")[0]
                if host not in (HOST, "localhost"):  # a page whose name was made to mean this machine
                    self.close_connection = True
                    raise Refused(403, f"this server is for {HOST} alone.")
                body = find()
            except Refused as error:
                refused, status = error, error.status
                kind = "invalid_request_error" if status < 500 else "server_error"
                body = {"error": {"message": str(error), "type": kind, "param": None, "code": refused.code or None}}
            content = json.dumps(body, ensure_ascii=False).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # whoever asked is gone
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what is asked is nobody's business."""

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a client that went away before it had its answer."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    return Listening((HOST, port), Handler)
