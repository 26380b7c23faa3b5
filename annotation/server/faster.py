"""Argilla's slow places, replaced in memory: same results, less time, and no standing still (the cursors of failed
statements). The wheel on disk stays as released.

Every replacement knows the source of what it replaces by a hash. Where Argilla's differs (another version), its own
code stays, and the log says so: slower, never wrong. `ANNOT_AS_RELEASED=1 annot up` starts without any of them.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import aiosqlite
import pydantic_core
from argilla_server.api.handlers.v1.datasets import records_bulk as bulk_handlers
from argilla_server.api.schemas.v1.questions import QuestionSettings
from argilla_server.api.schemas.v1.records_bulk import RecordsBulk, RecordsBulkCreate, RecordsBulkUpsert
from argilla_server.bulk import records_bulk
from argilla_server.contexts import datasets, distribution, records, webhooks
from argilla_server.database import async_engine
from argilla_server.models import Dataset, MetadataProperty, Question, Record, Response, Suggestion, User, Vector
from argilla_server.models.metadata_properties import MetadataPropertySettings
from argilla_server.search_engine import SearchEngine
from argilla_server.webhooks.v1.enums import RecordEvent, ResponseEvent
from fastapi import FastAPI
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.requests import Request
from starlette.responses import Response as HTTPResponse
from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger("annot")

REMEMBERED_S = 1.0
"""How long a session remembers what it would ask again and again; those of jobs live longer than those of requests."""


@dataclass(frozen=True)
class Replacement:
    """One function of Argilla's or of a library below it, and what takes its place."""

    place: Any  # the module or class that names it
    name: str
    known: str  # the first digits of the SHA-256 of its source
    new: Any

    def fits(self) -> bool:
        """Whether what stands there is what we know."""
        found: Any = inspect.getattr_static(self.place, self.name, None)
        written: Any = found.fget if isinstance(found, property) else found
        try:
            source = inspect.getsource(written)
        except (TypeError, OSError):
            source = ""
        return hashlib.sha256(source.encode()).hexdigest().startswith(self.known)


def apply(app: FastAPI | None) -> None:
    """Replace what is slow in Argilla, unless ANNOT_AS_RELEASED asks for its own code: to compare, or to rule out."""
    if os.environ.get("ANNOT_AS_RELEASED"):
        log.warning("ANNOT_AS_RELEASED is set: Argilla's own code, and slower.")
    else:
        install(app, async_engine)


def install(app: FastAPI | None, engine: AsyncEngine) -> list[str]:
    """Replace what is known.

    Args:
        app: the web server's; None in a worker.
        engine: the connection to the database.

    Returns:
        The names of what is not as we know it, and stays.
    """
    unknown = []
    for replacement in REPLACEMENTS:
        if replacement.fits():
            setattr(replacement.place, replacement.name, replacement.new)
        else:
            unknown.append(f"{replacement.place.__name__}.{replacement.name}")
            log.warning("%s is not the one that annot knows: it stays as it is, and is slower.", unknown[-1])
    # What create_engine(json_deserializer=…, json_serializer=…) sets.
    dialect: Any = engine.dialect
    dialect._json_deserializer, dialect._json_serializer = read_json, write_json
    if app is not None:
        app.add_middleware(UncompressedAtHome)
    return unknown


# --- validators: built once ---------------------------------------------------------------------------

# A validator was built for every value that was checked. The settings themselves are still read every time: a model's
# can be changed.
_QUESTION: TypeAdapter[Any] = TypeAdapter(QuestionSettings)
_PROPERTY: TypeAdapter[Any] = TypeAdapter(MetadataPropertySettings)


def _question_settings(question: Question) -> Any:
    return _QUESTION.validate_python(question.settings)


def _property_settings(property_: MetadataProperty) -> Any:
    return _PROPERTY.validate_python(property_.settings)


# --- JSON: pydantic's reader and writer ---------------------------------------------------------------


def read_json(text: str | bytes) -> Any:
    """As `json.loads`, five times as fast."""
    try:
        return pydantic_core.from_json(text)
    except ValueError:  # half a surrogate pair, or nonsense: the standard library knows what to say
        return json.loads(text)


async def _request_json(request: Request) -> Any:
    if not hasattr(request, "_json"):
        request._json = read_json(await request.body())
    return request._json


_SMALL = re.compile(r"0\.0000\d+")  # Python writes such numbers with an exponent


def write_json(value: Any) -> str:
    """As `json.dumps`, to the byte; a vector in a fifth of the time."""
    if type(value) is list and set(map(type, value)) == {float}:
        text = pydantic_core.to_json(value).decode()
        if "e" not in text:  # exponents have two digits at least in Python
            return _SMALL.sub(_as_python_writes, text.replace(",", ", "))
    return json.dumps(value)


def _as_python_writes(found: re.Match[str]) -> str:
    inside_a_number = found.string[found.start() - 1].isdigit()
    return found[0] if inside_a_number else repr(float(found[0]))


# --- events: only those that somebody hears -----------------------------------------------------------


async def _is_heard(db: AsyncSession, event: str) -> bool:
    """Whether a webhook listens to an event."""
    known = db.info.get("annot_heard")
    if known is None or time.monotonic() - known[0] > REMEMBERED_S:
        enabled = await webhooks.list_enabled_webhooks(db)
        known = db.info["annot_heard"] = (time.monotonic(), {name for webhook in enabled for name in webhook.events})
    return event in known[1]


_tell_of_record, _tell_of_response = distribution.notify_record_event_v1, datasets.notify_response_event_v1


async def _notify_record_event(db: AsyncSession, record_event: RecordEvent, record: Record) -> list[Any]:
    return await _tell_of_record(db, record_event, record) if await _is_heard(db, record_event) else []


async def _notify_response_event(db: AsyncSession, response_event: ResponseEvent, response: Response) -> list[Any]:
    return await _tell_of_response(db, response_event, response) if await _is_heard(db, response_event) else []


# --- membership: asked once per request ---------------------------------------------------------------

_is_member = User.is_member


async def _is_member_once(user: User, workspace_id: UUID) -> bool:
    """A page of ten records asked fifty times: once for each value of each record's metadata."""
    session = user.current_async_session
    if session is None:
        return await _is_member(user, workspace_id)
    known: dict[tuple[UUID, UUID], tuple[float, bool]] = session.info.setdefault("annot_member", {})
    at, answer = known.get((user.id, workspace_id), (0.0, False))
    if time.monotonic() - at > REMEMBERED_S or not at:
        answer = await _is_member(user, workspace_id)
        known[user.id, workspace_id] = (time.monotonic(), answer)
    return answer


# --- bulks: nothing is read back that was just written ------------------------------------------------

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


async def _upsert(db: AsyncSession, model: Any, rows: list[dict[str, Any]], key: tuple[str, str]) -> None:
    """As `model.upsert_many`, but the rows do not come back, and one statement serves any number of them."""
    if not rows:
        return
    now = datetime.utcnow()
    insert = _INSERT[db.bind.dialect.name](model.__table__)
    changed = {name: insert.excluded[name] for name in (*model.__upsertable_columns__, "updated_at")}
    await db.execute(
        insert.on_conflict_do_update(index_elements=key, set_=changed),
        [{"id": uuid4(), "inserted_at": now, "updated_at": now, **row} for row in rows],
    )
    if held := [key[0] for model_, key, *_ in db.identity_map.keys() if model_ is model]:  # noqa: SIM118  no dict
        # What this request has read before must not stay as it was.
        await db.execute(select(model).where(model.id.in_(held)), execution_options={"populate_existing": True})


async def _upsert_vectors(
    bulk: records_bulk.CreateRecordsBulk, records_and_vectors: Sequence[tuple[Record, dict[str, list[float]] | None]]
) -> list[Vector]:
    rows = []
    for record, vectors in records_and_vectors:
        for name, value in (vectors or {}).items():
            settings = record.dataset.vector_settings_by_name(name)
            assert settings is not None  # the bulk was checked
            rows.append({"value": value, "record_id": record.id, "vector_settings_id": settings.id})
    await _upsert(bulk._db, Vector, rows, ("record_id", "vector_settings_id"))
    return []  # the one who asks does not look at them


async def _upsert_suggestions(
    bulk: records_bulk.CreateRecordsBulk, records_and_suggestions: Sequence[tuple[Record, list[Any] | None]]
) -> list[Suggestion]:
    rows = [
        {**suggestion.model_dump(), "record_id": record.id}
        for record, suggestions in records_and_suggestions
        for suggestion in suggestions or []
    ]
    await _upsert(bulk._db, Suggestion, rows, ("record_id", "question_id"))
    return []


# --- answers to bulks: records become JSON at once ----------------------------------------------------

_BULK = TypeAdapter(RecordsBulk)


def _as_json(answer: RecordsBulk, status: int) -> HTTPResponse:
    return HTTPResponse(_BULK.dump_json(answer), status_code=status, media_type="application/json")


class AnsweringCreateRecordsBulk:
    """Argilla's, with the HTTP answer as its result: FastAPI would make plain objects of it first."""

    def __init__(self, db: AsyncSession, search_engine: SearchEngine) -> None:
        self._bulk = records_bulk.CreateRecordsBulk(db, search_engine)

    async def create_records_bulk(self, dataset: Dataset, bulk_create: RecordsBulkCreate) -> HTTPResponse:
        """See Argilla's."""
        return _as_json(await self._bulk.create_records_bulk(dataset, bulk_create), 201)


class AnsweringUpsertRecordsBulk:
    """Argilla's, with the HTTP answer as its result."""

    def __init__(self, db: AsyncSession, search_engine: SearchEngine) -> None:
        self._bulk = records_bulk.UpsertRecordsBulk(db, search_engine)

    async def upsert_records_bulk(
        self, dataset: Dataset, bulk_upsert: RecordsBulkUpsert, raise_on_error: bool = True
    ) -> HTTPResponse:
        """See Argilla's."""
        return _as_json(await self._bulk.upsert_records_bulk(dataset, bulk_upsert, raise_on_error), 200)


# --- answers to this machine: not compressed ----------------------------------------------------------


class UncompressedAtHome:
    """Compressing what never leaves the machine takes longer than anything else in a large answer.

    Behind a proxy on this machine the client is who the proxy says it is (uvicorn reads X-Forwarded-For).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hide from the API that a client on this machine would take a compressed answer."""
        if scope["type"] == "http" and scope["path"].startswith("/api/") and (scope["client"] or ("",))[0] in _HOME:
            scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"accept-encoding"]}
        await self._app(scope, receive, send)


_HOME = ("127.0.0.1", "::1")

# --- statements that failed: closed at once -----------------------------------------------------------


async def _execute_and_close_on_error(
    cursor: aiosqlite.Cursor, function: Callable[..., Any], *arguments: Any, **options: Any
) -> Any:
    """As aiosqlite's; the cursor of a statement that failed is closed, which SQLAlchemy leaves to a garbage collection.

    That may come in the event loop's thread while the cursor's connection waits to write. Closing the cursor then waits
    for the connection, which waits for a writer, who needs the event loop to commit: nobody is answered for a minute.
    """
    try:
        return await cursor._conn._execute(function, *arguments, **options)
    except Exception:  # numbers beyond 64 bits, halves of surrogate pairs: not only what SQLite says
        await cursor._conn._execute(cursor._cursor.close)
        raise


# --- what is replaced ---------------------------------------------------------------------------------

REPLACEMENTS = (
    Replacement(Question, "parsed_settings", "5d2f427fe465", property(_question_settings)),
    Replacement(MetadataProperty, "parsed_settings", "263c9f47b2de", property(_property_settings)),
    Replacement(Request, "json", "c22edc8854b3", _request_json),
    Replacement(User, "is_member", "ffa28a00107b", _is_member_once),
    *(
        Replacement(place, "notify_record_event_v1", "92209f75197b", _notify_record_event)
        for place in (records_bulk, distribution, records)
    ),
    Replacement(datasets, "notify_response_event_v1", "35e9c0c3f909", _notify_response_event),
    Replacement(records_bulk.CreateRecordsBulk, "_upsert_records_vectors", "ac7f8f127f4f", _upsert_vectors),
    Replacement(records_bulk.CreateRecordsBulk, "_upsert_records_suggestions", "cefd52bfd9ab", _upsert_suggestions),
    Replacement(bulk_handlers, "CreateRecordsBulk", "9e28397c69ee", AnsweringCreateRecordsBulk),
    Replacement(bulk_handlers, "UpsertRecordsBulk", "c622880182ac", AnsweringUpsertRecordsBulk),
    Replacement(aiosqlite.Cursor, "_execute", "c2b07decd106", _execute_and_close_on_error),
)
