"""The vectors of Argilla's `vectors` table as files that are mapped into memory, one for each vector settings.

    HOME/vectors/ID.rows     unit vectors, float32, one row after the other
    HOME/vectors/ID.ids      the record of each row, 16 bytes; zeros where a vector was removed
    HOME/vectors/ID.json     how many rows are whole, and the stamp of the last change

    annot_vector_notes       the vectors that have changed since they were put into a file
    annot_vector_files       the stamp of each file

The system keeps what is used of a file in memory, once for all processes, and takes it back when memory is short.
Triggers on `vectors` note every change within the transaction that makes it, whoever makes it: a search first works
off the notes. A note goes only when its vector is safely in the file, and may be worked off twice; so file and notes
together are right after kill -9 as well. A file whose stamp the database does not know, as after a restore, is made
anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pydantic_core
from argilla_server.models import Vector, VectorSettings
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    cast,
    delete,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server import triggers
from annotation.server.search.side_sessions import SideSession

BATCH = 1_000
"""Vectors that are read at a time."""
FIRST_ROWS = 1_024
"""Room in a new file; it doubles whenever it is full."""

log = logging.getLogger("annot")

_tables = MetaData()
notes = Table(
    "annot_vector_notes",
    _tables,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("vector_settings_id", Uuid, nullable=False, index=True),
    Column("record_id", Uuid, nullable=False),
    sqlite_autoincrement=True,
)
files = Table(
    "annot_vector_files",
    _tables,
    Column("vector_settings_id", Uuid, primary_key=True),
    Column("stamp", String, nullable=False),
)

_NOTE = "INSERT INTO annot_vector_notes (vector_settings_id, record_id) VALUES"
_OLD, _NEW = (f"({row}.vector_settings_id, {row}.record_id)" for row in ("OLD", "NEW"))
_CHANGES = {
    "added": ("INSERT", f"{_NOTE} {_NEW};"),
    "changed": ("UPDATE OF value, record_id, vector_settings_id", f"{_NOTE} {_OLD}, {_NEW};"),
    "removed": ("DELETE", f"{_NOTE} {_OLD};"),
}


# --- the side of the database -------------------------------------------------------------------------


def set_up(connection: Connection) -> None:
    """Make the tables and triggers where they are missing, and forget vector settings that are gone."""
    names = {f"annot_vector_{name}" for name in _CHANGES}
    if names <= triggers.known(connection).keys():
        forget_removed(connection)
        return
    _tables.drop_all(connection)
    _tables.create_all(connection)
    for name, (when, then) in _CHANGES.items():
        triggers.create(connection, f"annot_vector_{name}", f"{when} ON vectors", then)


def reindex(connection: Connection) -> None:
    """Have every file made anew by the next search in it."""
    connection.execute(delete(files))


def forget_removed(connection: Connection) -> None:
    """Let go of what belongs to vector settings that exist no more."""
    for table in (notes, files):
        connection.execute(delete(table).where(table.c.vector_settings_id.not_in(select(VectorSettings.id))))


# --- a file -------------------------------------------------------------------------------------------


def unit(rows: np.ndarray) -> np.ndarray:
    """The rows at length one, in float32; a zero vector stays zero, and becomes what holds a number that is none."""
    finite = np.where(np.isfinite(rows).all(axis=-1, keepdims=True), rows, 0.0)
    largest = np.abs(finite).max(axis=-1, keepdims=True)
    scaled = np.divide(finite, largest, out=np.zeros_like(finite), where=largest > 0)  # no square of it overflows
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit_rows: np.ndarray = np.divide(scaled, lengths, out=scaled, where=lengths > 0).astype(np.float32)
    return unit_rows


class VectorFile:
    """The unit vectors of one vector settings. Used by one process at a time."""

    def __init__(self, folder: Path, settings_id: UUID, dimensions: int) -> None:
        self._paths = {kind: folder / f"{settings_id.hex}.{kind}" for kind in ("rows", "ids", "json")}
        self._dimensions = dimensions
        self.count = 0
        self.stamps: tuple[str, ...] = ()
        try:
            state = json.loads(self._paths["json"].read_text())
            sizes = {"rows": 4 * dimensions * state["count"], "ids": 16 * state["count"]}
            whole = all(self._paths[kind].stat().st_size >= size for kind, size in sizes.items())
            if whole and state["dimensions"] == dimensions:
                self.count, self.stamps = state["count"], tuple(state["stamps"])
                self._map(self.count)
        except (OSError, ValueError, KeyError, TypeError):
            self.clear()  # there is none yet, or something happened to it
        if not self.stamps:
            self.clear()

    def clear(self) -> None:
        """Begin anew; searches that go on keep what they have."""
        for path in self._paths.values():
            path.unlink(missing_ok=True)
        self.count, self.stamps = 0, ()
        self._map(FIRST_ROWS)

    def _map(self, rows: int) -> None:
        """Map the files, with room for so many rows at least."""
        self._paths["rows"].parent.mkdir(exist_ok=True)
        sizes = {"rows": 4 * self._dimensions, "ids": 16}
        room = max(rows, FIRST_ROWS, *(_size(self._paths[kind]) // size for kind, size in sizes.items()))
        for kind, size in sizes.items():
            with self._paths[kind].open("ab") as file:
                file.truncate(room * size)  # what is added is zeros, and takes no disk until it is written
        self._rows = np.memmap(self._paths["rows"], np.float32, "r+", shape=(room, self._dimensions))
        self._ids = np.memmap(self._paths["ids"], np.uint8, "r+", shape=(room, 16))

    def put(self, record_ids: Sequence[UUID], vectors: np.ndarray, places: dict[bytes, int]) -> None:
        """Write vectors, each in its record's place or in a new one.

        Args:
            record_ids: one for each vector.
            vectors: float32, [vectors, dimensions].
            places: the rows of records that are there; grows.
        """
        if self.count + len(record_ids) > len(self._rows):
            self._map(2 * len(self._rows))
        for record_id, row in zip(record_ids, unit(vectors), strict=True):
            place = places.setdefault(record_id.bytes, self.count)
            self._rows[place] = row
            self._ids[place] = np.frombuffer(record_id.bytes, np.uint8)
            self.count += place == self.count

    def remove(self, record_ids: Iterable[UUID], places: dict[bytes, int]) -> None:
        """Leave holes where these records' vectors were."""
        for record_id in record_ids:
            place = places.pop(record_id.bytes, None)
            if place is not None:
                self._rows[place] = 0
                self._ids[place] = 0

    def places(self) -> dict[bytes, int]:
        """The row of each record."""
        ids = self._ids[: self.count].tobytes()
        found = {ids[16 * place : 16 * place + 16]: place for place in range(self.count)}
        found.pop(bytes(16), None)
        return found

    def keep(self, stamp: str) -> None:
        """Have everything on the disk, and then the word that it is whole."""
        self._rows.flush()
        self._ids.flush()
        # Until the database knows the new stamp, it knows the one before.
        self.stamps = (*self.stamps[-1:], stamp)
        state = {"dimensions": self._dimensions, "count": self.count, "stamps": self.stamps}
        beside = self._paths["json"].with_suffix(".new")
        with beside.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._paths["json"])

    def matrix(self) -> Matrix:
        """What is in the file now."""
        return Matrix(self._ids[: self.count], self._rows[: self.count])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class Matrix:
    """Unit vectors and the records that they belong to."""

    ids: np.ndarray  # uint8, [vectors, 16]; zeros: removed
    rows: np.ndarray  # float32, [vectors, dimensions]; a zero vector stays zero

    def score(self, wanted: Sequence[float], sign: float) -> Scores:
        """(1 + sign · cosine) / 2 of every vector with another."""
        scores = self.rows @ unit(np.asarray(wanted, dtype=np.float64))
        scores *= sign / 2.0
        scores += 0.5
        scores[~self.ids.any(axis=1)] = -1.0
        return Scores(self.ids, scores)


@dataclass(frozen=True)
class Scores:
    """The score of every vector; less than 0 for one that was removed."""

    ids: np.ndarray
    scores: np.ndarray

    def best(self, number: int) -> list[tuple[UUID, float]]:
        """The records with the highest scores, in this order; of equals the one that came first."""
        number = min(number, len(self.scores))
        if not number:
            return []
        least = np.partition(self.scores, len(self.scores) - number)[len(self.scores) - number]
        candidates = np.flatnonzero((self.scores >= least) & (self.scores >= 0))
        order = candidates[np.argsort(-self.scores[candidates], kind="stable")][:number]
        return [(UUID(bytes=self.ids[place].tobytes()), float(self.scores[place])) for place in order]

    def only(self, record_ids: Sequence[UUID]) -> Scores:
        """The scores of these records."""
        wanted = np.frombuffer(b"".join(record_id.bytes for record_id in record_ids), "S16")
        chosen = np.isin(np.ascontiguousarray(self.ids).view("S16")[:, 0], wanted)
        return Scores(self.ids[chosen], self.scores[chosen])


# --- all of them --------------------------------------------------------------------------------------


class VectorStore:
    """The vectors of every vector settings, as the database has them now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[UUID, VectorFile] = {}
        self._locks: dict[UUID, asyncio.Lock] = {}

    async def matrix(self, session: AsyncSession, settings: VectorSettings) -> Matrix:
        """The vectors as they are committed now."""
        async with self._locks.setdefault(settings.id, asyncio.Lock()):
            file = self._files.get(settings.id)
            if file is None:
                file = await asyncio.to_thread(VectorFile, self._folder, settings.id, settings.dimensions)
            known = await session.scalar(select(files.c.stamp).where(files.c.vector_settings_id == settings.id))
            if known is None or known not in file.stamps:
                await self._read_all(settings, file)
            while await self._work_off(session, settings, file):
                pass
            self._files[settings.id] = file
            return file.matrix()

    async def _read_all(self, settings: VectorSettings, file: VectorFile) -> None:
        """Make a file from the table."""
        file.clear()
        value = cast(Vector.value, Text)
        everything = select(Vector.record_id, value).where(Vector.vector_settings_id == settings.id)
        places: dict[bytes, int] = {}
        async with SideSession() as session:
            found = await session.stream(everything, execution_options={"yield_per": BATCH})
            async for rows in found.partitions():
                await asyncio.to_thread(_put, file, [row.tuple() for row in rows], places)
        await self._keep(settings, file, [])
        log.info("The vectors of settings %s were read: %d.", settings.id, file.count)

    async def _work_off(self, session: AsyncSession, settings: VectorSettings, file: VectorFile) -> bool:
        """Bring a file up to date with some of the notes; False if there are none."""
        noted = select(notes.c.number, notes.c.record_id).where(notes.c.vector_settings_id == settings.id)
        found = (await session.execute(noted.order_by(notes.c.number).limit(BATCH))).all()
        if not found:
            return False
        changed = {record_id for _, record_id in found}
        # Read after the notes: a value is never older than its note.
        current = select(Vector.record_id, cast(Vector.value, Text)).where(
            Vector.vector_settings_id == settings.id, Vector.record_id.in_(changed)
        )
        values = (await session.execute(current)).tuples().all()

        def write() -> None:
            places = file.places()
            _put(file, values, places)
            file.remove(changed - {record_id for record_id, _ in values}, places)

        await asyncio.to_thread(write)
        await self._keep(settings, file, [number for number, _ in found])
        return True

    async def _keep(self, settings: VectorSettings, file: VectorFile, done: Sequence[int]) -> None:
        """Make a file lasting, then let go of the notes that are in it."""
        stamp = secrets.token_hex(8)
        await asyncio.to_thread(file.keep, stamp)
        async with SideSession() as session:
            await session.execute(delete(files).where(files.c.vector_settings_id == settings.id))
            await session.execute(insert(files).values(vector_settings_id=settings.id, stamp=stamp))
            await session.execute(delete(notes).where(notes.c.number.in_(done)))
            await session.commit()

    async def forget_removed(self) -> None:
        """Let go of what belongs to vector settings that exist no more."""
        async with SideSession() as session:
            kept = {settings_id.hex for settings_id in await session.scalars(select(VectorSettings.id))}
            await session.run_sync(lambda sync: forget_removed(sync.connection()))
            await session.commit()
        for path in self._folder.glob("*.*"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)
        self._files = {id_: file for id_, file in self._files.items() if id_.hex in kept}


def _put(file: VectorFile, rows: Sequence[tuple[UUID, str]], places: dict[bytes, int]) -> None:
    if rows:
        vectors = np.array([pydantic_core.from_json(value) for _, value in rows], dtype=np.float64)
        file.put([record_id for record_id, _ in rows], vectors, places)
