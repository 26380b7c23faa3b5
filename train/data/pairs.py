"""Pairs: a prompt, the chosen answer and the rejected one, and the rows of a file that hold them.

TRL's own losses (`dpo.objective = "trl"`) train on pairs; everything else trains on slates (slates.py), of which a
pair is the smallest. With `dpo.label_smoothing = "votes"` TRL gets one row per vote, votes against with the answers
swapped. The expected gradient of k votes for and m against is that of conservative DPO with label smoothing
m / (k + m), times k + m. Ties are no row: they say nothing about which answer is better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.reading.conversations import ASSISTANT, HUMAN, ROLES, SYSTEM
from annotation.types import content_id
from train.data.rows import country_of, label, read_rows, system_text, whole_number
from train.data.texts import Message, Text, as_answer, as_question, question_of, to_json

COLUMNS = ("prompt", "chosen", "rejected")
"""What a row must have, in TRL's words."""

MOST_VOTES = 1_000_000_000
"""More than that is no count of people."""

MOST = 1000
"""Of a row's weight or margin: beyond that one row would be all that is learnt."""


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
        votes_for: People for whom chosen is better; 1 where the source has no votes.
        votes_against: People for whom rejected is better.
        ties: People for whom both are equal.
        weight: Of this row in the loss, beside the others.
        margin: By how much the chosen answer's reward should be ahead, in reward units.
    """

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    country: str = ""
    language: str = ""
    topic: str = ""
    slate_id: str = ""
    votes_for: int = 1
    votes_against: int = 0
    ties: int = 0
    weight: float = 1.0
    margin: float = 0.0

    @property
    def prompt_key(self) -> str:
        """Hash of the question, without the system text: rows that share it never stand on both sides of the split."""
        return content_id(question_of(self.prompt))

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


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Pairs of a parquet or jsonl file, as `pair_from_row` reads each row.

    Raises:
        TrainError: The file cannot be read, or a row is not as described.
    """
    return pairs_of(read_rows(path), path.name)


def pairs_of(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[Pair, ...]:
    """Pairs of the rows of a file of that name."""
    return tuple(pair_from_row(row, f"{name}:{number}") for number, row in enumerate(rows, 1))


def one_row_per_vote(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Repeat each pair once per vote, with the answers swapped for votes against; ties are no row."""
    rows: list[Pair] = []
    for pair in pairs:
        rows += [pair] * pair.votes_for + [pair.swapped()] * pair.votes_against
    return tuple(rows)


def pair_from_row(row: Mapping[str, Any], place: str) -> Pair:
    """A pair as a row of a file has it.

    The columns prompt, chosen and rejected are plain texts or lists of messages (TRL's conversational form); plain
    texts beside a column `system` become messages, as an export means them. country, language, topic, slate_id,
    votes_for, votes_against, ties, weight and margin are used where they are there; other columns are left alone.

    Raises:
        TrainError: The row is not as described; the sentence begins with `place`.
    """
    prompt, chosen, rejected = (_text(row.get(column), f"{place}, {column}") for column in COLUMNS)
    if len({isinstance(part, str) for part in (prompt, chosen, rejected)}) > 1:
        raise TrainError(f"{place} mixes plain text and messages; write prompt, chosen and rejected in one form.")
    if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str) and "system" in row:
        # As in an export. Plain text has no place for a system text.
        prompt, chosen, rejected = as_question(prompt, system_text(row, place)), as_answer(chosen), as_answer(rejected)
    language, topic, slate_id = (label(row, name, place) for name in ("language", "topic", "slate_id"))
    country = country_of(row, place)
    votes = (_votes(row, name, usual, place) for name, usual in (("votes_for", 1), ("votes_against", 0), ("ties", 0)))
    numbers = (_number(row, name, usual, place) for name, usual in (("weight", 1.0), ("margin", 0.0)))
    for column, answer in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(answer, str) and answer[-1]["role"] != "assistant":
            raise TrainError(f"{place}, {column} does not end with a message of the assistant; mend that row.")
    return Pair(place, prompt, chosen, rejected, country, language, topic, slate_id, *votes, *numbers)


def _votes(row: Mapping[str, Any], name: str, usual: int, place: str) -> int:
    votes = row.get(name)
    if votes is None:
        return usual
    whole = whole_number(votes)
    if whole is None or not 0 <= whole <= MOST_VOTES:
        raise TrainError(f"{place}, {name} = {short(votes)}: votes are whole numbers from 0 on; mend that row.")
    return whole


def _number(row: Mapping[str, Any], name: str, usual: float, place: str) -> float:
    number = row.get(name)
    if number is None:
        return usual
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= MOST:
        raise TrainError(f"{place}, {name} = {short(number)}: it must be a number from 0 to {MOST}; mend that row.")
    return float(number)


def _text(value: Any, place: str) -> Text:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise TrainError(
            f"{place} is neither text nor a list of messages; the file needs the columns prompt, chosen and rejected, "
            'each a text or [{"role": ..., "content": ...}].'
        )
    messages: list[Message] = []
    for message in value:
        said = message if isinstance(message, Mapping) else {}
        role, content = said.get("role") or said.get("from"), said.get("content", said.get("value"))
        if not isinstance(role, str) or not isinstance(content, str):
            raise TrainError(f"{place} holds a message without role and content; mend that row.")
        known = ROLES.get(role.casefold(), role.casefold())
        if known not in (SYSTEM, HUMAN, ASSISTANT):
            raise TrainError(f"{place}: the role {short(role)} is none of system, user and assistant; mend that row.")
        messages.append({"role": known, "content": content})
    return tuple(messages)
