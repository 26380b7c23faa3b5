"""Exams in PDF: pages become lines of text, by their text layer or by OCR, and lines become questions."""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from annotation.errors import SourceError
from annotation.exams.found import Box, FoundExam, Line
from annotation.exams.keys import find_keys, is_lost_table, read_key_file
from annotation.exams.layout import Page, ordered_lines
from annotation.exams.ocr import OCR_DPI, RECOGNISED, recognise
from annotation.exams.parse import parse_exam
from annotation.exams.parts import THIN
from annotation.exams.pieces import Word, colour_name, pieces_of
from annotation.screen import Progress, counted, silent

if TYPE_CHECKING:
    from PIL.Image import Image

THIN_GAP = 0.17
"""A blank that pdfium has put in, narrower than so many heights of a line, is most often a gap inside a word."""
MOST_PIXELS = 5000
"""Of the longer side of a page that is rendered."""
THICK = 150
"""Points: a higher rectangle is the background of a page, and marks no answer."""
FEW = 20
"""A page with an image and fewer letters than this in its text layer is a scan with a stamp."""
HYPHEN = "\x02"
"""pdfium's sign for a hyphen at the end of a line, which it joins to the next one."""
PASSWORD = 4
"""Error code of pdfium."""


class _Fill(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float
    colour: str

    def holds(self, x: float, y: float) -> bool:
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@contextmanager
def open_pdf(path: Path) -> Iterator[Any]:
    """A pypdfium2 document.

    Raises:
        SourceError: It is not there, empty, no PDF, damaged, or has a password.
    """
    import pypdfium2

    try:
        if not path.stat().st_size:
            raise SourceError(f"{path} is empty; copy it again.")
        with path.open("rb") as file:
            if b"%PDF" not in file.read(1024):
                raise SourceError(f"{path} is no PDF; save or print it as PDF, or name the right file.")
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        # The code may be that of an earlier document.
        if error.err_code == PASSWORD and b"/Encrypt" in path.read_bytes():
            raise SourceError(
                f"{path} has a password; open it, print it as PDF without one (or run "
                "`qpdf --decrypt --password=… OLD.pdf NEW.pdf`), and name the new file."
            ) from error
        raise SourceError(f"{path} is damaged ({error}); copy or download it again.") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); check its name and who may read it.") from error
    try:
        if not len(document):
            raise SourceError(f"{path} has no pages; copy or download it again.")
        yield document
    finally:
        document.close()


def read_exam_pdf(path: Path, *, language: str, key: Path | None = None, progress: Progress = silent) -> FoundExam:
    """Find the questions of a PDF, and their answers in it or in a key beside it.

    Args:
        path: The exam.
        language: ISO 639-1, for pages that have to be recognised as pictures.
        key: Its answers: a PDF, a text file or a table.
        progress: Gets how many pages are done.

    Raises:
        SourceError: A file or all of its pages cannot be read, or the key is not that of the exam.
    """
    lines, notices = read_lines(path, language, progress)
    keys, lines = find_keys(lines)
    if grids := [line.box.page for line in lines if is_lost_table(line)]:
        lines = [replace(line, text="") if is_lost_table(line) else line for line in lines]
        notices.append(
            f"A table on page {_ranges(sorted(set(grids)))} could not be recognised; if it holds the answers, write "
            'them into a text file ("1 A" in each line) and name it with --key.'
        )
    if key is not None:
        if key.suffix.lower() == ".pdf":
            key_lines, about_key = read_lines(key, language, progress)
            notices += about_key
            keys = [replace(found, place=f"{key.name}, {found.place}") for found in find_keys(key_lines, alone=True)[0]]
        else:
            keys = read_key_file(key)
        if not keys:
            raise SourceError(
                f'{key} holds no answers that can be read; write a number and a letter ("1 A") in each line of a .txt.'
            )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        questions, dropped, more = parse_exam(lines, keys, source=path.name, given=key is not None)
    except SourceError as error:  # Pages that could not be read may be why.
        raise SourceError(" ".join([str(error), *notices])) from error
    pages = {question.page for question in questions if question.unsure}
    pages |= {int(page[1]) for drop in dropped if (page := re.match(r"page (\d+)", drop.because_of))}
    doubtful = {page: "\n".join(line.text for line in lines if line.box.page == page) for page in sorted(pages)}
    # Only people see the picture: no page becomes doubtful, which a model may read, for this alone.
    questions = tuple(
        q if q.extractor == "text layer" else replace(q, unsure="; ".join(filter(None, [RECOGNISED, q.unsure])))
        for q in questions
    )
    return FoundExam(path.name, sha256, questions, dropped, (*notices, *more), doubtful)


def read_lines(path: Path, language: str, progress: Progress = silent) -> tuple[list[Line], list[str]]:
    """Lines of a PDF in order of reading, and notices about pages that could not be read.

    Raises:
        SourceError: As `open_pdf` does; also where no page could be read.
    """
    pages: list[Page] = []
    unread: dict[str, list[int]] = {}
    with open_pdf(path) as document:
        total = len(document)
        for number in range(1, total + 1):
            progress(number, total, "reading pages")
            page, problem = _read_page(document, number, language)
            if problem:
                unread.setdefault(problem, []).append(number)
            elif page.pieces:
                pages.append(page)
    notices = [
        f"{counted(len(numbers), 'page')} of {path.name} not read ({_ranges(numbers)}): {problem}."
        for problem, numbers in unread.items()
    ]
    if not pages:
        raise SourceError(" ".join(notices) or f"{path} holds no text and no pictures; name the exam itself.")
    return list(ordered_lines(pages)), notices


def _ranges(numbers: Sequence[int]) -> str:
    """Page numbers for a sentence: "1–3, 7"."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _read_page(document: Any, number: int, language: str) -> tuple[Page, str]:
    """A page, and why it could not be read, or ""."""
    import pypdfium2
    import pypdfium2.raw as pdfium

    empty, page = Page(number, 0, 0, ()), None
    try:
        page = document[number - 1]
        width, height = page.get_size()
        kinds, fills = _objects(page)
        pieces = _text_pieces(page, number, fills)
        text = "".join(piece.text for piece in pieces)
        garbled = sum("\ue000" <= char <= "\uf8ff" or char == "\ufffd" for char in text)  # A font without names.
        if (pdfium.FPDF_PAGEOBJ_IMAGE in kinds and len(text) < FEW) or 3 * garbled > len(text):
            image, scale = rendered(page, OCR_DPI)
            pieces, problem = recognise(image, scale, number, language)
            return (empty if problem else Page(number, width, height, tuple(pieces))), problem
        return Page(number, width, height, tuple(pieces)), ""
    except pypdfium2.PdfiumError:
        return empty, "damaged; copy or download the PDF again"
    finally:
        if page is not None:
            page.close()


def rendered(page: Any, dpi: int) -> tuple[Image, float]:
    """Picture of a page, and its pixels for a point: fewer where a poster would fill the memory."""
    scale = min(dpi / 72, MOST_PIXELS / max(page.get_size()))
    return page.render(scale=scale).to_pil().convert("RGB"), scale


def _placing(page: Any) -> Callable[[float, float, float, float], tuple[float, float, float, float]]:
    """What turns left, bottom, right and top of a page as it is written into left, top, right and bottom as shown."""
    low, deep, far, high = page.get_cropbox()
    turn = page.get_rotation()

    def place(left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        if turn == 90:
            return bottom - deep, left - low, top - deep, right - low
        if turn == 180:
            return far - right, bottom - deep, far - left, top - deep
        if turn == 270:
            return high - top, far - right, high - bottom, far - left
        return left - low, high - top, right - low, high - bottom

    return place


def _objects(page: Any) -> tuple[set[int], list[_Fill]]:
    """Kinds of the objects on a page, and its filled rectangles: left, top, right, bottom, colour.

    Lines of tables are too thin to mark a text, and a background is too large.
    """
    import pypdfium2.raw as pdfium

    bounds, rgba = [ctypes.c_float() for _ in range(4)], [ctypes.c_uint() for _ in range(4)]
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    kinds, fills, place = set[int](), list[_Fill](), _placing(page)
    for index in range(pdfium.FPDFPage_CountObjects(page.raw)):
        item = pdfium.FPDFPage_GetObject(page.raw, index)
        kinds.add(kind := pdfium.FPDFPageObj_GetType(item))
        if kind != pdfium.FPDF_PAGEOBJ_PATH or not pdfium.FPDFPageObj_GetBounds(item, *bounds):
            continue
        left, top, right, bottom = place(*(bound.value for bound in bounds))
        if right - left < 4 or not 4 < bottom - top < THICK or not pdfium.FPDFPath_GetDrawMode(item, fill, stroke):
            continue
        if fill.value and pdfium.FPDFPageObj_GetFillColor(item, *rgba):
            colour = colour_name(*(part.value for part in rgba[:3]))
            if colour != "white":
                fills.append(_Fill(left, top, right, bottom, colour))
    return kinds, fills


def _text_pieces(page: Any, number: int, fills: Sequence[_Fill]) -> list[Line]:
    """Pieces of lines by the text layer, each without wide gaps."""
    import pypdfium2.raw as pdfium

    layer = page.get_textpage()
    try:
        raw, read = layer.raw, pdfium.FPDFText_GetUnicode
        text = "".join(chr(read(raw, index) or 32) for index in range(pdfium.FPDFText_CountChars(raw)))
        box, rgba = pdfium.FS_RECTF(), [ctypes.c_uint() for _ in range(4)]
        place = _placing(page)
        words: list[Word] = []
        pieces: list[Line] = []
        for match in re.finditer(r"[^\s\ufffe\x02]+\x02?|[\r\n]+", text):
            if match[0].isspace():
                pieces += pieces_of(words, "text layer")
                words = []
                continue
            word = match[0].rstrip(HYPHEN)
            pdfium.FPDFText_GetLooseCharBox(raw, match.start(), box)
            first = place(box.left, box.bottom, box.right, box.top)
            pdfium.FPDFText_GetLooseCharBox(raw, match.start() + len(word) - 1, box)
            last = place(box.left, box.bottom, box.right, box.top)
            whole = Box(number, first[0], min(first[1], last[1]), max(first[2], last[2]), max(first[3], last[3]))
            centre = ((first[0] + first[2]) / 2, (first[1] + first[3]) / 2)
            colour = next((fill.colour for fill in fills if fill.holds(*centre)), "")
            if not colour and pdfium.FPDFText_GetFillColor(raw, match.start(), *rgba):
                colour = colour_name(*(part.value for part in rgba[:3]))
                colour = colour if colour not in ("black", "white", "grey") else ""
            if not colour and pdfium.FPDFText_GetFontWeight(raw, match.start()) >= 600:
                colour = "bold"
            narrow = words and whole.left - words[-1].box.right < THIN_GAP * (whole.bottom - whole.top)
            if narrow and pdfium.FPDFText_IsGenerated(raw, match.start() - 1) == 1:
                word = THIN + word
            broken = match[0].endswith(HYPHEN)
            words.append(Word(word + "-" if broken else word, whole, colour))
            if broken:
                pieces += pieces_of(words, "text layer")
                words = []
        return pieces + pieces_of(words, "text layer")
    finally:
        layer.close()
