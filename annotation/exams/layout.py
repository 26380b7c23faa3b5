"""Reading order of pages: rows, columns, options side by side; what every page repeats is left out."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotation.exams.found import Box, Line, Mark

OPTION = re.compile(r"\(?([A-Ja-j])\s?[.)]-?(?=\s|$|(?![A-Za-z]\.)\S)")
"""A letter at the beginning of an option; "A.M." and "a.C." are none."""
SAYS_ANSWER = r"(?:respuesta|resposta|soluci[oó]n|solu[cç][aã]o|gabarito|clave|rpta)"
"""Words that a line with the answer to a question begins with."""
_ANSWERED = re.compile(rf"(?i)(?:la |a )?{SAYS_ANSWER}\b.*\W[A-J]\b")
PAIRS = re.compile(r"(?:\d{1,3}\s+[A-J]\s*)+")
"""Numbers and answers of a key."""
NUMBERED = re.compile(r"\(?\d{1,5}\s?[.)]-?\s*(?=\D)")
PAGE_NUMBER = re.compile(r"(?i)(?:p[áa]g(?:ina)?|page|folha)\.?\s*\d+(?:\s*(?:de|of|/)\s*\d+)?|[-–]\s*\d+\s*[-–]")
REPEATED = 0.6
"""Share of pages on which furniture stands, at about the same height."""
EDGE = 0.15
"""Share of a page's height, above and below, in which furniture of a short document stands."""
CROSSING = 0.1
"""Share of rows that may cross the gutter between two columns: headings."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its number, from 1, its size in points, and the pieces of lines on it, in any order."""

    number: int
    width: float
    height: float
    pieces: tuple[Line, ...]


def ordered_lines(pages: Sequence[Page]) -> Iterator[Line]:
    """Lines of a document in order of reading, without its furniture: what repeats on most pages, digits ignored."""
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for page in pages:
        for piece in page.pieces:
            for near in (-1, 0, 1):
                seen[_look(piece), _level(piece) + near].add(page.number)
    enough = max(2, REPEATED * len(pages))
    for page in pages:
        pieces = []
        for piece in page.pieces:
            edge = piece.box.bottom < EDGE * page.height or piece.box.top > (1 - EDGE) * page.height
            question = any(kind.match(piece.text) for kind in (OPTION, NUMBERED, _ANSWERED))
            repeated = len(seen[_look(piece), _level(piece)]) >= enough and (edge or len(pages) >= 5)
            repeated = repeated or (edge and PAGE_NUMBER.fullmatch(piece.text.strip()) is not None)
            if re.search(r"\w", piece.text.replace("_", "")) and (question or not repeated):
                pieces.append(piece)
        yield from _in_columns(_rows(pieces), page.width)


def _look(piece: Line) -> str:
    return re.sub(r"[\W_]+", "-", re.sub(r"\d+", "0", piece.text.lower()))


def _level(piece: Line) -> int:
    return round(piece.box.top / 6)


def _rows(pieces: Sequence[Line]) -> list[list[Line]]:
    """Pieces that stand side by side, from left to right; rows from top to bottom."""
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda piece: piece.box.top + piece.box.bottom):
        first = rows[-1][0].box if rows else None
        if first and abs(_middle(piece.box) - _middle(first)) < 0.4 * min(_height(piece.box), _height(first)):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.box.left) for row in rows]


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2


def _height(box: Box) -> float:
    return box.bottom - box.top


def _in_columns(rows: list[list[Line]], width: float) -> Iterator[Line]:
    gutter = _gutter(rows, width)
    left: list[list[Line]] = []
    right: list[list[Line]] = []
    for row in rows:
        if gutter is None or any(piece.box.left < gutter < piece.box.right for piece in row):
            if right:
                yield from _options_in_order(left)
                yield from _options_in_order(right)
                left, right = [], []
            left.append(row)
        else:
            for side, pieces in (
                (left, [piece for piece in row if piece.box.left < gutter]),
                (right, [piece for piece in row if piece.box.left >= gutter]),
            ):
                if pieces:
                    side.append(pieces)
    yield from _options_in_order(left)
    yield from _options_in_order(right)


def _gutter(rows: Sequence[Sequence[Line]], width: float) -> float | None:
    """Where two columns of text part, or None; options side by side are no columns of text."""
    middle = [
        piece for row in rows for piece in row if piece.box.right > 0.35 * width and piece.box.left < 0.65 * width
    ]
    crossed: dict[float, int] = {}
    for step in range(35, 66):
        x = step / 100 * width
        crossed[x] = sum(piece.box.left < x < piece.box.right for piece in middle)
    fewest = min(crossed.values())
    if fewest > CROSSING * len(rows):
        return None
    runs = [list(run) for count, run in itertools.groupby(crossed, crossed.__getitem__) if count == fewest]
    widest = max(runs, key=len)  # the first of them: something stands to its right
    gutter = widest[len(widest) // 2]
    left = [[piece for piece in row if piece.box.left < gutter] for row in rows]
    right = [[piece for piece in row if piece.box.left >= gutter] for row in rows]
    if not any(map(_begins, itertools.chain(*left))) or not any(right):
        return None
    beside = [(_letter(row[-1:]), _letter(other[:1])) for row, other in zip(left, right, strict=True) if other]
    options = [(before, after) for before, after in beside if after]
    if any(map(_begins, itertools.chain(*right))) or not options:
        return gutter
    return None if all("" < before < after for before, after in options) else gutter


def _begins(piece: Line) -> bool:
    option = OPTION.match(piece.text)
    # A column may hold nothing but the end of the key.
    return bool(NUMBERED.match(piece.text) or PAIRS.fullmatch(piece.text) or (option and option[1] in "Aa"))


def _options_in_order(rows: Sequence[list[Line]]) -> Iterator[Line]:
    """Rows as lines; options that stand side by side come by their letters, each with the lines below it."""
    at = 0
    while at < len(rows):
        row, at = rows[at], at + 1
        if len(row) < 2 or not all(OPTION.match(piece.text) for piece in row):
            yield _joined(row)
            continue
        cells = [[piece] for piece in row]
        while at < len(rows) and _place(rows[at], cells):
            at += 1
        for cell in sorted(cells, key=_letter):
            yield from cell


def _letter(cell: Sequence[Line]) -> str:
    option = OPTION.match(cell[0].text) if cell else None
    return option[1].upper() if option else ""


def _place(row: Sequence[Line], cells: list[list[Line]]) -> bool:
    """Put each piece of a row into a cell of its own, or below the one that it goes on; False where one fits none."""
    places: list[tuple[Line, list[Line]]] = []
    for piece in row:
        box, height = piece.box, _height(piece.box)
        if OPTION.match(piece.text):
            if _letter([piece]) in map(_letter, cells):
                return False
            places.append((piece, []))
            continue
        above = [c for c in cells if c[0].box.left < box.left + height and box.top - c[-1].box.bottom < 0.8 * height]
        beside = [c for c in cells if c[0].box.left > box.left + height]
        crossed = any(c[0].box.left < box.right for c in beside)
        if not above or crossed or NUMBERED.match(piece.text):
            return False
        places.append((piece, max(above, key=lambda cell: cell[0].box.left)))
    for piece, cell in places:
        cell.append(piece)
        if len(cell) == 1:
            cells.append(cell)
    return True


def _joined(row: Sequence[Line]) -> Line:
    if len(row) == 1:
        return row[0]
    text, marks = "", list[Mark]()
    for piece in row:
        text += "\t" if text else ""
        marks += [Mark(len(text) + mark.start, len(text) + mark.end, mark.colour) for mark in piece.marks]
        text += piece.text
    return Line(text, around([piece.box for piece in row]), row[0].extractor, tuple(marks))


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around boxes of one page."""
    return Box(
        boxes[0].page,
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
