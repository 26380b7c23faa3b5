"""Questions about a picture, as a model and an annotator read them: what is seen, and what it means in a country."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.text.locales import common_language

QUESTION = {
    "es": "Describe esta imagen para alguien de tu país: qué se ve y qué significa.",
    "pt": "Descreva esta imagem para alguém do seu país: o que se vê e o que significa.",
    "en": "Describe this picture for somebody from your country: what is seen and what it means.",
}
"""ISO 639-1 code of a language -> the prompt of a picture in it."""


def question_language(country: str, wanted: str, languages: Sequence[str]) -> str:
    """The language in which a picture of a country is asked about.

    Args:
        country: ISO 3166-1 alpha-2.
        wanted: What the source or a person says, a code, or "".
        languages: The project's.

    Returns:
        The first of what is wanted, what nearly everybody in the country reads and the project's languages that the
        project has and the question is written in; the country's where none is.
    """
    possible = (wanted, common_language(country), *languages)
    return next((code for code in possible if code in QUESTION and code in languages), common_language(country))
