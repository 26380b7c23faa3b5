"""Counts of a preflight: what a person reads of the slates of a run before it starts, and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.types import Dropped
from train.data.length import LengthBias

OFTEN = 3
"""Prompts under which the same text stands before it counts as a stock answer: a banner of an error, an excuse."""

ENOUGH = 20
"""Slates from which a bias of length is worth a warning."""

DROPPED = {"slate": "dropped", "answer": "dropped_answers", "ranking": "dropped_rankings"}
"""What may be dropped -> the attribute that lists it."""


@dataclass(frozen=True)
class PictureTokens:
    """Tokens of the pictures of a run.

    Attributes:
        pictures: Different ones.
        least: Fewest tokens of a picture in a prompt.
        mean: Of all prompts.
        most: The most.
        share: Of the tokens of all answers with their prompts, in [0, 1].
    """

    pictures: int
    least: int
    mean: float
    most: int
    share: float

    def line(self) -> str:
        """One line for a person."""
        each = f"{self.least} to {self.most} tokens of its prompt (mean {self.mean:.0f})"
        each = each if self.least < self.most else f"{self.most} tokens of its prompt"
        return f"{self.pictures}, each {each}, {self.share:.0%} of all tokens"


@dataclass(frozen=True)
class Preflight:
    """Counts of a preflight. A pair from a file is a slate of two.

    Attributes:
        source: Where the slates are from.
        form: "messages, through the chat template" or "plain text, as it stands".
        read: Slates of the source.
        kept: Slates that can be trained on.
        prompts: Different prompts among them.
        countries: Slates per country among them ("" where none is named).
        answers: Of the slates kept, rewrites included.
        rankings: Of those slates, one per person, each by the weight of its author's votes; as `ties` and `tied_share`.
        comparisons: Pairs that enough of them agree on.
        ties: Pairs of answers that a person put on one level.
        tied_share: Of all pairs of answers that people compared.
        dropped: Slates left out, with the reason.
        dropped_answers: Single answers ("slate/C") taken off slates, and rewrites that are not used.
        dropped_rankings: Rankings that are there twice and count once.
        truncated: Answers that are cut at max_length (only with on_overflow = "truncate").
        merges: Slates where the prompt's last tokens change once an answer follows.
        marked: Slates whose plain texts hold control marks of the base, which become its control tokens.
        duplicates: Slates of which an earlier one says the same word for word, kept: more people said so.
        contradictions: Comparisons whose opposite is there too, kept: countries may disagree.
        stock: Answers that stand under OFTEN prompts and more, kept -> under how many; the most frequent first.
        length: How far length goes with being chosen.
        ends_missing: Answers that do not end with an end-of-sequence token.
        longest: Tokens of the longest sequence that was read, prompt and answer.
        max_length: The limit.
        tokens: Of all slates kept, each answer with its prompt, after truncation.
        pictures: Of the pictures among them; None for texts.
    """

    source: str
    form: str
    read: int
    kept: int
    prompts: int
    countries: dict[str, int]
    answers: int
    rankings: float
    comparisons: int
    ties: float
    tied_share: float
    dropped: tuple[Dropped, ...]
    dropped_answers: tuple[Dropped, ...]
    dropped_rankings: tuple[Dropped, ...]
    truncated: int
    merges: int
    marked: int
    duplicates: int
    contradictions: int
    stock: dict[str, int]
    length: LengthBias
    ends_missing: int
    longest: int
    max_length: int
    tokens: int
    pictures: PictureTokens | None = None

    def lines(self) -> list[tuple[str, str]]:
        """Label and value of every count, in the order in which a person wants to know."""
        weighed = "" if isinstance(self.rankings, int) else " by the weight of their authors' votes"
        countries = ", ".join(f"{name or 'none named'} {count}" for name, count in sorted(self.countries.items()))
        return [
            ("slates read", f"{self.read} from {self.source} ({self.form})"),
            ("slates dropped", _counted(self.dropped)),
            ("answers dropped", _counted(self.dropped_answers)),
            ("rankings dropped", _counted(self.dropped_rankings)),
            ("slates kept", f"{self.kept} over {self.prompts} prompts, {self.answers} answers"),
            ("countries", countries or "-"),
            ("judgements", f"{self.rankings} rankings{weighed}, {self.comparisons} pairs that are clear"),
            ("ties", f"{self.ties} ({self.tied_share:.1%} of what people compared)"),
            ("truncated", f"{self.truncated} answers (limit {self.max_length} tokens, longest {self.longest})"),
            ("answers without EOS", f"{self.ends_missing} of {self.answers}"),
            ("boundary merges", str(self.merges)),
            ("duplicate slates", f"{self.duplicates} (kept)"),
            ("contradicted pairs", f"{self.contradictions} (kept)"),
            ("stock answers", f"{len(self.stock)} (kept)"),
            (
                "length and choice",
                f"the longer answer wins {self.length.longer:.1%}; Kendall's tau-b with rank "
                f"{_signed(self.length.tau)}, r with being chosen {_signed(self.length.r)}",
            ),
            ("tokens", str(self.tokens)),
            *([("pictures", self.pictures.line())] if self.pictures else []),
        ]

    def warnings(self) -> list[str]:
        """Sentences that a person should read before trusting the run."""
        found = []
        if self.truncated:
            found.append(
                f"{self.truncated} answers are cut at {self.max_length} tokens and lose their end-of-sequence token: "
                "the model may learn not to stop."
            )
        if abs(self.length.longer - 0.5) > 0.15 and self.kept >= ENOUGH:
            longer = "longer" if self.length.longer > 0.5 else "shorter"
            found.append(
                f"the chosen answer is the {longer} one in {max(self.length.longer, 1 - self.length.longer):.0%} of "
                "comparisons: the model may learn length instead of what people value."
            )
        for text, prompts in list(self.stock.items())[:OFTEN]:
            shown = f"{text[:60]}..." if len(text) > 60 else text
            found.append(f'"{shown}" is an answer to {prompts} prompts: if it is no answer, take it out of the source.')
        if self.marked:
            found.append(
                f"in {self.marked} slates plain texts hold control marks of the base: they are taken as they stand and "
                "become its control tokens; take them out of the source if they are words."
            )
        if self.merges:
            found.append(f"in {self.merges} slates the prompt's last tokens change once an answer follows.")
        return found

    def as_json(self) -> dict[str, Any]:
        """As in preflight.json: what was dropped is counted per reason."""
        dropped = {name: dict(Counter(d.reason for d in getattr(self, name))) for name in DROPPED.values()}
        return {**asdict(self), **dropped}

    def dropped_rows(self) -> list[dict[str, str]]:
        """As lines of dropped.jsonl."""
        return [{"what": kind, **asdict(d)} for kind, name in DROPPED.items() for d in getattr(self, name)]


def reasons(dropped: Iterable[Dropped]) -> str:
    """Reasons for which something was dropped, each with its count; the most frequent first."""
    return "; ".join(f"{reason} ({count})" for reason, count in Counter(d.reason for d in dropped).most_common())


def _counted(dropped: Sequence[Dropped]) -> str:
    return f"{len(dropped)}: {reasons(dropped)}" if dropped else "0"


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{number:+.2f}"
