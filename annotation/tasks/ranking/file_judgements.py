"""Judgements that a file held when it was read: those of a legacy annotator, in a table of their own in the ledger.

They stand apart from the team's items and responses: no quota, agreement or snapshot counts them. User names never
come here, only the project's pseudonyms; who has no name in the file gets one made from the file's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.tasks.base import Rows
from annotation.tasks.ranking.preferences import places_of
from annotation.tasks.ranking.tables import RANKINGS
from annotation.types import content_id

FILE_RANKINGS = "file_rankings.parquet"

PSEUDONYM = re.compile(r"annotator-[0-9a-f]{10}")
"""What a pseudonym looks like: one that comes in a file stays as it is."""

# Looked up by id: a join with the view `current_prompts` would make all of it for every page.
_CHANGE = "select removed from prompt_changes where prompt_id = j.prompt_id order by seq desc limit 1"
# What somebody said later of the same answers holds.
_LATER = """select 1 from file_judgements k where k.prompt_id = j.prompt_id and k.annotator = j.annotator
            and k.rowid > j.rowid
            and json_extract(nullif(k.value, ''), '$.answers') = json_extract(nullif(j.value, ''), '$.answers')"""
_STAYS = f"coalesce(({_CHANGE}), 0) = 0 and j.value <> '' and not exists ({_LATER})"


@dataclass(frozen=True, slots=True)
class FileJudgement:
    """What a file says of answers to a prompt.

    Attributes:
        place: "file:row".
        annotator: User name as written, or "", until `with_pseudonyms`; then the pseudonym.
        country: Of the person, ISO 3166-1 alpha-2.
        answers: Ids of the candidates that were compared.
        tiers: Ids, best first; equal ones share a tier. Empty when nothing was ranked.
        id: Hash of what was said, of what and by whom: reading a file again, under another name too, adds nothing.
        source: The file.
    """

    place: str
    annotator: str
    prompt_id: str
    country: str
    answers: tuple[str, ...]
    tiers: tuple[tuple[str, ...], ...]
    none_acceptable: bool = False
    rewrite: str = ""
    id: str = ""
    source: str = ""

    def value(self) -> str:
        """What was said, as the ledger keeps it."""
        said = {"answers": sorted(self.answers), "tiers": self.tiers, "none_acceptable": self.none_acceptable}
        return json.dumps({**said, **({"rewrite": self.rewrite} if self.rewrite else {})}, ensure_ascii=False)


def with_pseudonyms(
    judgements: Iterable[FileJudgement], source: str, pseudonym: Callable[[str], str], forgotten: Callable[[str], bool]
) -> Iterator[FileJudgement]:
    """Judgements of one reading of a file with their ids and without user names; none of somebody who is forgotten.

    The same person says the same thing once; of two nameless rows that are alike nobody knows that: both count, each as
    a person of its own.

    Args:
        judgements: As read.
        source: Name of the file.
        pseudonym: User name -> pseudonym.
        forgotten: Whether a user name, or a pseudonym, is of somebody who is forgotten.
    """
    times = Counter[str]()
    for one in judgements:
        name = canonical(one.annotator)
        who = pseudonym_of(name, pseudonym) if name else ""
        if name and (forgotten(name) or forgotten(who)):
            continue
        tiers = tuple(tuple(sorted(tier)) for tier in one.tiers)
        said = json.dumps([sorted(one.answers), tiers, one.none_acceptable, one.rewrite])
        id_ = content_id(who, one.prompt_id, said)
        times[id_] += 1
        if not name:
            id_ = content_id(id_, str(times[id_]))
            who = pseudonym(f"whoever said {id_}")
        yield replace(one, annotator=who, tiers=tiers, id=id_, source=source)


def canonical(name: str) -> str:
    """A user name as it is hashed: an e-mail address without capitals."""
    name = name.strip()
    return name.casefold() if "@" in name else name


def pseudonym_of(name: str, pseudonym: Callable[[str], str]) -> str:
    """The pseudonym under which somebody's judgements in files are kept."""
    name = canonical(name)
    return name if PSEUDONYM.fullmatch(name) else pseudonym(name)


def known_judgements(ledger: Ledger, ids: Collection[str]) -> set[str]:
    """Those of some ids that the ledger has."""
    query = "select id from file_judgements where id in (select value from json_each(?))"
    return {row["id"] for row in ledger.rows(query, json.dumps(list(ids)))}


def add_judgements(ledger: Ledger, judgements: Iterable[FileJudgement]) -> None:
    """Keep judgements; those that are there change nothing, and none of a forgotten prompt is kept."""
    with ledger.transaction() as db:
        gone = ledger.forgotten("prompt")
        db.executemany(
            "insert or ignore into file_judgements values (?,?,?,?,?,?,?,?)",
            (
                (j.id, j.source, j.place, j.annotator, j.prompt_id, j.country, j.value(), now())
                for j in judgements
                if j.prompt_id not in gone
            ),
        )


def count_judgements(ledger: Ledger, *, annotator: str = "", prompt_id: str = "", candidate: str = "") -> int:
    """How many there are, of somebody by pseudonym, of a prompt, or of an answer among those of its prompt."""
    wanted = {"annotator": annotator, "prompt_id": prompt_id}
    which = [f"and j.{name} = ?" for name, value in wanted.items() if value]
    values = [value for value in wanted.values() if value]
    if candidate:
        which.append("and exists (select 1 from json_each(j.value, '$.answers') a where a.value = ?)")
        values.append(candidate)
    query = f"select count(*) as n from file_judgements j where j.value <> '' {' '.join(which)}"
    return int(ledger.rows(query, *values)[0]["n"])


def file_tables(ledger: Ledger, at_once: int) -> Iterator[dict[str, Rows]]:
    """Judgements of files as rankings, in the order of their ids, some at a time; none of a removed prompt.

    Of what one person said of the same answers only the last is there.
    """
    after = ""
    while found := ledger.rows(
        f"select j.* from file_judgements j where j.id > ? and {_STAYS} order by j.id limit ?", after, at_once
    ):
        after = found[-1]["id"]
        said = [json.loads(row["value"]) for row in found]
        prompts = {prompt.id: prompt for prompt in ledger.prompts({row["prompt_id"] for row in found})}
        texts = ledger.candidate_texts({answer for value in said for answer in value["answers"]})
        rows = []
        for row, value in zip(found, said, strict=True):
            prompt = prompts[row["prompt_id"]]
            answers = value["answers"]
            if not all(texts.get(answer) for answer in answers):
                continue
            rows.append(
                {
                    "slate_id": content_id("file", prompt.id, *answers),
                    "prompt_id": prompt.id,
                    "system": prompt.system,
                    "prompt": prompt.text,
                    "country": row["country"],
                    "language": prompt.language,
                    "topic": prompt.topic,
                    "annotator": row["annotator"],
                    "candidate_ids": answers,
                    "candidates": [texts[answer] for answer in answers],
                    "ranks": _ranks(answers, value),
                    "problems": [],
                    "none_acceptable": value["none_acceptable"],
                    "rewrite": value.get("rewrite", ""),
                }
            )
        columns = {name: kind for name, kind in RANKINGS.items() if name != "candidate_problems"}
        yield {FILE_RANKINGS: Rows(rows, columns)}


def _ranks(answers: list[str], value: Mapping[str, Any]) -> list[int | None]:
    places = places_of(value["tiers"])
    return [places[answer] + 1 if answer in places else None for answer in answers] if places else []
