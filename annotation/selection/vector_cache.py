"""Vectors on disk: what was encoded, by the hash of encoder and text, in whole files; shards have own folders."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.errors import EncoderError
from annotation.files import write_whole


@dataclass(frozen=True, slots=True)
class Part:
    """Texts that were encoded: n keys, their vectors of shape (n, d), and their windows of shape (n,)."""

    keys: Sequence[bytes]
    vectors: NDArray[np.float32]
    windows: NDArray[np.int64]


def read_vectors(folder: Path, shard: str, of_key: Mapping[bytes, str]) -> list[Part]:
    """What the cache holds of some texts, each once.

    Args:
        folder: Of one encoder.
        shard: What the ids of the prompts begin with: its own folder, those that hold it and those in it are read.
        of_key: Key to text.

    Raises:
        EncoderError: A file is damaged.
    """
    if (own := folder / shard).is_dir():
        for left in own.glob(".*"):  # A run was killed while it wrote this one.
            left.unlink()
    near = [sub for sub in sorted(folder.glob("*/")) if sub.name.startswith(shard) or shard.startswith(sub.name)]
    seen, parts = set[bytes](), []
    for path in (path for place in (folder, *near) for path in sorted(place.glob("[!.]*.npz"))):
        try:
            with np.load(path, allow_pickle=False) as part:
                keys = [key.tobytes() for key in part["keys"]]
                wanted = [row for row, key in enumerate(keys) if key in of_key and key not in seen]
                if not wanted:
                    continue
                some, vectors = [keys[row] for row in wanted], part["vectors"][wanted]
                # An older annot did not write down how many windows there were.
                windows = part["windows"][wanted] if "windows" in part else [_guess(of_key[key]) for key in some]
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
            raise EncoderError(f"{path} is damaged; delete it and run the same command again.") from None
        seen.update(some)
        parts.append(Part(some, vectors, np.array(windows, np.int64)))
    return parts


def _guess(text: str) -> int:
    return 1 + len(text) // (4 * 256)


def write_vectors(folder: Path, part: Part) -> None:
    """Keep vectors in a file of their own, whole or not at all."""
    name = hashlib.sha256(b"".join(part.keys)).hexdigest()[:16]
    table = np.frombuffer(b"".join(part.keys), np.uint8).reshape(len(part.keys), -1)

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez(file, keys=table, vectors=part.vectors, windows=part.windows)

    write_whole(folder / f"{name}.npz", write)
