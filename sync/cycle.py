"""One cycle of `annot sync` (pull, count, trigger), and cycles for ever: sooner when Argilla calls, right if not."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from annotation.errors import BoardError
from annotation.project import Project
from annotation.screen import Progress, silent
from sync.board import Board
from sync.pull import Pulled, pull
from sync.report import Report, draw, report
from sync.snapshot import gather
from sync.trigger import Launch, trigger


@dataclass(frozen=True)
class Synced:
    """What one cycle did.

    Attributes:
        pulled: What came home.
        report: How the project stands now.
        launch: The run that the met quotas own, or None.
        changed: Anything that a person would want to hear of.
    """

    pulled: Pulled
    report: Report
    launch: Launch | None
    changed: bool


def sync_once(project: Project, board: Board, *, relaunch: bool = False, progress: Progress = silent) -> Synced:
    """Pull, count, and start the run when every quota is met. A second sync waits for the first."""
    with project.lock("sync"):
        pulled = pull(board, project.ledger, progress=progress)
        gathered = gather(project)
    # Outside the lock: a launcher of the team's own may take its time, and judgements come home meanwhile.
    auto = project.settings.train.auto or relaunch
    launch = trigger(project, gathered, relaunch=relaunch) if auto else None
    found = report(project, gathered)
    if pulled.changed or not (project.folder / "progress.png").exists():
        draw(found, project.folder / "progress.png")
    return Synced(pulled, found, launch, pulled.changed or (launch is not None and launch.state == "started"))


LARGEST_CALL = 1 << 20
"""Bytes of a webhook's body that are read; Argilla's are a few thousand."""


EVENTS = ("response.created", "response.updated", "response.deleted")


@contextmanager
def doorbell(board: Board, name: str) -> Iterator[threading.Event]:
    """An event that is set whenever Argilla reports a response.

    A call is a hint and carries nothing that is believed: its signature is checked, its body is not read
    for content. Webhooks that a killed watch left behind are taken away first.

    Args:
        board: Where to register.
        name: Tells this project's webhook from others'.
    """
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    rung, keys = threading.Event(), list[Webhook]()

    class Answer(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(length, LARGEST_CALL))
            try:
                if not keys:
                    raise WebhookVerificationError("called before it was registered")
                keys[0].verify(body, dict(self.headers.items()))
            except WebhookVerificationError:
                self.send_response(401)
            else:
                rung.set()
                self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is the report's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    description = f"annot sync --watch: {name}"
    # The path is a secret too: nothing else on this machine can ring by chance.
    url = f"http://127.0.0.1:{server.server_port}/{secrets.token_urlsafe(16)}"
    try:
        board.remove_webhooks(description)
        _, secret = board.add_webhook(url, EVENTS, description)
        keys.append(Webhook(secret))
        yield rung
    finally:
        try:
            board.remove_webhooks(description)
        finally:
            server.shutdown()
            server.server_close()


@contextmanager
def listening(board: Board, project: Project) -> Iterator[threading.Event]:
    """A doorbell where Argilla runs on this machine and allows one; elsewhere an event that nobody sets.

    A server on another machine cannot call this one: it is polled, which is enough.
    """
    if urlsplit(board.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        yield threading.Event()
        return
    with ExitStack() as stack:
        try:
            rung = stack.enter_context(doorbell(board, str(project.folder)))
        except BoardError as error:
            print(f"annot: no webhook, so this only polls: {error}", file=sys.stderr)
            rung = threading.Event()
        yield rung


def follow(project: Project, board: Board, *, every_s: float, tell: Callable[[Synced], None]) -> None:
    """Sync for ever, and tell of a cycle that brought judgements, or after which the run stands differently.

    Args:
        project: The project.
        board: Its Argilla.
        every_s: The longest pause, in seconds.
        tell: Given the first cycle, and every later one with news.
    """
    told: list[str] = []

    def once() -> None:
        synced = sync_once(project, board)
        # That a run which has started is still running is no news.
        standing = synced.launch.state.replace("started", "running") if synced.launch else ""
        if synced.changed or [standing] != told:
            tell(synced)
        told[:] = [standing]

    with listening(board, project) as rung:
        watch(once, rung, every_s=every_s)


def watch(once: Callable[[], None], rung: threading.Event, *, every_s: float, rest_s: float = 1.0) -> None:
    """Call `once` for ever: at once when rung, and every `every_s` seconds without being rung.

    Args:
        once: One sync. While Argilla is away (BoardError) the watch says so and goes on; other errors end it.
        rung: Set by the doorbell; cleared before each call, so that a ring during a call is not lost.
        every_s: The longest pause, in seconds.
        rest_s: The shortest pause: a burst of rings is one call.
    """
    while True:
        rung.clear()
        try:
            once()
        except BoardError as error:
            print(f"annot: {error} Trying again in {every_s:.0f} s.", file=sys.stderr)
        if not rung.wait(every_s):
            continue
        threading.Event().wait(rest_s)
