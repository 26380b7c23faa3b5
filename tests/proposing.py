"""A stand-in for Cohere that proposes prompts, and projects that miss some."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from cohere_server import Answer, say
from projects import make_project
from select_project import word_encoder

from annotation.drafting.prices import OURS
from annotation.drafting.workers import Patience
from annotation.extending.draft import Wish, draft_prompts, plan_draft
from annotation.extending.take_in import TakenIn, take_in
from annotation.project import Project
from annotation.types import Prompt

SETTINGS = """
[project]
countries = ["MX", "PE"]
languages = ["es"]
[prompts]
register_share = {share}
[task.ranking]
target = {target}
[task.prompt_check]
overlap = 2
accepts = 1
[draft]
models = ["command-r7b-12-2024"]
key = "production"
budget_usd = 5
candidates = 4
"""
FAST = OURS.read_text(encoding="utf-8").replace("per_minute = 500", "per_minute = 60000")
WORDS = (
    *("abuela", "albañil", "barrio", "bautizo", "boda", "calabaza", "camión", "canasta", "carnaval", "cempasúchil"),
    *("compadre", "costurera", "cuaresma", "danza", "domingo", "escuela", "feria", "fogata", "fonda", "gallina"),
    *("guitarra", "herencia", "hormiga", "huerta", "iglesia", "jarana", "lluvia", "madrina", "maíz", "mercado"),
    *("mole", "molino", "mudanza", "nopal", "novena", "olla", "padrino", "pan", "patio", "peregrino"),
)


def sentence(seed: str, address: str = "") -> str:
    """A question, the same for the same seed, that hardly shares words with others."""
    found = random.Random(seed).sample(WORDS, 6)
    return f"¿Qué hay que saber {address and f'según {address} '}de {' '.join(found[:3])} cuando {' '.join(found[3:])}?"


def propose(body: dict[str, Any], _: int = 0) -> Answer:
    """Proper proposals: as many new questions as are asked for, or a rewriting of every numbered one."""
    system, text = (message["content"] for message in body["messages"])
    word = re.search(r'uses the word "(\w+)"', system)
    if asked := re.search(r"Write (\d+) new questions", text):
        numbers = range(1, int(asked[1]) + 1)
        found = [{"text": sentence(f"{text}{n}", word[1] if word else ""), "presumes": False} for n in numbers]
    else:
        olds = re.findall(r"(?m)^(\d+)\. (.*)$", text)
        found = [{"number": int(n), "text": f"{old[:-1]} en Lima?", "presumes": False} for n, old in olds]
    return Answer(say(body, json.dumps({"prompts": found}, ensure_ascii=False)))


def thin_project(folder: Path, *, mx: int = 4, pe: int = 2, target: int = 10, share: float = 0.0) -> Project:
    """Two countries that owe `target` slates each, and have a few prompts of one topic."""
    project = make_project(folder, SETTINGS.format(target=target, share=share))
    (folder / "prices.toml").write_text(FAST, encoding="utf-8")
    project.ledger.add_prompts(
        Prompt.make(sentence(f"{country}{n}"), country=country, language="es", topic="fiestas", source=f"a.csv:{n}")
        for country, many in (("MX", mx), ("PE", pe))
        for n in range(many)
    )
    return project


def run(project: Project, wish: Wish | None = None) -> TakenIn:
    """What `annot prompts draft` does, with an encoder of known vectors."""
    encoder = word_encoder()
    before = take_in(project, encoder)
    plan = plan_draft(project, wish or Wish(), encoder)
    if not plan.questions:
        return before
    after = draft_prompts(project, plan, encoder, patience=Patience(attempts=1))
    return TakenIn((*before.kept, *after.kept), (*before.dropped, *after.dropped))


def run_in(folder: Path) -> None:
    """The same, in a process of its own."""
    run(Project.open(folder))
