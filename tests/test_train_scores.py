"""Log-probs equal the plain definition; accuracies and their intervals answer questions whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_snapshots import preference_rows, write_snapshot

from annotation.errors import NotEnoughOverlap
from train.dataset import Pair, read_pairs, texts
from train.encoding import encode
from train.report import measure_outcome
from train.scores import LogProbs, accuracy_change, log_probs, margins, pair_accuracy
from train.tiny_model import make_tiny_base


@pytest.mark.parametrize("limit", [1024, 30])
def test_log_probs_in_batches_equal_one_by_one_in_float64(tmp_path: Path, limit: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs = read_pairs(write_snapshot(tmp_path, "abc", preference_rows(5))).pairs
    folder = make_tiny_base(tmp_path / "base", texts(pairs), seed=3)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [encode(pair, tokenizer) for pair in pairs]
    model.train()  # The function itself must switch to evaluation.
    found = log_probs(model, rows, pad=tokenizer.pad_token_id, limit=limit, batch=3)
    exact = model.double().eval()
    for index, row in enumerate(rows):
        for answer, sums, counts in (
            (row.chosen, found.chosen, found.chosen_tokens),
            (row.rejected, found.rejected, found.rejected_tokens),
        ):
            ids = (row.prompt + answer)[:limit]
            with torch.no_grad():
                scores = exact(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            wanted = sum(float(scores[i - 1, ids[i]]) for i in range(len(row.prompt), len(ids)))
            assert sums[index] == pytest.approx(wanted, abs=1e-4)
            assert counts[index] == len(ids) - len(row.prompt)


def scored(chosen: list[float], rejected: list[float], tokens: tuple[float, float] = (1, 1)) -> LogProbs:
    size = len(chosen)
    return LogProbs(np.array(chosen), np.array(rejected), np.full(size, tokens[0]), np.full(size, tokens[1]))


def test_the_three_measures_say_what_they_claim() -> None:
    before = scored([-10.0, -10.0], [-8.0, -12.0], tokens=(5, 2))
    after = scored([-9.0, -10.0], [-9.0, -10.0], tokens=(5, 2))
    ahead = margins(before, after, beta=0.5)
    assert ahead["summed"]["before"].tolist() == [-2.0, 2.0]
    assert ahead["per_token"]["before"].tolist() == [2.0, 4.0]  # -10 / 5 against -8 / 2 and -12 / 2
    assert ahead["implicit_reward"]["after"].tolist() == [1.0, -1.0]  # 0.5 * ((-9 + 10) - (-9 + 8)), ...
    assert ahead["implicit_reward"]["before"].tolist() == [0.0, 0.0]


def test_a_draw_counts_half_and_nothing_counts_is_an_error() -> None:
    assert pair_accuracy(np.array([1.0, -1.0, 0.0, 0.0]), ["a", "b", "c", "d"]).value == 0.5
    assert pair_accuracy(np.zeros(3), ["a", "b", "c"]).low == 0.5
    with pytest.raises(NotEnoughOverlap):
        pair_accuracy(np.array([]), [])


def test_the_interval_is_the_binomial_one_when_every_pair_has_its_own_prompt() -> None:
    ahead = np.where(np.arange(400) < 280, 1.0, -1.0)
    found = pair_accuracy(ahead, [str(i) for i in range(400)])
    error = 1.96 * (0.7 * 0.3 / 400) ** 0.5
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - error, abs=0.006)
    assert found.high == pytest.approx(0.7 + error, abs=0.006)


def test_the_interval_knows_that_pairs_of_one_prompt_go_together() -> None:
    ahead = np.repeat(np.where(np.arange(50) < 35, 1.0, -1.0), 8)
    alone = pair_accuracy(ahead, [str(i) for i in range(400)])
    together = pair_accuracy(ahead, [str(i // 8) for i in range(400)])
    assert (together.count, together.prompts) == (400, 50)
    # Eight copies of a coin are one coin: the interval is sqrt(8) times as wide.
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(8**0.5, rel=0.15)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    chance = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        ease = chance.beta(8, 4, size=60)  # prompts differ in how hard they are; the mean is 2/3
        right = chance.random((60, 4)) < ease[:, None]
        found = pair_accuracy(
            np.where(right, 1.0, -1.0).ravel(), [str(i) for i in range(60) for _ in range(4)], seed=trial
        )
        covered += found.low <= 2 / 3 <= found.high
    assert 0.90 <= covered / 300 <= 0.98


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_change_is_the_difference_of_both_accuracies(rows: list[tuple[float, float, int]]) -> None:
    before, after = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    prompts = [str(row[2]) for row in rows]
    change = accuracy_change(before, after, prompts)
    difference = pair_accuracy(after, prompts).value - pair_accuracy(before, prompts).value
    assert change.value == pytest.approx(difference)
    assert change.low - 1e-9 <= change.high
    assert -1 <= change.low <= change.high <= 1


def test_countries_come_worst_first() -> None:
    pairs = [Pair(str(i), f"pregunta {i}", "a", "b", country) for i, country in enumerate(["AR", "BR", "BR", "MX"])]
    before = scored([0.0] * 4, [0.0] * 4)
    after = scored([1.0, 1.0, -1.0, -1.0], [0.0] * 4)
    outcome = measure_outcome(pairs, before, after, beta=0.1)
    assert list(outcome.by_country) == ["MX", "BR", "AR"]
    assert [outcome.by_country[c]["implicit_reward"]["after"].value for c in outcome.by_country] == [0.0, 0.5, 1.0]
    assert outcome.overall["per_token"]["before"].value == 0.5
    assert "50.0% by implicit reward, over 4 pairs of 4 prompts" in outcome.summary
