"""The forecast: intervals hold what really came on simulated teams, and what cannot be is said with a remedy."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paced_teams import OVERLAP, TODAY, coverage, day_before, forecast_of, project_of
from projects import annot, fill, make_project

from annotation.errors import SettingsError
from annotation.item_counts import Counts
from annotation.ledger import Response
from annotation.project import Project
from annotation.types import Item, Person
from sync.commands.plan import plan
from sync.quotas import count_quotas
from sync.reporting.forecast import added_people, check_deadline, forecast
from sync.reporting.pace import Pace, daily, diaries, time_until


@pytest.mark.parametrize("weekends", [False, True])
def test_nine_of_ten_intervals_hold_the_day_on_which_a_team_was_done(tmp_path: Path, weekends: bool) -> None:
    inside, later, widths = coverage(tmp_path, 300, 17, weekends=weekends)
    assert 0.85 <= inside <= 0.97
    assert 0.3 <= later <= 0.6
    assert np.median(widths) < 4  # an interval that holds everything says nothing


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 100)), min_size=1, max_size=8),
    st.floats(0.01, 1.2),
)
def test_the_time_is_the_one_at_which_all_have_given_what_is_needed(
    people: list[tuple[float, float]], share: float
) -> None:
    rates, most = (np.array(values) for values in zip(*people, strict=True))
    needed = max(share * most.sum(), 1e-3)
    (time,) = time_until(needed, rates[None], most)
    if needed > most.sum() * (1 + 1e-6) + 1e-6:
        assert time == np.inf
    elif 0 < time < 1e9 and needed < most.sum() * (1 - 1e-6):
        assert np.minimum(rates * time, most).sum() == pytest.approx(needed, rel=1e-6)


def test_each_item_needs_different_people_so_that_the_fastest_waits_for_the_others() -> None:
    # min(10, T) + 1 + 1 = 2 T: two items a day, however fast the first one is.
    (days,) = time_until(2 * 20, np.array([[10.0, 1.0, 1.0]]), np.full(3, 20.0))
    assert days == pytest.approx(10)
    (exactly,) = time_until(3 * 20, np.array([[10.0, 4.0, 1.0]]), np.full(3, 20.0))
    assert exactly == pytest.approx(20)  # three people, three per item: the slowest answers everything


def team_counts(
    people: int, *, a_day: int = 10, days: int = 20, items: int = 300, last: int = 1, **groups: int
) -> Counts:
    """Everybody at the same pace on each day up to some days ago; all they did is complete, and as many items left."""
    counts: Counts = Counter()
    for who in range(people):
        for day in range(days):
            counts["day", f"p{who}", day_before(last + day)] = a_day
        counts["person", "ranking", "MX", "", "es", f"p{who}"] = a_day * days
    for topic, number in (groups or {"": items}).items():
        counts["item", "ranking", "MX", topic, "es", 0] = number
    counts["item", "ranking", "MX", "", "es", OVERLAP] = people * a_day * days // OVERLAP
    return counts


def test_a_team_that_does_the_same_every_day_is_forecast_by_hand(tmp_path: Path) -> None:
    (found,) = forecast_of(project_of(tmp_path, 6, target=10**6), team_counts(6))
    assert (found.to_go, found.people, found.assumed, found.reach) == (900, 6, False, "")
    assert found.per_day == pytest.approx(60, rel=0.02)
    assert found.days == pytest.approx(15, rel=0.05)
    assert found.days_high is not None
    assert found.days_low < found.days < found.days_high < 1.5 * found.days
    assert forecast_of(project_of(tmp_path, 6, target=10**6), team_counts(6)) == (found,), "another seed"


def test_answers_that_are_there_already_are_not_needed_again(tmp_path: Path) -> None:
    counts = team_counts(6, items=100)
    counts["item", "ranking", "MX", "", "es", 2] = 200
    (found,) = forecast_of(project_of(tmp_path, 6, target=10**6), counts)
    assert found.to_go == 100 * 3 + 200
    (fewer,) = forecast_of(project_of(tmp_path / "b", 6, target=400 + 150), counts)
    assert fewer.to_go == 150, "items that are begun come first"


def test_what_does_not_count_takes_time_too(tmp_path: Path) -> None:
    counts = team_counts(6)
    for who in range(6):
        counts["person", "ranking", "MX", "", "es", f"p{who}"] = 100
    (found,) = forecast_of(project_of(tmp_path, 6, target=10**6), counts)
    assert found.days == pytest.approx(30, rel=0.1)


def test_a_day_without_work_counts_and_the_time_before_somebody_came_does_not(tmp_path: Path) -> None:
    every, second, late = team_counts(5), team_counts(5), team_counts(5)
    for key in [key for key in second if key[0] == "day" and int(str(key[2])[-2:]) % 2]:
        del second[key]
    for key in [key for key in late if key[0] == "day" and key[1] in ("p3", "p4") and str(key[2]) < day_before(6)]:
        del late[key]
    for counts in (second, late):
        for who in range(5):
            counts["person", "ranking", "MX", "", "es", f"p{who}"] = sum(
                n for key, n in counts.items() if key[:2] == ("day", f"p{who}")
            )
    of = [
        forecast_of(project_of(tmp_path / str(n), 5, target=10**6), c)[0] for n, c in enumerate((every, second, late))
    ]
    assert of[1].days == pytest.approx(2 * of[0].days, rel=0.15)
    assert of[2].days == pytest.approx(of[0].days, rel=0.15)


def test_too_few_people_for_the_overlap_is_said_with_how_many_more(tmp_path: Path) -> None:
    project = project_of(tmp_path, 2, target=10**6)
    (found,) = forecast_of(project, team_counts(2))
    assert not found.within_reach
    assert found.reach == (
        "Each slate needs 3 different people, and MX has 2 people at work: add 1 or more with `annot team add`, or "
        "lower task.ranking.overlap in annot.toml."
    )
    assert forecast_of(project, team_counts(2), add={"MX": 1})[0].within_reach


def test_who_decides_or_failed_the_entry_test_is_not_counted_on(tmp_path: Path) -> None:
    project = project_of(tmp_path, 3, target=10**6)
    project.ledger.add_people([Person("juez", "", "adjudicator", "MX", ("es",))])
    counts = team_counts(3) + Counter({("day", "juez", day_before(9)): 5})
    (found,) = forecast_of(project, counts)
    assert found.people == 3
    test = Item("e", "ranking", 0, "MX", "es", "", {"seats": ["a", "b"]}, purpose="entry", expected={"worst": "b"})
    project.ledger.add_items([test])
    at = day_before(1) + "T00:00:00+00:00"
    for name, first in (("p0", "B"), ("p1", "A"), ("p2", "A")):
        ranks = [{"value": seat, "rank": 1 + (seat != first)} for seat in "AB"]
        raw = json.dumps({"status": "submitted", "values": {"ranking": {"value": ranks}}})
        project.ledger.add_responses("test", [Response(f"r{name}", "e", name, "MX", "submitted", at, raw)])
    text = (project.folder / "annot.toml").read_text() + "[entry]\nitems = 1\ntries = 1\n"
    (project.folder / "annot.toml").write_text(text)
    (found,) = forecast_of(Project.open(project.folder), counts)
    assert found.people == 2
    assert "MX has 2 people at work: add 1 or more" in found.reach


def test_an_entry_test_does_not_slow_the_forecast(tmp_path: Path) -> None:
    project = project_of(tmp_path, 3, target=10**6)
    counts: Counts = Counter({("item", "ranking", "MX", "", "es", 0): 30})
    for who in ("p0", "p1", "p2"):
        counts["day", who, day_before(0)] = counts["control", "ranking", "entry", who, "garbled", 1] = 20
    (found,) = forecast_of(project, counts)
    assert found.per_day == pytest.approx(60)


def test_people_who_have_not_begun_are_not_counted_on_but_named_as_a_remedy(tmp_path: Path) -> None:
    (found,) = forecast_of(project_of(tmp_path, 5, target=10**6), team_counts(2))
    assert found.people == 2
    assert "and 3 have not begun: ask them to begin, or add 1 or more" in found.reach


def test_nobody_counts_twice_under_two_names_of_theirs(tmp_path: Path) -> None:
    project = project_of(tmp_path, 3, target=10**6)
    assert forecast_of(project, team_counts(3))[0].within_reach
    project.ledger.add_aliases({"p2": "p1"})
    (found,) = forecast_of(project, team_counts(3))
    assert (found.people, found.within_reach) == (2, False)


def test_who_wrote_an_item_is_not_one_of_those_who_answer_it(tmp_path: Path) -> None:
    from annotation.prompts.review import add_checks
    from annotation.types import Prompt

    project = make_project(
        tmp_path / "p",
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.prompt_check]\ntarget = 9\noverlap = 3\n',
    )
    people = [Person(f"p{n}", "", "annotator", "MX", ("es",)) for n in range(4)]
    project.ledger.add_people(people[:3])
    project.ledger.add_prompts([replace(Prompt.make("¿Qué es?", country="MX", language="es"), author="p0")])
    add_checks(project.ledger)
    counts: Counts = Counter({("item", "prompt_check", "MX", "general", "es", 0): 1})

    def checks() -> bool:
        (found,) = (one for one in forecast_of(project, counts) if one.task == "prompt_check")
        return found.within_reach

    assert not checks()
    project.ledger.add_people(people)
    assert checks()


def test_a_topic_without_items_is_out_of_reach_and_the_others_are_not(tmp_path: Path) -> None:
    project = make_project(
        tmp_path / "p",
        '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 0\noverlap = 3\n'
        '[[task.ranking.group]]\ncountry = "MX"\ntopic = "comida"\ntarget = 300\n'
        '[[task.ranking.group]]\ncountry = "MX"\ntopic = "fiestas"\ntarget = 300\n',
    )
    project.ledger.add_people([Person(f"p{n}", "", "annotator", "MX", ("es",)) for n in range(6)])
    food, feasts = forecast_of(project, team_counts(6, comida=300))
    assert (food.within_reach, feasts.within_reach) == (True, False)
    assert feasts.reach.startswith("MX · fiestas has no slates: add some")
    both = forecast_of(project, team_counts(6, comida=300, fiestas=100))
    assert [one.days for one in both] == pytest.approx([20, 20], rel=0.1), "they share the people's time"


def test_a_team_that_has_stopped_has_no_pace(tmp_path: Path) -> None:
    project = project_of(tmp_path, 6, target=10**6)
    project.ledger.set_feed("here", "feed", 1, TODAY.isoformat())
    (found,) = forecast_of(project, team_counts(6, last=40))
    assert (found.within_reach, found.assumed) == (False, False)
    assert found.reach.startswith(f"Nobody of MX has answered since {day_before(40)}: ask them to go on")


def test_what_was_not_fetched_yet_is_no_day_without_work(tmp_path: Path) -> None:
    (found,) = forecast_of(project_of(tmp_path, 6, target=10**6), team_counts(6, last=8))
    assert found.days == pytest.approx(15, rel=0.1)


@pytest.mark.parametrize("counts", [team_counts(0), team_counts(6, days=1), team_counts(6, days=2)])
def test_in_the_first_days_the_pace_is_assumed_and_half_and_double_of_it(tmp_path: Path, counts: Counts) -> None:
    project = project_of(tmp_path, 6, target=10**6)
    (found,) = forecast_of(project, counts)
    assert found.assumed
    assert (found.days_low, found.days, found.days_high) == pytest.approx((900 / 240, 900 / 120, 900 / 60), rel=0.01)
    (slower,) = forecast_of(project, counts, pace=10)
    assert slower.days == pytest.approx(2 * found.days)


def test_a_country_that_has_not_begun_is_forecast_at_the_pace_of_the_others(tmp_path: Path) -> None:
    project = project_of(tmp_path, 6, target=10**6, country='MX", "BO')
    project.ledger.add_people([Person(f"p{n}", "", "annotator", "MX", ("es",)) for n in range(6)])
    project.ledger.add_people([Person(f"b{n}", "", "annotator", "BO", ("es",)) for n in range(3)])
    counts = team_counts(6)
    counts["item", "ranking", "BO", "", "es", 0] = 100
    bolivia, _ = forecast_of(project, counts)
    assert bolivia.reach == "Nobody of BO has begun: 3 people are counted on, at the pace of the other countries."
    assert 10 < bolivia.days < 16  # each answers every slate, so that the slowest of the three decides


def test_people_who_would_come_shorten_it_and_the_day_asked_for_says_how_many(tmp_path: Path) -> None:
    project, counts = project_of(tmp_path, 6, target=10**6), team_counts(6)
    (now,), (more,) = forecast_of(project, counts), forecast_of(project, counts, add={"MX": 6})
    assert more.people == 12
    assert more.days == pytest.approx(now.days / 2, rel=0.2)
    (asked,) = forecast_of(project, counts, by=TODAY.date() + timedelta(days=8))
    assert asked.more
    with_them, with_less = (
        forecast_of(project, counts, add={"MX": asked.more - short})[0].days_high for short in (0, 1)
    )
    assert with_them is not None
    assert with_less is not None
    assert with_them <= 8 < with_less
    (enough,) = forecast_of(project, counts, by=TODAY.date() + timedelta(days=300))
    assert enough.more == 0


def test_people_are_added_in_pairs_with_countries_and_to_no_other_country(tmp_path: Path) -> None:
    project = project_of(tmp_path, 3)
    quotas = count_quotas(project.settings, team_counts(3), {"ranking": []})
    assert added_people([3, 2, 1], ["MX", "México", "mx"], quotas) == {"MX": 6}
    for add, countries, said in (
        ([2], [], "for example annot plan --add 2 --country MX; quotas ask people of MX"),
        ([], ["MX"], "Write each --add with its --country, for example annot plan --add 3 --country MX"),
        ([3], ["BO"], "no quota asks people of BO; there are MX"),
        ([3], ["Atlantis"], "no ISO 3166 country code"),
    ):
        with pytest.raises(SettingsError, match=said):
            added_people(add, countries, quotas)
    with pytest.raises(SettingsError, match="is not in the future"):
        check_deadline(TODAY.date(), TODAY.date())


def test_a_persons_pace_is_shrunk_to_the_teams_the_more_the_fewer_their_days_are() -> None:
    counts = team_counts(8, days=20)
    counts.update({("day", "new", day_before(day)): 40 for day in (1, 2)})
    counts.update({("day", "old", day_before(day)): 40 for day in range(1, 21)})
    written = diaries(counts, str)
    last = TODAY.date().toordinal() - 1
    table = daily([written[name] for name in sorted(written)], last)
    pace = Pace.of(table, last)
    shrunk = dict(zip(sorted(written), pace.shrunk(np.nansum(table, axis=1), pace.exposed(table, last)), strict=True))
    assert 10 < shrunk["new"] < shrunk["old"] <= 40
    assert shrunk["p0"] == pytest.approx(10, rel=0.1)


def test_the_command_says_what_is_left_and_a_script_reads_it(tmp_path: Path) -> None:
    project = make_project(
        tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 4\noverlap = 3\n'
    )
    fill(project, 4)
    assert "Each slate needs 3 different people, and MX has 2 people" in annot(project, "plan")
    told = json.loads(annot(project, "plan", "--add", "1", "--country", "MX", "--by", "2999-01-01", "--json"))
    (one,) = told["quotas"]
    assert (one["to_go"], one["people"], one["more"], told["added"]) == (4, 3, 0, {"MX": 1})
    assert json.loads(annot(project, "plan", "--json"))["quotas"][0]["days"] is None


@pytest.mark.parametrize("pace", ["inf", "nan", "0", "1e9"])
def test_a_pace_that_nobody_has_is_refused(pace: str) -> None:
    with pytest.raises(SettingsError, match=r"from 0\.1 to 10000"):
        plan(pace=float(pace))


def test_when_every_quota_is_met_there_is_nothing_to_forecast(tmp_path: Path) -> None:
    project: Project = project_of(tmp_path, 3, target=1)
    counts = team_counts(3)
    assert forecast(project, counts, count_quotas(project.settings, counts, {"ranking": []})) == ()
