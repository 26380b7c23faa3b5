"""Snapshots as a trace reads them: which judgements and preferences stand in them, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.lineage.node import read_object
from annotation.project import HOLDS_FORGOTTEN

RANKINGS, PREFERENCES = "rankings.parquet", "preferences.parquet"

AT_ONCE = 20_000
"""Rows that are decoded at once."""


@dataclass(frozen=True, slots=True)
class SnapshotFolder:
    """A snapshot on this machine.

    Attributes:
        folder: Its own.
        facts: Of snapshot.json; {} where that is gone or damaged.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def trouble(self) -> str:
        """What is wrong with it, as a sentence; ""."""
        gone = [name for name in (RANKINGS, PREFERENCES) if not (self.folder / name).exists()]
        if not self.facts:
            gone.append("snapshot.json")
        return f"damaged: {' and '.join(gone)} cannot be read; a backup has the snapshot" if gone else ""

    @property
    def holds_forgotten(self) -> bool:
        """Whether something in it was forgotten since."""
        return (self.folder / HOLDS_FORGOTTEN).exists()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose rows are looked for: all that is named must fit; what is None or "" may be anything.

    Attributes:
        slates: Ids of slates.
        annotator: A pseudonym.
        candidates: One of these stands in the row.
        pair: Chosen and rejected candidate of a preference, and its country.
    """

    slates: Collection[str] | None = None
    annotator: str = ""
    candidates: Collection[str] = ()
    pair: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What a snapshot holds of what was looked for.

    Attributes:
        judgements: Rows of its rankings.
        preferences: Rows of its preferences.
        slates: (slate, country) of those judgements.
    """

    judgements: int = 0
    preferences: int = 0
    slates: set[tuple[str, str]] = field(default_factory=set)


def snapshots_of(folder: Path) -> list[SnapshotFolder]:
    """The snapshots of a project, oldest first; damaged ones too."""
    paths = [path for path in sorted((folder / "snapshots").glob("*")) if path.is_dir() and path.name[0] != "."]
    found = [SnapshotFolder(path, read_object(path / "snapshot.json")) for path in paths]
    return sorted(found, key=lambda one: (str(one.facts.get("made_at", "")), one.id))


def snapshot_of(folder: Path, snapshot_id: str) -> SnapshotFolder:
    """One snapshot, there or not."""
    path = folder / "snapshots" / snapshot_id
    return SnapshotFolder(path, read_object(path / "snapshot.json"))


def look_into(snapshot: SnapshotFolder, wanted: Wanted) -> Held:
    """Count a snapshot's rows that fit. Of a damaged file nothing is counted."""
    judgements, slates = 0, set[tuple[str, str]]()
    columns = ["slate_id", "country", "annotator", *(["candidate_ids"] if wanted.candidates else [])]
    for row in _rows(snapshot.folder / RANKINGS, columns, wanted, "annotator"):
        if wanted.candidates and not set(wanted.candidates) & set(row["candidate_ids"]):
            continue
        if wanted.pair and wanted.pair[2] != row["country"]:
            continue
        judgements += 1
        slates.add((row["slate_id"], row["country"]))
    preferences = 0
    columns = ["slate_id", "country", "annotators", "chosen_id", "rejected_id"]
    for row in _rows(snapshot.folder / PREFERENCES, columns, wanted, "annotators"):
        pair = (row["chosen_id"], row["rejected_id"])
        if wanted.candidates and not set(wanted.candidates) & set(pair):
            continue
        preferences += wanted.pair in (None, (*pair, row["country"]))
    return Held(judgements, preferences, slates)


def people_by_country(snapshot: SnapshotFolder) -> Counter[tuple[str, str]]:
    """(pseudonym, country) -> judgements that a snapshot holds."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in _rows(snapshot.folder / RANKINGS, ["annotator", "country"], Wanted(), "annotator"):
        counts[row["annotator"], row["country"]] += 1
    return counts


def prompts_in(snapshot: SnapshotFolder) -> dict[str, str]:
    """Slate -> prompt of all that a snapshot holds."""
    columns = ["slate_id", "prompt_id"]
    return {r["slate_id"]: r["prompt_id"] for r in _rows(snapshot.folder / RANKINGS, columns, Wanted(), "annotator")}


def _rows(path: Path, columns: list[str], wanted: Wanted, names: str) -> Iterator[dict[str, Any]]:
    """Some columns of the rows that fit by slate and person; other rows never become objects."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.exists():
        return
    try:
        slates = None if wanted.slates is None else pa.array(sorted(wanted.slates), pa.string())
        with pq.ParquetFile(path) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(AT_ONCE, columns=there):
                fits = None if slates is None else pc.is_in(batch["slate_id"], value_set=slates)
                if wanted.annotator:
                    own = _is_by(batch[names], wanted.annotator)
                    fits = own if fits is None else pc.and_(fits, own)
                yield from (batch if fits is None else batch.filter(fits)).to_pylist()
    except (pa.ArrowException, OSError, KeyError):
        return  # `trouble` and the counts of snapshot.json say that something is missing


def _is_by(column: Any, annotator: str) -> Any:
    """For each row, whether a person is its annotator or among its annotators."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_list(column.type):
        return pc.equal(column, annotator)
    rows = pc.list_parent_indices(column).filter(pc.equal(pc.list_flatten(column), annotator))
    return pc.is_in(pa.array(range(len(column)), rows.type), value_set=rows)
