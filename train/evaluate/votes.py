"""Visitors' votes about a run: how often they found the adapted model's answer the better of the two, by country.

A visitor of the demo sees two answers to one prompt, one of the base and one of the adapted model, on sides drawn at
random and under no name, and says which is better, that they are equally good, or that both are bad. Nothing is
computed here: the model wrote its answers when the visitor asked.

The win rate is (wins + half of the ties) / (wins + ties + losses). In Davidson's model of comparisons with ties that is
what a model's strength is estimated from, it says what a visitor can expect, and a half means that neither is better.
"Both are bad" is no tie and is shown apart: it says that both failed, not that they are equally good, and as ties such
votes would pull a country that both models serve badly to a half, as if all was well there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from annotation.errors import SettingsError
from annotation.screen import counted
from train.evaluate.measure import Material
from train.evaluate.model import AdaptedModel, Batches
from train.evaluate.votes_summary import VoteGroup, VoteSummary, vote_groups
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import read_estimates

ROWS = "evaluation_votes.jsonl"
"""One line per vote, without the texts."""

COLUMNS = ("id", "country", "language", "prompt_id", "adapted", "choice")
"""What a line says of a vote: `adapted` is the side of the adapted model, `choice` what the visitor said."""


@dataclass
class Votes:
    """Votes about a run's adapter, counted.

    Attributes:
        rows: COLUMNS of every vote, by id.
        elsewhere: How many votes about the adapter are left out: their base was another version of the run's.
        wanted: What the gate asks for.
        key: Hash of all that decides the result.
    """

    rows: Sequence[tuple[str, ...]]
    elsewhere: int
    wanted: EvaluationSettings
    key: str = ""

    @classmethod
    def of(cls, material: Material, key: str = "") -> Self:
        """The votes about a run among those that were handed in."""
        about = [duel for duel in material.duels if duel.adapter == material.adapter]
        own = sorted((duel for duel in about if duel.base_version == material.base_version), key=lambda duel: duel.id)
        rows = [tuple(getattr(duel, name) for name in COLUMNS) for duel in own]
        return cls(rows, len(about) - len(own), material.recipe.evaluation, key)

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The votes.

        Raises:
            SettingsError: There is none about this run.
        """
        votes = cls.of(material)
        if not votes.rows:
            other = f" ({counted(votes.elsewhere, 'vote')} are about another version of its base)"
            raise SettingsError(
                f"there are no visitors' votes about {material.run.name} to count{other if votes.elsewhere else ''}: "
                f"`annot demo {material.run.name}` lets people vote and `annot votes pull` brings their votes; or "
                "leave votes out of --on."
            )
        return votes.decisive

    @property
    def decisive(self) -> list[Any]:
        """What decides the result, as JSON."""
        return [self.rows, self.elsewhere]

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Pick the votes about this run; the model is not asked for."""
        return cls.of(material, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> VoteSummary:
        """What `as_json` wrote."""
        return VoteSummary(tuple(VoteGroup(**read_estimates(g)) for g in facts["groups"]), facts["left_out"])

    @property
    def line(self) -> str:
        """For the log."""
        return f"{counted(len(self.rows), 'vote')} of visitors are counted"

    @property
    def count(self) -> int:
        """No batch is computed."""
        return 0

    def score(self, kept: Batches) -> Counter[tuple[str, str, str]]:  # noqa: ARG002
        """How often each choice was made, by country and side of the adapted model."""
        return Counter((country, adapted, choice) for _, country, _, _, adapted, choice in self.rows)

    def summary(self, scores: Counter[tuple[str, str, str]]) -> VoteSummary:
        """Estimates by country, and the verdicts of the gate."""
        return VoteSummary(vote_groups(scores, self.wanted), self.elsewhere)

    def write(self, folder: Path, scores: Counter[tuple[str, str, str]], found: VoteSummary) -> None:  # noqa: ARG002
        """A line per vote, and the plot."""
        write_rows(folder / ROWS, [dict(zip(COLUMNS, row, strict=True)) for row in self.rows])
        found.draw(folder, self.wanted)
