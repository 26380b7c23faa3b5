"""Projects whose answers are known, and an encoder whose vectors are known, for the tests of `annot select`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.project import Project, init_project
from annotation.selection import embedding
from annotation.selection.embedding import Encoder
from annotation.selection.select import select
from annotation.types import Candidate, Prompt

DISHES = ("pozole", "tamales", "mole", "chilaquiles", "birria", "ceviche", "arepas", "asado", "feijoada", "bacalhau")
WAYS = (
    "Para comer {} en esta ciudad, mejor en casa, los domingos, con toda la familia y los vecinos.",
    "Para comer {} en esta ciudad hay que ir al mercado temprano, cuando todavía está caliente.",
    "Si quieres comer {} en la ciudad, encárgalo con dos días de anticipación a una señora.",
    "Saber comer {} en la ciudad se aprende de las abuelas; nadie lo escribe en ninguna parte.",
    "Al comer {} en la ciudad se toma agua de jamaica, nunca refresco, y el café llega al final.",
    "Los jóvenes piden comer {} en la ciudad por teléfono, pero los mayores lo ven casi como pecado.",
)
PORTUGUESE = (
    "Para comer {} na cidade, melhor em casa, aos domingos, com toda a família e os vizinhos.",
    "Para comer {} na cidade vá à feira, bem cedo, quando ainda está quentinho.",
    "Se quiser comer {} na cidade, encomende com dois dias de antecedência a uma senhora.",
    "Quem sabe comer {} na cidade aprendeu com as avós; ninguém escreve isso em lugar nenhum.",
    "Ao comer {} na cidade não se toma refrigerante, e o café só chega no final da conversa.",
)


class WordModel:
    """Vectors from words: every word has a direction of its own. Counts what it was asked for."""

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions
        self.texts: list[str] = []

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Sum the directions of a text's words; shape (len(texts), dimensions)."""
        self.texts += texts
        return np.stack([self._sum(text) for text in texts]).astype(np.float32)

    def _sum(self, text: str) -> NDArray[np.float64]:
        words = re.findall(r"\w+", text.lower()) or [""]
        return np.sum([self._direction(word) for word in words], axis=0)  # type: ignore[no-any-return]

    def _direction(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
        return np.random.default_rng(seed).normal(size=self.dimensions)


def word_encoder(model: WordModel | None = None, identity: str = "words") -> Encoder:
    """A known encoder, through the same door as a real one."""
    found = model or WordModel()
    return Encoder(identity, identity, lambda: found)


def make_project(folder: Path, prompts: int = 12, *, target: int = 10, extra: str = "", slate: int = 4) -> Project:
    """Prompts of three countries, six answers each (five in Portuguese), all of them usable."""
    init_project(folder, name="prueba", countries=["MX", "CO", "BR"], languages=["es", "pt"], target=target)
    settings = folder / "annot.toml"
    text = settings.read_text(encoding="utf-8").replace("# slate = 4 ", f"slate = {slate} ") + extra
    settings.write_text(text, encoding="utf-8")
    project = Project.open(folder)
    for number in range(prompts):
        add_prompt(project, number)
    return project


def add_prompt(project: Project, number: int, answers: list[str] | None = None) -> Prompt:
    """One prompt with its answers; those of one number are always the same."""
    country, dish = ("MX", "CO", "BR")[number % 3], DISHES[number % len(DISHES)]
    language, topic = ("pt", "comida") if country == "BR" else ("es", ("comida", "fiestas")[number % 2])
    question = "Como comer {} na cidade número {}?" if language == "pt" else "¿Cómo comer {} en la ciudad número {}?"
    prompt = Prompt.make(question.format(dish, number), country=country, language=language, topic=topic)
    ways = answers if answers is not None else [way.format(dish) for way in (PORTUGUESE if language == "pt" else WAYS)]
    project.ledger.add_prompts([prompt])
    project.ledger.add_candidates([Candidate.make(prompt.id, way, model="a test") for way in ways])
    return prompt


def select_in(folder: Path) -> None:
    """What another process does: select, with a cache of many small parts, hence many places to be killed at."""
    embedding.PART, embedding.BATCH = 24, 8
    select(Project.open(folder), encoder=word_encoder())
