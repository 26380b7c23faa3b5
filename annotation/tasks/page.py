"""Page elements that all tasks share: languages, guidelines, metadata, and texts shown as they were typed."""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from annotation.tasks.form import Property, Vector
from annotation.text.hidden import show_hidden, without_hidden
from annotation.types import Item

LANGUAGES = ("es", "pt", "en")
"""Languages that guidelines and titles are written in; the last is for teams that speak none of the others."""

VECTOR = "embedding"
"""Name of the vector that "find similar" uses: the embedding of the item's prompt."""

AUTHOR = "author"
"""Key in an item's content and a record's metadata: the user name of whoever wrote what it is about."""

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "position": "Orden",
        "similar": "Preguntas parecidas",
        "author": "Autoría",
    },
    "pt": {
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "position": "Ordem",
        "similar": "Perguntas parecidas",
        "author": "Autoria",
    },
    "en": {
        "country": "Country",
        "topic": "Topic",
        "language": "Language",
        "position": "Position",
        "similar": "Similar questions",
        "author": "Author",
    },
}
"""Titles of what every record carries, by language."""


def screen_language(language: str) -> str:
    """The language of guidelines and titles for people who speak `language` (ISO 639-1)."""
    return language if language in LANGUAGES else LANGUAGES[-1]


def read_guidelines(package: str, language: str) -> str:
    """A task's guidelines in one of LANGUAGES, Markdown, from the folder beside its module."""
    return files(package).joinpath("guidelines", f"{language}.md").read_text(encoding="utf-8").strip()


def properties(language: str, name: str, title: str, *, authors: bool = False) -> tuple[Property, ...]:
    """Metadata of every record.

    Args:
        language: One of LANGUAGES.
        name: What the task calls an item.
        title: The same on the page.
        authors: Items may have an author on the team. The embedded server asks nobody about their own.
    """
    say = TEXTS[language]
    return (
        *([Property(AUTHOR, "terms", say[AUTHOR], visible=False)] if authors else []),
        Property("topic", "terms", say["topic"], visible=True),
        Property("country", "terms", say["country"], visible=True),
        Property("language", "terms", say["language"], visible=True),
        Property(name, "terms", title, visible=False),
        Property("position", "integer", say["position"], visible=False),
    )


def vector_of(language: str, dimensions: int | None) -> Vector | None:
    """The vector of "find similar"; None without dimensions."""
    return Vector(VECTOR, TEXTS[language]["similar"], dimensions) if dimensions else None


def record_of(item: Item, name: str, fields: Mapping[str, Any], vector: Collection[float] | None) -> dict[str, Any]:
    """A record as Argilla's REST takes it, with the metadata of `properties`."""
    made: dict[str, Any] = {
        "external_id": item.id,
        "fields": dict(fields),
        "metadata": {
            "topic": as_typed(item.topic),
            "country": item.country,
            "language": item.language,
            name: item.id,
            "position": item.position,
        },
    }
    if author := item.content.get(AUTHOR):
        made["metadata"][AUTHOR] = author
    if vector is not None:
        made["vectors"] = {VECTOR: [float(value) for value in vector]}
    return made


def as_typed(text: str) -> str:
    """Text that the page shows as it was typed.

    Argilla 2.8 puts the text of a field that is not Markdown into the page as HTML, unchecked (and as Markdown it
    would load remote pictures): a candidate with `<img onerror=…>` in it would run in every annotator's browser. And
    what would not be seen, or would turn the order of letters around, is written out.
    """
    return html.escape(show_hidden(text), quote=False)


def as_written(text: str) -> str:
    """The opposite of `as_typed`, but that hidden characters go: the page's copy button hands out what was sent."""
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return without_hidden(plain, written_out=True)
