"""Our trainer against TRL's own, at the same slates: `python benchmarks/dpo.py`, about half an hour of one quiet core.

    python benchmarks/dpo.py                              a small model on a CPU: rates and memory
    python benchmarks/dpo.py --model 8b --device cuda     8B-shaped, bfloat16 LoRA; memory capped to 48 GB
    python benchmarks/dpo.py --model 8b --device cuda --quantisation nf4
    python benchmarks/dpo.py --ablation                   and each of our features switched off, one at a time

The model is built from a configuration with random weights: speed and memory do not depend on their values. Lengths are
those of dpo_lengths.json, the same for both. The other side is TRL's DPOTrainer on all pairs of a slate with its
reference log-probs computed beforehand, in the micro-batch in which it is fastest here; our side is the engine of
`annot train`. Every arm runs in a process of its own, in the order trl, ours, ours, trl; per arm 5 updates warm up
and 20 are timed. What is reported are ratios of medians.

MFU counts 4 N operations a real token (N weights outside the embedding; a frozen base has no gradients of weights to
compute), where a real token is one that the side has to compute: fillers are none, and a prompt that is there once
counts once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ablations import ABLATIONS, switch_off

LENGTHS = Path(__file__).with_name("dpo_lengths.json")
"""256 slates: tokens of the prompt, and of four answers. Log-normal around 60 and 180 tokens, as drafts are."""

WARM, TIMED = 5, 20
VOCABULARY = {"small": 8192, "8b": 32768}
SHAPES = {
    "small": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
}
KEY_VALUE_HEADS = {"small": 2, "8b": 8}
SCALE = {"small": 0.5, "8b": 1.0}
"""Of all lengths: on a CPU half of them, so that a run ends."""

SLATES = {"small": 4, "8b": 8}
"""Slates an update; where a prompt has one pair, six times as many, so that an update has as many pairs."""

MICRO = {"small": (2, 4, 8, 12), "8b": (1, 2, 4, 8)}
"""Pairs per forward pass that TRL's side tries."""

PEAK = {"H200": 989e12, "H100": 989e12, "L40S": 362e12, "A100": 312e12}
"""Dense bfloat16 operations a second of some cards, from their data sheets."""


@dataclass(frozen=True)
class Arm:
    """What a process measures.

    Attributes:
        side: "trl" or "ours".
        answers: 4 for slates, 2 for one pair a prompt.
        micro: Pairs per forward pass of TRL's side.
        without: One of ABLATIONS, or "".
        timed: Updates that are timed.
    """

    side: str
    answers: int
    micro: int = 0
    without: str = ""
    timed: int = TIMED


def make_model(folder: Path, kind: str) -> None:
    """Write a Llama with random weights, and a tokenizer in which a word is a token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    words = {"<pad>": 0, "<end>": 1} | {f"w{number}": number for number in range(2, VOCABULARY[kind])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
    config = LlamaConfig(
        **SHAPES[kind],
        num_key_value_heads=KEY_VALUE_HEADS[kind],
        vocab_size=len(words),
        max_position_embeddings=8192,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
        dtype="bfloat16" if kind == "8b" else "float32",
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=config.dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_slates(kind: str, answers: int, count: int) -> list[Any]:
    """Slates of random words with the lengths of the file, the first answer the best and so on."""
    from train.data.slates import Comparison, RankedSlate, Ranking

    chance = random.Random(0)

    def text(tokens: int) -> str:
        return " ".join(f"w{chance.randrange(2, VOCABULARY[kind])}" for _ in range(max(4, int(tokens * SCALE[kind]))))

    lengths = json.loads(LENGTHS.read_text(encoding="utf-8"))
    slates = []
    for number in range(count):
        line = lengths[number % len(lengths)]
        texts = tuple(" " + text(tokens) for tokens in line["answers"][:answers])
        pairs = tuple(Comparison(better, worse) for better, worse in combinations(range(answers), 2))
        order = Ranking(tuple((answer,) for answer in range(answers)))
        slates.append(RankedSlate(f"slate {number}", text(line["prompt"]), texts, (order,), pairs))
    return slates


def recipe_for(arm: Arm, options: argparse.Namespace) -> Any:
    """The default preset, or what it becomes on a CPU."""
    from train.settings import load_recipe

    updates = WARM + arm.timed
    wanted = {
        "base.quantisation": options.quantisation,
        "device.kind": options.device,
        "device.min_free_gib": 0,
        "device.threads": options.threads,
        "data.max_length": 8192,
        "lora.dropout": 0.0,  # TRL's own default recipe has none
        "optimiser.max_steps": updates,
        "run.log_every": updates,
        "run.save_every": 100 * updates,
        "run.eval_every": 0,
        "dpo.objective": "trl" if arm.side == "trl" else "pairwise",  # the same loss
        "dpo.label_smoothing": 0.0,
        "footprint.measure": "false",
    }
    if options.device == "cpu":
        wanted |= {
            "base.dtype": "float32",
            "optimiser.autocast": "none",
            "optimiser.name": "adamw_torch",
            "optimiser.checkpoint_activations": "false",
        }
    slates = SLATES[options.model] * (6 if arm.answers == 2 else 1)
    if arm.side == "trl":
        pairs = slates * (6 if arm.answers == 4 else 1)
        wanted |= {"optimiser.batch": arm.micro, "optimiser.accumulate": pairs // arm.micro}
    else:
        wanted |= {"optimiser.batch": slates, "optimiser.accumulate": 1}
        if arm.without == "alone":
            wanted["engine.token_budget"] = 1
    changed = [f"{key}={value}" for key, value in wanted.items()]
    return load_recipe("l40s-8b-lora-bf16", changed, base=str(options.folder))


def measure(arm: Arm, options: argparse.Namespace) -> None:
    """Run one arm in this process and print what it showed as JSON."""
    import torch
    from planted import plan_of
    from transformers import TrainerCallback

    from train.engine.build import slate_trainer
    from train.engine.trl_dpo import pair_trainer
    from train.libraries import deterministic, quiet_libraries
    from train.models.base import find_base, load_model
    from train.run_folder import NullLog, write_rows

    kind, device, cap = options.model, options.device, options.memory
    recipe = recipe_for(arm, options)
    if device == "cuda" and cap:
        torch.cuda.set_per_process_memory_fraction(cap * 1e9 / torch.cuda.get_device_properties(0).total_memory)
    per_update = SLATES[kind] * (6 if arm.answers == 2 else 1)
    updates = WARM + arm.timed
    slates = make_slates(kind, arm.answers, per_update * updates)
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        began = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            synchronize(device)
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            synchronize(device)
            times.append(time.perf_counter() - self.began)

    with tempfile.TemporaryDirectory() as home, quiet_libraries(None), deterministic(recipe):
        torch.use_deterministic_algorithms(False)
        folder = Path(home)
        base = find_base(recipe.base, folder, lambda: (), seed=0)
        model = load_model(base, recipe.base, recipe.device)
        weights = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
        if options.quantisation == "nf4":
            weights = counted_weights(kind)
        plan = plan_of(recipe, base, slates, slates[:2], updates)
        if plan.by_trl:
            for name, pairs in (("train.jsonl", plan.pairs.train), ("held_out.jsonl", plan.pairs.held_out)):
                write_rows(folder / name, [pair.row() for pair in pairs])
            trainer = pair_trainer(plan, model, NullLog(folder), [Clock()])
        else:
            trainer = slate_trainer(plan, model, NullLog(folder), [Clock()])
            switch_off(trainer, arm.without)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
    real = real_tokens(slates, pairs=arm.side == "trl", copies=arm.without == "copies") / updates
    seconds = statistics.median(times[WARM:])
    shown = {
        "slates_per_s": per_update / seconds,
        "seconds": seconds,
        "spread": [min(times[WARM:]), max(times[WARM:])],
        "real_tokens": real,
        "peak_gb": peak_gb(device),
        "operations_per_s": 4 * weights * real / seconds,
        "card": torch.cuda.get_device_name(0) if device == "cuda" else "CPU",
    }
    print("RESULT " + json.dumps(shown))


def synchronize(device: str) -> None:
    """Wait until the card has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def peak_gb(device: str) -> float:
    """Most memory of this process so far: the card's as PyTorch counts it, or all of the process's."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def counted_weights(kind: str) -> int:
    """Weights outside the embedding, by the configuration: a 4-bit tensor does not tell how many it holds."""
    shape = SHAPES[kind]
    hidden, mlp, layers = (shape[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    heads = shape["num_attention_heads"]
    attention = 2 * hidden * hidden + 2 * hidden * hidden * KEY_VALUE_HEADS[kind] // heads
    return int(layers * (attention + 3 * hidden * mlp) + hidden * VOCABULARY[kind])


def real_tokens(slates: list[Any], *, pairs: bool = False, copies: bool = False) -> int:
    """Tokens that have to be computed: a prompt once a slate or an answer; an answer once, or in all its pairs."""
    total = 0
    for slate in slates:
        prompt = len(slate.prompt.split())
        answers = [len(text.split()) + 1 for text in slate.answers]
        if pairs:
            total += (len(answers) - 1) * sum(prompt + tokens for tokens in answers)
        else:
            total += prompt * (len(answers) if copies else 1) + sum(answers)
    return total


def run(arm: Arm, options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """One arm in a process of its own."""
    words = [sys.executable, __file__, "--arm", json.dumps(vars(arm)), "--folder", str(model)]
    words += ["--model", options.model, "--device", options.device, "--quantisation", options.quantisation]
    words += ["--threads", str(options.threads), "--memory", str(options.memory)]
    with tempfile.TemporaryDirectory() as cache:  # no reference log-probs of an earlier arm
        environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        if "OutOfMemoryError" in done.stderr or "out of memory" in done.stderr:
            return {"out_of_memory": True}
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    print(
        f"  {arm.side:<6}{arm.answers} answers{f', {arm.micro} pairs a pass' if arm.micro else ''}"
        f"{f', without {arm.without}' if arm.without else ''}: {found['slates_per_s']:.2f} slates/s, "
        f"{found['peak_gb']:.2f} GB",
        flush=True,
    )
    return found


def fastest_micro(answers: int, options: argparse.Namespace, model: Path) -> int:
    """Pairs per forward pass in which TRL's side is fastest here."""
    rates = {}
    for micro in MICRO[options.model]:
        shown = run(Arm("trl", answers, micro, timed=3), options, model)
        rates[micro] = shown.get("slates_per_s", 0.0)
    return max(rates, key=lambda micro: rates[micro])


def compare(answers: int, options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """TRL, ours, ours, TRL."""
    micro = fastest_micro(answers, options, model)
    theirs, ours = Arm("trl", answers, micro), Arm("ours", answers)
    found = [run(arm, options, model) for arm in (theirs, ours, ours, theirs)]

    def mean(key: str, *places: int) -> float:
        return statistics.mean(float(found[place][key]) for place in places)

    rows: dict[str, Any] = {"micro": micro, "card": found[1]["card"]}
    for name, places in (("trl", (0, 3)), ("ours", (1, 2))):
        rows[name] = {key: mean(key, *places) for key in ("slates_per_s", "peak_gb", "real_tokens", "operations_per_s")}
        peak = next((value for card, value in PEAK.items() if card in rows["card"]), None)
        rows[name]["mfu"] = rows[name]["operations_per_s"] / peak if peak else None
    rows["faster"] = rows["ours"]["slates_per_s"] / rows["trl"]["slates_per_s"]
    rows["memory"] = rows["ours"]["peak_gb"] / rows["trl"]["peak_gb"]
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(SHAPES), default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quantisation", choices=("none", "nf4"), default="none")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--memory", type=float, default=48.0, help="GB of the card that may be used; 0: all")
    parser.add_argument("--ablation", action="store_true", help="also switch our features off one at a time")
    parser.add_argument("--out", type=Path, help="write what was found as JSON")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        arm = Arm(**json.loads(options.arm))
        measure(arm, options)
        return
    found: dict[str, Any] = {"model": options.model, "device": options.device, "quantisation": options.quantisation}
    with tempfile.TemporaryDirectory() as home:
        model = Path(home) / "model"
        make_model(model, options.model)
        for name, answers in (("slates of four", 4), ("one pair a prompt", 2)):
            print(f"{name}:", flush=True)
            found[name] = compare(answers, options, model)
        if options.ablation:
            print("without one feature, slates of four:", flush=True)
            whole = found["slates of four"]["ours"]["slates_per_s"]
            found["ablation"] = {}
            for name, feature in ABLATIONS.items():
                shown = run(Arm("ours", 4, without=feature), options, model)
                found["ablation"][name] = {"slates_per_s": shown["slates_per_s"] / whole, "peak_gb": shown["peak_gb"]}
    print(f"\n{'':<20}{'TRL/s':>10}{'ours/s':>10}{'faster':>9}{'memory':>9}{'MFU TRL':>11}{'MFU ours':>10}")
    for name in ("slates of four", "one pair a prompt"):
        rows = found[name]
        used = [f"{rows[side]['mfu']:.0%}" if rows[side]["mfu"] else "-" for side in ("trl", "ours")]
        print(
            f"{name:<20}{rows['trl']['slates_per_s']:>10.2f}{rows['ours']['slates_per_s']:>10.2f}"
            f"{rows['faster']:>8.2f}x{rows['memory']:>8.2f}x{used[0]:>11}{used[1]:>10}"
        )
    for name, shown in found.get("ablation", {}).items():
        print(f"{name:<42}{shown['slates_per_s']:>6.2f} of the speed, {shown['peak_gb']:.2f} GB")
    if options.out:
        options.out.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
