"""Agreement of what is said of a people with its gender and number, in Spanish and Portuguese, where rules are sure."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from annotation.stereotypes.identities import SLOTS, Forms, identity_of, inflect

Kind = Literal["is", "does", "other"]
"""What an attribute is: said with "to be", a verb with what follows it, or nothing that is sure."""

_VERB_PLURALS: Mapping[str, Mapping[str, str]] = {
    "es": {},
    "pt": {"tem": "têm", "vem": "vêm", "vê": "veem", "lê": "leem", "dá": "dão", "vai": "vão", "sai": "saem"}
    | {"quer": "querem", "faz": "fazem", "diz": "dizem", "põe": "põem", "ri": "riem", "sorri": "sorriem"}
    | {"produz": "produzem"},
}
"""Singular -> plural of verbs where it is not made by the ending alone."""

_SHORT = {"bueno": "buen", "malo": "mal", "grande": "gran"}
"""Spanish adjectives in the singular as they are before a noun."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is said of a people, as far as its words can be agreed.

    Attributes:
        kind: How it is said.
        forms: In the order of SLOTS; all the same of kind "other".
        gender: Of the form that it came in: "m" or "f", "" where that says none.
    """

    kind: Kind
    forms: Forms
    gender: str = ""

    def form(self, gender: str, number: str) -> str:
        """As it agrees with a gender ("" is the masculine) and a number."""
        return self.forms[SLOTS.index((gender or "m", number))]


@functools.lru_cache(maxsize=4096)
def attribute_of(text: str, language: str) -> Attribute:
    """An attribute with its four forms; kind "other", as it stands, where no rule is sure of them.

    Sure are a verb in the present with what follows it ("toman mate"); and, also after "to be", adjectives and nouns
    for people: one or two, after "very" and its like, and before what a preposition begins ("amantes del té").
    """
    words = " ".join(text.split()).rstrip(".").split(" ")
    no = words[:1] if words[0].casefold() in ("no", "não") else []
    if (verb := _verbs(language).get("".join(words[len(no) : len(no) + 1]).casefold())) and len(words) > len(no) + 1:
        one, more = (" ".join([*no, form, *words[len(no) + 1 :]]) for form in verb)
        return Attribute("does", (one, one, more, more))
    if words[0].casefold() in _words(language, "copulas"):
        del words[0]
    found = _inflected(words, language)
    return Attribute("is", *found) if found else Attribute("other", (text, text, text, text))


def _inflected(words: Sequence[str], language: str) -> tuple[Forms, str] | None:
    """The forms of words that can be said with "to be", and the gender that these have; None where not sure."""
    made = [[""] * 4]
    slots, left = set(SLOTS), list(words)
    while left and left[0].casefold() in _words(language, "before"):
        made.append([left.pop(0)] * 4)
    heads = 0
    while left and left[0].casefold() not in _words(language, "prepositions"):
        word = left.pop(0)
        if heads and word in ("y", "e") and left:
            made.append([word] * 4)
            continue
        if heads and language == "es" and made[-1][2] not in ("y", "e"):
            made[-1][:2] = (_SHORT.get(form, form) for form in made[-1][:2])
        forms = _forms(word, language)
        slots &= {slot for slot, form in zip(SLOTS, forms, strict=True) if form == word.casefold()} if forms else set()
        if forms is None or not slots or heads == 2:
            return None
        made.append(list(forms))
        heads += 1
    if not heads:
        return None
    one, other, more, others = (" ".join(filter(None, [*column, *left])) for column in zip(*made, strict=True))
    genders = {gender for gender, _ in slots}
    return (one, other, more, others), genders.pop() if len(genders) == 1 else ""


def _forms(word: str, language: str) -> Forms | None:
    """The four forms of an adjective or a noun for people, from any of them; None where that is not sure."""
    word = word.casefold()
    if found := _listed(language).get(word):
        return found
    if {word, word.removesuffix("s"), word.removesuffix("es")} & _words(language, "others"):
        return None
    for ending in _lexicon()[language]["endings"]:
        endings = ending.split("/")
        for end in endings:
            stem = word.removesuffix(end)
            if word.endswith(end) and len(stem) > 1:
                one, other, more, others = (f"{stem}{form}" for form in endings)
                return one, other, more, others
    people = identity_of(word, language)
    return people.forms if people and word in people.forms else None


@functools.cache
def _lexicon() -> Mapping[str, Mapping[str, str]]:
    text = files("annotation.stereotypes").joinpath("agreement.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@functools.cache
def _words(language: str, name: str) -> frozenset[str]:
    return frozenset(_lexicon()[language][name].split())


@functools.cache
def _listed(language: str) -> dict[str, Forms]:
    known: dict[str, Forms] = {}
    for word in _lexicon()[language]["words"].split():
        for form in (forms := inflect(word, language)):
            known.setdefault(form, forms)
    return known


@functools.cache
def _verbs(language: str) -> dict[str, tuple[str, str]]:
    irregular, end = _VERB_PLURALS[language], "n" if language == "es" else "m"
    pairs = [(word, irregular.get(word, word + end)) for word in _words(language, "verbs")]
    return {word: pair for pair in pairs for word in pair}
