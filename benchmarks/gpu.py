"""Our engine, TRL and flash-pref with 8 billion weights on one card: `sh benchmarks/gpu.sh`, eight minutes.

The most valuable part comes first, every result is printed and written to a file as it ends, and what has no time left
is named. Memory is capped to 48 GB, so that a larger card imitates an L40S. Parts:

    ceilings   bfloat16 matrix products and copies; whether cuDNN's attention gives NaN gradients with a mask
    lora       slates of four, bfloat16 base: TRL's pairs, flash-pref, ours with the dense mask and with FlexAttention
    nf4        the same on a 4-bit base
    parity     loss and gradient of ours and of TRL in bfloat16, against TRL in float32
    memory     what the planner estimates and what is taken; an update that runs out of memory and is done again
    pairs      one pair a prompt
    again      lora, nf4 and pairs once more, the sides in the other order
    more       ours with compiled layers, with dropout, with the CPU's head; TRL with Liger's kernels where they are
    fillers    how much of a pack is no slate, by the tokens of a pack (needs no card)

TRL runs its DPOTrainer on all pairs, reference computed beforehand, in the fastest of the settings that fit. Sides run
A B C D, and at last D C B A, each in a process of its own; rates are of the median update. `--tiny` runs every part on
a CPU, which shows that it works and measures nothing.

MFU is of real tokens: 4 N operations each (N weights but the embedding; a frozen base has no gradients of weights),
over the data sheet's peak. A real token is one that the side has to compute: no fillers, and a prompt that is shared
once.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpo import Arm, measure
from llama import config_of, token_slates, weights_of

PEAK = {"H200": 989e12, "H100": 989e12, "L40S": 362e12, "A100": 312e12}
"""Dense bfloat16 operations a second, from data sheets."""

BANDWIDTH = {"H200": 4.8e12, "H100": 3.35e12, "L40S": 0.864e12, "A100": 2.0e12}
"""Bytes a second, from data sheets."""

LIMIT_S = 150.0
"""Longest for one arm."""

TRL_SETTINGS = ((2, False), (4, False), (4, True))
"""Pairs per forward pass, and whether layers are checkpointed: half as much again to compute. Of the longest passes of
dpo_lengths.json, those of more pairs do not fit into 48 GB uncheckpointed, and hold more fillers."""

FASTER_THAN_TRL, FASTER_THAN_FLASH_PREF, LESS_MEMORY, FASTER_ON_PAIRS = 6.0, 1.5, 0.7, 1.8
MFU = {"lora": 0.45, "nf4": 0.38}
"""What we want."""

PARITY = 1.25
"""Ours may be so many times as far from float32 as TRL's own bfloat16 is."""


class Bench:
    """A run of the parts: what was found, in memory and in a file, and the time that is left."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Begin the clock."""
        self.tiny, self.memory, self.flash_pref = options.tiny, options.memory, options.flash_pref
        self.ends, self.file = time.monotonic() + options.seconds, options.out
        self.found: list[dict[str, Any]] = []
        self.log = self.file.with_suffix(".log")
        self.trl: dict[bool, tuple[int, bool]] = {}

    def arm(self, side: str, answers: int = 4, **more: Any) -> Arm:
        """An arm on the card, or a tiny one on a CPU."""
        if self.tiny:
            settings = {"device": "cpu", "shape": "tiny", "threads": 1, "warm": 1, "timed": 2}
        else:
            warm, timed = (1, 3) if side == "trl" else (2, 6)
            settings = {"device": "cuda", "shape": "8b", "warm": warm, "timed": timed}
        return Arm(side, answers, **{**settings, "dtype": "bfloat16", **more})

    def keep(self, part: str, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Compute something in a process of its own, print it and write it down."""
        left = self.ends - time.monotonic()
        began = time.monotonic()
        result = in_child(compute, min(LIMIT_S, left), self.log) if left > 0 else {"skipped": "no time was left"}
        line = {"part": part, "name": name, **result, "wall_s": round(time.monotonic() - began, 1)}
        self.found.append(line)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{part:<10}{name:<32}{told(line)}  [{line['wall_s']:.0f} s]", flush=True)
        return line

    def measured(self, part: str, name: str, arm: Arm, **more: Any) -> dict[str, Any]:
        """An arm of ours or TRL's."""
        return self.keep(part, name, lambda: on_the_card(arm, self.memory, **more))


def in_child(compute: Callable[[], dict[str, Any]], limit: float, log: Path) -> dict[str, Any]:
    """Call in a forked process, which has the libraries already and leaves no memory on the card behind."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdout = sys.stderr = log.open("a", encoding="utf-8")
        try:
            result = compute()
        except BaseException as error:  # noqa: BLE001
            import traceback

            traceback.print_exc()
            memory = "out of memory" in str(error)
            result = {"out_of_memory": True} if memory else {"failed": f"{type(error).__name__}: {error}"[:300]}
        with os.fdopen(write, "w") as pipe:
            json.dump(result, pipe)
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    with contextlib.suppress(OSError):  # whichever of the two is first
        os.setpgid(child, child)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, max(limit, 1.0))
    try:
        with os.fdopen(read) as pipe:
            text = pipe.read()
        signal.setitimer(signal.ITIMER_REAL, 0)
        _, status = os.waitpid(child, 0)
    except BaseException:  # Ctrl-C reaches the first process only
        os.killpg(child, signal.SIGKILL)
        raise
    if text:
        found: dict[str, Any] = json.loads(text)
        return found
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return {"failed" if limit >= LIMIT_S else "skipped": f"stopped after {limit:.0f} s"}
    return {"failed": f"ended with status {status}"}


def on_the_card(
    arm: Arm, memory: float, *, room: int = 0, liger: bool = False, head: bool = False, gradient: Path | None = None
) -> Any:
    """Measure an arm under the cap.

    Args:
        arm: Which.
        memory: GB of the card that may be used.
        room: Tokens of a pack above which memory is said to have run out: what a small card would do, on a CPU.
        liger: TRL with Liger's kernels.
        head: Ours with the CPU's head, which computes each score once, in place of TRL's.
        gradient: As for `measure`.
    """
    import torch
    import trl.trainer.dpo_trainer as stock

    import train.engine.build as build
    import train.engine.trainer as engine
    import train.engine.trl_dpo as ours_of_trl
    from train.engine import log_probs

    stock.hash_module = lambda _: "a benchmark"  # it names a file, and reads all weights on the CPU for it
    if arm.device == "cuda":
        whole = torch.cuda.get_device_properties(0).total_memory
        cap = min(memory * 1e9, whole)
        torch.cuda.set_per_process_memory_fraction(cap / whole)
        free = build.free_memory
        build.free_memory = lambda device: min(free(device), int(cap) - torch.cuda.memory_reserved())
    elif arm.attention == "flex_attention":
        import torch.nn.attention.flex_attention as flex

        flex._validate_device = lambda *_: None  # type: ignore[assignment]  # written out, it has a gradient on a CPU
        torch.compiler.set_stance("force_eager")
    if room:
        answer_log_probs = engine.answer_log_probs

        def small(model: Any, packed: Any) -> Any:
            if packed.size > room and torch.is_grad_enabled():
                raise torch.OutOfMemoryError("CUDA out of memory")
            return answer_log_probs(model, packed)

        engine.answer_log_probs = small
    if head:
        log_probs.FROZEN_HEAD_ON.add("cuda")
    if liger:
        config = ours_of_trl.dpo_config
        ours_of_trl.dpo_config = lambda *given: replace(config(*given), use_liger_kernel=True)
    return measure(arm, gradient)


def told(line: dict[str, Any]) -> str:
    """A result in a line."""
    for key in ("failed", "skipped"):
        if key in line:
            return f"{key}: {line[key]}"
    if "out_of_memory" in line:
        return "out of memory"
    if "slates_per_s" in line:
        mfu, planned = mfu_of(line), line.get("schedule", {}).get("token_budget", 0)
        halved = f", packs halved to {line['token_budget']} tokens" if line.get("token_budget", 0) < planned else ""
        return (
            f"{line['slates_per_s']:.2f} slates/s, {line['tokens_per_s']:.0f} tokens/s"
            f"{f', MFU {mfu:.1%}' if mfu else ''}, {line['peak_gb']:.1f} GB{halved}"
        )
    return ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                     for key, value in line.items() if key not in ("part", "name", "wall_s"))  # fmt: skip


def mfu_of(line: dict[str, Any]) -> float | None:
    """Share of the card's peak; None on a CPU."""
    peak = next((value for card, value in PEAK.items() if card in line["card"]), None)
    return line["operations_per_s"] / peak if peak else None


# -- the parts -----------------------------------------------------------------------------------------------------


def libraries() -> dict[str, Any]:
    """Versions of what the arms need, after a tiny arm of each side on the CPU: what is missing costs no time."""
    from importlib.metadata import version

    for side in ("ours", "trl"):
        on_the_card(Arm(side, micro=4, shape="tiny", warm=0, timed=1, threads=1), 0.0)
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")}


def ceilings(bench: Bench) -> None:
    """What the card can do at best, and whether its attention is sound."""
    bench.keep("ceilings", "matrix products, copies", lambda: matrix_products(bench.tiny))
    bench.keep("ceilings", "cuDNN attention, masked", lambda: cudnn_attention(bench.tiny))


def matrix_products(tiny: bool) -> dict[str, Any]:
    """Operations a second of the products that an 8B model is made of, and bytes a second of a copy."""
    import torch

    device = "cpu" if tiny else "cuda"
    shapes = [(64, 64, 128)] if tiny else [(8192, 8192, 8192), (4096, 4096, 14336), (4096, 14336, 4096)]
    found: dict[str, Any] = {"card": torch.cuda.get_device_name(0) if not tiny else "CPU", "torch": torch.__version__}
    for rows, inner, columns in shapes:
        left, right = (
            torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in ((rows, inner), (inner, columns))
        )
        seconds = timed(lambda: left @ right, device)  # noqa: B023
        found[f"TFLOPs {rows}x{inner}x{columns}"] = 2 * rows * inner * columns / seconds / 1e12
    source = torch.randn(2**10 if tiny else 2**30, device=device, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    found["copied TB/s"] = 2 * source.nbytes / timed(lambda: target.copy_(source), device) / 1e12
    return found


def timed(work: Callable[[], Any], device: str, times: int = 20) -> float:
    """Median seconds of something on the device."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds = []
    for _ in range(3 + times):
        wait()
        began = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[3:])


def cudnn_attention(tiny: bool) -> dict[str, Any]:
    """Gradients of attention under a packed slate's mask, by cuDNN and by PyTorch's own kernel."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from train.engine.packing import pack, visible

    if tiny:
        return {"skipped": "there is no cuDNN on a CPU"}
    (packed,) = pack(encoded("8b", 4, 4), 100_000)
    packed = packed.to("cuda")
    width = packed.ids.shape[1]
    places = torch.arange(width, device="cuda")
    rows = torch.arange(len(packed.ids), device="cuda")[:, None, None]
    seen = visible(packed)(rows, None, places[:, None], places[None, :])[:, None]
    mask = torch.where(seen, 0.0, torch.finfo(torch.bfloat16).min).bfloat16()
    found: dict[str, Any] = {}
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        torch.manual_seed(0)
        tensors = [
            torch.randn(len(mask), 32, width, 128, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for _ in "qkv"
        ]
        try:
            with sdpa_kernel([backend]):
                torch.nn.functional.scaled_dot_product_attention(
                    *tensors, attn_mask=mask
                ).float().square().sum().backward()
            found[backend.name.lower()] = "finite" if all(bool(t.grad.isfinite().all()) for t in tensors) else "NaN"  # type: ignore[union-attr]
        except RuntimeError as error:
            found[backend.name.lower()] = f"does not run: {error}"[:80]
    return found


def encoded(shape: str, answers: int, count: int) -> list[Any]:
    """Slates in tokens."""
    from train.data.tokens import EncodedSlate

    return [
        EncodedSlate(tuple(slate["prompt"]), tuple(map(tuple, slate["answers"])))
        for slate in token_slates(shape, answers, count)
    ]


def fillers(bench: Bench) -> None:
    """Share of the computed tokens that are of a slate: updates of 16 slates of four, and of 48 pairs."""
    from train.engine.packing import pack

    def shares(answers: int, per_update: int) -> dict[str, Any]:
        slates = encoded("8b", answers, 240)
        found: dict[str, Any] = {}
        for shape in ("rows", "row"):
            for budget in (2048, 4096, 8192, 16384):
                packs = [pack(slates[at : at + per_update], budget, shape) for at in range(0, 240, per_update)]  # type: ignore[arg-type]
                size = sum(packed.size for some in packs for packed in some)
                found[f"{shape} of {budget}"] = sum(slate.tokens for slate in slates) / size
        return found

    bench.keep("fillers", "real tokens, slates of four", lambda: shares(4, 16))
    bench.keep("fillers", "real tokens, pairs", lambda: shares(2, 48))


def lora(bench: Bench) -> None:
    """Slates of four on a bfloat16 base."""
    sides(bench, "lora", 4, nf4=False)


def nf4(bench: Bench) -> None:
    """Slates of four on a 4-bit base."""
    sides(bench, "nf4", 4, nf4=True)


def pairs(bench: Bench) -> None:
    """One pair a prompt."""
    sides(bench, "pairs", 2, nf4=False)


def again(bench: Bench) -> None:
    """The sides of three parts once more, in the other order."""
    sides(bench, "lora", 4, nf4=False, back=True)
    sides(bench, "nf4", 4, nf4=True, back=True)
    sides(bench, "pairs", 2, nf4=False, back=True)


def sides(bench: Bench, part: str, answers: int, *, nf4: bool, back: bool = False) -> None:
    """All sides at the same slates, A B C D, or back D C B A."""
    arms = {
        "TRL": trl_arm(bench, *fastest_trl(bench, nf4), answers=answers, nf4=nf4),
        "ours": bench.arm("ours", answers, nf4=nf4),
        "ours, FlexAttention": bench.arm("ours", answers, nf4=nf4, attention="flex_attention"),
        "flash-pref": None,
    }
    for name in reversed(arms) if back else arms:
        if arm := arms[name]:
            bench.measured(part, name, arm)
        else:
            bench.keep(part, name, lambda: flash_preference(bench, answers, nf4=nf4))
    if not back and not nf4:
        small = {"engine.token_budget": 100 if bench.tiny else 2048}  # about what TRL computes at once
        bench.measured(part, "ours, packs of 2048", bench.arm("ours", answers, settings=small))
    if answers > 2 and not back:
        name = "flash-pref, groups of four"
        bench.keep(part, name, lambda: flash_preference(bench, answers, nf4=nf4, together="slate"))


def trl_arm(bench: Bench, micro: int, checkpointed: bool, **more: Any) -> Arm:
    """TRL's side; a device batch and checkpointing are its only settings that matter here."""
    return bench.arm(
        "trl", micro=micro, settings={"optimiser.checkpoint_activations": str(checkpointed).lower()}, **more
    )


def fastest_trl(bench: Bench, nf4: bool) -> tuple[int, bool]:
    """Settings in which TRL's side is fastest under the cap, found once for each kind of base."""
    if nf4 not in bench.trl:
        rates = {}
        for micro, checkpointed in TRL_SETTINGS:
            name = f"TRL{' nf4' if nf4 else ''}, {micro} pairs{', checkpointed' if checkpointed else ''}"
            arm = trl_arm(bench, micro, checkpointed, nf4=nf4, timed=1)
            rates[micro, checkpointed] = bench.measured("settings", name, arm).get("slates_per_s", 0.0)
        bench.trl[nf4] = max(rates, key=lambda setting: rates[setting])
    return bench.trl[nf4]


def flash_preference(bench: Bench, answers: int, *, nf4: bool, together: str = "pairs") -> dict[str, Any]:
    """benchmarks/flash_preference.py with the libraries of its own."""
    if not bench.flash_pref:
        return {"skipped": "its libraries are not here: sh benchmarks/gpu.sh wheels"}
    arm = bench.arm("flash-pref", answers)
    updates = arm.warm + arm.timed
    slates = token_slates(arm.shape, answers, arm.per_update * updates)
    job = {
        "shape": config_of(arm.shape),
        "device": arm.device,
        "nf4": nf4,
        "memory_gb": bench.memory,
        "threads": arm.threads,
        "slates": slates,
        "per_update": arm.per_update,
        "warm": arm.warm,
        "timed": arm.timed,
        "together": together,
        "micro": 4 if together == "pairs" else 2,  # the longest of more do not fit into 48 GB
        "rank": 16,
        "alpha": 32,
        "beta": 0.1,
        "learning_rate": 2e-5,
    }
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": f"{bench.flash_pref}{os.pathsep}{here}"}
        words = [sys.executable, str(here / "flash_preference.py"), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
    if not line:
        print(done.stderr, file=sys.stderr)
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or "it ended without a result")
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    seconds = statistics.median(found["seconds"])
    real = flash_preference_tokens(slates, together) / updates
    rates = {"slates_per_s": arm.per_update / seconds, "tokens_per_s": real / seconds, "real_tokens": real}
    return {**found, **rates, "operations_per_s": 4 * weights_of(arm.shape) * real / seconds}


def flash_preference_tokens(slates: list[dict[str, Any]], together: str) -> int:
    """Tokens that flash-pref has to compute: a prompt once a group, an answer in every group it is in."""
    total = 0
    for slate in slates:
        count, length = len(slate["answers"]), sum(map(len, slate["answers"]))
        if together == "slate":
            total += len(slate["prompt"]) + length
        else:
            total += count * (count - 1) // 2 * len(slate["prompt"]) + (count - 1) * length
    return total


def parity(bench: Bench) -> None:
    """How far loss and gradient are from TRL's in float32, each side from the same adapter, four layers of an 8B."""
    shape = "tiny" if bench.tiny else "8b wide, 4 layers"
    uncut = {"optimiser.max_grad_norm": 1e9}
    arms = {
        "TRL, float32": bench.arm("trl", micro=4, settings=uncut, dtype="float32"),
        "TRL": bench.arm("trl", micro=4, settings=uncut),
        "ours": bench.arm("ours", settings=uncut),
        "ours, FlexAttention": bench.arm("ours", settings=uncut, attention="flex_attention"),
    }
    with tempfile.TemporaryDirectory() as home:
        lines = {}
        for name, arm in arms.items():
            path, arm = Path(home) / name, replace(arm, shape=shape, warm=0, timed=1)
            lines[name] = bench.measured("parity", name, arm, gradient=path)
        bench.keep("parity", "distance from float32", lambda: distances(Path(home), lines))


def distances(home: Path, lines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Relative distance of each gradient from the exact one, and whether ours are near enough."""
    import torch

    gradients = {name: torch.load(home / name) for name in lines if (home / name).exists()}
    truth = gradients["TRL, float32"]
    norm = torch.stack([gradient.norm() for gradient in truth.values()]).norm()
    found: dict[str, Any] = {}
    for name in [name for name in gradients if name != "TRL, float32"]:
        parts = [(gradients[name][key] - gradient).norm() for key, gradient in truth.items()]
        found[name] = float(torch.stack(parts).norm() / norm)
        found[f"loss of {name}"] = lines[name]["loss"] - lines["TRL, float32"]["loss"]
    ours = [value for name, value in found.items() if name.startswith("ours")]
    return {**found, "within tolerance": bool(ours) and max(ours) <= PARITY * found["TRL"]}


def memory(bench: Bench) -> None:
    """The planner's estimate against what was taken, and an update that runs out of memory."""
    given: dict[str, dict[str, Any]] = {
        "as planned": {},
        "no layer checkpointed": {"engine.checkpoint_layers": 0, "engine.token_budget": 100 if bench.tiny else 2048},
        "all checkpointed": {"engine.checkpoint_layers": 32, "engine.token_budget": 200 if bench.tiny else 8192},
    }
    for name, settings in given.items():
        arm = bench.arm("ours", settings={"lora.dropout": 0.05, **settings}, warm=0, timed=2)
        line = bench.measured("memory", name, arm)
        if "schedule" in line and arm.device == "cuda":
            # The optimiser's moments and the gradient come in the first update.
            taken = line["peak_gb"] - line["held_gb"] - 12 * line["trained_weights"] / 1e9
            planned = line["schedule"]["needed"] / 1e9
            bench.keep("memory", f"{name}: GB", lambda: {"planned": planned, "taken": taken, "ratio": planned / taken})  # noqa: B023
    room, budget = (120, 400) if bench.tiny else (0, 8192)
    settings = {"engine.checkpoint_layers": 0, "engine.token_budget": budget}
    bench.measured(
        "memory", "out of memory, done again", bench.arm("ours", settings=settings, warm=0, timed=2), room=room
    )
    last = bench.found[-1]
    shown = {
        "tokens of a pack": f"{budget} -> {last.get('token_budget')}",
        "halved": last.get("token_budget", budget) < budget,
    }
    bench.keep("memory", "budget", lambda: shown)


def more(bench: Bench) -> None:
    """What may become a preset's setting if it is faster."""
    for name, given in {
        "ours, compiled": bench.arm("ours", settings={"engine.compile": "true"}),
        "ours, compiled, Flex": bench.arm("ours", attention="flex_attention", settings={"engine.compile": "true"}),
        "ours, dropout 0.05": bench.arm("ours", settings={"lora.dropout": 0.05}),
        "ours, dropout, compiled": bench.arm("ours", settings={"lora.dropout": 0.05, "engine.compile": "true"}),
    }.items():
        bench.measured("more", name, given)
    bench.measured("more", "ours, the CPU's head", bench.arm("ours"), head=True)
    if bench.tiny or importlib.util.find_spec("liger_kernel") is None:
        bench.keep("more", "TRL, Liger", lambda: {"skipped": "liger_kernel is not installed, or there is no card"})
    else:
        bench.measured("more", "TRL, Liger", trl_arm(bench, *fastest_trl(bench, False)), liger=True)


PARTS: dict[str, Callable[[Bench], None]] = {
    part.__name__: part for part in (ceilings, lora, nf4, parity, memory, pairs, again, more, fillers)
}


def summary(found: Iterable[dict[str, Any]]) -> list[str]:
    """Ratios of the parts, against what we want."""
    rates: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in found:
        if "slates_per_s" in line:
            rates.setdefault((line["part"], line["name"]), []).append(line)

    def mean(part: str, name: str, key: str) -> float | None:
        lines = rates.get((part, name))
        return statistics.mean(line[key] for line in lines) if lines else None

    heads = ("slates/s", "x TRL", "x flash-pref", "MFU", "GB", "of TRL", "L40S")
    lines = [f"\n{'':<42}" + "".join(f"{head:>14}" for head in heads)]
    for (part, name), of in rates.items():
        if part not in ("lora", "nf4", "pairs", "more"):
            continue
        beside = "lora" if part == "more" else part
        speed, peak = mean(part, name, "slates_per_s") or 0.0, mean(part, name, "peak_gb") or 0.0
        trl, theirs = mean(beside, "TRL", "slates_per_s"), mean(beside, "TRL", "peak_gb")
        other = mean(beside, "flash-pref", "slates_per_s")
        mfu = mfu_of({**of[0], "operations_per_s": mean(part, name, "operations_per_s")})
        card = next((card for card in PEAK if card in of[0]["card"]), None)
        # Bound by memory an L40S has the first share of the rate, bound by arithmetic the second.
        shares = sorted(table["L40S"] / table[card] for table in (PEAK, BANDWIDTH)) if card else []
        cells = (
            f"{speed:.2f}",
            f"{speed / trl:.2f}" if trl else "-",
            f"{speed / other:.2f}" if other else "-",
            f"{mfu:.0%}" if mfu else "-",
            f"{peak:.1f}",
            f"{peak / theirs:.2f}" if theirs else "-",
            "-".join(f"{speed * share:.2f}" for share in shares) or "-",
        )
        lines.append(f"{part:<10}{name:<32}" + "".join(f"{cell:>14}" for cell in cells))
    lines += [
        f"wanted: x TRL >= {FASTER_THAN_TRL} ({FASTER_ON_PAIRS} on pairs), x flash-pref >= {FASTER_THAN_FLASH_PREF}, "
        f"memory <= {LESS_MEMORY} of TRL's, MFU >= {MFU['lora']:.0%} (LoRA) and {MFU['nf4']:.0%} (nf4)",
        "memory: the planner takes what the card has; packs of 2048 tokens are about what TRL computes at once",
        "L40S: a projection, this card's rate times the ratio of memory bandwidths and of peak operations",
    ]
    return lines


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--tiny", action="store_true", help="every part on a CPU, with a tiny model")
    parser.add_argument("--memory", type=float, default=48.0, help="GB of the card that may be used")
    parser.add_argument("--seconds", type=float, default=480.0, help="nothing is begun after so long")
    parser.add_argument("--flash-pref", default="", help="folder with the libraries of flash_preference.py")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu.jsonl"), help="gets a line for each result; beside it a .log"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        options.out.open("a", encoding="utf-8").close()
    except OSError as error:
        parser.error(f"--out {options.out}: {error.strerror}; name a file that can be written")
    bench = Bench(options)
    # Loaded here, so that no arm loads them again. PEFT and TRL load bitsandbytes, which asks the card what it can do,
    # and whoever has touched a card cannot part into processes that use it.
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
        import torch
        import transformers.models.llama.modeling_llama  # noqa: F401
    except ImportError as error:
        parser.error(f"{error}: run `make quickstart`, or set PYTHON; `wheels` in benchmarks/gpu.sh fetches what lacks")
    # Asking CUDA itself would spoil the fork.
    if not options.tiny and torch.cuda._device_count_nvml() < 1:
        parser.error("there is no CUDA card here; --tiny runs every part on a CPU, which measures nothing")
    if options.tiny:
        import trl.trainer.dpo_trainer  # noqa: F401
    elif torch.cuda.is_initialized() or "bitsandbytes" in sys.modules:
        raise RuntimeError("a library touched the card before the arms began")
    gc.collect()
    if "failed" in bench.keep("libraries", "all that the arms need", libraries):
        raise SystemExit("what the arms need cannot be loaded: `wheels` in benchmarks/gpu.sh fetches what lacks.")
    for name in options.parts or PARTS:
        PARTS[name](bench)
    print("\n".join(summary(bench.found)))
    if any("failed" in line for line in bench.found):
        sys.exit(1)


if __name__ == "__main__":
    main()
