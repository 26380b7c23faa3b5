"""Money: calls that may cost some, set aside before they are sent, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotation.errors import BudgetExhausted
from annotation.ledger import Ledger
from annotation.ledger_file import now
from annotation.types import Candidate


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may cost money.

    Attributes:
        slot_id: Names the place of the answer: prompt, slot number, model, voice and sampling.
        attempt: 0 first; a slot is tried again only when the last attempt certainly cost nothing.
        reserved_usd: The most it can cost, in dollars.
    """

    slot_id: str
    attempt: int
    prompt_id: str
    slot: int
    model: str
    voice: str
    settings: Mapping[str, Any]
    reserved_usd: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call.

    Attributes:
        outcome: "answer", "empty", "refused", "wrong language", "duplicate", "cut", "broken", "timeout", "lost",
            or one that cost nothing: "rate limited", "server error", "rejected", "unreachable".
        usd: What it cost; the whole reservation where nobody can know.
        detail: One line for a person.
        raw: The answer as it came, JSON.
    """

    outcome: str
    usd: float
    input_tokens: int = 0
    output_tokens: int = 0
    detail: str = ""
    raw: str = ""


def committed_usd(ledger: Ledger) -> float:
    """Dollars spent, plus all that is reserved for calls without an outcome."""
    # Sums of floats leave dust: what was set aside and given back must be nothing.
    return round(float(ledger.rows("select committed_usd from spending")[0]["committed_usd"]), 10)


def reserve(ledger: Ledger, call: Call, budget_usd: float) -> None:
    """Set the cost of a call aside before it is sent.

    Raises:
        BudgetExhausted: The call could exceed the budget; nothing is reserved.
    """
    with ledger.transaction() as db:
        committed = committed_usd(ledger)
        if committed + call.reserved_usd > budget_usd + 1e-9:
            raise BudgetExhausted(
                f"draft.budget_usd = {budget_usd:.2f} is reached: {committed:.4f} dollars are spent or reserved "
                f"and the next call could cost {call.reserved_usd:.4f}; raise it in annot.toml to go on."
            )
        db.execute(
            "insert into calls values (?,?,?,?,?,?,?,?,?)",
            (
                call.slot_id,
                call.attempt,
                call.prompt_id,
                call.slot,
                call.model,
                call.voice,
                json.dumps(dict(call.settings)),
                call.reserved_usd,
                now(),
            ),
        )


def settle(ledger: Ledger, call: Call, outcome: Outcome, candidate: Candidate | None = None) -> None:
    """Record what became of a call and, in the same transaction, the candidate that it brought."""
    with ledger.transaction() as db:
        if candidate is not None:
            ledger.add_candidates([candidate])
        db.execute(
            "insert into outcomes values (?,?,?,?,?,?,?,?,?,?)",
            (
                call.slot_id,
                call.attempt,
                outcome.outcome,
                outcome.usd,
                outcome.input_tokens,
                outcome.output_tokens,
                candidate.id if candidate else None,
                outcome.detail,
                outcome.raw,
                now(),
            ),
        )


def settle_lost(ledger: Ledger) -> int:
    """Give every call that was cut off the outcome "lost", paid in full. Only while no draft is running."""
    with ledger.transaction() as db:
        return db.execute(
            """insert into outcomes
               select slot_id, attempt, 'lost', reserved_usd, 0, 0, null, 'the run was cut off', '', ?
               from calls where (slot_id, attempt) not in (select slot_id, attempt from outcomes)""",
            (now(),),
        ).rowcount
