"""The ranking in Argilla's own form: its settings and slates, from which `rg.Dataset.from_hub` makes a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.base import Kind, Rows, Texts
from annotation.tasks.form import Field, Form, Property, Question
from annotation.tasks.page import TeamPage, own_texts
from annotation.tasks.ranking.slates import RANKING
from annotation.tasks.team_pages import every_page
from annotation.text.privacy import mask_typed

ABOUT = "metadata."
"""How columns of a record's metadata begin, for the SDK."""


def slate_table(project: Project, ids: Iterable[str]) -> Rows:
    """Slates as records of Argilla: each field is a column, with its text as the page takes it.

    Slates of another size than `select.slate` do not fit the form and are left out.
    """
    task, ledger, settings = TASKS[RANKING], project.ledger, project.settings
    items = [item for item in ledger.items(ids=ids) if task.misfit(item, settings) is None]
    texts = replace(Texts.of(ledger, task, items), folder=None)
    rows = []
    for item in items:
        record = task.record(item, texts, None)
        about = {f"{ABOUT}{name}": value for name, value in record["metadata"].items()}
        rows.append({"id": record["external_id"], **record["fields"], **about})
    form = _form(project, "")
    columns: dict[str, Kind] = {"id": "text", **{field.name: "text" for field in form.fields}}
    columns |= {f"{ABOUT}{shown.name}": "int" if shown.kind == "integer" else "text" for shown in form.metadata}
    return Rows(rows, columns)


def argilla_files(project: Project, country: str) -> dict[str, Any]:
    """Path in the repository -> content as JSON.

    Args:
        project: Whose ranking it is.
        country: Whose team's page it is: its language and guidelines.
    """
    form = _form(project, country)
    people = project.ledger.named_people()
    guidelines = mask_typed(form.guidelines, country or None, people)
    shared = {"guidelines": guidelines, "allow_extra_metadata": False, "distribution": _distribution(form)}
    settings = {
        **shared,
        "fields": [_field(field) for field in form.fields],
        "questions": [_question(question) for question in form.questions],
        "metadata": [_property(shown) for shown in form.metadata],
        "vectors": [],
        "mapping": None,
    }
    return {
        ".argilla/settings.json": settings,
        ".argilla/dataset.json": {"name": form.names[0], "status": "ready", **shared},
    }


def _form(project: Project, country: str) -> Form:
    pages = every_page(project.ledger.people(), own_texts(project.folder))
    page = pages.get(country) or next(iter(pages.values()), TeamPage("en"))
    return TASKS[RANKING].form(page, project.settings)


def _distribution(form: Form) -> dict[str, Any]:
    return {"strategy": "overlap", "min_submitted": form.overlap}


def _field(field: Field) -> dict[str, Any]:
    settings = {"type": field.kind, "use_markdown": False}
    return {"name": field.name, "title": field.title, "required": field.required, "settings": settings}


def _question(question: Question) -> dict[str, Any]:
    options = [{"value": value, "text": text} for value, text in question.options.items()]
    settings: dict[str, Any] = {"type": question.kind}
    match question.kind:
        case "text":
            settings["use_markdown"] = False
        case "ranking":
            settings["options"] = options
        case _:
            settings |= {"options": options, "visible_options": len(options) if len(options) > 2 else None}
    about = {"title": question.title, "description": question.description or None, "required": question.required}
    return {"name": question.name, **about, "settings": settings}


def _property(shown: Property) -> dict[str, Any]:
    return {
        "name": shown.name,
        "title": shown.title,
        "visible_for_annotators": shown.visible,
        "settings": {"type": shown.kind},
    }
