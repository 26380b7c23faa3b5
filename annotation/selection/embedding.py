"""Embeddings: texts become unit vectors, cached by content, so that a text is encoded once per model."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.encoders import PACKAGED
from annotation.errors import EncoderError
from annotation.packages import PACKAGE, package_files
from annotation.screen import Progress, silent
from annotation.selection.vector_cache import Part, read_vectors, write_vectors

BATCH = 64
"""Texts per call of the model."""

PART = 1024
"""Texts per file of the cache: a killed run loses at most this many vectors."""

LONG = 350
"""A text of more characters may be longer than a model reads at once. Its vector has a key of its own in the cache:
under the other one an older annot kept a vector of the beginning alone."""

HUB_TIMEOUT_S = 5.0

Vectors = NDArray[np.float32]


class SentenceModel(Protocol):
    """Model that encodes texts: all that selection needs of it."""

    def encode(self, texts: list[str], /) -> Any:
        """Turn n texts into an array of shape (n, d)."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encoder, loaded when it is first needed: a run that finds every text in the cache never loads it.

    Attributes:
        name: As annot.toml names it.
        identity: Changes whenever the model's vectors could: its name and revision, or a hash of its files.
        load: Makes the model ready; can be pickled, where prompts are chosen from in processes of their own.
    """

    name: str
    identity: str
    load: Callable[[], SentenceModel]


def open_encoder(name: str, base: Path) -> Encoder:
    """Find the sentence-transformers model that annot.toml names.

    Args:
        name: "package:NAME" for a model inside an installed Python package, a folder (relative ones start at base),
            or a Hub id. A Hub model that is not on this machine yet is fetched; one that is stays at its revision.
        base: The project folder.

    Raises:
        EncoderError: There is no such model, or the Hub cannot be reached.
    """
    if name.startswith(PACKAGE):
        return _in_folder(name, _package_folder(name))
    folder = (base / Path(name).expanduser()).resolve()
    if folder.is_dir():
        return _in_folder(name, folder)
    _require_hub_id(name, folder)
    return _on_hub(name)


def encoder_here(name: str, base: Path) -> bool:
    """Whether the encoder that annot.toml names is on this machine; nothing is loaded or fetched.

    Raises:
        EncoderError: There can be no such model: a package or a folder that is not here, or no possible name.
    """
    if name.startswith(PACKAGE):
        _require_model(name, _package_folder(name))
        return True
    folder = (base / Path(name).expanduser()).resolve()
    if folder.is_dir():
        _require_model(name, folder)
        return True
    _require_hub_id(name, folder)
    return bool(_revision_here(name, _repository(name)))


def embed(texts: Sequence[str], encoder: Encoder, cache_folder: Path, progress: Progress = silent) -> Vectors:
    """Encode texts, each once for ever: the vectors of `embed_counted`."""
    return embed_counted(texts, encoder, cache_folder, progress)[0]


def embed_counted(
    texts: Sequence[str], encoder: Encoder, cache_folder: Path, progress: Progress = silent, shard: str = ""
) -> tuple[Vectors, NDArray[np.int64]]:
    """Encode texts, each once for ever, and count in how many windows each was read.

    Texts are sorted by length over everything, so that a batch pads little; the longest come first, so that a model
    that does not fit into memory fails at once. The parts of the cache are cut in that order: a run that goes on after
    a kill sees the same batches, hence the same vectors, as one that was never killed.

    Args:
        texts: Any texts; equal ones are encoded once.
        encoder: From `open_encoder`, or a test's.
        cache_folder: Holds one folder per encoder identity, and in it one per shard. One writer at a time for each.
        progress: Gets how many texts of mean length are done: the long ones, which come first, count for more.
        shard: What the ids of the prompts begin with: vectors are looked for in the folders of this shard, of those
            that it is part of and of its own parts, and kept in its own. "" is all of them.

    Returns:
        Shape (len(texts), d), rows of length 1; and shape (len(texts),), 1 where the model reads a text at once.

    Raises:
        EncoderError: The model cannot be loaded, or answers with something else than one finite vector per text.
    """
    folder = cache_folder / hashlib.sha256(encoder.identity.encode()).hexdigest()[:16]
    keys = [_key(encoder, text) for text in texts]
    of_key = dict(zip(keys, texts, strict=True))
    parts = read_vectors(folder, shard, of_key)
    rows = {key: row for row, key in enumerate(chain.from_iterable(part.keys for part in parts))}
    missing = {key: text for key, text in of_key.items() if key not in rows}
    if missing:
        order = sorted(missing, key=lambda key: (-len(missing[key]), missing[key]))
        progress(0, len(order), "loading the encoder")
        read, characters = 0, sum(map(len, missing.values()))
        model = encoder.load()
        for start in range(0, len(order), PART):
            some = order[start : start + PART]
            batches = []
            for begin in range(0, len(some), BATCH):
                batch = [missing[key] for key in some[begin : begin + BATCH]]
                batches.append(_encode(model, batch, encoder.name))
                read += sum(map(len, batch))
                progress(len(order) * read // characters if characters else len(order), len(order))
            found, windows = (np.concatenate(column) for column in zip(*batches, strict=True))
            write_vectors(folder / shard, fresh := Part(some, found, windows))
            rows.update(zip(some, range(len(rows), len(rows) + len(some)), strict=True))
            parts.append(fresh)
        if len({part.vectors.shape[1] for part in parts}) > 1:
            raise EncoderError(f"The encoder {encoder.name} gives vectors of changing length; choose another model.")
    if not parts:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
    places = [rows[key] for key in keys]
    return np.concatenate([part.vectors for part in parts])[places], np.concatenate([p.windows for p in parts])[places]


def _key(encoder: Encoder, text: str) -> bytes:
    whole = "\0whole" if len(text) > LONG else ""
    return hashlib.sha256(f"{encoder.identity}\0{text}{whole}".encode()).digest()


def _encode(model: SentenceModel, texts: list[str], name: str) -> tuple[Vectors, NDArray[np.int64]]:
    found: NDArray[np.float64] = np.asarray(model.encode(texts), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise EncoderError(f"The encoder {name} did not give one finite vector per text; choose another model.")
    lengths: NDArray[np.float64] = np.linalg.norm(found, axis=1, keepdims=True)
    if not lengths.all():
        raise EncoderError(f"The encoder {name} gives a zero vector for a text; choose another model.")
    parts = getattr(model, "windows", lambda text: [text])  # A model that reads every text whole need not say so.
    windows = [len(parts(text)) for text in texts]
    return (found / lengths).astype(np.float32), np.array(windows, np.int64)


# -- where models are -----------------------------------------------------------------------------------------


def _require_hub_id(name: str, folder: Path) -> None:
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise EncoderError(f"select.encoder = {name!r}: there is no folder {folder}; correct the path in annot.toml.")


def _require_model(name: str, folder: Path) -> None:
    if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
        raise EncoderError(f"select.encoder = {name!r}: {folder} holds no sentence-transformers model (modules.json).")


def _in_folder(name: str, folder: Path) -> Encoder:
    _require_model(name, folder)
    return Encoder(name, f"folder {_hash_folder(folder)}", partial(_load, name, str(folder), local_files_only=True))


def _package_folder(name: str) -> Path:
    files = package_files(name)
    if files is None:
        raise EncoderError(
            f"select.encoder = {name!r}: the package is not installed; run "
            f"`pip install {name.removeprefix(PACKAGE) or 'NAME'}`, or name a Hub id or a folder in annot.toml."
        )
    found = sorted(file.parent for file in files if file.name == "modules.json")
    if not found:
        raise EncoderError(f"select.encoder = {name!r}: the package holds no sentence-transformers model.")
    return found[0].resolve()


def _hash_folder(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder)
        if not any(part.startswith(".") for part in place.parts):
            with path.open("rb") as file:
                whole.update(f"{place.as_posix()}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _on_hub(name: str) -> Encoder:
    # Both are read when the library is imported; its own default is to wait longer, and to try again.
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", f"{HUB_TIMEOUT_S:.0f}")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    repository = _repository(name)
    if revision := _revision_here(name, repository):
        return Encoder(name, f"hub {repository} {revision}", partial(_load_cached_or_fetch, name, repository))
    _fetch(name, repository)
    return Encoder(
        name, f"hub {repository} {_cached_revision(repository)}", partial(_load_cached_or_fetch, name, repository)
    )


def _repository(name: str) -> str:
    return name if "/" in name else f"sentence-transformers/{name}"


def _revision_here(name: str, repository: str) -> str | None:
    from huggingface_hub.errors import HFValidationError

    try:
        return _cached_revision(repository)
    except HFValidationError:
        raise EncoderError(
            f"select.encoder = {name!r} is neither a folder nor a possible Hub id; correct it in annot.toml."
        ) from None


def _cached_revision(repository: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    for file in ("modules.json", "config.json"):
        path = try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return Path(path).parent.name
    return None


def _load_cached_or_fetch(name: str, repository: str) -> SentenceModel:
    try:
        return _load(name, repository, local_files_only=True)
    except EncoderError:  # A download that was cut off: part of the model is here.
        return _fetch(name, repository)


def _fetch(name: str, repository: str) -> SentenceModel:
    from huggingface_hub import HfApi, constants

    # The error of whichever HTTP library the Hub's client is built on.
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError  # type: ignore[attr-defined]

    remedy = f'or set [select] encoder in annot.toml to a folder or to "{PACKAGED}"'
    absent = f"The encoder {name} is not on this machine"
    if constants.HF_HUB_OFFLINE:
        raise EncoderError(f"{absent} and HF_HUB_OFFLINE forbids fetching it; unset that, {remedy}.")
    try:
        # To load the libraries takes seconds, and their retries minutes; one question decides.
        HfApi().model_info(repository, timeout=HUB_TIMEOUT_S)
    except RepositoryNotFoundError:
        raise EncoderError(
            f"{absent} and {constants.ENDPOINT} has no model {repository}; correct the name, {remedy}."
        ) from None
    except (HTTPError, OSError) as error:
        raise EncoderError(
            f"{absent} and {constants.ENDPOINT} cannot be reached ({_first_line(error)}); connect to the network, "
            f"{remedy}."
        ) from None
    return _load(name, repository, local_files_only=False)


def _load(name: str, place: str, *, local_files_only: bool) -> SentenceModel:
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        with _quiet(bars=not local_files_only):
            from sentence_transformers import SentenceTransformer

            from annotation.selection.windows import Windows

            model = Windows(SentenceTransformer(place, local_files_only=local_files_only, trust_remote_code=False))
    except (OSError, ValueError, KeyError, RuntimeError, HTTPError) as error:
        raise EncoderError(
            f"The encoder {name} cannot be loaded ({_first_line(error)}); name another one under [select] in "
            f'annot.toml, for example "{PACKAGED}" or a folder.'
        ) from error
    return model


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextlib.contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    """No log lines of the libraries while a model loads; progress bars only where it is downloaded."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before, shown = logging.root.manager.disable, not are_progress_bars_disabled()
    logging.disable(logging.WARNING)
    if not bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.disable(before)
        if shown:
            enable_progress_bars()
