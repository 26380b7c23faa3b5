"""Text index of the records, kept up to date from notes of what has changed.

Triggers on `records` and `fields` note every change in `annot_stale` (`text_tables.py`), within the transaction that
makes it and whoever makes it. A note goes in the transaction that brings the index up to date. So the index and the
notes together are always right, after kill -9 as well, and a search first works off the notes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argilla_server.enums import FieldType
from argilla_server.models import Dataset, Field, Record
from sqlalchemy import (
    CTE,
    CompoundSelect,
    Connection,
    Select,
    delete,
    func,
    insert,
    inspect,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.search.dialects import Dialect
from annotation.server.search.side_sessions import SideSession
from annotation.server.words import folding, text_query
from annotation.server.words.text_query import Query, Word
from annotation.server.words.text_tables import (
    Entry,
    Place,
    TextTable,
    datasets,
    documents,
    layout,
    stale,
    tables,
    words,
)

LAYOUT = 2
"""Raised when the side tables or what counts as a word change; the next start makes the index again."""

# What counts as a letter depends on Python's version of Unicode.
VERSION = f"{LAYOUT}, Unicode {unicodedata.unidata_version}"

# So many records are put into the index in one transaction: others wait to write meanwhile.
BATCH = 200
# A word with a tilde stands for so many others at most, the nearest.
MAX_NEAR = 200

log = logging.getLogger("annot")


@dataclass(frozen=True)
class Found:
    """The documents that answer a query."""

    rows: Select[Any] | CompoundSelect[Any]  # number, relevance
    matches: int
    ranked: bool  # else all are equally relevant: there are too many

    def table(self, *, whole: bool) -> CTE:
        """The rows to select from: `whole`, all of them before anything else is looked at.

        Else a page may be read without going through all, where nothing is compared.
        """
        cte = self.rows.cte("found")
        return cte.prefix_with("MATERIALIZED") if whole or self.ranked else cte


class TextIndex:
    """The index of one database. Safe to use from many requests and many processes at once."""

    def __init__(self, table: TextTable, dialect: Dialect) -> None:
        self._table = table
        self._dialect = dialect
        # One at a time in this process; the database's own lock keeps other processes out.
        self._writing = asyncio.Lock()

    async def find(self, session: AsyncSession, dataset_id: UUID, query: str, field: str | None) -> Found | None:
        """The documents of a dataset that answer a query, in all fields or in one; None if there are none."""
        parsed = text_query.parse(query)
        number = await session.scalar(select(datasets.c.number).where(datasets.c.dataset_id == dataset_id))
        names = (await _text_fields(session, [dataset_id]))[dataset_id]
        looked_at = [place for place, name in enumerate(names) if field in (None, name)]
        if not parsed.program or number is None or not looked_at:
            return None
        await self._table.prepare(session)
        place = Place(number, looked_at)
        neighbours = {
            leaf: await self._near(session, number, leaf)
            for leaf in parsed.leaves
            if isinstance(leaf, Word) and leaf.distance
        }
        near = neighbours.__getitem__
        found = self._table.matching(parsed, place, near)
        read = await self._read_oversize(session, dataset_id, parsed, [names[place] for place in looked_at])
        if read is not None:
            oversize = select(documents.c.number).where(documents.c.dataset_id == dataset_id, documents.c.oversize)
            found = found.where(self._table.number.not_in(oversize))
        matches = await session.scalar(select(func.count()).select_from(found.subquery())) or 0
        relevance = await self._table.relevance(session, parsed, place, near, matches)
        score = literal(1.0) if relevance is None else relevance
        found = found.add_columns(score.label("relevance"))
        rows: Any = found
        if read:
            known = select(documents.c.number, literal(1.0).label("relevance")).where(documents.c.number.in_(read))
            rows = union_all(found, known)
            matches += len(read)
        return Found(rows, matches, relevance is not None)

    async def _read_oversize(
        self, session: AsyncSession, dataset_id: UUID, query: Query, names: Sequence[str]
    ) -> list[int] | None:
        """The documents that match among those that do not fit into the index; None if all fit."""
        held = (
            select(documents.c.number, Record.fields)
            .join(Record, Record.id == documents.c.record_id)
            .where(documents.c.dataset_id == dataset_id, documents.c.oversize)
        )
        read = None
        for number, fields in await session.execute(held):
            read = read or []
            if await asyncio.to_thread(query.matches, [_text(fields.get(name)) for name in names]):
                read.append(number)
        return read

    async def _near(self, session: AsyncSession, dataset: int, leaf: Word) -> list[str]:
        from rapidfuzz.distance import Levenshtein

        length = func.length(words.c.word)
        candidates = await session.scalars(
            select(words.c.word).where(
                words.c.dataset == dataset,
                length.between(len(leaf.word) - leaf.distance, len(leaf.word) + leaf.distance),
            )
        )
        near = []
        for word in candidates:
            distance = Levenshtein.distance(leaf.word, word, score_cutoff=leaf.distance)
            if distance <= leaf.distance:
                near.append((distance, word))
        return [word for _, word in sorted(near)[:MAX_NEAR]]

    async def catch_up(
        self,
        dataset_id: UUID | None = None,
        session: AsyncSession | None = None,
        tell: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """Bring the index up to date.

        Args:
            dataset_id: of the dataset whose changes are wanted; None: of all.
            session: of the request that asks; it is only read.
            tell: hears how many changes are done so far.
        """
        waiting = select(stale.c.number, stale.c.record_id, stale.c.dataset_id).order_by(stale.c.number).limit(BATCH)
        if dataset_id is not None:
            waiting = waiting.where(stale.c.dataset_id == dataset_id)
        done = 0
        while await _finds(session, waiting):
            async with self._writing, SideSession() as writing:
                await self._dialect.begin_writing(writing)
                noted = (await writing.execute(waiting)).all()
                if not noted:  # another did it meanwhile
                    return
                await self._index(writing, {record_id: dataset_id for _, record_id, dataset_id in noted})
                await writing.execute(delete(stale).where(stale.c.number.in_([number for number, _, _ in noted])))
                await writing.commit()
                done += len(noted)
                tell(done)

    async def _index(self, session: AsyncSession, noted: dict[UUID, UUID]) -> None:
        """Put into the index what the tables say of some records, given with their datasets."""
        known = {
            record_id: number
            for number, record_id in await session.execute(
                select(documents.c.number, documents.c.record_id).where(documents.c.record_id.in_(list(noted)))
            )
        }
        if known:
            await self._table.remove(session, list(known.values()))
            await session.execute(delete(documents).where(documents.c.number.in_(list(known.values()))))
        found = await session.execute(
            select(Record.id, Record.dataset_id, Record.fields)
            .where(Record.id.in_(list(noted)))
            .order_by(Record.inserted_at, Record.id)
        )
        records = [(record_id, dataset_id, fields or {}) for record_id, dataset_id, fields in found]
        if records:
            names = await _text_fields(session, {dataset_id for _, dataset_id, _ in records})
            numbers = await self._dataset_numbers(session, names)
            last = await session.scalar(select(func.max(documents.c.number))) or 0
            new = [last + place for place in range(1, len(records) + 1)]
            entries, spellings = await asyncio.to_thread(
                _read,
                [
                    (
                        known.get(record_id, number),
                        numbers[dataset_id],
                        [fields.get(name) for name in names[dataset_id]],
                    )
                    for number, (record_id, dataset_id, fields) in zip(new, records, strict=True)
                ],
            )
            oversize = await self._table.add(session, entries)
            rows = [
                {
                    "number": entry.number,
                    "record_id": record_id,
                    "dataset_id": dataset_id,
                    "oversize": entry.number in oversize,
                }
                for entry, (record_id, dataset_id, _) in zip(entries, records, strict=True)
            ]
            await session.execute(insert(documents), rows)
            for dataset, spelt in spellings.items():
                await self._table.learn(session, dataset, spelt)
        await self._forget_datasets(session, set(noted.values()) - {dataset_id for _, dataset_id, _ in records})

    async def _dataset_numbers(self, session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, int]:
        numbers = {
            dataset_id: number
            for number, dataset_id in await session.execute(
                select(datasets.c.number, datasets.c.dataset_id).where(datasets.c.dataset_id.in_(list(ids)))
            )
        }
        last = await session.scalar(select(func.max(datasets.c.number))) or 0
        for number, dataset_id in enumerate(sorted(set(ids) - set(numbers)), last + 1):
            await session.execute(insert(datasets).values(number=number, dataset_id=dataset_id))
            numbers[dataset_id] = number
        return numbers

    @staticmethod
    async def _forget_datasets(session: AsyncSession, ids: set[UUID]) -> None:
        """Remove what is known of datasets that are gone and have no documents left."""
        kept = set(await session.scalars(select(Dataset.id).where(Dataset.id.in_(ids)))) if ids else set()
        for dataset_id in ids - kept:
            left = await session.scalar(select(documents.c.number).where(documents.c.dataset_id == dataset_id).limit(1))
            number = await session.scalar(select(datasets.c.number).where(datasets.c.dataset_id == dataset_id))
            if left is None and number is not None:
                await session.execute(delete(words).where(words.c.dataset == number))
                await session.execute(delete(datasets).where(datasets.c.number == number))

    def set_up(self, connection: Connection) -> None:
        """Make what is missing; after a change of the layout everything. Nothing is indexed yet, only noted."""
        self._dialect.begin_writing_now(connection)
        begun = inspect(connection).has_table(layout.name)
        known = connection.scalar(select(layout.c.version)) if begun else None
        if known != VERSION:
            if known:
                log.info("The text index is made again: it was layout %s, now it is %s.", known, VERSION)
            self.make(connection)
        else:
            # Records that a database without our triggers wrote, or that another removed.
            missing = ~select(documents.c.number).where(documents.c.record_id == Record.id).exists()
            gone = ~select(Record.id).where(Record.id == documents.c.record_id).exists()
            for strays in (
                select(Record.id, Record.dataset_id).where(missing),
                select(documents.c.record_id, documents.c.dataset_id).where(gone),
            ):
                connection.execute(insert(stale).from_select(["record_id", "dataset_id"], strays))

    def make(self, connection: Connection) -> int:
        """Make the side tables again, empty, with a note for every record; how many there are."""
        self._table.drop(connection)
        tables.drop_all(connection)
        tables.create_all(connection)
        self._table.create(connection)
        every = select(Record.id, Record.dataset_id).order_by(Record.inserted_at, Record.id)
        connection.execute(insert(stale).from_select(["record_id", "dataset_id"], every))
        connection.execute(insert(layout).values(version=VERSION))
        return connection.scalar(select(func.count()).select_from(stale)) or 0


def forget_layout(connection: Connection) -> None:
    """Have the next `set_up` make everything again, after what its triggers may have missed."""
    layout.drop(connection, checkfirst=True)


async def _finds(session: AsyncSession | None, rows: Select[Any]) -> bool:
    if session is not None:
        return (await session.execute(rows.limit(1))).first() is not None
    async with SideSession() as own:
        return await _finds(own, rows)


async def _text_fields(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, list[str]]:
    """The names of the fields with text (images have none) of some datasets, in their order."""
    found = await session.execute(
        select(Field.dataset_id, Field.name, Field.settings)
        .where(Field.dataset_id.in_(list(ids)))
        .order_by(Field.inserted_at, Field.id)
    )
    names: dict[UUID, list[str]] = defaultdict(list)
    names.update({dataset_id: [] for dataset_id in ids})
    for dataset_id, name, settings in found:
        if settings.get("type") != FieldType.image:
            names[dataset_id].append(name)
    return names


def _read(documents: Sequence[tuple[int, int, Sequence[Any]]]) -> tuple[list[Entry], dict[int, str]]:
    """Entries from numbers, datasets' numbers and values of fields; and all words per dataset, as JSON lists."""
    entries = [
        Entry(number, dataset, [folding.words(_text(value)) for value in values])
        for number, dataset, values in documents
    ]
    spellings: dict[int, set[str]] = defaultdict(set)
    for entry in entries:
        spellings[entry.dataset].update(*entry.fields)
    return entries, {dataset: json.dumps(sorted(spelt)) for dataset, spelt in spellings.items()}


def _text(value: Any) -> str:
    """The text of a field: what was said in a chat (not who said it), the leaves of a custom field."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    if isinstance(value, dict):
        return _text(value["content"] if value.keys() == {"role", "content"} else list(value.values()))
    return "" if value is None else str(value)
