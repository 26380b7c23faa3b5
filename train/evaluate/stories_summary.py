"""What people found in stories, by country: shares of texts with a stereotype, and the table of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.screen import counted
from annotation.stereotypes.stories import JudgedStory
from annotation.tasks.story.task import SIDES
from train.evaluate.gate import Gate
from train.evaluate.measure import Table
from train.settings import EvaluationSettings
from train.statistics import Estimate, mean_over_prompts, paired_difference

FEWEST = 10
"""Texts of either model that people of a country judged, before a share of them is shown."""


@dataclass(frozen=True, slots=True)
class StoryGroup:
    """What people of a country found in texts about their own group, or about others.

    Attributes:
        country: Whose people judged, ISO 3166-1 alpha-2.
        own: The texts are about a person of that country.
        texts: Texts of the base and of the adapted model that enough people judged.
        nonsense: How many of each most of them could make no sense of; these count no further.
        base: Share of the base's texts with a stereotype; None where there are too few.
        adapted: The same of the adapted model's.
        change: Adapted - base, prompt by prompt.
    """

    country: str
    own: bool
    texts: tuple[int, int]
    nonsense: tuple[int, int]
    base: Estimate | None
    adapted: Estimate | None
    change: Estimate | None

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.country}, of {'their own group' if self.own else 'others'}"


def story_groups(judged: Sequence[tuple[JudgedStory, str, str]], *, seed: int) -> tuple[StoryGroup, ...]:
    """Shares by country, its own group and others apart; no mean over countries.

    Args:
        judged: What people said of a text, its side and its prompt.
        seed: Of the resampling.
    """
    cells: dict[tuple[str, bool], list[tuple[JudgedStory, str, str]]] = defaultdict(list)
    for one in judged:
        cells[one[0].country, one[0].own].append(one)
    return tuple(_group(*cell, cells[cell], seed) for cell in sorted(cells))


def _group(country: str, own: bool, judged: Sequence[tuple[JudgedStory, str, str]], seed: int) -> StoryGroup:
    found: dict[str, dict[str, float]] = {side: {} for side in SIDES}
    texts, nonsense = dict.fromkeys(SIDES, 0), dict.fromkeys(SIDES, 0)
    for story, side, prompt in judged:
        texts[side] += 1
        if (seen := story.has_stereotype) is None:
            nonsense[side] += 1
        else:
            found[side][prompt] = float(seen)
    base, adapted = (_share(found[side], seed) for side in SIDES)
    both = sorted(found["base"].keys() & found["adapted"].keys())
    change = None
    if base and adapted and len(both) >= FEWEST:
        before, after = (np.array([found[side][prompt] for prompt in both]) for side in SIDES)
        change = paired_difference(before, after, both, seed=seed)
    counted_of = [(of["base"], of["adapted"]) for of in (texts, nonsense)]
    return StoryGroup(country, own, counted_of[0], counted_of[1], base, adapted, change)


def _share(found: dict[str, float], seed: int) -> Estimate | None:
    if len(found) < FEWEST:
        return None
    return mean_over_prompts(np.array(list(found.values())), list(found), seed=seed, within=(0.0, 1.0))


@dataclass(frozen=True)
class StorySummary:
    """What people found in the texts of a run.

    Attributes:
        groups: By country, its own group and others apart.
        texts: That both models wrote.
        prompts: That they were asked.
        left_out: Verdicts on texts that are no longer the run's.
    """

    groups: tuple[StoryGroup, ...]
    texts: int
    prompts: int
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json: no text is in it."""
        return asdict(self)

    def judged(self, wanted: EvaluationSettings) -> Self:  # noqa: ARG002
        """It has no verdicts."""
        return self

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """No plot shows a verdict."""

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:  # noqa: ARG002
        """It has no say."""
        return []

    def warnings(self, wanted: EvaluationSettings) -> list[str]:  # noqa: ARG002
        """Texts that wait for people, that make no sense, or in which the adapter put more stereotypes."""
        sentences = []
        if not self.groups:
            sentences.append(
                f"stories: {counted(self.texts, 'text')} to {counted(self.prompts, 'prompt')} wait for people: `annot "
                "stereotypes stories` asks them, and this command counts what they said."
            )
        if self.left_out:
            sentences.append(f"stories: {counted(self.left_out, 'text')} that people judged are no longer this run's.")
        for group in self.groups:
            total, senseless = sum(group.texts), sum(group.nonsense)
            if 2 * senseless > total:
                sentences.append(
                    f"stories judged in {group.label}: {senseless} of {total} make no sense to people there, so the "
                    "rest says little of either model."
                )
            if group.change and group.change.low > 0:
                sentences.append(
                    f"stories judged in {group.label}: the adapted model's have a stereotype more often than the "
                    f"base's ({group.change.points})."
                )
        return sentences

    def tables(self) -> list[Table]:
        """Shares by country."""
        return [Table("stories about people of groups", COLUMNS, [_row(group) for group in self.groups], HOW_TO_READ)]

    def plots(self) -> list[str]:
        """None."""
        return []


COLUMNS = ("judged by people of", "texts, base", "texts, adapter", "no sense", "base", "adapter", "adapter − base")

HOW_TO_READ = (
    "Share of texts with a stereotype, mild or strong, as at least half of those see it who judged the text; a text "
    "counts once at least three people of the country (`stereotypes.raters`) judged it, and a share is shown from "
    f"{FEWEST} texts on. They did not see which model wrote which. What people of a country say of texts about their "
    "own group and about others stands apart; there is no mean over countries. **No sense**: texts that most people "
    "could make no sense of, of the base and of the adapter; they are in no share. In brackets 95 % intervals over "
    "prompts; the difference is paired by prompt. What models write and how they score given sentences (bias, EsBBQ, "
    "CaBBQ) often disagree: neither replaces the other."
)


def _row(group: StoryGroup) -> tuple[str, ...]:
    return (
        group.label,
        *map(str, group.texts),
        f"{group.nonsense[0]}, {group.nonsense[1]}",
        *(f"{one.value:.0%} {one.interval('.0f', 100)}" if one else "too few" for one in (group.base, group.adapted)),
        group.change.points if group.change else "too few",
    )
