"""What several test modules share."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_board import FakeWorld, RealWorld, World

from annotation import embedded

# Where the suite was started in the background, children would inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOWEST_FIRST = ("test_train_kill", "test_readme", "test_quickstart", "test_watch", "test_select_kill", "test_draft")
"""Modules that take long, so that two workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest modules first."""
    place = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def argilla_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, embedded.Owner]]:
    """A real embedded Argilla for all tests of a run: its address and its owner."""
    home: Path = tmp_path_factory.mktemp("argilla") / ".argilla"
    started = embedded.start(home, port=free_port(), say=print)
    yield started.url, embedded.owner(home)
    embedded.stop(home)


@pytest.fixture
def real_world(argilla_server: tuple[str, embedded.Owner]) -> Iterator[RealWorld]:
    """The real Argilla as annot sees it, and what people do there."""
    url, owner = argilla_server
    with RealWorld(url, owner.api_key) as world:
        yield world


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    """A board in memory, then the real Argilla: what holds at one holds at the other."""
    if request.param == "real":
        found: RealWorld = request.getfixturevalue("real_world")
        return found
    return FakeWorld()
