"""Quotas are counted from stored judgements."""

from annotation.config import Settings, check_settings
from annotation.quota_groups import plan_quotas
from annotation.types import Judgement, Person, Prompt, Slate
from sync.quotas import all_met, count_quotas, short_teams

FOOD = Prompt.make("¿Qué se come en una posada?", country="MX", language="es", topic="comida")
SCHOOL = Prompt.make("¿Cómo se saluda al maestro?", country="MX", language="es", topic="escuela")
FEAST = Prompt.make("O que levar à festa junina?", country="BR", language="pt", topic="festas")
PROMPTS = {p.id: p for p in (FOOD, SCHOOL, FEAST)}
SLATES = [Slate(f"s{n}", p.id, ("a", "b"), n) for n, p in enumerate(PROMPTS.values())]


def settings_of(**quota: object) -> Settings:
    return check_settings({"quota": quota}, place="test")


def vote(slate: str, who: str) -> Judgement:
    return Judgement(f"{slate}{who}", slate, who, "MX", (("a",), ("b",)))


def test_a_slate_is_complete_when_enough_different_people_judged_it() -> None:
    quotas = plan_quotas(settings_of(target=1, overlap=2), PROMPTS.values())
    once = count_quotas(quotas, SLATES, PROMPTS, [vote("s0", "p1"), vote("s0", "p1")])
    twice = count_quotas(quotas, SLATES, PROMPTS, [vote("s0", "p1"), vote("s0", "p2")])
    assert [(s.quota.country, s.completed) for s in once] == [("BR", 0), ("MX", 0)]
    assert [(s.quota.country, s.completed, s.people) for s in twice] == [("BR", 0, 0), ("MX", 1, 2)]
    assert not all_met(twice)


def test_more_people_than_asked_complete_a_slate_once() -> None:
    quotas = plan_quotas(settings_of(target=2, overlap=1), PROMPTS.values())
    state = count_quotas(quotas, SLATES, PROMPTS, [vote("s0", who) for who in ("p1", "p2", "p3")])
    assert [(s.quota.country, s.completed, s.judgements) for s in state] == [("BR", 0, 0), ("MX", 1, 3)]


def test_groups_can_be_topics_and_have_targets_of_their_own() -> None:
    by_topic = settings_of(by="country+topic", target=5, group=[{"country": "MX", "topic": "comida", "target": 1}])
    quotas = plan_quotas(by_topic, PROMPTS.values())
    assert [(q.country, q.topic, q.target) for q in quotas] == [
        ("BR", "festas", 5),
        ("MX", "comida", 1),
        ("MX", "escuela", 5),
    ]


def test_a_group_with_target_zero_owes_nothing() -> None:
    quotas = plan_quotas(settings_of(target=1, group=[{"country": "BR", "target": 0}]), PROMPTS.values())
    assert [q.country for q in quotas] == ["MX"]


def test_a_country_without_prompts_still_owes_its_quota() -> None:
    settings = check_settings({"project": {"countries": ["PE"]}, "quota": {"target": 1}}, place="test")
    quotas = plan_quotas(settings, [FOOD])
    assert [q.country for q in quotas] == ["MX", "PE"]
    states = count_quotas(quotas, SLATES[:1], PROMPTS, [vote("s0", w) for w in "xyz"])
    assert not all_met(states)


def test_a_project_without_quotas_has_met_none() -> None:
    assert not all_met(())


def test_a_team_that_can_complete_no_slate_is_told_with_the_remedy() -> None:
    quotas = plan_quotas(settings_of(target=1, overlap=3), PROMPTS.values())
    people = [Person(f"mx_{n}", "", "annotator", "MX", ("es",)) for n in range(3)]
    people += [Person("lead", "", "admin", "BR", ("pt",)), Person("br_1", "", "annotator", "BR", ("pt",), active=False)]
    states = count_quotas(quotas, SLATES, PROMPTS, [])
    assert short_teams(states, []) == ()
    (brazil,) = short_teams(states, people)
    assert brazil.startswith("3 people per slate are asked for (quota.overlap), and BR has only 0: add people")
    assert len(short_teams(states, people[1:])) == 2
    met = count_quotas(quotas, SLATES, PROMPTS, [vote("s2", who) for who in ("p1", "p2", "p3")])
    assert short_teams(met, people) == ()
