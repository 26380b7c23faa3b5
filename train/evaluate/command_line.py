"""Command line of `annot evaluate`: the measures and files that it names, with the project's questions and votes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from annotation.errors import SettingsError
from annotation.project import Project
from annotation.screen import counted
from annotation.stereotypes.stories import JudgedStory, judged_stories
from annotation.tasks.duel.votes import Duel, read_duels
from annotation.types import ExamQuestion, MinimalPair
from train.data.pairs import read_pairs
from train.data.rows import read_rows
from train.data.split import all_texts
from train.run_folder import finished_run


def exam_questions_of(folder: Path) -> tuple[ExamQuestion, ...]:
    """Questions that people have checked; none where the folder is no project, since runs can be made without one."""
    if not (folder.expanduser() / "annot.toml").exists():
        return ()
    from annotation.exams.checked import exam_questions

    project = Project.open(folder)
    return tuple(exam_questions(project.ledger, project.settings))


def minimal_pairs_of(folder: Path) -> tuple[MinimalPair, ...]:
    """Minimal pairs that people have checked; none where the folder is no project."""
    if not (folder.expanduser() / "annot.toml").exists():
        return ()
    from annotation.stereotypes.pairs import checked_pairs

    project = Project.open(folder)
    return tuple(checked_pairs(project.ledger, project.settings))


def duels_about(folder: Path, run: Path) -> tuple[list[Duel], str]:
    """Visitors' votes about a run's adapter, none where the folder is no project, and the version of the run's base.

    Raises:
        TrainError: The run is not finished.
    """
    facts, adapter = finished_run(run)
    here = (folder.expanduser() / "annot.toml").exists()
    duels = read_duels(Project.open(folder).ledger, adapter=adapter, texts=False) if here else []
    return duels, facts["base_version"]


def stories_about(folder: Path, run: Path) -> list[JudgedStory]:
    """What people said of texts of a run's models; none where the folder is no project.

    Raises:
        TrainError: The run is not finished.
    """
    if not (folder.expanduser() / "annot.toml").exists():
        return []
    project = Project.open(folder)
    return judged_stories(project.ledger, project.settings, finished_run(run)[1])


def shows_pictures(run: Path) -> bool:
    """Whether a run held out pictures, more than one: only beside another one is seen whether a model looks."""
    path = run / "held_out_slates.jsonl"
    return path.exists() and len({row.get("image", "") for row in read_rows(path)} - {""}) > 1


def seen_in_training(run: Path, questions: Sequence[ExamQuestion]) -> set[str]:
    """Ids of the questions that stand in the texts of a run's train.jsonl, by 13 words in a row."""
    texts = run / "train.jsonl"
    if not questions or not texts.exists():
        return set()
    from annotation.exams.contamination import shared_ngrams

    return set(shared_ngrams(questions, all_texts(read_pairs(texts))))


def chosen_measures(
    on: str,
    questions: Sequence[ExamQuestion],
    say: Callable[[str], None],
    duels: Sequence[Duel] = (),
    base_version: str = "",
    pairs: Sequence[MinimalPair] = (),
    stories: Sequence[JudgedStory] = (),
    *,
    looks: bool = False,
) -> list[str]:
    """Measures that a command line names, or the usual ones: those of more than slates too, where there is something.

    Args:
        on: Names with commas, or "".
        questions: Checked questions.
        say: Told where exams or votes are left out.
        duels: Visitors' votes about the run's adapter.
        base_version: Of the run; only votes about this one count.
        pairs: Checked minimal pairs.
        stories: What people said of texts of the run's models.
        looks: The run held out pictures.
    """
    if on:
        return [name.strip() for name in on.split(",") if name.strip()]
    if questions and find_spec("lm_eval") is None:
        say("exams are not measured: lm-evaluation-harness is not installed (`pip install 'annot[evaluate]'`).")
        questions = ()
    own = any(duel.base_version == base_version for duel in duels)
    if duels and not own:
        say(f"votes are not counted: {counted(len(duels), 'vote')} were given on another version of the base.")
    there = {"exams": bool(questions), "votes": own, "bias": bool(pairs), "stories": bool(stories)}
    return [
        "ranking",
        *(["looks"] if looks else []),
        "writing",
        *(name for name, something in there.items() if something),
    ]


def files_of_tasks(given: Sequence[str]) -> dict[str, Path]:
    """Task -> file, from TASK=FILE each.

    Raises:
        SettingsError: One has no "=".
    """
    pairs = [text.partition("=") for text in given]
    for text, (task, equals, file) in zip(given, pairs, strict=True):
        if not (task and equals and file):
            raise SettingsError(f"--task-data {text}: write TASK=FILE, for example esbbq_age=esbbq_age.jsonl.")
    return {task: Path(file).expanduser() for task, _, file in pairs}
