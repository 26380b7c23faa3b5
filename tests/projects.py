"""Projects with judgements in them, for tests that begin after the people's work."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation.config import check_settings
from annotation.ledger import Response
from annotation.project import Project
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.base import Texts
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Item, Judgement, Person, Prompt, Slate, Snapshot
from sync.quotas import QuotaState, count_quotas
from sync.snapshot import freeze

GOOD = ("ándale pues", "qué padre", "platicamos luego", "ahorita vengo")


def make_project(folder: Path, settings: str) -> Project:
    """A project with these settings, written as they are."""
    import tomllib

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annot.toml").write_text(settings, encoding="utf-8")
    return Project(folder, check_settings(tomllib.loads(settings), place="test"))


def fill(project: Project, slates: int, annotators: tuple[str, ...] = ("mx_1", "mx_2")) -> list[Slate]:
    """Prompts, four answers each, slates, and a judgement of every slate by every annotator: A B (C D)."""
    made = []
    for number in range(slates):
        prompt = Prompt.make(f"¿Qué se dice en la situación {number}?", country="MX", language="es", topic="comida")
        answers = [
            Candidate.make(prompt.id, f"{GOOD[n]}, respuesta {number} de la clase {n}", model="a file")
            for n in range(4)
        ]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        made.append(Slate(f"slate{number}", prompt.id, tuple(a.id for a in answers), number))
    add_slates(project.ledger, made)
    judge(project, made, annotators)
    return made


def annot(project: Project, *words: str) -> str:
    """Run the command as a lead does, and return what it printed."""
    command = [sys.executable, "-m", "annotation.cli", *words, "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_progress(stderr: str) -> list[str]:
    """Lines that a command wrote, but for those that say how far it is: a slow machine has those too."""
    return [line for line in stderr.splitlines() if not re.match(r"annot: [a-z ]+: \d+( of \d+)?( |$)", line)]


def push_project(folder: Path, url: str, country: str, texts: Sequence[str], *, slates: int = 2) -> Project:
    """A project on a running server (ARGILLA_API_KEY is set): pushed slates, and one annotator, COUNTRY_1."""
    project = make_project(
        folder,
        f'[project]\ncountries = ["{country}"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 9\noverlap = 1\n'
        f'[argilla]\nurl = "{url}"\n',
    )
    for number in range(slates):
        prompt = Prompt.make(f"¿Cómo se invita a un mate la vez {number}?", country=country, language="es")
        answers = [Candidate.make(prompt.id, text, model="a secret model", voice="a secret voice") for text in texts]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        add_slates(project.ledger, [Slate(f"{country}{number}", prompt.id, tuple(a.id for a in answers), number)])
    roster = project.folder / "roster.csv"
    name = f"{country.lower()}_1"
    roster.write_text(f"username,name,role,country,languages\n{name},Demo,annotator,{country},es\n", encoding="utf-8")
    annot(project, "team", "add", str(roster))
    annot(project, "push")
    return project


def judge(project: Project, slates: list[Slate], annotators: tuple[str, ...]) -> None:
    """Submitted responses as the server would have told them."""
    responses = []
    project.ledger.add_people([Person(who, "", "annotator", "MX", ("es",)) for who in annotators])
    for slate in slates:
        a, b, c, d = slate.seats
        for who in annotators:
            given = Judgement(((a,), (b,), (c, d)), problems={d: ("stereotype",)})
            moment = "2026-01-01T00:00:00.000000"
            raw = {
                "id": f"{slate.id}-{who}",
                "status": "submitted",
                "values": ranking_values(given, slate),
                "inserted_at": moment,
                "updated_at": moment,
            }
            responses.append(
                Response(raw["id"], slate.id, who, "MX", "submitted", moment, json.dumps(raw))  # type: ignore[arg-type]
            )
    project.ledger.add_responses("test", responses)


def other_way(project: Project, slates: Sequence[Slate], who: str) -> None:
    """Submitted responses of somebody who says the contrary of what `judge` writes: D C B A, one a minute."""
    project.ledger.add_people([Person(who, "", "annotator", "MX", ("es",))])
    responses = []
    for number, slate in enumerate(slates):
        given = Judgement(tuple((candidate,) for candidate in reversed(slate.seats)))
        raw = {"id": f"{slate.id}-{who}", "status": "submitted", "values": ranking_values(given, slate)}
        moment = f"2026-01-02T{number // 60:02}:{number % 60:02}:00.000000"
        responses.append(Response(raw["id"], slate.id, who, "MX", "submitted", moment, json.dumps(raw)))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)


def quotas(project: Project) -> tuple[QuotaState, ...]:
    """How far the quotas have come."""
    return count_quotas(project.settings, count(project.ledger, project.settings))


def frozen(project: Project) -> Snapshot:
    """A snapshot of what the ledger says now."""
    snapshot = freeze(project, quotas(project))
    assert snapshot is not None
    return snapshot


def ranking_item(slate: Slate) -> Item:
    """A slate as an item of no group."""
    return Item(slate.id, "ranking", slate.position, "", "", "", {"seats": list(slate.seats)}, slate.prompt_id)


def ranking_values(judgement: Judgement, slate: Slate) -> dict[str, Any]:
    """What the page would send for a judgement."""
    return TASKS["ranking"].values(ranking_item(slate), judgement)


def ranking_record(
    slate: Slate, prompt: Prompt, texts: Mapping[str, str], vector: Sequence[float] | None
) -> dict[str, Any]:
    """A slate as a record."""
    item = replace(
        ranking_item(slate), country=prompt.country, language=prompt.language, topic=prompt.topic, prompt_id=prompt.id
    )
    return TASKS["ranking"].record(item, Texts({prompt.id: prompt}, texts), vector)
