"""The library flash-pref at the slates of dpo.py: `python benchmarks/flash_preference.py JOB.json`.

It computes a prompt once for the answers of a group, as our engine does, and needs a transformers before 4.52. So this
runs in an environment of its own and imports none of our packages: torch, transformers 4.51.3, peft, flash_pref, and
bitsandbytes for nf4. The last line printed is `RESULT` and JSON.

A job holds `shape` (of LlamaConfig), `device`, `nf4`, `memory_gb` (0: no cap), `slates`
(each a `prompt` and its `answers` as token numbers, the best first), `per_update`, `warm` and `timed` (updates),
`together`, `micro` (groups per forward pass), `rank`, `alpha`, `beta`, `learning_rate` and `threads`.
`together` is "pairs": each pair of a slate is a group, as in the library's own DPO trainer, so an answer is computed in
every pair it is in; or "slate": all answers of a slate are one group. A CPU goes the way of a card, which is slow.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from llama import make_llama
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import modeling_flash_attention_utils
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl

sys.modules["trl"] = None  # type: ignore[assignment]  # the library would import it for its trainers

from flash_pref import shared_prefix  # noqa: E402

Group = tuple[int, tuple[int, ...]]
"""A slate of an update, and those of its answers that share a pass, the best first."""


def card_attention(*heads: torch.Tensor, **rows: Any) -> torch.Tensor:
    """FlashAttention-2 as PyTorch carries it: causal, the last query of a row seeing its last key, as in flash_attn.

    torch.nn.attention.varlen wraps the same operator, with arguments that differ between versions of PyTorch.
    """
    bounds = (rows[name] for name in ("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k"))
    found = torch.ops.aten._flash_attention_forward(*heads, *bounds, 0.0, True, False, scale=rows["softmax_scale"])
    attended: torch.Tensor = found[0]
    return attended


def plain_attention(*heads: torch.Tensor, **rows: Any) -> torch.Tensor:
    """The same on a CPU, row by row."""
    query, key, value = (some.transpose(0, 1) for some in heads)
    queries, keys = (rows[name].diff().tolist() for name in ("cu_seqlens_q", "cu_seqlens_k"))
    parts = []
    for q, k, v in zip(query.split(queries, 1), key.split(keys, 1), value.split(keys, 1), strict=True):
        seen = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        scale = rows["softmax_scale"]
        parts.append(functional.scaled_dot_product_attention(q, k, v, seen, scale=scale, enable_gqa=True))
    return torch.cat(parts, 1).transpose(0, 1)


def stand_in_for_flash_attn(attention: Callable[..., torch.Tensor], device: str) -> None:
    """Give the library what it takes from the package flash_attn, of which there is no wheel."""
    package: Any = types.ModuleType("flash_attn")
    package.__spec__ = ModuleSpec("flash_attn", None)  # whoever asks whether it is installed finds no version: no
    package.flash_attn_varlen_func = attention
    sys.modules["flash_attn"] = package
    # The library reads or replaces these names, which transformers leaves out where flash_attn is not installed.
    modeling_flash_attention_utils._flash_supports_window_size = False
    for module in (modeling_qwen2_vl, modeling_qwen2_5_vl):
        module._flash_attention_forward = None
    if device == "cpu":  # the library names the device "cuda"
        here = {**vars(torch), "tensor": lambda data, **_: torch.tensor(data)}
        vars(sys.modules["flash_pref.shared_prefix"])["torch"] = types.SimpleNamespace(**here)


def load_model(job: dict[str, Any]) -> Any:
    """A Llama with random weights and LoRA over all its linear layers but the head."""
    device, on_card = job["device"], job["device"] == "cuda"
    dtype = torch.bfloat16 if on_card else torch.float32
    model = make_llama(job["shape"], device, dtype, nf4=job["nf4"])
    lora = LoraConfig(r=job["rank"], lora_alpha=job["alpha"], lora_dropout=0.0, target_modules="all-linear")
    adapted = get_peft_model(model, lora)  # whatever the base is, these weights are float32
    stand_in_for_flash_attn(card_attention if on_card else plain_attention, device)
    model.config._attn_implementation = "flash_attention_2"  # from_config would ask for the package
    return adapted.train()


@contextmanager
def scored(model: Any, slates: list[Any], groups: list[Group], device: str) -> Iterator[torch.Tensor]:
    """Log-probs of the answers, shape (groups, answers of a group); their backward pass belongs into the context."""
    texts = [(slates[slate]["prompt"], slates[slate]["answers"][answer]) for slate, these in groups for answer in these]
    ids = pad_sequence([torch.tensor(prompt + answer) for prompt, answer in texts], batch_first=True)
    mask = torch.arange(ids.shape[1]) < torch.tensor([[len(prompt) + len(answer)] for prompt, answer in texts])
    starts = [row * ids.shape[1] + len(prompt) - 1 for row, (prompt, _) in enumerate(texts)]
    predicting = torch.cat([torch.arange(len(answer)) + at for at, (_, answer) in zip(starts, texts, strict=True)])
    targets = torch.tensor([token for _, answer in texts for token in answer])
    lengths = torch.tensor([len(answer) for _, answer in texts])
    tensors = (ids, mask.long(), predicting, targets, lengths)
    ids, mask, predicting, targets, lengths = (some.to(device) for some in tensors)
    base = model.get_base_model()
    with shared_prefix(model, input_ids=ids, attention_mask=mask, group_size=len(groups[0][1])):
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            hidden = base.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            hidden = hidden.flatten(0, 1).index_select(0, predicting)
            each = -functional.cross_entropy(base.lm_head(hidden).float(), targets, reduction="none")
        yield torch.segment_reduce(each, "sum", lengths=lengths, unsafe=True).view(len(groups), -1)


def reference(model: Any, slates: list[Any], micro: int, device: str) -> list[list[float]]:
    """Log-probs of all answers without the adapter."""
    groups: list[Group] = [(number, tuple(range(len(slate["answers"])))) for number, slate in enumerate(slates)]
    found: list[list[float]] = []
    with torch.no_grad(), model.disable_adapter():
        for at in range(0, len(groups), micro):
            with scored(model, slates, groups[at : at + micro], device) as log_probs:
                found += log_probs.tolist()
    return found


def accumulate(model: Any, job: dict[str, Any], slates: list[Any], known: list[list[float]]) -> torch.Tensor:
    """Add the gradient of an update to the model's, and return its loss: the mean over all pairs of its slates."""
    device, answers = job["device"], range(len(slates[0]["answers"]))
    sets = list(combinations(answers, 2)) if job["together"] == "pairs" else [tuple(answers)]
    groups: list[Group] = [(slate, these) for slate in range(len(slates)) for these in sets]
    better, worse = zip(*combinations(range(len(sets[0])), 2), strict=True)
    total = torch.zeros((), device=device)
    for at in range(0, len(groups), job["micro"]):
        part = groups[at : at + job["micro"]]
        expected = torch.tensor([[known[slate][answer] for answer in these] for slate, these in part], device=device)
        with scored(model, slates, part, device) as log_probs:
            gained = job["beta"] * (log_probs - expected)
            loss = -functional.logsigmoid(gained[:, better] - gained[:, worse]).sum() / (len(groups) * len(better))
            loss.backward()
        total += loss.detach()
    return total


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Train for as many updates as the job wants."""
    device, each, updates = job["device"], job["per_update"], job["warm"] + job["timed"]
    on_card, slates = device == "cuda", job["slates"][: each * updates]
    if len(slates) < each * updates or len({len(slate["answers"]) for slate in slates}) > 1:
        raise SystemExit("a job needs slates for all its updates, with as many answers each.")
    if on_card and job["memory_gb"]:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, job["memory_gb"] * 1e9 / whole))
    if not on_card and job.get("threads"):
        torch.set_num_threads(job["threads"])
    model = load_model(job)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=job["learning_rate"], weight_decay=0.0, fused=on_card)
    known = reference(model, slates, job["micro"], device)
    wait = torch.cuda.synchronize if on_card else lambda: None
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    seconds, losses, norm = [], [], 0.0
    for at in range(0, len(slates), each):
        wait()
        began = time.perf_counter()
        optimiser.zero_grad()
        loss = accumulate(model, job, slates[at : at + each], known[at : at + each])
        optimiser.step()
        wait()
        seconds.append(time.perf_counter() - began)
        losses.append(float(loss))
        if at == 0:
            norm = float(torch.nn.utils.get_total_norm([weight.grad for weight in trained if weight.grad is not None]))
    peak = torch.cuda.max_memory_allocated() if on_card else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": seconds[job["warm"] :],
        "losses": losses,
        "peak_gb": peak / 1e9,
        "card": torch.cuda.get_device_name(0) if on_card else "CPU",
        "gradient_norm": norm,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "flash_pref")},
    }


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
