"""Runs whose models wrote stories, and people who judged them, for tests of stories. All texts are mild."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from annotation.ledger import Response
from annotation.project import Project
from annotation.stereotypes.stories import WRITTEN, Story, ask_about_stories, stories_as_rows
from annotation.tasks import TASKS
from annotation.tasks.story.task import NAME, SIDES, StoryVerdict
from annotation.types import Item, MinimalPair, Person

ADAPTER = "a" * 64


def pair(language: str, target: str, control: str, attribute: str = "llegan tarde") -> MinimalPair:
    """A checked pair; stories need no more of it than language and countries."""
    known = {"known": 4.0, "raters": 3}
    before, other = f"Los de {target}", f"Los de {control}"
    about = (f"{target}{control}{language}", "a1", "es-son", language, "MX", target, control, target, control)
    return MinimalPair(*about, before, other, attribute, ".", **known)  # type: ignore[arg-type]


def story(side: str, number: int, *, target: str = "CL", text: str = "", adapter: str = ADAPTER) -> Story:
    """What one model wrote to prompt `number`."""
    about = ("es", target, "un chileno", f"Escribe el texto {number}.", text or f"Pedro cocina, dice {side} {number}.")
    return Story.make(adapter, side, *about, "m")


def stories(prompts: int, *, target: str = "CL") -> list[Story]:
    """What both models wrote to so many prompts."""
    return [story(side, number, target=target) for side in SIDES for number in range(prompts)]


def write_stories(run: Path, written: Sequence[Story]) -> None:
    """The file as the measure leaves it."""
    run.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in stories_as_rows(written))
    (run / WRITTEN).write_text("".join(lines), encoding="utf-8")


def team(project: Project, country: str, people: int) -> list[str]:
    """So many people of a country."""
    names = [f"{country.lower()}_{number}" for number in range(people)]
    project.ledger.add_people([Person(name, "", "annotator", country, ("es",)) for name in names])
    return names


def judge_stories(project: Project, said: Mapping[str, Sequence[tuple[Item, str]]], country: str) -> None:
    """Submitted responses: user name -> (item, verdict)."""
    moment, task, responses = "2026-01-01T00:00:00.000000", TASKS[NAME], []
    for who, judged in said.items():
        for item, verdict in judged:
            values = task.values(item, StoryVerdict(verdict))
            raw = {"id": f"{item.id}-{who}", "status": "submitted", "values": values, "updated_at": moment}
            about = (raw["id"], item.id, who, country, "submitted", moment, json.dumps(raw))
            responses.append(Response(*about))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)


def judged_by_three(project: Project, country: str = "MX") -> Item:
    """A text that a run's model wrote and three people of a country judged: a strong stereotype."""
    write_stories(project.folder / "runs" / "r", stories(1))
    ask_about_stories(project, "r")
    item = next(item for item in project.ledger.items(NAME) if item.country == country)
    judge_stories(project, {who: [(item, "strong")] for who in team(project, country, 3)}, country)
    return item
