"""`annot sync --watch`: an answer is in the ledger soon after it was given, and whatever goes wrong, in the end."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_argilla import Annotator, FakeArgilla, FakeWorld, RealWorld, World, person, ranking_of, some_project
from projects import annot

from annotation.errors import ArgillaError
from annotation.hosting.embedded import Owner
from annotation.ledger import Response
from annotation.project import Project
from sync.argilla.paging import walk
from sync.argilla.protocol import Change, Changes
from sync.cycle import Synced, follow
from sync.pull import pull
from sync.push import push
from sync.team import add_team

PATIENCE_S = 90.0
"""How long a busy machine may take for what takes a second."""

LONG_S = 600.0
"""Longer than any test."""


def eventually(holds: Callable[[], object]) -> None:
    """Wait for something to hold."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE_S, "it never came"
        time.sleep(0.05)


class Stage:
    """A pushed project and somebody who answers."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.project = some_project(folder, slates=8, name=f"set {uuid4().hex[:8]}")
        tail = uuid4().hex[:6]
        add_team(self.project, world.api, [person(f"ana-{tail}"), person(f"rui-{tail}", "BR")])
        push(world.api, self.project.ledger, self.project.settings)
        name = self.project.settings.task.ranking.dataset
        self.dataset = next(d for d in world.api.datasets() if (d.name, d.workspace) == (name, "mx"))
        self.records = list(self.project.ledger.pushed(world.api.server, self.dataset.id).values())
        self.client = self.annotator_client(f"ana-{tail}")

    @property
    def argilla(self) -> FakeArgilla:
        """The Argilla in memory, with its switches."""
        assert isinstance(self.world, FakeWorld)
        return self.world.api

    def annotator_client(self, username: str) -> Annotator:
        return self.world.annotator_client(username, self.project.secrets()["passwords"][username])

    def answer(self, number: int, ranks: str = "1234", status: str = "submitted") -> dict[str, Any]:
        """Rank one slate."""
        return self.client.answer(self.records[number], ranking_of(ranks), status=status)

    def kept(self) -> list[Response]:
        """What the ledger says of every response."""
        return self.project.ledger.responses()

    def there(self) -> dict[str, Any]:
        """What Argilla says of every response."""
        pages = walk(self.world.api, self.dataset.id, responses=True)
        return {response["id"]: response for record in pages for response in record["responses"]}

    def up_to_date(self) -> bool:
        """Whether the ledger holds what Argilla does."""
        found = {r.response_id: json.loads(r.raw) for r in self.kept() if r.status != "deleted"}
        return found == self.there()


@pytest.fixture
def memory(tmp_path: Path) -> Stage:
    """With an Argilla in memory, which can be made to lie."""
    return Stage(FakeWorld(), tmp_path / "p")


class Over(Exception):
    """The test is over."""


class Ending:
    """An Argilla in memory whose watch can be ended."""

    def __init__(self, api: FakeArgilla) -> None:
        self._api, self.over = api, threading.Event()

    def __getattr__(self, name: str) -> Any:
        if self.over.is_set():
            raise Over
        return getattr(self._api, name)

    def changes(self, after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        until = time.monotonic() + wait_s
        while True:
            if self.over.is_set():
                raise Over
            found = self._api.changes(after, wait_s=min(0.05, wait_s))
            if found is None or found.last != after or time.monotonic() >= until:
                return found


@contextmanager
def watching(stage: Stage, *, every_s: float = LONG_S) -> Iterator[list[Synced]]:
    """A watch in a thread of its own; what it told so far."""
    api, told = Ending(stage.argilla), list[Synced]()

    def work() -> None:
        follow(Project.open(stage.project.folder), api, every_s=every_s, tell=told.append)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as thread:
        watch = thread.submit(work)
        try:
            eventually(lambda: told or watch.done())
            yield told
        finally:
            api.over.set()
        with pytest.raises(Over):
            watch.result()


# -- the command, and a real Argilla ----------------------------------------------------------------------


@contextmanager
def command(project: Project, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`annot sync --watch` as a lead leaves it running."""
    line = [sys.executable, "-m", "annotation.cli", "sync", "--watch", *words, "--project", str(project.folder)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def stage(
    real_world: RealWorld, argilla_server: tuple[str, Owner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """With the real Argilla, which the command finds by its address."""
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    monkeypatch.setattr(real_world.api, "server", url)
    made = Stage(real_world, tmp_path / "p")
    toml = made.project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace('# url = ""', f'url = "{url}"'))
    return made


@pytest.mark.server
def test_an_answer_is_in_the_ledger_as_soon_as_the_feed_tells_of_it(stage: Stage) -> None:
    with command(stage.project, "--every", "600") as watch:
        assert watch.stdout is not None
        assert "nothing new" in watch.stdout.readline()
        given = [stage.answer(number) for number in range(3)]
        eventually(stage.up_to_date)
        assert len(stage.kept()) == 3
        stage.answer(0, "4321")
        stage.client.withdraw(given[1]["id"])
        stage.answer(2, status="discarded")
        stage.answer(3, status="draft")
        eventually(stage.up_to_date)
    assert watch.returncode == 130
    assert sorted(r.status for r in stage.kept()) == ["deleted", "discarded", "draft", "submitted"]
    # Killed, and started again: it goes on from where it was.
    with command(stage.project, "--every", "600") as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.kill()
    stage.answer(1, "2143")
    with command(stage.project, "--every", "600"):
        eventually(stage.up_to_date)
    whole = pull(stage.world.api, stage.project.ledger, whole=True)
    assert (whole.changed, whole.untold) == (False, 0)


@pytest.mark.server
def test_the_command_reads_everything_when_it_is_asked_to(stage: Stage) -> None:
    def sync(*words: str) -> dict[str, Any]:
        pulled: dict[str, Any] = json.loads(annot(stage.project, "sync", "--json", *words))["pulled"]
        return pulled

    assert sync()["whole"]
    stage.answer(0)
    followed = sync()
    assert (followed["whole"], followed["records"], followed["new"]) == (False, 1, 1)
    stage.answer(1)
    full = sync("--full")
    assert (full["whole"], full["new"], full["untold"], full["missing"]) == (True, 1, 0, 0)
    assert full["responses"] == {"submitted": 2}
    stage.answer(2)
    with command(stage.project, "--full", "--json", "--every", "600") as watch:
        assert watch.stdout is not None
        first = json.loads(read_object(watch.stdout))
        assert (first["pulled"]["whole"], first["pulled"]["new"]) == (True, 1)


def read_object(lines: Iterator[str]) -> str:
    """One JSON object that is printed over several lines."""
    return "".join(itertools.chain(itertools.takewhile(lambda line: line != "}\n", lines), ["}"]))


# -- what a feed may do, and a server that keeps none -----------------------------------------------------


def test_the_watch_tells_of_every_answer_once(memory: Stage) -> None:
    with watching(memory) as told:
        for number in range(4):
            memory.answer(number)
            eventually(memory.up_to_date)
        eventually(lambda: sum(synced.pulled.new for synced in told) == 4)
        assert told[-1].report.statuses == {"submitted": 4}
        assert told[0].pulled.whole
        assert not any(synced.pulled.whole for synced in told[1:])


@pytest.mark.parametrize("lie", ["misses", "doubles", "reorders"])
def test_a_feed_that_misses_doubles_or_reorders_changes_nothing_in_the_end(
    memory: Stage, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr("sync.cycle.WAIT_S", 0.1)
    missed = memory.records[1]
    lies: dict[str, Callable[[list[Change]], list[Change]]] = {
        "misses": lambda told: [change for change in told if change.record_id != missed],
        "doubles": lambda told: [*told, *told],
        "reorders": lambda told: told[::-1],
    }
    with watching(memory) as told:
        memory.argilla.telling = lies[lie]
        first = memory.answer(0)
        for number in (1, 2, 3):
            memory.answer(number)
        memory.answer(2, "4321")
        memory.client.withdraw(first["id"])
        memory.answer(3, status="draft")
        if lie == "misses":
            eventually(lambda: len(memory.kept()) >= 2)
            eventually(lambda: told[-1].report.statuses.get("draft") == 1)
            assert not memory.up_to_date()
            monkeypatch.setattr("sync.pull.WHOLE_EVERY", timedelta(0))
            eventually(lambda: told[-1].pulled.untold)
            monkeypatch.setattr("sync.pull.WHOLE_EVERY", timedelta(days=1))
            assert (told[-1].pulled.new, told[-1].pulled.untold) == (1, 1)
            assert "; 1 of them were missing in the server's change feed" in told[-1].sentence()
        eventually(memory.up_to_date)
        eventually(lambda: told[-1].report.statuses["submitted"] == 2)
    assert sum(synced.pulled.untold for synced in told) == (lie == "misses")
    whole = pull(memory.argilla, memory.project.ledger, whole=True)
    assert (whole.changed, whole.untold) == (False, 0)


def test_another_feed_makes_the_watch_read_everything(memory: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.cycle.WAIT_S", 0.1)
    with watching(memory) as told:
        memory.answer(0)
        eventually(memory.up_to_date)
        # A restore: the feed is another one, and knows nothing of what came before.
        with memory.argilla.news:
            memory.answer(1)
            memory.argilla.feed = str(uuid4())
            memory.argilla.noted.clear()
        eventually(memory.up_to_date)
        eventually(lambda: told[-1].pulled.whole)
        assert told[-1].pulled.untold == 0
        memory.answer(2)
        eventually(memory.up_to_date)


def test_a_server_without_a_feed_is_polled(memory: Stage) -> None:
    memory.argilla.feed = None
    with watching(memory, every_s=0.05) as told:
        for number in range(3):
            memory.answer(number)
            eventually(memory.up_to_date)
        eventually(lambda: sum(synced.pulled.new for synced in told) == 3)
        assert all(synced.pulled.whole for synced in told)
    assert memory.project.ledger.feed(memory.argilla.server)[0] == ""


def test_answers_come_home_while_it_is_not_yet_time_to_count_again(
    memory: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.cycle.SHARE", 10**9)
    waits = []
    changes = memory.argilla.changes

    def ask(after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        waits.append(wait_s)
        return changes(after, wait_s=wait_s)

    memory.argilla.changes = ask  # type: ignore[method-assign]
    with watching(memory) as told:
        for number in range(3):
            memory.answer(number)
            eventually(memory.up_to_date)
        assert len(told) == 1
    assert max(waits) <= 60  # a server refuses to keep anybody waiting for longer


# -- what goes wrong ------------------------------------------------------------------------------------


def test_the_watch_goes_on_when_argilla_is_away_and_stops_at_our_own_bugs(
    memory: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    # A cycle looks when it reads, and when it says who is asked what.
    looks = iter([ArgillaError("Argilla is not there."), None, None, ZeroDivisionError("ours")])
    datasets = memory.argilla.datasets

    def away() -> list[Any]:
        if error := next(looks):
            raise error
        return datasets()

    memory.argilla.datasets, memory.argilla.feed = away, None  # type: ignore[method-assign]
    told: list[Synced] = []
    with pytest.raises(ZeroDivisionError):
        follow(memory.project, memory.argilla, every_s=0.01, tell=told.append)
    assert "Argilla is not there. Trying again" in capsys.readouterr().err
    assert len(told) == 1


def test_a_feed_that_is_away_is_said_and_asked_again(memory: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    changes, fails = memory.argilla.changes, itertools.cycle([True, False])

    def away(after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        if wait_s and next(fails):
            raise ArgillaError("Argilla is not there.")
        return changes(after, wait_s=wait_s)

    memory.argilla.changes = away  # type: ignore[method-assign]
    with watching(memory, every_s=0.01):
        for number in range(4):
            memory.answer(number)
            eventually(memory.up_to_date)
    assert "Argilla is not there. Trying again in 0 s." in capsys.readouterr().err


def test_what_came_before_argilla_went_away_is_told(memory: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.argilla.paging.PAGE", 1)
    for number in range(4):
        memory.answer(number)

    def go_away() -> None:
        if len(memory.kept()) == 2:
            memory.argilla.between_pages = lambda: None
            raise ArgillaError("Argilla is not there.")

    def tell(synced: Synced) -> None:
        assert (synced.pulled.new, synced.report.statuses) == (4, {"submitted": 4})
        raise Over

    memory.argilla.between_pages = go_away
    with pytest.raises(Over):
        follow(memory.project, memory.argilla, every_s=0.01, tell=tell)


def test_the_settings_are_those_that_are_written_down_now(memory: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    path = memory.project.folder / "annot.toml"
    before = path.read_text(encoding="utf-8")
    after = re.sub(r"^(?:# )?target = 50 ", "target = 3 ", before, count=1, flags=re.MULTILINE)
    assert after != before
    seen: list[int] = []

    def change(synced: Synced) -> None:
        seen.append(synced.report.quotas[0].quota.target)
        if len(seen) == 1:
            path.write_text(after.replace("target = 3", "target = many"), encoding="utf-8")
        elif len(seen) == 2:
            raise Over
        memory.answer(len(seen))
        threading.Timer(0.5, lambda: path.write_text(after, encoding="utf-8")).start()

    with pytest.raises(Over):
        follow(memory.project, memory.argilla, every_s=0.05, tell=change)
    assert seen == [50, 3]
    told = capsys.readouterr().err
    assert told.count("Until then nothing is counted") == 1
    assert "annot.toml changed: task.ranking.target = 3." in told


def test_a_bug_in_the_counting_ends_the_watch(memory: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        follow(memory.project, memory.argilla, every_s=LONG_S, tell=fail)
    monkeypatch.setattr("sync.cycle.report", fail)
    with pytest.raises(ZeroDivisionError):
        follow(memory.project, memory.argilla, every_s=LONG_S, tell=lambda _: None)
