"""Questions to a model that ask for prompts: new ones after examples of their country, or those of others rewritten."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.drafting.ask import Question
from annotation.extending.gaps import Cell
from annotation.ledger import Ledger
from annotation.text.locales import name_of_country, name_of_language
from annotation.text.register import address_of
from annotation.types import Prompt

PER_CALL = 8
"""Prompts that one call asks for at most."""

EXAMPLES = 6
"""Prompts of the country that a call shows."""

TOKENS_PER_PROMPT = 50
"""What a proposed prompt takes in an answer, roughly."""

TEMPERATURE = 0.7

_VOICE = "new prompts "

_FIELDS: dict[str, dict[str, str]] = {"text": {"type": "string"}, "presumes": {"type": "boolean"}}


def _schema(fields: Mapping[str, dict[str, str]]) -> Mapping[str, Any]:
    one = {"type": "object", "properties": fields, "required": sorted(fields)}
    return {"type": "object", "properties": {"prompts": {"type": "array", "items": one}}, "required": ["prompts"]}


NEW = _schema(_FIELDS)
REWRITTEN = _schema({"number": {"type": "integer"}, **_FIELDS})

_RULES = (
    "Never write a question that mocks a group, or that takes for granted what the people of a country, a region, an "
    "ethnic group, a sex, a religion or a class are like or do. Name no private person, brand, number or address. "
    'If a question takes such a thing for granted all the same, say true under "presumes", else false.'
)

_TASK = (
    "You help people in {country} to collect questions that somebody there would really ask an assistant in everyday "
    "life. Write in {language}, as people in {country} write it. Every question stands by itself, is about life there "
    "(customs, places, words, institutions, family, work, food and so on), and has more than one good answer, on which "
    "people there may differ. Do not repeat the examples, say them in other words, or ask nearly the same. "
)

_PERSPECTIVE = (
    "You rewrite questions of everyday life for another country. For each numbered question write what somebody in "
    "{country} would ask in the same situation, in {language} as people in {country} write it: its customs, places, "
    "words and institutions take the place of the others. Name no other country. Leave out a question that makes no "
    "sense there. Give each with its number. "
)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a call asks for. It stands with the call in the ledger, so that its answer can be taken in at any time.

    Attributes:
        country: ISO 3166-1 alpha-2.
        language: ISO 639-1.
        topic: Free label.
        register: One of `annotation.text.register.REGISTERS`, or "".
        number: Prompts that are asked for.
        parents: Ids of the prompts of other countries that are to be rewritten; () for new ones.
    """

    country: str
    language: str
    topic: str
    register: str
    number: int
    parents: tuple[str, ...] = ()

    @property
    def voice(self) -> str:
        """As the ledger keeps it."""
        return _VOICE + json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, voice: str) -> Purpose:
        """The reverse of `voice`."""
        found = json.loads(voice.removeprefix(_VOICE))
        return cls(**{**found, "parents": tuple(found["parents"])})

    @property
    def schema(self) -> Mapping[str, Any]:
        """Of the answer."""
        return REWRITTEN if self.parents else NEW


def calls_for_prompts(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Slot, attempt, model, voice, outcome, dollars and raw answer of every call that asked for prompts, in order."""
    return [
        dict(row)
        for row in ledger.rows(
            """select c.slot_id, c.slot, c.model, c.voice, o.outcome, coalesce(o.usd, c.reserved_usd) as usd, o.raw
               from calls c left join outcomes o using (slot_id, attempt) where substr(c.voice, 1, ?) = ?
               order by c.rowid""",
            len(_VOICE),
            _VOICE,
        )
    ]


def plan_questions(
    wanted: Sequence[tuple[Cell, int]],
    models: Sequence[str],
    earlier: Sequence[Purpose],
    seeds: Callable[[Cell], Sequence[Prompt]],
    *,
    perspective: bool,
) -> tuple[list[Question], list[Cell]]:
    """Plan the questions that ask for what is wanted.

    Models take turns. Each question of a cell shows other examples than the one before, and bears a number of its own:
    one that was asked before would be answered from the ledger.

    Args:
        wanted: Cells, and how many prompts each wants.
        models: Cohere's names.
        earlier: What calls of earlier runs asked for.
        seeds: Gives examples for a cell, or prompts to rewrite, the best first.
        perspective: Rewrite prompts of other countries instead of asking for new ones.

    Returns:
        The questions, and the cells for which there is no seed (left).
    """
    asked = Counter((p.country, p.language, p.topic, p.register) for p in earlier)
    used: dict[str, set[str]] = defaultdict(set)
    for purpose in earlier:
        used[purpose.country].update(purpose.parents)
    questions, without = list[Question](), list[Cell]()
    for cell, missing in wanted:
        found = [seed for seed in seeds(cell) if not perspective or seed.id not in used[cell.country]]
        if not found:
            without.append(cell)
        while missing > 0 and found:
            number = min(missing, PER_CALL, len(found) if perspective else PER_CALL)
            turn = asked[*cell.key, cell.register]
            if perspective:
                shown, found = found[:number], found[number:]
                used[cell.country].update(seed.id for seed in shown)
            else:
                start = turn * EXAMPLES % len(found)
                shown = [*found[start:], *found[:start]][:EXAMPLES]
            model = models[(sum(asked.values())) % len(models)]
            questions.append(_question(cell, number, shown, model, turn, perspective=perspective))
            asked[*cell.key, cell.register] += 1
            missing -= number
    return questions, without


def _question(
    cell: Cell, number: int, shown: Sequence[Prompt], model: str, turn: int, *, perspective: bool
) -> Question:
    purpose = Purpose(*cell.key, cell.register, number, tuple(seed.id for seed in shown) if perspective else ())
    about = {"country": name_of_country(cell.country, "en"), "language": name_of_language(cell.language)}
    system = (_PERSPECTIVE if perspective else _TASK).format(**about) + _RULES
    if cell.register:
        words = address_of(cell.language, cell.country, cell.register)
        system += f" Every question addresses whom it asks, and uses the word {words}."
    listed = "\n".join(f"{place}. {seed.text}" for place, seed in enumerate(shown, 1))
    head = f"Topic: {cell.topic}\n\n{'Questions to rewrite' if perspective else 'Examples'}:\n{listed}"
    tail = "" if perspective else f"\n\nWrite {number} new questions on the topic. This is set {turn + 1}."
    return Question(
        purpose.voice,
        model,
        system,
        head + tail,
        purpose.schema,
        max_tokens=100 + 4 * TOKENS_PER_PROMPT * number,
        country=cell.country,
        temperature=TEMPERATURE,
    )
