"""Language of a talk: its fixed words in Spanish, Portuguese and English, and numbers as each language writes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from annotation.text.hidden import only_seen
from annotation.text.locales import name_of_country

LANGUAGES = ("es", "pt", "en")

_MEANT = re.compile(r"([\\`*_{}\[\]()#|~$!])")
"""What Markdown, and Marp beside it, would read as more than a sign."""


class Words:
    """What a talk says in one language.

    Attributes:
        language: One of LANGUAGES.
        marks: How it writes numbers: what stands between thousands, the decimal mark, and what follows a percentage.
    """

    def __init__(self, language: str) -> None:
        """Read the words of a language."""
        self.language = language
        self._said = _read(language)
        self.marks = (self("thousands"), self("decimal"), self("percent"))

    def __call__(self, name: str, /, **values: object) -> str:
        """A sentence or a word, with these values in it."""
        return str(self._said[name]).format(**values)

    @property
    def names(self) -> Sequence[str]:
        """Of all sentences and words."""
        return tuple(self._said)

    def columns(self, name: str) -> list[str]:
        """The head of a table."""
        return list(self._said[name])

    def place(self, country: str) -> str:
        """Name of a country, safe in Markdown."""
        return escaped(name_of_country(country, self.language))

    def listed(self, names: Iterable[str]) -> str:
        """Names in a row: "a, b y c"."""
        *most, last = names
        return f"{', '.join(most)} {self('and')} {last}" if most else last


def words_in(languages: Iterable[str]) -> Words:
    """Words of the first of these languages that talks are made in; of English where there is none."""
    return Words(next((one for one in languages if one in LANGUAGES), "en"))


def escaped(text: str) -> str:
    """A text on one line that Markdown shows as it is: no mark-up, no HTML, no link."""
    one_line = " ".join(only_seen(text).split())
    meant = _MEANT.sub(r"\\\1", one_line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return meant.replace("--", "-\\-")


@cache
def _read(language: str) -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / f"{language}.toml").read_text(encoding="utf-8"))
