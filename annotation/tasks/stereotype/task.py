"""The task "rate stereotypes": people say whether an association is known where they live, and how offensive. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from annotation.config import Settings
from annotation.task_tables import StereotypeTaskSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Scale, Texts
from annotation.tasks.form import Field, Form, Guard, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of
from annotation.tasks.stereotype.item import NAME, association_of
from annotation.tasks.stereotype.rating import (
    HERE,
    KNOWN,
    OTHERS,
    SCALE,
    STOP,
    Rating,
    read_rating,
    write_rating,
)
from annotation.tasks.stereotype.texts import TEXTS
from annotation.text.locales import name_of_country
from annotation.types import Answer, Item


class Stereotypes(ItemTask):
    """See `annotation.tasks.base.Task`."""

    name = NAME
    title = "rate stereotypes"
    one = "stereotype"
    many = "stereotypes"
    made_by = "annot stereotypes add"
    label = "stereotype"
    scale: Scale = "ordinal"
    counted: tuple[str, ...] = ("ratings", "skips")
    sensitive = True

    def settings(self, settings: Settings) -> StereotypeTaskSettings:
        """See Task."""
        return settings.task.stereotype

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task. Argilla asks for one field that every record has: it says that knowing is no believing."""
        say = page.texts(NAME, TEXTS)
        return Form(
            names=page.names(settings.task.stereotype.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=(
                Field("note", say["field.note"]),
                *(Field(name, say[f"field.{name}"], required=False) for name in ("group", "association", "sentence")),
            ),
            questions=(
                Question(
                    "known", "label_selection", say["known"], say["known.help"], True, {one: say[one] for one in KNOWN}
                ),
                Question("offensive", "rating", say["offensive"], say["offensive.help"], numbers=SCALE),
                Question(
                    "about",
                    "label_selection",
                    say["about"],
                    say["about.help"],
                    options={one: say[one] for one in (HERE, OTHERS)},
                ),
            ),
            metadata=properties(page, self.label, say["item"], authors=True),
            vector=None,
            overlap=settings.task.stereotype.overlap,
            guard=Guard("known", STOP, settings.stereotypes.most_a_day),
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        found, page = association_of(item), TeamPage(item.language, item.country)
        note = page.texts(NAME, TEXTS)["note"].format(country=name_of_country(item.country, page.base))
        said = {"sentence": found.text} if found.frame else {"group": found.identity, "association": found.attribute}
        shown = {name: as_typed(text) for name, text in {"note": note, **said}.items()}
        return record_of(item, self.label, shown, None)

    def read(self, item: Item, values: Mapping[str, Any]) -> Rating:
        """See Task."""
        return read_rating(values)

    def values(self, item: Item, value: Rating) -> dict[str, Any]:
        """See Task."""
        return write_rating(value)

    def units(self, item: Item, value: Rating) -> Mapping[str, float]:
        """See Task: how well known it is; of a skip nothing."""
        return {} if value.known is None else {"known": value.known}

    def score(self, item: Item, value: Rating) -> float:
        """See Task; `expected` is {"known": one of SCALE}. One step beside it costs a quarter; a skip has no part."""
        expected = int((item.expected or {})["known"])
        return 0.0 if value.known is None else 1 - abs(value.known - expected) / (len(SCALE) - 1)

    def outcome(self, item: Item, answers: Sequence[Answer[Rating]], settings: Settings) -> ItemOutcome:
        """See Task: ratings and skips; who wants to see no more of these texts gave neither."""
        said = [answer.value for answer in answers if not answer.value.stop]
        rated = sum(rating.known is not None for rating in said)
        return ItemOutcome({"ratings": rated, "skips": len(said) - rated})
