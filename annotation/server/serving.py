"""The web server: Argilla's app behind the guard, with the change feed, answered by our search engine."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from argilla_server import app
from argilla_server.api.routes import api_v1
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from annotation.server import changes, faster, guards, schema, seating
from annotation.server.search import engine  # registers itself as the one that ARGILLA_SEARCH_ENGINE names
from annotation.server.web import errors, guard

log = logging.getLogger("annot")

SILENCE_S = 30.0
"""After so long without a byte, whoever has sent half a request is gone."""


def serve(home: Path, listeners: Sequence[socket.socket]) -> bool:
    """Bring the database up to date and answer until SIGTERM; False if it could not begin."""
    faster.apply(app)
    schema.migrate(home)
    schema.make_side_tables()
    schema.set_owner(json.loads((home / "secrets.json").read_text()))
    schema.mend_record_status()
    log.info("Search is answered by %s from %s.", engine.NAME, schema.DATABASE)
    errors.log_no_texts()
    errors.say_plainly_when_the_disk_fails(api_v1)
    errors.refuse_what_a_database_cannot_hold(api_v1)
    guards.serve(api_v1, engine.TableSearchEngine.instance().dialect)
    seating.serve(api_v1)
    server = Server(changes.serve(api_v1, home / "feed.json"))
    server.run(sockets=list(listeners))
    return server.started


class Protocol(HttpToolsProtocol):
    """HTTP in which half a request is not waited for without end: each would keep a connection of the few there are."""

    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._wait()
        super().data_received(data)

    def on_message_complete(self) -> None:
        self._wait(more=False)
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(more=False)
        super().connection_lost(exc)

    def _wait(self, *, more: bool = True) -> None:
        if self._silence:
            self._silence.cancel()
        self._silence = self.loop.call_later(SILENCE_S, self.transport.close) if more else None


class Server(uvicorn.Server):
    """Uvicorn, with what is to be done when it begins and ends."""

    def __init__(self, feed: changes.ChangeFeed) -> None:
        config = uvicorn.Config(
            guard.wrap(app),
            log_config=None,
            access_log=False,
            ws="none",
            http=Protocol,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._feed = feed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # What a crash, a restore or another layout left to be indexed, before somebody searches.
        engine.TableSearchEngine.instance().catch_up_soon()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()
        await super().shutdown(sockets)
