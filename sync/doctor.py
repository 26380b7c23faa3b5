"""Diagnosis of what stands in the way: this machine, the project's folder, its Argilla, and what training needs.

Looks and changes nothing. Works without a network and outside a project: what cannot be looked at is left out or said.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from pathlib import Path
from typing import Literal

import httpx
from packaging.version import Version

from annotation.backups.make import archives, is_ahead, say_ahead
from annotation.backups.rolling import standing
from annotation.config import OPEN_BASE, is_closed, refuse_half_restored
from annotation.errors import AnnotError, EncoderError, ServerError, SettingsError
from annotation.hosting import embedded
from annotation.hosting.address import HOST, require_free
from annotation.hosting.environment import pinned_version, standing_environment
from annotation.hosting.processes import redis_binary
from annotation.hosting.storage import require_sound
from annotation.migrations import MIGRATIONS
from annotation.project import MOVING, Project
from annotation.screen import counted
from annotation.selection.embedding import encoder_here
from annotation.tasks import TASKS
from annotation.tasks.page import own_texts
from sync.argilla.client import ArgillaClient, connect
from sync.moving.unfinished import unfinished
from sync.push import standing_dataset, team_pages
from sync.team import workspace_of

Level = Literal["ok", "warn", "fail"]

ENVIRONMENT_BYTES = 1_500_000_000
"""Argilla's environment and what its making leaves behind."""

LEAST_BYTES = 200_000_000
"""Free space below which SQLite and Redis may fail at any moment."""

SKEW_S = (5.0, 120.0)
"""Between two clocks: from here on a sentence, and from here on sessions and the order of answers are in danger."""

TIMEOUT_S = 5.0

LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
"""CUDA -> the oldest driver that runs it, by NVIDIA's table of minor version compatibility."""

MAIN = (
    *("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets"),
    *("argilla", "cohere", "sentence-transformers", "pyarrow", "pydantic"),
)
"""Libraries whose new versions have broken things before."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: In a word or two.
        level: "ok"; "warn": it works, but not as it should; "fail": something will not work.
        said: What was found.
        remedy: What to do; empty where nothing is to be done.
    """

    what: str
    level: Level
    said: str
    remedy: str = ""


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
            return [*found, Finding("project", "fail", "half restored", str(error)), *_training("")]
        found.append(Finding("project", "warn", f"{folder} holds no annot.toml", "`annot init`, or --project DIR"))
        return [*found, *_training("")]
    try:
        project = Project.open(folder)
    except AnnotError as error:
        return [*found, Finding("project", "fail", "annot.toml cannot be used", str(error)), *_training("")]
    for part in (_files, _ledger, _locks, _move, _server, _backup):
        try:
            found += part(project)
        except (AnnotError, OSError) as error:
            found.append(Finding(part.__name__.strip("_"), "fail", "could not be looked at", str(error)))
    return [*found, *_encoder(project), *_training(project.settings.train.preset), *_base(project)]


def worst(findings: list[Finding]) -> Level:
    """The worst level among findings."""
    levels: tuple[Level, ...] = ("ok", "warn", "fail")
    return max((finding.level for finding in findings), key=levels.index, default="ok")


# -- this machine -----------------------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    yield Finding("Python", "ok", "{}.{}.{} at {}".format(*sys.version_info[:3], sys.executable))
    yield Finding("annot", "ok", _version("annot"))
    sdk, server = _version("argilla"), pinned_version()
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

        yield Finding("uv", "ok", f"{_version('uv')} at {uv.find_uv_bin()}")
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
    for name, task in TASKS.items():
        items = project.ledger.items(name)
        if not task.trains and not items:
            continue
        found = {
            workspace_of(country): standing_dataset(
                api, project.ledger, datasets, workspace_of(country), task.form(page, project.settings), items
            )
            for country, page in pages.items()
        }
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


# -- training ---------------------------------------------------------------------------------------------


def _training(preset: str) -> Iterator[Finding]:
    missing = [name for name in ("torch", "trl", "peft", "transformers", "accelerate") if not _version(name)]
    if missing:
        said = f"not installed: {', '.join(missing)}"
        yield Finding("training", "warn", said, "`pip install 'annot[train]'` on the machine that trains")
    else:
        told = ", ".join(f"{name} {_version(name)}" for name in ("torch", "trl", "peft"))
        yield Finding("training", "ok", told)
    yield from _untested()
    presets = [path.name.removesuffix(".toml") for path in (files("train") / "presets").iterdir()]
    if preset and preset not in presets:
        near = get_close_matches(preset, presets, n=1)
        remedy = f'did you mean "{near[0]}"?' if near else f"train.preset is one of {', '.join(sorted(presets))}"
        yield Finding("preset", "fail", f"there is no preset {preset}", remedy)
        preset = ""
    cards = _cards()
    if cards:
        yield Finding("GPU", "ok", "; ".join(cards))
        yield from _driver(cards)
    elif preset.startswith("cpu"):
        yield Finding("GPU", "ok", f"none, and the preset {preset} needs none")
    else:
        said = f"none here, and the preset {preset} needs one" if preset else "none here"
        yield Finding("GPU", "warn", said, "train on another machine (train.launcher, or docker/trainer)")


def _encoder(project: Project) -> Iterator[Finding]:
    """The sentence encoder that `annot select` would load, as far as it is on this machine."""
    name = project.settings.select.encoder
    try:
        found = encoder_here(name, project.folder)
    except EncoderError as error:
        yield Finding("encoder", "fail", f"{name} cannot be used", str(error))
    else:
        yield Finding("encoder", "ok", name if found else f"{name}, which `annot select` fetches from the Hub")


def _base(project: Project) -> Iterator[Finding]:
    """The model that training would start from: its folder, or what is known of its licence; others are looked up on
    the Hub by the trainer.
    """
    from huggingface_hub import get_token

    train = project.settings.train
    base = train.base
    path = files("train") / "presets" / f"{train.preset}.toml"
    if not base and path.is_file():
        base = tomllib.loads(path.read_text(encoding="utf-8"))["base"]["name"]
    if is_closed(base):
        said = f"{base} is CC-BY-NC-4.0 (no commercial use), and the Hub gives it out only to who accepted that"
        remedy = f'accept it on its page and set HF_TOKEN, or set train.base = "{OPEN_BASE}", which is Apache-2.0'
        yield Finding("base", "ok" if get_token() else "warn", said, remedy)
    if base.startswith((".", "/", "~")) or base.count("/") > 1:
        folder = (project.folder / Path(base).expanduser()).resolve()
        if (folder / "config.json").exists():
            yield Finding("base", "ok", str(folder))
        else:
            yield Finding("base", "fail", f"{folder} holds no model (config.json)", "correct train.base in annot.toml")


def _cards() -> list[str]:
    """Names, memory and drivers of NVIDIA's cards; empty where there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _driver(cards: list[str]) -> Iterator[Finding]:
    """The driver, where it is too old for the CUDA that torch is built with."""
    try:
        facts = (Path(str(distribution("torch").locate_file("torch"))) / "version.py").read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError):
        return
    built = re.search(r"^cuda\b.*'(\d+)\.[\d.]+'", facts, re.MULTILINE)
    driver = re.search(r"(\d+)\.[\d.]+$", cards[0])
    least = LEAST_DRIVER.get(int(built[1]), 0) if built else 0
    if built and driver and int(driver[1]) < least:
        said = f"{driver[0]} is too old for torch {_version('torch')}, which is built with CUDA {built[1]}"
        yield Finding("driver", "fail", said, f"a driver from {least} on, or a torch that is built with an older CUDA")


def _untested() -> Iterator[Finding]:
    """Main libraries that are newer than those that annot is tested with; where annot is a package nobody knows."""
    path = Path(__file__).parents[1] / "constraints.txt"
    if not path.exists():
        return
    tested = dict(line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line)
    newer = [
        f"{name} {here} (tested: {tested[name]})"
        for name in MAIN
        if name in tested and (here := _version(name)) and Version(Version(here).public) > Version(tested[name])
    ]
    if newer:
        remedy = f"if something fails, install the tested ones with `pip install --constraint {path} NAME`"
        yield Finding("libraries", "warn", f"newer than annot is tested with: {', '.join(newer)}", remedy)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _ago(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
