"""The text index on PostgreSQL: a column of type tsvector with a GIN index.

A word is stored with the numbers of its dataset and of its field before it, `5.0:mole`: so a phrase
stays in one field, and every field has the 16,383 places of a tsvector for itself. Every document has
the bare number of its dataset, `5`, as a word: "every document but" needs something to start from.
The words come from `text_query`, so that no configuration of PostgreSQL's text search has a say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.words.text_query import Phrase, Query, Word
from annotation.server.words.text_tables import Entry, Place

# What a tsvector can hold: places, of one word, in all (bytes, with room for the numbers before the words).
MAX_PLACE = 16_383
MAX_PLACES = 255
MAX_BYTES = 1_000_000
# More comparisons of a document with a word are not made: each takes 10 microseconds to unpack the tsvector.
MAX_RANKED = 5_000

_text = table("annot_text", column("number", BigInteger), column("words", TSVECTOR))

_TABLE = """
CREATE TABLE annot_text (number bigint PRIMARY KEY, words tsvector NOT NULL);
CREATE INDEX annot_text_words ON annot_text USING gin (words);
CREATE FUNCTION annot_near(document tsvector, wanted text[], span integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  WITH seen AS MATERIALIZED (
    SELECT lexeme, place FROM unnest(document) AS word (lexeme, places, weights), unnest(places) AS place
    WHERE lexeme = ANY (wanted)
  )
  SELECT EXISTS (SELECT 1 FROM seen AS start WHERE cardinality(wanted) = (
    SELECT count(DISTINCT lexeme) FROM seen WHERE place BETWEEN start.place AND start.place + span - 1
  ))
$$;
CREATE FUNCTION annot_record_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO annot_stale (record_id, dataset_id) VALUES (OLD.id, OLD.dataset_id);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO annot_stale (record_id, dataset_id) VALUES (NEW.id, NEW.dataset_id);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER annot_record_noted AFTER INSERT OR DELETE ON records
FOR EACH ROW EXECUTE FUNCTION annot_record_changed();
CREATE TRIGGER annot_record_changed AFTER UPDATE OF id, fields, dataset_id ON records FOR EACH ROW
WHEN ((OLD.id, OLD.dataset_id, OLD.fields::text) IS DISTINCT FROM (NEW.id, NEW.dataset_id, NEW.fields::text))
EXECUTE FUNCTION annot_record_changed();
CREATE FUNCTION annot_field_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO annot_stale (record_id, dataset_id)
    SELECT id, dataset_id FROM records WHERE dataset_id = NEW.dataset_id;
  END IF;
  IF TG_OP <> 'INSERT' AND EXISTS (SELECT 1 FROM datasets WHERE id = OLD.dataset_id) THEN
    INSERT INTO annot_stale (record_id, dataset_id)
    SELECT id, dataset_id FROM records WHERE dataset_id = OLD.dataset_id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER annot_field_noted AFTER INSERT OR DELETE ON fields
FOR EACH ROW EXECUTE FUNCTION annot_field_changed();
CREATE TRIGGER annot_field_changed AFTER UPDATE OF name, settings, dataset_id ON fields FOR EACH ROW
WHEN ((OLD.name, OLD.dataset_id, OLD.settings::text) IS DISTINCT FROM (NEW.name, NEW.dataset_id, NEW.settings::text))
EXECUTE FUNCTION annot_field_changed();
"""

_REMOVED = """
DROP FUNCTION IF EXISTS annot_record_changed() CASCADE;
DROP FUNCTION IF EXISTS annot_field_changed() CASCADE;
DROP FUNCTION IF EXISTS annot_near(tsvector, text[], integer);
DROP TABLE IF EXISTS annot_text;
"""


class TsvectorTable:
    """See `text_tables.TextTable`."""

    number = _text.c.number

    def create(self, connection: Connection) -> None:
        """Make the table, its index and the triggers."""
        connection.exec_driver_sql(_TABLE)

    def drop(self, connection: Connection) -> None:
        """Remove them; a function takes the triggers along that call it."""
        connection.exec_driver_sql(_REMOVED)

    async def remove(self, session: AsyncSession, numbers: Sequence[int]) -> None:
        """Forget documents."""
        await session.execute(delete(_text).where(_text.c.number.in_(numbers)))

    async def add(self, session: AsyncSession, entries: Sequence[Entry]) -> set[int]:
        """Put documents in; the numbers of those with more text than a tsvector holds."""
        oversize: set[int] = set()
        rows = []
        for entry in entries:
            written, whole = _tsvector(entry)
            rows.append({"number": entry.number, "tsquery": written})
            if not whole:
                oversize.add(entry.number)
        tsquery = cast(cast(bindparam("tsquery"), Text), TSVECTOR)
        await session.execute(insert(_text).values(number=bindparam("number"), words=tsquery), rows)
        return oversize

    async def learn(self, session: AsyncSession, dataset: int, spelt: str) -> None:
        """Add what is new to `annot_words`."""
        new = (
            "INSERT INTO annot_words (dataset, word) SELECT CAST(:dataset AS integer), spelt "
            "FROM jsonb_array_elements_text(CAST(CAST(:spelt AS text) AS jsonb)) AS spelt ON CONFLICT DO NOTHING"
        )
        await session.execute(text(new), {"dataset": dataset, "spelt": spelt})

    async def prepare(self, session: AsyncSession) -> None:
        """Have the index used: the planner does not know what it costs to unpack every tsvector."""
        await session.execute(text("SET LOCAL enable_seqscan = off"))

    def matching(self, query: Query, place: Place, near: Callable[[Word], Sequence[str]]) -> Select[Any]:
        """The numbers of the documents that match."""
        return select(_text.c.number.label("number")).where(_condition(query, place, near))

    async def relevance(
        self,
        session: AsyncSession,
        query: Query,
        place: Place,
        near: Callable[[Word], Sequence[str]],
        matches: int,
    ) -> ColumnElement[float] | None:
        """PostgreSQL's rank of every word, weighted by how rare the word is, as BM25 does.

        The weight is the inverse document frequency of Robertson and Zaragoza (2009), section 3.3.
        """
        leaves = list(dict.fromkeys(query.leaves))
        if matches * len(leaves) > MAX_RANKED:
            return None
        everything = await self._count(session, cast(str(place.dataset), TSQUERY))
        relevance: ColumnElement[float] = cast(0.000_001, Float)
        for leaf in leaves:
            wanted = cast(_Tsquery(place, near).leaf(leaf), TSQUERY)
            holding = await self._count(session, wanted)
            rarity = math.log(1 + (everything - holding + 0.5) / (holding + 0.5))
            # 1: a long text counts less, by the logarithm of its length.
            relevance = relevance + rarity * func.ts_rank(_text.c.words, wanted, cast(1, Integer), type_=Float)
        return relevance

    @staticmethod
    async def _count(session: AsyncSession, wanted: ColumnElement[Any]) -> int:
        found = select(func.count()).select_from(_text).where(_text.c.words.op("@@")(wanted))
        return await session.scalar(found) or 0


def _condition(query: Query, place: Place, near: Callable[[Word], Sequence[str]]) -> ColumnElement[bool]:
    """Whether a row matches: one tsquery, unless words are near each other, for which it has no word."""
    if any(isinstance(leaf, Phrase) and leaf.slop for leaf in query.leaves):
        return query.write(_Conditions(place, near))
    return _holds(query.write(_Tsquery(place, near)))


def _holds(tsquery: str) -> ColumnElement[bool]:
    return _text.c.words.op("@@", is_comparison=True)(cast(tsquery, TSQUERY))


class _Tsquery:
    """A query as a tsquery; see `text_query.Language`. No word has an apostrophe in it."""

    def __init__(self, place: Place, near: Callable[[Word], Sequence[str]]) -> None:
        self._place = place
        self._near = near

    def leaf(self, step: Word | Phrase) -> str:
        """In any of the fields; words that are near each other: all of them in one."""
        tsquery = []
        for field in self._place.fields:
            if isinstance(step, Phrase):
                joint = " & " if step.slop else " <-> "
                tsquery.append(f"({joint.join(map(_quoted, self.lexemes(field, step.words)))})")
            elif step.distance:
                tsquery += map(_quoted, self.lexemes(field, self._near(step)))
            else:
                tsquery += [
                    _quoted(lexeme) + (":*" if step.prefix else "") for lexeme in self.lexemes(field, [step.word])
                ]
        # Without a dataset's number before it, a word is in no document.
        return f"({' | '.join(tsquery) or 'nothing'})"

    def lexemes(self, field: int, words: Sequence[str]) -> list[str]:
        """Words of a field, as they are stored."""
        return [f"{self._place.dataset}.{field}:{word}" for word in words]

    def every(self, parts: Sequence[str]) -> str:
        return f"({' & '.join(parts)})"

    def some(self, parts: Sequence[str]) -> str:
        return f"({' | '.join(parts)})"

    def without(self, kept: str, removed: str) -> str:
        return f"({kept} & !{removed})"

    def everything(self) -> str:
        return f"'{self._place.dataset}'"


class _Conditions:
    """A query as an SQL condition, which can say `annot_near` as well."""

    def __init__(self, place: Place, near: Callable[[Word], Sequence[str]]) -> None:
        self._place = place
        self._words = _Tsquery(place, near)

    def leaf(self, step: Word | Phrase) -> ColumnElement[bool]:
        if isinstance(step, Word) or not step.slop:
            return _holds(self._words.leaf(step))
        in_a_field = []
        for field in self._place.fields:
            lexemes = self._words.lexemes(field, step.words)
            together = func.annot_near(_text.c.words, cast(lexemes, ARRAY(Text)), cast(step.window, Integer))
            in_a_field.append(and_(_holds(" & ".join(map(_quoted, lexemes))), together))
        return or_(*in_a_field)

    def every(self, parts: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
        return and_(*parts)

    def some(self, parts: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
        return or_(*parts)

    def without(self, kept: ColumnElement[bool], removed: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(kept, not_(removed))

    def everything(self) -> ColumnElement[bool]:
        return _holds(self._words.everything())


def _quoted(lexeme: str) -> str:
    return f"'{lexeme}'"


def _tsvector(entry: Entry) -> tuple[str, bool]:
    """How a tsvector is written, and whether it holds the whole document."""
    places: dict[str, list[int]] = {str(entry.dataset): []}
    whole = True
    size = 0
    for number, field in enumerate(entry.fields):
        before = f"{entry.dataset}.{number}:"
        for place, word in enumerate(field, 1):
            lexeme = before + word
            known = places.get(lexeme)
            if place > MAX_PLACE or (known and len(known) == MAX_PLACES) or size > MAX_BYTES:
                whole = False
                break
            if known is None:
                places[lexeme] = [place]
                size += len(lexeme.encode()) + 8
            else:
                known.append(place)
            size += 2
    written = [f"'{lexeme}':{','.join(map(str, at))}" if at else f"'{lexeme}'" for lexeme, at in places.items()]
    return " ".join(written), whole
