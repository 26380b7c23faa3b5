"""kill -9 at random moments: the same command, run again, ends where an undisturbed run ends.

ANNOT_TRAIN_KILLS makes the campaign longer than it is in the suite.
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from train_snapshots import QUICK, load_libraries, preference_rows, training_process, write_snapshot

KILLS, KILLS_A_RUN = int(os.environ.get("ANNOT_TRAIN_KILLS", "10")), 5
# Eleven epochs of three steps, the last of each with half a batch: nothing divides evenly.
OVERRIDES = (*QUICK, "optimiser.max_steps=32", "optimiser.epochs=11", "optimiser.batch=5", "optimiser.accumulate=2")


def result(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on how often a run was cut off."""
    done = json.loads((folder / "DONE").read_text())
    names = ("adapter/adapter_model.safetensors", "metrics.jsonl", "train.jsonl", "held_out.jsonl", "preflight.json")
    files = {name: (folder / name).read_bytes() for name in names}
    return {"accuracy": done["accuracy"], "adapter": done["adapter_sha256"], **files}


def test_a_run_killed_again_and_again_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    source = write_snapshot(tmp_path, "abc", preference_rows(15))
    load_libraries()
    began = time.monotonic()
    undisturbed = training_process(tmp_path / "whole", source, overrides=OVERRIDES)
    undisturbed.join()
    seconds = time.monotonic() - began
    assert undisturbed.exitcode == 0
    expected = result(tmp_path / "whole")

    chance = random.Random(20)
    moments: list[float] = []
    told, runs = "", 0
    while len(moments) < KILLS:
        folder, runs = tmp_path / f"killed{runs}", runs + 1
        for _ in range(KILLS_A_RUN):
            process = training_process(folder, source, overrides=OVERRIDES)
            moment = chance.uniform(0, 0.8 * seconds)
            process.join(timeout=moment)
            if process.is_alive():
                process.kill()
                moments.append(round(moment, 2))
            process.join()
            if (folder / "DONE").exists() or len(moments) == KILLS:
                break
        last = training_process(folder, source, overrides=OVERRIDES)
        last.join()
        assert last.exitcode == 0, f"after kills at {moments} s"
        found = result(folder)
        differ = [name for name in expected if found[name] != expected[name]]
        assert not differ, f"{differ} differ after kills at {moments} s"
        assert not {"checkpoints", ".cache", "FAILED"} & {path.name for path in folder.iterdir()}
        told += (folder / "log.txt").read_text()
    assert "going on from step" in told  # Some kills fell into training itself, behind a checkpoint.
    print(f"{len(moments)} kills over {runs} runs of {seconds:.1f} s, at {moments} s")
