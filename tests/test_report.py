"""What a lead looks at: the plot of progress, and what is said where nothing can come of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from projects import annot, fill, judge, make_project

from annotation.quality.agreement import Agreement
from sync.reporting.plots import draw
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 3\noverlap = 3\n'


def test_before_the_first_judgement_the_plot_says_so_and_shows_no_year(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    slates = fill(project, 3, ())
    draw(report(project), tmp_path / "before.svg")
    judge(project, slates, ("mx_1",))
    draw(report(project), tmp_path / "after.svg")
    before, after = ((tmp_path / name).read_text(encoding="utf-8") for name in ("before.svg", "after.svg"))
    assert "<!-- no judgement yet -->" in before
    assert "<!-- 1970" not in before
    assert "no judgement yet" not in after
    assert "<!-- judgements -->" in after
    # All at once: the axis is about those minutes, not about years around a single point.
    assert "<!-- 00:10 -->" in after
    assert "<!-- 01:00 -->" not in after
    assert "<!-- 2027 -->" not in after


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
