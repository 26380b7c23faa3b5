"""Projects with judgements in them, for tests that begin after the people's work."""

import json
from pathlib import Path

from annotation.config import check_settings
from annotation.ledger import Response
from annotation.project import Project
from annotation.tasks.ranking import answer_values
from annotation.types import Candidate, Judgement, Person, Prompt, Slate

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
    project.ledger.add_people([Person(who, "", "annotator", "MX", ("es",)) for who in annotators])
    for number in range(slates):
        prompt = Prompt.make(f"¿Qué se dice en la situación {number}?", country="MX", language="es", topic="comida")
        answers = [
            Candidate.make(prompt.id, f"{GOOD[n]}, respuesta {number} de la clase {n}", model="a file")
            for n in range(4)
        ]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        made.append(Slate(f"slate{number}", prompt.id, tuple(a.id for a in answers), number))
    project.ledger.add_slates(made)
    judge(project, made, annotators)
    return made


def judge(project: Project, slates: list[Slate], annotators: tuple[str, ...]) -> None:
    """Submitted responses as the server would have told them."""
    responses = []
    for slate in slates:
        a, b, c, d = slate.seats
        for who in annotators:
            given = Judgement("", slate.id, who, "MX", ((a,), (b,), (c, d)), problems=("stereotype",))
            moment = "2026-01-01T00:00:00.000000"
            raw = {
                "id": f"{slate.id}-{who}",
                "status": "submitted",
                "values": answer_values(given, slate),
                "inserted_at": moment,
                "updated_at": moment,
            }
            responses.append(
                Response(raw["id"], slate.id, who, "MX", "submitted", moment, json.dumps(raw))  # type: ignore[arg-type]
            )
    project.ledger.add_responses("test", responses)
