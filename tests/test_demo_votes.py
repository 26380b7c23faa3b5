"""Votes of a demo reach a private repository whole, whoever is killed and whatever the Hub says."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import kills
from demo_pages import VOTES, island, lines_of
from hub_server import HubStandIn, ask, environment

from train.release.space import ISLAND


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """The Hub, on this machine."""
    with HubStandIn() as stand_in:
        ask(stand_in, monkeypatch)
        yield stand_in


def test_votes_are_uploaded_once_they_changed_and_kept_while_the_hub_is_away(
    hub: HubStandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    votes = island("votes")
    file = votes.VoteFiles(tmp_path)
    uploader = votes.Uploader(file, VOTES, every_s=3600)
    assert uploader.upload()
    assert hub.requests == []
    path = file.add("begun", "d1", adapted="A", prompt_id="¿ñ?")
    hub.fail(500, on="/commit/", times=99)
    assert not uploader.upload()
    assert "kept, and tried again" in capfd.readouterr().err
    hub._troubles.clear()
    assert uploader.upload()
    repository = hub.repositories["dataset", VOTES]
    assert repository.private
    assert repository.files[f"votes/{path.name}"] == path.read_bytes()
    assert uploader.upload()
    assert len(repository.commits) == 1
    file.add("voted", "d1", choice="A")
    uploader.close()
    assert len(repository.commits) == 2
    assert repository.files[f"votes/{path.name}"] == path.read_bytes()
    assert [line["kind"] for line in lines_of(tmp_path)] == ["begun", "voted"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", lines_of(tmp_path)[0]["at"])


def test_votes_never_go_to_a_public_repository(
    hub: HubStandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    votes = island("votes")
    hub.make("dataset", VOTES, private=False)
    file = votes.VoteFiles(tmp_path)
    file.add("begun", "d1")
    assert not votes.Uploader(file, VOTES, every_s=3600).upload()
    assert "make it private" in capfd.readouterr().err
    assert hub.repositories["dataset", VOTES].commits == []


def test_duels_begin_in_another_file_above_a_size_and_end_in_their_own(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    votes = island("votes")
    monkeypatch.setattr(votes, "MOST_BYTES", 200)
    file = votes.VoteFiles(tmp_path)
    uploader = votes.Uploader(file, VOTES, every_s=3600)
    places = {f"d{number}": file.add("begun", f"d{number}", prompt_id="x" * 60) for number in range(6)}
    assert uploader.upload()
    first, second, third = dict.fromkeys(places.values())
    assert file.add("voted", "d0", first, choice="A") == first
    assert uploader.upload()
    kinds = [[(line["kind"], line["id"]) for line in map(json.loads, path.open())] for path in (first, second, third)]
    assert kinds[0] == [("begun", "d0"), ("begun", "d1"), ("voted", "d0")]
    assert [len(lines) for lines in kinds] == [3, 2, 2]
    repository = hub.repositories["dataset", VOTES]
    assert len(repository.commits) == 4, "what has not grown is not sent again"
    for path in (first, second, third):
        assert repository.files[f"votes/{path.name}"] == path.read_bytes()


def test_on_a_full_disk_no_half_line_stays_and_the_next_one_is_whole(tmp_path: Path) -> None:
    file = island("votes").VoteFiles(tmp_path)
    path = file.add("begun", "d1")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="half a line"):
            file.add("voted", "d1", path, choice="A")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    file.add("voted", "d1", path, choice="B")
    assert [line.get("choice") for line in lines_of(tmp_path)] == [None, "B"]


REPLICA = f"""
import sys, threading
sys.path.insert(0, {str(ISLAND)!r})
from pathlib import Path
from votes import Uploader, VoteFiles
file = VoteFiles(Path(sys.argv[1]))
uploader = Uploader(file, {VOTES!r}, every_s=0.01)
uploader.start()
for number in range(10**6):
    path = file.add("voted", f"{{sys.argv[2]}}-{{number}}", choice="A")
    print(path.name, number, flush=True)
"""
"""A process that votes and uploads without pause, and says of each vote that it is kept."""


def test_replicas_that_are_killed_and_started_again_lose_no_vote_and_count_none_twice(
    hub: HubStandIn, tmp_path: Path
) -> None:
    kept: dict[str, int] = {}

    def live(name: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", REPLICA, str(tmp_path), name],
            env=environment(hub),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            file, number = line.split()
            kept[file] = int(number)
            repository = hub.repositories.get(("dataset", VOTES))
            if repository and f"votes/{file}" in repository.files:
                process.send_signal(signal.SIGKILL)
        process.wait()

    for start in range(kills(2, 10)):
        both = [threading.Thread(target=live, args=(f"{start}{replica}",)) for replica in "ab"]
        for one in both:
            one.start()
        for one in both:
            one.join()
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    assert files.keys() == kept.keys()
    assert len(files) == 2 * kills(2, 10)
    ids: list[str] = []
    for name, content in files.items():
        own = [json.loads(line)["id"] for line in content.decode().splitlines(keepends=True) if line.endswith("\n")]
        assert len(own) > kept[name]
        ids += own
    assert len(ids) == len(set(ids))
    # What is on the Hub is the beginning of each file, whole lines of it: the last upload.
    repository = hub.repositories["dataset", VOTES]
    uploaded = {
        path.removeprefix("votes/"): held for path, held in repository.files.items() if path.startswith("votes/")
    }
    assert uploaded
    for name, held in uploaded.items():
        assert files[name].startswith(held)
        assert held.endswith(b"\n")
