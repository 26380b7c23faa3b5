"""Personas that answer prompts: from a place in the prompt's country, in its language, with a register."""

from __future__ import annotations

import functools
import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.tasks.page import TeamPage
from annotation.text.locales import name_of_country, name_of_language
from annotation.types import Prompt


@dataclass(frozen=True, slots=True)
class Persona:
    """Persona that answers a prompt.

    Attributes:
        description: Recorded with the candidate: who, from where, in which register.
        system: The system text of the call.
    """

    description: str
    system: str


BAR = "|"
"""Stands between a persona and its register, or a word and what it asks for, where they are one line of a text."""

Line = tuple[str, str]
"""What stands before and after BAR."""


def personas(prompt: Prompt, dice: random.Random, texts: Mapping[str, str] | None = None) -> list[Persona]:
    """All personas that can answer a prompt, in an order that the dice decide.

    Args:
        prompt: In any language: where nobody wrote templates for it, those of the country's common language ask for it.
        dice: Of the prompt.
        texts: The project's own, from `annotation.tasks.page.own_texts`.
    """
    own = (texts or {}).get(f"{prompt.language}.toml", "")
    return [_for(prompt, own, *one) for one in _cast(prompt, dice, own)]


def describers(prompt: Prompt, dice: random.Random, texts: Mapping[str, str] | None, count: int) -> list[Persona]:
    """So many personas that describe a picture, each with a focus and a length.

    Focuses take turns fastest; no focus meets a length again before it has met all of them.

    Args:
        prompt: About a picture.
        dice: As for `personas`.
        texts: As for `personas`.
        count: Of calls.
    """
    own = (texts or {}).get(f"{prompt.language}.toml", "")
    cast = _cast(prompt, dice, own)
    every = (_lines(prompt.language, prompt.country, own, key) for key in ("focus", "length"))
    focuses, lengths = (dice.sample(lines, k=len(lines)) for lines in every)
    found = []
    for number in range(count):
        turn, place = divmod(number, len(focuses))
        told = focuses[place], lengths[(place + turn) % len(lengths)]
        found.append(_for(prompt, own, *cast[number % len(cast)], told))
    return found


def _cast(prompt: Prompt, dice: random.Random, own: str) -> list[tuple[int, str]]:
    """Who answers, by number, and from where."""
    home = _data()["country"].get(prompt.country, {}).get("places", [])
    places: Sequence[str] = dice.sample(home, k=len(home))
    count = len(_lines(prompt.language, prompt.country, own, "who"))
    order = enumerate(dice.sample(range(count), k=count))
    return [(number, places[turn % len(places)] if places else "") for turn, number in order]


def _for(prompt: Prompt, own: str, number: int, place: str, told: tuple[Line, Line] | None = None) -> Persona:
    """A persona with the system text that came with the prompt."""
    persona = _persona(prompt.language, prompt.country, own, number, place, told)
    if not prompt.system.strip():
        return persona
    more = _template(prompt.language, prompt.country, own)["after_system"]
    return Persona(persona.description, f"{prompt.system.strip()}\n\n{more}\n{persona.system}")


@functools.cache
def _persona(language: str, country: str, own: str, number: int, place: str, told: tuple[Line, Line] | None) -> Persona:
    page = TeamPage(language, country)
    template = _template(language, country, own)
    who, register = _lines(language, country, own, "who")[number]
    pattern = template["persona"] if place else template["persona_without_place"]
    persona = pattern.format(who=who, place=place, country=name_of_country(country, _table(page)))
    speech = _data()["country"].get(country, {}).get("speech", {}).get(language, "")
    asked = _data()["language"][_table(page)]["in"] if language == page.base else name_of_language(language, page.base)
    about = {"persona": persona, "register": register, "speech": speech, "language": asked}
    if told is None:
        return Persona(f"{persona}; {register}", template["task"].strip().format(**about))
    (focus, look), (length, size) = told
    task = template["describe"].strip().format(**about, focus=look, length=size)
    return Persona(f"{persona}; {register}; {focus}, {length}", task)


@functools.cache
def _template(language: str, country: str, own: str) -> Mapping[str, str]:
    """Templates for a language in a country."""
    page = TeamPage(language, country, {f"{language}.toml": own})
    return page.texts("personas", templates(page))


@functools.cache
def _lines(language: str, country: str, own: str, key: str) -> list[Line]:
    """Lines of a template that is a list: who answers in which register, what to look at, how long."""
    lines = [line.rpartition(BAR) for line in _template(language, country, own)[key].splitlines() if line.strip()]
    if not lines or not all(separator for _, separator, _ in lines):
        first, second = ("a persona", "a register") if key == "who" else ("a word", "what it asks for")
        toml = TeamPage(language, country).toml
        raise SettingsError(f"{toml}: personas.{key} needs {first}, {BAR} and {second} on each line.")
    return [(before.strip(), after.strip()) for before, _, after in lines]


def templates(page: TeamPage) -> dict[str, dict[str, str]]:
    """Annot's templates for a page, under its base: what the project's own texts may stand in the place of."""
    who = "\n".join(f" {BAR} ".join(persona[_table(page)]) for persona in _data()["persona"])
    texts = {key: text for key, text in _data()["language"][_table(page)].items() if key != "in"}
    return {page.base: {**texts, "who": who}}


def _table(page: TeamPage) -> str:
    full = f"{page.base}-{page.country}"
    return full if full in _data()["language"] else page.base


@functools.cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("personas.toml").read_text(encoding="utf-8"))
