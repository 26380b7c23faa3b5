"""The text index on SQLite: a table of its extension FTS5.

A column per field, so that a phrase stays in one; BM25 is FTS5's own. A word is stored with the number
of its dataset before it, `5:mole`, and every document has the bare number as a word of its own: "every
document but" needs something to be taken away from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    column,
    delete,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.words.text_query import Phrase, Query, Word
from annotation.server.words.text_tables import Entry, Place

# A field beyond them makes a document oversize.
MAX_FIELDS = 32
# More matches are not compared with each other: BM25 takes a microsecond for each. With so many, a word
# says nothing about a record any more.
MAX_RANKED = 10_000
# BM25 looks for the next of all words at every word that it finds: matches times the square of the words, 10 ns each.
MAX_LOOKS = 4_000_000

_COLUMNS = [f"field_{place}" for place in range(MAX_FIELDS)]
# rowid: the name of the key in every table of SQLite that has none of its own.
_text = table("annot_text", column("rowid"), column("dataset"), *map(column, _COLUMNS))

_TRIGGERS = """
CREATE TRIGGER IF NOT EXISTS annot_record_added AFTER INSERT ON records BEGIN
  INSERT INTO annot_stale (record_id, dataset_id) VALUES (NEW.id, NEW.dataset_id);
END;
CREATE TRIGGER IF NOT EXISTS annot_record_changed AFTER UPDATE OF id, fields, dataset_id ON records
WHEN OLD.fields IS NOT NEW.fields OR OLD.dataset_id <> NEW.dataset_id OR OLD.id <> NEW.id BEGIN
  INSERT INTO annot_stale (record_id, dataset_id) VALUES (OLD.id, OLD.dataset_id), (NEW.id, NEW.dataset_id);
END;
CREATE TRIGGER IF NOT EXISTS annot_record_removed AFTER DELETE ON records BEGIN
  INSERT INTO annot_stale (record_id, dataset_id) VALUES (OLD.id, OLD.dataset_id);
END;
CREATE TRIGGER IF NOT EXISTS annot_field_added AFTER INSERT ON fields BEGIN
  INSERT INTO annot_stale (record_id, dataset_id) SELECT id, dataset_id FROM records WHERE dataset_id = NEW.dataset_id;
END;
CREATE TRIGGER IF NOT EXISTS annot_field_changed AFTER UPDATE OF name, settings, dataset_id ON fields
WHEN OLD.name <> NEW.name OR OLD.settings IS NOT NEW.settings OR OLD.dataset_id <> NEW.dataset_id BEGIN
  INSERT INTO annot_stale (record_id, dataset_id)
  SELECT id, dataset_id FROM records WHERE dataset_id IN (OLD.dataset_id, NEW.dataset_id);
END;
CREATE TRIGGER IF NOT EXISTS annot_field_removed AFTER DELETE ON fields
WHEN EXISTS (SELECT 1 FROM datasets WHERE id = OLD.dataset_id) BEGIN
  INSERT INTO annot_stale (record_id, dataset_id) SELECT id, dataset_id FROM records WHERE dataset_id = OLD.dataset_id;
END;
"""


class Fts5Table:
    """See `text_tables.TextTable`."""

    number = _text.c.rowid

    def create(self, connection: Connection) -> None:
        """The tokenizer only splits at blanks; what a word is, `text_query` has decided."""
        columns = ", ".join(["dataset", *_COLUMNS])
        connection.exec_driver_sql(
            f"CREATE VIRTUAL TABLE annot_text USING fts5({columns}, tokenize = \"ascii tokenchars '_:'\")"
        )
        for trigger in _TRIGGERS.split("END;\n")[:-1]:
            connection.exec_driver_sql(trigger + "END")

    def drop(self, connection: Connection) -> None:
        """Remove the table and the triggers."""
        for line in _TRIGGERS.splitlines():
            if line.startswith("CREATE TRIGGER"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {line.split()[5]}")
        connection.exec_driver_sql("DROP TABLE IF EXISTS annot_text")

    async def remove(self, session: AsyncSession, numbers: Sequence[int]) -> None:
        """Forget documents."""
        await session.execute(delete(_text).where(_text.c.rowid.in_(numbers)))

    async def add(self, session: AsyncSession, entries: Sequence[Entry]) -> set[int]:
        """Put documents in; the numbers of those with more fields than there are columns."""
        rows = []
        for entry in entries:
            before = f"{entry.dataset}:"
            written = [" ".join([before + word for word in field]) or None for field in entry.fields[:MAX_FIELDS]]
            empty = [None] * (MAX_FIELDS - len(written))
            rows.append((entry.number, before, *written, *empty))
        # Not through SQLAlchemy's insert(): what it does with every value takes as long as what SQLite does.
        columns = ", ".join(["rowid", "dataset", *_COLUMNS])
        marks = ", ".join("?" * (MAX_FIELDS + 2))
        connection = await session.connection()
        await connection.exec_driver_sql(f"INSERT INTO annot_text ({columns}) VALUES ({marks})", rows)
        return {entry.number for entry in entries if len(entry.fields) > MAX_FIELDS}

    async def learn(self, session: AsyncSession, dataset: int, spelt: str) -> None:
        """Add what is new to `annot_words`."""
        new = "INSERT OR IGNORE INTO annot_words (dataset, word) SELECT :dataset, value FROM json_each(:spelt)"
        await session.execute(text(new), {"dataset": dataset, "spelt": spelt})

    async def prepare(self, session: AsyncSession) -> None:
        """Nothing to do."""

    def matching(self, query: Query, place: Place, near: Callable[[Word], Sequence[str]]) -> Select[Any]:
        """The numbers of the documents that match, through FTS5's own language."""
        written = query.write(_Fts5Language(place, near))
        matches = text("annot_text MATCH :annot_query").bindparams(annot_query=written)
        return select(_text.c.rowid.label("number")).select_from(_text).where(matches)

    async def relevance(
        self,
        session: AsyncSession,  # noqa: ARG002
        query: Query,
        place: Place,  # noqa: ARG002
        near: Callable[[Word], Sequence[str]],  # noqa: ARG002
        matches: int,
    ) -> ColumnElement[float] | None:
        """BM25, which FTS5 gives as a number below 0."""
        if matches > MAX_RANKED or matches * len(query.leaves) ** 2 > MAX_LOOKS:
            return None
        return literal_column("-bm25(annot_text)", Float)


class _Fts5Language:
    """A query as FTS5 has it; see `text_query.Language`. No word has a quotation mark in it."""

    def __init__(self, place: Place, near: Callable[[Word], Sequence[str]]) -> None:
        self._dataset = place.dataset
        self._columns = " ".join(_COLUMNS[field] for field in place.fields if field < MAX_FIELDS)
        self._near = near

    def leaf(self, step: Word | Phrase) -> str:
        return f"{{{self._columns}}} : ({self._words(step)})"

    def _words(self, step: Word | Phrase) -> str:
        if isinstance(step, Phrase):
            written = [f"{self._dataset}:{word}" for word in step.words]
            if not step.slop:
                return f'"{" ".join(written)}"'
            # FTS5 counts the words between the first and the last.
            quoted = " ".join([f'"{word}"' for word in written])
            return f"NEAR({quoted}, {step.window - 2})"
        if step.distance:
            # Without a dataset's number before it, a word is in no document.
            return " OR ".join([f'"{self._dataset}:{word}"' for word in self._near(step)]) or '"nothing"'
        return f'"{self._dataset}:{step.word}"' + (" *" if step.prefix else "")

    def every(self, parts: Sequence[str]) -> str:
        return f"({' AND '.join(parts)})"

    def some(self, parts: Sequence[str]) -> str:
        return f"({' OR '.join(parts)})"

    def without(self, kept: str, removed: str) -> str:
        return f"({kept} NOT {removed})"

    def everything(self) -> str:
        return f'dataset : "{self._dataset}:"'
