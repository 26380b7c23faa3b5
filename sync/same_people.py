"""User names of one person: joined, and taken apart, in the ledger."""

from __future__ import annotations

import json

from annotation.errors import ArgillaError
from annotation.ledger import Ledger
from sync.team import known_person


def join_names(ledger: Ledger, name: str, other: str) -> tuple[str, str]:
    """Say that two user names are one person's: everything counts under the second.

    Where either has more names, all are that person's from then on.

    Returns:
        The name that counts for nothing of its own now, and the one under which all counts.

    Raises:
        ArgillaError: Nobody has one of the names, or they are one person's already.
    """
    for one in (name, other):
        known_person(ledger, one)
    with ledger.transaction():
        same = ledger.aliases()
        joined, stays = same.get(name, name), same.get(other, other)
        if joined == stays:
            raise ArgillaError(
                f'"{name}" and "{other}" are one person already'
                + (f', under "{stays}".' if name != other else "; write two different user names.")
            )
        ledger.add_aliases(dict.fromkeys((joined, *(n for n, root in same.items() if root == joined)), stays))
    return joined, stays


def part_names(ledger: Ledger, name: str, other: str) -> str:
    """Take it back that two user names are one person's.

    Returns:
        The name that counts for itself again.

    Raises:
        ArgillaError: They are not one person's.
    """
    with ledger.transaction():
        same = ledger.aliases()
        if name == other or same.get(name, name) != same.get(other, other):
            raise ArgillaError(f'"{name}" and "{other}" are not one person; there is nothing to undo.')
        apart = name if name in same else other
        ledger.add_aliases({apart: ""})
    return apart


def answered_by_both(ledger: Ledger, name: str) -> int:
    """Items to which more than one of somebody's user names submitted an answer."""
    names = [name, *(other for other, root in ledger.aliases().items() if root == name)]
    (row,) = ledger.rows(
        """select count(*) as n from (
             select item_id from responses where annotator in (select value from json_each(?)) and status = 'submitted'
             group by item_id having count(distinct annotator) > 1)""",
        json.dumps(names),
    )
    return int(row["n"])
