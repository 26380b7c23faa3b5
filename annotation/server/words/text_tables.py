"""The side tables of the text index, which can be made again from Argilla's.

annot_documents   a number for every record whose words are in the index
annot_text        its words: a table of FTS5 on SQLite (`fts5.py`), of tsvector on PostgreSQL (`tsvector.py`)
annot_words       every word once per dataset, to find those that are spelt almost alike
annot_datasets    a number for every dataset; all its words begin with it, so that a search never
meets the words of another dataset, and one with few records is searched quickly
annot_stale       the records that have changed since they were put into the index
annot_layout      how the tables were made
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.words.text_query import Query, Word

_Number = BigInteger().with_variant(Integer, "sqlite")
tables = MetaData()
datasets = Table(
    "annot_datasets",
    tables,
    Column("number", Integer, primary_key=True),
    Column("dataset_id", Uuid, nullable=False, unique=True),
)
documents = Table(
    "annot_documents",
    tables,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("record_id", Uuid, nullable=False, unique=True),
    Column("dataset_id", Uuid, nullable=False, index=True),
    # The database's index cannot hold all of it: a search reads its text.
    Column("oversize", Boolean, nullable=False),
)
Index(
    "annot_documents_oversize",
    documents.c.dataset_id,
    sqlite_where=text("oversize = 1"),  # as a query writes it: only then SQLite takes the index
    postgresql_where=documents.c.oversize,
)
words = Table(
    "annot_words",
    tables,
    Column("dataset", Integer, primary_key=True, autoincrement=False),
    Column("word", String, primary_key=True),
    sqlite_with_rowid=False,
)
# Rows are only added and removed: a change that is not committed yet never hides behind a note that is.
stale = Table(
    "annot_stale",
    tables,
    Column("number", _Number, primary_key=True),
    Column("record_id", Uuid, nullable=False),
    Column("dataset_id", Uuid, nullable=False, index=True),
    sqlite_autoincrement=True,
)
layout = Table("annot_layout", tables, Column("version", String, primary_key=True))


@dataclass(frozen=True)
class Entry:
    """What the index is told of a record: its words, field by field in the order of the dataset's."""

    number: int
    dataset: int
    fields: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Place:
    """Where a query looks: a dataset, and the places of some of its fields."""

    dataset: int
    fields: Sequence[int]


class TextTable(Protocol):
    """The table `annot_text` of one kind of database."""

    @property
    def number(self) -> ColumnElement[int]:
        """Its column with the number of the document."""

    def create(self, connection: Connection) -> None:
        """Make the table, and the triggers."""

    def drop(self, connection: Connection) -> None:
        """Remove both."""

    async def remove(self, session: AsyncSession, numbers: Sequence[int]) -> None:
        """Forget documents."""

    async def add(self, session: AsyncSession, entries: Sequence[Entry]) -> set[int]:
        """Put documents in; the numbers of those that do not fit."""

    async def learn(self, session: AsyncSession, dataset: int, spelt: str) -> None:
        """Add what is new to `annot_words`; `spelt` is a JSON list of words."""

    async def prepare(self, session: AsyncSession) -> None:
        """Get a session ready to search."""

    def matching(self, query: Query, place: Place, near: Callable[[Word], Sequence[str]]) -> Select[Any]:
        """The numbers of the documents that match a query which is not empty; `near` are a word's neighbours."""

    async def relevance(
        self, session: AsyncSession, query: Query, place: Place, near: Callable[[Word], Sequence[str]], matches: int
    ) -> ColumnElement[float] | None:
        """How well a row of `annot_text` answers, more than 0; None where so many are too many to compare."""
