"""Argilla's search engine, answered from Argilla's own tables.

What was committed is found by the next search, after a crash as well: filters and orders read the tables
themselves, and the index of their words knows what has changed since (`text_index.py`). So most methods
that tell an engine what changed have nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from argilla_server.database import AsyncSessionLocal, async_engine
from argilla_server.enums import SimilarityOrder
from argilla_server.models import (
    Dataset,
    DatasetUser,
    MetadataProperty,
    Record,
    Response,
    Suggestion,
    User,
    VectorSettings,
)
from argilla_server.search_engine import (
    AndFilter,
    Filter,
    MetadataMetrics,
    Order,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TextQuery,
)
from argilla_server.settings import settings
from sqlalchemy import ColumnElement, Connection, Select, exists, false, func, literal, null, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session

from annotation.server.search import consent, indexes, record_counts, seats, vectors
from annotation.server.search.assignment import Room
from annotation.server.search.conditions import Conditions, Schema, SearchRefused, not_ones_own, split_pending
from annotation.server.search.dialects import Postgresql, Sqlite
from annotation.server.search.metrics import compute_metrics
from annotation.server.search.queue_order import Page, read_queue
from annotation.server.search.record_counts import count_records
from annotation.server.search.side_sessions import SideSession
from annotation.server.search.told_filters import as_told, is_queue, is_told
from annotation.server.words.fts5 import Fts5Table
from annotation.server.words.text_index import Found, TextIndex
from annotation.server.words.text_tables import documents
from annotation.server.words.tsvector import TsvectorTable

NAME = "annot"

log = logging.getLogger("annot")


@asynccontextmanager
async def _reading(model: Any) -> AsyncIterator[AsyncSession]:
    """The session of the request that asks, or one of our own where there is none."""
    session = async_object_session(model)
    if session is not None:
        yield session
    else:
        async with AsyncSessionLocal() as own:
            yield own


@SearchEngine.register(NAME)
class TableSearchEngine(SearchEngine):
    """See the module. One instance serves all requests of a process."""

    _instance: TableSearchEngine | None = None

    def __init__(self) -> None:
        is_postgresql = async_engine.dialect.name == "postgresql"
        self.dialect = Postgresql() if is_postgresql else Sqlite()
        self.text = TextIndex(TsvectorTable() if is_postgresql else Fts5Table(), self.dialect)
        assert settings.home_path  # Argilla has one, also where nobody has said which
        self._vectors = vectors.VectorStore(Path(settings.home_path) / "vectors")
        self._catching_up: asyncio.Task[None] | None = None
        self._behind = False

    @classmethod
    async def new_instance(cls) -> TableSearchEngine:
        return cls.instance()

    @classmethod
    def instance(cls) -> TableSearchEngine:
        """The engine of this process."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def set_up(self, connection: Connection) -> None:
        """Make the side tables, triggers and functions that are missing; after every migration of Argilla's."""
        self.dialect.create_functions(connection)
        self.text.set_up(connection)
        vectors.set_up(connection)
        indexes.set_up(connection)
        record_counts.set_up(connection)
        consent.set_up(connection)
        seats.set_up(connection)

    def reindex(self, connection: Connection) -> int:
        """Make all of it again from Argilla's tables; how many records wait to have their words put in."""
        self.dialect.begin_writing_now(connection)
        self.dialect.create_functions(connection)
        vectors.reindex(connection)
        return self.text.make(connection)

    async def close(self) -> None:
        """Nothing is held open between requests."""

    async def ping(self) -> bool:
        async with AsyncSessionLocal() as session:
            return (await session.scalar(select(literal(1)))) == 1

    async def info(self) -> dict[str, Any]:
        async with AsyncSessionLocal() as session:
            return {"name": NAME, "database": session.get_bind().dialect.name}

    async def create_index(self, dataset: Dataset) -> None:  # noqa: ARG002
        """Make the indexes on values that its filters will ask for."""
        async with SideSession() as session:
            await session.run_sync(lambda sync: indexes.set_up(sync.connection()))
            await session.commit()

    async def delete_index(self, dataset: Dataset) -> None:  # noqa: ARG002
        """Forget its words and vectors, which may be many, while requests go on."""
        self.catch_up_soon()
        await self._vectors.forget_removed()

    async def configure_metadata_property(self, dataset: Dataset, metadata_property: MetadataProperty) -> None:  # noqa: ARG002
        """As for a new dataset."""
        await self.create_index(dataset)

    async def configure_index_vectors(self, vector_settings: VectorSettings) -> None:
        """Nothing to do."""

    async def index_records(self, dataset: Dataset, records: Iterable[Record]) -> None:  # noqa: ARG002
        """Put their words into the index after the request is answered; a search that comes first does it itself."""
        self.catch_up_soon()

    async def partial_record_update(self, record: Record, **update: Any) -> None:
        """Nothing to do."""

    async def delete_records(self, dataset: Dataset, records: Iterable[Record]) -> None:  # noqa: ARG002
        """Forget their words after the request is answered."""
        self.catch_up_soon()

    def catch_up_soon(self) -> None:
        """Have the index brought up to date while requests go on, by one task at a time."""
        self._behind = True
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        while self._behind:
            self._behind = False
            try:
                await self.text.catch_up()
            except OperationalError as problem:
                log.warning("The text index is brought up to date by the next search, for now: %s", problem.orig)

    async def update_record_response(self, response: Response) -> None:
        """Nothing to do."""

    async def delete_record_response(self, response: Response) -> None:
        """Nothing to do."""

    async def update_record_suggestion(self, suggestion: Suggestion) -> None:
        """Nothing to do."""

    async def delete_record_suggestion(self, suggestion: Suggestion) -> None:
        """Nothing to do."""

    async def get_dataset_progress(self, dataset: Dataset) -> dict[str, int]:
        """Records by status, and their total."""
        if dataset.is_draft:
            return {}
        async with _reading(dataset) as session:
            counts = await count_records(session, dataset.id)
        return {"total": sum(counts.values()), **counts}

    async def get_dataset_user_progress(self, dataset: Dataset, user: User) -> dict[str, int]:
        """One person's responses by status, and their total."""
        if dataset.is_draft:
            return {}
        counted = select(Response.status, func.count()).where(Response.user_id == user.id)
        answered_in = select(DatasetUser.dataset_id).where(DatasetUser.user_id == user.id)
        async with _reading(dataset) as session:
            # Mostly all of a person's answers are in one dataset; then an index alone tells.
            if set(await session.scalars(answered_in)) - {dataset.id}:
                counted = counted.join(Record, Record.id == Response.record_id).where(Record.dataset_id == dataset.id)
            found = await session.execute(counted.group_by(Response.status))
            counts = {status.value: count for status, count in found}
        return {"total": sum(counts.values()), **counts}

    async def search(
        self,
        dataset: Dataset,
        query: TextQuery | str | None = None,
        filter: Filter | None = None,
        sort: list[Order] | None = None,
        offset: int = 0,
        limit: int = 100,
        user_id: UUID | str | None = None,
    ) -> SearchResponses:
        """A page of the records that match, and how many match in all.

        With `user_id` (the abstract class does not declare it, the request handler passes it) records
        that nothing else puts in order come in blocks as they were added, and within a
        block in that person's own random order (`queue_order`). It stays the same while others answer and when records
        are added. So people work in the same neighbourhood at the same time and complete records
        together; with one shuffle over everything, a large dataset would be begun everywhere and
        completed nowhere. Of a guarded dataset a person finds what they may see alone (`consent`). Where records
        are assigned, an annotator's queue gives them out, and other searches find what they were given (`assignment`).
        """
        page = Page(offset, limit)
        async with _reading(dataset) as session:
            gate, room = None, None
            if user_id is not None:
                room = await Room.of_annotator(session, dataset, UUID(str(user_id)))
            if user_id is not None and consent.is_guarded(dataset):
                gate = await consent.Gate.read(session, self.dialect, dataset, UUID(str(user_id)), new=room is None)
            if room is not None and query is None and not sort and is_queue(filter):
                return await self._assigned(room, gate, page)
            if query is not None and filter is None and not sort and gate is None and room is None:
                return await self._answering(session, dataset.id, query, page)
            schema = await Schema.read(session, dataset.id)
            if room is not None:
                await room.renew()
                await session.commit()
                told = await room.told_properties()
                seen = {name: type_ for name, type_ in schema.properties.items() if name in told}
                schema, filter = replace(schema, properties=seen), as_told(filter)
                sort = [order for order in sort or () if is_told(order)]
            matching, relevance, ranked = await self._matching(session, schema, query, filter, gate, room)
            orders = [Conditions(schema, self.dialect).order(order) for order in sort or ()]
            if user_id is not None and sort:
                orders.append(self.dialect.shuffle(str(user_id)))
            if relevance is not None:
                # Numbers are given in the order of adding; more of a record is not read.
                orders += [relevance.desc()] if ranked and not sort else []
                counted = matching.add_columns(relevance, func.count().over())
                best = page.of(counted.order_by(*orders, documents.c.number))
                read = (await session.execute(best)).tuples().all()
                rows = [(record_id, score) for record_id, score, _ in read]
                total = read[0][2] if read else await _count_rows(session, matching)
            else:
                everything = sum((await count_records(session, dataset.id)).values())
                total = (
                    await self._count(session, schema, matching, filter, everything)
                    if gate is None and room is None
                    else await _count_rows(session, matching)
                )
                # Through an index in the order of adding, few matches are found by reading almost all of it.
                few = total * total < everything * (offset + limit)
                added = func.coalesce(Record.inserted_at, null()) if few else Record.inserted_at
                if user_id is not None and not orders:
                    found = await read_queue(session, dataset.id, matching, added, str(user_id), page)
                else:
                    ordered = matching.order_by(*orders, added, Record.id)
                    found = list(await session.scalars(page.of(ordered)))
                rows = [(record_id, 1.0) for record_id in found]
            if gate is not None:
                late = await gate.send(self.dialect, [record_id for record_id, _ in rows])
                rows = [row for row in rows if row[0] not in late]
        # As in Elasticsearch, there is no score where the order is given.
        return SearchResponses(
            items=[SearchResponseItem(record_id=record_id, score=None if sort else score) for record_id, score in rows],
            total=total,
        )

    async def _assigned(self, room: Room, gate: consent.Gate | None, page: Page) -> SearchResponses:
        """A page of an annotator's queue where records are assigned."""
        if gate is None:
            found, total = await room.queue(page)
        elif gate.user_id is None:
            found, total = [], 0
        else:
            found, total = await room.queue(page, most=max(0, gate.most_a_day - len(gate.sent)))
            late = await replace(gate, new=frozenset(found) - gate.sent).send(self.dialect, found)
            found, total = [record_id for record_id in found if record_id not in late], min(total, gate.most_a_day)
        items = [SearchResponseItem(record_id=record_id, score=1.0) for record_id in found]
        return SearchResponses(items=items, total=total)

    async def _count(
        self, session: AsyncSession, schema: Schema, matching: Select[Any], filter_: Filter | None, everything: int
    ) -> int:
        """How many records match, of `everything` in the dataset.

        A queue holds what its person has not answered. Looking for an answer of theirs at every record takes long:
        all records are counted, and of their answers those to be taken away, if these are fewer.
        """
        others, unanswered_by = split_pending(filter_)
        rest, _, _ = await self._matching(session, schema, None, others)
        is_all = others is None or (isinstance(others, AndFilter) and not others.filters)
        own = not_ones_own(schema, filter_)
        rest = rest.where(*own)
        of_all = everything if is_all and not own else await _count_rows(session, rest)
        if unanswered_by is None:
            return of_all
        mine = select(Response.record_id).where(Response.user_id == unanswered_by.id)
        if await _count_rows(session, mine) > of_all:
            return await _count_rows(session, matching)
        # Written so that the person's answers are looked through, not the records.
        of_these = rest.where(Record.id == Response.record_id).correlate(Response)
        answered = select(Response.record_id).where(Response.user_id == unanswered_by.id, exists(of_these))
        return of_all - await _count_rows(session, answered)

    async def _matching(
        self,
        session: AsyncSession,
        schema: Schema,
        query: TextQuery | str | None,
        filter_: Filter | None,
        gate: consent.Gate | None = None,
        room: Room | None = None,
    ) -> tuple[Select[Any], ColumnElement[float] | None, bool]:
        """The ids of the records that match, how well they answer the text query, and whether they differ in it."""
        few = gate is not None or room is not None
        conditions = [] if filter_ is None else [Conditions(schema, self.dialect, few=few).filter(filter_)]
        conditions += not_ones_own(schema, filter_)
        if gate is not None:
            conditions.append(gate.visible(unanswered=split_pending(filter_)[1] is not None))
        if room is not None:
            conditions.append(room.visible())
        matching = select(Record.id)
        if query is None:
            of_dataset = func.coalesce(Record.dataset_id, null()) if few else Record.dataset_id
            return matching.where(of_dataset == schema.dataset_id, *conditions), None, False
        found = await self._found(session, schema.dataset_id, query)
        if found is None:
            return matching.where(false()), literal(1.0), False
        rows = found.table(whole=True)
        matching = (
            matching.select_from(rows)
            .join(documents, documents.c.number == rows.c.number)
            .join(Record, Record.id == documents.c.record_id)
        )
        return matching.where(*conditions), rows.c.relevance, found.ranked

    async def _found(self, session: AsyncSession, dataset_id: UUID, query: TextQuery | str) -> Found | None:
        text = TextQuery(q=query) if isinstance(query, str) else query
        await self.text.catch_up(dataset_id, session)
        return await self.text.find(session, dataset_id, text.q, text.field)

    async def _answering(
        self, session: AsyncSession, dataset_id: UUID, query: TextQuery | str, page: Page
    ) -> SearchResponses:
        """A page of the records that answer a text query and nothing else; the index alone knows them."""
        found = await self._found(session, dataset_id, query)
        if found is None:
            return SearchResponses(items=[], total=0)
        rows = found.table(whole=False)
        order = [*([rows.c.relevance.desc()] if found.ranked else []), rows.c.number]
        best = page.of(select(rows).order_by(*order)).subquery()
        found_records = select(documents.c.record_id, best.c.relevance).join(best, best.c.number == documents.c.number)
        read = await session.execute(found_records.order_by(best.c.relevance.desc(), best.c.number))
        items = [SearchResponseItem(record_id=record_id, score=score) for record_id, score in read]
        return SearchResponses(items=items, total=found.matches)

    async def similarity_search(
        self,
        dataset: Dataset,
        vector_settings: VectorSettings,
        value: list[float] | None = None,
        record: Record | None = None,
        query: TextQuery | str | None = None,
        filter: Filter | None = None,
        max_results: int = 100,
        order: SimilarityOrder = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> SearchResponses:
        """The records nearest to a vector by cosine, or the farthest; the score is (1 ± cosine) / 2."""
        if bool(value) == bool(record):
            raise ValueError("Must provide either vector value or record to compute the similarity search")
        wanted = value or (record and record.vector_value_by_vector_settings(vector_settings))
        if not wanted:
            raise ValueError("Cannot find a vector value to apply with provided info")
        if len(wanted) != vector_settings.dimensions:
            raise SearchRefused(
                f"Vector `{vector_settings.name}` has {vector_settings.dimensions} dimensions, not {len(wanted)}."
            )
        if not all(map(math.isfinite, wanted)):
            raise SearchRefused(f"Vector `{vector_settings.name}` takes finite numbers only.")
        if consent.is_guarded(dataset):
            raise SearchRefused("The records of this dataset are not found by their vectors: it shows them one by one.")
        least = order == SimilarityOrder.least_similar
        async with _reading(dataset) as session:
            matrix = await self._vectors.matrix(session, vector_settings)
            scores = await asyncio.to_thread(matrix.score, wanted, -1.0 if least else 1.0)
            schema = await Schema.read(session, dataset.id)
            matching, _, _ = await self._matching(session, schema, query, filter)
            if record is not None:
                matching = matching.where(Record.id != record.id)
            # Mostly enough of the nearest pass the filter. All that pass are read where they do not, and for a text
            # query, which costs the same for a few records as for all.
            best = scores.best(max(200, 4 * max_results))
            near = matching.where(Record.id.in_([record_id for record_id, _ in best]))
            passing = set(await session.scalars(near)) if query is None else set()
            if query is not None or len(passing) < max_results < len(scores.ids):
                passing = set(await session.scalars(matching))
                best = scores.only(list(passing)).best(max_results)
        items = [
            SearchResponseItem(record_id=record_id, score=score) for record_id, score in best if record_id in passing
        ][:max_results]
        total = len(items)
        if threshold is not None:
            items = [item for item in items if item.score is not None and item.score >= threshold]
        return SearchResponses(items=items, total=total)

    async def compute_metrics_for(self, metadata_property: MetadataProperty) -> MetadataMetrics:
        """The values that a metadata property takes."""
        async with _reading(metadata_property) as session:
            return await compute_metrics(session, self.dialect, metadata_property)


async def _count_rows(session: AsyncSession, rows: Select[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(rows.subquery())) or 0
