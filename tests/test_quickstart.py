"""The whole way in one command: with simulated annotators, cut off once, and run again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import free_port

from annotation.project import Project
from sync.simulated import PREFIX

pytestmark = pytest.mark.server


def command(folder: Path, port: int) -> list[str]:
    words = ["quickstart", str(folder), "--simulate", "--json", "--port", str(port)]
    return [sys.executable, "-m", "annotation.cli", *words]


@pytest.mark.timeout(900)
def test_from_bundled_prompts_to_a_trained_adapter_although_it_is_killed_on_the_way(tmp_path: Path) -> None:
    folder, port = tmp_path / "demo", free_port()
    cut_off = subprocess.Popen(command(folder, port), stderr=subprocess.PIPE, text=True)
    assert cut_off.stderr is not None
    while "sent 6 to ar" not in cut_off.stderr.readline():
        assert cut_off.poll() is None
    time.sleep(2)  # Some simulated annotators have ranked, others have not.
    cut_off.send_signal(signal.SIGKILL)
    cut_off.wait()

    done = subprocess.run(command(folder, port), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["prompts"], summary["slates"], summary["judgements"]) == (48, 48, 96)
    assert summary["preferences"] > 200
    assert 0.5 < summary["alpha"] < 1
    run = Path(summary["run"])
    assert (run / "DONE").exists()
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    assert "tiny random model" in (run / "report.md").read_text(encoding="utf-8")

    project = Project.open(folder)
    assert {person.username.split("_")[0] for person in project.ledger.people()} == {PREFIX}
    for file in (run / "train.jsonl", run / "held_out.jsonl", *(folder / "snapshots").rglob("*.parquet")):
        assert PREFIX.encode() not in file.read_bytes(), f"{file} names an annotator"

    stamp = (run / "DONE").stat().st_mtime_ns
    again = subprocess.run(command(folder, port), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {**json.loads(again.stdout), "seconds": 0} == {**summary, "seconds": 0}
    assert (run / "DONE").stat().st_mtime_ns == stamp
