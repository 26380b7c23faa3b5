"""Quotas are counted from stored judgements."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from projects import ranking_values

from annotation.config import Settings, check_settings
from annotation.ledger import Ledger, Response
from annotation.prompts.review import add_checks
from annotation.quota_groups import plan_quotas
from annotation.tally import count
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Judgement, Person, Prompt, Slate
from sync.quotas import QuotaState, all_met, capped, count_quotas, short_teams

FOOD = Prompt.make("¿Qué se come en una posada?", country="MX", language="es", topic="comida")
SCHOOL = Prompt.make("¿Cómo se saluda al maestro?", country="MX", language="es", topic="escuela")
FEAST = Prompt.make("O que levar à festa junina?", country="BR", language="pt", topic="festas")
PROMPTS = (FOOD, SCHOOL, FEAST)
SLATES = [Slate(f"s{n}", p.id, ("a", "b"), n) for n, p in enumerate(PROMPTS)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.sqlite")
    made.add_prompts(PROMPTS)
    add_slates(made, SLATES)
    return made


def settings_of(**quota: object) -> Settings:
    return check_settings({"task": {"ranking": quota}}, place="test")


def vote(ledger: Ledger, slate: str, *people: str) -> None:
    """A submitted ranking by each; who is named twice has ranked the slate in two datasets."""
    raw = json.dumps({"values": ranking_values(Judgement((("a",), ("b",))), SLATES[int(slate[1:])])})
    moment = "2026-01-01T00:00:00.000000+00:00"
    ledger.add_people([Person(who, "", "annotator", "MX", ("es",), active=False) for who in people])
    ledger.add_responses(
        "test",
        [Response(f"{slate}{n}", slate, who, "MX", "submitted", moment, raw) for n, who in enumerate(people)],
    )


def states(ledger: Ledger, settings: Settings) -> tuple[QuotaState, ...]:
    return count_quotas(settings, count(ledger, settings))


def test_a_slate_is_complete_when_enough_different_people_judged_it(ledger: Ledger) -> None:
    settings = settings_of(target=1, overlap=2)
    vote(ledger, "s0", "p1", "p1")
    once = states(ledger, settings)
    assert [(s.quota.country, s.completed) for s in once] == [("BR", 0), ("MX", 0)]
    vote(ledger, "s0", "p1", "p1", "p2")
    twice = states(ledger, settings)
    assert [(s.quota.country, s.completed, s.people) for s in twice] == [("BR", 0, 0), ("MX", 1, 2)]
    assert not all_met(twice)


def test_more_people_than_asked_complete_a_slate_once(ledger: Ledger) -> None:
    vote(ledger, "s0", "p1", "p2", "p3")
    found = states(ledger, settings_of(target=2, overlap=1))
    assert [(s.quota.country, s.items, s.completed, s.answers) for s in found] == [("BR", 1, 0, 0), ("MX", 2, 1, 3)]


def test_a_prompt_of_a_country_that_the_project_does_not_name_owes_nothing(ledger: Ledger) -> None:
    settings = check_settings({"project": {"countries": ["MX"]}, "task": {"ranking": {"target": 1}}}, place="test")
    assert [state.quota.country for state in states(ledger, settings)] == ["MX"]
    named = settings_of(target=1, group=[{"country": "BR", "target": 3}])
    assert {state.quota.country: state.quota.target for state in states(ledger, named)} == {"MX": 1, "BR": 3}


def test_groups_can_be_topics_and_have_targets_of_their_own(ledger: Ledger) -> None:
    by_topic = settings_of(
        by="country+topic", target=5, overlap=1, group=[{"country": "MX", "topic": "comida", "target": 1}]
    )
    assert [(q.task, q.country, q.topic, q.target) for q in plan_quotas(by_topic, PROMPTS)] == [
        ("ranking", "BR", "festas", 5),
        ("ranking", "MX", "comida", 1),
        ("ranking", "MX", "escuela", 5),
    ]
    vote(ledger, "s0", "p1", "p2")
    vote(ledger, "s1", "p2")
    found = [(s.group, s.items, s.completed, s.answers, s.people) for s in states(ledger, by_topic)]
    assert found == [("BR · festas", 1, 0, 0, 0), ("MX · comida", 1, 1, 2, 2), ("MX · escuela", 1, 1, 1, 1)]


def test_a_slate_counts_for_every_group_that_it_belongs_to(ledger: Ledger) -> None:
    groups = [{"country": "MX", "topic": "comida", "target": 1}, {"country": "MX", "language": "es", "target": 2}]
    vote(ledger, "s0", "p1")
    vote(ledger, "s1", "p1")
    found = [(s.group, s.completed, s.answers, s.people) for s in states(ledger, settings_of(overlap=1, group=groups))]
    assert found == [("BR", 0, 0, 0), ("MX", 2, 2, 1), ("MX · es", 2, 2, 1), ("MX · comida", 1, 1, 1)]


def test_a_group_with_target_zero_owes_nothing() -> None:
    quotas = plan_quotas(settings_of(target=1, group=[{"country": "BR", "target": 0}]), PROMPTS)
    assert [q.country for q in quotas] == ["MX"]


def test_a_country_without_prompts_still_owes_its_quota(ledger: Ledger) -> None:
    raw = {"project": {"countries": ["BR", "MX", "PE"]}, "task": {"ranking": {"target": 1}}}
    settings = check_settings(raw, place="test")
    assert [q.country for q in plan_quotas(settings, [FOOD])] == ["BR", "MX", "PE"]
    vote(ledger, "s0", *"xyz")
    vote(ledger, "s2", *"xyz")
    found = states(ledger, settings)
    assert [(s.quota.country, s.met) for s in found] == [("BR", True), ("MX", True), ("PE", False)]
    assert not all_met(found)


def test_a_group_owes_only_what_exists_where_nothing_more_can_come(ledger: Ledger) -> None:
    settings, counts = settings_of(target=5, overlap=1), lambda: count(ledger, settings_of(target=5, overlap=1))
    nothing: dict[str, list[Prompt]] = {"ranking": [], "prompt_check": []}
    before = count_quotas(settings, counts(), nothing)
    assert [(s.group, s.owed, s.met) for s in before] == [("BR", 1, False), ("MX", 2, False)]
    assert "BR 1 of 5, MX 2 of 5" in capped(before, auto=True)
    for slate in ("s0", "s1", "s2"):
        vote(ledger, slate, "p1")
    assert all_met(count_quotas(settings, counts(), nothing))
    lifted = count_quotas(settings, counts(), {**nothing, "ranking": [FOOD]})
    assert [(s.group, s.owed, s.met) for s in lifted] == [("BR", 1, True), ("MX", 5, False)]
    assert capped(count_quotas(settings_of(target=1), counts(), nothing), auto=True) == ""
    absent = check_settings({"project": {"countries": ["PE"]}, "task": {"ranking": {"target": 5}}}, place="test")
    assert [(s.group, s.owed, s.met) for s in count_quotas(absent, counts(), nothing)] == [("PE", 5, False)]


def test_a_project_without_quotas_has_met_none(ledger: Ledger) -> None:
    assert not all_met(())
    assert not all_met(states(ledger, settings_of(target=0)))


def test_a_team_that_can_complete_no_slate_is_told_with_the_remedy(ledger: Ledger) -> None:
    settings = settings_of(target=1, overlap=3)
    people = [Person(f"mx_{n}", "", "annotator", "MX", ("es",)) for n in range(3)]
    people += [Person("lead", "", "admin", "BR", ("pt",)), Person("br_1", "", "annotator", "BR", ("pt",), active=False)]
    before = states(ledger, settings)
    assert short_teams(before, ledger) == ()
    ledger.add_people(people)
    (brazil,) = short_teams(before, ledger)
    assert brazil.startswith("3 people per slate are asked for (task.ranking.overlap), and BR has only 0: add people")
    vote(ledger, "s2", "p1", "p2", "p3")
    assert short_teams(states(ledger, settings), ledger) == ()
    ledger.add_people([replace(people[0], active=False)])
    (mexico,) = short_teams(states(ledger, settings), ledger)
    assert "MX has only 2" in mexico


def test_who_wrote_a_prompt_does_not_count_among_those_who_can_check_it(ledger: Ledger) -> None:
    ledger.add_people([Person(f"mx_{n}", "", "annotator", "MX", ("es",)) for n in range(3)])
    ledger.add_prompts([replace(FOOD, id="hers", author="mx_1")])
    add_checks(ledger)
    short = short_teams(states(ledger, settings_of(target=0)), ledger)
    (mexico,) = [sentence for sentence in short if "MX" in sentence]
    assert mexico.startswith(
        "3 people per prompt are asked for (task.prompt_check.overlap), nobody about their own, and MX"
    )
    ledger.add_people([Person("mx_4", "", "annotator", "MX", ("es",))])
    assert not [sentence for sentence in short_teams(states(ledger, settings_of(target=0)), ledger) if "MX" in sentence]
