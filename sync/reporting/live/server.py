"""Server of the live page: log-in, the page as the ledger stands, log-out, and nothing else."""

from __future__ import annotations

import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from annotation.config import Settings
from annotation.hosting import embedded
from annotation.project import Project
from sync.reporting.live.gate import SESSION_S, Gate, Reader, Refused
from sync.reporting.page.facts import Facts, gather, only
from sync.reporting.page.html import tag
from sync.reporting.page.whole import document, page, policy
from sync.reporting.page.words import Words

REFRESH_S = 30
"""After so long the page loads itself again."""

FRESH_S = 5.0
"""The ledger is read at most once in so long, and at most a third of the time."""

COOKIE = "annot_report"
LENGTH = re.compile(r"[0-9]{1,4}")
"""Of a log-in, in bytes."""


@dataclass
class Live:
    """The page as the ledger stands, made again when it is asked for and some seconds old.

    Attributes:
        folder: The project's.
        words: Of the page's language.
        names: It shows user names.
    """

    folder: Path
    words: Words
    names: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _facts: Facts | None = None
    _next_at: float = 0.0
    _pages: dict[tuple[str, ...] | None, bytes] = field(default_factory=dict)

    def page_for(self, reader: Reader) -> bytes:
        """What a reader sees; one that leads some countries, these alone."""
        with self._lock:  # one reading of the ledger at a time
            if self._facts is None or time.monotonic() >= self._next_at:
                self._read()
            assert self._facts is not None
            if reader.countries not in self._pages:
                project = Project.open(self.folder)
                shown = self._facts if reader.countries is None else only(self._facts, reader.countries)
                name = str if self.names else project.pseudonym
                self._pages[reader.countries] = page(shown, self.words, name, named=self.names, refresh_s=REFRESH_S)
            return self._pages[reader.countries]

    def _read(self) -> None:
        began, project = time.monotonic(), Project.open(self.folder)
        try:
            self._facts = gather(project, argilla_runs=embedded.state(project.argilla_home).running)
        finally:
            project.ledger.close()
        self._pages.clear()
        ended = time.monotonic()
        self._next_at = ended + max(FRESH_S, 2 * (ended - began))


def argilla_address(folder: Path, settings: Settings) -> Callable[[], str]:
    """Where Argilla answers: the server of annot.toml, or the embedded one wherever it runs now; "" where none does."""
    home = folder / ".argilla"
    return lambda: settings.argilla.url or ((found := embedded.state(home)).running and found.url) or ""


def make_server(live: Live, gate: Gate, host: str, port: int) -> ThreadingHTTPServer:
    """A server that waits to be run; 0 takes a free port."""
    handler = type("Handler", (_Handler,), {"live": live, "gate": gate})
    return _Server((host, port), handler)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A reader who goes away is no fault; of one of ours is said what, and not who asked."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    live: Live
    gate: Gate
    timeout = 20.0
    server_version, sys_version = "annot", ""

    def do_GET(self) -> None:
        """The page, or the form of the log-in."""
        if self.path.partition("?")[0] != "/":
            self._say(HTTPStatus.NOT_FOUND, "")
        elif reader := self.gate.reader(self._session()):
            self._send(HTTPStatus.OK, self.live.page_for(reader))
        else:
            self._say(HTTPStatus.UNAUTHORIZED, "")

    def do_POST(self) -> None:
        """Log in or out: from this page alone."""
        origin, length = self.headers.get("Origin"), self.headers.get("Content-Length", "")
        if origin is not None and origin.partition("//")[2] != self.headers.get("Host"):
            self._say(HTTPStatus.FORBIDDEN, "")
        elif self.path == "/log-out":
            self.gate.log_out(self._session())
            self._go_home(f"{COOKIE}=; Max-Age=0")
        elif self.path != "/log-in" or not LENGTH.fullmatch(length):
            self._say(HTTPStatus.NOT_FOUND, "")
        else:
            self._log_in(parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace")))

    def _log_in(self, form: dict[str, list[str]]) -> None:
        username, password = (form.get(name, [""])[0] for name in ("username", "password"))
        try:
            session = self.gate.log_in(username, password, str(self.client_address[0]))
        except Refused as refused:
            words = self.live.words
            said = words(refused.why, seconds=words.number(refused.wait_s)) if refused.wait_s else words(refused.why)
            self._say(HTTPStatus.FORBIDDEN if refused.why != "slower" else HTTPStatus.TOO_MANY_REQUESTS, said)
        else:
            self._go_home(f"{COOKIE}={session}; Max-Age={SESSION_S:.0f}")

    def _session(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return ""
        return found.value if found else ""

    def _go_home(self, cookie: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/")
        self.send_header("Set-Cookie", f"{cookie}; Path=/; HttpOnly; SameSite=Strict")
        self._end(b"")

    def _say(self, status: HTTPStatus, said: str) -> None:
        """The form of the log-in, and why somebody did not get in."""
        words = self.live.words
        form = tag(
            "form",
            tag("label", words("user"), for_="username"),
            tag("input", id="username", name="username", autocomplete="username", required=True),
            tag("label", words("password"), for_="password"),
            tag(
                "input",
                id="password",
                name="password",
                type="password",
                autocomplete="current-password",
                required=True,
            ),
            tag("button", words("log_in")),
            method="post",
            action="/log-in",
        )
        parts = (
            tag("h1", words("log_in")),
            tag("p", words("log_in_says")),
            tag("p", said, class_="warn", role="alert") if said else None,
            form,
        )
        self._send(status, document(words("log_in"), tag("main", parts), words))

    def _send(self, status: HTTPStatus, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self._end(content)

    def _end(self, content: bytes) -> None:
        for name, value in {
            "Content-Length": str(len(content)),
            "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",  # with none a browser says of its own form that it comes from "null"
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: addresses would tell who looked when."""
