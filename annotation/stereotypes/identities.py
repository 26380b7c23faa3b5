"""Names of peoples in Spanish and Portuguese: read as place, gender and number, and written in any of them."""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

from annotation.text.locales import country_code, fold

LANGUAGES = ("es", "pt")
"""Languages in which peoples are named here."""

SLOTS = (("m", "s"), ("f", "s"), ("m", "p"), ("f", "p"))
"""Gender and number of the four forms of a name, in their order."""

Forms = tuple[str, str, str, str]

_RULES: Mapping[str, tuple[tuple[str, Forms], ...]] = {
    "es": (
        ("o", ("o", "a", "os", "as")),
        *(
            (f"{accented}{end}", (f"{accented}{end}", f"{plain}{end}a", f"{plain}{end}es", f"{plain}{end}as"))
            for accented, plain in zip("áéíóú", "aeiou", strict=True)
            for end in "ns"
        ),
        ("z", ("z", "za", "ces", "zas")),
        ("ol", ("ol", "ola", "oles", "olas")),
        ("or", ("or", "ora", "ores", "oras")),
        *((end, (end, end, f"{end}s", f"{end}s")) for end in "aei"),
        ("", ("", "", "es", "es")),
    ),
    "pt": (
        ("o", ("o", "a", "os", "as")),
        ("ês", ("ês", "esa", "eses", "esas")),
        ("eu", ("eu", "eia", "eus", "eias")),
        ("ol", ("ol", "ola", "óis", "olas")),
        ("al", ("al", "al", "ais", "ais")),
        ("or", ("or", "ora", "ores", "oras")),
        *((end, (end, end, f"{end}s", f"{end}s")) for end in "aeiíuú"),
        ("", ("", "", "es", "es")),
    ),
}
"""Ending of the masculine singular -> endings of the four forms; the first that fits."""

_ARTICLE = {"es": re.compile("(?:el|la|los|las) ", re.I), "pt": re.compile("(?:o|a|os|as) ", re.I)}
_ANY_ARTICLE = re.compile(r"^(?:los|las|el|la|unos|unas|os|as|o|a|the)\s+", re.I)
_BEFORE_OF = re.compile(r"(\S+)( (?:de|del|do|da) .+)")


@dataclass(frozen=True, slots=True)
class Identity:
    """A people as a text names it.

    Attributes:
        place: Its country (ISO 3166-1), or the part of a country ("BR-AC").
        gender: "m" or "f"; "" where the form, or the name of the country, says none.
        number: "s" or "p"; of the name of a country "p": all its people.
        forms: How it is written, in the order of SLOTS; empty texts in a language without names of peoples.
    """

    place: str
    gender: str
    number: str
    forms: Forms

    @property
    def country(self) -> str:
        """Code of the country, of a part of it too."""
        return self.place[:2]

    def form(self, gender: str, number: str) -> str:
        """How it is written in a gender ("" is the masculine, which stands for all) and a number."""
        return self.forms[SLOTS.index((gender or "m", number))]


def inflect(word: str, language: str) -> Forms:
    """The four forms of a masculine singular by the rules of a language, or those that are written with slashes."""
    if "/" in word:
        one, other, more, others = word.split("/")
        return one, other, more, others
    head, rest = found.groups() if (found := _BEFORE_OF.fullmatch(word)) else (word, "")
    end, forms = next((end, forms) for end, forms in _RULES[language] if head.endswith(end))
    stem = head.removesuffix(end)
    one, other, more, others = (f"{stem}{form}{rest}" for form in forms)
    return one, other, more, others


def identity_of(text: str, language: str) -> Identity | None:
    """The people that a text names; None for what is not known, or names people of two places.

    Case and accents may be missing, and an article may stand before it. A country's name is one where it begins with a
    capital ("Argentina"), or where no people is called so.

    Args:
        text: "mexicanos", "Bolivia".
        language: ISO 639-1; names of countries are known in others than LANGUAGES too.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    named = _place_named(text)
    if named and text[:1].isupper():
        return _as_people(named, language)
    if language in LANGUAGES:
        read = _read(language)
        article, bare = without_article(text, language)
        if (
            found := read.get(text.casefold())
            or read.get(fold(text))
            or read.get(bare.casefold())
            or read.get(fold(bare))
        ):
            feminine = article.casefold().strip() in ("la", "las", "a", "as")
            return replace(found, gender="f" if feminine else "m") if article and not found.gender else found
    return _as_people(named, language) if named else None


def target_of(text: str, language: str) -> str:
    """Code of the country whose people a text names, of a part of it too; "" where that is not known."""
    people = identity_of(_ANY_ARTICLE.sub("", text), language)
    return people.country if people else ""


def form(place: str, language: str, gender: str, number: str) -> str:
    """How the people of a place are written first; "" where the language has no name for them."""
    names = written(language).get(place)
    return names[SLOTS.index((gender or "m", number))] if names else ""


def without_article(text: str, language: str) -> tuple[str, str]:
    """An article at the beginning, with the blank after it, and the rest: ("los ", "mexicanos"); "" for none."""
    found = _ARTICLE[language].match(text)
    return (found[0], text[found.end() :]) if found else ("", text)


@functools.cache
def written(language: str) -> dict[str, Forms]:
    """Place -> the forms of the name that is written for its people, in one of LANGUAGES."""
    column = LANGUAGES.index(language)
    names = {place: re.split("[,;]", row[column])[0].strip() for place, row in _table().items()}
    return {place: inflect(name, language) for place, name in names.items() if name}


def name_of_place(place: str, language: str) -> str:
    """Name of a place with its article in one of LANGUAGES: "o Brasil"; "" where there is none."""
    return _table()[place][2 + LANGUAGES.index(language)]


def _as_people(place: str, language: str) -> Identity:
    forms = written(language).get(place) if language in LANGUAGES else None
    return Identity(place, "", "p", forms or ("", "", "", ""))


@functools.cache
def _table() -> dict[str, tuple[str, str, str, str]]:
    text = files("annotation.stereotypes").joinpath("identities.toml").read_text(encoding="utf-8")
    return {place: tuple(row) for place, row in tomllib.loads(text).items()}


def _place_named(text: str) -> str:
    """The place with this name; "" for none."""
    code = _names().get(fold(text)) or country_code(text) or ""
    return code if code in _table() and len(text) > 3 else ""


@functools.cache
def _names() -> dict[str, str]:
    found: dict[str, str] = {}
    for place, row in _table().items():
        for name in filter(None, row[2:]):
            for language in LANGUAGES:
                found.setdefault(fold(without_article(name, language)[1]), place)
            found.setdefault(fold(name), place)
    return found


@functools.cache
def _read(language: str) -> dict[str, Identity]:
    """What a text may say -> the people: forms as they are written, then without accents."""
    exact: dict[str, Identity | None] = {}
    lenient: dict[str, Identity | None] = {}
    for place, row in _table().items():
        names, _, only_read = row[LANGUAGES.index(language)].partition(";")
        for name in filter(None, map(str.strip, f"{names},{only_read}".split(","))):
            forms = inflect(name, language)
            kept = forms if name in map(str.strip, names.split(",")) else written(language)[place]
            for (gender, number), said in zip(SLOTS, forms, strict=True):
                people = Identity(place, gender if forms[0] != forms[1] else "", number, kept)
                # A published set has "francsa" for "francesa", and its like for all others.
                for spelt in {said, re.sub(r"[eé]sa(s?)$", r"sa\1", said)}:
                    _put(exact, spelt.casefold(), people)
                    _put(lenient, fold(spelt), people)
    return {key: people for key, people in {**lenient, **exact}.items() if people}


def _put(known: dict[str, Identity | None], key: str, people: Identity) -> None:
    other = known.setdefault(key, people)
    if other is None or other.place != people.place:
        known[key] = None
