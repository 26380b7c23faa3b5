"""The rolling backup: what Argilla's worker makes from time to time, and which archives stay."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from annotation.backups.archive import Backup
from annotation.backups.make import AHEAD_S, archive_name, back_up, rolling_folder
from annotation.errors import AnnotError
from annotation.files import write_whole
from annotation.hosting import embedded
from annotation.hosting.environment import pinned_version
from annotation.hosting.processes import RollingBackup
from annotation.hosting.storage import numbers
from annotation.ledger_file import now
from annotation.project import Project
from annotation.screen import Progress, silent


def rolling(project: Project) -> RollingBackup | None:
    """What Argilla's worker runs from time to time; None where annot.toml wants none."""
    every_s = project.settings.argilla.backup_every_s
    if every_s is None:
        return None
    command = [sys.executable, "-m", "annotation.cli", "backup", "--rolling", "--project", str(project.folder)]
    return RollingBackup(every_s, command)


def keep_before_upgrade(project: Project, say: Callable[[str], None], progress: Progress = silent) -> None:
    """Make an archive before a newer Argilla changes the tables: SQLite cannot undo half a migration."""
    last = embedded.state(project.argilla_home)
    if last.version and not last.running and numbers(last.version) < numbers(pinned_version()):
        made = back_up(project, progress=progress)
        say(f"Before Argilla {last.version} becomes {pinned_version()}, everything was copied to {made.path}.")


def roll(project: Project, *, progress: Progress = silent) -> Backup:
    """Make the next archive of the rolling backup, then remove those that are one too many.

    Why it failed, if it did, is kept for `annot status`: see `standing`.
    """
    folder = rolling_folder(project)
    note = folder / "problem.json"
    try:
        made = back_up(project, folder / archive_name(project), progress=progress)
    except AnnotError as problem:
        with contextlib.suppress(OSError):  # a disk that takes no archive may take no note either
            write_whole(note, json.dumps({"at": now(), "problem": str(problem)}).encode(), mode=0o600)
        raise
    note.unlink(missing_ok=True)
    archives = {path: datetime.fromtimestamp(moment, UTC) for path, moment in _made(folder).items()}
    for path in superfluous(archives, project.settings.argilla.backup_keep):
        path.unlink()
    return made


def superfluous(archives: Mapping[Path, datetime], keep: int) -> list[Path]:
    """Which archives go so that `keep` stay: half of them the newest, half the last ones of earlier days.

    A mistake is often noticed after a weekend: the newest alone would not reach back so far.
    """
    newest_first = sorted(archives, key=lambda path: (archives[path], path.name), reverse=True)
    recent = newest_first[: (keep + 1) // 2]
    days: dict[date, Path] = {archives[path].date(): path for path in recent}
    daily: list[Path] = []
    for path in newest_first[len(recent) :]:
        if len(daily) < keep - len(recent) and days.setdefault(archives[path].date(), path) is path:
            daily.append(path)
    others = [path for path in newest_first if path not in recent and path not in daily]
    kept = {*recent, *daily, *others[: max(0, keep - len(recent) - len(daily))]}
    return [path for path in newest_first if path not in kept]


def _made(folder: Path) -> dict[Path, float]:
    """When each archive was made; without those that are dated in the future, of which nobody knows."""
    made = {path: path.stat().st_mtime for path in folder.glob("*.zip")}
    return {path: moment for path, moment in made.items() if moment <= time.time() + AHEAD_S}


def standing(project: Project) -> str:
    """A sentence when the rolling backup of a running Argilla is not as it should be; empty otherwise."""
    every_s = project.settings.argilla.backup_every_s
    folder = rolling_folder(project)
    if every_s is None:
        return ""
    since = max(_made(folder).values(), default=0.0)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        problem = json.loads((folder / "problem.json").read_text())
        if datetime.fromisoformat(problem["at"]).timestamp() > since:
            return f"The rolling backup failed at {problem['at'][:16].replace('T', ' ')} UTC: {problem['problem']}"
    return ""
