"""The task "share stereotypes": people write down what is said of a group where they live. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annotation.config import Settings
from annotation.task_tables import ShareSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Scale, Texts
from annotation.tasks.form import Field, Form, Guard, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of
from annotation.tasks.share.sheet import KINDS, NAME, STOP, Written, read_sheet, write_sheet
from annotation.tasks.share.texts import TEXTS
from annotation.text.locales import name_of_country
from annotation.types import Answer, Item


class Share(ItemTask):
    """See `annotation.tasks.base.Task`."""

    name = NAME
    title = "share stereotypes"
    one = "sheet"
    many = "sheets to share on"
    made_by = "annot stereotypes share"
    label = "sheet"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = ("shared lines",)
    sensitive = True

    def settings(self, settings: Settings) -> ShareSettings:
        """See Task."""
        return settings.task.share

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        say = page.texts(NAME, TEXTS)
        return Form(
            names=page.names(settings.task.share.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=(Field("group", say["field.group"]),),
            questions=(
                Question(
                    "share",
                    "label_selection",
                    say["question"],
                    say["question.help"],
                    True,
                    {one: say[one] for one in KINDS},
                ),
                *(Question(name, "text", say[name], say[f"{name}.help"]) for name in ("identity", "associations")),
            ),
            metadata=properties(page, self.label, say["item"]),
            vector=None,
            overlap=settings.task.share.overlap,
            guard=Guard("share", STOP, settings.stereotypes.most_a_day),
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        page, target = TeamPage(item.language, item.country), item.content["target"]
        say = page.texts(NAME, TEXTS)
        group = say["people"].format(country=name_of_country(target, page.base)) if target else say["any group"]
        return record_of(item, self.label, {"group": as_typed(group)}, None)

    def read(self, item: Item, values: Mapping[str, Any]) -> Written:
        """See Task."""
        return read_sheet(item, values)

    def values(self, item: Item, value: Written) -> dict[str, Any]:
        """See Task."""
        return write_sheet(value)

    def units(self, item: Item, value: Written) -> Mapping[str, str]:
        """See Task: nobody has to share what others share, so there is nothing to agree on."""
        return {}

    def score(self, item: Item, value: Written) -> float:
        """See Task; `expected` is {"share": one of KINDS}."""
        return float(value.kind == (item.expected or {})["share"])

    def outcome(self, item: Item, answers: Sequence[Answer[Written]], settings: Settings) -> ItemOutcome:
        """See Task."""
        return ItemOutcome({"shared lines": sum(len(answer.value.lines) for answer in answers)})
