"""What a finished run gives away: an adapter, or a merged model that is the trained one or is not written."""

import json
import shutil
from pathlib import Path

import pytest
from train_snapshots import shared_run
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from annotation.files import write_whole
from train.evaluate.gate import EVALUATION
from train.release.export import MOST_KL, export_adapter, export_merged, export_run

PRESETS = ("cpu-smoke", "l40s-8b-lora-bf16", "l40s-8b-qlora")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run of each kind of base: float32, bfloat16 and 4-bit."""
    runs = [shared_run(tmp_path_factory, preset) for preset in PRESETS]
    project = tmp_path_factory.mktemp("project")
    for run in runs:
        shutil.copytree(run, project / "runs" / run.name)
    return project


@pytest.fixture(scope="module")
def released(project: Path) -> tuple[Path, str]:
    """The merged model of a run as the command releases it, and what the command says."""
    words = ["release", "cpu-smoke", "--project", str(project), "--ungated", "--merged"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    return project / "exports" / "cpu-smoke-merged", shown.stdout


@pytest.mark.parametrize("preset", PRESETS)
def test_a_merged_model_is_the_trained_one(
    project: Path, released: tuple[Path, str], tmp_path: Path, preset: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = released[0]
    if preset != "cpu-smoke":
        folder = export_merged(project / "runs" / preset, tmp_path / "model").folder
    facts = json.loads((folder / "export.json").read_text())
    assert -1e-9 < facts["kl"] < MOST_KL
    assert facts["tokens"] > 100
    assert facts["snapshot"] == "abc"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_merging_changes_the_model(project: Path, released: tuple[Path, str]) -> None:
    from safetensors.torch import load_file

    base = project / "runs" / "cpu-smoke" / "base"
    before, after = (load_file(folder / "model.safetensors") for folder in (base, released[0]))
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)


def test_a_merged_model_that_is_not_the_trained_one_is_not_written(project: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"merged in bfloat16 is .* nats per token away .* --dtype float32"):
        export_merged(project / "runs" / "cpu-smoke", tmp_path / "model", dtype="bfloat16")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_given_with_what_it_is(project: Path, tmp_path: Path) -> None:
    run = project / "runs" / "cpu-smoke"
    done = export_adapter(run, tmp_path / "adapter")
    for file in (run / "adapter").iterdir():
        assert (done.folder / file.name).read_bytes() == file.read_bytes()
    facts = json.loads((done.folder / "export.json").read_text())
    assert (facts["kind"], facts["run"], facts["snapshot"]) == ("adapter", "cpu-smoke", "abc")
    assert facts["gate"] == "not measured"


def test_what_cannot_be_given_away_is_one_sentence(project: Path, tmp_path: Path) -> None:
    run = project / "runs" / "cpu-smoke"
    damaged = tmp_path / "runs" / "damaged"
    shutil.copytree(run, damaged)
    with (damaged / "adapter" / "adapter_model.safetensors").open("ab") as file:
        file.write(b"x")
    unfinished = tmp_path / "runs" / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "DONE").unlink()
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")

    for folder, to, reason in (
        (damaged, tmp_path / "a", "not what the run wrote"),
        (unfinished, tmp_path / "b", "is not finished"),
        (tmp_path / "runs" / "none", tmp_path / "c", r"none is no run: .*; there are damaged, unfinished\."),
        (run, taken, "is there already"),
    ):
        with pytest.raises(TrainError, match=reason):
            export_adapter(folder, to)
    with pytest.raises(SettingsError, match="choose float32, bfloat16, float16"):
        export_merged(run, tmp_path / "d", dtype="float8")
    assert (taken / "mine").read_text() == "mine"


def test_another_base_than_the_trained_one_is_refused(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "moved"
    shutil.copytree(project / "runs" / "l40s-8b-lora-bf16", run)
    facts = json.loads((run / "run.json").read_text())
    write_whole(run / "run.json", json.dumps({**facts, "base_version": "0123456789abcdef"}).encode())
    with pytest.raises(TrainError, match="no longer the model"):
        export_merged(run, tmp_path / "model")


def test_only_a_run_that_passed_its_gate_is_given_away(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "judged"
    shutil.copytree(project / "runs" / "cpu-smoke", run)
    with pytest.raises(
        TrainError, match=r"gate is not measured: .*; run `annot evaluate judged` first, or .*--ungated"
    ):
        export_run(run, tmp_path / "a", merged=False, ungated=False)
    remedies = {"failed": "look at its report.md", "undecided": "ask for fewer with `annot evaluate judged --set"}
    for verdict, given in (("failed", False), ("undecided", False), ("passed", True)):
        facts = {"gate": verdict, "gate_reason": "because", "gate_worst": "country MX"}
        write_whole(run / EVALUATION, json.dumps(facts).encode())
        to = tmp_path / verdict
        if given:
            export_run(run, to, merged=False, ungated=False)
        else:
            told = f"gate is {verdict}: because; .*{remedies[verdict]}.*, or take it upon yourself with --ungated"
            with pytest.raises(TrainError, match=told):
                export_run(run, to, merged=False, ungated=False)
        assert to.exists() == given


def test_the_command_releases_a_run_and_says_what_it_is(project: Path, released: tuple[Path, str]) -> None:
    folder, shown = released
    assert shown.startswith(f"{folder}: cpu-smoke merged into ")
    assert "nats per token away from the trained model" in shown
    words = ["release", "cpu-smoke", "--project", str(project), "--ungated"]
    given = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert given["kind"] == "adapter"
    assert {path.name for path in (project / "exports").iterdir()} == {"cpu-smoke", "cpu-smoke-merged"}
    refused = CliRunner().invoke(app, [*words, "--dtype", "bfloat16"]).exception
    assert isinstance(refused, SettingsError)
    assert str(refused) == "--dtype is that of a merged model; add --merged, or leave it out."
