"""Diagnosis of what stands in the way: this machine, the project's folder, its Argilla, and what training needs.

Looks and changes nothing. Works without a network and outside a project: what cannot be looked at is left out or said.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from annotation.backups.make import archives, is_ahead, say_ahead
from annotation.backups.rolling import standing
from annotation.config import refuse_half_restored
from annotation.errors import AnnotError, ServerError, SettingsError
from annotation.hosting import embedded
from annotation.hosting.address import HOST, require_free
from annotation.hosting.environment import pinned_version, standing_environment
from annotation.hosting.processes import redis_binary
from annotation.hosting.storage import require_sound
from annotation.migrations import MIGRATIONS
from annotation.project import MOVING, Project
from annotation.screen import counted
from annotation.tasks import TASKS
from annotation.tasks.base import Task
from annotation.tasks.page import TeamPage, own_texts
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING, ranked_kinds
from annotation.tasks.team_pages import team_pages
from annotation.types import Item
from sync.argilla.client import ArgillaClient, connect
from sync.argilla.protocol import Dataset
from sync.model_findings import Finding, Level, examine_base, examine_encoder, examine_training, version_of
from sync.moving.unfinished import unfinished
from sync.team import workspace_of
from sync.team_datasets import standing_dataset

ENVIRONMENT_BYTES = 1_500_000_000
"""Argilla's environment and what its making leaves behind."""

LEAST_BYTES = 200_000_000
"""Free space below which SQLite and Redis may fail at any moment."""

SKEW_S = (5.0, 120.0)
"""Between two clocks: from here on a sentence, and from here on sessions and the order of answers are in danger."""

TIMEOUT_S = 5.0


def examine(folder: Path) -> list[Finding]:
    """Look at everything that can be looked at from here.

    Raises:
        SettingsError: There is no such folder.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}; --project takes the folder that holds annot.toml.")
    found = [*_versions(), *_environment(), *_disk(folder)]
    if not (folder / "annot.toml").exists():
        try:
            refuse_half_restored(folder)
        except SettingsError as error:
            return [*found, Finding("project", "fail", "half restored", str(error)), *examine_training()]
        found.append(Finding("project", "warn", f"{folder} holds no annot.toml", "`annot init`, or --project DIR"))
        return [*found, *examine_training()]
    try:
        project = Project.open(folder)
    except AnnotError as error:
        return [*found, Finding("project", "fail", "annot.toml cannot be used", str(error)), *examine_training()]
    for part in (_files, _ledger, _locks, _move, _server, _backup):
        try:
            found += part(project)
        except (AnnotError, OSError) as error:
            found.append(Finding(part.__name__.strip("_"), "fail", "could not be looked at", str(error)))
    choices = _choices(project)
    found += [*examine_encoder(project), *examine_training(*(preset for preset, _ in choices))]
    return [*found, *(finding for preset, base in choices for finding in examine_base(project, preset, base))]


def _choices(project: Project) -> list[tuple[str, str]]:
    """Preset and base of each kind of run that the project can have."""
    try:
        there = (project.folder / "ledger.sqlite").exists()
        kinds = (there and ranked_kinds(project.ledger)) or (RANKING,)
    except (AnnotError, OSError, sqlite3.DatabaseError):  # said above
        kinds = (RANKING,)
    return [project.settings.train.choice(pictures=kind == DESCRIPTION) for kind in kinds]


def worst(findings: list[Finding]) -> Level:
    """The worst level among findings."""
    levels: tuple[Level, ...] = ("ok", "warn", "fail")
    return max((finding.level for finding in findings), key=levels.index, default="ok")


# -- this machine -----------------------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    yield Finding("Python", "ok", "{}.{}.{} at {}".format(*sys.version_info[:3], sys.executable))
    yield Finding("annot", "ok", version_of("annot"))
    sdk, server = version_of("argilla"), pinned_version()
    if not sdk:
        yield Finding(
            "Argilla's SDK", "warn", "not installed: `annot push` cannot make datasets", "`pip install argilla`"
        )
    elif sdk.split(".")[:2] != server.split(".")[:2]:
        remedy = f"install argilla {'.'.join(server.split('.')[:2])}"
        yield Finding("Argilla's SDK", "fail", f"{sdk}, and the embedded server is {server}", remedy)
    else:
        yield Finding("Argilla's SDK", "ok", f"{sdk}; the embedded server is {server}")


def _environment() -> Iterator[Finding]:
    """uv, and what it builds: Argilla's environment with Redis in it."""
    try:
        import uv

        yield Finding("uv", "ok", f"{version_of('uv')} at {uv.find_uv_bin()}")
    except (ImportError, FileNotFoundError):
        yield Finding("uv", "fail", "missing: Argilla's environment cannot be built", "`pip install uv`")
    python = standing_environment()
    if python is None:
        yield Finding(
            "Argilla's environment", "warn", "not built yet", "`annot up` builds it, once; that needs the network"
        )
        return
    place = python.parent.parent
    try:
        redis_binary(python)
    except ServerError as error:
        yield Finding("Argilla's environment", "fail", f"Redis is missing from {place}", str(error))
        return
    command = "import importlib.metadata as m; print(m.version('argilla-server'))"
    done = subprocess.run([str(python), "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        remedy = f"delete {place}; `annot up` builds it again"
        yield Finding("Argilla's environment", "fail", f"{place} is damaged", remedy)
    else:
        yield Finding("Argilla's environment", "ok", f"argilla-server {done.stdout.strip()} and Redis in {place}")


def _disk(folder: Path) -> Iterator[Finding]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    needed = LEAST_BYTES if standing_environment() else ENVIRONMENT_BYTES
    places = [(folder, LEAST_BYTES)]
    with contextlib.suppress(OSError):
        while not cache.exists():
            cache = cache.parent
        if cache.stat().st_dev != folder.stat().st_dev:
            places.append((cache, needed))
        else:
            places = [(folder, needed)]
    for place, least in places:
        free = shutil.disk_usage(place).free
        said = f"{free / 1e9:.1f} GB free at {place}"
        if free < least:
            yield Finding("disk", "fail", said, f"make room: at least {least / 1e9:.1f} GB are needed")
        elif free < 5 * least:
            yield Finding("disk", "warn", said, "that will not last; make room, or move the project")
        else:
            yield Finding("disk", "ok", said)
    if not os.access(folder, os.W_OK):
        yield Finding("disk", "fail", f"{folder} cannot be written by you", f"look at `ls -ld {folder}`")


# -- the project's folder ---------------------------------------------------------------------------------


def _files(project: Project) -> Iterator[Finding]:
    """Files with passwords that others on this machine could read."""
    private = [
        project.folder / "secrets.toml",
        project.argilla_home,
        *(project.argilla_home / name for name in ("secrets.json", "argilla.db", "redis/redis.conf")),
    ]
    standing_there = [path for path in private if path.exists()]
    open_ones = [path for path in standing_there if stat.S_IMODE(path.stat().st_mode) & 0o077]
    # What stands in a folder that only its owner enters, nobody else reads.
    if project.argilla_home.exists() and project.argilla_home not in open_ones:
        open_ones = [path for path in open_ones if project.argilla_home not in path.parents]
    for path in open_ones:
        yield Finding("secrets", "fail", f"others can read {path}", f"chmod go= {path}")
    if not open_ones:
        yield Finding("secrets", "ok", f"{len(standing_there)} private files, for you alone")
    project.secrets()  # its sentence, where it is damaged


def _ledger(project: Project) -> Iterator[Finding]:
    path = project.folder / "ledger.sqlite"
    if not path.exists():
        yield Finding("ledger", "ok", "none yet; the first command that has something to remember makes it")
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=TIMEOUT_S)) as db:
            damage = [row[0] for row in db.execute("pragma quick_check(5)") if row[0] != "ok"]
            orphans = db.execute("pragma foreign_key_check").fetchall()
            done = db.execute("select coalesce(max(number), 0) from migrations").fetchone()[0]
            responses = db.execute("select count(*) from responses").fetchone()[0]
    except sqlite3.Error as error:
        yield Finding("ledger", "fail", f"{path} cannot be read: {error}", "`annot restore` brings a backup back")
        return
    if damage or orphans:
        said = damage[0] if damage else f"{counted(len(orphans), 'row refers', 'rows refer')} to nothing"
        yield Finding("ledger", "fail", f"{path} is damaged: {said}", "`annot restore` brings a backup back")
    elif done > len(MIGRATIONS):
        yield Finding("ledger", "fail", f"{path} was made by a newer annot", "upgrade annot")
    else:
        later = "" if done == len(MIGRATIONS) else "; the next command brings it up to date"
        yield Finding("ledger", "ok", f"sound, {responses} versions of responses{later}")


def _locks(project: Project) -> Iterator[Finding]:
    """Steps that another command holds now."""
    from filelock import FileLock, Timeout

    held = []
    for path in sorted((project.folder / ".locks").glob("*.lock")):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
            lock.release()
        except Timeout:
            held.append(path.stem)
    if held:
        yield Finding("locks", "ok", f"at work now: {', '.join(held)}; a second such command waits")
    else:
        yield Finding("locks", "ok", "nothing is under way")


def _move(project: Project) -> Iterator[Finding]:
    """A move that was cut off."""
    if said := unfinished(project):
        yield Finding("move", "warn", said, f"or delete {project.folder / MOVING}, and it is given up")


# -- its Argilla ------------------------------------------------------------------------------------------


def _server(project: Project) -> Iterator[Finding]:
    url = project.settings.argilla.url
    if not url:
        yield from _embedded(project)
        found = embedded.state(project.argilla_home)
        if not found.running:
            return
        url = found.url
    began = time.time()
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/version", timeout=TIMEOUT_S)
        told = answer.json()["version"] if answer.status_code == httpx.codes.OK else ""
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"{url} cannot be reached: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        yield Finding("Argilla", "fail", said, "check argilla.url in annot.toml, the network and the server")
        return
    except (ValueError, KeyError, TypeError):
        told = ""
    if not told:
        yield Finding("Argilla", "fail", f"what answers at {url} is no Argilla", "check argilla.url in annot.toml")
        return
    yield _same_version(url, str(told))
    if date := answer.headers.get("date"):
        yield _clock(url, date, (began + time.time()) / 2)
    try:
        api = connect(project)
    except AnnotError as error:
        yield Finding("rights", "fail", f"annot cannot work at {url}", str(error))
        return
    with contextlib.closing(api):
        yield Finding("rights", "ok", "the key is an owner's")
        yield from _places(project, api)


def _embedded(project: Project) -> Iterator[Finding]:
    found = embedded.state(project.argilla_home)
    port = project.settings.argilla.port
    if found.running:
        reach = "this machine alone" if found.host == HOST else f"everybody who reaches {found.host}"
        yield Finding("embedded Argilla", "ok", f"runs at {found.url}, for {reach}")
        if found.detail:
            yield Finding("embedded Argilla", "warn", found.detail)
        return
    if found.processes:
        yield Finding("embedded Argilla", "fail", found.detail, "`annot up`")
        return
    try:
        require_sound(project.argilla_home)
    except ServerError as error:
        yield Finding("embedded Argilla", "fail", "does not run, and cannot", str(error))
    else:
        yield Finding("embedded Argilla", "ok", "does not run", "`annot up`")
    try:
        require_free(HOST, port)
    except ServerError as error:
        yield Finding("port", "fail", f"{port} is taken", str(error))
    else:
        yield Finding("port", "ok", f"{port} is free")


def _same_version(url: str, told: str) -> Finding:
    ours = pinned_version()
    if told.split(".")[:2] == ours.split(".")[:2]:
        return Finding("Argilla", "ok", f"{told} answers at {url}")
    level: Level = "warn" if told.split(".")[0] == ours.split(".")[0] else "fail"
    return Finding("Argilla", level, f"{told} answers at {url}", f"annot is tested with {ours}; use that version")


def _clock(url: str, date: str, present: float) -> Finding:
    """A server's clock against this one's; the header tells whole seconds."""
    try:
        skew = parsedate_to_datetime(date).timestamp() + 0.5 - present
    except ValueError:
        return Finding("clock", "warn", f'{url} says it is "{date}"', "look at the server's clock")
    said = f"the server's is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) <= SKEW_S[0]:
        return Finding("clock", "ok", "the server's agrees with this machine's")
    level: Level = "warn" if abs(skew) <= SKEW_S[1] else "fail"
    return Finding("clock", level, said, "let both set their clocks by themselves: `timedatectl set-ntp true`")


def _places(project: Project, api: ArgillaClient) -> Iterator[Finding]:
    """Workspaces of the teams, the dataset in each, and accounts that somebody deleted."""
    people = [person for person in project.ledger.people() if person.active]
    if not people:
        yield Finding("team", "ok", "nobody yet", "`annot team add roster.csv`")
        return
    names = {workspace_of(person.country) for person in people}
    workspaces = api.workspaces()
    if missing := sorted(names - set(workspaces)):
        yield Finding("workspaces", "fail", f"missing: {', '.join(missing)}", "`annot team add` with the roster again")
    else:
        yield Finding("workspaces", "ok", ", ".join(sorted(names)))
    accounts = {account.username for account in api.accounts()}
    if gone := sorted(person.username for person in people if person.username not in accounts):
        yield Finding("accounts", "fail", f"missing: {', '.join(gone)}", "`annot team add` with the roster again")
    else:
        yield Finding("accounts", "ok", counted(len(people), "person", "people"))
    datasets, pages = [d for d in api.datasets() if d.ready], team_pages(people, own_texts(project.folder))
    ranked = ranked_kinds(project.ledger) or (RANKING,)

    def dataset_of(country: str, task: Task[Any], page: TeamPage, items: list[Item]) -> Dataset | None:
        form = task.form(page, project.settings)
        # Of cohorts the first stands for all: a push makes what is missing.
        for workspace in (workspace_of(country), workspace_of(country, task.name, 1)):
            if found := standing_dataset(api, project.ledger, datasets, workspace, form, items):
                return found
        return None

    for name, task in TASKS.items():
        items = project.ledger.items(name)
        if not items and name not in ranked:
            continue
        found = {workspace_of(country): dataset_of(country, task, page, items) for country, page in pages.items()}
        if without := sorted(workspace for workspace, dataset in found.items() if dataset is None):
            yield Finding("datasets", "warn", f"none to {task.title} in {', '.join(without)}", "`annot push`")
        else:
            named = sorted(f'"{dataset.name}" in {workspace}' for workspace, dataset in found.items() if dataset)
            yield Finding("datasets", "ok", ", ".join(named))


def _backup(project: Project) -> Iterator[Finding]:
    found = archives(project)
    made = [archive for archive in found if archive.database != "damaged" and not is_ahead(archive)]
    if ahead := say_ahead(found):
        yield Finding("backup", "warn", ahead, "look at this machine's clock, and move them elsewhere")
    if trouble := standing(project):
        yield Finding("backup", "fail", trouble, "mend that; `annot backup` tries again")
    if not made:
        # Nothing to lose yet, or everything.
        empty = not (project.folder / "ledger.sqlite").exists()
        yield Finding("backup", "ok" if empty else "warn", "none yet", "" if empty else "`annot backup`")
        return
    age = datetime.now(UTC) - datetime.fromisoformat(made[0].made_at)
    every_s = project.settings.argilla.backup_every_s
    runs = not project.settings.argilla.url and embedded.state(project.argilla_home).running
    late = timedelta(seconds=2 * every_s + 600) if every_s and runs else timedelta(days=7)
    away = "" if Path(made[0].path).exists() else ", which is not in sight now"
    said = f"the newest is {_ago(age)} old: {made[0].path}{away}"
    if age > late:
        yield Finding("backup", "warn", said, "`annot backup FILE`, to another disk")
    else:
        yield Finding("backup", "ok", said)
    if project.settings.argilla.url:
        yield Finding("backup", "warn", f"the server {project.settings.argilla.url} is not in it", "back that up there")


def _ago(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
