"""Gate of the live page: who may see it and what of it, as Argilla itself says; failed log-ins are slowed."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import httpx

from annotation.errors import ArgillaError
from sync.argilla.errors import json_of
from sync.team import workspace_of

SESSION_S = 8 * 3600.0
"""How long a log-in lasts."""

ASK_AGAIN_S = 60.0
"""After so long Argilla is asked again whether somebody may still see the page."""

FREE, SLOWEST_S, FORGET_S = 5, 300.0, 3600.0
"""Failures that cost nothing; each more doubles the wait, up to the slowest; after so long all are forgotten."""

MOST = 5000
"""Sessions, and sides that failed, that are kept at once; the oldest go first."""

ROLES = ("owner", "admin")
TIMEOUT_S = 15.0


class Refused(ArgillaError):
    """Somebody does not get in: `why` is a name of the page's words, `wait_s` how long the next attempt waits."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        """Keep why."""
        super().__init__(why)
        self.why, self.wait_s = why, math.ceil(wait_s)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is logged in.

    Attributes:
        username: In Argilla.
        countries: Those whose workspaces an admin is in; None for an owner, who sees all.
        token: Of Argilla, for the session alone.
        asked_at: When Argilla was asked last, on the gate's clock.
        until: When the session ends, on the same clock.
    """

    username: str
    countries: tuple[str, ...] | None
    token: str
    asked_at: float
    until: float


class Gate:
    """Log-ins and sessions in memory: nothing of them is kept when the program ends."""

    def __init__(
        self, url: Callable[[], str], countries: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without sessions.

        Args:
            url: Gives Argilla's address, or "" while it does not run.
            countries: Of the project: an admin sees those in whose workspaces they are.
            clock: Seconds, never going back.
        """
        self._url, self._clock = url, clock
        self._country_of = {workspace_of(country): country for country in countries}
        self._sessions: OrderedDict[str, Reader] = OrderedDict()
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def log_in(self, username: str, password: str, address: str) -> str:
        """Ask Argilla about a name and a password; the session's secret.

        Args:
            username: Of an account there.
            password: Its password; it is sent to Argilla and not kept.
            address: From where it is tried.

        Raises:
            Refused: The password is wrong, the role is another, there were too many attempts, or Argilla is away.
        """
        sides = ((username, address), ("", address))
        with self._lock:
            wait = max(self._wait(side) for side in sides)
            if wait > 0:
                raise Refused("slower", wait)
            for side in sides:  # counted before it is known: many at once must not all be free
                self._failed[side] = (self._failures(side) + 1, self._clock())
                self._failed.move_to_end(side)
            _shorten(self._failed)
        reader = self._asked(username, password)
        with self._lock:
            for side in sides:
                self._failed.pop(side, None)
            session = secrets.token_urlsafe(32)
            self._sessions[session] = reader
            _shorten(self._sessions)
        return session

    def reader(self, session: str) -> Reader | None:
        """Who a session belongs to; None where it has ended, or where Argilla says that it must."""
        with self._lock:
            reader = self._sessions.get(session)
        if reader is None or self._clock() >= reader.until:
            self.log_out(session)
            return None
        if self._clock() - reader.asked_at < ASK_AGAIN_S:
            return reader
        try:
            role, countries = self._role(reader.token)
        except Refused as refused:
            if refused.why == "away":  # they were let in, and what they see does not need Argilla
                return reader
            self.log_out(session)
            return None
        if role not in ROLES:
            self.log_out(session)
            return None
        reader = replace(reader, asked_at=self._clock(), countries=countries)
        with self._lock:
            if session in self._sessions:
                self._sessions[session] = reader
        return reader

    def log_out(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def _failures(self, side: tuple[str, str]) -> int:
        times, last = self._failed.get(side, (0, 0.0))
        return times if self._clock() - last < FORGET_S else 0

    def _wait(self, side: tuple[str, str]) -> float:
        """Seconds until the next attempt; an address with several people has more that are free."""
        over = self._failures(side) - (FREE if side[0] else 4 * FREE)
        return self._failed[side][1] + min(2.0**over, SLOWEST_S) - self._clock() if over >= 0 else 0.0

    def _asked(self, username: str, password: str) -> Reader:
        try:
            with self._http() as http:
                answer = http.post("/token", data={"username": username, "password": password})
                token = str(json_of(answer)["access_token"])
        except httpx.HTTPStatusError as error:
            raise _refusal(error) from None
        except (httpx.TransportError, KeyError, ValueError):
            raise Refused("away") from None
        role, countries = self._role(token)
        if role not in ROLES:
            raise Refused("not_admin")
        return Reader(username, countries, token, self._clock(), self._clock() + SESSION_S)

    def _role(self, token: str) -> tuple[str, tuple[str, ...] | None]:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with self._http() as http:
                role = str(json_of(http.get("/me", headers=headers))["role"])
                if role != "admin":
                    return role, None
                rooms = json_of(http.get("/me/workspaces", headers=headers))["items"]
        except httpx.HTTPStatusError as error:
            raise _refusal(error) from None
        except (httpx.TransportError, KeyError, ValueError):
            raise Refused("away") from None
        inside = {self._country_of[room["name"]] for room in rooms if room["name"] in self._country_of}
        return role, tuple(sorted(inside))

    def _http(self) -> httpx.Client:
        if not (url := self._url()):
            raise Refused("away")
        return httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=TIMEOUT_S)


def _refusal(error: httpx.HTTPStatusError) -> Refused:
    status = error.response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait = error.response.headers.get("Retry-After", "")
        return Refused("slower", float(wait) if wait.isdigit() else 60.0)
    return Refused("refused" if status < 500 else "away")


def _shorten(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > MOST:
        kept.popitem(last=False)
