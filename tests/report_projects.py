"""Projects for the page of leads: teams of three countries at work, with texts and names as a test wants them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from projects import make_project

from annotation.ledger import Response
from annotation.money import Call, Outcome, reserve, settle
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import item_of
from annotation.types import PROBLEMS, Candidate, Item, Judgement, Person, Prompt, Slate

SETTINGS = """[project]
name = "{name}"
countries = ["MX", "BR", "PE"]
languages = ["es", "pt"]
[task.ranking]
target = 12
overlap = 3
[draft]
budget_usd = 40.0
"""
LANGUAGES = {"MX": "es", "BR": "pt", "PE": "es"}
TEXTS = (
    "En mi casa se ponen flores de cempasúchil y el pan que más le gustaba.",
    "Se prende una vela y se cuenta una historia de quien ya no está.",
    "Depende de la familia; unas van al panteón y otras se quedan en casa.",
    "Es un día como cualquier otro, y no se hace nada.",
)


def busy_project(
    folder: Path,
    *,
    name: str = "Fiestas y comida",
    people: Sequence[str] = (),
    texts: Sequence[str] = TEXTS,
    topics: Sequence[str] = ("comida", "fiestas"),
    slates: int = 30,
    days: int = 24,
    offended: bool = False,
) -> Project:
    """A project in which people of three countries have ranked for some weeks; the same every time, but for the day.

    Args:
        folder: Of the project.
        name: Of the project.
        people: User names that somebody on the team has, in the place of ana_mx and so on.
        texts: Of prompts and answers, in turn, each of which begins with its number.
        topics: Of the prompts, in turn.
        slates: How many there are.
        days: How long people have worked, until now.
        offended: Everybody finds the last answer of each slate offensive, so that all are to be decided.
    """
    draw, now = random.Random(17), datetime.now(UTC)
    project = make_project(folder, SETTINGS.format(name=json.dumps(name)[1:-1]))
    ledger = project.ledger
    usual = [f"{who}_{country.lower()}" for country in LANGUAGES for who in ("ana", "beto", "carla", "davi")]
    names = [*people, *usual[len(people) :]]
    team = [Person(who, "", "annotator", list(LANGUAGES)[n * 3 // len(names)], ("es",)) for n, who in enumerate(names)]
    ledger.add_people(team)
    items = []
    for number in range(slates):
        country = list(LANGUAGES)[number % 5 % 3]
        prompt = Prompt.make(
            f"{number}: {texts[number % len(texts)]}",
            country=country,
            language=LANGUAGES[country],
            topic=topics[number % len(topics)],
        )
        answers = [
            Candidate.make(prompt.id, f"{number}.{n}: {texts[(4 * number + n) % len(texts)]}", model="a file")
            for n in range(4)
        ]
        ledger.add_prompts([prompt])
        for n, answer in enumerate(answers):
            call = Call(f"{number}-{n}", 0, prompt.id, n, f"command-{'ar'[n % 2]}", "", {}, 0.02)
            reserve(ledger, call, 40.0)
            if number or n:
                settle(ledger, call, Outcome("answer", 0.011, 310, 140, raw="{}"), answer)
        ledger.add_candidates(answers)
        items.append(item_of(Slate(f"slate{number:03}", prompt.id, tuple(a.id for a in answers), number), prompt))
    ledger.add_items(items)
    found = [
        given
        for item in items
        for own in [[person for person in team if person.country == item.country]]
        for who in draw.sample(own, draw.choice((len(own), len(own), 1)))
        for given in [_given(item, who, now - timedelta(days=days * draw.random() ** 1.5), draw, offended)]
    ]
    ledger.add_responses("test", found)
    return project


def _given(item: Item, person: Person, moment: datetime, draw: random.Random, offended: bool) -> Response:
    seats = list(item.content["seats"])
    if draw.random() < 0.3:
        draw.shuffle(seats)
    problems = {seats[-1]: (draw.choice(PROBLEMS),)} if draw.random() < 0.3 else {}
    problems = {seats[-1]: ("offensive",)} if offended else problems
    tiers = ((seats[0],), tuple(seats[1:3]), (seats[3],))
    said = Judgement(tiers, problems, none_acceptable=draw.random() < 0.05)
    at = moment.isoformat(timespec="microseconds")
    raw = {
        "id": f"{item.id}-{person.username}",
        "status": "submitted",
        "values": TASKS[item.task].values(item, said),
        "inserted_at": at,
        "updated_at": at,
    }
    return Response(raw["id"], item.id, person.username, person.country, "submitted", at, json.dumps(raw))  # type: ignore[arg-type]
