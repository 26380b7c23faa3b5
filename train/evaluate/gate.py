"""The gate: a run is released where its worst group passes, and what was not measured is not released.

A group passes when the low end of the 95 % interval of its held-out ranking accuracy is above `gate_accuracy` (0.5: a
coin). Why the low end and not the estimate itself: an adapter that may do no better than a coin for a region must not
be sent there, so the burden of proof is on the adapter, and a lucky small sample proves nothing. Why no correction for
many groups: the claim is that *every* group is above the line, and rejecting each group's "not above" at the same level
is a test of that level for all of them together (the intersection–union test: R. L. Berger 1982, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24). Groups with fewer than `gate_prompts` held-out prompts
are shown and marked, and neither fail a run nor pass it: a bootstrap over a handful of prompts is too narrow.

With `gate_exam_drop` every country's exams are judged in the same manner: the low end of the interval of adapter - base
must be above -`gate_exam_drop`. Exams on which the base is not above chance can lose nothing, and are not judged.

With `gate_votes` so is every country's win rate in visitors' votes: the low end of its interval must be above it.
Countries with fewer than `gate_vote_count` votes are shown and marked.

With `gate_bias_rise` no group's bias may rise, what a country's people say of their own and of others apart: the high
end of the interval of the rise must be below it. Where base or adapter cannot tell the groups apart, it is not
measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from annotation.errors import TrainError
from train.run_folder import read_facts

Verdict = Literal["passed", "failed", "undecided", "not measured"]

EXAMS = "exams"
"""How `Gate.worst` begins where exams decided."""

VOTES = "votes"
"""How it begins where visitors' votes decided."""

BIAS = "bias"
"""How it begins where bias in minimal pairs decided."""

CLOSER = "held closer to its base (a higher dpo.beta, a lower optimiser.learning_rate)"

EVALUATION = "evaluation.json"
"""Written whole, as the last file of an evaluation."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Verdict on the release of a run.

    Attributes:
        verdict: "passed"; "failed"; "undecided" where no group is large enough to tell; "not measured".
        reason: One sentence.
        worst: The group that decided, for example "country MX"; EXAMS, VOTES or BIAS where no group of them did; ""
            where none did.
    """

    verdict: Verdict
    reason: str
    worst: str = ""

    @property
    def open(self) -> bool:
        """Whether the run may be released without a person saying so."""
        return self.verdict == "passed"


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Result of a group, as far as the gate looks at it.

    Attributes:
        name: For example "country MX".
        low: Low end of the interval of what is judged; of what may not rise the high end, with the other sign.
        items: Held-out prompts, questions of exams, votes or associations behind it.
    """

    name: str
    low: float
    items: int


def judge(
    groups: Iterable[GroupResult],
    *,
    least: float,
    least_items: int,
    what: str = "ranking accuracy",
    items: str = "held-out prompts",
    setting: str = "evaluation.gate_prompts",
    ends: bool = False,
) -> Gate:
    """Let the worst group that is large enough decide; there is one group at least.

    Args:
        groups: That are judged.
        least: What the low end of a group's interval must be above.
        least_items: Fewest items of a group.
        what: Name of what is judged, a share.
        items: Name of the items.
        setting: What asks for so many.
        ends: It may not rise: `low` and `least` have the other sign.
    """
    groups = list(groups)
    large = sorted((g for g in groups if g.items >= least_items), key=lambda group: (group.low, group.name))
    if not large:
        most = max(groups, key=lambda group: (group.items, group.name))
        return Gate(
            "undecided",
            f"{setting} asks for {least_items} {items} in a group that is judged, and the largest, "
            f"{most.name}, has {most.items}",
        )
    failed = [group for group in large if not group.low > least]
    worst = large[0]
    side, beyond, sign = ("ends", "below", -1) if ends else ("begins", "above", 1)
    facts, line = f"the 95 % interval of its {what} {side} at {sign * worst.low:.1%}", f"{sign * 100 * least:.3g}%"
    if failed:
        others = f", and {len(failed) - 1} more with it" if len(failed) > 1 else ""
        return Gate("failed", f"{worst.name} fails{others}: {facts}, not {beyond} {line}", worst.name)
    small = len(groups) - len(large)
    others = f"; {small} more {'is' if small == 1 else 'are'} too small to be judged" if small else ""
    return Gate("passed", f"the worst group is {worst.name}: {facts}, {beyond} {line}{others}", worst.name)


def strictest(gates: Sequence[Gate]) -> Gate:
    """The gate of several, one at least: the first that is not passed, the worst verdict before the others."""
    order: tuple[Verdict, ...] = ("failed", "not measured", "undecided")
    for verdict in order:
        for gate in gates:
            if gate.verdict == verdict:
                return gate
    return Gate("passed", "; ".join(gate.reason for gate in gates), gates[0].worst)


def gate_of(run: Path) -> Gate:
    """Verdict of the evaluation in a run's folder.

    Raises:
        TrainError: Its file is damaged.
    """
    path = run / EVALUATION
    if not path.exists():
        return Gate("not measured", "nothing says what it is worth")
    facts = read_facts(path, dict.fromkeys(("gate", "gate_reason", "gate_worst"), str), remeasure(run))
    if facts["gate"] not in get_args(Verdict):
        raise TrainError(f'{path} is damaged: its gate is "{facts["gate"][:40]}"; {remeasure(run)}.')
    return Gate(facts["gate"], facts["gate_reason"], facts["gate_worst"])


def remeasure(run: Path) -> str:
    """Remedy for a damaged evaluation, as the end of a sentence."""
    return f"remove that file and run `annot evaluate {run.name}` again"


def remedy(
    gate: Gate,
    run: str,
    exam_drop: float | Literal["off"] = "off",
    votes: float | Literal["off"] = "off",
    bias_rise: float | Literal["off"] = "off",
) -> str:
    """Remedy for a run that is not to be released, as part of a sentence; "" for one that passed.

    Args:
        gate: Its verdict.
        run: Its name.
        exam_drop: evaluation.gate_exam_drop, as far as it is known.
        votes: evaluation.gate_votes, likewise.
        bias_rise: evaluation.gate_bias_rise, likewise.
    """
    again = "with more judgements of that group"
    asked = "" if exam_drop == "off" else f" --set evaluation.gate_exam_drop={exam_drop:g}"
    asked += "" if votes == "off" else f" --set evaluation.gate_votes={votes:g}"
    asked += "" if bias_rise == "off" else f" --set evaluation.gate_bias_rise={bias_rise:g}"
    if gate.worst.startswith(EXAMS):
        measure = f"`annot evaluate {run} --on ranking,writing,exams{asked}`"
        checked = "(`annot push --task exam`, then `annot sync`)"
        if gate.verdict == "undecided":
            return f"have more exam questions of a country checked {checked}, and run {measure} again"
        if gate.verdict == "not measured":
            return f"run {measure} once exam questions are checked {checked}"
        again = CLOSER
    if gate.worst.startswith(BIAS):
        measure = f"`annot evaluate {run} --on ranking,writing,bias{asked}`"
        checked = "(`annot stereotypes pairs`, `annot push --task pair_check`, then `annot sync`)"
        if gate.verdict == "undecided":
            return f"have pairs of more associations of a country checked {checked}, and run {measure} again"
        if gate.verdict == "not measured" and gate.worst == BIAS:
            return f"run {measure} once pairs are checked {checked}"
        if gate.verdict == "not measured":
            return (
                "have pairs about more groups checked where these are few, train on a base that knows these countries, "
                f"or leave it out with `annot evaluate {run} --set evaluation.gate_bias_rise=off`"
            )
        again = CLOSER
    if gate.worst.startswith(VOTES) and gate.verdict in ("undecided", "not measured"):
        measure = f"`annot evaluate {run}{asked}`"
        told = (
            f"let {'more ' if gate.verdict == 'undecided' else ''}people vote (`annot demo {run}`), bring their votes "
        )
        told += f"with `annot votes pull`, and run {measure}"
        fewer = ", or ask for fewer with --set evaluation.gate_vote_count=N"
        return f"{told} again{fewer}" if gate.verdict == "undecided" else told
    return {
        "passed": "",
        "failed": f"look at its report.md, and train anew {again}",
        "undecided": (
            "collect more prompts (or pictures), raise data.held_out in the next run, or, where a group has two at "
            f"least, ask for fewer with `annot evaluate {run}{asked} --set evaluation.gate_prompts=N`"
        ),
        "not measured": f"run `annot evaluate {run}{asked}` first",
    }[gate.verdict]
