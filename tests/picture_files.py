"""Files of pictures for tests, drawn on the spot: plain ones, and those that somebody would rather not have open."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from annotation.files import write_whole
from annotation.types import picture_file

PLANTED = (b"GPSLatitude-19.4326", b"Zocalo, Mexico", b"a comment about Ana", b"SecretCam", b"W5M0MpCehiHzreSzNTczkc9d")
"""What stands in the metadata of `with_metadata`, and must stand nowhere else."""

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">GPSLatitude-19.4326'
    b'</x:xmpmeta><?xpacket end="w"?>'
)


def drawn(seed: int = 0, size: tuple[int, int] = (400, 300), mode: str = "RGB") -> Image.Image:
    """A picture of coloured shapes; another one for every seed."""
    dice = np.random.default_rng(seed)
    soft = Image.fromarray(dice.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(soft)
    for _ in range(6):
        x, y = (int(dice.integers(side)) for side in size)
        draw.ellipse((x, y, x + size[0] // 4, y + size[1] // 4), fill=tuple(dice.integers(0, 256, 3).tolist()))
    return soft.convert(mode)


def as_file(picture: Image.Image, form: str, **options: object) -> bytes:
    """A picture as a file of a format."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def keep_picture(folder: Path, data: bytes) -> str:
    """Write a JPEG where a project, snapshot or run has a picture; its id."""
    name = hashlib.sha256(data).hexdigest()
    write_whole(folder / picture_file(name), data)
    return name


def write_drawn(folder: Path, names: int | list[str], form: str = "JPEG", start: int = 0) -> None:
    """Files of pictures that differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names if isinstance(names, list) else [f"{n:03}.jpg" for n in range(names)]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(as_file(drawn(start + number), form))


def with_metadata(form: str) -> bytes:
    """A file with a place, a camera, a comment, a thumbnail's marker and XMP in it."""
    exif = Image.Exif()
    exif[0x010F] = "SecretCam"
    exif[0x010E] = "Zocalo, Mexico"
    exif.get_ifd(0x8825).update({1: "N", 2: (19.0, 25.0, 57.0), 29: "GPSLatitude-19.4326"})
    options: dict[str, object] = {"exif": exif.tobytes()}
    if form == "JPEG":
        options |= {"comment": "a comment about Ana", "xmp": XMP}
    elif form == "PNG":
        told = PngInfo()
        told.add_text("Comment", "a comment about Ana")
        told.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"] = told
    elif form == "WEBP":
        options["xmp"] = XMP
    elif form == "TIFF":
        options = {"exif": exif, "tiffinfo": {270: "Zocalo, Mexico", 271: "SecretCam", 700: XMP}}
    return as_file(drawn(), form, **options)


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG whose header says what it is told, and whose rows are these."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
