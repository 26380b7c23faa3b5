"""`annot exams add`: exams in any form become questions that people can check; what INCLUDE does not take is named.

Every step takes what the one before kept and returns what it keeps and what it drops, with the reason. `add_exams` runs
them all and writes the result: the pictures first, then questions and reasons in one transaction.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.exams.checked import exam_questions
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.exams.pictures import pictures
from annotation.exams.read import read_exam
from annotation.exams.repeated import Compared, compare, id_of
from annotation.exams.rules import FLAGS, OPTIONS, misfit
from annotation.exams.with_cohere import read_doubtful_pages
from annotation.files import write_whole
from annotation.project import Project
from annotation.prompts.change import check_codes
from annotation.screen import Progress, count_reasons, counted, silent
from annotation.tasks.exam.item import NAME, item_of, question_of
from annotation.text.clean import clean, clean_label
from annotation.types import Dropped, ExamQuestion, Person

PICTURES = "exams/pictures"
"""Folder in a project: the picture of every question that was read from pages."""

APART = "if they ask different things, raise exams.near_duplicate in annot.toml and run it again."

AGAIN = (
    "what is there stays; `annot exams remove NAME` takes an exam out that nobody was asked about yet, to add it anew."
)

REMEDIES = {
    "annulled by the official key": "nothing to do: the authors of the exam took the question back.",
    "exact or natural science": "INCLUDE wants what differs from country to country; if the category is wrong, correct "
    "it where it stands, or write the questions into a table.",
    "two options are the same": "look at the source: if they differ there, correct the row, or "
    "add the question from a table.",
    "a key that is a digit and no letter": "write letters (A, B, C, …): a digit may count from 0 or from 1.",
    "a key that is no letter": "write the letter of the right option, or its text.",
    "near duplicate": APART,
    "near duplicate with another key": APART,
    "already there with another key": AGAIN,
    "already there without its key": AGAIN,
    "already there with other provenance": AGAIN,
}
"""What helps against a reason for leaving out a question."""


@dataclass(frozen=True, slots=True)
class ExamsAdded:
    """Result of reading exams into a project.

    Attributes:
        sources: Names of the files or datasets.
        found: Questions in them.
        kept: Questions that are new, in the order of the sources.
        already_there: Questions that the project had.
        dropped: Questions left out; id is "file, place".
        news: How many of the dropped the project had not dropped before.
        notices: What a person should know about how it was read.
        dry_run: Nothing was written.
    """

    sources: tuple[str, ...]
    found: int
    kept: tuple[ExamQuestion, ...]
    already_there: int
    dropped: tuple[Dropped, ...]
    news: int
    notices: tuple[str, ...]
    dry_run: bool

    def waiting(self) -> list[tuple[str, int]]:
        """What a person has to decide about the new questions beside whether they are right, and for how many."""
        reasons = Counter[str]()
        for question in self.kept:
            reasons["which of five options goes"] += len(question.options) > OPTIONS
            reasons["which option is right: no key says so"] += question.answer is None
            if question.unsure:
                reasons[re.split(r'[:"]', question.unsure)[0].strip()] += 1
        return [(reason, count) for reason, count in reasons.most_common() if count]

    def reasons(self) -> list[tuple[str, int, str]]:
        """Reason, count and one example of the dropped; the most frequent first."""
        return count_reasons(self.dropped)

    def groups(self) -> list[tuple[str, str, str, str, int]]:
        """Country, language, exam, category and count of the new questions."""
        counts = Counter((q.country, q.language, q.exam, q.category) for q in self.kept)
        return [(*group, count) for group, count in sorted(counts.items())]

    def sentence(self) -> str:
        """Summary for a person."""
        parts = [
            f"{counted(len(self.kept), 'new question')}{' would come' if self.dry_run else ''} from "
            f"{counted(self.found, 'question')} of {', '.join(self.sources)}",
            *([f"already there: {self.already_there}"] if self.already_there else []),
            *([f"left out: {len(self.dropped)}"] if self.dropped else []),
        ]
        return "; ".join(parts) + "."

    def as_json(self) -> dict[str, Any]:
        """Summary for a script; a dry run also lists the questions."""
        return {
            "sources": list(self.sources),
            "found": self.found,
            "kept": len(self.kept),
            "already_there": self.already_there,
            "dropped": {reason: {"count": count, "example": shown} for reason, count, shown in self.reasons()},
            "left_out": [asdict(drop) for drop in self.dropped],
            "waiting": dict(self.waiting()),
            "notices": list(self.notices),
            "dry_run": self.dry_run,
            **({"questions": [asdict(question) for question in self.kept]} if self.dry_run else {}),
        }


@dataclass(frozen=True, slots=True)
class _Placed:
    """A question that may be let in, and what it was found as."""

    where: str
    exam: int
    found: FoundQuestion
    question: ExamQuestion


def add_exams(
    project: Project,
    sources: Sequence[str],
    *,
    given: Mapping[str, str] | None = None,
    key: Path | None = None,
    against: Sequence[str] = (),
    author: str = "",
    with_cohere: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExamsAdded:
    """Read exams into a project. Reading a source again adds nothing.

    Args:
        project: Where they go.
        sources: Files (PDF or tables), or owner/name of Hub datasets.
        given: Provenance (a key of FLAGS, or "domain") of questions that do not say it themselves; what it leaves out
            is taken from `[exams]` of annot.toml.
        key: File with the answers to the only source.
        against: Tables of questions that are somewhere already (INCLUDE's), as `sources`.
        author: User name of whoever on the team extracted them: not asked to check them.
        with_cohere: Have a model tell questions apart on pages that the rules are unsure of.
        dry_run: Do everything but write and pay.
        progress: Gets how far each step has come.

    Raises:
        SourceError: A source or the key cannot be read.
        DraftError: Cohere cannot be asked, or the budget does not allow it; what was paid for is kept.
        SettingsError: Something is missing that INCLUDE asks for, or `author` is nobody.
    """
    settings = project.settings.exams
    usual = {name: value for name, value in settings.provenance().items() if value}
    fields = {**usual, **{name: clean_label(value) for name, value in (given or {}).items() if value}}
    if key and len(sources) > 1:
        raise SettingsError("--key is the key of one exam; add the exams one by one, each with its own.")
    country, language = check_codes(fields.get("country", ""), fields.get("language", ""))
    exams = [read_exam(source, language or "es", key, progress) for source in sources]
    if author and not any(person.username == author for person in _people(project)):
        raise SettingsError(f'Nobody called "{author}" is on the team; `annot team list` shows who is.')
    if with_cohere:
        for number, exam in enumerate(exams):
            _let_in(number, exam, fields, author)  # what is missing is said before anything is paid for
        exams = [read_doubtful_pages(project, exam, country, dry_run=dry_run, progress=progress) for exam in exams]
    placed = list[_Placed]()
    dropped = [replace(drop, id=f"{exam.name}, {drop.id}") for exam in exams for drop in exam.dropped]
    for number, exam in enumerate(exams):
        kept, left_out = _let_in(number, exam, fields, author)
        placed += kept
        dropped += left_out
    others = [read_exam(source, "", None, progress) for source in (*settings.against, *against)]
    elsewhere = [one for other in others for one in _elsewhere(other)]
    with nullcontext() if dry_run else project.lock("exams"):
        # A ledger is made by being opened; a dry run must not make one.
        ledger = None if dry_run and not (project.folder / "ledger.sqlite").exists() else project.ledger
        items = ledger.items(NAME) if ledger else []
        # As they were extracted, and as people made them: both may come back.
        known = [*map(question_of, items), *(exam_questions(ledger, project.settings) if ledger else ())]
        new = [(one.where, one.question) for one in placed]
        compared = compare(new, known, elsewhere, settings.near_duplicate, progress)
        dropped += compared.dropped
        before = {(drop.id, drop.reason) for drop in ledger.dropped("exams")} if ledger else set()
        news = [drop for drop in dropped if (drop.id, drop.reason) not in before]
        kept = [placed[place] for place in compared.kept]
        if ledger and not dry_run:
            kept = _with_pictures(project.folder, kept, sources, progress)
            start = max((item.position for item in items), default=-1) + 1
            with ledger.transaction():
                ledger.add_items(item_of(one.question, start + number) for number, one in enumerate(kept))
                ledger.add_dropped("exams", news)
    return ExamsAdded(
        sources=tuple(exam.name for exam in exams),
        found=sum(len(exam.questions) + len(exam.dropped) for exam in exams),
        kept=tuple(one.question for one in kept),
        already_there=compared.already_there,
        dropped=tuple(dropped),
        news=len(news),
        notices=(
            *(f"{exam.name}: {notice}" for exam in exams for notice in (*exam.notices, *_doubts(exam))),
            *(f"{other.name}: {counted(len(other.dropped), 'row')} not compared" for other in others if other.dropped),
            *_countries([one.question for one in kept], project.settings.project.countries),
        ),
        dry_run=dry_run,
    )


def _people(project: Project) -> Sequence[Person]:
    """The team; nobody where there is no ledger yet, which looking must not make."""
    return project.ledger.people() if (project.folder / "ledger.sqlite").exists() else ()


def _countries(questions: Sequence[ExamQuestion], countries: Sequence[str]) -> list[str]:
    strange = Counter(question.country for question in questions if question.country not in countries)
    if not strange or not countries:
        return []
    listed = ", ".join(f"{country} {count}" for country, count in strange.most_common())
    return [
        f"{listed}: of a country that annot.toml does not name ({', '.join(countries)}); if that is right, add it to "
        "project.countries, or nobody is asked about them"
    ]


def _doubts(exam: FoundExam) -> list[str]:
    if not exam.doubtful or any(question.extractor.startswith("Cohere") for question in exam.questions):
        return []
    return [
        f"the rules are unsure of {counted(len(exam.doubtful), 'page')}; people see why when they check, and "
        "--with-cohere has a model tell the questions there apart (with --dry-run it says what that may cost)"
    ]


def _let_in(
    number: int, exam: FoundExam, fields: Mapping[str, str], author: str
) -> tuple[list[_Placed], list[Dropped]]:
    """Questions of an exam with their provenance, as far as INCLUDE's rules let them in.

    Raises:
        SettingsError: One does not say what INCLUDE asks for, and nobody said it for all.
    """
    placed, dropped = list[_Placed](), list[Dropped]()
    for found in exam.questions:
        question = _question(exam, found, fields, author)
        where = f"{exam.name}, {found.place}{f', question {found.number}' if found.page else ''}"
        if reason := misfit(question, annulled=found.annulled):
            dropped.append(Dropped(where, *reason))
        else:
            placed.append(_Placed(where, number, found, question))
    return placed, dropped


def _question(exam: FoundExam, found: FoundQuestion, fields: Mapping[str, str], author: str) -> ExamQuestion:
    said = {name: clean_label(value) for name, value in found.given.items() if value.strip()}
    own = {**fields, **said}
    country, language = check_codes(own.get("country", ""), own.get("language", ""))
    own |= {"country": country, "language": language}
    if missing := [name for name in FLAGS if not own.get(name)]:
        if missing == ["category"] and (theirs := own.get("category_original") or found.category):
            raise SettingsError(
                f'{exam.name}, {found.place}, has its category in its own language alone ("{theirs}"): add '
                "--category with the English name."
            )
        flags = " ".join(f"{FLAGS[name]} …" for name in missing)
        raise SettingsError(
            f"{exam.name}, {found.place}, does not say its {', '.join(missing)}, and INCLUDE asks for it: add {flags}, "
            "or write it under [exams] in annot.toml."
        )
    text, options = _clean_texts(found)
    question = ExamQuestion(
        id="",
        question=text,
        options=options,
        answer=found.answer,
        number=found.number,
        category_original=own.get("category_original") or clean_label(found.category),
        domain=own.get("domain", ""),
        regional_feature=own.get("regional_feature", ""),
        document=exam.sha256,
        page=found.page,
        extractor=found.extractor,
        unsure=found.unsure,
        author=author,
        **{name: own[name] for name in FLAGS},
    )
    return replace(question, id=id_of(question))


def _clean_texts(found: FoundQuestion) -> tuple[str, tuple[str, ...]]:
    return clean(found.question), tuple(" ".join(clean(option).split()) for option in found.options)


def _elsewhere(exam: FoundExam) -> list[Compared]:
    """Questions that are somewhere already."""
    return [Compared.of(f"{exam.name}, {found.place}", *_clean_texts(found), found.answer) for found in exam.questions]


def _with_pictures(folder: Path, kept: Sequence[_Placed], sources: Sequence[str], progress: Progress) -> list[_Placed]:
    """Questions with the picture of their region, which is written before anything refers to it."""
    for half in (folder / PICTURES).glob(".*.jpg"):  # of a process that was killed
        half.unlink()
    of_exam: dict[int, list[_Placed]] = defaultdict(list)
    for one in kept:
        if one.found.boxes:
            of_exam[one.exam].append(one)
    paths: dict[str, str] = {}
    done, total = 0, sum(map(len, of_exam.values()))
    for number, own in of_exam.items():
        for place, picture in pictures(Path(sources[number]).expanduser(), [one.found.boxes for one in own]):
            id_ = own[place].question.id
            write_whole(folder / f"{PICTURES}/{id_}.jpg", picture)
            paths[id_] = f"{PICTURES}/{id_}.jpg"
            done += 1
            progress(done, total, "pictures")
    return [replace(one, question=replace(one.question, picture=paths.get(one.question.id, ""))) for one in kept]
