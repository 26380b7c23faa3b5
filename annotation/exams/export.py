"""Checked exam questions as files to give away: INCLUDE's form for contributions, a dataset, and its card."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import ProjectError
from annotation.exams.checked import settled_questions
from annotation.exams.formats import english_language, to_released, to_submission
from annotation.files import write_parquet, write_whole
from annotation.project import Project
from annotation.screen import counted
from annotation.tables import schema_of
from annotation.tasks.base import Kind, Rows
from annotation.tasks.exam.check import KEPT
from annotation.tasks.exam.settled import CHECKED, REJECTED, Outcome
from annotation.text.locales import fold, name_of_country
from annotation.types import REGIONAL_FEATURES, Dropped, ExamQuestion

CARD = "README.md"
MANIFEST = ".annot-exams.json"
"""Names the files that an export wrote: nothing else is ever replaced or taken away."""

YOURS = "<!-- What stands below this line is yours: annot keeps it. -->"

_KNOWN_LICENCES = (
    *("apache-2.0", "mit", "cc0-1.0", "odc-by", "odbl", "pddl"),
    *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


@dataclass(frozen=True, slots=True)
class ExportedExams:
    """What was written.

    Attributes:
        files: Where.
        questions: Exam -> how many.
        dropped: Questions that were left out: id, why, and their exam.
        notes: What was measured of them.
    """

    files: tuple[Path, ...]
    questions: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For a person."""
        left_out = "".join(f"; left out {line}" for line in _reasons(self.dropped))
        total = sum(self.questions.values())
        return f"{counted(total, 'question')} of {counted(len(self.questions), 'exam')} written{left_out}."


def export_exams(
    project: Project,
    out: Path,
    *,
    only_checked: bool = True,
    notes: Callable[[Sequence[ExamQuestion]], Sequence[str]] = lambda _: (),
) -> ExportedExams:
    """Write submission/COUNTRY-LANGUAGE-EXAM.json, data/LANGUAGE.parquet and a dataset card; again changes nothing.

    Left out, counted and named: what no people checked (unless it is asked for), what they rejected, what has no
    licence, no key, or other than four options.

    Args:
        project: Whose questions.
        out: Folder; files of an earlier export go, others stay.
        only_checked: Questions that people have settled.
        notes: Measures the questions that are given away, for example their contamination: lines for the card.

    Raises:
        ProjectError: There is nothing to write, or the folder has somebody else's card.
    """
    card, earlier = out / CARD, _earlier(project, out)
    before = card.read_bytes() if card.exists() else YOURS.encode()
    if YOURS.encode() not in before:
        raise ProjectError(f"{card} is not annot's; name another folder, or move that file away.")
    chosen, dropped = released_questions(project, only_checked=only_checked)
    if not chosen:
        why = "; ".join(_reasons(dropped)) or "the project has none yet: `annot exams add` reads them"
        raise ProjectError(f"No exam question can be written: {why}.")
    measured = notes([found.question for found in chosen])
    submissions = _submissions(out / "submission", [found.question for found in chosen])
    languages = defaultdict[str, list[Outcome]](list)
    for found in chosen:
        languages[found.question.language].append(found)
    tables = {out / "data" / f"{english_language(language)}.parquet": own for language, own in languages.items()}
    files = [*submissions, *tables]
    if strange := [path for path in files if path.exists() and path not in earlier]:
        raise ProjectError(f"{strange[0]} is not from an earlier export of this project; name another folder.")
    _note(project, out, {*earlier, *files})  # first: what a killed export leaves is known to the next
    for path, rows in submissions.items():
        write_whole(path, (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode())
    for path, own in tables.items():
        table = released_table(own)
        write_parquet(path, table.rows, schema_of(table.columns))
    for stale in earlier - set(files):
        stale.unlink(missing_ok=True)
    _note(project, out, files)
    yours = before.partition(YOURS.encode())[2] or b"\n"
    write_whole(card, f"{_card(project, languages, dropped, measured)}\n{YOURS}".encode() + yours)
    exams = Counter(found.question.exam for found in chosen)
    return ExportedExams((*files, card), exams, tuple(dropped), tuple(measured))


def released_questions(project: Project, *, only_checked: bool = True) -> tuple[list[Outcome], list[Dropped]]:
    """Questions that may be given away; and the others: id, why not, and their exam."""
    chosen, dropped = list[Outcome](), list[Dropped]()
    for found in settled_questions(project.ledger, project.settings):
        if reason := _reason(found, only_checked=only_checked):
            dropped.append(Dropped(found.question.id, reason, found.question.exam))
        else:
            chosen.append(found)
    return chosen, dropped


def released_table(chosen: Iterable[Outcome]) -> Rows:
    """Questions in INCLUDE's columns, and how many people said what each should be."""
    numbers = ("answer", "checked_by")
    example = to_released(ExamQuestion("", "", ("",) * KEPT, 0, "MX", "es", ""))
    columns: dict[str, Kind] = {name: "int" if name in numbers else "text" for name in (*example, "checked_by")}
    return Rows([{**to_released(found.question), "checked_by": found.agreeing} for found in chosen], columns)


def _earlier(project: Project, out: Path) -> set[Path]:
    """Files that earlier exports of this project wrote into a folder.

    Raises:
        ProjectError: They are another project's.
    """
    path = out / MANIFEST
    facts = json.loads(path.read_bytes()) if path.exists() else {"project": project.ledger.name, "files": []}
    if facts["project"] != project.ledger.name:
        raise ProjectError(f"{out} holds the exams of another project; name another folder.")
    return {out / name for name in facts["files"]}


def _note(project: Project, out: Path, files: Iterable[Path]) -> None:
    names = sorted(path.relative_to(out).as_posix() for path in files)
    write_whole(out / MANIFEST, json.dumps({"project": project.ledger.name, "files": names}, indent=2).encode())


def _reason(found: Outcome, *, only_checked: bool) -> str:
    """Why a question is not given away; "" where it is."""
    question = found.question
    if found.status == REJECTED or (only_checked and found.status != CHECKED):
        return "rejected by people" if found.status == REJECTED else "not checked yet"
    if not question.licence.strip():
        return "without a licence"
    if len(question.options) != KEPT:
        return "without exactly four options"
    return "without a key" if question.answer is None else ""


def _reasons(dropped: Iterable[Dropped]) -> list[str]:
    """A line for each reason, with the exams that it is about."""
    exams: dict[str, Counter[str]] = defaultdict(Counter)
    for one in dropped:
        exams[one.reason][one.because_of] += 1
    return [
        f"{own.total()} {reason} ({', '.join(f'{exam}: {number}' for exam, number in sorted(own.items()))})"
        for reason, own in sorted(exams.items())
    ]


def _submissions(folder: Path, questions: Iterable[ExamQuestion]) -> dict[Path, list[dict[str, Any]]]:
    """A file for every country, language and exam, in INCLUDE's form."""
    files = defaultdict[Path, list[dict[str, Any]]](list)
    for question in questions:
        exam = fold(question.exam).replace(" ", "-")[:60] or "exam"
        files[folder / f"{question.country}-{question.language}-{exam}.json"].append(to_submission(question))
    return dict(files)


def _card(
    project: Project, languages: Mapping[str, list[Outcome]], dropped: Iterable[Dropped], notes: Sequence[str]
) -> str:
    """A dataset card of what was measured, with the head that the Hub reads."""
    chosen = [found for own in languages.values() for found in own]
    unchecked = sum(found.status != CHECKED for found in chosen)
    stated = {"-".join(found.question.licence.lower().split()) for found in chosen}
    size = next((name for most, name in _SIZES if len(chosen) < most), "100K<n<1M")
    licences = sorted({licence if licence in _KNOWN_LICENCES else "other" for licence in stated})
    head = ["license:", *(f"- {licence}" for licence in licences)]
    head += ["language:", *(f"- {language}" for language in sorted(languages))]
    head += ["task_categories:", "- multiple-choice", "- question-answering", f"size_categories:\n- {size}", "configs:"]
    for language in sorted(languages):
        name = json.dumps(english_language(language), ensure_ascii=False)
        file = json.dumps(f"data/{english_language(language)}.parquet", ensure_ascii=False)
        head += [f"- config_name: {name}", f"  data_files:\n  - split: test\n    path: {file}"]
    exams: dict[tuple[str, str, str, str], list[Outcome]] = defaultdict(list)
    for found in chosen:
        one = found.question
        exams[one.country, one.exam, one.source, one.licence].append(found)
    rows = [
        f"| {_cell(name_of_country(country, 'en'))} | {_cell(exam)} | {_cell(source)} | {_cell(licence)} | {len(own)} "
        f"| {_people(own)} | {_agreement(own)} | {_features(own)} |"
        for (country, exam, source, licence), own in sorted(exams.items())
    ]
    left_out = [f"- {line}" for line in _reasons(dropped)] or ["- nothing"]
    return "\n".join(
        [
            *("---", *head, "---", "", f"# {_cell(project.settings.project.name)}: exam questions", ""),
            f"{counted(len(chosen), 'multiple-choice question')} in INCLUDE's columns: four options and one right",
            "answer (`answer`, from 0). `checked_by` is how many people said what a question should be.",
            *(["", f"**Nobody has checked {unchecked} of them yet.**"] if unchecked else []),
            *("", "| country | exam | source | licence | questions | checked by | agreement | regional feature |"),
            *("|---|---|---|---|---|---|---|---|", *rows, ""),
            "*checked by*: fewest to most people who said the same of a question; 0: as it was extracted. *agreement*:",
            "of all answers to checked questions, those that said what was settled on text and key.",
            *("", "Left out:", "", *left_out),
            *(("", *notes) if notes else ()),
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _people(own: Iterable[Outcome]) -> str:
    numbers = sorted({found.agreeing for found in own})
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def _agreement(own: Iterable[Outcome]) -> str:
    """The share of answers to checked questions that said what was settled."""
    checked = [found for found in own if found.status == CHECKED]
    answers = sum(found.answers for found in checked)
    return f"{sum(found.agreeing for found in checked) / answers:.0%} of {answers}" if answers else "none yet"


def _features(own: Iterable[Outcome]) -> str:
    counts = Counter(found.question.regional_feature or "not said" for found in own)
    return ", ".join(f"{counts[name]} {name}" for name in (*REGIONAL_FEATURES, "not said") if counts[name])
