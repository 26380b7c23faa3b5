"""What one item counts for: its answers, what was decided of it, and what they say of people, as sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from annotation.config import Settings
from annotation.ledger import Response
from annotation.quality.agreement import pattern
from annotation.quality.contested import CONTESTED, find_contested
from annotation.quality.habits import count_habits
from annotation.tasks import TASKS
from annotation.tasks.answers import Asked, one_person, read_answers
from annotation.tasks.base import Task
from annotation.tasks.page import AUTHOR, CONTROL
from annotation.tasks.ranking.preferences import places_of
from annotation.types import Answer, Item, Judgement, Person

Key = tuple[str | int, ...]
Counts = Counter[Key]
"""Sums by what they are of; the first word of a key says which:

    item, TASK, COUNTRY, TOPIC, LANGUAGE, N    items of a group that N people answered; with the number of their round
        behind it, those of an earlier round, which are owed no more
    refused, TASK, COUNTRY, N, M    items that N people answered and M discarded
    person, TASK, COUNTRY, TOPIC, LANGUAGE, ANNOTATOR    answers of a person to a group's items; rounds as above
    own, TASK, ROUND, COUNTRY, WINS, TIES, LOSSES    slates with answers of the aligned model's own and others, by the
        votes of a country's people, or of ALL, on each two of them
    team, TASK, COUNTRY    answers of a country's people
    made, TASK, NAME; excluded, TASK, REASON    what the answers come to, see `Task.outcome`
    place, TASK, *PLACE    items by their place in a table of the task's own
    unfit, REASON    submitted responses that are no answer
    status, STATUS    responses
    work, ANNOTATOR, COUNTRY, STATUS    items that a person submitted, saved as a draft or discarded
    day, ANNOTATOR, DAY; time, TEN MINUTES    submitted items by time, UTC
    units, TASK, GROUP, PATTERN    items by the values that people of a country, or of all, gave; see `part_of`
    control, TASK, PURPOSE, ANNOTATOR, KIND, RIGHT    answers of a person to items of which the answer is known: 1 or 0
    problem, TASK, COUNTRY, KIND    what people of a country reported to be wrong, see `Task.reported`
    shared, TASK, GROUP, ANNOTATOR    items that a person answered and somebody else too
    contested, TASK, COUNTRY, WHY, ABOUT, MOST, VOTES    reasons why items are to be decided, see `Contested`
    adjudication, TASK, COUNTRY, STATE    items that are to be decided, or were: one of STATES
    gap, TASK, COUNTRY    decided items of which the adjudicator finds that the guidelines lack a rule
    agrees, first, rated, longer, alike, same, twins    what answers say of those who gave them; see
        `annotation.quality.habits.count_habits`
    submitted, TASK, ANNOTATOR    items that a person submitted, whether the answer counts or not
    changed, TASK, ANNOTATOR    answers that their author changed after they were submitted first
    whole, TASK, ANNOTATOR    answers to items that as many people answered as are asked
    written, TASK, AUTHOR, NAME    items of an author by what the answers come to, as in made

An annotator who has several user names stands under the one of `annot people same`; in work and day, under each.
"""

NEW, WAITING, DECIDED = "new", "waiting", "decided"
STATES = (NEW, WAITING, DECIDED)
"""Of an item that is to be decided: no adjudicator is asked yet, one is, and one answered."""

ALL = "all"
"""The group of everybody; no country's code."""


def count_item(
    item: Item,
    responses: Sequence[Response],
    settings: Settings,
    team: Mapping[str, Person],
    asked: Asked,
    lengths: Mapping[str, int],
    changed: Collection[str] = (),
    own: Set[str] = frozenset(),
) -> Counts:
    """What the newest responses to one item count for, and what was decided of it.

    Args:
        item: Which.
        responses: To it.
        settings: The project's.
        team: From `roster`.
        asked: Adjudicators' decisions.
        lengths: Candidate -> characters, of those on the item.
        changed: Who changed what they had submitted.
        own: Candidates that the aligned model wrote.
    """
    task, counts = TASKS[item.task], Counts()
    read = read_answers(responses, {item.id: item}, team)
    counts.update(("unfit", dropped.reason) for dropped in read.dropped)
    counts.update(("status", response.status) for response in responses)
    _count_work([response for response in responses if response.annotator in team], counts)
    if item.purpose != "work":
        if item.expected is not None and not item.removed:
            kind = str(item.content.get(CONTROL, ""))
            for answer in read.kept:
                right = int(task.score(item, answer.value) == 1)
                counts["control", item.task, item.purpose, answer.annotator, kind, right] += 1
        return counts
    group = (item.task, item.country, item.topic, item.language)
    earlier = (item.round,) if item.closed else ()
    if not item.removed:
        counts["item", *group, len(read.kept), *earlier] = 1
        refused = sum(
            r.status == "discarded" and r.annotator in team and not team[r.annotator].excluded for r in responses
        )
        if refused and not item.closed:
            counts["refused", item.task, item.country, len(read.kept), refused] = 1
    counts.update(("person", *group, answer.annotator, *earlier) for answer in read.kept)
    said = {r.annotator for r in responses if r.status == "submitted" and r.annotator in team}
    counts.update(("submitted", item.task, who) for who in {one_person(team, name).username for name in said})
    changed = {one_person(team, name).username for name in changed if name in team}
    counts.update(("changed", item.task, answer.annotator) for answer in read.kept if answer.annotator in changed)
    if len(read.kept) >= task.settings(settings).overlap:
        counts.update(("whole", item.task, answer.annotator) for answer in read.kept)
    counts.update(("team", item.task, answer.country) for answer in read.kept)
    counts.update(("problem", item.task, a.country, kind) for a in read.kept for kind in task.reported(a.value))
    decided = asked.decisions.get(item.id, ())
    _count_contested(task, item, read.kept, settings, asked, counts)
    outcome = task.outcome(item, [*read.kept, *(one.answer for one in decided)], settings)
    for name, number in outcome.made.items():
        counts["made", item.task, name] += number
        if (author := str(item.content.get(AUTHOR, ""))) in team and not item.removed:
            counts["written", item.task, one_person(team, author).username, name] += number
    if outcome.place:
        counts["place", item.task, *outcome.place] += 1
    for reason, number in outcome.excluded.items():
        counts["excluded", item.task, reason] += number
    units = {answer.annotator: task.units(item, answer.value) for answer in read.kept}
    counts.update(count_habits(task, item, read.kept, units, lengths))
    countries: dict[str, list[Answer[Any]]] = defaultdict(list)
    for answer in read.kept:
        countries[answer.country].append(answer)
    mine = own & set(task.candidates(item))
    for name, answers in ((ALL, read.kept), *countries.items()):
        if mine and answers:
            counts["own", item.task, item.round, name, *count_own(mine, answers)] = 1
        if len(answers) >= 2:
            _count_units(task, name, {answer.annotator: units[answer.annotator] for answer in answers}, counts)
    return counts


def count_own(own: Set[str], answers: Sequence[Answer[Judgement]]) -> tuple[int, int, int]:
    """Votes on each two answers of which one is the aligned model's own: for it, tied, and for the other."""
    votes = Counter[int]()
    for answer in answers:
        place = {} if answer.value.none_acceptable else places_of(answer.value.tiers)
        for mine in place.keys() & own:
            votes.update((at > place[mine]) - (at < place[mine]) for other, at in place.items() if other not in own)
    return votes[1], votes[0], votes[-1]


def _count_contested(
    task: Task[Any], item: Item, answers: Sequence[Answer[Any]], settings: Settings, asked: Asked, counts: Counts
) -> None:
    """Why the item is to be decided, country by country, and how far that is."""
    states = dict[str, str]()
    for country, found in find_contested(task, item, answers, settings):
        counts[CONTESTED, task.name, country, *found] = 1
        states[country] = NEW
    if not item.removed:
        states |= dict.fromkeys(asked.countries.get(item.id, ()), WAITING)
    for one in asked.decisions.get(item.id, ()):
        states[one.answer.country] = DECIDED
        if one.gap:
            counts["gap", task.name, one.answer.country] += 1
    counts.update(("adjudication", task.name, country, state) for country, state in states.items())


def _count_units(task: Task[Any], group: str, said: Mapping[str, Mapping[str, Any]], counts: Counts) -> None:
    """What people of a group said of one item; where its units ask different things, each in a group of its own."""
    apart = sorted(set().union(*said.values())) if task.scale == "nominal" else [""]
    for unit in apart:
        own = {who: {unit: of[unit]} for who, of in said.items() if unit in of} if task.scale == "nominal" else said
        if given := pattern(own.values()):
            name = part_of(group, unit)
            counts["units", task.name, name, given] = 1
            counts.update(("shared", task.name, name, who) for who in own)


def part_of(group: str, unit: str) -> str:
    """Name of a group's answers to one of the things that a task asks; "" is all that it asks."""
    return f"{group} · {unit}" if unit else group


def _count_work(responses: Sequence[Response], counts: Counts) -> None:
    """By person; where a dataset was made anew, one may have answered an item twice: the last time counts."""
    last: dict[tuple[str, str], str] = {}
    for response in responses:
        who = (response.annotator, response.country)
        if response.status == "submitted":
            last[who] = max(response.updated_at, last.get(who, ""))
        else:
            counts["work", *who, response.status] += 1
    for (annotator, country), moment in last.items():
        counts["work", annotator, country, "submitted"] += 1
        counts["day", annotator, moment[:10]] += 1
        counts["time", moment[:15]] += 1
