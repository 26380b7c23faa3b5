"""Which calls a project needs: slots, the voices that answer in them, and what the calls may cost. Nothing is sent."""

from __future__ import annotations

import functools
import random
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.config import DraftSettings
from annotation.drafting.prices import Key, Price
from annotation.types import Prompt, content_id

FREE = ("rate limited", "server error", "rejected", "unreachable")
"""Outcomes of calls that certainly cost nothing: the slot may be called again."""

TEMPLATE_TOKENS = 64
"""Room in the bound for what a chat template adds around two messages."""

BYTES_PER_TOKEN = 3.5
"""Of Spanish and Portuguese in Cohere's tokenizers, roughly: for estimates, never for money."""

WORDS_PER_ANSWER = 80
TOKENS_PER_WORD = 1.7
"""What answers of 40 to 120 words take, roughly: for estimates."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who answers.

    Attributes:
        persona: Recorded with the candidate: who, from where, in which register.
        system: The system text of the call.
    """

    persona: str
    system: str


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one answer: everything that the request holds.

    Attributes:
        id: Hash of the whole request and the slot's number.
        prompt_id: The prompt that is answered.
        number: 0 first; those from draft.candidates on are spares.
        model: Cohere's name of the model.
        voice: Who answers.
        text: The user message.
        settings: temperature, seed and max_tokens, as sent.
    """

    id: str
    prompt_id: str
    number: int
    model: str
    voice: Voice
    text: str
    settings: Mapping[str, str | int | float]

    @property
    def most_input_tokens(self) -> int:
        """No byte-level tokenizer makes more tokens than there are bytes."""
        return len(self.voice.system.encode()) + len(self.text.encode()) + TEMPLATE_TOKENS

    def most_usd(self, price: Price) -> float:
        """The most that the call can cost, in dollars."""
        return price.usd(self.most_input_tokens, int(self.settings["max_tokens"]))


@dataclass(frozen=True, slots=True)
class Todo:
    """What one prompt still needs.

    Attributes:
        prompt: The prompt.
        missing: Answers that it lacks.
        open: Slots that may be called, in order, each with the number of its next attempt. There are more than
            `missing` of them: a spare stands in for a slot that was paid for and brought no usable answer.
    """

    prompt: Prompt
    missing: int
    open: tuple[tuple[Slot, int], ...]


@dataclass(frozen=True, slots=True)
class ModelEstimate:
    """What one model will be asked.

    Attributes:
        calls: Requests, spares not counted.
        input_tokens: Roughly.
        output_tokens: Roughly.
        usd: Roughly, in dollars.
        most_usd: At most, in dollars.
        minutes: At the rate limit of the key.
    """

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float
    most_usd: float
    minutes: float


def slots(prompt: Prompt, draft: DraftSettings, seed: int) -> Iterator[Slot]:
    """The slots of a prompt: draft.candidates of them, then as many spares.

    Models take turns fastest, then temperatures; voices come in an order of the prompt's own. The same settings
    and seed give the same slots, whatever else the project holds.
    """
    dice = random.Random(content_id(str(seed), prompt.id))
    cast = voices(prompt, dice)
    first_model = dice.randrange(len(draft.models))
    for number in range(2 * draft.candidates):
        model = draft.models[(first_model + number) % len(draft.models)]
        settings: dict[str, str | int | float] = {
            "temperature": draft.temperatures[number // len(draft.models) % len(draft.temperatures)],
            "seed": dice.getrandbits(31),
            "max_tokens": draft.max_tokens,
        }
        voice = cast[number % len(cast)]
        request = (model, voice.system, prompt.text, *(f"{name}={value}" for name, value in settings.items()))
        name = content_id(prompt.id, str(number), *request)
        yield Slot(name, prompt.id, number, model, voice, prompt.text, settings)


def plan(
    prompts: Iterable[Prompt],
    draft: DraftSettings,
    seed: int,
    *,
    answered: Mapping[str, int],
    called: Mapping[str, tuple[int, str | None]],
) -> tuple[list[Todo], dict[str, int]]:
    """Say what each prompt still needs.

    Args:
        prompts: In the order in which they are worked on.
        draft: Settings.
        seed: Of the project.
        answered: Prompt id -> drafted answers that it has.
        called: Slot id -> last attempt and its outcome (None: it has none yet). A slot is open when it was never
            called, or when its last attempt certainly cost nothing.

    Returns:
        What is to be done, and for prompts that lack answers but have no slot left: prompt id -> answers that it has.
    """
    todo, short = [], {}
    for prompt in prompts:
        has = answered.get(prompt.id, 0)
        if has >= draft.candidates:
            continue
        ready = []
        for slot in slots(prompt, draft, seed):
            attempt, outcome = called.get(slot.id, (-1, FREE[0]))
            if outcome in FREE:
                ready.append((slot, attempt + 1))
        if ready:
            todo.append(Todo(prompt, draft.candidates - has, tuple(ready)))
        else:
            short[prompt.id] = has
    return todo, short


def estimate(todo: Iterable[Todo], prices: Mapping[str, Price], key: Key) -> list[ModelEstimate]:
    """Calls, tokens, dollars and minutes of a plan, one line per model."""
    by_model: dict[str, list[Slot]] = defaultdict(list)
    for work in todo:
        for slot, _ in work.open[: work.missing]:
            by_model[slot.model].append(slot)
    lines = []
    for model, asked in by_model.items():
        price = prices[model]
        tokens_in = round(sum((slot.most_input_tokens - TEMPLATE_TOKENS) / BYTES_PER_TOKEN for slot in asked))
        tokens_out = round(
            sum(min(WORDS_PER_ANSWER * TOKENS_PER_WORD, int(slot.settings["max_tokens"])) for slot in asked)
        )
        lines.append(
            ModelEstimate(
                model,
                len(asked),
                tokens_in,
                tokens_out,
                price.usd(tokens_in, tokens_out),
                sum(slot.most_usd(price) for slot in asked),
                len(asked) / price.limit(key).per_minute,
            )
        )
    return lines


# -- voices -------------------------------------------------------------------------------------------------


def voices(prompt: Prompt, dice: random.Random) -> list[Voice]:
    """All voices that can answer a prompt, in an order that the dice decide; no two share a persona."""
    data = _voices_data()
    language = _template_language(prompt, data["language"])
    home = data["country"].get(prompt.country, {}).get("places", [])
    places: Sequence[str] = dice.sample(home, k=len(home))
    cast = []
    for turn, number in enumerate(dice.sample(range(len(data["persona"])), k=len(data["persona"]))):
        place = places[turn % len(places)] if places else ""
        voice = _voice(language, prompt.language, prompt.country, number, place)
        if prompt.system.strip():
            more = data["language"][language]["after_system"]
            voice = Voice(voice.persona, f"{prompt.system.strip()}\n\n{more}\n{voice.system}")
        cast.append(voice)
    return cast


@functools.cache
def _voice(template_language: str, language: str, country: str, number: int, place: str) -> Voice:
    data = _voices_data()
    template = data["language"][template_language]
    who, register = data["persona"][number][template_language]
    pattern = template["persona"] if place else template["persona_without_place"]
    persona = pattern.format(persona=who, place=place, country=name_of_country(country, template_language))
    task = template["task"].strip()
    speech = data["country"].get(country, {}).get("speech", {}).get(language, "")
    task = task.format(voice=persona, register=register, speech=speech, language=_name_of_language(language))
    return Voice(f"{persona}; {register}", task)


def countries_with_places() -> frozenset[str]:
    """Countries whose voices come from a place of their own; others get personas of the country as a whole."""
    return frozenset(_voices_data()["country"])


@functools.cache
def name_of_country(code: str, language: str) -> str:
    """Name of a country in Spanish or Portuguese where pycountry has it, else in English."""
    import gettext

    import pycountry

    country = pycountry.countries.get(alpha_2=code)
    if country is None:
        return code
    english = str(getattr(country, "common_name", country.name))
    names = gettext.translation(
        "iso3166-1", pycountry.LOCALES_DIR, languages=[language.replace("-", "_"), language[:2]], fallback=True
    )
    name = names.gettext(english) if language != "en" else english
    head, comma, tail = name.partition(", ")
    return f"{tail} {head}" if comma else name  # "Congo, República Democrática del" is an index entry, not a name.


def _name_of_language(code: str) -> str:
    import pycountry

    found = pycountry.languages.get(alpha_2=code)
    return str(found.name) if found is not None else code


def _template_language(prompt: Prompt, known: Mapping[str, Any]) -> str:
    if (full := f"{prompt.language}-{prompt.country}") in known:
        return full
    return prompt.language if prompt.language in known else "en"


@functools.cache
def _voices_data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("voices.toml").read_text(encoding="utf-8"))
