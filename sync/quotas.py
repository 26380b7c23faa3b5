"""How much judgement is enough, counted from stored judgements and from nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.quota_groups import belongs
from annotation.types import Judgement, Person, Prompt, Quota, Slate


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota and how far it has come.

    Attributes:
        quota: What the group owes.
        slates: Slates of the group that exist; fewer than the target can never meet it.
        completed: Slates judged by at least `quota.overlap` people.
        judgements: Submitted judgements on the group's slates.
        people: Annotators behind them.
    """

    quota: Quota
    slates: int
    completed: int
    judgements: int
    people: int

    @property
    def met(self) -> bool:
        """Enough slates are complete."""
        return self.completed >= self.quota.target

    @property
    def group(self) -> str:
        """Name of the group for a table."""
        return " · ".join(part for part in (self.quota.country, self.quota.topic, self.quota.language) if part)


def count_quotas(
    quotas: Sequence[Quota],
    slates: Iterable[Slate],
    prompts: Mapping[str, Prompt],
    judgements: Iterable[Judgement],
) -> tuple[QuotaState, ...]:
    """Count how far every quota has come. A slate counts for every group it belongs to.

    Args:
        quotas: From `plan_quotas`.
        slates: All slates of the project.
        prompts: By id.
        judgements: Submitted ones; a person counts once per slate.
    """
    voters: dict[str, set[str]] = defaultdict(set)
    for judgement in judgements:
        voters[judgement.slate_id].add(judgement.annotator)
    members = [(slate, prompts[slate.prompt_id]) for slate in slates]
    states = []
    for quota in quotas:
        own = [slate for slate, prompt in members if belongs(prompt, quota)]
        states.append(
            QuotaState(
                quota,
                slates=len(own),
                completed=sum(len(voters[slate.id]) >= quota.overlap for slate in own),
                judgements=sum(len(voters[slate.id]) for slate in own),
                people=len(set().union(*(voters[slate.id] for slate in own))),
            )
        )
    return tuple(states)


def all_met(states: Sequence[QuotaState]) -> bool:
    """Whether every quota is met; a project without quotas has met none."""
    return bool(states) and all(state.met for state in states)


def short_teams(states: Sequence[QuotaState], people: Iterable[Person]) -> tuple[str, ...]:
    """A sentence for every country whose team is too small to complete a slate; nothing before there is a team."""
    teams = Counter(person.country for person in people if person.active and person.role == "annotator")
    # Who left may have judged before: a quota that is met needs nobody.
    asked = {state.quota.country: state.quota.overlap for state in states if teams and not state.met}
    return tuple(
        f"{overlap} people per slate are asked for (quota.overlap), and {country} has only {teams[country]}: "
        "add people with `annot team add`, or lower quota.overlap in annot.toml."
        for country, overlap in sorted(asked.items())
        if teams[country] < overlap
    )
