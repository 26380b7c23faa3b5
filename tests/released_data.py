"""A project with judgements of every kind, names in all places where people type, and a finished run beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from projects import fill, frozen, make_project

from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.prompts.review import add_checks
from annotation.tasks import TASKS
from annotation.tasks.exam.check import Check
from annotation.tasks.exam.item import NAME, item_of
from annotation.tasks.prompt_check.task import Verdict
from annotation.types import Candidate, ExamQuestion, Item, Judgement, Person, Prompt, content_id

SETTINGS = """
[project]
name = "sobremesa"
countries = ["MX", "BR"]
languages = ["es", "pt"]
[release]
data_licence = "cc-by-4.0"
consent = "People were told on 3 May that their answers are published under a pseudonym."
contact = "https://example.org/sobremesa"
"""

PEOPLE = (
    Person("ana.lopez", "Ana López", "annotator", "MX", ("es",)),
    Person("beto_77", "Beto Ruiz Sosa", "annotator", "MX", ("es",)),
    Person("carla.m", "Carla Mora", "annotator", "MX", ("es",)),
    Person("rui.sa", "Rui Sá Lima", "annotator", "BR", ("pt",)),
    Person("otto.k", "Otto Krause", "annotator", "MX", ("es",)),
)

SECRETS = (
    "ana.lopez",
    "López",
    "beto_77",
    "Ruiz Sosa",
    "carla.m",
    "rui.sa",
    "Sá Lima",
    "otto",
    "Krause",
    "example.com",
)
"""What must not leave the project."""

TYPED = "Pregúntale a Ana López (ana.lopez@example.com), o a beto_77, al +52 55 1234 5678."


def answer(project: Project, item: Item, who: str, value: Any, *, moment: str = "2026-01-03T00:00:00.000000") -> None:
    """A submitted response as the server would have told it."""
    country = next(person.country for person in PEOPLE if person.username == who)
    name = f"{item.id}-{who}"
    raw = {"id": name, "status": "submitted", "values": TASKS[item.task].values(item, value), "updated_at": moment}
    project.ledger.add_responses("test", [Response(name, item.id, who, country, "submitted", moment, json.dumps(raw))])


def judged_project(folder: Path) -> Project:
    """Rankings of three Mexicans and one Brazilian, checks of prompts and of exam questions, and a snapshot."""
    project = make_project(folder, SETTINGS)
    ledger = project.ledger
    slates = fill(project, 8, ())
    ledger.add_people(PEOPLE)
    with ledger.transaction() as db:
        db.execute("update prompts set system = 'Sé breve.' where id = ?", (slates[1].prompt_id,))
    brazil = Prompt.make("O que se come <b>na festa</b>?", country="BR", language="pt", source="ana.lopez.csv:3 r3")
    ledger.add_prompts([brazil])
    ledger.add_candidates([Candidate.make(brazil.id, text, model="beto_77.jsonl") for text in "wxyz"])
    for item in ledger.items("ranking"):
        a, b, c, d = item.content["seats"]
        for number, who in enumerate(("ana.lopez", "beto_77", "carla.m", "rui.sa", "otto.k")):
            tiers = ((a,), (b,), (c, d)) if number else ((b,), (a,), (c,), (d,))
            answer(project, item, who, Judgement(tiers, {d: ("stereotype",)}, rewrite=TYPED if number == 1 else ""))
    ledger.decide("otto.k", excluded="Otto Krause (otto@example.com) chose the same order always")
    ledger.decide("carla.m", weight=0.9, auto=True, reason="Carla (carla.m) is new")
    frozen(project)
    change_prompts(project, Which(ids=(slates[0].prompt_id,)), {"removed": True})
    add_checks(ledger)
    for item in ledger.items("prompt_check")[:3]:
        for who in ("ana.lopez", "beto_77", "carla.m"):
            answer(project, item, who, Verdict("preference", TYPED))
    _add_exam(project)
    guidelines = project.folder / "guidelines"
    guidelines.mkdir()
    (guidelines / "MX.md").write_text("# Reglas\n\n" + TYPED + "\n", encoding="utf-8")
    return project


def _add_exam(project: Project) -> None:
    """Two questions that people checked, one of them without a licence, and one that nobody has checked."""
    about = {"level": "Academic", "category": "Geography", "source": "https://example.org/e.pdf", "document": "0" * 64}
    questions = []
    for number, licence in enumerate(("CC BY 4.0", "", "CC BY 4.0")):
        text, options = f"¿Cuál es la capital {number}?", ("N", "S", "E", "O")
        one = ExamQuestion("", text, options, 1, "MX", "es", "Examen 2020", licence=licence, **about)
        questions.append(replace(one, id=content_id(one.question, *one.options, one.country, one.language)))
    items = [item_of(question, place) for place, question in enumerate(questions)]
    project.ledger.add_items(items)
    for item in items[:2]:
        for who in ("ana.lopez", "carla.m"):
            answer(project, item, who, Check("right", feature="culture", comment=TYPED))
    assert len(project.ledger.items(NAME)) == 3


def finished(project: Project, name: str = "first") -> Path:
    """A run on the project's snapshot, as `annot train` leaves one; its adapter is no adapter."""
    run = project.run_folder(name)
    (run / "adapter").mkdir(parents=True)
    snapshot = next((project.folder / "snapshots").glob("*/snapshot.json"))
    (run / "snapshot.json").write_bytes(snapshot.read_bytes())
    config = dict.fromkeys(("peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules"), "")
    files = {"adapter_model.safetensors": b"weights", "adapter_config.json": json.dumps(config).encode()}
    for file, content in files.items():
        (run / "adapter" / file).write_bytes(content)
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    facts = {
        "run": name,
        "recipe": {},
        "digest": "",
        "seed": 0,
        "base": "",
        "base_version": "tiny-1",
        "base_is_tiny_and_random": True,
        "base_note": "",
        "snapshot": snapshot.parent.name,
    }
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (run / "slates.jsonl").write_text('{"language": "es"}\n', encoding="utf-8")
    done = {"adapter_sha256": digests["adapter_model.safetensors"], "adapter_files": digests}
    (run / "DONE").write_text(json.dumps(done), encoding="utf-8")
    return run


def texts_in(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, parquet files row by row."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            rows = path.suffix == ".parquet"
            text = str(pq.read_table(path).to_pylist()) if rows else path.read_bytes().decode(errors="replace")
            yield path.name, text + path.name
