"""Pictures and their descriptions go out to people, and what these say comes home, on a fake and on a real Argilla."""

import base64
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_argilla import FakeWorld, RealWorld, World, person
from picture_projects import describe, drawn
from projects import make_project

from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.answers import answers
from annotation.tasks.page import LANGUAGES, PICTURE, TeamPage
from annotation.tasks.ranking.slates import DESCRIPTION
from annotation.tasks.ranking.task import NO_PICTURE, SLATE
from annotation.types import PICTURE_PROBLEMS, PROBLEMS, Judgement, in_order, picture_file
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.doctor import _places
from sync.moving.copying import copy_records, ensure_dataset
from sync.pull import pull
from sync.push import push
from sync.reporting.next_step import next_step
from sync.reporting.status import report
from sync.sheets import log_in_sheets
from sync.taking_back import put_texts_back
from sync.team import add_team

TASK = TASKS[DESCRIPTION]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    name = f"set {uuid4().hex[:8]}"
    return make_project(
        tmp_path / "p",
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.description]\ntarget = 3\noverlap = 1\n'
        f'dataset = "{name}"\n[task.ranking]\ndataset = "{name} of texts"\n',
    )


def with_team(world: World, project: Project) -> tuple[str, str]:
    """Two people of Mexico; the log-in of the first."""
    names = [f"p{uuid4().hex[:8]}" for _ in range(2)]
    add_team(project, world.api, [person(name) for name in names])
    return names[0], project.secrets()["passwords"][names[0]]


def dataset_of(api: ArgillaApi, project: Project) -> Dataset:
    return next(d for d in api.datasets() if d.name == project.settings.task.description.dataset)


def test_a_picture_goes_out_with_its_descriptions_and_a_judgement_comes_home(world: World, project: Project) -> None:
    slates = describe(project, 3, ())
    who = with_team(world, project)
    vectors = {slate.id: [0.5, 0.5] for slate in slates}  # nothing that a picture is found by
    assert push(world.api, project.ledger, project.settings, vectors=vectors).sent == {"mx": 3}
    dataset = dataset_of(world.api, project)
    assert world.api.shape(dataset.id) == TASK.form(TeamPage("pt"), project.settings).shape
    texts = {candidate.id: candidate.text for candidate in project.ledger.candidates()}
    found = {record["external_id"]: record for record in walk(world.api, dataset.id)}
    for number, slate in enumerate(slates):
        fields = found[slate.id]["fields"]
        shown = f"data:image/webp;base64,{base64.b64encode(drawn(number).view).decode()}"
        assert fields == {PICTURE: shown, **dict(zip("ABCD", map(texts.__getitem__, slate.seats), strict=True))}
        assert "vectors" not in found[slate.id] or not found[slate.id]["vectors"]
        assert found[slate.id]["metadata"][SLATE] == slate.id

    client, items = world.annotator_client(*who), {item.id: item for item in project.ledger.items(DESCRIPTION)}
    given = {}
    for number, record in enumerate(client.queue(dataset.id)):
        a, b, c, d = items[record["external_id"]].content["seats"]
        marks = {b: PICTURE_PROBLEMS, d: ("generic",)} if number else {}
        judgement = Judgement(((b,), (a, c), (d,)), marks, number == 1, "Es mole." if number else "")
        client.answer(record["id"], TASK.values(items[record["external_id"]], judgement))
        given[record["external_id"]] = judgement
    assert pull(world.api, project.ledger).new == 3
    assert {answer.item_id: answer.value for answer in answers(project.ledger, DESCRIPTION)} == given
    assert push(world.api, project.ledger, project.settings).sentence().startswith("sent nothing; 3 were there already")


def test_a_project_of_pictures_alone_misses_no_dataset_of_texts(world: World, project: Project) -> None:
    describe(project, 1, ())
    with_team(world, project)
    push(world.api, project.ledger, project.settings)
    levels = {finding.what: finding.level for finding in _places(project, world.api)}  # type: ignore[arg-type]
    assert levels["datasets"] == "ok"


def test_nobody_is_asked_about_a_picture_whose_file_is_gone(project: Project) -> None:
    world = FakeWorld()
    first, second, *_ = describe(project, 4, ())
    with_team(world, project)
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    views = [project.folder / picture_file(prompts[s.prompt_id].image, view=True) for s in (first, second)]
    content = [view.read_bytes() for view in views]
    views[0].unlink()
    views[1].write_bytes(b"<svg onload='alert(1)'>")
    pushed = push(world.api, project.ledger, project.settings)
    assert pushed.sent == {"mx": 2}
    assert [(d.id, d.reason) for d in pushed.dropped] == [(first.id, NO_PICTURE), (second.id, NO_PICTURE)]
    assert "`annot images add`" in pushed.dropped[0].because_of
    assert next_step(project, report(project), argilla_runs=True) != "annot push"
    for view, own in zip(views, content, strict=True):
        view.write_bytes(own)
    assert next_step(project, report(project), argilla_runs=True) == "annot push"
    assert push(world.api, project.ledger, project.settings).sent == {"mx": 2}


def test_pictures_are_sent_and_copied_in_calls_of_a_bounded_size(
    real_world: RealWorld, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(project, 7, ())
    with_team(real_world, project)
    sizes: list[int] = []
    ask, add = real_world.api.ask, real_world.api.add_records

    def note(items: Sequence[Mapping[str, Any]]) -> None:
        sizes.append(sum(len(text) for item in items for text in item["fields"].values()))

    def asked(method: str, path: str, what: str, **options: Any) -> dict[str, Any]:
        if path.endswith("records/bulk"):
            note(options["body"]["items"])
        return ask(method, path, what, **options)

    def added(dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        note(records)
        return add(dataset_id, records)

    monkeypatch.setattr(real_world.api, "ask", asked)
    monkeypatch.setattr(real_world.api, "add_records", added)
    monkeypatch.setattr("sync.push.CALL_CHARACTERS", 30_000)
    assert push(real_world.api, project.ledger, project.settings).sent == {"mx": 7}
    sent = len(sizes)
    assert sent >= 3
    dataset = dataset_of(real_world.api, project)
    room = real_world.api.add_workspace(f"w{uuid4().hex[:8]}")
    copy = ensure_dataset(real_world.api, dataset, real_world.api, room, None)
    done = copy_records(real_world.api, dataset.id, real_world.api, copy, str)
    assert (done.records, done.added) == (7, 7)
    assert len(sizes) == 2 * sent
    assert max(sizes) <= 30_000
    assert copy_records(real_world.api, dataset.id, real_world.api, copy, str).settled
    there = {r["external_id"]: r["fields"] for r in walk(real_world.api, copy)}
    assert there == {r["external_id"]: r["fields"] for r in walk(real_world.api, dataset.id)}


def test_a_description_that_somebody_changed_is_told_and_put_back_with_its_picture(
    world: World, project: Project
) -> None:
    describe(project, 1, ())
    with_team(world, project)
    push(world.api, project.ledger, project.settings)
    (record,) = walk(world.api, dataset_of(world.api, project).id)
    world.api.set_texts(record["id"], {**record["fields"], "A": "Otra cosa."})
    pull(world.api, project.ledger, whole=True)
    assert "other texts on the server" in report(project).other_texts
    assert put_texts_back(world.api, project.ledger) == 1
    assert [r["fields"] for r in walk(world.api, dataset_of(world.api, project).id)] == [record["fields"]]
    pull(world.api, project.ledger, whole=True)
    assert report(project).other_texts == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_picture_first_and_asks_for_its_own_problems(project: Project, language: str) -> None:
    form = TASK.form(TeamPage(language), project.settings)
    assert [(field.name, field.kind, field.required) for field in form.fields] == [
        (PICTURE, "image", True),
        *((seat, "text", True) for seat in "ABCD"),
    ]
    assert [question.name for question in form.questions] == ["ranking", "acceptable", "problems", "rewrite"]
    marks = tuple(f"{seat}:{problem}" for seat in "ABCD" for problem in PICTURE_PROBLEMS)
    assert tuple(form.questions[2].options) == marks
    assert len(set(form.questions[2].options.values())) == len(marks)
    assert form.vector is None
    for shown in form.questions[2].options.values():
        assert shown.partition(": ")[2] in form.guidelines.lower()
    assert len(form.guidelines) < 10_000


def test_a_sheet_tells_whoever_describes_pictures_the_keys_of_that(project: Project) -> None:
    world = FakeWorld()
    describe(project, 1, ())
    (name, _), people = with_team(world, project), project.ledger.people()
    sheet = log_in_sheets(project, people, "http://here")[name]
    assert "de la descripción A" in sheet
    assert "«Descripciones de imágenes»" in sheet


@pytest.mark.parametrize("known", [PROBLEMS, PICTURE_PROBLEMS])
def test_problems_of_both_kinds_have_an_order(known: tuple[str, ...]) -> None:
    chance = random.Random(1)
    for _ in range(50):
        some = chance.sample(known, chance.randrange(len(known) + 1))
        assert in_order(some) == tuple(problem for problem in known if problem in some)
