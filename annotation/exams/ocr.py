"""Pages that are pictures: tesseract recognises their text, with the place and the marker of every word."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from itertools import groupby
from typing import TYPE_CHECKING

from annotation.exams.found import Box, Line
from annotation.exams.layout import around
from annotation.exams.pieces import Word, colour_name, pieces_of

if TYPE_CHECKING:
    from PIL.Image import Image

OCR_DPI = 200
PAPER = 150
"""The darkest grey, of 255, that is paper and not ink."""
OCR_SECONDS = 120
"""A page that takes longer is given up."""
TONGUES = (
    "afr amh ara asm aze bel ben bod bos bre bul cat ceb ces cos cym dan deu div dzo ell eng epo est eus fao fas "
    "fil fin fra fry gla gle glg guj hat heb hin hrv hun hye iku ind isl ita jav jpn kan kat kaz khm kir kor lao "
    "lat lav lit ltz mal mar mkd mlt mon mri msa mya nep nld nor oci ori pan pol por pus que ron rus san sin slk "
    "slv snd spa sqi srp sun swa swe tam tat tel tgk tha tir ton tur uig ukr urd uzb vie yid yor"
)
"""Languages of which tesseract has data, each as the package tesseract-ocr-…."""
RECOGNISED = "recognised from a picture"


def recognise(image: Image, scale: float, number: int, language: str) -> tuple[list[Line], str]:
    """Pieces of lines by tesseract, and what is missing for it, or ""."""
    tongue = _tesseract_language(language)
    if tongue not in TONGUES.split():
        return [], (
            f"pictures without text, and no data of tesseract is known for the language {language}; if the exam is in "
            "another language, name that with --language, or write the questions into a table"
        )
    program = shutil.which("tesseract")
    remedy = (
        f"`apt install tesseract-ocr tesseract-ocr-{tongue}` (Debian, Ubuntu) or "
        "`brew install tesseract tesseract-lang` (macOS), and run the command again"
    )
    if program is None:
        return [], f"pictures without text, which tesseract reads, and it is not on this machine; {remedy}"
    png = io.BytesIO()
    # What a marker has coloured becomes white; red and blue letters stay dark enough.
    image.convert("L").point([min(255, grey * 255 // PAPER) for grey in range(256)]).save(png, "PNG", compress_level=1)
    command = [program, "stdin", "stdout", "-l", tongue, "--psm", "6", "--dpi", str(OCR_DPI), "tsv"]
    try:
        done = subprocess.run(
            command,
            input=png.getvalue(),
            capture_output=True,
            timeout=OCR_SECONDS,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # Its threads wait for each other more than they work.
        )
    except subprocess.TimeoutExpired:
        return [], f"tesseract was not done after {OCR_SECONDS} s; scan it with fewer dots per inch"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        if "loading language" in said or "Error opening data file" in said:
            return [], f"tesseract lacks the data of the language {tongue}; {remedy}"
        return [], f"tesseract failed ({said.splitlines()[-1][:120] if said else done.returncode}); try another version"
    table = csv.DictReader(io.StringIO(done.stdout.decode(errors="replace")), delimiter="\t", quoting=csv.QUOTE_NONE)
    pieces: list[Line] = []
    words = (row for row in table if row["level"] == "5" and row["text"].strip())
    for _, line in groupby(words, key=lambda row: (row["block_num"], row["par_num"], row["line_num"])):
        found = []
        for row in line:
            left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
            edges = (left, top, left + width, top + height)
            box = Box(number, *(edge / scale for edge in edges))
            found.append(Word(row["text"].strip(), box, _background(image, edges)))
        # A comma is lower than an L: all words of a line get its height.
        whole = around([word.box for word in found])
        level = [word._replace(box=word.box._replace(top=whole.top, bottom=whole.bottom)) for word in found]
        pieces += pieces_of(level, f"OCR {tongue}")
    return pieces, "" if pieces else "pictures in which tesseract finds no text; if they hold any, scan them again"


def _tesseract_language(language: str) -> str:
    import pycountry

    found = pycountry.languages.get(alpha_2=language.lower())
    return str(found.alpha_3) if found else ""


def _background(image: Image, box: tuple[int, int, int, int]) -> str:
    """Colour of a marker behind a word, or ""; grey is what scanners make of white."""
    colours = image.crop(box).convert("RGB").resize((16, 8)).getcolors(128) or [(0, (255, 255, 255))]
    colour = colour_name(*max(colours)[1])  # type: ignore[misc]
    return "" if colour in ("white", "grey", "black") else colour
