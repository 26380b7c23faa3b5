"""One cycle of `annot sync` (pull, count, trigger), and cycles for ever: sooner when Argilla calls, right if not.

A call names a record, and that record is read from Argilla: nothing of the call itself is believed, and calls that are
lost, doubled or out of order change nothing in the end, because everything is read again now and then.
"""

from __future__ import annotations

import json
import math
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from uuid import UUID

from annotation.errors import BoardError
from annotation.project import Project
from annotation.screen import Progress, silent
from sync.board import Board
from sync.pull import Pulled, Reader, pull, pulled
from sync.report import Report, draw, report
from sync.snapshot import Gathered, gather
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
        brought = pull(board, project.ledger, progress=progress)
        gathered = gather(project)
    return _count(project, gathered, brought, relaunch=relaunch)


def _count(project: Project, gathered: Gathered, brought: Pulled, *, relaunch: bool = False) -> Synced:
    """Where the project stands after a pull. Outside the lock: a launcher of the team's own may take its time."""
    auto = project.settings.train.auto or relaunch
    launch = trigger(project, gathered, relaunch=relaunch) if auto else None
    found = report(project, gathered)
    if brought.changed or not (project.folder / "progress.png").exists():
        draw(found, project.folder / "progress.png")
    return Synced(brought, found, launch, brought.changed or (launch is not None and launch.state == "started"))


# -- the doorbell ---------------------------------------------------------------------------------------------

LARGEST_CALL = 1 << 26
"""Bytes of a webhook's body that are read: a record's texts and the whole form of its dataset are in it."""

MOST_NAMED = 1000
"""Records that wait to be read one by one; beyond that everything is read."""

EVENTS = ("response.created", "response.updated", "response.deleted")


class Bell:
    """What Argilla's calls leave behind: which records somebody answered, or just that somebody did."""

    def __init__(self) -> None:
        """Nobody has called yet."""
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._named = dict[str, None]()
        self._unnamed = False

    def ring(self, record_id: str | None) -> None:
        """Somebody answered; None when it is not known which record."""
        with self._lock:
            if record_id is None or len(self._named) >= MOST_NAMED:
                self._unnamed = True
            else:
                self._named[record_id] = None
            self._rung.set()

    def nudge(self) -> None:
        """Wake who waits, though nobody answered."""
        self._rung.set()

    def wait(self, most_s: float) -> bool:
        """Until it rings, or so many seconds; whether it rang."""
        return self._rung.wait(max(0.0, most_s))

    def answer(self) -> tuple[list[str], bool]:
        """The records that were named since, and whether others may have been answered too; then all is quiet."""
        with self._lock:
            named, unnamed = list(self._named), self._unnamed
            self._named.clear()
            self._unnamed = False
            self._rung.clear()
        return named, unnamed


@contextmanager
def doorbell(board: Board, name: str) -> Iterator[Bell]:
    """A bell that rings whenever Argilla reports a response.

    A call is a hint: its signature is checked, and of its body only the record's id is taken. Webhooks that a killed
    watch left behind are taken away first.

    Args:
        board: Where to register.
        name: Tells this project's webhook from others'.
    """
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    bell, keys = Bell(), list[Webhook]()
    # The path is a secret too: nothing else on this machine can ring by chance.
    path = f"/{secrets.token_urlsafe(16)}"

    class Answer(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            self.send_response(self.hear())
            self.send_header("content-length", "0")
            self.end_headers()

        def hear(self) -> int:
            length = self.headers.get("content-length") or "0"
            if self.path != path or not length.isdigit() or int(length) > LARGEST_CALL:
                return 404
            body = self.rfile.read(int(length))
            try:
                if not keys:
                    raise WebhookVerificationError("called before it was registered")
                keys[0].verify(body, dict(self.headers.items()))
            except WebhookVerificationError:
                return 401
            bell.ring(_named(body))
            return 204

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is the report's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    description = f"annot sync --watch: {name}"
    url = f"http://127.0.0.1:{server.server_port}{path}"
    try:
        board.remove_webhooks(description)
        _, secret = board.add_webhook(url, EVENTS, description)
        keys.append(Webhook(secret))
        yield bell
    finally:
        try:
            board.remove_webhooks(description)
        finally:
            server.shutdown()
            server.server_close()


def _named(body: bytes) -> str | None:
    """The id of the record that a call is about."""
    try:
        return str(UUID(json.loads(body)["data"]["record"]["id"]))
    except (ValueError, LookupError, TypeError):
        return None


@contextmanager
def listening(board: Board, project: Project) -> Iterator[Bell]:
    """A doorbell where Argilla runs on this machine and allows one; elsewhere a bell that nobody rings.

    A server on another machine cannot call this one: it is polled, which is enough.
    """
    if urlsplit(board.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        yield Bell()
        return
    with ExitStack() as stack:
        try:
            bell = stack.enter_context(doorbell(board, str(project.folder)))
        except BoardError as error:
            print(f"annot: no webhook, so this only polls: {error}", file=sys.stderr)
            bell = Bell()
        yield bell


# -- watching -------------------------------------------------------------------------------------------------

SHARE = 4
"""Counting and reading everything take long in a large project: so many times as long passes until the next time."""


class Watch:
    """Keeps a project up to date: what is called in at once, everything now and then, and the counts after that.

    Counting takes seconds in a large project, so it has a thread of its own, and what is called in never waits for it.
    """

    def __init__(
        self, project: Project, board: Board, bell: Bell, *, every_s: float, tell: Callable[[Synced], None]
    ) -> None:
        """Begin with reading everything.

        Args:
            project: The project.
            board: Its Argilla.
            bell: Rung when somebody answered.
            every_s: The longest pause between reading everything; longer where that itself takes long.
            tell: Given the first count, and every later one with news; called in another thread.
        """
        self._project, self._board, self._bell = project, board, bell
        self._every_s, self._tell = every_s, tell
        self._reader = Reader(board, project.ledger)
        self._read_all_at = self._count_at = time.monotonic()
        self._uncounted = True
        self._standing: str | None = None
        self._counting: Future[float] | None = None

    def run(self) -> None:
        """Go on for ever. While Argilla is away the watch says so and goes on; other errors end it."""
        with ThreadPoolExecutor(1, "count") as counter:
            while True:
                try:
                    self._bring_home()
                except BoardError as error:
                    print(f"annot: {error} Trying again in {self._every_s:.0f} s.", file=sys.stderr)
                    # What was named meanwhile is read with everything else.
                    self._bell.answer()
                    self._read_all_at = time.monotonic() + self._every_s
                self._count(counter)
                counted = [self._count_at] if self._uncounted and self._counting is None else []
                self._bell.wait(min([self._read_all_at, *counted]) - time.monotonic())

    def _bring_home(self) -> None:
        with self._project.lock("sync"):
            began = time.monotonic()
            if began < self._read_all_at:
                self._read_named()
                return
            # Called in while this goes on, and more than can be read one by one: then all of it again, at once.
            self._read_all_at = math.inf
            self._reader.read_all(between=self._read_named)
        ended = time.monotonic()
        self._read_all_at = min(self._read_all_at, ended + max(self._every_s, SHARE * (ended - began)))
        self._uncounted = True  # a run may have ended meanwhile

    def _read_named(self) -> None:
        named, unnamed = self._bell.answer()
        if unnamed:
            self._read_all_at = time.monotonic()
        try:
            self._reader.read(named)
        except BoardError:
            # Whatever it was, reading everything brings them home, or says what is wrong.
            self._read_all_at = time.monotonic()

    def _count(self, counter: ThreadPoolExecutor) -> None:
        """Have the counts made, when there is something to count and time for it; see how those before ended."""
        if self._counting is not None:
            if not self._counting.done():
                return
            self._count_at = time.monotonic() + SHARE * self._counting.result()
            self._counting = None
        self._uncounted = self._uncounted or self._reader.changed()
        if self._uncounted and time.monotonic() >= self._count_at:
            self._uncounted = False
            self._counting = counter.submit(self._count_and_tell, self._reader.counts())
            self._counting.add_done_callback(lambda _: self._bell.nudge())

    def _count_and_tell(self, counts: Mapping[str, int]) -> float:
        """In the thread; seconds that it took."""
        began = time.monotonic()
        project = Project(self._project.folder, self._project.settings)  # a ledger belongs to one thread
        synced = _count(project, gather(project), pulled(self._board.server, project.ledger, counts))
        # That a run which has started is still running is no news.
        standing = synced.launch.state.replace("started", "running") if synced.launch else ""
        if synced.changed or standing != self._standing:
            self._tell(synced)
        self._standing = standing
        return time.monotonic() - began


def follow(project: Project, board: Board, *, every_s: float, tell: Callable[[Synced], None]) -> None:
    """Sync for ever, and tell of what brought judgements, or after which the run stands differently; see Watch."""
    with listening(board, project) as bell:
        Watch(project, board, bell, every_s=every_s, tell=tell).run()
