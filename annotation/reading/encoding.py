"""Encoding of a text file, by its bytes; the same pass checks its size and finds what is no text."""

from __future__ import annotations

import codecs
import itertools
import re
from typing import IO

from annotation.errors import SourceError
from annotation.reading.rows import CHUNK, Limits, size, too_much_text

MAGIC = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Excel file",
    b"%PDF": "a PDF",
    b"SQLite f": "a database",
}

# What Windows-1252 text in Spanish, Portuguese, French, Catalan or English holds beyond ASCII.
WESTERN = frozenset("áéíóúüñàâãêôõçèìòùëïîûœÁÉÍÓÚÜÑÀÂÃÊÔÕÇÈÌÒÙËÏÎÛŒ¿¡ªº°«»“”‘’–—…•·´¨€£§©®½¼¾²³×\xa0\xad")


def find_encoding(file: IO[bytes], source: str, suffix: str, limits: Limits) -> tuple[str, tuple[str, ...]]:
    """Find the encoding of a text file, and notices about it, in one pass over its bytes, a chunk at a time.

    Raises:
        SourceError: It is empty, no text, too large, damaged, or in an encoding that would have to be guessed.
    """
    first = file.read(CHUNK)
    if not first:
        raise SourceError(f"{source} is empty; save it again with a header and at least one row.")
    for magic, kind in MAGIC.items():
        if first.startswith(magic):
            raise SourceError(
                f"{source} is named {suffix} but is {kind}; export it as {suffix}, or rename it to what it is."
            )
    wide = _wide_encoding(first)
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, line, run, broken = 0, 1, 0, 0
    for chunk in itertools.chain([first], iter(lambda: file.read(CHUNK), b"")):
        pieces = chunk.splitlines()
        # A JSON document may stand in one line; the limit on the whole file holds for it.
        if suffix != ".json" and max(run + len(pieces[0]), max(map(len, pieces[1:]), default=0)) > limits.line:
            over = next(n for n, piece in enumerate(pieces) if len(piece) + (0 if n else run) > limits.line)
            raise SourceError(
                f"{source}, line {line + over} is longer than {size(limits.line)}, as no prompt is; check that this "
                "is the file you mean, and that its lines end."
            )
        total += len(chunk)
        if total > limits.total:
            raise too_much_text(source, limits)
        if wide is None:
            if (at := chunk.find(0)) >= 0:
                raise SourceError(
                    f"{source}, line {line + chunk.count(10, 0, at)} holds a NUL byte: it is damaged or no text; "
                    "save it again as UTF-8 text."
                )
            if not broken:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    broken = line + error.object[: error.start].count(10)
        run = 0 if chunk[-1] in b"\r\n" else len(pieces[-1]) + (run if len(pieces) == 1 else 0)
        line += chunk.count(10)
    if wide is not None:
        return wide, ()
    if not broken:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            broken = line
    return _western_encoding(file, source, broken) if broken else ("utf-8-sig", ())


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 and UTF-32 by their mark, UTF-16 also by the zeros between ASCII letters; None for anything else."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0:4096:2], head[1:4096:2]
    if len(odd) >= 8:
        if odd.count(0) > 0.6 * len(odd) and even.count(0) < 0.1 * len(even):
            return "utf-16-le"
        if even.count(0) > 0.6 * len(even) and odd.count(0) < 0.1 * len(odd):
            return "utf-16-be"
    return None


def _western_encoding(file: IO[bytes], source: str, line: int) -> tuple[str, tuple[str, ...]]:
    """Accept Windows-1252, what a Western European spreadsheet writes; refuse what only might be it.

    A guess that is wrong would put wrong letters into every prompt, so two things must hold: the file is not mostly
    UTF-8 (then it is damaged), and nine of ten of its letters beyond ASCII are ones that Spanish, Portuguese or English
    use. charset-normalizer 3.5, restricted to UTF, Windows-1252, Mac Roman and CP850, guessed wrong where these rules
    read or refuse rightly: a Windows-1252 file with one answer in it (4 of 40), a UTF-8 file with one damaged byte and
    one answer (12 of 40).
    """
    file.seek(0)
    whole = other = expected = 0
    for chunk in iter(lambda: file.read(CHUNK), b""):
        whole += len(re.findall(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", chunk))
        letters = re.sub(rb"[\x00-\x7f]+", b"", chunk).decode("cp1252", errors="replace")
        other += len(letters)
        expected += sum(letter in WESTERN for letter in letters)
    if 4 * whole > other:
        raise SourceError(
            f"{source}, line {line} is damaged: it is not UTF-8 although most of the file is; mend that line, or save "
            "the file again as UTF-8."
        )
    if expected < 0.9 * other:
        raise SourceError(
            f"{source}, line {line} is neither UTF-8 nor Windows-1252; open the file with the program that wrote it "
            'and save it as UTF-8 (in a spreadsheet: "CSV UTF-8").'
        )
    notice = (
        f"{source} is not UTF-8 (line {line}); it was read as Windows-1252. If accents look wrong, save it as UTF-8."
    )
    return "cp1252", (notice,)
