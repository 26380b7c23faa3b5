"""Facts of the page, read from the ledger once; what a lead of some countries may see of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from annotation.adjudicate import Case, cases
from annotation.ledger_file import now
from annotation.project import Project
from annotation.screen import Progress, silent
from sync.reporting.next_step import next_step
from sync.reporting.status import Report, report

EACH, CASES = 5, 60
"""Contested items that are shown with their texts: of a country and task, and in all."""


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What a model cost.

    Attributes:
        model: Its name.
        calls: Requests that were sent.
        usd: Dollars spent.
        input_tokens: Of all answers.
        output_tokens: Of all answers.
    """

    model: str
    calls: int
    usd: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Money:
    """What was spent in dollars, what is reserved for calls without an outcome, the budget; and models, most first."""

    spent: float
    reserved: float
    budget: float
    models: tuple[ModelCost, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows.

    Attributes:
        name: Of the project.
        made_at: ISO 8601, UTC.
        found: How the project stands.
        money: None for a lead of some countries.
        next: The command that takes the project further; "" for a lead of some countries.
        cases: Some items that are to be decided, with their texts.
        gaps: Some items for which the guidelines lack a rule, with it.
        countries: Those that the reader leads; None for all.
    """

    name: str
    made_at: str
    found: Report
    money: Money | None
    next: str
    cases: tuple[Case, ...] = ()
    gaps: tuple[Case, ...] = ()
    countries: tuple[str, ...] | None = None


def gather(project: Project, *, argilla_runs: bool, progress: Progress = silent) -> Facts:
    """Read what the page shows.

    Args:
        project: The project.
        argilla_runs: The embedded Argilla does.
        progress: Told how many items are counted, where many were answered since the last time.
    """
    made_at, found = now(), report(project, progress=progress)
    return Facts(
        project.settings.project.name,
        made_at,
        found,
        _money(project),
        next_step(project, found, argilla_runs=argilla_runs),
        tuple(cases(project, each=EACH, most=CASES)) if found.contested else (),
        tuple(cases(project, gaps=True, most=CASES)) if found.gaps else (),
    )


def only(facts: Facts, countries: Collection[str]) -> Facts:
    """What a lead of some countries sees: their people and items, and nothing that is counted for all together."""
    found = facts.found
    return replace(
        facts,
        found=replace(
            found,
            quotas=tuple(state for state in found.quotas if state.quota.country in countries),
            people=tuple(work for work in found.people if work.country in countries),
            agreement={
                task: own
                for task, groups in found.agreement.items()
                if (own := {of: one for of, one in groups.items() if of.partition(" · ")[0] in countries})
            },
            problems=_of(countries, found.problems),
            contested=_of(countries, found.contested),
            decisions=_of(countries, found.decisions),
            forecast=tuple(one for one in found.forecast if one.country in countries),
            gaps={key: number for key, number in found.gaps.items() if key[1] in countries},
            votes={country: number for country, number in found.votes.items() if country in countries},
            excluded={},
            unfit={},
            times={},
            runs=(),
            rounds=(),
            short_teams=(),
            other_texts="",
            capped="",
        ),
        money=None,
        next="",
        cases=tuple(case for case in facts.cases if case.country in countries),
        gaps=tuple(case for case in facts.gaps if case.country in countries),
        countries=tuple(sorted(countries)),
    )


def _of(countries: Collection[str], counted: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    return {key: number for key, number in counted.items() if key[1] in countries}


def _money(project: Project) -> Money:
    rows = project.ledger.rows(
        """select c.model, count(*) as calls, total(o.usd) as usd, coalesce(sum(o.input_tokens), 0) as input_tokens,
             coalesce(sum(o.output_tokens), 0) as output_tokens,
             total(case when o.outcome is null then c.reserved_usd end) as reserved
           from calls c left join outcomes o on o.slot_id = c.slot_id and o.attempt = c.attempt group by c.model"""
    )
    models = [
        ModelCost(row["model"], row["calls"], row["usd"], row["input_tokens"], row["output_tokens"]) for row in rows
    ]
    return Money(
        sum(row["usd"] for row in rows),
        sum(row["reserved"] for row in rows),
        project.settings.draft.budget_usd,
        tuple(sorted(models, key=lambda cost: (-cost.usd, cost.model))),
    )
