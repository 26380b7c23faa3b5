"""Judgements in: every version of every response, kept as raw JSON, ranks and ties as they were given.

Argilla has no feed of changes and leaves no trace of a deletion, so a pull reads everything and compares it with
what the ledger knows. That makes it right whenever it runs, however the last one ended.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from annotation.ledger import Ledger, MovedResponse, Response
from annotation.screen import Progress, silent
from annotation.tasks import ranking
from annotation.types import Dropped, Judgement, Slate
from sync.board import Board, walk_pages

SLATES_AT_ONCE = 100
"""Answered slates per call; Argilla takes 250."""

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
        missing: Records that were pushed and are not on the server any more; known where everything was read.
    """

    records: int
    foreign: int
    new: int
    edited: int
    deleted: int
    statuses: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    missing: int = 0

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
        gone = "slate is" if self.missing == 1 else "slates are"
        missing = f"; {self.missing} pushed {gone} not on the server any more" if self.missing else ""
        return f"{news}; responses: {standing}{unfit}{foreign}{missing}"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "records": self.records,
            "foreign": self.foreign,
            "missing": self.missing,
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
    reader = Reader(board, ledger)
    reader.read_all(progress=progress)
    counts = reader.counts()
    (pushed,) = ledger.rows("select count(distinct record_id) as n from pushes where server = ?", board.server)
    return replace(pulled(board.server, ledger, counts), missing=max(0, pushed["n"] - counts["there"]))


def pulled(server: str, ledger: Ledger, counts: Mapping[str, int]) -> Pulled:
    """What came home, as a Reader counted it, and what stands now."""
    standing = Counter(response.status for response in ledger.responses(server))
    kinds = ("records", "foreign", "new", "edited", "deleted")
    records, foreign, new, edited, deleted = (counts.get(kind, 0) for kind in kinds)
    return Pulled(records, foreign, new, edited, deleted, dict(standing), judged(ledger).dropped)


class Reader:
    """Reads responses into the ledger: all there are, or those of a few records that somebody answered just now.

    What a page tells is kept before the next is asked for. So whatever was read later is kept later, and a reader that
    is killed has lost nothing.
    """

    def __init__(self, board: Board, ledger: Ledger) -> None:
        """Read nothing yet.

        Args:
            board: Argilla.
            ledger: Knows what was pushed; receives the responses.
        """
        self._board, self._ledger = board, ledger
        self._slates: set[str] = set()
        self._workspaces: dict[str, str] = {}
        self._usernames: dict[str, str] = {}
        self._counts = Counter[str]()

    def read_all(self, *, progress: Progress = silent, between: Callable[[], None] = lambda: None) -> None:
        """Every response of the datasets that this project pushed to.

        Args:
            progress: Told how many records are read.
            between: Called after each page; may read records.
        """
        self._look_around()
        for dataset_id in self._workspaces:
            for page in walk_pages(self._board, dataset_id, responses=True, progress=progress):
                self._keep(page, dataset_id)
                between()

    def read(self, record_ids: Iterable[str]) -> None:
        """The responses of these records. One that is gone, or not ours, tells nothing, as in `read_all`."""
        found = self._ledger.rows(
            "select dataset, slate_id from pushes where server = ? and record_id in (select value from json_each(?))",
            self._board.server,
            json.dumps(list(record_ids)),
        )
        slates: dict[str, list[str]] = defaultdict(list)
        for row in found:
            slates[row["dataset"]].append(row["slate_id"])
        for dataset_id, own in slates.items():
            for start in range(0, len(own), SLATES_AT_ONCE):
                records = self._board.records_of(dataset_id, own[start : start + SLATES_AT_ONCE])
                authors = {raw["user_id"] for record in records for raw in record["responses"]}
                known = dataset_id in self._workspaces and authors <= set(self._usernames)
                if not known or not {record["external_id"] for record in records} <= self._slates:
                    self._look_around()
                self._keep(records, dataset_id)

    def changed(self) -> bool:
        """Whether anything came home since `counts` was last asked."""
        return any(self._counts[kind] for kind in ("new", "edited", "deleted"))

    def counts(self) -> Counter[str]:
        """What came home since this was last asked: there, records, foreign, new, edited, deleted."""
        counts, self._counts = self._counts, Counter()
        return counts

    def _look_around(self) -> None:
        """What is needed to understand a response: our slates, our datasets, people's names."""
        server = self._board.server
        ours = {
            row["dataset"] for row in self._ledger.rows("select distinct dataset from pushes where server = ?", server)
        }
        self._slates = {slate.id for slate in self._ledger.slates()}
        self._workspaces = {dataset.id: dataset.workspace for dataset in self._board.datasets() if dataset.id in ours}
        self._usernames = {account.id: account.username for account in self._board.accounts()}

    def _keep(self, records: Iterable[Mapping[str, Any]], dataset_id: str) -> None:
        """Keep what some records of one dataset tell."""
        records = list(records)
        own = [record for record in records if record["external_id"] in self._slates]
        country = self._workspaces[dataset_id].upper()
        known = self._ledger.responses_of(self._board.server, {record["external_id"] for record in own})
        before = {response.response_id: response for response in known}
        found = [response for record in own for response in _responses(record, self._usernames, country)]
        # Where Argilla did not say which responses there are, none was taken back.
        told = {record["id"] for record in own if "responses" in record}
        deleted = _deleted(before, {response.response_id for response in found}, told, set(self._usernames))
        fresh = [response for response in found if before.get(response.response_id) != response]
        self._ledger.add_responses(self._board.server, [*fresh, *deleted])
        new = sum(response.response_id not in before for response in fresh)
        self._counts.update(
            there=len(own),
            records=len(told),
            foreign=len(records) - len(own),
            new=new,
            edited=len(fresh) - new,
            deleted=len(deleted),
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """Which responses are copies of which, after `annot move`."""

    copies: Mapping[str, MovedResponse]
    originals: Mapping[str, MovedResponse]

    @classmethod
    def of(cls, ledger: Ledger, responses: Iterable[Response]) -> Moved:
        """Read the ledger. A copy that was never pulled replaces nothing: its original still speaks."""
        known = {response.response_id for response in responses}
        copies = {name: copy for name, copy in ledger.moved().items() if name in known}
        return cls(copies, {copy.from_response_id: copy for copy in copies.values()})

    def replaces(self, response: Response) -> bool:
        """Whether a copy speaks for this response: one that was changed after the move speaks for itself."""
        copy = self.originals.get(response.response_id)
        return copy is not None and response.updated_at <= copy.from_updated_at

    def as_given(self, response: Response) -> Response:
        """The response with the time at which its author gave it, not that of the move."""
        name, time = response.response_id, response.updated_at
        while (copy := self.copies.get(name)) is not None and time == copy.updated_at:
            name, time = copy.from_response_id, copy.from_updated_at
        return replace(response, updated_at=time)


def answers(ledger: Ledger) -> list[Response]:
    """The newest version of every answer, taken back ones too (status "deleted"), those kept last first.

    An answer may have come under two names of one server (its address changed), or as an original and its copy on the
    server that the project was moved to: it is one answer, with the time at which its author gave it.
    """
    responses = ledger.responses()
    moved = Moved.of(ledger, responses)
    newest: dict[str, Response] = {}
    for response in reversed(responses):
        newest.setdefault(response.response_id, response)
    return [moved.as_given(response) for response in newest.values() if not moved.replaces(response)]


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
    for response in answers(ledger):
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
            updated_at=told_at(raw["updated_at"]),
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


def told_at(moment: str) -> str:
    """A time of Argilla's, which tells UTC without saying so, as ISO 8601 with microseconds: sortable as text."""
    told = datetime.fromisoformat(moment)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
