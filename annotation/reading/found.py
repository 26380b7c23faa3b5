"""Examples as a source holds them: a prompt, its answers, and what is said of them; nothing is cleaned yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from annotation.reading.conversations import Turn, prompt_of, system_of
from annotation.types import Dropped


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer as a file holds it.

    Attributes:
        text: As written; "" where it is blank.
        stood: Where it stood: "chosen", "rejected", "output", "rank 0".
        model: Who wrote it, by the file; "" where it does not say.
        voice: The persona, or "".
        id: The file's name for it, or "".
    """

    text: str
    stood: str
    model: str = ""
    voice: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class FoundJudgement:
    """What a file says of the answers of one row: one person's judgement, or one that names nobody.

    Attributes:
        tiers: Places of answers (0 is the first), best tier first; equal ones share a tier. () where nothing is ranked.
        none_acceptable: All are bad.
        annotator: User name as written, or "".
        country: Of the person, as written; "" where the file does not say: that of the prompt.
        rewrite: An answer of their own, or "".
        weight: Of the person's vote.
    """

    tiers: tuple[tuple[int, ...], ...]
    none_acceptable: bool = False
    annotator: str = ""
    country: str = ""
    rewrite: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its answers and judgements, as written.

    Attributes:
        place: "file:row", masked: where a person finds it.
        turns: What was said before the answers: a system text, then a conversation that ends with a question.
        answers: What could be answered to it, in the order of the file.
        judgements: What the file says of those that are not blank; of fewer than two nothing is compared.
        label: Its id in the source, or "".
        accounts: User names that the row's personal columns hold: they are masked in its texts.
        cells: The row, for whoever needs more columns of it (votes, weights).
    """

    place: str
    turns: tuple[Turn, ...]
    answers: tuple[FoundAnswer, ...] = ()
    judgements: tuple[FoundJudgement, ...] = ()
    label: str = ""
    country: str = ""
    language: str = ""
    topic: str = ""
    licence: str = ""
    accounts: tuple[str, ...] = ()
    cells: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The question; several turns are written out with "Human:" and "Assistant:"."""
        return prompt_of(self.turns)

    @property
    def system(self) -> str:
        """The system text, or ""."""
        return system_of(self.turns)


@dataclass(frozen=True, slots=True)
class Examples:
    """Everything that a source holds.

    Attributes:
        name: File name without its folder, or the dataset's name.
        rows: Rows that it holds.
        kept: In the order of the source.
        dropped: Rows that give no example; id is "file:row". Judgements that were not understood; "file:row judgement".
        notices: What a person should know about how it was read: columns and parts that were not.
        columns: Those that it has.
    """

    name: str
    rows: int
    kept: tuple[Example, ...]
    dropped: tuple[Dropped, ...] = ()
    notices: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
