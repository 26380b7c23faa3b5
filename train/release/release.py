"""The release of a finished run: model, data and demo as folders, checked, and pushed to the Hub where asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.files import write_whole
from annotation.ledger import now
from annotation.project import Project
from annotation.screen import Progress, silent
from train.evaluate.gate import gate_of, remedy
from train.release.dataset import make_dataset
from train.release.folder import read_release
from train.release.given import keep_given
from train.release.hub.push import Planned, Pushed, plan, push, votes_repo
from train.release.lint import lint
from train.release.model import make_model
from train.release.space import make_space
from train.run_folder import claimed, finished_run

RELEASES = "releases.jsonl"
"""In the run's folder: every folder and repository in which it was given away, a line each."""


@dataclass(frozen=True, slots=True)
class Released:
    """A folder that was made, and what became of it.

    Attributes:
        kind: "model", "dataset" or "space".
        folder: Where it is.
        problems: What has to be put right before it may leave this machine.
        pushed: What became of it on the Hub; None where it was not pushed.
    """

    kind: str
    folder: Path
    problems: Sequence[str]
    pushed: Pushed | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a run.

    Attributes:
        folders: What was made.
        planned: What a push would send; nothing where none was asked for, or where it was done.
    """

    folders: Sequence[Released]
    planned: Sequence[Planned] = ()

    def lines(self) -> list[str]:
        """For a person."""
        lines = []
        for one in self.folders:
            lines.append(f"{one.kind}: {one.folder}")
            lines += [f"  put right before a push: {problem}" for problem in one.problems]
            if one.pushed:
                lines.append(f"  {one.pushed.sentence()}")
                lines += [f"  now: {sentence}" for sentence in one.pushed.to_do]
        for repository in self.planned:
            lines.append(f"Would go to the {repository.kind} {repository.repo} ({repository.size:,} bytes):")
            lines += [f"  {size:>13,}  {name}" for name, size in repository.files]
        return lines


def release(
    run: Path,
    *,
    project: Project | None = None,
    to: Path | None = None,
    space: Path | None = None,
    merged: bool = False,
    dtype: str = "float32",
    ungated: bool = False,
    repository: str = "",
    private: bool = True,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Release:
    """Give a run away, if it was measured and its worst group passed; again, with what is true now.

    Args:
        run: Folder of a finished run.
        project: Whose data goes with it; None on a machine that has only the run: then there is no dataset.
        to: Folder for `model` and `dataset`; None makes neither.
        space: Folder for the demo; None makes none.
        merged: The whole model instead of the adapter.
        dtype: Of a merged model's weights on disk.
        ungated: Give it away whatever its gate says; the cards say so.
        repository: OWNER/NAME to push to; "" pushes nothing.
        private: Of a repository that is not there yet.
        dry_run: Push nothing, and say what would be.
        progress: Told the stage.

    Raises:
        SettingsError: The name is none that the Hub takes, there is no token, or there is no such dtype.
        TrainError: The run is not finished, its gate is not passed, a folder is taken, something has to be put right
            before a push, or the Hub refuses it.
        TrainLater: The run is in use, or the base or the Hub cannot be reached.
    """
    from train.libraries import quiet_libraries

    finished_run(run)
    gate = gate_of(run)
    if not (ungated or gate.open):
        raise TrainError(
            f"{run.name} is not given away, because its gate is {gate.verdict}: {gate.reason}; "
            f"{remedy(gate, run.name)}, or take it upon yourself with --ungated."
        )
    ledger = project.ledger.name if project else ""
    made: list[Released] = []
    with claimed(run, "released"), quiet_libraries(None):
        given = keep_given(
            run, project.settings if project else None, repository=repository, with_data=bool(project and to)
        )
        if to:
            make_model(run, to / "model", given, merged=merged, dtype=dtype, project=ledger, progress=progress)
            made.append(Released("model", to / "model", ()))
        if to and project:
            make_dataset(project, run, to / "dataset", given, progress=progress)
            made.append(Released("dataset", to / "dataset", ()))
        if space:
            votes = votes_repo(repository) if repository else ""
            make_space(run, space, given, project=project, votes_repo=votes, ungated=not gate.open)
            made.append(Released("space", space, ()))
        made = [replace(one, problems=lint(one.folder, run)) for one in made]
        for one in made:
            _note(run, one)
    if not repository:
        return Release(made)
    planned = plan([(one.kind, one.folder) for one in made], repository, progress=progress)
    if dry_run:
        return Release(made, planned)
    if problems := [problem for one in made for problem in one.problems]:
        raise TrainError("nothing is pushed before this is put right: " + "; ".join(problems) + ".")
    for number, one in enumerate(made):
        done = push(one.kind, one.folder, repository, private=private, progress=progress)
        made[number] = replace(one, pushed=done)
        _note(run, made[number])
    return Release(made)


def _note(run: Path, one: Released) -> None:
    """Write down in the run's folder where it was given away, once."""
    path, facts = run / RELEASES, read_release(one.folder)
    line: dict[str, Any] = {
        "kind": one.kind,
        "repo": one.pushed.repo if one.pushed else "",
        "folder": str(one.folder.resolve()),
        "commit": one.pushed.commit if one.pushed else "",
        **{key: facts.get(key) for key in ("snapshot", "adapter_sha256", "gate")},
    }
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not any(line.items() <= json.loads(told).items() for told in before):
        lines = [*before, json.dumps({**line, "at": now()}, ensure_ascii=False)]
        write_whole(path, ("\n".join(lines) + "\n").encode())
