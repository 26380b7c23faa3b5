"""Projects with stereotypes that people rated and checked, for tests that begin after the people's work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from projects import make_project

from annotation.ledger import Response
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.stereotype.item import item_of
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Association, Item, Person

SETTINGS = '[project]\nname = "prueba"\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n'
BY = "CC-BY-4.0"


def association(identity: str, attribute: str, language: str = "es", **about: str) -> Association:
    """A mild one, with a source and a licence."""
    return Association.make(identity, attribute, language, **{"source": "mild.csv:2", "licence": BY, **about})


def rated_project(
    folder: Path,
    ratings: Mapping[Association, Sequence[int | None]],
    country: str = "MX",
    settings: str = SETTINGS,
) -> Project:
    """People of a country rated associations, each one person after the other; None is a skip."""
    project = make_project(folder, settings)
    rate(project, ratings, country)
    return project


def rate(project: Project, ratings: Mapping[Association, Sequence[int | None]], country: str) -> None:
    """Let the people of a country rate associations."""
    there = len(project.ledger.items("stereotype"))
    items = [item_of(one, country, there + number) for number, one in enumerate(ratings)]
    project.ledger.add_items(items)
    for item, given in zip(items, ratings.values(), strict=True):
        said = [Rating(known, None if known is None else 2) for known in given]
        answer(project, item, {f"{country.lower()}_{number}": value for number, value in enumerate(said)})


def answer(project: Project, item: Item, said: Mapping[str, Any]) -> None:
    """What people of the item's country said of it, as the server would have told it."""
    project.ledger.add_people([Person(who, "", "annotator", item.country, (item.language,)) for who in said])
    moment, responses = "2026-01-01T00:00:00.000000", []
    for who, value in said.items():
        values = TASKS[item.task].values(item, value)
        raw = json.dumps({"id": f"{item.id}-{who}", "status": "submitted", "values": values, "updated_at": moment})
        responses.append(Response(f"{item.id}-{who}", item.id, who, item.country, "submitted", moment, raw))
    project.ledger.add_responses("test", responses)
