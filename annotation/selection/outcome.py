"""Outcomes of a selection: per candidate, per prompt, and of the whole, with the thresholds that decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.config import SelectSettings
from annotation.tasks.ranking.slates import RANKING
from annotation.types import Dropped, Slate

TOO_SHORT = "too short"
BROKEN = "broken text"
REFUSED = "refused"
WRONG_LANGUAGE = "wrong language"
OFF_TOPIC = "off topic"
NEAR_DUPLICATE = "near duplicate"
GENERIC = "fits any picture"
TOO_FEW = "too few answers"
"""Reasons for which a candidate, and the last: a prompt, has no place on a slate."""


PICTURES = "pictures"
"""Ends the names of groups whose slates are of pictures."""

FEWEST = 8
"""Pictures in a language from which it is told which descriptions would fit any picture."""


@dataclass(frozen=True, slots=True)
class CandidateOutcome:
    """Outcome of one candidate: on the slate, in the cluster of one on the slate, or dropped.

    Attributes:
        cluster: Id of the candidate on the slate that stands for it (its own where it is on the slate), or "".
        medoid: It is on the slate, or will be where the prompt waits for its turn.
        dropped: The reason for which it was left out before clustering, or "".
        because_of: The candidate that it repeats, or the number that decided.
        centroid_similarity: Cosine with the centroid of the prompt's other answers; None where none is left, or where
            the text alone decided.
        distance: 1 - cosine to `cluster`.
    """

    prompt_id: str
    candidate_id: str
    cluster: str = ""
    medoid: bool = False
    dropped: str = ""
    because_of: str = ""
    centroid_similarity: float | None = None
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class PromptOutcome:
    """Outcome of one prompt: its slate, or the reason for having none.

    Attributes:
        usable: Answers that were not dropped.
        position: Place in the order of annotation, None without a slate.
        task: The one in which its slate is ranked, or would be.
    """

    prompt_id: str
    country: str
    topic: str
    answers: int
    usable: int
    slate_id: str = ""
    position: int | None = None
    dropped: str = ""
    task: str = RANKING


@dataclass(frozen=True, slots=True)
class Selection:
    """Result of `annot select`.

    Attributes:
        slates: New in this run, in the order of annotation; in a dry run, those that would be.
        standing: All slates of the round, these included.
        waiting: Prompts that could have a slate and that `limit` left for another run.
        table: Outcome of every candidate: a pyarrow table with the fields of `CandidateOutcome`.
        prompts: Every prompt that has candidates.
        thresholds: [select] of annot.toml.
        encoder: Identity of the model.
        swapped: Prompts with too many subsets to try all (diversity.EXACT_SUBSETS): their medoids are the best under
            swaps.
        long: Answers that are longer than the encoder reads at once: they are read in parts, to their end.
        targets: Slates owed by group, as "MX" or "MX · comida"; of pictures as "MX · pictures".
        few_pictures: Language -> pictures, where there are too few to tell which descriptions would fit any picture.
        round: In which people are asked.
    """

    slates: tuple[Slate, ...]
    standing: int
    waiting: int
    table: Any
    prompts: tuple[PromptOutcome, ...]
    thresholds: SelectSettings
    encoder: str
    swapped: int = 0
    long: int = 0
    targets: Mapping[str, int] = field(default_factory=dict)
    few_pictures: Mapping[str, int] = field(default_factory=dict)
    round: int = 1

    @property
    def candidates(self) -> tuple[CandidateOutcome, ...]:
        """Outcome of every candidate, by prompt and id."""
        return tuple(CandidateOutcome(**row) for row in self.table.to_pylist())

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Candidates left out of their prompt's slate, then prompts without one, each with its reason."""
        return (
            *(Dropped(c.candidate_id, c.dropped, c.because_of) for c in self.candidates if c.dropped),
            *(
                Dropped(p.prompt_id, p.dropped, f"{p.usable} of {self.thresholds.slate}")
                for p in self.prompts
                if p.dropped
            ),
        )
