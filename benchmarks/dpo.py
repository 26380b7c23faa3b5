"""Our trainer against TRL's own, at the same slates: `python benchmarks/dpo.py`, about half an hour of one quiet core.

    python benchmarks/dpo.py                              a small model on a CPU: rates and memory
    python benchmarks/dpo.py --ablation                   and each of our features switched off, one at a time
    python benchmarks/dpo.py --pictures                   two LLaVAs on slates about pictures instead

benchmarks/gpu.sh does it with 8 billion weights on a card. The model is built from a configuration with random weights:
speed and memory do not depend on their values. Lengths are those of dpo_lengths.json, the same for both. The other side
is TRL's DPOTrainer on all pairs of a slate with its reference log-probs computed beforehand, in the micro-batch in
which it is fastest here; our side is the engine of `annot train`. Every arm runs in a process of its own, in the order
trl, ours, ours, trl; per arm 5 updates warm up and 20 are timed. What is reported are ratios of medians.

With pictures TRL computes its reference in every update, since it refuses to do it beforehand; ours does it before, and
the second ratio counts that too, for one pass over the slates. Times are processor time of one thread, from the end of
one update to the end of the next, so that both sides pay for reading their pictures, which ours would remember from its
reference in a run as short as this; one update warms up and 6 are timed. A hook on the vision tower counts the pictures
that it encodes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from ablations import ABLATIONS, switch_off
from llama import SHAPES, config_of, make_llama, token_slates, weights_of
from llava import SIGHT, make_llava, make_llava_base, picture_tokens, with_pictures

SLATES = {"tiny": 2, "small": 4, "8b": 8, "8b wide, 4 layers": 8}
"""Slates an update; where a prompt has one pair, six times as many, so that an update has as many pairs."""

MICRO = (2, 4, 8, 12)
"""Pairs per forward pass that TRL's side tries."""


@dataclass(frozen=True)
class Arm:
    """What a process measures.

    Attributes:
        side: "trl" or "ours".
        answers: 4 for slates, 2 for one pair a prompt.
        micro: Pairs per forward pass of TRL's side.
        without: One of ABLATIONS, or "".
        warm: Updates before the clock.
        timed: Updates that are timed.
        shape: One of SHAPES.
        device: "cpu" or "cuda".
        dtype: Of the base; bfloat16 comes with autocast.
        nf4: Its linear layers have 4 bits.
        threads: Of a CPU; 0: all.
        attention: Of transformers.
        pictures: A LLaVA, and a picture for every slate.
        settings: More of the recipe, "section.key" → value.
    """

    side: str
    answers: int = 4
    micro: int = 0
    without: str = ""
    warm: int = 5
    timed: int = 20
    shape: str = "small"
    device: str = "cpu"
    dtype: str = "float32"
    nf4: bool = False
    threads: int = 0
    attention: str = "sdpa"
    pictures: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def per_update(self) -> int:
        """Slates of an update."""
        return SLATES[self.shape] * (6 if self.answers == 2 else 1)


def make_base(folder: Path, shape: str) -> None:
    """Write a configuration, and a tokenizer in which a word is a token: all of a base but its weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    words = {"<pad>": 0, "<end>": 1} | {f"w{number}": number for number in range(2, SHAPES[shape]["vocab_size"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>").save_pretrained(folder)
    LlamaConfig(**config_of(shape), architectures=["LlamaForCausalLM"]).save_pretrained(folder)


def make_slates(shape: str, answers: int, count: int) -> list[Any]:
    """The slates of llama.py as texts, the first answer the best and so on."""
    from train.data.slates import Comparison, RankedSlate, Ranking

    def text(tokens: list[int]) -> str:
        return " ".join(f"w{token}" for token in tokens)

    pairs = tuple(Comparison(better, worse) for better, worse in combinations(range(answers), 2))
    order = Ranking(tuple((answer,) for answer in range(answers)))
    return [
        # The base ends an answer by itself.
        RankedSlate(f"slate {number}", text(slate["prompt"]), tuple(f" {text(a[:-1])}" for a in slate["answers"]),
                    (order,), pairs)
        for number, slate in enumerate(token_slates(shape, answers, count))
    ]  # fmt: skip


def recipe_for(arm: Arm, folder: Path) -> Any:
    """The default preset, or what it becomes on a CPU."""
    from train.settings import load_recipe

    updates = arm.warm + arm.timed
    wanted: dict[str, Any] = {
        "base.quantisation": "nf4" if arm.nf4 else "none",
        "base.dtype": arm.dtype,
        "optimiser.autocast": "bfloat16" if arm.dtype == "bfloat16" else "none",
        "device.kind": arm.device,
        "device.min_free_gib": 0,
        "device.threads": arm.threads,
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
    if arm.device == "cpu":
        wanted |= {"optimiser.name": "adamw_torch", "optimiser.checkpoint_activations": "false"}
    if arm.side == "trl":
        pairs = arm.per_update * (6 if arm.answers == 4 else 1)
        wanted |= {"optimiser.batch": arm.micro, "optimiser.accumulate": pairs // arm.micro}
    else:
        wanted |= {"optimiser.batch": arm.per_update, "optimiser.accumulate": 1}
        if arm.without == "alone":
            wanted["engine.token_budget"] = 1
    preset = "l40s-vlm-lora" if arm.pictures else "l40s-8b-lora-bf16"
    changed = [f"{key}={value}" for key, value in (wanted | arm.settings).items()]
    recipe = load_recipe(preset, changed, base=str(folder))
    # A preset has no FlexAttention on a CPU, where it is only tried.
    return recipe.model_copy(update={"base": recipe.base.model_copy(update={"attention": arm.attention})})


def measure(arm: Arm, gradient: Path | None = None) -> dict[str, Any]:
    """Run one arm in this process.

    Args:
        arm: Which.
        gradient: Where the gradient of the first update is to be written: from an adapter that is not zero, uncut.
    """
    import torch
    from planted import plan_of
    from transformers import TrainerCallback

    from train.engine.build import slate_trainer
    from train.engine.trl_dpo import pair_trainer
    from train.libraries import deterministic, quiet_libraries
    from train.models.base import find_base
    from train.run_folder import NullLog, write_rows

    updates = arm.warm + arm.timed
    slates = make_slates(arm.shape, arm.answers, arm.per_update * updates)
    time_now = time.process_time if arm.pictures else time.perf_counter
    times: list[float] = []
    held, encoded = 0.0, 0

    class Clock(TrainerCallback):  # type: ignore[misc]
        ready = began = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            nonlocal held
            self.ready, held = time_now(), start_counting(arm.device)
            if arm.pictures and arm.side == "ours":
                trainer.pictures.pixels.cache_clear()

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            synchronize(arm.device)
            if not arm.pictures or not times:
                self.began = time_now()

        def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
            if gradient and not gradient.exists():
                found = {name: p.grad.float().cpu() for name, p in model.named_parameters() if p.grad is not None}
                torch.save(found, gradient)

        def on_step_end(self, _args: Any, _state: Any, control: Any, **__: Any) -> None:
            synchronize(arm.device)
            now = time_now()
            times.append(now - self.began)
            self.began = now
            control.should_save = False  # transformers would write a checkpoint at the end

    def count(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal encoded
        encoded += len(named["pixel_values"] if "pixel_values" in named else given[0]) if clock.ready else 0

    clock = Clock()
    with tempfile.TemporaryDirectory() as home, quiet_libraries(None):
        folder = Path(home)
        os.environ["ANNOT_REFERENCE"] = str(folder / "reference")  # no log-probs of an earlier arm
        if arm.pictures:
            make_llava_base(folder / "base", arm.shape)
            slates = with_pictures(slates, folder)
        else:
            make_base(folder / "base", arm.shape)
        recipe = recipe_for(arm, folder / "base")
        with deterministic(recipe):
            torch.use_deterministic_algorithms(False)
            base = find_base(recipe.base, folder, lambda: (), seed=0)
            if arm.pictures:
                model = make_llava(arm.shape)
                model.model.vision_tower.register_forward_pre_hook(count, with_kwargs=True)
            else:
                dtype = getattr(torch, arm.dtype)
                model = make_llama(config_of(arm.shape), arm.device, dtype, nf4=arm.nf4, attention=arm.attention)
            model.config.use_cache = False
            plan = plan_of(recipe, base, slates, slates[:2], updates, folder if arm.pictures else None)
            began = time_now()
            if plan.by_trl:
                for name, pairs in (("train.jsonl", plan.pairs.train), ("held_out.jsonl", plan.pairs.held_out)):
                    write_rows(folder / name, [pair.row() for pair in pairs])
                trainer = pair_trainer(plan, model, NullLog(folder), [clock])
            else:
                trainer = slate_trainer(plan, model, NullLog(folder), [clock])
                switch_off(trainer, arm.without)
            if arm.pictures:
                began = time_now()  # TRL's reference is in its updates
            if gradient:
                chance = torch.Generator().manual_seed(0)
                for name, weight in sorted(trainer.model.named_parameters()):
                    if "lora_" in name:
                        weight.data.copy_(torch.randn(weight.shape, generator=chance) * 0.02)
            trainer.train()
        schedule = {} if plan.by_trl else json.loads((folder / "engine.json").read_text(encoding="utf-8"))
    places = picture_tokens(arm.shape) if arm.pictures else 0
    real = real_tokens(slates, places, pairs=arm.side == "trl", copies=arm.without == "copies") / updates
    seconds = statistics.median(times[arm.warm :])
    return {
        "slates_per_s": arm.per_update / seconds,
        "encoded_per_slate": encoded / len(slates),
        "seconds": seconds,
        "spread": [min(times[arm.warm :]), max(times[arm.warm :])],
        "first_update_s": times[0],
        "reference_s": clock.ready - began,
        "loss": next(line["loss"] for line in trainer.state.log_history if "loss" in line),
        "real_tokens": real,
        "tokens_per_s": real / seconds,
        "operations_per_s": 4 * weights_of(arm.shape) * real / seconds,
        "peak_gb": peak_gb(arm.device),
        "held_gb": held,
        "trained_weights": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "schedule": schedule,
        "token_budget": getattr(trainer, "token_budget", 0),  # smaller than planned where memory ran out
        "card": torch.cuda.get_device_name(0) if arm.device == "cuda" else "CPU",
    }


def synchronize(device: str) -> None:
    """Wait until the card has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def start_counting(device: str) -> float:
    """GB that a card holds now; the peak is counted from here. 0 on a CPU."""
    if device != "cuda":
        return 0.0
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 1e9


def peak_gb(device: str) -> float:
    """Most memory of this process so far: the card's as PyTorch counts it, or all of the process's."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def real_tokens(slates: list[Any], picture: int = 0, *, pairs: bool = False, copies: bool = False) -> int:
    """Tokens that have to be computed: a prompt once a slate or an answer; an answer once, or in all its pairs."""
    from train.data.texts import question_of, words_of

    total = 0
    for slate in slates:
        prompt = picture + len(question_of(slate.prompt).split())
        answers = [len(words_of(text).split()) + 1 for text in slate.answers]
        if pairs:
            total += (len(answers) - 1) * sum(prompt + tokens for tokens in answers)
        else:
            total += prompt * (len(answers) if copies else 1) + sum(answers)
    return total


def run(arm: Arm) -> dict[str, Any]:
    """One arm in a process of its own."""
    words = [sys.executable, __file__, "--arm", json.dumps(vars(arm))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    print(
        f"  {arm.side:<6}{arm.answers} answers{f', {arm.micro} pairs a pass' if arm.micro else ''}"
        f"{f', without {arm.without}' if arm.without else ''}: {found['slates_per_s']:.2f} slates/s, "
        f"{found['peak_gb']:.2f} GB",
        flush=True,
    )
    return found


def compare(answers: int, threads: int, **what: Any) -> dict[str, Any]:
    """TRL in its fastest micro-batch, ours, ours, TRL."""
    theirs, ours = Arm("trl", answers, threads=threads, **what), Arm("ours", answers, threads=threads, **what)
    most = ours.per_update * 6 if answers == 4 else ours.per_update
    rates = {micro: run(replace(theirs, micro=micro, timed=3))["slates_per_s"] for micro in MICRO if most % micro == 0}
    micro = max(rates, key=lambda micro: rates[micro])
    theirs = replace(theirs, micro=micro)
    found = [run(arm) for arm in (theirs, ours, ours, theirs)]
    rows: dict[str, Any] = {"micro": micro}
    for name, places in (("trl", (0, 3)), ("ours", (1, 2))):
        for key in ("slates_per_s", "reference_s", "encoded_per_slate", "peak_gb", "operations_per_s"):
            rows.setdefault(name, {})[key] = statistics.mean(float(found[place][key]) for place in places)
    rows["faster"] = rows["ours"]["slates_per_s"] / rows["trl"]["slates_per_s"]
    # One pass over the slates: what ours takes before the first update beyond what TRL's trainer takes to set up.
    before = (rows["ours"]["reference_s"] - rows["trl"]["reference_s"]) / (ours.per_update * (ours.warm + ours.timed))
    rows["wholly_faster"] = 1 / (1 / rows["ours"]["slates_per_s"] + before) / rows["trl"]["slates_per_s"]
    rows["memory"] = rows["ours"]["peak_gb"] / rows["trl"]["peak_gb"]
    return rows


def compare_pictures(found: dict[str, Any]) -> None:
    """Both LLaVAs: rates, and how often a picture is encoded."""
    for shape in SIGHT:
        print(f"a {shape} LLaVA, {picture_tokens(shape)} tokens a picture:", flush=True)
        rows = found[f"{shape} LLaVA"] = compare(4, 1, shape=shape, pictures=True, warm=1, timed=6)
        ours, theirs = (rows[side]["encoded_per_slate"] for side in ("ours", "trl"))
        print(
            f"  with the reference {rows['wholly_faster']:.2f}x; a picture is encoded {ours:g} times, by TRL {theirs:g}"
        )


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    parser.add_argument("--ablation", action="store_true", help="also switch our features off one at a time")
    parser.add_argument("--pictures", action="store_true", help="slates about pictures, and nothing else")
    parser.add_argument("--out", type=Path, help="write what was found as JSON")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print("RESULT " + json.dumps(measure(Arm(**json.loads(options.arm)))))
        return
    found: dict[str, Any] = {}
    if options.pictures:
        compare_pictures(found)
    for name, answers in () if options.pictures else (("slates of four", 4), ("one pair a prompt", 2)):
        print(f"{name}:", flush=True)
        found[name] = compare(answers, options.threads)
    if options.ablation:
        print("without one feature, slates of four:", flush=True)
        whole = found["slates of four"]["ours"]["slates_per_s"]
        found["ablation"] = {}
        for name, feature in ABLATIONS.items():
            shown = run(Arm("ours", without=feature, threads=options.threads))
            found["ablation"][name] = {"slates_per_s": shown["slates_per_s"] / whole, "peak_gb": shown["peak_gb"]}
    print(f"\n{'':<20}{'TRL/s':>10}{'ours/s':>10}{'faster':>9}{'memory':>9}")
    for name, rows in ((name, rows) for name, rows in found.items() if name != "ablation"):
        print(
            f"{name:<20}{rows['trl']['slates_per_s']:>10.2f}{rows['ours']['slates_per_s']:>10.2f}"
            f"{rows['faster']:>8.2f}x{rows['memory']:>8.2f}x"
        )
    for name, shown in found.get("ablation", {}).items():
        print(f"{name:<42}{shown['slates_per_s']:>6.2f} of the speed, {shown['peak_gb']:.2f} GB")
    if options.out:
        options.out.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
