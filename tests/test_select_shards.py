"""Many answers are chosen from in shards: the same files whoever does the work, and whoever is killed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from select_project import WordModel, add_prompt, make_project
from test_select_kill import state

from annotation.errors import EncoderError, ProjectError, SettingsError
from annotation.screen import Progress
from annotation.selection import launch, shards
from annotation.selection.embedding import Encoder
from annotation.selection.outcome import Selection
from annotation.selection.select import prepare, select, share_of, work_of
from annotation.selection.shards import Work, select_shard
from annotation.tasks.ranking.slates import read_slates

PROMPTS = 40
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Watched:
    """A model that writes down what it encodes; the first of its processes is killed, if it is to be."""

    folder: Path
    kill: bool = False

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors from words."""
        if self.kill:
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "encoded").open("a", encoding="utf-8") as file:
            file.write("".join(f"{text}\n" for text in texts))
        return WordModel().encode(texts)


def watched(folder: Path, *, kill: bool = False) -> Encoder:
    folder.mkdir(exist_ok=True)
    return Encoder("words", "words", partial(Watched, folder, kill))


def encoded(folder: Path) -> Counter[str]:
    return Counter((folder / "encoded").read_text(encoding="utf-8").splitlines())


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGEST", 30)
    # Workers import what the tests do, on Ray too.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), str(HERE.parent))))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> object:
    """What one process makes, one shard after the other."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "LARGEST", 30)
        run(folder / "project", watched(folder / "watched"))
    texts = encoded(folder / "watched")
    assert len(texts) > PROMPTS
    found = state(folder / "project")
    assert len(found[0]) == PROMPTS
    outcomes = [name for name in found[1] if name.startswith("selection/shards/")]
    shards_used = {slate[1][0] for slate in found[0]}
    assert sorted(outcomes) == [f"selection/shards/{shard}.parquet" for shard in sorted(shards_used)], "texts are gone"
    return found


def run(folder: Path, encoder: Encoder, *, processes: int = 1, how: launch.Launch = launch.run_processes) -> Selection:
    return select(make_project(folder, PROMPTS), encoder=encoder, processes=processes, launch=how)


def test_two_processes_make_the_same_files(tmp_path: Path, expected: object) -> None:
    run(tmp_path / "project", watched(tmp_path / "watched"), processes=2)
    assert state(tmp_path / "project") == expected


@pytest.mark.parametrize("processes", [1, 2])
def test_the_shard_of_a_killed_process_is_done_again_and_no_other(
    tmp_path: Path, expected: object, processes: int
) -> None:
    run(tmp_path / "project", watched(tmp_path / "watched", kill=True), processes=processes)
    assert (tmp_path / "watched" / "killed").exists()
    assert state(tmp_path / "project") == expected
    once = run(tmp_path / "again", watched(tmp_path / "second"))
    assert once.standing == PROMPTS
    assert encoded(tmp_path / "watched") == encoded(tmp_path / "second"), "nothing was encoded twice"


@pytest.mark.timeout(900)  # Ray alone takes minutes to start on a busy machine.
def test_ray_makes_the_same_files_although_a_worker_is_killed(tmp_path: Path, expected: object) -> None:
    pytest.importorskip("ray", reason="Ray is the extra `scale`")
    encoder = watched(tmp_path / "watched", kill=True)
    run(tmp_path / "project", encoder, processes=2, how=launch.run_on_ray)
    assert (tmp_path / "watched" / "killed").exists()
    assert state(tmp_path / "project") == expected
    run(tmp_path / "again", watched(tmp_path / "second"))
    assert encoded(tmp_path / "watched") == encoded(tmp_path / "second"), "nothing was encoded twice"


def test_shares_on_other_machines_make_the_same_files(tmp_path: Path, expected: object) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")
    assert len(prepare(project, encoder=encoder)) > 10
    work = work_of(project, encoder)
    for share in ("2/3", "0/3", "1/3"):
        launch.run_processes(work, share_of(work, share), 1, lambda *_: None)
        assert share_of(work, share) == []
    assert prepare(project, encoder=encoder) == []
    select(project, encoder=Encoder("words", "words", refuse))
    assert state(tmp_path / "project") == expected


def refuse() -> WordModel:
    raise AssertionError("the model was loaded")


def test_shards_choose_as_one_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = run(tmp_path / "many", watched(tmp_path / "watched"))
    monkeypatch.setattr(shards, "LARGEST", 2**15)
    one = run(tmp_path / "one", watched(tmp_path / "watched"))
    assert many == one
    assert not (tmp_path / "one" / "selection" / "shards").exists()


def test_new_answers_have_only_their_shard_done_again(tmp_path: Path) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")
    select(project, encoder=encoder, processes=1)
    before = encoded(tmp_path / "watched")
    new = add_prompt(project, PROMPTS)
    assert prepare(project, encoder=encoder) == [new.id[0]]
    assert select(project, encoder=encoder, processes=1).slates[0].prompt_id == new.id
    assert new.text in encoded(tmp_path / "watched") - before
    assert len(read_slates(project.ledger)) == PROMPTS + 1


def test_a_project_that_has_grown_encodes_no_text_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")
    monkeypatch.setattr(shards, "LARGEST", 2**15)
    select(project, encoder=encoder)
    monkeypatch.setattr(shards, "LARGEST", 30)
    assert select(project, encoder=Encoder("words", "words", refuse), processes=1).standing == PROMPTS
    monkeypatch.setattr(shards, "LARGEST", 2)
    assert select(project, encoder=Encoder("words", "words", refuse), processes=1).standing == PROMPTS


def test_a_shard_over_which_every_process_dies_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", PROMPTS)
    with pytest.raises(ProjectError, match=r"3 processes ended over the shard .*--processes 1"):
        select(project, encoder=Encoder("words", "words", end_at_once), processes=1)
    assert select(project, encoder=watched(tmp_path / "watched"), processes=1).standing == PROMPTS


def end_at_once() -> WordModel:
    os._exit(7)


def fail() -> WordModel:
    raise EncoderError("The encoder words cannot be loaded.")


def test_an_error_of_a_worker_is_the_error_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="cannot be loaded"):
        run(tmp_path / "project", Encoder("words", "words", fail), processes=2)


def test_another_encoder_on_another_machine_is_refused(tmp_path: Path) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")
    shard = prepare(project, encoder=encoder)[0]
    with pytest.raises(EncoderError, match="other words instead of words"):
        shards.select_shard(work_of(project, Encoder("words", "other words", refuse)), shard)


def test_what_workers_did_where_this_machine_does_not_see_it_is_no_selection(tmp_path: Path) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")

    def elsewhere(work: Work, waiting: Sequence[str], _workers: int, _progress: Progress) -> None:
        copy = replace(work, folder=tmp_path / "elsewhere")
        shutil.copytree(work.folder, copy.folder)
        for shard in waiting[1:]:
            select_shard(copy, shard)
        select_shard(work, waiting[0])

    with pytest.raises(ProjectError, match=r"\d+ shards are not done in .*selection/shards"):
        select(project, encoder=encoder, launch=elsewhere)
    assert not read_slates(project.ledger)
    assert select(project, encoder=encoder).standing == PROMPTS


def test_answers_that_come_while_a_worker_is_busy_are_chosen_from(tmp_path: Path) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")

    def late(work: Work, waiting: Sequence[str], _workers: int, _progress: Progress) -> None:
        for shard in waiting:
            select_shard(work, shard)
        # A worker that had read its shard before it was prepared anew writes an old choice over it.
        old, facts = work.outcome(waiting[0]), shards._facts(work.outcome(waiting[0]))
        shards._write(old, pq.read_table(old), {**facts, "mark": "old"})

    with pytest.raises(ProjectError, match="1 shard is not done"):
        select(project, encoder=encoder, launch=late)
    assert select(project, encoder=encoder).standing == PROMPTS


def test_few_answers_are_not_prepared_and_a_share_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, encoder = make_project(tmp_path / "project", PROMPTS), watched(tmp_path / "watched")
    for wrong in ("3/3", "3", "a/b", "-1/3"):
        with pytest.raises(SettingsError, match="from 0/16 to 15/16"):
            share_of(work_of(project, encoder), wrong)
    with pytest.raises(ProjectError, match="run `annot select --prepare` first"):
        share_of(work_of(project, encoder), "0/3")
    monkeypatch.setattr(shards, "LARGEST", 2**15)
    with pytest.raises(ProjectError, match="run `annot select`"):
        prepare(project, encoder=encoder)


def test_the_slurm_script_prepares_runs_an_array_and_puts_in_order(tmp_path: Path) -> None:
    tools, project = tmp_path / "bin", tmp_path / "project"
    tools.mkdir()
    for name, does in (("annot", 'echo "annot $*"'), ("sbatch", 'echo "sbatch $*"')):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [HERE.parent / "docker" / "select" / "slurm.sh", project, "16", "--account=team"],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = done.stdout.splitlines()
    assert first == f"annot select --project {project} --prepare"
    assert "--array=0-15" in second
    assert second.endswith(
        f"--account=team --wrap=exec annot select --project '{project}' --processes 4 --shard $SLURM_ARRAY_TASK_ID/16"
    )
    assert third == f"annot select --project {project}"
