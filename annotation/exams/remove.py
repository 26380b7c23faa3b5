"""`annot exams remove`: an exam is taken out again, as long as nobody was asked about it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from annotation.errors import SettingsError
from annotation.project import CACHE, Project
from annotation.screen import counted
from annotation.tasks.exam.item import NAME, question_of


@dataclass(frozen=True, slots=True)
class ExamsRemoved:
    """What was taken out.

    Attributes:
        removed: Questions.
        asked: Questions of the exam that stay, because they have been pushed.
        dry_run: Nothing was changed.
    """

    removed: int
    asked: int
    dry_run: bool

    def sentence(self) -> str:
        """For a person."""
        asked = f"; {self.asked} stay, since people were asked about them" if self.asked else ""
        done = "would be" if self.dry_run else "was" if self.removed == 1 else "were"
        return f"{counted(self.removed, 'question')} {done} taken out{asked}."


def remove_exam(project: Project, exam: str, *, dry_run: bool = False) -> ExamsRemoved:
    """Take the questions of an exam out that were never pushed, so that they can be added anew, otherwise.

    Args:
        project: Whose.
        exam: Its name.
        dry_run: Change nothing.

    Raises:
        SettingsError: There is no exam of that name.
    """
    with project.lock("exams"), project.lock("push"):
        ledger = project.ledger
        own = [question for question in map(question_of, ledger.items(NAME)) if question.exam == exam]
        if not own:
            names = sorted({question_of(item).exam for item in ledger.items(NAME)})
            raise SettingsError(f'There is no exam "{exam}"; there are {", ".join(names) or "none yet"}.')
        asked = {row["item_id"] for row in ledger.rows("select distinct item_id from pushes")}
        gone = [question for question in own if question.id not in asked]
        if not dry_run:
            with ledger.transaction() as db:
                ids = json.dumps([question.id for question in gone])
                db.execute("delete from items where task = ? and id in (select value from json_each(?))", (NAME, ids))
            # What was counted of them: the counts only hear of what comes.
            (project.folder / CACHE / "tally.sqlite").unlink(missing_ok=True)
            for question in gone:
                if question.picture:
                    (project.folder / question.picture).unlink(missing_ok=True)
    return ExamsRemoved(len(gone), len(own) - len(gone), dry_run)
