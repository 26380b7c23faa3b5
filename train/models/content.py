"""Content of a base: the SHA-256 of every file that decides what it computes and how it is written to.

A folder is swapped in place sooner than renamed, and other weights of the same shapes have the same names and sizes.
Hashing 16 GB takes half a minute, so the digest of a large file is kept in the user's cache folder and believed while
place, device, inode, size and both times of the file are the same. The time of the last change of the inode cannot be
set by hand: a copy that keeps the time of its source is hashed again. A file that changed within the last seconds is
not kept, because a clock may not tell two such changes apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.errors import TrainError
from annotation.files import user_cache, write_whole
from annotation.packages import PACKAGE

if TYPE_CHECKING:
    from train.models.base import Base
    from train.settings import BaseModelSettings

DECISIVE = (
    "*.safetensors", "config.json", "generation_config.json", "tokenizer*", "*.model", "vocab*", "merges.txt",
    "*_tokens*.json", "chat_template*", "additional_chat_templates/*",
)  # fmt: skip
"""Weights, configuration, tokenizer and chat template."""

PROCESSOR = ("preprocessor_config.json", "processor_config.json")
"""How a base that sees is shown a picture; to one that reads text alone it is nothing."""

LARGE = 2**24
"""Bytes from which a digest is kept."""

SETTLED_S = 3.0

GGUF = "GGUF file"
"""How the file of a package is called among the files of a base."""

TEMPLATE = "base.chat_template"
"""How the template that the settings name is called among the files of a base."""


def content_of(base: Base, settings: BaseModelSettings) -> dict[str, str]:
    """SHA-256 of each decisive file of a base, by its name.

    A base out of a package is what its GGUF file says, whose digest stands in the version: another transformers
    converts the same file into another config.json.
    """
    patterns = DECISIVE if settings.vision == "none" else (*DECISIVE, *PROCESSOR)
    found = {GGUF: base.version} if base.name.startswith(PACKAGE) else _digests_of_files(base, patterns)
    if settings.chat_template:
        found[TEMPLATE] = digests([Path(settings.chat_template).expanduser()])[0]
    return found


def _digests_of_files(base: Base, patterns: Sequence[str]) -> dict[str, str]:
    paths = sorted({path for pattern in patterns for path in base.folder.glob(pattern) if path.is_file()})
    return dict(zip((str(path.relative_to(base.folder)) for path in paths), digests(paths), strict=True))


def check_content(base: Base, settings: BaseModelSettings, facts: Mapping[str, Any]) -> None:
    """Make sure that a base is, byte by byte, what a run was begun with.

    Args:
        base: As it is now.
        settings: [base] of the run's recipe.
        facts: Its run.json; one of an earlier version does not say, and is believed.

    Raises:
        TrainError: A file is another one now.
    """
    begun = facts.get("base_files")
    if not begun:
        return
    found = content_of(base, settings)
    if GGUF in found and GGUF not in begun:  # by an earlier version, which noted the files of the conversion
        begun = {GGUF: found[GGUF], **{name: digest for name, digest in begun.items() if name == TEMPLATE}}
    if other := sorted(name for name in begun.keys() | found.keys() if begun.get(name) != found.get(name)):
        raise TrainError(
            f"{base.name or base.folder}: {', '.join(other)} {'is' if len(other) == 1 else 'are'} no longer what the "
            f"run {facts['run']} was begun with; put that back, or train under another --run."
        )


def digests(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of files; that of a large one is computed once while it does not change."""
    kept_in = cache_folder() / "digests.json"
    kept: dict[str, list[Any]] = {}
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(kept_in.read_text(encoding="utf-8"))
    found, new = [], False
    for path in (path.resolve() for path in paths):
        stat = path.stat()
        state = [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = kept.get(str(path), [])
        if known[:-1] == state:
            found.append(known[-1])
            continue
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
        if stat.st_size >= LARGE and time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_S:
            kept[str(path)], new = [*state, found[-1]], True
    if new:
        write_whole(kept_in, json.dumps({path: known for path, known in kept.items() if Path(path).exists()}).encode())
    return found


def cache_folder() -> Path:
    """Folder of the caches of all runs of this user; ANNOT_REFERENCE names another folder."""
    named = os.environ.get("ANNOT_REFERENCE")
    return Path(named) if named else user_cache() / "reference"
