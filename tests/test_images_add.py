"""Pictures of folders, tables and datasets become prompts: once each, with a licence and an author, nothing else."""

import csv
import json
import os
import pty
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import TOKEN, HubStandIn, environment
from picture_files import as_file, drawn, write_drawn
from PIL.PngImagePlugin import PngInfo
from projects import annot, make_project

from annotation.drafting.from_file import NEARLY, draft_from_file
from annotation.errors import SettingsError, SourceError
from annotation.images.add import add_images
from annotation.images.overview import list_pictures
from annotation.images.question import QUESTION
from annotation.images.refine import HEAVY, refine
from annotation.images.store import read_pictures
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.change import Which, change_prompts
from annotation.types import picture_file

SETTINGS = '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n'
SAID: Mapping[str, Any] = {
    "country": "MX",
    "licence": "CC BY 4.0",
    "creator": "our team",
    "people": "none",
    "processes": 1,
}
DISHES = Path(__file__).parent.parent.parent / "shared" / "data" / "images" / "worldcuisines_latam_iberia.csv"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", SETTINGS)


def files(project: Project) -> dict[str, bytes]:
    """Everything below the project's images/, by name."""
    found = (path for path in (project.folder / "images").rglob("*") if path.is_file())
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in found}


def rows(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """What the ledger says of pictures, without the times."""
    with sqlite3.connect(project.folder / "ledger.sqlite") as db:
        return {
            table: db.execute(f"select {columns} from {table} order by rowid").fetchall()
            for table, columns in (
                ("pictures", "id, likeness, width, height, source, licence, creator, people"),
                ("prompts", "id, text, country, language, topic, source, licence, image"),
                ("dropped", "step, id, reason, because_of"),
            )
        }


def write_table(path: Path, *lines: tuple[object, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return path


def reasons(added: Any) -> dict[str, int]:
    return {reason: count for reason, count, _ in added.reasons()}


def test_a_folder_becomes_a_prompt_for_each_picture_and_a_second_reading_adds_nothing(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", ["a.jpg", "sub/b.png", "sub/deep/c.webp"])
    added = add_images(project, str(tmp_path / "fotos"), topic="comida", **SAID)
    assert (added.pictures, len(added.kept), added.dropped) == (3, 3, ())
    pictures = read_pictures(project.ledger)
    for prompt in project.ledger.prompts():
        assert (prompt.text, prompt.country, prompt.language, prompt.topic) == (QUESTION["es"], "MX", "es", "comida")
        picture = pictures[prompt.image]
        assert (picture.licence, picture.creator, picture.people) == ("CC BY 4.0", "our team", "none")
        assert picture.source == prompt.source
        assert (project.folder / picture_file(picture.id)).is_file()
        assert (project.folder / picture_file(picture.id, view=True)).is_file()
    assert [picture.source for picture in pictures.values()] == [
        "fotos:1 a.jpg",
        "fotos:2 sub/b.png",
        "fotos:3 sub/deep/c.webp",
    ]
    before = files(project), rows(project)
    again = add_images(project, str(tmp_path / "fotos"), topic="comida", **SAID)
    assert (again.pictures, again.kept, again.already_there) == (0, (), 3)
    assert (files(project), rows(project)) == before
    brazil = add_images(project, str(tmp_path / "fotos"), **{**SAID, "country": "Brasil"})
    assert (brazil.pictures, len(brazil.kept)) == (0, 3)
    assert {prompt.language for prompt in brazil.kept} == {"pt"}


def test_the_id_is_the_hash_of_the_file_and_the_ledger_holds_no_pixels(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 12)
    add_images(project, str(tmp_path / "fotos"), **SAID)
    for name, content in files(project).items():
        if name.endswith(".jpg"):
            assert Path(name).stem == sha256(content).hexdigest()
        assert stat.S_IMODE((project.folder / name).stat().st_mode) == 0o600
    assert {stat.S_IMODE(p.stat().st_mode) for p in (project.folder / "images").rglob("*") if p.is_dir()} == {0o700}
    project.ledger.close()
    ledger = (project.folder / "ledger.sqlite").read_bytes()
    assert not any(content[200:232] in ledger for content in files(project).values())


def test_what_is_the_same_or_nearly_is_taken_once(project, tmp_path: Path) -> None:
    folder = tmp_path / "fotos"
    write_drawn(folder, ["a.jpg", "z.jpg"])
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes())
    (folder / "c.png").write_bytes(as_file(drawn(0).resize((200, 150)), "PNG"))
    added = add_images(project, str(folder), **SAID)
    assert {(drop.id, drop.reason) for drop in added.dropped} == {
        ("fotos:2 b.jpg", "exact duplicate"),
        ("fotos:3 c.png", "near duplicate"),
    }
    because = {drop.reason: drop.because_of for drop in added.dropped}
    assert because["exact duplicate"] == "fotos:1 a.jpg"
    assert re.fullmatch(r"fotos:1 a\.jpg \(\d of 64 bits differ\)", because["near duplicate"])
    assert len(files(project)) == 4
    (tmp_path / "mas").mkdir()
    (tmp_path / "mas" / "d.jpg").write_bytes(as_file(drawn(1).resize((800, 600)), "JPEG"))
    with pytest.raises(SourceError, match=r"near duplicate 1 \(mas:1 d\.jpg: fotos:4 z\.jpg"):
        add_images(project, str(tmp_path / "mas"), **SAID)
    (tmp_path / "otra").mkdir()
    (tmp_path / "otra" / "mesa.jpg").write_bytes((folder / "a.jpg").read_bytes())
    assert add_images(project, str(tmp_path / "otra"), **SAID).already_there == 1
    answers = write_table(
        tmp_path / "descripciones.csv",
        ("imagen", "descripción", "modelo", "voz"),
        *((name, f"Una mesa puesta para la familia, {name}.", "tiny", "abuela") for name in ("b.jpg", "mesa.jpg")),
        ("c.png", "Otra mesa puesta para la familia.", "", ""),
    )
    read = draft_from_file(project, answers)
    assert (read.new, [drop.reason for drop in read.dropped]) == (2, [NEARLY])
    assert {(one.model, one.voice) for one in project.ledger.candidates()} == {("tiny", "abuela")}
    assert "2 answers are of the model" in read.notices[-1]
    change_prompts(project, Which(file="fotos"), {"removed": True})  # what is out makes nothing a duplicate
    assert add_images(project, str(tmp_path / "mas"), **SAID).pictures == 1


def test_files_that_are_no_pictures_are_told_with_what_helps(project, tmp_path: Path) -> None:
    folder = tmp_path / "fotos"
    write_drawn(folder, ["good.jpg", "odd\nname\t…\u202e.jpg"])
    (folder / "page.jpg").write_bytes(b"<html><img onerror=alert(1)></html>")
    (folder / "drawing.jpg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "half.jpg").write_bytes(as_file(drawn(5), "JPEG")[:3000])
    (folder / "film.gif").write_bytes(as_file(drawn(1), "GIF", save_all=True, append_images=[drawn(2)]))
    (folder / "dot.png").write_bytes(as_file(drawn(1, (9, 9)), "PNG"))
    (folder / "notes.txt").write_text("nothing", encoding="utf-8")
    (folder / ".hidden.jpg").write_bytes(as_file(drawn(8), "JPEG"))
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(65_000_000)
    (folder / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(as_file(drawn(9), "JPEG"))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(as_file(drawn(11), "JPEG"))
    (folder / "out.jpg").symlink_to(outside)
    (folder / "outside").symlink_to(tmp_path, target_is_directory=True)
    (folder / "own.jpg").symlink_to("good.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    told = PngInfo()
    told.add_text("Description", "x" * 1_100_000, zip=True)
    (folder / "wordy.png").write_bytes(as_file(drawn(12), "PNG", pnginfo=told))
    added = add_images(project, str(folder), **SAID)
    assert len(added.kept) == 3
    assert reasons(added) == {
        "no picture": 2,
        "broken or cut off": 1,
        "animated, or of several pages": 1,
        "too small": 1,
        "no picture by its name": 1,
        "too large": 1,
        "cannot be read": 3,
        "a link to a folder": 1,
        HEAVY: 1,
        "outside of the folder": 1,
        "exact duplicate": 1,
    }
    for picture in read_pictures(project.ledger).values():
        assert "\n" not in picture.source
        assert "\u202e" not in picture.source


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", ["a.jpg", "closed/b.jpg"])
    (tmp_path / "fotos" / "closed").chmod(0)
    assert reasons(add_images(project, str(tmp_path / "fotos"), **SAID)) == {"cannot be read": 1}


def test_names_that_no_file_can_have_are_told(project, tmp_path: Path) -> None:
    folder = tmp_path / "tabla"
    write_drawn(folder, ["a.jpg"])
    (folder / "self.jpg").symlink_to("self.jpg")
    rows = [json.dumps({"image": name}) for name in ("a.jpg", "self.jpg", "a\0b.jpg", "x" * 300 + ".jpg")]
    (folder / "fotos.jsonl").write_text("\n".join(rows), encoding="utf-8")
    added = add_images(project, str(folder / "fotos.jsonl"), **SAID)
    assert (len(added.kept), reasons(added)) == (1, {"no such file": 3})


def test_what_is_said_of_a_picture_is_corrected_by_adding_it_again(project, tmp_path: Path) -> None:
    folder = tmp_path / "fotos"
    write_drawn(folder, 2)
    first = add_images(project, str(folder), **SAID)
    before, better = read_pictures(project.ledger), SAID | {"licence": "CC BY-NC 4.0", "creator": "Bia"}
    seen = add_images(project, str(folder), **better, dry_run=True)
    assert seen.sentence() == "Would change what is said of 2 pictures of fotos, for all countries; already there: 2."
    assert read_pictures(project.ledger) == before
    added = add_images(project, str(folder), **better | {"people": "agreed"})
    assert (added.changed, added.already_there, len(added.kept)) == (2, 2, 0)
    assert added.sentence() == "Changed what is said of 2 pictures of fotos, for all countries; already there: 2."
    assert any("CC BY-NC 4.0 2" in notice for notice in added.notices)
    now = read_pictures(project.ledger)
    assert list(now) == list(before)
    for picture, row in now.items():
        assert row == replace(before[picture], licence="CC BY-NC 4.0", creator="Bia", people="agreed")
    assert {prompt.licence for prompt in project.ledger.prompts([one.id for one in first.kept])} == {"CC BY-NC 4.0"}
    again = add_images(project, str(folder), **better | {"people": "agreed"})
    assert again.sentence().startswith("Nothing new")
    assert project.ledger.rows("select count(*) as n from pictures")[0]["n"] == 4, "the words of before are kept"
    elsewhere = add_images(project, str(folder), **better | {"people": "agreed", "country": "BR", "licence": "CC0"})
    assert (elsewhere.pictures, len(elsewhere.kept), elsewhere.changed) == (0, 2, 2)
    assert {picture.licence for picture in read_pictures(project.ledger).values()} == {"CC0"}


def test_a_table_says_what_its_pictures_are(project, tmp_path: Path) -> None:
    folder = tmp_path / "tabla"
    write_drawn(folder, ["a.jpg", "img/b.jpg", "c.jpg"])
    table = write_table(
        folder / "fotos.csv",
        ("Archivo", "País", "Tema", "Licencia", "Fotógrafa", "Título"),
        ("a.jpg", "México", "comida", "CC0", "our kitchen", "Mole"),
        ("img\\b.jpg", "Brasil", "festa", "CC BY-NC 4.0", "Bia", "Boi-bumbá"),
        ("./c.jpg", "", "", "", "", ""),
    )
    added = add_images(project, str(table), **SAID)
    pictures = read_pictures(project.ledger)
    told = [(p.country, p.language, p.topic, p.licence, pictures[p.image].creator, p.source) for p in added.kept]
    assert told == [
        ("MX", "es", "comida", "CC0", "our kitchen", "fotos.csv:2 a.jpg, Mole"),
        ("BR", "pt", "festa", "CC BY-NC 4.0", "Bia", "fotos.csv:3 img\\b.jpg, Boi-bumbá"),
        ("MX", "es", "general", "CC BY 4.0", "our team", "fotos.csv:4 ./c.jpg"),
    ]
    assert any("CC BY-NC 4.0 1" in notice for notice in added.notices)


def test_a_table_reaches_no_file_outside_of_its_folder(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "tabla", ["a.jpg"])
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(as_file(drawn(5), "JPEG"))
    (tmp_path / "tabla" / "link.jpg").symlink_to(outside)
    names = ["../../../../etc/passwd", "/etc/passwd", str(outside), "../secret.jpg", "link.jpg", "..\\secret.jpg"]
    names += ["file:///etc/passwd", "none.jpg", "a\0b.jpg", "x" * 5000, "", "http://[", "a.jpg"]
    table = tmp_path / "tabla" / "fotos.jsonl"
    table.write_text("".join(json.dumps({"image": name}) + "\n" for name in names), encoding="utf-8")
    added = add_images(project, str(table), **SAID)
    assert len(added.kept) == 1
    assert reasons(added) == {
        "outside of the folder": 6,
        "an address on the network": 2,
        "no such file": 3,
        "names no picture": 1,
    }


def test_addresses_are_counted_and_never_fetched_and_downloads_beside_the_table_are_found(project, tmp_path) -> None:
    table = write_table(
        tmp_path / "tabla" / "dishes.csv",
        (
            "Name",
            "Countries",
            "Coarse-grained categories",
            "Image1 License",
            "Image1 name / URL",
            "Image2 License",
            "Image2 name / URL",
        ),
        ("Mole", '["Mexico"]', '["sauce", "stew"]', "CC0", "https://w.example/a/Mole%20poblano.jpg?download", "", ""),
        ("Feijoada", '["Brazil","Portugal"]', '["stew"]', "CC BY 2.0", "https://w.example/F.jpg", "CC0", "http://x/y"),
    )
    with pytest.raises(SourceError, match=r"an address on the network 3 .*ownload them first") as refused:
        add_images(project, str(table), **SAID)
    assert "dishes.csv:2 Image1" in str(refused.value)
    (table.parent / "Mole poblano.jpg").write_bytes(as_file(drawn(1), "JPEG"))
    (table.parent / "F.jpg").write_bytes(as_file(drawn(2), "JPEG"))
    added = add_images(project, str(table), **SAID)
    told = [(p.country, p.language, p.topic, p.licence) for p in added.kept]
    assert told == [
        ("MX", "es", "sauce", "CC0"),
        ("BR", "pt", "stew", "CC BY 2.0"),
        ("PT", "pt", "stew", "CC BY 2.0"),
    ]
    assert added.pictures == 2
    assert reasons(added) == {"an address on the network": 1}
    assert added.kept[0].source.endswith("Mole%20poblano.jpg?download, Mole")
    assert any("PT 1" in notice for notice in added.notices)


@pytest.mark.skipif(not DISHES.exists(), reason="shared/data/images is not here")
def test_every_address_of_a_public_list_of_dishes_is_counted(project) -> None:
    with DISHES.open(encoding="utf-8", newline="") as file:
        addresses = [row[f"Image{n} name / URL"] for row in csv.DictReader(file) for n in range(1, 9)]
    expected = sum(bool(address.strip()) for address in addresses)
    with pytest.raises(SourceError, match=rf"an address on the network {expected} \("):
        add_images(project, str(DISHES), **SAID)
    assert expected > 900


def test_a_parquet_file_may_hold_the_pictures_themselves(project, tmp_path: Path) -> None:
    held = [{"bytes": as_file(drawn(n), "JPEG"), "path": f"p{n}.jpg"} for n in range(9)]
    held += [{"bytes": None, "path": "/etc/passwd"}, {"bytes": b"", "path": None}]
    table = pa.table({"image": held, "topic": ["comida"] * 11, "vector": [[0.5]] * 11, "license": ["CC0"] * 11})
    pq.write_table(table, tmp_path / "fotos.parquet")
    added = add_images(project, str(tmp_path / "fotos.parquet"), **SAID)
    assert len(added.kept) == 9
    assert added.kept[8].source == "fotos.parquet:9 p8.jpg"
    assert {prompt.licence for prompt in added.kept} == {"CC0"}
    assert reasons(added) == {"outside of the folder": 1, "names no picture": 1}


def test_a_dataset_on_the_hub_may_hold_pictures(project, tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "country": datasets.Value("string")})
    held = {"image": [drawn(n) for n in range(3)], "country": ["MX", "BR", "MX"]}
    datasets.Dataset.from_dict(held, features=features).to_parquet(tmp_path / "train.parquet")
    with HubStandIn() as hub:
        held_there = hub.make("dataset", "team/fotos").files
        held_there["data/train-00000-of-00001.parquet"] = (tmp_path / "train.parquet").read_bytes()
        words = ["images", "add", "team/fotos", "--country", "MX", "--licence", "CC0", "--author", "x"]
        done = subprocess.run(
            [sys.executable, "-m", "annotation.cli", *words, "--people", "none", "-p", str(project.folder)],
            env={**environment(hub), "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    prompts = project.ledger.prompts()
    assert [prompt.country for prompt in prompts] == ["MX", "BR", "MX"]
    assert prompts[0].source.startswith("team/fotos:train:1")


def test_a_question_in_a_language_that_the_project_lacks_is_told(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", '[project]\ncountries = ["ES"]\nlanguages = ["gl"]\n')
    write_drawn(tmp_path / "fotos", 2)
    added = add_images(project, str(tmp_path / "fotos"), **{**SAID, "country": "ES"})
    assert {prompt.language for prompt in added.kept} == {"es"}
    (notice,) = added.notices
    assert "2 prompts are in languages that annot.toml does not name (es 2)" in notice


def test_a_row_in_a_language_that_annot_does_not_ask_in_is_told(project, tmp_path: Path) -> None:
    folder = tmp_path / "tabla"
    write_drawn(folder, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    rows = zip(("a.jpg", "b.jpg", "c.jpg", "d.jpg"), ("nah", "lengua secreta", "es", ""), strict=True)
    table = write_table(folder / "fotos.csv", ("archivo", "idioma"), *rows)
    added = add_images(project, str(table), **SAID)
    assert {prompt.language for prompt in added.kept} == {"es"}
    (told,) = added.notices
    assert told.startswith("2 prompts are in another language than the source names (")
    assert "nah 1" in told
    assert "(es, pt)" in told


def test_a_licence_and_an_author_have_to_be_given(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 2)
    for lacking, option in (("licence", "--licence"), ("creator", "--author"), ("country", "--country")):
        with pytest.raises(SettingsError, match=option):
            add_images(project, str(tmp_path / "fotos"), **{**SAID, lacking: ""})
    with pytest.raises(SettingsError, match=r"--people none.*--licence.*--author"):
        add_images(project, str(tmp_path / "fotos"), country="MX")
    table = write_table(
        tmp_path / "fotos" / "t.csv", ("image", "license", "author"), ("000.jpg", "n/a", "x"), ("001.jpg", "CC0", "x")
    )
    assert reasons(add_images(project, str(table), **{**SAID, "licence": "", "creator": ""})) == {"no licence": 1}
    with pytest.raises(SettingsError, match="--people agreed"):
        add_images(project, str(tmp_path / "fotos"), **{**SAID, "people": "perhaps"})


def test_what_is_marked_for_evaluation_is_left_out(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "t", 2)
    table = write_table(
        tmp_path / "t" / "t.csv", ("image", "use"), ("000.jpg", "evaluation-only"), ("001.jpg", "training")
    )
    assert reasons(add_images(project, str(table), **SAID)) == {"for evaluation only": 1}


def test_a_dry_run_looks_at_everything_and_writes_nothing(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 3)
    before = sorted(project.folder.rglob("*"))
    added = add_images(project, str(tmp_path / "fotos"), dry_run=True, **{**SAID, "people": ""})
    assert (added.pictures, added.dry_run) == (3, True)
    assert sorted(project.folder.rglob("*")) == before


KILLED = """
import os, signal, sys
from pathlib import Path
import annotation.images.add as add
from annotation.project import Project

where, number, folder, source = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
plain, calls = getattr(add, where), []

def wrapped(*args):
    calls.append(1)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*args)

setattr(add, where, wrapped)
add.add_images(Project.open(Path(folder)), source, country="MX", licence="CC0", creator="x", people="none", processes=1)
"""


@pytest.mark.parametrize(
    ("where", "number"), [("write_picture", 1), ("write_picture", 4), ("add_pictures", 1), ("drop_strangers", 1)]
)
def test_killed_anywhere_and_run_again_it_is_as_if_nothing_had_been(where: str, number: int, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 6)
    (tmp_path / "fotos" / "x.jpg").write_bytes(as_file(drawn(0).resize((200, 150)), "JPEG"))
    said = {"country": "MX", "licence": "CC0", "creator": "x", "people": "none", "processes": 1}
    whole = make_project(tmp_path / "whole", SETTINGS)
    add_images(whole, str(tmp_path / "fotos"), **said)  # type: ignore[arg-type]
    killed = make_project(tmp_path / "killed", SETTINGS)
    words = [sys.executable, "-c", KILLED, where, str(number), str(killed.folder), str(tmp_path / "fotos")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert len(list_pictures(killed).prompts) == (6 if where == "drop_strangers" else 0)
    (tmp_path / "killed" / "images" / "ab").mkdir(parents=True, exist_ok=True)
    (tmp_path / "killed" / "images" / "ab" / ".half.jpg.tmp.jpg").write_bytes(b"half a file")
    add_images(killed, str(tmp_path / "fotos"), **said)  # type: ignore[arg-type]
    assert (files(killed), rows(killed)) == (files(whole), rows(whole))


def test_workers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 6)
    killed = make_project(tmp_path / "killed", SETTINGS)
    script = KILLED.replace(
        "    if len", "    import psutil; print(*(p.pid for p in psutil.Process().children()))\n    if len"
    )
    words = [sys.executable, "-u", "-c", script, "write_picture", "1", str(killed.folder), str(tmp_path / "fotos")]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    import psutil

    workers = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    assert done.stdout.split()
    _gone, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_removed_pictures_can_be_put_back_and_text_prompts_stay(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 3)
    add_images(project, str(tmp_path / "fotos"), **SAID)
    table = write_table(tmp_path / "fotos.csv", ("prompt",), ("¿Qué se come en tu casa los domingos?",))
    add_prompts(project, str(table), defaults={"country": "MX"})
    first = project.ledger.prompts()[0]
    annot(project, "images", "remove", first.image[:12])
    assert [prompt.id for prompt in project.ledger.prompts(removed=True) if prompt.removed] == [first.id]
    annot(project, "images", "remove", "--country", "MX")
    assert [prompt.image for prompt in project.ledger.prompts()] == [""]
    told = json.loads(annot(project, "images", "list", "--json", "--each"))
    assert (told["pictures"], told["removed"], len(told["each"])) == (0, 3, 3)
    with pytest.raises(SettingsError, match=r"No picture fits that; `annot images list --each`"):
        change_prompts(project, Which(file="others", pictures=True), {"removed": True})
    with pytest.raises(SettingsError, match=r"Say which pictures: their ids, --source"):
        change_prompts(project, Which(pictures=True), {"removed": True})
    annot(project, "images", "remove", "--source", "fotos", "--undo")
    told = json.loads(annot(project, "images", "list", "--json"))
    assert told["groups"] == [{"country": "MX", "topic": "general", "pictures": 3}]
    assert told["licences"] == {"CC BY 4.0": 3}
    assert "CC BY 4.0" in annot(project, "images", "list")
    each = annot(project, "images", "list", "--each")
    assert "our team" in each
    assert first.image[:12] in each
    assert first.image[:13] not in each
    assert "fotos:1 000.jpg" in annot(project, "images", "remove", first.image[:12], "--dry-run")
    with pytest.raises(SettingsError, match=r"No picture has the id.*images list --each"):
        change_prompts(project, Which(ids=("zzz",), pictures=True), {"removed": True})


def test_a_licence_that_lets_nobody_else_use_a_picture_is_told_of(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 3)
    lines = zip(
        ("000.jpg", "001.jpg", "002.jpg"), ("CC BY 4.0", "Todos los derechos reservados", "unknown"), strict=True
    )
    table = write_table(tmp_path / "fotos" / "t.csv", ("image", "license"), *lines)
    (notice,) = add_images(project, str(table), **SAID).notices
    assert notice.startswith("2 pictures are under a licence")
    assert "not given away with a release" in notice


def test_in_a_pipe_people_have_to_be_spoken_of_and_on_a_terminal_it_is_asked(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", 1)
    words = [sys.executable, "-m", "annotation.cli", "images", "add", str(tmp_path / "fotos"), "--country", "MX"]
    words += ["--licence", "CC0", "--author", "x", "-p", str(project.folder)]
    piped = subprocess.run(words, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert piped.returncode == 2
    assert "--people none" in piped.stderr
    assert len(piped.stderr.splitlines()) == 1
    for typed, code, said in (("y\nn\n", 2, "did not agree"), ("y\ny\n", 0, "1 new picture")):
        mine, theirs = pty.openpty()
        os.write(mine, typed.encode())
        done = subprocess.run(words, check=False, capture_output=True, text=True, stdin=theirs)
        os.close(mine)
        os.close(theirs)
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
    (picture,) = read_pictures(project.ledger).values()
    assert picture.people == "agreed"


def test_what_a_name_says_of_a_person_is_masked_and_an_author_is_named(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", ["ana.torres@example.com.jpg"])
    add_images(project, str(tmp_path / "fotos"), **SAID)
    (picture,) = read_pictures(project.ledger).values()
    assert "@" not in picture.source
    assert picture.creator == "our team"


def test_a_single_picture_can_be_added(project, tmp_path: Path) -> None:
    write_drawn(tmp_path / "fotos", ["a.jpg"])
    added = add_images(project, str(tmp_path / "fotos" / "a.jpg"), **SAID)
    found = refine((tmp_path / "fotos" / "a.jpg").read_bytes())
    assert added.kept[0].image == found.id  # type: ignore[union-attr]
