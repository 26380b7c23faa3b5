"""An exam in any form as the questions that stand in it: a PDF, a table of questions, or a dataset on the Hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

from annotation.errors import SettingsError, SourceError
from annotation.exams.formats import READERS, columns_not_read, known_form, listed_options
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.exams.pdf import read_exam_pdf
from annotation.reading.rows import Table
from annotation.reading.table import read_table
from annotation.screen import Progress, silent
from annotation.types import Dropped

IN_ENGLISH = ("submission", "released")
"""Forms whose category is in English; those of others are in the language of the exam."""


def read_exam(source: str, language: str, key: Path | None = None, progress: Progress = silent) -> FoundExam:
    """Read an exam; which rows of it can be questions is decided here, which of these are let in is not.

    Args:
        source: A PDF, a table (csv, tsv, json, jsonl, parquet, xlsx), or owner/name of a Hub dataset.
        language: ISO 639-1, for pages that have no text and must be recognised.
        key: Another file with the answers to a PDF.
        progress: Gets the pages read.

    Raises:
        SourceError: It cannot be read, or holds no questions.
        SettingsError: A key is given for a table.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() == ".pdf":
        return read_exam_pdf(path, language=language, key=key, progress=progress)
    if key:
        raise SettingsError(f"--key is for a PDF; {source} is a table: give each of its rows the right option itself.")
    table = read_table(source, progress=progress)
    form = known_form(table.columns)
    if not form:
        raise SourceError(
            f"{table.name} has no columns for a question and its options ({', '.join(table.columns[:8])}); name them "
            "question, option_a to option_d, and answer (a letter)."
        )
    if form in IN_ENGLISH and (wrong := _counted_from_one(table)):
        raise SourceError(
            f"{table.name}, row {wrong}: its answer is as large as the number of its options, so answers count from 1 "
            "there, and INCLUDE's count from 0; write letters (A, B, C, D) instead."
        )
    notices = list(table.notices)
    if unread := columns_not_read(table.columns):
        notices.append(f"not read: the column{'s' if len(unread) > 1 else ''} {', '.join(unread)}")
    questions, dropped = list[FoundQuestion](), list[Dropped]()
    for row in table.rows:
        try:
            found = READERS[form](row.values)
        except ValueError as error:
            dropped.append(Dropped(f"row {row.place}", str(error)))
            continue
        questions.append(
            FoundQuestion(
                place=f"row {row.place}",
                number=found.number,
                question=found.question,
                options=found.options,
                answer=found.answer,
                category="" if form in IN_ENGLISH else found.category,
                extractor=form,
                annulled=found.annulled,
                unsure=found.unsure,
                given={"category": found.category, **found.given} if form in IN_ENGLISH else found.given,
            )
        )
    file = path if path.exists() else Path(source.rpartition("#")[0]).expanduser()  # FILE.xlsx#SHEET
    return FoundExam(table.name, _sha256(file), tuple(questions), tuple(dropped), tuple(notices))


def _counted_from_one(table: Table) -> str:
    """The first row whose answer only makes sense if answers count from 1; "" for none."""
    for row in table.rows:
        listed = row.values.get("options") or row.values.get("choices")
        cells = [row.values.get(f"option_{letter}") for letter in "abcdefghij"]
        try:
            count = len(listed_options(listed)) if listed is not None else sum(cell not in (None, "") for cell in cells)
        except ValueError:
            continue  # the row says so itself
        if count and str(row.values.get("answer", "")).strip() in (str(count), f"{count}.0"):
            return row.place
    return ""


def _sha256(path: Path) -> str:
    """Of a file; "" of a dataset on the Hub, which is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
