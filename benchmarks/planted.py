"""Planted data with a known answer: a small language, a model that learnt half of it wrong, and people who know better.

Countries call the same things by different words. A small model is pretrained on answers that mostly use the words of
Spain and of Portugal. People in Mexico and Brazil rank answers by how many of their own words are in them, each with
noise of their own, and now and then two neighbours are swapped. So the right order of every slate is known, and nothing
else decides it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.data.plan import Plan, pairs_of_slates
from train.data.preflight import preflight
from train.data.read import Slates
from train.data.slates import RankedSlate, Ranking, count_votes
from train.data.split import Split
from train.models.base import Base
from train.models.tiny_model import make_tiny_base
from train.models.tokenizer import load_vocabulary
from train.settings import Recipe

COUNTRIES = {"MX": ("México", "es"), "BR": ("Brasil", "pt")}
"""Who ranks: name and language."""

WORDS: dict[str, tuple[dict[str, str], ...]] = {
    "es": (
        {"MX": "el camión", "AR": "el colectivo", "ES": "el autobús"},
        {"MX": "la chamba", "AR": "el laburo", "ES": "el curro"},
        {"MX": "la lana", "AR": "la guita", "ES": "la pasta"},
        {"MX": "la pluma", "AR": "la birome", "ES": "el boli"},
        {"MX": "el carro", "AR": "el auto", "ES": "el coche"},
        {"MX": "la alberca", "AR": "la pileta", "ES": "la piscina"},
        {"MX": "la chamarra", "AR": "la campera", "ES": "la cazadora"},
        {"MX": "el chavo", "AR": "el pibe", "ES": "el chaval"},
        {"MX": "el elote", "AR": "el choclo", "ES": "la mazorca"},
        {"MX": "el popote", "AR": "el sorbete", "ES": "la pajita"},
        {"MX": "la chela", "AR": "la birra", "ES": "la caña"},
        {"MX": "la recámara", "AR": "la pieza", "ES": "el dormitorio"},
    ),
    "pt": (
        {"BR": "o ônibus", "PT": "o autocarro"},
        {"BR": "o trem", "PT": "o comboio"},
        {"BR": "o celular", "PT": "o telemóvel"},
        {"BR": "a geladeira", "PT": "o frigorífico"},
        {"BR": "o suco", "PT": "o sumo"},
        {"BR": "o sorvete", "PT": "o gelado"},
        {"BR": "a tela", "PT": "o ecrã"},
        {"BR": "o banheiro", "PT": "a casa de banho"},
        {"BR": "o time", "PT": "a equipa"},
        {"BR": "a xícara", "PT": "a chávena"},
        {"BR": "o terno", "PT": "o fato"},
        {"BR": "a carona", "PT": "a boleia"},
    ),
}
"""Language -> things, each with its word per country."""

SPOKEN_BY_THE_BASE = {"es": "ES", "pt": "PT"}
"""Whose words the base uses for everybody."""

ASKED = {
    "es": ("¿Qué cuentas de {0} y {1} en {country}?", "En {country}, ¿qué haces con {0} y {1}?",
           "¿Cómo hablan en {country} de {0}, {1} y lo demás?"),
    "pt": ("O que contas de {0} e {1} em {country}?", "Em {country}, o que fazes com {0} e {1}?",
           "Como se fala em {country} de {0}, {1} e o resto?"),
}  # fmt: skip
THINGS = {
    "es": (
        "transporte",
        "empleo",
        "dinero",
        "escribir",
        "viajar",
        "nadar",
        "abrigo",
        "gente",
        "comida",
        "fiesta",
        "beber",
        "casa",
    ),
    "pt": (
        "transporte",
        "viagem",
        "chamadas",
        "cozinha",
        "beber",
        "doces",
        "imagem",
        "casa",
        "jogo",
        "mesa",
        "roupa",
        "favores",
    ),
}
"""What a thing is called in a question, in the order of WORDS: a question gives no regional word away."""

TOLD = {
    "es": ("Ayer vi {0} y luego {1}, y al final {2}.", "Aquí siempre hay {0}, {1} y también {2}.",
           "Primero {0}, después {1}; con {2} termina el día.", "Me gusta {0} más que {1}, pero no tanto como {2}."),
    "pt": ("Ontem vi {0} e depois {1}, e no fim {2}.", "Aqui há sempre {0}, {1} e também {2}.",
           "Primeiro {0}, depois {1}; com {2} acaba o dia.", "Gosto de {0} mais do que {1}, mas não tanto como {2}."),
}  # fmt: skip

SLOTS = 3
"""Regional words in an answer: an answer has 0 to 3 of the country's own."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How people err.

    Attributes:
        strength: Of one more local word against Gumbel noise of scale 1 (Plackett–Luce): 0 is rolling dice.
        tie: Answers that feel closer than this are tied.
        swap: Probability that two neighbours of a ranking change places.
    """

    strength: float = 1.0
    tie: float = 0.3
    swap: float = 0.2


@dataclass(frozen=True, slots=True)
class Planted:
    """A slate, and how many of the country's own words each answer has: the right order."""

    slate: RankedSlate
    local: tuple[int, ...]


def planted_slates(count: int, *, people: int, noise: Noise, seed: int) -> list[Planted]:
    """Slates of four, the countries in turn, ranked by `people` people of the country."""
    chance = random.Random(seed)
    return [
        _slate(number, tuple(COUNTRIES)[number % len(COUNTRIES)], people, noise, chance, f"{seed}")
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a country's people are asked.

    Attributes:
        country: ISO 3166-1 alpha-2.
        language: ISO 639-1.
        things: What its answers speak of, as places in WORDS.
        text: The question, which gives no regional word away.
    """

    country: str
    language: str
    things: tuple[int, ...]
    text: str


def ask(number: int, chance: random.Random) -> Asked:
    """One question; the countries take turns."""
    country = tuple(COUNTRIES)[number % len(COUNTRIES)]
    _, language = COUNTRIES[country]
    things = tuple(chance.sample(range(len(WORDS[language])), SLOTS))
    return Asked(country, language, things, _question(language, country, things, number, chance))


def drafted(asked: Asked, share: float, chance: random.Random) -> str:
    """An answer of a model that says each thing with the country's own word with probability `share`."""
    own = sum(chance.random() < share for _ in range(SLOTS))
    return _answer(asked.language, asked.country, asked.things, own, chance)


def local_words(text: str, country: str) -> int:
    """How many of a country's own words a text has, whoever wrote it: what its people go by."""
    _, language = COUNTRIES[country]
    return sum(names[country] in text for names in WORDS[language])


def _slate(number: int, country: str, people: int, noise: Noise, chance: random.Random, place: str) -> Planted:
    _, language = COUNTRIES[country]
    things = chance.sample(range(len(WORDS[language])), SLOTS)
    answers, local = [], []
    for _ in range(4):
        own = chance.randint(0, SLOTS)
        answers.append(_answer(language, country, things, own, chance))
        local.append(own)
    rankings = _rankings(local, people, noise, chance)
    question = _question(language, country, things, number, chance)
    return _planted(f"{place}-{number}", Asked(country, language, tuple(things), question), answers, rankings)


def planted_slate(
    name: str,
    asked: Asked,
    answers: Sequence[str],
    *,
    people: int,
    noise: Noise,
    chance: random.Random,
    number: int = 1,
) -> Planted:
    """A slate of answers, whoever wrote them, that people of the country rank in round `number`."""
    local = [local_words(text, asked.country) for text in answers]
    return _planted(name, asked, answers, _rankings(local, people, noise, chance), number)


def _rankings(local: Sequence[int], people: int, noise: Noise, chance: random.Random) -> tuple[Ranking, ...]:
    orders: dict[tuple[tuple[int, ...], ...], int] = {}
    for _ in range(people):
        order = ranked(local, noise, chance)
        orders[order] = orders.get(order, 0) + 1
    return tuple(Ranking(tiers, times / people, times) for tiers, times in orders.items())


def _best(rankings: Sequence[Ranking], answers: int) -> int:
    """The answer that people put first, on the mean."""
    places = [
        sum(one.people * tier for one in rankings for tier, seats in enumerate(one.tiers) if seat in seats)
        for seat in range(answers)
    ]
    return places.index(min(places))


def _planted(
    name: str, asked: Asked, answers: Sequence[str], rankings: tuple[Ranking, ...], number: int = 1
) -> Planted:
    local = tuple(local_words(text, asked.country) for text in answers)
    people = sum(ranking.people for ranking in rankings)
    slate = RankedSlate(
        f"{name}:{asked.country}",
        ({"role": "user", "content": asked.text},),
        tuple(({"role": "assistant", "content": text},) for text in answers),
        rankings,
        count_votes(rankings),
        country=asked.country,
        language=asked.language,
        slate_id=name,
        people=people,
        target=_best(rankings, len(answers)),
        round=number,
    )
    return Planted(slate, local)


def _question(language: str, country: str, things: Sequence[int], number: int, chance: random.Random) -> str:
    asked = chance.choice(ASKED[language]).format(
        *(THINGS[language][thing] for thing in things[:2]), country=COUNTRIES[country][0]
    )
    return f"{asked} ({number})"


def _answer(language: str, country: str, things: Sequence[int], own: int, chance: random.Random) -> str:
    mine = set(chance.sample(range(SLOTS), own))
    words = []
    for slot, thing in enumerate(things):
        names = WORDS[language][thing]
        words.append(names[country] if slot in mine else names[chance.choice([c for c in names if c != country])])
    return chance.choice(TOLD[language]).format(*words)


def ranked(local: Sequence[int], noise: Noise, chance: random.Random) -> tuple[tuple[int, ...], ...]:
    """Tiers of seats, the best first, as one person ranks answers with so many local words."""
    felt = [noise.strength * own - math.log(-math.log(max(chance.random(), 1e-12))) for own in local]
    order = sorted(range(len(local)), key=lambda seat: -felt[seat])
    tiers: list[list[int]] = []
    for seat in order:
        if tiers and felt[tiers[-1][-1]] - felt[seat] < noise.tie:
            tiers[-1].append(seat)
        else:
            tiers.append([seat])
    if len(tiers) > 1 and chance.random() < noise.swap:
        place = chance.randrange(len(tiers) - 1)
        tiers[place], tiers[place + 1] = tiers[place + 1], tiers[place]
    return tuple(tuple(sorted(tier)) for tier in tiers)


def make_base(folder: Path, *, steps: int, seed: int = 0, vocabulary: int = 640) -> tuple[Path, list[float]]:
    """Make a model of 0.3M weights that has learnt to answer, in the wrong country's words.

    About three in four of the words that it reads are of Spain or Portugal; it knows the others and seldom says them.

    Args:
        folder: Where it goes.
        steps: Updates, of 24 answers each.
        seed: Of everything.
        vocabulary: Tokens. With 640 most words are spelt; with 1600 nearly all are one token, and few steps are enough
            for it to write whole sentences.

    Returns:
        Its folder, and the loss per token of each step.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    chance = random.Random(seed)
    talks = [_talk(chance, number) for number in range(4000)]
    make_tiny_base(folder, [text for talk in talks for text in talk], seed=seed, vocabulary=vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=5e-3, total_steps=steps, pct_start=0.1)
    losses = []
    for _ in range(steps):
        batch = _tensors([chance.choice(talks) for _ in range(24)], tokenizer)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        rate.step()
        losses.append(float(loss.detach()))
    model.save_pretrained(folder)
    return folder, losses


def _talk(chance: random.Random, number: int) -> tuple[str, str]:
    country = chance.choice(list(COUNTRIES))
    _, language = COUNTRIES[country]
    things = chance.sample(range(len(WORDS[language])), SLOTS)
    words = [
        names[SPOKEN_BY_THE_BASE[language]] if chance.random() < 0.6 else chance.choice(list(names.values()))
        for names in (WORDS[language][thing] for thing in things)
    ]
    return _question(language, country, things, number, chance), chance.choice(TOLD[language]).format(*words)


def _tensors(talks: Sequence[tuple[str, str]], tokenizer: Any) -> dict[str, Any]:
    import torch

    rows = []
    for question, answer in talks:
        asked = [{"role": "user", "content": question}]
        whole = tokenizer.apply_chat_template(
            [*asked, {"role": "assistant", "content": answer}], tokenize=True, return_dict=True
        )["input_ids"]
        rows.append(whole)
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def plan_of(
    recipe: Recipe,
    base: Base,
    train: Sequence[RankedSlate],
    held_out: Sequence[RankedSlate],
    steps: int,
    pictures: Path | None = None,
) -> Plan:
    """The plan of a run on slates that stand in no file, their pictures below a folder."""
    vocabulary = load_vocabulary(base, recipe.base)
    source = Slates("a benchmark", tuple(train))
    _, checks = preflight(source, vocabulary, recipe.data, recipe.dpo.objective, pictures=pictures)
    pairs, split = Split(pairs_of_slates(train), pairs_of_slates(held_out)), Split(tuple(train), tuple(held_out))
    return Plan(recipe, base, vocabulary, split, pairs, steps, checks, pictures=pictures)
