"""Worth of the dollars spent on new prompts: what each model proposed, and what people accepted of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from annotation.extending.questions import calls_for_prompts
from annotation.extending.take_in import NOTHING, STEP
from annotation.project import Project
from annotation.prompts.proposed import proposed_prompts
from annotation.prompts.review import checked_prompts
from annotation.tasks.prompt_check.task import ACCEPTED, REJECTED


@dataclass(frozen=True, slots=True)
class Worth:
    """What one model brought.

    Attributes:
        model: Cohere's name.
        calls: That were sent.
        usd: Dollars for them; what is reserved where nobody knows yet.
        proposed: Prompts in its answers.
        kept: Those that people are asked about, or were.
        accepted: By people.
        rejected: By people.
    """

    model: str
    calls: int
    usd: float
    proposed: int
    kept: int
    accepted: int
    rejected: int

    @property
    def per_dollar(self) -> float | None:
        """Accepted prompts for a dollar; None where nothing was paid, or people have said nothing yet."""
        return self.accepted / self.usd if self.usd and self.accepted + self.rejected else None

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "accepted_per_dollar": self.per_dollar}


def worth(project: Project) -> list[Worth]:
    """What every model brought that was asked for prompts."""
    ledger = project.ledger
    calls, proposed = Counter[str](), Counter[str]()
    spent: dict[str, float] = {}
    model_of: dict[str, str] = {}
    for call in calls_for_prompts(ledger):
        model_of[call["slot_id"]] = call["model"]
        calls[call["model"]] += 1
        spent[call["model"]] = spent.get(call["model"], 0.0) + call["usd"]
    if not calls:
        return []
    kept, accepted, rejected = Counter[str](), Counter[str](), Counter[str]()
    checked = checked_prompts(ledger, project.settings)
    for prompt_id, proposal in proposed_prompts(ledger).items():
        model = model_of[proposal.call]
        kept[model] += 1
        accepted[model] += checked.get(prompt_id) == ACCEPTED
        rejected[model] += checked.get(prompt_id) == REJECTED
    for drop in ledger.dropped(STEP):
        proposed[model_of[drop.id.partition(":")[0]]] += drop.reason != NOTHING
    return [
        Worth(
            model,
            calls[model],
            round(spent[model], 10),
            proposed[model] + kept[model],
            kept[model],
            accepted[model],
            rejected[model],
        )
        for model in sorted(calls)
    ]
