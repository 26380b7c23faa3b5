"""Answers, read from the ledger: the newest version of every response, and what it means for its task."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from annotation.ledger import Ledger, MovedResponse, Response
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.adjudication import as_asked, read_gap
from annotation.tasks.base import Unfit
from annotation.tasks.page import AUTHOR
from annotation.types import Answer, Dropped, Item, Person

DELETED = "deleted"
"""Status of a response that was taken back while its record and its author stayed."""


AT_ONCE = 2000
"""Items whose answers are decoded at once: memory does not grow with the project."""

OTHER_NAME = "by somebody who answered under another name too"
"""Why an answer does not count that was given again, later or before, under another of its author's user names."""

OTHER_TEXT = "to a text that was changed on the server"
"""Why an answer does not count that came while its record showed another text than was pushed."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Submitted responses as answers, and those that are none.

    Attributes:
        kept: The newest of each person on each item, by time.
        dropped: The others, and why they do not count.
    """

    kept: tuple[Answer[Any], ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Copies:
    """Which responses are copies of which, after `annot move`."""

    copies: Mapping[str, MovedResponse]
    originals: Mapping[str, MovedResponse]

    @classmethod
    def of(cls, ledger: Ledger, responses: Iterable[Response]) -> Copies:
        """Read the ledger. A copy that was never pulled replaces nothing: its original still speaks."""
        known = {response.response_id for response in responses}
        copies = {name: copy for name, copy in ledger.moved(known).items() if name in known}
        return cls(copies, {copy.from_response_id: copy for copy in copies.values()})

    def replaces(self, response: Response) -> bool:
        """Whether a copy speaks for this response: one that was changed after the move speaks for itself."""
        copy = self.originals.get(response.response_id)
        return copy is not None and response.updated_at <= copy.from_updated_at

    def as_given(self, response: Response) -> Response:
        """The response with the time at which its author gave it, not that of the move."""
        name, time = response.response_id, response.updated_at
        while (copy := self.copies.get(name)) is not None and time == copy.updated_at:
            name, time = copy.from_response_id, copy.from_updated_at
        return response if time == response.updated_at else replace(response, updated_at=time)


def newest_responses(ledger: Ledger, items: Iterable[str] | None = None) -> list[Response]:
    """The newest version of every response to some items, or to all; taken back ones too (status "deleted").

    A response may have come under two names of one server (its address changed), or as an original and its copy on the
    server that the project was moved to: it is one response, with the time at which its author gave it. Those kept
    last come first.
    """
    responses = ledger.responses() if items is None else ledger.responses_of(None, items)
    copies = Copies.of(ledger, responses)
    newest: dict[str, Response] = {}
    for response in reversed(responses):
        newest.setdefault(response.response_id, response)
    return [copies.as_given(response) for response in newest.values() if not copies.replaces(response)]


def read_answers(responses: Iterable[Response], items: Mapping[str, Item], team: Mapping[str, Person]) -> Answers:
    """Submitted responses as answers: one per person and item, the newest.

    Where a dataset was made anew, somebody may have answered the same item twice; the earlier time is dropped. So it
    is with who has several user names (`annot people same`): they are one person, under one name. Nobody answers for
    their own: the user name `author` in an item's content.

    Args:
        responses: The newest version of each.
        items: By id.
        team: From `roster`. Others, an owner who tries the page out for example, do not count.
    """
    newest: dict[tuple[str, str], Answer[Any]] = {}
    dropped: dict[str, Dropped] = {}
    given_by: dict[str, str] = {}
    for response in responses:
        if response.status != "submitted":
            continue
        given_by[response.response_id] = response.annotator
        try:
            found = _read(response, items, team)
        except Unfit as error:
            dropped[response.response_id] = Dropped(response.response_id, str(error), response.item_id)
            continue
        key = (found.item_id, found.annotator)
        other = newest.get(key)
        kept, earlier = (found, other) if other is None or found.submitted_at > other.submitted_at else (other, found)
        newest[key] = kept
        if earlier is not None:
            one_name = given_by[earlier.response_id] == given_by[kept.response_id]
            reason = "answered again later" if one_name else OTHER_NAME
            dropped[earlier.response_id] = Dropped(earlier.response_id, reason, kept.response_id)
    ordered = sorted(newest.values(), key=lambda answer: (answer.submitted_at, answer.response_id))
    return Answers(tuple(ordered), tuple(dropped.values()))


def answers(ledger: Ledger, task: str) -> list[Answer[Any]]:
    """The newest submitted answer of each person on each item of a task."""
    items = {item.id: item for item in ledger.items(task)}
    return list(read_answers((r for r in newest_responses(ledger) if r.item_id in items), items, roster(ledger)).kept)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an adjudicator decided.

    Attributes:
        answer: As one to the item that was to be decided, with a weight of 1.
        gap: They find that the guidelines lack a rule.
        rule: Which, as they typed it, masked; or "".
    """

    answer: Answer[Any]
    gap: bool
    rule: str


def judged(ledger: Ledger, items: Mapping[str, Item], team: Mapping[str, Person]) -> tuple[Answer[Any], ...]:
    """The answers to some items, by id, and behind them the decisions of adjudicators (`Answer.adjudicated`).

    Args:
        ledger: The project's.
        items: By id.
        team: From `roster`.
    """
    kept = read_answers(newest_responses(ledger, items), items, team).kept
    return (*kept, *(decision.answer for decision in decisions(ledger, items, team)))


def decisions(ledger: Ledger, items: Mapping[str, Item], team: Mapping[str, Person]) -> list[Decision]:
    """What adjudicators decided of some items: once for each item and country.

    What came home first stands, whoever answers later; who answered the item as the others did decides nothing.

    Args:
        ledger: The project's.
        items: By id.
        team: From `roster`.
    """
    parents = adjudicated_items(ledger, items)
    if not parents:
        return []
    side = {item.id: item for item in ledger.items(ids=parents) if not items[item.parent].removed}
    in_ids, submitted = "item_id in (select value from json_each(?))", "status = 'submitted'"
    answered = {
        (row["item_id"], one_person(team, row["annotator"]).username)
        for row in ledger.rows(
            f"select distinct item_id, annotator from responses where {in_ids} and {submitted}",
            json.dumps(sorted(set(parents.values()))),
        )
        if row["annotator"] in team
    }
    responses = newest_responses(ledger, side)
    first = {
        row["response_id"]: row["first"]
        for row in ledger.rows(
            f"select response_id, min(seq) as first from responses where {in_ids} and {submitted} group by response_id",
            json.dumps(list(side)),
        )
    }
    raw, people = {response.response_id: response for response in responses}, ledger.named_people()
    found = dict[tuple[str, str], Decision]()
    for answer in sorted(read_answers(responses, side, team).kept, key=lambda one: first[one.response_id]):
        parent = parents[answer.item_id]
        if (parent, answer.country) not in found and (parent, answer.annotator) not in answered:
            gap, rule = read_gap(values_of(raw[answer.response_id]), answer.country, people)
            own = replace(answer, item_id=parent, weight=1.0, adjudicated=True)
            found[parent, answer.country] = Decision(own, gap, rule)
    return list(found.values())


def adjudicated_items(ledger: Ledger, items: Iterable[str]) -> dict[str, str]:
    """Ids of the items by which some others are decided -> the others."""
    rows = ledger.rows(
        """select id, parent from side_items where purpose = 'adjudication'
           and parent in (select value from json_each(?)) order by parent, country""",
        json.dumps(list(items)),
    )
    return {row["id"]: row["parent"] for row in rows}


@dataclass(frozen=True, slots=True)
class Asked:
    """What adjudicators are asked, and said, of some items.

    Attributes:
        countries: Item id -> the countries whose adjudicators are asked.
        decisions: Item id -> what was decided, in each country once.
    """

    countries: Mapping[str, Collection[str]] = field(default_factory=dict)
    decisions: Mapping[str, Sequence[Decision]] = field(default_factory=dict)

    @classmethod
    def of(cls, ledger: Ledger, items: Mapping[str, Item], team: Mapping[str, Person]) -> Asked:
        """Read the ledger."""
        countries: dict[str, set[str]] = defaultdict(set)
        decided: dict[str, list[Decision]] = defaultdict(list)
        if found := adjudicated_items(ledger, items):
            for item in ledger.items(ids=found):
                countries[item.parent].add(item.country)
            for one in decisions(ledger, items, team):
                decided[one.answer.item_id].append(one)
        return cls(countries, decided)


def answered_items(
    ledger: Ledger, task: str, *, progress: Progress = silent
) -> Iterator[tuple[dict[str, Item], tuple[Answer[Any], ...]]]:
    """A task's items, some at a time in the order of their ids, and what is said of them (`judged`).

    Memory does not grow. A task without items gives one empty part.
    """
    team = roster(ledger)
    ids = [row["id"] for row in ledger.rows("select id from items where task = ? order by id", task)]
    for start in range(0, max(len(ids), 1), AT_ONCE):
        progress(start, len(ids), TASKS[task].many)
        items = {item.id: item for item in ledger.items(ids=ids[start : start + AT_ONCE])}
        yield items, judged(ledger, items, team)


def values_of(response: Response) -> dict[str, Any]:
    """What a response says: question -> value."""
    return {name: answer["value"] for name, answer in (json.loads(response.raw).get("values") or {}).items()}


def roster(ledger: Ledger) -> dict[str, Person]:
    """User name of everyone who ever was on the team -> what is known of them, with what a lead decided."""
    return {person.username: person for person in ledger.people()}


def one_person(team: Mapping[str, Person], username: str) -> Person:
    """Who stands for somebody on the roster: themselves, or who they are under the name under which they count."""
    person = team[username]
    return team.get(person.same_as, person)


def _read(response: Response, items: Mapping[str, Item], team: Mapping[str, Person]) -> Answer[Any]:
    item = items.get(response.item_id)
    if item is None:
        raise Unfit("the item is not in this project")
    if item.removed:
        raise Unfit("its prompt was removed" if item.prompt_id else "it was removed")
    if item.moved and response.country != item.country:
        raise Unfit(f"given in {response.country}, from where its prompt was moved")
    if response.annotator not in team:
        raise Unfit(f'by "{response.annotator}", who is not on the team')
    person = one_person(team, response.annotator)
    if reason := team[response.annotator].excluded or person.excluded:
        raise Unfit(f'by "{response.annotator}", who is left out ({reason})')
    author = str(item.content.get(AUTHOR, ""))
    if author and (one_person(team, author).username if author in team else author) == person.username:
        raise Unfit("an answer to one's own")
    if response.other_text:
        raise Unfit(OTHER_TEXT)
    task = TASKS[item.task]
    try:
        value = task.read(as_asked(item), values_of(response))
    except Unfit as unfit:
        if not task.sensitive:
            raise
        # What such an answer holds is shown to nobody unasked, and so is no part of the reason against it.
        raise Unfit(str(unfit).partition(":")[0]) from None
    return Answer(
        *(response.response_id, item.id, person.username, response.country, response.updated_at, value, person.weight)
    )
