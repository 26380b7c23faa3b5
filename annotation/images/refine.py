"""A picture refined: opened within limits, turned upright, made small, and written anew without what it told."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from annotation.images.likeness import likeness

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""That are opened, whatever a file is called."""

SIDE, QUALITY = 1024, 85
"""Most pixels of a side, and JPEG quality, of what models see."""

VIEW_BYTES = 26_000
"""Most bytes of what Argilla's page shows, a WebP: a page of ten stays below 400 kB, as data URLs too."""

VIEW_STEPS = tuple(
    (side, quality, share * (side / 640) ** 1.6)
    for side in (640, 512, 384, 256)
    for quality, share in ((75, 1.0), (60, 0.85), (45, 0.7), (30, 0.55))
)
"""Sides and qualities of it, the best first, each with its bytes as a share of the best one's: about, as measured."""

MOST_BYTES, MOST_PIXELS, MOST_PIXELS_JPEG, MOST_SCANS, LEAST_SIDE = 64_000_000, 40_000_000, 110_000_000, 200, 64
"""Largest file, most pixels of it (a JPEG is decoded smaller, others take up to eight bytes for each), most scans of a
JPEG, and the shorter side of the least picture that is taken."""

_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError, LookupError, TypeError),
    *(RuntimeError, AssertionError, ZeroDivisionError, AttributeError),
)
"""What PIL raises over a damaged file."""

HEAVY = "more text in it than in a picture"
"""Reason for leaving out a PNG with more text beside its pixels than PIL reads: 1 MB in a part, 64 MB in all."""


class Refusal(NamedTuple):
    """Why something is not taken as a picture: a reason that can be counted, and what it was seen by."""

    reason: str
    because_of: str = ""


@dataclass(frozen=True, slots=True)
class Refined:
    """A picture as the project keeps it.

    Attributes:
        jpeg: The file that models see.
        view: The file that Argilla's page shows.
        width: Pixels.
        height: Pixels.
        likeness: Perceptual hash, 16 hex digits.
    """

    jpeg: bytes
    view: bytes
    width: int
    height: int
    likeness: str

    @property
    def id(self) -> str:
        """SHA-256 of what models see."""
        return sha256(self.jpeg).hexdigest()


def refine(data: bytes) -> Refined | Refusal:
    """Make a file in any of FORMATS a picture of the project: upright, sRGB, at most SIDE pixels, only pixels."""
    if data.count(b"\xff\xda") > MOST_SCANS and data[:2] == b"\xff\xd8":
        return Refusal("too large", f"a JPEG of more than {MOST_SCANS} scans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata that goes anyway
        image = _decoded(data)
        if isinstance(image, Refusal):
            return image
        picture = _plain(image)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=QUALITY)
    return Refined(jpeg.getvalue(), _view(picture, jpeg.tell()), *picture.size, likeness(picture))


def _decoded(data: bytes) -> Image | Refusal:
    """The pixels of a file, turned upright: all that PIL reads out of what strangers wrote."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if refusal := _refusal(image):
            return refusal
        image.draft(None, _fitted(image.size, SIDE))  # a JPEG is decoded at a half, a quarter or an eighth
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except UnidentifiedImageError:
        return Refusal("no picture", _looks_like(data))
    except Image.DecompressionBombError:
        return Refusal("too large", f"more than {MOST_PIXELS_JPEG:,} pixels")
    except _BROKEN as problem:
        if "MAX_TEXT_CHUNK" in str(problem) or "text chunks" in str(problem):
            return Refusal(HEAVY)
        return Refusal("broken or cut off", " ".join(str(problem).split())[:80])
    return image


def _refusal(image: Image) -> Refusal | None:
    width, height = image.size
    if width * height > (MOST_PIXELS_JPEG if image.format in ("JPEG", "MPO") else MOST_PIXELS):
        return Refusal("too large", f"{width} x {height} pixels")
    if min(_fitted(image.size, SIDE)) < LEAST_SIDE:
        return Refusal("too small", f"{width} x {height} pixels")
    # The other pictures of an MPO, which cameras write, are views of the same photograph.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return Refusal("animated, or of several pages", str(image.format))
    return None


def _looks_like(data: bytes) -> str:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "it is an SVG, which is a program: save it as PNG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is a web page"
    if head[4:8] == b"ftyp":
        return "it is HEIC, AVIF or a film: save it as JPEG"
    return f"annot reads {', '.join(FORMATS)}"


def _fitted(size: tuple[int, int], most: int) -> tuple[int, int]:
    """A size of the same shape with no side longer than that."""
    share = min(1.0, most / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _plain(image: Image) -> Image:
    """The pixels as they are meant: small, in sRGB, on white, and nothing beside them."""
    from PIL.Image import Resampling, new

    profile = image.info.get("icc_profile")
    image = _continuous(image)
    image = image.resize(_fitted(image.size, SIDE), Resampling.LANCZOS)
    if image.mode == "RGBA":
        white = new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white.convert("RGB")
    image = (_in_srgb(image, profile) if profile else image).convert("RGB")
    image.info = {}  # some of it would be written into the new files
    return image


def _continuous(image: Image) -> Image:
    """Pixels that can be mixed: greys, RGB, RGBA or CMYK."""
    if image.mode.startswith("I;16"):
        from PIL.Image import frombytes

        order = 0 if image.mode.endswith("B") else 1
        return frombytes("L", image.size, image.tobytes()[order::2])  # of two bytes the higher one
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def _in_srgb(image: Image, profile: bytes) -> Image:
    """The colours that a profile means; one that cannot be read, or is for other pixels, is passed over."""
    from PIL import ImageCms

    try:
        stated = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.profileToProfile(image, stated, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return found or image


@cache
def _srgb() -> Any:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _view(picture: Image, jpeg: int) -> bytes:
    """A small WebP of a picture: the best step that is small enough, but for those passed over by the size before.

    Args:
        picture: What models see.
        jpeg: Bytes of its JPEG; of as many pixels, a WebP of the best step has about 0.6 times as many.
    """
    from PIL.Image import Resampling

    room = VIEW_BYTES / (jpeg * 0.6 * min(1.0, VIEW_STEPS[0][0] / max(picture.size)) ** 2)
    small, file = picture, io.BytesIO()
    for side, quality, share in VIEW_STEPS:
        if share > room and side > VIEW_STEPS[-1][0]:
            continue
        if small.size != (size := _fitted(picture.size, side)):
            small = small.resize(size, Resampling.HAMMING)
        file = io.BytesIO()
        small.save(file, "WEBP", quality=quality, method=2)
        if file.tell() <= VIEW_BYTES:
            return file.getvalue()
        room = share * VIEW_BYTES / file.tell()
    raise AssertionError(f"the least view has {file.tell()} bytes")
