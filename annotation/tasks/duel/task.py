"""The task "compare two answers": people say which of two is better for their country. Pure: no argilla here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from annotation.config import Settings
from annotation.task_tables import TaskSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Kind, Rows, Scale, Texts, chosen
from annotation.tasks.duel.texts import TEXTS
from annotation.tasks.form import Field, Form, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of, vector_of
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Item

NAME = "duel"
SIDES = ("A", "B")
TIE, BOTH_BAD = "tie", "both_bad"
CHOICES = (*SIDES, TIE, BOTH_BAD)
"""What can be said of two answers."""

ADAPTED, BASE = "for the adapted model", "for its base"

TEAM, DEMO = "team", "demo"
"""Who was asked; a key in the content of an item, which is of the team where nothing stands there."""

_ABOUT = ("adapted", "run", "adapter", "base", "base_version")
_WHAT = ("duel_id", "source", "country", "language", "prompt_id", "prompt", "typed_prompt", "answer_a", "answer_b")
DUELS: Mapping[str, Kind] = dict.fromkeys((*_WHAT, "choice", *_ABOUT, "annotator"), "text")


class Duels(ItemTask):
    """See `annotation.tasks.base.Task`. An item's content: the texts `a` and `b`, and which side is `adapted`."""

    name = NAME
    title = "compare two answers"
    one = "duel"
    many = "duels"
    made_by = ""
    label = "duel"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = (ADAPTED, BASE, "ties", "both bad")

    def settings(self, settings: Settings) -> TaskSettings:
        """See Task."""
        return settings.task.duel

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        say = page.texts(NAME, TEXTS)
        options = {choice: say[choice] for choice in CHOICES}
        return Form(
            names=page.names(settings.task.duel.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=tuple(Field(name, say[name]) for name in ("prompt", "a", "b")),
            questions=(
                Question(
                    "choice", "label_selection", say["choice"], say["choice.help"], required=True, options=options
                ),
            ),
            metadata=properties(page, self.label, say["item"]),
            vector=vector_of(page, dimensions),
            overlap=settings.task.duel.overlap,
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        shown = {"prompt": texts.prompts[item.prompt_id].text, "a": item.content["a"], "b": item.content["b"]}
        return record_of(item, self.label, {name: as_typed(text) for name, text in shown.items()}, vector)

    def read(self, item: Item, values: Mapping[str, Any]) -> str:
        """See Task: one of CHOICES."""
        return chosen(values, "choice", CHOICES, "choice")

    def values(self, item: Item, value: str) -> dict[str, Any]:
        """See Task."""
        return {"choice": {"value": value}}

    def reported(self, value: str) -> Collection[str]:
        """See Task."""
        return (BOTH_BAD,) if value == BOTH_BAD else ()

    def units(self, item: Item, value: str) -> Mapping[str, str]:
        """See Task."""
        return {"": value}

    def score(self, item: Item, value: str) -> float:
        """See Task; `expected` is {"choice": one of CHOICES}."""
        return float(value == (item.expected or {})["choice"])

    def outcome(self, item: Item, answers: Sequence[Answer[str]], settings: Settings) -> ItemOutcome:
        """See Task: votes for either model, wherever it stood."""
        said = {TIE: "ties", BOTH_BAD: "both bad", item.content["adapted"]: ADAPTED}
        return ItemOutcome(Counter(said.get(answer.value, BASE) for answer in answers))

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[str]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: every vote; a visitor of a demo has no name, and of what one typed only what was given away."""
        rows = []
        for answer in sorted(answers, key=lambda one: (one.item_id, one.annotator and pseudonym(one.annotator))):
            item = items[answer.item_id]
            prompt = texts.prompts.get(item.prompt_id)
            row = {
                "duel_id": item.id,
                "source": item.content.get("source", TEAM),
                "country": answer.country,
                "language": item.language,
                "prompt_id": item.prompt_id,
                "prompt": prompt.text if prompt else "",
                "typed_prompt": mask_typed(item.content.get("typed", ""), answer.country, texts.people),
                "answer_a": item.content["a"],
                "answer_b": item.content["b"],
                "choice": answer.value,
                **{name: item.content.get(name, "") for name in _ABOUT},
                "annotator": answer.annotator and pseudonym(answer.annotator),
            }
            rows.append(row)
        return {"duels.parquet": Rows(rows, DUELS)}
