"""Any task of lm-evaluation-harness, on base and adapted model: all its metrics, with those of guessing beside them.

Some tasks flatter a model that knows nothing: where nine of eleven options say "unknown", random weights are right on
every ambiguous question. So every metric stands beside the base's and beside that of a model that likes options at
random, and a base that is not above it is warned of.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.errors import SettingsError
from train.data.rows import read_rows
from train.evaluate.gate import Gate
from train.evaluate.harness import HarnessRun, harness_version, load_tasks, local_task, task_file
from train.evaluate.measure import Material, Table
from train.evaluate.model import AdaptedModel, Batches
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import Estimate, chance_of_as_many, paired_difference, read_estimates

LEVEL = 0.05
"""Of the binomial test whether the base is above guessing."""

GUESSES = 20
"""Times that every question is answered at random, fewer where there are more than 1000."""

Values = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the harness, asked in one way.

    Attributes:
        task: Task or group.
        way: PLAIN or CHAT of `harness.py`.
        metric: Its name, and its filter where it has one.
        items: Rows behind it.
        chance: Of a model that likes options at random; None where that is not known.
        base: Without the adapter.
        adapted: With it.
        change: Adapter - base, row by row; None for a metric that is no mean over rows.
        above_chance: Whether the base is; None for what is no accuracy, or where chance is not known.
    """

    task: str
    way: str
    metric: str
    items: int
    chance: float | None
    base: float
    adapted: float
    change: Estimate | None
    above_chance: bool | None


@dataclass(frozen=True)
class TaskSummary:
    """Metrics of a task, or of all tasks of a group.

    Attributes:
        metrics: As the harness names them, in its order.
        harness: Version of lm-evaluation-harness.
        name: As it was asked for, with its examples.
    """

    metrics: tuple[Metric, ...]
    harness: str
    name: str

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {"harness": self.harness, "name": self.name, "metrics": [asdict(metric) for metric in self.metrics]}

    def judged(self, wanted: EvaluationSettings) -> Self:  # noqa: ARG002
        """It has no verdicts."""
        return self

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """No plot shows a verdict."""

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:  # noqa: ARG002
        """It has no say."""
        return []

    def warnings(self, wanted: EvaluationSettings) -> list[str]:  # noqa: ARG002
        """Where the base is no better than guessing."""
        weak: dict[tuple[str, str], list[str]] = {}
        for one in self.metrics:
            if one.above_chance is False:
                weak.setdefault((one.task, one.way), []).append(f"{one.metric} {one.base:.3f}, chance {one.chance:.3f}")
        return [
            f"{task}, {way}: the base is not above chance ({'; '.join(which)}): no other number of this task, however "
            "good it looks, means anything."
            for (task, way), which in weak.items()
        ]

    def tables(self) -> list[Table]:
        """All metrics."""
        rows = [
            (
                one.task,
                one.way,
                one.metric,
                str(one.items),
                "–" if one.chance is None else f"{one.chance:.3f}",
                f"{one.base:.3f}",
                f"{one.adapted:.3f}",
                f"{one.adapted - one.base:+.3f}" + (f" {one.change.interval('+.3f')}" if one.change else ""),
            )
            for one in self.metrics
        ]
        note = (
            f"Scored by lm-evaluation-harness {self.harness}; **chance**: a model that likes options at random; in "
            "brackets paired 95 % bootstrap intervals over rows, for metrics that are means over rows."
        )
        columns = ("task", "asked", "metric", "rows", "chance", "base", "adapter", "adapter − base")
        if not rows:
            note = "The task has no metric that is one number."
        return [Table(f"the task {self.name}", columns, rows, note)]

    def plots(self) -> list[str]:
        """None."""
        return []


class HarnessTask:
    """A task or group of the harness."""

    def __init__(self, name: str, model: AdaptedModel, material: Material, key: str) -> None:
        """Load its rows and build its prompts."""
        self.name, self.model, self.key = name, model, key
        task, shots = _parse(name)
        data = material.data.get(name)
        path = local_task(material.run, task, list(read_rows(data))) if data else task_file(task)
        self.loaded = load_tasks(path, material.run, shots)
        self.run = HarnessRun(model, self.loaded, name, key)

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:
        """The harness, and the local file.

        Raises:
            SettingsError: The harness is not installed, there is no such file, or the number of examples is none.
        """
        _parse(name)
        data = material.data.get(name)
        if data and not data.is_file():
            raise SettingsError(f"--task-data {name}={data}: there is no such file.")
        return [harness_version(), hashlib.sha256(data.read_bytes()).hexdigest() if data else ""]

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:
        """Load its rows and build its prompts."""
        return cls(name, model, material, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> TaskSummary:
        """What `as_json` wrote."""
        metrics = tuple(Metric(**read_estimates(one)) for one in facts["metrics"])
        name = facts.get("name") or (metrics[0].task if metrics else "")  # earlier versions did not say
        return TaskSummary(metrics, facts["harness"], name)

    @property
    def line(self) -> str:
        """For the log."""
        return f"{self.name} of lm-evaluation-harness is asked of both, {' and '.join(self.run.ways)}"

    @property
    def count(self) -> int:
        """How many batches."""
        return self.run.count

    def score(self, kept: Batches) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Way of asking -> results of the harness for the base and for the adapted model."""
        return {
            way: (self.run.results(kept, way, adapted=False), self.run.results(kept, way, adapted=True))
            for way in self.run.ways
        }

    def summary(self, scores: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]) -> TaskSummary:
        """Every metric of every task, and of the group."""
        seed = self.model.recipe.run.seed
        found = []
        for way, (before, after) in scores.items():
            for task, values in before["results"].items():
                samples = [after["samples"].get(task, ()), before["samples"].get(task, ())]
                guesses = guessed(self.loaded["tasks"].get(task), samples[1], seed)
                for key, value in values.items():
                    metric, _, filtered = key.partition(",")
                    if filtered and not metric.endswith("_stderr") and _is_number(value):
                        pair = float(value), float(after["results"][task][key])
                        if not all(map(math.isfinite, pair)):
                            continue  # a metric of no row; JSON has no such number
                        adapted, base = (
                            [row[metric] for row in rows if row["filter"] == filtered and metric in row]
                            for rows in samples
                        )
                        name = metric if filtered == "none" else f"{metric}, {filtered}"
                        chance = guesses.get(metric)
                        found.append(
                            Metric(
                                task,
                                way,
                                name,
                                len(base) or values.get("sample_len", 0),
                                chance,
                                *pair,
                                change_of(base, adapted, *pair, seed=seed),
                                _above(base, pair[0], chance) if metric.startswith(("acc", "exact_match")) else None,
                            )
                        )
        return TaskSummary(tuple(found), harness_version(), self.name)

    def write(self, folder: Path, scores: Mapping[str, Any], found: TaskSummary) -> None:  # noqa: ARG002
        """A line per row and way of asking: the harness's metrics of both models."""
        lines = []
        for way, (before, after) in scores.items():
            for task, rows in before["samples"].items():
                for base, adapted in zip(rows, after["samples"][task], strict=True):
                    both = {
                        who: {metric: row[metric] for metric in row["metrics"]}
                        for who, row in (("base", base), ("adapted", adapted))
                    }
                    lines.append({"task": task, "way": way, "row": base["doc_id"], "filter": base["filter"], **both})
        plain = json.loads(json.dumps(lines, default=float))
        write_rows(folder / f"evaluation_{self.name}.jsonl", plain)


def _parse(name: str) -> tuple[str, int | None]:
    """Name of a task, and examples in its prompt where they are named.

    Raises:
        SettingsError: What stands behind the @ is no number.
    """
    task, at, shots = name.partition("@")
    if at and not shots.isdecimal():
        raise SettingsError(f"--on {name}: behind the @ stands the number of examples in the prompt, as in {task}@5.")
    return task, int(shots) if at else None


def guessed(task: Any, samples: Sequence[Mapping[str, Any]], seed: int) -> dict[str, float]:
    """Metric -> its value for a model that likes options at random, by the task's own scoring; empty where it has none.

    Only metrics that look at the order of the options: what looks at their log-probs depends on how sharp random ones
    are, and no number of that is chance. Plain accuracy is exact (the mean of 1 / options), everything else the mean of
    GUESSES random models.
    """
    if task is None or task.OUTPUT_TYPE != "multiple_choice" or not samples:
        return {}
    rows = [row for row in samples if row["filter"] == samples[0]["filter"]]
    chance, found, aggregations = np.random.default_rng(seed), dict[str, list[float]](), task.aggregation()
    for _ in range(max(1, min(GUESSES, 1000 * GUESSES // len(rows)))):
        values: dict[str, list[Any]] = {}
        for row in rows:
            likes = [(float(score), False) for score in chance.standard_normal(len(row["resps"]))]
            for metric, value in task.process_results(row["doc"], likes).items():
                if by_rank(metric):
                    values.setdefault(metric, []).append(value)
        for metric, own in values.items():
            found.setdefault(metric, []).append(float(aggregations.get(metric, np.mean)(own)))
    guesses = {metric: mean for metric, own in found.items() if math.isfinite(mean := float(np.mean(own)))}
    if not callable(task.config.process_results) and not task.multiple_target and "acc" in guesses:
        guesses["acc"] = float(np.mean([1 / len(row["resps"]) for row in rows]))
    return guesses


def by_rank(metric: str) -> bool:
    """Whether a metric asks only which options are liked best, as far as its name says."""
    return metric.startswith(("acc", "exact_match")) or "pct_" in metric


def shares(values: Values) -> tuple[list[float], list[float]] | None:
    """Values and weights of a metric's rows where it is a mean over them: numbers, or pairs (value, weight)."""
    if all(map(_is_number, values)):
        return [float(value) for value in values], [1.0] * len(values)
    if all(isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value)) for value in values):
        return [float(right) for right, _ in values], [float(weight) for _, weight in values]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def change_of(base: Values, adapted: Values, before: float, after: float, *, seed: int) -> Estimate | None:
    """Paired difference of a metric, row by row; None where the harness's number is no mean over rows."""
    both = shares(base), shares(adapted)
    if not base or None in both:
        return None
    (rights, weights), (rights_after, _) = both  # type: ignore[misc]
    total = sum(weights)
    for own, said in ((rights, before), (rights_after, after)):
        if not total or not math.isclose(sum(own) / total, said, abs_tol=1e-9):
            return None
    rows = [str(number) for number in range(len(rights))]
    heavy = np.array(weights)
    ones, others = (np.array(own) / np.where(heavy > 0, heavy, 1.0) for own in (rights, rights_after))
    counted = heavy > 0
    names = [row for row, counts in zip(rows, counted, strict=True) if counts]
    return paired_difference(ones[counted], others[counted], names, heavy[counted], seed=seed)


def _above(base: Values, value: float, chance: float | None) -> bool | None:
    """Whether an accuracy of the base is above guessing: by the binomial test where each row is right or wrong."""
    if chance is None or not 0 < chance < 1:
        return None
    if (found := shares(base)) and set(found[0]) | set(found[1]) <= {0.0, 1.0} and base:
        return bool(chance_of_as_many(int(sum(found[0])), int(sum(found[1])), chance) <= LEVEL)
    return bool(value > chance)
