"""HESEIA: a sentence with a blank, and words that pupils and teachers compared in it.

A word that names a group of people makes an association of the whole sentence. A row in whose blank no group can stand
(verbs, adjectives, things) is left out. Nobody says which of the words the stereotype is about, so a row is no rating;
age and gender of whoever wrote it are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from annotation.reading.cells import as_text, unpacked
from annotation.stereotypes.found import LANGUAGES, Form, Found, FoundAssociation, Usual
from annotation.stereotypes.groups import DISAGREES, group_in
from annotation.text.language import tell
from annotation.types import Dropped

FILLED_IN = frozenset(("frase", "tipo_de_sesgo_explorado"))
"""Columns of its extended version, whose blanks are filled in: what is the group there, nobody can tell."""

_AROUND = " \t\n.,;:…()[]*\"'¿?¡!-"
"""Signs around a word of the list."""


def read_row(cells: Mapping[str, object], usual: Usual) -> Iterator[Found]:
    """An association for each word of a row that names a group of people.

    Raises:
        ValueError: The sentence has no blank or several, or holds no group there.
    """
    phrase = re.sub(r"[\s(\[{\"'“«]*\*[\s)\]}\"'”»]*", " * ", as_text(cells.get("phrase")))
    phrase = re.sub(r" (?=[.,;:!?])", "", " ".join(phrase.split()))
    if phrase.count("*") != 1:
        raise ValueError("a sentence without a blank, or with several")
    if len(phrase.split()) < 3:
        raise ValueError("a sentence that says nothing of who stands in its blank")
    listed = unpacked(cells.get("word_list"))
    words = [word.strip(_AROUND) for word in listed if isinstance(word, str)] if isinstance(listed, list) else []
    if not any(words):
        raise ValueError("no list of words for the blank")
    likely = sorted(LANGUAGES, key=lambda code: code != usual.language)
    language = tell(phrase.replace("*", next(filter(None, words))), likely)
    if language not in LANGUAGES:
        raise ValueError("a language in which annot knows no words for groups")
    found = [_in_blank(number, word, phrase, language) for number, word in enumerate(words, 1)]
    reasons = {part.reason for part in found if isinstance(part, Dropped)}
    if all(isinstance(part, Dropped) for part in found):
        raise ValueError(DISAGREES if DISAGREES in reasons else "no group of people in the blank")
    yield from found


def _in_blank(number: int, word: str, phrase: str, language: str) -> Found:
    try:
        return FoundAssociation(group_in(phrase, word, language), "", language, frame=phrase)
    except ValueError as error:
        return Dropped(f"word {number}", str(error))


FORM = Form("HESEIA", "CC-BY-SA-4.0", {"phrase", "word_list"}.issubset, read_row)
