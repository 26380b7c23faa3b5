"""Rounds: prompts that people are asked about anew, with other answers.

What earlier rounds hold stays as it is: their slates are closed, and what was said of them counts on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.ledger import Ledger
from annotation.ledger_file import now

CONTESTED = "contested"
VOTES = "votes"
THIN = "thin"
REASONS = (CONTESTED, VOTES, THIN)
"""Why a prompt is in a round: people disagreed, visitors voted against the adapter, its country has too little."""

SOURCE = "own_answer_of"
"""Key in a candidate's settings: it came by `annot draft --source`, and is the aligned model's own. Answers of a file
say under "source" where they stand in it, which is another thing."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round.

    Attributes:
        number: 1 first.
        started_at: ISO 8601 in UTC; "" for the first, which began with the project.
        reasons: Reason -> prompts that were chosen for it; none in the first, which holds whatever there is.
        facts: What it was started with: settings of the choice, and the snapshot (task -> id) of the rounds before.
    """

    number: int
    started_at: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def current_round(ledger: Ledger) -> int:
    """Number of the round in which people are asked now."""
    return int(ledger.rows("select coalesce(max(number), 1) as now from rounds")[0]["now"])


def rounds(ledger: Ledger) -> list[Round]:
    """All rounds, the first one first."""
    reasons: dict[int, Counter[str]] = {}
    for row in ledger.rows(
        "select round, reason, count(*) as n from round_prompts group by 1, 2 order by 1, 3 desc, 2"
    ):
        reasons.setdefault(row["round"], Counter())[row["reason"]] = row["n"]
    found = ledger.rows("select number, started_at, facts from rounds order by number")
    return [
        Round(1),
        *(Round(r["number"], r["started_at"], reasons.get(r["number"], {}), json.loads(r["facts"])) for r in found),
    ]


def open_prompts(ledger: Ledger) -> set[str] | None:
    """Ids of the prompts that people are asked about in this round: chosen for it, or on no slate before it.

    None in the first round: all of them.
    """
    if current_round(ledger) == 1:
        return None
    return {row["id"] for row in ledger.rows("select id from open_prompts")}


def own_candidates(ledger: Ledger, ids: Collection[str]) -> set[str]:
    """Those of some candidates that `annot draft --source` brought: the aligned model's own."""
    query = f"""select id from candidates where id in (select value from json_each(?))
                and json_extract(settings, '$.{SOURCE}') is not null"""
    return {row["id"] for row in ledger.rows(query, json.dumps(sorted(ids)))}


def start_round(ledger: Ledger, prompts: Mapping[str, str], facts: Mapping[str, Any]) -> Round:
    """Start the next round: prompt id -> why it is in it. Slates of the rounds before are closed from now on."""
    with ledger.transaction() as db:
        number = current_round(ledger) + 1
        told = json.dumps(dict(facts), ensure_ascii=False, sort_keys=True)
        db.execute("insert into rounds values (?,?,?)", (number, now(), told))
        db.executemany("insert into round_prompts values (?,?,?)", ((number, *pair) for pair in prompts.items()))
    return rounds(ledger)[-1]
