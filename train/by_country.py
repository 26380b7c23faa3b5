"""`annot train --by country`: an adapter for every country that has enough prompts, and one for all.

Each is a run of its own: runs/NAME-MX, runs/NAME-BR, and last runs/NAME, everybody's. They hold out the same prompts,
so that the report of the last one can set them side by side. Its DONE is written when all are done: who waits for it
has all.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from annotation.errors import TrainError, TrainLater
from annotation.files import write_whole
from annotation.screen import Progress, silent
from train.data.regions import region_line
from train.dpo import Run, dry_run, train
from train.report import COUNTRIES
from train.run_folder import Failure, RunLog, as_begun, claimed
from train.settings import Recipe, load_recipe

LOCK = ".countries.lock"
"""Held while any of the runs is trained; the run's own lock is held by its own training."""


def train_by_country(
    folder: Path,
    source: Path,
    *,
    preset: str = "cpu-smoke",
    base: str = "",
    overrides: Sequence[str] = (),
    quiet: bool = False,
    progress: Progress = silent,
) -> Run:
    """Train every country's adapter and then everybody's; the same command goes on with what was cut off.

    Args:
        folder: Of everybody's run; the others stand beside it.
        source: As for `train`.
        preset: As for `train`.
        base: As for `train`.
        overrides: As for `train`; region.country is set here.
        quiet: Keep log.txt and print nothing.
        progress: Told the steps done, of one adapter after the other.

    Returns:
        Everybody's run.

    Raises:
        SettingsError: As for `train`.
        TrainError: As for `train`; one that names the country where its adapter failed.
        TrainLater: As for `train`.
    """
    overrides = [*overrides, *_begun_before(folder, load_recipe(preset, overrides, base=base), overrides)]
    start = functools.partial(train, source=source, preset=preset, base=base, quiet=quiet, progress=progress)
    with Failure(folder), claimed(folder, name=LOCK):
        if not (folder / "DONE").exists():
            (folder / "FAILED").unlink(missing_ok=True)
            plan, *_ = dry_run(source, preset=preset, base=base, overrides=overrides, folder=folder)
            log = RunLog(folder, quiet=quiet)
            for region in plan.regions:
                log(region_line(region))
                if region.skipped:
                    continue
                own = folder.with_name(f"{folder.name}-{region.country}")
                try:
                    start(own, overrides=[*overrides, f'region.country="{region.country}"'])
                except TrainLater:
                    raise
                except TrainError as error:
                    raise TrainError(f"runs/{own.name}: {error}") from None
            facts = {region.country: asdict(region) for region in plan.regions}
            write_whole(folder / COUNTRIES, json.dumps(facts, ensure_ascii=False, indent=2).encode())
        return start(folder, overrides=overrides)


def _begun_before(folder: Path, recipe: Recipe, overrides: Sequence[str]) -> list[str]:
    """Settings of [data] that hold for all runs of a training because its first one was begun with them."""
    runs = [folder, *sorted(folder.parent.glob(f"{folder.name}-[A-Z][A-Z]"))]
    first = next((run for run in runs if (run / "run.json").exists()), folder)
    data = as_begun(recipe, first, overrides).data
    changed = {name: value for name, value in data if value != getattr(recipe.data, name)}
    return [f"data.{name}={json.dumps(value)}" for name, value in changed.items()]
