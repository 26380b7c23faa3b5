"""Rows with `use: evaluation-only` are read by nothing that leads to training, in whatever file they stand."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from preference_sets import SETTINGS, row
from projects import fill, frozen, make_project
from pyarrow import parquet
from story_projects import story, write_stories
from typer.testing import CliRunner

from annotation.cli import app
from annotation.drafting.from_file import draft_from_file
from annotation.errors import AnnotError, SourceError, TrainError
from annotation.filtering.filter import filter_source
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.reading.examples import read_examples
from annotation.reading.use import FOR_EVALUATION, is_for_evaluation
from annotation.stereotypes.stories import ask_about_stories
from annotation.tasks.stereotype.item import item_of
from annotation.text.locales import fold
from annotation.types import Association
from train.data.held_back import sentences_of
from train.data.read import read_slates

Rows = Sequence[Mapping[str, Any]]

BARRED = {"use": "evaluation-only"}
MIXED = [row(1), {**row(2), **BARRED}, row(3), {**row(4), **BARRED}, row(5)]
"""Three pairs, and in rows 2 and 4 two that measure models."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


def as_lines(folder: Path, rows: Rows) -> Path:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path


def as_csv(folder: Path, rows: Rows) -> Path:
    path = folder / "set.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for one in rows for name in one)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_parquet(folder: Path, rows: Rows) -> Path:
    names = dict.fromkeys(name for one in rows for name in one)
    parquet.write_table(pa.table({name: [one.get(name) for one in rows] for name in names}), folder / "set.parquet")
    return folder / "set.parquet"


def as_json(folder: Path, rows: Rows) -> Path:
    path = folder / "set.json"
    path.write_text(json.dumps(list(rows), ensure_ascii=False), encoding="utf-8")
    return path


def as_sheet(folder: Path, rows: Rows) -> Path:
    from openpyxl import Workbook

    names = list(dict.fromkeys(name for one in rows for name in one))
    book = Workbook()
    assert book.active is not None
    for line in (names, *([one.get(name) for name in names] for one in rows)):
        book.active.append(line)
    book.save(folder / "set.xlsx")
    return folder / "set.xlsx"


WRITERS = (as_lines, as_csv, as_parquet, as_json, as_sheet)


@pytest.mark.parametrize(
    "values",
    [
        {"use": "evaluation-only"},
        {" USE ": "Evaluation only"},
        {"Use": "eval-only"},
        {"use": "EVALUATION_ONLY "},
        {"metadata": {"use": "evaluation-only"}},
        {"metadata": '{"source": "x", "use": "eval only"}'},
        {"meta": "{'use': 'evaluation-only'}"},
        {"extra": [{"about": {"use": ["evaluation-only"]}}]},
    ],
)
def test_a_row_for_evaluation_only_is_known_in_any_spelling_and_at_any_depth(values: Mapping[str, object]) -> None:
    assert is_for_evaluation(values)


@pytest.mark.parametrize(
    "values",
    [
        {"use": "training"},
        {"use": None},
        {"use": 1},
        {"usage": "evaluation-only"},
        {"prompt": "use: evaluation-only"},
        {"prompt": "{hola", "metadata": "[1, 2"},
        {},
    ],
)
def test_other_rows_are_not(values: Mapping[str, object]) -> None:
    assert not is_for_evaluation(values)


@pytest.mark.parametrize("write", WRITERS)
def test_training_refuses_a_file_with_one_such_row_and_says_where_it_stands(
    tmp_path: Path, write: Callable[[Path, Rows], Path]
) -> None:
    with pytest.raises(TrainError) as refused:
        read_slates(write(tmp_path, MIXED))
    first = 3 if write in (as_csv, as_sheet) else 2  # the head is a line too
    assert "holds 2 rows marked use" in str(refused.value)
    assert f"{write(tmp_path, MIXED).name}:{first}" in str(refused.value)
    assert len(read_slates(write(tmp_path, [row(1), row(3)])).slates) == 2


def test_training_refuses_marks_that_a_form_would_have_dropped(tmp_path: Path) -> None:
    labelled = [
        {
            "id": n,
            "fields": {"prompt": "¿Qué se come?", "a": "arroz", "b": "pan"},
            "responses": [{"user_id": "u", "status": "submitted", "values": {"ranking": {"value": []}}}],
            "metadata": BARRED if n else {},
        }
        for n in range(2)
    ]
    with pytest.raises(TrainError, match=r"1 row marked use"):
        read_slates(as_json(tmp_path, labelled))


def test_the_command_ends_with_2_before_anything_is_loaded(tmp_path: Path) -> None:
    source = as_lines(tmp_path, MIXED)
    words = ["train", "--data", str(source), "--project", str(tmp_path), "--run", "r", "--preset", "cpu-smoke"]
    for more in ([], ["--dry-run"], ["--by", "country"]):
        ended = CliRunner().invoke(app, [*words, *more])
        assert isinstance(ended.exception, TrainError), ended.output
        assert ended.exception.exit_code == 2
        assert "take them out" in str(ended.exception)
        # No base was made or looked for, and nothing was written of the rows.
        made = [path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()]
        assert not {"train.jsonl", "config.json", "run.json"} & set(made)


def test_a_snapshot_by_hand_with_such_rows_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    ranking = {"slate_id": "s", "country": "MX", "annotator": "a", "prompt": "¿Qué?", "candidates": ["x", "y"]}
    parquet.write_table(pa.Table.from_pylist([{**ranking, **BARRED}]), folder / "rankings.parquet")
    parquet.write_table(pa.Table.from_pylist([{"slate_id": "s", "country": "MX"}]), folder / "preferences.parquet")
    (folder / "snapshot.json").write_text("{}")
    with pytest.raises(TrainError, match=r"1 row marked use .*rankings\.parquet:1"):
        read_slates(folder)


def test_prompts_leave_such_rows_out_and_count_them(project: Project, tmp_path: Path) -> None:
    added = add_prompts(project, str(as_csv(tmp_path, MIXED)))
    assert len(added.kept) == 3
    assert added.reasons() == [(FOR_EVALUATION, 2, "set.csv:3")]
    assert added.candidates == 6
    assert not any(row(2)["question"] in prompt.text for prompt in project.ledger.prompts())


def test_drafts_from_a_file_leave_such_rows_out_and_count_them(project: Project, tmp_path: Path) -> None:
    add_prompts(project, str(as_lines(tmp_path, [row(n) for n in range(6)])), answers=False)
    answers = [{"prompt": one["question"], "answer": one["chosen"], "use": one.get("use")} for one in MIXED]
    drafted = draft_from_file(project, as_lines(tmp_path, answers))
    assert drafted.new == 3
    assert [(drop.id, drop.reason) for drop in drafted.dropped] == [
        ("set.jsonl:2", FOR_EVALUATION),
        ("set.jsonl:4", FOR_EVALUATION),
    ]


def test_the_filter_leaves_such_rows_out_and_counts_them(project: Project, tmp_path: Path) -> None:
    found = filter_source(project, str(as_parquet(tmp_path, MIXED)), meaning=False)
    assert [left.place for left in found.left if left.rule == FOR_EVALUATION] == ["set.parquet:2", "set.parquet:4"]
    assert {kept.place for kept in found.kept} == {"set.parquet:1", "set.parquet:3", "set.parquet:5"}


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_of_nothing_else_is_refused_by_every_reader(
    project: Project, tmp_path: Path, write: Callable[[Path, Rows], Path]
) -> None:
    source = write(tmp_path, [{"sentence": "Los chilenos llegan tarde.", **BARRED}])
    readers: Sequence[Callable[[], object]] = (
        lambda: read_examples(str(source)),
        lambda: read_slates(source),
        lambda: add_prompts(project, str(source), columns={"prompt": "sentence"}),
        lambda: draft_from_file(project, source),
        lambda: filter_source(project, str(source), meaning=False),
    )
    for read in readers:
        with pytest.raises(SourceError, match=r"holds 1 row, all marked use") as refused:
            read()
        assert "llegan tarde" not in str(refused.value)


def test_a_dataset_of_several_files_is_refused_for_a_row_in_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owner" / "set"
    folder.mkdir(parents=True)
    for name, rows in (("train", MIXED[:1]), ("test", MIXED[1:2])):
        as_lines(tmp_path, [{"use": "", **one} for one in rows]).rename(folder / f"{name}.jsonl")
    dataset = Path("owner/set:default")  # its configuration is named, so that it is no folder but a dataset
    with pytest.raises(TrainError, match=r"1 row marked use .*the first is owner/set:default:test:1"):
        read_slates(dataset)
    as_lines(tmp_path, [{"use": "", **row(2)}]).rename(folder / "test.jsonl")
    assert len(read_slates(dataset).slates) == 2
    with pytest.raises(TrainError, match=r"1 example with a sentence .*the first is owner/set:default:test:1"):
        read_slates(dataset, sentences={fold(row(2)["chosen"])})


# -- texts that are a sentence, whatever their mark ---------------------------------------------------------

LATE = Association.make("los chilenos", "llegan tarde", "es", frame="* llegan tarde a todo.", target="CL")


def trained(home: Path, *words: str) -> AnnotError | None:
    """What `annot train` ended with; None where it did not fail."""
    options = ["--project", str(home), "--preset", "cpu-smoke", *words]
    ended = CliRunner().invoke(app, ["train", *options])
    assert ended.exception is None or isinstance(ended.exception, AnnotError), ended.output
    return ended.exception


def test_a_file_with_a_sentence_that_the_project_measures_by_is_refused_also_without_its_mark(
    project: Project, tmp_path: Path
) -> None:
    project.ledger.add_items([item_of(LATE, "MX", 0)])
    stripped = {
        **row(6),
        "chosen": "  Los Chilenos llegan tarde a todo",
        "rejected": "Los peruanos llegan tarde a todo.",
    }
    source = as_lines(tmp_path, [row(1), stripped, row(3)])
    for more in ((), ("--dry-run",), ("--by", "country")):
        ended = trained(project.folder, "--data", str(source), *more)
        assert ended is not None
        assert ended.exit_code == 2
        assert "1 example with a sentence" in str(ended)
        assert "set.jsonl:2" in str(ended)
        assert "llegan" not in str(ended)
    # Who writes of people in more words is no stereotype of ours.
    longer = {**row(6), "chosen": "Dicen que los chilenos llegan tarde a todo. A mí no me consta."}
    assert read_slates(as_lines(tmp_path, [row(1), longer]), sentences=sentences_of(project.ledger)).slates


def test_a_snapshot_with_such_a_sentence_is_refused_until_its_prompt_is_taken_out(project: Project) -> None:
    slates = fill(project, 8)
    snapshot = frozen(project)
    assert trained(project.folder, "--dry-run") is None
    same = Association.make("ándale pues", "respuesta 3", "es", frame="* respuesta 3 de la clase 0.")
    project.ledger.add_items([item_of(same, "MX", 0)])
    words = f"annot prompts remove {slates[3].prompt_id}`"
    for more in ((), ("--dry-run",), ("--by", "country"), ("--data", str(project.snapshot_folder(snapshot.id)))):
        ended = trained(project.folder, *more)
        assert ended is not None
        assert ended.exit_code == 2
        assert "1 prompt with a sentence" in str(ended)
        assert words in str(ended)
        assert "clase" not in str(ended)
    assert not [*(project.folder / "runs").rglob("run.json")]
    # What it says helps.
    for command in (["prompts", "remove", slates[3].prompt_id], ["export"]):
        assert not CliRunner().invoke(app, [*command, "--project", str(project.folder)]).exception
    rankings = project.folder / "exports" / "rankings.parquet"
    assert trained(project.folder, "--data", str(rankings), "--dry-run") is None


def test_a_run_that_was_begun_before_the_sentence_was_known_does_not_go_on(project: Project, tmp_path: Path) -> None:
    source = as_lines(tmp_path, [row(n) for n in range(17)])
    words = ("--data", str(source), "--run", "r", "--set", "optimiser.max_steps=1", "--set", "footprint.measure=false")
    assert trained(project.folder, *words) is None
    run = project.folder / "runs" / "r"
    (run / "DONE").unlink()
    same = Association.make(str(row(4)["question"]), "x", "es", frame="*")
    project.ledger.add_items([item_of(same, "MX", 0)])
    assert "set.jsonl:5" in str(trained(project.folder, *words))
    assert "set.jsonl:5" in (run / "FAILED").read_text(encoding="utf-8")


def test_a_sentence_is_found_in_an_earlier_turn_in_both_halves_and_in_a_ranking(tmp_path: Path) -> None:
    said = {fold(LATE.text)}
    halves = {**row(6), "question": "Los chilenos", "chosen": "llegan tarde a todo.", "rejected": "cantan bien."}
    talk = ["user: ¿Qué tal?", "assistant: Los chilenos llegan tarde a todo.", "user: ¿Y los demás?"]
    turns = [dict(zip(("role", "content"), turn.split(": "), strict=True)) for turn in talk]
    spoken = {"prompt": turns, "chosen": "No sé.", "rejected": "Eso."}
    ranked = {"prompt": "¿Quiénes?", "candidates": ["Eso.", "Los chilenos llegan tarde a todo."], "ranks": [1, 2]}
    other = {"prompt": "¿Qué?", "candidates": ["pan", "arroz"], "ranks": [1, 2]}
    one = {"prompt": turns[:1], "chosen": "Bien.", "rejected": "Mal."}
    for rows in ([row(1), halves], [one, spoken], [other, ranked]):
        with pytest.raises(TrainError, match=r"1 example with a sentence .*set\.jsonl:2"):
            read_slates(as_lines(tmp_path, rows), sentences=said)
        assert read_slates(as_lines(tmp_path, rows[:1]), sentences=said).slates


def test_a_story_that_a_model_wrote_is_such_a_text_however_long(project: Project, tmp_path: Path) -> None:
    text = "Pedro vive en la ciudad, cocina en familia y sale a pasear. " * 20
    write_stories(project.folder / "runs" / "r", [story("base", 0, text=text)])
    ask_about_stories(project, "r")
    with pytest.raises(TrainError, match=r"1 example with a sentence .*set\.jsonl:2"):
        read_slates(as_lines(tmp_path, [row(1), {**row(2), "chosen": text}]), sentences=sentences_of(project.ledger))
