"""What a lead looks at: agreement, and what is said where nothing can come of it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from projects import annot, fill, judge, make_project
from report_projects import busy_project

from annotation.quality.agreement import Agreement
from sync.reporting.page.facts import gather, only
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 3\noverlap = 3\n'


def test_agreement_is_measured_again_only_where_judgements_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, SETTINGS)
    slates = fill(project, 4)
    first = report(project).agreement
    with monkeypatch.context() as nothing_is_measured:
        nothing_is_measured.delattr("annotation.agreement_by_country.measure_agreement")
        assert report(project).agreement == first
    for damage in ("", "{", "[]", "null", '{"of": 1}'):
        (tmp_path / ".cache" / "agreement.json").write_text(damage, encoding="utf-8")
        assert report(project).agreement == first
    judge(project, slates[:2], ("mx_3",))
    after = report(project).agreement
    assert isinstance(after["ranking"]["MX"], Agreement)
    assert after["ranking"]["MX"].annotators == 3
    assert after != first


def test_status_says_that_a_team_is_too_small_for_its_quota(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    slates = fill(project, 3)
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    assert "3 people per slate are asked for (task.ranking.overlap), and MX has only 2" in annot(project, "status")
    fill(project, 3, ("mx_3",))
    assert "MX has only" not in annot(project, "status")


def test_the_page_says_what_helps_where_a_quota_is_out_of_reach(tmp_path: Path) -> None:
    project = busy_project(tmp_path)
    for name in ("ana_mx", "beto_mx"):
        project.ledger.decide(name, excluded="they left")
    told = json.loads(annot(project, "report", "--language", "en", "--json"))
    assert told == {"file": str(tmp_path / "report.html"), "language": "en", "names": False}
    assert "Each slate needs 3 different people, and MX has 2 people" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["no/such/folder/r.html", "folder"])
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_counted(tmp_path: Path, name: str) -> None:
    project = make_project(tmp_path / "p", SETTINGS)
    (tmp_path / "folder").mkdir()
    command = [sys.executable, "-m", "annotation.cli", "report", "--out", str(tmp_path / name)]
    done = subprocess.run([*command, "-p", str(project.folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("annot: --out ")) == (2, True)
    assert not (tmp_path / "no").exists()


def test_a_lead_of_one_country_sees_no_votes_of_another(tmp_path: Path) -> None:
    facts = gather(busy_project(tmp_path), argilla_runs=False)
    facts = replace(facts, found=replace(facts.found, votes={"BR": 4, "MX": 2}))
    assert only(facts, ["MX"]).found.votes == {"MX": 2}


def test_an_export_without_a_judgement_says_so(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    slates = fill(project, 1, ())
    command = [sys.executable, "-m", "annotation.cli", "export", "--project", str(project.folder)]
    before = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    judge(project, slates, ("mx_1",))
    after = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "there is no judgement yet" in before
    assert "no judgement" not in after


def test_an_export_of_a_run_is_its_release(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    command = [sys.executable, "-m", "annotation.cli"]
    given, exported = (
        subprocess.run([*command, *words, "-p", str(project.folder)], capture_output=True, text=True, check=False)
        for words in (("release", "none"), ("export", "--run", "none"))
    )
    assert (given.returncode, exported.returncode) == (2, 2)
    assert exported.stderr.splitlines()[1:] == given.stderr.splitlines()
    assert "none is no run" in given.stderr
