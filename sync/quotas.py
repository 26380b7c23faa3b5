"""Progress of the quotas, counted from stored judgements and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.config import Settings
from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quota_groups import Grouped, belongs, plan_quotas
from annotation.screen import counted
from annotation.selection.waiting import Waiting
from annotation.tally import training_tasks
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import DESCRIPTION, ranked_kinds, slate_task
from annotation.types import Item, Quota


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota and how far it has come.

    Attributes:
        quota: What the group owes.
        items: Items of the group that exist.
        completed: Items answered by at least `quota.overlap` people.
        answers: Submitted answers to the group's items.
        people: Annotators behind them.
        coming: Prompts of the group that may still become items.
        round: In which people are asked: from the second on what was chosen for it is owed, and no more.
    """

    quota: Quota
    items: int
    completed: int
    answers: int
    people: int
    coming: int
    round: int = 1

    @property
    def owed(self) -> int:
        """The target; where there are fewer items and no more can come, those that there are.

        A group without any owes its target all the same: its absence must not look like a met quota. In a later round
        a group without any was not chosen.
        """
        if self.round > 1:
            return min(self.quota.target, self.items + self.coming)
        return self.quota.target if self.coming or not self.items else min(self.quota.target, self.items)

    @property
    def met(self) -> bool:
        """Enough items are complete."""
        return self.completed >= self.owed

    @property
    def group(self) -> str:
        """Name of the group for a table."""
        return " · ".join(part for part in (self.quota.country, self.quota.topic, self.quota.language) if part)

    def as_json(self) -> dict[str, Any]:
        """For scripts; "slates" and "judgements" are the older names of items and answers."""
        return {**asdict(self), "owed": self.owed, "met": self.met, "slates": self.items, "judgements": self.answers}


def count_quotas(
    settings: Settings, counts: Counts, coming: Mapping[str, Sequence[Grouped]] | None = None, now: int = 1
) -> tuple[QuotaState, ...]:
    """Count how far every quota of every task has come. An item counts for every group it belongs to.

    A task that starts runs owes from the beginning, if the project has anything of its kind: a project of pictures
    alone owes no slates of texts. Another one owes only when it has items.

    Args:
        settings: Targets and overlaps.
        counts: From `annotation.tally.count`.
        coming: Task -> prompts that may still become items, with every task that starts runs of which there are any
            prompts; None where nobody looked, so that no target is capped.
        now: The round in which people are asked. Slates of earlier ones are owed by nobody.
    """
    groups: dict[str, list[tuple[Item, int, int]]] = {name: [] for name in TASKS}
    people: dict[tuple[str, ...], Counter[str]] = {}
    for key, number in counts.items():
        if key[0] == "item" and len(key) == 6:
            _, of, country, topic, language, answered = key
            group = Item("", str(of), 0, str(country), str(language), str(topic))
            groups[str(of)].append((group, int(answered), number))
        elif key[0] == "person" and len(key) == 6:
            people.setdefault(tuple(map(str, key[1:5])), Counter())[str(key[5])] += number
    states, training = [], training_tasks(counts, coming or ())
    for name in TASKS:
        found = groups[name]
        if not found and name not in training:
            continue
        for quota in plan_quotas(settings, [group for group, *_ in found], name):
            own = [(group, answered, number) for group, answered, number in found if belongs(group, quota)]
            cells = {(name, group.country, group.topic, group.language) for group, *_ in own}
            states.append(
                QuotaState(
                    quota,
                    items=sum(number for *_, number in own),
                    completed=sum(number for _, answered, number in own if answered >= quota.overlap),
                    answers=sum(answered * number for _, answered, number in own),
                    people=len(set().union(*(people.get(cell, ()) for cell in cells))),
                    coming=1 if coming is None else sum(belongs(prompt, quota) for prompt in coming.get(name, ())),
                    round=now if TASKS[name].trains else 1,
                )
            )
    return tuple(states)


def what_is_coming(project: Project, waiting: Waiting) -> dict[str, Sequence[Grouped]]:
    """Task -> prompts that may still become items of it; tasks of which it has no prompt at all start no run."""
    coming: dict[str, Sequence[Grouped]] = {
        name: [prompt for prompt in waiting.coming if slate_task(prompt) == name]
        for name in ranked_kinds(project.ledger)
    }
    for name in (name for name, task in TASKS.items() if not task.trains):
        rows = project.ledger.rows("select prompt_id from items where task = ? and prompt_id is not null", name)
        if asked := {row["prompt_id"] for row in rows}:
            coming[name] = [prompt for prompt in project.ledger.prompts() if prompt.id not in asked]
    return coming


def capped(states: Sequence[QuotaState], *, auto: bool) -> str:
    """A sentence where groups owe fewer items than their target, because no more can come; "" where none does."""
    said, then = [], ", and training starts when they are complete; train.auto = false holds it" if auto else ""
    for name in owing(states):
        own = (s for s in states if s.quota.task == name and s.round == 1 and s.owed < s.quota.target)
        if groups := ", ".join(f"{state.group} {state.owed} of {state.quota.target}" for state in own):
            said.append(
                f"Fewer {TASKS[name].many} than the targets ask for, and no more can come: only those are owed "
                f"({groups}){then}. `{'annot images add' if name == DESCRIPTION else 'annot prompts add'}` lifts that."
            )
    return " ".join(said)


def owing(states: Sequence[QuotaState]) -> tuple[str, ...]:
    """Tasks that start runs and owe something; each has runs of its own."""
    there = {state.quota.task for state in states}
    return tuple(name for name, task in TASKS.items() if task.trains and name in there)


def all_met(states: Sequence[QuotaState], task: str = "") -> bool:
    """Whether every quota of the tasks that start runs is met, or of one of them; without any, none is."""
    owed = [state for state in states if state.quota.task in ([task] if task else owing(states))]
    return any(state.owed for state in owed) and all(state.met for state in owed)


def discarded(states: Sequence[QuotaState], counts: Counts, ledger: Ledger) -> tuple[str, ...]:
    """A sentence for the countries in which so many discarded an item that nobody is left to complete it."""
    sizes = Counter(p.country for p in ledger.people() if p.active and p.role == "annotator")
    wanted = {(s.quota.task, s.quota.country): s.quota.overlap for s in states if not s.met}
    stuck = Counter[tuple[str, str]]()
    for key, number in counts.items():
        match key:
            case ("refused", str(task), str(country), int(answered), int(refused)):
                overlap = wanted.get((task, country), 0)
                if answered < overlap and sizes[country] - refused < overlap:
                    stuck[task, country] += number
    return tuple(
        f"{country}: {counted(number, f'{TASKS[task].one} was', f'{TASKS[task].many} were')} discarded by so many that "
        f"nobody is left to complete what is owed: add people with `annot team add`, or lower task.{task}.overlap in "
        "annot.toml."
        for (task, country), number in sorted(stuck.items())
    )


def short_teams(states: Sequence[QuotaState], ledger: Ledger) -> tuple[str, ...]:
    """A sentence for the countries whose teams are too small to complete an item; nothing before there is a team."""
    team = {p.username: p.country for p in ledger.people() if p.active and p.role == "annotator"}
    sizes = Counter(team.values())
    authors = ledger.rows(
        "select distinct task, json_extract(content, '$.author') as author from items where content like '%\"author\"%'"
    )
    own = {(team[row["author"]], row["task"]) for row in authors if row["author"] in team}
    # Who left may have judged before: a quota that is met needs nobody.
    asked = {row["task"] for row in ledger.rows("select distinct task from items")} or TASKS.keys()
    open_ = [state.quota for state in states if team and not state.met and state.quota.task in asked]
    wanted = {(quota.country, quota.task): quota.overlap for quota in open_}
    short: dict[tuple[int, str, bool], list[str]] = {}
    for (country, task), overlap in sorted(wanted.items()):
        one_more = (country, task) in own
        if sizes[country] < overlap + one_more:
            short.setdefault((overlap, task, one_more), []).append(f"{country} has only {sizes[country]}")
    return tuple(
        f"{overlap} people per {TASKS[task].one} are asked for (task.{task}.overlap)"
        f"{', nobody about their own,' if one_more else ','} and {', '.join(countries)}: "
        f"add people with `annot team add`, or lower task.{task}.overlap in annot.toml"
        f"{', but not below stereotypes.raters: of fewer nothing is shown' if TASKS[task].sensitive else ''}."
        for (overlap, task, one_more), countries in short.items()
    )
