"""Groups of people that a word names, and whether a group can stand in the blank of a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from tomllib import loads

from annotation.stereotypes.identities import LANGUAGES as OF_PEOPLES
from annotation.stereotypes.identities import SLOTS, identity_of, inflect
from annotation.text.locales import fold

NO_GROUP = "a word that names no group of people"
DISAGREES = "a word in another gender or number than its sentence"

_WRITTEN = {
    "es": {
        "ms": "el un al del",
        "fs": "la una",
        "mp": "los unos todos muchos algunos estos esos",
        "fp": "las unas todas muchas algunas estas esas",
        "p": "los/las las/los",
        "s": "el/la la/el",
    },
    "pt": {
        "ms": "o um ao do",
        "fs": "a uma à da",
        "mp": "os uns aos dos pelos todos muitos alguns",
        "fp": "as umas às das pelas todas muitas algumas",
        "p": "os/as as/os",
        "s": "o/a a/o",
    },
    "en": {"s": "a an", "p": "all most many some these", "sp": "the"},
}
_ARTICLES = {
    language: {word: kind for kind, words in kinds.items() for word in words.split()}
    for language, kinds in _WRITTEN.items()
}
"""Words before a blank that a group follows, and the gender and number that it must have."""

_BEFORE = {
    "es": "de por a con para entre que como y e o u contra sobre",
    "pt": "de por com para entre que como e ou contra sobre",
    "en": "of by with for between than as and or about against to from that",
}
"""Words before a blank that a group without an article may follow, in the plural."""

_OR = frozenset(("o", "u", "y", "e", "ou", "or", "and"))
"""Between two groups: words with one name no single group."""

_ENGLISH = (("", "s"), ("", "p"))
_MOST_WORDS, _MOST_CHARACTERS = 3, 60
"""Of a name of a group."""


@dataclass(frozen=True, slots=True)
class Group:
    """What a word says of the group that it names: gender ("m", "f", or "" for both) and number ("s", "p" or "")."""

    gender: str
    number: str


@lru_cache(4096)
def group_named(words: str, language: str) -> Group | None:
    """The group that a word or a few name, in es, pt or en, without an article; None where they name none."""
    if len(words) > _MOST_CHARACTERS:
        return None
    if people := identity_of(words, language):
        # "Argentina" is a place and no group; "argentina" is a woman from there.
        place = (people.gender, people.number) == ("", "p") and fold(words) not in map(fold, people.forms[2:])
        return None if place else Group(people.gender, people.number)
    parts = words.split()
    if not 0 < len(parts) <= _MOST_WORDS or not _OR.isdisjoint(parts) or parts[0][-1] in "-/,":
        return None
    head = fold(parts[-1 if language == "en" else 0])
    if language in OF_PEOPLES and re.fullmatch(r"\w{3,}istas?", head):
        return Group("", "p" if head.endswith("s") else "s")
    return _groups(language).get(head)


def group_in(phrase: str, words: str, language: str) -> str:
    """Words as they stand in the blank ("*") of a sentence, if they name a group of people that can stand there.

    Args:
        phrase: With one "*", which has blanks beside it.
        words: From the list beside the sentence: "mujeres", "las mujeres".
        language: es, pt or en.

    Raises:
        ValueError: They name no group, or do not agree with the article before the blank.
    """
    before = (phrase.partition("*")[0].casefold().split() or [""])[-1]
    words, articles = " ".join(words.split()), _ARTICLES[language]
    first, _, rest = words.partition(" ")
    own = first.casefold() if rest and first.casefold() in articles else ""
    group = group_named(rest if own else words, language)
    beside = None if before in articles else group_named(before, language)
    if not group or (own and beside) or not (before in articles or beside or _may_begin(before, language)):
        raise ValueError(NO_GROUP)
    if own and before in articles:
        if own != before:
            raise ValueError(DISAGREES)
        words = rest
    wanted = articles.get(before) or articles.get(own) or (beside.number if beside else "p")
    for said, kind in ((group.gender, "mf"), (group.number, "sp")):
        if said and said not in wanted and any(letter in wanted for letter in kind):
            raise ValueError(DISAGREES)
    return words


def _may_begin(before: str, language: str) -> bool:
    """Whether a group without an article in the sentence may come after a word, or begins a part of the sentence."""
    return not before or before[-1] in ",.:;¿?¡!" or before in _BEFORE[language].split()


@cache
def _groups(language: str) -> dict[str, Group]:
    text = files("annotation.stereotypes").joinpath("groups.toml").read_text(encoding="utf-8")
    known: dict[str, Group] = {}
    for name in loads(text)[language]:
        forms: tuple[str, ...] = inflect(name, language) if language in OF_PEOPLES else tuple(name.split("/"))
        gendered = len(forms) == len(SLOTS) and len(set(forms)) > 2
        for form, (gender, number) in zip(forms, SLOTS if len(forms) == len(SLOTS) else _ENGLISH, strict=True):
            if form:
                known.setdefault(fold(form), Group(gender if gendered else "", number))
    return known
