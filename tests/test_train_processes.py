"""Several processes train one adapter: the same one, written once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from train_snapshots import QUICK, preference_rows, training_context, write_snapshot

from annotation.errors import TrainLater
from train.processes import launch

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


def train_as(rank: int, world: int, port: int, folder: Path, source: Path, overrides: tuple[str, ...]) -> None:
    """What one of several processes does."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    from train.dpo import train

    train(folder, source, overrides=overrides, quiet=True)


def train_together(folder: Path, source: Path, port: int, overrides: tuple[str, ...] = OVERRIDES) -> dict[str, Any]:
    """Train with two processes, and read what they left."""
    processes = [
        training_context().Process(target=train_as, args=(rank, 2, port, folder, source, overrides)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return result(folder)


def result(folder: Path) -> dict[str, Any]:
    """Weights and log of a finished run."""
    from safetensors.torch import load_file

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {"weights": load_file(folder / "adapter" / "adapter_model.safetensors"), "lines": lines}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A snapshot, and what one process makes of it."""
    home = tmp_path_factory.mktemp("alone")
    source = write_snapshot(home, "abc", preference_rows(18))
    process = training_context().Process(target=train_as, args=(0, 1, 0, home / "run", source, OVERRIDES))
    process.start()
    process.join()
    return source, result(home / "run")


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, tensor in expected["weights"].items():
        assert (tensor - found["weights"][name]).abs().max() < 1e-6, name
    assert len(found["lines"]) == len(expected["lines"])
    for one, other in zip(found["lines"], expected["lines"], strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_two_processes_train_what_one_trains(alone: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    source, expected = alone
    check_same(train_together(tmp_path / "run", source, free_port()), expected)
    assert (tmp_path / "run" / "log.txt").read_text().count("step 3 of 5: loss") == 1


def test_two_processes_that_share_one_base_train_what_one_trains(
    alone: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """FSDP2: base, adapter and optimiser are spread over the processes."""
    source, expected = alone
    overrides = (*OVERRIDES, "device.sharding=fsdp2")
    check_same(train_together(tmp_path / "run", source, free_port(), overrides), expected)


def train_until(step: int, rank: int, port: int, folder: Path, source: Path) -> None:
    """What the second of two processes does, until it is killed in an update."""
    from train.trainer import SlateTrainer

    learn = SlateTrainer.learn

    def cut(self: Any, update: Any) -> Any:
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(self, update)

    SlateTrainer.learn = cut  # type: ignore[method-assign]
    train_as(rank, 2, port, folder, source, OVERRIDES)


def test_a_run_that_lost_a_process_has_not_failed_and_goes_on(
    alone: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source, expected = alone
    folder, port = tmp_path / "run", free_port()
    first = training_context().Process(target=train_as, args=(0, 2, port, folder, source, OVERRIDES))
    second = training_context().Process(target=train_until, args=(4, 1, port, folder, source))
    first.start()
    second.start()
    first.join()
    second.join()
    assert (first.exitcode, second.exitcode) == (1, -signal.SIGKILL)
    assert not {"FAILED", "DONE", "adapter"} & {path.name for path in folder.iterdir()}
    check_same(train_together(folder, source, free_port()), expected)
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
