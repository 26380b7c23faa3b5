"""What is assigned over HTTP: how a person stands to a dataset, answers without a seat, and what is told to annotators.

An annotator is told nothing by which one record could be told from another: control records are theirs to answer, not
to recognise. So they get neither the rule of assignment nor what is hidden of a record's metadata, and of every record
the same status and times.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from uuid import UUID

from argilla_server.api.policies.v1 import DatasetPolicy, RecordPolicy, authorize
from argilla_server.api.schemas.v1.records import Record as RecordSchema
from argilla_server.contexts import datasets
from argilla_server.database import get_async_db
from argilla_server.enums import RecordStatus, ResponseStatus
from argilla_server.errors.future import NotUniqueError
from argilla_server.models import Dataset, Record, Response, User
from argilla_server.security import auth
from fastapi import Depends, FastAPI, Security
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.attributes import set_committed_value
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as HTTPResponse

from annotation.server.search.assignment import Refusal, Room, Why
from annotation.server.search.assignment_rule import ASSIGN


class NoSeat(NotUniqueError):
    """An answer to a record that has its people, or is not for this person; Argilla answers 409."""

    SENTENCES: Mapping[Refusal, str] = {
        Refusal.NO_SEAT: (
            "Other people have this one already, so your answer was not stored. Please go on with the next. Thank you!"
        ),
        Refusal.NOT_THEIRS: (
            "This one is not yours to answer now, so your answer was not stored. Please go on with what the page shows "
            "you. Thank you!"
        ),
    }

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(self.SENTENCES[refusal], refusal)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        """What the answer to a bulk says of one of its items."""
        return str(self.message)


class Told(BaseModel):
    """What the page tells a person of a dataset."""

    assigned: bool
    why: Why = Why.OPEN
    answered: int = 0
    left: int = 0
    """Records that they can still get now, with those they hold."""
    entry: UUID | None = None
    """The dataset of the entry test."""
    test: str = ""
    """In an entry test: how they stand to it, "open", "passed", "waits" or "failed"."""
    until: str = ""
    """When the next try opens."""
    work: UUID | None = None
    """The dataset that the test opens."""


def serve(api: FastAPI) -> None:
    """Answer `GET /annot/assignment/{dataset_id}` in Argilla's API, and keep every way of answering to the seats."""
    for name, whose in _ANSWERING.items():
        setattr(datasets, name, _seated(getattr(datasets, name), whose))
    for (method, path), told in _TOLD.items():
        _tell(api, method, path, told)
    DatasetPolicy.get = staticmethod(_get_unless_shut)  # type: ignore[method-assign]

    @api.exception_handler(NoSeat)
    async def tell_no_seat(_request: Request, problem: NoSeat) -> HTTPResponse:
        return JSONResponse({"detail": problem.message, "code": problem.code}, status_code=409)

    @api.get("/annot/assignment/{dataset_id}", response_model=Told, tags=["annot"])
    async def get_assignment(
        *,
        db: Annotated[AsyncSession, Depends(get_async_db)],
        current_user: Annotated[User, Security(auth.get_current_user)],
        dataset_id: UUID,
    ) -> Told:
        """How the person who asks stands to a dataset."""
        dataset = await Dataset.get_or_raise(db, dataset_id)
        await authorize(current_user, _of_members(dataset))
        room = Room.of(db, dataset, current_user)
        if room is None:
            return Told(assigned=False)
        now = await room.standing()
        told = Told(assigned=True, why=now.why, answered=now.answered, left=now.left, entry=room.rule.entry)
        if turns := room.rule.turns:
            told.work, (told.test, told.until) = turns.work, turns.told.get(str(current_user.id), ("open", ""))
        return told


# --- answering ----------------------------------------------------------------------------------------

Answering = Callable[..., Awaitable[Response]]


def _seated(answer: Answering, whose: Callable[..., tuple[Record, UUID, ResponseStatus]]) -> Answering:
    """A function of Argilla's that stores an answer, which takes a seat in the transaction that it ends."""

    async def seated(db: AsyncSession, *arguments: Any) -> Response:
        record, user_id, status = whose(*arguments)
        room = Room.of(db, record.dataset, await db.get_one(User, user_id))
        if room and (refusal := await room.take(record.id, status)):
            raise NoSeat(refusal)
        return await answer(db, *arguments)

    return seated


def _new(_engine: Any, record: Record, user: User, given: Any) -> tuple[Record, UUID, ResponseStatus]:
    return record, user.id, given.status


def _again(_engine: Any, response: Response, given: Any) -> tuple[Record, UUID, ResponseStatus]:
    return response.record, response.user_id, given.status


_ANSWERING: dict[str, Callable[..., tuple[Record, UUID, ResponseStatus]]] = {
    "create_response": _new,
    "upsert_response": _new,
    "update_response": _again,
}
"""Every way in which Argilla stores a person's answer."""


# --- what annotators are told -------------------------------------------------------------------------

Telling = Callable[..., Awaitable[Any]]


def _tell(api: FastAPI, method: str, path: str, told: Callable[..., Awaitable[Any]]) -> None:
    """Have what Argilla answers to an annotator pass through a function, which is given what it was asked as well."""
    (route,) = (r for r in api.routes if isinstance(r, APIRoute) and r.path == path and method in r.methods)
    asked = route.dependant.call
    assert asked is not None
    assert inspect.iscoroutinefunction(asked)

    async def tell(**request: Any) -> Any:
        found = await asked(**request)
        return await told(found, **request) if request["current_user"].is_annotator else found

    route.dependant.call = tell


async def _without_rule(dataset: Dataset, **_: Any) -> Dataset:
    if ASSIGN in (rules := dataset.metadata_ or {}):
        set_committed_value(dataset, "metadata_", {name: rule for name, rule in rules.items() if name != ASSIGN})
    return dataset


async def _of_theirs(found: Any, *, db: AsyncSession, current_user: User, **_: Any) -> Any:
    there, found.items = found.items, []
    for dataset in there:
        if ASSIGN in (dataset.metadata or {}):
            if await _is_shut(await db.get_one(Dataset, dataset.id), current_user):
                continue
            del dataset.metadata[ASSIGN]
        found.items.append(dataset)
    return found


_of_members: Any = DatasetPolicy.get


def _get_unless_shut(dataset: Dataset) -> Callable[[User], Awaitable[bool]]:
    """Argilla's policy of who may look at a dataset, for an annotator not at one that is for others alone."""

    async def is_allowed(actor: User) -> bool:
        return await _of_members(dataset)(actor) and not (actor.is_annotator and await _is_shut(dataset, actor))

    return is_allowed


async def _is_shut(dataset: Dataset, annotator: User) -> bool:
    session = async_object_session(dataset)
    assert session is not None  # of the request
    room = Room.of(session, dataset, annotator)
    return room is not None and await room.is_shut()


async def _found(found: Any, *, db: AsyncSession, dataset_id: UUID, body: Any, current_user: User, **_: Any) -> Any:
    """A page of a search: of one by vectors, which knows no person, what they were sent or have answered."""
    dataset = await db.get_one(Dataset, dataset_id)
    room = Room.of(db, dataset, current_user)
    if room is None:
        return found
    if body.query and body.query.vector:
        ids = select(Record.id).where(room.visible(), Record.id.in_([item.record.id for item in found.items]))
        theirs = set(await db.scalars(ids))
        found.items = [item for item in found.items if item.record.id in theirs]
        found.total = len(found.items)
    for item in found.items:
        _all_alike(item.record, dataset)
    return found


async def _single(record: Record, *, db: AsyncSession, current_user: User, **_: Any) -> Any:
    """A record that they were sent or have answered, with their own answer alone."""
    room = await _room_of_sent(db, record, current_user)
    if room is None:
        return record
    await room.renew()
    await db.commit()
    told = RecordSchema.model_validate(record)
    told.responses = [response for response in told.responses or () if response.user_id == current_user.id]
    seen = await room.told_properties()
    told.metadata = {name: value for name, value in (told.metadata or {}).items() if name in seen}
    _all_alike(told, record.dataset)
    return HTTPResponse(told.model_dump_json(), media_type="application/json")  # FastAPI would read it as a row again


async def _suggestions(found: Any, *, db: AsyncSession, record_id: UUID, current_user: User, **_: Any) -> Any:
    """Those of a record that they may look at."""
    options: list[Any] = [selectinload(Record.dataset), selectinload(Record.responses)]
    record = await Record.get_or_raise(db, record_id, options)
    await authorize(current_user, RecordPolicy.get(record))
    await _room_of_sent(db, record, current_user)
    return found


async def _room_of_sent(db: AsyncSession, record: Record, user: User) -> Room | None:
    """The room of a record, which must have been sent to this person or answered by them; None without a rule."""
    room = Room.of(db, record.dataset, user)
    if room and not await db.scalar(select(Record.id).where(room.visible(), Record.id == record.id)):
        await authorize(user, _nobody)
    return room


async def _nobody(_actor: User) -> bool:
    return False


def _all_alike(record: RecordSchema, dataset: Dataset) -> None:
    record.status = RecordStatus.pending
    record.inserted_at = record.updated_at = dataset.inserted_at


_TOLD: dict[tuple[str, str], Telling] = {
    ("GET", "/datasets/{dataset_id}"): _without_rule,
    ("GET", "/me/datasets"): _of_theirs,
    ("POST", "/me/datasets/{dataset_id}/records/search"): _found,
    ("GET", "/records/{record_id}"): _single,
    ("GET", "/records/{record_id}/suggestions"): _suggestions,
}
