"""One picture: whatever a file holds, what is kept is upright, small, in sRGB, and says nothing but its pixels."""

import io
import random

import numpy as np
import pytest
from picture_files import PLANTED, XMP, as_file, drawn, png, with_metadata
from PIL import Image, ImageCms, ImageEnhance, ImageOps

from annotation.images.likeness import ALIKE, Likenesses, likeness
from annotation.images.refine import LEAST_SIDE, SIDE, VIEW_BYTES, Refined, Refusal, refine
from annotation.images.workers import refine_all


def kept(data: bytes) -> Refined:
    found = refine(data)
    assert isinstance(found, Refined), found
    return found


def refused(data: bytes) -> str:
    found = refine(data)
    assert isinstance(found, Refusal), found
    return found.reason


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)


def far(one: bytes, other: Image.Image) -> float:
    """Mean difference of a channel."""
    return float(np.abs(pixels(one) - np.asarray(other.convert("RGB"), dtype=int)).mean())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_nothing_that_a_file_says_beside_its_pixels_survives(form: str) -> None:
    data = with_metadata(form)
    assert sum(planted in data for planted in PLANTED) >= 3  # else nothing was planted
    found = kept(data)
    for file in (found.jpeg, found.view):
        assert not [planted for planted in (*PLANTED, XMP[:20], b"Exif", b"ICC_PROFILE", b"ICCP") if planted in file]
        opened = Image.open(io.BytesIO(file))
        assert not opened.getexif()
        assert not opened.info.keys() & {"exif", "xmp", "comment", "icc_profile", "photoshop"}


def test_what_stands_behind_a_picture_in_its_file_is_gone() -> None:
    data = as_file(drawn(), "JPEG") + b"PK\x03\x04<script>alert(1)</script>"
    assert b"script" not in kept(data).jpeg


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_its_camera_held_otherwise_stands_upright(orientation: int, form: str) -> None:
    upright = drawn(3, (320, 200))
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    lying = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = kept(as_file(lying, form, exif=exif))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(as_file(lying, form, exif=exif))))
    assert (found.width, found.height) == expected.size == (320, 200)
    assert far(found.jpeg, upright) < 6


def test_a_large_picture_is_made_small_and_a_small_one_stays() -> None:
    large, small = kept(as_file(drawn(1, (3000, 2000)), "JPEG")), kept(as_file(drawn(1, (300, 200)), "JPEG"))
    assert (large.width, large.height) == (SIDE, 683)
    assert (small.width, small.height) == (300, 200)
    assert far(large.jpeg, drawn(1, (3000, 2000)).resize((1024, 683), Image.Resampling.LANCZOS)) < 4


def test_the_same_file_gives_the_same_picture_and_others_give_others() -> None:
    first, again, other = (kept(as_file(drawn(seed), "PNG")) for seed in (1, 1, 2))
    assert first == again
    assert first.id == again.id != other.id


def test_the_view_is_small_whatever_the_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), dtype=np.uint8)
    for picture in (drawn(1, (2000, 1500)), Image.fromarray(noise), Image.fromarray(noise[:, :70]), drawn(2, (64, 64))):
        found = kept(as_file(picture, "PNG"))
        view = Image.open(io.BytesIO(found.view))
        assert len(found.view) <= VIEW_BYTES
        assert view.format == "WEBP"
        assert max(view.size) <= 640
        assert abs(view.width / view.height - found.width / found.height) < 0.1


def test_colours_are_those_that_a_profile_means() -> None:
    wide = _swapped()
    found = kept(as_file(drawn(4), "JPEG", icc_profile=wide, quality=95))
    meant = ImageCms.profileToProfile(
        drawn(4), ImageCms.ImageCmsProfile(io.BytesIO(wide)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert meant is not None
    assert far(found.jpeg, meant) < 4 < far(found.jpeg, drawn(4))


def _swapped() -> bytes:
    """An RGB profile in which the red of a file is the blue of the eye."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def test_a_damaged_profile_is_passed_over() -> None:
    assert far(kept(as_file(drawn(4), "JPEG", icc_profile=b"no profile at all" * 20, quality=95)).jpeg, drawn(4)) < 4


def test_every_kind_of_pixels_becomes_rgb() -> None:
    grey = drawn(5, mode="L")
    deep = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    palette, bits = drawn(5).quantize(32, dither=Image.Dither.NONE), grey.convert("1", dither=Image.Dither.NONE)
    cases = [
        (as_file(drawn(5), "JPEG", quality=95), drawn(5)),
        (as_file(grey, "JPEG", quality=95), grey),
        (as_file(grey, "PNG"), grey),
        (as_file(deep, "PNG"), grey),
        (as_file(deep, "TIFF"), grey),
        (as_file(palette, "PNG"), palette),
        (as_file(palette, "GIF"), palette),
        (as_file(bits, "PNG"), bits),
        (as_file(drawn(5), "BMP"), drawn(5)),
        (as_file(drawn(5, mode="CMYK"), "JPEG", quality=95), drawn(5)),
        (as_file(drawn(5, mode="CMYK"), "TIFF"), drawn(5)),
    ]
    for number, (data, expected) in enumerate(cases):
        found = kept(data)
        assert Image.open(io.BytesIO(found.jpeg)).mode == "RGB"
        assert far(found.jpeg, expected) < 10, number


def test_what_is_transparent_is_white() -> None:
    clear = drawn(6, (200, 200)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((200, 200)))
    expected = Image.new("RGBA", clear.size, "white")
    expected.alpha_composite(clear)
    palette = drawn(6, (200, 200), "P")
    palette.info["transparency"] = bytes(256)
    for form in ("PNG", "WEBP", "TIFF"):
        assert far(kept(as_file(clear, form)).jpeg, expected) < 6
    assert far(kept(as_file(palette, "PNG", transparency=bytes(256))).jpeg, Image.new("RGB", (200, 200), "white")) < 3
    grey = as_file(Image.new("L", (100, 100), 7), "PNG", transparency=7)
    assert pixels(kept(grey).jpeg).min() > 250


def test_what_moves_or_has_pages_is_refused() -> None:
    frames = [drawn(seed) for seed in range(3)]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        data = as_file(frames[0], form, save_all=True, append_images=frames[1:])
        assert refused(data) == "animated, or of several pages", form
    kept(as_file(frames[0], "MPO", save_all=True, append_images=frames[1:]))  # a camera's views of one moment


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<?xml version='1.0'?><svg/>",
        b"<!DOCTYPE html><html><img src=x onerror=alert(1)></html>",
        b"%PDF-1.7\n%%EOF",
        b"\0\0\0\x18ftypheic\0\0\0\0",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"not a picture at all",
    ],
)
def test_what_is_no_picture_is_refused_whatever_it_is_called(data: bytes) -> None:
    assert refused(data) == "no picture"


def test_bombs_are_refused_before_they_are_unpacked() -> None:
    assert refused(png(60_000, 60_000, b"\0" * 1000)) == "too large"
    assert refused(png(30_000_000, 1, b"\0" * 1000)) == "too small"
    assert refused(png(2**31 - 1, 2**31 - 1, b"")) in ("too large", "no picture")
    scans = as_file(drawn(), "JPEG", progressive=True)
    many = scans[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff" * 500 + scans[-2:]
    assert refused(many) == "too large"


def test_small_and_narrow_pictures_are_refused() -> None:
    for size in ((LEAST_SIDE - 1, 500), (500, LEAST_SIDE - 1), (1, 1), (4000, 100)):
        assert refused(as_file(drawn(1, size), "PNG")) == "too small", size
    kept(as_file(drawn(1, (LEAST_SIDE, LEAST_SIDE)), "PNG"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_that_is_cut_off_is_refused_and_a_damaged_one_never_raises(form: str) -> None:
    data = as_file(drawn(7), form)
    assert refused(data[: len(data) // 2]) in ("broken or cut off", "no picture")
    dice = random.Random(form)
    for _ in range(150):
        damaged = bytearray(data[: dice.randrange(len(data))] if dice.random() < 0.3 else data)
        for _ in range(dice.randrange(1, 12)):
            if damaged:
                damaged[dice.randrange(min(len(damaged), dice.choice((64, 1024, len(damaged)))))] = dice.randrange(256)
        assert isinstance(refine(bytes(damaged)), Refined | Refusal)


def test_a_picture_that_ends_its_reader_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [as_file(drawn(seed), "PNG") for seed in range(6)]
    monkeypatch.setattr("annotation.images.workers._refine", _ends_over_its_third)
    files = [good[0], good[1], b"the end", good[3], good[4], good[5]]
    numbers, found = zip(*refine_all(enumerate(files), 2), strict=True)
    assert numbers == (0, 1, 2, 3, 4, 5)
    assert [isinstance(one, Refined) for one in found] == [True, True, False, True, True, True]
    assert [one.id for one in found if isinstance(one, Refined)] == [refine(good[n]).id for n in (0, 1, 3, 4, 5)]


def _ends_over_its_third(picture: bytes) -> Refined | Refusal:
    import os
    import signal

    if picture == b"the end":
        os.kill(os.getpid(), signal.SIGKILL)
    return refine(picture)


def test_the_same_thing_is_alike_and_other_things_are_not() -> None:
    for seed in range(20):
        picture = drawn(seed, (600, 450))
        smaller = picture.resize((300, 225))
        saved = Image.open(io.BytesIO(as_file(picture, "JPEG", quality=40)))
        brighter = ImageEnhance.Brightness(picture).enhance(1.1)
        hashed = int(likeness(picture), 16)
        for other in (smaller, saved, brighter):
            assert (hashed ^ int(likeness(other), 16)).bit_count() <= ALIKE
    hashes = [int(likeness(drawn(seed, (300, 225))), 16) for seed in range(60)]
    near = [(a ^ b).bit_count() for n, a in enumerate(hashes) for b in hashes[:n]]
    assert sum(bits <= ALIKE for bits in near) == 0


def test_likenesses_find_what_comparing_every_pair_finds() -> None:
    dice, kept_ones, hashes = random.Random(1), Likenesses(), list[int]()
    for number in range(400):
        near = hashes and dice.random() < 0.5
        bits = dice.choice(hashes) ^ sum(1 << n for n in dice.sample(range(64), dice.randrange(12))) if near else 0
        bits = bits or dice.getrandbits(64)
        least = min(((bits ^ other).bit_count() for other in hashes), default=64)
        found = kept_ones.twin(f"{bits:016x}")
        assert (found[1] if found else None) == (least if least <= ALIKE else None)
        kept_ones.add(str(number), f"{bits:016x}")
        hashes.append(bits)
