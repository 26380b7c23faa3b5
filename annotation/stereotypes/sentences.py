"""Sentences of an association: by templates that agree, or its own; and the same with other groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from annotation.stereotypes.agreement import attribute_of
from annotation.stereotypes.identities import (
    SLOTS,
    Identity,
    identity_of,
    name_of_place,
    without_article,
    written,
)
from annotation.stereotypes.templates import FRAME, TEMPLATES
from annotation.types import Association

_AFTER_BLANK = re.compile(r"([^\w\s]*)\s+(.*?)\s*([.!?…]*)\s*", re.DOTALL)

LEAST_WORDS = 2
"""Words that must follow the group in a sentence of an association's own."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence about a people, in which another can stand in its place.

    Attributes:
        template: Its id, or FRAME.
        identity: The people as it stands there.
        start: What stands before it.
        end: What stands between it and the attribute, without the blank before that.
        attribute: What is said of it.
        after: What follows.
        gender: Of the people there, "m" or "f".
        number: "s" or "p".
        named: The country's name stands there, and not its people's.
    """

    template: str
    identity: str
    start: str
    end: str
    attribute: str
    after: str
    gender: str
    number: str
    named: bool = False

    def as_there(self, identity: str) -> str:
        """A people with a capital where it begins the sentence and the sentence's own has one."""
        capital = not self.start and self.identity[0].isupper()
        return identity[0].upper() + identity[1:] if capital else identity

    def before(self, identity: str) -> str:
        """What stands before the attribute where this people is in the sentence."""
        return f"{self.start}{identity}{self.end}"

    def group(self, place: str, language: str, like: str) -> str:
        """The people of another place as it can stand there, or the place's name; "" where it cannot.

        Args:
            place: Of the other people.
            language: Of the sentence.
            like: The place of the sentence: another name of a place can stand there where its article is the same.
        """
        if not self.named:
            return written(language)[place][SLOTS.index((self.gender, self.number))]
        own, other = (without_article(name_of_place(one, language), language) for one in (like, place))
        return other[1] if own[0] == other[0] else ""


def people_of(association: Association) -> Identity | None:
    """The people that an association names, in a language that has templates; None for no people that is known."""
    if association.language not in TEMPLATES:
        return None
    return identity_of(association.identity, association.language)


def said_of(association: Association) -> str:
    """What an association says, whatever its gender and number: the same of two associations that say the same."""
    if association.frame:
        return association.frame.partition("*")[2].strip(" .!?…").casefold()
    forms = attribute_of(association.attribute, association.language).forms
    return forms[0].casefold()


def sentences_of(association: Association, people: Identity) -> Iterator[Sentence]:
    """Sentences of an association: its own where enough stands after the group, else one for each template that fits.

    The group keeps its number where a template has it, and its gender; of a name without gender, what is said decides.
    """
    language = association.language
    if association.frame:
        yield from _own_sentence(association, people)
        return
    said = attribute_of(association.attribute, language)
    gender = people.gender or said.gender or "m"
    number = "p" if said.kind == "other" else people.number
    for template in TEMPLATES[language]:
        if (template.kind, template.number) == (said.kind, number):
            identity = people.form(gender, number)
            start, _, end = template.begin("*", language, gender).partition("*")
            attribute = said.form(gender, number)
            yield Sentence(template.id, identity, start, end, attribute, template.after, gender, number)


def _own_sentence(association: Association, people: Identity) -> Iterator[Sentence]:
    start, _, rest = association.frame.partition("*")
    found = _AFTER_BLANK.fullmatch(rest)
    if not found or len(found[2].split()) < LEAST_WORDS:
        return
    article, identity = without_article(association.identity, association.language)
    start += article
    agreeing = without_article(f"{start.split()[-1]} *", association.language)[0] if start.split() else ""
    gender = people.gender or ("f" if agreeing.casefold().strip() in ("la", "las", "a", "as") else "m")
    named = identity == without_article(name_of_place(people.place, association.language), association.language)[1]
    yield Sentence(FRAME, identity, start, found[1], found[2], found[3], gender, people.number, named)
