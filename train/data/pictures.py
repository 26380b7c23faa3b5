"""Pictures of a run: those of a file written once by content, and all of them checked before anything is trained."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.files import is_within, read_regular, write_whole
from annotation.images.likeness import Likenesses, likeness
from annotation.images.refine import MOST_BYTES, SIDE, Refusal, refine
from annotation.images.store import LostPicture, read_picture
from annotation.reading.cells import is_missing, unpacked
from annotation.reading.examples import Example, Examples, place_of
from annotation.reading.pictures import PICTURE_COLUMNS, picture_cells
from annotation.reading.rows import Row
from annotation.screen import Progress, counted, silent
from annotation.text.locales import fold
from annotation.types import picture_file

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".svg")
"""What the name of a picture ends in."""

JFIF, END = 14, b"\xff\xd9"
"""Bytes of the only segment beside its pixels that a JPEG needs, and how it ends."""


def pictures_in(source: Path, found: Examples) -> Iterator[tuple[str, Any]]:
    """Place of an example and the cell with its picture: an id, a path, or bytes with a name."""
    named = {column for example in found.kept for column in example.cells}
    columns = {column for column in named if fold(column) in PICTURE_COLUMNS}
    for example in found.kept:
        yield from ((example.place, cell) for cell in _cells(example, columns))
    kept = {example.place for example in found.kept}
    for row, cell in picture_cells(str(source)):
        if (place := place_of(Row(row, {}), found.name)) in kept:
            yield place, cell


def _cells(example: Example, columns: Collection[str]) -> Iterator[Any]:
    """Cells of columns of pictures that name one; other text there says nothing of a picture."""
    for column, cell in example.cells.items():
        if column in columns and not is_missing(value := unpacked(cell)):
            name = value[0] if isinstance(value, list) else value
            name = name.get("path") or name.get("bytes") if isinstance(name, dict) else name
            if isinstance(name, str) and (_is_id(name) or name.lower().endswith(SUFFIXES) or "://" in name[:10]):
                yield value


def keep_pictures(source: Path, found: Examples, home: Path, progress: Progress = silent) -> Mapping[str, str]:
    """Write the pictures of a file below a folder, each once, as annot keeps them.

    Args:
        source: The file, or owner/name of a dataset.
        found: Its examples.
        home: The run's folder.
        progress: Told how many.

    Returns:
        Place of an example -> id of its picture.

    Raises:
        TrainError: A row has several pictures, or one that is gone, outside the file's folder, or no picture.
    """
    ids: dict[str, str] = {}
    kept: dict[bytes, str] = {}  # a picture may stand in many rows
    for place, cell in pictures_in(source, found):
        if (isinstance(cell, list) and len(cell) > 1) or place in ids:
            raise TrainError(f"{place} has several pictures, and a slate is about one; keep that one in its row.")
        value = cell[0] if isinstance(cell, list) else cell
        data = _bytes_of(value, source.parent, place)
        key = hashlib.sha256(data).digest()
        ids[place] = kept[key] = kept.get(key) or _keep(data, home, place)
        progress(len(ids), len(found.kept), "pictures read")
    return ids


def _bytes_of(value: Any, folder: Path, place: str) -> bytes:
    """The bytes of a cell, or of the file that it names: by an id, or by a path that begins where the source stands."""
    name = value
    if isinstance(value, Mapping):
        data, name = value.get("bytes"), value.get("path")
        if isinstance(data, bytes):
            return data
    if not isinstance(name, str) or "://" in name:
        raise TrainError(
            f"{place}, image = {short(name)}: annot fetches no picture from an address; put the pictures into files "
            "beside yours, and their paths into the column."
        )
    path = folder / (picture_file(name) if _is_id(name) else name)
    try:
        if not is_within(path, folder):
            raise TrainError(
                f"{place}, image = {short(name)}: a picture stands in the folder of its file, or below it."
            )
        data = read_regular(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no file can have such a name"
        raise TrainError(
            f"{place}: the picture {str(path)!r} cannot be read ({why}); put it there, or correct the name."
        ) from None
    if len(data) > MOST_BYTES:
        raise TrainError(f"{place}: the picture {path} has more than {MOST_BYTES:,} bytes; save a smaller one.")
    return data


def _keep(data: bytes, home: Path, place: str) -> str:
    if not _is_ours(data):
        refined = refine(data)
        if isinstance(refined, Refusal):
            why = f"{refined.reason} ({refined.because_of})" if refined.because_of else refined.reason
            raise TrainError(f"{place}: its picture is not taken: {why}; mend that row, or leave it out.")
        data = refined.jpeg
    name = hashlib.sha256(data).hexdigest()
    try:
        read_picture(home, name)
    except LostPicture:
        write_whole(home / picture_file(name), data)
    return name


def _is_ours(data: bytes) -> bool:
    """Whether it is a picture as annot keeps it: JPEG, of its size, with nothing beside the pixels."""
    import io

    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if not isinstance(picture, JpegImageFile) or not data.endswith(END):
                return False
            plain = all(kind == "APP0" and len(part) == JFIF for kind, part in picture.applist)
            return plain and max(picture.size) <= SIDE and picture.mode == "RGB"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _is_id(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", name) is not None


def check_pictures(pictures: Iterable[str], folder: Path, progress: Progress = silent) -> None:
    """Make sure that all pictures are there and are what their ids say.

    Raises:
        LostPicture: One is gone or damaged, here and in the project around.
        TrainError: One is no picture.
    """
    named = sorted(set(pictures))
    for done, picture in enumerate(named):
        progress(done, len(named), "pictures checked")
        if not _is_ours(read_picture(folder, picture)):
            raise TrainError(
                f"{folder / picture_file(picture)} is no picture as annot keeps them; take its rows out of the source."
            )


def first_alike(pictures: Iterable[str], folder: Path) -> Mapping[str, str]:
    """Picture -> the first, by id, of those that look nearly the same; itself where none before it does."""
    from PIL import Image

    first: dict[str, str] = {}
    seen = Likenesses()
    for picture in sorted(set(pictures)):
        with Image.open(folder / picture_file(picture)) as image:
            image.draft("L", (64, 64))  # decoded at an eighth: the hash is of 32 pixels
            looks = likeness(image)
        twin = seen.twin(looks)
        first[picture] = first[twin[0]] if twin else picture
        seen.add(picture, looks)
    return first


def check_kind(name: str, pictures: int, slates: int, vision: str) -> None:
    """Refuse slates about pictures for a model that reads text alone, and the reverse.

    Args:
        name: Of the source.
        pictures: How many of its slates are about a picture.
        slates: How many there are.
        vision: `base.vision` of the recipe.

    Raises:
        TrainError: They do not fit; the sentence names presets that do.
    """
    if vision == "none" and pictures:
        raise TrainError(
            f"{name} is about pictures, and this preset trains a model that reads text alone; choose --preset "
            "l40s-vlm-lora, or cpu-smoke-vlm to try."
        )
    if vision != "none" and slates and not pictures:
        raise TrainError(
            f"{name} has no pictures, and this preset trains a model that sees them; choose --preset "
            "l40s-8b-lora-bf16, or cpu-smoke to try."
        )
    if vision != "none" and pictures < slates:
        raise TrainError(
            f"{counted(slates - pictures, 'slate')} of {name} {'is' if slates - pictures == 1 else 'are'} about no "
            "picture, and the others are: a run is about pictures or about texts; put them into two files."
        )
