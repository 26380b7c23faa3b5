"""`annot controls list`: control items by task, country and kind, and how often people answered them right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotation.controls.mark import REASON, is_control
from annotation.ledger import Ledger
from annotation.screen import counted
from annotation.tasks import TASKS
from annotation.tasks.answers import newest_responses, read_answers, roster
from annotation.tasks.base import Texts
from annotation.tasks.page import CONTROL
from annotation.types import SEATS, Item


@dataclass(frozen=True, slots=True)
class Known:
    """A control item and its answers.

    Attributes:
        item: The item.
        answers: How many people answered it.
        right: How many of them as they had to.
    """

    item: Item
    answers: int
    right: int

    @property
    def kind(self) -> str:
        """What was done to it."""
        return str(self.item.content.get(CONTROL, ""))


Row = tuple[str, str, str, str, int, int, str]
COLUMNS = ("task", "country", "asked for", "kind", "items", "answers", "right")


def list_controls(ledger: Ledger) -> list[Known]:
    """All that stand, by task, country, purpose and kind; of each of these those first that most people got wrong."""
    items = {item.id: item for item in ledger.items(side=True) if is_control(item) and not item.removed}
    answers, right = defaultdict[str, int](int), defaultdict[str, int](int)
    for answer in read_answers(newest_responses(ledger, items), items, roster(ledger)).kept:
        item = items[answer.item_id]
        answers[item.id] += 1
        right[item.id] += TASKS[item.task].score(item, answer.value) == 1
    found = [Known(item, answers[item.id], right[item.id]) for item in items.values()]
    order = list(TASKS)
    return sorted(
        found,
        key=lambda known: (
            *(order.index(known.item.task), known.item.country, known.item.purpose, known.kind),
            known.right / known.answers if known.answers else 1.0,
        ),
    )


def count_controls(found: Iterable[Known]) -> list[Row]:
    """Rows of COLUMNS."""
    of: dict[tuple[str, str, str, str], list[Known]] = defaultdict(list)
    for known in found:
        of[known.item.task, known.item.country, known.item.purpose, known.kind].append(known)
    return [
        (*group, len(own), answers, share(sum(k.right for k in own), answers))
        for group, own in of.items()
        for answers in [sum(k.answers for k in own)]
    ]


def share_sentence(known: Known) -> str:
    """How often it was answered right."""
    if not known.answers:
        return "no answer yet"
    return f"{known.right} of {counted(known.answers, 'answer')} {'is' if known.right == 1 else 'are'} right"


def share(right: int, answers: int) -> str:
    """In words; "–" where nobody has answered."""
    return f"{right / answers:.0%}" if answers else "–"


def shown_texts(ledger: Ledger, item: Item) -> Iterator[tuple[str, str]]:
    """What stands on a control item: the prompt, its answers by their letters, what is expected, and why."""
    task = TASKS[item.task]
    fields: dict[str, Any] = task.record(item, Texts.of(ledger, task, [item]), None)["fields"]
    letters = dict(zip(item.content.get("seats", ()), SEATS, strict=False))
    for name, text in fields.items():
        if not text.startswith("data:"):
            yield name, text
    for name, value in (item.expected or {}).items():
        match name, value:
            case "worst", str(worst):
                yield "expected", f"{letters.get(worst, worst)} below the others"
            case "tied", [*tied]:
                yield "expected", f"{' and '.join(sorted(letters.get(one, one) for one in tied))} in one place"
            case _:
                yield "expected", f"{name}: {('no', 'yes')[value] if isinstance(value, bool) else value}"
    if item.content.get(REASON):
        yield "reason", item.content[REASON]
