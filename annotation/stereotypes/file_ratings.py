"""Ratings that public sets of stereotypes hold, kept apart from what the team says: in a table of their own."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.types import content_id


@dataclass(frozen=True, slots=True)
class FileRating:
    """What one row of a source says of an association: a rating of one person, or counts of several.

    Attributes:
        association: Id of the association.
        source: File name or dataset.
        place: Row.
        regions: Countries of whoever said it, ISO 3166-1 alpha-2, each once; "" for one that is not known.
        value: One of {"known": 1 to 5}, {"skipped": True}, {"shared": True} (somebody added it, which is no rating),
            and {"counts": {answer: people}, "offensive": mean, "raters": people}, whose mean is of the attribute alone
            and takes "not offensive" for -1, "unsure" for 0: no scale.
    """

    association: str
    source: str
    place: str
    regions: tuple[str, ...]
    value: Mapping[str, Any]


def add_file_ratings(ledger: Ledger, ratings: Iterable[FileRating]) -> int:
    """Keep ratings; those that are there change nothing. Returns how many were new.

    Of rows of a source that say the same of the same association nobody knows that one person wrote them: each counts,
    and the first, second, … of them is known again, wherever it stands in the file.
    """
    with ledger.transaction() as db:
        before = db.total_changes
        db.executemany("insert or ignore into file_ratings values (?,?,?,?,?,?,?)", _rows(ratings))
        return db.total_changes - before


def _rows(ratings: Iterable[FileRating]) -> Iterator[tuple[str, ...]]:
    times = Counter[tuple[str, ...]]()
    at = now()
    for one in ratings:
        regions, value = json.dumps(one.regions), json.dumps(one.value, sort_keys=True)
        said = (one.source, one.association, regions, value)
        times[said] += 1
        yield content_id(*said, str(times[said])), one.association, one.source, one.place, regions, value, at


def file_ratings(ledger: Ledger, associations: Iterable[str] | None = None) -> list[FileRating]:
    """All ratings of files, or those of some associations by id, in the order in which they came."""
    which, values = ("", ()) if associations is None else (_OF_SOME, (json.dumps(list(associations)),))
    query = f"select association, source, place, regions, value from file_ratings {which} order by rowid"
    return [
        FileRating(r["association"], r["source"], r["place"], tuple(json.loads(r["regions"])), json.loads(r["value"]))
        for r in ledger.rows(query, *values)
    ]


_OF_SOME = "where association in (select value from json_each(?))"


def count_file_ratings(ratings: Iterable[FileRating]) -> dict[tuple[str, str], dict[str, int]]:
    """Association and region -> what was said -> how often; whoever has two nationalities counts once in each.

    What was said is "1" to "5", "skipped", "shared", or an answer of a source that counts ("stereotype",
    "non_stereotype", "unsure"). Nothing is averaged: a skip is no rating, and what somebody shared is none either.
    """
    counts = defaultdict[tuple[str, str], Counter[str]](Counter)
    for one in ratings:
        said = one.value.get("counts") or {str(one.value.get("known") or next(iter(one.value))): 1}
        for region in one.regions:
            counts[one.association, region].update(said)
    return {key: dict(said) for key, said in counts.items()}
