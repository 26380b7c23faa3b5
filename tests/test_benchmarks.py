"""The benchmark for a card runs from end to end on a CPU, so that a card's few minutes are not spent on mending it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_tiny(out: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, object]]]:
    """What `benchmarks/gpu.py --tiny` printed, and the results that it wrote."""
    command = [sys.executable, "benchmarks/gpu.py", "--tiny", "--out", str(out), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_every_side_is_measured_and_ours_is_as_near_to_float32_as_trls(tmp_path: Path) -> None:
    done, lines = run_tiny(tmp_path / "gpu.jsonl", "fillers", "lora", "parity", "memory")
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "gpu.log").read_text(encoding="utf-8")
    found = {(line["part"], line["name"]): line for line in lines}
    for side in ("TRL", "ours", "ours, FlexAttention"):
        both = [line for line in lines if (line["part"], line["name"]) == ("lora", side)]
        assert len(both) == 1
        assert all(line["slates_per_s"] > 0 for line in both)
    assert "gpu.sh wheels" in str(found["lora", "flash-pref"]["skipped"])
    assert found["parity", "distance from float32"]["within tolerance"] is True
    assert found["memory", "budget"]["halved"] is True
    assert found["fillers", "real tokens, slates of four"]["row of 4096"] > 0.98


def test_what_has_no_time_left_is_named(tmp_path: Path) -> None:
    done, lines = run_tiny(tmp_path / "gpu.jsonl", "lora", "--seconds", "0")
    assert done.returncode == 0
    assert len(lines) > 5
    assert all(line["skipped"] == "no time was left" for line in lines)
    assert "no time was left" in done.stdout
