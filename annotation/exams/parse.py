"""Questions among the lines of an exam, by rules: each begins with the next expected number, and has options below."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from annotation.errors import SourceError
from annotation.exams.answers import answers_of, choose_keys
from annotation.exams.found import Box, Draft, FoundQuestion, Line, Mark
from annotation.exams.keys import ANNULLED, LETTERS, NUMBERS, Key, inline_answer, numbers_in
from annotation.exams.layout import OPTION, around
from annotation.exams.parts import markers, number_of, read_parts
from annotation.screen import counted
from annotation.types import Dropped

AHEAD = 80
"""Lines within which a question has its options."""
LOST = 4
"""So many numbers one after the other may be missing; where more are, the number after the next one has to follow."""
ROOM = 0.6
"""A line that is shorter than this share of the longest one of its question does not go on below."""
LONG = 400
"""Characters of an option that may have swallowed something."""

_PASSAGE = re.compile(
    r"(?i)\b(?:text|lectura|leitura|fragment|poema|gr[áa]fic|imagen|imagem|mapa|cuadro|quadro|tab(?:la|ela)|figura|"
    r"caso\b|informaci[óo]n|informaç|situaci[óo]n|situaç)"
)
_QUESTIONS = re.compile(rf"(?i)\b(?:preguntas|quest[õo]es|[íi]tems|itens)\s+(?:n[.º°]+\s*)?({NUMBERS})")


def parse_exam(
    lines: Sequence[Line], keys: Sequence[Key], *, source: str = "the text", given: bool = False
) -> tuple[tuple[FoundQuestion, ...], tuple[Dropped, ...], tuple[str, ...]]:
    """Find the questions among the lines of a document.

    A line without text ends the question before it.

    Args:
        lines: In order of reading, without furniture and tables of answers.
        keys: Tables of answers.
        source: Its name in sentences.
        given: The keys come from a file that a person has named: one that does not fit is an error.

    Returns:
        Questions, what was begun and is not whole, and notices.

    Raises:
        SourceError: No question was found, or a key that was given is not that of the exam.
    """
    drafts, dropped = _split(lines)
    notices = _tidy(drafts, _usual_gap(lines))
    words = Counter(word for line in lines for word in re.findall(r"[^\W\d_]+", line.text))
    for draft in drafts:
        read_parts(draft, words)
    whole = [draft for draft in drafts if len(draft.options) > 1]
    if not whole:
        raise SourceError(
            f"No question was found in {source}: each needs a number in front (1. or 1) or Pregunta 1) and options "
            "A) B) below; check that this is the exam, or write its questions into a table."
        )
    exams = sorted({draft.exam for draft in whole})
    named = {draft.exam: f"{exams.index(draft.exam) + 1}-" if len(exams) > 1 else "" for draft in whole}
    for draft in drafts:
        if len(draft.options) < 2:
            reason = "only one option" if draft.options else "no options"
            dropped.append((draft.exam, draft.number, reason, f"page {draft.lines[0].box.page}: {draft.stem[:60]}"))
        if draft.swallowed and not any((d.exam, d.number) == (draft.exam, draft.swallowed) for d in drafts):
            because = f"page {draft.lines[0].box.page}: in question {draft.number}"
            dropped.append((draft.exam, draft.swallowed, "not told apart from the question before it", because))
    if len(exams) > 1:
        notices.append(f"The numbers begin again: {len(exams)} exams, told apart as 1-1 and 2-1.")
    lost: dict[int, set[int]] = {exam: {number for of, number, *_ in dropped if of == exam} for exam in exams}
    chosen = choose_keys(whole, lost, keys, given=given, notices=notices)
    found, misfit = [], []
    for exam in exams:
        own = [draft for draft in whole if draft.exam == exam]
        usual = statistics.mode(len(draft.options) for draft in own)
        key = chosen.get(exam)
        answers = answers_of(own, key, notices, given=given)
        for draft in own:
            _doubt(draft, usual)
            if key and draft.number in key.doubts:
                draft.doubts.append(key.doubts[draft.number])
            letter = answers.get(draft.number, "")
            if letter and letter != ANNULLED and LETTERS.index(letter) >= len(draft.options):
                because = f"{letter} of {len(draft.options)} options"
                misfit.append((exam, draft.number, "the key names an option that is not there", because))
                continue
            if key and letter and draft.answer not in ("", letter):
                draft.doubts.append(f"the line below it says {draft.answer}, and the key {letter}")
            if key and draft.number in key.unread:
                draft.doubts.append(f'the key says "{key.unread[draft.number]}"')
            elif answers and not letter:
                draft.doubts.append("it has no answer where the others have one")
            found.append(_question(draft, named[exam], letter))
        for number in sorted(set(key.answers if key else ()) - {draft.number for draft in own} - lost[exam]):
            misfit.append((exam, number, "answered in the key, and not found in the exam", key.place if key else ""))
    out = [
        Dropped(f"question {named.get(exam, '')}{number}", reason, because)
        for exam, number, reason, because in sorted([*dropped, *misfit])
    ]
    return tuple(found), tuple(out), tuple(notices)


def _split(lines: Sequence[Line]) -> tuple[list[Draft], list[tuple[int, int, str, str]]]:
    """Give every line to the question that it belongs to; numbers that are missing are named."""
    starts = [number_of(line) for line in lines]
    drafts: list[Draft] = []
    missing: list[tuple[int, int, str, str]] = []
    passages: list[tuple[list[int], int]] = []  # The questions that a text is for, and the place of the next question.
    current: Draft | None = None
    optioned = False  # Whether the present question has its option B.
    exam = 0
    for at, (number, length) in enumerate(starts):
        line = lines[at]
        expected = current.number + 1 if current else 0
        if number and _is_next(lines, starts, at, expected, optioned):
            if current:
                exam += number < expected
                for gone in range(expected, number):
                    missing.append((exam, gone, "number missing on the page", f"page {line.box.page}"))
                if number > expected:
                    current.doubts.append("the next number is missing: its last option may hold the next question")
            current, optioned = Draft(exam, number, [_cut(line, length)]), False
            drafts.append(current)
        elif current:
            current.lines.append(line)
        if named := _names_questions(lines, starts, at):
            passages.append((named, len(drafts) - bool(current and not optioned)))
        optioned = optioned or _holds(line, "Bb")
    for numbers, place in passages:
        for draft in drafts:
            if place < len(drafts) and draft.number in numbers and draft.exam == drafts[place].exam:
                draft.doubts.append(f"it belongs to a text that stands before question {drafts[place].number}")
    return drafts, missing


def _names_questions(lines: Sequence[Line], starts: Sequence[tuple[int, int]], at: int) -> list[int]:
    """The questions for which a text stands: "Lea el texto y responda las preguntas 1 a 3", on one line or two."""
    match = _QUESTIONS.search(lines[at].text)
    if match is None:
        return []
    near = [n for n in (at - 1, at, at + 1) if n == at or (0 <= n < len(lines) and not starts[n][0])]
    told = any(_PASSAGE.search(lines[n].text) and not OPTION.match(lines[n].text) for n in near)
    return numbers_in(match[1]) if told else []


def _tidy(drafts: Sequence[Draft], pitch: float) -> list[str]:
    """Take from the questions what stands below them: furniture, headings of what comes next, texts; and say what.

    A line below most questions, whatever number or letter is in it, is furniture.
    """
    below, shown = defaultdict[str, list[str]](list), dict[str, str]()
    for draft in drafts:
        last = _last_option(draft)
        for look, line in {_look(line): line for line in draft.lines[last + 1 :]}.items():
            below[look].append(draft.lines[last].text)
            shown[look] = line.text
    # "Ninguna de las / Anteriores" goes on, always after the same line.
    repeated = {
        look
        for look, after in below.items()
        if look and 2 * len(after) > len(drafts) > 2 and (":" in look or 2 * len(set(after)) > len(after))
    }
    heading = ""
    for draft, following in itertools.zip_longest(drafts, drafts[1:]):
        last = _last_option(draft)
        detached = _detach(draft, pitch, repeated)
        text = " ".join(line.text for line in detached if _look(line) not in repeated)
        draft.lines = [line for at, line in enumerate(draft.lines) if at <= last or _look(line) not in repeated]
        if following is None:
            break
        if text and len(text) < 100 and not text.rstrip().endswith((".", "?", ":")):
            heading = text
        elif text:
            following.doubts.append(f'a text before it may belong to it: "{text[:60]}…"')
        heading = heading if following.exam == draft.exam else ""
        following.category = heading
    return [f'A line stands below most questions, and was left out: "{shown[look][:60]}".' for look in sorted(repeated)]


def _look(line: Line) -> str:
    """A line without its numbers and single letters; "" where it may be what an option goes on with, or an answer."""
    if not line.text[:1].isupper() or inline_answer(line.text):
        return ""
    return re.sub(r"\b(?:\d+|[^\W\d_])\b", "", line.text)


def _last_option(draft: Draft) -> int:
    """Place of the line with the last option, 0 without any."""
    return max((at for at, line in enumerate(draft.lines) if OPTION.match(line.text)), default=0)


def _is_next(lines: Sequence[Line], starts: Sequence[tuple[int, int]], at: int, expected: int, optioned: bool) -> bool:
    """Whether the number at the beginning of a line begins a question, and not an entry of a list or an instruction."""
    number = starts[at][0]
    if not expected or (number == 1 and optioned):
        return _is_first(lines, starts, at)
    if number == expected:
        # A list goes on where the same number comes again after the next options, and not the one after it.
        return optioned or _after_options(lines, starts, at) != number
    if not optioned or number < expected:
        return False
    near = {start for start, _ in starts[at + 1 : at + AHEAD]}
    if expected in near or not _opens(lines, starts, at, {number + 1, expected}):
        return False
    return number <= expected + LOST or _after_options(lines, starts, at) == number + 1


def _is_first(lines: Sequence[Line], starts: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether a line begins the first question of an exam: what comes after the next options is one more.

    Instructions may be numbered too, and a list in the question: of two lines with its number the later one is taken,
    unless nothing between them is one more, as between a question and the first entry of its list.
    """
    options = next((n for n in range(at, min(len(lines), at + AHEAD)) if _holds(lines[n], "Aa")), None)
    if options is None:
        return False
    more = next((n for n in range(options, min(len(lines), options + AHEAD)) if _holds(lines[n], "Bb")), options)
    after = next((number for number, _ in starts[more + 1 : more + AHEAD] if number), 0)
    before = [n for n in range(max(0, options - AHEAD), options + 1) if starts[n][0]]
    same = [n for n in before if starts[n][0] == after - 1] or before[-1:]
    if len(same) > 1 and starts[same[-1]][0] + 1 not in {number for number, _ in starts[same[-2] : same[-1]]}:
        same.pop()
    return same[-1] == at


def _holds(line: Line, letters: str) -> bool:
    return any(match[1] in letters for match in markers(line.extractor).finditer(line.text))


def _opens(lines: Sequence[Line], starts: Sequence[tuple[int, int]], at: int, ends: set[int]) -> bool:
    """Whether an option A comes before the next question."""
    for here in range(at, min(len(lines), at + AHEAD)):
        if here > at and starts[here][0] in ends:
            return False
        if _holds(lines[here], "Aa"):
            return True
    return False


def _after_options(lines: Sequence[Line], starts: Sequence[tuple[int, int]], at: int) -> int:
    """Of the number that a line begins with and the one after it, which comes first after the next options; or 0."""
    number, optioned = starts[at][0], False
    for here in range(at + 1, min(len(lines), at + AHEAD)):
        optioned = optioned or _holds(lines[here], "Bb")
        if optioned and starts[here][0] in (number, number + 1):
            return starts[here][0]
    return 0


def _cut(line: Line, length: int) -> Line:
    marks = tuple(Mark(max(0, m.start - length), m.end - length, m.colour) for m in line.marks if m.end > length)
    return replace(line, text=line.text[length:], marks=marks)


def _gap(before: Line, after: Line) -> float | None:
    """Space between two lines of a page in heights of a line; None where the second is not below the first."""
    height = before.box.bottom - before.box.top
    if before.box.page != after.box.page or after.box.top < before.box.top or not height:
        return None
    return (after.box.top - before.box.bottom) / height


def _width(line: Line) -> float:
    return line.box.right - line.box.left


def _usual_gap(lines: Sequence[Line]) -> float:
    gaps = [gap for pair in itertools.pairwise(lines) if (gap := _gap(*pair)) is not None]
    return statistics.median(gaps) if gaps else 0.0


def _detach(draft: Draft, pitch: float, repeated: Collection[str]) -> list[Line]:
    """Take from a question what stands below its options: after a wide gap or a table of answers, or a heading.

    Capitals are a heading where the option above them is not in capitals, or its last line had room for more.
    """
    last = _last_option(draft)
    option, widest = OPTION.sub("", draft.lines[last].text, count=1), max(map(_width, draft.lines))
    for at in range(last + 1, len(draft.lines)) if last else ():
        line = draft.lines[at]
        gap = _gap(draft.lines[at - 1], line)
        if inline_answer(line.text) or _look(line) in repeated:
            continue
        wide = not line.text or (gap is not None and gap > pitch + 0.6)
        short = _width(draft.lines[at - 1]) < ROOM * widest
        capitals = line.text.isupper() and " " in line.text and (short or not option.isupper())
        if wide or capitals or _QUESTIONS.search(line.text):
            draft.lines, rest = draft.lines[:at], [line for line in draft.lines[at:] if line.text]
            if rest and (not wide or rest[0].text[0].islower()):
                draft.doubts.append(f'its last option may go on with "{rest[0].text[:60]}"')
            return rest
        option += line.text
    draft.lines = [line for line in draft.lines if line.text]
    return []


def _doubt(draft: Draft, usual: int) -> None:
    if len(draft.options) != usual:
        draft.doubts.append(f"it has {counted(len(draft.options), 'option')}, and most have {usual}")
    if not draft.stem:
        draft.doubts.append("it has no text before its options")
    if not all(draft.options):
        draft.doubts.append("an option has no text: it may be a picture")
    if len(set(draft.options)) < len(draft.options):
        draft.doubts.append("two options are the same")
    lengths = sorted(map(len, draft.options))
    if lengths[-1] > LONG and lengths[-1] > 3 * lengths[-2]:
        draft.doubts.append("an option is much longer than the others")


def _question(draft: Draft, prefix: str, letter: str) -> FoundQuestion:
    first = draft.lines[0]
    regions: list[list[Line]] = []
    for line in draft.lines:
        last = regions[-1][-1].box if regions else None
        if last and line.box.page == last.page and line.box.top > regions[-1][0].box.top - 2:
            regions[-1].append(line)
        else:
            regions.append([line])
    boxes: tuple[Box, ...] = tuple(around([line.box for line in region]) for region in regions)
    return FoundQuestion(
        place=f"{f'exam {prefix[:-1]}, ' if prefix else ''}page {first.box.page}",
        number=f"{prefix}{draft.number}",
        question=draft.stem,
        options=tuple(draft.options),
        answer=LETTERS.index(letter) if letter and letter != ANNULLED else None,
        annulled=letter == ANNULLED,
        category=draft.category,
        extractor=first.extractor,
        page=first.box.page,
        boxes=boxes,
        unsure="; ".join(dict.fromkeys(draft.doubts)),
    )
