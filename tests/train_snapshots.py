"""Snapshots whose preference is known, runs on them that all tests share, and processes that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from annotation.files import write_parquet, write_whole
from annotation.project import init_project

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

UNBROKEN = ("run.save_every=1000", "run.eval_every=0")
"""On top of QUICK, for a run that is not cut off: one checkpoint at its end, and held-out slates are not looked at."""

ON_CPU = (
    "device.kind=cpu",
    "device.threads=1",
    "optimiser.name=adamw_torch",
    "optimiser.learning_rate=5e-3",
    "optimiser.max_steps=20",
    "optimiser.epochs=9",
    "optimiser.batch=8",
    "optimiser.accumulate=1",
    "run.save_every=1000",
    "run.eval_every=10",
    "footprint.measure=false",
)
"""What a GPU preset needs to run here on a tiny model; its dtype, quantisation, autocast and dropout stay."""


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


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all workers of a test run share: the first who asks makes it. It is only read; copies are free."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / "shared" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f"{folder.name}.made")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not made.exists():
            make(folder)
            made.touch()
    return folder


def shared_project(factory: pytest.TempPathFactory) -> Path:
    """A project with one snapshot, abc, whose preference is the local word, and a model folder, tiny."""
    from train.data.read import read_slates
    from train.data.split import all_texts
    from train.models.tiny_model import make_tiny_base

    def make(folder: Path) -> None:
        init_project(folder, name="prueba", countries=["MX"], languages=["es"], preset="cpu-smoke")
        source = write_snapshot(folder, "abc", preference_rows(40))
        make_tiny_base(folder / "tiny", all_texts(read_slates(source).slates), seed=1)

    return made_once(factory, "project", make)


def shared_run(factory: pytest.TempPathFactory, preset: str) -> Path:
    """A finished run of a preset on the snapshot of the shared project; cpu-smoke makes its base on the spot."""
    from train.dpo import train

    project = shared_project(factory)
    base = "" if preset == "cpu-smoke" else str(project / "tiny")

    def make(folder: Path) -> None:
        train(folder, project / "snapshots" / "abc", preset=preset, base=base, overrides=ON_CPU, quiet=True)

    return made_once(factory, f"project/runs/{preset}", make)


def train_quietly(folder: Path, source: Path, overrides: tuple[str, ...], preset: str = "cpu-smoke") -> None:
    """What a process of `training_process` does."""
    from train.dpo import train

    train(folder, source, preset=preset, overrides=overrides, quiet=True)


def started(target: Callable[..., object], *args: object) -> BaseProcess:
    """A process that has the libraries loaded already: it can be killed at once."""
    process = training_context().Process(target=target, args=args)
    process.start()
    return process


def training_process(
    folder: Path, source: Path, overrides: tuple[str, ...] = QUICK, preset: str = "cpu-smoke"
) -> BaseProcess:
    """Training in a process of its own."""
    return started(train_quietly, folder, source, overrides, preset)


def train_as(rank: int, world: int, port: int, folder: Path, source: Path, overrides: tuple[str, ...]) -> None:
    """What one of several processes does."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    train_quietly(folder, source, overrides)


def train_until(
    step: int, rank: int, world: int, port: int, folder: Path, source: Path, overrides: tuple[str, ...]
) -> None:
    """What one of several processes does, until it is killed in an update."""
    from train.engine.trainer import SlateTrainer

    learn = SlateTrainer.learn

    def cut(self: Any, update: Any) -> Any:
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(self, update)

    SlateTrainer.learn = cut  # type: ignore[method-assign]
    train_as(rank, world, port, folder, source, overrides)


def training_context() -> ForkServerContext:
    """Processes that have the libraries loaded already. What they run stands here or in finished_runs, and not in a
    module of tests: each process would import that, and all that it imports.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "trl.trainer.utils",
            "trl.kernels",
            "peft",
            "datasets",
            "transformers.models.llama.modeling_llama",
            "matplotlib.figure",
            "matplotlib.backends.backend_agg",
            "train.dpo",
            "train.engine.trainer",
            "train.engine.reference",
            "train_snapshots",
            "finished_runs",
        ]
    )
    return context
