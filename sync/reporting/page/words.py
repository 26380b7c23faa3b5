"""Words of the page in Spanish, Portuguese and English; numbers and days as each language writes them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from annotation.tasks.page import LANGUAGES


class Words:
    """What the page says in one language.

    Attributes:
        language: ISO 639-1: one of `annotation.tasks.page.LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        """Read the words of a language."""
        self.language = language
        self._said = _read(language)

    def __call__(self, name: str, /, **values: object) -> str:
        """A sentence or a word, with these values in it."""
        return str(self._said[name]).format(**values)

    def of(self, group: str, name: str, otherwise: str = "") -> str:
        """A word of a group, for example of "kinds"; of one that it lacks, another word of it, or the name itself."""
        return str(self._said[group].get(name, self._said[group].get(otherwise, name)))

    def number(self, value: float, digits: int = 0) -> str:
        """A number; thousands stand apart."""
        whole, _, rest = f"{value:,.{digits}f}".partition(".")
        whole = whole.replace(",", self._said["thousands"]).replace("-", "−")
        return f"{whole}{self._said['decimal']}{rest}" if rest else whole

    def percent(self, share: float) -> str:
        """A share, from 0 to 1, in whole percents."""
        return f"{self.number(100 * share)}{self._said['percent']}"

    def dollars(self, usd: float) -> str:
        """US dollars."""
        return f"US$ {self.number(usd, 2)}" if self.language != "en" else f"${self.number(usd, 2)}"

    def day(self, moment: str) -> str:
        """The day of an ISO 8601 moment, on one line."""
        at = datetime.fromisoformat(moment)
        month = self._said["months"].split()[at.month - 1]
        return str(self._said["date"]).format(day=at.day, month=month, year=at.year).replace(" ", "\xa0")


def words_in(languages: Iterable[str]) -> Words:
    """Words of the first of these languages that the page speaks; of English where it speaks none."""
    return Words(next((one for one in languages if one in LANGUAGES), "en"))


@cache
def _read(language: str) -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / "words" / f"{language}.toml").read_text(encoding="utf-8"))
