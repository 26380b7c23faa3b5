"""SQLite: what people and paid services did. Append-only; the newest row wins; primary keys make repeats harmless.

Rows change once alone: when `annot forget` takes a person or a prompt out (lineage/erase.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from annotation.ledger_file import LedgerFile, now
from annotation.types import Candidate, Dropped, Item, Person, Prompt, mark_of

FORGOTTEN = "forgotten"
"""Status of a response of somebody who is forgotten: it says nothing any more."""


OF_ASSOCIATION = "coalesce(json_extract(content, '$.association'), json_extract(content, '$.id'))"
"""SQL: the id of the association that an item is about. Items of rated ones hold it as their own, those made of them
as `association`; of all other tasks no item has either."""


BORROWED = "of_prompt"
"""Key in the content of an item that is no work: another prompt, whose answer stands on it and goes with that one."""


@dataclass(frozen=True, slots=True)
class Response:
    """One version of one response, as the server told it.

    Attributes:
        other_text: It came while the record showed another text than was pushed, and shows it still.
    """

    response_id: str
    item_id: str
    annotator: str
    country: str
    status: str
    updated_at: str
    raw: str
    other_text: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MovedResponse:
    """A response that `annot move` copied: one judgement under two ids.

    Attributes:
        response_id: On the new server.
        updated_at: As the new server told it after copying; a later time means that its author changed it since.
        from_response_id: On the server it came from.
        from_updated_at: As that server told it last.
    """

    response_id: str
    updated_at: str
    from_response_id: str
    from_updated_at: str


class Ledger(LedgerFile):
    """The project's memory. Every method that writes is one transaction: it happens whole or not at all."""

    # -- prompts and candidates ---------------------------------------------------------------------------

    def add_prompts(self, prompts: Iterable[Prompt]) -> int:
        """Keep prompts; those that are there already change nothing. Returns how many were new."""
        with self.transaction() as db:
            before = db.total_changes
            db.executemany(
                """insert or ignore into prompts
                   (id, text, system, country, language, topic, source, licence, added_at, author, image)
                   values (?,?,?,?,?,?,?,?,?,?,?)""",
                (
                    (
                        *(p.id, p.text, p.system, p.country, p.language, p.topic, p.source, p.licence, now()),
                        *(p.author, p.image),
                    )
                    for p in prompts
                ),
            )
            return db.total_changes - before

    def credit(self, prompts: Iterable[str], author: str) -> None:
        """Name the author of prompts that have none yet, given by id."""
        with self.transaction() as db:
            db.executemany(
                "update prompts set author = ? where id = ? and author = ''", ((author, id_) for id_ in prompts)
            )

    def change_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Give prompts, by id, the country, language and topic that they have here, and take them out or put them back.

        Everything else of them stays as it came; so do their candidates and items, which follow them.
        """
        with self.transaction() as db:
            gone = self.forgotten("prompt")
            db.executemany(
                """insert into prompt_changes (prompt_id, country, language, topic, removed, at)
                   values (?,?,?,?,?,?)""",
                ((p.id, p.country, p.language, p.topic, int(p.removed or p.id in gone), now()) for p in prompts),
            )

    def prompts(self, ids: Iterable[str] | None = None, *, removed: bool = False) -> list[Prompt]:
        """All prompts, those that were taken out only if asked for; or those named. In the order in which they came."""
        columns = "id, text, country, language, topic, system, source, licence, author, removed, image"
        which, values = self._named(ids)
        if ids is None and not removed:
            which = "where not removed"
        found = self.rows(f"select {columns} from current_prompts {which} order by place", *values)
        return [Prompt(**{**dict(row), "removed": bool(row["removed"])}) for row in found]

    def count_prompts(self) -> tuple[int, int]:
        """How many prompts there are, and how many were taken out."""
        query = """select count(*) from prompt_changes c
                   where removed and seq = (select max(seq) from prompt_changes where prompt_id = c.prompt_id)"""
        (counts,) = self.rows(f"select (select count(*) from prompts), ({query})")
        return counts[0] - counts[1], counts[1]

    @staticmethod
    def _named(ids: Iterable[str] | None) -> tuple[str, tuple[str, ...]]:
        """Rows by id, or all; one value for any number of ids, since SQLite limits how many there may be."""
        return ("", ()) if ids is None else ("where id in (select value from json_each(?))", (json.dumps(list(ids)),))

    def add_candidates(self, candidates: Iterable[Candidate]) -> int:
        """Keep candidates; those that are there already change nothing. Returns how many were new.

        The texts of a forgotten prompt's candidates are not kept again.
        """
        with self.transaction() as db:
            before, gone = db.total_changes, self.forgotten("prompt")
            db.executemany(
                "insert or ignore into candidates values (?,?,?,?,?,?,?,?)",
                (
                    (c.id, c.prompt_id, c.text, c.model, c.voice, json.dumps(dict(c.settings)), c.cost_usd, now())
                    for c in candidates
                    if c.prompt_id not in gone
                ),
            )
            return db.total_changes - before

    def candidates(self, prompt_id: str | None = None) -> list[Candidate]:
        """All candidates, or those of one prompt, in the order in which they came."""
        which, values = ("", ()) if prompt_id is None else ("where prompt_id = ?", (prompt_id,))
        query = f"select id, prompt_id, text, model, voice, settings, cost_usd from candidates {which} order by rowid"
        return [Candidate(**{**dict(r), "settings": json.loads(r["settings"])}) for r in self.rows(query, *values)]

    def count_candidates(self, prompts: Iterable[str], *, fresh: bool = False, model: str = "") -> dict[str, int]:
        """Prompt id -> candidates, of all models or of one, for those of some prompts that have any.

        Args:
            prompts: Their ids.
            fresh: Only those that were on no slate of an earlier round.
            model: Its name; "" counts all.
        """
        which = "where prompt_id in (select value from json_each(?)) and ? in ('', model) group by prompt_id"
        table, wanted = "fresh_candidates" if fresh else "candidates", json.dumps(list(prompts))
        found = self.rows(f"select prompt_id, count(*) as n from {table} {which}", wanted, model)
        return {row["prompt_id"]: row["n"] for row in found}

    def known_candidates(self, ids: Iterable[str]) -> set[str]:
        """Those of some ids that are of candidates."""
        which, values = self._named(ids)
        return {row["id"] for row in self.rows(f"select id from candidates {which}", *values)}

    def candidate_texts(self, ids: Iterable[str] | None = None) -> dict[str, str]:
        """Candidate id -> text, of all candidates or of those named."""
        which, values = self._named(ids)
        return {row["id"]: row["text"] for row in self.rows(f"select id, text from candidates {which}", *values)}

    def candidate_lengths(self, ids: Iterable[str]) -> dict[str, int]:
        """Candidate id -> characters of its text, of those named."""
        which, values = self._named(ids)
        query = f"select id, length(text) as characters from candidates {which}"
        return {row["id"]: row["characters"] for row in self.rows(query, *values)}

    def add_dropped(self, step: str, dropped: Iterable[Dropped]) -> None:
        """Remember what a step left out and why."""
        with self.transaction() as db:
            db.executemany(
                "insert or replace into dropped values (?,?,?,?,?)",
                ((step, d.id, d.reason, d.because_of, now()) for d in dropped),
            )

    def dropped(self, step: str) -> list[Dropped]:
        """What a step left out so far."""
        found = self.rows("select id, reason, because_of from dropped where step = ? order by rowid", step)
        return [Dropped(r["id"], r["reason"], r["because_of"]) for r in found]

    # -- items, people, pushes ---------------------------------------------------------------------------

    def add_items(self, items: Iterable[Item]) -> int:
        """Keep items. A prompt that has one in a task (and round) keeps it, as it is. Returns how many were new.

        Those that are no work stand in a table of their own: of one prompt there may be several in a task. About a
        forgotten association, and beside the work about a forgotten prompt, none is kept.
        """
        with self.transaction() as db:
            before, gone, prompts = db.total_changes, self.forgotten("association"), self.forgotten("prompt")
            for item in items:
                work = item.purpose == "work"
                if item.content.get("association", item.content.get("id")) in gone:
                    continue
                if not work and item.prompt_id in prompts:
                    continue
                db.execute(
                    f"insert or ignore into {'items' if work else 'side_items'} values (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        item.id,
                        item.task,
                        item.prompt_id or None,
                        item.country,
                        item.language,
                        item.topic,
                        json.dumps(item.content, ensure_ascii=False),
                        item.position,
                        item.purpose,
                        None if item.expected is None else json.dumps(item.expected, ensure_ascii=False),
                        item.parent,
                        now(),
                        item.round,
                    ),
                )
            return db.total_changes - before

    def items(self, task: str | None = None, ids: Iterable[str] | None = None, *, side: bool = False) -> list[Item]:
        """Items of one task, or all; or those named; each as its prompt is now. By task, in the order of annotation.

        Args:
            task: Whose.
            ids: Which, whatever they are asked for.
            side: Of a task, or of all: those that are no work, and no others.
        """
        tables = ("current_items", "current_side_items") if ids is not None else (_table(side=side),)
        which, values = self._named(ids) if task is None else ("where task = ?", (task,))
        columns = "id, task, position, country, language, topic, content, prompt_id, purpose, expected, parent, round"
        return [
            Item(
                **{
                    **dict(r),
                    "content": json.loads(r["content"]),
                    "prompt_id": r["prompt_id"] or "",
                    "expected": r["expected"] and json.loads(r["expected"]),
                    "removed": bool(r["removed"]),
                    "moved": bool(r["moved"]),
                    "closed": bool(r["closed"]),
                }
            )
            for table in tables
            for r in self.rows(
                f"select {columns}, removed, moved, closed from {table} {which} order by task, position", *values
            )
        ]

    def remove_items(self, ids: Iterable[str], *, removed: bool = True) -> int:
        """Take items out: nobody is asked about them, and nothing about them counts. Or put them back; how many were.

        For items without a prompt; those of a prompt follow it.
        """
        with self.transaction() as db:
            wanted = json.dumps(sorted(ids))
            query = "select id from {} where id in (select value from json_each(?)) and removed = ?"
            changed = [
                (row["id"], int(removed), now())
                for table in ("current_items", "current_side_items")
                for row in self.rows(query.format(table), wanted, int(not removed))
            ]
            db.executemany("insert into item_changes (item_id, removed, at) values (?,?,?)", changed)
            return len(changed)

    def add_people(self, people: Iterable[Person]) -> int:
        """Remember people as they are now; those unchanged add nothing. Returns how many changed.

        What a lead decided about somebody's answers is not changed by this; see `decide`.
        """
        with self.transaction() as db:
            known = {p.username: p for p in self.people()}
            found = [
                replace(p, excluded=was.excluded, weight=was.weight, auto=was.auto, reason=was.reason)
                if (was := known.get(p.username))
                else p
                for p in people
            ]
            changed = [p for p in found if known.get(p.username) != p]
            _insert_people(db, changed)
            return len(changed)

    def decide(self, username: str, **decided: Any) -> Person:
        """Keep what a lead decided about somebody's answers (`excluded`, `weight`, `auto`, `reason`); see Person.

        Raises:
            KeyError: Nobody on the roster has that name.
        """
        return self.decide_all({username: decided})[0]

    def decide_all(self, decided: Mapping[str, Mapping[str, Any]]) -> list[Person]:
        """The same of several people: of all of them, or of none."""
        with self.transaction() as db:
            known = {person.username: person for person in self.people()}
            people = [replace(known[username], **values) for username, values in decided.items()]
            _insert_people(db, [person for person in people if person != known[person.username]])
            return people

    def decisions(self, username: str) -> list[Mapping[str, Any]]:
        """All that was ever decided about somebody's answers, and what their votes weighed, oldest first."""
        found: list[Mapping[str, Any]] = []
        columns = "weight, auto, reason, excluded"
        for row in self.rows(f"select at, {columns} from people where username = ? order by seq", username):
            last = found[-1] if found else {"weight": 1.0, "auto": 0, "reason": "", "excluded": ""}
            if any(row[name] != last[name] for name in ("weight", "auto", "reason", "excluded")):
                found.append(dict(row))
        return found

    def people(self) -> list[Person]:
        """Everyone ever on the roster, as last known, by user name; without those who are forgotten."""
        newest = """select max(seq) from people
                    where username not in (select id from forgotten where kind = 'person') group by username"""
        columns = "username, name, role, country, languages, active, excluded, weight, auto, reason"
        same = self.aliases()
        return [
            Person(
                **{
                    **dict(row),
                    "same_as": same.get(row["username"], ""),
                    "languages": tuple(json.loads(row["languages"])),
                    "active": bool(row["active"]),
                    "auto": bool(row["auto"]),
                }
            )
            for row in self.rows(f"select {columns} from people where seq in ({newest}) order by username")
        ]

    def aliases(self) -> dict[str, str]:
        """Other user name of somebody -> the one under which they count, which is no other name of anybody."""
        newest = "select max(seq) from aliases group by name"
        found = self.rows(f"select name, same_as from aliases where seq in ({newest}) and same_as <> ''")
        return {row["name"]: row["same_as"] for row in found}

    def add_aliases(self, names: Mapping[str, str]) -> None:
        """Say that user names are one person's: other name -> the one under which they count; "" takes it back."""
        with self.transaction() as db:
            db.executemany(
                "insert into aliases (name, same_as, at) values (?,?,?)",
                ((name, same_as, now()) for name, same_as in names.items()),
            )

    def add_pushes(self, server: str, dataset: str, records: Mapping[str, str]) -> None:
        """Remember which items (id -> Argilla's record id) a dataset holds; "" for one that was taken away again."""
        with self.transaction() as db:
            # Where a push was cut off before this, the change feed has told of answers that nobody knew to be ours.
            db.execute(
                """delete from feeds where server = ?1
                     and not exists (select 1 from pushes where server = ?1 and dataset = ?2)""",
                (server, dataset),
            )
            db.executemany(
                "insert or replace into pushes values (?,?,?,?,?)",
                ((server, dataset, item_id, record_id, now()) for item_id, record_id in records.items()),
            )

    def pushed(self, server: str, dataset: str) -> dict[str, str]:
        """Item id -> record id of what a dataset is known to hold."""
        query = "select item_id, record_id from pushes where server = ? and dataset = ? and record_id <> ''"
        return {r["item_id"]: r["record_id"] for r in self.rows(query, server, dataset)}

    # -- judgements ---------------------------------------------------------------------------------------

    def add_responses(self, server: str, responses: Iterable[Response]) -> int:
        """Keep every version of every response once. Returns how many were new or changed.

        Of somebody who is forgotten, and about a prompt or an association that is, nothing is kept.
        """
        with self.transaction() as db:
            responses, forgets = list(responses), self.forgets()
            of_gone = self.about_forgotten(r.item_id for r in responses)
            newest = {r.response_id: r for r in self.responses_of(server, {r.item_id for r in responses})}
            fresh = []
            for r in responses:
                known = newest.get(r.response_id)
                if r.item_id in of_gone or forgets(r.annotator) or (known and known.status == FORGOTTEN):
                    continue
                # An older version never replaces a newer one: a server may have been put back to an older moment.
                if known is None or (known != r and r.updated_at >= known.updated_at):
                    newest[r.response_id] = r
                    fresh.append(r)
            db.executemany(
                """insert into responses
                   (server, response_id, item_id, annotator, country, status, updated_at, raw, pulled_at)
                   values (?,?,?,?,?,?,?,?,?)""",
                (
                    (server, r.response_id, r.item_id, r.annotator, r.country, r.status, r.updated_at, r.raw, now())
                    for r in fresh
                ),
            )
            return len(fresh)

    def responses(self, server: str | None = None) -> list[Response]:
        """The newest version of every response, deleted ones too (status "deleted"), oldest first."""
        return self._newest("where server = ?", server) if server is not None else self._newest("")

    def responses_of(self, server: str | None, items: Iterable[str]) -> list[Response]:
        """Those among `responses` that answer some of the items; None for those of every server."""
        # Told which index: SQLite would rather read all responses in the order in which it groups them.
        which = "indexed by responses_of_item where item_id in (select value from json_each(?))"
        wanted = json.dumps(sorted(items))
        return (
            self._newest(which, wanted) if server is None else self._newest(f"{which} and server = ?", wanted, server)
        )

    def _newest(self, which: str, *values: str) -> list[Response]:
        since = """(select since from changed_texts t where t.server = r.server and t.item_id = r.item_id
                    and t.record_id = json_extract(r.raw, '$.record_id') order by t.seq desc limit 1)"""
        return [
            Response(*(*row[:-1], bool(row[-1])))
            for row in self.rows(
                f"""select response_id, item_id, annotator, country, status, updated_at, raw,
                      seq > {since} as other_text
                    from responses r where seq in
                    (select max(seq) from responses {which} group by server, response_id) order by seq""",
                *values,
            )
        ]

    def mark_texts(self, server: str, changed: Collection[str], records: Mapping[str, str]) -> int:
        """Remember which records show other texts than were pushed: what comes to them from now on is set aside.

        Args:
            server: Where the records are.
            changed: Ids of those that do.
            records: Record id -> item id of all that were looked at; the others show what was pushed, again perhaps.

        Returns:
            How many were changed or put back since they were looked at last.
        """
        known = {record for record, (where, _) in self.changed_texts().items() if where == server and record in records}
        marks = {record: record in changed for record in known.symmetric_difference(changed)}
        if not marks:
            return 0
        with self.transaction() as db:
            (newest,) = db.execute("select coalesce(max(seq), 0) from responses").fetchone()
            db.executemany(
                "insert into changed_texts (server, item_id, record_id, since, at) values (?,?,?,?,?)",
                ((server, records[record], record, newest if new else None, now()) for record, new in marks.items()),
            )
            return len(marks)

    def changed_texts(self) -> dict[str, tuple[str, str]]:
        """Record id -> server and item id of the records that show other texts than were pushed."""
        newest = "select max(seq) from changed_texts group by server, record_id"
        query = f"select * from changed_texts where seq in ({newest}) and since is not null order by seq"
        return {row["record_id"]: (row["server"], row["item_id"]) for row in self.rows(query)}

    # -- what is forgotten --------------------------------------------------------------------------------

    def forgotten(self, kind: str) -> set[str]:
        """What `annot forget` took out: ids of a "prompt" or an "association", or pseudonyms of a "person"."""
        return {row["id"] for row in self.rows("select id from forgotten where kind = ?", kind)}

    def forgets(self) -> Callable[[str], str]:
        """What tells of a user name the pseudonym under which its person is forgotten; "" for everybody else."""
        gone = self.forgotten_people()
        return cache(lambda name: next((p.username for p in gone if mark_of(p.mark_key, name) in p.marks), ""))

    def mark_keys(self) -> Callable[[str], str]:
        """Pseudonym of somebody who is forgotten -> the key of their marks, made from the project's secret."""
        secret = self._secret()
        return lambda pseudonym: mark_of(secret, f"names of {pseudonym}")

    def forgotten_people(self) -> list[Person]:
        """Those who are forgotten, under their pseudonyms: what others typed about them is masked by their marks."""
        found = self.rows("select id, marks from forgotten where kind = 'person' order by seq")
        key = self.mark_keys() if found else str
        return [
            Person(
                *(r["id"], "", "annotator", "", (), False),
                marks=tuple(json.loads(r["marks"])),
                mark_key=key(r["id"]),
            )
            for r in found
        ]

    def named_people(self) -> tuple[Person, ...]:
        """Everybody whose names are masked in texts: the roster, and those who are forgotten."""
        return (*self.people(), *self.forgotten_people())

    def about_forgotten(self, items: Iterable[str]) -> set[str]:
        """Those of some items that are about a forgotten prompt or association, or on which an answer to one stands."""
        query = f"""select id from {{}} where id in (select value from json_each(?)) and
                      (prompt_id in (select id from forgotten where kind = 'prompt')
                       or json_extract(content, '$.{BORROWED}') in (select id from forgotten where kind = 'prompt')
                       or {OF_ASSOCIATION} in (select id from forgotten where kind = 'association'))"""
        wanted = json.dumps(sorted(set(items)))
        return {row["id"] for of in ("items", "side_items") for row in self.rows(query.format(of), wanted)}

    def items_about(self, *associations: str) -> list[str]:
        """Ids of the items of any task that are about some associations, those that are no work too."""
        query = f"select id from {{}} where {OF_ASSOCIATION} in (select value from json_each(?))"
        tables, wanted = (("items", "side_items") if associations else ()), json.dumps(associations)
        return [row["id"] for table in tables for row in self.rows(query.format(table), wanted)]

    def items_with(self, prompt_id: str) -> list[str]:
        """Ids of the items of any task that are about a prompt, or on which an answer to it stands."""
        query = "select id from items where prompt_id = ?1 union all select id from side_items where prompt_id = ?1"
        borrowed = f"select id from side_items where json_extract(content, '$.{BORROWED}') = ?1"
        return [row["id"] for row in self.rows(f"{query} union all {borrowed}", prompt_id)]

    # -- the change feed --------------------------------------------------------------------------------------

    def feed(self, server: str) -> tuple[str, int, str]:
        """Id of the server's change feed, how far it was read, and when everything was read last; "" and 0: never."""
        found = self.rows("select feed, last, whole_at from feeds where server = ?", server)
        return (found[0]["feed"], found[0]["last"], found[0]["whole_at"]) if found else ("", 0, "")

    def set_feed(self, server: str, feed: str, last: int, whole_at: str) -> None:
        """Remember how far the feed was read. Only when what it named is kept: a kill before repeats the reading."""
        with self.transaction() as db:
            db.execute("insert or replace into feeds values (?,?,?,?)", (server, feed, last, whole_at))

    # -- moves --------------------------------------------------------------------------------------------

    def add_moved(self, server: str, responses: Iterable[MovedResponse]) -> None:
        """Remember which responses on a new server are copies; those known already change nothing."""
        with self.transaction() as db:
            db.executemany(
                "insert or replace into moved_responses values (?,?,?,?,?,?)",
                (
                    (server, r.response_id, r.updated_at, r.from_response_id, r.from_updated_at, now())
                    for r in responses
                ),
            )

    def moved(self, responses: Iterable[str]) -> dict[str, MovedResponse]:
        """Copied responses among these, and copies of these, by their id on the server that they were copied to."""
        if not self.rows("select 1 from moved_responses limit 1"):
            return {}
        wanted = json.dumps(list(responses))
        query = "select response_id, updated_at, from_response_id, from_updated_at from moved_responses where {} in {}"
        either = " union ".join(
            query.format(column, "(select value from json_each(?))") for column in ("response_id", "from_response_id")
        )
        return {row["response_id"]: MovedResponse(*row) for row in self.rows(either, wanted, wanted)}

    def add_move(self, server: str, from_server: str) -> None:
        """Remember that everything was copied to a server, and compared."""
        with self.transaction() as db:
            db.execute("insert or ignore into moves values (?,?,?)", (server, from_server, now()))

    def moves(self) -> dict[str, str]:
        """Server -> the one that the project was moved from."""
        return {r["server"]: r["from_server"] for r in self.rows("select * from moves order by at")}


def _table(*, side: bool) -> str:
    return "current_side_items" if side else "current_items"


def _insert_people(db: sqlite3.Connection, people: Iterable[Person]) -> None:
    columns = "username, name, role, country, languages, active, excluded, weight, auto, reason, at"
    db.executemany(
        f"insert into people ({columns}) values (?,?,?,?,?,?,?,?,?,?,?)",
        (
            (
                *(p.username, p.name, p.role, p.country, json.dumps(p.languages), int(p.active), p.excluded),
                *(p.weight, int(p.auto), p.reason, now()),
            )
            for p in people
        ),
    )
