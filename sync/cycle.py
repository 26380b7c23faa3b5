"""One cycle of `annot sync` (pull, count, trigger), and cycles for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from annotation.config import read_settings
from annotation.errors import ArgillaError, SettingsError
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.types import Person
from sync.argilla.protocol import ArgillaApi
from sync.assignment import keep_rules
from sync.pull import Pulled, Reader, pull, wait_for_change
from sync.quotas import owing
from sync.reporting.status import Report, report
from sync.trigger import Launch, launches, trigger
from sync.weights import refresh

WAIT_S = 25.0
"""How long a watch asks the change feed to wait for the next answer."""

SHARE = 4
"""Counting takes long in a large project, and so does reading everything: so many times as long passes until the next
time. While nothing is counted, answers come home."""


@dataclass(frozen=True)
class Synced:
    """What one cycle did.

    Attributes:
        pulled: What came home.
        report: How the project stands now.
        launches: Runs that met quotas own: one for each task whose own are met.
        weighed: People whose votes weigh something else now, as measured.
    """

    pulled: Pulled
    report: Report
    launches: tuple[Launch, ...]
    weighed: tuple[Person, ...] = ()

    @property
    def changed(self) -> bool:
        """Anything that a person would want to hear of."""
        started = any(launch.state == "started" for launch in self.launches)
        return self.pulled.changed or started or bool(self.weighed)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        unfit = dict(self.report.unfit)
        pulled = {**self.pulled.as_json(), "responses": dict(self.report.statuses), "dropped": unfit}
        return {"pulled": pulled, "weighed": {p.username: p.weight for p in self.weighed}, **self.report.as_json()}

    def sentence(self) -> str:
        """One line for the lead, and another where votes weigh something else now."""
        came = self.pulled.sentence(self.report.statuses, sum(self.report.unfit.values()))
        weigh = ", ".join(f"{person.username} {person.weight:g}" for person in self.weighed)
        return f"{came}\nVotes weigh, as measured: {weigh}." if weigh else came


def sync_once(
    project: Project, api: ArgillaApi, *, whole: bool = False, relaunch: bool = False, progress: Progress = silent
) -> Synced:
    """Pull, count, and start the run when every quota is met. A second sync waits for the first."""
    with project.lock("sync"):
        brought = pull(api, project.ledger, whole=whole, progress=progress)
    return _settle(project, api, brought, relaunch=relaunch, progress=progress)


def _settle(
    project: Project, api: ArgillaApi, brought: Pulled, *, relaunch: bool = False, progress: Progress = silent
) -> Synced:
    """Where the project stands after a pull. Outside the lock: a launcher of the team's own may take its time."""
    keep_rules(api, project.ledger, project.settings)
    weighed = refresh(project, progress=progress)  # first: what is counted and what is frozen hears it
    found = report(project, progress=progress)
    auto = project.settings.train.auto or relaunch
    owned = (trigger(project, found.quotas, task, relaunch=relaunch) for task in owing(found.quotas) if auto)
    started = tuple(launch for launch in owned if launch)
    unborn = (launch for launch in started if not launch.run)  # nothing is clear enough, or a picture is gone
    return Synced(brought, replace(found, runs=(*launches(project), *unborn)), started, weighed)


def follow(
    project: Project, api: ArgillaApi, *, every_s: float, whole: bool = False, tell: Callable[[Synced], None]
) -> None:
    """Sync for ever: as soon as somebody answered where the server keeps a change feed, every so often elsewhere.

    While Argilla is away this says so and goes on; other errors end it. The settings are read at every count: what
    changed in annot.toml is said, and while it makes no sense nothing is counted and no run starts.

    Args:
        project: The project.
        api: Its Argilla.
        every_s: Pause between two readings where there is no feed (longer where a reading takes long), and before
            Argilla is asked again after it was away.
        whole: Read everything first, whatever the feed tells.
        tell: Given the first cycle, and every later one that brought judgements or after which the run stands
            differently.
    """
    standing: list[str] | None = None
    complaint = ""
    uncounted, count_at = Pulled(), 0.0
    while True:
        reads = time.monotonic()
        reader = Reader(api, project.ledger)
        try:
            try:
                with project.lock("sync"):
                    reader.bring_home(whole=whole)
            finally:
                uncounted = uncounted.and_then(reader.pulled)  # what came before Argilla went away came
            whole, began = False, time.monotonic()
            pause = max(every_s, SHARE * (began - reads))
            if began >= count_at:
                project = _as_set_now(project)
                synced, uncounted = _settle(project, api, uncounted), Pulled()
                count_at = time.monotonic() + SHARE * (time.monotonic() - began)
                # That a run which has started is still running is no news.
                now_standing = [launch.state.replace("started", "running") for launch in synced.launches]
                if synced.changed or now_standing != standing:
                    tell(synced)
                standing = now_standing
            patience = max(0.0, count_at - time.monotonic()) if uncounted.changed else WAIT_S
            if not wait_for_change(api, project.ledger, min(patience, WAIT_S)):
                time.sleep(pause)
            complaint = ""
        except SettingsError as error:
            if complaint != str(error):
                print(f"annot: {error} Until then nothing is counted and no run starts.", file=sys.stderr)
            complaint = str(error)
            time.sleep(every_s)
        except ArgillaError as error:
            print(f"annot: {error} Trying again in {every_s:.0f} s.", file=sys.stderr)
            time.sleep(every_s)


def _as_set_now(project: Project) -> Project:
    """The project with its settings as they are by now; what changed is said.

    Raises:
        SettingsError: They make no sense, or name another Argilla.
    """
    path, before = project.folder / "annot.toml", project.settings
    now = read_settings(path)
    if now == before:
        return project
    if now.argilla != before.argilla:
        raise SettingsError(f"{path} says another Argilla than this watch works with; end it and start it again.")
    changes = [
        key if key == "train.launcher" else f"{key} = {value}"  # its line may name a key
        for key, value in _flat(now.model_dump())
        if (key, value) not in _flat(before.model_dump())
    ]
    print(f"annot: annot.toml changed: {', '.join(changes) or 'less is set'}.", file=sys.stderr)
    changed = replace(project, settings=now)
    vars(changed)["ledger"] = project.ledger  # its connection to the database stays
    return changed


def _flat(settings: Mapping[str, Any], of: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in settings.items()
        for pair in (_flat(value, f"{of}{key}.") if isinstance(value, Mapping) else [(f"{of}{key}", value)])
    ]
