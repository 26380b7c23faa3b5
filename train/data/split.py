"""The split by prompt: what is trained on, and what is held out to measure on."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

from annotation.config import PromptSettings
from annotation.errors import TrainError
from annotation.screen import Progress, silent
from train.data.texts import Text, question_of


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


def groups_of(
    rows: Iterable[AnyExample], named: Collection[tuple[str, str]] = (), progress: Progress = silent
) -> dict[str, str]:
    """Group prompts that must stand on one side of the split: near duplicates would tell what is held out.

    Args:
        rows: All examples.
        named: (prompt key, group) where a source says itself what belongs together: then nothing is compared.
        progress: Gets how many prompts were compared.

    Returns:
        Prompt key -> key of its group, the smallest of its prompts': the same on every machine, in any order.
    """
    words = {row.prompt_key: question_of(row.texts[0]) for row in rows}
    keys = sorted(words)
    if named:
        first: dict[str, str] = {}  # a prompt in two groups makes one of both
        links = ((key, first.setdefault(group, key)) for key, group in sorted(named) if key in words)
        return _joined(keys, links)
    from annotation.prompts.duplicates import clusters

    threshold = PromptSettings().near_duplicate
    first_of_group = clusters([words[key] for key in keys], threshold, progress)
    return {key: keys[place] for key, place in zip(keys, first_of_group, strict=True)}


def _joined(keys: Sequence[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Keys that are linked, directly or through others, under the smallest of them."""
    root = dict(zip(keys, keys, strict=True))

    def find(key: str) -> str:
        while root[key] != key:
            root[key] = key = root[root[key]]
        return key

    for one, other in links:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    return {key: find(key) for key in keys}


def split_by_prompt(
    rows: Sequence[AnyExample], share: float, seed: int, groups: Mapping[str, str] | None = None
) -> Split[AnyExample]:
    """Keep a share of the prompts out of training, spread evenly over the countries.

    Of each country's prompts, or groups of them, those with the smallest hash of seed and prompt are held out
    (bottom-k sampling), so each country gives its share to within one, and the same prompts are held out on every
    machine. Where prompts are added, as in a later round, nearly all that were held out still are, and runs can be
    compared on them. A group that is more than half of what is to be held out is trained on, unless there are no
    others.

    Args:
        rows: All examples: slates, or pairs.
        share: Share of the prompts, in (0, 0.5]; at least one prompt is on either side.
        seed: Another seed holds out other prompts.
        groups: Prompt key -> key of its group, for prompts that stay together; None: each stands alone.

    Raises:
        TrainError: There are fewer than two prompts, or groups.
    """
    own = {row.prompt_key: row.prompt_key for row in rows}
    group = {key: groups[key] for key in own} if groups else own
    countries: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        countries[group[row.prompt_key]].add(row.country)
    if len(countries) < 2:
        raise TrainError(
            f"there is only {len(countries)} prompt to train on: nothing can be held out to measure on; collect more."
        )

    def place(key: str) -> tuple[list[str], bytes]:
        return sorted(countries[key]), hashlib.sha256(f"{seed}:{key}".encode()).digest()

    sizes = Counter(group.values())
    least = max(min(sizes.values()), share * len(own) / 2)
    ordered = sorted((key for key in countries if sizes[key] <= max(least, 1)), key=place)
    held, before = set[str](), 0
    for _, keys in groupby(ordered, key=lambda key: sorted(countries[key])):
        mine = list(keys)
        after = before + len(mine)
        due = int(after * share + 0.5) - int(before * share + 0.5)  # so that all of them come to the nearest
        held.update(mine[:due])
        before = after
    held = held or {ordered[-1]}
    return Split(
        tuple(row for row in rows if group[row.prompt_key] not in held),
        tuple(row for row in rows if group[row.prompt_key] in held),
    )


def all_texts(rows: Iterable[Example]) -> list[str]:
    """Every text of the examples once, in their order."""
    seen: dict[str, None] = {}
    for row in rows:
        for part in row.texts:
            seen.update(dict.fromkeys([part] if isinstance(part, str) else [m["content"] for m in part]))
    return list(seen)
