"""Base and adapted model write about the same groups; what people found is reported by country, honestly."""

import hashlib
import json
import multiprocessing
import shutil
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from finished_runs import evaluate_until, finished_run, ranked_slates
from projects import make_project
from story_projects import judge_stories, pair, team
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, SourceError
from annotation.project import Project
from annotation.reading.examples import read_examples
from annotation.stereotypes.stories import WRITTEN, JudgedStory, ask_about_stories, judged_stories, read_stories
from annotation.tasks.story.task import NAME, SIDES
from train.evaluate.command_line import chosen_measures
from train.evaluate.evaluation import Evaluation
from train.evaluate.run import check_evaluation, evaluate, read_evaluation
from train.evaluate.stories import ASKED, story_prompts
from train.evaluate.stories_summary import StorySummary, story_groups
from train.run_folder import finished_run as digest_of

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = '[project]\ncountries = ["MX", "CL"]\nlanguages = ["es"]\n'
T = TypeVar("T")
PAIRS = [pair("es", "MX", "CL"), pair("es", "CL", "PE"), pair("pt", "BR", "AR"), pair("en", "US", "CA")]
FEW = ("evaluation.stories=5", "evaluation.max_new_tokens=6", "evaluation.batch=4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "runs" / "r"
    folder.mkdir(parents=True)
    return finished_run(folder, ranked_slates(6), 0.3)


@pytest.fixture
def fresh(run: Path, tmp_path: Path) -> Path:
    """A run that nobody has measured, in a project."""
    make_project(tmp_path / "p", SETTINGS)
    shutil.copytree(run, tmp_path / "p" / "runs" / "r")
    return tmp_path / "p" / "runs" / "r"


def write(run: Path, said: list[str] | None = None, **more: Any) -> Evaluation:
    how = {"on": ["stories"], "pairs": PAIRS, "overrides": FEW, **more}
    return evaluate(run, say=said.append if said is not None else lambda _line: None, **how)


def there(found: T | None) -> T:
    assert found is not None
    return found


def summary(found: Evaluation) -> StorySummary:
    stories = found.summaries["stories"]
    assert isinstance(stories, StorySummary)
    return stories


# -- prompts ------------------------------------------------------------------------------------------------


def test_prompts_name_the_groups_of_pairs_and_nothing_that_is_said_of_them() -> None:
    prompts = story_prompts(PAIRS, 12, seed=1)
    assert [sum(one.language == language for one in prompts) for language in ("es", "pt", "en")] == [12, 12, 0]
    assert {one.target for one in prompts if one.language == "es"} == {"MX", "CL", "PE"}
    assert {one.target for one in prompts if one.language == "pt"} == {"BR", "AR"}
    assert "llegan tarde" not in " ".join(one.text for one in prompts)
    asked = {text.format(who=one.identity) for one in prompts for text in ASKED[one.language]}
    assert {one.text for one in prompts} <= asked
    assert {"una mexicana", "un mexicano", "una chilena"} & {one.identity for one in prompts}
    assert all(one.identity.split()[0] in ("un", "una", "um", "uma") for one in prompts)


def test_groups_take_turns_and_more_prompts_are_no_more_than_there_are() -> None:
    five = story_prompts(PAIRS[:2], 5, seed=1)
    counts = [sum(one.target == place for one in five) for place in ("MX", "CL", "PE")]
    assert sorted(counts) == [1, 2, 2]
    everything = story_prompts(PAIRS[:1], 1000, seed=1)
    assert len(everything) == len({one.text for one in everything}) == 2 * 2 * len(ASKED["es"])
    assert story_prompts(PAIRS[:1], 3, seed=1) == everything[:3]
    assert story_prompts(PAIRS[:1], 3, seed=2) != everything[:3]
    assert story_prompts(PAIRS, 0, seed=1) == story_prompts([], 9, seed=1) == []


# -- writing ------------------------------------------------------------------------------------------------


def test_both_models_write_to_the_same_prompts_and_the_texts_stay_in_the_file(fresh: Path) -> None:
    said: list[str] = []
    found = summary(write(fresh, said))
    stories = read_stories(fresh)
    assert (found.texts, found.prompts, found.groups) == (20, 10, ())
    by_side = {side: [one.prompt for one in stories if one.side == side] for side in SIDES}
    assert by_side["base"] == by_side["adapted"]
    texts = {one.text for one in stories if len(one.text) > 8}
    assert len(texts) > 5
    told = "\n".join([*said, (fresh / "report.md").read_text(), (fresh / "evaluation.json").read_text()])
    assert not [text for text in texts if text in told or json.dumps(text)[1:-1] in told]
    assert "10 prompts about people of groups" in told
    assert "wait for people" in told
    check_evaluation(fresh)
    with pytest.raises(SourceError, match="all marked use"):
        read_examples(str(fresh / WRITTEN), columns={"prompt": "prompt", "chosen": "text"})


def test_an_adapter_that_changes_nothing_writes_what_the_base_writes(tmp_path: Path) -> None:
    same = finished_run(tmp_path, ranked_slates(6), 0.0)
    write(same)
    written = {side: [one.text for one in read_stories(same) if one.side == side] for side in SIDES}
    assert written["base"] == written["adapted"]


def test_a_measure_that_was_killed_writes_the_same_texts(fresh: Path, run: Path, tmp_path: Path) -> None:
    write(fresh)
    whole = (fresh / WRITTEN).read_bytes()
    for batch in (1, 4):
        other = shutil.copytree(run, tmp_path / f"killed{batch}" / "r")
        child = multiprocessing.get_context("spawn").Process(
            target=evaluate_until, args=(other, batch), kwargs={"on": ["stories"], "pairs": PAIRS, "overrides": FEW}
        )
        child.start()
        child.join()
        assert child.exitcode == -9
        assert not (other / WRITTEN).exists()
        write(other)
        assert (other / WRITTEN).read_bytes() == whole
        assert not (other / ".evaluation").exists()


def test_texts_are_written_once_whatever_pairs_come_later(fresh: Path) -> None:
    write(fresh)
    before = (fresh / WRITTEN).read_bytes()
    assert write(fresh).already
    again = write(fresh, pairs=[pair("es", "AR", "UY")])
    assert again.already
    assert (fresh / WRITTEN).read_bytes() == before
    # Where they are gone, the same are written again.
    (fresh / WRITTEN).unlink()
    write(fresh)
    assert (fresh / WRITTEN).read_bytes() == before
    # Other settings are other texts.
    assert summary(write(fresh, overrides=[*FEW, "evaluation.stories=2"])).texts == 8
    assert (fresh / WRITTEN).read_bytes() != before


def test_the_number_of_stories_is_nothing_to_other_measures(fresh: Path) -> None:
    before = evaluate(fresh, on=["ranking"], overrides=FEW, say=lambda _line: None)
    assert evaluate(fresh, on=["ranking"], overrides=[*FEW, "evaluation.stories=9"]).keys == before.keys
    check_evaluation(fresh)


def test_without_groups_there_is_nobody_to_write_about(fresh: Path) -> None:
    for how in ({"pairs": []}, {"pairs": [pair("en", "US", "CA")]}, {"overrides": [*FEW, "evaluation.stories=0"]}):
        with pytest.raises(SettingsError, match="nobody to write stories about"):
            write(fresh, **how)


# -- what people found --------------------------------------------------------------------------------------


def judged(prompts: int, base: int, adapted: int, *, country: str = "MX", own: bool = False) -> list[Any]:
    """Texts to so many prompts, of which the first of either side have a stereotype for two of three people."""
    rows = []
    for number, (side, seen) in product(range(prompts), (("base", base), ("adapted", adapted))):
        counts = (1, 1, 1, 0) if number < seen else (3, 0, 0, 0)
        rows.append((JudgedStory(f"{side}{number}", country, own, *counts), side, f"prompt {number}"))
    return rows


def test_shares_and_their_difference_are_those_of_a_case_computed_by_hand() -> None:
    (group,) = story_groups(judged(20, 8, 5), seed=0)
    assert (group.country, group.own, group.texts, group.nonsense) == ("MX", False, (20, 20), (0, 0))
    base, adapted, change = there(group.base), there(group.adapted), there(group.change)
    assert (base.value, adapted.value, change.value) == pytest.approx((0.4, 0.25, -0.15))
    # 20 draws of a share of .4 have a standard error of .11, and the paired difference of .08.
    assert (base.low, base.high) == pytest.approx((0.4 - 1.96 * 0.11, 0.4 + 1.96 * 0.11), abs=0.05)
    assert (change.low, change.high) == pytest.approx((-0.15 - 1.96 * 0.08, -0.15 + 1.96 * 0.08), abs=0.06)
    assert change.prompts == 20


def test_nothing_is_shown_of_fewer_than_ten_texts_and_countries_and_groups_stand_apart() -> None:
    rows = [*judged(9, 3, 3), *judged(12, 0, 12, own=True), *judged(30, 0, 0, country="CL")]
    chile, others, own = story_groups(rows, seed=0)
    assert (others.base, others.adapted, others.change) == (None, None, None)
    assert there(own.change).value == 1.0
    base = there(chile.base)
    assert (base.value, base.low) == (0.0, 0.0)
    assert base.high > 0.08  # of 30 texts none had one; that is no proof that none would
    table = StorySummary((chile, others, own), 60, 30).tables()[0]
    assert [row[0] for row in table.rows] == ["CL, of others", "MX, of others", "MX, of their own group"]
    assert table.rows[1][4:] == ("too few", "too few", "too few")
    assert "often disagree" in table.note


def test_texts_without_sense_are_counted_apart_and_warned_of() -> None:
    rows = judged(12, 12, 12)
    senseless = [(JudgedStory(f"x{n}", "MX", False, 0, 1, 0, 2), "base", f"more {n}") for n in range(25)]
    (group,) = story_groups([*rows, *senseless], seed=0)
    assert (group.texts, group.nonsense) == ((37, 12), (25, 0))
    assert there(group.base).value == 1.0
    told = StorySummary((group,), 49, 37).warnings(None)  # type: ignore[arg-type]
    assert any("25 of 49 make no sense" in sentence for sentence in told)


def test_an_adapter_with_more_stereotypes_is_warned_of() -> None:
    (group,) = story_groups(judged(30, 2, 20), seed=0)
    (told,) = StorySummary((group,), 60, 30).warnings(None)  # type: ignore[arg-type]
    assert "the adapted model's have a stereotype more often" in told
    assert not StorySummary(story_groups(judged(30, 20, 2), seed=0), 60, 30).warnings(None)  # type: ignore[arg-type]


def test_judgements_come_home_and_the_same_command_counts_them(fresh: Path) -> None:
    how = ["evaluation.stories=24", *FEW[1:]]
    write(fresh, pairs=PAIRS[:2], overrides=how)
    project = Project.open(fresh.parent.parent)
    ask_about_stories(project, "r")
    items = [item for item in project.ledger.items(NAME) if item.country == "MX" and item.topic != "MX"]
    planted = {item.id: _has_one(item.content["prompt"], item.content["side"]) for item in items}
    verdicts = [(item, "mild" if planted[item.id] else "none") for item in items]
    judge_stories(project, dict.fromkeys(team(project, "MX", 3), verdicts), "MX")
    said = judged_stories(project.ledger, project.settings, digest_of(fresh)[1])
    assert chosen_measures("", (), print, stories=said) == ["ranking", "writing", "stories"]
    found = write(fresh, pairs=[], overrides=how, stories=said)
    (group,) = summary(found).groups
    rates = {side: np.mean([planted[item.id] for item in items if item.content["side"] == side]) for side in SIDES}
    assert (there(group.base).value, there(group.adapted).value) == pytest.approx((rates["base"], rates["adapted"]))
    assert there(read_evaluation(fresh)).summaries == found.summaries
    # A judgement that is gone takes the number with it, asked for or not.
    evaluate(fresh, on=["ranking"], overrides=how, stories=said[:-1], say=lambda _line: None)
    assert "stories" not in there(read_evaluation(fresh)).summaries


def _has_one(prompt: str, side: str) -> bool:
    return hashlib.sha256(f"{prompt}{side}".encode()).digest()[0] % (2 if side == "base" else 5) == 0


def test_the_command_counts_what_people_said_and_prints_no_text(fresh: Path) -> None:
    write(fresh, overrides=["evaluation.stories=24", *FEW[1:]])
    project = Project.open(fresh.parent.parent)
    ask_about_stories(project, "r")
    items = [item for item in project.ledger.items(NAME) if item.country == "CL"]
    judge_stories(project, {who: [(item, "none") for item in items] for who in team(project, "CL", 3)}, "CL")
    changes = [word for change in ("evaluation.stories=24", *FEW[1:]) for word in ("--set", change)]
    words = ["evaluate", "r", "--project", str(project.folder), "--on", "stories", *changes]
    ended = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "CL, of others" in ended.output
    as_json = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    texts = [one.text for one in read_stories(fresh) if len(one.text) > 8]
    assert texts
    assert not [text for text in texts if text in ended.output or json.dumps(text)[1:-1] in as_json.output]
