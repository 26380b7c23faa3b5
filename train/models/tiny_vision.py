"""A tiny random model that sees pictures, made on the spot: trains an adapter where no real one can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.models.tiny_model import learn_tokenizer

PATCH = 14
SIDE = 28
"""Pixels of a picture as the model sees it: four patches."""

IMAGE = "<|image|>"

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tiny_vision_base(folder: Path, texts: Sequence[str], *, seed: int) -> Path:
    """Make a LLaVA (CLIP and Llama) of 0.2M random weights that sees a picture as four tokens, with its processor.

    The same texts and seed give the same files. A folder that is there already is whole, and is kept.

    Args:
        folder: Where the model goes; it appears whole or not at all.
        texts: What the tokenizer learns its merges from; every byte is in the vocabulary, so any text can be read.
        seed: Of the weights.
    """
    if folder.exists():
        return folder
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    tokenizer = learn_tokenizer(texts, special=(IMAGE,))
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )
    model = random_vision_model(tokenizer, seed=seed)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    processor.save_pretrained(beside)
    beside.replace(folder)
    return folder


def random_vision_model(tokenizer: Any, *, seed: int) -> Any:
    """A LLaVA of two and two layers with random weights; the same arguments give the same weights."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    size = {"num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.2}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **size,
    )
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, image_size=SIDE, patch_size=PATCH, **size)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        initializer_range=0.2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config)
