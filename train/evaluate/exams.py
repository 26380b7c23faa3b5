"""Accuracy on the team's checked exam questions, without and with the adapter, by country, exam, subject and language.

The prompt is INCLUDE's own, from the harness's file (A. Romanou et al. 2024, "INCLUDE: evaluating multilingual language
understanding with regional knowledge"): the four options behind their letters, and the likeliest letter is the answer.
Each question is asked plainly, as INCLUDE's published numbers are, and in the base's chat template. Differences are
paired, question by question. A base that does no better than guessing knows nothing that an adapter could lose or add:
such groups are marked, and the gate does not judge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from annotation.errors import SettingsError
from annotation.screen import counted
from annotation.types import ExamQuestion
from train.evaluate.exam_summary import OPTIONS, ExamGroup, ExamScore, ExamSummary, asked_in, exam_groups
from train.evaluate.harness import IMAGE, PLAIN, HarnessRun, harness_folder, harness_version, load_tasks, write_task
from train.evaluate.harness_pictures import PLACE
from train.evaluate.measure import Material
from train.evaluate.model import AdaptedModel, Batches
from train.run_folder import file_digest, write_rows
from train.statistics import read_estimates

TEMPLATE = "include/default/Spanish/_spanish_template_yaml"
"""The harness's file with INCLUDE's prompt, which is the same for all 44 languages."""

DESCRIPTION = "{% if domain %}The following is multiple-choice question about {{domain}}.{% endif %}"
"""INCLUDE's first sentence, of the tasks of one domain each; a question whose domain nobody named has none."""

ROWS = "evaluation_exams.jsonl"
"""One line per question and way of asking."""


def exam_row(question: ExamQuestion) -> dict[str, Any]:
    """A question as a row of INCLUDE's released sets."""
    letters = (f"option_{letter}" for letter in "abcd")
    return {
        "id": question.id,
        "language": question.language,
        "country": question.country,
        "domain": question.domain,
        "subject": question.category,
        "regional_feature": question.regional_feature,
        "level": question.level,
        "question": question.question,
        **dict(zip(letters, question.options, strict=True)),
        "answer": question.answer,
    }


def printed(material: Material) -> dict[str, Path]:
    """Question -> the picture of how it is printed, with any figure, which a model that sees is shown before it.

    The picture lies in the run's project. It is of questions that were read from pages; their text stands in the prompt
    all the same, so that a model which reads text alone is asked everything too.
    """
    if material.recipe.base.vision == "none":
        return {}
    project = material.run.resolve().parent.parent
    paths = {question.id: project / question.picture for question in material.questions if question.picture}
    return {name: path for name, path in paths.items() if path.is_file()}


class Exams:
    """The team's exam questions, answered by base and adapted model through the harness."""

    def __init__(self, model: AdaptedModel, material: Material, key: str) -> None:
        """Write the task and build its prompts."""
        self.model, self.material, self.key = model, material, key
        config: dict[str, Any] = {"include": str(harness_folder() / TEMPLATE), "description": DESCRIPTION}
        rows, self.printed = [exam_row(one) for one in material.questions], printed(material)
        if self.printed:
            from lm_eval.tasks._yaml_loader import load_yaml

            asked = load_yaml(harness_folder() / TEMPLATE, resolve_func=False)["doc_to_text"]
            config |= {"doc_to_image": [IMAGE], "doc_to_text": "{{shown}}" + asked}
            for row in rows:
                path = self.printed.get(row["id"])
                picture = {"bytes": path.read_bytes(), "path": path.name} if path else None
                row |= {IMAGE: picture, "shown": f"{PLACE}\n" if path else ""}
        task = write_task(material.run, "annot_exams", config, rows)
        self.run = HarnessRun(model, load_tasks(task, material.run, sees=bool(self.printed)), "exams", key)

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The questions, which of them were trained on, and the harness.

        Raises:
            SettingsError: There are no questions, one has no key or other than four options, or the harness is missing.
        """
        if not material.questions:
            raise SettingsError(
                "there are no checked exam questions to measure on: `annot exams add` reads exams, `annot push --task "
                "exam` has people check them and `annot sync` brings their answers; or leave exams out of --on."
            )
        for question in material.questions:
            if len(question.options) != OPTIONS or question.answer not in range(OPTIONS):
                raise SettingsError(
                    f"the exam question {question.id} has {len(question.options)} options and the key "
                    f"{question.answer}; the model is measured on questions with {OPTIONS} options and a key, so "
                    "leave it out."
                )
        seen = sorted({question.id for question in material.questions} & set(material.seen))
        # The name of the exam is in no prompt, but in the groups.
        rows = [[exam_row(question), question.exam] for question in material.questions]
        shown = {name: file_digest(path) for name, path in printed(material).items()}
        return [harness_version(), seen, rows, *([shown] if shown else [])]

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Write the task and build its prompts."""
        return cls(model, material, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> ExamSummary:
        """What `as_json` wrote."""
        groups = tuple(ExamGroup(**read_estimates(group)) for group in facts["groups"])
        return ExamSummary(groups, facts["seen"], facts["harness"])

    @property
    def line(self) -> str:
        """For the log."""
        ways = " and ".join(asked_in(way) for way in self.run.ways)
        shown = f", {len(self.printed)} of them with their picture" if self.printed else ""
        return f"{counted(len(self.material.questions), 'question')} of exams are answered by both, asked {ways}{shown}"

    @property
    def count(self) -> int:
        """How many batches."""
        return self.run.count

    def score(self, kept: Batches) -> tuple[ExamScore, ...]:
        """The harness's answers and verdicts, question by question."""
        scores = []
        for way in self.run.ways:
            before, after = (self._answers(kept, way, side) for side in ("base", "adapted"))
            for number, question in enumerate(self.material.questions):
                (base, right_before), (adapted, right_after) = before[number], after[number]
                scores.append(
                    ExamScore(
                        question.id,
                        way,
                        question.country,
                        question.language,
                        question.exam,
                        question.category,
                        question.regional_feature,
                        question.id in self.material.seen,
                        int(question.answer or 0),
                        base,
                        adapted,
                        right_before,
                        right_after,
                    )
                )
        return tuple(scores)

    def _answers(self, kept: Batches, way: str, side: str) -> dict[int, tuple[tuple[float, ...], float]]:
        """Place of a question -> log-probs of its letters, and whether the likeliest is right."""
        rows = self.run.results(kept, way, side)["samples"]["annot_exams"]
        return {row["doc_id"]: (tuple(one[0] for one in row["filtered_resps"]), float(row["acc"])) for row in rows}

    def summary(self, scores: Sequence[ExamScore]) -> ExamSummary:
        """Estimates by group, and the verdicts of the gate."""
        recipe = self.model.recipe
        seen = sum(score.seen for score in scores if score.way == PLAIN)
        return ExamSummary(exam_groups(scores, recipe.evaluation, seed=recipe.run.seed), seen, harness_version())

    def write(self, folder: Path, scores: Sequence[ExamScore], found: ExamSummary) -> None:
        """A line per question and way of asking, and the plot."""
        write_rows(folder / ROWS, [asdict(score) for score in scores])
        found.draw(folder, self.model.recipe.evaluation)
