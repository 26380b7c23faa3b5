"""`annot exams add`: what comes in, what is left out and why, and what is missing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pycountry
import pytest
from campaigns import kills
from exam_pdfs import exam_lines, lay_out, write_pdf
from projects import annot, make_project

from annotation.errors import SettingsError, SourceError
from annotation.exams.add import PICTURES, add_exams
from annotation.exams.formats import english_language
from annotation.exams.remove import remove_exam
from annotation.exams.rules import misfit
from annotation.project import Project
from annotation.tally import count
from annotation.tasks.exam.item import NAME, question_of
from annotation.text.locales import country_code, language_code, name_of_country
from annotation.types import ExamQuestion, Person
from sync.reporting.status import report

GIVEN = {
    "country": "PE",
    "language": "es",
    "exam": "Examen de muestra",
    "level": "Academic",
    "category": "History",
    "source": "https://example.org/examen",
    "licence": "CC0-1.0",
}
KILLS = kills(3, 24)
DATA = Path(__file__).parents[2] / "shared" / "data" / "exams"


def rows(count: int = 3) -> list[dict[str, Any]]:
    """Questions in corpus-automation's form, each about something of its own."""
    themes = (
        "el mercado de los jueves",
        "la acequia grande",
        "el tren de la sierra",
        "la feria del libro",
        "el puerto",
    )
    return [
        {
            "question_id": number,
            "question": f"¿Quién mandó construir {themes[number % 5]} del distrito {number}?",
            "options": {letter: f"{letter} {themes[(number + n) % 5]} {number}" for n, letter in enumerate("abcd")},
            "correct_answer": "b",
            "category": "historia",
        }
        for number in range(1, count + 1)
    ]


def write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path)


def questions(project: Project) -> list[ExamQuestion]:
    return [question_of(item) for item in project.ledger.items(NAME)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", '[project]\ncountries = ["PE"]\nlanguages = ["es"]\n')


def test_every_question_keeps_where_it_is_from(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", rows(2))
    added = add_exams(project, [source], given=GIVEN)
    first, second = questions(project)
    assert added.kept == (first, second)
    assert (first.exam, first.licence, first.category, first.category_original) == (
        "Examen de muestra",
        "CC0-1.0",
        "History",
        "historia",
    )
    assert (first.number, first.answer, len(first.document), first.extractor) == ("1", 1, 64, "corpus-automation")


def test_reading_a_source_again_adds_nothing(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", [*rows(2), rows(1)[0]])
    add_exams(project, [source], given=GIVEN)
    again = add_exams(project, [source], given=GIVEN)
    assert (len(again.kept), again.already_there, again.news) == (0, 2, 0)
    assert len(questions(project)) == 2


@pytest.mark.parametrize("field", sorted(GIVEN))
def test_what_include_asks_for_and_nobody_said_is_named_with_its_flag(
    project: Project, tmp_path: Path, field: str
) -> None:
    source = write(tmp_path / "exam.json", [{**rows(1)[0], "category": ""}])
    given = {name: value for name, value in GIVEN.items() if name != field}
    flag = {"source": "--source-url"}.get(field, f"--{field}")
    with pytest.raises(SettingsError, match=rf"exam\.json, row 1, does not say its {field}.*{flag}"):
        add_exams(project, [source], given=given)
    assert questions(project) == []


def test_a_category_in_another_language_than_english_is_not_taken_for_one(project: Project, tmp_path: Path) -> None:
    given = {name: value for name, value in GIVEN.items() if name != "category"}
    with pytest.raises(SettingsError, match=r'in its own language alone \("historia"\): add --category'):
        add_exams(project, [write(tmp_path / "exam.json", rows(1))], given=given)


def test_other_provenance_of_what_is_there_is_named_and_not_taken(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", rows(1))
    add_exams(project, [source], given=GIVEN)
    again = add_exams(project, [source], given={**GIVEN, "licence": "MIT"})
    assert [(drop.reason, drop.because_of) for drop in again.dropped] == [
        ("already there with other provenance", "licence CC0-1.0")
    ]
    assert questions(project)[0].licence == "CC0-1.0"


def test_questions_of_a_country_that_nobody_here_is_from_are_named(project: Project, tmp_path: Path) -> None:
    added = add_exams(project, [write(tmp_path / "exam.json", rows(1))], given={**GIVEN, "country": "España"})
    assert added.notices[0].startswith("ES 1: of a country that annot.toml does not name (PE)")


def test_settings_take_names_of_countries_and_languages(tmp_path: Path) -> None:
    project = make_project(tmp_path, '[exams]\ncountry = "Perú"\nlanguage = "español"\n')
    assert (project.settings.exams.country, project.settings.exams.language) == ("PE", "es")
    with pytest.raises(SettingsError, match=r'exams\.country = .Narnia.: "Narnia" is no ISO 3166 country code'):
        make_project(tmp_path, '[exams]\ncountry = "Narnia"\n')


def test_settings_say_what_holds_for_all_and_a_row_says_it_better(tmp_path: Path) -> None:
    lines = "\n".join(f'{name} = "{value}"' for name, value in GIVEN.items())
    project = make_project(tmp_path / "p", f"[exams]\n{lines}\n")
    (tmp_path / "exam.csv").write_text("pregunta,a,b,c,d,clave,pais\n¿Qué es?,u,v,w,x,C,Bolivia\n", encoding="utf-8")
    add_exams(project, [str(tmp_path / "exam.csv")], given={"exam": "Otro"})
    (question,) = questions(project)
    assert (question.country, question.exam, question.level, question.answer) == ("BO", "Otro", "Academic", 2)


REASONS = {
    "annulled by the official key": {"annulled": True},
    "3 options instead of 4": {"options": ("a", "b", "c")},
    "6 options instead of 4": {"options": tuple("abcdef")},
    "an option is empty": {"options": ("a", "", "c", "d")},
    "two options are the same": {"options": ("a", "b", "a", "d")},
    "the key names no option": {"answer": 4},
    "exact or natural science": {"category_original": "Matemáticas y lógica"},
    "no question": {"question": ""},
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_include_does_not_take_is_left_out_with_the_reason(reason: str) -> None:
    values = {"id": "x", "question": "¿?", "options": tuple("abcd"), "answer": 0, **REASONS[reason]}
    annulled = values.pop("annulled", False)
    question = ExamQuestion(country="PE", language="es", exam="x", **values)
    found = misfit(question, annulled=annulled)
    assert found is not None
    assert found[0] == reason


@pytest.mark.parametrize(
    "category", ["Educación física", "Geografía física", "Historia", "Law", "Medicine", "Metafísica"]
)
def test_subjects_that_only_sound_like_an_exact_science_stay(category: str) -> None:
    question = ExamQuestion("x", "¿?", tuple("abcd"), 0, "PE", "es", "x", category_original=category)
    assert misfit(question) is None


@pytest.mark.parametrize(
    "category",
    [
        *("Matemàtiques", "Ciències naturals", "Matematika", "Fisika", "Natur zientziak", "Maths", "Science"),
        *("Ciencias exactas", "Trigonometría", "Bioquímica", "Lengua / Matemáticas", "Ciencias (Química)"),
        *(
            "Ciências da Natureza",
            "Ciencias de la Naturaleza",
            "Ciencia: Física",
            "Estadística",
            "Statistics",
            "Aritmética",
            "Arithmetic",
            "Biologia",
        ),
    ],
)
def test_exact_and_natural_sciences_are_known_in_several_languages(category: str) -> None:
    assert misfit(ExamQuestion("x", "¿?", tuple("abcd"), 0, "PE", "es", "x", category_original=category)) is not None


def test_signs_tell_two_options_apart() -> None:
    assert misfit(ExamQuestion("x", "¿?", ("5", "-5", "5 %", "+5"), 0, "PE", "es", "x")) is None


def test_a_fifth_option_and_a_missing_key_are_for_people_to_decide(project: Project, tmp_path: Path) -> None:
    five, unknown = rows(2)
    five["options"]["e"] = "una quinta"
    unknown["correct_answer"] = None
    added = add_exams(project, [write(tmp_path / "exam.json", [five, unknown])], given=GIVEN)
    assert len(added.kept) == 2
    assert dict(added.waiting()) == {
        "which of five options goes": 1,
        "which option is right: no key says so": 1,
    }


def test_repeated_questions_are_left_out_within_a_file_against_the_project_and_elsewhere(
    project: Project, tmp_path: Path
) -> None:
    first, second, third, fourth = rows(4)
    add_exams(project, [write(tmp_path / "old.json", [first])], given=GIVEN)
    nearly = {**first, "question": first["question"].replace("Quién", "Quien")}
    other_key = {**second, "correct_answer": "c"}
    turned = {**third, "options": dict(zip("abcd", reversed(third["options"].values()), strict=True))}
    include = write(tmp_path / "include.json", [fourth])
    source = write(tmp_path / "new.json", [first, nearly, second, other_key, third, turned, fourth])
    added = add_exams(project, [source], given=GIVEN, against=[include])
    assert [question.question for question in added.kept] == [second["question"], third["question"]]
    assert (added.already_there, added.found) == (1, 7)
    assert [(drop.id, drop.reason) for drop in added.dropped] == [
        ("new.json, row 4", "exact duplicate with another key"),
        ("new.json, row 2", "near duplicate"),
        ("new.json, row 6", "near duplicate with another key"),
        ("new.json, row 7", "near duplicate"),
    ]
    assert added.dropped[3].because_of == "include.json, row 1 (1.00)"


def test_a_dry_run_shows_everything_and_writes_nothing(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", rows(2))
    added = add_exams(project, [source], given=GIVEN, dry_run=True)
    assert (len(added.kept), added.dry_run) == (2, True)
    assert not (project.folder / "ledger.sqlite").exists()
    assert len(added.as_json()["questions"]) == 2


def test_a_workbook_with_merged_cells_loses_no_row_in_silence(project: Project, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["pregunta", "a", "b", "c", "d", "clave", "examen"])
    sheet.append(["¿Qué río pasa por el pueblo?", "Uno", "Dos", "Tres", "Cuatro", "A", "Prueba de 2020"])
    sheet.append(["¿Qué cerro se ve desde la plaza?", "Alto", "Bajo", "Largo", "Corto", "B", None])
    sheet.append([None, "Este", "Ese", "Aquel", "Ninguno", "C", None])
    sheet.merge_cells("G2:G4")
    sheet.merge_cells("A3:A4")
    book.save(tmp_path / "exam.xlsx")
    added = add_exams(project, [str(tmp_path / "exam.xlsx")], given=GIVEN)
    assert [question.exam for question in added.kept] == ["Prueba de 2020", "Examen de muestra"]
    assert [(drop.id, drop.reason) for drop in added.dropped] == [("exam.xlsx, row 4", "no question")]


def test_a_table_without_questions_says_which_columns_it_wants(project: Project, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("nombre,edad\nuna,2\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"t\.csv has no columns for a question.*question, option_a to option_d"):
        add_exams(project, [str(tmp_path / "t.csv")], given=GIVEN)


def test_a_key_beside_a_table_or_several_exams_is_refused(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", rows(1))
    with pytest.raises(SettingsError, match="is a table"):
        add_exams(project, [source], given=GIVEN, key=Path("key.csv"))
    with pytest.raises(SettingsError, match="one by one"):
        add_exams(project, [source, source], given=GIVEN, key=Path("key.csv"))


def test_an_author_must_be_on_the_team_and_is_not_asked(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", rows(1))
    with pytest.raises(SettingsError, match='Nobody called "pe_9"'):
        add_exams(project, [source], given=GIVEN, author="pe_9")
    project.ledger.add_people([Person("pe_1", "", "annotator", "PE", ("es",))])
    add_exams(project, [source], given=GIVEN, author="pe_1")
    (item,) = project.ledger.items(NAME)
    assert item.content["author"] == "pe_1"


def test_the_command_shows_what_came_and_says_what_is_next(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "exam.json", [*rows(2), rows(1)[0]])
    flags = [
        word for name, value in GIVEN.items() for word in ({"source": "--source-url"}.get(name, f"--{name}"), value)
    ]
    said = annot(project, "exams", "add", source, *flags)
    assert "2 new questions from 3 questions of exam.json; left out: 1." in said
    assert "exact duplicate" in said
    assert "Next: annot exams list --each, then annot push" in said
    assert "waiting" in annot(project, "exams", "list")
    listed = json.loads(annot(project, "exams", "list", "--each", "--json"))
    assert (listed["questions"], listed["each"][0]["question"]["exam"]) == (2, "Examen de muestra")


def table(folder: Path, *lines: str) -> str:
    (folder / "exam.csv").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "exam.csv")


def test_a_key_that_is_a_digit_is_never_guessed_at(project: Project, tmp_path: Path) -> None:
    own = table(tmp_path, "question,option_a,option_b,option_c,option_d,answer", "¿Qué es?,u,v,w,x,1")
    added = add_exams(project, [own], given=GIVEN)
    assert [drop.reason for drop in added.dropped] == ["a key that is a digit and no letter"]
    head = "question,option_a,option_b,option_c,option_d,answer,regional_feature"
    counted = table(tmp_path, head, "¿Qué es?,u,v,w,x,1,culture", "¿Qué más es?,u,v,w,x,4,culture")
    with pytest.raises(SourceError, match=r"row 3: its answer is as large as .* write letters"):
        add_exams(project, [counted], given=GIVEN)
    listed = table(tmp_path, "question,choices,answer,regional_feature", '¿Qué es?,"[""u"", ""v"", ""w""]",3,culture')
    with pytest.raises(SourceError, match="row 2: its answer is as large as"):
        add_exams(project, [listed], given=GIVEN)
    blood = table(tmp_path, "pregunta,a,b,c,d,clave", "¿Qué grupo?,O,A,B,AB,A", "¿Qué siglo?,X,XI,XII,XIII,X")
    added = add_exams(project, [blood], given=GIVEN)
    assert [drop.reason for drop in added.dropped] == ["a key that is a letter and another option's text"]
    assert [question.answer for question in added.kept] == [0]
    released = table(tmp_path, head, "¿Qué es?,u,v,w,x,1,culture")
    assert add_exams(project, [released], given=GIVEN).kept[0].answer == 1


def test_a_key_may_be_the_option_itself_and_an_annulled_one_is_known(project: Project, tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "pregunta,a,b,c,d,clave,contexto",
        "¿Quién abre la feria?,La banda,El alcalde,La reina,Nadie,La reina,texto",
        "¿Quién cierra la feria?,La banda,El alcalde,La reina,Nadie,Opción D,texto",
        "¿Quién barre la feria?,La banda,El alcalde,La reina,Nadie,Anulada,texto",
    )
    added = add_exams(project, [source], given={**GIVEN, "category": "Culture"})
    assert [question.answer for question in added.kept] == [2, 3]
    assert [drop.reason for drop in added.dropped] == ["annulled by the official key"]
    assert added.notices == ("exam.csv: not read: the column contexto",)


def test_what_a_spreadsheet_made_of_an_option_is_not_taken_for_its_text(project: Project, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["pregunta", "a", "b", "c", "d", "clave"])
    sheet.append(["¿Qué parte?", datetime(2024, 2, 1), "Dos", "Tres", "Cuatro", "A"])
    sheet.append(["¿Es así?", True, "Dos", "Tres", "Cuatro", "A"])
    sheet.append(["¿Cuánto suma?", "=1+1", "Dos", "Tres", "Cuatro", "A"])
    sheet.append(["¿Qué tanto por ciento?", 0.5, "Dos", "Tres", "Cuatro", "A"])
    book.save(tmp_path / "exam.xlsx")
    added = add_exams(project, [str(tmp_path / "exam.xlsx")], given=GIVEN)
    assert [(drop.id[-5:], drop.reason.partition(":")[0]) for drop in added.dropped] == [
        ("row 2", "a date, a time or a truth value"),
        ("row 3", "a date, a time or a truth value"),
        ("row 4", "a formula that the spreadsheet never computed"),
    ]
    assert added.kept[0].unsure.startswith("an option was a number")


def test_a_key_that_comes_later_is_named_and_the_exam_can_be_taken_out_and_added_anew(
    project: Project, tmp_path: Path
) -> None:
    without = [{**row, "correct_answer": None} for row in rows(2)]
    add_exams(project, [write(tmp_path / "exam.json", without)], given=GIVEN)
    source = write(tmp_path / "exam.json", rows(2))
    later = add_exams(project, [source], given=GIVEN)
    assert later.reasons()[0][:2] == ("already there without its key", 2)
    project.ledger.add_pushes("server", "dataset", {questions(project)[0].id: "record"})
    assert remove_exam(project, GIVEN["exam"], dry_run=True).removed == 1
    count(project.ledger, project.settings)
    assert remove_exam(project, GIVEN["exam"]).sentence() == (
        "1 question was taken out; 1 stay, since people were asked about them."
    )
    assert sum(report(project).exams.values()) == 1
    again = add_exams(project, [source], given=GIVEN)
    assert [question.answer for question in again.kept] == [1]
    other = add_exams(project, [write(tmp_path / "exam.json", [{**rows(2)[1], "correct_answer": "c"}])], given=GIVEN)
    assert [drop.reason for drop in other.dropped] == ["already there with another key"]
    with pytest.raises(SettingsError, match='There is no exam "Otro"; there are Examen de muestra'):
        remove_exam(project, "Otro")


def test_what_could_not_be_compared_elsewhere_is_counted(project: Project, tmp_path: Path) -> None:
    bad = write(tmp_path / "include.json", [{**rows(1)[0], "correct_answer": "z"}])
    added = add_exams(project, [write(tmp_path / "exam.json", rows(1))], given=GIVEN, against=[bad])
    assert added.notices == ("include.json: 1 row not compared",)


@pytest.mark.parametrize("name", ["Greek", "Malay", "Nepali", "Swahili", "Spanish", "castellano", "Guaraní"])
def test_includes_names_of_languages_are_known(name: str) -> None:
    assert language_code(name) is not None


def test_every_country_and_language_that_an_export_names_is_read_back() -> None:
    countries = [country.alpha_2 for country in pycountry.countries]
    assert [code for code in countries if country_code(name_of_country(code, "en")) != code] == []
    short = [found.alpha_2 for found in pycountry.languages if hasattr(found, "alpha_2")]
    assert [code for code in short if language_code(english_language(code)) != code] == []


ADD = """
import sys
from pathlib import Path
from test_exams_add import GIVEN
from annotation.exams.add import add_exams
from annotation.project import Project
add_exams(Project.open(Path(sys.argv[1])), [sys.argv[2]], given=GIVEN)
"""


def state(project: Project) -> tuple[list[tuple[object, ...]], dict[str, bytes]]:
    """Questions as stored, and every picture."""
    rows = project.ledger.rows("select id, content, position from items order by position")
    return [tuple(row) for row in rows], {
        path.name: path.read_bytes() for path in (project.folder / PICTURES).glob("*.jpg")
    }


@pytest.mark.timeout(600)
def test_killed_anywhere_adding_a_pdf_ends_as_if_undisturbed(tmp_path: Path) -> None:
    asked = [(row["question"], tuple(row["options"].values())) for row in rows(40)]
    lines, dice = [*exam_lines(asked), "Clave", *(f"{number} B" for number in range(1, 41))], random.Random(7)
    source = write_pdf(tmp_path / "exam.pdf", lay_out(lines))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(project: Project) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", ADD, project.folder, source], env=environment)

    undisturbed = make_project(tmp_path / "undisturbed", "")
    assert start(undisturbed).wait(120) == 0
    expected, reached = state(undisturbed), set[int]()
    assert (len(expected[0]), len(expected[1])) == (40, 40)
    killed = 0
    while killed < KILLS or not reached - {0, 40}:  # At least one comes while pictures are written.
        project, enough = make_project(tmp_path / f"disturbed{killed}", ""), dice.randrange(40)
        process = start(project)
        while process.poll() is None and len(list((project.folder / PICTURES).glob("*.jpg"))) < enough:
            time.sleep(0.001)
        process.kill()
        process.wait()
        killed += 1
        reached.add(len(state(project)[1]))
        assert start(project).wait(120) == 0
        assert state(project) == expected


needs_data = pytest.mark.skipif(
    not DATA.exists(), reason=f"{DATA} is not here: public trial data is not in the repository"
)


@needs_data
def test_public_exams_come_in_whole_and_their_defects_are_named(project: Project) -> None:
    peru = add_exams(project, [str(DATA / "perumedqa_2018_prueba_a.pdf")], given=GIVEN)
    assert (peru.found, len(peru.kept), peru.dropped) == (100, 100, ())
    assert dict(peru.waiting()) == {"which of five options goes": 100}
    table = add_exams(project, [str(DATA / "perumedqa_2018_prueba_a.csv")], given=GIVEN)
    assert (len(table.kept), table.already_there + len(table.dropped)) == (0, 100)
    cut = [drop.id.rpartition(" ")[2] for drop in table.dropped if drop.reason == "near duplicate with another key"]
    assert len(cut) <= 3  # rows in which the table cuts an option short, the right one among them
    spain = {**GIVEN, "country": "ES"}
    law = add_exams(project, [str(DATA / "corpus_automation_constitucional.json")], given=spain)
    assert (law.found, len(law.kept)) == (47, 38)
    assert [(reason, count) for reason, count, _ in law.reasons()] == [("exact duplicate", 9)]
    old = add_exams(project, [str(DATA / "corpus_automation_2003.pdf")], given=spain)
    assert old.found == 100
    assert ("annulled by the official key", 1) in [(reason, count) for reason, count, _ in old.reasons()]
    assert old.already_there + len(old.kept) + len(old.dropped) == 100
    assert all((project.folder / question.picture).is_file() for question in (*peru.kept, *old.kept))
