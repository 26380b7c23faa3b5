"""Ratings of stereotypes by region, own group and others apart, against hand-computed cases; nothing of few people."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import annot
from stereotype_projects import SETTINGS, TEAM, answer, ask, rate, said_of, share, stereotype_project

from annotation.project import Project
from annotation.quality.agreement import Agreement
from annotation.stereotypes.overview import overview
from annotation.stereotypes.ratings import Group, Rated, rate_all, rated
from annotation.stereotypes.shared import take_shared
from annotation.tasks.answers import answered_items
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import NO, YES, add_consents
from annotation.tasks.stereotype.item import NAME, item_of
from annotation.tasks.stereotype.rating import HERE, OTHERS, SCALE, Rating, by_group
from annotation.team_settings import PointSettings
from annotation.types import Answer

MATE, LATE, SING = (said_of("Argentina", said, target="AR") for said in ("toman mate", "llegan tarde", "cantan bien"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return stereotype_project(tmp_path / "p")


def test_below_three_raters_of_a_region_nothing_is_shown_but_that_there_are_some(project: Project) -> None:
    here, there = ask(project, (MATE, "AR"), (MATE, "UY"))
    rate(project, here, {"ana_01": Rating(5, 1), "beto_02": Rating(5, 1), "caro_03": Rating(3), "dani_04": Rating()})
    rate(project, there, {"eva_05": Rating(4), "fede_06": Rating(4), "gabi_07": Rating()})
    assert rated(project.ledger, project.settings) == [Rated(MATE, "AR", True, 3, 1, (0, 0, 1, 0, 2), (0, 0, 0, 0, 0))]
    (of_ar, of_uy) = rate_all(project.ledger, project.settings).groups
    assert (of_ar.country, of_ar.in_group, of_ar.rated, of_ar.suppressed, of_ar.skips) == ("AR", True, 1, 0, 1)
    assert of_uy == Group("UY", "AR", False, associations=1, suppressed=1)
    # One more person of the region, not of another, makes it known.
    rate(project, there, {"gabi_07": Rating(2)})
    assert [(one.country, one.median_known) for one in rated(project.ledger, project.settings)] == [
        ("AR", 5.0),
        ("UY", 4.0),
    ]


def test_more_raters_may_be_asked_for(tmp_path: Path) -> None:
    project = stereotype_project(tmp_path / "p", SETTINGS + "[stereotypes]\nraters = 4\n")
    (item,) = ask(project, (MATE, "AR"))
    rate(project, item, dict.fromkeys(TEAM["AR"][:3], Rating(5)))
    assert rated(project.ledger, project.settings) == []
    rate(project, item, {"dani_04": Rating(4)})
    assert [one.raters for one in rated(project.ledger, project.settings)] == [4]


def test_a_group_is_what_the_raters_say_and_else_what_the_target_says(project: Project) -> None:
    unknown = said_of("porteños", "llegan tarde")
    own, other = ask(project, (MATE, "AR"), (unknown, "AR"))
    rate(project, own, {"ana_01": Rating(5), "beto_02": Rating(5, None, HERE), "caro_03": Rating(1, None, OTHERS)})
    rate(project, other, {"ana_01": Rating(2), "beto_02": Rating(2, None, HERE), "caro_03": Rating(1, None, OTHERS)})
    parts = {
        item.id: (item, answers)
        for items, said in answered_items(project.ledger, NAME)
        for item in items.values()
        for answers in [[a for a in said if a.item_id == item.id]]
    }
    sizes = {name: {group: len(own) for group, own in by_group(*parts[name]).items()} for name in parts}
    assert sizes == {own.id: {True: 2, False: 1}, other.id: {True: 1, False: 2}}
    # Split so, neither group of either is large enough.
    assert rated(project.ledger, project.settings) == []
    groups = rate_all(project.ledger, project.settings).groups
    assert [(one.target, one.in_group, one.associations, one.suppressed) for one in groups] == [
        ("", True, 1, 1),
        ("", False, 1, 1),
        ("AR", True, 1, 1),
        ("AR", False, 1, 1),
    ]


def test_agreement_of_a_region_equals_what_is_computed_by_hand(project: Project) -> None:
    """Three associations, three people each: (1 1 2), (4 5 5), (3 3 3).

    The middle ranks of the nine values are 1 for the ones, 2.5, 4.5 for the threes, 6.5 and 8 for the fives. In the
    first unit four ordered pairs differ, each with the weight 1 / (3 - 1); in the second as many.
    """
    items = ask(project, (MATE, "AR"), (LATE, "AR"), (SING, "AR"))
    for item, values in zip(items, ((1, 1, 2), (4, 5, 5), (3, 3, 3)), strict=True):
        rate(project, item, dict(zip(TEAM["AR"], map(Rating, values), strict=False)))
    ranks = {1: 1.0, 2: 2.5, 3: 4.5, 4: 6.5, 5: 8.0}
    values = [ranks[value] for value in (1, 1, 2, 3, 3, 3, 4, 5, 5)]
    observed = 2 * (1 - 2.5) ** 2 + 2 * (6.5 - 8) ** 2
    expected = sum((one - other) ** 2 for one in values for other in values) / (9 - 1)
    (group,) = rate_all(project.ledger, project.settings).groups
    assert isinstance(group.agreement, Agreement)
    assert group.agreement.alpha == pytest.approx(1 - observed / expected, abs=1e-12)
    assert (group.agreement.items, group.agreement.annotators, group.agreement.low) == (
        3,
        3,
        None,
    )  # too few to resample
    assert group.known == (2, 1, 3, 1, 2)


def test_agreement_stands_on_what_is_shown_alone(project: Project) -> None:
    few, many, other = ask(project, (MATE, "AR"), (LATE, "AR"), (said_of("Argentina", "bailan", target="AR"), "AR"))
    rate(project, few, {"ana_01": Rating(1), "beto_02": Rating(5)})
    rate(project, many, {"ana_01": Rating(3), "beto_02": Rating(3), "caro_03": Rating(4)})
    (group,) = rate_all(project.ledger, project.settings).groups
    assert group.agreement == "one association says nothing of agreement"
    rate(project, other, {"ana_01": Rating(5), "beto_02": Rating(5), "caro_03": Rating(4)})
    (group,) = rate_all(project.ledger, project.settings).groups
    assert isinstance(group.agreement, Agreement)
    assert (group.agreement.items, group.known, group.suppressed) == (2, (0, 0, 2, 2, 2), 1)


def test_two_regions_never_mix(project: Project) -> None:
    items = ask(project, *((one, country) for one in (MATE, LATE) for country in ("AR", "UY")))
    for item in items:
        value = 5 if item.country == "AR" else 1
        rate(project, item, dict.fromkeys(TEAM[item.country][:3], Rating(value)))
    found = rate_all(project.ledger, project.settings)
    assert [(one.country, one.known) for one in found.groups] == [("AR", (0, 0, 0, 0, 6)), ("UY", (6, 0, 0, 0, 0))]
    assert {(one.country, one.median_known) for one in found.rated} == {("AR", 5.0), ("UY", 1.0)}
    assert found.validated == 2  # an association counts once, in however many regions
    assert all(isinstance(group.agreement, str) for group in found.groups)  # all the same value


def test_who_left_out_took_back_or_is_no_team_counts_nowhere(project: Project) -> None:
    (item,) = ask(project, (MATE, "AR"))
    rate(project, item, dict.fromkeys(TEAM["AR"], Rating(5)))
    project.ledger.decide("ana_01", excluded="tried it out")
    answer(project, item, "beto_02", Rating(5), status="deleted")
    assert rated(project.ledger, project.settings) == []
    project.ledger.decide("ana_01", excluded="")
    assert [one.raters for one in rated(project.ledger, project.settings)] == [3]
    rate(project, item, {"caro_03": Rating(stop=True)})
    assert rated(project.ledger, project.settings) == []


ratings = st.builds(
    Rating, st.sampled_from(SCALE), st.none() | st.sampled_from(SCALE), st.sampled_from(["", HERE, OTHERS])
)
skips = st.builds(Rating, about=st.sampled_from(["", HERE, OTHERS])) | st.just(Rating(stop=True))


def computed(said: list[tuple[str, Rating]], raters: int = 3) -> list[Rated]:
    """What ratings of one association come to, by the functions that read the ledger."""
    from annotation.stereotypes import ratings as module

    item = item_of(MATE, "AR", 0)
    answers = [Answer(str(n), item.id, f"p{n}", country, "t", rating) for n, (country, rating) in enumerate(said)]
    return module._rate(item, by_group(item, answers), raters)[0]


@given(st.lists(ratings, max_size=12), st.lists(skips, max_size=5))
def test_a_skip_changes_no_distribution(given_ratings: list[Rating], more: list[Rating]) -> None:
    def distributions(said: list[Rating]) -> list[Any]:
        found = computed([("AR", rating) for rating in said])
        return [(one.in_group, one.raters, one.known, one.offensive, one.median_known) for one in found]

    assert distributions(given_ratings) == distributions([*more, *given_ratings]) == distributions(given_ratings + more)


@given(st.lists(ratings, max_size=12))
def test_distributions_count_every_rating_once(given_ratings: list[Rating]) -> None:
    for one in computed([("AR", rating) for rating in given_ratings]):
        own = [r for r in given_ratings if (r.about or HERE) == (HERE if one.in_group else OTHERS)]
        assert one.known == tuple(Counter(r.known for r in own)[value] for value in SCALE)
        offensive = Counter(r.offensive for r in own if r.offensive)
        assert one.offensive == tuple(offensive[value] if offensive.total() >= 3 else 0 for value in SCALE)
        assert sum(one.known) == one.raters >= 3
        values = sorted(r.known or 0 for r in own)
        assert one.median_known == (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def test_points_count_whole_tens_and_no_more_than_one() -> None:
    points = PointSettings().stereotypes
    assert [points.earned(number) for number in (0, 9, 10, 39, 70, 100, 1000)] == [0, 0, 0.1, 0.3, 0.7, 1, 1]


# -- the list -----------------------------------------------------------------------------------------------


def listed(project: Project) -> None:
    """Two regions rated, one association shared, two people consented."""
    items = ask(project, (MATE, "AR"), (MATE, "UY"), (LATE, "UY"))
    for item in items[:2]:
        rate(project, item, dict.fromkeys(TEAM[item.country][:3], Rating(4, 2)))
    share(project, "eva_05", "UY", "madrugan mucho")
    take_shared(project)
    share(project, "fede_06", "UY", "comen temprano")
    add_consents(project.ledger, ["AR", "UY"], 40)
    consents = {item.country: item for item in project.ledger.items(CONSENT)}
    answer(project, consents["UY"], "eva_05", YES)
    answer(project, consents["UY"], "fede_06", YES)
    answer(project, consents["UY"], "gabi_07", NO)


def test_the_list_is_counts_by_region_and_texts_only_where_asked_for(project: Project) -> None:
    listed(project)
    said = annot(project, "stereotypes", "list")
    assert "Consent to see such texts: UY 2." in said
    assert "Shared by the team: 1, 1 wait for `annot stereotypes add --shared`." in said
    assert "1 association rated by 3 people of a region or more: 0 of 1 points of the challenge (0.1 for" in said
    for text in ("mate", "tarde", "madrugan", "temprano"):
        assert text not in said
        assert text not in annot(project, "stereotypes", "list", "--json")
    assert "toman mate" in annot(project, "stereotypes", "list", "--each")
    found = json.loads(annot(project, "stereotypes", "list", "--each", "--json"))
    assert [(one["country"], one["in_group"], one["known"]) for one in found["each"]] == [
        ("AR", True, [0, 0, 0, 3, 0]),
        ("UY", False, [0, 0, 0, 3, 0]),
    ]
    assert [(one["country"], one["target"], one["associations"], one["rated"]) for one in found["groups"]] == [
        ("AR", "AR", 1, 1),
        ("AR", "UY", 1, 0),
        ("UY", "AR", 2, 1),
        ("UY", "UY", 1, 0),
    ]
    assert (found["validated"], found["points"], found["shared"], found["shared_waiting"]) == (1, 0, 1, 1)


def test_a_project_without_stereotypes_says_how_to_begin(project: Project) -> None:
    assert "annot stereotypes add FILE" in annot(project, "stereotypes", "list")
    assert overview(project).as_json(each=True)["each"] == []


def test_nobody_is_named_on_the_list(project: Project) -> None:
    share(project, "eva_05", "UY", "madrugan mucho")
    take_shared(project)
    for item in project.ledger.items(NAME):
        rate(project, item, dict.fromkeys(TEAM["AR"][:3], Rating(4, 2)))
    said = annot(project, "stereotypes", "list", "--each", "--json")
    assert "madrugan mucho" in said
    assert not any(name in said for name in (*TEAM["AR"], *TEAM["UY"]))
