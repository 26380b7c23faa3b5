"""Runs on pictures: planned, trained, cut off and gone on with, measured, merged."""

import json
from pathlib import Path

import pytest
import torch
from picture_snapshots import QUESTION, dish, write_picture_snapshot
from PIL import Image
from train_snapshots import QUICK

import train.dpo
from annotation.errors import TrainError
from annotation.images.store import LostPicture
from annotation.types import picture_file
from train.data.encoding import encode_whole
from train.data.plan import make_plan
from train.engine.trl_dpo import pair_trainer
from train.libraries import quiet_libraries
from train.models.base import load_model
from train.release.weights import MOST_KL, write_merged
from train.run_folder import NullLog, write_rows
from train.settings import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_plan_of_pictures_counts_their_tokens_and_needs_no_weights(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 12)
    plan, _, needed = train.dpo.dry_run(source, preset="cpu-smoke-vlm", overrides=QUICK)
    counted = plan.checks.pictures
    assert counted
    assert (counted.pictures, counted.least, counted.mean, counted.most) == (12, 4, 4.0, 4)
    lengths = [
        encode_whole(slate, plan.vocabulary, plan.pictures)[0]
        for side in (plan.slates.train, plan.slates.held_out)
        for slate in side
    ]
    tokens = sum(len(row.prompt) + len(answer) for row in lengths for answer in row.answers)
    assert counted.share == pytest.approx(4 * sum(len(row.answers) for row in lengths) / tokens)
    assert any(
        line.startswith("pictures") and "12, each 4 tokens of its prompt" in line for line in plan.lines("a CPU")
    )
    assert needed.weights_gib > 0


def test_trl_trains_on_pictures_and_on_the_tokens_that_were_looked_at(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 8)
    recipe = load_recipe("cpu-smoke-vlm", [*QUICK, "dpo.objective=trl", "optimiser.max_steps=2", "run.eval_every=0"])
    with quiet_libraries(None):
        plan = make_plan(recipe, source, tmp_path)
        for name, pairs in (("train.jsonl", plan.pairs.train), ("held_out.jsonl", plan.pairs.held_out)):
            write_rows(tmp_path / name, [pair.row() for pair in pairs])
        model = load_model(plan.base, recipe.base, recipe.device)
        trainer = pair_trainer(plan, model, NullLog(tmp_path), [])
        assert trainer.args.max_length is None
        before = {name: weights.clone() for name, weights in trainer.model.named_parameters() if weights.requires_grad}
        trainer.train()
    changed = {name for name, old in before.items() if not torch.equal(old, trainer.model.get_parameter(name))}
    assert changed
    assert all("language_model" in name for name in before)


ENDING = (*QUICK, "optimiser.max_steps=8", "run.eval_every=0", "evaluation.prompts=0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a snapshot of descriptions that nothing disturbed, in a project."""
    project = tmp_path_factory.mktemp("sight")
    source = write_picture_snapshot(project, "abc", 12)
    folder = project / "runs" / "whole"
    train.dpo.train(folder, source, preset="cpu-smoke-vlm", overrides=ENDING, quiet=True)
    return folder


def test_a_run_on_pictures_has_all_that_it_was_trained_on_and_says_how_it_ranks(whole: Path) -> None:
    slates = [json.loads(line) for name in ("slates", "held_out_slates") for line in (whole / f"{name}.jsonl").open()]
    assert len({slate["image"] for slate in slates}) == 12
    assert all((whole / picture_file(slate["image"])).exists() for slate in slates)
    source = whole.parent.parent / "snapshots" / "abc"
    named = picture_file(slates[0]["image"])
    assert (whole / named).samefile(source / named)  # no second copy
    done = json.loads((whole / "DONE").read_text())
    assert 0 <= done["accuracy"]["implicit_reward"]["after"]["value"] <= 1
    assert done["base_is_tiny_and_random"]
    report = (whole / "report.md").read_text(encoding="utf-8")
    assert "| pictures | 12, each 4 tokens of its prompt," in report
    assert (whole / "adapter" / "processor_config.json").exists()


def test_the_adapter_is_loaded_by_peft_alone(whole: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(whole / "base"), whole / "adapter")
    names = [name for name, _ in model.named_parameters() if "lora_B" in name]
    assert len(names) == 14  # seven layers of each of the language model's two
    assert all("language_model" in name for name in names)
    assert all(bool(model.get_parameter(name).any()) for name in names)


def test_a_run_is_not_gone_on_with_where_a_file_names_other_pictures(tmp_path: Path) -> None:
    rows = [
        {"prompt": QUESTION, "chosen": f"Un plato {number}.", "rejected": "Sopa.", "image": f"{number}.jpg"}
        for number in range(6)
    ]
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(dish(number))
    source = tmp_path / "mine.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    short = (*ENDING, "optimiser.max_steps=1", "data.repeated=true")
    train.dpo.train(tmp_path / "run", source, preset="cpu-smoke-vlm", overrides=short, quiet=True)
    assert len(list((tmp_path / "run" / "images").rglob("*.jpg"))) == 6
    (tmp_path / "run" / "DONE").unlink()
    (tmp_path / "3.jpg").write_bytes(dish(33))
    with pytest.raises(TrainError, match=r"mine.jsonl holds other pictures than when the run run was begun"):
        train.dpo.train(tmp_path / "run", source, preset="cpu-smoke-vlm", overrides=short, quiet=True)


def test_a_damaged_picture_fails_a_run_before_it_is_begun(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 6)
    next((source / "images").rglob("*.jpg")).write_bytes(b"no picture")
    with pytest.raises(LostPicture, match="was changed"):
        train.dpo.train(tmp_path / "run", source, preset="cpu-smoke-vlm", overrides=ENDING, quiet=True)
    assert "annot images add" in (tmp_path / "run" / "FAILED").read_text()
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_a_model_that_sees_is_merged_into_the_trained_one(whole: Path, tmp_path: Path, quantisation: str) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    run = whole
    if quantisation != "none":
        run = tmp_path / "run"
        changed = (*ENDING, f"base.quantisation={quantisation}", "base.dtype=bfloat16", "optimiser.autocast=bfloat16")
        source = whole.parent.parent / "snapshots" / "abc"
        base = str(whole / "base")
        train.dpo.train(run, source, preset="cpu-smoke-vlm", base=base, overrides=changed, quiet=True)
    to = tmp_path / "model"
    to.mkdir()
    measured = write_merged(run, to)
    assert measured.kl is not None
    assert 0 <= measured.kl < MOST_KL
    assert measured.tokens > 50
    model, processor = AutoModelForImageTextToText.from_pretrained(to), AutoProcessor.from_pretrained(to)
    picture = Image.open(next((run / "images").rglob("*.jpg")))
    question = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    written = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    asked = processor(images=picture, text=written, return_tensors="pt")
    assert model.generate(**asked, max_new_tokens=4).shape[1] > asked["input_ids"].shape[1]
