"""The task "check pairs": people say whether a sentence is right, and which of its controls say the same. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annotation.config import Settings
from annotation.task_tables import PairCheckSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Scale, Texts
from annotation.tasks.form import Field, Form, Guard, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of
from annotation.tasks.pair_check.check import LETTERS, STOP, UNFIT, VERDICTS, Check, read_check, write_check
from annotation.tasks.pair_check.item import NAME, pairs_of
from annotation.tasks.pair_check.settled import CHECKED, DISPUTED, REJECTED, WAITING, settle
from annotation.tasks.pair_check.texts import TEXTS
from annotation.types import Answer, Item


class PairCheck(ItemTask):
    """See `annotation.tasks.base.Task`."""

    name = NAME
    title = "check pairs"
    one = "sentence with its controls"
    many = "sentences with their controls"
    made_by = "annot stereotypes pairs"
    label = "pair_check"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = (CHECKED, REJECTED, DISPUTED)
    sensitive = True

    def settings(self, settings: Settings) -> PairCheckSettings:
        """See Task."""
        return settings.task.pair_check

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task. Every dataset has five letters, however many controls its items have."""
        say = page.texts(NAME, TEXTS)
        verdicts = {verdict: say[verdict] for verdict in VERDICTS}
        letters = dict(zip(LETTERS, LETTERS, strict=True))
        return Form(
            names=page.names(settings.task.pair_check.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=tuple(Field(name, say[f"field.{name}"]) for name in ("sentence", "words", "others")),
            questions=(
                Question("verdict", "label_selection", say["verdict"], say["verdict.help"], True, verdicts),
                Question("correction", "text", say["correction"], say["correction.help"]),
                Question("controls", "multi_label_selection", say["same"], say["same.help"], options=letters),
            ),
            metadata=properties(page, self.label, say["item"], authors=True),
            vector=None,
            overlap=settings.task.pair_check.overlap,
            guard=Guard("verdict", STOP, settings.stereotypes.most_a_day),
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        pairs = pairs_of(item)
        shown = {
            "sentence": pairs[0].sentence,
            "words": pairs[0].attribute,
            "others": "\n".join(
                f"{letter}. {pair.control_sentence}" for letter, pair in zip(LETTERS, pairs, strict=False)
            ),
        }
        return record_of(item, self.label, {name: as_typed(text) for name, text in shown.items()}, None)

    def read(self, item: Item, values: Mapping[str, Any]) -> Check:
        """See Task."""
        return read_check(item, values)

    def values(self, item: Item, value: Check) -> dict[str, Any]:
        """See Task."""
        return write_check(value)

    def reported(self, value: Check) -> Collection[str]:
        """See Task."""
        return (UNFIT,) if value.verdict == UNFIT else ()

    def units(self, item: Item, value: Check) -> Mapping[str, str]:
        """See Task: whether the sentence is kept, and its words; of those who skip it, nothing."""
        if not value.judges:
            return {}
        return {"fit": "fits", "words": value.correction.casefold()} if value.keeps else {"fit": UNFIT}

    def score(self, item: Item, value: Check) -> float:
        """See Task: the share of those units that `expected` names, for example {"fit": "fits"}."""
        expected, said = item.expected or {}, self.units(item, value)
        return sum(said.get(unit) == str(wanted) for unit, wanted in expected.items()) / len(expected)

    def outcome(self, item: Item, answers: Sequence[Answer[Check]], settings: Settings) -> ItemOutcome:
        """See Task: what became of the sentence; nothing made while it waits."""
        status = settle(item, answers, settings.task.pair_check).status
        return ItemOutcome({} if status == WAITING else {status: 1})
