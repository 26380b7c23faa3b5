"""Processes of a run: several train one adapter, the same one, written once; killed at any moment, a run goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from conftest import free_port
from finished_runs import evaluate_until, finished_run, ranked_slates
from picture_snapshots import write_picture_snapshot
from train_snapshots import QUICK, preference_rows, started, train_as, train_until, training_process, write_snapshot

from annotation.errors import TrainLater
from train.engine.distributed import launch
from train.evaluate.gate import gate_of
from train.run_folder import SEAL, newest_checkpoint

# A rate at which Adam's division by tiny gradients does not blow rounding up; three steps an epoch, the last one short.
OVERRIDES = (
    *QUICK,
    "optimiser.max_steps=5",
    "optimiser.batch=6",
    "optimiser.learning_rate=2e-4",
    "run.save_every=3",
    "run.eval_every=3",
    "evaluation.prompts=0",
)

KILLS, KILLS_A_RUN = kills(4, 20), 2
# Eight epochs of three steps, the last of each with half a batch: nothing divides evenly.
KILLED = (*QUICK, "optimiser.max_steps=24", "optimiser.epochs=8", "optimiser.batch=5", "optimiser.accumulate=2")


# -- several at once ----------------------------------------------------------------------------------------


def train_together(folder: Path, source: Path, overrides: tuple[str, ...] = OVERRIDES) -> dict[str, Any]:
    """Train with two processes, and read what they left."""
    port = free_port()
    processes = [started(train_as, rank, 2, port, folder, source, overrides) for rank in (0, 1)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return result(folder)


def result(folder: Path) -> dict[str, Any]:
    """Weights and log of a finished run."""
    from safetensors.numpy import load_file

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {"weights": load_file(folder / "adapter" / "adapter_model.safetensors"), "lines": lines}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A snapshot, and what one process makes of it."""
    home = tmp_path_factory.mktemp("alone")
    source = write_snapshot(home, "abc", preference_rows(18))
    training_process(home / "run", source, OVERRIDES).join()
    return source, result(home / "run")


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, tensor in expected["weights"].items():
        assert abs(tensor - found["weights"][name]).max() < 1e-6, name
    assert len(found["lines"]) == len(expected["lines"])
    for one, other in zip(found["lines"], expected["lines"], strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_two_processes_train_what_one_trains(alone: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    source, expected = alone
    check_same(train_together(tmp_path / "run", source), expected)
    assert (tmp_path / "run" / "log.txt").read_text().count("step 3 of 5: loss") == 1


def test_two_processes_that_share_one_base_train_what_one_trains(
    alone: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """FSDP2: base, adapter and optimiser are spread over the processes."""
    source, expected = alone
    check_same(train_together(tmp_path / "run", source, (*OVERRIDES, "device.sharding=fsdp2")), expected)


def test_a_run_that_lost_a_process_has_not_failed_and_goes_on(
    alone: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source, expected = alone
    folder, port = tmp_path / "run", free_port()
    first = started(train_as, 0, 2, port, folder, source, OVERRIDES)
    second = started(train_until, 4, 1, 2, port, folder, source, OVERRIDES)
    first.join()
    second.join()
    assert (first.exitcode, second.exitcode) == (1, -signal.SIGKILL)
    assert not {"FAILED", "DONE", "adapter"} & {path.name for path in folder.iterdir()}
    check_same(train_together(folder, source), expected)
    assert "going on from step 3 of 5" in (folder / "log.txt").read_text()


def test_a_process_that_was_killed_is_told_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # In place of annot, a module that is killed where it is the first process, and waits where it is another.
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation" / "__init__.py").write_text("")
    (tmp_path / "annotation" / "cli.py").write_text(
        "import os, signal, time\n"
        "time.sleep(600) if os.environ['RANK'] != '0' else os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainLater, match=r"process 0 of 2 was ended by signal 9; the same command goes on"):
        launch(2, ["train"])
    assert capfd.readouterr().err == ""


def test_several_processes_that_cannot_begin_say_so_once(tmp_path: Path) -> None:
    words = ["--project", str(tmp_path), "--data", str(tmp_path / "gone.jsonl"), "--preset", "cpu-smoke"]
    told = subprocess.run(
        [sys.executable, "-m", "annotation.cli", "train", *words, "--processes", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert told.stderr.count("gone.jsonl does not exist") == 1
    assert not list(tmp_path.iterdir())


# -- cut off ------------------------------------------------------------------------------------------------


def everything(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on how often a run was cut off."""
    done = json.loads((folder / "DONE").read_text())
    names = ("adapter/adapter_model.safetensors", "metrics.jsonl", "train.jsonl", "held_out.jsonl", "preflight.json")
    files = {name: (folder / name).read_bytes() for name in names}
    return {"accuracy": done["accuracy"], "adapter": done["adapter_sha256"], **files}


@pytest.mark.parametrize("preset", ["cpu-smoke", "cpu-smoke-vlm"])
def test_a_run_killed_again_and_again_ends_like_an_undisturbed_one(tmp_path: Path, preset: str) -> None:
    if preset == "cpu-smoke":
        source = write_snapshot(tmp_path, "abc", preference_rows(15))
    else:
        source = write_picture_snapshot(tmp_path, "abc", 15)
    started(os.getpid).join()  # the libraries are loaded now
    began = time.monotonic()
    undisturbed = training_process(tmp_path / "whole", source, KILLED, preset)
    undisturbed.join()
    seconds = time.monotonic() - began
    assert undisturbed.exitcode == 0
    expected = everything(tmp_path / "whole")

    chance = random.Random(20)
    moments: list[float] = []
    logs, runs = "", 0
    while len(moments) < KILLS:
        folder, runs = tmp_path / f"killed{runs}", runs + 1
        for turn in range(KILLS_A_RUN):
            process = training_process(folder, source, KILLED, preset)
            moment = chance.uniform(0, 0.8 * seconds)
            if turn == 0:  # however busy the machine is, the first kill falls into training, behind a checkpoint
                while process.is_alive() and not list(folder.glob(f"checkpoints/*/{SEAL}")):
                    time.sleep(0.01)
                moment = chance.uniform(0, 0.1)
            process.join(timeout=moment)
            if process.is_alive():
                process.kill()
                moments.append(round(moment, 2))
            process.join()
            if (folder / "DONE").exists() or len(moments) == KILLS:
                break
        last = training_process(folder, source, KILLED, preset)
        last.join()
        assert last.exitcode == 0, f"after kills at {moments} s"
        found = everything(folder)
        differ = [name for name in expected if found[name] != expected[name]]
        assert not differ, f"{differ} differ after kills at {moments} s"
        assert not {"checkpoints", ".cache", "FAILED"} & {path.name for path in folder.iterdir()}
        logs += (folder / "log.txt").read_text()
    assert "going on from step" in logs
    print(f"{len(moments)} kills over {runs} runs of {seconds:.1f} s, at {moments} s")


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    source, folder = write_snapshot(tmp_path, "abc", preference_rows(15)), tmp_path / "run"
    process = training_process(folder, source)
    while not ((folder / "log.txt").exists() and "step 4 of" in (folder / "log.txt").read_text()):
        assert process.is_alive()
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode != 0
    assert not (folder / "FAILED").exists()
    assert newest_checkpoint(folder) is not None
    training_process(folder, source).join()
    assert "going on from step" in (folder / "log.txt").read_text()
    assert (folder / "DONE").exists()


def test_a_killed_evaluation_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "a" / "moved", tmp_path / "b" / "moved"
    for run in (whole, killed):
        started(finished_run, run, ranked_slates(12), 0.1).join()
    started(evaluate_until, whole, 0).join()
    for batch in (2, 7):
        process = started(evaluate_until, killed, batch)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (killed / "evaluation.json").exists()
        assert gate_of(killed).verdict == "not measured"
    torn = killed / ".evaluation" / "scores.jsonl"
    torn.write_bytes(torn.read_bytes()[:-9])  # as a power cut may leave it
    started(evaluate_until, killed, 0).join()
    for name in ("evaluation.json", "evaluation_slates.jsonl", "evaluation_samples.jsonl", "report.md"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
