"""Weights of people: known answers, planted people, and what must hold whoever they are."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.ledger import Ledger
from annotation.quality.habits import FINE, count_habits
from annotation.quality.reliability import Reliability, reliability
from annotation.tasks import TASKS
from annotation.types import Answer, Item, Person

Counts = Counter[tuple[str | int, ...]]
Ranks = tuple[float, ...]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    made.add_people([Person("gone", "", "annotator", "MX", ("es",), excluded="the same order always")])
    return made


def agreeing(*knows: float, items: int = 100_000) -> Counts:
    """Counts of people of whom each knows so much, if every two of them shared as many items."""
    counts = Counts()
    for who, own in enumerate(knows):
        others = [of for other, of in enumerate(knows) if other != who]
        share = 0.5 + 0.5 * own * sum(others) / len(others)
        told = {"items": items, "comparisons": 6 * items, "share": share * FINE * items}
        told["square"] = (share**2 + 0.01) * FINE**2 * items
        counts.update({("agrees", "ranking", "MX", f"p{who}", part): round(n) for part, n in told.items()})
    return counts


def ranked(said: Iterable[Mapping[str, Ranks]], country_of: Mapping[str, str] | None = None) -> Counts:
    """Counts of slates, each with the ranks that people gave to its answers."""
    counts = Counts()
    for number, one in enumerate(said):
        units = {
            who: {f"{number}{c}": rank for c, rank in zip("abcd", ranks, strict=False)} for who, ranks in one.items()
        }
        item = Item(f"s{number}", "ranking", number, "MX", "es", "", {"seats": [f"{number}{c}" for c in "abcd"]})
        answers = [Answer(who, item.id, who, (country_of or {}).get(who, "MX"), who, None) for who in one]
        counts.update(count_habits(TASKS["ranking"], item, answers, units, {}))
    return counts


def felt(draw: random.Random, truth: list[float], skill: float) -> Ranks:
    """A ranking of answers by somebody who feels their strength so well."""
    order = sorted(range(len(truth)), key=lambda n: -(skill * truth[n] + draw.gauss(0, 1)))
    return tuple(float(order.index(n)) for n in range(len(truth)))


def planted(seed: int, skills: Mapping[str, float], slates: int, overlap: int) -> list[dict[str, Ranks]]:
    draw = random.Random(seed)
    said = []
    for _ in range(slates):
        truth = [draw.gauss(0, 1) for _ in range(4)]
        said.append({who: felt(draw, truth, skills[who]) for who in draw.sample(sorted(skills), overlap)})
    return said


def in_mexico(counts: Counts, ledger: Ledger) -> Mapping[str, Reliability]:
    return reliability(counts, ledger)["ranking", "MX"]


@pytest.mark.parametrize("knows", [(0.9, 0.6, 0.3), (0.8, 0.8, 0.8, 0.0), (0.7, 0.5, 0.6, 0.9, 0.1)])
def test_what_people_know_is_read_off_who_agrees_with_whom(knows: tuple[float, ...], ledger: Ledger) -> None:
    found = in_mexico(agreeing(*knows), ledger)
    assert [found[f"p{n}"].knows for n in range(len(knows))] == pytest.approx(knows, abs=0.01)


def test_weights_are_log_odds_and_the_typical_person_has_one(ledger: Ledger) -> None:
    found = in_mexico(agreeing(0.9, 0.6, 0.3), ledger)
    assert found["p1"].weight == pytest.approx(1.0)
    assert found["p0"].weight == pytest.approx(log(1.9 / 0.1) / log(1.6 / 0.4), rel=0.03)
    assert found["p2"].weight == pytest.approx(log(1.3 / 0.7) / log(1.6 / 0.4), rel=0.03)
    assert found["p0"].agreement == pytest.approx(0.5 + 0.5 * 0.9 * 0.45, abs=1e-3)
    assert found["p0"].comparisons == 600_000


def test_little_known_people_are_drawn_towards_one(ledger: Ledger) -> None:
    counts = agreeing(0.7, 0.7, 0.7, 0.0)
    few = {key: max(n // 20_000, 1) if key[3] == "p3" else n for key, n in counts.items()}
    many, little = in_mexico(counts, ledger)["p3"], in_mexico(Counter(few), ledger)["p3"]
    assert many.weight < 0.05
    assert many.weight < little.weight < 1
    assert little.high - little.low > many.high - many.low


def test_who_answers_at_random_gets_little_and_who_is_left_out_nothing(ledger: Ledger) -> None:
    skills = {f"p{n}": 2.0 for n in range(6)} | {"random": 0.0, "gone": 2.0}
    found = in_mexico(ranked(planted(1, skills, 300, 5)), ledger)
    assert "gone" not in found
    assert found["random"].weight < 0.4
    assert found["random"].low <= 0.1
    assert min(one.weight for who, one in found.items() if who != "random") > 0.6
    assert all(0 <= one.low <= one.weight <= one.high for one in found.values())


def test_where_nobody_agrees_everybody_counts_alike(ledger: Ledger) -> None:
    found = in_mexico(ranked(planted(2, {f"p{n}": 0.0 for n in range(5)}, 60, 5)), ledger)
    worst = [one.weight for one in in_mexico(agreeing(0.0, 0.0, 0.0), ledger).values()]
    assert worst == [1.0, 1.0, 1.0]
    assert len(found) == 5


def test_people_of_a_small_country_of_another_opinion_weigh_what_others_do(ledger: Ledger) -> None:
    draw, said = random.Random(5), []
    country_of = {f"mx{n}": "MX" for n in range(9)} | {f"bo{n}": "BO" for n in range(3)}
    for _ in range(150):
        truths = {"MX": [draw.gauss(0, 1) for _ in range(4)], "BO": [draw.gauss(0, 1) for _ in range(4)]}
        people = [*draw.sample([f"mx{n}" for n in range(9)], 3), "bo0", "bo1", "bo2"]
        said.append({who: felt(draw, truths[country_of[who]], 2.0) for who in people})
    found = reliability(ranked(said, country_of), ledger)
    assert found.keys() == {("ranking", "MX"), ("ranking", "BO")}
    for people in found.values():
        assert all(0.6 < one.weight < 1.6 for one in people.values())
        assert all(one.knows > 0.5 for one in people.values())


def test_one_person_alone_in_a_country_weighs_one(ledger: Ledger) -> None:
    draw = random.Random(1)
    said = [{"mx": felt(draw, [0.0] * 4, 1.0), "bo": felt(draw, [0.0] * 4, 1.0)} for _ in range(40)]
    found = reliability(ranked(said, {"mx": "MX", "bo": "BO"}), ledger)
    (alone,) = found["ranking", "BO"].values()
    assert (alone.weight, alone.agreement, alone.items) == (1.0, None, 0)


def test_of_answers_that_are_nearly_always_the_same_little_is_learnt(ledger: Ledger) -> None:
    task, counts, draw = TASKS["prompt_check"], Counts(), random.Random(3)
    people = [f"p{n}" for n in range(5)]
    for number in range(400):
        right = "reject" if draw.random() < 0.3 else "accept"
        units = {who: {"": right if draw.random() < 0.9 else draw.choice(["accept", "reject"])} for who in people}
        units["always"] = {"": "accept"}
        item = Item(f"c{number}", "prompt_check", number, "MX", "es", "")
        counts.update(count_habits(task, item, [Answer(w, item.id, w, "MX", w, None) for w in units], units, {}))
        pattern = str(sorted(of[""] for of in units.values())).replace("'", '"')
        counts["units", "prompt_check", "MX", f"[{pattern}]"] += 1
    found = reliability(counts, ledger)["prompt_check", "MX"]
    assert found["p0"].chance == pytest.approx(0.63, abs=0.05)
    assert found["always"].agreement == pytest.approx(0.69, abs=0.05)  # as often as 0.7 of the answers are that one
    assert found["always"].weight < 0.4
    assert found["p0"].weight > 0.7


Team = st.dictionaries(st.sampled_from([f"p{n}" for n in range(6)]), st.floats(0, 3), min_size=3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), Team)
def test_other_names_and_other_seats_change_nothing(ledger: Ledger, seed: int, team: dict[str, float]) -> None:
    said, draw = planted(seed, team, 15, 3), random.Random(seed)
    names = dict(zip(sorted(team), draw.sample([f"n{n}" for n in range(50)], len(team)), strict=True))
    turned = []
    for one in said:
        seats = draw.sample(range(4), 4)
        turned.append({names[who]: tuple(ranks[n] for n in seats) for who, ranks in one.items()})
    before, after = in_mexico(ranked(said), ledger), in_mexico(ranked(turned), ledger)
    assert {names[who] for who in before} == after.keys()
    for who, one in before.items():
        assert after[names[who]].weight == pytest.approx(one.weight, abs=1e-4)
        assert after[names[who]].comparisons == one.comparisons


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 8))
def test_who_says_what_most_say_never_gets_nothing(ledger: Ledger, seed: int, people: int) -> None:
    said = planted(seed, {f"p{n}": 1.0 for n in range(people)}, 12, people)
    for one in said:
        sums = [sum(ranks[n] for ranks in one.values()) for n in range(4)]
        one["most"] = tuple(float(sum(other < own for other in sums)) for own in sums)
    assert in_mexico(ranked(said), ledger)["most"].weight > 0


def test_the_interval_holds_the_weight_of_many_answers_nine_times_in_ten(ledger: Ledger) -> None:
    skills = {f"p{n}": 0.4 + 0.25 * n for n in range(8)}
    exact = in_mexico(ranked(planted(99, skills, 4000, 4)), ledger)
    inside = []
    for seed in range(40):
        found = in_mexico(ranked(planted(seed, skills, 100, 4)), ledger)
        inside += [one.low <= exact[who].weight <= one.high for who, one in found.items()]
    assert 0.8 < sum(inside) / len(inside) < 0.98
