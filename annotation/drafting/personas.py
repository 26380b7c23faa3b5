"""Personas that answer prompts: from a place in the prompt's country, in its language, with a register."""

from __future__ import annotations

import functools
import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def personas(prompt: Prompt, dice: random.Random) -> list[Persona]:
    """All personas that can answer a prompt, in an order that the dice decide."""
    data = _data()
    language = _template_language(prompt, data["language"])
    home = data["country"].get(prompt.country, {}).get("places", [])
    places: Sequence[str] = dice.sample(home, k=len(home))
    cast = []
    for turn, number in enumerate(dice.sample(range(len(data["persona"])), k=len(data["persona"]))):
        place = places[turn % len(places)] if places else ""
        persona = _persona(language, prompt.language, prompt.country, number, place)
        if prompt.system.strip():
            more = data["language"][language]["after_system"]
            persona = Persona(persona.description, f"{prompt.system.strip()}\n\n{more}\n{persona.system}")
        cast.append(persona)
    return cast


@functools.cache
def _persona(template_language: str, language: str, country: str, number: int, place: str) -> Persona:
    data = _data()
    template = data["language"][template_language]
    who, register = data["persona"][number][template_language]
    pattern = template["persona"] if place else template["persona_without_place"]
    persona = pattern.format(who=who, place=place, country=name_of_country(country, template_language))
    speech = data["country"].get(country, {}).get("speech", {}).get(language, "")
    task = template["task"].strip()
    task = task.format(persona=persona, register=register, speech=speech, language=name_of_language(language))
    return Persona(f"{persona}; {register}", task)


def _template_language(prompt: Prompt, known: Mapping[str, Any]) -> str:
    if (full := f"{prompt.language}-{prompt.country}") in known:
        return full
    return prompt.language if prompt.language in known else "en"


@functools.cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("personas.toml").read_text(encoding="utf-8"))
