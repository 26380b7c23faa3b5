"""Multiple choice about pictures through lm-evaluation-harness: a model that looks knows, one that is blind guesses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from picture_runs import BLUE, RED, coloured, coloured_slates, picture_run
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from annotation.types import ExamQuestion
from train.evaluate.picture_questions import question_rows
from train.evaluate.run import evaluate

pytest.importorskip("lm_eval")

WORLD = Path(__file__).parent.parent.parent / "shared" / "data" / "images" / "worldcuisines_latam_iberia.csv"


def quietly(_line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose adapter knows red from blue."""
    home = tmp_path_factory.mktemp("seeing")
    slates = coloured_slates(home / "source", 8)
    return picture_run(home / "runs" / "sees", slates, home / "source", steps=40)


def questions(folder: Path, count: int) -> Path:
    """A file of questions about drawn pictures, of two options each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        colour = ("red", "blue")[number % 2]
        (folder / f"{number}.jpg").write_bytes(coloured(colour, 100 + number))
        right = RED if colour == "red" else BLUE
        rows.append({"image": f"{number}.jpg", "question": "¿Qué plato es?", "options": [RED, BLUE], "answer": right})
    file = folder / "platos.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_the_harness_asks_about_pictures_and_every_option_is_scored_beside_its_own(
    seeing: Path, tmp_path: Path
) -> None:
    from train.evaluate.harness import CHAT, PLAIN

    found = evaluate(seeing, on=("picture_questions",), data={"picture_questions": questions(tmp_path, 6)}, say=quietly)
    metrics = {metric.way: metric for metric in found.summaries["picture_questions"].metrics}
    assert set(metrics) == {PLAIN, CHAT}
    assert {(metric.metric, metric.items, metric.chance) for metric in metrics.values()} == {("acc", 6, 0.5)}
    rows = [json.loads(line) for line in (seeing / "evaluation_picture_questions.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 6
    table = found.summaries["picture_questions"].tables()
    assert table


def test_scores_of_options_are_those_of_a_plain_forward_pass_and_follow_the_picture(seeing: Path) -> None:
    import io

    import torch
    from finished_runs import Base, Recipe
    from transformers import AutoModelForImageTextToText

    from train.evaluate.harness_pictures import score_options
    from train.models.tokenizer import load_vocabulary

    recipe = Recipe.model_validate(json.loads((seeing / "run.json").read_text())["recipe"])
    vocabulary = load_vocabulary(Base("", seeing / "base", "tiny-1", tiny=True), recipe.base)
    model = AutoModelForImageTextToText.from_pretrained(seeing / "base").eval()
    pictures = [Image.open(io.BytesIO(coloured(colour, 1))) for colour in ("red", "blue")]

    class Request:
        task_name = "t"

        def __init__(self, option: str, picture: Any, prompt: str = "<image>\n¿Qué plato es?\nAnswer: ") -> None:
            self.args = (prompt, option, {"visual": [picture]})

    asked = [Request(option, picture) for picture in pictures for option in ("A", "B y más")]
    found = score_options(model, vocabulary, asked)
    for request, (log_prob, greedy) in zip(asked, found, strict=True):
        prompt, option, shown = request.args
        text = (prompt.rstrip() + " " + option).replace("<image>", vocabulary.processor.image_token)
        told = vocabulary.processor(
            text=[text], images=[shown["visual"]], return_tensors="pt", add_special_tokens=False
        )
        bare = vocabulary.processor(
            text=[prompt.rstrip().replace("<image>", vocabulary.processor.image_token)],
            images=[shown["visual"]],
            return_tensors="pt",
            add_special_tokens=False,
        )
        start = bare["input_ids"].shape[1]
        with torch.no_grad():
            likely = model(**told).logits[0].log_softmax(-1)
        targets = told["input_ids"][0, start:]
        exact = float(likely[start - 1 : -1].gather(1, targets[:, None]).sum())
        assert log_prob == pytest.approx(exact, abs=1e-4)
        assert greedy == bool((likely[start - 1 : -1].argmax(-1) == targets).all())
    assert found[0] != found[2], "the same option beside another picture"
    with pytest.raises(SettingsError, match="shows 1 pictures at 0 places"):
        score_options(model, vocabulary, [Request("A", pictures[0], "¿Qué?")])


def test_questions_are_read_strictly(tmp_path: Path) -> None:
    file = questions(tmp_path, 1)
    row: dict[str, Any] = json.loads(file.read_text())
    for answer in (RED, "A", 0, "0"):
        assert question_rows(file, [{**row, "answer": answer}])[0]["answer"] == 0
    for change, reason in (
        ({"answer": "C"}, r"platos.jsonl:1: the answer 'C' is none of its options"),
        ({"image": "gone.jpg"}, r"there is no picture gone.jpg beside platos.jsonl"),
        ({"options": ["A"]}, r"needs image, question, 2 to 10 options and answer"),
    ):
        with pytest.raises(TrainError, match=reason):
            question_rows(file, [{**row, **change}])


def test_a_run_about_texts_is_asked_about_no_picture(tmp_path: Path) -> None:
    from finished_runs import finished_run, ranked_slates

    run = finished_run(tmp_path / "text", ranked_slates(3), 0.1)
    data = {"picture_questions": questions(tmp_path, 2)}
    with pytest.raises(SettingsError, match="to a run about pictures"):
        evaluate(run, on=("picture_questions",), data=data, say=quietly)
    with pytest.raises(SettingsError, match="--task-data picture_questions=FILE"):
        evaluate(run, on=("picture_questions",), say=quietly)


@pytest.mark.skipif(not WORLD.exists(), reason="the table of WorldCuisines is not beside the project")
def test_questions_made_of_the_names_of_worldcuisines_run_through_the_command(seeing: Path, tmp_path: Path) -> None:
    with WORLD.open(encoding="utf-8", newline="") as file:
        names = [row["Name"] for row in csv.DictReader(file)]
    assert len(names) > 50
    rows = []
    for number in range(4):
        picture = Image.new("RGB", (96, 72), f"hsl({number * 80}, 70%, 50%)")
        ImageDraw.Draw(picture).ellipse((20, 10, 76, 62), fill="white")
        picture.save(tmp_path / f"{number}.png")
        options = names[5 * number : 5 * number + 5]
        rows.append({"image": f"{number}.png", "question": "¿Qué plato es este?", "options": options, "answer": "C"})
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ask = ["evaluate", seeing.name, "--project", str(seeing.parent.parent), "--on", "picture_questions"]
    done = CliRunner().invoke(app, [*ask, "--task-data", f"picture_questions={data}", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["measures"]["picture_questions"]["metrics"]
    assert {(one["items"], one["chance"]) for one in found} == {(4, 0.2)}


def test_exam_questions_with_a_picture_are_asked_beside_it_and_others_without(seeing: Path) -> None:
    home = seeing.parent.parent / "exams" / "pictures"
    home.mkdir(parents=True)
    (home / "q1.jpg").write_bytes(coloured("red", 7))

    def exam(name: str, picture: str) -> ExamQuestion:
        about = ("Academic", "Literature")
        return ExamQuestion(
            name, f"¿Cuál {name}?", ("uno", "dos", "tres", "cuatro"), 1, "MX", "es", "E", "1", *about, picture=picture
        )

    both = (exam("q1", "exams/pictures/q1.jpg"), exam("q2", ""))
    said: list[str] = []
    found = evaluate(seeing, on=("exams",), questions=both, say=said.append)
    assert "1 of them with their picture" in " ".join(said)
    rows = {row["id"]: row for row in map(json.loads, (seeing / "evaluation_exams.jsonl").read_text().splitlines())}
    (home / "q1.jpg").write_bytes(coloured("blue", 7))
    again = evaluate(seeing, on=("exams",), questions=both, say=quietly)
    changed = {row["id"]: row for row in map(json.loads, (seeing / "evaluation_exams.jsonl").read_text().splitlines())}
    assert again.keys["exams"] != found.keys["exams"], "another picture is another question"
    assert rows["q1"]["base"] != changed["q1"]["base"]
    assert rows["q2"]["base"] == pytest.approx(changed["q2"]["base"])
