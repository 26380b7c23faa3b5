"""A project with three measured runs, as a paper tells of them, and with texts that would break one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finished_runs import finished_run, ranked_slates

from train.evaluate.run import evaluate
from train.run_folder import write_rows

HOSTILE = (
    "fútbol & música_100% #1 ~ ^{}",
    r"\end{document}\input{/etc/passwd} $x$",
    "comida 🍲 日本 [@dpo] **a `b** c`",
    "*[x] -- ``q'' <b>&</b> | g̃uarani ñe'ẽ",
)
"""Topics that people could have typed."""

RUNS = (("first", 0.2, ()), ("second_b", 0.4, ("dpo.beta=0.3",)), ("third", 0.8, ("dpo.objective=pairwise",)))
"""Name, strength of the random adapter, what differs."""


def snapshot_facts() -> dict[str, Any]:
    """What a run knows of its snapshot."""
    agreement = {
        "MX": {"alpha": 0.412, "low": 0.301, "high": 0.519, "items": 14},
        "BR": {"alpha": 0.377, "low": None, "high": None, "items": 13},
        "AR": {"reason": "fewer than two people"},
    }
    ranking = {
        "items": 48,
        "answered": 40,
        "answers": 120,
        "overlap": 3,
        "answers_by_country": {"AR": 39, "BR": 39, "MX": 42},
        "people_by_country": {"AR": 2, "BR": 5, "MX": 7},
        "agreement": agreement,
    }
    models = [{"model": "command-a-03-2025", "on_slates": 97}, {"model": "command_r7b & co", "on_slates": 63}]
    return {
        "id": "73a6b35a",
        "task": "ranking",
        "settings": {
            "select": {
                "encoder": "package:mini_lm",
                "slate": 4,
                "min_chars": 20,
                "off_topic": 0.31,
                "near_duplicate": 0.93,
            },
            "task": {"ranking": {"min_votes": 2, "min_margin": 0.25}},
            "release": {"consent": "On 3 May people were told that 100% of it is published."},
        },
        "data": {
            "tasks": {"ranking": ranking},
            "people": {"people": 14, "countries": 3, "people_by_country": {"AR": 2, "BR": 5, "MX": 7}},
            "simulated": 0,
            "prompts": {"topics": {topic: 9 - place for place, topic in enumerate(HOSTILE)}},
            "candidates": {"models": models, "usd": 12.345},
            "left_out": {"withdrawn": 1, "removed_prompts": 2},
        },
    }


def told_run(folder: Path, strength: float, overrides: tuple[str, ...] = (), *, on: str = "ranking") -> Path:
    """A finished run with all files that a paper reads, measured on what `on` names."""
    quick = ("evaluation.prompts=3", "evaluation.max_new_tokens=4", "evaluation.batch=8", "evaluation.gate_prompts=3")
    run = finished_run(folder, ranked_slates(18), strength, overrides=(*quick, *overrides))
    counts = {"kept": 40, "prompts": 38, "answers": 160, "rankings": 120, "comparisons": 201, "ties": 17}
    preflight = {
        **counts,
        "countries": {"AR": 13, "BR": 13, "MX": 14},
        "dropped": {"all answers tied": 3},
        "length": {"longer": 0.535, "tau": 0.12, "r": 0.02},
    }
    energy = {"kwh": 0.42, "kg_co2e": 0.0183, "seconds": 5123.4, "grid": "Mexico", "hardware": "AMD_EPYC & NVIDIA L40S"}
    files = {"snapshot.json": snapshot_facts(), "preflight.json": preflight, "energy.json": {"2026-01-01": energy}}
    for name, content in files.items():
        (run / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    facts = json.loads((run / "run.json").read_text())
    more = {
        "source": "snapshot 73a6b35a",
        "snapshot": "73a6b35a",
        "train_slates": 32,
        "rounds": {"1": 21, "2": 11},
        "steps": 20,
        "device": "CPU, 1 thread",
        "begun_at": f"2026-01-0{len(run.name) % 9 + 1}T00:00:00",
        "versions": {"torch": "2.9.1", "peft": "0.18.0"},
        "base_licence": "apache-2.0",
    }
    (run / "run.json").write_text(json.dumps({**facts, **more}))
    rows = [{"step": step, "loss": 2 - step / 20, "rewards/accuracies": 0.5 + step / 50} for step in (5, 10, 15, 20)]
    write_rows(run / "metrics.jsonl", rows)
    if on:
        evaluate(run, on=on.split(), say=lambda _line: None)
    return run


def told_project(home: Path) -> Path:
    """Three measured runs, none of which passed its gate."""
    for name, strength, overrides in RUNS:
        told_run(home / "runs" / name, strength, overrides, on="ranking writing" if name == "second_b" else "ranking")
    return home
