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


WHO = "|"
"""Stands between a persona and its register where they are one line of a text."""


def personas(prompt: Prompt, dice: random.Random, texts: Mapping[str, str] | None = None) -> list[Persona]:
    """All personas that can answer a prompt, in an order that the dice decide.

    Args:
        prompt: In any language: where nobody wrote templates for it, those of the country's common language ask for it.
        dice: Of the prompt.
        texts: The project's own, from `annotation.tasks.page.own_texts`.
    """
    own = (texts or {}).get(f"{prompt.language}.toml", "")
    home = _data()["country"].get(prompt.country, {}).get("places", [])
    places: Sequence[str] = dice.sample(home, k=len(home))
    count = len(_template(prompt.language, prompt.country, own)[1])
    cast = []
    for turn, number in enumerate(dice.sample(range(count), k=count)):
        place = places[turn % len(places)] if places else ""
        persona = _persona(prompt.language, prompt.country, own, number, place)
        if prompt.system.strip():
            more = _template(prompt.language, prompt.country, own)[0]["after_system"]
            persona = Persona(persona.description, f"{prompt.system.strip()}\n\n{more}\n{persona.system}")
        cast.append(persona)
    return cast


@functools.cache
def _persona(language: str, country: str, own: str, number: int, place: str) -> Persona:
    page = TeamPage(language, country)
    template, cast = _template(language, country, own)
    who, register = cast[number]
    pattern = template["persona"] if place else template["persona_without_place"]
    persona = pattern.format(who=who, place=place, country=name_of_country(country, _table(page)))
    speech = _data()["country"].get(country, {}).get("speech", {}).get(language, "")
    asked = _data()["language"][_table(page)]["in"] if language == page.base else name_of_language(language, page.base)
    task = template["task"].strip().format(persona=persona, register=register, speech=speech, language=asked)
    return Persona(f"{persona}; {register}", task)


@functools.cache
def _template(language: str, country: str, own: str) -> tuple[Mapping[str, str], Sequence[tuple[str, str]]]:
    """Templates for a language in a country, and who answers in which register."""
    page = TeamPage(language, country, {f"{language}.toml": own})
    template = page.texts("personas", templates(page))
    lines = [line.rpartition(WHO) for line in template["who"].splitlines() if line.strip()]
    if not all(separator for _, separator, _ in lines):
        raise SettingsError(f"{page.toml}: personas.who needs a persona, {WHO} and a register on each line.")
    return template, [(who.strip(), register.strip()) for who, _, register in lines]


def templates(page: TeamPage) -> dict[str, dict[str, str]]:
    """Annot's templates for a page, under its base: what the project's own texts may stand in the place of."""
    who = "\n".join(f" {WHO} ".join(persona[_table(page)]) for persona in _data()["persona"])
    texts = {key: text for key, text in _data()["language"][_table(page)].items() if key != "in"}
    return {page.base: {**texts, "who": who}}


def _table(page: TeamPage) -> str:
    full = f"{page.base}-{page.country}"
    return full if full in _data()["language"] else page.base


@functools.cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("personas.toml").read_text(encoding="utf-8"))
