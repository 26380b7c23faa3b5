"""Projects with pictures in them: drawn ones, their descriptions, and what people said of these."""

from collections.abc import Iterable
from pathlib import Path

from picture_files import as_file
from picture_files import drawn as drawing
from projects import GOOD, judge

from annotation.images.question import QUESTION
from annotation.images.refine import Refined, refine
from annotation.images.store import add_pictures, write_picture
from annotation.project import Project
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Picture, Prompt, Slate, picture_file

SIZE = (640, 480)


def drawn(number: int, size: tuple[int, int] = SIZE) -> Refined:
    """A picture as a project keeps it, another one for every number."""
    made = refine(as_file(drawing(number, size), "PNG"))
    assert isinstance(made, Refined)
    return made


def add_picture(project: Project, number: int, size: tuple[int, int] = SIZE) -> str:
    """Put a drawn picture into a project; returns its id."""
    made = drawn(number, size)
    write_picture(project.folder, made.id, made.jpeg, made.view)
    source = f"plates.csv:{number} plato {number}.jpg"
    about = (source, "CC-BY-4.0", "Taller de dibujo", "none")
    add_pictures(project.ledger, [Picture(made.id, made.likeness, made.width, made.height, *about)])
    return made.id


def add_drawn(
    project: Project,
    numbers: Iterable[int],
    *,
    size: tuple[int, int] = SIZE,
    country: str = "MX",
    language: str = "es",
) -> list[Prompt]:
    """Put drawn pictures into a project, and a prompt about each."""
    prompts = [
        Prompt.make(
            QUESTION[language],
            country=country,
            language=language,
            topic="comida",
            image=add_picture(project, number, size),
        )
        for number in numbers
    ]
    project.ledger.add_prompts(prompts)
    return prompts


def file_of(project: Project, prompt: Prompt) -> Path:
    """The file of the picture that a prompt is about."""
    return project.folder / picture_file(prompt.image)


def describe(project: Project, pictures: int, annotators: tuple[str, ...] = ("mx_1", "mx_2")) -> list[Slate]:
    """Pictures, four descriptions of each, slates, and a judgement of every slate by every annotator: A B (C D)."""
    made = []
    for number, prompt in enumerate(add_drawn(project, range(pictures))):
        texts = [f"{GOOD[n]}: el plato número {number}, visto de la manera {n}." for n in range(4)]
        said = [Candidate.make(prompt.id, text, model="a file") for text in texts]
        project.ledger.add_candidates(said)
        made.append(Slate(f"plate{number}", prompt.id, tuple(one.id for one in said), 1000 + number))
    add_slates(project.ledger, made)
    judge(project, made, annotators)
    return made


def files_in(folder: Path) -> list[str]:
    """Paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
