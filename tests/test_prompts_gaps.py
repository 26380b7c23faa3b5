"""Thin groups of prompts against the quotas, and the register of a question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import annot, make_project

from annotation.extending.gaps import Cell, find_gaps
from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.proposed import Proposal
from annotation.prompts.review import add_checks, visitors_source
from annotation.tasks.ranking.slates import add_slates
from annotation.text.register import COLLOQUIAL, FORMAL, register_of
from annotation.types import Candidate, Person, Prompt, Slate

HEAD = '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n[prompts]\nregister_share = {}\n[task.ranking]\n'
USTED, NOBODY = "¿Me puede decir usted qué se lleva a la fiesta {}?", "¿Qué se lleva a la fiesta {}?"


def add(
    project: Project, number: int, topic: str = "fiestas", *, country: str = "MX", text: str = NOBODY, source: str = ""
) -> list[Prompt]:
    language = "pt" if country == "BR" else "es"
    made = [
        Prompt.make(text.format(f"{topic} {n}"), country=country, language=language, topic=topic, source=source)
        for n in range(number)
    ]
    project.ledger.add_prompts(made)
    return made


def missing(project: Project) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Country, topic and register -> owed and missing, in the order that is shown."""
    cells = find_gaps(project).cells
    return {(cell.country, cell.topic, cell.register): (cell.owed, cell.missing) for cell in cells}


def test_a_country_s_quota_is_spread_over_its_topics_and_the_most_missing_comes_first(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", HEAD.format(0) + "target = 7\n")
    add(project, 5, "fiestas")
    add(project, 1, "comida")
    add(project, 9, "comida", country="BR")
    # Brazil's only topic owes all of it; Mexico's 7 are 4 and 3.
    assert missing(project) == {
        ("MX", "comida", ""): (3, 2),
        ("BR", "comida", ""): (7, 0),
        ("MX", "fiestas", ""): (4, 0),
    }
    assert next(iter(missing(project))) == ("MX", "comida", "")
    assert find_gaps(project).missing == 2


def test_a_topic_with_a_quota_of_its_own_owes_that_and_the_others_share_the_rest(tmp_path: Path) -> None:
    named = '[[task.ranking.group]]\ncountry = "MX"\ntopic = "comida"\ntarget = 4\n'
    project = make_project(tmp_path / "p", HEAD.format(0) + f"target = 10\n{named}")
    for topic in ("fiestas", "comida", "trabajo"):
        add(project, 1, topic)
    found = missing(project)
    assert {topic: owed for (country, topic, _), (owed, _) in found.items() if country == "MX"} == {
        "comida": 4,
        "fiestas": 3,
        "trabajo": 3,
    }


def test_a_country_without_prompts_owes_what_others_are_about(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", HEAD.format(0) + "target = 4\n")
    assert missing(project) == {("BR", "general", ""): (4, 4), ("MX", "general", ""): (4, 4)}
    add(project, 1, "fiestas")
    (cell,) = (cell for cell in find_gaps(project).cells if cell.country == "BR")
    assert cell == Cell("BR", "pt", "fiestas", "", 4)


def test_registers_owe_a_share_of_their_topic_and_what_they_miss_is_part_of_what_it_misses(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", HEAD.format(0.25) + "target = 8\n")
    add(project, 7)
    add(project, 1, text=USTED)
    gaps = find_gaps(project)
    assert missing(project) == {
        ("BR", "fiestas", ""): (8, 8),
        ("BR", "fiestas", COLLOQUIAL): (2, 2),
        ("BR", "fiestas", FORMAL): (2, 2),
        ("MX", "fiestas", COLLOQUIAL): (2, 2),
        ("MX", "fiestas", FORMAL): (2, 1),
        ("MX", "fiestas", ""): (8, 0),
    }
    assert {(cell.country, cell.register): number for cell, number in gaps.wanted()} == {
        ("BR", ""): 4,
        ("BR", COLLOQUIAL): 2,
        ("BR", FORMAL): 2,
        ("MX", COLLOQUIAL): 2,
        ("MX", FORMAL): 1,
    }
    assert (gaps.missing, gaps.untold, gaps.prompts) == (11, 7, 8)


def test_where_registers_cannot_be_told_none_is_owed(tmp_path: Path) -> None:
    head = HEAD.format(0.25).replace('"es", "pt"', '"qu"').replace('"MX", "BR"', '"PE"')
    gaps = find_gaps(make_project(tmp_path / "p", head + "target = 8\n"))
    assert [(cell.language, cell.register, cell.owed) for cell in gaps.cells] == [("qu", "", 8)]
    assert gaps.blind == ("qu",)


def test_what_people_have_not_accepted_waits_and_what_they_rejected_counts_for_nothing(tmp_path: Path) -> None:
    settings = "[task.prompt_check]\noverlap = 1\naccepts = 1\n[select]\nslate = 2\n"
    project = make_project(tmp_path / "p", HEAD.format(0) + f"target = 20\n{settings}")
    ledger = project.ledger
    slated, *_ = add(project, 3)
    answers = [Candidate.make(slated.id, text, model="a file") for text in ("una", "otra")]
    ledger.add_candidates(answers)
    add_slates(ledger, [Slate("s", slated.id, tuple(a.id for a in answers), 0)])
    model = add(project, 4, text="¿Qué música hay en {}?", source=Proposal("command-a-03-2025", "0" * 16).source)
    add(project, 2, text="¿Quién paga {}?", source=visitors_source("demo/votes"))
    add_checks(ledger)
    ledger.add_people([Person("mx_1", "", "annotator", "MX", ("es",))])
    items = {item.prompt_id: item.id for item in ledger.items("prompt_check")}
    ledger.add_responses(
        "test",
        [
            Response(f"r{n}", items[prompt.id], "mx_1", "MX", "submitted", "2026-01-01T00:00:00", json.dumps(raw))
            for n, (prompt, verdict) in enumerate(zip(model, ("knowledge", "stereotype"), strict=False))
            for raw in [{"id": f"r{n}", "status": "submitted", "values": {"verdict": {"value": verdict}}}]
        ],
    )
    (cell,) = (cell for cell in find_gaps(project).cells if cell.country == "MX")
    assert (cell.slates, cell.ready, cell.to_check, cell.rejected, cell.missing) == (1, 3, 4, 1, 12)


def test_the_command_shows_the_table_and_one_json_object(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", HEAD.format(0.25) + "target = 8\n")
    add(project, 3)
    shown = annot(project, "prompts", "gaps")
    assert "13 prompts are missing" in shown
    assert "3 of 3 prompts address nobody" in shown
    assert "Next: annot prompts draft --dry-run" in shown
    told = json.loads(annot(project, "prompts", "gaps", "--json"))
    assert told["missing"] == 13
    assert told["cells"][0] == {
        "country": "BR",
        "language": "pt",
        "topic": "fiestas",
        "register": "",
        "owed": 8,
        "slates": 0,
        "ready": 0,
        "to_check": 0,
        "rejected": 0,
        "stuck": 0,
        "missing": 8,
    }
    assert told["worth"] == []


@pytest.mark.parametrize(
    ("country", "text", "register"),
    [
        ("MX", "¿Me podría decir usted cómo llego al Zócalo?", FORMAL),
        ("MX", "Dígame qué llevo a una posada.", FORMAL),
        ("MX", "¿Tú qué llevarías a una posada?", COLLOQUIAL),
        ("MX", "¿Qué le regalarías a tu suegra?", COLLOQUIAL),
        ("AR", "Che, ¿vos qué pensás del asado con chimichurri?", COLLOQUIAL),
        ("AR", "¿Me podés contar cómo se ceba un mate?", COLLOQUIAL),
        ("MX", "¿Qué se come el Día de Muertos?", ""),
        ("MX", "¿A mi jefe lo trato de usted?", ""),
        ("MX", 'Mi abuela me pide que le diga "usted". ¿Por qué?', ""),
        ("MX", "¿Usted cree que a tu edad se baila?", ""),
        ("MX", "¿Ustedes qué comen en Navidad?", ""),
        ("ES", "¿Ustedes qué comen en Navidad?", FORMAL),
        ("ES", "¿Vosotros qué coméis en Navidad?", COLLOQUIAL),
        ("MX", "La virtud del té verde y los tubos", ""),
    ],
)
def test_the_register_of_a_spanish_question(country: str, text: str, register: str) -> None:
    assert register_of(text, "es", country) == register


@pytest.mark.parametrize(
    ("country", "text", "register"),
    [
        ("BR", "O senhor sabe onde fica a feira?", FORMAL),
        ("BR", "Você sabe onde fica a feira?", COLLOQUIAL),
        ("PT", "Você sabe onde fica a feira?", FORMAL),
        ("PT", "Tu sabes onde fica a feira?", COLLOQUIAL),
        ("BR", "A senhora que vende ervas abre cedo?", ""),
        ("PT", "Trato os chefes por você ou por doutor?", ""),
        ("BR", "Onde fica a feira de domingo?", ""),
    ],
)
def test_the_register_of_a_portuguese_question(country: str, text: str, register: str) -> None:
    assert register_of(text, "pt", country) == register


def test_no_register_is_told_in_another_language() -> None:
    assert register_of("usted você tú", "gl", "ES") == ""
