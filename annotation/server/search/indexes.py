"""Indexes on Argilla's own tables, for what the page asks again and again. Their names begin with `annot_ix_`.

They hold nothing that the tables do not, and may be dropped at any time. Those on values inside of JSON are for SQLite
only, one for each metadata property and question that a filter can name; an expression in a filter uses one when it is
written exactly as in the index, which is why both call `single`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from argilla_server.enums import MetadataPropertyType, QuestionType
from argilla_server.models import MetadataProperty, Question
from sqlalchemy import ColumnElement, Connection, Float, Text, literal_column, select, text
from sqlalchemy.orm import InstrumentedAttribute

LISTED: ColumnElement[Any] = literal_column("x'5B'")
"""What stands in an index for a list or an object, whose elements have to be looked at."""

MOST = 64
"""Indexes on values, over all datasets, those of the newest: each costs a little at every record that is logged."""

PLAIN = {
    # The queue: records of a status in the order of adding, without reading the records.
    "annot_ix_records_queue": "records (dataset_id, status, inserted_at, id)",
    "annot_ix_records_order": "records (dataset_id, inserted_at, id)",
    "annot_ix_responses_record": "responses (record_id, status)",
    # What is left of the records that a text search found.
    "annot_ix_records_status": "records (id, status)",
    # What a person has answered.
    "annot_ix_responses_user": "responses (user_id, status, record_id)",
    "annot_ix_suggestions_agent": "suggestions (question_id, agent, record_id)",
}

# A question's or property's type decides how its values compare; those of other types are not searched.
NUMERIC = {QuestionType.rating, MetadataPropertyType.integer, MetadataPropertyType.float}
NAMED = {QuestionType.label_selection, QuestionType.multi_label_selection, MetadataPropertyType.terms}


def single(
    column: InstrumentedAttribute[Any], type_: QuestionType | MetadataPropertyType | type[float], *keys: str
) -> ColumnElement[Any] | None:
    """The value at a place of a JSON column if it is one value, LISTED if it is several, for SQLite.

    None where nothing can be indexed: by its type, or by a key that would have to be quoted.
    """
    as_type = "FLOAT" if type_ in NUMERIC or type_ is float else "TEXT" if type_ in NAMED else None
    if as_type is None or not all(re.fullmatch(r"[\w-]+", key, re.ASCII) for key in keys):
        return None
    where = f'{column.class_.__tablename__}."{column.expression.name}"'
    path = "'$" + "".join(f'."{key}"' for key in keys) + "'"
    # What is no JSON for SQLite, such as NaN, has no value here: the index must not keep it from being stored.
    written = (
        f"CASE WHEN json_valid({where}) THEN CASE WHEN json_type({where}, {path}) IN ('array', 'object') THEN x'5B' "
        f"ELSE CAST(json_extract({where}, {path}) AS {as_type}) END END"
    )
    return literal_column(written, Float if as_type == "FLOAT" else Text)


def set_up(connection: Connection) -> None:
    """Make what is missing, and drop what no dataset can use any more."""
    for name, columns in PLAIN.items():
        connection.execute(text(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}"))
    if connection.dialect.name == "sqlite":
        _set_up_values(connection)


def drop(connection: Connection) -> None:
    """Drop all of ours; `set_up` makes them again."""
    known = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'annot_ix_%'"
    if connection.dialect.name != "sqlite":
        known = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'annot_ix_%'"
    for name in connection.scalars(text(known)).all():
        connection.exec_driver_sql(f'DROP INDEX "{name}"')


def _set_up_values(connection: Connection) -> None:
    wanted = dict(islice(dict(_value_indexes(connection)).items(), MOST))
    known = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'annot_ix_value_%'"
    there = set(connection.scalars(text(known)))
    for name in there - wanted.keys():
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for name in wanted.keys() - there:
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {wanted[name]}")


def _value_indexes(connection: Connection) -> Iterator[tuple[str, str]]:
    """The name and the columns of every index on values that a filter can use."""
    from argilla_server.models import Record, Response, Suggestion

    properties = select(MetadataProperty.name, MetadataProperty.settings).order_by(MetadataProperty.inserted_at.desc())
    for name, settings in connection.execute(properties):
        value = single(Record.metadata_, MetadataPropertyType(settings["type"]), name)
        yield from _named("records", "dataset_id", value, "status, inserted_at, id")
    questions = select(Question.name, Question.settings).order_by(Question.inserted_at.desc())
    for name, settings in connection.execute(questions):
        type_ = QuestionType(settings["type"])
        yield from _named("suggestions", "question_id", single(Suggestion.value, type_), "record_id")
        yield from _named("responses", "user_id", single(Response.values, type_, name, "value"), "record_id")
    yield from _named("suggestions", "question_id", single(Suggestion.score, float), "record_id")


def _named(table: str, first: str, value: ColumnElement[Any] | None, last: str) -> Iterator[tuple[str, str]]:
    if value is not None:
        # An index names its columns without the table.
        columns = f"{first}, {str(value).replace(f'{table}.', '')}, {last}"
        digest = hashlib.sha256(f"{table} {columns}".encode()).hexdigest()[:16]
        yield f"annot_ix_value_{digest}", f"{table} ({columns})"
