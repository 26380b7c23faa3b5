"""What several test modules share."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres as private_postgres
import pytest
from fake_argilla import FakeWorld, RealWorld, World
from feed_client import Sql
from hypothesis import HealthCheck, settings

from annotation.hosting import embedded

# Where the suite was started in the background, children would inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Nobody guesses the passwords of the tests' people: their hashes may be cheap.
os.environ["ANNOT_PASSWORD_ROUNDS"] = "4"

# No example fails because the machine is busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SLOWEST_FIRST = (
    "test_train_run",
    "test_quickstart",
    "test_changes",
    "test_embedded",
    "test_browser",
    "test_search_engine",
    "test_backup",
    "test_readme",
    "test_draft",
    "test_text_search",
    "test_pull",
    "test_move",
    "test_trigger",
    "test_select",
)
"""Modules that take long, so that all workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest modules first."""
    place = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(optionalhook=True)  # a run without xdist has no scheduler
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a worker have a file at a time, and one worker all of training: its libraries take ten seconds to load."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "training" if "test_train" in file else file

    return Scheduling(config, log)


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session", autouse=True)
def _nothing_in_the_home_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reference log-probs of the tests' own bases stay among the tests' files."""
    os.environ["ANNOT_REFERENCE"] = str(tmp_path_factory.mktemp("reference"))


@pytest.fixture(autouse=True)
def _no_test_is_offline_because_another_trained() -> None:
    """A run ends offline; in the tests its process goes on."""
    if constants := sys.modules.get("huggingface_hub.constants"):
        vars(constants)["HF_HUB_OFFLINE"] = False


@pytest.fixture(scope="session")
def postgres() -> Iterator[private_postgres.Postgres]:
    """A PostgreSQL for all tests of a run; each makes databases of its own in it."""
    # Not in pytest's folder: every pytest that starts closes that to others, and PostgreSQL never runs as root.
    with (
        tempfile.TemporaryDirectory(prefix="annot-postgres-") as folder,
        private_postgres.running(Path(folder) / "data", free_port()) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def argilla_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `argilla_on_sqlite`."""
    return tmp_path_factory.mktemp("argilla") / ".argilla"


@pytest.fixture(scope="session")
def argilla_on_sqlite(argilla_home: Path) -> Iterator[tuple[str, embedded.Owner]]:
    """A real embedded Argilla for all tests of a run: its address and its owner."""
    started = embedded.start(argilla_home, port=free_port(), say=print)
    yield started.url, embedded.owner(argilla_home)
    embedded.stop(argilla_home)


@pytest.fixture(scope="session")
def argilla_postgresql_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `argilla_on_postgresql`."""
    return tmp_path_factory.mktemp("postgresql") / ".argilla"


@pytest.fixture(scope="session")
def argilla_on_postgresql(
    argilla_postgresql_home: Path, postgres: private_postgres.Postgres
) -> Iterator[tuple[str, embedded.Owner]]:
    """The same on PostgreSQL."""
    started = embedded.start(argilla_postgresql_home, port=free_port(), database=postgres.database(), say=print)
    yield started.url, embedded.owner(argilla_postgresql_home)
    embedded.stop(argilla_postgresql_home)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def argilla_on_each(request: pytest.FixtureRequest) -> tuple[str, embedded.Owner]:
    """Both, one after the other."""
    found: tuple[str, embedded.Owner] = request.getfixturevalue(f"argilla_on_{request.param}")
    return found


@pytest.fixture(scope="session")
def argilla_server(argilla_on_sqlite: tuple[str, embedded.Owner]) -> tuple[str, embedded.Owner]:
    """The same; a module of tests may put another in its place."""
    return argilla_on_sqlite


@pytest.fixture(scope="module")
def argilla_of_module(argilla_server: tuple[str, embedded.Owner]) -> Iterator[tuple[str, embedded.Owner]]:
    """The same; nobody and nothing of this module is there for the next, which may work with the same country."""
    yield argilla_server
    with RealWorld(argilla_server[0], argilla_server[1].api_key) as world:
        world.clear()


@pytest.fixture
def real_world(argilla_of_module: tuple[str, embedded.Owner]) -> Iterator[RealWorld]:
    """The real Argilla as annot sees it, and what people do there."""
    url, owner = argilla_of_module
    with RealWorld(url, owner.api_key) as world:
        yield world


@pytest.fixture
def sql(request: pytest.FixtureRequest, argilla_server: tuple[str, embedded.Owner]) -> Iterator[Sql]:
    """The server's database."""
    sqlite = argilla_server == request.getfixturevalue("argilla_on_sqlite")
    home: Path = request.getfixturevalue("argilla_home" if sqlite else "argilla_postgresql_home")
    server: private_postgres.Postgres | None = None if sqlite else request.getfixturevalue("postgres")
    found = Sql(home, embedded.database_of(home), server)
    yield found
    found.close()


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    """An Argilla in memory, then the real Argilla: what holds at one holds at the other."""
    if request.param == "real":
        found: RealWorld = request.getfixturevalue("real_world")
        return found
    return FakeWorld()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For matrices of tests a second thread of torch only waits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
