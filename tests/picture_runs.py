"""Finished runs about pictures whose model is known: one that looks at their colour, and one that cannot see it."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from picture_files import keep_picture
from PIL import Image, ImageDraw

from annotation.images.store import link_pictures
from train.data.slates import RankedSlate, Ranking
from train.data.texts import as_answer, as_question, words_of
from train.models.base import Base, load_model
from train.models.tiny_vision import make_tiny_vision_base
from train.models.tokenizer import load_vocabulary
from train.run_folder import write_rows
from train.settings import Recipe, load_recipe

QUICK = ("evaluation.prompts=6", "evaluation.max_new_tokens=6", "evaluation.batch=4", "evaluation.gate_prompts=3")

QUESTION = "Describe esta imagen para alguien de tu país."
RED, BLUE = "Un plato rojo de barro.", "Un plato azul de loza."
DISHES = (
    *("mole poblano", "cazuela de talavera", "pozole rojo", "tlayuda oaxaqueña", "birria tatemada", "charanda"),
    *("acarajé baiano", "caruru", "vatapá", "moqueca capixaba", "tacacá", "pamonha", "cocada branca", "feijoada"),
    *("quindim", "barreado", "curau", "cuscuz paulista", "romeritos", "capirotada", "huitlacoche", "esquites"),
)
"""What people call what is on a picture, one each; their words are in no other picture's texts."""

SHADES = {"red": ((250, 0, 0), RED, BLUE), "blue": ((0, 0, 250), BLUE, RED)}
"""Colour of a picture -> its red, green and blue, the description that is right, and the wrong one."""


def coloured(colour: str, number: int) -> bytes:
    """A JPEG in a colour; each number is another picture, drawn a little differently."""
    chance = random.Random(f"{colour}{number}")
    shade = tuple(max(0, min(255, part + chance.randrange(-5, 6))) for part in SHADES[colour][0])
    picture = Image.new("RGB", (56, 56), shade)
    left, top = chance.randrange(40), chance.randrange(40)
    ImageDraw.Draw(picture).point((left, top), fill=(255, 255, 255))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return file.getvalue()


def coloured_slates(folder: Path, count: int, *, people: int = 2, always: str = "") -> list[RankedSlate]:
    """Slates of two descriptions, of which people prefer the one with the picture's colour, or `always` the same one.

    Colours take turns, countries in fours; the pictures lie below the folder.
    """
    slates = []
    for number in range(count):
        colour, country = ("red", "blue")[number % 2], ("MX", "BR")[number // 4 % 2]
        picture = keep_picture(folder, coloured(colour, number))
        answers = (RED, BLUE) if number % 3 else (BLUE, RED)
        best = answers.index(always or SHADES[colour][1])
        slates.append(
            RankedSlate(
                f"slate{number}:{country}",
                as_question(QUESTION),
                tuple(map(as_answer, answers)),
                (Ranking(((best,), (1 - best,)), 1.0, people),),
                (),
                best,
                country,
                "es",
                "comida",
                f"slate{number}",
                people=people,
                image=picture,
                rewrites=(f"Un plato de {DISHES[number % len(DISHES)]} para la fiesta.",),
            )
        )
    return slates


def picture_run(
    folder: Path,
    slates: Sequence[RankedSlate],
    source: Path,
    *,
    sees: bool = True,
    steps: int = 60,
    overrides: Sequence[str] = QUICK,
) -> Path:
    """A run folder as `annot train` leaves one, whose adapter was made to rank these slates as people do.

    Args:
        folder: Of the run.
        slates: Held out; what the adapter is made to know, too.
        source: Below which their pictures are.
        sees: The projector lets the picture through; else nothing of it reaches the language model.
        steps: Of making it.
        overrides: Of the recipe.
    """
    import torch
    from peft import get_peft_model

    from train.data.encoding import encode_slate
    from train.engine.adapter import lora_config
    from train.evaluate.scores import EncodedAnswer, logits_of
    from train.models.pictures import pictures_of

    recipe = load_recipe("cpu-smoke-vlm", overrides)
    texts = [QUESTION, *(words_of(answer) for slate in slates for answer in slate.answers)]
    make_tiny_vision_base(folder / "base", texts, seed=0)
    base = Base("", folder / "base", "tiny-1", tiny=True)
    plain = load_model(base, recipe.base, recipe.device)
    if not sees:
        with torch.no_grad():
            for weights in plain.model.multi_modal_projector.linear_2.parameters():
                weights.zero_()
        plain.save_pretrained(folder / "base")
    link_pictures({slate.image for slate in slates}, source, folder)
    vocabulary = load_vocabulary(base, recipe.base)
    torch.manual_seed(0)
    model = get_peft_model(plain, lora_config(recipe, plain))
    pixels = pictures_of(vocabulary.processor, folder).pixels
    rows = [encode_slate(slate, vocabulary, pictures=folder) for slate in slates]
    answers = [EncodedAnswer((*row.prompt, *a), len(row.prompt), row.image) for row in rows for a in row.answers]
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.01)
    signs = torch.tensor([1.0 if slate.rankings[0].tiers[0] == (i,) else -1.0 for slate in slates for i in (0, 1)])
    for _ in range(steps):
        sums = torch.stack(
            [
                logits.log_softmax(-1).gather(1, targets[:, None]).sum()
                for logits, targets in logits_of(model, answers, vocabulary.pad, pixels)
            ]
        )
        margin = (sums * signs).reshape(-1, 2).sum(1)
        loss = -torch.nn.functional.logsigmoid(margin).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder / "adapter")
    vocabulary.processor.save_pretrained(folder / "adapter")
    return _written(folder, slates, recipe, base)


def _written(folder: Path, slates: Sequence[RankedSlate], recipe: Recipe, base: Base) -> Path:
    write_rows(folder / "held_out_slates.jsonl", [slate.row() for slate in slates])
    facts: dict[str, Any] = {
        "run": folder.name,
        "recipe": recipe.model_dump(mode="json"),
        "digest": "0" * 64,
        "seed": 0,
        "source": "snapshot 1",
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
