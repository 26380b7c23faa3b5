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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from planted import Noise, Planted, make_base, planted_slates

from train.adapter import check_float32
from train.base import Base, find_base, load_model, load_tokenizer
from train.callbacks import show_no_logs_twice
from train.encoding import encode_slate
from train.engine import slate_trainer
from train.libraries import quiet_libraries, settled_numerics
from train.rankings import as_taught
from train.run_folder import write_rows
from train.scores import AnswerScore, Written, batches, compare_with_base
from train.settings import Recipe, load_recipe
from train.statistics import places, signs, tau_b
from train.stock import dpo_config, pair_trainer

ARMS = {"stock TRL": "trl", "pairwise": "pairwise", "plackett_luce": "plackett_luce"}
COLOURS = {"stock TRL": "#888888", "pairwise": "#d08a2e", "plackett_luce": "#2f6f9f"}
MEASURES = {
    "accuracy": "ranking accuracy, known order",
    "tau": "Kendall's tau-b, known order",
    "votes": "ranking accuracy, held-out votes",
}
KINDS = {"equal_steps": "Equal steps", "equal_time": "Equal processor time"}
UPDATE = 8
"""Slates per update, for every arm."""
RESAMPLES = 4000

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


@dataclass(frozen=True)
class Learnt:
    """One adapter, measured slate by slate.

    Attributes:
        arm: Name.
        seed: Of data, adapter and order.
        steps: Updates.
        rate: Learning rate at its highest.
        seconds: Processor time of tokenising, reference and training.
        scores: Measure -> one number per test slate; NaN where a slate says nothing.
        margin: Mean implicit reward of the better answer minus that of the worse one, over known pairs.
    """

    arm: str
    seed: int
    steps: int
    rate: float
    seconds: float
    scores: dict[str, list[float]]
    margin: float


# -- training and measuring ---------------------------------------------------------------------------------


def recipe_for(arm: str, base: Path, seed: int, pairs_per_slate: float, rate: float) -> Recipe:
    """cpu-smoke's settings with the arm's objective; an update has UPDATE slates, or as many pairs as they have."""
    stock = ARMS[arm] == "trl"
    batch = round(UPDATE * pairs_per_slate) if stock else UPDATE
    return load_recipe(
        "cpu-smoke",
        (
            f"dpo.objective={ARMS[arm]}",
            f"dpo.label_smoothing={0.0 if stock else 'votes'}",
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
    taught, _ = as_taught(slates, recipe.dpo)
    found = find_base(recipe.base, base, list, seed=seed)
    tokenizer = load_tokenizer(found, recipe.base)
    with tempfile.TemporaryDirectory(prefix="learning-") as home, settled_numerics(recipe):
        folder = Path(home)
        # A cache of its own: nobody profits from what another arm computed.
        os.environ["XDG_CACHE_HOME"] = home
        model = load_model(found, recipe.base, recipe.device)
        # Only what these steps will see: nobody pays for the reference of rows that are never learnt from.
        needed = steps * recipe.optimiser.batch
        order = random.Random(seed)
        pairs = [pair for slate in taught for pair in slate.pairs()]
        pairs = order.sample(pairs, min(needed, len(pairs)))
        taught = tuple(order.sample(taught, min(needed, len(taught))))
        write_rows(folder / "train.jsonl", [pair.row() for pair in pairs])
        write_rows(folder / "held_out.jsonl", [pair.row() for pair in pairs[:2]])
        began = time.process_time()
        if ARMS[arm] == "trl":
            trainer = pair_trainer(folder, model, recipe, steps, tokenizer, pairs, [])
        else:
            trainer = slate_trainer(folder, model, found, recipe, steps, tokenizer, taught, taught[:1], [])
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
    answers = [Written((*row.prompt, *answer), len(row.prompt)) for row in rows for answer in row.answers]
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
        answers = [Written((*row.prompt, *answer), len(row.prompt)) for answer in row.answers]
        scores = compare_with_base(model, answers, pad=tokenizer.pad_token_id)
        likely = np.array([score.base / score.tokens for score in scores])
        right.append(agreement([(np.array(planted.local, dtype=float), 1)], likely))
    return float(np.nanmean(right))


def ceiling(planted: Planted) -> float:
    """The tau-b that a strict order can reach against known answers of which some are equally good."""
    told = np.abs(signs(np.array(planted.local, dtype=float)))
    return float(np.sqrt(told.mean())) if told.any() else math.nan


# -- intervals ----------------------------------------------------------------------------------------------


def interval(by_seed: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean of the seeds' means with a 95 % percentile interval: seeds are drawn, then slates within each.

    Two stages, since both the data of a seed and the slates that it is measured on are chance (Davison & Hinkley 1997,
    "Bootstrap methods and their application", section 3.8).
    """
    rows = [np.array(row)[~np.isnan(row)] for row in by_seed]
    chance = np.random.default_rng(seed)
    drawn = np.empty(RESAMPLES)
    for sample in range(RESAMPLES):
        chosen = [rows[i] for i in chance.integers(0, len(rows), len(rows))]
        drawn[sample] = np.mean([row[chance.integers(0, len(row), len(row))].mean() for row in chosen])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean([row.mean() for row in rows])), float(low), float(high)


def difference(ours: Sequence[Learnt], theirs: Sequence[Learnt], what: str) -> tuple[float, float, float]:
    """One arm minus another, on the same slates of the same seeds."""
    return interval(
        [
            list(np.array(one.scores[what]) - np.array(other.scores[what]))
            for one, other in zip(ours, theirs, strict=True)
        ]
    )


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
    return [
        _qlora("stock TRL", base, train, test, steps, seed, objective="trl", restore=False),
        _qlora("TRL, adapter kept in float32", base, train, test, steps, seed, objective="trl", restore=True),
        _qlora("plackett_luce", base, train, test, steps, seed, objective="plackett_luce", restore=True),
    ]


def _qlora(
    name: str,
    base: Path,
    train: Sequence[Planted],
    test: Sequence[Planted],
    steps: int,
    seed: int,
    *,
    objective: str,
    restore: bool,
) -> Moved:
    from datasets import Dataset
    from trl import DPOTrainer

    from train.adapter import lora_config

    stock = objective == "trl"
    slates = [planted.slate for planted in train]
    batch = round(UPDATE * sum(len(slate.comparisons) for slate in slates) / len(slates)) if stock else UPDATE
    recipe = load_recipe(
        "l40s-8b-qlora",
        (
            "device.kind=cpu",
            "device.threads=1",
            "optimiser.name=adamw_torch",
            f"dpo.objective={objective}",
            f"dpo.label_smoothing={0.0 if stock else 'votes'}",
            f"optimiser.batch={batch}",
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
    taught, _ = as_taught(slates, recipe.dpo)
    found = find_base(recipe.base, base, list, seed=seed)
    tokenizer = load_tokenizer(found, recipe.base)
    with tempfile.TemporaryDirectory(prefix="learning-") as home, settled_numerics(recipe):
        folder = Path(home)
        os.environ["XDG_CACHE_HOME"] = home
        model = load_model(found, recipe.base, recipe.device)
        pairs = [pair for slate in taught for pair in slate.pairs()]
        write_rows(folder / "train.jsonl", [pair.row() for pair in pairs])
        write_rows(folder / "held_out.jsonl", [pair.row() for pair in pairs[:2]])
        if not stock:
            trainer = slate_trainer(folder, model, found, recipe, steps, tokenizer, taught, taught[:1], [])
        elif restore:
            trainer = pair_trainer(folder, model, recipe, steps, tokenizer, pairs, [])
        else:
            rows = Dataset.from_list(
                [{key: pair.row()[key] for key in ("prompt", "chosen", "rejected")} for pair in pairs]
            )
            trainer = DPOTrainer(
                model=model,
                args=dpo_config(folder / "checkpoints", recipe, steps),
                train_dataset=rows,
                processing_class=tokenizer,
                peft_config=lora_config(recipe),
            )
        before = _lora_a(trainer.model)
        dtype = str(next(iter(before.values())).dtype).removeprefix("torch.")
        show_no_logs_twice(trainer)
        trainer.train()
        after = _lora_a(trainer.model)
        changed = sum(int((before[key] != after[key]).sum()) for key in before)
        length = math.sqrt(sum(float(value.double().square().sum()) for value in before.values()))
        moved = math.sqrt(sum(float((after[key].double() - before[key].double()).square().sum()) for key in before))
        trainer.model.save_pretrained(folder / "adapter")
        scores, margin = measure(folder / "adapter", found, recipe, tokenizer, test)
    entries = sum(value.numel() for value in before.values())
    return Moved(name, dtype, changed, entries, moved / length, margin, float(np.nanmean(scores["accuracy"])))


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


def table_of(learnt: dict[str, list[Learnt]]) -> dict[str, Any]:
    """Per arm: estimates, each seed's value, and the differences that the question is about."""
    arms = {
        arm: {
            "steps": [one.steps for one in runs],
            "rate": runs[0].rate,
            "seconds": [round(one.seconds, 2) for one in runs],
            "margin": [one.margin for one in runs],
            **{
                what: {
                    "estimate": interval([one.scores[what] for one in runs]),
                    "seeds": [float(np.nanmean(one.scores[what])) for one in runs],
                }
                for what in MEASURES
            },
        }
        for arm, runs in learnt.items()
    }
    against = (("plackett_luce", "pairwise"), ("pairwise", "stock TRL"), ("plackett_luce", "stock TRL"))
    differences = {
        f"{one} - {other}": {what: difference(learnt[one], learnt[other], what) for what in MEASURES}
        for one, other in against
    }
    return {"arms": arms, "differences": differences}


def show(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# Does it learn?",
        "",
        f"{found['size']['seeds']} seeds, {found['size']['train']} slates of four to train on, each ranked by "
        f"{found['people']} people with noise, {found['size']['test']} to measure on. By its own likelihood the base "
        f"orders {found['base_accuracy_by_likelihood']:.1%} of the known pairs rightly; tau-b cannot exceed "
        f"{found['tau_at_most']:.3f}, since answers may be equally good. In brackets: 95 % intervals.",
    ]
    for kind, title in KINDS.items():
        table = found[kind]
        lines += [
            "",
            f"## {title}",
            "",
            f"| arm | steps | rate | seconds | {' | '.join(MEASURES.values())} |",
            "|---" * 7 + "|",
        ]
        for arm, values in table["arms"].items():
            steps, seconds = np.median(values["steps"]), np.median(values["seconds"])
            cells = " | ".join(_form(values[what]["estimate"]) for what in MEASURES)
            lines.append(f"| {arm} | {steps:.0f} | {values['rate']:g} | {seconds:.1f} | {cells} |")
        lines += ["", f"| difference | {' | '.join(MEASURES.values())} | holds |", "|---" * 5 + "|"]
        for name, values in table["differences"].items():
            lines.append(
                f"| {name} | {' | '.join(_form(values[what], '+') for what in MEASURES)} | {_verdict(values)} |"
            )
    lines += [
        "",
        f"## The adapter on a 4-bit base ({found['size']['qlora_steps']} steps with the settings of l40s-8b-qlora)",
        "",
        "| recipe | adapter | lora_A entries that ever changed | lora_A moved by | margin | ranking accuracy |",
        "|---" * 6 + "|",
    ]
    for one in found["qlora"]:
        share = one["changed"] / one["entries"]
        lines.append(
            f"| {one['recipe']} | {one['dtype']} | {one['changed']:,} of {one['entries']:,} ({share:.1%}) | "
            f"{one['distance']:.2%} | {one['margin']:.4f} | {one['accuracy']:.1%} |"
        )
    lines += ["", f"{found['wall_seconds']:.0f} s, {found['processor_seconds']:.0f} s of processor time."]
    return "\n".join(lines) + "\n"


def _form(estimate: Sequence[float], sign: str = "") -> str:
    value, low, high = estimate
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _verdict(values: dict[str, Sequence[float]]) -> str:
    value, low, high = values["tau"]
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "no worse than chance can tell" if value >= 0 else "behind, within chance"


def draw(found: dict[str, Any], path: Path) -> None:
    """Accuracy and tau of each arm, at equal steps and at equal time; dots are seeds."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex="col")
    for row, (kind, title) in enumerate(KINDS.items()):
        for column, what in enumerate(("accuracy", "tau")):
            axes = panels[row][column]
            for line, arm in enumerate(ARMS):
                values = found[kind]["arms"][arm][what]
                value, low, high = values["estimate"]
                axes.plot([low, high], [line, line], color=COLOURS[arm], linewidth=3, solid_capstyle="butt")
                axes.plot(value, line, "o", color=COLOURS[arm], markersize=8)
                axes.plot(values["seeds"], [line + 0.22] * len(values["seeds"]), ".", color=COLOURS[arm], alpha=0.6)
            names = [f"{arm}\n{np.median(found[kind]['arms'][arm]['steps']):.0f} steps" for arm in ARMS]
            axes.set_yticks(range(len(ARMS)), names if column == 0 else [""] * len(ARMS))
            axes.set_ylim(-0.5, len(ARMS) - 0.3)
            axes.set_title(f"{title}: {MEASURES[what]}", fontsize=10)
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)


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
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    size = Size(**{**asdict(size), "seeds": asked.seeds or size.seeds})
    asked.to.mkdir(parents=True, exist_ok=True)
    with quiet_libraries(asked.to / "libraries.log"):
        import torch

        torch.set_num_threads(1)
        found = run(
            size,
            Noise(swap=asked.swap),
            people=asked.people,
            first_seed=asked.first_seed,
            say=lambda line: print(line, flush=True),
        )
    (asked.to / "learning.json").write_text(json.dumps(found, indent=2))
    (asked.to / "learning.md").write_text(show(found))
    draw(found, asked.to / "learning.png")
    print(f"\n{show(found)}\nwritten to {asked.to}")


if __name__ == "__main__":
    main()
