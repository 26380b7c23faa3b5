"""Preferences in, adapter out: LoRA DPO with TRL, to be read from top to bottom.

`train` is the whole recipe. What it decides stands in a preset (presets/*.toml), what it meets in the run's folder
(run_folder.py). Running the same command again goes on from the newest whole checkpoint, or does nothing when done.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.files import write_whole
from annotation.images.store import link_pictures
from annotation.ledger_file import now
from annotation.screen import Progress, silent
from annotation.types import content_id
from train.data.held_back import sentences_beside
from train.data.plan import Plan, make_plan
from train.data.rounds import count_rounds
from train.data.rows import read_rows, source_digest
from train.engine import distributed
from train.engine.adapter import check_float32, check_targets, gathered_weights, save_adapter
from train.engine.build import slate_trainer
from train.engine.callbacks import kept_metrics, log_at_the_end, run_callback, show_no_logs_twice
from train.engine.divergence import why_diverged
from train.engine.estimate import Estimate, estimate
from train.engine.memory import check_device
from train.engine.trl_dpo import pair_trainer
from train.evaluate.model import AdaptedModel, Batches
from train.evaluate.ranking import HeldOutRanking
from train.evaluate.ranking_summary import Group, accuracy_json, accuracy_sentence, rank_groups
from train.footprint import measure_energy
from train.libraries import deterministic, quiet_libraries
from train.models.base import load_model
from train.models.content import check_content, content_of
from train.report import Outcome, draw_plots, write_report
from train.run_folder import (
    WEIGHTS,
    Failure,
    NullLog,
    RunLog,
    adapter_digests,
    as_begun,
    begun_with,
    check_adapter,
    check_held_out,
    check_same,
    claimed,
    finished_run,
    newest_checkpoint,
    read_done,
    write_if_new,
    write_rows,
)
from train.settings import Recipe, load_recipe

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "tokenizers", "datasets", "numpy")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Where everything is.
        already: It was finished before, and nothing was done now.
        done: What DONE says.
    """

    folder: Path
    already: bool
    done: Mapping[str, Any]


def train(
    folder: Path,
    source: Path,
    *,
    preset: str = "cpu-smoke",
    base: str = "",
    overrides: Sequence[str] = (),
    quiet: bool = False,
    progress: Progress = silent,
) -> Run:
    """Train an adapter on preferences, measure it, and leave a run folder that explains itself.

    Args:
        folder: The run's folder, made when missing. One that was begun is gone on with.
        source: A snapshot folder, a file with judgements, or owner/name of a dataset on the Hub.
        preset: Name of a preset.
        base: A model folder, Hub id or package:NAME in place of the preset's; empty keeps it.
        overrides: "section.key=value" on top of the preset.
        quiet: Keep log.txt and print nothing.
        progress: Told the steps done.

    Raises:
        SettingsError: There is no such preset or key, or a value is impossible.
        TrainError: The data, the base or the machine will not do; FAILED says so too.
        TrainLater: The run is being trained by another process, or the Hub cannot be reached.
    """
    if not distributed.is_first():
        return run_worker(folder, source, as_begun(load_recipe(preset, overrides, base=base), folder, overrides))
    with Failure(folder):
        # Settings and source, before anything heavy is loaded.
        recipe = as_begun(load_recipe(preset, overrides, base=base), folder, overrides)
        facts = {
            "source": "snapshot " + source.name if source.is_dir() else source.name,
            "snapshot": source.name if source.is_dir() else None,
            "digest": source_digest(source),
            "preset": preset,
            "recipe": recipe.model_dump(mode="json"),
        }
        with claimed(folder):
            log = RunLog(folder, quiet=quiet, progress=progress)
            check_same(folder, facts)
            if (folder / "DONE").exists():
                return already_finished(recipe, log)
            (folder / "FAILED").unlink(missing_ok=True)
            if begun_with(folder) is None:
                # A base that was made for other judgements, of a run that was refused before it began.
                shutil.rmtree(folder / "base", ignore_errors=True)
            return run_to_the_end(source, facts, recipe, log)


def run_to_the_end(source: Path, facts: Mapping[str, Any], recipe: Recipe, log: RunLog) -> Run:
    """Plan, train, measure and report, each unless an earlier process has done it."""
    began, folder = time.monotonic(), log.folder
    with quiet_libraries(folder / "libraries.log"):
        # The machine, the base and the rows; nothing is trained on rows that were not looked at.
        device = check_device(recipe, facts["preset"])
        plan = make_plan(recipe, source, folder, sentences=sentences_beside(folder), progress=log.progress)
        begin(facts, plan, device, log, source)
        distributed.init_distributed(recipe.device)
        with deterministic(recipe), measure_energy(folder, recipe.footprint) as keep_energy:
            # The adapter, unless an earlier process finished it and was cut off before the report.
            adapter, resumed = folder / "adapter", 0
            if adapter.exists():
                check_adapter(adapter, f"remove the folder {adapter} and run the same command again")
            if distributed.broadcast(not adapter.exists()):
                with distributed.lost_process_may_return():
                    resumed = train_adapter(plan, log, keep_energy)
            # What it is worth: the adapter as it lies on disk, on a base loaded afresh.
            groups = measure(plan, log)
    draw_plots(folder)
    diverged = why_diverged(read_rows(folder / "metrics.jsonl"), recipe)
    outcome = Outcome(groups, diverged, resumed, time.monotonic() - began)
    write_report(folder, plan.checks, outcome)
    return finish(plan, outcome, log)


def already_finished(recipe: Recipe, log: RunLog) -> Run:
    """A run that an earlier process finished: checked and shown, and nothing done."""
    finished_run(log.folder)
    done = read_done(log.folder, ("finished_at", "summary"))
    log.show(f"{log.folder.name} is finished ({done['finished_at'][:19]} UTC): {done['summary']}.")
    if done.get("diverged"):
        log.show(f"WARNING: {done['diverged']}")
    distributed.init_distributed(recipe.device)
    distributed.broadcast(False)
    return Run(log.folder, True, done)


def run_worker(folder: Path, source: Path, recipe: Recipe) -> Run:
    """Train along with the first process, and write nothing: what every other process does."""
    distributed.init_distributed(recipe.device)
    if distributed.broadcast(None):
        with quiet_libraries(None):
            plan = make_plan(recipe, source, folder)
            with deterministic(recipe), distributed.lost_process_may_return():
                train_adapter(plan, NullLog(folder), lambda: None)
    return Run(folder, True, {})


def dry_run(
    source: Path,
    *,
    preset: str = "cpu-smoke",
    base: str = "",
    overrides: Sequence[str] = (),
    dollars_per_hour: float = 0.0,
    folder: Path | None = None,
) -> tuple[Plan, str, Estimate]:
    """Do all that comes before the weights, and write nothing; `folder` would be the run's, where it has a project.

    Returns:
        The plan; the device, or one sentence that says why this machine cannot run it; and what the run will need.

    Raises:
        SettingsError: There is no such preset or key, or a value is impossible.
        TrainError: The data or the base will not do.
        TrainLater: The Hub cannot be reached.
    """
    recipe = load_recipe(preset, overrides, base=base)
    sentences = sentences_beside(folder) if folder else ()
    with tempfile.TemporaryDirectory(prefix="annot-dry-run-") as home, quiet_libraries(None):
        plan = make_plan(recipe, source, Path(home), weights=False, sentences=sentences)
        needed = estimate(plan, dollars_per_hour)
        try:
            return plan, check_device(recipe, preset), needed
        except TrainError as error:
            return plan, str(error), needed


def begin(facts: Mapping[str, Any], plan: Plan, device: str, log: RunLog, source: Path) -> None:
    """Write run.json, the facts of the snapshot and the rows, and say what is about to happen."""
    from importlib.metadata import version

    folder = log.folder
    pictures = sorted({slate.image for side in (plan.slates.train, plan.slates.held_out) for slate in side} - {""})
    base = {
        **({"pictures": content_id(*pictures)} if pictures else {}),
        "base": plan.base.name,
        "base_version": plan.base.version,
        "base_is_tiny_and_random": plan.base.tiny,
        "base_note": plan.base.shown,
    }
    begun = begun_with(folder)
    if begun:
        check_same(folder, base)
        check_content(plan.base, plan.recipe.base, begun)
        check_held_out(folder, [slate.id for slate in plan.slates.held_out])
    else:
        facts = {
            "run": folder.name,
            **facts,
            **base,
            "base_licence": plan.base.licence,
            "base_files": content_of(plan.base, plan.recipe.base),
            "seed": plan.recipe.run.seed,
            "steps": plan.steps,
            "train_rows": len(plan.pairs.train),
            "train_slates": len(plan.slates.train),
            **({"rounds": told} if len(told := count_rounds(plan.slates.train)) > 1 else {}),
            "held_out_pairs": len(plan.pairs.held_out),
            "device": device,
            "versions": {"python": sys.version.split()[0], **{name: version(name) for name in LIBRARIES}},
            "begun_at": now(),
        }
        write_whole(folder / "run.json", json.dumps(facts, ensure_ascii=False, indent=2).encode())
    if source.is_dir():  # who makes a card of the run may not have the project
        write_if_new(folder / "snapshot.json", (source / "snapshot.json").read_bytes())
    if plan.pictures and plan.pictures != folder:  # the run is evaluated and released without the project
        link_pictures(pictures, plan.pictures, folder)
    write_rows(folder / "train.jsonl", [pair.row() for pair in plan.pairs.train])
    write_rows(folder / "held_out.jsonl", [pair.row() for pair in plan.pairs.held_out])
    write_rows(folder / "slates.jsonl", [slate.row() for slate in plan.slates.train])
    write_rows(folder / "held_out_slates.jsonl", [slate.row() for slate in plan.slates.held_out])
    write_rows(folder / "dropped.jsonl", plan.checks.dropped_rows())
    write_if_new(folder / "preflight.json", json.dumps(plan.checks.as_json(), ensure_ascii=False, indent=2).encode())
    if begun:
        log(f"{folder.name} was cut off; going on.")
        return
    for line in plan.lines(device):
        log(line)


def train_adapter(plan: Plan, log: RunLog, keep_energy: Callable[[], None]) -> int:
    """Train, from the newest whole checkpoint if there is one, and write the adapter whole.

    Returns:
        The step from which it went on; 0 from the start.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import set_seed

    folder, recipe, first = log.folder, plan.recipe, distributed.is_first()
    model = load_model(plan.base, recipe.base, recipe.device)
    check_targets(model, recipe)
    callbacks = [log_at_the_end()]
    if first:
        callbacks.append(run_callback(plan, log, keep_energy))
    trainer = (pair_trainer if plan.by_trl else slate_trainer)(plan, model, log, callbacks)
    show_no_logs_twice(trainer)

    checkpoint = distributed.broadcast(newest_checkpoint(folder) if first else None)
    resumed = 0
    lines: list[dict[str, Any]] = []
    if checkpoint:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        resumed, lines = int(state["global_step"]), [kept_metrics(line) for line in state["log_history"]]
        log(f"going on from step {resumed} of {plan.steps}")
    if first:
        write_rows(folder / "metrics.jsonl", [line for line in lines if line])
    if checkpoint and resumed >= plan.steps:
        # Cut off between the last step and the adapter. The trainer would take one step too many before it stops.
        set_peft_model_state_dict(trainer.model, load_file(checkpoint / "adapter_model.safetensors"))
    else:
        # Reference log-probs that an earlier process left in the cache cost no random numbers; those computed now do.
        set_seed(recipe.run.seed)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    check_float32(trainer.model)
    weights = gathered_weights(trainer)
    if first:
        save_adapter(trainer.model, weights, plan, folder / "adapter")
    return resumed


def measure(plan: Plan, log: RunLog) -> tuple[Group, ...]:
    """Measure how base and adapter, read from disk, rank the held-out slates: as `annot evaluate` does."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model = AdaptedModel(log.folder, plan.recipe, lambda: (plan.base, plan.vocabulary))
    ranking = HeldOutRanking(model, plan.slates.held_out, adapter_digests(log.folder / "adapter")[WEIGHTS])
    scores = ranking.score(Batches(log.folder, log.progress, ranking.count))
    groups = rank_groups(scores, seed=plan.recipe.run.seed)
    log(f"held out: {accuracy_sentence(groups)}")
    return groups


def finish(plan: Plan, outcome: Outcome, log: RunLog) -> Run:
    """Clear what was only there to go on from, and write DONE."""
    folder = log.folder
    for name in ("checkpoints", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    digests = adapter_digests(folder / "adapter")
    facts = begun_with(folder) or {}
    done = {
        "run": folder.name,
        "source": facts["source"],
        "snapshot": facts["snapshot"],
        "base": plan.base.shown,
        "base_is_tiny_and_random": plan.base.tiny,
        "summary": outcome.summary,
        "diverged": outcome.diverged,
        "accuracy": accuracy_json(outcome.groups),
        "adapter_sha256": digests[WEIGHTS],
        "adapter_files": digests,
        "seconds": round(outcome.seconds, 1),
        "begun_at": facts["begun_at"],
        "finished_at": now(),
    }
    if outcome.diverged:
        log(f"WARNING: {outcome.diverged}")
    log(f"done in {outcome.seconds:.0f} s; read {folder / 'report.md'}")
    write_whole(folder / "DONE", json.dumps(done, ensure_ascii=False, indent=2).encode())
    return Run(folder, False, done)
