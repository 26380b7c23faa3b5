"""TRL's own way, `dpo.objective = "trl"`: its DPOTrainer on pairs, with its own losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.types import picture_file
from train.data.encoding import encode_whole
from train.data.plan import Plan
from train.data.slates import slate_of_pair
from train.engine import distributed
from train.engine.adapter import check_sight_untouched, keep_adapter_in_float32, lora_config, training_arguments
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
        Dataset.from_json(str(log.folder / name), cache_dir=str(log.folder / ".cache"))
        for name in ("train.jsonl", "held_out.jsonl")
    )
    columns = ["prompt", "chosen", "rejected"]
    if plan.pictures:
        rows, held_out = (_with_pictures(side, plan.pictures) for side in (rows, held_out))
        columns.append("images")
    rows, held_out = (side.select_columns(columns) for side in (rows, held_out))
    # TRL's own disable_dropout would also silence the adapter's dropout: only the base's is wanted off.
    disable_dropout_in_model(model)
    trainer = DPOTrainer(
        model=model,
        args=dpo_config(log.folder / "checkpoints", plan.recipe, plan.steps),
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=plan.vocabulary.processor or plan.vocabulary.tokenizer,
        peft_config=lora_config(plan.recipe, model),
        callbacks=callbacks,
    )
    keep_adapter_in_float32(trainer.model)
    if plan.recipe.base.vision == "frozen":
        check_sight_untouched(trainer.model)
    check_same_tokens(trainer, plan)
    return trainer


def _with_pictures(rows: Any, folder: Path) -> Any:
    """Rows of pairs with a column `images`, opened when a row is asked for."""
    from datasets import Image, List

    paths = [[str(folder / picture_file(picture))] for picture in rows["image"]]
    return rows.add_column("images", paths).cast_column("images", List(Image()))


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
        # What is longer has been dropped, and TRL would cut through a picture.
        max_length=recipe.data.max_length if recipe.base.vision == "none" else None,
        truncation_mode="keep_start",
        disable_dropout=False,
        per_device_train_batch_size=optimiser.batch,
        gradient_accumulation_steps=optimiser.accumulate,
        per_device_eval_batch_size=recipe.run.eval_batch,
        activation_checkpointing=optimiser.checkpoint_activations,
        dataloader_pin_memory=recipe.device.kind == "cuda",
    )


def check_same_tokens(trainer: Any, plan: Plan) -> None:
    """Make sure that TRL trains on the tokens that were looked at; for texts anything else is a bug of ours.

    Raises:
        TrainError: The base's template does not part prompt and answer as TRL does where there is a picture.
    """
    rows, pairs = trainer.train_dataset, plan.pairs.train
    if len(rows) != len(pairs):
        raise RuntimeError(f"TRL has {len(rows)} rows and the preflight saw {len(pairs)}")
    for index in {0, len(rows) // 2, len(rows) - 1}:
        row, pair = rows[index], pairs[index]
        seen, _ = encode_whole(slate_of_pair(pair), plan.vocabulary, plan.pictures)
        if plan.pictures:
            batch = trainer.data_collator([row])
            theirs = tuple(
                tuple(ids[mask.bool()].tolist())
                for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
            )
            if theirs != tuple(seen.prompt + answer for answer in seen.answers):
                raise TrainError(
                    f"TRL writes {pair.id} in other tokens than the base's chat template does for prompt and answer "
                    'together; set dpo.objective = "pairwise", which learns from the same pairs.'
                )
        elif tuple(tuple(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")) != (
            seen.prompt,
            *seen.answers,
        ):
            raise RuntimeError(f"TRL cuts row {pair.id} into other tokens than the preflight did")
