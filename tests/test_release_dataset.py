"""The dataset repository of a release: every table loads, nobody is named, and every number stands in the run."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from hub_server import HubStandIn, environment
from projects import fill, frozen, judge, make_project
from released_data import SECRETS, SETTINGS, answer, finished, judged_project

from annotation.errors import TrainError
from annotation.hosting.embedded import Owner
from annotation.project import Project
from annotation.prompts.review import add_checks, visitors_source
from annotation.tables import export
from annotation.tasks.prompt_check.task import Verdict
from annotation.types import Prompt
from sync.argilla.client import _settings as client_settings
from train.release.argilla_files import _form as ranking_form
from train.release.dataset import make_dataset
from train.release.few import FEW, without_few
from train.release.figures import read_figures, why_not
from train.release.folder import digests_in, read_release
from train.release.given import keep_given
from train.release.hub.contents import YOURS
from train.release.lint import lint


def release(project: Project, run: Path, to: Path, **how: Any) -> dict[str, int]:
    given = keep_given(run, project.settings, repository="", with_data=True)
    return make_dataset(project, run, to, given, **how)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path, Path]:
    """A project, its run, and the folder of its dataset."""
    project = judged_project(tmp_path_factory.mktemp("judged") / "p")
    run, to = finished(project), tmp_path_factory.mktemp("released") / "dataset"
    release(project, run, to)
    return project, run, to


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "data" / f"{table}.parquet").to_pylist()
    return found


def loaded(folder: Path, cache: Path, *names: str) -> int:
    import datasets

    return len(datasets.load_dataset(str(folder), *names, split="train", cache_dir=str(cache)))


def test_every_table_loads_with_the_library_and_the_first_without_a_name(
    made: tuple[Project, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import DatasetCard

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, _, folder = made
    head = DatasetCard.load(folder / "README.md").data.to_dict()
    names = [config["config_name"] for config in head["configs"]]
    assert names == [
        "slates",
        "preferences",
        "rankings",
        "set_aside",
        "prompt_checks",
        "checked_prompts",
        "exam_checks",
        "prompts",
        "exams",
    ]
    found = {name: loaded(folder, tmp_path / "cache", name) for name in names}
    assert found == {name: len(rows_of(folder, name)) for name in names}
    assert loaded(folder, tmp_path / "cache") == found["slates"] == 7
    assert (head["license"], head["language"], head["size_categories"]) == ("cc-by-4.0", ["es"], ["n<1K"])
    assert sorted(path.stem for path in (folder / "data").iterdir()) == sorted(names)


def test_no_byte_of_it_names_anybody(made: tuple[Project, Path, Path]) -> None:
    _, _, folder = made
    texts = {
        path: json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False)
        if path.suffix == ".parquet"
        else path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert len(texts) > 15
    for path, text in texts.items():
        assert not [name for name in SECRETS if name.casefold() in text.casefold()], path
        assert not [name for name in SECRETS if name.encode() in path.read_bytes()], path
    assert "[user]" in texts[folder / "data" / "rankings.parquet"]
    assert "same order" not in "".join(texts.values())
    assert "[user].csv" in texts[folder / "README.md"]


def test_what_was_taken_out_is_in_no_table(made: tuple[Project, Path, Path]) -> None:
    project, _, folder = made
    (gone,) = (prompt for prompt in project.ledger.prompts(removed=True) if prompt.removed)
    for path in (folder / "data").iterdir():
        for row in pq.read_table(path).to_pylist():
            assert gone.id not in row.values(), path
            assert gone.text not in row.values(), path
    assert len(rows_of(folder, "prompts")) == len(project.ledger.prompts()) == 8
    assert len(rows_of(folder, "rankings")) == 7 * 4  # nor is anything of who is left out


def test_exam_questions_are_given_away_only_checked_and_with_a_licence(made: tuple[Project, Path, Path]) -> None:
    _, run, folder = made
    (question,) = rows_of(folder, "exams")
    assert (question["question"], question["answer"], question["checked_by"]) == ("¿Cuál es la capital 0?", 1, 2)
    assert {row["question"] for row in rows_of(folder, "exam_checks")} == {"¿Cuál es la capital 0?"}
    facts = json.loads((run / "dataset.json").read_text(encoding="utf-8"))["exams"]
    assert facts["left_out"] == {"not checked yet": 1, "without a licence": 1}


def test_the_datasheet_says_what_was_measured_and_each_number_stands_in_the_run(
    made: tuple[Project, Path, Path],
) -> None:
    _, run, folder = made
    assert lint(folder, run) == []
    figures = read_figures(folder / "figures.json")
    assert len(figures) > 60
    assert {figure.file for figure in figures} == {"dataset.json"}
    assert not [figure for figure in figures if why_not(figure, run)]
    card = (folder / "README.md").read_text(encoding="utf-8")
    parts = re.findall(r"^## (.*)$", card, re.M)
    assert parts == [
        *("Motivation", "Composition", "Collection", "Preprocessing", "Uses", "Distribution", "Maintenance")
    ]
    assert "told on 3 May that their answers are published" in card
    assert "| Mexico | 3 | 21 | " in card
    assert "Of its rankings 28 are here and 4 are not any more" in card
    assert f"\n{YOURS}\n" in card
    assert "| prompts that were taken out, with all that was answered to them | 1 |" in card
    assert "| prompts | [user].csv | not stated | 1 |" in card
    changed = json.loads((run / "dataset.json").read_text(encoding="utf-8"))
    changed["tables"]["rankings.parquet"] += 1
    (run / "dataset.json").write_text(json.dumps(changed), encoding="utf-8")
    assert any("rankings" in sentence or "says '28'" in sentence for sentence in lint(folder, run))
    changed["tables"]["rankings.parquet"] -= 1
    (run / "dataset.json").write_text(json.dumps(changed), encoding="utf-8")


def test_a_group_of_fewer_than_three_is_not_counted_nor_told_by_a_sum(made: tuple[Project, Path, Path]) -> None:
    _, run, folder = made
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| Brazil | {FEW} | 7 | " in card
    assert "**People**: more than 3, of 2 countries" in card
    ranking = json.loads((run / "dataset.json").read_text(encoding="utf-8"))["data"]["tasks"]["ranking"]
    assert (ranking["people"], ranking["people_by_country"]) == ("more than 3", {"MX": 3, "BR": FEW})
    assert ranking["agreement"]["all"]["annotators"] == "not shown"


@pytest.mark.parametrize(
    ("people", "total"),
    [
        ({"MX": 3, "BR": 4}, 7),
        ({"MX": 3, "BR": 2}, "more than 3"),
        ({"MX": 2}, FEW),
        ({"MX": 2, "BR": 1}, f"{FEW} in each country"),
        ({}, 0),
    ],
)
def test_sums_of_people_tell_no_small_group(people: dict[str, int], total: int | str) -> None:
    group = {"people": sum(people.values()), "countries": len(people), "people_by_country": people}
    found = without_few({"people": group, "tasks": {}, "left_out": {"excluded_people": 1}})
    assert found["people"]["people"] == total
    assert found["left_out"]["excluded_people"] == FEW
    for number, shown in ((2, FEW), (3, 3)):
        weighted = {"weighted": {"people": number}}
        found = without_few({"people": group, "tasks": {}, "left_out": {"excluded_people": 1}, **weighted})
        assert found["weighted"] == {"people": shown}


def test_guidelines_are_beside_it_as_people_read_them(made: tuple[Project, Path, Path]) -> None:
    _, run, folder = made
    tasks = json.loads((run / "dataset.json").read_text(encoding="utf-8"))["data"]["tasks"]
    shown = [one for task in tasks.values() for one in task["guidelines"]]
    assert len(shown) == 4
    for one in shown:
        assert (folder / one["file"]).read_text(encoding="utf-8") == one["text"] + "\n"
    assert "# Reglas\n\nPregúntale a [user] ([email])" in (folder / "guidelines" / "ranking-MX-es.md").read_text()


FROM_HUB = """
import sys, argilla as rg
from datasets import load_dataset
url, key, workspace = sys.argv[1:]
client = rg.Argilla(api_url=url, api_key=key)
made = rg.Dataset.from_hub("team/data", settings="auto", workspace=workspace, client=client)
print(made.name, len(list(made.records)), len(load_dataset("team/data", "rankings", split="train")))
"""


@pytest.mark.server
def test_argillas_own_library_makes_a_dataset_of_what_is_on_the_hub(
    made: tuple[Project, Path, Path], argilla_server: tuple[str, Owner], tmp_path: Path
) -> None:
    import argilla as rg

    project, _, folder = made
    url, owner = argilla_server
    client = rg.Argilla(api_url=url, api_key=owner.api_key)
    workspace = rg.Workspace(name=f"w{uuid4().hex[:8]}", client=client).create()
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with HubStandIn() as hub:
        hub.make("dataset", "team/data", files)
        done = subprocess.run(
            [sys.executable, "-c", FROM_HUB, url, owner.api_key, workspace.name],
            env={**environment(hub), "HF_HOME": str(tmp_path / "hub")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["team/data", "7", "28"]
    found = client.datasets("team/data", workspace=workspace)
    assert found is not None
    records = {str(record.id): record for record in found.records}
    slates = rows_of(folder, "slates")
    assert {row["system"] for row in slates} == {None, "Sé breve."}
    for row in slates:
        assert records[row["id"]].fields["A"] == row["A"]
        assert records[row["id"]].fields.get("system") == row["system"]
        assert records[row["id"]].metadata["position"] == row["metadata.position"]
    ours = client_settings(ranking_form(project, "MX"), client).serialize()
    theirs = rg.Settings.from_json(folder / ".argilla" / "settings.json").serialize()
    assert "[user]" in theirs.pop("guidelines")
    ours.pop("guidelines")
    assert theirs == ours
    found.delete()


def test_texts_for_argillas_page_are_escaped_and_others_are_as_they_were(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", SETTINGS)
    fill(project, 1)
    with project.ledger.transaction() as db:
        db.execute("update candidates set text = '<b>' || text")
    to = tmp_path / "out"
    frozen(project)
    release(project, finished(project), to)
    assert rows_of(to, "slates")[0]["A"].startswith("&lt;b&gt;")
    assert rows_of(to, "rankings")[0]["candidates"][0].startswith("<b>")


def test_again_it_is_made_anew_and_peoples_words_stay(tmp_path: Path) -> None:
    project = judged_project(tmp_path / "p")
    run, to = finished(project), tmp_path / "out"
    release(project, run, to)
    before = digests_in(to)
    with (to / "README.md").open("a", encoding="utf-8") as card:
        card.write("Thanks to all.\n")
    release(project, run, to)
    after = digests_in(to)
    assert {name for name in before if before[name] != after[name]} <= {"figures.json"}  # the moment
    assert (to / "README.md").read_text(encoding="utf-8").endswith(f"{YOURS}\nThanks to all.\n")
    assert read_release(to)["kind"] == "dataset"
    assert read_release(to)["project"] == project.ledger.name
    (to / "mine.txt").write_text("mine")
    with pytest.raises(TrainError, match=r"mine\.txt is not what annot wrote"):
        release(project, run, to)


def test_a_project_without_answers_is_one_sentence_and_no_folder(tmp_path: Path) -> None:
    project = judged_project(tmp_path / "with")
    run = finished(project)
    empty = make_project(tmp_path / "p", SETTINGS)
    with pytest.raises(TrainError, match="no answer of anybody yet"):
        release(empty, run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def make_until(folder: Path, run: Path, to: Path, moment: int) -> None:
    """Release a project's data, and end as by kill -9 before the given file or folder takes its place."""
    seen = 0

    def watch(event: str, _: object) -> None:
        nonlocal seen
        if event != "os.rename":
            return
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    project = Project.open(folder)
    sys.addaudithook(watch)
    release(project, run, to)


def test_who_is_killed_leaves_nothing_half_and_the_next_is_whole(tmp_path: Path) -> None:
    project = judged_project(tmp_path / "p")
    run, to = finished(project), tmp_path / "out"
    killed, moment = [], 1
    while True:
        process = multiprocessing.get_context("spawn").Process(
            target=make_until, args=(project.folder, run, to, moment)
        )
        process.start()
        process.join()
        if to.exists():
            assert digests_in(to) == read_release(to)["files"]
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed.append((moment, to.exists()))
        moment += 5 if moment < 16 else 1  # closely where the folder itself takes its place, after the last file
    assert len(killed) > 8
    assert lint(to, run) == []
    assert not list(tmp_path.glob(".out*"))
    last = killed[-1][0]
    # Again, over a folder that is there: at no moment is the earlier one damaged, and the next brings it back.
    for moment in (1, last - 1, last, last + 1):
        process = multiprocessing.get_context("spawn").Process(
            target=make_until, args=(project.folder, run, to, moment)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        if to.exists():
            assert digests_in(to) == read_release(to)["files"]
    release(project, run, to)
    assert lint(to, run) == []
    assert not list(tmp_path.glob(".out*"))


def test_what_a_visitor_typed_is_given_away_when_people_accepted_it_and_its_folder_is_not_told(tmp_path: Path) -> None:
    project = judged_project(tmp_path / "p")
    typed = [
        Prompt.make(f"¿Y la cena {n}?", country="MX", language="es", source=visitors_source("/home/geheim/votes"))
        for n in range(2)
    ]
    project.ledger.add_prompts(typed)
    add_checks(project.ledger)
    (item,) = (item for item in project.ledger.items("prompt_check") if item.prompt_id == typed[0].id)
    for who in ("ana.lopez", "beto_77", "carla.m"):
        answer(project, item, who, Verdict("preference"))
    to = tmp_path / "out"
    release(project, finished(project), to)
    sources = {row["prompt"]: row["source"] for row in rows_of(to, "prompts")}
    assert sources.get(typed[0].text) == "visitors of a demo"
    assert typed[1].text not in sources
    assert not [path for path in to.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]


def test_what_nobody_said_is_not_stated_and_is_no_release(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 3)
    frozen(project)
    run, to = finished(project), tmp_path / "out"
    release(project, run, to)
    card = (to / "README.md").read_text(encoding="utf-8")
    assert "**Consent**: not recorded" in card
    assert "Licence of the judgements and of this collection: not stated." in card
    assert [sentence for sentence in lint(to, run) if "license" in sentence]


def test_an_export_loads_although_its_first_table_or_the_first_part_of_one_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    project = make_project(tmp_path / "p", "[task.ranking]\nmin_votes = 2\n")
    fill(project, 3, ("mx_1",))
    for _ in range(2):
        rows = export(project, tmp_path / "out").rows
    assert (rows["preferences.parquet"], rows["rankings.parquet"]) == (0, 3)
    assert (tmp_path / "out" / "preferences.jsonl").read_bytes() == b""
    assert loaded(tmp_path / "out", tmp_path / "cache") == 3
    assert loaded(tmp_path / "out", tmp_path / "cache", "set_aside") == rows["set_aside.parquet"]
    # Parts are read of so many items each: of the first nobody has answered anything.
    monkeypatch.setattr("annotation.tasks.answers.AT_ONCE", 1)
    later = make_project(tmp_path / "later", "")
    slates = fill(later, 3, ())
    judge(later, slates[1:], ("mx_1", "mx_2"))
    rows = export(later, tmp_path / "second").rows
    assert rows["rankings.parquet"] == 4
    assert loaded(tmp_path / "second", tmp_path / "cache", "rankings") == 4
    assert loaded(tmp_path / "second", tmp_path / "cache") == rows["preferences.parquet"] > 0
    nobody = make_project(tmp_path / "nobody", "")
    export(nobody, tmp_path / "second")
    assert not (tmp_path / "second" / "README.md").exists()
