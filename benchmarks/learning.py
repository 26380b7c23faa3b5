"""Does it learn? Three ways to train on the same rankings, on data whose right answer is known (planted.py).

Per seed: fresh slates ranked by noisy people, and fresh slates to measure on. Each arm starts from the same base with
the same settings, learns from as many comparisons per update, and has the learning rate, of four, that served it best
on a seed kept for that.

- stock TRL      TRL's DPOTrainer, as people use it: every pair with a majority is a row that repeats its prompt
- pairwise       the engine: counted votes with their doubt (conservative DPO), prompts stored once
- plackett_luce  the engine: every person's whole ranking, ties by their exact likelihood

Equal steps: the same number of updates. Equal time: as many updates as fit into the time that plackett_luce took, in
seconds of one core (processor time, so that a busy machine changes little); reference and tokenising are counted.

Measured on slates of prompts that nobody trained on: ranking accuracy and Kendall's tau-b of the implicit reward
against the known order, and against held-out people. Intervals: bootstrap over seeds, and over slates within a seed.

Then the failure of the usual QLoRA recipe: on a 4-bit base TRL casts the adapter to bfloat16, and small updates vanish.

Run: .venv/bin/python benchmarks/learning.py            (about ten minutes of one quiet core)
     .venv/bin/python benchmarks/learning.py --quick    (about two minutes; says whether it works, not which is better)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from learning_report import ARMS, KINDS, MEASURES, Learnt, draw, show, table_of
from planted import Noise, Planted, make_base, plan_of, planted_slates

from train.data.encoding import encode_slate
from train.data.objective import apply_objective
from train.data.plan import Plan, pairs_of_slates
from train.data.split import Split
from train.engine.adapter import check_float32, lora_config
from train.engine.build import slate_trainer
from train.engine.callbacks import show_no_logs_twice
from train.engine.trl_dpo import dpo_config, pair_trainer
from train.evaluate.scores import AnswerScore, EncodedAnswer, batches, compare_with_base
from train.libraries import deterministic, quiet_libraries
from train.models.base import Base, find_base, load_model
from train.models.tokenizer import load_tokenizer
from train.run_folder import NullLog, write_rows
from train.settings import Recipe, load_recipe
from train.statistics import places, signs, tau_b

UPDATE = 8
"""Slates per update, for every arm."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How much is done."""

    seeds: int
    train: int
    test: int
    steps: int
    pretrain: int
    qlora_steps: int
    rates: tuple[float, ...]


FULL = Size(seeds=10, train=192, test=120, steps=24, pretrain=120, qlora_steps=60, rates=(2e-3, 5e-3, 1e-2, 2e-2))
QUICK = Size(seeds=2, train=64, test=40, steps=8, pretrain=80, qlora_steps=8, rates=(5e-3,))


# -- training and measuring ---------------------------------------------------------------------------------


def recipe_for(arm: str, base: Path, seed: int, pairs_per_slate: float, rate: float) -> Recipe:
    """cpu-smoke's settings with the arm's objective; an update has UPDATE slates, or as many pairs as they have."""
    by_trl = ARMS[arm] == "trl"
    batch = round(UPDATE * pairs_per_slate) if by_trl else UPDATE
    return load_recipe(
        "cpu-smoke",
        (
            f"dpo.objective={ARMS[arm]}",
            f"dpo.label_smoothing={0.0 if by_trl else 'votes'}",
            f"optimiser.batch={batch}",
            f"optimiser.learning_rate={rate}",
            "optimiser.warmup=0.0",  # its first step stands still, which would cost an arm of six steps a sixth
            f"run.seed={seed}",
            "run.log_every=1000",
            "run.save_every=100000",
            "run.eval_every=0",
            "run.eval_batch=32",
        ),
        base=str(base),
    )


def learn(
    arm: str, base: Path, train: Sequence[Planted], test: Sequence[Planted], *, seed: int, steps: int, rate: float
) -> Learnt:
    """Train one adapter in a folder that is thrown away, and measure it."""
    slates = [planted.slate for planted in train]
    pairs_per_slate = sum(len(slate.comparisons) for slate in slates) / len(slates)
    recipe = recipe_for(arm, base, seed, pairs_per_slate, rate)
    informative, _ = apply_objective(slates, recipe.dpo)
    found = find_base(recipe.base, base, list, seed=seed)
    tokenizer = load_tokenizer(found, recipe.base)
    with tempfile.TemporaryDirectory(prefix="learning-") as home, deterministic(recipe):
        folder = Path(home)
        # A cache of its own: nobody profits from what another arm computed.
        os.environ["XDG_CACHE_HOME"] = home
        model = load_model(found, recipe.base, recipe.device)
        # Only what these steps will see: nobody pays for the reference of rows that are never learnt from.
        needed = steps * recipe.optimiser.batch
        order = random.Random(seed)
        pairs = pairs_of_slates(informative)
        pairs = tuple(order.sample(pairs, min(needed, len(pairs))))
        sampled = order.sample(informative, min(needed, len(informative)))
        plan = replace(plan_of(recipe, found, sampled, sampled[:1], steps), pairs=Split(pairs, pairs[:2]))
        write_rows(folder / "train.jsonl", [pair.row() for pair in pairs])
        write_rows(folder / "held_out.jsonl", [pair.row() for pair in pairs[:2]])
        began = time.process_time()
        trainer = (pair_trainer if plan.by_trl else slate_trainer)(plan, model, NullLog(folder), [])
        show_no_logs_twice(trainer)
        trainer.train()
        seconds = time.process_time() - began
        check_float32(trainer.model)
        trainer.model.save_pretrained(folder / "adapter")
        scores, margin = measure(folder / "adapter", found, recipe, tokenizer, test)
    return Learnt(arm, seed, steps, rate, seconds, scores, margin)


def measure(
    adapter: Path, base: Base, recipe: Recipe, tokenizer: Any, test: Sequence[Planted]
) -> tuple[dict[str, list[float]], float]:
    """Compare implicit rewards with the known order and with held-out people, slate by slate."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(load_model(base, recipe.base, recipe.device), str(adapter))
    rows = [encode_slate(planted.slate, tokenizer) for planted in test]
    answers = [EncodedAnswer((*row.prompt, *answer), len(row.prompt)) for row in rows for answer in row.answers]
    found: dict[int, AnswerScore] = {}
    for chosen in batches(answers, 64):
        scored = compare_with_base(model, [answers[i] for i in chosen], pad=tokenizer.pad_token_id)
        found |= dict(zip(chosen, scored, strict=True))
    scores: dict[str, list[float]] = {name: [] for name in MEASURES}
    margins: list[float] = []
    for number, planted in enumerate(test):
        rewards = (
            np.array([found[4 * number + i].adapted - found[4 * number + i].base for i in range(4)]) * recipe.dpo.beta
        )
        truth = np.array(planted.local, dtype=float)
        scores["accuracy"].append(agreement([(truth, 1)], rewards))
        scores["tau"].append(tau_b(rewards, truth))
        said = [(places(ranking.tiers, 4), ranking.people) for ranking in planted.slate.rankings]
        scores["votes"].append(agreement(said, rewards))
        first, second = np.triu_indices(4, 1)
        told = signs(truth)
        margins += list((told * (rewards[first] - rewards[second]))[told != 0])
    return scores, float(np.mean(margins))


def agreement(orders: Iterable[tuple[Floats, int]], rewards: Floats) -> float:
    """Share of the pairs told apart that the rewards order alike; NaN without any."""
    right = told = 0.0
    found = signs(rewards)
    for order, people in orders:
        said = signs(order)
        right += people * float((((said == found) + 0.5 * (found == 0)) * (said != 0)).sum())
        told += people * float((said != 0).sum())
    return right / told if told else math.nan


def untrained(test: Sequence[Sequence[Planted]], base: Path) -> float:
    """Accuracy of the base's own mean log-prob per token against the known order: what there is to unlearn."""
    recipe = load_recipe("cpu-smoke", (), base=str(base))
    found = find_base(recipe.base, base, list, seed=0)
    tokenizer = load_tokenizer(found, recipe.base)
    model = load_model(found, recipe.base, recipe.device)
    model.disable_adapter = contextlib.nullcontext  # there is none: both looks are at the base
    right: list[float] = []
    for planted in (planted for slates in test for planted in slates):
        row = encode_slate(planted.slate, tokenizer)
        answers = [EncodedAnswer((*row.prompt, *answer), len(row.prompt)) for answer in row.answers]
        scores = compare_with_base(model, answers, pad=tokenizer.pad_token_id)
        likely = np.array([score.base / score.tokens for score in scores])
        right.append(agreement([(np.array(planted.local, dtype=float), 1)], likely))
    return float(np.nanmean(right))


def ceiling(planted: Planted) -> float:
    """The tau-b that a strict order can reach against known answers of which some are equally good."""
    told = np.abs(signs(np.array(planted.local, dtype=float)))
    return float(np.sqrt(told.mean())) if told.any() else math.nan


# -- the failure of the usual QLoRA recipe ------------------------------------------------------------------


@dataclass(frozen=True)
class Moved:
    """What became of an adapter on a 4-bit base.

    Attributes:
        recipe: Which.
        dtype: Of the adapter while it was trained.
        changed: Entries of lora_A that are no longer what they were at the start.
        entries: All entries of lora_A.
        distance: How far lora_A went, as a share of its length.
        margin: Mean implicit reward of better minus worse answers, known order, held-out slates.
        accuracy: Ranking accuracy, known order.
    """

    recipe: str
    dtype: str
    changed: int
    entries: int
    distance: float
    margin: float
    accuracy: float


def qlora(base: Path, train: Sequence[Planted], test: Sequence[Planted], *, steps: int, seed: int) -> list[Moved]:
    """The l40s-8b-qlora preset on this base and processor: stock as TRL leaves it, stock in float32, and the engine."""
    arms = (("stock TRL", "trl"), ("TRL, adapter kept in float32", "trl"), ("plackett_luce", "plackett_luce"))
    recipes = [qlora_recipe(base, train, seed, objective) for _, objective in arms]
    return [
        _qlora(name, recipe, train, test, steps, as_trl_leaves_it=place == 0)
        for place, ((name, _), recipe) in enumerate(zip(arms, recipes, strict=True))
    ]


def qlora_recipe(base: Path, train: Sequence[Planted], seed: int, objective: str) -> Recipe:
    """The preset as far as a CPU goes, with as many comparisons an update for every arm."""
    by_trl = objective == "trl"
    pairs_per_slate = sum(len(planted.slate.comparisons) for planted in train) / len(train)
    return load_recipe(
        "l40s-8b-qlora",
        (
            "device.kind=cpu",
            "device.threads=1",
            "optimiser.name=adamw_torch",
            f"dpo.objective={objective}",
            f"dpo.label_smoothing={0.0 if by_trl else 'votes'}",
            f"optimiser.batch={round(UPDATE * pairs_per_slate) if by_trl else UPDATE}",
            "optimiser.accumulate=1",
            "optimiser.checkpoint_activations=false",
            f"run.seed={seed}",
            "run.log_every=1000",
            "run.save_every=100000",
            "run.eval_every=0",
            "run.eval_batch=32",
        ),
        base=str(base),
    )


def _qlora(
    name: str, recipe: Recipe, train: Sequence[Planted], test: Sequence[Planted], steps: int, *, as_trl_leaves_it: bool
) -> Moved:
    found = find_base(recipe.base, Path(recipe.base.name), list, seed=recipe.run.seed)
    informative, _ = apply_objective([planted.slate for planted in train], recipe.dpo)
    plan = plan_of(recipe, found, informative, informative[:1], steps)
    with tempfile.TemporaryDirectory(prefix="learning-") as home, deterministic(recipe):
        folder = Path(home)
        os.environ["XDG_CACHE_HOME"] = home
        model = load_model(found, recipe.base, recipe.device)
        for file, pairs in (("train.jsonl", plan.pairs.train), ("held_out.jsonl", plan.pairs.train[:2])):
            write_rows(folder / file, [pair.row() for pair in pairs])
        if as_trl_leaves_it:
            trainer = plain_trainer(plan, model, folder)
        else:
            trainer = (pair_trainer if plan.by_trl else slate_trainer)(plan, model, NullLog(folder), [])
        before = _lora_a(trainer.model)
        dtype = str(next(iter(before.values())).dtype).removeprefix("torch.")
        show_no_logs_twice(trainer)
        trainer.train()
        after = _lora_a(trainer.model)
        changed = sum(int((before[key] != after[key]).sum()) for key in before)
        length = math.sqrt(sum(float(value.double().square().sum()) for value in before.values()))
        moved = math.sqrt(sum(float((after[key].double() - before[key].double()).square().sum()) for key in before))
        trainer.model.save_pretrained(folder / "adapter")
        scores, margin = measure(folder / "adapter", found, recipe, plan.vocabulary.tokenizer, test)
    entries = sum(value.numel() for value in before.values())
    return Moved(name, dtype, changed, entries, moved / length, margin, float(np.nanmean(scores["accuracy"])))


def plain_trainer(plan: Plan, model: Any, folder: Path) -> Any:
    """TRL's trainer as people use it, without anything of ours."""
    from datasets import Dataset
    from trl import DPOTrainer

    rows = [{key: pair.row()[key] for key in ("prompt", "chosen", "rejected")} for pair in plan.pairs.train]
    return DPOTrainer(
        model=model,
        args=dpo_config(folder / "checkpoints", plan.recipe, plan.steps),
        train_dataset=Dataset.from_list(rows),
        processing_class=plan.vocabulary.tokenizer,
        peft_config=lora_config(plan.recipe),
    )


def _lora_a(model: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad and "lora_A" in name}


# -- the whole ----------------------------------------------------------------------------------------------


def run(size: Size, noise: Noise, *, people: int, first_seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as one JSON object."""
    began, processor = time.monotonic(), time.process_time()

    def data(seed: int) -> tuple[list[Planted], list[Planted]]:
        train, test = ((size.train, 1000), (size.test, 2000))
        return (
            planted_slates(train[0], people=people, noise=noise, seed=train[1] + seed),
            planted_slates(test[0], people=people, noise=noise, seed=test[1] + seed),
        )

    with tempfile.TemporaryDirectory(prefix="learning-base-") as home:
        base, losses = make_base(Path(home) / "base", steps=size.pretrain, seed=first_seed)
        say(f"base: loss per token {losses[0]:.2f} → {losses[-1]:.2f} in {size.pretrain} steps")
        rates = tune(base, *data(first_seed - 1), size, seed=first_seed - 1 + 2**16)
        say(f"learning rates, chosen on a seed of their own: {rates}")
        learnt: dict[str, dict[str, list[Learnt]]] = {kind: {arm: [] for arm in ARMS} for kind in KINDS}
        tests = []
        for seed in range(first_seed, first_seed + size.seeds):
            train, test = data(seed)
            tests.append(test)
            steps = dict.fromkeys(ARMS, size.steps)
            for kind in KINDS:
                for arm in ARMS:
                    before = learnt["equal_steps"][arm][-1] if kind == "equal_time" else None
                    rate = rates[kind][arm]
                    if before and (before.steps, before.rate) == (steps[arm], rate):
                        learnt[kind][arm].append(before)
                    else:
                        learnt[kind][arm].append(learn(arm, base, train, test, seed=seed, steps=steps[arm], rate=rate))
                steps = steps_in_equal_time({arm: runs[-1] for arm, runs in learnt["equal_steps"].items()})
            say(f"seed {seed}, tau-b: {_line(learnt['equal_steps'])}; at equal time: {_line(learnt['equal_time'])}")
        likelihood = untrained(tests, base)
        moved = qlora(base, train, test, steps=size.qlora_steps, seed=first_seed)
    return {
        "size": asdict(size),
        "noise": asdict(noise),
        "people": people,
        "learning_rates": rates,
        "slates_per_update": UPDATE,
        "base_accuracy_by_likelihood": likelihood,
        "tau_at_most": float(np.nanmean([ceiling(planted) for slates in tests for planted in slates])),
        **{kind: table_of(learnt[kind]) for kind in KINDS},
        "qlora": [asdict(one) for one in moved],
        "wall_seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
    }


def steps_in_equal_time(learnt: Mapping[str, Learnt]) -> dict[str, int]:
    """Updates that each arm has time for while plackett_luce does what it did; under a tenth is the clock's noise."""
    budget = learnt["plackett_luce"].seconds
    shares = {arm: budget / one.seconds for arm, one in learnt.items()}
    return {
        arm: one.steps if abs(shares[arm] - 1) < 0.1 else max(1, round(one.steps * shares[arm]))
        for arm, one in learnt.items()
    }


def tune(
    base: Path, train: Sequence[Planted], test: Sequence[Planted], size: Size, *, seed: int
) -> dict[str, dict[str, float]]:
    """The rate at which each arm ranks held-out votes best, for either comparison: nobody loses by another's rate."""
    if len(size.rates) == 1:
        return {kind: dict.fromkeys(ARMS, size.rates[0]) for kind in KINDS}
    steps = dict.fromkeys(ARMS, size.steps)
    found: dict[str, dict[str, float]] = {}
    chosen: dict[str, Learnt] = {}
    for kind in KINDS:
        best: dict[str, Learnt] = {}
        for arm in ARMS:
            if kind == "equal_time" and steps[arm] == size.steps:
                best[arm] = chosen[arm]
                continue
            tried = [learn(arm, base, train, test, seed=seed, steps=steps[arm], rate=rate) for rate in size.rates]
            best[arm] = max(tried, key=lambda one: float(np.nanmean(one.scores["votes"])))
        found[kind] = {arm: one.rate for arm, one in best.items()}
        chosen, steps = best, steps_in_equal_time(best)
    return found


def _line(learnt: dict[str, list[Learnt]]) -> str:
    newest = [runs[-1] for runs in learnt.values()]
    return ", ".join(f"{one.arm} {np.nanmean(one.scores['tau']):.3f} in {one.seconds:.0f} s" for one in newest)


def main() -> None:
    """Read the flags, run, and write learning.json, learning.md and learning.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds and few steps")
    parser.add_argument("--seeds", type=int, help="how many; default 10")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--swap", type=float, default=Noise().swap, help="probability that two neighbours change places"
    )
    parser.add_argument("--people", type=int, default=3, help="who rank each slate")
    parser.add_argument("--to", type=Path, default=Path("build/learning"), help="folder for what is written")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    size = Size(**{**asdict(size), "seeds": options.seeds or size.seeds})
    options.to.mkdir(parents=True, exist_ok=True)
    with quiet_libraries(options.to / "libraries.log"):
        import torch

        torch.set_num_threads(1)
        found = run(
            size,
            Noise(swap=options.swap),
            people=options.people,
            first_seed=options.first_seed,
            say=lambda line: print(line, flush=True),
        )
    (options.to / "learning.json").write_text(json.dumps(found, indent=2))
    (options.to / "learning.md").write_text(show(found))
    draw(found, options.to / "learning.png")
    print(f"\n{show(found)}\nwritten to {options.to}")


if __name__ == "__main__":
    main()
