"""Answers of the questions of an exam: by the key that fits it, by lines below them, or by marked options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from annotation.errors import SourceError
from annotation.exams.found import Draft
from annotation.exams.keys import ANNULLED, LETTERS, Key, fits, misfits

MARKED = 0.8
"""Share of the questions in which one option is marked, so that the mark is the key."""


def choose_keys(
    whole: Sequence[Draft], lost: Mapping[int, set[int]], keys: Sequence[Key], *, given: bool, notices: list[str]
) -> dict[int, Key]:
    """Exam → its key. Where several fit, and are as many as the exams, they are in the same order."""
    widths = {exam: {draft.number: len(draft.options) for draft in whole if draft.exam == exam} for exam in lost}
    fitting = {exam: [key for key in keys if fits(key, widths[exam], lost[exam])] for exam in lost}
    chosen: dict[int, Key] = {}
    if len(keys) == len(lost) and all(key in mine for key, mine in zip(keys, fitting.values(), strict=True)):
        chosen = dict(zip(lost, keys, strict=True))
    for exam, mine in fitting.items():
        if exam in chosen:
            continue
        if other := next((key for key in mine if key.answers != mine[0].answers), None):
            first, second = mine[0].answers, other.answers
            differ = next(n for n in {**first, **second} if first.get(n) != second.get(n))
            problem = (
                f"{len(mine)} tables of answers fit the same questions, and differ (question {differ}: "
                f"{first.get(differ, 'nothing')} and {second.get(differ, 'nothing')})"
            )
            if given:
                raise SourceError(f"{mine[0].place}: {problem}; leave one of them in the file.")
            notices.append(f"{problem}, so none was taken; write the right one into a file and name it with --key.")
        elif mine and any(mine[0] in others for of, others in fitting.items() if of != exam):
            notices.append(
                f"The table of answers ({mine[0].place}) fits several of the {len(lost)} exams, and nothing says which "
                "one, so it was not taken; part the PDF into a file for each exam, and name the key of each with --key."
            )
        elif mine:
            chosen[exam] = mine[0]
    notices[:] = dict.fromkeys(notices)
    for key in chosen.values():
        notices += key.notes
        if key.unread:
            said = "; ".join(list(key.unread.values())[:20])
            notices.append(f"In the key ({key.place}) no one answer can be read in: {said}".rstrip(".") + ".")
    unused = [key for key in keys if key not in chosen.values()]
    if unused and len(chosen) < len(lost) and not any(fitting.values()):
        reasons = [misfits(key, widths[exam], lost[exam]) for exam in lost for key in unused]
        why = min(reasons, key=len)
        words = f"{'; '.join(why[:3])}{f', and {len(why) - 3} more' if len(why) > 3 else ''}"
        if given:
            raise SourceError(f"The key ({unused[0].place}) is not that of this exam: {words}; name the right one.")
        notices.append(
            f"The table of answers on {unused[0].place} is not that of this exam, and was not taken: {words}."
        )
    return chosen


def answers_of(own: Sequence[Draft], key: Key | None, notices: list[str], *, given: bool) -> Mapping[int, str]:
    """Number of a question → letter or ANNULLED: by the key, by lines below the questions, or by marked options.

    Raises:
        SourceError: The options that the exam marks say mostly other things than a key that a person named.
    """
    colour, marked = _marked(own)
    if key:
        other = [n for n, letter in marked.items() if key.answers.get(n, letter) not in (letter, ANNULLED)]
        if given and 2 * len(other) > len(marked):
            raise SourceError(
                f"The key ({key.place}) differs from the answers that the exam marks ({colour}) in {len(other)} of "
                f"{len(marked)} questions: it is the key of another exam; name the right one, or none."
            )
        if other:
            shown = ", ".join(map(str, other[:20]))
            notices.append(f"The key ({key.place}) was taken where the exam marks ({colour}) another answer: {shown}.")
        return key.answers
    if inline := {draft.number: draft.answer for draft in own if draft.answer}:
        return inline
    if marked:
        count = f"{len(marked)} of {len(own)}"
        notices.append(f"The answers are marked in the exam ({colour}), and were taken from there: {count}.")
    return marked


def _marked(own: Sequence[Draft]) -> tuple[str, dict[int, str]]:
    """The colour that marks one option of most questions, and number → letter; nothing where none does."""
    one = Counter(c for d in own for c in set().union(*d.colours) if sum(c in colours for colours in d.colours) == 1)
    colour, count = one.most_common(1)[0] if one else ("", 0)
    if count < MARKED * len(own):
        return "", {}
    places = {draft.number: [n for n, colours in enumerate(draft.colours) if colour in colours] for draft in own}
    return colour, {number: LETTERS[marked[0]] for number, marked in places.items() if len(marked) == 1}
