"""Reference log-probs: each answer under the base itself, computed once per candidate, and kept by content.

Answers to one prompt are computed together, in groups that depend on nothing but the answers, each group alone in its
forward pass: the same candidates give the same numbers to the last bit, whenever and in whatever order they come. They
are kept in a SQLite file per base, quantisation, number type and way of computing, which all runs of a base share. A
run that is cut off loses at most the last few seconds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.errors import TrainError
from train.data.tokens import EncodedSlate
from train.models.content import PROCESSOR, cache_folder, digests

if TYPE_CHECKING:
    from train.engine.packing import Shape
    from train.models.base import Base
    from train.settings import Recipe

ANSWERS_AT_ONCE = 8
"""Most answers of one forward pass: two slates of four."""

COMMIT_EVERY_S = 5.0

Ids = tuple[int, ...]


class ReferenceCache:
    """Log-probs of answers under one base, in a SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._begin()

    def read(self, keys: Iterable[bytes]) -> dict[bytes, list[float]]:
        """Log-probs that are known, by key."""
        try:
            with closing(self._open()) as db:
                ask = "select log_probs from answers where of = ?"
                rows = ((key, db.execute(ask, (key,)).fetchone()) for key in keys)
                return {key: json.loads(row[0]) for key, row in rows if row}
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return {}

    def write(self, found: Mapping[bytes, Sequence[float]]) -> None:
        """Keep more, all or none of them."""
        with closing(self._open()) as db, db:
            rows = [(key, json.dumps(list(values))) for key, values in found.items()]
            db.executemany("insert or ignore into answers values (?, ?)", rows)

    def _begin(self) -> None:
        try:
            with closing(self._open()) as db, db:
                db.execute("create table if not exists answers (of blob primary key, log_probs text not null)")
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        """Put an empty file in the place of a damaged one: everything in it can be computed again."""
        if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise error
        for path in (self.path.with_name(f"{self.path.name}-journal"), self.path):
            path.unlink(missing_ok=True)
        self._begin()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)


def reference_cache(base: Base, recipe: Recipe, shape: Shape, *, home: Path | None = None) -> ReferenceCache:
    """Open the cache of a base as this recipe holds it and this machine computes it.

    Args:
        base: The model.
        recipe: Its quantisation and number types.
        shape: How its packs lie.
        home: Where such files are; by default annot's cache folder of this user.
    """
    import torch
    import transformers

    content = {
        "weights": _digest(base.folder, "config.json", "*.safetensors"),
        "base": recipe.base.model_dump(include={"dtype", "quantisation", "attention"}),
        "autocast": recipe.optimiser.autocast,
        "device": torch.cuda.get_device_name() if recipe.device.kind == "cuda" else "cpu",
        "versions": [torch.__version__, transformers.__version__],
        **({"shape": shape} if shape == "alone" else {}),
        **({"compiled": True} if recipe.engine.compile else {}),
        **({"processor": _digest(base.folder, *PROCESSOR)} if recipe.base.vision != "none" else {}),
    }
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
    return ReferenceCache((home or cache_folder()) / f"{name}.sqlite")


def _digest(folder: Path, *patterns: str) -> str:
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    digest = hashlib.sha256()
    for path, content in zip(paths, digests(paths), strict=True):
        digest.update(path.name.encode() + bytes.fromhex(content))
    return digest.hexdigest()


def groups(slates: Iterable[EncodedSlate]) -> list[EncodedSlate]:
    """Every candidate once, those of one prompt together, at most ANSWERS_AT_ONCE of them."""
    by_prompt: dict[tuple[Ids, str], set[Ids]] = {}
    for slate in slates:
        by_prompt.setdefault((slate.prompt, slate.image), set()).update(slate.answers)
    return [
        EncodedSlate(prompt, tuple(answers[first : first + ANSWERS_AT_ONCE]), image)
        for (prompt, image), answers in ((prompt, sorted(found)) for prompt, found in by_prompt.items())
        for first in range(0, len(answers), ANSWERS_AT_ONCE)
    ]


def key_of(group: EncodedSlate) -> bytes:
    """Key of a group in the cache: the hash of its tokens, and of its picture's id, where it has one."""
    image = (group.image,) if group.image else ()
    return hashlib.sha256(repr((group.prompt, group.answers, *image)).encode()).digest()


class Pending:
    """Log-probs on their way to the file, a few seconds' worth at most."""

    def __init__(self, cache: ReferenceCache) -> None:
        """Nothing is pending."""
        self.cache, self.found, self.since = cache, dict[bytes, list[float]](), time.monotonic()

    def add(self, key: bytes, values: list[float]) -> None:
        """One more; all of them are written when it is time."""
        self.found[key] = values
        if time.monotonic() - self.since > COMMIT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        self.cache.write(self.found)
        self.found, self.since = {}, time.monotonic()


def per_slate(
    slates: Sequence[EncodedSlate], wanted: Sequence[EncodedSlate], known: Mapping[bytes, Sequence[float]]
) -> list[tuple[float, ...]]:
    """Give each slate the log-probs of its answers.

    Raises:
        TrainError: The base gives an answer no finite log-prob.
    """
    value: dict[tuple[Ids, str, Ids], float] = {}
    for group in wanted:
        value |= {(group.prompt, group.image, a): v for a, v in zip(group.answers, known[key_of(group)], strict=True)}
    found = [tuple(value[slate.prompt, slate.image, answer] for answer in slate.answers) for slate in slates]
    wrong = sum(not all(abs(v) < float("inf") for v in values) for values in found)
    if wrong:
        raise TrainError(
            f"the base itself gives answers of {wrong} slates no finite log-prob; it is damaged, or needs "
            "base.dtype = float32."
        )
    return found
