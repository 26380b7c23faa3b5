"""The adapter: made, trained at the settings' rate, kept in float32, and saved whole."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.data.plan import Plan
from train.models.vision import language_model_of, vision_modules
from train.settings import Recipe

SHORT = 10
"""A run with at most so many times `run.log_every` steps logs every step."""


def lora_config(recipe: Recipe, model: Any = None) -> Any:
    """The settings as PEFT wants them (Hu et al. 2021, LoRA).

    Args:
        recipe: Settings.
        model: The base; needed where the language model of one that sees pictures is adapted alone.
    """
    from peft import LoraConfig

    lora = recipe.lora
    targets: Any = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if recipe.base.vision == "frozen":
        # PEFT takes every layer of a name, and vision towers have a q_proj too: this one is matched as a whole name.
        way, _ = language_model_of(model)
        alike = (name.rpartition(".")[2] for name in adapted_layers(model, recipe))
        ends = {*(alike if isinstance(targets, str) else targets)}
        targets = rf"{re.escape(way)}\.(.*\.)?({'|'.join(map(re.escape, sorted(ends)))})"
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )


def with_adapter(model: Any, recipe: Recipe) -> Any:
    """A base with a fresh adapter on it, tried on a few tokens.

    Raises:
        TrainError: PEFT cannot adapt it as the settings say.
    """
    import torch
    from peft import get_peft_model

    from train.engine.log_probs import FAULTS, reason, uncompiled

    kind, layers = model.config.model_type, sorted({name.rpartition(".")[2] for name in linear_layers(model)})
    try:
        adapted = get_peft_model(model, lora_config(recipe, model))
        if recipe.base.vision == "frozen":
            check_sight_untouched(adapted)
        with torch.no_grad(), uncompiled():
            adapted.eval()(input_ids=torch.arange(4, device=adapted.device)[None], use_cache=False)
    except torch.OutOfMemoryError:
        raise
    except FAULTS as error:
        raise TrainError(
            f"PEFT cannot adapt the base ({kind}) with these settings ({reason(error)}); try lora.dropout = 0.0, or "
            f"name some of its layers in lora.targets: {', '.join(layers)}."
        ) from error
    return adapted


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers of a base, but its head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head, kinds = model.get_output_embeddings(), (torch.nn.Linear, Conv1D)
    return [name for name, module in model.named_modules() if isinstance(module, kinds) and module is not head]


def adapted_layers(model: Any, recipe: Recipe) -> list[str]:
    """Names of the linear layers of a base that the settings adapt: of its language model alone where it also sees."""
    names = linear_layers(model)
    if recipe.base.vision == "frozen":
        way, _ = language_model_of(model)
        names = [name for name in names if name.startswith(f"{way}.")]
    if isinstance(recipe.lora.targets, str):
        return names
    return [name for name in names if any(f".{name}".endswith(f".{target}") for target in recipe.lora.targets)]


def check_sight_untouched(adapted: Any) -> None:
    """Check that nothing of the vision tower and the projector is trained; anything else is a bug of ours.

    Args:
        adapted: The PEFT model.
    """
    model = adapted.get_base_model()
    for part in vision_modules(model):
        for name, weights in model.get_submodule(part).named_parameters():
            if weights.requires_grad:
                raise RuntimeError(f"{part}.{name} is trained, and base.vision is frozen")


def check_targets(model: Any, recipe: Recipe) -> None:
    """Make sure that every layer that is to be adapted is there; PEFT leaves out what it does not find.

    Args:
        model: The base.
        recipe: Settings.

    Raises:
        TrainError: One is not.
    """
    if isinstance(recipe.lora.targets, str):
        return
    head = model.get_output_embeddings()
    for name in (name for name, module in model.named_modules() if module is head):
        if any(f".{name}".endswith(f".{target}") for target in recipe.lora.targets):
            raise TrainError(f'lora.targets: "{name}" is the output head, which the losses do not train; leave it out.')
    layers = adapted_layers(model, recipe)
    for target in recipe.lora.targets:
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            every = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"targets": "all-linear"})})
            there = ", ".join(sorted({name.rpartition(".")[2] for name in adapted_layers(model, every)}))
            of = "the base's language model" if recipe.base.vision == "frozen" else "the base"
            raise TrainError(f'lora.targets: {of} has no linear layer "{target}"; it has {there}.')


def training_arguments(output: Path, recipe: Recipe, steps: int) -> dict[str, Any]:
    """Settings of steps, rates, logs and checkpoints as arguments of transformers' TrainingArguments."""
    optimiser, run = recipe.optimiser, recipe.run
    # A plot of a short run wants every step. One divides every number, so checkpoints still fall on log lines.
    log_every = run.log_every if steps > SHORT * run.log_every else 1
    return {
        "output_dir": str(output),
        "optim": optimiser.name,
        "learning_rate": optimiser.learning_rate,
        "lr_scheduler_type": optimiser.schedule,
        # The rate of the first warm-up step is 0: a run of one step has none.
        "warmup_steps": min(math.ceil(optimiser.warmup * steps), steps - 1),
        "weight_decay": optimiser.weight_decay,
        "max_grad_norm": optimiser.max_grad_norm,
        "max_steps": steps,
        "bf16": optimiser.autocast == "bfloat16",
        "use_cpu": recipe.device.kind == "cpu",
        "seed": run.seed,
        "data_seed": run.seed,
        "logging_steps": log_every,
        "logging_first_step": True,  # the loss before anything is learnt
        "logging_nan_inf_filter": False,  # it would show the last finite loss in place of a NaN
        "eval_strategy": "steps" if run.eval_every else "no",
        "eval_steps": run.eval_every or None,
        "save_strategy": "steps",
        "save_steps": run.save_every,
        "save_total_limit": 2,  # the newest may be half written when the power goes; the one before is whole
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_num_workers": 0,
        # A frozen base and a float32 adapter in one unit, spread over the processes layer by layer.
        "fsdp": recipe.device.sharding == "fsdp2",
        "fsdp_config": {"version": 2, "reshard_after_forward": True} if recipe.device.sharding == "fsdp2" else None,
    }


def keep_adapter_in_float32(model: Any) -> None:
    """Undo TRL's cast of the adapter to bfloat16 on a 4-bit base, in which small updates are rounded away."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def check_float32(model: Any) -> None:
    """Check that all trained weights are float32 and that there are some; anything else is a bug of ours."""
    import torch

    trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    wrong = [f"{name} ({dtype})" for name, dtype in trained.items() if dtype != torch.float32]
    if wrong or not trained:
        raise RuntimeError(f"{len(wrong)} of {len(trained)} trained tensors are not float32: {', '.join(wrong[:3])}")


def gathered_weights(trainer: Any) -> Any:
    """All weights of a model that FSDP2 spreads over processes, on the first of them; None where each has them all."""
    return trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None


def save_adapter(model: Any, weights: Any, plan: Plan, adapter: Path) -> None:
    """Write adapter, tokenizer or processor, and template whole or not at all, under the base's own name.

    Args:
        model: The PEFT model.
        weights: What `gathered_weights` gave.
        plan: Of the run.
        adapter: The folder to make.
    """
    beside = adapter.with_name(f".adapter.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside, state_dict=weights)
    (plan.vocabulary.processor or plan.vocabulary.tokenizer).save_pretrained(beside)
    path = beside / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # PEFT notes the folder of the download; whoever gets the adapter knows the base by its name.
    config["base_model_name_or_path"] = plan.base.name or str(plan.base.folder)
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT holds a set, whose order is another in every process
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; report.md says what there is to say
    beside.replace(adapter)
