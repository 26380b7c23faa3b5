"""Work left: the answers that a quota still needs, and how many of them each person can still give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotation.item_counts import Counts
from annotation.project import Project
from annotation.quota_groups import belongs
from annotation.tasks.page import AUTHOR
from annotation.types import Item, Person
from sync.quotas import QuotaState

if TYPE_CHECKING:
    from sync.reporting.pace import Floats


@dataclass(frozen=True, slots=True)
class Work:
    """What a quota still needs.

    Attributes:
        needed: Answers.
        items: To complete.
        begun: Answers that these have.
        missing: Those among them that do not exist yet.
        answered: Person -> answers to items of the group.
        own: Person -> items of the group that are theirs, so that others must answer.
    """

    state: QuotaState
    needed: int
    items: int
    begun: int
    missing: int
    answered: Mapping[str, int]
    own: Mapping[str, int]

    def most(self, people: Sequence[str], added: int) -> Floats:
        """Answers that each person can still give: one to each item that they neither answered nor made."""
        import numpy as np

        share = self.begun / max(self.state.answers, 1)
        made = self.items / max(self.state.items, 1)
        left = [max(self.items - share * self.answered.get(p, 0) - made * self.own.get(p, 0), 0) for p in people]
        return np.array([*left, *[float(self.items)] * added])


def works_left(project: Project, counts: Counts, open_: Sequence[QuotaState]) -> list[Work]:
    """What each quota that is not met still needs, in their order.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
        open_: From `sync.quotas.count_quotas`, those that are not met.
    """
    person = one_name(project.ledger.people())
    items: dict[tuple[str, str], list[tuple[Item, int, int]]] = defaultdict(list)
    answered: dict[tuple[str, str], list[tuple[Item, str, int]]] = defaultdict(list)
    own: dict[tuple[str, str], list[tuple[Item, str, int]]] = defaultdict(list)
    for key, number in counts.items():
        if key[0] == "item" and len(key) == 6:
            group = Item("", str(key[1]), 0, str(key[2]), str(key[4]), str(key[3]))
            items[group.task, group.country].append((group, int(key[5]), number))
        elif key[0] == "person" and len(key) == 6:
            group = Item("", str(key[1]), 0, str(key[2]), str(key[4]), str(key[3]))
            answered[group.task, group.country].append((group, person(str(key[5])), number))
    for row in project.ledger.rows(
        f"""select task, country, language, topic, json_extract(content, '$.{AUTHOR}') as author, count(*) as number
            from current_items where content like '%"{AUTHOR}"%' and not removed and not closed
            group by 1, 2, 3, 4, 5"""
    ):
        if row["author"]:
            group = Item("", row["task"], 0, row["country"], row["language"], row["topic"])
            own[group.task, group.country].append((group, person(row["author"]), row["number"]))
    return [_work(state, items, answered, own) for state in open_]


def _work(state: QuotaState, items: Mapping[Any, Any], answered: Mapping[Any, Any], own: Mapping[Any, Any]) -> Work:
    quota, having = state.quota, dict[int, int]()
    where = (quota.task, quota.country)
    for group, answers, number in items.get(where, ()):
        if belongs(group, quota) and answers < quota.overlap:
            having[answers] = having.get(answers, 0) + number
    left = to_do = state.owed - state.completed
    begun = 0
    for answers in sorted(having, reverse=True):  # those that are begun are completed first
        taken = min(having[answers], left)
        begun += taken * answers
        left -= taken

    def of(found: Iterable[tuple[Item, str, int]]) -> dict[str, int]:
        by_person: dict[str, int] = defaultdict(int)
        for group, name, number in found:
            if belongs(group, quota):
                by_person[name] += number
        return by_person

    needed = to_do * quota.overlap - begun
    return Work(state, needed, to_do, begun, left, of(answered.get(where, ())), of(own.get(where, ())))


def one_name(people: Iterable[Person]) -> Callable[[str], str]:
    """The one name of a person who has several."""
    same = {person.username: person.same_as for person in people if person.same_as}
    return lambda name: same.get(name, name)
