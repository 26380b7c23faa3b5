"""Pictures on the way to training: read from snapshots and files, checked, split, and refused where they do not fit."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from picture_files import keep_picture
from picture_snapshots import QUESTION, dish, keep_dish, write_picture_snapshot
from PIL import Image
from train_snapshots import preference_rows, write_snapshot
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import TrainError
from annotation.images.store import LostPicture
from annotation.project import init_project
from annotation.reading.pictures import picture_cells
from annotation.types import Dropped, picture_file
from train.data.encoding import encode_slate, encode_whole
from train.data.pictures import check_pictures, first_alike
from train.data.plan import Plan, make_plan
from train.data.preflight import preflight
from train.data.read import Slates, read_slates
from train.data.rows import newest_snapshot
from train.data.split import groups_of, split_by_prompt
from train.data.texts import as_answer, as_question
from train.settings import load_recipe


def test_slates_of_a_snapshot_of_descriptions_have_their_pictures(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 6)
    slates = read_slates(source, vision="frozen").slates
    assert len({slate.image for slate in slates}) == len(slates) == 6
    assert all(pair.image == slate.image for slate in slates for pair in slate.pairs())
    assert [type(slate).from_row(json.loads(json.dumps(slate.row()))) for slate in slates] == list(slates)
    check_pictures((slate.image for slate in slates), source)


def test_a_preset_and_a_source_that_do_not_fit_are_refused_with_a_preset_that_does(tmp_path: Path) -> None:
    pictures, texts = write_picture_snapshot(tmp_path, "seen", 4), write_snapshot(tmp_path, "read", preference_rows(4))
    with pytest.raises(TrainError, match=r"seen is about pictures, .* --preset l40s-vlm-lora, or cpu-smoke-vlm"):
        read_slates(pictures)
    with pytest.raises(TrainError, match=r"read has no pictures, .* --preset l40s-8b-lora-bf16, or cpu-smoke to try"):
        read_slates(texts, vision="frozen")
    file = tmp_path / "mine.jsonl"
    rows = [pair(tmp_path, 0), {**pair(tmp_path, 1), "image": None}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TrainError, match=r"mine.jsonl is about pictures"):
        read_slates(file)
    with pytest.raises(TrainError, match=r"1 slate of mine.jsonl is about no picture"):
        read_slates(file, vision="frozen", home=tmp_path / "home")


def test_the_newest_snapshot_of_a_kind_is_found(tmp_path: Path) -> None:
    texts = write_snapshot(tmp_path, "read", preference_rows(4), made_at="2026-01-02T00:00:00")
    with pytest.raises(TrainError, match="no snapshot of descriptions of pictures yet"):
        newest_snapshot(tmp_path, pictures=True)
    seen = write_picture_snapshot(tmp_path, "seen", 4, made_at="2026-01-03T00:00:00")
    write_picture_snapshot(tmp_path, "older", 4, made_at="2026-01-01T00:00:00")
    assert newest_snapshot(tmp_path) == newest_snapshot(tmp_path, pictures=True) == seen
    assert newest_snapshot(tmp_path, pictures=False) == texts
    shutil.rmtree(texts)
    with pytest.raises(TrainError, match=r"no snapshot of answers to texts yet, .* --preset l40s-vlm-lora, or cpu-smo"):
        newest_snapshot(tmp_path, pictures=False)


def pair(folder: Path, number: int) -> dict[str, Any]:
    """A pair about a picture beside the file, named by its path."""
    (folder / "fotos").mkdir(exist_ok=True)
    (folder / f"fotos/{number}.jpg").write_bytes(dish(number))
    row = {"prompt": QUESTION, "chosen": f"Un plato {number}.", "rejected": f"Una sopa {number}."}
    return {**row, "image": f"fotos/{number}.jpg"}


@pytest.mark.parametrize("form", ["paths", "ids", "bytes", "lists of bytes"])
def test_pictures_of_a_file_are_written_once_by_their_content(tmp_path: Path, form: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [pair(tmp_path, number // 2) for number in range(6)]  # two rows a picture
    data = [dish(number // 2) for number in range(6)]
    for number, row in enumerate(rows):
        row["chosen"] += f" {number}"
        if form == "ids":
            row["image"] = keep_dish(tmp_path, number // 2)
        elif form != "paths":
            held = {"bytes": data[number], "path": "a.jpg"}
            row.pop("image")
            row["images" if form == "lists of bytes" else "image"] = [held] if form == "lists of bytes" else held
    if form in ("paths", "ids"):
        file = tmp_path / "mine.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        file = tmp_path / "mine.parquet"
        pq.write_table(pa.Table.from_pylist(rows), file)
    found = read_slates(file, vision="frozen", home=tmp_path / "home")
    assert [slate.image for slate in found.slates] == [hashlib.sha256(each).hexdigest() for each in data]
    assert len(list((tmp_path / "home").rglob("*.jpg"))) == 3
    check_pictures((slate.image for slate in found.slates), tmp_path / "home")


def test_pictures_of_a_dataset_are_read_row_by_row_with_its_splits(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        held = [{"images": [{"bytes": dish(number), "path": None}], "chosen": "a"} for number in range(2)]
        pq.write_table(pa.Table.from_pylist(held), tmp_path / f"{split}.parquet")
    found = dict(picture_cells(str(tmp_path)))
    assert found["train:2"] == found["test:2"] == [{"bytes": dish(1), "path": None}]
    assert set(found) == {"train:1", "train:2", "test:1", "test:2"}


def test_a_text_that_holds_the_mark_of_a_picture_is_dropped_with_its_reason(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 8)
    plan = make_plan(load_recipe("cpu-smoke-vlm"), source, tmp_path / "home")
    mark = plan.vocabulary.processor.image_token
    slates = [*plan.slates.train, *plan.slates.held_out]
    answers = (as_answer(f"Un plato {mark}."), *slates[0].answers[1:])
    slates[:2] = replace(slates[0], answers=answers), replace(slates[1], prompt=as_question(f"¿{mark}?"))
    found = Slates("a test", tuple(slates))
    kept, checks = preflight(found, plan.vocabulary, plan.recipe.data, plan.recipe.dpo.objective, pictures=source)
    reason = "a control mark of the base in the text"
    assert Dropped(slates[1].id, reason, mark) in checks.dropped
    assert {gone.reason for gone in (*checks.dropped, *checks.dropped_answers)} == {reason}
    assert len(kept) >= len(slates) - 2


def test_what_is_too_long_is_dropped_refused_or_cut_at_its_end_and_never_in_its_picture(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 8)

    def planned(limit: int, way: str) -> Plan:
        recipe = load_recipe("cpu-smoke-vlm", [f"data.max_length={limit}", f"data.on_overflow={way}"])
        return make_plan(recipe, source, tmp_path / "home")

    whole = planned(512, "drop")
    slates = (*whole.slates.train, *whole.slates.held_out)
    rows = [encode_whole(slate, whole.vocabulary, source)[0] for slate in slates]
    prompt, longest = len(rows[0].prompt), max(row.longest for row in rows)
    place = whole.vocabulary.processor.image_token_id
    assert {row.prompt.count(place) for row in rows} == {4}
    shorter = planned(longest - 1, "drop").checks
    assert {dropped.reason for dropped in (*shorter.dropped, *shorter.dropped_answers)} == {"longer than max_length"}
    with pytest.raises(TrainError, match=rf"has \d+ tokens and data.max_length is {longest - 1}"):
        planned(longest - 1, "error")
    cut = planned(prompt + 5, "truncate")
    for slate in cut.slates.train:
        row = encode_slate(slate, cut.vocabulary, limit=prompt + 5, pictures=source)
        assert (row.prompt.count(place), max(map(len, row.answers)), row.image) == (4, 5, slate.image)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("https://example.org/a.jpg", "fetches no picture from an address"),
        ("../secret.jpg", "stands in the folder of its file"),
        ("gone.jpg", "gone.jpg' cannot be read"),
        ("huge.jpg", "huge.jpg has more than 64,000,000 bytes"),
        (["fotos/0.jpg", "fotos/1.jpg"], "several pictures, and a slate is about one"),
        ("no.png", r"mine.jsonl:1: "),
        ("self.jpg", "Too many levels of symbolic links"),
        ("a\0b.jpg", "no file can have such a name"),
        ("pipe.jpg", "it is no regular file"),
    ],
)
def test_a_picture_that_cannot_be_had_is_refused_with_its_row(tmp_path: Path, image: Any, told: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(dish(3))
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(70_000_000)  # a hole: it takes no room
    (folder / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(folder / "pipe.jpg")
    pair(folder, 1)
    (folder / "mine.jsonl").write_text(json.dumps({**pair(folder, 0), "image": image}) + "\n")
    with pytest.raises(TrainError, match=told) as raised:
        read_slates(folder / "mine.jsonl", vision="frozen", home=tmp_path / "home")
    assert "mine.jsonl:1" in str(raised.value)


def test_a_large_photograph_of_a_file_is_kept_small_and_without_the_place_where_it_was_taken(tmp_path: Path) -> None:
    picture, exif = Image.new("RGB", (2400, 1200), "red"), Image.Exif()
    exif[0x8825] = {1: "N", 2: (19.0, 25.0, 57.0)}
    picture.save(tmp_path / "big.jpg", exif=exif)
    row = {**pair(tmp_path, 0), "image": "big.jpg"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    (slate,) = read_slates(tmp_path / "mine.jsonl", vision="frozen", home=tmp_path / "home").slates
    data = (tmp_path / "home" / picture_file(slate.image)).read_bytes()
    with Image.open(io.BytesIO(data)) as kept:
        assert kept.size == (1024, 512)
        assert not kept.getexif()


@pytest.mark.parametrize("where", ["in a segment that nobody knows", "after the end"])
def test_what_stands_beside_the_pixels_of_a_small_picture_goes_too(tmp_path: Path, where: str) -> None:
    told = b"GPS 19.4326, -99.1332"
    if where == "after the end":
        planted = dish(0) + told
    else:
        planted = dish(0)[:2] + b"\xff\xeb" + (len(told) + 2).to_bytes(2, "big") + told + dish(0)[2:]
    row = pair(tmp_path, 0)
    (tmp_path / row["image"]).write_bytes(planted)
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    (slate,) = read_slates(tmp_path / "mine.jsonl", vision="frozen", home=tmp_path / "home").slates
    assert told not in (tmp_path / "home" / picture_file(slate.image)).read_bytes()


def test_a_picture_that_is_gone_or_damaged_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    source = write_picture_snapshot(tmp_path, "abc", 4)
    pictures = [slate.image for slate in read_slates(source, vision="frozen").slates]
    (source / picture_file(pictures[1])).write_bytes(dish(99))
    with pytest.raises(LostPicture, match=f"{pictures[1]}.jpg was changed: its content is not what its name says"):
        check_pictures(pictures, source)
    (source / picture_file(pictures[1])).unlink()
    with pytest.raises(LostPicture, match=f"{pictures[1]}.jpg is missing"):
        check_pictures(pictures, source)


def test_pictures_that_look_nearly_the_same_are_one_group(tmp_path: Path) -> None:
    names = [keep_dish(tmp_path, number) for number in range(20)]
    with Image.open(tmp_path / picture_file(names[7])) as picture:
        file = io.BytesIO()
        picture.resize((80, 60)).save(file, "JPEG", quality=60)
    again = keep_picture(tmp_path, file.getvalue())
    found = first_alike([*names, again], tmp_path)
    assert found[again] == found[names[7]] == min(again, names[7])
    assert len(set(found.values())) == 20


def test_a_picture_stands_on_one_side_of_the_split_whatever_is_asked_about_it(tmp_path: Path) -> None:
    slates = read_slates(write_picture_snapshot(tmp_path, "abc", 12), vision="frozen").slates
    asked = [replace(slate, prompt=f"¿Qué se ve? {number}") for number, slate in enumerate(slates)]
    rows = (*slates, *asked)
    groups = groups_of(rows, {(slate.prompt_key, slate.image) for slate in rows})
    split = split_by_prompt(rows, 0.25, 0, groups)
    train, held = ({slate.image for slate in side} for side in (split.train, split.held_out))
    assert not train & held
    assert (len(train), len(held)) == (9, 3)


def test_the_command_takes_the_preset_that_fits_the_snapshot_and_the_snapshot_that_fits_the_preset(
    tmp_path: Path,
) -> None:
    init_project(tmp_path, name="fotos", countries=["MX"], languages=["es"], preset="cpu-smoke")
    path = tmp_path / "annot.toml"
    path.write_text(path.read_text().replace("[train]\n", '[train]\npicture_preset = "cpu-smoke-vlm"\n'))
    write_snapshot(tmp_path, "read", preference_rows(12), made_at="2026-01-02T00:00:00")
    write_picture_snapshot(tmp_path, "seen", 12, made_at="2026-01-01T00:00:00")

    def planned(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["train", "--project", str(tmp_path), "--dry-run", "--json", *words])
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert planned()["preflight"]["source"] == "snapshot read"
    assert planned("--preset", "cpu-smoke-vlm")["preflight"]["source"] == "snapshot seen"
    by_snapshot = planned("--snapshot", "seen")
    assert by_snapshot["recipe"]["base"]["vision"] == "frozen"
    assert by_snapshot["preflight"]["pictures"]["pictures"] == 12
    words = ["train", "--project", str(tmp_path), "--preset", "cpu-smoke", "--snapshot", "seen"]
    assert "snapshot seen is about pictures" in str(CliRunner().invoke(app, words).exception)
