"""`annot sync --watch`: at once when Argilla calls, right when it never does, and no call is believed."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fake_board import FakeBoard
from projects import make_project

from annotation.embedded import Owner
from annotation.errors import BoardError
from annotation.ledger import Response
from annotation.project import Project
from annotation.server_environment import ensure_environment
from annotation.tasks.ranking import answer_values
from annotation.types import Candidate, Judgement, Person, Prompt, Slate
from sync.board import ArgillaBoard, Desk
from sync.cycle import MOST_NAMED, Bell, Watch, doorbell
from sync.pull import judgements
from sync.push import push
from sync.team import add_team

pytestmark = pytest.mark.server

TEXTS = ("Vení a tomar tereré.", "Le invito a usted a un té frío.", "¿Te late un tereré?", "Tereré, dale.")
PATIENCE_S = 90.0
"""How long a busy machine may take for what takes a second."""


@pytest.fixture(scope="module")
def board(argilla_server: tuple[str, Owner]) -> Iterator[ArgillaBoard]:
    connected = ArgillaBoard(argilla_server[0], argilla_server[1].api_key)
    yield connected
    connected.close()


def eventually(holds: Callable[[], object]) -> None:
    """Wait for something to hold."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE_S, "it never came"
        time.sleep(0.05)


class Postman:
    """Stands between Argilla and a doorbell, and keeps its calls until it is told to hand them on."""

    def __init__(self, to: str) -> None:
        """Take the calls for a doorbell at this address."""
        self._to = urlsplit(to)
        self.kept: list[tuple[dict[str, str], bytes]] = []
        self.delivered = 0
        postman = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                postman.kept.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def empty(self) -> None:
        """Hand on what was kept: the last call first, and each twice."""
        for headers, body in reversed(self.kept):
            self.deliver(headers, body)
            self.deliver(headers, body)
        self.kept.clear()

    def deliver(self, headers: dict[str, str], body: bytes) -> None:
        """Call the doorbell."""
        connection = http.client.HTTPConnection(self._to.hostname or "", self._to.port, timeout=30)
        own = {name: value for name, value in headers.items() if name.lower() != "host"}
        connection.request("POST", self._to.path, body, own)
        assert connection.getresponse().status == 204
        connection.close()
        self.delivered += 1

    def close(self) -> None:
        """No longer there."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def watching(project: Project, every_s: int) -> Iterator[subprocess.Popen[str]]:
    """`annot sync --watch` as a lead leaves it running."""
    command = [sys.executable, "-m", "annotation.cli", "sync", "--watch", "--every", str(every_s)]
    process = subprocess.Popen(
        [*command, "--project", str(project.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 130


def hook_of(server: tuple[str, Owner], project: Project) -> dict[str, Any]:
    """The webhook of a project's watch."""
    name = f"annot sync --watch: {project.folder}"
    return next(hook for hook in _webhooks(server) if hook["description"] == name)


WAYS = {"plain": 600, "late": 600, "never": 1}
"""How a lead's calls come -> seconds between two looks at everything: ten minutes are longer than any test."""


class Stage:
    """One pushed dataset, one annotator, and several leads who watch it, each with a ledger of their own."""

    def __init__(self, folder: Path, board: ArgillaBoard, server: tuple[str, Owner], stack: ExitStack) -> None:
        first = make_project(
            folder / "plain",
            '[project]\ncountries = ["PY"]\nlanguages = ["es"]\n[quota]\ntarget = 99\noverlap = 1\n'
            f'[argilla]\nurl = "{board.url}"\n',
        )
        for number in range(9):
            prompt = Prompt.make(f"¿Cómo se invita a un tereré la vez {number}?", country="PY", language="es", topic="")
            answers = [Candidate.make(prompt.id, text, model="m") for text in TEXTS]
            first.ledger.add_prompts([prompt])
            first.ledger.add_candidates(answers)
            first.ledger.add_slates([Slate(f"PY{number}", prompt.id, tuple(a.id for a in answers), number)])
        add_team(first, board, [Person("py_1", "", "annotator", "PY", ("es",))])
        vectors = {slate.id: [0.6, 0.8, 0.0] for slate in first.ledger.slates()}
        push(board, first.ledger, first.settings, vectors=vectors)
        (first.folder / "progress.png").touch()  # nothing to draw yet
        self.slates = {slate.id: slate for slate in first.ledger.slates()}
        self.desk = Desk(board.url, "py_1", first.secrets()["passwords"]["py_1"])
        (self.dataset_id,) = self.desk.datasets().values()
        self.records = self.desk.queue(self.dataset_id)
        self.projects = {"plain": first}
        for way in list(WAYS)[1:]:
            shutil.copytree(first.folder, folder / way)
            self.projects[way] = Project(folder / way, first.settings)
        watches = [
            stack.enter_context(watching(project, every_s))
            for project, every_s in zip(self.projects.values(), WAYS.values(), strict=True)
        ]
        # Everything was looked at once: from now on only calls bring anything, but where none comes.
        for watch in watches:
            assert watch.stdout is not None
            assert "nothing new" in watch.stdout.readline()
        self.postmen: dict[str, Postman] = {}
        for way in ("late", "never"):
            hook = hook_of(server, self.projects[way])
            self.postmen[way] = Postman(hook["url"])
            stack.callback(self.postmen[way].close)
            answer = httpx.patch(
                f"{board.url}/api/v1/webhooks/{hook['id']}",
                json={"url": self.postmen[way].url},
                headers={"X-Argilla-Api-Key": server[1].api_key},
            )
            answer.raise_for_status()

    def answer(self, number: int, order: str = "ABCD", status: str = "submitted") -> dict[str, Any]:
        """Rank one slate."""
        record = self.records[number]
        slate = self.slates[record["external_id"]]
        tiers = tuple((slate.seats["ABCD".index(seat)],) for seat in order)
        return self.desk.answer(
            record["id"], answer_values(Judgement("", slate.id, "py_1", "", tiers), slate), status=status
        )

    def end_state(self, way: str) -> list[Response]:
        """What one lead's ledger says of everything."""
        return sorted(self.projects[way].ledger.responses(), key=lambda response: response.response_id)

    def settle(self, calls: int, moments: list[str], deleted: int) -> None:
        """Until every lead knows, whichever way their calls come.

        Args:
            calls: How many Argilla makes, to each lead.
            moments: Of the last change of every answer that stands.
            deleted: Answers that were taken back.
        """
        eventually(lambda: len(self.postmen["late"].kept) == calls)
        self.postmen["late"].empty()

        def knows(way: str) -> bool:
            found = self.end_state(way)
            standing = [json.loads(response.raw)["updated_at"] for response in found if response.status != "deleted"]
            return sorted(standing) == sorted(moments) and len(found) - len(standing) == deleted

        for way in WAYS:
            eventually(partial(knows, way))


@pytest.fixture(scope="module")
def stage(
    board: ArgillaBoard, argilla_server: tuple[str, Owner], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("ARGILLA_API_KEY", argilla_server[1].api_key)
        yield Stage(tmp_path_factory.mktemp("watch"), board, argilla_server, stack)


def test_lost_doubled_and_reordered_calls_change_nothing_in_the_end(stage: Stage) -> None:
    given = [stage.answer(number) for number in range(5)]
    stage.settle(5, [answer["updated_at"] for answer in given], deleted=0)
    # Of what changed twice before anybody looked, only the end can be known, in whatever order the calls come.
    stage.answer(0, "DCBA")
    stage.answer(5, status="draft")
    stage.desk.withdraw(given[2]["id"])
    changed = [stage.answer(0, "BADC"), stage.answer(1, status="discarded"), given[3], given[4], stage.answer(5)]
    stage.settle(6, [answer["updated_at"] for answer in changed], deleted=1)
    undisturbed = stage.end_state("plain")
    assert sorted(response.status for response in undisturbed) == ["deleted", "discarded", *["submitted"] * 4]
    for way in ("late", "never"):
        assert stage.end_state(way) == undisturbed, way
        assert judgements(stage.projects[way].ledger) == judgements(stage.projects["plain"].ledger)
    assert {way: postman.delivered for way, postman in stage.postmen.items()} == {"late": 22, "never": 0}
    assert len(stage.postmen["never"].kept) == 11


LONG_JOB = """
import sys
from redis import from_url
from rq import Queue
from rq.job import Job

redis = from_url(sys.argv[1])
if sys.argv[2] == "begin":
    print(Queue("default", connection=redis).enqueue("time.sleep", 60).id)
elif sys.argv[2] == "end":
    from rq.command import send_stop_job_command

    send_stop_job_command(redis, sys.argv[3])
else:
    print("started" if Job.fetch(sys.argv[3], connection=redis).is_started else "waiting or done")
"""


def test_a_long_job_keeps_no_call_waiting(stage: Stage, argilla_home: Path) -> None:
    settings = dict(line.split(" ", 1) for line in (argilla_home / "redis" / "redis.conf").read_text().splitlines())
    redis = f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"

    def jobs(*words: str) -> str:
        command = [str(ensure_environment(print)), "-c", LONG_JOB, redis, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    job = jobs("begin")
    try:
        eventually(lambda: jobs("state", job) == "started")
        before = len(stage.end_state("plain"))
        stage.answer(6)
        eventually(lambda: len(stage.end_state("plain")) == before + 1)
        assert jobs("state", job) == "started"
    finally:
        jobs("end", job)


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

    def call(url: str, **headers: str) -> int:
        body = json.dumps({"data": {"record": {"id": "00000000-0000-0000-0000-000000000000"}}}).encode()
        request = urllib.request.Request(url, data=body, method="POST", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        return refused.value.code

    name = "a test of the doorbell"
    board.add_webhook("http://127.0.0.1:9/left-behind", ("response.created",), f"annot sync --watch: {name}")
    with doorbell(Ear(), name) as bell:  # type: ignore[arg-type]
        forged = {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,Zm9yZ2Vk"}
        assert call(heard[0]) == 401
        assert call(heard[0], **forged) == 401
        assert call(heard[0].rpartition("/")[0] + "/guessed", **forged) == 404
        assert not bell.wait(0)
        assert bell.answer() == ([], False)
        hooks = [hook for hook in _webhooks(argilla_server) if name in (hook["description"] or "")]
        assert [hook["url"] for hook in hooks] == heard
    assert not [hook for hook in _webhooks(argilla_server) if name in (hook["description"] or "")]


def _webhooks(server: tuple[str, Owner]) -> list[dict[str, Any]]:
    answer = httpx.get(f"{server[0]}/api/v1/webhooks", headers={"X-Argilla-Api-Key": server[1].api_key})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return found


def test_more_calls_than_can_be_read_one_by_one_are_read_all_together() -> None:
    bell = Bell()
    for number in range(MOST_NAMED + 5):
        bell.ring(str(number % MOST_NAMED))
    named, unnamed = bell.answer()
    assert (len(named), unnamed) == (MOST_NAMED, True)
    bell.ring(None)
    assert bell.answer() == ([], True)
    assert bell.answer() == ([], False)


def test_the_watch_goes_on_when_argilla_is_away_and_stops_at_our_own_bugs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter([BoardError("Argilla is not there."), None, ZeroDivisionError("ours")])

    class Away(FakeBoard):
        """A board that is there only sometimes."""

        def datasets(self) -> list[Any]:
            if error := next(looks):
                raise error
            return super().datasets()

    project = make_project(tmp_path / "away", '[project]\ncountries = ["PY"]\nlanguages = ["es"]\n')
    told: list[object] = []
    with pytest.raises(ZeroDivisionError):
        Watch(project, Away(), Bell(), every_s=0.01, tell=told.append).run()
    assert "Argilla is not there. Trying again" in capsys.readouterr().err
    assert len(told) == 1


def test_a_bug_in_the_counting_ends_the_watch(tmp_path: Path) -> None:
    project = make_project(tmp_path / "bug", '[project]\ncountries = ["PY"]\nlanguages = ["es"]\n')

    def tell(_: object) -> None:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        Watch(project, FakeBoard(), Bell(), every_s=600, tell=tell).run()
