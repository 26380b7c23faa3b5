"""The evaluation of a run: its measures, what they found, the verdict of its gate, and evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from train.evaluate.bias import Bias
from train.evaluate.exams import Exams
from train.evaluate.gate import BIAS, EXAMS, VOTES, Gate, strictest
from train.evaluate.looks import Looks
from train.evaluate.measure import Measure, Summary
from train.evaluate.model import METHOD
from train.evaluate.ranking import HeldOutRanking
from train.evaluate.stories import Stories
from train.evaluate.task import HarnessTask
from train.evaluate.votes import Votes
from train.evaluate.writing import HeldOutWriting
from train.settings import EvaluationSettings

MEASURES: dict[str, type[Measure[Any]]] = {
    "ranking": HeldOutRanking,
    "looks": Looks,
    "writing": HeldOutWriting,
    "exams": Exams,
    "votes": Votes,
    "bias": Bias,
    "stories": Stories,
}
"""Names of our own measures, in the order in which they are shown."""


def measure_called(name: str) -> type[Measure[Any]]:
    """One of our own measures, or else a task of lm-evaluation-harness."""
    return MEASURES.get(name, HarnessTask)


@dataclass(frozen=True)
class Evaluation:
    """Measurements of a run, and what they mean for a release.

    Attributes:
        run: Name of the run.
        key: Hash of what all measures have in common: the adapter, the base, the settings.
        settings: How it was measured.
        keys: Measure -> hash of all that decides its result.
        summaries: Measure -> what it found.
        gate: Whether the run may be released.
        already: It was measured before, and nothing was done now.
    """

    run: str
    key: str
    settings: EvaluationSettings
    keys: Mapping[str, str]
    summaries: Mapping[str, Summary]
    gate: Gate
    already: bool = False

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {
            "run": self.run,
            "gate": self.gate.verdict,
            "gate_reason": self.gate.reason,
            "gate_worst": self.gate.worst,
            "measures": {
                name: {"key": self.keys[name], **summary.as_json()} for name, summary in self.summaries.items()
            },
            "settings": self.settings.model_dump(mode="json"),
            "method": METHOD,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Evaluation:
        """Read what `as_json` wrote, as something that was measured before."""
        found = {name: dict(measured) for name, measured in facts["measures"].items()}
        keys = {name: measured.pop("key") for name, measured in found.items()}
        return cls(
            facts["run"],
            facts["key"],
            EvaluationSettings.model_validate(facts["settings"]),
            keys,
            {name: measure_called(name).read(measured) for name, measured in found.items()},
            Gate(facts["gate"], facts["gate_reason"], facts["gate_worst"]),
            already=True,
        )


def conclude(
    run: str, key: str, settings: EvaluationSettings, keys: Mapping[str, str], summaries: Mapping[str, Summary]
) -> Evaluation:
    """Put together what the measures found: our own in their order, then the tasks, and the verdict of the gate."""
    order = [name for name in (*MEASURES, *sorted(summaries.keys() - MEASURES.keys())) if name in summaries]
    names = {name: summaries[name].judged(settings) for name in order}
    gates = [gate for summary in names.values() for gate in summary.gates(settings)]
    if "ranking" not in summaries:
        gates.append(Gate("not measured", "nothing says yet how it ranks held-out slates"))
    if settings.gate_exam_drop != "off" and "exams" not in summaries:
        gates.append(Gate("not measured", "evaluation.gate_exam_drop asks for its exams (--on exams)", EXAMS))
    if settings.gate_votes != "off" and "votes" not in summaries:
        gates.append(Gate("not measured", "evaluation.gate_votes asks for visitors' votes (--on votes)", VOTES))
    if settings.gate_bias_rise != "off" and "bias" not in summaries:
        gates.append(Gate("not measured", "evaluation.gate_bias_rise asks for minimal pairs (--on bias)", BIAS))
    return Evaluation(run, key, settings, {name: keys[name] for name in order}, names, strictest(gates))
