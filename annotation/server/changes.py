"""The change feed: the records whose answers or texts have changed since somebody last asked, and those that are gone.

    annot_changes         every record that has changed, with the running number of its last change
    annot_change_notes    on PostgreSQL: changes without a number yet
    annot_feed            the database's half of the feed's id
    HOME/feed.json        the other half, which no backup holds, and the largest number that a reader was told

Triggers note every change within the transaction that makes it, whoever makes it. SQLite has one writer at a time, so
its triggers give the numbers, and these are committed in their order. On PostgreSQL transactions end in any order: a
number that is given within one may appear after a larger one was read. There the triggers only add notes, and whoever
reads first gives numbers to the notes that are committed, in one transaction at a time. Nobody who writes waits for
that, and no transaction that stays open holds it up.

Numbers mean nothing in another feed. The id is another one when the index is made again, when triggers were missing,
in another HOME, when the database has smaller numbers than a reader was told before (an old copy came back), and after
a start of PostgreSQL (which comes before a return to an earlier moment).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

from argilla_server.api.policies.v1 import WebhookPolicy, authorize
from argilla_server.database import AsyncSessionLocal, get_async_db
from argilla_server.models import Record, User
from argilla_server.security import auth
from fastapi import Depends, FastAPI, Query, Security
from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    SQLColumnExpression,
    String,
    Table,
    Uuid,
    delete,
    exists,
    extract,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server import triggers
from annotation.server.search.dialects import select_lock

MOST = 2_000
"""Records of one answer."""
MOST_GONE = 100_000
"""With more records in the feed that exist no more, a start begins a new one."""
LONGEST_S = 60.0
"""Longer waits are refused: proxies on the way give up."""
PAUSE_S = 0.1
"""Between two looks, while somebody waits."""

LOCK = 0x66656564  # any number that nobody else locks by, as in `dialects`

_Number = BigInteger().with_variant(Integer, "sqlite")
_tables = MetaData()
changes = Table(
    "annot_changes",
    _tables,
    Column("record_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False),
    Column("number", _Number, nullable=False, unique=True),
    sqlite_with_rowid=False,
)
notes = Table(
    "annot_change_notes",
    _tables,
    Column("number", _Number, primary_key=True),
    Column("record_id", Uuid, nullable=False),
    Column("dataset_id", Uuid, nullable=False),
)
identity = Table("annot_feed", _tables, Column("id", String, primary_key=True))

_NUMBERED = (
    "INSERT INTO annot_changes (record_id, dataset_id, number) SELECT {record}, {dataset}, "
    "(SELECT coalesce(max(number), 0) + 1 FROM annot_changes) {source} "
    "ON CONFLICT (record_id) DO UPDATE SET number = excluded.number, dataset_id = excluded.dataset_id;"
)
_NOTED = "INSERT INTO annot_change_notes (record_id, dataset_id) SELECT {record}, {dataset} {source};"
_ANSWERED = {"record": "id", "dataset": "dataset_id"}
_NEW = {**_ANSWERED, "source": "FROM records WHERE id = NEW.record_id"}
_OLD = {**_ANSWERED, "source": "FROM records WHERE id = OLD.record_id"}  # none where the record itself was removed
_LEFT = {**_ANSWERED, "source": "FROM records WHERE id = OLD.record_id AND OLD.record_id <> NEW.record_id"}
_SELF = {"record": "NEW.id", "dataset": "NEW.dataset_id", "source": "WHERE true"}
_GONE = {"record": "OLD.id", "dataset": "OLD.dataset_id", "source": "WHERE true"}
_TRIGGERS = {
    "annot_answer_added": ("INSERT ON responses", (_NEW,)),
    "annot_answer_changed": ("UPDATE ON responses", (_NEW, _LEFT)),
    "annot_answer_removed": ("DELETE ON responses", (_OLD,)),
    "annot_text_changed": ("UPDATE OF fields ON records", (_SELF,)),
    "annot_record_gone": ("DELETE ON records", (_GONE,)),
}

_GIVE_NUMBERS = text(
    """
    WITH taken AS (
      DELETE FROM annot_change_notes WHERE number IN (SELECT number FROM annot_change_notes ORDER BY number LIMIT 5000)
      RETURNING number, record_id, dataset_id
    ), newest AS (
      SELECT DISTINCT ON (record_id) record_id, dataset_id, number FROM taken ORDER BY record_id, number DESC
    )
    INSERT INTO annot_changes (record_id, dataset_id, number)
    SELECT record_id, dataset_id,
      (SELECT coalesce(max(number), 0) FROM annot_changes) + row_number() OVER (ORDER BY number)
    FROM newest
    ON CONFLICT (record_id) DO UPDATE SET number = excluded.number, dataset_id = excluded.dataset_id
    """
)


# --- the side of the database -------------------------------------------------------------------------


def set_up(connection: Connection) -> None:
    """Make the tables and triggers where they are missing; begin a new feed where one would be of no use."""
    if not _TRIGGERS.keys() <= triggers.known(connection).keys():
        _tables.drop_all(connection)
        _tables.create_all(connection)
        for name, (when, places) in _TRIGGERS.items():
            written = _NOTED if connection.dialect.name == "postgresql" else _NUMBERED
            triggers.create(connection, name, when, " ".join(written.format(**place) for place in places))
        if connection.dialect.name == "postgresql":
            emptied = "UPDATE annot_feed SET id = md5(random()::text);"
            triggers.create(connection, "annot_answers_emptied", "TRUNCATE ON responses", emptied, each="STATEMENT")
        begin_anew(connection)
    elif _count(connection, changes.c.record_id) > _count(connection, Record.id) + MOST_GONE:
        begin_anew(connection)


def begin_anew(connection: Connection) -> None:
    """Have every reader read everything."""
    if connection.dialect.name == "postgresql":
        connection.execute(select_lock(LOCK))
    for table in (changes, notes, identity):
        connection.execute(delete(table))
    connection.execute(insert(identity).values(id=secrets.token_hex(8)))


def _count(connection: Connection, key: SQLColumnExpression[UUID]) -> int:
    return connection.scalar(select(func.count(key))) or 0


# --- reading ------------------------------------------------------------------------------------------


class Change(BaseModel):
    """A record that was answered, that lost an answer, whose texts were changed, or that is gone."""

    record_id: UUID
    dataset_id: UUID
    external_id: str | None
    """None too where the record is gone."""


class Changes(BaseModel):
    """What happened after a number."""

    feed: str
    """Where the numbers count; with another one, everything has to be read."""
    last: int
    """The number to ask with next."""
    changes: list[Change]
    more: bool
    """Whether there is more already."""
    reset: bool
    """Whether what happened since is unknown: keep `feed` and `last`, then read everything."""
    guards: bool = True
    """This server shows what is guarded to those alone who consented (`search/consent.py`)."""
    assigns: bool = True
    """It hands out records by the rule of their dataset (`search/assignment.py`)."""


@dataclass(frozen=True)
class End:
    """Which feed it is, and its largest number."""

    feed: str
    number: int


class ChangeFeed:
    """The feed of one server; many requests may wait in it, of which one at a time asks the database."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looking: asyncio.Task[End] | None = None
        self._closed = False
        try:
            kept = json.loads(file.read_text())
            self._id, self._sent = str(kept["id"]), int(kept["told"])
        except (OSError, ValueError, KeyError, TypeError):
            self._begin_anew()  # the first start here, or something happened to the file

    def close(self) -> None:
        """Have everybody who waits be answered now."""
        self._closed = True

    async def read(self, after: int | None, feed: str | None, wait_s: float) -> Changes:
        """What happened after a number.

        Args:
            after: the `last` of the answer before; None at first.
            feed: the `feed` of that answer; None for whichever this is.
            wait_s: how long to wait while there is nothing.
        """
        until = time.monotonic() + wait_s
        end = await self._look()
        feed = feed or end.feed
        while after is not None and end == End(feed, after) and time.monotonic() < until and not self._closed:
            end = await self._look_soon()
        if after is None or after > end.number or feed != end.feed:
            found = Changes(feed=end.feed, last=end.number, changes=[], more=False, reset=True)
        else:
            found = await self._page(after, feed)
        self._remember(found.last)
        return found

    @staticmethod
    async def _page(after: int, feed: str) -> Changes:
        page = (
            select(changes, Record.external_id)
            .outerjoin(Record, Record.id == changes.c.record_id)
            .where(changes.c.number > after)
            .order_by(changes.c.number)
            .limit(MOST + 1)
        )
        async with AsyncSessionLocal() as session:
            rows = (await session.execute(page)).all()
        return Changes(
            feed=feed,
            last=rows[:MOST][-1].number if rows else after,
            changes=[
                Change(record_id=row.record_id, dataset_id=row.dataset_id, external_id=row.external_id)
                for row in rows[:MOST]
            ],
            more=len(rows) > MOST,
            reset=False,
        )

    async def _look_soon(self) -> End:
        """The end after a pause: one look for all who wait."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._pause_and_look())
        return await asyncio.shield(self._looking)

    async def _pause_and_look(self) -> End:
        await asyncio.sleep(PAUSE_S)
        return await self._look()

    async def _look(self) -> End:
        """The end as it is committed now."""
        sent = self._sent  # others may be sent more meanwhile
        async with AsyncSessionLocal() as session:
            half, number = await _read_end(session)
        if number < sent:
            self._begin_anew()
        return End(f"{half}-{self._id}", number)

    def _begin_anew(self) -> None:
        self._id, self._sent = secrets.token_hex(8), 0
        self._write()

    def _remember(self, sent: int) -> None:
        if sent > self._sent:
            self._sent = sent
            self._write()

    def _write(self) -> None:
        """Keep both, without waiting for the disk; without the file, everything is read once more."""
        beside = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk takes no answers either: nothing is told that is new
            beside.write_text(json.dumps({"id": self._id, "told": self._sent}))
            beside.replace(self._file)


async def _read_end(session: AsyncSession) -> tuple[str, int]:
    """The database's half of the id, and the largest number, when all that is committed has one."""
    number = func.coalesce(select(func.max(changes.c.number)).scalar_subquery(), 0)
    if session.get_bind().dialect.name == "sqlite":
        half, last = (await session.execute(select(identity.c.id, number))).one()
        return half, last
    started = extract("epoch", func.pg_postmaster_start_time())
    end = select(identity.c.id, started, number, exists(select(notes.c.number)))
    while True:
        half, start, last, without_number = (await session.execute(end)).one()
        if not without_number:
            return f"{half}-{start}", last
        await session.execute(select_lock(LOCK))
        await session.execute(_GIVE_NUMBERS)
        await session.commit()


# --- over HTTP ----------------------------------------------------------------------------------------


def serve(api: FastAPI, file: Path) -> ChangeFeed:
    """Answer `GET /annot/changes` in Argilla's API; its feed, whose half of the id is in a file."""
    change_feed = ChangeFeed(file)

    @api.get("/annot/changes", response_model=Changes, tags=["annot"])
    async def list_changes(
        *,
        db: Annotated[AsyncSession, Depends(get_async_db)],
        current_user: Annotated[User, Security(auth.get_current_user)],
        after: Annotated[int | None, Query(ge=0)] = None,
        feed: str | None = None,
        wait: Annotated[float, Query(ge=0, le=LONGEST_S)] = 0.0,
    ) -> Changes:
        """The records that have changed after a number, for owners; it waits while there are none."""
        await authorize(current_user, WebhookPolicy.list)  # as for webhooks: owners alone
        await db.close()  # while it waits, a request holds no connection
        return await change_feed.read(after, feed, wait)

    return change_feed
