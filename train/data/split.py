"""The split by prompt: what is trained on, and what is held out to measure on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from annotation.errors import TrainError
from train.data.texts import Text


class Example(Protocol):
    """An example to train on or to hold out: a pair, or a slate."""

    @property
    def prompt_key(self) -> str:
        """Hash of the question: examples that share it stay on one side of the split."""

    @property
    def country(self) -> str:
        """Of the people who judged, or ""."""

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""


AnyExample = TypeVar("AnyExample", bound=Example)


@dataclass(frozen=True)
class Split(Generic[AnyExample]):
    """Both sides of a split; no prompt is on both."""

    train: tuple[AnyExample, ...]
    held_out: tuple[AnyExample, ...]


def split_by_prompt(rows: Sequence[AnyExample], share: float, seed: int) -> Split[AnyExample]:
    """Keep a share of the prompts out of training, spread evenly over the countries.

    Prompts are put in order of (countries, hash of seed and prompt) and every 1/share-th is held out: systematic
    sampling, so each country gives its share to within one prompt, and the same prompts are held out on every machine.

    Args:
        rows: All examples: slates, or pairs.
        share: Share of the prompts, in (0, 0.5]; at least one prompt is on either side.
        seed: Another seed holds out other prompts.

    Raises:
        TrainError: There are fewer than two prompts.
    """
    countries: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        countries[row.prompt_key].add(row.country)
    if len(countries) < 2:
        raise TrainError(
            f"there is only {len(countries)} prompt to train on: nothing can be held out to measure on; collect more."
        )

    def place(key: str) -> tuple[list[str], bytes]:
        return sorted(countries[key]), hashlib.sha256(f"{seed}:{key}".encode()).digest()

    ordered = sorted(countries, key=place)
    due = [int(i * share + 0.5) for i in range(len(ordered) + 1)]  # held out of the first i prompts, to the nearest
    held = {key for i, key in enumerate(ordered) if due[i + 1] > due[i]}
    held = held or {ordered[-1]}
    return Split(
        tuple(row for row in rows if row.prompt_key not in held),
        tuple(row for row in rows if row.prompt_key in held),
    )


def all_texts(rows: Iterable[Example]) -> list[str]:
    """Every text of the examples once, in their order."""
    seen: dict[str, None] = {}
    for row in rows:
        for part in row.texts:
            seen.update(dict.fromkeys([part] if isinstance(part, str) else [m["content"] for m in part]))
    return list(seen)
