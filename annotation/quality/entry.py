"""Results of entry tests: who passed, who is at which try, and who waits until when."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from annotation.config import Settings
from annotation.ledger import Ledger, Response
from annotation.tasks import TASKS
from annotation.tasks.adjudication import ADJUDICATOR
from annotation.tasks.answers import read_answers, roster
from annotation.team_settings import EntrySettings
from annotation.types import Item

ENTRY = "entry"
"""Purpose of the items of a test that comes before the work."""

State = Literal["open", "passed", "at it", "waits", "failed"]


@dataclass(frozen=True, slots=True)
class EntryResult:
    """Where a person stands in the entry test of their country.

    Attributes:
        state: "passed"; "open": they worked at the task before, and need not pass; "at it": a try is theirs to
            do; "waits": for the next one; "failed": in the last one.
        turn: The try that is theirs to do, 0 first; -1 where none is.
        right: Right answers in the try that they are at or did last.
        answered: Answers in it, discarded items among them.
        of: Items of it.
        tries: Tries that there are.
        until: When the next try opens, ISO 8601 in UTC; "" where they wait for none.
    """

    state: State
    turn: int
    right: int
    answered: int
    of: int
    tries: int
    until: str = ""

    @property
    def open(self) -> bool:
        """Whether the queue of the work is theirs."""
        return self.state in ("open", "passed")

    @property
    def shut(self) -> bool:
        """Whether neither the work nor a try is theirs now."""
        return self.state in ("failed", "waits")

    def sentence(self) -> str:
        """For the lead."""
        if self.state == "open":
            return "worked at the task before, and need not pass"
        if self.state == "at it":
            return f"at try {self.turn + 1} of {self.tries}, {self.answered} of {self.of} answered"
        until = f" until {self.until[:16].replace('T', ' ')} (UTC)" if self.until else ""
        return f"{self.state}{until}, {self.right} of {self.of} right in the last try"


def entry_results(ledger: Ledger, settings: Settings, at: datetime) -> dict[tuple[str, str], EntryResult]:
    """(task, user name) -> where they stand, of all who do the work of a country that has an entry test in the task.

    A pure function of the ledger, the settings as they are now, and the time. Each try has `entry.items` items, the
    next ones in the order in which they were made. What counts is what a sync first brought home: who answers again
    after a try changes nothing, and whoever discards an item has answered it wrongly. Whoever answered an item of the
    work before is in, whatever the settings say.

    Args:
        ledger: The project's.
        settings: Its [entry].
        at: The present, with its time zone.
    """
    every: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in ledger.items(side=True):
        if item.purpose == ENTRY:
            every[item.task, item.country].append(item)
    tests = {place: own for place, own in every.items() if any(not item.removed for item in own)}
    items = {item.id: item for own in tests.values() for item in own}
    given: dict[tuple[str, str], list[Response]] = defaultdict(list)
    first = _first_answers(ledger, items)
    for response in first:
        given[items[response.item_id].task, response.annotator].append(response)
    # Whoever logs in is tested, also where two user names are one person's, or where what they answer does not count.
    team = {name: replace(person, same_as="", excluded="") for name, person in roster(ledger).items()}
    right = {
        (answer.item_id, answer.annotator)
        for answer in read_answers(first, items, team).kept
        if TASKS[items[answer.item_id].task].score(items[answer.item_id], answer.value) == 1
    }
    people = [p for p in ledger.people() if p.active and p.role != ADJUDICATOR] if tests else []
    return {
        (task, person.username): replace(found, state="open", turn=-1, until="")
        if not found.open and _worked(ledger, task, person.username)
        else found
        for (task, country), own in tests.items()
        for person in people
        if person.country == country
        for found in [_stands(settings.entry, own, given[task, person.username], right, at)]
    }


def _first_answers(ledger: Ledger, items: Mapping[str, Item]) -> list[Response]:
    """What each person first submitted or discarded of each item, by time: later versions and copies say nothing."""
    rows = ledger.rows(
        """select response_id, item_id, annotator, country, status, updated_at, raw from responses where seq in
             (select min(seq) from responses indexed by responses_of_item
              where item_id in (select value from json_each(?)) and status in ('submitted', 'discarded')
              group by item_id, annotator)
           order by updated_at, seq""",
        json.dumps(list(items)),
    )
    return [Response(*row) for row in rows]


def _worked(ledger: Ledger, task: str, username: str) -> bool:
    query = """select 1 from responses r join items i on i.id = r.item_id
               where r.annotator = ? and r.status = 'submitted' and i.task = ? limit 1"""
    return bool(ledger.rows(query, username, task))


def _stands(
    owed: EntrySettings,
    items: list[Item],
    given: list[Response],
    right: set[tuple[str, str]],
    at: datetime,
) -> EntryResult:
    """One person's place. Items that were removed after they had answered them say nothing, and keep their place."""
    answered = {response.item_id for response in given}
    there = {item.id: not item.removed for item in items if not item.removed or item.id in answered}
    # The last try may have lost some items; one that has lost most of them is none.
    tries = max(1, min(owed.tries, (len(there) + owed.items // 2) // owed.items))
    for turn in range(tries):
        own = given[turn * owed.items : (turn + 1) * owed.items]
        whole = min(owed.items, len(there) - turn * owed.items)
        judged = [response for response in own if there[response.item_id]]
        good = sum((response.item_id, response.annotator) in right for response in judged)
        numbers = (good, len(own), whole, tries)
        if len(own) < whole:
            return EntryResult("at it", turn, *numbers)
        if good >= owed.needed * len(judged) - 1e-9:
            return EntryResult("passed", -1, *numbers)
        until = datetime.fromisoformat(own[-1].updated_at) + timedelta(hours=owed.wait_hours)
        if turn + 1 < tries and until > at:
            return EntryResult("waits", -1, *numbers, until.isoformat(timespec="seconds"))
    return EntryResult("failed", -1, *numbers)
