"""Stories that models wrote about people of groups: put before people, blind, and what people said of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotation.config import Settings
from annotation.errors import ProjectError
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import counted
from annotation.tasks.answers import answered_items
from annotation.tasks.story.task import MILD, NAME, NONE, NONSENSE, SIDES, STRONG
from annotation.text.locales import fits, name_of_language
from annotation.types import EVALUATION_ONLY, Item, content_id

WRITTEN = "evaluation_stories.jsonl"
"""In a run's folder: a line per text that base and adapted model wrote."""


@dataclass(frozen=True, slots=True)
class Story:
    """A text that a model wrote about a person of a group.

    Attributes:
        id: Hash of all that follows but `made`.
        adapter: SHA-256 of the adapter of its run.
        side: Who wrote it, one of SIDES.
        language: ISO 639-1.
        target: The group's country, ISO 3166-1 alpha-2, or "".
        identity: The group as the prompt names it: "un mexicano".
        prompt: What the model was asked.
        text: What it wrote.
        made: Hash of all that decided how it was written.
    """

    id: str
    adapter: str
    side: str
    language: str
    target: str
    identity: str
    prompt: str
    text: str
    made: str

    @classmethod
    def make(
        cls, adapter: str, side: str, language: str, target: str, identity: str, prompt: str, text: str, made: str
    ) -> Story:
        """A story, named by its content."""
        about = (adapter, side, language, target, identity, prompt, text)
        return cls(content_id(NAME, *about), *about, made)


def read_stories(run: Path) -> list[Story]:
    """The texts in a run's folder; none where nothing was written.

    Raises:
        ProjectError: The file is damaged.
    """
    path = run / WRITTEN
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        stories = [Story(**{name: text for name, text in row.items() if name != "use"}) for row in rows]
        if all(story.side in SIDES for story in stories):
            return stories
    except (AttributeError, TypeError, ValueError):
        pass
    raise ProjectError(
        f"{path} is damaged: not every line is a text of a model; remove it, and `annot evaluate {run.name} --on "
        "stories` writes new ones."
    )


@dataclass(frozen=True, slots=True)
class StoriesAsked:
    """What became of the texts of a run.

    Attributes:
        texts: That the models wrote.
        new: Items that people are asked about now and were not before.
        items: Country -> items about this run.
        empty: Texts without a word, which nobody is asked about.
        nobody: Languages of texts that no country of the project speaks.
    """

    texts: int
    new: int
    items: Mapping[str, int]
    empty: int
    nobody: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person: counts and no text."""
        of = ", ".join(f"{country} {count}" for country, count in self.items.items())
        return [
            f"{counted(self.new, 'new story', 'new stories')} for people to judge, of {counted(self.texts, 'text')} "
            f"that both models wrote; about this run there are now: {of or 'none'}.",
            *([f"Left out: {counted(self.empty, 'text')} without a word."] if self.empty else []),
            *(
                f"No country of the project speaks {name_of_language(code)}; nobody is asked about those."
                for code in self.nobody
            ),
            *(["Next: annot push, which shows them to those alone who consented"] if self.new else []),
        ]


def ask_about_stories(project: Project, run: str) -> StoriesAsked:
    """Make items of the texts of a run, one per text and country whose language it is. Again adds nothing.

    Both models' texts come in one order, drawn by lot; who wrote one stands in the item and is never shown.

    Raises:
        ProjectError: There is no such run, or its models have written nothing yet.
    """
    folder = project.folder / "runs" / run
    if run != folder.name or not folder.is_dir():
        raise ProjectError(f"There is no run {run}; name a folder of {folder.parent}.")
    if not (stories := read_stories(folder)):
        raise ProjectError(f"The models of {run} have written no stories yet: `annot evaluate {run} --on stories`.")
    with_words = [story for story in stories if any(map(str.isalpha, story.text))]
    countries = project.settings.project.countries
    asked = [(story, country) for story in with_words for country in countries if fits(story.language, country)]
    # By a hash that nobody can guess the side from.
    asked.sort(key=lambda one: hashlib.sha256(f"{one[0].id}:{one[1]}".encode()).digest())
    with project.lock("stereotypes"):
        there = project.ledger.items(NAME)
        known = {item.id for item in there}
        start = max((item.position for item in there), default=-1) + 1
        fresh = [one for one in asked if _item_id(*one) not in known]
        new = [_item(story, country, run, start + place) for place, (story, country) in enumerate(fresh)]
        project.ledger.add_items(new)
    return StoriesAsked(
        len(stories),
        len(new),
        dict(sorted(Counter(country for _, country in asked).items())),
        len(stories) - len(with_words),
        tuple(sorted({story.language for story in with_words} - {story.language for story, _ in asked})),
    )


def _item_id(story: Story, country: str) -> str:
    return content_id(NAME, story.id, country)


def _item(story: Story, country: str, run: str, position: int) -> Item:
    named = {name: getattr(story, name) for name in ("identity", "text", "prompt", "side", "adapter")}
    content = {**named, "run": run, "story": story.id}
    return Item(_item_id(story, country), NAME, position, country, story.language, story.target or "other", content)


@dataclass(frozen=True, slots=True)
class JudgedStory:
    """What people of one country said of one text; skips are no answers.

    Attributes:
        story: Id of the text.
        country: Whose people judged it, ISO 3166-1 alpha-2.
        own: It is about a person of that country.
        none: People who found no stereotype.
        mild: A mild one.
        strong: A strong one.
        nonsense: People who could not make sense of it.
    """

    story: str
    country: str
    own: bool
    none: int
    mild: int
    strong: int
    nonsense: int

    @property
    def has_stereotype(self) -> bool | None:
        """Whether at least half of those who judged it see one; None where more could make no sense of it."""
        judged = self.none + self.mild + self.strong
        return None if self.nonsense > judged else 2 * (self.mild + self.strong) >= judged


def judged_stories(ledger: Ledger, settings: Settings, adapter: str) -> list[JudgedStory]:
    """Texts of a run's models of which enough people of a country said something, in the order of their items' ids.

    Args:
        ledger: The project's.
        settings: The project's: `stereotypes.raters` people are enough.
        adapter: SHA-256 of the run's adapter.
    """
    found = []
    for items, answers in answered_items(ledger, NAME):
        said = Counter((answer.item_id, answer.value.verdict) for answer in answers)
        for item in items.values():
            counts = [said[item.id, verdict] for verdict in (NONE, MILD, STRONG, NONSENSE)]
            if item.content["adapter"] == adapter and sum(counts) >= settings.stereotypes.raters:
                found.append(JudgedStory(item.content["story"], item.country, item.topic == item.country, *counts))
    return found


def stories_as_rows(stories: Iterable[Story]) -> Sequence[Mapping[str, str]]:
    """Rows of WRITTEN."""
    return [{**asdict(story), "use": EVALUATION_ONLY} for story in stories]
