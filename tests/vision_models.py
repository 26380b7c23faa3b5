"""Tiny random models that see pictures, of the kinds that people train, with the processors of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from train.models.tiny_model import learn_tokenizer
from train.models.tiny_vision import TEMPLATE, make_tiny_vision_base
from train.models.tokenizer import Vocabulary

KINDS = ("llava", "gemma3", "idefics3")

ALL_KINDS = (*KINDS, "qwen2_5_vl")
"""Qwen's own processor needs torchvision, for films: here it is without them, and cannot be read from a folder."""

TEXTS = ("Describe esta imagen.", "una arepa con queso en un plato", "a dish of corn and cheese", "um prato de milho")

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "bos_token_id": None,
}
SIGHT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 14,
    "initializer_range": 0.2,
}


def draw(colour: str, size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A dish of one colour on a table."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((size[0] // 8, size[1] // 8, size[0] * 7 // 8, size[1] * 7 // 8), fill=colour)
    return picture


def vocabulary_of(processor: Any) -> Vocabulary:
    """A processor as the data path takes it."""
    tokenizer = processor.tokenizer
    tokenizer.chat_template = processor.chat_template
    return Vocabulary(tokenizer, frozenset({tokenizer.eos_token_id}), len(tokenizer), processor)


def vision_base(kind: str, folder: Path, *, seed: int = 0, attention: Any = "sdpa") -> tuple[Any, Any]:
    """A model and its processor, loaded from the folder that `make_vision_base` makes."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if kind == "qwen2_5_vl":
        return _qwen(seed, attention)
    path = make_vision_base(kind, folder / kind, seed=seed)
    model = AutoModelForImageTextToText.from_pretrained(path, attn_implementation=attention, dtype="float32")
    return model.eval(), AutoProcessor.from_pretrained(path)


def make_vision_base(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Make a base of one of KINDS with its processor; a folder that is there is kept."""
    if kind == "llava":
        return make_tiny_vision_base(folder, TEXTS, seed=seed)
    if folder.exists():
        return folder
    import torch

    torch.manual_seed(seed)
    model, processor = {"gemma3": _gemma3, "idefics3": _idefics3}[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _gemma3() -> tuple[Any, Any]:
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    tokenizer = learn_tokenizer(TEXTS, special=("<|image|>", "<|soft|>", "<|over|>"))
    tokenizer = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        eos_token=tokenizer.eos_token,
        extra_special_tokens={"boi_token": "<|image|>", "image_token": "<|soft|>", "eoi_token": "<|over|>"},
    )
    side = {"height": 56, "width": 56}
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size=side), tokenizer, chat_template=TEMPLATE, image_seq_length=4
    )
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            vocab_size=len(tokenizer),
            head_dim=8,
            sliding_window=9,
            layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **TEXT,
        ),
        vision_config=SiglipVisionConfig(image_size=56, **SIGHT),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<|over|>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<|soft|>"),
        initializer_range=0.2,
    )
    model = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():  # fresh, it is zero, and a picture changes nothing
        model.model.multi_modal_projector.mm_input_projection_weight.normal_(0, 0.2)
    return model, processor


def _idefics3() -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
        LlamaConfig,
    )

    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    marks += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokenizer = learn_tokenizer(TEXTS, special=marks)
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56}),
        tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE.replace("<|image|>", "<image>"),
    )
    config = Idefics3Config(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **TEXT,
        ),
        vision_config={"image_size": 56, "max_image_size": {"longest_edge": 56}, **SIGHT},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    return Idefics3ForConditionalGeneration(config), processor


def _qwen(seed: int, attention: Any) -> tuple[Any, Any]:
    import torch
    from transformers import (
        ProcessorMixin,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
    )

    class PicturesAlone(Qwen2_5_VLProcessor):  # type: ignore[misc]
        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id, self.video_token_id = map(
                tokenizer.convert_tokens_to_ids, (self.image_token, self.video_token)
            )

    tokenizer = learn_tokenizer(
        TEXTS, special=("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"), vocabulary=512
    )
    processor = PicturesAlone(
        Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 56 * 140}),
        tokenizer,
        chat_template=TEMPLATE.replace("<|image|>", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
            **TEXT,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "fullatt_block_indexes": [1],
            "window_size": 56,
            "initializer_range": 0.2,
        },
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        initializer_range=0.2,
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(config).eval(), processor
