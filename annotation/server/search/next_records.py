"""Which records a person is sent next where records are assigned: of which group, in which order, control records among
them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, true, tuple_

from annotation.server.search.seats import places, standing

if TYPE_CHECKING:
    from annotation.server.search.assignment import Room, Seen

CHOICE = 200
"""Control records among which chance decides; those after them come later."""


async def choose(room: Room, seen: Seen, wanted: int) -> list[tuple[UUID, int]]:
    """New records with 1 for a control record: these come where chance has put them among all of the person's."""
    seed = await room.seed()
    due = [room.rule.controls_due(seed, number) for number in range(seen.slots, seen.slots + wanted)]
    controls = await _controls(room, seed, due[-1] - seen.controls)
    work = await _work(room, wanted)
    chosen: list[tuple[UUID, int]] = []
    given = seen.controls
    for so_many in due:
        if given < so_many and controls:
            chosen.append((controls.pop(0), 1))
            given += 1
        elif work:
            chosen.append((work.pop(0), 0))
        else:
            break
    return chosen


async def _controls(room: Room, seed: str, most: int) -> list[UUID]:
    if most <= 0:
        return []
    unseen = select(places.c.record_id).where(*room.suitable(), places.c.control == 1, room.not_mine())
    some = await room.session.scalars(unseen.order_by(places.c.inserted_at, places.c.record_id).limit(CHOICE))
    return sorted(some, key=lambda id_: hashlib.blake2b(f"{seed}{id_}".encode()).digest())[:most]


async def _work(room: Room, most: int) -> list[UUID]:
    """Of the least finished group first; in it those first that have most seats taken, then as they were added."""
    if room.rule.turns is not None:
        unseen = *room.suitable(), *room.in_turn(), room.not_mine(), *room.has_seat(places.c.taken)
        added = select(places.c.record_id).where(*unseen, places.c.control == 0)
        return list(await room.session.scalars(added.order_by(places.c.inserted_at, places.c.record_id).limit(most)))
    found: list[UUID] = []
    for kinds in await _groups(room):
        if len(found) == most:
            break
        found += await _of_kinds(room, kinds, most - len(found))
    return found


async def _groups(room: Room) -> list[set[tuple[str, str]]]:
    """The topics and languages of each group that has records with a seat, the least finished first."""
    counted = select(standing.c.topic, standing.c.language, standing.c.taken, standing.c.answered, standing.c.records)
    there = standing.c.dataset_id == room.dataset_id, standing.c.control == 0, standing.c.records > 0
    reads = room.rule.languages.get(str(room.user.id))
    rest = len(room.rule.groups)
    done, all_ = [0] * (rest + 1), [group.target for group in room.rule.groups] + [0]
    kinds: list[set[tuple[str, str]]] = [set() for _ in done]
    for topic, language, taken, answered, records in (await room.session.execute(counted.where(*there))).tuples():
        fits = (g.topic in ("", topic) and g.language in ("", language) for g in room.rule.groups)
        group = next((place for place, fit in enumerate(fits) if fit), rest)
        done[group] += records if answered >= room.needed else 0
        all_[rest] += records if group == rest else 0
        has_seat = room.rule.overlap is None or taken < room.rule.overlap
        if has_seat and (reads is None or language in {"", *reads}):
            kinds[group].add((topic, language))
    order = sorted(range(rest + 1), key=lambda group: done[group] / all_[group] if all_[group] else 1.0)
    return [kinds[group] for group in order if kinds[group]]


async def _of_kinds(room: Room, kinds: set[tuple[str, str]], most: int) -> list[UUID]:
    # For each kind and number of taken seats the first few by an index; then the first few of these.
    level = (
        select(standing.c.topic, standing.c.language, standing.c.taken)
        .where(
            standing.c.dataset_id == room.dataset_id,
            standing.c.control == 0,
            standing.c.records > 0,
            tuple_(standing.c.topic, standing.c.language).in_(sorted(kinds)),
            *room.has_seat(standing.c.taken),
        )
        .distinct()
        .subquery()
    )
    first = (
        select(places.c.record_id, places.c.taken, places.c.inserted_at)
        .where(
            places.c.dataset_id == room.dataset_id,
            places.c.control == 0,
            *(places.c[name] == level.c[name] for name in ("topic", "language", "taken")),
            ~room.never,
            room.not_mine(),
        )
        .order_by(places.c.inserted_at, places.c.record_id)
        .limit(most)
        .correlate(level)
    )
    if room.session.get_bind().dialect.name == "postgresql":
        near: Any = first.lateral()
        best = select(near.c.record_id).select_from(level.join(near, true()))
    else:
        near = places.alias()
        ids = first.with_only_columns(places.c.record_id)
        best = select(near.c.record_id).select_from(level).join(near, near.c.record_id.in_(ids))
    ordered = best.order_by(near.c.taken.desc(), near.c.inserted_at, near.c.record_id)
    return list(await room.session.scalars(ordered.limit(most)))
