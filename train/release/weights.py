"""Weights of a release: the adapter of a finished run, or a model with the adapter merged in and compared with it.

Merging is arithmetic on the weights in float32. A 4-bit base is dequantised first: those are the weights that the
adapter was trained on, and merging into anything else is lossy. Whether the merged model is the trained one is measured
on held-out texts with what lies on disk; a folder that fails does not stay.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from annotation.errors import SettingsError, TrainError
from annotation.files import write_whole
from annotation.screen import Progress, silent
from train.data.encoding import encode_whole
from train.data.pairs import read_pairs
from train.data.slates import slate_of_pair
from train.evaluate.run import recipe_of
from train.models.base import Base, base_of_run, load_model, public_name
from train.models.pictures import pictures_of
from train.models.tokenizer import Vocabulary, load_vocabulary
from train.run_folder import finished_run

MOST_KL = 1e-5
"""Nats per token that a merged model may be away from the trained one, both computed in float32."""

CHECK_TOKENS = 512
"""Positions on which both are compared; at each the whole vocabulary counts."""

DTYPES = ("float32", "bfloat16", "float16")

MERGED = "merged.json"
"""In the run's folder: how far the newest merged model is from the trained one."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a release.

    Attributes:
        kind: "adapter" or "merged".
        dtype: Of the weights on disk.
        kl: Mean KL divergence of the merged model from the trained one in nats per token; None for an adapter.
        kl_most: The largest at any position.
        tokens: Positions compared.
    """

    kind: Literal["adapter", "merged"] = "adapter"
    dtype: str = "float32"
    kl: float | None = None
    kl_most: float | None = None
    tokens: int = 0


def write_adapter(run: Path, folder: Path) -> Weights:
    """Copy a finished run's adapter with its tokenizer.

    Args:
        run: Folder of a finished run.
        folder: An empty folder.
    """
    shutil.copytree(run / "adapter", folder, dirs_exist_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = public_name(finished_run(run)[0]) or "base"
    write_whole(path, json.dumps(config, indent=2, sort_keys=True).encode())
    return Weights()


def write_merged(run: Path, folder: Path, *, dtype: str = "float32", progress: Progress = silent) -> Weights:
    """Merge a finished run's adapter into its base, and keep the model only if it is the trained one.

    Needs memory for the base in float32, 4 bytes a parameter, on the run's device or else on the CPU. What was measured
    is kept in the run's folder too.

    Args:
        run: Folder of a finished run.
        folder: An empty folder.
        dtype: Of the weights on disk. Whoever serves the model may round it further; what is checked here is not.
        progress: Told which of the four stages it is at.

    Raises:
        SettingsError: There is no such dtype.
        TrainError: The base is another one now, or the merged model is more than MOST_KL away from the trained one.
        TrainLater: The base is on the Hub and cannot be reached.
    """
    import torch
    from peft import PeftModel

    if dtype not in DTYPES:
        raise SettingsError(f'--dtype "{dtype}" is not known; choose {", ".join(DTYPES)}.')
    facts, digest = finished_run(run)
    recipe = recipe_of(facts)
    base = base_of_run(run, recipe.base, facts)
    device = recipe.device
    if device.kind == "cuda" and not torch.cuda.is_available():
        device = device.model_copy(update={"kind": "cpu"})
    words = load_vocabulary(base, recipe.base)
    texts = _texts_to_check(run, words, recipe.data.max_length)

    def trained(*, dequantised: bool) -> Any:
        model = _in_float32(load_model(base, recipe.base, device))
        if dequantised and recipe.base.quantisation != "none":
            model = model.dequantize(dtype=torch.float32)
        return PeftModel.from_pretrained(model, str(run / "adapter"))

    progress(0, 4, "the trained model is asked")
    expected = _logits(trained(dequantised=False), texts)
    _free_memory()
    progress(1, 4, "merging")
    model = trained(dequantised=True).merge_and_unload(safe_merge=True)
    model.config.use_cache = model.config.get_text_config().use_cache = True  # switched off for training
    progress(2, 4, "writing")
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    (words.processor or words.tokenizer).save_pretrained(folder)
    del model
    _free_memory()
    progress(3, 4, "the merged model is asked")
    plain = recipe.base.model_copy(update={"quantisation": "none", "dtype": dtype})
    merged = _in_float32(load_model(Base(run.name, folder, ""), plain, device))
    measured = Weights("merged", dtype, **_distance(run.name, dtype, expected, _logits(merged, texts)))
    write_whole(run / MERGED, json.dumps({**asdict(measured), "adapter_sha256": digest}, indent=2).encode())
    progress(4, 4, "done")
    return measured


def _distance(run: str, dtype: str, expected: Sequence[Any], found: Sequence[Any]) -> dict[str, Any]:
    """Distance of the merged model from the trained one: `kl`, `kl_most` and `tokens` of Weights.

    Raises:
        TrainError: It is more than MOST_KL.
    """
    kl = _kl(expected, found)
    mean = float(kl.mean())
    if not mean <= MOST_KL:
        remedy = "write it with --dtype float32, or " if dtype != "float32" else ""
        raise TrainError(
            f"{run} merged in {dtype} is {mean:.1e} nats per token away from the trained model, more than "
            f"{MOST_KL:.0e}, so nothing is written: {remedy}use the adapter as it is."
        )
    return {"kl": mean, "kl_most": float(kl.max()), "tokens": len(kl)}


def _texts_to_check(run: Path, words: Vocabulary, limit: int) -> list[tuple[list[int], Mapping[str, Any]]]:
    """Held-out prompts with their better answers, in tokens, CHECK_TOKENS of them, and the pixels of their pictures."""
    texts: list[tuple[list[int], Mapping[str, Any]]] = []
    count, path = 0, run / "held_out.jsonl"
    for pair in read_pairs(path) if path.exists() else ():
        row, _ = encode_whole(slate_of_pair(pair), words, run)
        pixels = pictures_of(words.processor, run).pixels(pair.image) if pair.image else {}
        # A picture is in a text with all of its places.
        most = max(min(limit, CHECK_TOKENS - count), len(row.prompt) + 1 if pair.image else 0)
        if ids := [*row.prompt, *row.answers[0]][:most]:
            texts.append((ids, pixels))
            count += len(ids)
        if count >= CHECK_TOKENS:
            break
    if not texts:
        raise TrainError(f"{run.name} has no held-out text, on which a merged model is compared; release the adapter.")
    return texts


def _in_float32(model: Any) -> Any:
    """The same weights, computed with in float32; 4-bit ones stay as they are, and dequantise to float32."""
    import torch

    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype, module.compute_type_is_set = torch.float32, True
            module.weight.quant_state.dtype = torch.float32
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.float()
    return model


def _logits(model: Any, texts: Sequence[tuple[Sequence[int], Mapping[str, Any]]]) -> list[Any]:
    """A tensor of shape (tokens, vocabulary) per text, float32, on the CPU."""
    import torch

    from train.models.vision import kinds_of_tokens

    model.eval()
    place, found = next(model.parameters()).device, []
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.inference_mode():
        for ids, pixels in texts:
            asked = torch.tensor([list(ids)], device=place)
            seen = {name: tensor.to(place) for name, tensor in pixels.items()}
            seen |= kinds_of_tokens(plain, asked) if pixels else {}
            found.append(model(input_ids=asked, use_cache=False, **seen).logits[0].float().cpu())
    return found


def _kl(expected: Sequence[Any], found: Sequence[Any]) -> Any:
    """KL(trained || merged) at every position, in nats, float64, shape (tokens,)."""
    import torch

    parts = []
    for trained, merged in zip(expected, found, strict=True):
        p, q = (logits.double().log_softmax(dim=-1) for logits in (trained, merged))
        parts.append((p.exp() * (p - q)).sum(dim=-1))
    return torch.cat(parts)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
