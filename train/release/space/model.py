"""The model: one base with the adapter, which is switched off for the base's side, and its answers as they are written.

It is loaded when this module is imported: on ZeroGPU that happens before there is a card.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from threading import Lock
from typing import Any
from unicodedata import category

import spaces
import torch
from peft import PeftModel
from PIL import Image
from settings import DEMO, HERE
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

Message = dict[str, str]

TEMPERATURE, TOP_P = 0.7, 0.95
"""Of both sides."""

TOKENS_AT_ONCE = 4
"""Between two looks at an answer that is being written."""

SECONDS_TO_BEGIN, SECONDS_A_TOKEN = 10.0, 0.06
"""What a card is asked for: 8 billion weights write 17 tokens a second and more."""

_LOCAL = os.environ.get("ANNOT_DEMO_BASE") or (str(HERE / "base") if (HERE / "base").is_dir() else "")
_BASE = {"pretrained_model_name_or_path": _LOCAL or DEMO.base, "revision": None if _LOCAL else DEMO.base_revision}
_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

PROCESSOR = AutoProcessor.from_pretrained(HERE / "adapter") if DEMO.pictures else None
TOKENIZER = PROCESSOR.tokenizer if PROCESSOR else AutoTokenizer.from_pretrained(HERE / "adapter")
_AUTO = AutoModelForImageTextToText if DEMO.pictures else AutoModelForCausalLM
_PLAIN = _AUTO.from_pretrained(**_BASE, dtype=torch.bfloat16 if _DEVICE == "cuda" else torch.float32)
# The adapter goes to the CPU first: on ZeroGPU its file cannot be read onto a card that is not there yet.
MODEL = PeftModel.from_pretrained(_PLAIN, HERE / "adapter", torch_device="cpu").to(_DEVICE).eval()

_told = MODEL.generation_config.eos_token_id
ENDS = {TOKENIZER.eos_token_id, *(_told if isinstance(_told, list) else [_told])} - {None}
"""Tokens at which an answer is over."""


_ALONE = Lock()
"""Held while a token is computed, and never between two: the adapter is on or off for the answer of that token alone,
and an answer that nobody waits for any more keeps nothing from the others."""


def seconds(messages: Sequence[Message], sides: Sequence[bool], *, seed: int, picture: str = "") -> float:  # noqa: ARG001
    """How long the card is needed for `answers`; ZeroGPU takes it back then."""
    return SECONDS_TO_BEGIN + len(sides) * DEMO.max_new_tokens * SECONDS_A_TOKEN


@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def answers(
    messages: Sequence[Message], sides: Sequence[bool], *, seed: int, picture: str = ""
) -> Iterator[tuple[int, str]]:
    """Write one answer after the other, and hand out what stands there after every few tokens and at the end.

    Args:
        messages: The conversation, a question of the user last.
        sides: One answer each: True with the adapter, False without.
        seed: Of the sampling, the same for every side.
        picture: File of the picture that the question is about, or "".

    Yields:
        Number of the side, and the whole of its answer so far.
    """
    told = _encode_seen(messages, picture) if picture else {"input_ids": torch.tensor([_encode(messages)])}
    told = {name: value.to(_DEVICE) for name, value in told.items()}
    for number, adapted in enumerate(sides):
        yield from ((number, text) for text in _written(told, seed, adapted=adapted))


def _encode(messages: Sequence[Message]) -> list[int]:
    """Messages in tokens, as in training; the end of them where they leave no room for an answer."""
    if TOKENIZER.chat_template:
        ids = TOKENIZER.apply_chat_template(list(messages), return_dict=True, add_generation_prompt=True)["input_ids"]
    else:
        ids = TOKENIZER("\n\n".join(message["content"] for message in messages))["input_ids"]
    room = getattr(MODEL.config.get_text_config(), "max_position_embeddings", None)
    return list(ids[-max(room - DEMO.max_new_tokens, 1) :] if room else ids)


def _encode_seen(messages: Sequence[Message], picture: str) -> Any:
    """Messages with a picture before the last of them, as in training: all that the model takes of it."""
    assert PROCESSOR is not None
    parts: list[dict[str, Any]] = [
        {"role": one["role"], "content": [{"type": "text", "text": one["content"]}]} for one in messages
    ]
    parts[-1]["content"].insert(0, {"type": "image"})
    text = PROCESSOR.apply_chat_template(parts, add_generation_prompt=True)
    with Image.open(HERE / picture) as file:
        seen = PROCESSOR(text=[text], images=[file.convert("RGB")], return_tensors="pt")
    return {name: value.to(MODEL.dtype) if value.is_floating_point() else value for name, value in seen.items()}


def _written(asked: Mapping[str, torch.Tensor], seed: int, *, adapted: bool) -> Iterator[str]:
    chance = torch.Generator(_DEVICE).manual_seed(seed)
    found: list[int] = []
    step: Mapping[str, Any] = asked
    while len(found) < DEMO.max_new_tokens:
        with _ALONE, nullcontext() if adapted else MODEL.disable_adapter(), torch.inference_mode():
            told = MODEL(**step, use_cache=True)
            token = _sampled(told.logits[0, -1].float(), chance)
        if token in ENDS:
            break
        found.append(token)
        new = torch.tensor([found if told.past_key_values is None else [token]], device=_DEVICE)
        if told.past_key_values is None:  # it keeps nothing of what it has read
            step = {**asked, "input_ids": torch.cat([asked["input_ids"], new], dim=1)}
        else:
            step = {"input_ids": new, "past_key_values": told.past_key_values}
        if len(found) % TOKENS_AT_ONCE == 0:
            yield _text(found)
    yield _text(found)


def _sampled(logits: torch.Tensor, chance: torch.Generator) -> int:
    """One token out of the most likely ones, which together have TOP_P."""
    shares, order = (logits / TEMPERATURE).softmax(dim=-1).sort(descending=True)
    shares[shares.cumsum(dim=-1) - shares > TOP_P] = 0
    return int(order[torch.multinomial(shares, 1, generator=chance)])


def _text(tokens: list[int]) -> str:
    """Tokens as text, without control characters, which no page shows, and a last character that is not yet whole."""
    text: str = TOKENIZER.decode(tokens, skip_special_tokens=True)
    shown = "".join(mark for mark in text if mark in "\n\t" or category(mark) != "Cc")
    return shown.rstrip("\ufffd").strip()
