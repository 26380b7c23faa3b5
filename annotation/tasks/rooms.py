"""Rooms of a team: the dataset of a task in which its people work, and those of its entry test and its adjudicators."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

from annotation.config import Settings
from annotation.tasks.adjudication import adjudication_form, adjudication_record
from annotation.tasks.base import Task, Texts
from annotation.tasks.form import Form
from annotation.tasks.page import TEXTS, TeamPage
from annotation.types import Item

Room = Literal["work", "entry", "adjudication"]

NEVER = 1_000_000_000
"""People per record of an entry test: everybody takes it, so Argilla must never find one of its records complete."""


def room_of(item: Item) -> Room:
    """Where an item is asked. Control items stand among the work, and look like it."""
    return "work" if item.purpose == "control" else item.purpose


def form_in(room: Room, task: Task[Any], page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
    """The dataset of a room; see `Task.form`. An entry test is the task's own form, under another name."""
    if room == "adjudication":
        return adjudication_form(task, page, settings)
    form = task.form(page, settings, dimensions=dimensions)
    if room == "work":
        return form
    said = (page.texts("page", TEXTS)["entry"], *(texts["entry"] for texts in TEXTS.values()))
    names = dict.fromkeys(text.format(dataset=name) for text in said for name in form.names)
    return replace(form, names=tuple(names), overlap=NEVER)


def record_in_room(task: Task[Any], item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
    """An item as the record of its room; see `Task.record`."""
    if item.purpose == "adjudication":
        return adjudication_record(task, item, texts)
    return task.record(item, texts, vector)
