"""Seats: who has a place at which record of a dataset whose records are assigned, kept beside Argilla's tables.

    annot_rooms      the datasets of which this is known; whoever changes seats of one changes its row first
    annot_places     their records: what decides who gets them, how many seats are taken, how many answers are submitted
    annot_seats      a row for each record and person: sent and not answered yet, or answered
    annot_visits     until when a person's seats without a submitted answer are held
    annot_standing   how many records of a group have so many seats taken and so many answers: nothing has to be counted
    annot_uncounted  people whose seats and answers are no seats and answers of the records: others are asked instead

A seat is taken (`holds`) by a submitted answer, and for a while by being sent a record and by a draft; not by an answer
that was discarded. Triggers keep all of it right within the transaction that answers, adds or removes, whoever does it.
The row of the room makes those transactions of a dataset follow one another, on PostgreSQL too.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server import triggers

MOST_HELD = 50
"""Records that a person is sent and has not answered, at most: whoever pages on takes no more away from others."""

_tables = MetaData()
rooms = Table(
    "annot_rooms",
    _tables,
    Column("dataset_id", Uuid, primary_key=True),
    Column("number", Integer, nullable=False),  # grows: the order in which seats are given
    Column("secret", String, nullable=False),  # decides where control records come
    sqlite_with_rowid=False,
)
places = Table(
    "annot_places",
    _tables,
    Column("record_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False),
    Column("control", Integer, nullable=False),  # 1 or 0
    Column("topic", String, nullable=False),
    Column("language", String, nullable=False),
    Column("author", String, nullable=False),
    Column("inserted_at", DateTime, nullable=False),
    Column("taken", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
    Index("annot_places_next", *["dataset_id", "control", "topic", "language", "taken", "inserted_at", "record_id"]),
    Index("annot_places_author", *["dataset_id", "control", "author", "language", "taken", "answered"]),
    sqlite_with_rowid=False,
)
seats = Table(
    "annot_seats",
    _tables,
    Column("record_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False),
    Column("control", Integer, nullable=False),
    Column("answer", String, nullable=False),  # status of the answer; "": none yet
    Column("holds", Integer, nullable=False),  # 1 or 0
    Column("number", Integer, nullable=False),
    Column("at", DateTime, nullable=False),  # when it was first submitted, else when it last changed
    Index("annot_seats_person", *["user_id", "dataset_id", "answer", "control", "holds", "number", "at", "record_id"]),
    sqlite_with_rowid=False,
)
visits = Table(
    "annot_visits",
    _tables,
    Column("dataset_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("until", DateTime, nullable=False),
    sqlite_with_rowid=False,
)
uncounted = Table(
    "annot_uncounted",
    _tables,
    Column("dataset_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    sqlite_with_rowid=False,
)
standing = Table(
    "annot_standing",
    _tables,
    *(Column(name, Uuid if name == "dataset_id" else Integer, primary_key=True) for name in ("dataset_id", "control")),
    *(Column(name, String, primary_key=True) for name in ("topic", "language")),
    *(Column(name, Integer, primary_key=True) for name in ("taken", "answered")),
    Column("records", Integer, nullable=False),
    sqlite_with_rowid=False,
)

_MORE = (
    "INSERT INTO annot_standing (dataset_id, control, topic, language, taken, answered, records) "
    "VALUES (NEW.dataset_id, NEW.control, NEW.topic, NEW.language, NEW.taken, NEW.answered, 1) "
    "ON CONFLICT (dataset_id, control, topic, language, taken, answered) "
    "DO UPDATE SET records = annot_standing.records + 1;"
)
_FEWER = (
    "UPDATE annot_standing SET records = records - 1 WHERE dataset_id = OLD.dataset_id AND control = OLD.control "
    "AND topic = OLD.topic AND language = OLD.language AND taken = OLD.taken AND answered = OLD.answered;"
)
_SUBMITTED = "(CASE WHEN {row}.answer = 'submitted' THEN 1 ELSE 0 END)"
_SEATED = (
    "UPDATE annot_places SET taken = taken + {holds}, answered = answered + {answers} "
    "WHERE record_id = {row}.record_id AND NOT EXISTS "
    "(SELECT 1 FROM annot_uncounted WHERE dataset_id = {row}.dataset_id AND user_id = {row}.user_id);"
)
_NEW, _OLD = _SUBMITTED.format(row="NEW"), _SUBMITTED.format(row="OLD")
_THEIRS = "FROM annot_seats AS own WHERE own.user_id = {row}.user_id AND own.dataset_id = {row}.dataset_id"
_COUNTED = (
    "UPDATE annot_places SET "
    f"taken = taken {{sign}} (SELECT own.holds {_THEIRS} AND own.record_id = annot_places.record_id), answered = "
    f"answered {{sign}} (SELECT {_SUBMITTED.format(row='own')} {_THEIRS} AND own.record_id = annot_places.record_id) "
    f"WHERE record_id IN (SELECT own.record_id {_THEIRS});"
)
_ONE_BY_ONE = "UPDATE annot_rooms SET number = number + 1 WHERE dataset_id = {dataset};"
_OF_RECORD = _ONE_BY_ONE.format(dataset="(SELECT dataset_id FROM annot_places WHERE record_id = {row}.record_id)")
_SEAT = "record_id, user_id, dataset_id, control, answer, holds, number, at"
_PLACE = "record_id, dataset_id, control, topic, language, author, inserted_at, taken, answered"
_ANSWERED = f"""
INSERT INTO annot_seats ({_SEAT})
SELECT NEW.record_id, NEW.user_id, dataset_id, control, CAST(NEW.status AS VARCHAR),
  CASE WHEN NEW.status = 'submitted' THEN 1 ELSE 0 END, 0, NEW.updated_at
FROM annot_places WHERE record_id = NEW.record_id
ON CONFLICT (record_id, user_id) DO UPDATE SET answer = excluded.answer,
  holds = CASE excluded.answer WHEN 'submitted' THEN 1 WHEN 'discarded' THEN 0 ELSE annot_seats.holds END,
  at = CASE WHEN annot_seats.answer = excluded.answer THEN annot_seats.at ELSE excluded.at END;
"""
_TRIGGERS = {
    "annot_seat_added": ("INSERT ON annot_seats", _SEATED.format(holds="NEW.holds", answers=_NEW, row="NEW")),
    "annot_seat_changed": (
        "UPDATE ON annot_seats",
        _SEATED.format(holds="NEW.holds - OLD.holds", answers=f"{_NEW} - {_OLD}", row="NEW"),
    ),
    "annot_seat_removed": (
        "DELETE ON annot_seats",
        _SEATED.format(holds="(0 - OLD.holds)", answers=f"(0 - {_OLD})", row="OLD"),
    ),
    "annot_person_uncounted": ("INSERT ON annot_uncounted", _COUNTED.format(sign="-", row="NEW")),
    "annot_person_counted": ("DELETE ON annot_uncounted", _COUNTED.format(sign="+", row="OLD")),
    "annot_place_added": ("INSERT ON annot_places", _MORE),
    "annot_place_changed": ("UPDATE ON annot_places", _FEWER + _MORE),
    "annot_place_removed": ("DELETE ON annot_places", _FEWER),
    "annot_seat_answered": ("INSERT ON responses", _OF_RECORD.format(row="NEW") + _ANSWERED),
    "annot_seat_answered_again": ("UPDATE ON responses", _OF_RECORD.format(row="NEW") + _ANSWERED),
    "annot_seat_unanswered": (
        "DELETE ON responses",
        _OF_RECORD.format(row="OLD")
        + "DELETE FROM annot_seats WHERE record_id = OLD.record_id AND user_id = OLD.user_id;",
    ),
    "annot_room_filled": (
        "INSERT ON records",
        _ONE_BY_ONE.format(dataset="NEW.dataset_id")
        + f"INSERT INTO annot_places ({_PLACE}) SELECT NEW.id, NEW.dataset_id, {{new}}, NEW.inserted_at, 0, 0 "
        "FROM annot_rooms WHERE dataset_id = NEW.dataset_id;",
    ),
    "annot_room_described": (
        "UPDATE OF metadata ON records",
        _ONE_BY_ONE.format(dataset="NEW.dataset_id")
        + "UPDATE annot_places SET (control, topic, language, author) = ({new}) WHERE record_id = NEW.id; "
        "UPDATE annot_seats SET control = (SELECT control FROM annot_places WHERE record_id = NEW.id) "
        "WHERE record_id = NEW.id AND control <> (SELECT control FROM annot_places WHERE record_id = NEW.id);",
    ),
    "annot_room_emptied": (
        "DELETE ON records",
        _ONE_BY_ONE.format(dataset="OLD.dataset_id")
        + "DELETE FROM annot_seats WHERE record_id = OLD.id; DELETE FROM annot_places WHERE record_id = OLD.id;",
    ),
    "annot_room_removed": (
        "DELETE ON datasets",
        "".join(
            f"DELETE FROM {table} WHERE dataset_id = OLD.id;"
            for table in ("annot_visits", "annot_standing", "annot_uncounted", "annot_rooms")
        ),
    ),
}


def set_up(connection: Connection) -> None:
    """Make the tables and triggers where they are missing; begin anew if answers came while there were none."""
    _tables.create_all(connection)
    if not _TRIGGERS.keys() <= triggers.known(connection).keys():
        for table in (seats, places, visits, standing, uncounted, rooms):
            connection.execute(delete(table))
    described = ", ".join(_described(connection.dialect.name, "NEW"))
    for name, (when, then) in _TRIGGERS.items():
        triggers.create(connection, name, when, then.replace("{new}", described))


def _described(dialect: str, row: str) -> tuple[str, ...]:
    """The columns of a place that a record's metadata says, as SQL."""

    def said(name: str) -> str:
        if dialect == "postgresql":
            return f"coalesce(annot_jsonb({row}.metadata) ->> '{name}', '')"
        return f"coalesce(CASE WHEN json_valid({row}.metadata) THEN json_extract({row}.metadata, '$.{name}') END, '')"

    control = f"CASE WHEN {said('purpose')} = 'control' THEN 1 ELSE 0 END"
    return control, said("topic"), said("language"), said("author")


def insert_into(session: AsyncSession, table: Table) -> Any:
    """An INSERT of the session's database, which may say what happens on a conflict."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name](table)


async def lock(session: AsyncSession, dataset_id: UUID) -> int:
    """Have this transaction alone change seats of a dataset until it ends.

    The first time, what the dataset holds is written down: 100,000 records take some seconds.

    Returns:
        The first of MOST_HELD numbers that no seat has yet.
    """
    rise = update(rooms).where(rooms.c.dataset_id == dataset_id).values(number=rooms.c.number + MOST_HELD)
    number = await session.scalar(rise.returning(rooms.c.number))
    if number is None:
        await _begin(session, dataset_id)
        number = await session.scalar(rise.returning(rooms.c.number))
        assert number is not None
    return int(number) - MOST_HELD


async def _begin(session: AsyncSession, dataset_id: UUID) -> None:
    made = insert_into(session, rooms).values(dataset_id=dataset_id, number=0, secret=secrets.token_hex(16))
    if not (await session.execute(made.on_conflict_do_nothing().returning(rooms.c.number))).all():
        return  # another request has just done it
    if session.get_bind().dialect.name == "postgresql":
        # Records and answers that are being added know nothing of this yet: their transactions end first.
        await session.execute(text("LOCK TABLE records, responses IN SHARE ROW EXCLUSIVE MODE"))
    described = _described(session.get_bind().dialect.name, "records")
    taken = "(SELECT coalesce(sum(holds), 0) FROM annot_seats WHERE record_id = records.id)"
    for statement in (
        f"""INSERT INTO annot_seats ({_SEAT})
            SELECT responses.record_id, responses.user_id, records.dataset_id, {described[0]},
              CAST(responses.status AS VARCHAR), CASE WHEN responses.status = 'submitted' THEN 1 ELSE 0 END, 0,
              responses.updated_at
            FROM records JOIN responses ON responses.record_id = records.id WHERE records.dataset_id = :dataset""",
        f"""INSERT INTO annot_places ({_PLACE})
            SELECT records.id, records.dataset_id, {", ".join(described)}, records.inserted_at, {taken}, {taken}
            FROM records WHERE records.dataset_id = :dataset""",
    ):
        await session.execute(text(statement).bindparams(bindparam("dataset", dataset_id, type_=Uuid)))


async def count_all_but(session: AsyncSession, dataset_id: UUID, people: Set[UUID]) -> None:
    """Have the seats and answers of these people take nothing away from others, and those of all others; locked."""
    now = set(await session.scalars(select(uncounted.c.user_id).where(uncounted.c.dataset_id == dataset_id)))
    if again := now - people:
        of_dataset = uncounted.c.dataset_id == dataset_id
        await session.execute(delete(uncounted).where(of_dataset, uncounted.c.user_id.in_(again)))
    if more := people - now:
        rows = [{"dataset_id": dataset_id, "user_id": user_id} for user_id in more]
        await session.execute(uncounted.insert(), rows)


async def lapse(session: AsyncSession, dataset_id: UUID, but: UUID) -> None:
    """Take back the seats of those whose time is over, but for the person who is here now; after `lock`."""
    over = visits.c.dataset_id == dataset_id, visits.c.until <= datetime.utcnow(), visits.c.user_id != but
    if gone := list(await session.scalars(select(visits.c.user_id).where(*over))):
        theirs = seats.c.user_id.in_(gone), seats.c.dataset_id == dataset_id
        await session.execute(delete(seats).where(*theirs, seats.c.answer == ""))
        drafts = update(seats).where(*theirs, seats.c.answer == "draft", seats.c.holds == 1)
        await session.execute(drafts.values(holds=0))
        await session.execute(delete(visits).where(*over))


async def renew(session: AsyncSession, dataset_id: UUID, user_id: UUID, minutes: int) -> None:
    """Hold a person's seats from now on for so long."""
    until = datetime.utcnow() + timedelta(minutes=minutes)
    held = insert_into(session, visits).values(dataset_id=dataset_id, user_id=user_id, until=until)
    await session.execute(held.on_conflict_do_update(index_elements=list(visits.primary_key), set_={"until": until}))


async def reserve(
    session: AsyncSession, dataset_id: UUID, user_id: UUID, records: Sequence[tuple[UUID, int]], number: int
) -> None:
    """Give a person seats at records (id, 1 for a control record), in this order, numbered from `number`; locked."""
    if records:
        shared = {"user_id": user_id, "dataset_id": dataset_id, "answer": "", "holds": 1, "at": datetime.utcnow()}
        rows = [
            {**shared, "record_id": record_id, "control": control, "number": number + place}
            for place, (record_id, control) in enumerate(records)
        ]
        await session.execute(seats.insert(), rows)
