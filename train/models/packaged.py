"""A model that a Python package carries as one GGUF file, converted once into a folder like any other's.

The folder stands in the user's cache, named after the file and its content: another version is another folder. It holds
what the file says, in float32, with tokenizer and chat template; quantised weights keep the values that they have.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotation.files import lock_file, user_cache
from annotation.packages import PACKAGE
from train.models.content import digests
from train.models.hub import card_of

CONVERSION = 1
"""Part of the folder's name: raise it when the same file becomes something else."""

SINGLE_DIGITS = ("codeshell", "command-r", "exaone", "minerva-7b", "refact", "smollm", "starcoder")
"""What a GGUF file calls tokenizers that take every digit by itself. transformers does not know these names, and would
begin such a number with the blank before it: "\\n\\n1." is other tokens than those that the model has learnt."""

SMALL = 10**9
"""Weights below which a model is called small."""


def converted(gguf: Path, package: str) -> Path:
    """Folder of the model in a GGUF file; made by the first process that asks, whole or not at all.

    Args:
        gguf: The file.
        package: Name of the package that carries it, for the folder's README.md.
    """
    digest = digests([gguf])[0]
    folder = user_cache() / "models" / f"{gguf.stem}-{digest[:16]}-{CONVERSION}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(folder.with_name(f"{folder.name}.lock"), print, ""):
        if not folder.exists():
            beside = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
            try:
                beside.mkdir()
                _convert(gguf, beside, package, digest)
                beside.rename(folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path, package: str, digest: str) -> None:
    import torch
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    fields = GGUFReader(gguf).fields

    def said(key: str) -> Any:
        return fields[key].contents() if key in fields else ""

    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    if said("tokenizer.ggml.pre") in SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    tokenizer.save_pretrained(folder)
    packed = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **place
    )
    # What was loaded from such a file is never saved, even as plain numbers; a model that never heard of it is.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(gguf.parent, **place))
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(folder)
    (folder / "README.md").write_text(
        _card(gguf, package, digest, said, small=model.num_parameters() < SMALL), encoding="utf-8"
    )


def _card(gguf: Path, package: str, digest: str, said: Callable[[str], Any], *, small: bool) -> str:
    """The model card: what it is called and its licence, in the file's own words."""
    from huggingface_hub import ModelCardData

    name = re.sub(r"[.-](I?Q\d\w*|B?F16|F32)$", "", gguf.stem, flags=re.IGNORECASE)
    languages = [str(language) for language in said("general.languages") or ()]
    note = f"{name} from the package {package}: a real {'but small ' if small else ''}model"
    note += ", mostly English" if languages == ["en"] else ""
    facts: dict[str, Any] = {
        "model_name": name,
        "license": said("general.license") or None,
        "language": languages or None,
        NOTE: note,
    }
    head = ModelCardData(**facts).to_yaml()
    return (
        f"---\n{head}\n---\n\n# {name}\n\nConverted to float32 by annot from the file {gguf.name} of the Python "
        f"package {package} (SHA-256 {digest}).\n"
    )


NOTE = "annot_note"
"""In the head of the model card: what people are told that it is."""


def note_of(folder: Path, name: str) -> str:
    """What people are told that a converted model is; its name where its card was changed."""
    note = card_of(folder / "README.md").get(NOTE)
    return note if isinstance(note, str) else name.removeprefix(PACKAGE)
