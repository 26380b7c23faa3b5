"""What is guarded over HTTP: a person asks how they stand to it, and gets no record by its id that they may not see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from argilla_server.api.policies.v1 import DatasetPolicy, RecordPolicy, authorize
from argilla_server.database import get_async_db
from argilla_server.models import Dataset, Question, Record, User
from argilla_server.security import auth
from fastapi import Depends, FastAPI, Security
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_object_session
from sqlalchemy.orm.attributes import set_committed_value

from annotation.server.search.consent import Guard, Standing, Why, is_guarded, read_next, read_rule, read_sent
from annotation.server.search.dialects import Dialect


class Told(BaseModel):
    """What the page tells a person of a dataset."""

    guarded: bool
    why: Why = Why.OPEN
    asks: UUID | None = None
    """The dataset in which they consent."""
    answer: str = ""
    """The status of their answer there."""
    most_a_day: int = 0
    left: int = 0
    """How many records they can be sent now that they were not sent yet."""
    finished: bool = False
    """There are more for them, and none is left for now."""
    question: str = ""
    option: str = ""
    """By which option of a question they stop."""
    stop: str = ""
    """Its text."""


def serve(api: FastAPI, dialect: Dialect) -> None:
    """Answer `GET /annot/guards/{dataset_id}` in Argilla's API, and show single records as a search would."""
    _guard_single_records()

    @api.get("/annot/guards/{dataset_id}", response_model=Told, tags=["annot"])
    async def get_guard(
        *,
        db: Annotated[AsyncSession, Depends(get_async_db)],
        current_user: Annotated[User, Security(auth.get_current_user)],
        dataset_id: UUID,
    ) -> Told:
        """How the person who asks stands to a dataset."""
        dataset = await Dataset.get_or_raise(db, dataset_id)
        await authorize(current_user, DatasetPolicy.get(dataset))
        if not is_guarded(dataset):
            return Told(guarded=False)
        guard = read_rule(Guard, dataset.metadata_)
        if guard is None:
            return Told(guarded=True, why=Why.NOBODY_ASKS)
        standing = await Standing.read(db, dataset.workspace_id, current_user.id)
        sent = await read_sent(db, current_user.id)
        left = max(0, guard.most_a_day - len(sent))
        question = await Question.get_by(db, dataset_id=dataset.id, name=guard.question)
        options = question.settings.get("options", ()) if question else ()
        return Told(
            guarded=True,
            why=standing.why,
            asks=standing.asks,
            answer=standing.answer,
            most_a_day=guard.most_a_day,
            left=left,
            finished=not left and bool(await read_next(db, dialect, dataset, current_user.id, sent, 1)),
            question=guard.question,
            option=guard.stop,
            stop=next((option["text"] for option in options if option["value"] == guard.stop), ""),
        )


def _guard_single_records() -> None:
    """Have `GET /records/{id}` show an annotator those records alone that a search has sent them, and own answers."""
    everybody: Any = RecordPolicy.get

    async def may_see(actor: User, record: Record) -> bool:
        if not (is_guarded(record.dataset) and actor.is_annotator):
            return True
        session = async_object_session(record)
        assert session is not None  # of the request
        standing = await Standing.read(session, record.dataset.workspace_id, actor.id)
        if standing.why is not Why.OPEN:
            return False
        own = [response for response in record.responses if response.user_id == actor.id]
        set_committed_value(record, "responses", own)  # what others wrote was shown to nobody
        return bool(own) or record.id in await read_sent(session, actor.id)

    def get(record: Record) -> Callable[[User], Awaitable[bool]]:
        allowed = everybody(record)

        async def is_allowed(actor: User) -> bool:
            return await allowed(actor) and await may_see(actor, record)

        return is_allowed

    RecordPolicy.get = staticmethod(get)  # type: ignore[method-assign]
