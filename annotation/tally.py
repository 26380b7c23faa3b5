"""Tally of the ledger's responses, counted anew for those items alone that somebody answered since.

All counts are sums over items, so a changed item is taken out as it was and put in as it is. They are kept beside the
ledger in `.cache/tally.sqlite`, which can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger, Response
from annotation.project import CACHE
from annotation.quality.agreement import pattern
from annotation.quality.careless import count_habits
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.answers import newest_responses, read_answers, roster
from annotation.tasks.base import Task
from annotation.tasks.ranking.slates import RANKING
from annotation.types import Answer, Item

LAYOUT = 8
"""Another number, and everything is counted anew: raise it when what is counted changes."""

AT_ONCE = 2000
"""Items that are counted at once."""

Key = tuple[str | int, ...]
Counts = Counter[Key]
"""Sums by what they are of; the first word of a key says which:

    item, TASK, COUNTRY, TOPIC, LANGUAGE, N    items of a group that N people answered
    person, TASK, COUNTRY, TOPIC, LANGUAGE, ANNOTATOR    answers of a person to a group's items
    team, TASK, COUNTRY    answers of a country's people
    made, TASK, NAME; excluded, TASK, REASON    what the answers come to, see `Task.outcome`
    place, TASK, *PLACE    items by their place in a table of the task's own
    unfit, REASON    submitted responses that are no answer
    status, STATUS    responses
    work, ANNOTATOR, COUNTRY, STATUS    items that a person submitted, saved as a draft or discarded
    day, ANNOTATOR, DAY; time, TEN MINUTES    submitted items by time, UTC
    units, TASK, GROUP, PATTERN    items by the values that people of a country, or of all, gave; see `part_of`
    shared, TASK, GROUP, ANNOTATOR    items that a person answered and somebody else too
"""

ALL = "all"
"""The group of everybody; no country's code."""


def training_tasks(counts: Counts, others: Collection[str] = ()) -> tuple[str, ...]:
    """Tasks that start runs and have items, or are among others; the ranking where neither names one.

    Args:
        counts: From `count`.
        others: Tasks of whose kind the project has something, if only prompts.
    """
    there = {key[1] for key in counts if key[0] == "item"} | set(others)
    return tuple(name for name, task in TASKS.items() if task.trains and name in there) or (RANKING,)


def count(ledger: Ledger, settings: Settings, *, progress: Progress = silent) -> Counts:
    """The counts of a project as its ledger stands now.

    Args:
        ledger: The project's.
        settings: The project's: what becomes a preference depends on them.
        progress: Told how many items are counted, where there are many.
    """
    path = ledger.path.parent / CACHE / "tally.sqlite"
    try:
        path.parent.mkdir(exist_ok=True)
        if not (path.parent / ".gitignore").exists():
            (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        return _count(path, ledger, settings, progress)
    except (OSError, sqlite3.DatabaseError, AttributeError, LookupError, TypeError, ValueError) as error:
        # It is only a cache: a damaged one is made anew next time, and a full or read-only disk keeps none.
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return _count(":memory:", ledger, settings, progress)


def _count(path: Path | str, ledger: Ledger, settings: Settings, progress: Progress) -> Counts:
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as db:
        db.execute("create table if not exists items (item_id text primary key, counts text not null)")
        db.execute("create table if not exists total (counts text not null, upto text not null)")
        db.execute("begin immediate")
        counts = _bring_up_to_date(db, ledger, settings, progress)
        db.execute("commit")
        return counts


def _bring_up_to_date(db: sqlite3.Connection, ledger: Ledger, settings: Settings, progress: Progress) -> Counts:
    key = json.dumps([LAYOUT, settings.task.model_dump(mode="json")])
    row = db.execute("select counts, upto from total").fetchone()
    kept: dict[str, Any] = json.loads(row[1]) if row else {}
    if kept.get("key") != key or kept["digest"] != _digest(row[0]) or not _stands(ledger, kept):
        db.execute("delete from items")
        row, kept = None, {table: [0, ""] for table in _WRITTEN_AT}
    total: Counts = _read(row[0]) if row else Counter()
    upto = {"key": key, **_ends(ledger)}  # first: what is written meanwhile is counted again next time
    waiting = sorted(_changed(ledger, kept))
    if not waiting and row:
        return total
    for start in range(0, len(waiting), AT_ONCE):
        if len(waiting) > AT_ONCE:
            progress(start, len(waiting), "counting")
        _count_again(db, ledger, settings, waiting[start : start + AT_ONCE], total)
    db.execute("delete from total")
    counts = _written(total)
    db.execute("insert into total values (?, ?)", (counts, json.dumps({**upto, "digest": _digest(counts)})))
    return total


def _digest(counts: str) -> str:
    return hashlib.sha256(counts.encode()).hexdigest()


_WRITTEN_AT = {
    "responses": "pulled_at",
    "items": "made_at",
    "moved_responses": "at",
    "people": "at",
    "changed_texts": "at",
    "prompt_changes": "at",
    "item_changes": "at",
    "forgotten": "at",
}
"""Tables whose rows are counted, and the column that tells when one was written."""


def _ends(ledger: Ledger) -> dict[str, list[Any]]:
    """The newest row of each table: its number, and when it was written."""
    newest = {
        table: ledger.rows(f"select rowid, {at} from {table} order by rowid desc limit 1")
        for table, at in _WRITTEN_AT.items()
    }
    return {table: list(rows[0]) if rows else [0, ""] for table, rows in newest.items()}


def _stands(ledger: Ledger, kept: Mapping[str, Any]) -> bool:
    """Whether the ledger still holds the rows up to which it was counted: somebody may have put an older one back."""
    return all(
        not kept[table][0] or ledger.rows(f"select 1 from {table} where rowid = ? and {at} = ?", *kept[table])
        for table, at in _WRITTEN_AT.items()
    )


def _changed(ledger: Ledger, kept: Mapping[str, Any]) -> set[str]:
    """The items that were added, or whose responses came or were moved, since the ledger was counted."""
    queries = {
        "responses": "select item_id as id from responses where seq > ?",
        "items": "select id from items where rowid > ?",
        "moved_responses": """select distinct item_id as id from responses where (server, response_id) in
                              (select server, response_id from moved_responses where rowid > ?)""",
        "people": """select distinct item_id as id from responses where annotator in
                     (select username from people where seq > ?)""",
        "changed_texts": "select item_id as id from changed_texts where seq > ?",
        "prompt_changes": """select id from items where prompt_id in
                             (select prompt_id from prompt_changes where seq > ?)""",
        "item_changes": "select item_id as id from item_changes where seq > ?",
        "forgotten": """select distinct item_id as id from responses where annotator in
                        (select id from forgotten where seq > ?)""",
    }
    return {row["id"] for table, query in queries.items() for row in ledger.rows(query, kept[table][0])}


def _count_again(db: sqlite3.Connection, ledger: Ledger, settings: Settings, ids: Sequence[str], total: Counts) -> None:
    """Take items out of the total as they were, and put them in as they are."""
    wanted = json.dumps(ids)
    for (counts,) in db.execute(
        "select counts from items where item_id in (select value from json_each(?))", (wanted,)
    ):
        total.subtract(_read(counts))
    responses: dict[str, list[Response]] = defaultdict(list)
    for response in newest_responses(ledger, ids):
        responses[response.item_id].append(response)
    fresh, team = [], roster(ledger)
    for item in ledger.items(ids=ids):
        counts = count_item(item, responses[item.id], settings, team)
        total.update(counts)
        fresh.append((item.id, _written(counts)))
    db.executemany("insert or replace into items values (?, ?)", fresh)
    for key in [key for key, number in total.items() if not number]:
        del total[key]


def _written(counts: Counts) -> str:
    return json.dumps([[*key, number] for key, number in counts.items()], ensure_ascii=False, separators=(",", ":"))


def _read(counts: str) -> Counts:
    return Counter({tuple(key): number for *key, number in json.loads(counts)})


def count_item(item: Item, responses: Sequence[Response], settings: Settings, team: Mapping[str, str]) -> Counts:
    """What the newest responses to one item count for."""
    task, counts = TASKS[item.task], Counts()
    read = read_answers(responses, {item.id: item}, team)
    group = (item.task, item.country, item.topic, item.language)
    if not item.removed:
        counts["item", *group, len(read.kept)] = 1
        refused = sum(r.status == "discarded" and team.get(r.annotator) == "" for r in responses)
        if refused:
            counts["refused", item.task, item.country, len(read.kept), refused] = 1
    counts.update(("person", *group, answer.annotator) for answer in read.kept)
    counts.update(("team", item.task, answer.country) for answer in read.kept)
    outcome = task.outcome(item, read.kept, settings)
    for name, number in outcome.made.items():
        counts["made", item.task, name] += number
    if outcome.place:
        counts["place", item.task, *outcome.place] += 1
    for reason, number in outcome.excluded.items():
        counts["excluded", item.task, reason] += number
    counts.update(("unfit", dropped.reason) for dropped in read.dropped)
    counts.update(("status", response.status) for response in responses)
    units = {answer.annotator: task.units(item, answer.value) for answer in read.kept}
    counts.update(count_habits(task, item, read.kept, units))
    _count_work([response for response in responses if response.annotator in team], counts)
    countries: dict[str, list[Answer[Any]]] = defaultdict(list)
    for answer in read.kept:
        countries[answer.country].append(answer)
    for name, answers in ((ALL, read.kept), *countries.items()):
        if len(answers) >= 2:
            _count_units(task, name, {answer.annotator: units[answer.annotator] for answer in answers}, counts)
    return counts


def _count_units(task: Task[Any], group: str, said: Mapping[str, Mapping[str, Any]], counts: Counts) -> None:
    """What people of a group said of one item; where its units ask different things, each in a group of its own."""
    apart = sorted(set().union(*said.values())) if task.scale == "nominal" else [""]
    for unit in apart:
        own = {who: {unit: of[unit]} for who, of in said.items() if unit in of} if task.scale == "nominal" else said
        if given := pattern(own.values()):
            name = part_of(group, unit)
            counts["units", task.name, name, given] = 1
            counts.update(("shared", task.name, name, who) for who in own)


def part_of(group: str, unit: str) -> str:
    """Name of a group's answers to one of the things that a task asks; "" is all that it asks."""
    return f"{group} · {unit}" if unit else group


def _count_work(responses: Sequence[Response], counts: Counts) -> None:
    """By person; where a dataset was made anew, one may have answered an item twice: the last time counts."""
    last: dict[tuple[str, str], str] = {}
    for response in responses:
        who = (response.annotator, response.country)
        if response.status == "submitted":
            last[who] = max(response.updated_at, last.get(who, ""))
        else:
            counts["work", *who, response.status] += 1
    for (annotator, country), moment in last.items():
        counts["work", annotator, country, "submitted"] += 1
        counts["day", annotator, moment[:10]] += 1
        counts["time", moment[:15]] += 1
