"""The simulation of teams runs from end to end, beside crowd-kit, and finds whom it planted."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_planted_teams_are_judged_and_compared(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/teams.py", "--quick", "--out", str(tmp_path / "teams.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| annot less Dawid-Skene | annot less MACE |" in done.stdout
    some, country = json.loads((tmp_path / "teams.json").read_text(encoding="utf-8"))
    assert (some["mixture"], country["mixture"]) == ("some careless", "a minority country")
    assert some["found"] == {"at random": 1, "by position": 1, "copying": 1, "careful": 2}
    assert some["by"]["by position/position"] == 1
    assert country["named"] == {"minority country": 0, "careful": 0}
    ways = {
        "majority",
        "annot",
        "annot, weights from other slates",
        "annot, signs heeded",
        "Davidson",
        "Dawid-Skene",
        "MACE",
    }
    assert some["shares"].keys() == ways
    assert all(0.5 < share < 1 for (share,) in some["shares"].values())
