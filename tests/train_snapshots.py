"""Snapshots whose preference is known, and processes that train on them and can be killed."""

from __future__ import annotations

import json
import multiprocessing
import random
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from annotation.project import write_parquet, write_whole

WORDS = {"AR": ("laburo", "curro"), "BR": ("ônibus", "autocarro"), "MX": ("chamba", "curro")}
"""Country -> the word of the place, which people there prefer, and a word from elsewhere."""
REST = ("la gente", "por la mañana", "con calma", "en familia", "cada día", "los domingos", "sin prisa")

QUICK = (
    "optimiser.max_steps=16",
    "optimiser.batch=4",
    "run.log_every=1",
    "run.save_every=2",
    "run.eval_every=8",
    "lora.dropout=0.1",
    "lora.rank=2",
    "footprint.measure=false",
)
"""Overrides of cpu-smoke for a run of a second, with dropout: what is random must come back after a crash too."""


def preference_rows(prompts: int, *, seed: int = 0, per_prompt: int = 2) -> list[dict[str, Any]]:
    """Rows of preferences.parquet in which the local word decides, and nothing else differs on average."""
    chance = random.Random(seed)
    rows = []
    for number in range(prompts):
        country = sorted(WORDS)[number % len(WORDS)]
        local, foreign = WORDS[country]
        question = f"¿Cómo se vive el asunto {chance.randint(1000, 9999)} en el barrio {number}?"
        for pair in range(per_prompt):
            good, bad = (" ".join(chance.choices(REST, k=5)) for _ in range(2))
            rows.append(
                {
                    "slate_id": f"slate{number}",
                    "prompt_id": f"prompt{number}",
                    "system": "Responde como alguien del lugar." if number % 2 else "",
                    "prompt": question,
                    "chosen": f"Aquí {local}: {good}",
                    "rejected": f"Aquí {foreign}: {bad}",
                    "chosen_id": f"c{number}{pair}",
                    "rejected_id": f"r{number}{pair}",
                    "country": country,
                    "language": "pt" if country == "BR" else "es",
                    "topic": "general",
                    "votes_for": 3,
                    "votes_against": pair,
                    "ties": 1,
                    "annotators": ["annotator-1", "annotator-2"],
                    "agreement": None if pair else 0.5,
                }
            )
    return rows


def ranking_rows(preferences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of rankings.parquet of which the votes of the preferences are the count: one person per vote."""
    seats: dict[str, dict[str, str]] = {}
    for row in preferences:
        seats.setdefault(row["slate_id"], {}).update(
            {row["chosen_id"]: row["chosen"], row["rejected_id"]: row["rejected"]}
        )
    rows = []
    for row in preferences:
        orders = [(1, 2)] * row["votes_for"] + [(2, 1)] * row["votes_against"] + [(1, 1)] * row["ties"]
        names = sorted(seats[row["slate_id"]])
        for better, worse in orders:
            place = {row["chosen_id"]: better, row["rejected_id"]: worse}
            rows.append(
                {
                    **{
                        name: row[name]
                        for name in ("slate_id", "prompt_id", "system", "prompt", "country", "language", "topic")
                    },
                    "annotator": f"annotator-{len(rows)}",
                    "candidate_ids": names,
                    "candidates": [seats[row["slate_id"]][name] for name in names],
                    "ranks": [place.get(name) for name in names],
                    "problems": [],
                    "none_acceptable": False,
                    "rewrite": "",
                }
            )
    return rows


def write_snapshot(
    project: Path,
    name: str,
    rows: list[dict[str, Any]],
    *,
    rankings: list[dict[str, Any]] | None = None,
    made_at: str = "2026-01-01T00:00:00",
) -> Path:
    """A snapshot folder as `annot sync` leaves it; snapshot.json last. Rankings are made up for the preferences."""
    folder = project / "snapshots" / name
    rankings = ranking_rows(rows) if rankings is None else rankings
    write_parquet(folder / "preferences.parquet", rows)
    write_parquet(folder / "rankings.parquet", rankings)
    facts = {"id": name, "made_at": made_at, "rankings": len(rankings), "preferences": len(rows)}
    write_whole(folder / "snapshot.json", json.dumps(facts).encode())
    return folder


def train_quietly(folder: Path, source: Path, preset: str, base: str, overrides: tuple[str, ...]) -> None:
    """What a process of `training_process` does."""
    from train.dpo import train

    train(folder, source, preset=preset, base=base, overrides=overrides, quiet=True)


def training_process(
    folder: Path, source: Path, *, preset: str = "cpu-smoke", base: str = "", overrides: tuple[str, ...] = QUICK
) -> BaseProcess:
    """Start training in a process of its own that has the libraries loaded already: it can be killed at once."""
    process = training_context().Process(target=train_quietly, args=(folder, source, preset, base, overrides))
    process.start()
    return process


def load_libraries() -> None:
    """Wait until a training process would have its libraries at once."""
    process = training_context().Process(target=len, args=("",))
    process.start()
    process.join()


def training_context() -> ForkServerContext:
    """Processes that have the libraries loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "trl.trainer.dpo_trainer",
            "peft",
            "datasets",
            "matplotlib.figure",
            "train.dpo",
            "train.trainer",
            "train_snapshots",
        ]
    )
    return context
