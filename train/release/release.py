"""The release of a finished run: model, data and demo as folders, checked, and pushed to the Hub where asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError, TrainError
from annotation.files import write_whole
from annotation.ledger_file import now
from annotation.project import HOLDS_FORGOTTEN, Project
from annotation.screen import Progress, silent
from train.evaluate.gate import gate_of, remedy
from train.evaluate.run import check_evaluation
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
                lines += [f"  still to do: {sentence}" for sentence in one.pushed.to_do]
        for repository in self.planned:
            lines.append(f"Would go to the {repository.kind} {repository.repo} ({repository.size:,} bytes):")
            lines += [f"  {size:>13,}  {name}" for name, size in repository.files]
        if any(one.problems for one in self.folders):
            lines.append("Next: put right what is said above, then run the same command again")
        elif not any(one.pushed for one in self.folders):
            how = "without --dry-run" if self.planned else "with --push OWNER/NAME"
            lines.append(f"Next: read README.md in each folder, then run the same command {how}")
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
        project: Whose data goes with it, once people have answered; None on a machine that has only the run.
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

    facts, _ = finished_run(run)
    if facts.get("snapshot") and (run.parent.parent / "snapshots" / facts["snapshot"] / HOLDS_FORGOTTEN).exists():
        raise TrainError(
            f"{run.name} is not given away, because its snapshot holds what `annot forget` took out of the project: "
            "train again (`annot sync` makes a snapshot and a run without it when the quotas are met), and release the "
            "new run."
        )
    check_evaluation(run)
    gate, settings = gate_of(run), project.settings if project else None
    if not (ungated or gate.open):
        raise TrainError(
            f"{run.name} is not given away, because its gate is {gate.verdict}: {gate.reason}; "
            f"{remedy(gate, run.name)}, or take it upon yourself with --ungated."
        )
    if to and space and any(space.resolve().is_relative_to((to / kind).resolve()) for kind in ("model", "dataset")):
        raise SettingsError(f"--space {space} lies inside of a folder that is made anew; name one beside it.")
    data = project if project and to and _has_answers(project) else None
    folders: dict[str, Path] = {}
    with claimed(run, "released"), quiet_libraries(None):
        releases_of(run)  # refused before anything is made
        given = keep_given(run, settings, repository=repository, with_data=bool(data and _is_data(data, run)))
        if to:
            folders["model"] = to / "model"
            if data:
                folders["dataset"] = to / "dataset"
                make_dataset(data, run, folders["dataset"], given, progress=progress)
            ledger = data.ledger.name if data else ""
            make_model(run, folders["model"], given, merged=merged, dtype=dtype, project=ledger, progress=progress)
        if space:
            folders["space"] = space
            votes = votes_repo(given.model) if given.model else ""
            make_space(run, space, given, project=project, votes_repo=votes, ungated=not gate.open)
        made = [Released(kind, folder, lint(folder, run)) for kind, folder in folders.items()]
        for one in made:
            _note(run, one.kind, one.folder)
    if not repository or dry_run:
        return Release(made, plan(list(folders.items()), repository, progress=progress) if repository else ())
    if problems := [problem for one in made for problem in one.problems]:
        raise TrainError("nothing is pushed before this is put right: " + "; ".join(problems) + ".")
    with claimed(run, "released"):
        for number, one in enumerate(made):
            _note(run, one.kind, one.folder, repository)  # first: whoever is killed amid it has given it away perhaps
            done = push(one.kind, one.folder, repository, private=private, progress=progress)
            made[number] = replace(one, pushed=done)
            _note(run, one.kind, one.folder, repository, done.commit)
    return Release(made)


def _has_answers(project: Project) -> bool:
    """Whether anybody has answered anything; a ledger that is not there is not made."""
    there = (project.folder / "ledger.sqlite").exists()
    return there and bool(project.ledger.rows("select 1 from responses where status = 'submitted' limit 1"))


def _is_data(project: Project, run: Path) -> bool:
    """Whether a run was trained on a snapshot of this project."""
    snapshot = str(finished_run(run)[0].get("snapshot") or ".none")
    return (project.snapshot_folder(snapshot) / "snapshot.json").exists()


def _note(run: Path, kind: str, folder: Path, repository: str = "", commit: str = "") -> None:
    """Write down in the run's folder where it is given away, once."""
    facts = read_release(folder)
    line: dict[str, Any] = {
        "kind": kind,
        "repo": repository,
        "folder": str(folder.resolve()),
        "commit": commit,
        **{key: facts.get(key) for key in ("snapshot", "adapter_sha256", "gate")},
    }
    before = releases_of(run)
    if not any(line.items() <= told.items() for told in before):
        lines = [json.dumps(told, ensure_ascii=False) for told in (*before, {**line, "at": now()})]
        write_whole(run / RELEASES, ("\n".join(lines) + "\n").encode())


def releases_of(run: Path) -> list[dict[str, Any]]:
    """Where a run was given away.

    Raises:
        TrainError: The file is damaged.
    """
    path = run / RELEASES
    try:
        told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    except (ValueError, RecursionError):
        told = [None]
    if not all(isinstance(line, dict) for line in told):
        raise TrainError(f"{path} is damaged: not every line is a JSON object; put a copy back, or remove it.")
    return told
