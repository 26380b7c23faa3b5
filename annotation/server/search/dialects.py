"""SQL dialects of SQLite and PostgreSQL, where SQLAlchemy has no common words; the text index aside."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

from argilla_server.models import Record
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Float,
    LargeBinary,
    SQLColumnExpression,
    String,
    Text,
    cast,
    event,
    func,
    literal,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.expression import TableValuedAlias

from annotation.server.search import indexes


class Dialect(Protocol):
    """How one kind of database says what SQLAlchemy has no common words for."""

    def elements(self, column: SQLColumnExpression[Any], *keys: str) -> TableValuedAlias:
        """The values at a place of a JSON column as rows of one column, `value`.

        A list gives a row per element, anything else one row, a missing key none. The keys come from
        the tables, where Argilla lets only letters, digits, `_` and `-` in.
        """

    def is_null(self, element: TableValuedAlias) -> ColumnElement[bool]:
        """Whether an element is JSON's null."""

    def as_text(self, element: TableValuedAlias) -> ColumnElement[str]:
        """An element as what a person would type."""

    def as_number(self, element: TableValuedAlias) -> ColumnElement[float]:
        """An element as a number."""

    def single(self, column: Any, type_: Any, *keys: str) -> ColumnElement[Any] | None:
        """The one value at a place of a JSON column, or LISTED, as an index has it; None without an index."""

    def shuffle(self, seed: str) -> ColumnElement[bytes]:
        """A random order of the records that only the seed decides."""

    def create_functions(self, connection: Connection) -> None:
        """Make the functions in the database that the expressions call."""

    async def begin_writing(self, session: AsyncSession) -> None:
        """Begin a transaction before which every other of `begin_writing` has ended, and whose reads see it."""

    def begin_writing_now(self, connection: Connection) -> None:
        """The same for a synchronous connection."""


class Sqlite:
    """SQLite, with the functions that it lacks written in Python."""

    def elements(self, column: SQLColumnExpression[Any], *keys: str) -> TableValuedAlias:
        """Through json_each, which takes a lone value for a list of one."""
        path = "$" + "".join(f'."{key}"' for key in keys)
        return func.json_each(column, path).table_valued("value", "type", joins_implicitly=True)

    def is_null(self, element: TableValuedAlias) -> ColumnElement[bool]:
        """By the type that json_each tells."""
        return element.c.type == "null"

    def as_text(self, element: TableValuedAlias) -> ColumnElement[str]:
        """The value has a type of its own."""
        return cast(element.c.value, Text)

    def as_number(self, element: TableValuedAlias) -> ColumnElement[float]:
        """A text counts by the number that it begins with."""
        return cast(element.c.value, Float)

    def single(self, column: Any, type_: Any, *keys: str) -> ColumnElement[Any] | None:
        """See `indexes.single`."""
        return indexes.single(column, type_, *keys)

    def shuffle(self, seed: str) -> ColumnElement[bytes]:
        """Through `_shuffle`."""
        return func.annot_shuffle(seed, Record.id, type_=LargeBinary)

    def create_functions(self, connection: Connection) -> None:
        """Nothing to do: `_prepare_sqlite` gives them to every connection."""

    async def begin_writing(self, session: AsyncSession) -> None:
        """SQLite has one writer at a time; it is asked for before anything is read."""
        await session.execute(text("BEGIN IMMEDIATE"))

    def begin_writing_now(self, connection: Connection) -> None:
        """The same for a synchronous connection."""
        connection.execute(text("BEGIN IMMEDIATE"))


class Postgresql:
    """PostgreSQL, 14 or newer."""

    # Any number will do that nobody else locks by.
    LOCK = 0x616E6E6F74

    def elements(self, column: SQLColumnExpression[Any], *keys: str) -> TableValuedAlias:
        """Through a JSON path, which in its lax mode takes a lone value for a list of one."""
        path = "lax $" + "".join(f'."{key}"' for key in keys) + "[*]"
        values = func.jsonb_path_query(func.annot_jsonb(column), cast(path, postgresql.JSONPATH))
        return values.table_valued("value", joins_implicitly=True).render_derived()

    def is_null(self, element: TableValuedAlias) -> ColumnElement[bool]:
        """By the type of the element."""
        return func.jsonb_typeof(element.c.value) == "null"

    def as_text(self, element: TableValuedAlias) -> ColumnElement[str]:
        """A text without its quotation marks."""
        # Ordered by letters' codes, as on SQLite and as in Elasticsearch.
        return cast(element.c.value.op("#>>")(cast([], postgresql.ARRAY(Text))), Text).collate("C")

    def as_number(self, element: TableValuedAlias) -> ColumnElement[float]:
        """A text counts if it is a number, else for nothing."""
        return func.annot_number(self.as_text(element), type_=Float)

    def single(self, column: Any, type_: Any, *keys: str) -> ColumnElement[Any] | None:  # noqa: ARG002
        """There is no such index: every record is read."""
        return None

    def shuffle(self, seed: str) -> ColumnElement[bytes]:
        """The digest of the seed and the record."""
        return func.md5(literal(seed, String) + cast(Record.id, Text))

    async def begin_writing(self, session: AsyncSession) -> None:
        """A lock that ends with the transaction; reads see what was committed before each of them."""
        await session.execute(select_lock(self.LOCK))

    def begin_writing_now(self, connection: Connection) -> None:
        """The same for a synchronous connection."""
        connection.execute(select_lock(self.LOCK))

    def create_functions(self, connection: Connection) -> None:
        """Make `annot_jsonb` and `annot_number`."""
        connection.exec_driver_sql(_FUNCTIONS)


def select_lock(number: int) -> Executable:
    """A statement that waits for a lock of PostgreSQL's."""
    return text("SELECT pg_advisory_xact_lock(:number)").bindparams(number=number)


# jsonb cannot hold everything that json can: NUL, and halves of surrogate pairs. One such record must not
# make every search of its dataset fail.
_FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION annot_jsonb(value json) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$ BEGIN
  RETURN value::jsonb;
EXCEPTION WHEN data_exception THEN
  RETURN regexp_replace(
    value::text, '(?<!\\)((?:\\\\)*)\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1\\ufffd', 'g'
  )::jsonb;
END $$;
CREATE OR REPLACE FUNCTION annot_number(value text) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN value ~ '^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,2})?\s*$' THEN value::double precision END
$$;
"""


def _shuffle(seed: str, record_id: str) -> bytes:
    """SQLite's `annot_shuffle`; see `Dialect.shuffle`."""
    return hashlib.blake2b(record_id.encode(), key=seed.encode()[:64], digest_size=8).digest()


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Every connection: readers and the writer do not wait for each other, and our functions exist."""
    if not hasattr(connection, "create_function"):
        return
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # What is answered with success is on the disk, also when the power goes: this is SQLite's own default, and costs a
    # fraction of a millisecond per transaction.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA cache_size = -8000")  # KB of pages per connection: the indexes that every queue reads
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()
    connection.create_function("annot_shuffle", 2, _shuffle, deterministic=True)
