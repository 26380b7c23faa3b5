"""What people's checks of a sentence come to: its pairs are checked, rejected, disputed, or wait for more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from annotation.task_tables import PairCheckSettings
from annotation.tasks.pair_check.check import Check
from annotation.tasks.pair_check.item import pairs_of
from annotation.types import Answer, Item, MinimalPair

CHECKED, REJECTED, DISPUTED, WAITING = "checked", "rejected", "disputed", "waiting"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sentence.

    Attributes:
        status: One of these four.
        pairs: With the controls that are left and the words that people agreed on; empty where it is not checked.
        answers: People who said something of it.
        agreeing: Those of them who said what decided; 0 where nothing is decided.
        corrected: Somebody typed the words after the group.
    """

    status: str
    pairs: tuple[MinimalPair, ...] = ()
    answers: int = 0
    agreeing: int = 0
    corrected: bool = False


def settle(item: Item, answers: Sequence[Answer[Check]], settings: PairCheckSettings) -> Outcome:
    """What the answers to one item come to.

    CHECKED: enough people, and more than half of those who judged, keep the sentence with the same words; a control
    that anybody of them finds just as much a stereotype goes. REJECTED: as many find that it does not fit, or no
    control is left. DISPUTED: as many people as are asked answered without any of this; one more can settle it.
    WAITING: not so many yet. Who skips has judged nothing.

    An adjudicator's decision is one more answer; where nothing comes of all of them, it is what comes of them.
    """
    found = _settle(item, answers, settings)
    decision = next((answer for answer in answers if answer.adjudicated and answer.value.judges), None)
    if decision is None or found.status in (CHECKED, REJECTED):
        return found
    alone = _settle(item, [decision], settings.model_copy(update={"agree": 1}))
    return replace(alone, answers=found.answers)


def _settle(item: Item, answers: Sequence[Answer[Check]], settings: PairCheckSettings) -> Outcome:
    checks = [answer.value for answer in answers if answer.value.judges]

    def decide(said: Sequence[Check]) -> bool:
        return len(said) >= settings.agree and 2 * len(said) > len(checks)

    rejecting = [check for check in checks if not check.keeps]
    if decide(rejecting):
        return Outcome(REJECTED, (), len(checks), len(rejecting))
    same = defaultdict[str, list[Check]](list)
    for check in checks:
        if check.keeps:
            same[check.correction.casefold()].append(check)
    if agreeing := next((own for own in same.values() if decide(own)), None):
        out = {place for check in checks for place in check.controls}
        words = agreeing[0].correction
        pairs = tuple(
            replace(pair, attribute=words or pair.attribute)
            for place, pair in enumerate(pairs_of(item))
            if place not in out
        )
        status = CHECKED if pairs else REJECTED
        return Outcome(status, pairs, len(checks), len(agreeing), bool(words))
    return Outcome(DISPUTED if len(answers) >= settings.overlap else WAITING, (), len(checks))
