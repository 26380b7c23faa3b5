"""Projects in which people shared and rated stereotypes: mild ones, made up for the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from projects import make_project

from annotation.ledger import Response
from annotation.project import Project
from annotation.stereotypes.sheets import add_sheets
from annotation.tasks import TASKS
from annotation.tasks.share.sheet import NAME as SHARE
from annotation.tasks.share.sheet import Written
from annotation.tasks.stereotype.item import NAME, item_of
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Association, Item, Person

SETTINGS = '[project]\ncountries = ["AR", "UY"]\nlanguages = ["es"]\n'
TEAM = {"AR": ("ana_01", "beto_02", "caro_03", "dani_04"), "UY": ("eva_05", "fede_06", "gabi_07"), "BR": ("hugo_08",)}
_MINUTES = count()


def stereotype_project(folder: Path, settings: str = SETTINGS) -> Project:
    """A project with people of three countries, and nothing asked yet."""
    project = make_project(folder, settings)
    language = {"BR": "pt"}
    project.ledger.add_people(
        Person(name, f"{name[:4].title()} Prueba{name[-2:]}", "annotator", country, (language.get(country, "es"),))
        for country, names in TEAM.items()
        for name in names
    )
    return project


def said_of(identity: str, attribute: str, **about: str) -> Association:
    """An association from a file."""
    return Association.make(identity, attribute, "es", **{"source": "prueba.csv:2", "licence": "CC BY 4.0", **about})


def ask(project: Project, *asked: tuple[Association, str]) -> list[Item]:
    """Items about associations, each of a country, as they stand in the ledger."""
    start = len(project.ledger.items(NAME))
    items = [item_of(one, country, start + place) for place, (one, country) in enumerate(asked)]
    project.ledger.add_items(items)
    return items


def answer(project: Project, item: Item, who: str, value: Any, *, status: str = "submitted") -> Response:
    """What somebody said of an item, as a server would tell it; saying it again changes it."""
    country = next(country for country, names in TEAM.items() if who in names)
    raw = {
        "id": f"{item.id}-{who[-2:]}",
        "record_id": f"record-{item.id}",
        "user_id": f"account-{who[-2:]}",
        "status": status,
        "values": TASKS[item.task].values(item, value),
    }
    moment = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(_MINUTES))).isoformat(timespec="microseconds")
    response = Response(
        str(raw["id"]), item.id, who, country, status, moment, json.dumps(raw, ensure_ascii=False, sort_keys=True)
    )
    project.ledger.add_responses("server", [response])
    return response


def rate(project: Project, item: Item, said: Mapping[str, Rating]) -> None:
    """What people said of one association."""
    for who, rating in said.items():
        answer(project, item, who, rating)


def sheet(project: Project, country: str, target: str) -> Item:
    """The first sheet of a country about another, or "" for any group."""
    add_sheets(project, countries=[country], about=[target or "any"])
    return next(
        item for item in project.ledger.items(SHARE) if (item.country, item.content["target"]) == (country, target)
    )


def share(project: Project, who: str, target: str, *lines: str, identity: str = "") -> Item:
    """Somebody writes on the sheet of their country; writing again changes it."""
    country = next(country for country, names in TEAM.items() if who in names)
    own = sheet(project, country, target)
    answer(project, own, who, Written("share", identity, lines) if lines else Written("nothing"))
    return own


def people_of(country: str, number: int) -> tuple[str, ...]:
    """Some user names of a country's team."""
    return TEAM[country][:number]
