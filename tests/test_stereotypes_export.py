"""An export of stereotypes: nothing of few people, no names, licences that carry over, every row for evaluation."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow.parquet as pq
import pytest
from projects import annot
from rated_projects import answer, association, rate, rated_project
from story_projects import judged_by_three

from annotation.errors import ProjectError
from annotation.licences import NONE, OTHER, SHARE_ALIKE, TEAM, of_whole, refused
from annotation.project import Project
from annotation.stereotypes.export import (
    ASSOCIATIONS,
    CARD,
    COLUMNS,
    FILES,
    PAIRS,
    RATINGS,
    SHARED,
    SOURCE_RATINGS,
    canary_of,
    leaving,
    write_stereotypes,
)
from annotation.stereotypes.file_ratings import FileRating, add_file_ratings
from annotation.stereotypes.pairs import checked_pairs, make_pairs
from annotation.tasks.pair_check.check import Check
from annotation.tasks.stereotype.rating import Rating
from annotation.types import EVALUATION_ONLY, MinimalPair

KNOWN = association("argentinos", "toman mate")
SECOND = association("uruguayos", "alegres")
FEW = association("cubanos", "cantan bien")


def written(project: Project, to: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """What an export wrote, by file."""
    write_stereotypes(project, to, leaving(project, **options))
    tables = {file: pq.read_table(to / file).to_pylist() for file in COLUMNS}
    return {**tables, PAIRS: [json.loads(line) for line in (to / PAIRS).read_text(encoding="utf-8").splitlines()]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three raters of two associations, two of a third; and one association in Brazil."""
    found = rated_project(tmp_path / "p", {KNOWN: [5, 4, 4, None], SECOND: [3, 3, 5], FEW: [5, 5]})
    rate(found, {KNOWN: [1, 2, 1]}, "BR")
    return found


def test_nothing_of_fewer_than_three_raters_of_a_region_is_in_it(project: Project, tmp_path: Path) -> None:
    found = written(project, tmp_path / "out")
    rows = {(row["association_id"], row["country"]): row for row in found[ASSOCIATIONS]}
    assert set(rows) == {(KNOWN.id, "MX"), (SECOND.id, "MX"), (KNOWN.id, "BR")}
    mexico = rows[KNOWN.id, "MX"]
    assert (mexico["raters"], mexico["skips"], mexico["known"]) == (3, 1, [0, 0, 0, 2, 1])
    assert mexico["offensive"] == [0, 3, 0, 0, 0]
    assert rows[KNOWN.id, "BR"]["known"] == [2, 1, 0, 0, 0]
    assert not any(row["association_id"] == FEW.id for row in found[RATINGS])
    everything = "".join((tmp_path / "out" / file).read_bytes().decode("utf-8", "ignore") for file in FILES)
    assert FEW.attribute not in everything


def test_a_pair_stays_here_when_too_few_of_its_region_are_left(project: Project, tmp_path: Path) -> None:
    rate(project, {SECOND: [4, 4, 4]}, "BR")
    _check(project)
    for item in project.ledger.items("pair_check"):
        answer(project, item, {f"{item.country.lower()}_{n}": Check("right") for n in (7, 8)})
    assert {row["country"] for row in written(project, tmp_path / "out")[PAIRS]} == {"MX", "BR"}
    project.ledger.decide("br_0", excluded="guesses")
    assert {row["country"] for row in written(project, tmp_path / "out")[PAIRS]} == {"MX"}


def test_how_offensive_it_is_leaves_only_where_three_said_so(tmp_path: Path) -> None:
    project = rated_project(tmp_path / "p", {KNOWN: []})
    (item,) = project.ledger.items("stereotype")
    answer(project, item, {"mx_0": Rating(5, 4), "mx_1": Rating(4), "mx_2": Rating(4)})
    found = written(project, tmp_path / "out")
    assert [row["offensive"] for row in found[ASSOCIATIONS]] == [[0, 0, 0, 0, 0]]
    assert [row["offensive"] for row in found[RATINGS]] == [None, None, None]
    assert sorted(row["known"] for row in found[RATINGS]) == [4, 4, 5]


def test_a_skip_is_kept_and_is_no_rating(project: Project, tmp_path: Path) -> None:
    rows = [row for row in written(project, tmp_path / "out")[RATINGS] if row["association_id"] == KNOWN.id]
    assert sorted(str(row["known"]) for row in rows if row["country"] == "MX") == ["4", "4", "5", "None"]
    assert {row["annotator"] for row in rows if row["country"] == "MX"} == {
        project.pseudonym(f"mx_{number}") for number in range(4)
    }


def test_own_group_and_others_stand_apart(tmp_path: Path) -> None:
    project = rated_project(tmp_path / "p", {association("mexicanos", "alegres", target="MX"): []})
    (item,) = project.ledger.items("stereotype")
    said = [Rating(5, None, "others")] * 3 + [Rating(2), Rating(1, 1, "here"), Rating(2), Rating(stop=True)]
    answer(project, item, {f"mx_{number}": value for number, value in enumerate(said)})
    found = written(project, tmp_path / "out")
    assert {row["in_group"]: row["known"] for row in found[ASSOCIATIONS]} == {
        True: [1, 2, 0, 0, 0],
        False: [0, 0, 0, 0, 3],
    }
    assert len(found[RATINGS]) == 6  # who wants to see no more said nothing
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "| Mexico | Mexico | own | 1 | 3 |" in card
    assert "| Mexico | Mexico | others | 1 | 3 |" in card


def test_every_row_of_every_file_says_what_it_is_for(project: Project, tmp_path: Path) -> None:
    add_file_ratings(project.ledger, [FileRating(KNOWN.id, "mild.csv", "2", ("MX",), {"known": 4})])
    _check(project)
    judged_by_three(project)
    found = written(project, tmp_path / "out")
    assert set(found) == {*COLUMNS, PAIRS}
    for file, rows in found.items():
        assert rows, file
        assert {row["use"] for row in rows} == {EVALUATION_ONLY}
        assert {row["canary"] for row in rows} == {canary_of(project.ledger)}
    for file, columns in COLUMNS.items():
        assert pq.read_schema(tmp_path / "out" / file).names == list(columns)
        assert {"use", "canary"} <= set(columns)
    assert {json.loads(row["said"])["known"] for row in found[SOURCE_RATINGS]} == {4}


def _check(project: Project) -> None:
    make_pairs(project)
    for item in project.ledger.items("pair_check"):
        answer(project, item, {"mx_7": Check("right", controls=(0,)), "mx_8": Check("right")})


def test_checked_pairs_leave_with_all_that_they_stand_on(project: Project, tmp_path: Path) -> None:
    _check(project)
    rows = written(project, tmp_path / "out")[PAIRS]
    names = [one.name for one in fields(MinimalPair)]
    pairs = checked_pairs(project.ledger, project.settings)
    assert [{name: row[name] for name in names} for row in rows] == [asdict(pair) for pair in pairs]
    assert len(rows) == 8  # two associations, two sentences each, three controls, of which one went
    assert {(row["checkers"], row["agreeing"], row["corrected"]) for row in rows} == {(2, 2, False)}
    assert {row["licence"] for row in rows} == {"CC-BY-4.0"}
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("licences", "whole"),
    [
        (["CC-BY-4.0"], TEAM),
        (["CC-BY-4.0", "CC BY-SA 4.0"], SHARE_ALIKE),
        (["cc0-1.0", "CC-BY-4.0"], TEAM),
        (["Creative Commons Attribution-ShareAlike 4.0"], SHARE_ALIKE),
        (["CC BY CompartirIgual 4.0"], SHARE_ALIKE),
        (["CC BY, Compartilha Igual"], SHARE_ALIKE),
    ],
)
def test_share_alike_carries_over_to_the_whole(tmp_path: Path, licences: list[str], whole: str) -> None:
    ones = [association("argentinos", f"toman mate {number}", licence=text) for number, text in enumerate(licences)]
    project = rated_project(tmp_path / "p", {one: [4, 4, 4] for one in ones})
    found = leaving(project)
    assert found.licence == whole
    write_stereotypes(project, tmp_path / "out", found)
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert f'\nlicense: "{whole.lower()}"\n' in card
    assert {row["licence"] for row in found.tables[ASSOCIATIONS]} == set(licences)
    assert of_whole([]) == TEAM


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("", NONE),
        ("  ", NONE),
        ("CC-BY-NC-4.0", OTHER),
        ("cc by-nd 4.0", OTHER),
        ("All rights reserved", OTHER),
        ("CC-BY-SA-4.0", ""),
        ("CC0", ""),
        ("Public Domain", ""),
        ("MIT", ""),
        ("permit on request", OTHER),
        ("CC BY, uso no comercial", OTHER),
        ("CC BY-NoComercial 4.0", OTHER),
        ("CC BY, só uso não comercial", OTHER),
        ("Creative Commons Attribution, sin obra derivada", OTHER),
        ("CC BY sem derivações", OTHER),
        ("Todos los derechos reservados; antes CC BY", OTHER),
    ],
)
def test_what_may_not_be_given_away_is_left_out(licence: str, reason: str) -> None:
    assert refused(licence) == reason


def test_what_is_left_out_is_named_by_its_source_and_may_come_where_a_person_says_so(tmp_path: Path) -> None:
    bare = association("argentinos", "cantan bien", source="own.csv:7 (dicho: en la radio)", licence="")
    closed = association("chilenos", "alegres", source="closed.csv:3", licence="CC-BY-NC-4.0")
    project = rated_project(tmp_path / "p", {KNOWN: [4, 4, 4], bare: [4, 4, 4], closed: [4, 4, 4]})
    rate(project, {bare: [4, 4, 4]}, "BR")
    found = leaving(project)
    assert sorted(found.reasons()) == [(NONE, "own.csv", 1), (OTHER, "closed.csv", 1)]
    assert {row["association_id"] for row in found.tables[ASSOCIATIONS]} == {KNOWN.id}
    more = leaving(project, without_licence=True)
    assert {row["association_id"] for row in more.tables[ASSOCIATIONS]} == {KNOWN.id, bare.id}
    write_stereotypes(project, tmp_path / "out", more)
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "Where `licence` is empty" in card
    assert f"- 1 associations of closed.csv: {OTHER}" in card


def test_what_a_person_shared_names_nobody(tmp_path: Path) -> None:
    shared = association("argentinos", "toman mate", source="shared sheet77:3", licence="", author="ana")
    project = rated_project(tmp_path / "p", {shared: [4, 4, 4]})
    _check(project)
    found = leaving(project)
    write_stereotypes(project, tmp_path / "out", found)
    (row,) = found.tables[ASSOCIATIONS]
    assert (row["source"], row["licence"]) == (SHARED, TEAM)
    assert {pair["source"] for pair in found.tables[PAIRS]} == {SHARED}
    assert "ana" in found.people
    everything = json.dumps(found.tables) + (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "author" not in everything
    assert '"ana"' not in everything
    assert "sheet77" not in everything
    assert "mx_0" not in everything


def test_what_was_taken_out_is_not_in_it(project: Project, tmp_path: Path) -> None:
    items = [item.id for item in project.ledger.items("stereotype") if item.content["id"] == SECOND.id]
    _check(project)
    project.ledger.remove_items(items)
    found = written(project, tmp_path / "out")
    assert {row["association_id"] for row in found[ASSOCIATIONS]} == {KNOWN.id}
    assert {row["association_id"] for row in found[RATINGS]} == {KNOWN.id}
    assert {row["association"] for row in found[PAIRS]} == {KNOWN.id}


def test_the_folder_is_whole_private_and_made_anew(project: Project, tmp_path: Path) -> None:
    to = tmp_path / "out"
    write_stereotypes(project, to, leaving(project))
    assert stat.S_IMODE(to.stat().st_mode) == 0o700
    assert {path.name for path in to.iterdir()} == set(FILES)
    first = {file: (to / file).read_bytes() for file in FILES}
    write_stereotypes(project, to, leaving(project))
    assert {file: (to / file).read_bytes() for file in FILES} == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []
    (to / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"notes\.txt, which is not of an earlier export"):
        write_stereotypes(project, to, leaving(project))
    assert (to / "notes.txt").exists()
    (other := tmp_path / "other").mkdir()
    (other / CARD).write_text("a page of somebody's own", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"README\.md, which is not of an earlier export"):
        write_stereotypes(project, other, leaving(project))


def test_an_export_that_fails_leaves_the_earlier_one(project: Project, tmp_path: Path) -> None:
    to = tmp_path / "out"
    write_stereotypes(project, to, leaving(project))
    before = {file: (to / file).read_bytes() for file in FILES}
    broken = leaving(project)
    broken.tables[ASSOCIATIONS][0]["raters"] = "three"
    with pytest.raises(Exception, match="three"):
        write_stereotypes(project, to, broken)
    assert {file: (to / file).read_bytes() for file in FILES} == before
    assert os.listdir(tmp_path).count(".out.part") == 0


def test_the_card_warns_asks_and_names_what_may_not_be_done(project: Project, tmp_path: Path) -> None:
    _check(project)
    write_stereotypes(project, tmp_path / "out", leaving(project))
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    _, head, body = card.split("---\n", 2)
    values = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert json.loads(values["viewer"]) is False
    assert "for evaluation alone" in json.loads(values["extra_gated_prompt"])
    assert json.loads(values["language"]) == ["es"]
    assert "not-for-all-audiences" in json.loads(values["tags"])
    assert [one["config_name"] for one in json.loads(values["configs"])] == ["associations", "ratings"]
    assert "**Warning: these texts may hurt.**" in body
    assert "Nothing may be trained on it" in body
    assert canary_of(project.ledger) in body
    for text in (KNOWN.attribute, SECOND.attribute, *KNOWN.identity.split()):
        assert normalize("NFC", text) not in card


def test_the_library_of_the_hub_loads_every_table(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    add_file_ratings(project.ledger, [FileRating(KNOWN.id, "mild.csv", "2", ("MX",), {"known": 4})])
    _check(project)
    judged_by_three(project)
    rows = written(project, tmp_path / "out")
    cache = str(tmp_path / "cache")
    for file in COLUMNS:
        loaded = load_dataset(str(tmp_path / "out"), file.partition(".")[0], split="test", cache_dir=cache)
        assert loaded.to_list() == rows[file]
    loaded = load_dataset("json", data_files=str(tmp_path / "out" / PAIRS), split="train", cache_dir=cache)
    assert loaded["id"][:] == [row["id"] for row in rows[PAIRS]]


def test_the_canary_is_the_projects_own_and_stays(tmp_path: Path) -> None:
    one, other = (rated_project(tmp_path / name, {}) for name in "ab")
    assert canary_of(one.ledger) == canary_of(Project(one.folder, one.settings).ledger) != canary_of(other.ledger)
    assert canary_of(one.ledger)[14] == "4"


def test_with_nothing_to_give_away_it_says_why(tmp_path: Path) -> None:
    project = rated_project(tmp_path / "p", {FEW: [4, 4]})
    with pytest.raises(ProjectError, match="no stereotype is rated by 3 people of a region yet"):
        leaving(project)
    closed = rated_project(tmp_path / "q", {association("chilenos", "alegres", licence=""): [4, 4, 4]})
    with pytest.raises(ProjectError, match=r"1 of mild\.csv: its source states no licence"):
        leaving(closed)


def test_the_command_counts_before_it_writes_and_shows_no_text(project: Project) -> None:
    command = [sys.executable, "-m", "annotation.cli", "stereotypes", "export", "--project", str(project.folder)]
    for more in ([], ["--json"]):  # nobody is there to be asked
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        told = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 2
        assert "2 texts that may hurt, of 7 people who rated, shared or checked them, would leave the project" in told
        assert KNOWN.attribute not in told
    assert not (project.folder / "exports").exists()
    assert KNOWN.attribute not in annot(project, "stereotypes", "export", "--yes")
    assert {path.name for path in (project.folder / "exports" / "stereotypes").iterdir()} == set(FILES)
    found = json.loads(annot(project, "stereotypes", "export", "--json", "--yes"))
    assert found["rows"][ASSOCIATIONS] == 3
    assert KNOWN.attribute not in json.dumps(found)
