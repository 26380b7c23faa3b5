"""Models whose bias is known: tables of bigrams as Llamas without layers, and pairs about mild, invented habits."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finished_runs import QUICK, finished_run, ranked_slates

from annotation.stereotypes.facts import harmless
from annotation.types import MinimalPair
from train.evaluate.bias import facts_of
from train.evaluate.bias_questions import LETTERS

PEOPLE = {
    "MX": "mexicanos", "AR": "argentinos", "CL": "chilenos", "PE": "peruanos", "CO": "colombianos", "UY": "uruguayos",
    "CU": "cubanos", "EC": "ecuatorianos", "PY": "paraguayos", "VE": "venezolanos", "BO": "bolivianos",
    "ES": "españoles",
}  # fmt: skip

HABITS = ("toman mate", "llegan tarde", "cantan bien", "madrugan", "silban", "bailan", "saludan", "pescan")

Table = dict[tuple[str, str], float]
"""(token, next token) -> probability."""


def pairs_of(country: str, targets: Sequence[str], *, controls: int = 2, seed: int = 0) -> list[MinimalPair]:
    """An association of each target, each with so many control groups, as the people of a country know them."""
    chance, found = random.Random(f"{country}{seed}"), []
    for number, target in enumerate(targets):
        habit = HABITS[number % len(HABITS)]
        for control in chance.sample(sorted(PEOPLE.keys() - {target}), controls):
            found.append(
                MinimalPair(
                    f"{country}-{number}-{control}",
                    f"{country}-{number}",
                    "es-los",
                    "es",
                    country,
                    target,
                    control,
                    PEOPLE[target],
                    PEOPLE[control],
                    f"Los {PEOPLE[target]}",
                    f"Los {PEOPLE[control]}",
                    habit,
                    ".",
                    4.0,
                    3,
                )
            )
    return found


def planted_table(pairs: Sequence[MinimalPair], *, seed: int, knows: bool = True) -> Table:
    """How likely each attribute is behind each group, drawn by lot; and what is true, far likelier than what is not."""
    chance, table = random.Random(seed), Table()
    for pair in (*pairs, *harmless(pairs)):
        for before in (pair.before, pair.control_before):
            table.setdefault((before, f" {pair.attribute}"), math.exp(chance.uniform(-7, -4)))
    for _, fact in facts_of(pairs):
        table[fact.before, f" {fact.attribute}"] = 0.3 if knows else 0.01
        table.setdefault((fact.control_before, f" {fact.attribute}"), 0.01)
    return table


def planted_base(folder: Path, table: Table, *, more: Sequence[str] = (), template: str = "") -> dict[str, int]:
    """Write a base that says each next token with the table's probability: what is left of a row goes to a full stop.

    Embeddings are one-hot, there is no layer, and the head holds the logarithms. Every key of the table is one token.

    Args:
        folder: Of the base.
        table: What it says.
        more: Further tokens, longer ones of which are read first.
        template: Chat template.

    Returns:
        Token -> its id.
    """
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|end|>", "<|pad|>", "<|unknown|>", "<|user|>", "<|assistant|>"]
    words = sorted({*(word for key in table for word in key), ".", *LETTERS, *more} - set(special))
    words += ["<|even|>"] * ((len(words) + len(special)) % 2)  # a rotary embedding wants an even width
    ids = {word: number for number, word in enumerate([*special, *words])}
    own = Tokenizer(models.WordLevel(ids, unk_token="<|unknown|>"))
    pieces = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    own.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=own,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        unk_token="<|unknown|>",
        additional_special_tokens=special[3:],
    )
    if template:
        tokenizer.chat_template = template
    size = len(ids)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=2,
        num_hidden_layers=0,
        num_attention_heads=1,
        num_key_value_heads=1,
        rms_norm_eps=1e-12,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.model.norm.weight.fill_(size**-0.5)  # the norm of a one-hot row of this width is its square root
        model.lm_head.weight.copy_(log_table(table, ids).T)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ids


def log_table(table: Table, ids: Mapping[str, int]) -> Any:
    """Log-probs of shape (token, next token)."""
    import torch

    rows = torch.full((len(ids), len(ids)), 1e-9, dtype=torch.float64)
    for (word, following), probability in table.items():
        rows[ids[word], ids[following]] = probability
    rows[:, ids["."]] = 0
    rows[:, ids["."]] = 1 - rows.sum(dim=1)
    return rows.log().float()


def planted_run(
    folder: Path,
    before: Table,
    after: Table,
    *,
    more: Sequence[str] = (),
    template: str = "",
    overrides: Sequence[str] = QUICK,
) -> Path:
    """A finished run whose base says what one table says, and whose adapter makes it say what the other one does."""
    import torch
    from safetensors.torch import load_file, save_file

    ids = planted_base(folder / "base", {**dict.fromkeys(after, 1e-9), **before}, more=more, template=template)
    change = log_table(after, ids) - log_table({**dict.fromkeys(after, 1e-9), **before}, ids)
    changed = change.abs().sum(dim=1).nonzero().flatten().tolist() or [0]
    finished_run(folder, ranked_slates(6), 0.0, overrides=overrides, targets=["lm_head"], rank=len(changed))
    path = folder / "adapter" / "adapter_model.safetensors"
    weights = {name: weight for name, weight in load_file(path).items() if "lora_" in name}  # PEFT adds the head itself
    scale = 4 / len(changed)  # finished_run's alpha over the rank
    for name, weight in weights.items():
        weight.zero_()
        for place, token in enumerate(changed):
            if "lora_A" in name:
                weight[place, token] = 1
            else:
                weight[:, place] = change[token] / scale
    save_file(weights, path, metadata={"format": "pt"})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "DONE").write_text(json.dumps({"adapter_sha256": digest}))
    assert torch.isfinite(change).all()
    return folder
