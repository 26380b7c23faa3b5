"""Pieces of lines: words without wide gaps between them, and the colours that mark them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from annotation.exams.found import Box, Line, Mark
from annotation.exams.layout import around
from annotation.exams.parts import THIN

GAP = 1.2
"""Blanks as wide as so many heights of a line part columns and options that stand side by side."""


class Word(NamedTuple):
    text: str
    box: Box
    colour: str


def colour_name(red: int, green: int, blue: int) -> str:
    """A colour in words, so that the same marker is the same on a scan; each part goes from 0 to 255."""
    most, least = max(red, green, blue), min(red, green, blue)
    if most - least < 48:
        return "black" if most < 96 else "white" if least > 215 else "grey"
    strong = tuple(part > (most + least) / 2 for part in (red, green, blue))
    names: dict[tuple[bool, ...], str] = {
        (True, True, False): "yellow",
        (True, False, True): "pink",
        (False, True, True): "light blue",
    }
    return names.get(strong) or ("red", "green", "blue")[strong.index(True)]


def pieces_of(words: Sequence[Word], extractor: str) -> list[Line]:
    """Words of a line, parted at wide gaps; neighbours in one colour make one mark."""
    pieces: list[list[Word]] = []
    for word in words:
        last = pieces[-1][-1].box if pieces else None
        # Long options that stand side by side leave little room between them.
        gap = GAP / 2 if re.fullmatch(r"[A-Ja-j][.)]", word.text) else GAP
        if last and -GAP * (last.bottom - last.top) < word.box.left - last.right < gap * (last.bottom - last.top):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    lines = []
    for piece in pieces:
        text, marks = "", list[Mark]()
        for shown, _, colour in piece:
            text += " " if text and not shown.startswith(THIN) else ""
            if colour and marks and marks[-1].colour == colour and marks[-1].end >= len(text) - 1:
                marks[-1] = Mark(marks[-1].start, len(text) + len(shown), colour)
            elif colour:
                marks.append(Mark(len(text), len(text) + len(shown), colour))
            text += shown
        lines.append(Line(text, around([box for _, box, _ in piece]), extractor, tuple(marks)))
    return lines
