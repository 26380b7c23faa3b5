"""A tiny random model, made on the spot: trains an adapter where no real model can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOTICE = "a tiny random model made on the spot: it shows that the way works, and nothing about any real model"
"""How such a model is called wherever it is shown."""

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tiny_base(folder: Path, texts: Sequence[str], *, seed: int, vocabulary: int = 512) -> Path:
    """Make a Llama of 0.1M random weights with a byte-level BPE tokenizer learnt from the texts.

    The same texts and seed give the same files. A folder that is there already is whole, and is kept.

    Args:
        folder: Where the model goes; it appears whole or not at all.
        texts: What the tokenizer learns its merges from; every byte is in the vocabulary, so any text can be read.
        seed: Of the weights.
        vocabulary: Most tokens.
    """
    if folder.exists():
        return folder
    tokenizer = learn_tokenizer(texts, vocabulary=vocabulary)
    tokenizer.chat_template = TEMPLATE
    model = random_model(len(tokenizer), seed=seed, eos=tokenizer.eos_token_id, pad=tokenizer.pad_token_id)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    beside.replace(folder)
    return folder


def learn_tokenizer(texts: Sequence[str], *, special: Sequence[str] = (), vocabulary: int = 512) -> Any:
    """A byte-level BPE tokenizer learnt from texts, with marks for the turns of a conversation.

    Args:
        texts: What it learns its merges from.
        special: More tokens that stand for no text.
        vocabulary: Most tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    marks = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", *special]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bytes_of_text = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=marks, initial_alphabet=bytes_of_text, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=marks[0], eos_token=marks[1])


def random_model(vocabulary: int, *, seed: int, eos: int | None = None, pad: int | None = None) -> Any:
    """A Llama of two layers with random weights; the same arguments give the same weights.

    Args:
        vocabulary: Tokens that it knows.
        seed: Of the weights.
        eos: Id of the token that ends a text.
        pad: Id of the token that fills up short rows.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
