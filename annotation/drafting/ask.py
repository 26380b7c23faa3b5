"""Questions to a model with structured answers: each is paid for once, within the rates and the budget of drafting.

    question = Question("judge hint", model, system, text, schema, max_tokens=200, country="MX", about=prompt.id)
    seen = outlook_of(project, [question, ...], answer_tokens=60)   # --dry-run: an `annotation.drafting.draft.Outlook`
    found = ask(project, [question, ...], progress=bar)             # {question.id: the object as the schema has it}

The same question to the same model is one call for ever: its answer stays in the ledger and is read from there. What a
run paid for before it was killed is there for the next one, by `ask` or, without sending anything, by `answered`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotation.drafting.draft import Outlook, calls_this_month, open_service
from annotation.drafting.personas import Persona
from annotation.drafting.plan import FREE, Slot, Todo, estimate
from annotation.drafting.prices import Price, place_of_prices, read_prices
from annotation.drafting.workers import Patience, Workers
from annotation.drafting.writer import Writer
from annotation.ledger import Ledger
from annotation.money import committed_usd, settle_lost
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.types import Prompt, content_id

TRIES = 3
"""Slots of a question: a call whose fate nobody knows, or whose answer is no such JSON, is not paid for again; another
is."""

CUT = "MAX_TOKENS"
"""finish_reason of an answer that was cut off: another one would be so too, so nothing is asked again."""

_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {"string": str, "number": (int, float), "integer": int}


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a model answers with one JSON object.

    Attributes:
        voice: What it is for, kept with the call: "exam page". It tells no question from another.
        model: Cohere's name of the model.
        system: The system text.
        text: The user message.
        schema: JSON schema of the answer, in the part that Cohere takes: an object at the top, every object with
            `required`, no minItems, maxItems, minimum, minLength, allOf or oneOf.
        max_tokens: Longest answer, in tokens.
        country: ISO 3166-1 alpha-2, for what is masked before it is stored; "" for the forms of every country.
        temperature: Of the sampling.
        about: Id of the prompt that it is about: to forget that one blanks the answer. "" where it is about none.
    """

    voice: str
    model: str
    system: str
    text: str
    schema: Mapping[str, Any]
    max_tokens: int
    country: str = ""
    temperature: float = 0.0
    about: str = ""

    @property
    def id(self) -> str:
        """Names what is asked and who is asked; nothing else of it."""
        return self.slot(0).id

    def slot(self, number: int) -> Slot:
        """The request of its so manieth try."""
        text = Prompt.make(self.text, country="", language="").id
        id_ = content_id(self.system, self.model, json.dumps(self.schema), text, str(number))
        settings = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "response_format": {"type": "json_object", "json_schema": self.schema},
            "seed": number,
        }
        persona = Persona(self.voice, self.system)
        return Slot(id_, self.about or text, number, self.model, persona, self.text, settings)


def ask(
    project: Project,
    questions: Sequence[Question],
    *,
    progress: Progress = silent,
    patience: Patience | None = None,
    writer: Callable[[str], Writer] | None = None,
    otherwise: str = "",
) -> dict[str, Any]:
    """Ask what was not answered before, and return all answers.

    Args:
        project: Its `draft` settings say what calls may cost, and how fast they go.
        questions: Of any models that have a price.
        progress: Gets answers, answers wanted and dollars.
        patience: How often a call that cost nothing is tried again.
        writer: Makes the service out of the key; None is Cohere.
        otherwise: What helps somebody who has no key, for the end of a sentence.

    Returns:
        As `answered`.

    Raises:
        DraftError: There is no key, Cohere refuses, or too many calls failed in a row; what was paid for is kept.
        BudgetExhausted: The next call could cost more than is left of draft.budget_usd.
        SettingsError: A model has no price.
    """
    prices = _prices(project, questions)
    with project.lock("draft"):
        ledger = project.ledger
        settle_lost(ledger)
        if todo := _plan(ledger, questions):
            schemas = {work.prompt.id: question.schema for question, work in todo}
            workers = Workers(
                project,
                prices,
                open_service(project, writer, otherwise),
                patience or Patience(),
                progress,
                len(todo),
                calls_this_month(project, prices),
                judge=lambda text, finish, prompt, _: _outcome(text, finish, schemas[prompt.id]),
                candidates=False,
            )
            try:
                asyncio.run(workers.work([work for _, work in todo]))
            finally:
                settle_lost(ledger)
            workers.raise_what_stopped_it()
    return answered(ledger, questions)


def answered(ledger: Ledger, questions: Sequence[Question]) -> dict[str, Any]:
    """Question id -> the object, of those that have an answer; None for one that was cut off or is forgotten."""
    slots = {question.slot(number).id: question for question in questions for number in range(TRIES)}
    raws = ledger.rows(
        "select slot_id, raw from outcomes where outcome = 'answer' and slot_id in (select value from json_each(?))",
        json.dumps(list(slots)),
    )
    return {slots[row["slot_id"]].id: object_of(row["raw"], slots[row["slot_id"]].schema) for row in raws}


def outlook_of(project: Project, questions: Sequence[Question], *, answer_tokens: int) -> Outlook:
    """Forecast `ask`, without a key and without changing anything; its `prompts` are the questions without an answer.

    Args:
        project: The project.
        questions: As for `ask`.
        answer_tokens: What an answer takes, roughly.

    Raises:
        SettingsError: A model has no price.
    """
    prices, key = _prices(project, questions), project.settings.draft.key
    # A ledger is made by being opened; a dry run must not make one.
    ledger = project.ledger if (project.folder / "ledger.sqlite").exists() else None
    todo = [work for _, work in _plan(ledger, questions)]
    models = tuple(estimate(todo, prices, key, answer_tokens))
    monthly = calls_this_month(project, prices) if ledger else None
    needed = sum(line.calls for line in models if prices[line.model].limit(key).per_month is not None)
    return Outlook(
        len(todo),
        models,
        project.settings.draft.budget_usd - (committed_usd(ledger) if ledger else 0.0),
        monthly and (*monthly, needed),
        read_prices(project.folder).date.isoformat(),
    )


def object_of(raw: str, schema: Mapping[str, Any]) -> Any:
    """The object in the body of an answer, as the ledger keeps it; None where it does not fit the schema."""
    try:
        content = json.loads(raw)["message"]["content"]
        return _read("".join(part["text"] for part in content if part["type"] == "text"), schema)
    except (ValueError, TypeError, KeyError):
        return None


def _prices(project: Project, questions: Sequence[Question]) -> dict[str, Price]:
    models = dict.fromkeys(question.model for question in questions)
    return read_prices(project.folder).of(models, place=str(place_of_prices(project.folder)))


def _plan(ledger: Ledger | None, questions: Sequence[Question]) -> list[tuple[Question, Todo]]:
    """Questions without an answer that still have a slot, each once."""
    slots = {question.id: [question.slot(number) for number in range(TRIES)] for question in questions}
    query = """select c.slot_id, c.attempt, o.outcome from calls c left join outcomes o using (slot_id, attempt)
               where c.slot_id in (select value from json_each(?)) order by c.attempt"""
    ids = json.dumps([slot.id for own in slots.values() for slot in own])
    calls = {row["slot_id"]: (row["attempt"], row["outcome"]) for row in (ledger.rows(query, ids) if ledger else ())}
    todo = []
    for question in {question.id: question for question in questions}.values():
        last = [(slot, *calls.get(slot.id, (-1, FREE[0]))) for slot in slots[question.id]]
        still = tuple((slot, attempt + 1) for slot, attempt, outcome in last if outcome in FREE)
        if still and not any(outcome == "answer" for *_, outcome in last):
            # By the id of the question, which tells two of them about one prompt apart.
            prompt = replace(Prompt.make(question.text, country="", language=""), id=question.id)
            todo.append((question, Todo(replace(prompt, country=question.country), 1, still)))
    return todo


def _outcome(text: str, finish: str, schema: Mapping[str, Any]) -> str:
    """The ledger's word for an answer; one that was cut off is an answer of which nothing can be read."""
    return "broken" if finish != CUT and _read(text, schema) is None else "answer"


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if _fits(found, schema) else None


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value has what a schema requires, of the types that it names."""
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "object":
            return (
                isinstance(value, dict)
                and value.keys() >= set(schema.get("required", ()))
                and all(_fits(value[name], part) for name, part in schema["properties"].items() if name in value)
            )
        case "array":
            return isinstance(value, list) and all(_fits(one, schema["items"]) for one in value)
        case "boolean":
            return isinstance(value, bool)
        case kind:
            return isinstance(value, _JSON_TYPES[kind]) and not isinstance(value, bool)
