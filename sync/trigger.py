"""Trigger of runs: when a task's quotas are met, one snapshot and one run; two syncs or a crash change nothing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from annotation.errors import ProjectError
from annotation.ledger_file import now
from annotation.lineage.node import read_object
from annotation.project import HOLDS_FORGOTTEN, Project
from annotation.screen import counted
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.types import content_id
from sync.quotas import QuotaState, all_met
from sync.snapshot import freeze

MOST_STARTS = 5
"""A local run that is cut off is started again this many times before a person must look."""

LOCAL = "local"
"""The launcher that trains on this machine."""

State = Literal["started", "running", "finished", "failed", "unknown", "handed over", "missing"]


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that the trigger owns.

    Attributes:
        snapshot_id: What it is trained on.
        run: Its name; the folder is runs/NAME.
        state: "started" (by this very call), "running", "finished", "failed", "handed over" to the team's own
            launcher, "unknown" (the launcher was cut off and only a person can tell what became of it), or "missing"
            (it was started, and its folder is not here: an archive holds no runs).
        detail: One sentence for the lead.
    """

    snapshot_id: str
    run: str
    state: State
    detail: str


def trigger(
    project: Project, quotas: Sequence[QuotaState], task: str = RANKING, *, relaunch: bool = False
) -> Launch | None:
    """Freeze a snapshot of a task and start its run, if every quota of the task is met; None while one is not.

    The quotas themselves are the key: the same quotas, once met, have one snapshot and one run, however
    often this is called and however many judgements come later. Raising a quota makes room for the next; so does
    `annot forget`, where it took something out that the snapshot holds. A snapshot that was deleted is frozen again.

    Args:
        project: The project.
        quotas: How far they have come.
        task: A task that starts runs.
        relaunch: Start again a run that failed or whose launcher was cut off.
    """
    if not all_met(quotas, task):
        return None
    with project.lock("trigger"):
        key = _key([state for state in quotas if state.quota.task == task])
        ledger = project.ledger
        found = ledger.rows("select snapshot_id, run from launches where quotas = ?", key)
        while found and _superseded(project, found[0]["snapshot_id"], found[0]["run"]):
            key = content_id(key, found[0]["snapshot_id"])
            found = ledger.rows("select snapshot_id, run from launches where quotas = ?", key)
        if not found:
            try:
                snapshot = freeze(project, quotas, task)
            except ProjectError as error:  # the file of a picture is gone: other tasks have runs of their own
                return Launch("", "", "failed", str(error))
            if snapshot is None:
                of = "" if task == RANKING else f" of the task {task}"
                detail = f"every quota{of} is met, but no preference is clear enough to train on; see `annot export`."
                return Launch("", "", "failed", detail)
            if same := ledger.rows("select run from launches where snapshot_id = ?", snapshot.id):
                return _ensure_running(project, snapshot.id, same[0]["run"], relaunch)
            with ledger.transaction() as db:
                db.execute(
                    "insert into launches values (?,?,?,?)",
                    (key, snapshot.id, f"{snapshot.made_at[:10]}-{snapshot.id[:8]}", now()),
                )
            found = ledger.rows("select snapshot_id, run from launches where quotas = ?", key)
        return _ensure_running(project, found[0]["snapshot_id"], found[0]["run"], relaunch)


def launches(project: Project) -> list[Launch]:
    """Every run that the trigger owns and how it stands; starts nothing."""
    found = project.ledger.rows("select snapshot_id, run from launches order by at")
    return [_look(project, row["snapshot_id"], row["run"]) for row in found]


def _key(states: Sequence[QuotaState]) -> str:
    # The ranking is not named: its runs were there before those of other tasks. How many are owed below the target does
    # not matter: there is one run of what there is, and then one in full.
    parts = []
    for state in states:
        q, target = state.quota, state.quota.target if state.completed >= state.quota.target else "all there is"
        named, later = [] if q.task == RANKING else [q.task], [state.round] if state.round > 1 else []
        parts.append(json.dumps([*named, q.country, q.topic, q.language, target, q.overlap, *later]))
    return content_id(*parts)


def _superseded(project: Project, snapshot_id: str, run: str) -> bool:
    """Whether a run's snapshot holds what was forgotten since, or is gone before the run was trained on it.

    A run that is being trained is waited for.
    """
    snapshot, state = project.snapshot_folder(snapshot_id), _look(project, snapshot_id, run).state
    if not (snapshot / "snapshot.json").exists():
        return state in ("failed", "unknown")
    return (snapshot / HOLDS_FORGOTTEN).exists() and state != "running"


def _look(project: Project, snapshot_id: str, run: str) -> Launch:
    folder = project.run_folder(run)
    events = project.ledger.rows("select event, detail from launch_events where run = ? order by seq", run)
    last = events[-1]["event"] if events else ""
    local = _was_local(project, run)
    if (folder / "DONE").exists():
        return Launch(snapshot_id, run, "finished", f"runs/{run} is finished; read runs/{run}/report.md.")
    if (folder / "FAILED").exists():
        reason = (folder / "FAILED").read_text(encoding="utf-8").strip()
        return Launch(snapshot_id, run, "failed", f"runs/{run} failed: {reason} Then run `annot sync --relaunch`.")
    if last == "failed":
        detail = f"the launcher of runs/{run} failed: {events[-1]['detail']}; mend train.launcher, then run "
        return Launch(snapshot_id, run, "failed", detail + "`annot sync --relaunch`.")
    if local and last and not folder.exists():
        # Made before the start is noted. Perhaps it is finished, where this project came from.
        detail = f"runs/{run} was started, and its folder is not here (an archive of `annot backup` holds no runs): "
        return Launch(snapshot_id, run, "missing", detail + "copy it here, or train it again: `annot sync --relaunch`.")
    if _is_locked(folder) or (local and last == "started" and _is_alive(events[-1]["detail"])):
        return Launch(snapshot_id, run, "running", f"runs/{run} is training; read runs/{run}/log.txt.")
    if not local and last == "started":
        return Launch(snapshot_id, run, "handed over", f"runs/{run} was handed to your launcher.")
    if not local and last == "starting":
        detail = f"the launcher of runs/{run} was cut off; if nothing is queued, run `annot sync --relaunch`."
        return Launch(snapshot_id, run, "unknown", detail)
    return Launch(snapshot_id, run, "unknown", f"runs/{run} is not running; `annot sync` goes on with it.")


def _ensure_running(project: Project, snapshot_id: str, run: str, relaunch: bool) -> Launch:
    seen = _look(project, snapshot_id, run)
    if seen.state in ("finished", "running", "handed over") and not (relaunch and seen.state == "handed over"):
        return seen
    local = project.settings.train.launcher == LOCAL
    starts = len(project.ledger.rows("select 1 from launch_events where run = ? and event = 'starting'", run))
    if not relaunch:
        # What became of a launcher that was cut off, only a person can know; a local run simply goes on.
        if seen.state in ("failed", "missing") or (starts and not _was_local(project, run)):
            return seen
        if starts >= MOST_STARTS:
            detail = f"runs/{run} was cut off {counted(starts, 'time')}; read runs/{run}/log.txt, "
            detail += "then `annot sync --relaunch`."
            return Launch(snapshot_id, run, "failed", detail)
    folder = project.run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "FAILED").unlink(missing_ok=True)
    if local:
        _note(project, run, "starting", LOCAL)
        return _start_local(project, snapshot_id, run, folder, again=starts > 0 and seen.state != "missing")
    words = _launcher_words(project, snapshot_id, run)
    _note(project, run, "starting", "launcher")  # its line may name a key
    return _hand_over(project, snapshot_id, run, folder, words)


def _was_local(project: Project, run: str) -> bool:
    """Whether the last start was on this machine, whatever train.launcher says today."""
    starts = project.ledger.rows(
        "select detail from launch_events where run = ? and event = 'starting' order by seq desc limit 1", run
    )
    return bool(starts) and starts[0]["detail"] == LOCAL


def train_command(project: Project, snapshot_id: str, run: str) -> list[str]:
    """The command that trains a run, for this machine or for the team's own launcher."""
    command = [sys.executable, "-m", "annotation.cli", "train", "--project", str(project.folder)]
    return [*command, "--snapshot", snapshot_id, *train_options(project, snapshot_id, run)]


def train_options(project: Project, snapshot_id: str, run: str) -> list[str]:
    """The part of the command that is the same on every machine."""
    settings = project.settings.train
    preset, base = settings.choice(pictures=task_of(project, snapshot_id) == DESCRIPTION)
    return ["--run", run, "--preset", preset, "--by", settings.by, *(["--base", base] if base else [])]


def task_of(project: Project, snapshot_id: str) -> str:
    """The task that a snapshot is of; the ranking where it does not say: an older one, or one that is gone."""
    return str(read_object(project.snapshot_folder(snapshot_id) / "snapshot.json").get("task", RANKING))


def _start_local(project: Project, snapshot_id: str, run: str, folder: Path, *, again: bool) -> Launch:
    with (folder / "log.txt").open("ab") as log:
        # A session of its own: closing the lead's terminal does not end the run.
        process = subprocess.Popen(
            train_command(project, snapshot_id, run),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=project.folder,
        )
    _note(project, run, "started", f"{process.pid} {_created(process.pid)}")
    verb = "was cut off and goes on" if again else "has started"
    return Launch(snapshot_id, run, "started", f"runs/{run} {verb}; read runs/{run}/log.txt.")


def _launcher_words(project: Project, snapshot_id: str, run: str) -> list[str]:
    known = {"{run}": run, "{project}": str(project.folder), "{snapshot}": snapshot_id}
    words = shlex.split(project.settings.train.launcher)
    for name, value in known.items():
        words = [word.replace(name, value) for word in words]
    return words


def _hand_over(project: Project, snapshot_id: str, run: str, folder: Path, words: list[str]) -> Launch:
    environment = {
        **os.environ,
        # Last: what was installed together with annot (hf, torchrun) is found where there is no other.
        "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]),
        "ANNOT_RUN": run,
        "ANNOT_PROJECT": str(project.folder),
        "ANNOT_SNAPSHOT": snapshot_id,
        "ANNOT_TRAIN": shlex.join(train_command(project, snapshot_id, run)),
        "ANNOT_TRAIN_OPTIONS": shlex.join(train_options(project, snapshot_id, run)),
    }
    print(f"annot: handing runs/{run} to your launcher: {words[0]} ...", file=sys.stderr)
    with (folder / "launcher.log").open("ab") as log:
        try:
            code = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=project.folder,
                check=False,
            ).returncode
        except OSError as error:
            code, reason = -1, f"{words[0]}: {error.strerror}"
        else:
            reason = f"exit code {code}, see runs/{run}/launcher.log"
    _note(project, run, "started" if code == 0 else "failed", "" if code == 0 else reason)
    if code == 0:
        return Launch(snapshot_id, run, "started", f"runs/{run} was handed to your launcher.")
    return _look(project, snapshot_id, run)


def _note(project: Project, run: str, event: str, detail: str) -> None:
    with project.ledger.transaction() as db:
        db.execute("insert into launch_events (run, event, detail, at) values (?,?,?,?)", (run, event, detail, now()))


def _is_locked(folder: Path) -> bool:
    """Whether a training process holds the run."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def _created(pid: int) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def _is_alive(detail: str) -> bool:
    """Whether the very process that was started still runs, not another that was given its number."""
    import psutil

    pid, created = detail.split()
    try:
        process = psutil.Process(int(pid))
        return bool(abs(process.create_time() - float(created)) < 1 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
