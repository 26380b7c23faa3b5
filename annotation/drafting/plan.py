"""Plan of the calls that a project needs: slots, and what the calls may cost. Nothing is sent."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.config import DraftSettings
from annotation.drafting.personas import Persona, describers, personas
from annotation.drafting.pictures import Shown, show
from annotation.drafting.prices import Key, Price
from annotation.rounds import SOURCE
from annotation.types import Picture, Prompt, content_id

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
class Slot:
    """The place of one answer, with everything that the request holds.

    Attributes:
        id: Hash of the whole request and the slot's number.
        prompt_id: The prompt that is answered.
        number: 0 first; those from draft.candidates on are spares.
        model: The service's name of the model.
        persona: Who answers.
        text: The user message.
        settings: temperature, seed and max_tokens, as sent.
        shown: The picture that goes with the text, or None.
        own: The model answers as itself: its answer may be known again as the aligned model's own.
    """

    id: str
    prompt_id: str
    number: int
    model: str
    persona: Persona
    text: str
    settings: Mapping[str, Any]
    shown: Shown | None = None
    own: bool = False

    @property
    def text_bytes(self) -> int:
        """Length of what is sent as text. No byte-level tokenizer makes more tokens than there are bytes."""
        return len(self.persona.system.encode()) + len(self.text.encode())

    @property
    def picture_tokens(self) -> int:
        """Input tokens of the picture."""
        return self.shown.tokens if self.shown else 0

    @property
    def most_input_tokens(self) -> int:
        """The most tokens that the model can read."""
        return self.text_bytes + TEMPLATE_TOKENS + self.picture_tokens

    @property
    def recorded(self) -> dict[str, Any]:
        """What is kept of how the answer was made: the settings, how closely the model looked, and whose it is."""
        detail = {"detail": self.shown.detail} if self.shown else {}
        return {**self.settings, **detail, **({SOURCE: self.model} if self.own else {})}

    def most_usd(self, price: Price) -> float:
        """The most that the call can cost, in dollars."""
        return price.usd(self.most_input_tokens, int(self.settings["max_tokens"]))


@dataclass(frozen=True, slots=True)
class Todo:
    """Work on one prompt: the answers that it lacks, and the slots that may be called.

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
    """Estimate of the calls to one model.

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


def slots(
    prompt: Prompt,
    draft: DraftSettings,
    seed: int,
    texts: Mapping[str, str] | None = None,
    picture: Picture | None = None,
    number_of_round: int = 1,
    persona: Persona | None = None,
) -> Iterator[Slot]:
    """The slots of a prompt: draft.candidates of them, then as many spares.

    Models take turns fastest, then temperatures; personas come in an order of the prompt's own. The same settings
    and seed (and texts of the project's own for a language) give the same slots, whatever else the project holds; in
    each round others. What is asked about a picture differs by focus and length too. A `persona` that is given answers
    alone: the model as itself.
    """
    later = (str(number_of_round),) if number_of_round > 1 else ()
    dice = random.Random(content_id(str(seed), prompt.id, *later))
    shown = show(picture, draft.picture_detail) if picture else None
    models = draft.picture_models if shown else draft.models
    count = 2 * draft.candidates
    if persona is not None:
        cast = [persona]
    else:
        cast = describers(prompt, dice, texts, count) if shown else personas(prompt, dice, texts)
    first_model = dice.randrange(len(models))
    for number in range(count):
        model = models[(first_model + number) % len(models)]
        settings: dict[str, str | int | float] = {
            "temperature": draft.temperatures[number // len(models) % len(draft.temperatures)],
            "seed": dice.getrandbits(31),
            "max_tokens": draft.max_tokens,
        }
        speaks = cast[number % len(cast)]
        request = (model, speaks.system, prompt.text, *(f"{name}={value}" for name, value in settings.items()))
        seen = (f"detail={shown.detail}",) if shown else ()  # The picture itself is part of the prompt's id.
        name = content_id(prompt.id, str(number), *request, *seen)
        yield Slot(name, prompt.id, number, model, speaks, prompt.text, settings, shown, persona is not None)


def plan(
    prompts: Iterable[Prompt],
    draft: DraftSettings,
    seed: int,
    *,
    answered: Mapping[str, int],
    called: Mapping[str, tuple[int, str | None]],
    texts: Mapping[str, str] | None = None,
    pictures: Mapping[str, Picture] = {},
    number_of_round: int = 1,
    persona: Callable[[Prompt], Persona] | None = None,
) -> tuple[list[Todo], dict[str, int]]:
    """Plan the calls that each prompt still needs.

    Args:
        prompts: In the order in which they are worked on.
        draft: Settings.
        seed: Of the project.
        answered: Prompt id -> answers that it has.
        called: Slot id -> last attempt and its outcome (None: it has none yet). A slot is open when it was never
            called, or when its last attempt certainly cost nothing.
        texts: The project's own, from `annotation.tasks.page.own_texts`.
        pictures: Id -> picture, of the prompts that are about one.
        number_of_round: In which people are asked.
        persona: Who alone answers a prompt; None is all personas in turn.

    Returns:
        What is to be done, and for prompts that lack answers but have no slot left: prompt id -> answers that it has.
    """
    todo, short = [], {}
    for prompt in prompts:
        has = answered.get(prompt.id, 0)
        if has >= draft.candidates:
            continue
        ready = []
        picture, alone = pictures[prompt.image] if prompt.image else None, persona(prompt) if persona else None
        for slot in slots(prompt, draft, seed, texts, picture, number_of_round, alone):
            attempt, outcome = called.get(slot.id, (-1, FREE[0]))
            if outcome in FREE:
                ready.append((slot, attempt + 1))
        if ready:
            todo.append(Todo(prompt, draft.candidates - has, tuple(ready)))
        else:
            short[prompt.id] = has
    return todo, short


def estimate(
    todo: Iterable[Todo],
    prices: Mapping[str, Price],
    key: Key,
    answer_tokens: float = WORDS_PER_ANSWER * TOKENS_PER_WORD,
) -> list[ModelEstimate]:
    """Estimate calls, tokens, dollars and minutes of a plan, one line per model."""
    by_model: dict[str, list[Slot]] = defaultdict(list)
    for work in todo:
        for slot, _ in work.open[: work.missing]:
            by_model[slot.model].append(slot)
    lines = []
    for model, calls in by_model.items():
        price = prices[model]
        tokens_in = round(sum(slot.text_bytes / BYTES_PER_TOKEN + slot.picture_tokens for slot in calls))
        tokens_out = round(sum(min(answer_tokens, int(slot.settings["max_tokens"])) for slot in calls))
        lines.append(
            ModelEstimate(
                model,
                len(calls),
                tokens_in,
                tokens_out,
                price.usd(tokens_in, tokens_out),
                sum(slot.most_usd(price) for slot in calls),
                len(calls) / price.limit(key).per_minute,
            )
        )
    return lines
