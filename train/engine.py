"""The parts of a run on slates, put together: adapter, packs, memory, reference, trainer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.project import write_whole
from annotation.screen import Progress, silent
from train import processes
from train.adapter import lora_config, training_arguments
from train.base import Base
from train.encoding import encode_slate
from train.planner import Schedule, free_memory, plan_memory, widths_of
from train.rankings import RankedSlate
from train.run_folder import read_facts
from train.settings import Recipe

if TYPE_CHECKING:
    from train.trainer import SlateTrainer, Taught

SCHEDULE = "engine.json"
"""In a run's folder: what the planner chose when it was begun."""

OPTIMISER_BYTES = 16
"""Per trained weight: itself, its gradient and AdamW's two moments, in float32."""


def slate_trainer(
    folder: Path,
    model: Any,
    base: Base,
    recipe: Recipe,
    steps: int,
    tokenizer: Any,
    train: Sequence[RankedSlate],
    held_out: Sequence[RankedSlate],
    callbacks: list[Any],
    *,
    tell: Callable[[str], None] = lambda line: None,  # noqa: ARG005
    progress: Progress = silent,
) -> SlateTrainer:
    """A trainer over slates, from the base on.

    Args:
        folder: The run's.
        model: The base's weights, without an adapter.
        base: What they are.
        recipe: Settings.
        steps: Updates.
        tokenizer: The base's.
        train: What is learnt from.
        held_out: What is measured on.
        callbacks: The trainer's.
        tell: Says a line to the person.
        progress: Told how far the reference is.
    """
    from peft import get_peft_model
    from transformers import TrainingArguments, set_seed
    from trl.trainer.utils import disable_dropout_in_model

    from train.log_probs import score_answers
    from train.reference import reference_cache
    from train.trainer import SlateTrainer

    score_answers(model, recipe.engine.logits_chunk)
    disable_dropout_in_model(model)
    set_seed(recipe.run.seed)
    model = get_peft_model(model, lora_config(recipe))
    if recipe.optimiser.autocast != "none":
        leave_inputs_alone(model)
    size = recipe.optimiser.batch * recipe.optimiser.accumulate
    arguments = TrainingArguments(
        **training_arguments(folder / "checkpoints", recipe, steps), per_device_train_batch_size=size
    )
    # One process drives one card; transformers would split a batch over all that it sees.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    taught, measured = (encoded(slates, tokenizer, recipe.data.max_length) for slates in (train, held_out))
    schedule = kept_schedule(folder, lambda: plan_schedule(model, recipe, taught, measured, size))
    tell(f"{'engine':<22}{schedule.line()}")
    if processes.count() > 1:
        held = "one base among them (FSDP2)" if recipe.device.sharding == "fsdp2" else "each with the whole base (DDP)"
        tell(f"{'processes':<22}{processes.count()}, {held}")
    return SlateTrainer(
        model=model,
        args=arguments,
        taught=taught,
        held_out=measured,
        settings=recipe.dpo,
        schedule=schedule,
        # No other run has a base that was made on the spot.
        cache=reference_cache(base, recipe, home=folder / ".cache" if base.tiny else None),
        keep_bad=folder / "bad_batches",
        most_bad=recipe.engine.max_bad_batches,
        callbacks=callbacks,
        tell=tell,
        progress=progress,
    )


def leave_inputs_alone(model: Any) -> None:
    """Do not let PEFT copy the adapter's inputs to float32 where autocast turns them back at once.

    The same numbers are multiplied, and the copies, the largest part of what is kept for the backward pass, are gone.
    """
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


def encoded(slates: Sequence[RankedSlate], tokenizer: Any, limit: int) -> Taught:
    """Slates with their tokens."""
    from train.trainer import Taught

    return Taught(tuple(slates), tuple(encode_slate(slate, tokenizer, limit=limit) for slate in slates))


def plan_schedule(model: Any, recipe: Recipe, taught: Taught, measured: Taught, size: int) -> Schedule:
    """Ask the planner, with what is free now and what the optimiser will take of it."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lengths = sorted((slate.tokens for slate in (*taught.encoded, *measured.encoded)), reverse=True)
    kind = recipe.device.kind
    return plan_memory(
        widths_of(
            model.config.get_text_config(),
            autocast=recipe.optimiser.autocast == "bfloat16",
            dtype=recipe.base.dtype,
            dropout=recipe.lora.dropout > 0,
            chunk=recipe.engine.logits_chunk,
        ),
        free_memory(kind) - OPTIMISER_BYTES * trained,
        longest=lengths[0],
        update=sum(lengths[:size]),
        device=kind,
        budget=recipe.engine.token_budget,
        checkpointed=recipe.engine.checkpoint_layers,
    )


def kept_schedule(folder: Path, choose: Callable[[], Schedule]) -> Schedule:
    """What the planner chose when the run was begun: gone on with, it goes on alike, whatever is free now.

    Raises:
        TrainError: The file that says so is damaged.
    """
    path = folder / SCHEDULE
    if not path.exists():
        write_whole(path, json.dumps(asdict(choose()), indent=2).encode())
    kinds = dict.fromkeys((field.name for field in fields(Schedule)), int)
    remedy = "remove that file and run the same command again: the packs are chosen anew, and no result beyond rounding"
    kept = read_facts(path, kinds, remedy)
    return Schedule(**{name: kept[name] for name in kinds})
