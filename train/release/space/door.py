"""Door of the page's server: it takes what the page itself asks for, and browsers load nothing from elsewhere."""

from __future__ import annotations

from typing import Any

POSTED = "/gradio_api/queue/join"
"""All that the page posts. Ways for programs to call a function by its name, to cancel, and uploads are others."""

CLOSED = (
    *("/gradio_api/file", "/gradio_api/proxy", "/gradio_api/run", "/gradio_api/call", "/gradio_api/stream"),
    *("/openapi.json", "/gradio_api/openapi.json", "/docs", "/redoc"),
)
"""What the page never reads, from its beginning."""

MOST_BYTES = 65_536
"""Largest body: a question and a conversation's last line need far less."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)


class Door:
    """Answers 404 to everything else and 413 to what is too long, and adds the policy to every answer."""

    def __init__(self, app: Any) -> None:
        """Stand before an ASGI app."""
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request in, or not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        reads = scope["method"] in ("GET", "HEAD", "OPTIONS")
        if path.startswith(CLOSED) or not (reads or path == POSTED):
            await self._refuse(404, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not reads and not (length.isdigit() and int(length) <= MOST_BYTES):
            await self._refuse(413, send)
            return

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message = {**message, "headers": [*message.get("headers", []), policy]}
            await send(message)

        await self.app(scope, receive, answer)

    async def _refuse(self, status: int, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
