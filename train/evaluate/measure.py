"""The seam for measures: what decides one, what it computes of the loaded model batch by batch, how it sums up.

Another measure is a module with a class of this kind and a line in `evaluation.MEASURES`; the model is loaded once for
all of them, and what they computed is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from annotation.files import write_whole
from annotation.stereotypes.stories import JudgedStory
from annotation.tasks.duel.votes import Duel
from annotation.types import ExamQuestion, MinimalPair
from train.data.slates import RankedSlate
from train.evaluate.gate import Gate
from train.evaluate.model import AdaptedModel, Batches
from train.settings import EvaluationSettings, Recipe
from train.statistics import Estimate

Scores = TypeVar("Scores")

MARKS = {"passed": "#2a7f4f", "failed": "#c0392b", "": "#4a6fa5"}
"""Verdict -> colour of its mark in a plot; GREY for every other one."""

GREY = "#888888"


@dataclass(frozen=True)
class Material:
    """Contents of a run, and what it is measured on.

    Attributes:
        run: The run's folder.
        recipe: Its settings, those of the evaluation perhaps others than in training.
        adapter: SHA-256 of the adapter's weights.
        base_version: Of the base.
        slates: Held out of training.
        questions: Checked exam questions of the project.
        seen: Ids of those that stand in the run's training texts.
        data: Task of the harness -> local file with its rows.
        duels: Visitors' votes of the project; those about other runs do not count.
        pairs: Checked minimal pairs of the project.
        stories: What people said of texts of this run's models.
    """

    run: Path
    recipe: Recipe
    adapter: str
    base_version: str
    slates: Sequence[RankedSlate]
    questions: Sequence[ExamQuestion] = ()
    seen: Collection[str] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    duels: Sequence[Duel] = ()
    pairs: Sequence[MinimalPair] = ()
    stories: Sequence[JudgedStory] = ()


class Table(NamedTuple):
    """A table for people.

    Attributes:
        title: What it shows.
        columns: Names of its columns.
        rows: Its cells.
        note: How to read it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> list[str]:
        """As lines of Markdown, with the note behind it."""
        return [*markdown_table(self.columns, self.rows), "", *([self.note, ""] if self.note else [])]


class Summary(Protocol):
    """Estimates of a measure by group, in every form in which they are shown; written to JSON and read back."""

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""

    def judged(self, wanted: EvaluationSettings) -> Self:
        """The same numbers with the verdicts that these settings ask for."""

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """Draw the plots that show verdicts anew."""

    def gates(self, wanted: EvaluationSettings) -> Sequence[Gate]:
        """What it says of the release of the run; nothing where it has no say."""

    def warnings(self, wanted: EvaluationSettings) -> list[str]:
        """Sentences that a person should read before trusting the run."""

    def tables(self) -> list[Table]:
        """The numbers."""

    def plots(self) -> list[str]:
        """Names of its plots in the run's folder."""


class Measure(Protocol[Scores]):
    """A measure of a run's model: laid out in batches, computed, summed up."""

    key: str

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:
        """Content that decides its result beside model and settings, as JSON."""

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:
        """Lay out its items in batches; nothing is computed yet."""

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Summary:
        """A summary that `as_json` wrote."""

    @property
    def line(self) -> str:
        """For the log; "" where there is nothing to do."""

    @property
    def count(self) -> int:
        """How many batches."""

    def score(self, kept: Batches) -> Scores:
        """Score every item, with batches that are not kept from an earlier process."""

    def summary(self, scores: Scores) -> Summary:
        """Sum up by group."""

    def write(self, folder: Path, scores: Scores, found: Any) -> None:
        """Write a row per item and the plots of the summary into the run's folder."""


def save_figure(path: Path, figure: Any) -> Path:
    """Write a figure of matplotlib's in the format that its suffix names, whole or not at all."""
    form = path.suffix.removeprefix(".")
    undated = {"CreationDate": None} if form == "pdf" else {}
    write_whole(path, lambda beside: figure.savefig(beside, dpi=120, format=form, metadata=undated))
    return path


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def nats(kl: Estimate) -> str:
    """A divergence with its interval."""
    return f"{kl.value:.4f} {kl.interval('.4f')}"
