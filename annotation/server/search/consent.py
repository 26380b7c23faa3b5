"""Consent: records that may hurt are shown to those alone who consented, so many in 24 hours, until a person stops.

What is guarded, and where people consent, stands in the metadata of Argilla's datasets, as
`annotation.tasks.form.Form.rules` has it. A consent counts in its own workspace alone.

    annot_shown    which records a person was sent, and when; kept for as long as that counts
    annot_stops    when a person last stopped, by workspace: a stop outlives its record, which may be taken away

A record counts when it is sent to a person, whether they answer it or not: else several datasets would each show as
many, and one more for every record that others complete.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from argilla_server.enums import RecordStatus, ResponseStatus, ResponseStatusFilter
from argilla_server.models import Dataset, Record, Response, User
from argilla_server.search_engine import AndFilter, RecordFilterScope, ResponseFilterScope, TermsFilter
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    MetaData,
    Table,
    Uuid,
    delete,
    event,
    false,
    insert,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.mutable import MutableDict

from annotation.server import triggers
from annotation.server.search.conditions import Conditions, Schema, not_ones_own
from annotation.server.search.dialects import Dialect
from annotation.server.search.queue_order import Page, read_queue
from annotation.server.search.side_sessions import SideSession

GUARD, CONSENT = "annot_guard", "annot_consent"
DAY = timedelta(hours=24)

_tables = MetaData()
shown = Table(
    "annot_shown",
    _tables,
    Column("user_id", Uuid, primary_key=True),
    Column("record_id", Uuid, primary_key=True),
    Column("at", DateTime, nullable=False),
    sqlite_with_rowid=False,
)
stops = Table(
    "annot_stops",
    _tables,
    Column("user_id", Uuid, primary_key=True),
    Column("workspace_id", Uuid, primary_key=True),
    Column("at", DateTime, nullable=False),
    sqlite_with_rowid=False,
)

_STOP = """
INSERT INTO annot_stops (user_id, workspace_id, at)
SELECT NEW.user_id, datasets.workspace_id, NEW.updated_at
FROM records JOIN datasets ON datasets.id = records.dataset_id
WHERE records.id = NEW.record_id AND {chosen} = {stop}
ON CONFLICT (user_id, workspace_id) DO UPDATE SET at = excluded.at;
"""
_IN_SQLITE = {
    "chosen": """json_extract(NEW."values", '$."' || json_extract(datasets.metadata, '$.annot_guard.question')
      || '".value')""",
    "stop": "json_extract(datasets.metadata, '$.annot_guard.stop')",
}
_IN_POSTGRESQL = {
    "chosen": "annot_jsonb(NEW.values) -> (datasets.metadata -> 'annot_guard' ->> 'question') ->> 'value'",
    "stop": "(datasets.metadata -> 'annot_guard' ->> 'stop')",
}

# Argilla changes a dataset's metadata where it stands, and SQLAlchemy stores a change that it hears of.
MutableDict.associate_with_attribute(Dataset.metadata_)


@event.listens_for(Response.values, "set")
def _given_again(response: Response, *_: Any) -> None:
    """Whoever gives the same answer again where people consent consents anew: SQLAlchemy would store no such change."""
    dataset = vars(vars(response).get("record", response)).get("dataset")
    if dataset is not None and CONSENT in (dataset.metadata_ or {}):
        response.updated_at = datetime.utcnow()


class Guard(BaseModel):
    """The rule of a guarded dataset; see `annotation.tasks.form.Guard`."""

    KEY: ClassVar[str] = GUARD

    question: str
    stop: str
    most_a_day: int = Field(ge=0)


class Consent(BaseModel):
    """The rule of a dataset in which people consent: the option of a question by which they do."""

    KEY: ClassVar[str] = CONSENT

    question: str
    option: str


M = TypeVar("M", Guard, Consent)


class Why(StrEnum):
    """Whether a person may see what is guarded in a workspace, or why not."""

    OPEN = "open"
    NOBODY_ASKS = "nobody_asks"  # there is no dataset to consent in
    NO_CONSENT = "no_consent"
    STOPPED = "stopped"


def set_up(connection: Connection) -> None:
    """Make the tables and triggers where they are missing, and forget what counts no more."""
    _tables.create_all(connection)
    noted = _STOP.format(**(_IN_POSTGRESQL if connection.dialect.name == "postgresql" else _IN_SQLITE))
    for name, when in (("annot_stop_added", "INSERT ON responses"), ("annot_stop_changed", "UPDATE ON responses")):
        triggers.create(connection, name, when, noted)
    connection.execute(delete(shown).where(shown.c.at <= _a_day_ago()))


def is_guarded(dataset: Dataset) -> bool:
    """Whether its records are shown to those alone who consented."""
    return GUARD in (dataset.metadata_ or {})


@dataclass(frozen=True)
class Standing:
    """How a person stands to what is guarded in a workspace.

    Attributes:
        why: Whether they may see it.
        asks: The dataset in which they consent; None where there is none.
        answer: Status of their answer there.
    """

    why: Why
    asks: UUID | None = None
    answer: str = ResponseStatusFilter.pending

    @classmethod
    async def read(cls, session: AsyncSession, workspace_id: UUID, user_id: UUID) -> Standing:
        """By their newest answer where people consent, and whether they stopped since."""
        of_workspace = select(Dataset.id, Dataset.metadata_).where(Dataset.workspace_id == workspace_id)
        datasets = [
            (id_, rules or {}) for id_, rules in await session.execute(of_workspace.order_by(Dataset.inserted_at))
        ]
        asking = {id_: consent for id_, rules in datasets if (consent := read_rule(Consent, rules))}
        if not asking:
            return cls(Why.NOBODY_ASKS)
        asked = (
            select(Record.dataset_id, Response.status, Response.values, Response.updated_at)
            .join(Record, Record.id == Response.record_id)
            .where(Record.dataset_id.in_(asking), Response.user_id == user_id)
            .order_by(Response.updated_at.desc())
        )
        newest = (await session.execute(asked.limit(1))).one_or_none()
        if newest is None:
            return cls(Why.NO_CONSENT, next(iter(asking)))
        there = newest.dataset_id, newest.status.value
        if newest.status != ResponseStatus.submitted or not _says(newest.values, asking[newest.dataset_id]):
            return cls(Why.NO_CONSENT, *there)
        stopped = select(stops.c.at).where(stops.c.user_id == user_id, stops.c.workspace_id == workspace_id)
        if await session.scalar(stopped.where(stops.c.at >= newest.updated_at)):
            return cls(Why.STOPPED, *there)
        return cls(Why.OPEN, *there)


@dataclass(frozen=True)
class Gate:
    """What of a guarded dataset a person may see in one search.

    Attributes:
        user_id: Of the person; None shows nothing.
        sent: Records that they were sent in the last 24 hours, of any dataset.
        new: The first of their queue that they were not, as many as are left for them.
        most_a_day: Of all guarded datasets.
    """

    user_id: UUID | None = None
    sent: frozenset[UUID] = frozenset()
    new: frozenset[UUID] = frozenset()
    most_a_day: int = 0

    @classmethod
    async def read(
        cls, session: AsyncSession, dialect: Dialect, dataset: Dataset, user_id: UUID, *, new: bool = True
    ) -> Gate:
        """As the person stands to it now; without records that they were not sent, unless `new`."""
        guard = read_rule(Guard, dataset.metadata_)
        standing = await Standing.read(session, dataset.workspace_id, user_id)
        if guard is None or standing.why is not Why.OPEN:
            return cls()
        sent = await read_sent(session, user_id)
        left = guard.most_a_day - len(sent)
        next_ = await read_next(session, dialect, dataset, user_id, sent, left) if new and left > 0 else ()
        return cls(user_id, frozenset(sent), frozenset(next_), guard.most_a_day)

    def visible(self, *, unanswered: bool) -> ColumnElement[bool]:
        """Whether a record is one of those, or one that they answered, which no search for the unanswered finds."""
        if self.user_id is None:
            return false()
        waiting = Record.id.in_(self.sent | self.new)
        answered = Record.id.in_(select(Response.record_id).where(Response.user_id == self.user_id))
        return waiting if unanswered else or_(waiting, answered)

    async def send(self, dialect: Dialect, records: Sequence[UUID]) -> set[UUID]:
        """Write down which records the person is sent; those of them that another request has left no room for."""
        new, user_id = [id_ for id_ in records if id_ in self.new], self.user_id
        if not new or user_id is None:
            return set()
        async with SideSession() as session:
            await dialect.begin_writing(session)
            await session.execute(delete(shown).where(shown.c.user_id == user_id, shown.c.at <= _a_day_ago()))
            sent = await read_sent(session, user_id)
            fresh = [id_ for id_ in new if id_ not in sent]
            admitted = fresh[: max(0, self.most_a_day - len(sent))]
            if admitted:
                now = datetime.utcnow()
                rows = [{"user_id": user_id, "record_id": id_, "at": now} for id_ in admitted]
                await session.execute(insert(shown), rows)
            await session.commit()
        return set(fresh) - set(admitted)


async def read_next(
    session: AsyncSession, dialect: Dialect, dataset: Dataset, user_id: UUID, sent: Collection[UUID], most: int
) -> list[UUID]:
    """The first records of a person's queue that they were not sent yet."""
    user = await User.get_or_raise(session, user_id)
    waiting = AndFilter(
        [
            TermsFilter(ResponseFilterScope(property="status", user=user), [ResponseStatusFilter.pending]),
            TermsFilter(RecordFilterScope(property="status"), [RecordStatus.pending]),
        ]
    )
    schema = await Schema.read(session, dataset.id)
    wanted = Conditions(schema, dialect).filter(waiting), *not_ones_own(schema, waiting), Record.id.not_in(sent)
    matching = select(Record.id).where(Record.dataset_id == dataset.id, *wanted)
    return await read_queue(session, dataset.id, matching, Record.inserted_at, str(user_id), Page(0, most))


async def read_sent(session: AsyncSession, user_id: UUID) -> set[UUID]:
    """The records that a person was sent in the last 24 hours."""
    mine = select(shown.c.record_id).where(shown.c.user_id == user_id, shown.c.at > _a_day_ago())
    return set(await session.scalars(mine))


def _a_day_ago() -> datetime:
    return datetime.utcnow() - DAY  # Argilla's own times are UTC without a zone


def read_rule(model: type[M], metadata: Mapping[str, Any] | None) -> M | None:
    """A rule in a dataset's metadata; None where there is none, or one that cannot be read."""
    try:
        return model.model_validate((metadata or {}).get(model.KEY))
    except ValidationError:
        return None


def _says(values: Any, consent: Consent) -> bool:
    return bool(values) and (values.get(consent.question) or {}).get("value") == consent.option
