"""Pages that the rules are unsure of, read by Cohere: only where a person asks for it, within the budget of drafting.

A model only says where a question ends and its options begin. What it says counts where it stands on the page, letter
by letter; which option is right never comes from it. A page is paid for once: its answer stays in the ledger.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from annotation.drafting.ask import Question, answered, ask, outlook_of
from annotation.drafting.workers import Patience
from annotation.drafting.writer import Writer
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.project import Project
from annotation.screen import Progress, counted, silent

LETTERS = "abcde"

TASK = (
    "You copy multiple-choice questions out of the text of one page of an exam, letter by letter. Give every question "
    "whose number and options stand on the page: its number as printed, its text without the number, and its options "
    "a to e without their letters, as many as there are. Add nothing, mend nothing, answer nothing."
)

REQUIRED = {"number", "question", "a", "b", "c", "d"}

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("number", "question", *LETTERS)},
                "required": sorted(REQUIRED),
            },
        }
    },
    "required": ["questions"],
}

PAGE_TOKENS = 1500
"""What the questions of a page take, roughly."""


def read_doubtful_pages(
    project: Project,
    exam: FoundExam,
    country: str,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
    patience: Patience | None = None,
    writer: Callable[[str], Writer] | None = None,
) -> FoundExam:
    """Ask Cohere about the pages that the rules are unsure of; what was answered before is not asked again.

    Args:
        project: Its `draft` settings say which model (the first), what it may cost, and how fast.
        exam: As the rules read it.
        country: ISO 3166-1 alpha-2, for what is masked before it is stored.
        dry_run: Send nothing, and say what it could cost; what was answered before counts all the same.
        progress: Gets pages, pages wanted and dollars.
        patience: How often a call that cost nothing is tried again.
        writer: Makes the service out of the key; None is Cohere.

    Returns:
        The exam with questions that the model has told apart, and a notice of it.

    Raises:
        DraftError: There is no key, Cohere refuses, or too many calls failed in a row.
        BudgetExhausted: The next call could cost more than is left of draft.budget_usd.
    """
    if not exam.doubtful:
        return replace(exam, notices=(*exam.notices, "the rules are sure of every page: nothing goes to Cohere"))
    model = project.settings.draft.models[0]
    # A page is named by its text alone: another --country pays for nothing again.
    asked = {
        page: Question("exam page", model, TASK, text, SCHEMA, max_tokens=4000, country=country)
        for page, text in exam.doubtful.items()
    }
    pages = list(asked.values())
    if dry_run:
        told = answered(project.ledger, pages) if (project.folder / "ledger.sqlite").exists() else {}
    else:
        otherwise = "without --with-cohere the rules alone read the exam"
        told = ask(project, pages, progress=progress, patience=patience, writer=writer, otherwise=otherwise)
    found, notice = _mended(exam, {page: told[one.id] for page, one in asked.items() if one.id in told}, model)
    if (seen := outlook_of(project, pages, answer_tokens=PAGE_TOKENS)).prompts:
        notice += f"; {counted(seen.prompts, 'page')} not read by it yet: at most ${seen.most_usd:.2f}"
    return replace(found, notices=(*found.notices, f"{notice}."))


def _mended(exam: FoundExam, answers: Mapping[int, Any], model: str) -> tuple[FoundExam, str]:
    """Put the model's questions in the place of those that the rules are unsure of; and say how many."""
    places = {(one.page, _bare(one.number)): number for number, one in enumerate(exam.questions)}
    lost = {(_page(drop.because_of), _bare(drop.id)): drop for drop in exam.dropped}
    questions, found, refused, unread = list(exam.questions), set[str](), 0, 0
    mended = 0
    for page, told in answers.items():
        unread += told is None
        for said in told["questions"] if told else ():
            place = page, _bare(said["number"])
            at, drop = places.get(place), lost.get(place)
            if drop is None and (at is None or not questions[at].unsure):
                continue  # the rules are sure of it, or never saw such a number there
            parts = [said.get(letter, "").strip() for letter in LETTERS]
            options = tuple(itertools.takewhile(bool, parts))
            if any(parts[len(options) :]) or not _stands(said["question"], options, _folded(exam.doubtful[page])):
                refused += 1
                continue
            mended += 1
            rules = questions[at] if at is not None else FoundQuestion(f"page {page}", "", "", (), page=page)
            read = replace(rules, question=said["question"].strip(), options=options, extractor=f"Cohere {model}")
            if at is not None:
                questions[at] = replace(read, unsure="told apart by a model")
            elif drop is not None:
                unsure = "told apart by a model; the key was not looked at"
                questions.append(replace(read, number=drop.id.rpartition(" ")[2], unsure=unsure))
                found.add(drop.id)
    notice = f"{counted(mended, 'question')} on {counted(len(exam.doubtful), 'doubtful page')} told apart by {model}"
    notice += f", {refused} refused that do not stand there" if refused else ""
    notice += f", {counted(unread, 'page')} answered in no form that can be read" if unread else ""
    dropped = tuple(drop for drop in exam.dropped if drop.id not in found)
    return replace(exam, questions=tuple(questions), dropped=dropped), notice


def _page(because_of: str) -> int:
    """The page that a lost question is named with."""
    match = re.match(r"page (\d+)", because_of)
    return int(match[1]) if match else 0


def _stands(question: str, options: Sequence[str], page: str) -> bool:
    """Whether a question stands on a page, each option behind its own letter: so the key means the same options."""
    behind = (
        any(f"{written}{sign}{_folded(option)}" in page for written in (letter, letter.upper()) for sign in ").-")
        for letter, option in zip(LETTERS, options, strict=False)
    )
    return bool(question.strip()) and _folded(question) in page and all(behind)


def _bare(number: str) -> str:
    """The number of a question without its exam: of "question 2-14" and "14." it is "14"."""
    return re.split(r"[ -]", number.strip(" .)"))[-1]


def _folded(text: str) -> str:
    """A text without blanks, and without hyphens between letters: pages break words where they like."""
    return "".join(re.sub(r"(?<=[^\W\d_])[-\xad](?=\s*[^\W\d_])", "", text).split())
