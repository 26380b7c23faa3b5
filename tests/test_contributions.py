"""Contributions: who did what, with one name for each person, in tables that no program runs."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_argilla import killed_at, seconds_of
from projects import annot, fill, judge, make_project, ranking_values

from annotation.errors import ArgillaError, SettingsError
from annotation.ledger import Ledger, MovedResponse, Response
from annotation.lineage.erase import erase_person
from annotation.migrations import MIGRATIONS
from annotation.project import Project
from annotation.prompts.review import add_checks
from annotation.tally import count
from annotation.tasks.answers import answers
from annotation.tasks.exam.item import item_of
from annotation.tasks.ranking.slates import add_slates
from annotation.team_settings import PointSettings
from annotation.types import ExamQuestion, Judgement, Person, Prompt, Slate
from sync.reporting.contributions import Contributions, Done, contributions
from sync.reporting.page.contributions import as_csv, as_html, check_file, write_contributions
from sync.same_people import answered_by_both, join_names, part_names

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 9\noverlap = 2\n'
SEATS = ("a", "b")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "p", SETTINGS)
    made.ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "ana2", "leo", "rui")])
    prompts = [Prompt.make(f"¿Qué se dice {n}?", country="MX", language="es") for n in range(8)]
    made.ledger.add_prompts(prompts)
    add_slates(made.ledger, [Slate(f"s{n}", prompt.id, SEATS, n) for n, prompt in enumerate(prompts)])
    return made


def respond(
    project: Project,
    number: int,
    who: str,
    moment: str,
    *,
    first: str = "a",
    status: str = "submitted",
    response: str = "",
    server: str = "here",
) -> None:
    """What somebody does about a slate at a time of day."""
    tiers = ((first,), tuple(seat for seat in SEATS if seat != first))
    values = ranking_values(Judgement(tiers), Slate("", "", SEATS, 0))
    at = f"2026-03-01T{moment}+00:00"
    name = response or f"{who}-{number}"
    raw = json.dumps({"id": name, "values": values, "updated_at": at})
    project.ledger.add_responses(server, [Response(name, f"s{number}", who, "MX", status, at, raw)])


def about(hours: float) -> Any:
    """So many hours, whatever a sum of floats makes of them."""
    return pytest.approx(hours, rel=1e-5)


def of(found: Contributions, person: str, task: str = "ranking") -> Done:
    (one,) = (one for one in found.done if (one.person, one.task) == (person, task))
    return one


def test_accepted_is_what_counts_and_first_try_is_what_was_never_changed(project: Project) -> None:
    respond(project, 0, "ana", "10:00:00")
    respond(project, 1, "ana", "10:01:00", status="draft")
    respond(project, 1, "ana", "10:02:00")  # first saved, then submitted: the first try
    respond(project, 2, "ana", "10:03:00")
    respond(project, 2, "ana", "10:04:00")  # submitted again as it was
    respond(project, 3, "ana", "10:05:00")
    respond(project, 3, "ana", "10:06:00", first="b")
    respond(project, 4, "ana", "10:07:00", status="discarded")
    raw = json.dumps({"values": {}})
    project.ledger.add_responses(
        "here", [Response("ana-5", "s5", "ana", "MX", "submitted", "2026-03-01T10:08:00+00:00", raw)]
    )
    assert of(contributions(project), "ana") == Done("ana", "MX", "ranking", 5, 4, 3, about(8 / 60))
    project.ledger.decide("ana", excluded="tests")
    assert of(contributions(project), "ana").accepted == 0


def test_hours_are_the_gaps_of_up_to_ten_minutes_and_a_break_is_none(project: Project) -> None:
    for number, moment in enumerate(("10:00:00", "10:04:00", "10:14:00", "10:24:01", "18:00:00", "18:00:30")):
        respond(project, number, "ana", moment)
    respond(project, 0, "leo", "10:02:00")
    found = contributions(project)
    assert of(found, "ana").hours == pytest.approx((4 + 10 + 0.5) / 60)
    assert of(found, "leo").hours == 0


def test_what_was_moved_has_no_time_of_its_own_and_counts_once(project: Project) -> None:
    for number, moment in enumerate(("10:00:00", "10:05:00")):
        respond(project, number, "ana", moment)
    for number in range(2):  # both within a second, on the new server
        respond(project, number, "ana", f"20:00:0{number}", response=f"copy-{number}", server="there")
    before = contributions(project)
    assert before.done == (Done("ana", "MX", "ranking", 2, 2, 2, about((5 * 60 + 1) / 3600)),)
    old = ("2026-03-01T10:00:00+00:00", "2026-03-01T10:05:00+00:00")
    copies = [
        MovedResponse(f"copy-{n}", f"2026-03-01T20:00:0{n}+00:00", f"ana-{n}", moment) for n, moment in enumerate(old)
    ]
    project.ledger.add_moved("there", copies)
    assert contributions(project).done == (Done("ana", "MX", "ranking", 2, 2, 2, about(5 / 60)),)


def test_what_people_wrote_is_accepted_when_the_checks_say_so(tmp_path: Path) -> None:
    made = make_project(
        tmp_path / "p",
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.prompt_check]\noverlap = 2\naccepts = 2\n'
        "[points]\nprompts = { per = 1, points = 0.5, most = 2.0 }\nexams = { per = 2, points = 0.5, most = 1.0 }\n",
    )
    made.ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "leo", "rui")])
    prompts = [replace(Prompt.make(f"¿Qué es {n}?", country="MX", language="es"), author="ana") for n in range(2)]
    made.ledger.add_prompts([*prompts, Prompt.make("¿Quién?", country="MX", language="es")])
    add_checks(made.ledger)
    question = ExamQuestion("q1", "¿Cuál?", ("1", "2", "3", "4"), 0, "MX", "es", "Examen", author="rui")
    made.ledger.add_items([item_of(question, 0)])
    verdicts: Mapping[str, str] = {prompts[0].id: "knowledge", prompts[1].id: "trivial"}
    for item in made.ledger.items("prompt_check"):
        kind = verdicts.get(item.prompt_id, "knowledge")
        for who in ("leo", "rui"):
            raw = json.dumps({"values": {"verdict": {"value": kind}}})
            at = "2026-03-01T10:00:00+00:00"
            made.ledger.add_responses("s", [Response(f"{item.id}{who}", item.id, who, "MX", "submitted", at, raw)])
    found = contributions(made)
    assert of(found, "ana", "prompts") == Done("ana", "MX", "prompts", 2, 1, None, None)
    assert of(found, "rui", "exams") == Done("rui", "MX", "exams", 1, 0, None, None)
    team = {one.kind: (one.validated, one.points) for one in found.team}
    assert team == {"exams": (0, 0), "stereotypes": (0, 0), "preferences": (0, 0), "prompts": (2, 1.0)}
    assert [(one.person, one.kind, one.points) for one in found.earned] == [("ana", "prompts", 0.5)]
    assert found.points == 1.0


def test_preferences_earn_when_a_slate_is_complete_and_those_who_ranked_it_share(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", SETTINGS + "[points]\npreferences = { per = 5, points = 0.5, most = 0.6 }\n")
    slates = fill(made, 12, ("mx_1",))
    judge(made, slates[:11], ("mx_2",))
    found = contributions(made)
    assert {one.kind: (one.validated, one.points) for one in found.team}["preferences"] == (11, 0.6)
    assert [(one.person, one.validated, one.points) for one in found.earned] == [
        ("mx_1", 5.5, 0.55),
        ("mx_2", 5.5, 0.55),
    ]


def test_points_are_the_challenges_unless_annot_toml_says_otherwise() -> None:
    points = PointSettings()
    assert [points.exams.earned(n) for n in (99, 100, 199, 200, 900)] == [0, 0.5, 0.5, 1, 1]
    assert [points.stereotypes.earned(n) for n in (9, 10, 39, 70, 1000)] == [0, 0.1, 0.3, 0.7, 1]
    assert [points.preferences.earned(n) for n in (49, 50, 200, 900)] == [0, 0.5, 2, 2]
    assert [points.prompts.earned(n) for n in (49, 50, 200, 900)] == [0, 0.5, 2, 2]


def test_two_names_of_one_person_are_one_of_the_people_who_an_item_needs(project: Project) -> None:
    for who in ("ana", "ana2"):
        respond(project, 0, who, f"10:0{int(who == 'ana2')}:00", first="a" if who == "ana" else "b")
    respond(project, 1, "ana2", "10:05:00")
    assert count(project.ledger, project.settings)["item", "ranking", "MX", "general", "es", 2] == 1
    assert join_names(project.ledger, "ana2", "ana") == ("ana2", "ana")
    assert answered_by_both(project.ledger, "ana") == 1
    counts = count(project.ledger, project.settings)
    assert (
        counts["item", "ranking", "MX", "general", "es", 1],
        counts["item", "ranking", "MX", "general", "es", 2],
    ) == (
        2,
        0,
    )
    kept = answers(project.ledger, "ranking")
    assert [(one.item_id, one.annotator, one.value.tiers[0]) for one in kept] == [
        ("s0", "ana", ("b",)),
        ("s1", "ana", ("a",)),
    ]
    found = contributions(project)
    assert found.done == (Done("ana", "MX", "ranking", 2, 2, 2, about(5 / 60)),)
    assert found.twice == 1
    assert "by somebody who answered under another name too" in annot(project, "status")
    assert not any(key[0] in ("units", "shared") for key in counts), "nobody agrees or disagrees with themselves"
    assert part_names(project.ledger, "ana", "ana2") == "ana2"
    assert count(project.ledger, project.settings)["item", "ranking", "MX", "general", "es", 2] == 1


def test_whoever_is_left_out_or_has_a_weight_has_it_under_every_name(project: Project) -> None:
    respond(project, 0, "ana2", "10:00:00")
    join_names(project.ledger, "ana2", "ana")
    count(project.ledger, project.settings)
    project.ledger.decide("ana", weight=0.25)
    assert [one.weight for one in answers(project.ledger, "ranking")] == [0.25]
    project.ledger.decide("ana", excluded="copies")
    assert answers(project.ledger, "ranking") == []
    assert of(contributions(project), "ana").accepted == 0


def test_nobody_checks_under_one_name_what_they_wrote_under_another(tmp_path: Path) -> None:
    made = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    made.ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "ana2", "leo")])
    made.ledger.add_prompts([replace(Prompt.make("¿Qué es?", country="MX", language="es"), author="ana2")])
    add_checks(made.ledger)
    (item,) = made.ledger.items("prompt_check")
    raw = json.dumps({"values": {"verdict": {"value": "knowledge"}}})
    at = "2026-03-01T10:00:00+00:00"
    made.ledger.add_responses("s", [Response("r", item.id, "ana", "MX", "submitted", at, raw)])
    assert count(made.ledger, made.settings)["person", "prompt_check", "MX", "general", "es", "ana"] == 1
    join_names(made.ledger, "ana2", "ana")
    assert count(made.ledger, made.settings)["unfit", "an answer to one's own"] == 1


def test_names_are_joined_in_groups_without_circles_and_never_twice(project: Project) -> None:
    ledger = project.ledger
    join_names(ledger, "ana2", "ana")
    assert join_names(ledger, "leo", "ana2") == ("leo", "ana")
    assert ledger.aliases() == {"ana2": "ana", "leo": "ana"}
    for pair in (("ana", "leo"), ("leo", "ana2"), ("rui", "rui")):
        with pytest.raises(ArgillaError, match="one person already"):
            join_names(ledger, *pair)
    with pytest.raises(ArgillaError, match='Nobody called "nobody"'):
        join_names(ledger, "nobody", "ana")
    assert join_names(ledger, "ana2", "rui") == ("ana", "rui"), "all of that person's names"
    assert ledger.aliases() == {"ana": "rui", "ana2": "rui", "leo": "rui"}
    with pytest.raises(ArgillaError, match="nothing to undo"):
        part_names(ledger, "ana", "ana")
    assert part_names(ledger, "leo", "ana") == "leo"
    assert ledger.aliases() == {"ana": "rui", "ana2": "rui"}


def test_what_is_counted_follows_however_names_are_joined_and_parted(project: Project) -> None:
    random_ = random.Random(3)
    names = ("ana", "ana2", "leo", "rui")
    for number in range(8):
        for place, who in enumerate(random_.sample(names, 3)):
            respond(project, number, who, f"1{number}:0{place}:00", first=random_.choice(SEATS))
    for _ in range(25):
        one, other = random_.sample(names, 2)
        try:
            random_.choice((join_names, part_names))(project.ledger, one, other)
        except ArgillaError:
            continue
        kept = count(project.ledger, project.settings)
        (project.folder / ".cache" / "tally.sqlite").unlink()
        assert kept == count(project.ledger, project.settings)


def test_of_somebody_forgotten_no_other_name_stays(project: Project) -> None:
    respond(project, 0, "ana2", "10:00:00")
    respond(project, 1, "ana", "10:01:00")
    join_names(project.ledger, "ana2", "ana")
    count(project.ledger, project.settings)
    erase_person(project.ledger, "ana", project.pseudonym("ana"), "asked")
    assert project.ledger.aliases() == {}
    assert not any("ana" in tuple(row) for row in project.ledger.rows("select name, same_as from aliases"))
    counts = count(project.ledger, project.settings)
    assert not any("ana" in key for key in counts)
    assert [one.person for one in contributions(project).done] == ["ana2"]


def test_a_killed_join_is_made_or_is_not(project: Project) -> None:
    ledger_path = project.ledger.path
    join_names(project.ledger, "ana2", "ana")
    project.ledger.close()

    def work() -> None:
        ledger = Ledger(ledger_path)
        for _ in range(20):
            join_names(ledger, "ana", "rui")
            part_names(ledger, "ana", "rui")
            part_names(ledger, "ana2", "rui")
            join_names(ledger, "ana2", "ana")

    took = seconds_of(work)
    random_ = random.Random(5)
    whole: tuple[dict[str, str], ...] = ({"ana2": "ana"}, {"ana": "rui", "ana2": "rui"}, {"ana2": "rui"}, {})
    for _ in range(6):
        killed_at(random_.uniform(0, took), work)
        ledger = Ledger(ledger_path)
        assert ledger.aliases() in whole
        ledger.add_aliases({"ana": "", "ana2": "ana"})
        ledger.close()


def test_a_ledger_from_before_other_names_opens_and_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    with monkeypatch.context() as earlier:
        earlier.setattr("annotation.ledger_file.MIGRATIONS", MIGRATIONS[:-2])
        Ledger(path).close()
    ledger = Ledger(path)
    ledger.add_people([Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "leo")])
    assert ledger.aliases() == {}
    assert join_names(ledger, "ana", "leo") == ("ana", "leo")


HOSTILE = ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", " =1", "<script>alert(1)</script>", "\"&'<b>")


def hostile() -> Contributions:
    return Contributions(tuple(Done(name, "MX", "ranking", 1, 1, 1, 0.5) for name in HOSTILE), (), (), 0.0, 0)


def test_no_cell_is_a_formula_to_a_spreadsheet() -> None:
    rows = list(csv.reader(as_csv(hostile()).splitlines()))
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert [row[1].removeprefix("'") for row in rows[1:9]] == list(HOSTILE)


def test_nothing_in_the_page_is_run_or_fetched() -> None:
    page = as_html(hostile(), "<img src=x onerror=alert(1)>").decode()
    tags: list[str] = []
    said: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not {"src", "href", "onerror"} & {name for name, _ in attrs}

        def handle_data(self, data: str) -> None:
            said.append(data)

    Reader().feed(page)
    assert not {"script", "img", "b", "link", "a"} & set(tags)
    assert set(HOSTILE) <= set(said)
    assert "http:" not in page.replace(HOSTILE[0], "")


def test_files_hold_pseudonyms_unless_names_are_asked_for(project: Project, tmp_path: Path) -> None:
    respond(project, 0, "ana", "10:00:00")
    for name in ("a.csv", "a.html"):
        annot(project, "contributions", "--out", str(tmp_path / name))
        text = (tmp_path / name).read_text(encoding="utf-8-sig")
        assert project.pseudonym("ana") in text
        assert "ana<" not in text
        assert ",ana," not in text
        annot(project, "contributions", "--names", "--out", str(tmp_path / name))
        assert project.pseudonym("ana") not in (tmp_path / name).read_text(encoding="utf-8-sig")
        assert oct((tmp_path / name).stat().st_mode)[-3:] == "600"
    told = json.loads(annot(project, "contributions", "--json"))
    assert [one["person"] for one in told["done"]] == [project.pseudonym("ana")]
    told = json.loads(annot(project, "contributions", "--json", "--by-country"))
    assert [(one["person"], one["country"], one["submitted"]) for one in told["done"]] == [("", "MX", 1)]
    assert "ana" in annot(project, "contributions")


@pytest.mark.parametrize("name", ["a.xlsx", "no/such/folder/a.csv", "folder.csv"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_counted(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SettingsError, match="--out"):
        check_file(tmp_path / name)


def test_a_killed_writing_leaves_the_file_as_it_was_or_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    many = Contributions(tuple(Done(f"p{n}", "MX", "ranking", n, n, n, 1.0) for n in range(20_000)), (), (), 0.0, 0)
    path.write_text("before", encoding="utf-8")

    def work() -> None:
        write_contributions(many, path, title="t")

    took, random_ = seconds_of(work), random.Random(2)
    whole = path.read_text(encoding="utf-8-sig")
    assert whole.count("\n") == 20_002
    for _ in range(5):
        path.write_text("before", encoding="utf-8")
        killed_at(random_.uniform(0, took), work)
        assert path.read_text(encoding="utf-8-sig") in ("before", whole)


def test_the_command_joins_and_parts_names_and_says_what_both_answered(project: Project) -> None:
    respond(project, 0, "ana", "10:00:00")
    respond(project, 0, "ana2", "10:01:00")
    said = annot(project, "people", "same", "ana2", "ana")
    assert '"ana2" is "ana" from now on' in said
    assert "1 item was answered under more than one of these names" in said
    assert "1 answer does not count" in annot(project, "contributions")
    command = [sys.executable, "-m", "annotation.cli", "people", "same", "ana", "ana2", "-p", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "one person." not in said
    project.ledger.add_people([Person("eva_bo", "", "annotator", "BO", ("es",))])
    said = annot(project, "people", "same", "eva_bo", "leo")
    assert '"eva_bo" is of BO and "leo" of MX: look whether it is one person.' in said
    assert annot(project, "people", "same", "ana", "ana2", "--undo") == '"ana2" counts for itself again.\n'
