"""Projects from which control items can be made: prompts of four topics in two countries, and answers to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from projects import make_project

from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.review import add_checks
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Item, Judgement, Person, Prompt, Slate

SETTINGS = """[project]
countries = ["BO", "MX"]
languages = ["es"]
[task.ranking]
target = {target}
overlap = 2
[entry]
items = 4
tries = 2
wait_hours = 24
[release]
data_licence = "cc-by-4.0"
consent = "People were told on 3 May that their answers are published under a pseudonym."
contact = "https://example.org/sobremesa"
"""

ASKED = {
    "comida": "¿Con qué se acompaña el almuerzo del domingo, el de la casa número {}?",
    "fiestas": "¿Cuándo empieza la fiesta patronal y quién la organiza, barrio {}?",
    "deporte": "¿Dónde juegan fútbol los chicos de tu cuadra, equipo {}?",
    "música": "¿Cómo bailaban tus abuelos esa cueca lenta, disco {}?",
}
TOLD = {
    "comida": "La sopa {} de maní va primero, después viene un plato fuerte con arroz, papa y mucha llajua (voz {}).",
    "fiestas": "El preste {} paga la banda entera, invita a sus vecinos y baila hasta que amanece el lunes (voz {}).",
    "deporte": "En la cancha de tierra {}, con dos piedras por arco y una pelota que apenas tiene aire (voz {}).",
    "música": "Despacio {}, pañuelo en alto, zapateando suave mientras el charango marca cada vuelta (voz {}).",
}

PEOPLE = tuple(
    Person(f"{country.lower()}_{number}", "", "annotator", country, ("es",))
    for country in ("BO", "MX")
    for number in (1, 2, 3)
)


def controllable(folder: Path, slates: int = 40, *, target: int = 9, checks: bool = False) -> Project:
    """Slates of both countries in turn, all topics, and a team; with the prompts' checks where they are asked for."""
    project = make_project(folder, SETTINGS.format(target=target))
    topics, made = list(ASKED), []
    for number in range(slates):
        topic, country = topics[number // 2 % len(topics)], ("BO", "MX")[number % 2]
        prompt = Prompt.make(ASKED[topic].format(number), country=country, language="es", topic=topic)
        answers = [Candidate.make(prompt.id, TOLD[topic].format(number, n), model="a file") for n in range(4)]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        made.append(Slate(f"{number:016x}", prompt.id, tuple(answer.id for answer in answers), number))
    add_slates(project.ledger, made)
    if checks:
        add_checks(project.ledger)
    project.ledger.add_people(PEOPLE)
    return project


def respond(project: Project, item: Item, who: str, value: Any, moment: str = "2026-01-03T00:00:00.000000") -> None:
    """A submitted answer as the server would have told it."""
    name = f"{item.id}-{who}"
    raw = {"id": name, "status": "submitted", "values": TASKS[item.task].values(item, value), "updated_at": moment}
    project.ledger.add_responses(
        "test", [Response(name, item.id, who, who[:2].upper(), "submitted", moment, json.dumps(raw))]
    )


def ideal(item: Item) -> Judgement:
    """A ranking of a control item by somebody careful, who has an opinion about the rest too."""
    assert item.expected
    seats = sorted(item.content["seats"], reverse=True)
    if tied := item.expected.get("tied"):
        return Judgement((tuple(tied), *((seat,) for seat in seats if seat not in tied)))
    worst = item.expected["worst"]
    return Judgement((*((seat,) for seat in seats if seat != worst), (worst,)))


def careless(item: Item) -> Judgement:
    """A ranking by somebody who did not read: what is spoiled comes first, what is alike is apart."""
    assert item.expected
    first = item.expected.get("worst") or item.expected["tied"][0]
    return Judgement(((first,), *((seat,) for seat in item.content["seats"] if seat != first)))
