"""Whether a model looks: held-out descriptions are ranked beside the right picture, and beside another one.

A model that ranks as well blind has not looked: it knows which words people like, and nothing of what is on the
picture. So every slate is scored twice, by the same implicit reward, and the difference is paired, picture by picture.
The other picture is held out too, of the same country where there are two, of the size next to it; each is used once.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.errors import SettingsError, TrainError
from annotation.images.store import read_picture
from annotation.screen import counted
from train.data.slates import RankedSlate
from train.evaluate.gate import Gate
from train.evaluate.measure import Material, Table
from train.evaluate.model import AdaptedModel, Batches
from train.evaluate.ranking import HeldOutRanking
from train.evaluate.ranking_summary import SlateScore
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import FEWEST_PROMPTS, Estimate, mean_over_prompts, paired_difference, read_estimates

LOOKS, CANNOT_TELL, HAS_NOT = "looks at the picture", "cannot tell", "has not looked"
"""Verdicts."""

NOTHING = 0.05
"""Difference in accuracy that is as good as none: where the whole interval is below it, the model has not looked."""

SAME = 1e-5
"""Rewards, in nats, that differ by less are the same: float32 has no more digits here."""

ROWS = "evaluation_looks.jsonl"
"""One line per held-out slate."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the picture is worth, for the slates of one country or for all.

    Attributes:
        name: The country; "" for all.
        right: Ranking accuracy by implicit reward beside the right picture.
        other: The same beside another one.
        gain: right - other, picture by picture.
        tau: Kendall's tau-b with each person's ranking beside the right picture.
        tau_other: The same beside another one.
        unmoved: All rewards are the same beside both.
        verdict: LOOKS, CANNOT_TELL or HAS_NOT.
    """

    name: str
    right: Estimate
    other: Estimate
    gain: Estimate
    tau: Estimate
    tau_other: Estimate
    unmoved: bool
    verdict: str


@dataclass(frozen=True)
class LookSummary:
    """Looks by group: all slates first, then a country each."""

    groups: tuple[Look, ...]

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {"groups": [asdict(group) for group in self.groups]}

    def judged(self, wanted: EvaluationSettings) -> Self:  # noqa: ARG002
        """Its verdicts hang on no setting."""
        return self

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """It has no plot."""

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:  # noqa: ARG002
        """It has no say: it tells what the ranking accuracy is worth."""
        return []

    def warnings(self, wanted: EvaluationSettings) -> list[str]:  # noqa: ARG002
        """The verdict over all, where it is not that the model looks."""
        everything = self.groups[0]
        if everything.verdict == LOOKS:
            return []
        told = f"beside another picture it ranks descriptions as well ({everything.gain.points})"
        if everything.verdict == HAS_NOT:
            return [f"it has not looked at the pictures: {told}; its ranking accuracy says nothing about seeing."]
        few = counted(everything.gain.prompts, "held-out picture")
        return [f"{few} cannot tell whether it looks at them: right - other is {everything.gain.points}."]

    def tables(self) -> list[Table]:
        """Both accuracies, their difference, and the verdict."""
        rows = [
            (
                group.name or "all",
                str(group.gain.prompts),
                str(group.right),
                str(group.other),
                group.gain.points,
                f"{group.tau.value:.2f} / {group.tau_other.value:.2f}",
                group.verdict,
            )
            for group in self.groups
        ]
        return [Table("whether it looks at the picture", COLUMNS, rows, HOW_TO_READ)]

    def plots(self) -> list[str]:
        """None."""
        return []


COLUMNS = ("country", "pictures", "accuracy, right picture", "another picture", "difference", "tau-b, both", "verdict")

HOW_TO_READ = (
    "Ranking accuracy of held-out slates by implicit reward, beside their own picture and beside another held-out one "
    "of the same country; in brackets 95 % bootstrap intervals over pictures, – where there are fewer than "
    f"{FEWEST_PROMPTS}. **{LOOKS}**: the interval of the difference is above 0. **{HAS_NOT}**: it is below "
    f"{100 * NOTHING:.0f} points, or no reward changes at all. Else there are too few pictures, or the difference is "
    "too small, to tell."
)
"""What stands under the table."""


def other_pictures(slates: Sequence[RankedSlate], size: Callable[[str], int], *, seed: int) -> dict[str, str]:
    """Another picture for each: none keeps its own, and none is used twice.

    In each country pictures of the next size follow one another in a circle, those of equal size in an order drawn by
    the seed. A country's only picture goes with those of other countries.

    Args:
        slates: Of pictures.
        size: Of a picture by its id; models see larger ones as more tokens.
        seed: Of the order.

    Returns:
        Nothing where there is one picture alone.
    """
    country = {slate.image: slate.country for slate in reversed(slates)}
    circles: dict[str, list[str]] = defaultdict(list)
    for picture in sorted(country):
        circles[country[picture]].append(picture)
    alone = [circles.pop(name)[0] for name, theirs in sorted(circles.items()) if len(theirs) == 1]
    if len(alone) == 1 and circles:
        max(circles.values(), key=len).extend(alone)
    elif len(alone) > 1:
        circles[""] = alone
    found: dict[str, str] = {}
    for theirs in circles.values():
        drawn = sorted(theirs, key=lambda one: (size(one), hashlib.sha256(f"{seed}:{one}".encode()).digest()))
        found |= dict(zip(drawn, (*drawn[1:], drawn[0]), strict=True))
    return found


class Looks:
    """Held-out slates of pictures, scored beside the right picture and beside another one."""

    def __init__(self, model: AdaptedModel, material: Material, key: str) -> None:
        """Lay both rankings out in batches; nothing is computed yet."""
        slates = [slate for slate in material.slates if slate.image]
        self.model, self.key, seed = model, key, model.recipe.run.seed
        others = other_pictures(slates, lambda picture: _pixels(model.run, picture), seed=seed)
        if not others:
            raise TrainError(
                "looks: one picture is held out, and another one is needed to look at; leave it out of --on."
            )
        self.right = HeldOutRanking(model, slates, material.adapter)
        self.other = HeldOutRanking(model, slates, material.adapter, beside=others)

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The slates.

        Raises:
            SettingsError: They are of no pictures.
        """
        rows = [slate.row() for slate in material.slates if slate.image]
        if not rows:
            raise SettingsError(
                "looks are measured on held-out pictures, and this run was trained on texts; leave looks out of --on."
            )
        return rows

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Lay both rankings out in batches."""
        return cls(model, material, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> LookSummary:
        """What `as_json` wrote."""
        return LookSummary(tuple(Look(**read_estimates(group)) for group in facts["groups"]))

    @property
    def line(self) -> str:
        """For the log."""
        return f"{counted(len(self.right.slates), 'slate')} are ranked beside the right picture and another one"

    @property
    def count(self) -> int:
        """How many batches: those beside the right picture are kept from the ranking, where it is measured too."""
        return self.right.count + self.other.count

    def score(self, kept: Batches) -> tuple[tuple[SlateScore, SlateScore], ...]:
        """Score what is not kept from an earlier process or from the ranking."""
        return tuple(zip(self.right.score(kept), self.other.score(kept), strict=True))

    def summary(self, scores: Sequence[tuple[SlateScore, SlateScore]]) -> LookSummary:
        """Estimates by country, and the verdicts."""
        pictures = [slate.image for slate in self.right.slates]
        return look_groups(scores, pictures, seed=self.model.recipe.run.seed)

    def write(self, folder: Path, scores: Sequence[tuple[SlateScore, SlateScore]], found: LookSummary) -> None:  # noqa: ARG002
        """A line per slate with both sides."""
        rows = zip(self.right.slates, scores, strict=True)
        write_rows(
            folder / ROWS,
            [
                {
                    "slate": slate.id,
                    "picture": slate.image,
                    "other": self.other.beside[slate.image],
                    "country": slate.country,
                    "votes": right.votes,
                    "right": right.right,
                    "right_beside_other": other.right,
                    "rewards": right.rewards,
                    "rewards_beside_other": other.rewards,
                }
                for slate, (right, other) in rows
            ],
        )


def look_groups(scores: Sequence[tuple[SlateScore, SlateScore]], pictures: Sequence[str], *, seed: int) -> LookSummary:
    """What the pictures are worth, over all slates and by country.

    Args:
        scores: Beside the right picture and beside another one.
        pictures: Of each slate; whole pictures are drawn.
        seed: Of the bootstrap.

    Raises:
        TrainError: On no slate anybody prefers a description to another.
    """
    rows = [(right, other, one) for (right, other), one in zip(scores, pictures, strict=True) if right.votes]
    if not rows:
        raise TrainError("looks: nobody told any two descriptions of a held-out picture apart.")
    names = ["", *sorted({right.country for right, _, _ in rows} - {""})]
    return LookSummary(tuple(_look(n, [row for row in rows if n in ("", row[0].country)], seed) for n in names))


def _look(name: str, rows: Sequence[tuple[SlateScore, SlateScore, str]], seed: int) -> Look:
    pictures = [picture for _, _, picture in rows]
    sides = [[right for right, _, _ in rows], [other for _, other, _ in rows]]
    votes, people = (np.array([getattr(one, key) for one in sides[0]], dtype=float) for key in ("votes", "people"))
    right, other = (np.array([one.right for one in side]) / votes for side in sides)
    taus = [np.array([one.tau for one in side]) for side in sides]
    tau, tau_other = (mean_over_prompts(one, pictures, people, seed=seed, within=(-1, 1)) for one in taus)
    gain = paired_difference(other, right, pictures, votes, seed=seed)
    unmoved = all(np.allclose(one.rewards, two.rewards, rtol=0, atol=SAME) for one, two, _ in rows)
    verdict = CANNOT_TELL
    if gain.prompts >= FEWEST_PROMPTS:
        verdict = LOOKS if gain.low > 0 else HAS_NOT if unmoved or gain.high < NOTHING else CANNOT_TELL
    return Look(
        name,
        mean_over_prompts(right, pictures, votes, seed=seed, within=(0, 1)),
        mean_over_prompts(other, pictures, votes, seed=seed, within=(0, 1)),
        gain,
        tau,
        tau_other,
        unmoved,
        verdict,
    )


def _pixels(run: Path, picture: str) -> int:
    from PIL import Image

    with Image.open(io.BytesIO(read_picture(run, picture))) as image:
        return image.width * image.height
