"""What answers to control items and entry tests say of people: against published and simulated truth."""

from __future__ import annotations

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from control_projects import careless, controllable, ideal, respond
from projects import annot

from annotation.config import EntrySettings
from annotation.controls.add import add_controls
from annotation.controls.mark import remove_controls
from annotation.ledger import Response
from annotation.project import Project
from annotation.quality.controls import (
    ACT,
    Counts,
    control_results,
    error_interval,
    failing,
)
from annotation.quality.entry import EntryResult, entry_results
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.types import Item, Judgement

BEGUN = datetime(2026, 1, 3, 12, tzinfo=UTC)


# -- control items ----------------------------------------------------------------------------------------


def test_without_answers_the_interval_is_that_of_the_prior_in_closed_form() -> None:
    """Of Beta(1, 9) a share p lies below 1 - (1 - p) ** (1 / 9)."""
    assert error_interval(0, 0) == pytest.approx((1 - 0.95 ** (1 / 9), 1 - 0.05 ** (1 / 9)), abs=1e-12)


def answered(annotator: str, right: int, wrong: int, kind: str = "garbled", task: str = "ranking") -> Counts:
    numbers = {("control", task, "control", annotator, kind, way): n for way, n in ((1, right), (0, wrong))}
    return Counter({key: n for key, n in numbers.items() if n})


def test_results_are_by_person_and_kind_and_an_entry_test_is_no_part_of_them() -> None:
    counts = answered("ana", 7, 1) + answered("ana", 2, 3, "two alike") + answered("leo", 4, 0)
    counts["control", "ranking", "entry", "ana", "garbled", 0] = 20
    counts["work", "ana", "BO", "submitted"] = 100
    found = control_results(counts)
    assert set(found) == {"ana", "leo"}
    ana = found["ana"]
    assert (ana.right, ana.wrong, ana.by_kind) == (9, 4, {"garbled": (7, 1), "two alike": (2, 3)})
    assert (ana.low, ana.high) == error_interval(9, 4)
    assert found["leo"].low < 0.01
    assert control_results(counts, "prompt_check") == {}


def test_few_answers_never_tell_a_lead_to_act_and_it_says_how_many_do() -> None:
    """Five of five wrong are not enough to tell 80 % from 95 %; eight of eight are, and 13 of 20, and 20 of 40."""
    fewest = {n: next((w for w in range(n + 1) if error_interval(n - w, w)[0] > ACT), None) for n in (5, 7, 8, 20, 40)}
    assert fewest == {5: None, 7: None, 8: 8, 20: 13, 40: 20}


def test_of_careful_people_none_is_named_and_of_those_who_guess_nearly_all(rng: random.Random) -> None:
    """2,000 simulated people each, 30 control items: careful ones err in one of ten, others in six of ten."""

    def named(error: float) -> float:
        counts: Counts = Counter()
        for person in range(2000):
            wrong = sum(rng.random() < error for _ in range(30))
            counts.update(answered(f"p{person}", 30 - wrong, wrong))
        return len(list(failing(counts))) / 2000

    assert named(0.1) == 0
    assert named(0.25) < 0.01
    assert named(0.6) > 0.6
    assert named(0.75) > 0.98


def test_the_interval_holds_the_true_rate_as_often_as_it_says(rng: random.Random) -> None:
    """Error rates drawn from the prior: 90 % of the intervals hold theirs."""
    held = 0
    for _ in range(4000):
        rate = rng.betavariate(1, 9)
        wrong = sum(rng.random() < rate for _ in range(20))
        low, high = error_interval(20 - wrong, wrong)
        held += low <= rate <= high
    assert held / 4000 == pytest.approx(0.9, abs=0.02)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(11)


def test_a_lead_is_told_who_how_many_and_of_which_kind() -> None:
    counts = answered("ana", 2, 14) + answered("ana", 4, 0, "two alike") + answered("leo", 20, 0)
    ((name, task, result),) = failing(counts)
    assert (name, task) == ("ana", "ranking")
    assert result.sentence(name).startswith("ana answered 14 of 20 control items wrong (garbled 14); the error rate is")


def test_the_tally_counts_answers_to_control_items_for_the_person_and_for_no_quota(tmp_path: Path) -> None:
    project = controllable(tmp_path / "p")
    add_controls(project, 6, country="BO")
    before = count(project.ledger, project.settings)
    items = project.ledger.items(side=True)
    for item in items:
        respond(project, item, "bo_1", ideal(item))
        respond(project, item, "bo_2", careless(item))
    after = count(project.ledger, project.settings)
    assert {key[0] for key in after - before} == {"control", "status", "work", "day", "time"}
    found = control_results(after)
    assert (found["bo_1"].right, found["bo_1"].wrong) == (6, 0)
    assert (found["bo_2"].right, found["bo_2"].wrong) == (0, 6)


# -- the entry test ---------------------------------------------------------------------------------------


class Trial:
    """An entry test of two tries of four items, and a person who takes it."""

    def __init__(self, folder: Path) -> None:
        self.project: Project = controllable(folder)
        add_controls(self.project, 8, task="ranking", country="BO", entry=True)
        self.items = self.project.ledger.items("ranking", side=True)
        self.minute = 0

    def take(self, first: int, last: int, wrong: int = 0, who: str = "bo_1") -> None:
        """Answer items, the first ones wrong."""
        for number, item in enumerate(self.items[first:last]):
            self.minute += 1
            moment = (BEGUN + timedelta(minutes=self.minute)).isoformat()
            respond(self.project, item, who, careless(item) if number < wrong else ideal(item), moment)

    def stands(self, who: str = "bo_1", *, hours: float = 1) -> EntryResult:
        return entry_results(self.project.ledger, self.project.settings, BEGUN + timedelta(hours=hours))["ranking", who]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "p")


def test_only_people_of_a_country_with_a_test_are_tested(trial: Trial) -> None:
    found = entry_results(trial.project.ledger, trial.project.settings, BEGUN)
    assert set(found) == {("ranking", f"bo_{number}") for number in (1, 2, 3)}
    assert set(found.values()) == {EntryResult("at it", 0, 0, 0, 4, 2)}
    trial.project.ledger.decide("bo_3", excluded="gone")
    assert len(entry_results(trial.project.ledger, trial.project.settings, BEGUN)) == 3  # who is back is tested too
    remove_controls(trial.project, [item.id for item in trial.items])
    assert entry_results(trial.project.ledger, trial.project.settings, BEGUN) == {}


def test_who_answers_as_many_right_as_are_needed_passes(trial: Trial) -> None:
    trial.take(0, 3)
    assert trial.stands() == EntryResult("at it", 0, 3, 3, 4, 2)
    trial.take(3, 4)
    assert trial.stands() == EntryResult("passed", -1, 4, 4, 4, 2)
    assert trial.stands().open
    trial.project.ledger.decide("bo_1", excluded="the same order every time")
    assert trial.stands().state == "passed"
    assert trial.stands("bo_2").state == "at it"


def test_each_user_name_of_one_person_is_tested_by_itself(trial: Trial) -> None:
    trial.project.ledger.add_aliases({"bo_2": "bo_1"})
    trial.take(0, 4)
    trial.take(0, 4, who="bo_2")
    assert trial.stands().state == trial.stands("bo_2").state == "passed"


def test_a_try_that_failed_is_followed_by_a_wait_and_by_items_of_its_own(trial: Trial) -> None:
    trial.take(0, 4, wrong=1)
    assert trial.stands() == EntryResult("waits", -1, 3, 4, 4, 2, "2026-01-04T12:04:00+00:00")
    assert trial.stands(hours=25) == EntryResult("at it", 1, 0, 0, 4, 2)
    trial.take(4, 8)
    assert trial.stands(hours=25) == EntryResult("passed", -1, 4, 4, 4, 2)


def test_after_the_last_try_nothing_opens_and_a_lead_who_adds_one_opens_it(trial: Trial) -> None:
    trial.take(0, 4, wrong=1)
    trial.take(4, 8, wrong=2)
    assert trial.stands(hours=99) == EntryResult("failed", -1, 2, 4, 4, 2)
    assert not trial.stands(hours=99).open
    add_controls(trial.project, 12, task="ranking", country="BO", entry=True)
    trial.project.settings.__dict__["entry"] = EntrySettings(items=4, tries=3, wait_hours=24)
    assert trial.stands(hours=99) == EntryResult("at it", 2, 0, 0, 4, 3)


def test_the_lead_is_told_by_name_whom_the_test_keeps_out_and_the_page_says_it_under_pseudonyms(trial: Trial) -> None:
    trial.take(0, 4, wrong=1)
    trial.take(4, 8, wrong=2)
    failed = "failed, 2 of 4 right in the last try."
    assert f"  bo_1, {TASKS['ranking'].title}: {failed}" in annot(trial.project, "status")
    assert f"bo_1, entry test, {TASKS['ranking'].title}: {failed}" in annot(trial.project, "people", "list")
    assert f"Entry test, {TASKS['ranking'].title}: {failed}" in annot(trial.project, "people", "show", "bo_1")
    annot(trial.project, "report", "--language", "en")
    page = (trial.project.folder / "report.html").read_text("utf-8")
    assert "bo_1" not in page
    assert re.search(f"{trial.project.pseudonym('bo_1')}</th>.{{0,120}}no try left", page)


def test_needed_is_a_share(trial: Trial) -> None:
    trial.project.settings.__dict__["entry"] = EntrySettings(items=4, needed=0.75, tries=2)
    trial.take(0, 4, wrong=1)
    assert trial.stands().state == "passed"


def test_an_answer_that_is_changed_after_it_was_brought_home_changes_nothing(trial: Trial) -> None:
    trial.take(0, 4, wrong=1)
    trial.take(0, 1)
    assert trial.stands().state == "waits"
    item = trial.items[1]
    worse = [r for r in trial.project.ledger.responses() if r.item_id == item.id]
    trial.project.ledger.add_responses("new server", [Response(*("x", *_moved(worse[0])))])
    assert trial.stands().state == "waits"


def _moved(response: Response) -> tuple[str, str, str, str, str, str]:
    return response.item_id, response.annotator, response.country, "submitted", "2026-02-01T00:00:00", response.raw


def test_who_worked_before_there_was_a_test_is_not_tested(trial: Trial) -> None:
    item = next(item for item in trial.project.ledger.items("ranking") if not item.removed)
    respond(trial.project, item, "bo_2", Judgement(tuple((seat,) for seat in item.content["seats"])))
    assert trial.stands("bo_2") == EntryResult("open", -1, 0, 0, 4, 2)
    assert trial.stands("bo_2").open
    assert trial.stands("bo_1").state == "at it"


@pytest.mark.parametrize("answered_before", [True, False])
def test_an_item_that_is_taken_out_says_nothing_and_shifts_no_try(trial: Trial, answered_before: bool) -> None:
    if answered_before:
        trial.take(0, 4, wrong=1)
        remove_controls(trial.project, [trial.items[0].id])
        assert trial.stands() == EntryResult("passed", -1, 3, 4, 4, 2)
    else:
        remove_controls(trial.project, [trial.items[0].id])
        trial.take(1, 5, wrong=1)
        assert trial.stands(hours=25) == EntryResult("at it", 1, 0, 0, 3, 2)
        trial.take(5, 8)
        assert trial.stands(hours=25) == EntryResult("passed", -1, 3, 3, 3, 2)


def test_an_item_that_is_discarded_is_a_wrong_answer_of_the_try(trial: Trial) -> None:
    trial.take(0, 3)
    item: Item = trial.items[3]
    moment = (BEGUN + timedelta(minutes=50)).isoformat()
    for status in ("draft", "discarded"):
        assert trial.stands().state == "at it"
        given = Response("x", item.id, "bo_1", "BO", status, moment, '{"id": "x", "values": null}')
        trial.project.ledger.add_responses("test", [given])
    assert trial.stands() == EntryResult("waits", -1, 3, 4, 4, 2, "2026-01-04T12:50:00+00:00")
    respond(trial.project, item, "bo_1", ideal(item), (BEGUN + timedelta(minutes=55)).isoformat())
    assert trial.stands().state == "waits"
    trial.take(0, 4, who="bo_2")
    trial.project.ledger.add_responses(
        "test", [Response("y", trial.items[0].id, "bo_2", "BO", "discarded", moment, '{"id": "y", "values": null}')]
    )
    assert trial.stands("bo_2").state == "passed"  # what they do about it afterwards changes nothing


def test_an_answer_that_fits_nothing_is_a_wrong_one(trial: Trial) -> None:
    trial.take(0, 3)
    item: Item = trial.items[3]
    raw = '{"id": "x", "values": {}}'
    moment = (BEGUN + timedelta(minutes=50)).isoformat()
    trial.project.ledger.add_responses("test", [Response("x", item.id, "bo_1", "BO", "submitted", moment, raw)])
    assert trial.stands() == EntryResult("waits", -1, 3, 4, 4, 2, "2026-01-04T12:50:00+00:00")
