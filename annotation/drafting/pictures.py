"""Pictures in requests: what they cost in tokens, and their files as they are sent."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from annotation.config import Detail
from annotation.errors import DraftError
from annotation.images import store
from annotation.screen import counted
from annotation.types import Picture, picture_file

TILE = 512
"""Pixels of the side of a tile."""

TILE_TOKENS = 256
"""Tokens of a tile, and of a whole picture seen small. Cohere's documentation ("Image inputs", as of August 2026)."""

SMALL = 768
"""Pixels of the longer side up to which detail "auto" is "low"."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that a request shows: its name and its cost, never its content.

    Attributes:
        picture: Its id.
        detail: How closely the model looks.
        tokens: Of input.
    """

    picture: str
    detail: Detail
    tokens: int


def show(picture: Picture, detail: Detail) -> Shown:
    """What a request that shows a picture is billed for it."""
    return Shown(picture.id, detail, picture_tokens(picture.width, picture.height, detail))


def picture_tokens(width: int, height: int, detail: Detail) -> int:
    """Input tokens of a picture: one small view, and with high detail every tile beside it.

    Args:
        width: Pixels.
        height: Pixels.
        detail: "auto" is "high" for a picture with a side above SMALL.
    """
    if detail == "low" or (detail == "auto" and max(width, height) <= SMALL):
        return TILE_TOKENS
    return TILE_TOKENS * (1 + math.ceil(width / TILE) * math.ceil(height / TILE))


def require_pictures(folder: Path, pictures: Iterable[str]) -> None:
    """See that the files of some pictures are there, before anything is spent.

    Raises:
        DraftError: Some are not.
    """
    pictures = dict.fromkeys(pictures)
    if missing := [picture for picture in pictures if not (folder / picture_file(picture)).is_file()]:
        raise _unfit(folder, missing[0], "is missing", f"{counted(len(missing), 'picture')} of {len(pictures)}")


def read_picture(folder: Path, picture: str) -> bytes:
    """The file of a picture as annot wrote it: a JPEG of at most 1024 pixels, hence far below what a request may hold.

    Raises:
        DraftError: It is not there, or is another one: what a person put in its place may say where it was taken.
    """
    try:
        return store.read_picture(folder, picture)
    except store.LostPicture as lost:
        raise DraftError(f"{lost} Nothing was spent on it.") from None


def data_uri(content: bytes) -> str:
    """A JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _unfit(folder: Path, picture: str, what: str, why: str) -> DraftError:
    return DraftError(
        f"{folder / picture_file(picture)} {what} ({why}); put it back from a backup, or add the picture again with "
        "`annot images add`, then run the same command again. Nothing was spent on it."
    )
