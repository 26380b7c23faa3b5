"""Assignment: which records of a dataset a person is asked about, and whether an answer of theirs still has a seat.

The rule stands in the metadata of Argilla's datasets (`assignment_rule`); who has which seat, in tables of ours
(`seats`). A dataset without the rule is searched as before.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from argilla_server.enums import ResponseStatus, UserRole
from argilla_server.models import Dataset, MetadataProperty, Record, User
from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.search import seats as tables
from annotation.server.search.assignment_rule import ASSIGN, Rule
from annotation.server.search.next_records import choose
from annotation.server.search.queue_order import Page
from annotation.server.search.seats import MOST_HELD, places, rooms, seats, standing, uncounted, visits

DAY = timedelta(hours=24)

NO_LIMIT = sys.maxsize  # of people at a record, or of records of a person


class Why(StrEnum):
    """Whether a dataset has something for a person now, or why not."""

    OPEN = "open"
    FINISHED = "finished"
    LATER = "later"  # others hold what is left
    MOST = "most"
    MOST_A_DAY = "most_a_day"
    ENTRY = "entry"  # the entry test comes first
    FAILED = "failed"  # no try of it is left
    CLOSED = "closed"


class Refusal(StrEnum):
    """Why an answer is not stored; the page has the sentences in its languages under these names."""

    NO_SEAT = "annot_no_seat"  # others have answered the record, or are at it
    NOT_THEIRS = "annot_not_yours"


@dataclass(frozen=True)
class Standing:
    """How a person stands to a dataset: `left` are the records that they can still get now, with those they hold."""

    why: Why
    answered: int
    left: int


@dataclass(frozen=True)
class Seen:
    """What a person has and can have of a dataset.

    Attributes:
        answered: Records that they submitted an answer to.
        slots: Records that they were sent or answered, of which `controls` are control records.
        held: Those that wait for their answer, in the order in which they got them.
        free: Work records with a seat for them.
        coming: These, and the control records that come among them: so the total tells nobody which those are.
        full: Those that only others' reservations keep from them.
        room: How many more the caps allow.
        capped: The cap that allows none.
    """

    answered: int
    slots: int
    controls: int
    held: tuple[UUID, ...]
    free: int
    coming: int
    full: int
    room: int
    capped: Why | None

    @property
    def left(self) -> int:
        """How many records they can still get now, with those they hold."""
        return len(self.held) + min(self.coming, self.room)


@dataclass(frozen=True)
class Room:
    """A dataset whose records are assigned, for one person."""

    session: AsyncSession
    rule: Rule
    dataset_id: UUID
    needed: int
    """Answers with which a record is finished."""
    user: User

    @classmethod
    def of(cls, session: AsyncSession, dataset: Dataset, user: User) -> Room | None:
        """None where nothing is assigned."""
        rule = Rule.of(dataset)
        needed = dataset.distribution["min_submitted"]
        return None if rule is None else cls(session, rule, dataset.id, rule.overlap or needed, user)

    @classmethod
    async def of_annotator(cls, session: AsyncSession, dataset: Dataset, user_id: UUID) -> Room | None:
        """None where nothing is assigned, and for those who may look at everything."""
        if ASSIGN not in (dataset.metadata_ or {}):
            return None
        user = await session.get_one(User, user_id)
        return cls.of(session, dataset, user) if user.is_annotator else None

    @cached_property
    def closed(self) -> bool:
        """Whether nothing here is for this person, whatever there is."""
        return self.rule.leaves_out(self.user.id) or self._turn < 0

    async def _why_closed(self) -> Why:
        """The entry test comes first for those who have one to do."""
        test = await self.session.get(Dataset, self.rule.entry) if self.rule.entry else None
        rule = test and Rule.of(test)
        if not test or (rule and rule.leaves_out(self.user.id)):
            return Why.CLOSED
        state, _ = rule.turns.told.get(str(self.user.id), ("", "")) if rule and rule.turns else ("", "")
        return Why.FAILED if state == "failed" else Why.ENTRY

    async def is_shut(self) -> bool:
        """Whether it is none of theirs: for others alone, and they never got a record of it."""
        if not self.rule.leaves_out(self.user.id) or await self._why_closed() != Why.CLOSED:
            return False
        return not await self.session.scalar(select(exists().where(*self._mine)))

    @property
    def _ids(self) -> tuple[UUID, ...]:
        """All ids of the person."""
        return self.user.id, *self.rule.same.get(str(self.user.id), ())

    @property
    def never(self) -> ColumnElement[bool]:
        """Whether a record is their own, or nobody is asked about it any more."""
        own = places.c.author == self.user.username
        if len(self._ids) > 1:
            own = places.c.author.in_(select(User.username).where(User.id.in_(self._ids)))
        return or_(own, places.c.record_id.in_(self.rule.gone)) if self.rule.gone else own

    @property
    def _turn(self) -> int:
        return self.rule.turns.of.get(str(self.user.id), 0) if self.rule.turns else 0

    # --- which records are for this person ----------------------------------------------------------------

    def visible(self) -> ColumnElement[bool]:
        """Whether a record is one that they were sent or have answered."""
        return Record.id.in_(select(seats.c.record_id).where(*self._mine))

    async def told_properties(self) -> set[str]:
        """Names of the metadata that annotators are told of its records."""
        of_dataset = MetadataProperty.dataset_id == self.dataset_id
        found = await self.session.execute(
            select(MetadataProperty.name, MetadataProperty.allowed_roles).where(of_dataset)
        )
        return {name for name, roles in found if UserRole.annotator in roles}

    @property
    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        return seats.c.user_id == self.user.id, seats.c.dataset_id == self.dataset_id

    def _readable(self, language: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
        reads = self.rule.languages.get(str(self.user.id))
        return () if reads is None else (language.in_({"", *reads}),)

    def suitable(self) -> tuple[ColumnElement[bool], ...]:
        """Records in a language of theirs, and not their own."""
        of_dataset = places.c.dataset_id == self.dataset_id
        return of_dataset, ~self.never, *self._readable(places.c.language)

    def not_mine(self) -> ColumnElement[bool]:
        """Records that they were neither sent nor have answered, under none of their names."""
        return ~exists().where(seats.c.record_id == places.c.record_id, seats.c.user_id.in_(self._ids))

    def has_seat(self, taken: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
        return () if self.rule.overlap is None else (taken < self.rule.overlap,)

    def in_turn(self) -> tuple[ColumnElement[bool], ...]:
        if self.rule.turns is None:
            return ()
        size = self.rule.turns.size
        added = select(places.c.record_id).where(places.c.dataset_id == self.dataset_id)
        in_order = added.order_by(places.c.inserted_at, places.c.record_id).offset(self._turn * size).limit(size)
        return (places.c.record_id.in_(in_order),)

    # --- how they stand -----------------------------------------------------------------------------------

    async def standing(self) -> Standing:
        """How they stand now."""
        over = visits.c.dataset_id == self.dataset_id, visits.c.until <= datetime.utcnow()
        known = rooms.c.dataset_id == self.dataset_id
        if await self.session.scalar(select(exists().where(*over) | ~exists().where(known))) or await self._recount():
            await self._lock()
            await tables.lapse(self.session, self.dataset_id, self.user.id)
        await self.renew()
        await self.session.commit()
        seen = await self._look()
        if self.closed and not seen.held:
            return Standing(await self._why_closed(), seen.answered, 0)
        why = Why.OPEN if seen.left else seen.capped if seen.free and seen.capped else None
        return Standing(why or (Why.LATER if seen.full else Why.FINISHED), seen.answered, seen.left)

    async def _lock(self) -> int:
        """Change seats alone, where those count that the rule says; the first free number."""
        number = await tables.lock(self.session, self.dataset_id)
        await tables.count_all_but(self.session, self.dataset_id, self.rule.uncounted)
        return number

    async def _recount(self) -> bool:
        """Whether the rule has others than are known whose answers do not count."""
        there = select(uncounted.c.user_id).where(uncounted.c.dataset_id == self.dataset_id)
        return set(await self.session.scalars(there)) != self.rule.uncounted

    async def renew(self) -> None:
        """Hold what they have from now on; written when a twentieth of the time is over."""
        late = datetime.utcnow() + timedelta(minutes=self.rule.hold_minutes * 0.95)
        theirs = visits.c.dataset_id == self.dataset_id, visits.c.user_id == self.user.id
        if await self.session.scalar(select(exists().where(*theirs, visits.c.until < late))):
            await tables.renew(self.session, self.dataset_id, self.user.id, self.rule.hold_minutes)

    async def _look(self) -> Seen:
        submitted = seats.c.answer == "submitted"
        today = func.sum(case((and_(submitted, seats.c.at > datetime.utcnow() - DAY), 1), else_=0))
        counted = select(seats.c.answer, seats.c.control, func.count(), today).where(*self._mine)
        rows = (await self.session.execute(counted.group_by(seats.c.answer, seats.c.control))).all()
        waiting = select(seats.c.record_id).where(*self._mine, seats.c.answer == "", seats.c.holds == 1)
        held = tuple(await self.session.scalars(waiting.order_by(seats.c.number)))
        answered = sum(count for answer, _, count, _ in rows if answer == "submitted")
        caps = {
            Why.MOST_A_DAY: (self.rule.most_a_day, sum(many for *_, many in rows)),
            Why.MOST: (self.rule.most, answered),
        }
        room = {why: max(0, most - done - len(held)) for why, (most, done) in caps.items() if most}
        capped = [why for why in room if not room[why]]
        free, full = (0, 0) if self.closed else await self._open()
        slots = sum(count for _, _, count, _ in rows)
        controls = sum(count for _, control, count, _ in rows if control)
        return Seen(
            answered=answered,
            slots=slots,
            controls=controls,
            held=held,
            free=free,
            coming=0 if self.closed else free + await self._controls_among(free, slots, controls),
            full=full,
            room=min(room.values(), default=NO_LIMIT),
            capped=capped[-1] if capped else None,
        )

    async def _controls_among(self, free: int, slots: int, controls: int) -> int:
        """How many control records are sent before so many work records are gone through."""
        if not self.rule.controls:
            return 0
        unseen = *self.suitable(), places.c.control == 1, self.not_mine()
        there = await self.session.scalar(select(func.count()).select_from(places).where(*unseen)) or 0
        seed, found, before = await self.seed(), 0, -1
        while found != before:
            due = self.rule.controls_due(seed, slots + free + found) - controls
            before, found = found, min(there, max(0, due))
        return found

    async def seed(self) -> str:
        """What decides at which places control records come to this person, and which."""
        secret = await self.session.scalar(select(rooms.c.secret).where(rooms.c.dataset_id == self.dataset_id))
        return f"{secret}{self.user.id}"

    async def _open(self) -> tuple[int, int]:
        """Work records that have a seat for them, and those that only others' reservations keep from them.

        Of all such records as `annot_standing` counts them, those are taken away that they have had, or never get.
        """
        if self.rule.turns is not None:
            unseen = *self.suitable(), *self.in_turn(), self.not_mine(), places.c.control == 0
            rows = (await self.session.execute(select(places.c.taken, places.c.answered).where(*unseen))).all()
            overlap = self.rule.overlap or NO_LIMIT
            free = sum(1 for taken, _ in rows if taken < overlap)
            return free, sum(1 for taken, answered in rows if answered < overlap <= taken)

        def counts(of: Any) -> list[Any]:
            if self.rule.overlap is None:
                return [1, 0]
            has_seat = of.c.taken < self.rule.overlap
            return [case((has_seat, 1), else_=0), case((has_seat, 0), (of.c.answered < self.needed, 1), else_=0)]

        of_all = standing.c.dataset_id == self.dataset_id, standing.c.control == 0
        among = *of_all, standing.c.records > 0, *self._readable(standing.c.language)
        all_ = select(*(func.coalesce(func.sum(standing.c.records * one), 0) for one in counts(standing)))
        mine = select(*(func.coalesce(func.sum(one), 0) for one in counts(places)))
        sent = select(seats.c.record_id).where(
            seats.c.user_id.in_(self._ids), seats.c.dataset_id == self.dataset_id, seats.c.control == 0
        )
        had = mine.select_from(places).where(places.c.record_id.in_(sent), *self.suitable())
        never = mine.select_from(places).where(
            places.c.dataset_id == self.dataset_id,
            self.never,
            places.c.control == 0,
            *self._readable(places.c.language),
        )
        found = [(await self.session.execute(query)).one() for query in (all_.where(*among), had, never)]
        free, full = (all_ - had - never for all_, had, never in zip(*found, strict=True))
        return free, full

    # --- sending ------------------------------------------------------------------------------------------

    async def queue(self, page: Page, most: int | None = None) -> tuple[list[UUID], int]:
        """A page of the person's queue: what they hold, then new records, which are reserved for them.

        Args:
            page: of the queue.
            most: new records at most.

        Returns:
            The ids, and how many records the person can still get now.
        """
        number = await self._lock()
        await tables.lapse(self.session, self.dataset_id, self.user.id)
        await tables.renew(self.session, self.dataset_id, self.user.id, self.rule.hold_minutes)
        seen = await self._look()
        end = page.offset + page.limit
        wanted = min(min(end, MOST_HELD) - len(seen.held), seen.room, MOST_HELD if most is None else most)
        new = [] if self.closed or wanted <= 0 else await choose(self, seen, wanted)
        await tables.reserve(self.session, self.dataset_id, self.user.id, new, number)
        await self.session.commit()
        held = [*seen.held, *(record_id for record_id, _ in new)]
        return held[page.offset : end], max(len(held), seen.left) if end <= MOST_HELD else len(held)

    # --- answering ----------------------------------------------------------------------------------------

    async def take(self, record_id: UUID, status: ResponseStatus) -> Refusal | None:
        """Have the person sit at a record for an answer that this transaction is about to write.

        Returns:
            Why they may not. What they have answered or saved before, they may save or discard in any case; a draft
            holds a seat where there is one.
        """
        number = await self._lock()
        await tables.renew(self.session, self.dataset_id, self.user.id, self.rule.hold_minutes)
        mine = select(seats.c.holds).where(seats.c.record_id == record_id, seats.c.user_id == self.user.id)
        holds = await self.session.scalar(mine)
        if holds:
            return None
        await tables.lapse(self.session, self.dataset_id, self.user.id)
        refusal = await self._refusal(record_id)
        if refusal and (status == ResponseStatus.submitted or (holds is None and self.user.is_annotator)):
            return refusal
        if status == ResponseStatus.discarded:
            return None
        control = select(places.c.control).where(places.c.record_id == record_id).scalar_subquery()
        row = {"record_id": record_id, "user_id": self.user.id, "dataset_id": self.dataset_id, "control": control}
        taken = tables.insert_into(self.session, seats).values(
            **row, answer="", holds=int(not refusal), number=number, at=datetime.utcnow()
        )
        await self.session.execute(
            taken.on_conflict_do_update(index_elements=list(seats.primary_key), set_={"holds": int(not refusal)})
        )
        return None

    async def _refusal(self, record_id: UUID) -> Refusal | None:
        """None where there is a seat, which is an annotator's only at what they could be sent."""
        theirs = [places.c.record_id == record_id]
        if self.user.is_annotator:
            if self.closed or not (await self._look()).room:
                return Refusal.NOT_THEIRS
            taken = exists().where(seats.c.record_id == record_id, seats.c.user_id.in_(self._ids[1:]))
            theirs += [*self.suitable(), *self.in_turn(), ~taken]
        there = select(places.c.control, places.c.taken).where(*theirs)
        found = (await self.session.execute(there)).one_or_none()
        if found is None:
            return Refusal.NOT_THEIRS
        full = self.rule.overlap is not None and not found.control and found.taken >= self.rule.overlap
        return Refusal.NO_SEAT if full else None
