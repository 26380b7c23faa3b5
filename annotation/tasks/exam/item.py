"""An exam question as an item of the task, and back: the item's content holds the whole question."""

from __future__ import annotations

from dataclasses import asdict

from annotation.types import ExamQuestion, Item

NAME = "exam"

_HEAD = ("id", "country", "language")
"""What stands at the item itself and not in its content."""


def item_of(question: ExamQuestion, position: int) -> Item:
    """A question as an item; who added it (`annotation.tasks.page.AUTHOR`) has no say in it."""
    content = {name: value for name, value in asdict(question).items() if name not in _HEAD}
    content["options"] = list(question.options)
    if not question.author:
        del content["author"]
    topic = question.category or question.exam
    return Item(question.id, NAME, position, question.country, question.language, topic, content)


def question_of(item: Item) -> ExamQuestion:
    """The inverse of `item_of`."""
    content = {**item.content, "options": tuple(item.content["options"])}
    return ExamQuestion(id=item.id, country=item.country, language=item.language, **content)
