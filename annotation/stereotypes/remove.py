"""`annot stereotypes remove`: what a source brought is taken out again, as long as nobody was asked about it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from annotation.errors import SettingsError
from annotation.project import CACHE, Project
from annotation.screen import counted
from annotation.stereotypes.sources import read_from, source_name
from annotation.tasks.stereotype.item import NAME

_LISTED = "(select value from json_each(?))"


@dataclass(frozen=True, slots=True)
class StereotypesRemoved:
    """What was taken out.

    Attributes:
        removed: Associations that stand in the project no more, for any country.
        asked: Those meant that stay, because people of some country were asked about them.
        ratings: Rows of ratings of files that went with them.
        dry_run: Nothing was changed.
    """

    removed: int
    asked: int
    ratings: int
    dry_run: bool

    def sentence(self) -> str:
        """For a person."""
        asked = f"; {self.asked} stay, since people were asked about them" if self.asked else ""
        done = "would be" if self.dry_run else "was" if self.removed == 1 else "were"
        ratings = f" with {counted(self.ratings, 'rating')} of their sources" if self.ratings else ""
        return f"{counted(self.removed, 'stereotype')} {done} taken out{ratings}{asked}."


def remove_stereotypes(project: Project, which: str, *, dry_run: bool = False) -> StereotypesRemoved:
    """Take associations out that nobody was asked about yet, with what their sources say of them.

    Args:
        project: Whose.
        which: Name of the file or dataset that they were read from, or the id of one association.
        dry_run: Change nothing.

    Raises:
        SettingsError: Nothing was read from there, and no association has that id.
    """

    def forget_counts() -> None:
        """The counts only hear of what comes."""
        (project.folder / CACHE / "tally.sqlite").unlink(missing_ok=True)

    names = {source_name(which), source_name(Path(which).name)}
    with project.lock("stereotypes"), project.lock("push"):
        ledger = project.ledger
        items = ledger.rows(
            """select id, json_extract(content, '$.id') as association, json_extract(content, '$.source') as source,
                 exists (select 1 from pushes p where p.item_id = items.id) as asked
               from items where task = ? order by position""",
            NAME,
        )
        meant = {
            row["association"] for row in items if row["association"] == which or read_from(row["source"]) in names
        }
        if not meant:
            known = sorted({read_from(row["source"]) for row in items})
            raise SettingsError(
                f'No stereotype was read from "{which}", and none has that id; there are those of '
                f"{', '.join(known[:8]) or 'no source yet'}."
            )
        stay = meant & {row["association"] for row in items if row["asked"]}
        gone = json.dumps(sorted(meant - stay))
        with ledger.undone() if dry_run else nullcontext(), ledger.transaction() as db:
            about = f"task = ? and json_extract(content, '$.id') in {_LISTED}"
            # Shared again, they come as new ones, and not as taken out.
            db.execute(f"delete from item_changes where item_id in (select id from items where {about})", (NAME, gone))
            db.execute(f"delete from items where {about}", (NAME, gone))
            ratings = db.execute(f"delete from file_ratings where association in {_LISTED}", (gone,)).rowcount
            if not dry_run:
                forget_counts()
        if not dry_run:
            forget_counts()  # somebody may have counted meanwhile
    return StereotypesRemoved(len(meant) - len(stay), len(stay), ratings, dry_run)
