"""Answer keys: tables in an exam or in a file of their own; a key that does not fit the questions is refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from annotation.errors import SourceError
from annotation.exams.found import Box, Line
from annotation.exams.layout import OPTION, SAYS_ANSWER
from annotation.reading.encoding import find_encoding
from annotation.reading.rows import Limits
from annotation.reading.table import read_table

ANNULLED = "annulled"
"""Stands in the place of a letter where the official key says that a question does not count."""
UNTITLED = 10
"""Pairs of number and answer that make a table a key without a word that says so."""
MISFITS = 0.05
"""Share of the questions that a key may not fit, and be the key of this exam still; one may always."""

LETTERS = "ABCDEFGHIJ"
"""Of options, in order."""
NUMBERS = (
    r"\d{1,3}\b(?:\s*(?:[,;–-]|\b(?:y|e|a|à|al|as|às|hasta|até|and|to)\b)(?:\s|\b(?:y|e|a|las?|and)\b)*\d{1,3}\b)*"
)
"""Pattern of numbers of questions in a sentence: "3, 5 y 7", "1 a 3"."""

_ANNULLED = r"(?:preguntas?\s+|quest[õã]o\s+)?(?:anul\w*|nul[ao]s?)|\*+|x"
_TITLE = re.compile(r"(?i)\b(?:claves?|gabaritos?|respuestas?|respostas?|plantilla|soluci[oó]n\w*|answer key)\b")
_CELL = re.compile(
    r"(?i)(?:(?:pregunta|quest[aã]o|n[.º°]+)?\s*(?P<number>\d{1,5})(?!\d)"
    rf"|(?:(?:[A-J]\s?[(\[]\s?)?(?P<annulled>{_ANNULLED})|(?P<letter>[A-J])(?P<star>\s?[(\[]?\*+)?)(?!\w))"
)
_UNCLEAR = re.compile(r"\D{1,80}")
_ALSO = re.compile(r"(?i)\W*(?:(?:y|e|o|ou|and|or)\W+[A-J]\b|[A-J]\b(?!\s*\w))")
_OPTION_OR_NUMBER = re.compile(r"\s*\(?(?:\d+|[A-Ja-j])\s?[.)]")
_BETWEEN = re.compile(r"[\s.):(;,|/=–\-]*")
_NOTE = re.compile(
    r"(?i)(?<!no )(?<!no se )\b(?:anul[aó]n?|anulad[ao]s?|nul[ao]s)\b\W*"
    r"(?:(?:l?[ao]s?|pregunt\w+|quest\w+|[íi]te\w+|n[úu]mero\w*|n[.º°]+|siguiente\w*|son)\W+)*"
    rf"({NUMBERS})|\b(?:pregunt\w+|quest\w+|[íi]te\w+)\W+({NUMBERS})\W+(?:(?!no\b)\w+\W+){{0,4}}?anulad[ao]s?"
)
_INLINE = re.compile(
    rf"(?m)^[ \t]*(?i:(?:la |a )?(?:(?P<sure>{SAYS_ANSWER})|alternativa|opci[oó]n|opç[aã]o)(?: correcta| correta)?"
    r"(?: es| é)?(?: la)?(?:(?: a)? (?:letra|opci[oó]n|opç[aã]o|alternativa))?)[ \t]*(?P<colon>[:=.–-]*)[ \t]*"
    rf"(?:[(\[]?(?:(?P<letter>[A-Ja-j])|(?P<annulled>(?i:{_ANNULLED})))(?!\w))?(?P<said>.*)$"
)
_NUMBER_NAMES = (
    *("n", "no", "nº", "nro", "num", "numero", "número", "number", "question_id", "id", "item", "ítem"),
    *("pregunta", "questao", "questão", "question", "original_question_num"),
)
_ANSWER_NAMES = (
    *("respuesta", "respuesta correcta", "correcta", "resposta", "resposta correta", "gabarito", "clave"),
    *("answer", "correct_answer", "key", "rpta", "alternativa"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key: the number of a question → a letter, or ANNULLED.

    Attributes:
        answers: In the order in which they stand.
        place: Where it stands: "page 14", or the file.
        doubts: Number → why its answer is not certain.
        unread: Number → what stands there in the place of one answer.
        notes: What a person should know about how it was read.
    """

    answers: Mapping[int, str]
    place: str
    doubts: Mapping[int, str] = field(default_factory=dict)
    unread: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class InlineAnswer(NamedTuple):
    """A line below a question that gives its answer.

    Attributes:
        before: The text above it.
        letter: A letter, ANNULLED, or "" where none can be read.
        said: What the line says beside the letter.
        after: The text below it.
    """

    before: str
    letter: str
    said: str
    after: str


class _Cell(NamedTuple):
    """A number, a letter (with * where one stands there), ANNULLED, or "" for what is none; its colour, its text."""

    value: str
    colour: str
    text: str


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
    last_option = max((n for n, line in enumerate(lines) if OPTION.match(line.text)), default=-1)
    at = 0
    while at < len(lines):
        end = at
        cells: list[_Cell] = []
        title = next((line for line in rest[:-4:-1] if _is_title(line)), None)
        while end < len(lines) and (
            found := _cells(lines[end]) or (_unclear(lines, end, cells, last_option) if cells or alone or title else [])
        ):
            cells += found
            end += 1
        tables = _tables(cells)
        pairs = sum(len(table.answers) for table, _ in tables)
        sure = pairs > sum(len(table.unread) for table, _ in tables)
        last = end > last_option and pairs > 2 and not any(_OPTION_OR_NUMBER.match(line.text) for line in lines[end:])
        if sure and (alone or title or last or pairs >= UNTITLED):
            box, extractor = lines[at].box, lines[at].extractor
            for count, (table, colours) in enumerate(tables):
                key = replace(table, place=f"page {box.page}" if box.page else "")
                key = _explained(key, colours, [line for line in lines[max(0, at - 8) : end + 8] if not _cells(line)])
                if extractor != "text layer":
                    recognised = dict.fromkeys(key.answers, "its answer was recognised from a picture of the key")
                    key = replace(key, doubts={**recognised, **key.doubts})
                keys[-1:] = _with(keys[-1], key, titled=title is not None and not count) if keys else [key]
            after = itertools.takewhile(lambda line: line.text and not _cells(line), lines[end : end + 8])
            before = itertools.takewhile(lambda line: line.text, rest[:-9:-1])
            keys[-1] = _noted(keys[-1], [*reversed(list(before)), Line("", box), *after])
            while title and rest.pop() is not title:
                pass
            rest.append(Line("", box))  # Ends the question before the table.
        else:
            end = max(end, at + 1)
            rest += lines[at:end]
        at = end
    if alone and keys and (unread := [line.text for line in rest if re.match(r"\s*\d", line.text)]):
        keys[-1] = replace(keys[-1], notes=(*keys[-1].notes, f"Not read in the key: {'; '.join(unread)[:200]}."))
    return keys, rest


def _is_title(line: Line) -> bool:
    """Whether a line says that a key follows, and is no option or what one goes on with: "la / respuesta"."""
    goes_on = line.text[:1].islower() or _OPTION_OR_NUMBER.match(line.text)
    return not goes_on and _TITLE.search(line.text) is not None


def _cells(line: Line, *, unclear: bool = False) -> list[_Cell]:
    """Cells of a line; empty where it holds anything else than numbers and answers, but for `unclear`."""
    cells: list[_Cell] = []
    at = _end(_BETWEEN, line.text, 0)
    while at < len(line.text):
        match = _CELL.match(line.text, at) or (_UNCLEAR.match(line.text, at) if unclear else None)
        if match is None:
            return []
        start, end = match.start(match.lastgroup or 0), _end(_BETWEEN, line.text, match.end())
        colour = next((m.colour for m in line.marks if m.start <= start < m.end and m.colour != "bold"), "")
        said = match.groupdict()
        value = said.get("number") or (ANNULLED if said.get("annulled") else "")
        value = value or (said.get("letter") or "").upper() + ("*" if said.get("star") else "")
        cells.append(_Cell(value, colour, line.text[at:end] + " " * (end == len(line.text))))
        at = end
    # An answer alone is an option whose text is elsewhere, and "A) 10 B) 20" are options.
    numbers = [cell.value.isdecimal() for cell in cells]
    letters = not any(numbers) and len(cells) > 1 and any(cell.value[:1] in LETTERS for cell in cells)
    return cells if cells and (numbers[0] or letters) else []


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _unclear(lines: Sequence[Line], at: int, cells: Sequence[_Cell], last_option: int) -> list[_Cell]:
    """Cells of a line that begins with the number after one of a table, which goes on or ends behind it."""
    found = _cells(lines[at], unclear=True)
    if lines[at].extractor != "text layer" or not found or not found[0].value.isdecimal():
        return []
    if cells and not any(cell.value == str(int(found[0].value) - 1) for cell in cells):
        return []
    more = next((line for line in lines[at + 1 : at + 6] if not _cells(line, unclear=True) or _cells(line)), None)
    return found if at > last_option or (more and _cells(more)) else []


def _tables(cells: Sequence[_Cell]) -> list[tuple[Key, dict[int, str]]]:
    """Pair numbers with answers: one by one, or a row of numbers above a row of answers; 1 begins a new table.

    Returns:
        Keys without a place, each with the colours of its answers.
    """
    tables: list[tuple[dict[int, str], dict[int, str], dict[int, str]]] = []
    runs = [list(run) for _, run in itertools.groupby(cells, key=lambda cell: cell.value.isdecimal())]
    for numbers, answers in itertools.pairwise([*runs, []]):
        if not numbers[0].value.isdecimal():
            continue
        pairs = list(zip(numbers, ([answer] for answer in answers), strict=False))
        if len(numbers) != len(answers) or not all(answer.value for answer in answers):
            # Numbers that lead to the last one have no answer; others are those of pages.
            first = len(numbers) - 1
            while first and int(numbers[first - 1].value) + 1 == int(numbers[first].value):
                first -= 1
            pairs = [*((number, list[_Cell]()) for number in numbers[first:-1]), (numbers[-1], answers)]
        for number, said in pairs:
            count, value = int(number.value), _one(said)
            if not tables or count in tables[-1][0] or count in tables[-1][1]:
                tables.append(({}, {}, {}))
            tables[-1][0 if value else 1][count] = value or " ".join(
                "".join(cell.text for cell in (number, *said)).split()
            )
            if value and said[0].colour:
                tables[-1][2][count] = said[0].colour
    return [(Key(answers, "", unread=unread), colours) for answers, unread, colours in tables]


def _one(said: Sequence[_Cell]) -> str:
    """The one answer in what stands beside a number, or "": "B", "B) el río", "anulada por error", not "A y C"."""
    value, rest = (said[0].value if said else ""), "".join(cell.text for cell in said[1:])
    marked = bool(said) and re.match(r"\w\s?[).]", said[0].text) is not None
    return value if not rest or value == ANNULLED or (value and marked and not _ALSO.match(rest)) else ""


def _with(before: Key, key: Key, *, titled: bool) -> list[Key]:
    """A table after another: it goes on, on another page or column, or contradicts a few answers, or is another one."""
    numbers, more = {**before.answers, **before.unread}, {**key.answers, **key.unread}
    if min(more) > max(numbers):
        both = {**before.answers, **key.answers}, before.place, {**before.doubts, **key.doubts}
        return [Key(*both, {**before.unread, **key.unread}, before.notes)]
    if titled or more.keys() - numbers.keys() or (min(more) == min(numbers) and len(more) > 2):
        return [before, key]
    twice = {n: f"{n} {numbers[n]}, and {n} {said}" for n, said in more.items() if said not in (numbers[n], ANNULLED)}
    answers = {n: answer for n, answer in before.answers.items() if n not in twice}
    annulled = {n: said for n, said in more.items() if said == ANNULLED}
    notes = [f"Annulled below the key: {', '.join(map(str, annulled))}."] if annulled else []
    unread = {n: said for n, said in {**before.unread, **twice}.items() if n not in annulled}
    return [replace(before, answers={**answers, **annulled}, unread=unread, notes=(*before.notes, *notes))]


def _explained(key: Key, colours: Mapping[int, str], beside: Sequence[Line]) -> Key:
    """Read what a colour or a star means from a line that has it: "annulled answers" annuls them."""
    answers = {number: answer.rstrip("*") for number, answer in key.answers.items()}
    signs = {number: "*" for number, answer in key.answers.items() if answer.endswith("*")}
    if len(colours) * 2 <= len(answers):  # Not a table that is coloured as a whole, or in stripes.
        signs |= colours
    doubts = dict[int, str]()
    for number, sign in signs.items():
        said = " ".join(
            line.text
            for line in beside
            if any(mark.colour == sign for mark in line.marks) or (sign == "*" and re.match(r"\W*\*", line.text))
        )
        if re.search(r"(?i)anul|\bnulas?\b", said):
            answers[number] = ANNULLED
        elif not said:
            where = "with *" if sign == "*" else f"in {sign}"
            doubts[number] = f"its answer stands {where} in the key, which says nowhere why"
    return replace(key, answers=answers, doubts=doubts)


def _noted(key: Key, beside: Sequence[Line]) -> Key:
    """Read lines beside a key that annul questions by their numbers; those that cannot be read are named."""
    answers, unread, notes = dict(key.answers), dict(key.unread), list(key.notes)
    most = max(answers, default=0)
    text = "\n".join(line.text for line in beside)
    for match in _NOTE.finditer(text):
        numbers = [number for number in numbers_in(match[1] or match[2]) if number <= most]
        answers |= dict.fromkeys(numbers, ANNULLED)
        unread = {number: said for number, said in unread.items() if number not in numbers}
        notes += [f'Annulled by "{" ".join(match[0].split())}": {", ".join(map(str, numbers))}.'] if numbers else []
    for line in _NOTE.sub("", text).splitlines():
        if re.search(r"(?i)\banul", line) and any(int(number) <= most for number in re.findall(r"\d+", line)):
            notes.append(f'Not read beside the key, though it speaks of annulled questions: "{line.strip()[:100]}".')
    return replace(key, answers=answers, unread=unread, notes=tuple(notes))


def numbers_in(said: str) -> list[int]:
    """Numbers of questions in what NUMBERS has found: "3, 5 y 7", "1 a 3"."""
    numbers = [int(number) for number in re.findall(r"\d+", said)]
    through = re.fullmatch(r"\d+\s*(?:\b(?:a|à|al|as|às|hasta|até|to)\b(?: la\b)?|–|-)\s*\d+", said)
    return list(range(numbers[0], numbers[1] + 1)) if through else numbers


def is_lost_table(line: Line) -> bool:
    """Whether a recognised line is what is left of a table with rules: scraps of a few signs each."""
    words = [re.sub(r"[\W_]", "", word) for word in line.text.split()]
    rules = len(re.findall(r"[\[\]|]", line.text))
    short = sum(len(word) < 4 for word in words)
    return line.extractor != "text layer" and rules > 1 and len(words) > 3 and short >= 0.7 * len(words)


def inline_answer(text: str) -> InlineAnswer | None:
    """Find a line such as "Respuesta correcta: B" in the text of a question; None where there is none."""
    for match in _INLINE.finditer(text):
        letter, said, colon = match["letter"] or "", match["said"], match["colon"]
        # Without a colon it may be what an option goes on with: "la / respuesta a la fiesta".
        plain = colon or (match["sure"] and match[0].strip()[0].isupper() and not letter.islower())
        ends = re.match(r"\s*(?:$|[)\].:–-]|\()", said) and not _ALSO.match(said)
        if plain and ((letter and ends) or (match["annulled"] and (ends or colon))):
            parts = letter.upper() or ANNULLED, said.lstrip(" )].:–-")
        elif match["sure"] and colon[:1] in (":", "="):
            parts = "", letter + said
        else:
            continue
        return InlineAnswer(text[: match.start()], *parts, text[match.end() :])
    return None


def read_key_file(path: Path) -> list[Key]:
    """Read keys from a text file or a table; those in a PDF are found among its lines.

    A table needs a column of answers, or rows that hold nothing but a number and an answer. Without a column of numbers
    its rows are counted.

    Raises:
        SourceError: It cannot be read.
    """
    unread: list[str] = []
    if path.suffix.lower() == ".txt":
        try:
            with path.open("rb") as file:
                encoding, _ = find_encoding(file, str(path), ".txt", Limits())
            texts = path.read_text(encoding=encoding).splitlines()
        except OSError as error:
            raise SourceError(
                f"{path} cannot be read ({error.strerror}); check its name and who may read it."
            ) from error
    else:
        table = read_table(str(path))
        names = {name.strip().lower().rstrip("."): name for name in table.columns}
        answer = next((names[name] for name in names if name in _ANSWER_NAMES), None)
        number = next((names[name] for name in names if name in _NUMBER_NAMES), None)
        unread = [name for name in table.columns if answer and name not in (number, answer)]
        texts = ["" if answer else "\t".join(table.columns)]  # The first row of a table without a header is an answer.
        for count, row in enumerate(table.rows, 1):
            cells = (
                [row.values.get(number) if number else count, row.values.get(answer)] if answer else row.values.values()
            )
            texts.append("\t".join("" if cell is None else str(cell).removesuffix(".0") for cell in cells))
    keys, _ = find_keys([Line(text, Box(0, 0, 0, 0, 0)) for text in texts if text.strip()], alone=True)
    notes = [f"Not read in {path.name}: the column {', '.join(unread)}."] if unread else []
    return [replace(key, place=path.name, notes=(*notes, *key.notes)) for key in keys]


def misfits(key: Key, widths: Mapping[int, int], lost: Collection[int]) -> tuple[str, ...]:
    """Say, for each number, why a key does not fit an exam.

    Args:
        key: Of this exam or another.
        widths: Number of a question → how many options it has.
        lost: Numbers of questions that were not found whole.
    """
    unread = key.unread if len(key.unread) < len(key.answers) else {}
    return (
        *(f"it answers question {n}, which the exam does not have" for n in key.answers if n not in {*widths, *lost}),
        *(f"it does not answer question {n}" for n in widths if n not in {**key.answers, **unread}),
        *(
            f"it answers {answer} to question {n}, which has {widths[n]} options"
            for n, answer in key.answers.items()
            if n in widths and answer != ANNULLED and LETTERS.index(answer) >= widths[n]
        ),
    )


def fits(key: Key, widths: Mapping[int, int], lost: Collection[int]) -> bool:
    """Whether a key is that of an exam: what does not fit is a slip in a few questions."""
    return len(misfits(key, widths, lost)) <= max(1, MISFITS * len(widths))
