"""Each objective against its definition: every order spelt out in float64, with plain Python numbers."""

import math
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.slates import Comparison, RankedSlate, Ranking, count_votes
from train.engine.losses import Kind, comparison_stats, objective, sft_term, targets

Gradient = list[float]


def log_sum(terms: list[float]) -> float:
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def order_log_probability(rewards: list[float], order: tuple[int, ...]) -> float:
    """Plackett–Luce by definition: each is drawn from what is left."""
    return sum(rewards[first] - log_sum([rewards[a] for a in order[n:]]) for n, first in enumerate(order))


def ranking_loss(rewards: list[float], tiers: tuple[tuple[int, ...], ...]) -> float:
    """All orders that agree with the tiers, one by one."""
    orders = product(*(permutations(tier) for tier in tiers))
    return -log_sum([order_log_probability(rewards, tuple(a for tier in order for a in tier)) for order in orders])


def comparison_loss(rewards: list[float], pair: Comparison) -> float:
    """Mitchell 2023: (1 - s) * -log sigmoid(z) + s * -log sigmoid(-z)."""
    z = rewards[pair.better] - rewards[pair.worse] - pair.margin

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))

    return -(1 - pair.smoothing) * log_sigmoid(z) - pair.smoothing * log_sigmoid(-z)


def slate_loss(rewards: list[float], slate: RankedSlate, kind: Kind) -> float:
    if kind == "pairwise":
        return slate.weight * sum(pair.weight * comparison_loss(rewards, pair) for pair in slate.comparisons)
    return slate.weight * sum(ranking.weight * ranking_loss(rewards, ranking.tiers) for ranking in slate.rankings)


def reference(rewards: list[list[float]], slates: list[RankedSlate], kind: Kind) -> tuple[float, Gradient]:
    """The loss, and its gradient by central differences of the same definition."""
    step, gradient = 1e-6, []
    for own, slate in zip(rewards, slates, strict=True):
        for answer in range(len(own)):
            moved = [[*own[:answer], own[answer] + way, *own[answer + 1 :]] for way in (step, -step)]
            up, down = (slate_loss(row, slate, kind) for row in moved)
            gradient.append((up - down) / (2 * step))
    return sum(slate_loss(own, slate, kind) for own, slate in zip(rewards, slates, strict=True)), gradient


def ours(rewards: list[list[float]], slates: list[RankedSlate], kind: Kind) -> tuple[float, Gradient]:
    flat = torch.tensor([reward for own in rewards for reward in own], dtype=torch.float64, requires_grad=True)
    loss = objective(flat, targets(slates, kind))
    loss.backward()
    assert flat.grad is not None
    return float(loss.detach()), flat.grad.tolist()


def slate_of(tiers: list[tuple[tuple[int, ...], ...]], size: int, *, weight: float = 1.0) -> RankedSlate:
    """A slate that some people ranked; its comparisons are their counted votes."""
    rankings = tuple(Ranking(order, 1 / len(tiers)) for order in tiers)
    answers = tuple(f"respuesta {n}" for n in range(size))
    return RankedSlate("s", "¿Qué?", answers, rankings, count_votes(rankings), people=len(tiers), weight=weight)


@st.composite
def judged_slates(draw: st.DrawFn, most: int = 5) -> RankedSlate:
    """Two to five answers, one to four people; ties and answers that were not ranked among them."""
    size = draw(st.integers(2, most))
    people = []
    for _ in range(draw(st.integers(1, 4))):
        ranks = draw(st.lists(st.one_of(st.none(), st.integers(1, size)), min_size=size, max_size=size))
        levels = sorted({rank for rank in ranks if rank is not None})
        people.append(tuple(tuple(a for a, rank in enumerate(ranks) if rank == level) for level in levels))
    slate = slate_of(people, size, weight=draw(st.floats(0.1, 3)))
    margins = draw(st.lists(st.floats(0, 2), min_size=len(slate.comparisons), max_size=len(slate.comparisons)))
    compared = tuple(replace(pair, margin=m, weight=1 + m) for pair, m in zip(slate.comparisons, margins, strict=True))
    return replace(slate, comparisons=compared)


@settings(max_examples=60, deadline=None)
@given(st.lists(judged_slates(), min_size=1, max_size=4), st.sampled_from(["pairwise", "plackett_luce"]), st.data())
def test_loss_and_gradient_are_those_of_the_definition(
    slates: list[RankedSlate], kind: Kind, data: st.DataObject
) -> None:
    reward = st.floats(-8, 8)
    rewards = [data.draw(st.lists(reward, min_size=len(s.answers), max_size=len(s.answers))) for s in slates]
    loss, gradient = ours(rewards, slates, kind)
    expected, slope = reference(rewards, slates, kind)
    assert loss == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert gradient == pytest.approx(slope, abs=1e-5)
    # As the engine calls it: rewards in float32.
    low = torch.tensor([r for own in rewards for r in own], dtype=torch.float32, requires_grad=True)
    once = objective(low, targets(slates, kind))
    once.backward()
    assert float(once.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert low.grad is not None
    assert low.grad.tolist() == pytest.approx(slope, abs=1e-5)


@given(st.floats(-30, 30), st.floats(-30, 30), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
def test_on_two_answers_the_listwise_loss_is_the_pairwise_and_that_is_dpo(
    one: float, other: float, ahead: int, behind: int, ties: int
) -> None:
    people = [((0,), (1,))] * ahead + [((1,), (0,))] * behind + [((0, 1),)] * ties
    if ahead == behind:
        return
    slate = slate_of(people, 2)
    means = []
    for kind in ("plackett_luce", "pairwise"):
        loss, gradient = ours([[one, other]], [slate], kind)
        count = targets([slate], kind).count
        means.append([loss / count, *(number / count for number in gradient)])
    assert means[0] == pytest.approx(means[1], abs=1e-9)
    if not behind:
        dpo = -torch.nn.functional.logsigmoid(torch.tensor(one - other, dtype=torch.float64))
        assert means[0][0] == pytest.approx(float(dpo), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(judged_slates(), st.data())
def test_ties_and_the_order_of_seats_change_nothing_that_they_should_not(
    slate: RankedSlate, data: st.DataObject
) -> None:
    size = len(slate.answers)
    rewards = data.draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size))
    loss, gradient = ours([rewards], [slate], "plackett_luce")
    # Shuffled seats.
    seat = data.draw(st.permutations(range(size)))
    moved = [Ranking(tuple(tuple(seat[a] for a in t) for t in r.tiers), r.weight) for r in slate.rankings]
    shuffled = RankedSlate("s", "¿Qué?", slate.answers, tuple(moved), (), weight=slate.weight)
    there = [0.0] * size
    for answer, place in enumerate(seat):
        there[place] = rewards[answer]
    again, slope = ours([there], [shuffled], "plackett_luce")
    assert again == pytest.approx(loss, abs=1e-9)
    assert [slope[place] for place in seat] == pytest.approx(gradient, abs=1e-9)
    # A constant added to all rewards of a slate; the gradient sums to zero for the same reason.
    assert ours([[r + 3 for r in rewards]], [slate], "plackett_luce")[0] == pytest.approx(loss, abs=1e-9)
    assert sum(gradient) == pytest.approx(0, abs=1e-9)


def test_probabilities_of_all_rankings_with_ties_resolved_sum_to_one() -> None:
    rewards = [0.3, -1.0, 2.0, 0.0]
    orders = [tuple((a,) for a in order) for order in permutations(range(4))]
    assert sum(math.exp(-ours([rewards], [slate_of([o], 4)], "plackett_luce")[0]) for o in orders) == pytest.approx(1)
    # Of two answers on top, nobody knows which is better: the probability is that of either order.
    tied = ours([rewards], [slate_of([((0, 2), (1,), (3,))], 4)], "plackett_luce")[0]
    either = [((0,), (2,), (1,), (3,)), ((2,), (0,), (1,), (3,))]
    assert math.exp(-tied) == pytest.approx(
        sum(math.exp(-ours([rewards], [slate_of([o], 4)], "plackett_luce")[0]) for o in either)
    )
    assert ours([rewards], [slate_of([((0, 1, 2, 3),)], 4)], "plackett_luce") == (0.0, [0.0] * 4)


def test_a_known_answer_by_hand() -> None:
    """Three equal answers: any full order has probability 1/6, "best of three" 1/3, "worst of three" 1/3."""
    for tiers, probability in (
        (((0,), (1,), (2,)), 1 / 6),
        (((0,), (1, 2)), 1 / 3),
        (((0, 1), (2,)), 1 / 3),
    ):
        assert ours([[0.0] * 3], [slate_of([tiers], 3)], "plackett_luce")[0] == pytest.approx(-math.log(probability))


@pytest.mark.parametrize("kind", ["pairwise", "plackett_luce"])
@pytest.mark.parametrize("size", [1e4, -1e4, 1e30])
def test_extreme_rewards_give_finite_losses_and_gradients(kind: Kind, size: float) -> None:
    slate = slate_of([((0,), (1, 2), (3,)), ((3, 0), (2,), (1,)), ((2,), (1,), (0,), (3,))], 4)
    for rewards in ([size, 0.0, 0.0, -size], [0.0, size, size, size], [size] * 4):
        flat = torch.tensor(rewards, dtype=torch.float32, requires_grad=True)
        loss = objective(flat, targets([slate], kind))
        loss.backward()
        assert flat.grad is not None
        assert torch.isfinite(loss)
        assert torch.isfinite(flat.grad).all()
        assert flat.grad.abs().max() <= 12
    # Far ahead and right: nothing to learn. Far behind: a gradient of one, not of rewards.
    right = slate_of([((0,), (1,))], 2)
    assert ours([[1e4, -1e4]], [right], kind) == (0.0, [0.0, 0.0])
    loss, gradient = ours([[-1e4, 1e4]], [right], kind)
    assert loss == pytest.approx(2e4)
    assert gradient == [-1.0, 1.0]


def test_a_slate_counts_once_however_many_people_said_the_same() -> None:
    order = ((2,), (0, 1), (3,))
    one, many = slate_of([order], 4), slate_of([order] * 5, 4)
    rewards = [[0.1, 0.5, -0.2, 0.0]]
    (loss, gradient), (other, slope) = (ours(rewards, [slate], "plackett_luce") for slate in (one, many))
    assert (other, slope) == (pytest.approx(loss), pytest.approx(gradient))
    assert targets([one], "plackett_luce").count == pytest.approx(targets([many], "plackett_luce").count) == 2


def test_the_weight_of_a_slate_scales_its_gradient_and_not_the_count() -> None:
    order = [((1,), (0,), (2,))]
    whole, fifth = slate_of(order, 3), slate_of(order, 3, weight=0.2)
    rewards = [[0.4, 0.0, -0.3]]
    for kind in ("pairwise", "plackett_luce"):
        loss, gradient = ours(rewards, [whole], kind)
        less, slope = ours(rewards, [fifth], kind)
        assert less == pytest.approx(0.2 * loss)
        assert slope == pytest.approx([0.2 * number for number in gradient])
        counts = [targets([slate], kind).count for slate in (whole, fifth)]
        assert counts == [3 if kind == "pairwise" else 2] * 2


def test_batches_split_anywhere_sum_to_the_same() -> None:
    chance = np.random.default_rng(0)
    slates = [slate_of([((0,), (1, 2)), ((2,), (0,), (1,))], 3), slate_of([((1,), (0,))], 2)] * 3
    rewards = [chance.normal(size=len(slate.answers)).tolist() for slate in slates]
    for kind in ("pairwise", "plackett_luce"):
        whole, gradient = ours(rewards, slates, kind)
        parts = [ours([own], [slate], kind) for own, slate in zip(rewards, slates, strict=True)]
        assert sum(loss for loss, _ in parts) == pytest.approx(whole)
        assert [number for _, own in parts for number in own] == pytest.approx(gradient)
        assert sum(targets([s], kind).count for s in slates) == pytest.approx(targets(slates, kind).count)


def test_the_sft_term_is_the_mean_log_loss_per_token_of_what_is_imitated() -> None:
    order = [((1,), (0,))]
    slates = [replace(slate_of(order, 2), target=1, weight=2.0), slate_of(order, 2)]
    log_probs = torch.tensor([-7.0, -12.0, -3.0, -4.0], requires_grad=True)
    found = targets(slates, "pairwise")
    term = sft_term(log_probs, torch.tensor([7, 4, 3, 2]), found)
    term.backward()
    assert (float(term.detach()), found.sft_count) == (2.0 * 12 / 4, 1)
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [0.0, -0.5, 0.0, 0.0]


def test_comparison_stats_counts_leads_and_halves_draws() -> None:
    slates = [slate_of([((0,), (1,), (2,))], 3), slate_of([((1,), (0,))], 2)]
    rewards = torch.tensor([1.0, 0.0, 0.0, 3.0, 1.0])
    right, ahead, count = comparison_stats(rewards, targets(slates, "plackett_luce"))
    assert (right, ahead, count) == (2.5, 1.0 + 1.0 + 0.0 - 2.0, 4)


def test_a_batch_that_says_nothing_has_a_gradient_of_zero() -> None:
    for kind in ("pairwise", "plackett_luce"):
        assert ours([[1.0, 2.0]], [slate_of([((0, 1),)], 2)], kind) == (0.0, [0.0, 0.0])


def test_eight_tied_answers_are_told_from_one_worse_in_reasonable_time() -> None:
    """9! orders would be 362,880; the recursion looks at 256 sets. Equal rewards: the worse is last with 1/9."""
    loss, gradient = ours([[0.0] * 9], [slate_of([(tuple(range(8)), (8,))], 9)], "plackett_luce")
    assert loss == pytest.approx(math.log(9))
    assert gradient[:8] == pytest.approx([gradient[0]] * 8)
