"""What people shared becomes associations that others rate, and goes when they take it back."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from projects import annot
from stereotype_projects import answer, ask, rate, said_of, share, sheet, stereotype_project

from annotation.ledger import Ledger
from annotation.project import Project
from annotation.stereotypes.ratings import rated
from annotation.stereotypes.shared import MOST_CHARACTERS, MOST_LINES, Shared, shared_waiting, take_shared
from annotation.tasks.share.sheet import NAME as SHEETS
from annotation.tasks.share.sheet import Written
from annotation.tasks.stereotype.item import NAME, association_of
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Association, Item, Person
from sync.reporting.next_step import next_step
from sync.reporting.status import report


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return stereotype_project(tmp_path / "p")


def taken(project: Project) -> dict[tuple[str, str], Item]:
    """What people are asked about: (association, country) -> item."""
    items = project.ledger.items(NAME)
    return {(association_of(item).text, item.country): item for item in items if not item.removed}


def test_lines_become_associations_that_the_countries_of_the_language_are_asked_about(project: Project) -> None:
    share(project, "eva_05", "AR", "- toman mate.", "2) llegan   tarde", "", "cantan bien")
    share(project, "hugo_08", "AR", "dançam bem")
    assert shared_waiting(project) == 4
    found = take_shared(project, dry_run=True)
    assert (found.new, found.items, taken(project)) == (4, 7, {})
    assert take_shared(project) == replace(found, dry_run=False)
    assert set(taken(project)) == {
        *(
            (f"Argentina – {said}", country)
            for said in ("toman mate", "llegan tarde", "cantan bien")
            for country in ("AR", "UY")
        ),
        ("Argentina – dançam bem", "BR"),
    }
    item = taken(project)["Argentina – toman mate", "AR"]
    sheets = {one.country: one.id for one in project.ledger.items(SHEETS)}
    assert association_of(item) == Association.make(
        "Argentina", "toman mate", "es", target="AR", source=f"shared {sheets['UY']}:1", author="eva_05"
    )
    assert [item.position for item in project.ledger.items(NAME)] == list(range(7))
    assert shared_waiting(project) == 0
    assert take_shared(project) == Shared(again=4)


def test_a_person_names_the_group_on_a_free_sheet(project: Project) -> None:
    share(project, "eva_05", "", "toman mate", identity="Brasil")
    share(project, "fede_06", "", "madrugan", identity="la gente de campo")
    share(project, "gabi_07", "", "cantan bien", identity="Los chilenos")
    take_shared(project)
    found = {association_of(item) for item in taken(project).values()}
    assert {(one.identity, one.target) for one in found} == {
        ("Brasil", "BR"),
        ("la gente de campo", ""),
        ("Los chilenos", "CL"),
    }
    assert {item.topic for item in taken(project).values()} == {"BR", "CL", "other"}


def test_what_two_people_share_is_one_association_of_the_first_in_whatever_capitals(project: Project) -> None:
    share(project, "fede_06", "AR", "Toman mate")
    share(project, "eva_05", "AR", "toman MATE", "toman  mate")
    share(project, "ana_01", "AR", "toman mate")
    assert take_shared(project).new == 1
    assert {association_of(item).author for item in taken(project).values()} == {"fede_06"}


def test_personal_data_and_the_names_of_the_team_are_masked(project: Project) -> None:
    share(
        project,
        "eva_05",
        "AR",
        "llaman siempre al 099 123 456",
        "escriben a luna@example.org",
        "son como Fede Prueba06",
    )
    share(project, "gabi_07", "", "cantan bien", identity="amigos de @ana_torres_77")
    take_shared(project)
    texts = " ".join(text for text, _ in taken(project))
    for secret in ("099 123 456", "luna@example.org", "Fede Prueba06", "ana_torres"):
        assert secret not in texts
    assert texts.count("[user]") == 4
    assert take_shared(project) == Shared(again=4)


def test_a_name_that_joins_the_team_later_does_not_unsettle_what_was_taken_in(project: Project) -> None:
    share(project, "eva_05", "AR", "comen como Luna Quispe")
    take_shared(project)
    project.ledger.add_people([Person("luna_q_9", "Luna Quispe", "annotator", "UY", ("es",))])
    assert shared_waiting(project) == 0
    assert take_shared(project) == Shared(again=1)
    # Also where another name was masked in it already.
    share(project, "eva_05", "AR", "comen como Luna Quispe", "bailan como Luna Quispe y Sol Mamani")
    assert take_shared(project).new == 1
    project.ledger.add_people([Person("sol_m_9", "Sol Mamani", "annotator", "UY", ("es",))])
    assert shared_waiting(project) == 0
    assert take_shared(project) == Shared(again=2)


def test_lines_that_are_none_are_left_out_and_counted_without_their_texts(project: Project) -> None:
    lines = ["!!! 123", "x" * (MOST_CHARACTERS + 1), *(f"dicen la cosa {'abcdefghijkl'[n]}" for n in range(12))]
    share(project, "eva_05", "AR", *lines)
    found = take_shared(project)
    assert found.new == MOST_LINES - 2
    assert found.as_json()["left_out"] == {
        "no word in it": 1,
        f"longer than {MOST_CHARACTERS} characters": 1,
        f"more than {MOST_LINES} lines on a sheet": len(lines) - MOST_LINES,
    }
    assert not any("dicen" in drop.because_of + drop.id for drop in found.dropped)


HOSTILE = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://example.org")',
    "toman\u202eetam\u202c",
    "son\u200bbuenos",
    "'; drop table items; --",
    "ｔｏｄｏ ｅｌ día",
    "%s {0} {country}",
)


@pytest.mark.parametrize("line", HOSTILE)
def test_hostile_lines_are_texts_like_others(project: Project, line: str) -> None:
    share(project, "eva_05", "AR", line)
    take_shared(project)
    assert take_shared(project) == Shared(again=1)
    ((text, _), *_) = taken(project)
    assert not {"\u202e", "\u200b"} & set(text)
    assert rated(project.ledger, project.settings) == []


# -- taken back ---------------------------------------------------------------------------------------------


def test_a_line_that_is_taken_back_counts_no_more_and_comes_back_with_its_ratings(project: Project) -> None:
    share(project, "eva_05", "AR", "toman mate", "llegan tarde")
    take_shared(project)
    item = taken(project)["Argentina – toman mate", "AR"]
    rate(project, item, dict.fromkeys(("ana_01", "beto_02", "caro_03"), Rating(5)))
    assert [one.association.id for one in rated(project.ledger, project.settings)] == [association_of(item).id]
    share(project, "eva_05", "AR", "llegan tarde")
    assert shared_waiting(project) == 1
    assert take_shared(project).removed == 1
    assert set(taken(project)) == {("Argentina – llegan tarde", "AR"), ("Argentina – llegan tarde", "UY")}
    assert rated(project.ledger, project.settings) == []
    assert NAME not in report(project).made
    assert report(project).unfit == {"it was removed": 3}
    assert take_shared(project) == Shared(again=1)
    share(project, "eva_05", "AR", "toman mate")
    assert shared_waiting(project) == 2
    found = take_shared(project)
    assert (found.new, found.back, found.removed) == (0, 1, 1)
    assert report(project).made[NAME] == {"ratings": 3}


def test_what_somebody_else_shares_too_stays(project: Project) -> None:
    share(project, "eva_05", "AR", "toman mate")
    share(project, "fede_06", "AR", "toman mate")
    take_shared(project)
    share(project, "eva_05", "AR")
    assert take_shared(project) == Shared(again=1)
    share(project, "fede_06", "AR", "cantan bien")
    assert take_shared(project).removed == 1


@pytest.mark.parametrize("status", ["draft", "discarded", "deleted"])
def test_a_sheet_that_is_no_longer_submitted_shares_nothing(project: Project, status: str) -> None:
    own = share(project, "eva_05", "AR", "toman mate")
    take_shared(project)
    answer(project, own, "eva_05", Written("share", "", ("toman mate",)), status=status)
    assert take_shared(project).removed == 1


def test_what_a_file_holds_stays_whoever_shared_it_too(project: Project) -> None:
    ask(project, (said_of("Argentina", "toman mate", target="AR"), "AR"))
    share(project, "eva_05", "AR", "Toman mate")
    found = take_shared(project)
    assert (found.new, found.again, found.items) == (0, 1, 1)  # people of UY are asked too
    share(project, "eva_05", "AR")
    assert take_shared(project).removed == 1  # the item of UY, which only the person brought
    assert set(taken(project)) == {("Argentina – toman mate", "AR")}


def test_what_was_made_of_an_association_goes_and_comes_with_it(project: Project) -> None:
    share(project, "eva_05", "AR", "toman mate")
    take_shared(project)
    (named,) = {item.content["id"] for item in project.ledger.items(NAME)}
    project.ledger.add_items([Item("pair1", "pair_check", 0, "UY", "es", "AR", {"association": named})])
    share(project, "eva_05", "AR")
    take_shared(project)
    assert [item.removed for item in project.ledger.items(ids=["pair1"])] == [True]
    share(project, "eva_05", "AR", "toman mate")
    take_shared(project)
    assert [item.removed for item in project.ledger.items(ids=["pair1"])] == [False]


# -- what a lead is told ------------------------------------------------------------------------------------


def test_status_and_sync_say_how_many_wait_and_never_what_they_say(project: Project) -> None:
    share(project, "eva_05", "AR", "toman mate", "llegan tarde")
    found = report(project)
    assert (found.shared, found.as_json()["shared_waiting"]) == (2, 2)
    assert next_step(project, found, argilla_runs=True).startswith("annot stereotypes add --shared: 2 shared lines")
    said = annot(project, "status")
    assert "wait for `annot stereotypes add --shared`: 2." in said
    assert "mate" not in said
    take_shared(project)
    assert report(project).shared == 0
    assert next_step(project, report(project), argilla_runs=True) == "annot push"
    assert "mate" not in take_shared(project).sentence() + json.dumps(take_shared(project).as_json())


def test_a_project_where_nothing_is_shared_says_nothing_of_it(project: Project) -> None:
    sheet(project, "AR", "UY")
    assert report(project).shared == 0
    assert "shared" not in annot(project, "status")


# -- killed -------------------------------------------------------------------------------------------------


def test_killed_anywhere_and_run_again_it_is_as_if_never_killed(tmp_path: Path) -> None:
    def begun(folder: Path) -> Project:
        project = stereotype_project(folder)
        share(project, "eva_05", "AR", "toman mate", "llegan tarde")
        take_shared(project)
        share(project, "eva_05", "AR", "cantan bien", "llegan tarde")
        return project

    whole = begun(tmp_path / "whole")
    take_shared(whole)

    def state(project: Project) -> Any:
        return [(item.id, item.position, item.removed) for item in project.ledger.items(NAME)]

    for number in range(4):
        project = begun(tmp_path / str(number))
        killed_in_transaction(project, number)
        again = Project.open(project.folder)
        take_shared(again)
        assert state(again) == state(whole)


def killed_in_transaction(project: Project, step: int) -> None:
    """Run it in a process that is killed before its step-th write."""
    child = os.fork()
    if not child:
        ledger, left = project.ledger, [step]

        def dying(write: Any) -> Any:
            def wrapped(*args: Any, **named: Any) -> Any:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return write(*args, **named)

            return wrapped

        for name in ("add_items", "remove_items"):
            setattr(ledger, name, dying(getattr(ledger, name)))
        own = Ledger(ledger.path)
        ledger._db = own._db
        take_shared(project)
        os._exit(0)
    os.waitpid(child, 0)


# -- the command --------------------------------------------------------------------------------------------


def test_the_command_takes_in_what_was_shared_and_prints_no_text(project: Project) -> None:
    share(project, "eva_05", "AR", "toman mate", "!!!")
    said = annot(project, "stereotypes", "add", "--shared", "--dry-run")
    assert said.startswith("1 shared stereotype would be taken in, as 2 items to rate; 0 there already.")
    said = annot(project, "stereotypes", "add", "--shared")
    assert said.startswith("1 shared stereotype taken in, as 2 items to rate; 0 there already.")
    assert "no word in it" in said
    assert said.endswith("Next: annot push\n")
    assert "mate" not in said
    assert json.loads(annot(project, "stereotypes", "add", "--shared", "--json")) == {
        **dict.fromkeys(("new", "items", "back", "removed"), 0),
        "again": 1,
        "dry_run": False,
        "left_out": {"no word in it": 1},
    }
