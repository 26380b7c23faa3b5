"""Guard between the network and Argilla: who may ask, how often, and what a page may load.

Argilla trusts whoever reaches it: any number of log-ins, any `Host`, bodies of any size, and a page that fetches fonts
from a third party and shows texts as HTML. Here its app is wrapped; the wheel on disk is not touched.

- The `Host` header must be one that people use: a foreign name that was pointed at this machine (DNS rebinding) is
  refused, and so is a request that another site's page makes (`Origin`).
- Failed log-ins are counted per account and per address; after a few the next has to wait. Correct ones never count.
- A large body is read when Argilla knows who sends it; Argilla itself reads a body first, and asks then.
- An account's API key is told to owners and to whom it belongs; Argilla tells a workspace's admins their members' too.
- Every answer says what the browser may do with it. The page may load from this server alone; texts in it run nothing.
- The page comes with `page.js`, which has DOMPurify clean every text before it is shown, and with fonts that are here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotation.server.web.errors import refusal
from annotation.server.web.pages import File, mend_page, own_files, page_policy
from annotation.server.web.throttle import Throttle

LOG_IN = "/api/v1/token"
API_PAGES = ("/docs", "/api", "/api/v1/docs", "/api/v1/redoc")
"""Pages about the API, which would load their scripts from a third party."""

MEMBERS = re.compile(r"/api/v1/workspaces/[^/]+/users(/[^/]*)?")
"""Where the accounts of a workspace are told, to its admins too. Owners read keys at `/users`."""

WHO_IS_THERE = {"method": "GET", "path": "/api/v1/me", "raw_path": b"/api/v1/me", "query_string": b""}
"""The request that Argilla answers with 200 to whom it knows."""

LOG_IN_BYTES = 16 * 1024
ANONYMOUS_BYTES = 64 * 1024
LARGEST_BYTES = 256 * 1024 * 1024
"""500 records of four answers with 100 kB each; a body is held in memory while it is read."""

log = logging.getLogger("annot")


# --- the wrapper --------------------------------------------------------------------------------------


class Guard:
    """An ASGI app that lets through to Argilla's what may pass, and adds to its answers what they lack."""

    def __init__(
        self,
        app: ASGIApp,
        files: Mapping[str, File],
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        ancestors: str = "'none'",
    ) -> None:
        """Wrap an app.

        Args:
            app: Argilla's.
            files: Path -> what is answered there without asking Argilla.
            hosts: Names that people use for this server, beside localhost and plain addresses.
            origins: Pages of other servers that may call this one, as `https://name:port`.
            ancestors: Pages that may show this one in a frame, as Content-Security-Policy writes it.
        """
        self._app, self._files, self._ancestors = app, files, ancestors
        self._hosts, self._origins = {host.lower() for host in hosts}, {origin.lower() for origin in origins}
        self.throttle = Throttle()
        # Checking a password keeps a whole core busy; one at a time also means that none slips by uncounted.
        self._turn = asyncio.Lock()
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"x-dns-prefetch-control", b"off"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ]
        if ancestors == "'none'":
            self._headers.append((b"x-frame-options", b"DENY"))
        self._bare_policy = f"default-src 'none'; frame-ancestors {ancestors}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        secured = self._secure(path, send)
        if refusal := self._refuse(headers):
            await refusal(scope, receive, secured)
        elif (file := self._files.get(path)) and scope["method"] in ("GET", "HEAD"):
            await file.answer(headers)(scope, receive, secured)
        elif path.rstrip("/") in API_PAGES:
            await RedirectResponse("/api/v1/openapi.json")(scope, receive, secured)
        else:
            await self._hand_on(scope, headers, receive, secured)

    async def _hand_on(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        most = LOG_IN_BYTES if path == LOG_IN else ANONYMOUS_BYTES
        length = headers.get("content-length", "0")
        large = "transfer-encoding" in headers or (length.isdigit() and int(length) > most)
        if large and path != LOG_IN and ("x-argilla-api-key" in headers or "authorization" in headers):
            status, messages = await _ask(self._app, {**scope, **WHO_IS_THERE}, b"")
            if status != 200:
                for message in messages:
                    await send(message)
                return
            most = LARGEST_BYTES
        if not length.isdigit() or int(length) > most:
            await refusal(413, _too_large(most))(scope, receive, send)
            return
        body = _Body(receive, most)
        if path == LOG_IN and scope["method"] == "POST":
            await self._log_in(scope, body, send)
        elif MEMBERS.fullmatch(path):
            await self._members(scope, body, send)
        elif path.startswith("/api/") or "." in path.rpartition("/")[2]:
            await self._app(scope, body.receive, body.unless_too_large(send))
        else:
            await self._page(scope, receive, send)
        if body.too_large:
            await refusal(413, _too_large(most))(scope, receive, send)

    def _refuse(self, headers: Mapping[str, str]) -> Response | None:
        """What is said to a request that has no business here."""
        host = headers.get("host", "localhost").lower()
        if not self._is_ours(host):
            return refusal(
                421, "This server is not known by that name. Where it should be, start it with ANNOT_HOSTS=name,name."
            )
        origin = headers.get("origin", "").lower()
        if origin and _netloc(origin) != host and origin not in self._origins:
            return refusal(403, "Pages of other sites may not call this server.")
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
        name = name.strip("[]").rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # a page can only be rebound from a name

    def _secure(self, path: str, send: Send) -> Send:
        """Add to an answer what the browser may do with it."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *self._headers]
                names = {name for name, _ in headers}
                if b"content-security-policy" not in names:
                    headers.append((b"content-security-policy", self._bare_policy))
                if path.startswith("/api/") and b"cache-control" not in names:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        return secured

    async def _log_in(self, scope: Scope, sent: _Body, send: Send) -> None:
        body = await sent.read()
        if sent.too_large:
            return
        account = await _account(scope, body)
        address = (scope.get("client") or ("", 0))[0]
        async with self._turn:
            if wait := self.throttle.wait_s(account, address):
                seconds = int(wait) + 1
                log.warning("Log-in of %r from %s has to wait %d s: too many failures.", account[:80], address, seconds)
                answer = refusal(429, f"Too many failed log-ins. Try again in {seconds} seconds.")
                answer.headers["retry-after"] = str(seconds)
                await answer(scope, sent.receive, send)
                return
            status, messages = await _ask(self._app, scope, body)
            if status == 401:
                self.throttle.failed(account, address)
            elif status < 300:
                self.throttle.succeeded(account, address)
        for message in messages:
            await send(message)

    async def _members(self, scope: Scope, sent: _Body, send: Send) -> None:
        """Hand on what tells of members, and leave out their API keys."""
        body = await sent.read()
        if sent.too_large:
            return
        plain = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        _, (start, *parts) = await _ask(self._app, {**scope, "headers": plain}, body)
        told = re.sub(rb'"api_key":\s*"[^"]*"', b'"api_key":""', b"".join(part.get("body", b"") for part in parts))
        headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(told)).encode())]})
        await send({"type": "http.response.body", "body": told})

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what may answer with a page; a page is mended on its way."""
        unpacked = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
        unpacked_scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in unpacked]}
        start: Message = {}
        body = bytearray()

        async def mend(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                kind = dict(message["headers"]).get(b"content-type", b"")
                if kind.startswith(b"text/html"):
                    start = message
                    return
            if not start:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            html = mend_page(body.decode())
            ours = (b"content-length", b"etag", b"last-modified", b"cache-control", b"accept-ranges")
            headers = [pair for pair in start["headers"] if pair[0] not in ours]
            sent = b"" if scope["method"] == "HEAD" else html.encode()
            headers += [
                (b"content-length", str(len(html.encode())).encode()),
                (b"cache-control", b"no-store"),
                (b"content-security-policy", page_policy(html, self._ancestors).encode()),
            ]
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": sent})

        await self._app(unpacked_scope, receive, mend)


def _too_large(most: int) -> str:
    return f"The body is larger than {most} bytes."


class _Body:
    """A body of which so much is read and no more; one without a length cannot be judged before."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most
        self.too_large = False

    async def receive(self) -> Message:
        """The next part; whoever sends too much has gone, as far as Argilla is told."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        self.too_large = self._left < 0
        return {"type": "http.disconnect"} if self.too_large else message

    async def read(self) -> bytes:
        """All of it."""
        body = bytearray()
        while True:
            message = await self.receive()
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                return bytes(body)

    def unless_too_large(self, send: Send) -> Send:
        """What Argilla answers to half a body is not sent."""

        async def guarded(message: Message) -> None:
            if not self.too_large:
                await send(message)

        return guarded


def _again(body: bytes) -> Receive:
    """A body that was read already, once more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return {"type": "http.disconnect"}

    return receive


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


async def _account(scope: Scope, body: bytes) -> str:
    """The name in a log-in form, read as Argilla reads it; empty when there is none."""
    from multipart.exceptions import FormParserError
    from starlette.formparsers import MultiPartException

    try:
        async with Request(scope, _again(body)).form() as form:
            name = form.get("username")
    except (HTTPException, FormParserError, MultiPartException):
        return ""  # Argilla says what is wrong with it
    return name if isinstance(name, str) else ""


async def _ask(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[Message]]:
    """An app's whole answer, before any of it is sent."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, _again(body), keep)
    return int(messages[0]["status"]), messages


# --- one line in serving.py ---------------------------------------------------------------------------


def wrap(app: ASGIApp) -> Guard:
    """Argilla's app with the guard around it, as the environment says.

    ANNOT_HOSTS: names that people use, with commas between. ANNOT_FRAME_ANCESTORS: pages that may show ours in a frame.
    ANNOT_HOST: where we listen; beyond this machine, its own name is one that people use.
    """
    import argilla_server

    hosts = [name.strip() for name in os.environ.get("ANNOT_HOSTS", "").split(",") if name.strip()]
    if os.environ.get("ANNOT_HOST", "127.0.0.1") != "127.0.0.1":
        own = socket.gethostname().lower()
        hosts += [own, f"{own.partition('.')[0]}.local"]
    origins = json.loads(os.environ.get("ARGILLA_CORS_ORIGINS", "[]"))
    files = own_files(Path(argilla_server.__file__).parent / "static")
    return Guard(
        app, files, hosts=hosts, origins=origins, ancestors=os.environ.get("ANNOT_FRAME_ANCESTORS") or "'none'"
    )
