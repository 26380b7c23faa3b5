"""Answer keys: tables in an exam or in a file of their own; a key that does not fit the questions is refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotation.exams.found import Box, Line
from annotation.reading.encoding import find_encoding
from annotation.reading.rows import Limits
from annotation.reading.table import read_table

ANNULLED = "annulled"
"""Stands in the place of a letter where the official key says that a question does not count."""
UNTITLED = 10
"""Pairs of number and answer that make a table a key without a word that says so."""
MISFITS = 0.05
"""Share of the questions that a key may not fit, and be the key of this exam still; one may always."""

_ANNULLED = r"(?:preguntas?\s+|quest[õã]o\s+)?(?:anul\w+|nul[ao]s?)|\*+|x"
_TITLE = re.compile(r"(?i)\b(?:claves?|gabaritos?|respuestas?|respostas?|plantilla|soluci[oó]n\w*|answer key)\b")
_CELL = re.compile(rf"(?i)(?:(?:pregunta|quest[aã]o|n[.º°]+)?\s*(\d{{1,5}})(?!\d)|(?:([A-E])|({_ANNULLED}))(?!\w))")
_OPTION_OR_NUMBER = re.compile(r"\s*(?:\d+|[A-Ea-e])\s?[.)]")
_BETWEEN = re.compile(r"[\s.):(;,|/=–\-]*")
_INLINE = re.compile(
    r"(?im)^[ \t]*(?:(?:la |a )?(?:respuesta|resposta|alternativa|opci[oó]n)(?: correcta)?(?: es)?|gabarito|clave|rpta)"
    rf"\s*(?:\s*[:=–-]|\.)\s*[(\[]?(?:([A-E])|({_ANNULLED}))[)\].]*[ \t]*$"
)
_NUMBER_NAMES = {"n", "no", "nº", "nro", "num", "numero", "número", "number", "question_id", "id", "item", "ítem"} | {
    *("pregunta", "questao", "questão", "question", "original_question_num")
}
_ANSWER_NAMES = {"respuesta", "respuesta correcta", "correcta", "resposta", "resposta correta", "gabarito", "clave"} | {
    *("answer", "correct_answer", "key", "rpta", "alternativa")
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key: the number of a question → "A" to "E", or ANNULLED.

    Attributes:
        answers: In the order in which they stand.
        place: Where it stands: "page 14", or the file.
        doubts: Number → why its answer is not certain.
    """

    answers: Mapping[int, str]
    place: str
    doubts: Mapping[int, str] = field(default_factory=dict)


def find_keys(lines: Sequence[Line], *, alone: bool = False) -> tuple[list[Key], list[Line]]:
    """Find the tables of answers among the lines of an exam.

    A table is a run of lines that hold nothing but numbers and answers. It counts as a key where one of the three lines
    before it says so, where it has UNTITLED pairs, or where nothing comes after it.

    Args:
        lines: In order of reading.
        alone: They come from a file that is nothing but a key.

    Returns:
        Keys, and the other lines, with one without text in the place of each table.
    """
    keys: list[Key] = []
    rest: list[Line] = []
    last_question = max((n for n, line in enumerate(lines) if _OPTION_OR_NUMBER.match(line.text)), default=0)
    at = 0
    while at < len(lines):
        end = at
        cells: list[tuple[str, str]] = []
        while end < len(lines) and (found := _cells(lines[end])):
            cells += found
            end += 1
        tables = _tables(cells)
        pairs = sum(map(len, tables))
        titles = [line for line in rest[-3:] if _TITLE.search(line.text) and not _OPTION_OR_NUMBER.match(line.text)]
        last = end > last_question and pairs > 2
        if pairs and (alone or titles or last or pairs >= UNTITLED):
            page = lines[at].box.page
            legends = [line for line in lines[max(0, at - 8) : end + 8] if line.marks and not _cells(line)]
            for table in tables:
                key = _explained(table, legends, f"page {page}" if page else "")
                if lines[at].extractor != "text layer":
                    recognised = dict.fromkeys(key.answers, "its answer was recognised from a picture of the key")
                    key = replace(key, doubts={**recognised, **key.doubts})
                if keys and min(key.answers) > max(keys[-1].answers):  # The table goes on, on another page or column.
                    both = keys.pop()
                    key = Key({**both.answers, **key.answers}, both.place, {**both.doubts, **key.doubts})
                keys.append(key)
            while titles and rest.pop() is not titles[0]:
                pass
            rest.append(Line("", lines[at].box))  # Ends the question before the table.
            at = end
        else:
            rest += lines[at : end + 1]
            at = end + 1
    return keys, rest


def _cells(line: Line) -> list[tuple[str, str]]:
    """Number or answer with the colour that it is marked with; empty where the line holds anything else."""
    cells: list[tuple[str, str]] = []
    at = _end(_BETWEEN, line.text, 0)
    while at < len(line.text):
        match = _CELL.match(line.text, at)
        if match is None:
            return []
        number, letter, _ = match.groups()
        start = match.start(match.lastindex or 0)
        colour = next((m.colour for m in line.marks if m.start <= start < m.end and m.colour != "bold"), "")
        cells.append((number or (letter.upper() if letter else ANNULLED), colour))
        at = _end(_BETWEEN, line.text, match.end())
    # An answer alone is an option whose text is elsewhere, and "A) 10 B) 20" are options.
    letters = not any(cell.isdecimal() for cell, _ in cells)
    return cells if cells and (cells[0][0].isdecimal() or (letters and len(cells) > 1)) else []


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _tables(cells: Sequence[tuple[str, str]]) -> list[dict[int, tuple[str, str]]]:
    """Pair numbers with answers: one by one, or a row of numbers above a row of answers; 1 begins a new table."""
    tables: list[dict[int, tuple[str, str]]] = []
    runs = [list(run) for _, run in itertools.groupby(cells, key=lambda cell: cell[0].isdecimal())]
    for numbers, answers in itertools.pairwise(runs):
        if not numbers[0][0].isdecimal():
            continue
        # A number before the last one has no answer. Answers without as many numbers belong to nobody knows which.
        numbers = numbers[-1:] if len(answers) == 1 else numbers
        if len(numbers) == len(answers):
            for (number, _), answer in zip(numbers, answers, strict=True):
                if not tables or int(number) in tables[-1]:
                    tables.append({})
                tables[-1][int(number)] = answer
    return tables


def _explained(table: Mapping[int, tuple[str, str]], legends: Sequence[Line], place: str) -> Key:
    """Read what the colour of an answer means from a line in the same colour: "annulled answers" annuls them."""
    answers, doubts = {number: answer for number, (answer, _) in table.items()}, dict[int, str]()
    coloured = {number: colour for number, (_, colour) in table.items() if colour}
    if len(coloured) * 2 > len(table):  # A table that is coloured as a whole, or in stripes.
        return Key(answers, place)
    for number, colour in coloured.items():
        said = " ".join(line.text for line in legends if any(mark.colour == colour for mark in line.marks))
        if re.search(r"(?i)anul|\bnulas?\b", said):
            answers[number] = ANNULLED
        elif not said:
            doubts[number] = f"its answer stands in {colour} in the key, which says nowhere why"
    return Key(answers, place, doubts)


def is_lost_table(line: Line) -> bool:
    """Whether a recognised line is what is left of a table with rules: scraps of a few signs each."""
    words = [re.sub(r"[\W_]", "", word) for word in line.text.split()]
    rules = len(re.findall(r"[\[\]|]", line.text))
    short = sum(len(word) < 4 for word in words)
    return line.extractor != "text layer" and rules > 1 and len(words) > 3 and short >= 0.7 * len(words)


def inline_answer(text: str) -> tuple[str, str]:
    """Text of a question without a line such as "Respuesta correcta: B", and the answer there: a letter or ANNULLED."""
    match = _INLINE.search(text)
    if match is None:
        return text, ""
    return text[: match.start()] + text[match.end() :], match[1].upper() if match[1] else ANNULLED


def read_key_file(path: Path) -> list[Key]:
    """Read keys from a text file or a table; those in a PDF are found among its lines.

    A table needs a column of answers, or rows that hold nothing but a number and an answer. Without a column of numbers
    its rows are counted.

    Raises:
        SourceError: It cannot be read.
    """
    if path.suffix.lower() == ".txt":
        with path.open("rb") as file:
            encoding, _ = find_encoding(file, str(path), ".txt", Limits())
        texts = path.read_text(encoding=encoding).splitlines()
    else:
        table = read_table(str(path))
        names = {name.strip().lower().rstrip("."): name for name in table.columns}
        answer = next((names[name] for name in names if name in _ANSWER_NAMES), None)
        number = next((names[name] for name in names if name in _NUMBER_NAMES), None)
        texts = ["" if answer else "\t".join(table.columns)]  # The first row of a table without a header is an answer.
        for count, row in enumerate(table.rows, 1):
            cells = (
                [row.values.get(number) if number else count, row.values.get(answer)] if answer else row.values.values()
            )
            texts.append("\t".join("" if cell is None else str(cell).removesuffix(".0") for cell in cells))
    keys, _ = find_keys([Line(text, Box(0, 0, 0, 0, 0)) for text in texts if text.strip()], alone=True)
    return [Key(key.answers, path.name, key.doubts) for key in keys]


def misfits(key: Key, widths: Mapping[int, int], lost: Collection[int]) -> tuple[str, ...]:
    """Say, for each number, why a key does not fit an exam.

    Args:
        key: Of this exam or another.
        widths: Number of a question → how many options it has.
        lost: Numbers of questions that were not found whole.
    """
    return (
        *(f"it answers question {n}, which the exam does not have" for n in key.answers if n not in {*widths, *lost}),
        *(f"it does not answer question {n}" for n in widths if n not in key.answers),
        *(
            f"it answers {answer} to question {n}, which has {widths[n]} options"
            for n, answer in key.answers.items()
            if n in widths and answer != ANNULLED and "ABCDE".index(answer) >= widths[n]
        ),
    )


def fits(key: Key, widths: Mapping[int, int], lost: Collection[int]) -> bool:
    """Whether a key is that of an exam: what does not fit is a slip in a few questions."""
    return len(misfits(key, widths, lost)) <= max(1, MISFITS * len(widths))
