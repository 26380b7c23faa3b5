"""Parts of a question of an exam: number, stem, options in the order of their letters, and an answer below them.

The rules work on the lines of one question; which lines those are is told by `parse.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from annotation.exams.found import Draft, Line, Mark
from annotation.exams.keys import LETTERS, inline_answer

THIN = "\u2009"
"""Stands between letters where a text layer has no blank, but a gap too narrow to be sure that it is none."""

_START = re.compile(r"\(?(\d{1,5})\s?(?:\.-|[.)ºª°:]|\s[–-](?=\s))-?(?!\d)")
_WORD_START = re.compile(r"(?i)(?:pregunta|quest[ãa]o|quesito|item|ítem)\s+(?:n[.º°o]*\s*)?(\d{1,5})\b[\s.:)–-]*")
_OCR_START = re.compile(r"[(\[]?([\dOolIS|]{1,3})\s?[.,):;]-?(?=\s)")
_DIGITS = str.maketrans("OolI|S", "001115")
_MARKER = re.compile(r"(?:(?<=\s)|^)\(?([A-Ja-j])\s?[.)]-?(?=\s|$|(?![A-Za-z]\.)\S)")
# A recogniser reads "Cc)" for "c)", and loses the dot before a capital letter.
_OCR_MARKER = re.compile(r"(?:(?<=\s)|^)[(\[]?([A-Ja-j])[ce]?\s?(?:[.,)\]:]-?|(?<=[B-E]) (?=[A-ZÀ-Ý]))(?=\s|\S)")
_LIST = re.compile(r"(?:[IVX]{1,4}|\d{1,2}|[a-e])\s?[.)–-]\s|[•▪●–—-]\s")


def number_of(line: Line) -> tuple[int, int]:
    """Number at the beginning of a line and the characters that it takes; 0 for none."""
    if match := _WORD_START.match(line.text) or _START.match(line.text):
        return int(match[1]), match.end()
    if line.extractor != "text layer" and (match := _OCR_START.match(line.text)):
        digits = match[1].translate(_DIGITS)
        return (int(digits), match.end()) if digits.isdecimal() else (0, 0)
    return 0, 0


def markers(extractor: str) -> re.Pattern[str]:
    """Pattern of what stands in front of an option: "A)", "b."."""
    return _MARKER if extractor == "text layer" else _OCR_MARKER


def read_parts(draft: Draft, words: Mapping[str, int]) -> None:
    """Part the text of a question into stem, options and answer."""
    body, marks = "", list[Mark]()
    for line in draft.lines:
        body += "\n" if body else ""
        marks += [Mark(len(body) + mark.start, len(body) + mark.end, mark.colour) for mark in line.marks]
        body += line.text
    sequence = _sequence(body, draft.lines[0].extractor)
    edges = [*(match.start() for match in sequence), len(body)]
    draft.stem = _clean(_without_answer(draft, body[: edges[0]]), words)
    for match, end in zip(sequence, edges[1:], strict=True):
        option = _without_answer(draft, body[match.end() : end], last=end == len(body))
        draft.options.append(_clean(option, words))
        solid = len(re.sub(r"\s", "", option)) or 1
        covered = Counter[str]()
        for mark in marks:
            part = body[max(mark.start, match.end()) : max(0, min(mark.end, end))]
            covered[mark.colour] += len(re.sub(r"\s", "", part))
        draft.colours.append({colour for colour, count in covered.items() if 2 * count > solid})
    if said := _fold(draft.said):
        same = [letter for letter, option in zip(LETTERS, draft.options, strict=False) if _fold(option) == said]
        if not draft.answer and len(same) == 1:
            draft.answer = same[0]
        elif draft.answer not in same:
            draft.doubts.append(f'the line with its answer says "{" ".join([draft.answer, *draft.said.split()])[:60]}"')
            draft.answer = "" if same else draft.answer
    if sequence and any(m[1] == sequence[0][1] and _leads(body, m) for m in _MARKER.finditer(body, sequence[-1].end())):
        numbers = (number for line in draft.lines[1:] if (number := number_of(line)[0]) > draft.number)
        draft.swallowed = next(numbers, 0)
        next_one = f"question {draft.swallowed}" if draft.swallowed else "the next question"
        draft.doubts.append(f"the letter {sequence[0][1]} comes twice: it may hold {next_one} too")


def _without_answer(draft: Draft, text: str, *, last: bool = False) -> str:
    """A part of a question without a line that gives its answer, which is kept; below the last option all goes."""
    found = inline_answer(text)
    if found is None:
        return text
    if not last and not found.letter:
        draft.doubts.append(f'a line in it may give its answer away: "{found.said[:60]}"')
        return text
    draft.answer = draft.answer or found.letter
    draft.said = re.sub(r"^\s*\(.*?\)", "", f"{found.said}{found.after if last else ''}")
    return found.before if last else found.before + found.after


def _fold(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _leads(body: str, match: re.Match[str]) -> bool:
    """Whether a marker stands at the beginning of a line, or behind a wide gap."""
    return match.start() == 0 or body[match.start() - 1] in "\n\t"


def _sequence(body: str, extractor: str) -> list[re.Match[str]]:
    """Markers of the options, A first; of two rows of letters, "a) b)" in the stem and "A) B)" below, the later one.

    A letter inside a line counts where none at the beginning of a line stands before the next letter that does.
    """
    found = list(markers(extractor).finditer(body))
    if extractor != "text layer":
        return _in_order(body, found)
    rows = [_in_order(body, [m for m in found if m[1].isupper() == upper]) for upper in (True, False)]
    return max((row for row in rows if len(row) > 1), key=lambda row: row[0].start(), default=max(rows, key=len))


def _in_order(body: str, found: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    row: list[re.Match[str]] = []
    for letter in LETTERS:
        more = letter > "E"  # Rare, and often the initial of a name: they have to look as the first one does.
        rest = [m for m in found if (not row or m.start() > row[-1].start()) and (m[1].upper() > "E") == more]
        if more:
            rest = [m for m in rest if _form(m) == _form(row[0]) and (")" in m[0] or _leads(body, m))]
        leading = next((m for m in rest if m[1].upper() == letter and _leads(body, m)), None)
        later = next((m for m in rest if m[1].upper() > letter and _leads(body, m)), None)
        inside = next((m for m in rest if m[1].upper() == letter), None)
        if letter == "A" and inside and not leading:
            line = body[inside.end() :].partition("\n")[0]
            inside = inside if any(m[1].upper() == "B" for m in _MARKER.finditer(" " + line)) else None
        best = leading if leading and not (later and later.start() < leading.start() and inside) else inside
        if best is None:
            break
        row.append(best)
    return row


def _form(marker: re.Match[str]) -> tuple[bool, str]:
    return marker[1].isupper(), marker[0].replace(marker[1], "", 1)


def _clean(text: str, words: Mapping[str, int]) -> str:
    """Text of a part in one line, but for lists: hyphens at the end of a line and kerning splits are joined."""

    def hyphen(match: re.Match[str]) -> str:
        left, right = match.groups()
        return f"{left}-{right}" if f"{left}{right}" not in words and not right[0].islower() else left + right

    def narrow(match: re.Match[str]) -> str:
        left, right = match.groups()
        whole = left + right in words or 1 in (words.get(left), words.get(right))
        return left + right if whole else f"{left} {right}"

    def letter(match: re.Match[str]) -> str:
        return match[1] + match[2] if match[1] + match[2] in words else match[0]

    text = re.sub(r"([^\W\d_]+)[-\xad]\n([^\W\d_]+)", hyphen, text.replace("\t", " "))
    text = re.sub(rf"([^\W\d_]+){THIN}([^\W\d_]+)", narrow, text)
    text = re.sub(r"\b([B-DF-HJ-NP-TV-XZ]) ([^\W\d_]{2,})", letter, text)
    parts = [" ".join(part.split()) for part in text.strip().split("\n")]
    joined = parts[0]
    for part in parts[1:]:
        joined += ("\n" if _LIST.match(part) else " ") + part
    return joined.strip()
