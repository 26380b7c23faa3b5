"""Pictures in what keeps, traces and forgets a project, and in what compares prompts by their texts."""

import csv
import json
from pathlib import Path

import pytest
from picture_files import write_drawn
from projects import annot, make_project

from annotation.backups.make import back_up
from annotation.backups.restore import restore
from annotation.data_facts import data_facts
from annotation.errors import ProjectError, SourceError
from annotation.extending.gaps import find_gaps
from annotation.images.add import add_images
from annotation.images.question import QUESTION
from annotation.images.store import LostPicture, has_picture, link_pictures, read_picture, read_pictures
from annotation.lineage.forget import find_forgettable
from annotation.lineage.subject import Home
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.change import Which, change_prompts
from annotation.prompts.review import add_checks, only_accepted
from annotation.types import Prompt, picture_file

SETTINGS = '[project]\ncountries = ["MX", "CO"]\nlanguages = ["es"]\n'
CREATOR = "somebody whose name is nowhere else"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With three pictures of Mexico, of which two are also of Colombia."""
    made = make_project(tmp_path / "project", SETTINGS)
    write_drawn(tmp_path / "fotos", 3)
    write_drawn(tmp_path / "dos", 2)
    for folder, country in (("fotos", "MX"), ("dos", "CO")):
        said = {"country": country, "licence": "CC BY 4.0", "creator": CREATOR, "people": "none", "processes": 1}
        add_images(made, str(tmp_path / folder), **said)  # type: ignore[arg-type]
    return made


def of_pictures(project: Project) -> dict[tuple[str, int], Prompt]:
    """Country and number of the picture -> its prompt."""
    numbers = {id_: number for number, id_ in enumerate(read_pictures(project.ledger))}
    return {(prompt.country, numbers[prompt.image]): prompt for prompt in project.ledger.prompts() if prompt.image}


def test_an_archive_holds_the_pictures_and_brings_them_back(project: Project, tmp_path: Path) -> None:
    (project.folder / "images" / ".half").write_bytes(b"being written")
    of_team = Path("guidelines", "images", "mole.png")
    (project.folder / of_team).parent.mkdir(parents=True)
    (project.folder / of_team).write_bytes(b"a picture of the team's own")
    archive = back_up(project, tmp_path / "copy.zip")
    assert "images" not in archive.left_out
    restore(Path(archive.path), tmp_path / "back")
    back = Project.open(tmp_path / "back")
    found = {path.relative_to(back.folder): path.read_bytes() for path in back.folder.glob("images/*/*")}
    assert found == {p.relative_to(project.folder): p.read_bytes() for p in project.folder.glob("images/*/*")}
    assert len(found) == 6
    assert (back.folder / of_team).read_bytes() == b"a picture of the team's own"
    assert read_pictures(back.ledger) == read_pictures(project.ledger)


def test_an_archive_with_a_changed_picture_is_refused(project: Project, tmp_path: Path) -> None:
    archive = Path(back_up(project, tmp_path / "copy.zip").path)
    content = bytearray(archive.read_bytes())
    at = content.index(b".jpg", content.index(b"images/"))
    content[at + 400] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ProjectError):
        restore(archive, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_forgetting_a_prompt_takes_its_picture_from_everywhere_where_no_other_needs_it(project: Project) -> None:
    prompts = of_pictures(project)
    alone, shared = prompts["MX", 2], prompts["MX", 0]
    homes = [project.folder / "snapshots" / "s1", project.folder / "runs" / "r1"]
    for home in homes:
        link_pictures([alone.image, shared.image], project.folder, home)
    annot(project, "forget", shared.id, "--yes")
    assert shared.image in read_pictures(project.ledger)
    for home in (project.folder, *homes):
        assert (home / picture_file(shared.image)).exists()
    seen = json.loads(annot(project, "forget", alone.id, "--dry-run", "--json"))
    assert len(seen["pictures"]) == 4
    assert seen["files"] == []
    told = annot(project, "forget", alone.id, "--yes")
    assert "its picture, in 4 files" in told
    assert alone.image not in read_pictures(project.ledger)
    assert not list(project.folder.rglob(f"{alone.image}*"))
    annot(project, "forget", prompts["CO", 0].id, "--yes")
    assert not list(project.folder.rglob(f"{shared.image}*"))
    annot(project, "forget", prompts["CO", 1].id, "--yes")
    annot(project, "forget", prompts["MX", 1].id, "--yes")
    project.ledger.close()
    assert CREATOR.encode() not in (project.folder / "ledger.sqlite").read_bytes()


def test_what_is_forgotten_may_be_named_by_its_picture(project: Project) -> None:
    prompts = of_pictures(project)
    alone, shared = prompts["MX", 2], prompts["MX", 0]
    assert json.loads(annot(project, "forget", alone.image, "--dry-run", "--json"))["id"] == alone.id
    with pytest.raises(SourceError, match=f"may mean prompt:{shared.id}, prompt:{prompts['CO', 0].id}"):
        find_forgettable(Home.open(project.folder), shared.image[:12])
    annot(project, "forget", alone.image[:12], "--yes")
    assert not list(project.folder.rglob(f"{alone.image}*"))


def test_a_damaged_picture_of_a_snapshot_or_run_is_mended_from_the_project(project: Project, tmp_path: Path) -> None:
    picture, gone = (of_pictures(project)["MX", number].image for number in (1, 2))
    run, file = project.folder / "runs" / "r1", picture_file(picture)
    link_pictures([picture, gone], project.folder, run)
    content = (project.folder / file).read_bytes()
    (run / file).write_bytes(b"a link: this damages both")
    for folder in (run, project.folder):
        with pytest.raises(LostPicture, match=r"was changed.*`annot images add` or from a backup"):
            read_picture(folder, picture)
    with pytest.raises(LostPicture, match="was changed"):
        link_pictures([picture], project.folder, tmp_path / "export")
    said = {"country": "MX", "licence": "CC0", "creator": "x", "people": "none", "processes": 1}
    add_images(project, str(tmp_path / "fotos"), **said)  # type: ignore[arg-type]
    assert read_picture(run, picture) == content == (run / file).read_bytes()
    (run / picture_file(gone)).unlink()
    assert has_picture(run, gone)
    assert (run / picture_file(gone)).exists()
    (tmp_path / "export" / file).parent.mkdir(parents=True)
    (tmp_path / "export" / file).write_bytes(b"damaged")
    link_pictures([picture], project.folder, tmp_path / "export")
    assert (tmp_path / "export" / file).read_bytes() == content


def test_what_is_forgotten_does_not_come_again(project: Project, tmp_path: Path) -> None:
    prompt = of_pictures(project)["MX", 2]
    annot(project, "forget", prompt.id, "--yes")
    said = {"country": "MX", "licence": "CC0", "creator": "x", "people": "none", "processes": 1}
    added = add_images(project, str(tmp_path / "fotos"), **said)  # type: ignore[arg-type]
    assert [(drop.id, drop.reason) for drop in added.dropped] == [("fotos:3 002.jpg", "forgotten for good")]
    assert not (project.folder / picture_file(prompt.image)).exists()
    assert prompt.image not in read_pictures(project.ledger)


def test_a_trace_shows_who_made_a_picture_and_under_which_licence(project: Project) -> None:
    told = annot(project, "trace", of_pictures(project)["MX", 1].id)
    assert f"by {CREATOR}; licence CC BY 4.0; fotos:2 001.jpg; people none" in " ".join(told.split())


def test_facts_count_pictures_and_licences(project: Project) -> None:
    facts = data_facts(project)
    # A picture is told of under the source that it came from first.
    assert facts["pictures"] == {
        "pictures": 3,
        "creators": 1,
        "sources": [{"source": "fotos", "licence": "CC BY 4.0", "pictures": 3}],
        "people": {"none": 3},
    }
    assert facts["prompts"]["sources"] == [
        {"source": "dos", "licence": "CC BY 4.0", "prompts": 2},
        {"source": "fotos", "licence": "CC BY 4.0", "prompts": 3},
    ]
    change_prompts(project, Which(country="MX"), {"removed": True})
    assert data_facts(project)["pictures"]["pictures"] == 2


def test_pictures_with_one_text_are_no_duplicates_of_each_other_or_of_texts(project: Project, tmp_path: Path) -> None:
    table = tmp_path / "textos.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("prompt",), (QUESTION["es"],), ("¿Qué se come en tu casa los domingos?",)])
    added = add_prompts(project, str(table), defaults={"country": "MX"})
    assert (len(added.kept), added.dropped) == (2, ())
    moved = change_prompts(project, Which(file="fotos", pictures=True), {"country": "CO"})
    # Two of them are asked about in Colombia already; the third one is another picture, whatever its text.
    assert (len(moved.changed), [drop.reason for drop in moved.dropped]) == (
        1,
        ["another prompt says the same there"] * 2,
    )
    assert len(of_pictures(project)) == 5


def test_texts_alone_are_checked_and_counted_as_gaps(project: Project) -> None:
    text = Prompt.make("¿Qué se come en tu casa los domingos?", country="MX", language="es")
    project.ledger.add_prompts([text])
    assert add_checks(project.ledger) == 1
    assert find_gaps(project).prompts == 1
    strict = make_project(project.folder, SETTINGS + "[prompts]\nreviewed_only = true\n")
    assert only_accepted(strict.ledger, strict.settings) == {p.id for p in of_pictures(project).values()}


def test_commands_about_prompts_and_the_project_show_pictures(project: Project) -> None:
    assert json.loads(annot(project, "prompts", "list", "--json"))["prompts"] == 5
    assert "fotos:1 000.jpg" in annot(project, "prompts", "list", "--each")
    annot(project, "status")
    assert json.loads(annot(project, "status", "--json"))
