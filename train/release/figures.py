"""Figures of a card: every number in it is read from a file of the run's folder, and where it stood is kept beside it.

A card is text with figures in it; `Figures.page` gives the text and the list of its figures, which becomes
figures.json. A page about several runs has the figures of each, written into one list (`Figures.beside`): their files
are then named from the project's folder.
`why_not` looks a figure up again and says what does not fit: the lint of a release and `annot trace` go by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.json_pointer import look_up, pointer
from train.run_folder import read_facts

FIGURES = "figures.json"
"""Beside a card: its figures."""

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d{1,2}(?!\w))?")
"""A number as it is written in a card, without its sign; the e of a hash, as in c1e42716, is no exponent."""

MOST = 1e15
"""No number that was counted or measured is larger."""

DAMAGED = "it was damaged after annot had written it: put a copy of it back, or train again under another --run"

_BEGIN, _END = "\ue000", "\ue001"
_MARKED = re.compile(f"{_BEGIN}(\\d+),([^{_END}]*){_END}")


@dataclass(frozen=True, slots=True)
class Figure:
    """A part of a card with numbers in it, and where they stand.

    Attributes:
        line: The line of the card in which it is shown, or its key in the card's front matter.
        shown: How it is written there.
        file: File of the run's folder; of a page about several runs, of the project's.
        at: JSON pointer (RFC 6901) to the value, or to the object in which all of the numbers are; `*` takes the sum
            over all. In a text, the words around it.
        scale: By what the value was multiplied: 1,000 for grams of what is measured in kilograms.
        page: Name of the file that shows it, where several pages have one figures.json.
        marks: What stands between thousands and the decimal mark, where the page writes numbers in another way than
            English does.
    """

    line: str
    shown: str
    file: str
    at: str
    scale: float = 1
    page: str = ""
    marks: str = ""

    @property
    def plain(self) -> str:
        """As it would be written in English, with nothing between thousands."""
        if not self.marks:
            return self.shown
        return self.shown.replace(self.marks[0], "").replace(self.marks[1], ".")


class Figures:
    """Figures of one card, as they are written into it."""

    def __init__(self, run: Path, within: str = "") -> None:
        """Read from a run's folder; `within` names it from the project's, on a page about several runs."""
        self.run, self._within = run, within
        self.marks: tuple[str, str, str] | None = None
        """How a page in another language writes numbers: between thousands, the decimal mark, after a percentage."""
        self.facts: dict[str, Any] = read_json(run / "run.json") or {}
        self._files: dict[str, Any] = {}
        self._made: list[Figure] = []
        self._front: list[Figure] = []

    def beside(self, run: Path, within: str) -> Figures:
        """Figures of another run on the same page."""
        other = Figures(run, within)
        other._made, other._front = self._made, self._front
        return other

    def value(self, file: str, *at: str | int) -> Any:
        """What stands there; None where nothing does."""
        if file not in self._files:
            self._files[file] = read_json(self.run / file)
        return look_up(self._files[file], pointer(*at))

    def number(self, file: str, *at: str | int, form: str = ",", scale: float = 1) -> str:
        """A number as `form` writes it; "not measured" where there is none.

        Raises:
            TrainError: Something else stands there.
        """
        found = self.value(file, *at)
        if found is None:
            return "not measured"
        if not isinstance(found, int | float) or isinstance(found, bool) or not abs(found) < MOST:
            raise TrainError(f"{self.run / file} is damaged: at {pointer(*at)} there is no number; {DAMAGED}.")
        shown, marks = format(found * scale, form), ""
        if self.marks:
            thousands, decimal, percent = self.marks
            shown = "".join({",": thousands, ".": decimal, "%": percent}.get(sign, sign) for sign in shown)
            marks = thousands + decimal
        return self._mark(shown, file, pointer(*at), scale, marks)

    def text(self, file: str, *at: str | int, absent: str = "not known") -> str:
        """A text, which may hold numbers, on one line; `absent` where there is none."""
        found = self.value(file, *at)
        return absent if found in (None, "") else self._mark(plain(str(found)), file, pointer(*at))

    def front(self, key: str, file: str, *at: str | int, scale: float = 1) -> Any:
        """A value for the front matter of the card, where it stands under `key`; None where there is none."""
        found = self.value(file, *at)
        if found is not None:
            found *= scale
            self._front.append(Figure(key, str(found), self._within + file, pointer(*at), scale))
        return found

    def shown(self, text: str, file: str, *at: str | int) -> str:
        """A text whose numbers stand at that place."""
        return self._mark(plain(text), file, pointer(*at))

    def quoted(self, sentence: str, file: str, within: str = "") -> str:
        """A sentence, or a part of one, that stands word for word in a text file of the run, such as its report."""
        return self._mark(sentence, file, within or sentence)

    def row(self, cells: Sequence[str], file: str, *at: str | int, text: str) -> list[str]:
        """Cells of a table whose numbers stand in one object below a place, or each in one of its own.

        Those of labels and of differences stand nowhere else than in `text`, the file of the run that shows the table.
        """
        objects = sorted(_objects(self.value(file, *at), pointer(*at)), key=lambda found: len(found[1]))
        whole = next((place for place, leaves in objects if all(_stands(cell, leaves) for cell in cells)), None)
        marked = []
        for cell in cells:
            place = whole or next((place for place, leaves in objects if _stands(cell, leaves)), None)
            line = " | ".join(cell.replace("|", "\\|") for cell in cells)
            marked.append(self.quoted(cell, text, line) if place is None else self._mark(cell, file, place))
        return marked

    def page(self, card: str, name: str = "") -> tuple[str, list[Figure]]:
        """The card without marks, and its figures in their order; `name` is its file's, where there are several."""
        figures, lines = list[Figure](), list[str]()
        for line in card.split("\n"):
            clean = _MARKED.sub(lambda found: found[2], line)
            for found in _MARKED.finditer(line):
                made = self._made[int(found[1])]
                figures.append(replace(made, line=clean, page=name))
            lines.append(clean)
        return "\n".join(lines), [*figures, *self._front]

    def _mark(self, shown: str, file: str, at: str, scale: float = 1, marks: str = "") -> str:
        shown = shown.replace(_BEGIN, "").replace(_END, "")
        if not NUMBER.search(shown):
            return shown
        self._made.append(Figure("", shown, self._within + file, at, scale, marks=marks))
        return f"{_BEGIN}{len(self._made) - 1},{shown}{_END}"


def plain(text: str) -> str:
    """A text on one line, without signs that would make it HTML, a link, a picture or code in a card."""
    return " ".join(text.split()).replace("<", "&lt;").replace("](", "] (").replace("`", "'")


def write_figures(figures: Sequence[Figure]) -> bytes:
    """The content of figures.json."""
    optional = ("page", "marks")
    rows = [{key: value for key, value in asdict(figure).items() if value or key not in optional} for figure in figures]
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()


def read_figures(path: Path) -> list[Figure]:
    """Figures of a card.

    Raises:
        TrainError: The file is gone or damaged.
    """
    remedy = f"remove the folder {path.parent} and run `annot release` again"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        texts = ("line", "shown", "file", "at")
        return [
            Figure(
                **{key: str(row[key]) for key in texts},
                scale=float(row["scale"]),
                **{key: str(row.get(key, "")) for key in ("page", "marks")},
            )
            for row in rows
        ]
    except (OSError, ValueError, TypeError, KeyError):
        raise TrainError(f"{path} is gone or damaged; {remedy}.") from None


def why_not(figure: Figure, run: Path) -> str:
    """Why a figure does not stand in a run's folder, as the end of a sentence; "" where it does."""
    if figure.file.endswith(".md"):
        path = run / figure.file
        words = " ".join(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else ""
        there = re.search(rf"(?<![\w.]){re.escape(' '.join(figure.at.split()))}(?![\w.]*\w)", words)
        return "" if there and figure.shown in figure.at else f"{figure.file} does not say so"
    found = look_up(read_json(run / figure.file), figure.at)
    if found is None:
        return f"{figure.file} has nothing at {figure.at or 'its top'}"
    stands = _stands(figure.plain, list(_leaves(found)), figure.scale)
    return "" if stands else f"{figure.file} says otherwise at {figure.at or 'its top'}"


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run; None where there is no such file.

    Raises:
        TrainError: It is damaged.
    """
    return read_facts(path, {}, DAMAGED) if path.exists() else None


def _leaves(content: Any) -> Iterator[str | float]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield key
            yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
    elif isinstance(content, str | int | float) and not isinstance(content, bool):
        yield content


def _objects(content: Any, at: str) -> Iterator[tuple[str, list[str | float]]]:
    """Every object below a place with all that stands in it, in the order of the file."""
    if isinstance(content, Mapping):
        yield at, list(_leaves(content))
    if isinstance(content, Mapping | list):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from _objects(value, at + pointer(key))


def _stands(shown: str, leaves: Sequence[str | float], scale: float = 1) -> bool:
    """Whether a text is a part of a value, or each of its numbers is a value, rounded as it is written.

    A share may be written as a percentage.
    """
    if any(shown in leaf for leaf in leaves if isinstance(leaf, str)):
        return True
    words = {number for leaf in leaves if isinstance(leaf, str) for number in NUMBER.findall(leaf)}
    scales = (scale, 100 * scale) if "%" in shown or "points" in shown else (scale,)
    numbers = [leaf * one for leaf in leaves if not isinstance(leaf, str) and abs(leaf) < MOST for one in scales]
    return all(found[0] in words or _is_one_of(shown, found, numbers) for found in NUMBER.finditer(shown))


def _is_one_of(shown: str, found: re.Match[str], numbers: Sequence[float]) -> bool:
    written = found[0].replace(",", "")
    digits, _, exponent = written.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    sign = re.search(r"(?<!\w)[-+]$", shown[: found.start()])
    wanted = float(written) * (-1 if sign and sign[0] == "-" else 1)
    return any(abs((number if sign else abs(number)) - wanted) <= unit * 0.500001 for number in numbers)
