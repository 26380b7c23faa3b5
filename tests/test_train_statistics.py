"""Statistics answer questions whose answer is known: from a textbook, from scipy, or from arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from annotation.errors import NotEnoughOverlap
from train.evaluate.gate import GroupResult, judge
from train.statistics import distinct_share, mean_over_prompts, places, repeated_share, signs, tau_b

tied_orders = st.integers(2, 7).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, 3), min_size=size, max_size=size) for _ in range(2)))
)


@given(tied_orders)
def test_tau_b_is_that_of_scipy_ties_included(orders: tuple[list[int], list[int]]) -> None:
    one, other = (np.array(order, dtype=float) for order in orders)
    assert tau_b(one, other) == pytest.approx(kendalltau(one, other, variant="b").statistic, nan_ok=True)


def test_tau_b_of_a_worked_example() -> None:
    # The example of SciPy's documentation, and one by hand: of ten pairs 7 agree and none disagrees, one is tied on the
    # left, two on the right, so 7 / sqrt(9 * 8).
    assert tau_b(np.array([12.0, 2, 1, 12, 2]), np.array([1.0, 4, 7, 1, 0])) == pytest.approx(-0.47140452079103173)
    assert tau_b(np.array([1.0, 2, 3, 4, 4]), np.array([1.0, 1, 2, 4, 2])) == pytest.approx(7 / 72**0.5)
    assert np.isnan(tau_b(np.zeros(4), np.arange(4.0)))


def test_tiers_become_places_and_what_was_not_ranked_stays_out() -> None:
    found = places(((2,), (0, 3)), 5)
    assert found[2] > found[0] == found[3]
    assert np.isnan(found[[1, 4]]).all()
    assert signs(np.array([1.0, 3.0, 3.0])).tolist() == [-1.0, -1.0, 0.0]


def test_weights_count_like_copies() -> None:
    values, names = np.array([1.0, 0.0, 0.5, 1.0]), ["a", "b", "b", "c"]
    weights = np.array([2.0, 1.0, 3.0, 1.0])
    copies = np.repeat(np.arange(4), weights.astype(int))
    weighted = mean_over_prompts(values, names, weights)
    copied = mean_over_prompts(values[copies], [names[i] for i in copies])
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx((copied.value, copied.low, copied.high))
    assert (weighted.count, weighted.prompts, copied.count) == (4, 3, 7)
    with pytest.raises(NotEnoughOverlap):
        mean_over_prompts(values, names, np.zeros(4))


def test_the_interval_of_a_weighted_mean_covers_the_truth_nineteen_times_in_twenty() -> None:
    # Prompts have 1 to 4 votes and a mean of their own; the weighted mean over the population is 0.6.
    chance = np.random.default_rng(2)
    covered = 0
    for trial in range(300):
        votes = chance.integers(1, 5, size=50)
        right = chance.binomial(votes, chance.beta(6, 4, size=50)) / votes
        found = mean_over_prompts(right, [str(i) for i in range(50)], votes.astype(float), seed=trial)
        covered += found.low <= 0.6 <= found.high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_interval_is_the_binomial_one_when_every_value_has_its_own_prompt() -> None:
    found = mean_over_prompts((np.arange(400) < 280).astype(float), [str(i) for i in range(400)])
    error = 1.96 * (0.7 * 0.3 / 400) ** 0.5
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - error, abs=0.006)
    assert found.high == pytest.approx(0.7 + error, abs=0.006)


def test_the_interval_knows_that_values_of_one_prompt_go_together() -> None:
    right = np.repeat((np.arange(50) < 35).astype(float), 8)
    alone = mean_over_prompts(right, [str(i) for i in range(400)])
    together = mean_over_prompts(right, [str(i // 8) for i in range(400)])
    assert (together.count, together.prompts) == (400, 50)
    # Eight copies of a coin are one coin: the interval is sqrt(8) times as wide.
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(8**0.5, rel=0.15)


def test_equal_values_have_an_interval_with_a_width() -> None:
    fourteen = [str(i) for i in range(14)]
    found = mean_over_prompts(np.ones(14), fourteen, within=(0, 1))
    # Wilson's for 14 of 14: 14 / (14 + 1.96²).
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 14 / (14 + 1.959964**2), 1.0))
    assert str(found) == "100.0% [78.5%, 100.0%]"
    # Four votes a prompt that go together say no more than one each, and one prompt of great weight says less.
    assert mean_over_prompts(np.ones(56), fourteen * 4, within=(0, 1)).low == pytest.approx(found.low)
    heavy = np.array([13.0] + [1.0] * 13)
    assert mean_over_prompts(np.ones(14), fourteen, heavy, within=(0, 1)).low < 0.5
    none = mean_over_prompts(np.zeros(14), fourteen, within=(-1, 1))
    assert -none.low == pytest.approx(none.high) == pytest.approx(0.464, abs=1e-3)
    assert mean_over_prompts(np.ones(14), fourteen).interval(".2f") == "[1.00, 1.00]"


def test_a_handful_of_prompts_shows_no_interval() -> None:
    assert mean_over_prompts(np.array([0.0, 1, 0, 1]), list("abcd"), within=(0, 1)).interval(".2f") == "[–]"
    assert mean_over_prompts(np.array([0.0, 1, 0, 1, 1]), list("abcde"), within=(0, 1)).interval(".2f") != "[–]"


def test_an_interval_is_the_same_however_much_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values, names = np.linspace(0, 1, 30), [str(i % 7) for i in range(30)]
    whole = mean_over_prompts(values, names)
    monkeypatch.setattr("train.statistics.DRAWN_AT_ONCE", 50)
    assert mean_over_prompts(values, names) == whole


def test_repetition_as_in_the_papers() -> None:
    # "a b c d a b c d": five 4-grams, the last is the first again.
    assert repeated_share([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repeated_share([7] * 10) == pytest.approx(6 / 7)
    assert repeated_share([1, 2, 3]) == 0.0
    # Bigrams 12 23 | 12: two different ones of three.
    assert distinct_share([[1, 2, 3], [1, 2]]) == pytest.approx(2 / 3)
    assert np.isnan(distinct_share([[1], []]))


def test_the_worst_group_that_is_large_enough_decides() -> None:
    good, bad, few = (
        GroupResult("country MX", 0.55, 30),
        GroupResult("country BR", 0.48, 30),
        GroupResult("country AR", 0.1, 19),
    )
    passed = judge([good, few], least=0.5, least_items=20)
    assert (passed.verdict, passed.worst, passed.open) == ("passed", "country MX", True)
    failed = judge([good, bad, few], least=0.5, least_items=20)
    assert (failed.verdict, failed.worst, failed.open) == ("failed", "country BR", False)
    assert "48.0%" in failed.reason
    unknown = judge([few], least=0.5, least_items=20)
    assert (unknown.verdict, unknown.worst, unknown.open) == ("undecided", "", False)
    assert (
        "asks for 20 held-out prompts in a group that is judged, and the largest, country AR, has 19" in unknown.reason
    )
    at_the_line = judge([GroupResult("country MX", 0.5, 30)], least=0.5, least_items=20)
    assert at_the_line.verdict == "failed"


def test_many_groups_without_effect_pass_together_less_often_than_one() -> None:
    """The claim behind judging every group at the same level: all must pass, so nothing has to be corrected."""
    chance, passed = np.random.default_rng(3), 0
    names = [str(i) for i in range(25)]
    for _ in range(200):
        lows = [mean_over_prompts(chance.random(25), names).low for _ in range(2)]
        passed += judge([GroupResult(str(i), low, 25) for i, low in enumerate(lows)], least=0.5, least_items=20).open
    assert passed / 200 <= 0.025
