"""Any task of lm-evaluation-harness, on base and adapted model: all its metrics, with those of guessing beside them.

Some tasks flatter a model that knows nothing: where nine of eleven options say "unknown", random weights are right on
every ambiguous question. So every metric stands beside the base's and beside that of a model that likes options at
random, and a base that is not above it is warned of. Random weights do not like options at random, they like short
ones: in tests of bias (EsBBQ, CaBBQ) they stand beside as a model of their own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from annotation.errors import SettingsError
from train.data.rows import read_rows
from train.evaluate import picture_questions
from train.evaluate.gate import Gate
from train.evaluate.harness import HarnessRun, harness_version, load_tasks, local_task, task_file, write_task
from train.evaluate.measure import Material, Table
from train.evaluate.model import SIDES, AdaptedModel, Batches
from train.evaluate.picture_questions import question_rows
from train.evaluate.task_changes import above, change_of, change_of_total, clusters_of, is_number
from train.run_folder import write_rows
from train.settings import EvaluationSettings
from train.statistics import Estimate, read_estimates

OF_BIAS = re.compile(r"(?:es|ca)bbq(?:_|$)")
"""Tasks with questions that cannot be answered, and others that can: asked of random weights too."""

TELLING = "acc_disambig"
"""Their metric that a model without any knowledge does not get right."""

GUESSES = 20
"""Times that every question is answered at random, fewer where there are more than 1000."""


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
        above_chance: Whether the base is, and, where it is TELLING, above random weights too; None for what is no
            accuracy, or where chance is not known.
        random: Of a tiny model with random weights; None where none was asked.
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
    random: float | None = None


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
        """Where the base is no better than guessing, or than random weights."""
        weak: dict[tuple[str, str], list[str]] = {}
        for one in self.metrics:
            if one.above_chance is False:
                random = "" if one.random is None else f", random weights {one.random:.3f}"
                told = f"{one.metric} {one.base:.3f}, chance {one.chance:.3f}{random}"
                weak.setdefault((one.task, one.way), []).append(told)
        return [
            f"{task}, {way}: the base is not above chance ({'; '.join(which)}): no other number of this task, however "
            "good it looks, means anything."
            for (task, way), which in weak.items()
        ]

    def tables(self) -> list[Table]:
        """All metrics."""
        with_random = any(one.random is not None for one in self.metrics)
        rows = [
            (
                one.task,
                one.way,
                one.metric,
                str(one.items),
                _shown(one.chance),
                *([_shown(one.random)] if with_random else []),
                f"{one.base:.3f}",
                f"{one.adapted:.3f}",
                f"{one.adapted - one.base:+.3f}" + (f" {one.change.interval('+.3f')}" if one.change else ""),
            )
            for one in self.metrics
        ]
        note = (
            f"Scored by lm-evaluation-harness {self.harness}; **chance**: a model that likes options at random; in "
            "brackets paired 95 % bootstrap intervals over rows (over templates, where rows name theirs)."
        )
        if with_random:
            note += (
                f" **Random weights**: a tiny model that has learnt nothing; it likes the shortest option best. A bias "
                f"near zero means something only where {TELLING} is well above both."
            )
        random = ("random weights",) if with_random else ()
        columns = ("task", "asked", "metric", "rows", "chance", *random, "base", "adapter", "adapter − base")
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
        if data and task == picture_questions.NAME:
            path = write_task(material.run, task, picture_questions.CONFIG, question_rows(data, list(read_rows(data))))
        else:
            path = local_task(material.run, task, list(read_rows(data))) if data else task_file(task)
        self.loaded = load_tasks(path, material.run, shots, sees=model.vocabulary.processor is not None)
        self.run = HarnessRun(model, self.loaded, name, key, SIDES if OF_BIAS.match(task) else SIDES[:2])

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
        if name == picture_questions.NAME and not data:
            raise SettingsError(f"--on {name} needs its questions and pictures: --task-data {name}=FILE.")
        asked = ["random weights too"] if OF_BIAS.match(name) else []
        return [harness_version(), hashlib.sha256(data.read_bytes()).hexdigest() if data else "", *asked]

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
        whom = "both" if len(self.run.sides) == 2 else "both and of random weights"
        return f"{self.name} of lm-evaluation-harness is asked of {whom}, {' and '.join(self.run.ways)}"

    @property
    def count(self) -> int:
        """How many batches."""
        return self.run.count

    def score(self, kept: Batches) -> dict[str, dict[str, dict[str, Any]]]:
        """Way of asking -> side -> results of the harness."""
        return {way: {side: self.run.results(kept, way, side) for side in self.run.sides} for way in self.run.ways}

    def summary(self, scores: Mapping[str, Mapping[str, dict[str, Any]]]) -> TaskSummary:
        """Every metric of every task, and of the group."""
        seed = self.model.recipe.run.seed
        found = []
        for way, sides in scores.items():
            before, after = sides["base"], sides["adapted"]
            for task, values in before["results"].items():
                samples = [after["samples"].get(task, ()), before["samples"].get(task, ())]
                own_task = self.loaded["tasks"].get(task)
                guesses = guessed(own_task, samples[1], seed)
                for key, value in values.items():
                    metric, _, filtered = key.partition(",")
                    if filtered and not metric.endswith("_stderr") and is_number(value):
                        pair = float(value), float(after["results"][task][key])
                        if not all(map(math.isfinite, pair)):
                            continue  # a metric of no row; JSON has no such number
                        adapted, base = (
                            [row[metric] for row in rows if row["filter"] == filtered and metric in row]
                            for rows in samples
                        )
                        name = metric if filtered == "none" else f"{metric}, {filtered}"
                        chance, clusters = guesses.get(metric), clusters_of(samples[1], filtered)
                        random = float(sides["random"]["results"][task][key]) if "random" in sides else None
                        least = max(chance, random) if metric == TELLING and chance and random is not None else chance
                        change = change_of(base, adapted, *pair, clusters, seed=seed)
                        if change is None and own_task is not None and base:
                            total = own_task.aggregation().get(metric)
                            change = change_of_total(total, base, adapted, *pair, clusters, seed=seed)
                        found.append(
                            Metric(
                                task,
                                way,
                                name,
                                len(base) or values.get("sample_len", 0),
                                chance,
                                *pair,
                                change,
                                above(base, pair[0], least, clusters, seed=seed)
                                if metric.startswith(("acc", "exact_match"))
                                else None,
                                random,
                            )
                        )
        return TaskSummary(tuple(found), harness_version(), self.name)

    def write(self, folder: Path, scores: Mapping[str, Any], found: TaskSummary) -> None:  # noqa: ARG002
        """A line per row and way of asking: the harness's metrics of each side."""
        lines = []
        for way, sides in scores.items():
            for task in sides["base"]["samples"]:
                for rows in zip(*(found["samples"][task] for found in sides.values()), strict=True):
                    each = {
                        side: {metric: row[metric] for metric in row["metrics"]}
                        for side, row in zip(sides, rows, strict=True)
                    }
                    about = {"task": task, "way": way, "row": rows[0]["doc_id"], "filter": rows[0]["filter"]}
                    lines.append({**about, **each})
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


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
