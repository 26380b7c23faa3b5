"""Every quota met: one snapshot, one run, whatever is killed and however many look."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from campaigns import kills
from fake_argilla import FakeArgilla
from picture_projects import describe
from projects import annot, fill, frozen, judge, make_project, other_way, quotas

from annotation.backups.make import back_up
from annotation.backups.restore import restore
from annotation.errors import SettingsError
from annotation.files import read_parquet
from annotation.project import Project
from annotation.tables import export
from annotation.tasks.ranking.slates import DESCRIPTION
from annotation.types import Slate
from sync.cycle import sync_once
from sync.reporting.next_step import next_step
from sync.reporting.status import report
from sync.trigger import Launch, launches, trigger

LAUNCHER = "sh -c 'echo {run} {snapshot} >> launched; sleep 0.05'"


def settings(target: int = 3, launcher: str = LAUNCHER) -> str:
    return (
        f'[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = {target}\noverlap = 2\n'
        f"[train]\nlauncher = {json.dumps(launcher)}\n"
    )


def snapshots(project: Project) -> list[Path]:
    """The whole snapshots of a project."""
    return list((project.folder / "snapshots").glob("*/snapshot.json"))


def launched(project: Project) -> list[str]:
    path = project.folder / "launched"
    return path.read_text().splitlines() if path.exists() else []


def test_nothing_starts_before_every_quota_is_met(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(target=4))
    fill(project, 3)
    assert trigger(project, quotas(project)) is None
    assert launches(project) == []
    assert not (tmp_path / "snapshots").exists()


def test_the_run_starts_once_and_later_judgements_start_no_other(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    slates = fill(project, 3)
    first = trigger(project, quotas(project))
    judge(project, slates, ("mx_3",))
    second = trigger(project, quotas(project))
    assert first is not None
    assert second is not None
    assert (first.state, second.state, first.run) == ("started", "handed over", second.run)
    assert launched(project) == [f"{first.run} {first.snapshot_id}"]
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_a_raised_quota_makes_room_for_the_next_run(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    fill(project, 3)
    trigger(project, quotas(project))
    project = make_project(tmp_path, settings(target=4))
    assert trigger(project, quotas(project)) is None
    fill(project, 4)
    again = trigger(project, quotas(project))
    assert again is not None
    assert again.state == "started"
    assert len(launched(project)) == 2


def test_there_is_one_run_of_what_there_is_and_one_in_full(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(target=5))
    fill(project, 3)
    assert trigger(project, quotas(project)) is None  # nobody looked whether more can come
    assert trigger(project, report(project).quotas) is not None
    fill(project, 4)
    assert trigger(project, report(project).quotas) is not None
    assert len(launched(project)) == 1
    fill(project, 5)
    assert trigger(project, report(project).quotas) is not None
    assert len(launched(project)) == 2


def test_a_snapshot_that_was_deleted_is_frozen_again_for_a_run_that_lacks_it(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(launcher="false"))
    slates = fill(project, 3)
    first = trigger(project, quotas(project))
    assert first is not None
    assert first.state == "failed"
    folder = project.snapshot_folder(first.snapshot_id)
    shutil.rmtree(folder)
    project = make_project(tmp_path, settings())
    again = trigger(project, quotas(project), relaunch=True)
    assert again is not None
    assert (again.state, again.run, folder.exists()) == ("started", first.run, True)
    shutil.rmtree(folder)
    judge(project, slates, ("mx_3",))
    later = trigger(project, quotas(project))
    assert later is not None
    assert (later.state, later.run) == ("handed over", first.run), "what it was trained on is not asked for any more"


def weights_in(project: Project, snapshot: str) -> list[float | None]:
    """What the vote of every row of a snapshot's rankings weighs, where it says so."""
    return [row["weight"] for row in read_parquet(project.snapshot_folder(snapshot) / "rankings.parquet")]


def test_a_snapshot_holds_the_weights_of_its_moment_and_a_later_decision_changes_no_run(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    fill(project, 3)
    project.ledger.decide("mx_2", weight=0.5, reason="a test")
    launch = trigger(project, quotas(project))
    assert launch is not None
    assert Counter(weights_in(project, launch.snapshot_id)) == {None: 3, 0.5: 3}
    project.ledger.decide("mx_2", weight=1.5)
    again = trigger(project, quotas(project))
    assert again is not None
    assert (again.run, again.state, len(launched(project))) == (launch.run, "handed over", 1)
    assert Counter(weights_in(project, launch.snapshot_id)) == {None: 3, 0.5: 3}
    assert frozen(project).id != launch.snapshot_id, "an export and the next snapshot hear it"


def test_weights_that_follow_what_is_measured_are_brought_up_to_date_before_a_run_is_frozen(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(target=12).replace("overlap = 2", "overlap = 5"))
    slates = fill(project, 12, ("mx_1", "mx_2", "mx_3", "mx_4"))
    project.ledger.decide("mx_1", auto=True)
    other_way(project, slates, "mx_9")
    project.ledger.decide("mx_9", auto=True)
    (launch,) = sync_once(project, FakeArgilla()).launches
    assert launch.state == "started"
    (weight,) = {person.weight for person in project.ledger.people() if person.username == "mx_9"}
    assert weight < 0.5
    assert Counter(weights_in(project, launch.snapshot_id)) == {None: 48, weight: 12}


def test_a_launcher_that_fails_is_told_and_not_repeated_until_asked(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(launcher="sh -c 'echo {run} >> launched; exit 3'"))
    fill(project, 3)
    states = [trigger(project, quotas(project)) for _ in range(3)]
    assert all(launch is not None and launch.state == "failed" for launch in states)
    assert "exit code 3" in str(states[0])
    assert len(launched(project)) == 1
    project = make_project(tmp_path, settings())
    again = trigger(project, quotas(project), relaunch=True)
    assert again is not None
    assert again.state == "started"
    assert len(launched(project)) == 2


@pytest.mark.parametrize("launcher", ["echo {unknown}", "echo 'open", "   ", "", "HF_TOKEN=geheim7f3 sbatch run.sh"])
def test_a_launcher_that_cannot_be_read_is_refused_with_the_settings(tmp_path: Path, launcher: str) -> None:
    with pytest.raises(SettingsError, match=r"train\.launcher") as refused:
        make_project(tmp_path, settings(launcher=launcher))
    assert "geheim7f3" not in str(refused.value)


def test_how_a_run_was_started_counts_and_not_what_the_launcher_is_today(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    fill(project, 3)
    first = trigger(project, quotas(project))
    local = make_project(tmp_path, settings(launcher="local"))
    second = trigger(local, quotas(local))
    assert first is not None
    assert second is not None
    assert (first.state, second.state) == ("started", "handed over")
    assert [launch.state for launch in launches(local)] == ["handed over"]


def kill_newest(project: Project) -> None:
    """End the training run that was started last on this machine, as kill -9 does."""
    started = project.ledger.rows("select detail from launch_events where event = 'started'")[-1]
    pid = int(started["detail"].split()[0])
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_run_whose_folder_is_elsewhere_starts_only_when_asked(tmp_path: Path) -> None:
    text = settings(launcher="local").replace("[train]", '[train]\npreset = "cpu-smoke"')
    project = make_project(tmp_path / "old", text)
    fill(project, 3)
    launch = trigger(project, quotas(project))
    assert launch is not None
    kill_newest(project)
    (project.run_folder(launch.run) / "DONE").write_text("{}")
    back_up(project, tmp_path / "old.zip")
    restore(tmp_path / "old.zip", tmp_path / "new")
    restored = Project.open(tmp_path / "new")
    again = trigger(restored, quotas(restored))
    assert again is not None
    assert (again.state, again.run) == ("missing", launch.run)
    assert "annot sync --relaunch" in again.detail
    assert not restored.run_folder(launch.run).exists()
    assert f"runs/{launch.run} was started, and its folder is not here" in annot(restored, "status")
    shutil.copytree(tmp_path / "old" / "runs", tmp_path / "new" / "runs")
    assert [found.state for found in launches(restored)] == ["finished"]
    shutil.rmtree(tmp_path / "new" / "runs")
    asked = trigger(restored, quotas(restored), relaunch=True)
    assert asked is not None
    assert asked.state == "started"
    kill_newest(restored)


@pytest.mark.parametrize(
    ("marker", "evaluated", "target", "step"),
    [
        ("FAILED", False, 3, "train.preset in annot.toml), then annot sync --relaunch"),
        ("DONE", False, 3, "annot evaluate "),
        ("DONE", True, 3, "raise the quotas"),
        ("DONE", True, 5, "annot sync --watch; slates to complete: MX 2"),
    ],
)
def test_what_comes_after_a_run_depends_on_how_it_ended(
    tmp_path: Path, marker: str, evaluated: bool, target: int, step: str
) -> None:
    project = make_project(tmp_path, settings())
    slates = fill(project, 3)
    launch = trigger(project, quotas(project))
    assert launch is not None
    (project.run_folder(launch.run) / marker).write_text("reason.")
    if evaluated:
        (project.run_folder(launch.run) / "evaluation.json").write_text("{}")
    project = make_project(tmp_path, settings(target))
    if target > 3:
        slates = fill(project, target, ())
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    assert step in next_step(project, report(project), argilla_runs=True)
    snapshot = project.snapshot_folder(launch.snapshot_id) / "snapshot.json"
    snapshot.write_text(json.dumps({**json.loads(snapshot.read_text()), "task": DESCRIPTION}))
    of_pictures = step.replace("train.preset", "train.picture_preset")
    assert of_pictures in next_step(project, report(project), argilla_runs=True)


def test_a_local_run_that_was_cut_off_can_go_to_a_launcher(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(launcher="local"))
    fill(project, 3)
    launch = trigger(project, quotas(project))
    assert launch is not None
    kill_newest(project)
    other = make_project(tmp_path, settings())
    again = trigger(other, quotas(other))
    assert again is not None
    assert again.state == "started"
    assert launched(other) == [f"{launch.run} {launch.snapshot_id}"]


def test_a_launcher_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings(launcher="no-such-program {run}"))
    fill(project, 3)
    launch = trigger(project, quotas(project))
    assert launch is not None
    assert launch.state == "failed"
    assert "no-such-program: " in launch.detail


def test_met_quotas_without_a_clear_preference_start_nothing_and_say_so(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings().replace("overlap = 2\n", "overlap = 2\nmin_votes = 9\n"))
    fill(project, 3)
    launch = trigger(project, quotas(project))
    assert launch is not None
    assert launch.state == "failed"
    assert "no preference" in launch.detail
    assert launches(project) == []


TRIGGER = """
import sys
from pathlib import Path
from annotation.project import Project
from sync.quotas import count_quotas, owing
from annotation.tally import count
from sync.trigger import trigger
project = Project.open(Path(sys.argv[1]))
print("ready", flush=True)
states = count_quotas(project.settings, count(project.ledger, project.settings))
for task in owing(states):
    print(trigger(project, states, task).state)
"""


def files_of_pictures(project: Project, launch: Launch) -> int:
    return len(list(project.snapshot_folder(launch.snapshot_id).glob("images/*/*.jpg")))


def start_trigger(project: Project) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRIGGER, str(project.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_six_syncs_at_once_launch_once(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    fill(project, 3)
    running = [start_trigger(project) for _ in range(6)]
    said = [process.communicate()[0].split() for process in running]
    assert sorted(words[-1] for words in said) == ["over"] * 5 + ["started"]
    assert len(launched(project)) == 1


@pytest.mark.parametrize("tasks", [("ranking",), ("ranking", "description")])
def test_a_trigger_killed_anywhere_never_launches_twice(tmp_path: Path, tasks: tuple[str, ...]) -> None:
    random.seed(7)
    outcomes = []
    while len(outcomes) < kills(8, 20) or "started" not in outcomes:  # At least one comes before the launch.
        project = make_project(
            tmp_path / str(len(outcomes)), settings() + "[task.description]\ntarget = 3\noverlap = 2\n"
        )
        fill(project, 3)
        if len(tasks) > 1:
            describe(project, 3)
        process = start_trigger(project)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.12 * len(tasks)))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        found = {task: trigger(project, quotas(project), task) for task in tasks}
        assert len(launched(project)) <= len(tasks)
        assert len(project.ledger.rows("select * from launches")) == len(tasks)
        for task, launch in found.items():
            assert launch is not None
            outcomes.append(launch.state)
            if launch.state in ("started", "handed over"):
                assert sum(launch.run in line for line in launched(project)) == 1
            else:
                assert launch.state == "unknown", "what became of a launcher that was cut off is for a person to say"
                again = trigger(project, quotas(project), task, relaunch=True)
                assert again is not None
                assert again.state == "started"
            assert files_of_pictures(project, launch) == (3 if task == "description" else 0)
        assert not list((project.folder / "snapshots").glob(".*"))


def test_a_snapshot_is_named_by_its_content_and_frozen_once(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    slates = fill(project, 3)
    one = frozen(project)
    stamp = (project.snapshot_folder(one.id) / "preferences.parquet").stat().st_mtime_ns
    assert frozen(project) == one
    assert (project.snapshot_folder(one.id) / "preferences.parquet").stat().st_mtime_ns == stamp
    judge(project, slates, ("mx_3",))
    assert frozen(project).id != one.id


def test_a_snapshot_holds_texts_votes_and_ranks_and_no_user_name(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    slates: list[Slate] = fill(project, 2)
    snapshot = frozen(project)
    folder = project.snapshot_folder(snapshot.id)
    pairs, rankings = read_parquet(folder / "preferences.parquet"), read_parquet(folder / "rankings.parquet")
    assert (len(pairs), len(rankings)) == (2 * 5, 2 * 2) == (snapshot.preferences, snapshot.rankings)
    texts = {c.id: c.text for c in project.ledger.candidates()}
    for row in rankings:
        seats = next(slate.seats for slate in slates if slate.id == row["slate_id"])
        assert row["candidate_ids"] == list(seats)
        assert row["candidates"] == [texts[seat] for seat in seats]
        assert row["ranks"] == [1, 2, 3, 3]
        assert (row["problems"], row["candidate_problems"]) == (["stereotype"], [[], [], [], ["stereotype"]])
    assert {(row["votes_for"], row["votes_against"], row["agreement"]) for row in pairs} == {(2, 0, 1.0)}
    stereotypes = {slate.seats[3] for slate in slates}
    for row in pairs:
        assert row["chosen_problems"] is None
        assert row["rejected_problems"] == (["stereotype"] if row["rejected_id"] in stereotypes else None)
    for file in folder.iterdir():
        assert b"mx_1" not in file.read_bytes(), file.name


def test_an_export_is_trls_conversational_form_and_says_what_was_set_aside(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    fill(project, 2)
    done = export(project, tmp_path / "out")
    assert done.rows == {
        "preferences.parquet": 10,
        "preferences.jsonl": 10,
        "rankings.parquet": 4,
        "set_aside.parquet": 2,
    }
    assert sorted(done.rows) == sorted(file.name for file in done.files)
    assert {*done.rows, "README.md"} == set(os.listdir(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
    assert len(lines) == 10
    assert lines[0]["prompt"][0]["role"] == "user"
    assert [m["role"] for key in ("chosen", "rejected") for m in lines[0][key]] == ["assistant", "assistant"]
    assert "mx_1" not in (tmp_path / "out" / "preferences.jsonl").read_text()
    assert {row["reason"] for row in read_parquet(tmp_path / "out" / "set_aside.parquet")} == {"tied"}


def test_an_export_is_a_folder_that_the_library_datasets_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "p", settings())
    fill(project, 2)
    project.ledger.decide("mx_2", excluded="the same order always")
    folder = project.folder / "exports"
    for _ in range(2):
        rows = export(project, folder).rows
    for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_HOME", str(tmp_path / "hub"))):
        monkeypatch.setenv(name, value)
    import datasets

    def load(*names: str) -> int:
        return len(datasets.load_dataset(str(folder), *names, split="train", cache_dir=str(tmp_path / "cache")))

    assert (load(), load("rankings"), load("left_out")) == (rows["preferences.parquet"], 2, 1)
    (folder / "README.md").write_text("mine")
    export(project, folder)
    assert (folder / "README.md").read_text() == "mine"


def test_what_identifies_somebody_in_a_rewrite_stays_home(tmp_path: Path) -> None:
    project = make_project(tmp_path, settings())
    slates = fill(project, 1)
    response = project.ledger.responses()[0]
    raw = json.loads(response.raw)
    raw["values"]["rewrite"] = {"value": "Escríbeme a alguien@example.org, o al +52 55 1234 5678. Saludos de mx_1."}
    raw["updated_at"] = "2026-01-02T00:00:00.000000"
    changed = type(response)(
        raw["id"], slates[0].id, response.annotator, "MX", "submitted", raw["updated_at"], json.dumps(raw)
    )
    project.ledger.add_responses("test", [changed])
    rewrites = [row["rewrite"] for row in read_parquet(_rankings(project))]
    assert any(rewrites)
    assert not any("example.org" in text or "1234" in text or "mx_1" in text for text in rewrites)


@pytest.mark.timeout(600)
def test_no_secret_of_any_setting_stands_in_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "geheim7f3"
    for name in ("CO_API_KEY", "ARGILLA_API_KEY", "HF_TOKEN", "ANNOT_OWNER_PASSWORD", "ANNOT_OWNER_API_KEY"):
        monkeypatch.setenv(name, mark)
    address = f"postgresql://annot:{mark}@localhost/argilla"
    monkeypatch.setenv("ANNOT_DATABASE_URL", address)
    monkeypatch.setattr(sys, "argv", ["annot", "up", "--database", address])
    project = make_project(tmp_path / "p", settings(launcher=f"env HF_TOKEN={mark} sh -c 'exit 3'"))
    project.keep_secrets({"co_api_key": mark, "argilla_api_key": mark, "passwords": {"mx_1": mark}})
    fill(project, 6)
    assert trigger(project, quotas(project)) is not None
    with project.lock("sync"):
        said = [annot(project, *words) for words in (["status"], ["export"], ["team", "list"], ["backup"])]
        with zipfile.ZipFile(next((project.folder / "backups").iterdir())) as archive:
            said.append(archive.read("manifest.json").decode())
    said.append(annot(project, "train", "--preset", "cpu-smoke", "--run", "one"))
    assert not [line for line in said if mark in line]
    private = ("annot.toml", "secrets.toml", ".argilla", "backups")
    written = [
        path
        for path in project.folder.rglob("*")
        if path.is_file() and path.relative_to(project.folder).parts[0] not in private
    ]
    assert {"ledger.sqlite", "snapshots", "exports", "runs", ".locks"} <= {
        path.relative_to(project.folder).parts[0] for path in written
    }
    assert not [path for path in written if mark.encode() in path.read_bytes()]


def _rankings(project: Project) -> Path:
    return project.snapshot_folder(frozen(project).id) / "rankings.parquet"


@pytest.mark.timeout(600)
def test_a_local_run_that_is_killed_goes_on_at_the_next_sync_and_there_is_one_run(tmp_path: Path) -> None:
    text = settings(target=12, launcher="local").replace("[train]", '[train]\npreset = "cpu-smoke"')
    project = make_project(tmp_path, text)
    fill(project, 12)
    states = []
    for moment in ("at once", "in training"):
        launch = trigger(project, quotas(project))
        assert launch is not None
        states.append(launch.state)
        log = project.run_folder(launch.run) / "log.txt"
        while moment == "in training" and not (log.exists() and "step 2 of" in log.read_text()):
            time.sleep(0.05)
        started = project.ledger.rows("select detail from launch_events where event = 'started' order by seq desc")
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(started[0]["detail"].split()[0]), signal.SIGKILL)
        time.sleep(0.2)
    done = project.run_folder(launch.run) / "DONE"
    while not done.exists():
        again = trigger(project, quotas(project))
        assert again is not None
        assert again.state in ("started", "running", "finished"), again.detail
        time.sleep(0.5)
    assert states == ["started"] * 2
    assert [found.state for found in launches(project)] == ["finished"]
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
