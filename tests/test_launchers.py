"""The launchers for Slurm and for Hugging Face Jobs: what they hand over is a command that would run there.

Neither can be had here. `sbatch` is a stand-in that keeps what it was given; `hf` is the real client, whose own
--dry-run reads the job as it would be submitted, and whose upload is only noted.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from projects import fill, make_project, quotas

from sync.trigger import Launch, trigger

LAUNCHERS = Path(__file__).parent.parent / "docker" / "trainer"

SBATCH = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > given\n'
HF = """#!/bin/sh
echo "$1 $2 $3" >> given
[ "$1" = sync ] && exit 0
shift 2
exec {hf} jobs run --dry-run "$@" >> given
"""


def launch(folder: Path, launcher: str, monkeypatch: pytest.MonkeyPatch, base: str = "", **programs: str) -> Launch:
    """Meet every quota of a project whose launcher finds these programs first."""
    tools = folder.parent / "tools"
    tools.mkdir()
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), os.environ["PATH"]]))
    project = make_project(
        folder,
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 3\noverlap = 2\n'
        f'[train]\nlauncher = {json.dumps(launcher)}\npreset = "cpu-smoke"\nbase = "{base}"\n',
    )
    fill(project, 3)
    done = trigger(project, quotas(project))
    assert done is not None
    assert done.state == "started", done.detail
    return done


def test_slurm_is_given_a_job_that_trains_this_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a project"
    done = launch(folder, f"'{LAUNCHERS / 'slurm.sh'}' --account=team", monkeypatch, sbatch=SBATCH)
    given = (folder / "given").read_text().splitlines()
    assert {"--gres=gpu:l40s:1", "--requeue", "--account=team", f"--job-name=annot-{done.run}"} <= set(given)
    assert f"--output={folder}/runs/{done.run}/slurm.log" in given
    command = shlex.split(given[-1].removeprefix("--wrap=exec "))
    assert command[:4] == [sys.executable, "-m", "annotation.cli", "train"]
    # The command itself is sound, and finds its snapshot.
    tried = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert tried.returncode == 0, tried.stderr
    assert f"snapshot {done.snapshot_id}" in tried.stdout


def test_hugging_face_is_given_a_job_that_trains_this_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNOT_BUCKET", "team/annot-runs")
    monkeypatch.setenv("ANNOT_IMAGE", "registry.example/annot-trainer")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_team")
    hf = HF.format(hf=shlex.quote(str(Path(sys.executable).parent / "hf")))
    done = launch(
        tmp_path / "project", f"'{LAUNCHERS / 'hf-job.sh'}' --label=a", monkeypatch, base="a team/a model", hf=hf
    )
    given = (tmp_path / "project" / "given").read_text()
    assert f"sync {tmp_path}/project/snapshots/{done.snapshot_id} hf://buckets/team/annot-runs/snapshots/" in given
    job = dict(line.split(None, 1) for line in given.splitlines() if line.startswith("  ") and len(line.split()) > 1)
    assert job["image"] == "registry.example/annot-trainer"
    assert (job["flavor"], job["attempts"], job["volumes"]) == ("l40sx1", "3", "hf://buckets/team/annot-runs:/project")
    assert "hf_of_the_team" not in given
    assert shlex.split(job["command"]) == [
        *("annot", "train", "--project", "/project", "--data", f"/project/snapshots/{done.snapshot_id}"),
        *("--run", done.run, "--preset", "cpu-smoke", "--by", "shared", "--base", "a team/a model"),
    ]


def test_without_a_bucket_the_run_fails_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANNOT_BUCKET", raising=False)
    with pytest.raises(AssertionError, match="exit code 2, see runs/"):
        launch(tmp_path / "project", f"'{LAUNCHERS / 'hf-job.sh'}'", monkeypatch)
    log = next((tmp_path / "project" / "runs").glob("*/launcher.log"))
    assert "names the bucket for snapshots and runs" in log.read_text()
