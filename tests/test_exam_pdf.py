"""Exams in PDF: what people printed comes back as questions, and what does not is named."""

import csv
import difflib
import json
import os
import re
import shutil
import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import openpyxl
import pypdfium2
import pytest
from exam_pdfs import PdfPage, exam_lines, lay_out, write_pdf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation.errors import SourceError
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.exams.pdf import read_exam_pdf, read_lines
from annotation.exams.pictures import pictures
from annotation.exams.pieces import colour_name

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "exams"
needs_data = pytest.mark.skipif(
    not DATA.exists(), reason=f"{DATA} is not here: public trial data is not in the repository"
)

QUESTIONS = [
    ("¿Qué río pasa por la ciudad de la costa?", ("El río Grande", "El río Chico", "El río Seco", "Ninguno")),
    ("El mercado del pueblo abre:", ("Los lunes", "Los martes", "Los jueves", "Todos los días")),
    ("¿Con qué se prepara el pan de la fiesta?", ("Con maíz", "Con trigo", "Con yuca", "Con papa")),
    ("La danza de los sombreros se baila:", ("En invierno", "En la cosecha", "En la boda", "En la siembra")),
    ("¿Quién guarda las llaves del templo?", ("El alcalde", "La maestra", "El mayordomo", "La abuela")),
    ("El tejido de la región se tiñe con:", ("Cochinilla", "Carbón", "Cal", "Hollín")),
]


def exam(folder: Path, lines: list[str], **layout: object) -> Path:
    return write_pdf(folder / "exam.pdf", lay_out(lines, **layout))  # type: ignore[arg-type]


def read(path: Path, key: Path | None = None) -> FoundExam:
    return read_exam_pdf(path, language="es", key=key)


def texts(found: FoundExam) -> list[tuple[str, tuple[str, ...]]]:
    return [(question.question, question.options) for question in found.questions]


def answers(found: FoundExam) -> str:
    """Letters of the answers, "-" without one, "x" for what is annulled."""
    return "".join("x" if q.annulled else "-" if q.answer is None else "abcde"[q.answer] for q in found.questions)


def image_only(source: Path, path: Path) -> Path:
    """The pages of a PDF as pictures, as a scanner makes them."""
    document = pypdfium2.PdfDocument(source)
    images = [page.render(scale=200 / 72).to_pil().convert("RGB") for page in document]
    document.close()
    images[0].save(path, "PDF", resolution=200, save_all=True, append_images=images[1:])
    return path


@pytest.fixture
def tesseract() -> str:
    program = shutil.which("tesseract")
    if program is None:
        reason = "there is no tesseract on this machine; tests/tesseract.sh says why"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def test_an_exam_comes_back_with_its_place_and_its_key(tmp_path: Path) -> None:
    lines = [*exam_lines(QUESTIONS), "Clave de respuestas", "1 A 2 D 3 B", "4 B 5 C 6 A"]
    found = read(exam(tmp_path, lines))
    assert texts(found) == QUESTIONS
    assert answers(found) == "adbbca"
    assert (found.name, len(found.sha256), found.dropped, found.notices) == ("exam.pdf", 64, (), ())
    first = found.questions[0]
    assert (first.place, first.number, first.page, first.extractor, first.unsure) == (
        "page 1",
        "1",
        1,
        "text layer",
        "",
    )
    assert len(first.boxes) == 1
    assert first.boxes[0].page == 1
    assert 75 < first.boxes[0].top < first.boxes[0].bottom < 145


@pytest.mark.parametrize("number", ["{}.", "{})", "{}.-", "Pregunta {}:", "QUESTÃO {}", "{} -"])
@pytest.mark.parametrize("letter", ["{}) ", "{}. ", "({}) ", "{}.- "])
def test_numbers_and_letters_are_printed_in_many_ways(number: str, letter: str, tmp_path: Path) -> None:
    assert texts(read(exam(tmp_path, exam_lines(QUESTIONS, number=number, letter=letter)))) == QUESTIONS


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    many = [(f"{question} {n}", options) for n in range(8) for question, options in QUESTIONS]
    pages = lay_out(exam_lines(many), columns=2)
    assert texts(read(write_pdf(tmp_path / "exam.pdf", pages))) == many
    for page in pages:  # Some programs write a page row by row.
        page.texts.sort(key=lambda text: (text[1], text[0]))
    found = read(write_pdf(tmp_path / "exam.pdf", pages))
    assert texts(found) == many
    assert all(box.right < 310 or box.left > 280 for question in found.questions for box in question.boxes)


@pytest.mark.parametrize(
    "rows",
    [
        ("a) Cochinilla b) Carbón c) Cal d) Hollín",),
        ("a) Cochinilla  b) Carbón", "c) Cal  d) Hollín"),
        ("a) Cochinilla\tc) Cal", "b) Carbón\td) Hollín"),
        ("a) Cochinilla\tb) Carbón", "c) Cal\td) Hollín"),
        ("a) Cochinilla\td) Hollín", "b) Carbón", "c) Cal"),
    ],
)
def test_options_may_stand_side_by_side(rows: tuple[str, ...], tmp_path: Path) -> None:
    lines = [*exam_lines(QUESTIONS[:5]), "6. El tejido de la región se tiñe con:", *rows, "7. Otra:", "a) Sí", "b) No"]
    assert texts(read(exam(tmp_path, lines))) == [*QUESTIONS, ("Otra:", ("Sí", "No"))]


def test_options_that_are_numbers_are_no_key(tmp_path: Path) -> None:
    numbers = [(f"¿Cuántas calles tiene el barrio {n}?", ("10", "20", "30", "40")) for n in range(9)]
    lines = [f"{n}. {question}\na) 10 b) 20 c) 30 d) 40".split("\n") for n, (question, _) in enumerate(numbers, 1)]
    for layout in (exam_lines(numbers), [line for pair in lines for line in pair]):
        found = read(exam(tmp_path, layout))
        assert texts(found) == numbers
        assert answers(found) == "-" * 9


def test_a_page_that_is_turned_is_read_as_it_is_shown(tmp_path: Path) -> None:
    page = lay_out([*exam_lines(QUESTIONS), "Clave", "1 A 2 D 3 B 4 B 5 C 6 A"])[0]
    upright = read(write_pdf(tmp_path / "exam.pdf", [page]))
    page.turned = True
    turned = read(write_pdf(tmp_path / "exam.pdf", [page]))
    assert (texts(turned), answers(turned)) == (texts(upright), answers(upright))
    for ours, theirs in zip(turned.questions, upright.questions, strict=True):
        assert ours.boxes[0] == pytest.approx(theirs.boxes[0], abs=0.1)


def test_options_side_by_side_go_on_below_themselves(tmp_path: Path) -> None:
    lines = ["1. Se tiñe con:", "a) Cochinilla del\tc) Cal de la", "nopal de la costa\tcantera", "b) Carbón\td) Hollín"]
    assert texts(read(exam(tmp_path, lines))) == [
        ("Se tiñe con:", ("Cochinilla del nopal de la costa", "Carbón", "Cal de la cantera", "Hollín"))
    ]


def test_what_every_page_repeats_is_no_part_of_a_question(tmp_path: Path) -> None:
    long = [
        (" ".join([question, "cuando la gente del valle se reúne"] * 4), options) for question, options in QUESTIONS
    ]
    found = read(exam(tmp_path, exam_lines(long * 6), header="Concurso de maestros 2011", footer="Página {} de 9"))
    assert texts(found) == long * 6
    assert found.questions[-1].page > 3


def test_a_line_that_many_questions_share_is_no_furniture(tmp_path: Path) -> None:
    same = [
        (f"{question} Señale lo correcto:", (*options[:3], "Todas son ciertas")) for question, options in QUESTIONS * 20
    ]
    assert texts(read(exam(tmp_path, exam_lines(same), chars=34))) == same


def test_gaps_inside_a_word_are_closed_only_where_the_word_is_known(tmp_path: Path) -> None:
    page = lay_out(exam_lines(QUESTIONS))[0]
    page.texts[0] = (page.texts[0][0], page.texts[0][1], "[(1. Una M) -180 (ujer y otra Mujer con su so) -180 (brino)]")
    page.texts[1] = (page.texts[1][0], page.texts[1][1], "a) La M ujer")
    found = read(write_pdf(tmp_path / "exam.pdf", [page]))
    assert found.questions[0].question == "Una Mujer y otra Mujer con su sobrino"
    assert found.questions[0].options[0] == "La Mujer"
    assert found.questions[3].question == QUESTIONS[3][0]


def test_words_broken_at_the_end_of_a_line_are_joined(tmp_path: Path) -> None:
    lines = ["1. La consti-", "tución y el teatro greco-", "Romano:", "a) Sí", "b) No"]
    assert read(exam(tmp_path, lines)).questions[0].question == "La constitución y el teatro greco-Romano:"


@pytest.mark.parametrize(
    "key",
    [
        ("Clave", "1 A 4 B", "2 D 5 C", "3 B 6 A"),
        ("Plantilla de respuestas", "1. a) 2. d) 3. b)", "4. b) 5. c) 6. a)"),
        ("Gabarito", "1 2 3 4 5 6", "A D B B C A"),
        ("Respuestas", "1-A, 2-D, 3-B, 4-B, 5-C, 6-A"),
        ("Respuestas", "1A 2D 3B 4B 5C 6A"),
        ("1 A\t4 B", "2 D\t5 C", "3 B\t6 A"),
        ("Clave, primera parte", "1 A 2 D 3 B", "Clave, segunda parte", "4 B 5 C 6 A"),
        ("Clave", "1 A 2 D 3 B 4 B 5 C 6 A", "Clave, otra vez", "1 A 2 D 3 B 4 B 5 C 6 A"),
    ],
)
def test_a_table_of_answers_is_read_in_many_forms(key: tuple[str, ...], tmp_path: Path) -> None:
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), *key]))
    assert texts(found) == QUESTIONS
    assert answers(found) == "adbbca"


def test_an_option_above_the_key_may_speak_of_an_answer(tmp_path: Path) -> None:
    lines = answered(*QUESTIONS[5], "que es la", "respuesta de la abuela", number=6)[:-1]
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS[:5]), *lines, "Clave", "1 A 2 D 3 B 4 B 5 C 6 A"]))
    assert found.questions[5].options[3] == "Hollín que es la respuesta de la abuela"
    assert answers(found) == "adbbca"


@pytest.mark.parametrize("said", ["Respuesta correcta: {}", "Resposta: {}", "Gabarito: {}", "Clave: ({})", "RPTA. {}"])
def test_answers_stand_below_their_questions(said: str, tmp_path: Path) -> None:
    lines = exam_lines([(q, (*options[:3], options[3])) for q, options in QUESTIONS])
    marked = []
    for number, answer in enumerate(["A", "D", "B", "ANULADA", "C", "A"]):
        marked += [*lines[6 * number : 6 * number + 5], said.format(answer), ""]
    found = read(exam(tmp_path, marked))
    assert texts(found) == QUESTIONS
    assert answers(found) == "adbxca"


@pytest.mark.parametrize("word", ["ANULADA", "Anulado", "NULA", "*", "X", "anulada"])
def test_annulled_questions_are_known_as_such(word: str, tmp_path: Path) -> None:
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), "Gabarito", f"1 A 2 D 3 {word}", "4 B 5 C 6 A"]))
    assert answers(found) == "adxbca"
    assert found.questions[2].answer is None


def test_a_colour_in_the_key_means_what_the_key_says_that_it_means(tmp_path: Path) -> None:
    lines = [*exam_lines(QUESTIONS), "Clave", *(f"{n}      {answer}" for n, answer in enumerate("ADBBCA", 1)), ""]
    for legend, expected, doubt in (
        ("Preguntas anuladas por el tribunal", "axbbca", ""),
        ("Respuestas modificadas por el tribunal", "adbbca", ""),
        ("", "adbbca", "its answer stands in black in the key, which says nowhere why"),
    ):
        page = lay_out([*lines, legend])[0]
        marked = [text for text in page.texts if text[2].startswith("2      ") or (text[2] == legend and legend)]
        page.fills = [(left + 20, top, left + 200, top + 12, "0 0 0") for left, top, _ in marked]
        found = read(write_pdf(tmp_path / "exam.pdf", [page]))
        assert answers(found) == expected
        assert found.questions[1].unsure == doubt


def test_answers_that_are_marked_in_the_exam_are_taken_from_there(tmp_path: Path) -> None:
    page = lay_out(exam_lines(QUESTIONS))[0]
    right = [options["abcd".index(letter)] for letter, (_, options) in zip("adbbca", QUESTIONS, strict=True)]
    page.fills = [(left, top, left + 90, top + 12, "1 0.95 0") for left, top, text in page.texts if text[3:] in right]
    found = read(write_pdf(tmp_path / "exam.pdf", [page]))
    assert answers(found) == "adbbca"
    assert found.notices == ("The answers are marked in the exam (yellow), and were taken from there: 6 of 6.",)
    key = tmp_path / "key.txt"
    key.write_text("1 A\n2 D\n3 B\n4 B\n5 C\n6 D\n")
    found = read(write_pdf(tmp_path / "exam.pdf", [page]), key)
    assert answers(found) == "adbbcd"
    assert found.notices == ("The key (key.txt) was taken where the exam marks (yellow) another answer: 6.",)
    key.write_text("1 B\n2 C\n3 D\n4 A\n5 A\n6 D\n")
    with pytest.raises(SourceError, match=r"differs from the answers that the exam marks \(yellow\) in 6 of 6"):
        read(tmp_path / "exam.pdf", key)
    page.fills = page.fills[:2]
    assert answers(read(write_pdf(tmp_path / "exam.pdf", [page]))) == "------"


@pytest.mark.parametrize("form", ["txt", "csv", "csv without header", "csv without numbers", "xlsx", "pdf"])
def test_a_key_may_stand_in_a_file_of_its_own(form: str, tmp_path: Path) -> None:
    pairs = [(str(n), answer) for n, answer in enumerate(["A", "D", "B", "ANULADA", "C", "A"], 1)]
    key = tmp_path / f"key.{form.split()[0]}"
    if form == "txt":
        key.write_text("\n".join(f"{n}) {answer}" for n, answer in pairs), encoding="utf-8")
    elif form == "csv":
        key.write_text("Pregunta,Tema,Respuesta\n" + "\n".join(f"{n},arte,{a}" for n, a in pairs), encoding="utf-8")
    elif form == "csv without header":
        key.write_text("\n".join(f"{n};{answer}" for n, answer in pairs), encoding="utf-8")
    elif form == "csv without numbers":
        key.write_text("correct_answer,topic\n" + "\n".join(f"{answer},x" for _, answer in pairs), encoding="utf-8")
    elif form == "xlsx":
        book = openpyxl.Workbook()
        for row in [("Nº", "Clave"), *((int(n), answer) for n, answer in pairs)]:
            book.active.append(row)
        book.save(key)
    else:
        write_pdf(key, lay_out([f"{n} {answer}" for n, answer in pairs]))
    assert answers(read(exam(tmp_path, exam_lines(QUESTIONS)), key)) == "adbxca"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("1 A 2 B 3 C", "it does not answer question 4; it does not answer question 5"),
        (" ".join(f"{n} A" for n in range(1, 21)), "it answers question 7, which the exam does not have"),
        ("1 E 2 E 3 A 4 B 5 E 6 A", "it answers E to question 1, which has 4 options"),
    ],
)
def test_a_key_of_another_exam_is_refused(key: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    path.write_text(key, encoding="utf-8")
    with pytest.raises(SourceError, match=re.escape(problem)):
        read(exam(tmp_path, exam_lines(QUESTIONS)), path)
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), "Clave", key]))  # In the exam itself: it is not taken.
    assert answers(found) == "------"
    assert problem in found.notices[0]


def test_a_slip_in_a_key_costs_one_question(tmp_path: Path) -> None:
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), "Clave", "1 A 2 D 3 B 4 E 5 C 6 A"]))
    assert answers(found) == "adbca"
    assert [(drop.id, drop.reason, drop.because_of) for drop in found.dropped] == [
        ("question 4", "the key names an option that is not there", "E of 4 options")
    ]


def test_a_key_without_answers_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text("no answers here\n", encoding="utf-8")
    with pytest.raises(SourceError, match="holds no answers that can be read"):
        read(exam(tmp_path, exam_lines(QUESTIONS)), key)
    with pytest.raises(SourceError, match=r"none.txt cannot be read \(No such file or directory\); check its name"):
        read(tmp_path / "exam.pdf", tmp_path / "none.txt")


def test_two_exams_in_one_document_are_told_apart_each_with_its_key(tmp_path: Path) -> None:
    second = [(f"{question} (tarde)", options) for question, options in QUESTIONS]
    keys = ["Clave de la mañana", "1 A 2 D 3 B 4 B 5 C 6 A", "Clave de la tarde", "1 B 2 B 3 B 4 C 5 C 6 D"]
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), *exam_lines(second), *keys]))
    assert texts(found) == QUESTIONS + second
    assert [q.number for q in found.questions] == [f"{exam}-{n}" for exam in (1, 2) for n in range(1, 7)]
    assert found.questions[6].place == "exam 2, page 1" if found.questions[6].page == 1 else "exam 2, page 2"
    assert answers(found) == "adbbcabbbccd"
    assert "2 exams" in found.notices[0]


def test_a_key_of_two_forms_is_not_guessed(tmp_path: Path) -> None:
    keys = ["Clave, forma 1", "1 A 2 D 3 B 4 B 5 C 6 A", "Clave, forma 2", "1 B 2 B 3 B 4 C 5 C 6 D"]
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS), *keys]))
    assert answers(found) == "------"
    assert "2 tables of answers fit the same questions" in found.notices[0]


def test_lists_and_instructions_are_no_questions(tmp_path: Path) -> None:
    lines = [
        *("Instrucciones", "1. No abra el cuaderno.", "2. Use lápiz.", "3. Dura dos horas.", ""),
        *("1. Considere:", "1. El maíz", "2. La papa", "3. La yuca", "Son de la costa:"),
        *("a) 1 y 2", "b) 2 y 3", "c) 1 y 3", "d) Todas", "", *exam_lines(QUESTIONS[1:], first=2)),
    ]
    found = read(exam(tmp_path, lines))
    assert texts(found)[1:] == QUESTIONS[1:]
    assert texts(found)[0] == (
        "Considere:\n1. El maíz\n2. La papa\n3. La yuca Son de la costa:",
        ("1 y 2", "2 y 3", "1 y 3", "Todas"),
    )


def test_headings_become_categories_and_texts_before_a_question_are_named(tmp_path: Path) -> None:
    lines = [*exam_lines(QUESTIONS[:2]), "HISTORIA Y FIESTAS", "", *exam_lines(QUESTIONS[2:4], first=3)]
    lines += ["Lea lo que sigue. La casa del tejedor está en la plaza y tiene dos puertas, una de ellas roja.", ""]
    found = read(exam(tmp_path, [*lines, *exam_lines(QUESTIONS[4:], first=5)]))
    assert texts(found) == QUESTIONS
    assert [q.category for q in found.questions] == ["", "", *["HISTORIA Y FIESTAS"] * 4]
    assert "a text before it may belong to it" in found.questions[4].unsure
    assert not found.questions[5].unsure


def test_questions_that_are_not_whole_are_named(tmp_path: Path) -> None:
    odd = [*QUESTIONS[:2], ("Escriba un ensayo sobre el mercado.", ()), *QUESTIONS[3:5], ("¿Y?", ("Sí",))]
    found = read(exam(tmp_path, exam_lines(odd)))
    assert [q.number for q in found.questions] == ["1", "2", "4", "5"]
    assert [(drop.id, drop.reason) for drop in found.dropped] == [
        ("question 3", "no options"),
        ("question 6", "only one option"),
    ]
    assert found.dropped[0].because_of == "page 1: Escriba un ensayo sobre el mercado."


def test_a_missing_number_is_named_and_the_questions_around_it_too(tmp_path: Path) -> None:
    lines = exam_lines(QUESTIONS)
    lines[12] = lines[12].removeprefix("3. ")
    found = read(exam(tmp_path, lines))
    assert [(drop.id, drop.reason) for drop in found.dropped] == [("question 3", "number missing on the page")]
    assert [q.number for q in found.questions] == ["1", "2", "4", "5", "6"]
    assert "the next number is missing" in found.questions[1].unsure


def test_questions_that_differ_from_the_others_are_unsure(tmp_path: Path) -> None:
    odd = [*QUESTIONS, ("¿Cuál?", ("Sí", "No")), ("¿Y esta?", ("Uno", "Uno", "Dos", "x" + "o y" * 200))]
    found = read(exam(tmp_path, exam_lines(odd)))
    assert found.questions[6].unsure == "it has 2 options, and most have 4"
    assert found.questions[7].unsure == "two options are the same; an option is much longer than the others"


def test_a_document_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No question was found"):
        read(exam(tmp_path, ["Un cuento.", "1. Primera parte.", "Había una vez un tejedor.", "2. Segunda parte."]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b""), "is empty; copy it again"),
        (lambda path: path.write_bytes(b"PK\x03\x04 no pdf"), "is no PDF"),
        (lambda path: path.write_bytes(b"%PDF-1.4\n" + b"\x00" * 500), "is damaged .* download it again"),
        (lambda path: write_pdf(path, lay_out(["1. x"]), password=True), "has a password; .*qpdf --decrypt"),
        (lambda path: write_pdf(path, []), "has no pages|is damaged"),
        (lambda path: write_pdf(path, [PdfPage()]), "holds no text and no pictures"),
        (Path.exists, "cannot be read \\(No such file"),
    ],
)
def test_what_is_no_readable_pdf_is_refused_in_a_sentence(
    make: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    make(tmp_path / "exam.pdf")
    with pytest.raises(SourceError, match=sentence):
        read(tmp_path / "exam.pdf")


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8, 0.98])
def test_a_pdf_that_is_cut_off_gives_an_error_or_questions(keep: float, tmp_path: Path) -> None:
    whole = exam(tmp_path, exam_lines(QUESTIONS * 20)).read_bytes()
    (tmp_path / "exam.pdf").write_bytes(whole[: int(len(whole) * keep)])
    try:
        found = read(tmp_path / "exam.pdf")
    except SourceError as error:
        said = str(error)
        assert said.endswith("."), said
    else:
        assert set(texts(found)) <= {*QUESTIONS, *((q, o[:-1]) for q, o in QUESTIONS)}


def test_pages_of_pictures_are_named_where_tesseract_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = image_only(exam(tmp_path, exam_lines(QUESTIONS)), tmp_path / "scan.pdf")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SourceError, match=r"1 page of scan.pdf not read \(1\): .*apt install tesseract-ocr tesseract-ocr-spa"
    ):
        read(pages)
    document = pypdfium2.PdfDocument.new()
    document.import_pages(pypdfium2.PdfDocument(write_pdf(tmp_path / "cover.pdf", lay_out(["Examen", "de la región"]))))
    document.import_pages(pypdfium2.PdfDocument(pages))
    document.save(tmp_path / "covered.pdf")
    with pytest.raises(
        SourceError, match=r"No question was found in covered.pdf: .* 1 page of covered.pdf not read \(2\)"
    ):
        read(tmp_path / "covered.pdf")
    # Beside pages that can be read they are named, and the others are read.
    both = pypdfium2.PdfDocument.new()
    both.import_pages(pypdfium2.PdfDocument(tmp_path / "exam.pdf"))
    both.import_pages(pypdfium2.PdfDocument(pages))
    both.save(tmp_path / "both.pdf")
    found = read(tmp_path / "both.pdf")
    assert texts(found) == QUESTIONS
    assert "1 page of both.pdf not read (2)" in found.notices[0]


def test_pages_of_pictures_are_recognised(tmp_path: Path, tesseract: str) -> None:
    found = read(image_only(exam(tmp_path, exam_lines(QUESTIONS), chars=70), tmp_path / "scan.pdf"))
    assert [q.number for q in found.questions] == list("123456")
    for question, (stem, options) in zip(found.questions, QUESTIONS, strict=True):
        assert question.extractor == "OCR spa"
        assert question.unsure == "recognised from a picture"
        near = difflib.SequenceMatcher(
            None, " ".join([question.question, *question.options]), " ".join([stem, *options])
        )
        assert near.ratio() > 0.9, (question, tesseract)
        assert 40 < question.boxes[0].left < 60


def test_a_language_without_data_is_named_with_its_package(tmp_path: Path, tesseract: str) -> None:
    pages = image_only(exam(tmp_path, exam_lines(QUESTIONS)), tmp_path / "scan.pdf")
    with pytest.raises(SourceError, match=r"lacks the data of the language que; .*tesseract-ocr-que"):
        read_exam_pdf(pages, language="qu")
    with pytest.raises(SourceError, match="no data of tesseract is known for the language xx"):
        read_exam_pdf(pages, language="xx")
    for language in ("gn", "zh"):
        with pytest.raises(SourceError, match=f"is known for the language {language}; if the exam") as error:
            read_exam_pdf(pages, language=language)
        assert "tesseract-ocr-" not in str(error.value)
    Image.new("RGB", (800, 1000), "white").save(pages)
    with pytest.raises(
        SourceError, match=r"1 page of scan.pdf not read \(1\): pictures in which tesseract finds no text"
    ):
        read_exam_pdf(pages, language="es")
    assert tesseract


def test_the_picture_of_a_question_shows_all_of_its_parts(tmp_path: Path) -> None:
    long = [
        (f"{question} {'y lo que se cuenta de ello en el valle ' * 6}", options) for question, options in QUESTIONS * 6
    ]
    path = exam(tmp_path, exam_lines(long))
    questions = read(path).questions
    shown = dict(pictures(path, [question.boxes for question in questions]))
    assert sorted(shown) == list(range(len(questions)))
    for place, question in enumerate(questions):
        image = Image.open(BytesIO(shown[place]))
        height = sum(box.bottom - box.top for box in question.boxes) * 150 / 72
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.width <= 1024
        assert height <= image.height <= height + 60 * len(question.boxes)
        assert image.convert("L").getextrema()[0] < 80
    assert any(len(question.boxes) > 1 for question in questions)


def test_two_thousand_pages_take_linear_time_and_little_memory(tmp_path: Path) -> None:
    def seconds(pages: int) -> float:
        many = [(f"{q} {n}", options) for n in range(pages // 2) for q, options in QUESTIONS[:4]]
        spread = [line for question in exam_lines(many) for line in ([question] if question else [""] * 25)]
        path = write_pdf(tmp_path / "exam.pdf", lay_out(spread))
        began = time.process_time()
        found = read(path)
        took = time.process_time() - began
        assert texts(found) == many
        assert found.questions[-1].page >= pages
        return took

    small = seconds(200)
    read_lines(tmp_path / "exam.pdf", "es")
    tracemalloc.start()
    lines, _ = read_lines(tmp_path / "exam.pdf", "es")
    per_page = tracemalloc.get_traced_memory()[1] / lines[-1].box.page
    tracemalloc.stop()
    assert per_page < 200_000
    assert seconds(2000) < 20 * small


def answered(question: str, options: tuple[str, ...], *below: str, number: int = 1) -> list[str]:
    """Lines of a question with lines directly below its options."""
    return [*exam_lines([(question, options)], first=number)[:-1], *below, ""]


def keyed(key: str, folder: Path, suffix: str = "txt") -> FoundExam:
    """QUESTIONS without a key, read with one in a file of its own."""
    path = folder / f"key.{suffix}"
    path.write_text(key, encoding="utf-8")
    return read(exam(folder, exam_lines(QUESTIONS)), path)


def test_options_in_capitals_go_on_below_and_capitals_below_others_are_a_heading(tmp_path: Path) -> None:
    wide = " LAS COFRADÍAS DEL VALLE Y LA GENTE DE LOS BARRIOS DE ARRIBA Y DE ABAJO CUANDO LLEGA LA COSECHA EN MAYO"
    loud = [(q.upper() + wide, tuple(o.upper() + wide for o in options)) for q, options in QUESTIONS]
    found = read(exam(tmp_path, exam_lines(loud)))
    assert texts(found) == loud
    assert {(q.category, q.unsure) for q in found.questions} == {("", "")}
    acronym = (*QUESTIONS[0][1][:3], "LA ONU")
    for options in (QUESTIONS[0][1], acronym):
        lines = answered(QUESTIONS[0][0], options, "LA COSTA Y SUS FIESTAS DE TODO EL AÑO")
        found = read(exam(tmp_path, [*lines, *exam_lines(QUESTIONS[1:], first=2)]))
        assert texts(found) == [(QUESTIONS[0][0], options), *QUESTIONS[1:]]
        assert found.questions[1].category == "LA COSTA Y SUS FIESTAS DE TODO EL AÑO"
        assert found.questions[0].unsure.startswith('its last option may go on with "LA COSTA')


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        *[(f"{said}", "b") for said in ("Respuesta correcta: B) {}", "Respuesta: {}", "Solución: B", "Resposta B")],
        *[
            (f"{said}", "b")
            for said in ("CLAVE: B   (Ref. Ley 27444)", "La respuesta correcta es la B", "Gabarito – b")
        ],
        *[(f"{said}", "-") for said in ("Respuesta: A y C", "Solución: A veces", "Respuesta: C) {}", "Clave: véase")],
    ],
)
def test_a_line_with_the_answer_never_stays_in_the_last_option(said: str, answer: str, tmp_path: Path) -> None:
    lines = [
        line
        for number, (question, options) in enumerate(QUESTIONS * 4, 1)
        for line in answered(question, options, said.format(options[1]), number=number)
    ]
    found = read(exam(tmp_path, lines))
    assert texts(found) == QUESTIONS * 4
    assert answers(found) == answer * 24
    assert all(("the line with its answer says" in q.unsure) == (answer == "-") for q in found.questions)


def test_an_option_that_goes_on_with_the_word_answer_is_whole(tmp_path: Path) -> None:
    below = ("respuesta a la fiesta", "Solución de todos los de la opción B", "opción B", "respuesta nula de todos")
    lines = answered(*QUESTIONS[0], *below)
    found = read(exam(tmp_path, [*lines, *exam_lines(QUESTIONS[1:], first=2)]))
    assert found.questions[0].options[3] == " ".join(["Ninguno", *below])


def test_a_line_below_most_questions_is_furniture_unless_an_option_goes_on_with_it(tmp_path: Path) -> None:
    lines, longer = list[str](), list[str]()
    for number, (question, options) in enumerate(QUESTIONS, 1):
        lines += answered(question, options, f"Puntaje: {number % 3} puntos", number=number)
        longer += answered(question, (*options[:3], "Ninguna de las"), "Anteriores", number=number)
    found = read(exam(tmp_path, lines))
    assert texts(found) == QUESTIONS
    assert found.notices[0].startswith('A line stands below most questions, and was left out: "Puntaje:')
    found = read(exam(tmp_path, longer))
    assert {q.options[3] for q in found.questions} == {"Ninguna de las Anteriores"}
    assert not found.notices


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("Preguntas anuladas: 3, 5 y 6", "adxbxx"),
        ("NOTA: Se anulan las preguntas 3 y 5 por resolución 2 del tribunal", "adxbxa"),
        ("Las preguntas 3 y 5 fueron anuladas", "adxbxa"),
        ("Questões anuladas: 2 a 4", "axxxca"),
        ("Pregunta 5: anulada", "adbbxa"),
    ],
)
def test_a_sentence_beside_the_key_annuls(note: str, expected: str, tmp_path: Path) -> None:
    key = [f"{number} {answer}" for number, answer in enumerate("ADBBCA", 1)]
    found = keyed("\n".join([*key, note]), tmp_path)
    assert answers(found) == expected
    assert found.notices[0].startswith("Annulled b")
    beside = read(exam(tmp_path, [*exam_lines(QUESTIONS), "Clave", *key, "", note]))
    assert answers(beside) == expected


def test_a_sentence_about_annulled_questions_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for note in (
        "Anuladas por la comisión: la 3 y la 5",
        "No se anulan las preguntas 3 y 5",
        "La pregunta 3 no fue anulada",
    ):
        found = keyed(f"1 A\n2 D\n3 B\n4 B\n5 C\n6 A\n{note}", tmp_path)
        assert answers(found) == "adbbca"
        assert f'speaks of annulled questions: "{note}"' in found.notices[0]


def test_a_star_means_what_the_key_says_that_it_means(tmp_path: Path) -> None:
    key = ["Clave", "1 A", "2 D*", "3 B", "4 B", "5 C *", "6 A"]
    for legend, expected, doubt in (
        ("(*) Preguntas anuladas por la comisión", "axbbxa", ""),
        ("* Pregunta anulada", "axbbxa", ""),
        ("* Respuesta modificada", "adbbca", ""),
        ("", "adbbca", "its answer stands with * in the key, which says nowhere why"),
    ):
        found = read(exam(tmp_path, [*exam_lines(QUESTIONS), *key, legend]))
        assert answers(found) == expected
        assert found.questions[4].unsure == doubt


def test_what_is_no_one_answer_is_quoted_and_its_neighbours_keep_theirs(tmp_path: Path) -> None:
    many = [(f"{question} {n}", options) for n in range(3) for question, options in QUESTIONS]
    odd = {
        3: "Sin efecto",
        5: "A (anulada)",
        7: "A y C",
        8: "b/d",
        9: "anul.",
        11: "S/R",
        12: "B) {}",
        14: "",
        18: "Todas",
    }
    key = [f"{n}. {odd.get(n, 'C').format(many[n - 1][1][1])}" for n in range(1, 19)]
    (tmp_path / "key.txt").write_text("\n".join(key), encoding="utf-8")
    beside = read(exam(tmp_path, exam_lines(many)), tmp_path / "key.txt")
    inside = read(exam(tmp_path, [*exam_lines(many), "Clave de respuestas", *key]))
    for found in (beside, inside):
        assert answers(found) == "cc-cxc--xc-bc-ccc-"
        assert [q.unsure for q in found.questions if q.unsure] == [
            f'the key says "{key[n - 1].strip()}"' for n in (3, 7, 8, 11, 14, 18)
        ]
        assert "no one answer can be read in: 3. Sin efecto; 7. A y C; 8. b/d" in found.notices[0]
    rows = ["Clave", "1 A\t4 B", "2 D\t5 A y C", "3 Sin efecto\t6 A"]
    assert answers(read(exam(tmp_path, [*exam_lines(QUESTIONS), *rows]))) == "ad-b-a"


def test_what_contradicts_itself_in_a_key_is_no_answer(tmp_path: Path) -> None:
    found = keyed("1 A\n2 D\n3 B\n4 B\n5 C\n6 A\n3 D\n4 B", tmp_path)
    assert answers(found) == "ad-bca"
    assert found.questions[2].unsure == 'the key says "3 B, and 3 D"'
    assert "no one answer can be read in: 3 B, and 3 D" in found.notices[0]
    with pytest.raises(SourceError, match=r"key.txt: 2 tables .* differ \(question 2: D and C\); leave one of them"):
        keyed("1 A 2 D 3 B 4 B 5 C 6 A\n1 A 2 C 3 B 4 B 5 C 6 A", tmp_path)
    found = keyed("Pregunta,Clave,Clave forma 2\n1,A,B\n2,D,B\n3,B,B\n4,B,B\n5,C,B\n6,A,B", tmp_path, "csv")
    assert answers(found) == "adbbca"
    assert found.notices == ("Not read in key.csv: the column Clave forma 2.",)


def test_one_key_is_not_given_to_two_exams(tmp_path: Path) -> None:
    both = [*exam_lines(QUESTIONS), *exam_lines(QUESTIONS[::-1])]
    (tmp_path / "key.txt").write_text("1 A 2 D 3 B 4 B 5 C 6 A", encoding="utf-8")
    for found in (
        read(exam(tmp_path, [*both, "Clave", "1 A 2 D 3 B 4 B 5 C 6 A"])),
        read(exam(tmp_path, both), tmp_path / "key.txt"),
    ):
        assert answers(found) == "-" * 12
        assert "fits several of the 2 exams" in found.notices[1]
        assert len(found.notices) == 2


def test_a_wide_gap_in_the_numbers_does_not_end_the_exam(tmp_path: Path) -> None:
    lines = [*exam_lines(QUESTIONS[:2]), *exam_lines(QUESTIONS[2:], first=20)]
    found = read(exam(tmp_path, [*lines, "Clave", "1 A 2 D 20 B 21 B 22 C 23 A"]))
    assert texts(found) == QUESTIONS
    assert answers(found) == "adbbca"
    assert [drop.id for drop in found.dropped] == [f"question {n}" for n in range(3, 20)]
    # Nothing follows the number after this gap: it may be an entry of a list, and is named.
    found = read(exam(tmp_path, [*exam_lines(QUESTIONS[:2]), *exam_lines(QUESTIONS[2:3], first=20)]))
    assert [(drop.id, drop.reason) for drop in found.dropped] == [
        ("question 20", "not told apart from the question before it")
    ]
    assert "it may hold question 20 too" in found.questions[1].unsure


def test_a_sixth_option_is_none_of_the_fifth_and_an_initial_is_no_option(tmp_path: Path) -> None:
    more = ("Cal", "Hollín", "Carbón", "Añil", "Nogal", "Grana")
    for row in (exam_lines([("¿Con qué se tiñe?", ())] * 4), exam_lines([("¿Con qué se tiñe?", ())] * 4, number="{})")):
        lines: list[str] = []
        for number in range(4):
            lines += [row[2 * number], *(f"{letter}) {option}" for letter, option in zip("abcdef", more, strict=True))]
        found = read(exam(tmp_path, [*lines, "Clave", "1 F 2 A 3 E 4 F"]))
        assert texts(found) == [("¿Con qué se tiñe?", more)] * 4
        assert [q.answer for q in found.questions] == [5, 0, 4, 5]
    five = [(q, (*options, "Juan F. Gómez y su hermano")) for q, options in QUESTIONS]
    assert texts(read(exam(tmp_path, exam_lines(five, letter="{}. ")))) == five
    loud = [f"{line[0].upper()}{line[1:]}" for line in exam_lines(five, letter="{}. ") if line]
    assert texts(read(exam(tmp_path, loud))) == five


def test_every_question_of_a_text_is_named(tmp_path: Path) -> None:
    lines = ["Lea el texto y responda las preguntas 1 a 3:", "El tejedor vive en la plaza.", ""]
    lines += [*exam_lines(QUESTIONS[:3]), "Con el mapa siguiente responda", "las preguntas 5 y 6.", ""]
    found = read(exam(tmp_path, [*lines, *exam_lines(QUESTIONS[3:], first=4)]))
    assert texts(found) == QUESTIONS
    text = "it belongs to a text that stands before question"
    assert [q.unsure.partition(";")[0] for q in found.questions] == [
        *[f"{text} 1"] * 3,
        found.questions[3].unsure,
        *[f"{text} 4"] * 2,
    ]
    parts = ["Lea con calma las preguntas 1 a 6.", "Parte I: preguntas 1 a 3", "", *exam_lines(QUESTIONS)]
    assert not any(q.unsure for q in read(exam(tmp_path, parts)).questions)


WORDS = st.text(st.sampled_from("abcdefghilmnoprstuvñáéíó"), min_size=2, max_size=9)
SENTENCE = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(SENTENCE, st.lists(SENTENCE, min_size=2, max_size=5)), min_size=1, max_size=25),
    st.sampled_from([1, 2]),
    st.sampled_from(["{}) ", "{}. ", "({}) "]),
    st.data(),
)
def test_an_exam_comes_back_as_it_was_laid_out(
    tmp_path_factory: pytest.TempPathFactory,
    questions: list[tuple[str, list[str]]],
    columns: int,
    letter: str,
    data: st.DataObject,
) -> None:
    key = [data.draw(st.integers(0, len(options) - 1)) for _, options in questions]
    lines = [*exam_lines(questions, letter=letter), "Clave de respuestas"]
    lines += [f"{number} {'ABCDE'[answer]}" for number, answer in enumerate(key, 1)]
    path = exam(tmp_path_factory.mktemp("exam"), lines, columns=columns, header="Examen de prueba", footer="Página {}")
    found = read(path)
    assert texts(found) == [(question, tuple(options)) for question, options in questions]
    assert [question.answer for question in found.questions] == key
    assert not found.dropped


def test_colours_have_the_names_that_people_give_them() -> None:
    named = {(255, 242, 0): "yellow", (0, 0, 0): "black", (255, 255, 255): "white", (128, 128, 128): "grey"}
    named |= {(220, 20, 20): "red", (0, 0, 200): "blue", (0, 200, 0): "green", (255, 105, 230): "pink"}
    assert {rgb: colour_name(*rgb) for rgb in named} == named


def folded(question: FoundQuestion) -> list[str]:
    return [" ".join(text.split()) for text in (question.question, *question.options)]


@needs_data
def test_the_exam_of_peru_comes_back_whole_with_the_key_that_is_marked_in_it() -> None:
    found = read(DATA / "perumedqa_2018_prueba_a.pdf")
    with (DATA / "perumedqa_2018_prueba_a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [q.number for q in found.questions] == [str(n) for n in range(1, 101)]
    assert {len(q.options) for q in found.questions} == {5}
    assert not found.dropped
    assert [q.answer for q in found.questions] == ["ABCDE".index(row["correct_answer"].strip()) for row in rows]
    differ = {
        q.number: (ours, theirs)
        for q, row in zip(found.questions, rows, strict=True)
        for ours, theirs in zip(folded(q), [" ".join(row[name].split()) for name in list(row)[:6]], strict=True)
        if ours != theirs
    }
    assert set(differ) == {"13", "26", "36", "65"}
    assert all(ours.startswith(theirs) for number, (ours, theirs) in differ.items() if number != "13")  # They cut it.
    assert differ["13"][0] == differ["13"][1].replace("antiinflamator ios", "antiinflamatorios")


@needs_data
def test_the_exam_of_2003_comes_back_whole_with_its_annulled_question() -> None:
    found = read(DATA / "corpus_automation_2003.pdf")
    assert [q.number for q in found.questions] == [str(n) for n in range(1, 101)]
    assert {len(q.options) for q in found.questions} == {4}
    assert answers(found).count("x") == 1
    assert found.questions[21].annulled
    assert "-" not in answers(found)
    assert not found.dropped
    by_text = {q.question: q for q in found.questions}
    known = json.loads((DATA / "corpus_automation_constitucional.json").read_text(encoding="utf-8"))
    shared = [(by_text[row["question"]], row) for row in known if row["question"] in by_text and row["correct_answer"]]
    same = [(q, row) for q, row in shared if list(q.options) == list(row["options"].values()) and not q.annulled]
    assert len(same) > 5
    assert all(q.answer == "abcd".index(row["correct_answer"]) for q, row in same)
