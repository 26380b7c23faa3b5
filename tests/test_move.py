"""A project moves to another Argilla: every answer arrives once, whatever is killed, and sync goes on there.

ANNOT_MOVE_SLATES makes its project larger.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from conftest import free_port
from fake_argilla import RealWorld, person, ranking_of, some_project
from projects import frozen

from annotation.config import read_settings
from annotation.errors import ArgillaError, SettingsError
from annotation.hosting import embedded
from annotation.ledger import MovedResponse, Response
from annotation.project import Project
from annotation.settings_file import set_argilla_url
from annotation.tasks.answers import answers, newest_responses
from annotation.tasks.page import TeamPage
from annotation.tasks.ranking import task
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Answer, Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import ArgillaClient, connect
from sync.doctor import examine
from sync.moving.copying import Whole
from sync.moving.move import move
from sync.moving.unfinished import unfinished
from sync.pull import pull
from sync.push import push
from sync.reporting.people import Work
from sync.reporting.status import report
from sync.team import add_team, remove_member

KILLS = kills(1, 10)
SLATES = int(os.environ.get("ANNOT_MOVE_SLATES", "24"))
ANSWERED = min(SLATES // 2, 200)


def annot(project: Project, key: str, *words: str) -> subprocess.Popen[str]:
    """The command, as a lead starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "annotation.cli", *words, "--project", str(project.folder)],
        env={**os.environ, "ARGILLA_API_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgillaClient]:
    """An Argilla that has nothing to do with the project."""
    home = tmp_path_factory.mktemp("new") / ".argilla"
    url = embedded.start(home, port=free_port()).url
    api = ArgillaClient(url, embedded.owner(home).api_key)
    yield api
    api.close()
    embedded.stop(home)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose embedded Argilla holds every kind of answer, and whose last sync is a moment ago."""
    project = some_project(tmp_path_factory.mktemp("busy") / "p", slates=SLATES)
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace("# port = 6900", f"port = {free_port()}"))
    project = Project.open(project.folder)
    embedded.start(project.argilla_home, port=project.settings.argilla.port)
    try:
        team = (("ana", "MX"), ("leo", "MX"), ("rui", "BR"))
        people = [person(name, country, languages=("es", "pt")) for name, country in team]
        api = connect(project)
        add_team(project, api, people)
        vectors = {slate.id: [0.1, 0.7, slate.position / 3] for slate in read_slates(project.ledger)}
        push(api, project.ledger, project.settings, vectors=vectors)
        answer_everything(project, api)
        yield project
    finally:
        embedded.stop(project.argilla_home)


def answer_everything(project: Project, api: ArgillaClient) -> None:
    """Submitted with ties, edited, draft, discarded and withdrawn answers, a suggestion, a record that is gone."""
    rng = random.Random(7)
    world = RealWorld(api.url, embedded.owner(project.argilla_home).api_key)
    with world:
        for username, password in project.secrets()["passwords"].items():
            client = world.annotator_client(username, password)
            ((_, dataset_id),) = client.datasets().items()
            for number, record in enumerate(client.queue(dataset_id, ANSWERED)):
                ranks = "".join(rng.choice("1234") for _ in range(4))
                match number % 6:
                    case 0:
                        client.answer(record["id"], {"ranking": {"value": [{"value": "A", "rank": 1}]}}, "draft")
                    case 1:
                        client.answer(record["id"], {}, "discarded")
                    case 2:
                        client.withdraw(client.answer(record["id"], ranking_of(ranks))["id"])
                    case 3:
                        client.answer(record["id"], ranking_of("1234"))
                        client.answer(record["id"], ranking_of(ranks, acceptable="none", rewrite="Pan & más"))
                    case _:
                        client.answer(record["id"], ranking_of(ranks, problems=["B:stereotype"]))
        dataset = next(d for d in api.datasets() if d.workspace == "mx")
        first, *_, last = api.records(dataset.id, 0, 1000, responses=False).records
        question = api.ask("GET", f"/datasets/{dataset.id}/questions", "questions")["items"][3]
        told = {"question_id": question["id"], "value": "Pan dulce", "agent": "a model", "score": 0.5}
        api.ask("PUT", f"/records/{first['id']}/suggestions", "a suggestion", body=told)
        world.delete_record(last["id"])
    pull(api, project.ledger)
    # Out of the team: the answers stay, and nobody is let back in by a move.
    remove_member(api, project.ledger, "leo")


def content(api: ArgillaClient) -> dict[Any, Any]:
    """What a server holds of a project, without ids and times: compared by hand, not by the code under test."""
    names = {user["id"]: user["username"] for user in api.ask("GET", "/users", "users")["items"]}
    found: dict[Any, Any] = {}
    for dataset in api.datasets():
        questions = api.ask("GET", f"/datasets/{dataset.id}/questions", "questions")["items"]
        asked = {question["id"]: question["name"] for question in questions}
        told = api.ask("GET", f"/datasets/{dataset.id}", "dataset")
        records = Whole(api).records(dataset.id, 0, 1000, responses=True).records
        found[dataset.workspace] = {
            "name": dataset.name,
            "guidelines": told["guidelines"],
            "overlap": dataset.overlap,
            "questions": [(q["name"], q["title"], q["settings"], q["required"]) for q in questions],
            "vectors": api.vectors(dataset.id),
            "records": [
                (
                    record["external_id"],
                    record["fields"],
                    record["metadata"],
                    record["vectors"],
                    record["status"],
                    [(asked[s["question_id"]], s["value"], s["agent"], s["score"]) for s in record["suggestions"]],
                    sorted((names[r["user_id"]], r["status"], str(r["values"] or {})) for r in record["responses"]),
                )
                for record in records
            ],
            "people": sorted(names[m] for m in api.members(api.workspaces()[dataset.workspace]) if m in names),
        }
    return found


@contextmanager
def somebody_drafting(project: Project) -> Iterator[dict[str, set[str]]]:
    """Rui changes drafts the whole time, as long as the server is there.

    Yields:
        External id -> the ranks that the server may hold: the last that it took ("" for none yet), and those sent
        since, whose fate is not known.
    """
    api = connect(project)
    client = AnnotatorClient(api.url, "rui", project.secrets()["passwords"]["rui"])
    ((_, dataset_id),) = client.datasets().items()
    waiting = [r for r in client.queue(dataset_id) if not r.get("responses")]
    assert waiting
    held: dict[str, set[str]] = {record["external_id"]: {""} for record in waiting}
    over = threading.Event()

    def work() -> None:
        rng = random.Random(3)
        while not over.wait(0.02):
            record, ranks = rng.choice(waiting), "".join(rng.choice("1234") for _ in range(4))
            held[record["external_id"]].add(ranks)
            try:
                client.answer(record["id"], ranking_of(ranks), "draft")
            except ArgillaError:
                continue  # closed for the last comparison, or a killed move left it closed
            held[record["external_id"]] = {ranks}

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield held
    finally:
        over.set()
        thread.join()
        client.close()
        api.close()


def without_drafts(held: dict[Any, Any], drafts: dict[str, set[str]]) -> dict[Any, Any]:
    """Content without Rui's drafts, each of which is checked to be one that the old server may have held."""
    seen, nothing = 0, str(ranking_of(""))
    for told in held.values():
        for number, record in enumerate(told["records"]):
            if record[0] not in drafts:
                continue
            mine = [answer for answer in record[-1] if answer[:2] == ("rui", "draft")]
            (values,) = [answer[2] for answer in mine] or [nothing]
            assert values in {str(ranking_of(ranks)) for ranks in drafts[record[0]]}
            seen += values != nothing
            told["records"][number] = (*record[:-1], [answer for answer in record[-1] if answer not in mine])
    assert seen
    return held


def work_of(project: Project) -> list[Work]:
    """What each person did, but for Rui, who goes on drafting."""
    return [work for work in report(project).people if work.annotator != "rui"]


def same(project: Project) -> list[Answer[Judgement]]:
    """Every judgement, without the id of the response, which is another one on another server."""
    return [replace(answer, response_id="") for answer in answers(project.ledger, "ranking")]


@pytest.mark.server
def test_a_dry_run_writes_nothing_and_strangers_are_refused_before_anything_is_written(
    busy: Project, elsewhere: ArgillaClient
) -> None:
    url, key = elsewhere.url, elsewhere._key
    plan = move(busy, url, key, dry_run=True)
    assert (plan.accounts, plan.adopted, plan.workspaces) == (("ana", "leo", "rui"), (), ("br", "mx"))
    assert {records for records, _ in plan.datasets.values()} == {SLATES // 2, SLATES // 2 - 1}
    stranger = elsewhere.add_account("ana", "Somebody else", "annotator", "a long password")
    with pytest.raises(ArgillaError, match="--adopt"):
        move(busy, url, key)
    assert move(busy, url, key, adopt=True, dry_run=True).adopted == ("ana",)
    elsewhere.ask("DELETE", f"/users/{stranger.id}", "a user")
    dataset = elsewhere.add_dataset("cultural fit", elsewhere.add_workspace("mx"), task.form(TeamPage("es"), 4, 1))
    with pytest.raises(ArgillaError, match="another dataset"):
        move(busy, url, key)
    elsewhere.remove_dataset(dataset.id)
    elsewhere.ask("DELETE", f"/workspaces/{elsewhere.workspaces()['mx']}", "a workspace")
    here = connect(busy)
    with pytest.raises(SettingsError, match="is on already"):
        move(busy, here.url.replace("127.0.0.1", "localhost"), here._key)
    assert Project.open(busy.folder).settings.argilla.url == ""
    assert [account.username for account in elsewhere.accounts()] == ["owner"]
    assert (elsewhere.workspaces(), elsewhere.datasets()) == ({}, [])


@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_killed_move_goes_on_and_every_answer_arrives_once(busy: Project, elsewhere: ArgillaClient) -> None:
    url, key = elsewhere.url, elsewhere._key
    before, snapshot, held = same(busy), frozen(busy).id, content(connect(busy))
    done = work_of(busy)
    assert len(before) > 10
    elsewhere.add_account("leo", "Known there", "annotator", "a password of his own")
    rng = random.Random(KILLS)
    with somebody_drafting(busy) as drafts:
        for number in range(KILLS):
            command = annot(busy, key, "move", "--adopt", "--to", url)
            if number:
                time.sleep(rng.uniform(0.5, 9.0))
            else:
                # The worst moment: everything was copied once, and the old server is being closed to people.
                assert command.stderr
                assert any("Comparing" in line for line in command.stderr)
                time.sleep(rng.uniform(0, 1))
            print(number, "ended before it was killed" if command.poll() is not None else "killed")
            command.send_signal(signal.SIGKILL)
            command.communicate()
        assert f"annot move --to {url}" in unfinished(busy)
        command = annot(busy, key, "move", "--adopt", "--to", url, "--json")
        _, problem = command.communicate()
    assert command.returncode == 0 or "already" in problem, problem
    moved = Project.open(busy.folder)
    assert moved.settings.argilla.url == url
    assert moved.settings.model_copy(update={"argilla": busy.settings.argilla}) == busy.settings
    assert not embedded.state(busy.argilla_home).processes
    assert without_drafts(content(elsewhere), drafts) == held
    assert same(moved) == before
    assert work_of(moved) == done
    assert unfinished(moved) == ""
    assert sorted(moved.secrets()["passwords"]) == ["ana", "rui"]
    AnnotatorClient(url, "leo", "a password of his own").close()
    api = connect(moved)
    assert api.url == url
    assert not pull(api, moved.ledger).changed
    assert same(moved) == before
    assert frozen(moved).id == snapshot
    assert push(api, moved.ledger, moved.settings, dry_run=True).sent == {}
    go_on_there(moved, api, before)
    with pytest.raises(SettingsError, match="already"):
        move(moved, url, key)


def go_on_there(project: Project, api: ArgillaClient, before: list[Answer[Judgement]]) -> None:
    """People go on with their old passwords: what they change or take back counts, and nothing comes back."""
    client = AnnotatorClient(api.url, "ana", project.secrets()["passwords"]["ana"])
    ((_, dataset_id),) = client.datasets().items()
    assert client.queue(dataset_id)
    records = Whole(api).records(dataset_id, 0, 1000, responses=True).records
    users = {user["id"]: user["username"] for user in api.ask("GET", "/users", "users")["items"]}
    mine = [
        (record, response)
        for record in records
        for response in record["responses"]
        if users[response["user_id"]] == "ana" and response["status"] == "submitted"
    ]
    (edited, _), (_, withdrawn), *_ = mine
    client.answer(edited["id"], ranking_of("4321"))
    client.withdraw(withdrawn["id"])
    client.close()
    pulled = pull(api, project.ledger)
    assert (pulled.new, pulled.edited, pulled.deleted) == (0, 1, 1)
    after = answers(project.ledger, "ranking")
    assert len(after) == len(before) - 1
    changed = next(j for j in after if (j.item_id, j.annotator) == (edited["external_id"], "ana"))
    slate = next(s for s in read_slates(project.ledger) if s.id == changed.item_id)
    assert changed.value.tiers == tuple((candidate,) for candidate in reversed(slate.seats))


# -- what counts after a move, without a server ---------------------------------------------------------


def answer(project: Project, name: str, moment: str, ranks: str = "1234", status: str = "submitted") -> Response:
    raw = {"id": name, "status": status, "values": ranking_of(ranks), "updated_at": moment}
    return Response(name, read_slates(project.ledger)[0].id, "ana", "MX", status, moment, json.dumps(raw))


def test_a_copy_counts_once_and_with_the_time_at_which_it_was_given(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    ledger = project.ledger
    ledger.add_people([person("ana")])
    ledger.add_responses("old", [answer(project, "first", "2026-01-01")])
    ledger.add_moved("new", [MovedResponse("copy", "2026-05-05", "first", "2026-01-01")])
    assert [j.response_id for j in answers(ledger, "ranking")] == ["first"]  # not pulled yet: the original still speaks
    ledger.add_responses("new", [answer(project, "copy", "2026-05-05")])
    assert [(j.response_id, j.submitted_at) for j in answers(ledger, "ranking")] == [("copy", "2026-01-01")]
    ledger.add_moved("newer", [MovedResponse("copy of copy", "2026-06-06", "copy", "2026-05-05")])
    ledger.add_responses("newer", [answer(project, "copy of copy", "2026-06-06")])
    assert [(j.response_id, j.submitted_at) for j in answers(ledger, "ranking")] == [("copy of copy", "2026-01-01")]
    ledger.add_responses("newer", [answer(project, "copy of copy", "2026-07-07", "4321")])
    assert [(j.response_id, j.submitted_at) for j in answers(ledger, "ranking")] == [("copy of copy", "2026-07-07")]
    ledger.add_responses("newer", [answer(project, "copy of copy", "2026-08-08", status="deleted")])
    assert answers(ledger, "ranking") == []


def test_one_answer_is_one_answer_in_the_table_of_people(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    ledger = project.ledger
    ledger.add_people([person("ana")])
    ledger.add_responses("old", [answer(project, "first", "2026-01-01")])
    before = report(project).people
    assert [(work.submitted, work.last_seen) for work in before] == [(1, "2026-01-01")]
    ledger.add_moved("new", [MovedResponse("copy", "2026-05-05", "first", "2026-01-01")])
    ledger.add_responses("new", [answer(project, "copy", "2026-05-05")])
    assert report(project).people == before
    # The same server under another address, then a draft in place of what was submitted.
    ledger.add_responses("new address", [answer(project, "copy", "2026-05-05")])
    assert report(project).people == before
    ledger.add_responses("new address", [answer(project, "copy", "2026-06-06", status="draft")])
    (work,) = report(project).people
    assert (work.submitted, work.drafts, work.last_seen) == (0, 1, "2026-06-06")
    assert [response.status for response in newest_responses(ledger)] == ["draft"]


def test_a_move_that_was_cut_off_is_mentioned_until_it_is_finished(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    assert unfinished(project) == ""
    (project.folder / ".moving").write_text("https://argilla.example.org")
    advice = "run the same `annot move --to https://argilla.example.org` again"
    (finding,) = [finding for finding in examine(project.folder) if finding.what == "move"]
    assert advice in finding.said
    assert str(project.folder / ".moving") in finding.remedy
    for words in (["status"], ["sync"]):
        said, problem = annot(project, "", *words).communicate()
        assert advice in said + problem


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://ana:geheim@localhost:1", "--to: no user name and no password"),
        ("ana:geheim@localhost", "--to: no user name and no password"),
        ("argilla.example.org", "--to: it is no address"),
        ("http://", "--to: it is no address"),
        ("http://[::1", "--to: it is no address"),
        ("http://host:99999", "--to: it is no address"),
        ("https://host/?key=geheim", "--to: it is no address"),
        ("http://ho st", "--to: it is no address"),
        ("", "--to: it is no address"),
        ("http://localhost:{free}", "cannot be reached .* or check --to"),
        ("http://no-such-name.invalid", "cannot be reached .* or check --to"),
    ],
)
def test_a_wrong_address_of_a_move_names_the_flag_and_no_password(tmp_path: Path, url: str, sentence: str) -> None:
    project = some_project(tmp_path / "p")
    with pytest.raises((SettingsError, ArgillaError), match=sentence) as refused:
        move(project, url.format(free=free_port()), "a key", key_named="NEW_KEY")
    assert "geheim" not in str(refused.value)
    assert "annot.toml" not in str(refused.value)
    assert unfinished(project) == ""


@pytest.mark.server
def test_a_wrong_key_of_a_move_names_its_variable(tmp_path: Path, elsewhere: ArgillaClient) -> None:
    with pytest.raises(ArgillaError, match="does not know this key or password; check NEW_KEY"):
        move(some_project(tmp_path / "p"), elsewhere.url, "a key", key_named="NEW_KEY")


def test_an_answer_given_on_the_old_server_after_the_move_is_not_thrown_away(tmp_path: Path) -> None:
    project = some_project(tmp_path / "p")
    ledger = project.ledger
    ledger.add_people([person("ana")])
    ledger.add_moved("new", [MovedResponse("copy", "2026-05-05", "first", "2026-01-01")])
    ledger.add_responses("old", [answer(project, "first", "2026-01-01")])
    ledger.add_responses("new", [answer(project, "copy", "2026-05-05")])
    ledger.add_responses("old", [answer(project, "first", "2026-06-06", "4321")])
    assert [j.response_id for j in answers(ledger, "ranking")] == ["first"]


# -- the one line of annot.toml -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '[argilla]\n# url = ""                 # empty: the embedded\nport = 7000\n[train]\nauto = false\n',
        "[argilla]\nurl = 'http://old:1' # ours\n",
        '[project]\nname = "p"\n',
        '[argilla]\nport = 7000\n\n[task.ranking]\n# url = ""\ntarget = 3\n',
        "[argilla]",
    ],
)
def test_the_address_is_written_and_nothing_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "annot.toml"
    path.write_text(text)
    before = read_settings(path)
    set_argilla_url(path, "https://argilla.example.org")
    after = read_settings(path)
    assert after.argilla.url == "https://argilla.example.org"
    assert after.model_copy(update={"argilla": before.argilla}) == before
    assert after.argilla.port == before.argilla.port
    assert (
        [line for line in text.splitlines() if "url" not in line]
        == [line for line in path.read_text().splitlines() if "url" not in line and line]
        or "argilla" not in text
        or "\n\n" in text
    )
    set_argilla_url(path, "https://argilla.example.org")
    assert read_settings(path) == after


@pytest.mark.parametrize(
    "text",
    [
        "argilla = { port = 7000 } # ours\n",
        'argilla.port = 7000\n[project]\nname = "p"\n',
        '["argilla"]\nport = 7000\n',
        "[argilla]\nport = 7000\n\n\n# of the run\n[train]\nauto = false\n",
        '[argilla]\nport = 7000\nurl = """http://old:1"""\n',
        "[task.ranking]\ntarget = 3\n[argilla]\nport = 7000\n[task.prompt_check]\ntarget = 4\n",
    ],
)
def test_an_address_is_written_however_the_table_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "annot.toml"
    path.write_text(text)
    before = read_settings(path)
    set_argilla_url(path, "https://argilla.example.org")
    argilla = before.argilla.model_copy(update={"url": "https://argilla.example.org"})
    assert read_settings(path) == before.model_copy(update={"argilla": argilla})
    assert [line for line in re.findall("#.*", text) if line not in path.read_text()] == []
