"""Text cleaning: mojibake, HTML entities, invisible characters and blanks are mended; formulas are recognised."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from annotation.text.hidden import without_hidden

# Spreadsheets run a cell that begins so. After another sign than "=" a function, a sheet, a pipe (DDE) or arithmetic
# must follow: "-Producto(s)", "@luna (mi amiga)" and "- 1/2 taza" are text.
_FORMULA = re.compile(
    r"\s*(?:=\s*[\w+\-@(\"'{$#.\[]"
    r"|[+\-@](?:=|[A-Z][A-Z0-9.]+\(|(?i:sum|hyperlink|webservice|import\w+|image|exec|call|indirect|filterxml|rtd)\("
    r"|[\w.$]+\||[\w$]+![\w$]|[\d.]+\s?[+*^]\s?[\d(=@]|[\d.]+[+*/^-][\w.]+[+*/^-]?\w*\|))"
)


@cache
def _repairs() -> Any:
    from ftfy import TextFixerConfig

    # Curly quotes and full-width signs are how people write, not damage.
    return TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization="NFC", explain=False
    )


def clean(text: str) -> str:
    """Mend a text without changing what it says: mojibake, HTML entities, control and invisible characters, blanks.

    The result is NFC. Line breaks and indentation stay; blank lines are joined to one.
    """
    from ftfy import fix_text

    if not text:
        return ""
    text = without_hidden(fix_text(text, _repairs()))
    text = re.sub(r"(?<=\S)[^\S\n]+", " ", unicodedata.normalize("NFC", text))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[^\S\n]+(?=\n)", "", text)).strip()


@lru_cache(maxsize=4096)
def clean_label(text: str) -> str:
    """Clean a cell that many rows share, as one line."""
    return " ".join(clean(text).split())


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the cell instead of showing it."""
    return _FORMULA.match(text) is not None
