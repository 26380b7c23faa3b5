"""The task "check exam questions": people say what is wrong with a question of an exam, and mend it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.config import Settings
from annotation.task_tables import ExamTaskSettings
from annotation.tasks.base import DECISION, ItemOutcome, ItemTask, Kind, Rows, Scale, Texts, decision_of
from annotation.tasks.exam.check import FITS, KEPT, LETTERS, REJECT, RIGHT, Check, read_check, write_check
from annotation.tasks.exam.item import NAME, question_of
from annotation.tasks.exam.settled import CHECKED, DISPUTED, INCOMPLETE, REJECTED, WAITING, settle
from annotation.tasks.exam.texts import TEXTS
from annotation.tasks.form import Field, Form, Question
from annotation.tasks.page import PICTURE, TeamPage, as_typed, picture_of, properties, record_of, vector_of
from annotation.text.privacy import mask_typed
from annotation.types import REGIONAL_FEATURES, Answer, ExamQuestion, Item

OTHER_NUMBER = "other than four or five options"

_TEXT: Kind = "text"
_QUESTION: dict[str, Kind] = {
    **dict.fromkeys(("question_id", "country", "language", "exam", "number", "question"), _TEXT),
    "options": "texts",
    "answer": "int",
}
_SAID = ("annotator", "verdict", "correction", "key", "removed", "regional_feature", "category", "comment")
_ABOUT = ("level", "category", "category_original", "domain", "regional_feature", "source", "licence", "document")
CHECKS: Mapping[str, Kind] = {**_QUESTION, **dict.fromkeys(_SAID, _TEXT), **DECISION}
QUESTIONS: Mapping[str, Kind] = {
    **_QUESTION,
    **dict.fromkeys(_ABOUT, _TEXT),
    "page": "int",
    "extractor": "text",
    "status": "text",
    "answers": "int",
    "agreeing": "int",
    **DECISION,
}


class Exam(ItemTask):
    """See `annotation.tasks.base.Task`."""

    name = NAME
    title = "check exam questions"
    one = "exam question"
    many = "exam questions"
    made_by = "annot exams add"
    label = "exam_question"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = (CHECKED, REJECTED, DISPUTED, INCOMPLETE)

    def settings(self, settings: Settings) -> ExamTaskSettings:
        """See Task."""
        return settings.task.exam

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task. Every dataset has five letters, whatever its exams have: they come one after the other."""
        say, letters = page.texts(NAME, TEXTS), dict(zip(LETTERS, LETTERS, strict=True))

        def asked(name: str, options: Mapping[str, str], *, required: bool = False) -> Question:
            return Question(name, "label_selection", say[name], say[f"{name}.help"], required, options)

        def typed(name: str) -> Question:
            return Question(name, "text", say[name], say[f"{name}.help"])

        return Form(
            names=page.names(settings.task.exam.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=(
                *(Field(name, say[f"field.{name}"]) for name in ("question", "options", "key")),
                Field(PICTURE, say["field.picture"], "image", required=False),
                Field("exam", say["field.exam"]),
            ),
            questions=(
                asked("verdict", {verdict: say[verdict] for verdict in (*FITS, *REJECT)}, required=True),
                typed("correction"),
                asked("answer", letters),
                asked("removed", letters),
                asked("feature", {feature: say[feature] for feature in REGIONAL_FEATURES}),
                typed("category"),
                typed("comment"),
            ),
            metadata=properties(page, self.label, say["item"], authors=True),
            vector=vector_of(page, dimensions),
            overlap=settings.task.exam.overlap,
        )

    def misfit(self, item: Item, settings: Settings, folder: Path | None = None) -> tuple[str, str] | None:
        """See Task: four options must be left when one went."""
        options = len(item.content["options"])
        return None if options in (KEPT, len(LETTERS)) else (OTHER_NUMBER, str(options))

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        question, page = question_of(item), TeamPage(item.language, item.country)
        options = [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False)]
        say = page.texts(NAME, TEXTS)
        number = f"{say['item']} {question.number}" if question.number else ""
        about = (question.exam, number, question.category_original or question.category)
        if len(options) > KEPT:
            options += ["", say["one goes"]]
        fields = {
            "exam": " · ".join(dict.fromkeys(filter(None, about))),
            "question": question.question,
            "options": "\n".join(options),
            "key": say["no key"] if question.answer is None else options[question.answer],
        }
        shown = {name: as_typed(text) for name, text in fields.items()} | picture_of(item, texts.folder)
        return record_of(item, self.label, shown, vector)

    def read(self, item: Item, values: Mapping[str, Any]) -> Check:
        """See Task."""
        return read_check(question_of(item), values)

    def values(self, item: Item, value: Check) -> dict[str, Any]:
        """See Task."""
        return write_check(value)

    def reported(self, value: Check) -> Collection[str]:
        """See Task: the verdict, where it is another than right."""
        return () if value.verdict == RIGHT else (value.verdict,)

    def units(self, item: Item, value: Check) -> Mapping[str, str]:
        """See Task: whether the question fits, its key, and the regional feature; of those who reject it, the first."""
        if not value.fits:
            return {"fit": value.verdict}
        key = question_of(item).answer if value.key is None else value.key
        said = {"fit": "fits", "key": "" if key is None else LETTERS[key], "feature": value.feature}
        return {unit: word for unit, word in said.items() if word}

    def score(self, item: Item, value: Check) -> float:
        """See Task: the share of those units that `expected` names, for example {"fit": "fits", "key": "B"}."""
        expected, said = item.expected or {}, self.units(item, value)
        return sum(said.get(unit) == str(wanted) for unit, wanted in expected.items()) / len(expected)

    def outcome(self, item: Item, answers: Sequence[Answer[Check]], settings: Settings) -> ItemOutcome:
        """See Task: what became of the question, by country, exam and category; nothing made while it waits."""
        found = settle(item, answers, settings.task.exam)
        return ItemOutcome({} if found.status == WAITING else {found.status: 1}, place=found.place)

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[Check]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: every answer, and what became of every question that has one."""
        of_item: dict[str, list[Answer[Check]]] = defaultdict(list)
        for answer in answers:
            of_item[answer.item_id].append(answer)
        checks, questions = [], []
        for item_id, own in sorted(of_item.items()):
            found = settle(items[item_id], own, settings.task.exam)
            counts = {"status": found.status, "answers": found.answers, "agreeing": found.agreeing}
            questions.append({**_row(found.question, QUESTIONS), **counts, **decision_of(*own)})
            for who, answer in sorted((pseudonym(answer.annotator), answer) for answer in own):
                given = {name: said["value"] for name, said in write_check(answer.value).items()}
                # People type freely: what identifies somebody stays in the ledger.
                typed = {
                    name: mask_typed(given.get(name, ""), answer.country, texts.people)
                    for name in ("correction", "category", "comment")
                }
                chosen = {"verdict": answer.value.verdict, "regional_feature": answer.value.feature}
                places = {"key": given.get("answer", ""), "removed": given.get("removed", "")}
                said = {**typed, **chosen, **places, "annotator": who, **decision_of(answer)}
                checks.append({**_row(question_of(items[item_id]), CHECKS), **said})
        return {"exam_checks.parquet": Rows(checks, CHECKS), "exam_questions.parquet": Rows(questions, QUESTIONS)}


def _row(question: ExamQuestion, columns: Mapping[str, Kind]) -> dict[str, Any]:
    row = {name: getattr(question, name, None) for name in columns}
    return {**row, "question_id": question.id, "options": list(question.options)}
