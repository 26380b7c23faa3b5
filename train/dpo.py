"""Preferences in, adapter out: LoRA DPO with TRL, to be read from top to bottom.

`train` is the whole recipe. What it decides stands in a preset (presets/*.toml), what it meets in the run's folder
(run_folder.py). Running the same command again goes on from the newest whole checkpoint, or does nothing when done.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.ledger import now
from annotation.project import write_whole
from annotation.screen import Progress, silent
from train import processes
from train.adapter import check_float32, check_targets, gathered_weights, save_adapter
from train.base import Base, check_device, ends_of_text, find_base, load_model, load_tokenizer, vocabulary_size
from train.callbacks import kept_metrics, log_at_the_end, run_callback, show_no_logs_twice
from train.dataset import Pair, one_row_per_vote, read_rows, source_digest, split_by_prompt, texts
from train.divergence import why_diverged
from train.encoding import Encoded, as_conversations, encode
from train.engine import slate_trainer
from train.footprint import measured
from train.judgements import read_slates
from train.libraries import quiet_libraries, settled_numerics, work_offline
from train.preflight import Preflight, dropped_rows, preflight
from train.rankings import RankedSlate, as_taught
from train.regions import Region, for_region, regions, with_country
from train.report import Outcome, draw_plots, measure_outcome, write_report
from train.run_folder import (
    Failure,
    RunLog,
    Unheard,
    adapter_digests,
    begun_with,
    check_adapter,
    check_same,
    claimed,
    finished_run,
    newest_checkpoint,
    read_done,
    write_if_new,
    write_rows,
)
from train.scores import log_probs
from train.settings import Recipe, load_recipe
from train.stock import pair_trainer

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


@dataclass(frozen=True)
class Plan:
    """What a run would do, known before any weight is loaded.

    Attributes:
        recipe: Settings.
        base: The model.
        tokenizer: Its tokenizer.
        slates: To train on.
        held_out_slates: To measure on.
        train: The rows that TRL's own losses train on: the slates' comparisons, per vote where labels are smoothed.
        held_out: The comparisons of the held-out slates.
        regions: The countries among the slates.
        flight: What was counted.
        steps: Updates of the weights.
    """

    recipe: Recipe
    base: Base
    tokenizer: Any
    slates: tuple[RankedSlate, ...]
    held_out_slates: tuple[RankedSlate, ...]
    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    regions: tuple[Region, ...]
    flight: Preflight
    steps: int


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
        source: A snapshot folder, or a parquet or jsonl file with prompt, chosen and rejected.
        preset: Name of a preset.
        base: A model folder or Hub id in place of the preset's; empty keeps it.
        overrides: "section.key=value" on top of the preset.
        quiet: Keep log.txt and print nothing.
        progress: Told the steps done.

    Raises:
        SettingsError: There is no such preset or key, or a value is impossible.
        TrainError: The data, the base or the machine will not do; FAILED says so too.
        TrainLater: The run is being trained by another process, or the Hub cannot be reached.
    """
    if not processes.is_first():
        return compute_along(folder, source, load_recipe(preset, overrides, base=base))
    with Failure(folder):
        # What is asked, before anything heavy is loaded.
        recipe = load_recipe(preset, overrides, base=base)
        asked = {
            "source": "snapshot " + source.name if source.is_dir() else source.name,
            "snapshot": source.name if source.is_dir() else None,
            "digest": source_digest(source),
            "preset": preset,
            "recipe": recipe.model_dump(mode="json"),
        }
        with claimed(folder):
            log = RunLog(folder, quiet=quiet)
            check_same(folder, asked)
            if (folder / "DONE").exists():
                finished_run(folder)
                done = read_done(folder, ("finished_at", "summary"))
                log.show(f"{folder.name} is finished ({done['finished_at'][:19]} UTC): {done['summary']}.")
                if done.get("diverged"):
                    log.show(f"WARNING: {done['diverged']}")
                processes.meet(recipe.device)
                processes.agreed(False)
                return Run(folder, True, done)
            (folder / "FAILED").unlink(missing_ok=True)
            if begun_with(folder) is None:
                # A base that was made for other judgements, of a run that was refused before it began.
                shutil.rmtree(folder / "base", ignore_errors=True)
            began = time.monotonic()
            with quiet_libraries(folder / "libraries.log"):
                # The machine, the base and the rows; nothing is trained on rows that were not looked at.
                device = check_device(recipe.device, preset)
                plan = make_plan(recipe, source, folder, progress=progress)
                begin(folder, asked, plan, device, log)
                processes.meet(recipe.device)

                with settled_numerics(recipe), measured(folder, recipe.footprint) as keep_footprint:
                    # The adapter, unless an earlier process finished it and was cut off before the report.
                    adapter = folder / "adapter"
                    resumed = 0
                    if adapter.exists():
                        check_adapter(adapter, f"remove the folder {adapter} and run the same command again")
                    if processes.agreed(not adapter.exists()):
                        with processes.together():
                            resumed = train_adapter(folder, plan, adapter, log, progress, keep_footprint)

                    # What it is worth: the adapter as it lies on disk, on a base loaded afresh.
                    outcome = measure(plan, adapter, log, progress)
            draw_plots(folder)
            seconds = time.monotonic() - began
            diverged = why_diverged(read_rows(folder / "metrics.jsonl"), recipe)
            write_report(folder, plan.flight, outcome, diverged, resumed=resumed, seconds=seconds)
            return finish(folder, plan, outcome, diverged, seconds, log)


def compute_along(folder: Path, source: Path, recipe: Recipe) -> Run:
    """What every process but the first does: train with it, and write nothing."""
    processes.meet(recipe.device)
    if processes.agreed(None):
        with quiet_libraries(None):
            plan = make_plan(recipe, source, folder)
            with settled_numerics(recipe), processes.together():
                train_adapter(folder, plan, folder / "adapter", Unheard(folder), silent, lambda: None)
    return Run(folder, True, {})


def rehearse(
    source: Path, *, preset: str = "cpu-smoke", base: str = "", overrides: Sequence[str] = ()
) -> tuple[Plan, str]:
    """Do all that comes before the weights, and write nothing.

    Returns:
        The plan, and the device, or one sentence that says why this machine cannot run it.

    Raises:
        SettingsError: There is no such preset or key, or a value is impossible.
        TrainError: The data or the base will not do.
        TrainLater: The Hub cannot be reached.
    """
    recipe = load_recipe(preset, overrides, base=base)
    with tempfile.TemporaryDirectory(prefix="annot-rehearsal-") as home, quiet_libraries(None):
        plan = make_plan(recipe, source, Path(home), weights=False)
        try:
            return plan, check_device(recipe.device, preset)
        except TrainError as error:
            return plan, str(error)


def make_plan(recipe: Recipe, source: Path, home: Path, *, weights: bool = True, progress: Progress = silent) -> Plan:
    """Read what people said, find the base, look at the tokens, and part the slates by prompt."""
    dpo = recipe.dpo
    read = read_slates(source, rewrites=dpo.sft_weight > 0)
    taught, silent_ones = as_taught(read.slates, dpo)
    base = find_base(recipe.base, home, lambda: texts(read.slates), seed=recipe.run.seed, weights=weights)
    work_offline()
    vocabulary = vocabulary_size(base)
    tokenizer = load_tokenizer(base, recipe.base)
    slates = as_conversations(taught, tokenizer)
    slates = with_country(slates) if recipe.region.in_prompt else slates
    kept, flight = preflight(
        slates,
        tokenizer,
        ends_of_text(base, tokenizer),
        recipe.data,
        dpo.objective,
        source=read.source,
        aside=(*read.aside, *silent_ones),
        unused=read.unused,
        repeated=read.repeated,
        vocabulary=vocabulary,
        progress=progress,
    )
    everybody = split_by_prompt(kept, recipe.data.held_out, recipe.run.seed)
    split = for_region(everybody, recipe.region)
    held_out = tuple(pair for slate in split.held_out for pair in slate.pairs())
    if not held_out:
        raise TrainError(
            f"in none of the {len(split.held_out)} held-out slates a majority prefers one answer to another, so that "
            "nothing could be measured; raise data.held_out, or collect more judgements."
        )
    pairs = tuple(pair for slate in split.train for pair in slate.pairs())
    rows = one_row_per_vote(pairs) if dpo.label_smoothing == "votes" else pairs
    return Plan(
        recipe,
        base,
        tokenizer,
        split.train,
        split.held_out,
        rows,
        held_out,
        regions(everybody, recipe.region),
        flight,
        count_steps(len(rows) if dpo.objective == "trl" else len(split.train), recipe),
    )


def count_steps(rows: int, recipe: Recipe) -> int:
    """Updates that the epochs need, or max_steps where that is fewer."""
    per_epoch = math.ceil(math.ceil(rows / recipe.optimiser.batch) / recipe.optimiser.accumulate)
    steps = max(1, math.ceil(per_epoch * recipe.optimiser.epochs))
    return min(steps, recipe.optimiser.max_steps or steps)


def begin(folder: Path, asked: Mapping[str, Any], plan: Plan, device: str, log: RunLog) -> None:
    """Write run.json and the rows, and say what is about to happen."""
    from importlib.metadata import version

    base = {
        "base": plan.base.name,
        "base_version": plan.base.version,
        "base_is_tiny_and_random": plan.base.tiny,
        "base_note": plan.base.shown,
    }
    again = begun_with(folder) is not None
    if again:
        check_same(folder, base)
    else:
        facts = {
            "run": folder.name,
            **asked,
            **base,
            "seed": plan.recipe.run.seed,
            "steps": plan.steps,
            "train_rows": len(plan.train),
            "train_slates": len(plan.slates),
            "held_out_pairs": len(plan.held_out),
            "device": device,
            "versions": {"python": sys.version.split()[0], **{name: version(name) for name in LIBRARIES}},
            "begun_at": now(),
        }
        write_whole(folder / "run.json", json.dumps(facts, ensure_ascii=False, indent=2).encode())
    write_rows(folder / "train.jsonl", [pair.row() for pair in plan.train])
    write_rows(folder / "held_out.jsonl", [pair.row() for pair in plan.held_out])
    write_rows(folder / "slates.jsonl", [slate.row() for slate in plan.slates])
    write_rows(folder / "held_out_slates.jsonl", [slate.row() for slate in plan.held_out_slates])
    write_rows(folder / "dropped.jsonl", dropped_rows(plan.flight))
    write_if_new(
        folder / "preflight.json", json.dumps(flight_facts(plan.flight), ensure_ascii=False, indent=2).encode()
    )
    if again:
        log(f"{folder.name} was cut off; going on.")
        return
    for line in plan_lines(plan, device):
        log(line)


def plan_lines(plan: Plan, device: str) -> list[str]:
    """The preflight and the plan, one line each."""
    optimiser = plan.recipe.optimiser
    lines = [f"{label:<22}{value}" for label, value in plan.flight.lines()]
    lines += [f"warning: {sentence}" for sentence in plan.flight.warnings()]
    stock = plan.recipe.dpo.objective == "trl"
    train, held_out = (plan.train, plan.held_out) if stock else (plan.slates, plan.held_out_slates)
    unit = "slates"
    if stock:
        unit = "votes" if plan.recipe.dpo.label_smoothing == "votes" else "pairs"
    return [
        *lines,
        f"{'base':<22}{plan.base.shown}",
        f"{'device':<22}{device}",
        f"{'split by prompt':<22}{len(train)} {unit} to train on{_of_others(plan)}, {len(held_out)} "
        f"{'pairs ' if stock else ''}held out",
        f"{'plan':<22}{plan.steps} steps of {optimiser.batch * optimiser.accumulate} {unit}",
    ]


def _of_others(plan: Plan) -> str:
    """How many of the slates come from other countries than the one that an adapter is for, and what they count."""
    region = plan.recipe.region
    others = sum(slate.country != region.country for slate in plan.slates) if region.country else 0
    return f" ({others} of them of other countries, at a weight of {region.others:g})" if others else ""


def plan_facts(plan: Plan, device: str) -> dict[str, Any]:
    """The same for a script."""
    return {
        "preflight": flight_facts(plan.flight),
        "base": plan.base.shown,
        "base_is_tiny_and_random": plan.base.tiny,
        "device": device,
        "train_rows": len(plan.train),
        "held_out_pairs": len(plan.held_out),
        "train_slates": len(plan.slates),
        "held_out_slates": len(plan.held_out_slates),
        "regions": [asdict(region) for region in plan.regions],
        "steps": plan.steps,
        "recipe": plan.recipe.model_dump(mode="json"),
    }


def flight_facts(flight: Preflight) -> dict[str, Any]:
    """What was counted, with what was dropped as counts per reason."""
    dropped = ("dropped", "dropped_answers", "dropped_rankings")
    return {**asdict(flight), **{name: dict(Counter(d.reason for d in getattr(flight, name))) for name in dropped}}


def train_adapter(
    folder: Path, plan: Plan, adapter: Path, log: RunLog, progress: Progress, keep_footprint: Callable[[], None]
) -> int:
    """Train, from the newest whole checkpoint if there is one, and write the adapter whole.

    Returns:
        The step from which it went on; 0 from the start.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import set_seed

    recipe, first = plan.recipe, processes.is_first()
    model = load_model(plan.base, recipe.base, recipe.device)
    check_targets(model, recipe)
    callbacks = [log_at_the_end()]
    if first:
        callbacks.append(run_callback(folder, recipe, plan.steps, log, progress, keep_footprint))
    if recipe.dpo.objective == "trl":
        trainer = pair_trainer(folder, model, recipe, plan.steps, plan.tokenizer, plan.train, callbacks)
    else:
        trainer = slate_trainer(
            folder, model, plan.base, recipe, plan.steps, plan.tokenizer, plan.slates, plan.held_out_slates, callbacks,
            tell=log, progress=progress,
        )  # fmt: skip
    show_no_logs_twice(trainer)

    checkpoint = processes.agreed(newest_checkpoint(folder) if first else None)
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
        save_adapter(trainer.model, weights, plan.base, plan.tokenizer, adapter)
    return resumed


def measure(plan: Plan, adapter: Path, log: RunLog, progress: Progress) -> Outcome:
    """Load the adapter from disk onto a fresh base and score the held-out pairs without and with it."""
    import torch
    from peft import PeftModel

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    recipe, tokenizer = plan.recipe, plan.tokenizer
    rows: list[Encoded] = [encode(pair, tokenizer) for pair in plan.held_out]
    model = PeftModel.from_pretrained(load_model(plan.base, recipe.base, recipe.device), str(adapter))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    limit, batch = recipe.data.max_length, recipe.run.eval_batch
    with model.disable_adapter():
        before = log_probs(model, rows, pad=pad, limit=limit, batch=batch, progress=progress)
    after = log_probs(model, rows, pad=pad, limit=limit, batch=batch, progress=progress)
    outcome = measure_outcome(plan.held_out, before, after, beta=recipe.dpo.beta, seed=recipe.run.seed)
    log(f"held out: {outcome.summary}")
    return outcome


def finish(folder: Path, plan: Plan, outcome: Outcome, diverged: str, seconds: float, log: RunLog) -> Run:
    """Clear what was only there to go on from, and write DONE."""
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
        "diverged": diverged,
        "accuracy": outcome.as_json(),
        "adapter_sha256": digests["adapter_model.safetensors"],
        "adapter_files": digests,
        "seconds": round(seconds, 1),
        "begun_at": facts["begun_at"],
        "finished_at": now(),
    }
    if diverged:
        log(f"WARNING: {diverged}")
    log(f"done in {seconds:.0f} s; read {folder / 'report.md'}")
    write_whole(folder / "DONE", json.dumps(done, ensure_ascii=False, indent=2).encode())
    return Run(folder, False, done)
