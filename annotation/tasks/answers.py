"""Answers, read from the ledger: the newest version of every response, and what it means for its task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotation.ledger import Ledger, MovedResponse, Response
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.base import Unfit
from annotation.tasks.page import AUTHOR
from annotation.types import Answer, Dropped, Item

DELETED = "deleted"
"""Status of a response that was taken back while its record and its author stayed."""


AT_ONCE = 2000
"""Items whose answers are decoded at once: memory does not grow with the project."""

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


def read_answers(responses: Iterable[Response], items: Mapping[str, Item], team: Mapping[str, str]) -> Answers:
    """Submitted responses as answers: one per person and item, the newest.

    Where a dataset was made anew, somebody may have answered the same item twice; the earlier time is dropped. Nobody
    answers for their own: the user name `author` in an item's content.

    Args:
        responses: The newest version of each.
        items: By id.
        team: From `roster`: user name of everyone who ever was on the team -> why their answers are left out, or "".
            Others, an owner who tries the page out for example, do not count.
    """
    newest: dict[tuple[str, str], Answer[Any]] = {}
    dropped: dict[str, Dropped] = {}
    for response in responses:
        if response.status != "submitted":
            continue
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
            dropped[earlier.response_id] = Dropped(earlier.response_id, "answered again later", kept.response_id)
    ordered = sorted(newest.values(), key=lambda answer: (answer.submitted_at, answer.response_id))
    return Answers(tuple(ordered), tuple(dropped.values()))


def answers(ledger: Ledger, task: str) -> list[Answer[Any]]:
    """The newest submitted answer of each person on each item of a task."""
    items = {item.id: item for item in ledger.items(task)}
    return list(read_answers((r for r in newest_responses(ledger) if r.item_id in items), items, roster(ledger)).kept)


def answered_items(
    ledger: Ledger, task: str, *, progress: Progress = silent
) -> Iterator[tuple[dict[str, Item], tuple[Answer[Any], ...]]]:
    """A task's items, some at a time in the order of their ids, and the answers to them; memory does not grow.

    A task without items gives one empty part.
    """
    team = roster(ledger)
    ids = [row["id"] for row in ledger.rows("select id from items where task = ? order by id", task)]
    for start in range(0, max(len(ids), 1), AT_ONCE):
        progress(start, len(ids), TASKS[task].many)
        items = {item.id: item for item in ledger.items(ids=ids[start : start + AT_ONCE])}
        yield items, read_answers(newest_responses(ledger, items), items, team).kept


def roster(ledger: Ledger) -> dict[str, str]:
    """User name of everyone who ever was on the team -> why their answers are left out, or ""."""
    return {person.username: person.excluded for person in ledger.people()}


def _read(response: Response, items: Mapping[str, Item], team: Mapping[str, str]) -> Answer[Any]:
    item = items.get(response.item_id)
    if item is None:
        raise Unfit("the item is not in this project")
    if item.removed:
        raise Unfit("its prompt was removed" if item.prompt_id else "it was removed")
    if item.moved and response.country != item.country:
        raise Unfit(f"given in {response.country}, from where its prompt was moved")
    if response.annotator not in team:
        raise Unfit(f'by "{response.annotator}", who is not on the team')
    if reason := team[response.annotator]:
        raise Unfit(f'by "{response.annotator}", who is left out ({reason})')
    if item.content.get(AUTHOR) == response.annotator:
        raise Unfit("an answer to one's own")
    if response.other_text:
        raise Unfit(OTHER_TEXT)
    values = {name: answer["value"] for name, answer in (json.loads(response.raw).get("values") or {}).items()}
    task = TASKS[item.task]
    try:
        value = task.read(item, values)
    except Unfit as unfit:
        if not task.sensitive:
            raise
        # What such an answer holds is shown to nobody unasked, and so is no part of the reason against it.
        raise Unfit(str(unfit).partition(":")[0]) from None
    return Answer(response.response_id, item.id, response.annotator, response.country, response.updated_at, value)
