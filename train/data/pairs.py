"""Pairs: a prompt, the chosen answer and the rejected one, and the files of a run that hold them.

TRL's own losses (`dpo.objective = "trl"`) train on pairs; everything else trains on slates (slates.py), of which a
pair is the smallest. With `dpo.label_smoothing = "votes"` TRL gets one row per vote, votes against with the answers
swapped. The expected gradient of k votes for and m against is that of conservative DPO with label smoothing
m / (k + m), times k + m. Ties are no row: they say nothing about which answer is better.

TRL's rows have no weight: where votes are no whole numbers, because somebody's weigh more or less than 1, what is left
of a vote is carried to the next pair, so that over all pairs the votes on either side come to as many rows, to within
half a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.types import content_id
from train.data.rows import read_rows
from train.data.texts import Text, from_json, question_of, to_json


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference between two answers to one prompt.

    Attributes:
        id: The row's place in its source: "slate:chosen:rejected:country" or "file:row".
        prompt: What both answer; messages end with the user's.
        chosen: The better answer; messages: the assistant's.
        rejected: The other one.
        country: Of the people who voted, or "".
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        slate_id: Where both stood, or "".
        votes_for: Votes for which chosen is better, each by its weight; 1 where the source has no votes.
        votes_against: Votes for which rejected is better.
        ties: Votes for which both are equal.
        weight: Of this row in the loss, beside the others.
        margin: By how much the chosen answer's reward should be ahead, in reward units.
        image: Id of the picture that the prompt is about, or "".
    """

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    country: str = ""
    language: str = ""
    topic: str = ""
    slate_id: str = ""
    votes_for: float = 1
    votes_against: float = 0
    ties: float = 0
    weight: float = 1.0
    margin: float = 0.0
    image: str = ""

    @property
    def prompt_key(self) -> str:
        """Hash of the question, without the system text: rows that share it never stand on both sides of the split."""
        return prompt_key(self.prompt, self.image)

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""
        return self.prompt, self.chosen, self.rejected

    def row(self) -> dict[str, Any]:
        """As a line of train.jsonl: TRL's prompt/chosen/rejected and what else is known."""
        return {name: to_json(getattr(self, name)) for name in self.__slots__}

    def swapped(self) -> Pair:
        """The same pair as seen by those who voted against it."""
        return replace(
            self,
            id=f"{self.id}:against",
            chosen=self.rejected,
            rejected=self.chosen,
            votes_for=self.votes_against,
            votes_against=self.votes_for,
        )


def prompt_key(prompt: Text, image: str) -> str:
    """Hash of a question without the system text, and of the picture that it is about."""
    return content_id(question_of(prompt), *([image] if image else []))


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Pairs of a run's train.jsonl or held_out.jsonl.

    Raises:
        TrainError: The file cannot be read, or a row is no pair.
    """
    pairs = []
    for number, row in enumerate(read_rows(path), 1):
        facts = {name: value for name, value in row.items() if name in Pair.__slots__ and value is not None}
        try:
            texts = {name: from_json(row[name]) for name in ("prompt", "chosen", "rejected")}
            pairs.append(Pair(**{"id": f"{path.name}:{number}", **facts, **texts}))
        except (KeyError, TypeError, ValueError):
            raise TrainError(f"{path}, line {number} is no pair as a run writes it; train it again.") from None
    return tuple(pairs)


def one_row_per_vote(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Repeat each pair once per vote, with the answers swapped for votes against; ties are no row.

    Parts of votes are carried on, those for and those against apart: a row is due when half a vote or more is.
    """
    rows: list[Pair] = []
    due = [0.0, 0.0]
    for pair in pairs:
        for side, (row, votes) in enumerate(((pair, pair.votes_for), (pair.swapped(), pair.votes_against))):
            owed = round(due[side] + votes, 9)
            times = math.floor(owed + 0.5)
            rows += [row] * times
            due[side] = owed - times
    return tuple(rows)
