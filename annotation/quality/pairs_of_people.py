"""Pairs of people, read from the ledger for the few that need it: what two both answered, and who agrees with whom."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean

from annotation.ledger import Ledger
from annotation.quality.habits import agreeing
from annotation.tasks import TASKS
from annotation.tasks.answers import newest_responses, read_answers
from annotation.types import Person

READ = 100
"""Answers of a person, the newest, to which company is looked for."""

MET = 5
"""Items that two people share, from which on one may be company of the other."""


def shared_items(ledger: Ledger, task: str, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How many items of a task both people of a pair submitted an answer to; everything is read once.

    Args:
        ledger: The project's.
        task: Name.
        pairs: User names.
    """
    answered: dict[str, set[str]] = defaultdict(set)
    if pairs:
        same, people = ledger.aliases(), {who for pair in pairs for who in pair}
        rows = ledger.rows(
            """select distinct annotator, item_id from responses
               where annotator in (select value from json_each(?)) and status = 'submitted'
                 and item_id in (select id from items where task = ?)""",
            json.dumps(sorted(people | {name for name, root in same.items() if root in people})),
            task,
        )
        for row in rows:
            answered[same.get(row["annotator"], row["annotator"])].add(row["item_id"])
    return {(one, other): len(answered[one] & answered[other]) for one, other in pairs}


def has_company(
    ledger: Ledger, team: Mapping[str, Person], task: str, annotator: str, share: float, *, others: int
) -> bool:
    """Whether somebody of the same country agrees with a person in such a share of comparisons, or nobody can tell.

    People of another opinion than most agree with each other; who answers by chance agrees with nobody. Where few share
    MET items with the person, one alone with an opinion looks the same.

    Args:
        ledger: The project's.
        team: From `roster`.
        task: Name.
        annotator: User name.
        share: In which two people of one opinion agree.
        others: How many must share items with the person, or nobody can tell.
    """
    rows = ledger.rows(
        """select item_id from responses where annotator in (select value from json_each(?)) and status = 'submitted'
           order by updated_at desc limit ?""",
        json.dumps([annotator, *(person.username for person in team.values() if person.same_as == annotator)]),
        READ,
    )
    shares = _shares(ledger, team, task, annotator, {row["item_id"] for row in rows})
    met = [fmean(of) for of in shares.values() if len(of) >= MET]
    return len(met) < others or max(met, default=0.0) >= share


def _shares(
    ledger: Ledger, team: Mapping[str, Person], task: str, annotator: str, ids: Iterable[str]
) -> dict[str, list[float]]:
    """Other people of the person's country -> on each shared item, the share of comparisons that agree."""
    items = {item.id: item for item in ledger.items(ids=ids) if item.task == task and item.purpose == "work"}
    found = defaultdict[str, list[float]](list)
    answers = defaultdict(list)
    for answer in read_answers(newest_responses(ledger, items), items, team).kept:
        answers[answer.item_id].append(answer)
    of, nominal = TASKS[task], TASKS[task].scale == "nominal"
    for item_id, given in answers.items():
        units = {answer.annotator: of.units(items[item_id], answer.value) for answer in given}
        own = [answer.country for answer in given if answer.annotator == annotator]
        for answer in given:
            if own == [answer.country] and answer.annotator != annotator:
                agree, made = agreeing(units[annotator], units[answer.annotator], nominal=nominal)
                if made:
                    found[answer.annotator].append(agree / made)
    return found
