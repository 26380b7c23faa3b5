"""The trainer of slates put together: adapter, packs, memory, reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.files import write_whole
from train.data.encoding import encode_slate
from train.data.plan import Plan
from train.data.slates import RankedSlate
from train.engine import distributed
from train.engine.adapter import training_arguments, with_adapter
from train.engine.memory import Schedule, free_memory, plan_memory, sight_per_token, widths_of
from train.engine.packing import tokens_of
from train.models.pictures import pictures_of
from train.run_folder import RunLog, read_facts
from train.settings import Recipe

if TYPE_CHECKING:
    from train.engine.batches import TrainingSet
    from train.engine.packing import Shape
    from train.engine.trainer import SlateTrainer
    from train.models.pictures import Pictures

SCHEDULE = "engine.json"
"""In a run's folder: what the planner chose when it was begun."""

OPTIMISER_BYTES = 16
"""Per trained weight: itself, its gradient and AdamW's two moments, in float32."""


def slate_trainer(plan: Plan, model: Any, log: RunLog, callbacks: list[Any]) -> SlateTrainer:
    """Build the trainer of slates.

    Args:
        plan: Of the run.
        model: The base's weights, without an adapter.
        log: Of the run.
        callbacks: The trainer's.
    """
    from transformers import TrainingArguments, set_seed
    from trl.trainer.utils import disable_dropout_in_model

    from train.engine.compiled import compile_flex_attention, compile_layers
    from train.engine.layout import choose_shape
    from train.engine.log_probs import score_answers
    from train.engine.reference import reference_cache
    from train.engine.trainer import SlateTrainer

    recipe, folder = plan.recipe, log.folder
    if recipe.base.attention == "flex_attention" and recipe.device.kind == "cuda":
        compile_flex_attention()
    score_answers(model, recipe.engine.logits_chunk)
    disable_dropout_in_model(model)
    train, held_out = (encoded(slates, plan) for slates in (plan.slates.train, plan.slates.held_out))
    pictures = pictures_of(plan.vocabulary.processor, plan.pictures) if plan.pictures else None
    shape, line = choose_shape(model, (*train.encoded, *held_out.encoded), pictures)
    log(f"{'packing':<22}{line}")
    set_seed(recipe.run.seed)
    model = with_adapter(model, recipe)
    if recipe.optimiser.autocast != "none":
        leave_inputs_alone(model)
    if recipe.engine.compile:
        log(f"{'compiling':<22}{compile_layers(model)} layers, when they are first used")
    size = recipe.optimiser.batch * recipe.optimiser.accumulate
    arguments = TrainingArguments(
        **training_arguments(folder / "checkpoints", recipe, plan.steps), per_device_train_batch_size=size
    )
    # One process drives one card; transformers would split a batch over all that it sees.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    schedule = kept_schedule(folder, lambda: plan_schedule(model, recipe, shape, (train, held_out), pictures))
    log(f"{'engine':<22}{schedule.line()}")
    if distributed.world_size() > 1:
        held = "one base among them (FSDP2)" if recipe.device.sharding == "fsdp2" else "each with the whole base (DDP)"
        log(f"{'processes':<22}{distributed.world_size()}, {held}")
    return SlateTrainer(
        model=model,
        args=arguments,
        recipe=recipe,
        train=train,
        held_out=held_out,
        schedule=schedule,
        shape=shape,
        # No other run has a base that was made on the spot.
        cache=reference_cache(plan.base, recipe, shape, home=folder / ".cache" if plan.base.tiny else None),
        log=log,
        callbacks=callbacks,
        pictures=pictures,
    )


def leave_inputs_alone(model: Any) -> None:
    """Do not let PEFT copy the adapter's inputs to float32 where autocast turns them back at once.

    The same numbers are multiplied, and the copies, the largest part of what is kept for the backward pass, are gone.
    """
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


def encoded(slates: Sequence[RankedSlate], plan: Plan) -> TrainingSet:
    """Slates with their tokens."""
    from train.engine.batches import TrainingSet

    words, limit = plan.vocabulary, plan.recipe.data.max_length
    return TrainingSet(slates, [encode_slate(slate, words, limit=limit, pictures=plan.pictures) for slate in slates])


def plan_schedule(
    model: Any, recipe: Recipe, shape: Shape, sets: Sequence[TrainingSet], pictures: Pictures | None = None
) -> Schedule:
    """Plan the memory, with what is free now and what the optimiser will take of it."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    slates = [slate for slates in sets for slate in slates.encoded]
    lengths = sorted((tokens_of(slate, shape) for slate in slates), reverse=True)
    kind = recipe.device.kind
    sight = sight_per_token(model.config, recipe, slates, pictures, shape)
    return plan_memory(
        widths_of(model.config.get_text_config(), recipe, sight),
        free_memory(kind) - OPTIMISER_BYTES * trained,
        longest=lengths[0],
        update=sum(lengths[: recipe.optimiser.batch * recipe.optimiser.accumulate]),
        device=kind,
        shape=shape,
        budget=recipe.engine.token_budget,
        checkpointed=recipe.engine.checkpoint_layers if model.supports_gradient_checkpointing else 0,
    )


def kept_schedule(folder: Path, choose: Callable[[], Schedule]) -> Schedule:
    """The schedule that was chosen when the run was begun: a resumed run keeps to it, whatever is free now.

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
