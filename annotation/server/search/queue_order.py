"""The order of a person's queue: blocks of records as they were added, and in a block an order of the person's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argilla_server.models import Record
from sqlalchemy import Select, SQLColumnExpression, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

BLOCK = 10
"""Records that everybody gets before anybody gets the next ones."""


@dataclass(frozen=True)
class Page:
    """Which of the rows that match are wanted."""

    offset: int
    limit: int

    def of(self, rows: Select[Any]) -> Select[Any]:
        """Those rows alone."""
        return rows.offset(self.offset).limit(self.limit)


async def read_queue(
    session: AsyncSession,
    dataset_id: UUID,
    matching: Select[Any],
    when: SQLColumnExpression[Any],
    seed: str,
    page: Page,
) -> list[UUID]:
    """A page of the records that match.

    The blocks are those of all records of the dataset, whatever matches. Only as much is read as the page needs,
    through an index: the matches up to the end of its last block, and how many records stand before and between them.

    Args:
        session: of the request.
        dataset_id: of the dataset.
        matching: selects the ids of the records that match.
        when: their time of adding, written so that the database finds them the quicker way.
        seed: decides the order within the blocks.
        page: which of the matches.
    """
    added = tuple_(Record.inserted_at, Record.id)
    ordered = matching.add_columns(Record.inserted_at).order_by(when, Record.id)
    found = (await session.execute(ordered.limit(page.offset + page.limit + BLOCK - 1))).all()
    if not found:
        return []
    first, last = ((row.inserted_at, row.id) for row in (found[0], found[-1]))
    of_dataset = Record.dataset_id == dataset_id
    before = await session.scalar(select(func.count()).select_from(Record).where(of_dataset, added < first)) or 0
    place = func.row_number().over(order_by=(Record.inserted_at, Record.id)).label("place")
    between = select(Record.id, place).where(and_(of_dataset, added >= first, added <= last)).subquery()
    places = select(between.c.id, between.c.place).where(between.c.id.in_([row.id for row in found]))
    blocks = {id_: (before + place - 1) // BLOCK for id_, place in await session.execute(places)}
    ids = sorted((row.id for row in found if row.id in blocks), key=lambda id_: (blocks[id_], _shuffled(seed, id_)))
    return ids[page.offset : page.offset + page.limit]


def _shuffled(seed: str, record_id: UUID) -> bytes:
    return hashlib.blake2b(record_id.hex.encode(), key=seed.encode()[:64], digest_size=8).digest()
