"""Presets are complete, commented and checked, and become the objects that the libraries want."""

import re
import tomllib

import pytest
from pydantic import ValidationError

from annotation.errors import SettingsError
from train.settings import PRESETS, Recipe, describe_preset, load_recipe, preset_names

EXPECTED = (
    *("cpu-smoke", "cpu-smoke-vlm", "cpu-smollm2", "l40s-14b-qlora", "l40s-8b-lora-bf16", "l40s-8b-qlora"),
    *("l40s-vlm-lora", "multi-gpu-fsdp2"),
)


def test_every_preset_loads_and_all_were_found() -> None:
    assert preset_names() == EXPECTED
    for name in EXPECTED:
        recipe = load_recipe(name)
        raw = tomllib.loads((PRESETS / f"{name}.toml").read_text(encoding="utf-8"))
        assert recipe.model_dump(mode="json") == raw  # nothing is filled in that the file does not say
        assert len(describe_preset(name)) > 40


@pytest.mark.parametrize("name", EXPECTED)
def test_every_key_of_a_preset_has_a_comment(name: str) -> None:
    lines = (PRESETS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"\w+ = ", line)]
    assert len(keys) == sum(len(section.model_dump()) for _, section in load_recipe(name))
    assert [line for line in keys if not re.search(r"  # .{10,}", line)] == []


def test_a_recipe_is_frozen_and_refuses_what_it_does_not_know() -> None:
    recipe = load_recipe("cpu-smoke")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.lora.rank = 4  # type: ignore[misc]
    raw = recipe.model_dump()
    raw["lora"]["rnak"] = 3
    with pytest.raises(ValidationError, match="rnak"):
        Recipe.model_validate(raw)


def test_overrides_change_one_key_each_and_keep_the_rest() -> None:
    changed = load_recipe(
        "cpu-smoke", ["lora.rank=4", "data.on_overflow=truncate", 'lora.targets=["q_proj", "v_proj"]'], base="folder"
    )
    assert (changed.lora.rank, changed.data.on_overflow, changed.base.name) == (4, "truncate", "folder")
    assert changed.lora.targets == ("q_proj", "v_proj")
    assert changed.run == load_recipe("cpu-smoke").run


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("lora.rnk=4", 'no setting "lora.rnk"; did you mean "lora.rank"'),
        ("optimiser.lr=1e-4", "[optimiser] has name, learning_rate, "),
        ("optimizer.learning_rate=1e-4", 'did you mean "optimiser.learning_rate"'),
        ("learning.rate=1e-4", "the sections are base, device, lora, "),
        ("rank=4", "write section.key=value"),
        ("lora.rank", "write section.key=value"),
        ("lora.rank=0", "lora.rank = 0: input should be greater than or equal to 1"),
        ("data.held_out=0.9", "data.held_out"),
        ("data.on_overflow=ignore", "data.on_overflow = 'ignore'"),
        ("dpo.label_smoothing=0.1", "the listwise objective hears every person's ranking"),
        ("dpo.margin=0.5", "a margin is between two answers"),
        ("dpo.loss=ipo", 'dpo.loss is for dpo.objective = "trl"'),
        ("dpo.label_smoothing=0.5", "dpo.label_smoothing"),
        ("region.country=Mexico", "region.country = 'Mexico'"),
        ("run.save_every=7", "must be a multiple of log_every"),
        ("optimiser.learning_rate=nan", "optimiser.learning_rate"),
        ("optimiser.learning_rate=1e38", "optimiser.learning_rate = 1e+38: input should be less than or equal to 1"),
        ("optimiser.learning_rate=0", "optimiser.learning_rate = 0: input should be greater than 0"),
        ("optimiser.epochs=1e300", "less than or equal to 1000"),
        ("dpo.beta=1e38", "dpo.beta = 1e+38: input should be less than or equal to 100"),
        ("dpo.beta=inf", "dpo.beta = inf: input should be a finite number"),
        ("dpo.beta=-0.1", "dpo.beta = -0.1: input should be greater than 0"),
        ("base.quantisation=nf4", "made on the spot is not quantised"),
    ],
)
def test_a_wrong_override_is_one_sentence_that_names_the_key(override: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_recipe("cpu-smoke", [override])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_an_objective_would_not_hear_are_refused() -> None:
    for override, told in (
        ("dpo.label_smoothing=0.1", '"sigmoid" loss ignores label_smoothing'),
        ("dpo.margin=0.5", "no margin, weight or sft_weight reaches TRL's losses"),
        ("dpo.weight=people", "no margin, weight or sft_weight reaches TRL's losses"),
        ("dpo.sft_weight=1.0", "no margin, weight or sft_weight reaches TRL's losses"),
        ("region.country=MX", "set region.others=0"),
        ("engine.compile=true", "TRL's own trainer is not compiled"),
    ):
        with pytest.raises(SettingsError) as caught:
            load_recipe("cpu-smoke", ["dpo.objective=trl", override])
        assert told in str(caught.value)
    heard = ["dpo.objective=pairwise", "dpo.label_smoothing=0.1", "dpo.margin=0.5", "dpo.weight=people"]
    assert load_recipe("cpu-smoke", heard).dpo.label_smoothing == 0.1
    assert load_recipe("cpu-smoke", ["dpo.objective=trl", "dpo.loss=robust", "dpo.label_smoothing=0.1"]).dpo.margin == 0
    with pytest.raises(SettingsError, match="needs no country in its prompts"):
        load_recipe("cpu-smoke", ["region.country=MX", "region.in_prompt=true"])


def test_a_base_that_processes_share_is_not_compiled() -> None:
    with pytest.raises(SettingsError, match=r"that processes share .FSDP2. is not compiled; set engine.compile=false"):
        load_recipe("multi-gpu-fsdp2", ["engine.compile=true"])


def test_an_unknown_preset_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match='Did you mean "l40s-8b-qlora"'):
        load_recipe("l40s-qlora")
    with pytest.raises(SettingsError, match=r"there is no preset .banana.; there are cpu-smoke, .*multi-gpu-fsdp2\.$"):
        load_recipe("banana")


def test_presets_become_what_the_libraries_want() -> None:
    import torch

    from train.engine.adapter import lora_config
    from train.engine.trl_dpo import dpo_config
    from train.models.base import quantisation_config

    # A GPU is asked for only when it is there: the rest of the configuration is the preset's own.
    recipe = load_recipe("l40s-8b-lora-bf16", ["device.kind=cpu"])
    config = dpo_config(PRESETS / "nowhere", recipe, steps=600)
    assert config.bf16
    assert config.activation_checkpointing
    assert config.precompute_ref_log_probs
    assert (config.learning_rate, config.lr_scheduler_type, config.warmup_steps) == (2e-5, "cosine", 60)
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps, config.max_steps) == (4, 4, 600)
    assert (config.beta, config.loss_type, config.max_length) == (0.1, ["sigmoid"], 1024)
    assert config.optim == "adamw_torch_fused"
    assert config.report_to == []
    assert config.save_total_limit == 2
    assert config.disable_dropout is False  # TRL's default would silence the adapter's dropout
    assert quantisation_config(recipe.base) is None
    lora = lora_config(recipe)
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (16, 32, 0.05, "all-linear")

    qlora = load_recipe("l40s-8b-qlora", ["device.kind=cpu"])
    four_bit = quantisation_config(qlora.base)
    assert four_bit.load_in_4bit
    assert four_bit.bnb_4bit_use_double_quant
    assert (four_bit.bnb_4bit_quant_type, four_bit.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    config = dpo_config(PRESETS / "nowhere", qlora, steps=10)
    assert config.per_device_train_batch_size * config.gradient_accumulation_steps == 16

    smoke = dpo_config(PRESETS / "nowhere", load_recipe("cpu-smoke"), steps=10)
    assert not smoke.bf16
    assert not smoke.activation_checkpointing
    assert smoke.use_cpu
