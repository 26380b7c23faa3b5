"""Sentences that a project measures models with, looked for in the slates of a run before it trains on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from annotation.ledger import Ledger
from annotation.project import Project
from annotation.tasks.pair_check.item import NAME as PAIRS
from annotation.tasks.pair_check.item import pairs_of
from annotation.tasks.stereotype.item import NAME as STEREOTYPES
from annotation.tasks.stereotype.item import association_of
from annotation.tasks.story.task import NAME as STORIES
from annotation.text.locales import fold
from train.data.slates import RankedSlate
from train.data.texts import words_of

LONGEST = 400
"""Characters; a text that is longer, and twice as long as each of the sentences, is none of them."""

MEASURED_BY = "a sentence by which this project measures what models say of people"
SEEN = "and a model that has seen it can no longer be measured"
"""Parts of a sentence that refuses a source."""


def sentences_beside(run: Path) -> set[str]:
    """The sentences of the project that a run's folder stands in (PROJECT/runs/NAME); none where there is no ledger.

    Raises:
        SettingsError: There is a ledger, and no annot.toml, or a wrong one.
        ProjectError: The ledger is damaged.
    """
    home = run.absolute().parent.parent
    return sentences_of(Project.open(home).ledger) if (home / "ledger.sqlite").exists() else set()


def sentences_of(ledger: Ledger) -> set[str]:
    """Stereotypes that people are asked about, sentences of minimal pairs, and stories that models wrote; folded."""
    pairs = [pair for item in ledger.items(PAIRS) for pair in pairs_of(item)]
    said = [association_of(item).text for item in ledger.items(STEREOTYPES)]
    said += [sentence for pair in pairs for sentence in (pair.sentence, pair.control_sentence)]
    said += [item.content["text"] for item in ledger.items(STORIES)]
    return set(map(fold, said)) - {""}


def slates_that_hold(sentences: Collection[str], slates: Iterable[RankedSlate]) -> list[RankedSlate]:
    """Slates of which a turn, an answer, or the last turn and an answer together are one of these sentences.

    A longer text with such a sentence in it is none: people write so.

    Args:
        sentences: Folded.
        slates: To train on.
    """
    longest = max([LONGEST, *(2 * len(sentence) for sentence in sentences)])

    def folded(text: str) -> str:
        return fold(text) if len(text) <= longest else ""

    def holds(slate: RankedSlate) -> bool:
        prompt = [slate.prompt] if isinstance(slate.prompt, str) else [turn["content"] for turn in slate.prompt]
        turns, answers = list(map(folded, prompt)), [folded(words_of(answer)) for answer in slate.answers]
        # A sentence may also be begun by the prompt and ended by an answer.
        return any(text in sentences for text in (*turns, *answers, *(f"{turns[-1]} {answer}" for answer in answers)))

    return list(filter(holds, slates)) if sentences else []
