"""Finished runs whose adapter is known, made without training, and processes that measure them and can be killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.data.slates import RankedSlate, Ranking
from train.data.texts import Text
from train.models.base import Base, load_model
from train.models.tiny_model import make_tiny_base
from train.models.tokenizer import load_tokenizer
from train.run_folder import write_rows
from train.settings import Recipe, load_recipe

WORDS = ("chamba", "laburo", "ônibus", "guagua", "camión", "autobús", "celular", "computadora", "palomitas", "pochoclo")

QUICK = ("evaluation.prompts=6", "evaluation.max_new_tokens=6", "evaluation.batch=4", "evaluation.gate_prompts=3")


def ranked_slates(count: int, *, people: int = 3, seed: int = 0) -> list[RankedSlate]:
    """Slates of four answers, ranked by people who agree no more than chance; countries and languages take turns."""
    chance = random.Random(seed)
    slates = []
    for number in range(count):
        country, language = (("MX", "es"), ("BR", "pt"), ("AR", "es"))[number % 3]
        prompt: Text = ({"role": "user", "content": f"¿Cómo se dice el asunto {number}?"},)
        answers = [" ".join(chance.choices(WORDS, k=chance.randint(2, 5))) for _ in range(4)]
        rankings = []
        for _ in range(people):
            order = chance.sample(range(4), 4)
            tied = chance.random() < 0.3
            tiers = (tuple(sorted(order[:2])), (order[2],), (order[3],)) if tied else tuple((seat,) for seat in order)
            rankings.append(Ranking(tiers, 1 / people, 1))
        slates.append(
            RankedSlate(
                f"slate{number}:{country}",
                prompt,
                tuple(({"role": "assistant", "content": text},) for text in answers),
                tuple(rankings),
                (),
                country=country,
                language=language,
                topic=("comida", "trabajo")[number % 2],
                slate_id=f"slate{number}",
                people=people,
            )
        )
    return slates


def finished_run(
    folder: Path,
    slates: Sequence[RankedSlate],
    strength: float,
    *,
    seed: int = 0,
    overrides: Sequence[str] = QUICK,
    targets: str | list[str] = "all-linear",
    rank: int = 2,
) -> Path:
    """A run folder as `annot train` leaves one, with a random adapter; strength 0 changes nothing."""
    import torch
    from peft import LoraConfig, get_peft_model

    recipe = load_recipe("cpu-smoke", overrides)
    texts = [part["content"] for slate in slates for part in (*slate.prompt, *(a[0] for a in slate.answers))]  # type: ignore[index]
    make_tiny_base(folder / "base", texts, seed=seed)
    base = Base("", folder / "base", "tiny-1", tiny=True)
    torch.manual_seed(seed)
    model = get_peft_model(
        load_model(base, recipe.base, recipe.device),
        LoraConfig(r=rank, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM"),
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=strength) if strength else torch.nn.init.zeros_(parameter)
    model.save_pretrained(folder / "adapter")
    load_tokenizer(base, recipe.base).save_pretrained(folder / "adapter")
    write_rows(folder / "held_out_slates.jsonl", [slate.row() for slate in slates])
    facts = {
        "run": folder.name,
        "recipe": recipe.model_dump(mode="json"),
        "digest": hashlib.sha256(repr(texts).encode()).hexdigest(),
        "seed": seed,
        "base": "",
        "base_version": "tiny-1",
        "base_is_tiny_and_random": True,
        "base_note": base.shown,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "report.md").write_text(f"# Run {folder.name}\n\nTrained.\n\n## Preflight\n\nAll was well.\n")
    digest = hashlib.sha256((folder / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()
    (folder / "DONE").write_text(json.dumps({"adapter_sha256": digest}))
    return folder


def model_of(run: Path) -> tuple[Any, Any, Recipe]:
    """The adapted model of such a run, its tokenizer and its settings."""
    from peft import PeftModel

    recipe = Recipe.model_validate(json.loads((run / "run.json").read_text())["recipe"])
    base = Base("", run / "base", "tiny-1", tiny=True)
    plain = load_model(base, recipe.base, recipe.device)
    return PeftModel.from_pretrained(plain, str(run / "adapter")).eval(), load_tokenizer(base, recipe.base), recipe


def evaluate_until(run: Path, batch: int, **how: Any) -> None:
    """Measure a run, and end as by kill -9 once so many batches are done; 0: to the end. `how` goes to `evaluate`."""
    from train.evaluate.run import evaluate

    def progress(done: int, total: int | None = None, note: str = "") -> None:  # noqa: ARG001
        if done == batch:
            os.kill(os.getpid(), signal.SIGKILL)

    evaluate(run, say=lambda _line: None, progress=progress, **how)
