"""Pages that the rules are unsure of, read by Cohere: only where a person asks for it, within the budget of drafting.

A model only says where a question ends and its options begin. What it says counts where it stands on the page, letter
by letter; which option is right never comes from it. A page is paid for once: its answer stays in the ledger.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from annotation.drafting.cohere import Cohere, Writer
from annotation.drafting.draft import calls_this_month
from annotation.drafting.personas import Persona
from annotation.drafting.plan import FREE, Slot, Todo
from annotation.drafting.prices import Price, place_of_prices, read_prices
from annotation.drafting.workers import Patience, Workers
from annotation.errors import DraftError
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import Progress, counted, silent
from annotation.types import Prompt, content_id

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

TRIES = 3
"""Slots of a page: a call whose fate nobody knows, or whose answer is no JSON, is not paid for again; another is."""


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
    prices = read_prices(project.folder).of([model], place=str(place_of_prices(project.folder)))
    known = project.ledger if (project.folder / "ledger.sqlite").exists() or not dry_run else None
    with nullcontext() if dry_run else project.lock("draft"):
        if known and not dry_run:
            known.settle_lost()
        todo, answered = _plan(known, exam, model, country)
        if todo and not dry_run:
            _call(project, prices, todo, progress, patience, writer)
            todo, answered = _plan(known, exam, model, country)
    found, notice = _mended(exam, answered, model)
    if todo:
        most = sum(slot.most_usd(prices[model]) for work in todo for slot, _ in work.open)
        notice += f"; {counted(len(todo), 'page')} not read by it yet: at most ${most:.2f}"
    return replace(found, notices=(*found.notices, f"{notice}."))


def _call(
    project: Project,
    prices: Mapping[str, Price],
    todo: Sequence[Todo],
    progress: Progress,
    patience: Patience | None,
    writer: Callable[[str], Writer] | None,
) -> None:
    settings, key = project.settings.draft, project.secret("CO_API_KEY")
    if key is None:
        raise DraftError(
            'There is no Cohere key: set CO_API_KEY in the environment, or write co_api_key = "..." into '
            f"{project.folder / 'secrets.toml'} (mode 0600); without --with-cohere the rules alone read the exam."
        )
    service = writer(key) if writer else Cohere(key, timeout_s=settings.timeout_s, connections=settings.concurrency)
    monthly = calls_this_month(project, prices)
    workers = Workers(
        project,
        prices,
        service,
        patience or Patience(),
        progress,
        len(todo),
        monthly,
        # One that was cut off would be so again: it is paid for, and not asked for again.
        judge=lambda text, finish, *_: "answer" if finish == "MAX_TOKENS" else _outcome(text),
        candidates=False,
    )
    try:
        asyncio.run(workers.work(todo))
    finally:
        project.ledger.settle_lost()
    workers.raise_what_stopped_it()


def _plan(ledger: Ledger | None, exam: FoundExam, model: str, country: str) -> tuple[list[Todo], dict[int, str]]:
    """Pages that are still to be asked about, and page -> answer of the others."""
    query = """select c.slot_id, c.attempt, o.outcome, o.raw from calls c left join outcomes o using (slot_id, attempt)
               where c.prompt_id = ? order by c.attempt"""
    todo, answered = list[Todo](), dict[int, str]()
    for page, text in exam.doubtful.items():
        # A page is named by its text alone: another --country pays for nothing again.
        prompt = replace(Prompt.make(text, country="", language="", topic="exam page"), country=country)
        settings = {
            "temperature": 0.0,
            "max_tokens": 4000,
            "response_format": {"type": "json_object", "json_schema": SCHEMA},
        }
        calls = {row["slot_id"]: row for row in (ledger.rows(query, prompt.id) if ledger else ())}
        slots = []
        for number in range(TRIES):
            id_ = content_id(TASK, model, json.dumps(SCHEMA), prompt.id, str(number))
            slot = Slot(id_, prompt.id, number, model, Persona("exam page", TASK), text, {**settings, "seed": number})
            last = calls.get(id_)
            if last and last["outcome"] == "answer":
                answered[page] = last["raw"]
            elif last is None or last["outcome"] in FREE:
                slots.append((slot, last["attempt"] + 1 if last else 0))
        if page not in answered and slots:
            todo.append(Todo(prompt, 1, tuple(slots)))
    return todo, answered


def _mended(exam: FoundExam, answered: Mapping[int, str], model: str) -> tuple[FoundExam, str]:
    """Put the model's questions in the place of those that the rules are unsure of; and say how many."""
    places = {(one.page, _bare(one.number)): number for number, one in enumerate(exam.questions)}
    lost = {(_page(drop.because_of), _bare(drop.id)): drop for drop in exam.dropped}
    questions, found, refused, unread = list(exam.questions), set[str](), 0, 0
    mended = 0
    for page, raw in answered.items():
        told = _questions(_text_of(raw))
        unread += told is None
        for said in told or ():
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


def _text_of(raw: str) -> str:
    """The model's text in the body of an answer, as the ledger keeps it."""
    content = json.loads(raw)["message"]["content"]
    return "".join(part["text"] for part in content if part["type"] == "text")


def _outcome(text: str) -> str:
    return "broken" if _questions(text) is None else "answer"


def _questions(text: str) -> list[dict[str, str]] | None:
    """Questions in a model's answer; None where it is no JSON of the shape that was asked for."""
    try:
        found = json.loads(text)["questions"]
        right = all(one.keys() >= REQUIRED and all(isinstance(text, str) for text in one.values()) for one in found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if right else None
