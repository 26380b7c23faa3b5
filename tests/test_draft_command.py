"""The `annot draft` command, as somebody types it, against the stand-in for Cohere."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cohere_server import KEY, Answer, CohereStandIn, standing_in

from annotation import cli
from annotation.drafting.prices import OURS
from annotation.project import Project, init_project
from annotation.types import Prompt

FAST = OURS.read_text(encoding="utf-8").replace("per_minute = 20", "per_minute = 60000")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[CohereStandIn]:
    with standing_in() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = init_project(tmp_path / "project", name="prueba", countries=["PE"], languages=["es"])
    (made.folder / "prices.toml").write_text(FAST, encoding="utf-8")
    made.ledger.add_prompts(
        Prompt.make(f"¿Qué se baila en la fiesta {number}?", country="PE", language="es") for number in range(3)
    )
    return made


class Typed:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Annot = Callable[..., Typed]


@pytest.fixture
def annot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Project) -> Annot:
    def run(*words: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["annot", *words, "--project", str(project.folder)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return Typed(code, printed.out, printed.err)

    return run


def test_a_dry_run_needs_no_key_and_changes_nothing(
    annot: Annot, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    shown = annot("draft", "--dry-run")
    assert shown.code == 0
    assert "3 prompts lack answers" in shown.out
    assert "command-a-03-2025" in shown.out
    assert "24 calls for 3 prompts: about $" in shown.out
    told = json.loads(annot("draft", "--dry-run", "--json", "--limit", "1").out)
    assert told["prompts"] == 1
    assert sum(model["calls"] for model in told["models"]) == 8
    assert 0 < told["usd"] < told["most_usd"]
    assert project.ledger.rows("select * from calls") == []


@pytest.mark.usefixtures("stand_in")
def test_drafting_prints_what_came_back_and_is_quiet_the_second_time(annot: Annot, project: Project) -> None:
    first = annot("draft")
    assert first.code == 0
    assert "24 new candidates for $0." in first.out
    assert len(project.ledger.candidates()) == 24
    second = annot("draft")
    assert (second.code, second.out, second.err) == (0, "", "")
    told = json.loads(annot("draft", "--json").out)
    assert (told["answers"], told["open"], told["short"]) == (0, 0, [])
    assert told["committed_usd"] > 0


def test_a_job_that_a_trial_key_cannot_end_this_month_says_so_before_it_starts(annot: Annot, project: Project) -> None:
    sentence = "This cannot end this month"
    assert sentence not in annot("draft", "--dry-run").out
    path = project.folder / "prices.toml"
    table = path.read_text()
    path.write_text(re.sub(r"per_month = \d+", "per_month = 10", table))
    said = annot("draft", "--dry-run").out
    assert "0 of the 10 calls a month that a trial key allows are used; this needs 24." in said
    assert f"{sentence}: 10 of the 10 calls are left, and it needs 3 months, or fewer draft.candidates." in said
    assert 'draft.key = "production"' in said


def test_answers_from_a_file_count_for_what_is_drafted(annot: Annot, tmp_path: Path) -> None:
    path = tmp_path / "respuestas.jsonl"
    texts = [f"La marinera, como en la cuadra {n}." for n in range(7)]
    path.write_text(json.dumps({"prompt": "¿Qué se baila en la fiesta 0?", "candidates": texts}))
    assert annot("draft", "--from", str(path)).code == 0
    assert "17 calls for 3 prompts" in annot("draft", "--dry-run").out


def test_a_run_that_ends_early_shows_its_table_and_then_one_sentence(
    annot: Annot, stand_in: CohereStandIn, project: Project
) -> None:
    def runs_dry(_body: object, _seen: int) -> Answer | None:
        return Answer({"message": "pay"}, 402) if len(stand_in.requests) >= 5 else None

    stand_in.behaviour = runs_dry
    shown = annot("draft")
    assert shown.code == 2
    assert "answer" in shown.out
    assert "run `annot draft` again to go on" in shown.out
    assert shown.err.startswith("annot: Cohere wants payment (402")
    assert shown.err.count("\n") == 1
    assert len(project.ledger.candidates()) == 5
    again = annot("draft", "--json")
    assert again.code == 2
    assert json.loads(again.out)["error"].startswith("Cohere wants payment (402")


def test_without_a_key_the_command_says_one_sentence(annot: Annot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    shown = annot("draft")
    assert shown.code == 2
    assert shown.err.startswith("annot: There is no Cohere key: set CO_API_KEY")
    assert shown.err.count("\n") == 1


def test_prices_are_written_once_and_then_count(annot: Annot, project: Project) -> None:
    path = project.folder / "prices.toml"
    path.unlink()
    before = json.loads(annot("draft", "--dry-run", "--json").out)["usd"]
    assert annot("draft", "--prices").code == 0
    assert path.read_bytes() == OURS.read_bytes()
    assert annot("draft", "--prices").code == 2
    table = path.read_text().replace("input = 2.50", "input = 5.00")
    path.write_text(table.replace("output = 10.00", "output = 20.00"))
    assert json.loads(annot("draft", "--dry-run", "--json").out)["usd"] == pytest.approx(2 * before, rel=0.05)


def test_answers_from_a_file_are_counted(annot: Annot, tmp_path: Path) -> None:
    path = tmp_path / "respuestas.jsonl"
    rows = [
        {"prompt": "¿Qué se baila en la fiesta 0?", "candidates": ["La marinera.", "El huayno."]},
        {"prompt": "¿Y esto?", "candidates": ["Nada."]},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    shown = annot("draft", "--from", str(path))
    assert shown.code == 0
    assert "unknown prompt" in shown.out
    assert "2 candidates are new, 0 were there already." in shown.out
    assert json.loads(annot("draft", "--from", str(path), "--json").out)["known"] == 2


@pytest.mark.parametrize("words", [("--dry-run", "--prices"), ("--from", "x.csv", "--dry-run")])
def test_flags_that_contradict_each_other_are_refused(annot: Annot, words: tuple[str, ...]) -> None:
    shown = annot("draft", *words)
    assert shown.code == 2
    assert "one of --from, --dry-run and --prices" in shown.err


@pytest.mark.parametrize(("answer", "calls"), [("n\n", 0), ("y\n", 24)])
def test_at_a_terminal_the_command_asks_before_it_spends(
    stand_in: CohereStandIn, project: Project, answer: str, calls: int
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "annotation.cli", "draft", "--project", str(project.folder)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as child:
        os.close(theirs)
        shown, end = b"", time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    more = os.read(ours, 4096)
                except OSError:  # Linux says so when the other side is gone.
                    break
                if not more:
                    break
                shown += more
                if shown.rstrip().endswith(b"[Y/n]:"):
                    os.write(ours, answer.encode())
                    shown += b"(asked)"
        code = child.wait(10)
    os.close(ours)
    assert b"at most $" in shown
    assert b"(asked)" in shown
    assert len(stand_in.requests) == calls
    assert code == (0 if calls else 1)
