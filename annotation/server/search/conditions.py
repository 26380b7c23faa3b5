"""Argilla's filters and orders as SQL over `records`.

Everything typed by a person is a bound value; names of questions and metadata properties are looked up
in the tables of their dataset first, and an unknown name matches nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from argilla_server.enums import (
    MetadataPropertyType,
    QuestionType,
    RecordStatus,
    ResponseStatus,
    ResponseStatusFilter,
    SortOrder,
)
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import MetadataProperty, Question, Record, Response, Suggestion, User
from argilla_server.search_engine import (
    AndFilter,
    Filter,
    MetadataFilterScope,
    Order,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.expression import TableValuedAlias

from annotation.server.search import indexes
from annotation.server.search.dialects import Dialect


class SearchRefused(UnprocessableEntityError):
    """A filter holds a value that cannot be what it is compared with; Argilla answers 422."""

    def __init__(self, sentence: str) -> None:
        UnprocessableEntityError.__init__(self, sentence)


@dataclass(frozen=True)
class Schema:
    """What a dataset asks and describes its records with, by name."""

    dataset_id: UUID
    questions: dict[str, tuple[UUID, QuestionType]]
    properties: dict[str, MetadataPropertyType]

    @classmethod
    async def read(cls, session: AsyncSession, dataset_id: UUID) -> Schema:
        """Read it from the tables."""
        questions = await session.execute(
            select(Question.name, Question.id, Question.settings).where(Question.dataset_id == dataset_id)
        )
        properties = await session.execute(
            select(MetadataProperty.name, MetadataProperty.settings).where(MetadataProperty.dataset_id == dataset_id)
        )
        return cls(
            dataset_id=dataset_id,
            questions={name: (id_, QuestionType(settings["type"])) for name, id_, settings in questions},
            properties={name: MetadataPropertyType(settings["type"]) for name, settings in properties},
        )


@dataclass(frozen=True)
class Values:
    """A column of values that a filter compares or an order sorts by, and what a value must be."""

    column: ColumnElement[Any]
    read: Callable[[Any], Any]

    def matches(self, filter_: TermsFilter | RangeFilter) -> ColumnElement[bool]:
        """Whether a value is one of the terms, or within the range."""
        if isinstance(filter_, TermsFilter):
            return self.column.in_(self.terms(filter_))
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

    def terms(self, filter_: TermsFilter) -> list[Any]:
        """The terms that a value could be."""
        terms = []
        for value in filter_.values:
            with contextlib.suppress(ValueError):  # no record has a value that cannot be one
                terms.append(self.read(value))
        return terms


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


def _string(value: Any) -> str:
    """A text that PostgreSQL can hold: no NUL."""
    written = str(value)
    if "\0" in written:
        raise ValueError("NUL is no letter")
    return written


def _number(value: Any) -> float:
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{value!r} is no number")
    return number


def typed(dialect: Dialect, element: TableValuedAlias, type_: QuestionType | MetadataPropertyType) -> Values | None:
    """The values in a JSON column, as the type has them; None for types that are not searched."""
    if type_ in indexes.NUMERIC:
        return Values(dialect.as_number(element), _number)
    if type_ in indexes.NAMED:
        return Values(dialect.as_text(element), _string)
    return None


class Conditions:
    """Turns Argilla's filters and orders into SQL over `records`."""

    def __init__(self, schema: Schema, dialect: Dialect, *, few: bool = False) -> None:
        """`few`: another condition names the records, and no index on their status should be gone through instead."""
        self._schema = schema
        self._dialect = dialect
        self._status = func.coalesce(Record.status, null()) if few else Record.status

    def filter(self, filter_: Filter) -> ColumnElement[bool]:
        """Whether a record passes."""
        if isinstance(filter_, AndFilter):
            return and_(true(), *(self.filter(part) for part in filter_.filters))
        scope = filter_.scope
        if isinstance(scope, ResponseFilterScope) and scope.question is None:
            return self._response_status(scope, filter_)
        if isinstance(scope, RecordFilterScope) and scope.property == "status" and isinstance(filter_, TermsFilter):
            return self._status.in_([status for status in RecordStatus if status.value in filter_.values])
        source = self._source(scope)
        if source is None:
            return false()
        values, among = source
        if among is None:
            return values.matches(filter_)
        indexed = self._by_index(scope, filter_)
        return exists(among.where(values.matches(filter_))) if indexed is None else indexed

    def _by_index(self, scope: Any, filter_: TermsFilter | RangeFilter) -> ColumnElement[bool] | None:
        """The same as an expression that an index can answer; None where there is none."""
        if isinstance(scope, MetadataFilterScope):
            type_ = self._schema.properties[scope.metadata_property]
            return self._chosen(Record.metadata_, type_, filter_, scope.metadata_property)
        question = getattr(scope, "question", None) or ""
        question_id, question_type = self._schema.questions.get(question, (None, None))
        if isinstance(scope, ResponseFilterScope) and scope.user is not None:
            chosen = self._chosen(Response.values, question_type, filter_, question, "value")
            of_these = select(Response.record_id).where(Response.user_id == scope.user.id)
        elif isinstance(scope, SuggestionFilterScope):
            if scope.property == "agent":
                chosen = Values(Suggestion.agent.expression, _string).matches(filter_)
            elif scope.property == "score":
                chosen = self._chosen(Suggestion.score, float, filter_)
            else:
                chosen = self._chosen(Suggestion.value, question_type, filter_) if scope.property == "value" else None
            of_these = select(Suggestion.record_id).where(Suggestion.question_id == question_id)
        else:
            return None
        return None if chosen is None else Record.id.in_(of_these.where(chosen))

    def _chosen(
        self, column: Any, type_: Any, filter_: TermsFilter | RangeFilter, *keys: str
    ) -> ColumnElement[bool] | None:
        """Whether the value at a place of a JSON column, or one of several, passes a filter."""
        value = self._dialect.single(column, type_, *keys)
        if value is None:
            return None
        element = self._dialect.elements(column, *keys)
        number = type_ is float or type_ in indexes.NUMERIC
        read, one = (_number, self._dialect.as_number) if number else (_string, self._dialect.as_text)
        of_list = exists(select(literal(1)).select_from(element).where(Values(one(element), read).matches(filter_)))
        # SQLite takes the index for one condition that lists are part of, not for this or that. LISTED is above all
        # numbers and texts.
        is_list = value == indexes.LISTED
        if isinstance(filter_, TermsFilter):
            terms = [literal(term) for term in Values(value, read).terms(filter_)]
            return and_(value.in_([*terms, indexes.LISTED]), or_(not_(is_list), of_list))
        from_here = Values(value, read).matches(RangeFilter(filter_.scope, ge=filter_.ge))
        to_here = Values(value, read).matches(RangeFilter(filter_.scope, le=filter_.le))
        return and_(from_here, or_(and_(to_here, value < literal_column("x''")), and_(is_list, of_list)))

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
            return Values(Record.external_id.expression, _string)
        if name == "status":
            return Values(cast(Record.status, String), _string)
        raise SearchRefused(f"Records cannot be searched by {name!r}.")

    def _metadata(self, name: str) -> tuple[Values, Select[Any]] | None:
        type_ = self._schema.properties.get(name)
        if type_ is None:
            return None
        element = self._dialect.elements(Record.metadata_, name)
        values = typed(self._dialect, element, type_)
        assert values is not None, type_
        return values, select(literal(1)).select_from(element).where(not_(self._dialect.is_null(element)))

    def _suggestion(self, scope: SuggestionFilterScope) -> tuple[Values, Select[Any]] | None:
        if scope.question not in self._schema.questions:
            return None
        question_id, type_ = self._schema.questions[scope.question]
        made = select(literal(1)).where(Suggestion.record_id == Record.id, Suggestion.question_id == question_id)
        if scope.property == "agent":
            return Values(Suggestion.agent.expression, _string), made
        if scope.property == "type":
            return Values(cast(Suggestion.type, String), _string), made
        if scope.property not in ("value", "score"):
            raise SearchRefused(f"Suggestions cannot be searched by {scope.property!r}.")
        element = self._dialect.elements(getattr(Suggestion, scope.property))
        values = (
            Values(self._dialect.as_number(element), _number)
            if scope.property == "score"
            else typed(self._dialect, element, type_)
        )
        if values is None:
            return None
        return values, made.select_from(Suggestion, element).where(not_(self._dialect.is_null(element)))

    def _response(self, scope: ResponseFilterScope) -> tuple[Values, Select[Any]] | None:
        given = select(literal(1)).where(Response.record_id == Record.id)
        if scope.user is not None:
            given = given.where(Response.user_id == scope.user.id)
        if scope.question is None:
            return Values(cast(Response.status, String), _string), given
        if scope.question not in self._schema.questions:
            return None
        _, type_ = self._schema.questions[scope.question]
        element = self._dialect.elements(Response.values, scope.question, "value")
        values = typed(self._dialect, element, type_)
        if values is None:
            return None
        return values, given.select_from(Response, element).where(not_(self._dialect.is_null(element)))

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
        if answered and scope.user is not None:
            statuses = [status for status in ResponseStatus if status.value in answered]
            mine = Response.user_id == scope.user.id, Response.status.in_(statuses)
            chosen.append(Record.id.in_(select(Response.record_id).where(*mine)))
        elif answered:
            chosen.append(exists(given.where(values.column.in_(sorted(answered)))))
        if ResponseStatusFilter.pending in filter_.values:
            chosen.append(not_(exists(given)))
        return or_(*chosen) if chosen else exists(given)


def split_pending(filter_: Filter | None) -> tuple[Filter | None, User | None]:
    """A filter without its condition that one person has not answered yet, and that person; None where it has none."""
    parts = filter_.filters if isinstance(filter_, AndFilter) else [filter_] if filter_ is not None else []
    for part in parts:
        scope = getattr(part, "scope", None)
        if (
            isinstance(scope, ResponseFilterScope)
            and scope.question is None
            and scope.user is not None
            and isinstance(part, TermsFilter)
            and set(part.values) == {ResponseStatusFilter.pending}
        ):
            return AndFilter([other for other in parts if other is not part]), scope.user
    return filter_, None


AUTHOR = "author"
"""Metadata with the user name of whoever wrote what a record is about: nobody is asked about their own."""


def not_ones_own(schema: Schema, filter_: Filter | None) -> list[ColumnElement[bool]]:
    """What keeps records of a person's own out of their queue; nothing for other searches and datasets."""
    _, person = split_pending(filter_)
    if person is None or AUTHOR not in schema.properties:
        return []
    author = Record.metadata_[AUTHOR].as_string()
    return [or_(author.is_(None), author != person.username)]
