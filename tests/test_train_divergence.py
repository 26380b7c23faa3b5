"""A run that ends worse than it began says so, loudly, and a healthy one does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from train_snapshots import QUICK, UNBROKEN, preference_rows, write_snapshot

from train.dpo import train
from train.engine.divergence import CLEARLY, why_diverged
from train.settings import load_recipe

RECIPE = load_recipe("cpu-smoke")


def lines(losses: dict[int, float], *, untrained: float | None = 0.7) -> list[dict[str, Any]]:
    """Step → mean loss since the line before."""
    known = {} if untrained is None else {"untrained_loss": untrained}
    return [{"step": step, "loss": loss, **known} for step, loss in losses.items()]


def test_the_last_tenth_decides_and_is_compared_with_no_training_at_all() -> None:
    rising = {step: 0.7 if step <= 90 else 40.0 for step in range(1, 101)}
    told = why_diverged(lines(rising), RECIPE)
    assert told.startswith(
        "training has diverged: over the last 10 steps the loss is 40, where an adapter that was never"
    )
    assert "has 0.7; lower optimiser.learning_rate (0.005), or give it more optimiser.warmup, in a new --run." in told
    recovered = {step: 40.0 if step <= 90 else 0.6 for step in range(1, 101)}
    assert why_diverged(lines(recovered), RECIPE) == ""
    for factor, diverged in ((CLEARLY - 0.01, False), (CLEARLY + 0.01, True)):
        assert bool(why_diverged(lines(dict.fromkeys(range(1, 51), 0.7 * factor)), RECIPE)) == diverged


def test_lines_count_by_the_steps_that_they_are_the_mean_of() -> None:
    # The last ten steps: eight at 0.5, two at 3; their mean is 1.0.
    assert "over the last 10 steps the loss is 1, " in why_diverged(lines({30: 0.5, 38: 0.5, 40: 3.0}), RECIPE)
    assert why_diverged(lines({30: 0.5, 38: 0.5, 40: 1.9}), RECIPE) == ""  # 0.78: above, not clearly


def test_one_bad_update_is_bad_luck() -> None:
    assert why_diverged(lines({**dict.fromkeys(range(1, 8), 0.5), 8: 1.5}), RECIPE) == ""
    assert why_diverged([], RECIPE) == ""
    assert why_diverged([{"step": 5, "skipped": 5.0}], RECIPE) == ""


def test_gradients_of_nothing_are_a_collapse_unless_all_is_learnt() -> None:
    def still(loss: float) -> list[dict[str, Any]]:
        return [{**line, "grad_norm": 0.0} for line in lines(dict.fromkeys(range(1, 31), loss))]

    assert why_diverged(still(0.72), RECIPE).startswith(
        "training has collapsed (every gradient is 0): over the last 10"
    )
    assert why_diverged(still(1e-9), RECIPE) == ""
    assert why_diverged([*still(0.72)[:-1], {**still(0.72)[-1], "grad_norm": 0.1}], RECIPE) == ""


def test_without_a_known_untrained_loss_the_first_step_is_it() -> None:
    """TRL's own losses: every pair costs the same before anything is learnt, 25 with IPO at beta 0.1."""
    assert why_diverged(lines({1: 25.0, 20: 24.0}, untrained=None), RECIPE) == ""
    assert "has 25;" in why_diverged(lines({1: 25.0, 20: 400.0}, untrained=None), RECIPE)


@pytest.mark.parametrize("objective", ["plackett_luce", "trl"])
def test_a_run_that_diverges_finitely_is_finished_and_says_so_everywhere(tmp_path: Path, objective: str) -> None:
    source = write_snapshot(tmp_path, "abc", preference_rows(12))
    wild = (f"dpo.objective={objective}", "optimiser.learning_rate=0.1", "lora.alpha=64", "dpo.beta=5.0")
    rest = ("optimiser.warmup=0.0", "optimiser.epochs=30", "optimiser.max_steps=24")
    run = train(tmp_path / "run", source, overrides=(*QUICK, *UNBROKEN, *rest, *wild), quiet=True)
    assert run.done["diverged"].startswith("training has diverged: over the last 10 steps")
    assert (tmp_path / "run" / "DONE").exists()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("The run goes on; Ctrl-C ends it.") == 1
    assert f"WARNING: {run.done['diverged']}" in log
    assert f"> **Warning: {run.done['diverged']}**" in (tmp_path / "run" / "report.md").read_text()
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    if objective == "plackett_luce":
        assert first["loss"] == pytest.approx(first["untrained_loss"], rel=1e-4)
