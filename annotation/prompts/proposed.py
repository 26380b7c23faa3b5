"""Proposed prompts: those that a model wrote, known by their source: who wrote them, by which call, and from which."""

from __future__ import annotations

import re
from dataclasses import dataclass

from annotation.ledger import Ledger

_SOURCE = re.compile(r"(drafted by (.+)), call ([0-9a-f]{16})(?:, from ([0-9a-f]{16}))?")


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where a proposed prompt is from.

    Attributes:
        model: Who wrote it.
        call: The call's slot in the ledger.
        parent: Id of the prompt of another country that it asks for its own country, or "".
    """

    model: str
    call: str
    parent: str = ""

    @property
    def source(self) -> str:
        """As it stands with the prompt. It holds no colon, which the sources of files do."""
        return f"{self.origin}, call {self.call}" + (f", from {self.parent}" if self.parent else "")

    @property
    def origin(self) -> str:
        """The same of all prompts by the model."""
        return f"drafted by {self.model.replace(':', '-')}"


def proposal_of(source: str) -> Proposal | None:
    """What a source says of a proposed prompt; None where it is that of another."""
    found = _SOURCE.fullmatch(source)
    return Proposal(found[2], found[3], found[4] or "") if found else None


def origin_of(source: str) -> str:
    """A source without the call, of a proposed prompt; any other as it is."""
    proposal = proposal_of(source)
    return proposal.origin if proposal else source


def proposed_prompts(ledger: Ledger) -> dict[str, Proposal]:
    """Prompt id -> where it is from, of all that a model wrote, in the order in which they came."""
    rows = ledger.rows(
        "select id, source from prompts where source like 'drafted by %' and instr(source, ':') = 0 order by rowid"
    )
    return {row["id"]: found for row in rows if (found := proposal_of(row["source"]))}
