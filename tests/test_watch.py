"""`annot sync --watch`: sooner when Argilla calls, right when it never does, and no call is believed."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from projects import push_project

from annotation.embedded import Owner
from annotation.errors import BoardError
from annotation.project import Project
from annotation.tasks.ranking import answer_values
from annotation.types import Judgement
from sync.board import ArgillaBoard, Desk
from sync.cycle import doorbell, watch
from sync.pull import judgements

pytestmark = pytest.mark.server

TEXTS = ("Vení a tomar tereré.", "Le invito a usted a un té frío.", "¿Te late un tereré?", "Tereré, dale.")


@pytest.fixture
def board(argilla_server: tuple[str, Owner]) -> ArgillaBoard:
    return ArgillaBoard(argilla_server[0], argilla_server[1].api_key)


@contextmanager
def watching(project: Project, every_s: int) -> Iterator[subprocess.Popen[str]]:
    """`annot sync --watch` as a lead leaves it running."""
    command = [sys.executable, "-m", "annotation.cli", "sync", "--watch", "--every", str(every_s)]
    process = subprocess.Popen(
        [*command, "--project", str(project.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        yield process
    finally:
        process.terminate()
        process.wait(60)


def eventually(holds: Callable[[], bool], within_s: float) -> float:
    """Wait for something to hold; returns how long it took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, "it never came"
        time.sleep(0.05)
    return time.monotonic() - began


def answer_all(project: Project, url: str, username: str) -> int:
    desk = Desk(url, username, project.secrets()["passwords"][username])
    (dataset_id,) = desk.datasets().values()
    slates = {slate.id: slate for slate in project.ledger.slates()}
    records = desk.queue(dataset_id)
    for record in records:
        slate = slates[record["external_id"]]
        given = Judgement("", slate.id, username, "", tuple((seat,) for seat in slate.seats))
        desk.answer(record["id"], answer_values(given, slate))
    return len(records)


def test_a_judgement_comes_home_at_once_when_argilla_calls_and_later_when_it_does_not(
    board: ArgillaBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argilla_server: tuple[str, Owner]
) -> None:
    monkeypatch.setenv("ARGILLA_API_KEY", argilla_server[1].api_key)
    project = push_project(tmp_path / "paraguay", board.url, "PY", TEXTS, slates=3)
    with watching(project, every_s=600) as process:
        # The pause between two looks is ten minutes: only a call can have made it look again.
        assert answer_all(project, board.url, "py_1") == 3
        eventually(lambda: len(judgements(project.ledger)) == 3, within_s=60)
    assert process.returncode == 130

    project = push_project(tmp_path / "bolivia", board.url, "BO", TEXTS, slates=3)
    with watching(project, every_s=1):
        board.remove_webhooks(f"annot sync --watch: {project.folder}")
        assert answer_all(project, board.url, "bo_1") == 3
        eventually(lambda: len(judgements(project.ledger)) == 3, within_s=60)


def test_only_a_signed_call_rings_and_a_killed_watch_leaves_no_second_bell(
    board: ArgillaBoard, argilla_server: tuple[str, Owner]
) -> None:
    heard: list[str] = []

    class Ear:
        """The board, with an ear on the address that is registered."""

        def __getattr__(self, name: str) -> object:
            return getattr(board, name)

        def add_webhook(self, url: str, events: tuple[str, ...], description: str) -> tuple[str, str]:
            heard.append(url)
            return board.add_webhook(url, events, description)

    name = "a test of the doorbell"
    board.add_webhook("http://127.0.0.1:9/left-behind", ("response.created",), f"annot sync --watch: {name}")
    with doorbell(Ear(), name) as rung:  # type: ignore[arg-type]
        request = urllib.request.Request(heard[0], data=b"{}", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 401
        assert not rung.is_set()
        hooks = [hook for hook in _webhooks(argilla_server) if name in (hook["description"] or "")]
        assert [hook["url"] for hook in hooks] == heard
    assert not [hook for hook in _webhooks(argilla_server) if name in (hook["description"] or "")]


def _webhooks(server: tuple[str, Owner]) -> list[dict[str, str]]:
    answer = httpx.get(f"{server[0]}/api/v1/webhooks", headers={"X-Argilla-Api-Key": server[1].api_key})
    found: list[dict[str, str]] = answer.raise_for_status().json()["items"]
    return found


def test_the_watch_goes_on_when_argilla_is_away_and_stops_at_our_own_bugs(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter([None, BoardError("Argilla is not there."), None, ZeroDivisionError("ours")])

    def once() -> None:
        if error := next(looks):
            raise error

    with pytest.raises(ZeroDivisionError):
        watch(once, threading.Event(), every_s=0.01, rest_s=0)
    assert "Argilla is not there. Trying again" in capsys.readouterr().err
