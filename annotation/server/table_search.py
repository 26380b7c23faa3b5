"""Argilla's search engine, answered from Argilla's own tables.

The tables are the index. What was committed is found by the next search, after a crash as well: there
is no second copy of the data to fall behind, so the methods that tell an engine what changed have
nothing to do. Everything typed by a person is a bound value; names of questions and metadata properties
are looked up in the tables of their dataset first, and an unknown name matches nothing.

SQL is written through SQLAlchemy. What differs from one database to another stands in `Dialect`; only
SQLite is there today.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import text_query
from argilla_server.database import AsyncSessionLocal
from argilla_server.enums import (
    FieldType,
    MetadataPropertyType,
    QuestionType,
    ResponseStatusFilter,
    SimilarityOrder,
    SortOrder,
)
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import (
    Dataset,
    Field,
    MetadataProperty,
    Question,
    Record,
    Response,
    Suggestion,
    User,
    Vector,
    VectorSettings,
)
from argilla_server.search_engine import (
    AndFilter,
    Filter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataFilterScope,
    MetadataMetrics,
    Order,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    SuggestionFilterScope,
    TermsFilter,
    TermsMetrics,
    TextQuery,
)
from sqlalchemy import (
    ColumnElement,
    Float,
    LargeBinary,
    Select,
    String,
    Subquery,
    Text,
    and_,
    cast,
    event,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session
from sqlalchemy.sql.expression import TableValuedAlias

NAME = "annot"

# Argilla's own limit for the number of terms in a metric.
MAX_TERMS = 2**14
# Matrices of vectors kept in memory, one for each vector settings that was searched lately.
MAX_MATRICES = 8


QUEUE_BLOCK = 10
"""Records that everybody gets before anybody gets the next ones."""


class SearchRefused(UnprocessableEntityError):
    """A filter holds a value that cannot be what it is compared with; Argilla answers 422."""


# --- what differs between databases -------------------------------------------------------------------


class Dialect:
    """The expressions that SQLite needs, with the functions that it lacks written in Python."""

    def elements(self, column: ColumnElement[Any], *keys: str) -> TableValuedAlias:
        """The values at a place of a JSON column as rows of one column, `value`.

        A list gives a row per element, anything else one row, a missing key none. The keys come from
        the tables, where Argilla lets only letters, digits, `_` and `-` in.
        """
        path = "$" + "".join(f'."{key}"' for key in keys)
        return func.json_each(column, path).table_valued("value", "type", joins_implicitly=True)

    def relevance(self, query: TextQuery, hidden: Sequence[str]) -> ColumnElement[float]:
        """How well a record answers a text query: 0 where it does not."""
        return func.annot_relevance(Record.fields, query.q, query.field, json.dumps(list(hidden)), type_=Float)

    def shuffle(self, seed: str) -> ColumnElement[bytes]:
        """A random order of the records that only the seed decides."""
        return func.annot_shuffle(seed, Record.id, type_=LargeBinary)


def _relevance(fields: str, query: str, only: str | None, hidden: str) -> float:
    """SQLite's `annot_relevance`; see `Dialect.relevance`."""
    hidden_names = json.loads(hidden)
    texts = [
        text
        for name, value in json.loads(fields).items()
        if name not in hidden_names and only in (None, name)
        for text in _texts(value)
    ]
    return text_query.parse(query).score(texts)


def _texts(value: Any) -> Iterator[str]:
    """The text of a field: what was said in a chat (not who said it), the leaves of a custom field."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield "\n".join(text for item in value for text in _texts(item))
    elif isinstance(value, dict):
        said = value["content"] if value.keys() == {"role", "content"} else list(value.values())
        yield from _texts(said)
    elif value is not None:
        yield str(value)


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
    cursor.close()
    connection.create_function("annot_relevance", 4, _relevance, deterministic=True)
    connection.create_function("annot_shuffle", 2, _shuffle, deterministic=True)


def _blocks(dataset_id: UUID) -> Subquery:
    """Every record of a dataset, whatever is filtered, with the number of its block in the order of adding."""
    place = func.row_number().over(order_by=(Record.inserted_at, Record.id)) - 1
    return select(Record.id, (place // QUEUE_BLOCK).label("block")).where(Record.dataset_id == dataset_id).subquery()


# --- filters and orders -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schema:
    """What a dataset asks and describes its records with, by name."""

    dataset_id: UUID
    questions: dict[str, tuple[UUID, QuestionType]]
    properties: dict[str, MetadataPropertyType]
    hidden_fields: tuple[str, ...]  # those without text: images

    @classmethod
    async def read(cls, session: AsyncSession, dataset_id: UUID) -> Schema:
        """Read it from the tables."""
        questions = await session.execute(
            select(Question.name, Question.id, Question.settings).where(Question.dataset_id == dataset_id)
        )
        properties = await session.execute(
            select(MetadataProperty.name, MetadataProperty.settings).where(MetadataProperty.dataset_id == dataset_id)
        )
        fields = await session.execute(select(Field.name, Field.settings).where(Field.dataset_id == dataset_id))
        return cls(
            dataset_id=dataset_id,
            questions={name: (id_, QuestionType(settings["type"])) for name, id_, settings in questions},
            properties={name: MetadataPropertyType(settings["type"]) for name, settings in properties},
            hidden_fields=tuple(name for name, settings in fields if settings["type"] == FieldType.image),
        )


@dataclass(frozen=True)
class Values:
    """A column of values that a filter compares or an order sorts by, and what a value must be."""

    column: ColumnElement[Any]
    read: Callable[[Any], Any]

    def matches(self, filter_: TermsFilter | RangeFilter) -> ColumnElement[bool]:
        """Whether a value is one of the terms, or within the range."""
        if isinstance(filter_, TermsFilter):
            terms = []
            for value in filter_.values:
                try:
                    terms.append(self.read(value))
                except ValueError:
                    continue  # no record has a value that cannot be one
            return self.column.in_(terms)
        bounds: list[ColumnElement[bool]] = []
        try:
            if filter_.ge is not None:
                bounds.append(self.column >= self.read(filter_.ge))
            if filter_.le is not None:
                upper = _end_of_day(filter_.le) if self.read is _moment else self.read(filter_.le)
                bounds.append(self.column <= upper)
        except ValueError as problem:
            raise SearchRefused(f"The filter's bounds cannot be read: {problem}") from problem
        return and_(true(), *bounds)


def _moment(value: Any) -> datetime:
    """A moment as Argilla stores it: UTC, without a zone. Numbers are milliseconds, as in Elasticsearch."""
    try:
        if isinstance(value, int | float):
            return datetime(1970, 1, 1) + timedelta(milliseconds=value)
        moment = datetime.fromisoformat(str(value).strip())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError as problem:
        raise ValueError(f"{value!r} is no date") from problem


def _end_of_day(value: Any) -> datetime:
    """An upper bound: a day without a time means all of that day."""
    moment = _moment(value)
    is_a_day = isinstance(value, str) and len(value.strip()) <= len("2026-01-31")
    return datetime.combine(moment, time.max) if is_a_day else moment


def _number(value: Any) -> float:
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{value!r} is no number")
    return number


# A question's or property's type decides how its values compare; those of other types are not searched.
_NUMERIC = {QuestionType.rating, MetadataPropertyType.integer, MetadataPropertyType.float}
_NAMED = {QuestionType.label_selection, QuestionType.multi_label_selection, MetadataPropertyType.terms}


def _typed(column: ColumnElement[Any], type_: QuestionType | MetadataPropertyType) -> Values | None:
    if type_ in _NUMERIC:
        return Values(cast(column, Float), _number)
    if type_ in _NAMED:
        return Values(cast(column, Text), str)
    return None


class Conditions:
    """Turns Argilla's filters and orders into SQL over `records`."""

    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        self._schema = schema
        self._dialect = dialect

    def filter(self, filter_: Filter) -> ColumnElement[bool]:
        """Whether a record passes."""
        if isinstance(filter_, AndFilter):
            return and_(true(), *(self.filter(part) for part in filter_.filters))
        scope = filter_.scope
        if isinstance(scope, ResponseFilterScope) and scope.question is None:
            return self._response_status(scope, filter_)
        source = self._source(scope)
        if source is None:
            return false()
        values, among = source
        if among is None:
            return values.matches(filter_)
        return exists(among.where(values.matches(filter_)))

    def order(self, order: Order) -> ColumnElement[Any]:
        """What to sort by; records without a value come last, in both directions."""
        descending = order.order == SortOrder.desc
        source = self._source(order.scope)
        if source is None:
            return literal(0)
        values, among = source
        value = values.column
        if among is not None:
            # Several values: several people's ratings count by their mean, otherwise the outermost.
            is_rating = isinstance(order.scope, ResponseFilterScope) and values.read is _number
            outermost = func.max if descending else func.min
            value = among.with_only_columns((func.avg if is_rating else outermost)(value)).scalar_subquery()
        return (value.desc() if descending else value.asc()).nulls_last()

    def _source(self, scope: Any) -> tuple[Values, Select[Any] | None] | None:
        """Where a scope's values stand: a column of `records`, or one of rows that belong to a record."""
        if isinstance(scope, RecordFilterScope):
            return self._record_property(scope.property), None
        if isinstance(scope, MetadataFilterScope):
            return self._metadata(scope.metadata_property)
        if isinstance(scope, SuggestionFilterScope):
            return self._suggestion(scope)
        if isinstance(scope, ResponseFilterScope):
            return self._response(scope)
        raise TypeError(f"unknown filter scope {scope!r}")

    @staticmethod
    def _record_property(name: str) -> Values:
        if name in ("inserted_at", "updated_at"):
            return Values(getattr(Record, name), _moment)
        if name == "id":
            return Values(Record.id.expression, lambda value: UUID(str(value)))
        if name == "external_id":
            return Values(Record.external_id.expression, str)
        if name == "status":
            return Values(cast(Record.status, String), str)
        raise SearchRefused(f"Records cannot be searched by {name!r}.")

    def _metadata(self, name: str) -> tuple[Values, Select[Any]] | None:
        type_ = self._schema.properties.get(name)
        if type_ is None:
            return None
        element = self._dialect.elements(Record.metadata_, name)
        values = _typed(element.c.value, type_)
        assert values is not None, type_
        return values, select(literal(1)).select_from(element).where(element.c.type != "null")

    def _suggestion(self, scope: SuggestionFilterScope) -> tuple[Values, Select[Any]] | None:
        if scope.question not in self._schema.questions:
            return None
        question_id, type_ = self._schema.questions[scope.question]
        made = select(literal(1)).where(Suggestion.record_id == Record.id, Suggestion.question_id == question_id)
        if scope.property == "agent":
            return Values(Suggestion.agent.expression, str), made
        if scope.property == "type":
            return Values(cast(Suggestion.type, String), str), made
        if scope.property not in ("value", "score"):
            raise SearchRefused(f"Suggestions cannot be searched by {scope.property!r}.")
        element = self._dialect.elements(getattr(Suggestion, scope.property))
        values = (
            Values(cast(element.c.value, Float), _number)
            if scope.property == "score"
            else _typed(element.c.value, type_)
        )
        if values is None:
            return None
        return values, made.select_from(Suggestion, element).where(element.c.type != "null")

    def _response(self, scope: ResponseFilterScope) -> tuple[Values, Select[Any]] | None:
        given = select(literal(1)).where(Response.record_id == Record.id)
        if scope.user is not None:
            given = given.where(Response.user_id == scope.user.id)
        if scope.question is None:
            return Values(cast(Response.status, String), str), given
        if scope.question not in self._schema.questions:
            return None
        _, type_ = self._schema.questions[scope.question]
        element = self._dialect.elements(Response.values, scope.question, "value")
        values = _typed(element.c.value, type_)
        if values is None:
            return None
        return values, given.select_from(Response, element).where(element.c.type != "null")

    def _response_status(self, scope: ResponseFilterScope, filter_: Filter) -> ColumnElement[bool]:
        """By what the user answered, or anybody if there is no user; pending: not answered yet."""
        if not isinstance(filter_, TermsFilter):
            raise SearchRefused("The status of a response is one of a few words, not a range.")
        if not filter_.values and scope.user is None:
            return true()
        source = self._response(scope)
        assert source is not None
        values, given = source
        answered = set(filter_.values) - {ResponseStatusFilter.pending}
        chosen: list[ColumnElement[bool]] = []
        if answered:
            chosen.append(exists(given.where(values.column.in_(sorted(answered)))))
        if ResponseStatusFilter.pending in filter_.values:
            chosen.append(not_(exists(given)))
        return or_(*chosen) if chosen else exists(given)


# --- vectors ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matrix:
    """The unit vectors of one vector settings, one row per record, and when they were read."""

    stamp: tuple[int, datetime | None, int]
    record_ids: np.ndarray  # of UUID objects
    rows: np.ndarray  # float32, [records, dimensions]; a zero vector stays zero


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


class VectorStore:
    """Argilla's `vectors` table as matrices, read again when the table has changed.

    Whether it has is told by the number of vectors, the moment of the newest, and a count of the
    announcements made by this process: a change that was stamped earlier but committed later than
    another is seen by its announcement.
    """

    def __init__(self) -> None:
        self._matrices: OrderedDict[UUID, Matrix] = OrderedDict()
        self._announced: dict[UUID, int] = {}

    def announce(self, dataset_id: UUID) -> None:
        """Records of the dataset have changed."""
        self._announced[dataset_id] = self._announced.get(dataset_id, 0) + 1

    async def matrix(self, session: AsyncSession, settings: VectorSettings) -> Matrix:
        """The vectors as they are committed now."""
        announced = self._announced.get(settings.dataset_id, 0)
        count, newest = (
            await session.execute(
                select(func.count(), func.max(Vector.updated_at)).where(Vector.vector_settings_id == settings.id)
            )
        ).one()
        known = self._matrices.get(settings.id)
        if known is None or known.stamp != (count, newest, announced):
            found = (
                await session.execute(
                    select(Vector.record_id, cast(Vector.value, Text)).where(Vector.vector_settings_id == settings.id)
                )
            ).all()
            rows = await asyncio.to_thread(_read_vectors, [value for _, value in found], settings.dimensions)
            ids = np.empty(len(found), dtype=object)
            ids[:] = [record_id for record_id, _ in found]
            known = Matrix((count, newest, announced), ids, rows)
        self._matrices[settings.id] = known
        self._matrices.move_to_end(settings.id)
        while len(self._matrices) > MAX_MATRICES:
            self._matrices.popitem(last=False)
        return known


def _read_vectors(values: Sequence[str], dimensions: int) -> np.ndarray:
    rows = np.empty((len(values), dimensions), dtype=np.float32)
    for row, value in zip(rows, values, strict=True):
        row[:] = json.loads(value)
    return _unit(rows)


# --- the engine ---------------------------------------------------------------------------------------


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
        self._dialect = Dialect()
        self._vectors = VectorStore()

    @classmethod
    async def new_instance(cls) -> TableSearchEngine:
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    async def close(self) -> None:
        """Nothing is held open between requests."""

    async def ping(self) -> bool:
        async with AsyncSessionLocal() as session:
            return (await session.scalar(select(literal(1)))) == 1

    async def info(self) -> dict[str, Any]:
        async with AsyncSessionLocal() as session:
            return {"name": NAME, "database": session.get_bind().dialect.name}

    # The tables are the index: there is nothing to create, to fill or to bring up to date.

    async def create_index(self, dataset: Dataset) -> None:
        """Nothing to do."""

    async def delete_index(self, dataset: Dataset) -> None:
        """Nothing to do."""

    async def configure_metadata_property(self, dataset: Dataset, metadata_property: MetadataProperty) -> None:
        """Nothing to do."""

    async def configure_index_vectors(self, vector_settings: VectorSettings) -> None:
        """Nothing to do."""

    async def index_records(self, dataset: Dataset, records: Iterable[Record]) -> None:  # noqa: ARG002
        """Only the matrices of vectors are told."""
        self._vectors.announce(dataset.id)

    async def partial_record_update(self, record: Record, **update: Any) -> None:
        """Nothing to do."""

    async def delete_records(self, dataset: Dataset, records: Iterable[Record]) -> None:  # noqa: ARG002
        """Only the matrices of vectors are told."""
        self._vectors.announce(dataset.id)

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
        status = cast(Record.status, String)
        counted = select(status, func.count()).where(Record.dataset_id == dataset.id).group_by(status)
        return await self._counts(dataset, counted)

    async def get_dataset_user_progress(self, dataset: Dataset, user: User) -> dict[str, int]:
        """One person's responses by status, and their total."""
        if dataset.is_draft:
            return {}
        status = cast(Response.status, String)
        counted = (
            select(status, func.count())
            .join(Record, Record.id == Response.record_id)
            .where(Record.dataset_id == dataset.id, Response.user_id == user.id)
            .group_by(status)
        )
        return await self._counts(dataset, counted)

    @staticmethod
    async def _counts(dataset: Dataset, counted: Select[Any]) -> dict[str, int]:
        async with _reading(dataset) as session:
            counts = dict((await session.execute(counted)).tuples().all())
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
        that nothing else puts in order come in blocks of QUEUE_BLOCK as they were added, and within a
        block in that person's own random order. It stays the same while others answer and when records
        are added. So people work in the same neighbourhood at the same time and complete records
        together; with one shuffle over everything, a large dataset would be begun everywhere and
        completed nowhere.
        """
        async with _reading(dataset) as session:
            schema = await Schema.read(session, dataset.id)
            matching, relevance = self._matching(schema, query, filter)
            orders = [Conditions(schema, self._dialect).order(order) for order in sort or ()]
            if not orders and relevance is not None:
                orders.append(relevance.desc())
            if user_id is not None:
                if not orders:
                    blocks = _blocks(dataset.id)
                    matching = matching.join(blocks, blocks.c.id == Record.id)
                    orders.append(blocks.c.block)
                orders.append(self._dialect.shuffle(str(user_id)))
            orders += [Record.inserted_at, Record.id]
            score = literal(1.0) if relevance is None else relevance
            page = matching.add_columns(score, func.count().over()).order_by(*orders).offset(offset).limit(limit)
            rows = (await session.execute(page)).all()
            if rows:
                total = rows[0][2]
            else:  # past the end, or nothing was asked for: no row carries the total
                total = await session.scalar(select(func.count()).select_from(matching.subquery()))
        # As in Elasticsearch, there is no score where the order is given.
        return SearchResponses(
            items=[
                SearchResponseItem(record_id=record_id, score=None if sort else score) for record_id, score, _ in rows
            ],
            total=total,
        )

    def _matching(
        self, schema: Schema, query: TextQuery | str | None, filter_: Filter | None
    ) -> tuple[Select[Any], ColumnElement[float] | None]:
        """The ids of the records that match, and how well they answer the text query if there is one."""
        conditions = [Record.dataset_id == schema.dataset_id]
        if filter_ is not None:
            conditions.append(Conditions(schema, self._dialect).filter(filter_))
        if query is None:
            return select(Record.id).where(*conditions), None
        text = TextQuery(q=query) if isinstance(query, str) else query
        # Materialised: the text of every record that passes the filters is read once, not once for the
        # condition, once for the order and once for the score.
        read = (
            select(Record.id.label("id"), self._dialect.relevance(text, schema.hidden_fields).label("relevance"))
            .where(*conditions)
            .cte("texts")
            .prefix_with("MATERIALIZED")
        )
        found = select(Record.id).join(read, read.c.id == Record.id).where(read.c.relevance > 0)
        return found, read.c.relevance

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
        async with _reading(dataset) as session:
            matrix = await self._vectors.matrix(session, vector_settings)
            allowed = None
            if filter is not None or query is not None:
                schema = await Schema.read(session, dataset.id)
                matching, _ = self._matching(schema, query, filter)
                allowed = set(await session.scalars(matching))
        cosines = matrix.rows @ _unit(np.asarray(wanted, dtype=np.float32))
        sign = -1.0 if order == SimilarityOrder.least_similar else 1.0
        scores = (1.0 + sign * cosines) / 2.0
        items: list[SearchResponseItem] = []
        for place in np.argsort(-scores, kind="stable"):
            if len(items) == max_results:
                break
            record_id, score = matrix.record_ids[place], float(scores[place])
            if record is not None and record_id == record.id:
                continue
            if allowed is None or record_id in allowed:
                items.append(SearchResponseItem(record_id=record_id, score=score))
        total = len(items)
        if threshold is not None:
            items = [item for item in items if item.score is not None and item.score >= threshold]
        return SearchResponses(items=items, total=total)

    async def compute_metrics_for(self, metadata_property: MetadataProperty) -> MetadataMetrics:
        """What values a metadata property takes: terms with their counts, or the range of numbers."""
        element = self._dialect.elements(Record.metadata_, metadata_property.name)
        values = _typed(element.c.value, metadata_property.type)
        assert values is not None, metadata_property.type
        present = (Record.dataset_id == metadata_property.dataset_id, element.c.type != "null")
        async with _reading(metadata_property) as session:
            if metadata_property.type == MetadataPropertyType.terms:
                counted = (
                    select(values.column, func.count())
                    .select_from(Record, element)
                    .where(*present)
                    .group_by(values.column)
                    .order_by(func.count().desc(), values.column)
                )
                counts = (await session.execute(counted)).all()
                return TermsMetrics(
                    total=sum(count for _, count in counts),
                    values=[TermsMetrics.TermCount(term=term, count=count) for term, count in counts[:MAX_TERMS]],
                )
            extremes = select(func.min(values.column), func.max(values.column))
            low, high = (await session.execute(extremes.select_from(Record, element).where(*present))).one()
        if metadata_property.type == MetadataPropertyType.integer:
            return IntegerMetadataMetrics(
                min=None if low is None else int(low), max=None if high is None else int(high)
            )
        return FloatMetadataMetrics(
            min=None if low is None else _single(low, towards=-math.inf),
            max=None if high is None else _single(high, towards=math.inf),
        )


def _single(value: float, towards: float) -> float:
    """The number in single precision, which Argilla promises, never on the wrong side of the value.

    The page puts the ends of its slider there: rounded inwards, they would shut out the extremes.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
        if math.isinf(single):
            return value
        beyond = float(single) > value if towards < 0 else float(single) < value
        return float(np.nextafter(single, np.float32(towards)) if beyond else single)
