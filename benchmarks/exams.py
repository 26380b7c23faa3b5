"""Exams in PDF: how fast and how whole they come back, beside other ways. One run: `python benchmarks/exams.py`.

The exams are public trial data, which the repository does not hold: `--data FOLDER` says where it is. An item is whole
where its question and all of its options are what the reference has, blanks apart. The reference of PeruMedQA is its
published table, but for options that the table cuts; that of the 2003 exam is the text of the PDF in the order in which
it was written. The other ways give text alone, which goes through the same rules as ours.

corpus-automation (github.com/amayuelas/corpus-automation) takes the text by pdfplumber, with tables and words, and then
asks a paid language model for the questions: only its first step is run, where pdfplumber is installed.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pypdfium2

from annotation.errors import SourceError
from annotation.exams.found import Box, FoundQuestion, Line
from annotation.exams.keys import find_keys
from annotation.exams.layout import Page, ordered_lines
from annotation.exams.parse import parse_exam
from annotation.exams.pdf import read_exam_pdf

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "exams"
NEAR = 0.95
"""Similarity from which an item that is not whole is near."""
COLUMN, ROW = 5.0, 12.0
"""Points for a character and a line of text that came without places."""
Questions = Sequence[FoundQuestion]


def fold(text: str) -> str:
    """A text without blanks."""
    return re.sub(r"\s", "", text)


def joined(question: FoundQuestion) -> str:
    """Question and options as one text without blanks."""
    return fold(question.question + "".join(question.options))


def read_ours(path: Path) -> Questions:
    """Our way."""
    return read_exam_pdf(path, language="es").questions


def by_rules(pages: Sequence[str]) -> Questions:
    """Questions of pages of text, by the same rules as ours."""
    laid = []
    for number, text in enumerate(pages, 1):
        pieces = []
        for row, line in enumerate(text.splitlines()):
            for match in re.finditer(r"\S+(?: {1,2}\S+)*", line):
                left, top, right = match.start() * COLUMN, row * ROW, match.end() * COLUMN
                pieces.append(Line(match[0], Box(number, left, top, right, top + ROW - 2)))
        high = max((piece.box.bottom for piece in pieces), default=1.0)
        laid.append(Page(number, max((piece.box.right for piece in pieces), default=1.0), high, tuple(pieces)))
    keys, rest = find_keys(list(ordered_lines(laid)))
    return parse_exam(rest, keys)[0]


def by_pdftotext(path: Path) -> Questions:
    """`pdftotext -layout` of poppler."""
    done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True)
    return by_rules(done.stdout.decode().split("\f")[:-1])


def by_pdfplumber(path: Path) -> Questions:
    """The extraction of corpus-automation: text with layout, tables, and words with their fonts, of every page."""
    import pdfplumber  # type: ignore[import-not-found]

    pages = []
    with pdfplumber.open(path) as document:
        for page in document.pages:
            pages.append(page.extract_text(layout=True))
            page.extract_tables()
            page.extract_words(use_text_flow=True, extra_attrs=["fontname", "size"])
    return by_rules(pages)


def scan(source: Path, path: Path) -> Path:
    """The pages of a PDF as pictures of 200 dots per inch."""
    document = pypdfium2.PdfDocument(source)
    images = [page.render(scale=200 / 72).to_pil().convert("RGB") for page in document]
    document.close()
    images[0].save(path, "PDF", resolution=200, save_all=True, append_images=images[1:])
    return path


def references(data: Path, ours: Questions, name: str) -> tuple[list[str], int]:
    """What each item has to be, and how many items of ours the reference contradicts."""
    if name.startswith("peru"):
        with (data / "perumedqa_2018_prueba_a.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = [[fold(row[column]) for column in list(row)[:6]] for row in csv.DictReader(file)]
        texts = [[fold(question.question), *map(fold, question.options)] for question in ours]
        # Where the table cuts an option, the PDF is right: it goes on where the table ends.
        same = [
            all(a.startswith(b) for a, b in zip(mine, row, strict=True)) for mine, row in zip(texts, rows, strict=True)
        ]
        cut = [str(n) for n, (mine, row) in enumerate(zip(texts, rows, strict=True), 1) if same[n - 1] and mine != row]
        print(f"  the published table cuts an option of {', '.join(cut) or 'none'}")
        return ["".join(mine if ok else row) for ok, mine, row in zip(same, texts, rows, strict=True)], same.count(
            False
        )
    document = pypdfium2.PdfDocument(data / name)
    lines = [line for page in document for line in page.get_textpage().get_text_range().splitlines()]
    document.close()
    repeated = {line for line in lines if lines.count(line) > 5 or line.strip().isdecimal()}
    text = fold("".join(line for line in lines if line not in repeated))
    wrong = 0
    for question in ours:
        options = "".join(f"{letter}){option}" for letter, option in zip("abcd", question.options, strict=True))
        wrong += fold(f"{question.number}){question.question}{options}") not in text
    return [joined(question) for question in ours], wrong


def measured(
    label: str, read: Callable[[Path], Questions], path: Path, wanted: Sequence[str], repeat: int = 3
) -> float:
    """Print seconds a page and shares of one way, and return the seconds."""
    pages = len(pypdfium2.PdfDocument(path))
    best = float("inf")
    found: Questions = ()
    for _ in range(repeat):
        began = time.perf_counter()
        try:
            found = read(path)
        except SourceError as error:
            print(f"  {label:<34} {error}")
            return best
        best = min(best, time.perf_counter() - began)
    items = {question.number: joined(question) for question in found}
    whole = near = 0
    for number, text in enumerate(wanted, 1):
        item = items.get(str(number), "")
        whole += item == text
        near += item != text and difflib.SequenceMatcher(None, item, text, autojunk=False).ratio() >= NEAR
    share = f"whole {whole}, near {near}, lost {len(wanted) - whole - near} of {len(wanted)}"
    keyed = f"{sum(question.answer is not None for question in found)}, annulled {sum(q.annulled for q in found)}"
    print(f"  {label:<34} {best / pages:8.4f} s a page  {share}, answers {keyed}")
    return best


def main() -> None:
    """Print both exams, every way."""
    parser = argparse.ArgumentParser(description="Exams in PDF, ours beside other ways.")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the trial exams")
    data: Path = parser.parse_args().data
    for name in ("perumedqa_2018_prueba_a.pdf", "corpus_automation_2003.pdf"):
        if not (data / name).exists():
            print(f"{data / name} is not here; name the folder of the trial exams with --data.")
            continue
        print(f"{name}:")
        ours = read_ours(data / name)
        wanted, wrong = references(data, ours, name)
        print(f"  items of ours that the reference contradicts: {wrong}")
        seconds = measured("ours", read_ours, data / name, wanted)
        others: list[tuple[str, Callable[[Path], Questions], bool, str]] = [
            (
                "pdftotext -layout, our rules",
                by_pdftotext,
                bool(shutil.which("pdftotext")),
                "apt install poppler-utils",
            ),
            ("corpus-automation's step, our rules", by_pdfplumber, _installed("pdfplumber"), "pip install pdfplumber"),
        ]
        for label, read, there, remedy in others:
            if not there:
                print(f"  {label:<34} not run: {remedy}")
                continue
            other = measured(label, read, data / name, wanted)
            print(f"  {'':<34} {other / seconds:8.2f} x our time")
        if shutil.which("tesseract"):
            with tempfile.TemporaryDirectory() as folder:
                measured("ours, as pictures (OCR)", read_ours, scan(data / name, Path(folder) / name), wanted, repeat=1)
        else:
            print(f"  {'ours, as pictures (OCR)':<34} not run: apt install tesseract-ocr tesseract-ocr-spa")
    print("corpus-automation's second step asks a paid language model for the questions, and was not run.")


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


if __name__ == "__main__":
    main()
