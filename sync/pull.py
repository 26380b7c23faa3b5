"""Judgements in: every version of every response, kept as raw JSON, ranks and ties as they were given.

Argilla has no feed of changes and leaves no trace of a deletion, so a pull reads everything and compares it with
what the ledger knows. That makes it right whenever it runs, however the last one ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from annotation.ledger import Ledger, Response
from annotation.screen import Progress, silent
from annotation.tasks import ranking
from annotation.types import Dropped, Judgement, Slate
from sync.board import Board, walk

DELETED = "deleted"
"""Status of a response that was taken back while its record and its author stayed."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came home.

    Attributes:
        records: Records looked at.
        foreign: Records of our datasets that somebody else put there; their answers are not taken.
        new: Responses that were never seen before.
        edited: Responses that changed.
        deleted: Responses that were taken back by their authors.
        statuses: How many responses stand in the ledger now, by status.
        dropped: Submitted responses that give no judgement, and why; of all time, not of this pull alone.
    """

    records: int
    foreign: int
    new: int
    edited: int
    deleted: int
    statuses: Mapping[str, int]
    dropped: tuple[Dropped, ...]

    @property
    def changed(self) -> bool:
        """Whether anything is new, changed or deleted."""
        return bool(self.new or self.edited or self.deleted)

    def sentence(self) -> str:
        """One line for the lead."""
        standing = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items())) or "none yet"
        news = f"{self.new} new, {self.edited} changed, {self.deleted} deleted" if self.changed else "nothing new"
        unfit = f"; {len(self.dropped)} submitted ones give no judgement" if self.dropped else ""
        foreign = f"; {self.foreign} records are not of this project" if self.foreign else ""
        return f"{news}; responses: {standing}{unfit}{foreign}"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "records": self.records,
            "foreign": self.foreign,
            "new": self.new,
            "edited": self.edited,
            "deleted": self.deleted,
            "responses": dict(self.statuses),
            "dropped": dict(Counter(d.reason for d in self.dropped)),
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """The newest submitted responses as judgements, and those that are none."""

    kept: tuple[Judgement, ...]
    dropped: tuple[Dropped, ...]


def pull(board: Board, ledger: Ledger, *, progress: Progress = silent) -> Pulled:
    """Fetch every response of the datasets that this project pushed to, and keep what is new or changed.

    A response that the ledger knows and the server does not is kept as deleted when its record and its author are
    still there: the author took it back. Where the record or the author is gone, the judgement stays as it was.

    Args:
        board: Argilla.
        ledger: Knows what was pushed; receives the responses.
        progress: Told how many records are read.

    Raises:
        BoardError: Argilla is not there, or kept changing.
    """
    slates = {slate.id for slate in ledger.slates()}
    before = {response.response_id: response for response in ledger.responses(board.server)}
    ours = {row["dataset"] for row in ledger.rows("select distinct dataset from pushes where server = ?", board.server)}
    datasets = [dataset for dataset in board.datasets() if dataset.id in ours]
    usernames = {account.id: account.username for account in board.accounts()}
    found: list[Response] = []
    records: set[str] = set()
    foreign = 0
    for dataset in datasets:
        for record in walk(board, dataset.id, responses=True, progress=progress):
            if record["external_id"] not in slates:
                foreign += 1
                continue
            if "responses" in record:
                records.add(record["id"])
            found += _responses(record, usernames, dataset.workspace.upper())
    deleted = _deleted(before, {response.response_id for response in found}, records, set(usernames))
    fresh = [response for response in found if before.get(response.response_id) != response]
    ledger.add_responses(board.server, [*fresh, *deleted])
    standing = Counter(response.status for response in ledger.responses(board.server))
    new = sum(response.response_id not in before for response in fresh)
    return Pulled(len(records), foreign, new, len(fresh) - new, len(deleted), dict(standing), judged(ledger).dropped)


def judgements(ledger: Ledger) -> list[Judgement]:
    """The newest submitted judgement of each person on each slate; `judged` also tells what is not among them."""
    return list(judged(ledger).kept)


def judged(ledger: Ledger) -> Judged:
    """Read every submitted response that stands as a judgement: one per person and slate, the newest.

    Where a dataset was made anew, somebody may have ranked the same slate twice; the earlier time is dropped.
    """
    slates = {slate.id: slate for slate in ledger.slates()}
    newest: dict[tuple[str, str], Judgement] = {}
    dropped: dict[str, Dropped] = {}
    seen: set[str] = set()
    for response in reversed(ledger.responses()):
        # The same response under two names of one server (its address changed) is one response.
        if response.response_id in seen:
            continue
        seen.add(response.response_id)
        if response.status != "submitted":
            continue
        try:
            found = _judgement(response, slates)
        except ranking.Unfit as error:
            dropped[response.response_id] = Dropped(response.response_id, str(error), response.slate_id)
            continue
        key = (found.slate_id, found.annotator)
        other = newest.get(key)
        kept, earlier = (found, other) if other is None or found.submitted_at > other.submitted_at else (other, found)
        newest[key] = kept
        if earlier is not None:
            dropped[earlier.response_id] = Dropped(earlier.response_id, "answered again later", kept.response_id)
    ordered = sorted(newest.values(), key=lambda judgement: (judgement.submitted_at, judgement.response_id))
    return Judged(tuple(ordered), tuple(dropped.values()))


def _judgement(response: Response, slates: Mapping[str, Slate]) -> Judgement:
    slate = slates.get(response.slate_id)
    if slate is None:
        raise ranking.Unfit("the slate is not in this project")
    found = ranking.judgement(json.loads(response.raw), slate, annotator=response.annotator, country=response.country)
    return replace(found, submitted_at=response.updated_at)


def _responses(record: Mapping[str, Any], usernames: Mapping[str, str], country: str) -> Iterable[Response]:
    """What people answered to one record. The workspace tells the country of the team they answered for."""
    for raw in record.get("responses") or ():
        yield Response(
            response_id=raw["id"],
            slate_id=record["external_id"],
            # Somebody who was deleted while we read: the id still tells people apart.
            annotator=usernames.get(raw["user_id"], raw["user_id"]),
            country=country,
            status=raw["status"],
            updated_at=_utc(raw["updated_at"]),
            raw=json.dumps(raw, ensure_ascii=False, sort_keys=True),
        )


def _deleted(before: Mapping[str, Response], found: set[str], records: set[str], users: set[str]) -> list[Response]:
    """Responses that were taken back: their record was read just now with all its responses, and they are not there."""
    gone = []
    for response in before.values():
        if response.response_id in found or response.status == DELETED:
            continue
        raw = json.loads(response.raw)
        if raw["record_id"] not in records or raw["user_id"] not in users:
            continue
        gone.append(replace(response, status=DELETED))
    return gone


def _utc(moment: str) -> str:
    """A time of Argilla's, which tells UTC without saying so, as ISO 8601 with microseconds: sortable as text."""
    told = datetime.fromisoformat(moment)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
