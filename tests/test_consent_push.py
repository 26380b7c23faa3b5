"""Consent is asked for first: what `annot push` and `annot move` see to, and what comes back of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from conftest import free_port
from fake_argilla import FakeWorld, RealWorld, World, person
from projects import make_project

from annotation.config import Settings, StereotypeSettings
from annotation.errors import ArgillaError
from annotation.hosting import embedded
from annotation.project import Project
from annotation.tables import read_tables
from annotation.tasks import TASKS
from annotation.tasks.answers import answers
from annotation.tasks.base import Texts
from annotation.tasks.consent.task import NAME, NO, YES, Consent, add_consents
from annotation.tasks.consent.texts import TEXTS
from annotation.tasks.duel.task import BOTH_BAD, Duels
from annotation.tasks.form import CONSENT, GUARD, Form, Guard
from annotation.tasks.page import PURPOSE, TeamPage
from annotation.types import Item, Prompt
from sync.argilla.client import ArgillaClient, connect
from sync.argilla.protocol import Dataset
from sync.moving.move import move
from sync.pull import pull
from sync.push import Pushed, push
from sync.team import add_team


class Hurtful(Duels):
    """A sensitive task: as those of stereotypes are."""

    sensitive = True

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        made = super().form(page, settings, dimensions=dimensions)
        return replace(made, guard=Guard("choice", BOTH_BAD, settings.stereotypes.most_a_day))


@pytest.fixture(autouse=True)
def hurtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "duel", Hurtful())  # type: ignore[arg-type]


def project_of(folder: Path, countries: Sequence[str], toml: str = "") -> Project:
    """Four duels that may hurt, in each country."""
    named = ", ".join(f'"{country}"' for country in countries)
    project = make_project(folder, f'[project]\ncountries = [{named}]\nlanguages = ["es"]\n{toml}')
    position = 0
    for country in countries:
        for number in range(4):
            prompt = Prompt.make(f"¿Qué se dice, {number}?", country=country, language="es")
            project.ledger.add_prompts([prompt])
            content = {"a": "toman mate", "b": "llegan tarde", "adapted": "A"}
            item = Item(f"d{country}{number}", "duel", position, country, "es", country, content, prompt.id)
            project.ledger.add_items([item])
            position += 1
    return project


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    return lambda *countries, toml="": project_of(tmp_path / "p", countries, toml)


def send(world: World, project: Project, *tasks: str, **choices: Any) -> Pushed:
    return push(world.api, project.ledger, project.settings, tasks=tasks or TASKS, **choices)


def with_team(world: World, project: Project, *countries: str) -> list[str]:
    """User names of one person for each country."""
    people = [person(f"p{number}-{uuid4().hex[:6]}", country) for number, country in enumerate(countries)]
    add_team(project, world.api, people)
    return [one.username for one in people]


def there(world: World, country: str) -> dict[str, Dataset]:
    """The datasets of a country's workspace by the key of their rules."""
    return {key: d for d in world.api.datasets() if d.workspace == country.lower() for key in d.rules}


def count(world: World, dataset: Dataset) -> int:
    return world.api.records(dataset.id, 0, 1, responses=False).total


# --- the task -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["es", "pt", "en"])
def test_the_warning_says_how_much_and_how_to_get_out_and_in_again(make: Callable[..., Project], language: str) -> None:
    project = make("PY")
    project.ledger.add_people([person("ana", "PY", languages=(language,))])
    assert (add_consents(project.ledger, ["PY", "PY"], 17), add_consents(project.ledger, ["PY"], 99)) == (1, 0)
    (item,) = project.ledger.items(NAME)
    record = Consent().record(item, Texts({}, {}), None)
    form = Consent().form(TeamPage(language, "PY"), project.settings)
    (shown,) = record["fields"].values()
    assert " 17 " in shown
    assert "{" not in shown + form.guidelines
    assert set(record["fields"]) == {field.name for field in form.fields}
    assert {*record["metadata"], PURPOSE} == {one.name for one in form.metadata}
    yes = {"es": "«Sí»", "pt": "«Sim»", "en": "“Yes”"}[language]
    assert yes in shown
    assert yes in form.guidelines
    assert (form.names[0], form.questions[0].options[YES]) == (TEXTS[language]["dataset"], TEXTS[language]["yes"])
    assert form.rules == {CONSENT: {"question": "answer", "option": YES}}


def test_consents_leave_the_project_under_pseudonyms_and_refusals_are_counted(make: Callable[..., Project]) -> None:
    task, project = Consent(), make("PY")
    project.ledger.add_people([person(name, "PY") for name in ("ana", "leo")])
    add_consents(project.ledger, ["PY"], 40)
    (item,) = project.ledger.items(NAME)
    read = [task.read(item, {name: v["value"] for name, v in task.values(item, said).items()}) for said in (YES, NO)]
    assert read == [YES, NO]
    world = FakeWorld()
    names = with_team(world, project, "PY", "PY")
    send(world, project)
    for name, said in zip(names, (YES, NO), strict=True):
        client = world.annotator_client(name, project.secrets()["passwords"][name])
        (record,) = client.queue(there(world, "PY")[CONSENT].id)
        client.answer(record["id"], task.values(item, said))
    pull(world.api, project.ledger)
    assert sorted(answer.value for answer in answers(project.ledger, NAME)) == [NO, YES]
    assert all("updated_at" in row["raw"] for row in project.ledger.rows("select raw from responses"))
    (part,) = read_tables(project, NAME)
    found = part["consents.parquet"].rows
    assert sorted(row["said"] for row in found) == [NO, YES]
    assert not {row["annotator"] for row in found} & set(names)


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.sensitive])
def test_every_sensitive_task_is_guarded_and_has_a_way_out(name: str, make: Callable[..., Project]) -> None:
    form = TASKS[name].form(TeamPage("es", "PY"), make("PY").settings)
    assert form.guard is not None
    assert form.guard.most_a_day == 40
    first = form.questions[0]
    assert (first.name, first.kind, first.required) == (form.guard.question, "label_selection", True)
    assert list(first.options)[-2:] == ["skip", form.guard.stop]
    assert form.vector is None


# --- push ---------------------------------------------------------------------------------------------


def test_the_consent_goes_first_whatever_task_is_named(make: Callable[..., Project], world: World) -> None:
    project = make("NI", "CR")
    with_team(world, project, "NI", "CR")
    before = len(world.api.datasets())
    dry = send(world, project, "duel", dry_run=True)
    assert (dry.sent, project.ledger.items(NAME), len(world.api.datasets())) == ({"ni": 5, "cr": 5}, [], before)
    assert send(world, project, "duel", limit=3).sent == {"ni": 2, "cr": 1}
    for country in ("NI", "CR"):
        assert count(world, there(world, country)[CONSENT]) == 1
    assert send(world, project, "duel").sent == {"ni": 3, "cr": 4}
    assert send(world, project).sent == {}
    for country in ("NI", "CR"):
        datasets = there(world, country)
        assert datasets[GUARD].rules[GUARD] == {"question": "choice", "stop": BOTH_BAD, "most_a_day": 40}
        assert count(world, datasets[GUARD]) == 4


def test_a_changed_number_is_told_to_the_server(make: Callable[..., Project], world: World) -> None:
    project = make("CU")
    with_team(world, project, "CU")
    send(world, project)
    for most in (7, 9):
        changed = project.settings.model_copy(update={"stereotypes": StereotypeSettings(most_a_day=most)})
        push(world.api, project.ledger, changed, tasks=["duel"])
        assert there(world, "CU")[GUARD].rules[GUARD]["most_a_day"] == most


def test_a_server_that_does_not_guard_gets_nothing_and_the_sentence_says_what_to_do(
    make: Callable[..., Project],
) -> None:
    project, world = make("PY"), FakeWorld()
    with_team(world, project, "PY")
    world.api.guarding = False
    for choices in ({}, {"tasks": ["duel"]}, {"dry_run": True}):
        with pytest.raises(ArgillaError, match=r"not consented.*`annot down` and `annot up`.*--task ranking`\.$"):
            push(world.api, project.ledger, project.settings, **choices)  # type: ignore[arg-type]
    assert (world.api.datasets(), project.ledger.items(NAME)) == ([], [])


@pytest.mark.parametrize(
    ("status", "body", "guards"),
    [(404, b"{}", False), (200, b'{"feed": "a", "last": 0}', False), (200, b'{"guards": true}', True)],
    ids=["stock", "older", "ours"],
)
def test_only_a_server_that_says_so_guards(status: int, body: bytes, guards: bool) -> None:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/api/v1/me"
            self.send_response(200 if known else status)
            self.end_headers()
            self.wfile.write(b'{"role": "owner"}' if known else body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        api = ArgillaClient(f"http://127.0.0.1:{server.server_port}", "a-key")
        assert api.guards() is guards
        api.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def killed(work: Callable[[], object]) -> bool:
    """Do work in a process of its own that kills itself with signal 9; whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.server
@pytest.mark.parametrize(("moment", "country"), [("set_rules", "HN"), ("add_records", "SV")])
def test_a_push_that_was_killed_anywhere_leaves_no_record_unguarded(
    make: Callable[..., Project], real_world: RealWorld, monkeypatch: pytest.MonkeyPatch, moment: str, country: str
) -> None:
    project = make(country)
    (name,) = with_team(real_world, project, country)
    real, left = getattr(ArgillaClient, moment), iter(range(1))

    def second_time(api: ArgillaClient, *given: Any) -> Any:
        return real(api, *given) if next(left, None) is not None else die()

    with monkeypatch.context() as patched:
        patched.setattr(ArgillaClient, moment, second_time)  # first for the consent, then for what is guarded
        key = real_world.api._key
        assert killed(lambda: send(RealWorld(real_world.api.url, key), Project.open(project.folder)))
    (hurts,) = (d for d in real_world.api.datasets() if (d.workspace, d.name) == (country.lower(), "Dos respuestas"))
    assert count(real_world, hurts) == 0
    assert (GUARD in hurts.rules) is (moment == "add_records")
    client = real_world.annotator_client(name, project.secrets()["passwords"][name])
    send(real_world, project)
    datasets = there(real_world, country)
    assert (datasets[GUARD].id, count(real_world, datasets[GUARD])) == (hurts.id, 4)
    assert client.queue(hurts.id) == []


# --- move ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    """An Argilla that has nothing to do with the project."""
    home = tmp_path_factory.mktemp("new") / ".argilla"
    url = embedded.start(home, port=free_port()).url
    with RealWorld(url, embedded.owner(home).api_key) as world:
        yield world
    embedded.stop(home)


@pytest.mark.server
def test_a_move_takes_the_guard_along_and_whoever_stopped_stays_stopped(
    make: Callable[..., Project], elsewhere: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("PY", toml=f"[argilla]\nport = {free_port()}\n")
    embedded.start(project.argilla_home, port=project.settings.argilla.port)
    try:
        api = connect(project)
        with RealWorld(api.url, embedded.owner(project.argilla_home).api_key) as world:
            names = with_team(world, project, "PY", "PY")
            send(world, project)
            datasets = there(world, "PY")
            for name, said in zip(names, ("A", BOTH_BAD), strict=True):
                client = world.annotator_client(name, project.secrets()["passwords"][name])
                client.answer(client.queue(datasets[CONSENT].id)[0]["id"], {"answer": {"value": YES}})
                client.answer(client.queue(datasets[GUARD].id)[0]["id"], {"choice": {"value": said}})
            key = elsewhere.api._key
            with monkeypatch.context() as patched:
                patched.setattr(ArgillaClient, "guards", lambda _api: False)
                with pytest.raises(ArgillaError, match="not consented"):
                    move(project, elsewhere.api.url, key)
            assert elsewhere.api.datasets() == []
        assert move(project, elsewhere.api.url, key).done
        found = there(elsewhere, "PY")
        for rule in (CONSENT, GUARD):
            assert found[rule].rules[rule] == datasets[rule].rules[rule]
        shown = [
            len(elsewhere.annotator_client(name, project.secrets()["passwords"][name]).queue(found[GUARD].id))
            for name in names
        ]
        assert shown == [3, 0]
    finally:
        embedded.stop(project.argilla_home)
