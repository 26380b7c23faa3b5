"""A run from the first line to DONE, on a CPU: what it leaves, what it says, what it refuses, and how it goes on."""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from train_snapshots import ON_CPU, QUICK, UNBROKEN, preference_rows, shared_project, shared_run, write_snapshot
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError, TrainLater
from train.data.plan import count_steps, make_plan, pairs_of_slates
from train.data.read import read_slates
from train.data.split import all_texts
from train.dpo import dry_run, train
from train.engine.adapter import check_float32, keep_adapter_in_float32, lora_config
from train.engine.memory import check_device
from train.engine.trl_dpo import dpo_config
from train.evaluate.gate import gate_of
from train.evaluate.run import evaluate
from train.evaluate.scores import compare_with_base
from train.footprint import footprint
from train.models.base import Base, find_base, load_model
from train.models.tiny_model import NOTICE, make_tiny_base
from train.run_folder import FACTS, SEAL, check_same, claimed, name_run, newest_checkpoint, seal
from train.settings import load_recipe

ANNOT_TRAIN = (sys.executable, "-m", "annotation.cli", "train", "--project")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of this module's own with the snapshot and the model folder of the shared one."""
    return Path(shutil.copytree(shared_project(tmp_path_factory), tmp_path_factory.mktemp("mine") / "project"))


@pytest.fixture(scope="module")
def source(project: Path) -> Path:
    return project / "snapshots" / "abc"


@pytest.fixture(scope="module")
def base(project: Path) -> Path:
    """A model folder as a user would name one."""
    return project / "tiny"


def annot(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ANNOT_TRAIN, str(project), *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    """A run as the trigger starts it: detached, with its output in the run's own log.txt."""
    folder = project / "runs" / "first"
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("ab") as log:
        code = subprocess.run(
            [*ANNOT_TRAIN, str(project), "--snapshot", "abc", "--run", "first", "--preset", "cpu-smoke"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        ).returncode
    assert code == 0, (folder / "log.txt").read_text()
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


MOST = 6 / 7
"""Of the votes in the snapshot one of seven is against the majority: no order agrees with more."""


def accuracy_of(run: Path) -> float:
    """Held-out ranking accuracy by implicit reward, as DONE has it."""
    return float(json.loads((run / "DONE").read_text())["accuracy"]["implicit_reward"]["after"]["value"])


def adapter_tensors(adapter: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(adapter / "adapter_model.safetensors")
    assert tensors
    return tensors


def test_a_run_learns_the_planted_preference_and_shows_it(finished: Path) -> None:
    done = json.loads((finished / "DONE").read_text())
    accuracy = done["accuracy"]
    assert accuracy["implicit_reward"]["after"]["value"] > 0.9 * MOST
    assert accuracy["per_token"]["after"]["value"] > 0.9 * MOST > accuracy["per_token"]["before"]["value"]
    assert set(accuracy["by_country"]) == {"AR", "BR", "MX"}
    metrics = rows_of(finished / "metrics.jsonl")
    train_lines = [line for line in metrics if "loss" in line]
    assert train_lines[0]["loss"] > train_lines[-1]["loss"]
    assert train_lines[-1]["rewards/margins"] > 1
    assert [line["step"] for line in train_lines] == list(range(1, 25))  # a short run logs every step
    assert train_lines[0]["loss"] == pytest.approx(train_lines[0]["untrained_loss"], rel=1e-4)
    assert done["diverged"] == ""
    report = (finished / "report.md").read_text(encoding="utf-8")
    assert NOTICE in report
    used = footprint(finished)
    assert used is not None
    assert f"- energy: {used.line()}" in report
    assert "## Held-out ranking accuracy" in report
    assert "| answers without EOS | 0 of 160 |" in report
    worst_first = [report.index(f"| country {country} |") for country in accuracy["by_country"]]
    assert worst_first == sorted(worst_first)
    for plot in ("loss", "reward_margin", "accuracy", "rewards"):
        assert f"({plot}.png)" in report
        assert (finished / f"{plot}.png").read_bytes().startswith(b"\x89PNG")


def test_a_trained_run_is_measured_and_passes_the_gate(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []

    def count(model: Any, answers: Any, **named: Any) -> Any:
        scored.append(len(answers))
        return compare_with_base(model, answers, **named)

    monkeypatch.setattr("train.evaluate.model.compare_with_base", count)
    run = Path(shutil.copytree(finished, tmp_path / "first"))
    few = [
        "evaluation.prompts=4",
        "evaluation.max_new_tokens=4",
        "evaluation.gate_prompts=2",
        "evaluation.gate_accuracy=0.2",
    ]
    found = evaluate(run, overrides=few, say=lambda _line: None)
    assert sum(scored) == 4  # the model's own answers: the training had scored the held-out ones already
    assert found.gate.verdict == gate_of(run).verdict == "passed"
    groups = found.summaries["ranking"].groups  # type: ignore[attr-defined]
    assert groups[0].accuracy.value == pytest.approx(groups[0].most)  # no order could do better
    assert {group.name for group in groups if group.by == "country"} == {"AR", "BR", "MX"}
    report = (run / "report.md").read_text(encoding="utf-8")
    assert report.index("**Gate: passed.**") < report.index("## Preflight")


def test_a_run_folder_says_all_about_itself_and_keeps_nothing_else(finished: Path, source: Path) -> None:
    facts = json.loads((finished / "run.json").read_text())
    assert (facts["snapshot"], facts["preset"], facts["seed"], facts["steps"]) == ("abc", "cpu-smoke", 0, 24)
    assert facts["base_is_tiny_and_random"] is True
    assert facts["base_note"] == NOTICE
    assert facts["recipe"] == load_recipe("cpu-smoke").model_dump(mode="json")
    assert facts["versions"]["trl"].startswith("1.16")
    assert (finished / "snapshot.json").read_bytes() == (source / "snapshot.json").read_bytes()
    trained, held = (
        {row["prompt"][-1]["content"] for row in rows_of(finished / name)} for name in ("train.jsonl", "held_out.jsonl")
    )
    assert (len(trained), len(held)) == (32, 8)
    assert not trained & held
    assert (finished / "DONE").stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in finished.rglob("*"))
    names = {path.name for path in finished.iterdir()}
    assert not {"checkpoints", ".cache", "FAILED", ".holder.json"} & names
    assert not [name for name in names if name.startswith(".adapter")]


def test_the_detached_log_has_plain_lines_once_each(finished: Path) -> None:
    lines = (finished / "log.txt").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("step 5 of 24: loss") for line in lines) == 1
    assert any(NOTICE in line for line in lines)
    assert lines[-1].startswith("done in ")
    assert not [line for line in lines if "Warning" in line or "Traceback" in line or "\r" in line]


def test_the_adapter_alone_gives_the_accuracy_of_the_report(finished: Path) -> None:
    """Read back by plain PEFT, scored one answer at a time by the definition."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    tensors = adapter_tensors(finished / "adapter")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    model = AutoPeftModelForCausalLM.from_pretrained(finished / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(finished / "adapter")

    def score(prompt: Any, answer: Any) -> float:
        start = len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])
        ids = torch.tensor([tokenizer.apply_chat_template(prompt + answer, return_dict=True)["input_ids"]])
        with torch.no_grad():
            scores = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return float(scores.gather(1, ids[0, 1:, None])[start - 1 :].mean())

    right = votes = 0
    for slate in rows_of(finished / "held_out_slates.jsonl"):
        scores = [score(slate["prompt"], answer) for answer in slate["answers"]]
        for ranking in slate["rankings"]:
            for better, worse in itertools.combinations(ranking["tiers"], 2):
                agreed = [scores[one] > scores[other] for one in better for other in worse]
                right, votes = right + ranking["people"] * sum(agreed), votes + ranking["people"] * len(agreed)
    done = json.loads((finished / "DONE").read_text())
    assert right / votes == pytest.approx(done["accuracy"]["per_token"]["after"]["value"])


def test_a_finished_run_says_so_at_once_and_touches_nothing(finished: Path, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"}
    code = "import sys; from annotation.cli import app; app(standalone_mode=False); print('torch' in sys.modules)"
    words = ["train", "--project", str(project), "--snapshot", "abc", "--run", "first"]
    again = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    said, loaded = again.stdout.splitlines()
    assert said.startswith("first is finished")
    assert loaded == "False"  # nothing that takes seconds
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"}
    words = ["train", "--project", str(project), "--snapshot", "abc", "--run", "first", "--json"]
    told = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert told["already"] is True
    assert told["accuracy"]["per_token"]["after"]["count"] == 8


def test_a_run_is_not_gone_on_with_under_other_settings(finished: Path, source: Path, project: Path) -> None:
    with pytest.raises(TrainError, match=r"first was begun with recipe.lora.rank = 8, and now it is 4"):
        train(finished, source, overrides=["lora.rank=4"], quiet=True)
    other = write_snapshot(project, "other", preference_rows(4), made_at="2025-01-01T00:00:00")
    with pytest.raises(TrainError, match="first was begun with"):
        train(finished, other, quiet=True)
    assert not (finished / "FAILED").exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(project: Path, source: Path) -> None:
    before = sorted(project.rglob("*"))
    plan, device, _ = dry_run(source, preset="cpu-smoke")
    assert (plan.steps, len(plan.slates.train), len(plan.slates.held_out), len(plan.pairs.held_out)) == (24, 32, 8, 16)
    assert device == "CPU, 1 thread"
    assert plan.base.licence == ""
    by_trl = ["dpo.objective=trl", "dpo.label_smoothing=0.0"]
    plan, *_ = dry_run(source, preset="cpu-smoke", overrides=by_trl)
    assert (plan.steps, len(plan.pairs.train), len(plan.pairs.held_out)) == (40, 64, 16)
    plan, *_ = dry_run(source, preset="cpu-smoke", overrides=by_trl[:1])
    held_out = {pair.prompt_key for pair in plan.pairs.held_out}
    rest = [pair for pair in pairs_of_slates(read_slates(source).slates) if pair.prompt_key not in held_out]
    assert len(plan.pairs.train) == sum(pair.votes_for + pair.votes_against for pair in rest) == 32 * 3 + 32 * 4
    assert len(plan.pairs.held_out) == 16
    assert sorted(project.rglob("*")) == before


def test_steps_are_what_the_epochs_need_up_to_a_limit() -> None:
    assert count_steps(32, load_recipe("cpu-smoke")) == 24
    assert count_steps(6400, load_recipe("cpu-smoke")) == 40
    assert count_steps(1, load_recipe("l40s-8b-qlora")) == 2
    assert count_steps(1601, load_recipe("l40s-8b-qlora")) == 202


# -- GPU presets, as far as a CPU goes ----------------------------------------------------------------------


def test_the_bfloat16_preset_trains_a_float32_adapter_on_a_bfloat16_base(
    base: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import torch

    recipe = load_recipe("l40s-8b-lora-bf16", ON_CPU, base=str(base))
    model = load_model(Base(str(base), base, "1"), recipe.base, recipe.device)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    run = shared_run(tmp_path_factory, "l40s-8b-lora-bf16")
    assert accuracy_of(run) > 0.9 * MOST
    tensors = adapter_tensors(run / "adapter")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == json.loads((run / "run.json").read_text())["base"]
    assert config["lora_dropout"] == 0.05


def test_the_qlora_preset_trains_a_float32_adapter_on_a_4_bit_base(tmp_path_factory: pytest.TempPathFactory) -> None:
    import torch

    run = shared_run(tmp_path_factory, "l40s-8b-qlora")
    assert accuracy_of(run) > 0.9 * MOST
    tensors = adapter_tensors(run / "adapter")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    # Float32 in name only would round to bfloat16 without loss.
    assert all((tensor != tensor.bfloat16().float()).any() for tensor in tensors.values())
    assert "gemv_4bit" not in (run / "libraries.log").read_text()


def test_trl_casts_the_adapter_on_a_4_bit_base_and_we_undo_it(base: Path, source: Path, tmp_path: Path) -> None:
    import torch
    from datasets import Dataset
    from trl import DPOTrainer

    recipe = load_recipe(
        "l40s-8b-qlora", [*ON_CPU, "dpo.precompute_reference=false", "run.eval_every=0"], base=str(base)
    )
    trainer = DPOTrainer(
        model=load_model(Base(str(base), base, "1"), recipe.base, recipe.device),
        args=dpo_config(tmp_path, recipe, 2),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=make_plan(recipe, source, tmp_path).vocabulary.tokenizer,
        peft_config=lora_config(recipe),
    )
    with pytest.raises(RuntimeError, match=r"trained tensors are not float32: .*bfloat16"):
        check_float32(trainer.model)
    keep_adapter_in_float32(trainer.model)
    check_float32(trainer.model)
    assert any(module.p == 0.05 for module in trainer.model.modules() if isinstance(module, torch.nn.Dropout))


def test_gradients_through_4_bit_weights_survive_an_evaluation(base: Path) -> None:
    """On some CPUs bitsandbytes repacks weights in evaluation mode for a kernel without a gradient."""
    import torch

    recipe = load_recipe("l40s-8b-qlora", ON_CPU, base=str(base))
    model = load_model(Base(str(base), base, "1"), recipe.base, recipe.device)
    ids = torch.arange(20)[None]

    def gradient() -> Any:
        model.train()
        inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
        model(inputs_embeds=inputs).logits[0, -1, 5].backward()
        return inputs.grad.float()

    before = gradient()
    model.eval()
    with torch.no_grad():
        model(input_ids=ids)
    assert before.norm() > 0
    assert torch.equal(gradient(), before)


def test_without_a_gpu_one_sentence_says_so(source: Path, base: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrainError, match=r"needs a CUDA GPU with 36 GiB free, and this machine has none") as caught:
        train(tmp_path / "run", source, preset="l40s-8b-lora-bf16", base=str(base), quiet=True)
    with pytest.raises(TrainError, match=r"--preset cpu-smoke-vlm \(train.picture_preset in annot.toml\)"):
        check_device(load_recipe("l40s-vlm-lora"), "l40s-vlm-lora")
    assert (tmp_path / "run" / "FAILED").read_text() == f"{caught.value}\n"
    assert not (tmp_path / "run" / "run.json").exists()


def test_too_little_gpu_memory_is_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (20 * 2**30, 44 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    with pytest.raises(TrainError, match=r"needs 36 GiB of GPU memory and a GPU has 20.0 of 44.0 GiB free"):
        check_device(load_recipe("l40s-8b-lora-bf16"), "l40s-8b-lora-bf16")
    assert check_device(load_recipe("l40s-8b-qlora"), "l40s-8b-qlora") == "a GPU, 20 of 44 GiB free"


# -- going on ------------------------------------------------------------------------------------------------


class Cut(BaseException):
    """Stands for a kill at a place that random moments seldom hit."""


# A rate that does not fall: a step too many would show.
CONSTANT = (*QUICK, "optimiser.max_steps=8", "optimiser.schedule=constant_with_warmup")


@pytest.fixture(scope="module")
def whole(source: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    return train(
        tmp_path_factory.mktemp("run") / "whole", source, base=str(base), overrides=CONSTANT, quiet=True
    ).folder


@pytest.mark.parametrize("step", [0, 3, 8])
def test_a_run_cut_off_anywhere_ends_like_an_undisturbed_one(
    source: Path, base: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Cut before the first step (reference log-probs are cached by then), in the middle, and behind the last one."""
    import transformers

    import train.dpo
    import train.engine.callbacks

    with monkeypatch.context() as patch:

        def cut(*_args: Any, **_kwargs: Any) -> None:
            raise Cut

        if step == 0:
            patch.setattr(transformers.Trainer, "train", cut)
        elif step == 8:
            patch.setattr(train.dpo, "save_adapter", cut)
        else:
            patch.setattr(
                train.engine.callbacks, "seal", lambda path: cut() if path.name == "checkpoint-4" else seal(path)
            )
        with pytest.raises(Cut):
            train.dpo.train(tmp_path / "cut", source, base=str(base), overrides=CONSTANT, quiet=True)
    assert not (tmp_path / "cut" / "FAILED").exists()
    again = train.dpo.train(tmp_path / "cut", source, base=str(base), overrides=CONSTANT, quiet=True)
    assert again.done["adapter_sha256"] == json.loads((whole / "DONE").read_text())["adapter_sha256"]
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    went_on = {0: "", 3: "going on from step 2 of 8", 8: "going on from step 8 of 8"}[step]
    assert went_on in (tmp_path / "cut" / "log.txt").read_text()


def test_checkpoints_that_are_not_whole_are_removed(tmp_path: Path) -> None:
    for step in (10, 20, 30, 9):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "optimizer.pt").write_bytes(b"state" * step)
        if step != 30:
            seal(folder)
    damaged = tmp_path / "checkpoints" / "checkpoint-20" / "optimizer.pt"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-10"
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"checkpoint-10", "checkpoint-9"}
    (found / SEAL).unlink()
    (tmp_path / "checkpoints" / "checkpoint-9" / "optimizer.pt").unlink()
    assert newest_checkpoint(tmp_path) is None


def test_two_processes_never_train_one_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.run_folder.LOCK_WAIT_S", 0.1)
    folder = tmp_path / "run"
    with claimed(folder), pytest.raises(TrainLater, match=rf"run is being trained by process {os.getpid()} since"):
        train(folder, source, quiet=True)
    assert not (folder / "FAILED").exists()
    assert not (folder / "run.json").exists()


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "overrides", "told"),
    [
        ([], (), "holds no preferences"),
        (preference_rows(1), (), "only 1 prompt"),
        (preference_rows(4), ("data.max_length=16",), "nothing is left to train on"),
        ([{**row, "rejected": row["chosen"]} for row in preference_rows(4)], (), "the same answer twice"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_and_marked_as_failed(
    tmp_path: Path, rows: list[dict[str, Any]], overrides: tuple[str, ...], told: str
) -> None:
    snapshot = write_snapshot(tmp_path, "abc", rows or preference_rows(1))
    if not rows:
        import pyarrow.parquet as pq

        for path in (snapshot / "preferences.parquet", snapshot / "rankings.parquet"):
            pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(TrainError, match=told):
        train(tmp_path / "run", snapshot, overrides=overrides, quiet=True)
    assert told in (tmp_path / "run" / "FAILED").read_text()
    assert len((tmp_path / "run" / "FAILED").read_text().splitlines()) == 1
    # Nothing to mend is left behind: with better data the same run succeeds.
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_wrong_flag_fails_a_run_that_was_launched_and_litters_nowhere_else(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no preset"):
        train(tmp_path / "typo", source, preset="l40", quiet=True)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "launched").mkdir()
    with pytest.raises(SettingsError, match="there is no preset"):
        train(tmp_path / "launched", source, preset="l40", quiet=True)
    assert "there is no preset" in (tmp_path / "launched" / "FAILED").read_text()
    with pytest.raises(TrainError, match="does not exist"):
        train(tmp_path / "typo", source.parent / "gone", quiet=True)


def test_a_diverged_run_stops_and_says_so(source: Path, base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    # Scores that float32 can hold, and whose gradients it cannot.
    wild = Path(shutil.copytree(base, tmp_path / "wild"))
    weights = load_file(wild / "model.safetensors")
    weights["lm_head.weight"] *= 1e35
    save_file(weights, wild / "model.safetensors", metadata={"format": "pt"})
    overrides = (*QUICK, "lora.alpha=65536", "engine.max_bad_batches=1")
    with pytest.raises(TrainError, match=r"not finite in 2 batches .*training has diverged"):
        train(tmp_path / "run", source, base=str(wild), overrides=overrides, quiet=True)
    assert "training has diverged" in (tmp_path / "run" / "FAILED").read_text()


def test_an_unreachable_hub_is_one_sentence_and_no_failure(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    # Nothing listens on port 9 of this machine.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TrainLater) as caught:
        train(tmp_path / "far", source, preset="l40s-8b-lora-bf16", overrides=["device.kind=cpu"], quiet=True)
    assert str(caught.value) == (
        "CohereLabs/aya-expanse-8b is not on this machine and the Hub cannot be reached; "
        "connect, or name a model folder with --base."
    )
    assert not (tmp_path / "far" / "FAILED").exists()


def test_a_model_that_was_downloaded_before_is_found_without_the_hub(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--someone--tiny"
    shutil.copytree(base, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    recipe = load_recipe("cpu-smoke", base="someone/tiny")
    found = find_base(recipe.base, tmp_path, list, seed=0)
    assert (found.name, found.version, found.folder) == ("someone/tiny", commit, cached / "snapshots" / commit)
    (cached / "snapshots" / commit / "model.safetensors").unlink()
    assert find_base(recipe.base, tmp_path, list, seed=0, weights=False) == found  # enough for a plan
    with pytest.raises(TrainLater, match=r"not whole \(model.safetensors is missing\)"):
        find_base(recipe.base, tmp_path, list, seed=0)


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (403, "GatedRepo", TrainError, "accept its licence on its page"),
        (401, "RepoNotFound", TrainError, "neither a folder here nor a model on the Hub"),
        (404, "RevisionNotFound", TrainError, 'has no revision "main"'),
        (500, "", TrainLater, "the Hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_told_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: type[Exception], told: str
) -> None:
    import huggingface_hub.constants

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    try:
        with pytest.raises(kind, match=told) as caught:
            find_base(load_recipe("cpu-smoke", base="someone/else").base, tmp_path, list, seed=0)
    finally:
        server.shutdown()
        server.server_close()
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("name", "told"),
    [("./gone", "no such folder"), ("/gone", "no such folder"), ("a b/c", "neither a folder here nor a model")],
)
def test_a_base_that_is_nowhere_is_refused(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=told) as caught:
        find_base(load_recipe("cpu-smoke", base=name).base, tmp_path, list, seed=0)
    assert not isinstance(caught.value, TrainLater)


def _cut(base: Path) -> None:
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _without_tokenizer(base: Path) -> None:
    (base / "tokenizer.json").unlink()


def _broken_tokenizer(base: Path) -> None:
    (base / "tokenizer.json").write_text('{"version": "1.0"}')


def _broken_config(base: Path) -> None:
    (base / "config.json").write_text('{"model_type": ')


def _broken_endings(base: Path) -> None:
    (base / "generation_config.json").write_text("{")


def _config(base: Path, **changed: Any) -> None:
    path = base / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_cut, r"the model cannot be loaded \(.*\); fetch the base's files again"),
        (_without_tokenizer, r"the tokenizer cannot be loaded"),
        (_broken_tokenizer, r"the tokenizer cannot be loaded"),
        (_broken_config, r"config.json is no"),
        (_broken_endings, r"generation_config.json is no"),
        (lambda base: _config(base, num_hidden_layers=3), r"9 weights are not those that its config.json describes"),
        (lambda base: _config(base, num_hidden_layers=1), r"9 weights are not those .*model\.layers\.1\."),
        (lambda base: _config(base, hidden_size="x"), r"the configuration cannot be loaded"),
        (lambda base: _config(base, intermediate_size=96), r"6 weights .*mlp"),
        (lambda base: _config(base, model_type="gpt2"), r"are of two models"),
        (lambda base: _config(base, vocab_size=300), r"token \d+ .* knows 300"),
    ],
)
def test_a_damaged_base_is_refused_in_one_sentence_and_nothing_is_learnt_from_random_weights(
    source: Path, base: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    damaged = Path(shutil.copytree(base, tmp_path / "damaged"))
    spoil(damaged)
    with pytest.raises(TrainError, match=told) as caught:
        train(tmp_path / "run", source, base=str(damaged), overrides=QUICK, quiet=True)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run" / "adapter").exists()


def test_what_could_not_be_measured_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    rows = preference_rows(6)
    rankings: list[dict[str, Any]] = []
    for row in rows:  # two people of two opinions: a ranking each, and no majority
        names = [row["chosen_id"], row["rejected_id"]]
        about = {name: row[name] for name in ("slate_id", "system", "prompt", "country", "language", "topic")}
        for who, ranks in enumerate(([1, 2], [2, 1])):
            said = {"candidate_ids": names, "candidates": [row["chosen"], row["rejected"]], "ranks": ranks}
            rankings.append({**about, **said, "slate_id": row["chosen_id"], "annotator": f"annotator-{who}"})
    (tmp_path / "divided.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rankings))
    with pytest.raises(TrainError, match="a majority prefers one answer to another, so that nothing could be measured"):
        dry_run(tmp_path / "divided.jsonl")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no model folder"):
        find_base(load_recipe("cpu-smoke", base=str(tmp_path)).base, tmp_path, list, seed=0)


def test_runs_are_named_by_what_they_are_unless_told(tmp_path: Path) -> None:
    assert name_run("", "cpu-smoke", tmp_path / "abc") == "cpu-smoke-abc"
    assert name_run("mine.2", "cpu-smoke", tmp_path) == "mine.2"
    for wrong in ("../up", "a/b", ".hidden", "with space"):
        with pytest.raises(SettingsError, match="no name for a folder"):
            name_run(wrong, "cpu-smoke", tmp_path)


def test_what_was_not_begun_may_be_begun_with_anything(tmp_path: Path) -> None:
    check_same(tmp_path, {"preset": "x"})
    facts = {fact: kind() for fact, kind in FACTS.items()}
    (tmp_path / "run.json").write_text(json.dumps({**facts, "preset": "y"}))
    with pytest.raises(TrainError, match="preset = 'y', and now it is 'x'"):
        check_same(tmp_path, {"preset": "x"})


def test_the_command_trains_on_a_plain_file_without_a_project(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Pregunta {i}: ", "chosen": f"laburo {i}", "rejected": f"trabajo {i}", "country": "AR"}
        for i in range(12)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--data", str(tmp_path / "mine.jsonl"), "--preset", "cpu-smoke", "--dry-run", "--json"]
    told = CliRunner().invoke(app, ["train", "--project", str(tmp_path), *words], catch_exceptions=False)
    plan = json.loads(told.stdout)
    assert (plan["train_slates"], plan["held_out_slates"], plan["base_is_tiny_and_random"]) == (10, 2, True)
    assert plan["preflight"]["form"] == "messages, through the chat template"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    refused = CliRunner().invoke(app, ["train", "--project", str(tmp_path), *words, "--run", "../evil"])
    assert isinstance(refused.exception, SettingsError)
    assert "no name for a folder of runs/" in str(refused.exception)
    run = train(
        tmp_path / "run",
        tmp_path / "mine.jsonl",
        overrides=(*QUICK, *UNBROKEN, "optimiser.max_steps=2", "dpo.objective=trl"),
        quiet=True,
    )
    assert run.done["snapshot"] is None
    assert math.isfinite(run.done["accuracy"]["implicit_reward"]["after"]["value"])
    assert "- energy: not measured (footprint.measure = false)" in (tmp_path / "run" / "report.md").read_text()


def test_an_export_and_hand_written_pairs_are_learnt_as_the_conversations_that_they_are(
    project: Path, base: Path, tmp_path: Path
) -> None:
    """preferences.parquet has plain columns, preferences.jsonl messages: a run on one is a run on the other."""
    from annotation.files import read_parquet
    from train.data.encoding import encode_slate

    rows = read_parquet(project / "snapshots" / "abc" / "preferences.parquet")
    shutil.copy(project / "snapshots" / "abc" / "preferences.parquet", tmp_path / "export.parquet")
    talks, plain = [], []
    for row in rows:
        system = [{"role": "system", "content": row["system"]}] if row["system"] else []
        answers = {name: [{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}
        talks.append({**row, **answers, "prompt": [*system, {"role": "user", "content": row["prompt"]}]})
        plain.append({name: row[name] for name in ("prompt", "chosen", "rejected")})
    for name, lines in (("talks", talks), ("plain", plain)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def tokens(file: str) -> list[Any]:
        plan = make_plan(load_recipe("cpu-smoke", base=str(base)), tmp_path / file, tmp_path, weights=False)
        assert plan.checks.form == "messages, through the chat template"
        found = sorted((*plan.slates.train, *plan.slates.held_out), key=lambda slate: int(slate.id.rpartition(":")[2]))
        return [encode_slate(slate, plan.vocabulary.tokenizer) for slate in found]

    assert tokens("export.parquet") == tokens("talks.jsonl")
    bare = [row for row in talks if not rows[talks.index(row)]["system"]]
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
    hand_written = tokens("plain.jsonl")
    without_system = [one for one, row in zip(hand_written, rows, strict=True) if not row["system"]]
    assert without_system == tokens("bare.jsonl")


def test_texts_that_were_written_for_the_base_already_stay_as_they_stand(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = preference_rows(6)
    for row in rows:
        asked = [{"role": "user", "content": row["prompt"]}]
        row["prompt"] = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        del row["system"]
    (tmp_path / "written.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan, *_ = dry_run(tmp_path / "written.jsonl", base=str(base))
    assert plan.checks.form == "plain text, as it stands"
    assert plan.slates.train[0].prompt in {row["prompt"] for row in rows}


def test_a_refused_run_leaves_no_base_for_other_judgements(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(preference_rows(1)[0]) + "\n")
    with pytest.raises(TrainError, match="only 1 prompt"):
        train(tmp_path / "run", tmp_path / "mine.jsonl", overrides=QUICK, quiet=True)
    rows = [{**row, "chosen": f"zzz {row['chosen']}"} for row in preference_rows(8)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    few = (*QUICK, *UNBROKEN, "optimiser.max_steps=1")
    train(tmp_path / "run", tmp_path / "mine.jsonl", overrides=few, quiet=True)
    made = make_tiny_base(tmp_path / "afresh", all_texts(read_slates(tmp_path / "mine.jsonl").slates), seed=0)
    assert (tmp_path / "run" / "base" / "tokenizer.json").read_bytes() == (made / "tokenizer.json").read_bytes()

    held = tmp_path / "run" / "held_out_slates.jsonl"
    held.write_text("".join(reversed(held.read_text().splitlines(keepends=True))))
    (tmp_path / "run" / "DONE").unlink()
    with pytest.raises(TrainError, match="another version of annot, which held out other slates; choose another --run"):
        train(tmp_path / "run", tmp_path / "mine.jsonl", overrides=few, quiet=True)

    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:8]))
    with pytest.raises(TrainError, match=r"mine.jsonl holds other judgements than when the run run was begun; choose"):
        train(tmp_path / "run", tmp_path / "mine.jsonl", overrides=few, quiet=True)


def test_a_dry_run_estimates_memory_time_and_dollars_and_names_the_licence(project: Path, source: Path) -> None:
    base = Path(shutil.copytree(project / "tiny", project / "licensed"))
    (base / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    words = ["train", "--project", str(project), "--snapshot", "abc", "--preset", "l40s-8b-lora-bf16", "--dry-run"]
    shown = CliRunner().invoke(app, [*words, "--base", str(base)], catch_exceptions=False).stdout
    assert re.search(r"licence +cc-by-nc-4\.0; no commercial use; Qwen/Qwen2.5-7B-Instruct with --base", shown)
    assert re.search(r"memory, estimated +[\d.]+ GiB: [\d.]+ weights, [\d.]+ adapter and optimiser, ", shown)
    assert re.search(r"time, estimated +.*dollars at 1.80 an hour, on one \w+, .*never measured", shown)
    _, _, short = dry_run(source, preset="l40s-8b-lora-bf16", base=str(base), dollars_per_hour=2.0)
    _, _, longer = dry_run(
        source, preset="l40s-8b-lora-bf16", base=str(base), dollars_per_hour=2.0, overrides=["optimiser.epochs=20.0"]
    )
    _, _, quantised = dry_run(source, preset="l40s-8b-qlora", base=str(base))
    assert short.dollars == pytest.approx(2.0 * short.hours)
    assert 2 < longer.hours / short.hours < 10  # ten times the epochs; the reference and the measuring stay
    assert quantised.weights_gib < short.weights_gib
    assert dry_run(source, preset="cpu-smoke")[2].dollars is None
