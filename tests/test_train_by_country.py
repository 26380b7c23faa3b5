"""`annot train --by country` and `--by prompt`: an adapter for each, one for all, and a report that compares them."""

import json
from pathlib import Path
from typing import Any

import pytest
from projects import make_project
from train_snapshots import QUICK, UNBROKEN, preference_rows, write_snapshot
from typer.testing import CliRunner

import train.by_country
from annotation.cli import app
from annotation.errors import TrainError, TrainLater
from annotation.project import init_project
from sync.trigger import train_command
from train.by_country import LOCK, train_by_country
from train.data.slates import RankedSlate
from train.dpo import dry_run
from train.dpo import train as train_run
from train.report import adapters_side_by_side
from train.run_folder import claimed

OVERRIDES = (*QUICK, *UNBROKEN, "optimiser.max_steps=2", "region.min_prompts=9")


class Cut(BaseException):
    """Stands for a kill between two adapters."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten prompts of Argentina, eight of Mexico, and three of Brazil."""
    folder = tmp_path_factory.mktemp("project")
    init_project(folder, name="prueba", countries=["MX"], languages=["es"], preset="cpu-smoke")
    most = {"AR": 10, "BR": 3, "MX": 8}
    rows = [row for row in preference_rows(30) if int(row["slate_id"][5:]) // 3 < most[row["country"]]]
    write_snapshot(folder, "abc", rows)
    return folder


def test_adapters_of_a_training_that_was_begun_before_groups_hold_out_the_same(project: Path, tmp_path: Path) -> None:
    source, own = project / "snapshots" / "abc", tmp_path / "r-AR"
    before = (*OVERRIDES, "data.split=prompt", "data.repeated=true", 'region.country="AR"')
    train_run(own, source, overrides=before, quiet=True)
    facts = json.loads((own / "run.json").read_text())
    del facts["recipe"]["data"]["split"], facts["recipe"]["data"]["repeated"]  # as an earlier version wrote it
    (own / "run.json").write_text(json.dumps(facts))
    train_by_country(tmp_path / "r", source, overrides=OVERRIDES, quiet=True)
    data = json.loads((tmp_path / "r" / "run.json").read_text())["recipe"]["data"]
    assert (data["split"], data["repeated"]) == ("prompt", True)


def test_each_country_gets_its_adapter_and_the_report_shows_all_even_after_a_crash(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = project / "snapshots" / "abc", tmp_path / "r"

    def cut_after_one(run: Path, **told: Any) -> Any:
        if run.name != "r-AR":
            raise Cut
        return train_run(run, **told)

    with monkeypatch.context() as patch:
        patch.setattr(train.by_country, "train", cut_after_one)
        with pytest.raises(Cut):
            train_by_country(folder, source, overrides=OVERRIDES, quiet=True)
    assert (tmp_path / "r-AR" / "DONE").exists()
    assert not {"DONE", "FAILED", "run.json"} & {path.name for path in folder.iterdir()}
    first = (tmp_path / "r-AR" / "DONE").read_bytes()

    run = train_by_country(folder, source, overrides=OVERRIDES, quiet=True)
    assert (run.already, run.folder) == (False, folder)
    assert (tmp_path / "r-AR" / "DONE").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r", "r-AR"]
    log = (folder / "log.txt").read_text()
    assert "MX                    no adapter of its own: 8 prompts are fewer than region.min_prompts = 9" in log
    assert "AR                    an adapter of its own: 8 slates to train on, 2 of 10 prompts held out" in log

    # Everybody's slates, with a fifth of the weight for the others'; measured on its own held-out prompts alone.
    def slates(name: str) -> list[RankedSlate]:
        return [RankedSlate.from_row(json.loads(line)) for line in (tmp_path / name).read_text().splitlines()]

    assert {(s.country, s.weight) for s in slates("r-AR/slates.jsonl")} == {("AR", 1.0), ("BR", 0.2), ("MX", 0.2)}
    assert {(s.country, s.weight) for s in slates("r/slates.jsonl")} == {("AR", 1.0), ("BR", 1.0), ("MX", 1.0)}
    everybody = [s for s in slates("r/held_out_slates.jsonl") if s.country == "AR"]
    assert slates("r-AR/held_out_slates.jsonl") == everybody
    assert json.loads((tmp_path / "r-AR" / "run.json").read_text())["recipe"]["region"]["country"] == "AR"

    report = (folder / "report.md").read_text()
    own = json.loads((tmp_path / "r-AR" / "DONE").read_text())["accuracy"]["implicit_reward"]["after"]
    assert "## Adapters by country, worst first" in report
    assert f"| {own['value']:.1%} [–] | too few to tell |" in report  # two prompts
    assert "- BR: no adapter of its own: 3 prompts are fewer than region.min_prompts = 9." in report
    assert "Adapters by country" not in (tmp_path / "r-AR" / "report.md").read_text()

    again = train_by_country(folder, source, overrides=OVERRIDES, quiet=True)
    assert again.already


def test_the_worst_country_comes_first_and_the_better_adapter_is_named(tmp_path: Path) -> None:
    facts = {"country": "", "slates": 9, "prompts": 11, "held_out": 2, "skipped": ""}
    (tmp_path / "r").mkdir()
    assert adapters_side_by_side(tmp_path / "r", {}) == []
    (tmp_path / "r" / "countries.json").write_text(json.dumps(dict.fromkeys(("AR", "CL", "MX", "PE", "UY"), facts)))
    for country, value, high, prompts in (
        ("AR", 0.9, 1, 5),
        ("CL", 0.7, 0.8, 5),
        ("MX", 0.6, 0.65, 5),
        ("PE", 0.5, 0.9, 5),
        ("UY", 0.4, 0.5, 4),
    ):
        (tmp_path / f"r-{country}").mkdir()
        after = {"value": value, "low": value - 0.05, "high": high, "count": 9, "prompts": prompts}
        if country == "CL":  # as earlier versions wrote it
            after["pairs"] = after.pop("count")
        accuracy = {"implicit_reward": {"after": after}}
        (tmp_path / f"r-{country}" / "DONE").write_text(json.dumps({"accuracy": accuracy}))
    lines = adapters_side_by_side(tmp_path / "r", {"AR": 0.8, "CL": 0.75, "MX": 0.7, "PE": 0.6, "UY": 0.55})
    assert [line for line in lines if line.startswith(("| AR", "| CL", "| MX", "| PE", "| UY"))] == [
        "| UY | 2 | 55.0% | 40.0% [–] | too few to tell |",
        "| PE | 2 | 60.0% | 50.0% [45.0%, 90.0%] | too few to tell |",
        "| MX | 2 | 70.0% | 60.0% [55.0%, 65.0%] | everybody's |",
        "| CL | 2 | 75.0% | 70.0% [65.0%, 80.0%] | measured otherwise |",
        "| AR | 2 | 80.0% | 90.0% [85.0%, 100.0%] | runs/r-AR |",
    ]


def test_a_countrys_failure_is_everybodys_and_names_the_country(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(run: Path, **_told: Any) -> None:
        raise TrainError(f"{run.name} has diverged.")

    monkeypatch.setattr(train.by_country, "train", diverge)
    with pytest.raises(TrainError, match="runs/r-AR: r-AR has diverged"):
        train_by_country(tmp_path / "r", project / "snapshots" / "abc", quiet=True)
    assert (tmp_path / "r" / "FAILED").read_text() == "runs/r-AR: r-AR has diverged.\n"


def test_two_processes_never_train_the_countries_of_one_run(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run_folder.LOCK_WAIT_S", 0.1)
    with claimed(tmp_path / "r", name=LOCK), pytest.raises(TrainLater, match="is being trained by process"):
        train_by_country(tmp_path / "r", project / "snapshots" / "abc", quiet=True)
    assert not (tmp_path / "r" / "FAILED").exists()


def test_a_dry_run_says_which_countries_get_an_adapter_and_writes_nothing(project: Path) -> None:
    before = sorted(project.rglob("*"))
    words = ["train", "--project", str(project), "--preset", "cpu-smoke", "--by", "country", "--dry-run"]
    told = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "MX                    an adapter of its own: 7 slates" in told
    assert "BR                    no adapter of its own" in told
    assert "ties                  42 (22.2% of what people compared)" in told
    facts = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert [(region["country"], region["prompts"]) for region in facts["regions"]] == [
        ("AR", 10),
        ("BR", 3),
        ("MX", 8),
    ]
    assert (facts["train_slates"], facts["held_out_slates"]) == (17, 4)
    assert sorted(project.rglob("*")) == before


def test_with_the_country_in_the_prompt_the_split_is_the_same(project: Path) -> None:
    source = project / "snapshots" / "abc"
    plain, *_ = dry_run(source, overrides=QUICK)
    told, *_ = dry_run(source, overrides=[*QUICK, "region.in_prompt=true"])
    assert [slate.id for slate in told.slates.held_out] == [slate.id for slate in plain.slates.held_out]
    assert {slate.prompt[0]["content"].splitlines()[-1] for slate in told.slates.train} == {
        "País: Argentina.",
        "País: Brasil.",
        "País: México.",
    }
    assert told.checks.tokens > plain.checks.tokens


def test_the_run_that_starts_by_itself_is_trained_as_annot_toml_says(tmp_path: Path) -> None:
    settings = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n'
    assert train_command(make_project(tmp_path, settings), "abc", "r")[-2:] == ["--by", "shared"]
    project = make_project(tmp_path, settings + '[train]\nby = "country"\n')
    assert train_command(project, "abc", "r")[-2:] == ["--by", "country"]
