"""TRL's own way, `dpo.objective = "trl"`: its DPOTrainer on pairs, with its own losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.data.encoding import encode_texts
from train.data.pairs import Pair
from train.data.plan import Plan
from train.engine import distributed
from train.engine.adapter import keep_adapter_in_float32, lora_config, training_arguments
from train.run_folder import RunLog
from train.settings import Recipe


def pair_trainer(plan: Plan, model: Any, log: RunLog, callbacks: list[Any]) -> Any:
    """TRL's trainer over train.jsonl and held_out.jsonl of a run's folder.

    Args:
        plan: Of the run; train.jsonl has the rows of its pairs.
        model: The base, without an adapter.
        log: Of the run.
        callbacks: The trainer's.

    Raises:
        TrainError: There are several processes.
    """
    if distributed.world_size() > 1:
        raise TrainError('dpo.objective = "trl" trains in one process; choose another objective for several.')
    from datasets import Dataset
    from trl import DPOTrainer
    from trl.trainer.utils import disable_dropout_in_model

    # Read from files, so that tokens and reference log-probs are kept in the folder and a resumed run has them at once.
    rows, held_out = (
        Dataset.from_json(str(log.folder / name), cache_dir=str(log.folder / ".cache")).select_columns(
            ["prompt", "chosen", "rejected"]
        )
        for name in ("train.jsonl", "held_out.jsonl")
    )
    # TRL's own disable_dropout would also silence the adapter's dropout: only the base's is wanted off.
    disable_dropout_in_model(model)
    trainer = DPOTrainer(
        model=model,
        args=dpo_config(log.folder / "checkpoints", plan.recipe, plan.steps),
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=plan.vocabulary.tokenizer,
        peft_config=lora_config(plan.recipe),
        callbacks=callbacks,
    )
    keep_adapter_in_float32(trainer.model)
    check_same_tokens(trainer.train_dataset, plan.pairs.train, plan.vocabulary.tokenizer)
    return trainer


def dpo_config(output: Path, recipe: Recipe, steps: int) -> Any:
    """The settings as TRL wants them."""
    from trl import DPOConfig

    dpo, optimiser = recipe.dpo, recipe.optimiser
    return DPOConfig(
        **training_arguments(output, recipe, steps),
        beta=dpo.beta,
        loss_type=[dpo.loss],
        label_smoothing=0.0 if dpo.label_smoothing == "votes" else dpo.label_smoothing,
        precompute_ref_log_probs=dpo.precompute_reference,
        precompute_ref_batch_size=recipe.run.eval_batch,
        max_length=recipe.data.max_length,
        truncation_mode="keep_start",
        disable_dropout=False,
        per_device_train_batch_size=optimiser.batch,
        gradient_accumulation_steps=optimiser.accumulate,
        per_device_eval_batch_size=recipe.run.eval_batch,
        activation_checkpointing=optimiser.checkpoint_activations,
        dataloader_pin_memory=recipe.device.kind == "cuda",
    )


def check_same_tokens(rows: Any, pairs: Sequence[Pair], tokenizer: Any) -> None:
    """Make sure that TRL trains on the tokens that were looked at; anything else is a bug of ours."""
    if len(rows) != len(pairs):
        raise RuntimeError(f"TRL has {len(rows)} rows and the preflight saw {len(pairs)}")
    for index in {0, len(rows) // 2, len(rows) - 1}:
        row, pair = rows[index], pairs[index]
        seen, _ = encode_texts(pair.prompt, (pair.chosen, pair.rejected), tokenizer, place=pair.id)
        theirs = (tuple(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
        if tuple(theirs) != (seen.prompt, *seen.answers):
            raise RuntimeError(f"TRL cuts row {pair.id} into other tokens than the preflight did")
