"""LLaVAs of a size with random weights and their processors, and slates about drawn pictures, for benchmarks/dpo.py."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from llama import END, config_of

SIGHT: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "image_size": 28},
    "small": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6,
              "image_size": 112},
}  # fmt: skip
"""CLIP beside the Llama of the same shape: 4 and 64 tokens a picture."""

PATCH = 14


def picture_tokens(shape: str) -> int:
    """Tokens that a picture takes."""
    return (SIGHT[shape]["image_size"] // PATCH) ** 2


def make_llava_base(folder: Path, shape: str) -> None:
    """Write a configuration and a processor in which a word is a token: all of a base but its weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    from train.models.tiny_vision import IMAGE, TEMPLATE

    marks = ["<pad>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", IMAGE]
    size = config_of(shape)["vocab_size"]
    words = {mark: number for number, mark in enumerate(marks)} | {f"w{n}": n for n in range(len(marks), size)}
    plain = Tokenizer(models.WordLevel(words, unk_token="w7"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token=marks[0], eos_token=marks[1], additional_special_tokens=marks[2:]
    )
    side = SIGHT[shape]["image_size"]
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    _config(shape).save_pretrained(folder)


def _config(shape: str) -> Any:
    from transformers import LlavaConfig

    return LlavaConfig(
        text_config={"model_type": "llama", **config_of(shape)},
        vision_config={"model_type": "clip_vision_model", **SIGHT[shape], "patch_size": PATCH},
        image_token_id=5,
        image_seq_length=picture_tokens(shape),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        eos_token_id=END,
        pad_token_id=0,
    )


def make_llava(shape: str) -> Any:
    """The model with random weights, in float32 on the CPU."""
    import torch
    from transformers import LlavaForConditionalGeneration

    torch.manual_seed(0)
    return LlavaForConditionalGeneration(_config(shape)).eval()


def with_pictures(slates: list[Any], folder: Path) -> list[Any]:
    """Each slate as a conversation about a picture of its own, of 768 x 512 pixels, drawn into the folder."""
    from PIL import Image, ImageDraw

    from annotation.files import write_whole
    from annotation.types import picture_file
    from train.data.texts import as_answer, as_question

    found = []
    for number, slate in enumerate(slates):
        chance = random.Random(number)
        picture = Image.new("RGB", (768, 512), "white")
        for _ in range(40):
            left, top = chance.randrange(700), chance.randrange(450)
            colour = tuple(chance.randrange(256) for _ in range(3))
            ImageDraw.Draw(picture).ellipse((left, top, left + 200, top + 150), fill=colour)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        name = hashlib.sha256(file.getvalue()).hexdigest()
        write_whole(folder / picture_file(name), file.getvalue())
        answers = tuple(as_answer(text.strip()) for text in slate.answers)
        found.append(replace(slate, prompt=as_question(slate.prompt), answers=answers, image=name))
    return found
