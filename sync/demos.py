"""Demos that come with annot: one of questions and their answers, one of pictures and their descriptions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from annotation.errors import ProjectError
from annotation.project import CACHE, Project
from annotation.prompts.add import add_prompts
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING

COUNTRIES = ("AR", "BR", "CL", "CO", "ES", "MX", "PE", "PT")


@dataclass(frozen=True, slots=True)
class Demo:
    """What differs between the demos.

    Attributes:
        name: Of its folder, before what else was chosen.
        of: What it has, for a sentence.
        task: What people do.
        preset: Of its run.
        real_preset: The same with a real base, or "".
        simulated_target: Slates per country that simulated annotators complete before the run starts.
        person_target: Slates of one country after which it starts when a person ranks: a few minutes' work.
        sources: Names of its files, each row with what was noted about its candidates.
        add: Puts its prompts into a project.
    """

    name: str
    of: str
    task: str
    preset: str
    real_preset: str
    simulated_target: int
    person_target: int
    sources: tuple[str, ...]
    add: Callable[[Project, Demo], None]

    def files(self) -> list[Path]:
        """Its files.

        Raises:
            ProjectError: They are missing.
        """
        found = [Path(str(files("annotation") / "demo" / name)) for name in self.sources]
        if not all(path.exists() for path in found):
            raise ProjectError("annot's own demo files are missing from this installation; install annot again.")
        return found

    def notes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Text of a candidate, and what the demo's author noted about it: its fit and its problem."""
        for path in self.files():
            for row in rows_of(path):
                yield from ((candidate["text"], candidate) for candidate in row["candidates"])

    def preset_of(self, project: Project) -> str:
        """The preset by which a project trains what this demo has."""
        return project.settings.train.choice(pictures=self.task == DESCRIPTION)[0]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a demo's file."""
    text = path.read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]
    return rows


def _add_questions(project: Project, demo: Demo) -> None:
    for source in demo.files():
        add_prompts(project, str(source), answers=False)


def _add_pictures(project: Project, demo: Demo) -> None:
    from annotation.demo.pictures import CREATOR, LICENCE, draw_pictures
    from annotation.images.add import add_images

    folder = project.folder / CACHE / "demo-pictures"
    draw_pictures(folder)
    columns = ("picture", "country", "language", "topic")
    with (folder / "pictures.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(row for path in demo.files() for row in rows_of(path))
    add_images(project, str(folder / "pictures.csv"), licence=LICENCE, creator=CREATOR, people="none")


QUESTIONS = Demo(
    name="demo",
    of="questions",
    task=RANKING,
    preset="cpu-smoke",
    real_preset="cpu-smollm2",
    simulated_target=4,
    person_target=5,
    sources=("es_america.jsonl", "iberia_brasil_chile.jsonl"),
    add=_add_questions,
)
"""48 prompts over 8 countries in Spanish and Portuguese, six answers each."""

PICTURES = Demo(
    name="demo-images",
    of="pictures",
    task=DESCRIPTION,
    preset="cpu-smoke-vlm",
    real_preset="",
    simulated_target=3,
    person_target=3,
    sources=("pictures.json",),
    add=_add_pictures,
)
"""24 drawings of the same countries, six descriptions each."""
