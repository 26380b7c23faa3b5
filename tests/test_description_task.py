"""Descriptions of pictures are ranked in a task of their own: its quotas, its snapshot, its run, its tables."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_argilla import FakeArgilla
from picture_projects import describe, files_in
from projects import annot, fill, make_project, quotas

from annotation.backups.make import back_up, rolling_folder
from annotation.backups.restore import restore
from annotation.backups.rolling import roll
from annotation.data_facts import data_facts
from annotation.errors import ProjectError
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.tables import export
from annotation.types import Person, Prompt, picture_file
from sync.cycle import _settle
from sync.doctor import examine
from sync.pull import Pulled
from sync.quotas import all_met, owing
from sync.reporting.next_step import next_step
from sync.reporting.status import report
from sync.snapshot import freeze
from sync.trigger import train_command, trigger

SETTINGS = """
[project]
countries = ["MX"]
languages = ["es"]
[task.ranking]
target = 2
overlap = 2
[task.description]
target = 3
overlap = 2
[train]
launcher = "true"
base = "package:a-text-model"
picture_base = "package:a-model-that-sees"
picture_preset = "cpu-smoke-vlm"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


def owed(project: Project) -> list[tuple[str, int, bool]]:
    """Task, completed items and whether that is enough, of every quota."""
    return [(s.quota.task, s.completed, s.met) for s in report(project).quotas]


# -- quotas -----------------------------------------------------------------------------------------------


def test_a_project_owes_what_it_has_prompts_for_and_an_empty_one_slates_of_texts(project: Project) -> None:
    assert owed(project) == [("ranking", 0, False)]
    project.ledger.add_prompts([Prompt.make("Describe.", country="MX", language="es", image="ab" * 32)])
    assert owed(project) == [("description", 0, False)]
    project.ledger.add_prompts([Prompt.make("¿Qué se come?", country="MX", language="es")])
    assert owed(project) == [("ranking", 0, False), ("description", 0, False)]


def test_a_project_of_pictures_alone_is_complete_without_texts(project: Project) -> None:
    describe(project, 3)
    found = report(project)
    assert owing(found.quotas) == ("description",)
    assert all_met(found.quotas)
    assert found.answers == {"description": 6}
    assert found.made == {"description": {"preferences": 15}}
    assert set(found.agreement) == {"description"}
    assert found.as_json()["preferences"] == 15
    counts = next(line for line in annot(project, "status").splitlines() if "candidates" in line)
    assert ("slates" in counts, "pictures" in counts) == (False, True)


def test_texts_and_pictures_have_each_their_own_quota(project: Project) -> None:
    fill(project, 2)
    describe(project, 2)
    assert owed(project) == [("ranking", 2, True), ("description", 2, True)]  # no more can come
    said = report(project).capped
    assert said.startswith("Fewer pictures than the targets ask for")
    assert said.endswith(
        "(MX 2 of 3), and training starts when they are complete; train.auto = false holds it. "
        "`annot images add` lifts that."
    )
    told = annot(project, "status")
    assert "Quotas: rank descriptions of pictures" in told
    assert "met with all 2 pictures there are" in told
    assert "Pictures: 4 judgements give 10 preferences." in told


def test_the_next_step_of_a_project_of_pictures(project: Project) -> None:
    def step() -> str:
        return next_step(project, report(project), argilla_runs=True)

    project.ledger.add_prompts([Prompt.make("Describe.", country="MX", language="es", image="ab" * 32)])
    assert step().startswith("annot draft --dry-run")
    slates = describe(project, 3, ())

    project.ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in ("mx_1", "mx_2")])
    assert step() == "annot push"
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    assert step() == "annot sync --watch; pictures to complete: MX 3"


# -- snapshots and runs -----------------------------------------------------------------------------------


def test_a_snapshot_of_pictures_holds_all_that_a_run_needs(project: Project) -> None:
    fill(project, 2)
    slates = describe(project, 3)
    texts, pictures = (freeze(project, quotas(project), task) for task in ("ranking", "description"))
    assert texts is not None
    assert pictures is not None
    assert (texts.rankings, pictures.rankings, pictures.preferences) == (4, 6, 15)
    folder = project.snapshot_folder(pictures.id)
    facts = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
    assert facts["task"] == "description"
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    images = sorted(prompts[slate.prompt_id].image for slate in slates)
    for name in ("rankings.parquet", "preferences.parquet"):
        assert sorted(set(pq.read_table(folder / name)["image"].to_pylist())) == images
    assert files_in(folder / "images") == sorted(picture_file(image)[len("images/") :] for image in images)
    for image in images:
        assert os.path.samefile(folder / picture_file(image), project.folder / picture_file(image))
    assert freeze(project, quotas(project), "description") == pictures
    other = project.snapshot_folder(texts.id)
    assert files_in(other) == ["preferences.parquet", "rankings.parquet", "snapshot.json"]
    assert "image" not in pq.read_table(other / "rankings.parquet").column_names


def test_texts_have_the_snapshot_that_they_had_before_there_were_pictures(project: Project) -> None:
    fill(project, 2)
    before = freeze(project, quotas(project))
    describe(project, 1)
    assert freeze(project, quotas(project)) == before


def test_a_snapshot_without_a_picture_is_refused_whole_and_made_when_it_is_back(project: Project) -> None:
    describe(project, 3)
    first = project.ledger.prompts()[0].image
    lost = project.folder / picture_file(first)
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(ProjectError, match=rf"{first}\.jpg is missing; .* `annot images add`"):
        freeze(project, quotas(project), "description")
    assert not list((project.folder / "snapshots").glob("[!.]*"))
    lost.write_bytes(content)
    assert freeze(project, quotas(project), "description") is not None


def test_each_task_whose_quotas_are_met_has_a_run_of_its_own(project: Project) -> None:
    fill(project, 2)
    describe(project, 2)
    states = report(project).quotas
    texts, pictures = (trigger(project, states, task) for task in ("ranking", "description"))
    assert texts is not None
    assert pictures is not None
    assert {texts.state, pictures.state} == {"started"}
    assert texts.run != pictures.run
    again = [trigger(project, report(project).quotas, task) for task in ("ranking", "description")]
    assert [launch.run for launch in again if launch] == [texts.run, pictures.run]
    assert len(project.ledger.rows("select * from launches")) == 2
    words = {
        launch.run: " ".join(train_command(project, launch.snapshot_id, launch.run)) for launch in (texts, pictures)
    }
    assert "--preset l40s-8b-lora-bf16 --by shared --base package:a-text-model" in words[texts.run]
    assert "--preset cpu-smoke-vlm --by shared --base package:a-model-that-sees" in words[pictures.run]


def test_a_lost_picture_holds_no_run_of_texts_up_and_is_said(project: Project) -> None:
    fill(project, 2)
    describe(project, 2)
    lost = project.folder / picture_file(project.ledger.prompts()[-1].image)
    lost.unlink()
    found = [trigger(project, report(project).quotas, task) for task in ("ranking", "description")]
    assert [(launch.state, bool(launch.run)) for launch in found if launch] == [("started", True), ("failed", False)]
    assert found[1] is not None
    assert f"{lost.name} is missing" in found[1].detail


def test_a_damaged_snapshot_does_not_keep_the_status_from_being_said(project: Project) -> None:
    fill(project, 2)
    launch = trigger(project, report(project).quotas, "ranking")
    assert launch is not None
    (project.snapshot_folder(launch.snapshot_id) / "snapshot.json").write_text("{")
    assert next_step(project, report(project), argilla_runs=True)


def test_pictures_that_are_not_complete_hold_no_run_of_texts_up(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SETTINGS)
    fill(project, 2)
    describe(project, 3, ("mx_1",))
    states = report(project).quotas
    assert trigger(project, states, "ranking") is not None
    assert trigger(project, states, "description") is None
    assert not all_met(states)


# -- tables -----------------------------------------------------------------------------------------------


def test_an_export_has_the_pictures_beside_its_tables_and_loads(project: Project, tmp_path: Path) -> None:
    import datasets

    fill(project, 1)
    describe(project, 2)
    out = tmp_path / "out"
    done = export(project, out)
    assert done.rows["description_preferences.parquet"] == done.rows["description_preferences.jsonl"] == 10
    images = {prompt.image for prompt in project.ledger.prompts() if prompt.image}
    assert files_in(out / "images") == sorted(picture_file(image)[len("images/") :] for image in images)
    loaded = datasets.load_dataset(str(out), "description_rankings", split="train", cache_dir=str(tmp_path / "cache"))
    assert set(loaded["image"]) == images
    assert "images/" in (out / "README.md").read_text(encoding="utf-8")
    (first, *_) = (out / "description_preferences.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(first)
    assert (out / told["images"][0]).exists()
    assert [part["type"] for part in told["prompt"][-1]["content"]] == ["image", "text"]
    assert "image" not in told


def test_a_picture_that_nobody_names_any_more_leaves_the_export(project: Project, tmp_path: Path) -> None:
    describe(project, 2)
    out = tmp_path / "out"
    export(project, out)
    (out / "images" / "mine.jpg").write_bytes(b"mine")
    gone, stays = (prompt.image for prompt in project.ledger.prompts())

    change_prompts(project, Which(ids=(project.ledger.prompts()[0].id,)), {"removed": True})
    export(project, out)
    assert not (out / picture_file(gone)).exists()
    assert (out / picture_file(stays)).exists()
    assert (out / "images" / "mine.jpg").exists()
    export(project, project.folder)  # here the pictures are the project's own
    assert (project.folder / picture_file(gone)).exists()


def test_an_export_without_the_file_of_a_picture_writes_nothing(project: Project, tmp_path: Path) -> None:
    describe(project, 1)
    shutil.rmtree(project.folder / "images")
    with pytest.raises(ProjectError, match="from a backup"):
        export(project, tmp_path / "out")
    assert not files_in(tmp_path / "out")


def test_facts_of_the_data_tell_of_pictures_and_name_nobody(project: Project) -> None:
    fill(project, 1)
    assert "pictures" not in data_facts(project)
    describe(project, 2)
    found = data_facts(project)
    assert found["pictures"] == {
        "pictures": 2,
        "creators": 1,
        "sources": [{"source": "plates.csv", "licence": "CC-BY-4.0", "pictures": 2}],
        "people": {"none": 2},
    }
    assert found["candidates"]["on_slates"] == 12
    assert "Taller" not in json.dumps(found)


# -- backups ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["asked for", "rolling"])
def test_a_backup_brings_pictures_back_once_and_into_the_snapshots(project: Project, tmp_path: Path, kind: str) -> None:
    describe(project, 3)
    frozen = freeze(project, quotas(project), "description")
    assert frozen is not None
    if kind == "rolling":
        roll(project)
        (archive,) = rolling_folder(project).glob("*.zip")
    else:
        archive = Path(back_up(project, tmp_path / "all.zip").path)
    with zipfile.ZipFile(archive) as packed:
        held = [name for name in packed.namelist() if "images/" in name]
    assert len(held) == (0 if kind == "rolling" else 6)
    assert not any(name.startswith("snapshots") for name in held)
    place = tmp_path / "again"
    restore(archive, place)
    assert files_in(place / "images") == files_in(project.folder / "images")
    home = place / "snapshots" / frozen.id
    assert files_in(home) == files_in(project.snapshot_folder(frozen.id))
    for path in files_in(home / "images"):
        assert os.path.samefile(home / "images" / path, place / "images" / path)
    again = Project.open(place)
    assert freeze(again, quotas(again), "description") == frozen


def test_a_rolling_archive_that_left_its_project_says_that_it_has_no_pictures(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(project, 1)
    roll(project)
    (archive,) = rolling_folder(project).glob("*.zip")
    elsewhere = tmp_path / "disk" / "of" / "a"
    for folder in (elsewhere, tmp_path / "disk" / "images"):
        folder.mkdir(parents=True)
    (tmp_path / "disk" / "images" / "holiday.jpg").write_bytes(b"of somebody, and not of the project")
    restore(Path(shutil.copy(archive, elsewhere)), tmp_path / "again")
    assert "copy the folder images of its project here" in capsys.readouterr().err
    assert not (tmp_path / "again" / "images").exists()


def test_a_snapshot_of_which_a_picture_was_forgotten_gets_the_others_back(project: Project, tmp_path: Path) -> None:
    describe(project, 6)
    frozen = freeze(project, quotas(project), "description")
    assert frozen is not None
    gone, *others = files_in(project.snapshot_folder(frozen.id) / "images")
    (project.folder / "images" / gone).unlink()
    restore(Path(back_up(project, tmp_path / "all.zip").path), tmp_path / "again")
    assert files_in(tmp_path / "again" / "snapshots" / frozen.id / "images") == others
    assert len(others) == 5


# -- what a lead sees of both -------------------------------------------------------------------------------


def finished(project: Project, run: str, gate: str) -> None:
    """What a run that was trained and measured leaves."""
    folder = project.run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DONE").write_text("")
    (folder / "evaluation.json").write_text(json.dumps({"gate": gate, "gate_worst": "ranking"}))


def test_the_next_step_looks_at_the_newest_run_of_each_task(project: Project) -> None:
    slates = [*fill(project, 2), *describe(project, 2)]
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    synced = _settle(project, FakeArgilla(), Pulled())
    texts, pictures = (launch.run for launch in synced.launches)
    assert [launch.run for launch in synced.report.runs] == [texts, pictures]
    finished(project, texts, "passed")
    assert next_step(project, report(project), argilla_runs=True) == f"annot release {texts}; annot sync --watch"
    finished(project, pictures, "failed")
    step = f"annot release {texts}; read runs/{pictures}/report.md; raise the quotas for another round"
    assert next_step(project, report(project), argilla_runs=True) == step
    assert not _settle(project, FakeArgilla(), Pulled()).changed


def test_a_sync_says_why_no_run_on_pictures_started(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SETTINGS.replace("[task.description]", "[task.description]\nmin_votes = 9"))
    describe(project, 2)
    (launch,) = _settle(project, FakeArgilla(), Pulled()).launches
    assert launch.state == "failed"
    assert "every quota of the task description is met, but no preference is clear enough" in launch.detail
    assert _settle(project, FakeArgilla(), Pulled()).report.runs == (launch,)


def test_the_doctor_looks_at_the_preset_of_pictures_where_there_are_some(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SETTINGS.replace("cpu-smoke-vlm", "cpu-smoke-vml"))
    assert not [finding for finding in examine(project.folder) if finding.what == "preset"]
    describe(project, 1)
    (finding,) = [finding for finding in examine(project.folder) if finding.what == "preset"]
    assert (finding.level, finding.said) == ("fail", "there is no preset cpu-smoke-vml")
