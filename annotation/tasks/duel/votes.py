"""Votes of a demo's visitors: duels of an aligned model with its base, in a table of their own in the ledger.

They stand apart from the team's items and responses: nobody on the team is asked about them, and no quota, agreement
or snapshot counts them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from sys import intern

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.tasks.base import Rows, Texts
from annotation.tasks.duel.task import DEMO, NAME, Duels
from annotation.types import Answer, Item


@dataclass(frozen=True, slots=True)
class Duel:
    """One vote of one visitor: two answers to one prompt, and which was better.

    Attributes:
        id: Drawn by the demo before anything was generated; a duel counts once.
        run: The run whose adapter it was about, as the demo told it.
        adapter: SHA-256 of the adapter.
        base: The base model.
        base_version: Its version.
        country: Of the visitor, ISO 3166-1 alpha-2.
        language: Of the page, ISO 639.
        choice: "A", "B", "tie" or "both_bad".
        adapted: "A" or "B": the side on which the aligned model answered.
        prompt_id: The project's prompt that was answered, or "".
        prompt: Its text, or what the visitor typed and gave away; "" where neither is known.
        answers: The texts of A and B, masked; "" where they were not to be kept, or are not read.
        at: When the visitor voted, UTC, to the minute: "2026-11-29T01:02Z".
        source: Where the vote was read: "OWNER/NAME-votes", or a folder.
        typed: The prompt is the visitor's own, who gave it away.
    """

    id: str
    run: str
    adapter: str
    base: str
    base_version: str
    country: str
    language: str
    choice: str
    adapted: str
    prompt_id: str
    prompt: str
    answers: tuple[str, str]
    at: str
    source: str
    typed: bool = False

    def item(self) -> Item:
        """What was put before the visitor, as an item of the task."""
        about = {name: getattr(self, name) for name in ("run", "adapter", "base", "base_version", "adapted")}
        content = {"a": self.answers[0], "b": self.answers[1], **about, "source": DEMO}
        typed = {"typed": self.prompt} if self.typed else {}
        return Item(self.id, NAME, 0, self.country, self.language, "", {**content, **typed}, self.prompt_id)

    def answer(self) -> Answer[str]:
        """What was said of it, by nobody who has a name."""
        return Answer(self.id, self.id, "", self.country, self.at, self.choice)


_COLUMNS = ("a", "b", *(field.name for field in fields(Duel) if field.name != "answers"))
_FACTS = tuple(name for name in _COLUMNS if name not in ("a", "b", "prompt", "typed"))

# Looked up by id: a join with the view `current_prompts` would make all of it for every page.
_CHANGE = "select removed from prompt_changes where prompt_id = v.prompt_id order by seq desc limit 1"
_STAYS = f"coalesce(({_CHANGE}), 0) = 0"


def add_duels(ledger: Ledger, duels: Iterable[Duel]) -> int:
    """Keep duels; those that are there, or about a forgotten prompt, change nothing. Returns how many were new."""
    columns = ", ".join((*_COLUMNS, "pulled_at"))
    with ledger.transaction() as db:
        before, gone = db.total_changes, ledger.forgotten("prompt")
        db.executemany(
            f"insert or ignore into votes ({columns}) values ({', '.join('?' * (len(_COLUMNS) + 1))})",
            (
                (*d.answers, *(getattr(d, name) for name in _COLUMNS[2:]), now())
                for d in duels
                if d.prompt_id not in gone
            ),
        )
        return db.total_changes - before


def read_duels(ledger: Ledger, *, adapter: str = "", texts: bool = True) -> list[Duel]:
    """All duels, or those about one adapter; none about a prompt that was removed from the project.

    Args:
        ledger: The project's.
        adapter: SHA-256 of the adapter; "" for duels about any.
        texts: Read prompts and answers too.
    """
    which = ("and v.adapter = ?", adapter) if adapter else ("",)
    return list(_duels(ledger, *which, texts=texts))


def duel_tables(
    ledger: Ledger, settings: Settings, pseudonym: Callable[[str], str], at_once: int
) -> Iterator[dict[str, Rows]]:
    """The task's tables of the same duels in the order of their ids, some at a time: memory does not grow with them."""
    task, after = Duels(), ""
    while rows := ledger.rows("select id from votes where id > ? order by id limit ?", after, at_once):
        duels = list(_duels(ledger, "and v.id > ? and v.id <= ?", after, rows[-1]["id"]))
        items, after = {duel.id: duel.item() for duel in duels}, rows[-1]["id"]
        texts = Texts.of(ledger, task, list(items.values()))
        yield task.tables(items, [duel.answer() for duel in duels], texts, settings, pseudonym)


def known_duels(ledger: Ledger, ids: Collection[str]) -> set[str]:
    """Those of some ids that the ledger has."""
    rows = ledger.rows("select id from votes where id in (select value from json_each(?))", json.dumps(list(ids)))
    return {row["id"] for row in rows}


def count_duels(ledger: Ledger) -> dict[str, int]:
    """Country -> how many votes are here, most first; none about a prompt that was removed from the project."""
    rows = ledger.rows(
        f"select country, count(*) as n from votes v where {_STAYS} group by country order by n desc, country"
    )
    return {row["country"]: row["n"] for row in rows}


def _duels(ledger: Ledger, which: str, *values: str, texts: bool = True) -> Iterator[Duel]:
    columns = ", ".join(f"v.{name}" for name in (*_FACTS, "typed"))
    read = "v.a, v.b, coalesce(nullif(v.prompt, ''), p.text, '')" if texts else "'', '', ''"
    query = f"select {columns}, {read} from votes v left join prompts p on p.id = v.prompt_id where {_STAYS} {which}"
    for *told, typed, a, b, prompt in ledger.rows(query, *values):
        # Most of what is told is told again and again: memory holds it once.
        facts = dict(zip(_FACTS, map(intern, told), strict=True))
        yield Duel(**facts, prompt=prompt, answers=(a, b), typed=bool(typed))
