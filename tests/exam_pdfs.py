"""A small writer of PDFs: exams as ministries print them, laid out from plain text."""

import itertools
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WIDTH, HEIGHT, SIZE, LEADING = 595, 842, 10, 12
TOP, BOTTOM, MARGIN = 80, 770, 50


@dataclass
class PdfPage:
    """Texts of a page as (left, top, text), filled rectangles as (left, top, right, bottom, "r g b").

    A turned page is written on its side, off the corner, and shown upright.
    """

    texts: list[tuple[float, float, str]] = field(default_factory=list)
    fills: list[tuple[float, float, float, float, str]] = field(default_factory=list)
    turned: bool = False

    def content(self) -> bytes:
        """Drawing commands; a text that begins with "[" is given as it is: parts of words and the gaps between them."""
        parts = [
            f"{colour} rg {left} {HEIGHT - bottom} {right - left} {bottom - top} re f 0 g\n"
            for left, top, right, bottom, colour in self.fills
        ]
        for left, top, text in self.texts:
            shown = "(" + text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ") Tj"
            shown = text + " TJ" if text.startswith("[") else shown
            parts.append(f"BT /F1 {SIZE} Tf {left} {HEIGHT - top - SIZE} Td {shown} ET\n")
        if self.turned:
            parts.insert(0, f"0 1 -1 0 {HEIGHT + 100} 50 cm\n")
        return "".join(parts).encode("cp1252")


def write_pdf(path: Path, pages: Sequence[PdfPage], *, password: bool = False) -> Path:
    """Write pages; with a password the file says that it has one, which nobody knows."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%b] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        content = page.content()
        box = f"[100 50 {HEIGHT + 100} {WIDTH + 50}] /Rotate 90" if page.turned else f"[0 0 {WIDTH} {HEIGHT}]"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    data, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    secret = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >> /ID [<00> <00>] "
    data += f"trailer << /Size {len(objects) + 1} /Root 1 0 R {secret if password else ''}>>\n".encode()
    data += b"startxref\n%d\n%%%%EOF\n" % table
    path.write_bytes(data)
    return path


def lay_out(
    lines: Iterable[str], *, columns: int = 1, header: str = "", footer: str = "", chars: int = 0
) -> list[PdfPage]:
    """Lines on as many pages as they need, column by column; long ones are broken, "" is a blank line.

    Args:
        lines: A tab in one puts what follows into the right half of its column.
        columns: One or two.
        header: On top of every page.
        footer: At the foot of every page; {} becomes its number.
        chars: Characters of a line.
    """
    wide = (WIDTH - 2 * MARGIN) / columns
    pages: list[PdfPage] = []
    spots = (
        (column, top) for _ in itertools.count() for column in range(columns) for top in range(TOP, BOTTOM, LEADING)
    )
    previous = (columns, 0)
    for line in itertools.chain.from_iterable(
        [line] if "\t" in line or not line else textwrap.wrap(line, chars or int(wide / 6.5)) for line in lines
    ):
        column, top = next(spots)
        if (column, top) < previous:
            pages.append(PdfPage())
            if header:
                pages[-1].texts.append((MARGIN, 30, header))
            if footer:
                pages[-1].texts.append((MARGIN, 800, footer.format(len(pages))))
        previous = (column, top)
        for half, text in enumerate(line.split("\t")):
            if text:
                pages[-1].texts.append((MARGIN + column * (wide + 10) + half * wide / 2, top, text))
    return pages


def exam_lines(
    questions: Sequence[tuple[str, Sequence[str]]], *, first: int = 1, number: str = "{}.", letter: str = "{}) "
) -> list[str]:
    """Lines of an exam: numbered questions, each option on a line of its own below, a blank line after."""
    lines: list[str] = []
    for place, (question, options) in enumerate(questions, first):
        lines.append(f"{number.format(place)} {question}")
        lines += [letter.format("abcde"[n]) + option for n, option in enumerate(options)]
        lines.append("")
    return lines
