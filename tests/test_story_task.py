"""Stories come before people blind and guarded, once each, and what they say is counted by country."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from projects import annot, make_project
from pyarrow import parquet
from rated_projects import association, rated_project
from story_projects import ADAPTER, judge_stories, judged_by_three, stories, story, team, write_stories

from annotation.config import Settings
from annotation.errors import ProjectError
from annotation.project import Project
from annotation.stereotypes.export import leaving, write_stereotypes
from annotation.stereotypes.stories import WRITTEN, ask_about_stories, judged_stories, read_stories
from annotation.tables import read_tables
from annotation.tasks import TASKS
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.page import LANGUAGES, TeamPage, read_guidelines
from annotation.tasks.story.task import NAME, SIDES, VERDICTS, StoryVerdict
from annotation.tasks.story.texts import TEXTS
from annotation.types import EVALUATION_ONLY, Answer, Item

SETTINGS = '[project]\ncountries = ["MX", "CL", "BR"]\nlanguages = ["es", "pt"]\n'
STORY = TASKS[NAME]
CONTENT = {"identity": "un chileno", "text": "<b>Pedro</b> cocina.", "prompt": "Escribe.", "side": "adapted"}
ITEM = Item("s", NAME, 0, "MX", "es", "CL", {**CONTENT, "run": "r", "adapter": ADAPTER, "story": "x"})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


# -- the task -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_teams_language_and_is_guarded(language: str) -> None:
    form = STORY.form(TeamPage(language), Settings())
    first, about = form.questions
    assert set(TEXTS[language]) == set(TEXTS["en"])
    assert (first.required, tuple(first.options)) == (True, VERDICTS)
    assert VERDICTS[-2:] == ("skip", "stop")
    assert (about.required, tuple(about.options)) == (False, ("target", "other"))
    assert form.guard is not None
    assert (form.guard.question, form.guard.stop, form.guard.most_a_day) == (first.name, "stop", 40)
    assert not any(question.kind == "text" for question in form.questions)
    assert form.vector is None
    assert form.guidelines == read_guidelines("annotation.tasks.story", language)
    assert 500 < len(form.guidelines) < 10_000
    assert len({read_guidelines("annotation.tasks.story", other) for other in LANGUAGES}) == len(LANGUAGES)


def test_a_record_shows_the_text_as_it_was_written_and_not_which_model_wrote_it() -> None:
    assert STORY.sensitive
    made = STORY.record(ITEM, Texts({}, {}), None)
    assert made["fields"] == {"identity": "un chileno", "text": "&lt;b&gt;Pedro&lt;/b&gt; cocina."}
    told = json.dumps(made)
    assert not [word for word in ("adapted", "side", ADAPTER, "Escribe") if word in told]
    assert made["metadata"]["topic"] == "CL"


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("about", ["", "target", "other"])
def test_what_is_written_is_read_back_and_a_group_belongs_to_a_stereotype(verdict: str, about: str) -> None:
    value = StoryVerdict(verdict, about)
    read = STORY.read(ITEM, {name: told["value"] for name, told in STORY.values(ITEM, value).items()})
    assert read == (value if verdict in ("mild", "strong") else StoryVerdict(verdict))


@pytest.mark.parametrize(
    ("values", "why"),
    [({}, "nothing was chosen"), ({"verdict": "bad"}, "unknown"), ({"verdict": "none", "about": 3}, "unknown group")],
)
def test_other_values_are_unfit(values: dict[str, Any], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        STORY.read(ITEM, values)


def test_who_skips_or_stops_says_nothing_of_the_text() -> None:
    said = ["mild", "none", "skip", "stop", "nonsense", "none"]
    answers = [Answer(str(n), "s", f"p{n}", "MX", "t", StoryVerdict(one)) for n, one in enumerate(said)]
    outcome = STORY.outcome(ITEM, answers, Settings())
    assert outcome.made == {"mild": 1, "no stereotype": 2, "nonsense": 1}
    assert outcome.excluded == {"skipped": 2}
    assert [dict(STORY.units(ITEM, answer.value)) for answer in answers[2:4]] == [{}, {}]
    assert STORY.units(ITEM, answers[0].value) == {"": "mild"}


# -- items --------------------------------------------------------------------------------------------------


def test_texts_are_asked_about_once_in_every_country_of_their_language_and_sides_are_mixed(project: Project) -> None:
    write_stories(project.folder / "runs" / "r", [*stories(20), story("base", 99, text="…")])
    asked = ask_about_stories(project, "r")
    assert (asked.texts, asked.new, asked.items, asked.empty) == (41, 80, {"CL": 40, "MX": 40}, 1)
    again = ask_about_stories(project, "r")
    assert (again.new, again.items) == (0, asked.items)
    items = project.ledger.items(NAME)
    assert [item.position for item in items] == list(range(80))
    assert {item.topic for item in items} == {"CL"}
    sides = [item.content["side"] for item in items]
    assert Counter(sides) == {"base": 40, "adapted": 40}
    # A fair order has about 40 changes of side among 79, and a sorted one a single one.
    assert 25 < sum(one != other for one, other in pairwise(sides)) < 55
    # Whoever sees ids alone cannot tell sides apart.
    assert all(re.fullmatch("[0-9a-f]{16}", item.id) for item in items)


def test_a_text_that_both_models_wrote_is_asked_about_for_either(project: Project) -> None:
    write_stories(project.folder / "runs" / "r", [story(side, 1, text="Pedro cocina.") for side in SIDES])
    assert ask_about_stories(project, "r").items == {"CL": 2, "MX": 2}


def test_the_command_tells_counts_and_no_text(project: Project) -> None:
    write_stories(project.folder / "runs" / "r", [story("base", 1, text="Pedro come pozole azul.")])
    told = annot(project, "stereotypes", "stories", "r") + annot(project, "stereotypes", "stories", "r", "--json")
    assert "2 new stories" in told
    assert json.loads(told[told.index("{") :]) == {
        "texts": 1,
        "new": 0,
        "items": {"CL": 1, "MX": 1},
        "empty": 0,
        "nobody": [],
    }
    assert "pozole" not in told


def test_a_run_that_is_not_there_or_wrote_nothing_is_told_with_the_remedy(project: Project) -> None:
    for name, told in (("r", "There is no run r"), ("../p", "There is no run"), ("", "There is no run")):
        with pytest.raises(ProjectError, match=told):
            ask_about_stories(project, name)
    (project.folder / "runs" / "r").mkdir(parents=True)
    with pytest.raises(ProjectError, match="annot evaluate r --on stories"):
        ask_about_stories(project, "r")


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": "x"}', '{"text": 3, "use": "evaluation-only"}', '"side"'])
def test_a_damaged_file_of_texts_is_one_sentence(tmp_path: Path, line: str) -> None:
    (tmp_path / WRITTEN).write_text(line + "\n")
    with pytest.raises(ProjectError, match="is damaged"):
        read_stories(tmp_path)


def test_texts_come_back_as_they_were_written_whatever_is_in_them(tmp_path: Path) -> None:
    hostile = [story("base", 1, text='"\u2028\x85{"use": 1}\\n\n<script>'), story("adapted", 1, text="ñandú 🎉")]
    write_stories(tmp_path, hostile)
    assert read_stories(tmp_path) == hostile


# -- what people said ---------------------------------------------------------------------------------------


def test_verdicts_count_by_text_and_country_once_three_people_gave_them(project: Project) -> None:
    write_stories(project.folder / "runs" / "r", stories(2))
    ask_about_stories(project, "r")
    mexico, chile = (
        [item for item in project.ledger.items(NAME) if item.country == country] for country in ("MX", "CL")
    )
    team(project, "MX", 4)
    team(project, "CL", 2)
    said = {
        "mx_0": [(mexico[0], "none"), (mexico[1], "mild"), (mexico[2], "nonsense"), (mexico[3], "none")],
        "mx_1": [(mexico[0], "mild"), (mexico[1], "strong"), (mexico[2], "nonsense"), (mexico[3], "none")],
        "mx_2": [(mexico[0], "none"), (mexico[1], "skip"), (mexico[2], "strong"), (mexico[3], "mild")],
        "mx_3": [(mexico[0], "stop"), (mexico[3], "strong")],
    }
    judge_stories(project, said, "MX")
    judge_stories(project, {who: [(chile[0], "strong")] for who in ("cl_0", "cl_1")}, "CL")
    found = {one.story: one for one in judged_stories(project.ledger, project.settings, ADAPTER)}
    counts = {name: (one.none, one.mild, one.strong, one.nonsense) for name, one in found.items()}
    # Of the second text only two people said something, and of Chile's likewise.
    ids = [item.content["story"] for item in mexico]
    assert counts == {ids[0]: (2, 1, 0, 0), ids[2]: (0, 0, 1, 2), ids[3]: (2, 1, 1, 0)}
    assert [found[ids[n]].has_stereotype for n in (0, 2, 3)] == [False, None, True]
    assert {one.own for one in found.values()} == {False}
    assert judged_stories(project.ledger, project.settings, "b" * 64) == []


def test_the_table_of_an_export_is_for_evaluation_only_and_names_nobody(project: Project) -> None:
    write_stories(project.folder / "runs" / "r", stories(1))
    ask_about_stories(project, "r")
    item, other = (item for item in project.ledger.items(NAME) if item.country == "MX")
    said = {who: [(item, "mild"), (other, "none" if who < "mx_2" else "skip")] for who in team(project, "MX", 3)}
    judge_stories(project, said, "MX")
    (part,) = read_tables(project, NAME)
    rows = part["stories.parquet"].rows
    # Of the other text only two people said something.
    assert [(row["verdict"], row["side"], row["target"]) for row in rows] == [("mild", item.content["side"], "CL")] * 3
    assert {row["use"] for row in rows} == {EVALUATION_ONLY}
    assert {row["annotator"] for row in rows} == {project.pseudonym(who) for who in said}
    assert set(part["stories.parquet"].columns) == set(rows[0])


def test_an_export_of_stereotypes_holds_what_people_said_of_stories(tmp_path: Path) -> None:
    project = rated_project(tmp_path / "p", {association("chilenos", "cantan bien"): [4, 4, 4]})
    item = judged_by_three(project)
    found = leaving(project)
    write_stereotypes(project, tmp_path / "out", found)
    rows = parquet.read_table(tmp_path / "out" / "stories.parquet").to_pylist()
    assert [(row["verdict"], row["text"]) for row in rows] == [("strong", item.content["text"])] * 3
    assert {(row["use"], row["canary"]) for row in rows} == {(EVALUATION_ONLY, found.canary)}
    assert "`stories.parquet`: 3 rows." in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
