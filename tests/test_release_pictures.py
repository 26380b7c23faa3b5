"""A run about pictures is given away: pictures that may go, under their licences, and a card that says how it sees."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_projects import add_picture, describe
from picture_runs import QUICK, coloured_slates, picture_run
from projects import make_project

from annotation.images.question import QUESTION
from annotation.images.store import read_pictures
from annotation.project import Project
from annotation.types import Person, Prompt, picture_file
from train.evaluate.run import evaluate
from train.release.card import model_card
from train.release.dataset import make_dataset
from train.release.figures import Figures, read_figures, why_not
from train.release.given import Given, keep_given
from train.release.lint import lint
from train.release.model import make_model
from train.release.pictures import given_pictures, hub_licence, source_of
from train.release.space import PEOPLE, make_space
from train.release.weights import Weights

SETTINGS = """
[project]
name = "sobremesa"
countries = ["MX", "BR"]
languages = ["es", "pt"]
[release]
model_licence = "apache-2.0"
data_licence = "cc-by-4.0"
consent = "People were told."
contact = "https://example.org/sobremesa"
"""

LICENCES = (
    *("CC-BY-4.0", "CC BY-SA 4.0", "CC0", "Public Domain"),
    *("CC BY-NC 4.0", "CC BY-ND 4.0", "own words of somebody"),
)
"""Of the project's pictures, in their order: the first four may go."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Pictures under seven licences, described and ranked, and a measured run about others."""
    home = tmp_path_factory.mktemp("pictures")
    made = make_project(home / "p", SETTINGS)
    made.ledger.add_people([Person(f"mx_{n}", f"Ana {n}", "annotator", "MX", ("es",)) for n in (1, 2)])
    describe(made, len(LICENCES))
    pictures = list(read_pictures(made.ledger))
    with made.ledger.transaction() as db:
        for number, licence in enumerate(LICENCES):
            db.execute("update pictures set licence = ? where id = ?", (licence, pictures[number]))
        db.execute("update pictures set people = 'agreed', creator = 'Bia R.' where id = ?", (pictures[1],))
        db.execute("update pictures set source = ? where id = ?", ("/home/ana/fotos/plato.jpg", pictures[0]))
    slates = coloured_slates(home / "source", 8)
    run = picture_run(made.folder / "runs" / "sees", slates, home / "source", steps=30, overrides=QUICK)
    evaluate(run, on=("ranking", "looks", "writing"), say=lambda _line: None)
    return made


@pytest.fixture(scope="module")
def data(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project's dataset."""
    run, to = project.run_folder("sees"), tmp_path_factory.mktemp("released") / "dataset"
    make_dataset(project, run, to, keep_given(run, project.settings, repository="", with_data=True))
    return to


def test_pictures_go_with_their_licence_and_maker_and_load_as_pictures(
    project: Project, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = datasets.load_dataset(str(data), "pictures", split="train", cache_dir=str(tmp_path))
    assert isinstance(found.features["image"], datasets.Image)
    assert len(found) == 4
    by_licence = {row["licence"]: row for row in found}
    assert set(by_licence) == set(LICENCES[:4])
    shown = by_licence["CC BY-SA 4.0"]
    assert (shown["creator"], shown["people"], shown["country"]) == ("Bia R.", "agreed", "MX")
    assert shown["image"].size == (shown["width"], shown["height"]) == (640, 480)
    rows = pq.read_table(data / "data" / "pictures.parquet").to_pylist()
    for row in rows:
        assert row["image"]["bytes"] == (project.folder / picture_file(row["id"])).read_bytes()
    assert by_licence["CC-BY-4.0"]["source"] == "plato.jpg", "no folder of a machine"
    # What people said of pictures that stay at home is there, by the picture's id.
    said = pq.read_table(data / "data" / "description_rankings.parquet").to_pylist()
    assert len({row["image"] for row in said}) == len(LICENCES)
    assert not (data / "data" / "preferences.parquet").exists()
    assert "image" in pq.read_table(data / "data" / "prompts.parquet").column_names


def test_the_datasheet_counts_licences_people_and_what_stays_at_home(project: Project, data: Path) -> None:
    run = project.run_folder("sees")
    assert lint(data, run) == []
    card = (data / "README.md").read_text(encoding="utf-8")
    assert "| CC BY-SA 4.0 | 1 | 1 |" in card
    assert "in 3 of them nobody can be recognised, and that the people in 1 agreed" in card
    assert re.search(r"Left out, .*: 3 \(its source's licence does not let it go", card)
    assert "A prompt is a picture with a question" in card
    assert "of 1 country." in card
    head = card.split("---")[1]
    for licence in ("- cc-by-4.0", "- cc-by-sa-4.0", "- cc0-1.0"):
        assert licence in head
    assert "image-to-text" in head
    assert not [figure for figure in read_figures(data / "figures.json") if why_not(figure, run)]


def test_a_picture_without_a_free_licence_or_with_a_cameras_notes_does_not_leave(
    project: Project, data: Path, tmp_path: Path
) -> None:
    from PIL import Image

    spoilt = shutil.copytree(data, tmp_path / "dataset")
    table = pq.read_table(spoilt / "data" / "pictures.parquet")
    rows = table.to_pylist()
    rows[0]["licence"], rows[1]["creator"] = "CC BY-NC 4.0", ""
    notes = Image.Exif()
    notes[0x010F] = "a camera"
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "JPEG", exif=notes)
    rows[2]["image"]["bytes"] = file.getvalue()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), spoilt / "data" / "pictures.parquet")
    found = " ".join(lint(spoilt, project.run_folder("sees")))
    assert found.count("has no licence that lets it go, or nobody who made it") == 2
    assert found.count("was changed after annot wrote it, and may tell where it was taken") == 1


def test_which_pictures_go_is_decided_by_their_licence_and_their_file(project: Project, tmp_path: Path) -> None:
    other = make_project(tmp_path / "q", SETTINGS)
    picture = add_picture(other, 1)
    prompt = Prompt.make(QUESTION["es"], country="MX", language="es", image=picture)
    other.ledger.add_prompts([prompt])
    assert [one.id for one, _ in given_pictures(other, [prompt])[0]] == [picture]
    (other.folder / picture_file(picture)).write_bytes(b"another one")
    assert given_pictures(other, [prompt]) == ([], {"its file is missing or damaged in the project": 1})
    names = {"CC BY-SA 4.0": "cc-by-sa-4.0", "CC0": "cc0-1.0", "CC-BY 2.0": "cc-by-2.0", "Libre Arte": "other"}
    assert {name: hub_licence(name) for name in names} == names
    shown = replace(read_pictures(project.ledger).popitem()[1], source="C:\\Users\\ana\\mole.png")
    assert source_of(shown, ()) == "mole.png"


def test_the_card_says_how_it_sees_and_whether_it_looks(project: Project, tmp_path: Path) -> None:
    run, to = project.run_folder("sees"), tmp_path / "model"
    make_model(run, to, keep_given(run, project.settings, repository="", with_data=False))
    card = (to / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: image-text-to-text" in card
    assert "the vision tower and what joins both are the base's, untouched" in card
    assert "Verdict: looks at the picture" in card
    assert re.search(r"choices between two descriptions that people made on pictures .* \(interval ", card)
    assert "It is meant for describing pictures" in card
    assert "of the terms that people used" in card
    assert "AutoModelForImageTextToText" in card
    assert lint(to, run) == []
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("run.json", "DONE", "report.md"):
        (bare / name).write_bytes((run / name).read_bytes())
    assert "whether it looks at the picture at all" in model_card(bare, Weights(), Given())[0]


def test_a_picture_whose_name_looks_like_a_number_stands_in_a_card(tmp_path: Path) -> None:
    for picture in ("c1e42716", "1e421234", "12345e99", "99999999", "3e5e7000"):
        shown = [{"picture": picture.ljust(64, "0"), "terms": ["mole"], "named": 2}]
        facts = {"measures": {"writing": {"terms": {"groups": [{"value": 0.5}, {"value": 2}], "shown": shown}}}}
        (tmp_path / "evaluation.json").write_text(json.dumps(facts), encoding="utf-8")
        figures = Figures(tmp_path)
        row = figures.row([picture, "mole", "2"], "evaluation.json", "measures", "writing", text="report.md")
        found = figures.page(" | ".join(row))[1]
        assert [(one.shown, one.at) for one in found] == [
            (words, "/measures/writing/terms/shown/0") for words in (picture, "2")
        ]
        assert not [why for one in found if (why := why_not(one, tmp_path))]


def test_a_few_held_out_pictures_show_no_interval(project: Project, tmp_path: Path) -> None:
    run = tmp_path / "few"
    shutil.copytree(project.run_folder("sees"), run)
    facts = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    facts["measures"]["ranking"]["groups"][0]["accuracy"]["prompts"] = 2
    (run / "evaluation.json").write_text(json.dumps(facts), encoding="utf-8")
    assert "% (from 2 pictures: too few for an interval); a coin" in model_card(run, Weights(), Given())[0]


def test_the_code_of_the_card_describes_a_picture(project: Project, tmp_path: Path) -> None:
    run, to = project.run_folder("sees"), tmp_path / "model"
    make_model(run, to, keep_given(run, project.settings, repository="", with_data=False))
    card = (to / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    code = code.replace("the folder of this card", str(to)).replace("the folder of the base", str(run / "base"))
    picture = next(iter(read_pictures(project.ledger)))
    (tmp_path / "picture.jpg").write_bytes((project.folder / picture_file(picture)).read_bytes())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_space_shows_pictures_that_it_did_not_learn_and_nobody_in_them(project: Project, tmp_path: Path) -> None:
    run, to = project.run_folder("sees"), tmp_path / "space"
    prompts = [prompt for prompt in project.ledger.prompts() if prompt.image]
    project.ledger.add_prompts([Prompt.make("¿Qué es un jarocho?", country="MX", language="es")])
    learnt = {"image": prompts[2].image, "prompt": [{"role": "user", "content": QUESTION["es"]}]}
    (run / "slates.jsonl").write_text(json.dumps(learnt) + "\n", encoding="utf-8")
    record = make_space(run, to, Given("apache-2.0"), project=project, ungated=False)
    demo = json.loads((to / "demo.json").read_text(encoding="utf-8"))
    assert demo["pictures"]
    shown = {one["id"] for one in demo["prompts"]}
    assert shown == {prompts[0].id, prompts[3].id}, "one was learnt, one has people, three are under other licences"
    assert {one["credit"] for one in demo["prompts"]} == {
        "Taller de dibujo · CC-BY-4.0",
        "Taller de dibujo · Public Domain",
    }
    for one in demo["prompts"]:
        assert (to / one["picture"]).read_bytes() == (
            project.folder / picture_file(Path(one["picture"]).stem)
        ).read_bytes()
        assert one["picture"] in record["files"]
    assert demo["left_out"] == {"its source's licence does not let it go with the others": 3, PEOPLE: 1}
    card = (to / "README.md").read_text(encoding="utf-8")
    assert "Pictures: 2 that the model did not learn from" in card
    assert lint(to, run) == []
    (run / "slates.jsonl").unlink()


def test_the_space_of_texts_shows_no_question_about_a_picture(tmp_path: Path) -> None:
    from demo_pages import RUN, demo_project

    texts = demo_project(tmp_path / "t", [Prompt.make("¿Qué es un mate?", country="MX", language="es")])
    picture = add_picture(texts, 1)
    texts.ledger.add_prompts([Prompt.make(QUESTION["es"], country="MX", language="es", image=picture)])
    make_space(texts.run_folder(RUN), tmp_path / "space", Given(), project=texts, ungated=True)
    demo = json.loads((tmp_path / "space" / "demo.json").read_text(encoding="utf-8"))
    assert [one["text"] for one in demo["prompts"]] == ["¿Qué es un mate?"]
    assert not demo["pictures"]
