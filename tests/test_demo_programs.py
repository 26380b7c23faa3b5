"""Programs find no way into a demo but the visitors' own; a page that is ended leaves no vote behind."""

from __future__ import annotations

import itertools
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from conftest import free_port
from demo_pages import TEXTS, VOTES, Demo, running_demo
from hub_server import environment
from projects import annot

from annotation.tasks.duel.votes import read_duels


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The page that the programs of this module find."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


def events(url: str) -> dict[int, dict[str, Any]]:
    """The page's events by their numbers."""
    return {one["id"]: one for one in httpx.get(f"{url}/config", trust_env=False).json()["dependencies"]}


def join(url: str, session: str, number: int, data: list[Any]) -> list[dict[str, Any]]:
    """Do as the page does when a button is pressed, and return what comes back."""
    asked = {"data": data, "fn_index": number, "session_hash": session, "trigger_id": None}
    httpx.post(f"{url}/gradio_api/queue/join", json=asked, trust_env=False).raise_for_status()
    found = []
    with httpx.stream(
        "GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60, trust_env=False
    ) as told:
        for line in told.iter_lines():
            if line.startswith("data:"):
                found.append(json.loads(line.removeprefix("data:")))
                if found[-1]["msg"] == "close_stream":
                    break
    return found


def test_programs_find_no_way_in_and_a_vote_for_nothing_counts_nothing(demo: Demo) -> None:
    told = httpx.get(f"{demo.url}/gradio_api/info", trust_env=False).json()
    assert told == {"named_endpoints": {}, "unnamed_endpoints": {}}
    names = [event["api_name"] for event in events(demo.url).values()]
    assert len(names) > 8
    for way, name in itertools.product(("call", "call/v2", "run", "api"), names):
        answer = httpx.post(f"{demo.url}/gradio_api/{way}/{name}", json={"data": ["A"]}, trust_env=False)
        assert answer.status_code == 404
    for path in ("cancel", "reset", "upload", "component_server", "process_recording", "vibe-edit"):
        assert httpx.post(f"{demo.url}/gradio_api/{path}", json={}, trust_env=False).status_code == 404
    assert httpx.get(f"{demo.url}/gradio_api/file=demo.json", trust_env=False).status_code == 404
    assert httpx.get(f"{demo.url}/monitoring/summary", trust_env=False).status_code == 403
    policy = httpx.get(demo.url, trust_env=False).headers["content-security-policy"]
    assert "default-src 'self'" in policy

    large = httpx.post(f"{demo.url}/gradio_api/queue/join", content=b"x" * 70_000, trust_env=False)
    assert large.status_code == 413

    # The state that a program sends is not looked at: there is no comparison in its session.
    before = demo.lines()
    votes = [number for number, event in events(demo.url).items() if event["api_name"].startswith("press")]
    assert len(votes) == 4
    forged = {"duel": {"id": "0" * 32, "adapted": "A", "answers": ["", ""], "closed": False}}
    for number in votes:
        answer = join(demo.url, f"forged{number}", number, [forged])
        assert TEXTS["en"]["stale"] in json.dumps(answer, ensure_ascii=False)
    assert demo.lines() == before


def test_a_second_vote_and_a_vote_for_an_earlier_comparison_count_nothing(demo: Demo) -> None:
    before, session = len(demo.lines()), "program"
    numbers = {event["api_name"]: number for number, event in events(demo.url).items()}
    presses = [number for name, number in numbers.items() if name.startswith("press")]
    asked = ["MX", "¿Qué?", "", False, None]
    join(demo.url, session, numbers["compare"], asked)
    join(demo.url, session, numbers["compare"], asked)
    for number in (*presses, presses[0]):
        join(demo.url, session, number, [None])
    first, second, voted = demo.lines()[before:]
    assert (first["kind"], second["kind"]) == ("begun", "begun")
    assert (voted["kind"], voted["id"], voted["choice"]) == ("voted", second["id"], "A")
    long = join(demo.url, session, numbers["compare"], ["MX", "a" * 2001, "", False, None])
    assert TEXTS["en"]["too_long"] in json.dumps(long)
    nowhere = join(demo.url, session, numbers["compare"], [None, "¿Qué?", "", False, None])
    assert TEXTS["en"]["no_country"] in json.dumps(nowhere)
    assert len(demo.lines()) == before + 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets the limits of another process")
def test_a_vote_that_finds_no_room_is_told_and_counts_when_there_is_some(demo: Demo) -> None:
    session, numbers = "full", {event["api_name"]: number for number, event in events(demo.url).items()}
    press = next(number for name, number in numbers.items() if name.startswith("press"))
    asked = ["MX", "¿Qué?", "", False, None]
    join(demo.url, session, numbers["compare"], asked)
    before = demo.lines()
    (file,) = demo.votes.glob("*.jsonl")
    page = psutil.Process(demo.process.pid)
    page.rlimit(psutil.RLIMIT_FSIZE, (file.stat().st_size + 30, resource.RLIM_INFINITY))
    assert TEXTS["en"]["failed"] in json.dumps(join(demo.url, session, press, [None]))
    assert demo.lines() == before, "half a line stayed"
    page.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for said in ("thanks", "stale"):
        assert TEXTS["en"][said] in json.dumps(join(demo.url, session, press, [None]))
    assert [line["id"] for line in demo.lines()[len(before) :]] == [before[-1]["id"]]
    page.rlimit(psutil.RLIMIT_FSIZE, (file.stat().st_size, resource.RLIM_INFINITY))
    assert TEXTS["en"]["failed"] in json.dumps(join(demo.url, session, numbers["compare"], asked))
    page.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len(demo.lines()) == len(before) + 1


ENDED_EARLY = """
import os, runpy, signal, threading
begin = threading.Thread.start
def start(thread):
    if thread.name == "votes":
        os.kill(os.getpid(), signal.SIGTERM)
    begin(thread)
threading.Thread.start = start
runpy.run_path("app.py", run_name="__main__")
"""
"""A page that is ended at the very moment at which its uploads begin."""


def test_a_page_that_is_ended_as_it_begins_ends_in_order(demo: Demo) -> None:
    settings = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.')\n{ENDED_EARLY}"],
        cwd=demo.votes.parent / "space",
        env={**environment(demo.hub), **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0


def test_what_is_left_goes_to_the_hub_when_the_page_is_ended_and_all_votes_come_home(demo: Demo) -> None:
    """The last test: it ends the page of the others."""
    voted = {line["id"]: line["choice"] for line in demo.lines() if line["kind"] == "voted"}
    assert voted
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait() == 0
    (file,) = demo.votes.glob("*.jsonl")
    repository = demo.hub.repositories["dataset", VOTES]
    assert repository.private
    assert repository.files[f"votes/{file.name}"] == file.read_bytes()
    annot(demo.project, "votes", "pull", str(demo.votes))
    assert {duel.id: duel.choice for duel in read_duels(demo.project.ledger)} == voted
