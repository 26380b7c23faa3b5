"""The web server: Argilla's app behind the guard, with the change feed, answered by our search engine."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from argilla_server import app
from argilla_server.api.routes import api_v1

from annotation.server import changes, faster, schema
from annotation.server.search import engine  # registers itself as the one that ARGILLA_SEARCH_ENGINE names
from annotation.server.web import guard

log = logging.getLogger("annot")


def serve(home: Path, listeners: Sequence[socket.socket]) -> bool:
    """Bring the database up to date and answer until SIGTERM; False if it could not begin."""
    faster.apply(app)
    schema.migrate(home)
    schema.make_side_tables()
    schema.set_owner(json.loads((home / "secrets.json").read_text()))
    schema.mend_record_status()
    log.info("Search is answered by %s from %s.", engine.NAME, schema.DATABASE)
    server = Server(changes.serve(api_v1, home / "feed.json"))
    server.run(sockets=list(listeners))
    return server.started


class Server(uvicorn.Server):
    """Uvicorn, with what is to be done when it begins and ends."""

    def __init__(self, feed: changes.ChangeFeed) -> None:
        config = uvicorn.Config(
            guard.wrap(app),
            log_config=None,
            access_log=False,
            ws="none",
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
