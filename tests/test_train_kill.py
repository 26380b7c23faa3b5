"""kill -9 at random moments: the same command, run again, ends where an undisturbed run ends."""

import json
import random
import time
from pathlib import Path
from typing import Any

from train_snapshots import preference_rows, training_process, write_snapshot

KILLS, RUNS = 20, 4


def result(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on how often a run was cut off."""
    done = json.loads((folder / "DONE").read_text())
    names = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "metrics.jsonl", "train.jsonl")
    files = {name: (folder / name).read_bytes() for name in (*names, "held_out.jsonl", "preflight.json")}
    return {"accuracy": done["accuracy"], "adapter": done["adapter_sha256"], **files}


def test_a_run_killed_again_and_again_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    source = write_snapshot(tmp_path, "abc", preference_rows(15))
    warm = training_process(tmp_path / "warm" / "run", source)  # Pays for loading the libraries.
    warm.join()
    began = time.monotonic()
    undisturbed = training_process(tmp_path / "whole" / "run", source)
    undisturbed.join()
    seconds = time.monotonic() - began
    assert undisturbed.exitcode == warm.exitcode == 0
    expected = result(tmp_path / "whole" / "run")
    # The adapter's file names its base by folder, and the tiny base lies in the run's own.
    expected["adapter/adapter_config.json"] = b""

    chance = random.Random(20)
    killed, told, moments = 0, "", []
    for number in range(RUNS):
        folder = tmp_path / f"killed{number}" / "run"
        for _ in range(KILLS // RUNS + 2):
            process = training_process(folder, source)
            moment = chance.uniform(0, seconds)
            process.join(timeout=moment)
            if process.is_alive():
                process.kill()
                killed += 1
                moments.append(moment)
            process.join()
            if killed >= KILLS * (number + 1) // RUNS:
                break
        last = training_process(folder, source)
        last.join()
        assert last.exitcode == 0, f"killed after {moments} s"
        found = {**result(folder), "adapter/adapter_config.json": b""}
        assert found.keys() == expected.keys()
        differ = [name for name in expected if found[name] != expected[name]]
        assert not differ, f"{differ} differ after kills at {moments} s"
        left = {path.name for path in folder.iterdir()}
        assert not {"checkpoints", ".cache", "FAILED"} & left
        told += (folder / "log.txt").read_text()
    assert killed >= KILLS
    assert "going on from step" in told  # Some kills fell into training itself, behind a checkpoint.
