"""Slates of pictures in the engine: each encoded once a slate, resumed to the last bit, no vision layer quantised."""

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from picture_snapshots import write_picture_snapshot
from safetensors.torch import load_file
from train_models import SIZES, WORDS, tiny_model
from vision_models import TEXTS, make_vision_base

import train.engine.callbacks
import train.engine.log_probs
from annotation.errors import SettingsError, TrainError
from train.data.plan import Plan, make_plan
from train.data.tokens import EncodedSlate
from train.dpo import train_adapter
from train.engine.adapter import keep_adapter_in_float32, lora_config
from train.engine.build import leave_inputs_alone, slate_trainer
from train.engine.dropout import Tokens
from train.engine.log_probs import answer_log_probs, score_answers
from train.engine.low_rank import fuse_adapter
from train.engine.memory import checkpoint_layers, sight_per_token, widths_of
from train.engine.packing import pack
from train.engine.reference import groups, key_of
from train.libraries import deterministic, quiet_libraries
from train.models.base import Base, find_base, load_model
from train.models.content import check_content, content_of
from train.models.tiny_vision import make_tiny_vision_base
from train.models.vision import language_model_of, vision_modules
from train.run_folder import RunLog, seal
from train.settings import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ("optimiser.max_steps=4", "run.log_every=1", "run.save_every=2", "run.eval_every=0", "footprint.measure=false")


def planned(folder: Path, source: Path, *overrides: str, base: str = "") -> Plan:
    """The plan of a run about pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_plan(load_recipe("cpu-smoke-vlm", [*QUICK, *overrides], base=base), source, folder)


def learn(folder: Path, source: Path, *overrides: str, base: str = "") -> bytes:
    """Train an adapter, or go on with it; its bytes."""
    plan = planned(folder, source, *overrides, base=base)
    with quiet_libraries(folder / "libraries.log"), deterministic(plan.recipe):
        train_adapter(plan, RunLog(folder, quiet=True), lambda: None)
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


class Cut(BaseException):
    """Stands for a kill at a place that random moments seldom hit."""


@pytest.mark.parametrize(
    "how",
    [
        ("base.vision=frozen", "lora.dropout=0.1", "dpo.objective=plackett_luce"),
        ("base.vision=adapted", "lora.dropout=0.0", "dpo.objective=pairwise"),
    ],
)
def test_a_run_about_pictures_cut_off_ends_like_an_undisturbed_one(
    how: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_picture_snapshot(tmp_path, "abc")
    base = str(make_tiny_vision_base(tmp_path / "base", TEXTS, seed=0))
    whole = learn(tmp_path / "whole", source, *how, base=base)
    with monkeypatch.context() as patch:

        def cut(checkpoint: Path) -> None:
            if checkpoint.name == "checkpoint-4":
                raise Cut
            seal(checkpoint)

        patch.setattr(train.engine.callbacks, "seal", cut)
        with pytest.raises(Cut):
            learn(tmp_path / "cut", source, *how, base=base)
    assert learn(tmp_path / "cut", source, *how, base=base) == whole
    assert "going on from step 2 of 4" in (tmp_path / "cut" / "log.txt").read_text()
    adapter = load_file(tmp_path / "whole" / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    assert any("language_model" in name for name in adapter)
    assert any("vision_tower" in name for name in adapter) == ("base.vision=adapted" in how)


def _learning(folder: Path, source: Path, *overrides: str, base: str = "") -> tuple[Any, list[int]]:
    """A trainer, and a list that gets the number of pictures of each pass through the vision tower."""
    plan = planned(folder, source, *overrides, base=base)
    seen: list[int] = []
    model = load_model(plan.base, plan.recipe.base, plan.recipe.device)
    tower = model.get_submodule(vision_modules(model)[0])
    tower.register_forward_pre_hook(
        lambda _m, given, named: seen.append(len((*given, *named.values())[0])), with_kwargs=True
    )
    trainer = slate_trainer(plan, model, RunLog(folder, quiet=True), [])
    return trainer, seen


@pytest.mark.parametrize("shape", ["rows", "alone"])
def test_a_picture_is_encoded_once_a_slate(shape: str, tmp_path: Path) -> None:
    """Once for the base's own log-probs, and once in every update that its slate is in."""
    trainer, seen = _learning(tmp_path / "run", write_picture_snapshot(tmp_path, "abc"))
    trainer.shape = shape
    trainer.reference[id(trainer.train_set)] = trainer.reference_of(trainer.train_set)
    slates = len(trainer.train_set)
    pictures = {slate.image for slate in trainer.train_set.slates}
    seen.clear()
    trainer.cache.path.unlink()
    trainer.cache._begin()
    trainer.reference_of(trainer.train_set)
    assert sum(seen) == len(groups(trainer.train_set.encoded)) == len(pictures)
    seen.clear()
    stats = trainer.learn(range(slates))
    assert sum(seen) == len(pictures) == slates
    assert stats.compared
    assert all(p.grad is None for name, p in trainer.learner.named_parameters() if "vision_tower" in name)


def test_pictures_that_share_a_question_have_reference_log_probs_of_their_own(tmp_path: Path) -> None:
    trainer, _ = _learning(tmp_path / "run", write_picture_snapshot(tmp_path, "abc"))
    one, other = trainer.train_set.encoded[:2]
    assert one.prompt == other.prompt
    assert one.image != other.image
    both = [replace(one, answers=one.answers), replace(one, image=other.image)]
    assert len({key_of(group) for group in groups(both)}) == 2
    trainer.train_set.encoded[:2] = both
    found = trainer.reference_of(trainer.train_set)
    assert found[0] != found[1]
    text = replace(one, image="")
    assert key_of(text).hex() == hashlib.sha256(repr((one.prompt, one.answers)).encode()).hexdigest()


def test_where_packed_answers_come_out_otherwise_each_has_a_row_and_its_picture_is_still_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base whose pictures see each other's parts in both directions, read without that."""
    base = make_vision_base("gemma3", tmp_path / "gemma3")
    monkeypatch.setattr(train.engine.log_probs, "picture_blocks", lambda *_: None)
    trainer, seen = _learning(tmp_path / "run", write_picture_snapshot(tmp_path, "abc"), base=str(base))
    assert trainer.shape == "alone"
    trainer.reference[id(trainer.train_set)] = trainer.reference_of(trainer.train_set)
    seen.clear()
    trainer.learn(range(len(trainer.train_set)))
    assert sum(seen) == len(trainer.train_set)


@pytest.mark.parametrize("kind", ["llava", "gemma3", "idefics3"])
@pytest.mark.parametrize("quantisation", ["nf4", "int8"])
def test_nothing_that_a_picture_goes_through_is_quantised(kind: str, quantisation: str, tmp_path: Path) -> None:
    import bitsandbytes

    folder = make_vision_base(kind, tmp_path / kind)
    recipe = load_recipe(
        "cpu-smoke-vlm", [f"base.quantisation={quantisation}", "base.dtype=bfloat16"], base=str(folder)
    )
    model = load_model(Base(kind, folder, ""), recipe.base, recipe.device)
    short = {
        name
        for name, module in model.named_modules()
        if isinstance(module, bitsandbytes.nn.Linear4bit | bitsandbytes.nn.Linear8bitLt)
    }
    name, language_model = language_model_of(model)
    linear = {f"{name}.{rest}" for rest, m in language_model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert short == linear
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_a_name_that_the_quantiser_ignores_does_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_tiny_vision_base(tmp_path / "base", TEXTS, seed=0)
    recipe = load_recipe("cpu-smoke-vlm", ["base.quantisation=nf4"], base=str(folder))
    monkeypatch.setattr("train.models.base.whole_modules", lambda _: ("vision_tower", "multi_modal_projector"))
    with pytest.raises(TrainError, match=r"vision layers were quantised \(model.vision_tower"):
        load_model(Base("x", folder, ""), recipe.base, recipe.device)


def test_a_base_that_does_not_fit_the_settings_is_refused_in_a_sentence(tmp_path: Path) -> None:
    sees = make_tiny_vision_base(tmp_path / "sees", TEXTS, seed=0)
    tiny_model("llama").save_pretrained(tmp_path / "reads")
    for preset, base, told in (
        ("cpu-smoke", sees, r'sees pictures \(llava\), and base.vision = "none".*a preset such as l40s-vlm-lora'),
        ("cpu-smoke-vlm", tmp_path / "reads", r"reads text alone \(llama\).*base.vision=none"),
    ):
        recipe = load_recipe(preset, base=str(base))
        with pytest.raises(TrainError, match=told):
            find_base(recipe.base, tmp_path, lambda: TEXTS, seed=0)
    both = make_vision_base("gemma3", tmp_path / "both")
    for preset in ("cpu-smoke", "cpu-smoke-vlm"):
        assert find_base(load_recipe(preset, base=str(both)).base, tmp_path, lambda: TEXTS, seed=0).folder == both


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["device.sharding=fsdp2"], "see no pictures; set device.sharding=none"),
        (["base.vision=adapted", "lora.dropout=0.1"], "a vision tower has none; set lora.dropout=0.0"),
        (["dpo.objective=trl", "dpo.precompute_reference=true"], "set dpo.precompute_reference=false"),
        (["dpo.objective=trl", "data.on_overflow=truncate"], 'set data.on_overflow = "drop"'),
    ],
)
def test_settings_that_cannot_be_kept_with_pictures_are_refused_together(changes: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_recipe("cpu-smoke-vlm", changes)


@pytest.mark.parametrize(("preset", "decides"), [("cpu-smoke", False), ("cpu-smoke-vlm", True)])
def test_how_a_base_is_shown_pictures_decides_runs_about_pictures_alone(
    preset: str, decides: bool, tmp_path: Path
) -> None:
    """Gemma 3 trains on texts too: a run on texts that was begun before there were pictures is gone on with."""
    folder = make_vision_base("gemma3", tmp_path / "both")
    recipe, base = load_recipe(preset, base=str(folder)), Base("x", folder, "")
    begun = {"run": "mine", "base_files": content_of(base, recipe.base)}
    (folder / "processor_config.json").write_text("{}")
    with pytest.raises(TrainError, match=r"processor_config\.json is no longer") if decides else nullcontext():
        check_content(base, recipe.base, begun)


def test_only_layers_of_the_language_model_are_checkpointed(tmp_path: Path) -> None:
    folder = make_tiny_vision_base(tmp_path / "base", TEXTS, seed=0)
    recipe = load_recipe("cpu-smoke-vlm")
    model = load_model(Base("x", folder, ""), recipe.base, recipe.device)
    checkpoint_layers(model, 1)
    again = [name for name, module in model.named_modules() if getattr(module, "gradient_checkpointing", False) is True]
    assert [name for name in again if ".layers." in name] == ["model.language_model.layers.0"]


@pytest.mark.parametrize("autocast", ["none", "bfloat16"])
@pytest.mark.parametrize("vision", ["frozen", "adapted"])
def test_the_planned_memory_of_pictures_is_a_little_more_than_what_an_update_takes(vision: str, autocast: str) -> None:
    from peft import get_peft_model
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    numbers = {"none": "float32", "bfloat16": "bfloat16"}[autocast]
    changes = (f"base.vision={vision}", f"optimiser.autocast={autocast}", f"base.dtype={numbers}", "lora.rank=4")
    recipe = load_recipe("cpu-smoke-vlm", changes)
    side, mark = 256, WORDS - 1
    sizes = {"num_attention_heads": 8, "hidden_size": 256}
    config = LlavaConfig(
        text_config=LlamaConfig(**SIZES | sizes | {"intermediate_size": 896, "max_position_embeddings": 4096}),
        vision_config=CLIPVisionConfig(
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=8,
            image_size=side,
            patch_size=16,
        ),
        image_token_id=mark,
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config).to(getattr(torch, numbers))
    score_answers(model, WORDS)
    model = get_peft_model(model, lora_config(recipe, model)).train()
    keep_adapter_in_float32(model)
    if autocast != "none":
        leave_inputs_alone(model)
    tokens = Tokens(0)
    fuse_adapter(model, tokens)
    slates = [
        EncodedSlate((mark,) * (side // 16) ** 2 + (2, 3), tuple(tuple(range(2, 62)) for _ in range(4)), name)
        for name in ("a", "b", "c")
    ]
    pixels = {"pixel_values": torch.rand(1, 3, side, side)}
    pictures: Any = SimpleNamespace(pixels=lambda name: pixels)  # noqa: ARG005
    (packed,) = (laid.to("cpu", pictures) for laid in pack(slates, 10_000))
    tokens.enter(packed, torch.arange(3), 0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as watched:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast == "bfloat16"):
            log_probs = answer_log_probs(model, packed)
        log_probs.sum().backward()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    sight = sight_per_token(config, recipe, slates, pictures, "rows")
    assert (sight > 0) == (vision == "adapted")
    planned = widths_of(config.text_config, recipe, sight).per_token(0) * packed.size
    assert 1 < planned / taken < 1.3


@pytest.mark.parametrize(("kind", "places"), [("gemma3", 4), ("idefics3", 20)])
def test_the_preflight_counts_the_places_of_a_picture(kind: str, places: int, tmp_path: Path) -> None:
    """Gemma 3 writes one token where a picture stands, and another for each of its parts."""
    base = make_vision_base(kind, tmp_path / kind)
    plan = planned(tmp_path / "run", write_picture_snapshot(tmp_path, "abc"), "data.max_length=2048", base=str(base))
    assert f"12, each {places} tokens of its prompt" in dict(plan.checks.lines())["pictures"]
