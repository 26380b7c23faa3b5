"""`annot draft --from FILE`: answers written elsewhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from annotation.drafting.from_file import draft_from_file
from annotation.errors import SourceError
from annotation.money import committed_usd
from annotation.project import Project, init_project
from annotation.rounds import own_candidates
from annotation.types import Candidate, Prompt

MOLE = Prompt.make("¿Qué lleva el mole poblano?", country="MX", language="es", topic="comida")
MATE = Prompt.make("¿Cómo se ceba un buen mate?", country="AR", language="es")
MATE_UY = Prompt.make("¿Cómo se ceba un buen mate?", country="UY", language="es")
FEIJOADA = Prompt.make("Com o que se serve a feijoada?", country="BR", language="pt")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = init_project(tmp_path / "project", name="prueba", countries=["MX"], languages=["es"])
    made.ledger.add_prompts([MOLE, MATE, MATE_UY, FEIJOADA])
    return made


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format that the name asks for."""
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def test_answers_before_any_prompt_are_told_what_comes_first(tmp_path: Path) -> None:
    empty = init_project(tmp_path / "empty", name="prueba", countries=["MX"], languages=["es"])
    path = write(tmp_path, "a.csv", [{"prompt": MOLE.text, "answer": "Chiles, chocolate y mucha paciencia."}])
    with pytest.raises(SourceError, match=r"no prompts yet that .* could answer; run `annot prompts add FILE` first"):
        draft_from_file(empty, path)


def reasons(project: Project, path: Path) -> list[tuple[str, str]]:
    return [(dropped.id, dropped.reason) for dropped in draft_from_file(project, path).dropped]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet"])
def test_every_format_brings_the_same_candidates(project: Project, tmp_path: Path, name: str) -> None:
    rows = [
        {"prompt": MOLE.text, "response": "Chiles, chocolate y mucha paciencia.", "model": "aya", "voice": "abuela"},
        {"prompt": FEIJOADA.text, "response": "Com couve, farofa e laranja.", "model": "aya", "voice": ""},
    ]
    path = write(tmp_path, name, rows)
    brought = draft_from_file(project, path)
    assert (brought.new, brought.known, brought.masked, brought.dropped) == (2, 0, 0, ())
    first, second = project.ledger.candidates()
    assert (first.prompt_id, first.text, first.model, first.voice) == (MOLE.id, rows[0]["response"], "aya", "abuela")
    assert (second.prompt_id, second.text, second.voice) == (FEIJOADA.id, rows[1]["response"], "")
    assert str(first.settings["source"]).startswith(f"{name}:")
    assert own_candidates(project.ledger, {first.id, second.id}) == set()  # a file's are not the aligned model's own
    assert first.cost_usd == committed_usd(project.ledger) == 0
    again = draft_from_file(project, path)
    assert (again.new, again.known) == (0, 2)
    assert len(project.ledger.candidates()) == 2


def test_lists_of_strings_and_of_objects_are_read_and_only_text_voice_and_model_are_taken(
    project: Project, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": MOLE.text, "country": "MX", "candidates": ["Con pollo y ajonjolí.", "Con guajolote."], "model": "m"},
        {
            "prompt_id": FEIJOADA.id,
            "topic": "x",
            "candidates": [
                {"text": "Com arroz branco.", "voice": "avó de Salvador", "model": "n", "fit": 6, "problem": None},
                {"text": "Com pirão.", "fit": 2},
            ],
        },
    ]
    brought = draft_from_file(project, write(tmp_path, "lists.jsonl", rows))
    assert (brought.new, brought.dropped) == (4, ())
    got = {candidate.text: candidate for candidate in project.ledger.candidates()}
    assert got["Con guajolote."].model == "m"
    assert (got["Com arroz branco."].voice, got["Com arroz branco."].model) == ("avó de Salvador", "n")
    assert got["Com pirão."].model == "lists.jsonl"
    assert all(candidate.settings.keys() == {"source"} for candidate in got.values())
    assert len({candidate.settings["source"] for candidate in got.values()}) == 4


def test_a_table_may_hold_a_list_as_json(project: Project, tmp_path: Path) -> None:
    rows = [{"pregunta": MOLE.text, "candidates": json.dumps(["Uno con chile.", "Otro con chocolate."])}]
    assert draft_from_file(project, write(tmp_path, "a.csv", rows)).new == 2


def test_what_cannot_be_placed_is_left_out_with_a_reason(project: Project, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "¿Quién inventó la rueda?", "text": "Nadie lo sabe."},
        {"prompt_id": "0123456789abcdef", "text": "Nadie."},
        {"prompt": "", "text": "Sin pregunta."},
        {"prompt": MATE.text, "text": "Con agua a ochenta grados."},
        {"prompt": MATE.text, "country": "Uruguay", "text": "Con agua a ochenta grados y termo bajo el brazo."},
        {"prompt": MATE.text, "country": "Chile", "text": "Con azúcar."},
        {"prompt": MOLE.text, "text": "   "},
        {"prompt": MOLE.text, "text": None},
        {"prompt": MOLE.text, "text": "Con chile ancho."},
        {"prompt": "  ¿QUÉ lleva  el mole poblano? ", "text": "Con chile ancho."},
        {"prompt": MOLE.text, "text": "a" * 30_000},
        {"prompt": MOLE.text, "candidates": ["Con pan.", 7, {"voice": "nadie"}]},
        {"prompt": MOLE.text, "text": "=HYPERLINK(A1)"},
        {"prompt": MOLE.text, "text": "\u200b"},
    ]
    path = write(tmp_path, "a.jsonl", rows)
    assert reasons(project, path) == [
        ("a.jsonl:1", "unknown prompt"),
        ("a.jsonl:2", "unknown prompt"),
        ("a.jsonl:3", "no prompt"),
        ("a.jsonl:4", "several prompts have this text"),
        ("a.jsonl:6", "unknown prompt"),
        ("a.jsonl:7", "no text"),
        ("a.jsonl:8", "no text"),
        ("a.jsonl:10", "exact duplicate"),
        ("a.jsonl:11", "too long"),
        ("a.jsonl:12#2", "no text"),
        ("a.jsonl:12#3", "no text"),
        ("a.jsonl:13", "formula"),
        ("a.jsonl:14", "empty"),
    ]
    assert {candidate.prompt_id for candidate in project.ledger.candidates()} == {MATE_UY.id, MOLE.id}
    assert len(project.ledger.candidates()) == 3
    assert len(project.ledger.dropped("draft")) == 13


def test_no_address_number_or_user_name_comes_in(project: Project, tmp_path: Path) -> None:
    rows = [
        {
            "prompt": MOLE.text,
            "text": "Escríbeme a lupita.perez@example.com o llama al +52 55 1234 5678, soy @lupita_cocina.",
            "voice": "soy ana_92",
            "username": "ana_92",
        }
    ]
    brought = draft_from_file(project, write(tmp_path, "a.jsonl", rows))
    assert (brought.new, brought.masked) == (1, 4)
    held = (project.folder / "ledger.sqlite").read_bytes() + (project.folder / "ledger.sqlite-wal").read_bytes()
    for secret in ("lupita", "1234", "ana_92"):
        assert secret.encode() not in held


def test_a_prompt_that_was_masked_is_found_by_its_text_as_it_was(project: Project, tmp_path: Path) -> None:
    masked = Prompt.make("¿A quién escribo? ¿A [email]?", country="MX", language="es")
    project.ledger.add_prompts([masked])
    rows = [{"prompt": "¿A quién escribo? ¿A ana@example.com?", "text": "A tu vecina de siempre."}]
    assert draft_from_file(project, write(tmp_path, "a.jsonl", rows)).new == 1
    assert project.ledger.candidates(masked.id)


def test_a_paid_candidate_is_not_touched_by_the_same_text_from_a_file(project: Project, tmp_path: Path) -> None:
    paid = Candidate.make(MOLE.id, "Con chile ancho.", model="command-a-03-2025", voice="abuela", cost_usd=0.01)
    project.ledger.add_candidates([paid])
    brought = draft_from_file(project, write(tmp_path, "a.jsonl", [{"prompt": MOLE.text, "text": "Con chile ancho."}]))
    assert (brought.new, brought.known) == (0, 1)
    assert project.ledger.candidates() == [paid]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "prompt,color\n¿Qué?,rojo\n", r"columns prompt, color.*called answer"),
        ("a.csv", "text,color\nAlgo,rojo\n", r"needs one called prompt .or prompt_id"),
        ("a.jsonl", "{broken\n", "no valid JSON"),
        ("a.docx", "x", "format that annot does not read"),
        ("missing.csv", None, "There is no file"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_sentence(
    project: Project, tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=sentence) as told:
        draft_from_file(project, path)
    assert "\n" not in str(told.value)
    assert project.ledger.candidates() == []
