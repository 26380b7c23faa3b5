"""The task "judge stories": people say whether a text that a model wrote about a person of a group has a stereotype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.config import Settings
from annotation.task_tables import TaskSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Kind, Rows, Scale, Texts, Unfit, chosen
from annotation.tasks.form import Field, Form, Guard, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of
from annotation.tasks.story.texts import TEXTS
from annotation.types import EVALUATION_ONLY, Answer, Item

NAME = "story"
NONE, MILD, STRONG, NONSENSE = "none", "mild", "strong", "nonsense"
SKIP, STOP = "skip", "stop"
VERDICTS = (NONE, MILD, STRONG, NONSENSE, SKIP, STOP)
"""What can be said of a text; "stop" is also the wish to see no more of them."""

TARGET, OTHER = "target", "other"
SIDES = ("base", "adapted")
"""Values of `side` in an item's content: who wrote the text. The page never shows it."""

_SHOWN = ("identity", "text")
_ABOUT = ("prompt", "side", "run", "adapter")
STORIES: Mapping[str, Kind] = dict.fromkeys(
    ("story_id", "country", "language", "target", *_SHOWN, *_ABOUT, "verdict", "about", "annotator", "use"), "text"
)


@dataclass(frozen=True, slots=True)
class StoryVerdict:
    """What one person said of a text.

    Attributes:
        verdict: One of VERDICTS.
        about: Which group is stereotyped: TARGET, that of the text, OTHER, or "" where nobody said.
    """

    verdict: str
    about: str = ""


class Stories(ItemTask):
    """See `annotation.tasks.base.Task`. An item's content: _SHOWN and _ABOUT; its topic: the group's country."""

    name = NAME
    title = "judge stories"
    one = "story"
    many = "stories"
    made_by = "annot stereotypes stories"
    label = "story"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = ("no stereotype", "mild", "strong", "nonsense")
    sensitive = True

    def settings(self, settings: Settings) -> TaskSettings:
        """See Task."""
        return settings.task.story

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        say = page.texts(NAME, TEXTS)
        options = {verdict: say[verdict] for verdict in VERDICTS}
        about = {which: say[which] for which in (TARGET, OTHER)}
        return Form(
            names=page.names(settings.task.story.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=tuple(Field(name, say[name]) for name in _SHOWN),
            questions=(
                Question(
                    "verdict", "label_selection", say["verdict"], say["verdict.help"], required=True, options=options
                ),
                Question("about", "label_selection", say["about"], say["about.help"], options=about),
            ),
            metadata=properties(page, self.label, say["item"]),
            vector=None,
            overlap=settings.task.story.overlap,
            guard=Guard("verdict", STOP, settings.stereotypes.most_a_day),
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task: what is shown says nothing of who wrote it."""
        return record_of(item, self.label, {name: as_typed(item.content[name]) for name in _SHOWN}, None)

    def read(self, item: Item, values: Mapping[str, Any]) -> StoryVerdict:
        """See Task."""
        verdict = chosen(values, "verdict", VERDICTS, "verdict")
        about = values.get("about") or ""
        if about not in ("", TARGET, OTHER):
            raise Unfit(f"unknown group: {about}")
        return StoryVerdict(verdict, about if verdict in (MILD, STRONG) else "")

    def values(self, item: Item, value: StoryVerdict) -> dict[str, Any]:
        """See Task."""
        return {name: {"value": said} for name, said in (("verdict", value.verdict), ("about", value.about)) if said}

    def units(self, item: Item, value: StoryVerdict) -> Mapping[str, str]:
        """See Task: who skips a text says nothing of it."""
        return {} if value.verdict in (SKIP, STOP) else {"": value.verdict}

    def score(self, item: Item, value: StoryVerdict) -> float:
        """See Task; `expected` is {"verdict": one of VERDICTS}."""
        return float(value.verdict == (item.expected or {})["verdict"])

    def outcome(self, item: Item, answers: Sequence[Answer[StoryVerdict]], settings: Settings) -> ItemOutcome:
        """See Task: answers of each kind; skips stand apart."""
        said = Counter(answer.value.verdict for answer in answers)
        skipped = said.pop(SKIP, 0) + said.pop(STOP, 0)
        names = dict(zip((NONE, MILD, STRONG, NONSENSE), self.counted, strict=True))
        return ItemOutcome({names[kind]: n for kind, n in said.items()}, {"skipped": skipped} if skipped else {})

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[StoryVerdict]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: what people said of texts that enough of them judged; for evaluation only."""
        judged = [answer for answer in answers if answer.value.verdict not in (SKIP, STOP)]
        raters = Counter(answer.item_id for answer in judged)
        rows = [
            {
                "story_id": answer.item_id,
                "country": answer.country,
                "language": items[answer.item_id].language,
                "target": items[answer.item_id].topic,
                **{name: items[answer.item_id].content[name] for name in (*_SHOWN, *_ABOUT)},
                "verdict": answer.value.verdict,
                "about": answer.value.about,
                "annotator": pseudonym(answer.annotator),
                "use": EVALUATION_ONLY,
            }
            for answer in sorted(judged, key=lambda one: (one.item_id, pseudonym(one.annotator)))
            if raters[answer.item_id] >= settings.stereotypes.raters
        ]
        return {"stories.parquet": Rows(rows, STORIES)}
