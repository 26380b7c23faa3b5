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
from annotation.item_counts import Counts, count_item
from annotation.ledger import Ledger, Response
from annotation.project import CACHE
from annotation.rounds import own_candidates
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.answers import Asked, newest_responses, roster
from annotation.tasks.ranking.slates import RANKING
from annotation.types import Person

LAYOUT = 10
"""Another number, and everything is counted anew: raise it when what is counted changes."""

AT_ONCE = 2000
"""Items that are counted at once."""


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
    return _counted(ledger, settings, progress)[0]


def counted_items(ledger: Ledger, settings: Settings, word: str, *, progress: Progress = silent) -> dict[str, Counts]:
    """Item id -> those of its counts of which the key begins with a word; in the order of the items' ids."""
    return _counted(ledger, settings, progress, word)[1]


def _counted(
    ledger: Ledger, settings: Settings, progress: Progress, word: str = ""
) -> tuple[Counts, dict[str, Counts]]:
    path = ledger.path.parent / CACHE / "tally.sqlite"
    try:
        path.parent.mkdir(exist_ok=True)
        if not (path.parent / ".gitignore").exists():
            (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        return _count(path, ledger, settings, progress, word)
    except (OSError, sqlite3.DatabaseError, AttributeError, LookupError, TypeError, ValueError) as error:
        # It is only a cache: a damaged one is made anew next time, and a full or read-only disk keeps none.
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return _count(":memory:", ledger, settings, progress, word)


def _count(
    path: Path | str, ledger: Ledger, settings: Settings, progress: Progress, word: str
) -> tuple[Counts, dict[str, Counts]]:
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as db:
        db.execute("create table if not exists items (item_id text primary key, counts text not null)")
        db.execute("create table if not exists total (counts text not null, upto text not null)")
        db.execute("begin immediate")
        counts = _bring_up_to_date(db, ledger, settings, progress)
        db.execute("commit")
        which = "select item_id, counts from items where instr(counts, ?) order by item_id"
        found = db.execute(which, (f'["{word}",',)) if word else ()
        return counts, {item_id: _read_some(own, word) for item_id, own in found}


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
    team = roster(ledger)
    for start in range(0, len(waiting), AT_ONCE):
        if len(waiting) > AT_ONCE:
            progress(start, len(waiting), "counting")
        _count_again(db, ledger, settings, waiting[start : start + AT_ONCE], team, total)
    db.execute("delete from total")
    counts = _written(total)
    db.execute("insert into total values (?, ?)", (counts, json.dumps({**upto, "digest": _digest(counts)})))
    return total


def _digest(counts: str) -> str:
    return hashlib.sha256(counts.encode()).hexdigest()


_WRITTEN_AT = {
    "responses": "pulled_at",
    "items": "made_at",
    "side_items": "made_at",
    "moved_responses": "at",
    "people": "at",
    "aliases": "at",
    "changed_texts": "at",
    "prompt_changes": "at",
    "item_changes": "at",
    "forgotten": "at",
    "rounds": "started_at",
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
        "side_items": "select id from side_items where rowid > ?",
        "moved_responses": """select distinct item_id as id from responses where (server, response_id) in
                              (select server, response_id from moved_responses where rowid > ?)""",
        "people": """select distinct item_id as id from responses where annotator in
                     (select username from people where seq > ?1 union
                      select name from aliases where same_as in (select username from people where seq > ?1))""",
        "aliases": """select distinct item_id as id from responses where annotator in
                      (select name from aliases where seq > ?1 union select same_as from aliases where seq > ?1)""",
        "changed_texts": "select item_id as id from changed_texts where seq > ?",
        "prompt_changes": """with changed as (select prompt_id from prompt_changes where seq > ?)
                             select id from items where prompt_id in changed
                             union all select id from side_items where prompt_id in changed""",
        "item_changes": "select item_id as id from item_changes where seq > ?",
        "forgotten": """select distinct item_id as id from responses where annotator in
                        (select id from forgotten where seq > ?)""",
        "rounds": """select id from items where round > 0 and round < (select max(number) from rounds)
                     and exists (select 1 from rounds where rowid > ?)""",
    }
    changed = {row["id"] for table, query in queries.items() for row in ledger.rows(query, kept[table][0])}
    decide = "select parent from side_items where purpose = 'adjudication' and id in (select value from json_each(?))"
    return changed | {row["parent"] for row in ledger.rows(decide, json.dumps(list(changed)))}


def _count_again(
    db: sqlite3.Connection,
    ledger: Ledger,
    settings: Settings,
    ids: Sequence[str],
    team: Mapping[str, Person],
    total: Counts,
) -> None:
    """Take items out of the total as they were, and put them in as they are."""
    wanted = json.dumps(ids)
    for (counts,) in db.execute(
        "select counts from items where item_id in (select value from json_each(?))", (wanted,)
    ):
        total.subtract(_read(counts))
    responses: dict[str, list[Response]] = defaultdict(list)
    for response in newest_responses(ledger, ids):
        responses[response.item_id].append(response)
    fresh, changed = [], changed_answers(ledger, ids)
    items = {item.id: item for item in ledger.items(ids=ids)}
    asked = Asked.of(ledger, items, team)
    seated = {candidate for item in items.values() for candidate in TASKS[item.task].candidates(item)}
    lengths, own = ledger.candidate_lengths(seated), own_candidates(ledger, seated)
    for item in items.values():
        counts = count_item(item, responses[item.id], settings, team, asked, lengths, changed.get(item.id, ()), own)
        total.update(counts)
        fresh.append((item.id, _written(counts)))
    db.executemany("insert or replace into items values (?, ?)", fresh)
    for key in [key for key, number in total.items() if not number]:
        del total[key]


def _written(counts: Counts) -> str:
    return json.dumps([[*key, number] for key, number in counts.items()], ensure_ascii=False, separators=(",", ":"))


def _read(counts: str) -> Counts:
    return Counter({tuple(key): number for *key, number in json.loads(counts)})


def _read_some(counts: str, word: str) -> Counts:
    """Those that begin with a word: the others, which are most, are not decoded."""
    decode, begins, found = json.JSONDecoder().raw_decode, f'["{word}",', Counts()
    at = counts.find(begins)
    while at >= 0:
        (*key, number), end = decode(counts, at)
        found[tuple(key)] = number
        at = counts.find(begins, end)
    return found


def changed_answers(ledger: Ledger, ids: Sequence[str]) -> dict[str, set[str]]:
    """Item -> who submitted more than one thing about it, as far as answers were fetched in between."""
    several = """select item_id, annotator from responses where status = 'submitted' and item_id in
                 (select value from json_each(?)) group by item_id, annotator having count(*) > 1"""
    versions = ledger.rows(
        f"""select r.item_id, r.annotator, r.raw from responses r join ({several}) s
            on r.item_id = s.item_id and r.annotator = s.annotator where r.status = 'submitted'""",
        json.dumps(ids),
    )
    first: dict[tuple[str, str], Any] = {}
    found: dict[str, set[str]] = defaultdict(set)
    for item, annotator, raw in versions:
        values = json.loads(raw).get("values")
        if first.setdefault((item, annotator), values) != values:
            found[item].add(annotator)
    return found
