"""People as a lead sees them: what each answered, how far it can be trusted, and what was decided about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from annotation.errors import SettingsError
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.controls import ControlResult, control_results
from annotation.quality.entry import EntryResult, entry_results
from annotation.quality.reliability import Reliability, reliability
from annotation.quality.signs import Sign, signs
from annotation.screen import Progress, silent
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.answers import AT_ONCE, newest_responses, read_answers, roster
from annotation.tasks.base import Task
from annotation.types import Answer, Item, Person
from sync.team import known_person

MOST_ITEMS = 5
"""Items of a task that are named for a lead to look at."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one person answered of one task, and how far it can be trusted.

    Attributes:
        task: Its name.
        answers: That count.
        reliability: By what is measured; None where the person shared no item with anybody.
        controls: Of their control items; None where there were none.
    """

    task: str
    answers: int
    reliability: Reliability | None
    controls: ControlResult | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one person.

    Attributes:
        person: As the roster and the lead's decisions have them.
        done: Of each task of which they answered anything.
        signs: What a lead should look at.
        entries: Task -> where they stand in its entry test.
    """

    person: Person
    done: tuple[Done, ...]
    signs: tuple[Sign, ...]
    entries: Mapping[str, EntryResult]

    @property
    def decision(self) -> str:
        """What was decided about their votes, in a few words with the reason; "" where nothing was."""
        one = self.person
        return said(one.weight, one.reason, one.excluded, auto=one.auto)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        one = self.person
        return {
            **{name: getattr(one, name) for name in ("username", "country", "role", "active", "auto")},
            "weight": 0.0 if one.excluded else one.weight,
            "reason": one.excluded or one.reason,
            "decision": self.decision,
            "tasks": [
                {
                    "task": done.task,
                    "answers": done.answers,
                    "reliability": asdict(done.reliability) if done.reliability else None,
                    "controls": asdict(done.controls) if done.controls else None,
                }
                for done in self.done
            ],
            "signs": [asdict(sign) for sign in self.signs],
            "entry": {task: asdict(at) for task, at in self.entries.items()},
        }


@dataclass(frozen=True, slots=True)
class ToLookAt:
    """An answer that stands furthest from what the others of a country said.

    Attributes:
        task: Its name.
        item: The item's id.
        apart: How far, on the scale of the task: places, or the share of things on which nobody says the same.
        others: How many others answered.
    """

    task: str
    item: str
    apart: float
    others: int


def said(weight: float, reason: str, excluded: str, *, auto: bool) -> str:
    """A decision in a few words; "" for what holds of everybody of whom nothing was decided."""
    if excluded:
        return f"left out: {excluded}"
    if auto:
        return f"as measured: {reason}"
    return f"weighs {weight:g}: {reason}" if reason else "" if weight == 1 else f"weighs {weight:g}"


def people(project: Project, *, progress: Progress = silent) -> tuple[Known, ...]:
    """Everybody on the team who judges, and everybody who ever answered: by country and user name.

    Args:
        project: The project.
        progress: Told how many items are counted, where many were answered since the last time.
    """
    ledger = project.ledger
    counts = count(ledger, project.settings, progress=progress)
    measured, told = reliability(counts, ledger), defaultdict[str, list[Sign]](list)
    for sign in signs(counts, ledger):
        told[sign.annotator].append(sign)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for key, number in counts.items():
        match key:
            case ("person", str(task), _, _, _, str(annotator), *_):
                answers[annotator][task] += number
    right = {task: control_results(counts, task) for task in {str(key[1]) for key in counts if key[0] == "control"}}
    trust: dict[str, dict[str, Reliability]] = defaultdict(dict)
    for (task, _), own in measured.items():
        for annotator, found in own.items():
            before = trust[annotator].get(task)
            if before is None or found.comparisons > before.comparisons:  # of two teams: where they said more
                trust[annotator][task] = found
    entries: dict[str, dict[str, EntryResult]] = defaultdict(dict)
    for (task, annotator), at in entry_results(ledger, project.settings, datetime.now(UTC)).items():
        entries[annotator][task] = at
    known = []
    for person in ledger.people():
        who = person.username
        tasks = [name for name in TASKS if answers[who][name] or who in right.get(name, {})]
        if tasks or (person.active and person.role == "annotator") or person.excluded:
            done = (Done(t, answers[who][t], trust[who].get(t), right.get(t, {}).get(who)) for t in tasks)
            known.append(Known(person, tuple(done), tuple(told[who]), entries[who]))
    return tuple(sorted(known, key=lambda one: (one.person.country, one.person.username)))


def decide(
    ledger: Ledger, usernames: Sequence[str], weight: str, reason: str, *, everybody: bool = False
) -> tuple[list[Person], list[Person]]:
    """Keep what a lead decides about people's votes: of all of them, or of none.

    Args:
        ledger: The project's.
        usernames: Whose.
        weight: "0": their answers do not count; "1": they do, as anybody's; "auto": by what is measured.
        reason: Why; the status and the exports say it.
        everybody: Of all people of the team who judge, but of nobody who is left out.

    Returns:
        Those named, as they are now, and as they were.

    Raises:
        SettingsError: Nobody is named, the weight is none of these, there is no reason, or votes that somebody gave
            under another name should follow what is measured of this one.
        ArgillaError: Somebody of that name never was on the team.
    """
    reason = " ".join(reason.split())
    if weight not in ("0", "1", "auto"):
        raise SettingsError(f'--weight "{weight}": write 0 (leave out), 1 (count as anybody\'s) or auto (as measured).')
    if everybody and (usernames or weight == "0"):
        raise SettingsError("--all goes without names, and with --weight auto or 1; whom you leave out, you name.")
    if not everybody and not usernames:
        raise SettingsError("Say whose votes: annot people set NAME ..., or --all.")
    if weight != "1" and not reason:
        raise SettingsError('Say why: --reason "...". It stands in the status and with the exports.')
    decided: dict[str, Any] = {"excluded": reason if weight == "0" else "", "reason": reason, "auto": weight == "auto"}
    with ledger.transaction():
        before = [known_person(ledger, name) for name in dict.fromkeys(usernames)]
        if everybody:
            before = [p for p in ledger.people() if p.active and p.role == "annotator" and not p.excluded]
        elif weight == "auto" and (other := next((p for p in before if p.same_as), None)):
            raise SettingsError(
                f'What "{other.username}" answered counts under "{other.same_as}": say it of that name.'
            )
        # Who follows what is measured already goes on from where they are.
        values = {p.username: {**decided, "weight": p.weight if weight == "auto" else 1.0} for p in before}
        return ledger.decide_all(values), before


def to_look_at(ledger: Ledger, person: Person) -> list[ToLookAt]:
    """Of each task the answers of a person that stand furthest from what the others of the same country said."""
    team = roster(ledger)
    team[person.username] = person  # as if they were not left out: the lead wants to see why
    rows = ledger.rows("select distinct item_id from responses where annotator = ?", person.username)
    ids, found = sorted(row["item_id"] for row in rows), list[ToLookAt]()
    for start in range(0, len(ids), AT_ONCE):
        items = {item.id: item for item in ledger.items(ids=ids[start : start + AT_ONCE]) if item.purpose == "work"}
        said_of: dict[str, list[Answer[Any]]] = defaultdict(list)
        for answer in read_answers(newest_responses(ledger, items), items, team).kept:
            said_of[answer.item_id].append(answer)
        found += (one for item_id, given in said_of.items() if (one := _apart(items[item_id], given, person.username)))
    found.sort(key=lambda one: (-one.apart, one.item))
    return [one for task in TASKS for one in [look for look in found if look.task == task][:MOST_ITEMS]]


def _apart(item: Item, answers: Iterable[Answer[Any]], username: str) -> ToLookAt | None:
    task, answers = TASKS[item.task], list(answers)
    own = next((answer for answer in answers if answer.annotator == username), None)
    others = [answer for answer in answers if own and answer is not own and answer.country == own.country]
    if own is None or not others:
        return None
    apart = _distance(task, task.units(item, own.value), [task.units(item, other.value) for other in others])
    return ToLookAt(item.task, item.id, apart, len(others)) if apart else None


def _distance(task: Task[Any], own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> float:
    """Mean over the things that are judged: from the mean of the others, or whether nobody of them says the same."""
    far = []
    for unit, value in own.items():
        if theirs := [other[unit] for other in others if unit in other]:
            far.append(float(value not in theirs) if task.scale == "nominal" else abs(value - fmean(theirs)))
    return fmean(far) if far else 0.0
