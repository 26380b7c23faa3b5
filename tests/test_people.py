"""What a lead knows of people and decides: weights of votes, why, and what follows; nothing is deleted or blocked."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from fake_argilla import FakeArgilla
from hypothesis import given
from hypothesis import strategies as st
from projects import annot, fill, make_project, other_way

from annotation.errors import SettingsError
from annotation.files import read_parquet
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.types import Person
from sync.cycle import sync_once
from sync.people import decide, people
from sync.reporting.status import report
from sync.weights import LEAST, MOST, refresh, step

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 99\noverlap = 5\n'
HONEST = ("mx_1", "mx_2", "mx_3", "mx_4")


def crossed(folder: Path, slates: int = 30) -> Project:
    """Four people say the same, and one the contrary."""
    project = make_project(folder, SETTINGS)
    other_way(project, fill(project, slates, HONEST), "mx_9")
    return project


def of(project: Project, name: str) -> Person:
    return next(person for person in project.ledger.people() if person.username == name)


def responses(project: Project) -> list[Any]:
    return [tuple(row) for row in project.ledger.rows("select * from responses order by seq")]


def test_the_list_says_of_everybody_what_was_measured_and_decided(tmp_path: Path) -> None:
    project = crossed(tmp_path)
    annot(project, "people", "set", "mx_1", "--weight", "auto", "--reason", "trial")
    shown = annot(project, "people", "list")
    assert all(name in shown for name in (*HONEST, "mx_9"))
    assert "as measured" in shown
    assert "you decide" in shown
    assert annot(project, "people", "list", "--country", "mx") == shown
    found = {one["username"]: one for one in json.loads(annot(project, "people", "list", "--json"))["people"]}
    careful, crossing = (found[name]["tasks"][0] for name in ("mx_2", "mx_9"))
    assert (careful["task"], careful["answers"], crossing["answers"]) == ("ranking", 30, 30)
    assert careful["reliability"]["agreement"] > 0.7
    assert crossing["reliability"]["agreement"] < 0.1
    assert crossing["reliability"]["high"] < careful["reliability"]["low"]
    assert {sign["annotator"] for one in found.values() for sign in one["signs"] if sign["kind"] == "agreement"} == {
        "mx_9"
    }
    assert (found["mx_1"]["auto"], found["mx_2"]["decision"]) == (True, "")


@pytest.mark.parametrize("words", ["people list", "adjudicate", "adjudicate list", "controls add 4"])
def test_a_country_that_is_none_of_the_projects_is_refused_everywhere(tmp_path: Path, words: str) -> None:
    project = make_project(tmp_path, SETTINGS)
    command = [sys.executable, "-m", "annotation.cli", *words.split(), "--country", "zz", "-p", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "annot: --country zz is none of the project's; it has MX.\n"


def test_somebody_is_shown_with_signs_decisions_and_the_answers_to_look_at(tmp_path: Path) -> None:
    project = crossed(tmp_path, 12)
    other_way(project, fill(project, 12, ()), "mx_1")  # the newest of each item counts: mx_1 says the contrary too
    annot(project, "people", "set", "mx_9", "--weight", "0", "--reason", "never reads")
    annot(project, "people", "set", "mx_9", "--weight", "1")
    shown = annot(project, "people", "show", "mx_9")
    assert "mx_9: annotator, MX." in shown
    assert shown.index("left out: never reads") < shown.index("taken back")
    assert "annot trace slate" in shown
    told = json.loads(annot(project, "people", "show", "mx_9", "--json"))
    assert [(d["excluded"], d["weight"]) for d in told["decisions"]] == [("never reads", 1.0), ("", 1.0)]
    assert len(told["look_at"]) == 5
    # A and D stand three places apart, B and C as many as the three others and mx_1 put them on average.
    assert told["look_at"][0]["others"] == 4
    apart = [look["apart"] for look in told["look_at"]]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] == pytest.approx((0.75 * 3 + 0.75 + 0.75 * 1.5 + 0.75 * 2.5) / 4)


def test_what_somebody_answered_is_left_out_for_a_reason_and_counted_again(tmp_path: Path) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 3)
    before, kept = report(project), responses(project)
    said = annot(project, "people", "set", "mx_2", "--weight", "0", "--reason", "the same order\nevery time")
    assert "does not count any more: the same order every time" in said
    after = report(project)
    assert (before.answers["ranking"], after.answers["ranking"]) == (6, 3)
    assert 'Not counted: 3 submitted, by "mx_2", who is left out (the same order every time).' in annot(
        project, "status"
    )
    again = [Person(p.username, p.name, p.role, p.country, p.languages) for p in project.ledger.people()]
    assert project.ledger.add_people(again) == 0, "a roster brings nobody back"
    annot(project, "export")
    (row,) = read_parquet(tmp_path / "exports" / "left_out.parquet")
    assert (row["country"], row["reason"]) == ("MX", "the same order every time")
    assert "mx_2" not in row["annotator"]
    rankings = read_parquet(tmp_path / "exports" / "rankings.parquet")
    assert row["annotator"] not in json.dumps(rankings)

    assert "counts again" in annot(project, "people", "set", "mx_2", "--weight", "1")
    assert report(project) == before
    annot(project, "export")
    assert not (tmp_path / "exports" / "left_out.parquet").exists()
    assert row["annotator"] in json.dumps(read_parquet(tmp_path / "exports" / "rankings.parquet"))
    assert responses(project) == kept, "nothing that anybody said was touched"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mx_9", "--weight", "0", "--reason", "x"), 'did you mean "mx_'),
        (("mx_1", "--weight", "0", "--reason", "  "), "Say why"),
        (("mx_1", "--weight", "auto"), "Say why"),
        (("mx_1", "--weight", "0.5"), "write 0 (leave out), 1 (count as anybody's) or auto"),
        (("nobody", "--weight", "1"), "`annot team list` shows who is"),
        (("mx_1", "nobody", "--weight", "0", "--reason", "x"), "`annot team list` shows who is"),
        (("--weight", "1"), "Say whose votes"),
        (("--all", "--weight", "0", "--reason", "x"), "whom you leave out, you name"),
        (("mx_1", "--all", "--weight", "auto", "--reason", "x"), "without names"),
    ],
)
def test_what_cannot_be_decided_is_one_sentence_and_changes_nobody(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 1)
    before = project.ledger.people()
    command = [sys.executable, "-m", "annotation.cli", "people", "set", *words, "-p", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert project.ledger.people() == before


def test_another_name_of_somebody_follows_nothing_of_its_own_and_says_under_which_it_counts(tmp_path: Path) -> None:
    project = crossed(tmp_path, 2)
    project.ledger.add_aliases({"mx_2": "mx_1"})
    with pytest.raises(SettingsError, match='What "mx_2" answered counts under "mx_1": say it of that name'):
        decide(project.ledger, ["mx_2"], "auto", "trial")
    assert "All that was answered under this name counts under mx_1." in annot(project, "people", "show", "mx_2")


def test_sync_writes_down_what_votes_weigh_as_measured_and_the_count_hears_it(tmp_path: Path) -> None:
    project, api = crossed(tmp_path), FakeArgilla()
    other_way(project, [], "mx_8")  # of whom nothing is known
    project.ledger.decide("mx_4", auto=False, weight=1.0)
    before = sync_once(project, api)
    assert before.weighed == ()
    assert before.report.made["ranking"]["preferences"] == 30 * 6
    named = ("mx_1", "mx_2", "mx_8", "mx_9")
    project.ledger.decide_all({name: {"auto": True, "reason": "a try"} for name in named})
    kept = responses(project)
    synced = sync_once(project, api)
    assert [person.username for person in synced.weighed] == ["mx_9"]
    assert synced.sentence().endswith(f"Votes weigh, as measured: mx_9 {LEAST:g}.")
    assert synced.as_json()["weighed"] == {"mx_9": LEAST}
    assert (of(project, "mx_9").weight, of(project, "mx_1").weight, of(project, "mx_8").weight) == (LEAST, 1.0, 1.0)
    assert synced.changed
    again = sync_once(project, api)
    assert (again.weighed, again.changed) == ((), False), "a weight that stands is not written again"
    assert responses(project) == kept
    # It is a lead's to take that back, and nothing measures against it.
    annot(project, "people", "set", "mx_9", "--weight", "1")
    assert sync_once(project, api).weighed == ()
    assert of(project, "mx_9").weight == 1.0


def test_whoever_is_left_out_is_not_brought_back_by_what_is_measured(tmp_path: Path) -> None:
    project = crossed(tmp_path, 12)
    annot(project, "people", "set", "mx_9", "--weight", "0", "--reason", "never reads")
    said = annot(project, "people", "set", "--all", "--weight", "auto", "--reason", "we agreed so")
    assert "4 people" in said
    assert refresh(project) == ()
    assert (of(project, "mx_9").excluded, of(project, "mx_9").auto) == ("never reads", False)
    assert all(of(project, name).auto for name in HONEST)


@given(st.floats(0, 3), st.floats(-0.049, 0.049), st.floats(0, 2.5))
def test_a_weight_does_not_go_to_and_fro(target: float, shake: float, weight: float) -> None:
    """Wherever it stood: once it has moved it stands on a step, and a small change moves it no more."""
    weight = min(max(round(weight * 20) / 20, LEAST), MOST)
    at = step(weight, target)
    at = weight if at is None else at
    assert LEAST <= at <= MOST
    assert at == pytest.approx(round(at * 20) / 20)
    assert abs(at - min(max(target, LEAST), MOST)) < 0.05
    assert step(at, target) is None
    moved = step(at, target + shake)
    assert moved is None or abs(moved - at) <= 0.1 + 1e-9
    if moved is not None:
        assert step(moved, target) in (None, at)
        assert not (step(moved, target) == at and step(at, target + shake / 2) == moved)


def test_a_command_that_is_killed_has_decided_of_all_or_of_nobody(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    fill(project, 2, ("mx_1",))
    names = [f"p{n:04}" for n in range(1500)]
    project.ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in names])
    chance, seen = random.Random(4), set()
    for number in range(kills(6, 40)):
        weight = "auto" if number % 2 == 0 else "1"
        words = ["people", "set", "--all", "--weight", weight, "--reason", "trial", "-p", str(tmp_path)]
        with subprocess.Popen([sys.executable, "-m", "annotation.cli", *words], stdout=subprocess.DEVNULL) as running:
            time.sleep(chance.uniform(0.2, 1.2))
            running.send_signal(signal.SIGKILL)
        with closing(Ledger(project.ledger.path)) as ledger:
            decided = {person.auto for person in ledger.people()}
        assert len(decided) == 1
        seen |= decided
    annot(project, "people", "set", "--all", "--weight", "auto", "--reason", "trial")
    rows = project.ledger.rows("select count(*) as n from people where auto = 1")[0]["n"]
    annot(project, "people", "set", "--all", "--weight", "auto", "--reason", "trial")
    assert project.ledger.rows("select count(*) as n from people where auto = 1")[0]["n"] == rows, (
        "said once, kept once"
    )
    assert all(person.auto for person in project.ledger.people())


def test_a_person_of_whom_nothing_came_is_listed_and_one_who_left_is_when_they_answered(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    fill(project, 1, ("mx_1", "mx_2"))
    gone = [Person("mx_2", "", "annotator", "MX", ("es",), active=False), Person("x", "", "annotator", "MX", (), False)]
    project.ledger.add_people(
        [*gone, Person("new", "", "annotator", "MX", ("es",)), Person("lead", "", "admin", "MX", ())]
    )
    assert [one.person.username for one in people(project)] == ["mx_1", "mx_2", "new"]
