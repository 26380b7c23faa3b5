"""Responses in: every version of each, kept as raw JSON, as it was given.

An embedded server keeps a feed of which records were answered, and a pull reads those alone. Everything is read now
and then, and wherever there is no feed: Argilla leaves no trace of a deletion, so what was read is compared with what
the ledger knows. That makes a pull right whenever it runs, however the last one ended.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from annotation.errors import ArgillaError
from annotation.ledger import FORGOTTEN, Ledger, Response
from annotation.ledger_file import now
from annotation.screen import Progress, counted, silent
from annotation.stereotypes.shared import forgotten_lines
from annotation.tasks import TASKS
from annotation.tasks.answers import DELETED
from annotation.tasks.base import Texts
from annotation.tasks.page import PICTURE
from annotation.tasks.rooms import record_in_room
from annotation.tasks.share.sheet import NAME as SHARE
from annotation.types import Item
from sync.argilla.paging import walk_pages
from sync.argilla.protocol import ArgillaApi
from sync.team import country_of

ITEMS_AT_ONCE = 100
"""Answered items per call; Argilla takes 250."""

WHOLE_EVERY = timedelta(days=1)
"""After so long everything is read although there is a feed: what the feed did not tell is found, and said."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came home.

    Attributes:
        records: Records looked at.
        foreign: Records of our datasets that somebody else put there; their answers are not taken.
        new: Responses that were never seen before.
        edited: Responses that changed.
        deleted: Responses that were taken back by their authors.
        missing: Items that were pushed and are not on the server any more; known where everything was read.
        untold: Responses that a whole reading found and the feed had not told.
        texts: Records whose texts were changed on the server, or put back, since they were read last.
        older: Responses of which the server tells an older version than is kept: what is kept counts.
        whole: Everything was read.
    """

    records: int = 0
    foreign: int = 0
    new: int = 0
    edited: int = 0
    deleted: int = 0
    missing: int = 0
    untold: int = 0
    texts: int = 0
    older: int = 0
    whole: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything is new, changed or deleted."""
        return bool(self.new or self.edited or self.deleted or self.texts)

    def and_then(self, later: Pulled) -> Pulled:
        """What both brought; what only a whole reading knows is what the last one found."""
        standing = later if later.whole else self
        return Pulled(
            records=later.records,
            foreign=standing.foreign,
            new=self.new + later.new,
            edited=self.edited + later.edited,
            deleted=self.deleted + later.deleted,
            missing=standing.missing,
            untold=self.untold + later.untold,
            texts=self.texts + later.texts,
            older=standing.older,
            whole=standing.whole,
        )

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)

    def sentence(self, statuses: Mapping[str, int], unfit: int) -> str:
        """One line for the lead.

        Args:
            statuses: How many responses stand in the ledger now, by status.
            unfit: Submitted responses that give no judgement.
        """
        standing = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none yet"
        news = f"{self.new} new, {self.edited} changed, {self.deleted} deleted" if self.changed else "nothing new"
        nothing = f"; {unfit} submitted ones give no judgement" if unfit else ""
        foreign = f"; {counted(self.foreign, 'record is', 'records are')} not of this project" if self.foreign else ""
        again = "not on the server any more (`annot push` sends those of a deleted dataset again)"
        missing = f"; {counted(self.missing, 'pushed item is', 'pushed items are')} {again}" if self.missing else ""
        untold = f"; {self.untold} of them were missing in the server's change feed" if self.untold else ""
        texts = (
            f"; on the server texts were changed, or put back, in {counted(self.texts, 'record')}" if self.texts else ""
        )
        older = (
            f"; {self.older} are older on the server than here, so its clock or its database went back: what is here "
            "counts"
            if self.older
            else ""
        )
        return f"{news}; responses: {standing}{nothing}{foreign}{missing}{untold}{texts}{older}"


def pull(api: ArgillaApi, ledger: Ledger, *, whole: bool = False, progress: Progress = silent) -> Pulled:
    """Fetch the responses of the datasets that this project pushed to, and keep what is new or changed.

    A response that the ledger knows and the server does not is kept as deleted when its record and its author are
    still there: the author took it back. Where the record or the author is gone, the judgement stays as it was.

    Args:
        api: Argilla.
        ledger: Knows what was pushed and how far the feed was read; receives the responses.
        whole: Read everything, whatever the feed tells.
        progress: Told how many records are read.

    Raises:
        ArgillaError: Argilla is not there, or kept changing.
    """
    reader = Reader(api, ledger)
    reader.bring_home(whole=whole, progress=progress)
    return reader.pulled


def wait_for_change(api: ArgillaApi, ledger: Ledger, wait_s: float) -> bool:
    """Wait until the change feed has something to tell, so long at most; False at once where there is no feed."""
    feed, last, _ = ledger.feed(api.server)
    return bool(feed) and api.changes(last, wait_s=wait_s) is not None


class Reader:
    """Reads responses into the ledger: all there are, or those that the change feed names.

    What a page tells is kept before the next is asked for. So whatever was read later is kept later, and a reader that
    is killed has lost nothing.
    """

    def __init__(self, api: ArgillaApi, ledger: Ledger) -> None:
        """Read nothing yet.

        Args:
            api: Argilla.
            ledger: Knows what was pushed; receives the responses.
        """
        self._api, self._ledger = api, ledger
        self._workspaces: dict[str, str] = {}
        self._usernames: dict[str, str] = {}
        self._unfound = False
        self.pulled = Pulled()
        """What came home so far."""

    def bring_home(self, *, whole: bool = False, progress: Progress = silent) -> None:
        """See `pull`."""
        followed = False
        try:
            followed = self.follow(progress)
        except ArgillaError:
            if not whole:  # everything is read without a feed too
                raise
        _, _, whole_at = self._ledger.feed(self._api.server)
        followed_all = followed and not self._unfound
        if not followed_all or whole or abs(datetime.now(UTC) - datetime.fromisoformat(whole_at)) > WHOLE_EVERY:
            self.read_all(followed=followed, progress=progress)

    def follow(self, progress: Progress = silent) -> bool:
        """Read what the change feed tells since it was read last; False where there is none, or another than before."""
        server = self._api.server
        while True:
            feed, last, whole_at = self._ledger.feed(server)
            news = self._api.changes(last) if feed else None
            if news is None or news.reset or news.feed != feed:
                return False
            self.read(((c.dataset_id, c.item_id) for c in news.changes if c.item_id), progress=progress)
            self._ledger.set_feed(server, feed, news.last, whole_at)
            if not news.more or news.last <= last:
                return True

    def read_all(self, *, followed: bool = False, progress: Progress = silent) -> None:
        """Every response of the datasets that this project pushed to.

        Args:
            followed: The feed was read to its end just now: what is found beyond what it tells since, it missed.
            progress: Told how many records are read.
        """
        server, (_, read_to, _) = self._api.server, self._ledger.feed(self._api.server)
        start = None
        with suppress(ArgillaError):  # where Argilla itself is away, the next call says so
            start = self._api.changes(None)
        self._look_around()
        news, there = Counter[str](), set[str]()
        for dataset_id in self._workspaces:
            for page in walk_pages(self._api, dataset_id, responses=True, progress=progress):
                there |= self._keep(page, dataset_id, news)
        pushed = self._ledger.rows("select item_id from pushes where server = ? and record_id <> ''", server)
        untold = 0
        if start is not None:
            if followed and news:
                named = self._named_since(read_to)
                untold = sum(count for item, count in news.items() if item not in named)
            self._ledger.set_feed(server, start.feed, start.last, now())
        self.pulled = replace(
            self.pulled, missing=len({row["item_id"] for row in pushed} - there), untold=untold, whole=True
        )

    def _named_since(self, last: int) -> set[str | None]:
        """The items that the change feed names after a place in it."""
        named = set[str | None]()
        while (news := self._api.changes(last)) is not None:
            named |= {change.item_id for change in news.changes}
            last = news.last
            if not news.more:
                break
        return named

    def read(self, named: Iterable[tuple[str, str]], *, progress: Progress = silent) -> None:
        """The responses to some items, each named with its dataset. What is not ours, or is gone, tells nothing."""
        named = set(named)
        label_of = {item.id: TASKS[item.task].label for item in self._ledger.items(ids={item for _, item in named})}
        wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
        for dataset_id, item in sorted(named):
            if item in label_of:
                wanted[dataset_id, label_of[item]].append(item)
        if not self._workspaces.keys() >= {dataset_id for dataset_id, _ in wanted}:
            self._look_around()
        for (dataset_id, label), own in wanted.items():
            if dataset_id not in self._workspaces:
                continue
            for start in range(0, len(own), ITEMS_AT_ONCE):
                progress(self.pulled.records)
                some = own[start : start + ITEMS_AT_ONCE]
                records = self._api.records_of(dataset_id, label, some)
                # Where somebody changed the metadata by which a record is found, a whole reading finds it.
                self._unfound |= not {record["external_id"] for record in records}.issuperset(some)
                authors = {raw["user_id"] for record in records for raw in record["responses"]}
                if not authors <= self._usernames.keys():
                    self._ask_who_is_there()
                self._keep(records, dataset_id, Counter())

    def _look_around(self) -> None:
        """What is needed to understand a response: our datasets, people's names."""
        rows = self._ledger.rows("select distinct dataset from pushes where server = ?", self._api.server)
        ours = {row["dataset"] for row in rows}
        self._workspaces = {dataset.id: dataset.workspace for dataset in self._api.datasets() if dataset.id in ours}
        self._ask_who_is_there()

    def _ask_who_is_there(self) -> None:
        self._usernames = {account.id: account.username for account in self._api.accounts()}

    def _keep(self, records: Iterable[Mapping[str, Any]], dataset_id: str, news: Counter[str]) -> set[str]:
        """Keep what records of one dataset tell, and count by item what is news; returns the items that they are."""
        records = list(records)
        items = {item.id: item for item in self._ledger.items(ids=[record["external_id"] for record in records])}
        ours = {record["external_id"] for record in records if record["external_id"] in items}
        gone, forgets = self._ledger.about_forgotten(ours), self._ledger.forgets()
        own = [record for record in records if record["external_id"] in ours - gone]
        item_of = {record["id"]: record["external_id"] for record in own}
        texts = self._ledger.mark_texts(self._api.server, _changed_texts(self._ledger, own, items), item_of)
        country = country_of(self._workspaces[dataset_id])
        known = self._ledger.responses_of(self._api.server, {record["external_id"] for record in own})
        before = {response.response_id: response for response in known}
        erase = forgotten_lines(self._ledger)
        found = [
            replace(response, raw=erase(items[response.item_id], country, response.raw))
            if items[response.item_id].task == SHARE
            else response
            for record in own
            for response in _responses(record, self._usernames, country)
        ]
        # Where Argilla did not say which responses there are, none was taken back.
        read = {record["id"] for record in own if "responses" in record}
        there = {response.response_id for response in found}
        deleted = _deleted(before, there, read, set(self._usernames))
        if deleted:  # Perhaps somebody was deleted since we asked, and what they had answered with them.
            self._ask_who_is_there()
            deleted = _deleted(before, there, read, set(self._usernames))
        differing = [
            response
            for response in found
            if (b := before.get(response.response_id)) != response
            and not (forgets(response.annotator) or (b and b.status == FORGOTTEN))
        ]
        fresh = [r for r in differing if (b := before.get(r.response_id)) is None or r.updated_at >= b.updated_at]
        self._ledger.add_responses(self._api.server, [*fresh, *deleted])
        news.update(response.item_id for response in [*fresh, *deleted])
        new = sum(response.response_id not in before for response in fresh)
        so_far = self.pulled
        self.pulled = replace(
            so_far,
            records=so_far.records + len(read),
            foreign=so_far.foreign + sum(record["external_id"] not in ours for record in records),
            new=so_far.new + new,
            edited=so_far.edited + len(fresh) - new,
            deleted=so_far.deleted + len(deleted),
            texts=so_far.texts + texts,
            older=so_far.older + len(differing) - len(fresh),
        )
        return ours


def _changed_texts(ledger: Ledger, records: Iterable[Mapping[str, Any]], items: Mapping[str, Item]) -> set[str]:
    """Ids of the records that show other texts than were pushed for their items. A picture beside them is no text."""
    sent: dict[str, Mapping[str, Any]] = {}
    for name, task in TASKS.items():
        own = [item for item in items.values() if item.task == name]
        texts = replace(Texts.of(ledger, task, own), folder=None)
        sent |= {item.id: record_in_room(task, item, texts, None)["fields"] for item in own}

    def shown(record: Mapping[str, Any]) -> dict[str, Any]:
        picture = PICTURE if items[record["external_id"]].content.get(PICTURE) else ""
        return {name: text for name, text in record["fields"].items() if text is not None and name != picture}

    return {record["id"] for record in records if shown(record) != sent[record["external_id"]]}


def _responses(record: Mapping[str, Any], usernames: Mapping[str, str], country: str) -> Iterable[Response]:
    """What people answered to one record. The workspace tells the country of the team they answered for."""
    for raw in record.get("responses") or ():
        yield Response(
            response_id=raw["id"],
            item_id=record["external_id"],
            # Somebody who was deleted while we read: the id still tells people apart.
            annotator=usernames.get(raw["user_id"], raw["user_id"]),
            country=country,
            status=raw["status"],
            updated_at=utc_time(raw["updated_at"]),
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


def utc_time(moment: str) -> str:
    """A time of Argilla's, which tells UTC without saying so, as ISO 8601 with microseconds: sortable as text."""
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
