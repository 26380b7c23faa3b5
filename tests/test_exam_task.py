"""Exam questions are checked by people, picture beside them: the task, what answers come to, formats and export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from unicodedata import normalize
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from fake_argilla import FakeWorld, RealWorld, World, person
from hypothesis import given, reject
from hypothesis import strategies as st
from PIL import Image
from projects import annot, make_project

from annotation.backups.make import back_up
from annotation.backups.restore import restore
from annotation.config import check_settings
from annotation.errors import ProjectError, SettingsError
from annotation.exams.checked import count_questions, exam_questions, settled_questions
from annotation.exams.export import MANIFEST, YOURS, export_exams
from annotation.exams.formats import (
    READERS,
    FoundRow,
    known_form,
    read_corpus_automation,
    read_released,
    read_submission,
    read_table_row,
    to_corpus_automation,
    to_released,
    to_submission,
)
from annotation.project import Project
from annotation.tables import export
from annotation.tasks import TASKS
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.exam.check import FITS, REJECT, Check
from annotation.tasks.exam.item import NAME, item_of, question_of
from annotation.tasks.exam.settled import CHECKED, DISPUTED, INCOMPLETE, REJECTED, WAITING, settle
from annotation.tasks.exam.texts import TEXTS
from annotation.tasks.page import LANGUAGES, MOST_PICTURE, TeamPage, read_guidelines
from annotation.types import REGIONAL_FEATURES, Answer, ExamQuestion, Item, content_id
from sync.argilla.paging import walk
from sync.cycle import sync_once
from sync.moving.copying import copy_records, ensure_dataset
from sync.push import push
from sync.reporting.status import report
from sync.taking_back import put_texts_back
from sync.team import add_team

EXAM = TASKS[NAME]
SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.exam]\ntarget = 2\n'


def asked(number: int = 1, **changes: Any) -> ExamQuestion:
    """A question that nobody has to know."""
    question = ExamQuestion(
        "",
        f"¿Que ciudad es la capital de la provincia {number}?",
        ("Norte", "Sur", "Este", "Oeste"),
        1,
        "MX",
        "es",
        "Examen de prueba 2020",
        number=str(number),
        level="Academic",
        category="Geography",
        category_original="Geografía",
        source="https://example.org/examen.pdf",
        licence="CC BY 4.0",
        document="0" * 64,
        page=3,
        extractor="text layer",
    )
    made = replace(question, **changes)
    return replace(made, id=content_id(made.question, *made.options, made.country, made.language))


FOUR, FIVE, NO_ANSWER = item_of(asked(), 0), item_of(asked(options=(*"vwxyz",)), 1), item_of(asked(answer=None), 2)


def read(item: Item, **values: str) -> Check:
    found: Check = EXAM.read(item, values)
    return found


# -- the task itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_teams_language(language: str) -> None:
    form = EXAM.form(TeamPage(language), check_settings({}, place="test"))
    assert set(TEXTS[language]) == set(TEXTS["en"])
    assert list(form.questions[0].options) == [*FITS, *REJECT]
    assert form.overlap == 2
    assert form.guidelines == read_guidelines("annotation.tasks.exam", language)
    assert 500 < len(form.guidelines) < 3_000
    for name in REGIONAL_FEATURES:  # each has its example there
        assert f"**{TEXTS[language][name]}" in form.guidelines


def test_an_item_holds_the_whole_question() -> None:
    for question in (asked(), asked(author="ana", answer=None, picture="exams/pictures/1.jpg", unsure="kerning")):
        item = item_of(question, 7)
        assert question_of(item) == question
        assert question_of(replace(item, content=json.loads(json.dumps(item.content)))) == question
        assert (item.id, item.position, item.topic) == (question.id, 7, "Geography")
    assert "author" not in FOUR.content
    assert item_of(asked(category=""), 0).topic == "Examen de prueba 2020"


def test_a_record_shows_options_with_letters_and_says_where_no_key_is_known() -> None:
    made = EXAM.record(item_of(asked(options=("<b>1</b>", "2", "3", "4")), 0), Texts({}, {}), None)
    assert made["fields"] == {
        "exam": "Examen de prueba 2020 · Pregunta n.º 1 · Geografía",
        "question": "¿Que ciudad es la capital de la provincia 1?",
        "options": "A. &lt;b&gt;1&lt;/b&gt;\nB. 2\nC. 3\nD. 4",
        "key": "B. 2",
    }
    assert made["metadata"]["exam_question"] == made["external_id"]
    assert EXAM.record(NO_ANSWER, Texts({}, {}), None)["fields"]["key"] == TEXTS["es"]["no key"]
    assert EXAM.record(item_of(asked(author="ana"), 0), Texts({}, {}), None)["metadata"]["author"] == "ana"


@pytest.mark.parametrize(
    ("item", "values", "reason"),
    [
        (FOUR, {}, "nothing was chosen"),
        (FOUR, {"verdict": "fine"}, "unknown verdict: fine"),
        (FOUR, {"verdict": "right", "feature": "local"}, "unknown regional feature: local"),
        (FOUR, {"verdict": "typo"}, "a typo without a correction"),
        (FOUR, {"verdict": "typo", "correction": "B. Sur"}, "a typo without a correction"),
        (FOUR, {"verdict": "right", "correction": "B. Sureste"}, "right as it stands, and a correction"),
        (FOUR, {"verdict": "right", "answer": "C"}, "right as it stands, and another key"),
        (FOUR, {"verdict": "wrong_key"}, "a wrong key without the right one"),
        (FOUR, {"verdict": "wrong_key", "answer": "B"}, "a wrong key without the right one"),
        (FOUR, {"verdict": "wrong_key", "answer": "E"}, "an option was chosen that the question does not have"),
        (FOUR, {"verdict": "right", "removed": "A"}, "an option is to go where there are only four"),
        (FIVE, {"verdict": "right", "removed": "B"}, "the right option is to go"),
        (FIVE, {"verdict": "wrong_key", "answer": "E", "removed": "E"}, "the right option is to go"),
        (FOUR, {"verdict": "typo", "correction": "E. Centro"}, "an option was chosen that the question does not have"),
        (FOUR, {"verdict": "typo", "correction": "A. Uno\nA. Dos"}, "a correction has an option twice"),
        (FOUR, {"verdict": "typo", "correction": "A."}, "a correction has an empty option"),
        (FOUR, {"verdict": "typo", "correction": "A. Uno\ny más"}, "a correction goes on after its options"),
        (FOUR, {"verdict": "typo", "correction": "A. Sur"}, "a correction makes two options alike"),
    ],
)
def test_answers_that_contradict_themselves_are_unfit(item: Item, values: dict[str, str], reason: str) -> None:
    with pytest.raises(Unfit) as found:
        EXAM.read(item, values)
    assert str(found.value) == reason


def test_a_correction_has_only_what_changes_in_any_usual_spelling() -> None:
    assert read(FOUR, verdict="typo", correction="¿Qué  ciudad?\n\nb) Sureste\nD: Poniente\n") == Check(
        "typo", "¿Qué ciudad?", ((1, "Sureste"), (3, "Poniente"))
    )
    # Who writes all of it again has changed what differs.
    whole = "¿Que ciudad es la capital de la provincia 1?\nA. Norte\nB. Sur\nC. Este\nD. Poniente"
    assert read(FOUR, verdict="typo", correction=whole) == Check("typo", "", ((3, "Poniente"),))
    assert read(FOUR, verdict="right", correction=whole.replace("Poniente", "Oeste")) == Check("right")
    # The page's copy button hands out what was sent.
    assert read(FOUR, verdict="typo", correction="A. &lt;b&gt;").options == ((0, "<b>"),)
    # Who rejects a question need not be exact about it.
    assert read(FOUR, verdict="unclear", answer="E", correction="A. Sur\nse repite") == Check("unclear")


plain = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="&<>⟨⟩"), min_size=1, max_size=9)


@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from([FOUR, FIVE, NO_ANSWER]))
    size, pick = len(item.content["options"]), data.draw
    check = Check(
        pick(st.sampled_from([*FITS, *REJECT])),
        pick(st.just("") | plain.map(lambda text: f"¿{text}?")),
        tuple(sorted(pick(st.dictionaries(st.integers(0, size - 1), plain.map(lambda text: f"·{text}"))).items())),
        pick(st.none() | st.integers(0, size - 1)),
        pick(st.none() | st.integers(0, size - 1)),
        pick(st.sampled_from(["", *REGIONAL_FEATURES])),
        pick(st.just("") | plain),
        pick(st.just("") | plain),
    )
    values = {name: told["value"] for name, told in EXAM.values(item, check).items()}
    try:
        found = read(item, **values)
    except Unfit:
        reject()
    assert found == composed(check)


def composed(check: Check) -> Check:
    """A check as it is kept: NFC, and nothing about texts and options from those who reject the question."""
    if not check.fits:
        return replace(check, question="", options=(), key=None, removed=None)
    options = tuple((place, normalize("NFC", text)) for place, text in check.options)
    return replace(check, question=normalize("NFC", check.question), options=options)


def test_agreement_is_on_fit_key_and_regional_feature() -> None:
    assert EXAM.units(FOUR, Check("right", feature="culture")) == {"fit": "fits", "key": "B", "feature": "culture"}
    assert EXAM.units(FOUR, Check("wrong_key", key=2)) == {"fit": "fits", "key": "C"}
    assert EXAM.units(FOUR, Check("foreign", key=2)) == {"fit": "foreign"}
    control = replace(FOUR, expected={"fit": "fits", "key": "B"})
    assert EXAM.score(control, Check("right")) == 1
    assert EXAM.score(control, Check("wrong_key", key=2)) == 0.5
    assert EXAM.score(control, Check("unclear")) == 0


def test_other_numbers_of_options_do_not_fit() -> None:
    settings = check_settings({}, place="test")
    for options, fits in (("wxyz", True), ("vwxyz", True), ("xyz", False), ("uvwxyz", False)):
        assert (EXAM.misfit(item_of(asked(options=tuple(options)), 0), settings) is None) is fits


def test_more_who_agree_than_people_asked_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"agree = 3 is above overlap = 2"):
        check_settings({"task": {"exam": {"agree": 3}}}, place="annot.toml")


# -- what answers come to -----------------------------------------------------------------------------------


def settled(item: Item, *checks: Check, **settings: int) -> tuple[str, ExamQuestion]:
    table = check_settings({"task": {"exam": settings}}, place="test").task.exam
    answers = [Answer(str(n), item.id, f"p{n}", "MX", "t", check) for n, check in enumerate(checks)]
    found = settle(item, answers, table)
    return found.status, found.question


FINE, TYPO = Check("right"), Check("typo", "¿Qué ciudad es la capital de la provincia 1?")


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ((), WAITING),
        ((FINE,), WAITING),
        ((FINE, FINE), CHECKED),
        ((FINE, Check("right", key=1)), CHECKED),
        ((FINE, TYPO), DISPUTED),
        ((FINE, TYPO, TYPO), CHECKED),
        ((FINE, FINE, TYPO, TYPO), DISPUTED),
        ((Check("unclear"), Check("foreign")), REJECTED),
        ((Check("unclear"), FINE), DISPUTED),
        ((Check("unclear"), FINE, FINE), CHECKED),
        ((Check("wrong_key", key=0), Check("wrong_key", key=2)), DISPUTED),
    ],
)
def test_two_people_who_say_the_same_settle_a_question(checks: tuple[Check, ...], status: str) -> None:
    assert settled(FOUR, *checks)[0] == status


def test_a_checked_question_is_as_its_people_made_it() -> None:
    mended = replace(TYPO, options=((0, "El norte"),), key=2, feature="region implicit", category="History")
    status, question = settled(FOUR, mended, replace(mended, feature="culture", comment="otra cosa"))
    assert (status, question.question) == (CHECKED, TYPO.question)
    assert (question.options, question.answer) == (("El norte", "Sur", "Este", "Oeste"), 2)
    assert (question.regional_feature, question.category) == ("", "History")
    assert question.id == FOUR.id
    _, question = settled(FOUR, replace(FINE, feature="culture"), replace(FINE, category="History"))
    assert (question.regional_feature, question.category) == ("culture", "Geography")
    known = item_of(asked(regional_feature="agnostic"), 0)
    assert settled(known, FINE, FINE)[1].regional_feature == "agnostic"


def test_of_five_options_the_people_say_which_goes() -> None:
    last, first = replace(FINE, removed=4), replace(FINE, removed=0)
    assert settled(FIVE, FINE, FINE)[0] == INCOMPLETE
    assert settled(FIVE, last, FINE)[1].options == (*"vwxy",)
    assert settled(FIVE, last, first)[1].options == (*"vwxy",)
    assert settled(FIVE, first, last, last)[1].options == (*"vwxy",)
    status, question = settled(FIVE, first, first)
    assert (status, question.options, question.answer) == (CHECKED, (*"wxyz",), 0)


def test_a_question_without_a_key_needs_people_who_agree_on_one() -> None:
    assert settled(NO_ANSWER, FINE, FINE)[0] == INCOMPLETE
    assert settled(NO_ANSWER, Check("right", key=3), Check("wrong_key", key=3))[1].answer == 3
    assert settled(NO_ANSWER, Check("right", key=3), Check("right", key=2))[0] == DISPUTED


def test_more_people_may_be_asked_to_agree() -> None:
    assert settled(FOUR, FINE, FINE, overlap=3, agree=3)[0] == WAITING
    assert settled(FOUR, FINE, FINE, FINE, overlap=3, agree=3)[0] == CHECKED
    assert settled(FOUR, FINE, overlap=1, agree=1)[0] == CHECKED


# -- the whole way ----------------------------------------------------------------------------------------


def draw_picture(folder: Path, name: str, size: int = 40) -> str:
    """A JPEG in a project; its path as a question has it."""
    path = folder / "exams" / "pictures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    held = BytesIO()
    Image.effect_noise((size, size), 200).save(held, "JPEG", quality=95)
    path.write_bytes(held.getvalue())
    return path.relative_to(folder).as_posix()


def with_questions(project: Project, questions: Sequence[ExamQuestion]) -> Project:
    """The project with these questions to be checked."""
    project.ledger.add_items(item_of(question, position) for position, question in enumerate(questions))
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


def renamed(project: Project, name: str) -> Project:
    """The project with a dataset of its own on a server that several tests share."""
    own = project.settings.task.exam.model_copy(update={"dataset": name})
    task = project.settings.task.model_copy(update={"exam": own})
    return Project(project.folder, project.settings.model_copy(update={"task": task}))


def say(world: World, project: Project, said: Mapping[str, Mapping[int, Check]]) -> None:
    """People answer by the position of the question."""
    items = {item.id: item for item in project.ledger.items(NAME)}
    (dataset,) = [d for d in world.api.datasets() if d.name == project.settings.task.exam.dataset]
    for name, checks in said.items():
        client = world.annotator_client(name, project.secrets()["passwords"][name])
        for record in world.api.records_of(dataset.id, EXAM.label, list(items)):
            item = items[record["external_id"]]
            if item.position in checks:
                client.answer(record["id"], EXAM.values(item, checks[item.position]))


def test_from_pictures_to_checked_questions(world: World, project: Project, tmp_path: Path) -> None:
    names = [f"{name}-{tmp_path.name[-8:]}".replace("_", "") for name in ("ana", "ben", "eva")]
    add_team(project, world.api, [person(name) for name in names])
    picture = draw_picture(project.folder, "1.jpg")
    questions = [
        asked(1, picture=picture),
        asked(2, picture="exams/pictures/gone.jpg"),
        asked(3, author=names[0]),
        asked(4, options=("uno", "dos")),
    ]
    project = renamed(with_questions(project, questions), f"exams {tmp_path.name}")
    pushed = push(world.api, project.ledger, project.settings, tasks=[NAME])
    assert pushed.sent == {"mx": 3}
    assert [(d.reason, d.because_of) for d in pushed.dropped] == [("other than four or five options", "2")]
    assert any(note.startswith("1 item was sent without the picture") for note in pushed.notes)
    assert push(world.api, project.ledger, project.settings, tasks=[NAME]).sent == {}

    mended, secret = replace(TYPO, feature="culture"), "escribe a ana@example.org"
    said = {
        names[0]: {0: replace(mended, comment=secret), 1: FINE},
        names[1]: {0: mended, 1: Check("foreign"), 2: FINE},
        names[2]: {2: FINE},
    }
    say(world, project, said)
    synced = sync_once(project, world.api)
    assert (synced.pulled.new, synced.pulled.texts) == (6, 0)
    assert project.ledger.changed_texts() == {}
    assert synced.report.made[NAME] == {CHECKED: 2, DISPUTED: 1}
    checked = exam_questions(project.ledger, project.settings)
    assert [(q.number, q.question) for q in checked] == [("1", TYPO.question), ("3", questions[2].question)]
    every = exam_questions(project.ledger, project.settings, only_checked=False)
    assert [q.number for q in every] == ["1", "2", "3", "4"]

    # Pictures may go: an answer counts for the texts that were shown. Another text on the server is noticed.
    (project.folder / picture).unlink()
    assert sync_once(project, world.api, whole=True).pulled.texts == 0
    draw_picture(project.folder, "1.jpg")
    (record,) = world.api.records_of(
        next(d.id for d in world.api.datasets() if d.name == project.settings.task.exam.dataset),
        EXAM.label,
        [questions[0].id],
    )
    assert record["fields"]["picture"].startswith("data:image/jpeg;base64,/9j/")
    world.api.set_texts(record["id"], {**record["fields"], "key": "C. Este"})
    assert sync_once(project, world.api, whole=True).pulled.texts == 1
    assert put_texts_back(world.api, project.ledger) == 1
    assert sync_once(project, world.api, whole=True).pulled.texts == 1
    assert project.ledger.changed_texts() == {}

    # A third person, whom the lead has asked for, settles what was disputed.
    exam = project.settings.task.exam.model_copy(update={"overlap": 3})
    task = project.settings.task.model_copy(update={"exam": exam})
    project = Project(project.folder, project.settings.model_copy(update={"task": task}))
    assert push(world.api, project.ledger, project.settings, tasks=[NAME]).sent == {}
    say(world, project, {names[2]: {1: Check("unclear")}})
    assert sync_once(project, world.api).report.made[NAME] == {CHECKED: 2, REJECTED: 1}
    done = export(project, tmp_path / "exports")
    assert (done.rows["exam_checks.parquet"], done.rows["exam_questions.parquet"]) == (7, 3)
    checks = pq.read_table(tmp_path / "exports" / "exam_checks.parquet").to_pylist()
    assert "ana@example.org" not in str(checks)
    assert not any(name in str(checks) for name in names)
    rows = pq.read_table(tmp_path / "exports" / "exam_questions.parquet").to_pylist()
    assert {(row["number"], row["status"], row["answers"], row["agreeing"]) for row in rows} == {
        ("1", CHECKED, 2, 2),
        ("2", REJECTED, 3, 2),
        ("3", CHECKED, 2, 2),
    }
    (first,) = (row for row in rows if row["number"] == "1")
    assert (first["question"], first["regional_feature"], first["options"]) == (
        TYPO.question,
        "culture",
        ["Norte", "Sur", "Este", "Oeste"],
    )


def test_pictures_that_argilla_would_not_take_stay_home(project: Project) -> None:
    folder = project.folder / "exams"
    folder.mkdir()
    (folder / "drawing.jpg").write_text("<svg/>")
    (folder / "large.jpg").write_bytes(b"\xff\xd8\xff" + b"0" * MOST_PICTURE)
    questions = [
        asked(number, picture=picture)
        for number, picture in enumerate(
            ("exams/drawing.jpg", "exams/large.jpg", "exams", draw_picture(project.folder, "1.jpg"))
        )
    ]
    with_questions(project, questions)
    items = project.ledger.items(NAME)
    texts = Texts.of(project.ledger, EXAM, items)
    assert ["picture" in EXAM.record(item, texts, None)["fields"] for item in items] == [False, False, False, True]


def test_pictures_go_in_calls_and_come_in_pages_that_a_machine_can_hold(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = FakeWorld()
    add_team(project, world.api, [person("ana"), person("ben")])
    with_questions(project, [asked(n, picture=draw_picture(project.folder, f"{n}.jpg", 200)) for n in range(6)])
    calls, pages = [], []
    add, records = world.api.add_records, world.api.records
    monkeypatch.setattr("sync.push.CALL_CHARACTERS", 100_000)
    monkeypatch.setattr("sync.argilla.paging.PAGE_CHARACTERS", 100_000)
    monkeypatch.setattr("sync.argilla.paging.FIRST_PAGE", 2)

    def count_call(dataset: str, sent: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        calls.append(len(sent))
        return add(dataset, sent)

    def count_page(dataset: str, offset: int, limit: int, *, responses: bool) -> Any:
        page = records(dataset, offset, limit, responses=responses)
        pages.append(len(page.records))
        return page

    monkeypatch.setattr(world.api, "add_records", count_call)
    monkeypatch.setattr(world.api, "records", count_page)
    push(world.api, project.ledger, project.settings, tasks=[NAME])
    assert sum(calls) == 6
    assert max(calls) < 6
    sync_once(project, world.api, whole=True)
    assert sum(pages) == 6
    assert max(pages) < 6


@pytest.mark.server
def test_a_moved_dataset_has_its_pictures_in_calls_that_a_server_takes(
    real_world: RealWorld, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = real_world.api
    add_team(project, api, [person(f"m{tmp_path.name[-8:]}".replace("_", ""))])
    with_questions(project, [asked(n, picture=draw_picture(project.folder, f"{n}.jpg", 200)) for n in range(4)])
    project = renamed(project, f"moved {tmp_path.name}")
    push(api, project.ledger, project.settings, tasks=[NAME])
    (dataset,) = [d for d in api.datasets() if d.name == project.settings.task.exam.dataset]
    there = api.add_workspace(f"moved{uuid4().hex[:8]}")
    copy = ensure_dataset(api, dataset, api, there, None)
    monkeypatch.setattr("sync.push.CALL_CHARACTERS", 100_000)
    assert copy_records(api, dataset.id, api, copy, str).added == 4
    assert copy_records(api, dataset.id, api, copy, str).settled
    shown = [{r["external_id"]: r["fields"] for r in walk(api, place)} for place in (dataset.id, copy)]
    assert shown[0] == shown[1]
    assert all(fields["picture"].startswith("data:image/jpeg;") for fields in shown[0].values())


def test_pictures_are_in_a_backup_and_come_back(project: Project, tmp_path: Path) -> None:
    picture = draw_picture(with_questions(project, [asked()]).folder, "1.jpg")
    made = back_up(project, tmp_path / "p.zip")
    again = tmp_path / "again"
    restore(Path(made.path), again)
    assert (again / picture).read_bytes() == (project.folder / picture).read_bytes()


# -- status and export --------------------------------------------------------------------------------------


def answered(project: Project, checks: Mapping[int, Sequence[Check]]) -> None:
    """Answers of ana, ben … by the question's position, as the server would have told them."""
    from annotation.ledger import Response

    people = ("ana", "ben", "eva")
    project.ledger.add_people([person(name) for name in people])
    moment, responses = "2026-01-01T00:00:00.000000", []
    for item in project.ledger.items(NAME):
        for who, check in zip(people, checks.get(item.position, ()), strict=False):
            raw = {"id": f"{item.id}-{who}", "status": "submitted", "values": EXAM.values(item, check)}
            responses.append(Response(raw["id"], item.id, who, "MX", "submitted", moment, json.dumps(raw)))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)


def test_status_counts_questions_by_exam_and_category_and_the_challenges_points(project: Project) -> None:
    assert "Exam questions" not in annot(project, "status")
    with_questions(project, [asked(1), asked(2), asked(3, category="History"), asked(4), asked(5)])
    answered(project, {0: (FINE, FINE), 1: (FINE, TYPO), 2: (Check("unclear"),) * 2, 3: (FINE,)})
    found = report(project)
    exam = ("MX", "Examen de prueba 2020")
    assert found.exams == {
        (*exam, "Geography", CHECKED): 1,
        (*exam, "Geography", DISPUTED): 1,
        (*exam, "History", REJECTED): 1,
        (*exam, "Geography", WAITING): 2,
    }
    assert found.exams == count_questions(settled_questions(project.ledger, project.settings))
    shown = annot(project, "status")
    assert "Exam questions" in shown
    assert "INCLUDE: 1 checked question, 0 of 1 points of the challenge (0.5 for each 100)." in shown
    told = json.loads(annot(project, "status", "--json"))
    assert told["include_points"] == 0
    assert sum(row["questions"] for row in told["exams"]) == 5
    points = project.settings.points.exams
    assert [points.earned(number) for number in (99, 100, 199, 200, 900)] == [0, 0.5, 0.5, 1, 1]
    assert not any("slates" in line for line in shown.splitlines() if "targets ask for" in line)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_agreement_on_each_thing_that_is_asked_is_measured_by_itself(project: Project) -> None:
    """Together, the features on which nobody agrees would hide behind the keys on which everybody does."""
    with_questions(project, [asked(n, answer=n % 4) for n in range(8)])
    features = REGIONAL_FEATURES * 3
    answered(
        project, {n: (replace(FINE, feature=features[n]), replace(FINE, feature=features[n + 1])) for n in range(8)}
    )
    found: Any = report(project).agreement[NAME]
    assert list(found) == ["MX · feature", "MX · fit", "MX · key"]
    assert found["MX · key"].alpha == 1
    assert found["MX · feature"].alpha < 0
    assert "the same value" in found["MX · fit"]
    assert (found["MX · key"].items, found["MX · key"].annotators) == (8, 2)


def test_an_export_has_checked_questions_alone_and_twice_is_once(project: Project, tmp_path: Path) -> None:
    questions = [
        asked(1),
        asked(2, licence=" "),
        asked(3),
        asked(4, language="nah", exam="Otro"),
        asked(5),
        asked(6, options=(*"vwxyz",)),
    ]
    with_questions(project, questions)
    both = (replace(FINE, feature="culture"),) * 2
    answered(project, {0: both, 1: both, 2: (FINE, TYPO), 3: both, 4: (Check("foreign"),) * 2})
    out = tmp_path / "out"
    done = export_exams(project, out, notes=lambda found: [f"Contamination: 0 of {len(found)} questions."])
    assert done.questions == {"Examen de prueba 2020": 1, "Otro": 1}
    exam = "Examen de prueba 2020"
    assert done.sentence() == (
        f"2 questions of 2 exams written; left out 2 not checked yet ({exam}: 2); left out 1 rejected by people "
        f"({exam}: 1); left out 1 without a licence ({exam}: 1)."
    )
    files = files_of(out)
    assert set(files) == {
        "README.md",
        MANIFEST,
        "data/Nahuatl.parquet",
        "data/Spanish.parquet",
        "submission/MX-es-examen-de-prueba-2020.json",
        "submission/MX-nah-otro.json",
    }
    (submitted,) = json.loads(files["submission/MX-es-examen-de-prueba-2020.json"])
    assert submitted == {
        "language": "Spanish",
        "country": "Mexico",
        "exam_name": "Examen de prueba 2020",
        "source": "https://example.org/examen.pdf",
        "license": "CC BY 4.0",
        "level": "Academic",
        "category_en": "Geography",
        "category_original_lang": "Geografía",
        "original_question_num": 1,
        "question": "¿Que ciudad es la capital de la provincia 1?",
        "options": ["Norte", "Sur", "Este", "Oeste"],
        "answer": 1,
    }
    (row,) = pq.read_table(out / "data" / "Spanish.parquet").to_pylist()
    assert (row["option_b"], row["answer"], row["regional_feature"], row["checked_by"]) == ("Sur", 1, "culture", 2)
    card = files["README.md"].decode()
    assert "- cc-by-4.0\n" in card
    about = "| Mexico | Examen de prueba 2020 | https://example.org/examen.pdf | CC BY 4.0 |"
    assert f"{about} 1 | 2 | 100% of 2 | 1 culture |" in card
    assert "Contamination: 0 of 2 questions." in card

    (out / "README.md").write_text(card + "Por qué lo hicimos.\n", encoding="utf-8")
    export_exams(project, out, notes=lambda found: [f"Contamination: 0 of {len(found)} questions."])
    assert files_of(out) == {**files, "README.md": files["README.md"] + "Por qué lo hicimos.\n".encode()}

    every = export_exams(project, out, only_checked=False)
    assert every.questions == {exam: 2, "Otro": 1}
    assert {dropped.reason for dropped in every.dropped} == {
        "rejected by people",
        "without a licence",
        "without exactly four options",
    }
    assert "| 3 |" not in (out / "README.md").read_text(encoding="utf-8").partition(YOURS)[2]


def test_the_hub_reads_the_card_and_every_configuration(project: Project, tmp_path: Path) -> None:
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    with_questions(project, [asked(1), asked(2, language="nah", licence="Dominio público")])
    answered(project, {0: (FINE,) * 2, 1: (FINE,) * 2})
    export_exams(project, tmp_path / "out")
    head = DatasetCard.load(tmp_path / "out" / "README.md").data.to_dict()
    assert (head["license"], head["language"]) == (["cc-by-4.0", "other"], ["es", "nah"])
    for name in ("Spanish", "Nahuatl"):
        loaded = load_dataset(str(tmp_path / "out"), name, split="test", cache_dir=str(tmp_path / "cache"))
        assert loaded[0]["answer"] == 1


def test_files_of_an_earlier_export_go_and_others_stay(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ProjectError, match="annot exams add"):
        export_exams(project, out)
    with_questions(project, [asked(1)])
    with pytest.raises(ProjectError, match=r"1 not checked yet \(Examen de prueba 2020: 1\)"):
        export_exams(project, out)
    answered(project, {0: (FINE, FINE)})
    for name in ("data/Basque.parquet", "submission/ES-eu-x.json", "submission/notes.txt"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("x")
    export_exams(project, out)
    theirs = {"data/Basque.parquet", "submission/ES-eu-x.json", "submission/notes.txt"}
    own = {name for name in files_of(out) if name not in theirs}
    assert {"README.md", MANIFEST, "data/Spanish.parquet"} < own
    assert len(own) == 4
    with_questions(project, [asked(2, exam="Otro examen")])
    answered(project, {0: (FINE, FINE)})
    (out / MANIFEST).write_text((out / MANIFEST).read_text().replace('"files": [', '"files": ["data/Gone.parquet",'))
    (out / "data" / "Gone.parquet").write_text("from an earlier export")
    export_exams(project, out)
    assert not (out / "data" / "Gone.parquet").exists()
    assert theirs < set(files_of(out))


def test_an_export_never_replaces_what_somebody_else_or_another_project_wrote(project: Project, tmp_path: Path) -> None:
    with_questions(project, [asked(1)])
    answered(project, {0: (FINE, FINE)})
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    (out / "data" / "Spanish.parquet").write_text("mine")
    with pytest.raises(ProjectError, match=r"Spanish\.parquet is not from an earlier export"):
        export_exams(project, out)
    (out / "data" / "Spanish.parquet").unlink()
    export_exams(project, out)
    other = make_project(tmp_path / "other", SETTINGS)
    with_questions(other, [asked(1)])
    with pytest.raises(ProjectError, match="holds the exams of another project"):
        export_exams(other, out, only_checked=False)
    (out / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectError, match="is not annot's"):
        export_exams(project, out)


# -- formats ------------------------------------------------------------------------------------------------

line = st.text(st.characters(exclude_categories=["C"]), max_size=9).map(str.strip)
word = line.filter(bool)


@st.composite
def questions(draw: st.DrawFn, *, least: int = 4, most: int = 4) -> ExamQuestion:
    """Any question with its provenance."""
    options = draw(st.lists(word, min_size=least, max_size=most))
    country, language = draw(st.sampled_from([("MX", "es"), ("BR", "pt"), ("BO", "ay"), ("ES", "eu"), ("VE", "es")]))
    return ExamQuestion(
        "id",
        draw(word),
        tuple(options),
        draw(st.none() | st.integers(0, len(options) - 1)),
        country,
        language,
        draw(word),
        number=draw(line | st.integers(0, 300).map(str)),
        level=draw(line),
        category=draw(line),
        category_original=draw(line),
        domain=draw(line),
        regional_feature=draw(st.sampled_from(["", *REGIONAL_FEATURES])),
        source=draw(line),
        licence=draw(line),
    )


def told(found: FoundRow, question: ExamQuestion, *lost: str) -> bool:
    """Whether a row says of a question all but what is lost."""
    own = {"question": found.question, "options": found.options, "answer": found.answer, "number": found.number}
    known: dict[str, Any] = {"country": "", "language": "", "exam": "", "category": found.category, **found.given}
    made = ExamQuestion("id", **{**own, **known})
    return made == replace(question, **dict.fromkeys(lost, ""))


@given(questions(), st.booleans())
def test_formats_lose_only_what_they_have_no_room_for(question: ExamQuestion, through_json: bool) -> None:
    def sent(row: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(row)) if through_json else row

    assert told(read_submission(sent(to_submission(question))), question, "domain", "regional_feature")
    assert told(read_released(sent(to_released(question))), question)
    forms = {
        "submission": to_submission(question),
        "released": to_released(question),
        "corpus-automation": to_corpus_automation(question),
    }
    for form, row in forms.items():
        assert known_form(row) == form
        assert READERS[form](sent(row)).options == question.options


@given(questions(least=2, most=10))
def test_corpus_automation_keeps_any_number_of_options(question: ExamQuestion) -> None:
    found = read_corpus_automation(to_corpus_automation(question))
    assert (found.question, found.options, found.answer) == (question.question, question.options, question.answer)
    assert (found.number, found.category, found.given) == (question.number, question.category, {})


def test_older_releases_have_a_list_and_letters_say_the_same() -> None:
    row = {"question": "¿?", "choices": ["a", "b", "c", "d"], "answer": 2.0, "language": "Spanish", "subject": "Law"}
    row["regional_feature"] = ""
    assert known_form(row) == "released"
    assert read_released(row) == FoundRow("¿?", (*"abcd",), 2, "", "Law", {"language": "es"})
    assert read_released({**row, "answer": "C"}).answer == 2
    assert read_released({**row, "choices": '["a", "b", "c"]', "answer": ""}).answer is None


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"Pregunta": "¿?", "Opción A": "x", "Opción B": "y", "Clave": "b)"}, 1),
        ({"enunciado": "¿?", "a)": "x", "b)": "y", "c)": "", "gabarito": "A"}, 0),
        ({"pergunta": "¿?", "alternativa_a": "x", "alternativa_b": "y", "resposta": None}, None),
        ({"questions": "¿?", "option_A": "x", "option_B": "y", "correct_answer": "(B)"}, 1),
        ({"question": "¿?", "options": '["x", "y"]', "answer": "a"}, 0),
        ({"question": "¿?", "opciones": '{"b": "y", "a": "x"}', "respuesta correcta": "B."}, 1),
    ],
)
def test_tables_under_usual_names_are_read(row: dict[str, Any], answer: int | None) -> None:
    assert known_form(row) == "table"
    assert read_table_row(row) == FoundRow("¿?", ("x", "y"), answer)


def test_a_table_tells_where_its_questions_come_from() -> None:
    row = {"Pregunta": "¿?", "A": "x", "B": "y", "País": "México", "Examen": "Prueba", "Materia": "Historia", "N.º": 7}
    assert read_table_row(row) == FoundRow("¿?", ("x", "y"), None, "7", "Historia", {"country": "MX", "exam": "Prueba"})
    assert known_form(["name", "age"]) == ""
    assert known_form(["question", "answer"]) == ""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"a": "x", "b": "y"}, "no question"),
        ({"question": "¿?", "a": "x"}, "fewer than two options"),
        ({"question": "¿?", "a": "x", "b": "", "c": "z"}, "an empty option"),
        ({"question": "¿?", "options": '["x", ""]'}, "an empty option"),
        ({"question": "¿?", "options": "x; y"}, "options that are no list"),
        ({"question": "¿?", "options": {"a": "x", "c": "y"}}, "options without their letters in order"),
        ({"question": "¿?", "a": "x", "b": "y", "answer": "c"}, "a key that is no option"),
        ({"question": "¿?", "a": "x", "b": "y", "clave": 1}, "a key that is a digit and no letter"),
        ({"question": "¿?", "a": "x", "b": "y", "clave": "z"}, "a key that is no letter"),
        ({"question": "¿?", "a": "x", "b": "y", "country": "Atlantis"}, "an unknown country"),
    ],
)
def test_rows_that_are_no_question_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_table_row(row)
