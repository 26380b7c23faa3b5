"""How many records of each status every dataset has.

SQLite counts by going through an index, entry by entry, and everybody's page asks after every answer. So there triggers
keep the numbers in a side table, within the transaction that changes them and whoever makes it. PostgreSQL counts: a
row that everybody's transaction writes would have them wait for one another.
"""

from __future__ import annotations

from uuid import UUID

from argilla_server.models import Record
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Uuid, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

_tables = MetaData()
counts = Table(
    "annot_record_counts",
    _tables,
    Column("dataset_id", Uuid, primary_key=True),
    Column("status", String, primary_key=True),
    Column("records", Integer, nullable=False),
    sqlite_with_rowid=False,
)

_MORE = (
    "INSERT INTO annot_record_counts (dataset_id, status, records) VALUES (NEW.dataset_id, NEW.status, 1) "
    "ON CONFLICT (dataset_id, status) DO UPDATE SET records = records + 1;"
)
_FEWER = (
    "UPDATE annot_record_counts SET records = records - 1 WHERE dataset_id = OLD.dataset_id AND status = OLD.status;"
)
_CHANGES = {
    "counted": f"INSERT ON records BEGIN {_MORE} END",
    "recounted": "UPDATE OF status, dataset_id ON records WHEN OLD.status <> NEW.status "
    f"OR OLD.dataset_id <> NEW.dataset_id BEGIN {_FEWER} {_MORE} END",
    "discounted": f"DELETE ON records BEGIN {_FEWER} END",
}


def set_up(connection: Connection) -> None:
    """Make the table and the triggers where they are missing, and count all records once."""
    if connection.dialect.name != "sqlite":
        return
    _tables.create_all(connection)
    for name, change in _CHANGES.items():
        connection.execute(text(f"CREATE TRIGGER IF NOT EXISTS annot_record_{name} AFTER {change}"))
    connection.execute(counts.delete())
    everything = select(Record.dataset_id, Record.status, func.count()).group_by(Record.dataset_id, Record.status)
    connection.execute(counts.insert().from_select(["dataset_id", "status", "records"], everything))


async def count_records(session: AsyncSession, dataset_id: UUID) -> dict[str, int]:
    """The records of a dataset by their status; one that no record has may be missing."""
    if session.get_bind().dialect.name == "sqlite":
        await session.flush()  # SQLAlchemy does so only before it asks for one of its own classes
        counted = select(counts.c.status, counts.c.records).where(counts.c.dataset_id == dataset_id)
        return {status: records for status, records in await session.execute(counted) if records}
    counted = select(Record.status, func.count()).where(Record.dataset_id == dataset_id).group_by(Record.status)
    return {status.value: records for status, records in await session.execute(counted)}
