"""Pictures of a project are described by a model on this machine, and `annot draft --from` takes what it wrote."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from picture_projects import add_drawn
from projects import make_project
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import TrainError
from annotation.project import Project
from annotation.types import Candidate, Prompt
from train.describe import TINY, describe, load_describer

EACH = 2

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n'


def pictured(folder: Path, count: int) -> tuple[Project, list[Prompt]]:
    """A project with pictures, one of a country that is not its own, and a question about none."""
    project = make_project(folder, SETTINGS)
    prompts = add_drawn(project, range(count))
    add_drawn(project, [count], country="BR")
    project.ledger.add_prompts([Prompt.make("¿Qué es un jarocho?", country="MX", language="es")])
    return project, prompts


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run_until(folder: Path, file: Path, pictures: int) -> None:
    """Describe, and end as by kill -9 when so many pictures are written; 0: to the end."""
    project = Project.open(folder)

    def progress(done: int, total: int | None = None, note: str = "") -> None:  # noqa: ARG001
        if done == pictures:
            os.kill(os.getpid(), signal.SIGKILL)

    describe(project, lambda: load_describer(project, TINY), file, each=EACH, progress=progress)


def test_the_command_describes_what_lacks_descriptions_and_draft_takes_them(tmp_path: Path) -> None:
    project, prompts = pictured(tmp_path / "p", 3)
    project.ledger.add_candidates([Candidate.make(prompts[0].id, f"Un plato {n}", model="ana") for n in range(EACH)])
    project.ledger.add_candidates([Candidate.make(prompts[1].id, "Una mesa", model="ana")])
    ask = ["describe", TINY, "--project", str(project.folder), "--each", str(EACH)]
    dry = CliRunner().invoke(app, [*ask, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "Would describe 2 pictures, about " in dry.output
    assert "1 picture with as many descriptions already: --each asks for more." in dry.output
    file = project.folder / "descriptions-tiny.jsonl"
    assert not file.exists()
    first = CliRunner().invoke(app, [*ask, "--limit", "1", "--json"])
    told = json.loads(first.output)
    assert (told["pictures"], told["descriptions"], told["answered"], told["left"]) == (1, 1, 1, 1)
    done = CliRunner().invoke(app, ask)
    assert f"annot draft --from {file}" in done.output
    rows = rows_of(file)
    assert [row["prompt_id"] for row in rows] == [prompts[1].id, *[prompts[2].id] * EACH]
    assert {row["model"] for row in rows} == {TINY}
    assert len({row["voice"] for row in rows[1:]}) == EACH, "each in another voice"
    again = json.loads(CliRunner().invoke(app, [*ask, "--json"]).output)
    assert (again["pictures"], again["there"], again["left"]) == (0, 2, 0)
    taken = CliRunner().invoke(app, ["draft", "--from", str(file), "--project", str(project.folder)])
    assert taken.exit_code == 0, taken.output
    has = project.ledger.count_candidates(prompt.id for prompt in prompts)
    assert [has[prompt.id] for prompt in prompts] == [EACH] * 3


def test_a_process_that_was_killed_is_gone_on_with_and_writes_the_same(tmp_path: Path) -> None:
    project, _ = pictured(tmp_path / "p", 4)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    run_until(project.folder, whole, 0)
    for pictures in (1, 2):
        process = multiprocessing.get_context("spawn").Process(target=run_until, args=(project.folder, cut, pictures))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        with cut.open("ab") as file:  # as a crash leaves a line
            file.write(b'{"prompt_id": "half a li')
    run_until(project.folder, cut, 0)
    assert sorted(cut.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())
    assert len(rows_of(cut)) == 4 * EACH


def test_another_model_another_file_and_no_pictures_are_told(tmp_path: Path) -> None:
    project, _ = pictured(tmp_path / "p", 1)
    file = tmp_path / "d.jsonl"
    file.write_text(json.dumps({"prompt_id": "another", "model": "llava", "voice": "", "answer": "Algo."}) + "\n")
    with pytest.raises(TrainError, match=r"descriptions of llava, and tiny is another model; .* --out"):
        describe(project, lambda: load_describer(project, TINY), file, each=1)
    file.write_text("prompt_id,answer\n")
    with pytest.raises(TrainError, match=r"no file of `annot describe`; .* --out"):
        describe(project, lambda: load_describer(project, TINY), file, each=1)
    empty = make_project(tmp_path / "q", SETTINGS)
    refused = CliRunner().invoke(app, ["describe", TINY, "--project", str(empty.folder)])
    assert isinstance(refused.exception, TrainError)
    assert "annot images add" in str(refused.exception)


def test_a_model_that_reads_text_alone_is_refused(tmp_path: Path) -> None:
    from finished_runs import finished_run, ranked_slates

    project, _ = pictured(tmp_path / "p", 1)
    finished_run(project.folder / "runs" / "texts", ranked_slates(3), 0.0)
    for model in ("texts", str(project.folder / "runs" / "texts" / "base")):
        refused = CliRunner().invoke(app, ["describe", model, "--project", str(project.folder)])
        assert isinstance(refused.exception, TrainError)
        assert "text" in str(refused.exception)


def test_a_run_about_pictures_describes_with_its_adapter(tmp_path: Path) -> None:
    from picture_runs import coloured_slates, picture_run

    project, prompts = pictured(tmp_path / "p", 1)
    slates = coloured_slates(tmp_path / "source", 4)
    picture_run(project.folder / "runs" / "sees", slates, tmp_path / "source", steps=3)
    file = tmp_path / "d.jsonl"
    describe(project, lambda: load_describer(project, "sees"), file, each=1)
    (row,) = rows_of(file)
    assert (row["prompt_id"], row["model"]) == (prompts[0].id, "sees")
