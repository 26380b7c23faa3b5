"""Sentences about a people in Spanish and Portuguese: the people first, so that what is said of it can be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from annotation.stereotypes.agreement import Kind
from annotation.stereotypes.identities import SLOTS


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with two blanks.

    Attributes:
        id: Its name in files, for good: another wording is another template.
        kind: The attributes that it takes.
        number: "s" or "p": of the people in it.
        before: Up to the attribute, with {identity}, and {article} and {typical} that agree with it.
        after: What follows the attribute.
    """

    id: str
    kind: Kind
    number: str
    before: str
    after: str = "."

    def begin(self, identity: str, language: str, gender: str) -> str:
        """What stands before the attribute.

        Args:
            identity: A people, in the gender and in the number of the template.
            language: Of the template.
            gender: "m" or "f".
        """
        slot = SLOTS.index((gender, self.number))
        words = {name: forms[slot] for name, forms in _WORDS[language].items()}
        text = self.before.format(identity=identity, **words)
        return text[0].upper() + text[1:]


_WORDS: Mapping[str, Mapping[str, tuple[str, str, str, str]]] = {
    "es": {
        "article": ("el", "la", "los", "las"),
        "of": ("del", "de la", "de los", "de las"),
        "typical": ("típico", "típica", "típicos", "típicas"),
    },
    "pt": {
        "article": ("o", "a", "os", "as"),
        "of": ("do", "da", "dos", "das"),
        "typical": ("típico", "típica", "típicos", "típicas"),
    },
}
"""Words that agree, in the order of SLOTS."""

TEMPLATES: Mapping[str, tuple[Template, ...]] = {
    "es": (
        Template("es-son", "is", "p", "{article} {identity} son"),
        Template("es-dicen-son", "is", "p", "dicen que {article} {identity} son"),
        Template("es-tipico-es", "is", "s", "{article} {identity} {typical} es"),
        Template("es-dicen-es", "is", "s", "dicen que {article} {identity} {typical} es"),
        Template("es-verbo", "does", "p", "{article} {identity}"),
        Template("es-dicen-verbo", "does", "p", "dicen que {article} {identity}"),
        Template("es-tipico-verbo", "does", "s", "{article} {identity} {typical}"),
        Template("es-piensan", "other", "p", "cuando hablan {of} {identity}, todos piensan en lo mismo:"),
    ),
    "pt": (
        Template("pt-sao", "is", "p", "{article} {identity} são"),
        Template("pt-dizem-sao", "is", "p", "dizem que {article} {identity} são"),
        Template("pt-tipico-e", "is", "s", "{article} {identity} {typical} é"),
        Template("pt-dizem-e", "is", "s", "dizem que {article} {identity} {typical} é"),
        Template("pt-verbo", "does", "p", "{article} {identity}"),
        Template("pt-dizem-verbo", "does", "p", "dizem que {article} {identity}"),
        Template("pt-tipico-verbo", "does", "s", "{article} {identity} {typical}"),
        Template("pt-pensam", "other", "p", "quando falam {of} {identity}, todo mundo pensa na mesma coisa:"),
    ),
}
"""Of each language, in the order in which they are used."""

FRAME = "frame"
"""Template of a pair whose association came with a sentence of its own."""
