"""What a second round brings: on data whose right answer is known (planted.py), what is learnt after one and after two.

Round 1: people rank four answers of another model to each prompt, which seldom uses their own words. A run learns from
that. Round 2, on the same prompts: either two answers that the run's model wrote itself and two new ones of the other
model (`annot draft --source`), or, as a control, four new ones of the other model. As many slates, as many people. A
second run learns from both rounds, from the base anew, with `data.earlier_rounds` at 1, 0.5 or 0.

Measured on prompts that nobody trained on:

- tau, other model's: Kendall's tau-b of the implicit reward against the known order of the other model's answers
- tau, own: the same, on answers that the run of round 1 wrote
- own words: of three in each answer that the run writes itself (temperature 0.7), how many are the country's
- whole: share of these answers that are sentences of the language, with any country's words

Intervals: bootstrap over seeds; each arm is compared with run 1, and own answers with the control, seed by seed.

Run: .venv/bin/python benchmarks/rounds.py            (about twelve minutes of one quiet core)
     .venv/bin/python benchmarks/rounds.py --quick    (about one minute; says whether it works)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from learning import measure
from planted import (
    TOLD,
    WORDS,
    Asked,
    Noise,
    Planted,
    ask,
    drafted,
    local_words,
    make_base,
    plan_of,
    planted_slate,
)

from train.data.encoding import encode_prompt
from train.data.objective import apply_objective
from train.data.rounds import by_round
from train.data.slates import RankedSlate
from train.data.split import Split
from train.engine.build import slate_trainer
from train.engine.callbacks import show_no_logs_twice
from train.libraries import deterministic, quiet_libraries
from train.models.base import find_base, load_model
from train.models.generation import Sampling, draw_answers
from train.models.tokenizer import Vocabulary
from train.run_folder import NullLog, write_rows
from train.settings import Recipe, load_recipe

MEASURES = {
    "tau_other": "tau, other model's answers",
    "tau_own": "tau, own answers",
    "own_words": "own words of 3",
    "whole": "whole",
}
ROUND_1 = "round 1"
OWN = "round 2, own answers"
OTHER = "round 2, other model's (control)"
ARMS = {
    OWN: ("own", 1.0),
    f"{OWN}, earlier_rounds = 0.5": ("own", 0.5),
    f"{OWN}, earlier_rounds = 0": ("own", 0.0),
    OTHER: ("other", 1.0),
    f"{OTHER}, earlier_rounds = 0.5": ("other", 0.5),
    f"{OTHER}, earlier_rounds = 0": ("other", 0.0),
}
"""Name -> whose answers are new in round 2, and data.earlier_rounds."""

TEMPERATURE = 0.7
LIMIT = 40
BATCH = 4


@dataclass(frozen=True)
class Size:
    """How much is done: prompts of a round, prompts to measure on, passes over the slates, updates of the base."""

    seeds: int
    prompts: int
    test: int
    epochs: int
    pretrain: int


FULL = Size(seeds=10, prompts=80, test=80, epochs=6, pretrain=200)
QUICK = Size(seeds=2, prompts=32, test=32, epochs=4, pretrain=120)


@dataclass(frozen=True)
class Data:
    """What a seed is about.

    Attributes:
        asked: Prompts that people are asked about, in both rounds.
        first: Slates of round 1.
        other: Slates of round 2 with answers of the other model alone.
        test: Prompts to measure on.
        test_slates: Their slates, with answers of the other model.
        elsewhere: How often that says a thing in the country's own word.
    """

    asked: list[Asked]
    first: list[Planted]
    other: list[Planted]
    test: list[Asked]
    test_slates: list[Planted]
    elsewhere: float


def data_of(seed: int, size: Size, noise: Noise, people: int, elsewhere: float) -> Data:
    """Prompts, answers of the other model, and what people say of them."""
    chance = random.Random(seed)
    asked = [ask(number, chance) for number in range(size.prompts)]
    test = [ask(number, chance) for number in range(size.test)]

    def slates(prompts: Sequence[Asked], number: int, place: str) -> list[Planted]:
        return [
            planted_slate(
                f"{place}-{at}",
                one,
                [drafted(one, elsewhere, chance) for _ in range(4)],
                people=people,
                noise=noise,
                chance=chance,
                number=number,
            )
            for at, one in enumerate(prompts)
        ]

    return Data(asked, slates(asked, 1, "first"), slates(asked, 2, "other"), test, slates(test, 1, "test"), elsewhere)


def recipe_of(base: Path, size: Size, seed: int) -> Recipe:
    """cpu-smoke, slower: so small a model forgets how to write otherwise, and the best answer keeps it from that."""
    return load_recipe(
        "cpu-smoke",
        (
            "dpo.sft_weight=1",
            "optimiser.learning_rate=3e-3",
            f"optimiser.batch={BATCH}",
            f"optimiser.epochs={size.epochs}",
            f"run.seed={seed}",
            "run.log_every=1000",
            "run.save_every=100000",
            "run.eval_every=0",
            "run.eval_batch=32",
        ),
        base=str(base),
    )


@dataclass
class Learnt:
    """A run: its model, ready to write, and where its adapter is."""

    model: Any
    vocabulary: Vocabulary
    adapter: Path
    recipe: Recipe
    base: Any

    def write(self, asked: Sequence[Asked], each: int, temperature: float, seed: int) -> list[list[str]]:
        """So many answers to each question."""
        rows = [
            encode_prompt(
                RankedSlate("", ({"role": "user", "content": one.text},), (), (), ()), self.vocabulary, Path()
            )
            for one in asked
            for _ in range(each)
        ]
        texts: list[str] = []
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            how = [Sampling(temperature, 1.0, LIMIT, 10**6 * seed + start + at) for at in range(len(part))]
            drawn = draw_answers(self.model, part, how, ends=self.vocabulary.ends, pad=self.vocabulary.pad)
            texts += [
                self.vocabulary.tokenizer.decode(one.tokens, skip_special_tokens=True).strip() or "…" for one in drawn
            ]
        return [texts[at : at + each] for at in range(0, len(texts), each)]

    def measured(self, data: Data, own: Sequence[Planted], seed: int) -> dict[str, float]:
        """Each of MEASURES."""
        texts = [text for (text,) in self.write(data.test, 1, TEMPERATURE, seed + 7)]
        told = list(zip(data.test, texts, strict=True))
        return {
            "tau_other": self._tau(data.test_slates),
            "tau_own": self._tau(own),
            "own_words": float(np.mean([local_words(text, one.country) for one, text in told])),
            "whole": float(np.mean([is_whole(text, one.language) for one, text in told])),
        }

    def _tau(self, slates: Sequence[Planted]) -> float:
        scores, _ = measure(self.adapter, self.base, self.recipe, self.vocabulary.tokenizer, slates)
        return float(np.nanmean(scores["tau"]))


def is_whole(text: str, language: str) -> bool:
    """Whether a text is a sentence of the planted language, with the words of any country."""
    word = "|".join(re.escape(name) for names in WORDS[language] for name in names.values())
    return any(re.fullmatch(re.sub(r"\\\{\d\\\}", f"(?:{word})", re.escape(told)), text) for told in TOLD[language])


def learn(slates: Sequence[RankedSlate], earlier: float, base: Path, size: Size, seed: int, folder: Path) -> Learnt:
    """Train a run from the base, on rounds of which earlier ones weigh as `data.earlier_rounds` says."""
    recipe = recipe_of(base, size, seed)
    found = find_base(recipe.base, base, list, seed=seed)
    weighed = by_round(Split(tuple(slates), ()), earlier).train
    informative, _ = apply_objective(weighed, recipe.dpo)
    plan = plan_of(recipe, found, informative, informative[:1], len(informative) * size.epochs // BATCH)
    with deterministic(recipe):
        model = load_model(found, recipe.base, recipe.device)
        folder.mkdir()
        for file, pairs in (("train.jsonl", plan.pairs.train), ("held_out.jsonl", plan.pairs.train[:2])):
            write_rows(folder / file, [pair.row() for pair in pairs])
        trainer = slate_trainer(plan, model, NullLog(folder), [])
        show_no_logs_twice(trainer)
        trainer.train()
        trainer.model.save_pretrained(folder / "adapter")
    return Learnt(trainer.model.eval(), plan.vocabulary, folder / "adapter", recipe, found)


def one_seed(
    seed: int, base: Path, size: Size, noise: Noise, people: int, elsewhere: float
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Arm -> measures; and how people placed the run's own answers in round 2: shares above, level and below."""
    data = data_of(seed, size, noise, people, elsewhere)
    chance = random.Random(seed + 2**20)
    first = [planted.slate for planted in data.first]
    with tempfile.TemporaryDirectory(prefix="rounds-") as home:
        os.environ["ANNOT_REFERENCE"] = home
        run = learn(first, 1.0, base, size, seed, Path(home) / "first")

        def slates(prompts: Sequence[Asked], others: int, place: str, number: int) -> list[Planted]:
            written = run.write(prompts, 4 - others, TEMPERATURE, seed + number)
            return [
                planted_slate(
                    f"{place}-{at}",
                    one,
                    [*own, *(drafted(one, elsewhere, chance) for _ in range(others))],
                    people=people,
                    noise=noise,
                    chance=chance,
                    number=number,
                )
                for at, (one, own) in enumerate(zip(prompts, written, strict=True))
            ]

        own, own_test = slates(data.asked, 2, "own", 2), slates(data.test, 0, "own-test", 1)
        second = {"own": own, "other": data.other}
        found = {ROUND_1: run.measured(data, own_test, seed)}
        for number, (name, (whose, earlier)) in enumerate(ARMS.items()):
            slates_of_both = [*first, *(planted.slate for planted in second[whose])]
            learnt = learn(slates_of_both, earlier, base, size, seed, Path(home) / str(number))
            found[name] = learnt.measured(data, own_test, seed)
    return found, placed(own)


def placed(slates: Sequence[Planted]) -> dict[str, float]:
    """Share of people's votes on one of the first two answers and one of the others that is above, level, below."""
    votes = {"above": 0.0, "level": 0.0, "below": 0.0}
    for planted in slates:
        for ranking in planted.slate.rankings:
            place = {seat: at for at, tier in enumerate(ranking.tiers) for seat in tier}
            for mine in (0, 1):
                for other in (2, 3):
                    which = (
                        "above" if place[mine] < place[other] else "below" if place[mine] > place[other] else "level"
                    )
                    votes[which] += ranking.people
    total = sum(votes.values())
    return {name: number / total for name, number in votes.items()}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds, with a 95 % percentile bootstrap."""
    drawn = np.random.default_rng(0).choice(np.array(values), size=(4000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def table_of(found: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Each arm's mean, and what it has gained on run 1 and on the control, with intervals."""

    def gains(arm: str, than: str) -> dict[str, tuple[float, float, float]]:
        return {name: interval([one[arm][name] - one[than][name] for one in found]) for name in MEASURES}

    def arm_of(whose: str, weight: float) -> str:
        return next(arm for arm, what in ARMS.items() if what == (whose, weight))

    return {
        "means": {arm: {name: interval([one[arm][name] for one in found]) for name in MEASURES} for arm in found[0]},
        "gain on round 1": {arm: gains(arm, ROUND_1) for arm in ARMS},
        "own answers minus control": {
            weight: gains(
                *(next(a for a, what in ARMS.items() if what == (whose, weight)) for whose in ("own", "other"))
            )
            for weight in (1.0, 0.5, 0.0)
        },
    }


def show(table: Mapping[str, Any], own: Sequence[Mapping[str, float]]) -> str:
    """The tables, as Markdown."""
    head = f"| | {' | '.join(MEASURES.values())} |\n|---|{'---:|' * len(MEASURES)}"
    lines = [head]
    for arm, means in table["means"].items():
        lines.append(f"| {arm} | {' | '.join(f'{means[name][0]:.2f}' for name in MEASURES)} |")
    for title in ("gain on round 1", "own answers minus control"):
        lines += ["", head.replace("| |", f"| {title} |", 1)]
        for arm, gains in table[title].items():
            cells = (f"{value:+.2f} ({low:+.2f} to {high:+.2f})" for value, low, high in map(gains.get, MEASURES))
            shown = arm if isinstance(arm, str) else f"earlier_rounds = {arm:g}"
            lines.append(f"| {shown} | {' | '.join(cells)} |")
    ahead = interval([one["above"] - one["below"] for one in own])
    shares = ", ".join(f"{100 * np.mean([one[name] for one in own]):.0f} % {name}" for name in own[0])
    lines += ["", f"In round 2 people placed run 1's own answers {shares} the other model's: "]
    lines[-1] += f"{100 * ahead[0]:+.0f} points ({100 * ahead[1]:+.0f} to {100 * ahead[2]:+.0f})."
    return "\n".join(lines)


def run(
    size: Size, noise: Noise, *, people: int, elsewhere: float, first_seed: int, to: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """All seeds; what is done is written after each."""
    began, found, own = time.monotonic(), [], []
    with tempfile.TemporaryDirectory(prefix="rounds-base-") as home:
        base, losses = make_base(Path(home) / "base", steps=size.pretrain, seed=first_seed, vocabulary=1600)
        say(f"base: loss per token {losses[0]:.2f} → {losses[-1]:.2f} in {size.pretrain} steps")
        for seed in range(first_seed, first_seed + size.seeds):
            arms, votes = one_seed(seed, base, size, noise, people, elsewhere)
            found.append(arms)
            own.append(votes)
            lines = (f"{arm}: {', '.join(f'{value:.2f}' for value in of.values())}" for arm, of in arms.items())
            say(
                f"seed {seed}, {time.monotonic() - began:.0f} s ({', '.join(MEASURES.values())})\n  "
                + "\n  ".join(lines)
            )
            written = {
                "size": asdict(size) | {"seeds": len(found)},
                "noise": asdict(noise),
                "people": people,
                "elsewhere": elsewhere,
                "seeds": found,
                "own": own,
                **table_of(found),
                "wall_seconds": round(time.monotonic() - began, 1),
            }
            (to / "rounds.json").write_text(json.dumps(written, indent=2, ensure_ascii=False))
            (to / "rounds.md").write_text(show(table_of(found), own) + "\n")
    return written


def main() -> None:
    """Read the flags, run, and write rounds.json and rounds.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds, few prompts")
    parser.add_argument("--seeds", type=int, help="how many; default 10")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--prompts", type=int, help="of a round; default 80")
    parser.add_argument("--people", type=int, default=3, help="who rank each slate")
    parser.add_argument("--strength", type=float, default=2.0, help="of one more local word, against people's noise")
    parser.add_argument("--elsewhere", type=float, default=0.25, help="share of local words of the other model")
    parser.add_argument("--to", type=Path, default=Path("build/rounds"), help="folder for what is written")
    options = parser.parse_args()
    size = asdict(QUICK if options.quick else FULL)
    size |= {name: value for name in ("seeds", "prompts") if (value := getattr(options, name))}
    options.to.mkdir(parents=True, exist_ok=True)
    with quiet_libraries(options.to / "libraries.log"):
        import torch

        torch.set_num_threads(1)
        run(
            Size(**size),
            Noise(strength=options.strength, swap=0.1),
            people=options.people,
            elsewhere=options.elsewhere,
            first_seed=options.first_seed,
            to=options.to,
            say=lambda line: print(line, flush=True),
        )
    print(f"\n{(options.to / 'rounds.md').read_text()}\nwritten to {options.to}")


if __name__ == "__main__":
    main()
