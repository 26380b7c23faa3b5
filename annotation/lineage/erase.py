"""Erasing in the ledger: what is forgotten goes, in one transaction; ids stay, so that nothing brings it back.

The ledger is append-only, and this is the one exception: personal data that somebody wants gone is gone, not hidden
behind a newer row. What is blanked:

    of a person   user name, name and languages on the roster; that other user names are theirs, which must be
                  forgotten one by one; the reason for which they were left out; the user name
                  under their answers, and all that they said (`raw`), in files too; what people typed, where
                  adjudicators are told of it and they were among them; their name as the author of prompts and
                  items; the associations that they shared and nobody else did, as below
    of a prompt   its text and system text; the texts of its candidates; the raw answers of the service that drafted
                  them, or proposed it; what people, and files, said of it (`raw`); the texts in votes of a demo's
                  visitors about it; what is known of its picture, where no other prompt is about it
                  and the texts of control items that were made of it, or on which an answer to it stands
    of an association   its texts in the items about it, and in those that were made of it; what people said of
                  them (`raw`); the lines of the sheets on which it was shared

What stays is what the rest relies on: numbers of rows, ids, times, countries and money. A response that a pull brings
again is known by its id, or by a keyed hash of its author's user name (`mark_of`), and is not kept; a prompt or an
association that is read again is known by its id, a hash of its content. By hashes of the words of a name, what others
typed about somebody who is forgotten is masked as before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from annotation.controls.mark import REASON
from annotation.errors import ProjectError
from annotation.images.store import is_needed
from annotation.ledger import FORGOTTEN, Ledger
from annotation.ledger_file import now
from annotation.prompts.proposed import proposed_prompts
from annotation.stereotypes.shared import SOURCE, forgotten_lines, heirs
from annotation.stereotypes.sources import read_from
from annotation.tasks.adjudication import SAID, without_quotes
from annotation.tasks.page import AUTHOR, TEXTS_OF
from annotation.tasks.share.sheet import NAME as SHARE
from annotation.text.privacy import naming_words
from annotation.types import mark_of

SAYS_NOTHING = ("id", "association", "source", "licence", "target", "control", "country", "language", "template")
"""Texts in the content of an item about an association that say nothing of what it says."""

STILL_READING = (
    "It is forgotten, but another command is still reading what was there before; when that is done, run this again: "
    "until then it stands in files of the project."
)

_ITEMS = ("items", "side_items")

_BLANK = """json_object('id', response_id, 'record_id', json_extract(raw, '$.record_id'), 'user_id', {user},
              'values', json('{{}}'))"""


def erase_person(ledger: Ledger, username: str, pseudonym: str, reason: str) -> None:
    """Forget somebody, once: doing it again changes nothing.

    Args:
        ledger: The project's.
        username: As the roster has it.
        pseudonym: What stays of the name: under it their votes have left the project.
        reason: Why, for the team; no name in it.
    """
    with _overwriting(ledger), ledger.transaction() as db:
        names = db.execute("select distinct name from people where username = ?", (username,)).fetchall()
        words = {username, *(word for (name,) in (*names, ("",)) for word in naming_words(username, name))}
        key = ledger.mark_keys()(pseudonym)
        _note(db, "person", pseudonym, [mark_of(key, word) for word in sorted(words)], reason)
        others = heirs(ledger, username)  # before what they said is blanked
        # Who was deleted on the server while it was read stands there by the server's own id.
        accounts = [
            row[0]
            for row in db.execute(
                "select distinct json_extract(raw, '$.user_id') from responses where annotator = ?", (username,)
            )
        ]
        wanted = json.dumps([username, *filter(None, accounts)])
        _erase_quotes(ledger, db, wanted)
        db.execute(
            f"""update responses set annotator = ?, status = ?, raw = {_BLANK.format(user="''")}
                where annotator in (select value from json_each(?))""",
            (pseudonym, FORGOTTEN, wanted),
        )
        db.execute(
            """update people set username = ?, name = '', languages = '[]', active = 0, excluded = '', reason = ''
               where username = ?""",
            (pseudonym, username),
        )
        for word in filter(None, (username, *(name for (name,) in names))):  # "copies ana", a lead wrote of others
            db.execute(
                "update people set excluded = replace(excluded, ?1, ?2), reason = replace(reason, ?1, ?2)",
                (word, pseudonym),
            )
        apart = {name for name, same_as in ledger.aliases().items() if username in (name, same_as)} - {username}
        db.execute("update aliases set name = ?, same_as = '' where name = ?", (pseudonym, username))
        db.execute("update aliases set same_as = '' where same_as = ?", (username,))
        ledger.add_aliases(dict.fromkeys(apart, ""))  # rows that are new: what was counted is counted again
        _erase_associations(ledger, db, [association for association, heir in others.items() if not heir], reason)
        for heir in sorted(set(others.values()) - {""}):
            about = ledger.items_about(*(association for association, other in others.items() if other == heir))
            for table in _ITEMS:
                db.execute(
                    f"""update {table} set content = json_set(content, '$.author', ?)
                        where id in (select value from json_each(?)) and json_extract(content, '$.author') = ?""",
                    (heir, json.dumps(about), username),
                )
        db.execute("update prompts set author = '' where author = ?", (username,))
        db.execute("update file_judgements set value = '', place = '' where annotator = ?", (pseudonym,))
        for table in _ITEMS:
            db.execute(
                f"""update {table} set content = json_remove(content, '$.author')
                    where json_extract(content, '$.author') = ?""",
                (username,),
            )


def _erase_quotes(ledger: Ledger, db: sqlite3.Connection, wanted: str) -> None:
    """What people typed goes from what adjudicators are told, where one of the wanted is among them."""
    rows = db.execute(
        """select id from side_items where purpose = 'adjudication' and parent in
           (select item_id from responses where annotator in (select value from json_each(?)))""",
        (wanted,),
    ).fetchall()
    for item in ledger.items(ids=[row["id"] for row in rows]):
        content = {**item.content, SAID: without_quotes(item.content[SAID])}
        db.execute("update side_items set content = ? where id = ?", (_json(content), item.id))


def erase_prompt(ledger: Ledger, prompt_id: str, reason: str) -> None:
    """Forget a prompt, once: doing it again changes nothing."""
    with _overwriting(ledger), ledger.transaction() as db:
        (prompt,) = ledger.prompts([prompt_id])
        _note(db, "prompt", prompt_id, [], reason)
        ledger.change_prompts([prompt])
        db.execute("update prompts set text = '', system = '', author = '' where id = ?", (prompt_id,))
        db.execute("update candidates set text = '' where prompt_id = ?", (prompt_id,))
        if prompt.image and not is_needed(ledger, prompt):
            db.execute("delete from pictures where id = ?", (prompt.image,))
        db.execute("update file_judgements set value = '' where prompt_id = ?", (prompt_id,))
        db.execute(
            "update votes set prompt = '', a = '', b = '' where prompt_id = ? or (typed and prompt = ?)",
            (prompt_id, prompt.text),
        )
        proposal = proposed_prompts(ledger).get(prompt_id)
        db.execute(
            """update outcomes set raw = '', detail = '' where slot_id = ? or (slot_id, attempt) in
               (select slot_id, attempt from calls where prompt_id = ?)""",
            (proposal.call if proposal else "", prompt_id),
        )
        items = ledger.items_with(prompt_id)
        side = [item for item in ledger.items(ids=items) if item.purpose != "work"]
        ledger.remove_items(item.id for item in side)  # of another prompt, perhaps: it does not follow this one
        for item in side:
            blank = {**item.content, TEXTS_OF: dict.fromkeys(item.content.get(TEXTS_OF, ()), "")}
            blank.pop(REASON, None)
            if SAID in blank:
                blank[SAID] = ""
            db.execute("update side_items set content = ? where id = ?", (_json(blank), item.id))
        db.execute(
            f"""update responses set raw = {_BLANK.format(user="json_extract(raw, '$.user_id')")}
                where item_id in (select value from json_each(?))""",
            (json.dumps(items),),
        )


def erase_association(ledger: Ledger, association_id: str, reason: str) -> None:
    """Forget an association, once: doing it again changes nothing."""
    with _overwriting(ledger), ledger.transaction() as db:
        _erase_associations(ledger, db, [association_id], reason)


def _erase_associations(ledger: Ledger, db: sqlite3.Connection, associations: Sequence[str], reason: str) -> None:
    for association in associations:
        _note(db, "association", association, [], reason)
    items = ledger.items_about(*associations)
    ledger.remove_items(items)
    for item in ledger.items(ids=items):
        blank = {name: "" if isinstance(v, str) and name not in SAYS_NOTHING else v for name, v in item.content.items()}
        blank.pop(AUTHOR, None)
        if not blank.get("source", SOURCE).startswith(SOURCE):
            blank["source"] = read_from(blank["source"])  # a table's own words about it may stand behind the file
        for table in _ITEMS:
            db.execute(f"update {table} set content = ? where id = ?", (_json(blank), item.id))
    db.execute(
        f"""update responses set raw = {_BLANK.format(user="json_extract(raw, '$.user_id')")}
            where item_id in (select value from json_each(?))""",
        (json.dumps(items),),
    )
    sheets, erase = {item.id: item for item in ledger.items(SHARE)}, forgotten_lines(ledger)
    for seq, item_id, country, raw in db.execute(
        """select seq, item_id, country, raw from responses
           where item_id in (select value from json_each(?))""",
        (json.dumps(list(sheets)),),
    ).fetchall():
        if (blanked := erase(sheets[item_id], country, raw)) != raw:
            db.execute("update responses set raw = ? where seq = ?", (blanked, seq))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


def _note(db: sqlite3.Connection, kind: str, id_: str, marks: list[str], reason: str) -> None:
    db.execute(
        "insert or ignore into forgotten (kind, id, marks, reason, at) values (?,?,?,?,?)",
        (kind, id_, json.dumps(marks), reason, now()),
    )


@contextmanager
def _overwriting(ledger: Ledger) -> Iterator[None]:
    """Have SQLite write zeros over what is deleted; it would leave the bytes in the file."""
    ledger.rows("pragma secure_delete = on")
    try:
        yield
    finally:
        ledger.rows("pragma secure_delete = off")


def empty_log(ledger: Ledger) -> None:
    """Take SQLite's write-ahead log into the ledger and empty it: it holds pages as they were before.

    Raises:
        ProjectError: Somebody reads the ledger as it was before, and the log has to wait for them.
    """
    if ledger.rows("pragma wal_checkpoint(truncate)")[0]["busy"]:
        raise ProjectError(STILL_READING)
