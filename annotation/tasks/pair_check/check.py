"""What one person said of a sentence and its controls, read from the page strictly and written back without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotation.tasks.base import Unfit, chosen
from annotation.tasks.page import as_written
from annotation.tasks.pair_check.item import pairs_of
from annotation.types import Item

LETTERS = "ABCDE"
"""Names of the control sentences on the page, in their order."""

RIGHT, WORDING, UNFIT, SKIP, STOP = "right", "wording", "unfit", "skip", "stop"
VERDICTS = (RIGHT, WORDING, UNFIT, SKIP, STOP)


@dataclass(frozen=True, slots=True)
class Check:
    """What one person said of a sentence; of those who do not keep it, the verdict alone.

    Attributes:
        verdict: One of VERDICTS.
        correction: The words after the group as they should be; "" as they stand.
        controls: Places of the control sentences that are just as much a stereotype, in order.
    """

    verdict: str
    correction: str = ""
    controls: tuple[int, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether the person keeps the sentence."""
        return self.verdict in (RIGHT, WORDING)

    @property
    def judges(self) -> bool:
        """Whether the person said anything of the sentence: who skips it does not."""
        return self.keeps or self.verdict == UNFIT


def read_check(item: Item, values: Mapping[str, Any]) -> Check:
    """A response's values as a check.

    Raises:
        Unfit: They contradict each other.
    """
    verdict = chosen(values, "verdict", VERDICTS, "verdict")
    if verdict not in (RIGHT, WORDING):
        return Check(verdict)
    pairs = pairs_of(item)
    # The page has five letters, however many controls there are: one too many says nothing.
    letters = set(values.get("controls") or ()) & set(LETTERS[: len(pairs)])
    correction = " ".join(as_written(values.get("correction") or "").split())
    # Some write the whole sentence.
    correction = correction.removeprefix(pairs[0].before).strip().removesuffix(pairs[0].after).strip()
    if correction == pairs[0].attribute:
        correction = ""
    if verdict == RIGHT and correction:
        raise Unfit("right as it stands, and a correction")
    if verdict == WORDING and not correction:
        raise Unfit("another wording, and no correction")
    return Check(verdict, correction, tuple(sorted(map(LETTERS.index, letters))))


def write_check(check: Check) -> dict[str, Any]:
    """The inverse of `read_check`."""
    letters = [LETTERS[place] for place in check.controls]
    values = {"verdict": check.verdict, "correction": check.correction, "controls": letters}
    return {name: {"value": value} for name, value in values.items() if value}
