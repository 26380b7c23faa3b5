"""Results of control items: how often each person's answer was the one that is known to be right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CONTROLS = "control"
"""Purpose of items among the work of which the answer is known."""

PRIOR = (1, 9)
"""Wrong and right answers that everybody begins with: a careful person is wrong about once in ten times."""

LEVEL = 0.9
"""Of the interval of a person's error rate."""

ACT = 0.3
"""A lead is told of a person whose error rate is above this, by the lower end of its interval."""

Counts = Counter[tuple[str | int, ...]]


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What a person's answers to control items say.

    Attributes:
        right: Answers as they had to be.
        wrong: Others.
        low: Lower end of the interval of the error rate, from 0 to 1.
        high: Its upper end.
        by_kind: What was done to the item -> (right, wrong).
    """

    right: int
    wrong: int
    low: float
    high: float
    by_kind: Mapping[str, tuple[int, int]]

    @property
    def acts(self) -> bool:
        """Whether the error rate is so high that a lead should look."""
        return self.low > ACT

    def sentence(self, annotator: str) -> str:
        """One line for the lead."""
        kinds = ", ".join(f"{kind} {wrong}" for kind, (_, wrong) in sorted(self.by_kind.items()) if wrong)
        return (
            f"{annotator} answered {self.wrong} of {self.right + self.wrong} control items wrong ({kinds}); the error "
            f"rate is between {self.low:.0%} and {self.high:.0%}."
        )


def control_results(counts: Counts, task: str = "") -> dict[str, ControlResult]:
    """User name -> result, of everybody who answered a control item.

    The error rate is Beta-Binomial: the prior is that of PRIOR, the interval central.

    Args:
        counts: From `annotation.tally.count`.
        task: Of one task alone; "" for all.
    """
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for key, number in counts.items():
        match key:
            case ("control", str(of), purpose, str(annotator), str(kind), int(right)):
                if purpose == CONTROLS and task in ("", of):
                    found[annotator][kind][1 - right] += number
    results = {}
    for annotator, kinds in found.items():
        right, wrong = (sum(numbers[place] for numbers in kinds.values()) for place in (0, 1))
        low, high = error_interval(right, wrong)
        by_kind = {kind: (of[0], of[1]) for kind, of in kinds.items()}
        results[annotator] = ControlResult(right, wrong, low, high, by_kind)
    return results


def failing(counts: Counts) -> Iterator[tuple[str, str, ControlResult]]:
    """User name, task and result of everybody whose error rate a lead should look at."""
    tasks = sorted({str(key[1]) for key in counts if key[0] == "control"})
    for task in tasks:
        for annotator, result in sorted(control_results(counts, task).items()):
            if result.acts:
                yield annotator, task, result


def error_interval(right: int, wrong: int) -> tuple[float, float]:
    """The central interval of an error rate after so many right and wrong answers."""
    from scipy.special import betaincinv

    outside = (1 - LEVEL) / 2
    low, high = betaincinv(PRIOR[0] + wrong, PRIOR[1] + right, [outside, 1 - outside])
    return float(low), float(high)
