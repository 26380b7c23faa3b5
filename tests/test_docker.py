"""What can be known of docker/ without an engine: schema, linter, pins, secrets, and that it agrees with the code.

The images themselves are built by nobody here; docs/argilla.md says what was tried how.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import free_port
from fake_argilla import some_project
from hub_server import TOKEN, HubStandIn

from annotation.backups.make import back_up
from annotation.hosting import embedded
from annotation.hosting.environment import pinned_version
from annotation.project import Project
from annotation.tasks.ranking.slates import read_slates

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker" / "compose.yaml"
DOCKERFILES = sorted((ROOT / "docker").glob("*/Dockerfile"))
REQUIRED = re.compile(r"\$\{(\w+):\?")


def compose() -> dict[str, Any]:
    """The stack, anchors resolved."""
    told: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return told


def load(path: Path) -> types.ModuleType:
    """A script of docker/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


serve = load(ROOT / "docker" / "argilla" / "serve.py")
make_space = load(ROOT / "docker" / "argilla" / "make_space.py")


# -- the stack ------------------------------------------------------------------------------------------


def test_the_stack_follows_the_compose_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", "--verbose", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = subprocess.run(
        [*command[:-1], "-"], input="services: {a: {imagge: b}}", capture_output=True, text=True, check=False
    )
    assert broken.returncode == 1  # so the schema is really looked at


def test_every_service_is_pinned_healthy_limited_and_restarted() -> None:
    services = compose()["services"]
    assert set(services) == {"argilla", "worker", "postgres", "elasticsearch", "redis"}
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-alpine)?$", service["image"]), name
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for other, condition in service.get("depends_on", {}).items():
            assert other in services
            assert condition == {"condition": "service_healthy"}
    kept = {name for name, service in services.items() if service.get("volumes")}
    assert kept == {"argilla", "postgres", "elasticsearch", "redis"}
    used = {volume.partition(":")[0] for name in kept for volume in services[name]["volumes"]}
    assert used == set(compose()["volumes"])


def test_the_stack_is_the_argilla_that_annot_is_tested_with() -> None:
    images = {s["image"] for name, s in compose()["services"].items() if name.startswith(("argilla", "worker"))}
    assert images == {f"argilla/argilla-server:v{pinned_version()}"}


def test_only_the_server_is_reached_and_only_from_this_machine() -> None:
    stack = compose()
    assert [name for name, service in stack["services"].items() if service.get("ports")] == ["argilla"]
    (port,) = stack["services"]["argilla"]["ports"]
    assert port == "${ARGILLA_BIND:-127.0.0.1}:${ARGILLA_PORT:-" + f"{embedded.DEFAULT_PORT}" + "}:6900"
    assert stack["networks"]["back"] == {"internal": True}
    for name in ("postgres", "elasticsearch", "redis"):
        assert stack["services"][name]["networks"] == ["back"]


def test_no_secret_stands_in_the_files_and_none_has_a_default() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    required = set(REQUIRED.findall(text))
    example = dict(
        line.split("=", 1)
        for line in (ROOT / "docker" / ".env.example").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert required == {name for name, value in example.items() if not value}
    assert not [name for name in example if re.search("PASSWORD|KEY", name) and example[name]]
    secret_lines = [line for line in text.splitlines() if re.search(r"(?i)password|secret|api_key", line)]
    assert len(secret_lines) > 8
    for line in secret_lines:
        value = line.split("#")[0].partition(":")[2]
        assert not value.strip() or "${" in value or "$$" in value or "ssl" in line or "POSTGRES_USER" in line, line
    # Interpolation understands nothing else: a single "$" would be eaten.
    assert not re.findall(r"(?<!\$)\$(?![{$])", re.sub(r"#.*", "", text))
    ignored = subprocess.run(["git", "check-ignore", "docker/.env"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


@pytest.mark.server
def test_a_worker_is_healthy_while_redis_hears_from_one_on_its_queue(
    argilla_on_sqlite: tuple[str, embedded.Owner], argilla_home: Path
) -> None:
    assert argilla_on_sqlite
    settings = dict(
        line.split(" ", 1) for line in (argilla_home / "redis" / "redis.conf").read_text().splitlines() if line
    )
    url = f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"
    python = serve_python()
    command, program, *words = compose()["services"]["worker"]["healthcheck"]["test"]
    assert (command, program, words[0], words[2]) == ("CMD", "python", "-c", "default")

    def status(queue: str) -> int:
        environment = {**os.environ, "ARGILLA_REDIS_URL": url}
        return subprocess.run([python, "-c", words[1], queue], env=environment, check=False).returncode

    deadline = time.monotonic() + 20
    while status("high") and time.monotonic() < deadline:
        time.sleep(0.5)
    assert (status("high"), status("default"), status("nobody")) == (0, 0, 1)


def serve_python() -> Path:
    """The Python of Argilla's environment."""
    from annotation.hosting.environment import ensure_environment

    return ensure_environment(print)


# -- the images -----------------------------------------------------------------------------------------


def test_there_are_two_images() -> None:
    assert [path.parent.name for path in DOCKERFILES] == ["argilla", "trainer"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_is_pinned_copies_what_is_there_and_runs_as_nobody_special(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    copied = make_space.sources(path)
    assert {"annotation", "sync", "train", "pyproject.toml", "constraints.txt", "LICENSE", "README.md"} <= set(copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in allowed, f"{name} is kept out of the build by .dockerignore"
    assert re.findall(r"^USER (\S+)", text, flags=re.MULTILINE)[-1] == "1000"
    assert not re.search(r"(?i)(password|token|secret|api_key)\S*=\S", re.sub(r"(?m)^#.*", "", text))


def test_the_server_image_agrees_with_the_code() -> None:
    text = (ROOT / "docker" / "argilla" / "Dockerfile").read_text(encoding="utf-8")
    assert f"EXPOSE {embedded.DEFAULT_PORT}" in text
    assert f"127.0.0.1:{embedded.DEFAULT_PORT}/api/v1/status" in text
    assert "VOLUME /data" in text
    assert "FROM python:3.11." in text  # Argilla's pins and Redis have wheels for it
    assert 'ENTRYPOINT ["python", "serve.py"]' in text


def names_of(requirements: list[str]) -> set[str]:
    """Distributions that these bring, themselves included."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        line = waiting.pop()
        if "extra ==" in line:
            continue
        name = re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0].lower().replace("_", "-")
        if not name or name in found:
            continue
        found.add(name)
        try:
            waiting += distribution(name).requires or []
        except PackageNotFoundError:
            continue  # needed elsewhere only: another system, another Python
    return found


def test_the_server_image_installs_everything_that_it_imports() -> None:
    lines = (ROOT / "docker" / "argilla" / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert set(wanted) <= pinned
    code = (
        "import sys, annotation.cli, annotation.project, annotation.config, annotation.hosting.embedded,"
        "annotation.hosting.foreground, annotation.backups.rolling, annotation.backups.restore, annotation.ledger,"
        "annotation.sections,"
        "annotation.screen, uv, huggingface_hub.hf_api;"
        "annotation.sections.known_country('MX'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    owners = packages_distributions()
    needed = {owners[name][0].lower().replace("_", "-") for name in {m.partition(".")[0] for m in loaded} & set(owners)}
    assert {"pydantic", "filelock", "typer"} <= needed
    beside = {"annot", "setuptools", "pip", "brotli"}  # httpx takes the last where something else has brought it
    assert needed - beside - names_of(wanted) == set()


def test_the_trainer_has_the_cuda_that_pytorch_brings() -> None:
    text = (ROOT / "docker" / "trainer" / "Dockerfile").read_text(encoding="utf-8")
    assert "FROM nvidia/cuda:13.0." in text
    assert "'.[train]'" in text
    assert 'ENTRYPOINT ["annot", "train"]' in text


# -- the Space ------------------------------------------------------------------------------------------


def test_a_space_holds_what_its_dockerfile_copies(tmp_path: Path) -> None:
    files = {str(path.relative_to(tmp_path / "space")) for path in make_space.make_space(tmp_path / "space")}
    assert {"Dockerfile", "README.md", "docker/argilla/serve.py", "annotation/server/requirements.txt"} <= files
    assert not [name for name in files if "__pycache__" in name or ".env" in name or "secrets.toml" in name]
    for name in make_space.sources(tmp_path / "space" / "Dockerfile"):
        assert (tmp_path / "space" / name).exists(), name
    with pytest.raises(FileExistsError):
        make_space.make_space(tmp_path / "space")


def test_the_spaces_settings_agree_with_the_image() -> None:
    _, front, _ = (ROOT / "docker" / "argilla" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    settings = yaml.safe_load(front)
    assert (settings["sdk"], settings["app_port"]) == ("docker", embedded.DEFAULT_PORT)
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {settings["colorFrom"], settings["colorTo"]} <= colours
    assert len(settings["short_description"]) <= 60


def test_a_space_without_storage_says_so_at_start(tmp_path: Path) -> None:
    space = {"SPACE_ID": "team/argilla", "SPACE_HOST": "team-argilla.hf.space"}
    bare = serve.warnings(space, tmp_path, None)
    assert "NO PERSISTENT STORAGE" in bare[0]
    assert "ANNOT_OWNER_PASSWORD" in bare[1]
    kept = {**space, "PERSISTANT_STORAGE_ENABLED": "true", "ANNOT_OWNER_PASSWORD": "a long password"}
    assert serve.warnings(kept, tmp_path, None) == []
    assert "newest backup" in serve.warnings(space, tmp_path, serve.HubBackups("team/backups", TOKEN, 3))[0]
    assert "no volume" in serve.warnings({}, tmp_path, None)[0]
    passed = serve.server_environment({**space, "HF_TOKEN": TOKEN})
    assert (passed["ANNOT_HOSTS"], passed["ANNOT_FRAME_ANCESTORS"]) == (
        "team-argilla.hf.space",
        "https://huggingface.co",
    )
    assert "HF_TOKEN" not in passed


# -- backups on the Hub ---------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """The Hub, on this machine."""
    with HubStandIn() as stand_in:
        # Xet is another protocol; without it the library speaks LFS.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        # The library reads HF_ENDPOINT once, when it is imported, and another test may have done that.
        monkeypatch.setattr(serve.HubBackups, "_api", lambda self: api_at(stand_in.url, self.token))
        yield stand_in


def api_at(url: str, token: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=url, token=token)


def told(**more: str) -> Any:
    return serve.HubBackups.told({"ANNOT_BACKUP_REPO": "team/backups", "HF_TOKEN": TOKEN, **more})


def test_archives_go_to_a_private_repository_and_the_oldest_are_removed(hub: HubStandIn, tmp_path: Path) -> None:
    backups = told(ANNOT_BACKUP_KEEP="2")
    backups.prepare()
    backups.prepare()
    repository = hub.repositories["dataset", "team/backups"]
    assert repository.private is True
    folder, done = tmp_path / "backups", set[str]()
    folder.mkdir()
    for hour in (1, 2, 3):
        archive = folder / f"data-20260101-0{hour}0000.zip"
        archive.write_bytes(b"archive %d" % hour)
        os.utime(archive, (hour, hour))
    serve.upload(backups, folder, done)
    serve.upload(backups, folder, done)
    assert backups.names() == ["data-20260101-020000.zip", "data-20260101-030000.zip"]
    assert repository.files["backups/data-20260101-030000.zip"] == b"archive 3"
    assert len(repository.commits) == 4
    assert backups.fetch("data-20260101-030000.zip", tmp_path).read_bytes() == b"archive 3"


def test_a_public_repository_is_refused(hub: HubStandIn) -> None:
    repository = hub.make("dataset", "team/backups", private=False)
    with pytest.raises(serve.NotAsAsked, match="public"):
        told().prepare()
    assert repository.commits == []


def test_an_empty_place_begins_with_the_newest_archive(hub: HubStandIn, tmp_path: Path) -> None:
    project = some_project(tmp_path / "old")
    project.keep_secrets({"passwords": {"ana": "a long password"}})
    repository = hub.make("dataset", "team/backups")
    for name in ("data-20260101-000000.zip", "data-20260102-000000.zip"):
        made = back_up(project, tmp_path / name)
        repository.files[f"backups/{name}"] = Path(made.path).read_bytes()
        project.keep_secrets({"passwords": {"rui": name}})
    place = tmp_path / "new"
    place.mkdir()
    serve.prepare(place, {}, told())
    back = Project.open(place)
    assert back.secrets()["passwords"] == {"ana": "a long password", "rui": "data-20260101-000000.zip"}
    assert [slate.id for slate in read_slates(back.ledger)] == [slate.id for slate in read_slates(project.ledger)]
    repository.files.clear()  # a project that is there is never replaced
    serve.prepare(place, {}, told())
    assert Project.open(place).secrets() == back.secrets()


@pytest.mark.usefixtures("hub")
def test_a_hub_that_is_down_stops_only_those_who_have_nothing_else(tmp_path: Path) -> None:
    backups = serve.HubBackups("team/backups", "hf_wrong", 3)
    with pytest.raises(serve.NotAsAsked, match="nothing is started"):
        serve.reach(backups, tmp_path)
    some_project(tmp_path / "p")
    assert serve.reach(backups, tmp_path / "p") == set()
    with pytest.raises(serve.NotAsAsked, match="HF_TOKEN"):
        serve.HubBackups.told({"ANNOT_BACKUP_REPO": "team/backups"})
    with pytest.raises(serve.NotAsAsked, match="ANNOT_BACKUP_KEEP"):
        told(ANNOT_BACKUP_KEEP="many")
    assert serve.HubBackups.told({}) is None


@pytest.mark.server
def test_the_container_serves_stops_cleanly_and_leaves_its_last_backup_on_the_hub(tmp_path: Path) -> None:
    place, port = tmp_path / "data", free_port()
    some_project(place)
    toml = place / "annot.toml"
    toml.write_text(toml.read_text().replace("# port = 6900", f"port = {port}"))
    with HubStandIn() as hub:
        environment = {
            **os.environ,
            "ANNOT_PROJECT": str(place),
            "ANNOT_BACKUP_REPO": "team/backups",
            "HF_TOKEN": TOKEN,
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "ANNOT_OWNER_API_KEY": "a-key-of-my-own",
        }
        command = [sys.executable, ROOT / "docker" / "argilla" / "serve.py"]
        child = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            deadline = time.monotonic() + 90
            while not embedded.state(place / ".argilla").running and time.monotonic() < deadline:
                assert child.poll() is None
                time.sleep(0.3)
            assert embedded.owner(place / ".argilla").api_key == "a-key-of-my-own"
        finally:
            child.send_signal(signal.SIGTERM)
            said, _ = child.communicate(timeout=60)
        assert child.returncode == 0, said
        assert not embedded.state(place / ".argilla").processes
        assert "server: " in said
        assert "is in team/backups." in said
        assert len(hub.repositories["dataset", "team/backups"].commits) == 1
        environment = json.loads((place / ".argilla" / "secrets.json").read_text())
        assert environment["password"] not in said
        assert TOKEN not in said


@pytest.mark.server
def test_up_in_the_foreground_leaves_nothing_when_it_is_told_to_end_while_it_starts(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace("# port = 6900", f"port = {free_port()}"))
    command = [sys.executable, "-m", "annotation.cli", "up", "--foreground", "--project", str(project.folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(embedded.state(project.argilla_home).processes) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) in (0, 130)
        assert not embedded.state(project.argilla_home).processes
    finally:
        child.kill()
        embedded.stop(project.argilla_home)


@pytest.mark.server
def test_up_in_the_foreground_ends_with_an_error_when_a_process_dies(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace("# port = 6900", f"port = {free_port()}"))
    command = [sys.executable, "-m", "annotation.cli", "up", "--foreground", "--project", str(project.folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        assert any("Ctrl-C stops it" in line for line in child.stdout)
        os.kill(embedded.state(project.argilla_home).processes["redis"], signal.SIGKILL)
        said, problem = child.communicate(timeout=60)
    finally:
        child.kill()
        embedded.stop(project.argilla_home)
    assert child.returncode == 2, said
    assert "redis stopped working" in problem
    assert not embedded.state(project.argilla_home).processes
