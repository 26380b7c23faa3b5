"""`annot controls mark` and `remove`: a lead makes an item of the work a control item, or takes a control item out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from annotation.controls.spoil import MARKED
from annotation.errors import SettingsError
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.controls import CONTROLS
from annotation.quality.entry import ENTRY
from annotation.screen import counted
from annotation.tasks.duel.task import CHOICES
from annotation.tasks.duel.task import NAME as DUEL
from annotation.tasks.exam.check import LETTERS, REJECT
from annotation.tasks.exam.item import NAME as EXAM
from annotation.tasks.page import CONTROL
from annotation.tasks.prompt_check.task import NAME as PROMPT_CHECK
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.types import REGIONAL_FEATURES, SEATS, Item, content_id

REASON = "reason"
"""Key in an item's content: why a lead marked it."""

REST = timedelta(days=7)
"""Nobody reads a prompt twice in so short a time."""

EXPECTED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    PROMPT_CHECK: {"accepted": {"yes": True, "no": False}},
    EXAM: {
        "fit": {word: word for word in ("fits", *REJECT)},
        "key": {letter: letter for letter in LETTERS},
        "feature": {feature: feature for feature in REGIONAL_FEATURES},
    },
    DUEL: {"choice": {choice: choice for choice in CHOICES}},
}
"""Task -> name -> what can be given as --expected NAME=VALUE, and what stands for it in the item."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What `mark_control` made.

    Attributes:
        id: Of the control item.
        parent: Of the item of the work that it was, which is asked no more.
        expected: The answer that is known.
        answers: That people had given to the item of the work; they do not count any more.
    """

    id: str
    parent: str
    expected: Mapping[str, Any]
    answers: int

    def sentence(self) -> str:
        """For a person."""
        lost = f"; {counted(self.answers, 'answer')} to it as work do not count any more" if self.answers else ""
        return f"{self.parent} is the control item {self.id} now{lost}."


def mark_control(
    project: Project,
    item_id: str,
    *,
    worst: str = "",
    tied: Sequence[str] = (),
    expected: Mapping[str, str] | None = None,
    reason: str,
) -> Marked:
    """Make an item of the work a control item, since its answer is known.

    Args:
        project: Whose.
        item_id: Of the item.
        worst: Letter of the answer that has to be below every other; of slates.
        tied: Letters of answers that have to be in one place; of slates.
        expected: What else is known, as in EXPECTED; of other tasks.
        reason: Why it is certain; it is kept.

    Raises:
        SettingsError: There is no such item, what is known does not fit it, or people answered it in the last days.
    """
    ledger = project.ledger
    with ledger.transaction():
        item = next(iter(ledger.items(ids=[item_id])), None)
        side = (one for one in ledger.items(item.task, side=True) if is_control(one)) if item else ()
        if there := next((one for one in side if item_id in (one.id, one.parent) and not one.removed), None):
            what = "an item of an entry test" if there.purpose == ENTRY else "a control item"
            raise SettingsError(f"{item_id} is {what} already{f', {there.id}' if there.id != item_id else ''}.")
        if item is None or item.purpose != "work" or item.removed:
            raise SettingsError(
                f'"{item_id}" is no item of the work; `annot trace` finds one by the beginning of its id.'
            )
        if not reason.strip():
            raise SettingsError('Say why the answer is certain, with --reason "…": it is kept beside the item.')
        known = _known(item, worst, tied, expected or {})
        rows = ledger.rows("select annotator, status, updated_at from responses where item_id = ?", item_id)
        since = (datetime.now(UTC) - REST).isoformat()
        if recent := {row["annotator"] for row in rows if row["updated_at"] >= since}:
            raise SettingsError(
                f"{counted(len(recent), 'person has', 'people have')} answered it in the last {REST.days} days, and "
                "nobody should read a prompt twice so soon; mark another one, or wait."
            )
        control = replace(
            item,
            id=content_id(CONTROLS, item.task, item.id),
            content={**item.content, CONTROL: MARKED, REASON: reason.strip()},
            purpose="control",
            expected=known,
            parent=item.id,
            round=0,
            closed=False,
        )
        if not ledger.add_items([control]):  # it was one before
            raise SettingsError(f"{item_id} was a control item before; mark another one.")
        ledger.remove_items([item.id])
    answers = {row["annotator"] for row in rows if row["status"] == "submitted"}
    return Marked(control.id, item.id, known, len(answers))


def _known(item: Item, worst: str, tied: Sequence[str], expected: Mapping[str, str]) -> dict[str, Any]:
    """What is known of an item, as its task scores it."""
    if item.task in (RANKING, DESCRIPTION):
        seats = dict(zip(SEATS, item.content["seats"], strict=False))
        letters = [*([worst] if worst else []), *tied]
        if not letters or expected or not set(letters) <= seats.keys() or len(set(letters)) < len(letters):
            raise SettingsError(
                f"Of a slate say which answer is certainly the worst, or which are alike: --worst B, --tie A,C; its "
                f"letters are {', '.join(seats)}, each once."
            )
        if len(tied) == 1:
            raise SettingsError(f"--tie {tied[0]} names one answer; name two or more, for example --tie A,C.")
        ids = sorted(seats[letter] for letter in tied)
        return {**({"worst": seats[worst]} if worst else {}), **({"tied": ids} if ids else {})}
    known = EXPECTED.get(item.task)
    if known is None:
        raise SettingsError(
            f'Of an item of the task "{item.task}" nobody knows the answer: what people say of it is it.'
        )
    if not expected or worst or tied or any(value not in known.get(name, ()) for name, value in expected.items()):
        ways = "; ".join(f"{name}={'|'.join(values)}" for name, values in known.items())
        raise SettingsError(f"Say what is known as --expected NAME=VALUE, of {ways}.")
    return {name: known[name][value] for name, value in expected.items()}


@dataclass(frozen=True, slots=True)
class Removed:
    """What `remove_controls` did.

    Attributes:
        removed: Control items that are asked no more.
        back: Items of the work that are asked again, since nobody had answered the control item.
    """

    removed: int
    back: int

    def sentence(self) -> str:
        """For a person."""
        again = f"; {counted(self.back, 'item is', 'items are')} work again" if self.back else ""
        return f"{counted(self.removed, 'control item')} taken out{again}. `annot push` takes them off the server."


def remove_controls(project: Project, ids: Sequence[str]) -> Removed:
    """Take control items, or those of an entry test, out: nobody is asked any more, and no answer to them counts.

    The item whose place one took comes back to the work where nobody has answered the control item.

    Raises:
        SettingsError: One is none.
    """
    ledger = project.ledger
    with ledger.transaction():
        found = {item.id: item for item in ledger.items(ids=ids) if is_control(item) and not item.removed}
        if unknown := [name for name in ids if name not in found]:
            raise SettingsError(f"{', '.join(unknown)}: no control item; `annot controls list --each` shows their ids.")
        ledger.remove_items(found)
        free = [item.parent for item in found.values() if item.parent and not _is_answered(ledger, item.id)]
        return Removed(len(found), ledger.remove_items(free, removed=False))


def is_control(item: Item) -> bool:
    """Whether an item is one of which the answer is known, in the work or in an entry test."""
    return item.purpose in (CONTROLS, ENTRY)


def _is_answered(ledger: Ledger, item_id: str) -> bool:
    return bool(ledger.rows("select 1 from responses where item_id = ? limit 1", item_id))
