"""Cohorts: where a server sends everybody the same records, a large team is split, and each part has items of its own.

As many people as an item needs make a cohort, with a workspace and a dataset that they alone see: nobody works in vain,
and what is begun is finished. The server knows who is in which; whoever is in none joins one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.types import Item, Person
from sync.argilla.protocol import Account, ArgillaApi
from sync.team import workspace_of


@dataclass(frozen=True, slots=True)
class Cohort:
    """A part of a country's team at one task.

    Attributes:
        number: 1 first.
        people: User names of its annotators that are on the team now.
        made: Its workspace stands.
    """

    country: str
    task: str
    number: int
    people: tuple[str, ...]
    made: bool = True

    @property
    def workspace(self) -> str:
        """Its name."""
        return workspace_of(self.country, self.task, self.number)


def read_cohorts(
    api: ArgillaApi, workspaces: Mapping[str, str], accounts: Iterable[Account], people: Iterable[Person], task: str
) -> dict[str, list[Cohort]]:
    """Country -> its cohorts at a task as they stand, those that have lost everybody too; by number.

    Args:
        api: Argilla.
        workspaces: Name -> id, as `ArgillaApi.workspaces` tells them.
        accounts: Who can log in.
        people: The roster.
        task: Name of the task.
    """
    names = {account.id: account.username for account in accounts}
    teams: dict[str, set[str]] = defaultdict(set)
    for person in annotators(people):
        teams[person.country].add(person.username)
    found: dict[str, list[Cohort]] = defaultdict(list)
    for country, team in teams.items():
        number = 1
        while (name := workspace_of(country, task, number)) in workspaces:
            inside = {names.get(account, "") for account in api.members(workspaces[name])}
            found[country].append(Cohort(country, task, number, tuple(sorted(inside & team))))
            number += 1
    return found


def annotators(people: Iterable[Person]) -> list[Person]:
    """Those who work in a queue of records: no leads, and nobody who only decides."""
    return [person for person in people if person.active and person.role == "annotator"]


def plan_cohorts(
    standing: Sequence[Cohort], country: str, task: str, people: Iterable[Person], overlap: int
) -> list[Cohort]:
    """The cohorts of a country with everybody in one; none where the team is too small and none stands.

    Whoever is in none fills a gap that somebody left, then makes a new cohort with others, then joins the smallest.

    Args:
        standing: From `read_cohorts`.
        country: Of the team.
        task: Name of the task.
        people: The roster.
        overlap: People per item.
    """
    team = [person.username for person in annotators(people) if person.country == country]
    if not standing and len(team) < 2 * overlap:
        return []
    of = {cohort.number: [*cohort.people] for cohort in standing}
    waiting = [name for name in team if not any(name in inside for inside in of.values())]

    def smallest() -> int:
        return min(of, key=lambda number: (len(of[number]), number))

    while waiting and of and len(of[smallest()]) < overlap:
        of[smallest()].append(waiting.pop(0))
    while len(waiting) >= overlap:
        of[len(of) + 1], waiting = waiting[:overlap], waiting[overlap:]
    for name in waiting:
        of[smallest()].append(name)
    return [Cohort(country, task, number, tuple(of[number]), number <= len(standing)) for number in sorted(of)]


def make_cohorts(
    api: ArgillaApi, cohorts: Iterable[Cohort], accounts: Iterable[Account], people: Iterable[Person]
) -> int:
    """Make workspaces and memberships as planned; a country's leads are in all. Returns how many people joined one.

    Cut off anywhere and done again, everybody is in one cohort: who is in one already stays there.
    """
    workspaces, joined = api.workspaces(), 0
    ids = {account.username: account.id for account in accounts}
    leads = defaultdict(list)
    for person in people:
        if person.active and person.role == "admin":
            leads[person.country].append(person.username)
    for cohort in cohorts:
        room = workspaces.get(cohort.workspace) or api.add_workspace(cohort.workspace)
        members = api.members(room)
        for name in (*cohort.people, *leads[cohort.country]):
            if name in ids and ids[name] not in members:
                api.add_member(room, ids[name])
                joined += name in cohort.people
    return joined


def keep_cohorts(api: ArgillaApi, people: Sequence[Person], overlaps: Mapping[str, int]) -> int:
    """Bring whoever joined a team that stands in cohorts into one; returns how many did.

    Args:
        api: Argilla.
        people: The roster.
        overlaps: Task -> people per item.
    """
    workspaces = api.workspaces()
    if not any("-" in name for name in workspaces):
        return 0
    accounts, joined = api.accounts(), 0
    for task, overlap in overlaps.items():
        for country, standing in read_cohorts(api, workspaces, accounts, people, task).items():
            if standing:
                planned = plan_cohorts(standing, country, task, people, overlap)
                changed = [cohort for cohort in planned if cohort not in standing]
                joined += make_cohorts(api, changed, accounts, people)
    return joined


def divide(
    items: Iterable[Item], held: Mapping[int, Iterable[Item]], cohorts: Sequence[Cohort], overlap: int
) -> dict[str, int]:
    """Item id -> number of the cohort that gets it: of each group in turn, whoever has fewest of it first.

    A cohort that cannot finish an item gets none, while there is one that can.

    Args:
        items: That no cohort has, in the order of annotation.
        held: Number of a cohort -> the items that it has.
        cohorts: Of one country and task.
        overlap: People per item.
    """
    able = [c.number for c in cohorts if len(c.people) >= overlap] or [c.number for c in cohorts]
    counts = Counter((number, item.topic, item.language) for number, own in held.items() for item in own)
    given = {}
    for item in items:
        group = item.topic, item.language
        number = min(able, key=lambda one: (counts[one, *group], one))
        counts[number, *group] += 1
        given[item.id] = number
    return given


def gap(cohort: Cohort, overlap: int) -> str:
    """A sentence where a cohort has too few people to finish anything; "" where it has enough."""
    if len(cohort.people) >= overlap:
        return ""
    return (
        f"{cohort.workspace}: {len(cohort.people)} of {overlap} people are left, so what is there cannot be finished; "
        f"add people of {cohort.country} to the roster, then run `annot team add` and `annot push`"
    )
